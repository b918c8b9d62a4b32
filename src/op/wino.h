/* wino.h - convolution by Winograd's F(4x4, 3x3): 36 products where the direct way takes 144.
 *
 * For 3x3 kernels with stride 1. The output is cut into tiles of 4x4; a tile needs 6x6 inputs. The
 * padded input goes into a panel split into 4x4 phases, so that one number of neighbouring tiles lies
 * next to each other and lanes run along tiles, across row ends, as positions do in corr.h. Then, for
 * a few vectors of tiles at a time:
 *     V = B' d B      [36][in maps][tiles]      for every input map
 *     M = U V         [36][out maps][tiles]     one product for each of the 36 points: slot `tile`
 *     y = A' M A                                bias and activation on the way out
 * U = G g G'. Results differ from the direct way by rounding (about three times
 * its error); a context made `strict` never comes here.
 *
 * The adjoint pass is the same walk with the kernel turned and its maps exchanged.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_WINO_H
#define OP_WINO_H

#include "op/corr.h"

/* A pass, planned: in a session's cache, like corr. */
typedef struct wino {
    bool built, adjoint, flip;
    int in_c, out_c, in_h, in_w, out_h, out_w, before_y, before_x;
    int tiles_y, tiles_x;
    int pitch;     /* tiles_x + 1: of a phase's row in the panel */
    int block;     /* rows of tiles per task */
    int rows;      /* maps of a product tile */
    int columns;   /* tiles multiplied at a time: whole vectors */
    bool dense;    /* V leaves out the panel's last column: for rows of a few tiles */
    float *packed; /* [row block][36][in_c][rows] */
} wino;

/* Whether this pass pays and its numbers are allowed. */
bool wino_suits(const conv_shape *, bool adjoint, bool strict);
size_t wino_bytes(const conv_shape *, bool adjoint, const struct kern *);
size_t wino_thread_bytes(const conv_shape *, bool adjoint, const struct kern *);
void wino_build(wino *, const conv_shape *, bool adjoint, const struct kern *);
/* w (o, c, 3, 3), multiplied by scale[output map] unless that is NULL. */
void wino_pack(wino *, const struct kern *, pool *, const float *w, const float *scale);
void wino_run(const wino *, const corr_io *);

#endif
