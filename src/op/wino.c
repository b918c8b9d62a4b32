/* wino.c - F(4x4, 3x3). See wino.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/wino.h"
#include "base/tuning.h"
#include <string.h>

enum {
    POINTS = 36,
    PHASES = 16,
    PAD = 16 /* floats between the points of V: a power of two would put all 36 in one set of L1 */
};

/* Products a core retires per nanosecond; as in corr.c. */
#define MACS_PER_NS 30.0

static int imin(int a, int b) { return a < b ? a : b; }
static int imax(int a, int b) { return a > b ? a : b; }
static int up(int n, int size) { return (n + size - 1) / size; }
static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* Below these sizes the transforms cost more than the products they save; above the last, the
 * transformed weights no longer stay in a shared cache between tasks and the direct way reads a
 * quarter of their bytes. */
bool wino_suits(const conv_shape *s, bool adjoint, bool strict) {
    if (strict || s->groups != 1 || s->kh != 3 || s->kw != 3) return false;
    if (s->sh != 1 || s->sw != 1 || s->dh != 1 || s->dw != 1) return false;
    if (adjoint && (s->pt > 2 || s->pl > 2)) return false;
    int out_h = adjoint ? s->h : s->oh, out_w = adjoint ? s->w : s->ow;
    if (s->c < TUNE_WINO_MAPS || s->o < TUNE_WINO_MAPS) return false;
    if (out_h < TUNE_WINO_SIDE || out_w < TUNE_WINO_SIDE) return false;
    return (size_t)s->c * (size_t)s->o * POINTS * sizeof(float) <= TUNE_WINO_BYTES;
}

static void lay_out(wino *w, const conv_shape *s, bool adjoint, const struct kern *kern) {
    *w = (wino){ .adjoint = adjoint,
                 .flip = s->flip,
                 .in_c = s->c,
                 .out_c = s->o,
                 .in_h = s->h,
                 .in_w = s->w,
                 .out_h = s->oh,
                 .out_w = s->ow,
                 .before_y = s->pt,
                 .before_x = s->pl };
    if (adjoint)
        *w = (wino){ .adjoint = true,
                     .flip = s->flip,
                     .in_c = s->o,
                     .out_c = s->c,
                     .in_h = s->oh,
                     .in_w = s->ow,
                     .out_h = s->h,
                     .out_w = s->w,
                     .before_y = 2 - s->pt,
                     .before_x = 2 - s->pl };
    w->tiles_y = up(w->out_h, 4), w->tiles_x = up(w->out_w, 4);
    w->pitch = w->tiles_x + 1;
    /* Rows of a third of a vector or less: their transforms run part empty, the products do not. */
    w->dense = 3 * w->tiles_x <= kern->lanes;
    int positions = w->dense ? w->tiles_y * w->tiles_x : (w->tiles_y - 1) * w->pitch + w->tiles_x;
    /* Two vectors of tiles, unless V would then crowd the rest out of L2. */
    size_t v = sizeof(float) * POINTS * (size_t)w->in_c * (size_t)kern->lanes;
    int vectors = 2 * v <= TUNE_WINO_V_BYTES && positions > kern->lanes ? 2 : 1;
    w->columns = vectors * kern->lanes;
    w->rows = up(w->out_c, up(w->out_c, kern->tile_rows[vectors]));
    size_t row = sizeof(float) * PHASES * (size_t)w->in_c * (size_t)w->pitch;
    w->block = imax(1, imin(w->tiles_y, (int)(TUNE_PANEL_BYTES / row) - 1));
    if (w->dense) w->block = imin(w->block, imax(1, w->columns / w->tiles_x));
}

/* Of one map and point in V: a dense row's last transform runs over the end by less than a vector. */
static size_t v_pitch(const wino *w, const struct kern *kern) {
    return (size_t)w->columns + (w->dense ? (size_t)kern->lanes : 0);
}

static size_t plane(const wino *w) { return (size_t)(w->block + 1) * (size_t)w->pitch; }

size_t wino_bytes(const conv_shape *s, bool adjoint, const struct kern *kern) {
    wino w;
    lay_out(&w, s, adjoint, kern);
    return align64(sizeof w) + align64(sizeof(float) * POINTS * (size_t)w.in_c * (size_t)w.out_c);
}

void wino_build(wino *w, const conv_shape *s, bool adjoint, const struct kern *kern) {
    if (w->built) return;
    lay_out(w, s, adjoint, kern);
    w->packed = (float *)((char *)w + align64(sizeof *w));
    w->built = true;
}

/* ---- Weights --------------------------------------------------------------------------------- */

