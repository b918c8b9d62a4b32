/* test_op_act.c - activations, softmax, radial basis outputs, batch norm, dropout, add and concat.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op.h"
#include "support/check.h"
#include "test.h"

typedef lens_node *builder(lens_node *, const char *);

static lens_node *leaky(lens_node *x, const char *name) { return lens_leaky_relu(x, name, 0); }

static probe row_probe(builder *build, int count) {
    probe p = probe_start(1, 1, 1, 1, count);
    probe_finish(&p, build(p.x, "a"));
    return p;
}

/* ---- activations ---------------------------------------------------------------------------- */

static void relu(void **state) {
    (void)state;
    probe p = row_probe(lens_relu, 5);
    expect_numbers(probe_run_text(&p, "-2 -.5 0 .5 2"), "0 0 0 .5 2", 0);
    expect_numbers(probe_back_text(&p, "1 2 3 4 5"), "0 0 0 4 5", 0);
    probe_end(&p);
    probe q = row_probe(leaky, 5);
    expect_numbers(probe_run_text(&q, "-2 -.5 0 .5 2"), "-.02 -.005 0 .5 2", 1e-9);
    expect_numbers(probe_back_text(&q, "100 200 300 4 5"), "1 2 3 4 5", 1e-6);
    probe_end(&q);
}

static void sigmoids(void **state) {
    (void)state;
    probe t = row_probe(lens_tanh, 2), s = row_probe(lens_sigmoid, 2),
          f = row_probe(lens_scaled_tanh, 2);
    expect_numbers(probe_run_text(&t, "1 -1"), ".7615941560 -.7615941560", 2e-7);
    expect_numbers(probe_run_text(&s, "1 -1"), ".7310585786 .2689414214", 2e-7);
    expect_numbers(probe_run_text(&f, "1 2"), ".9999972559 1.4929388054", 4e-7);
    /* Far out they are flat, not undefined. */
    expect_numbers(probe_run_text(&t, "100 -1e30"), "1 -1", 1e-6);
    expect_numbers(probe_back_text(&t, "1 1"), "0 0", 1e-6);
    expect_numbers(probe_run_text(&s, "100 -1e30"), "1 0", 1e-6);
    expect_numbers(probe_run_text(&f, "100 -1e30"), "1.7159 -1.7159", 1e-6);
    probe_end(&t), probe_end(&s), probe_end(&f);
}

static probe conv_relu(bool activation) {
    probe p = probe_start(1, 2, 3, 9, 8);
    lens_node *x = lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 5, .kernel = { 3 }, .pad = 1 });
    probe_finish(&p, activation ? lens_relu(x, NULL) : x);
    probe_random(&p, 1);
    return p;
}

/* Element by element, and fused or not the same bits: an inference session without watch may fuse. */
static void fused(void **state) {
    (void)state;
    enum { X = 2 * 3 * 72, Y = 2 * 5 * 72 };
    float x[X], want[Y];
    random_floats(x, X, 2);
    probe plain = conv_relu(false), both = conv_relu(true);
    const float *y = probe_infer(&plain, x);
    float least = 0;
    for (int i = 0; i < Y; i++) {
        want[i] = y[i] > 0 ? y[i] : 0;
        least = fminf(least, y[i]);
    }
    assert_true(least < 0);
    const float *watched = probe_infer(&both, x);
    assert_memory_equal(watched, want, sizeof want);
    float smallest = 1;
    for (int i = 0; i < Y; i++) smallest = fminf(smallest, watched[i]);
    assert_true(smallest == 0);

    lens_session *bare;
    lens_tensor in = { x, 4, { 2, 3, 9, 8 } }, out;
    assert_ok(both.ctx,
              lens_session_new(&bare, both.net, both.ctx, &(lens_session_opts){ .batch = 2 }));
    assert_ok(both.ctx, lens_run(bare, &in, &out));
    assert_memory_equal(out.data, want, sizeof want);
    lens_session_free(bare);
    probe_end(&plain), probe_end(&both);
}

