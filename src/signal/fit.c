/* fit.c - learning a kernel or a line by gradient descent on a sum of squares, and by chance.
 *
 * For parameters w, rows r_i of known numbers and targets y_i the loss a * sum (r_i.w - y_i)^2 is the
 * quadratic w.Aw/2 - b.w + c with A = 2a sum r r', b = 2a sum r y, c = a sum y^2. Descent on it takes
 * exactly the steps of descent over the rows.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "base/rng.h"
#include "signal/signal.h"

#include <math.h>
#include <string.h>

enum { USUAL_STEPS = 10000, POWER_STEPS = 500, GROWTH = 100 };
#define USUAL_RATE      0.5
#define USUAL_TOLERANCE 1e-7

typedef struct quadratic {
    int n;
    double *A, *b, *gradient; /* [n*n], [n], [n] */
    double c;
} quadratic;

static lens_status quadratic_new(lens_ctx *ctx, quadratic *q, int n) {
    *q = (quadratic){ .n = n };
    q->A = ctx_alloc(ctx, (size_t)n * (size_t)n + 2 * (size_t)n, sizeof *q->A);
    if (!q->A) return LENS_NOMEM;
    q->b = q->A + (size_t)n * (size_t)n;
    q->gradient = q->b + n;
    return LENS_OK;
}

/* Aw - b, and the loss as half the sum of w.(gradient - b), plus c. */
static double evaluate(const quadratic *q, const double *w) {
    double loss = q->c;
    for (int i = 0; i < q->n; i++) {
        double sum = -q->b[i];
        for (int j = 0; j < q->n; j++) sum += q->A[cells(i, q->n) + (size_t)j] * w[j];
        q->gradient[i] = sum;
        loss += 0.5 * w[i] * (sum - q->b[i]);
    }
    return loss > 0 ? loss : loss <= 0 ? 0 : NAN; /* below 0 only by rounding */
}

/* Power iteration. A start that favours no symmetry, so that it is not orthogonal to the answer. */
static lens_status largest_eigenvalue(lens_ctx *ctx, const quadratic *q, double *out) {
    double *v = ctx_alloc(ctx, 2 * (size_t)q->n, sizeof *v), size = 0;
    if (!v) return LENS_NOMEM;
    double *next = v + q->n;
    for (int i = 0; i < q->n; i++) v[i] = 1 + 0.01 * i;
    for (int step = 0; step < POWER_STEPS; step++) {
        size = 0;
        for (int i = 0; i < q->n; i++) {
            next[i] = 0;
            for (int j = 0; j < q->n; j++) next[i] += q->A[cells(i, q->n) + (size_t)j] * v[j];
            if (fabs(next[i]) > size) size = fabs(next[i]);
        }
        if (!(size > 0)) break;
        for (int i = 0; i < q->n; i++) v[i] = next[i] / size;
    }
    ctx_free(ctx, v);
    *out = size;
    return LENS_OK;
}

static lens_status check_opts(lens_ctx *ctx, const lens_fit_opts *opts, lens_fit_opts *use) {
    *use = opts ? *opts : (lens_fit_opts){ 0 };
    if (use->rate == 0) use->rate = USUAL_RATE;
    if (use->tolerance == 0) use->tolerance = USUAL_TOLERANCE;
    if (use->steps == 0) use->steps = USUAL_STEPS;
    if (!(use->rate > 0) || !isfinite(use->rate) || isnan(use->tolerance) || use->steps < 1)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "fit: rate %g, tolerance %g, %d steps; rate and steps must be above 0",
                        use->rate, use->tolerance, use->steps);
    return LENS_OK;
}

static lens_status descend(lens_ctx *ctx, const quadratic *q, const lens_fit_opts *use, double *w,
                           lens_fit *out) {
    lens_fit fit = { 0 };
    LENS_TRY(largest_eigenvalue(ctx, q, &fit.lambda_max));
    fit.rate_max = fit.lambda_max > 0 ? 2 / fit.lambda_max : INFINITY;
    bool diverged;
    for (;; fit.steps++) {
        fit.loss = evaluate(q, w);
        if (fit.steps == 0) fit.first_loss = fit.loss;
        if (use->watch) use->watch(use->user, fit.steps, fit.loss, w);
        diverged = !(fit.loss <= GROWTH * fmax(fit.first_loss, USUAL_TOLERANCE));
        if (diverged || fit.loss < use->tolerance || fit.steps == use->steps) break;
        for (int i = 0; i < q->n; i++) w[i] -= use->rate * q->gradient[i];
    }
    *out = fit;
    if (!diverged) return LENS_OK;
    return ctx_fail(ctx, LENS_DIVERGED,
                    "the loss grew from %g to %g in %d steps: the rate is %g, but steps above "
                    "2/lambda_max = %.6g diverge",
                    fit.first_loss, fit.loss, fit.steps, use->rate, fit.rate_max);
}

/* Row i of A and b[i] for the kernel cell i: products of two shifted windows of x. */
typedef struct gram_job {
    const double *x, *y;
    int w, oh, ow, kw;
    double scale;
    quadratic *q;
} gram_job;

