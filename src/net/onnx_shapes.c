/* onnx_shapes.c - operators of ONNX that move numbers without changing them: on a node of the net a new
 * shape, on a constant the result itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <string.h>

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
        im_output(m, n)->node = x;
        return LENS_OK;
    }
    const char *name = im_name(m, n, NULL, buf);
    if (rank == 2) return im_give(m, n, lens_flatten(x, name));
    if (rank == 4)
        return im_give(m, n, lens_reshape(x, name, (int)dim[1], (int)dim[2], (int)dim[3]));
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
    value *y = im_output(m, n);
    int64_t have = im_count(y), product = 1;
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

lens_status convert_reshape(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int64_t to[FOLD_MAX], now[4];
    int rank;
    const value *v = im_input(m, n, 0);
    LENS_TRY(im_ints(m, n, im_input(m, n, 1), to, &rank));
    if (im_is_constant(v)) return reshape_constant(m, n, rank, to);
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    if (rank < 2 || rank > 4) return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
    dims_of(m, x, now);
    bool zero_copies = !im_attr_int(n, "allowzero", 0);
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

lens_status convert_flatten(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    int64_t axis = im_attr_int(n, "axis", 1);
    if (axis < 0) axis += x->op.out.rank;
    if (axis != 1) return REFUSE(m, n, LENS_UNSUPPORTED, "axis %lld, only 1", (long long)axis);
    return set_shape(m, n, x, 2, (int64_t[]){ BATCH, (int64_t)shape_count(x->op.out) });
}

lens_status convert_squeeze(import *m, const onnx_node *n) {
    const value *v = im_input(m, n, 0);
    lens_node *x = v ? v->node : NULL;
    int axis[ONNX_MAX_RANK], count, rank = 0;
    int64_t now[ONNX_MAX_RANK], to[ONNX_MAX_RANK];
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if (x) LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    int old = x ? x->op.out.rank : v->rank;
    if (x)
        dims_of(m, x, now);
    else
        memcpy(now, v->dim, sizeof now);
    LENS_TRY(im_axes(m, n, 1, old, axis, &count));
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

lens_status convert_unsqueeze(import *m, const onnx_node *n) {
    const value *v = im_input(m, n, 0);
    lens_node *x = v ? v->node : NULL;
    int64_t now[ONNX_MAX_RANK], to[ONNX_MAX_RANK], list[FOLD_MAX];
    int count = 0;
    const onnx_attr *a = onnx_attribute(n, "axes");
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if (x) LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    int old = x ? x->op.out.rank : v->rank;
    if (x)
        dims_of(m, x, now);
    else
        memcpy(now, v->dim, sizeof now);
    if (a && a->type == ONNX_INTS)
        for (; count < a->count && count < FOLD_MAX; count++) list[count] = a->ints[count];
    else
        LENS_TRY(im_ints(m, n, im_input(m, n, 1), list, &count));
    int rank = old + count;
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "rank %d", rank);
    for (int d = 0, from = 0; d < rank; d++) {
        bool added = false;
        for (int k = 0; k < count; k++) added |= im_axis(list[k], rank) == d;
        if (!added && from == old) return REFUSE(m, n, LENS_BAD_FILE, "an axis twice or outside");
        to[d] = added ? 1 : now[from++];
    }
    if (!x) return reshape_constant(m, n, rank, to);
    if (rank > 4) return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
    for (int k = 0; k < count; k++)
        if (im_axis(list[k], rank) == 0) return REFUSE(m, n, LENS_UNSUPPORTED, "a new first axis");
    return set_shape(m, n, x, rank, to);
}

/* Of constants: a matrix. Of nodes: nothing moves. */
lens_status convert_transpose(import *m, const onnx_node *n) {
    const value *v = im_input(m, n, 0);
    const onnx_attr *perm = onnx_attribute(n, "perm");
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    int rank = v->node ? v->node->op.out.rank : v->rank;
    bool stays = perm && perm->type == ONNX_INTS && perm->count == rank;
    for (int d = 0; stays && d < rank; d++) stays = perm->ints[d] == d;
    if (stays) return convert_same(m, n);
    if (v->node || rank != 2 || !v->tensor)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only constant matrices can be transposed");
    LENS_TRY(convert_same(m, n));
    value *y = im_output(m, n);
    y->turned = !v->turned;
    y->dim[0] = v->dim[1];
    y->dim[1] = v->dim[0];
    return LENS_OK;
}

lens_status convert_constant(import *m, const onnx_node *n) {
    const onnx_attr *a = onnx_attribute(n, "value");
    value *y = im_output(m, n);
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
    LENS_TRY(im_new_ints(m, n, &y));
    y->rank = list;
    y->dim[0] = a->count;
    if (list && a->count) memcpy(y->ints, a->ints, (size_t)a->count * sizeof *y->ints);
    if (!list) y->ints[0] = a->i;
    return LENS_OK;
}

lens_status convert_shape(import *m, const onnx_node *n) {
    const value *v = im_input(m, n, 0);
    value *y;
    int64_t now[ONNX_MAX_RANK];
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if (v->padded) return REFUSE(m, n, LENS_UNSUPPORTED, "the shape of a padded picture");
    int rank = v->node ? v->node->op.out.rank : v->rank;
    if (v->node)
        dims_of(m, v->node, now);
    else
        memcpy(now, v->dim, sizeof now);
    int64_t first = im_attr_int(n, "start", 0), last = im_attr_int(n, "end", rank);
    if (first < 0) first += rank;
    if (last < 0) last += rank;
    if (first < 0) first = 0;
    if (last > rank) last = rank;
    LENS_TRY(im_new_ints(m, n, &y));
    y->rank = 1;
    y->dim[0] = last > first ? last - first : 0;
    for (int64_t i = first; i < last; i++) y->ints[i - first] = now[i];
    return LENS_OK;
}

