/* test_op_conv1d.c - convolution of sequences: dice, echoes, boxes, words. A true convolution in full
 * mode of one channel is the textbook's (f * g).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

enum { ROOM = 4096 };

static void conv1d(const float *x, int length, const float *kernel, int taps, bool flip,
                   lens_mode mode, float *y) {
    probe p = probe_start_sequence(1, 1, 1, length);
    probe_finish(
        &p, lens_conv1d(
                p.x, "c",
                (lens_conv2d_opts){
                    .out = 1, .kernel = { taps }, .flip = flip, .mode = mode, .no_bias = true }));
    probe_set_floats(&p, "c.weight", kernel);
    const float *got = probe_run(&p, x);
    assert_int_equal(probe_y_count(&p), mode == LENS_FULL ? length + taps - 1 : length - taps + 1);
    memcpy(y, got, probe_y_count(&p) * sizeof *y);
    probe_end(&p);
}

static int full(const char *x, const char *kernel, float *y) {
    float a[ROOM], b[ROOM];
    int length = numbers(x, a, ROOM), taps = numbers(kernel, b, ROOM);
    conv1d(a, length, b, taps, true, LENS_FULL, y);
    return length + taps - 1;
}

static void expect_1d(const char *x, const char *kernel, bool flip, lens_mode mode,
                      const char *want) {
    float a[ROOM], b[ROOM], y[ROOM], number[ROOM];
    int length = numbers(x, a, ROOM), taps = numbers(kernel, b, ROOM);
    conv1d(a, length, b, taps, flip, mode, y);
    assert_int_equal(numbers(want, number, ROOM),
                     mode == LENS_FULL ? length + taps - 1 : length - taps + 1);
    expect_numbers(y, want, 2e-6);
}

#define SIGNAL "0 0 0 0 1 2 3 4 5 6 0 0 0 0"
#define ECHO   "1 .9 .8 .7"

/* Two unit boxes give a triangle: support 0..2, peak 1 at 1, area 1. */
static void boxes(void **state) {
    (void)state;
    enum { CELLS = 1000 };
    const double h = 1.0 / CELLS;
    static float box[CELLS], y[2 * CELLS - 1];
    for (int i = 0; i < CELLS; i++) box[i] = 1;
    conv1d(box, CELLS, box, CELLS, true, LENS_FULL, y);
    double area = 0;
    int peak = 0;
    for (int i = 0; i < 2 * CELLS - 1; i++) {
        area += (double)y[i] * h * h;
        if (y[i] > y[peak]) peak = i;
        assert_true(y[i] > 0);
    }
    assert_near((peak + 1) * h, 1, 2 * h);
    assert_near((double)y[peak] * h, 1, 2 * h);
    assert_near(area, 1, 1e-3);
    assert_near((2 * CELLS - 1) * h, 2, 2 * h);
}

/* The number of ways to throw each sum, in 36ths. */
static void dice(void **state) {
    (void)state;
    float y[ROOM];
    assert_int_equal(full("1 1 1 1 1 1", "1 1 1 1 1 1", y), 11);
    expect_numbers(y, "1 2 3 4 5 6 5 4 3 2 1", 0);
    /* A sum of 4 comes as 1+3, 2+2 and 3+1. */
    int ways = 0;
    for (int a = 1; a <= 6; a++) ways += 4 - a >= 1 && 4 - a <= 6;
    assert_int_equal(ways, 3);
    assert_true(y[4 - 2] == 3);
    assert_near((double)y[2] / 36, 1.0 / 12, 1e-15);
}

static void echo(void **state) {
    (void)state;
    expect_1d(SIGNAL, ECHO, true, LENS_FULL, "0 0 0 0 1 2.9 5.6 9 12.4 15.8 12.2 8.3 4.2 0 0 0 0");
    expect_1d(SIGNAL, ECHO, false, LENS_VALID, "0 .7 2.2 4.6 8 11.4 14.8 13.3 10.4 6 0");
    expect_1d(SIGNAL, ECHO, true, LENS_VALID, "0 1 2.9 5.6 9 12.4 15.8 12.2 8.3 4.2 0");
}

/* The picture is 0 outside: the first and last terms of full mode need it. */
static void zero_outside(void **state) {
    (void)state;
    expect_1d("1 2 3", "1 1 1 1 1", true, LENS_FULL, "1 3 6 6 6 5 3");
}

static void impulse_and_step(void **state) {
    (void)state;
    expect_1d("1", ECHO, true, LENS_FULL, ECHO);
    expect_1d("0 0 1 0", ECHO, true, LENS_FULL, "0 0 1 .9 .8 .7 0");
    expect_1d("1 1 1 1 1", ECHO, true, LENS_VALID, "3.4 3.4");
    float y[ROOM];
    full("1 1 1 1 1 1", ECHO, y);
    expect_numbers(y, "1 1.9 2.7 3.4 3.4 3.4", 1e-6);
}

