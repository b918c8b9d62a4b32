/* conv.c - what the convolution layers share. See conv.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/conv.h"

/* ---- Options --------------------------------------------------------------------------------- */

/* A size on one axis: given, or `fallback`; one-dimensional layers read .w, else .h, as their width. */
static lens_size size_of(lens_size given, int fallback, bool one_d) {
    if (one_d) return (lens_size){ 1, given.w ? given.w : given.h ? given.h : fallback };
    return op_size(given, fallback);
}

lens_status conv_check(const op_node *d, lens_size *kernel, lens_size *stride, lens_size *dilation,
                       int pad, const int pads[4], int *groups, int out, bool one_d) {
    LENS_TRY(op_check_range(d, "out", out, 1, OP_MAX_DIM));
    if (kernel->h == 0 && kernel->w == 0)
        return ctx_fail(d->ctx, LENS_BAD_ARG, "%s: kernel is missing", d->name);
    *kernel = size_of(*kernel, 1, one_d);
    *stride = size_of(*stride, 1, one_d);
    *dilation = size_of(*dilation, 1, one_d);
    if (*groups == 0) *groups = 1;
    const struct {
        const char *key;
        int value, low;
    } checks[] = {
        { "kernel height", kernel->h, 1 },
        { "kernel width", kernel->w, 1 },
        { "stride", stride->h, 1 },
        { "stride", stride->w, 1 },
        { "dilation", dilation->h, 1 },
        { "dilation", dilation->w, 1 },
        { "pad", pad, 0 },
        { "pad", pads[0], 0 },
        { "pad", pads[1], 0 },
        { "pad", pads[2], 0 },
        { "pad", pads[3], 0 },
        { "groups", *groups, 1 },
    };
    for (size_t i = 0; i < LENS_COUNT(checks); i++)
        LENS_TRY(op_check_range(d, checks[i].key, checks[i].value, checks[i].low, CONV_MAX));
    int c = d->in[0].c;
    if (c % *groups || out % *groups)
        return ctx_fail(d->ctx, LENS_BAD_SHAPE,
                        "%s: %d groups do not divide %d input channels and %d feature maps",
                        d->name, *groups, c, out);
    return LENS_OK;
}

void conv_params(op_node *d, int out, int in_per_group, int out_first, lens_size kernel, bool one_d,
                 bool bias, int64_t weights) {
    int kk = kernel.h * kernel.w;
    op_param *w = &d->param[0];
    *w = (op_param){ .suffix = "weight",
                     .rank = one_d ? 3 : 4,
                     .dim = { out_first, in_per_group, kernel.h, kernel.w },
                     .count = (size_t)out_first * (size_t)in_per_group * (size_t)kk,
                     .parameters = weights,
                     .trainable = true,
                     .fan_in = in_per_group * kk,
                     .fan_out = out_first * kk };
    if (one_d) w->dim[2] = kernel.w, w->dim[3] = 0;
    d->param[1] = (op_param){ .suffix = "bias",
                              .rank = 1,
                              .dim = { out },
                              .count = (size_t)out,
                              .parameters = out,
                              .trainable = true };
    d->params = bias ? 2 : 1;
}

/* ---- Algorithm ------------------------------------------------------------------------------- */

conv_pass conv_pass_of(const op_node *d, const conv_shape *s, bool adjoint, op_algorithm wanted) {
    conv_pass p = { .s = *s, .adjoint = adjoint };
    if (ctx_strict(d->ctx)) return p;
    int m = wanted == OP_ESTIMATED   ? wino_estimate(s, adjoint)
            : wanted == OP_WINOGRAD2 ? 2
            : wanted == OP_WINOGRAD4 ? 4
                                     : 0;
    if (wino_can(s, adjoint, m)) p.m = m;
    return p;
}

/* Weight gradients go by Winograd where the forward pass of the convolution does: of 13 such shapes, down to 16
 * maps of 7x7, the direct way took 1.6 to 3.6 times as long (2026-11-21, Zen 5). F(2x2) never won by much. */
