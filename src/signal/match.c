/* match.c - comparing pictures, and searching a template by the scores of its windows.
 *
 * Invariant: the scores that decide a verdict are computed from their definitions, cell by cell; maps
 * made by DFT only say where to look.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "signal/signal.h"

#include <math.h>
#include <string.h>

/* Two windows score the same if they differ by less: a thousand times the rounding of a sum of 10,000
 * products, and far below what one grey level changes. */
#define TIE 1e-9
enum { REFINE_MOST = 1000 };
#define USUAL_ERROR      0.1
#define USUAL_SIMILARITY 0.95

/* Direct search costs one multiply-add a tap and window; by DFT about 15 log2(n) a cell, and it is used
 * when it saves half. */
#define DFT_COST 30.0

lens_difference lens_compare(const double *a, const double *b, size_t n, double peak) {
    lens_difference d = { 0 };
    for (size_t i = 0; i < n; i++) d.sse += (a[i] - b[i]) * (a[i] - b[i]);
    d.mse = d.sse / (double)n;
    d.rmse = sqrt(d.mse);
    d.psnr = d.mse > 0 ? 10 * log10(peak * peak / d.mse) : INFINITY;
    return d;
}

typedef struct search {
    lens_ctx *ctx;
    const double *x, *t; /* picture and template; for ZNCC without their means */
    int h, w, th, tw, oh, ow;
    lens_match_method method;
    double n, energy; /* cells of the template, sum t^2 */
    double *product, *squares,
        *sums; /* of each window: sum p*t, sum p^2, sum p; the latter two or one
                                         may be NULL */
} search;

static bool is_error(lens_match_method m) { return m <= LENS_MATCH_RMSE; }

/* The score from the three sums of a window. */
static double score(const search *s, double product, double squares, double sum) {
    double sse = squares - 2 * product + s->energy, norm;
    if (sse < 0) sse = 0;
    switch (s->method) {
    case LENS_MATCH_SSE: return sse;
    case LENS_MATCH_MSE: return sse / s->n;
    case LENS_MATCH_RMSE: return sqrt(sse / s->n);
    case LENS_MATCH_RAW: return product;
    case LENS_MATCH_COSINE: norm = squares; break;
    case LENS_MATCH_ZNCC:
    default: norm = squares - sum * sum / s->n;
    }
    /* What rounding leaves of a constant window is no contrast. */
    if (norm <= 1e-12 * squares || norm <= 0) return 0;
    return fmax(-1, fmin(1, product / sqrt(norm * s->energy)));
}

/* The score of the window at (row, column), sums taken over the window alone. */
static double exact(const search *s, int row, int column) {
    double product = 0, squares = 0, sum = 0, sse = 0;
    for (int u = 0; u < s->th; u++)
        for (int v = 0; v < s->tw; v++) sum += s->x[cells(row + u, s->w) + (size_t)(column + v)];
    double mean = s->method == LENS_MATCH_ZNCC ? sum / s->n : 0;
    for (int u = 0; u < s->th; u++)
        for (int v = 0; v < s->tw; v++) {
            double p = s->x[cells(row + u, s->w) + (size_t)(column + v)] - mean,
                   t = s->t[cells(u, s->tw) + (size_t)v];
            product += p * t, squares += p * p, sse += (p - t) * (p - t);
        }
    if (is_error(s->method)) return score(s, 0, sse - s->energy, 0);
    return score(s, product, squares, 0);
}

/* sums[i,j] = sum over the window of x (or of x^2): along rows, then down columns. */
static lens_status window_sums(const search *s, bool squared, double *sums) {
    double *rows = ctx_alloc(s->ctx, cells(s->h, s->ow), sizeof *rows);
    if (!rows) return LENS_NOMEM;
    for (int i = 0; i < s->h; i++) {
        const double *x = s->x + cells(i, s->w);
        double *out = rows + cells(i, s->ow);
        for (int v = 0; v < s->tw; v++)
            for (int j = 0; j < s->ow; j++) out[j] += squared ? x[j + v] * x[j + v] : x[j + v];
    }
    memset(sums, 0, cells(s->oh, s->ow) * sizeof *sums);
    for (int i = 0; i < s->oh; i++)
        for (int u = 0; u < s->th; u++) {
            const double *row = rows + cells(i + u, s->ow);
            double *out = sums + cells(i, s->ow);
            for (int j = 0; j < s->ow; j++) out[j] += row[j];
        }
    ctx_free(s->ctx, rows);
    return LENS_OK;
}

