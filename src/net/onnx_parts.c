/* onnx_parts.c - expressions of the general operators: y = a*x + b with shapes as ONNX sees them, of up to
 * 8 dimensions, on nodes that have three. Dimensions next to each other that are treated alike are
 * folded into one; where that leaves too many, the numbers are moved first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"
#include "op/rearrange.h"

#include <stdio.h>
#include <string.h>

/* ---- Shapes --------------------------------------------------------------------------------- */

static int64_t count_of(int rank, const int64_t *dim) {
    int64_t count = 1;
    for (int d = 0; d < rank; d++) count *= dim[d];
    return count;
}

part part_shaped(part p, int rank, const int64_t *dim) {
    p.rank = rank;
    memmove(p.dim, dim, (size_t)rank * sizeof *dim);
    return p;
}

shape part_shape(part p) {
    int r = p.rank;
    int64_t c = count_of(r <= 2 ? (r > 0) : r - 2, p.dim);
    return (shape){ .rank = r > 2   ? 4
                            : r > 1 ? 3
                                    : 2,
                    .c = (int)c,
                    .h = r > 2 ? (int)p.dim[r - 2] : 1,
                    .w = r > 1 ? (int)p.dim[r - 1] : 1 };
}

lens_node *part_node(part p, shape s) {
    if (!p.node) return NULL;
    shape now = p.node->op.out;
    if (now.rank == s.rank && now.c == s.c && now.h == s.h && now.w == s.w) return p.node;
    if (s.rank == 2) return lens_flatten(p.node, NULL);
    if (s.rank == 3) return lens_reshape1d(p.node, NULL, s.c, s.w);
    return lens_reshape(p.node, NULL, s.c, s.h, s.w);
}

static part failed(lens_net *net, lens_status status) {
    net_fail(net, status);
    return (part){ 0 };
}

/* Three dimensions as C, H and W of a picture. */
static lens_node *cube(part p, int64_t c, int64_t h, int64_t w) {
    return part_node(p, (shape){ .rank = 4, .c = (int)c, .h = (int)h, .w = (int)w });
}

/* Folds neighbours of one kind into groups: kind[d] is one of a few numbers, and a size of 1 suits any.
 * Returns how many groups; group[d] is the one that d belongs to. */
static int fold_groups(int rank, const int64_t *dim, const int *kind, int *group) {
    int groups = 0, last = -1;
    for (int d = 0; d < rank; d++) {
        if (dim[d] != 1 && kind[d] != last) {
            last = kind[d];
            groups++;
        }
        group[d] = groups ? groups - 1 : 0;
    }
    return groups ? groups : 1;
}

/* ---- Inputs and outputs --------------------------------------------------------------------- */

static part new_parameter(import *m, int rank, const int64_t *dim, bool fixed, const char *name) {
    for (int d = 0; d < rank; d++)
        if (dim[d] < 1 || dim[d] > OP_MAX_DIM)
            return failed(m->net, ctx_fail(m->ctx, LENS_UNSUPPORTED,
                                           "dimension %d of a constant is %lld, outside 1..%d", d,
                                           (long long)dim[d], OP_MAX_DIM));
    part p = part_shaped((part){ 0 }, rank, dim);
    shape s = part_shape(p);
    char buf[NET_MAX_NAME + 1];
    const char *chosen = name ? im_choose_name(m, name, strlen(name), buf) : NULL;
    p.node = lens_parameter(m->net->input, chosen, (lens_parameter_opts){ s.c, s.h, s.w, fixed });
    return p;
}

part part_fixed(import *m, const double *numbers, int rank, const int64_t *dim) {
    part p = new_parameter(m, rank, dim, true, NULL);
    if (!numbers) return failed(m->net, LENS_NOMEM);
    lens_status status = LENS_OK;
    if (p.node) status = im_add_fill(m, (fill){ .node = p.node, .numbers = numbers, .scale = 1 });
    return status == LENS_OK ? p : failed(m->net, status);
}

/* What a trained net has many of is a weight; single numbers, and what stands in the graph itself, are
 * not trained. */
static bool is_weight(const import *m, const onnx_tensor *t) {
    return t && onnx_is_real(t) && t->count > 1 && t >= m->model->tensor &&
           t < m->model->tensor + m->model->tensors;
}

