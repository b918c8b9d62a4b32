/* onnx.c - an ONNX graph becomes a net: the table of operators, and the walk over the graph. Only what
 * leads to the output is built.
 *
 * Invariants: all operators are looked up before any node is built; the net's weights are allocated
 * after every tensor was compared with the parameter it fills.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx_import.h"
#include "op/op_opts.h"

#include <string.h>

/* ---- The table ------------------------------------------------------------------------------ */

enum { NEW = ONNX_NEWEST_OPSET };

static const row table[] = {
    { { "Add", 7, NEW, "add", "equal shapes; a constant only behind MatMul" }, convert_add },
    { { "AveragePool", 7, NEW, "avgpool", "1-D and 2-D, no dilation" }, convert_pool },
    { { "BatchNormalization", 7, NEW, "batchnorm", "inference; constant statistics" },
      convert_batchnorm },
    { { "Cast", 6, NEW, "nothing", "of shapes" }, convert_cast },
    { { "Concat", 4, NEW, "concat", "along channels; shapes" }, convert_concat },
    { { "Constant", 1, NEW, "a constant", "" }, convert_constant },
    { { "Conv", 1, NEW, "conv2d, conv1d", "1-D and 2-D; constant weights" }, convert_conv },
    { { "ConvTranspose", 1, NEW, "conv_transpose2d", "2-D; constant weights" },
      convert_conv_transpose },
    { { "Div", 7, NEW, "nothing", "of shapes" }, fold_arithmetic },
    { { "Dropout", 7, NEW, "dropout", "its mask unused" }, convert_dropout },
    { { "Flatten", 1, NEW, "flatten", "axis 1" }, convert_flatten },
    { { "Gather", 1, NEW, "nothing", "of shapes" }, convert_gather },
    { { "Gemm", 7, NEW, "dense", "constant B, C one number an output, transA 0" }, convert_gemm },
    { { "GlobalAveragePool", 1, NEW, "global_avgpool", "" }, convert_global },
    { { "GlobalMaxPool", 1, NEW, "global_maxpool", "" }, convert_global },
    { { "Identity", 1, NEW, "nothing", "" }, convert_same },
    { { "LRN", 1, NEW, "lrn", "odd size" }, convert_lrn },
    { { "LeakyRelu", 6, NEW, "leaky_relu", "alpha >= 0" }, convert_act },
    { { "MatMul", 1, NEW, "dense", "(N,F) by a constant matrix" }, convert_matmul },
    { { "MaxPool", 1, NEW, "maxpool", "1-D and 2-D, no dilation, no indices" }, convert_pool },
    { { "Mul", 7, NEW, "scaled_tanh", "in 1.7159*tanh(2x/3); shapes" }, convert_mul },
    { { "Pad", 2, NEW, "padding of the next layer, shortcut", "zeros" }, convert_pad },
    { { "ReduceMean", 1, NEW, "global_avgpool", "over all rows and columns" }, convert_mean },
    { { "Relu", 6, NEW, "relu", "" }, convert_act },
    { { "Reshape", 5, NEW, "flatten, reshape", "the batch stays; rank 2 or 4" }, convert_reshape },
    { { "Shape", 1, NEW, "a constant", "" }, convert_shape },
    { { "Sigmoid", 6, NEW, "sigmoid", "" }, convert_act },
    { { "Slice", 1, NEW, "shortcut", "every s-th row and column; shapes" }, convert_slice },
    { { "Softmax", 1, NEW, "softmax", "over channels" }, convert_softmax },
    { { "Squeeze", 1, NEW, "flatten", "to rank 2; shapes" }, convert_squeeze },
    { { "Sub", 7, NEW, "nothing", "of shapes" }, fold_arithmetic },
    { { "Sum", 6, NEW, "add", "equal shapes" }, convert_add },
    { { "Tanh", 6, NEW, "tanh, scaled_tanh", "" }, convert_tanh },
    { { "Transpose", 1, NEW, "nothing", "of constant matrices" }, convert_transpose },
    { { "Unsqueeze", 1, NEW, "reshape", "to rank 4; shapes" }, convert_unsqueeze },
};

