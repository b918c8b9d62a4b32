/* pool.c - maximum, average and sum over sliding windows of each plane.
 *
 *     H' = floor or ceil of (H + top + bottom - kh)/sh + 1, the same for W'
 *     y[n,c,i,j] = max, sum or mean of x[n,c, i*sh + u - top, j*sw + v - left], cells inside only
 *
 * The mean divides by the cells of the window that lie in the padded picture (PyTorch; with
 * exclude_pad: in the picture); what ceil lets hang over is never counted. Invariant: padding is at
 * most half the kernel and no window starts behind the picture, so every window meets it.
 *
 * Gradients: of a maximum to the first largest cell in row-major order, windows that overlap add up;
 * of a mean and a sum spread evenly. Forward keeps the largest cell of each window: a byte, or 4 when a
 * window has more than 256 cells.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <string.h>

enum { MAX_SWITCH = 256 }; /* cells of a window that a byte can tell apart */

/* The first row is the mean's alone: the others start behind it. */
static const op_option options[] = {
    { "exclude_pad", OP_BOOL, offsetof(lens_pool_opts, exclude_pad), "do not count padding" },
    { "kernel", OP_SIZE, offsetof(lens_pool_opts, kernel), "window; required" },
    { "stride", OP_SIZE, offsetof(lens_pool_opts, stride), "step of the window; default: kernel" },
    { "pad", OP_PADS, offsetof(lens_pool_opts, pad), "cells added on each side; default 0" },
    { "ceil", OP_BOOL, offsetof(lens_pool_opts, ceil), "let the last window overhang" },
    { 0 },
};

/* Top, left, bottom, right; on a sequence pads[0..1] are left and right. */
static void pads_of(const op_node *node, int pads[4]) {
    const lens_pool_opts *o = node->opts;
    bool sequence = node->in[0].rank == 3;
    for (int i = 0; i < 4; i++) pads[i] = sequence ? 0 : o->pad + o->pads[i];
    if (sequence) {
        pads[1] = o->pad + o->pads[0];
        pads[3] = o->pad + o->pads[1];
    }
}

static pool_job job_of(const op_node *node) {
    const lens_pool_opts *o = node->opts;
    int pads[4];
    pads_of(node, pads);
    return (pool_job){ .h = node->in[0].h,
                       .w = node->in[0].w,
                       .oh = node->out.h,
                       .ow = node->out.w,
                       .kh = o->kernel.h,
                       .kw = o->kernel.w,
                       .sh = o->stride.h,
                       .sw = o->stride.w,
                       .pt = pads[0],
                       .pl = pads[1] };
}

static lens_status check_pads(const op_node *node, lens_size kernel) {
    const lens_pool_opts *o = node->opts;
    static const char *const side[] = { "top", "left", "bottom", "right" };
    LENS_TRY(op_check_range(node, "pad", o->pad, 0, OP_MAX_DIM));
    for (int i = 0; i < 4; i++)
        LENS_TRY(op_check_range(node, "a side of pad", o->pads[i], 0, OP_MAX_DIM));
    if (node->in[0].rank == 3 && (o->pads[2] || o->pads[3]))
        return ctx_fail(node->ctx, LENS_BAD_ARG,
                        "%s: pads has four sides but a sequence has two, left and right",
                        node->name);
    int pads[4];
    pads_of(node, pads);
    for (int i = 0; i < 4; i++) {
        int half = (i % 2 ? kernel.w : kernel.h) / 2;
        if (pads[i] > half)
            return ctx_fail(node->ctx, LENS_BAD_ARG,
                            "%s: padding %d at the %s is more than half of the %dx%d window",
                            node->name, pads[i], side[i], kernel.h, kernel.w);
    }
    return LENS_OK;
}

