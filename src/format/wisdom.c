/* wisdom.c - see wisdom.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/wisdom.h"

#include <string.h>

#define HEAD "lenslet wisdom\n"

enum { HEAD_SIZE = sizeof HEAD - 1, MAX_BYTES = 16 << 20 }; /* 100,000 lines and more */

lens_status wisdom_new(lens_ctx *ctx, wisdom *w) {
    *w = (wisdom){ ctx_strdup(ctx, HEAD), HEAD_SIZE };
    return w->text ? LENS_OK : LENS_NOMEM;
}

static lens_status check(lens_ctx *ctx, const char *text, size_t size, const char *name) {
    if (size < HEAD_SIZE || memcmp(text, HEAD, HEAD_SIZE))
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: is no wisdom file, which begins with \"%.14s\"",
                        name, HEAD);
    int line = 2, tabs = 0;
    for (size_t i = HEAD_SIZE; i < size; i++) {
        if (text[i] == '\n') {
            if (tabs != 2)
                return ctx_fail(ctx, LENS_BAD_FILE,
                                "%s: line %d has %d tabs, but two stand between machine, work and "
                                "algorithm",
                                name, line, tabs);
            line++, tabs = 0;
        } else if (text[i] == '\t') {
            tabs++;
        } else if (text[i] < ' ' || text[i] > '~') {
            return ctx_fail(ctx, LENS_BAD_FILE, "%s: line %d has byte 0x%02x, which is no text",
                            name, line, (unsigned char)text[i]);
        }
    }
    if (text[size - 1] != '\n')
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: line %d breaks off", name, line);
    return LENS_OK;
}

lens_status wisdom_parse(lens_ctx *ctx, wisdom *w, const char *text, size_t size,
                         const char *name) {
    LENS_TRY(check(ctx, text, size, name));
    *w = (wisdom){ ctx_alloc(ctx, size + 1, 1), size };
    if (!w->text) return LENS_NOMEM;
    memcpy(w->text, text, size);
    return LENS_OK;
}

lens_status wisdom_read(lens_ctx *ctx, wisdom *w, const char *path) {
    char *text;
    size_t size;
    LENS_TRY(file_read(ctx, path, MAX_BYTES, &text, &size));
    lens_status status = wisdom_parse(ctx, w, text, size, path);
    ctx_free(ctx, text);
    return status;
}

const char *wisdom_find(const wisdom *w, const char *key, size_t *size) {
    size_t length = strlen(key);
    for (const char *line = w->text + HEAD_SIZE; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, key, length) != 0 || line[length] != '\t') continue;
        *size = strcspn(line + length + 1, "\n");
        return line + length + 1;
    }
    return NULL;
}

lens_status wisdom_add(lens_ctx *ctx, wisdom *w, const char *key, const char *algorithm) {
    char *text = ctx_printf(ctx, "%s%s\t%s\n", w->text, key, algorithm);
    if (!text) return LENS_NOMEM;
    ctx_free(ctx, w->text);
    *w = (wisdom){ text, strlen(text) };
    return LENS_OK;
}
