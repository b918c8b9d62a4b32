/* test_concepts.c - what tutorials claim about convolutional networks, tried out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/train.h>

#include "support/check.h"

/* ---- features combined non-linearly: exclusive or ---- */

/* How many of the four corners a net gets right after training on them; hidden 0: one dense layer. */
static int solve_xor(int hidden) {
    static float corner[8] = { -1, -1, -1, 1, 1, -1, 1, 1 };
    static const int32_t label[4] = { 0, 1, 1, 0 };
    float gradient[8];
    lens_tensor y, x = { .data = corner, .rank = 4, .dim = { 4, 2, 1, 1 } };
    lens_tensor dy = { .data = gradient, .rank = 2, .dim = { 4, 2 } };
    lens_session *session;
    lens_optim *optim;
    int correct = 0;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "xor");
    lens_node *node = lens_input(net, "x", 2, 1, 1);
    if (hidden) node = lens_tanh(lens_dense(node, NULL, (lens_dense_opts){ .out = hidden }), NULL);
    assert_ok(ctx, lens_net_finish(net, lens_dense(node, NULL, (lens_dense_opts){ .out = 2 })));
    assert_ok(ctx, lens_init(net, "xavier", 1));
    assert_ok(ctx, lens_session_new(&session, net, ctx,
                                    &(lens_session_opts){ .batch = 4, .train = true }));
    assert_ok(ctx, lens_optim_new(&optim, net, &(lens_optim_opts){ .name = "adam" }));
    for (uint32_t step = 0; step < 1000; step++) {
        assert_ok(ctx, lens_forward(session, &x, step, &y));
        assert_ok(ctx, lens_loss_eval(ctx, &(lens_loss){ 0 }, &y, label, NULL, &correct, &dy));
        assert_ok(ctx, lens_backward(session, &dy));
        assert_ok(ctx, lens_optim_step(optim, session, 0.02));
    }
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    lens_ctx_free(ctx);
    return correct;
}

static void a_hidden_layer_solves_exclusive_or(void **state) {
    (void)state;
    assert_int_equal(solve_xor(8), 4);
    assert_true(solve_xor(0) <= 3); /* no line parts the corners (Minsky and Papert 1969) */
}

/* ---- the book's layer, 64 x 3 x 28 x 28 and four 3x3 kernels, by loops and by the engine ---- */

enum { N = 64, C = 3, SIDE = 28, OUT = 4, K = 3, CONV = SIDE - K + 1, POOL = SIDE / 2 };

static void loops_and_engine_agree(void **state) {
    (void)state;
    static float x[N * C * SIDE * SIDE];
    random_floats(x, N * C * SIDE * SIDE, 3);
    probe p = probe_start(2, N, C, SIDE, SIDE);
    probe_finish(&p, lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = OUT, .kernel = { K } }));
    probe_random(&p, 4);
    assert_int_equal(lens_net_macs(p.net), OUT * CONV * CONV * C * K * K);
    const float *y = probe_run(&p, x);
    const float *w = probe_param(&p, "c.weight").value.data,
                *b = probe_param(&p, "c.bias").value.data;
    for (int n = 0; n < N; n++)
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < CONV; i++)
                for (int j = 0; j < CONV; j++) {
                    double sum = (double)b[o];
                    for (int c = 0; c < C; c++)
                        for (int u = 0; u < K; u++)
                            for (int v = 0; v < K; v++)
                                sum += (double)w[((o * C + c) * K + u) * K + v] *
                                       (double)x[((n * C + c) * SIDE + i + u) * SIDE + j + v];
                    assert_near((double)y[((n * OUT + o) * CONV + i) * CONV + j], sum, 1e-5);
                }
    probe_end(&p);
}

/* Windows laid out as rows of a matrix, the largest of each row, and the gradient sent back by its
 * place: the other way to pool. Random numbers have no equals, so both ways give the same bits. */
static void pooling_by_columns_agrees(void **state) {
    (void)state;
    static float x[N * C * SIDE * SIDE], want[N * C * POOL * POOL], dy[N * C * POOL * POOL];
    static float dx[N * C * SIDE * SIDE];
    static int place[N * C * POOL * POOL][4];
    size_t inputs = sizeof x / sizeof *x, outputs = sizeof dy / sizeof *dy;
    random_floats(x, inputs, 5);
    random_floats(dy, outputs, 6);
    for (int plane = 0, row = 0; plane < N * C; plane++)
        for (int i = 0; i < POOL; i++)
            for (int j = 0; j < POOL; j++, row++)
                for (int k = 0; k < 4; k++)
                    place[row][k] = (plane * SIDE + 2 * i + k / 2) * SIDE + 2 * j + k % 2;
    for (size_t row = 0; row < outputs; row++) {
        int best = place[row][0];
        for (int k = 1; k < 4; k++)
            if (x[place[row][k]] > x[best]) best = place[row][k];
        want[row] = x[best];
        dx[best] = dy[row];
    }
    probe p = probe_start(2, N, C, SIDE, SIDE);
    probe_finish(&p, lens_maxpool(p.x, "p", (lens_pool_opts){ .kernel = { 2 } }));
    assert_memory_equal(probe_run(&p, x), want, sizeof want);
    assert_memory_equal(probe_back(&p, dy), dx, sizeof dx);
    probe_end(&p);
}