static lens_status infer(op_node *node) {
    lens_pool_opts *o = node->opts;
    shape in = node->in[0];
    LENS_TRY(op_check_planes(node));
    if (!o->kernel.h && !o->kernel.w)
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: %s needs a kernel", node->name,
                        node->kind->name);
    lens_size kernel = op_size_of(node, o->kernel, (lens_size){ 0 });
    lens_size stride = op_size_of(node, o->stride, kernel);
    LENS_TRY(op_check_range(node, "kernel height", kernel.h, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "kernel width", kernel.w, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "stride down", stride.h, 1, OP_MAX_DIM));
    LENS_TRY(op_check_range(node, "stride across", stride.w, 1, OP_MAX_DIM));
    LENS_TRY(check_pads(node, kernel));
    int pads[4];
    pads_of(node, pads);
    int oh = op_out_size(in.h, kernel.h, stride.h, 1, pads[0], pads[2], o->ceil);
    int ow = op_out_size(in.w, kernel.w, stride.w, 1, pads[1], pads[3], o->ceil);
    if (!oh || !ow)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: window %dx%d is larger than the padded input %dx%d", node->name,
                        kernel.h, kernel.w, in.h + pads[0] + pads[2], in.w + pads[1] + pads[3]);
    o->kernel = kernel;
    o->stride = stride;
    node->out = (shape){ .rank = in.rank, .c = in.c, .h = oh, .w = ow };
    node->window = (op_window){ .kh = kernel.h,
                                .kw = kernel.w,
                                .sh = stride.h,
                                .sw = stride.w,
                                .dh = 1,
                                .dw = 1,
                                .pt = pads[0],
                                .pl = pads[1] };
    op_label_window(node, kernel, stride, pads, o->ceil);
    return LENS_OK;
}

typedef struct planes {
    const op_run *run;
    pool_job job;
    size_t in, out; /* floats of a plane */
    const float *scale;
} planes;

static planes planes_of(const op_run *r) {
    pool_job job = job_of(r->node);
    return (planes){ .run = r,
                     .job = job,
                     .in = (size_t)job.h * (size_t)job.w,
                     .out = (size_t)job.oh * (size_t)job.ow };
}

static void each_plane(const op_run *r, const planes *p, op_range_fn *fn) {
    op_each(r->pool, (size_t)r->n * (size_t)r->node->in[0].c, p->in + p->out, fn, p);
}

/* ---- maximum -------------------------------------------------------------------------------- */

static bool wide(const pool_job *job) { return (int64_t)job->kh * job->kw > MAX_SWITCH; }

static void max_plan(const op_node *node, const struct kern *kern, int threads, int batch,
                     bool train, op_plan *plan) {
    (void)kern, (void)threads;
    pool_job job = job_of(node);
    size_t each = wide(&job) ? sizeof(int32_t) : sizeof(uint8_t);
    if (train) plan->saved = (size_t)batch * shape_count(node->out) * each;
}

static void max_wide(const pool_job *job, const float *x, float *y, int32_t *cell) {
    for (int i = 0; i < job->oh; i++)
        for (int j = 0; j < job->ow; j++) {
            int r0 = i * job->sh - job->pt, c0 = j * job->sw - job->pl;
            int r1 = r0 + job->kh < job->h ? r0 + job->kh : job->h;
            int c1 = c0 + job->kw < job->w ? c0 + job->kw : job->w;
            int32_t where;
            size_t o = (size_t)i * (size_t)job->ow + (size_t)j;
            y[o] = op_max_cell(x, job->w, r0 > 0 ? r0 : 0, r1, c0 > 0 ? c0 : 0, c1, &where);
            if (cell) cell[o] = where;
        }
}

static void max_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const planes *p = arg;
    const op_run *r = p->run;
    for (size_t i = first; i < last; i++) {
        const float *x = r->x[0] + i * p->in;
        float *y = r->y + i * p->out;
        if (wide(&p->job))
            max_wide(&p->job, x, y, r->train ? (int32_t *)r->saved + i * p->out : NULL);
        else
            r->kern->max_pool(&p->job, x, y, r->train ? (uint8_t *)r->saved + i * p->out : NULL);
    }
}

static void max_planes_back(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const planes *p = arg;
    const op_run *r = p->run;
    for (size_t i = first; i < last; i++) {
        const float *dy = r->dy + i * p->out;
        float *dx = r->dx[0] + i * p->in;
        if (!wide(&p->job)) {
            r->kern->max_pool_back(&p->job, dy, (const uint8_t *)r->saved + i * p->out, dx);
            continue;
        }
        const int32_t *cell = (const int32_t *)r->saved + i * p->out;
        memset(dx, 0, p->in * sizeof *dx);
        for (size_t o = 0; o < p->out; o++) dx[cell[o]] += dy[o];
    }
}

