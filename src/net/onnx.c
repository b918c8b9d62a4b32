/* onnx.c - an ONNX graph becomes a net. One converter per operator; the table at the end says which
 * opsets it holds for.
 *
 * A value of the graph is a node of the net, or a constant. What exporters write to work out shapes
 * (Shape, Gather, Concat ... before a Reshape) is computed here on constants, in which the number of
 * samples is the mark BATCH. Only what leads to the output is built.
 *
 * Invariants: all operators are looked up before any node is built; the net's weights are allocated
 * after every tensor was compared with the parameter it fills.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx.h"
#include "op/op_opts.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The number of samples, which is not known, among the numbers of a shape. */
#define BATCH INT64_MIN

enum {
    FOLD_MAX = 64,            /* numbers of a shape computation; ranks are below 9 */
    MOST_COPIES = 4,          /* of one tensor, on average, in the weights of the net */
    ALWAYS_WEIGHTS = 1 << 20, /* floats; vectors are padded to 64 bytes */
    MAX_VALUES = 1 << 18,     /* names in a graph; DenseNet-264 has about 4,000 */
};

typedef struct value {
    const char *name;
    lens_node *node;           /* or */
    const onnx_tensor *tensor; /* a constant in the file, under another shape if reshaped; or */
    int64_t *ints;             /* a constant computed here, FOLD_MAX numbers */
    /* of a constant */
    int rank;
    int64_t dim[ONNX_MAX_RANK];
    bool turned; /* tensor, but rank 2 with rows and columns exchanged */
    int pads
        [4]; /* of a node: zeros around it that the next convolution adds: top, left, bottom, right */
    bool padded;
    float scale; /* of a node, not 0: a factor that only a scaled tanh can take up */
    int readers; /* nodes that read it */
    int reader;  /* the last of them */
} value;

/* The numbers of the constants computed here, freed together. */
typedef struct folded {
    struct folded *next;
    int64_t ints[FOLD_MAX];
} folded;

typedef struct import import;
typedef lens_status convert_fn(import *, const onnx_node *);

typedef struct row {
    onnx_row about;
    convert_fn *convert;
} row;

/* How a parameter gets its numbers after the net is allocated: value[i] = scale * tensor[...]. */
typedef struct fill {
    lens_node *node;
    int slot;
    const onnx_tensor *tensor; /* NULL: zeros */
    bool turned;               /* exchange rows (dim 0 of the parameter) and columns */
    float scale;
} fill;

struct import {
    lens_ctx *ctx;
    const char *where;
    const onnx_model *model;
    lens_net *net;
    value *value; /* hash table by name */
    size_t slots;
    int64_t batch; /* the file's fixed number of samples, or -1 */
    bool *needed;  /* per node of the graph */
    const row **row;
    int *skip; /* nodes already taken into another one */
    fill *fill;
    int fills, fill_room;
    folded *folded;
};

/* ---- Messages ------------------------------------------------------------------------------- */

/* "model.onnx: Conv 'conv1' (opset 13): " before a formatted text. */
#define REFUSE(m, n, status, ...) refuse(m, n, ctx_fail((m)->ctx, status, __VA_ARGS__))

static const char *node_label(const onnx_node *n) {
    return *n->name ? n->name : n->outputs ? n->output[0] : "";
}

static lens_status refuse(const import *m, const onnx_node *n, lens_status status) {
    return ctx_fail_prefix(m->ctx, status, "%s: %.60s '%.100s' (opset %lld)", m->where, n->op,
                           node_label(n), (long long)m->model->opset);
}

/* ---- Values --------------------------------------------------------------------------------- */

static value *slot_of(const import *m, const char *name) {
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t slot = (size_t)hash & (m->slots - 1);
    while (m->value[slot].name && strcmp(m->value[slot].name, name))
        slot = (slot + 1) & (m->slots - 1);
    return &m->value[slot];
}

static value *find_value(const import *m, const char *name) {
    value *v = slot_of(m, name);
    return v->name ? v : NULL;
}

static lens_status new_value(import *m, const char *name, value **out) {
    value *v = slot_of(m, name);
    *out = v;
    if (v->name)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: two values are called '%.100s'", m->where,
                        name);
    v->name = name;
    return LENS_OK;
}

static bool has_input(const onnx_node *n, int i) { return i < n->inputs && *n->input[i]; }

/* NULL: left out, or nothing that a converter gave (the mask of a dropout). */
static value *input_of(const import *m, const onnx_node *n, int i) {
    value *v = has_input(n, i) ? find_value(m, n->input[i]) : NULL;
    return v && (v->node || v->tensor || v->ints) ? v : NULL;
}

static value *output_of(const import *m, const onnx_node *n) { return slot_of(m, n->output[0]); }

static bool is_constant(const value *v) { return v && !v->node && (v->tensor || v->ints); }

static int64_t count_of(const value *v) {
    int64_t count = 1; /* no overflow: the product of a tensor's dims, or at most FOLD_MAX */
    for (int d = 0; d < v->rank; d++) count *= v->dim[d];
    return count;
}

/* The input must be a node of the net; padding that is still to be added is refused unless `pads`
 * takes it. */
static lens_status node_input(import *m, const onnx_node *n, int i, lens_node **x, int pads[4]) {
    const value *v = input_of(m, n, i);
    if (!v || !v->node)
        return REFUSE(m, n, LENS_UNSUPPORTED, "input %d must be computed, not a constant", i);
    if (v->scale != 0)
        return REFUSE(m, n, LENS_UNSUPPORTED,
                      "a factor before it, which only stands in 1.7159*tanh(2x/3)");
    if (pads)
        memcpy(pads, v->pads, 4 * sizeof *pads);
    else if (v->padded)
        return REFUSE(m, n, LENS_UNSUPPORTED,
                      "padding can only be followed by a convolution or an average pooling");
    *x = v->node;
    return LENS_OK;
}

/* A short list of whole numbers: an input that is constant. */
static lens_status ints_of(import *m, const onnx_node *n, const value *v, int64_t *out,
                           int *count) {
    if (!is_constant(v)) return REFUSE(m, n, LENS_UNSUPPORTED, "what it reads must be constant");
    int64_t have = count_of(v);
    if (have > FOLD_MAX || (v->tensor && onnx_is_real(v->tensor)))
        return REFUSE(m, n, LENS_UNSUPPORTED, "expected at most %d whole numbers", FOLD_MAX);
    if (v->tensor)
        onnx_ints(v->tensor, out);
    else
        memcpy(out, v->ints, (size_t)have * sizeof *out);
    *count = (int)have;
    return LENS_OK;
}

/* Makes the output of `n` a constant of whole numbers; its shape is for the caller. */
static lens_status new_ints(import *m, const onnx_node *n, value **y) {
    folded *f = ctx_alloc(m->ctx, 1, sizeof *f);
    if (!f) return LENS_NOMEM;
    f->next = m->folded;
    m->folded = f;
    *y = slot_of(m, n->output[0]);
    (*y)->ints = f->ints;
    return LENS_OK;
}

/* One real constant. */
static lens_status float_of(import *m, const onnx_node *n, const value *v, float *out) {
    if (!is_constant(v) || !v->tensor || !onnx_is_real(v->tensor) || v->tensor->count != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "expected one constant number");
    onnx_floats(v->tensor, out);
    return LENS_OK;
}

/* ---- Attributes ----------------------------------------------------------------------------- */

static int64_t attr_int(const onnx_node *n, const char *name, int64_t usual) {
    const onnx_attr *a = onnx_attribute(n, name);
    return a && a->type == ONNX_INT ? a->i : usual;
}

static float attr_float(const onnx_node *n, const char *name, float usual) {
    const onnx_attr *a = onnx_attribute(n, name);
    return a && a->type == ONNX_FLOAT ? a->f : usual;
}

static bool attr_is(const onnx_node *n, const char *name, const char *word) {
    const onnx_attr *a = onnx_attribute(n, name);
    return a && a->type == ONNX_STRING && !strcmp(a->s, word);
}

