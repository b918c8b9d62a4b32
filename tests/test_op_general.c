/* test_op_general.c - the operators of general graphs (unary, binary, reduce, rearrange, matmul, parameter)
 * against formulas in double written here; their gradients against differences of those formulas.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/functions.h"
#include "op/rearrange.h"
#include "support/check.h"
#include "test.h"

/* What a layer should compute: y from all inputs of all samples, and numbers of a parameter. */
typedef void formula(const void *arg, int n, const double *x, const double *w, double *y);

static double weighted(formula *f, const void *arg, int n, const double *x, const double *w,
                       const float *dy, size_t count) {
    double *y = calloc(count, sizeof *y), sum = 0;
    f(arg, n, x, w, y);
    for (size_t i = 0; i < count; i++) sum += y[i] * (double)dy[i];
    free(y);
    return sum;
}

static double *widened(const float *from, size_t count) {
    double *to = calloc(count + 1, sizeof *to);
    for (size_t i = 0; i < count; i++) to[i] = (double)from[i];
    return to;
}

/* got[i] must be the slope of the weighted sum of y with respect to value[i]. */
static void expect_slopes(formula *f, const void *arg, int n, const double *x, const double *w,
                          const float *dy, size_t y_count, double *value, size_t count,
                          const float *got, const char *what) {
    const double h = 1e-6;
    for (size_t i = 0; i < count; i++) {
        double kept = value[i];
        value[i] = kept + h;
        double up = weighted(f, arg, n, x, w, dy, y_count);
        value[i] = kept - h;
        double slope = (up - weighted(f, arg, n, x, w, dy, y_count)) / (2 * h);
        value[i] = kept;
        if (!(fabs(slope - (double)got[i]) <= 2e-4 * (1 + fabs(slope))))
            fail_msg("%s: gradient %zu is %g, by differences %g", what, i, (double)got[i], slope);
    }
}

/* The finished probe against the formula: value, and gradients of x and of "w.weight" if there is one. */
static void expect_formula(probe *p, const float *x, formula *f, const void *arg,
                           const char *what) {
    size_t x_count = probe_x_count(p), y_count = probe_y_count(p);
    bool has_w = lens_net_params(p->net) > 0;
    float *dy = calloc(y_count, sizeof *dy), *y = calloc(y_count, sizeof *y);
    double *xd = widened(x, x_count), *want = calloc(y_count, sizeof *want), *wd = NULL;
    size_t w_count = 0;
    if (has_w) {
        lens_param w = probe_param(p, "w.weight");
        w_count = (size_t)lens_tensor_count(&w.value);
        wd = widened(w.value.data, w_count);
    }
    memcpy(y, probe_run(p, x), y_count * sizeof *y);
    f(arg, p->n, xd, wd, want);
    for (size_t i = 0; i < y_count; i++)
        if (!(fabs((double)y[i] - want[i]) <= 4e-6 * (1 + fabs(want[i]))))
            fail_msg("%s: y[%zu] is %g, expected %g", what, i, (double)y[i], want[i]);
    random_floats(dy, y_count, 9);
    const float *dx = probe_back(p, dy);
    expect_slopes(f, arg, p->n, xd, wd, dy, y_count, xd, x_count, dx, what);
    if (has_w)
        expect_slopes(f, arg, p->n, xd, wd, dy, y_count, wd, w_count, probe_grad(p, "w.weight"),
                      what);
    free(dy), free(y), free(xd), free(want), free(wd);
}

/* ---- unary ---------------------------------------------------------------------------------- */

static double soft(double x) { return log(1 + exp(x)); }

