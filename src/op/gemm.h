/* gemm.h - C = act(init + A*B) over tiles, for dense layers.
 *
 * The driver walks tiles of `rows` x `columns`; every element is one chain over k = 0, 1, ... (see
 * the tile contract), so its bits depend on neither blocking nor threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_GEMM_H
#define OP_GEMM_H

#include "base/pool.h"
#include "kern/kern.h"

typedef struct gemm {
    int m, n, k;
    const float *a;
    ptrdiff_t a_k; /* A[k][m] = a[k*a_k + m]; 0: packed by gemm_pack_a */
    const float *b;
    ptrdiff_t
        b_k;     /* B[k][n] = b[k*b_k + n], slack; 0: packed by gemm_pack_b, or given transposed: */
    bool turned; /* B[k][n] = b[n*g.k + k]: turned round as it is read, in thread_scratch */
    void *thread_scratch;
    size_t thread_stride;
    float *c;
    ptrdiff_t c_m;
    tile_init init; /* not TILE_LOAD */
    const float *bias;
    act_kind act;
    float slope;
    int rows, columns; /* tile, from gemm_tile */
} gemm;

/* The tile for m rows: as few row blocks as the widest useful tile allows, all about equal. */
void gemm_tile(const struct kern *, int m, gemm *);

/* Row-major A (m x k, rows at a_m) into blocks of `rows` rows, each k-major: m*k floats. In a pool. */
void gemm_pack_a(const struct kern *, pool *, const float *a, ptrdiff_t a_m, int m, int k, int rows,
                 float *packed);
/* B given transposed, row-major bt (n x k, as dense weights are): panels of `columns` columns, each
 * k x columns, zero beyond n: gemm_packed_b floats. */
size_t gemm_packed_b(int n, int k, int columns);
void gemm_pack_b(const struct kern *, pool *, const float *bt, int n, int k, int columns,
                 float *packed);

/* Per-thread scratch in bytes of a product with B turned. */
size_t gemm_thread_bytes(int k, int columns);

void gemm_run(const struct kern *, pool *, const gemm *);

#endif
