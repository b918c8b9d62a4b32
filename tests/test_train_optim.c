/* test_train_optim.c - optimisers against the formulas in double; freezing, clipping, threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/base.h"
#include "base/rng.h"
#include <lenslet/train.h>

enum { BATCH = 6, MAX_PARAMS = 8, MAX_COUNT = 50000 };

typedef struct bench {
    lens_ctx *ctx;
    lens_net *net;
    lens_session *session;
    lens_node *conv;
} bench;

/* x (1,6,6) - 3 maps 3x3 - ReLU - `out` features. */
static bench open_bench(int threads, int out) {
    bench b = { .ctx = test_ctx(threads) };
    b.net = lens_net_new(b.ctx, "small");
    lens_node *x = lens_input(b.net, "data", 1, 6, 6);
    x = b.conv = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 3, .kernel = { 3 } });
    x = lens_dense(lens_relu(x, NULL), "fc", (lens_dense_opts){ .out = out });
    assert_ok(b.ctx, lens_net_finish(b.net, x));
    assert_ok(b.ctx, lens_init(b.net, "he", 1));
    assert_ok(b.ctx, lens_session_new(&b.session, b.net, b.ctx,
                                      &(lens_session_opts){ .batch = BATCH, .train = true }));
    return b;
}

static void close_bench(bench *b) {
    lens_session_free(b->session);
    lens_net_free(b->net);
    lens_ctx_free(b->ctx);
}

/* Gradients from made-up pictures and labels numbered by `step`; all: n = BATCH, else sample `only`. */
static void backward(bench *b, int step, int only) {
    static float x[BATCH * 36], dy[BATCH * 4096];
    int32_t label[BATCH];
    rng r = rng_start(9, RNG_TEST, (uint32_t)step, 0);
    for (int i = 0; i < BATCH * 36; i++) x[i] = rng_normal(&r);
    lens_node_info out;
    lens_node_info_get(lens_net_output(b->net), &out);
    for (int i = 0; i < BATCH; i++) label[i] = (int32_t)rng_below(&r, (uint32_t)out.c);
    int n = only < 0 ? BATCH : 1, first = only < 0 ? 0 : only;
    lens_tensor input = { x + first * 36, 4, { n, 1, 6, 6 } }, y;
    assert_ok(b->ctx, lens_forward(b->session, &input, 0, &y));
    lens_tensor d = y;
    d.data = dy;
    assert_ok(b->ctx, lens_loss_eval(b->ctx, &(lens_loss){ 0 }, &y, label + first, NULL, NULL, &d));
    assert_ok(b->ctx, lens_backward(b->session, &d));
}

static lens_param param(bench *b, int i) {
    lens_param p;
    assert_ok(b->ctx, lens_net_param(b->net, i, &p));
    return p;
}

static const float *gradient(bench *b, int i) {
    lens_tensor g;
    assert_ok(b->ctx, lens_grad(b->session, i, &g));
    return g.data;
}

/* The momentum trace of the specification: w = 1, loss w^2/2, rate .1, momentum .9. */
static void momentum_trace(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "one");
    lens_node *x = lens_input(net, "data", 1, 1, 1);
    assert_ok(ctx, lens_net_finish(
                       net, lens_dense(x, "fc", (lens_dense_opts){ .out = 1, .no_bias = true })));
    lens_session *s;
    lens_optim *o;
    assert_ok(ctx, lens_session_new(&s, net, ctx, &(lens_session_opts){ .train = true }));
    assert_ok(ctx, lens_optim_new(&o, net, &(lens_optim_opts){ .name = "sgd", .momentum = 0.9 }));
    lens_param w;
    assert_ok(ctx, lens_net_param(net, 0, &w));
    w.value.data[0] = 1;
    lens_net_touched(net);
    float one = 1;
    lens_tensor input = { &one, 4, { 1, 1, 1, 1 } }, y;
    const double trace[] = { .9, .72, .486 };
    for (int i = 0; i < 3; i++) {
        float error;
        assert_ok(ctx, lens_forward(s, &input, 0, &y));
        error = y.data[0]; /* d(y^2/2)/dy */
        lens_tensor dy = { &error, 2, { 1, 1 } };
        assert_ok(ctx, lens_backward(s, &dy));
        assert_ok(ctx, lens_optim_step(o, s, 0.1));
        assert_near((double)w.value.data[0], trace[i], 1e-7);
    }
    lens_optim_free(o);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

typedef struct oracle {
    double w[MAX_COUNT], m[MAX_COUNT], v[MAX_COUNT];
} oracle;

