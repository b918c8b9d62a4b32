/* adaptive.c - pooling to a given size, and to one number per map.
 *
 *     window i of h covers rows floor(i*H/h) .. ceil((i+1)*H/h)-1; columns likewise (PyTorch)
 *
 * Windows overlap where h does not divide H; the gradients then add up. Forward of a maximum keeps
 * the index of each window's first largest cell.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <string.h>

static const op_option options[] = {
    { "out", OP_SIZE, offsetof(lens_adaptive_opts, out), "size of the result; required" },
    { 0 },
};

static int window_start(int i, int size, int out) { return (int)((int64_t)i * size / out); }
static int window_end(int i, int size, int out) {
    return (int)(((int64_t)(i + 1) * size + out - 1) / out);
}

/* The longest of the windows along one axis. */
static int window_reach(int size, int out) {
    int reach = 0;
    for (int i = 0; i < out; i++) {
        int length = window_end(i, size, out) - window_start(i, size, out);
        if (length > reach) reach = length;
    }
    return reach;
}

static void fill(op_node *node, int oh, int ow) {
    shape in = node->in[0];
    node->out = (shape){ .rank = in.rank, .c = in.c, .h = oh, .w = ow };
    node->window = (op_window){ .kh = window_reach(in.h, oh),
                                .kw = window_reach(in.w, ow),
                                .sh = in.h > oh ? in.h / oh : 1,
                                .sw = in.w > ow ? in.w / ow : 1,
                                .dh = 1,
                                .dw = 1 };
}

static lens_status infer(op_node *node) {
    lens_adaptive_opts *o = node->opts;
    LENS_TRY(op_check_planes(node));
    if (!o->out.h && !o->out.w)
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: %s needs out", node->name, node->kind->name);
    lens_size out = op_size_of(node, o->out, (lens_size){ 0 });
    shape in = node->in[0];
    LENS_TRY(op_check_range(node, "out height", out.h, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "out width", out.w, 1, OP_MAX_DIM));
    if ((double)in.c * out.h * out.w > INT32_MAX)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: %dx%dx%d is more than the %d numbers a sample may have", node->name,
                        in.c, out.h, out.w, INT32_MAX);
    o->out = out;
    fill(node, out.h, out.w);
    snprintf(node->label, sizeof node->label, "%s %dx%d", node->kind->name, out.h, out.w);
    return LENS_OK;
}

static lens_status infer_global(op_node *node) {
    LENS_TRY(op_check_planes(node));
    fill(node, 1, 1);
    snprintf(node->label, sizeof node->label, "%s", node->kind->name);
    return LENS_OK;
}

static void each_plane(const op_run *r, op_range_fn *fn) {
    shape in = r->node->in[0], out = r->node->out;
    size_t numbers = (size_t)in.h * (size_t)in.w + (size_t)out.h * (size_t)out.w;
    op_each(r->pool, (size_t)r->n * (size_t)in.c, numbers, fn, r);
}

/* ---- mean ----------------------------------------------------------------------------------- */

static float window_mean(const float *x, int width, int r0, int r1, int c0, int c1) {
    double sum = 0;
    for (int r = r0; r < r1; r++)
        for (int c = c0; c < c1; c++) sum += (double)x[(size_t)r * (size_t)width + (size_t)c];
    return (float)(sum / ((double)(r1 - r0) * (c1 - c0)));
}

static void avg_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    shape in = r->node->in[0], out = r->node->out;
    size_t cells = (size_t)in.h * (size_t)in.w;
    float *y = r->y + first * (size_t)out.h * (size_t)out.w;
    for (size_t p = first; p < last; p++) {
        const float *x = r->x[0] + p * cells;
        if (out.h == 1 && out.w == 1) {
            *y++ = (float)(r->kern->sum(cells, x) / (double)cells);
            continue;
        }
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++)
                *y++ =
                    window_mean(x, in.w, window_start(i, in.h, out.h), window_end(i, in.h, out.h),
                                window_start(j, in.w, out.w), window_end(j, in.w, out.w));
    }
}

