/* wino.c - F(m x m, k x k). See wino.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/wino.h"
#include "base/tuning.h"
#include "op/blocks.h"

#include <assert.h>
#include <string.h>

/* Inputs or outputs transformed by a core; as MACS_PER_NS. */
#define CELLS_PER_NS 5.0

/* Floats between the points of V and M: a power of two would put them all in one set of L1. */
enum { PAD = 16 };

static int points_of(int m, int k) { return (m + k - 1) * (m + k - 1); }

/* ---- Choice ---------------------------------------------------------------------------------- */

/* Cycles of a core with 16 lanes for one picture by tiles of m x m outputs, or directly (m = 0). Products:
 * 32 a cycle, of the direct way some 15 % fewer. Transforms of 16 tiles of a map: about 60 cycles for 16
 * points, 110 for 36 and 250 for 64, from their operations. U that a shared cache cannot hold is read from
 * memory at 8 bytes a cycle, for four pictures at a time: what batches save on the one hand they lose on the
 * other. Alone, a picture leaves part of its last vector of tiles empty, in a batch it does not: the mean of
 * both, as the choice must not know the batch. */
static double cycles(const conv_shape *s, int m, int out_h, int out_w) {
    double pairs = (double)s->c * s->o;
    if (m == 0) return 1.15 * s->kh * s->kw * pairs * out_h * out_w / 32;
    int points = points_of(m, s->kh), all = up(out_h, m) * up(out_w, m);
    double tiles = (all + 16 * up(all, 16)) / 2.0, bytes = sizeof(float) * points * pairs;
    double transform = points == 16 ? 60 : points == 36 ? 110 : 250;
    return points * pairs * tiles / 32 + transform * (s->c + s->o) * tiles / 16 +
           (bytes > TUNE_WINO_BYTES ? bytes / 32 : 0);
}

bool wino_can(const conv_shape *s, bool adjoint, int m) {
    bool sizes = s->kh == s->kw && ((s->kh == 3 && (m == 2 || m == 4)) || (s->kh == 5 && m == 4));
    if (!sizes || s->groups != 1) return false;
    if (s->sh != 1 || s->sw != 1 || s->dh != 1 || s->dw != 1) return false;
    return !adjoint || (s->pt < s->kh && s->pl < s->kw);
}

int wino_estimate(const conv_shape *s, bool adjoint) {
    int out_h = adjoint ? s->h : s->oh, out_w = adjoint ? s->w : s->ow, best = 0;
    if (s->c < TUNE_WINO_MAPS || s->o < TUNE_WINO_MAPS) return 0;
    if (out_h < TUNE_WINO_SIDE || out_w < TUNE_WINO_SIDE) return 0;
    for (int m = 2; m <= 4; m += 2)
        if (wino_can(s, adjoint, m) && cycles(s, m, out_h, out_w) < cycles(s, best, out_h, out_w))
            best = m;
    return best;
}

/* ---- Layout ---------------------------------------------------------------------------------- */

static void lay_out(wino *w, const conv_shape *s, bool adjoint, int m, const struct kern *kern) {
    *w = (wino){ .adjoint = adjoint, .flip = s->flip, .m = m, .k = s->kh };
    w->points = points_of(m, w->k);
    w->in = (wino_tiles){ .h = s->h, .w = s->w, .y = -s->pt, .x = -s->pl };
    w->out = (wino_tiles){ .h = s->oh, .w = s->ow };
    w->in_c = s->c, w->out_c = s->o;
    if (adjoint) {
        w->in =
            (wino_tiles){ .h = s->oh, .w = s->ow, .y = s->pt - s->kh + 1, .x = s->pl - s->kw + 1 };
        w->out = (wino_tiles){ .h = s->h, .w = s->w };
        w->in_c = s->o, w->out_c = s->c;
    }
    w->in.across = w->out.across = up(w->out.w, w->m);
    w->in.tiles = w->out.tiles = up(w->out.h, w->m) * w->out.across;
    w->in.image = (ptrdiff_t)w->in_c * w->in.h * w->in.w;
    w->out.image = (ptrdiff_t)w->out_c * w->out.h * w->out.w;
    /* An even number of blocks: two threads share a picture evenly. */
    w->rows = up(w->out_c, 2 * up(w->out_c, 2 * kern->tile_rows[1]));
}

size_t wino_bytes(const conv_shape *s, bool adjoint, int m, const struct kern *kern) {
    wino w;
    lay_out(&w, s, adjoint, m, kern);
    return align64(sizeof w) +
           align64(sizeof(float) * (size_t)w.points * (size_t)w.in_c * (size_t)w.out_c);
}

