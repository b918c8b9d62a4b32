/* field.c - receptive fields: from one unit back through the windows of every layer.
 *
 * Invariant: a field never leaves its node's map, so that cells outside it cannot change the unit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include <lenslet/explain.h>
#include <string.h>

typedef struct span {
    int from, to; /* cells from..to-1 */
} span;

/* Along one axis: what outputs out.from..out.to-1 of a window read. */
static span window_span(span out, int k, int stride, int dilation, int before) {
    return (span){ out.from * stride - before,
                   (out.to - 1) * stride - before + (k - 1) * dilation + 1 };
}

/* The same of a transposed window, where output i reads the inputs j with i = j*stride - before +
 * u*dilation for some tap u. */
static span transposed_span(span out, int k, int stride, int dilation, int before) {
    int low = out.from + before - (k - 1) * dilation, high = out.to - 1 + before;
    return (span){ low > 0 ? (low + stride - 1) / stride : 0, high < 0 ? 0 : high / stride + 1 };
}

static span adaptive_span(span out, int in, int outs) {
    return (span){ (int)((int64_t)out.from * in / outs),
                   (int)(((int64_t)out.to * in + outs - 1) / outs) };
}

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static lens_region reads(const lens_node *node, int input, const lens_region *r) {
    const op_node *op = &node->op;
    const op_window *w = &op->window;
    const char *kind = op->kind->name;
    shape in = op->in[input];
    span rows = { r->top, r->bottom }, columns = { r->left, r->right };
    if (op->out.rank == 2 && in.rank > 2) { /* features see the whole map */
        rows = (span){ 0, in.h }, columns = (span){ 0, in.w };
    } else if (op->kind->flags & OP_ALIAS && (in.h != op->out.h || in.w != op->out.w)) {
        rows = (span){ 0, in.h }, columns = (span){ 0, in.w };
    } else if (starts(kind, "adaptive_") || starts(kind, "global_")) {
        rows = adaptive_span(rows, in.h, op->out.h);
        columns = adaptive_span(columns, in.w, op->out.w);
    } else if (!strcmp(kind, "conv_transpose2d")) {
        const lens_conv_transpose2d_opts *o = op->opts;
        rows = transposed_span(rows, o->kernel.h, o->stride.h, o->dilation.h, o->pad + o->pads[0]);
        columns =
            transposed_span(columns, o->kernel.w, o->stride.w, o->dilation.w, o->pad + o->pads[1]);
    } else if (w->kh) {
        rows = window_span(rows, w->kh, w->sh, w->dh, w->pt);
        columns = window_span(columns, w->kw, w->sw, w->dw, w->pl);
    }
    lens_region out = { rows.from > 0 ? rows.from : 0, columns.from > 0 ? columns.from : 0,
                        rows.to < in.h ? rows.to : in.h, columns.to < in.w ? columns.to : in.w };
    if (out.bottom <= out.top || out.right <= out.left) out = (lens_region){ 0 };
    return out;
}

static bool is_empty(const lens_region *r) { return r->bottom == r->top; }

static void widen(lens_region *to, const lens_region *by) {
    if (is_empty(to) || is_empty(by)) {
        if (is_empty(to)) *to = *by;
        return;
    }
    if (by->top < to->top) to->top = by->top;
    if (by->left < to->left) to->left = by->left;
    if (by->bottom > to->bottom) to->bottom = by->bottom;
    if (by->right > to->right) to->right = by->right;
}

lens_status lens_receptive_field(const lens_node *node, int row, int column, lens_region *fields) {
    const lens_net *net = node->net;
    shape out = node->op.out;
    if (row < 0 || row >= out.h || column < 0 || column >= out.w)
        return ctx_fail(net->ctx, LENS_BAD_ARG,
                        "%s: row %d, column %d lies outside its %dx%d cells", node->op.name, row,
                        column, out.h, out.w);
    memset(fields, 0, (size_t)net->nodes * sizeof *fields);
    fields[node->index] = (lens_region){ row, column, row + 1, column + 1 };
    for (int i = node->index; i > 0; i--) {
        const lens_node *at = net->node[i];
        for (int k = 0; k < at->op.inputs && !is_empty(&fields[i]); k++) {
            lens_region more = reads(at, k, &fields[i]);
            widen(&fields[at->input[k]->index], &more);
        }
    }
    return LENS_OK;
}
