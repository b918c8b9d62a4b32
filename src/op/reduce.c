/* reduce.c - one number for all that lie along some axes of a sample: sum, mean, maximum ... The axes
 * keep size 1.
 *
 * Invariant: a result is one chain over rows, then columns, in double; an item is one result, so bits do
 * not depend on threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <math.h>
#include <string.h>

typedef enum reduce_fn {
    SUM,
    MEAN,
    MAX,
    MIN,
    PROD,
    L1,
    L2,
    LOG_SUM,
    LOG_SUM_EXP,
    SUM_SQUARE,
    ARGMAX,
    ARGMIN,
    ARGMAX_LAST,
    ARGMIN_LAST,
    FUNCTIONS
} reduce_fn;

static const char *const names[FUNCTIONS] = {
    "sum",     "mean",        "max",        "min",    "prod",   "l1",          "l2",
    "log_sum", "log_sum_exp", "sum_square", "argmax", "argmin", "argmax_last", "argmin_last",
};

static reduce_fn find(const char *name) {
    int i = 0;
    while (i < FUNCTIONS && (!name || strcmp(names[i], name))) i++;
    return (reduce_fn)i;
}

static const op_option options[] = {
    { "fn", OP_STRING, offsetof(lens_reduce_opts, fn), "the function; required" },
    { "axes", OP_STRING, offsetof(lens_reduce_opts, axes), "letters of c, h, w; default hw" },
    { 0 },
};

static const char *axes_of(const op_node *node) {
    const lens_reduce_opts *o = node->opts;
    return o->axes ? o->axes : "hw";
}

static bool along(const op_node *node, char axis) { return strchr(axes_of(node), axis) != NULL; }

static lens_status infer(op_node *node) {
    const lens_reduce_opts *o = node->opts;
    const char *axes = axes_of(node);
    shape in = node->in[0];
    if (find(o->fn) == FUNCTIONS)
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: there is no reduction '%.40s'", node->name,
                        o->fn ? o->fn : "");
    if (!*axes || strspn(axes, "chw") != strlen(axes))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: axes is '%.40s', expected letters of chw",
                        node->name, axes);
    node->out = (shape){ .rank = in.rank,
                         .c = along(node, 'c') ? 1 : in.c,
                         .h = along(node, 'h') ? 1 : in.h,
                         .w = along(node, 'w') ? 1 : in.w };
    op_window_point(node);
    if (along(node, 'h')) node->window.kh = in.h;
    if (along(node, 'w')) node->window.kw = in.w;
    snprintf(node->label, sizeof node->label, "%s of %.8s", o->fn, axes);
    return LENS_OK;
}

/* The numbers behind one result: `c` x `h` x `w` of them from `x` on. */
typedef struct block {
    size_t at;
    size_t c, h, w, step_c, step_h;
} block;

static block block_of(const op_node *node, size_t item) {
    shape in = node->in[0], out = node->out;
    size_t w = item % (size_t)out.w, rest = item / (size_t)out.w;
    size_t h = rest % (size_t)out.h;
    rest /= (size_t)out.h;
    size_t c = rest % (size_t)out.c, n = rest / (size_t)out.c;
    size_t row = (size_t)in.w, plane = row * (size_t)in.h;
    return (block){ .at = n * plane * (size_t)in.c + c * plane + h * row + w,
                    .c = (size_t)(in.c / out.c),
                    .h = (size_t)(in.h / out.h),
                    .w = (size_t)(in.w / out.w),
                    .step_c = plane,
                    .step_h = row };
}

#define EACH(b, i)                                                                                 \
    for (size_t bc = 0; bc < (b).c; bc++)                                                          \
        for (size_t bh = 0; bh < (b).h; bh++)                                                      \
            for (size_t i = (b).at + bc * (b).step_c + bh * (b).step_h, bw = 0; bw < (b).w;        \
                 i++, bw++)

/* The place of the extreme value in the block, counted along it; *where is its place in x. */
static size_t extreme(const float *x, block b, bool smallest, bool last, size_t *where) {
    size_t best = 0, k = 0;
    *where = b.at;
    EACH(b, i) {
        float have = x[*where], now = x[i];
        bool better = smallest ? now < have : now > have;
        if (better || (now != now && have == have) || (last && now == have)) {
            best = k;
            *where = i;
        }
        k++;
    }
    return best;
}

