/* test_op_conv.c - the convolution layer by worked examples and by its properties. Numbers are those
 * printed in the specification; matrices are rows separated by '/'.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "op/op.h"
#include "support/check.h"
#include "test.h"

#define KARN        "1 1 1 0 0/0 1 1 1 0/0 0 1 1 1/0 0 1 1 0/0 1 1 0 0"
#define KARN_KERNEL "1 0 1/0 1 0/1 0 1"
#define NINE        "0 1 2/3 4 5/6 7 8"
#define FOUR        "0 1/2 3"

enum { ROOM = 4096 };

static probe conv_probe(int n, int c, int h, int w, lens_conv2d_opts o) {
    probe p = probe_start(1, n, c, h, w);
    probe_finish(&p, lens_conv2d(p.x, "c", o));
    return p;
}

/* One picture, weights as given, no bias. */
static void expect_conv(int c, int h, int w, const char *x, const char *weight, lens_conv2d_opts o,
                        const char *want) {
    o.no_bias = true;
    probe p = conv_probe(1, c, h, w, o);
    probe_set(&p, "c.weight", weight);
    float number[ROOM];
    assert_int_equal(numbers(want, number, ROOM), probe_y_count(&p));
    expect_numbers(probe_run_text(&p, x), want, 0);
    probe_end(&p);
}

#define CONV(...)   ((lens_conv2d_opts){ __VA_ARGS__ })
#define ONE(k, ...) CONV(.out = 1, .kernel = k, __VA_ARGS__)
#define K2                                                                                         \
    { 2 }
#define K3                                                                                         \
    { 3 }

static void karn(void **state) {
    (void)state;
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .pad = 0), "4 3 4/2 4 3/2 3 4");
}

static void karn_modes(void **state) {
    (void)state;
    static const char same[] = "2 2 3 1 1/1 4 3 4 1/1 2 4 3 3/1 2 3 4 1/0 2 2 1 1";
    static const char full[] = "1 1 2 1 1 0 0/0 2 2 3 1 1 0/1 1 4 3 4 1 1/0 1 2 4 3 3 0/"
                               "0 1 2 3 4 1 1/0 0 2 2 1 1 0/0 1 1 1 1 0 0";
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .mode = LENS_VALID), "4 3 4/2 4 3/2 3 4");
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .mode = LENS_SAME), same);
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .pad = 1), same);
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .mode = LENS_FULL), full);
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .pad = 2), full);
}

static void stride(void **state) {
    (void)state;
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .stride = { 2 }), "4 4/2 4");
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .pad = 1, .stride = { 3, 2 }), "0 8/6 8");
}

static void nine(void **state) {
    (void)state;
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .pad = 0), "19 25/37 43");
    expect_conv(1, 3, 3, NINE, "3 2/1 0", ONE(K2, .pad = 0), "5 11/23 29");
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .pad = 1), "0 3 8 4/9 19 25 10/21 37 43 16/6 7 8 0");
}

static void single(void **state) {
    (void)state;
    probe p = conv_probe(1, 1, 4, 4, ONE(K3, .pad = 0));
    probe_random(&p, 1);
    float x[16] = { 0 };
    probe_run(&p, x);
    assert_int_equal(p.y.dim[2], 2);
    assert_int_equal(p.y.dim[3], 2);
    probe_end(&p);
}

static void flipped(void **state) {
    (void)state;
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .flip = true), "5 11/23 29");
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .flip = true, .mode = LENS_FULL),
                "0 0 1 2/0 5 11 11/6 23 29 23/12 32 37 24");
}

/* full(x,k) == full(k,x): true convolution commutes. */
static void commutes(void **state) {
    (void)state;
    static const char full[] = "0 0 1 2/0 5 11 11/6 23 29 23/12 32 37 24";
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .flip = true, .mode = LENS_FULL), full);
    expect_conv(1, 2, 2, FOUR, NINE, ONE(K3, .flip = true, .mode = LENS_FULL), full);
}

static void many_in(void **state) {
    (void)state;
    expect_conv(2, 3, 3, NINE "/1 2 3/4 5 6/7 8 9", FOUR "/1 2/3 4", ONE(K2, .pad = 0),
                "56 72/104 120");
}

static void many_out(void **state) {
    (void)state;
    expect_conv(2, 3, 3, NINE "/1 2 3/4 5 6/7 8 9",
                FOUR "/1 2/3 4/"
                     "1 2/3 4/2 3/4 5/"
                     "2 3/4 5/3 4/5 6",
                CONV(.out = 3, .kernel = { 2 }), "56 72/104 120/76 100/148 172/96 128/192 224");
}

/* Every map of a layer equals the layer with that kernel alone. */
static void maps_alone(void **state) {
    (void)state;
    enum { MAPS = 5, SIZE = 7, OUT = 5 };
    float x[2 * SIZE * SIZE], w[MAPS * 2 * 9], b[MAPS];
    random_floats(x, LENS_COUNT(x), 1), random_floats(w, LENS_COUNT(w), 2),
        random_floats(b, MAPS, 3);
    probe all = conv_probe(1, 2, SIZE, SIZE, CONV(.out = MAPS, .kernel = { 3 }));
    probe_set_floats(&all, "c.weight", w), probe_set_floats(&all, "c.bias", b);
    const float *y = probe_run(&all, x);
    assert_int_equal(all.y.dim[1], MAPS);
    for (int o = 0; o < MAPS; o++) {
        probe one = conv_probe(1, 2, SIZE, SIZE, CONV(.out = 1, .kernel = { 3 }));
        probe_set_floats(&one, "c.weight", w + o * 18), probe_set_floats(&one, "c.bias", b + o);
        expect_equal(probe_run(&one, x), y + o * OUT * OUT, OUT * OUT, 1e-6);
        probe_end(&one);
    }
    probe_end(&all);
}

/* ---- the four-dimensional example: x[n,c,r,k] = 27n+9c+3r+k, w[o,c,r,k] = 12o+4c+2r+k ------- */

static const char v4_forward[] = "1035 1101/1233 1299/2619 2829/3249 3459/"
                                 "2817 2883/3015 3081/8289 8499/8919 9129";
static const char v4_dw_mean[] = "564 586/630 652/762 784/828 850/960 982/1026 1048/"
                                 "812 850/926 964/1154 1192/1268 1306/1496 1534/1610 1648";
static const char v4_dx[] =
    "48 112 66/128 296 172/88 200 114/64 152 90/176 408 236/120 272 154/80 192 114/224 520 300/"
    "152 344 194/144 320 178/352 776 428/216 472 258/224 488 266/528 1144 620/312 672 362/"
    "304 656 354/704 1512 812/408 872 466";

static void count_up(float *x, int count) {
    for (int i = 0; i < count; i++) x[i] = (float)i;
}

static void four_dimensions(void **state) {
    (void)state;
    float x[54], w[24], dy[16], got[24];
    count_up(x, 54), count_up(w, 24), count_up(dy, 16);
    probe p = conv_probe(2, 3, 3, 3, CONV(.out = 2, .kernel = { 2 }));
    probe_set_floats(&p, "c.weight", w);
    expect_numbers(probe_run(&p, x), v4_forward, 0);
    expect_numbers(probe_back(&p, dy), v4_dx, 0);
    expect_numbers(probe_grad(&p, "c.bias"), "44 76", 0);
    for (int i = 0; i < 24; i++) got[i] = probe_grad(&p, "c.weight")[i] / 2;
    expect_numbers(got, v4_dw_mean, 0);
    expect_numbers(probe_grad(&p, "c.weight"),
                   "1128 1172/1260 1304/1524 1568/1656 1700/1920 1964/2052 2096/"
                   "1624 1700/1852 1928/2308 2384/2536 2612/2992 3068/3220 3296",
                   0);
    probe_end(&p);
}

