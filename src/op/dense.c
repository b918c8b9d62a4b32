/* dense.c - fully connected layer: y = x w^T + b.
 *
 * All three passes are products of the same driver: the forward pass with both operands packed (the
 * weights once per change), the backward passes straight from memory. Weights too many for a core's cache
 * are never packed: the forward pass streams them as they are stored, in inner products.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tuning.h"
#include "op/gemm.h"
#include "op/op.h"

static const op_option options[] = {
    { "out", OP_INT, offsetof(lens_dense_opts, out), "output features; required" },
    { "no_bias", OP_BOOL, offsetof(lens_dense_opts, no_bias), "no bias" },
    { 0 },
};

static int features(const op_node *d) { return (int)shape_count(d->in[0]); }

static lens_status infer(op_node *d) {
    const lens_dense_opts *o = d->opts;
    LENS_TRY(op_check_range(d, "out", o->out, 1, OP_MAX_DIM));
    if (shape_count(d->in[0]) > OP_MAX_DIM)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE,
                        "%s: %zu input features are more than the %d allowed", d->name,
                        shape_count(d->in[0]), OP_MAX_DIM);
    int f = features(d);
    size_t count;
    if (!mul_size((size_t)o->out, (size_t)f, &count) || count > SIZE_MAX / 64)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE, "%s: %d x %d weights are too many", d->name, o->out,
                        f);
    d->out = (shape){ 2, o->out, 1, 1 };
    d->param[0] = (op_param){ .suffix = "weight",
                              .rank = 2,
                              .dim = { o->out, f },
                              .count = count,
                              .parameters = (int64_t)count,
                              .trainable = true,
                              .fan_in = f,
                              .fan_out = o->out };
    d->param[1] = (op_param){ .suffix = "bias",
                              .rank = 1,
                              .dim = { o->out },
                              .count = (size_t)o->out,
                              .parameters = o->out,
                              .trainable = true };
    d->params = o->no_bias ? 1 : 2;
    d->macs = (int64_t)count;
    d->connections = d->macs + (o->no_bias ? 0 : o->out);
    d->window = (op_window){ d->in[0].h, d->in[0].w, 1, 1, 1, 1, 0, 0 };
    snprintf(d->label, sizeof d->label, "dense");
    return LENS_OK;
}

/* The tile is chosen for the planned batch, so that the packed weights suit it. */
static gemm forward_tile(const struct kern *kern, int batch) {
    gemm g = { 0 };
    gemm_tile(kern, batch, &g);
    return g;
}

/* The shape alone decides, so that the bits are the same for any batch. */
static bool streamed(const op_node *d) {
    return d->param[0].count > TUNE_DENSE_BYTES / sizeof(float);
}

static void plan(const op_node *d, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *p) {
    (void)threads;
    int f = features(d), out = d->out.c;
    if (!streamed(d))
        p->cache =
            sizeof(float) * (gemm_packed_b(out, f, forward_tile(kern, batch).columns) + LENS_SLACK);
    int widest = train && out > f ? out : f;
    p->scratch = sizeof(float) * (size_t)batch * (size_t)widest;
}

/* A few outputs of all samples, so that weights come from memory once. */
static void stream_task(void *arg, int task, int thread) {
    const op_run *r = arg;
    const struct kern *kern = r->kern;
    int f = features(r->node), out = r->node->out.c, first = task * kern->dot_rows;
    int rows = out - first < kern->dot_rows ? out - first : kern->dot_rows;
    int32_t x_at[DOT_MAX_COLUMNS], y_at[DOT_MAX_COLUMNS];
    (void)thread;
    for (int j = 0; j < kern->dot_columns; j++) x_at[j] = j * f, y_at[j] = j * out;
    for (size_t n = 0; n < (size_t)r->n; n++)
        for (int o = first; o < first + rows; o++)
            r->y[n * (size_t)out + (size_t)o] = r->node->params == 2 ? r->param[1][o] : 0;
    for (int n = 0; n < r->n; n += kern->dot_columns)
        kern->dot(&(dot_job){
            .a = r->param[0] + (ptrdiff_t)first * f,
            .a_i = f,
            .b = r->x[0] + (ptrdiff_t)n * f,
            .b_j = x_at,
            .out = r->y + (ptrdiff_t)n * out + first,
            .out_i = 1,
            .out_j = y_at,
            .rows = rows,
            .columns = r->n - n < kern->dot_columns ? r->n - n : kern->dot_columns,
            .images = 1,
            .lines = 1,
            .length = f,
        });
}

