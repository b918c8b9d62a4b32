/* corr.c - panels, walks and the three passes of a convolution. See corr.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/corr.h"
#include "base/tuning.h"
#include <assert.h>
#include <string.h>

/* As in gemm.c: for the estimates that decide between serial and parallel. */
#define MACS_PER_NS 30.0

static int imin(int a, int b) { return a < b ? a : b; }
static int imax(int a, int b) { return a > b ? a : b; }
static int up(int n, int size) { return (n + size - 1) / size; } /* n >= 0 */
static int mod(int a, int m) { return (a % m + m) % m; }
static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* ---- Layout --------------------------------------------------------------------------------- */

/* Along one axis of the adjoint: output phase p reaches input row r + reach(tap) from grid row r, if
 * the tap has this phase at all. */
static bool adjoint_tap(int phase, int pad, int tap, int step, int *reach) {
    int d = phase + pad - tap;
    if (mod(d, step) != 0) return false;
    *reach = (d - mod(d, step)) / step;
    return true;
}

static void adjoint_axis(int k, int dilation, int step, int pad, int *before, int *span) {
    int low = INT32_MAX, high = INT32_MIN, reach;
    for (int phase = 0; phase < step; phase++)
        for (int u = 0; u < k; u++)
            if (adjoint_tap(phase, pad, u * dilation, step, &reach))
                low = imin(low, reach), high = imax(high, reach);
    *before = -low;
    *span = high - low;
}

/* What a layout is for: a pass, or the tables of corr_weights. */
typedef enum purpose { FORWARD, THROUGH_BEFORE, ADJOINT, WEIGHTS } purpose;

static purpose pass_purpose(bool adjoint, bool before) {
    return adjoint ? ADJOINT : before ? THROUGH_BEFORE : FORWARD;
}

static void lay_out(corr *c, const conv_shape *s, purpose to) {
    bool adjoint = to == ADJOINT, before = to == THROUGH_BEFORE;
    *c = (corr){ .s = *s, .adjoint = adjoint, .before = before };
    int grid_rows, grid_columns;
    if (adjoint) {
        c->in_c = s->o / s->groups, c->out_c = s->c / s->groups;
        c->in_h = s->oh, c->in_w = s->ow, c->out_h = s->h, c->out_w = s->w;
        c->step_y = c->step_x = c->phases_y = c->phases_x = 1;
        c->grid_y = s->sh, c->grid_x = s->sw;
        c->walks = imin(s->sh, s->h) * imin(s->sw, s->w);
        adjoint_axis(s->kh, s->dh, s->sh, s->pt, &c->before_y, &c->span_y);
        adjoint_axis(s->kw, s->dw, s->sw, s->pl, &c->before_x, &c->span_x);
        grid_rows = up(s->h, s->sh), grid_columns = up(s->w, s->sw);
    } else {
        c->in_c = s->c / s->groups, c->out_c = s->o / s->groups;
        c->in_h = s->h, c->in_w = s->w, c->out_h = s->oh, c->out_w = s->ow;
        c->step_y = s->sh, c->step_x = s->sw;
        c->grid_y = c->grid_x = c->walks = 1;
        int reach_y = (s->kh - 1) * s->dh, reach_x = (s->kw - 1) * s->dw;
        c->phases_y = imin(s->sh, reach_y + 1), c->phases_x = imin(s->sw, reach_x + 1);
        c->before_y = s->pt, c->before_x = s->pl;
        c->span_y = reach_y / s->sh, c->span_x = reach_x / s->sw;
        grid_rows = s->oh, grid_columns = s->ow;
    }
    c->taps = c->in_c * s->kh * s->kw; /* each weight belongs to exactly one walk, or to none */
    c->pitch = grid_columns + c->span_x;
    bool bare =
        c->step_y == 1 && c->step_x == 1 && c->grid_y == 1 && c->grid_x == 1 && c->before_y == 0 &&
        c->before_x == 0 && c->in_w == c->pitch && c->in_h == grid_rows + c->span_y &&
        (size_t)c->in_c * (size_t)c->in_h * (size_t)c->in_w < INT32_MAX; /* row[] is 32-bit */
    c->direct = bare && !before;
    c->line = bare && c->span_y == 0 && c->span_x == 0;
    if (c->line) { /* which may be cut anywhere */
        grid_rows *= c->pitch;
        c->in_h = c->out_h = grid_rows;
        c->in_w = c->out_w = c->pitch = 1;
    }
    /* Rows of a block: the panel, or what is read in its place, within its share of L2, and the flat
     * positions short enough that the dropped columns' scratch stays small; at least one row. A weight
     * gradient takes a few channels at a time: its offsets need only be 32-bit. */
    size_t row_bytes =
        sizeof(float) * (size_t)(c->in_c * c->phases_y * c->phases_x) * (size_t)c->pitch;
    size_t room = to == WEIGHTS ? sizeof(float) * (size_t)INT32_MAX : TUNE_PANEL_BYTES;
    int fit = imin((int)(room / row_bytes) - c->span_y, TUNE_FLAT_POSITIONS / c->pitch);
    fit = imax(1, imin(grid_rows, fit));
    c->block = up(grid_rows, up(grid_rows, fit)); /* all alike */
    if (c->line) c->block = up(c->block, TUNE_LINE) * TUNE_LINE;
    c->block = imin(c->block, grid_rows);
    c->panel_rows = c->direct ? c->in_h : c->block + c->span_y;
}