/* The gradient of x is the sum of what each kernel alone gives. */
static void sum_over_kernels(void **state) {
    (void)state;
    float x[54], w[24], dy[16], sum[54] = { 0 };
    count_up(x, 54), count_up(w, 24), count_up(dy, 16);
    for (int o = 0; o < 2; o++) {
        float part[8];
        for (int n = 0; n < 2; n++) memcpy(part + 4 * n, dy + 8 * n + 4 * o, 4 * sizeof *dy);
        probe p = conv_probe(2, 3, 3, 3, CONV(.out = 1, .kernel = { 2 }));
        probe_set_floats(&p, "c.weight", w + 12 * o);
        probe_run(&p, x);
        const float *dx = probe_back(&p, part);
        for (int i = 0; i < 54; i++) sum[i] += dx[i];
        probe_end(&p);
    }
    expect_numbers(sum, v4_dx, 0);
}

/* Each input map's gradient comes from its own kernel slices alone. */
static void map_by_map(void **state) {
    (void)state;
    float x[18], w[24], dy[16], want[54], dx_of[54];
    count_up(w, 24), count_up(dy, 16), count_up(x, 18);
    numbers(v4_dx, want, 54);
    for (int c = 0; c < 3; c++) {
        float slice[8];
        for (int o = 0; o < 2; o++) memcpy(slice + 4 * o, w + 12 * o + 4 * c, 4 * sizeof *w);
        probe p = conv_probe(2, 1, 3, 3, CONV(.out = 2, .kernel = { 2 }));
        probe_set_floats(&p, "c.weight", slice);
        probe_run(&p, x);
        const float *dx = probe_back(&p, dy);
        for (int n = 0; n < 2; n++) memcpy(dx_of + 27 * n + 9 * c, dx + 9 * n, 9 * sizeof *dx);
        probe_end(&p);
    }
    expect_equal(dx_of, want, 54, 0);
}

/* ---- small backward cases ------------------------------------------------------------------- */

static void expect_back(int h, int w, int k, int s, const char *x, const char *kernel,
                        const char *dy, const char *y, const char *dx, const char *dw) {
    probe p = conv_probe(1, 1, h, w, ONE({ k }, .stride = { s }, .no_bias = true));
    probe_set(&p, "c.weight", kernel);
    expect_numbers(probe_run_text(&p, x), y, 0);
    expect_numbers(probe_back_text(&p, dy), dx, 0);
    expect_numbers(probe_grad(&p, "c.weight"), dw, 0);
    probe_end(&p);
}

static void back_small(void **state) {
    (void)state;
    expect_back(3, 3, 2, 1, NINE, FOUR, FOUR, "19 25/37 43", "0 0 1/0 4 6/4 12 9", "19 25/37 43");
    probe p = conv_probe(1, 1, 3, 3, ONE(K2, .pad = 0));
    probe_set(&p, "c.weight", FOUR);
    probe_run_text(&p, NINE);
    probe_back_text(&p, FOUR);
    expect_numbers(probe_grad(&p, "c.bias"), "6", 0);
    probe_end(&p);
}

#define TO_25    "0 1 2 3 4/5 6 7 8 9/10 11 12 13 14/15 16 17 18 19/20 21 22 23 24"
#define ONE_TO_9 "1 2 3/4 5 6/7 8 9"

static void back_stride(void **state) {
    (void)state;
    expect_conv(1, 5, 5, TO_25, ONE_TO_9, ONE(K3, .pad = 0), "366 411 456/591 636 681/816 861 906");
    expect_back(5, 5, 3, 2, TO_25, ONE_TO_9, "1 2/3 4", "366 456/816 906",
                "1 2 5 4 6/4 5 14 10 12/10 14 36 24 30/12 15 34 20 24/21 24 55 32 36",
                "82 92 102/132 142 152/182 192 202");
    /* With a remainder: the last row and column were never read. */
    expect_back(6, 6, 3, 2,
                "0 1 2 3 4 5/6 7 8 9 10 11/12 13 14 15 16 17/18 19 20 21 22 23/24 25 26 27 28 29/"
                "30 31 32 33 34 35",
                ONE_TO_9, "1 2/3 4", "429 519/969 1059",
                "1 2 5 4 6 0/4 5 14 10 12 0/10 14 36 24 30 0/12 15 34 20 24 0/21 24 55 32 36 0/"
                "0 0 0 0 0 0",
                "96 106 116/156 166 176/216 226 236");
}

/* dW = x correlated with dy expanded by the stride: dy as the kernel, at that dilation. */
static void weight_gradient_is_correlation(void **state) {
    (void)state;
    expect_conv(1, 5, 5, TO_25, "1 2/3 4", ONE(K2, .dilation = { 2 }),
                "82 92 102/132 142 152/182 192 202");
    expect_conv(1, 3, 3, NINE, FOUR, ONE(K2, .pad = 0), "19 25/37 43");
    float x[54], dy[16];
    count_up(x, 54), count_up(dy, 16);
    expect_conv(1, 5, 5, TO_25, "1 0 2/0 0 0/3 0 4", ONE(K3, .pad = 0),
                "82 92 102/132 142 152/182 192 202");
}

/* dX = dy, padded by k-1-p, correlated with the rotated kernel. */
static void input_gradient_is_full(void **state) {
    (void)state;
    enum { H = 10, W = 8, K = 5, OH = 6, OW = 4 };
    float x[H * W], w[K * K], dy[OH * OW], dx[H * W];
    random_floats(x, H * W, 1), random_floats(w, K * K, 2), random_floats(dy, OH * OW, 3);
    probe p = conv_probe(1, 1, H, W, ONE({ K }, .no_bias = true));
    probe_set_floats(&p, "c.weight", w);
    probe_run(&p, x);
    assert_int_equal(p.y.dim[2], OH);
    assert_int_equal(p.y.dim[3], OW);
    memcpy(dx, probe_back(&p, dy), sizeof dx);
    probe_end(&p);

    probe q = conv_probe(1, 1, OH, OW, ONE({ K }, .no_bias = true, .pad = K - 1, .flip = true));
    probe_set_floats(&q, "c.weight", w);
    expect_equal(probe_run(&q, dy), dx, H * W, 1e-5);
    assert_int_equal(q.y.dim[2], H);
    probe_end(&q);

    /* Rectangular kernel 3x2 and layer padding 1: dy is padded by 2-1 and 1-1. */
    float w2[6], y2[10 * 9], dx2[H * W];
    random_floats(w2, 6, 4), random_floats(y2, 90, 5);
    probe r = conv_probe(1, 1, H, W, CONV(.out = 1, .kernel = { 3, 2 }, .pad = 1, .no_bias = true));
    probe_set_floats(&r, "c.weight", w2);
    probe_run(&r, x);
    memcpy(dx2, probe_back(&r, y2), sizeof dx2);
    probe_end(&r);
    probe s = conv_probe(
        1, 1, 10, 9,
        CONV(.out = 1, .kernel = { 3, 2 }, .pads = { 1, 0, 1, 0 }, .no_bias = true, .flip = true));
    probe_set_floats(&s, "c.weight", w2);
    expect_equal(probe_run(&s, y2), dx2, H * W, 1e-5);
    probe_end(&s);
}

