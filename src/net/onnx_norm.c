/* onnx_norm.c - operators of ONNX that hold numbers against others along some axes: Softmax and its kin, and
 * the normalisations that have no layer. Each is an expression of general operators.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <string.h>

/* ---- Along an axis -------------------------------------------------------------------------- */

/* Softmax, LogSoftmax and Hardmax: before opset 13 everything from the axis on is one row, and the axis
 * is 1 if not given. *p has the row as its axis *axis. */
static lens_status rows_of(import *m, const onnx_node *n, part *p, int *axis) {
    int rank = 0;
    lens_status status;
    bool rows = m->model->opset < 13;
    LENS_TRY(im_rank(m, n, 0, &rank));
    *axis = im_sample_axis(m, n, im_attr_int(n, "axis", rows ? 1 : -1), rank, &status);
    LENS_TRY(status);
    LENS_TRY(im_part(m, n, 0, rank, p));
    if (!rows) return LENS_OK;
    int64_t row = 1;
    for (int d = *axis; d < p->rank; d++) row *= p->dim[d];
    p->dim[*axis] = row;
    p->rank = *axis + 1;
    return LENS_OK;
}

static lens_status give_rows(import *m, const onnx_node *n, part y) {
    const value *x = im_input(m, n, 0);
    int first = !m->whole;
    return im_give_part(m, n, 0, part_shaped(y, x->rank - first, x->dim + first));
}

lens_status convert_softmax(import *m, const onnx_node *n) {
    part x;
    int axis;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(rows_of(m, n, &x, &axis));
    return give_rows(m, n, part_softmax(x, axis, im_name(m, n, NULL, buf)));
}

lens_status convert_log_softmax(import *m, const onnx_node *n) {
    part x;
    int axis;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(rows_of(m, n, &x, &axis));
    part sum = part_reduce("log_sum_exp", x, 1u << axis, NULL);
    return give_rows(m, n, part_binary("sub", x, sum, im_name(m, n, NULL, buf)));
}

/* 1 at the first largest number of a row. */
lens_status convert_hardmax(import *m, const onnx_node *n) {
    part x;
    int axis;
    int64_t dim[ONNX_MAX_RANK];
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(rows_of(m, n, &x, &axis));
    size_t size = (size_t)x.dim[axis];
    double *places = im_keep(m, size);
    for (size_t i = 0; places && i < size; i++) places[i] = (double)i;
    for (int d = 0; d < x.rank; d++) dim[d] = d == axis ? x.dim[d] : 1;
    part best = part_reduce("argmax", x, 1u << axis, NULL);
    part all = part_fixed(m, places, x.rank, dim);
    return give_rows(m, n, part_binary("equal", all, best, im_name(m, n, NULL, buf)));
}

lens_status convert_lp_norm(import *m, const onnx_node *n) {
    int rank = 0;
    lens_status status;
    char buf[NET_MAX_NAME + 1];
    part x;
    int64_t p = im_attr_int(n, "p", 2);
    LENS_TRY(im_rank(m, n, 0, &rank));
    int axis = im_sample_axis(m, n, im_attr_int(n, "axis", -1), rank, &status);
    LENS_TRY(status);
    if (p != 1 && p != 2) return REFUSE(m, n, LENS_BAD_FILE, "p is %lld", (long long)p);
    LENS_TRY(im_part(m, n, 0, rank, &x));
    part norm = part_reduce(p == 1 ? "l1" : "l2", x, 1u << axis, NULL);
    return im_give_part(m, n, 0, part_binary("div", x, norm, im_name(m, n, NULL, buf)));
}

/* ---- Normalisation -------------------------------------------------------------------------- */

typedef struct moments {
    part mean, centred, variance, deviation; /* sqrt(variance + eps) */
} moments;

static moments moments_of(part x, unsigned axes, double eps) {
    moments r = { .mean = part_reduce("mean", x, axes, NULL) };
    r.centred = part_binary("sub", x, r.mean, NULL);
    r.variance = part_reduce("mean", part_binary("mul", r.centred, r.centred, NULL), axes, NULL);
    r.deviation = part_unary(part_unary(r.variance, "affine", 1, eps, NULL), "sqrt", 0, 0, NULL);
    return r;
}

/* Numbers per channel, to be combined with (C, ...): input i. */
static lens_status per_channel(import *m, const onnx_node *n, int i, const part *x, int axis,
                               part *p) {
    const value *v = im_input(m, n, i);
    int64_t dim[ONNX_MAX_RANK];
    if (!im_is_constant(v) || im_count(v) != x->dim[axis])
        return REFUSE(m, n, LENS_UNSUPPORTED, "input %d is no constant for each of %lld channels",
                      i, (long long)x->dim[axis]);
    for (int d = 0; d < x->rank; d++) dim[d] = d == axis ? x->dim[axis] : 1;
    LENS_TRY(im_part(m, n, i, ONNX_MAX_RANK, p));
    *p = part_shaped(*p, x->rank, dim);
    return LENS_OK;
}

static unsigned axes_behind(const part *x, int axis) {
    return ((1u << x->rank) - 1) & ~((2u << axis) - 1);
}

