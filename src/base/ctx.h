/* ctx.h - what a lens_ctx is made of. Only src/base includes this.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CTX_H
#define BASE_CTX_H

#include "base/base.h"

#include <stdatomic.h>

enum { CTX_WHY_BYTES = 4096 }; /* a strict load lists the names of some fifty tensors */

struct lens_ctx {
    lens_alloc alloc;
    bool default_alloc, strict, tune;
    char *wisdom;
    lens_log_fn *log;
    void *log_user;
    struct pool *pool;
    const struct kern *kern;
    atomic_size_t live_bytes;
    size_t memory; /* most live bytes */
    atomic_uint_fast64_t alloc_calls;
    char why[CTX_WHY_BYTES];
};

/* vsnprintf with a decimal point whatever the locale of the process. */
int format_text(char *buf, size_t size, const char *format, va_list args) LENS_PRINTF(3, 0);

#endif