static double value_of(reduce_fn fn, const float *x, block b) {
    double sum = 0, most = -INFINITY;
    size_t where, count = b.c * b.h * b.w;
    switch (fn) {
    case MAX: extreme(x, b, false, false, &where); return (double)x[where];
    case MIN: extreme(x, b, true, false, &where); return (double)x[where];
    case ARGMAX: return (double)extreme(x, b, false, false, &where);
    case ARGMIN: return (double)extreme(x, b, true, false, &where);
    case ARGMAX_LAST: return (double)extreme(x, b, false, true, &where);
    case ARGMIN_LAST: return (double)extreme(x, b, true, true, &where);
    case PROD:
        sum = 1;
        EACH(b, i) sum *= (double)x[i];
        return sum;
    case L1: EACH(b, i) sum += fabs((double)x[i]); return sum;
    case L2:
    case SUM_SQUARE:
        EACH(b, i) sum += (double)x[i] * (double)x[i];
        return fn == L2 ? sqrt(sum) : sum;
    case LOG_SUM_EXP:
        /* Not fmax: GCC 12 for AArch64 ends here with an internal error. */
        EACH(b, i) if (!((double)x[i] <= most)) most = (double)x[i];
        EACH(b, i) sum += exp((double)x[i] - most);
        return most + log(sum);
    default:
        EACH(b, i) sum += (double)x[i];
        return fn == MEAN ? sum / (double)count : fn == LOG_SUM ? log(sum) : sum;
    }
}

/* dx over the block of one result. */
static void slope_of(reduce_fn fn, const float *x, block b, double y, double dy, float *dx) {
    size_t where, zeros = 0;
    double others = 1;
    switch (fn) {
    case MAX:
    case MIN:
        extreme(x, b, fn == MIN, false, &where);
        EACH(b, i) dx[i] = i == where ? (float)dy : 0;
        return;
    case ARGMAX:
    case ARGMIN:
    case ARGMAX_LAST:
    case ARGMIN_LAST: /* steps have no slope */ EACH(b, i) dx[i] = 0; return;
    case PROD: /* of the others: y/x, or where one x is 0 the product without it */
        EACH(b, i) {
            if (x[i] == 0)
                zeros++;
            else
                others *= (double)x[i];
        }
        EACH(b, i) {
            bool reached = zeros == 0 || (zeros == 1 && x[i] == 0);
            dx[i] = !reached ? 0 : (float)(dy * others / (zeros ? 1 : (double)x[i]));
        }
        return;
    case L1: EACH(b, i) dx[i] = (float)(x[i] > 0 ? dy : x[i] < 0 ? -dy : 0); return;
    case L2: EACH(b, i) dx[i] = y > 0 ? (float)(dy * (double)x[i] / y) : 0; return;
    case SUM_SQUARE: EACH(b, i) dx[i] = (float)(2 * dy * (double)x[i]); return;
    case LOG_SUM_EXP: EACH(b, i) dx[i] = (float)(dy * exp((double)x[i] - y)); return;
    default:
        if (fn == MEAN) dy /= (double)(b.c * b.h * b.w);
        if (fn == LOG_SUM) dy /= exp(y);
        EACH(b, i) dx[i] = (float)dy;
        return;
    }
}

static void forward_items(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    reduce_fn fn = find(((const lens_reduce_opts *)r->node->opts)->fn);
    for (size_t i = first; i < last; i++)
        r->y[i] = (float)value_of(fn, r->x[0], block_of(r->node, i));
}

static void backward_items(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    reduce_fn fn = find(((const lens_reduce_opts *)r->node->opts)->fn);
    for (size_t i = first; i < last; i++) {
        block b = block_of(r->node, i);
        slope_of(fn, r->x[0], b, value_of(fn, r->x[0], b), (double)r->dy[i], r->dx[0]);
    }
}

static void run(const op_run *r, op_range_fn *fn) {
    size_t out = shape_count(r->node->out);
    op_each(r->pool, (size_t)r->n * out, 2 * shape_count(r->node->in[0]) / out, fn, r);
}

static void forward(const op_run *r) { run(r, forward_items); }

static void backward(const op_run *r) {
    if (r->dx[0]) run(r, backward_items);
}

const op_kind op_reduce = {
    .name = "reduce",
    .formula = "y = f of all x along the axes, which keep size 1",
    .flags = OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_reduce_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
