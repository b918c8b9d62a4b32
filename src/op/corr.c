/* corr.c - the forward and the adjoint pass of a convolution. See corr.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/panel.h"
#include <string.h>

/* ---- Building ------------------------------------------------------------------------------- */

static panel_purpose pass_purpose(bool adjoint, bool before) {
    return adjoint ? ADJOINT : before ? THROUGH_BEFORE : FORWARD;
}

size_t corr_bytes(const conv_shape *s, bool adjoint) {
    corr c;
    panel_lay_out(&c, s, pass_purpose(adjoint, false));
    return panel_tables_bytes(&c) +
           align64(sizeof *c.packed *
                   ((size_t)c.taps * (size_t)c.out_c * (size_t)s->groups + LENS_SLACK));
}

void corr_build(corr *c, const conv_shape *s, bool adjoint, bool before, const struct kern *kern) {
    panel_build(c, s, pass_purpose(adjoint, before), kern);
}

typedef struct pack_job {
    const corr *c;
    const struct kern *kern;
    const float *w, *scale;
    int blocks; /* row blocks of a group */
} pack_job;

/* dst[t][m] *= scale[m] */
static void scale_rows(float *dst, int taps, int rows, const float *scale) {
    for (int t = 0; t < taps; t++, dst += rows)
        for (int m = 0; m < rows; m++) dst[m] *= scale[m];
}

/* One row block of one group, all walks. */
static void pack_task(void *arg, int task, int thread) {
    const pack_job *p = arg;
    const corr *c = p->c;
    (void)thread;
    int group = task / p->blocks, m0 = task % p->blocks * c->rows,
        rows = imin(c->rows, c->out_c - m0);
    int kk = c->s.kh * c->s.kw;
    const float *scale = p->scale ? p->scale + group * c->out_c + m0 : NULL;
    for (int i = 0; i < c->walks; i++) {
        const corr_walk *walk = &c->walk[i];
        float *dst =
            c->packed +
            ((size_t)group * (size_t)c->taps + (size_t)walk->first_tap) * (size_t)c->out_c +
            (size_t)m0 * (size_t)walk->taps;
        if (!c->adjoint) { /* w (o, c, kh, kw): rows are o, k runs over (c, u, v) as stored */
            const float *src =
                p->w + ((size_t)group * (size_t)c->out_c + (size_t)m0) * (size_t)c->taps;
            p->kern->transpose(rows, c->taps, src, c->taps, dst, rows);
            if (scale) scale_rows(dst, c->taps, rows, scale);
            continue;
        }
        /* Rows are input maps, k runs over (o, the walk's taps). */
        int per = c->in_c ? walk->taps / c->in_c : 0;
        float *first = dst;
        const float *src =
            p->w + ((size_t)group * (size_t)c->in_c * (size_t)c->out_c + (size_t)m0) * (size_t)kk;
        if (kk == 1 && per == 1) p->kern->every(c->in_c, rows, 1, src, c->out_c, dst, rows);
        for (int o = 0; kk > 1 && o < c->in_c;
             o++, dst += per * rows, src += (ptrdiff_t)c->out_c * kk) {
            if (per == kk) {
                p->kern->transpose(rows, kk, src, kk, dst, rows);
                continue;
            }
            for (int t = 0; t < per; t++)
                for (int m = 0; m < rows; m++)
                    dst[t * rows + m] = src[m * kk + c->tap_of[walk->first_tap + t]];
        }
        if (scale) scale_rows(first, walk->taps, rows, scale);
    }
}

void corr_pack(corr *c, const struct kern *kern, pool *workers, const float *w,
               const float *scale) {
    pack_job p = { c, kern, w, scale, up(c->out_c, c->rows) };
    pool_run(workers, c->s.groups * p.blocks, 0.3 * c->rows * c->taps, pack_task, &p);
}

/* ---- Forward and adjoint -------------------------------------------------------------------- */

/* Scratch for flat tiles: one row block over a whole block of positions; turned, and turned back. */
static size_t flat_floats(const corr *c, const struct kern *kern) {
    return (c->turned ? 2 : 1) * (size_t)c->rows * (size_t)(c->block * c->pitch + kern->lanes);
}

size_t corr_thread_bytes(const conv_shape *s, bool adjoint, bool before, const struct kern *kern) {
    corr c;
    panel_lay_out(&c, s, pass_purpose(adjoint, before));
    panel_choose_tile(&c, kern);
    return align64(sizeof(float) * (panel_floats(&c) + LENS_SLACK)) +
           align64(sizeof(float) * flat_floats(&c, kern));
}

typedef struct run_job {
    const corr *c;
    const corr_io *io;
    int blocks;     /* of grid rows */
    int row_blocks; /* of maps in a group */
    int parts;      /* tasks that share the maps of one block */
} run_job;

