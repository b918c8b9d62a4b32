/* onnx_shapes.c - operators of ONNX that move numbers without changing them, and those that make constants.
 * What only changes a shape leaves no node behind.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <math.h>
#include <string.h>

static lens_status first_input(import *m, const onnx_node *n, const value **v) {
    *v = im_input(m, n, 0);
    if (!*v) return REFUSE(m, n, LENS_BAD_FILE, "input 0 is missing");
    if ((*v)->padded)
        return REFUSE(m, n, LENS_UNSUPPORTED, "padding and another reader of what is padded");
    return LENS_OK;
}

static const char *output_name(const import *m, const onnx_node *n, char *buf) {
    return im_choose_name(m, n->output[0], strlen(n->output[0]), buf);
}

/* ---- Shapes --------------------------------------------------------------------------------- */

/* Output 0 is input 0 under another shape. That of a node begins with the batch. */
static lens_status relabel(import *m, const onnx_node *n, int rank, const int64_t *dim) {
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
    LENS_TRY(im_same(m, n));
    value *y = im_output(m, n);
    int first = y->node && !m->whole;
    int64_t have = 1, product = 1;
    if (rank < first) return REFUSE(m, n, LENS_UNSUPPORTED, "the batch would go");
    for (int d = first; d < y->rank; d++) have *= y->dim[d];
    for (int d = first; d < rank; d++)
        if (dim[d] < 0 || (dim[d] > 0 && product > have / dim[d]))
            return REFUSE(m, n, LENS_UNSUPPORTED, "%lld numbers%s do not fill the new shape",
                          (long long)have, first ? " a sample" : "");
        else
            product *= dim[d];
    if (product != have)
        return REFUSE(m, n, LENS_UNSUPPORTED, "%lld numbers%s become %lld", (long long)have,
                      first ? " a sample" : "", (long long)product);
    if (y->turned) return REFUSE(m, n, LENS_UNSUPPORTED, "a transposed constant");
    y->rank = rank;
    for (int d = first; d < rank; d++) y->dim[d] = dim[d];
    y->made = NULL;
    return LENS_OK;
}

/* The first dimension must stay the batch: its number or mark, or the open one. */
lens_status convert_reshape(import *m, const onnx_node *n) {
    int64_t to[FOLD_MAX], have = 1, product = 1;
    int rank, open = -1;
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_ints(m, n, im_input(m, n, 1), to, &rank));
    bool zero_copies = !im_attr_int(n, "allowzero", 0);
    int first = v->node && !m->whole;
    if (rank > ONNX_MAX_RANK || rank < first)
        return REFUSE(m, n, LENS_UNSUPPORTED, "a new shape of rank %d", rank);
    for (int d = first; d < v->rank; d++) have *= v->dim[d];
    for (int d = 0; d < rank; d++) {
        if (to[d] == 0 && zero_copies && d < v->rank) to[d] = v->dim[d];
        if (to[d] == -1) {
            if (open > 0 || (open == 0 && !first))
                return REFUSE(m, n, LENS_BAD_FILE, "two open dimensions");
            open = d;
        } else if (d >= first) {
            if (to[d] < 0 || (to[d] && product > have / to[d]))
                return REFUSE(m, n, LENS_UNSUPPORTED, "%lld numbers do not fill the new shape",
                              (long long)have);
            product *= to[d];
        }
    }
    if (open >= first) to[open] = product ? have / product : 0;
    bool batch = !first || to[0] == BATCH || to[0] == v->dim[0] || (to[0] == -1 && open == 0);
    if (!batch && m->batch != BATCH)
        return REFUSE(m, n, LENS_UNSUPPORTED, "the first dimension becomes %lld, not the batch",
                      (long long)to[0]);
    return relabel(m, n, rank, to);
}

lens_status convert_flatten(import *m, const onnx_node *n) {
    const value *v;
    int64_t to[2] = { 1, 1 };
    LENS_TRY(first_input(m, n, &v));
    int64_t axis = im_attr_int(n, "axis", 1);
    if (axis < 0) axis += v->rank;
    if (axis < 0 || axis > v->rank)
        return REFUSE(m, n, LENS_BAD_FILE, "axis %lld of rank %d", (long long)axis, v->rank);
    int first = v->node && !m->whole;
    if (first && axis != 1)
        return REFUSE(m, n, LENS_UNSUPPORTED, "axis %lld: samples would be mixed", (long long)axis);
    for (int d = first; d < v->rank; d++) to[d >= axis] *= v->dim[d];
    return relabel(m, n, 2, to);
}

