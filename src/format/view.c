/* view.c - the views of multi-crop testing: parts of a picture, mirrored or not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"

/* Place i of n in 0..room: the two ends and even steps between them. */
static int step(int i, int n, int room) { return (2 * i * room + n - 1) / (2 * (n - 1)); }

/* Row and column where view `place` of the unmirrored ones begins; `down` and `across` rows and columns are
 * to spare. */
static void place_of(int places, int place, const lens_tensor *from, const lens_tensor *to, int *y,
                     int *x) {
    int h = (int)from->dim[2], w = (int)from->dim[3];
    int down = h - (int)to->dim[2], across = w - (int)to->dim[3];
    if (places == 25) {
        *y = step(place / 5, 5, down);
        *x = step(place % 5, 5, across);
    } else if (place < places - 1) {
        *y = place / 2 ? down : 0;
        *x = place % 2 ? across : 0;
    } else {
        *y = img_centre(h, h - down);
        *x = img_centre(w, w - across);
    }
}

lens_status lens_view(lens_ctx *ctx, const lens_tensor *from, int views, int view,
                      lens_tensor *to) {
    if (views != 1 && views != 5 && views != 10 && views != 50)
        return ctx_fail(ctx, LENS_BAD_ARG, "%d views of a picture; 1, 5, 10 and 50 are possible",
                        views);
    if (view < 0 || view >= views)
        return ctx_fail(ctx, LENS_BAD_ARG, "view %d of %d of a picture", view, views);
    if (from->rank != 4 || to->rank != 4 || from->dim[0] != to->dim[0] ||
        from->dim[1] != to->dim[1] || from->dim[2] < to->dim[2] || from->dim[3] < to->dim[3]) {
        char whole[96], part[96];
        return ctx_fail(ctx, LENS_BAD_SHAPE, "pictures of %s have no part of %s",
                        lens_tensor_shape(from, whole), lens_tensor_shape(to, part));
    }
    int places = views >= 10 ? views / 2 : views, top, left;
    place_of(places, view % places, from, to, &top, &left);
    int64_t h = to->dim[2], w = to->dim[3], row = from->dim[3];
    const float *src = from->data + top * row + (view < places ? left : row - 1 - left);
    int64_t next = view < places ? 1 : -1;
    float *dst = to->data;
    for (int64_t plane = 0; plane < from->dim[0] * from->dim[1]; plane++) {
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) *dst++ = src[y * row + x * next];
        src += from->dim[2] * row;
    }
    return LENS_OK;
}
