/* test_signal_filter.c - kernels over pictures: the catalogue on printed pictures, borders, strides,
 * agreement with the convolution layer, kernels as text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "support/check.h"
#include "support/tempdir.h"
#include <lenslet/signal.h>

static lens_ctx *the_ctx;

static int start(void **state) {
    (void)state;
    the_ctx = test_ctx(2);
    return 0;
}

static int stop(void **state) {
    (void)state;
    lens_ctx_free(the_ctx);
    return 0;
}

static lens_kernel kernel(const char *text) {
    lens_kernel k;
    assert_ok(the_ctx, lens_kernel_parse(the_ctx, &k, text));
    return k;
}

/* VALID, one channel; returns how many numbers y has. */
static int run(const char *name, const float *x, int h, int w, float *y) {
    lens_kernel k = kernel(name);
    assert_ok(the_ctx, lens_filter(the_ctx, x, 1, h, w, &k, NULL, y));
    return (h - k.h + 1) * (w - k.w + 1);
}

static const char *const PLUS = "0 0 1 0 0/0 0 1 0 0/1 1 1 1 1/0 0 1 0 0/0 0 1 0 0";
static const char *const RAMP =
    "0 1 2 3 4/10 11 12 13 14/20 21 22 23 24/30 31 32 33 34/40 41 42 43 44";
static const char *const INTERIOR = "11 12 13/21 22 23/31 32 33";

/* The kernel's gain, what it makes of the plus sign, and of the ramp (V12). */
static void on_two_pictures(const char *name, double gain, const char *plus, const char *ramp) {
    float x[25], y[9];
    lens_kernel k = kernel(name);
    assert_near(lens_kernel_gain(&k), gain, 1e-12);
    numbers(PLUS, x, 25);
    assert_int_equal(run(name, x, 5, 5, y), 9);
    expect_numbers(y, plus, 1e-6);
    numbers(RAMP, x, 25);
    run(name, x, 5, 5, y);
    expect_numbers(y, ramp, 1e-4);
}

static const char *const ZEROS = "0 0 0/0 0 0/0 0 0";

static void sharpness(void **state) {
    (void)state;
    on_two_pictures("sharpness", 1, "-2 3 -2/3 1 3/-2 3 -2", INTERIOR);
    float x[9] = { 10, 10, 10, 10, 20, 10, 10, 10, 10 }, y[1];
    run("sharpness", x, 3, 3, y);
    assert_near(y[0], 60, 0);
}

static void vertical_edge(void **state) {
    (void)state;
    on_two_pictures("vertical-edge", 0, "-1 2 -1/0 0 0/-1 2 -1", ZEROS);
    float x[25], y[9];
    for (int i = 0; i < 25; i++) x[i] = i / 5 == 2; /* a horizontal line */
    run("vertical-edge", x, 5, 5, y);
    expect_numbers(y, ZEROS, 0);
}

static void surround(void **state) {
    (void)state;
    on_two_pictures("surround", -1, "5 -5 5/-5 -5 -5/5 -5 5",
                    "-11 -12 -13/-21 -22 -23/-31 -32 -33");
    float x[9] = { 7, 7, 7, 7, 7, 7, 7, 7, 7 }, y[1];
    run("surround", x, 3, 3, y);
    assert_near(y[0], -7, 0);
}

static void sobel_y(void **state) {
    (void)state;
    on_two_pictures("sobel-y", 0, "3 2 3/0 0 0/-3 -2 -3", "80 80 80/80 80 80/80 80 80");
    float x[30], t[30], y[12], z[12];
    random_floats(x, 30, 1);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++) t[j * 5 + i] = x[i * 6 + j];
    run("sobel-y", x, 5, 6, y);
    run("sobel-x", t, 6, 5, z);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) assert_near(y[i * 4 + j], z[j * 3 + i], 1e-6);
}

static void identity(void **state) {
    (void)state;
    on_two_pictures("nothing", 1, "0 1 0/1 1 1/0 1 0", INTERIOR);
    enum { H = 21, W = 130 };
    float x[H * W], y[(H - 2) * (W - 2)];
    random_floats(x, H * W, 2);
    run("nothing", x, H, W, y);
    for (int i = 0; i < H - 2; i++)
        assert_memory_equal(y + i * (W - 2), x + (i + 1) * W + 1, sizeof *y * (W - 2));
}

