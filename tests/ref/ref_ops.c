/* ref_ops.c - the oracle: see ref_ops.h. Every function is the formula of its operator, cell by cell.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef const double *const *params;

/* ---- shapes and indices --------------------------------------------------------------------- */

/* Windows that fit, one by one. */
static int count_windows(int size, int k, int stride, int dilation, int before, int after) {
    int count = 0;
    for (int start = -before; start + (k - 1) * dilation < size + after; start += stride) count++;
    return count;
}

/* With ceil, one more window if the last one leaves cells of the padded picture over, and if it would
 * not start in the trailing padding. */
static int count_windows_ceil(int size, int k, int stride, int before, int after) {
    int count = count_windows(size, k, stride, 1, before, after);
    if (!count) return 0;
    int covered = (count - 1) * stride - before + k, next = count * stride - before;
    return covered < size + after && next < size ? count + 1 : count;
}

static void one(int *value) {
    if (!*value) *value = 1;
}

static bool is_pool(ref_kind k) {
    return k == REF_MAXPOOL || k == REF_AVGPOOL || k == REF_SUMPOOL || k == REF_SUBSAMPLE;
}

static void add_param(ref_op *op, size_t count, bool trainable) {
    op->param_count[op->params] = count;
    op->trainable[op->params++] = trainable;
}

bool ref_plan(ref_op *op) {
    one(&op->dh), one(&op->dw), one(&op->groups);
    if (is_pool(op->kind)) {
        if (!op->sh) op->sh = op->kh;
        if (!op->sw) op->sw = op->kw;
    }
    one(&op->sh), one(&op->sw);
    op->params = 0;
    op->oc = op->c;
    int maps = op->out;
    size_t kernel = (size_t)op->kh * (size_t)op->kw;
    switch (op->kind) {
    case REF_CONV:
        op->oc = maps;
        op->oh = count_windows(op->h, op->kh, op->sh, op->dh, op->top, op->bottom);
        op->ow = count_windows(op->w, op->kw, op->sw, op->dw, op->left, op->right);
        add_param(op, (size_t)maps * (size_t)(op->c / op->groups) * kernel, true);
        if (!op->no_bias) add_param(op, (size_t)maps, true);
        break;
    case REF_CONV_TRANSPOSE:
        op->oc = maps;
        op->oh =
            (op->h - 1) * op->sh - op->top - op->bottom + (op->kh - 1) * op->dh + 1 + op->extra_h;
        op->ow =
            (op->w - 1) * op->sw - op->left - op->right + (op->kw - 1) * op->dw + 1 + op->extra_w;
        add_param(op, (size_t)op->c * (size_t)(maps / op->groups) * kernel, true);
        if (!op->no_bias) add_param(op, (size_t)maps, true);
        break;
    case REF_DENSE:
    case REF_RBF:
        op->oc = maps;
        op->oh = op->ow = 1;
        add_param(op, (size_t)maps * (size_t)op->c * (size_t)op->h * (size_t)op->w, true);
        if (op->kind == REF_DENSE && !op->no_bias) add_param(op, (size_t)maps, true);
        break;
    case REF_MAXPOOL:
    case REF_AVGPOOL:
    case REF_SUMPOOL:
    case REF_SUBSAMPLE:
        if (op->ceil) {
            op->oh = count_windows_ceil(op->h, op->kh, op->sh, op->top, op->bottom);
            op->ow = count_windows_ceil(op->w, op->kw, op->sw, op->left, op->right);
        } else {
            op->oh = count_windows(op->h, op->kh, op->sh, 1, op->top, op->bottom);
            op->ow = count_windows(op->w, op->kw, op->sw, 1, op->left, op->right);
        }
        if (op->kind == REF_SUBSAMPLE) {
            add_param(op, (size_t)op->c, true);
            add_param(op, (size_t)op->c, true);
        }
        break;
    case REF_BATCHNORM:
    case REF_BATCHNORM_FROZEN:
        for (int i = 0; i < 4; i++) add_param(op, (size_t)op->c, i < 2);
        op->oh = op->h, op->ow = op->w;
        break;
    case REF_SHORTCUT:
        op->oc = maps;
        op->oh = count_windows(op->h, 1, op->sh, 1, 0, 0);
        op->ow = count_windows(op->w, 1, op->sw, 1, 0, 0);
        break;
    case REF_ADAPTIVE_AVG:
    case REF_ADAPTIVE_MAX: break;
    default: op->oh = op->h, op->ow = op->w;
    }
    op->x_count = (size_t)op->n * (size_t)op->c * (size_t)op->h * (size_t)op->w;
    op->y_count = (size_t)op->n * (size_t)op->oc * (size_t)op->oh * (size_t)op->ow;
    return op->oh > 0 && op->ow > 0;
}