lens_status convert_squeeze(import *m, const onnx_node *n) {
    const value *v;
    int axis[ONNX_MAX_RANK], count, rank = 0;
    int64_t to[ONNX_MAX_RANK];
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_axes(m, n, 1, v->rank, axis, &count));
    int first = v->node && !m->whole;
    for (int d = 0; d < v->rank; d++) {
        bool drop = !count && v->dim[d] == 1;
        for (int k = 0; k < count; k++) drop |= axis[k] == d;
        if (drop && d < first) return REFUSE(m, n, LENS_UNSUPPORTED, "the batch would go");
        if (drop && v->dim[d] != 1)
            return REFUSE(m, n, LENS_BAD_FILE, "axis %d is %lld long, not 1", d,
                          (long long)v->dim[d]);
        if (!drop) to[rank++] = v->dim[d];
    }
    return relabel(m, n, rank, to);
}

lens_status convert_unsqueeze(import *m, const onnx_node *n) {
    const value *v;
    int64_t to[ONNX_MAX_RANK], list[FOLD_MAX];
    int count;
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_list(m, n, "axes", 1, list, &count));
    int rank = v->rank + (count < 0 ? 0 : count);
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "rank %d", rank);
    for (int d = 0, from = 0; d < rank; d++) {
        bool added = false;
        for (int k = 0; k < count; k++) added |= im_axis(list[k], rank) == d;
        if (!added && from == v->rank)
            return REFUSE(m, n, LENS_BAD_FILE, "an axis twice or outside");
        if (added && d == 0 && v->node && !m->whole)
            return REFUSE(m, n, LENS_UNSUPPORTED, "a new first axis");
        to[d] = added ? 1 : v->dim[from++];
    }
    return relabel(m, n, rank, to);
}

/* Shape and Size. */
lens_status convert_shape(import *m, const onnx_node *n) {
    const value *v;
    value *y;
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, true, &y));
    if (!strcmp(n->op, "Size")) {
        if (v->rank && v->dim[0] == BATCH)
            return REFUSE(m, n, LENS_UNSUPPORTED, "arithmetic with the number of samples");
        y->numbers[0] = (double)im_count(v);
        return LENS_OK;
    }
    int64_t first = im_attr_int(n, "start", 0), last = im_attr_int(n, "end", v->rank);
    if (first < 0) first += v->rank;
    if (last < 0) last += v->rank;
    if (first < 0) first = 0;
    if (last > v->rank) last = v->rank;
    y->rank = 1;
    y->dim[0] = last > first ? last - first : 0;
    for (int64_t i = first; i < last; i++) y->numbers[i - first] = (double)v->dim[i];
    return LENS_OK;
}

/* ---- Constants ------------------------------------------------------------------------------ */

lens_status convert_constant(import *m, const onnx_node *n) {
    const onnx_attr *a = onnx_attribute(n, "value");
    value *y = im_output(m, n);
    if (a && a->type == ONNX_TENSOR) {
        y->tensor = a->t;
        y->rank = a->t->rank;
        memcpy(y->dim, a->t->dim, sizeof y->dim);
        return LENS_OK;
    }
    static const char *const names[] = { "value_int", "value_ints", "value_float", "value_floats" };
    for (size_t i = 0; i < LENS_COUNT(names) && !a; i++) a = onnx_attribute(n, names[i]);
    bool list = a && (a->type == ONNX_INTS || a->type == ONNX_FLOATS);
    if (!a || a->count > FOLD_MAX || (!list && a->type != ONNX_INT && a->type != ONNX_FLOAT))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only a tensor, or a few numbers");
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, a->type == ONNX_INT || a->type == ONNX_INTS, &y));
    y->rank = list;
    y->dim[0] = a->count;
    if (!list) y->numbers[0] = a->type == ONNX_INT ? (double)a->i : (double)a->f;
    for (int i = 0; list && i < a->count; i++)
        y->numbers[i] = a->type == ONNX_INTS ? (double)a->ints[i] : (double)a->floats[i];
    return LENS_OK;
}

