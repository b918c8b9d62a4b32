/* image.h - decoding pictures from memory: the part of src/format behind lenslet/image.h.
 *
 * Invariant: width and height are checked against max_pixels before a pixel is allocated, and a
 * decoder leaves *out cleared when it fails.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_IMAGE_H
#define FORMAT_IMAGE_H

#include "base/base.h"
#include <lenslet/image.h>

/* Holds the 102-megapixel pictures of medium-format cameras (11,648 x 8,736) and no more than
 * 384 MiB as RGB; 60,000 x 60,000 is 27 times over. */
enum { IMG_MAX_PIXELS = 1 << 27 };

/* 16-bit RGBA, 8 bytes a pixel, stored without compression, at the pixel cap. */
#define IMG_MAX_FILE ((size_t)8 * IMG_MAX_PIXELS)

typedef struct img_opts {
    int channels;   /* as lens_image_read */
    int max_pixels; /* 0 = IMG_MAX_PIXELS */
} img_opts;

/* As lens_image_read, from memory; `name` begins the messages. */
lens_status img_decode(lens_ctx *, lens_image *out, const void *bytes, size_t size,
                       const char *name, img_opts);

/* The size that lens_image_read would give (orientation applied) and whether the file is grey
 * (channels 1 or 3), from its header alone. */
lens_status img_probe(lens_ctx *, const char *path, int *width, int *height, int *channels);
lens_status img_probe_bytes(lens_ctx *, const void *bytes, size_t size, const char *name,
                            int *width, int *height, int *channels);

/* PNG bytes of a picture, owned by the caller (ctx_free). Filter "up" and zlib level 6, no time
 * stamp: the same picture gives the same bytes with the same zlib. */
lens_status img_encode_png(lens_ctx *, const lens_image *, uint8_t **out, size_t *size);

/* One decoder per format. With out->pixels == NULL on return and `probe` set, only width, height
 * and channels are filled in. */
lens_status png_decode(lens_ctx *, lens_image *out, const uint8_t *bytes, size_t size,
                       const char *name, img_opts, bool probe);
lens_status jpeg_decode(lens_ctx *, lens_image *out, const uint8_t *bytes, size_t size,
                        const char *name, img_opts, bool probe);
lens_status pnm_decode(lens_ctx *, lens_image *out, const uint8_t *bytes, size_t size,
                       const char *name, img_opts, bool probe);

/* Refuses sizes of 0 and above the cap: "name: 60000x60000 is more than ... pixels". */
lens_status img_check_size(lens_ctx *, const char *name, uint64_t width, uint64_t height,
                           int max_pixels);

/* Where a part begins that is cut from the middle of a whole; halves go to the even number, as in
 * torchvision's CenterCrop. */
static inline int img_centre(int whole, int part) {
    int room = whole - part, half = room / 2;
    return half + (room & half & 1);
}

/* luma of 8-bit RGB, rounded: the 16-bit fixed-point weights 19595, 38470, 7471 sum to 65536. */
static inline uint8_t img_luma(int r, int g, int b) {
    return (uint8_t)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
}

/* a*b/255 rounded to nearest, for a and b in 0..255. */
static inline int img_mul255(int a, int b) { return (a * b + 127) / 255; }

#endif
