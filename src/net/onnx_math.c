/* onnx_math.c - operators of ONNX that compute with numbers, and no layer is made for: each becomes an
 * expression of general operators. On constants alone they are worked out at once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"
#include "op/functions.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Constants ------------------------------------------------------------------------------ */

static bool all_constant(const import *m, const onnx_node *n) {
    bool all = n->inputs > 0;
    for (int i = 0; i < n->inputs; i++) {
        const value *v = im_input(m, n, i);
        all &= im_is_constant(v) && im_count(v) <= FOLD_MAX && !v->turned;
    }
    return all;
}

static bool is_whole(const value *v) { return v->tensor ? !onnx_is_real(v->tensor) : v->whole; }

/* Where the number for place `i` of the result lies in a constant that is repeated along axes of 1. */
static int repeated(const value *y, const value *x, int64_t i) {
    int64_t at = 0, stride = 1;
    for (int d = y->rank - 1; d >= y->rank - x->rank; d--) {
        int64_t size = x->dim[d - (y->rank - x->rank)];
        at += size == 1 ? 0 : i % y->dim[d] * stride;
        stride *= size;
        i /= y->dim[d];
    }
    return (int)at;
}

/* output = fn(input a, input b), element by element. Sizes are whole: so is their quotient, towards 0. */
static lens_status fold_binary(import *m, const onnx_node *n, const char *fn, const value *a,
                               const value *b) {
    double x[FOLD_MAX], z[FOLD_MAX];
    int count;
    bool whole = is_whole(a) && is_whole(b);
    value *y;
    LENS_TRY(im_numbers(m, n, a, x, &count));
    LENS_TRY(im_numbers(m, n, b, z, &count));
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, whole, &y));
    int64_t total = 1;
    value joint = { .rank = a->rank > b->rank ? a->rank : b->rank };
    for (int d = 0; d < joint.rank; d++) {
        int64_t p = d < joint.rank - a->rank ? 1 : a->dim[d - (joint.rank - a->rank)];
        int64_t q = d < joint.rank - b->rank ? 1 : b->dim[d - (joint.rank - b->rank)];
        if (p != q && p != 1 && q != 1)
            return REFUSE(m, n, LENS_BAD_FILE, "%lld and %lld numbers", (long long)p, (long long)q);
        joint.dim[d] = p == 1 ? q : p;
        total *= joint.dim[d];
        if (total > FOLD_MAX)
            return REFUSE(m, n, LENS_UNSUPPORTED, "more than %d constants", FOLD_MAX);
    }
    for (int64_t i = 0; i < total; i++) {
        double p = x[repeated(&joint, a, i)], q = z[repeated(&joint, b, i)];
        bool unknown = whole && (p == (double)BATCH || q == (double)BATCH);
        bool compares = !strcmp(fn, "equal");
        if ((unknown && !compares) || (whole && !strcmp(fn, "div") && q == 0))
            return REFUSE(m, n, LENS_UNSUPPORTED, "arithmetic with the number of samples");
        double r = binary_value(fn, p, q);
        y->numbers[i] = whole ? trunc(r) : r;
    }
    y->rank = joint.rank;
    memcpy(y->dim, joint.dim, sizeof y->dim);
    return LENS_OK;
}

/* ---- One input ------------------------------------------------------------------------------ */

static const struct unary {
    const char *op, *fn, *alpha, *beta;
    float a, b; /* where the attribute is absent */
} unaries[] = {
    { "Abs", "abs", NULL, NULL, 0, 0 },
    { "Acos", "acos", NULL, NULL, 0, 0 },
    { "Acosh", "acosh", NULL, NULL, 0, 0 },
    { "Asin", "asin", NULL, NULL, 0, 0 },
    { "Asinh", "asinh", NULL, NULL, 0, 0 },
    { "Atan", "atan", NULL, NULL, 0, 0 },
    { "Atanh", "atanh", NULL, NULL, 0, 0 },
    { "Ceil", "ceil", NULL, NULL, 0, 0 },
    { "Celu", "celu", "alpha", NULL, 1, 0 },
    { "Cos", "cos", NULL, NULL, 0, 0 },
    { "Cosh", "cosh", NULL, NULL, 0, 0 },
    { "Elu", "elu", "alpha", NULL, 1, 0 },
    { "Erf", "erf", NULL, NULL, 0, 0 },
    { "Exp", "exp", NULL, NULL, 0, 0 },
    { "Floor", "floor", NULL, NULL, 0, 0 },
    { "Gelu", "gelu", NULL, NULL, 0, 0 },
    { "HardSigmoid", "hard_sigmoid", "alpha", "beta", 0.2f, 0.5f },
    { "HardSwish", "hard_swish", NULL, NULL, 0, 0 },
    { "Log", "log", NULL, NULL, 0, 0 },
    { "Mish", "mish", NULL, NULL, 0, 0 },
    { "Neg", "neg", NULL, NULL, 0, 0 },
    { "Reciprocal", "reciprocal", NULL, NULL, 0, 0 },
    { "Round", "round", NULL, NULL, 0, 0 },
    { "Selu", "selu", "alpha", "gamma", 1.67326319f, 1.05070102f },
    { "Shrink", "shrink", "lambd", "bias", 0.5f, 0 },
    { "Sign", "sign", NULL, NULL, 0, 0 },
    { "Sin", "sin", NULL, NULL, 0, 0 },
    { "Sinh", "sinh", NULL, NULL, 0, 0 },
    { "Softplus", "softplus", NULL, NULL, 0, 0 },
    { "Softsign", "softsign", NULL, NULL, 0, 0 },
    { "Sqrt", "sqrt", NULL, NULL, 0, 0 },
    { "Tan", "tan", NULL, NULL, 0, 0 },
    { "ThresholdedRelu", "thresholded_relu", "alpha", NULL, 1, 0 },
};

