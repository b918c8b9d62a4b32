/* concat.c - the channels of all inputs, one input after the other; features likewise.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <string.h>

static lens_status infer(op_node *node) {
    shape first = node->in[0];
    int64_t channels = 0;
    for (int i = 0; i < node->inputs; i++) {
        shape in = node->in[i];
        char text[48], text_first[48];
        if (in.rank != first.rank || in.h != first.h || in.w != first.w)
            return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                            "%s: input %d is %s but input 1 is %s: only channels may differ",
                            node->name, i + 1, op_shape_text(in, text),
                            op_shape_text(first, text_first));
        channels += in.c;
    }
    if (channels > OP_MAX_DIM || channels * first.h > INT32_MAX / first.w)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: %lldx%dx%d is more than the %d numbers a sample may have", node->name,
                        (long long)channels, first.h, first.w, INT32_MAX);
    node->out = (shape){ .rank = first.rank, .c = (int)channels, .h = first.h, .w = first.w };
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "concat of %d", node->inputs);
    return LENS_OK;
}

/* An item is one sample of the result. */
static void forward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    float *y = r->y + first * shape_count(r->node->out);
    for (size_t n = first; n < last; n++)
        for (int i = 0; i < r->node->inputs; i++) {
            size_t count = shape_count(r->node->in[i]);
            memcpy(y, r->x[i] + n * count, count * sizeof *y);
            y += count;
        }
}

static void backward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const float *dy = r->dy + first * shape_count(r->node->out);
    for (size_t n = first; n < last; n++)
        for (int i = 0; i < r->node->inputs; i++) {
            size_t count = shape_count(r->node->in[i]);
            if (r->dx[i]) memcpy(r->dx[i] + n * count, dy, count * sizeof *dy);
            dy += count;
        }
}

static void forward(const op_run *r) {
    op_each(r->pool, (size_t)r->n, 2 * shape_count(r->node->out), forward_samples, r);
}

static void backward(const op_run *r) {
    op_each(r->pool, (size_t)r->n, 2 * shape_count(r->node->out), backward_samples, r);
}

const op_kind op_concat = {
    .name = "concat",
    .formula = "y = the channels of x1, then of x2, ...",
    .min_inputs = 1,
    .max_inputs = -1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
