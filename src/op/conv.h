/* conv.h - what conv2d, conv1d and conv_transpose2d share: checks of options,
 * declaration of parameters, and the choice of algorithm.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_CONV_H
#define OP_CONV_H

#include "op/corr.h"
#include "op/wino.h"

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

/* One pass of a convolution by an algorithm: Winograd (wino.h) or direct (corr.h). The estimate depends
 * on the shape and on the context's `strict` alone, so an algorithm, and with it every bit, is the same for
 * any batch, thread count and session that asks for no other. `cache`: conv_pass_bytes, filled when
 * repacking. */
typedef struct conv_pass {
    conv_shape s;
    bool adjoint;
    int m; /* side of Winograd's tiles; 0: direct */
} conv_pass;
conv_pass conv_pass_of(const op_node *, const conv_shape *, bool adjoint, op_algorithm wanted);
size_t conv_pass_bytes(const conv_pass *, const struct kern *);
size_t conv_pass_thread_bytes(const conv_pass *, bool before, const struct kern *, int batch);
/* scale: of the output maps, when repacking; NULL: 1. */
void conv_pass_run(const conv_pass *, void *cache, bool repack, const float *w, const float *scale,
                   const corr_io *);

/* op_kind.algorithm of a layer whose forward pass is `adjoint` or not. */
op_algorithm conv_algorithm(const op_node *, const conv_shape *, bool adjoint, op_pass,
                            op_algorithm wanted);

/* An inference session keeps the packed weights; a training session packs into scratch for each pass. */
void conv_plan(const op_node *, const conv_shape *, bool adjoint_forward, const struct kern *,
               int batch, bool train, op_plan *);

/* op_kind.takes_before: panels are copied anyhow; Winograd's input transform has no place for it. */
bool conv_takes_before(const op_node *, const conv_shape *, bool adjoint_forward, op_choice);
/* op_kind.masks: what Winograd writes; the tiles of the direct way take no mask. */
bool conv_masks(const op_node *, const conv_shape *, bool adjoint_forward, op_choice);

/* Forward of a layer whose forward pass is `adjoint` or not; backward of the same. y's maps: out_maps. */
void conv_forward(const op_run *, const conv_shape *, bool adjoint);
void conv_backward(const op_run *, const conv_shape *, bool adjoint);

#endif
