/* test_signal.c - one-dimensional and two-dimensional convolution, spectra, comparison, template
 * search: printed numbers, identities, and agreement with the convolution layer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "support/check.h"
#include <lenslet/signal.h>

#define PI 3.14159265358979323846

/* The numbers of a text, exactly as doubles. */
static int read(const char *text, double *out) {
    int n = 0;
    while (*text) {
        char *end;
        out[n++] = strtod(text, &end);
        text = end;
        while (*text == ' ' || *text == '/') text++;
    }
    return n;
}

static void expect(const double *got, const char *want, double tolerance) {
    double w[512];
    int n = read(want, w);
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - w[i]) <= tolerance))
            fail_msg("number %d is %.15g, not %.15g", i, got[i], w[i]);
}

static const char *const S = "0 0 0 0 1 2 3 4 5 6 0 0 0 0", *const H = "1 .9 .8 .7";

static double noise(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 23) - 1;
}

static void fill(double *x, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) x[i] = noise(&seed);
}

/* sum of x[a,b] k[i-a,j-b], straight from the definition. */
static double by_definition(const double *x, int h, int w, const double *k, int kh, int kw, int i,
                            int j) {
    double sum = 0;
    for (int a = 0; a < h; a++)
        for (int b = 0; b < w; b++)
            if (i - a >= 0 && i - a < kh && j - b >= 0 && j - b < kw)
                sum += x[a * w + b] * k[(i - a) * kw + j - b];
    return sum;
}

static void two_boxes_make_a_triangle(void **state) {
    (void)state;
    enum { N = 1000 };
    lens_ctx *ctx = test_ctx(1);
    static double box[N], y[2 * N - 1];
    for (int i = 0; i < N; i++) box[i] = 1;
    assert_ok(ctx, lens_convolve(ctx, box, 1, N, box, 1, N, LENS_FULL, y));
    double area = 0, step = 1.0 / N;
    for (int i = 0; i < 2 * N - 1; i++) {
        area += y[i] * step * step;
        double x = (i + 1) * step; /* of the right edges of the cells */
        assert_near(y[i] * step, x <= 1 ? x : 2 - x, 1e-12);
    }
    assert_near(y[N - 1] * step, 1, 2 * step);
    assert_near(area, 1, 1e-3);
    lens_ctx_free(ctx);
}

static void two_dice(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double die[6] = { 1, 1, 1, 1, 1, 1 }, y[11];
    assert_ok(ctx, lens_convolve(ctx, die, 1, 6, die, 1, 6, LENS_FULL, y));
    expect(y, "1 2 3 4 5 6 5 4 3 2 1", 0);
    lens_term term[6];
    assert_int_equal(lens_output_terms(die, 6, die, 6, 2, term), 3); /* 1+3, 2+2, 3+1 */
    for (int i = 0; i < 3; i++) assert_int_equal(term[i].x_at + term[i].h_at, 2);
    assert_near(y[2] / 36, 1.0 / 12, 1e-16);
    lens_ctx_free(ctx);
}

static void impulse_and_step(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double delta[5] = { 1 }, step[5] = { 1, 1, 1, 1, 1 }, h[4], y[8];
    read(H, h);
    assert_ok(ctx, lens_convolve(ctx, delta, 1, 5, h, 1, 4, LENS_FULL, y));
    expect(y, "1 .9 .8 .7 0 0 0 0", 0);
    assert_ok(ctx, lens_convolve(ctx, step, 1, 5, h, 1, 4, LENS_FULL, y));
    expect(y, "1 1.9 2.7 3.4 3.4 2.4 1.5 .7", 1e-12);
    lens_ctx_free(ctx);
}

static const char *const S_H = "0 0 0 0 1 2.9 5.6 9 12.4 15.8 12.2 8.3 4.2 0 0 0 0";

static void multipath(void **state) {
    (void)state;
    double s[14], h[4], rows[4 * 17], sum[17] = { 0 };
    read(S, s), read(H, h);
    lens_multipath(s, 14, h, 4, rows);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 17; i++) {
            assert_near(rows[j * 17 + i], i >= j && i - j < 14 ? h[j] * s[i - j] : 0, 0);
            sum[i] += rows[j * 17 + i];
        }
    expect(sum, S_H, 1e-12);
}

