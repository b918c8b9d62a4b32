/* rows.c - checks of softmax, cross entropy and the optimisers.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/kcheck/kcheck.h"
#include "tests/ref/kern_ref.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

enum { WIDEST = 1000 };
static const int widths[] = { 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 100, WIDEST };
enum { WIDTHS = sizeof widths / sizeof *widths };

/* exp to 2 ulp, the sum of n, the quotient; and x - max, whose rounding is a relative error of
 * |x - max| roundings in exp. */
static double softmax_tolerance(int n, double below, double p) {
    return (6 + n + fabs(below)) * ROUNDING * p + FLT_MIN * 0x1p-22;
}

static void check_softmax(check *c) {
    static double want[WIDEST];
    for (int i = 0; i < WIDTHS; i++)
        for (int rows = 0; rows < 4; rows++)
            for (int spread = 1; spread <= 64; spread *= 8) {
                const int n = widths[i];
                case_begin(c, "rows=%d n=%d spread=%d", rows, n, spread);
                const size_t size = (size_t)rows * (size_t)n;
                float *x = case_random(c, size, NO_SLACK), *p = case_array(c, size, NO_SLACK);
                for (size_t k = 0; k < size; k++) x[k] = x[k] * (float)spread + 500;
                float *same = case_copy(c, size, x);
                check_kern(c)->softmax(rows, n, x, p);
                check_kern(c)->softmax(rows, n, same, same);
                for (int r = 0; r < rows; r++) {
                    const float *row = x + r * n;
                    float max = row[0];
                    for (int k = 0; k < n; k++) max = row[k] > max ? row[k] : max;
                    ref_softmax(n, row, want);
                    for (int k = 0; k < n; k++)
                        case_near(c, "p", (size_t)(r * n + k), p[r * n + k], want[k],
                                  softmax_tolerance(n, (double)row[k] - max, want[k]));
                }
                case_true(c, same_floats(size, p, same), "in place gives the same bits");
                case_end(c);
            }
    /* p = {1, exp(x)} for x <= -17, where 1 + exp(x) rounds to 1: exp itself */
    case_begin(c, "exp to 2 ulp, down to the denormals");
    for (float x = -17; x > -103; x -= 0.00171F) {
        const float row[2] = { 0, x };
        float p[2];
        int e;
        check_kern(c)->softmax(1, 2, row, p);
        frexp(exp(x), &e);
        case_near(c, "exp", (size_t)-x, p[1], exp(x), 2 * fmax(ldexp(1, e - 24), 0x1p-149));
    }
    case_end(c);
    case_begin(c, "infinities and NaN");
    float x[3] = { 0, -INFINITY, 0 }, p[3];
    check_kern(c)->softmax(1, 3, x, p);
    case_near(c, "p", 0, p[0], 0.5, 0);
    case_near(c, "p", 1, p[1], 0, 0);
    for (int i = 0; i < 3; i++) {
        const float bad[3] = { i == 0 ? NAN : 1, i == 1 ? NAN : 2, i == 2 ? NAN : 3 };
        check_kern(c)->softmax(1, 3, bad, p);
        for (size_t k = 0; k < 3; k++) case_near(c, "p", k, p[k], NAN, 0);
    }
    case_end(c);
}

