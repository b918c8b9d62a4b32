/* level.h - every kernel body, then the table of one level made of them.
 *
 * Parameters, defined by the file of the level before it includes this one:
 *   the vocabulary of vec.h
 *   LEVEL_NAME, LEVEL_TABLE     "avx2", kern_avx2
 *   TILE_ROWS_1 ... TILE_ROWS_4, TILE_VECTORS     see tile.h
 *   DOT_ROWS, DOT_COLUMNS                         see dot.h
 * All functions are static; the table is the only symbol that leaves the file.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "kern/kern.h"
#include "kern/levels.h"
#include <math.h>
#include <string.h>

#include "kern/body/elementwise.h"

#include "kern/body/dot.h"
#include "kern/body/optim.h"
#include "kern/body/pool.h"
#include "kern/body/probe.h"
#include "kern/body/rows.h"
#include "kern/body/sums.h"
#include "kern/body/tile.h"
#include "kern/body/transpose.h"
#include "kern/body/winograd.h"

const struct kern LEVEL_TABLE = {
    .name = LEVEL_NAME,
    .lanes = V_LANES,
    .tile_rows = { 0, TILE_ROWS_1, TILE_ROWS_2, TILE_ROWS_3, TILE_ROWS_4 },
    .tile_vectors = TILE_VECTORS,
    .dot_rows = DOT_ROWS,
    .dot_columns = DOT_COLUMNS,
    .tile = tile,
    .dot = dot,
    .transpose = transpose,
    .every = every,
    .wino_in = wino_in,
    .wino_out = wino_out,
    .wino_kernel = wino_kernel,
    .wino_turned = wino_turned,
    .wino_back_kernel = wino_back_kernel,
    .act = act,
    .act_back = act_back,
    .add = add,
    .scale_shift = scale_shift,
    .scale_shift_add = scale_shift_add,
    .axpy = axpy,
    .mul = mul,
    .sum = sum,
    .moments = moments,
    .norm_back_sums = norm_back_sums,
    .norm_back = norm_back,
    .all_finite = all_finite,
    .max_pool = max_pool,
    .max_pool_back = max_pool_back,
    .sum_pool = sum_pool,
    .sum_pool_back = sum_pool_back,
    .softmax = softmax,
    .cross_entropy = cross_entropy,
    .optim = optim,
    .fma_chains = fma_chains,
    .read = read,
};
