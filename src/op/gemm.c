/* gemm.c - tiles over a matrix product. See gemm.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/gemm.h"
#include "base/base.h"
#include "base/tuning.h"
#include "op/blocks.h"

#include <string.h>

void gemm_tile(const struct kern *kern, int m, gemm *g) {
    /* Two vectors wide is the widest-rows tile with enough reuse of both operands; with one to three
     * rows four vectors give as many independent chains. */
    int vectors = m <= 3 ? kern->tile_vectors : 2;
    int most = kern->tile_rows[vectors];
    g->rows = up(m, up(m, most));
    g->columns = vectors * kern->lanes;
}

typedef struct pack_job {
    const struct kern *kern;
    const float *src;
    ptrdiff_t src_m;
    int m, k, block;
    float *packed;
} pack_job;

static void pack_a_task(void *arg, int task, int thread) {
    const pack_job *p = arg;
    (void)thread;
    int m0 = task * p->block, rows = imin(p->block, p->m - m0);
    p->kern->transpose(rows, p->k, p->src + m0 * p->src_m, p->src_m,
                       p->packed + (size_t)m0 * (size_t)p->k, rows);
}

void gemm_pack_a(const struct kern *kern, pool *workers, const float *a, ptrdiff_t a_m, int m,
                 int k, int rows, float *packed) {
    pack_job p = { kern, a, a_m, m, k, rows, packed };
    pool_run(workers, up(m, rows), 0.2 * rows * k, pack_a_task, &p);
}

size_t gemm_packed_b(int n, int k, int columns) {
    return (size_t)up(n, columns) * (size_t)columns * (size_t)k;
}

static void pack_b_task(void *arg, int task, int thread) {
    const pack_job *p = arg;
    (void)thread;
    int n0 = task * p->block, columns = imin(p->block, p->m - n0);
    float *panel = p->packed + (size_t)n0 * (size_t)p->k;
    if (columns < p->block) memset(panel, 0, sizeof(float) * (size_t)p->block * (size_t)p->k);
    p->kern->transpose(columns, p->k, p->src + (ptrdiff_t)n0 * p->k, p->k, panel, p->block);
}

void gemm_pack_b(const struct kern *kern, pool *workers, const float *bt, int n, int k, int columns,
                 float *packed) {
    pack_job p = { kern, bt, k, n, k, columns, packed };
    pool_run(workers, up(n, columns), 0.2 * columns * k, pack_b_task, &p);
}

typedef struct run_job {
    const struct kern *kern;
    const gemm *g;
    int strip;                 /* panels of a task */
    int step;                  /* of k */
    int row_blocks, row_tasks; /* row blocks in all; how many tasks share them */
} run_job;

static void run_tile(const run_job *r, int panel, int block, int k0) {
    const gemm *g = r->g;
    int n0 = panel * g->columns, m0 = block * g->rows, rows = imin(g->rows, g->m - m0);
    bool last = k0 + r->step >= g->k;
    tile_job t = {
        .a_k = g->a_k ? g->a_k : rows,
        .b_k = g->b_k ? g->b_k : g->columns,
        .c = g->c + m0 * g->c_m + n0,
        .c_m = g->c_m,
        .k = imin(r->step, g->k - k0),
        .rows = rows,
        .columns = imin(g->columns, g->n - n0),
        .init = k0 ? TILE_LOAD : g->init,
        .act = last ? g->act : ACT_NONE,
        .slope = g->slope,
    };
    t.a = (g->a_k ? g->a + m0 : g->a + (ptrdiff_t)m0 * g->k) + k0 * t.a_k;
    t.b = (g->b_k ? g->b + n0 : g->b + (ptrdiff_t)n0 * g->k) + k0 * t.b_k;
    t.bias = !g->bias ? NULL : g->bias + (g->init == TILE_BIAS_ROW ? m0 : n0);
    r->kern->tile(&t);
}

static void run_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    const gemm *g = r->g;
    (void)thread;
    int strip = task / r->row_tasks, part = task % r->row_tasks;
    int first = part * r->row_blocks / r->row_tasks,
        end = (part + 1) * r->row_blocks / r->row_tasks;
    int left = strip * r->strip, right = imin(up(g->n, g->columns), left + r->strip);
    if (g->k <= r->step) { /* what moves is C: along its rows */
        for (int block = first; block < end; block++)
            for (int panel = left; panel < right; panel++) run_tile(r, panel, block, 0);
        return;
    }
    for (int k0 = 0; k0 < g->k; k0 += r->step)
        for (int panel = left; panel < right; panel++)
            for (int block = first; block < end; block++) run_tile(r, panel, block, k0);
}

void gemm_run(const struct kern *kern, pool *workers, const gemm *g) {
    run_job r = { kern, g, 1, TUNE_GEMM_K, up(g->m, g->rows), 1 };
    int panels = up(g->n, g->columns);
    /* Rows of B that lie apart, and those of C, are read and written in strips of some 2 KiB, where panels alone
     * would meet another page with every row. Many threads have narrower ones: no bit depends on it. */
    if (g->b_k) {
        r.strip = up(panels, TUNE_GEMM_STRIPS * up(pool_active(workers), 8));
        r.step = TUNE_GEMM_APART;
    }
    int strips = up(panels, r.strip);
    /* Few strips: let tasks share one by row blocks, so that threads have something to do. */
    if (strips < 8) r.row_tasks = imin(r.row_blocks, up(8, strips));
    double macs = (double)g->rows * g->columns * r.strip * g->k * r.row_blocks / r.row_tasks;
    pool_run(workers, strips * r.row_tasks, macs / MACS_PER_NS, run_task, &r);
}
