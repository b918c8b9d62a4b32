/* winograd.c - checks of the Winograd slots: each transform against its matrix in double, the three
 * together against the convolution they compute.
 *
 * The matrices are built here from the points by the general construction (body/winograd.h cites it),
 * not copied from the kernels.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/kcheck/kcheck.h"

#include <math.h>
#include <string.h>

static const int counts[] = { 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33 };
enum { COUNTS = sizeof counts / sizeof *counts };

typedef struct matrices {
    double in[6][6], kernel[6][3], out[4][6];
} matrices;

/* Coefficients of the product of (x - point) over the five finite points, without number `skip`. */
static void product(const double point[5], int skip, double coefficient[6]) {
    memset(coefficient, 0, 6 * sizeof *coefficient);
    coefficient[0] = 1;
    for (int k = 0; k < 5; k++) {
        if (k == skip) continue;
        for (int i = 5; i >= 0; i--)
            coefficient[i] = (i ? coefficient[i - 1] : 0) - point[k] * coefficient[i];
    }
}

static matrices build(void) {
    const double point[5] = { 0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2) };
    matrices m = { 0 };
    for (int j = 0; j < 5; j++) {
        double at = 0;
        product(point, j, m.in[j]);
        for (int i = 5; i >= 0; i--) at = at * point[j] + m.in[j][i];
        for (int i = 0; i < 3; i++) m.kernel[j][i] = pow(point[j], i) / at;
        for (int i = 0; i < 4; i++) m.out[i][j] = pow(point[j], i);
    }
    product(point, 5, m.in[5]);
    m.kernel[5][2] = m.out[3][5] = 1;
    return m;
}

/* One element of L X L' and the sum of the absolute products in it. X has `n` columns, L too. */
static double sandwich(const double *left, const double *right, const double *x, int n,
                       double *magnitude) {
    double sum = 0;
    *magnitude = 0;
    for (int r = 0; r < n; r++)
        for (int s = 0; s < n; s++) {
            double term = left[r] * x[r * n + s] * right[s];
            sum += term, *magnitude += fabs(term);
        }
    return sum;
}

/* Each element passes two axes of at most six terms. */
enum { AXES = 16 };

static size_t rounded(check *c, int n) {
    size_t lanes = (size_t)check_kern(c)->lanes;
    return ((size_t)n + lanes - 1) / lanes * lanes;
}

static void check_in(check *c) {
    const matrices m = build();
    for (int i = 0; i < COUNTS; i++) {
        int count = counts[i];
        ptrdiff_t pitch = (ptrdiff_t)rounded(c, count) + 3, phase = 2 * pitch + 5,
                  point = (ptrdiff_t)rounded(c, count) + 1;
        case_begin(c, "count=%d", count);
        float *panel = case_random(c, (size_t)(16 * phase), NO_SLACK),
              *v = case_array(c, (size_t)(36 * point), NO_SLACK);
        check_kern(c)->wino_in(panel, phase, pitch, count, v, point);
        for (int p = 0; p < count; p++) {
            double d[36], magnitude;
            for (int r = 0; r < 6; r++)
                for (int s = 0; s < 6; s++)
                    d[6 * r + s] = panel[(r % 4 * 4 + s % 4) * phase + r / 4 * pitch + s / 4 + p];
            for (int k = 0; k < 36; k++) {
                double want = sandwich(m.in[k / 6], m.in[k % 6], d, 6, &magnitude);
                case_near(c, "v", (size_t)k, v[k * point + p], want, AXES * ROUNDING * magnitude);
            }
        }
        case_end(c);
    }
}

static void check_out(check *c) {
    const matrices m = build();
    const act_kind acts[] = { ACT_NONE, ACT_RELU, ACT_LEAKY };
    for (int i = 0; i < COUNTS * 3; i++) {
        int count = counts[i / 3];
        ptrdiff_t point = (ptrdiff_t)rounded(c, count) + 2,
                  phase = (ptrdiff_t)rounded(c, count) + 1;
        case_begin(c, "count=%d act=%d", count, (int)acts[i % 3]);
        float *in = case_random(c, (size_t)(36 * point), NO_SLACK),
              *y = case_array(c, (size_t)(16 * phase), NO_SLACK);
        const float bias = pick_float(c, -1, 1), slope = 0.25f;
        check_kern(c)->wino_out(in, point, count, bias, acts[i % 3], slope, y, phase);
        for (int p = 0; p < count; p++) {
            double z[36], magnitude;
            for (int k = 0; k < 36; k++) z[k] = in[k * point + p];
            for (int k = 0; k < 16; k++) {
                double want = sandwich(m.out[k / 4], m.out[k % 4], z, 6, &magnitude) + (double)bias;
                if (acts[i % 3] == ACT_RELU && want < 0) want = 0;
                if (acts[i % 3] == ACT_LEAKY && want < 0) want *= (double)slope;
                case_near(c, "y", (size_t)k, y[k * phase + p], want,
                          AXES * ROUNDING * (magnitude + 1));
            }
        }
        case_end(c);
    }
}