/* Every activation behind every operator that may fuse it: the same bits as unfused. */
static void fused_all(void **state) {
    (void)state;
    builder *const act[] = { lens_relu, leaky, lens_tanh, lens_scaled_tanh, lens_sigmoid };
    enum { X = 2 * 4 * 36 };
    float x[X];
    random_floats(x, X, 3);
    for (int kind = 0; kind < 5; kind++)
        for (size_t a = 0; a < LENS_COUNT(act); a++) {
            probe p = probe_start(1, 2, 4, 6, 6);
            lens_node *n = NULL;
            if (kind == 0)
                n = lens_conv2d(p.x, "n", (lens_conv2d_opts){ .out = 3, .kernel = { 3 } });
            if (kind == 1) n = lens_dense(p.x, "n", (lens_dense_opts){ .out = 7 });
            if (kind == 2) n = lens_subsample(p.x, "n", (lens_pool_opts){ .kernel = { 2 } });
            if (kind == 3) n = lens_batchnorm(p.x, "n", (lens_batchnorm_opts){ 0 });
            if (kind == 4) n = lens_add(p.x, lens_tanh(p.x, NULL), "n");
            probe_finish(&p, act[a](n, "a"));
            probe_random(&p, 4);
            lens_session *bare;
            lens_tensor in = { x, 4, { 2, 4, 6, 6 } }, out;
            assert_ok(p.ctx,
                      lens_session_new(&bare, p.net, p.ctx, &(lens_session_opts){ .batch = 2 }));
            assert_ok(p.ctx, lens_run(bare, &in, &out));
            const float *y = probe_infer(&p, x);
            assert_memory_equal(out.data, y, probe_y_count(&p) * sizeof *y);
            lens_session_free(bare);
            probe_end(&p);
        }
}

/* ---- softmax -------------------------------------------------------------------------------- */

static void expect_softmax(const char *x, int count, const char *want) {
    probe p = probe_start(1, 1, count, 1, 1);
    probe_finish(&p, lens_softmax(lens_flatten(p.x, NULL), NULL));
    const float *y = probe_run_text(&p, x);
    double sum = 0;
    for (int i = 0; i < count; i++) sum += (double)y[i];
    assert_near(sum, 1, 1e-6);
    expect_numbers(y, want, 2e-7);
    probe_end(&p);
}

static void softmax(void **state) {
    (void)state;
    expect_softmax("1 2 3 4", 4, ".0320586 .0871443 .2368828 .6439143");
    expect_softmax("1000 1001 1002", 3, ".0900306 .2447285 .6652410");
    expect_softmax("-1 0 -3", 3, ".2594965 .7053845 .0351190");
    expect_softmax("-1e30 0 1e30", 3, "0 0 1");
    /* Of a picture: at every position over the channels. */
    probe p = probe_start(1, 1, 3, 1, 2);
    probe_finish(&p, lens_softmax(p.x, NULL));
    expect_numbers(probe_run_text(&p, "1000 -1/1001 0/1002 -3"),
                   ".0900306 .2594965/.2447285 .7053845/.6652410 .0351190", 2e-7);
    probe_end(&p);
}

/* ---- batch norm ----------------------------------------------------------------------------- */

static void expect_norm(probe p, lens_node *x, float eps, const char *want) {
    probe_finish(&p, lens_batchnorm(x, "b", (lens_batchnorm_opts){ .eps = eps }));
    probe_set(&p, "b.weight", "1");
    expect_numbers(probe_run_text(&p, "1 2 3 4"), want, 3e-7);
    expect_numbers(probe_param(&p, "b.running_mean").value.data, ".25", 1e-7);
    expect_numbers(probe_param(&p, "b.running_var").value.data, "1.0666667", 1e-6);
    probe_end(&p);
}