/* The formulas of net.h, as they stand there; `low` and `high`: where all is smooth enough. */
static const struct unary_case {
    const char *fn;
    double low, high, alpha, beta;
} unaries[] = {
    { "abs", .1, 2, 0, 0 },
    { "neg", -2, 2, 0, 0 },
    { "affine", -2, 2, 1.5, -.25 },
    { "power", .2, 2, 2.5, 0 },
    { "exp", -2, 2, 0, 0 },
    { "log", .2, 3, 0, 0 },
    { "sqrt", .2, 3, 0, 0 },
    { "reciprocal", -3, -.3, 0, 0 },
    { "floor", 1.1, 1.9, 0, 0 },
    { "ceil", 1.1, 1.9, 0, 0 },
    { "round", 1.6, 2.4, 0, 0 },
    { "sign", -2, -.1, 0, 0 },
    { "sin", -3, 3, 0, 0 },
    { "cos", -3, 3, 0, 0 },
    { "tan", -1, 1, 0, 0 },
    { "asin", -.9, .9, 0, 0 },
    { "acos", -.9, .9, 0, 0 },
    { "atan", -3, 3, 0, 0 },
    { "sinh", -2, 2, 0, 0 },
    { "cosh", -2, 2, 0, 0 },
    { "asinh", -2, 2, 0, 0 },
    { "acosh", 1.2, 3, 0, 0 },
    { "atanh", -.8, .8, 0, 0 },
    { "erf", -2, 2, 0, 0 },
    { "softplus", -3, 3, 0, 0 },
    { "softsign", .1, 2, 0, 0 },
    { "elu", -3, -.1, 0, 0 },
    { "elu", .1, 3, .7, 0 },
    { "celu", -3, -.1, 2, 0 },
    { "celu", .1, 3, 0, 0 },
    { "selu", -3, -.1, 0, 0 },
    { "selu", -3, -.1, 2, .5 },
    { "hard_sigmoid", -2, 2, 0, 0 },
    { "hard_sigmoid", 3, 5, 0, 0 },
    { "hard_swish", -2.9, 2.9, 0, 0 },
    { "hard_swish", 3.1, 5, 0, 0 },
    { "mish", -3, 3, 0, 0 },
    { "gelu", -3, 3, 0, 0 },
    { "thresholded_relu", 1.1, 2, 0, 0 },
    { "thresholded_relu", -1, .9, 0, 0 },
    { "shrink", .6, 2, 0, .25 },
    { "shrink", -.4, .4, 0, 0 },
    { "clip", -.5, .5, -.6, .6 },
    { "clip", .7, 2, -.6, .6 },
};

static double unary_of(const struct unary_case *c, double x) {
    double a = c->alpha, b = c->beta;
    switch (c - unaries) {
    case 0: return fabs(x);
    case 1: return -x;
    case 2: return a * x + b;
    case 3: return pow(x, a);
    case 4: return exp(x);
    case 5: return log(x);
    case 6: return sqrt(x);
    case 7: return 1 / x;
    case 8: return 1;
    case 9: return 2;
    case 10: return 2;
    case 11: return -1;
    case 12: return sin(x);
    case 13: return cos(x);
    case 14: return tan(x);
    case 15: return asin(x);
    case 16: return acos(x);
    case 17: return atan(x);
    case 18: return sinh(x);
    case 19: return cosh(x);
    case 20: return asinh(x);
    case 21: return acosh(x);
    case 22: return atanh(x);
    case 23: return erf(x);
    case 24: return soft(x);
    case 25: return x / (1 + fabs(x));
    case 26: return exp(x) - 1;
    case 27:
    case 29: return x;
    case 28: return 2 * (exp(x / 2) - 1);
    case 30: return 1.0507009873554805 * 1.6732632423543772 * (exp(x) - 1);
    case 31: return .5 * 2 * (exp(x) - 1);
    case 32: return .2 * x + .5;
    case 33: return 1;
    case 34: return x * (x + 3) / 6;
    case 35: return x;
    case 36: return x * tanh(soft(x));
    case 37: return x * (1 + erf(x / sqrt(2))) / 2;
    case 38: return x;
    case 39: return 0;
    case 40: return x - .25;
    case 41: return 0;
    case 42: return x;
    default: return .6;
    }
}

