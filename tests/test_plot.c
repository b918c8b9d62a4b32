/* test_plot.c - lenslet plot: the numbers behind its figures against the vectors of the specification and
 * against the library called directly.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "support/check.h"
#include "support/tempdir.h"
#include <lenslet/data.h>
#include <lenslet/image.h>
#include <lenslet/train.h>
#include <lenslet/zoo.h>

enum { ROOM = 1 << 16, ARRAYS = 64 };

static char folder[TEMPDIR_PATH];

/* What --numbers wrote: arrays of values in the order of the figure. */
typedef struct plotted {
    char name[ARRAYS][128];
    int first[ARRAYS + 1]; /* index of an array's first value; of the one behind the last */
    int arrays;
    float value[ROOM];
    double exact[ROOM];
} plotted;

/* lenslet plot ARGUMENTS, in the folder, on the scalar level. */
static plotted *plot(const char *arguments) {
    char line[2048];
    snprintf(line, sizeof line,
             "cd '%s' && LC_ALL=C LENSLET_ISA=scalar LENSLET_THREADS=2 '%s/lenslet' plot %s -q "
             "-o figure.svg --numbers numbers.csv >/dev/null",
             folder, TEST_BUILD_DIR, arguments);
    if (system(line) != 0) fail_msg("%s", line);
    snprintf(line, sizeof line, "%s/numbers.csv", folder);
    FILE *file = fopen(line, "r");
    plotted *p = calloc(1, sizeof *p);
    assert_true(file && p);
    int count = 0;
    assert_non_null(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file)) {
        int array = 0;
        char *quote = strrchr(line, '"'), *value = strrchr(line, ',');
        assert_true(quote && value && sscanf(line, "%d", &array) == 1 && count < ROOM &&
                    array < ARRAYS);
        if (array >= p->arrays) {
            p->first[array] = count;
            p->arrays = array + 1;
            snprintf(p->name[array], sizeof p->name[array], "%.*s",
                     (int)(quote - strchr(line, '"') - 1), strchr(line, '"') + 1);
        }
        p->exact[count] = strtod(value + 1, NULL);
        p->value[count] = (float)p->exact[count];
        p->first[array + 1] = ++count;
    }
    fclose(file);
    return p;
}

static int named(const plotted *p, const char *name) {
    for (int i = 0; i < p->arrays; i++)
        if (!strcmp(p->name[i], name)) return i;
    fail_msg("the figure has no \"%s\"", name);
    return -1;
}

static const float *array(const plotted *p, const char *name) {
    return p->value + p->first[named(p, name)];
}

static int size_of(const plotted *p, int i) { return p->first[i + 1] - p->first[i]; }

/* The i-th array of the figure must be these numbers. */
static void expect_array(const plotted *p, int i, const char *text) {
    float want[256];
    assert_true(i < p->arrays);
    assert_int_equal(size_of(p, i), numbers(text, want, 256));
    expect_numbers(p->value + p->first[i], text, 0);
}

static double total(const plotted *p, int i) {
    double sum = 0;
    for (int k = p->first[i]; k < p->first[i + 1]; k++) sum += p->exact[k];
    return sum;
}

static void four_panels(void **state) {
    (void)state;
    plotted *p = plot("stages --image s80");
    static const int side[] = { 80, 78, 78, 39 };
    static const double sum[] = { 1108, 0, 1232, 488 };
    assert_int_equal(p->arrays, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(size_of(p, i), side[i] * side[i]);
        assert_near(total(p, i), sum[i], 0);
    }
    free(p);
}