lens_status convert_gather(import *m, const onnx_node *n) {
    int64_t from[FOLD_MAX], at[FOLD_MAX];
    int count, picks;
    const value *v = im_input(m, n, 0), *where = im_input(m, n, 1);
    value *y;
    LENS_TRY(im_ints(m, n, v, from, &count));
    LENS_TRY(im_ints(m, n, where, at, &picks));
    LENS_TRY(im_new_ints(m, n, &y));
    if (v->rank != 1 || im_attr_int(n, "axis", 0) != 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only from a list of sizes");
    for (int i = 0; i < picks; i++) {
        int k = at[i] == BATCH ? -1 : im_axis(at[i], count);
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
    if (im_has_input(n, i)) return im_ints(m, n, im_input(m, n, i), out, count);
    for (int k = 0; k < *count; k++) out[k] = usual < 0 ? k : usual;
    return LENS_OK;
}

lens_status convert_slice(import *m, const onnx_node *n) {
    int64_t start[FOLD_MAX] = { 0 }, end[FOLD_MAX] = { 0 }, axis[FOLD_MAX], step[FOLD_MAX];
    int64_t from[FOLD_MAX], now[ONNX_MAX_RANK];
    int count = 0, same = 0, length;
    const value *v = im_input(m, n, 0);
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
        LENS_TRY(im_node_input(m, n, 0, &x, NULL));
        int rank = x->op.out.rank;
        int64_t stride[2] = { 1, 1 };
        dims_of(m, x, now);
        for (int k = 0; k < count; k++) {
            int d = im_axis(axis[k], rank);
            if (d < 0) return REFUSE(m, n, LENS_BAD_FILE, "axis %lld", (long long)axis[k]);
            bool all = start[k] == 0 && (d == 0 ? end[k] >= INT32_MAX : end[k] >= now[d]);
            if (!all || step[k] < 1 || step[k] > OP_MAX_DIM || (d < 2 && step[k] != 1))
                return REFUSE(m, n, LENS_UNSUPPORTED,
                              "only every s-th row and column from the first");
            if (d >= 2) stride[rank == 3 ? 1 : d - 2] = step[k];
        }
        if (stride[0] == 1 && stride[1] == 1) return convert_same(m, n);
        lens_shortcut_opts o = { .stride = { (int)stride[rank == 3 ? 1 : 0], (int)stride[1] } };
        return im_give(m, n, lens_shortcut(x, im_name(m, n, NULL, buf), o));
    }
    LENS_TRY(im_ints(m, n, v, from, &length));
    if (v->rank != 1 || count != 1 || im_axis(axis[0], 1) || step[0] != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only a run of a list of sizes");
    int64_t first = start[0] < 0 ? start[0] + length : start[0];
    int64_t last = end[0] < 0 ? end[0] + length : end[0];
    if (first < 0) first = 0;
    if (last > length) last = length;
    value *y;
    LENS_TRY(im_new_ints(m, n, &y));
    y->rank = 1;
    y->dim[0] = last > first ? last - first : 0;
    for (int64_t i = first; i < last; i++) y->ints[i - first] = from[i];
    return LENS_OK;
}

static lens_status fold_concat(import *m, const onnx_node *n) {
    value *y;
    int total = 0;
    LENS_TRY(im_new_ints(m, n, &y));
    for (int i = 0; i < n->inputs; i++) {
        int64_t part[FOLD_MAX];
        int count;
        LENS_TRY(im_ints(m, n, im_input(m, n, i), part, &count));
        if (total + count > FOLD_MAX || im_input(m, n, i)->rank != 1)
            return REFUSE(m, n, LENS_UNSUPPORTED, "constants other than short lists of sizes");
        memcpy(y->ints + total, part, (size_t)count * sizeof *part);
        total += count;
    }
    y->rank = 1;
    y->dim[0] = total;
    return LENS_OK;
}

lens_status convert_concat(import *m, const onnx_node *n) {
    lens_node *x[NET_MAX_INPUTS];
    char buf[NET_MAX_NAME + 1];
    if (n->inputs < 1 || n->inputs > NET_MAX_INPUTS)
        return REFUSE(m, n, LENS_BAD_FILE, "%d inputs", n->inputs);
    if (im_is_constant(im_input(m, n, 0))) return fold_concat(m, n);
    for (int i = 0; i < n->inputs; i++) LENS_TRY(im_node_input(m, n, i, &x[i], NULL));
    if (im_axis(im_attr_int(n, "axis", 1), x[0]->op.out.rank) != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "only along channels (axis 1)");
    if (n->inputs == 1) return convert_same(m, n);
    return im_give(m, n, lens_concat(x, n->inputs, im_name(m, n, NULL, buf)));
}

/* The mean over all rows and columns is a global pooling. */
lens_status convert_mean(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int axis[ONNX_MAX_RANK], count, marked = 0;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(im_node_input(m, n, 0, &x, NULL));
    int rank = x->op.out.rank;
    LENS_TRY(im_axes(m, n, 1, rank, axis, &count));
    for (int k = 0; k < count; k++) marked |= 1 << axis[k];
    if (rank < 3 || marked != (rank == 4 ? 12 : 4))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only over all rows and columns");
    if (im_attr_int(n, "keepdims", 1))
        return im_give(m, n, lens_global_avgpool(x, im_name(m, n, NULL, buf)));
    return im_give(m, n, lens_flatten(lens_global_avgpool(x, NULL), im_name(m, n, NULL, buf)));
}