lens_status convert_constant_of_shape(import *m, const onnx_node *n) {
    const onnx_attr *a = onnx_attribute(n, "value");
    int64_t dim[FOLD_MAX], total = 1;
    int rank;
    float number = 0;
    value *y;
    LENS_TRY(im_ints(m, n, im_input(m, n, 0), dim, &rank));
    if (a && (a->type != ONNX_TENSOR || a->t->count != 1))
        return REFUSE(m, n, LENS_BAD_FILE, "value is not one number");
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "rank %d", rank);
    for (int d = 0; d < rank; d++) {
        if (dim[d] < 0 || dim[d] > FOLD_MAX || (total *= dim[d]) > FOLD_MAX)
            return REFUSE(m, n, LENS_UNSUPPORTED, "more than %d constants", FOLD_MAX);
    }
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, a && !onnx_is_real(a->t), &y));
    if (a) onnx_floats(a->t, &number);
    for (int64_t i = 0; i < total; i++) y->numbers[i] = (double)number;
    y->rank = rank;
    memcpy(y->dim, dim, (size_t)rank * sizeof *dim);
    return LENS_OK;
}

lens_status convert_range(import *m, const onnx_node *n) {
    double list[3][FOLD_MAX];
    int count;
    bool whole = true;
    value *y;
    for (int i = 0; i < 3; i++) {
        const value *v = im_input(m, n, i);
        LENS_TRY(im_numbers(m, n, v, list[i], &count));
        if (count != 1 || list[i][0] == (double)BATCH)
            return REFUSE(m, n, LENS_UNSUPPORTED, "its input %d is not one number", i);
        whole &= v->tensor ? !onnx_is_real(v->tensor) : v->whole;
    }
    double steps = ceil((list[1][0] - list[0][0]) / list[2][0]);
    if (!(steps <= FOLD_MAX)) return REFUSE(m, n, LENS_UNSUPPORTED, "%g numbers", steps);
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, whole, &y));
    y->rank = 1;
    y->dim[0] = steps > 0 ? (int64_t)steps : 0;
    for (int i = 0; i < y->dim[0]; i++) y->numbers[i] = list[0][0] + i * list[2][0];
    return LENS_OK;
}

/* Sizes stay whole numbers, and a picture stays float: half precision would round, and is not made. */
lens_status convert_cast(import *m, const onnx_node *n) {
    enum { BOOLEAN = 9, DOUBLE = 11 };
    const value *v;
    int64_t to = im_attr_int(n, "to", 0);
    bool to_real = to == ONNX_F32 || to == DOUBLE, to_whole = to == ONNX_I64 || to == ONNX_I32;
    LENS_TRY(first_input(m, n, &v));
    if (v->node ? !to_real : !to_real && !to_whole && to != BOOLEAN)
        return REFUSE(m, n, LENS_UNSUPPORTED, "to ONNX type %lld", (long long)to);
    bool whole = v->tensor ? !onnx_is_real(v->tensor) : v->whole;
    if (v->node || (whole ? to_whole : to_real)) return im_same(m, n);
    double list[FOLD_MAX];
    int count;
    value *y;
    LENS_TRY(im_numbers(m, n, v, list, &count));
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, !to_real, &y));
    for (int i = 0; i < count; i++)
        y->numbers[i] = to == BOOLEAN ? list[i] != 0 : to_real ? list[i] : trunc(list[i]);
    y->rank = v->rank;
    memcpy(y->dim, v->dim, sizeof y->dim);
    return LENS_OK;
}

/* ---- Moving --------------------------------------------------------------------------------- */

/* A large constant matrix is turned when it is poured into the weights. */
lens_status convert_transpose(import *m, const onnx_node *n) {
    const value *v;
    const onnx_attr *perm = onnx_attribute(n, "perm");
    unsigned seen = 0;
    LENS_TRY(first_input(m, n, &v));
    index_map map = map_of(m->ctx, v->rank, v->dim);
    bool given = perm && perm->type == ONNX_INTS;
    if (given && perm->count != v->rank)
        return REFUSE(m, n, LENS_BAD_FILE, "perm has %d numbers for rank %d", perm->count, v->rank);
    for (int d = 0; d < v->rank; d++) {
        int64_t from = given ? perm->ints[d] : v->rank - 1 - d;
        if (from < 0 || from >= v->rank || seen >> from & 1)
            return REFUSE(m, n, LENS_BAD_FILE, "perm does not name each axis once");
        seen |= 1u << from;
        map.order[d] = (int)from;
    }
    if (v->rank != 2 || v->node || !v->tensor || !onnx_is_real(v->tensor) || map.order[0] == 0)
        return im_give_moved(m, n, 0, &map);
    bool turned = !v->turned;
    int64_t dim[] = { v->dim[1], v->dim[0] };
    LENS_TRY(im_same(m, n));
    value *y = im_output(m, n);
    y->turned = turned;
    memcpy(y->dim, dim, sizeof dim);
    y->made = NULL;
    return LENS_OK;
}

