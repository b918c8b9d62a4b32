/* correlate.c - convolution and correlation by their definitions, and the views of one of them:
 * rows of delayed copies, terms of one sample.
 *
 * Invariant: every y is one chain of additions in row-major order of the kernel's cells.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "signal/signal.h"

#include <math.h>
#include <string.h>

int lens_signal_size(int n, int k, lens_mode mode) {
    return mode == LENS_VALID ? n - k + 1 : mode == LENS_SAME ? n : n + k - 1;
}

lens_status signal_check(lens_ctx *ctx, const char *what, int h, int w, int kh, int kw,
                         lens_mode mode) {
    if (h < 1 || w < 1 || kh < 1 || kw < 1)
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "the signal is %dx%d and the %s %dx%d; every side must be at least 1", h, w,
                        what, kh, kw);
    if (h > SIGNAL_SIDE || w > SIGNAL_SIDE || kh > SIGNAL_SIDE || kw > SIGNAL_SIDE ||
        ((int64_t)h + kh) * ((int64_t)w + kw) > SIGNAL_CELLS)
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "the signal is %dx%d and the %s %dx%d; together at most %lld cells are "
                        "accepted",
                        h, w, what, kh, kw, (long long)SIGNAL_CELLS);
    if (mode == LENS_VALID && (kh > h || kw > w))
        return ctx_fail(ctx, LENS_BAD_SHAPE, "the %s is %dx%d but the signal only %dx%d", what, kh,
                        kw, h, w);
    return LENS_OK;
}

lens_status signal_finite(lens_ctx *ctx, const char *what, const double *x, size_t n) {
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) bad += !isfinite(x[i]);
    if (!bad) return LENS_OK;
    return ctx_fail(ctx, LENS_BAD_ARG, "the %s has %zu of %zu values that are not finite", what,
                    bad, n);
}

/* Rows of y in tasks; top, left: zeros before x. */
typedef struct direct_job {
    const double *x, *k;
    double *y;
    int h, w, kh, kw, oh, ow, top, left, block;
    bool flip;
} direct_job;

static void add_row(const direct_job *job, int i, int u) {
    int r = i + u - job->top;
    if (r < 0 || r >= job->h) return;
    const double *x = job->x + cells(r, job->w);
    double *y = job->y + cells(i, job->ow);
    for (int v = 0; v < job->kw; v++) {
        double k = job->flip ? job->k[cells(job->kh - u, job->kw) - 1 - (size_t)v]
                             : job->k[cells(u, job->kw) + (size_t)v];
        int shift = v - job->left;
        int first = imax(0, -shift), last = imin(job->ow, job->w - shift);
        for (int j = first; j < last; j++) y[j] += k * x[j + shift];
    }
}

static void direct_task(void *arg, int task, int thread) {
    const direct_job *job = arg;
    (void)thread;
    int first = task * job->block, last = imin(job->oh, first + job->block);
    for (int i = first; i < last; i++) {
        memset(job->y + cells(i, job->ow), 0, cells(1, job->ow) * sizeof *job->y);
        for (int u = 0; u < job->kh; u++) add_row(job, i, u);
    }
}

static lens_status direct(lens_ctx *ctx, const double *x, int h, int w, const double *k, int kh,
                          int kw, lens_mode mode, bool flip, double *y) {
    LENS_TRY(signal_check(ctx, "kernel", h, w, kh, kw, mode));
    int share = mode == LENS_FULL ? 1 : 2; /* of the zeros that come first */
    direct_job job = { .x = x, .k = k, .y = y, .h = h, .w = w, .kh = kh, .kw = kw, .flip = flip };
    job.oh = lens_signal_size(h, kh, mode), job.ow = lens_signal_size(w, kw, mode);
    if (mode != LENS_VALID) job.top = (kh - 1) / share, job.left = (kw - 1) / share;
    job.block = 8; /* rows of a task: neighbours read mostly the same rows of x */
    /* A multiply-add of doubles that compilers make of the inner loop takes about half a nanosecond. */
    double row_ns = 0.5 * (double)job.ow * kh * kw;
    pool_run(ctx_pool(ctx), (job.oh + job.block - 1) / job.block, row_ns * job.block, direct_task,
             &job);
    return LENS_OK;
}

lens_status lens_correlate(lens_ctx *ctx, const double *x, int h, int w, const double *k, int kh,
                           int kw, lens_mode mode, double *y) {
    return direct(ctx, x, h, w, k, kh, kw, mode, false, y);
}

lens_status lens_convolve(lens_ctx *ctx, const double *x, int h, int w, const double *k, int kh,
                          int kw, lens_mode mode, double *y) {
    return direct(ctx, x, h, w, k, kh, kw, mode, true, y);
}

bool lens_separable(const double *k, int kh, int kw, double tolerance, double *column,
                    double *row) {
    size_t pivot = 0, n = cells(kh, kw);
    for (size_t i = 1; i < n; i++)
        if (fabs(k[i]) > fabs(k[pivot])) pivot = i;
    if (k[pivot] == 0 || !isfinite(k[pivot])) return false;
    size_t pr = pivot / (size_t)kw, pc = pivot % (size_t)kw;
    for (int u = 0; u < kh; u++)
        for (int v = 0; v < kw; v++) {
            double product = k[cells(u, kw) + pc] * (k[pr * (size_t)kw + (size_t)v] / k[pivot]);
            if (!(fabs(product - k[cells(u, kw) + (size_t)v]) <= tolerance * fabs(k[pivot])))
                return false;
        }
    for (int u = 0; u < kh; u++) column[u] = k[cells(u, kw) + pc];
    for (int v = 0; v < kw; v++) row[v] = k[pr * (size_t)kw + (size_t)v] / k[pivot];
    return true;
}

void lens_multipath(const double *x, int n, const double *h, int m, double *rows) {
    int length = n + m - 1;
    for (int j = 0; j < m; j++)
        for (int i = 0; i < length; i++) {
            int at = i - j;
            rows[cells(j, length) + (size_t)i] = at >= 0 && at < n ? h[j] * x[at] : 0;
        }
}

int lens_output_terms(const double *x, int n, const double *h, int m, int at, lens_term *terms) {
    int count = 0;
    for (int j = 0; j < m; j++) {
        int i = at - j;
        if (i < 0 || i >= n) continue;
        terms[count++] = (lens_term){ i, j, x[i], h[j], x[i] * h[j] };
    }
    return count;
}

void lens_frequency_response(const double *k, int kh, int kw, double wy, double wx, double *re,
                             double *im) {
    *re = *im = 0;
    for (int u = 0; u < kh; u++)
        for (int v = 0; v < kw; v++) {
            double angle = wy * (u - (kh - 1) / 2) + wx * (v - (kw - 1) / 2);
            *re += k[cells(u, kw) + (size_t)v] * cos(angle);
            *im -= k[cells(u, kw) + (size_t)v] * sin(angle);
        }
}
