/* test_signal_fit.c - kernels and lines learned by gradient descent: the printed traces.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/signal.h>

static double s80[6400];

static void picture(void) {
    float x[6400];
    lens_picture_s80(x);
    for (int i = 0; i < 6400; i++) s80[i] = (double)x[i];
}

typedef struct trace {
    double loss[10001];
    int count;
    double first_w[9];
} trace;

static void watch(void *user, int step, double loss, const double *w) {
    trace *t = user;
    assert_int_equal(step, t->count);
    t->loss[t->count++] = loss;
    if (step == 1) memcpy(t->first_w, w, sizeof t->first_w);
}

static trace seen;

static lens_fit learn(lens_ctx *ctx, const char *target, double *w) {
    static double y[6084];
    lens_kernel k;
    lens_fit fit;
    picture();
    seen.count = 0;
    assert_ok(ctx, lens_kernel_parse(ctx, &k, target));
    assert_ok(ctx, lens_correlate(ctx, s80, 80, 80, k.value, 3, 3, LENS_VALID, y));
    memset(w, 0, 9 * sizeof *w);
    assert_ok(ctx, lens_kernel_fit(ctx, s80, 80, 80, y, 3, 3,
                                   &(lens_fit_opts){ .watch = watch, .user = &seen }, w, &fit));
    assert_int_equal(seen.count, fit.steps + 1);
    for (int i = 1; i < seen.count; i++) assert_true(seen.loss[i] < seen.loss[i - 1]);
    return fit;
}

/* Step numbers are exact; weights are printed with six digits after the point. */
static void expect_trace(const char *target, int steps, const double loss[5], double last,
                         const double *want, double error) {
    static const int at[5] = { 0, 1, 10, 100, 1000 };
    lens_ctx *ctx = test_ctx(2);
    lens_kernel k;
    double w[9], most = 0;
    lens_fit fit = learn(ctx, target, w);
    assert_int_equal(fit.steps, steps);
    for (int i = 0; i < 5 && at[i] <= steps; i++)
        if (loss[i] > 0) assert_near(seen.loss[at[i]], loss[i], 6e-10 * loss[i]);
    assert_near(fit.loss, last, 6e-6 * last);
    for (int i = 0; i < 9 && want; i++) assert_near(w[i], want[i], 6e-7);
    assert_ok(ctx, lens_kernel_parse(ctx, &k, target));
    for (int i = 0; i < 9; i++) most = fmax(most, fabs(w[i] - k.value[i]));
    assert_near(most, error, 6e-6);
    assert_near(fit.lambda_max, 1.2919113410312162, 1e-12);
    assert_near(fit.rate_max, 1.5480938486100606, 1e-12);
    lens_ctx_free(ctx);
}

static const double EDGE_LOSS[5] = { .05062458909, .04875723968, .03957693659, .008266451735,
                                     4.787452442e-06 };

static void horizontal_edge(void **state) {
    (void)state;
    const double w[9] = { -.000988, -.998267, -.000988, .001733, 1.996985,
                          .001733,  -.000988, -.998267, -.000988 };
    expect_trace("horizontal-edge", 1483, EDGE_LOSS, 9.99923e-08, w, .00302);
}

static void vertical_edge(void **state) {
    (void)state;
    const double w[9] = { -.000988, .001733,  -.000988, -.998267, 1.996985,
                          -.998267, -.000988, .001733,  -.000988 };
    expect_trace("vertical-edge", 1483, EDGE_LOSS, 9.99923e-08, w, .00302);
}

static void sobel_x(void **state) {
    (void)state;
    const double loss[5] = { .6416831032, .5699960455, .1977842095, .001900003793 };
    const double w[9] = { -1.001233, 0, 1.001233, -1.997727, 0, 1.997727, -1.001233, 0, 1.001233 };
    expect_trace("sobel-x", 911, loss, 9.93902e-08, w, .00227);
}

static void sharpness(void **state) {
    (void)state;
    const double loss[5] = { .3362919132, .2283191213, .1757975488, .04173082174, 2.571223784e-05 };
    const double w[9] = { -.000988, -.998268, -.000988, -.998268, 4.996986,
                          -.998268, -.000988, -.998268, -.000988 };
    expect_trace("sharpness", 1693, loss, 9.98866e-08, w, .00301);
}