part im_constant(import *m, value *v) {
    part p = { .node = v->made };
    if (!v->made) {
        p = new_parameter(m, v->rank, v->dim, !is_weight(m, v->tensor), v->name);
        fill f = { .node = p.node,
                   .tensor = v->tensor,
                   .numbers = v->numbers,
                   .columns = v->turned ? v->dim[1] : 0,
                   .scale = 1 };
        lens_status status = p.node ? im_add_fill(m, f) : LENS_OK;
        if (status != LENS_OK) return failed(m->net, status);
        v->made = p.node;
    }
    return part_shaped(p, v->rank, v->dim);
}

lens_status im_part(import *m, const onnx_node *n, int i, int rank, part *p) {
    value *v = im_input(m, n, i);
    if (!v) return REFUSE(m, n, LENS_BAD_FILE, "input %d is missing", i);
    if (v->padded)
        return REFUSE(m, n, LENS_UNSUPPORTED, "padding and another reader of what is padded");
    if (v->node) {
        int first = !m->whole;
        if (first && v->rank != rank)
            return REFUSE(m, n, LENS_UNSUPPORTED,
                          "inputs of rank %d and %d: samples would be mixed", v->rank, rank);
        *p = part_shaped((part){ .node = v->node }, v->rank - first, v->dim + first);
        return LENS_OK;
    }
    if (!m->whole && (v->rank > rank || (v->rank == rank && v->rank && v->dim[0] != 1)))
        return REFUSE(m, n, LENS_UNSUPPORTED, "a constant that differs from sample to sample");
    *p = im_constant(m, v);
    if (!m->whole && v->rank == rank && rank) *p = part_shaped(*p, v->rank - 1, v->dim + 1);
    return p->node ? LENS_OK : im_refuse(m, n, m->net->error);
}

lens_status im_give_part(import *m, const onnx_node *n, int i, part p) {
    if (!p.node) return im_refuse(m, n, m->net->error);
    value *v = im_slot(m, n->output[i]);
    int first = !m->whole;
    if (p.rank + first > ONNX_MAX_RANK)
        return REFUSE(m, n, LENS_UNSUPPORTED, "a result of rank %d", p.rank + first);
    v->node = p.node;
    v->rank = p.rank + first;
    v->dim[0] = m->batch;
    memcpy(v->dim + first, p.dim, (size_t)p.rank * sizeof *p.dim);
    return LENS_OK;
}

/* ---- Arithmetic ----------------------------------------------------------------------------- */

part part_unary(part p, const char *fn, double alpha, double beta, const char *name) {
    if (p.node)
        p.node = lens_unary(p.node, name, (lens_unary_opts){ fn, (float)alpha, (float)beta });
    return p;
}

/* Ones in front. */
static part lifted(part p, int rank) {
    int64_t dim[ONNX_MAX_RANK];
    for (int d = 0; d < rank; d++) dim[d] = d < rank - p.rank ? 1 : p.dim[d - (rank - p.rank)];
    return part_shaped(p, rank, dim);
}

part part_expand(part p, int rank, const int64_t *dim) {
    if (!p.node) return p;
    lens_net *net = p.node->net;
    p = lifted(p, rank);
    index_map map = map_of(net->ctx, rank, p.dim);
    bool any = false;
    for (int d = 0; d < rank; d++)
        if (p.dim[d] != dim[d]) {
            map_run(&map, d, 0, dim[d], 0);
            any = true;
        }
    part y = any ? part_moved(p, &map, NULL) : p;
    map_free(&map);
    return y;
}

part part_binary(const char *fn, part a, part b, const char *name) {
    if (!a.node || !b.node) return (part){ 0 };
    lens_net *net = a.node->net;
    int rank = a.rank > b.rank ? a.rank : b.rank, kind[ONNX_MAX_RANK], group[ONNX_MAX_RANK];
    a = lifted(a, rank);
    b = lifted(b, rank);
    part y = { .rank = rank };
    bool equal = true;
    for (int d = 0; d < rank; d++) {
        if (a.dim[d] != b.dim[d] && a.dim[d] != 1 && b.dim[d] != 1)
            return failed(net, ctx_fail(net->ctx, LENS_BAD_SHAPE,
                                        "sizes %lld and %lld of dimension %d do not fit",
                                        (long long)a.dim[d], (long long)b.dim[d], d));
        y.dim[d] = a.dim[d] == 1 ? b.dim[d] : a.dim[d];
        equal &= a.dim[d] == b.dim[d];
        kind[d] = a.dim[d] == b.dim[d] ? 0 : a.dim[d] == 1 ? 1 : 2;
    }
    lens_node *left, *right;
    if (rank <= 3 || equal) {
        left = part_node(a, part_shape(a));
        right = part_node(b, part_shape(b));
    } else {
        int groups = fold_groups(rank, y.dim, kind, group);
        if (groups > 3) {
            a = part_expand(a, rank, y.dim);
            b = part_expand(b, rank, y.dim);
            return part_binary(fn, a, b, name);
        }
        int64_t da[3] = { 1, 1, 1 }, db[3] = { 1, 1, 1 };
        for (int d = 0; d < rank; d++) {
            da[group[d]] *= a.dim[d];
            db[group[d]] *= b.dim[d];
        }
        left = cube(a, da[0], da[1], da[2]);
        right = cube(b, db[0], db[1], db[2]);
    }
    y.node = equal && !strcmp(fn, "add") ? lens_add(left, right, name)
                                         : lens_binary(left, right, name, (lens_binary_opts){ fn });
    return y;
}