static void full_length(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    double s[14], h[4], y[17];
    read(S, s), read(H, h);
    assert_int_equal(lens_signal_size(14, 4, LENS_FULL), 17);
    assert_int_equal(lens_signal_size(14, 4, LENS_SAME), 14);
    assert_int_equal(lens_signal_size(14, 4, LENS_VALID), 11);
    assert_ok(ctx, lens_convolve(ctx, s, 1, 14, h, 1, 4, LENS_FULL, y));
    expect(y, S_H, 1e-12);
    assert_ok(ctx, lens_convolve(ctx, s, 1, 14, h, 1, 4, LENS_VALID, y));
    expect(y, "0 1 2.9 5.6 9 12.4 15.8 12.2 8.3 4.2 0", 1e-12);
    assert_ok(ctx, lens_correlate(ctx, s, 1, 14, h, 1, 4, LENS_VALID, y));
    expect(y, "0 .7 2.2 4.6 8 11.4 14.8 13.3 10.4 6 0", 1e-12);
    assert_ok(ctx, lens_convolve(ctx, s, 1, 14, h, 1, 4, LENS_SAME, y));
    expect(y, "0 0 1 2.9 5.6 9 12.4 15.8 12.2 8.3 4.2 0 0 0", 1e-12);
    lens_ctx_free(ctx);
}

static void terms_of_the_sixth_sample(void **state) {
    (void)state;
    double s[14], h[4], sum = 0;
    lens_term t[4];
    read(S, s), read(H, h);
    assert_int_equal(lens_output_terms(s, 14, h, 4, 5, t), 4);
    const double x[] = { 2, 1, 0, 0 };
    for (int i = 0; i < 4; i++) {
        assert_near(t[i].x, x[i], 0);
        assert_near(t[i].h, h[i], 0);
        sum += t[i].product;
    }
    assert_near(sum, 2.9, 1e-15);
    assert_int_equal(lens_output_terms(s, 14, h, 4, 16, t), 1);
    assert_int_equal(lens_output_terms(s, 14, h, 4, 17, t), 0);
    assert_int_equal(lens_output_terms(s, 14, h, 4, -1, t), 0);
}

/* All modes and awkward sizes against the definition, and flipping against turning. */
static void any_size(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(3);
    static const int sizes[][4] = { { 1, 1, 1, 1 },  { 1, 9, 1, 4 },   { 7, 1, 3, 1 },
                                    { 5, 6, 2, 5 },  { 19, 23, 4, 3 }, { 3, 4, 5, 7 },
                                    { 33, 17, 8, 9 } };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int h = sizes[s][0], w = sizes[s][1], kh = sizes[s][2], kw = sizes[s][3];
        double x[600], k[100], turned[100], y[2000], z[2000], f[2000];
        fill(x, (size_t)(h * w), 1), fill(k, (size_t)(kh * kw), 2);
        for (int i = 0; i < kh * kw; i++) turned[i] = k[kh * kw - 1 - i];
        for (int mode = LENS_VALID; mode <= LENS_FULL; mode++) {
            int oh = lens_signal_size(h, kh, (lens_mode)mode),
                ow = lens_signal_size(w, kw, (lens_mode)mode);
            if (oh < 1 || ow < 1) {
                assert_fails(ctx, LENS_BAD_SHAPE, "the kernel is 5x7 but the signal only 3x4",
                             lens_convolve(ctx, x, h, w, k, kh, kw, (lens_mode)mode, y));
                continue;
            }
            int top = mode == LENS_FULL ? 0 : mode == LENS_SAME ? kh / 2 : kh - 1;
            int left = mode == LENS_FULL ? 0 : mode == LENS_SAME ? kw / 2 : kw - 1;
            assert_ok(ctx, lens_convolve(ctx, x, h, w, k, kh, kw, (lens_mode)mode, y));
            assert_ok(ctx, lens_correlate(ctx, x, h, w, turned, kh, kw, (lens_mode)mode, z));
            assert_memory_equal(y, z, sizeof *y * (size_t)(oh * ow));
            for (int i = 0; i < oh; i++)
                for (int j = 0; j < ow; j++)
                    assert_near(y[i * ow + j], by_definition(x, h, w, k, kh, kw, i + top, j + left),
                                1e-13);
            assert_ok(ctx, lens_convolve_dft(ctx, x, h, w, k, kh, kw, (lens_mode)mode, f));
            for (int i = 0; i < oh * ow; i++) assert_near(f[i], y[i], 1e-13);
            assert_ok(ctx, lens_correlate_dft(ctx, x, h, w, turned, kh, kw, (lens_mode)mode, f));
            for (int i = 0; i < oh * ow; i++) assert_near(f[i], y[i], 1e-13);
        }
    }
    lens_ctx_free(ctx);
}

