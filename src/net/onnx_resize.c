/* onnx_resize.c - Resize and Upsample. Nearest neighbours are an index map. Linear and cubic interpolation
 * is a product with a matrix along each axis whose rows are the weights of the cells around a place; the
 * matrices are fixed numbers of the net.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"

#include <math.h>
#include <string.h>

typedef enum where { HALF_PIXEL, PYTORCH, ALIGN, ASYMMETRIC, TF_HALF } where;

typedef struct resize {
    int rank;
    int64_t size[ONNX_MAX_RANK], out[ONNX_MAX_RANK];
    double scale[ONNX_MAX_RANK];
    where place;
    const char *nearest;
    double cubic; /* coefficient a */
    bool inside;  /* weights of cells outside are left out */
} resize;

/* Where output cell `o` of axis `d` lies on the input (coordinate_transformation_mode). */
static double coordinate(const resize *r, int d, int64_t o) {
    double x = (double)o, scale = r->scale[d], length = scale * (double)r->size[d];
    switch (r->place) {
    case PYTORCH:
        if (length <= 1) return 0;
        return (x + 0.5) / scale - 0.5;
    case HALF_PIXEL: return (x + 0.5) / scale - 0.5;
    case ALIGN: return r->out[d] > 1 ? x * (double)(r->size[d] - 1) / (length - 1) : 0;
    case TF_HALF: return (x + 0.5) / scale;
    case ASYMMETRIC: break;
    }
    return x / scale;
}

static int64_t clamp(double x, int64_t size) {
    return x < 0 ? 0 : x > (double)(size - 1) ? size - 1 : (int64_t)x;
}

static int64_t nearest(const resize *r, int d, int64_t o) {
    double x = coordinate(r, d, o), down = floor(x), up = ceil(x);
    if (!strcmp(r->nearest, "floor")) return clamp(down, r->size[d]);
    if (!strcmp(r->nearest, "ceil")) return clamp(up, r->size[d]);
    bool half_up = !strcmp(r->nearest, "round_prefer_ceil");
    bool higher = x - down > 0.5 || (half_up && x - down == 0.5);
    return clamp(higher ? up : down, r->size[d]);
}

/* Weights of the cells floor(x)-1 .. floor(x)+2 for the fraction t: linear, or Keys' cubic (1981). */
static void weights(bool cubic, double a, double t, double w[4]) {
    double u = 1 - t;
    w[0] = cubic ? ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a : 0;
    w[1] = cubic ? ((a + 2) * t - (a + 3)) * t * t + 1 : u;
    w[2] = cubic ? ((a + 2) * u - (a + 3)) * u * u + 1 : t;
    w[3] = cubic ? ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a : 0;
}

/* The matrix of axis d, (out, in), or transposed. Cells beyond the edge repeat it. */
static double *matrix(import *m, const resize *r, int d, bool cubic, bool transposed) {
    size_t in = (size_t)r->size[d], out = (size_t)r->out[d], count;
    double *a = mul_size(in, out, &count) ? im_keep(m, count) : NULL;
    for (size_t o = 0; a && o < out; o++) {
        double x = coordinate(r, d, (int64_t)o), w[4], sum = 0;
        weights(cubic, r->cubic, x - floor(x), w);
        for (int k = 0; k < 4; k++) {
            double cell = floor(x) + k - 1;
            if (r->inside && (cell < 0 || cell > (double)in - 1)) w[k] = 0;
            sum += w[k];
        }
        for (int k = 0; k < 4; k++) {
            size_t i = (size_t)clamp(floor(x) + k - 1, (int64_t)in);
            a[transposed ? i * out + o : o * in + i] += w[k] / (r->inside ? sum : 1);
        }
    }
    return a;
}

/* x with axis d scaled: (outer, D) times a matrix where it is the last axis, else a matrix times (D, inner)
 * for each of outer. */
static part scaled(import *m, const resize *r, part x, int axis, int d, bool cubic) {
    int64_t outer = 1, inner = 1, size = r->size[d], out = r->out[d];
    for (int k = 0; k < axis; k++) outer *= x.dim[k];
    for (int k = axis + 1; k < x.rank; k++) inner *= x.dim[k];
    bool last = inner == 1;
    double *numbers = matrix(m, r, d, cubic, last);
    part y = x;
    y.dim[axis] = out;
    part a = part_fixed(m, numbers, 2, last ? (int64_t[]){ size, out } : (int64_t[]){ out, size });
    part flat = last ? part_shaped(x, 2, (int64_t[]){ outer, size })
                     : part_shaped(x, 3, (int64_t[]){ outer, size, inner });
    part product = last ? part_matmul(flat, a, NULL) : part_matmul(a, flat, NULL);
    return part_shaped(product, y.rank, y.dim);
}

/* Sizes and scales: from opset 11 on inputs 2 and 3, before it input 1 or an attribute, of all axes or of
 * those that are named. */
