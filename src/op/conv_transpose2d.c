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

static void plan(const op_node *d, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *p) {
    conv_shape s = shape_of(d);
    (void)threads;
    conv_plan(d, &s, true, kern, batch, train, p);
}

static void forward(const op_run *r) {
    conv_shape s = shape_of(r->node);
    conv_forward(r, &s, true);
}

static void backward(const op_run *r) {
    conv_shape s = shape_of(r->node);
    conv_backward(r, &s, true);
}

static op_algorithm algorithm(const op_node *d, op_pass pass, op_algorithm wanted) {
    conv_shape s = shape_of(d);
    return conv_algorithm(d, &s, true, pass, wanted);
}

const op_kind op_conv_transpose2d = {
    .name = "conv_transpose2d",
    .formula = "y = the adjoint of conv2d applied to x, plus b",
    .flags = OP_FUSES_ACT | OP_ADDS | OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_conv_transpose2d_opts),
    .options = options,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .algorithm = algorithm,
};