/* One step of element i in double, from the formulas as PyTorch documents them. */
static void oracle_step(oracle *o, int i, double g, const lens_optim_opts *p, double rate, int t) {
    double *w = &o->w[i], *m = &o->m[i], *v = &o->v[i];
    if (strcmp(p->name, "adamw") == 0)
        *w -= rate * p->weight_decay * *w;
    else
        g += p->weight_decay * *w;
    if (strcmp(p->name, "sgd") == 0) {
        *m = p->momentum * *m + g;
        *w -= rate * *m;
    } else if (strcmp(p->name, "nesterov") == 0) {
        double mu = p->momentum ? p->momentum : 0.9;
        *m = mu * *m + g;
        *w -= rate * (g + mu * *m);
    } else if (strcmp(p->name, "adagrad") == 0) {
        *v += g * g;
        *w -= rate * g / (sqrt(*v) + 1e-10);
    } else if (strcmp(p->name, "adadelta") == 0) {
        *v = 0.9 * *v + 0.1 * g * g;
        double d = sqrt(*m + 1e-6) / sqrt(*v + 1e-6) * g;
        *m = 0.9 * *m + 0.1 * d * d;
        *w -= rate * d;
    } else if (strcmp(p->name, "rmsprop") == 0) {
        *v = 0.99 * *v + 0.01 * g * g;
        double d = g / (sqrt(*v) + 1e-8);
        *m = p->momentum * *m + d;
        *w -= rate * (p->momentum > 0 ? *m : d);
    } else { /* adam, adamw */
        double b1 = p->b1 ? p->b1 : 0.9, b2 = p->b2 ? p->b2 : 0.999, eps = p->eps ? p->eps : 1e-8;
        *m = b1 * *m + (1 - b1) * g;
        *v = b2 * *v + (1 - b2) * g * g;
        *w -= rate * (*m / (1 - pow(b1, t))) / (sqrt(*v / (1 - pow(b2, t))) + eps);
    }
}

/* 30 steps; the oracle is fed the engine's gradients and follows from the same start. Rounding: some
 * ten float operations a step, each half an ulp of w or of the step. */
static void against_plain_loops(void **state) {
    (void)state;
    static oracle o[MAX_PARAMS];
    const lens_optim_opts rows[] = {
        { .name = "sgd", .rate = 0.05 },
        { .name = "sgd", .rate = 0.05, .momentum = 0.9, .weight_decay = 0.01 },
        { .name = "nesterov", .rate = 0.05 },
        { .name = "nesterov", .rate = 0.02, .momentum = 0.5, .weight_decay = 0.1 },
        { .name = "adagrad", .rate = 0.05, .weight_decay = 0.01 },
        { .name = "adadelta", .rate = 1 },
        { .name = "rmsprop", .rate = 0.01 },
        { .name = "rmsprop", .rate = 0.01, .momentum = 0.8, .weight_decay = 0.01 },
        { .name = "adam", .rate = 0.002, .weight_decay = 0.05 },
        { .name = "adam", .rate = 0.002, .b1 = 0.8, .b2 = 0.95, .eps = 1e-3 },
        { .name = "adamw", .rate = 0.002, .weight_decay = 0.05 },
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        bench b = open_bench(2, 10);
        lens_optim *optim;
        int params = lens_net_params(b.net);
        assert_true(params <= MAX_PARAMS);
        memset(o, 0, sizeof o);
        for (int i = 0; i < params; i++) {
            lens_tensor w = param(&b, i).value;
            for (int k = 0; k < lens_tensor_count(&w); k++) o[i].w[k] = (double)w.data[k];
        }
        assert_ok(b.ctx, lens_optim_new(&optim, b.net, &rows[row]));
        for (int t = 1; t <= 30; t++) {
            double rate = rows[row].rate / t;
            backward(&b, t, -1);
            for (int i = 0; i < params; i++) {
                lens_tensor w = param(&b, i).value;
                for (int k = 0; k < lens_tensor_count(&w); k++)
                    oracle_step(&o[i], k, (double)gradient(&b, i)[k], &rows[row], rate, t);
            }
            assert_ok(b.ctx, lens_optim_step(optim, b.session, rate));
        }
        for (int i = 0; i < params; i++) {
            lens_tensor w = param(&b, i).value;
            for (int k = 0; k < lens_tensor_count(&w); k++)
                assert_near((double)w.data[k], o[i].w[k], 2e-6 + 2e-5 * fabs(o[i].w[k]));
        }
        lens_optim_free(optim);
        close_bench(&b);
    }
}