static void horizontal_edge(void **state) {
    (void)state;
    on_two_pictures("horizontal-edge", 0, "-1 0 -1/2 0 2/-1 0 -1", ZEROS);
    float x[25], y[9];
    for (int i = 0; i < 25; i++) x[i] = i % 5 == 2;
    run("horizontal-edge", x, 5, 5, y);
    expect_numbers(y, ZEROS, 0);
}

static void blur(void **state) {
    (void)state;
    on_two_pictures("blur", .99, ".55 .55 .55/.55 .55 .55/.55 .55 .55",
                    "10.89 11.88 12.87/20.79 21.78 22.77/30.69 31.68 32.67");
    float x[9], y[1];
    for (int i = 0; i < 9; i++) x[i] = 100;
    run("blur", x, 3, 3, y);
    assert_near(y[0], 99, 1e-4);
    run("box-blur", x, 3, 3, y);
    assert_near(y[0], 100, 1e-4);
}

static void sobel_x(void **state) {
    (void)state;
    on_two_pictures("sobel-x", 0, "3 0 -3/2 0 -2/3 0 -3", "8 8 8/8 8 8/8 8 8");
}

static void embossing(void **state) {
    (void)state;
    on_two_pictures("embossing", 0, "-1 -2 1/-2 -1 1/1 1 2", "-33 -33 -33/-33 -33 -33/-33 -33 -33");
}

static void nine_kernels_on_s80(void **state) {
    (void)state;
    /* gain, min, max, sum, squares, not 0, ReLU sum, its 2x2 maxima: sum, not 0 */
    static const struct {
        const char *name;
        double want[9];
    } row[] = {
        { "sharpness", { 1, -2, 3, 1108, 4092, 1588, 1724, 777, 377 } },
        { "vertical-edge", { 0, -1, 1, 0, 616, 616, 308, 202, 202 } },
        { "surround", { -1, -6, 5, -1108, 13780, 1712, 1588, 936, 304 } },
        { "sobel-y", { 0, -4, 4, 0, 7808, 984, 1232, 488, 184 } },
        { "nothing", { 1, 0, 1, 1108, 1108, 1108, 1108, 377, 377 } },
        { "horizontal-edge", { 0, -1, 1, 0, 616, 616, 308, 202, 202 } },
        { "11 11 11/11 11 11/11 11 11", { 99, 0, 99, 109692, 8549860, 1712, 109692, 34243, 481 } },
        { "sobel-x", { 0, -4, 4, 0, 7808, 984, 1232, 488, 184 } },
        { "embossing", { 0, -2, 2, 0, 2374, 958, 715, 307, 176 } },
    };
    float x[6400], y[6084];
    lens_picture_s80(x);
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        lens_kernel used = kernel(row[k].name);
        double got[9] = { lens_kernel_gain(&used), 1e9, -1e9 };
        assert_int_equal(run(row[k].name, x, 80, 80, y), 6084);
        for (int i = 0; i < 6084; i++) {
            double v = (double)y[i];
            got[1] = fmin(got[1], v), got[2] = fmax(got[2], v);
            got[3] += v, got[4] += v * v, got[5] += v != 0, got[6] += fmax(v, 0);
        }
        for (int i = 0; i < 78; i += 2)
            for (int j = 0; j < 78; j += 2) {
                float *a = y + i * 78 + j;
                double most = fmax(
                    fmax(fmax((double)a[0], (double)a[1]), fmax((double)a[78], (double)a[79])), 0);
                got[7] += most, got[8] += most != 0;
            }
        for (int i = 0; i < 9; i++)
            if (got[i] != row[k].want[i])
                fail_msg("%s: number %d is %g, not %g", row[k].name, i, got[i], row[k].want[i]);
    }
    size_t count;
    const lens_kernel_entry *e = lens_kernel_list(&count);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(e[i].group, "course");
        if (i != 6) assert_string_equal(e[i].name, row[i].name);
    }
    float ones = 0;
    for (int i = 0; i < 6400; i++) {
        ones += x[i];
        assert_true(x[i] == x[i % 80 * 80 + i / 80] && x[i] == x[6399 - i]);
    }
    assert_true(ones == 1108);
}

