/* binary.c - y = f(a, b), element by element, for the functions of a table. Along an axis where one input
 * has size 1 it is repeated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/functions.h"
#include "op/parts.h"

#include <math.h>
#include <string.h>

/* f(a, b), and its derivatives with respect to both. */
typedef double value_fn(double a, double b);
typedef void slope_fn(double a, double b, double *da, double *db);

#define ROWS(name, value, to_a, to_b)                                                              \
    static double f_##name(double a, double b) {                                                   \
        (void)a, (void)b;                                                                          \
        return value;                                                                              \
    }                                                                                              \
    static void f_##name##_slope(double a, double b, double *da, double *db) {                     \
        (void)a, (void)b;                                                                          \
        *da = to_a;                                                                                \
        *db = to_b;                                                                                \
    }
/* clang-format off */
ROWS(add,     a + b,     1, 1)
ROWS(sub,     a - b,     1, -1)
ROWS(mul,     a * b,     b, a)
ROWS(div,     a / b,     1 / b, -a / (b * b))
ROWS(pow,     pow(a, b), b * pow(a, b - 1), a > 0 ? pow(a, b) * log(a) : 0)
/* Of equal values the first counts; a NaN wins. */
ROWS(max,     a >= b || isnan(a) ? a : b, a >= b ? 1 : 0, a >= b ? 0 : 1)
ROWS(min,     a <= b || isnan(a) ? a : b, a <= b ? 1 : 0, a <= b ? 0 : 1)
ROWS(prelu,   a >= 0 ? a : a * b,         a >= 0 ? 1 : b, a >= 0 ? 0 : a)
ROWS(less,    a < b,     0, 0)
ROWS(greater, a > b,     0, 0)
ROWS(equal,   a == b,    0, 0)
/* clang-format on */

static const struct function {
    const char *name;
    value_fn *value;
    slope_fn *slope;
} table[] = {
#define ROW(name)                                                                                  \
    { #name, f_##name, f_##name##_slope }
    ROW(add), ROW(sub),   ROW(mul),  ROW(div),     ROW(pow),   ROW(max),
    ROW(min), ROW(prelu), ROW(less), ROW(greater), ROW(equal),
#undef ROW
};

static const struct function *find(const char *name) {
    for (size_t i = 0; name && i < LENS_COUNT(table); i++)
        if (!strcmp(table[i].name, name)) return &table[i];
    return NULL;
}

const char *binary_name(int index) {
    return index >= 0 && (size_t)index < LENS_COUNT(table) ? table[index].name : NULL;
}

double binary_value(const char *name, double a, double b) {
    const struct function *f = find(name);
    return f ? f->value(a, b) : (double)NAN;
}

static const op_option options[] = {
    { "fn", OP_STRING, offsetof(lens_binary_opts, fn), "the function; required" },
    { 0 },
};

static int joined(int a, int b) { return a == b || b == 1 ? a : a == 1 ? b : 0; }

static lens_status infer(op_node *node) {
    const lens_binary_opts *o = node->opts;
    shape a = node->in[0], b = node->in[1];
    char text_a[48], text_b[48];
    if (!find(o->fn))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: there is no function '%.40s' of two numbers",
                        node->name, o->fn ? o->fn : "");
    node->out = (shape){ .rank = a.rank > b.rank ? a.rank : b.rank,
                         .c = joined(a.c, b.c),
                         .h = joined(a.h, b.h),
                         .w = joined(a.w, b.w) };
    if (!shape_count(node->out))
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: the first input is %s but the second is %s: sizes must be equal, or 1",
                        node->name, op_shape_text(a, text_a), op_shape_text(b, text_b));
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "%s", o->fn);
    return LENS_OK;
}

/* Steps through an input along the axes of the output; 0 where it repeats. */
typedef struct steps {
    size_t sample, c, h, w;
} steps;

