/* parameter.c - numbers of the net's own, the same for every sample: y[n] = weight. The input only says how
 * many samples there are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <string.h>

static const op_option options[] = {
    { "shape", OP_SHAPE, offsetof(lens_parameter_opts, c), "channels x height x width; required" },
    { "fixed", OP_BOOL, offsetof(lens_parameter_opts, fixed), "not trained" },
    { 0 },
};

static lens_status infer(op_node *node) {
    const lens_parameter_opts *o = node->opts;
    LENS_TRY(op_check_range(node, "channels", o->c, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "height", o->h, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "width", o->w, 1, OP_MAX_DIM));
    size_t count;
    node->out = (shape){ .rank = 4, .c = o->c, .h = o->h, .w = o->w };
    if (!mul_size((size_t)o->c * (size_t)o->h, (size_t)o->w, &count) || count > INT32_MAX)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE, "%s: %dx%dx%d numbers are too many", node->name,
                        o->c, o->h, o->w);
    node->param[0] = (op_param){ .suffix = "weight",
                                 .rank = 3,
                                 .dim = { o->c, o->h, o->w },
                                 .count = count,
                                 .parameters = o->fixed ? 0 : (int64_t)count,
                                 .trainable = !o->fixed };
    node->params = 1;
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "parameter");
    return LENS_OK;
}

/* Fixed numbers are 0 until someone writes them; that they are given at all tells a session that no step
 * moves them. */
static void zeros(const op_node *node, int param, float *value) {
    memset(value, 0, node->param[param].count * sizeof *value);
}

static void forward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    size_t count = shape_count(r->node->out);
    for (size_t n = first; n < last; n++)
        memcpy(r->y + n * count, r->param[0], count * sizeof(float));
}

static void backward_numbers(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    size_t count = shape_count(r->node->out);
    for (size_t i = first; i < last; i++) {
        double sum = 0;
        for (int n = 0; n < r->n; n++) sum += (double)r->dy[(size_t)n * count + i];
        r->dparam[0][i] = (float)sum;
    }
}

static void forward(const op_run *r) {
    op_each(r->pool, (size_t)r->n, 2 * shape_count(r->node->out), forward_samples, r);
}

static void backward(const op_run *r) {
    if (r->dx[0]) memset(r->dx[0], 0, (size_t)r->n * shape_count(r->node->in[0]) * sizeof(float));
    if (r->dparam[0])
        op_each(r->pool, shape_count(r->node->out), (size_t)r->n, backward_numbers, r);
}

const op_kind op_parameter = {
    .name = "parameter",
    .formula = "y[n] = weight, for every sample",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_parameter_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .fixed = zeros,
};