/* Four copies of the signal, delayed by 0..3 and scaled, add up to the convolution. */
static void delayed_copies(void **state) {
    (void)state;
    static const double scale[] = { 1, 0.9, 0.8, 0.7 };
    float s[14], y[ROOM];
    double sum[17] = { 0 }, exact[17];
    numbers(SIGNAL, s, 14);
    for (int row = 0; row < 4; row++)
        for (int i = 0; i < 14; i++) sum[i + row] += scale[row] * (double)s[i];
    ref_op op = { .kind = REF_CONV,
                  .n = 1,
                  .c = 1,
                  .h = 1,
                  .w = 14,
                  .out = 1,
                  .kh = 1,
                  .kw = 4,
                  .left = 3,
                  .right = 3,
                  .flip = true,
                  .no_bias = true };
    assert_true(ref_plan(&op));
    double x[14];
    for (int i = 0; i < 14; i++) x[i] = (double)s[i];
    ref_forward(&op, x, (const double *const[]){ scale }, exact);
    assert_int_equal(full(SIGNAL, ECHO, y), 17);
    for (int i = 0; i < 17; i++) {
        assert_near(sum[i], exact[i], 1e-12);
        assert_near(y[i], sum[i], 1e-6);
    }
}

/* The sixth sample is 2*1 + 1*0.9 + 0*0.8 + 0*0.7. */
static void one_sample(void **state) {
    (void)state;
    float y[ROOM], s[14], h[4];
    numbers(SIGNAL, s, 14), numbers(ECHO, h, 4);
    full(SIGNAL, ECHO, y);
    static const float term[] = { 2, 0.9f, 0, 0 };
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        assert_near(s[5 - k] * h[k], term[k], 1e-7);
        sum += s[5 - k] * h[k];
    }
    assert_near(sum, 2.9, 1e-6);
    assert_near(y[5], 2.9, 1e-6);
    assert_near(y[7], 9, 1e-6);
}

/* Flip the kernel, align its end with sample n, multiply, add: for every n. */
static void flip_and_align(void **state) {
    (void)state;
    float x[9], h[4], y[ROOM];
    random_floats(x, 9, 1), random_floats(h, 4, 2);
    conv1d(x, 9, h, 4, true, LENS_FULL, y);
    float flipped[4] = { h[3], h[2], h[1], h[0] };
    for (int n = 0; n < 12; n++) {
        double slid = 0, defined = 0;
        for (int k = 0; k < 4; k++) {
            int at = n - 3 + k;
            if (at >= 0 && at < 9) slid += (double)flipped[k] * (double)x[at];
        }
        for (int k = 0; k < 9; k++)
            if (n - k >= 0 && n - k < 4) defined += (double)x[k] * (double)h[n - k];
        assert_near(slid, defined, 1e-12);
        assert_near(y[n], defined, 1e-6);
    }
}

/* Grouping is free for convolution; for correlation it turns the result round. */
static void associative(void **state) {
    (void)state;
    expect_1d("1 2 3", "0 1 2", true, LENS_FULL, "0 1 4 7 6");
    expect_1d("0 1 4 7 6", "1 -1", true, LENS_FULL, "0 1 3 3 -1 -6");
    expect_1d("0 1 2", "1 -1", true, LENS_FULL, "0 1 1 -2");
    expect_1d("1 2 3", "0 1 1 -2", true, LENS_FULL, "0 1 3 3 -1 -6");

    expect_1d("1 2 3", "0 1 2", false, LENS_FULL, "2 5 8 3 0");
    expect_1d("0 1 2", "1 2 3", false, LENS_FULL, "0 3 8 5 2");
    expect_1d("2 5 8 3 0", "1 -1", false, LENS_FULL, "-2 -3 -3 5 3 0");
    expect_1d("0 1 2", "1 -1", false, LENS_FULL, "0 -1 -1 2");
    expect_1d("1 2 3", "0 -1 -1 2", false, LENS_FULL, "2 3 3 -5 -3 0");
    expect_1d("1 2 3", "0 1 1 -2", false, LENS_FULL, "-2 -3 -3 5 3 0");
}

/* Five words of two numbers; one filter over three words; ReLU; the largest over time. */
static void words(void **state) {
    (void)state;
    probe p = probe_start_sequence(1, 1, 2, 5);
    lens_node *c = lens_conv1d(p.x, "c", (lens_conv2d_opts){ .out = 1, .kernel = { 3 } });
    lens_node *r = lens_relu(c, "r");
    probe_finish(&p, lens_global_maxpool(r, "m"));
    probe_set(&p, "c.weight", "1 0 1/-1 2 1");
    probe_set(&p, "c.bias", "-1");
    expect_numbers(probe_run_text(&p, "1 0 1 2 -1/0 1 1 -1 3"), "4", 0);
    lens_tensor view;
    assert_ok(p.ctx, lens_peek(p.session, c, LENS_VALUE, &view));
    assert_int_equal(view.rank, 3);
    assert_int_equal(view.dim[2], 5 - 3 + 1);
    expect_numbers(view.data, "4 1 -1", 0);
    assert_ok(p.ctx, lens_peek(p.session, r, LENS_VALUE, &view));
    expect_numbers(view.data, "4 1 0", 0);
    probe_back_text(&p, "1");
    assert_ok(p.ctx, lens_peek(p.session, c, LENS_GRADIENT, &view));
    expect_numbers(view.data, "1 0 0", 0);
    expect_numbers(probe_grad(&p, "c.weight"), "1 0 1/0 1 1", 0);
    probe_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[B1] two boxes give a triangle", boxes),
        T("[B2][B3][V7] two dice", dice),
        T("[B2][V8] echoes: full and valid, flipped and not", echo),
        T("[A7] zeros outside the signal", zero_outside),
        T("[B4] impulse and step", impulse_and_step),
        T("[B5][A7][V8] delayed, scaled copies", delayed_copies),
        T("[B6][V8] the terms of one sample", one_sample),
        T("[B7] flip and align", flip_and_align),
        T("[C6][V11] associativity needs the flip", associative),
        T("[B14][V24] a filter over words", words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
