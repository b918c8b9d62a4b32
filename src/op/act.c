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

act_kind op_act(const op_node *node, float *slope) {
    const lens_leaky_relu_opts *leaky = node->opts; /* the only options there are */
    *slope = leaky ? leaky->slope : 0;
    return node->kind->act;
}

static void forward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    float slope;
    act_kind act = op_act(r->node, &slope);
    r->kern->act(act, slope, last - first, r->x[0] + first, r->y + first);
}

static void backward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    float slope;
    act_kind act = op_act(r->node, &slope);
    r->kern->act_back(act, slope, last - first, r->y + first, r->dy + first, r->dx[0] + first);
}

static void forward(const op_run *r) {
    op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 2, forward_range, r);
}

static void backward(const op_run *r) {
    if (r->dx[0])
        op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 3, backward_range, r);
}

#define ACTIVATION(NAME, FORMULA, ACT)                                                             \
    .name = NAME, .formula = FORMULA, .act = ACT,                                                  \
    .flags = OP_IS_ACT | OP_INPLACE | OP_NEEDS_Y | OP_AGAIN, .min_inputs = 1, .max_inputs = 1,     \
    .forward = forward, .backward = backward

const op_kind op_relu = { ACTIVATION("relu", "y = max(x, 0)", ACT_RELU), .infer = infer };

const op_kind op_leaky_relu = {
    ACTIVATION("leaky_relu", "y = x > 0 ? x : slope*x", ACT_LEAKY),
    .opts_size = sizeof(lens_leaky_relu_opts),
    .options = leaky_options,
    .infer = leaky_infer,
};

const op_kind op_tanh = { ACTIVATION("tanh", "y = tanh(x)", ACT_TANH), .infer = infer };

const op_kind op_scaled_tanh = {
    ACTIVATION("scaled_tanh", "y = 1.7159*tanh(2x/3)", ACT_SCALED),
    .infer = infer,
};

const op_kind op_sigmoid = {
    ACTIVATION("sigmoid", "y = 1/(1 + exp(-x))", ACT_SIGMOID),
    .infer = infer,
};
