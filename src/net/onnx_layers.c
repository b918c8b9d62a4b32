/* onnx_layers.c - operators of ONNX that become layers: one converter for each.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <math.h>
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
    LENS_TRY(kernel_of(m, n, weight, x, kernel));
    LENS_TRY(groups_of(m, n, &groups));
    LENS_TRY(window_of(m, n, x, kernel, &w));
    LENS_TRY(im_attr_sizes(m, n, "output_padding", w.axes, 0, extra));
    LENS_TRY(im_attr_sizes(m, n, "output_shape", w.axes, 0, target));
    bool upper = im_attr_is(n, "auto_pad", "SAME_UPPER"),
         lower = im_attr_is(n, "auto_pad", "SAME_LOWER");
    bool flat = w.axes == 1;
    int size[2] = { flat ? x->op.out.w : x->op.out.h, x->op.out.w };
    for (int d = 0; d < w.axes; d++) {
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
        w.pads[w.axes + d] = (int)total - w.pads[d];
    }
    if (weight->dim[1] * groups > OP_MAX_DIM)
        return REFUSE(m, n, LENS_BAD_FILE, "%lld output channels",
                      (long long)weight->dim[1] * groups);
    for (int d = 0; d < w.axes; d++)
        if (extra[d] >= w.stride[d])
            return REFUSE(m, n, LENS_UNSUPPORTED, "output_padding %d with stride %d", extra[d],
                          w.stride[d]);
    /* A sequence is a picture of one row, and so is its kernel. */
    value picture = *weight;
    if (flat) {
        x = lens_reshape(x, NULL, x->op.out.c, 1, x->op.out.w);
        picture.rank = 4;
        picture.dim[2] = 1;
        picture.dim[3] = weight->dim[2];
    }
    lens_conv_transpose2d_opts o = { .out = (int)weight->dim[1] * groups,
                                     .kernel = { flat ? 1 : w.kernel[0], w.kernel[w.axes - 1] },
                                     .stride = { flat ? 1 : w.stride[0], w.stride[w.axes - 1] },
                                     .dilation = { flat ? 1 : w.dilation[0],
                                                   w.dilation[w.axes - 1] },
                                     .pads = { flat ? 0 : w.pads[0], w.pads[w.axes - 1],
                                               flat ? 0 : w.pads[2], w.pads[2 * w.axes - 1] },
                                     .extra = { flat ? 0 : extra[0], extra[w.axes - 1] },
                                     .groups = groups,
                                     .no_bias = !bias };
    y = lens_conv_transpose2d(x, im_name(m, n, weight, buf), o);
    if (!y) return im_refuse(m, n, m->net->error);
    LENS_TRY(im_fill(m, n, y, 0, &picture, false, 1));
    if (bias) LENS_TRY(im_fill(m, n, y, 1, bias, false, 1));
    return im_give(m, n, flat ? lens_reshape1d(y, NULL, y->op.out.c, y->op.out.w) : y);
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
    LENS_TRY(im_channels_input(m, n, 0, &x));
    if (x->op.out.rank < 3) return REFUSE(m, n, LENS_UNSUPPORTED, "features have no positions");
    const char *name = im_name(m, n, NULL, buf);
    lens_node *y = !strcmp(n->op, "GlobalMaxPool") ? lens_global_maxpool(x, name)
                                                   : lens_global_avgpool(x, name);
    LENS_TRY(im_give_like(m, n, y));
    value *v = im_output(m, n);
    for (int d = 2; d < v->rank; d++) v->dim[d] = 1;
    return LENS_OK;
}

/* ---- Layers --------------------------------------------------------------------------------- */

/* Output 1 or 2 of training: what the running mean or variance becomes. */
static lens_status batch_statistics(import *m, const onnx_node *n, int i) {
    part x, old;
    double keep = (double)im_attr_float(n, "momentum", 0.9f);
    const value *v = im_input(m, n, 0);
    if (!m->whole || i > 2 || !v || !im_has_input(n, i + 2))
        return REFUSE(m, n, LENS_UNSUPPORTED, "its output %d", i);
    LENS_TRY(im_part(m, n, 0, v->rank, &x));
    LENS_TRY(im_part(m, n, i + 2, 1, &old));
    unsigned axes = ((1u << x.rank) - 1) & ~2u;
    part now = part_reduce("mean", x, axes, NULL);
    if (i == 2) {
        part centred = part_binary("sub", x, now, NULL);
        now = part_reduce("mean", part_binary("mul", centred, centred, NULL), axes, NULL);
    }
    now = part_unary(part_shaped(now, 1, x.dim + 1), "affine", 1 - keep, 0, NULL);
    old = part_unary(old, "affine", keep, 0, NULL);
    return im_give_part(m, n, i, part_binary("add", old, now, NULL));
}

