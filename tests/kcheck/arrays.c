/* arrays.c - checks of the element-wise slots, the sums and kern_select.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/kcheck/kcheck.h"
#include "tests/ref/kern_ref.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float specials[] = { 0,      -0.0F,    1,         -1,       FLT_MIN,  -FLT_MIN,
                                  1e-45F, -1e-45F,  FLT_MAX,   -FLT_MAX, INFINITY, -INFINITY,
                                  NAN,    88.7F,    -87.4F,    -103.9F,  -104.1F,  9.01F,
                                  -9.02F, 0x1p-12F, -0x1p-13F, 1e-20F,   -1e-20F,  200 };
enum { SPECIALS = sizeof specials / sizeof *specials };

static const char *const act_names[] = { "none", "relu", "leaky", "tanh", "scaled", "sigmoid" };

/* Distance of two neighbouring floats at x. */
static double ulp(double x) {
    int e;
    if (fabs(x) < FLT_MIN) return 0x1p-149;
    frexp(x, &e);
    return ldexp(1, e - 24);
}

/* In units in the last place: RELU and LEAKY round at most once; the bounds of the others are those
 * stated in elementwise.h. */
static const double act_ulps[] = { 0, 0, 0.5, 4, 6, 4 };

static void act_values(check *c, act_kind kind, size_t n, const float *x, const float *y) {
    const double slope = 0.125;
    for (size_t i = 0; i < n; i++) {
        const double want = ref_act(kind, slope, x[i]);
        case_near(c, "y", i, y[i], want, isfinite(want) ? act_ulps[kind] * ulp(want) : 0);
    }
}

static void check_act(check *c) {
    for (int kind = ACT_NONE; kind <= ACT_SIGMOID; kind++) {
        for (int s = 0; s < sizes_count(); s++) {
            const size_t n = size_at(s);
            case_begin(c, "%s n=%zu", act_names[kind], n);
            float *x = case_random(c, n, NO_SLACK);
            for (size_t i = 0; i < n; i++)
                x[i] = pick(c, 4) ? x[i] * 10 : specials[pick(c, SPECIALS)];
            float *y = case_array(c, n, NO_SLACK), *same = case_copy(c, n, x);
            check_kern(c)->act((act_kind)kind, 0.125F, n, x, y);
            check_kern(c)->act((act_kind)kind, 0.125F, n, same, same);
            act_values(c, (act_kind)kind, n, x, y);
            case_true(c, same_floats(n, y, same), "in place gives the same bits");
            case_end(c);
        }
        /* one float in 4099 of all there are: exponents, signs, NaN and infinity included */
        case_begin(c, "%s over all exponents", act_names[kind]);
        enum { BLOCK = 4096 };
        float *x = case_array(c, BLOCK, NO_SLACK), *y = case_array(c, BLOCK, NO_SLACK);
        for (uint64_t bits = pick(c, 4099), i = 0; bits < (uint64_t)1 << 32; bits += 4099) {
            const uint32_t low = (uint32_t)bits;
            memcpy(&x[i], &low, sizeof low);
            if (++i < BLOCK) continue;
            i = 0;
            check_kern(c)->act((act_kind)kind, 0.125F, BLOCK, x, y);
            act_values(c, (act_kind)kind, BLOCK, x, y);
        }
        case_end(c);
    }
}

static void check_act_back(check *c) {
    for (int kind = ACT_NONE; kind <= ACT_SIGMOID; kind++)
        for (int s = 0; s < sizes_count(); s++) {
            const size_t n = size_at(s);
            case_begin(c, "%s n=%zu", act_names[kind], n);
            float *y = case_random(c, n, NO_SLACK), *dy = case_random(c, n, NO_SLACK);
            for (size_t i = 0; i < n; i++) {
                if (kind == ACT_SIGMOID) y[i] = fabsf(y[i]);
                if (pick(c, 8) == 0) y[i] = 0;
                if (pick(c, 16) == 0 && kind == ACT_NONE) dy[i] = NAN;
            }
            float *dx = case_array(c, n, NO_SLACK), *same = case_copy(c, n, dy);
            check_kern(c)->act_back((act_kind)kind, 0.125F, n, y, dy, dx);
            check_kern(c)->act_back((act_kind)kind, 0.125F, n, y, same, same);
            for (size_t i = 0; i < n; i++) {
                /* 1 - y*y cancels: its error is that of its terms */
                const double size = kind <= ACT_LEAKY ? 1 : kind == ACT_SIGMOID ? y[i] : 2.5;
                case_near(c, "dx", i, dx[i], dy[i] * ref_act_slope((act_kind)kind, 0.125, y[i]),
                          6 * ROUNDING * size * fabs((double)dy[i]));
            }
            case_true(c, same_floats(n, dx, same), "in place gives the same bits");
            case_end(c);
        }
}

