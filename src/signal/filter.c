/* filter.c - kernels over pictures, with the tile kernel of convolution layers.
 *
 * A task computes a block of output rows. It copies the rows it needs, border included, into a panel in
 * cache, where the tap (u,v) of output column p lies at row[t] + p; a tile then computes a stretch of
 * one output row. A stride skips rows at no cost and drops columns after computing them.
 *
 * Invariant: y is one chain of multiply-adds over channel, u, v, whatever the block or thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "kern/kern.h"
#include "signal/signal.h"

#include <math.h>
#include <string.h>

enum {
    FILTER_MAX = 65536,      /* stride and dilation */
    PANEL_FLOATS = 96 << 10, /* 3/8 of a 1 MiB L2, as for convolution layers */
    MAX_TAPS = LENS_KERNEL_SIDE * LENS_KERNEL_SIDE
};

typedef struct filter {
    const struct kern *kern;
    const float *x;
    float *y;
    int c, h, w, oh, ow, stride;
    lens_border border;
    int top, left, reach_y; /* padding before; rows a window adds */
    int planes;             /* of one panel: c if summed, else 1 */
    int pitch, block, panel_rows, blocks;
    int taps;
    const int32_t *row;
    const float *tap;
    float *room; /* per thread: panel, then a row before its columns are dropped */
    size_t panel_floats, room_each;
} filter;

/* The pixel that stands at `at`, -1 for a zero. */
static int source(lens_border border, int at, int n) {
    if (at >= 0 && at < n) return at;
    if (border == LENS_BORDER_ZERO) return -1;
    if (border == LENS_BORDER_REPLICATE || n == 1) return at < 0 ? 0 : n - 1;
    int period = 2 * (n - 1), m = (at % period + period) % period;
    return m < n ? m : period - m;
}

static void fill_row(const filter *f, const float *x, int y, float *dst) {
    int from = source(f->border, y, f->h);
    if (from < 0) {
        memset(dst, 0, sizeof *dst * (size_t)f->pitch);
        return;
    }
    const float *src = x + cells(from, f->w);
    int inside = imin(f->pitch, f->left + f->w);
    memcpy(dst + f->left, src, sizeof *dst * (size_t)(inside - f->left));
    for (int j = 0; j < f->left; j++) {
        int at = source(f->border, j - f->left, f->w);
        dst[j] = at < 0 ? 0 : src[at];
    }
    for (int j = inside; j < f->pitch; j++) {
        int at = source(f->border, j - f->left, f->w);
        dst[j] = at < 0 ? 0 : src[at];
    }
}

static void compute_row(const filter *f, const float *panel, float *wide, float *y) {
    int length = (f->ow - 1) * f->stride + 1, step = f->kern->tile_vectors * f->kern->lanes;
    float *out = f->stride == 1 ? y : wide;
    tile_job t = { .a = f->tap,
                   .a_k = 1,
                   .b_row = f->row,
                   .c_m = length,
                   .k = f->taps,
                   .rows = 1,
                   .init = TILE_ZERO };
    for (int p = 0; p < length; p += step) {
        t.b = panel + p;
        t.c = out + p;
        t.columns = imin(step, length - p);
        f->kern->tile(&t);
    }
    if (f->stride > 1)
        for (int j = 0; j < f->ow; j++) y[j] = wide[cells(j, f->stride)];
}

static void filter_task(void *arg, int task, int thread) {
    const filter *f = arg;
    float *panel = f->room + (size_t)thread * f->room_each, *wide = panel + f->panel_floats;
    int channel = task / f->blocks, first = task % f->blocks * f->block;
    int rows = imin(f->block, f->oh - first);
    int filled = (rows - 1) * f->stride + f->reach_y + 1;
    const float *x = f->x + (size_t)channel * cells(f->h, f->w);
    for (int p = 0; p < f->planes; p++)
        for (int q = 0; q < filled; q++)
            fill_row(f, x + (size_t)p * cells(f->h, f->w), first * f->stride - f->top + q,
                     panel + (size_t)p * cells(f->panel_rows, f->pitch) + cells(q, f->pitch));
    float *y = f->y + (size_t)channel * cells(f->oh, f->ow) + cells(first, f->ow);
    for (int i = 0; i < rows; i++)
        compute_row(f, panel + cells(i * f->stride, f->pitch), wide, y + cells(i, f->ow));
}

/* Defaults filled in. */
static lens_status check(lens_ctx *ctx, const lens_kernel *k, int h, int w,
                         const lens_filter_opts *opts, lens_filter_opts *use) {
    *use = opts ? *opts : (lens_filter_opts){ 0 };
    if (!use->stride) use->stride = 1;
    if (!use->dilation) use->dilation = 1;
    if (use->stride < 1 || use->stride > FILTER_MAX || use->dilation < 1 ||
        use->dilation > FILTER_MAX || use->border < LENS_BORDER_VALID ||
        use->border > LENS_BORDER_REFLECT)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "filter: stride %d, dilation %d, border %d; stride and dilation run from 1 "
                        "to %d",
                        use->stride, use->dilation, (int)use->border, FILTER_MAX);
    if (h < 1 || w < 1 || k->h < 1 || k->w < 1 || k->h > LENS_KERNEL_SIDE ||
        k->w > LENS_KERNEL_SIDE)
        return ctx_fail(
            ctx, LENS_BAD_SHAPE,
            "filter: the picture is %dx%d and the kernel %dx%d; kernels have sides of 1 "
            "to %d",
            h, w, k->h, k->w, LENS_KERNEL_SIDE);
    return LENS_OK;
}