static size_t at4(int n, int c, int h, int w, int C, int H, int W) {
    return (((size_t)n * (size_t)C + (size_t)c) * (size_t)H + (size_t)h) * (size_t)W + (size_t)w;
}
static size_t at_x(const ref_op *op, int n, int c, int r, int k) {
    return at4(n, c, r, k, op->c, op->h, op->w);
}
static size_t at_y(const ref_op *op, int n, int o, int i, int j) {
    return at4(n, o, i, j, op->oc, op->oh, op->ow);
}
static bool inside(const ref_op *op, int r, int k) {
    return r >= 0 && r < op->h && k >= 0 && k < op->w;
}

/* ---- convolution ----------------------------------------------------------------------------
 *
 * forward   y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * x[n,c, i*sh + u*dh - top, j*sw + v*dw - left]
 * backward  every product above gives dx its dy*w and dw its dy*x; db[o] is the sum of dy
 *
 * Map o reads the input maps of its group, or those of the table. With flip the kernel's cell (u,v) is
 * taken from the opposite corner. */

static bool reads(const ref_op *op, int o, int c) {
    if (op->connected) return op->connected[o * op->c + c];
    return o / (op->out / op->groups) == c / (op->c / op->groups);
}

static size_t at_w(const ref_op *op, int o, int c, int u, int v) {
    int per_group = op->c / op->groups;
    if (op->flip) u = op->kh - 1 - u, v = op->kw - 1 - v;
    return at4(o, c % per_group, u, v, per_group, op->kh, op->kw);
}

static void conv_forward(const ref_op *op, const double *x, params p, double *y) {
    for (int n = 0; n < op->n; n++)
        for (int o = 0; o < op->oc; o++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++) {
                    double sum = op->no_bias ? 0 : p[1][o];
                    for (int c = 0; c < op->c; c++) {
                        if (!reads(op, o, c)) continue;
                        for (int u = 0; u < op->kh; u++)
                            for (int v = 0; v < op->kw; v++) {
                                int r = i * op->sh + u * op->dh - op->top;
                                int k = j * op->sw + v * op->dw - op->left;
                                if (inside(op, r, k))
                                    sum += p[0][at_w(op, o, c, u, v)] * x[at_x(op, n, c, r, k)];
                            }
                    }
                    y[at_y(op, n, o, i, j)] = sum;
                }
}

static void conv_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                          double *const *dp) {
    for (int n = 0; n < op->n; n++)
        for (int o = 0; o < op->oc; o++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++) {
                    double d = dy[at_y(op, n, o, i, j)];
                    if (!op->no_bias) dp[1][o] += d;
                    for (int c = 0; c < op->c; c++) {
                        if (!reads(op, o, c)) continue;
                        for (int u = 0; u < op->kh; u++)
                            for (int v = 0; v < op->kw; v++) {
                                int r = i * op->sh + u * op->dh - op->top;
                                int k = j * op->sw + v * op->dw - op->left;
                                if (!inside(op, r, k)) continue;
                                dx[at_x(op, n, c, r, k)] += d * p[0][at_w(op, o, c, u, v)];
                                dp[0][at_w(op, o, c, u, v)] += d * x[at_x(op, n, c, r, k)];
                            }
                    }
                }
}

void ref_im2col(const ref_op *op, const double *x, double *column) {
    for (int n = 0; n < op->n; n++)
        for (int i = 0; i < op->oh; i++)
            for (int j = 0; j < op->ow; j++)
                for (int c = 0; c < op->c; c++)
                    for (int u = 0; u < op->kh; u++)
                        for (int v = 0; v < op->kw; v++) {
                            int r = i * op->sh + u * op->dh - op->top;
                            int k = j * op->sw + v * op->dw - op->left;
                            *column++ = inside(op, r, k) ? x[at_x(op, n, c, r, k)] : 0;
                        }
}