static size_t panel_plane(const corr *c) { return (size_t)c->panel_rows * (size_t)c->pitch; }

static size_t panel_floats(const corr *c) {
    return c->direct ? 0 : panel_plane(c) * (size_t)(c->in_c * c->phases_y * c->phases_x);
}

/* Positions that tiles of one block run over when they cross row ends. */
static int flat_length(const corr *c, int rows, int columns) {
    return (rows - 1) * c->pitch + columns;
}

/* True if rows of the output grid follow each other in memory as they do in the panel. */
static bool contiguous(const corr *c) {
    return c->grid_y == 1 && c->grid_x == 1 && c->pitch == c->out_w;
}

/* ---- Choice of tile ------------------------------------------------------------------------- */

/* Issue slots of the tiles over one line of `length` positions, `rows` maps and k taps: a tile of r x v
 * vectors does r*v multiply-adds a step against r broadcasts and v loads, of which most cross a cache
 * line and count twice; chains shorter than the latency (4) wait. Prologue and epilogue touch every
 * accumulator about twice. */
static double tile_cost(double rows, int vectors, double k) {
    double work = rows * vectors, loads = rows + 1.8 * vectors;
    double step = work > loads ? work : loads;
    return k * (step > 4 ? step : 4) + 2 * work + 20;
}

static double line_cost(const struct kern *kern, int out_c, int v, double k, int length) {
    int blocks = up(out_c, kern->tile_rows[v]);
    int all = up(length, kern->lanes), rest = all % v;
    double rows = (double)out_c / blocks;
    double cost = (all / v) * tile_cost(rows, v, k);
    return blocks * (rest ? cost + tile_cost(rows, rest, k) : cost);
}

static void choose_tile(corr *c, const struct kern *kern) {
    int columns = up(c->out_w, c->grid_x);
    double k = (double)c->taps / c->walks, best = 0;
    /* Flat tiles leave their result in scratch, copied row by row: about 8 slots a row and 2 a vector. */
    double copy =
        contiguous(c) ? 0 : (double)c->out_c * c->block * (8 + 2.0 * columns / kern->lanes);
    bool rows_possible = c->grid_x == 1 && !contiguous(c);
    for (int v = 1; v <= kern->tile_vectors; v++) {
        double flat = line_cost(kern, c->out_c, v, k, flat_length(c, c->block, columns)) + copy;
        double by_row = c->block * line_cost(kern, c->out_c, v, k, columns);
        bool prefer_row = rows_possible && by_row < flat;
        double cost = prefer_row ? by_row : flat;
        if (best == 0 || cost < best) {
            best = cost;
            c->vectors = v;
            c->by_row = prefer_row;
            c->rows = up(c->out_c, up(c->out_c, kern->tile_rows[v]));
        }
    }
}