/* Exactly `count` numbers 0..OP_MAX_DIM, or all `usual` if the attribute is absent. */
static lens_status attr_sizes(import *m, const onnx_node *n, const char *name, int count, int usual,
                              int *out) {
    const onnx_attr *a = onnx_attribute(n, name);
    for (int i = 0; i < count; i++) out[i] = usual;
    if (!a) return LENS_OK;
    if (a->type != ONNX_INTS || a->count != count)
        return REFUSE(m, n, LENS_BAD_FILE, "%s has %d numbers, expected %d", name, a->count, count);
    for (int i = 0; i < count; i++) {
        if (a->ints[i] < 0 || a->ints[i] > OP_MAX_DIM)
            return REFUSE(m, n, a->ints[i] < 0 ? LENS_UNSUPPORTED : LENS_BAD_FILE,
                          "%s: %lld is outside 0..%d", name, (long long)a->ints[i], OP_MAX_DIM);
        out[i] = (int)a->ints[i];
    }
    return LENS_OK;
}

/* An axis, counted from the end if negative; -1: outside. */
static int axis_of(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

/* Axes as an attribute, or from opset `since` on as input i. None given: *count = 0. */
static lens_status axes_of(import *m, const onnx_node *n, int i, int rank, int *axis, int *count) {
    int64_t list[FOLD_MAX];
    const onnx_attr *a = onnx_attribute(n, "axes");
    *count = 0;
    if (a && a->type == ONNX_INTS) {
        if (a->count > ONNX_MAX_RANK)
            return REFUSE(m, n, LENS_BAD_FILE, "axes has %d numbers", a->count);
        *count = a->count;
        for (int k = 0; k < a->count; k++) list[k] = a->ints[k];
    } else if (has_input(n, i)) {
        LENS_TRY(ints_of(m, n, input_of(m, n, i), list, count));
    }
    if (*count > ONNX_MAX_RANK) return REFUSE(m, n, LENS_BAD_FILE, "axes has %d numbers", *count);
    for (int k = 0; k < *count; k++) {
        axis[k] = axis_of(list[k], rank);
        if (axis[k] < 0)
            return REFUSE(m, n, LENS_BAD_FILE, "axis %lld but the input has rank %d",
                          (long long)list[k], rank);
    }
    return LENS_OK;
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* A valid and free name near `from`, else NULL (the builder then counts). A weight "conv1.weight" names
 * its node conv1, so that parameters keep the names they had where the graph was exported. */
static const char *choose_name(const import *m, const char *from, size_t length, char *buf) {
    if (length == 0 || length > NET_MAX_NAME - 8) return NULL;
    for (size_t i = 0; i < length; i++)
        buf[i] = from[i] > ' ' && from[i] <= '~' && !strchr("=,#\"", from[i]) ? from[i] : '_';
    buf[length] = 0;
    for (int k = 2; lens_net_find(m->net, buf); k++) {
        if (k == 1000) return NULL;
        snprintf(buf + length, 8, "_%d", k);
    }
    return buf;
}

static const char *name_of(const import *m, const onnx_node *n, const value *weight, char *buf) {
    if (weight && weight->tensor) {
        static const char tail[] = ".weight";
        const char *from = weight->tensor->name;
        size_t length = strlen(from), cut = sizeof tail - 1;
        if (length > cut && !strcmp(from + length - cut, tail))
            return choose_name(m, from, length - cut, buf);
    }
    return choose_name(m, n->output[0], strlen(n->output[0]), buf);
}

/* ---- Building ------------------------------------------------------------------------------- */

static lens_status give_node(import *m, const onnx_node *n, lens_node *y) {
    if (!y) return refuse(m, n, m->net->error); /* the message of the builder stands */
    output_of(m, n)->node = y;
    return LENS_OK;
}

/* The constant `v` becomes the parameter; `turned`: the file has it with rows and columns exchanged.
 * The element counts must agree, and shapes unless the parameter is a vector. */
static lens_status fill_with(import *m, const onnx_node *n, lens_node *node, int slot,
                             const value *v, bool turned, float scale) {
    const op_param *op = &node->op.param[slot];
    const onnx_tensor *t = v ? v->tensor : NULL;
    if (v) {
        if (!is_constant(v) || !t || !onnx_is_real(t))
            return REFUSE(m, n, LENS_UNSUPPORTED, "'%.100s' must be a constant of real numbers",
                          v->name);
        if (t->count != (int64_t)op->count)
            return REFUSE(m, n, LENS_BAD_FILE, "'%.100s' has %lld numbers but %s needs %zu",
                          v->name, (long long)t->count, op->suffix, op->count);
        for (int d = 0; op->rank > 1 && d < op->rank; d++) {
            int64_t have = d < v->rank ? v->dim[turned ? 1 - d : d] : 0;
            if (v->rank != op->rank || have != op->dim[d])
                return REFUSE(m, n, LENS_BAD_FILE,
                              "'%.100s': dimension %d is %lld but %s needs %lld", v->name, d,
                              (long long)have, op->suffix, (long long)op->dim[d]);
        }
    }
    if (m->fills == m->fill_room) {
        int room = m->fill_room ? 2 * m->fill_room : 64;
        fill *list = ctx_grow(m->ctx, m->fill, (size_t)m->fills, (size_t)room, sizeof *list);
        if (!list) return LENS_NOMEM;
        m->fill = list;
        m->fill_room = room;
    }
    m->fill[m->fills++] = (fill){ node, slot, t, turned != (v && v->turned), scale };
    return LENS_OK;
}

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
    LENS_TRY(attr_sizes(m, n, "kernel_shape", k, 0, w->kernel));
    LENS_TRY(attr_sizes(m, n, "strides", k, 1, w->stride));
    LENS_TRY(attr_sizes(m, n, "dilations", k, 1, w->dilation));
    LENS_TRY(attr_sizes(m, n, "pads", 2 * k, 0, w->pads));
    bool upper = attr_is(n, "auto_pad", "SAME_UPPER"), lower = attr_is(n, "auto_pad", "SAME_LOWER");
    for (int d = 0; d < k; d++) {
        if (kernel && !w->kernel[d]) w->kernel[d] = kernel[d];
        if (kernel && w->kernel[d] != kernel[d])
            return REFUSE(m, n, LENS_BAD_FILE, "kernel_shape says %d but the weights have %d",
                          w->kernel[d], kernel[d]);
        if (!w->kernel[d] || !w->stride[d] || !w->dilation[d])
            return REFUSE(m, n, LENS_BAD_FILE, "a kernel, stride or dilation of 0");
        if (attr_is(n, "auto_pad", "VALID")) w->pads[d] = w->pads[k + d] = 0;
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
    if (!is_constant(v) || !v->tensor)
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
    int64_t g = attr_int(n, "group", 1);
    if (g < 1 || g > OP_MAX_DIM) return REFUSE(m, n, LENS_BAD_FILE, "group is %lld", (long long)g);
    *groups = (int)g;
    return LENS_OK;
}

static lens_status convert_conv(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    window w;
    int kernel[2] = { 0 }, extra[4], groups = 1;
    char buf[NET_MAX_NAME + 1];
    const value *weight = input_of(m, n, 1), *bias = input_of(m, n, 2);
    LENS_TRY(node_input(m, n, 0, &x, extra));
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
    const char *name = name_of(m, n, weight, buf);
    y = flat ? lens_conv1d(x, name, o) : lens_conv2d(x, name, o);
    LENS_TRY(give_node(m, n, y));
    LENS_TRY(fill_with(m, n, y, 0, weight, false, 1));
    return bias ? fill_with(m, n, y, 1, bias, false, 1) : LENS_OK;
}

static lens_status convert_conv_transpose(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    window w;
    int kernel[2] = { 0 }, extra[2], target[2], groups = 1;
    char buf[NET_MAX_NAME + 1];
    const value *weight = input_of(m, n, 1), *bias = input_of(m, n, 2);
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank != 4) return REFUSE(m, n, LENS_UNSUPPORTED, "only pictures (N,C,H,W)");
    LENS_TRY(kernel_of(m, n, weight, x, kernel));
    LENS_TRY(groups_of(m, n, &groups));
    LENS_TRY(window_of(m, n, x, kernel, &w));
    LENS_TRY(attr_sizes(m, n, "output_padding", 2, 0, extra));
    LENS_TRY(attr_sizes(m, n, "output_shape", 2, 0, target));
    bool upper = attr_is(n, "auto_pad", "SAME_UPPER"), lower = attr_is(n, "auto_pad", "SAME_LOWER");
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
    y = lens_conv_transpose2d(x, name_of(m, n, weight, buf), o);
    LENS_TRY(give_node(m, n, y));
    LENS_TRY(fill_with(m, n, y, 0, weight, false, 1));
    return bias ? fill_with(m, n, y, 1, bias, false, 1) : LENS_OK;
}

static lens_status convert_pool(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    window w;
    char buf[NET_MAX_NAME + 1];
    int extra[4];
    bool average = !strcmp(n->op, "AveragePool");
    LENS_TRY(node_input(m, n, 0, &x, average ? extra : NULL));
    LENS_TRY(window_of(m, n, x, NULL, &w));
    lens_pool_opts o = { .kernel = pair(&w, w.kernel),
                         .stride = pair(&w, w.stride),
                         .ceil = attr_int(n, "ceil_mode", 0) != 0 };
    bool own = false, padded = input_of(m, n, 0)->padded;
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
    bool include = attr_int(n, "count_include_pad", 0) != 0;
    if (own && padded && !include) return REFUSE(m, n, LENS_UNSUPPORTED, "padding of two kinds");
    o.exclude_pad = average && own && !include;
    const char *name = name_of(m, n, NULL, buf);
    return give_node(m, n, average ? lens_avgpool(x, name, o) : lens_maxpool(x, name, o));
}

static lens_status convert_global(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank < 3) return REFUSE(m, n, LENS_UNSUPPORTED, "features have no positions");
    const char *name = name_of(m, n, NULL, buf);
    return give_node(m, n,
                     !strcmp(n->op, "GlobalMaxPool") ? lens_global_maxpool(x, name)
                                                     : lens_global_avgpool(x, name));
}