/* The first step by the formula dw = x (*) (z-y), straight over the picture. */
static void first_step_over_the_picture(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static double y[6084];
    double w[9], dw[9];
    lens_kernel k;
    learn(ctx, "embossing", w);
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "embossing"));
    assert_ok(ctx, lens_correlate(ctx, s80, 80, 80, k.value, 3, 3, LENS_VALID, y));
    for (int i = 0; i < 6084; i++) y[i] = -y[i]; /* z - y with z = 0 */
    assert_ok(ctx, lens_correlate(ctx, s80, 80, 80, y, 78, 78, LENS_VALID, dw));
    for (int i = 0; i < 9; i++) assert_near(seen.first_w[i], -0.5 * dw[i] / 6084, 1e-15);
    lens_ctx_free(ctx);
}

static void panels_agree(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static double y[6084], z[6084];
    double w[9], most = 0;
    lens_kernel k;
    learn(ctx, "horizontal-edge", w);
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "horizontal-edge"));
    lens_correlate(ctx, s80, 80, 80, k.value, 3, 3, LENS_VALID, y);
    lens_correlate(ctx, s80, 80, 80, w, 3, 3, LENS_VALID, z);
    for (int i = 0; i < 6084; i++) most = fmax(most, fabs(y[i] - z[i]));
    assert_true(most > 0 && most < 1e-2);
    lens_ctx_free(ctx);
}

static void too_large_steps_diverge(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static double y[6084];
    double w[9] = { 0 };
    lens_fit fit;
    lens_kernel k;
    picture();
    assert_ok(ctx, lens_kernel_parse(ctx, &k, "surround"));
    assert_ok(ctx, lens_correlate(ctx, s80, 80, 80, k.value, 3, 3, LENS_VALID, y));
    lens_fit_opts opts = { .rate = 1.56, .steps = 5000 };
    assert_fails(ctx, LENS_DIVERGED, "the rate is 1.56, but steps above 2/lambda_max = 1.54809",
                 lens_kernel_fit(ctx, s80, 80, 80, y, 3, 3, &opts, w, &fit));
    assert_true(fit.steps < 5000 && fit.loss > 100 * fit.first_loss);
    memset(w, 0, sizeof w);
    opts.rate = 1.54;
    assert_ok(ctx, lens_kernel_fit(ctx, s80, 80, 80, y, 3, 3, &opts, w, &fit));
    assert_true(fit.loss < fit.first_loss);
    opts.rate = -1;
    assert_fails(ctx, LENS_BAD_ARG, "rate -1",
                 lens_kernel_fit(ctx, s80, 80, 80, y, 3, 3, &opts, w, &fit));
    y[7] = NAN;
    assert_fails(ctx, LENS_BAD_ARG, "the target has 1 of 6084",
                 lens_kernel_fit(ctx, s80, 80, 80, y, 3, 3, NULL, w, &fit));
    assert_fails(ctx, LENS_BAD_SHAPE, "the kernel is 3x3 but the signal only 2x80",
                 lens_kernel_fit(ctx, s80, 2, 80, y, 3, 3, NULL, w, &fit));
    double zero[9] = { 0 };
    assert_ok(ctx, lens_kernel_fit(ctx, zero, 3, 3, zero, 3, 3, NULL, w, &fit));
    assert_true(isinf(fit.rate_max) && fit.loss == 0);
    lens_ctx_free(ctx);
}

static void one_minus_one(void **state) {
    (void)state;
    static const double row[8] = { 1, 1, 0, 0, 0, 0, 1, 1 }, out[7] = { 0, 1, 0, 0, 0, -1, 0 };
    static const double loss[] = { 12,      4.9152,  2.013266, .824634, .33777,
                                   .138351, .056668, .023211,  .009507, .003894 };
    lens_ctx *ctx = test_ctx(1);
    double x[48], y[42], w[2] = { 0 };
    lens_fit fit;
    for (int i = 0; i < 48; i++) x[i] = row[i % 8];
    for (int i = 0; i < 42; i++) y[i] = out[i % 7];
    lens_fit_opts opts = { .rate = .03, .steps = 10, .sum = true, .tolerance = -1 };
    assert_ok(ctx, lens_kernel_fit(ctx, x, 6, 8, y, 1, 2, &opts, w, &fit));
    assert_int_equal(fit.steps, 10);
    assert_near(w[0], .9884707850, 5e-11);
    assert_near(w[1], -.9884707850, 5e-11);
    assert_near(fit.first_loss, loss[0], 0);
    for (int steps = 1; steps < 10; steps++) {
        w[0] = w[1] = 0;
        opts.steps = steps;
        assert_ok(ctx, lens_kernel_fit(ctx, x, 6, 8, y, 1, 2, &opts, w, &fit));
        assert_near(fit.loss, loss[steps], 6e-7);
    }
    assert_near(fit.lambda_max, 2 * (18 + 12), 1e-9); /* twice the Gram matrix 18 12/12 18 */
    lens_ctx_free(ctx);
}