void ref_col2im(const ref_op *op, const double *column, double *dx) {
    memset(dx, 0, op->x_count * sizeof *dx);
    for (int n = 0; n < op->n; n++)
        for (int i = 0; i < op->oh; i++)
            for (int j = 0; j < op->ow; j++)
                for (int c = 0; c < op->c; c++)
                    for (int u = 0; u < op->kh; u++)
                        for (int v = 0; v < op->kw; v++, column++) {
                            int r = i * op->sh + u * op->dh - op->top;
                            int k = j * op->sw + v * op->dw - op->left;
                            if (inside(op, r, k)) dx[at_x(op, n, c, r, k)] += *column;
                        }
}

/* ---- transposed convolution -----------------------------------------------------------------
 *
 * Every input cell stamps the kernel, scaled, onto the result:
 * y[n,o, r*sh + u*dh - top, k*sw + v*dw - left] += w[c,o,u,v] * x[n,c,r,k]; then the bias. */

static bool stamps(const ref_op *op, int i, int j) {
    return i >= 0 && i < op->oh && j >= 0 && j < op->ow;
}

static size_t at_wt(const ref_op *op, int c, int o, int u, int v) {
    int per_group = op->oc / op->groups;
    return at4(c, o % per_group, u, v, per_group, op->kh, op->kw);
}

static void transpose_pass(const ref_op *op, const double *x, params p, double *y, const double *dy,
                           double *dx, double *const *dp) {
    for (int n = 0; n < op->n; n++)
        for (int c = 0; c < op->c; c++)
            for (int o = 0; o < op->oc; o++) {
                if (c / (op->c / op->groups) != o / (op->oc / op->groups)) continue;
                for (int r = 0; r < op->h; r++)
                    for (int k = 0; k < op->w; k++)
                        for (int u = 0; u < op->kh; u++)
                            for (int v = 0; v < op->kw; v++) {
                                int i = r * op->sh + u * op->dh - op->top;
                                int j = k * op->sw + v * op->dw - op->left;
                                if (!stamps(op, i, j)) continue;
                                size_t ix = at_x(op, n, c, r, k), iy = at_y(op, n, o, i, j);
                                size_t iw = at_wt(op, c, o, u, v);
                                if (y) {
                                    y[iy] += p[0][iw] * x[ix];
                                } else {
                                    dx[ix] += p[0][iw] * dy[iy];
                                    dp[0][iw] += x[ix] * dy[iy];
                                }
                            }
            }
}

static void transpose_forward(const ref_op *op, const double *x, params p, double *y) {
    for (int n = 0; n < op->n; n++)
        for (int o = 0; o < op->oc; o++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++)
                    y[at_y(op, n, o, i, j)] = op->no_bias ? 0 : p[1][o];
    transpose_pass(op, x, p, y, NULL, NULL, NULL);
}

static void transpose_backward(const ref_op *op, const double *x, params p, const double *dy,
                               double *dx, double *const *dp) {
    transpose_pass(op, x, p, NULL, dy, dx, dp);
    if (op->no_bias) return;
    for (int n = 0; n < op->n; n++)
        for (int o = 0; o < op->oc; o++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++) dp[1][o] += dy[at_y(op, n, o, i, j)];
}

/* ---- dense: y = x w^T + b, and radial basis: y[k] = -sum_j (x[j] - w[k,j])^2 ----------------- */

static void dense_forward(const ref_op *op, const double *x, params p, double *y) {
    size_t features = op->x_count / (size_t)op->n, out = (size_t)op->oc;
    for (size_t n = 0; n < (size_t)op->n; n++)
        for (size_t o = 0; o < out; o++) {
            double sum = op->no_bias ? 0 : p[1][o];
            for (size_t f = 0; f < features; f++)
                sum += p[0][o * features + f] * x[n * features + f];
            y[n * out + o] = sum;
        }
}

static void dense_backward(const ref_op *op, const double *x, params p, const double *dy,
                           double *dx, double *const *dp) {
    size_t features = op->x_count / (size_t)op->n, out = (size_t)op->oc;
    for (size_t n = 0; n < (size_t)op->n; n++)
        for (size_t o = 0; o < out; o++) {
            double d = dy[n * out + o];
            if (!op->no_bias) dp[1][o] += d;
            for (size_t f = 0; f < features; f++) {
                dx[n * features + f] += d * p[0][o * features + f];
                dp[0][o * features + f] += d * x[n * features + f];
            }
        }
}

