/* test_net_run.c - sessions: the memory plan, forward and backward, fusion, freezing, looking inside.
 *
 * The oracle for the executor is a naive one below: every value and gradient has memory of its own,
 * filled with NaN, nothing is shared, fused or skipped. Operators are the engine's own, so results must
 * be equal bit for bit; but for a batch norm that was folded into weights, which rounds differently.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>

/* ---- Random nets ---------------------------------------------------------------------------- */

enum { MAX_N = 3, CLASSES = 3, SIDE = 6 };

static void fill(rng *r, float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = 2 * rng_uniform(r) - 1;
}

static void fill_weights(lens_net *net, uint64_t seed) {
    rng r = rng_start(seed, RNG_TEST, 1, 0);
    lens_param param;
    for (int i = 0; i < lens_net_params(net); i++) {
        lens_net_param(net, i, &param);
        fill(&r, param.value.data, (size_t)lens_tensor_count(&param.value));
        if (!param.trainable || param.start != 0) /* variances and scales are positive */
            for (int64_t k = 0; k < lens_tensor_count(&param.value); k++)
                param.value.data[k] = param.value.data[k] * 0.4f + 1;
    }
    lens_net_touched(net);
}

static lens_node *random_node(rng *r, lens_node *const *made, int count) {
    lens_node *x = made[rng_below(r, (uint32_t)count)],
              *other = made[rng_below(r, (uint32_t)count)];
    lens_node_info a, b;
    lens_node_info_get(x, &a);
    lens_node_info_get(other, &b);
    lens_pool_opts window = { .kernel = { 3 }, .stride = { 1 }, .pad = 1 };
    switch (rng_below(r, 16)) {
    case 0:
    case 1: return lens_conv2d(x, NULL, (lens_conv2d_opts){ .out = 3, .kernel = { 3 }, .pad = 1 });
    case 2:
        return lens_relu(lens_conv2d(x, NULL, (lens_conv2d_opts){ .out = 2, .kernel = { 1 } }),
                         NULL);
    case 3: return lens_relu(x, NULL);
    case 4: return lens_tanh(x, NULL);
    case 5: return lens_leaky_relu(x, NULL, 0.2f);
    case 6: return lens_sigmoid(x, NULL);
    case 7: return lens_batchnorm(x, NULL, (lens_batchnorm_opts){ 0 });
    case 8: return lens_dropout(x, NULL, 0.3f);
    case 9: return lens_maxpool(x, NULL, window);
    case 10: return lens_avgpool(x, NULL, window);
    case 11: return lens_softmax(x, NULL);
    case 12: return lens_reshape(x, NULL, a.c, SIDE, SIDE);
    case 14:
        return lens_output(x, NULL,
                           (lens_output_opts){ .weight = 1, .training = rng_below(r, 2) != 0 });
    case 13: return a.c + b.c > 12 ? x : lens_concat((lens_node *[]){ x, other }, 2, NULL);
    default: return a.c == b.c ? lens_add(x, other, NULL) : lens_scaled_tanh(x, NULL);
    }
}

static lens_net *random_net(lens_ctx *ctx, uint64_t seed, int steps) {
    rng r = rng_start(seed, RNG_TEST, 0, 0);
    lens_net *net = lens_net_new(ctx, "random");
    lens_node *made[64], *loose[64];
    int count = 0, ends = 0;
    made[count++] = lens_input(net, "data", 2, SIDE, SIDE);
    while (count <= steps) {
        lens_node *node = random_node(&r, made, count);
        assert_non_null(node);
        made[count++] = node;
    }
    bool read[256] = { false };
    for (int i = 0; i < lens_net_nodes(net); i++)
        for (int k = 0; lens_node_input(lens_net_node(net, i), k); k++)
            read[lens_node_input(lens_net_node(net, i), k)->index] = true;
    for (int i = 0; i < lens_net_nodes(net); i++)
        if (!read[i] && !net_is_output(lens_net_node(net, i)))
            loose[ends++] = lens_net_node(net, i);
    if (!ends) loose[ends++] = made[0];
    lens_node *x = ends > 1 ? lens_concat(loose, ends, NULL) : loose[0];
    x = lens_dense(lens_flatten(x, NULL), "fc", (lens_dense_opts){ .out = CLASSES });
    assert_ok(ctx, lens_net_finish(net, x));
    fill_weights(net, seed);
    return net;
}

/* ---- The naive executor --------------------------------------------------------------------- */

typedef struct naive {
    const lens_net *net;
    int n;
    float **value, **grad, **dparam;
    void **saved, **cache;
} naive;

static float *nans(size_t count) {
    float *x = aligned_alloc(64, ((count + LENS_SLACK) * sizeof(float) + 63) / 64 * 64);
    for (size_t i = 0; i < count + LENS_SLACK; i++) x[i] = NAN;
    return x;
}

static void *bytes(size_t size) {
    size = (size + 63) / 64 * 64;
    return size ? memset(aligned_alloc(64, size), 0xff, size) : NULL;
}

static size_t count_of(const naive *v, int i) {
    return shape_count(v->net->node[i]->op.out) * (size_t)v->n;
}

/* Forward and, if dy, backward. dy: of all outputs, one after the other. Results stay in `v`. */
static void naive_step(naive *v, lens_net *net, lens_ctx *ctx, int n, const float *input,
                       bool train, uint64_t seed, uint32_t step, const float *dy) {
    int nodes = net->nodes;
    *v = (naive){ .net = net, .n = n };
    v->value = calloc((size_t)nodes, sizeof *v->value);
    v->grad = calloc((size_t)nodes, sizeof *v->grad);
    v->saved = calloc((size_t)nodes, sizeof *v->saved);
    v->cache = calloc((size_t)nodes, sizeof *v->cache);
    v->dparam = calloc((size_t)net->params + 1, sizeof *v->dparam);
    for (int i = 0; i < net->params; i++)
        if (net_param_op(&net->param[i])->trainable)
            v->dparam[i] = nans(net_param_op(&net->param[i])->count);
    for (int i = 0; i < nodes; i++) v->value[i] = nans(count_of(v, i));
    memcpy(v->value[0], input, count_of(v, 0) * sizeof(float));
    if (dy) {
        for (int i = 0; i < nodes; i++) {
            v->grad[i] = nans(count_of(v, i));
            memset(v->grad[i], 0, count_of(v, i) * sizeof(float));
        }
    }
    bool *written = calloc((size_t)nodes, sizeof *written);
    for (int k = 0; dy && k < lens_net_outputs(net); k++) {
        int i = lens_net_output_at(net, k)->index;
        memcpy(v->grad[i], dy, count_of(v, i) * sizeof(float));
        dy += count_of(v, i);
        written[i] = true;
    }
    for (int t = 0; t < (dy ? 2 * nodes : nodes); t++) {
        bool back = t >= nodes;
        int i = back ? 2 * nodes - 1 - t : t;
        const lens_node *node = net->node[i];
        const op_kind *kind = node->op.kind;
        if (!node->op.inputs) continue;
        const float *x[16];
        float *dx[16], *param[OP_MAX_PARAMS], *dparam[OP_MAX_PARAMS];
        for (int k = 0; k < node->op.inputs; k++) {
            x[k] = v->value[node->input[k]->index];
            dx[k] = nans(count_of(v, node->input[k]->index));
        }
        for (int k = 0; k < node->op.params; k++) {
            param[k] = net->weights + net->param[node->first_param + k].offset;
            dparam[k] = v->dparam[node->first_param + k];
        }
        op_plan plan = { 0 };
        if (kind->plan)
            kind->plan(&node->op, ctx_kern(ctx), lens_ctx_threads(ctx), n, train, &plan);
        if (!back) {
            v->saved[i] = bytes(plan.saved);
            v->cache[i] = bytes(plan.cache);
            if (plan.cache) memset(v->cache[i], 0, plan.cache);
        }
        void *scratch = bytes(plan.scratch);
        size_t stride = (plan.thread_scratch + 63) / 64 * 64;
        void *thread_scratch = bytes(stride * (size_t)lens_ctx_threads(ctx));
        op_run run = { .node = &node->op,
                       .kern = ctx_kern(ctx),
                       .pool = ctx_pool(ctx),
                       .n = n,
                       .batch = n,
                       .train = train,
                       .repack = true,
                       .seed = seed,
                       .step = step,
                       .serial = (uint32_t)i,
                       .x = x,
                       .y = v->value[i],
                       .param = param,
                       .dy = v->grad[i],
                       .dx = dx,
                       .dparam = dparam,
                       .saved = v->saved[i],
                       .cache = v->cache[i],
                       .scratch = scratch,
                       .thread_scratch = thread_scratch,
                       .thread_stride = stride };
        bool alias = (kind->flags & OP_ALIAS) != 0;
        if (!back && alias) memcpy(v->value[i], x[0], count_of(v, i) * sizeof(float));
        if (!back && !alias) kind->forward(&run);
        bool passes = alias || (kind->flags & OP_IS_SUM);
        for (int k = 0; back && passes && k < node->op.inputs; k++)
            memcpy(dx[k], v->grad[i], count_of(v, i) * sizeof(float));
        if (back && !passes) kind->backward(&run);
        for (int k = 0; k < node->op.inputs; k++) {
            int source = node->input[k]->index;
            for (size_t e = 0; back && e < count_of(v, source); e++)
                v->grad[source][e] = written[source] ? v->grad[source][e] + dx[k][e] : dx[k][e];
            if (back) written[source] = true;
            free(dx[k]);
        }
        free(scratch);
        free(thread_scratch);
    }
    free(written);
}