static void max_forward(const op_run *r) {
    planes p = planes_of(r);
    each_plane(r, &p, max_planes);
}

static void max_backward(const op_run *r) {
    if (!r->dx[0]) return;
    planes p = planes_of(r);
    each_plane(r, &p, max_planes_back);
}

/* ---- sum and mean --------------------------------------------------------------------------- */

static void avg_plan(const op_node *node, const struct kern *kern, int threads, int batch,
                     bool train, op_plan *plan) {
    (void)kern, (void)threads, (void)batch, (void)train;
    plan->cache = (size_t)node->out.h * (size_t)node->out.w * sizeof(float);
}

/* Cells of window i along one axis that count: `before` and `after` are the padding that counts. */
static int cells(int i, int size, int k, int stride, int before, int after, int pad) {
    int start = i * stride - pad, end = start + k;
    if (start < -before) start = -before;
    if (end > size + after) end = size + after;
    return end - start;
}

/* 1/cells of each window: ceil and exclude_pad make them differ. */
static void fill_scale(const op_node *node, const pool_job *job, float *scale) {
    const lens_pool_opts *o = node->opts;
    int pads[4] = { 0 };
    if (!o->exclude_pad) pads_of(node, pads);
    for (int i = 0; i < job->oh; i++) {
        int rows = cells(i, job->h, job->kh, job->sh, pads[0], pads[2], job->pt);
        for (int j = 0; j < job->ow; j++) {
            int columns = cells(j, job->w, job->kw, job->sw, pads[1], pads[3], job->pl);
            scale[(size_t)i * (size_t)job->ow + (size_t)j] =
                (float)(1.0 / ((double)rows * (double)columns));
        }
    }
}

static void sum_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const planes *p = arg;
    const op_run *r = p->run;
    for (size_t i = first; i < last; i++)
        r->kern->sum_pool(&p->job, r->x[0] + i * p->in, p->scale, r->y + i * p->out);
}

static void sum_planes_back(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const planes *p = arg;
    const op_run *r = p->run;
    for (size_t i = first; i < last; i++)
        r->kern->sum_pool_back(&p->job, r->dy + i * p->out, p->scale, r->dx[0] + i * p->in);
}

static void sum_forward(const op_run *r) {
    planes p = planes_of(r);
    each_plane(r, &p, sum_planes);
}

static void sum_backward(const op_run *r) {
    if (!r->dx[0]) return;
    planes p = planes_of(r);
    each_plane(r, &p, sum_planes_back);
}

static void avg_forward(const op_run *r) {
    planes p = planes_of(r);
    if (r->repack) fill_scale(r->node, &p.job, r->cache);
    p.scale = r->cache;
    each_plane(r, &p, sum_planes);
}

static void avg_backward(const op_run *r) {
    if (!r->dx[0]) return;
    planes p = planes_of(r);
    p.scale = r->cache;
    each_plane(r, &p, sum_planes_back);
}

/* ---- trainable sub-sampling ----------------------------------------------------------------- */

/* y = weight[c]*(sum of the window) + bias[c] (LeCun 1998, section II.B). Forward keeps the sums. */

static lens_status subsample_infer(op_node *node) {
    LENS_TRY(infer(node));
    const lens_pool_opts *o = node->opts;
    int c = node->in[0].c;
    static const char *const suffix[] = { "weight", "bias" };
    node->params = 2;
    for (int i = 0; i < 2; i++)
        node->param[i] = (op_param){ .suffix = suffix[i],
                                     .rank = 1,
                                     .dim = { c },
                                     .count = (size_t)c,
                                     .parameters = c,
                                     .trainable = true,
                                     .start = i ? 0.0f : 1.0f };
    node->connections = (int64_t)shape_count(node->out) * ((int64_t)o->kernel.h * o->kernel.w + 1);
    return LENS_OK;
}

static void subsample_plan(const op_node *node, const struct kern *kern, int threads, int batch,
                           bool train, op_plan *plan) {
    (void)kern, (void)threads;
    if (!train) return;
    plan->saved = (size_t)batch * shape_count(node->out) * sizeof(float);
    plan->thread_scratch = (size_t)node->out.h * (size_t)node->out.w * sizeof(float);
}