void wino_build(wino *w, const conv_shape *s, bool adjoint, int m, const struct kern *kern) {
    lay_out(w, s, adjoint, m, kern);
    w->packed = (float *)((char *)w + align64(sizeof *w));
}

/* How n pictures are cut into groups of tiles and V and M lie in a thread's scratch. A group is what a
 * tile of the product takes: all 36 products of a row block then read its U in one sequence, from
 * whatever cache or memory it is in, at 4 bytes a step of 14 x 2 vectors (7 cycles a vector). */
typedef struct grouping {
    int columns; /* of V and M: most tiles of a group, in whole vectors */
    ptrdiff_t v_point, m_point;
    size_t m_at, bytes;
} grouping;

static grouping group(const wino *w, const struct kern *kern, int n) {
    grouping g = { .columns = imin(up(n * w->in.tiles, kern->lanes), 2) * kern->lanes };
    g.v_point = (ptrdiff_t)w->in_c * g.columns + PAD;
    g.m_point = (ptrdiff_t)w->rows * g.columns + PAD;
    g.m_at = align64(sizeof(float) * (size_t)(w->points * g.v_point));
    g.bytes = g.m_at + align64(sizeof(float) * (size_t)(w->points * g.m_point + LENS_SLACK));
    return g;
}

size_t wino_thread_bytes(const conv_shape *s, bool adjoint, int m, const struct kern *kern,
                         int batch) {
    wino w;
    lay_out(&w, s, adjoint, m, kern);
    return group(&w, kern, batch).bytes;
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
    float kernels[25 * TILE_MAX_ROWS];
    (void)thread;
    int kk = w->k * w->k, m0 = task * w->rows, rows = imin(w->rows, w->out_c - m0);
    float *block = w->packed + (size_t)m0 * (size_t)w->points * (size_t)w->in_c;
    for (int c = 0; c < w->in_c; c++) {
        /* w (o, c, k, k): the maps of this product are o forward and c in the adjoint. */
        size_t first = w->adjoint ? (size_t)c * (size_t)w->out_c + (size_t)m0
                                  : (size_t)m0 * (size_t)w->in_c + (size_t)c;
        p->kern->transpose(rows, kk, p->weight + (size_t)kk * first, w->adjoint ? kk : kk * w->in_c,
                           kernels, rows);
        for (int i = 0; p->scale && i < kk; i++)
            p->kern->mul((size_t)rows, kernels + i * rows, p->scale + m0, kernels + i * rows);
        p->kern->wino_kernel(w->m, w->k, rows, kernels, w->adjoint != w->flip, block + c * rows,
                             (ptrdiff_t)w->in_c * rows);
    }
}

void wino_pack(wino *w, const struct kern *kern, pool *workers, const float *weight,
               const float *scale) {
    pack_job p = { w, kern, weight, scale };
    pool_run(workers, up(w->out_c, w->rows), 8.0 * w->in_c * w->rows, pack_task, &p);
}

/* ---- A run ----------------------------------------------------------------------------------- */

typedef struct run_job {
    const wino *w;
    const corr_io *io;
    grouping g;
    int tiles; /* of all pictures */
    int vectors, groups, row_blocks;
    int shared; /* the group all threads work on */
} run_job;

static float *scratch(const run_job *r, int thread) {
    return (float *)((char *)r->io->thread_scratch + (size_t)thread * r->io->thread_stride);
}

/* The first tile of a group; the pictures' tiles are counted through. */
static int group_first(const run_job *r, int group) {
    return imin(r->tiles, (int)((int64_t)group * r->vectors / r->groups) * r->io->kern->lanes);
}

/* The tiles of a group, of planes like g. */
static wino_tiles group_tiles(const run_job *r, const wino_tiles *g, int group) {
    wino_tiles tiles = *g;
    tiles.first = group_first(r, group);
    tiles.count = group_first(r, group + 1) - tiles.first;
    return tiles;
}

static ptrdiff_t plane_of(const wino_tiles *g) { return (ptrdiff_t)g->h * g->w; }

/* V of one map. */
static void transform_input(const run_job *r, int group, int c, float *v) {
    const wino *w = r->w;
    wino_tiles g = group_tiles(r, &w->in, group);
    ptrdiff_t plane = plane_of(&g);
    g.image += (ptrdiff_t)r->io->in_gap;
    r->io->kern->wino_in(w->m, w->k, &g, r->io->in + c * plane, c + 1 < w->in_c ? plane : 0,
                         v + (ptrdiff_t)c * r->g.columns, r->g.v_point);
}