/* ---- transposed ----------------------------------------------------------------------------- */

static void expect_transposed(int h, int w, const char *x, const char *kernel,
                              lens_conv_transpose2d_opts o, const char *want) {
    float number[ROOM];
    probe p = probe_start(1, 1, 1, h, w);
    o.no_bias = true;
    probe_finish(&p, lens_conv_transpose2d(p.x, "t", o));
    probe_set(&p, "t.weight", kernel);
    assert_int_equal(numbers(want, number, ROOM), probe_y_count(&p));
    expect_numbers(probe_run_text(&p, x), want, 0);
    probe_end(&p);
}

#define TRANSPOSED(...) ((lens_conv_transpose2d_opts){ .out = 1, __VA_ARGS__ })

static void transposed(void **state) {
    (void)state;
    expect_transposed(2, 2, FOUR, FOUR, TRANSPOSED(.kernel = { 2 }), "0 0 1/0 4 6/4 12 9");
    expect_transposed(2, 2, FOUR, FOUR, TRANSPOSED(.kernel = { 2 }, .stride = { 2 }),
                      "0 0 0 1/0 0 2 3/0 2 0 3/4 6 6 9");
    expect_transposed(2, 2, FOUR, FOUR, TRANSPOSED(.kernel = { 2 }, .pad = 1), "4");
    expect_conv(1, 5, 5, TO_25, "1 1/1 1", ONE(K2, .dilation = { 2 }),
                "24 28 32/44 48 52/64 68 72");
}

static void transposed_sizes(void **state) {
    (void)state;
    for (int i = 1; i <= 5; i++)
        for (int k = 1; k <= 4; k++)
            for (int s = 1; s <= 3; s++)
                for (int p = 0; 2 * p < k; p++) {
                    probe q = probe_start(1, 1, 1, i, i);
                    lens_node_info info;
                    int want = s * (i - 1) + k - 2 * p;
                    if (want < 1) {
                        probe_end(&q);
                        continue;
                    }
                    lens_node *t = lens_conv_transpose2d(
                        q.x, NULL, TRANSPOSED(.kernel = { k }, .stride = { s }, .pad = p));
                    assert_non_null(t);
                    lens_node_info_get(t, &info);
                    assert_int_equal(info.h, want);
                    probe_end(&q);
                }
    /* Dilation d makes a kernel of k reach over k + (k-1)(d-1) cells. */
    for (int k = 1; k <= 4; k++)
        for (int d = 1; d <= 3; d++) {
            probe q = probe_start(1, 1, 1, 20, 20);
            lens_node_info info;
            lens_node *c = lens_conv2d(q.x, NULL, ONE({ k }, .dilation = { d }));
            assert_non_null(c);
            lens_node_info_get(c, &info);
            assert_int_equal(info.h, 20 - (k + (k - 1) * (d - 1)) + 1);
            probe_end(&q);
        }
}

/* The backward pass of a convolution is the transposed convolution of dy, for stride and padding. */
static void transposed_is_backward(void **state) {
    (void)state;
    enum { C = 3, H = 9, W = 7, O = 4, OH = 5, OW = 4 };
    float x[C * H * W], w[O * C * 9], dy[O * OH * OW], dx[C * H * W];
    random_floats(x, LENS_COUNT(x), 1), random_floats(w, LENS_COUNT(w), 2),
        random_floats(dy, LENS_COUNT(dy), 3);
    probe p = conv_probe(
        1, C, H, W, CONV(.out = O, .kernel = { 3 }, .stride = { 2 }, .pad = 1, .no_bias = true));
    probe_set_floats(&p, "c.weight", w);
    probe_run(&p, x);
    assert_int_equal(probe_y_count(&p), O * OH * OW);
    memcpy(dx, probe_back(&p, dy), sizeof dx);
    probe_end(&p);
    probe q = probe_start(1, 1, O, OH, OW);
    probe_finish(&q,
                 lens_conv_transpose2d(
                     q.x, "t",
                     (lens_conv_transpose2d_opts){
                         .out = C, .kernel = { 3 }, .stride = { 2 }, .pad = 1, .no_bias = true }));
    probe_set_floats(&q, "t.weight", w);
    assert_int_equal(probe_y_count(&q), C * H * W);
    expect_equal(probe_run(&q, dy), dx, LENS_COUNT(dx), 1e-5);
    probe_end(&q);
}

/* ---- sizes, counts, names ------------------------------------------------------------------- */

static void sizes(void **state) {
    (void)state;
    static const int row[][6] = {
        /* H, K, S, P, floor, ceil */
        { 5, 3, 2, 0, 2, 2 },      { 4, 3, 1, 1, 4, 4 },       { 6, 3, 2, 0, 2, 3 },
        { 7, 3, 2, 1, 4, 4 },      { 32, 5, 1, 0, 28, 28 },    { 32, 5, 1, 2, 32, 32 },
        { 10, 3, 3, 0, 3, 4 },     { 224, 11, 4, 0, 54, 55 },  { 227, 11, 4, 0, 55, 55 },
        { 224, 11, 4, 2, 55, 56 }, { 224, 7, 2, 3, 112, 113 }, { 224, 7, 2, 1, 110, 111 }
    };
    for (size_t i = 0; i < LENS_COUNT(row); i++) {
        const int *r = row[i];
        lens_node_info info;
        assert_int_equal(op_out_size(r[0], r[1], r[2], 1, r[3], r[3], false), r[4]);
        assert_int_equal(op_out_size(r[0], r[1], r[2], 1, r[3], r[3], true), r[5]);
        probe p = probe_start(1, 1, 1, r[0], r[0]);
        lens_node_info_get(lens_conv2d(p.x, NULL, ONE({ r[1] }, .stride = { r[2] }, .pad = r[3])),
                           &info);
        assert_int_equal(info.h, r[4]);
        lens_node_info_get(
            lens_maxpool(p.x, NULL,
                         (lens_pool_opts){
                             .kernel = { r[1] }, .stride = { r[2] }, .pad = r[3], .ceil = true }),
            &info);
        assert_int_equal(info.w, r[5]);
        probe_end(&p);
    }
    assert_int_equal(op_out_size(4, 5, 1, 1, 0, 0, false), 0);
    assert_int_equal(op_out_size(4, 5, 1, 1, 0, 1, false), 1);
    assert_int_equal(op_out_size(4, 3, 1, 2, 0, 0, true), 0);
}