static void eight_neighbours(void **state) {
    (void)state;
    float x[49] = { 0 }, y[25];
    x[24] = 9;
    run("box-blur", x, 7, 7, y);
    expect_numbers(y, "0 0 0 0 0/0 1 1 1 0/0 1 1 1 0/0 1 1 1 0/0 0 0 0 0", 1e-6);
    x[24] = 8;
    run("smooth-8", x, 7, 7, y);
    expect_numbers(y, "0 0 0 0 0/0 1 1 1 0/0 1 0 1 0/0 1 1 1 0/0 0 0 0 0", 1e-6);
}

static void gaussian_and_laplacian(void **state) {
    (void)state;
    static const char *const unit[] = { "gaussian-blur", "gaussian:0.5", "gaussian:1.4",
                                        "gaussian:5" };
    for (int i = 0; i < 4; i++) {
        lens_kernel k = kernel(unit[i]);
        assert_near(lens_kernel_gain(&k), 1, 1e-12);
        for (int j = 0; j < k.h * k.w; j++) assert_true(k.value[j] <= k.value[k.h * k.w / 2]);
    }
    lens_kernel g = kernel("gaussian:1.4"), l4 = kernel("laplacian-4"), l8 = kernel("laplacian-8");
    assert_int_equal(g.h, 11);
    /* exp(-1/(2 sigma^2)) between the centre and its neighbour */
    assert_near(g.value[61] / g.value[60], exp(-1 / (2 * 1.4 * 1.4)), 1e-14);
    assert_near(lens_kernel_gain(&l4), 0, 0);
    assert_near(lens_kernel_gain(&l8), 0, 0);
    float x[9] = { 4, 1, 0, 1, 0, 1, 4, 1, 4 }, y[1]; /* of r^2 + c^2 the Laplacian would be 4 */
    for (int i = 0; i < 9; i++) x[i] = (float)((i / 3) * (i / 3) + (i % 3) * (i % 3));
    run("laplacian-4", x, 3, 3, y);
    assert_near(y[0], 4, 0);
    run("laplacian-8", x, 3, 3, y);
    assert_near(y[0], 12, 0);
}

static void table_of_seven(void **state) {
    (void)state;
    static const char *const name[] = { "identity", "edge-1",   "edge-2",       "edge-3",
                                        "sharpen",  "box-blur", "gaussian-blur" };
    static const char *const text[] = { "0 0 0/0 1 0/0 0 0",     "1 0 -1/0 0 0/-1 0 1",
                                        "0 1 0/1 -4 1/0 1 0",    "-1 -1 -1/-1 8 -1/-1 -1 -1",
                                        "0 -1 0/-1 5 -1/0 -1 0", "1 1 1/1 1 1/1 1 1",
                                        "1 2 1/2 4 2/1 2 1" };
    static const double gain[] = { 1, 0, 0, 0, 1, 1, 1 }, divisor[] = { 1, 1, 1, 1, 1, 9, 16 };
    for (int i = 0; i < 7; i++) {
        lens_kernel k = kernel(name[i]), t = kernel(text[i]);
        assert_near(lens_kernel_gain(&k), gain[i], 1e-12);
        for (int j = 0; j < 9; j++) assert_near(k.value[j], t.value[j] / divisor[i], 1e-15);
    }
}