static void rbf_forward(const ref_op *op, const double *x, params p, double *y) {
    size_t features = op->x_count / (size_t)op->n, out = (size_t)op->oc;
    for (size_t n = 0; n < (size_t)op->n; n++)
        for (size_t o = 0; o < out; o++) {
            double sum = 0;
            for (size_t f = 0; f < features; f++) {
                double d = x[n * features + f] - p[0][o * features + f];
                sum += d * d;
            }
            y[n * out + o] = -sum;
        }
}

static void rbf_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                         double *const *dp) {
    size_t features = op->x_count / (size_t)op->n, out = (size_t)op->oc;
    for (size_t n = 0; n < (size_t)op->n; n++)
        for (size_t o = 0; o < out; o++)
            for (size_t f = 0; f < features; f++) {
                double slope = -2 * (x[n * features + f] - p[0][o * features + f]);
                dx[n * features + f] += dy[n * out + o] * slope;
                dp[0][o * features + f] -= dy[n * out + o] * slope;
            }
}

/* ---- pooling -------------------------------------------------------------------------------- */

typedef struct window {
    int r0, r1, k0, k1; /* cells inside the picture: rows r0..r1-1, columns k0..k1-1 */
    double count;       /* what a mean divides by */
} window;

static int low(int a, int b) { return a < b ? a : b; }
static int high(int a, int b) { return a > b ? a : b; }

static window window_of(const ref_op *op, int i, int j) {
    window w;
    if (op->kind == REF_ADAPTIVE_AVG || op->kind == REF_ADAPTIVE_MAX) {
        w.r0 = (int)floor((double)i * op->h / op->oh);
        w.r1 = (int)ceil((double)(i + 1) * op->h / op->oh);
        w.k0 = (int)floor((double)j * op->w / op->ow);
        w.k1 = (int)ceil((double)(j + 1) * op->w / op->ow);
        w.count = (double)(w.r1 - w.r0) * (w.k1 - w.k0);
        return w;
    }
    int r = i * op->sh - op->top, k = j * op->sw - op->left;
    w.r0 = high(r, 0), w.r1 = low(r + op->kh, op->h);
    w.k0 = high(k, 0), w.k1 = low(k + op->kw, op->w);
    if (op->exclude_pad)
        w.count = (double)(w.r1 - w.r0) * (w.k1 - w.k0);
    else
        w.count = (double)(low(r + op->kh, op->h + op->bottom) - r) *
                  (low(k + op->kw, op->w + op->right) - k);
    return w;
}

/* The first largest cell in row-major order. */
static size_t largest(const ref_op *op, const double *x, int n, int c, window w) {
    size_t best = at_x(op, n, c, w.r0, w.k0);
    for (int r = w.r0; r < w.r1; r++)
        for (int k = w.k0; k < w.k1; k++)
            if (x[at_x(op, n, c, r, k)] > x[best]) best = at_x(op, n, c, r, k);
    return best;
}

/* What a cell of a window is multiplied by. */
static double share(const ref_op *op, params p, int c, window w) {
    if (op->kind == REF_SUBSAMPLE) return p[0][c];
    return op->kind == REF_SUMPOOL ? 1 : 1 / w.count;
}

static void pool_forward(const ref_op *op, const double *x, params p, double *y) {
    for (int n = 0; n < op->n; n++)
        for (int c = 0; c < op->c; c++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++) {
                    window w = window_of(op, i, j);
                    double *to = &y[at_y(op, n, c, i, j)], sum = 0;
                    if (op->kind == REF_MAXPOOL || op->kind == REF_ADAPTIVE_MAX) {
                        *to = x[largest(op, x, n, c, w)];
                        continue;
                    }
                    for (int r = w.r0; r < w.r1; r++)
                        for (int k = w.k0; k < w.k1; k++) sum += x[at_x(op, n, c, r, k)];
                    *to = sum * share(op, p, c, w) + (op->kind == REF_SUBSAMPLE ? p[1][c] : 0);
                }
}

