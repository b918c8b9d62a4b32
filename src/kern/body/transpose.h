/* transpose.h - slot `transpose`, V_LANES x V_LANES blocks in registers, and slot `every`.
 *
 * Parameter: the vocabulary of vec.h.
 *
 * A perfect shuffle of the rows (row i zipped with row i + V_LANES/2), done log2(V_LANES) times,
 * rotates the bits of (row, column) until row and column have changed places.
 *
 * SPDX-License-Identifier: Apache-2.0 */

V_INLINE void transpose_shuffle(const vf *in, vf *out) {
    V_UNROLL for (int i = 0; i < V_LANES / 2; i++) {
        out[2 * i] = v_zip_lo(in[i], in[i + V_LANES / 2]);
        out[2 * i + 1] = v_zip_hi(in[i], in[i + V_LANES / 2]);
    }
}

/* A block of rows x columns, each at most V_LANES. Rows that are not there are read as the last one:
 * no branch, and never stored. */
V_INLINE void transpose_block(const bool all_rows, const bool all_columns, int rows, int columns,
                              const float *src, ptrdiff_t src_r, float *dst, ptrdiff_t dst_c,
                              ptrdiff_t ahead) {
    vf x[V_LANES], y[V_LANES];
    const vp in = v_first(columns), out = v_first(rows);
    V_UNROLL for (int r = 0; r < V_LANES; r++) {
        const float *row = src + (all_rows || r < rows ? r : rows - 1) * src_r;
        x[r] = all_columns ? v_load(row) : v_load_some(row, in);
        if (all_columns) v_prefetch(row + ahead);
    }
    transpose_shuffle(x, y);
    transpose_shuffle(y, x);
    if (V_LANES >= 8) {
        transpose_shuffle(x, y);
        if (V_LANES >= 16)
            transpose_shuffle(y, x);
        else
            V_UNROLL for (int c = 0; c < V_LANES; c++) x[c] = y[c];
    }
    V_UNROLL for (int c = 0; c < V_LANES; c++) {
        if (!all_columns && c >= columns) break;
        if (all_rows)
            v_store(dst + c * dst_c, x[c]);
        else
            v_store_some(dst + c * dst_c, out, x[c]);
    }
}

static void transpose(int rows, int columns, const float *src, ptrdiff_t src_r, float *dst,
                      ptrdiff_t dst_c) {
    for (int c = 0; c < columns; c += V_LANES)
        for (int r = 0; r < rows; r += V_LANES) {
            const float *from = src + r * src_r + c;
            float *to = dst + c * dst_c + r;
            const int high = rows - r, wide = columns - c;
            if (wide < V_LANES)
                transpose_block(false, false, high, wide, from, src_r, to, dst_c, rows * src_r);
            else if (high < V_LANES)
                transpose_block(false, true, high, wide, from, src_r, to, dst_c, rows * src_r);
            else
                transpose_block(true, true, high, wide, from, src_r, to, dst_c, rows * src_r);
        }
}

/* The numbers of one row that are taken. `tail`: of its last vector, t = whole .. n-1. */
V_INLINE void every_row(const int step, int whole, vp tail, vp tail_a, vp tail_b, const float *src,
                        float *dst) {
    for (int t = 0; t < whole; t += V_LANES, src += step * V_LANES) {
        const vf a = v_load(src);
        v_store(dst + t, step == 1 ? a : v_even(a, v_load(src + V_LANES)));
    }
    const vf a = v_load_some(src, tail_a);
    v_store_some(dst + whole, tail, step == 1 ? a : v_even(a, v_load_some(src + V_LANES, tail_b)));
}

V_UNCHECKED static void every(int rows, int n, int step, const float *src, ptrdiff_t src_r,
                              float *dst, ptrdiff_t dst_r) {
    if (n <= 0) return;
    const int whole = (n - 1) / V_LANES * V_LANES, rest = n - whole;
    const int last = step * (rest - 1) + 1; /* the last number taken is the last one read */
    const vp tail = v_first(rest), tail_a = v_first(last), tail_b = v_first(last - V_LANES);
    for (; rows > 0; rows--, src += src_r, dst += dst_r) {
        if (step == 1)
            every_row(1, whole, tail, tail_a, tail_b, src, dst);
        else if (step == 2)
            every_row(2, whole, tail, tail_a, tail_b, src, dst);
        else
            for (int t = 0; t < n; t++) dst[t] = src[(ptrdiff_t)t * step];
    }
}