/* Zeros around the picture wait for the convolution; more channels are a shortcut (option A). */
static lens_status convert_pad(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int64_t pads[FOLD_MAX];
    int count = 0;
    float fill_value = attr_float(n, "value", 0);
    char buf[NET_MAX_NAME + 1];
    const onnx_attr *a = onnx_attribute(n, "pads");
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    int rank = x->op.out.rank;
    if (a && a->type == ONNX_INTS && a->count <= FOLD_MAX) {
        count = a->count;
        memcpy(pads, a->ints, (size_t)count * sizeof *pads);
    } else {
        LENS_TRY(ints_of(m, n, input_of(m, n, 1), pads, &count));
    }
    if (has_input(n, 2)) LENS_TRY(float_of(m, n, input_of(m, n, 2), &fill_value));
    if (has_input(n, 3)) return REFUSE(m, n, LENS_UNSUPPORTED, "axes");
    if (count != 2 * rank) return REFUSE(m, n, LENS_BAD_FILE, "%d pads for rank %d", count, rank);
    if (onnx_attribute(n, "mode") && !attr_is(n, "mode", "constant"))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only mode constant");
    bool planes = false, channels = pads[1] || pads[rank + 1];
    for (int i = 0; i < count; i++) {
        if (pads[i] < 0 || pads[i] > OP_MAX_DIM / 4)
            return REFUSE(m, n, LENS_UNSUPPORTED, "pads of %lld", (long long)pads[i]);
        planes |= i % rank >= 2 && pads[i];
    }
    value *y = output_of(m, n);
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
        return give_node(m, n, lens_shortcut(x, name_of(m, n, NULL, buf), o));
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

static lens_status convert_batchnorm(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    char buf[NET_MAX_NAME + 1], digits[32];
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    float eps = attr_float(n, "epsilon", 1e-5f), keep = attr_float(n, "momentum", 0.9f);
    if (attr_int(n, "training_mode", 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "training_mode");
    if (!attr_int(n, "spatial", 1)) return REFUSE(m, n, LENS_UNSUPPORTED, "spatial=0");
    if (!(eps > 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "epsilon %g", (double)eps);
    if (n->inputs < 5) return REFUSE(m, n, LENS_BAD_FILE, "%d inputs, expected 5", n->inputs);
    /* ONNX weighs the old value, we the new: 0.9 there is 0.1 here, not 0.100000024. */
    snprintf(digits, sizeof digits, "%.6g", 1 - (double)keep);
    double momentum = 0;
    parse_double(digits, &momentum);
    if (!(momentum > 0 && momentum <= 1)) momentum = 0;
    y = lens_batchnorm(x, name_of(m, n, input_of(m, n, 1), buf),
                       (lens_batchnorm_opts){ eps, (float)momentum });
    LENS_TRY(give_node(m, n, y));
    for (int i = 0; i < 4; i++) {
        const value *v = input_of(m, n, 1 + i);
        if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input %d is missing", 1 + i);
        LENS_TRY(fill_with(m, n, y, i, v, false, 1));
    }
    return LENS_OK;
}

static lens_status convert_act(import *m, const onnx_node *n) {
    lens_node *x = NULL, *y;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    const char *name = name_of(m, n, NULL, buf);
    float slope = attr_float(n, "alpha", 0.01f);
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
    return give_node(m, n, y);
}

/* Before opset 13 everything from the axis on is one row, and the axis is 1 if not given. */
static lens_status convert_softmax(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    shape in = x->op.out;
    bool rows = m->model->opset < 13;
    int axis = axis_of(attr_int(n, "axis", rows ? 1 : -1), in.rank);
    if (axis < 0) return REFUSE(m, n, LENS_BAD_FILE, "axis outside rank %d", in.rank);
    if (axis != 1 || (rows && in.h * in.w != 1))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only over channels (axis 1), not axis %d of rank %d",
                      axis, in.rank);
    return give_node(m, n, lens_softmax(x, name_of(m, n, NULL, buf)));
}

static lens_status convert_lrn(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    int64_t size = attr_int(n, "size", 0);
    lens_lrn_opts o = { .n = (int)size,
                        .alpha = attr_float(n, "alpha", 1e-4f),
                        .beta = attr_float(n, "beta", 0.75f),
                        .k = attr_float(n, "bias", 1) };
    if (size < 1 || size > OP_MAX_DIM)
        return REFUSE(m, n, LENS_BAD_FILE, "size is %lld", (long long)size);
    if (size % 2 == 0 || !(o.alpha > 0 && o.beta > 0 && o.k > 0))
        return REFUSE(m, n, LENS_UNSUPPORTED, "an even size, or a number not above 0");
    return give_node(m, n, lens_lrn(x, name_of(m, n, NULL, buf), o));
}

/* Gives the output of `n` the value of its input. */
static lens_status convert_same(import *m, const onnx_node *n) {
    const value *x = input_of(m, n, 0);
    value *y = output_of(m, n), old = *y;
    if (!x) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    *y = *x;
    y->name = old.name;
    y->readers = old.readers;
    y->reader = old.reader;
    return LENS_OK;
}

/* Sizes stay whole numbers, and a picture stays float. */
static lens_status convert_cast(import *m, const onnx_node *n) {
    const value *v = input_of(m, n, 0);
    int64_t to = attr_int(n, "to", 0);
    bool sizes = v && !v->node && (v->ints || !onnx_is_real(v->tensor));
    if (!v || (sizes ? to != ONNX_I64 && to != ONNX_I32 : to != ONNX_F32))
        return REFUSE(m, n, LENS_UNSUPPORTED, "to ONNX type %lld", (long long)to);
    return convert_same(m, n);
}

static lens_status convert_dropout(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    float rate = attr_float(n, "ratio", 0.5f);
    if (has_input(n, 1)) LENS_TRY(float_of(m, n, input_of(m, n, 1), &rate));
    if (has_input(n, 2)) {
        int64_t on[FOLD_MAX];
        int count;
        LENS_TRY(ints_of(m, n, input_of(m, n, 2), on, &count));
        if (count == 1 && on[0]) return REFUSE(m, n, LENS_UNSUPPORTED, "training_mode");
    }
    for (int i = 1; i < n->outputs; i++) {
        const value *mask = *n->output[i] ? find_value(m, n->output[i]) : NULL;
        if (mask && mask->readers) return REFUSE(m, n, LENS_UNSUPPORTED, "its mask is used");
    }
    if (!(rate > 0 && rate < 1) || is_constant(input_of(m, n, 0))) return convert_same(m, n);
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    return give_node(m, n, lens_dropout(x, name_of(m, n, NULL, buf), rate));
}

/* ---- Matrices ------------------------------------------------------------------------------- */

/* A dense layer: weight in the file (out, in), or (in, out) if `turned`. */
static lens_status dense(import *m, const onnx_node *n, const value *weight, bool turned,
                         float scale, const value *bias, float bias_scale, const char *name) {
    lens_node *x = NULL, *y;
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    if (x->op.out.rank != 2)
        return REFUSE(m, n, LENS_UNSUPPORTED, "its input has rank %d, only (N,F)", x->op.out.rank);
    if (!is_constant(weight) || !weight->tensor)
        return REFUSE(m, n, LENS_UNSUPPORTED, "its second input must be constant");
    int64_t out = weight->rank == 2 ? weight->dim[turned ? 1 : 0] : 0;
    if (out < 1 || out > OP_MAX_DIM)
        return REFUSE(m, n, weight->rank == 2 ? LENS_BAD_FILE : LENS_UNSUPPORTED,
                      "weights of rank %d with %lld outputs", weight->rank, (long long)out);
    y = lens_dense(x, name, (lens_dense_opts){ .out = (int)out, .no_bias = !bias });
    if (!y) return refuse(m, n, m->net->error);
    LENS_TRY(fill_with(m, n, y, 0, weight, turned, scale));
    if (bias) LENS_TRY(fill_with(m, n, y, 1, bias, false, bias_scale));
    return give_node(m, n, y);
}

static lens_status convert_gemm(import *m, const onnx_node *n) {
    const value *weight = input_of(m, n, 1), *bias = input_of(m, n, 2);
    char buf[NET_MAX_NAME + 1];
    if (attr_int(n, "transA", 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "transA=1");
    bool turned = !attr_int(n, "transB", 0);
    if (is_constant(bias) && is_constant(weight) && weight->rank == 2) {
        int64_t out = weight->dim[turned ? 1 : 0];
        if (bias->rank < 1 || bias->dim[bias->rank - 1] != out || count_of(bias) != out)
            return REFUSE(m, n, LENS_UNSUPPORTED,
                          "C has not one number for each of the %lld outputs", (long long)out);
    }
    return dense(m, n, weight, turned, attr_float(n, "alpha", 1), bias, attr_float(n, "beta", 1),
                 name_of(m, n, weight, buf));
}

/* x W, and if the only reader adds a constant row to it, x W + b. */
static lens_status convert_matmul(import *m, const onnx_node *n) {
    const value *weight = input_of(m, n, 1), *bias = NULL, *y = output_of(m, n);
    char buf[NET_MAX_NAME + 1];
    const onnx_node *add = y->readers == 1 ? &m->model->node[y->reader] : NULL;
    const onnx_node *named = n;
    if (add && !strcmp(add->op, "Add") && add->inputs == 2 && is_constant(weight) &&
        weight->rank == 2) {
        int other = !strcmp(add->input[0], n->output[0]);
        const value *v = input_of(m, add, other);
        if (is_constant(v) && v->tensor && v->rank >= 1 && v->rank <= 2 &&
            v->dim[v->rank - 1] == weight->dim[1] && count_of(v) == weight->dim[1]) {
            bias = v;
            named = add;
            m->skip[y->reader] = 1;
        }
    }
    LENS_TRY(dense(m, n, weight, true, 1, bias, 1, name_of(m, named, weight, buf)));
    if (bias) output_of(m, add)->node = y->node;
    return LENS_OK;
}

static bool same_out(const lens_node *a, const lens_node *b) {
    shape x = a->op.out, y = b->op.out;
    return x.rank == y.rank && x.c == y.c && x.h == y.h && x.w == y.w;
}

/* Whole numbers, element by element; one number stands for all. */
static lens_status fold_arithmetic(import *m, const onnx_node *n) {
    int64_t a[FOLD_MAX], b[FOLD_MAX];
    int na, nb;
    const value *va = input_of(m, n, 0), *vb = input_of(m, n, 1);
    LENS_TRY(ints_of(m, n, va, a, &na));
    LENS_TRY(ints_of(m, n, vb, b, &nb));
    if (na != nb && na != 1 && nb != 1)
        return REFUSE(m, n, LENS_BAD_FILE, "%d and %d numbers", na, nb);
    const value *like = na >= nb ? va : vb;
    value *y;
    LENS_TRY(new_ints(m, n, &y));
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
        const value *v = input_of(m, n, i), *other = input_of(m, n, 1 - i);
        float factor;
        if (!is_constant(v) || !v->tensor || !onnx_is_real(v->tensor) || v->tensor->count != 1 ||
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
static lens_status convert_mul(import *m, const onnx_node *n) {
    const value *x = NULL;
    float factor = factor_of(m, n, &x);
    value *y = output_of(m, n);
    if (!x) return fold_arithmetic(m, n);
    if (!near(factor, 2.0 / 3) || x->padded || x->scale != 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only of shapes, and in 1.7159*tanh(2x/3)");
    y->node = x->node;
    y->scale = factor;
    return LENS_OK;
}

static lens_status convert_tanh(import *m, const onnx_node *n) {
    const value *x = input_of(m, n, 0), *y = output_of(m, n), *seen = NULL;
    char buf[NET_MAX_NAME + 1];
    if (!x || x->scale == 0) return convert_act(m, n);
    const onnx_node *mul = y->readers == 1 ? &m->model->node[y->reader] : NULL;
    if (!mul || strcmp(mul->op, "Mul") || mul->inputs != 2)
        return REFUSE(m, n, LENS_UNSUPPORTED, "a factor before it but none behind");
    /* Its own output has to look like a node while the product is read. */
    LENS_TRY(give_node(m, n, x->node));
    if (!near(factor_of(m, mul, &seen), 1.7159))
        return REFUSE(m, n, LENS_UNSUPPORTED, "factors other than in 1.7159*tanh(2x/3)");
    m->skip[y->reader] = 1;
    return give_node(m, mul, lens_scaled_tanh(x->node, name_of(m, mul, NULL, buf)));
}

static lens_status convert_add(import *m, const onnx_node *n) {
    lens_node *sum = NULL, *x = NULL;
    char buf[NET_MAX_NAME + 1];
    if (n->inputs < 1) return REFUSE(m, n, LENS_BAD_FILE, "no inputs");
    bool constant = true;
    for (int i = 0; i < n->inputs; i++) constant &= is_constant(input_of(m, n, i));
    if (constant && !strcmp(n->op, "Add")) return fold_arithmetic(m, n);
    if (n->inputs == 1) return convert_same(m, n);
    LENS_TRY(node_input(m, n, 0, &sum, NULL));
    for (int i = 1; i < n->inputs; i++) {
        LENS_TRY(node_input(m, n, i, &x, NULL));
        if (!same_out(sum, x))
            return REFUSE(m, n, LENS_UNSUPPORTED, "inputs of different shapes (broadcasting)");
        sum = lens_add(sum, x, i == n->inputs - 1 ? name_of(m, n, NULL, buf) : NULL);
        if (!sum) break;
    }
    return give_node(m, n, sum);
}

/* ---- Shapes --------------------------------------------------------------------------------- */

/* The node's per-sample shape becomes dim[1..rank-1]; dim[0] is the batch. */
static lens_status set_shape(import *m, const onnx_node *n, lens_node *x, int rank,
                             const int64_t *dim) {
    char buf[NET_MAX_NAME + 1];
    shape in = x->op.out;
    double product = 1;
    for (int d = 1; d < rank; d++) {
        if (dim[d] < 1 || dim[d] > OP_MAX_DIM)
            return REFUSE(m, n, LENS_UNSUPPORTED, "dimension %d of the new shape is %lld", d,
                          (long long)dim[d]);
        product *= (double)dim[d];
    }
    if (product != (double)shape_count(in))
        return REFUSE(m, n, LENS_UNSUPPORTED,
                      "samples of %zu numbers become samples of %.0f: the batch would change",
                      shape_count(in), product);
    bool same = rank == in.rank && dim[1] == in.c;
    if (same && rank >= 3) same = dim[rank - 1] == in.w && (rank == 3 || dim[2] == in.h);
    if (same) {
        output_of(m, n)->node = x;
        return LENS_OK;
    }
    const char *name = name_of(m, n, NULL, buf);
    if (rank == 2) return give_node(m, n, lens_flatten(x, name));
    if (rank == 4)
        return give_node(m, n, lens_reshape(x, name, (int)dim[1], (int)dim[2], (int)dim[3]));
    return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
}

static void dims_of(const import *m, const lens_node *x, int64_t *dim) {
    shape in = x->op.out;
    dim[0] = m->batch > 0 ? m->batch : BATCH;
    dim[1] = in.c;
    if (in.rank == 4) dim[2] = in.h;
    if (in.rank >= 3) dim[in.rank - 1] = in.w;
}

/* A constant under another shape; one dimension may be -1. */
static lens_status reshape_constant(import *m, const onnx_node *n, int rank, const int64_t *to) {
    LENS_TRY(convert_same(m, n));
    value *y = output_of(m, n);
    int64_t have = count_of(y), product = 1;
    int open = -1;
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "rank %d", rank);
    if (y->turned) return REFUSE(m, n, LENS_UNSUPPORTED, "a transposed constant");
    int64_t dim[ONNX_MAX_RANK];
    for (int d = 0; d < rank; d++) {
        dim[d] = to[d] == 0 && d < y->rank ? y->dim[d] : to[d];
        if (dim[d] == -1 && open < 0) {
            open = d;
            continue;
        }
        if (dim[d] < 0 || (product && dim[d] > have / product))
            return REFUSE(m, n, LENS_BAD_FILE, "%lld numbers do not fill the new shape",
                          (long long)have);
        product *= dim[d];
    }
    if (open >= 0) dim[open] = product ? have / product : 0;
    if (open >= 0) product *= dim[open];
    if (product != have)
        return REFUSE(m, n, LENS_BAD_FILE, "%lld numbers do not fill the new shape",
                      (long long)have);
    y->rank = rank;
    memcpy(y->dim, dim, (size_t)rank * sizeof *dim);
    return LENS_OK;
}

static lens_status convert_reshape(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int64_t to[FOLD_MAX], now[4];
    int rank;
    const value *v = input_of(m, n, 0);
    LENS_TRY(ints_of(m, n, input_of(m, n, 1), to, &rank));
    if (is_constant(v)) return reshape_constant(m, n, rank, to);
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    if (rank < 2 || rank > 4) return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
    dims_of(m, x, now);
    bool zero_copies = !attr_int(n, "allowzero", 0);
    int open = -1;
    int64_t product = 1, count = (int64_t)shape_count(x->op.out);
    for (int d = 0; d < rank; d++) {
        if (to[d] == 0 && zero_copies && d < x->op.out.rank) to[d] = now[d];
        if (d == 0 || to[d] == -1) continue;
        if (to[d] < 1 || to[d] > OP_MAX_DIM || (product *= to[d]) > count)
            return REFUSE(m, n, LENS_UNSUPPORTED,
                          "samples of %lld numbers do not fill the new shape", (long long)count);
    }
    for (int d = 1; d < rank; d++)
        if (to[d] == -1) {
            if (open >= 0) return REFUSE(m, n, LENS_BAD_FILE, "two open dimensions");
            open = d;
            to[d] = count / product;
        }
    /* The first dimension must stay the batch: its number or mark, or the open one. */
    bool batch = to[0] == BATCH || to[0] == now[0] || (to[0] == -1 && open < 0);
    if (!batch && m->batch > 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "the first dimension becomes %lld, not the batch",
                      (long long)to[0]);
    return set_shape(m, n, x, rank, to);
}

static lens_status convert_flatten(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    int64_t axis = attr_int(n, "axis", 1);
    if (axis < 0) axis += x->op.out.rank;
    if (axis != 1) return REFUSE(m, n, LENS_UNSUPPORTED, "axis %lld, only 1", (long long)axis);
    return set_shape(m, n, x, 2, (int64_t[]){ BATCH, (int64_t)shape_count(x->op.out) });
}

static lens_status convert_squeeze(import *m, const onnx_node *n) {
    const value *v = input_of(m, n, 0);
    lens_node *x = v ? v->node : NULL;
    int axis[ONNX_MAX_RANK], count, rank = 0;
    int64_t now[ONNX_MAX_RANK], to[ONNX_MAX_RANK];
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if (x) LENS_TRY(node_input(m, n, 0, &x, NULL));
    int old = x ? x->op.out.rank : v->rank;
    if (x)
        dims_of(m, x, now);
    else
        memcpy(now, v->dim, sizeof now);
    LENS_TRY(axes_of(m, n, 1, old, axis, &count));
    for (int d = 0; d < old; d++) {
        bool drop = !count && now[d] == 1;
        for (int k = 0; k < count; k++) drop |= axis[k] == d;
        if (drop && now[d] != 1)
            return REFUSE(m, n, d ? LENS_BAD_FILE : LENS_UNSUPPORTED, "axis %d is %lld long, not 1",
                          d, (long long)now[d]);
        if (drop && x && d == 0) return REFUSE(m, n, LENS_UNSUPPORTED, "the batch would go");
        if (!drop) to[rank++] = now[d];
    }
    return x ? set_shape(m, n, x, rank, to) : reshape_constant(m, n, rank, to);
}

static lens_status convert_unsqueeze(import *m, const onnx_node *n) {
    const value *v = input_of(m, n, 0);
    lens_node *x = v ? v->node : NULL;
    int64_t now[ONNX_MAX_RANK], to[ONNX_MAX_RANK], list[FOLD_MAX];
    int count = 0;
    const onnx_attr *a = onnx_attribute(n, "axes");
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if (x) LENS_TRY(node_input(m, n, 0, &x, NULL));
    int old = x ? x->op.out.rank : v->rank;
    if (x)
        dims_of(m, x, now);
    else
        memcpy(now, v->dim, sizeof now);
    if (a && a->type == ONNX_INTS)
        for (; count < a->count && count < FOLD_MAX; count++) list[count] = a->ints[count];
    else
        LENS_TRY(ints_of(m, n, input_of(m, n, 1), list, &count));
    int rank = old + count;
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "rank %d", rank);
    for (int d = 0, from = 0; d < rank; d++) {
        bool added = false;
        for (int k = 0; k < count; k++) added |= axis_of(list[k], rank) == d;
        if (!added && from == old) return REFUSE(m, n, LENS_BAD_FILE, "an axis twice or outside");
        to[d] = added ? 1 : now[from++];
    }
    if (!x) return reshape_constant(m, n, rank, to);
    if (rank > 4) return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
    for (int k = 0; k < count; k++)
        if (axis_of(list[k], rank) == 0) return REFUSE(m, n, LENS_UNSUPPORTED, "a new first axis");
    return set_shape(m, n, x, rank, to);
}

/* Of constants: a matrix. Of nodes: nothing moves. */
static lens_status convert_transpose(import *m, const onnx_node *n) {
    const value *v = input_of(m, n, 0);
    const onnx_attr *perm = onnx_attribute(n, "perm");
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    int rank = v->node ? v->node->op.out.rank : v->rank;
    bool stays = perm && perm->type == ONNX_INTS && perm->count == rank;
    for (int d = 0; stays && d < rank; d++) stays = perm->ints[d] == d;
    if (stays) return convert_same(m, n);
    if (v->node || rank != 2 || !v->tensor)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only constant matrices can be transposed");
    LENS_TRY(convert_same(m, n));
    value *y = output_of(m, n);
    y->turned = !v->turned;
    y->dim[0] = v->dim[1];
    y->dim[1] = v->dim[0];
    return LENS_OK;
}

static lens_status convert_constant(import *m, const onnx_node *n) {
    const onnx_attr *a = onnx_attribute(n, "value");
    value *y = output_of(m, n);
    if (a && a->type == ONNX_TENSOR) {
        y->tensor = a->t;
        y->rank = a->t->rank;
        memcpy(y->dim, a->t->dim, sizeof y->dim);
        return LENS_OK;
    }
    a = onnx_attribute(n, "value_ints");
    if (!a) a = onnx_attribute(n, "value_int");
    if (!a || (a->type != ONNX_INTS && a->type != ONNX_INT) || a->count > FOLD_MAX)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only a tensor, or a few whole numbers");
    bool list = a->type == ONNX_INTS;
    LENS_TRY(new_ints(m, n, &y));
    y->rank = list;
    y->dim[0] = a->count;
    if (list && a->count) memcpy(y->ints, a->ints, (size_t)a->count * sizeof *y->ints);
    if (!list) y->ints[0] = a->i;
    return LENS_OK;
}

static lens_status convert_shape(import *m, const onnx_node *n) {
    const value *v = input_of(m, n, 0);
    value *y;
    int64_t now[ONNX_MAX_RANK];
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if (v->padded) return REFUSE(m, n, LENS_UNSUPPORTED, "the shape of a padded picture");
    int rank = v->node ? v->node->op.out.rank : v->rank;
    if (v->node)
        dims_of(m, v->node, now);
    else
        memcpy(now, v->dim, sizeof now);
    int64_t first = attr_int(n, "start", 0), last = attr_int(n, "end", rank);
    if (first < 0) first += rank;
    if (last < 0) last += rank;
    if (first < 0) first = 0;
    if (last > rank) last = rank;
    LENS_TRY(new_ints(m, n, &y));
    y->rank = 1;
    y->dim[0] = last > first ? last - first : 0;
    for (int64_t i = first; i < last; i++) y->ints[i - first] = now[i];
    return LENS_OK;
}

static lens_status convert_gather(import *m, const onnx_node *n) {
    int64_t from[FOLD_MAX], at[FOLD_MAX];
    int count, picks;
    const value *v = input_of(m, n, 0), *where = input_of(m, n, 1);
    value *y;
    LENS_TRY(ints_of(m, n, v, from, &count));
    LENS_TRY(ints_of(m, n, where, at, &picks));
    LENS_TRY(new_ints(m, n, &y));
    if (v->rank != 1 || attr_int(n, "axis", 0) != 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only from a list of sizes");
    for (int i = 0; i < picks; i++) {
        int k = at[i] == BATCH ? -1 : axis_of(at[i], count);
        if (k < 0) return REFUSE(m, n, LENS_BAD_FILE, "index %lld of %d", (long long)at[i], count);
        y->ints[i] = from[k];
    }
    y->rank = where->rank;
    memcpy(y->dim, where->dim, sizeof y->dim);
    return LENS_OK;
}

/* start, end, axes, steps: attributes before opset 10, then inputs 1..4. */
static lens_status slice_list(import *m, const onnx_node *n, const char *name, int i, int64_t usual,
                              int64_t *out, int *count) {
    const onnx_attr *a = onnx_attribute(n, name);
    if (a && a->type == ONNX_INTS && a->count <= ONNX_MAX_RANK) {
        *count = a->count;
        if (a->count) memcpy(out, a->ints, (size_t)a->count * sizeof *out);
        return LENS_OK;
    }
    if (has_input(n, i)) return ints_of(m, n, input_of(m, n, i), out, count);
    for (int k = 0; k < *count; k++) out[k] = usual < 0 ? k : usual;
    return LENS_OK;
}

static lens_status convert_slice(import *m, const onnx_node *n) {
    int64_t start[FOLD_MAX] = { 0 }, end[FOLD_MAX] = { 0 }, axis[FOLD_MAX], step[FOLD_MAX];
    int64_t from[FOLD_MAX], now[ONNX_MAX_RANK];
    int count = 0, same = 0, length;
    const value *v = input_of(m, n, 0);
    lens_node *x = NULL;
    char buf[NET_MAX_NAME + 1];
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    LENS_TRY(slice_list(m, n, "starts", 1, 0, start, &count));
    same = count;
    LENS_TRY(slice_list(m, n, "ends", 2, 0, end, &same));
    if (same != count) return REFUSE(m, n, LENS_BAD_FILE, "%d starts but %d ends", count, same);
    LENS_TRY(slice_list(m, n, "axes", 3, -1, axis, &same));
    if (same != count) return REFUSE(m, n, LENS_BAD_FILE, "%d starts but %d axes", count, same);
    LENS_TRY(slice_list(m, n, "steps", 4, 1, step, &same));
    if (same != count) return REFUSE(m, n, LENS_BAD_FILE, "%d starts but %d steps", count, same);
    if (v->node) { /* every s-th row and column: a shortcut without more channels */
        LENS_TRY(node_input(m, n, 0, &x, NULL));
        int rank = x->op.out.rank;
        int64_t stride[2] = { 1, 1 };
        dims_of(m, x, now);
        for (int k = 0; k < count; k++) {
            int d = axis_of(axis[k], rank);
            if (d < 0) return REFUSE(m, n, LENS_BAD_FILE, "axis %lld", (long long)axis[k]);
            bool all = start[k] == 0 && (d == 0 ? end[k] >= INT32_MAX : end[k] >= now[d]);
            if (!all || step[k] < 1 || step[k] > OP_MAX_DIM || (d < 2 && step[k] != 1))
                return REFUSE(m, n, LENS_UNSUPPORTED,
                              "only every s-th row and column from the first");
            if (d >= 2) stride[rank == 3 ? 1 : d - 2] = step[k];
        }
        if (stride[0] == 1 && stride[1] == 1) return convert_same(m, n);
        lens_shortcut_opts o = { .stride = { (int)stride[rank == 3 ? 1 : 0], (int)stride[1] } };
        return give_node(m, n, lens_shortcut(x, name_of(m, n, NULL, buf), o));
    }
    LENS_TRY(ints_of(m, n, v, from, &length));
    if (v->rank != 1 || count != 1 || axis_of(axis[0], 1) || step[0] != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only a run of a list of sizes");
    int64_t first = start[0] < 0 ? start[0] + length : start[0];
    int64_t last = end[0] < 0 ? end[0] + length : end[0];
    if (first < 0) first = 0;
    if (last > length) last = length;
    value *y;
    LENS_TRY(new_ints(m, n, &y));
    y->rank = 1;
    y->dim[0] = last > first ? last - first : 0;
    for (int64_t i = first; i < last; i++) y->ints[i - first] = from[i];
    return LENS_OK;
}

static lens_status fold_concat(import *m, const onnx_node *n) {
    value *y;
    int total = 0;
    LENS_TRY(new_ints(m, n, &y));
    for (int i = 0; i < n->inputs; i++) {
        int64_t part[FOLD_MAX];
        int count;
        LENS_TRY(ints_of(m, n, input_of(m, n, i), part, &count));
        if (total + count > FOLD_MAX || input_of(m, n, i)->rank != 1)
            return REFUSE(m, n, LENS_UNSUPPORTED, "constants other than short lists of sizes");
        memcpy(y->ints + total, part, (size_t)count * sizeof *part);
        total += count;
    }
    y->rank = 1;
    y->dim[0] = total;
    return LENS_OK;
}

static lens_status convert_concat(import *m, const onnx_node *n) {
    lens_node *x[NET_MAX_INPUTS];
    char buf[NET_MAX_NAME + 1];
    if (n->inputs < 1 || n->inputs > NET_MAX_INPUTS)
        return REFUSE(m, n, LENS_BAD_FILE, "%d inputs", n->inputs);
    if (is_constant(input_of(m, n, 0))) return fold_concat(m, n);
    for (int i = 0; i < n->inputs; i++) LENS_TRY(node_input(m, n, i, &x[i], NULL));
    if (axis_of(attr_int(n, "axis", 1), x[0]->op.out.rank) != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only along channels (axis 1)");
    if (n->inputs == 1) return convert_same(m, n);
    return give_node(m, n, lens_concat(x, n->inputs, name_of(m, n, NULL, buf)));
}

/* The mean over all rows and columns is a global pooling. */
static lens_status convert_mean(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int axis[ONNX_MAX_RANK], count, marked = 0;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(node_input(m, n, 0, &x, NULL));
    int rank = x->op.out.rank;
    LENS_TRY(axes_of(m, n, 1, rank, axis, &count));
    for (int k = 0; k < count; k++) marked |= 1 << axis[k];
    if (rank < 3 || marked != (rank == 4 ? 12 : 4))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only over all rows and columns");
    if (attr_int(n, "keepdims", 1))
        return give_node(m, n, lens_global_avgpool(x, name_of(m, n, NULL, buf)));
    return give_node(m, n, lens_flatten(lens_global_avgpool(x, NULL), name_of(m, n, NULL, buf)));
}

/* ---- The table ------------------------------------------------------------------------------ */

enum { NEW = ONNX_NEWEST_OPSET };

static const row table[] = {
    { { "Add", 7, NEW, "add", "equal shapes; a constant only behind MatMul" }, convert_add },
    { { "AveragePool", 7, NEW, "avgpool", "1-D and 2-D, no dilation" }, convert_pool },
    { { "BatchNormalization", 7, NEW, "batchnorm", "inference; constant statistics" },
      convert_batchnorm },
    { { "Cast", 6, NEW, "nothing", "of shapes" }, convert_cast },
    { { "Concat", 4, NEW, "concat", "along channels; shapes" }, convert_concat },
    { { "Constant", 1, NEW, "a constant", "" }, convert_constant },
    { { "Conv", 1, NEW, "conv2d, conv1d", "1-D and 2-D; constant weights" }, convert_conv },
    { { "ConvTranspose", 1, NEW, "conv_transpose2d", "2-D; constant weights" },
      convert_conv_transpose },
    { { "Div", 7, NEW, "nothing", "of shapes" }, fold_arithmetic },
    { { "Dropout", 7, NEW, "dropout", "its mask unused" }, convert_dropout },
    { { "Flatten", 1, NEW, "flatten", "axis 1" }, convert_flatten },
    { { "Gather", 1, NEW, "nothing", "of shapes" }, convert_gather },
    { { "Gemm", 7, NEW, "dense", "constant B, C one number an output, transA 0" }, convert_gemm },
    { { "GlobalAveragePool", 1, NEW, "global_avgpool", "" }, convert_global },
    { { "GlobalMaxPool", 1, NEW, "global_maxpool", "" }, convert_global },
    { { "Identity", 1, NEW, "nothing", "" }, convert_same },
    { { "LRN", 1, NEW, "lrn", "odd size" }, convert_lrn },
    { { "LeakyRelu", 6, NEW, "leaky_relu", "alpha >= 0" }, convert_act },
    { { "MatMul", 1, NEW, "dense", "(N,F) by a constant matrix" }, convert_matmul },
    { { "MaxPool", 1, NEW, "maxpool", "1-D and 2-D, no dilation, no indices" }, convert_pool },
    { { "Mul", 7, NEW, "scaled_tanh", "in 1.7159*tanh(2x/3); shapes" }, convert_mul },
    { { "Pad", 2, NEW, "padding of the next layer, shortcut", "zeros" }, convert_pad },
    { { "ReduceMean", 1, NEW, "global_avgpool", "over all rows and columns" }, convert_mean },
    { { "Relu", 6, NEW, "relu", "" }, convert_act },
    { { "Reshape", 5, NEW, "flatten, reshape", "the batch stays; rank 2 or 4" }, convert_reshape },
    { { "Shape", 1, NEW, "a constant", "" }, convert_shape },
    { { "Sigmoid", 6, NEW, "sigmoid", "" }, convert_act },
    { { "Slice", 1, NEW, "shortcut", "every s-th row and column; shapes" }, convert_slice },
    { { "Softmax", 1, NEW, "softmax", "over channels" }, convert_softmax },
    { { "Squeeze", 1, NEW, "flatten", "to rank 2; shapes" }, convert_squeeze },
    { { "Sub", 7, NEW, "nothing", "of shapes" }, fold_arithmetic },
    { { "Sum", 6, NEW, "add", "equal shapes" }, convert_add },
    { { "Tanh", 6, NEW, "tanh, scaled_tanh", "" }, convert_tanh },
    { { "Transpose", 1, NEW, "nothing", "of constant matrices" }, convert_transpose },
    { { "Unsqueeze", 1, NEW, "reshape", "to rank 4; shapes" }, convert_unsqueeze },
};

const onnx_row *onnx_row_at(int index) {
    return index >= 0 && (size_t)index < LENS_COUNT(table) ? &table[index].about : NULL;
}

static const row *find_row(const onnx_node *n) {
    if (*n->domain && strcmp(n->domain, "ai.onnx")) return NULL;
    for (size_t i = 0; i < LENS_COUNT(table); i++)
        if (!strcmp(table[i].about.op, n->op)) return &table[i];
    return NULL;
}

/* ---- The graph ------------------------------------------------------------------------------ */

/* Names of all values, who reads them, and which nodes lead to the output. */
static lens_status survey(import *m) {
    const onnx_model *g = m->model;
    value *v;
    for (int i = 0; i < g->tensors; i++) {
        LENS_TRY(new_value(m, g->tensor[i].name, &v));
        v->tensor = &g->tensor[i];
        v->rank = v->tensor->rank;
        memcpy(v->dim, v->tensor->dim, sizeof v->dim);
    }
    for (int i = 0; i < g->inputs; i++)
        if (!find_value(m, g->input[i].name)) LENS_TRY(new_value(m, g->input[i].name, &v));
    if (g->outputs != 1)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the graph has %d outputs, a net has 1",
                        m->where, g->outputs);
    for (int i = 0; i < g->nodes; i++) {
        const onnx_node *n = &g->node[i];
        for (int k = 0; k < n->inputs; k++) {
            if (!*n->input[k]) continue;
            v = find_value(m, n->input[k]);
            if (!v)
                return REFUSE(m, n, LENS_BAD_FILE, "no node above it makes its input '%.100s'",
                              n->input[k]);
            v->readers++;
            v->reader = i;
        }
        for (int k = 0; k < n->outputs; k++)
            if (*n->output[k]) LENS_TRY(new_value(m, n->output[k], &v));
    }
    value *result = find_value(m, g->output[0].name);
    if (!result)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: no node makes the output '%.100s'", m->where,
                        g->output[0].name);
    result->readers++; /* so that no node is merged into a reader and then missing */
    return LENS_OK;
}

/* Marks through a bit in `padded` of the values, which building has not touched yet. */
static lens_status mark(import *m) {
    const onnx_model *g = m->model;
    find_value(m, g->output[0].name)->padded = true;
    for (int i = g->nodes - 1; i >= 0; i--) {
        const onnx_node *n = &g->node[i];
        for (int k = 0; k < n->outputs; k++)
            if (*n->output[k]) m->needed[i] |= find_value(m, n->output[k])->padded;
        for (int k = 0; m->needed[i] && k < n->inputs; k++)
            if (*n->input[k]) find_value(m, n->input[k])->padded = true;
    }
    for (size_t s = 0; s < m->slots; s++) m->value[s].padded = false;
    return LENS_OK;
}

static lens_status look_up(import *m) {
    const onnx_model *g = m->model;
    for (int i = 0; i < g->nodes; i++) {
        const onnx_node *n = &g->node[i];
        if (!m->needed[i]) continue;
        const row *r = m->row[i] = find_row(n);
        if (!r)
            return REFUSE(m, n, LENS_UNSUPPORTED, "this operator%s%.60s is not supported",
                          *n->domain ? " of " : "", n->domain);
        if (!n->outputs || !*n->output[0])
            return REFUSE(m, n, LENS_BAD_FILE, "its first output has no name");
        if (g->opset < r->about.first || g->opset > r->about.last)
            return REFUSE(m, n, LENS_UNSUPPORTED, "supported are opsets %d to %d", r->about.first,
                          r->about.last);
    }
    return LENS_OK;
}

static lens_status make_input(import *m) {
    const onnx_model *g = m->model;
    const onnx_value *input = NULL;
    char buf[NET_MAX_NAME + 1] = "x";
    for (int i = 0; i < g->inputs; i++) {
        value *v = find_value(m, g->input[i].name);
        if (v->tensor) continue;
        if (input)
            return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                            "%s: the graph has the inputs '%.60s' and '%.60s', a net has 1",
                            m->where, input->name, g->input[i].name);
        input = &g->input[i];
    }
    if (!input) return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the graph has no input", m->where);
    if (input->type != ONNX_F32)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                        "%s: input '%.100s' has elements of ONNX type %d, only float is read",
                        m->where, input->name, input->type);
    if (input->rank < 2 || input->rank > 4)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                        "%s: input '%.100s' has rank %d, expected (N,C,H,W), (N,C,L) or (N,F)",
                        m->where, input->name, input->rank);
    for (int d = 1; d < input->rank; d++)
        if (input->dim[d] < 1 || input->dim[d] > OP_MAX_DIM)
            return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                            "%s: input '%.100s': dimension %d is not fixed, or outside 1..%d",
                            m->where, input->name, d, OP_MAX_DIM);
    m->batch = input->dim[0] > 0 ? input->dim[0] : -1;
    const char *name = choose_name(m, input->name, strlen(input->name), buf);
    if (!name || (*name >= '0' && *name <= '9')) name = "x";
    int c = (int)input->dim[1], w = input->rank > 2 ? (int)input->dim[input->rank - 1] : 1;
    lens_node *x = input->rank == 3
                       ? lens_input1d(m->net, name, c, w)
                       : lens_input(m->net, name, c, input->rank == 4 ? (int)input->dim[2] : 1, w);
    if (input->rank == 2) x = lens_flatten(x, NULL);
    if (!x) return ctx_fail_prefix(m->ctx, m->net->error, "%s", m->where);
    find_value(m, input->name)->node = x;
    return LENS_OK;
}

static lens_status build(import *m) {
    const onnx_model *g = m->model;
    LENS_TRY(make_input(m));
    for (int i = 0; i < g->nodes; i++)
        if (m->needed[i] && !m->skip[i]) LENS_TRY(m->row[i]->convert(m, &g->node[i]));
    const value *result = find_value(m, g->output[0].name);
    if (!result->node || result->padded || result->scale != 0)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the output '%.100s' is %s", m->where,
                        result->name, result->node ? "only padded or scaled" : "a constant");
    lens_status status = net_check(m->net, result->node);
    if (status != LENS_OK) return ctx_fail_prefix(m->ctx, status, "%s", m->where);
    return LENS_OK;
}