/* start, end, axes, steps: attributes before opset 10, then inputs 1..4. */
static lens_status slice_list(import *m, const onnx_node *n, const char *name, int i, int count,
                              int64_t *out) {
    int have;
    LENS_TRY(im_list(m, n, name, i, out, &have));
    if (have >= 0 && have != count)
        return REFUSE(m, n, LENS_BAD_FILE, "%d starts but %d %s", count, have, name);
    for (int k = 0; have < 0 && k < count; k++) out[k] = *name == 'a' ? k : 1;
    return LENS_OK;
}

/* Every s-th row and column from the first on is a layer. */
static bool is_thinned(const import *m, const value *v, int count, const int *axis,
                       const int64_t *first, const int64_t *places, const int64_t *step,
                       int stride[2]) {
    stride[0] = stride[1] = 1;
    bool yes = v->node && !m->whole && (v->rank == 3 || v->rank == 4);
    for (int k = 0; yes && k < count; k++) {
        int64_t all = (v->dim[axis[k]] + step[k] - 1) / step[k];
        yes = first[k] == 0 && step[k] >= 1 && places[k] == all && (axis[k] >= 2 || step[k] == 1);
        if (yes && axis[k] >= 2) stride[v->rank == 3 ? 1 : axis[k] - 2] = (int)step[k];
    }
    return yes && (stride[0] > 1 || stride[1] > 1);
}

lens_status convert_slice(import *m, const onnx_node *n) {
    int64_t start[FOLD_MAX], end[FOLD_MAX], named[FOLD_MAX], step[FOLD_MAX], places[FOLD_MAX];
    int axis[FOLD_MAX], count, stride[2];
    char buf[NET_MAX_NAME + 1];
    const value *v;
    lens_node *x = NULL;
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_list(m, n, "starts", 1, start, &count));
    LENS_TRY(slice_list(m, n, "ends", 2, count, end));
    LENS_TRY(slice_list(m, n, "axes", 3, count, named));
    LENS_TRY(slice_list(m, n, "steps", 4, count, step));
    int kept = 0;
    for (int k = 0; k < count; k++) {
        int a = im_axis(named[k], v->rank);
        if (a < 0) return REFUSE(m, n, LENS_BAD_FILE, "axis %lld", (long long)named[k]);
        if (step[k] == 0 || step[k] > OP_MAX_DIM || step[k] < -OP_MAX_DIM)
            return REFUSE(m, n, LENS_BAD_FILE, "a step of %lld", (long long)step[k]);
        int64_t size = v->dim[a];
        bool batch = v->node && !m->whole && a == 0;
        if (batch && start[k] == 0 && step[k] == 1 &&
            (end[k] >= INT32_MAX || end[k] == size || end[k] == BATCH))
            continue; /* all samples */
        if (batch || start[k] == BATCH || end[k] == BATCH)
            return REFUSE(m, n, LENS_UNSUPPORTED, "samples would be cut off");
        /* Counted from the end if negative; then clamped to what a step in this direction can meet. */
        int64_t low = step[k] < 0 ? -1 : 0, high = step[k] < 0 ? size - 1 : size;
        int64_t from = start[k] < 0 ? start[k] + size : start[k];
        int64_t to = end[k] < 0 ? end[k] + size : end[k];
        from = from < low ? low : from > high ? high : from;
        to = to < low ? low : to > high ? high : to;
        int64_t span = step[k] > 0 ? to - from : from - to, by = step[k] > 0 ? step[k] : -step[k];
        axis[kept] = a;
        start[kept] = from;
        step[kept] = step[k];
        places[kept++] = span > 0 ? (span + by - 1) / by : 0;
    }
    if (is_thinned(m, v, kept, axis, start, places, step, stride)) {
        LENS_TRY(im_node_input(m, n, 0, &x, NULL));
        lens_shortcut_opts o = { .stride = { stride[v->rank == 3], stride[1] } };
        return im_give(m, n, lens_shortcut(x, output_name(m, n, buf), o));
    }
    index_map map = map_of(m->ctx, v->rank, v->dim);
    for (int k = 0; k < kept; k++)
        if (start[k] != 0 || places[k] != v->dim[axis[k]] || step[k] != 1)
            map_run(&map, axis[k], start[k], places[k], step[k]);
    return im_give_moved(m, n, 0, &map);
}

