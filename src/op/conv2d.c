/* conv2d.c - convolution layers on pictures and sequences.
 *
 * A sequence (N,C,L) is a picture of height 1, so conv1d differs from conv2d only in how it reads its
 * options. The arithmetic is corr.c's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/conv.h"
#include <stdlib.h>
#include <string.h>

static const op_option options[] = {
    { "out", OP_INT, offsetof(lens_conv2d_opts, out), "feature maps; required" },
    { "kernel", OP_SIZE, offsetof(lens_conv2d_opts, kernel), "kernel height x width; required" },
    { "stride", OP_SIZE, offsetof(lens_conv2d_opts, stride), "step of the window; default 1" },
    { "dilation", OP_SIZE, offsetof(lens_conv2d_opts, dilation),
      "step between kernel cells; default 1" },
    { "pad", OP_PADS, offsetof(lens_conv2d_opts, pad), "zeros around the input; default 0" },
    { "mode", OP_MODE, offsetof(lens_conv2d_opts, mode),
      "valid (default), same or full: padding by name" },
    { "groups", OP_INT, offsetof(lens_conv2d_opts, groups), "channel groups; default 1" },
    { "no_bias", OP_BOOL, offsetof(lens_conv2d_opts, no_bias), "no bias" },
    { "flip", OP_BOOL, offsetof(lens_conv2d_opts, flip),
      "true convolution: kernel rotated by 180 degrees" },
    { "table", OP_STRING, offsetof(lens_conv2d_opts, table),
      "connection table, \"0 1 2;1 2 3;...\" or lenet5-c3" },
    { 0 },
};

/* ---- Connection tables ----------------------------------------------------------------------- */

/* LeCun 1998, table I: which maps of S2 each map of C3 reads. */
static const char lenet5_c3[] =
    "0 1 2;1 2 3;2 3 4;3 4 5;0 4 5;0 1 5;0 1 2 3;1 2 3 4;2 3 4 5;0 3 4 5;"
    "0 1 4 5;0 1 2 5;0 1 3 4;1 2 4 5;0 2 3 5;0 1 2 3 4 5";

static const char *table_text(const char *table) {
    return strcmp(table, "lenet5-c3") == 0 ? lenet5_c3 : table;
}

/* Checks the table against out x in maps and counts its connections. */
static lens_status table_check(const op_node *d, const char *table, int out, int in,
                               int64_t *connections) {
    const char *at = table_text(table);
    *connections = 0;
    for (int o = 0; o < out; o++, at += *at == ';') {
        int64_t before = *connections;
        while (*at && *at != ';') {
            char *end;
            long i = strtol(at, &end, 10);
            if (end == at)
                return ctx_fail(d->ctx, LENS_BAD_ARG,
                                "%s: table: expected a channel number at \"%.10s\"", d->name, at);
            if (i < 0 || i >= in)
                return ctx_fail(d->ctx, LENS_BAD_ARG,
                                "%s: table: row %d reads channel %ld but the input has %d", d->name,
                                o, i, in);
            for (at = end; *at == ' ';) at++;
            ++*connections;
        }
        if (*connections == before)
            return ctx_fail(d->ctx, LENS_BAD_ARG, "%s: table: row %d of %d is empty or missing",
                            d->name, o, out);
    }
    if (*at) return ctx_fail(d->ctx, LENS_BAD_ARG, "%s: table has more than %d rows", d->name, out);
    return LENS_OK;
}

/* Sets the weights (out, in, kk) of absent connections to 0. The table was checked. */
static void table_apply(const char *table, int out, int in, size_t kk, float *w) {
    const char *row = table_text(table);
    for (int o = 0; o < out; o++, row = strchr(row, ';') ? strchr(row, ';') + 1 : row)
        for (long i = 0; i < in; i++, w += kk) {
            bool present = false;
            for (char *at = (char *)row; *at && *at != ';';) present |= strtol(at, &at, 10) == i;
            if (!present) memset(w, 0, sizeof *w * kk);
        }
}

/* ---- Options to shape ------------------------------------------------------------------------ */

static bool is_1d(const op_node *d) { return d->in[0].rank == 3; }

static conv_pads pads_of(const lens_conv2d_opts *o, bool one_d) {
    conv_pads p = { o->pad + o->pads[0], o->pad + o->pads[1], o->pad + o->pads[2],
                    o->pad + o->pads[3] };
    if (one_d) p = (conv_pads){ 0, o->pad + o->pads[0], 0, o->pad + o->pads[1] };
    int eh = (o->kernel.h - 1) * o->dilation.h, ew = (o->kernel.w - 1) * o->dilation.w;
    if (o->mode == LENS_FULL) p.top += eh, p.bottom += eh, p.left += ew, p.right += ew;
    if (o->mode == LENS_SAME)
        p.top += eh / 2, p.bottom += eh - eh / 2, p.left += ew / 2, p.right += ew - ew / 2;
    return p;
}

static conv_shape shape_of(const op_node *d) {
    const lens_conv2d_opts *o = d->opts;
    conv_pads p = pads_of(o, is_1d(d));
    shape in = d->in[0];
    return (conv_shape){
        .groups = o->groups,
        .c = in.c,
        .o = o->out,
        .h = in.h,
        .w = in.w,
        .oh = op_out_size(in.h, o->kernel.h, o->stride.h, o->dilation.h, p.top, p.bottom, false),
        .ow = op_out_size(in.w, o->kernel.w, o->stride.w, o->dilation.w, p.left, p.right, false),
        .kh = o->kernel.h,
        .kw = o->kernel.w,
        .sh = o->stride.h,
        .sw = o->stride.w,
        .dh = o->dilation.h,
        .dw = o->dilation.w,
        .pt = p.top,
        .pl = p.left,
        .flip = o->flip,
    };
}