/* ---- Building ------------------------------------------------------------------------------- */

/* head | walks | row offsets | weight taps | packed weights */
static size_t corr_parts(const corr *c, size_t at[4]) {
    at[0] = align64(sizeof *c);
    at[1] = at[0] + align64(sizeof *c->walk * (size_t)c->walks);
    at[2] = at[1] + align64(sizeof *c->row * (size_t)c->taps);
    at[3] = at[2] + align64(sizeof *c->tap_of * (size_t)c->taps);
    return at[3] +
           align64(sizeof *c->packed * (size_t)c->taps * (size_t)c->out_c * (size_t)c->s.groups);
}

size_t corr_bytes(const conv_shape *s, bool adjoint) {
    corr c;
    size_t at[4];
    lay_out(&c, s, pass_purpose(adjoint, false));
    return corr_parts(&c, at);
}

size_t corr_table_bytes(const conv_shape *s) {
    corr c;
    size_t at[4];
    lay_out(&c, s, WEIGHTS);
    corr_parts(&c, at);
    return at[3];
}

/* Tables of one walk: for each panel channel, its taps in the order of the weights. */
static int add_walk(corr *c, corr_walk *walk, int phase_y, int phase_x, int first) {
    const conv_shape *s = &c->s;
    *walk = (corr_walk){ .out_y = phase_y,
                         .out_x = phase_x,
                         .first_tap = first,
                         .rows = up(c->out_h - phase_y, c->grid_y),
                         .columns = up(c->out_w - phase_x, c->grid_x) };
    int at = first;
    for (int ch = 0; ch < c->in_c; ch++)
        for (int u = 0; u < s->kh; u++)
            for (int v = 0; v < s->kw; v++) {
                int y = (s->flip ? s->kh - 1 - u : u) * s->dh,
                    x = (s->flip ? s->kw - 1 - v : v) * s->dw;
                int panel = ch, reach_y, reach_x;
                if (c->adjoint) {
                    if (!adjoint_tap(phase_y, s->pt, y, s->sh, &reach_y) ||
                        !adjoint_tap(phase_x, s->pl, x, s->sw, &reach_x))
                        continue;
                    reach_y += c->before_y, reach_x += c->before_x;
                } else {
                    panel = (ch * c->phases_y + y % s->sh) * c->phases_x + x % s->sw;
                    reach_y = y / s->sh, reach_x = x / s->sw;
                }
                c->row[at] =
                    (int32_t)((size_t)panel * panel_plane(c)) + reach_y * c->pitch + reach_x;
                c->tap_of[at++] = u * s->kw + v;
            }
    walk->taps = at - first;
    return at;
}

static void build(corr *c, const conv_shape *s, purpose to, const struct kern *kern) {
    size_t at[4];
    char *base = (char *)c;
    lay_out(c, s, to);
    corr_parts(c, at);
    c->walk = (corr_walk *)(base + at[0]);
    c->row = (int32_t *)(base + at[1]);
    c->tap_of = (int32_t *)(base + at[2]);
    c->packed = (float *)(base + at[3]);
    choose_tile(c, kern);
    int first = 0, walk = 0;
    for (int y = 0; y < imin(c->grid_y, c->out_h); y++)
        for (int x = 0; x < imin(c->grid_x, c->out_w); x++)
            first = add_walk(c, &c->walk[walk++], y, x, first);
    assert(walk == c->walks && first <= c->taps);
    c->built = true;
}

void corr_build(corr *c, const conv_shape *s, bool adjoint, bool before, const struct kern *kern) {
    if (!c->built) build(c, s, pass_purpose(adjoint, before), kern);
}