static void naive_free(naive *v) {
    for (int i = 0; i < v->net->nodes; i++) {
        free(v->value[i]);
        free(v->grad[i]);
        free(v->saved[i]);
        free(v->cache[i]);
    }
    for (int i = 0; i < v->net->params; i++) free(v->dparam[i]);
    free(v->value);
    free(v->grad);
    free(v->saved);
    free(v->cache);
    free(v->dparam);
}

static void same_bits(const char *what, uint64_t seed, const float *a, const float *b,
                      size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s, net %llu: element %zu is %.9g, expected %.9g", what,
                     (unsigned long long)seed, i, (double)a[i], (double)b[i]);
}

/* Whether an inference session of this net folds a batch norm into weights. */
static bool folds(const lens_net *net, lens_ctx *ctx, bool watch) {
    memory_plan plan;
    lens_session_opts opts = { .batch = 1, .watch = watch };
    assert_ok(ctx, plan_make(&plan, net, ctx, &opts, false));
    bool any = false;
    for (int i = 0; i < net->nodes; i++) any |= plan.node[i].norm != PLAN_NONE;
    plan_free(ctx, &plan);
    return any;
}

/* Folding multiplies each weight by a rounded factor: a few units in the last place of every product,
 * in nets of up to 20 layers with values about 1. */
static void same_inference(const char *what, uint64_t seed, bool folded, const float *a,
                           const float *b, size_t count) {
    if (!folded) {
        same_bits(what, seed, a, b, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= 2e-5 * (1 + fabs((double)b[i]))))
            fail_msg("%s, net %llu: element %zu is %.9g, expected about %.9g", what,
                     (unsigned long long)seed, i, (double)a[i], (double)b[i]);
}

static lens_session *session(lens_net *net, lens_ctx *ctx, lens_session_opts opts) {
    lens_session *s;
    assert_ok(ctx, lens_session_new(&s, net, ctx, &opts));
    return s;
}

static lens_tensor picture(float *data, int n) {
    return (lens_tensor){ data, 4, { n, 2, SIDE, SIDE } };
}

/* ---- Everything against the naive executor -------------------------------------------------- */

static void compare_steps(lens_net *net, lens_ctx *ctx, uint64_t seed, bool watch) {
    enum { MOST = 16, MAX_C = 12 };
    static float dy[MOST * MAX_N * MAX_C * SIDE * SIDE];
    float x[MAX_N * 2 * SIDE * SIDE];
    int outputs = lens_net_outputs(net);
    assert_true(outputs >= 1 && outputs <= MOST);
    rng r = rng_start(seed, RNG_TEST, 2, 0);
    lens_session *s =
        session(net, ctx,
                (lens_session_opts){
                    .batch = MAX_N, .train = true, .watch = watch, .input_grad = true, .seed = 7 });
    lens_session *quick = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .watch = watch });
    for (int step = 0; step < 3; step++) {
        int n = MAX_N - step;
        naive v;
        lens_tensor y, grad, in = picture(x, n), out[MOST];
        fill(&r, x, LENS_COUNT(x));
        fill(&r, dy, LENS_COUNT(dy));

        naive_step(&v, net, ctx, n, x, false, 7, 0, NULL);
        assert_ok(ctx, lens_run(quick, &in, &y));
        same_inference("inference", seed, folds(net, ctx, watch), y.data, v.value[net->nodes - 1],
                       (size_t)n * CLASSES);
        assert_ok(ctx, lens_run(s, &in, &y));
        same_bits("lens_run", seed, y.data, v.value[net->nodes - 1], (size_t)n * CLASSES);
        for (int i = 0; i < net->nodes; i++) {
            if (!net_is_output(net->node[i])) continue;
            assert_ok(ctx, lens_peek(s, net->node[i], LENS_VALUE, &y));
            same_bits(net->node[i]->op.name, seed, y.data, v.value[i], count_of(&v, i));
            if (net->node[i]->training) continue;
            assert_ok(ctx, lens_peek(quick, net->node[i], LENS_VALUE, &y));
            same_inference(net->node[i]->op.name, seed, folds(net, ctx, watch), y.data, v.value[i],
                           count_of(&v, i));
        }
        for (int i = 0; watch && i < net->nodes; i++) {
            assert_ok(ctx, lens_peek(s, net->node[i], LENS_VALUE, &y));
            same_bits(net->node[i]->op.name, seed, y.data, v.value[i], count_of(&v, i));
        }
        naive_free(&v);

        naive_step(&v, net, ctx, n, x, true, 7, (uint32_t)step, dy);
        assert_ok(ctx, lens_forward(s, &in, (uint32_t)step, &y));
        same_bits("training", seed, y.data, v.value[net->nodes - 1], (size_t)n * CLASSES);
        float *next = dy;
        for (int k = 0; k < outputs; k++) {
            const lens_node *node = lens_net_output_at(net, k);
            assert_ok(ctx, lens_peek(s, node, LENS_VALUE, &out[k]));
            same_bits(node->op.name, seed, out[k].data, v.value[node->index],
                      count_of(&v, node->index));
            out[k].data = next;
            next += lens_tensor_count(&out[k]);
        }
        assert_ok(ctx, lens_backward_outputs(s, out, outputs));
        for (int i = 0; i < net->params; i++) {
            if (!net_param_op(&net->param[i])->trainable) continue;
            assert_ok(ctx, lens_grad(s, i, &grad));
            same_bits(net->param[i].name, seed, grad.data, v.dparam[i],
                      net_param_op(&net->param[i])->count);
        }
        assert_ok(ctx, lens_peek(s, net->input, LENS_GRADIENT, &grad));
        same_bits("input gradient", seed, grad.data, v.grad[0], count_of(&v, 0));
        for (int i = 0; watch && i < net->nodes; i++) {
            assert_ok(ctx, lens_peek(s, net->node[i], LENS_GRADIENT, &grad));
            same_bits(net->node[i]->op.name, seed, grad.data, v.grad[i], count_of(&v, i));
        }
        naive_free(&v);
        lens_net_touched(net);
    }
    lens_session_free(quick);
    lens_session_free(s);
}

static void plans_change_no_bit(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        lens_ctx *ctx = test_ctx(1 + (int)seed % 2);
        size_t live = ctx_live_bytes(ctx);
        lens_net *net = random_net(ctx, seed, 4 + (int)(seed % 20));
        compare_steps(net, ctx, seed, seed % 4 == 3);
        lens_net_free(net);
        assert_int_equal(ctx_live_bytes(ctx), live);
        lens_ctx_free(ctx);
    }
}

/* ---- Several outputs ------------------------------------------------------------------------ */

/* conv - relu - fc, and a head behind conv if `head`. */
static lens_net *two_headed(lens_ctx *ctx, bool head, bool training) {
    lens_net *net = lens_net_new(ctx, "two");
    lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
    x = lens_conv2d(x, "conv", (lens_conv2d_opts){ .out = 3, .kernel = { 3 } });
    if (head)
        lens_output(lens_dense(x, "aux.fc", (lens_dense_opts){ .out = 40 }), "aux",
                    (lens_output_opts){ .weight = 0.3f, .training = training });
    x = lens_dense(lens_relu(x, "relu"), "fc", (lens_dense_opts){ .out = CLASSES });
    assert_ok(ctx, lens_net_finish(net, x));
    fill_weights(net, 3);
    return net;
}

