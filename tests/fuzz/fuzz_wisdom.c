/* fuzz_wisdom.c - a wisdom file that parses can be searched for each of its lines, and grown.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/wisdom.h"
#include "fuzz.h"
#include <string.h>

/* Of machine and work of a line the first such line is found, with all of its algorithm. */
static void look_up(lens_ctx *ctx, const wisdom *w, const char *line) {
    size_t machine = strcspn(line, "\t"), work = strcspn(line + machine + 1, "\t"), size;
    char *key = ctx_printf(ctx, "%.*s", (int)(machine + 1 + work), line);
    const char *found = key ? wisdom_find(w, key, &size) : NULL;
    if (!found || found > line + machine + work + 2 || found[size] != '\n') abort();
    if (memchr(found, '\t', size) || memchr(found, '\n', size)) abort();
    ctx_free(ctx, key);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    lens_ctx *ctx = fuzz_ctx();
    wisdom w, again;
    size_t found;
    lens_status status = wisdom_parse(ctx, &w, (const char *)bytes, size, "fuzz");
    if (status != LENS_OK) return fuzz_end(status);
    for (const char *line = strchr(w.text, '\n') + 1; *line; line = strchr(line, '\n') + 1)
        look_up(ctx, &w, line);
    if (wisdom_add(ctx, &w, "a machine\tsome work", "fast") != LENS_OK) abort();
    if (!wisdom_find(&w, "a machine\tsome work", &found)) abort();
    if (wisdom_parse(ctx, &again, w.text, w.size, "again") != LENS_OK) abort();
    ctx_free(ctx, w.text);
    ctx_free(ctx, again.text);
    return fuzz_end(status);
}
