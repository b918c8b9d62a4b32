/* elementwise.h - exp and what is made of it, the activations, and the slots that walk over arrays
 * of equal length.
 *
 * Parameter: the vocabulary of vec.h.
 *
 * Errors against double in units in the last place, promised (and held to by kcheck) and the worst
 * measured at any level over every 211th float:
 *
 *     v_exp 2 (1.05)    v_tanh 4 (2.35)    1.7159 tanh(2x/3) 6 (3.52)    v_sigmoid 4 (2.29)
 *
 * The same polynomials serve every level, so that no level depends on the C library.
 *
 * SPDX-License-Identifier: Apache-2.0 */

/* 1.5 * 2^23: adding it rounds |x| < 2^22 to an integer, kept in the low bits of the sum. */
#define EXP_MAGIC 0x1.8p23F

/* ln 2 in two parts (Cody & Waite 1980). The first has nine significant bits, so that its product
 * with an integer below 2^15 is exact, fused or not. */
#define EXP_LN2_HI 0x1.63p-1F
#define EXP_LN2_LO (-0x1.bd0106p-13F)

/* x = n*ln2 + r with integral n and |r| <= ln2/2; *shifted = n + EXP_MAGIC. Returns exp(r) - 1 by
 * Taylor's series up to r^7/7!: the rest is below (ln2/2)^8/8! = 5.2e-9, a twelfth of an ulp of
 * exp(r). For |x| <= 105. */
V_INLINE vf exp_minus_1(vf x, vf *shifted) {
    const vf magic = v_set1(EXP_MAGIC);
    *shifted = v_add(v_mul(x, v_set1(0x1.715476p0F)), magic);
    const vf n = v_sub(*shifted, magic);
    vf r = v_sub(x, v_mul(n, v_set1(EXP_LN2_HI)));
    r = v_sub(r, v_mul(n, v_set1(EXP_LN2_LO)));
    vf p = v_set1(1.0F / 5040);
    p = v_fma(p, r, v_set1(1.0F / 720));
    p = v_fma(p, r, v_set1(1.0F / 120));
    p = v_fma(p, r, v_set1(1.0F / 24));
    p = v_fma(p, r, v_set1(1.0F / 6));
    p = v_fma(p, r, v_set1(1.0F / 2));
    return v_fma(v_mul(r, r), p, r);
}

/* exp(x): overflows to infinity, underflows through the denormals to 0, NaN stays NaN. */
V_INLINE vf v_exp(vf x) {
    const vf magic = v_set1(EXP_MAGIC);
    vf t;
    /* Beyond these bounds the result is 0 or infinity. The constant comes first: v_min and v_max
     * return their second operand when it is NaN. */
    x = v_max(v_set1(-105), v_min(v_set1(90), x));
    const vf y = v_add(v_set1(1), exp_minus_1(x, &t));
    /* 2^n for -152 <= n <= 130 in two factors, neither of which leaves the normal range. */
    const vf n = v_sub(t, magic);
    const vf t1 = v_add(v_mul(n, v_set1(0.5F)), magic);
    const vf t2 = v_add(v_sub(n, v_sub(t1, magic)), magic);
    return v_mul(v_mul(y, v_pow2(t1)), v_pow2(t2));
}

/* tanh|x| = E/(E+2) with E = exp(2|x|) - 1 = 2^n (exp(r)-1) + (2^n - 1), which loses nothing near 0.
 * From 9.02 on the nearest float is 1. */
V_INLINE vf v_tanh(vf x) {
    vf t;
    const vf a = v_min(v_set1(9.1F), v_abs(x));
    const vf q = exp_minus_1(v_add(a, a), &t);
    const vf scale = v_pow2(t);
    const vf e = v_add(v_mul(scale, q), v_sub(scale, v_set1(1)));
    const vf y = v_div(e, v_add(e, v_set1(2)));
    return v_select(v_gt(v_zero(), x), v_sub(v_zero(), y), y);
}

/* With e = exp(-|x|), which cannot overflow: 1/(1+e) for x >= 0, e/(1+e) for x < 0. */
V_INLINE vf v_sigmoid(vf x) {
    const vf e = v_exp(v_sub(v_zero(), v_abs(x)));
    return v_div(v_select(v_gt(v_zero(), x), e, v_set1(1)), v_add(v_set1(1), e));
}

#define SCALED_TANH 1.7159F /* LeCun 1998, appendix A */

V_INLINE vf act_leaky(vf slope, vf x) { return v_select(v_gt(x, v_zero()), x, v_mul(slope, x)); }