lens_status convert_split(import *m, const onnx_node *n) {
    int64_t sizes[FOLD_MAX], at = 0;
    int count;
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    int axis = im_axis(im_attr_int(n, "axis", 0), v->rank);
    if (axis < 0) return REFUSE(m, n, LENS_BAD_FILE, "an axis outside rank %d", v->rank);
    LENS_TRY(im_list(m, n, "split", 1, sizes, &count));
    if (v->node && !m->whole && axis == 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "along the samples");
    int64_t total = v->dim[axis];
    if (count < 0) { /* equal parts, the last one smaller */
        count = n->outputs;
        if (count > FOLD_MAX) return REFUSE(m, n, LENS_UNSUPPORTED, "%d outputs", count);
        int64_t each = (total + count - 1) / count;
        for (int i = 0; i < count; i++) {
            sizes[i] = total - at < each ? total - at : each;
            at += sizes[i];
        }
    }
    at = 0;
    for (int i = 0; i < count; i++) {
        if (sizes[i] < 0 || sizes[i] > total - at)
            return REFUSE(m, n, LENS_BAD_FILE, "parts that are longer than axis %d", axis);
        if (im_wants(m, n, i)) {
            index_map map = map_of(m->ctx, v->rank, v->dim);
            map_run(&map, axis, at, sizes[i], 1);
            LENS_TRY(im_give_moved(m, n, i, &map));
        }
        at += sizes[i];
    }
    return LENS_OK;
}

lens_status convert_gather(import *m, const onnx_node *n) {
    const value *v, *where = im_input(m, n, 1);
    LENS_TRY(first_input(m, n, &v));
    int axis = im_axis(im_attr_int(n, "axis", 0), v->rank);
    if (axis < 0) return REFUSE(m, n, LENS_BAD_FILE, "an axis outside rank %d", v->rank);
    if (!im_is_constant(where) || im_count(where) > LIST_MAX || im_count(where) < 1 ||
        where->turned || (where->tensor ? onnx_is_real(where->tensor) : !where->whole))
        return REFUSE(m, n, LENS_UNSUPPORTED, "its places must be up to %d constant whole numbers",
                      LIST_MAX);
    if (v->node && !m->whole && axis == 0)
        return REFUSE(m, n, LENS_UNSUPPORTED, "along the samples");
    int rank = v->rank - 1 + where->rank;
    if (rank > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "a result of rank %d", rank);
    size_t count = (size_t)im_count(where);
    int64_t *place = ctx_alloc(m->ctx, count, sizeof *place);
    if (!place) return LENS_NOMEM;
    if (where->tensor) onnx_ints(where->tensor, place);
    index_map map = map_of(m->ctx, v->rank, v->dim);
    for (size_t i = 0; i < count; i++) {
        int64_t given = where->tensor ? place[i] : (int64_t)where->numbers[i];
        place[i] = given == BATCH ? -1 : given < 0 ? given + v->dim[axis] : given;
        if (place[i] >= 0 && place[i] < v->dim[axis]) continue;
        ctx_free(m->ctx, place);
        return REFUSE(m, n, LENS_BAD_FILE, "place %lld of %lld", (long long)given,
                      (long long)v->dim[axis]);
    }
    map_places(&map, axis, place, count);
    ctx_free(m->ctx, place);
    int64_t dim[ONNX_MAX_RANK];
    for (int d = 0; d < rank; d++)
        dim[d] = d < axis                 ? v->dim[d]
                 : d < axis + where->rank ? where->dim[d - axis]
                                          : v->dim[d - where->rank + 1];
    LENS_TRY(im_give_moved(m, n, 0, &map));
    value *y = im_output(m, n);
    y->rank = rank;
    memcpy(y->dim, dim, (size_t)rank * sizeof *dim);
    return LENS_OK;
}

