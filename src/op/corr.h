/* corr.h - the engine behind every convolution: cross-correlation over zero-padded panels.
 *
 * One conv_shape describes a strided, padded, dilated, grouped cross-correlation
 *     y[o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * x[c, i*sh + u*dh - pt, j*sw + v*dw - pl]
 * and the engine offers its three passes: corr_forward (y from x), corr_adjoint (dx from dy, which is
 * also the forward pass of a transposed convolution) and corr_weights (dw from x and dy).
 *
 * How it works. All data stays planar. For one image and a block of output rows the input rows are
 * copied into a *panel*: zero-padded, and split into sh*sw phases so that a stride becomes a step of
 * one. In the panel the tap (c,u,v) of output position p = i*pitch + j lies at row[t] + p, so a
 * convolution is a matrix product whose B has a table of row offsets: the `tile` kernel's form, with
 * lanes running along positions and across row ends.
 *
 *     panel of one channel and phase          positions of a tile, pitch 6, output width 4:
 *       . . . . . .                             0 1 2 3 x x 6 7 8 9 x x ...
 *       . a b c d .                             (x: computed, then dropped)
 *       . e f g h .
 *
 * Where a window is one cell (1x1) its taps lie a plane apart, and the roles can be turned: lanes along maps,
 * the positions as rows of the tile, the result transposed. 49 positions are 4 rows of tiles then, while
 * they fill four vectors only to three quarters.
 *
 * The adjoint is the same walk over a panel of dy: each of the sh*sw phases of dx is a stride-1
 * correlation with its own subset of taps, so no zeros are inserted anywhere.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_CORR_H
#define OP_CORR_H

#include "op/op.h"

typedef struct conv_shape {
    int groups, c, o; /* maps in and out, all groups together */
    int h, w, oh, ow;
    int kh, kw, sh, sw, dh, dw, pt, pl;
    bool flip; /* tap (u,v) uses w[.., kh-1-u, kw-1-v]: true convolution */
} conv_shape;

/* One stride-1 walk over a panel: `taps` rows of B per output, written to a grid inside the output. */
typedef struct corr_walk {
    int rows, columns;   /* output grid */
    int out_y, out_x;    /* its first cell in the output plane */
    int first_tap, taps; /* its part of row[] and of the packed weights, per group */
} corr_walk;

/* A pass, planned. Lives in a session's cache or scratch, followed by its tables: plan with corr_bytes, then
 * corr_build into that memory. */
typedef struct corr {
    bool adjoint;
    conv_shape s;
    int in_c, out_c;              /* per group: channels of the panel, rows of the product */
    int in_h, in_w, out_h, out_w; /* planes read and written */
    int step_y, step_x;           /* panel phases: input step; 1 for the adjoint */
    int grid_y, grid_x;           /* output step; 1 forward */
    int phases_y, phases_x;
    int before_y, before_x; /* panel row q of phase p holds input row q*step_y + p - before_y */
    int span_y, span_x;     /* rows and columns a window adds to the panel */
    int pitch, panel_rows;  /* panel plane */
    int block;              /* output grid rows per task */
    bool line;              /* 1x1: a plane is one line of positions, a row being one of them */
    bool direct;            /* the input itself serves as panel */
    bool before;            /* the input is read through corr_io.before */
    bool by_row;            /* tiles stop at row ends (else run across them) */
    bool gaps;              /* some walk has no tap: a stride longer than the window */
    bool turned;            /* lanes run along maps instead of positions */
    int rows, vectors;      /* tile; rows: maps of a block, all its lanes if turned */
    int walks, taps;        /* taps of all walks */
    corr_walk *walk;
    int32_t *row;    /* [taps] panel offsets, k = (channel, u, v) */
    int32_t *tap_of; /* [taps] u*kw + v of the weight each uses */
    float *packed;   /* [group][walk][row block][taps][rows]; slack */
} corr;

size_t corr_bytes(const conv_shape *, bool adjoint);
void corr_build(corr *, const conv_shape *, bool adjoint, bool before, const struct kern *);
/* The same for corr_weights: no packed weights. */
size_t corr_table_bytes(const conv_shape *, const struct kern *);
void corr_build_tables(corr *, const conv_shape *, const struct kern *);
/* Per-thread scratch in bytes of a run, and of corr_weights. */
size_t corr_thread_bytes(const conv_shape *, bool adjoint, bool before, const struct kern *);

/* Repacks w (o, c/groups, kh, kw), multiplied by scale[output map] unless that is NULL. */
void corr_pack(corr *, const struct kern *, pool *, const float *w, const float *scale);

/* in -> act(scale*in + shift) for each input map; scale NULL: in itself. */
typedef struct corr_before {
    const float *scale, *shift;
    act_kind act;
    float slope;
} corr_before;

/* out = act(bias + correlation + add) for n images; in (n, in maps, ...), out (n, out maps, ...) in
 * full. */
typedef struct corr_io {
    const struct kern *kern;
    pool *workers;
    int n;
    const float *in;
    float *out;
    size_t in_gap, out_gap; /* floats between one image and the next; add and mask have none */
    const float *bias;      /* per output map, or NULL */
    const float *add;       /* like out, maybe out itself, or NULL; act then takes a stride of 1 */
    act_kind act;           /* ACT_NONE, ACT_RELU, ACT_LEAKY */
    float slope;
    const float
        *mask; /* for wino_run alone: like out, which is 0 where this is not above 0; or NULL */
    corr_before before;
    void *thread_scratch;
    size_t thread_stride;
} corr_io;
void corr_run(const corr *, const corr_io *);

/* dw (o, c/groups, kh, kw) = sum over images of the products of dy and the panels of x; the tables come from
 * corr_build_tables. scratch: corr_weights_bytes. The sum is split into a number of chunks that depends
 * on n and the shape alone, added in order. */
size_t corr_weights_bytes(const conv_shape *, const struct kern *, int batch);
size_t corr_weights_thread_bytes(const conv_shape *, const struct kern *, int batch);
void corr_weights(const corr *tables, const struct kern *, pool *, int n, const float *x,
                  const float *dy, float *dw, void *scratch, void *thread_scratch,
                  size_t thread_stride);

/* db[o] = sum over images and positions of dy. */
void corr_bias(const struct kern *, pool *, int n, int o, size_t plane, const float *dy, float *db);

#endif
