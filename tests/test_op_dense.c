/* test_op_dense.c - the dense layer, and the way from it to convolution: a picture's dense layer with
 * fourth-order weights, made translation invariant, made local, given channels.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "support/check.h"
#include "test.h"

enum { SIZE = 6, AREA = SIZE * SIZE };

static probe dense_probe(int c, int h, int w, int out) {
    probe p = probe_start(1, 1, c, h, w);
    probe_finish(&p, lens_dense(p.x, "d", (lens_dense_opts){ .out = out }));
    return p;
}

static void expect_dense(const float *weight, const float *bias, const float *x,
                         const float *want) {
    probe p = dense_probe(1, SIZE, SIZE, AREA);
    assert_int_equal(
        probe_param(&p, "d.weight").value.dim[0] * probe_param(&p, "d.weight").value.dim[1], 1296);
    probe_set_floats(&p, "d.weight", weight);
    probe_set_floats(&p, "d.bias", bias);
    expect_equal(probe_run(&p, x), want, AREA, 1e-5);
    probe_end(&p);
}

/* W[i,j,k,l] of a 6x6 to 6x6 layer. */
static size_t at(int i, int j, int k, int l) {
    return ((size_t)(i * SIZE + j) * SIZE + (size_t)k) * SIZE + (size_t)l;
}

/* H[i,j] = U[i,j] + sum over k,l of W[i,j,k,l]*X[k,l]; the same with V[i,j,a,b] = W[i,j,i+a,j+b]. */
static void fourth_order(void **state) {
    (void)state;
    static float w[AREA * AREA], u[AREA], x[AREA], h[AREA], shifted[AREA];
    random_floats(w, AREA * AREA, 1), random_floats(u, AREA, 2), random_floats(x, AREA, 3);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            double sum = (double)u[i * SIZE + j], other = sum;
            for (int k = 0; k < SIZE; k++)
                for (int l = 0; l < SIZE; l++)
                    sum += (double)w[at(i, j, k, l)] * (double)x[k * SIZE + l];
            for (int a = -i; a < SIZE - i; a++)
                for (int b = -j; b < SIZE - j; b++)
                    other += (double)w[at(i, j, i + a, j + b)] * (double)x[(i + a) * SIZE + j + b];
            h[i * SIZE + j] = (float)sum, shifted[i * SIZE + j] = (float)other;
        }
    expect_equal(shifted, h, AREA, 0);
    expect_dense(w, u, x, h);
}

/* Weights V[a,b] that do not depend on (i,j), and one bias: a convolution layer with a kernel of
 * 2*6-1. A kernel of 2*delta+1 is the local one. */
static void expect_tied(int delta) {
    static float w[AREA * AREA], u[AREA], x[AREA];
    float kernel[11 * 11], bias[1] = { 0.25f };
    int reach = 2 * delta + 1;
    random_floats(kernel, (size_t)(reach * reach), 4), random_floats(x, AREA, 5);
    memset(w, 0, sizeof w);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            u[i * SIZE + j] = bias[0];
            for (int a = -delta; a <= delta; a++)
                for (int b = -delta; b <= delta; b++)
                    if (i + a >= 0 && i + a < SIZE && j + b >= 0 && j + b < SIZE)
                        w[at(i, j, i + a, j + b)] = kernel[(a + delta) * reach + b + delta];
        }
    probe p = probe_start(1, 1, 1, SIZE, SIZE);
    lens_node *c =
        lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 1, .kernel = { reach }, .pad = delta });
    lens_node_info info;
    lens_node_info_get(c, &info);
    assert_int_equal(info.parameters, reach * reach + 1);
    probe_finish(&p, c);
    probe_set_floats(&p, "c.weight", kernel), probe_set_floats(&p, "c.bias", bias);
    expect_dense(w, u, x, probe_run(&p, x));
    probe_end(&p);
}