V_INLINE vf act_value(const act_kind kind, vf slope, vf x) {
    switch (kind) {
    case ACT_NONE: break;
    case ACT_RELU: return v_max(v_zero(), x);
    case ACT_LEAKY: return act_leaky(slope, x);
    case ACT_TANH: return v_tanh(x);
    case ACT_SCALED: return v_mul(v_set1(SCALED_TANH), v_tanh(v_mul(v_set1((float)(2.0 / 3)), x)));
    case ACT_SIGMOID: return v_sigmoid(x);
    }
    return x;
}

/* dy * f', from y = f(x). */
V_INLINE vf act_slope(const act_kind kind, vf slope, vf y, vf dy) {
    const vf one = v_set1(1);
    switch (kind) {
    case ACT_NONE: break;
    case ACT_RELU: return v_mul(dy, v_select(v_gt(y, v_zero()), one, v_zero()));
    case ACT_LEAKY: return v_mul(dy, v_select(v_gt(y, v_zero()), one, slope));
    case ACT_TANH: return v_mul(dy, v_sub(one, v_mul(y, y)));
    case ACT_SCALED: {
        const vf u = v_mul(y, v_set1((float)(1 / 1.7159)));
        return v_mul(dy, v_mul(v_set1((float)(1.7159 * 2 / 3)), v_sub(one, v_mul(u, u))));
    }
    case ACT_SIGMOID: return v_mul(dy, v_mul(y, v_sub(one, y)));
    }
    return dy;
}

/* `kind` is a constant in each call below, so that each becomes a loop of its own. */
V_INLINE void act_loop(const act_kind kind, float slope, size_t n, const float *x, float *y) {
    const vf s = v_set1(slope);
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) v_store(y + i, act_value(kind, s, v_load(x + i)));
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        v_store_some(y + i, m, act_value(kind, s, v_load_some(x + i, m)));
    }
}

static void act(act_kind kind, float slope, size_t n, const float *x, float *y) {
    switch (kind) {
    case ACT_NONE: act_loop(ACT_NONE, slope, n, x, y); break;
    case ACT_RELU: act_loop(ACT_RELU, slope, n, x, y); break;
    case ACT_LEAKY: act_loop(ACT_LEAKY, slope, n, x, y); break;
    case ACT_TANH: act_loop(ACT_TANH, slope, n, x, y); break;
    case ACT_SCALED: act_loop(ACT_SCALED, slope, n, x, y); break;
    case ACT_SIGMOID: act_loop(ACT_SIGMOID, slope, n, x, y); break;
    }
}

V_INLINE void act_back_loop(const act_kind kind, float slope, size_t n, const float *y,
                            const float *dy, float *dx) {
    const vf s = v_set1(slope);
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES)
        v_store(dx + i, act_slope(kind, s, v_load(y + i), v_load(dy + i)));
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        v_store_some(dx + i, m, act_slope(kind, s, v_load_some(y + i, m), v_load_some(dy + i, m)));
    }
}

static void act_back(act_kind kind, float slope, size_t n, const float *y, const float *dy,
                     float *dx) {
    switch (kind) {
    case ACT_NONE: act_back_loop(ACT_NONE, slope, n, y, dy, dx); break;
    case ACT_RELU: act_back_loop(ACT_RELU, slope, n, y, dy, dx); break;
    case ACT_LEAKY: act_back_loop(ACT_LEAKY, slope, n, y, dy, dx); break;
    case ACT_TANH: act_back_loop(ACT_TANH, slope, n, y, dy, dx); break;
    case ACT_SCALED: act_back_loop(ACT_SCALED, slope, n, y, dy, dx); break;
    case ACT_SIGMOID: act_back_loop(ACT_SIGMOID, slope, n, y, dy, dx); break;
    }
}

static void add(size_t n, const float *a, const float *b, float *y) {
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) v_store(y + i, v_add(v_load(a + i), v_load(b + i)));
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        v_store_some(y + i, m, v_add(v_load_some(a + i, m), v_load_some(b + i, m)));
    }
}

static void mul(size_t n, const float *a, const float *b, float *y) {
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) v_store(y + i, v_mul(v_load(a + i), v_load(b + i)));
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        v_store_some(y + i, m, v_mul(v_load_some(a + i, m), v_load_some(b + i, m)));
    }
}

/* `kind` is a constant in each call below. */
V_INLINE void scale_shift_loop(const act_kind kind, size_t n, float scale, float shift, float slope,
                               const float *x, float *y) {
    const vf f = v_set1(scale), s = v_set1(shift), l = v_set1(slope);
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES)
        v_store(y + i, act_value(kind, l, v_fma(v_load(x + i), f, s)));
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        v_store_some(y + i, m, act_value(kind, l, v_fma(v_load_some(x + i, m), f, s)));
    }
}