static void unary_formula(const void *arg, int n, const double *x, const double *w, double *y) {
    (void)w;
    for (int i = 0; i < n * 24; i++) y[i] = unary_of(arg, x[i]);
}

static void unary(void **state) {
    (void)state;
    for (size_t i = 0; i < LENS_COUNT(unaries); i++) {
        const struct unary_case *c = &unaries[i];
        probe p = probe_start(1, 2, 2, 3, 4);
        float x[48];
        random_floats(x, 48, 5);
        for (int k = 0; k < 48; k++)
            x[k] = (float)(c->low + (c->high - c->low) * (0.5 + 0.5 * (double)x[k]));
        lens_unary_opts o = { c->fn, (float)c->alpha, (float)c->beta };
        probe_finish(&p, lens_unary(p.x, "f", o));
        expect_formula(&p, x, unary_formula, c, c->fn);
        probe_end(&p);
    }
    for (int k = 0; unary_name(k); k++) { /* no function without a row above */
        bool seen = false;
        for (size_t i = 0; i < LENS_COUNT(unaries); i++)
            seen |= !strcmp(unaries[i].fn, unary_name(k));
        if (!seen) fail_msg("no row for %s", unary_name(k));
    }
}

/* Far out and at the bends. */
static void unary_edges(void **state) {
    (void)state;
    struct {
        const char *fn, *x, *y;
        float alpha, beta;
    } list[] = {
        { "softplus", "200 -200", "200 0", 0, 0 },
        { "mish", "200 -200", "200 0", 0, 0 },
        { "round", "-1.5 -.5 .5 1.5 2.5", "-2 0 0 2 2", 0, 0 },
        { "hard_sigmoid", "-3 3", "0 1", 0, 0 },
        { "hard_swish", "-4 -3 3 4", "0 0 3 4", 0, 0 },
        { "thresholded_relu", "1 1.5", "0 1.5", 0, 0 },
        { "shrink", "-1 -.5 .5 1", "-.75 0 0 .75", 0, .25f },
        { "clip", "-1 0 7", "0 0 6", 0, 6 },
        { "sign", "-3 0 3", "-1 0 1", 0, 0 },
    };
    for (size_t i = 0; i < LENS_COUNT(list); i++) {
        float x[8];
        int count = numbers(list[i].x, x, 8);
        probe p = probe_start(1, 1, 1, 1, count);
        lens_unary_opts o = { list[i].fn, list[i].alpha, list[i].beta };
        probe_finish(&p, lens_unary(p.x, "f", o));
        expect_numbers(probe_run(&p, x), list[i].y, 1e-6);
        probe_end(&p);
    }
}

/* ---- binary --------------------------------------------------------------------------------- */

typedef struct binary_case {
    const char *fn;
    int a[3], b[3]; /* (C,H,W) of both */
    bool swapped;   /* the parameter is the first input */
} binary_case;

static double binary_of(const char *fn, double a, double b) {
    if (!strcmp(fn, "add")) return a + b;
    if (!strcmp(fn, "sub")) return a - b;
    if (!strcmp(fn, "mul")) return a * b;
    if (!strcmp(fn, "div")) return a / b;
    if (!strcmp(fn, "pow")) return pow(a, b);
    if (!strcmp(fn, "max")) return fmax(a, b);
    if (!strcmp(fn, "min")) return fmin(a, b);
    if (!strcmp(fn, "prelu")) return a > 0 ? a : a * b;
    return !strcmp(fn, "less") ? a < b : !strcmp(fn, "greater") ? a > b : a == b;
}

static int most(int a, int b) { return a > b ? a : b; }

