/* planes.c - checks of pooling, forward and backward.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/kcheck/kcheck.h"
#include "tests/ref/kern_ref.h"

#include <math.h>

enum { PLANE_MAX = 256 * 256 };

/* Outputs along one axis such that every window meets the plane; `ceil` lets the last one leave it. */
static int outputs(int size, int kernel, int stride, int pad, bool ceil) {
    const int room = size + 2 * pad - kernel;
    if (room < 0) return 0;
    int n = (room + (ceil ? stride - 1 : 0)) / stride + 1;
    while (n > 0 && (n - 1) * stride - pad >= size) n--;
    return n;
}

static void max_case(check *c, const pool_job *job) {
    const size_t n_in = (size_t)(job->h * job->w), n_out = (size_t)(job->oh * job->ow);
    float *x = case_random(c, n_in, NO_SLACK), *y = case_array(c, n_out, NO_SLACK);
    float *plain = case_array(c, n_out, NO_SLACK), *want = case_array(c, n_out, NO_SLACK);
    uint8_t *at = case_bytes(c, n_out), *want_at = case_bytes(c, n_out);
    for (size_t i = 0; i < n_in; i++) { /* many ties, some NaN and infinities */
        x[i] = (float)pick(c, 4) - 2;
        if (pick(c, 12) == 0) x[i] = NAN;
        if (pick(c, 12) == 0) x[i] = -INFINITY;
    }
    ref_max_pool(job, x, want, want_at);
    check_kern(c)->max_pool(job, x, y, at);
    check_kern(c)->max_pool(job, x, plain, NULL);
    for (size_t i = 0; i < n_out; i++) {
        case_near(c, "y", i, y[i], want[i], 0);
        case_near(c, "switches", i, at[i], want_at[i], 0);
    }
    case_true(c, same_floats(n_out, y, plain), "the same without switches");

    static double dx_want[PLANE_MAX];
    const float *dy = case_random(c, n_out, NO_SLACK);
    float *dx = case_array(c, n_in, NO_SLACK);
    ref_max_pool_back(job, dy, want_at, dx_want);
    check_kern(c)->max_pool_back(job, dy, want_at, dx);
    for (size_t i = 0; i < n_in; i++) /* at most kh*kw windows meet in a cell, each |dy| < 1 */
        case_near(c, "dx", i, dx[i], dx_want[i],
                  2 * ROUNDING * (job->kh * job->kw - 1) * job->kh * job->kw);
}

static void sum_case(check *c, const pool_job *job, bool scaled) {
    static double want[PLANE_MAX], size[PLANE_MAX];
    const size_t n_in = (size_t)(job->h * job->w), n_out = (size_t)(job->oh * job->ow);
    const float *x = case_random(c, n_in, NO_SLACK), *dy = case_random(c, n_out, NO_SLACK);
    const float *scale = scaled ? case_random(c, n_out, NO_SLACK) : NULL;
    float *y = case_array(c, n_out, NO_SLACK), *dx = case_array(c, n_in, NO_SLACK);
    const double tolerance = (job->kh * job->kw + 2) * ROUNDING;

    ref_sum_pool(job, x, scale, want, size);
    check_kern(c)->sum_pool(job, x, scale, y);
    for (size_t i = 0; i < n_out; i++) case_near(c, "y", i, y[i], want[i], tolerance * size[i]);
    ref_sum_pool_back(job, dy, scale, want, size);
    check_kern(c)->sum_pool_back(job, dy, scale, dx);
    for (size_t i = 0; i < n_in; i++) case_near(c, "dx", i, dx[i], want[i], tolerance * size[i]);
}

/* Runs `one` over windows that abut, overlap, leave gaps, are padded or leave the plane. */
static void each_shape(check *c, bool max) {
    static const int kernels[][4] = { /* kh kw sh sw */
                                      { 2, 2, 2, 2 }, { 3, 3, 2, 2 },  { 3, 3, 1, 1 },
                                      { 1, 1, 1, 1 }, { 2, 3, 1, 2 },  { 3, 2, 3, 1 },
                                      { 2, 2, 3, 3 }, { 5, 5, 5, 5 },  { 7, 7, 1, 1 },
                                      { 2, 2, 1, 1 }, { 16, 16, 4, 4 }
    };
    static const int planes[][2] = { { 1, 1 },   { 2, 2 },   { 3, 3 },   { 4, 4 },
                                     { 5, 7 },   { 6, 16 },  { 7, 7 },   { 10, 10 },
                                     { 14, 14 }, { 16, 33 }, { 28, 28 }, { 9, 64 },
                                     { 4, 65 },  { 2, 31 },  { 3, 66 },  { 24, 24 } };
    enum { PLANES = sizeof planes / sizeof *planes };
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
        for (int p = 0; p < PLANES + sides_count(); p++)
            for (int form = 0; form < 6; form++) {
                pool_job job = { .kh = kernels[k][0], .kw = kernels[k][1] };
                job.h = p < PLANES ? planes[p][0] : side_at(p - PLANES);
                job.w = p < PLANES ? planes[p][1] : job.h;
                job.sh = kernels[k][2], job.sw = kernels[k][3];
                job.pt = form / 2 % 3 ? (int)pick(c, (uint32_t)job.kh / 2 + 1) : 0;
                job.pl = form / 2 % 3 ? (int)pick(c, (uint32_t)job.kw / 2 + 1) : 0;
                job.oh = outputs(job.h, job.kh, job.sh, job.pt, form % 2);
                job.ow = outputs(job.w, job.kw, job.sw, job.pl, form % 2);
                case_begin(c, "plane %dx%d out %dx%d kernel %dx%d stride %d,%d pad %d,%d", job.h,
                           job.w, job.oh, job.ow, job.kh, job.kw, job.sh, job.sw, job.pt, job.pl);
                if (max)
                    max_case(c, &job);
                else
                    sum_case(c, &job, form % 3 != 0);
                case_end(c);
            }
}
static void check_max_pool(check *c) { each_shape(c, true); }
static void check_sum_pool(check *c) { each_shape(c, false); }

const check_slot pool_slots[] = {
    { "max_pool", check_max_pool },
    { "sum_pool", check_sum_pool },
    { NULL, NULL },
};
