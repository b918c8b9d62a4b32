/* dot.h - slot `dot`: a register-blocked piece of a sum of products over positions.
 *
 * Parameters, from the level file: the vocabulary of vec.h, and DOT_ROWS (4 or 6) by DOT_COLUMNS
 * (2 to 4), the largest tile.
 *
 * Register plan: rows*columns accumulators + the columns' vectors of b + one vector of a; the scalar
 * level needs one more for the product. Loads per multiply-add: (rows + columns) / (rows * columns);
 * 6x4: 0.42.
 *
 * SPDX-License-Identifier: Apache-2.0 */

/* One vector of positions at a and b; `some`: only the lanes in m. Both factors are masked, since
 * what lies beyond the row may be NaN, and NaN * 0 is not 0. Addresses are one moving pointer plus
 * fixed distances (rows from the fourth on count from their own pointer, so that all distances are
 * a_i and 2*a_i): a pointer for each row and column would not fit the general registers. */
V_INLINE void dot_step(const int rows, const int columns, const bool some, vp m, const float *a,
                       ptrdiff_t a_i, const float *b, const ptrdiff_t *b_j,
                       vf acc[DOT_MAX_ROWS][DOT_MAX_COLUMNS]) {
    const float *fourth = a + 3 * a_i;
    vf x[DOT_MAX_COLUMNS];
    V_UNROLL for (int j = 0; j < columns; j++) {
        x[j] = some ? v_load_slack(b + b_j[j], m) : v_load(b + b_j[j]);
    }
    V_UNROLL for (int i = 0; i < rows; i++) {
        const float *row = i < 3 ? a + i * a_i : fourth + (i - 3) * a_i;
        const vf y = some ? v_load_slack(row, m) : v_load(row);
        V_UNROLL for (int j = 0; j < columns; j++) acc[i][j] = v_fma(y, x[j], acc[i][j]);
    }
}

/* `narrow`: a row of the picture is at most one vector, so that there is no loop over it. */
V_INLINE void dot_loop(const int rows, const int columns, const bool narrow, const dot_job *job,
                       vf acc[DOT_MAX_ROWS][DOT_MAX_COLUMNS]) {
    const int length = job->length, tail = narrow ? length : length % V_LANES;
    const vp m = v_first(tail);
    ptrdiff_t b_j[DOT_MAX_COLUMNS];
    V_UNROLL for (int j = 0; j < columns; j++) b_j[j] = job->b_j[j];

    for (int image = 0; image < job->images; image++) {
        const float *a = job->a + image * job->a_image, *b = job->b + image * job->b_image;
        for (int line = job->lines; line > 0; line--) {
            int x = 0;
            if (!narrow)
                for (; x + V_LANES <= length; x += V_LANES)
                    dot_step(rows, columns, false, m, a + x, job->a_i, b + x, b_j, acc);
            if (tail) dot_step(rows, columns, true, m, a + x, job->a_i, b + x, b_j, acc);
            a += job->a_row;
            b += job->b_row;
        }
    }
}

V_INLINE void dot_body(const int rows, const int columns, const dot_job *job) {
    vf acc[DOT_MAX_ROWS][DOT_MAX_COLUMNS];
    V_UNROLL for (int i = 0; i < rows; i++) {
        V_UNROLL for (int j = 0; j < columns; j++) acc[i][j] = v_zero();
    }
    if (job->length <= V_LANES)
        dot_loop(rows, columns, true, job, acc);
    else
        dot_loop(rows, columns, false, job, acc);
    V_UNROLL for (int i = 0; i < rows; i++) {
        V_UNROLL for (int j = 0; j < columns; j++) job->out[i * job->out_i + job->out_j[j]] +=
            v_sum(acc[i][j]);
    }
}

/* DOT_ROW_n(X, i): X(i, 1) ... X(i, n). */
#define DOT_ROW_1(X, i)   X(i, 1)
#define DOT_ROW_2(X, i)   DOT_ROW_1(X, i) X(i, 2)
#define DOT_ROW_3(X, i)   DOT_ROW_2(X, i) X(i, 3)
#define DOT_ROW_4(X, i)   DOT_ROW_3(X, i) X(i, 4)
#define DOT_ROW(n, X, i)  DOT_ROW_(n, X, i)
#define DOT_ROW_(n, X, i) DOT_ROW_##n(X, i)
#define DOT_UPTO_4(X)                                                                              \
    DOT_ROW(DOT_COLUMNS, X, 1)                                                                     \
    DOT_ROW(DOT_COLUMNS, X, 2) DOT_ROW(DOT_COLUMNS, X, 3) DOT_ROW(DOT_COLUMNS, X, 4)
#define DOT_UPTO_6(X)   DOT_UPTO_4(X) DOT_ROW(DOT_COLUMNS, X, 5) DOT_ROW(DOT_COLUMNS, X, 6)
#define DOT_UPTO(n, X)  DOT_UPTO_(n, X)
#define DOT_UPTO_(n, X) DOT_UPTO_##n(X)

#define DOT_FUNCTION(i, j)                                                                         \
    V_UNCHECKED static void dot_##i##x##j(const dot_job *job) { dot_body(i, j, job); }
DOT_UPTO(DOT_ROWS, DOT_FUNCTION)

#define DOT_ENTRY(i, j) [i][j] = dot_##i##x##j,
static void (*const dot_table[DOT_MAX_ROWS + 1][DOT_MAX_COLUMNS + 1])(const dot_job *) = {
    DOT_UPTO(DOT_ROWS, DOT_ENTRY)
};

static void dot(const dot_job *job) {
    if (job->rows <= 0 || job->columns <= 0) return;
    dot_table[job->rows][job->columns](job);
}
