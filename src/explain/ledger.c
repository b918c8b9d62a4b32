/* ledger.c - one unit summed again, term by term, in double.
 *
 * A product of two floats is exact in double, so the ledger's only rounding is that of its sums, some
 * 2^-53 of the largest; the difference it states is the engine's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include <lenslet/explain.h>
#include <string.h>

/* The node whose sum explains `node`: itself, or what its activation is applied to. */
static const lens_node *sum_of(const lens_node *node) {
    return node->op.kind->flags & OP_IS_ACT ? node->input[0] : node;
}

/* The activation that reads the sum: the one asked for, else the first. */
static const lens_node *activation_of(const lens_node *asked, const lens_node *sum) {
    const lens_net *net = sum->net;
    if (asked != sum) return asked;
    for (int i = sum->index + 1; i < net->nodes; i++)
        if (net->node[i]->op.kind->flags & OP_IS_ACT && net->node[i]->input[0] == sum)
            return net->node[i];
    return NULL;
}

static const float *parameter(const lens_node *node, int slot) {
    return node->net->weights + node->net->param[node->first_param + slot].offset;
}

static bool is(const lens_node *node, const char *kind) {
    return !strcmp(node->op.kind->name, kind);
}

/* Everything but the numbers; counts of terms fit, as the weights they meet do. */
static lens_status lay_out(lens_ledger *l, const lens_node *node, int c, int row, int column) {
    const op_node *op = &node->op;
    const op_window *w = &op->window;
    *l = (lens_ledger){ .node = node, .source = node->input[0], .best = -1, .scale = 1 };
    l->row = row * w->sh - w->pt, l->column = column * w->sw - w->pl;
    l->row_step = w->dh, l->column_step = w->dw;
    l->kh = w->kh, l->kw = w->kw;
    if (is(node, "conv2d") || is(node, "conv1d")) {
        const lens_conv2d_opts *o = op->opts;
        l->maps = op->in[0].c / o->groups;
        l->first_map = c / (o->out / o->groups) * l->maps;
    } else if (is(node, "dense")) {
        while (l->source->op.kind->flags & OP_ALIAS) l->source = l->source->input[0];
        shape s = l->source->op.out;
        l->maps = s.rank > 2 ? s.c : 1;
        l->kh = s.rank > 2 ? s.h : 1;
        l->kw = s.rank > 2 ? s.w : s.c;
        l->row = l->column = 0, l->row_step = l->column_step = 1;
    } else if (is(node, "maxpool") || is(node, "avgpool") || is(node, "sumpool") ||
               is(node, "subsample")) {
        l->kind = is(node, "maxpool") ? LENS_LEDGER_MAX : LENS_LEDGER_SUM;
        l->maps = 1;
        l->first_map = c;
    } else {
        return ctx_fail(node->net->ctx, LENS_UNSUPPORTED,
                        "%s: a unit of %s is no single sum; convolutions, dense layers and pooling "
                        "have ledgers",
                        op->name, op->kind->name);
    }
    return LENS_OK;
}

/* 1 / what a mean is divided by: the cells of the window in the padded picture, or in the picture. */
static double mean_scale(const lens_node *node, const lens_ledger *l) {
    const lens_pool_opts *o = node->op.opts;
    shape in = node->op.in[0];
    bool flat = in.rank == 3;
    int bottom = flat ? 0 : o->pad + o->pads[2], right = o->pad + o->pads[flat ? 1 : 3], cells = 0;
    for (int u = 0; u < l->kh; u++)
        for (int v = 0; v < l->kw; v++) {
            int r = l->row + u, k = l->column + v;
            cells += o->exclude_pad ? r >= 0 && r < in.h && k >= 0 && k < in.w
                                    : r < in.h + bottom && k < in.w + right;
        }
    return 1.0 / cells;
}

/* Weights (maps,kh,kw) of unit c as they are applied. */
static void read_weights(lens_ledger *l, int c) {
    size_t cells = (size_t)l->kh * (size_t)l->kw, terms = (size_t)l->maps * cells;
    bool layer = l->kind == LENS_LEDGER_PRODUCTS, flip = false;
    if (layer && !is(l->node, "dense")) flip = ((const lens_conv2d_opts *)l->node->op.opts)->flip;
    const float *w = layer ? parameter(l->node, 0) + (size_t)c * terms : NULL;
    for (size_t i = 0; i < terms; i++)
        l->w[i] = !layer ? 1 : flip ? w[i / cells * cells + cells - 1 - i % cells] : w[i];
    if (layer && l->node->op.params > 1) l->bias = (double)parameter(l->node, 1)[c];
    if (is(l->node, "subsample")) {
        l->scale = (double)parameter(l->node, 0)[c];
        l->bias = (double)parameter(l->node, 1)[c];
    }
    if (is(l->node, "avgpool")) l->scale = mean_scale(l->node, l);
}