/* M of row block b at one point. */
static void multiply(const run_job *r, int point, int b, int columns, const float *v, float *m) {
    const wino *w = r->w;
    const struct kern *kern = r->io->kern;
    int m0 = b * w->rows, maps = imin(w->rows, w->out_c - m0);
    int rows = up(maps, up(maps, kern->tile_rows[up(columns, kern->lanes)]));
    for (int i = 0; i < maps; i += rows)
        kern->tile(&(tile_job){
            .a = w->packed +
                 ((size_t)m0 * (size_t)w->points + (size_t)(point * maps)) * (size_t)w->in_c + i,
            .a_k = maps,
            .b = v,
            .b_k = r->g.columns,
            .c = m + (ptrdiff_t)i * r->g.columns,
            .c_m = r->g.columns,
            .k = w->in_c,
            .rows = imin(rows, maps - i),
            .columns = columns,
            .init = TILE_ZERO });
}

/* Outputs of row block b, from V. */
static void finish(const run_job *r, int group, int b, const float *v, float *m) {
    const wino *w = r->w;
    const corr_io *io = r->io;
    wino_tiles g = group_tiles(r, &w->out, group);
    ptrdiff_t plane = plane_of(&g);
    assert(!io->out_gap || (!io->add && !io->mask));
    g.image += (ptrdiff_t)io->out_gap;
    int last = imin(w->out_c, (b + 1) * w->rows);
    for (int point = 0; point < w->points; point++)
        multiply(r, point, b, g.count, v + point * r->g.v_point, m + point * r->g.m_point);
    for (int map = b * w->rows; map < last; map++, m += r->g.columns)
        io->kern->wino_out(w->m, w->k, &g, m, r->g.m_point, io->bias ? io->bias[map] : 0,
                           io->add ? io->add + map * plane : NULL, io->act, io->slope,
                           io->mask ? io->mask + map * plane : NULL, io->out + map * plane,
                           map + 1 < last ? plane : 0);
}

static void group_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    float *v = scratch(r, thread), *m = (float *)((char *)v + r->g.m_at);
    for (int c = 0; c < r->w->in_c; c++) transform_input(r, task, c, v);
    for (int b = 0; b < r->row_blocks; b++) finish(r, task, b, v, m);
}

static void input_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    (void)thread;
    transform_input(r, r->shared, task, scratch(r, 0));
}

static void output_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    finish(r, r->shared, task, scratch(r, 0), (float *)((char *)scratch(r, thread) + r->g.m_at));
}

void wino_run(const wino *w, const corr_io *io) {
    const struct kern *kern = io->kern;
    int threads = pool_active(io->workers);
    run_job r = { .w = w,
                  .io = io,
                  .g = group(w, kern, io->n),
                  .tiles = io->n * w->in.tiles,
                  .row_blocks = up(w->out_c, w->rows) };
    r.vectors = up(r.tiles, kern->lanes);
    r.groups = up(r.vectors, r.g.columns / kern->lanes);
    double cells = (double)r.tiles / r.groups * w->m * w->m / CELLS_PER_NS,
           macs = (double)w->points * w->in_c * r.tiles / r.groups / MACS_PER_NS;
    /* Groups for every thread: each has its own V. Which tiles are together changes no bit. */
    if (r.groups >= threads) {
        r.groups = imin(r.vectors, up(r.groups, threads) * threads);
        pool_run(io->workers, r.groups, macs * w->out_c, group_task, &r);
        return;
    }
    for (r.shared = 0; r.shared < r.groups; r.shared++) {
        pool_run(io->workers, w->in_c, cells, input_task, &r);
        pool_run(io->workers, r.row_blocks, macs * w->rows, output_task, &r);
    }
}

/* ---- Weight gradient ------------------------------------------------------------------------- */

/* Tiles run through in groups again, but they are what is summed over:
 *
 *     d = A dy A'     [point][tile][out map]
 *     v = B' x B      [point][strip][tile][in map of the strip]
 *     u += d v        [point][out map][in map], a product of `tile` of depth `tiles`
 *
 * A task is a block of kernels. Group by group it transforms the maps that these join, lanes along maps, which
 * leaves both factors as the product wants them, and adds to its sums, which no other task knows; in the
 * end it turns them into kernels. Maps are transformed once for each block that they belong to: for blocks of
 * 64 x 64 that is a sixth of the cycles of the products, and all but x and dy stays in a core's caches. */