static conv_pass weights_pass(const op_node *d, const conv_shape *s, op_algorithm wanted) {
    conv_pass p = conv_pass_of(d, s, false, wanted);
    if (wanted == OP_ESTIMATED && p.m) p.m = 4;
    return p;
}

op_algorithm conv_algorithm(const op_node *d, const conv_shape *s, bool adjoint, op_pass pass,
                            op_algorithm wanted) {
    int m = pass == OP_WEIGHT_GRAD ? weights_pass(d, s, wanted).m
                                   : conv_pass_of(d, s, adjoint == (pass == OP_FORWARD), wanted).m;
    return m == 2 ? OP_WINOGRAD2 : m == 4 ? OP_WINOGRAD4 : OP_DIRECT;
}

size_t conv_pass_bytes(const conv_pass *p, const struct kern *kern) {
    return p->m ? wino_bytes(&p->s, p->adjoint, p->m, kern) : corr_bytes(&p->s, p->adjoint);
}

size_t conv_pass_thread_bytes(const conv_pass *p, bool before, const struct kern *kern, int batch) {
    return p->m ? wino_thread_bytes(&p->s, p->adjoint, p->m, kern, batch)
                : corr_thread_bytes(&p->s, p->adjoint, before, kern);
}

void conv_pass_run(const conv_pass *p, void *cache, bool repack, const float *w, const float *scale,
                   const corr_io *io) {
    if (p->m) {
        if (repack) {
            wino_build(cache, &p->s, p->adjoint, p->m, io->kern);
            wino_pack(cache, io->kern, io->workers, w, scale);
        }
        wino_run(cache, io);
    } else {
        if (repack) {
            corr_build(cache, &p->s, p->adjoint, io->before.scale != NULL, io->kern);
            corr_pack(cache, io->kern, io->workers, w, scale);
        }
        corr_run(cache, io);
    }
}

/* ---- Session --------------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* What a session keeps for the nodes that this one stands in for: op_run.norm and .before. */
typedef struct folded {
    float *scale, *bias;   /* of the weights; after them */
    float *before, *shift; /* of the input */
    size_t floats;
} folded;

static folded folded_of(const op_node *d, float *base) {
    size_t in = (size_t)d->in[0].c, out = (size_t)d->out.c;
    size_t floats = 2 * (in + out), line = 16; /* what follows is aligned to a cache line */
    return (folded){ base, base + out, base + 2 * out, base + 2 * out + in,
                     (floats + line - 1) / line * line };
}

static void fold(const op_run *r, const folded *f) {
    if (r->before.node)
        r->before.node->kind->affine(r->before.node, r->before.param, f->before, f->shift);
    if (!r->norm.node) return;
    r->norm.node->kind->affine(r->norm.node, r->norm.param, f->scale, f->bias);
    if (r->node->params == 2)
        for (int o = 0; o < r->node->out.c; o++) f->bias[o] += f->scale[o] * r->param[1][o];
}

void conv_plan(const op_node *d, const conv_shape *s, bool adjoint, const struct kern *kern,
               int batch, bool train, op_plan *p) {
    conv_pass forward = conv_pass_of(d, s, adjoint, p->by.of[OP_FORWARD]),
              back = conv_pass_of(d, s, !adjoint, p->by.of[OP_INPUT_GRAD]),
              weights = weights_pass(d, s, p->by.of[OP_WEIGHT_GRAD]);
    p->thread_scratch = conv_pass_thread_bytes(&forward, p->before, kern, batch);
    if (!train) {
        p->cache = sizeof(float) * folded_of(d, NULL).floats + conv_pass_bytes(&forward, kern);
        return;
    }
    p->scratch = larger(conv_pass_bytes(&forward, kern), conv_pass_bytes(&back, kern));
    p->thread_scratch =
        larger(p->thread_scratch, conv_pass_thread_bytes(&back, false, kern, batch));
    if (weights.m) {
        p->thread_scratch =
            larger(p->thread_scratch, wino_weights_thread_bytes(s, weights.m, kern, batch));
        return;
    }
    p->thread_scratch = larger(p->thread_scratch, corr_weights_thread_bytes(s, kern, batch));
    p->scratch = larger(p->scratch, corr_table_bytes(s, kern) + corr_weights_bytes(s, kern, batch));
}

