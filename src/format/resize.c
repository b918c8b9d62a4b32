/* resize.c - pictures of another size, as Pillow and torchvision make them.
 *
 * Invariant: one pass works along one axis: output i is the weighted sum of inputs first[i] ..
 * first[i]+taps[i]-1. Weights are integers scaled by 2^22, which leaves 8 bits for the pixel and 2 for
 * headroom in 32 (Pillow's choice, so that results agree to the bit).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include <math.h>
#include <string.h>

/* Sides of 65,535 are what JPEG can say; the cap on pixels binds long before for both at once. */
enum { IMG_MAX_SIDE = 65535, WEIGHT_BITS = 22 };

static double triangle(double x) { return x < 1 ? 1 - x : 0; }

/* Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 4 with a = -1/2. */
static double cubic(double x) {
    const double a = -0.5;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static const struct {
    double (*weight)(
        double distance); /* distance >= 0, in output pixels but at least in input pixels */
    double radius;        /* beyond it the weight is 0 */
} filters[] = { [LENS_BILINEAR] = { triangle, 1 }, [LENS_BICUBIC] = { cubic, 2 } };

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

static lens_status axis_new(lens_ctx *ctx, axis *a, int in, int out, lens_interpolation how) {
    double scale = (double)in / out, stretch = scale > 1 ? scale : 1;
    double radius = filters[how].radius * stretch;
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
            k[j - low] = filters[how].weight(fabs((j - centre + 0.5) * (1.0 / stretch)));
            sum += k[j - low];
        }
        int32_t *w = a->weight + (size_t)i * (size_t)a->widest;
        for (int j = 0; j < high - low; j++)
            w[j] = (int32_t)(copysign(0.5, k[j]) + k[j] * (1 / sum) * (1 << WEIGHT_BITS));
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
            sum = sum < 0 ? 0 : sum >> WEIGHT_BITS;
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
                              lens_interpolation how, lens_image *out) {
    LENS_TRY(check_sides(ctx, width, height));
    axis across = { 0 }, down = { 0 };
    uint8_t *middle = NULL, *pixels = NULL;
    size_t n = (size_t)image->channels, in_row = (size_t)image->width * n;
    size_t row = (size_t)width * n;
    lens_status status = axis_new(ctx, &across, image->width, width, how);
    if (status == LENS_OK) status = axis_new(ctx, &down, image->height, height, how);
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
                           lens_interpolation how, lens_image *out) {
    LENS_TRY(check_sides(ctx, width, height));
    /* The side that needs the larger factor decides; the other is cut to a whole number, as
     * torchvision does, and never below its target. */
    int64_t iw = image->width, ih = image->height;
    bool by_width = (int64_t)width * ih >= (int64_t)height * iw;
    int64_t w = by_width ? width : iw * height / ih;
    int64_t h = by_width ? ih * width / iw : height;
    if (w < width) w = width;
    if (h < height) h = height;
    if (w > IMG_MAX_SIDE || h > IMG_MAX_SIDE)
        return ctx_fail(ctx, LENS_BAD_ARG, "a picture of %dx%d is too thin to cover %dx%d",
                        image->width, image->height, width, height);
    lens_image whole = { 0 };
    LENS_TRY(lens_image_resize(ctx, image, (int)w, (int)h, how, &whole));
    if (w == width && h == height) {
        *out = whole;
        return LENS_OK;
    }
    size_t n = (size_t)image->channels, row = (size_t)width * n;
    uint8_t *pixels = ctx_alloc(ctx, (size_t)height, row);
    if (pixels) {
        size_t left = (size_t)img_centre((int)w, width), top = (size_t)img_centre((int)h, height);
        for (size_t y = 0; y < (size_t)height; y++)
            memcpy(pixels + y * row, whole.pixels + ((y + top) * (size_t)w + left) * n, row);
        *out = (lens_image){ width, height, image->channels, pixels };
    }
    lens_image_free(ctx, &whole);
    return pixels ? LENS_OK : LENS_NOMEM;
}
