/* test_train_init.c - initialisers: ranges, moments, streams; nothing depends on threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/train.h>

/* conv1: fan-in 3*5*5 = 75, fan-out 40*25 = 1000; fc: 40*4*4 = 640 in, 50 out, 32,000 weights. */
static lens_net *make_net(lens_ctx *ctx) {
    lens_net *net = lens_net_new(ctx, "init");
    lens_node *x = lens_input(net, "data", 3, 8, 8);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 40, .kernel = { 5 } });
    x = lens_batchnorm(x, "bn", (lens_batchnorm_opts){ 0 });
    x = lens_dense(lens_relu(x, NULL), "fc", (lens_dense_opts){ .out = 50 });
    assert_ok(ctx, lens_net_finish(net, x));
    return net;
}

static lens_tensor param(lens_net *net, const char *name) {
    lens_param p;
    assert_int_equal(lens_net_param_named(net, name, &p), LENS_OK);
    return p.value;
}

typedef struct moments {
    double mean, deviation, largest;
    size_t count;
} moments;

static moments measure(lens_net *net, const char *name) {
    lens_tensor t = param(net, name);
    moments m = { .count = (size_t)lens_tensor_count(&t) };
    double squares = 0;
    for (size_t i = 0; i < m.count; i++) {
        double x = (double)t.data[i];
        m.mean += x / (double)m.count;
        squares += x * x;
        if (fabs(x) > m.largest) m.largest = fabs(x);
    }
    m.deviation = sqrt(squares / (double)m.count - m.mean * m.mean);
    return m;
}

/* Five standard errors of mean and deviation: a right generator fails once in a million seeds, and the
 * seed is fixed. The standard error of the deviation is at most sigma/sqrt(2n) for all these shapes. */
static void check(lens_net *net, const char *name, double deviation, double most) {
    moments m = measure(net, name);
    double n = (double)m.count;
    assert_near(m.mean, 0, 5 * deviation / sqrt(n));
    assert_near(m.deviation, deviation, 5 * deviation / sqrt(2 * n));
    assert_true(m.largest <= most * (1 + 1e-6));
    assert_true(m.largest > 1.5 * deviation);
}

