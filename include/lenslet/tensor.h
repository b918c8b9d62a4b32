/* lenslet/tensor.h - a tensor is a view: a pointer and a shape. It never owns.
 *
 * At every public edge data is float32, row-major and packed: (N,C,H,W), (N,C,L) for sequences,
 * (N,F) for features. Pictures are RGB: plane 0 is red.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_TENSOR_H
#define LENSLET_TENSOR_H

#include <lenslet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LENS_MAX_RANK = 4 };

typedef struct lens_tensor {
    float *data;
    int rank;                   /* 0 (one number) .. LENS_MAX_RANK */
    int64_t dim[LENS_MAX_RANK]; /* dim[0..rank-1], each >= 0 */
} lens_tensor;

/* The number of elements; -1 if the rank or a dimension is out of range or the product overflows
 * what could be addressed as floats. */
LENS_API int64_t lens_tensor_count(const lens_tensor *);

/* "8x1x28x28" into buf (always terminated); returns buf. */
LENS_API const char *lens_tensor_shape(const lens_tensor *, char buf[96]);

/* Planes of an interleaved picture and back: (H,W,C) <-> (C,H,W). src and dst must not overlap. */
LENS_API void lens_hwc_to_chw(const float *src, float *dst, int c, int h, int w);
LENS_API void lens_chw_to_hwc(const float *src, float *dst, int c, int h, int w);

#ifdef __cplusplus
}
#endif
#endif