/* The slots with two inputs and one output. */
static void check_binary(check *c, void (*slot)(size_t, const float *, const float *, float *),
                         bool product) {
    for (int s = 0; s < sizes_count(); s++) {
        const size_t n = size_at(s);
        case_begin(c, "n=%zu", n);
        float *a = case_random(c, n, NO_SLACK), *b = case_random(c, n, NO_SLACK);
        if (n) a[pick(c, (uint32_t)n)] = NAN;
        float *y = case_array(c, n, NO_SLACK);
        float *same_a = case_copy(c, n, a), *same_b = case_copy(c, n, b);
        slot(n, a, b, y);
        slot(n, same_a, b, same_a);
        slot(n, a, same_b, same_b);
        for (size_t i = 0; i < n; i++)
            case_near(c, "y", i, y[i], product ? a[i] * b[i] : a[i] + b[i], 0);
        case_true(c, same_floats(n, y, same_a) && same_floats(n, y, same_b),
                  "in place gives the same bits");
        case_end(c);
    }
}
static void check_add(check *c) { check_binary(c, check_kern(c)->add, false); }
static void check_mul(check *c) { check_binary(c, check_kern(c)->mul, true); }

static void check_scale_shift(check *c) {
    for (int s = 0; s < 4 * sizes_count(); s++) {
        static const act_kind kinds[4] = { ACT_NONE, ACT_RELU, ACT_LEAKY, ACT_TANH };
        const size_t n = size_at(s / 4);
        const act_kind kind = kinds[s % 4];
        const float scale = pick_float(c, -2, 2), shift = pick_float(c, -2, 2), slope = 0.1f;
        case_begin(c, "n=%zu act=%d scale=%g shift=%g", n, (int)kind, (double)scale, (double)shift);
        float *x = case_random(c, n, NO_SLACK), *y = case_array(c, n, NO_SLACK);
        float *same = case_copy(c, n, x);
        check_kern(c)->scale_shift(n, scale, shift, kind, slope, x, y);
        check_kern(c)->scale_shift(n, scale, shift, kind, slope, same, same);
        float *add = case_random(c, n, NO_SLACK), *sum = case_copy(c, n, x);
        check_kern(c)->scale_shift_add(n, scale, shift, kind, slope, sum, add, (ptrdiff_t)n, sum);
        for (size_t i = 0; i < n; i++)
            case_near(
                c, "sum", i, sum[i],
                ref_act(kind, (double)slope, (double)scale * x[i] + (double)shift + add[i]),
                3 * ROUNDING *
                        (fabs((double)scale * x[i]) + fabs((double)shift) + fabs((double)add[i])) +
                    (kind == ACT_TANH ? 8 * ROUNDING : 0));
        for (size_t i = 0; i < n; i++) /* no slope is above 1; 4 units more for tanh */
            case_near(c, "y", i, y[i],
                      ref_act(kind, (double)slope, (double)scale * (double)x[i] + (double)shift),
                      2 * ROUNDING * (fabs((double)scale * x[i]) + fabs((double)shift)) +
                          (kind == ACT_TANH ? 8 * ROUNDING : 0));
        case_true(c, same_floats(n, y, same), "in place gives the same bits");
        case_end(c);
    }
}

static void check_axpy(check *c) {
    for (int s = 0; s < sizes_count(); s++) {
        const size_t n = size_at(s);
        const float alpha = pick_float(c, -2, 2);
        case_begin(c, "n=%zu alpha=%g", n, (double)alpha);
        float *x = case_random(c, n, NO_SLACK), *y = case_random(c, n, NO_SLACK);
        const float *before = case_copy(c, n, y);
        check_kern(c)->axpy(n, alpha, x, y);
        for (size_t i = 0; i < n; i++)
            case_near(c, "y", i, y[i], (double)alpha * x[i] + before[i],
                      2 * ROUNDING * (fabs((double)alpha * x[i]) + fabs((double)before[i])));
        case_end(c);
    }
}

static norm_back_job pick_norm_back(check *c, size_t n, act_kind act) {
    return (norm_back_job){ .n = n,
                            .dy = case_random(c, n, NO_SLACK),
                            .x = case_random(c, n, NO_SLACK),
                            .mean = pick_float(c, -5, 5),
                            .act = act,
                            .slope = 0.25f,
                            .scale = pick_float(c, -2, 2),
                            .shift = pick_float(c, -1, 1) };
}