typedef struct weights_side {
    const float *planes;
    wino_tiles g;
    int halo; /* cells of a tile beyond m */
    int tile; /* floats from tile to tile; maps of a strip are no more */
    ptrdiff_t strip, point;
    size_t at; /* of its transform in a thread's scratch */
} weights_side;

typedef struct weights_job {
    wino w;
    const struct kern *kern;
    weights_side x, dy;
    float *dw;
    void *thread_scratch;
    size_t thread_stride;
    int n;
    int images, rows; /* of a group: some pictures, or some rows of tiles of one */
    int in, out;      /* maps of a block */
    ptrdiff_t u_point;
    size_t cells, u_at, bytes; /* of a group, turned round; in a thread's scratch */
} weights_job;

/* Next to the scratch of what lies before; returns where the next begins. */
static size_t lay_out_side(weights_side *side, const weights_job *j, int maps, int tile,
                           size_t at) {
    int tiles = j->images * j->rows * side->g.across;
    side->tile = tile;
    side->strip = (ptrdiff_t)tiles * tile;
    side->point = up(maps, tile) * side->strip + PAD;
    side->at = at;
    return at + align64(sizeof(float) * (size_t)(j->w.points * side->point));
}

/* Fills in all but the addresses. */
static void lay_out_weights(weights_job *j, const conv_shape *s, int m, const struct kern *kern,
                            int n, int threads) {
    int wide = 2 * kern->lanes;
    lay_out(&j->w, s, false, m, kern);
    const wino_tiles *g = &j->w.in;
    j->kern = kern;
    j->n = n;
    j->x.g = *g, j->x.halo = s->kh - 1;
    j->dy.g = j->w.out, j->dy.halo = 0;
    j->images = imax(1, imin(n, TUNE_WINO_SUM / g->tiles));
    j->rows = up(g->tiles / g->across, up(g->tiles, TUNE_WINO_SUM));

    int outs = up(s->o, TUNE_WINO_BLOCK), ins = up(s->c, TUNE_WINO_BLOCK);
    while (outs * ins % threads && outs * ins < 4 * threads) {
        if (s->o * ins > s->c * outs)
            outs *= 2;
        else
            ins *= 2;
    }
    j->out = up(s->o, outs);
    j->in = up(up(s->c, ins), wide) * wide;

    j->cells = (size_t)(m * j->rows + s->kh - 1) * (size_t)(m * g->across + s->kh - 1);
    size_t at = align64(sizeof(float) * 2 * j->cells * (size_t)kern->lanes);
    at = lay_out_side(&j->x, j, j->in, wide, at);
    j->u_at = lay_out_side(&j->dy, j, j->out, (up(j->out, kern->lanes) * kern->lanes) | PAD, at);
    j->u_point = (ptrdiff_t)j->out * j->in + PAD;
    j->bytes = j->u_at + align64(sizeof(float) * (size_t)(j->w.points * j->u_point));
}

size_t wino_weights_thread_bytes(const conv_shape *s, int m, const struct kern *kern, int batch) {
    weights_job j = { .n = 0 };
    lay_out_weights(&j, s, m, kern, batch, 1);
    /* More threads only make blocks smaller, but smaller ones may have the longer rows of d: see PAD. */
    size_t longer = (size_t)(j.w.points * j.images * j.rows * j.dy.g.across * PAD);
    return j.bytes + sizeof(float) * longer;
}

typedef struct tile_group {
    int image, images, row, rows; /* of tiles */
} tile_group;

/* Planes -> [row][column][map] for rows of tiles of one picture; what lies outside is 0. Rows are turned as they
 * follow each other in memory, to fill whole vectors, and then set apart. */
static void turn(const weights_job *j, const weights_side *side, const float *plane, int maps,
                 const tile_group *t, float *turned, float *to) {
    const wino_tiles *g = &side->g;
    int lanes = j->kern->lanes, wide = j->w.m * g->across + side->halo;
    int y = j->w.m * t->row + g->y, end = y + j->w.m * t->rows + side->halo;
    int first = imax(0, y), behind = imin(g->h, end);
    size_t row = sizeof(float) * (size_t)(wide * lanes), left = (size_t)(-g->x * lanes),
           inside = (size_t)(g->w * lanes);
    j->kern->transpose(maps, (behind - first) * g->w, plane + (ptrdiff_t)first * g->w, plane_of(g),
                       turned, lanes);
    for (; y < end; y++, to += wide * lanes) {
        memset(to, 0, row);
        if (y < first || y >= behind) continue;
        memcpy(to + left, turned, sizeof(float) * inside);
        turned += inside;
    }
}

