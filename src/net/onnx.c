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

struct converter {
    onnx_row about;
    convert_fn *convert;
};

static const struct converter table[] = {
    { { "Abs", 6, NEW, "unary", "" }, convert_unary },
    { { "Acos", 7, NEW, "unary", "" }, convert_unary },
    { { "Acosh", 9, NEW, "unary", "" }, convert_unary },
    { { "Add", 6, NEW, "add, binary, unary", "" }, convert_binary },
    { { "And", 7, NEW, "binary, unary", "of such truths" }, convert_logical },
    { { "ArgMax", 1, NEW, "reduce", "places are numbers" }, convert_argument },
    { { "ArgMin", 1, NEW, "reduce", "places are numbers" }, convert_argument },
    { { "Asin", 7, NEW, "unary", "" }, convert_unary },
    { { "Asinh", 9, NEW, "unary", "" }, convert_unary },
    { { "Atan", 7, NEW, "unary", "" }, convert_unary },
    { { "Atanh", 9, NEW, "unary", "" }, convert_unary },
    { { "AveragePool", 1, NEW, "avgpool", "1-D and 2-D, no dilation" }, convert_pool },
    { { "BatchNormalization", 6, NEW, "batchnorm", "constant statistics" }, convert_batchnorm },
    { { "Cast", 6, NEW, "nothing", "to float, double; constants to whole numbers" }, convert_cast },
    { { "Ceil", 6, NEW, "unary", "" }, convert_unary },
    { { "Celu", 12, NEW, "unary", "numbers other than 0" }, convert_unary },
    { { "Clip", 6, NEW, "unary", "constant bounds" }, convert_clip },
    { { "Concat", 4, NEW, "concat", "" }, convert_concat },
    { { "Constant", 1, NEW, "a constant", "" }, convert_constant },
    { { "ConstantOfShape", 9, NEW, "a constant", "few numbers" }, convert_constant_of_shape },
    { { "Conv", 1, NEW, "conv2d, conv1d", "1-D and 2-D; constant weights" }, convert_conv },
    { { "ConvTranspose", 1, NEW, "conv_transpose2d", "1-D and 2-D; constant weights" },
      convert_conv_transpose },
    { { "Cos", 7, NEW, "unary", "" }, convert_unary },
    { { "Cosh", 9, NEW, "unary", "" }, convert_unary },
    { { "DepthToSpace", 1, NEW, "rearrange", "" }, convert_depth_to_space },
    { { "Div", 6, NEW, "binary, unary", "" }, convert_binary },
    { { "Dropout", 6, NEW, "dropout", "in training its mask unused" }, convert_dropout },
    { { "Elu", 6, NEW, "unary", "numbers other than 0" }, convert_unary },
    { { "Equal", 7, NEW, "binary", "truths are the numbers 0 and 1" }, convert_binary },
    { { "Erf", 9, NEW, "unary", "" }, convert_unary },
    { { "Exp", 6, NEW, "unary", "" }, convert_unary },
    { { "Expand", 8, NEW, "rearrange", "constant shape" }, convert_expand },
    { { "Flatten", 1, NEW, "nothing", "" }, convert_flatten },
    { { "Floor", 6, NEW, "unary", "" }, convert_unary },
    { { "Gather", 1, NEW, "rearrange", "constant places" }, convert_gather },
    { { "Gelu", 20, NEW, "unary", "approximate=none" }, convert_unary },
    { { "Gemm", 6, NEW, "dense; matmul, binary", "" }, convert_gemm },
    { { "GlobalAveragePool", 1, NEW, "global_avgpool", "" }, convert_global },
    { { "GlobalMaxPool", 1, NEW, "global_maxpool", "" }, convert_global },
    { { "Greater", 7, NEW, "binary", "truths are the numbers 0 and 1" }, convert_binary },
    { { "GreaterOrEqual", 12, NEW, "binary", "truths are the numbers 0 and 1" }, convert_binary },
    { { "GroupNormalization", 18, NEW, "reduce, binary", "constant scale and bias" },
      convert_group_norm },
    { { "HardSigmoid", 6, NEW, "unary", "numbers other than 0" }, convert_unary },
    { { "HardSwish", 14, NEW, "unary", "" }, convert_unary },
    { { "Hardmax", 1, NEW, "reduce, binary", "" }, convert_hardmax },
    { { "Identity", 1, NEW, "nothing", "" }, im_same },
    { { "InstanceNormalization", 6, NEW, "reduce, binary", "constant scale and B" },
      convert_instance_norm },
    { { "LRN", 1, NEW, "lrn", "odd size" }, convert_lrn },
    { { "LayerNormalization", 17, NEW, "reduce, binary", "constant scale and B" },
      convert_layer_norm },
    { { "LeakyRelu", 6, NEW, "leaky_relu", "alpha >= 0" }, convert_act },
    { { "Less", 7, NEW, "binary", "truths are the numbers 0 and 1" }, convert_binary },
    { { "LessOrEqual", 12, NEW, "binary", "truths are the numbers 0 and 1" }, convert_binary },
    { { "Log", 6, NEW, "unary", "" }, convert_unary },
    { { "LogSoftmax", 1, NEW, "reduce, binary", "" }, convert_log_softmax },
    { { "LpNormalization", 1, NEW, "reduce, binary", "" }, convert_lp_norm },
    { { "MatMul", 1, NEW, "dense; matmul", "" }, convert_matmul },
    { { "Max", 6, NEW, "binary", "" }, convert_nary },
    { { "MaxPool", 1, NEW, "maxpool", "1-D and 2-D, no dilation, no indices" }, convert_pool },
    { { "Mean", 6, NEW, "add, unary", "" }, convert_nary },
    { { "MeanVarianceNormalization", 9, NEW, "reduce, binary", "" }, convert_mean_variance },
    { { "Min", 6, NEW, "binary", "" }, convert_nary },
    { { "Mish", 18, NEW, "unary", "" }, convert_unary },
    { { "Mul", 6, NEW, "binary, unary; scaled_tanh", "" }, convert_binary },
    { { "Neg", 6, NEW, "unary", "" }, convert_unary },
    { { "Not", 1, NEW, "binary, unary", "of such truths" }, convert_logical },
    { { "Or", 7, NEW, "binary, unary", "of such truths" }, convert_logical },
    { { "PRelu", 6, NEW, "binary", "" }, convert_binary },
    { { "Pad", 2, NEW, "padding of the next layer; shortcut, rearrange", "constant pads" },
      convert_pad },
    { { "Pow", 6, NEW, "binary, unary", "" }, convert_binary },
    { { "Range", 11, NEW, "a constant", "few numbers" }, convert_range },
    { { "Reciprocal", 6, NEW, "unary", "" }, convert_unary },
    { { "ReduceL1", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceL2", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceLogSum", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceLogSumExp", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceMax", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceMean", 1, NEW, "reduce, global_avgpool", "constant axes" }, convert_reduce },
    { { "ReduceMin", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceProd", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceSum", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "ReduceSumSquare", 1, NEW, "reduce", "constant axes" }, convert_reduce },
    { { "Relu", 6, NEW, "relu", "" }, convert_act },
    { { "Reshape", 5, NEW, "nothing", "constant shape" }, convert_reshape },
    { { "Resize", 10, NEW, "rearrange, matmul", "no antialias, no crop" }, convert_resize },
    { { "Round", 11, NEW, "unary", "" }, convert_unary },
    { { "Selu", 6, NEW, "unary", "numbers other than 0" }, convert_unary },
    { { "Shape", 1, NEW, "a constant", "" }, convert_shape },
    { { "Shrink", 9, NEW, "unary", "numbers other than 0" }, convert_unary },
    { { "Sigmoid", 6, NEW, "sigmoid", "" }, convert_act },
    { { "Sign", 9, NEW, "unary", "" }, convert_unary },
    { { "Sin", 7, NEW, "unary", "" }, convert_unary },
    { { "Sinh", 9, NEW, "unary", "" }, convert_unary },
    { { "Size", 1, NEW, "a constant", "" }, convert_shape },
    { { "Slice", 1, NEW, "shortcut, rearrange", "constant ends" }, convert_slice },
    { { "Softmax", 1, NEW, "softmax", "" }, convert_softmax },
    { { "Softplus", 1, NEW, "unary", "" }, convert_unary },
    { { "Softsign", 1, NEW, "unary", "" }, convert_unary },
    { { "SpaceToDepth", 1, NEW, "rearrange", "" }, convert_depth_to_space },
    { { "Split", 1, NEW, "rearrange", "constant parts" }, convert_split },
    { { "Sqrt", 6, NEW, "unary", "" }, convert_unary },
    { { "Squeeze", 1, NEW, "nothing", "" }, convert_squeeze },
    { { "Sub", 6, NEW, "binary, unary", "" }, convert_binary },
    { { "Sum", 6, NEW, "add, binary", "" }, convert_nary },
    { { "Tan", 7, NEW, "unary", "" }, convert_unary },
    { { "Tanh", 6, NEW, "tanh, scaled_tanh", "" }, convert_act },
    { { "ThresholdedRelu", 10, NEW, "unary", "numbers other than 0" }, convert_unary },
    { { "Tile", 6, NEW, "rearrange", "constant repeats" }, convert_tile },
    { { "Transpose", 1, NEW, "rearrange", "" }, convert_transpose },
    { { "Unsqueeze", 1, NEW, "nothing", "" }, convert_unsqueeze },
    { { "Upsample", 7, NEW, "rearrange, matmul", "" }, convert_resize },
    { { "Where", 9, NEW, "nothing", "of constants" }, convert_where },
};

const onnx_row *onnx_row_at(int index) {
    return index >= 0 && (size_t)index < LENS_COUNT(table) ? &table[index].about : NULL;
}

static const struct converter *find_row(const onnx_node *n) {
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
    if (!g->outputs)
        return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: the graph has no output", m->where);
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
    for (int i = 0; i < g->outputs; i++) {
        value *result = im_find(m, g->output[i].name);
        if (!result)
            return ctx_fail(m->ctx, LENS_BAD_FILE, "%s: no node makes the output '%.100s'",
                            m->where, g->output[i].name);
        result->readers++; /* so that no node is merged into a reader and then missing */
        result->wanted = true;
    }
    for (int i = g->nodes - 1; i >= 0; i--) {
        const onnx_node *n = &g->node[i];
        for (int k = 0; k < n->outputs; k++)
            if (*n->output[k]) m->needed[i] |= im_find(m, n->output[k])->wanted;
        for (int k = 0; m->needed[i] && k < n->inputs; k++)
            if (*n->input[k]) im_find(m, n->input[k])->wanted = true;
    }
    return LENS_OK;
}

static lens_status look_up(import *m) {
    const onnx_model *g = m->model;
    for (int i = 0; i < g->nodes; i++) {
        const onnx_node *n = &g->node[i];
        if (!m->needed[i]) continue;
        const struct converter *r = m->row[i] = find_row(n);
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

static bool is_float_type(int type) {
    enum { HALF = 10, DOUBLE = 11, BRAIN = 16 };
    return type == ONNX_F32 || type == HALF || type == DOUBLE || type == BRAIN;
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
    if (!is_float_type(input->type))
        return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                        "%s: input '%.100s' has elements of ONNX type %d, only floats are read",
                        m->where, input->name, input->type);
    if (input->rank < !m->whole)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: input '%.100s' has no known rank", m->where,
                        input->name);
    /* The batch may be free, if it is one. */
    for (int d = !m->whole; d < input->rank; d++)
        if (input->dim[d] < 1 || input->dim[d] > OP_MAX_DIM)
            return ctx_fail(m->ctx, LENS_UNSUPPORTED,
                            "%s: input '%.100s': dimension %d is not fixed, or outside 1..%d",
                            m->where, input->name, d, OP_MAX_DIM);
    m->batch = !m->whole && input->dim[0] > 0 ? input->dim[0] : BATCH;
    const char *name = im_choose_name(m, input->name, strlen(input->name), buf);
    if (!name || (*name >= '0' && *name <= '9')) name = "x";
    part p = { .rank = input->rank - !m->whole };
    memcpy(p.dim, input->dim + !m->whole, (size_t)p.rank * sizeof *p.dim);
    double count = 1;
    for (int d = 0; d < p.rank; d++) count *= (double)p.dim[d];
    if (count > OP_MAX_DIM)
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: input '%.100s' has %.0f numbers", m->where,
                        input->name, count);
    shape s = part_shape(p);
    lens_node *x = s.rank == 3 ? lens_input1d(m->net, name, s.c, s.w)
                               : lens_input(m->net, name, s.c, s.h, s.w);
    if (!x) return ctx_fail_prefix(m->ctx, m->net->error, "%s", m->where);
    value *v = im_find(m, input->name);
    v->node = x;
    v->rank = input->rank;
    memcpy(v->dim, input->dim, sizeof v->dim);
    if (!m->whole) v->dim[0] = m->batch;
    return LENS_OK;
}

/* Output k of the graph, under the shape it has there as far as a net has one. */
static lens_status find_output(import *m, int k, lens_node **y) {
    value *v = im_find(m, m->model->output[k].name);
    part p = { 0 };
    if (m->whole && im_is_constant(v)) {
        p = im_constant(m, v);
    } else if (v->node && !v->padded) {
        p.node = v->node;
        p.rank = v->rank - !m->whole;
        memcpy(p.dim, v->dim + !m->whole, (size_t)p.rank * sizeof *p.dim);
    } else {
        return ctx_fail(m->ctx, LENS_UNSUPPORTED, "%s: the output '%.100s' is a constant", m->where,
                        v->name);
    }
    *y = part_node(p, part_shape(p));
    return *y ? LENS_OK : ctx_fail_prefix(m->ctx, m->net->error, "%s", m->where);
}

/* The first output of the graph is the net's main one, and the node that stands last. */
static lens_status build(import *m) {
    const onnx_model *g = m->model;
    lens_node *first = NULL, *other;
    char buf[NET_MAX_NAME + 1];
    LENS_TRY(make_input(m));
    for (int i = 0; i < g->nodes; i++)
        if (m->needed[i] && !m->skip[i]) LENS_TRY(m->row[i]->convert(m, &g->node[i]));
    LENS_TRY(find_output(m, 0, &first));
    for (int k = 1; k < g->outputs; k++) {
        const char *name = g->output[k].name;
        LENS_TRY(find_output(m, k, &other));
        lens_output(other, im_choose_name(m, name, strlen(name), buf), (lens_output_opts){ 0 });
    }
    if (first->index != m->net->nodes - 1) {
        const char *name = g->output[0].name;
        first =
            lens_output(first, im_choose_name(m, name, strlen(name), buf), (lens_output_opts){ 0 });
    }
    lens_status status = m->net->error;
    if (status == LENS_OK) status = net_check(m->net, first);
    return status == LENS_OK ? LENS_OK : ctx_fail_prefix(m->ctx, status, "%s", m->where);
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

static lens_status pour(lens_net *net, const fill *f) {
    const net_param *param = &net->param[f->node->first_param + f->slot];
    size_t count = net_param_op(param)->count;
    float *to = net->weights + param->offset;
    if (f->numbers)
        for (size_t i = 0; i < count; i++) to[i] = (float)f->numbers[i];
    else if (f->tensor)
        onnx_floats(f->tensor, to);
    if (f->scale != 1)
        for (size_t i = 0; i < count; i++) to[i] *= f->scale;
    if (!f->columns) return LENS_OK;
    /* In place would follow cycles; a second copy of one matrix at a time is simpler. */
    size_t columns = (size_t)f->columns, rows = count / columns;
    float *from = ctx_alloc(net->ctx, count, sizeof *from);
    if (!from) return LENS_NOMEM;
    memcpy(from, to, count * sizeof *from);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++) to[i * columns + k] = from[k * rows + i];
    ctx_free(net->ctx, from);
    return LENS_OK;
}

static lens_status pour_all(import *m) {
    for (int i = 0; i < m->fills; i++) LENS_TRY(pour(m->net, &m->fill[i]));
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

static lens_status attempt(lens_ctx *ctx, lens_net **out, const onnx_model *model,
                           const char *where, bool whole) {
import m = {.ctx = ctx, .where = where, .model = model, .whole = whole };
    char name[64];
    size_t length = 0;
    for (; model->graph[length] && length < sizeof name - 1; length++) {
        char c = model->graph[length];
        name[length] = c > ' ' && c <= '~' && !strchr("=,#\"", c) ? c : '_';
    }
    name[length] = 0;
    lens_status status = LENS_NOMEM;
    m.net = lens_net_new(ctx, length ? name : NULL);
    if (m.net) status = prepare(&m);
    if (status == LENS_OK) status = survey(&m);
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
    while (m.kept) {
        kept_numbers *next = m.kept->next;
        ctx_free(ctx, m.kept);
        m.kept = next;
    }
    return status;
}

/* What the second attempt says is of no help where the first had a reason of its own. */
lens_status net_from_onnx(lens_ctx *ctx, lens_net **out, const onnx_model *model,
                          const char *where) {
    char why[512];
    *out = NULL;
    lens_status status = attempt(ctx, out, model, where, false);
    if (status != LENS_UNSUPPORTED) return status;
    snprintf(why, sizeof why, "%s", lens_why(ctx));
    if (attempt(ctx, out, model, where, true) == LENS_OK) return LENS_OK;
    return ctx_fail(ctx, status, "%s", why);
}
