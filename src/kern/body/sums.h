/* sums.h - slots that turn an array into a few numbers.
 *
 * Parameters: the vocabulary of vec.h; norm_back_slope of elementwise.h.
 *
 * Order of every sum: element i goes to partial sum i % V_LANES, in double, in the order of i; then
 * vd_sum folds the partial sums pairwise. A last, partial vector adds exact zeros.
 *
 * SPDX-License-Identifier: Apache-2.0 */

static double sum(size_t n, const float *x) {
    vd s = vd_zero();
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) s = vd_add(s, v_wide(v_load(x + i)));
    if (i < n) s = vd_add(s, v_wide(v_load_some(x + i, v_first((ptrdiff_t)(n - i)))));
    return vd_sum(s);
}

static void moments(size_t n, const float *x, float shift, ptrdiff_t ahead, double *sum_out,
                    double *squares) {
    const vd s = vd_set1(shift);
    vd s1 = vd_zero(), s2 = vd_zero();
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) {
        v_prefetch(x + i + ahead);
        const vd d = vd_sub(v_wide(v_load(x + i)), s);
        s1 = vd_add(s1, d);
        s2 = vd_fma(d, d, s2);
    }
    if (i < n) { /* lanes past the end hold the shift: their difference is 0 */
        const vp m = v_first((ptrdiff_t)(n - i));
        const vd d = vd_sub(v_wide(v_select(v_mask(m), v_load_some(x + i, m), v_set1(shift))), s);
        s1 = vd_add(s1, d);
        s2 = vd_fma(d, d, s2);
    }
    *sum_out = vd_sum(s1);
    *squares = vd_sum(s2);
}

/* `kind` is a constant in each call below. */
V_INLINE void norm_back_sums_loop(const act_kind kind, const norm_back_job *job, ptrdiff_t ahead,
                                  double *g_sum, double *gx_sum) {
    const size_t n = job->n;
    const float *dy = job->dy, *x = job->x;
    const vd mean = vd_set1(job->mean);
    vd s1 = vd_zero(), s2 = vd_zero();
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) {
        v_prefetch(dy + i + ahead);
        v_prefetch(x + i + ahead);
        const vf xi = v_load(x + i);
        const vd g = v_wide(norm_back_slope(kind, job, v_load(dy + i), xi));
        s1 = vd_add(s1, g);
        s2 = vd_fma(g, vd_sub(v_wide(xi), mean), s2);
    }
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        const vf xi = v_load_some(x + i, m);
        const vd g = v_wide(norm_back_slope(kind, job, v_load_some(dy + i, m), xi));
        s1 = vd_add(s1, g);
        s2 = vd_fma(g, vd_sub(v_wide(xi), mean), s2);
    }
    *g_sum = vd_sum(s1);
    *gx_sum = vd_sum(s2);
}

static void norm_back_sums(const norm_back_job *job, ptrdiff_t ahead, double *g_sum,
                           double *gx_sum) {
    switch (job->act) {
    case ACT_RELU: norm_back_sums_loop(ACT_RELU, job, ahead, g_sum, gx_sum); break;
    case ACT_LEAKY: norm_back_sums_loop(ACT_LEAKY, job, ahead, g_sum, gx_sum); break;
    default: norm_back_sums_loop(ACT_NONE, job, ahead, g_sum, gx_sum);
    }
}

/* x*0 is 0 for a finite x, else NaN, and NaN stays in the sum. */
static bool all_finite(size_t n, const float *x) {
    vf s = v_zero();
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) s = v_fma(v_load(x + i), v_zero(), s);
    if (i < n) s = v_fma(v_load_some(x + i, v_first((ptrdiff_t)(n - i))), v_zero(), s);
    return v_sum(s) == 0;
}