static void pool_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                          double *const *dp) {
    for (int n = 0; n < op->n; n++)
        for (int c = 0; c < op->c; c++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++) {
                    window w = window_of(op, i, j);
                    double d = dy[at_y(op, n, c, i, j)];
                    if (op->kind == REF_MAXPOOL || op->kind == REF_ADAPTIVE_MAX) {
                        dx[largest(op, x, n, c, w)] += d;
                        continue;
                    }
                    if (op->kind == REF_SUBSAMPLE) dp[1][c] += d;
                    for (int r = w.r0; r < w.r1; r++)
                        for (int k = w.k0; k < w.k1; k++) {
                            dx[at_x(op, n, c, r, k)] += d * share(op, p, c, w);
                            if (op->kind == REF_SUBSAMPLE) dp[0][c] += d * x[at_x(op, n, c, r, k)];
                        }
                }
}

/* ---- activations ---------------------------------------------------------------------------- */

static double f(const ref_op *op, double x) {
    switch (op->kind) {
    case REF_RELU: return x > 0 ? x : 0;
    case REF_LEAKY: return x > 0 ? x : op->slope * x;
    case REF_TANH: return tanh(x);
    case REF_SCALED_TANH: return 1.7159 * tanh(2.0 / 3.0 * x);
    default: return 1 / (1 + exp(-x));
    }
}

static double f_slope(const ref_op *op, double x) {
    switch (op->kind) {
    case REF_RELU: return x > 0 ? 1 : 0;
    case REF_LEAKY: return x > 0 ? 1 : op->slope;
    case REF_TANH: return 1 - tanh(x) * tanh(x);
    case REF_SCALED_TANH:
        return 1.7159 * 2.0 / 3.0 * (1 - tanh(2.0 / 3.0 * x) * tanh(2.0 / 3.0 * x));
    default: return 1 / (1 + exp(-x)) * (1 - 1 / (1 + exp(-x)));
    }
}

static void act_forward(const ref_op *op, const double *x, params p, double *y) {
    (void)p;
    for (size_t i = 0; i < op->x_count; i++) y[i] = f(op, x[i]);
}

static void act_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                         double *const *dp) {
    (void)p, (void)dp;
    for (size_t i = 0; i < op->x_count; i++) dx[i] = dy[i] * f_slope(op, x[i]);
}

/* ---- batch norm: y = weight*(x - mean)/sqrt(var + eps) + bias -------------------------------- */

void ref_moments(const ref_op *op, const double *x, int c, double *mean, double *var) {
    double m = (double)op->n * op->h * op->w;
    *mean = *var = 0;
    for (int n = 0; n < op->n; n++)
        for (int r = 0; r < op->h; r++)
            for (int k = 0; k < op->w; k++) *mean += x[at_x(op, n, c, r, k)] / m;
    for (int n = 0; n < op->n; n++)
        for (int r = 0; r < op->h; r++)
            for (int k = 0; k < op->w; k++) *var += pow(x[at_x(op, n, c, r, k)] - *mean, 2) / m;
}

static void norm_of(const ref_op *op, const double *x, params p, int c, double *mean, double *var) {
    if (op->kind == REF_BATCHNORM)
        ref_moments(op, x, c, mean, var);
    else
        *mean = p[2][c], *var = p[3][c];
}

static void norm_forward(const ref_op *op, const double *x, params p, double *y) {
    for (int c = 0; c < op->c; c++) {
        double mean, var;
        norm_of(op, x, p, c, &mean, &var);
        for (int n = 0; n < op->n; n++)
            for (int r = 0; r < op->h; r++)
                for (int k = 0; k < op->w; k++) {
                    size_t i = at_x(op, n, c, r, k);
                    y[i] = p[0][c] * (x[i] - mean) / sqrt(var + op->eps) + p[1][c];
                }
    }
}

/* With x' = (x - mean)/sqrt(var + eps): dx = weight/sqrt(var + eps) * (dy - mean of dy - x' * mean of
 * dy*x'), as mean and variance move with every x. */