static bool better(const search *s, double a, double b) {
    return is_error(s->method) ? a < b : a > b;
}

/* How much worse than the best still counts as equal. */
static double tie_margin(const search *s) {
    switch (s->method) {
    case LENS_MATCH_SSE:
    case LENS_MATCH_RAW: return TIE * s->energy;
    case LENS_MATCH_MSE: return TIE * s->energy / s->n;
    case LENS_MATCH_RMSE: return TIE * sqrt(s->energy / s->n);
    case LENS_MATCH_COSINE:
    case LENS_MATCH_ZNCC:
    default: return TIE;
    }
}

/* The best window outside of the half template around (row, column); the first of equals. */
static bool best_of(const search *s, const double *map, bool away, int row, int column, int *at_row,
                    int *at_column) {
    bool any = false;
    double best = 0;
    for (int i = 0; i < s->oh; i++)
        for (int j = 0; j < s->ow; j++) {
            bool near = 2 * (i > row ? i - row : row - i) < s->th &&
                        2 * (j > column ? j - column : column - j) < s->tw;
            double value = map[cells(i, s->ow) + (size_t)j];
            if ((away && near) || (any && !better(s, value, best))) continue;
            any = true, best = value, *at_row = i, *at_column = j;
        }
    return any;
}

/* The sums say where to look; near the best their rounding must neither make a tie nor hide one. More
 * than REFINE_MOST such windows are equal by any measure, and are left alone. */
static void refine(const search *s, double *map, double loose) {
    int row = 0, column = 0, left = REFINE_MOST;
    best_of(s, map, false, 0, 0, &row, &column);
    double top = map[cells(row, s->ow) + (size_t)column];
    for (int i = 0; i < s->oh && left; i++)
        for (int j = 0; j < s->ow && left; j++) {
            double *value = &map[cells(i, s->ow) + (size_t)j];
            if (fabs(*value - top) > loose) continue;
            *value = exact(s, i, j);
            left--;
        }
}

static void judge(const search *s, const lens_match_opts *opts, const double *map,
                  lens_match *out) {
    lens_match m = { 0 };
    best_of(s, map, false, 0, 0, &m.row, &m.column);
    m.score = map[cells(m.row, s->ow) + (size_t)m.column];
    m.has_second = best_of(s, map, true, m.row, m.column, &m.second_row, &m.second_column);
    if (m.has_second) m.second_score = map[cells(m.second_row, s->ow) + (size_t)m.second_column];
    double margin = tie_margin(s);
    for (size_t i = 0; i < cells(s->oh, s->ow); i++) m.ties += fabs(map[i] - m.score) <= margin;

    double error = opts->error > 0 ? opts->error : USUAL_ERROR;
    double similarity = opts->similarity != 0 ? opts->similarity : USUAL_SIMILARITY;
    bool passes;
    if (is_error(s->method) || s->method == LENS_MATCH_RAW) {
        search by_sse = *s;
        by_sse.method = LENS_MATCH_SSE;
        passes = exact(&by_sse, m.row, m.column) <= error * error * s->energy;
    } else {
        passes = m.score >= similarity;
    }
    if (s->method == LENS_MATCH_RAW && !passes)
        m.verdict = LENS_AMBIGUOUS; /* the template may still be elsewhere */
    else
        m.verdict = !passes ? LENS_ABSENT : m.ties > 1 ? LENS_AMBIGUOUS : LENS_FOUND;
    *out = m;
}

static double mean_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* A copy without `mean`. */
static double *without(lens_ctx *ctx, const double *x, size_t n, double mean) {
    double *copy = ctx_alloc(ctx, n, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++) copy[i] = x[i] - mean;
    return copy;
}

static lens_status check_template(search *s) {
    size_t n = cells(s->th, s->tw);
    bool constant = true;
    for (size_t i = 0; i < n; i++) {
        s->energy += s->t[i] * s->t[i];
        if (s->t[i] != s->t[0]) constant = false;
    }
    if (s->method == LENS_MATCH_ZNCC && constant)
        return ctx_fail(s->ctx, LENS_BAD_ARG,
                        "the template is constant: without its mean nothing is left to compare");
    if (s->method == LENS_MATCH_COSINE && s->energy == 0)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "the template is all zeros: it has no direction");
    return LENS_OK;
}