static void training_outputs_cost_inference_nothing(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *plain = two_headed(ctx, false, false), *net = two_headed(ctx, true, true);
    lens_tensor y;
    lens_node_info info;
    assert_int_equal(lens_net_parameters(net), lens_net_parameters(plain));
    assert_int_equal(lens_net_macs(net), lens_net_macs(plain));
    lens_node_info_get(lens_net_find(net, "aux.fc"), &info);
    assert_true(info.training);
    assert_int_equal(info.macs, 40 * 3 * (SIDE - 2) * (SIDE - 2));

    lens_session *a = session(plain, ctx, (lens_session_opts){ .batch = 3 });
    lens_session *b = session(net, ctx, (lens_session_opts){ .batch = 3 });
    assert_int_equal(lens_session_bytes(a), lens_session_bytes(b));
    lens_session_free(b);
    b = session(net, ctx, (lens_session_opts){ .watch = true });
    assert_fails(ctx, LENS_BAD_ARG, "aux.fc: it serves training alone",
                 lens_peek(b, lens_net_find(net, "aux.fc"), LENS_VALUE, &y));
    assert_fails(ctx, LENS_BAD_ARG, "aux: it serves training alone",
                 lens_mute(b, lens_net_find(net, "aux"), 0, true));
    lens_session_free(a);
    lens_session_free(b);
    lens_net_free(plain);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void outputs_by_number(void **state) {
    (void)state;
    float dy[CLASSES + 40] = { 0 }, x[2 * SIDE * SIDE] = { 1 };
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = two_headed(ctx, true, false);
    lens_tensor y[3] = { { dy, 2, { 1, CLASSES } }, { dy, 2, { 1, 40 } }, { 0 } };
    lens_tensor in = picture(x, 1), out;
    assert_int_equal(lens_net_outputs(net), 2);
    assert_ptr_equal(lens_net_output_at(net, 0), lens_net_output(net));
    assert_ptr_equal(lens_net_output_at(net, 1), lens_net_find(net, "aux"));
    assert_null(lens_net_output_at(net, 2));
    assert_null(lens_net_output_at(net, -1));

    lens_session *s = session(net, ctx, (lens_session_opts){ .train = true });
    assert_ok(ctx, lens_forward(s, &in, 0, &out));
    assert_fails(ctx, LENS_BAD_ARG, "got 3 gradients but net two has 2 outputs",
                 lens_backward_outputs(s, y, 3));
    assert_fails(ctx, LENS_BAD_ARG, "got 0 gradients", lens_backward_outputs(s, y, 0));
    y[1].dim[1] = 39;
    assert_fails(ctx, LENS_BAD_SHAPE, "dy has shape 1x39 but the output aux has 1x40",
                 lens_backward_outputs(s, y, 2));
    assert_fails(ctx, LENS_BAD_ARG, "dy has no data", lens_backward(s, &y[2]));
    assert_ok(ctx, lens_backward(s, y));
    lens_session_free(s);
    lens_net_free(net);

    net = lens_net_new(ctx, "bad");
    lens_node *first = lens_input(net, "data", 2, SIDE, SIDE);
    lens_node *last =
        lens_output(first, "aux", (lens_output_opts){ .weight = 1, .training = true });
    assert_fails(ctx, LENS_BAD_ARG, "data: it is the output of net bad, but aux comes after it",
                 lens_net_finish(net, first));
    assert_fails(ctx, LENS_BAD_ARG, "the main output of net bad cannot be for training alone",
                 lens_net_finish(net, last));
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Fusion --------------------------------------------------------------------------------- */

static lens_net *finished(lens_ctx *ctx, lens_node *output) {
    assert_non_null(output);
    assert_ok(ctx, lens_net_finish(output->net, output));
    fill_weights(output->net, 99);
    return output->net;
}

static memory_plan planned(const lens_net *net, lens_ctx *ctx, lens_session_opts opts) {
    memory_plan plan;
    assert_ok(ctx, plan_make(&plan, net, ctx, &opts, false));
    return plan;
}

static void fused_is_separate(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    for (int kind = 0; kind < 5; kind++) {
        lens_net *net = lens_net_new(ctx, "fused");
        lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
        x = lens_conv2d(x, "conv", (lens_conv2d_opts){ .out = 3, .kernel = { 3 }, .pad = 1 });
        x = kind == 0   ? lens_relu(x, "act")
            : kind == 1 ? lens_leaky_relu(x, "act", 0.1f)
            : kind == 2 ? lens_tanh(x, "act")
            : kind == 3 ? lens_scaled_tanh(x, "act")
                        : lens_sigmoid(x, "act");
        x = lens_relu(lens_dense(x, "fc", (lens_dense_opts){ .out = CLASSES }), "last");
        finished(ctx, x);

        /* It is fused: the activation does not run, the producer applies it. Watched, it is not. */
        memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 1, .train = true });
        int act = lens_net_find(net, "act")->index;
        assert_int_equal(plan.node[act].forward, PLAN_SKIP);
        assert_int_equal(plan.node[act - 1].act, ACT_RELU + kind);
        assert_int_equal(plan.node[act].value, plan.node[act - 1].value);
        plan_free(ctx, &plan);
        plan = planned(net, ctx, (lens_session_opts){ .batch = 1, .train = true, .watch = true });
        assert_int_equal(plan.node[act].forward, PLAN_RUN);
        assert_int_equal(plan.node[act - 1].act, ACT_NONE);
        plan_free(ctx, &plan);

        compare_steps(net, ctx, (uint64_t)kind, false);
        compare_steps(net, ctx, (uint64_t)kind, true);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

/* Residual blocks as nets have them: whichever branch is computed later takes the norm, the sum and the
 * activation; nothing but convolutions runs. The same under Winograd, whose sides begin at 12. */
static void residual_blocks_fuse(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    for (int kind = 0; kind < 8; kind++) {
        bool shortcut_last = kind & 1, wide = kind & 2, norms = kind & 4;
        int maps = wide ? 16 : 3, side = wide ? 12 : SIDE;
        lens_net *net = lens_net_new(ctx, "residual");
        lens_node *x = lens_input(net, "data", 2, side, side), *main = NULL, *shortcut = NULL;
        x = lens_conv2d(x, "stem", (lens_conv2d_opts){ .out = maps, .kernel = { 1 } });
        for (int turn = 0; turn < 2; turn++)
            if (turn == shortcut_last) {
                shortcut =
                    lens_conv2d(x, "shortcut", (lens_conv2d_opts){ .out = maps, .kernel = { 1 } });
            } else {
                main = lens_conv2d(x, "main",
                                   (lens_conv2d_opts){ .out = maps, .kernel = { 3 }, .pad = 1 });
                if (norms) main = lens_batchnorm(main, "norm", (lens_batchnorm_opts){ 0 });
            }
        lens_node *end = lens_leaky_relu(lens_add(main, shortcut, "add"), "act", 0.1f);
        finished(ctx, lens_conv2d(end, "last", (lens_conv2d_opts){ .out = 1, .kernel = { 1 } }));
        memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 2 });
        for (int i = 1; i < net->nodes; i++)
            assert_int_equal(plan.node[i].forward == PLAN_RUN,
                             strcmp(net->node[i]->op.kind->name, "conv2d") == 0);
        plan_free(ctx, &plan);

        float data[2 * 2 * 12 * 12];
        rng r = rng_start((uint64_t)kind, RNG_TEST, 4, 0);
        fill(&r, data, LENS_COUNT(data));
        lens_tensor y, in = { data, 4, { 2, 2, side, side } };
        naive v;
        naive_step(&v, net, ctx, 2, data, false, 0, 0, NULL);
        lens_session *s = session(net, ctx, (lens_session_opts){ .batch = 2 });
        assert_ok(ctx, lens_run(s, &in, &y));
        same_inference("residual", (uint64_t)kind, norms, y.data, v.value[net->nodes - 1],
                       2 * (size_t)(side * side));
        naive_free(&v);
        lens_session_free(s);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

/* batchnorm - relu - conv: the convolution takes both on its way in, if it is not Winograd's. */
static void norms_before_convolutions_fuse(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    for (int kind = 0; kind < 4; kind++) {
        bool acts = kind & 1;
        lens_net *net = lens_net_new(ctx, "before");
        lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
        x = lens_batchnorm(x, "norm", (lens_batchnorm_opts){ 0 });
        if (acts) x = lens_relu(x, "relu");
        int side = kind & 2 ? 3 : 1;
        x = lens_conv2d(x, "conv",
                        (lens_conv2d_opts){ .out = 4, .kernel = { side }, .pad = side / 2 });
        finished(ctx, lens_dense(x, NULL, (lens_dense_opts){ .out = CLASSES }));
        memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 2 });
        int conv = lens_net_find(net, "conv")->index;
        assert_int_equal(plan.node[conv].before, lens_net_find(net, "norm")->index);
        assert_int_equal(plan.node[conv].before_act, acts ? ACT_RELU : ACT_NONE);
        for (int i = 1; i < conv; i++) assert_int_equal(plan.node[i].forward, PLAN_SKIP);
        plan_free(ctx, &plan);
        compare_steps(net, ctx, (uint64_t)kind, false);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

/* What must not be fused or overwritten: a value that someone else reads as well. */
static void shared_values_stay(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "shared");
    lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
    lens_node *a = lens_conv2d(x, "conv", (lens_conv2d_opts){ .out = 2, .kernel = { 1 } });
    lens_node *b = lens_add(lens_relu(a, "relu"), a, "add");
    finished(ctx, lens_dense(lens_add(b, x, NULL), NULL, (lens_dense_opts){ .out = CLASSES }));
    memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 2 });
    assert_int_equal(plan.node[a->index].act, ACT_NONE);
    assert_int_not_equal(plan.node[a->index].value, plan.node[a->index + 1].value);
    plan_free(ctx, &plan);
    compare_steps(net, ctx, 0, false);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Convolutions that add to a gradient which another consumer wrote: with strides, which visit it in
 * phases, some without a tap; transposed; and wide enough for Winograd. Of a sum of two, one input is the
 * net's. */