static void binary_formula(const void *arg, int n, const double *x, const double *w, double *y) {
    const binary_case *k = arg;
    int s[3];
    for (int d = 0; d < 3; d++) s[d] = most(k->a[d], k->b[d]);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < s[0]; c++)
            for (int h = 0; h < s[1]; h++)
                for (int l = 0; l < s[2]; l++) {
                    int at_a = (c % k->a[0] * k->a[1] + h % k->a[1]) * k->a[2] + l % k->a[2];
                    int at_b = (c % k->b[0] * k->b[1] + h % k->b[1]) * k->b[2] + l % k->b[2];
                    double a = x[i * k->a[0] * k->a[1] * k->a[2] + at_a], b = w[at_b];
                    *y++ = k->swapped ? binary_of(k->fn, b, a) : binary_of(k->fn, a, b);
                }
}

static void binary(void **state) {
    (void)state;
    static const int shapes[][2][3] = {
        { { 2, 3, 4 }, { 2, 3, 4 } }, { { 2, 3, 4 }, { 2, 1, 1 } }, { { 2, 1, 4 }, { 1, 3, 1 } },
        { { 1, 1, 1 }, { 3, 2, 2 } }, { { 2, 3, 4 }, { 1, 1, 4 } },
    };
    for (int f = 0; binary_name(f); f++)
        for (size_t i = 0; i < LENS_COUNT(shapes); i++)
            for (int swapped = 0; swapped < 2; swapped++) {
                binary_case c = { .fn = binary_name(f), .swapped = swapped };
                memcpy(c.a, shapes[i][0], sizeof c.a);
                memcpy(c.b, shapes[i][1], sizeof c.b);
                probe p = probe_start(1, 3, c.a[0], c.a[1], c.a[2]);
                lens_node *w = lens_parameter(
                    p.x, "w", (lens_parameter_opts){ c.b[0], c.b[1], c.b[2], false });
                lens_binary_opts o = { c.fn };
                probe_finish(&p,
                             swapped ? lens_binary(w, p.x, "f", o) : lens_binary(p.x, w, "f", o));
                probe_random(&p, 4);
                float x[72];
                random_floats(x, 72, 6);
                if (!strcmp(c.fn, "pow") || !strcmp(c.fn, "div")) { /* away from 0 */
                    lens_param it = probe_param(&p, "w.weight");
                    for (int k = 0; k < 72; k++) x[k] = 1.5f + x[k];
                    for (int k = 0; k < lens_tensor_count(&it.value); k++) it.value.data[k] += 1.5f;
                    lens_net_touched(p.net);
                }
                expect_formula(&p, x, binary_formula, &c, c.fn);
                probe_end(&p);
            }
}

/* ---- reduce --------------------------------------------------------------------------------- */

typedef struct reduce_case {
    const char *fn, *axes;
} reduce_case;

enum { RC = 2, RH = 3, RW = 4 };

static double reduce_of(const char *fn, const double *v, int count) {
    double sum = 0, squares = 0, abs = 0, product = 1, exps = 0;
    int least = 0, best = 0;
    for (int i = 0; i < count; i++) {
        sum += v[i], squares += v[i] * v[i], abs += fabs(v[i]), product *= v[i], exps += exp(v[i]);
        if (v[i] > v[best]) best = i;
        if (v[i] < v[least]) least = i;
    }
    if (!strcmp(fn, "sum")) return sum;
    if (!strcmp(fn, "mean")) return sum / count;
    if (!strcmp(fn, "max")) return v[best];
    if (!strcmp(fn, "min")) return v[least];
    if (!strcmp(fn, "prod")) return product;
    if (!strcmp(fn, "l1")) return abs;
    if (!strcmp(fn, "l2")) return sqrt(squares);
    if (!strcmp(fn, "log_sum")) return log(sum);
    if (!strcmp(fn, "log_sum_exp")) return log(exps);
    if (!strcmp(fn, "sum_square")) return squares;
    return strncmp(fn, "argmax", 6) ? least : best; /* no equal values among them */
}

