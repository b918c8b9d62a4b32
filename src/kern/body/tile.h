/* tile.h - slot `tile`: a register-blocked piece of a matrix product.
 *
 * Parameters, from the level file: the vocabulary of vec.h, and TILE_ROWS_1 ... TILE_ROWS_4, the most
 * rows of a tile that many vectors wide (1..14; 0: no such tile, then none wider either).
 *
 * Register plan: rows*vectors accumulators + one row of B (vectors) + one broadcast element of A must
 * fit the register file, else the k loop spills. The scalar level needs one more for the product.
 * Loads per multiply-add: (rows + vectors) / (rows * vectors); 14x2: 0.57, 6x4: 0.42.
 *
 * SPDX-License-Identifier: Apache-2.0 */

/* Steps of k that A is fetched ahead: 8 KiB of 14 rows, which bridge an access to memory at 7 cycles a
 * step. Packed weights that no cache holds then come in at 25 GB/s instead of 14 (512 maps of 14x14:
 * 1.69 ms; 32 steps ahead 2.2, none 2.75; 2026-11, AMD Zen 5). */
#define TILE_AHEAD 160

/* How rows of B lie: by the list, apart, or one after the other (packed), where the CPU fetches them itself. */
typedef enum tile_rows_of_b { TILE_LISTED, TILE_APART, TILE_PACKED } tile_rows_of_b;

/* One function for each number of rows and vectors: rows and vectors are constants after inlining,
 * hence every accumulator a register. B is read by whole vectors into its slack; the lanes beyond
 * `columns` compute garbage that is never stored. */
V_INLINE void tile_step(const int rows, const int vectors, const float *a, const float *row,
                        vf acc[TILE_MAX_ROWS][TILE_MAX_VECTORS]) {
    if (rows >= vectors) { /* hold the shorter side in registers, stream the other */
        vf x[TILE_MAX_VECTORS];
        V_UNROLL for (int v = 0; v < vectors; v++) x[v] = v_load(row + v * V_LANES);
        V_UNROLL for (int m = 0; m < rows; m++) {
            /* Two vectors: a third of the broadcasts goes into the multiplies, as far as there are loads to
             * spare. Fewer instructions count where another thread shares the core: 14x2 then reaches 82 % of
             * the peak in place of 76, with V_TWICE (2026-12-01, Xeon of 2023). */
            if (vectors == 2 && m % 3 == 1) {
                V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] =
                    v_fma_at(a + m, x[v], acc[m][v]);
                continue;
            }
            const vf am = v_set1(a[m]);
            V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = v_fma(am, x[v], acc[m][v]);
        }
    } else {
        vf am[TILE_MAX_VECTORS];
        V_UNROLL for (int m = 0; m < rows; m++) am[m] = v_set1(a[m]);
        V_UNROLL for (int v = 0; v < vectors; v++) {
            const vf x = v_load(row + v * V_LANES);
            V_UNROLL for (int m = 0; m < rows; m++) acc[m][v] = v_fma(am[m], x, acc[m][v]);
        }
    }
}

V_INLINE void tile_loop(const int rows, const int vectors, const tile_rows_of_b b_rows,
                        const tile_job *job, vf acc[TILE_MAX_ROWS][TILE_MAX_VECTORS]) {
    const float *a = job->a, *b = job->b;
    if (b_rows == TILE_PACKED) {
        const float *fetch = job->fetch ? job->fetch : a + TILE_AHEAD * job->a_k;
        const ptrdiff_t fetch_k = job->fetch ? job->fetch_k : job->a_k;
        V_TWICE for (int k = 0; k < job->k; k++) {
            v_prefetch(fetch);
            tile_step(rows, vectors, a, b, acc);
            a += job->a_k, b += job->b_k, fetch += fetch_k;
        }
        return;
    }
    for (int k = 0; k < job->k; k++) {
        const float *row = b_rows == TILE_LISTED ? b + job->b_row[k] : b;
        if (rows >= vectors) {
            /* The tile to the right comes next: a matrix row is too far from the next for the CPU
             * to guess. 1x1 over 256 maps at 56x56, 16 pictures: 110 -> 140 GFLOP/s (2026-11). */
            V_UNROLL for (int v = 0; v < vectors; v++) v_prefetch(row + (vectors + v) * V_LANES);
            v_prefetch(a + TILE_AHEAD * job->a_k);
        }
        tile_step(rows, vectors, a, row, acc);
        a += job->a_k;
        if (b_rows == TILE_APART) b += job->b_k;
    }
}