static void convolutions_add_to_gradients(void **state) {
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        lens_ctx *ctx;
        lens_ctx_opts opts = { .strict = strict != 0, .threads = 2 };
        assert_int_equal(lens_ctx_new(&ctx, &opts, NULL), LENS_OK);
        lens_net *net = lens_net_new(ctx, "adds");
        lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
        lens_conv2d_opts three = { .out = 20, .kernel = { 3 }, .pad = 1 };
        x = lens_batchnorm(lens_conv2d(x, NULL, three), NULL, (lens_batchnorm_opts){ 0 });
        x = lens_relu(lens_add(lens_conv2d(x, NULL, three), x, "add"), "out");
        three.stride = (lens_size){ 2 };
        lens_conv2d_opts one = { .out = 20, .kernel = { 1 }, .stride = { 2 } };
        lens_node *half = lens_add(lens_conv2d(x, NULL, three), lens_conv2d(x, NULL, one), "half");
        /* 1x1 over so small a plane: lanes along maps */
        half = lens_add(lens_conv2d(half, NULL, (lens_conv2d_opts){ .out = 32, .kernel = { 1 } }),
                        lens_conv2d(half, NULL, (lens_conv2d_opts){ .out = 32, .kernel = { 1 } }),
                        "turned");
        x = lens_add(lens_conv_transpose2d(half, NULL,
                                           (lens_conv_transpose2d_opts){
                                               .out = 4, .kernel = { 2 }, .stride = { 2 } }),
                     lens_conv_transpose2d(half, NULL,
                                           (lens_conv_transpose2d_opts){
                                               .out = 4, .kernel = { 2 }, .stride = { 2 } }),
                     "whole");
        finished(ctx, lens_dense(x, NULL, (lens_dense_opts){ .out = CLASSES }));
        memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 2, .train = true });
        int adds = 0;
        for (int i = 0; i < net->nodes; i++)
            for (int k = 0; k < net->node[i]->op.inputs; k++) {
                adds += plan.node[i].edge[k].adds;
                assert_int_equal(plan.node[i].edge[k].temp, PLAN_NONE);
            }
        assert_int_equal(adds, 4);
        plan_free(ctx, &plan);
        compare_steps(net, ctx, 0, false);
        lens_net_free(net);
        lens_ctx_free(ctx);
    }
}

/* Winograd's convolutions do the backward of a relu in front of them, through maxima too; not if another
 * node reads what the relu, or what is in front of it, wrote. */
static void convolutions_mask_gradients(void **state) {
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        lens_ctx *ctx;
        lens_ctx_opts opts = { .strict = strict != 0, .threads = 2 };
        assert_int_equal(lens_ctx_new(&ctx, &opts, NULL), LENS_OK);
        lens_net *net = lens_net_new(ctx, "masks");
        lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
        lens_conv2d_opts three = { .out = 20, .kernel = { 3 }, .pad = 1 };
        lens_node *plain = lens_relu(lens_conv2d(x, NULL, three), "plain");
        x = lens_relu(lens_conv2d(plain, "conv", three), "maxima");
        x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 3 }, .stride = { 1 }, .pad = 1 });
        x = lens_conv2d(x, "pooled", three);
        lens_node *shared = lens_relu(x, "shared");
        x = lens_conv2d(shared, NULL, three);
        lens_node *beside = lens_relu(x, "beside");
        x = lens_add(lens_add(x, shared, NULL), lens_conv2d(beside, NULL, three), NULL);
        lens_node *last = lens_relu(lens_conv2d(x, NULL, three), "last");
        finished(ctx, lens_dense(last, NULL, (lens_dense_opts){ .out = CLASSES }));
        memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 2, .train = true });
        const char *const by[][2] = { { "plain", strict ? "plain" : "conv" },
                                      { "maxima", strict ? "maxima" : "pooled" },
                                      { "shared", "shared" },
                                      { "beside", "beside" },
                                      { "last", "last" } };
        for (size_t i = 0; i < LENS_COUNT(by); i++)
            assert_int_equal(plan.node[lens_net_find(net, by[i][0])->index].back,
                             lens_net_find(net, by[i][1])->index);
        plan_free(ctx, &plan);
        compare_steps(net, ctx, 0, false);
        lens_net_free(net);
        lens_ctx_free(ctx);
    }
}

static int lies_in(const memory_plan *plan, const lens_node *x) {
    return plan->buffer[plan->node[x->index].value].in;
}

/* Two blocks of DenseNet. In training batch norms write into concatenations and read parts of them, a concatenation lies in
 * the next; what a convolution writes or reads lies so in inference alone, what is written over never. A sum's other input must
 * not see what is added to its gradient later. */
static void concatenations_hold_their_inputs(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = lens_net_new(ctx, "joins");
    const lens_batchnorm_opts norm = { 0 };
    const lens_conv2d_opts three = { .out = 3, .kernel = { 3 }, .pad = 1 };
    const lens_conv2d_opts winograd = { .out = 20, .kernel = { 3 }, .pad = 1 };
    lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
    lens_node *wide = lens_conv2d(lens_conv2d(x, NULL, winograd), NULL, winograd);
    x = lens_concat((lens_node *[]){ wide, lens_conv2d(wide, NULL, winograd) }, 2, NULL);
    const lens_node *widest = x;
    lens_node *early = lens_conv2d(x, NULL, (lens_conv2d_opts){ .out = 9, .kernel = { 1 } });
    lens_node *a = lens_relu(lens_batchnorm(lens_conv2d(x, NULL, three), NULL, norm), NULL);
    lens_node *b = lens_batchnorm(lens_conv2d(x, NULL, three), NULL, norm);
    lens_node *first = lens_concat((lens_node *[]){ a, b }, 2, NULL);
    lens_node *inside = lens_relu(lens_batchnorm(first, NULL, norm), NULL);
    lens_node *maps = lens_conv2d(inside, NULL, three);
    lens_node *second = lens_concat((lens_node *[]){ first, maps }, 2, NULL);
    x = lens_add(early, second, NULL);
    lens_node *read = lens_batchnorm(lens_conv2d(x, NULL, three), NULL, norm);
    lens_node *twice = lens_batchnorm(lens_conv2d(x, NULL, three), NULL, norm);
    x = lens_concat((lens_node *[]){ read, twice, lens_conv2d(read, NULL, three), twice }, 4, NULL);
    const lens_node *third = x;
    lens_node *under = lens_batchnorm(lens_conv2d(x, NULL, three), NULL, norm);
    finished(ctx, lens_dense(lens_relu(lens_concat(&under, 1, NULL), NULL), NULL,
                             (lens_dense_opts){ .out = CLASSES }));
    for (int train = 0; train < 2; train++) {
        memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 2, .train = train });
        const int one = plan.node[first->index].value, two = plan.node[second->index].value;
        assert_int_equal(lies_in(&plan, a), one);
        assert_int_equal(lies_in(&plan, b), one);
        assert_int_equal(lies_in(&plan, first), two);
        assert_int_equal(lies_in(&plan, maps), train ? PLAN_NONE : two);
        assert_int_equal(lies_in(&plan, inside), train ? PLAN_NONE : two); /* done by maps */
        assert_int_equal(lies_in(&plan, wide), train ? PLAN_NONE : plan.node[widest->index].value);
        assert_int_equal(lies_in(&plan, read), train ? PLAN_NONE : plan.node[third->index].value);
        const lens_node *alone[] = { early, second, twice, under };
        for (size_t i = 0; i < LENS_COUNT(alone); i++)
            assert_int_equal(lies_in(&plan, alone[i]), PLAN_NONE);
        if (train)
            assert_int_equal(plan.buffer[plan.node[a->index].grad].in,
                             plan.node[first->index].grad);
        plan_free(ctx, &plan);
    }
    compare_steps(net, ctx, 0, false);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- The plan ------------------------------------------------------------------------------- */

