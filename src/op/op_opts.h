/* op_opts.h - option structs of the operators whose builder takes plain arguments; all others use the
 * public structs of <lenslet/net.h>.
 *
 * Invariant: the builders in src/net fill these, infer reads them, nobody else looks inside.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_OP_OPTS_H
#define OP_OP_OPTS_H

#include "op/op.h"

/* input (N,c,h,w), input1d (N,c,w) with h = 1, reshape. Each 1..OP_MAX_DIM. */
typedef struct lens_shape_opts {
    int c, h, w;
} lens_shape_opts;

typedef struct lens_leaky_relu_opts {
    float slope; /* 0 = 0.01 */
} lens_leaky_relu_opts;

typedef struct lens_dropout_opts {
    float rate; /* 0 < rate < 1 */
} lens_dropout_opts;

#endif