static steps steps_of(shape s) {
    size_t plane = (size_t)s.h * (size_t)s.w;
    return (steps){ .sample = plane * (size_t)s.c,
                    .c = s.c > 1 ? plane : 0,
                    .h = s.h > 1 ? (size_t)s.w : 0,
                    .w = s.w > 1 };
}

/* An item is a plane of the output. */
static void forward_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    value_fn *value = find(((const lens_binary_opts *)r->node->opts)->fn)->value;
    shape out = r->node->out;
    steps sa = steps_of(r->node->in[0]), sb = steps_of(r->node->in[1]);
    float *y = r->y + first * (size_t)out.h * (size_t)out.w;
    for (size_t p = first; p < last; p++) {
        size_t n = p / (size_t)out.c, c = p % (size_t)out.c;
        const float *a = r->x[0] + n * sa.sample + c * sa.c;
        const float *b = r->x[1] + n * sb.sample + c * sb.c;
        for (size_t h = 0; h < (size_t)out.h; h++)
            for (size_t w = 0; w < (size_t)out.w; w++)
                *y++ = (float)value((double)a[h * sa.h + w * sa.w], (double)b[h * sb.h + w * sb.w]);
    }
}

/* dx of input `k` at one place: the sum over the part of the output that repeats it. */
static double gathered(const op_run *r, int k, size_t n, size_t c, size_t h, size_t w) {
    const op_node *node = r->node;
    slope_fn *slope = find(((const lens_binary_opts *)node->opts)->fn)->slope;
    shape in = node->in[k], out = node->out;
    steps sa = steps_of(node->in[0]), sb = steps_of(node->in[1]), so = steps_of(out);
    size_t ec = in.c == out.c ? c + 1 : (size_t)out.c, eh = in.h == out.h ? h + 1 : (size_t)out.h;
    size_t ew = in.w == out.w ? w + 1 : (size_t)out.w;
    const float *a = r->x[0] + n * sa.sample, *b = r->x[1] + n * sb.sample;
    const float *dy = r->dy + n * so.sample;
    double sum = 0;
    for (size_t i = c; i < ec; i++)
        for (size_t j = h; j < eh; j++)
            for (size_t l = w; l < ew; l++) {
                double d[2];
                slope((double)a[i * sa.c + j * sa.h + l * sa.w],
                      (double)b[i * sb.c + j * sb.h + l * sb.w], &d[0], &d[1]);
                sum += d[k] * (double)dy[i * so.c + j * so.h + l * so.w];
            }
    return sum;
}

typedef struct side {
    const op_run *run;
    int input;
} side;

/* An item is a plane of the input. */
static void backward_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const side *s = arg;
    shape in = s->run->node->in[s->input];
    float *dx = s->run->dx[s->input] + first * (size_t)in.h * (size_t)in.w;
    for (size_t p = first; p < last; p++)
        for (size_t h = 0; h < (size_t)in.h; h++)
            for (size_t w = 0; w < (size_t)in.w; w++)
                *dx++ = (float)gathered(s->run, s->input, p / (size_t)in.c, p % (size_t)in.c, h, w);
}

static void forward(const op_run *r) {
    shape out = r->node->out;
    op_each(r->pool, (size_t)r->n * (size_t)out.c, 6 * (size_t)out.h * (size_t)out.w,
            forward_planes, r);
}

static void backward(const op_run *r) {
    for (int k = 0; k < 2; k++) {
        shape in = r->node->in[k];
        size_t repeats = shape_count(r->node->out) / shape_count(in);
        if (r->dx[k])
            op_each(r->pool, (size_t)r->n * (size_t)in.c,
                    16 * repeats * (size_t)in.h * (size_t)in.w, backward_planes, &(side){ r, k });
    }
}

const op_kind op_binary = {
    .name = "binary",
    .formula = "y = f(a, b), element by element; along an axis of size 1 an input repeats",
    .flags = OP_NEEDS_X,
    .min_inputs = 2,
    .max_inputs = 2,
    .opts_size = sizeof(lens_binary_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
