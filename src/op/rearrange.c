/* rearrange.c - numbers change places: axes are exchanged, and along each axis any list of places is
 * taken. Transposing, slicing, padding, tiling, expanding and nearest-neighbour scaling are all this.
 *
 *     y[n, o0, o1, ...] = x[n, i...] with i[order[d]] = list_d[o_d], or the value where a list has _
 *
 * A sample may have up to 8 axes here; outside it is (C,H,W) as always.
 *
 * Invariant: texts are checked by infer, so the passes read them without looking back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/rearrange.h"
#include "op/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const op_option options[] = {
    { "shape", OP_STRING, offsetof(lens_rearrange_opts, shape),
      "axes of a sample, as 2x3x4x5; required" },
    { "order", OP_STRING, offsetof(lens_rearrange_opts, order),
      "the input's axes in the output's order, as 2,0,1; default 0,1,2 ..." },
    { "index", OP_STRING, offsetof(lens_rearrange_opts, index),
      "places along each axis of the output; default all" },
    { "value", OP_FLOAT, offsetof(lens_rearrange_opts, value), "what stands at _; default 0" },
    { 0 },
};

/* ---- Texts ---------------------------------------------------------------------------------- */

/* A whole number from low to INT32_MAX at *at, which moves behind it. */
static bool number(const char **at, long low, long *out) {
    char *end;
    bool minus = **at == '-';
    if (!(**at >= '0' && **at <= '9') && !(minus && (*at)[1] >= '0' && (*at)[1] <= '9'))
        return false;
    if (strspn(*at + minus, "0123456789") > 10) return false;
    *out = strtol(*at, &end, 10);
    *at = end;
    return *out >= low && *out <= INT32_MAX;
}

/* One run of a list: `count` places from `first` on, `step` apart; first -1 for the value. */
typedef struct run {
    long first, count, step;
} run;

/* "first:count:step", "first:count", "first", "_:count" or "_"; blanks between runs. False at the end
 * of the axis, and on a mistake, which leaves *at at neither ';' nor 0. */
static bool next_run(const char **at, run *r) {
    while (**at == ' ') ++*at;
    *r = (run){ .first = -1, .count = 1, .step = 1 };
    if (**at == 0 || **at == ';') return false;
    if (**at == '_')
        ++*at;
    else if (!number(at, 0, &r->first))
        return false;
    if (**at == ':' && (++*at, !number(at, 0, &r->count))) return false;
    if (**at == ':' && (++*at, !number(at, -INT32_MAX, &r->step))) return false;
    return true;
}

const char *rearrange_parse(const char *axes, const char *order, const char *index,
                            rearrangement *m) {
    long v;
    int seen = 0, named = 0;
    double all = 1;
    *m = (rearrangement){ 0 };
    for (const char *at = axes ? axes : "x";; at++) {
        if (m->rank == REARRANGE_MAX_RANK || !number(&at, 1, &v))
            return "shape must be 1 to 8 numbers such as 2x3x4";
        m->order[m->rank] = m->rank;
        m->in[m->rank++] = v;
        if (!*at) break;
        if (*at != 'x') return "shape must be 1 to 8 numbers such as 2x3x4";
    }
    for (const char *at = order; at; at++) {
        if (named == m->rank || !number(&at, 0, &v) || v >= m->rank || seen >> v & 1)
            return "order must name each axis once, such as 1,0,2";
        m->order[named++] = (int)v;
        seen |= 1 << v;
        if (!*at && named == m->rank) break;
        if (*at != ',') return "order must name each axis once, such as 1,0,2";
    }
    for (int d = 0; d < m->rank; d++) m->out[d] = m->in[m->order[d]];
    const char *at = index;
    for (int d = 0; at && d < m->rank; d++) {
        run r;
        const char *start = at;
        double count = 0;
        bool any = false;
        while (next_run(&at, &r)) {
            double last = (double)r.first + (double)r.step * (double)(r.count - 1);
            if (r.first >= 0 && r.count &&
                (r.first >= m->in[m->order[d]] || last < 0 || last >= (double)m->in[m->order[d]]))
                return "index leads outside the axis";
            count += (double)r.count;
            any = true;
        }
        if (*at && *at != ';') return "index must be runs such as 0:3:1 _:2, with ; between axes";
        if (any && (count < 1 || count > INT32_MAX))
            return "an axis would have no place, or too many";
        if (any) m->out[d] = (int64_t)count;
        if (any) m->index[d] = start;
        if (*at == ';')
            at++;
        else if (d < m->rank - 1)
            return "index has fewer axes than shape";
    }
    if (at && *at) return "index has more axes than shape";
    for (int d = 0; d < m->rank; d++) all *= (double)m->out[d];
    return all <= INT32_MAX ? NULL : "the result has too many numbers";
}

/* ---- Places --------------------------------------------------------------------------------- */

/* Fills from the last axis on: behind axis d the places of one index tuple of the axes before it are
 * `block` numbers, which the tuples of axis d shift. */