static lens_status run(search *s, const lens_match_opts *opts, double *map, lens_match *out) {
    size_t n = cells(s->oh, s->ow);
    double direct = (double)n * s->n, area = ((double)s->h + s->th) * ((double)s->w + s->tw);
    bool by_dft = !opts->direct && direct > 2 * DFT_COST * area * log2(area);
    if (by_dft)
        LENS_TRY(lens_correlate_dft(s->ctx, s->x, s->h, s->w, s->t, s->th, s->tw, LENS_VALID,
                                    s->product));
    else
        LENS_TRY(
            lens_correlate(s->ctx, s->x, s->h, s->w, s->t, s->th, s->tw, LENS_VALID, s->product));
    if (s->squares) LENS_TRY(window_sums(s, true, s->squares));
    if (s->sums) LENS_TRY(window_sums(s, false, s->sums));
    for (size_t i = 0; i < n; i++)
        map[i] = score(s, s->product[i], s->squares ? s->squares[i] : 0, s->sums ? s->sums[i] : 0);
    /* Near a perfect match RMSE is the root of what cancels: its error is the root of theirs. */
    refine(s, map,
           s->method == LENS_MATCH_RMSE ? 1e-4 * sqrt(s->energy / s->n) : 1000 * tie_margin(s));
    judge(s, opts, map, out);
    return LENS_OK;
}

lens_status lens_match_template(lens_ctx *ctx, const double *picture, int h, int w,
                                const double *pattern, int th, int tw, lens_match_method method,
                                const lens_match_opts *opts, double *map, lens_match *out) {
    static const lens_match_opts usual = { 0 };
    if (!opts) opts = &usual;
    LENS_TRY(signal_check(ctx, "template", h, w, th, tw, LENS_VALID));
    if (method < LENS_MATCH_SSE || method > LENS_MATCH_ZNCC || !(opts->error >= 0) ||
        !isfinite(opts->error) || !(fabs(opts->similarity) <= 1))
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "match: method %d, error %g, similarity %g; errors are at least 0, "
                        "similarities from -1 to 1",
                        (int)method, opts->error, opts->similarity);
    LENS_TRY(signal_finite(ctx, "picture", picture, cells(h, w)));
    LENS_TRY(signal_finite(ctx, "template", pattern, cells(th, tw)));
    search s = { .ctx = ctx,
                 .x = picture,
                 .t = pattern,
                 .h = h,
                 .w = w,
                 .th = th,
                 .tw = tw,
                 .oh = h - th + 1,
                 .ow = w - tw + 1,
                 .method = method,
                 .n = (double)th * tw };
    size_t n = cells(s.oh, s.ow);
    double *own = NULL, *x = NULL, *t = NULL;
    lens_status status = LENS_NOMEM;
    if (method == LENS_MATCH_ZNCC) {
        x = without(ctx, picture, cells(h, w), mean_of(picture, cells(h, w)));
        t = without(ctx, pattern, cells(th, tw), mean_of(pattern, cells(th, tw)));
        if (!x || !t) goto end;
        s.x = x, s.t = t;
    }
    status = check_template(&s);
    if (status != LENS_OK) goto end;
    status = LENS_NOMEM;
    s.product = ctx_alloc(ctx, n, sizeof *s.product);
    if (!s.product) goto end;
    if (method != LENS_MATCH_RAW && !(s.squares = ctx_alloc(ctx, n, sizeof *s.squares))) goto end;
    if (method == LENS_MATCH_ZNCC && !(s.sums = ctx_alloc(ctx, n, sizeof *s.sums))) goto end;
    if (!map && !(map = own = ctx_alloc(ctx, n, sizeof *own))) goto end;
    status = run(&s, opts, map, out);
end:
    ctx_free(ctx, own);
    ctx_free(ctx, s.sums);
    ctx_free(ctx, s.squares);
    ctx_free(ctx, s.product);
    ctx_free(ctx, t);
    ctx_free(ctx, x);
    return status;
}