/* With training_mode, too, it is the layer: the batch's statistics in training, else the running ones. */
lens_status convert_batchnorm(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    char buf[NET_MAX_NAME + 1], digits[32];
    float eps = im_attr_float(n, "epsilon", 1e-5f), keep = im_attr_float(n, "momentum", 0.9f);
    for (int i = 1; i < n->outputs; i++)
        if (im_wants(m, n, i)) return batch_statistics(m, n, i);
    LENS_TRY(im_channels_input(m, n, 0, &x));
    if (m->model->opset < 7 && !im_attr_int(n, "is_test", 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "training before opset 7");
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
    LENS_TRY(im_give_like(m, n, y));
    for (int i = 0; i < 4; i++) {
        const value *v = im_input(m, n, 1 + i);
        if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input %d is missing", 1 + i);
        LENS_TRY(im_fill(m, n, y, i, v, false, 1));
    }
    return LENS_OK;
}

lens_status convert_act(import *m, const onnx_node *n) {
    char buf[NET_MAX_NAME + 1];
    part x;
    const value *v = im_input(m, n, 0);
    LENS_TRY(im_part(m, n, 0, v ? v->rank : 0, &x));
    const char *name = im_name(m, n, NULL, buf);
    float slope = im_attr_float(n, "alpha", 0.01f);
    if (!strcmp(n->op, "Relu") || (!strcmp(n->op, "LeakyRelu") && slope == 0))
        x.node = lens_relu(x.node, name);
    else if (!strcmp(n->op, "LeakyRelu") && !(slope > 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "alpha %g", (double)slope);
    else if (!strcmp(n->op, "LeakyRelu"))
        x.node = lens_leaky_relu(x.node, name, slope);
    else if (!strcmp(n->op, "Tanh"))
        x.node = lens_tanh(x.node, name);
    else
        x.node = lens_sigmoid(x.node, name);
    return im_give_part(m, n, 0, x);
}

lens_status convert_lrn(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(im_channels_input(m, n, 0, &x));
    int64_t size = im_attr_int(n, "size", 0);
    lens_lrn_opts o = { .n = (int)size,
                        .alpha = im_attr_float(n, "alpha", 1e-4f),
                        .beta = im_attr_float(n, "beta", 0.75f),
                        .k = im_attr_float(n, "bias", 1) };
    if (size < 1 || size > OP_MAX_DIM)
        return REFUSE(m, n, LENS_BAD_FILE, "size is %lld", (long long)size);
    if (size % 2 == 0 || !(o.alpha > 0 && o.beta > 0 && o.k > 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "an even size, or a number not above 0");
    return im_give_like(m, n, lens_lrn(x, im_name(m, n, NULL, buf), o));
}

/* The mask of a dropout that does nothing: truths, which are ones here. */
static lens_status give_mask(import *m, const onnx_node *n) {
    part x;
    const value *v = im_input(m, n, 0);
    LENS_TRY(im_part(m, n, 0, v ? v->rank : 0, &x));
    return im_give_part(m, n, 1, part_unary(x, "affine", 0, 1, NULL));
}

lens_status convert_dropout(import *m, const onnx_node *n) {
    char buf[NET_MAX_NAME + 1];
    float rate = im_attr_float(n, "ratio", 0.5f);
    bool training = m->model->opset < 7 && !im_attr_int(n, "is_test", 0);
    part x;
    if (im_has_input(n, 1)) LENS_TRY(im_float(m, n, im_input(m, n, 1), &rate));
    if (im_has_input(n, 2)) {
        int64_t on[FOLD_MAX];
        int count;
        LENS_TRY(im_ints(m, n, im_input(m, n, 2), on, &count));
        training = count == 1 && on[0];
    }
    bool drops = rate > 0 && rate < 1;
    if (im_wants(m, n, 1)) {
        if (training && drops) return REFUSE(m, n, LENS_UNSUPPORTED, "its mask is used");
        LENS_TRY(give_mask(m, n));
    }
    if (!im_wants(m, n, 0)) return LENS_OK;
    const value *v = im_input(m, n, 0);
    if (!drops || im_is_constant(v)) return im_same(m, n);
    LENS_TRY(im_part(m, n, 0, v ? v->rank : 0, &x));
    x.node = lens_dropout(x.node, im_name(m, n, NULL, buf), rate);
    return im_give_part(m, n, 0, x);
}

/* ---- Matrices ------------------------------------------------------------------------------- */

static bool is_tensor(const value *v) {
    return im_is_constant(v) && v->tensor && onnx_is_real(v->tensor);
}

/* A dense layer: weight in the file (out, in), or (in, out) if `turned`. */
static lens_status dense(import *m, const onnx_node *n, const value *weight, bool turned,
                         float scale, const value *bias, float bias_scale, const char *name) {
    lens_node *x = NULL, *y;
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank != 2)
        return REFUSE(m, n, LENS_BAD_FILE, "its input has rank %d, only (N,F)", x->op.out.rank);
    int64_t out = weight->dim[turned ? 1 : 0];
    if (out < 1 || out > OP_MAX_DIM)
        return REFUSE(m, n, LENS_BAD_FILE, "weights with %lld outputs", (long long)out);
    y = lens_dense(x, name, (lens_dense_opts){ .out = (int)out, .no_bias = !bias });
    if (!y) return im_refuse(m, n, m->net->error);
    LENS_TRY(im_fill(m, n, y, 0, weight, turned, scale));
    if (bias) LENS_TRY(im_fill(m, n, y, 1, bias, false, bias_scale));
    return im_give(m, n, y);
}

/* alpha*A'*B' + beta*C for matrices of any kind. */
static lens_status general_gemm(import *m, const onnx_node *n) {
    part x[3];
    double alpha = (double)im_attr_float(n, "alpha", 1), beta = (double)im_attr_float(n, "beta", 1);
    static const char *const turn[] = { "transA", "transB" };
    char buf[NET_MAX_NAME + 1];
    bool third = im_has_input(n, 2);
    for (int i = 0; i < 2 + third; i++) LENS_TRY(im_part(m, n, i, 2, &x[i]));
    for (int i = 0; i < 2; i++) {
        if (x[i].rank != 2)
            return REFUSE(m, n, LENS_UNSUPPORTED, "samples would be mixed, or rank %d", x[i].rank);
        if (!im_attr_int(n, turn[i], 0)) continue;
        index_map map = map_of(m->ctx, 2, x[i].dim);
        map.order[0] = 1;
        map.order[1] = 0;
        x[i] = part_moved(x[i], &map, NULL);
        map_free(&map);
    }
    const char *name = im_name(m, n, NULL, buf);
    part y = part_matmul(x[0], x[1], alpha == 1 && !third ? name : NULL);
    if (alpha != 1) y = part_unary(y, "affine", alpha, 0, third ? NULL : name);
    if (third && beta != 1) x[2] = part_unary(x[2], "affine", beta, 0, NULL);
    if (third) y = part_binary("add", y, x[2], name);
    return im_give_part(m, n, 0, y);
}

/* A matrix of constants from the right makes a dense layer. */
lens_status convert_gemm(import *m, const onnx_node *n) {
    const value *x = im_input(m, n, 0), *weight = im_input(m, n, 1), *bias = im_input(m, n, 2);
    char buf[NET_MAX_NAME + 1];
    bool turned = !im_attr_int(n, "transB", 0);
    int64_t out = weight && weight->rank == 2 ? weight->dim[turned ? 1 : 0] : 0;
    bool row = !im_has_input(n, 2) || (is_tensor(bias) && bias->rank >= 1 &&
                                       bias->dim[bias->rank - 1] == out && im_count(bias) == out);
    if (m->whole || im_attr_int(n, "transA", 0) || !x || !x->node || !is_tensor(weight) || !row)
        return general_gemm(m, n);
    return dense(m, n, weight, turned, im_attr_float(n, "alpha", 1), bias,
                 im_attr_float(n, "beta", 1), im_name(m, n, weight, buf));
}

/* x W, and if the only reader adds a constant row to it, x W + b; else a product of any rank. */
lens_status convert_matmul(import *m, const onnx_node *n) {
    const value *x = im_input(m, n, 0), *weight = im_input(m, n, 1), *y = im_output(m, n);
    const value *bias = NULL;
    char buf[NET_MAX_NAME + 1];
    if (!x || !weight) return REFUSE(m, n, LENS_BAD_FILE, "an input is missing");
    if (m->whole || x->rank != 2 || !x->node || !is_tensor(weight) || weight->rank != 2) {
        int rank = x->rank > weight->rank ? x->rank : weight->rank;
        part a, b;
        if (!m->whole && ((x->node && x->rank == 2) || (weight->node && weight->rank == 2)))
            return REFUSE(m, n, LENS_UNSUPPORTED, "samples would be mixed");
        LENS_TRY(im_part(m, n, 0, rank, &a));
        LENS_TRY(im_part(m, n, 1, rank, &b));
        return im_give_part(m, n, 0, part_matmul(a, b, im_name(m, n, NULL, buf)));
    }
    const onnx_node *add = y->readers == 1 ? &m->model->node[y->reader] : NULL;
    const onnx_node *named = n;
    if (add && !strcmp(add->op, "Add") && add->inputs == 2) {
        int other = !strcmp(add->input[0], n->output[0]);
        const value *v = im_input(m, add, other);
        if (is_tensor(v) && v->rank >= 1 && v->rank <= 2 && v->dim[v->rank - 1] == weight->dim[1] &&
            im_count(v) == weight->dim[1]) {
            bias = v;
            named = add;
            m->skip[y->reader] = 1;
        }
    }
    LENS_TRY(dense(m, n, weight, true, 1, bias, 1, im_name(m, named, weight, buf)));
    return bias ? im_give(m, add, y->node) : LENS_OK;
}