static void buffers_keep_apart(void **state) {
    (void)state;
    enum { MOST = 60 };
    for (uint64_t seed = 0; seed < 300; seed++) {
        rng r = rng_start(seed, RNG_TEST, 3, 0);
        plan_buffer buffer[MOST], *work[2 * MOST];
        int count = 1 + (int)rng_below(&r, MOST);
        size_t all = 0, live = 0;
        for (int i = 0; i < count; i++) {
            int first = (int)rng_below(&r, 40);
            buffer[i] = (plan_buffer){ .bytes = 1 + rng_below(&r, 5000),
                                       .first = first,
                                       .last = first + (int)rng_below(&r, 15) };
            if (buffer[i].last - first > 5 && rng_below(&r, 2)) {
                buffer[i].pause = first + (int)rng_below(&r, 3);
                buffer[i].resume = buffer[i].last - (int)rng_below(&r, 3);
            }
        }
        size_t needed = plan_place(buffer, count, work);
        for (int i = 0; i < count; i++) {
            const plan_buffer *a = &buffer[i];
            assert_int_equal(a->offset % NET_ALIGN, 0);
            assert_true(a->offset + a->bytes <= needed);
            all += a->bytes;
            for (int k = 0; k < i; k++) {
                const plan_buffer *b = &buffer[k];
                bool same_time = false;
                for (int t = 0; t < 60; t++) same_time |= plan_in_use(a, t) && plan_in_use(b, t);
                bool same_place =
                    a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
                assert_false(same_time && same_place);
            }
        }
        for (int t = 0; t < 60; t++) {
            size_t now = 0;
            for (int i = 0; i < count; i++)
                if (plan_in_use(&buffer[i], t)) now += buffer[i].bytes;
            if (now > live) live = now;
        }
        assert_true(needed >= live && needed <= all);
    }
    plan_buffer huge[2] = { { .bytes = SIZE_MAX / 2, .last = 1 },
                            { .bytes = SIZE_MAX / 2 + 2, .last = 1 } };
    plan_buffer *work[4];
    assert_true(plan_place(huge, 2, work) == SIZE_MAX);
}

/* A deep chain in inference needs two values at a time, not all of them. */
static void inference_frees_values(void **state) {
    (void)state;
    enum { DEPTH = 20, C = 4, S = 32 };
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "chain");
    lens_node *x = lens_input(net, "data", C, S, S);
    for (int i = 0; i < DEPTH; i++)
        x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 3 }, .stride = { 1 }, .pad = 1 });
    finished(ctx, x);
    size_t value = 8 * C * S * S * sizeof(float);
    lens_session *s = session(net, ctx, (lens_session_opts){ .batch = 8 });
    assert_true(lens_session_bytes(s) < 3 * value);
    lens_session_free(s);
    s = session(net, ctx, (lens_session_opts){ .batch = 8, .watch = true });
    assert_true(lens_session_bytes(s) > (DEPTH + 1) * value);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Sessions ------------------------------------------------------------------------------- */

static lens_net *small_net(lens_ctx *ctx) {
    lens_net *net = lens_net_new(ctx, "small");
    lens_node *x = lens_input(net, "data", 2, SIDE, SIDE);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 3 }, .pad = 1 });
    x = lens_relu(lens_batchnorm(x, "norm", (lens_batchnorm_opts){ 0 }), "relu1");
    x = lens_conv2d(x, "conv2", (lens_conv2d_opts){ .out = 3, .kernel = { 3 } });
    x = lens_maxpool(lens_tanh(x, "tanh"), "pool", (lens_pool_opts){ .kernel = { 2 } });
    x = lens_dropout(lens_flatten(x, "flat"), "drop", 0.5f);
    return finished(ctx, lens_dense(x, "fc", (lens_dense_opts){ .out = CLASSES }));
}

static void timing_follows_the_plan(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx), *other = small_net(ctx);
    lens_session *s =
        session(net, ctx, (lens_session_opts){ .batch = 1, .train = true, .timed = true });
    lens_session *plain = session(net, ctx, (lens_session_opts){ .batch = 1 });
    float x[2 * SIDE * SIDE] = { 0.5f }, dy[CLASSES] = { 1 };
    lens_tensor y, in = picture(x, 1), out = { dy, 2, { 1, CLASSES } };
    lens_node *conv = lens_net_find(net, "conv2"), *flat = lens_net_find(net, "flat");
    lens_node_timing t;

    assert_int_equal(lens_timing(s, conv, &t), LENS_BAD_ARG);
    assert_string_equal(lens_why(ctx), "conv2: nothing has been run yet");
    assert_int_equal(lens_timing(s, lens_net_find(other, "conv2"), &t), LENS_BAD_ARG);
    assert_string_equal(lens_why(ctx), "lens_timing: the node is not one of net small");
    assert_int_equal(lens_timing(plain, conv, &t), LENS_BAD_ARG);
    assert_string_equal(lens_why(ctx), "conv2: lens_timing needs a session made with timed");

    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_ok(ctx, lens_timing(s, conv, &t));
    assert_true(t.forward > 0 && t.backward == 0 && !t.merged);
    assert_string_equal(t.forward_by, "direct");
    assert_string_equal(t.weight_by, "direct");
    assert_ok(ctx, lens_timing(s, flat, &t));
    assert_true(t.forward == 0 && t.merged && !t.forward_by);
    assert_ok(ctx, lens_backward(s, &out));
    assert_ok(ctx, lens_timing(s, conv, &t));
    assert_true(t.forward > 0 && t.backward > 0);

    lens_session_free(plain);
    lens_session_free(s);
    lens_net_free(net);
    lens_net_free(other);
    lens_ctx_free(ctx);
}

