/* layers.h - one list of layers with awkward shapes, strides, paddings, groups and dilations. The
 * oracle is checked over it by finite differences, the engine against the oracle.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_LAYERS_H
#define TESTS_SUPPORT_LAYERS_H

#include "ref/ref_ops.h"
#include <lenslet/net.h>

typedef struct layer {
    const char *what;
    ref_op ref;
    lens_mode mode;    /* given to the builder instead of the padding in ref */
    const char *table; /* connection table as text; ref.connected says the same */
    bool sequence;     /* (N,C,L) instead of (N,C,1,L) */
    bool features;     /* flattened before */
} layer;

/* All layers, planned. */
const layer *layers(size_t *count);

/* LeNet-5's C3: which of the 6 input maps each of the 16 output maps reads (LeCun 1998, table I). */
extern const unsigned char lenet5_c3[16 * 6];

/* The layer on top of x, through the public builders, named "layer". */
lens_node *layer_build(lens_node *x, const layer *);

#endif
