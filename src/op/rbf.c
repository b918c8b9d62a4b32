/* rbf.c - Euclidean radial basis outputs (LeCun 1998, section II.B): the distance of the features
 * from one centre per class, negated so that the largest wins.
 *
 *     y[n,k] = - sum over j of (x[n,j] - w[k,j])^2
 *     dx[n,j] = -2 * sum over k of dy[n,k]*(x[n,j] - w[k,j])
 *     dw[k,j] =  2 * sum over n of dy[n,k]*(x[n,j] - w[k,j])
 *
 * With codes "lenet5" the centres are fixed pictures of the digits, so that the outputs of similar
 * digits are similar and the 84 features mean something one can look at.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <string.h>

enum { DIGITS = 10, CODE_ROWS = 12, CODE_COLUMNS = 7, CODE = CODE_ROWS * CODE_COLUMNS };

static const op_option options[] = {
    { "out", OP_INT, offsetof(lens_rbf_opts, out), "centres; required" },
    { "codes", OP_STRING, offsetof(lens_rbf_opts, codes), "fixed centres: lenet5" },
    { 0 },
};

/* Row-major, 12 rows of 7; '#' is +1 and '.' is -1. */
static const char digit_codes[DIGITS][CODE + 1] = {
    /* 0 */ "..###.."
            ".#####."
            "##...##"
            "##...##"
            "##...##"
            "##...##"
            "##...##"
            "##...##"
            "##...##"
            "##...##"
            ".#####."
            "..###..",
    /* 1 */
    "...##.."
    "..###.."
    ".####.."
    "...##.."
    "...##.."
    "...##.."
    "...##.."
    "...##.."
    "...##.."
    "...##.."
    ".######"
    ".######",
    /* 2 */
    ".#####."
    "#######"
    "##...##"
    ".....##"
    ".....##"
    "....##."
    "...##.."
    "..##..."
    ".##...."
    "##....."
    "#######"
    "#######",
    /* 3 */
    "#######"
    "#######"
    ".....##"
    "....##."
    "...##.."
    "..####."
    ".....##"
    ".....##"
    ".....##"
    "##...##"
    "#######"
    ".#####.",
    /* 4 */
    "....##."
    "...###."
    "..####."
    ".##.##."
    ".##.##."
    "##..##."
    "##..##."
    "#######"
    "#######"
    "....##."
    "....##."
    "....##.",
    /* 5 */
    "#######"
    "#######"
    "##....."
    "##....."
    "##....."
    "######."
    "#######"
    ".....##"
    ".....##"
    "##...##"
    "#######"
    ".#####.",
    /* 6 */
    "..####."
    ".#####."
    "##....."
    "##....."
    "##....."
    "##.###."
    "#######"
    "##...##"
    "##...##"
    "##...##"
    "#######"
    ".#####.",
    /* 7 */
    "#######"
    "#######"
    ".....##"
    ".....##"
    "....##."
    "....##."
    "...##.."
    "...##.."
    "..##..."
    "..##..."
    "..##..."
    "..##...",
    /* 8 */
    ".#####."
    "#######"
    "##...##"
    "##...##"
    "##...##"
    ".#####."
    ".#####."
    "##...##"
    "##...##"
    "##...##"
    "#######"
    ".#####.",
    /* 9 */
    ".#####."
    "#######"
    "##...##"
    "##...##"
    "##...##"
    "#######"
    ".###.##"
    ".....##"
    ".....##"
    ".....##"
    ".#####."
    ".####..",
};
static lens_status infer(op_node *node) {
    const lens_rbf_opts *o = node->opts;
    size_t features = shape_count(node->in[0]);
    LENS_TRY(op_check_range(node, "out", o->out, 1, OP_MAX_DIM));
    if (o->codes && strcmp(o->codes, "lenet5"))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: codes \"%s\" is unknown; there is \"lenet5\"",
                        node->name, o->codes);
    if (o->codes && (features != CODE || o->out != DIGITS))
        return ctx_fail(
            node->ctx, LENS_BAD_SHAPE,
            "%s: codes \"lenet5\" need %d inputs and %d outputs but there are %zu and %d",
            node->name, CODE, DIGITS, features, o->out);
    if (features > OP_MAX_DIM)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE, "%s: %zu features, but at most %d are supported",
                        node->name, features, OP_MAX_DIM);
    size_t count = features * (size_t)o->out;
    if (count > INT32_MAX)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE, "%s: %zux%d weights are more than %d",
                        node->name, features, o->out, INT32_MAX);
    node->params = 1;
    node->param[0] = (op_param){ .suffix = "weight",
                                 .rank = 2,
                                 .dim = { o->out, (int64_t)features },
                                 .count = count,
                                 .parameters = o->codes ? 0 : (int64_t)count,
                                 .trainable = !o->codes,
                                 .fan_in = (int)features,
                                 .fan_out = o->out };
    node->connections = (int64_t)count;
    node->out = (shape){ .rank = 2, .c = o->out, .h = 1, .w = 1 };
    op_window_point(node);
    node->window.kh = node->in[0].h;
    node->window.kw = node->in[0].w;
    snprintf(node->label, sizeof node->label, "rbf %d", o->out);
    return LENS_OK;
}

