/* output.c - one more output of the net: its input's memory under a name of its own. What it means for
 * training and inference is the net's affair; here it is only checked.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op_opts.h"
#include "op/parts.h"

#include <math.h>

static const op_option options[] = {
    { "weight", OP_FLOAT, offsetof(lens_output_opts, weight), "of its loss in training; 0: none" },
    { "training", OP_BOOL, offsetof(lens_output_opts, training), "left away in inference" },
    { 0 },
};

static lens_status infer(op_node *node) {
    const lens_output_opts *o = node->opts;
    if (!(o->weight >= 0 && isfinite(o->weight)))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: weight is %g but must not be below 0",
                        node->name, (double)o->weight);
    if (o->training && !o->weight)
        return ctx_fail(node->ctx, LENS_BAD_ARG,
                        "%s: an output for training alone needs the weight of its loss",
                        node->name);
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "%s", o->training ? "training output" : "output");
    return LENS_OK;
}

const op_kind op_output = {
    .name = "output",
    .formula = "y = x, read by the caller",
    .flags = OP_ALIAS | OP_OUTPUT,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_output_opts),
    .options = options,
    .infer = infer,
};