const onnx_row *onnx_row_at(int index) {
    return index >= 0 && (size_t)index < LENS_COUNT(table) ? &table[index].about : NULL;
}

static const row *find_row(const onnx_node *n) {
    if (*n->domain && strcmp(n->domain, "ai.onnx")) return NULL;
    for (size_t i = 0; i < LENS_COUNT(table); i++)
        if (!strcmp(table[i].about.op, n->op)) return &table[i];
    return NULL;
}

/* ---- The graph ------------------------------------------------------------------------------ */

/* Names of all values, who reads them, and which nodes lead to the output. */
static lens_status survey(import *m) {
    const onnx_model *g = m->model;
    value *v;
    for (int i = 0; i < g->tensors; i++) {
        LENS_TRY(im_new_value(m, g->tensor[i].name, &v));
        v->tensor = &g->tensor[i];
        v->rank = v->tensor->rank;
        memcpy(v->dim, v->tensor->dim, sizeof v->dim);
    }
    for (int i = 0; i < g->inputs; i++)
        if (!im_find(m, g->input[i].name)) LENS_TRY(im_new_value(m, g->input[i].name, &v));
    if (g->outputs != 1)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the graph has %d outputs, a net has 1",
                        m->where, g->outputs);
    for (int i = 0; i < g->nodes; i++) {
        const onnx_node *n = &g->node[i];
        for (int k = 0; k < n->inputs; k++) {
            if (!*n->input[k]) continue;
            v = im_find(m, n->input[k]);
            if (!v)
                return REFUSE(m, n, LENS_BAD_FILE, "no node above it makes its input '%.100s'",
                              n->input[k]);
            v->readers++;
            v->reader = i;
        }
        for (int k = 0; k < n->outputs; k++)
            if (*n->output[k]) LENS_TRY(im_new_value(m, n->output[k], &v));
    }
    value *result = im_find(m, g->output[0].name);
    if (!result)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: no node makes the output '%.100s'", m->where,
                        g->output[0].name);
    result->readers++; /* so that no node is merged into a reader and then missing */
    return LENS_OK;
}

/* Marks through a bit in `padded` of the values, which building has not touched yet. */
static lens_status mark(import *m) {
    const onnx_model *g = m->model;
    im_find(m, g->output[0].name)->padded = true;
    for (int i = g->nodes - 1; i >= 0; i--) {
        const onnx_node *n = &g->node[i];
        for (int k = 0; k < n->outputs; k++)
            if (*n->output[k]) m->needed[i] |= im_find(m, n->output[k])->padded;
        for (int k = 0; m->needed[i] && k < n->inputs; k++)
            if (*n->input[k]) im_find(m, n->input[k])->padded = true;
    }
    for (size_t s = 0; s < m->slots; s++) m->value[s].padded = false;
    return LENS_OK;
}

static lens_status look_up(import *m) {
    const onnx_model *g = m->model;
    for (int i = 0; i < g->nodes; i++) {
        const onnx_node *n = &g->node[i];
        if (!m->needed[i]) continue;
        const row *r = m->row[i] = find_row(n);
        if (!r)
            return REFUSE(m, n, LENS_UNSUPPORTED, "this operator%s%.60s is not supported",
                          *n->domain ? " of " : "", n->domain);
        if (!n->outputs || !*n->output[0])
            return REFUSE(m, n, LENS_BAD_FILE, "its first output has no name");
        if (g->opset < r->about.first || g->opset > r->about.last)
            return REFUSE(m, n, LENS_UNSUPPORTED, "supported are opsets %d to %d", r->about.first,
                          r->about.last);
    }
    return LENS_OK;
}