/* w' = w - rate*g, rounded once or twice (a fused multiply-add rounds once). */
static void plain_step_is_exact(void **state) {
    (void)state;
    static float before[MAX_PARAMS][MAX_COUNT];
    bench b = open_bench(2, 10);
    lens_optim *optim;
    const float rate = 0.125f;
    assert_ok(b.ctx, lens_optim_new(&optim, b.net, NULL));
    backward(&b, 0, -1);
    for (int i = 0; i < lens_net_params(b.net); i++) {
        lens_tensor w = param(&b, i).value;
        memcpy(before[i], w.data, (size_t)lens_tensor_count(&w) * sizeof(float));
    }
    assert_ok(b.ctx, lens_optim_step(optim, b.session, (double)rate));
    for (int i = 0; i < lens_net_params(b.net); i++) {
        lens_tensor w = param(&b, i).value;
        for (int k = 0; k < lens_tensor_count(&w); k++) {
            float g = gradient(&b, i)[k], product = rate * g;
            assert_true(w.data[k] == before[i][k] - product ||
                        w.data[k] == fmaf(-rate, g, before[i][k]));
        }
    }
    lens_optim_free(optim);
    close_bench(&b);
}

/* The first step reaches every filter of the first layer. */
static void loss_feeds_back_to_every_filter(void **state) {
    (void)state;
    bench b = open_bench(1, 10);
    backward(&b, 0, -1);
    for (int o = 0; o < 3; o++) {
        float most = 0;
        for (int k = 0; k < 9; k++) most = fmaxf(most, fabsf(gradient(&b, 0)[o * 9 + k]));
        assert_true(most > 0);
    }
    close_bench(&b);
}

/* The gradient of a batch is the mean of its samples' gradients. */
static void batch_gradient_is_the_mean(void **state) {
    (void)state;
    static double mean[MAX_PARAMS][MAX_COUNT];
    bench b = open_bench(2, 10);
    int params = lens_net_params(b.net);
    memset(mean, 0, sizeof mean);
    for (int n = 0; n < BATCH; n++) {
        backward(&b, 0, n);
        for (int i = 0; i < params; i++) {
            lens_tensor w = param(&b, i).value;
            for (int k = 0; k < lens_tensor_count(&w); k++)
                mean[i][k] += (double)gradient(&b, i)[k] / BATCH;
        }
    }
    backward(&b, 0, -1);
    for (int i = 0; i < params; i++) {
        lens_tensor w = param(&b, i).value;
        for (int k = 0; k < lens_tensor_count(&w); k++)
            assert_near((double)gradient(&b, i)[k], mean[i][k], 1e-6 + 1e-5 * fabs(mean[i][k]));
    }
    close_bench(&b);
}

static void same_bits_for_any_threads(void **state) {
    (void)state;
    const int threads[] = { 1, 2, 3, 8 };
    char first[33], hash[33];
    for (size_t t = 0; t < 4; t++) {
        bench b = open_bench(threads[t], 900); /* 43,200 weights: three blocks */
        lens_optim *optim;
        assert_ok(b.ctx, lens_optim_new(&optim, b.net,
                                        &(lens_optim_opts){
                                            .name = "adamw", .weight_decay = .01, .clip = .1 }));
        for (int s = 0; s < 3; s++) {
            backward(&b, s, -1);
            uint64_t before = ctx_alloc_calls(b.ctx);
            assert_ok(b.ctx, lens_optim_step(optim, b.session, 0.01));
            assert_int_equal(ctx_alloc_calls(b.ctx), before);
        }
        lens_net_hash(b.net, t ? hash : first);
        if (t) assert_string_equal(hash, first);
        lens_optim_free(optim);
        close_bench(&b);
    }
}

static void clipping_bounds_the_norm(void **state) {
    (void)state;
    const double clips[] = { 1e-3, 1e9 };
    for (size_t c = 0; c < 2; c++) {
        bench b = open_bench(2, 10);
        lens_optim *optim;
        double norm = 0, moved = 0;
        assert_ok(b.ctx, lens_optim_new(&optim, b.net, &(lens_optim_opts){ .clip = clips[c] }));
        backward(&b, 0, -1);
        for (int i = 0; i < lens_net_params(b.net); i++) {
            lens_tensor w = param(&b, i).value;
            size_t count = (size_t)lens_tensor_count(&w);
            for (size_t k = 0; k < count; k++) norm += pow((double)gradient(&b, i)[k], 2);
            memset(w.data, 0, count * sizeof(float)); /* so that the update is exact */
        }
        norm = sqrt(norm);
        assert_ok(b.ctx, lens_optim_step(optim, b.session, 1));
        for (int i = 0; i < lens_net_params(b.net); i++) {
            lens_tensor w = param(&b, i).value;
            for (int k = 0; k < lens_tensor_count(&w); k++) moved += pow((double)w.data[k], 2);
        }
        double expected = fmin(norm, clips[c]);
        assert_near(sqrt(moved), expected, 1e-6 * expected);
        lens_optim_free(optim);
        close_bench(&b);
    }
}

