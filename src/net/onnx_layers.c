/* onnx_layers.c - operators of ONNX that become layers: one converter for each.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Convolution and pooling ---------------------------------------------------------------- */

typedef struct window {
    int axes;                                       /* 1 or 2 */
    int kernel[2], stride[2], dilation[2], pads[4]; /* pads: begins, then ends */
} window;

/* Kernel, stride, dilation and padding with auto_pad worked out; `size` is the input's. */
static lens_status window_of(import *m, const onnx_node *n, const lens_node *x, const int *kernel,
                             window *w) {
    shape in = x->op.out;
    if (in.rank < 3) return REFUSE(m, n, LENS_BAD_FILE, "it needs a picture or a sequence");
    *w = (window){ .axes = in.rank - 2 };
    int k = w->axes, size[2] = { in.rank == 4 ? in.h : in.w, in.w };
    LENS_TRY(im_attr_sizes(m, n, "kernel_shape", k, 0, w->kernel));
    LENS_TRY(im_attr_sizes(m, n, "strides", k, 1, w->stride));
    LENS_TRY(im_attr_sizes(m, n, "dilations", k, 1, w->dilation));
    LENS_TRY(im_attr_sizes(m, n, "pads", 2 * k, 0, w->pads));
    bool upper = im_attr_is(n, "auto_pad", "SAME_UPPER"),
         lower = im_attr_is(n, "auto_pad", "SAME_LOWER");
    for (int d = 0; d < k; d++) {
        if (kernel && !w->kernel[d]) w->kernel[d] = kernel[d];
        if (kernel && w->kernel[d] != kernel[d])
            return REFUSE(m, n, LENS_BAD_FILE, "kernel_shape says %d but the weights have %d",
                          w->kernel[d], kernel[d]);
        if (!w->kernel[d] || !w->stride[d] || !w->dilation[d])
            return REFUSE(m, n, LENS_BAD_FILE, "a kernel, stride or dilation of 0");
        if (im_attr_is(n, "auto_pad", "VALID")) w->pads[d] = w->pads[k + d] = 0;
        if (!upper && !lower) continue;
        int64_t reach = (int64_t)(w->kernel[d] - 1) * w->dilation[d] + 1, stride = w->stride[d];
        int64_t total = ((size[d] + stride - 1) / stride - 1) * stride + reach - size[d];
        if (total < 0) total = 0;
        if (total > OP_MAX_DIM)
            return REFUSE(m, n, LENS_BAD_FILE, "auto_pad needs %lld cells", (long long)total);
        w->pads[d] = (int)(upper ? total / 2 : total - total / 2);
        w->pads[k + d] = (int)total - w->pads[d];
    }
    return LENS_OK;
}

static lens_size pair(const window *w, const int *v) { return (lens_size){ v[0], v[w->axes - 1] }; }

/* Sizes of the kernel from the weights (O, C/groups, ...). */
static lens_status kernel_of(import *m, const onnx_node *n, const value *v, const lens_node *x,
                             int kernel[2]) {
    if (!im_is_constant(v) || !v->tensor)
        return REFUSE(m, n, LENS_UNSUPPORTED, "its weights must be constant");
    if (v->rank != x->op.out.rank || v->rank > 4)
        return REFUSE(m, n, v->rank > 4 ? LENS_UNSUPPORTED : LENS_BAD_FILE,
                      "weights of rank %d for an input of rank %d", v->rank, x->op.out.rank);
    for (int d = 0; d < v->rank; d++)
        if (v->dim[d] < 1 || v->dim[d] > OP_MAX_DIM)
            return REFUSE(m, n, LENS_BAD_FILE, "dimension %d of its weights is %lld", d,
                          (long long)v->dim[d]);
    for (int d = 2; d < v->rank; d++) kernel[d - 2] = (int)v->dim[d];
    return LENS_OK;
}

