/* avx2.c - the level of x86-64 CPUs with AVX2 and FMA (2013 on), eight lanes.
 *
 * Sixteen registers hold rows*vectors accumulators, the vectors of B and one element of A: 12x1
 * takes 14, 6x2 15, 4x3 16, 2x4 13.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#if defined(__x86_64__)

#include "kern/vec/vec_avx2.h"

#define LEVEL_NAME   "avx2"
#define LEVEL_TABLE  kern_avx2
#define TILE_ROWS_1  12
#define TILE_ROWS_2  6
#define TILE_ROWS_3  4
#define TILE_ROWS_4  3
#define TILE_VECTORS 4
#define DOT_ROWS     4
#define DOT_COLUMNS  3

#include "kern/body/level.h"

#endif
