/* dft.c - the discrete Fourier transform for any size, and convolution by it.
 *
 * The mixed-radix recursion of Cooley and Tukey (1965), decimation in time: a transform of n = p*m
 * becomes p transforms of m and m butterflies of p. A side that is prime costs n^2.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "signal/signal.h"

#include <math.h>
#include <string.h>

typedef struct cplx {
    double re, im;
} cplx;

typedef struct dft_plan {
    int n, largest; /* largest factor taken */
    cplx *turn;     /* [n]: exp(-2 pi i j/n), or the other sign */
} dft_plan;

static cplx times(cplx a, cplx b) {
    return (cplx){ a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re };
}

static int factor(int n) {
    if (n % 4 == 0) return 4;
    for (int p = 2; (int64_t)p * p <= n; p++)
        if (n % p == 0) return p;
    return n;
}

static lens_status plan_dft(lens_ctx *ctx, dft_plan *plan, int n, bool inverse) {
    *plan = (dft_plan){ .n = n, .largest = 1 };
    for (int m = n; m > 1;) {
        int p = factor(m);
        if (p > plan->largest) plan->largest = p;
        m /= p;
    }
    plan->turn = ctx_alloc(ctx, (size_t)n, sizeof *plan->turn);
    if (!plan->turn) return LENS_NOMEM;
    const double pi = 3.14159265358979323846;
    for (int j = 0; j < n; j++) {
        double angle = 2 * pi * j / n;
        plan->turn[j] = (cplx){ cos(angle), inverse ? sin(angle) : -sin(angle) };
    }
    return LENS_OK;
}

/* The m butterflies of p over out[0..p*m-1]; scratch[p]. */
static void combine(const dft_plan *plan, int p, int m, cplx *out, cplx *scratch) {
    size_t step = (size_t)(plan->n / (p * m)), n = (size_t)plan->n;
    for (int k = 0; k < m; k++) {
        for (int r = 0; r < p; r++)
            scratch[r] =
                times(out[cells(r, m) + (size_t)k], plan->turn[(size_t)r * (size_t)k * step % n]);
        if (p == 2) {
            cplx a = scratch[0], b = scratch[1];
            out[k] = (cplx){ a.re + b.re, a.im + b.im };
            out[m + k] = (cplx){ a.re - b.re, a.im - b.im };
            continue;
        }
        for (int q = 0; q < p; q++) {
            cplx sum = scratch[0];
            for (int r = 1; r < p; r++) {
                cplx t = times(scratch[r],
                               plan->turn[(size_t)q * (size_t)r % (size_t)p * (n / (size_t)p)]);
                sum.re += t.re, sum.im += t.im;
            }
            out[cells(q, m) + (size_t)k] = sum;
        }
    }
}

/* Four by hand: half the additions of the general form. */
static void combine4(const dft_plan *plan, int m, cplx *out) {
    size_t step = (size_t)(plan->n / (4 * m));
    double sign = plan->turn[plan->n / 4].im;
    for (int k = 0; k < m; k++) {
        cplx a = out[k], b = times(out[m + k], plan->turn[(size_t)k * step]),
             c = times(out[2 * m + k], plan->turn[2 * (size_t)k * step]),
             d = times(out[3 * m + k], plan->turn[3 * (size_t)k * step]);
        cplx s = { a.re + c.re, a.im + c.im }, t = { a.re - c.re, a.im - c.im };
        cplx u = { b.re + d.re, b.im + d.im }, v = { -sign * (b.im - d.im), sign * (b.re - d.re) };
        out[k] = (cplx){ s.re + u.re, s.im + u.im };
        out[m + k] = (cplx){ t.re + v.re, t.im + v.im };
        out[2 * m + k] = (cplx){ s.re - u.re, s.im - u.im };
        out[3 * m + k] = (cplx){ t.re - v.re, t.im - v.im };
    }
}