static lens_status read_sizes(import *m, const onnx_node *n, resize *r) {
    double list[FOLD_MAX];
    int count = 0, axis[ONNX_MAX_RANK], axes = 0;
    bool late = m->model->opset >= 11 && !strcmp(n->op, "Resize");
    int at = late ? 2 : 1;
    const onnx_attr *a = onnx_attribute(n, "scales");
    const value *v = im_input(m, n, at), *sizes = late ? im_input(m, n, 3) : NULL;
    LENS_TRY(im_axes(m, n, 4, r->rank, axis, &axes)); /* there is no input 4 */
    if (!axes)
        for (; axes < r->rank; axes++) axis[axes] = axes;
    bool by_size = sizes && (!v || im_count(v) == 0);
    if (a && a->type == ONNX_FLOATS && a->count <= FOLD_MAX)
        for (; count < a->count; count++) list[count] = (double)a->floats[count];
    else
        LENS_TRY(im_numbers(m, n, by_size ? sizes : v, list, &count));
    if (count != axes)
        return REFUSE(m, n, LENS_BAD_FILE, "%d scales or sizes for %d axes", count, axes);
    if (by_size && onnx_attribute(n, "keep_aspect_ratio_policy") &&
        !im_attr_is(n, "keep_aspect_ratio_policy", "stretch"))
        return REFUSE(m, n, LENS_UNSUPPORTED, "only keep_aspect_ratio_policy=stretch");
    for (int k = 0; k < count; k++) {
        int d = axis[k];
        bool batch = !m->whole && d == 0;
        if (batch && (by_size ? list[k] == (double)m->batch : list[k] == 1)) continue;
        if (batch) return REFUSE(m, n, LENS_UNSUPPORTED, "samples would be mixed");
        double out = by_size ? list[k] : floor((double)r->size[d] * list[k]);
        if (!(out >= 1 && out <= LIST_MAX) || (double)r->size[d] * out > MATRIX_MAX)
            return REFUSE(m, n, LENS_UNSUPPORTED, "%g cells from %lld along axis %d", out,
                          (long long)r->size[d], d);
        r->out[d] = (int64_t)out;
        r->scale[d] = by_size ? out / (double)r->size[d] : list[k];
    }
    return LENS_OK;
}

static lens_status read_modes(import *m, const onnx_node *n, resize *r) {
    static const char *const places[] = { "half_pixel", "pytorch_half_pixel", "align_corners",
                                          "asymmetric", "tf_half_pixel_for_nn" };
    bool late = m->model->opset >= 11 && !strcmp(n->op, "Resize");
    const onnx_attr *a = onnx_attribute(n, "coordinate_transformation_mode");
    r->place = late ? HALF_PIXEL : ASYMMETRIC;
    if (a && a->type == ONNX_STRING) {
        size_t i = 0;
        while (i < LENS_COUNT(places) && strcmp(places[i], a->s)) i++;
        if (i == LENS_COUNT(places))
            return REFUSE(m, n, LENS_UNSUPPORTED, "coordinate_transformation_mode %.40s", a->s);
        r->place = (where)i;
    }
    a = onnx_attribute(n, "nearest_mode");
    r->nearest = a && a->type == ONNX_STRING ? a->s : late ? "round_prefer_floor" : "floor";
    r->cubic = (double)im_attr_float(n, "cubic_coeff_a", -0.75f);
    r->inside = im_attr_int(n, "exclude_outside", 0) != 0;
    if (im_attr_int(n, "antialias", 0)) return REFUSE(m, n, LENS_UNSUPPORTED, "antialias");
    return LENS_OK;
}

lens_status convert_resize(import *m, const onnx_node *n) {
    const value *v = im_input(m, n, 0);
    const onnx_attr *mode = onnx_attribute(n, "mode");
    part x;
    if (!v || !v->node) return REFUSE(m, n, LENS_UNSUPPORTED, "of a constant");
    resize r = { .rank = v->rank };
    for (int d = 0; d < v->rank; d++) {
        r.size[d] = r.out[d] = v->dim[d];
        r.scale[d] = 1;
    }
    LENS_TRY(read_modes(m, n, &r));
    LENS_TRY(read_sizes(m, n, &r));
    bool cubic = mode && mode->type == ONNX_STRING && !strcmp(mode->s, "cubic");
    bool near = !mode || mode->type != ONNX_STRING || !strcmp(mode->s, "nearest");
    if (near) {
        int64_t most = 1;
        for (int d = !m->whole; d < v->rank; d++) most = r.out[d] > most ? r.out[d] : most;
        int64_t *place = ctx_alloc(m->ctx, (size_t)most, sizeof *place);
        if (!place) return LENS_NOMEM;
        index_map map = map_of(m->ctx, v->rank, v->dim);
        for (int d = !m->whole; d < v->rank; d++) {
            if (r.scale[d] == 1 && r.out[d] == r.size[d]) continue;
            for (int64_t o = 0; o < r.out[d]; o++) place[o] = nearest(&r, d, o);
            map_places(&map, d, place, (size_t)r.out[d]);
        }
        ctx_free(m->ctx, place);
        return im_give_moved(m, n, 0, &map);
    }
    LENS_TRY(im_part(m, n, 0, v->rank, &x));
    for (int d = v->rank - 1; d >= !m->whole; d--)
        if (r.scale[d] != 1 || r.out[d] != r.size[d]) x = scaled(m, &r, x, d - !m->whole, d, cubic);
    return im_give_part(m, n, 0, x);
}