static void fixed(const op_node *node, int param, float *value) {
    const lens_rbf_opts *o = node->opts;
    (void)param;
    if (!o->codes) {
        memset(value, 0, node->param[0].count * sizeof *value);
        return;
    }
    for (int k = 0; k < DIGITS; k++)
        for (int j = 0; j < CODE; j++)
            value[k * CODE + j] = digit_codes[k][j] == '#' ? 1.0f : -1.0f;
}

/* Four sums by j % 4, so that additions need not wait for each other. */
static double distance(size_t count, const float *x, const float *w) {
    double part[4] = { 0 };
    size_t j = 0;
    for (; j + 4 <= count; j += 4)
        for (size_t i = 0; i < 4; i++) {
            double d = (double)x[j + i] - (double)w[j + i];
            part[i] += d * d;
        }
    for (; j < count; j++) {
        double d = (double)x[j] - (double)w[j];
        part[j % 4] += d * d;
    }
    return (part[0] + part[2]) + (part[1] + part[3]);
}

static void forward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    size_t features = shape_count(r->node->in[0]), out = (size_t)r->node->out.c;
    for (size_t n = first; n < last; n++)
        for (size_t k = 0; k < out; k++)
            r->y[n * out + k] =
                (float)-distance(features, r->x[0] + n * features, r->param[0] + k * features);
}

static void backward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    size_t features = shape_count(r->node->in[0]), out = (size_t)r->node->out.c;
    for (size_t n = first; n < last; n++) {
        const float *x = r->x[0] + n * features;
        float *dx = r->dx[0] + n * features;
        memset(dx, 0, features * sizeof *dx);
        for (size_t k = 0; k < out; k++) {
            const float *w = r->param[0] + k * features;
            float factor = -2 * r->dy[n * out + k];
            for (size_t j = 0; j < features; j++) dx[j] += factor * (x[j] - w[j]);
        }
    }
}

static void backward_centres(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    size_t features = shape_count(r->node->in[0]), out = (size_t)r->node->out.c;
    for (size_t k = first; k < last; k++) {
        const float *w = r->param[0] + k * features;
        float *dw = r->dparam[0] + k * features;
        memset(dw, 0, features * sizeof *dw);
        for (size_t n = 0; n < (size_t)r->n; n++) {
            const float *x = r->x[0] + n * features;
            float factor = 2 * r->dy[n * out + k];
            for (size_t j = 0; j < features; j++) dw[j] += factor * (x[j] - w[j]);
        }
    }
}

static void forward(const op_run *r) {
    op_each(r->pool, (size_t)r->n, 2 * r->node->param[0].count, forward_samples, r);
}

static void backward(const op_run *r) {
    size_t features = shape_count(r->node->in[0]);
    if (r->dx[0]) op_each(r->pool, (size_t)r->n, 2 * r->node->param[0].count, backward_samples, r);
    if (r->dparam[0])
        op_each(r->pool, (size_t)r->node->out.c, 2 * features * (size_t)r->n, backward_centres, r);
}

const op_kind op_rbf = {
    .name = "rbf",
    .formula = "y[n,k] = - sum over j of (x[n,j] - weight[k,j])^2",
    .flags = OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_rbf_opts),
    .options = options,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .fixed = fixed,
};