static void forward_streamed(const op_run *r) {
    int out = r->node->out.c, rows = r->kern->dot_rows;
    double ns = (double)rows * features(r->node) * (1 + r->n / 8.0) / 8; /* 8 weights, or 64 MACs */
    pool_run(r->pool, (out + rows - 1) / rows, ns, stream_task, (void *)r);
    if (r->act != ACT_NONE) r->kern->act(r->act, r->slope, (size_t)r->n * (size_t)out, r->y, r->y);
}

static void forward(const op_run *r) {
    const op_node *d = r->node;
    if (streamed(d)) {
        forward_streamed(r);
        return;
    }
    int f = features(d), out = d->out.c;
    gemm g = forward_tile(r->kern, r->batch);
    if (r->repack) gemm_pack_b(r->kern, r->pool, r->param[0], out, f, g.columns, r->cache);
    int most = g.rows;
    g.rows = (r->n + (r->n + most - 1) / most - 1) / ((r->n + most - 1) / most);
    g.m = r->n, g.n = out, g.k = f;
    if (g.rows == 1) {
        g.a = r->x[0];
    } else {
        gemm_pack_a(r->kern, r->pool, r->x[0], f, r->n, f, g.rows, r->scratch);
        g.a = r->scratch;
    }
    g.b = r->cache;
    g.c = r->y, g.c_m = out;
    g.init = d->params == 2 ? TILE_BIAS_COLUMN : TILE_ZERO;
    g.bias = d->params == 2 ? r->param[1] : NULL;
    bool fused = r->act == ACT_NONE || r->act == ACT_RELU || r->act == ACT_LEAKY;
    g.act = fused ? r->act : ACT_NONE, g.slope = r->slope;
    gemm_run(r->kern, r->pool, &g);
    if (!fused) r->kern->act(r->act, r->slope, (size_t)r->n * (size_t)out, r->y, r->y);
}

static void backward(const op_run *r) {
    const op_node *d = r->node;
    int f = features(d), out = d->out.c;
    if (r->dx[0]) { /* dx[n][i] = sum over o of dy[n][o] * w[o][i] */
        gemm g = {
            .m = r->n, .n = f, .k = out, .b = r->param[0], .b_k = f, .c = r->dx[0], .c_m = f
        };
        gemm_tile(r->kern, r->n, &g);
        gemm_pack_a(r->kern, r->pool, r->dy, out, r->n, out, g.rows, r->scratch);
        g.a = r->scratch;
        gemm_run(r->kern, r->pool, &g);
    }
    if (r->dparam[0]) { /* dw[o][i] = sum over n of dy[n][o] * x[n][i] */
        gemm g = { .m = out,
                   .n = f,
                   .k = r->n,
                   .a = r->dy,
                   .a_k = out,
                   .b = r->x[0],
                   .b_k = f,
                   .c = r->dparam[0],
                   .c_m = f };
        gemm_tile(r->kern, out, &g);
        gemm_run(r->kern, r->pool, &g);
    }
    if (d->params == 2 &&
        r->dparam[1]) { /* db[o] = sum over n of 1 * dy[n][o]; A is one row of ones */
        float *ones = r->scratch;
        for (int i = 0; i < r->n; i++) ones[i] = 1;
        gemm g = { .m = 1,
                   .n = out,
                   .k = r->n,
                   .a = ones,
                   .b = r->dy,
                   .b_k = out,
                   .c = r->dparam[1],
                   .c_m = out };
        gemm_tile(r->kern, 1, &g);
        gemm_run(r->kern, r->pool, &g);
    }
}

const op_kind op_dense = {
    .name = "dense",
    .formula = "y[n,o] = b[o] + sum over f of w[o,f] * x[n,f]",
    .flags = OP_FUSES_ACT | OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_dense_opts),
    .options = options,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