void rearrange_places(const rearrangement *m, int32_t *at) {
    int64_t step[REARRANGE_MAX_RANK], block = 1, stride = 1;
    for (int d = m->rank - 1; d >= 0; d--) {
        step[d] = stride;
        stride *= m->in[d];
    }
    at[0] = 0;
    for (int d = m->rank - 1; d >= 0; d--) {
        const char *text = m->index[d];
        int64_t by = step[m->order[d]], done = 0;
        run r = { 0, (long)m->out[d], 1 };
        /* Backwards in place: the first copy is the block itself, so it is shifted last. */
        int32_t first = 0;
        bool more = true;
        if (text) more = next_run(&text, &r);
        for (bool start = true; more; more = text && next_run(&text, &r))
            for (long i = 0; i < r.count; i++, start = false, done++) {
                int64_t place = r.first < 0 ? -1 : (r.first + i * r.step) * by;
                if (start)
                    first = (int32_t)place;
                else
                    for (int64_t k = 0; k < block; k++)
                        at[done * block + k] =
                            place < 0 || at[k] < 0 ? -1 : (int32_t)(at[k] + place);
            }
        for (int64_t k = 0; k < block; k++) at[k] = first < 0 || at[k] < 0 ? -1 : at[k] + first;
        block *= m->out[d];
    }
}

void rearrange_axis(const rearrangement *m, int d, int64_t *list) {
    const char *text = m->index[d];
    run r;
    if (!text)
        for (int64_t i = 0; i < m->out[d]; i++) *list++ = i;
    while (text && next_run(&text, &r))
        for (long i = 0; i < r.count; i++) *list++ = r.first < 0 ? -1 : r.first + i * r.step;
}

/* ---- The operator --------------------------------------------------------------------------- */

static const char *map_of(const op_node *node, rearrangement *m) {
    const lens_rearrange_opts *o = node->opts;
    return rearrange_parse(o->shape, o->order, o->index, m);
}

static lens_status infer(op_node *node) {
    rearrangement m;
    char text[48];
    const lens_rearrange_opts *o = node->opts;
    const char *wrong = map_of(node, &m);
    if (wrong) return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: %s", node->name, wrong);
    double have = 1;
    for (int d = 0; d < m.rank; d++) have *= (double)m.in[d];
    if (have != (double)shape_count(node->in[0]))
        return ctx_fail(node->ctx, LENS_BAD_SHAPE, "%s: the input is %s but shape is %s",
                        node->name, op_shape_text(node->in[0], text), o->shape);
    if (!isfinite(o->value))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: value is %g", node->name, (double)o->value);
    int64_t c = 1;
    for (int d = 0; d < m.rank - 2; d++) c *= m.out[d];
    shape out = { .rank = m.rank > 2 ? 4 : m.rank + 1, .c = (int)c, .h = 1, .w = 1 };
    if (m.rank > 2) out.h = (int)m.out[m.rank - 2];
    if (m.rank > 1) out.w = (int)m.out[m.rank - 1];
    if (m.rank <= 2) out.c = (int)m.out[0];
    node->out = out;
    op_window_point(node);
    node->window.kh = node->in[0].h;
    node->window.kw = node->in[0].w;
    snprintf(node->label, sizeof node->label, "rearrange");
    return LENS_OK;
}

static void plan(const op_node *node, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *plan) {
    (void)kern, (void)threads, (void)batch, (void)train;
    plan->cache = (shape_count(node->out) + 1) * sizeof(int32_t);
}

/* The places, behind a number that says whether they are there; it says nothing before an inference pass that
 * has to pack. Weights that training moves do not matter. */
static const int32_t *places_of(const op_run *r) {
    int32_t *cache = r->cache;
    rearrangement m;
    if (!cache[0] || (r->repack && !r->train)) {
        map_of(r->node, &m);
        rearrange_places(&m, cache + 1);
        cache[0] = 1;
    }
    return cache + 1;
}

static void forward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const int32_t *at = (const int32_t *)r->cache + 1;
    float value = ((const lens_rearrange_opts *)r->node->opts)->value;
    size_t in = shape_count(r->node->in[0]), out = shape_count(r->node->out);
    for (size_t i = first; i < last; i++) {
        size_t n = i / out, k = i % out;
        r->y[i] = at[k] < 0 ? value : r->x[0][n * in + (size_t)at[k]];
    }
}

/* A place may be taken more than once, so a sample is one item. */
static void backward_samples(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const int32_t *at = (const int32_t *)r->cache + 1;
    size_t in = shape_count(r->node->in[0]), out = shape_count(r->node->out);
    memset(r->dx[0] + first * in, 0, (last - first) * in * sizeof(float));
    for (size_t n = first; n < last; n++)
        for (size_t k = 0; k < out; k++)
            if (at[k] >= 0) r->dx[0][n * in + (size_t)at[k]] += r->dy[n * out + k];
}

static void forward(const op_run *r) {
    places_of(r);
    op_each_float(r->pool, (size_t)r->n * shape_count(r->node->out), 4, forward_samples, r);
}

static void backward(const op_run *r) {
    places_of(r);
    if (r->dx[0])
        op_each(r->pool, (size_t)r->n,
                2 * shape_count(r->node->in[0]) + 3 * shape_count(r->node->out), backward_samples,
                r);
}

const op_kind op_rearrange = {
    .name = "rearrange",
    .formula = "y[o] = x[i] with i[order[d]] = list_d[o[d]], or the value",
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_rearrange_opts),
    .options = options,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
