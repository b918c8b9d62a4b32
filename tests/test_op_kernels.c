/* test_op_kernels.c - nine hand-made kernels as weights of a convolution layer. All are applied as
 * correlation; printed results are for a plus sign and a ramp of 10 a row and 1 a column.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

#define PLUS   "0 0 1 0 0/0 0 1 0 0/1 1 1 1 1/0 0 1 0 0/0 0 1 0 0"
#define RAMP   "0 1 2 3 4/10 11 12 13 14/20 21 22 23 24/30 31 32 33 34/40 41 42 43 44"
#define INSIDE "11 12 13/21 22 23/31 32 33"

#define SHARPEN    "0 -1 0/-1 5 -1/0 -1 0"
#define VERTICAL   "0 0 0/-1 2 -1/0 0 0"
#define SURROUND   "1 1 1/1 -9 1/1 1 1"
#define SOBEL_Y    "-1 -2 -1/0 0 0/1 2 1"
#define NOTHING    "0 0 0/0 1 0/0 0 0"
#define HORIZONTAL "0 -1 0/0 2 0/0 -1 0"
#define BLUR       ".11 .11 .11/.11 .11 .11/.11 .11 .11"
#define SOBEL_X    "-1 0 1/-2 0 2/-1 0 1"
#define EMBOSS     "2 0 0/0 -1 0/0 0 -1"

static void filter(const float *x, int size, const char *kernel, bool flip, float *y) {
    probe p = probe_start(1, 1, 1, size, size);
    probe_finish(&p, lens_conv2d(p.x, "c",
                                 (lens_conv2d_opts){
                                     .out = 1, .kernel = { 3 }, .no_bias = true, .flip = flip }));
    probe_set(&p, "c.weight", kernel);
    memcpy(y, probe_run(&p, x), probe_y_count(&p) * sizeof *y);
    probe_end(&p);
}

static void expect_filter(const char *picture, const char *kernel, const char *want,
                          double tolerance) {
    float x[25], y[9];
    numbers(picture, x, 25);
    filter(x, 5, kernel, false, y);
    expect_numbers(y, want, tolerance);
}

static void expect_all(const char *picture, const char *kernel, float want) {
    float x[25], y[9];
    numbers(picture, x, 25);
    filter(x, 5, kernel, false, y);
    for (int i = 0; i < 9; i++) assert_near(y[i], want, 1e-5);
}

/* The response to a picture of ones is the sum of the kernel. */
static void expect_gain(const char *kernel, float gain) {
    expect_all("1 1 1 1 1/1 1 1 1 1/1 1 1 1 1/1 1 1 1 1/1 1 1 1 1", kernel, gain);
}

static void sharpen(void **state) {
    (void)state;
    expect_gain(SHARPEN, 1);
    expect_filter(PLUS, SHARPEN, "-2 3 -2/3 1 3/-2 3 -2", 0);
    expect_filter(RAMP, SHARPEN, INSIDE, 0);
    expect_filter("1 1 1 1 1/1 1 1 1 1/1 1 2 1 1/1 1 1 1 1/1 1 1 1 1", SHARPEN, "1 0 1/0 6 0/1 0 1",
                  0);
}

static void vertical(void **state) {
    (void)state;
    expect_gain(VERTICAL, 0);
    expect_filter(PLUS, VERTICAL, "-1 2 -1/0 0 0/-1 2 -1", 0);
    expect_all(RAMP, VERTICAL, 0);
    expect_all("3 3 3 3 3/1 1 1 1 1/7 7 7 7 7/0 0 0 0 0/2 2 2 2 2", VERTICAL, 0);
}

static void surround(void **state) {
    (void)state;
    expect_gain(SURROUND, -1);
    expect_filter(PLUS, SURROUND, "5 -5 5/-5 -5 -5/5 -5 5", 0);
    expect_filter(RAMP, SURROUND, "-11 -12 -13/-21 -22 -23/-31 -32 -33", 0);
    expect_all("6 6 6 6 6/6 6 6 6 6/6 6 6 6 6/6 6 6 6 6/6 6 6 6 6", SURROUND, -6);
}

static void sobel_y(void **state) {
    (void)state;
    expect_gain(SOBEL_Y, 0);
    expect_filter(PLUS, SOBEL_Y, "3 2 3/0 0 0/-3 -2 -3", 0);
    expect_all(RAMP, SOBEL_Y, 80);
    float x[25], turned[25], y[9], z[9];
    random_floats(x, 25, 1);
    for (int i = 0; i < 25; i++) turned[i % 5 * 5 + i / 5] = x[i];
    filter(x, 5, SOBEL_Y, false, y);
    filter(turned, 5, SOBEL_X, false, z);
    for (int i = 0; i < 9; i++) assert_near(y[i], z[i % 3 * 3 + i / 3], 1e-6);
}

static void nothing(void **state) {
    (void)state;
    expect_gain(NOTHING, 1);
    expect_filter(PLUS, NOTHING, "0 1 0/1 1 1/0 1 0", 0);
    expect_filter(RAMP, NOTHING, INSIDE, 0);
    float x[25], y[9];
    random_floats(x, 25, 2);
    filter(x, 5, NOTHING, false, y);
    for (int i = 0; i < 9; i++) assert_true(y[i] == x[(i / 3 + 1) * 5 + i % 3 + 1]);
}