/* Positions in the order of the window, and the maps of stride, padding, dilation and transposition. */
static void sliding(void **state) {
    (void)state;
    static const struct {
        const char *arguments, *output;
    } rows[] = {
        { "conv", "4 3 4/2 4 3/2 3 4" },
        { "conv --stride 2", "4 4/2 4" },
        { "conv --pad 1", "2 2 3 1 1/1 4 3 4 1/1 2 4 3 3/1 2 3 4 1/0 2 2 1 1" },
        { "conv --dilation 2 --kernel '1 1/1 1' --matrix '0 1 2 3 4/5 6 7 8 9/10 11 12 13 14/15 16 17 18 19/20 21 22 23 24'",
          "24 28 32/44 48 52/64 68 72" },
        { "conv --transposed", "0 0 1/0 4 6/4 12 9" },
        { "conv --transposed --stride 2", "0 0 0 1/0 0 2 3/0 2 0 3/4 6 6 9" },
        { "conv --transposed --pad 1", "4" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plotted *p = plot(rows[i].arguments);
        expect_array(p, named(p, "output"), rows[i].output);
        free(p);
    }
}

static void gradients(void **state) {
    (void)state;
    plotted *p = plot("backward");
    expect_array(p, 2, "366 456/816 906");
    expect_array(
        p, 3,
        "0 0 0 0 0 0 0/0 0 0 0 0 0 0/0 0 1 0 2 0 0/0 0 0 0 0 0 0/0 0 3 0 4 0 0/0 0 0 0 0 0 0/0 0 0 0 0 0 0");
    expect_array(p, 4, "9 8 7/6 5 4/3 2 1");
    expect_array(p, 5, "1 2 5 4 6/4 5 14 10 12/10 14 36 24 30/12 15 34 20 24/21 24 55 32 36");
    expect_array(p, 7, "1 0 2/0 0 0/3 0 4");
    expect_array(p, 8, "82 92 102/132 142 152/182 192 202");
    free(p);
    /* The remainder: a last row and column of zeros. */
    p = plot(
        "backward --matrix '0 1 2 3 4 5/6 7 8 9 10 11/12 13 14 15 16 17/18 19 20 21 22 23/24 25 26 27 28 29/30 31 32 33 34 35'");
    expect_array(p, 2, "429 519/969 1059");
    expect_array(
        p, 5,
        "1 2 5 4 6 0/4 5 14 10 12 0/10 14 36 24 30 0/12 15 34 20 24 0/21 24 55 32 36 0/0 0 0 0 0 0");
    expect_array(p, 8, "96 106 116/156 166 176/216 226 236");
    free(p);
    p = plot("backward maps");
    expect_array(p, 4, "48 112 66/128 296 172/88 200 114");
    expect_array(p, 9, "64 152 90/176 408 236/120 272 154");
    expect_array(p, 14, "80 192 114/224 520 300/152 344 194");
    free(p);
    p = plot("backward pool");
    static const char *const pooled[] = { "6 8/3 4", "3.25 5.25/2 2", "13 21/8 8" };
    static const char *const back[] = { "0 0 0 0/0 1 0 2/3 0 0 0/0 0 0 4",
                                        ".25 .25 .5 .5/.25 .25 .5 .5/.75 .75 1 1/.75 .75 1 1",
                                        "1 1 2 2/1 1 2 2/3 3 4 4/3 3 4 4" };
    for (int i = 0; i < 3; i++) {
        expect_array(p, 4 * i + 1, pooled[i]);
        expect_array(p, 4 * i + 2, "1 2/3 4");
        expect_array(p, 4 * i + 3, back[i]);
    }
    free(p);
}

/* The formula of the figure, in loops of this test: dY among zeros, slid over by the turned kernel, is the
 * dX that the engine computed, for strides and paddings. */
static void formula_is_the_engines(void **state) {
    (void)state;
    for (int stride = 1; stride <= 3; stride++)
        for (int pad = 0; pad <= 2; pad++) {
            char arguments[128];
            snprintf(arguments, sizeof arguments, "backward --stride %d --pad %d", stride, pad);
            plotted *p = plot(arguments);
            const float *spread = p->value + p->first[3], *w = p->value + p->first[4],
                        *dx = p->value + p->first[5];
            const int side = 7; /* 5 + 3 - 1 */
            assert_int_equal(size_of(p, 3), side * side);
            for (int i = 0; i < 5; i++)
                for (int j = 0; j < 5; j++) {
                    double sum = 0;
                    for (int u = 0; u < 3; u++)
                        for (int v = 0; v < 3; v++)
                            sum += (double)(spread[(i + u) * side + j + v] * w[u * 3 + v]);
                    assert_near(dx[i * 5 + j], sum, 0);
                }
            free(p);
        }
}

static void channels_and_pooling(void **state) {
    (void)state;
    plotted *p = plot("channels");
    expect_array(p, 2, "19 25/37 43");
    expect_array(p, 13, "56 72/104 120");
    expect_array(p, 20, "1035 1101/1233 1299");
    expect_array(p, 27, "2619 2829/3249 3459");
    free(p);
    p = plot("pooling --stride 1");
    expect_array(p, 1, "6 7 8/6 7 8/3 3 4");
    static const char *const moved[] = { "0 4 0", "0 4 0", "0 0 4" };
    for (int i = 0; i < 3; i++) expect_array(p, 7 + 2 * i, moved[i]);
    free(p);
}

/* ---- figures of a model ---- */

/* A small net trained on the built-in pictures; saved with its words as train would save it. */
static void make_model(lens_ctx *ctx, lens_net **net, float *picture) {
    char line[1024];
    snprintf(
        line, sizeof line,
        "cd '%s' && LC_ALL=C LENSLET_THREADS=2 '%s/lenslet' train --net lenet5 --data shapes --epochs 2 --lr 0.002 --seed 1 --out run -q >/dev/null",
        folder, TEST_BUILD_DIR);
    if (system(line) != 0) fail_msg("%s", line);
    snprintf(line, sizeof line, "%s/run/model.safetensors", folder);
    assert_ok(ctx, lens_net_load(ctx, net, line));
    lens_data *data;
    int label;
    assert_ok(ctx, lens_data_open(ctx, &data, "shapes", NULL));
    assert_ok(ctx, lens_data_get(data, LENS_TEST, 3, picture, &label));
    lens_data_free(data);
}

/* The picture, normalised as the words of the model say, through the net; every node kept. */
static lens_session *run_model(lens_ctx *ctx, lens_net *net, const float *picture) {
    float x[3 * 28 * 28], mean[3], std[3];
    const char *m = lens_net_meta(net, "mean"), *s = lens_net_meta(net, "std");
    for (int c = 0; c < 3; c++) {
        mean[c] = strtof(m, (char **)(size_t)&m), m += *m == ',';
        std[c] = strtof(s, (char **)(size_t)&s), s += *s == ',';
    }
    for (int i = 0; i < 3 * 28 * 28; i++) x[i] = (picture[i] - mean[i / 784]) / std[i / 784];
    lens_session *session;
    lens_tensor t = { x, 4, { 1, 3, 28, 28 } }, y;
    assert_ok(ctx, lens_session_new(&session, net, ctx, &(lens_session_opts){ .watch = true }));
    assert_ok(ctx, lens_run(session, &t, &y));
    return session;
}

static void five_rows(void **state) {
    (void)state;
    char why[256];
    lens_ctx *ctx;
    assert_int_equal(
        lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = 1, .isa = "scalar", .strict = true }, why),
        LENS_OK);
    lens_net *net;
    static float picture[3 * 28 * 28];
    make_model(ctx, &net, picture);
    lens_session *session = run_model(ctx, net, picture);
    plotted *p = plot("stages --strict -m run/model.safetensors -d shapes --index 3");
    static const struct {
        const char *row, *node;
    } rows[] = { { "convolution", "conv1" }, { "activation", "relu1" }, { "pooling", "pool1" } };
    for (int i = 0; i < 3; i++) {
        lens_tensor t;
        assert_ok(ctx, lens_peek(session, lens_net_find(net, rows[i].node), LENS_VALUE, &t));
        assert_int_equal(size_of(p, named(p, rows[i].row)), lens_tensor_count(&t));
        expect_equal(array(p, rows[i].row), t.data, (size_t)lens_tensor_count(&t), 0);
    }
    free(p);
    /* The kernels are means over the three input channels; smoothing keeps their centres. */
    p = plot("stages --strict -m run/model.safetensors -d shapes --index 3");
    lens_param w;
    assert_ok(ctx, lens_net_param_named(net, "conv1.weight", &w));
    for (int o = 0; o < 6; o++)
        for (int k = 0; k < 25; k++) {
            double sum = 0;
            for (int c = 0; c < 3; c++) sum += (double)w.value.data[(o * 3 + c) * 25 + k];
            assert_near(array(p, "mean kernel")[o * 25 + k], sum / 3, 1e-6);
            assert_near(array(p, "smoothed")[o * 33 * 33 + k / 5 * 8 * 33 + k % 5 * 8], sum / 3,
                        1e-6);
        }
    free(p);
    /* One unit: what is written adds up to what the engine has. */
    p = plot("unit --strict -m run/model.safetensors -d shapes --index 3 --layer conv2 --at 5,4,3");
    lens_tensor t;
    assert_ok(ctx, lens_peek(session, lens_net_find(net, "conv2"), LENS_VALUE, &t));
    assert_true(array(p, "engine")[0] == t.data[(5 * 10 + 4) * 10 + 3]);
    double sum = p->exact[p->first[named(p, "bias")]] + total(p, named(p, "products"));
    assert_near(sum, p->exact[p->first[named(p, "sum")]], 1e-12);
    assert_near(sum, (double)array(p, "engine")[0], 1e-6 * fabs(sum));
    assert_near(total(p, named(p, "subtotals")), total(p, named(p, "products")), 1e-12);
    assert_int_equal(size_of(p, named(p, "products")), 6 * 25);
    assert_true(array(p, "result")[0] == fmaxf(array(p, "engine")[0], 0));
    free(p);
    lens_session_free(session);
    lens_net_free(net);
    /* Small shifts: the features of the first layer move more than those of the last. */
    p = plot("invariance -m run/model.safetensors -d shapes --count 100");
    const float *first = array(p, "conv1"), *last = array(p, "fc3");
    assert_int_equal(size_of(p, 0), 21);
    assert_true(p->value[10] == 0 && first[10] == 0 && last[10] == 0);
    assert_true(first[9] > last[9] && first[11] > last[11]);
    assert_true(array(p, "lenet5")[10] > array(p, "lenet5")[0]);
    free(p);
    p = plot("invariance run/model.safetensors -d shapes --count 50 --by rotation");
    assert_true(p->value[12] == 180 && array(p, "conv1")[0] == 0);
    free(p);
    p = plot("invariance run/model.safetensors -d shapes --count 50 --by scale");
    assert_near(array(p, "conv1")[5], 0, 0); /* zoom 1 */
    free(p);
    lens_ctx_free(ctx);
}

