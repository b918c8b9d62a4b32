/* corr_dots.c - weight gradients as inner products over positions: dw[o, t] = dy[o, :] . x[t, :].
 *
 * Slot `dot` takes dy and the panels of x as they lie, lanes along positions: for few channels or maps.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/weights.h"
#include <string.h>

/* The sum goes over about TUNE_FLAT_POSITIONS positions at a time, rows of one image or several
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

static size_t thread_bytes(const corr *c, const struct kern *kern, int batch) {
    (void)kern;
    /* Of smaller batches more channels fit, up to the same bytes. */
    size_t one = sizeof(float) * (size_t)images_together(c, batch) * panel_channel(c);
    size_t panel = one > TUNE_PANEL_BYTES ? one : TUNE_PANEL_BYTES;
    return (c->direct ? 0 : panel) + sizeof(float) * LENS_SLACK;
}

static int tiles_of(const corr *c, const struct kern *kern) { return up(c->out_c, kern->dot_rows); }

/* Each part fills panels of its own. */
static int parts(const weights_job *w, int tasks, int threads, double macs) {
    int pieces = threads == 1 ? 1 : w->c->direct ? TUNE_TASKS * threads : threads;
    return panel_split(tasks, pieces, tiles_of(w->c, w->kern), macs);
}

/* Where the products of one dot tile after the other come from: some images, a block of rows, some
 * channels. */
typedef struct dots_part {
    const float *panel, *dy;
    ptrdiff_t panel_image;
    int images, rows, first_channel, channels;
} dots_part;

/* Adds them to the sums, for the dot tiles first .. end-1 of output maps. */
static void dots_block(const weights_job *w, const dots_part *p, int first, int end, float *sums) {
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

static void run(const weights_job *w, const weights_sum *s) {
    const corr *c = w->c;
    int tiles = tiles_of(c, w->kern);
    int first = s->part * tiles / w->parts, end = (s->part + 1) * tiles / w->parts;
    ptrdiff_t in_plane = (ptrdiff_t)c->in_h * c->in_w, out_plane = (ptrdiff_t)c->out_h * c->out_w;
    int m0 = first * w->kern->dot_rows, m1 = imin(c->out_c, end * w->kern->dot_rows);
    memset(s->out + (ptrdiff_t)m0 * c->taps, 0,
           sizeof *s->out * (size_t)(m1 - m0) * (size_t)c->taps);
    int together = images_together(c, w->images), most = channels_together(c, together);
    for (int image = s->first; image < s->end; image += together) {
        dots_part p = { .panel = s->scratch,
                        .panel_image = (ptrdiff_t)((size_t)most * panel_channel(c)),
                        .images = imin(together, s->end - image) };
        const float *x = w->x + ((ptrdiff_t)image * c->s.c + s->group * c->in_c) * in_plane;
        const float *dy = w->dy + ((ptrdiff_t)image * c->s.o + s->group * c->out_c) * out_plane;
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
                               p.rows, (float *)s->scratch + i * p.panel_image);
                dots_block(w, &p, first, end, s->out);
            }
        }
    }
}

const weights_way weights_dots = { DOTS, false, thread_bytes, parts, run };