static void batchnorm(void **state) {
    (void)state;
    static const char plain[] = "-1.3416408 -.4472136 .4472136 1.3416408";
    static const char usual[] = "-1.3416354 -.4472118 .4472118 1.3416354";
    for (int form = 0; form < 3; form++)
        for (int eps = 0; eps < 2; eps++) {
            probe p = form == 0   ? probe_start(1, 4, 1, 1, 1)
                      : form == 1 ? probe_start(1, 1, 1, 2, 2)
                                  : probe_start_sequence(1, 2, 1, 2);
            lens_node *x = form == 0 ? lens_flatten(p.x, NULL) : p.x;
            expect_norm(p, x, eps ? 0 : 1e-30f, eps ? usual : plain);
        }
}

/* Inference uses the running values; so y does not depend on the rest of the batch. */
static void batchnorm_runs(void **state) {
    (void)state;
    probe p = probe_start(1, 2, 1, 1, 2);
    probe_finish(&p, lens_batchnorm(p.x, "b", (lens_batchnorm_opts){ .eps = 1 }));
    probe_set(&p, "b.weight", "2"), probe_set(&p, "b.bias", "1");
    probe_set(&p, "b.running_mean", "10"), probe_set(&p, "b.running_var", "3");
    float x[] = { 10, 12, 14, 6 };
    expect_numbers(probe_infer(&p, x), "1 3 5 -3", 1e-6);
    expect_numbers(probe_param(&p, "b.running_mean").value.data, "10", 0);
    probe_end(&p);
}

/* A mean eight million times the deviation must not drown it: the squares do not fit a double's 53 bits. */
static void batchnorm_large_mean(void **state) {
    (void)state;
    enum { COUNT = 4096 };
    static float x[COUNT];
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        int d = i % 3 - 1;
        x[i] = 8388608 + (float)d;
        sum += d, squares += d * d;
    }
    double var = (squares - sum * sum / COUNT) / (COUNT - 1);
    probe p = probe_start(1, 4, 1, 32, 32);
    probe_finish(&p, lens_batchnorm(p.x, "b", (lens_batchnorm_opts){ .momentum = 1 }));
    probe_set(&p, "b.weight", "1");
    probe_run(&p, x);
    assert_near(probe_param(&p, "b.running_var").value.data[0], var, 1e-6);
    assert_true(probe_param(&p, "b.running_mean").value.data[0] == 8388608);
    probe_end(&p);
}

/* ---- dropout -------------------------------------------------------------------------------- */

enum { DRAWS = 100000 };

static void dropout(void **state) {
    (void)state;
    static float x[DRAWS], dy[DRAWS];
    static const float rates[] = { 0.1f, 0.5f, 0.8f };
    for (int i = 0; i < DRAWS; i++) x[i] = 1, dy[i] = 2;
    for (size_t k = 0; k < LENS_COUNT(rates); k++) {
        probe p = probe_start(1, 1, 10, 100, 100);
        probe_finish(&p, lens_dropout(p.x, "d", rates[k]));
        const float *y = probe_run(&p, x), kept = 1 / (1 - rates[k]);
        double sum = 0;
        for (int i = 0; i < DRAWS; i++) {
            assert_true(y[i] == 0 || fabsf(y[i] - kept) < 1e-5f);
            sum += (double)y[i];
        }
        /* The deviation of the mean is sqrt(rate/(1-rate)/DRAWS): 0.0063 at 0.8. */
        assert_near(sum / DRAWS, 1, rates[k] > 0.7f ? 0.02 : 0.01);
        const float *dx = probe_back(&p, dy);
        lens_tensor value;
        assert_ok(p.ctx, lens_peek(p.session, lens_net_output(p.net), LENS_VALUE, &value));
        for (int i = 0; i < DRAWS; i++) assert_true(dx[i] == 2 * value.data[i]);
        expect_equal(probe_infer(&p, x), x, DRAWS, 0);
        probe_end(&p);
    }
}