static void sobel_operator(void **state) {
    (void)state;
    float x[64], gx[36], gy[36], magnitude[36], angle[36];
    for (int i = 0; i < 64; i++) x[i] = (float)(3 * (i / 8) + 3 * (i % 8));
    run("sobel-x", x, 8, 8, gx), run("sobel-y", x, 8, 8, gy);
    lens_gradient_polar(gx, gy, 36, magnitude, angle);
    for (int i = 0; i < 36; i++) {
        assert_near(angle[i], 45, 1e-6);
        assert_near(magnitude[i], 24 * sqrt(2), 1e-5);
    }
    float zero[1] = { 0 }, up[1] = { -2 };
    lens_gradient_polar(zero, up, 1, magnitude, angle);
    assert_near(angle[0], -90, 1e-6);
    lens_gradient_polar(zero, zero, 1, NULL, angle);
    assert_near(angle[0], 0, 0);
    float gp[36], gs[36]; /* Prewitt: three differences of 6; Scharr: sixteen */
    run("prewitt-x", x, 8, 8, gp), run("scharr-y", x, 8, 8, gs);
    assert_near(gp[0], 18, 0);
    assert_near(gs[0], 96, 0);
}

/* ---- the curve detector (V6) ---- */

static void patch(float *x, int pitch) {
    x[6] = 30;
    for (int j = 4; j <= 6; j++) x[pitch + j] = 50;
    x[2 * pitch + 3] = 20, x[2 * pitch + 4] = 50;
    for (int i = 3; i <= 6; i++) x[i * pitch + 3] = x[i * pitch + 4] = 50;
}

static void ear(float *x, int pitch) {
    static const int cell[][3] = { { 1, 1, 40 }, { 2, 0, 40 }, { 2, 2, 40 }, { 3, 0, 40 },
                                   { 3, 1, 20 }, { 4, 1, 50 }, { 5, 2, 50 }, { 6, 0, 25 },
                                   { 6, 1, 25 }, { 6, 3, 50 } };
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++)
        x[cell[i][0] * pitch + cell[i][1]] = (float)cell[i][2];
}

static const char *const CURVE =
    "0 0 0 0 0 30 0/0 0 0 0 30 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/"
    "0 0 0 0 0 0 0";

static void curve_detector(void **state) {
    (void)state;
    float x[49] = { 0 }, y[1];
    lens_kernel k = kernel(CURVE), named = kernel("curve");
    patch(x, 7);
    double sum = 0, product[49];
    int count = 0;
    for (int i = 0; i < 49; i++)
        if (k.value[i] * (double)x[i] != 0) sum += product[count++] = k.value[i] * (double)x[i];
    static const double want[] = { 1500, 600, 1500, 1500, 1500 };
    assert_int_equal(count, 5);
    for (int i = 0; i < 5; i++) assert_near(product[i], want[i], 0);
    assert_near(sum, 6600, 0);
    run(CURVE, x, 7, 7, y);
    assert_near(y[0], 6600, 0);
    float none[49] = { 0 };
    ear(none, 7);
    run(CURVE, none, 7, 7, y);
    assert_near(y[0], 0, 0);
    assert_memory_equal(&named, &k, sizeof k);
}

static void flipping_matters(void **state) {
    (void)state;
    float x[49] = { 0 }, y[25], z[25];
    lens_kernel k = kernel(CURVE);
    const lens_filter_opts flip = { .flip = true };
    patch(x, 7);
    assert_ok(the_ctx, lens_filter(the_ctx, x, 1, 7, 7, &k, &flip, y));
    assert_near(y[0], 3600, 0);
    lens_kernel_flip(&k);
    assert_ok(the_ctx, lens_filter(the_ctx, x, 1, 7, 7, &k, NULL, y));
    assert_near(y[0], 3600, 0);
    random_floats(x, 49, 3);
    static const char *const names[] = { "sobel-x", "laplacian-8" };
    for (int i = 0; i < 2; i++) {
        k = kernel(names[i]);
        assert_ok(the_ctx, lens_filter(the_ctx, x, 1, 7, 7, &k, NULL, y));
        assert_ok(the_ctx, lens_filter(the_ctx, x, 1, 7, 7, &k, &flip, z));
        for (int j = 0; j < 25; j++) assert_near(z[j], i ? y[j] : -y[j], 1e-6);
    }
}

/* Windows that tile the picture: the peak is the drawn curve. Windows at every pixel: one row further
 * down the thick line fits better still (9000), so the peak is the curve up to one pixel. */