static lens_status groups_of(import *m, const onnx_node *n, int *groups) {
    int64_t g = im_attr_int(n, "group", 1);
    if (g < 1 || g > OP_MAX_DIM) return REFUSE(m, n, LENS_BAD_FILE, "group is %lld", (long long)g);
    *groups = (int)g;
    return LENS_OK;
}

lens_status convert_conv(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    window w;
    int kernel[2] = { 0 }, extra[4], groups = 1;
    char buf[NET_MAX_NAME + 1];
    const value *weight = im_input(m, n, 1), *bias = im_input(m, n, 2);
    LENS_TRY(im_node_input(m, n, 0, &x, extra));
    LENS_TRY(kernel_of(m, n, weight, x, kernel));
    LENS_TRY(window_of(m, n, x, kernel, &w));
    LENS_TRY(groups_of(m, n, &groups));
    lens_conv2d_opts o = { .out = (int)weight->dim[0],
                           .kernel = pair(&w, w.kernel),
                           .stride = pair(&w, w.stride),
                           .dilation = pair(&w, w.dilation),
                           .groups = groups,
                           .no_bias = !bias };
    bool flat = w.axes == 1;
    for (int i = 0; i < 2 * w.axes; i++) o.pads[i] = w.pads[i] + extra[flat ? 2 * i + 1 : i];
    const char *name = im_name(m, n, weight, buf);
    y = flat ? lens_conv1d(x, name, o) : lens_conv2d(x, name, o);
    LENS_TRY(im_give(m, n, y));
    LENS_TRY(im_fill(m, n, y, 0, weight, false, 1));
    return bias ? im_fill(m, n, y, 1, bias, false, 1) : LENS_OK;
}

lens_status convert_conv_transpose(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    window w;
    int kernel[2] = { 0 }, extra[2], target[2], groups = 1;
    char buf[NET_MAX_NAME + 1];
    const value *weight = im_input(m, n, 1), *bias = im_input(m, n, 2);
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank != 4) return REFUSE(m, n, LENS_UNSUPPORTED, "only pictures (N,C,H,W)");
    LENS_TRY(kernel_of(m, n, weight, x, kernel));
    LENS_TRY(groups_of(m, n, &groups));
    LENS_TRY(window_of(m, n, x, kernel, &w));
    LENS_TRY(im_attr_sizes(m, n, "output_padding", 2, 0, extra));
    LENS_TRY(im_attr_sizes(m, n, "output_shape", 2, 0, target));
    bool upper = im_attr_is(n, "auto_pad", "SAME_UPPER"),
         lower = im_attr_is(n, "auto_pad", "SAME_LOWER");
    int size[2] = { x->op.out.h, x->op.out.w };
    for (int d = 0; d < 2; d++) {
        int64_t want = target[d];
        if (!want && (upper || lower)) want = (int64_t)size[d] * w.stride[d];
        if (!want) continue;
        int64_t total = (int64_t)(size[d] - 1) * w.stride[d] +
                        (int64_t)(w.kernel[d] - 1) * w.dilation[d] + 1 + extra[d] - want;
        if (total < -OP_MAX_DIM || total > OP_MAX_DIM)
            return REFUSE(m, n, LENS_BAD_FILE, "%lld cells to cut off", (long long)total);
        if (total < 0) { /* longer than the kernel reaches */
            extra[d] += (int)-total;
            total = 0;
        }
        w.pads[d] = (int)(upper ? total / 2 : total - total / 2);
        w.pads[2 + d] = (int)total - w.pads[d];
    }
    if (weight->dim[1] * groups > OP_MAX_DIM)
        return REFUSE(m, n, LENS_BAD_FILE, "%lld output channels",
                      (long long)weight->dim[1] * groups);
    lens_conv_transpose2d_opts o = { .out = (int)weight->dim[1] * groups,
                                     .kernel = pair(&w, w.kernel),
                                     .stride = pair(&w, w.stride),
                                     .dilation = pair(&w, w.dilation),
                                     .extra = { extra[0], extra[1] },
                                     .groups = groups,
                                     .no_bias = !bias };
    for (int d = 0; d < 2; d++)
        if (extra[d] >= w.stride[d])
            return REFUSE(m, n, LENS_UNSUPPORTED, "output_padding %d with stride %d", extra[d],
                          w.stride[d]);
    memcpy(o.pads, w.pads, sizeof o.pads);
    y = lens_conv_transpose2d(x, im_name(m, n, weight, buf), o);
    LENS_TRY(im_give(m, n, y));
    LENS_TRY(im_fill(m, n, y, 0, weight, false, 1));
    return bias ? im_fill(m, n, y, 1, bias, false, 1) : LENS_OK;
}

