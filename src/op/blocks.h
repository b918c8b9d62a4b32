/* blocks.h - counting in blocks, and what they cost: shared by the products of src/op.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_BLOCKS_H
#define OP_BLOCKS_H

#include <stddef.h>

/* Multiply-adds a core retires per nanosecond, for the cost estimates that decide between serial
 * and parallel: 0.5 * 32 lanes * about 3.5 GHz is 56 for AVX-512 and half for AVX2; a factor of two
 * matters little. */
#define MACS_PER_NS 30.0

/* Blocks of `size` that n >= 0 things take. */
static inline int up(int n, int size) { return (n + size - 1) / size; }

static inline size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

#endif