static void where_the_curve_is(void **state) {
    (void)state;
    enum { N = 42, O = N - 6, T = N / 7 };
    float x[N * N] = { 0 }, y[O * O], tiled[T * T], other[O * O];
    lens_kernel curve = kernel("curve"), box = kernel("box:7");
    patch(x + 14 * N + 21, N);
    ear(x + 28 * N + 7, N);
    assert_ok(the_ctx,
              lens_filter(the_ctx, x, 1, N, N, &curve, &(lens_filter_opts){ .stride = 7 }, tiled));
    for (int i = 0; i < T * T; i++) assert_near(tiled[i], i == 2 * T + 3 ? 6600 : 0, 0);
    run("curve", x, N, N, y);
    int best = 0;
    for (int i = 1; i < O * O; i++)
        if (y[i] > y[best]) best = i;
    assert_int_equal(best, 15 * O + 21);
    assert_near(y[14 * O + 21], 6600, 0);
    assert_near(y[28 * O + 7], 0, 0);
    /* Another kernel makes another map of the same picture, at the same positions. */
    assert_ok(the_ctx, lens_filter(the_ctx, x, 1, N, N, &box, NULL, other));
    assert_true(memcmp(y, other, sizeof y) != 0);
    assert_near(other[14 * O + 21], (30 + 150 + 70 + 400) / 49.0, 1e-4);
    assert_near(other[28 * O + 7], 380 / 49.0, 1e-4);
}

static void scan_order(void **state) {
    (void)state;
    /* A kernel of one 1 at its first cell shows the pixel each position starts at. */
    float x[25], y[9];
    for (int i = 0; i < 25; i++) x[i] = (float)(i / 5 * 10 + i % 5);
    assert_int_equal(run("1 0 0/0 0 0/0 0 0", x, 5, 5, y), 9);
    expect_numbers(y, "0 1 2/10 11 12/20 21 22", 0);
}

static void signs_at_edges(void **state) {
    (void)state;
    float step[10] = { 0, 0, 0, 0, 0, 1, 1, 1, 1, 1 }, bar[10] = { 0, 0, 0, 1, 1, 1, 1, 0, 0, 0 };
    float y[8];
    run("-1 2 -1", step, 1, 10, y);
    expect_numbers(y, "0 0 0 -1 1 0 0 0", 0);
    run("-1 0 1", step, 1, 10, y);
    expect_numbers(y, "0 0 0 1 1 0 0 0", 0);
    run("-1 2 -1", bar, 1, 10, y);
    expect_numbers(y, "0 -1 1 0 0 1 -1 0", 0);
    run("-1 0 1", bar, 1, 10, y);
    expect_numbers(y, "0 1 1 0 0 -1 -1 0", 0);
}

static void one_weight_edited(void **state) {
    (void)state;
    float x[64], y[36], z[36];
    random_floats(x, 64, 5);
    lens_kernel k = kernel("sobel-x"), again;
    assert_ok(the_ctx, lens_filter(the_ctx, x, 1, 8, 8, &k, NULL, y));
    k.value[5] += 3;
    assert_ok(the_ctx, lens_filter(the_ctx, x, 1, 8, 8, &k, NULL, z));
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++)
            assert_near(z[i * 6 + j] - y[i * 6 + j], 3 * x[(i + 1) * 8 + j + 2], 1e-5);
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 16];
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/k.txt", folder);
    FILE *f = fopen(path, "w");
    fprintf(f, "# edited\n\n");
    for (int i = 0; i < 9; i++) fprintf(f, "%.17g%s", k.value[i], i % 3 == 2 ? "\r\n" : ", ");
    fclose(f);
    assert_ok(the_ctx, lens_kernel_read(the_ctx, &again, path));
    assert_memory_equal(&again, &k, sizeof k);
    f = fopen(path, "w");
    fprintf(f, "1 2\n3\n");
    fclose(f);
    assert_fails(the_ctx, LENS_BAD_FILE, "k.txt: kernel: row 2 has 1 numbers but row 1 has 2",
                 lens_kernel_read(the_ctx, &again, path));
    assert_fails(the_ctx, LENS_BAD_FILE, "is a folder", lens_kernel_read(the_ctx, &again, folder));
    tempdir_remove(folder);
}

/* ---- against the convolution layer, and a plain loop ---- */