static void transform(const dft_plan *plan, int n, int stride, const cplx *in, cplx *out,
                      cplx *scratch) {
    if (n == 1) {
        out[0] = in[0];
        return;
    }
    int p = factor(n), m = n / p;
    for (int r = 0; r < p; r++)
        transform(plan, m, stride * p, in + cells(r, stride), out + cells(r, m), scratch);
    if (p == 4)
        combine4(plan, m, out);
    else
        combine(plan, p, m, out, scratch);
}

/* All lines of one axis; a task is one line, with room for line, result and scratch per thread. */
typedef struct dft_job {
    const dft_plan *plan;
    cplx *data, *room;
    size_t room_each, stride, next; /* between elements of a line, between lines */
} dft_job;

static void dft_task(void *arg, int task, int thread) {
    const dft_job *job = arg;
    int n = job->plan->n;
    cplx *line = job->room + (size_t)thread * job->room_each, *result = line + n;
    cplx *data = job->data + (size_t)task * job->next;
    for (int i = 0; i < n; i++) line[i] = data[(size_t)i * job->stride];
    transform(job->plan, n, 1, line, result, result + n);
    for (int i = 0; i < n; i++) data[(size_t)i * job->stride] = result[i];
}

static lens_status dft_axis(lens_ctx *ctx, cplx *data, int n, size_t stride, int lines, size_t next,
                            bool inverse) {
    if (n == 1) return LENS_OK;
    dft_plan plan;
    LENS_TRY(plan_dft(ctx, &plan, n, inverse));
    dft_job job = { &plan, data, NULL, 2 * (size_t)n + (size_t)plan.largest, stride, next };
    lens_status status = LENS_NOMEM;
    job.room = ctx_alloc(ctx, job.room_each * (size_t)pool_threads(ctx_pool(ctx)), sizeof(cplx));
    if (job.room) {
        pool_run(ctx_pool(ctx), lines, 10.0 * n * log2(n), dft_task, &job);
        status = LENS_OK;
    }
    ctx_free(ctx, job.room);
    ctx_free(ctx, plan.turn);
    return status;
}

static lens_status dft2(lens_ctx *ctx, cplx *data, int h, int w, bool inverse) {
    LENS_TRY(dft_axis(ctx, data, w, 1, h, (size_t)w, inverse));
    return dft_axis(ctx, data, h, (size_t)w, w, 1, inverse);
}

lens_status lens_dft(lens_ctx *ctx, double *re, double *im, int h, int w, bool inverse) {
    LENS_TRY(signal_check(ctx, "transform", h, w, 1, 1, LENS_SAME));
    size_t n = cells(h, w);
    cplx *data = ctx_alloc(ctx, n, sizeof *data);
    if (!data) return LENS_NOMEM;
    for (size_t i = 0; i < n; i++) data[i] = (cplx){ re[i], im[i] };
    lens_status status = dft2(ctx, data, h, w, inverse);
    double scale = inverse ? 1 / (double)n : 1;
    if (status == LENS_OK)
        for (size_t i = 0; i < n; i++) re[i] = data[i].re * scale, im[i] = data[i].im * scale;
    ctx_free(ctx, data);
    return status;
}

/* The smallest 2^a 3^b 5^c >= n. */
static int good_size(int n) {
    for (;; n++) {
        int m = n;
        while (m % 2 == 0) m /= 2;
        while (m % 3 == 0) m /= 3;
        while (m % 5 == 0) m /= 5;
        if (m == 1) return n;
    }
}

/* data holds a + ib for real a, b, as the real and imaginary part of one transform Z. With
 * Z' = conj Z(-p,-q): A = (Z+Z')/2, B = (Z-Z')/2i, so A*B = (Z^2 - Z'^2)/4i. */
