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

value *im_input(const import *m, const onnx_node *n, int i) {
    value *v = im_has_input(n, i) ? im_find(m, n->input[i]) : NULL;
    return v && (v->node || v->tensor || v->numbers) ? v : NULL;
}

value *im_output(const import *m, const onnx_node *n) { return im_slot(m, n->output[0]); }

bool im_wants(const import *m, const onnx_node *n, int i) {
    return i < n->outputs && *n->output[i] && im_find(m, n->output[i])->wanted;
}

bool im_is_constant(const value *v) { return v && !v->node && (v->tensor || v->numbers); }

int64_t im_count(const value *v) {
    int64_t count = 1; /* no overflow: the product of a tensor's dims, or what was allocated */
    for (int d = 0; d < v->rank; d++) count *= v->dim[d];
    return count;
}

/* The node of a value as (N, dim[1], ...). */
static lens_status batched(import *m, const onnx_node *n, const value *v, int rank,
                           const int64_t *dim, lens_node **x) {
    if (rank < 2 || rank > 4)
        return REFUSE(m, n, LENS_UNSUPPORTED,
                      "its input has rank %d, expected (N,C,H,W), (N,C,L) or (N,F)", rank);
    if (m->whole && dim[0] != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "%lld samples in a graph that mixes them",
                      (long long)dim[0]);
    part p = { .node = v->node, .rank = rank - 1 };
    memcpy(p.dim, dim + 1, (size_t)p.rank * sizeof *dim);
    *x = part_node(p, part_shape(p));
    return *x ? LENS_OK : im_refuse(m, n, m->net->error);
}

lens_status im_node_input(import *m, const onnx_node *n, int i, lens_node **x, int pads[4]) {
    const value *v = im_input(m, n, i);
    if (!v || !v->node)
        return REFUSE(m, n, LENS_UNSUPPORTED, "input %d must be computed, not a constant", i);
    if (pads)
        memcpy(pads, v->pads, 4 * sizeof *pads);
    else if (v->padded)
        return REFUSE(m, n, LENS_UNSUPPORTED, "padding and another reader of what is padded");
    return batched(m, n, v, v->rank, v->dim, x);
}

lens_status im_channels_input(import *m, const onnx_node *n, int i, lens_node **x) {
    const value *v = im_input(m, n, i);
    if (!v || !v->node || v->rank <= 4) return im_node_input(m, n, i, x, NULL);
    int64_t dim[3] = { v->dim[0], v->dim[1], 1 };
    for (int d = 2; d < v->rank; d++) dim[2] *= v->dim[d];
    return batched(m, n, v, 3, dim, x);
}

/* Whole numbers beyond 2^53 are no sizes but "to the end"; BATCH is one of ours, not of the file. */
static double number_of(int64_t i) {
    const int64_t end = INT64_MAX / 2;
    return (double)(i > end ? end : i < -end ? -end : i);
}

static int64_t whole_of(double number) {
    if (number >= (double)(INT64_MAX / 2)) return INT64_MAX / 2;
    return number <= (double)BATCH ? BATCH : (int64_t)number;
}

lens_status im_numbers(import *m, const onnx_node *n, const value *v, double *out, int *count) {
    if (!im_is_constant(v)) return REFUSE(m, n, LENS_UNSUPPORTED, "what it reads must be constant");
    int64_t have = im_count(v);
    if (have > FOLD_MAX || v->turned)
        return REFUSE(m, n, LENS_UNSUPPORTED, "expected at most %d constant numbers", FOLD_MAX);
    *count = (int)have;
    if (v->numbers) {
        memcpy(out, v->numbers, (size_t)have * sizeof *out);
    } else if (onnx_is_real(v->tensor)) {
        float real[FOLD_MAX];
        onnx_floats(v->tensor, real);
        for (int i = 0; i < have; i++) out[i] = (double)real[i];
    } else {
        int64_t whole[FOLD_MAX];
        onnx_ints(v->tensor, whole);
        for (int i = 0; i < have; i++) out[i] = number_of(whole[i]);
    }
    return LENS_OK;
}

lens_status im_ints(import *m, const onnx_node *n, const value *v, int64_t *out, int *count) {
    double list[FOLD_MAX];
    LENS_TRY(im_numbers(m, n, v, list, count));
    if (v->tensor ? onnx_is_real(v->tensor) : !v->whole)
        return REFUSE(m, n, LENS_UNSUPPORTED, "expected whole numbers");
    for (int i = 0; i < *count; i++) out[i] = whole_of(list[i]);
    return LENS_OK;
}

