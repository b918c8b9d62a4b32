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

/* One input, `from` floats into each sample of the result. An item is a sample. */
typedef struct part {
    const op_run *run;
    const float *x;
    float *dx;
    size_t count, from;
} part;

static size_t place(const part *p, size_t n) {
    return n * (shape_count(p->run->node->out) + p->run->y_gap) + p->from;
}

static void forward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const part *p = arg;
    for (size_t n = first; n < last; n++)
        memcpy(p->run->y + place(p, n), p->x + n * p->count, p->count * sizeof(float));
}

static void backward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const part *p = arg;
    for (size_t n = first; n < last; n++)
        memcpy(p->dx + n * p->count, p->run->dy + place(p, n), p->count * sizeof(float));
}

static void forward(const op_run *r) {
    part p = { .run = r };
    for (int i = 0; i < r->node->inputs; i++, p.from += p.count) {
        p.x = r->x[i];
        p.count = shape_count(r->node->in[i]);
        if (p.x != r->y + p.from) op_each(r->pool, (size_t)r->n, 2 * p.count, forward_samples, &p);
    }
}

static void backward(const op_run *r) {
    part p = { .run = r };
    for (int i = 0; i < r->node->inputs; i++, p.from += p.count) {
        p.dx = r->dx[i];
        p.count = shape_count(r->node->in[i]);
        if (p.dx && p.dx != r->dy + p.from)
            op_each(r->pool, (size_t)r->n, 2 * p.count, backward_samples, &p);
    }
}

const op_kind op_concat = {
    .name = "concat",
    .flags = OP_JOINS | OP_Y_GAPS,
    .formula = "y = the channels of x1, then of x2, ...",
    .min_inputs = 1,
    .max_inputs = -1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
