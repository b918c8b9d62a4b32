/* image.c - pictures: which decoder, writing, grey.
 *
 * Invariant: a format is known by its first bytes alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include "format/mistake.h"
#include <string.h>

/* The size is in the first bytes of PNG and PNM; a JPEG may carry a thumbnail and a profile, each
 * in markers of at most 64 KiB, before it. Longer preludes are read whole. */
enum { IMG_PROBE_BYTES = 1 << 18 };

lens_status img_check_size(lens_ctx *ctx, const char *name, uint64_t width, uint64_t height,
                           int max_pixels) {
    uint64_t cap = max_pixels ? (uint64_t)max_pixels : IMG_MAX_PIXELS;
    if (width == 0 || height == 0)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: a picture of %ux%u pixels is empty", name,
                        (unsigned)width, (unsigned)height);
    if (width > cap || height > cap / width)
        return ctx_fail(ctx, LENS_BAD_FILE,
                        "%s: a picture of %ux%u pixels is larger than the cap of %u pixels", name,
                        (unsigned)width, (unsigned)height, (unsigned)cap);
    return LENS_OK;
}

static lens_status decode(lens_ctx *ctx, lens_image *out, const void *bytes, size_t size,
                          const char *name, img_opts opts, bool probe) {
    const uint8_t *p = bytes;
    *out = (lens_image){ 0 };
    if (opts.channels != 0 && opts.channels != 1 && opts.channels != 3)
        return ctx_fail(ctx, LENS_BAD_ARG, "channels is %d; 0 (as stored), 1 and 3 are possible",
                        opts.channels);
    if (size == 0) return ctx_fail(ctx, LENS_BAD_FILE, "%s: the file is empty", name);
    if (size >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0)
        return png_decode(ctx, out, p, size, name, opts, probe);
    if (size >= 3 && memcmp(p, "\xff\xd8\xff", 3) == 0)
        return jpeg_decode(ctx, out, p, size, name, opts, probe);
    if (size >= 3 && p[0] == 'P' && p[1] >= '1' && p[1] <= '6')
        return pnm_decode(ctx, out, p, size, name, opts, probe);
    const char *wrong = mistake_of(p, size);
    if (wrong)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: not PNG, JPEG or PNM: this is %s", name, wrong);
    return ctx_fail(ctx, LENS_BAD_FILE, "%s: not PNG, JPEG or PNM (it begins %02x %02x %02x %02x)",
                    name, p[0], size > 1 ? p[1] : 0, size > 2 ? p[2] : 0, size > 3 ? p[3] : 0);
}

lens_status img_decode(lens_ctx *ctx, lens_image *out, const void *bytes, size_t size,
                       const char *name, img_opts opts) {
    return decode(ctx, out, bytes, size, name, opts, false);
}

lens_status img_probe_bytes(lens_ctx *ctx, const void *bytes, size_t size, const char *name,
                            int *width, int *height, int *channels) {
    lens_image image;
    LENS_TRY(decode(ctx, &image, bytes, size, name, (img_opts){ 0 }, true));
    *width = image.width;
    *height = image.height;
    *channels = image.channels;
    return LENS_OK;
}

lens_status img_probe(lens_ctx *ctx, const char *path, int *width, int *height, int *channels) {
    FILE *file = fopen(path, "rb");
    char *bytes = ctx_alloc(ctx, IMG_PROBE_BYTES, 1);
    lens_status status = LENS_NOMEM;
    bool whole = false;
    if (file && bytes) {
        size_t size = fread(bytes, 1, IMG_PROBE_BYTES, file);
        status = img_probe_bytes(ctx, bytes, size, path, width, height, channels);
        whole = status == LENS_BAD_FILE && size == IMG_PROBE_BYTES;
    }
    if (file) fclose(file);
    if (!file || whole) { /* file_read words what cannot be opened, too */
        size_t size;
        ctx_free(ctx, bytes);
        bytes = NULL;
        status = file_read(ctx, path, IMG_MAX_FILE, &bytes, &size);
        if (status == LENS_OK)
            status = img_probe_bytes(ctx, bytes, size, path, width, height, channels);
    }
    ctx_free(ctx, bytes);
    return status;
}

lens_status lens_image_read(lens_ctx *ctx, lens_image *out, const char *path, int channels) {
    char *bytes;
    size_t size;
    LENS_TRY(file_read(ctx, path, IMG_MAX_FILE, &bytes, &size));
    lens_status status = img_decode(ctx, out, bytes, size, path, (img_opts){ channels, 0 });
    ctx_free(ctx, bytes);
    return status;
}

static bool ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    if (m > n) return false;
    for (size_t i = 0; i < m; i++) {
        char c = path[n - m + i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != end[i]) return false;
    }
    return true;
}

lens_status lens_image_write(lens_ctx *ctx, const lens_image *image, const char *path) {
    int n = image->channels;
    if (image->width < 1 || image->height < 1 || (n != 1 && n != 3))
        return ctx_fail(ctx, LENS_BAD_ARG, "%s: cannot write a picture of %dx%d with %d channels",
                        path, image->width, image->height, n);
    bool png = ends_with(path, ".png");
    if (!png && !ends_with(path, n == 1 ? ".pgm" : ".ppm") && !ends_with(path, ".pnm"))
        return ctx_fail(ctx, LENS_BAD_ARG, "%s: a picture with %d channel%s is written as %s", path,
                        n, n == 1 ? "" : "s", n == 1 ? ".png, .pgm or .pnm" : ".png, .ppm or .pnm");
    uint8_t *encoded = NULL;
    size_t size = (size_t)image->width * (size_t)image->height * (size_t)n;
    if (png) LENS_TRY(img_encode_png(ctx, image, &encoded, &size));
    file_writer *writer = NULL;
    lens_status status = file_begin(ctx, &writer, path);
    if (status == LENS_OK) {
        FILE *stream = file_stream(writer);
        if (!png)
            fprintf(stream, "P%c\n%d %d\n255\n", n == 1 ? '5' : '6', image->width, image->height);
        fwrite(png ? encoded : image->pixels, 1, size, stream); /* errors surface at commit */
        status = file_commit(writer);
    }
    ctx_free(ctx, encoded);
    return status;
}

void lens_image_free(lens_ctx *ctx, lens_image *image) {
    if (!image) return;
    ctx_free(ctx, image->pixels);
    *image = (lens_image){ 0 };
}

void lens_image_to_chw(const lens_image *image, float *chw) {
    size_t count = (size_t)image->width * (size_t)image->height, n = (size_t)image->channels;
    for (size_t c = 0; c < n; c++)
        for (size_t i = 0; i < count; i++)
            chw[c * count + i] = (float)image->pixels[i * n + c] / 255.0f;
}

void lens_luma(const float *rgb, float *grey, size_t count) {
    for (size_t i = 0; i < count; i++)
        grey[i] = 0.299f * rgb[i] + 0.587f * rgb[count + i] + 0.114f * rgb[2 * count + i];
}
