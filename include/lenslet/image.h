/* lenslet/image.h - pictures and arrays in files: PNG, JPEG, PNM, NPY.
 *
 * A picture is 8-bit, interleaved (H,W,C), C = 1 grey or 3 red-green-blue; 0 is black, 255 white.
 * Networks take planes (C,H,W) in [0,1]: lens_image_to_chw makes them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_IMAGE_H
#define LENSLET_IMAGE_H

#include <lenslet/base.h>
#include <lenslet/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lens_image {
    int width, height, channels; /* each >= 1; channels 1 or 3 */
    uint8_t *pixels;             /* (H,W,C), height*width*channels bytes; lens_image_free */
} lens_image;

/* Reads PNG, JPEG or PNM (P1 to P6), told apart by their first bytes, never by the name.
 * channels: 1 = grey by luma (lens_luma below), 3 = RGB, 0 = as the file has it.
 * Palettes are looked up; 16-bit samples are rounded to the nearest 8-bit value; transparency is
 * blended over white; CMYK and YCCK become RGB, inverted where the Adobe marker says so; the EXIF
 * orientation of a JPEG is applied; gamma and colour profiles are not.
 * LENS_IO: cannot be read. LENS_BAD_FILE: no such format, a JPEG with arithmetic coding, damaged,
 * truncated, or larger than 2^27 pixels (that, and a file too short for its picture, is refused before
 * memory is asked for). LENS_BAD_ARG: channels. LENS_NOMEM. */
LENS_API lens_status lens_image_read(lens_ctx *, lens_image *out, const char *path, int channels);

/* Writes .png, .pgm (grey only), .ppm (RGB only) or .pnm, chosen by the end of the name. The same
 * picture gives the same bytes. The old file stays until the new one is complete.
 * LENS_BAD_ARG: another ending, channels that do not suit it; LENS_IO; LENS_NOMEM. */
LENS_API lens_status lens_image_write(lens_ctx *, const lens_image *, const char *path);

/* Both antialiased: a filter of so many output pixels on either side, never narrower than so many
 * input pixels, and 8-bit rounding after each of the two passes: Pillow's, to the bit.
 *   BILINEAR  radius 1: 1-|x|                                             (torchvision's default)
 *   BICUBIC   radius 2: Keys 1981 with a = -1/2 */
typedef enum lens_interpolation { LENS_BILINEAR, LENS_BICUBIC } lens_interpolation;

/* torchvision's Resize((height, width)). LENS_BAD_ARG: a side outside 1..65535. LENS_NOMEM. */
LENS_API lens_status lens_image_resize(lens_ctx *, const lens_image *, int width, int height,
                                       lens_interpolation, lens_image *out);

/* Resizes so that the picture just covers width x height with its proportions kept, then cuts
 * the centre out: for a square, torchvision's Resize(side) and CenterCrop(side). Errors as
 * lens_image_resize. */
LENS_API lens_status lens_image_fit(lens_ctx *, const lens_image *, int width, int height,
                                    lens_interpolation, lens_image *out);

/* The views of multi-crop testing. Copies view `view` (0..views-1) of planes from (N,C,H,W) into
 * to (N,C,h,w), h <= H and w <= W, whose shape and data the caller gives.
 *   views 1   the centre: torchvision's CenterCrop((h, w))
 *         5   top left, top right, bottom left, bottom right, centre: FiveCrop
 *         10  the five, then the same five of the mirrored picture: TenCrop (Krizhevsky 2012, 4.1)
 *         50  a grid of 5x5 places, then the same of the mirrored picture (Simonyan 2015, 3.2)
 * LENS_BAD_ARG: another number of views, no such view. LENS_BAD_SHAPE: `to` is larger. */
LENS_API lens_status lens_view(lens_ctx *, const lens_tensor *from, int views, int view,
                               lens_tensor *to);

/* Frees the pixels and clears the struct. NULL and cleared structs are fine. */
LENS_API void lens_image_free(lens_ctx *, lens_image *);

/* chw[c][y][x] = pixels[y][x][c] / 255. */
LENS_API void lens_image_to_chw(const lens_image *, float *chw);

/* grey[i] = 0.299 red[i] + 0.587 green[i] + 0.114 blue[i] (ITU-R BT.601), on any scale.
 * rgb is (3,count), grey (count); they may start at the same place. */
LENS_API void lens_luma(const float *rgb, float *grey, size_t count);

/* Reads a NumPy array file: f4, f8, u1, i1, i2, i4, i8, b1 of either byte order, C or Fortran
 * order, rank 0 to LENS_MAX_RANK, into floats (rounded to nearest). out->data is owned: free with
 * lens_free. LENS_IO; LENS_BAD_FILE: damaged, truncated, trailing bytes; LENS_UNSUPPORTED: another
 * type or rank; LENS_NOMEM. */
LENS_API lens_status lens_npy_read(lens_ctx *, lens_tensor *out, const char *path);

/* Writes format 1.0, '<f4', C order; the old file stays until the new one is complete.
 * LENS_BAD_SHAPE: not a valid tensor; LENS_IO. */
LENS_API lens_status lens_npy_write(lens_ctx *, const lens_tensor *, const char *path);

#ifdef __cplusplus
}
#endif
#endif
