/* neon.c - the level of 64-bit ARM, four lanes.
 *
 * Thirty-two registers hold rows*vectors accumulators, the vectors of B and one element of A: 14x1
 * takes 16, 12x2 27, 8x3 28, 6x4 29.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#if defined(__aarch64__)

#include "kern/vec/vec_neon.h"

#define LEVEL_NAME   "neon"
#define LEVEL_TABLE  kern_neon
#define TILE_ROWS_1  14
#define TILE_ROWS_2  12
#define TILE_ROWS_3  8
#define TILE_ROWS_4  6
#define TILE_VECTORS 4
#define DOT_ROWS     6
#define DOT_COLUMNS  4

#include "kern/body/level.h"

#endif
