/* image.c - pictures: which decoder, writing, resizing, grey.
 *
 * Invariant: a format is known by its first bytes alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include <math.h>
#include <string.h>

/* The size is in the first bytes of PNG and PNM; a JPEG may carry a thumbnail and a profile, each
 * in markers of at most 64 KiB, before it. Longer preludes are read whole. */
enum { IMG_PROBE_BYTES = 1 << 18 };

/* Sides of 65,535 are what JPEG can say; the cap on pixels binds long before for both at once. */
enum { IMG_MAX_SIDE = 65535 };

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

/* Resizing. One pass works along one axis: output i is the weighted sum of inputs first[i] ..
 * first[i]+taps[i]-1. Weights are integers scaled by 2^22, which leaves 8 bits for the pixel and 2
 * for headroom in 32 (Pillow's choice, so that results agree to the bit). */
enum { WEIGHT_BITS = 22 };

typedef struct axis {
    int out, widest; /* room for taps per output */
    int *first, *taps;
    int32_t *weight; /* (out, widest) */
} axis;

static void axis_free(lens_ctx *ctx, axis *a) {
    ctx_free(ctx, a->first);
    ctx_free(ctx, a->weight);
    *a = (axis){ 0 };
}

static lens_status axis_new(lens_ctx *ctx, axis *a, int in, int out) {
    double scale = (double)in / out, radius = scale > 1 ? scale : 1;
    *a = (axis){ .out = out, .widest = (int)ceil(radius) * 2 + 1 };
    a->first = ctx_alloc(ctx, (size_t)out * 2, sizeof *a->first);
    a->weight = ctx_alloc(ctx, (size_t)out * (size_t)a->widest, sizeof *a->weight);
    double *k = ctx_alloc(ctx, (size_t)a->widest, sizeof *k);
    if (!a->first || !a->weight || !k) { /* the caller frees the axis either way */
        ctx_free(ctx, k);
        return LENS_NOMEM;
    }
    a->taps = a->first + out;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int low = (int)(centre - radius + 0.5), high = (int)(centre + radius + 0.5);
        if (low < 0) low = 0;
        if (high > in) high = in;
        for (int j = low; j < high; j++) {
            double distance = fabs((j - centre + 0.5) * (1.0 / radius));
            k[j - low] = distance < 1 ? 1 - distance : 0;
            sum += k[j - low];
        }
        int32_t *w = a->weight + (size_t)i * (size_t)a->widest;
        for (int j = 0; j < high - low; j++)
            w[j] = (int32_t)(0.5 + k[j] * (1 / sum) * (1 << WEIGHT_BITS));
        a->first[i] = low;
        a->taps[i] = high - low;
    }
    ctx_free(ctx, k);
    return LENS_OK;
}

/* Along the axis whose neighbours lie `step` bytes apart; `lanes` neighbouring values at a time. */
static void axis_run(const axis *a, const uint8_t *src, uint8_t *dst, size_t step, size_t lanes) {
    for (int i = 0; i < a->out; i++) {
        const int32_t *w = a->weight + (size_t)i * (size_t)a->widest;
        const uint8_t *s = src + (size_t)a->first[i] * step;
        for (size_t lane = 0; lane < lanes; lane++) {
            int32_t sum = 1 << (WEIGHT_BITS - 1);
            for (int j = 0; j < a->taps[i]; j++) sum += w[j] * s[(size_t)j * step + lane];
            sum >>= WEIGHT_BITS;
            dst[(size_t)i * step + lane] = (uint8_t)(sum > 255 ? 255 : sum);
        }
    }
}

static lens_status check_sides(lens_ctx *ctx, int width, int height) {
    if (width < 1 || height < 1 || width > IMG_MAX_SIDE || height > IMG_MAX_SIDE)
        return ctx_fail(ctx, LENS_BAD_ARG, "cannot resize a picture to %dx%d: sides are 1..%d",
                        width, height, IMG_MAX_SIDE);
    return img_check_size(ctx, "resize", (uint64_t)width, (uint64_t)height, 0);
}

lens_status lens_image_resize(lens_ctx *ctx, const lens_image *image, int width, int height,
                              lens_image *out) {
    LENS_TRY(check_sides(ctx, width, height));
    axis across = { 0 }, down = { 0 };
    uint8_t *middle = NULL, *pixels = NULL;
    size_t n = (size_t)image->channels, in_row = (size_t)image->width * n;
    size_t row = (size_t)width * n;
    lens_status status = axis_new(ctx, &across, image->width, width);
    if (status == LENS_OK) status = axis_new(ctx, &down, image->height, height);
    if (status != LENS_OK) goto done;
    middle = ctx_alloc(ctx, (size_t)image->height, row);
    pixels = ctx_alloc(ctx, (size_t)height, row);
    if (!middle || !pixels) {
        status = LENS_NOMEM;
        goto done;
    }
    for (int y = 0; y < image->height; y++)
        axis_run(&across, image->pixels + (size_t)y * in_row, middle + (size_t)y * row, n, n);
    axis_run(&down, middle, pixels, row, row);
    *out = (lens_image){ width, height, image->channels, pixels };
    pixels = NULL;

done:
    axis_free(ctx, &across);
    axis_free(ctx, &down);
    ctx_free(ctx, middle);
    ctx_free(ctx, pixels);
    return status;
}

lens_status lens_image_fit(lens_ctx *ctx, const lens_image *image, int width, int height,
                           lens_image *out) {
    LENS_TRY(check_sides(ctx, width, height));
    /* The side that needs the larger factor decides; the other is rounded to nearest, and never
     * below its target. */
    int64_t iw = image->width, ih = image->height;
    bool by_width = (int64_t)width * ih >= (int64_t)height * iw;
    int64_t w = by_width ? width : (iw * height + ih / 2) / ih;
    int64_t h = by_width ? (ih * width + iw / 2) / iw : height;
    if (w < width) w = width;
    if (h < height) h = height;
    if (w > IMG_MAX_SIDE || h > IMG_MAX_SIDE)
        return ctx_fail(ctx, LENS_BAD_ARG, "a picture of %dx%d is too thin to cover %dx%d",
                        image->width, image->height, width, height);
    lens_image whole = { 0 };
    LENS_TRY(lens_image_resize(ctx, image, (int)w, (int)h, &whole));
    if (w == width && h == height) {
        *out = whole;
        return LENS_OK;
    }
    size_t n = (size_t)image->channels, row = (size_t)width * n;
    uint8_t *pixels = ctx_alloc(ctx, (size_t)height, row);
    if (pixels) {
        size_t left = (size_t)(w - width) / 2, top = (size_t)(h - height) / 2;
        for (size_t y = 0; y < (size_t)height; y++)
            memcpy(pixels + y * row, whole.pixels + ((y + top) * (size_t)w + left) * n, row);
        *out = (lens_image){ width, height, image->channels, pixels };
    }
    lens_image_free(ctx, &whole);
    return pixels ? LENS_OK : LENS_NOMEM;
}
