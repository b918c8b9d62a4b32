/* rearrange.h - the index map of the operator rearrange, for who moves constants by the same rule.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_REARRANGE_H
#define OP_REARRANGE_H

#include "op/op.h"

enum { REARRANGE_MAX_RANK = 8 };

/* From the three texts of lens_rearrange_opts. Axis d of the output is axis order[d] of the input. */
typedef struct rearrangement {
    int rank;
    int64_t in[REARRANGE_MAX_RANK], out[REARRANGE_MAX_RANK];
    int order[REARRANGE_MAX_RANK];
    const char *index[REARRANGE_MAX_RANK]; /* text of one axis; NULL: all in order */
} rearrangement;

/* NULL, or what is wrong with the texts. */
const char *rearrange_parse(const char *axes, const char *order, const char *index,
                            rearrangement *);

/* at[i]: where output i lies in the input, or -1 for the value. There are out[0]*...*out[rank-1]. */
void rearrange_places(const rearrangement *, int32_t *at);

#endif