static void norm_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                          double *const *dp) {
    double m = (double)op->n * op->h * op->w;
    for (int c = 0; c < op->c; c++) {
        double mean, var, dy_mean = 0, dyx_mean = 0;
        norm_of(op, x, p, c, &mean, &var);
        double inv = 1 / sqrt(var + op->eps);
        for (int n = 0; n < op->n; n++)
            for (int r = 0; r < op->h; r++)
                for (int k = 0; k < op->w; k++) {
                    size_t i = at_x(op, n, c, r, k);
                    dp[1][c] += dy[i];
                    dp[0][c] += dy[i] * (x[i] - mean) * inv;
                }
        if (op->kind == REF_BATCHNORM) dy_mean = dp[1][c] / m, dyx_mean = dp[0][c] / m;
        for (int n = 0; n < op->n; n++)
            for (int r = 0; r < op->h; r++)
                for (int k = 0; k < op->w; k++) {
                    size_t i = at_x(op, n, c, r, k);
                    dx[i] = p[0][c] * inv * (dy[i] - dy_mean - (x[i] - mean) * inv * dyx_mean);
                }
    }
}

/* ---- softmax over the channels of each position ----------------------------------------------- */

static void softmax_forward(const ref_op *op, const double *x, params p, double *y) {
    (void)p;
    for (int n = 0; n < op->n; n++)
        for (int r = 0; r < op->h; r++)
            for (int k = 0; k < op->w; k++) {
                double most = -INFINITY, sum = 0;
                for (int c = 0; c < op->c; c++) most = fmax(most, x[at_x(op, n, c, r, k)]);
                for (int c = 0; c < op->c; c++) sum += exp(x[at_x(op, n, c, r, k)] - most);
                for (int c = 0; c < op->c; c++)
                    y[at_x(op, n, c, r, k)] = exp(x[at_x(op, n, c, r, k)] - most) / sum;
            }
}

/* dy[j]/dx[i] = y[j]*([i==j] - y[i]), summed over j. */
static void softmax_backward(const ref_op *op, const double *x, params p, const double *dy,
                             double *dx, double *const *dp) {
    (void)dp;
    double *y = malloc(op->y_count * sizeof *y);
    if (!y) abort();
    softmax_forward(op, x, p, y);
    for (int n = 0; n < op->n; n++)
        for (int r = 0; r < op->h; r++)
            for (int k = 0; k < op->w; k++)
                for (int i = 0; i < op->c; i++)
                    for (int j = 0; j < op->c; j++) {
                        size_t from = at_x(op, n, j, r, k), to = at_x(op, n, i, r, k);
                        dx[to] += dy[from] * y[from] * ((i == j) - y[to]);
                    }
    free(y);
}

/* ---- local response normalisation ------------------------------------------------------------- */

/* Is channel j one of the n around channel i? For even n there is one more before than behind. */
static bool near(const ref_op *op, int i, int j) {
    return 2 * (i - j) <= op->window && 2 * (j - i) <= op->window - 1;
}

static double lrn_scale(const ref_op *op, const double *x, int n, int i, int r, int k) {
    double sum = 0;
    for (int j = 0; j < op->c; j++)
        if (near(op, i, j)) sum += pow(x[at_x(op, n, j, r, k)], 2);
    return op->k + op->alpha * sum / (op->undivided ? 1 : op->window);
}

static void lrn_forward(const ref_op *op, const double *x, params p, double *y) {
    (void)p;
    for (int n = 0; n < op->n; n++)
        for (int c = 0; c < op->c; c++)
            for (int r = 0; r < op->h; r++)
                for (int k = 0; k < op->w; k++)
                    y[at_x(op, n, c, r, k)] =
                        x[at_x(op, n, c, r, k)] / pow(lrn_scale(op, x, n, c, r, k), op->beta);
}

/* dy[i]/dx[j] = [i==j]*s[i]^-beta - beta*x[i]*s[i]^(-beta-1) * 2*a*x[j] for j near i. */
static void lrn_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                         double *const *dp) {
    (void)p, (void)dp;
    double a = op->alpha / (op->undivided ? 1 : op->window);
    for (int n = 0; n < op->n; n++)
        for (int r = 0; r < op->h; r++)
            for (int k = 0; k < op->w; k++)
                for (int i = 0; i < op->c; i++) {
                    size_t from = at_x(op, n, i, r, k);
                    double s = lrn_scale(op, x, n, i, r, k);
                    dx[from] += dy[from] * pow(s, -op->beta);
                    for (int j = 0; j < op->c; j++)
                        if (near(op, i, j))
                            dx[at_x(op, n, j, r, k)] -= dy[from] * op->beta * x[from] *
                                                        pow(s, -op->beta - 1) * 2 * a *
                                                        x[at_x(op, n, j, r, k)];
                }
}