double *im_keep(import *m, size_t count) {
    size_t bytes;
    kept_numbers *f = NULL;
    if (mul_size(count, sizeof(double), &bytes) && add_size(bytes, sizeof *f, &bytes))
        f = ctx_alloc(m->ctx, bytes, 1);
    if (!f) return NULL;
    f->next = m->kept;
    m->kept = f;
    return f->numbers;
}

lens_status im_new_numbers(import *m, const onnx_node *n, int i, size_t count, bool whole,
                           value **y) {
    *y = im_slot(m, n->output[i]);
    (*y)->numbers = im_keep(m, count + 1);
    (*y)->whole = whole;
    return (*y)->numbers ? LENS_OK : LENS_NOMEM;
}

lens_status im_float(import *m, const onnx_node *n, const value *v, float *out) {
    double list[FOLD_MAX];
    int count = 0;
    LENS_TRY(im_numbers(m, n, v, list, &count));
    if (count != 1) return REFUSE(m, n, LENS_UNSUPPORTED, "expected one constant number");
    *out = (float)list[0];
    return LENS_OK;
}

int im_sample_axis(import *m, const onnx_node *n, int64_t axis, int rank, lens_status *status) {
    int a = im_axis(axis, rank);
    *status = LENS_OK;
    if (a < 0)
        *status = REFUSE(m, n, LENS_BAD_FILE, "axis %lld but the input has rank %d",
                         (long long)axis, rank);
    else if (!m->whole && a-- == 0)
        *status = REFUSE(m, n, LENS_UNSUPPORTED, "along the samples");
    return a;
}

lens_status im_rank(import *m, const onnx_node *n, int i, int *rank) {
    const value *v = im_input(m, n, i);
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input %d is missing", i);
    *rank = v->rank;
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

int im_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

lens_status im_list(import *m, const onnx_node *n, const char *name, int i, int64_t *out,
                    int *count) {
    const onnx_attr *a = onnx_attribute(n, name);
    *count = -1;
    if (a && a->type == ONNX_INTS) {
        if (a->count > FOLD_MAX)
            return REFUSE(m, n, LENS_BAD_FILE, "%s has %d numbers", name, a->count);
        *count = a->count;
        if (a->count) memcpy(out, a->ints, (size_t)a->count * sizeof *out);
    } else if (im_has_input(n, i)) {
        return im_ints(m, n, im_input(m, n, i), out, count);
    }
    return LENS_OK;
}

lens_status im_axes(import *m, const onnx_node *n, int i, int rank, int *axis, int *count) {
    int64_t list[FOLD_MAX];
    LENS_TRY(im_list(m, n, "axes", i, list, count));
    if (*count < 0) *count = 0;
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
    value *v = im_output(m, n);
    shape s = y->op.out;
    v->node = y;
    v->rank = s.rank;
    v->dim[0] = m->whole ? 1 : m->batch;
    v->dim[1] = s.c;
    v->dim[2] = s.rank == 4 ? s.h : s.w;
    v->dim[3] = s.w;
    return LENS_OK;
}

lens_status im_give_like(import *m, const onnx_node *n, lens_node *y) {
    const value *x = im_input(m, n, 0);
    LENS_TRY(im_give(m, n, y));
    value *v = im_output(m, n);
    v->rank = x->rank;
    memcpy(v->dim, x->dim, sizeof v->dim);
    return LENS_OK;
}

lens_status im_same(import *m, const onnx_node *n) {
    const value *x = im_input(m, n, 0);
    value *y = im_output(m, n), old = *y;
    if (!x) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    *y = *x;
    y->name = old.name;
    y->wanted = old.wanted;
    y->readers = old.readers;
    y->reader = old.reader;
    return LENS_OK;
}

lens_status im_add_fill(import *m, fill f) {
    if (m->fills == m->fill_room) {
        int room = m->fill_room ? 2 * m->fill_room : 64;
        fill *list = ctx_grow(m->ctx, m->fill, (size_t)m->fills, (size_t)room, sizeof *list);
        if (!list) return LENS_NOMEM;
        m->fill = list;
        m->fill_room = room;
    }
    m->fill[m->fills++] = f;
    return LENS_OK;
}

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
    bool exchanged = turned != (v && v->turned);
    return im_add_fill(m, (fill){ .node = node,
                                  .slot = slot,
                                  .tensor = t,
                                  .columns = exchanged ? op->dim[1] : 0,
                                  .scale = scale });
}
