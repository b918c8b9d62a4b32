/* status.c - names of the statuses, the version, and the message in the context.
 *
 * Invariant: a message may quote the message it replaces, so it is formatted aside first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/ctx.h"
#include "base/version.h"

#include <locale.h>
#include <string.h>

const char *lens_status_name(lens_status status) {
    switch (status) {
#define STATUS_NAME(name, number, text)                                                            \
    case name: return #name;
        LENS_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    }
    return "unknown status";
}

const char *lens_status_text(lens_status status) {
    switch (status) {
#define STATUS_TEXT(name, number, text)                                                            \
    case name: return text;
        LENS_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

const char *lens_version(void) { return VERSION_TEXT; }

const char *lens_why(const lens_ctx *ctx) { return ctx->why; }

int format_text(char *buf, size_t size, const char *format, va_list args) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = plain ? uselocale(plain) : (locale_t)0;
    int length = vsnprintf(buf, size, format, args);
    if (plain) {
        uselocale(old);
        freelocale(plain);
    }
    return length;
}

lens_status ctx_fail(lens_ctx *ctx, lens_status status, const char *format, ...) {
    char text[CTX_WHY_BYTES];
    va_list args;
    va_start(args, format);
    int length = format_text(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) text[0] = 0;
    memcpy(ctx->why, text, strlen(text) + 1);
    return status;
}

lens_status ctx_fail_prefix(lens_ctx *ctx, lens_status status, const char *format, ...) {
    char where[CTX_WHY_BYTES / 2];
    va_list args;
    va_start(args, format);
    int length = format_text(where, sizeof where, format, args);
    va_end(args);
    if (length < 0) where[0] = 0;
    return ctx_fail(ctx, status, "%s: %s", where, ctx->why);
}

lens_status lens_fail(lens_ctx *ctx, lens_status status, const char *text) {
    return ctx_fail(ctx, status, "%s", text);
}

lens_status ctx_nomem(lens_ctx *ctx, size_t bytes, const char *what) {
    return ctx_fail(ctx, LENS_NOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

void ctx_log(lens_ctx *ctx, lens_log_level level, const char *format, ...) {
    if (!ctx->log) return;
    char text[CTX_WHY_BYTES];
    va_list args;
    va_start(args, format);
    int length = format_text(text, sizeof text, format, args);
    va_end(args);
    if (length >= 0) ctx->log(ctx->log_user, level, text);
}