static void gram_task(void *arg, int task, int thread) {
    const gram_job *job = arg;
    int n = job->q->n;
    (void)thread;
    const double *a = job->x + cells(task / job->kw, job->w) + task % job->kw;
    for (int j = task; j <= n; j++) { /* j == n: against y */
        const double *b = j == n ? job->y : job->x + cells(j / job->kw, job->w) + j % job->kw;
        int pitch = j == n ? job->ow : job->w;
        double sum = 0;
        for (int r = 0; r < job->oh; r++)
            for (int c = 0; c < job->ow; c++)
                sum += a[cells(r, job->w) + (size_t)c] * b[cells(r, pitch) + (size_t)c];
        if (j == n)
            job->q->b[task] = job->scale * sum;
        else
            job->q->A[cells(task, n) + (size_t)j] = job->q->A[cells(j, n) + (size_t)task] =
                job->scale * sum;
    }
}

/* The quadratic of a kernel between two pictures. Free q->A. */
static lens_status kernel_quadratic(lens_ctx *ctx, quadratic *q, const double *x, int h, int w,
                                    const double *y, int kh, int kw, bool sum) {
    LENS_TRY(signal_check(ctx, "kernel", h, w, kh, kw, LENS_VALID));
    if (kh > LENS_KERNEL_SIDE || kw > LENS_KERNEL_SIDE)
        return ctx_fail(ctx, LENS_BAD_SHAPE, "the kernel is %dx%d; at most %dx%d can be learned",
                        kh, kw, LENS_KERNEL_SIDE, LENS_KERNEL_SIDE);
    int oh = h - kh + 1, ow = w - kw + 1;
    size_t m = cells(oh, ow);
    LENS_TRY(signal_finite(ctx, "picture", x, cells(h, w)));
    LENS_TRY(signal_finite(ctx, "target", y, m));
    LENS_TRY(quadratic_new(ctx, q, kh * kw));
    double a = sum ? 1 : 0.5 / (double)m;
    for (size_t i = 0; i < m; i++) q->c += a * y[i] * y[i];
    gram_job job = { x, y, w, oh, ow, kw, 2 * a, q };
    pool_run(ctx_pool(ctx), q->n, 0.5 * (double)m * q->n, gram_task, &job);
    return LENS_OK;
}

lens_status lens_kernel_fit(lens_ctx *ctx, const double *x, int h, int w, const double *y, int kh,
                            int kw, const lens_fit_opts *opts, double *weights, lens_fit *out) {
    lens_fit_opts use;
    quadratic q;
    LENS_TRY(check_opts(ctx, opts, &use));
    LENS_TRY(kernel_quadratic(ctx, &q, x, h, w, y, kh, kw, use.sum));
    lens_status status = descend(ctx, &q, &use, weights, out);
    ctx_free(ctx, q.A);
    return status;
}

lens_status lens_line_fit(lens_ctx *ctx, const double *x, const double *y, int n,
                          const lens_fit_opts *opts, double line[2], lens_fit *out) {
    lens_fit_opts use;
    quadratic q;
    LENS_TRY(check_opts(ctx, opts, &use));
    LENS_TRY(signal_check(ctx, "line", 1, n, 1, 1, LENS_VALID));
    LENS_TRY(signal_finite(ctx, "x", x, (size_t)n));
    LENS_TRY(signal_finite(ctx, "y", y, (size_t)n));
    LENS_TRY(quadratic_new(ctx, &q, 2));
    double a = use.sum ? 1 : 0.5 / n;
    for (int i = 0; i < n; i++) {
        q.A[0] += 2 * a * x[i] * x[i], q.A[1] += 2 * a * x[i], q.A[3] += 2 * a;
        q.b[0] += 2 * a * x[i] * y[i], q.b[1] += 2 * a * y[i];
        q.c += a * y[i] * y[i];
    }
    q.A[2] = q.A[1];
    lens_status status = descend(ctx, &q, &use, line, out);
    ctx_free(ctx, q.A);
    return status;
}

lens_status lens_kernel_random_search(lens_ctx *ctx, const double *x, int h, int w, const double *y,
                                      int kh, int kw, int trials, double spread, bool climb,
                                      uint64_t seed, double *weights, double *loss) {
    quadratic q;
    if (trials < 0 || !(spread >= 0) || !isfinite(spread))
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "random search: %d trials, spread %g; both are at least 0", trials, spread);
    LENS_TRY(kernel_quadratic(ctx, &q, x, h, w, y, kh, kw, false));
    size_t n = (size_t)q.n;
    lens_status status = LENS_NOMEM;
    double *start = ctx_alloc(ctx, 2 * n, sizeof *start);
    if (start) {
        double *trial = start + n;
        rng numbers = rng_start(seed, RNG_SEARCH, 0, 0);
        memcpy(start, weights, n * sizeof *start);
        *loss = evaluate(&q, weights);
        for (int t = 0; t < trials; t++) {
            for (size_t i = 0; i < n; i++)
                trial[i] = (climb ? weights : start)[i] + spread * (double)rng_normal(&numbers);
            double found = evaluate(&q, trial);
            if (!(found < *loss)) continue;
            *loss = found;
            memcpy(weights, trial, n * sizeof *trial);
        }
        status = LENS_OK;
    }
    ctx_free(ctx, start);
    ctx_free(ctx, q.A);
    return status;
}