static void reduce_formula(const void *arg, int n, const double *x, const double *w, double *y) {
    (void)w;
    const reduce_case *k = arg;
    bool c = strchr(k->axes, 'c'), h = strchr(k->axes, 'h'), l = strchr(k->axes, 'w');
    for (int i = 0; i < n; i++)
        for (int c0 = 0; c0 < (c ? 1 : RC); c0++)
            for (int h0 = 0; h0 < (h ? 1 : RH); h0++)
                for (int w0 = 0; w0 < (l ? 1 : RW); w0++) {
                    double v[RC * RH * RW];
                    int count = 0;
                    for (int a = c0; a < (c ? RC : c0 + 1); a++)
                        for (int b = h0; b < (h ? RH : h0 + 1); b++)
                            for (int d = w0; d < (l ? RW : w0 + 1); d++)
                                v[count++] = x[((i * RC + a) * RH + b) * RW + d];
                    *y++ = reduce_of(k->fn, v, count);
                }
}

static void reduce(void **state) {
    (void)state;
    static const char *const fns[] = { "sum",         "mean",       "max",    "min",
                                       "prod",        "l1",         "l2",     "log_sum",
                                       "log_sum_exp", "sum_square", "argmax", "argmin",
                                       "argmax_last", "argmin_last" };
    static const char *const axes[] = { "c", "h", "w", "hw", "ch", "cw", "whc" };
    for (size_t f = 0; f < LENS_COUNT(fns); f++)
        for (size_t a = 0; a < LENS_COUNT(axes); a++) {
            reduce_case k = { fns[f], axes[a] };
            probe p = probe_start(1, 2, RC, RH, RW);
            float x[2 * RC * RH * RW];
            random_floats(x, LENS_COUNT(x), 8);
            if (!strcmp(k.fn, "log_sum"))
                for (size_t i = 0; i < LENS_COUNT(x); i++) x[i] += 1.5f;
            probe_finish(&p, lens_reduce(p.x, "r", (lens_reduce_opts){ k.fn, k.axes }));
            expect_formula(&p, x, reduce_formula, &k, k.fn);
            probe_end(&p);
        }
}

static void reduce_edges(void **state) {
    (void)state;
    struct {
        const char *fn, *x, *y, *dx;
    } list[] = {
        { "argmax", "3 5 5 1", "1", "0 0 0 0" },
        { "argmax_last", "3 5 5 1", "2", "0 0 0 0" },
        { "argmin", "3 1 5 1", "1", "0 0 0 0" },
        { "argmin_last", "3 1 5 1", "3", "0 0 0 0" },
        { "max", "3 5 5 1", "5", "0 1 0 0" },
        { "prod", "2 0 3 4", "0", "0 24 0 0" },
        { "prod", "2 0 0 4", "0", "0 0 0 0" },
        { "l2", "0 0 0 0", "0", "0 0 0 0" },
        { "log_sum_exp", "1000 1000 -1e9 -1e9", "1000.693147", ".5 .5 0 0" },
    };
    for (size_t i = 0; i < LENS_COUNT(list); i++) {
        probe p = probe_start(1, 1, 1, 2, 2);
        probe_finish(&p, lens_reduce(p.x, "r", (lens_reduce_opts){ .fn = list[i].fn }));
        expect_numbers(probe_run_text(&p, list[i].x), list[i].y, 1e-4);
        expect_numbers(probe_back_text(&p, "1"), list[i].dx, 1e-6);
        probe_end(&p);
    }
}

/* ---- rearrange ------------------------------------------------------------------------------ */