static void eight_by_eight(void **state) {
    (void)state;
    static const struct {
        lens_conv2d_opts opts;
        int h, w;
    } row[] = {
        { { .out = 1, .kernel = { 3 }, .pad = 1 }, 8, 8 },
        { { .out = 1, .kernel = { 5, 3 }, .pads = { 2, 1, 2, 1 } }, 8, 8 },
        { { .out = 1, .kernel = { 3 }, .pad = 1, .stride = { 2 } }, 4, 4 },
        { { .out = 1, .kernel = { 3, 5 }, .pads = { 0, 1, 0, 1 }, .stride = { 3, 4 } }, 2, 2 },
        { { .out = 1, .kernel = { 1, 2 } }, 8, 7 },
        { { .out = 1, .kernel = { 2 } }, 7, 7 },
        { { .out = 1, .kernel = { 9 }, .mode = LENS_SAME }, 8, 8 },
        { { .out = 1, .kernel = { 4 }, .mode = LENS_SAME, .stride = { 3 } }, 3, 3 },
        { { .out = 1, .kernel = { 3 }, .mode = LENS_FULL }, 10, 10 },
        { { .out = 1, .kernel = { 3 }, .mode = LENS_VALID }, 6, 6 },
    };
    for (size_t i = 0; i < LENS_COUNT(row); i++) {
        lens_node_info info;
        probe p = probe_start(1, 1, 1, 8, 8);
        lens_node *c = lens_conv2d(p.x, NULL, row[i].opts);
        assert_ok(p.ctx, c ? LENS_OK : LENS_BAD_ARG);
        lens_node_info_get(c, &info);
        assert_int_equal(info.h, row[i].h);
        assert_int_equal(info.w, row[i].w);
        probe_end(&p);
    }
}

static void counts(void **state) {
    (void)state;
    lens_node_info info;
    probe p = probe_start(1, 1, 3, 32, 32);
    lens_node_info_get(lens_conv2d(p.x, NULL, CONV(.out = 2, .kernel = { 5 })), &info);
    assert_int_equal(info.c, 2);
    assert_int_equal(info.h, 28);
    assert_int_equal(info.w, 28);
    assert_int_equal(info.parameters, 150 + 2);
    assert_int_equal(info.macs, 150 * 28 * 28);
    lens_node_info_get(lens_conv2d(p.x, NULL, CONV(.out = 12, .kernel = { 5 }, .pad = 2)), &info);
    assert_int_equal(info.parameters, 912);
    assert_int_equal(info.c, 12);
    assert_int_equal(info.h, 32);
    assert_int_equal(info.w, 32);
    lens_node_info_get(lens_conv2d(p.x, NULL, CONV(.out = 3, .kernel = { 5 })), &info);
    assert_int_equal(info.c, 3);
    probe_end(&p);
}

static void parameter_shapes(void **state) {
    (void)state;
    probe p = conv_probe(1, 3, 32, 32, CONV(.out = 2, .kernel = { 5, 4 }));
    char text[96];
    lens_param w = probe_param(&p, "c.weight"), b = probe_param(&p, "c.bias");
    assert_string_equal(lens_tensor_shape(&w.value, text), "2x3x5x4");
    assert_string_equal(lens_tensor_shape(&b.value, text), "2");
    assert_int_equal(w.fan_in, 60);
    probe_end(&p);
}

/* One set of weights for all positions. */
static void shared_weights(void **state) {
    (void)state;
    for (int size = 5; size < 200; size += 39) {
        lens_node_info info;
        probe p = probe_start(1, 1, 3, size, size + 1);
        lens_node_info_get(lens_conv2d(p.x, NULL, CONV(.out = 7, .kernel = { 5 })), &info);
        assert_int_equal(info.parameters, 7 * (75 + 1));
        probe_end(&p);
    }
}

static void groups(void **state) {
    (void)state;
    lens_node_info info;
    probe p = probe_start(1, 1, 96, 27, 27);
    lens_node_info_get(
        lens_conv2d(p.x, NULL, CONV(.out = 256, .kernel = { 5 }, .pad = 2, .groups = 2)), &info);
    assert_int_equal(info.parameters, 307456);
    assert_int_equal(info.macs, (int64_t)307200 * 27 * 27);
    probe_end(&p);
}

/* Two groups are two layers side by side. */
static void groups_apart(void **state) {
    (void)state;
    enum { AREA = 36 };
    float x[4 * AREA], w[6 * 2 * 9], y[6 * AREA];
    random_floats(x, LENS_COUNT(x), 1), random_floats(w, LENS_COUNT(w), 2);
    probe p = conv_probe(1, 4, 6, 6,
                         CONV(.out = 6, .kernel = { 3 }, .pad = 1, .groups = 2, .no_bias = true));
    probe_set_floats(&p, "c.weight", w);
    memcpy(y, probe_run(&p, x), sizeof y);
    probe_end(&p);
    for (int g = 0; g < 2; g++) {
        probe q =
            conv_probe(1, 2, 6, 6, CONV(.out = 3, .kernel = { 3 }, .pad = 1, .no_bias = true));
        probe_set_floats(&q, "c.weight", w + g * 54);
        expect_equal(probe_run(&q, x + g * 2 * AREA), y + g * 3 * AREA, 3 * AREA, 1e-6);
        probe_end(&q);
    }
}

static void label(void **state) {
    (void)state;
    lens_node_info info;
    probe p = probe_start(1, 1, 1, 20, 20);
    lens_node_info_get(
        lens_conv2d(p.x, NULL, CONV(.out = 1, .kernel = { 5, 3 }, .stride = { 2 }, .pad = 2)),
        &info);
    assert_string_equal(info.label, "5x3 conv2d /2 pad 2");
    lens_node_info_get(
        lens_maxpool(p.x, NULL, (lens_pool_opts){ .kernel = { 3, 2 }, .stride = { 2 } }), &info);
    assert_string_equal(info.label, "3x2 maxpool /2");
    probe_end(&p);
}

/* ---- receptive field ------------------------------------------------------------------------ */

typedef struct step {
    int k, s, p;
    bool pool;
    int field, jump;
} step;

/* Fields are known once the net is closed. */
static void expect_fields(int size, const step *row, size_t rows) {
    probe p = probe_start(1, 1, 1, size, size);
    lens_node *x = p.x;
    for (size_t i = 0; i < rows; i++) {
        const step *r = &row[i];
        if (r->pool)
            x = lens_maxpool(
                x, NULL, (lens_pool_opts){ .kernel = { r->k }, .stride = { r->s }, .pad = r->p });
        else
            x = lens_conv2d(x, NULL, ONE({ r->k }, .stride = { r->s }, .pad = r->p));
    }
    assert_ok(p.ctx, lens_net_finish(p.net, x));
    for (size_t i = 0; i < rows; i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(p.net, (int)i + 1), &info);
        assert_int_equal(info.field, row[i].field);
        assert_int_equal(info.jump, row[i].jump);
    }
    probe_end(&p);
}

#define C(k, s, p, field, jump)                                                                    \
    { k, s, p, false, field, jump }
#define P(k, s, field, jump)                                                                       \
    { k, s, 0, true, field, jump }

