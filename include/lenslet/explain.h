/* lenslet/explain.h - where one number of a network comes from, as plain numbers.
 *
 * A unit is one output number of a node: channel c, row, column of one sample. Features (N,F) are
 * channels with row and column 0, a sequence (N,C,L) has row 0.
 * Errors: LENS_BAD_ARG: a unit or sample outside, a session without .watch or not yet run, a node of
 * another net; LENS_UNSUPPORTED: a kind of node that is no weighted sum or choice; LENS_NOMEM.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_EXPLAIN_H
#define LENSLET_EXPLAIN_H

#include <lenslet/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows top..bottom-1 and columns left..right-1; empty where bottom == top. */
typedef struct lens_region {
    int top, left, bottom, right;
} lens_region;

/* fields[i] for every node i of the net (lens_net_nodes of them): the smallest rectangle of its cells,
 * in any channel, on which the units of `node` at that row and column can depend; empty for nodes that
 * do not lie upstream. The entry of the input is the receptive field: theoretical, cut at the borders
 * of every layer on the way, as padding depends on nothing. */
LENS_API lens_status lens_receptive_field(const lens_node *node, int row, int column,
                                          lens_region *fields);

typedef enum lens_ledger_kind {
    LENS_LEDGER_PRODUCTS, /* convolution, dense: sum of weight * value, plus bias */
    LENS_LEDGER_SUM,      /* average and sum pooling, subsample: scale * sum of values, plus bias */
    LENS_LEDGER_MAX       /* maximum pooling: the largest value */
} lens_ledger_kind;

/* The full account of one unit, summed again in double from the engine's own inputs:
 *     sum = scale * (subtotal[0] + ... + subtotal[maps-1]) + bias, or the largest term
 *     difference = value - sum, the rounding of the engine's single precision
 * Arrays are (maps,kh,kw). The window's cell (u,v) of map m lies at channel first_map + m, row + u *
 * row_step, column + v * column_step of `source`; where that is outside, x is 0 and inside false. */
typedef struct lens_ledger {
    lens_ledger_kind kind;
    const lens_node *node;   /* the sum, where an activation was asked for: what it is applied to */
    const lens_node *source; /* what it reads; of a dense layer what was flattened for it */
    int maps, kh, kw;
    int first_map, row, column, row_step, column_step;
    float *x, *w;     /* w: as applied to x (turned where the layer flips); pooling: 1 */
    double *term;     /* w * x, exact */
    double *subtotal; /* [maps]: sum of the terms of a map */
    bool *inside;
    int64_t best;       /* LENS_LEDGER_MAX: index of the first largest term; else -1 */
    double scale, bias; /* 1 and 0 where the layer has none */
    double sum;
    float value;       /* the engine's */
    double difference; /* value - sum */
    const char
        *activation; /* "relu": of the node asked for, or of one that reads the sum; or NULL */
    float result;    /* the engine's number after it; `value` without one */
} lens_ledger;

/* From a session made with .watch, after a run. Free it with lens_ledger_free. */
LENS_API lens_status lens_ledger_new(lens_ledger **out, lens_session *, const lens_node *,
                                     int sample, int c, int row, int column);
LENS_API void lens_ledger_free(lens_ctx *, lens_ledger *); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