static lens_status unary(import *m, const onnx_node *n, const char *fn, double alpha, double beta) {
    char buf[NET_MAX_NAME + 1];
    part x;
    int rank = 0, count;
    LENS_TRY(im_rank(m, n, 0, &rank));
    if (all_constant(m, n)) {
        value *y;
        const value *v = im_input(m, n, 0);
        double list[FOLD_MAX];
        LENS_TRY(im_numbers(m, n, v, list, &count));
        LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, is_whole(v), &y));
        for (int i = 0; i < count; i++) {
            if (list[i] == (double)BATCH)
                return REFUSE(m, n, LENS_UNSUPPORTED, "arithmetic with the number of samples");
            y->numbers[i] = (double)unary_value(fn, (float)list[i], (float)alpha, (float)beta);
        }
        y->rank = v->rank;
        memcpy(y->dim, v->dim, sizeof y->dim);
        return LENS_OK;
    }
    LENS_TRY(im_part(m, n, 0, rank, &x));
    return im_give_part(m, n, 0, part_unary(x, fn, alpha, beta, im_name(m, n, NULL, buf)));
}

lens_status convert_unary(import *m, const onnx_node *n) {
    const struct unary *row = unaries;
    while (strcmp(row->op, n->op)) row++;
    float alpha = row->alpha ? im_attr_float(n, row->alpha, row->a) : 0;
    float beta = row->beta ? im_attr_float(n, row->beta, row->b) : 0;
    if ((row->a != 0 && alpha == 0) || (row->b != 0 && beta == 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "%s or %s of 0", row->alpha,
                      row->beta ? row->beta : row->alpha);
    if (onnx_attribute(n, "approximate") && !im_attr_is(n, "approximate", "none"))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only approximate=none");
    return unary(m, n, row->fn, (double)alpha, (double)beta);
}

/* Bounds are attributes before opset 11, then constant inputs; one that is absent is no bound. */
lens_status convert_clip(import *m, const onnx_node *n) {
    float low = im_attr_float(n, "min", -FLT_MAX), high = im_attr_float(n, "max", FLT_MAX);
    onnx_node alone = *n;
    if (im_has_input(n, 1)) LENS_TRY(im_float(m, n, im_input(m, n, 1), &low));
    if (im_has_input(n, 2)) LENS_TRY(im_float(m, n, im_input(m, n, 2), &high));
    if (!(fabsf(low) <= FLT_MAX)) low = -FLT_MAX;
    if (!(fabsf(high) <= FLT_MAX)) high = FLT_MAX;
    alone.inputs = imin(n->inputs, 1);
    return unary(m, &alone, "clip", (double)low, (double)high);
}

/* ---- Two inputs and more -------------------------------------------------------------------- */

/* x fn c, or with `swapped` c fn x, for one constant number c. */
static part with_number(part x, const char *fn, double c, bool swapped, const char *name) {
    if (!strcmp(fn, "add")) return part_unary(x, "affine", 1, c, name);
    if (!strcmp(fn, "sub"))
        return part_unary(x, "affine", swapped ? -1 : 1, swapped ? c : -c, name);
    if (!strcmp(fn, "mul")) return part_unary(x, "affine", c, 0, name);
    if (!strcmp(fn, "div") && !swapped) return part_unary(x, "affine", 1 / c, 0, name);
    if (!strcmp(fn, "div"))
        return part_unary(part_unary(x, "reciprocal", 0, 0, NULL), "affine", c, 0, name);
    return part_unary(x, "power", c, 0, name);
}

/* Whether input i is one number that leaves the shape of the other as it is. */
static bool one_number(import *m, const onnx_node *n, int i, double *c) {
    const value *v = im_input(m, n, i), *other = im_input(m, n, 1 - i);
    double list[FOLD_MAX];
    int count;
    if (!im_is_constant(v) || im_count(v) != 1 || v->rank > other->rank) return false;
    if (im_numbers(m, n, v, list, &count) != LENS_OK) return false;
    *c = list[0];
    return isfinite((float)*c);
}

static lens_status combine(import *m, const onnx_node *n, const char *fn) {
    char buf[NET_MAX_NAME + 1];
    part a, b;
    int ra = 0, rb = 0;
    double c;
    LENS_TRY(im_rank(m, n, 0, &ra));
    LENS_TRY(im_rank(m, n, 1, &rb));
    if (all_constant(m, n)) return fold_binary(m, n, fn, im_input(m, n, 0), im_input(m, n, 1));
    const char *name = im_name(m, n, NULL, buf);
    bool plain = !strcmp(fn, "add") || !strcmp(fn, "sub") || !strcmp(fn, "mul");
    for (int i = 0; i < 2; i++) /* input i is the number */
        if (one_number(m, n, i, &c) &&
            (plain || (!strcmp(fn, "div") && (i == 0 || c != 0)) || (!strcmp(fn, "pow") && i))) {
            LENS_TRY(im_part(m, n, 1 - i, i ? ra : rb, &a));
            return im_give_part(m, n, 0, with_number(a, fn, c, i == 0, name));
        }
    int rank = ra > rb ? ra : rb;
    LENS_TRY(im_part(m, n, 0, rank, &a));
    LENS_TRY(im_part(m, n, 1, rank, &b));
    /* Until opset 6 the second input could begin at an axis of the first. */
    const onnx_attr *axis = onnx_attribute(n, "axis");
    if (axis && m->model->opset < 7 && im_is_constant(im_input(m, n, 1)))
        for (int64_t d = rb + im_axis(axis->i, ra); d < ra && b.rank < a.rank; d++)
            b.dim[b.rank++] = 1;
    if (!strcmp(fn, "prelu") && m->model->opset < 7 && b.rank == 1)
        while (b.rank < ra - 1) b.dim[b.rank++] = 1;
    return im_give_part(m, n, 0, part_binary(fn, a, b, name));
}

/* 1.7159*tanh(2x/3), which export writes as three nodes, is a layer of its own. */
static const onnx_node *only_reader(const import *m, const onnx_node *n, const char *op) {
    const value *y = im_output(m, n);
    const onnx_node *reader = y->readers == 1 ? &m->model->node[y->reader] : NULL;
    return reader && !strcmp(reader->op, op) ? reader : NULL;
}

static bool near_number(import *m, const onnx_node *n, double want) {
    double c;
    for (int i = 0; i < 2 && n->inputs == 2; i++) {
        const value *v = im_input(m, n, i);
        double list[FOLD_MAX];
        int count;
        if (!im_is_constant(v) || im_count(v) != 1 || im_numbers(m, n, v, list, &count) != LENS_OK)
            continue;
        c = list[0];
        return fabs(c - want) <= 1e-6 * want;
    }
    return false;
}

static lens_status scaled_tanh(import *m, const onnx_node *n, bool *done) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    *done = false;
    if (n->inputs != 2 || !near_number(m, n, 2.0 / 3)) return LENS_OK;
    const onnx_node *tanh_node = only_reader(m, n, "Tanh");
    const onnx_node *last = tanh_node ? only_reader(m, tanh_node, "Mul") : NULL;
    int at = im_is_constant(im_input(m, n, 0));
    if (!last || !near_number(m, last, 1.7159) || !im_input(m, n, at)->node) return LENS_OK;
    LENS_TRY(im_node_input(m, n, at, &x, NULL));
    m->skip[tanh_node - m->model->node] = m->skip[last - m->model->node] = 1;
    *done = true;
    return im_give(m, last, lens_scaled_tanh(x, im_name(m, last, NULL, buf)));
}