static void same_as_the_layer(void **state) {
    (void)state;
    enum { H = 19, W = 45 };
    static const struct {
        int kh, kw, stride, dilation, c;
        bool flip;
    } how[] = { { 3, 3, 1, 1, 1, false }, { 5, 3, 1, 1, 3, true },  { 3, 4, 2, 1, 2, false },
                { 3, 3, 3, 2, 1, true },  { 1, 1, 1, 1, 3, false }, { 7, 7, 1, 1, 1, false } };
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        int c = how[i].c, kh = how[i].kh, kw = how[i].kw;
        int pad_y = (kh - 1) * how[i].dilation, pad_x = (kw - 1) * how[i].dilation;
        lens_kernel k = { .h = kh, .w = kw };
        float w[3 * 49], x[3 * H * W], y[H * W];
        random_floats(w, (size_t)(kh * kw), 6);
        random_floats(x, (size_t)(c * H * W), 7);
        for (int j = 0; j < kh * kw; j++) k.value[j] = (double)w[j];
        for (int j = kh * kw; j < c * kh * kw; j++) w[j] = w[j - kh * kw];
        probe p = probe_start(2, 1, c, H, W);
        probe_finish(
            &p, lens_conv2d(p.x, "c",
                            (lens_conv2d_opts){ .out = 1,
                                                .kernel = { kh, kw },
                                                .stride = { how[i].stride },
                                                .dilation = { how[i].dilation },
                                                .pads = { pad_y / 2, pad_x / 2, pad_y - pad_y / 2,
                                                          pad_x - pad_x / 2 },
                                                .no_bias = true,
                                                .flip = how[i].flip }));
        probe_set_floats(&p, "c.weight", w);
        const float *want = probe_infer(&p, x);
        const lens_filter_opts opts = { .border = LENS_BORDER_ZERO,
                                        .stride = how[i].stride,
                                        .dilation = how[i].dilation,
                                        .flip = how[i].flip,
                                        .sum = true };
        int oh, ow;
        assert_ok(the_ctx, lens_filter_size(the_ctx, &k, H, W, &opts, &oh, &ow));
        assert_int_equal(oh * ow, probe_y_count(&p));
        assert_ok(the_ctx, lens_filter(the_ctx, x, c, H, W, &k, &opts, y));
        /* A layer may add in another order, or transform 3x3 kernels. */
        expect_equal(y, want, (size_t)(oh * ow), 2e-6 * c * kh * kw);
        probe_end(&p);
    }
}

static int at_border(lens_border border, int i, int n) {
    if (border == LENS_BORDER_ZERO) return i >= 0 && i < n ? i : -1;
    while (i < 0 || i >= n) {
        if (border == LENS_BORDER_REPLICATE || n == 1)
            i = i < 0 ? 0 : n - 1;
        else
            i = i < 0 ? -i : 2 * (n - 1) - i;
    }
    return i;
}

static void check_borders(int c, int h, int w, int kh, int kw, lens_filter_opts opts) {
    enum { ROOM = 12000 };
    static float x[ROOM], y[ROOM], z[ROOM];
    float taps[961];
    lens_kernel k = { .h = kh, .w = kw };
    int oh, ow, s = opts.stride, d = opts.dilation;
    random_floats(x, (size_t)(c * h * w), 8);
    random_floats(taps, (size_t)(kh * kw), 9);
    for (int i = 0; i < kh * kw; i++) k.value[i] = (double)taps[i];
    assert_ok(the_ctx, lens_filter_size(the_ctx, &k, h, w, &opts, &oh, &ow));
    assert_ok(the_ctx, lens_filter(the_ctx, x, c, h, w, &k, &opts, y));
    int top = opts.border ? (kh - 1) * d / 2 : 0, left = opts.border ? (kw - 1) * d / 2 : 0;
    for (int ch = 0; ch < (opts.sum ? 1 : c); ch++)
        for (int i = 0; i < oh; i++)
            for (int j = 0; j < ow; j++) {
                double sum = 0;
                for (int p = opts.sum ? 0 : ch; p < (opts.sum ? c : ch + 1); p++)
                    for (int u = 0; u < kh; u++)
                        for (int v = 0; v < kw; v++) {
                            int r = at_border(opts.border, i * s + u * d - top, h),
                                q = at_border(opts.border, j * s + v * d - left, w);
                            if (r >= 0 && q >= 0)
                                sum += (double)taps[u * kw + v] * (double)x[(p * h + r) * w + q];
                        }
                assert_near(y[(ch * oh + i) * ow + j], sum, 1e-6 * kh * kw * c);
            }
    lens_ctx *one = test_ctx(1);
    assert_ok(one, lens_filter(one, x, c, h, w, &k, &opts, z));
    assert_memory_equal(y, z, sizeof *y * (size_t)((opts.sum ? 1 : c) * oh * ow));
    lens_ctx_free(one);
}