part part_reduce(const char *fn, part p, unsigned axes, const char *name) {
    if (!p.node) return p;
    lens_net *net = p.node->net;
    int kind[ONNX_MAX_RANK] = { 0 }, group[ONNX_MAX_RANK];
    part y = p;
    for (int d = 0; d < p.rank; d++) {
        kind[d] = axes >> d & 1;
        if (kind[d]) y.dim[d] = 1;
    }
    int64_t size[3] = { 1, 1, 1 };
    int groups = fold_groups(p.rank, p.dim, kind, group);
    if (groups > 3) { /* what is kept goes to the front */
        index_map map = map_of(net->ctx, p.rank, p.dim);
        int next = 0;
        for (int part_of = 0; part_of < 2; part_of++)
            for (int d = 0; d < p.rank; d++)
                if (kind[d] == part_of) map.order[next++] = d;
        part moved = part_moved(p, &map, NULL);
        map_free(&map);
        int kept = 0;
        for (int d = 0; d < p.rank; d++) kept += !kind[d];
        unsigned behind = ((1u << p.rank) - 1) & ~((1u << kept) - 1);
        return part_shaped(part_reduce(fn, moved, behind, name), y.rank, y.dim);
    }
    char letters[4] = "";
    for (int d = 0; d < p.rank; d++) {
        size[group[d]] *= p.dim[d];
        if (kind[d] && p.dim[d] != 1 && !strchr(letters, "chw"[group[d]]))
            letters[strlen(letters)] = "chw"[group[d]];
    }
    /* Axes of size 1 alone: a fourth one of size 1 stands for them. */
    if (!*letters) {
        lens_reduce_opts o = { fn, "h" };
        y.node = lens_reduce(cube(p, 1, 1, count_of(p.rank, p.dim)), name, o);
        return y;
    }
    y.node =
        lens_reduce(cube(p, size[0], size[1], size[2]), name, (lens_reduce_opts){ fn, letters });
    return y;
}

part part_matmul(part a, part b, const char *name) {
    if (!a.node || !b.node) return (part){ 0 };
    lens_net *net = a.node->net;
    bool row = a.rank == 1, column = b.rank == 1;
    if (row) a = lifted(a, 2);
    if (column) b = part_shaped(b, 2, (int64_t[]){ b.dim[0], 1 });
    int rank = a.rank > b.rank ? a.rank : b.rank;
    a = lifted(a, rank);
    b = lifted(b, rank);
    part y = a;
    bool same = true;
    int64_t ca = count_of(rank - 2, a.dim), cb = count_of(rank - 2, b.dim);
    for (int d = 0; d < rank - 2; d++) {
        same &= a.dim[d] == b.dim[d];
        if (a.dim[d] == 1) y.dim[d] = b.dim[d];
    }
    if (!same && ca != 1 && cb != 1) {
        int64_t to[ONNX_MAX_RANK];
        memcpy(to, y.dim, sizeof to);
        a = part_expand(a, rank, to);
        to[rank - 2] = b.dim[rank - 2];
        to[rank - 1] = b.dim[rank - 1];
        b = part_expand(b, rank, to);
        if (!a.node || !b.node) return (part){ 0 };
        ca = count_of(rank - 2, a.dim);
        cb = count_of(rank - 2, b.dim);
    }
    if (a.dim[rank - 1] != b.dim[rank - 2])
        return failed(net, ctx_fail(net->ctx, LENS_BAD_SHAPE,
                                    "a matrix of %lld columns times one of %lld rows",
                                    (long long)a.dim[rank - 1], (long long)b.dim[rank - 2]));
    y.dim[rank - 1] = b.dim[rank - 1];
    y.node = lens_matmul(cube(a, ca, a.dim[rank - 2], a.dim[rank - 1]),
                         cube(b, cb, b.dim[rank - 2], b.dim[rank - 1]), name);
    if (column) y.rank--;
    if (row) {
        y.dim[rank - 2] = y.dim[rank - 1];
        y.rank--;
    }
    return y;
}

