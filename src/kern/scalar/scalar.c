/* scalar.c - the level every machine has: portable C over four lanes.
 *
 * Sixteen registers (SSE2) hold rows*vectors accumulators, the vectors of B, one element of A and
 * one product: 12x1 takes 15, 5x2 14, 3x3 14, 2x4 14.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "kern/vec/vec_scalar.h"

#define LEVEL_NAME   "scalar"
#define LEVEL_TABLE  kern_scalar
#define TILE_ROWS_1  12
#define TILE_ROWS_2  5
#define TILE_ROWS_3  3
#define TILE_ROWS_4  2
#define TILE_VECTORS 4
#define DOT_ROWS     4
#define DOT_COLUMNS  2

#include "kern/body/level.h"