static void commutes_in_two_dimensions(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double x[9], k[4], a[16], b[16];
    read("0 1 2/3 4 5/6 7 8", x), read("0 1/2 3", k);
    assert_ok(ctx, lens_convolve(ctx, x, 3, 3, k, 2, 2, LENS_FULL, a));
    assert_ok(ctx, lens_convolve(ctx, k, 2, 2, x, 3, 3, LENS_FULL, b));
    expect(a, "0 0 1 2/0 5 11 11/6 23 29 23/12 32 37 24", 0);
    expect(b, "0 0 1 2/0 5 11 11/6 23 29 23/12 32 37 24", 0);
    lens_ctx_free(ctx);
}

static void associativity(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double a[] = { 1, 2, 3 }, b[] = { 0, 1, 2 }, c[] = { 1, -1 }, ab[5], bc[4], y[6];
    lens_convolve(ctx, a, 1, 3, b, 1, 3, LENS_FULL, ab);
    lens_convolve(ctx, ab, 1, 5, c, 1, 2, LENS_FULL, y);
    expect(y, "0 1 3 3 -1 -6", 0);
    lens_convolve(ctx, b, 1, 3, c, 1, 2, LENS_FULL, bc);
    lens_convolve(ctx, a, 1, 3, bc, 1, 4, LENS_FULL, y);
    expect(y, "0 1 3 3 -1 -6", 0);
    lens_correlate(ctx, a, 1, 3, bc, 1, 4, LENS_FULL, y);
    expect(y, "-2 -3 -3 5 3 0", 0);
    lens_correlate(ctx, a, 1, 3, b, 1, 3, LENS_FULL, ab);
    expect(ab, "2 5 8 3 0", 0);
    lens_correlate(ctx, ab, 1, 5, c, 1, 2, LENS_FULL, y);
    expect(y, "-2 -3 -3 5 3 0", 0);
    lens_correlate(ctx, b, 1, 3, c, 1, 2, LENS_FULL, bc);
    lens_correlate(ctx, a, 1, 3, bc, 1, 4, LENS_FULL, y);
    expect(y, "2 3 3 -5 -3 0", 0);
    lens_correlate(ctx, b, 1, 3, a, 1, 3, LENS_FULL, ab);
    expect(ab, "0 3 8 5 2", 0);
    lens_ctx_free(ctx);
}

static void autocorrelation(void **state) {
    (void)state;
    enum { N = 21 };
    lens_ctx *ctx = test_ctx(1);
    double x[N], r[2 * N - 1], energy = 0;
    fill(x, N, 3);
    for (int i = 0; i < N; i++) energy += x[i] * x[i];
    assert_ok(ctx, lens_correlate(ctx, x, 1, N, x, 1, N, LENS_FULL, r));
    assert_near(r[N - 1], energy, 1e-13);
    for (int lag = 1; lag < N; lag++) {
        assert_near(r[N - 1 + lag], r[N - 1 - lag], 1e-14);
        assert_true(r[N - 1 + lag] < r[N - 1]);
    }
    lens_ctx_free(ctx);
}