static void frozen_layers_stay(void **state) {
    (void)state;
    bench b = open_bench(2, 10);
    static float conv[30], fc[480];
    lens_optim *optim;
    lens_node_freeze(b.conv, true);
    assert_ok(b.ctx, lens_optim_new(&optim, b.net,
                                    &(lens_optim_opts){ .name = "adamw", .weight_decay = 0.5 }));
    memcpy(conv, param(&b, 0).value.data, 27 * sizeof(float));
    memcpy(conv + 27, param(&b, 1).value.data, 3 * sizeof(float));
    memcpy(fc, param(&b, 2).value.data, 480 * sizeof(float));
    for (int s = 0; s < 5; s++) {
        backward(&b, s, -1);
        assert_ok(b.ctx, lens_optim_step(optim, b.session, 0.1));
    }
    assert_memory_equal(conv, param(&b, 0).value.data, 27 * sizeof(float));
    assert_memory_equal(conv + 27, param(&b, 1).value.data, 3 * sizeof(float));
    assert_memory_not_equal(fc, param(&b, 2).value.data, 480 * sizeof(float));
    lens_node_freeze(b.conv, false);
    backward(&b, 9, -1);
    assert_ok(b.ctx, lens_optim_step(optim, b.session, 0.1));
    assert_memory_not_equal(conv, param(&b, 0).value.data, 27 * sizeof(float));
    lens_optim_free(optim);
    close_bench(&b);
}

static void what_is_not_finite_stops(void **state) {
    (void)state;
    for (int clip = 0; clip < 2; clip++) {
        bench b = open_bench(2, 10);
        lens_optim *optim;
        char before[33], after[33];
        assert_ok(b.ctx, lens_optim_new(&optim, b.net, &(lens_optim_opts){ .clip = clip }));
        backward(&b, 0, -1);
        lens_net_hash(b.net, before);
        lens_tensor g;
        assert_ok(b.ctx, lens_grad(b.session, 2, &g));
        float kept = g.data[5];
        g.data[5] = clip ? INFINITY : NAN;
        assert_fails(b.ctx, LENS_DIVERGED, "fc.weight", lens_optim_step(optim, b.session, 0.1));
        lens_net_hash(b.net, after);
        assert_string_equal(before, after);
        g.data[5] = kept;
        assert_ok(b.ctx, lens_optim_step(optim, b.session, 0.1));
        if (!clip) {
            g.data[5] = 3e38f;
            assert_fails(b.ctx, LENS_DIVERGED, "fc.weight is not finite after the update",
                         lens_optim_step(optim, b.session, 100));
        }
        assert_fails(b.ctx, LENS_BAD_ARG, "learning rate", lens_optim_step(optim, b.session, NAN));
        lens_optim_free(optim);
        close_bench(&b);
    }
}

static void mistakes_are_named(void **state) {
    (void)state;
    bench b = open_bench(1, 10);
    const struct {
        lens_optim_opts opts;
        lens_status status;
        const char *part;
    } rows[] = {
        { { .name = "adm" }, LENS_NOT_FOUND, "did you mean \"adam\"" },
        { { .name = "?" }, LENS_NOT_FOUND, "there are sgd" },
        { { .rate = -1 }, LENS_BAD_ARG, "learning rate is -1" },
        { { .rate = INFINITY }, LENS_BAD_ARG, "learning rate" },
        { { .momentum = 1 }, LENS_BAD_ARG, "momentum is 1" },
        { { .name = "adam", .momentum = 0.9 }, LENS_BAD_ARG, "adam has no momentum" },
        { { .b1 = 0.9 }, LENS_BAD_ARG, "sgd has no b1" },
        { { .name = "adam", .b2 = 1 }, LENS_BAD_ARG, "b2 is 1" },
        { { .weight_decay = NAN }, LENS_BAD_ARG, "weight decay" },
        { { .clip = -3 }, LENS_BAD_ARG, "clip" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lens_optim *optim = NULL;
        assert_fails(b.ctx, rows[i].status, rows[i].part,
                     lens_optim_new(&optim, b.net, &rows[i].opts));
        assert_null(optim);
    }
    lens_optim_free(NULL);
    close_bench(&b);
}

static const struct CMUnitTest tests[] = {
    T("[J17][V26] momentum trace .9, .72, .486", momentum_trace),
    T("[J17][J19] every optimiser and L2 against plain loops in double", against_plain_loops),
    T("[I17] the update is exactly -rate times the gradient", plain_step_is_exact),
    T("[I16] the loss feeds back to every filter", loss_feeds_back_to_every_filter),
    T("[I9] the gradient of a batch is the mean of its samples'", batch_gradient_is_the_mean),
    T("optim: same bits for 1, 2, 3, 8 threads; allocates nothing", same_bits_for_any_threads),
    T("optim: clipping bounds the norm of the whole gradient", clipping_bounds_the_norm),
    T("[H13] frozen layers keep every bit", frozen_layers_stay),
    T("optim: a gradient or weight that is not finite stops the step", what_is_not_finite_stops),
    T("optim: mistakes are named", mistakes_are_named),
};

TEST_MAIN(tests)