/* One row block of maps over one line: `length` positions from `position` on. */
static void line(const corr *c, const struct kern *kern, tile_job *t, const float *b, float *out,
                 const float *add, int length) {
    for (int p = 0; p < length; p += c->vectors * kern->lanes) {
        t->b = b + p;
        t->c = out + p;
        t->add = add ? add + p : NULL;
        t->columns = imin(c->vectors * kern->lanes, length - p);
        kern->tile(t);
    }
}

/* The rows of C written to `flat` are whole vectors. Each tile fetches its share of the next block's weights, which
 * follow this one's: the first alone would have to wait for them, 128 bytes in 14 cycles (512 to 2048 maps of 7x7 and
 * back in ResNet-50, one picture: 104 -> 157 GFLOP/s; 2026-12-01, Xeon of 2023). */
static void turned_block(const corr *c, const corr_io *io, const tile_job *block, int positions,
                         const float *panel, float *flat, float *out, const float *add) {
    int maps = block->rows;
    tile_job t = *block;
    t.a_k = (ptrdiff_t)panel_plane(c);
    t.b = block->a;
    t.b_row = NULL;
    t.b_k = maps;
    t.c_m = c->rows;
    t.columns = maps;
    if (block->bias) t.init = TILE_BIAS_COLUMN;
    if (add) t.act = ACT_NONE; /* comes after the sum */
    int most = io->kern->tile_rows[up(maps, io->kern->lanes)];
    int tiles = up(positions, most), rows = up(positions, tiles);
    t.fetch_k = up(maps, tiles);
    for (int p = 0; p < positions; p += rows) {
        t.a = panel + p;
        t.fetch = block->a + ((ptrdiff_t)maps + p / rows * t.fetch_k) * t.k;
        t.c = flat + (ptrdiff_t)p * c->rows;
        t.rows = imin(rows, positions - p);
        io->kern->tile(&t);
    }
    if (!add) {
        io->kern->transpose(positions, maps, flat, c->rows, out, block->c_m);
        return;
    }
    float *back = flat + (ptrdiff_t)c->rows * positions; /* as add may be out itself */
    io->kern->transpose(positions, maps, flat, c->rows, back, positions);
    for (int m = 0; m < maps; m++, out += block->c_m, add += block->c_m, back += positions) {
        io->kern->add((size_t)positions, back, add, out);
        if (io->act != ACT_NONE) io->kern->act(io->act, io->slope, (size_t)positions, out, out);
    }
}

/* out, add: of the group, in the image. */
static void walk_block(const run_job *r, const corr_walk *walk, int group, int m0, int r0,
                       const float *panel, float *flat, float *out, const float *add) {
    const corr *c = r->c;
    const corr_io *io = r->io;
    int rows = imin(c->block, walk->rows - r0), maps = imin(c->rows, c->out_c - m0);
    if (rows <= 0) return;
    size_t plane = (size_t)c->out_h * (size_t)c->out_w;
    tile_job t = {
        .a = c->packed +
             ((size_t)group * (size_t)c->taps + (size_t)walk->first_tap) * (size_t)c->out_c +
             (size_t)m0 * (size_t)walk->taps,
        .a_k = maps,
        .b_row = c->row + walk->first_tap,
        .k = walk->taps,
        .rows = maps,
        .init = io->bias ? TILE_BIAS_ROW : TILE_ZERO,
        .bias = io->bias ? io->bias + group * c->out_c + m0 : NULL,
        .act = io->act,
        .slope = io->slope,
    };
    out += (size_t)m0 * plane;
    if (add) add += (size_t)m0 * plane;
    if (panel_contiguous(c)) {
        ptrdiff_t at = (ptrdiff_t)r0 * c->out_w;
        t.c_m = (ptrdiff_t)plane;
        if (c->turned) {
            turned_block(c, io, &t, rows * c->out_w, panel, flat, out + at, add ? add + at : NULL);
            return;
        }
        line(c, io->kern, &t, panel, out + at, add ? add + at : NULL, rows * c->out_w);
        return;
    }
    if (c->by_row) { /* grid_x is 1 */
        t.c_m = (ptrdiff_t)plane;
        for (int i = 0; i < rows; i++) {
            ptrdiff_t at = (ptrdiff_t)((r0 + i) * c->grid_y + walk->out_y) * c->out_w;
            line(c, io->kern, &t, panel + (ptrdiff_t)i * c->pitch, out + at, add ? add + at : NULL,
                 walk->columns);
        }
        return;
    }
    t.c_m = c->block * c->pitch + io->kern->lanes;
    if (add) t.act = ACT_NONE; /* comes after the sum, below */
    line(c, io->kern, &t, panel, flat, NULL, panel_flat_length(c, rows, walk->columns));
    const ptrdiff_t step = c->grid_x;
    for (int m = 0; m < maps; m++, flat += t.c_m, out += plane) {
        for (int i = 0; i < rows; i++) {
            const float *src = flat + (ptrdiff_t)i * c->pitch;
            ptrdiff_t at = (ptrdiff_t)((r0 + i) * c->grid_y + walk->out_y) * c->out_w + walk->out_x;
            const float *sum = add ? add + (size_t)m * plane + at : NULL;
            float *dst = out + at;
            if (sum && step == 1)
                io->kern->add((size_t)walk->columns, src, sum, dst);
            else if (sum)
                for (int j = 0; j < walk->columns; j++) dst[j * step] = src[j] + sum[j * step];
            else if (step == 1)
                for (int j = 0; j < walk->columns; j++) dst[j] = src[j];
            else
                for (int j = 0; j < walk->columns; j++) dst[j * step] = src[j];
            if (add && io->act != ACT_NONE) /* only with a grid of 1 */
                io->kern->act(io->act, io->slope, (size_t)walk->columns, dst, dst);
        }
    }
}