static void horizontal(void **state) {
    (void)state;
    expect_gain(HORIZONTAL, 0);
    expect_filter(PLUS, HORIZONTAL, "-1 0 -1/2 0 2/-1 0 -1", 0);
    expect_all(RAMP, HORIZONTAL, 0);
    expect_all("3 1 7 0 2/3 1 7 0 2/3 1 7 0 2/3 1 7 0 2/3 1 7 0 2", HORIZONTAL, 0);
}

static void blur(void **state) {
    (void)state;
    expect_gain(BLUR, 0.99f);
    expect_all(PLUS, BLUR, 0.55f);
    expect_filter(RAMP, BLUR, "10.89 11.88 12.87/20.79 21.78 22.77/30.69 31.68 32.67", 1e-5);
    expect_filter("100 100 100 100 100/100 100 100 100 100/100 100 100 100 100/100 100 100 100 100/"
                  "100 100 100 100 100",
                  BLUR, "99 99 99/99 99 99/99 99 99", 2e-5);
}

static void sobel_x(void **state) {
    (void)state;
    expect_gain(SOBEL_X, 0);
    expect_filter(PLUS, SOBEL_X, "3 0 -3/2 0 -2/3 0 -3", 0);
    expect_all(RAMP, SOBEL_X, 8);
}

static void emboss(void **state) {
    (void)state;
    expect_gain(EMBOSS, 0);
    expect_filter(PLUS, EMBOSS, "-1 -2 1/-2 -1 1/1 1 2", 0);
    expect_all(RAMP, EMBOSS, -33);
}

/* Flipping turns Sobel's sign and leaves a symmetric kernel as it is. */
static void flip(void **state) {
    (void)state;
    float x[25], y[9], z[9];
    random_floats(x, 25, 3);
    filter(x, 5, SOBEL_X, false, y), filter(x, 5, SOBEL_X, true, z);
    for (int i = 0; i < 9; i++) assert_near(y[i], -z[i], 1e-6);
    filter(x, 5, SHARPEN, false, y), filter(x, 5, SHARPEN, true, z);
    expect_equal(y, z, 9, 1e-6);
}

/* What the nine do to a drawing of 80x80: a ring and a cross, drawn by formula. */
static void drawing(void **state) {
    (void)state;
    enum { SIZE = 80, OUT = 78 };
    static const struct {
        const char *kernel;
        double least, most, sum, squares;
        int others;
    } row[] = {
        { SHARPEN, -2, 3, 1108, 4092, 1588 },
        { VERTICAL, -1, 1, 0, 616, 616 },
        { SURROUND, -6, 5, -1108, 13780, 1712 },
        { SOBEL_Y, -4, 4, 0, 7808, 984 },
        { NOTHING, 0, 1, 1108, 1108, 1108 },
        { HORIZONTAL, -1, 1, 0, 616, 616 },
        { "11 11 11/11 11 11/11 11 11", 0, 99, 109692, 8549860, 1712 },
        { SOBEL_X, -4, 4, 0, 7808, 984 },
        { EMBOSS, -2, 2, 0, 2374, 958 },
    };
    static float x[SIZE * SIZE], y[OUT * OUT];
    int ones = 0;
    for (int r = 0; r < SIZE; r++)
        for (int c = 0; c < SIZE; c++) {
            int u = 2 * r - 79, v = 2 * c - 79, q = u * u + v * v;
            bool on = (q >= 2116 && q <= 2916) || (abs(u) <= 3 && abs(v) <= 69) ||
                      (abs(v) <= 3 && abs(u) <= 69);
            x[r * SIZE + c] = on;
            ones += on;
        }
    assert_int_equal(ones, 1108);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double least = 1e9, most = -1e9, sum = 0, squares = 0;
        int others = 0;
        filter(x, SIZE, row[i].kernel, false, y);
        for (int k = 0; k < OUT * OUT; k++) {
            double v = (double)y[k];
            least = fmin(least, v), most = fmax(most, v);
            sum += v, squares += v * v, others += v != 0;
        }
        assert_near(least, row[i].least, 0);
        assert_near(most, row[i].most, 0);
        assert_near(sum, row[i].sum, 0);
        assert_near(squares, row[i].squares, 0);
        assert_int_equal(others, row[i].others);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[E1][V12] sharpen", sharpen),
        T("[E2][V12] vertical edge", vertical),
        T("[E3][V12] surround", surround),
        T("[E4][V12] Sobel y", sobel_y),
        T("[E5][V12] nothing", nothing),
        T("[E6][V12] horizontal edge", horizontal),
        T("[E7][V12] blur", blur),
        T("[E8][V12] Sobel x", sobel_x),
        T("[E9][V12] emboss", emboss),
        T("[C5] flipping matters to a fixed asymmetric kernel", flip),
        T("[V13] all nine over a drawing", drawing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
