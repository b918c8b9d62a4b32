/* test_net_run.c - sessions: the memory plan, forward and backward, fusion, freezing, looking inside.
 *
 * The oracle for the executor is a naive one below: every value and gradient has memory of its own,
 * filled with NaN, nothing is shared, fused or skipped. Operators are the engine's own, so results must
 * be equal bit for bit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include "test.h"

#include <pthread.h>

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
        if (!read[i]) loose[ends++] = lens_net_node(net, i);
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

/* Forward and, if dy, backward. Results stay in `v`. */
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
        memcpy(v->grad[nodes - 1], dy, count_of(v, nodes - 1) * sizeof(float));
    }
    bool *written = calloc((size_t)nodes, sizeof *written);
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
        if (back && alias) memcpy(dx[0], v->grad[i], count_of(v, i) * sizeof(float));
        if (back && !alias) kind->backward(&run);
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
    float x[MAX_N * 2 * SIDE * SIDE], dy[MAX_N * CLASSES];
    rng r = rng_start(seed, RNG_TEST, 2, 0);
    lens_session *s =
        session(net, ctx,
                (lens_session_opts){
                    .batch = MAX_N, .train = true, .watch = watch, .input_grad = true, .seed = 7 });
    lens_session *quick = session(net, ctx, (lens_session_opts){ .batch = MAX_N, .watch = watch });
    for (int step = 0; step < 3; step++) {
        int n = MAX_N - step;
        naive v;
        lens_tensor y, grad, in = picture(x, n), out = { dy, 2, { n, CLASSES } };
        fill(&r, x, LENS_COUNT(x));
        fill(&r, dy, LENS_COUNT(dy));

        naive_step(&v, net, ctx, n, x, false, 7, 0, NULL);
        assert_ok(ctx, lens_run(quick, &in, &y));
        same_bits("inference", seed, y.data, v.value[net->nodes - 1], (size_t)n * CLASSES);
        assert_ok(ctx, lens_run(s, &in, &y));
        same_bits("lens_run", seed, y.data, v.value[net->nodes - 1], (size_t)n * CLASSES);
        for (int i = 0; watch && i < net->nodes; i++) {
            assert_ok(ctx, lens_peek(s, net->node[i], LENS_VALUE, &y));
            same_bits(net->node[i]->op.name, seed, y.data, v.value[i], count_of(&v, i));
        }
        naive_free(&v);

        naive_step(&v, net, ctx, n, x, true, 7, (uint32_t)step, dy);
        assert_ok(ctx, lens_forward(s, &in, (uint32_t)step, &y));
        same_bits("training", seed, y.data, v.value[net->nodes - 1], (size_t)n * CLASSES);
        assert_ok(ctx, lens_backward(s, &out));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        T("random nets: every plan gives the bits of the naive executor", plans_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