/* A tensor that many layers share would make a small file a large net. */
static lens_status check_weights(const import *m) {
    const onnx_model *g = m->model;
    double have = 0;
    for (int i = 0; i < g->tensors; i++) have += (double)g->tensor[i].count;
    for (int i = 0; i < g->nodes; i++)
        for (int k = 0; k < g->node[i].attrs; k++)
            if (g->node[i].attr[k].t) have += (double)g->node[i].attr[k].t->count;
    if ((double)m->net->weight_floats <= MOST_COPIES * have + ALWAYS_WEIGHTS) return LENS_OK;
    return ctx_fail(m->ctx, LENS_BAD_FILE,
                    "%s: a net with %zu weights from a file with %.0f numbers", m->where,
                    m->net->weight_floats, have);
}

static void pour(lens_net *net, const fill *f) {
    const net_param *param = &net->param[f->node->first_param + f->slot];
    const op_param *op = net_param_op(param);
    float *to = net->weights + param->offset;
    onnx_floats(f->tensor, to);
    if (f->scale != 1)
        for (size_t i = 0; i < op->count; i++) to[i] *= f->scale;
}

/* In place would follow cycles; a second copy of one matrix at a time is simpler. */
static lens_status pour_turned(lens_net *net, const fill *f) {
    const net_param *param = &net->param[f->node->first_param + f->slot];
    const op_param *op = net_param_op(param);
    size_t rows = (size_t)op->dim[0], columns = (size_t)op->dim[1];
    float *to = net->weights + param->offset, *from = ctx_alloc(net->ctx, op->count, sizeof *from);
    if (!from) return LENS_NOMEM;
    onnx_floats(f->tensor, from);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++) to[i * columns + k] = f->scale * from[k * rows + i];
    ctx_free(net->ctx, from);
    return LENS_OK;
}