static void fields(void **state) {
    (void)state;
    static const step lenet[] = { C(5, 1, 0, 5, 1), P(2, 2, 6, 2), C(5, 1, 0, 14, 2),
                                  P(2, 2, 16, 4), C(5, 1, 0, 32, 4) };
    static const step alexnet[] = { C(11, 4, 0, 11, 4),  P(3, 2, 19, 8),     C(5, 1, 2, 51, 8),
                                    P(3, 2, 67, 16),     C(3, 1, 1, 99, 16), C(3, 1, 1, 131, 16),
                                    C(3, 1, 1, 163, 16), P(3, 2, 195, 32),   C(6, 1, 0, 355, 32) };
    static const step zfnet[] = { C(7, 2, 1, 7, 2),    P(3, 2, 11, 4),     C(5, 2, 0, 27, 8),
                                  P(3, 2, 43, 16),     C(3, 1, 1, 75, 16), C(3, 1, 1, 107, 16),
                                  C(3, 1, 1, 139, 16), P(3, 2, 171, 32) };
    static const step vgg[] = { C(3, 1, 1, 3, 1),    C(3, 1, 1, 5, 1),    P(2, 2, 6, 2),
                                C(3, 1, 1, 10, 2),   C(3, 1, 1, 14, 2),   P(2, 2, 16, 4),
                                C(3, 1, 1, 24, 4),   C(3, 1, 1, 32, 4),   C(3, 1, 1, 40, 4),
                                P(2, 2, 44, 8),      C(3, 1, 1, 60, 8),   C(3, 1, 1, 76, 8),
                                C(3, 1, 1, 92, 8),   P(2, 2, 100, 16),    C(3, 1, 1, 132, 16),
                                C(3, 1, 1, 164, 16), C(3, 1, 1, 196, 16), C(3, 1, 1, 228, 16) };
    static const step three[] = { C(3, 1, 0, 3, 1), C(3, 1, 0, 5, 1), C(3, 1, 0, 7, 1) };
    expect_fields(32, lenet, LENS_COUNT(lenet));
    expect_fields(227, alexnet, LENS_COUNT(alexnet));
    expect_fields(225, zfnet, LENS_COUNT(zfnet));
    expect_fields(224, vgg, LENS_COUNT(vgg));
    expect_fields(20, three, LENS_COUNT(three));
}

/* A pixel changes exactly the outputs whose window holds it, the others not in one bit. */
static void locality(void **state) {
    (void)state;
    enum { SIZE = 9, OUT = 7 };
    float x[SIZE * SIZE], w[9], before[OUT * OUT];
    random_floats(x, SIZE * SIZE, 1), random_floats(w, 9, 2);
    probe p = conv_probe(1, 1, SIZE, SIZE, ONE(K3, .no_bias = true));
    probe_set_floats(&p, "c.weight", w);
    memcpy(before, probe_run(&p, x), sizeof before);
    for (int r = 0; r < SIZE; r++)
        for (int c = 0; c < SIZE; c++) {
            float kept = x[r * SIZE + c];
            x[r * SIZE + c] = kept + 3;
            const float *after = probe_run(&p, x);
            for (int i = 0; i < OUT; i++)
                for (int j = 0; j < OUT; j++) {
                    bool reads = r >= i && r < i + 3 && c >= j && c < j + 3;
                    assert_int_equal(after[i * OUT + j] != before[i * OUT + j], reads);
                }
            x[r * SIZE + c] = kept;
        }
    probe_end(&p);
}

static void scan_order(void **state) {
    (void)state;
    float order[9];
    int count = 0;
    /* A kernel of one 1 in its first cell returns the position it stands at. */
    probe p = conv_probe(1, 1, 5, 5, ONE(K3, .no_bias = true));
    probe_set(&p, "c.weight", "1 0 0/0 0 0/0 0 0");
    const float *y =
        probe_run_text(&p, "0 1 2 3 4/10 11 12 13 14/20 21 22 23 24/30 31 32 33 34/40 41 42 43 44");
    assert_int_equal(probe_y_count(&p), 9);
    expect_numbers(y, "0 1 2/10 11 12/20 21 22", 0);
    probe_end(&p);
    /* And at each position the products of window and kernel add up to the value shown. */
    float x[25], w[9];
    numbers(KARN, x, 25), numbers(KARN_KERNEL, w, 9);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++, count++) {
            float sum = 0;
            for (int u = 0; u < 3; u++)
                for (int v = 0; v < 3; v++) sum += x[(i + u) * 5 + j + v] * w[u * 3 + v];
            order[count] = sum;
        }
    expect_numbers(order, "4 3 4 2 4 3 2 3 4", 0);
    expect_conv(1, 5, 5, KARN, KARN_KERNEL, ONE(K3, .pad = 0), "4 3 4 2 4 3 2 3 4");
}

/* ---- properties ----------------------------------------------------------------------------- */

static void bias_shift(void **state) {
    (void)state;
    float x[50], before[3 * 9];
    random_floats(x, 50, 1);
    probe p = conv_probe(1, 2, 5, 5, CONV(.out = 3, .kernel = { 3 }));
    probe_random(&p, 2);
    probe_set(&p, "c.bias", "0 0 0");
    memcpy(before, probe_run(&p, x), sizeof before);
    probe_set(&p, "c.bias", "0 16 0");
    const float *y = probe_run(&p, x);
    expect_equal(y, before, 9, 0);
    expect_equal(y + 18, before + 18, 9, 0);
    for (int i = 9; i < 18; i++) assert_near(y[i] - before[i], 16, 4e-6);
    probe_end(&p);
    /* Exactly that amount, where sums are exact. */
    probe q = conv_probe(1, 1, 3, 3, ONE(K2, .pad = 0));
    probe_set(&q, "c.weight", FOUR);
    probe_set(&q, "c.bias", "5");
    expect_numbers(probe_run_text(&q, NINE), "24 30/42 48", 0);
    probe_end(&q);
}

/* Whole numbers: superposition holds without rounding, in the input and in the weights. */
static void linear(void **state) {
    (void)state;
    enum { XS = 2 * 7 * 8, WS = 3 * 2 * 6, YS = 3 * 5 * 7 };
    float x[3][XS], w[3][WS], y[2][YS], want[YS];
    rng r = rng_start(1, RNG_TEST, 0, 0);
    for (int i = 0; i < XS; i++) {
        for (int k = 0; k < 2; k++) x[k][i] = (float)rng_below(&r, 21) - 10;
        x[2][i] = 3 * x[0][i] - 2 * x[1][i];
    }
    for (int i = 0; i < WS; i++) {
        for (int k = 0; k < 2; k++) w[k][i] = (float)rng_below(&r, 21) - 10;
        w[2][i] = 3 * w[0][i] - 2 * w[1][i];
    }
    probe p = conv_probe(1, 2, 7, 8, CONV(.out = 3, .kernel = { 3, 2 }, .no_bias = true));
    probe_set_floats(&p, "c.weight", w[0]);
    for (int k = 0; k < 2; k++) memcpy(y[k], probe_run(&p, x[k]), sizeof y[k]);
    for (int i = 0; i < YS; i++) want[i] = 3 * y[0][i] - 2 * y[1][i];
    expect_equal(probe_run(&p, x[2]), want, YS, 0);
    for (int k = 0; k < 2; k++) {
        probe_set_floats(&p, "c.weight", w[k]);
        memcpy(y[k], probe_run(&p, x[0]), sizeof y[k]);
    }
    for (int i = 0; i < YS; i++) want[i] = 3 * y[0][i] - 2 * y[1][i];
    probe_set_floats(&p, "c.weight", w[2]);
    expect_equal(probe_run(&p, x[0]), want, YS, 0);
    probe_end(&p);
}

