/* conv.h - what conv2d, conv1d and conv_transpose2d share: checks of options, and the
 * declaration of parameters.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_CONV_H
#define OP_CONV_H

#include "op/corr.h"

/* Effective padding on each side. */
typedef struct conv_pads {
    int top, left, bottom, right;
} conv_pads;

/* Checks numbers and fills groups, kernel, stride and dilation defaults; `one_d`: heights are 1. */
lens_status conv_check(const op_node *, lens_size *kernel, lens_size *stride, lens_size *dilation,
                       int pad, const int pads[4], int *groups, int out, bool one_d);
/* Declares weight and bias. */
void conv_params(op_node *, int out, int in_per_group, int out_first, lens_size kernel, bool one_d,
                 bool bias, int64_t weights);

/* Largest kernel side, stride, dilation, padding and group count; most weights of a layer: sizes
 * derived from them stay within 64 bits, panel offsets within 32. */
enum { CONV_MAX = 1 << 16 };
#define CONV_MAX_WEIGHTS ((int64_t)1 << 31)

#endif
