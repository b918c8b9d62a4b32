/* npy.h - decoding NumPy arrays from memory: the part of npy.c behind lenslet/image.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_NPY_H
#define FORMAT_NPY_H

#include "base/base.h"
#include <lenslet/image.h>

/* As lens_npy_read, from memory; `name` begins the messages. */
lens_status npy_decode(lens_ctx *, lens_tensor *out, const void *bytes, size_t size,
                       const char *name);

#endif