/* From picture to classes in one figure: three maps, six maps, features, four outputs. */
static void whole_pipeline(void **state) {
    (void)state;
    static const char text[] = "net strip\n"
                               "input data 1x28x28\n"
                               "conv2d conv1 out=3 kernel=5\n"
                               "maxpool pool1 kernel=2\n"
                               "conv2d conv2 out=6 kernel=5\n"
                               "maxpool pool2 kernel=2\n"
                               "flatten flat\n"
                               "dense fc out=20\n"
                               "dense classes out=4\n"
                               "softmax p\n";
    lens_ctx *ctx = test_ctx(1);
    lens_net *net;
    char path[TEMPDIR_PATH + 32];
    lens_image image = { 28, 28, 1, malloc(28 * 28) };
    for (int i = 0; i < 28 * 28; i++) image.pixels[i] = (uint8_t)(i % 256);
    assert_ok(ctx, lens_net_parse(ctx, &net, text, "strip"));
    assert_ok(ctx, lens_init(net, "he", 1));
    snprintf(path, sizeof path, "%s/strip.safetensors", folder);
    assert_ok(ctx, lens_net_save(net, path));
    snprintf(path, sizeof path, "%s/grey.png", folder);
    assert_ok(ctx, lens_image_write(ctx, &image, path));
    plotted *p = plot("maps -m strip.safetensors --image grey.png --layer conv1 --layer pool1 "
                      "--layer conv2 --layer pool2 --layer fc --layer p");
    static const int size[] = { 3 * 24 * 24, 3 * 12 * 12, 6 * 8 * 8, 6 * 4 * 4, 20, 4 };
    assert_int_equal(p->arrays, 6);
    for (int i = 0; i < 6; i++) assert_int_equal(size_of(p, i), size[i]);
    assert_near(total(p, 5), 1, 1e-6);
    free(p);
    free(image.pixels);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void fields_of_layers(void **state) {
    (void)state;
    plotted *p = plot("rf lenet5");
    expect_numbers(array(p, "conv2"), "14 2 8 8 22 22", 0);
    expect_numbers(array(p, "pool2"), "16 4 6 6 22 22", 0);
    free(p);
}

/* The same numbers as JSON and NPY; the same command, the same bytes. */
static void formats(void **state) {
    (void)state;
    char line[2048];
    snprintf(
        line, sizeof line,
        "cd '%s' && export LC_ALL=C && p='%s/lenslet' && $p plot pooling -q -o a.svg --numbers a.json >/dev/null && "
        "mv a.svg b.svg && mv a.json b.json && $p plot pooling -q -o a.svg --numbers a.json >/dev/null && cmp a.svg b.svg && cmp a.json b.json && "
        "$p plot pooling -q -o a.png --numbers a.npy >/dev/null && $p plot conv -q -o c.html >/dev/null && mv c.html d.html && "
        "$p plot conv -q -o c.html >/dev/null && cmp c.html d.html && "
        "$p plot conv -q -o c.png >/dev/null && mv c.png d.png && $p plot conv -q -o c.png >/dev/null && cmp c.png d.png",
        folder, TEST_BUILD_DIR);
    assert_int_equal(system(line), 0);
    lens_ctx *ctx = test_ctx(1);
    lens_tensor t;
    snprintf(line, sizeof line, "%s/a-2.npy", folder);
    assert_ok(ctx, lens_npy_read(ctx, &t, line));
    expect_numbers(t.data, "6 8/3 4", 0);
    assert_int_equal(t.rank, 2);
    lens_free(ctx, t.data);
    lens_ctx_free(ctx);
}

static int make_folder(void **state) {
    (void)state;
    tempdir_make(folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    tempdir_remove(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[L1][V13] four panels of S80: sizes and sums", four_panels),
        T("[L2][V1][V5] a window slides: stride, padding, dilation, transposed", sliding),
        T("[I2][I4][I7][I11][I12][I13][V4][V5][V14] gradients in figures", gradients),
        T("[I3] the turned kernel over dY among zeros gives the engine's dX",
          formula_is_the_engines),
        T("[D3][D4][D5][G11][G15] channels, pooling, a moving dot", channels_and_pooling),
        T("[L6][L10][K5][Q9] rows of a layer, a unit, features of shifted pictures", five_rows),
        T("[L4] from picture to classes: 3 maps, 6 maps, features, 4 outputs", whole_pipeline),
        T("[D18] fields of layers", fields_of_layers),
        T("numbers in all formats, the same bytes twice", formats),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