/* Training passes x and dy on, in place or not. */
static void dropout_frozen(void **state) {
    (void)state;
    enum { N = 2, C = 3, H = 5, W = 7, COUNT = N * C * H * W };
    float x[COUNT], dy[COUNT];
    random_floats(x, COUNT, 1);
    random_floats(dy, COUNT, 2);
    for (int in_place = 0; in_place < 2; in_place++) {
        probe p = probe_start(2, N, C, H, W);
        lens_node *drop = lens_dropout(in_place ? lens_add(p.x, p.x, NULL) : p.x, "d", 0.5f);
        lens_node_freeze(drop, true);
        probe_finish(&p, drop);
        const float *y = probe_run(&p, x), factor = in_place ? 2 : 1;
        for (int i = 0; i < COUNT; i++) assert_near(y[i], factor * x[i], 0);
        const float *dx = probe_back(&p, dy);
        for (int i = 0; i < COUNT; i++) assert_near(dx[i], factor * dy[i], 0);
        probe_end(&p);
    }
}

static void run_dropout(int threads, uint64_t seed, uint32_t step, int before, float *y) {
    static float x[DRAWS];
    for (int i = 0; i < DRAWS; i++) x[i] = 1;
    lens_ctx *ctx = test_ctx(threads);
    lens_net *net = lens_net_new(ctx, "n");
    lens_node *node = lens_input(net, "x", 10, 100, 100);
    for (int i = 0; i < before; i++) node = lens_relu(node, NULL);
    assert_ok(ctx, lens_net_finish(net, lens_dropout(node, NULL, 0.5f)));
    lens_session *s;
    lens_tensor in = { x, 4, { 1, 10, 100, 100 } }, out;
    assert_ok(ctx,
              lens_session_new(&s, net, ctx, &(lens_session_opts){ .train = true, .seed = seed }));
    assert_ok(ctx, lens_forward(s, &in, step, &out));
    memcpy(y, out.data, sizeof x);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* The draw depends on seed, step and layer; on threads it does not. */
static void dropout_keys(void **state) {
    (void)state;
    static float first[DRAWS], other[DRAWS];
    run_dropout(1, 7, 3, 0, first);
    run_dropout(3, 7, 3, 0, other);
    assert_memory_equal(first, other, sizeof first);
    for (int k = 0; k < 3; k++) {
        int same = 0;
        run_dropout(1, k == 0 ? 8 : 7, k == 1 ? 4 : 3, k == 2, other);
        for (int i = 0; i < DRAWS; i++) same += first[i] == other[i];
        assert_in_range(same, DRAWS / 2 - 1000, DRAWS / 2 + 1000);
    }
}

/* ---- several inputs ------------------------------------------------------------------------- */

/* relu(x) + tanh(x), and x + x: gradients of both branches add up. */
static void add(void **state) {
    (void)state;
    float x[30], dy[30];
    random_floats(x, 30, 1), random_floats(dy, 30, 2);
    probe p = probe_start(1, 2, 3, 1, 5);
    lens_node *a = lens_relu(p.x, "a"), *b = lens_tanh(p.x, "b");
    probe_finish(&p, lens_add(a, b, "sum"));
    const float *y = probe_run(&p, x);
    for (int i = 0; i < 30; i++)
        assert_near(y[i], fmax((double)x[i], 0) + tanh((double)x[i]), 1e-6);
    const float *dx = probe_back(&p, dy);
    for (int i = 0; i < 30; i++) {
        double slope = (x[i] > 0) + 1 - pow(tanh((double)x[i]), 2);
        assert_near(dx[i], (double)dy[i] * slope, 1e-6);
    }
    probe_end(&p);
    probe q = probe_start(1, 2, 3, 1, 5);
    probe_finish(&q, lens_add(q.x, q.x, NULL));
    y = probe_run(&q, x);
    for (int i = 0; i < 30; i++) assert_true(y[i] == 2 * x[i]);
    dx = probe_back(&q, dy);
    for (int i = 0; i < 30; i++) assert_true(dx[i] == 2 * dy[i]);
    probe_end(&q);
}

/* Channels of x (2), of its 3 maps, of x again. */
static void concat(void **state) {
    (void)state;
    enum { AREA = 12, MAPS = 7 };
    float x[2 * 2 * AREA], dy[2 * MAPS * AREA];
    random_floats(x, LENS_COUNT(x), 1), random_floats(dy, LENS_COUNT(dy), 2);
    probe p = probe_start(1, 2, 2, 3, 4);
    lens_node *c =
        lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 3, .kernel = { 1 }, .no_bias = true });
    lens_node *in[] = { p.x, c, lens_tanh(p.x, "t") };
    probe_finish(&p, lens_concat(in, 3, "cat"));
    probe_random(&p, 3);
    const float *w = probe_param(&p, "c.weight").value.data, *y = probe_run(&p, x);
    assert_int_equal(p.y.dim[1], MAPS);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < AREA; i++) {
            const float *a = x + n * 2 * AREA + i, *b = y + n * MAPS * AREA + i;
            for (int o = 0; o < 2; o++) {
                assert_true(b[o * AREA] == a[o * AREA]);
                assert_near(b[(5 + o) * AREA], tanh((double)a[o * AREA]), 1e-6);
            }
            for (int o = 0; o < 3; o++)
                assert_near(b[(2 + o) * AREA], w[2 * o] * a[0] + w[2 * o + 1] * a[AREA], 1e-6);
        }
    const float *dx = probe_back(&p, dy);
    for (int n = 0; n < 2; n++)
        for (int c0 = 0; c0 < 2; c0++)
            for (int i = 0; i < AREA; i++) {
                const float *d = dy + n * MAPS * AREA + i;
                double value = (double)x[(n * 2 + c0) * AREA + i];
                double want = (double)d[c0 * AREA] +
                              (double)d[(5 + c0) * AREA] * (1 - tanh(value) * tanh(value));
                for (int o = 0; o < 3; o++)
                    want += (double)d[(2 + o) * AREA] * (double)w[2 * o + c0];
                assert_near(dx[(n * 2 + c0) * AREA + i], want, 2e-6);
            }
    probe_end(&p);
}

