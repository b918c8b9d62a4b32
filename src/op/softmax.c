/* softmax.c - p[i] = exp(x[i] - max)/sum over the features of each sample, or over the channels at
 * each position of a picture.
 *
 *     dx[i] = p[i]*(dy[i] - sum over j of dy[j]*p[j])
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

static lens_status infer(op_node *node) {
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "softmax");
    return LENS_OK;
}

static size_t positions_of(const op_node *node) {
    return (size_t)node->in[0].h * (size_t)node->in[0].w;
}

/* A picture is turned so that the channels of a position lie side by side. */
static void plan(const op_node *node, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *plan) {
    (void)kern, (void)threads, (void)batch, (void)train;
    if (positions_of(node) > 1) plan->thread_scratch = shape_count(node->in[0]) * sizeof(float);
}

static void forward_samples(const void *arg, size_t first, size_t last, int thread) {
    const op_run *r = arg;
    int channels = r->node->in[0].c, positions = (int)positions_of(r->node);
    size_t count = shape_count(r->node->in[0]);
    if (positions == 1) {
        r->kern->softmax((int)(last - first), channels, r->x[0] + first * count,
                         r->y + first * count);
        return;
    }
    float *turned = op_scratch(r, thread);
    for (size_t n = first; n < last; n++) {
        r->kern->transpose(channels, positions, r->x[0] + n * count, positions, turned, channels);
        r->kern->softmax(positions, channels, turned, turned);
        r->kern->transpose(positions, channels, turned, channels, r->y + n * count, positions);
    }
}

static void backward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    size_t channels = (size_t)r->node->in[0].c, positions = positions_of(r->node);
    for (size_t n = first; n < last; n++)
        for (size_t p = 0; p < positions; p++) {
            size_t at = n * channels * positions + p;
            double dot = 0;
            for (size_t c = 0; c < channels; c++)
                dot += (double)r->dy[at + c * positions] * (double)r->y[at + c * positions];
            for (size_t c = 0; c < channels; c++) {
                size_t i = at + c * positions;
                r->dx[0][i] = (float)((double)r->y[i] * ((double)r->dy[i] - dot));
            }
        }
}

/* An exponential takes about as long as moving 4 floats. */
static void forward(const op_run *r) {
    op_each(r->pool, (size_t)r->n, 6 * shape_count(r->node->in[0]), forward_samples, r);
}

static void backward(const op_run *r) {
    if (r->dx[0])
        op_each(r->pool, (size_t)r->n, 5 * shape_count(r->node->in[0]), backward_samples, r);
}

const op_kind op_softmax = {
    .name = "softmax",
    .formula = "y[c] = exp(x[c] - max)/sum over channels of exp(x - max), at each position",
    .flags = OP_INPLACE | OP_NEEDS_Y,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