/* A single 1 in the picture returns the kernel: rotated by correlation, upright by convolution. */
static void impulse(void **state) {
    (void)state;
    expect_conv(1, 5, 5, "0 0 0 0 0/0 0 0 0 0/0 0 1 0 0/0 0 0 0 0/0 0 0 0 0", ONE_TO_9,
                ONE(K3, .pad = 0), "9 8 7/6 5 4/3 2 1");
    expect_conv(1, 5, 5, "0 0 0 0 0/0 0 0 0 0/0 0 1 0 0/0 0 0 0 0/0 0 0 0 0", ONE_TO_9,
                ONE(K3, .flip = true), "1 2 3/4 5 6/7 8 9");
}

/* conv(x, k) == corr(x, rot180 k), for whole numbers without any difference. */
static void rotated(void **state) {
    (void)state;
    enum { XS = 2 * 2 * 7 * 8, WS = 3 * 2 * 12 };
    float x[XS], w[WS], turned[WS], y[2 * 3 * 9 * 9];
    rng r = rng_start(2, RNG_TEST, 0, 0);
    for (int i = 0; i < XS; i++) x[i] = (float)rng_below(&r, 21) - 10;
    for (int i = 0; i < WS; i++) w[i] = (float)rng_below(&r, 21) - 10;
    for (int k = 0; k < 6; k++)
        for (int i = 0; i < 12; i++) turned[k * 12 + i] = w[k * 12 + 11 - i];
    lens_conv2d_opts o =
        CONV(.out = 3, .kernel = { 4, 3 }, .pad = 2, .stride = { 2, 1 }, .no_bias = true);
    probe p = conv_probe(2, 2, 7, 8, o);
    probe_set_floats(&p, "c.weight", turned);
    size_t count = probe_y_count(&p);
    memcpy(y, probe_run(&p, x), count * sizeof *y);
    probe_end(&p);
    o.flip = true;
    probe q = conv_probe(2, 2, 7, 8, o);
    probe_set_floats(&q, "c.weight", w);
    expect_equal(probe_run(&q, x), y, count, 0);
    probe_end(&q);
}

/* A shifted picture gives a shifted map, away from the borders. */
static void equivariant(void **state) {
    (void)state;
    enum { SIZE = 12, OUT = 10 };
    float x[SIZE * SIZE], moved[SIZE * SIZE] = { 0 }, y[OUT * OUT];
    random_floats(x, SIZE * SIZE, 3);
    for (int r = 2; r < SIZE; r++)
        for (int c = 1; c < SIZE; c++) moved[r * SIZE + c] = x[(r - 2) * SIZE + c - 1];
    probe p = conv_probe(1, 1, SIZE, SIZE, ONE(K3, .pad = 0));
    probe_random(&p, 4);
    memcpy(y, probe_run(&p, x), sizeof y);
    const float *z = probe_run(&p, moved);
    for (int i = 2; i < OUT; i++)
        for (int j = 1; j < OUT; j++) assert_true(z[i * OUT + j] == y[(i - 2) * OUT + j - 1]);
    probe_end(&p);
}

static void shifts(void **state) {
    (void)state;
    lens_conv2d_opts row = CONV(.out = 1, .kernel = { 1, 3 }), two = row;
    two.stride = (lens_size){ 1, 2 };
    expect_conv(1, 1, 8, "0 0 0 5 0 0 0 0", "1 2 1", row, "0 5 10 5 0 0");
    expect_conv(1, 1, 8, "0 0 0 0 5 0 0 0", "1 2 1", row, "0 0 5 10 5 0");
    expect_conv(1, 1, 8, "0 0 0 5 0 0 0 0", "1 2 1", two, "0 10 0");
    expect_conv(1, 1, 8, "0 0 0 0 5 0 0 0", "1 2 1", two, "0 5 5");
    expect_conv(1, 1, 8, "0 0 0 0 0 5 0 0", "1 2 1", two, "0 0 10");
}

static void pointwise(void **state) {
    (void)state;
    /* Nine pixels of three channels, as planes. */
    expect_conv(3, 3, 3, "1 3 0 2 0 4 1 2 0/1 3 0 0 1 2 1 1 0/1 0 0 0 1 1 1 1 0", "1 2 -1",
                ONE({ 1 }, .pad = 0), "2 9 0 2 1 7 2 3 0");
}

/* Correlating twice is correlating once with the convolution of the kernels. */
static void stacked(void **state) {
    (void)state;
    enum { SIZE = 9, OUT = 6 };
    float x[SIZE * SIZE], k1[9], k2[4], merged[16], y[OUT * OUT];
    rng r = rng_start(5, RNG_TEST, 0, 0);
    for (int i = 0; i < SIZE * SIZE; i++) x[i] = (float)rng_below(&r, 19) - 9;
    for (int i = 0; i < 9; i++) k1[i] = (float)rng_below(&r, 9) - 4;
    for (int i = 0; i < 4; i++) k2[i] = (float)rng_below(&r, 9) - 4;
    probe two = probe_start(1, 1, 1, SIZE, SIZE);
    lens_node *a = lens_conv2d(two.x, "a", ONE(K3, .no_bias = true));
    probe_finish(&two, lens_conv2d(a, "b", ONE(K2, .no_bias = true)));
    probe_set_floats(&two, "a.weight", k1), probe_set_floats(&two, "b.weight", k2);
    memcpy(y, probe_run(&two, x), sizeof y);
    probe_end(&two);

    probe merge = conv_probe(1, 1, 3, 3, ONE(K2, .no_bias = true, .flip = true, .mode = LENS_FULL));
    probe_set_floats(&merge, "c.weight", k2);
    memcpy(merged, probe_run(&merge, k1), sizeof merged);
    probe_end(&merge);
    probe once = conv_probe(1, 1, SIZE, SIZE, ONE({ 4 }, .no_bias = true));
    probe_set_floats(&once, "c.weight", merged);
    expect_equal(probe_run(&once, x), y, OUT * OUT, 0);
    probe_end(&once);
}

/* The layer as a matrix: its rows are the kernel, moved. */
static void toeplitz(void **state) {
    (void)state;
    probe p = probe_start(1, 1, 1, 3, 3);
    probe_finish(&p, lens_dense(p.x, "d", (lens_dense_opts){ .out = 4, .no_bias = true }));
    probe_set(&p, "d.weight",
              "0 1 0 2 3 0 0 0 0/0 0 1 0 2 3 0 0 0/0 0 0 0 1 0 2 3 0/0 0 0 0 0 1 0 2 3");
    expect_numbers(probe_run_text(&p, NINE), "19 25 37 43", 0);
    expect_numbers(probe_back_text(&p, "0 1 2 3"), "0 0 1 0 4 6 4 12 9", 0);
    probe_end(&p);
    /* And the matrix read off the layer, column by column, is that one. */
    probe q = conv_probe(1, 1, 3, 3, ONE(K2, .no_bias = true));
    probe_set(&q, "c.weight", FOUR);
    static const char *const column[] = { "0 0 0 0", "1 0 0 0", "0 1 0 0", "2 0 0 0", "3 2 1 0",
                                          "0 3 0 1", "0 0 2 0", "0 0 3 2", "0 0 0 3" };
    for (int i = 0; i < 9; i++) {
        float x[9] = { 0 };
        x[i] = 1;
        expect_numbers(probe_run(&q, x), column[i], 0);
    }
    probe_end(&q);
}

