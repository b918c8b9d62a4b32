/* add.c - y = a + b, equal shapes. Both inputs receive the gradient of y, which the session passes on.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

static lens_status infer(op_node *node) {
    shape a = node->in[0], b = node->in[1];
    char text_a[48], text_b[48];
    if (a.rank != b.rank || a.c != b.c || a.h != b.h || a.w != b.w)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE, "%s: the first input is %s but the second is %s",
                        node->name, op_shape_text(a, text_a), op_shape_text(b, text_b));
    node->out = a;
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "add");
    return LENS_OK;
}

static void forward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    float *y = r->y + first;
    r->kern->add(last - first, r->x[0] + first, r->x[1] + first, y);
    if (r->act != ACT_NONE) r->kern->act(r->act, r->slope, last - first, y, y);
}

static void forward(const op_run *r) {
    op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 3, forward_range, r);
}

const op_kind op_add = {
    .name = "add",
    .formula = "y = a + b",
    .flags = OP_INPLACE | OP_FUSES_ACT | OP_IS_SUM | OP_AGAIN,
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .forward = forward,
};