lens_status convert_expand(import *m, const onnx_node *n) {
    int64_t to[FOLD_MAX];
    int rank;
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_ints(m, n, im_input(m, n, 1), to, &rank));
    int most = rank > v->rank ? rank : v->rank;
    if (most > ONNX_MAX_RANK) return REFUSE(m, n, LENS_UNSUPPORTED, "rank %d", most);
    if (v->node && !m->whole && most > v->rank)
        return REFUSE(m, n, LENS_UNSUPPORTED, "a new first axis");
    /* Aligned at the last axis, both lists begin with ones. */
    value lifted = *v;
    lifted.rank = most;
    for (int d = most - 1; d >= 0; d--)
        lifted.dim[d] = d < most - v->rank ? 1 : v->dim[d - (most - v->rank)];
    index_map map = map_of(m->ctx, most, lifted.dim);
    for (int d = most - rank; d < most; d++) {
        int64_t want = to[d - (most - rank)], have = lifted.dim[d];
        if (want == have || want == 1 || (v->node && !m->whole && d == 0 && want == m->batch))
            continue;
        if (have != 1 || want < 1 || want > OP_MAX_DIM) {
            map_free(&map);
            return REFUSE(m, n, want < 1 ? LENS_UNSUPPORTED : LENS_BAD_FILE,
                          "%lld along axis %d do not become %lld", (long long)have, d,
                          (long long)want);
        }
        map_run(&map, d, 0, want, 0);
    }
    /* The map is of the lifted shape: so must be what it is read from. */
    value *x = im_input(m, n, 0), kept = *x;
    x->rank = most;
    memcpy(x->dim, lifted.dim, sizeof x->dim);
    lens_status status = im_give_moved(m, n, 0, &map);
    x->rank = kept.rank;
    memcpy(x->dim, kept.dim, sizeof x->dim);
    return status;
}

lens_status convert_tile(import *m, const onnx_node *n) {
    enum { MOST_REPEATS = 4096 };
    int64_t repeats[FOLD_MAX];
    int count;
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    LENS_TRY(im_ints(m, n, im_input(m, n, 1), repeats, &count));
    if (count != v->rank)
        return REFUSE(m, n, LENS_BAD_FILE, "%d repeats for rank %d", count, v->rank);
    index_map map = map_of(m->ctx, v->rank, v->dim);
    for (int d = 0; d < count; d++) {
        bool samples = v->dim[d] == BATCH && repeats[d] > 1;
        if (repeats[d] < 1 || repeats[d] > MOST_REPEATS || samples) {
            map_free(&map);
            return REFUSE(m, n, LENS_UNSUPPORTED, "%lld repeats", (long long)repeats[d]);
        }
        for (int64_t k = 0; repeats[d] > 1 && k < repeats[d]; k++)
            map_run(&map, d, 0, v->dim[d], 1);
    }
    return im_give_moved(m, n, 0, &map);
}

/* ---- Padding -------------------------------------------------------------------------------- */

/* Zeros around rows and columns wait for the convolution or mean pooling that alone reads them. */
static bool may_wait(const import *m, const onnx_node *n, const value *v) {
    const value *y = im_output(m, n);
    if (y->readers != 1 || v->rank < 3 || v->rank > 4) return false;
    const char *op = m->model->node[y->reader].op;
    return !strcmp(op, "Conv") || !strcmp(op, "AveragePool");
}

/* One axis: `before` and `after` cells of padding, negative ones cut off. */
static lens_status pad_axis(import *m, const onnx_node *n, index_map *map, int d, int64_t before,
                            int64_t after, const char *mode) {
    int64_t size = map->in[d];
    bool sane = size > 0 && before > -size && after > -size && before <= OP_MAX_DIM / 4 &&
                after <= OP_MAX_DIM / 4;
    int64_t low = sane && before < 0 ? -before : 0, high = sane && after < 0 ? size + after : size;
    if (!sane || high <= low)
        return REFUSE(m, n, LENS_UNSUPPORTED, "pads of %lld and %lld", (long long)before,
                      (long long)after);
    bool constant = !strcmp(mode, "constant"), edge = !strcmp(mode, "edge");
    if (!constant && !edge && (before >= size || after >= size))
        return REFUSE(m, n, LENS_UNSUPPORTED, "reflected pads of %lld and %lld at %lld cells",
                      (long long)before, (long long)after, (long long)size);
    bool wrap = !strcmp(mode, "wrap");
    if (before > 0)
        map_run(map, d,
                constant ? -1
                : edge   ? 0
                : wrap   ? size - before
                         : before,
                before,
                constant || wrap ? 1
                : edge           ? 0
                                 : -1);
    map_run(map, d, low, high - low, 1);
    if (after > 0)
        map_run(map, d,
                constant ? -1
                : edge   ? size - 1
                : wrap   ? 0
                         : size - 2,
                after,
                constant || wrap ? 1
                : edge           ? 0
                                 : -1);
    return LENS_OK;
}