static void rearrange(void **state) {
    (void)state;
    struct {
        int c, h, w;
        lens_rearrange_opts o;
        const char *y, *dx; /* of x = 0, 1, 2 ... and dy = 1, 2, 3 ... */
    } list[] = {
        { 2, 3, 1, { "2x3", "1,0", NULL, 0 }, "0 3 1 4 2 5", "1 3 5 2 4 6" },
        { 1, 2, 3, { "6", NULL, "1:2:3", 0 }, "1 4", "0 1 0 0 2 0" },
        { 1, 2, 3, { "2x3", NULL, ";_:1 2:3:-1 _", 7 }, "7 2 1 0 7 7 5 4 3 7", "4 3 2 9 8 7" },
        { 1, 1, 3, { "1x1x3", NULL, "0 0;0 0;0:3", 0 }, "0 1 2 0 1 2 0 1 2 0 1 2", "22 26 30" },
        { 2, 2, 2, { "2x2x2", "2,1,0", "1;0:2;", 0 }, "1 5 3 7", "0 1 0 3 0 2 0 4" },
        { 2,
          3,
          2,
          { "2x3x1x2", "3,0,2,1", ";;;2:2:-2", 0 },
          "4 0 10 6 5 1 11 7",
          "2 6 0 0 1 5 4 8 0 0 3 7" },
    };
    for (size_t i = 0; i < LENS_COUNT(list); i++) {
        probe p = probe_start(1, 2, list[i].c, list[i].h, list[i].w);
        probe_finish(&p, lens_rearrange(p.x, "r", list[i].o));
        float x[64], dy[64];
        size_t x_count = probe_x_count(&p), y_count = probe_y_count(&p);
        for (size_t k = 0; k < x_count; k++) x[k] = (float)(k % (x_count / 2));
        for (size_t k = 0; k < y_count; k++) dy[k] = (float)(k % (y_count / 2) + 1);
        const float *y = probe_run(&p, x);
        expect_numbers(y, list[i].y, 0);
        expect_numbers(y + y_count / 2, list[i].y, 0);
        const float *dx = probe_back(&p, dy);
        expect_numbers(dx, list[i].dx, 0);
        expect_numbers(dx + x_count / 2, list[i].dx, 0);
        probe_end(&p);
    }
}

static void rearrange_refused(void **state) {
    (void)state;
    struct {
        lens_rearrange_opts o;
        const char *why;
    } list[] = {
        { { NULL, NULL, NULL, 0 }, "shape must be" },
        { { "2x", NULL, NULL, 0 }, "shape must be" },
        { { "1x1x1x1x1x1x1x1x6", NULL, NULL, 0 }, "shape must be" },
        { { "2x2", NULL, NULL, 0 }, "shape is 2x2" },
        { { "2x3", "0,0", NULL, 0 }, "each axis once" },
        { { "2x3", "0", NULL, 0 }, "each axis once" },
        { { "2x3", "0,1,2", NULL, 0 }, "each axis once" },
        { { "2x3", NULL, "2", 0 }, "outside the axis" },
        { { "2x3", NULL, "0", 0 }, "fewer axes" },
        { { "2x3", NULL, ";;0", 0 }, "more axes" },
        { { "2x3", NULL, ";1:3", 0 }, "outside the axis" },
        { { "2x3", NULL, ";1:3:-1", 0 }, "outside the axis" },
        { { "2x3", NULL, ";0:0", 0 }, "no place" },
        { { "2x3", NULL, ";a", 0 }, "must be runs" },
        { { "2x3", NULL, "_:2147483647;_:2147483647", 0 }, "too many numbers" },
    };
    for (size_t i = 0; i < LENS_COUNT(list); i++) {
        lens_ctx *ctx = test_ctx(1);
        lens_net *net = lens_net_new(ctx, "n");
        assert_null(lens_rearrange(lens_input(net, "x", 2, 3, 1), "r", list[i].o));
        if (!strstr(lens_why(ctx), list[i].why))
            fail_msg("\"%s\" lacks \"%s\"", lens_why(ctx), list[i].why);
        lens_net_free(net);
        lens_ctx_free(ctx);
    }
}

/* ---- matmul, parameter ---------------------------------------------------------------------- */

typedef struct product {
    int ca, cb, m, k, n;
    bool swapped; /* the parameter is the first input */
} product;