/* Exchanges axis `axis` with all axes before it: (outer, D, inner) <-> (D, outer, inner). */
static part to_front(part p, int64_t outer, int64_t size, int64_t inner) {
    if (!p.node) return p;
    p = part_shaped(p, 3, (int64_t[]){ outer, size, inner });
    index_map map = map_of(p.node->net->ctx, 3, p.dim);
    map.order[0] = 1;
    map.order[1] = 0;
    p = part_moved(p, &map, NULL);
    map_free(&map);
    return p;
}

part part_concat(part *p, int count, int axis, const char *name) {
    part y = p[0];
    if (count == 1 || !y.node) return y;
    lens_net *net = y.node->net;
    lens_node *x[NET_MAX_INPUTS];
    int64_t outer = count_of(axis, y.dim);
    int64_t inner = count_of(y.rank - axis - 1, y.dim + axis + 1);
    y.dim[axis] = 0;
    for (int i = 0; i < count; i++) {
        bool fits = p[i].rank == y.rank;
        for (int d = 0; fits && d < y.rank; d++) fits = d == axis || p[i].dim[d] == y.dim[d];
        if (!fits)
            return failed(net, ctx_fail(net->ctx, LENS_BAD_SHAPE,
                                        "input %d differs in more than axis %d", i, axis));
        int64_t size = p[i].dim[axis];
        y.dim[axis] += size;
        if (outer > 1) p[i] = to_front(p[i], outer, size, inner);
        bool plane = axis == 0 && y.rank <= 3;
        x[i] = plane ? part_node(p[i], part_shape(p[i])) : cube(p[i], size, 1, outer * inner);
        if (!x[i]) return (part){ 0 };
    }
    y.node = lens_concat(x, count, outer > 1 ? NULL : name);
    if (outer > 1) y = part_shaped(to_front(y, y.dim[axis], outer, inner), y.rank, y.dim);
    return y;
}

part part_softmax(part p, int axis, const char *name) {
    if (!p.node) return p;
    int64_t outer = count_of(axis, p.dim), size = p.dim[axis];
    int64_t inner = count_of(p.rank - axis - 1, p.dim + axis + 1);
    part y = p;
    if (outer > 1) y = to_front(p, outer, size, inner);
    bool plane = axis == 0 && p.rank <= 3;
    y.node = lens_softmax(plane ? part_node(y, part_shape(y)) : cube(y, size, 1, outer * inner),
                          outer > 1 ? NULL : name);
    if (outer > 1) y = to_front(y, size, outer, inner);
    return part_shaped(y, p.rank, p.dim);
}

/* ---- Moving --------------------------------------------------------------------------------- */

index_map map_of(lens_ctx *ctx, int rank, const int64_t *dim) {
    index_map map = { .ctx = ctx, .rank = rank };
    for (int d = 0; d < rank; d++) {
        map.in[d] = dim[d];
        map.order[d] = d;
    }
    return map;
}

void map_run(index_map *map, int d, int64_t first, int64_t count, int64_t step) {
    char *before = map->index[d], run[80];
    if (map->failed) return;
    if (count == 0)
        *run = 0;
    else if (first < 0)
        snprintf(run, sizeof run, "_:%lld", (long long)count);
    else
        snprintf(run, sizeof run, "%lld:%lld:%lld", (long long)first, (long long)count,
                 (long long)step);
    bool more = before && *before;
    map->index[d] = ctx_printf(map->ctx, "%s%s%s", more ? before : "", more ? " " : "", run);
    map->failed = !map->index[d];
    map->out[d] += count;
    ctx_free(map->ctx, before);
}

void map_places(index_map *map, int d, const int64_t *place, size_t count) {
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        int64_t step = end < count ? place[end] - place[i] : 1;
        while (end < count && place[i] >= 0 && place[end] >= 0 &&
               place[end] - place[end - 1] == step)
            end++;
        map_run(map, d, place[i], (int64_t)(end - i), end == i + 1 ? 1 : step);
        i = end;
    }
}

void map_free(index_map *map) {
    for (int d = 0; d < map->rank; d++) ctx_free(map->ctx, map->index[d]);
}

static int64_t out_of(const index_map *map, int d) {
    return map->index[d] ? map->out[d] : map->in[map->order[d]];
}