static void borders_strides_dilations(void **state) {
    (void)state;
    for (int border = LENS_BORDER_VALID; border <= LENS_BORDER_REFLECT; border++)
        for (int stride = 1; stride <= 3; stride++)
            for (int sum = 0; sum < 2; sum++) {
                lens_filter_opts opts = { .border = (lens_border)border,
                                          .stride = stride,
                                          .dilation = 1 + stride % 2,
                                          .sum = sum };
                check_borders(2, 23, 37, 3, 4, opts);
                check_borders(3, 9, 140, 1, 5, opts);
                check_borders(1, 140, 9, 4, 1, opts);
            }
    const lens_filter_opts reflect = { .border = LENS_BORDER_REFLECT, .stride = 1, .dilation = 2 };
    check_borders(1, 1, 1, 5, 5, reflect);
    check_borders(1, 2, 3, 31, 31, reflect); /* mirrored to and fro */
    check_borders(1, 90, 100, 31, 31, (lens_filter_opts){ .stride = 1, .dilation = 1 });
}

static void kernels_of_zeros_give_zeros(void **state) {
    (void)state;
    float x[25], y[9];
    for (int i = 0; i < 25; i++) x[i] = INFINITY;
    run("0 0 0/0 0 0/0 0 0", x, 5, 5, y);
    expect_numbers(y, ZEROS, 0);
}

/* ---- text ---- */

static void kernel_text(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
        lens_status status;
    } bad[] = {
        { "", "there are no numbers", LENS_BAD_ARG },
        { "  \n # x\n", "there are no numbers", LENS_BAD_ARG },
        { "1 2/3", "row 2 has 1 numbers but row 1 has 2", LENS_BAD_ARG },
        { "1 2/3 4 5", "row 2 has more numbers than the 2 of row 1", LENS_BAD_ARG },
        { "1 2//3 4", "row 2 has no numbers", LENS_BAD_ARG },
        { "1 2/", "row 2 has no numbers", LENS_BAD_ARG },
        { "/1 2", "row 1 has no numbers", LENS_BAD_ARG },
        { "1 x/3 4", "row 1, column 2: \"x\" is not a number", LENS_BAD_ARG },
        { "1 nan", "\"nan\" is not a number", LENS_BAD_ARG },
        { "inf", "\"inf\" is not a number", LENS_BAD_ARG },
        { "1e999", "\"1e999\" is not a number", LENS_BAD_ARG },
        { "sobel_x", "did you mean \"sobel-x\"?", LENS_NOT_FOUND },
        { "gausian:2", "did you mean \"gaussian:SIGMA\"?", LENS_NOT_FOUND },
        { "something-else", "there is no kernel \"something-else\"", LENS_NOT_FOUND },
        { "gaussian:0", "sigma must be above 0", LENS_BAD_ARG },
        { "gaussian:9", "at most 5", LENS_BAD_ARG },
        { "gaussian:x", "sigma", LENS_BAD_ARG },
        { "box:32", "from 1 to 31", LENS_BAD_ARG },
        { "motion:0", "from 1 to 31", LENS_BAD_ARG },
        { "motion:5:up", "degrees", LENS_BAD_ARG },
    };
    lens_kernel k;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(the_ctx, bad[i].status, bad[i].why,
                     lens_kernel_parse(the_ctx, &k, bad[i].text));
    char wide[200] = "", tall[200] = "1";
    for (int i = 0; i < 32; i++) strcat(wide, "1 ");
    for (int i = 0; i < 31; i++) strcat(tall, "/1");
    assert_fails(the_ctx, LENS_BAD_ARG, "at most 31 rows", lens_kernel_parse(the_ctx, &k, wide));
    assert_fails(the_ctx, LENS_BAD_ARG, "at most 31 rows", lens_kernel_parse(the_ctx, &k, tall));
    k = kernel(" 1,2 / -3e0\t4 # the end");
    assert_true(k.h == 2 && k.w == 2 && k.value[2] == -3 && k.value[3] == 4);
    k = kernel("motion:5");
    assert_true(k.h == 1 && k.w == 5);
    for (int i = 0; i < 5; i++) assert_near(k.value[i], .2, 1e-15);
    k = kernel("motion:4:90");
    assert_true(k.h == 4 && k.w == 1);
    k = kernel("motion:5:45");
    assert_near(lens_kernel_gain(&k), 1, 1e-15);
    for (int i = 0; i < k.h; i++) assert_true(k.value[i * k.w + k.w - 1 - i] > 0);
    size_t count;
    const lens_kernel_entry *e = lens_kernel_list(&count);
    for (size_t i = 0; i < count; i++)
        if (e[i].text) kernel(e[i].name);
}