/* ---- scale ---- */

enum { PICTURE = 32, ZOOMS = 11 };

/* A ring of radius 8*zoom and thickness 2*zoom, its edges smoothed over one pixel. */
static void draw_ring(double zoom, float *x) {
    for (int i = 0; i < PICTURE; i++)
        for (int j = 0; j < PICTURE; j++) {
            double r = hypot(i - 15.5, j - 15.5), inside = zoom - fabs(r - 8 * zoom) + 0.5;
            x[i * PICTURE + j] = (float)(inside < 0 ? 0 : inside > 1 ? 1 : inside);
        }
}

/* Cosine between the features of the ring at each zoom 0.5, 0.6, ... 1.5 and at 1. */
static void scale_curve(int pool, double curve[ZOOMS]) {
    static float x[PICTURE * PICTURE], first[PICTURE * PICTURE];
    probe p = probe_start(1, 1, 1, PICTURE, PICTURE);
    lens_node *y = lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 1, .kernel = { 3 }, .pad = 1 });
    y = lens_relu(y, NULL);
    if (pool > 1) y = lens_maxpool(y, NULL, (lens_pool_opts){ .kernel = { pool } });
    probe_finish(&p, y);
    probe_set(&p, "c.weight", "-1 -1 -1/-1 8 -1/-1 -1 -1"); /* edges */
    probe_set(&p, "c.bias", "0");
    size_t count = probe_y_count(&p);
    draw_ring(1, x);
    memcpy(first, probe_infer(&p, x), count * sizeof *first);
    for (int k = 0; k < ZOOMS; k++) {
        double dot = 0, a = 0, b = 0;
        draw_ring(0.5 + 0.1 * k, x);
        const float *f = probe_infer(&p, x);
        for (size_t i = 0; i < count; i++) {
            dot += (double)f[i] * (double)first[i];
            a += (double)f[i] * (double)f[i], b += (double)first[i] * (double)first[i];
        }
        curve[k] = dot / sqrt(a * b);
    }
    probe_end(&p);
}

static void pooling_softens_a_change_of_size_but_does_not_undo_it(void **state) {
    (void)state;
    double plain[ZOOMS], pooled[ZOOMS];
    scale_curve(1, plain);
    scale_curve(4, pooled);
    for (int k = 0; k < ZOOMS; k++)
        print_message("zoom %.1f: maps %.3f, pooled %.3f\n", 0.5 + 0.1 * k, plain[k], pooled[k]);
    assert_near(plain[5], 1, 1e-6);
    assert_near(pooled[5], 1, 1e-6);
    for (int k = 0; k < ZOOMS; k++)
        if (k != 5) assert_true(plain[k] < pooled[k] && pooled[k] < 0.999);
    assert_true(pooled[0] < 0.6 && pooled[10] < 0.6);
}

/* ---- words ---- */

static void one_term_with_its_synonyms(void **state) {
    (void)state;
    static char text[1 << 16];
    FILE *f = fopen(TEST_SOURCE_DIR "/docs/glossary.md", "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *row = strstr(text, "| feature map |");
    assert_non_null(row);
    char *equivariant = strstr(text, "*equivariant*");
    row[strcspn(row, "\n")] = 0;
    assert_non_null(strstr(row, "convolved feature"));
    assert_non_null(strstr(row, "activation map"));
    assert_non_null(strstr(row, "卷积特征"));
    assert_non_null(equivariant);
    assert_int_not_equal(system("grep -rniE 'convolved feature|activation map' " TEST_SOURCE_DIR
                                "/include " TEST_SOURCE_DIR "/cli"),
                         0);
}

static const struct CMUnitTest tests[] = {
    T("[H3] a hidden layer solves exclusive or, a single layer cannot",
      a_hidden_layer_solves_exclusive_or),
    T("[P2] the book's convolution: loops and engine agree", loops_and_engine_agree),
    T("[P4] the book's pooling: windows and columns agree, both ways", pooling_by_columns_agrees),
    T("[G16] a change of size: softened by pooling, not undone",
      pooling_softens_a_change_of_size_but_does_not_undo_it),
    T("[D25] feature map: one term, synonyms in the glossary", one_term_with_its_synonyms),
};

TEST_MAIN(tests)