static void steady_state_allocates_nothing(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = small_net(ctx);
    lens_session *s = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .train = true });
    lens_session *quick = session(net, ctx, (lens_session_opts){ .batch = MAX_N });
    float x[MAX_N * 2 * SIDE * SIDE] = { 0.5f }, dy[MAX_N * CLASSES] = { 1 };
    uint64_t calls = ctx_alloc_calls(ctx);
    for (int step = 0; step < 5; step++) {
        lens_tensor y, in = picture(x, MAX_N), out = { dy, 2, { MAX_N, CLASSES } };
        assert_ok(ctx, lens_forward(s, &in, (uint32_t)step, &y));
        assert_ok(ctx, lens_backward(s, &out));
        lens_net_touched(net);
        assert_ok(ctx, lens_run(quick, &in, &y));
        assert_ok(ctx, lens_run(s, &in, &y));
    }
    assert_int_equal(ctx_alloc_calls(ctx), calls);
    lens_session_free(quick);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void backward_needs_its_forward(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    lens_session *s = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .train = true });
    lens_session *other = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .train = true });
    lens_session *quick = session(net, ctx, (lens_session_opts){ .batch = MAX_N });
    float x[MAX_N * 2 * SIDE * SIDE] = { 1 }, dy[MAX_N * CLASSES] = { 1 };
    lens_tensor y, in = picture(x, 2), out = { dy, 2, { 2, CLASSES } }, grad;

    assert_fails(ctx, LENS_BAD_ARG, "must follow a lens_forward", lens_backward(s, &out));
    assert_fails(ctx, LENS_BAD_ARG, "before lens_backward", lens_grad(s, 0, &grad));
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_fails(ctx, LENS_BAD_ARG, "must follow a lens_forward", lens_backward(other, &out));
    assert_ok(ctx, lens_backward(s, &out));
    assert_fails(ctx, LENS_BAD_ARG, "must follow", lens_backward(s, &out)); /* twice */

    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_ok(ctx, lens_run(s, &in, &y)); /* has overwritten what forward kept */
    assert_fails(ctx, LENS_BAD_ARG, "must follow", lens_backward(s, &out));

    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    lens_net_touched(net);
    assert_fails(ctx, LENS_BAD_ARG, "changed between", lens_backward(s, &out));
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    lens_node_freeze(lens_net_find(net, "conv1"), true);
    assert_fails(ctx, LENS_BAD_ARG, "changed between", lens_backward(s, &out));
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_ok(ctx, lens_forward(other, &in, 0, &y)); /* moved the running statistics */
    assert_fails(ctx, LENS_BAD_ARG, "changed between", lens_backward(s, &out));

    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    out.dim[0] = 1;
    assert_fails(ctx, LENS_BAD_SHAPE, "dy has shape 1x3 but the output fc has 2x3",
                 lens_backward(s, &out));
    assert_fails(ctx, LENS_BAD_ARG, "made with train", lens_forward(quick, &in, 0, &y));
    assert_fails(ctx, LENS_BAD_ARG, "made with train", lens_backward(quick, &out));
    lens_session_free(quick);
    lens_session_free(other);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void shapes_name_both_sides(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    lens_session *s = session(net, ctx, (lens_session_opts){ .batch = 2 }), *none;
    float x[3 * 32 * 32] = { 0 };
    lens_tensor y, in = { x, 4, { 1, 3, 32, 32 } };
    assert_fails(ctx, LENS_BAD_SHAPE, "input has shape 1x3x32x32 but net small expects Nx2x6x6",
                 lens_run(s, &in, &y));
    in = (lens_tensor){ x, 2, { 1, 72 } };
    assert_fails(ctx, LENS_BAD_SHAPE, "1x72", lens_run(s, &in, &y));
    in = picture(x, 3);
    assert_fails(ctx, LENS_BAD_SHAPE, "3 samples but the session was made for 1 to 2",
                 lens_run(s, &in, &y));
    in = picture(x, 0);
    assert_fails(ctx, LENS_BAD_SHAPE, "0 samples", lens_run(s, &in, &y));
    in = picture(NULL, 1);
    assert_fails(ctx, LENS_BAD_ARG, "no data", lens_run(s, &in, &y));
    assert_fails(ctx, LENS_BAD_ARG, "batch is -1",
                 lens_session_new(&none, net, ctx, &(lens_session_opts){ .batch = -1 }));
    assert_fails(ctx, LENS_BAD_ARG, "1048577",
                 lens_session_new(&none, net, ctx, &(lens_session_opts){ .batch = (1 << 20) + 1 }));
    assert_fails(ctx, LENS_BAD_ARG, "input_grad",
                 lens_session_new(&none, net, ctx, &(lens_session_opts){ .input_grad = true }));
    lens_session_free(s);
    lens_net_free(net);

    net = lens_net_new(ctx, "open");
    lens_input(net, "data", 1, 1, 1);
    assert_fails(ctx, LENS_BAD_ARG, "not finished", lens_session_new(&none, net, ctx, NULL));
    assert_null(none);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void *up_to_a_megabyte(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)user, (void)old_size;
    if (new_size > 1 << 20) return NULL;
    if (new_size) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

static void too_large_names_the_bytes(void **state) {
    (void)state;
    lens_ctx *ctx, *poor;
    lens_ctx_opts opts = { .threads = 1, .alloc = { .resize = up_to_a_megabyte } };
    assert_int_equal(lens_ctx_new(&poor, &opts, NULL), LENS_OK);
    ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    lens_session *s;
    size_t live = ctx_live_bytes(poor);
    memory_plan plan = planned(net, ctx, (lens_session_opts){ .batch = 1 << 20 });
    char bytes_text[40];
    snprintf(bytes_text, sizeof bytes_text, "%zu", plan.bytes);
    plan_free(ctx, &plan);
    assert_fails(poor, LENS_NOMEM, bytes_text,
                 lens_session_new(&s, net, poor, &(lens_session_opts){ .batch = 1 << 20 }));
    assert_non_null(strstr(lens_why(poor), "net small, inference session of 1048576 samples"));
    /* The parts, and nothing else, make the whole. */
    size_t whole, activations, gradients, packed, work;
    int threads;
    assert_int_equal(sscanf(strstr(lens_why(poor), "samples: "),
                            "samples: %zu bytes (activations %zu, gradients of the weights %zu, "
                            "packed weights %zu, work space of %d threads %zu)",
                            &whole, &activations, &gradients, &packed, &threads, &work),
                     6);
    assert_int_equal(whole, activations + gradients + packed + work);
    assert_in_range(activations, (size_t)(1 << 20) * 2 * SIDE * SIDE * sizeof(float), whole);
    assert_int_equal(gradients, 0);
    assert_int_equal(threads, 1);
    assert_null(s);
    assert_int_equal(ctx_live_bytes(poor), live);
    lens_net_free(net);
    lens_ctx_free(ctx);

    net = lens_net_new(poor, "wide");
    lens_node *y = lens_dense(lens_input(net, "data", 1, 64, 64), "fc", (lens_dense_opts){ 100 });
    assert_fails(poor, LENS_NOMEM, "the weights of net wide: ", lens_net_finish(net, y));
    lens_net_free(net);
    lens_ctx_free(poor);
}

/* More threads than CPUs, one CPU only, and CPUs that come and go: y of 1000 pictures never differs. */
static void cpus_come_and_go(void **state) {
    (void)state;
    enum { N = 1000, X = 2 * SIDE * SIDE };
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &before)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    float *x = malloc(N * X * sizeof *x), *expected = malloc(N * CLASSES * sizeof *expected);
    rng r = rng_start(3, RNG_TEST, 4, 0);
    fill(&r, x, N * X);
    for (int run = 0; run < 4; run++) { /* one thread; eight; born free, then held; the other way */
        assert_int_equal(sched_setaffinity(0, sizeof one, run == 3 ? &one : &before), 0);
        if (run == 3) assert_int_equal(pool_default_threads(), 1);
        lens_ctx *ctx = test_ctx(run ? 8 : 1);
        lens_net *net = small_net(ctx);
        lens_session *s = session(net, ctx, (lens_session_opts){ .batch = N });
        lens_tensor y, in = picture(x, N);
        assert_int_equal(sched_setaffinity(0, sizeof one, run == 2 ? &one : &before), 0);
        assert_ok(ctx, lens_run(s, &in, &y));
        if (!run) memcpy(expected, y.data, N * CLASSES * sizeof *expected);
        assert_memory_equal(y.data, expected, N * CLASSES * sizeof *expected);
        lens_session_free(s);
        lens_net_free(net);
        lens_ctx_free(ctx);
    }
    sched_setaffinity(0, sizeof before, &before);
    free(x);
    free(expected);
}