static void convolution_theorem(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    double s[17] = { 0 }, h[17] = { 0 }, si[17] = { 0 }, hi[17] = { 0 }, y[17];
    read(S, s), read(H, h);
    assert_ok(ctx, lens_convolve_dft(ctx, s, 1, 14, h, 1, 4, LENS_FULL, y));
    expect(y, S_H, 1e-12);
    /* The same in three steps: transforms of 17 (a prime), a product, the way back. */
    assert_ok(ctx, lens_dft(ctx, s, si, 1, 17, false));
    assert_ok(ctx, lens_dft(ctx, h, hi, 1, 17, false));
    for (int i = 0; i < 17; i++) {
        double re = s[i] * h[i] - si[i] * hi[i];
        si[i] = s[i] * hi[i] + si[i] * h[i], s[i] = re;
    }
    assert_ok(ctx, lens_dft(ctx, s, si, 1, 17, true));
    expect(s, S_H, 1e-12);
    double a[6] = { 1, 2, 3, 4, 5, 6 }, b[6] = { 1, .9, .8, .7 }, linear[9];
    assert_ok(ctx, lens_convolve_circular(ctx, a, b, 6, y));
    expect(y, "13.2 11.2 9.8 9 12.4 15.8", 1e-12);
    assert_ok(ctx, lens_convolve(ctx, a, 1, 6, b, 1, 4, LENS_FULL, linear));
    expect(linear, "1 2.9 5.6 9 12.4 15.8 12.2 8.3 4.2", 1e-12);
    for (int i = 0; i < 6; i++) assert_near(y[i], linear[i] + (i < 3 ? linear[i + 6] : 0), 1e-12);
    double x[9], k[4], full[16], valid[4];
    read("0 1 2/3 4 5/6 7 8", x), read("0 1/2 3", k);
    assert_ok(ctx, lens_convolve_dft(ctx, x, 3, 3, k, 2, 2, LENS_FULL, full));
    expect(full, "0 0 1 2/0 5 11 11/6 23 29 23/12 32 37 24", 1e-12);
    assert_ok(ctx, lens_correlate_dft(ctx, x, 3, 3, k, 2, 2, LENS_VALID, valid));
    expect(valid, "19 25/37 43", 1e-12);
    lens_ctx_free(ctx);
}

/* Sizes of every kind of factor against the definition, and there and back. */
static void transforms_of_any_size(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    static const int sizes[][2] = { { 1, 1 },  { 1, 2 },  { 1, 8 },  { 1, 15 }, { 1, 28 },
                                    { 6, 10 }, { 9, 16 }, { 13, 4 }, { 25, 7 }, { 1, 64 } };
    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
        int h = sizes[t][0], w = sizes[t][1], n = h * w;
        double re[200], im[200], x[200], z[200];
        fill(x, (size_t)n, 5), fill(z, (size_t)n, 6);
        memcpy(re, x, sizeof re), memcpy(im, z, sizeof im);
        assert_ok(ctx, lens_dft(ctx, re, im, h, w, false));
        for (int p = 0; p < h; p++)
            for (int q = 0; q < w; q++) {
                double r = 0, i = 0;
                for (int a = 0; a < h; a++)
                    for (int b = 0; b < w; b++) {
                        double angle = -2 * PI * ((double)p * a / h + (double)q * b / w);
                        double c = cos(angle), s = sin(angle);
                        r += x[a * w + b] * c - z[a * w + b] * s;
                        i += x[a * w + b] * s + z[a * w + b] * c;
                    }
                assert_near(re[p * w + q], r, 1e-12);
                assert_near(im[p * w + q], i, 1e-12);
            }
        assert_ok(ctx, lens_dft(ctx, re, im, h, w, true));
        for (int i = 0; i < n; i++) {
            assert_near(re[i], x[i], 1e-14);
            assert_near(im[i], z[i], 1e-14);
        }
    }
    lens_ctx_free(ctx);
}

static double response(const double *k, int n, double w) {
    double re, im;
    lens_frequency_response(k, 1, n, 0, w, &re, &im);
    assert_near(im, 0, 1e-15);
    return re;
}