static void avg_planes_back(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    shape in = r->node->in[0], out = r->node->out;
    size_t cells = (size_t)in.h * (size_t)in.w;
    const float *dy = r->dy + first * (size_t)out.h * (size_t)out.w;
    for (size_t p = first; p < last; p++) {
        float *dx = r->dx[0] + p * cells;
        memset(dx, 0, cells * sizeof *dx);
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++) {
                int r0 = window_start(i, in.h, out.h), r1 = window_end(i, in.h, out.h);
                int c0 = window_start(j, in.w, out.w), c1 = window_end(j, in.w, out.w);
                float share = *dy++ / ((float)(r1 - r0) * (float)(c1 - c0));
                for (int row = r0; row < r1; row++)
                    for (int c = c0; c < c1; c++)
                        dx[(size_t)row * (size_t)in.w + (size_t)c] += share;
            }
    }
}

static void avg_forward(const op_run *r) { each_plane(r, avg_planes); }
static void avg_backward(const op_run *r) {
    if (r->dx[0]) each_plane(r, avg_planes_back);
}

/* ---- maximum -------------------------------------------------------------------------------- */

static void max_plan(const op_node *node, const struct kern *kern, int threads, int batch,
                     bool train, op_plan *plan) {
    (void)kern, (void)threads;
    if (train) plan->saved = (size_t)batch * shape_count(node->out) * sizeof(int32_t);
}

static void max_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    shape in = r->node->in[0], out = r->node->out;
    size_t at = first * (size_t)out.h * (size_t)out.w;
    for (size_t p = first; p < last; p++) {
        const float *x = r->x[0] + p * (size_t)in.h * (size_t)in.w;
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++, at++) {
                int32_t cell;
                r->y[at] =
                    op_max_cell(x, in.w, window_start(i, in.h, out.h), window_end(i, in.h, out.h),
                                window_start(j, in.w, out.w), window_end(j, in.w, out.w), &cell);
                if (r->train) ((int32_t *)r->saved)[at] = cell;
            }
    }
}

static void max_planes_back(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    shape in = r->node->in[0], out = r->node->out;
    size_t cells = (size_t)in.h * (size_t)in.w, windows = (size_t)out.h * (size_t)out.w;
    for (size_t p = first; p < last; p++) {
        const int32_t *cell = (const int32_t *)r->saved + p * windows;
        float *dx = r->dx[0] + p * cells;
        memset(dx, 0, cells * sizeof *dx);
        for (size_t i = 0; i < windows; i++) dx[cell[i]] += r->dy[p * windows + i];
    }
}

static void max_forward(const op_run *r) { each_plane(r, max_planes); }
static void max_backward(const op_run *r) {
    if (r->dx[0]) each_plane(r, max_planes_back);
}

/* ---- the kinds ------------------------------------------------------------------------------ */

const op_kind op_adaptive_avgpool = {
    .name = "adaptive_avgpool",
    .formula =
        "y[n,c,i,j] = mean of x[n,c] over rows floor(i*H/h) .. ceil((i+1)*H/h)-1, columns alike",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_adaptive_opts),
    .options = options,
    .infer = infer,
    .forward = avg_forward,
    .backward = avg_backward,
};

const op_kind op_adaptive_maxpool = {
    .name = "adaptive_maxpool",
    .formula =
        "y[n,c,i,j] = max of x[n,c] over rows floor(i*H/h) .. ceil((i+1)*H/h)-1, columns alike",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_adaptive_opts),
    .options = options,
    .infer = infer,
    .plan = max_plan,
    .forward = max_forward,
    .backward = max_backward,
};

const op_kind op_global_avgpool = {
    .name = "global_avgpool",
    .formula = "y[n,c] = mean of x[n,c] over the picture",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer_global,
    .forward = avg_forward,
    .backward = avg_backward,
};

const op_kind op_global_maxpool = {
    .name = "global_maxpool",
    .formula = "y[n,c] = max of x[n,c] over the picture",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer_global,
    .plan = max_plan,
    .forward = max_forward,
    .backward = max_backward,
};
