/* fuzz.h - what every fuzzer shares: one context, and the check that nothing is left allocated.
 *
 * A fuzzer defines LLVMFuzzerTestOneInput. Built with libFuzzer (-DLENSLET_FUZZ=ON, clang) it searches;
 * built with replay.c it runs its committed corpus as a test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/base.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline lens_ctx *fuzz_ctx(void) {
    static lens_ctx *ctx;
    lens_ctx_opts opts = { .threads = 1 };
    if (!ctx && lens_ctx_new(&ctx, &opts, NULL) != LENS_OK) abort();
    return ctx;
}

/* Ends an input: a call that failed must have left a message, and every byte must be back. */
static inline int fuzz_end(lens_status status) {
    static size_t idle;
    lens_ctx *ctx = fuzz_ctx();
    if (!idle) idle = ctx_live_bytes(ctx);
    if (ctx_live_bytes(ctx) != idle) abort();
    if (status != LENS_OK && !*lens_why(ctx)) abort();
    return 0;
}

#endif
