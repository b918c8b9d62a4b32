/* unary.c - y = f(x), element by element, for the functions of a table. What convolutional nets use
 * everywhere (relu, tanh, sigmoid ...) is act.c, with kernels; these are libm's speed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/functions.h"
#include "op/parts.h"

#include <math.h>
#include <string.h>

/* f(x, a, b) and its derivative with respect to x; y is f(x, a, b). */
typedef float value_fn(float x, float a, float b);
typedef float slope_fn(float x, float y, float a, float b);

/* log(1 + exp(x)), which neither overflows nor rounds small values away. */
static float soft_plus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }
static float logistic(float x) { return 1 / (1 + expf(-x)); }
static float sign_of(float x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
/* The normal distribution function. */
static float normal(float x) { return 0.5f * (1 + erff(x * 0.70710678f)); }
/* The derivative of x*tanh(t), t = softplus(x). */
static float mish_slope(float x, float t) { return t + x * logistic(x) * (1 - t * t); }

#define F(name, formula, derivative)                                                               \
    static float f_##name(float x, float a, float b) {                                             \
        (void)x, (void)a, (void)b;                                                                 \
        return formula;                                                                            \
    }                                                                                              \
    static float f_##name##_slope(float x, float y, float a, float b) {                            \
        (void)x, (void)y, (void)a, (void)b;                                                        \
        return derivative;                                                                         \
    }

/* clang-format off */
F(abs,         fabsf(x),    sign_of(x))
F(neg,         -x,          -1)
F(affine,      a * x + b,   a)
F(power,       powf(x, a),  a * powf(x, a - 1))
F(exp,         expf(x),     y)
F(log,         logf(x),     1 / x)
F(sqrt,        sqrtf(x),    0.5f / y)
F(reciprocal,  1 / x,       -y * y)
F(floor,       floorf(x),   0)
F(ceil,        ceilf(x),    0)
F(round,       rintf(x),    0)
F(sign,        sign_of(x),  0)
F(sin,         sinf(x),     cosf(x))
F(cos,         cosf(x),     -sinf(x))
F(tan,         tanf(x),     1 + y * y)
F(asin,        asinf(x),    1 / sqrtf(1 - x * x))
F(acos,        acosf(x),    -1 / sqrtf(1 - x * x))
F(atan,        atanf(x),    1 / (1 + x * x))
F(sinh,        sinhf(x),    coshf(x))
F(cosh,        coshf(x),    sinhf(x))
F(asinh,       asinhf(x),   1 / sqrtf(x * x + 1))
F(acosh,       acoshf(x),   1 / sqrtf(x * x - 1))
F(atanh,       atanhf(x),   1 / (1 - x * x))
F(erf,         erff(x),     1.12837917f * expf(-x * x))
F(softplus,    soft_plus(x), logistic(x))
F(softsign,    x / (1 + fabsf(x)), 1 / ((1 + fabsf(x)) * (1 + fabsf(x))))
F(elu,         x > 0 ? x : a * expm1f(x),       x > 0 ? 1 : y + a)
F(celu,        x > 0 ? x : a * expm1f(x / a),   x > 0 ? 1 : expf(x / a))
F(selu,        b * (x > 0 ? x : a * expm1f(x)), x > 0 ? b : y + a * b)
F(hard_sigmoid, fmaxf(0, fminf(1, a * x + b)), a * x + b > 0 && a * x + b < 1 ? a : 0)
F(hard_swish,  x * fmaxf(0, fminf(1, x / 6 + 0.5f)), x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5f)
F(mish,        x * tanhf(soft_plus(x)), mish_slope(x, tanhf(soft_plus(x))))
F(gelu,        x * normal(x), normal(x) + x * 0.39894228f * expf(-0.5f * x * x))
F(thresholded_relu, x > a ? x : 0, x > a ? 1 : 0)
F(shrink,      x < -a ? x + b : x > a ? x - b : 0, x < -a || x > a ? 1 : 0)
F(clip,        x < a ? a : x > b ? b : x, x >= a && x <= b ? 1 : 0)
/* clang-format on */

