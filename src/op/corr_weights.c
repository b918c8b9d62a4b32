/* corr_weights.c - the gradients of a convolution's weights and biases. See corr.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/panel.h"
#include <string.h>

size_t corr_table_bytes(const conv_shape *s) {
    corr c;
    panel_lay_out(&c, s, WEIGHTS);
    return panel_tables_bytes(&c);
}

void corr_build_tables(corr *c, const conv_shape *s, const struct kern *kern) {
    panel_build(c, s, WEIGHTS, kern);
}

/* ---- Weight gradient ------------------------------------------------------------------------ */

/* How many partial sums the images are split into: by shape alone. Several let small layers run in
 * parallel without sharing an accumulator; large layers have tiles enough for every thread. */
static int weight_chunks(const conv_shape *s, int n) {
    size_t bytes =
        sizeof(float) * (size_t)s->o * (size_t)(s->c / s->groups) * (size_t)(s->kh * s->kw);
    return bytes * TUNE_TASKS <= TUNE_CHUNK_BYTES ? imin(n, TUNE_TASKS) : 1;
}

static size_t weight_floats(const conv_shape *s) {
    return (size_t)s->o * (size_t)(s->c / s->groups) * (size_t)(s->kh * s->kw);
}

size_t corr_weights_bytes(const conv_shape *s, int batch) {
    int chunks = weight_chunks(s, batch);
    return chunks == 1 ? 0 : sizeof(float) * weight_floats(s) * (size_t)chunks;
}

/* A weight gradient goes over about TUNE_FLAT_POSITIONS positions at a time, rows of one image or several
 * images: so many of a dot tile's maps stay in L1 (1024 positions * 10 maps * 4 = 40 KiB), and folding its
 * vectors costs a tenth of filling them. Channels are taken as many as fit L2 then. */
static int images_together(const corr *c, int images) {
    if (c->block < c->out_h) return 1;
    return imax(1, imin(images, TUNE_FLAT_POSITIONS / (c->block * c->pitch)));
}

static int channels_together(const corr *c, int images) {
    size_t one = sizeof(float) * (size_t)images *
                 (c->direct ? (size_t)(c->block * c->pitch) : panel_channel(c));
    int fit = imax(1, imin(c->in_c, (int)(TUNE_PANEL_BYTES / one)));
    return fit > DOT_MAX_COLUMNS ? fit - fit % DOT_MAX_COLUMNS : fit;
}

size_t corr_weights_thread_bytes(const conv_shape *s, int batch) {
    corr c;
    panel_lay_out(&c, s, WEIGHTS);
    /* Of smaller batches more channels fit, up to the same bytes. */
    size_t one = sizeof(float) * (size_t)images_together(&c, batch) * panel_channel(&c);
    size_t panel = one > TUNE_PANEL_BYTES ? one : TUNE_PANEL_BYTES;
    return (c.direct ? 0 : panel) + sizeof(float) * LENS_SLACK;
}

typedef struct weights_job {
    const corr *c;
    const struct kern *kern;
    const float *x, *dy;
    float *sums; /* [chunks][o][c/groups][kh][kw] */
    int n, chunks, tiles, parts;
    void *thread_scratch;
    size_t thread_stride;
} weights_job;

/* Where the products of one dot tile after the other come from: some images, a block of rows, some
 * channels. */
typedef struct weights_part {
    const float *panel, *dy;
    ptrdiff_t panel_image;
    int images, rows, first_channel, channels;
} weights_part;

/* Adds them to the sums, for the dot tiles first .. end-1 of output maps. */
static void weights_block(const weights_job *w, const weights_part *p, int first, int end,
                          float *sums) {
    static const int32_t identity[DOT_MAX_COLUMNS] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const corr *c = w->c;
    ptrdiff_t plane = (ptrdiff_t)c->out_h * c->out_w;
    bool one_line = panel_contiguous(c);
    int kk = c->s.kh * c->s.kw, t0 = p->first_channel * kk, t1 = t0 + p->channels * kk;
    int32_t base = c->direct ? 0 : (int32_t)(p->first_channel * panel_channel(c));
    for (int tile = first; tile < end; tile++)
        for (int t = t0; t < t1; t += w->kern->dot_columns) {
            int m0 = tile * w->kern->dot_rows, columns = imin(w->kern->dot_columns, t1 - t);
            int32_t from[DOT_MAX_COLUMNS];
            for (int j = 0; j < columns; j++) from[j] = c->row[t + j] - base;
            dot_job d = {
                .a = p->dy + m0 * plane,
                .a_i = plane,
                .a_image = plane * c->s.o,
                .a_row = c->out_w,
                .b = p->panel,
                .b_j = from,
                .b_image = p->panel_image,
                .b_row = c->pitch,
                .out = sums + (ptrdiff_t)m0 * c->taps + t,
                .out_i = c->taps,
                .out_j = identity,
                .rows = imin(w->kern->dot_rows, c->out_c - m0),
                .columns = columns,
                .images = p->images,
                .lines = one_line ? 1 : p->rows,
                .length = one_line ? p->rows * c->out_w : c->out_w,
            };
            w->kern->dot(&d);
        }
}