/* source: the planes of one sample. */
static void add_up(lens_ledger *l, const float *source) {
    shape s = l->source->op.out;
    if (l->node->op.in[0].rank == 2 && s.rank == 2) s = (shape){ 2, 1, 1, s.c };
    double total = 0;
    size_t i = 0;
    for (int m = 0; m < l->maps; m++) {
        l->subtotal[m] = 0;
        for (int u = 0; u < l->kh; u++)
            for (int v = 0; v < l->kw; v++, i++) {
                int r = l->row + u * l->row_step, k = l->column + v * l->column_step;
                l->inside[i] = r >= 0 && r < s.h && k >= 0 && k < s.w;
                if (l->inside[i])
                    l->x[i] = source[((size_t)(l->first_map + m) * (size_t)s.h + (size_t)r) *
                                         (size_t)s.w +
                                     (size_t)k];
                l->term[i] = (double)l->w[i] * (double)l->x[i];
                l->subtotal[m] += l->term[i];
                if (l->kind == LENS_LEDGER_MAX && l->inside[i] &&
                    (l->best < 0 || l->term[i] > l->term[l->best]))
                    l->best = (int64_t)i;
            }
        total += l->subtotal[m];
    }
    l->sum = l->kind == LENS_LEDGER_MAX ? l->term[l->best] : l->scale * total + l->bias;
}

static lens_status number_at(lens_session *s, const lens_node *node, int sample, size_t unit,
                             float *value) {
    lens_tensor t;
    LENS_TRY(lens_peek(s, node, LENS_VALUE, &t));
    *value = t.data[(size_t)sample * shape_count(node->op.out) + unit];
    return LENS_OK;
}

static lens_status fill(lens_ledger *l, lens_session *s, const lens_node *asked, int sample, int c,
                        size_t unit) {
    lens_tensor source;
    LENS_TRY(lens_peek(s, l->source, LENS_VALUE, &source));
    read_weights(l, c);
    add_up(l, source.data + (size_t)sample * shape_count(l->source->op.out));
    LENS_TRY(number_at(s, l->node, sample, unit, &l->value));
    l->difference = (double)l->value - l->sum;
    l->result = l->value;
    const lens_node *activation = activation_of(asked, l->node);
    if (!activation) return LENS_OK;
    l->activation = activation->op.kind->name;
    return number_at(s, activation, sample, unit, &l->result);
}

lens_status lens_ledger_new(lens_ledger **out, lens_session *s, const lens_node *asked, int sample,
                            int c, int row, int column) {
    lens_ctx *ctx = asked->net->ctx;
    const lens_node *node = sum_of(asked);
    shape o = node->op.out;
    lens_tensor value;
    lens_ledger plan;
    if (!node->op.inputs)
        return ctx_fail(ctx, LENS_UNSUPPORTED, "%s: the input is given, not computed",
                        node->op.name);
    LENS_TRY(lens_peek(s, node, LENS_VALUE, &value));
    if (c < 0 || c >= o.c || row < 0 || row >= o.h || column < 0 || column >= o.w)
        return ctx_fail(ctx, LENS_BAD_ARG, "%s has %dx%dx%d units, but %d,%d,%d is asked for",
                        asked->op.name, o.c, o.h, o.w, c, row, column);
    if (sample < 0 || sample >= value.dim[0])
        return ctx_fail(ctx, LENS_BAD_ARG, "sample %d is asked for, but the latest run had %lld",
                        sample, (long long)value.dim[0]);
    LENS_TRY(lay_out(&plan, node, c, row, column));
    size_t terms = (size_t)plan.maps * (size_t)plan.kh * (size_t)plan.kw;
    lens_ledger *l = ctx_alloc(ctx, 1, sizeof *l);
    if (!l) return LENS_NOMEM;
    *l = plan;
    lens_status status = LENS_NOMEM;
    l->x = ctx_alloc(ctx, terms, sizeof *l->x);
    l->w = ctx_alloc(ctx, terms, sizeof *l->w);
    l->term = ctx_alloc(ctx, terms, sizeof *l->term);
    l->subtotal = ctx_alloc(ctx, (size_t)plan.maps, sizeof *l->subtotal);
    l->inside = ctx_alloc(ctx, terms, sizeof *l->inside);
    if (l->x && l->w && l->term && l->subtotal && l->inside)
        status = fill(l, s, asked, sample, c,
                      ((size_t)c * (size_t)o.h + (size_t)row) * (size_t)o.w + (size_t)column);
    if (status == LENS_OK)
        *out = l;
    else
        lens_ledger_free(ctx, l);
    return status;
}

void lens_ledger_free(lens_ctx *ctx, lens_ledger *l) {
    if (!l) return;
    ctx_free(ctx, l->x);
    ctx_free(ctx, l->w);
    ctx_free(ctx, l->term);
    ctx_free(ctx, l->subtotal);
    ctx_free(ctx, l->inside);
    ctx_free(ctx, l);
}