/* Every window then is one pixel or padding, every plane one number. */
static void a_picture_of_one_pixel(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = lens_net_new(ctx, "pixel");
    lens_node *x = lens_input(net, "data", 1, 1, 1);
    x = lens_conv2d(x, "conv", (lens_conv2d_opts){ .out = 1, .kernel = { 3 }, .pad = 1 });
    x = lens_maxpool(x, "pool", (lens_pool_opts){ .kernel = { 3 }, .stride = { 2 }, .pad = 1 });
    net = finished(ctx, lens_global_avgpool(x, "mean"));
    lens_param w, b;
    assert_ok(ctx, lens_net_param_named(net, "conv.weight", &w));
    assert_ok(ctx, lens_net_param_named(net, "conv.bias", &b));
    lens_session *s = session(net, ctx, (lens_session_opts){ .train = true });
    float pixel = 3, dy = 2;
    lens_tensor y, grad, in = { &pixel, 4, { 1, 1, 1, 1 } }, back = { &dy, 4, { 1, 1, 1, 1 } };
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_near(y.data[0], fma(w.value.data[4], 3, b.value.data[0]), 1e-6);
    assert_ok(ctx, lens_backward(s, &back));
    assert_ok(ctx, lens_grad(s, 0, &grad));
    for (int k = 0; k < 9; k++) assert_near(grad.data[k], k == 4 ? 6 : 0, 0);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* The output's own memory may carry dy, unless backward still reads the output. */
static void dy_in_the_output(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    lens_session *s =
        session(net, ctx, (lens_session_opts){ .batch = MAX_N, .train = true, .seed = 1 });
    float x[MAX_N * 2 * SIDE * SIDE], dy[MAX_N * CLASSES], want[4 * 2 * 9];
    rng r = rng_start(5, RNG_TEST, 0, 0);
    fill(&r, x, LENS_COUNT(x));
    fill(&r, dy, LENS_COUNT(dy));
    lens_tensor y, grad, in = picture(x, MAX_N), out = { dy, 2, { MAX_N, CLASSES } };
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_ok(ctx, lens_peek(s, net->output, LENS_VALUE, &grad));
    assert_ptr_equal(grad.data, y.data);
    assert_ok(ctx, lens_backward(s, &out));
    assert_fails(ctx, LENS_BAD_ARG, "watch", lens_peek(s, net->output, LENS_VALUE, &grad));
    assert_ok(ctx, lens_grad(s, 0, &grad));
    memcpy(want, grad.data, sizeof want);
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    memcpy(y.data, dy, sizeof dy);
    assert_ok(ctx, lens_backward(s, &y));
    same_bits("dy in y", 0, grad.data, want, LENS_COUNT(want));
    lens_session_free(s);
    lens_net_free(net);

    net = lens_net_new(ctx, "sigmoid");
    lens_node *n = lens_dense(lens_input(net, "data", 2, SIDE, SIDE), NULL,
                              (lens_dense_opts){ .out = CLASSES });
    finished(ctx, lens_sigmoid(n, "last"));
    s = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .train = true });
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_fails(ctx, LENS_BAD_ARG, "backward of last reads", lens_backward(s, &y));
    assert_ok(ctx, lens_backward(s, &out));
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void inference_of_one_is_inference_of_many(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = small_net(ctx); /* with batch norm and dropout */
    lens_session *one = session(net, ctx, (lens_session_opts){ 0 });
    lens_session *many = session(net, ctx, (lens_session_opts){ .batch = 16 });
    lens_session *train = session(net, ctx, (lens_session_opts){ .batch = 16, .train = true });
    float x[16 * 2 * SIDE * SIDE];
    rng r = rng_start(6, RNG_TEST, 0, 0);
    fill(&r, x, LENS_COUNT(x));
    lens_tensor all, again, y, in = picture(x, 16);
    assert_ok(ctx, lens_run(many, &in, &all));
    assert_ok(ctx, lens_run(train, &in, &again));
    same_inference("a training session's lens_run", 0, folds(net, ctx, false), again.data, all.data,
                   16 * CLASSES);
    for (int i = 0; i < 16; i++) {
        in = picture(x + i * 2 * SIDE * SIDE, 1);
        for (int twice = 0; twice < 2; twice++) {
            assert_ok(ctx, lens_run(one, &in, &y));
            same_bits("batch of one", 0, y.data, all.data + i * CLASSES, CLASSES);
        }
    }
    lens_session_free(one);
    lens_session_free(many);
    lens_session_free(train);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Freezing ------------------------------------------------------------------------------- */

static void frozen_nodes_rest(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    lens_session *s = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .train = true });
    float x[MAX_N * 2 * SIDE * SIDE], dy[MAX_N * CLASSES], free_fc[CLASSES], mean[4];
    rng r = rng_start(7, RNG_TEST, 0, 0);
    fill(&r, x, LENS_COUNT(x));
    fill(&r, dy, LENS_COUNT(dy));
    lens_tensor y, grad, in = picture(x, MAX_N), out = { dy, 2, { MAX_N, CLASSES } };
    lens_param param;
    for (int frozen = 0; frozen < 3; frozen++) { /* thaw, freeze, thaw one session */
        for (int i = 0; i < 3; i++)
            lens_node_freeze(lens_net_find(net, (const char *[]){ "conv1", "norm", "conv2" }[i]),
                             frozen == 1);
        assert_ok(ctx, lens_net_param_named(net, "norm.running_mean", &param));
        memcpy(mean, param.value.data, sizeof mean);
        assert_ok(ctx, lens_forward(s, &in, 0, &y));
        assert_ok(ctx, lens_backward(s, &out));
        assert_int_equal(!memcmp(mean, param.value.data, sizeof mean), frozen == 1);
        for (int i = 0; i < lens_net_params(net); i++) {
            assert_ok(ctx, lens_net_param(net, i, &param));
            if (!param.trainable) {
                assert_fails(ctx, LENS_BAD_ARG, "not trainable", lens_grad(s, i, &grad));
                continue;
            }
            assert_ok(ctx, lens_grad(s, i, &grad));
            double sum = 0;
            for (int64_t k = 0; k < lens_tensor_count(&grad); k++)
                sum += fabs((double)grad.data[k]);
            bool zero = frozen == 1 && param.node != lens_net_output(net);
            if ((sum == 0) != zero) fail_msg("%s: sum %g, frozen %d", param.name, sum, frozen);
            if (!strcmp(param.name, "fc.bias")) memcpy(free_fc, grad.data, sizeof free_fc);
        }
        for (int k = 0; k < CLASSES; k++) {
            double want = 0;
            for (int n = 0; n < MAX_N; n++) want += (double)dy[n * CLASSES + k];
            assert_near(free_fc[k], want, 1e-6);
        }
    }
    /* Freezing counts at once, also for a gradient that is there already. */
    lens_node_freeze(lens_net_find(net, "conv1"), true);
    assert_ok(ctx, lens_grad(s, 0, &grad));
    for (int64_t k = 0; k < lens_tensor_count(&grad); k++) assert_true(grad.data[k] == 0);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Everything frozen, nothing wanted: backward has nothing to do; the input's gradient can be had. */
