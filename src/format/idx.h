/* idx.h - the IDX format of MNIST: bytes 0 0 08 rank, the dimensions as big-endian 32-bit numbers,
 * then the samples. Plain or gzip.
 *
 * Invariant: exactly the product of the dimensions is allocated, after it has been checked against
 * the caller's cap; decompression writes there and stops.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_IDX_H
#define FORMAT_IDX_H

#include "base/base.h"

typedef struct idx {
    int rank; /* 1..4 */
    int64_t dim[4];
    uint8_t *data; /* owned: ctx_free */
    size_t size;   /* product of dim */
} idx;

/* LENS_IO; LENS_BAD_FILE: other magic, empty, truncated, trailing bytes, damaged gzip, more than
 * `cap` samples; LENS_UNSUPPORTED: samples that are not bytes; LENS_NOMEM. */
lens_status idx_read(lens_ctx *, idx *out, const char *path, size_t cap);
lens_status idx_decode(lens_ctx *, idx *out, const void *bytes, size_t size, const char *name,
                       size_t cap);

#endif