lens_status convert_pool(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    window w;
    char buf[NET_MAX_NAME + 1];
    int extra[4];
    bool average = !strcmp(n->op, "AveragePool");
    LENS_TRY(im_node_input(m, n, 0, &x, average ? extra : NULL));
    LENS_TRY(window_of(m, n, x, NULL, &w));
    lens_pool_opts o = { .kernel = pair(&w, w.kernel),
                         .stride = pair(&w, w.stride),
                         .ceil = im_attr_int(n, "ceil_mode", 0) != 0 };
    bool own = false, padded = im_input(m, n, 0)->padded;
    for (int i = 0; i < 2 * w.axes; i++) {
        own |= w.pads[i] != 0;
        o.pads[i] = w.pads[i] + (average ? extra[w.axes == 1 ? 2 * i + 1 : i] : 0);
        int reach = w.kernel[i % w.axes];
        if (o.pads[i] > reach / 2)
            return REFUSE(m, n, LENS_UNSUPPORTED, "padding %d is more than half of the window %d",
                          o.pads[i], reach);
    }
    for (int d = 0; d < w.axes; d++)
        if (w.dilation[d] != 1)
            return REFUSE(m, n, LENS_UNSUPPORTED, "windows with dilation %d", w.dilation[d]);
    if (n->outputs > 1 && *n->output[1])
        return REFUSE(m, n, LENS_UNSUPPORTED, "its second output, the indices");
    bool include = im_attr_int(n, "count_include_pad", 0) != 0;
    if (own && padded && !include) return REFUSE(m, n, LENS_UNSUPPORTED, "padding of two kinds");
    o.exclude_pad = average && own && !include;
    const char *name = im_name(m, n, NULL, buf);
    return im_give(m, n, average ? lens_avgpool(x, name, o) : lens_maxpool(x, name, o));
}

lens_status convert_global(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank < 3) return REFUSE(m, n, LENS_UNSUPPORTED, "features have no positions");
    const char *name = im_name(m, n, NULL, buf);
    return im_give(m, n,
                   !strcmp(n->op, "GlobalMaxPool") ? lens_global_maxpool(x, name)
                                                   : lens_global_avgpool(x, name));
}