static void moments_of_every_scheme(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = make_net(ctx);
    const double inf = INFINITY, third = sqrt(3);
    const struct {
        const char *scheme, *name;
        double deviation, most;
    } rows[] = {
        { "he", "conv1.weight", sqrt(2.0 / 75), inf },
        { "he", "fc.weight", sqrt(2.0 / 640), inf },
        { "he-uniform", "conv1.weight", sqrt(6.0 / 75) / third, sqrt(6.0 / 75) },
        { "xavier", "conv1.weight", sqrt(6.0 / 1075) / third, sqrt(6.0 / 1075) },
        { "xavier", "fc.weight", sqrt(6.0 / 690) / third, sqrt(6.0 / 690) },
        { "xavier-normal", "fc.weight", sqrt(2.0 / 690), inf },
        { "lecun", "conv1.weight", 2.4 / 75 / third, 2.4 / 75 },
        { "lecun", "fc.weight", 2.4 / 640 / third, 2.4 / 640 },
        { "torch", "fc.weight", 1 / sqrt(640) / third, 1 / sqrt(640) },
        { "torch", "fc.bias", 1 / sqrt(640) / third, 1 / sqrt(640) },
        { "normal:0.01", "fc.weight", 0.01, inf },
        { "uniform:0.05", "fc.weight", 0.05 / third, 0.05 },
        /* N(0,1) cut at 2: variance 1 - 2*2*phi(2)/(2*Phi(2)-1) = 0.77374, deviation 0.87963 */
        { "truncated:0.1", "fc.weight", 0.087963, 0.2 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ok(ctx, lens_init(net, rows[i].scheme, 11));
        check(net, rows[i].name, rows[i].deviation, rows[i].most);
    }
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void all_equal(lens_net *net, const char *name, float value) {
    lens_tensor t = param(net, name);
    for (int64_t i = 0; i < lens_tensor_count(&t); i++)
        assert_true(memcmp(&t.data[i], &value, sizeof value) == 0);
}

static void vectors_and_constants(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = make_net(ctx);
    assert_ok(ctx, lens_init(net, "torch", 3));
    param(net, "bn.running_mean").data[0] = 5;
    param(net, "bn.weight").data[0] = 5;
    assert_ok(ctx, lens_init(net, NULL, 3));
    all_equal(net, "conv1.bias", 0);
    all_equal(net, "fc.bias", 0);
    all_equal(net, "bn.weight", 1);
    all_equal(net, "bn.bias", 0);
    all_equal(net, "bn.running_mean", 0);
    all_equal(net, "bn.running_var", 1);
    assert_ok(ctx, lens_init(net, "constant:-0.5", 3));
    all_equal(net, "conv1.weight", -0.5f);
    all_equal(net, "fc.bias", 0);
    assert_ok(ctx, lens_init(net, "zero", 3));
    all_equal(net, "fc.weight", 0);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Same seed, same bits, for any number of threads; another seed or another name, other numbers. */
static void same_seed_same_weights(void **state) {
    (void)state;
    const int threads[] = { 1, 2, 3, 8 };
    static const char *const schemes[] = { "he", "xavier", "truncated:0.02" };
    for (size_t s = 0; s < 3; s++) {
        char first[33], hash[33];
        for (size_t t = 0; t < 4; t++) {
            lens_ctx *ctx = test_ctx(threads[t]);
            lens_net *net = make_net(ctx);
            assert_ok(ctx, lens_init(net, schemes[s], 5));
            lens_net_hash(net, t ? hash : first);
            if (t) assert_string_equal(hash, first);
            assert_ok(ctx, lens_init(net, schemes[s], 6));
            lens_net_hash(net, hash);
            assert_string_not_equal(hash, first);
            lens_net_free(net);
            lens_ctx_free(ctx);
        }
    }
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = make_net(ctx);
    assert_ok(ctx, lens_init(net, "normal:1", 5));
    const float *fc = param(net, "fc.weight").data;
    assert_memory_not_equal(fc, param(net, "conv1.weight").data, 64);
    for (int i = 16; i + 16 < 32000; i++) assert_memory_not_equal(fc, fc + i, 64);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Absent connections of a table have no weight, and fixed codes are no weights. */
static void absent_and_fixed_stay(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "table");
    lens_node *x = lens_input(net, "data", 2, 3, 3);
    x = lens_conv2d(x, "c3", (lens_conv2d_opts){ .out = 84, .kernel = { 3 } });
    x = lens_rbf(lens_flatten(x, NULL), "rbf", (lens_rbf_opts){ .out = 10, .codes = "lenet5" });
    assert_ok(ctx, lens_net_finish(net, x));
    lens_tensor codes = param(net, "rbf.weight");
    float kept[840];
    memcpy(kept, codes.data, sizeof kept);
    assert_ok(ctx, lens_init(net, "torch", 4));
    assert_memory_equal(kept, codes.data, sizeof kept);
    lens_net_free(net);

    net = lens_net_new(ctx, "table");
    x = lens_input(net, "data", 2, 3, 3);
    x = lens_conv2d(x, "c3", (lens_conv2d_opts){ .out = 2, .kernel = { 3 }, .table = "0;0 1" });
    assert_ok(ctx, lens_net_finish(net, x));
    assert_ok(ctx, lens_init(net, "normal:1", 4));
    const float *w = param(net, "c3.weight").data;
    for (int i = 0; i < 36; i++) assert_true((w[i] == 0) == (i >= 9 && i < 18));
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void mistakes_are_named(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = make_net(ctx);
    assert_fails(ctx, LENS_NOT_FOUND, "did you mean \"xavier\"", lens_init(net, "xaviar", 1));
    assert_fails(ctx, LENS_NOT_FOUND, "there are he", lens_init(net, "", 1));
    static const char *const bad[] = { "normal",   "normal:",     "normal:-1", "uniform:0", "he:2",
                                       "constant", "truncated:x", "zero:1",    "normal:nan" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(ctx, LENS_BAD_ARG, "the form is", lens_init(net, bad[i], 1));
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("[J1] moments and ranges of every initialiser", moments_of_every_scheme),
    T("init: vectors start where they must, constants are exact", vectors_and_constants),
    T("[J1] same seed, identical weights, for 1, 2, 3, 8 threads", same_seed_same_weights),
    T("init: absent connections and fixed codes stay", absent_and_fixed_stay),
    T("init: mistakes are named", mistakes_are_named),
};

TEST_MAIN(tests)