static const struct function {
    const char *name;
    value_fn *value;
    slope_fn *slope;
    float a, b; /* where alpha, beta are 0 */
} table[] = {
#define ROW(name, a, b)                                                                            \
    { #name, f_##name, f_##name##_slope, a, b }
    ROW(abs, 0, 0),
    ROW(neg, 0, 0),
    ROW(affine, 0, 0),
    ROW(power, 0, 0),
    ROW(exp, 0, 0),
    ROW(log, 0, 0),
    ROW(sqrt, 0, 0),
    ROW(reciprocal, 0, 0),
    ROW(floor, 0, 0),
    ROW(ceil, 0, 0),
    ROW(round, 0, 0),
    ROW(sign, 0, 0),
    ROW(sin, 0, 0),
    ROW(cos, 0, 0),
    ROW(tan, 0, 0),
    ROW(asin, 0, 0),
    ROW(acos, 0, 0),
    ROW(atan, 0, 0),
    ROW(sinh, 0, 0),
    ROW(cosh, 0, 0),
    ROW(asinh, 0, 0),
    ROW(acosh, 0, 0),
    ROW(atanh, 0, 0),
    ROW(erf, 0, 0),
    ROW(softplus, 0, 0),
    ROW(softsign, 0, 0),
    ROW(hard_swish, 0, 0),
    ROW(mish, 0, 0),
    ROW(gelu, 0, 0),
    ROW(clip, 0, 0),
    ROW(elu, 1, 0),
    ROW(celu, 1, 0),
    ROW(selu, 1.67326319f, 1.05070102f),
    ROW(hard_sigmoid, 0.2f, 0.5f),
    ROW(thresholded_relu, 1, 0),
    ROW(shrink, 0.5f, 0),
#undef ROW
};

static const struct function *find(const char *name) {
    for (size_t i = 0; name && i < LENS_COUNT(table); i++)
        if (!strcmp(table[i].name, name)) return &table[i];
    return NULL;
}

const char *unary_name(int index) {
    return index >= 0 && (size_t)index < LENS_COUNT(table) ? table[index].name : NULL;
}

float unary_value(const char *name, float x, float alpha, float beta) {
    const struct function *f = find(name);
    return f ? f->value(x, alpha, beta) : NAN;
}

static const op_option options[] = {
    { "fn", OP_STRING, offsetof(lens_unary_opts, fn), "the function; required" },
    { "alpha", OP_FLOAT, offsetof(lens_unary_opts, alpha), "first number of the function" },
    { "beta", OP_FLOAT, offsetof(lens_unary_opts, beta), "second number of the function" },
    { 0 },
};

static lens_status infer(op_node *node) {
    lens_unary_opts *o = node->opts;
    const struct function *f = find(o->fn);
    if (!f)
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: there is no function '%.40s'", node->name,
                        o->fn ? o->fn : "");
    if (!isfinite(o->alpha) || !isfinite(o->beta))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: alpha %g and beta %g must be finite",
                        node->name, (double)o->alpha, (double)o->beta);
    if (o->alpha == 0) o->alpha = f->a;
    if (o->beta == 0) o->beta = f->b;
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "%s", f->name);
    return LENS_OK;
}

static void forward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const lens_unary_opts *o = r->node->opts;
    value_fn *value = find(o->fn)->value;
    for (size_t i = first; i < last; i++) r->y[i] = value(r->x[0][i], o->alpha, o->beta);
}

static void backward_range(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const lens_unary_opts *o = r->node->opts;
    const struct function *f = find(o->fn);
    for (size_t i = first; i < last; i++) {
        float x = r->x[0][i];
        r->dx[0][i] = r->dy[i] * f->slope(x, f->value(x, o->alpha, o->beta), o->alpha, o->beta);
    }
}

/* A function of libm takes about as long as moving 16 floats. */
static void forward(const op_run *r) {
    op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 16, forward_range, r);
}

static void backward(const op_run *r) {
    if (r->dx[0])
        op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 32, backward_range, r);
}

const op_kind op_unary = {
    .name = "unary",
    .formula = "y = f(x), element by element",
    .flags = OP_INPLACE | OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_unary_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