static lens_status make_input(import *m) {
    const onnx_model *g = m->model;
    const onnx_value *input = NULL;
    char buf[NET_MAX_NAME + 1] = "x";
    for (int i = 0; i < g->inputs; i++) {
        value *v = im_find(m, g->input[i].name);
        if (v->tensor) continue;
        if (input)
            return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                            "%s: the graph has the inputs '%.60s' and '%.60s', a net has 1",
                            m->where, input->name, g->input[i].name);
        input = &g->input[i];
    }
    if (!input) return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the graph has no input", m->where);
    if (input->type != ONNX_F32)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                        "%s: input '%.100s' has elements of ONNX type %d, only float is read",
                        m->where, input->name, input->type);
    if (input->rank < 2 || input->rank > 4)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                        "%s: input '%.100s' has rank %d, expected (N,C,H,W), (N,C,L) or (N,F)",
                        m->where, input->name, input->rank);
    for (int d = 1; d < input->rank; d++)
        if (input->dim[d] < 1 || input->dim[d] > OP_MAX_DIM)
            return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                            "%s: input '%.100s': dimension %d is not fixed, or outside 1..%d",
                            m->where, input->name, d, OP_MAX_DIM);
    m->batch = input->dim[0] > 0 ? input->dim[0] : -1;
    const char *name = im_choose_name(m, input->name, strlen(input->name), buf);
    if (!name || (*name >= '0' && *name <= '9')) name = "x";
    int c = (int)input->dim[1], w = input->rank > 2 ? (int)input->dim[input->rank - 1] : 1;
    lens_node *x = input->rank == 3
                       ? lens_input1d(m->net, name, c, w)
                       : lens_input(m->net, name, c, input->rank == 4 ? (int)input->dim[2] : 1, w);
    if (input->rank == 2) x = lens_flatten(x, NULL);
    if (!x) return ctx_fail_prefix(m->ctx, m->net->error, "%s", m->where);
    im_find(m, input->name)->node = x;
    return LENS_OK;
}

static lens_status build(import *m) {
    const onnx_model *g = m->model;
    LENS_TRY(make_input(m));
    for (int i = 0; i < g->nodes; i++)
        if (m->needed[i] && !m->skip[i]) LENS_TRY(m->row[i]->convert(m, &g->node[i]));
    const value *result = im_find(m, g->output[0].name);
    if (!result->node || result->padded || result->scale != 0)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the output '%.100s' is %s", m->where,
                        result->name, result->node ? "only padded or scaled" : "a constant");
    lens_status status = net_check(m->net, result->node);
    if (status != LENS_OK) return ctx_fail_prefix(m->ctx, status, "%s", m->where);
    return LENS_OK;
}

/* A tensor that many layers share would make a small file a large net. */
static lens_status check_weights(const import *m) {
    const onnx_model *g = m->model;
    double have = 0;
    for (int i = 0; i < g->tensors; i++) have += (double)g->tensor[i].count;
    for (int i = 0; i < g->nodes; i++)
        for (int k = 0; k < g->node[i].attrs; k++)
            if (g->node[i].attr[k].t) have += (double)g->node[i].attr[k].t->count;
    if ((double)m->net->weight_floats <= MOST_COPIES * have + ALWAYS_WEIGHTS) return LENS_OK;
    return ctx_fail(m->ctx, LENS_BAD_FILE,
                    "%s: a net with %zu weights from a file with %.0f numbers", m->where,
                    m->net->weight_floats, have);
}

static void pour(lens_net *net, const fill *f) {
    const net_param *param = &net->param[f->node->first_param + f->slot];
    const op_param *op = net_param_op(param);
    float *to = net->weights + param->offset;
    onnx_floats(f->tensor, to);
    if (f->scale != 1)
        for (size_t i = 0; i < op->count; i++) to[i] *= f->scale;
}

