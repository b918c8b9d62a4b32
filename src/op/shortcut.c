/* shortcut.c - the shortcut without parameters of He 2015, option A: every stride-th cell of x, with
 * channels of zeros before and behind.
 *
 *     y[n, before + c, i, j] = x[n, c, i*sh, j*sw], before = floor((out - C)/2); all else 0
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <string.h>

static const op_option options[] = {
    { "out", OP_INT, offsetof(lens_shortcut_opts, out), "channels; default: the input's" },
    { "stride", OP_SIZE, offsetof(lens_shortcut_opts, stride), "step between cells; default 1" },
    { 0 },
};

static lens_status infer(op_node *node) {
    lens_shortcut_opts *o = node->opts;
    shape in = node->in[0];
    LENS_TRY(op_check_planes(node));
    if (!o->out) o->out = in.c;
    LENS_TRY(op_check_range(node, "out", o->out, in.c, OP_MAX_DIM));
    o->stride = op_size_of(node, o->stride, (lens_size){ 1, 1 });
    LENS_TRY(op_check_range(node, "stride", o->stride.h, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "stride", o->stride.w, 1, OP_MAX_DIM));
    node->out = (shape){ .rank = in.rank,
                         .c = o->out,
                         .h = op_out_size(in.h, 1, o->stride.h, 1, 0, 0, false),
                         .w = op_out_size(in.w, 1, o->stride.w, 1, 0, 0, false) };
    op_window_point(node);
    node->window.sh = o->stride.h;
    node->window.sw = o->stride.w;
    static const int none[4];
    op_label_window(node, (lens_size){ 1, 1 }, o->stride, none, false);
    return LENS_OK;
}

/* The input channel behind plane p of y, or -1 for zeros; *sample is p's. */
static int source_of(const op_node *node, size_t p, size_t *sample) {
    int channels = node->in[0].c;
    int c = (int)(p % (size_t)node->out.c) - (node->out.c - channels) / 2;
    *sample = p / (size_t)node->out.c;
    return c >= 0 && c < channels ? c : -1;
}

static void forward_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const lens_shortcut_opts *o = r->node->opts;
    shape in = r->node->in[0], out = r->node->out;
    size_t cells = (size_t)out.h * (size_t)out.w, plane = (size_t)in.h * (size_t)in.w;
    for (size_t p = first; p < last; p++) {
        size_t sample;
        int c = source_of(r->node, p, &sample);
        float *y = r->y + p * cells;
        if (c < 0) {
            memset(y, 0, cells * sizeof *y);
            continue;
        }
        const float *x = r->x[0] + (sample * (size_t)in.c + (size_t)c) * plane;
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++)
                *y++ = x[(size_t)(i * o->stride.h) * (size_t)in.w + (size_t)(j * o->stride.w)];
    }
}

/* Planes of y that hold zeros give nothing; each of the others owns one plane of dx. */
static void backward_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const lens_shortcut_opts *o = r->node->opts;
    shape in = r->node->in[0], out = r->node->out;
    size_t cells = (size_t)out.h * (size_t)out.w, plane = (size_t)in.h * (size_t)in.w;
    for (size_t p = first; p < last; p++) {
        size_t sample;
        int c = source_of(r->node, p, &sample);
        if (c < 0) continue;
        const float *dy = r->dy + p * cells;
        float *dx = r->dx[0] + (sample * (size_t)in.c + (size_t)c) * plane;
        memset(dx, 0, plane * sizeof *dx);
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++)
                dx[(size_t)(i * o->stride.h) * (size_t)in.w + (size_t)(j * o->stride.w)] = *dy++;
    }
}

static size_t planes_of(const op_run *r) { return (size_t)r->n * (size_t)r->node->out.c; }

static size_t plane_cost(const op_run *r) {
    shape in = r->node->in[0], out = r->node->out;
    return (size_t)in.h * (size_t)in.w + (size_t)out.h * (size_t)out.w;
}

static void forward(const op_run *r) {
    op_each(r->pool, planes_of(r), plane_cost(r), forward_planes, r);
}

static void backward(const op_run *r) {
    if (r->dx[0]) op_each(r->pool, planes_of(r), plane_cost(r), backward_planes, r);
}

const op_kind op_shortcut = {
    .name = "shortcut",
    .formula = "y[n,before+c,i,j] = x[n,c,i*sh,j*sw], before = floor((out-C)/2); all else 0",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_shortcut_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
