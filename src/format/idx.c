/* idx.c - reading IDX, see idx.h.
 *
 * Invariant: every byte goes through source_read, which hides whether the file is compressed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/idx.h"
#include <string.h>
#include <zlib.h>

/* zlib counts in unsigned int. */
enum { IDX_CHUNK = 1 << 30 };

typedef struct source {
    lens_ctx *ctx;
    const char *name;
    const uint8_t *bytes;
    size_t size, at; /* plain: position in bytes */
    bool gz, ended;
    z_stream z;
} source;

static void *hook_alloc(void *ctx, unsigned count, unsigned size) {
    return ctx_alloc(ctx, count, size);
}

static void hook_free(void *ctx, void *p) { ctx_free(ctx, p); }

/* Reads up to `count` bytes; *got is less only at the end of the data. */
static lens_status source_read(source *s, uint8_t *to, size_t count, size_t *got) {
    if (!s->gz) {
        *got = count < s->size - s->at ? count : s->size - s->at;
        memcpy(to, s->bytes + s->at, *got);
        s->at += *got;
        return LENS_OK;
    }
    *got = 0;
    while (*got < count && !s->ended) {
        size_t left = count - *got, rest = s->size - s->at;
        s->z.next_out = to + *got;
        s->z.avail_out = (uInt)(left < IDX_CHUNK ? left : IDX_CHUNK);
        s->z.next_in = (Bytef *)(uintptr_t)(s->bytes + s->at);
        s->z.avail_in = (uInt)(rest < IDX_CHUNK ? rest : IDX_CHUNK);
        size_t out_before = s->z.avail_out, in_before = s->z.avail_in;
        int rc = inflate(&s->z, Z_NO_FLUSH);
        *got += out_before - s->z.avail_out;
        s->at += in_before - s->z.avail_in;
        s->ended = rc == Z_STREAM_END;
        if (rc == Z_MEM_ERROR) return ctx_fail_prefix(s->ctx, LENS_NOMEM, "%s", s->name);
        if (rc == Z_BUF_ERROR || (rc == Z_OK && s->at == s->size && s->z.avail_out > 0))
            return ctx_fail(s->ctx, LENS_BAD_FILE,
                            "%s: truncated: the gzip data stop after %zu bytes", s->name, s->size);
        if (rc != Z_OK && rc != Z_STREAM_END)
            return ctx_fail(s->ctx, LENS_BAD_FILE, "%s: damaged gzip data near byte %zu: %s",
                            s->name, s->at, s->z.msg ? s->z.msg : "not gzip");
    }
    return LENS_OK;
}

static lens_status decode(source *s, idx *out, size_t cap) {
    uint8_t head[4] = { 0 }, dim[4];
    size_t got, size = 1;
    LENS_TRY(source_read(s, head, 4, &got));
    if (got < 4)
        return ctx_fail(s->ctx, LENS_BAD_FILE, "%s: truncated: %zu bytes are no IDX header",
                        s->name, got);
    if (head[0] != 0 || head[1] != 0 || head[2] < 0x08 || head[2] > 0x0E || head[2] == 0x0A)
        return ctx_fail(s->ctx, LENS_BAD_FILE,
                        "%s: not IDX: it begins %02x %02x %02x %02x, expected 00 00 08 and a rank",
                        s->name, head[0], head[1], head[2], head[3]);
    if (head[2] != 0x08)
        return ctx_fail(s->ctx, LENS_UNSUPPORTED,
                        "%s: IDX samples of type 0x%02x; only bytes (0x08) are read", s->name,
                        head[2]);
    out->rank = head[3];
    if (out->rank < 1 || out->rank > 4)
        return ctx_fail(s->ctx, LENS_BAD_FILE, "%s: IDX rank %d is outside 1..4", s->name,
                        out->rank);
    for (int i = 0; i < out->rank; i++) {
        LENS_TRY(source_read(s, dim, 4, &got));
        if (got < 4)
            return ctx_fail(s->ctx, LENS_BAD_FILE, "%s: truncated in dimension %d of the header",
                            s->name, i);
        out->dim[i] = (int64_t)((uint32_t)dim[0] << 24 | (uint32_t)dim[1] << 16 |
                                (uint32_t)dim[2] << 8 | dim[3]);
        if (!mul_size(size, (size_t)out->dim[i], &size) || size > cap)
            return ctx_fail(s->ctx, LENS_BAD_FILE,
                            "%s: the IDX header asks for more than %zu bytes", s->name, cap);
    }
    if (!s->gz && size > s->size - s->at)
        return ctx_fail(s->ctx, LENS_BAD_FILE,
                        "%s: truncated: the header announces %zu bytes but %zu follow", s->name,
                        size, s->size - s->at);
    out->size = size;
    out->data = ctx_alloc(s->ctx, size ? size : 1, 1);
    if (!out->data) return ctx_fail_prefix(s->ctx, LENS_NOMEM, "%s", s->name);
    LENS_TRY(source_read(s, out->data, size, &got));
    if (got < size)
        return ctx_fail(s->ctx, LENS_BAD_FILE,
                        "%s: truncated: the header announces %zu bytes but %zu follow", s->name,
                        size, got);
    LENS_TRY(source_read(s, head, 1, &got)); /* also makes zlib verify its checksum */
    if (got || s->at < s->size)
        return ctx_fail(s->ctx, LENS_BAD_FILE,
                        "%s: bytes are left over after the %zu that the header announces", s->name,
                        size);
    return LENS_OK;
}

lens_status idx_decode(lens_ctx *ctx, idx *out, const void *bytes, size_t size, const char *name,
                       size_t cap) {
    source s = { .ctx = ctx, .name = name, .bytes = bytes, .size = size };
    *out = (idx){ 0 };
    if (size == 0) return ctx_fail(ctx, LENS_BAD_FILE, "%s: the file is empty", name);
    s.gz = size >= 2 && s.bytes[0] == 0x1f && s.bytes[1] == 0x8b;
    if (s.gz) {
        s.z.zalloc = hook_alloc;
        s.z.zfree = hook_free;
        s.z.opaque = ctx;
        if (inflateInit2(&s.z, 15 + 16) != Z_OK) /* 32 KiB window, gzip wrapper */
            return ctx_nomem(ctx, 1 << 15, "a gzip reader");
    }
    lens_status status = decode(&s, out, cap);
    if (s.gz) inflateEnd(&s.z);
    if (status != LENS_OK) {
        ctx_free(ctx, out->data);
        *out = (idx){ 0 };
    }
    return status;
}

lens_status idx_read(lens_ctx *ctx, idx *out, const char *path, size_t cap) {
    char *bytes;
    size_t size, most;
    /* Compression makes noise at most 0.1 % longer; a header is at most 20 bytes. */
    if (!add_size(cap, cap / 64 + 4096, &most)) most = SIZE_MAX;
    LENS_TRY(file_read(ctx, path, most, &bytes, &size));
    lens_status status = idx_decode(ctx, out, bytes, size, path, cap);
    ctx_free(ctx, bytes);
    return status;
}