static lens_status pour_all(import *m) {
    for (int i = 0; i < m->fills; i++) {
        const fill *f = &m->fill[i];
        if (f->turned)
            LENS_TRY(pour_turned(m->net, f));
        else
            pour(m->net, f);
    }
    lens_net_touched(m->net);
    return LENS_OK;
}

static lens_status take_words(import *m) {
    for (int i = 0; i < m->model->metas; i++) {
        st_pair word = m->model->meta[i];
        if (!*word.key || !*word.value || m->net->words == NET_MAX_WORDS ||
            !strcmp(word.key, "format") || !strcmp(word.key, "net") ||
            !strcmp(word.key, "lenslet_version"))
            continue;
        LENS_TRY(lens_net_set_meta(m->net, word.key, word.value));
    }
    return LENS_OK;
}

static lens_status prepare(import *m) {
    const onnx_model *g = m->model;
    size_t names = (size_t)g->tensors + (size_t)g->inputs + 2;
    for (int i = 0; i < g->nodes; i++) names += (size_t)g->node[i].outputs;
    if (names > MAX_VALUES)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: %zu values, but at most %d are read", m->where,
                        names, MAX_VALUES);
    for (m->slots = 16; m->slots < 2 * names;) m->slots *= 2;
    m->value = ctx_alloc(m->ctx, m->slots, sizeof *m->value);
    m->needed = ctx_alloc(m->ctx, (size_t)g->nodes + 1, sizeof *m->needed);
    m->row = ctx_alloc(m->ctx, (size_t)g->nodes + 1, sizeof *m->row);
    m->skip = ctx_alloc(m->ctx, (size_t)g->nodes + 1, sizeof *m->skip);
    return m->value && m->needed && m->row && m->skip ? LENS_OK : LENS_NOMEM;
}