V_INLINE void tile_body(const int rows, const int vectors, const tile_job *job) {
    vf acc[TILE_MAX_ROWS][TILE_MAX_VECTORS];
    const int end = (vectors - 1) * V_LANES; /* first column of the last vector */
    const vp last = v_first(job->columns - end);
    const bool whole = job->columns == vectors * V_LANES;

    V_UNROLL for (int m = 0; m < rows; m++) {
        V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = v_zero();
    }
    switch (job->init) {
    case TILE_ZERO: break;
    case TILE_LOAD:
        V_UNROLL for (int m = 0; m < rows; m++) {
            const float *c = job->c + m * job->c_m;
            V_UNROLL for (int v = 0; v < vectors - 1; v++) acc[m][v] = v_load(c + v * V_LANES);
            acc[m][vectors - 1] = v_load_some(c + end, last);
        }
        break;
    case TILE_BIAS_ROW:
        V_UNROLL for (int m = 0; m < rows; m++) {
            V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = v_set1(job->bias[m]);
        }
        break;
    case TILE_BIAS_COLUMN:
        V_UNROLL for (int m = 0; m < rows; m++) {
            V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = v_load(job->bias + v * V_LANES);
        }
        break;
    }

    if (job->add) {
        V_UNROLL for (int m = 0; m < rows; m++) {
            V_UNROLL for (int v = 0; v < vectors; v++)
                v_prefetch(job->add + m * job->c_m + v * V_LANES);
        }
    }
    if (job->b_row)
        tile_loop(rows, vectors, TILE_LISTED, job, acc);
    else if (vectors <= 2 &&
             job->b_k == vectors * V_LANES) /* wider is rare, and not worth the code */
        tile_loop(rows, vectors, TILE_PACKED, job, acc);
    else
        tile_loop(rows, vectors, TILE_APART, job, acc);

    if (job->add) {
        V_UNROLL for (int m = 0; m < rows; m++) {
            const float *d = job->add + m * job->c_m;
            V_UNROLL for (int v = 0; v < vectors - 1; v++) acc[m][v] =
                v_add(acc[m][v], v_load(d + v * V_LANES));
            acc[m][vectors - 1] = v_add(acc[m][vectors - 1], v_load_some(d + end, last));
        }
    }

    if (job->act == ACT_RELU) {
        V_UNROLL for (int m = 0; m < rows; m++) {
            V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = v_max(v_zero(), acc[m][v]);
        }
    } else if (job->act == ACT_LEAKY) {
        const vf slope = v_set1(job->slope);
        V_UNROLL for (int m = 0; m < rows; m++) {
            V_UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = act_leaky(slope, acc[m][v]);
        }
    }

    V_UNROLL for (int m = 0; m < rows; m++) {
        float *c = job->c + m * job->c_m;
        V_UNROLL for (int v = 0; v < vectors - 1; v++) v_store(c + v * V_LANES, acc[m][v]);
        if (whole)
            v_store(c + end, acc[m][vectors - 1]);
        else
            v_store_some(c + end, last, acc[m][vectors - 1]);
    }
}

/* TILE_UPTO_n(X, v): X(1, v) X(2, v) ... X(n, v). */
#define TILE_UPTO_0(X, v)
#define TILE_UPTO_1(X, v)   X(1, v)
#define TILE_UPTO_2(X, v)   TILE_UPTO_1(X, v) X(2, v)
#define TILE_UPTO_3(X, v)   TILE_UPTO_2(X, v) X(3, v)
#define TILE_UPTO_4(X, v)   TILE_UPTO_3(X, v) X(4, v)
#define TILE_UPTO_5(X, v)   TILE_UPTO_4(X, v) X(5, v)
#define TILE_UPTO_6(X, v)   TILE_UPTO_5(X, v) X(6, v)
#define TILE_UPTO_7(X, v)   TILE_UPTO_6(X, v) X(7, v)
#define TILE_UPTO_8(X, v)   TILE_UPTO_7(X, v) X(8, v)
#define TILE_UPTO_9(X, v)   TILE_UPTO_8(X, v) X(9, v)
#define TILE_UPTO_10(X, v)  TILE_UPTO_9(X, v) X(10, v)
#define TILE_UPTO_11(X, v)  TILE_UPTO_10(X, v) X(11, v)
#define TILE_UPTO_12(X, v)  TILE_UPTO_11(X, v) X(12, v)
#define TILE_UPTO_13(X, v)  TILE_UPTO_12(X, v) X(13, v)
#define TILE_UPTO_14(X, v)  TILE_UPTO_13(X, v) X(14, v)
#define TILE_UPTO(n, X, v)  TILE_UPTO_(n, X, v)
#define TILE_UPTO_(n, X, v) TILE_UPTO_##n(X, v)
#define TILE_EACH(X)                                                                               \
    TILE_UPTO(TILE_ROWS_1, X, 1)                                                                   \
    TILE_UPTO(TILE_ROWS_2, X, 2) TILE_UPTO(TILE_ROWS_3, X, 3) TILE_UPTO(TILE_ROWS_4, X, 4)

#define TILE_FUNCTION(m, v)                                                                        \
    V_UNCHECKED static void tile_##m##x##v(const tile_job *job) { tile_body(m, v, job); }
TILE_EACH(TILE_FUNCTION)

#define TILE_ENTRY(m, v) [v][m] = tile_##m##x##v,
static void (*const tile_table[TILE_MAX_VECTORS + 1][TILE_MAX_ROWS + 1])(const tile_job *) = {
    TILE_EACH(TILE_ENTRY)
};

static void tile(const tile_job *job) {
    if (job->rows <= 0 || job->columns <= 0) return;
    tile_table[(job->columns + V_LANES - 1) / V_LANES][job->rows](job);
}