/* im2col and a matrix product, by the dense layer: a second route to the same numbers. */
static void columns(void **state) {
    (void)state;
    ref_op op = { .kind = REF_CONV,
                  .n = 2,
                  .c = 3,
                  .h = 9,
                  .w = 8,
                  .out = 5,
                  .kh = 3,
                  .kw = 2,
                  .sh = 2,
                  .top = 1,
                  .left = 1,
                  .bottom = 1,
                  .right = 1,
                  .no_bias = true };
    assert_true(ref_plan(&op));
    enum { TAPS = 18, X = 432, MAPS = 5 };
    static float x[X], w[MAPS * TAPS], y[2048], turned[2048], column[4096];
    static double wide[X], wide_column[4096];
    int rows = 2 * op.oh * op.ow;
    random_floats(x, X, 1), random_floats(w, MAPS * TAPS, 2);
    for (int i = 0; i < X; i++) wide[i] = (double)x[i];
    ref_im2col(&op, wide, wide_column);
    for (int i = 0; i < rows * TAPS; i++) column[i] = (float)wide_column[i];

    probe p = conv_probe(
        2, 3, 9, 8,
        CONV(.out = MAPS, .kernel = { 3, 2 }, .stride = { 2, 1 }, .pad = 1, .no_bias = true));
    probe_set_floats(&p, "c.weight", w);
    memcpy(y, probe_run(&p, x), probe_y_count(&p) * sizeof *y);
    probe_end(&p);
    probe q = probe_start(1, rows, TAPS, 1, 1);
    probe_finish(&q, lens_dense(q.x, "d", (lens_dense_opts){ .out = MAPS, .no_bias = true }));
    probe_set_floats(&q, "d.weight", w);
    const float *z = probe_run(&q, column);
    int plane = op.oh * op.ow;
    for (int row = 0; row < rows; row++)
        for (int o = 0; o < MAPS; o++)
            turned[(row / plane * MAPS + o) * plane + row % plane] = z[row * MAPS + o];
    expect_equal(turned, y, (size_t)rows * MAPS, 1e-5);
    probe_end(&q);
}

/* ---- the curve detector --------------------------------------------------------------------- */

#define CURVE                                                                                      \
    "0 0 0 0 0 30 0/0 0 0 0 30 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/"   \
    "0 0 0 0 0 0 0"
#define MOUSE                                                                                      \
    "0 0 0 0 0 0 30/0 0 0 0 50 50 50/0 0 0 20 50 0 0/0 0 0 50 50 0 0/0 0 0 50 50 0 0/"             \
    "0 0 0 50 50 0 0/0 0 0 50 50 0 0"
#define EAR                                                                                        \
    "0 0 0 0 0 0 0/0 40 0 0 0 0 0/40 0 40 0 0 0 0/40 20 0 0 0 0 0/0 50 0 0 0 0 0/"                 \
    "0 0 50 0 0 0 0/25 25 0 50 0 0 0"

static void curve(void **state) {
    (void)state;
    expect_conv(1, 7, 7, MOUSE, CURVE, ONE({ 7 }, .pad = 0), "6600");
    expect_conv(1, 7, 7, MOUSE, CURVE, ONE({ 7 }, .flip = true), "3600");
    expect_conv(1, 7, 7, EAR, CURVE, ONE({ 7 }, .pad = 0), "0");
}

/* In a larger picture the largest value of the map stands where the curve is drawn, and the ear of the
 * mouse answers with 0. */
static void curve_found(void **state) {
    (void)state;
    enum { SIZE = 30, OUT = 24, ROW = 11, COLUMN = 15 };
    float x[SIZE * SIZE] = { 0 }, drawn[49], ear[49];
    numbers(CURVE, drawn, 49), numbers(EAR, ear, 49);
    for (int r = 0; r < 7; r++)
        for (int c = 0; c < 7; c++) {
            x[(ROW + r) * SIZE + COLUMN + c] = drawn[r * 7 + c] > 0 ? 50 : 0;
            x[(2 + r) * SIZE + 1 + c] = ear[r * 7 + c];
        }
    probe p = conv_probe(1, 1, SIZE, SIZE, ONE({ 7 }, .no_bias = true));
    probe_set(&p, "c.weight", CURVE);
    const float *y = probe_run(&p, x);
    int best = 0;
    for (int i = 0; i < OUT * OUT; i++)
        if (y[i] > y[best]) best = i;
    assert_int_equal(best, ROW * OUT + COLUMN);
    assert_true(y[best] == 6 * 50 * 30);
    assert_true(y[2 * OUT + 1] == 0);
    assert_true(y[23 * OUT + 0] == 0);
    probe_end(&p);
}

/* Two kernels over one picture: two maps, and the same position means the same window. */
static void two_maps(void **state) {
    (void)state;
    expect_conv(1, 5, 5, TO_25, "1 0 0/0 0 0/0 0 0/0 0 0/0 0 0/0 0 1",
                CONV(.out = 2, .kernel = { 3 }), "0 1 2/5 6 7/10 11 12/12 13 14/17 18 19/22 23 24");
}

/* ---- training ------------------------------------------------------------------------------- */

/* One step of gradient descent on 1/2 sum (y-t)^2; returns the loss before it. */
static double descend(probe *p, const float *x, const float *t, float rate) {
    static float dy[ROOM];
    size_t count = probe_y_count(p);
    const float *y = probe_run(p, x);
    double loss = 0;
    for (size_t i = 0; i < count; i++) {
        dy[i] = y[i] - t[i];
        loss += 0.5 * (double)dy[i] * (double)dy[i];
    }
    probe_back(p, dy);
    for (int i = 0; i < lens_net_params(p->net); i++) {
        lens_param it;
        lens_tensor grad;
        assert_ok(p->ctx, lens_net_param(p->net, i, &it));
        assert_ok(p->ctx, lens_grad(p->session, i, &grad));
        for (int64_t k = 0; k < lens_tensor_count(&grad); k++)
            it.value.data[k] -= rate * grad.data[k];
    }
    lens_net_touched(p->net);
    return loss;
}

static probe small_net(bool flip) {
    probe p = probe_start(1, 4, 1, 8, 8);
    lens_node *x =
        lens_tanh(lens_conv2d(p.x, "a", CONV(.out = 3, .kernel = { 3 }, .flip = flip)), NULL);
    x = lens_tanh(lens_conv2d(x, "b", CONV(.out = 2, .kernel = { 3 }, .flip = flip)), NULL);
    probe_finish(&p, lens_dense(x, "d", (lens_dense_opts){ .out = 3 }));
    probe_random(&p, 7);
    return p;
}

static void turn(float *to, const float *from, int kernels, int taps) {
    for (int k = 0; k < kernels; k++)
        for (int i = 0; i < taps; i++) to[k * taps + i] = from[k * taps + taps - 1 - i];
}