static void weights_task(void *arg, int task, int thread) {
    const weights_job *w = arg;
    const corr *c = w->c;
    int part = task % w->parts, group = task / w->parts % c->s.groups,
        chunk = task / w->parts / c->s.groups;
    int first = part * w->tiles / w->parts, end = (part + 1) * w->tiles / w->parts;
    int begin = (int)((int64_t)chunk * w->n / w->chunks),
        stop = (int)((int64_t)(chunk + 1) * w->n / w->chunks);
    ptrdiff_t in_plane = (ptrdiff_t)c->in_h * c->in_w, out_plane = (ptrdiff_t)c->out_h * c->out_w;
    float *sums = w->sums + (size_t)chunk * weight_floats(&c->s) +
                  (size_t)group * (size_t)c->out_c * (size_t)c->taps;
    int m0 = first * w->kern->dot_rows, m1 = imin(c->out_c, end * w->kern->dot_rows);
    memset(sums + (ptrdiff_t)m0 * c->taps, 0, sizeof *sums * (size_t)(m1 - m0) * (size_t)c->taps);
    float *scratch = (float *)((char *)w->thread_scratch + (size_t)thread * w->thread_stride);
    int together = images_together(c, stop - begin);
    int most = channels_together(c, images_together(c, w->n));
    for (int image = begin; image < stop; image += together) {
        weights_part p = { .panel = scratch,
                           .panel_image = (ptrdiff_t)((size_t)most * panel_channel(c)),
                           .images = imin(together, stop - image) };
        const float *x = w->x + ((ptrdiff_t)image * c->s.c + group * c->in_c) * in_plane;
        const float *dy = w->dy + ((ptrdiff_t)image * c->s.o + group * c->out_c) * out_plane;
        for (int r0 = 0; r0 < c->out_h; r0 += c->block) {
            p.rows = imin(c->block, c->out_h - r0);
            p.dy = dy + (ptrdiff_t)r0 * c->out_w;
            if (c->direct) {
                p.panel = x + (ptrdiff_t)r0 * c->pitch;
                p.panel_image = in_plane * c->s.c;
            }
            for (int ch = 0; ch < c->in_c; ch += most) {
                p.first_channel = ch;
                p.channels = imin(most, c->in_c - ch);
                for (int i = 0; !c->direct && i < p.images; i++)
                    panel_fill(c, w->kern, NULL, x + (i * c->s.c + ch) * in_plane, p.channels, r0,
                               p.rows, scratch + i * p.panel_image);
                weights_block(w, &p, first, end, sums);
            }
        }
    }
}

void corr_weights(const corr *tables, const struct kern *kern, pool *workers, int n, const float *x,
                  const float *dy, float *dw, void *scratch, void *thread_scratch,
                  size_t thread_stride) {
    const conv_shape *s = &tables->s;
    weights_job w = { tables,
                      kern,
                      x,
                      dy,
                      dw,
                      n,
                      weight_chunks(s, n),
                      up(tables->out_c, kern->dot_rows),
                      1,
                      thread_scratch,
                      thread_stride };
    if (w.chunks > 1) w.sums = scratch;
    double macs = (double)weight_floats(s) * s->oh * s->ow * n;
    int tasks = w.chunks * s->groups;
    /* Each part fills panels of its own; no bit depends on how many there are. */
    int threads = pool_threads(workers);
    w.parts = panel_split(tasks,
                          threads == 1     ? 1
                          : tables->direct ? TUNE_TASKS * threads
                                           : threads,
                          w.tiles, macs / tasks);
    pool_run(workers, tasks * w.parts, macs / (tasks * w.parts) / MACS_PER_NS, weights_task, &w);
    if (w.chunks == 1) return;
    size_t count = weight_floats(s);
    kern->add(count, w.sums, w.sums + count, dw);
    for (int chunk = 2; chunk < w.chunks; chunk++)
        kern->add(count, dw, w.sums + (size_t)chunk * count, dw);
}

typedef struct bias_job {
    const struct kern *kern;
    int n, o;
    size_t plane;
    const float *dy;
    float *db;
} bias_job;

static void bias_task(void *arg, int task, int thread) {
    const bias_job *b = arg;
    (void)thread;
    double sum = 0;
    for (int i = 0; i < b->n; i++)
        sum += b->kern->sum(b->plane, b->dy + ((size_t)i * (size_t)b->o + (size_t)task) * b->plane);
    b->db[task] = (float)sum;
}

void corr_bias(const struct kern *kern, pool *workers, int n, int o, size_t plane, const float *dy,
               float *db) {
    bias_job b = { kern, n, o, plane, dy, db };
    pool_run(workers, o, 0.1 * n * (double)plane, bias_task, &b);
}