/* The share of a picture's energy at frequencies above pi/2 in either direction. */
static double high_share(lens_ctx *ctx, const double *x, int h, int w) {
    double re[64 * 64], im[64 * 64] = { 0 }, high = 0, all = 0;
    memcpy(re, x, sizeof *re * (size_t)(h * w));
    assert_ok(ctx, lens_dft(ctx, re, im, h, w, false));
    for (int p = 0; p < h; p++)
        for (int q = 0; q < w; q++) {
            double e = re[p * w + q] * re[p * w + q] + im[p * w + q] * im[p * w + q];
            int fp = p < h - p ? p : h - p, fq = q < w - q ? q : w - q;
            all += e;
            if (4 * fp > h || 4 * fq > w) high += e;
        }
    return high / all;
}

static void kernels_choose_frequencies(void **state) {
    (void)state;
    enum { N = 62 };
    lens_ctx *ctx = test_ctx(1);
    const double mean[3] = { 1. / 3, 1. / 3, 1. / 3 }, second[3] = { -1, 2, -1 };
    assert_near(response(mean, 3, 0), 1, 1e-15);
    assert_near(response(mean, 3, 2 * PI / 3), 0, 1e-15);
    assert_near(response(mean, 3, PI), -1. / 3, 1e-15);
    assert_near(response(second, 3, 0), 0, 1e-15);
    assert_near(response(second, 3, PI), 4, 1e-15);
    float s80[80 * 80];
    double x[80 * 80], same[N * N], edge[N * N], blur[N * N];
    lens_kernel k;
    lens_picture_s80(s80);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++) x[i * 64 + j] = (double)s80[(i + 8) * 80 + j + 8];
    const double one[9] = { 0, 0, 0, 0, 1 };
    assert_ok(ctx, lens_correlate(ctx, x, 64, 64, one, 3, 3, LENS_VALID, same));
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "edge-2"));
    assert_ok(ctx, lens_correlate(ctx, x, 64, 64, k.value, 3, 3, LENS_VALID, edge));
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "box-blur"));
    assert_ok(ctx, lens_correlate(ctx, x, 64, 64, k.value, 3, 3, LENS_VALID, blur));
    double before = high_share(ctx, same, N, N);
    assert_true(high_share(ctx, edge, N, N) > 2 * before);
    assert_true(high_share(ctx, blur, N, N) < before / 2);
    lens_ctx_free(ctx);
}

static void low_pass(void **state) {
    (void)state;
    enum { N = 300 };
    lens_ctx *ctx = test_ctx(2);
    static double x[N * N], y[(N - 2) * (N - 2)];
    lens_kernel k;
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "box-blur"));
    for (int i = 0; i < N * N; i++) x[i] = 7;
    assert_ok(ctx, lens_correlate(ctx, x, N, N, k.value, 3, 3, LENS_VALID, y));
    for (size_t i = 0; i < sizeof y / sizeof *y; i++) assert_near(y[i], 7, 1e-14);
    fill(x, N * N, 9);
    assert_ok(ctx, lens_correlate(ctx, x, N, N, k.value, 3, 3, LENS_VALID, y));
    double vx = 0, vy = 0;
    for (int i = 0; i < N * N; i++) vx += x[i] * x[i] / (N * N);
    for (size_t i = 0; i < sizeof y / sizeof *y; i++) vy += y[i] * y[i] * 9 / (298. * 298);
    assert_near(vy / vx, 1, 0.02); /* 90,000 draws: a deviation of about 0.5 % */
    lens_ctx_free(ctx);
}