/* ---- radial basis ---------------------------------------------------------------------------- */

static void rbf_codes(void **state) {
    (void)state;
    lens_node_info info;
    probe p = probe_start(1, 10, 84, 1, 1);
    lens_node *r =
        lens_rbf(lens_flatten(p.x, NULL), "r", (lens_rbf_opts){ .out = 10, .codes = "lenet5" });
    assert_non_null(r);
    lens_node_info_get(r, &info);
    assert_int_equal(info.parameters, 0);
    assert_int_equal(info.connections, 840);
    probe_finish(&p, r);
    lens_param w = probe_param(&p, "r.weight");
    assert_false(w.trainable);
    for (int i = 0; i < 840; i++) assert_true(fabsf(w.value.data[i]) == 1);
    /* Shown its own code, a class wins with distance 0, the others by 4 for each cell that differs. */
    const float *y = probe_run(&p, w.value.data);
    for (int n = 0; n < 10; n++)
        for (int k = 0; k < 10; k++) {
            int differ = 0;
            for (int j = 0; j < 84; j++)
                differ += w.value.data[n * 84 + j] != w.value.data[k * 84 + j];
            assert_true(y[n * 10 + k] == (float)(-4 * differ));
            if (n != k) assert_true(differ >= 8);
        }
    probe_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[G1][V19] ReLU and leaky ReLU", relu),
        T("[G4][V19] tanh, sigmoid, 1.7159 tanh(2x/3)", sigmoids),
        T("[G2][G3] ReLU fused or separate: same bits; least value 0", fused),
        T("[G2] every fused activation: same bits", fused_all),
        T("[H4][V16] softmax", softmax),
        T("[J20][V26] batch norm in one, two and no dimensions", batchnorm),
        T("[J20] batch norm in inference", batchnorm_runs),
        T("[J20] batch norm of a large mean", batchnorm_large_mean),
        T("[J19] dropout keeps the mean; backward uses the same draw", dropout),
        T("dropout, frozen, passes on", dropout_frozen),
        T("[J19] dropout depends on seed, step and layer, not on threads", dropout_keys),
        T("[I15] add", add),
        T("[I15] concat", concat),
        T("[M2] radial basis outputs with the codes of the digits", rbf_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