static void subsample_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const planes *p = arg;
    const op_run *r = p->run;
    size_t channels = (size_t)r->node->in[0].c;
    for (size_t i = first; i < last; i++) {
        float *y = r->y + i * p->out, *sum = r->train ? (float *)r->saved + i * p->out : y;
        r->kern->sum_pool(&p->job, r->x[0] + i * p->in, NULL, sum);
        r->kern->scale_shift(p->out, r->param[0][i % channels], r->param[1][i % channels], ACT_NONE,
                             0, sum, y);
        if (r->act != ACT_NONE) r->kern->act(r->act, r->slope, p->out, y, y);
    }
}

static void subsample_planes_back(const void *arg, size_t first, size_t last, int thread) {
    const planes *p = arg;
    const op_run *r = p->run;
    size_t channels = (size_t)r->node->in[0].c;
    float *scaled = op_scratch(r, thread);
    for (size_t i = first; i < last; i++) {
        r->kern->scale_shift(p->out, r->param[0][i % channels], 0, ACT_NONE, 0, r->dy + i * p->out,
                             scaled);
        r->kern->sum_pool_back(&p->job, scaled, NULL, r->dx[0] + i * p->in);
    }
}

/* dweight[c] = sum of dy*sums, dbias[c] = sum of dy, over samples in order. */
static void subsample_channels(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const planes *p = arg;
    const op_run *r = p->run;
    size_t channels = (size_t)r->node->in[0].c;
    for (size_t c = first; c < last; c++) {
        double weight = 0, bias = 0;
        for (size_t n = 0; n < (size_t)r->n; n++) {
            size_t at = (n * channels + c) * p->out;
            double dy_sum, dyx_sum;
            norm_back_job job = { p->out, r->dy + at, (const float *)r->saved + at };
            r->kern->norm_back_sums(&job, 0, &dy_sum, &dyx_sum);
            weight += dyx_sum;
            bias += dy_sum;
        }
        if (r->dparam[0]) r->dparam[0][c] = (float)weight;
        if (r->dparam[1]) r->dparam[1][c] = (float)bias;
    }
}

static void subsample_forward(const op_run *r) {
    planes p = planes_of(r);
    each_plane(r, &p, subsample_planes);
}

static void subsample_backward(const op_run *r) {
    planes p = planes_of(r);
    if (r->dx[0]) each_plane(r, &p, subsample_planes_back);
    if (r->dparam[0] || r->dparam[1])
        op_each(r->pool, (size_t)r->node->in[0].c, 2 * p.out * (size_t)r->n, subsample_channels,
                &p);
}

/* ---- the kinds ------------------------------------------------------------------------------ */

const op_kind op_maxpool = {
    .name = "maxpool",
    .formula = "y[n,c,i,j] = max over u,v of x[n,c, i*sh + u - top, j*sw + v - left]",
    .flags = OP_SELECTS,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_pool_opts),
    .options = options + 1,
    .infer = infer,
    .plan = max_plan,
    .forward = max_forward,
    .backward = max_backward,
};

const op_kind op_avgpool = {
    .name = "avgpool",
    .formula = "y[n,c,i,j] = mean over u,v of x[n,c, i*sh + u - top, j*sw + v - left]",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_pool_opts),
    .options = options,
    .infer = infer,
    .plan = avg_plan,
    .forward = avg_forward,
    .backward = avg_backward,
};

const op_kind op_sumpool = {
    .name = "sumpool",
    .formula = "y[n,c,i,j] = sum over u,v of x[n,c, i*sh + u - top, j*sw + v - left]",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_pool_opts),
    .options = options + 1,
    .infer = infer,
    .forward = sum_forward,
    .backward = sum_backward,
};

const op_kind op_subsample = {
    .name = "subsample",
    .formula =
        "y[n,c,i,j] = weight[c] * sum over u,v of x[n,c, i*sh + u - top, j*sw + v - left] + bias[c]",
    .flags = OP_FUSES_ACT,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_pool_opts),
    .options = options + 1,
    .infer = subsample_infer,
    .plan = subsample_plan,
    .forward = subsample_forward,
    .backward = subsample_backward,
};