void corr_build_tables(corr *c, const conv_shape *s, const struct kern *kern) {
    if (!c->built) build(c, s, WEIGHTS, kern);
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
        for (int o = 0; o < c->in_c; o++, dst += per * rows) {
            const float *src =
                p->w +
                (((size_t)group * (size_t)c->in_c + (size_t)o) * (size_t)c->out_c + (size_t)m0) *
                    (size_t)kk;
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

/* ---- Panels --------------------------------------------------------------------------------- */

/* Copies what grid rows r0 .. r0+rows-1 need from `channels` planes `in` into the panel; `before`, of the
 * first of them, or NULL. */
static void fill_panel(const corr *c, const struct kern *kern, const corr_before *before,
                       const float *in, int channels, int r0, int rows, float *panel) {
    size_t plane = panel_plane(c), size = (size_t)c->in_h * (size_t)c->in_w;
    if (c->line) { /* has a panel for the sake of `before` */
        for (int ch = 0; ch < channels; ch++)
            kern->scale_shift((size_t)rows, before->scale[ch], before->shift[ch], before->act,
                              before->slope, in + (size_t)ch * size + r0,
                              panel + (size_t)ch * plane);
        return;
    }
    for (int ch = 0; ch < channels; ch++, in += size)
        for (int py = 0; py < c->phases_y; py++)
            for (int px = 0; px < c->phases_x; px++, panel += plane) {
                /* Panel column t holds x = t*step + offset; inside the picture for low <= t < high. */
                int offset = px - c->before_x;
                int low = offset < 0 ? imin(c->pitch, up(-offset, c->step_x)) : 0;
                int high = imax(
                    low, imin(c->pitch, offset < c->in_w ? up(c->in_w - offset, c->step_x) : 0));
                for (int q = 0; q < rows + c->span_y; q++) {
                    float *dst = panel + (ptrdiff_t)q * c->pitch;
                    int y = (r0 + q) * c->step_y + py - c->before_y;
                    if (y < 0 || y >= c->in_h || low == high) {
                        memset(dst, 0, sizeof *dst * (size_t)c->pitch);
                        continue;
                    }
                    const float *src = in + (ptrdiff_t)y * c->in_w + offset;
                    for (int t = 0; t < low; t++) dst[t] = 0;
                    if (c->step_x == 1)
                        for (int t = low; t < high; t++) dst[t] = src[t];
                    else
                        kern->every(high - low, c->step_x, src + (ptrdiff_t)low * c->step_x,
                                    dst + low);
                    if (before)
                        kern->scale_shift((size_t)(high - low), before->scale[ch],
                                          before->shift[ch], before->act, before->slope, dst + low,
                                          dst + low);
                    for (int t = high; t < c->pitch; t++) dst[t] = 0;
                }
            }
}

/* ---- Forward and adjoint -------------------------------------------------------------------- */

/* Scratch for flat tiles: one row block over a whole block of positions. */
static size_t flat_floats(const corr *c, const struct kern *kern) {
    return (size_t)c->rows * (size_t)(c->block * c->pitch + kern->lanes);
}

size_t corr_thread_bytes(const conv_shape *s, bool adjoint, bool before, const struct kern *kern) {
    corr c;
    lay_out(&c, s, pass_purpose(adjoint, before));
    choose_tile(&c, kern);
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
    if (contiguous(c)) {
        ptrdiff_t at = (ptrdiff_t)r0 * c->out_w;
        t.c_m = (ptrdiff_t)plane;
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
    line(c, io->kern, &t, panel, flat, NULL, flat_length(c, rows, walk->columns));
    const ptrdiff_t from = (ptrdiff_t)r0 * c->out_w; /* add: only with a grid of 1 */
    for (int m = 0; m < maps; m++, flat += t.c_m, out += plane) {
        for (int i = 0; i < rows; i++) {
            const float *src = flat + (ptrdiff_t)i * c->pitch;
            float *dst =
                out + (ptrdiff_t)((r0 + i) * c->grid_y + walk->out_y) * c->out_w + walk->out_x;
            if (c->grid_x == 1)
                for (int j = 0; j < walk->columns; j++) dst[j] = src[j];
            else
                for (int j = 0; j < walk->columns; j++) dst[(ptrdiff_t)j * c->grid_x] = src[j];
        }
        if (!add) continue;
        size_t count = (size_t)rows * (size_t)c->out_w;
        io->kern->add(count, out + from, add + (size_t)m * plane + from, out + from);
        if (io->act != ACT_NONE) io->kern->act(io->act, io->slope, count, out + from, out + from);
    }
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
    const float *in = io->in + map * (size_t)c->in_c * in_plane;
    size_t first_out = map * (size_t)c->out_c * out_plane;
    float *out = io->out + first_out;
    const float *add = io->add ? io->add + first_out : NULL;
    char *scratch = (char *)io->thread_scratch + (size_t)thread * io->thread_stride;
    float *flat = (float *)(scratch + align64(sizeof(float) * (panel_floats(c) + LENS_SLACK)));
    int r0 = block * c->block;
    const float *panel = in + (ptrdiff_t)r0 * c->pitch;
    if (!c->direct) {
        corr_before before = io->before;
        if (c->before) before.scale += group * c->in_c, before.shift += group * c->in_c;
        fill_panel(c, io->kern, c->before ? &before : NULL, in, c->in_c, r0,
                   imin(c->block, c->walk[0].rows - r0), (float *)scratch);
        panel = (const float *)scratch;
    }
    int first = part * r->row_blocks / r->parts, end = (part + 1) * r->row_blocks / r->parts;
    for (int b = first; b < end; b++)
        for (int i = 0; i < c->walks; i++)
            walk_block(r, &c->walk[i], group, b * c->rows, r0, panel, flat, out, add);
}

/* Into how many parts to cut each of `tasks`, each with a panel of its own, so that `pieces` are there
 * to be shared out. */
static int split(int tasks, int pieces, int most, double macs) {
    if (tasks >= pieces || macs < TUNE_SPLIT_MACS) return 1;
    return imin(most, up(pieces, tasks));
}

void corr_run(const corr *c, const corr_io *io) {
    run_job r = { c, io, up(c->walk[0].rows, c->block), up(c->out_c, c->rows), 1 };
    int tasks = io->n * c->s.groups * r.blocks;
    double macs = (double)c->out_c * c->taps * imin(c->block, c->walk[0].rows) * c->walk[0].columns;
    /* No bit depends on it: each number of the output is a sum of its own. */
    int threads = pool_threads(io->workers);
    r.parts = split(tasks, threads == 1 ? 1 : TUNE_TASKS * threads, r.row_blocks, macs);
    pool_run(io->workers, tasks * r.parts, macs / r.parts / MACS_PER_NS, run_task, &r);
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

/* Of one channel of an image in the panel. */
static size_t channel_floats(const corr *c) {
    return (size_t)(c->phases_y * c->phases_x) * panel_plane(c);
}

static int channels_together(const corr *c, int images) {
    size_t one = sizeof(float) * (size_t)images *
                 (c->direct ? (size_t)(c->block * c->pitch) : channel_floats(c));
    int fit = imax(1, imin(c->in_c, (int)(TUNE_PANEL_BYTES / one)));
    return fit > DOT_MAX_COLUMNS ? fit - fit % DOT_MAX_COLUMNS : fit;
}

size_t corr_weights_thread_bytes(const conv_shape *s, int batch) {
    corr c;
    lay_out(&c, s, WEIGHTS);
    /* Of smaller batches more channels fit, up to the same bytes. */
    size_t one = sizeof(float) * (size_t)images_together(&c, batch) * channel_floats(&c);
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
    bool one_line = contiguous(c);
    int kk = c->s.kh * c->s.kw, t0 = p->first_channel * kk, t1 = t0 + p->channels * kk;
    int32_t base = c->direct ? 0 : (int32_t)(p->first_channel * channel_floats(c));
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
                           .panel_image = (ptrdiff_t)((size_t)most * channel_floats(c)),
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
                    fill_panel(c, w->kern, NULL, x + (i * c->s.c + ch) * in_plane, p.channels, r0,
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
    w.parts = split(tasks,
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