static void separable(void **state) {
    (void)state;
    enum { H1 = 20, W1 = 26 };
    lens_ctx *ctx = test_ctx(1);
    lens_kernel k;
    double column[31], row[31], x[H1 * W1], y[H1 * W1], half[H1 * W1], z[H1 * W1];
    static const char *const yes[] = { "gaussian-blur", "gaussian:1.2", "sobel-x", "box:4" };
    fill(x, H1 * W1, 4);
    for (int i = 0; i < 4; i++) {
        assert_ok(ctx, lens_kernel_parse(ctx, &k, yes[i]));
        assert_true(lens_separable(k.value, k.h, k.w, 1e-12, column, row));
        assert_ok(ctx, lens_correlate(ctx, x, H1, W1, k.value, k.h, k.w, LENS_VALID, y));
        assert_ok(ctx, lens_correlate(ctx, x, H1, W1, column, k.h, 1, LENS_VALID, half));
        assert_ok(ctx, lens_correlate(ctx, half, H1 - k.h + 1, W1, row, 1, k.w, LENS_VALID, z));
        for (int j = 0; j < (H1 - k.h + 1) * (W1 - k.w + 1); j++) assert_near(z[j], y[j], 1e-13);
    }
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "laplacian-4"));
    assert_false(lens_separable(k.value, 3, 3, 1e-12, column, row));
    const double zero[4] = { 0 };
    assert_false(lens_separable(zero, 2, 2, 1e-12, column, row));
    lens_ctx_free(ctx);
}

/* ---- comparing and searching ---- */

static void squared_errors(void **state) {
    (void)state;
    double a[4], b[4], c[4];
    read("1 20/0 5", a), read("2 20/0 5", b), read("45 87/78 3", c);
    lens_difference d = lens_compare(a, b, 4, 255);
    assert_near(d.sse, 1, 0);
    assert_near(d.mse, .25, 0);
    assert_near(d.rmse, .5, 0);
    assert_near(d.psnr, 54.151403522, 1e-8); /* 10 log10(65025 * 4) */
    d = lens_compare(a, c, 4, 255);
    assert_near(d.sse, 12513, 0);
    assert_near(d.mse, 3128.25, 0);
    assert_near(d.rmse, 55.93076, 5e-6);
    assert_near(sqrt(d.sse) / 4, 27.96538, 5e-6); /* what is sometimes called so */
    assert_true(isinf(lens_compare(a, a, 4, 255).psnr));
}

static lens_match find(const char *x, int h, int w, const char *t, int th, int tw,
                       lens_match_method method, double *map) {
    lens_ctx *ctx = test_ctx(1);
    double picture[64], pattern[16];
    lens_match m;
    assert_int_equal(read(x, picture), h * w);
    assert_int_equal(read(t, pattern), th * tw);
    assert_ok(ctx, lens_match_template(ctx, picture, h, w, pattern, th, tw, method, NULL, map, &m));
    lens_ctx_free(ctx);
    return m;
}

static void finds_3_4_5(void **state) {
    (void)state;
    double map[12];
    lens_match m = find(S, 1, 14, "3 4 5", 1, 3, LENS_MATCH_SSE, map);
    expect(map, "50 50 41 27 12 3 0 3 33 50 50 50", 0);
    assert_int_equal(m.verdict, LENS_FOUND);
    assert_int_equal(m.column, 6);
    m = find(S, 1, 14, "3 4 5", 1, 3, LENS_MATCH_RAW, map);
    expect(map, "0 0 5 14 26 38 50 62 39 18 0 0", 0);
    assert_int_equal(m.column, 7); /* the wrong place, and it says that it cannot tell */
    assert_int_equal(m.verdict, LENS_AMBIGUOUS);
    m = find(S, 1, 14, "3 4 5", 1, 3, LENS_MATCH_COSINE, map);
    assert_int_equal(m.verdict, LENS_FOUND);
    assert_int_equal(m.column, 6);
    assert_near(m.score, 1, 1e-15);
    m = find(S, 1, 14, "3 4 5", 1, 3, LENS_MATCH_ZNCC, map);
    assert_int_equal(m.verdict, LENS_AMBIGUOUS);
    assert_int_equal(m.ties, 5);
    assert_int_equal(m.column, 3);
}

static void an_absent_pattern_is_absent(void **state) {
    (void)state;
    double map[11];
    lens_match m = find(S, 1, 14, H, 1, 4, LENS_MATCH_SSE, map);
    assert_int_equal(m.verdict, LENS_ABSENT);
    assert_int_equal(m.column, 1);
    assert_near(m.score, 2.54, 1e-12);
    m = find(S, 1, 14, H, 1, 4, LENS_MATCH_COSINE, map);
    assert_int_equal(m.verdict, LENS_ABSENT);
    assert_int_equal(m.column, 6);
    assert_near(m.score, .930762, 5e-7);
    m = find(S, 1, 14, H, 1, 4, LENS_MATCH_RAW, map);
    assert_int_equal(m.column, 6);
    assert_near(m.score, 14.8, 1e-12);
}