lens_status convert_pad(import *m, const onnx_node *n) {
    lens_node *x = NULL;
    int64_t given[FOLD_MAX], pads[2][ONNX_MAX_RANK] = { { 0 } };
    int count, axis[ONNX_MAX_RANK], axes = 0;
    float filler = im_attr_float(n, "value", 0);
    char buf[NET_MAX_NAME + 1];
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    const onnx_attr *a = onnx_attribute(n, "mode");
    const char *mode = a && a->type == ONNX_STRING ? a->s : "constant";
    bool known = !strcmp(mode, "constant") || !strcmp(mode, "edge") || !strcmp(mode, "reflect") ||
                 !strcmp(mode, "wrap");
    if (!known) return REFUSE(m, n, LENS_UNSUPPORTED, "mode %.40s", mode);
    LENS_TRY(im_list(m, n, onnx_attribute(n, "paddings") ? "paddings" : "pads", 1, given, &count));
    if (im_has_input(n, 2)) LENS_TRY(im_float(m, n, im_input(m, n, 2), &filler));
    if (!isfinite(filler)) return REFUSE(m, n, LENS_UNSUPPORTED, "padding with %g", (double)filler);
    LENS_TRY(im_axes(m, n, 3, v->rank, axis, &axes));
    if (!axes)
        for (; axes < v->rank; axes++) axis[axes] = axes;
    if (count != 2 * axes) return REFUSE(m, n, LENS_BAD_FILE, "%d pads for %d axes", count, axes);
    bool negative = false, planes = false, others = false;
    for (int k = 0; k < axes; k++)
        for (int side = 0; side < 2; side++) {
            int64_t cells = given[side * axes + k];
            pads[side][axis[k]] = cells;
            negative |= cells < 0;
            planes |= axis[k] >= 2 && cells;
            others |= axis[k] < 2 && cells;
        }
    bool zeros = !strcmp(mode, "constant") && filler == 0 && !negative;
    value *y = im_output(m, n);
    if (v->node && zeros && planes && !others && may_wait(m, n, v)) {
        LENS_TRY(im_same(m, n));
        for (int d = 2; d < v->rank; d++) {
            int side = v->rank == 3 ? 1 : d - 2;
            if (pads[0][d] > OP_MAX_DIM / 4 || pads[1][d] > OP_MAX_DIM / 4)
                return REFUSE(m, n, LENS_UNSUPPORTED, "pads of %lld", (long long)pads[0][d]);
            y->pads[side] = (int)pads[0][d];
            y->pads[2 + side] = (int)pads[1][d];
        }
        y->padded = true;
        return LENS_OK;
    }
    /* More channels, half before and half behind, are a shortcut (He 2015, option A). */
    int64_t more = pads[0][1] + pads[1][1];
    bool batch = pads[0][0] || pads[1][0];
    if (v->node && !m->whole && zeros && !planes && !batch && others && v->rank >= 3 &&
        v->rank <= 4 && pads[0][1] == more / 2 && v->dim[1] + more <= OP_MAX_DIM) {
        LENS_TRY(im_node_input(m, n, 0, &x, NULL));
        lens_shortcut_opts o = { .out = (int)(v->dim[1] + more) };
        return im_give(m, n, lens_shortcut(x, output_name(m, n, buf), o));
    }
    index_map map = map_of(m->ctx, v->rank, v->dim);
    map.value = (double)filler;
    for (int d = 0; d < v->rank; d++)
        if (pads[0][d] || pads[1][d]) {
            lens_status status = pad_axis(m, n, &map, d, pads[0][d], pads[1][d], mode);
            if (status != LENS_OK) {
                map_free(&map);
                return status;
            }
        }
    return im_give_moved(m, n, 0, &map);
}

/* ---- Blocks --------------------------------------------------------------------------------- */