/* Transforms maps first .. first + maps - 1. */
static void spread(const weights_job *j, const weights_side *side, const tile_group *t, int first,
                   int maps, char *scratch) {
    const wino_tiles *g = &side->g;
    int lanes = j->kern->lanes, tiles = t->rows * g->across;
    float *cells = (float *)scratch, *turned = cells + j->cells * (size_t)lanes;
    for (int i = 0; i < t->images; i++)
        for (int map = 0; map < maps; map += lanes) {
            float *to = (float *)(scratch + side->at) + map / side->tile * side->strip +
                        map % side->tile + (ptrdiff_t)i * tiles * side->tile;
            const float *planes =
                side->planes + (t->image + i) * g->image + (first + map) * plane_of(g);
            turn(j, side, planes, imin(lanes, maps - map), t, turned, cells);
            j->kern->wino_turned(j->w.m, j->w.k, side == &j->dy, t->rows, g->across, cells,
                                 (j->w.m * g->across + side->halo) * lanes, to, side->tile,
                                 side->point);
        }
}

static void add_products(const weights_job *j, const tile_group *t, int out, int in,
                         char *scratch) {
    const struct kern *kern = j->kern;
    const float *v = (float *)(scratch + j->x.at), *d = (float *)(scratch + j->dy.at);
    float *u = (float *)(scratch + j->u_at);
    int tiles = t->images * t->rows * j->x.g.across;
    for (int point = 0; point < j->w.points; point++)
        for (int c = 0; c < in; c += j->x.tile) {
            int columns = imin(j->x.tile, in - c);
            int rows = up(out, up(out, kern->tile_rows[up(columns, kern->lanes)]));
            for (int m = 0; m < out; m += rows) {
                float *sum = u + point * j->u_point + (ptrdiff_t)m * j->in + c;
                kern->tile(&(tile_job){ .a = d + point * j->dy.point + m,
                                        .a_k = j->dy.tile,
                                        .b = v + point * j->x.point + c / j->x.tile * j->x.strip,
                                        .b_k = j->x.tile,
                                        .c = sum,
                                        .c_m = j->in,
                                        .k = tiles,
                                        .rows = imin(rows, out - m),
                                        .columns = columns,
                                        .add = t->image || t->row ? sum : NULL });
            }
        }
}

static void block_task(void *arg, int task, int thread) {
    const weights_job *j = arg;
    const wino *w = &j->w;
    char *scratch = (char *)j->thread_scratch + (size_t)thread * j->thread_stride;
    float *u = (float *)(scratch + j->u_at), *g = (float *)(scratch + j->x.at);
    int ins = up(w->in_c, j->in), o = task / ins * j->out, c = task % ins * j->in;
    int out = imin(j->out, w->out_c - o), in = imin(j->in, w->in_c - c), kk = w->k * w->k;

    int down = w->in.tiles / w->in.across;
    for (tile_group t = { .image = 0 }; t.image < j->n; t.image += t.images) {
        t.images = imin(j->images, j->n - t.image);
        for (t.row = 0; t.row < down; t.row += t.rows) {
            t.rows = imin(j->rows, down - t.row);
            spread(j, &j->x, &t, c, in, scratch);
            spread(j, &j->dy, &t, o, out, scratch);
            add_products(j, &t, out, in, scratch);
        }
    }
    for (int i = 0; i < out; i++) {
        j->kern->wino_back_kernel(w->m, w->k, in, u + (ptrdiff_t)i * j->in, j->u_point, w->flip, g);
        j->kern->transpose(kk, in, g, in, j->dw + ((ptrdiff_t)(o + i) * w->in_c + c) * kk, kk);
    }
}

void wino_weights(const conv_shape *s, int m, const struct kern *kern, pool *workers, int n,
                  const float *x, const float *dy, float *dw, void *thread_scratch,
                  size_t thread_stride) {
    weights_job j = { .x.planes = x,
                      .dy.planes = dy,
                      .dw = dw,
                      .thread_scratch = thread_scratch,
                      .thread_stride = thread_stride };
    lay_out_weights(&j, s, m, kern, n, pool_active(workers));
    assert(j.bytes <= thread_stride);
    double macs = (double)j.w.points * j.out * j.in * n * j.w.in.tiles;
    pool_run(workers, up(s->o, j.out) * up(s->c, j.in), macs / MACS_PER_NS, block_task, &j);
}