lens_status lens_filter_size(lens_ctx *ctx, const lens_kernel *k, int h, int w,
                             const lens_filter_opts *opts, int *oh, int *ow) {
    lens_filter_opts use;
    LENS_TRY(check(ctx, k, h, w, opts, &use));
    int reach_y = (k->h - 1) * use.dilation, reach_x = (k->w - 1) * use.dilation;
    bool valid = use.border == LENS_BORDER_VALID;
    if (valid && (reach_y >= h || reach_x >= w))
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "filter: the kernel covers %dx%d but the picture only "
                        "%dx%d; another border pads it",
                        reach_y + 1, reach_x + 1, h, w);
    *oh = (valid ? h - 1 - reach_y : h - 1) / use.stride + 1;
    *ow = (valid ? w - 1 - reach_x : w - 1) / use.stride + 1;
    return LENS_OK;
}

/* The cells that are not 0, in order, and where they lie in the panel. */
static int list_taps(const filter *f, const lens_kernel *k, const lens_filter_opts *use,
                     int32_t *row, float *tap) {
    int count = 0;
    for (int p = 0; p < f->planes; p++)
        for (int u = 0; u < k->h; u++)
            for (int v = 0; v < k->w; v++) {
                int at = u * k->w + v;
                float value = (float)k->value[use->flip ? k->h * k->w - 1 - at : at];
                if (value == 0) continue;
                tap[count] = value;
                row[count++] = (int32_t)(p * f->panel_rows * f->pitch +
                                         u * use->dilation * f->pitch + v * use->dilation);
            }
    return count;
}

lens_status lens_filter(lens_ctx *ctx, const float *x, int c, int h, int w, const lens_kernel *k,
                        const lens_filter_opts *opts, float *y) {
    lens_filter_opts use;
    filter f = { .kern = ctx_kern(ctx), .x = x, .y = y, .c = c, .h = h, .w = w };
    LENS_TRY(check(ctx, k, h, w, opts, &use));
    LENS_TRY(lens_filter_size(ctx, k, h, w, &use, &f.oh, &f.ow));
    f.stride = use.stride;
    f.border = use.border;
    f.planes = use.sum ? c : 1;
    f.reach_y = (k->h - 1) * use.dilation;
    int reach_x = (k->w - 1) * use.dilation;
    if (use.border != LENS_BORDER_VALID) f.top = f.reach_y / 2, f.left = reach_x / 2;
    f.pitch = (f.ow - 1) * f.stride + 1 + reach_x;
    int64_t line = (int64_t)f.planes * f.pitch;
    if (c < 1 || line * (f.reach_y + 1) >= INT32_MAX)
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "filter: %d channels of %dx%d; a kernel may cover at most %d pixels", c, h,
                        w, INT32_MAX);
    int fit = (int)((PANEL_FLOATS / line - f.reach_y - 1) / f.stride) + 1;
    f.block = imax(1, imin(f.oh, fit));
    f.panel_rows = (f.block - 1) * f.stride + f.reach_y + 1;
    f.blocks = (f.oh + f.block - 1) / f.block;
    f.panel_floats = (size_t)f.planes * cells(f.panel_rows, f.pitch) + LENS_SLACK;
    f.room_each = f.panel_floats + (size_t)f.pitch + LENS_SLACK;

    lens_status status = LENS_NOMEM;
    size_t most = (size_t)f.planes * cells(k->h, k->w);
    int32_t *row = ctx_alloc(ctx, most, sizeof *row);
    float *tap = ctx_alloc(ctx, most, sizeof *tap);
    f.room = ctx_alloc(ctx, f.room_each * (size_t)pool_threads(ctx_pool(ctx)), sizeof *f.room);
    if (row && tap && f.room) {
        f.taps = list_taps(&f, k, &use, row, tap);
        f.row = row, f.tap = tap;
        /* A tap costs a sixteenth of a nanosecond a pixel on wide vectors, the copy about 0.3. */
        double ns = (0.3 + f.taps / 16.0) * f.pitch * f.block;
        pool_run(ctx_pool(ctx), (use.sum ? 1 : c) * f.blocks, ns, filter_task, &f);
        status = LENS_OK;
    }
    ctx_free(ctx, f.room);
    ctx_free(ctx, tap);
    ctx_free(ctx, row);
    return status;
}

void lens_gradient_polar(const float *gx, const float *gy, size_t n, float *magnitude,
                         float *angle) {
    const double degrees = 180 / 3.14159265358979323846;
    for (size_t i = 0; i < n; i++) {
        double x = gx[i], y = gy[i];
        if (magnitude) magnitude[i] = (float)sqrt(x * x + y * y);
        if (angle) angle[i] = (float)(x == 0 && y == 0 ? 0 : atan2(y, x) * degrees);
    }
}