/* ---- shortcut without parameters -------------------------------------------------------------- */

/* Every cell of x that y holds, copied forward (x to y) or back. */
static void shortcut(const ref_op *op, const double *from, double *to, bool forward) {
    int before = (op->oc - op->c) / 2;
    for (int n = 0; n < op->n; n++)
        for (int c = 0; c < op->c; c++)
            for (int i = 0; i < op->oh; i++)
                for (int j = 0; j < op->ow; j++) {
                    size_t x = at_x(op, n, c, i * op->sh, j * op->sw);
                    size_t y = at_y(op, n, before + c, i, j);
                    if (forward)
                        to[y] = from[x];
                    else
                        to[x] = from[y];
                }
}

static void shortcut_forward(const ref_op *op, const double *x, params p, double *y) {
    (void)p;
    memset(y, 0, op->y_count * sizeof *y);
    shortcut(op, x, y, true);
}

static void shortcut_backward(const ref_op *op, const double *x, params p, const double *dy,
                              double *dx, double *const *dp) {
    (void)x, (void)p, (void)dp;
    shortcut(op, dy, dx, false);
}

/* ---- by kind -------------------------------------------------------------------------------- */

typedef struct passes {
    void (*forward)(const ref_op *, const double *, params, double *);
    void (*backward)(const ref_op *, const double *, params, const double *, double *,
                     double *const *);
} passes;

static const passes table[REF_KINDS] = {
    [REF_CONV] = { conv_forward, conv_backward },
    [REF_CONV_TRANSPOSE] = { transpose_forward, transpose_backward },
    [REF_DENSE] = { dense_forward, dense_backward },
    [REF_MAXPOOL] = { pool_forward, pool_backward },
    [REF_AVGPOOL] = { pool_forward, pool_backward },
    [REF_SUMPOOL] = { pool_forward, pool_backward },
    [REF_SUBSAMPLE] = { pool_forward, pool_backward },
    [REF_ADAPTIVE_AVG] = { pool_forward, pool_backward },
    [REF_ADAPTIVE_MAX] = { pool_forward, pool_backward },
    [REF_RELU] = { act_forward, act_backward },
    [REF_LEAKY] = { act_forward, act_backward },
    [REF_TANH] = { act_forward, act_backward },
    [REF_SCALED_TANH] = { act_forward, act_backward },
    [REF_SIGMOID] = { act_forward, act_backward },
    [REF_RBF] = { rbf_forward, rbf_backward },
    [REF_BATCHNORM] = { norm_forward, norm_backward },
    [REF_BATCHNORM_FROZEN] = { norm_forward, norm_backward },
    [REF_SOFTMAX] = { softmax_forward, softmax_backward },
    [REF_LRN] = { lrn_forward, lrn_backward },
    [REF_SHORTCUT] = { shortcut_forward, shortcut_backward },
};

void ref_forward(const ref_op *op, const double *x, params p, double *y) {
    table[op->kind].forward(op, x, p, y);
}

void ref_backward(const ref_op *op, const double *x, params p, const double *dy, double *dx,
                  double *const *dp) {
    memset(dx, 0, op->x_count * sizeof *dx);
    for (int i = 0; i < op->params; i++)
        if (op->trainable[i]) memset(dp[i], 0, op->param_count[i] * sizeof *dp[i]);
    table[op->kind].backward(op, x, p, dy, dx, dp);
}

/* The longest of the three sums, and a few for scaling and bias. */
double ref_terms(const ref_op *op) {
    double kernel = (double)op->kh * op->kw, positions = (double)op->n * op->oh * op->ow, most = 0;
    switch (op->kind) {
    case REF_CONV:
    case REF_CONV_TRANSPOSE:
        most = fmax(kernel * fmax(op->c, op->oc), positions);
        most = fmax(most, (double)op->n * op->h * op->w);
        break;
    case REF_DENSE: most = fmax(fmax((double)op->c * op->h * op->w, op->oc), op->n); break;
    case REF_SUBSAMPLE: most = kernel * positions; break;
    case REF_ADAPTIVE_AVG:
    case REF_ADAPTIVE_MAX: most = (double)op->h * op->w; break;
    default: most = kernel;
    }
    return most + 4;
}
