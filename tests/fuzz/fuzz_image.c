/* fuzz_image.c - PNG, JPEG and PNM. A picture that decodes must survive being written and read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include "fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    lens_ctx *ctx = fuzz_ctx();
    lens_image picture, again;
    int width, height, channels;
    /* Small pictures find the same faults, sooner. */
    img_opts opts = { .channels = size % 3 == 2 ? 3 : (int)(size % 3), .max_pixels = 1 << 16 };
    img_probe_bytes(ctx, bytes, size, "fuzz", &width, &height, &channels);
    lens_status status = img_decode(ctx, &picture, bytes, size, "fuzz", opts);
    if (status == LENS_OK) {
        uint8_t *png;
        size_t png_size, count = (size_t)picture.width * (size_t)picture.height;
        if (img_encode_png(ctx, &picture, &png, &png_size) != LENS_OK) abort();
        if (img_decode(ctx, &again, png, png_size, "again", (img_opts){ 0 }) != LENS_OK) abort();
        if (again.channels != picture.channels ||
            memcmp(again.pixels, picture.pixels, count * (size_t)picture.channels) != 0)
            abort();
        lens_image_free(ctx, &again);
        if (lens_image_fit(ctx, &picture, 7, 5, LENS_BICUBIC, &again) == LENS_OK)
            lens_image_free(ctx, &again);
        ctx_free(ctx, png);
        lens_image_free(ctx, &picture);
    }
    return fuzz_end(status);
}
