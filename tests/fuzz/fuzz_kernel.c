/* fuzz_kernel.c - a kernel that parses has a side within its limits and finite cells, and printed as rows
 * of numbers it parses as itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include <lenslet/signal.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static char *print(const lens_kernel *k) {
    enum { WIDEST = 32 }; /* "-1.7976931348623157e+308 " and room */
    char *text = malloc((size_t)k->h * (size_t)k->w * WIDEST + 1), *at = text;
    if (!text) abort();
    for (int i = 0; i < k->h * k->w; i++)
        at += snprintf(at, WIDEST, "%.17g%s", k->value[i], (i + 1) % k->w ? " " : "/");
    at[-1] = 0; /* no slash behind the last row */
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    lens_ctx *ctx = fuzz_ctx();
    lens_kernel k = { 0 }, again = { 0 };
    char *text = malloc(size + 1);
    if (!text) abort();
    memcpy(text, bytes, size);
    text[size] = 0;
    lens_status status = lens_kernel_parse(ctx, &k, text);
    free(text);
    if (status == LENS_OK) {
        if (k.h < 1 || k.w < 1 || k.h > LENS_KERNEL_SIDE || k.w > LENS_KERNEL_SIDE) abort();
        for (int i = 0; i < k.h * k.w; i++)
            if (!isfinite(k.value[i])) abort();
        text = print(&k);
        if (lens_kernel_parse(ctx, &again, text) != LENS_OK) abort();
        if (again.h != k.h || again.w != k.w) abort();
        for (int i = 0; i < k.h * k.w; i++)
            if (again.value[i] != k.value[i]) abort();
        free(text);
    }
    return fuzz_end(status);
}
