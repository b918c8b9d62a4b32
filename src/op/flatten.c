/* flatten.c - the same numbers under another shape. The output is the input's memory: nothing runs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op_opts.h"
#include "op/parts.h"

static const op_option options[] = {
    { "shape", OP_SHAPE, offsetof(lens_shape_opts, c), "channels x height x width; required" },
    { 0 },
};

static const op_option sequence_options[] = {
    { "shape", OP_SHAPE, offsetof(lens_shape_opts, c), "channels x length; required" },
    { 0 },
};

/* Once rows and columns are gone or rearranged, a number stands for the whole picture: so a dense
 * layer behind reports the field it really has. */
static void whole_window(op_node *node) {
    shape in = node->in[0], out = node->out;
    op_window_point(node);
    if (in.h == out.h && in.w == out.w) return;
    node->window.kh = in.h;
    node->window.kw = in.w;
}

static lens_status flatten_infer(op_node *node) {
    size_t count = shape_count(node->in[0]);
    if (count > OP_MAX_DIM)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE, "%s: %zu features, but at most %d are supported",
                        node->name, count, OP_MAX_DIM);
    node->out = (shape){ .rank = 2, .c = (int)count, .h = 1, .w = 1 };
    whole_window(node);
    snprintf(node->label, sizeof node->label, "flatten");
    return LENS_OK;
}

static lens_status reshape_infer(op_node *node) {
    const lens_shape_opts *o = node->opts;
    LENS_TRY(op_check_range(node, "channels", o->c, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "height", o->h, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "width", o->w, 1, OP_MAX_DIM));
    char text[48];
    size_t have = shape_count(node->in[0]);
    if ((double)o->c * o->h * o->w != (double)have)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: input %s has %zu numbers but %dx%dx%d needs %.0f", node->name,
                        op_shape_text(node->in[0], text), have, o->c, o->h, o->w,
                        (double)o->c * o->h * o->w);
    node->out = (shape){ .rank = 4, .c = o->c, .h = o->h, .w = o->w };
    whole_window(node);
    snprintf(node->label, sizeof node->label, "reshape %dx%dx%d", o->c, o->h, o->w);
    return LENS_OK;
}

static lens_status reshape1d_infer(op_node *node) {
    lens_shape_opts *o = node->opts;
    o->h = 1;
    LENS_TRY(reshape_infer(node));
    node->out.rank = 3;
    snprintf(node->label, sizeof node->label, "reshape %dx%d", o->c, o->w);
    return LENS_OK;
}

const op_kind op_flatten = {
    .name = "flatten",
    .formula = "(N,C,H,W) -> (N,C*H*W), in that order",
    .flags = OP_ALIAS,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = flatten_infer,
};

const op_kind op_reshape = {
    .name = "reshape",
    .formula = "(N,...) -> (N,c,h,w), the same numbers in the same order",
    .flags = OP_ALIAS,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_shape_opts),
    .options = options,
    .infer = reshape_infer,
};

const op_kind op_reshape1d = {
    .name = "reshape1d",
    .formula = "(N,...) -> (N,c,l), the same numbers in the same order",
    .flags = OP_ALIAS,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_shape_opts),
    .options = sequence_options,
    .infer = reshape1d_infer,
};