static void template_in_a_picture(void **state) {
    (void)state;
    static const char *const X = "1 2 3 4 5 6/7 8 9 10 11 12/13 14 15 16 17 18", *const P =
                                                                                     "5 6/11 12";
    double map[10];
    lens_match m = find(X, 3, 6, P, 2, 2, LENS_MATCH_SSE, map);
    expect(map, "64 36 16 4 0/16 36 64 100 144", 0);
    assert_true(m.verdict == LENS_FOUND && m.row == 0 && m.column == 4);
    find(X, 3, 6, P, 2, 2, LENS_MATCH_MSE, map);
    expect(map, "16 9 4 1 0/4 9 16 25 36", 0);
    find(X, 3, 6, P, 2, 2, LENS_MATCH_RMSE, map);
    expect(map, "4 3 2 1 0/2 3 4 5 6", 1e-12);
    m = find(X, 3, 6, P, 2, 2, LENS_MATCH_RAW, map);
    expect(map, "190 224 258 292 326/394 428 462 496 530", 0);
    assert_true(m.verdict == LENS_AMBIGUOUS && m.row == 1 && m.column == 4);
    m = find(X, 3, 6, P, 2, 2, LENS_MATCH_COSINE, map);
    expect(map, ".968732 .986985 .995583 .999133 1/.998099 .996384 .994499 .992564 .990649", 5e-7);
    assert_true(m.verdict == LENS_FOUND && m.row == 0 && m.column == 4);
    m = find(X, 3, 6, P, 2, 2, LENS_MATCH_ZNCC, map);
    expect(map, "1 1 1 1 1/1 1 1 1 1", 1e-12);
    assert_true(m.verdict == LENS_AMBIGUOUS && m.ties == 10);
    lens_ctx *ctx = test_ctx(1);
    double x[18], p[4];
    read(X, x), read(P, p);
    assert_ok(ctx, lens_convolve(ctx, x, 3, 6, p, 2, 2, LENS_VALID, map));
    expect(map, "116 150 184 218 252/320 354 388 422 456", 0);
    lens_ctx_free(ctx);
}

/* A patch of noise under another brightness and contrast; direct and by DFT. */
static void large_search_both_ways(void **state) {
    (void)state;
    enum { H1 = 150, W1 = 170, T1 = 60, OH = H1 - T1 + 1, OW = W1 - T1 + 1 };
    lens_ctx *ctx = test_ctx(2);
    static double x[H1 * W1], t[T1 * T1], direct[OH * OW], dft[OH * OW];
    fill(x, H1 * W1, 11);
    for (int i = 0; i < H1 * W1; i++) x[i] = 128 + 100 * x[i];
    for (int i = 0; i < T1; i++)
        for (int j = 0; j < T1; j++) t[i * T1 + j] = x[(i + 37) * W1 + j + 101];
    for (int method = LENS_MATCH_SSE; method <= LENS_MATCH_ZNCC; method++) {
        lens_match a, b;
        if (method == LENS_MATCH_ZNCC)
            for (int i = 0; i < T1 * T1; i++) t[i] = 3 * t[i] - 50;
        assert_ok(ctx, lens_match_template(ctx, x, H1, W1, t, T1, T1, (lens_match_method)method,
                                           &(lens_match_opts){ .direct = true }, direct, &a));
        assert_ok(ctx, lens_match_template(ctx, x, H1, W1, t, T1, T1, (lens_match_method)method,
                                           NULL, dft, &b));
        double largest = 0;
        for (int i = 0; i < OH * OW; i++) largest = fmax(largest, fabs(direct[i]));
        for (int i = 0; i < OH * OW; i++) assert_near(dft[i], direct[i], 1e-9 * largest);
        assert_int_equal(a.row, b.row);
        assert_int_equal(a.column, b.column);
        assert_int_equal(a.verdict, b.verdict);
        assert_true(a.row == 37 && a.column == 101);
        assert_int_equal(a.verdict, LENS_FOUND);
        assert_true(a.has_second &&
                    (abs(a.second_row - 37) >= 30 || abs(a.second_column - 101) >= 30));
    }
    lens_ctx_free(ctx);
}