/* Zeros: one row block of maps over the cells of all walks. */
static void clear_block(const corr *c, int m0, int r0, float *out) {
    size_t plane = (size_t)c->out_h * (size_t)c->out_w;
    int y0 = r0 * c->grid_y, y1 = imin(c->out_h, (r0 + c->block) * c->grid_y);
    for (int m = m0; m < imin(m0 + c->rows, c->out_c); m++)
        memset(out + (size_t)m * plane + (ptrdiff_t)y0 * c->out_w, 0,
               sizeof *out * (size_t)(y1 - y0) * (size_t)c->out_w);
}

static void run_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    const corr *c = r->c;
    const corr_io *io = r->io;
    int part = task % r->parts, block = task / r->parts % r->blocks;
    int group = task / r->parts / r->blocks % c->s.groups,
        image = task / r->parts / r->blocks / c->s.groups;
    size_t in_plane = (size_t)c->in_h * (size_t)c->in_w,
           out_plane = (size_t)c->out_h * (size_t)c->out_w;
    size_t map = (size_t)image * (size_t)c->s.groups + (size_t)group;
    const float *in = io->in + map * (size_t)c->in_c * in_plane + (size_t)image * io->in_gap;
    size_t first_out = map * (size_t)c->out_c * out_plane;
    float *out = io->out + first_out + (size_t)image * io->out_gap;
    const float *add = io->add ? io->add + first_out : NULL;
    char *scratch = (char *)io->thread_scratch + (size_t)thread * io->thread_stride;
    float *flat = (float *)(scratch + align64(sizeof(float) * (panel_floats(c) + LENS_SLACK)));
    int r0 = block * c->block;
    const float *panel = in + (ptrdiff_t)r0 * c->pitch;
    if (!c->direct) {
        corr_before before = io->before;
        if (c->before) before.scale += group * c->in_c, before.shift += group * c->in_c;
        panel_fill(c, io->kern, c->before ? &before : NULL, in, c->in_c, r0,
                   imin(c->block, c->walk[0].rows - r0), (float *)scratch);
        panel = (const float *)scratch;
    }
    int first = part * r->row_blocks / r->parts, end = (part + 1) * r->row_blocks / r->parts;
    /* Nothing is added to what is there, or everything is cleared at once. */
    bool bare = !io->bias && io->act == ACT_NONE && (!add || add == out);
    for (int b = first; b < end; b++) {
        if (c->gaps && bare && !add) clear_block(c, b * c->rows, r0, out);
        for (int i = 0; i < c->walks; i++) {
            if (c->walk[i].taps == 0 && bare) continue;
            walk_block(r, &c->walk[i], group, b * c->rows, r0, panel, flat, out, add);
        }
    }
}

void corr_run(const corr *c, const corr_io *io) {
    run_job r = { c, io, up(c->walk[0].rows, c->block), up(c->out_c, c->rows), 1 };
    int tasks = io->n * c->s.groups * r.blocks;
    double macs = (double)c->out_c * c->taps * imin(c->block, c->walk[0].rows) * c->walk[0].columns;
    /* No bit depends on it: each number of the output is a sum of its own. Each part fills a panel. */
    int threads = pool_active(io->workers), pieces = c->direct ? TUNE_TASKS * threads : threads;
    r.parts = panel_split(tasks, threads == 1 ? 1 : pieces, r.row_blocks, macs);
    pool_run(io->workers, tasks * r.parts, macs / r.parts / MACS_PER_NS, run_task, &r);
}