lens_status convert_binary(import *m, const onnx_node *n) {
    static const struct {
        const char *op, *fn;
        bool negated;
    } list[] = {
        { "Add", "add", false },
        { "Sub", "sub", false },
        { "Mul", "mul", false },
        { "Div", "div", false },
        { "Pow", "pow", false },
        { "PRelu", "prelu", false },
        { "Less", "less", false },
        { "Greater", "greater", false },
        { "Equal", "equal", false },
        { "LessOrEqual", "greater", true },
        { "GreaterOrEqual", "less", true },
    };
    bool done;
    int row = 0;
    if (n->inputs != 2) return REFUSE(m, n, LENS_BAD_FILE, "%d inputs, expected 2", n->inputs);
    while (strcmp(list[row].op, n->op)) row++;
    if (!strcmp(n->op, "Mul")) {
        LENS_TRY(scaled_tanh(m, n, &done));
        if (done) return LENS_OK;
    }
    LENS_TRY(combine(m, n, list[row].fn));
    value *y = im_output(m, n);
    if (list[row].negated && y->numbers)
        for (int i = 0; i < im_count(y); i++) y->numbers[i] = 1 - y->numbers[i];
    else if (list[row].negated)
        y->node = lens_unary(y->node, NULL, (lens_unary_opts){ "affine", -1, 1 });
    if (!y->node && !y->numbers) return im_refuse(m, n, m->net->error);
    return LENS_OK;
}