static void multiply(cplx *z, int h, int w) {
    for (int p = 0; p < h; p++)
        for (int q = 0; q < w; q++) {
            size_t i = cells(p, w) + (size_t)q;
            size_t j = cells((h - p) % h, w) + (size_t)((w - q) % w);
            if (j < i) continue; /* done together with its partner */
            cplx s = times(z[i], z[i]), t = times(z[j], z[j]);
            cplx d = { s.re - t.re, s.im + t.im }, e = { t.re - s.re, t.im + s.im };
            z[i] = (cplx){ d.im / 4, -d.re / 4 };
            z[j] = (cplx){ e.im / 4, -e.re / 4 };
        }
}

static double magnitude(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs(x[i]);
    return sum;
}

/* Correlation enters the kernel turned, so that a product of spectra is what is wanted. Both share one
 * complex array: the kernel is brought to the size of x, or it would drown in the rounding of x. */
static lens_status by_dft(lens_ctx *ctx, const double *x, int h, int w, const double *k, int kh,
                          int kw, lens_mode mode, bool flip, double *y) {
    LENS_TRY(signal_check(ctx, "kernel", h, w, kh, kw, mode));
    int fh = good_size(h + kh - 1), fw = good_size(w + kw - 1);
    int oh = lens_signal_size(h, kh, mode), ow = lens_signal_size(w, kw, mode);
    int top = mode == LENS_FULL ? 0 : mode == LENS_SAME ? kh / 2 : kh - 1;
    int left = mode == LENS_FULL ? 0 : mode == LENS_SAME ? kw / 2 : kw - 1;
    double mx = magnitude(x, cells(h, w)), mk = magnitude(k, cells(kh, kw));
    double level = mx > 0 && mk > 0 && isfinite(mx / mk) ? mx / mk : 1;
    cplx *z = ctx_alloc(ctx, cells(fh, fw), sizeof *z);
    if (!z) return LENS_NOMEM;
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) z[cells(i, fw) + (size_t)j].re = x[cells(i, w) + (size_t)j];
    for (int u = 0; u < kh; u++)
        for (int v = 0; v < kw; v++)
            z[cells(u, fw) + (size_t)v].im =
                level * (flip ? k[cells(u, kw) + (size_t)v] : k[cells(kh - u, kw) - 1 - (size_t)v]);
    lens_status status = dft2(ctx, z, fh, fw, false);
    if (status == LENS_OK) {
        multiply(z, fh, fw);
        status = dft2(ctx, z, fh, fw, true);
    }
    double scale = 1 / ((double)fh * fw * level);
    for (int i = 0; status == LENS_OK && i < oh; i++)
        for (int j = 0; j < ow; j++)
            y[cells(i, ow) + (size_t)j] = z[cells(i + top, fw) + (size_t)(j + left)].re * scale;
    ctx_free(ctx, z);
    return status;
}

lens_status lens_correlate_dft(lens_ctx *ctx, const double *x, int h, int w, const double *k,
                               int kh, int kw, lens_mode mode, double *y) {
    return by_dft(ctx, x, h, w, k, kh, kw, mode, false, y);
}

lens_status lens_convolve_dft(lens_ctx *ctx, const double *x, int h, int w, const double *k, int kh,
                              int kw, lens_mode mode, double *y) {
    return by_dft(ctx, x, h, w, k, kh, kw, mode, true, y);
}

lens_status lens_convolve_circular(lens_ctx *ctx, const double *a, const double *b, int n,
                                   double *y) {
    LENS_TRY(signal_check(ctx, "period", 1, n, 1, n, LENS_VALID));
    cplx *z = ctx_alloc(ctx, (size_t)n, sizeof *z);
    if (!z) return LENS_NOMEM;
    for (int i = 0; i < n; i++) z[i] = (cplx){ a[i], b[i] };
    lens_status status = dft2(ctx, z, 1, n, false);
    if (status == LENS_OK) {
        multiply(z, 1, n);
        status = dft2(ctx, z, 1, n, true);
    }
    for (int i = 0; status == LENS_OK && i < n; i++) y[i] = z[i].re / n;
    ctx_free(ctx, z);
    return status;
}
