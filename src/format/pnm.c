/* pnm.c - the netpbm formats P1 to P6 (plain and raw; bitmap, grey, RGB; 8 and 16 bits).
 *
 * Invariant: the bytes left in the file bound the pixels allocated: every sample of every kind
 * takes at least one character or one bit, and that is checked first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"

typedef struct pnm {
    lens_ctx *ctx;
    const char *name;
    const uint8_t *bytes;
    size_t size, at;
} pnm;

static bool is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static lens_status fail(pnm *f, const char *expected) {
    return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: PNM byte %zu: %s %s", f->name, f->at,
                    f->at < f->size ? "expected" : "truncated: the file ends before", expected);
}

/* Skips white space and comments ("#" to the end of the line). */
static void skip_space(pnm *f) {
    while (f->at < f->size) {
        if (f->bytes[f->at] == '#')
            while (f->at < f->size && f->bytes[f->at] != '\n') f->at++;
        else if (is_space(f->bytes[f->at]))
            f->at++;
        else
            break;
    }
}

static lens_status number(pnm *f, uint32_t *out, const char *what) {
    skip_space(f);
    uint32_t v = 0;
    size_t start = f->at;
    for (; f->at < f->size && f->bytes[f->at] >= '0' && f->bytes[f->at] <= '9'; f->at++) {
        v = v * 10 + (uint32_t)(f->bytes[f->at] - '0');
        if (v > 100000000) return fail(f, what); /* nine digits: beyond every cap, no overflow */
    }
    if (f->at == start) return fail(f, what);
    *out = v;
    return LENS_OK;
}

/* The next sample of a plain bitmap: digits need no space between them. */
static lens_status bit(pnm *f, uint32_t *out) {
    skip_space(f);
    if (f->at == f->size || (f->bytes[f->at] != '0' && f->bytes[f->at] != '1'))
        return fail(f, "0 or 1");
    *out = f->bytes[f->at++] == '1';
    return LENS_OK;
}

lens_status pnm_decode(lens_ctx *ctx, lens_image *out, const uint8_t *bytes, size_t size,
                       const char *name, img_opts opts, bool probe) {
    pnm f = { ctx, name, bytes, size, 2 };
    int kind = bytes[1] - '0'; /* the caller saw "P1".."P6" */
    bool bitmap = kind == 1 || kind == 4, raw = kind >= 4;
    int stored = kind == 3 || kind == 6 ? 3 : 1;
    uint32_t width, height, maximum = 1;
    *out = (lens_image){ 0 };
    LENS_TRY(number(&f, &width, "the width"));
    LENS_TRY(number(&f, &height, "the height"));
    if (!bitmap) LENS_TRY(number(&f, &maximum, "the largest value"));
    if (maximum < 1 || maximum > 65535)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: PNM largest value %u is outside 1..65535", name,
                        (unsigned)maximum);
    LENS_TRY(img_check_size(ctx, name, width, height, opts.max_pixels));
    int channels = opts.channels ? opts.channels : stored;
    if (probe) {
        *out = (lens_image){ (int)width, (int)height, channels, NULL };
        return LENS_OK;
    }
    if (f.at == size || !is_space(bytes[f.at])) return fail(&f, "white space after the header");
    f.at++;

    size_t samples = (size_t)width * height * (size_t)stored;
    size_t row_bytes = kind == 4 ? ((size_t)width + 7) / 8
                                 : (size_t)width * (size_t)stored * (maximum > 255 ? 2 : 1);
    size_t need = raw ? row_bytes * height : samples;
    if (need > size - f.at)
        return ctx_fail(
            ctx, LENS_BAD_FILE,
            "%s: PNM truncated: %ux%u needs %s%zu bytes after the header but %zu follow", name,
            (unsigned)width, (unsigned)height, raw ? "" : "at least ", need, size - f.at);
    uint8_t *pixels = ctx_alloc(ctx, (size_t)width * height, (size_t)channels);
    if (!pixels) return ctx_fail_prefix(ctx, LENS_NOMEM, "%s", name);

    lens_status status = LENS_OK;
    uint8_t *d = pixels;
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *row = bytes + f.at; /* raw kinds only */
        for (uint32_t x = 0; x < width; x++, d += channels) {
            int v[3];
            for (int c = 0; c < stored; c++) {
                size_t i = (size_t)x * (size_t)stored + (size_t)c;
                uint32_t s = 0;
                if (kind == 1)
                    status = bit(&f, &s);
                else if (!raw)
                    status = number(&f, &s, "a sample");
                else if (kind == 4)
                    s = row[x / 8] >> (7 - x % 8) & 1;
                else
                    s = maximum > 255 ? (uint32_t)(row[2 * i] << 8 | row[2 * i + 1]) : row[i];
                if (status == LENS_OK && s > maximum)
                    status =
                        ctx_fail(ctx, LENS_BAD_FILE,
                                 "%s: PNM sample %u at column %u, row %u exceeds the largest "
                                 "value %u",
                                 name, (unsigned)s, (unsigned)x, (unsigned)y, (unsigned)maximum);
                if (status != LENS_OK) goto done;
                v[c] = bitmap ? (s ? 0 : 255) : (int)((s * 255 + maximum / 2) / maximum);
            }
            if (channels == stored)
                for (int c = 0; c < channels; c++) d[c] = (uint8_t)v[c];
            else if (channels == 1)
                d[0] = img_luma(v[0], v[1], v[2]);
            else
                d[0] = d[1] = d[2] = (uint8_t)v[0];
        }
        if (raw) f.at += row_bytes;
    }
    *out = (lens_image){ (int)width, (int)height, channels, pixels };
    return LENS_OK;

done:
    ctx_free(ctx, pixels);
    return status;
}