/* dy behind the activation; where its argument is within a rounding of 0, whichever side the kernel's own
 * scale_shift says. */
static double norm_back_slope_of(check *c, const norm_back_job *j, size_t i) {
    float z;
    check_kern(c)->scale_shift(1, j->scale, j->shift, ACT_NONE, 0, j->x + i, &z);
    if (j->act == ACT_NONE || z > 0) return (double)j->dy[i];
    return j->act == ACT_RELU ? 0 : (double)j->slope * (double)j->dy[i];
}

static const act_kind norm_back_acts[] = { ACT_NONE, ACT_RELU, ACT_LEAKY };

static void check_norm_back(check *c) {
    for (int s = 0; s < 6 * sizes_count(); s++) {
        const size_t n = size_at(s / 6);
        const bool adds = s % 2;
        case_begin(c, "n=%zu act=%d adds=%d", n, (int)norm_back_acts[s % 3], adds);
        const norm_back_job job = pick_norm_back(c, n, norm_back_acts[s % 3]);
        const float k[3] = { pick_float(c, -2, 2), pick_float(c, -2, 2), pick_float(c, -2, 2) };
        float *dx = adds ? case_random(c, n, NO_SLACK) : case_array(c, n, NO_SLACK);
        const float *before = case_copy(c, n, dx);
        check_kern(c)->norm_back(&job, k[0], k[1], k[2], adds, dx);
        for (size_t i = 0; i < n; i++) {
            const double g = norm_back_slope_of(c, &job, i), add = adds ? (double)before[i] : 0;
            const double want = k[0] * g + k[1] * ((double)job.x[i] - job.mean) + k[2] + add;
            const double size =
                fabs(k[0] * g) + fabs((double)k[2]) + fabs(add) +
                fabs((double)k[1]) * (fabs((double)job.x[i]) + fabs((double)job.mean));
            case_near(c, "dx", i, dx[i], want, 6 * ROUNDING * size);
        }
        if (!adds) {
            float *same = case_copy(c, n, job.dy);
            norm_back_job in_place = job;
            in_place.dy = same;
            check_kern(c)->norm_back(&in_place, k[0], k[1], k[2], false, same);
            case_true(c, same_floats(n, dx, same), "in place gives the same bits");
        }
        case_end(c);
    }
}

/* Sums kept in double: a rounding of 2^-53 a term. */
static double sum_tolerance(size_t n, double magnitude) {
    return ((double)n + 4) * 0x1p-52 * magnitude;
}

/* The plain sums: `sum` adds in double, `read` in float. */
static void check_total(check *c, bool in_double) {
    for (int s = 0; s < sizes_count(); s++) {
        const size_t n = size_at(s);
        case_begin(c, "n=%zu", n);
        const float *x = case_random(c, n, NO_SLACK);
        double want = 0, size = 0;
        for (size_t i = 0; i < n; i++) want += x[i], size += fabs((double)x[i]);
        case_near(c, "sum", 0, in_double ? check_kern(c)->sum(n, x) : check_kern(c)->read(n, x),
                  want, in_double ? sum_tolerance(n, size) : (double)n * ROUNDING * size);
        case_end(c);
    }
}
static void check_sum(check *c) { check_total(c, true); }
static void check_read(check *c) { check_total(c, false); }

static void check_moments(check *c) {
    for (int s = 0; s < sizes_count(); s++) {
        const size_t n = size_at(s);
        const float shift = pick_float(c, -100, 100);
        case_begin(c, "n=%zu shift=%g", n, (double)shift);
        float *x = case_random(c, n, NO_SLACK);
        double s1 = 0, s2 = 0, size = 0, got1 = NAN, got2 = NAN;
        for (size_t i = 0; i < n; i++) {
            x[i] += shift;
            const double d = (double)x[i] - shift;
            s1 += d, s2 += d * d, size += fabs(d);
        }
        check_kern(c)->moments(n, x, shift, (ptrdiff_t)n, &got1, &got2);
        case_near(c, "sum", 0, got1, s1, sum_tolerance(n, size));
        case_near(c, "squares", 0, got2, s2, sum_tolerance(n, s2));
        case_end(c);
    }
}

