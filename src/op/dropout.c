/* dropout.c - training: y = x/(1-rate) with probability 1-rate, else 0; otherwise, and frozen, y = x.
 *
 * Invariant: whether an element stays depends on the seed, the step, the node's number and the
 * element's index in the batch alone. So backward draws the same words again and nothing is kept.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op_opts.h"
#include "op/parts.h"

#include <string.h>

static const op_option options[] = {
    { "rate", OP_FLOAT, offsetof(lens_dropout_opts, rate), "part set to 0; 0 < rate < 1" },
    { 0 },
};

static lens_status infer(op_node *node) {
    const lens_dropout_opts *o = node->opts;
    if (!(o->rate > 0 && o->rate < 1))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: rate is %g but must lie between 0 and 1",
                        node->name, (double)o->rate);
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "dropout %g", (double)o->rate);
    return LENS_OK;
}

typedef struct pass {
    const op_run *run;
    const float *from;
    float *to;
    size_t count;
} pass;

enum { BLOCK = 4 }; /* elements of one Philox block: a word each */

/* Items are blocks. Nodes differ by the key: Weyl's sequence keeps the seeds of all nodes apart. */
static void draw_blocks(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const pass *p = arg;
    const op_run *r = p->run;
    float rate = ((const lens_dropout_opts *)r->node->opts)->rate;
    uint32_t limit = (uint32_t)((double)rate * 4294967296.0);
    float scale = (float)(1 / (1 - (double)rate));
    rng_key key = { .seed = r->seed + r->serial * UINT64_C(0x9E3779B97F4A7C15),
                    .purpose = RNG_DROPOUT,
                    .epoch = r->step };
    for (size_t b = first; b < last; b++) {
        uint32_t word[BLOCK];
        rng_block(key, b, word);
        size_t at = b * BLOCK, n = p->count - at < BLOCK ? p->count - at : BLOCK;
        for (size_t i = 0; i < n; i++)
            p->to[at + i] = word[i] < limit ? 0.0f : p->from[at + i] * scale;
    }
}

/* Ten rounds of Philox take about as long as moving 32 floats, for the 4 of a block. */
static void draw(const op_run *r, const float *from, float *to) {
    pass p = { r, from, to, (size_t)r->n * shape_count(r->node->out) };
    op_each(r->pool, (p.count + BLOCK - 1) / BLOCK, 40, draw_blocks, &p);
}

static void copy_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const pass *p = arg;
    memcpy(p->to + first, p->from + first, (last - first) * sizeof(float));
}

static void copy(const op_run *r, const float *from, float *to) {
    pass p = { r, from, to, (size_t)r->n * shape_count(r->node->out) };
    if (from != to) op_each_float(r->pool, p.count, 2, copy_range, &p);
}

static void forward(const op_run *r) {
    if (r->train && !r->frozen)
        draw(r, r->x[0], r->y);
    else
        copy(r, r->x[0], r->y);
}

static void backward(const op_run *r) {
    if (!r->dx[0]) return;
    if (r->frozen)
        copy(r, r->dy, r->dx[0]);
    else
        draw(r, r->dy, r->dx[0]);
}

const op_kind op_dropout = {
    .name = "dropout",
    .formula = "training: y = x/(1-rate) with probability 1-rate, else 0; otherwise y = x",
    .flags = OP_INPLACE,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_dropout_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
