/* panel.h - the geometry of a convolution pass: its panel, its walks, its tile. See corr.h for the idea.
 *
 * Shared by corr.c (forward and adjoint) and corr_weights.c (weight gradient); nobody else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_PANEL_H
#define OP_PANEL_H

#include "base/tuning.h"
#include "op/blocks.h"
#include "op/corr.h"

/* What a layout is for: a pass, or one of the two ways of corr_weights. */
typedef enum panel_purpose { FORWARD, THROUGH_BEFORE, ADJOINT, DOTS, OUTER } panel_purpose;

/* All of c but its tile and tables. */
void panel_lay_out(corr *c, const conv_shape *, panel_purpose);

/* Bytes of the head and the tables that follow it: walks, row offsets, taps; the packed weights come after
 * them. */
size_t panel_tables_bytes(const corr *);
/* Lays out, chooses the tile and fills the tables. */
void panel_build(corr *, const conv_shape *, panel_purpose, const struct kern *);

/* Issue slots of out_c maps over a line of `length` positions, k taps, in tiles v vectors wide. fetch: of a
 * vector of positions, if its rows lie apart in L2. */
double panel_line_cost(const struct kern *, int out_c, int v, double k, int length, double fetch);
/* Sets the tile: rows, vectors, by_row. */
void panel_choose_tile(corr *, const struct kern *);

/* Floats of one channel and phase of the panel; of one channel; of all channels, 0 if direct. */
static inline size_t panel_plane(const corr *c) { return (size_t)c->panel_rows * (size_t)c->pitch; }
static inline size_t panel_channel(const corr *c) {
    return (size_t)(c->phases_y * c->phases_x) * panel_plane(c);
}
static inline size_t panel_floats(const corr *c) {
    return c->direct ? 0 : panel_channel(c) * (size_t)c->in_c;
}

/* True if rows of the output grid follow each other in memory as they do in the panel. */
static inline bool panel_contiguous(const corr *c) {
    return c->grid_y == 1 && c->grid_x == 1 && c->pitch == c->out_w;
}

/* Positions that tiles of one block run over when they cross row ends. */
static inline int panel_flat_length(const corr *c, int rows, int columns) {
    return (rows - 1) * c->pitch + columns;
}

/* Copies what grid rows r0 .. r0+rows-1 need from `channels` planes `in` into the panel; `before`, of the
 * first of them, or NULL. */
void panel_fill(const corr *, const struct kern *, const corr_before *before, const float *in,
                int channels, int r0, int rows, float *panel);

/* Into how many parts to cut each of `tasks`, each with a panel of its own, so that `pieces` are there
 * to be shared out. */
static inline int panel_split(int tasks, int pieces, int most, double macs) {
    if (tasks >= pieces || macs < TUNE_SPLIT_MACS) return 1;
    return imin(most, up(pieces, tasks));
}

#endif