/* In place would follow cycles; a second copy of one matrix at a time is simpler. */
static lens_status pour_turned(lens_net *net, const fill *f) {
    const net_param *param = &net->param[f->node->first_param + f->slot];
    const op_param *op = net_param_op(param);
    size_t rows = (size_t)op->dim[0], columns = (size_t)op->dim[1];
    float *to = net->weights + param->offset, *from = ctx_alloc(net->ctx, op->count, sizeof *from);
    if (!from) return LENS_NOMEM;
    onnx_floats(f->tensor, from);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++) to[i * columns + k] = f->scale * from[k * rows + i];
    ctx_free(net->ctx, from);
    return LENS_OK;
}

static lens_status pour_all(import *m) {
    for (int i = 0; i < m->fills; i++) {
        const fill *f = &m->fill[i];
        if (f->turned)
            LENS_TRY(pour_turned(m->net, f));
        else
            pour(m->net, f);
    }
    lens_net_touched(m->net);
    return LENS_OK;
}

static lens_status take_words(import *m) {
    for (int i = 0; i < m->model->metas; i++) {
        st_pair word = m->model->meta[i];
        if (!*word.key || !*word.value || m->net->words == NET_MAX_WORDS ||
            !strcmp(word.key, "format") || !strcmp(word.key, "net") ||
            !strcmp(word.key, "lenslet_version"))
            continue;
        LENS_TRY(lens_net_set_meta(m->net, word.key, word.value));
    }
    return LENS_OK;
}

static lens_status prepare(import *m) {
    const onnx_model *g = m->model;
    size_t names = (size_t)g->tensors + (size_t)g->inputs + 2;
    for (int i = 0; i < g->nodes; i++) names += (size_t)g->node[i].outputs;
    if (names > MAX_VALUES)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: %zu values, but at most %d are read", m->where,
                        names, MAX_VALUES);
    for (m->slots = 16; m->slots < 2 * names;) m->slots *= 2;
    m->value = ctx_alloc(m->ctx, m->slots, sizeof *m->value);
    m->needed = ctx_alloc(m->ctx, (size_t)g->nodes + 1, sizeof *m->needed);
    m->row = ctx_alloc(m->ctx, (size_t)g->nodes + 1, sizeof *m->row);
    m->skip = ctx_alloc(m->ctx, (size_t)g->nodes + 1, sizeof *m->skip);
    return m->value && m->needed && m->row && m->skip ? LENS_OK : LENS_NOMEM;
}

lens_status net_from_onnx(lens_ctx *ctx, lens_net **out, const onnx_model *model,
                          const char *where) {
import m = {.ctx = ctx, .where = where, .model = model };
    char name[64];
    size_t length = 0;
    for (; model->graph[length] && length < sizeof name - 1; length++) {
        char c = model->graph[length];
        name[length] = c > ' ' && c <= '~' && !strchr("=,#\"", c) ? c : '_';
    }
    name[length] = 0;
    *out = NULL;
    lens_status status = LENS_NOMEM;
    m.net = lens_net_new(ctx, length ? name : NULL);
    if (m.net) status = prepare(&m);
    if (status == LENS_OK) status = survey(&m);
    if (status == LENS_OK) status = mark(&m);
    if (status == LENS_OK) status = look_up(&m);
    if (status == LENS_OK) status = build(&m);
    if (status == LENS_OK) status = check_weights(&m);
    if (status == LENS_OK) status = net_allocate(m.net);
    if (status == LENS_OK) status = pour_all(&m);
    if (status == LENS_OK) status = take_words(&m);
    if (status == LENS_OK) {
        *out = m.net;
        m.net = NULL;
    }
    lens_net_free(m.net);
    ctx_free(ctx, m.value);
    ctx_free(ctx, m.needed);
    ctx_free(ctx, m.row);
    ctx_free(ctx, m.skip);
    ctx_free(ctx, m.fill);
    while (m.folded) {
        folded *next = m.folded->next;
        ctx_free(ctx, m.folded);
        m.folded = next;
    }
    return status;
}
