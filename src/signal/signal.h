/* signal.h - what the files of src/signal share.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGNAL_SIGNAL_H
#define SIGNAL_SIGNAL_H

#include "base/base.h"
#include <lenslet/signal.h>

/* Longest side and most cells of a signal: products of sizes stay far within 64 bits, and a float
 * array of the cells within what one picture file may hold. */
enum { SIGNAL_SIDE = 1 << 27 };
#define SIGNAL_CELLS ((int64_t)1 << 27)

/* Sizes of x and k in range, and k within x where the mode wants it. `what` names k. */
lens_status signal_check(lens_ctx *, const char *what, int h, int w, int kh, int kw, lens_mode);

/* LENS_BAD_ARG with the count if any of n values is not finite. */
lens_status signal_finite(lens_ctx *, const char *what, const double *x, size_t n);

static inline size_t cells(int h, int w) { return (size_t)h * (size_t)w; }

#endif
