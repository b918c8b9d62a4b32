/* fuzz_nettext.c - text that parses prints as text that parses and prints the same.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/nettext.h"
#include "fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    lens_ctx *ctx = fuzz_ctx();
    desc d, again;
    lens_status status = desc_parse(ctx, &d, (const char *)bytes, size, "fuzz");
    if (status == LENS_OK) {
        char *text, *second;
        if (desc_print(ctx, &d, &text) != LENS_OK) abort();
        if (desc_parse(ctx, &again, text, strlen(text), "again") != LENS_OK) abort();
        if (desc_print(ctx, &again, &second) != LENS_OK) abort();
        if (again.count != d.count || strcmp(text, second) != 0) abort();
        ctx_free(ctx, text);
        ctx_free(ctx, second);
        desc_free(ctx, &again);
        desc_free(ctx, &d);
    }
    return fuzz_end(status);
}