static void line(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double x[50], y[50], fitted[2] = { 0 };
    lens_fit fit;
    for (int i = 0; i < 50; i++) x[i] = i / 25.0 - 1, y[i] = 2 * x[i] + 3;
    assert_ok(ctx, lens_line_fit(ctx, x, y, 50, NULL, fitted, &fit));
    assert_near(fitted[0], 2, 1e-2);
    assert_near(fitted[1], 3, 1e-2);
    assert_true(fit.steps > 0 && fit.loss < 1e-7);
    /* The line is a kernel of one cell and a constant: the same descent. With b fixed by symmetry the
     * first step is rate * mean(x*y), rate * mean(y). */
    double one[2] = { 0 }, sx = 0, sy = 0;
    for (int i = 0; i < 50; i++) sx += x[i] * y[i] / 50, sy += y[i] / 50;
    assert_ok(ctx,
              lens_line_fit(ctx, x, y, 50, &(lens_fit_opts){ .steps = 1, .rate = .1 }, one, &fit));
    assert_near(one[0], .1 * sx, 1e-14);
    assert_near(one[1], .1 * sy, 1e-14);
    assert_fails(ctx, LENS_DIVERGED, "2/lambda_max",
                 lens_line_fit(ctx, x, y, 50, &(lens_fit_opts){ .rate = 2.5 }, one, &fit));
    lens_ctx_free(ctx);
}

static void random_search(void **state) {
    (void)state;
    enum { K = 5, M = 76 * 76 };
    lens_ctx *ctx = test_ctx(1);
    static double y[M];
    lens_kernel k;
    lens_fit fit;
    double w[25] = { 0 }, climbed[25] = { 0 }, blind[25] = { 0 }, again[25] = { 0 }, loss[3];
    picture();
    assert_ok(ctx,
              lens_kernel_parse(ctx, &k, "0 0 1 0 0/0 1 2 1 0/1 2 -16 2 1/0 1 2 1 0/0 0 1 0 0"));
    assert_ok(ctx, lens_correlate(ctx, s80, 80, 80, k.value, K, K, LENS_VALID, y));
    assert_ok(ctx, lens_kernel_fit(ctx, s80, 80, 80, y, K, K,
                                   &(lens_fit_opts){ .steps = 1000, .rate = .2 }, w, &fit));
    assert_int_equal(fit.steps, 1000);
    assert_ok(ctx, lens_kernel_random_search(ctx, s80, 80, 80, y, K, K, 1000, .2, true, 1, climbed,
                                             &loss[0]));
    assert_ok(ctx, lens_kernel_random_search(ctx, s80, 80, 80, y, K, K, 1000, .2, false, 1, blind,
                                             &loss[1]));
    print_message(
        "loss after 1,000 evaluations: descent %.3g; climbing at random %.3g, %.0f times; "
        "drawing at random %.3g, %.0f times\n",
        fit.loss, loss[0], loss[0] / fit.loss, loss[1], loss[1] / fit.loss);
    assert_true(loss[0] > 10 * fit.loss);
    assert_true(loss[1] > loss[0]);
    assert_true(loss[0] < fit.first_loss);
    assert_ok(ctx, lens_kernel_random_search(ctx, s80, 80, 80, y, K, K, 1000, .2, true, 1, again,
                                             &loss[2]));
    assert_memory_equal(again, climbed, sizeof again);
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("[J11][J14][V13] horizontal edge stops at step 1483", horizontal_edge),
    T("[J11][J14][V13] vertical edge: the same trace", vertical_edge),
    T("[J11][V13] Sobel x stops at step 911", sobel_x),
    T("[J11][V13] sharpness stops at step 1693", sharpness),
    T("[J11] the first step, straight over the picture", first_step_over_the_picture),
    T("[J13] target and learned picture agree", panels_agree),
    T("[J11][V13] steps above 2/lambda_max diverge", too_large_steps_diverge),
    T("[J10][F8][V15] learning 1 -1", one_minus_one),
    T("[J12] a line by the same descent", line),
    T("[J5] random search, the baseline", random_search),
};

TEST_MAIN(tests)