part part_moved(part p, const index_map *map, const char *name) {
    if (!p.node) return p;
    lens_net *net = p.node->net;
    char shape_text[200], order[40];
    size_t at = 0, length = (size_t)map->rank + 1;
    part y = { .rank = map->rank };
    bool turned = false, indexed = false;
    if (map->failed) return failed(net, LENS_NOMEM);
    if (!map->rank) return p;
    for (int d = 0; d < map->rank; d++) {
        at += (size_t)snprintf(shape_text + at, sizeof shape_text - at, "%s%lld", d ? "x" : "",
                               (long long)map->in[d]);
        order[2 * d] = (char)('0' + map->order[d]);
        order[2 * d + 1] = d < map->rank - 1 ? ',' : 0;
        turned |= map->order[d] != d;
        indexed |= map->index[d] != NULL;
        if (map->index[d]) length += strlen(map->index[d]);
        y.dim[d] = out_of(map, d);
    }
    char *index = ctx_alloc(net->ctx, length + 1, 1);
    if (!index) return failed(net, LENS_NOMEM);
    for (int d = 0; d < map->rank; d++) {
        if (map->index[d]) strcat(index, map->index[d]);
        if (d < map->rank - 1) strcat(index, ";");
    }
    lens_rearrange_opts o = { shape_text, turned ? order : NULL, indexed ? index : NULL,
                              (float)map->value };
    y.node = lens_rearrange(p.node, name, o);
    ctx_free(net->ctx, index);
    return y;
}

/* Of constant numbers: by the same map, without a node. */
static lens_status move_numbers(import *m, const onnx_node *n, int i, const index_map *map) {
    double from[FOLD_MAX];
    int32_t at[FOLD_MAX];
    int count;
    int64_t total = 1;
    const value *x = im_input(m, n, 0);
    value *y;
    rearrangement r = { .rank = map->rank };
    LENS_TRY(im_numbers(m, n, x, from, &count));
    bool whole = x->tensor ? !onnx_is_real(x->tensor) : x->whole;
    for (int d = 0; d < map->rank; d++) {
        r.in[d] = map->in[d];
        r.out[d] = out_of(map, d);
        r.order[d] = map->order[d];
        r.index[d] = map->index[d];
        total *= r.out[d];
        if (total > FOLD_MAX)
            return REFUSE(m, n, LENS_UNSUPPORTED, "more than %d constants", FOLD_MAX);
    }
    LENS_TRY(im_new_numbers(m, n, i, FOLD_MAX, whole, &y));
    if (total) rearrange_places(&r, at);
    for (int64_t o = 0; o < total; o++) y->numbers[o] = at[o] < 0 ? map->value : from[at[o]];
    y->rank = map->rank;
    memcpy(y->dim, r.out, sizeof y->dim);
    return LENS_OK;
}

lens_status im_give_moved(import *m, const onnx_node *n, int i, index_map *map) {
    const value *x = im_input(m, n, 0);
    lens_status status = LENS_OK;
    char buf[NET_MAX_NAME + 1];
    part p;
    bool same = true, constant = im_is_constant(x) && im_count(x) <= FOLD_MAX && !x->turned;
    int first = !m->whole && !constant && map->rank;
    if (first && (map->order[0] || map->index[0]))
        status = REFUSE(m, n, LENS_UNSUPPORTED, "samples would be mixed");
    for (int d = 0; d < map->rank; d++) {
        same &= !map->index[d] && map->order[d] == d;
        if (status == LENS_OK && d >= first && out_of(map, d) < 1 && !constant)
            status = REFUSE(m, n, LENS_UNSUPPORTED, "nothing is left of dimension %d", d);
    }
    if (status != LENS_OK) goto done;
    if (same && i == 0) {
        status = im_same(m, n);
        goto done;
    }
    if (constant) {
        status = map->failed ? LENS_NOMEM : move_numbers(m, n, i, map);
        goto done;
    }
    status = im_part(m, n, 0, x->rank, &p);
    if (status != LENS_OK) goto done;
    /* All but the batch, of which a constant has one. */
    index_map inner = map_of(m->ctx, map->rank - first, map->in + first);
    inner.value = map->value;
    inner.failed = map->failed;
    for (int d = 0; d < inner.rank; d++) {
        inner.order[d] = map->order[d + first] - first;
        inner.out[d] = map->out[d + first];
        inner.index[d] = map->index[d + first];
    }
    const char *output = n->output[i], *name = im_choose_name(m, output, strlen(output), buf);
    status = im_give_part(m, n, i, part_moved(p, &inner, name));
done:
    map_free(map);
    return status;
}