static void all_frozen(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    float x[MAX_N * 2 * SIDE * SIDE] = { 1 }, dy[CLASSES] = { 1 };
    lens_tensor y, grad, in = picture(x, 1), out = { dy, 2, { 1, CLASSES } };
    for (int i = 0; i < lens_net_nodes(net); i++) lens_node_freeze(lens_net_node(net, i), true);
    for (int wanted = 0; wanted < 2; wanted++) {
        lens_session *s = session(
            net, ctx, (lens_session_opts){ .train = true, .watch = true, .input_grad = wanted });
        assert_ok(ctx, lens_forward(s, &in, 0, &y));
        assert_fails(ctx, LENS_BAD_ARG, "no lens_backward",
                     lens_peek(s, net->input, LENS_GRADIENT, &grad));
        assert_ok(ctx, lens_backward(s, &out));
        if (wanted)
            assert_ok(ctx, lens_peek(s, net->input, LENS_GRADIENT, &grad));
        else
            assert_fails(ctx, LENS_BAD_ARG, "input_grad",
                         lens_peek(s, net->input, LENS_GRADIENT, &grad));
        lens_session_free(s);
    }
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Looking inside ------------------------------------------------------------------------- */

static void muted_maps_are_silent(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    lens_session *s =
        session(net, ctx, (lens_session_opts){ .batch = 2, .train = true, .watch = true });
    lens_session *plain = session(net, ctx, (lens_session_opts){ .batch = 2 });
    lens_node *relu = lens_net_find(net, "relu1"), *conv2 = lens_net_find(net, "conv2");
    float x[2 * 2 * SIDE * SIDE], dy[2 * CLASSES], before[2 * CLASSES];
    rng r = rng_start(8, RNG_TEST, 0, 0);
    fill(&r, x, LENS_COUNT(x));
    fill(&r, dy, LENS_COUNT(dy));
    lens_tensor y, v, in = picture(x, 2), out = { dy, 2, { 2, CLASSES } };
    assert_ok(ctx, lens_run(s, &in, &y));
    memcpy(before, y.data, sizeof before);
    assert_ok(ctx, lens_mute(s, relu, 1, true));
    assert_ok(ctx, lens_mute(s, relu, 1, true)); /* twice is once */
    assert_ok(ctx, lens_forward(s, &in, 0, &y));
    assert_ok(ctx, lens_backward(s, &out));
    for (int which = 0; which < 2; which++) {
        assert_ok(ctx, lens_peek(s, relu, which ? LENS_GRADIENT : LENS_VALUE, &v));
        assert_int_equal(v.dim[1], 4);
        for (int n = 0; n < 2; n++)
            for (int c = 0; c < 4; c++) {
                double sum = 0;
                for (int i = 0; i < SIDE * SIDE; i++)
                    sum += fabs((double)v.data[(n * 4 + c) * SIDE * SIDE + i]);
                assert_int_equal(sum == 0, c == 1);
            }
    }
    /* A silent map is the same as a next layer that does not read it. */
    lens_param w;
    float kept[3 * 4 * 9];
    assert_ok(ctx, lens_run(s, &in, &y));
    assert_ok(ctx, lens_net_param_named(net, "conv2.weight", &w));
    memcpy(kept, w.value.data, sizeof kept);
    for (int o = 0; o < 3; o++) memset(w.value.data + (o * 4 + 1) * 9, 0, 9 * sizeof(float));
    lens_net_touched(net);
    assert_ok(ctx, lens_run(plain, &in, &v));
    for (int i = 0; i < 2 * CLASSES; i++) assert_near(y.data[i], v.data[i], 1e-5);
    memcpy(w.value.data, kept, sizeof kept);
    lens_net_touched(net);

    assert_ok(ctx, lens_mute(s, relu, 1, false));
    assert_ok(ctx, lens_run(s, &in, &y));
    assert_ok(ctx, lens_run(plain, &in, &v));
    same_inference("sound again", 0, folds(net, ctx, false), y.data, v.data, 2 * CLASSES);
    assert_memory_not_equal(before, (float[2 * CLASSES]){ 0 }, sizeof before);

    assert_fails(ctx, LENS_BAD_ARG, "channel 4", lens_mute(s, relu, 4, true));
    assert_fails(ctx, LENS_BAD_ARG, "made with watch", lens_mute(plain, relu, 0, true));
    assert_fails(ctx, LENS_BAD_ARG, "made with watch", lens_peek(plain, conv2, LENS_VALUE, &v));
    assert_fails(ctx, LENS_BAD_ARG, "not one of", lens_peek(s, NULL, LENS_VALUE, &v));
    lens_session_free(s);
    s = session(net, ctx, (lens_session_opts){ .watch = true });
    assert_fails(ctx, LENS_BAD_ARG, "nothing has been run", lens_peek(s, conv2, LENS_VALUE, &v));
    lens_session_free(s);
    lens_session_free(plain);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Threads -------------------------------------------------------------------------------- */

typedef struct runner {
    lens_net *net;
    float *x;
    float y[CLASSES];
} runner;

static void *run_many(void *arg) {
    runner *it = arg;
    lens_ctx *ctx = test_ctx(2);
    lens_session *s = session(it->net, ctx, (lens_session_opts){ 0 });
    lens_tensor y, in = picture(it->x, 1);
    for (int i = 0; i < 50; i++) assert_ok(ctx, lens_run(s, &in, &y));
    memcpy(it->y, y.data, sizeof it->y);
    lens_session_free(s);
    lens_ctx_free(ctx);
    return NULL;
}

static void one_net_in_two_threads(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    float x[2 * SIDE * SIDE];
    rng r = rng_start(9, RNG_TEST, 0, 0);
    fill(&r, x, LENS_COUNT(x));
    runner it[2] = { { .net = net, .x = x }, { .net = net, .x = x } };
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_many, &it[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    same_bits("two threads", 0, it[0].y, it[1].y, CLASSES);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Nets of the lectures ------------------------------------------------------------------- */

static void mlp(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "mlp");
    lens_node *x = lens_input(net, "data", 1, 28, 28);
    x = lens_relu(lens_dense(lens_flatten(x, NULL), "fc1", (lens_dense_opts){ .out = 128 }), NULL);
    x = lens_relu(lens_dense(x, "fc2", (lens_dense_opts){ .out = 64 }), NULL);
    finished(ctx, lens_dense(x, "fc3", (lens_dense_opts){ .out = 10 }));
    assert_int_equal(lens_net_parameters(net), 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
    assert_int_equal(lens_net_macs(net), 784 * 128 + 128 * 64 + 64 * 10);

    float *data = calloc(784, sizeof *data);
    double layer[3][784];
    rng r = rng_start(10, RNG_TEST, 0, 0);
    fill(&r, data, 784);
    for (int i = 0; i < 784; i++) layer[0][i] = (double)data[i];
    static const int width[] = { 784, 128, 64, 10 };
    double *from = layer[0], *to = layer[1];
    for (int l = 0; l < 3; l++) {
        lens_param w, b;
        lens_net_param(net, 2 * l, &w);
        lens_net_param(net, 2 * l + 1, &b);
        for (int o = 0; o < width[l + 1]; o++) {
            to[o] = (double)b.value.data[o];
            for (int i = 0; i < width[l]; i++)
                to[o] += (double)w.value.data[o * width[l] + i] * from[i];
            if (l < 2 && to[o] < 0) to[o] = 0;
        }
        double *swap = from;
        from = to;
        to = l == 0 ? layer[2] : swap;
    }
    lens_session *s = session(net, ctx, (lens_session_opts){ 0 });
    lens_tensor y, in = { data, 4, { 1, 1, 28, 28 } };
    assert_ok(ctx, lens_run(s, &in, &y));
    /* Rounding: at most 784+128+64 additions of terms that sum to below 2000 in magnitude. */
    for (int k = 0; k < 10; k++) assert_near(y.data[k], from[k], 976 * 6e-8 * 2000);
    lens_session_free(s);
    lens_net_free(net);
    free(data);
    lens_ctx_free(ctx);
}

static void training_keeps_the_topology(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = small_net(ctx);
    char *before, *after, hash[33], changed[33];
    assert_ok(ctx, lens_net_text(net, &before));
    lens_net_hash(net, hash);
    lens_session *s = session(net, ctx, (lens_session_opts){ .batch = 2, .train = true });
    float x[2 * 2 * SIDE * SIDE] = { 1 }, dy[2 * CLASSES] = { 1 };
    lens_tensor y, grad, in = picture(x, 2), out = { dy, 2, { 2, CLASSES } };
    for (int step = 0; step < 3; step++) {
        assert_ok(ctx, lens_forward(s, &in, 0, &y));
        assert_ok(ctx, lens_backward(s, &out));
        for (int i = 0; i < lens_net_params(net); i++) {
            lens_param param;
            lens_net_param(net, i, &param);
            if (!param.trainable) continue;
            assert_ok(ctx, lens_grad(s, i, &grad));
            for (int64_t k = 0; k < lens_tensor_count(&grad); k++)
                param.value.data[k] -= 0.1f * grad.data[k];
        }
        lens_net_touched(net);
    }
    assert_ok(ctx, lens_net_text(net, &after));
    assert_string_equal(before, after);
    lens_net_hash(net, changed);
    assert_string_not_equal(hash, changed);
    lens_free(ctx, before);
    lens_free(ctx, after);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("random nets: every plan gives the bits of the naive executor", plans_change_no_bit),
        T("[G2] fused activation: same bits as a separate one", fused_is_separate),
        T("residual blocks: norm, sum and activation are done by a convolution",
          residual_blocks_fuse),
        T("norms before convolutions are done by them", norms_before_convolutions_fuse),
        T("a value with two readers is neither fused nor overwritten", shared_values_stay),
        T("convolutions add to gradients that are there already", convolutions_add_to_gradients),
        T("convolutions mask the gradient of a relu", convolutions_mask_gradients),
        T("concatenations hold their inputs where they can", concatenations_hold_their_inputs),
        T("placement: buffers alive at one time never overlap", buffers_keep_apart),
        T("inference frees values after their last reader", inference_frees_values),
        T("timing: a node spends time where the plan runs it", timing_follows_the_plan),
        T("a steady-state step allocates nothing", steady_state_allocates_nothing),
        T("[P7] backward without its own forward is refused", backward_needs_its_forward),
        T("shapes that do not fit name both sides", shapes_name_both_sides),
        T("[M6] an auxiliary head costs inference nothing",
          training_outputs_cost_inference_nothing),
        T("several outputs, each with its gradient", outputs_by_number),
        T("weights and sessions too large name their bytes, part by part",
          too_large_names_the_bytes),
        T("1000 pictures: the same bits while CPUs come and go", cpus_come_and_go),
        T("a picture of one pixel", a_picture_of_one_pixel),
        T("dy may lie in the output, unless backward reads it", dy_in_the_output),
        T("[J16] inference: same input, same output, whatever the batch",
          inference_of_one_is_inference_of_many),
        T("frozen nodes get no gradient and keep their statistics", frozen_nodes_rest),
        T("a frozen net still gives the gradient of its input", all_frozen),
        T("muted maps are silent, forward and backward", muted_maps_are_silent),
        T("one net, two threads, two contexts", one_net_in_two_threads),
        T("[M10][Q22] MLP 784-128-64-10", mlp),
        T("[D26] training changes tensors only, never the net's text", training_keeps_the_topology),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