lens_status net_from_onnx(lens_ctx *ctx, lens_net **out, const onnx_model *model,
                          const char *where) {
import m = {.ctx = ctx, .where = where, .model = model };
    char name[64];
    size_t length = 0;
    for (; model->graph[length] && length < sizeof name - 1; length++) {
        char c = model->graph[length];
        name[length] = c > ' ' && c <= '~' && !strchr("=,#\"", c) ? c : '_';
    }
    name[length] = 0;
    *out = NULL;
    lens_status status = LENS_NOMEM;
    m.net = lens_net_new(ctx, length ? name : NULL);
    if (m.net) status = prepare(&m);
    if (status == LENS_OK) status = survey(&m);
    if (status == LENS_OK) status = mark(&m);
    if (status == LENS_OK) status = look_up(&m);
    if (status == LENS_OK) status = build(&m);
    if (status == LENS_OK) status = check_weights(&m);
    if (status == LENS_OK) status = net_allocate(m.net);
    if (status == LENS_OK) status = pour_all(&m);
    if (status == LENS_OK) status = take_words(&m);
    if (status == LENS_OK) {
        *out = m.net;
        m.net = NULL;
    }
    lens_net_free(m.net);
    ctx_free(ctx, m.value);
    ctx_free(ctx, m.needed);
    ctx_free(ctx, m.row);
    ctx_free(ctx, m.skip);
    ctx_free(ctx, m.fill);
    while (m.folded) {
        folded *next = m.folded->next;
        ctx_free(ctx, m.folded);
        m.folded = next;
    }
    return status;
}
