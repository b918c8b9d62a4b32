/* wino.h - convolution by Winograd's F(m x m, k x k): 16 products for 2x2 outputs and 36 for 4x4, where the
 * direct way takes 36 and 144 for 3x3 kernels; for 5x5 kernels 64 for 4x4 instead of 400.
 *
 * For 3x3 and 5x5 kernels with stride 1. The output is cut into tiles of m x m; a tile needs n x n inputs,
 * n = m+k-1, its points. The tiles of all pictures are counted through and taken in groups of a few vectors,
 * lanes along tiles, whatever the size of a picture:
 *
 *     V = B' d B      [point][in maps][tiles]     for every input map, from the picture itself
 *     M = U V         [point][maps][tiles]        for a block of output maps: slot `tile`, once a point
 *     y = A' M A                                  bias, addend and activation on the way out
 *
 * U = G g G' lies in the order in which the products of a block read it, so that it streams when no cache
 * holds it. Groups are shared out to the threads; when there are fewer groups than threads, the threads
 * share a group: first its input maps, then the blocks of output maps.
 *
 * The adjoint pass is the same walk with the kernel turned and its maps exchanged. m depends on the shape
 * alone; results differ from the direct way by rounding (F(4x4, 3x3): two to three times its error, F(2x2, 3x3):
 * less than its error, F(4x4, 5x5): five times, its weight gradient twenty); a context made `strict` never comes here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_WINO_H
#define OP_WINO_H

#include "op/corr.h"

/* A pass, planned: in a session's cache or scratch, like corr. */
typedef struct wino {
    bool adjoint, flip;
    int m, k;   /* outputs of a tile along an axis, cells of a kernel */
    int points; /* (m+k-1)^2 */
    int in_c, out_c;
    wino_tiles in, out; /* planes read and written */
    int rows;           /* maps of a block of packed weights */
    float *packed;      /* [row block][point][in_c][rows] */
} wino;

/* Whether a pass can go by tiles of m x m outputs: F(2x2, 3x3), F(4x4, 3x3) or F(4x4, 5x5). */
bool wino_can(const conv_shape *, bool adjoint, int m);
/* The m that an estimate of costs prefers; 0: the direct way. */
int wino_estimate(const conv_shape *, bool adjoint);
size_t wino_bytes(const conv_shape *, bool adjoint, int m, const struct kern *);
size_t wino_thread_bytes(const conv_shape *, bool adjoint, int m, const struct kern *, int batch);
void wino_build(wino *, const conv_shape *, bool adjoint, int m, const struct kern *);
/* w (o, c, k, k), multiplied by scale[output map] unless that is NULL. */
void wino_pack(wino *, const struct kern *, pool *, const float *w, const float *scale);
void wino_run(const wino *, const corr_io *);

/* dw (o, c, k, k) = G' dU G, dU[point] = sum over the tiles of n pictures of (A dy A')[point] V[point]', in
 * the order of the tiles, by groups; where the forward pass can. */
size_t wino_weights_thread_bytes(const conv_shape *, int m, const struct kern *, int batch);
void wino_weights(const conv_shape *, int m, const struct kern *, pool *, int n, const float *x,
                  const float *dy, float *dw, void *thread_scratch, size_t thread_stride);

#endif
