/* input.c - where data enters: (N,c,h,w), or (N,c,w) for sequences. It computes nothing: the session
 * copies the caller's samples into the node's value.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op_opts.h"

static const op_option options[] = {
    { "shape", OP_SHAPE, offsetof(lens_shape_opts, c), "channels x height x width; required" },
    { 0 },
};

static const op_option options_1d[] = {
    { "shape", OP_SHAPE, offsetof(lens_shape_opts, c), "channels x length; required" },
    { 0 },
};

static lens_status infer_rank(op_node *node, int rank) {
    const lens_shape_opts *opts = node->opts;
    LENS_TRY(op_check_range(node, "channels", opts->c, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "height", opts->h, 1, rank == 4 ? OP_MAX_DIM : 1));
    LENS_TRY(op_check_range(node, rank == 4 ? "width" : "length", opts->w, 1, OP_MAX_DIM));
    int64_t count = (int64_t)opts->c * opts->h;
    if (count > INT32_MAX / opts->w)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: %dx%dx%d is more than the %d numbers a sample may have", node->name,
                        opts->c, opts->h, opts->w, INT32_MAX);
    node->out = (shape){ .rank = rank, .c = opts->c, .h = opts->h, .w = opts->w };
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "%s", node->kind->name);
    return LENS_OK;
}

static lens_status infer(op_node *node) { return infer_rank(node, 4); }
static lens_status infer_1d(op_node *node) { return infer_rank(node, 3); }

const op_kind op_input = {
    .name = "input",
    .formula = "x (N,c,h,w)",
    .opts_size = sizeof(lens_shape_opts),
    .options = options,
    .infer = infer,
};

const op_kind op_input1d = {
    .name = "input1d",
    .formula = "x (N,c,w)",
    .opts_size = sizeof(lens_shape_opts),
    .options = options_1d,
    .infer = infer_1d,
};