lens_status convert_logical(import *m, const onnx_node *n) {
    if (!strcmp(n->op, "Not")) return unary(m, n, "affine", -1, 1);
    if (n->inputs != 2) return REFUSE(m, n, LENS_BAD_FILE, "%d inputs, expected 2", n->inputs);
    return combine(m, n, strcmp(n->op, "And") ? "max" : "min");
}

/* Sum, Mean, Max, Min of any number of inputs. */
lens_status convert_nary(import *m, const onnx_node *n) {
    const char *fn = !strcmp(n->op, "Max") ? "max" : !strcmp(n->op, "Min") ? "min" : "add";
    bool mean = !strcmp(n->op, "Mean");
    char buf[NET_MAX_NAME + 1];
    const char *name = im_name(m, n, NULL, buf);
    part sum, x;
    int rank = 0;
    if (n->inputs < 1 || n->inputs > NET_MAX_INPUTS)
        return REFUSE(m, n, LENS_BAD_FILE, "%d inputs", n->inputs);
    if (n->inputs == 1) return im_same(m, n);
    for (int i = 0; i < n->inputs; i++) {
        int r = 0;
        LENS_TRY(im_rank(m, n, i, &r));
        if (r > rank) rank = r;
    }
    if (n->inputs == 2 && !mean && all_constant(m, n))
        return fold_binary(m, n, fn, im_input(m, n, 0), im_input(m, n, 1));
    LENS_TRY(im_part(m, n, 0, rank, &sum));
    for (int i = 1; i < n->inputs; i++) {
        LENS_TRY(im_part(m, n, i, rank, &x));
        sum = part_binary(fn, sum, x, i == n->inputs - 1 && !mean ? name : NULL);
    }
    if (mean) sum = part_unary(sum, "affine", 1.0 / n->inputs, 0, name);
    return im_give_part(m, n, 0, sum);
}

lens_status convert_where(import *m, const onnx_node *n) {
    double c[FOLD_MAX], a[FOLD_MAX], b[FOLD_MAX];
    int nc, na, nb;
    value *y;
    if (n->inputs != 3 || !all_constant(m, n))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only of constants");
    LENS_TRY(im_numbers(m, n, im_input(m, n, 0), c, &nc));
    LENS_TRY(im_numbers(m, n, im_input(m, n, 1), a, &na));
    LENS_TRY(im_numbers(m, n, im_input(m, n, 2), b, &nb));
    const value *like = im_input(m, n, nc >= na && nc >= nb ? 0 : na >= nb ? 1 : 2);
    int count = (int)im_count(like);
    if ((nc != count && nc != 1) || (na != count && na != 1) || (nb != count && nb != 1))
        return REFUSE(m, n, LENS_UNSUPPORTED, "%d, %d and %d numbers", nc, na, nb);
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX,
                            is_whole(im_input(m, n, 1)) && is_whole(im_input(m, n, 2)), &y));
    for (int i = 0; i < count; i++)
        y->numbers[i] = c[nc == 1 ? 0 : i] != 0 ? a[na == 1 ? 0 : i] : b[nb == 1 ? 0 : i];
    y->rank = like->rank;
    memcpy(y->dim, like->dim, sizeof y->dim);
    return LENS_OK;
}

/* ---- Reductions ----------------------------------------------------------------------------- */

