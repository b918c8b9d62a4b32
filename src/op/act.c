/* act.c - the activations as operators: y = f(x), element by element. Formulas: act_kind in kern.h.
 *
 * Invariant: the gradient is computed from y alone, so x may be overwritten.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op_opts.h"
#include "op/parts.h"

#include <math.h>

static const op_option leaky_options[] = {
    { "slope", OP_FLOAT, offsetof(lens_leaky_relu_opts, slope), "factor below 0; default 0.01" },
    { 0 },
};

static lens_status infer(op_node *node) {
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "%s", node->kind->name);
    return LENS_OK;
}

/* A negative slope would make y non-monotonic, and f' could not be told from y. */
static lens_status leaky_infer(op_node *node) {
    lens_leaky_relu_opts *o = node->opts;
    if (o->slope == 0) o->slope = 0.01f;
    if (!(o->slope >= 0) || !isfinite(o->slope))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: slope is %g but must be 0 or more",
                        node->name, (double)o->slope);
    LENS_TRY(infer(node));
    snprintf(node->label, sizeof node->label, "%s %g", node->kind->name, (double)o->slope);
    return LENS_OK;
}

static act_kind relu_of(const op_node *node, float *slope) {
    (void)node;
    *slope = 0;
    return ACT_RELU;
}
static act_kind leaky_of(const op_node *node, float *slope) {
    *slope = ((const lens_leaky_relu_opts *)node->opts)->slope;
    return ACT_LEAKY;
}
static act_kind tanh_of(const op_node *node, float *slope) {
    (void)node;
    *slope = 0;
    return ACT_TANH;
}
static act_kind scaled_of(const op_node *node, float *slope) {
    (void)node;
    *slope = 0;
    return ACT_SCALED;
}
static act_kind sigmoid_of(const op_node *node, float *slope) {
    (void)node;
    *slope = 0;
    return ACT_SIGMOID;
}

static void forward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    float slope;
    act_kind act = r->node->kind->act_of(r->node, &slope);
    r->kern->act(act, slope, last - first, r->x[0] + first, r->y + first);
}

static void backward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    float slope;
    act_kind act = r->node->kind->act_of(r->node, &slope);
    r->kern->act_back(act, slope, last - first, r->y + first, r->dy + first, r->dx[0] + first);
}

static void forward(const op_run *r) {
    op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 2, forward_range, r);
}

static void backward(const op_run *r) {
    if (r->dx[0])
        op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 3, backward_range, r);
}

#define ACT_FLAGS (OP_IS_ACT | OP_INPLACE | OP_NEEDS_Y)

const op_kind op_relu = {
    .name = "relu",
    .formula = "y = max(x, 0)",
    .flags = ACT_FLAGS,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .act_of = relu_of,
};

const op_kind op_leaky_relu = {
    .name = "leaky_relu",
    .formula = "y = x > 0 ? x : slope*x",
    .flags = ACT_FLAGS,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_leaky_relu_opts),
    .options = leaky_options,
    .infer = leaky_infer,
    .forward = forward,
    .backward = backward,
    .act_of = leaky_of,
};

const op_kind op_tanh = {
    .name = "tanh",
    .formula = "y = tanh(x)",
    .flags = ACT_FLAGS,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .act_of = tanh_of,
};

const op_kind op_scaled_tanh = {
    .name = "scaled_tanh",
    .formula = "y = 1.7159*tanh(2x/3)",
    .flags = ACT_FLAGS,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .act_of = scaled_of,
};

const op_kind op_sigmoid = {
    .name = "sigmoid",
    .formula = "y = 1/(1 + exp(-x))",
    .flags = ACT_FLAGS,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .act_of = sigmoid_of,
};