/* y = scale * (x - mean)/sqrt(var + eps) + B over the positions of each channel of each sample. */
lens_status convert_instance_norm(import *m, const onnx_node *n) {
    int rank = 0, axis = m->whole ? 1 : 0;
    char buf[NET_MAX_NAME + 1];
    part x, scale, bias;
    LENS_TRY(im_rank(m, n, 0, &rank));
    LENS_TRY(im_part(m, n, 0, rank, &x));
    if (rank < 3) return REFUSE(m, n, LENS_BAD_FILE, "an input of rank %d", rank);
    LENS_TRY(per_channel(m, n, 1, &x, axis, &scale));
    LENS_TRY(per_channel(m, n, 2, &x, axis, &bias));
    moments r = moments_of(x, axes_behind(&x, axis), (double)im_attr_float(n, "epsilon", 1e-5f));
    part y = part_binary("div", r.centred, r.deviation, NULL);
    y = part_binary("add", part_binary("mul", y, scale, NULL), bias, im_name(m, n, NULL, buf));
    return im_give_part(m, n, 0, y);
}

/* The same over groups of channels; scale and bias are of groups until opset 20, then of channels. */
lens_status convert_group_norm(import *m, const onnx_node *n) {
    int rank = 0, axis = m->whole ? 1 : 0;
    char buf[NET_MAX_NAME + 1];
    int64_t dim[ONNX_MAX_RANK] = { 1, 1, 1 }, groups = im_attr_int(n, "num_groups", 0), rest = 1;
    part x, scale, bias;
    LENS_TRY(im_rank(m, n, 0, &rank));
    LENS_TRY(im_part(m, n, 0, rank, &x));
    if (rank < 3 || groups < 1 || x.dim[axis] % groups)
        return REFUSE(m, n, LENS_BAD_FILE, "num_groups is %lld", (long long)groups);
    for (int d = axis + 1; d < x.rank; d++) rest *= x.dim[d];
    dim[axis] = groups;
    dim[axis + 1] = x.dim[axis] / groups;
    dim[axis + 2] = rest;
    if (axis) dim[0] = x.dim[0];
    part grouped = part_shaped(x, axis + 3, dim);
    moments r = moments_of(grouped, axes_behind(&grouped, axis),
                           (double)im_attr_float(n, "epsilon", 1e-5f));
    part y = part_binary("div", r.centred, r.deviation, NULL);
    const part *scaled = m->model->opset < 21 ? &grouped : &x;
    y = part_shaped(y, scaled->rank, scaled->dim);
    LENS_TRY(per_channel(m, n, 1, scaled, axis, &scale));
    LENS_TRY(per_channel(m, n, 2, scaled, axis, &bias));
    y = part_binary("add", part_binary("mul", y, scale, NULL), bias, im_name(m, n, NULL, buf));
    return im_give_part(m, n, 0, part_shaped(y, x.rank, x.dim));
}

/* y = scale * (x - mean)/sqrt(var + eps) + B over all axes from `axis` on; also mean and 1/sqrt(...). */
lens_status convert_layer_norm(import *m, const onnx_node *n) {
    int rank = 0;
    lens_status status;
    char buf[NET_MAX_NAME + 1];
    part x, scale, bias;
    LENS_TRY(im_rank(m, n, 0, &rank));
    int axis = im_sample_axis(m, n, im_attr_int(n, "axis", -1), rank, &status);
    LENS_TRY(status);
    LENS_TRY(im_part(m, n, 0, rank, &x));
    unsigned axes = axis ? axes_behind(&x, axis - 1) : (1u << x.rank) - 1;
    bool values = im_wants(m, n, 0), deviations = im_wants(m, n, 2);
    if (!values && !deviations) return im_give_part(m, n, 1, part_reduce("mean", x, axes, NULL));
    moments r = moments_of(x, axes, (double)im_attr_float(n, "epsilon", 1e-5f));
    if (im_wants(m, n, 1)) LENS_TRY(im_give_part(m, n, 1, r.mean));
    if (deviations)
        LENS_TRY(im_give_part(m, n, 2, part_unary(r.deviation, "reciprocal", 0, 0, NULL)));
    if (!values) return LENS_OK;
    bool shifted = im_has_input(n, 2);
    const char *name = im_name(m, n, NULL, buf);
    LENS_TRY(im_part(m, n, 1, ONNX_MAX_RANK, &scale));
    part y = part_binary("div", r.centred, r.deviation, NULL);
    y = part_binary("mul", y, scale, shifted ? NULL : name);
    if (shifted) {
        LENS_TRY(im_part(m, n, 2, ONNX_MAX_RANK, &bias));
        y = part_binary("add", y, bias, name);
    }
    return im_give_part(m, n, 0, y);
}

/* (x - mean)/(sqrt(var) + 1e-9) over the axes, which are N, H and W if not given. */
lens_status convert_mean_variance(import *m, const onnx_node *n) {
    static const int64_t usual[] = { 0, 2, 3 };
    const onnx_attr *a = onnx_attribute(n, "axes");
    const int64_t *list = a && a->type == ONNX_INTS ? a->ints : usual;
    int count = a && a->type == ONNX_INTS ? a->count : 3, rank = 0;
    unsigned axes = 0;
    char buf[NET_MAX_NAME + 1];
    part x;
    LENS_TRY(im_rank(m, n, 0, &rank));
    for (int k = 0; k < count; k++) {
        lens_status status;
        int axis = im_sample_axis(m, n, list[k], rank, &status);
        LENS_TRY(status);
        axes |= 1u << axis;
    }
    LENS_TRY(im_part(m, n, 0, rank, &x));
    moments r = moments_of(x, axes, 0);
    part deviation = part_unary(r.deviation, "affine", 1, 1e-9, NULL);
    return im_give_part(m, n, 0,
                        part_binary("div", r.centred, deviation, im_name(m, n, NULL, buf)));
}
