/* onnx_value.c - the values of an ONNX graph by name, the attributes of its nodes, names for the nodes
 * of the net, and the list of weights that are still to be poured.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <string.h>

/* ---- Messages ------------------------------------------------------------------------------- */

static const char *node_label(const onnx_node *n) {
    return *n->name ? n->name : n->outputs ? n->output[0] : "";
}

lens_status im_refuse(const import *m, const onnx_node *n, lens_status status) {
    return ctx_fail_prefix(m->ctx, status, "%s: %.60s '%.100s' (opset %lld)", m->where, n->op,
                           node_label(n), (long long)m->model->opset);
}

/* ---- Values --------------------------------------------------------------------------------- */

value *im_slot(const import *m, const char *name) {
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t slot = (size_t)hash & (m->slots - 1);
    while (m->value[slot].name && strcmp(m->value[slot].name, name))
        slot = (slot + 1) & (m->slots - 1);
    return &m->value[slot];
}

value *im_find(const import *m, const char *name) {
    value *v = im_slot(m, name);
    return v->name ? v : NULL;
}

lens_status im_new_value(import *m, const char *name, value **out) {
    value *v = im_slot(m, name);
    *out = v;
    if (v->name)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: two values are called '%.100s'", m->where,
                        name);
    v->name = name;
    return LENS_OK;
}

bool im_has_input(const onnx_node *n, int i) { return i < n->inputs && *n->input[i]; }

/* NULL: left out, or nothing that a converter gave (the mask of a dropout). */
value *im_input(const import *m, const onnx_node *n, int i) {
    value *v = im_has_input(n, i) ? im_find(m, n->input[i]) : NULL;
    return v && (v->node || v->tensor || v->ints) ? v : NULL;
}

value *im_output(const import *m, const onnx_node *n) { return im_slot(m, n->output[0]); }

bool im_is_constant(const value *v) { return v && !v->node && (v->tensor || v->ints); }

int64_t im_count(const value *v) {
    int64_t count = 1; /* no overflow: the product of a tensor's dims, or at most FOLD_MAX */
    for (int d = 0; d < v->rank; d++) count *= v->dim[d];
    return count;
}

/* The input must be a node of the net; padding that is still to be added is refused unless `pads`
 * takes it. */
lens_status im_node_input(import *m, const onnx_node *n, int i, lens_node **x, int pads[4]) {
    const value *v = im_input(m, n, i);
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
lens_status im_ints(import *m, const onnx_node *n, const value *v, int64_t *out, int *count) {
    if (!im_is_constant(v)) return REFUSE(m, n, LENS_UNSUPPORTED, "what it reads must be constant");
    int64_t have = im_count(v);
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
lens_status im_new_ints(import *m, const onnx_node *n, value **y) {
    folded *f = ctx_alloc(m->ctx, 1, sizeof *f);
    if (!f) return LENS_NOMEM;
    f->next = m->folded;
    m->folded = f;
    *y = im_slot(m, n->output[0]);
    (*y)->ints = f->ints;
    return LENS_OK;
}

/* One real constant. */
lens_status im_float(import *m, const onnx_node *n, const value *v, float *out) {
    if (!im_is_constant(v) || !v->tensor || !onnx_is_real(v->tensor) || v->tensor->count != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "expected one constant number");
    onnx_floats(v->tensor, out);
    return LENS_OK;
}

/* ---- Attributes ----------------------------------------------------------------------------- */

int64_t im_attr_int(const onnx_node *n, const char *name, int64_t usual) {
    const onnx_attr *a = onnx_attribute(n, name);
    return a && a->type == ONNX_INT ? a->i : usual;
}

float im_attr_float(const onnx_node *n, const char *name, float usual) {
    const onnx_attr *a = onnx_attribute(n, name);
    return a && a->type == ONNX_FLOAT ? a->f : usual;
}

bool im_attr_is(const onnx_node *n, const char *name, const char *word) {
    const onnx_attr *a = onnx_attribute(n, name);
    return a && a->type == ONNX_STRING && !strcmp(a->s, word);
}

/* Exactly `count` numbers 0..OP_MAX_DIM, or all `usual` if the attribute is absent. */
lens_status im_attr_sizes(import *m, const onnx_node *n, const char *name, int count, int usual,
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
int im_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

/* Axes as an attribute, or from opset `since` on as input i. None given: *count = 0. */
lens_status im_axes(import *m, const onnx_node *n, int i, int rank, int *axis, int *count) {
    int64_t list[FOLD_MAX];
    const onnx_attr *a = onnx_attribute(n, "axes");
    *count = 0;
    if (a && a->type == ONNX_INTS) {
        if (a->count > ONNX_MAX_RANK)
            return REFUSE(m, n, LENS_BAD_FILE, "axes has %d numbers", a->count);
        *count = a->count;
        for (int k = 0; k < a->count; k++) list[k] = a->ints[k];
    } else if (im_has_input(n, i)) {
        LENS_TRY(im_ints(m, n, im_input(m, n, i), list, count));
    }
    if (*count > ONNX_MAX_RANK) return REFUSE(m, n, LENS_BAD_FILE, "axes has %d numbers", *count);
    for (int k = 0; k < *count; k++) {
        axis[k] = im_axis(list[k], rank);
        if (axis[k] < 0)
            return REFUSE(m, n, LENS_BAD_FILE, "axis %lld but the input has rank %d",
                          (long long)list[k], rank);
    }
    return LENS_OK;
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* A valid and free name near `from`, else NULL (the builder then counts). A weight "conv1.weight" names
 * its node conv1, so that parameters keep the names they had where the graph was exported. */
const char *im_choose_name(const import *m, const char *from, size_t length, char *buf) {
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

const char *im_name(const import *m, const onnx_node *n, const value *weight, char *buf) {
    if (weight && weight->tensor) {
        static const char tail[] = ".weight";
        const char *from = weight->tensor->name;
        size_t length = strlen(from), cut = sizeof tail - 1;
        if (length > cut && !strcmp(from + length - cut, tail))
            return im_choose_name(m, from, length - cut, buf);
    }
    return im_choose_name(m, n->output[0], strlen(n->output[0]), buf);
}

/* ---- Building ------------------------------------------------------------------------------- */

lens_status im_give(import *m, const onnx_node *n, lens_node *y) {
    if (!y) return im_refuse(m, n, m->net->error); /* the message of the builder stands */
    im_output(m, n)->node = y;
    return LENS_OK;
}

/* The constant `v` becomes the parameter; `turned`: the file has it with rows and columns exchanged.
 * The element counts must agree, and shapes unless the parameter is a vector. */
lens_status im_fill(import *m, const onnx_node *n, lens_node *node, int slot, const value *v,
                    bool turned, float scale) {
    const op_param *op = &node->op.param[slot];
    const onnx_tensor *t = v ? v->tensor : NULL;
    if (v) {
        if (!im_is_constant(v) || !t || !onnx_is_real(t))
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