static void product_formula(const void *arg, int n, const double *x, const double *w, double *y) {
    const product *p = arg;
    int c = most(p->ca, p->cb), a_size = p->ca * p->m * p->k, b_size = p->cb * p->k * p->n;
    for (int s = 0; s < n; s++) {
        const double *a = p->swapped ? w : x + s * a_size, *b = p->swapped ? x + s * b_size : w;
        for (int i = 0; i < c; i++)
            for (int r = 0; r < p->m; r++)
                for (int q = 0; q < p->n; q++, y++) {
                    *y = 0;
                    for (int k = 0; k < p->k; k++)
                        *y += a[(i % p->ca * p->m + r) * p->k + k] *
                              b[(i % p->cb * p->k + k) * p->n + q];
                }
    }
}

static void matmul(void **state) {
    (void)state;
    static const product list[] = {
        { 1, 1, 3, 4, 5, false }, { 3, 1, 2, 5, 3, false },  { 1, 3, 4, 3, 2, false },
        { 2, 2, 1, 7, 1, false }, { 2, 2, 17, 3, 9, false },
    };
    for (size_t i = 0; i < LENS_COUNT(list); i++)
        for (int swapped = 0; swapped < 2; swapped++) {
            product c = list[i];
            c.swapped = swapped;
            probe p =
                swapped ? probe_start(1, 2, c.cb, c.k, c.n) : probe_start(1, 2, c.ca, c.m, c.k);
            lens_parameter_opts o = swapped ? (lens_parameter_opts){ c.ca, c.m, c.k, false }
                                            : (lens_parameter_opts){ c.cb, c.k, c.n, false };
            lens_node *w = lens_parameter(p.x, "w", o);
            probe_finish(&p, swapped ? lens_matmul(w, p.x, "y") : lens_matmul(p.x, w, "y"));
            probe_random(&p, 3);
            float x[256];
            random_floats(x, 256, 2);
            expect_formula(&p, x, product_formula, &c, "matmul");
            probe_end(&p);
        }
}

static void parameter(void **state) {
    (void)state;
    probe p = probe_start(1, 3, 1, 1, 1);
    probe_finish(&p, lens_parameter(p.x, "w", (lens_parameter_opts){ 1, 1, 2, false }));
    probe_set(&p, "w.weight", "5 7");
    expect_numbers(probe_run_text(&p, "1 2 3"), "5 7 5 7 5 7", 0);
    expect_numbers(probe_back_text(&p, "1 2 3 4 5 6"), "0 0 0", 0);
    expect_numbers(probe_grad(&p, "w.weight"), "9 12", 0);
    probe_end(&p);
    probe q = probe_start(1, 1, 1, 1, 2);
    lens_node *w = lens_parameter(q.x, "w", (lens_parameter_opts){ 1, 1, 2, .fixed = true });
    probe_finish(&q, lens_binary(q.x, w, "y", (lens_binary_opts){ "mul" }));
    assert_int_equal(lens_net_parameters(q.net), 0);
    assert_false(probe_param(&q, "w.weight").trainable);
    probe_set(&q, "w.weight", "3 4");
    expect_numbers(probe_run_text(&q, "1 2"), "3 8", 0);
    expect_numbers(probe_back_text(&q, "1 1"), "3 4", 0);
    probe_end(&q);
}