static void filters_that_do_not_fit(void **state) {
    (void)state;
    float x[4] = { 0 }, y[4];
    lens_kernel k = kernel("sobel-x");
    assert_fails(the_ctx, LENS_BAD_SHAPE, "the kernel covers 3x3 but the picture only 2x2",
                 lens_filter(the_ctx, x, 1, 2, 2, &k, NULL, y));
    assert_fails(the_ctx, LENS_BAD_ARG, "stride -1",
                 lens_filter(the_ctx, x, 1, 2, 2, &k, &(lens_filter_opts){ .stride = -1 }, y));
    assert_fails(
        the_ctx, LENS_BAD_SHAPE, "0 channels",
        lens_filter(the_ctx, x, 0, 2, 2, &k, &(lens_filter_opts){ .border = LENS_BORDER_ZERO }, y));
    lens_kernel none = { 0 };
    assert_fails(the_ctx, LENS_BAD_SHAPE, "kernel 0x0",
                 lens_filter(the_ctx, x, 1, 2, 2, &none, NULL, y));
}

static const struct CMUnitTest tests[] = {
    T("[E1][V12] sharpness", sharpness),
    T("[E2][V12] vertical edge", vertical_edge),
    T("[E3][V12] surround", surround),
    T("[E4][V12] Sobel y", sobel_y),
    T("[E5][A4][V12] nothing: the same bits", identity),
    T("[E6][V12] horizontal edge", horizontal_edge),
    T("[E7][V12] blur", blur),
    T("[E8][V12] Sobel x", sobel_x),
    T("[E9][V12] embossing", embossing),
    T("[E10][V13] nine kernels on S80", nine_kernels_on_s80),
    T("[E11] smoothing by eight neighbours", eight_neighbours),
    T("[E12] Gaussian and Laplacian", gaussian_and_laplacian),
    T("[E13][Q8] the seven of the edge, sharpen and blur table", table_of_seven),
    T("[E14] Sobel magnitude and angle", sobel_operator),
    T("[E15][Q15][V6] curve detector: 6600 and its five products", curve_detector),
    T("[C5][V6] flipping matters: 3600", flipping_matters),
    T("[D23][D24][V6] where the curve is, and another map", where_the_curve_is),
    T("[A6] scan order", scan_order),
    T("[E17] signs at steps and bars", signs_at_edges),
    T("[E16] one weight edited, a kernel saved and read", one_weight_edited),
    T("a filter is a convolution layer of one kernel", same_as_the_layer),
    T("borders, strides, dilations against a plain loop", borders_strides_dilations),
    T("kernels of zeros give zeros", kernels_of_zeros_give_zeros),
    T("kernels as text", kernel_text),
    T("filters that do not fit", filters_that_do_not_fit),
};

int main(void) { return cmocka_run_group_tests(tests, start, stop); }
