/* matmul.c - y = a b, a product of matrices for each channel. Where one side has a single channel, its
 * matrix serves all.
 *
 *     da = dy b^T      db = a^T dy      summed over the channels that share it
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/gemm.h"
#include "op/op.h"
#include "op/parts.h"

#include <string.h>

static lens_status infer(op_node *node) {
    shape a = node->in[0], b = node->in[1];
    char text_a[48], text_b[48];
    bool fits = a.rank == 4 && b.rank == 4 && a.w == b.h && (a.c == b.c || a.c == 1 || b.c == 1);
    if (!fits)
        return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                        "%s: the first input is %s but the second is %s: expected CxMxK and CxKxN",
                        node->name, op_shape_text(a, text_a), op_shape_text(b, text_b));
    node->out = (shape){ .rank = 4, .c = a.c > b.c ? a.c : b.c, .h = a.h, .w = b.w };
    node->macs = (int64_t)node->out.c * a.h * a.w * b.w;
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "matmul");
    return LENS_OK;
}

/* One operand packed for gemm, and one result that is added to others. */
static size_t most_floats(const op_node *node, const struct kern *kern, bool train) {
    size_t m = (size_t)node->in[0].h, k = (size_t)node->in[0].w, n = (size_t)node->in[1].w;
    gemm g = { 0 };
    gemm_tile(kern, (int)m, &g);
    size_t floats = m * (k > n ? k : n);
    if (train) floats += gemm_packed_b((int)k, (int)n, g.columns) + k * (m > n ? m : n);
    return floats + 2 * LENS_SLACK;
}

static void plan(const op_node *node, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *plan) {
    (void)threads, (void)batch;
    plan->scratch = most_floats(node, kern, train) * sizeof(float);
}

typedef struct place {
    const float *a, *b;
    size_t y; /* where the product begins in y */
    size_t at_a, at_b;
    bool first_a, first_b; /* the first product that this matrix takes part in */
} place;

/* Product i of n*C. */
static place place_of(const op_run *r, size_t i) {
    shape a = r->node->in[0], b = r->node->in[1], out = r->node->out;
    size_t n = i / (size_t)out.c, c = i % (size_t)out.c;
    place p = { .y = i * (size_t)out.h * (size_t)out.w };
    p.at_a = (n * (size_t)a.c + (a.c > 1 ? c : 0)) * (size_t)a.h * (size_t)a.w;
    p.at_b = (n * (size_t)b.c + (b.c > 1 ? c : 0)) * (size_t)b.h * (size_t)b.w;
    p.a = r->x[0] + p.at_a;
    p.b = r->x[1] + p.at_b;
    p.first_a = a.c > 1 || c == 0;
    p.first_b = b.c > 1 || c == 0;
    return p;
}

static void forward(const op_run *r) {
    int m = r->node->in[0].h, k = r->node->in[0].w, n = r->node->in[1].w;
    size_t products = (size_t)r->n * (size_t)r->node->out.c;
    for (size_t i = 0; i < products; i++) {
        place p = place_of(r, i);
        gemm g = { .m = m, .n = n, .k = k, .b = p.b, .b_k = n, .c = r->y + p.y, .c_m = n };
        gemm_tile(r->kern, m, &g);
        gemm_pack_a(r->kern, r->pool, p.a, k, m, k, g.rows, r->scratch);
        g.a = r->scratch;
        gemm_run(r->kern, r->pool, &g);
    }
}

/* Runs the product into `to`, or adds it there by way of `aside`. */
static void run_into(const op_run *r, gemm *g, float *to, bool first, float *aside) {
    size_t count = (size_t)g->m * (size_t)g->n;
    g->c = first ? to : aside;
    g->c_m = g->n;
    gemm_run(r->kern, r->pool, g);
    if (!first) r->kern->add(count, to, aside, to);
}

static void backward(const op_run *r) {
    int m = r->node->in[0].h, k = r->node->in[0].w, n = r->node->in[1].w;
    size_t products = (size_t)r->n * (size_t)r->node->out.c;
    float *packed_a = r->scratch;
    for (size_t i = 0; i < products; i++) {
        place p = place_of(r, i);
        const float *dy = r->dy + p.y;
        if (r->dx[0]) {
            gemm g = { .m = m, .n = k, .k = n };
            gemm_tile(r->kern, m, &g);
            float *packed_b = packed_a + (size_t)m * (size_t)n;
            float *aside = packed_b + gemm_packed_b(k, n, g.columns) + LENS_SLACK;
            gemm_pack_a(r->kern, r->pool, dy, n, m, n, g.rows, packed_a);
            gemm_pack_b(r->kern, r->pool, p.b, k, n, g.columns, packed_b);
            g.a = packed_a;
            g.b = packed_b;
            run_into(r, &g, r->dx[0] + p.at_a, p.first_a, aside);
        }
        if (r->dx[1]) {
            gemm g = { .m = k, .n = n, .k = m, .a = p.a, .a_k = k, .b = dy, .b_k = n };
            gemm_tile(r->kern, k, &g);
            run_into(r, &g, r->dx[1] + p.at_b, p.first_b, r->scratch);
        }
    }
}

const op_kind op_matmul = {
    .name = "matmul",
    .formula = "y[n,c] = a[n,c] b[n,c], a product of matrices for each channel",
    .flags = OP_NEEDS_X,
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
