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

/* One vector of positions; `some`: only the lanes in m. Both factors are masked, since what lies
 * beyond the row may be NaN, and NaN * 0 is not 0. */
V_INLINE void dot_step(const int rows, const int columns, const bool some, vm m, const float *a,
                       ptrdiff_t a_i, const float *const *b, ptrdiff_t at,
                       vf acc[DOT_MAX_ROWS][DOT_MAX_COLUMNS]) {
    vf x[DOT_MAX_COLUMNS];
    V_UNROLL for (int j = 0; j < columns; j++) x[j] =
        some ? v_load_slack(b[j] + at, m) : v_load(b[j] + at);
    V_UNROLL for (int i = 0; i < rows; i++) {
        const vf y = some ? v_load_slack(a + i * a_i, m) : v_load(a + i * a_i);
        V_UNROLL for (int j = 0; j < columns; j++) acc[i][j] = v_fma(y, x[j], acc[i][j]);
    }
}

/* `narrow`: a row of the picture is at most one vector, so that there is no loop over it. */
V_INLINE void dot_loop(const int rows, const int columns, const bool narrow, const dot_job *job,
                       vf acc[DOT_MAX_ROWS][DOT_MAX_COLUMNS]) {
    const int length = job->length, tail = narrow ? length : length % V_LANES;
    const vm m = v_first(tail);
    const ptrdiff_t a_i = job->a_i;
    const float *b[DOT_MAX_COLUMNS];
    V_UNROLL for (int j = 0; j < columns; j++) b[j] = job->b + job->b_j[j];

    for (int image = 0; image < job->images; image++) {
        const float *a = job->a + image * job->a_image;
        ptrdiff_t at = image * job->b_image;
        for (int line = 0; line < job->lines; line++) {
            int x = 0;
            if (!narrow)
                for (; x + V_LANES <= length; x += V_LANES)
                    dot_step(rows, columns, false, m, a + x, a_i, b, at + x, acc);
            if (tail) dot_step(rows, columns, true, m, a + x, a_i, b, at + x, acc);
            a += job->a_row;
            at += job->b_row;
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
    static void dot_##i##x##j(const dot_job *job) { dot_body(i, j, job); }
DOT_UPTO(DOT_ROWS, DOT_FUNCTION)

#define DOT_ENTRY(i, j) [i][j] = dot_##i##x##j,
static void (*const dot_table[DOT_MAX_ROWS + 1][DOT_MAX_COLUMNS + 1])(const dot_job *) = {
    DOT_UPTO(DOT_ROWS, DOT_ENTRY)
};

static void dot(const dot_job *job) {
    if (job->rows <= 0 || job->columns <= 0) return;
    dot_table[job->rows][job->columns](job);
}