static void invariant(void **state) {
    (void)state;
    expect_tied(SIZE - 1);
    /* A million pixels to a million: 10^12 weights, tied (2*1000-1)^2. */
    probe p = probe_start(1, 1, 1, 1000, 1000);
    lens_node *c =
        lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 1, .kernel = { 1999 }, .pad = 999 });
    lens_node_info info;
    assert_ok(p.ctx, c ? LENS_OK : LENS_BAD_ARG);
    lens_node_info_get(c, &info);
    assert_int_equal(info.h, 1000);
    assert_int_equal(info.parameters, 3996001 + 1);
    probe_end(&p);
}

static void local(void **state) {
    (void)state;
    expect_tied(1);
    expect_tied(2);
}

/* H[i,j,d] = sum over a,b,c of V[a,b,c,d]*X[i+a,j+b,c], channels last: the layer with axes moved. */
static void channels(void **state) {
    (void)state;
    enum { C = 3, D = 4, DELTA = 1, K = 3 };
    float v[K * K * C * D], x[AREA * C], w[D * C * K * K], planes[C * AREA];
    random_floats(v, LENS_COUNT(v), 1), random_floats(x, LENS_COUNT(x), 2);
    for (int a = 0; a < K; a++)
        for (int b = 0; b < K; b++)
            for (int c = 0; c < C; c++)
                for (int d = 0; d < D; d++)
                    w[((d * C + c) * K + a) * K + b] = v[((a * K + b) * C + c) * D + d];
    lens_hwc_to_chw(x, planes, C, SIZE, SIZE);
    probe p = probe_start(1, 1, C, SIZE, SIZE);
    probe_finish(
        &p, lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = D, .kernel = { K }, .pad = DELTA }));
    probe_set_floats(&p, "c.weight", w);
    const float *y = probe_run(&p, planes);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            for (int d = 0; d < D; d++) {
                double sum = 0;
                for (int a = -DELTA; a <= DELTA; a++)
                    for (int b = -DELTA; b <= DELTA; b++)
                        for (int c = 0; c < C; c++)
                            if (i + a >= 0 && i + a < SIZE && j + b >= 0 && j + b < SIZE)
                                sum += (double)v[(((a + DELTA) * K + b + DELTA) * C + c) * D + d] *
                                       (double)x[((i + a) * SIZE + j + b) * C + c];
                assert_near(y[d * AREA + i * SIZE + j], sum, 1e-5);
            }
    probe_end(&p);
}

/* A convolution whose kernel covers the picture is a dense layer: LeNet's C5. */
static void covers_picture(void **state) {
    (void)state;
    static float x[400], w[120 * 400], b[120];
    random_floats(x, 400, 1), random_floats(w, 120 * 400, 2), random_floats(b, 120, 3);
    probe c = probe_start(1, 1, 16, 5, 5), d = dense_probe(16, 5, 5, 120);
    probe_finish(&c, lens_conv2d(c.x, "c", (lens_conv2d_opts){ .out = 120, .kernel = { 5 } }));
    probe_set_floats(&c, "c.weight", w), probe_set_floats(&c, "c.bias", b);
    probe_set_floats(&d, "d.weight", w), probe_set_floats(&d, "d.bias", b);
    const float *y = probe_run(&c, x);
    assert_int_equal(probe_y_count(&c), 120);
    assert_int_equal(c.y.dim[2], 1);
    expect_equal(probe_run(&d, x), y, 120, 1e-4);
    assert_int_equal(lens_net_parameters(c.net), 400 * 120 + 120);
    assert_int_equal(lens_net_parameters(d.net), 400 * 120 + 120);
    probe_end(&c), probe_end(&d);
}

static void counts(void **state) {
    (void)state;
    lens_node_info info;
    probe p = probe_start(1, 1, 16, 5, 5);
    lens_node_info_get(lens_dense(p.x, NULL, (lens_dense_opts){ .out = 120, .no_bias = true }),
                       &info);
    assert_int_equal(info.parameters, 400 * 120);
    assert_int_equal(info.macs, 400 * 120);
    assert_int_equal(info.rank, 2);
    probe_end(&p);
}