/* Zeros around the picture wait for the convolution; more channels are a shortcut (option A). */
lens_status convert_pad(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int64_t pads[FOLD_MAX];
    int count = 0;
    float fill_value = im_attr_float(n, "value", 0);
    char buf[NET_MAX_NAME + 1];
    const onnx_attr *a = onnx_attribute(n, "pads");
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    int rank = x->op.out.rank;
    if (a && a->type == ONNX_INTS && a->count <= FOLD_MAX) {
        count = a->count;
        memcpy(pads, a->ints, (size_t)count * sizeof *pads);
    } else {
        LENS_TRY(im_ints(m, n, im_input(m, n, 1), pads, &count));
    }
    if (im_has_input(n, 2)) LENS_TRY(im_float(m, n, im_input(m, n, 2), &fill_value));
    if (im_has_input(n, 3)) return REFUSE(m, n, LENS_UNSUPPORTED, "axes");
    if (count != 2 * rank) return REFUSE(m, n, LENS_BAD_FILE, "%d pads for rank %d", count, rank);
    if (onnx_attribute(n, "mode") && !im_attr_is(n, "mode", "constant"))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only mode constant");
    bool planes = false, channels = pads[1] || pads[rank + 1];
    for (int i = 0; i < count; i++) {
        if (pads[i] < 0 || pads[i] > OP_MAX_DIM / 4)
            return REFUSE(m, n, LENS_UNSUPPORTED, "pads of %lld", (long long)pads[i]);
        planes |= i % rank >= 2 && pads[i];
    }
    value *y = im_output(m, n);
    if (pads[0] || pads[rank] || (planes && channels) || (rank == 2 && channels))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only rows and columns, or channels, can be padded");
    if ((planes || channels) && fill_value != 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "padding with %g, only 0", (double)fill_value);
    if (channels) {
        int64_t more = pads[1] + pads[rank + 1];
        if (pads[1] != more / 2)
            return REFUSE(m, n, LENS_UNSUPPORTED, "%lld channels before and %lld behind",
                          (long long)pads[1], (long long)pads[rank + 1]);
        lens_shortcut_opts o = { .out = x->op.out.c + (int)more };
        return im_give(m, n, lens_shortcut(x, im_name(m, n, NULL, buf), o));
    }
    y->node = x;
    y->padded = planes;
    for (int d = 2; d < rank; d++) {
        int side = rank == 3 ? 1 : d - 2;
        y->pads[side] = (int)pads[d];
        y->pads[2 + side] = (int)pads[rank + d];
    }
    return LENS_OK;
}

/* ---- Layers --------------------------------------------------------------------------------- */