static void two_equal_places_are_ambiguous(void **state) {
    (void)state;
    lens_match m = find("0 3 4 5 0 0 9 0 3 4 5 0", 1, 12, "3 4 5", 1, 3, LENS_MATCH_SSE, NULL);
    assert_int_equal(m.verdict, LENS_AMBIGUOUS);
    assert_int_equal(m.ties, 2);
    assert_int_equal(m.column, 1);
    assert_int_equal(m.second_column, 8);
    assert_near(m.second_score, 0, 0);
}

static void bad_templates(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double x[4] = { 1, 2, 3, 4 }, t[4] = { 5, 5, 0, 0 }, bad[2] = { NAN, NAN };
    lens_match m;
    assert_fails(ctx, LENS_BAD_SHAPE, "the template is 1x4 but the signal only 2x2",
                 lens_match_template(ctx, x, 2, 2, t, 1, 4, LENS_MATCH_SSE, NULL, NULL, &m));
    assert_fails(ctx, LENS_BAD_ARG, "constant",
                 lens_match_template(ctx, x, 1, 4, t, 1, 2, LENS_MATCH_ZNCC, NULL, NULL, &m));
    assert_fails(ctx, LENS_BAD_ARG, "all zeros",
                 lens_match_template(ctx, x, 1, 4, t + 2, 1, 2, LENS_MATCH_COSINE, NULL, NULL, &m));
    assert_fails(ctx, LENS_BAD_ARG, "the template has 2 of 2 values that are not finite",
                 lens_match_template(ctx, x, 1, 4, bad, 1, 2, LENS_MATCH_SSE, NULL, NULL, &m));
    assert_fails(ctx, LENS_BAD_ARG, "the picture has 2 of 2",
                 lens_match_template(ctx, bad, 1, 2, t, 1, 1, LENS_MATCH_SSE, NULL, NULL, &m));
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("[B1] two unit boxes make a triangle", two_boxes_make_a_triangle),
    T("[B2][B3][V7] the sum of two dice", two_dice),
    T("[B4] impulse gives the kernel, step its running sum", impulse_and_step),
    T("[B5][V8] delayed scaled copies add up to the convolution", multipath),
    T("[A7][B7][V8] zeros outside: full length L+M-1, flip and align", full_length),
    T("[B6][V8] the terms of the sixth sample", terms_of_the_sixth_sample),
    T("[B2][B7][B11] any size: definition, turned kernel, DFT", any_size),
    T("[C3][V3] full(x,k) == full(k,x)", commutes_in_two_dimensions),
    T("[C6][V11] associativity needs the flip", associativity),
    T("[B10] autocorrelation", autocorrelation),
    T("[B11][V10] convolution theorem, linear and circular", convolution_theorem),
    T("[B11] transforms of any size, there and back", transforms_of_any_size),
    T("[B12] kernels choose frequencies", kernels_choose_frequencies),
    T("[B13] a mean keeps constants and divides the variance of noise by nine", low_pass),
    T("[E12] separable kernels are two passes", separable),
    T("[N7][V9] SSE, MSE, RMSE, PSNR", squared_errors),
    T("[B8][N6][V9] 3 4 5 is found, but not by raw correlation", finds_3_4_5),
    T("[B9][V9] an absent pattern is absent", an_absent_pattern_is_absent),
    T("[N6][V9] a template in a picture", template_in_a_picture),
    T("[N6] a large search, direct and by DFT", large_search_both_ways),
    T("[N6] two equal places are ambiguous", two_equal_places_are_ambiguous),
    T("[N6] templates that cannot be searched", bad_templates),
};

TEST_MAIN(tests)