static void check_cross_entropy(check *c) {
    static double want[WIDEST];
    static const float smooths[] = { 0, 0.1F, 1 };
    for (int i = 0; i < WIDTHS; i++)
        for (int rows = 0; rows < 5; rows++)
            for (int form = 0; form < 12; form++) {
                const int n = widths[i];
                const float smooth = smooths[form % 3];
                const bool weighted = form / 3 % 2, far = form / 6;
                case_begin(c, "rows=%d n=%d smooth=%g weighted=%d far=%d", rows, n, (double)smooth,
                           weighted, far);
                const size_t size = (size_t)rows * (size_t)n;
                float *x = case_random(c, size, NO_SLACK), *dx = case_array(c, size, NO_SLACK);
                for (size_t k = 0; k < size; k++) x[k] = x[k] * (far ? 60 : 3) - 200;
                float *same = case_copy(c, size, x), *loss = case_array(c, (size_t)rows, NO_SLACK);
                float *alone = case_array(c, (size_t)rows, NO_SLACK);
                float *weight = weighted ? case_random(c, (size_t)n, NO_SLACK) : NULL;
                int32_t *label = (int32_t *)case_array(c, (size_t)rows, NO_SLACK);
                for (int r = 0; r < rows; r++)
                    label[r] =
                        pick(c, 5) ? (int32_t)pick(c, (uint32_t)n) : -1 - (int32_t)pick(c, 2);
                for (int k = 0; weighted && k < n; k++) weight[k] = fabsf(weight[k]);
                const float scale = 0.25F;
                check_kern(c)->cross_entropy(rows, n, x, label, smooth, weight, scale, loss, dx);
                check_kern(c)->cross_entropy(rows, n, x, label, smooth, weight, scale, alone, NULL);
                case_true(c, same_floats((size_t)rows, loss, alone), "the same loss without dx");
                check_kern(c)->cross_entropy(rows, n, same, label, smooth, weight, scale, loss,
                                             same);
                case_true(c, same_floats((size_t)rows, loss, alone) && same_floats(size, dx, same),
                          "in place gives the same bits");
                for (int r = 0; r < rows; r++) {
                    const size_t at = (size_t)r * (size_t)n;
                    const float *row = x + at;
                    if (label[r] < 0) {
                        case_near(c, "loss", (size_t)r, loss[r], 0, 0);
                        for (size_t k = 0; k < (size_t)n; k++)
                            case_near(c, "dx", k, dx[at + k], 0, 0);
                        continue;
                    }
                    const double w = weighted ? weight[label[r]] : 1;
                    const double l = ref_cross_entropy(n, row, label[r], smooth, w, scale, want);
                    float max = row[0], min = row[0];
                    for (int k = 0; k < n; k++) {
                        max = row[k] > max ? row[k] : max;
                        min = row[k] < min ? row[k] : min;
                    }
                    const double range = (double)max - min;
                    case_near(c, "loss", (size_t)r, loss[r], l,
                              (n + 8) * ROUNDING * w * (1 + range));
                    for (size_t k = 0; k < (size_t)n; k++)
                        case_near(c, "dx", at + k, dx[at + k], want[k],
                                  (12 + n + range) * ROUNDING * scale * w);
                }
                case_end(c);
            }
}

static void check_optim(check *c) {
    static const char *const names[] = { "sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw" };
    static const size_t sizes[] = { 0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 100 };
    for (int kind = OPTIM_SGD; kind <= OPTIM_ADAMW; kind++)
        for (int form = 0; form < 8; form++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                const size_t n = sizes[s];
                optim_job job = { .kind = (optim_kind)kind, .nesterov = form & 1 };
                job.momentum = form & 2 ? 0.9F : 0;
                job.weight_decay = form & 4 ? 0.01F : 0;
                job.rate = 0.05F, job.g_scale = 0.5F, job.b1 = 0.9F, job.b2 = 0.99F;
                job.eps = 1e-6F, job.c1 = 1 / 0.19F, job.c2 = 1 / 0.0199F;
                case_begin(c, "%s nesterov=%d momentum=%g decay=%g n=%zu", names[kind],
                           job.nesterov, (double)job.momentum, (double)job.weight_decay, n);
                const float *g = case_random(c, n, NO_SLACK);
                float *w = case_random(c, n, NO_SLACK);
                float *m = case_random(c, n, NO_SLACK), *v = case_random(c, n, NO_SLACK);
                for (size_t i = 0; i < n; i++) {
                    v[i] = fabsf(v[i]) + 0.01F;
                    if (kind == OPTIM_ADADELTA) m[i] = fabsf(m[i]);
                }
                const float *w0 = case_copy(c, n, w), *m0 = case_copy(c, n, m);
                const float *v0 = case_copy(c, n, v);
                const bool use_m = kind == OPTIM_SGD || kind == OPTIM_RMSPROP
                                       ? job.momentum != 0
                                       : kind != OPTIM_ADAGRAD;
                const bool use_v = kind != OPTIM_SGD;
                check_kern(c)->optim(&job, n, g, w, use_m ? m : NULL, use_v ? v : NULL);
                for (size_t i = 0; i < n; i++) {
                    ref_state error;
                    const ref_state want =
                        ref_optim(&job, g[i], (ref_state){ w0[i], m0[i], v0[i] }, &error);
                    case_near(c, "w", i, w[i], want.w, 16 * ROUNDING * error.w);
                    if (use_m) case_near(c, "m", i, m[i], want.m, 16 * ROUNDING * error.m);
                    if (use_v) case_near(c, "v", i, v[i], want.v, 16 * ROUNDING * error.v);
                }
                case_end(c);
            }
}

const check_slot row_slots[] = {
    { "softmax", check_softmax },
    { "cross_entropy", check_cross_entropy },
    { "optim", check_optim },
    { NULL, NULL },
};