typedef struct pack_job {
    const wino *w;
    const struct kern *kern;
    const float *weight, *scale;
} pack_job;

static void pack_task(void *arg, int task, int thread) {
    const pack_job *p = arg;
    const wino *w = p->w;
    float kernels[9 * TILE_MAX_ROWS];
    (void)thread;
    int m0 = task * w->rows, rows = imin(w->rows, w->out_c - m0);
    float *block = w->packed + (size_t)m0 * POINTS * (size_t)w->in_c;
    for (int c = 0; c < w->in_c; c++) {
        /* w (o, c, 3, 3): the maps of this product are o forward and c in the adjoint. */
        size_t first = w->adjoint ? (size_t)c * (size_t)w->out_c + (size_t)m0
                                  : (size_t)m0 * (size_t)w->in_c + (size_t)c;
        p->kern->transpose(rows, 9, p->weight + 9 * first, w->adjoint ? 9 : 9 * w->in_c, kernels,
                           rows);
        for (int i = 0; p->scale && i < 9; i++)
            p->kern->mul((size_t)rows, kernels + i * rows, p->scale + m0, kernels + i * rows);
        p->kern->wino_kernel(rows, kernels, w->adjoint != w->flip, block + c * rows,
                             (ptrdiff_t)w->in_c * rows);
    }
}

void wino_pack(wino *w, const struct kern *kern, pool *workers, const float *weight,
               const float *scale) {
    pack_job p = { w, kern, weight, scale };
    pool_run(workers, up(w->out_c, w->rows), 8.0 * w->in_c * w->rows, pack_task, &p);
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* A thread's scratch: line | panel | V | M | Y. The panel is over-read by a chunk of tiles. */
typedef struct areas {
    float *line, *panel, *v, *m, *y;
    size_t bytes;
} areas;

static areas areas_of(const wino *w, const struct kern *kern, char *base) {
    size_t columns = (size_t)w->columns, at = 0;
    areas a;
    const struct {
        float **area;
        size_t floats;
    } part[] = {
        { &a.line, 4 * ((size_t)w->pitch + (size_t)kern->lanes) },
        { &a.panel, PHASES * plane(w) * (size_t)w->in_c + columns + (size_t)w->pitch + 1 },
        { &a.v, POINTS * ((size_t)w->in_c * v_pitch(w, kern) + PAD) },
        { &a.m, POINTS * (size_t)w->rows * columns },
        { &a.y, PHASES * columns + LENS_SLACK },
    };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        *part[i].area = (float *)(base + at);
        at += align64(sizeof(float) * part[i].floats);
    }
    a.bytes = at;
    return a;
}

size_t wino_thread_bytes(const conv_shape *s, bool adjoint, const struct kern *kern) {
    wino w;
    lay_out(&w, s, adjoint, kern);
    return areas_of(&w, kern, NULL).bytes;
}

/* Panel row q of phase row p holds input row 4*(ty0+q) + p - before; columns likewise. */
static void fill_panel(const wino *w, const struct kern *kern, const float *in, int ty0, int rows,
                       const areas *a) {
    int left = imin(w->before_x, 4 * w->pitch), copied = imin(w->in_w, 4 * w->pitch - left);
    memset(a->line, 0, sizeof(float) * 4 * ((size_t)w->pitch + (size_t)kern->lanes));
    for (int c = 0; c < w->in_c; c++)
        for (int r = 0; r < 4 * (rows + 1); r++) {
            float *dst = a->panel + ((size_t)c * PHASES + (size_t)(r % 4 * 4)) * plane(w) +
                         (ptrdiff_t)(r / 4) * w->pitch;
            int y = 4 * ty0 + r - w->before_y;
            if (y < 0 || y >= w->in_h) {
                for (int s = 0; s < 4; s++)
                    memset(dst + (size_t)s * plane(w), 0, sizeof *dst * (size_t)w->pitch);
                continue;
            }
            memcpy(a->line + left, in + ((size_t)c * (size_t)w->in_h + (size_t)y) * (size_t)w->in_w,
                   sizeof(float) * (size_t)copied);
            kern->split4(w->pitch, a->line, dst, (ptrdiff_t)plane(w));
        }
}

