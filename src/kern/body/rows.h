/* rows.h - slots `softmax` and `cross_entropy`: independent rows of n logits.
 *
 * Parameters: the vocabulary of vec.h; v_exp of elementwise.h.
 *
 * Every row is shifted by its maximum, so that the largest term of the sum is exp(0) = 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */

V_INLINE float row_max(int n, const float *x) {
    const vf low = v_set1(-INFINITY);
    vf m = low;
    int i = 0;
    for (; i + V_LANES <= n; i += V_LANES) m = v_max(m, v_load(x + i));
    if (i < n) {
        const vp some = v_first(n - i);
        m = v_max(m, v_select(v_mask(some), v_load_some(x + i, some), low));
    }
    float lane[V_LANES], max = -INFINITY;
    v_store(lane, m);
    for (int l = 0; l < V_LANES; l++) max = lane[l] > max ? lane[l] : max;
    return max;
}

/* e[i] = exp(x[i] - max), unless e is NULL; returns their sum, and the sum of x[i] - max in *below. */
V_INLINE float row_exp(int n, const float *x, float max, float *e, float *below) {
    const vf shift = v_set1(max);
    vf s = v_zero(), b = v_zero();
    int i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        const vf d = v_sub(v_load(x + i), shift), y = v_exp(d);
        if (e) v_store(e + i, y);
        s = v_add(s, y);
        b = v_add(b, d);
    }
    if (i < n) {
        const vp some = v_first(n - i);
        const vf d = v_sub(v_load_some(x + i, some), shift), y = v_exp(d);
        if (e) v_store_some(e + i, some, y);
        s = v_add(s, v_select(v_mask(some), y, v_zero()));
        b = v_add(b, v_select(v_mask(some), d, v_zero()));
    }
    *below = v_sum(b);
    return v_sum(s);
}

/* y[i] = factor * (y[i]/total - shift) in place. */
V_INLINE void row_finish(int n, float total, float shift, float factor, float *y) {
    const vf t = v_set1(total), s = v_set1(shift), f = v_set1(factor);
    int i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(y + i, v_mul(f, v_sub(v_div(v_load(y + i), t), s)));
    if (i < n) {
        const vp m = v_first(n - i);
        v_store_some(y + i, m, v_mul(f, v_sub(v_div(v_load_some(y + i, m), t), s)));
    }
}

static void softmax(int rows, int n, const float *x, float *p) {
    for (int r = 0; r < rows; r++) {
        const ptrdiff_t at = (ptrdiff_t)r * n;
        float below;
        const float total = row_exp(n, x + at, row_max(n, x + at), p + at, &below);
        row_finish(n, total, 0, 1, p + at);
    }
}

/* With M = max x and S = sum exp(x-M): log p[i] = x[i] - M - log S, and since the targets sum to 1,
 * -sum t[i] log p[i] = log S - (1-smooth)*(x[label]-M) - smooth/n * sum(x-M). */
static void cross_entropy(int rows, int n, const float *x, const int32_t *label, float smooth,
                          const float *class_weight, float scale, float *loss, float *dx) {
    const float each = smooth / (float)n;
    for (int r = 0; r < rows; r++) {
        const float *row = x + (ptrdiff_t)r * n;
        float *d = dx ? dx + (ptrdiff_t)r * n : NULL;
        const int32_t k = label[r];
        if (k < 0) {
            loss[r] = 0;
            if (d) memset(d, 0, (size_t)n * sizeof *d);
            continue;
        }
        const float weight = class_weight ? class_weight[k] : 1, max = row_max(n, row);
        const float at_label = row[k] - max; /* before d, which may be the row, is written */
        float below;
        const float total = row_exp(n, row, max, d, &below);
        double h = log(total) - (1.0 - smooth) * at_label;
        if (smooth != 0) h -= (double)each * below; /* below may be -inf, and 0 * inf is NaN */
        loss[r] = (float)(weight * h);
        if (!d) continue;
        const float factor = scale * weight, p = d[k] / total;
        row_finish(n, total, each, factor, d);
        d[k] = factor * (p - (1 - smooth) - each);
    }
}