static void check_kernel(check *c) {
    const matrices m = build();
    for (int i = 0; i < 2 * COUNTS; i++) {
        int n = counts[i / 2], turn = i % 2;
        ptrdiff_t point = n + 3;
        case_begin(c, "n=%d turn=%d", n, turn);
        float *g = case_random(c, (size_t)(9 * n), NO_SLACK),
              *u = case_array(c, (size_t)(35 * point + n), NO_SLACK);
        check_kern(c)->wino_kernel(n, g, turn, u, point);
        for (int k = 0; k < n; k++) {
            double x[9], magnitude;
            for (int j = 0; j < 9; j++) x[j] = g[(turn ? 8 - j : j) * n + k];
            for (int j = 0; j < 36; j++) {
                double want = sandwich(m.kernel[j / 6], m.kernel[j % 6], x, 3, &magnitude);
                case_near(c, "u", (size_t)j, u[j * point + k], want, AXES * ROUNDING * magnitude);
            }
        }
        case_end(c);
    }
}

/* The construction itself: A' ((G k G') . (B' d B)) A is the valid correlation of a 6x6 tile. */
static void check_identity(check *c) {
    const matrices m = build();
    double d[36], k[9], z[36], magnitude;
    case_begin(c, "the matrices give a correlation");
    for (int i = 0; i < 36; i++) d[i] = (double)pick_float(c, -1, 1);
    for (int i = 0; i < 9; i++) k[i] = (double)pick_float(c, -1, 1);
    for (int i = 0; i < 36; i++)
        z[i] = sandwich(m.in[i / 6], m.in[i % 6], d, 6, &magnitude) *
               sandwich(m.kernel[i / 6], m.kernel[i % 6], k, 3, &magnitude);
    for (int i = 0; i < 16; i++) {
        double want = 0;
        for (int j = 0; j < 9; j++) want += k[j] * d[(i / 4 + j / 3) * 6 + i % 4 + j % 3];
        case_near(c, "y", (size_t)i, sandwich(m.out[i / 4], m.out[i % 4], z, 6, &magnitude), want,
                  1e-13);
    }
    case_end(c);
}

static void check_split(check *c) {
    for (int i = 0; i < COUNTS; i++) {
        int n = counts[i];
        ptrdiff_t phase = n + 2;
        case_begin(c, "n=%d", n);
        float *src = case_random(c, 4 * rounded(c, n), NO_SLACK),
              *dst = case_array(c, (size_t)(3 * phase + n), NO_SLACK);
        check_kern(c)->split4(n, src, dst, phase);
        for (int t = 0; t < 4 * n; t++)
            case_true(c, dst[t % 4 * phase + t / 4] == src[t], "every fourth");
        for (int s = 0; s < 3; s++) case_true(c, isnan(dst[s * phase + n]), "nothing beyond");
        case_end(c);
    }
}

static void check_join(check *c) {
    for (int n = 1; n < 140; n += n < 20 ? 1 : 7) {
        ptrdiff_t phase = (n + 3) / 4 + LENS_SLACK;
        case_begin(c, "n=%d", n);
        float *src = case_random(c, (size_t)(4 * phase), NO_SLACK),
              *dst = case_array(c, (size_t)n, NO_SLACK);
        check_kern(c)->join4(n, src, phase, dst);
        for (int t = 0; t < n; t++) case_true(c, dst[t] == src[t % 4 * phase + t / 4], "in turn");
        case_end(c);
    }
}

const check_slot winograd_slots[] = {
    { "wino_in", check_in },
    { "wino_out", check_out },
    { "wino_kernel", check_kernel },
    { "wino", check_identity },
    { "split4", check_split },
    { "join4", check_join },
    { 0 },
};