/* Flatten keeps the order channel, row, column. */
static void flatten_order(void **state) {
    (void)state;
    float x[24];
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    probe p = probe_start(1, 1, 2, 3, 4);
    lens_node *f = lens_flatten(p.x, "f");
    probe_finish(&p, lens_relu(lens_reshape(f, "r", 4, 3, 2), NULL));
    const float *y = probe_run(&p, x);
    assert_int_equal(p.y.rank, 4);
    assert_int_equal(p.y.dim[1], 4);
    expect_equal(y, x, 24, 0);
    lens_tensor view;
    assert_ok(p.ctx, lens_peek(p.session, f, LENS_VALUE, &view));
    assert_int_equal(view.rank, 2);
    assert_int_equal(view.dim[1], 24);
    for (int c = 0; c < 2; c++)
        for (int r = 0; r < 3; r++)
            for (int k = 0; k < 4; k++)
                assert_true(view.data[(c * 3 + r) * 4 + k] == x[c * 12 + r * 4 + k]);
    probe_end(&p);
}

/* ---- an edge, found and learnt -------------------------------------------------------------- */

#define EDGES "1 1 0 0 0 0 1 1"

static probe edge_probe(void) {
    probe p = probe_start(1, 1, 1, 6, 8);
    probe_finish(
        &p,
        lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 1, .kernel = { 1, 2 }, .no_bias = true }));
    return p;
}

static void edges(float x[48]) {
    for (int r = 0; r < 6; r++) numbers(EDGES, x + 8 * r, 8);
}

static void edge(void **state) {
    (void)state;
    float x[48], turned[48];
    edges(x);
    probe p = edge_probe();
    probe_set(&p, "c.weight", "1 -1");
    const float *y = probe_run(&p, x);
    for (int r = 0; r < 6; r++) expect_numbers(y + 7 * r, "0 1 0 0 0 -1 0", 0);
    probe_end(&p);
    for (int i = 0; i < 48; i++) turned[i % 8 * 6 + i / 8] = x[i];
    probe q = probe_start(1, 1, 1, 8, 6);
    probe_finish(
        &q,
        lens_conv2d(q.x, "c", (lens_conv2d_opts){ .out = 1, .kernel = { 1, 2 }, .no_bias = true }));
    probe_set(&q, "c.weight", "1 -1");
    const float *z = probe_run(&q, turned);
    for (size_t i = 0; i < probe_y_count(&q); i++) assert_true(z[i] == 0);
    probe_end(&q);
}

/* Ten steps of gradient descent on the sum of squares, rate 0.03, from 0. */
static void learn_edge(void **state) {
    (void)state;
    static const double want[] = { 12,      4.9152,  2.013266, .824634, .33777,
                                   .138351, .056668, .023211,  .009507, .003894 };
    float x[48], t[42], dy[42], w[2] = { 0, 0 };
    edges(x);
    for (int r = 0; r < 6; r++) numbers("0 1 0 0 0 -1 0", t + 7 * r, 7);
    probe p = edge_probe();
    for (int step = 0; step < 10; step++) {
        double loss = 0;
        probe_set_floats(&p, "c.weight", w);
        const float *y = probe_run(&p, x);
        for (int i = 0; i < 42; i++) {
            loss += (double)(y[i] - t[i]) * (double)(y[i] - t[i]);
            dy[i] = 2 * (y[i] - t[i]);
        }
        assert_near(loss, want[step], step ? 2e-6 : 0);
        probe_back(&p, dy);
        const float *dw = probe_grad(&p, "c.weight");
        for (int k = 0; k < 2; k++) w[k] -= 0.03f * dw[k];
    }
    assert_near(w[0], 0.9884707850, 1e-6);
    assert_near(w[1], -0.9884707850, 1e-6);
    probe_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[F1][F2] fourth-order weights, both index forms", fourth_order),
        T("[F3] tied weights: a convolution", invariant),
        T("[F4] local: 9 and 25 weights and a bias", local),
        T("[F5] channels", channels),
        T("[H1][Q10] a kernel as large as the picture is dense", covers_picture),
        T("[H2] every input to every output", counts),
        T("[H1] flatten keeps channel, row, column", flatten_order),
        T("[F9][V3] edges of the black and white picture", edge),
        T("[F8][V15] the edge kernel is learnt", learn_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
