/* parts.h - what several operator files share besides op.h: splitting work, labels, one maximum.
 *
 * Invariant: a range handed out by op_each depends on the number and size of the items alone, never
 * on threads, so an operator that writes each item from one range has the same bits on any pool.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_PARTS_H
#define OP_PARTS_H

#include "op/op.h"

/* Work on items first..last-1; `thread` indexes op_scratch. */
typedef void op_range_fn(const void *arg, size_t first, size_t last, int thread);

/* Calls fn for consecutive ranges that cover items 0..items-1, on the threads of the pool. `numbers`
 * is what one item moves through memory, floats read plus floats written: it sizes the ranges (one
 * range per item when items are large) and the estimate given to pool_run. */
void op_each(pool *, size_t items, size_t numbers, op_range_fn *fn, const void *arg);

/* The same over `count` floats; ranges start at multiples of 16 floats, so vectors stay aligned. */
void op_each_float(pool *, size_t count, size_t numbers, op_range_fn *fn, const void *arg);

/* The single input must be a picture or a sequence: LENS_BAD_SHAPE for features. */
lens_status op_check_planes(const op_node *);

/* Kernel or stride as the operator uses it: {5} is 5x5, or 1x5 on a sequence; {0} is the fallback. */
lens_size op_size_of(const op_node *, lens_size given, lens_size fallback);

/* "5x5 kind /2 pad 1 ceil": the words that say nothing new are left out. pads: top, left, bottom,
 * right. */
void op_label_window(op_node *, lens_size kernel, lens_size stride, const int pads[4], bool ceil);

/* "6x14x14", "6x14" or "84", as messages name a shape; returns buf. */
const char *op_shape_text(shape, char buf[48]);

/* The first maximum, in row-major order, of the cells r0..r1-1, c0..c1-1 of a plane `width` wide; a
 * NaN wins. *where is its index in the plane. */
float op_max_cell(const float *x, int width, int r0, int r1, int c0, int c1, int32_t *where);

#endif