static void refused(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
#define REFUSED(status, why, build)                                                                \
    do {                                                                                           \
        lens_net *net = lens_net_new(ctx, "n");                                                    \
        lens_node *x = lens_input(net, "x", 2, 3, 4);                                              \
        assert_null(build);                                                                        \
        assert_fails(ctx, status, why, lens_net_finish(net, x));                                   \
        lens_net_free(net);                                                                        \
    } while (0)
    REFUSED(LENS_BAD_ARG, "no function 'cube'",
            lens_unary(x, "f", (lens_unary_opts){ "cube", 0, 0 }));
    REFUSED(LENS_BAD_ARG, "alpha inf",
            lens_unary(x, "f", (lens_unary_opts){ "clip", INFINITY, 0 }));
    REFUSED(LENS_BAD_ARG, "'mean' of two", lens_binary(x, x, "f", (lens_binary_opts){ "mean" }));
    REFUSED(LENS_BAD_SHAPE, "is 2x3x4 but the second is 24",
            lens_binary(x, lens_flatten(x, NULL), "f", (lens_binary_opts){ "add" }));
    REFUSED(LENS_BAD_ARG, "no reduction 'median'",
            lens_reduce(x, "f", (lens_reduce_opts){ "median", NULL }));
    REFUSED(LENS_BAD_ARG, "letters of chw", lens_reduce(x, "f", (lens_reduce_opts){ "sum", "n" }));
    REFUSED(LENS_BAD_SHAPE, "expected CxMxK and CxKxN", lens_matmul(x, x, "f"));
    REFUSED(LENS_BAD_ARG, "height is 0",
            lens_parameter(x, "f", (lens_parameter_opts){ 1, 0, 1, false }));
    REFUSED(LENS_BAD_SHAPE, "24 numbers", lens_reshape1d(x, "f", 5, 5));
    lens_ctx_free(ctx);
}

/* Large enough for every thread: the same bits with 1 thread and with 3. */
static void same_bits(void **state) {
    (void)state;
    enum { N = 3, C = 8, S = 40 };
    static float x[N * C * S * S], dy[N * C * S * S];
    float *kept[2][3] = { { 0 } };
    size_t y_count = 0, x_count = 0, w_count = 0;
    random_floats(x, LENS_COUNT(x), 1);
    random_floats(dy, LENS_COUNT(dy), 2);
    for (int i = 0; i < 2; i++) {
        probe p = probe_start(i ? 3 : 1, N, C, S, S);
        lens_node *w = lens_parameter(p.x, "w", (lens_parameter_opts){ C, 1, S, false });
        lens_node *y = lens_unary(p.x, NULL, (lens_unary_opts){ "gelu", 0, 0 });
        y = lens_matmul(lens_binary(y, w, NULL, (lens_binary_opts){ "mul" }), p.x, NULL);
        y = lens_rearrange(y, NULL, (lens_rearrange_opts){ "8x40x40", "2,1,0", NULL, 0 });
        lens_node *total = lens_reduce(y, NULL, (lens_reduce_opts){ "log_sum_exp", "w" });
        probe_finish(&p, lens_binary(y, total, NULL, (lens_binary_opts){ "sub" }));
        probe_random(&p, 4);
        y_count = probe_y_count(&p), x_count = probe_x_count(&p), w_count = C * S;
        const float *from[3];
        size_t counts[] = { y_count, x_count, w_count };
        kept[i][0] = calloc(y_count, sizeof(float));
        memcpy(kept[i][0], probe_run(&p, x), y_count * sizeof(float));
        from[1] = probe_back(&p, dy);
        from[2] = probe_grad(&p, "w.weight");
        for (int k = 1; k < 3; k++) {
            kept[i][k] = calloc(counts[k], sizeof(float));
            memcpy(kept[i][k], from[k], counts[k] * sizeof(float));
        }
        probe_end(&p);
    }
    assert_memory_equal(kept[0][0], kept[1][0], y_count * sizeof(float));
    assert_memory_equal(kept[0][1], kept[1][1], x_count * sizeof(float));
    assert_memory_equal(kept[0][2], kept[1][2], w_count * sizeof(float));
    for (int i = 0; i < 6; i++) free(kept[i / 3][i % 3]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("unary: every function and its slope", unary),
        T("unary: far out and at the bends", unary_edges),
        T("binary: every function, repeated axes, both inputs", binary),
        T("reduce: every function over all choices of axes", reduce),
        T("reduce: equal values, zeros, large numbers", reduce_edges),
        T("rearrange: transposed, sliced, turned, padded, tiled", rearrange),
        T("rearrange: texts that are refused", rearrange_refused),
        T("matmul: shared matrices on either side", matmul),
        T("parameter: trained and fixed", parameter),
        T("what does not fit is named", refused),
        T("the same bits with 1 thread and 3", same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
