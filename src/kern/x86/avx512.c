/* avx512.c - the level of x86-64 CPUs with AVX-512 (F, BW, VL, DQ), sixteen lanes.
 *
 * Thirty-two registers hold rows*vectors accumulators, the vectors of B and one element of A: 14x1
 * takes 16, 14x2 31, 8x3 28, 6x4 29.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#if defined(__x86_64__)

#include "kern/vec/vec_avx512.h"

#define LEVEL_NAME   "avx512"
#define LEVEL_TABLE  kern_avx512
#define TILE_ROWS_1  14
#define TILE_ROWS_2  14
#define TILE_ROWS_3  8
#define TILE_ROWS_4  6
#define TILE_VECTORS 4
#define DOT_ROWS     6
#define DOT_COLUMNS  4

#include "kern/body/level.h"

#endif
