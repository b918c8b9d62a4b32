/* conv_transpose2d.c - the adjoint of a convolution, as a layer.
 *
 * Its forward pass is the convolution's adjoint pass and the other way round, so it holds the
 * conv_shape of the convolution from its output back to its input.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/conv.h"

static const op_option options[] = {
    { "out", OP_INT, offsetof(lens_conv_transpose2d_opts, out), "feature maps; required" },
    { "kernel", OP_SIZE, offsetof(lens_conv_transpose2d_opts, kernel),
      "kernel height x width; required" },
    { "stride", OP_SIZE, offsetof(lens_conv_transpose2d_opts, stride),
      "step between outputs of one input; default 1" },
    { "dilation", OP_SIZE, offsetof(lens_conv_transpose2d_opts, dilation),
      "step between kernel cells; default 1" },
    { "pad", OP_PADS, offsetof(lens_conv_transpose2d_opts, pad),
      "cells cut off around the output; default 0" },
    { "extra", OP_SIZE, offsetof(lens_conv_transpose2d_opts, extra),
      "rows and columns added at the end; default 0" },
    { "groups", OP_INT, offsetof(lens_conv_transpose2d_opts, groups), "channel groups; default 1" },
    { "no_bias", OP_BOOL, offsetof(lens_conv_transpose2d_opts, no_bias), "no bias" },
    { 0 },
};

static conv_shape shape_of(const op_node *d) {
    const lens_conv_transpose2d_opts *o = d->opts;
    shape in = d->in[0];
    return (conv_shape){
        .groups = o->groups,
        .c = o->out,
        .o = in.c,
        .h = d->out.h,
        .w = d->out.w,
        .oh = in.h,
        .ow = in.w,
        .kh = o->kernel.h,
        .kw = o->kernel.w,
        .sh = o->stride.h,
        .sw = o->stride.w,
        .dh = o->dilation.h,
        .dw = o->dilation.w,
        .pt = o->pad + o->pads[0],
        .pl = o->pad + o->pads[1],
    };
}

static lens_status infer(op_node *d) {
    lens_conv_transpose2d_opts *o = d->opts;
    shape in = d->in[0];
    if (in.rank != 4)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE,
                        "%s: conv_transpose2d needs input (N,C,H,W) but got rank %d", d->name,
                        in.rank);
    LENS_TRY(conv_check(d, &o->kernel, &o->stride, &o->dilation, o->pad, o->pads, &o->groups,
                        o->out, false));
    LENS_TRY(op_check_range(d, "extra height", o->extra.h, 0, o->stride.h - 1));
    LENS_TRY(op_check_range(d, "extra width", o->extra.w, 0, o->stride.w - 1));
    const int *p = o->pads;
    int64_t h = ((int64_t)in.h - 1) * o->stride.h - 2 * (int64_t)o->pad - p[0] - p[2] +
                ((int64_t)o->kernel.h - 1) * o->dilation.h + 1 + o->extra.h;
    int64_t w = ((int64_t)in.w - 1) * o->stride.w - 2 * (int64_t)o->pad - p[1] - p[3] +
                ((int64_t)o->kernel.w - 1) * o->dilation.w + 1 + o->extra.w;
    if (h < 1 || w < 1 || h > OP_MAX_DIM || w > OP_MAX_DIM)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE,
                        "%s: padding and kernel give an output of %lldx%lld", d->name, (long long)h,
                        (long long)w);
    int64_t weights = (int64_t)in.c * (o->out / o->groups) * o->kernel.h * o->kernel.w;
    if (weights > CONV_MAX_WEIGHTS)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE, "%s: %lld weights are more than the %lld allowed",
                        d->name, (long long)weights, (long long)CONV_MAX_WEIGHTS);
    d->out = (shape){ 4, o->out, (int)h, (int)w };
    conv_params(d, o->out, o->out / o->groups, in.c, o->kernel, false, !o->no_bias, weights);
    d->macs = weights * in.h * in.w;
    d->connections = d->macs + (o->no_bias ? 0 : (int64_t)shape_count(d->out));
    op_window_point(d);
    snprintf(d->label, sizeof d->label, "%dx%d conv_transpose2d *%d", o->kernel.h, o->kernel.w,
             o->stride.h);
    return LENS_OK;
}

/* cache: the adjoint pass (this layer's forward), then the forward pass (training). */
static void plan(const op_node *d, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *p) {
    conv_shape s = shape_of(d);
    (void)threads;
    p->cache = corr_bytes(&s, true);
    p->thread_scratch = corr_thread_bytes(&s, true, kern);
    if (!train) return;
    p->cache += corr_bytes(&s, false);
    size_t forward = corr_thread_bytes(&s, false, kern),
           weights = corr_weights_thread_bytes(&s, batch, kern);
    if (forward > p->thread_scratch) p->thread_scratch = forward;
    if (weights > p->thread_scratch) p->thread_scratch = weights;
    p->scratch = corr_weights_bytes(&s, batch);
}

static void forward(const op_run *r) {
    const op_node *d = r->node;
    conv_shape s = shape_of(d);
    corr *c = r->cache;
    corr_build(c, &s, true, r->kern);
    if (r->repack) corr_pack(c, r->kern, r->pool, r->param[0]);
    bool fused = r->act == ACT_NONE || r->act == ACT_RELU || r->act == ACT_LEAKY;
    corr_run(c, &(corr_io){ r->kern, r->pool, r->n, r->x[0], r->y,
                            d->params == 2 ? r->param[1] : NULL, fused ? r->act : ACT_NONE,
                            r->slope, r->thread_scratch, r->thread_stride });
    if (!fused) r->kern->act(r->act, r->slope, (size_t)r->n * shape_count(d->out), r->y, r->y);
}

static void backward(const op_run *r) {
    const op_node *d = r->node;
    conv_shape s = shape_of(d);
    corr *c = (corr *)((char *)r->cache + corr_bytes(&s, true));
    corr_build(c, &s, false, r->kern);
    if (r->dx[0]) {
        corr_pack(c, r->kern, r->pool, r->param[0]);
        corr_run(c, &(corr_io){ .kern = r->kern,
                                .workers = r->pool,
                                .n = r->n,
                                .in = r->dy,
                                .out = r->dx[0],
                                .thread_scratch = r->thread_scratch,
                                .thread_stride = r->thread_stride });
    }
    if (r->dparam[0]) /* the convolution's input is our dy, its output gradient our x */
        corr_weights(c, r->kern, r->pool, r->n, r->dy, r->x[0], r->dparam[0], r->scratch,
                     r->thread_scratch, r->thread_stride);
    if (d->params == 2 && r->dparam[1])
        corr_bias(r->kern, r->pool, r->n, s.c, (size_t)s.h * (size_t)s.w, r->dy, r->dparam[1]);
}

const op_kind op_conv_transpose2d = {
    .name = "conv_transpose2d",
    .formula = "y = the adjoint of conv2d applied to x, plus b",
    .flags = OP_FUSES_ACT | OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_conv_transpose2d_opts),
    .options = options,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