/* Tiles p0 .. p0+count-1 of the block, `pitch` a row, from y (phases) to the output plane. */
static void put_tiles(const wino *w, const struct kern *kern, const float *y, int ty0, int p0,
                      int count, float *out) {
    int pitch = w->dense ? w->tiles_x : w->pitch;
    for (int p = p0; p < p0 + count;) {
        int row = p / pitch, x = p % pitch, tiles = imin(p0 + count, row * pitch + w->tiles_x) - p;
        for (int r = 0; tiles > 0 && r < 4; r++) {
            int oy = 4 * (ty0 + row) + r;
            if (oy < w->out_h)
                kern->join4(imin(4 * tiles, w->out_w - 4 * x),
                            y + (ptrdiff_t)(4 * r) * w->columns + (p - p0), w->columns,
                            out + (ptrdiff_t)oy * w->out_w + 4 * x);
        }
        p = (row + 1) * pitch;
    }
}

/* V of tiles p .. p+count-1; a dense block has all its rows in one chunk. */
static void transform_inputs(const wino *w, const struct kern *kern, const areas *a, int rows,
                             int p, int count) {
    ptrdiff_t v_row = (ptrdiff_t)v_pitch(w, kern), v_point = v_row * w->in_c + PAD,
              phase = (ptrdiff_t)plane(w);
    for (int c = 0; c < w->in_c; c++) {
        const float *panel = a->panel + (ptrdiff_t)c * PHASES * phase + p;
        float *v = a->v + c * v_row;
        if (!w->dense) {
            kern->wino_in(panel, phase, w->pitch, count, v, v_point);
            continue;
        }
        for (int row = 0; row < rows; row++)
            kern->wino_in(panel + (ptrdiff_t)row * w->pitch, phase, w->pitch, w->tiles_x,
                          v + (ptrdiff_t)row * w->tiles_x, v_point);
    }
}

typedef struct run_job {
    const wino *w;
    const corr_io *io;
    int blocks, row_blocks, parts;
} run_job;

static void run_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    const wino *w = r->w;
    const corr_io *io = r->io;
    const struct kern *kern = io->kern;
    int part = task % r->parts, block = task / r->parts % r->blocks,
        image = task / r->parts / r->blocks;
    areas a = areas_of(w, kern, (char *)io->thread_scratch + (size_t)thread * io->thread_stride);
    size_t out_plane = (size_t)w->out_h * (size_t)w->out_w;
    float *out = io->out + (size_t)image * (size_t)w->out_c * out_plane;
    int ty0 = block * w->block, rows = imin(w->block, w->tiles_y - ty0);
    fill_panel(w, kern,
               io->in + (size_t)image * (size_t)w->in_c * (size_t)w->in_h * (size_t)w->in_w, ty0,
               rows, &a);
    int first = part * r->row_blocks / r->parts, end = (part + 1) * r->row_blocks / r->parts;
    int length = w->dense ? rows * w->tiles_x : (rows - 1) * w->pitch + w->tiles_x;
    ptrdiff_t v_row = (ptrdiff_t)v_pitch(w, kern);
    for (int p = 0; p < length; p += w->columns) {
        int count = imin(w->columns, length - p);
        transform_inputs(w, kern, &a, rows, p, count);
        for (int b = first; b < end; b++) {
            int m0 = b * w->rows, maps = imin(w->rows, w->out_c - m0);
            tile_job t = { .a_k = maps,
                           .b_k = v_row,
                           .c_m = w->columns,
                           .k = w->in_c,
                           .rows = maps,
                           .columns = count,
                           .init = TILE_ZERO };
            for (int point = 0; point < POINTS; point++) {
                t.a = w->packed +
                      ((size_t)m0 * POINTS + (size_t)point * (size_t)maps) * (size_t)w->in_c;
                t.b = a.v + (ptrdiff_t)point * (w->in_c * v_row + PAD);
                t.c = a.m + (size_t)point * (size_t)maps * (size_t)w->columns;
                kern->tile(&t);
            }
            for (int m = 0; m < maps; m++) {
                kern->wino_out(a.m + (size_t)m * (size_t)w->columns, (ptrdiff_t)maps * w->columns,
                               count, io->bias ? io->bias[m0 + m] : 0, io->act, io->slope, a.y,
                               w->columns);
                put_tiles(w, kern, a.y, ty0, p, count, out + (size_t)(m0 + m) * out_plane);
            }
        }
    }
}

void wino_run(const wino *w, const corr_io *io) {
    run_job r = { w, io, up(w->tiles_y, w->block), up(w->out_c, w->rows), 1 };
    int tasks = io->n * r.blocks;
    double macs = (double)POINTS * w->in_c * w->out_c * w->block * w->pitch;
    if (tasks < TUNE_TASKS && macs >= TUNE_SPLIT_MACS)
        r.parts = imin(r.row_blocks, up(TUNE_TASKS, tasks));
    pool_run(io->workers, tasks * r.parts, macs / r.parts / MACS_PER_NS, run_task, &r);
}