static void scale_shift(size_t n, float scale, float shift, act_kind kind, float slope,
                        const float *x, float *y) {
    if (kind == ACT_RELU) {
        scale_shift_loop(ACT_RELU, n, scale, shift, slope, x, y);
    } else if (kind == ACT_LEAKY) {
        scale_shift_loop(ACT_LEAKY, n, scale, shift, slope, x, y);
    } else {
        scale_shift_loop(ACT_NONE, n, scale, shift, slope, x, y);
        if (kind != ACT_NONE) act(kind, slope, n, y, y);
    }
}

V_INLINE void scale_shift_add_loop(const act_kind kind, size_t n, float scale, float shift,
                                   float slope, const float *x, const float *add, ptrdiff_t ahead,
                                   float *y) {
    const vf f = v_set1(scale), s = v_set1(shift), l = v_set1(slope);
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) {
        v_prefetch(add + i + ahead);
        const vf sum = v_add(v_fma(v_load(x + i), f, s), v_load(add + i));
        v_store(y + i, act_value(kind, l, sum));
    }
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        const vf sum = v_add(v_fma(v_load_some(x + i, m), f, s), v_load_some(add + i, m));
        v_store_some(y + i, m, act_value(kind, l, sum));
    }
}

static void scale_shift_add(size_t n, float scale, float shift, act_kind kind, float slope,
                            const float *x, const float *other, ptrdiff_t ahead, float *y) {
    if (kind == ACT_RELU) {
        scale_shift_add_loop(ACT_RELU, n, scale, shift, slope, x, other, ahead, y);
    } else {
        scale_shift_add_loop(ACT_NONE, n, scale, shift, slope, x, other, ahead, y);
        if (kind != ACT_NONE) act(kind, slope, n, y, y);
    }
}

static void axpy(size_t n, float alpha, const float *x, float *y) {
    const vf f = v_set1(alpha);
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) v_store(y + i, v_fma(v_load(x + i), f, v_load(y + i)));
    if (i < n) {
        const vp m = v_first((ptrdiff_t)(n - i));
        v_store_some(y + i, m, v_fma(v_load_some(x + i, m), f, v_load_some(y + i, m)));
    }
}

/* g = dy*f'(scale*x + shift): the sum is what scale_shift made, to the bit. */
V_INLINE vf norm_back_slope(const act_kind kind, const norm_back_job *job, vf dy, vf x) {
    const vf z = v_fma(x, v_set1(job->scale), v_set1(job->shift));
    return act_slope(kind, v_set1(job->slope), z, dy);
}

V_INLINE vf norm_back_value(const act_kind kind, const norm_back_job *job, vf a, vf b, vf c, vf dy,
                            vf x) {
    const vf g = norm_back_slope(kind, job, dy, x);
    return v_fma(a, g, v_fma(b, v_sub(x, v_set1(job->mean)), c));
}

/* `kind` and `adds` are constants in each call below. */
V_INLINE void norm_back_loop(const act_kind kind, const bool adds, const norm_back_job *job,
                             float a, float b, float c, float *dx) {
    const norm_back_job fixed = *job; /* stores to dx cannot change it */
    const vf va = v_set1(a), vb = v_set1(b), vc = v_set1(c);
    size_t i = 0;
    for (; fixed.n - i >= V_LANES; i += V_LANES) {
        const vf dyi = v_load(fixed.dy + i), xi = v_load(fixed.x + i);
        const vf d = norm_back_value(kind, &fixed, va, vb, vc, dyi, xi);
        v_store(dx + i, adds ? v_add(v_load(dx + i), d) : d);
    }
    if (i < fixed.n) {
        const vp m = v_first((ptrdiff_t)(fixed.n - i));
        const vf dyi = v_load_some(fixed.dy + i, m), xi = v_load_some(fixed.x + i, m);
        const vf d = norm_back_value(kind, &fixed, va, vb, vc, dyi, xi);
        v_store_some(dx + i, m, adds ? v_add(v_load_some(dx + i, m), d) : d);
    }
}

V_INLINE void norm_back_kind(const act_kind kind, const norm_back_job *job, float a, float b,
                             float c, bool adds, float *dx) {
    if (adds)
        norm_back_loop(kind, true, job, a, b, c, dx);
    else
        norm_back_loop(kind, false, job, a, b, c, dx);
}

static void norm_back(const norm_back_job *job, float a, float b, float c, bool adds, float *dx) {
    switch (job->act) {
    case ACT_RELU: norm_back_kind(ACT_RELU, job, a, b, c, adds, dx); break;
    case ACT_LEAKY: norm_back_kind(ACT_LEAKY, job, a, b, c, adds, dx); break;
    default: norm_back_kind(ACT_NONE, job, a, b, c, adds, dx);
    }
}