static void check_norm_back_sums(check *c) {
    for (int s = 0; s < 3 * sizes_count(); s++) {
        const size_t n = size_at(s / 3);
        case_begin(c, "n=%zu act=%d", n, (int)norm_back_acts[s % 3]);
        const norm_back_job job = pick_norm_back(c, n, norm_back_acts[s % 3]);
        double s1 = 0, s2 = 0, size1 = 0, size2 = 0, got1 = NAN, got2 = NAN;
        for (size_t i = 0; i < n; i++) {
            /* of a float: dy*slope is rounded once, exactly for the slope of 1/4 */
            const double g = norm_back_slope_of(c, &job, i), t = g * ((double)job.x[i] - job.mean);
            s1 += g, s2 += t, size1 += fabs(g), size2 += fabs(t);
        }
        check_kern(c)->norm_back_sums(&job, (ptrdiff_t)n, &got1, &got2);
        case_near(c, "g_sum", 0, got1, s1, sum_tolerance(n, size1));
        case_near(c, "gx_sum", 0, got2, s2, sum_tolerance(n, size2));
        case_end(c);
    }
}

/* 0.999 < 1 keeps the roundings of all steps together below a thousand of one, of numbers up to 1. */
static void check_fma_chains(check *c) {
    static const size_t steps[] = { 0, 1, 2, 7, 100, 3000 };
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        const size_t n = (size_t)PROBE_CHAINS * (size_t)check_kern(c)->lanes;
        case_begin(c, "steps=%zu", steps[s]);
        float *x = case_random(c, n, NO_SLACK);
        const float *before = case_copy(c, n, x);
        check_kern(c)->fma_chains(steps[s], x);
        for (size_t i = 0; i < n; i++) {
            double want = before[i];
            for (size_t k = 0; k < steps[s]; k++) want = want * 0.999F + 0.001F;
            case_near(c, "x", i, x[i], want, steps[s] ? 2000 * ROUNDING : 0);
        }
        case_end(c);
    }
}

static void check_all_finite(check *c) {
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t n = 0; n <= 70; n++) {
        case_begin(c, "n=%zu", n);
        float *x = case_random(c, n, NO_SLACK);
        for (size_t i = 0; i < n; i++)
            if (pick(c, 3) == 0) x[i] = pick(c, 2) ? FLT_MAX : -FLT_MAX;
        case_true(c, check_kern(c)->all_finite(n, x), "finite numbers, FLT_MAX too, are finite");
        for (size_t i = 0; i < n; i++) {
            const float keep = x[i];
            x[i] = bad[i % 3];
            case_true(c, !check_kern(c)->all_finite(n, x), "one bad number is found");
            x[i] = keep;
        }
        case_end(c);
    }
}

static void check_select(check *c) {
    const struct kern *level[4];
    const int count = kern_levels(level);
    char why[200] = "";
    case_begin(c, "known levels");
    for (int i = 0; i < count; i++)
        case_true(c, kern_select(level[i]->name, why, sizeof why) == level[i], "a level caps");
    case_true(c, strcmp(level[0]->name, "scalar") == 0, "scalar is the slowest");
    case_end(c);
    case_begin(c, "an unknown word");
    case_true(c, kern_select("avx9", why, sizeof why) == NULL, "refused");
    case_true(c, strstr(why, "avx9") && strstr(why, "avx512"), "names the word and the known ones");
    case_true(c, kern_select("avx9", NULL, 0) == NULL, "no room for a message");
    case_end(c);
    case_begin(c, "the environment");
    setenv("LENSLET_ISA", "scalar", 1);
    case_true(c, kern_select(NULL, why, sizeof why) == level[0], "LENSLET_ISA caps");
    case_true(c, kern_select(level[count - 1]->name, why, sizeof why) == level[count - 1],
              "an explicit level wins");
    setenv("LENSLET_ISA", "SCALAR", 1);
    case_true(c, kern_select(NULL, why, sizeof why) == NULL, "misspelt LENSLET_ISA is refused");
    unsetenv("LENSLET_ISA");
    case_true(c, kern_select(NULL, why, sizeof why) == level[count - 1], "else the best");
    case_end(c);
}

const check_slot array_slots[] = {
    { "act", check_act },
    { "act_back", check_act_back },
    { "add", check_add },
    { "mul", check_mul },
    { "scale_shift", check_scale_shift },
    { "axpy", check_axpy },
    { "norm_back", check_norm_back },
    { "sum", check_sum },
    { "moments", check_moments },
    { "norm_back_sums", check_norm_back_sums },
    { "all_finite", check_all_finite },
    { "fma_chains", check_fma_chains },
    { "read", check_read },
    { "select", check_select },
    { NULL, NULL },
};