void conv_forward(const op_run *r, const conv_shape *s, bool adjoint) {
    const op_node *d = r->node;
    conv_pass pass = conv_pass_of(d, s, adjoint, r->by.of[OP_FORWARD]);
    folded f = folded_of(d, r->cache);
    /* In training weights are packed for one pass alone: they have changed by the next. */
    void *packed = r->cache ? f.scale + f.floats : r->scratch;
    bool repack = r->repack || !r->cache;
    if (repack) fold(r, &f);
    bool fused = r->act == ACT_NONE || r->act == ACT_RELU || r->act == ACT_LEAKY;
    corr_io io = {
        .kern = r->kern,
        .workers = r->pool,
        .n = r->n,
        .in = r->x[0],
        .out = r->y,
        .in_gap = r->x_gap,
        .out_gap = r->y_gap,
        .bias = r->norm.node     ? f.bias
                : d->params == 2 ? r->param[1]
                                 : NULL,
        .add = r->addend,
        .act = fused ? r->act : ACT_NONE,
        .slope = r->slope,
        .thread_scratch = r->thread_scratch,
        .thread_stride = r->thread_stride,
    };
    if (r->before.node)
        io.before = (corr_before){ f.before, f.shift, r->before.act, r->before.slope };
    conv_pass_run(&pass, packed, repack, r->param[0], r->norm.node ? f.scale : NULL, &io);
    size_t count = shape_count(d->out);
    for (size_t n = 0; !fused && n < (size_t)r->n; n++) {
        float *y = r->y + n * (count + r->y_gap);
        r->kern->act(r->act, r->slope, count, y, y);
    }
}

bool conv_takes_before(const op_node *d, const conv_shape *s, bool adjoint, op_choice by) {
    return conv_pass_of(d, s, adjoint, by.of[OP_FORWARD]).m == 0;
}

bool conv_masks(const op_node *d, const conv_shape *s, bool adjoint, op_choice by) {
    return conv_pass_of(d, s, !adjoint, by.of[OP_INPUT_GRAD]).m != 0;
}

void conv_backward(const op_run *r, const conv_shape *s, bool adjoint) {
    const op_node *d = r->node;
    conv_pass back = conv_pass_of(d, s, !adjoint, r->by.of[OP_INPUT_GRAD]),
              weights = weights_pass(d, s, r->by.of[OP_WEIGHT_GRAD]);
    if (r->dx[0])
        conv_pass_run(&back, r->scratch, true, r->param[0], NULL,
                      &(corr_io){ .kern = r->kern,
                                  .workers = r->pool,
                                  .n = r->n,
                                  .in = r->dy,
                                  .out = r->dx[0],
                                  .add = r->adds ? r->dx[0] : NULL,
                                  .mask = r->masks ? r->x[0] : NULL,
                                  .thread_scratch = r->thread_scratch,
                                  .thread_stride = r->thread_stride });
    /* A transposed convolution's input is the output gradient of the convolution it turns round. */
    const float *x = adjoint ? r->dy : r->x[0], *dy = adjoint ? r->x[0] : r->dy;
    if (r->dparam[0] && weights.m) {
        wino_weights(s, weights.m, r->kern, r->pool, r->n, x, dy, r->dparam[0], r->thread_scratch,
                     r->thread_stride);
    } else if (r->dparam[0]) {
        corr *tables = r->scratch;
        corr_build_tables(tables, s, r->kern);
        corr_weights(tables, r->kern, r->pool, r->n, x, dy, r->dparam[0],
                     (char *)r->scratch + corr_table_bytes(s, r->kern), r->thread_scratch,
                     r->thread_stride);
    }
    if (d->params == 2 && r->dparam[1])
        corr_bias(r->kern, r->pool, r->n, d->out.c, (size_t)d->out.h * (size_t)d->out.w, r->dy,
                  r->dparam[1]);
}