/* DepthToSpace and SpaceToDepth: one axis is seen as several, they are exchanged, and folded again. */
lens_status convert_depth_to_space(import *m, const onnx_node *n) {
    static const int order_dcr[] = { 0, 3, 4, 1, 5, 2 }, order_crd[] = { 0, 1, 4, 2, 5, 3 };
    static const int order_depth[] = { 0, 3, 5, 1, 2, 4 };
    int64_t b = im_attr_int(n, "blocksize", 0);
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    bool depth = !strcmp(n->op, "SpaceToDepth"), crd = im_attr_is(n, "mode", "CRD");
    if (v->rank != 4 || !v->node) return REFUSE(m, n, LENS_UNSUPPORTED, "only (N,C,H,W)");
    int64_t c = v->dim[1], h = v->dim[2], w = v->dim[3];
    if (b < 1 || b > 1024 || (depth ? h % b || w % b : c % (b * b)))
        return REFUSE(m, n, LENS_BAD_FILE, "blocks of %lld in %lldx%lldx%lld", (long long)b,
                      (long long)c, (long long)h, (long long)w);
    int64_t seen[6] = { v->dim[0], b, b, c / (b * b), h, w };
    if (crd) memcpy(seen + 1, (int64_t[]){ c / (b * b), b, b }, 3 * sizeof *seen);
    if (depth) memcpy(seen + 1, (int64_t[]){ c, h / b, b, w / b, b }, 5 * sizeof *seen);
    int64_t to[4] = { v->dim[0], c / (b * b), h * b, w * b };
    if (depth) memcpy(to + 1, (int64_t[]){ c * b * b, h / b, w / b }, 3 * sizeof *to);
    const int *order = depth ? order_depth : crd ? order_crd : order_dcr;
    index_map map = map_of(m->ctx, 6, seen);
    memcpy(map.order, order, 6 * sizeof *order);
    value *x = im_input(m, n, 0), kept = *x;
    x->rank = 6;
    memcpy(x->dim, seen, sizeof seen);
    lens_status status = im_give_moved(m, n, 0, &map);
    x->rank = kept.rank;
    memcpy(x->dim, kept.dim, sizeof x->dim);
    value *y = im_output(m, n);
    y->rank = 4;
    memcpy(y->dim, to, sizeof to);
    return status;
}

/* ---- Joining -------------------------------------------------------------------------------- */

static lens_status fold_concat(import *m, const onnx_node *n) {
    value *y;
    int total = 0;
    bool whole = true;
    LENS_TRY(im_new_numbers(m, n, 0, FOLD_MAX, true, &y));
    for (int i = 0; i < n->inputs; i++) {
        double list[FOLD_MAX];
        int count;
        const value *v = im_input(m, n, i);
        LENS_TRY(im_numbers(m, n, v, list, &count));
        if (total + count > FOLD_MAX || v->rank != 1)
            return REFUSE(m, n, LENS_UNSUPPORTED, "constants other than short lists");
        whole &= v->tensor ? !onnx_is_real(v->tensor) : v->whole;
        memcpy(y->numbers + total, list, (size_t)count * sizeof *list);
        total += count;
    }
    y->whole = whole;
    y->rank = 1;
    y->dim[0] = total;
    return LENS_OK;
}

lens_status convert_concat(import *m, const onnx_node *n) {
    part x[NET_MAX_INPUTS];
    char buf[NET_MAX_NAME + 1];
    bool constant = true;
    const value *v;
    LENS_TRY(first_input(m, n, &v));
    if (n->inputs > NET_MAX_INPUTS) return REFUSE(m, n, LENS_BAD_FILE, "%d inputs", n->inputs);
    for (int i = 0; i < n->inputs; i++) constant &= im_is_constant(im_input(m, n, i));
    if (constant) return fold_concat(m, n);
    int axis = im_axis(im_attr_int(n, "axis", 1), v->rank);
    if (axis < 0) return REFUSE(m, n, LENS_BAD_FILE, "an axis outside rank %d", v->rank);
    if (!m->whole && axis == 0) return REFUSE(m, n, LENS_UNSUPPORTED, "along the samples");
    if (n->inputs == 1) return im_same(m, n);
    for (int i = 0; i < n->inputs; i++) {
        if (!m->whole && im_is_constant(im_input(m, n, i)) && m->batch != 1)
            return REFUSE(m, n, LENS_UNSUPPORTED, "a constant among what is joined");
        LENS_TRY(im_part(m, n, i, v->rank, &x[i]));
    }
    return im_give_part(m, n, 0,
                        part_concat(x, n->inputs, axis - !m->whole, im_name(m, n, NULL, buf)));
}