/* Flipping is irrelevant to learning: from mirrored kernels both operators take the same path. */
static void flip_learns_alike(void **state) {
    (void)state;
    float x[4 * 64], t[12], a[27], b[54];
    random_floats(x, LENS_COUNT(x), 1), random_floats(t, LENS_COUNT(t), 2);
    probe plain = small_net(false), flip = small_net(true);
    turn(a, probe_param(&plain, "a.weight").value.data, 3, 9);
    turn(b, probe_param(&plain, "b.weight").value.data, 6, 9);
    probe_set_floats(&flip, "a.weight", a), probe_set_floats(&flip, "b.weight", b);
    double first = 0, last = 0;
    for (int i = 0; i < 60; i++) {
        double one = descend(&plain, x, t, 0.01f), other = descend(&flip, x, t, 0.01f);
        assert_near(one, other, 1e-6 * (1 + one));
        if (!i) first = one;
        last = one;
    }
    assert_true(last < first / 2);
    turn(a, probe_param(&plain, "a.weight").value.data, 3, 9);
    turn(b, probe_param(&plain, "b.weight").value.data, 6, 9);
    expect_equal(probe_param(&flip, "a.weight").value.data, a, 27, 1e-5);
    expect_equal(probe_param(&flip, "b.weight").value.data, b, 54, 1e-5);
    probe_end(&plain), probe_end(&flip);
}

/* The loss reaches the first layer in the first step. */
static void reaches_first(void **state) {
    (void)state;
    float x[4 * 64], t[12];
    random_floats(x, LENS_COUNT(x), 1), random_floats(t, LENS_COUNT(t), 2);
    probe p = small_net(false);
    descend(&p, x, t, 0);
    const float *grad = probe_grad(&p, "a.weight");
    for (int o = 0; o < 3; o++) {
        float most = 0;
        for (int k = 0; k < 9; k++) most = fmaxf(most, fabsf(grad[o * 9 + k]));
        assert_true(most > 0);
    }
    probe_end(&p);
}

/* The gradient passes the activation first, then the convolution. */
static void activation_first(void **state) {
    (void)state;
    float x[50], dy[27], masked[27], dx[50];
    random_floats(x, 50, 1), random_floats(dy, 27, 2);
    probe p = probe_start(1, 1, 2, 5, 5);
    lens_node *c = lens_conv2d(p.x, "c", CONV(.out = 3, .kernel = { 3 }));
    probe_finish(&p, lens_relu(c, NULL));
    probe_random(&p, 3);
    const float *y = probe_run(&p, x);
    for (int i = 0; i < 27; i++) masked[i] = y[i] > 0 ? dy[i] : 0;
    memcpy(dx, probe_back(&p, dy), sizeof dx);
    probe q = conv_probe(1, 2, 5, 5, CONV(.out = 3, .kernel = { 3 }));
    probe_random(&q, 3);
    probe_run(&q, x);
    expect_equal(probe_back(&q, masked), dx, 50, 0);
    expect_equal(probe_grad(&q, "c.weight"), probe_grad(&p, "c.weight"), 54, 0);
    expect_equal(probe_grad(&q, "c.bias"), probe_grad(&p, "c.bias"), 3, 0);
    probe_end(&p), probe_end(&q);
}

/* A table leaves weights out: they count nowhere, stay 0 and have gradient 0. */
static void table(void **state) {
    (void)state;
    lens_node_info info;
    float x[6 * 14 * 14], dy[1600];
    random_floats(x, LENS_COUNT(x), 1), random_floats(dy, 1600, 2);
    probe p = probe_start(1, 1, 6, 14, 14);
    lens_node *c = lens_conv2d(p.x, "c", CONV(.out = 16, .kernel = { 5 }, .table = "lenet5-c3"));
    assert_non_null(c);
    lens_node_info_get(c, &info);
    assert_int_equal(info.parameters, 1516);
    assert_int_equal(info.macs, 60 * 25 * 100);
    assert_int_equal(info.connections, (60 * 25 + 16) * 100);
    probe_finish(&p, c);
    lens_param w = probe_param(&p, "c.weight");
    for (int i = 0; i < 96; i++)
        for (int k = 0; k < 25; k++)
            w.value.data[i * 25 + k] = lenet5_c3[i] ? 0.1f * (float)(k % 7) : 0;
    lens_net_touched(p.net);
    probe_run(&p, x);
    probe_back(&p, dy);
    const float *grad = probe_grad(&p, "c.weight");
    for (int i = 0; i < 96; i++)
        for (int k = 0; k < 25; k++) assert_int_equal(grad[i * 25 + k] != 0, lenet5_c3[i]);
    probe_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[D1][Q7][V1] 5x5 picture, 3x3 kernel", karn),
        T("[D12][V1] valid, same and full", karn_modes),
        T("[D10][V1][V3] stride 2, and 3x2", stride),
        T("[D2] 4x4 to 2x2", single),
        T("[D2][D11][V3] one map in, one out; zero padding", nine),
        T("[C2][V3] true convolution by option", flipped),
        T("[C3][V10] full convolution commutes", commutes),
        T("[D4][V3] many maps in, one out: plain sum", many_in),
        T("[D3][V3] one kernel more, one map more", many_out),
        T("[D3] each map equals its kernel alone", maps_alone),
        T("[D5][I1][I7][I8][I9][V4] two pictures, three maps in, two out, forward and backward",
          four_dimensions),
        T("[I5][V4] input gradient: sum over kernels", sum_over_kernels),
        T("[I6][V4] input gradient: map by map", map_by_map),
        T("[I2][I7][I8][Q11][Q14][V5] small backward case", back_small),
        T("[I4][I7][V5] backward with stride, and with a remainder", back_stride),
        T("[I7][V5] weight gradient is a correlation with the expanded delta",
          weight_gradient_is_correlation),
        T("[I2][I3] input gradient is a full convolution of delta", input_gradient_is_full),
        T("[D28][V5] transposed and dilated examples", transposed),
        T("[D28][Q16] transposed and dilated sizes", transposed_sizes),
        T("[I19] backward is the transposed convolution", transposed_is_backward),
        T("[D13][D14][V2] the size formula", sizes),
        T("[D11][D12][D16][V3] shapes on 8x8", eight_by_eight),
        T("[A5][D6][D8] parameters and shapes", counts),
        T("[D6] shapes of weight and bias", parameter_shapes),
        T("[D19] parameters do not depend on the picture's size", shared_weights),
        T("[D29] groups: AlexNet's conv2", groups),
        T("[D29] groups are layers side by side", groups_apart),
        T("[D17] labels name height x width", label),
        T("[D18][V17] receptive fields", fields),
        T("[D18] a pixel outside the window changes no bit", locality),
        T("[A6][L2][V1] scan order and products", scan_order),
        T("[D7] bias shifts its own map", bias_shift),
        T("[D21] linear in x and in w", linear),
        T("[D21] an impulse returns the kernel", impulse),
        T("[C1] convolution is correlation with the rotated kernel", rotated),
        T("[D18] a shifted picture gives a shifted map", equivariant),
        T("[G15][V18] shifts and stride", shifts),
        T("[D22][V27] 1x1", pointwise),
        T("[C7] two layers merge into one", stacked),
        T("[D20][V5] the layer as a matrix", toeplitz),
        T("[I10][P3][P5] im2col and a product", columns),
        T("[C5][V6] curve detector: 6600, flipped 3600", curve),
        T("[D23][V6] the map's maximum is where the curve is", curve_found),
        T("[D24] two kernels, two maps, one position", two_maps),
        T("[C4] flipping does not matter to learning", flip_learns_alike),
        T("[I16] the loss reaches the first layer", reaches_first),
        T("[I18] the activation's gradient comes first", activation_first),
        T("[V20] LeNet-5's table: 1,516 parameters", table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