static lens_status infer(op_node *d) {
    lens_conv2d_opts *o = d->opts;
    shape in = d->in[0];
    bool one_d = is_1d(d);
    bool wants_1d = strcmp(d->kind->name, "conv1d") == 0;
    if (one_d != wants_1d || in.rank < 3)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE, "%s: %s needs input %s but got rank %d", d->name,
                        d->kind->name, wants_1d ? "(N,C,L)" : "(N,C,H,W)", in.rank);
    LENS_TRY(conv_check(d, &o->kernel, &o->stride, &o->dilation, o->pad, o->pads, &o->groups,
                        o->out, one_d));
    if (o->table && o->groups != 1)
        return ctx_fail(d->ctx, LENS_BAD_ARG, "%s: a connection table needs one group, not %d",
                        d->name, o->groups);
    conv_shape s = shape_of(d);
    conv_pads p = pads_of(o, one_d);
    if (s.oh == 0 || s.ow == 0)
        return ctx_fail(
            d->ctx, LENS_BAD_SHAPE,
            "%s: kernel %dx%d (with dilation %dx%d) is larger than the padded input %dx%d", d->name,
            s.kh, s.kw, (s.kh - 1) * s.dh + 1, (s.kw - 1) * s.dw + 1, in.h + p.top + p.bottom,
            in.w + p.left + p.right);
    int64_t kk = (int64_t)s.kh * s.kw, connections = (int64_t)s.o * (s.c / s.groups);
    if (connections * kk > CONV_MAX_WEIGHTS)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE, "%s: %lld weights are more than the %lld allowed",
                        d->name, (long long)(connections * kk), (long long)CONV_MAX_WEIGHTS);
    if (o->table) LENS_TRY(table_check(d, o->table, s.o, s.c, &connections));
    d->out = (shape){ in.rank, s.o, s.oh, s.ow };
    conv_params(d, s.o, s.c / s.groups, s.o, o->kernel, one_d, !o->no_bias, connections * kk);
    if (o->table) d->param[0].fan_in = (int)(connections * kk / s.o);
    d->macs = connections * kk * s.oh * s.ow;
    d->connections = d->macs + (o->no_bias ? 0 : (int64_t)s.o * s.oh * s.ow);
    d->window = (op_window){ s.kh, s.kw, s.sh, s.sw, s.dh, s.dw, s.pt, s.pl };
    int at = one_d ? snprintf(d->label, sizeof d->label, "%d %s", s.kw, d->kind->name)
                   : snprintf(d->label, sizeof d->label, "%dx%d %s", s.kh, s.kw, d->kind->name);
    if (s.sh > 1 || s.sw > 1)
        at += snprintf(d->label + at, sizeof d->label - (size_t)at, " /%d", s.sw);
    if (p.left || p.top) snprintf(d->label + at, sizeof d->label - (size_t)at, " pad %d", p.left);
    return LENS_OK;
}

/* ---- Session --------------------------------------------------------------------------------- */

static void plan(const op_node *d, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *p) {
    conv_shape s = shape_of(d);
    (void)threads;
    conv_plan(d, &s, false, kern, batch, train, p);
}

static bool takes_before(const op_node *d, op_choice by) {
    conv_shape s = shape_of(d);
    return conv_takes_before(d, &s, false, by);
}

static bool masks(const op_node *d, op_choice by) {
    conv_shape s = shape_of(d);
    return conv_masks(d, &s, false, by);
}

static void forward(const op_run *r) {
    conv_shape s = shape_of(r->node);
    conv_forward(r, &s, false);
}

static void backward(const op_run *r) {
    const lens_conv2d_opts *o = r->node->opts;
    conv_shape s = shape_of(r->node);
    conv_backward(r, &s, false);
    if (r->dparam[0] && o->table)
        table_apply(o->table, s.o, s.c, (size_t)(s.kh * s.kw), r->dparam[0]);
}

static op_algorithm algorithm(const op_node *d, op_pass pass, op_algorithm wanted) {
    conv_shape s = shape_of(d);
    return conv_algorithm(d, &s, false, pass, wanted);
}

/* Absent connections have no weight, whatever an initialiser or a file wrote there. */
static void constrain(const op_node *d, int param, float *value) {
    const lens_conv2d_opts *o = d->opts;
    if (param == 0 && o->table)
        table_apply(o->table, o->out, d->in[0].c, (size_t)(d->window.kh * d->window.kw), value);
}

#define CONV_KIND(kind_name, kind_formula)                                                         \
    {                                                                                              \
        .name = kind_name, .formula = kind_formula,                                                \
        .flags = OP_FUSES_ACT | OP_ADDS | OP_FUSES_NORM | OP_NEEDS_X | OP_RUN_GAPS,                \
        .min_inputs = 1, .max_inputs = 1, .opts_size = sizeof(lens_conv2d_opts),                   \
        .options = options, .infer = infer, .plan = plan, .forward = forward,                      \
        .backward = backward, .constrain = constrain, .takes_before = takes_before,                \
        .masks = masks, .algorithm = algorithm,                                                    \
    }

const op_kind op_conv2d = CONV_KIND(
    "conv2d",
    "y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * x[n,c,i*sh+u*dh-top,j*sw+v*dw-left]");
const op_kind op_conv1d =
    CONV_KIND("conv1d", "y[n,o,j] = b[o] + sum over c,v of w[o,c,v] * x[n,c,j*s+v*d-left]");