lens_status convert_batchnorm(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    char buf[NET_MAX_NAME + 1], digits[32];
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    float eps = im_attr_float(n, "epsilon", 1e-5f), keep = im_attr_float(n, "momentum", 0.9f);
    if (im_attr_int(n, "training_mode", 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "training_mode");
    if (!im_attr_int(n, "spatial", 1)) return REFUSE(m, n, LENS_UNSUPPORTED, "spatial=0");
    if (!(eps > 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "epsilon %g", (double)eps);
    if (n->inputs < 5) return REFUSE(m, n, LENS_BAD_FILE, "%d inputs, expected 5", n->inputs);
    /* ONNX weighs the old value, we the new: 0.9 there is 0.1 here, not 0.100000024. */
    snprintf(digits, sizeof digits, "%.6g", 1 - (double)keep);
    double momentum = 0;
    parse_double(digits, &momentum);
    if (!(momentum > 0 && momentum <= 1)) momentum = 0;
    y = lens_batchnorm(x, im_name(m, n, im_input(m, n, 1), buf),
                       (lens_batchnorm_opts){ eps, (float)momentum });
    LENS_TRY(im_give(m, n, y));
    for (int i = 0; i < 4; i++) {
        const value *v = im_input(m, n, 1 + i);
        if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input %d is missing", 1 + i);
        LENS_TRY(im_fill(m, n, y, i, v, false, 1));
    }
    return LENS_OK;
}

lens_status convert_act(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    const char *name = im_name(m, n, NULL, buf);
    float slope = im_attr_float(n, "alpha", 0.01f);
    if (!strcmp(n->op, "Relu") || (!strcmp(n->op, "LeakyRelu") && slope == 0))
        y = lens_relu(x, name);
    else if (!strcmp(n->op, "LeakyRelu") && !(slope > 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "alpha %g", (double)slope);
    else if (!strcmp(n->op, "LeakyRelu"))
        y = lens_leaky_relu(x, name, slope);
    else if (!strcmp(n->op, "Tanh"))
        y = lens_tanh(x, name);
    else
        y = lens_sigmoid(x, name);
    return im_give(m, n, y);
}

/* Before opset 13 everything from the axis on is one row, and the axis is 1 if not given. */
lens_status convert_softmax(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    shape in = x->op.out;
    bool rows = m->model->opset < 13;
    int axis = im_axis(im_attr_int(n, "axis", rows ? 1 : -1), in.rank);
    if (axis < 0) return REFUSE(m, n, LENS_BAD_FILE, "axis outside rank %d", in.rank);
    if (axis != 1 || (rows && in.h * in.w != 1))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only over channels (axis 1), not axis %d of rank %d",
                      axis, in.rank);
    return im_give(m, n, lens_softmax(x, im_name(m, n, NULL, buf)));
}

lens_status convert_lrn(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    int64_t size = im_attr_int(n, "size", 0);
    lens_lrn_opts o = { .n = (int)size,
                        .alpha = im_attr_float(n, "alpha", 1e-4f),
                        .beta = im_attr_float(n, "beta", 0.75f),
                        .k = im_attr_float(n, "bias", 1) };
    if (size < 1 || size > OP_MAX_DIM)
        return REFUSE(m, n, LENS_BAD_FILE, "size is %lld", (long long)size);
    if (size % 2 == 0 || !(o.alpha > 0 && o.beta > 0 && o.k > 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "an even size, or a number not above 0");
    return im_give(m, n, lens_lrn(x, im_name(m, n, NULL, buf), o));
}

/* Gives the output of `n` the value of its input. */
lens_status convert_same(import *m, const onnx_node *n) {
    const value *x = im_input(m, n, 0);
    value *y = im_output(m, n), old = *y;
    if (!x) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    *y = *x;
    y->name = old.name;
    y->readers = old.readers;
    y->reader = old.reader;
    return LENS_OK;
}

/* Sizes stay whole numbers, and a picture stays float. */
lens_status convert_cast(import *m, const onnx_node *n) {
    const value *v = im_input(m, n, 0);
    int64_t to = im_attr_int(n, "to", 0);
    bool sizes = v && !v->node && (v->ints || !onnx_is_real(v->tensor));
    if (!v || (sizes ? to != ONNX_I64 && to != ONNX_I32 : to != ONNX_F32))
        return REFUSE(m, n, LENS_UNSUPPORTED, "to ONNX type %lld", (long long)to);
    return convert_same(m, n);
}

lens_status convert_dropout(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    float rate = im_attr_float(n, "ratio", 0.5f);
    if (im_has_input(n, 1)) LENS_TRY(im_float(m, n, im_input(m, n, 1), &rate));
    if (im_has_input(n, 2)) {
        int64_t on[FOLD_MAX];
        int count;
        LENS_TRY(im_ints(m, n, im_input(m, n, 2), on, &count));
        if (count == 1 && on[0]) return REFUSE(m, n, LENS_UNSUPPORTED, "training_mode");
    }
    for (int i = 1; i < n->outputs; i++) {
        const value *mask = *n->output[i] ? im_find(m, n->output[i]) : NULL;
        if (mask && mask->readers) return REFUSE(m, n, LENS_UNSUPPORTED, "its mask is used");
    }
    if (!(rate > 0 && rate < 1) || im_is_constant(im_input(m, n, 0))) return convert_same(m, n);
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    return im_give(m, n, lens_dropout(x, im_name(m, n, NULL, buf), rate));
}

/* ---- Matrices ------------------------------------------------------------------------------- */

/* A dense layer: weight in the file (out, in), or (in, out) if `turned`. */
static lens_status dense(import *m, const onnx_node *n, const value *weight, bool turned,
                         float scale, const value *bias, float bias_scale, const char *name) {
    lens_node *x = NULL, *y;
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank != 2)
        return REFUSE(m, n, LENS_UNSUPPORTED, "its input has rank %d, only (N,F)", x->op.out.rank);
    if (!im_is_constant(weight) || !weight->tensor)
        return REFUSE(m, n, LENS_UNSUPPORTED, "its second input must be constant");
    int64_t out = weight->rank == 2 ? weight->dim[turned ? 1 : 0] : 0;
    if (out < 1 || out > OP_MAX_DIM)
        return REFUSE(m, n, weight->rank == 2 ? LENS_BAD_FILE : LENS_UNSUPPORTED,
                      "weights of rank %d with %lld outputs", weight->rank, (long long)out);
    y = lens_dense(x, name, (lens_dense_opts){ .out = (int)out, .no_bias = !bias });
    if (!y) return im_refuse(m, n, m->net->error);
    LENS_TRY(im_fill(m, n, y, 0, weight, turned, scale));
    if (bias) LENS_TRY(im_fill(m, n, y, 1, bias, false, bias_scale));
    return im_give(m, n, y);
}

lens_status convert_gemm(import *m, const onnx_node *n) {
    const value *weight = im_input(m, n, 1), *bias = im_input(m, n, 2);
    char buf[NET_MAX_NAME + 1];
    if (im_attr_int(n, "transA", 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "transA=1");
    bool turned = !im_attr_int(n, "transB", 0);
    if (im_is_constant(bias) && im_is_constant(weight) && weight->rank == 2) {
        int64_t out = weight->dim[turned ? 1 : 0];
        if (bias->rank < 1 || bias->dim[bias->rank - 1] != out || im_count(bias) != out)
            return REFUSE(m, n, LENS_UNSUPPORTED,
                          "C has not one number for each of the %lld outputs", (long long)out);
    }
    return dense(m, n, weight, turned, im_attr_float(n, "alpha", 1), bias,
                 im_attr_float(n, "beta", 1), im_name(m, n, weight, buf));
}

/* x W, and if the only reader adds a constant row to it, x W + b. */
lens_status convert_matmul(import *m, const onnx_node *n) {
    const value *weight = im_input(m, n, 1), *bias = NULL, *y = im_output(m, n);
    char buf[NET_MAX_NAME + 1];
    const onnx_node *add = y->readers == 1 ? &m->model->node[y->reader] : NULL;
    const onnx_node *named = n;
    if (add && !strcmp(add->op, "Add") && add->inputs == 2 && im_is_constant(weight) &&
        weight->rank == 2) {
        int other = !strcmp(add->input[0], n->output[0]);
        const value *v = im_input(m, add, other);
        if (im_is_constant(v) && v->tensor && v->rank >= 1 && v->rank <= 2 &&
            v->dim[v->rank - 1] == weight->dim[1] && im_count(v) == weight->dim[1]) {
            bias = v;
            named = add;
            m->skip[y->reader] = 1;
        }
    }
    LENS_TRY(dense(m, n, weight, true, 1, bias, 1, im_name(m, named, weight, buf)));
    if (bias) im_output(m, add)->node = y->node;
    return LENS_OK;
}

static bool same_out(const lens_node *a, const lens_node *b) {
    shape x = a->op.out, y = b->op.out;
    return x.rank == y.rank && x.c == y.c && x.h == y.h && x.w == y.w;
}

/* Whole numbers, element by element; one number stands for all. */
lens_status fold_arithmetic(import *m, const onnx_node *n) {
    int64_t a[FOLD_MAX], b[FOLD_MAX];
    int na, nb;
    const value *va = im_input(m, n, 0), *vb = im_input(m, n, 1);
    LENS_TRY(im_ints(m, n, va, a, &na));
    LENS_TRY(im_ints(m, n, vb, b, &nb));
    if (na != nb && na != 1 && nb != 1)
        return REFUSE(m, n, LENS_BAD_FILE, "%d and %d numbers", na, nb);
    const value *like = na >= nb ? va : vb;
    value *y;
    LENS_TRY(im_new_ints(m, n, &y));
    int count = na > nb ? na : nb;
    for (int i = 0; i < count; i++) {
        int64_t p = a[na == 1 ? 0 : i], q = b[nb == 1 ? 0 : i];
        /* Sizes are below 2^31; anything larger, and the unknown batch, is no size. */
        if (p == BATCH || q == BATCH || llabs(p) > INT32_MAX || llabs(q) > INT32_MAX ||
            (!strcmp(n->op, "Div") && !q))
            return REFUSE(m, n, LENS_UNSUPPORTED, "arithmetic with the number of samples");
        y->ints[i] = !strcmp(n->op, "Add")   ? p + q
                     : !strcmp(n->op, "Sub") ? p - q
                     : !strcmp(n->op, "Mul") ? p * q
                                             : p / q;
    }
    y->rank = like->rank;
    memcpy(y->dim, like->dim, sizeof y->dim);
    return LENS_OK;
}

/* The constant factor of a product of a node and one number; 0 if it is none. */
static float factor_of(const import *m, const onnx_node *n, const value **x) {
    for (int i = 0; i < 2; i++) {
        const value *v = im_input(m, n, i), *other = im_input(m, n, 1 - i);
        float factor;
        if (!im_is_constant(v) || !v->tensor || !onnx_is_real(v->tensor) || v->tensor->count != 1 ||
            v->rank > 1 || !other || !other->node)
            continue;
        onnx_floats(v->tensor, &factor);
        *x = other;
        return factor;
    }
    return 0;
}

static bool near(float a, double b) { return fabs((double)a - b) <= 1e-6 * b; }

/* Whole numbers; or the first part of 1.7159*tanh(2x/3). */
lens_status convert_mul(import *m, const onnx_node *n) {
    const value *x = NULL;
    float factor = factor_of(m, n, &x);
    value *y = im_output(m, n);
    if (!x) return fold_arithmetic(m, n);
    if (!near(factor, 2.0 / 3) || x->padded || x->scale != 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only of shapes, and in 1.7159*tanh(2x/3)");
    y->node = x->node;
    y->scale = factor;
    return LENS_OK;
}

lens_status convert_tanh(import *m, const onnx_node *n) {
    const value *x = im_input(m, n, 0), *y = im_output(m, n), *seen = NULL;
    char buf[NET_MAX_NAME + 1];
    if (!x || x->scale == 0) return convert_act(m, n);
    const onnx_node *mul = y->readers == 1 ? &m->model->node[y->reader] : NULL;
    if (!mul || strcmp(mul->op, "Mul") || mul->inputs != 2)
        return REFUSE(m, n, LENS_UNSUPPORTED, "a factor before it but none behind");
    /* Its own output has to look like a node while the product is read. */
    LENS_TRY(im_give(m, n, x->node));
    if (!near(factor_of(m, mul, &seen), 1.7159))
        return REFUSE(m, n, LENS_UNSUPPORTED, "factors other than in 1.7159*tanh(2x/3)");
    m->skip[y->reader] = 1;
    return im_give(m, mul, lens_scaled_tanh(x->node, im_name(m, mul, NULL, buf)));
}

lens_status convert_add(import *m, const onnx_node *n) {
    lens_node *sum = NULL, *x = NULL;
    char buf[NET_MAX_NAME + 1];
    if (n->inputs < 1) return REFUSE(m, n, LENS_BAD_FILE, "no inputs");
    bool constant = true;
    for (int i = 0; i < n->inputs; i++) constant &= im_is_constant(im_input(m, n, i));
    if (constant && !strcmp(n->op, "Add")) return fold_arithmetic(m, n);
    if (n->inputs == 1) return convert_same(m, n);
    LENS_TRY(im_node_input(m, n, 0, &sum, NULL));
    for (int i = 1; i < n->inputs; i++) {
        LENS_TRY(im_node_input(m, n, i, &x, NULL));
        if (!same_out(sum, x))
            return REFUSE(m, n, LENS_UNSUPPORTED, "inputs of different shapes (broadcasting)");
        sum = lens_add(sum, x, i == n->inputs - 1 ? im_name(m, n, NULL, buf) : NULL);
        if (!sum) break;
    }
    return im_give(m, n, sum);
}