static part without(part p, unsigned axes) {
    int64_t dim[ONNX_MAX_RANK];
    int rank = 0;
    for (int d = 0; d < p.rank; d++)
        if (!(axes >> d & 1)) dim[rank++] = p.dim[d];
    return part_shaped(p, rank, dim);
}

static lens_status fold_reduce(import *m, const onnx_node *n, const char *fn, bool keep) {
    double list[FOLD_MAX];
    int count;
    value *y;
    const value *v = im_input(m, n, 0);
    LENS_TRY(im_numbers(m, n, v, list, &count));
    const char *step = !strcmp(fn, "prod") ? "mul" : !strcmp(fn, "sum") ? "add" : fn;
    if (v->rank != 1 || !count || isnan(binary_value(step, 1, 1)))
        return REFUSE(m, n, LENS_UNSUPPORTED, "of constants only a list's sum, product, max, min");
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, is_whole(v), &y));
    for (int i = 0; i < count; i++) {
        if (list[i] == (double)BATCH)
            return REFUSE(m, n, LENS_UNSUPPORTED, "arithmetic with the number of samples");
        y->numbers[0] = i ? binary_value(step, y->numbers[0], list[i]) : list[i];
    }
    y->rank = keep;
    y->dim[0] = 1;
    return LENS_OK;
}

lens_status convert_reduce(import *m, const onnx_node *n) {
    static const char *const list[][2] = {
        { "ReduceL1", "l1" },          { "ReduceL2", "l2" },
        { "ReduceLogSum", "log_sum" }, { "ReduceLogSumExp", "log_sum_exp" },
        { "ReduceMax", "max" },        { "ReduceMean", "mean" },
        { "ReduceMin", "min" },        { "ReduceProd", "prod" },
        { "ReduceSum", "sum" },        { "ReduceSumSquare", "sum_square" },
    };
    int row = 0, rank = 0, count, axis[ONNX_MAX_RANK];
    unsigned axes = 0;
    char buf[NET_MAX_NAME + 1];
    part x;
    while (strcmp(list[row][0], n->op)) row++;
    const char *fn = list[row][1], *name = im_name(m, n, NULL, buf);
    bool keep = im_attr_int(n, "keepdims", 1) != 0;
    LENS_TRY(im_rank(m, n, 0, &rank));
    LENS_TRY(im_axes(m, n, 1, rank, axis, &count));
    if (!count && im_attr_int(n, "noop_with_empty_axes", 0)) return im_same(m, n);
    if (im_is_constant(im_input(m, n, 0))) return fold_reduce(m, n, fn, keep);
    for (int k = 0; k < count; k++) axes |= 1u << axis[k];
    if (!count) axes = (1u << rank) - 1;
    if (!m->whole && axes & 1) return REFUSE(m, n, LENS_UNSUPPORTED, "over the samples");
    if (!m->whole) axes >>= 1;
    LENS_TRY(im_part(m, n, 0, rank, &x));
    /* The mean of all rows and columns is a layer. */
    bool global =
        !m->whole && !strcmp(fn, "mean") && ((rank == 4 && axes == 6) || (rank == 3 && axes == 2));
    if (!axes) return im_give_part(m, n, 0, part_reduce(fn, x, 0, name));
    if (global) {
        part y = x;
        for (int d = 1; d < x.rank; d++) y.dim[d] = 1;
        y.node = lens_global_avgpool(part_node(x, part_shape(x)), keep ? name : NULL);
        if (!keep) y.node = y.node ? lens_flatten(y.node, name) : NULL;
        return im_give_part(m, n, 0, keep ? y : without(y, axes));
    }
    part y = part_reduce(fn, x, axes, name);
    return im_give_part(m, n, 0, keep ? y : without(y, axes));
}

/* ArgMax and ArgMin: the places are numbers like any others here. */
lens_status convert_argument(import *m, const onnx_node *n) {
    int rank = 0;
    char buf[NET_MAX_NAME + 1];
    lens_status status;
    part x;
    LENS_TRY(im_rank(m, n, 0, &rank));
    int axis = im_sample_axis(m, n, im_attr_int(n, "axis", 0), rank, &status);
    LENS_TRY(status);
    bool last = im_attr_int(n, "select_last_index", 0) != 0, max = !strcmp(n->op, "ArgMax");
    const char *fn = max ? last ? "argmax_last" : "argmax" : last ? "argmin_last" : "argmin";
    LENS_TRY(im_part(m, n, 0, rank, &x));
    part y = part_reduce(fn, x, 1u << axis, im_name(m, n, NULL, buf));
    return im_give_part(m, n, 0, im_attr_int(n, "keepdims", 1) ? y : without(y, 1u << axis));
}
