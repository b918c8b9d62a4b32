/* test_experiments.c - the experiments of examples/experiments, run small: each must show what its row
 * of the specification claims, in the table it writes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/tempdir.h"
#include "test.h"

#include <lenslet.h>
#include <sys/wait.h>

enum { MAX_ROWS = 256, MAX_COLUMNS = 10 };

/* A table as text; the first row has the heads. */
typedef struct table {
    char *text;
    int rows, columns;
    const char *cell[MAX_ROWS][MAX_COLUMNS];
} table;

/* The file a path names under the folder, whole, with an uncounted 0. */
static char *read_whole(const char *folder, const char *name, size_t *size) {
    char path[TEMPDIR_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s was not written", path);
    char *bytes = calloc(1, 1 << 22);
    assert_non_null(bytes);
    *size = fread(bytes, 1, (1 << 22) - 1, file);
    fclose(file);
    return bytes;
}

static table read_table(const char *folder, const char *name) {
    char file[64];
    size_t size;
    table t = { 0 };
    snprintf(file, sizeof file, "%s.csv", name);
    t.text = read_whole(folder, file, &size);
    for (char *line = t.text; *line && t.rows < MAX_ROWS; t.rows++) {
        char *end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        int c = 0;
        for (char *cell = line; cell && c < MAX_COLUMNS; c++) {
            bool quoted = *cell == '"';
            char *stop = strchr(cell + quoted, quoted ? '"' : ',');
            t.cell[t.rows][c] = cell + quoted;
            if (stop) *stop++ = 0;
            if (quoted && stop) stop += *stop == ',';
            cell = stop;
        }
        t.columns = c;
        line = end;
    }
    return t;
}

/* Runs an experiment small and gives its table; both pictures of `figure` must be there. */
static table run(const char *name, const char *figure) {
    char folder[TEMPDIR_PATH], command[4 * TEMPDIR_PATH], svg[64], png[64];
    tempdir_make(folder);
    snprintf(command, sizeof command, "%s/experiments/%s --quick %s >%s/said 2>&1", TEST_BUILD_DIR,
             name, folder, folder);
    size_t size;
    if (system(command) != 0) fail_msg("%s: %s", command, read_whole(folder, "said", &size));
    table t = read_table(folder, name);
    snprintf(svg, sizeof svg, "%s.svg", figure);
    snprintf(png, sizeof png, "%s.png", figure);
    char *picture = read_whole(folder, svg, &size);
    assert_true(size > 500 && strstr(picture, "<svg") != NULL);
    free(picture);
    picture = read_whole(folder, png, &size);
    assert_true(size > 500 && memcmp(picture, "\x89PNG", 4) == 0);
    free(picture);
    tempdir_remove(folder);
    return t;
}

static const char *word(const table *t, int row, const char *column) {
    for (int c = 0; c < t->columns; c++)
        if (!strcmp(t->cell[0][c], column)) return t->cell[row][c] ? t->cell[row][c] : "";
    fail_msg("no column %s", column);
    return "";
}

static double number(const table *t, int row, const char *column) {
    char *end;
    const char *text = word(t, row, column);
    double value = strtod(text, &end);
    if (end == text || *end) fail_msg("%s of row %d is \"%s\"", column, row, text);
    return value;
}

/* The row whose first cells are these; second may be NULL. */
static int row_of(const table *t, const char *first, const char *second) {
    for (int r = 1; r < t->rows; r++)
        if (!strcmp(t->cell[r][0], first) && (!second || !strcmp(t->cell[r][1], second))) return r;
    fail_msg("no row %s %s", first, second ? second : "");
    return 0;
}

static double number_of(const table *t, const char *first, const char *second, const char *column) {
    return number(t, row_of(t, first, second), column);
}

/* ---- training ---- */

static void flipping_is_irrelevant(void **state) {
    (void)state;
    table t = run("flip", "flip");
    int loss = row_of(&t, "loss", "50");
    assert_true(number(&t, loss, "last_loss") < number(&t, loss, "first_loss"));
    assert_true(number(&t, loss, "largest_difference") <= 1e-6);
    assert_true(number_of(&t, "conv1.weight turned", NULL, "largest_difference") <= 1e-6);
    assert_true(number_of(&t, "conv2.weight turned", NULL, "largest_difference") <= 1e-6);
    assert_true(number_of(&t, "conv1.weight as it is", NULL, "largest_difference") > 0.1);
    assert_true(number_of(&t, "conv2.weight as it is", NULL, "largest_difference") > 0.1);
    free(t.text);
}

static void equal_weights_stay_equal(void **state) {
    (void)state;
    table t = run("zero", "zero");
    static const char *const twins[] = { "zero", "constant:0.01" };
    for (int i = 0; i < 2; i++) {
        assert_near(number_of(&t, twins[i], NULL, "conv1_spread"), 0, 0);
        assert_near(number_of(&t, twins[i], NULL, "fc1_spread"), 0, 0);
        assert_true(number_of(&t, twins[i], NULL, "test_accuracy") < 0.3);
    }
    assert_true(number_of(&t, "zero", NULL, "steps") >= 100);
    assert_near(number_of(&t, "zero", NULL, "first_loss"), log(10), 1e-4);
    assert_true(number_of(&t, "constant:0.01", NULL, "fc1_moved") > 0); /* twins, but not at rest */
    assert_true(number_of(&t, "xavier", NULL, "conv1_spread") > 0.1);
    assert_true(number_of(&t, "xavier", NULL, "test_accuracy") > 0.5);
    free(t.text);
}

static void initialisation_matters(void **state) {
    (void)state;
    table t = run("initialisers", "initialisers");
    assert_int_equal(t.rows, 9);
    for (int r = 1; r < t.rows; r++) assert_true(number(&t, r, "loss_after_1_epoch") > 0);
    double guess = log(10);
    assert_true(number_of(&t, "zero", NULL, "loss_after_1_epoch") > guess - 0.01);
    assert_true(number_of(&t, "he", NULL, "loss_after_1_epoch") < guess - 0.2);
    assert_true(number_of(&t, "xavier", NULL, "loss_after_1_epoch") < guess - 0.2);
    free(t.text);
}

static void relu_learns_faster(void **state) {
    (void)state;
    table t = run("activations", "activations");
    int seeds = 0;
    assert_int_equal(t.rows, 10);
    for (int seed = 0; seed < 3; seed++) {
        char text[2] = { (char)('0' + seed), 0 };
        int relu = row_of(&t, "relu", text), tanh = row_of(&t, "tanh", text),
            sigmoid = row_of(&t, "sigmoid", text);
        seeds += number(&t, relu, "last_loss") < number(&t, tanh, "last_loss") &&
                 number(&t, tanh, "last_loss") < number(&t, sigmoid, "last_loss");
    }
    assert_int_equal(seeds, 3);
    free(t.text);
}

static void one_picture_by_heart(void **state) {
    (void)state;
    table t = run("overfit", "overfit");
    assert_int_equal(t.rows, 101);
    for (int r = 2; r < t.rows; r++)
        if (!(number(&t, r, "loss") < number(&t, r - 1, "loss")))
            fail_msg("the loss does not fall at step %d", r - 1);
    assert_true(number(&t, 100, "probability") > 0.99);
    free(t.text);
}

static void five_steps(void **state) {
    (void)state;
    table t = run("steps", "steps");
    assert_int_equal(t.rows, 4);
    for (int r = 1; r < t.rows; r++) {
        assert_near(number(&t, r, "initialisations"), 1, 0);
        assert_near(number(&t, r, "updates"), 20 * r, 0); /* 1,000 pictures in batches of 50 */
        if (r > 1) assert_true(number(&t, r, "loss") < number(&t, r - 1, "loss"));
    }
    free(t.text);
}

/* ---- architecture ---- */

static void pooling_compared(void **state) {
    (void)state;
    table t = run("pooling", "pooling");
    /* LeNet-5 in its modern form, counted by hand: convolutions, then dense layers. */
    const double conv = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150, tail = 120 * 84 + 84 * 10;
    const double bare = 28 * 28 * 6 * 25 + 24 * 24 * 16 * 150;
    static const char *const pooled[] = { "maximum", "average", "sum" };
    for (int i = 0; i < 3; i++) {
        assert_near(number_of(&t, pooled[i], NULL, "fc1_weights"), 48000, 0);
        assert_near(number_of(&t, pooled[i], NULL, "parameters"), 61706, 0);
        assert_near(number_of(&t, pooled[i], NULL, "macs"), conv + 48000 + tail, 0);
    }
    assert_near(number_of(&t, "none", NULL, "fc1_weights"), 1105920, 0);
    assert_near(number_of(&t, "none", NULL, "parameters"), 61706 - 48000 + 1105920, 0);
    assert_near(number_of(&t, "none", NULL, "macs"), bare + 1105920 + tail, 0);
    assert_true(number_of(&t, "maximum", NULL, "test_accuracy") > 0.8);
    assert_true(number_of(&t, "average", NULL, "test_accuracy") > 0.8);
    free(t.text);
}

static void few_parameters(void **state) {
    (void)state;
    table t = run("parameters", "parameters");
    assert_near(number_of(&t, "mlp-300-100", NULL, "parameters"), 266610, 0);
    assert_near(number_of(&t, "lenet5", NULL, "parameters"), 61706, 0);
    assert_true(number_of(&t, "lenet5", NULL, "test_error") <
                number_of(&t, "mlp-300-100", NULL, "test_error"));
    free(t.text);
}

static void heads_compared(void **state) {
    (void)state;
    table t = run("heads", "heads");
    assert_int_equal(t.rows, 5);
    for (int r = 1; r < t.rows; r++) assert_true(number(&t, r, "test_accuracy") > 0.7);
    assert_near(number_of(&t, "SVM on frozen features", NULL, "trained_parameters"), 84 * 10 + 10,
                0);
    free(t.text);
}

/* ---- invariance ---- */

static table invariance(void) {
    static table t;
    if (!t.text) t = run("invariance", "translation");
    return t;
}

static void translation(void **state) {
    (void)state;
    table t = invariance();
    for (int shift = -4; shift <= 4; shift++) { /* farther out both guess */
        char value[8];
        snprintf(value, sizeof value, "%d", shift);
        int row = row_of(&t, "translation", value);
        assert_true(number(&t, row, "convolutional") >= number(&t, row, "dense"));
        assert_true(number(&t, row, "augmented") >= number(&t, row, "convolutional") - 0.05);
    }
    static const char *const tail[] = { "-6", "6" };
    for (int i = 0; i < 2; i++) {
        int row = row_of(&t, "translation", tail[i]);
        assert_true(number(&t, row, "augmented") > number(&t, row, "convolutional") + 0.5);
    }
}

static void rotation(void **state) {
    (void)state;
    table t = invariance();
    double upright = number_of(&t, "rotation", "0", "convolutional");
    assert_true(upright > 0.95);
    assert_true(number_of(&t, "rotation", "15", "convolutional") > upright - 0.15);
    assert_true(number_of(&t, "rotation", "90", "convolutional") < upright - 0.5);
    assert_true(number_of(&t, "rotation", "90", "augmented") > 0.7);
    assert_true(number_of(&t, "rotation: 6 taken for 9", NULL, "convolutional") > 0.8);
    assert_true(number_of(&t, "rotation: 9 taken for 6", NULL, "convolutional") > 0.8);
}

static void scale(void **state) {
    (void)state;
    table t = invariance();
    int half = row_of(&t, "scale", "0.5");
    /* Pooling alone does not help; both nets with it fail at half the size. */
    assert_true(number(&t, half, "convolutional") < 0.6);
    assert_true(number(&t, half, "augmented") > 0.8);
    for (int r = 1; r < t.rows; r++)
        if (!strcmp(t.cell[r][0], "scale")) assert_true(number(&t, r, "multi_scale") >= 0);
}

static void change_by_depth(void **state) {
    (void)state;
    table t = invariance();
    double first = number_of(&t, "depth: conv1", NULL, "convolutional");
    assert_true(number_of(&t, "depth: pool2", NULL, "convolutional") < first);
    assert_true(number_of(&t, "depth: fc2", NULL, "convolutional") < first);
}

/* One row of eight numbers through one layer. */
static void through(lens_ctx *ctx, const char *layer, const float *x, int n, float *y) {
    char text[128];
    lens_net *net;
    lens_session *session;
    lens_param kernel;
    lens_tensor in = { (float *)x, 4, { 1, 1, 1, n } }, out;
    snprintf(text, sizeof text, "input data 1x1x%d\n%s\n", n, layer);
    assert_ok(ctx, lens_net_parse(ctx, &net, text, "shift"));
    if (lens_net_params(net)) {
        assert_ok(ctx, lens_net_param(net, 0, &kernel));
        memcpy(kernel.value.data, (const float[]){ 1, 2, 1 }, 3 * sizeof(float));
        lens_net_touched(net);
    }
    assert_ok(ctx, lens_session_new(&session, net, ctx, NULL));
    assert_ok(ctx, lens_run(session, &in, &out));
    memcpy(y, out.data, (size_t)lens_tensor_count(&out) * sizeof *y);
    lens_session_free(session);
    lens_net_free(net);
}

static void expect(const float *y, const float *expected, int n) {
    for (int i = 0; i < n; i++) assert_near((double)y[i], (double)expected[i], 0);
}

/* The printed vectors: pooling hides a shift within its cell, convolution carries it through, and under
 * a stride only multiples of the stride. */
static void shifts(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static const char pool[] = "maxpool kernel=1x2",
                      conv[] = "conv2d c out=1 kernel=1x3 no_bias=true",
                      strided[] = "conv2d c out=1 kernel=1x3 stride=1x2 no_bias=true";
    const float x[12] = { 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0 }; /* x + 3 - s: moved right by s */
    const float p[8] = { 0, 0, 0, 0, 4, 0, 0, 0 };
    float y[8];
    through(ctx, pool, p + 2, 6, y), expect(y, (const float[]){ 0, 4, 0 }, 3);
    through(ctx, pool, p + 1, 6, y), expect(y, (const float[]){ 0, 4, 0 }, 3);
    through(ctx, pool, p, 6, y), expect(y, (const float[]){ 0, 0, 4 }, 3);
    through(ctx, conv, x + 3, 8, y), expect(y, (const float[]){ 0, 5, 10, 5, 0, 0 }, 6);
    through(ctx, conv, x + 2, 8, y), expect(y, (const float[]){ 0, 0, 5, 10, 5, 0 }, 6);
    through(ctx, strided, x + 3, 8, y), expect(y, (const float[]){ 0, 10, 0 }, 3);
    through(ctx, strided, x + 2, 8, y), expect(y, (const float[]){ 0, 5, 5 }, 3);
    through(ctx, strided, x + 1, 8, y), expect(y, (const float[]){ 0, 0, 10 }, 3);
    lens_ctx_free(ctx);
}

static void anywhere_in_the_picture(void **state) {
    (void)state;
    table t = run("sliding", "sliding");
    int near = 0, right = 0;
    assert_int_equal(t.rows, 21);
    for (int r = 1; r < t.rows; r++) {
        near += number(&t, r, "distance") <= 2 * 4; /* two steps of the heat map */
        right += number(&t, r, "digit") == number(&t, r, "found");
        assert_near(number(&t, r, "from_windows"), 0, 1e-4);
    }
    assert_int_equal(near, 20);
    assert_true(right >= 14);
    free(t.text);
}

/* ---- the course ---- */

static table course(void) {
    static table t;
    if (!t.text) t = run("course", "course");
    return t;
}

static void colours(void **state) {
    (void)state;
    table t = course();
    int cnn = row_of(&t, "shapes", "course-color");
    double best = number(&t, cnn, "best_accuracy");
    assert_near(number(&t, cnn, "parameters"), 3815, 0);
    assert_true(best >= 0.96);
    assert_true(best - number_of(&t, "shapes", "mlp-128-64 in grey", "best_accuracy") >= 0.1);
}

static void shapes(void **state) {
    (void)state;
    table t = course();
    double best = number_of(&t, "shapes:shape", "course-shape", "best_accuracy");
    assert_true(best >= 0.96);
    assert_true(best > number_of(&t, "shapes:shape", "mlp-128-64 in grey", "best_accuracy"));
}

static void shapes_and_colours(void **state) {
    (void)state;
    table t = course();
    double best = number_of(&t, "shapes:both", "course-both", "best_accuracy");
    assert_true(best >= 0.97);
    assert_true(best > number_of(&t, "shapes:both", "mlp-128-64 in grey", "best_accuracy"));
}

static void ablation(void **state) {
    (void)state;
    table t = run("ablation", "ablation");
    /* conv1 + conv2 + fc1 + batch norm + fc2, maps of 28, 14, 12 or 10, 6 or 5 cells a side. */
    const double head = 2 * 32 + 32 * 5 + 5;
    assert_near(number_of(&t, "as it is", NULL, "parameters"),
                80 + 16 * (8 * 9 + 1) + (16 * 36 + 1) * 32 + head, 0);
    assert_near(number_of(&t, "5x5 kernels", NULL, "parameters"),
                8 * 26 + 16 * (8 * 25 + 1) + (16 * 25 + 1) * 32 + head, 0);
    assert_near(number_of(&t, "1x1 kernels first", NULL, "parameters"),
                4 * 2 + 16 * (4 * 9 + 1) + (16 * 36 + 1) * 32 + head, 0);
    assert_near(number_of(&t, "no second convolution", NULL, "parameters"),
                80 + (8 * 196 + 1) * 32 + head, 0);
    for (int r = 1; r < t.rows; r++) assert_true(number(&t, r, "test_accuracy") > 0.5);
    free(t.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[C4] turned kernels learn the same", flipping_is_irrelevant),
        T("[J3] equal weights stay equal", equal_weights_stay_equal),
        T("[J2] initialisers compared", initialisation_matters),
        T("[G5] activations compared", relu_learns_faster),
        T("[J7] one picture learned by heart", one_picture_by_heart),
        T("[J6] five steps of training", five_steps),
        T("[G21][G14] maximum, average, sum, none", pooling_compared),
        T("[F6] few parameters", few_parameters),
        T("[H6] softmax and SVM heads", heads_compared),
        T("[K1][Q18] translation", translation),
        T("[K2] rotation", rotation),
        T("[K3] scale", scale),
        T("[K5] change by depth", change_by_depth),
        T("[K4][F10][V18] shifts under pooling and stride", shifts),
        T("[K6][N8][Q6] digits anywhere in the picture", anywhere_in_the_picture),
        T("[O1] colours", colours),
        T("[O2] shapes", shapes),
        T("[O3] shapes and colours", shapes_and_colours),
        T("[O8] one change at a time", ablation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
