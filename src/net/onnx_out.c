/* onnx_out.c - a net becomes an ONNX graph: opset 13, IR 7, weights under their own names, the number
 * of samples free.
 *
 * Invariant: every node is written or refused before the file is begun; the value a node computes has
 * the node's name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx.h"
#include "op/op_opts.h"

#include <stddef.h>
#include <string.h>

enum { OPSET = 13, IR = 7 };

/* Everything the description points to, freed together. */
typedef struct block {
    struct block *next;
    max_align_t data[];
} block;

typedef struct export {
    lens_ctx *ctx;
    const lens_net *net;
    onnx_node *node;
    onnx_tensor *tensor;
    int nodes, tensors;
    block *blocks;
    bool failed; /* out of memory, or refused: see status */
    lens_status status;
}
export;

typedef void export_fn(export *, const lens_node *);

/* Zeroed; NULL marks the export as failed. */
static void *take(export *e, size_t count, size_t size) {
    size_t bytes;
    block *b = NULL;
    if (mul_size(count, size, &bytes) && add_size(bytes, sizeof *b, &bytes))
        b = ctx_alloc(e->ctx, bytes, 1);
    if (!b) {
        e->failed = true;
        e->status = LENS_NOMEM;
        return NULL;
    }
    b->next = e->blocks;
    e->blocks = b;
    return b->data;
}

static const char *suffixed(export *e, const char *name, const char *suffix) {
    size_t length = strlen(name), more = strlen(suffix);
    char *text = take(e, length + more + 1, 1);
    if (!text) return "";
    memcpy(text, name, length);
    memcpy(text + length, suffix, more);
    return text;
}

enum { MOST_ATTRS = 8, NODES_EACH = 3, TENSORS_EACH = 4 };

/* A new node that computes `output`; inputs are added one by one. */
static onnx_node *begin(export *e, const char *op, const char *output, int inputs) {
    const char **out = take(e, 1, sizeof *out), **in = take(e, (size_t)inputs + 1, sizeof *in);
    onnx_attr *attr = take(e, MOST_ATTRS, sizeof *attr);
    if (!out || !in || !attr) return NULL;
    out[0] = output;
    onnx_node *n = &e->node[e->nodes++];
    *n = (onnx_node){ .op = op,
                      .name = output,
                      .domain = "",
                      .input = in,
                      .output = out,
                      .attr = attr,
                      .outputs = 1 };
    return n;
}

static void add_input(onnx_node *n, const char *name) {
    if (n) ((const char **)n->input)[n->inputs++] = name;
}

static void add_attr(onnx_node *n, onnx_attr attr) {
    if (n) ((onnx_attr *)n->attr)[n->attrs++] = attr;
}

static void add_int(onnx_node *n, const char *name, int64_t value) {
    add_attr(n, (onnx_attr){ .name = name, .type = ONNX_INT, .i = value });
}

static void add_float(onnx_node *n, const char *name, float value) {
    add_attr(n, (onnx_attr){ .name = name, .type = ONNX_FLOAT, .f = value });
}

static void add_ints(export *e, onnx_node *n, const char *name, const int *values, int count) {
    int64_t *list = take(e, (size_t)count, sizeof *list);
    for (int i = 0; list && i < count; i++) list[i] = values[i];
    if (list)
        add_attr(n, (onnx_attr){ .name = name, .type = ONNX_INTS, .ints = list, .count = count });
}

static void add_tensor(export *e, const char *name, int type, int rank, const int64_t *dim,
                       const void *data) {
    onnx_tensor *t = &e->tensor[e->tensors++];
    *t = (onnx_tensor){ .name = name, .type = type, .rank = rank, .count = 1, .raw = data };
    t->dtype = type == ONNX_I64 ? ST_I64 : ST_F32;
    for (int d = 0; d < rank; d++) {
        t->dim[d] = dim[d];
        t->count *= dim[d];
    }
}

/* A parameter of the net as an initializer and input. */
static void add_param(export *e, onnx_node *n, const lens_node *node, int slot) {
    const net_param *p = &e->net->param[node->first_param + slot];
    const op_param *op = net_param_op(p);
    add_tensor(e, p->name, ONNX_F32, op->rank, op->dim, e->net->weights + p->offset);
    add_input(n, p->name);
}

static onnx_node *plain(export *e, const lens_node *node, const char *op) {
    onnx_node *n = begin(e, op, node->op.name, node->op.inputs + 4);
    for (int i = 0; i < node->op.inputs; i++) add_input(n, node->input[i]->op.name);
    return n;
}

static void refuse(export *e, const lens_node *node, const char *why) {
    if (e->failed) return;
    e->failed = true;
    e->status = ctx_fail(e->ctx, LENS_UNSUPPORTED, "%s: %s cannot be written as ONNX%s",
                         node->op.name, node->op.kind->name, why);
}

/* ---- Layers --------------------------------------------------------------------------------- */

static bool is_flat(const lens_node *node) { return node->op.in[0].rank == 3; }

/* kernel_shape, strides and dilations of the spatial axes. */
static void add_window(export *e, onnx_node *n, const lens_node *node) {
    const op_window *w = &node->op.window;
    int kernel[] = { w->kh, w->kw }, stride[] = { w->sh, w->sw };
    int skip = is_flat(node), axes = 2 - skip;
    add_ints(e, n, "kernel_shape", kernel + skip, axes);
    add_ints(e, n, "strides", stride + skip, axes);
}

static void add_pads(export *e, onnx_node *n, const lens_node *node, int pad, const int pads[4]) {
    int all[4];
    bool any = false;
    for (int i = 0; i < 4; i++) {
        all[i] = pad + pads[i];
        any |= all[i] != 0;
    }
    if (any) add_ints(e, n, "pads", all, is_flat(node) ? 2 : 4);
}

/* The kernel turned by 180 degrees, for true convolutions. */
static const float *turned(export *e, const net_param *p) {
    const op_param *op = net_param_op(p);
    size_t plane = 1;
    for (int d = 2; d < op->rank; d++) plane *= (size_t)op->dim[d];
    float *to = take(e, op->count, sizeof *to);
    const float *from = e->net->weights + p->offset;
    for (size_t i = 0; to && i < op->count; i++)
        to[i] = from[i / plane * plane + plane - 1 - i % plane];
    return to;
}

static void export_conv(export *e, const lens_node *node) {
    const lens_conv2d_opts *o = node->op.opts;
    const op_window *w = &node->op.window;
    onnx_node *n = plain(e, node, "Conv");
    bool flat = is_flat(node);
    /* With its mode worked out: what the window has before it, and what its size asks for behind. */
    shape in = node->op.in[0], out = node->op.out;
    int64_t down = (int64_t)(out.h - 1) * w->sh + (int64_t)(w->kh - 1) * w->dh + 1 - in.h - w->pt;
    int64_t across = (int64_t)(out.w - 1) * w->sw + (int64_t)(w->kw - 1) * w->dw + 1 - in.w - w->pl;
    int pads[] = { w->pt, w->pl, down > 0 ? (int)down : 0, across > 0 ? (int)across : 0 };
    int line[] = { w->pl, pads[3] }, dilation[] = { w->dh, w->dw };
    add_window(e, n, node);
    add_ints(e, n, "dilations", dilation + flat, 2 - flat);
    add_ints(e, n, "pads", flat ? line : pads, flat ? 2 : 4);
    add_int(n, "group", o->groups);
    add_param(e, n, node, 0);
    if (o->flip) {
        const float *data = turned(e, &e->net->param[node->first_param]);
        e->tensor[e->tensors - 1].raw = data;
    }
    if (!o->no_bias) add_param(e, n, node, 1);
}

static void export_conv_transpose(export *e, const lens_node *node) {
    const lens_conv_transpose2d_opts *o = node->op.opts;
    onnx_node *n = plain(e, node, "ConvTranspose");
    int kernel[] = { o->kernel.h, o->kernel.w }, stride[] = { o->stride.h, o->stride.w };
    int dilation[] = { o->dilation.h, o->dilation.w }, extra[] = { o->extra.h, o->extra.w };
    add_ints(e, n, "kernel_shape", kernel, 2);
    add_ints(e, n, "strides", stride, 2);
    add_ints(e, n, "dilations", dilation, 2);
    add_ints(e, n, "output_padding", extra, 2);
    add_pads(e, n, node, o->pad, o->pads);
    add_int(n, "group", o->groups);
    add_param(e, n, node, 0);
    if (!o->no_bias) add_param(e, n, node, 1);
}

static void export_pool(export *e, const lens_node *node) {
    const lens_pool_opts *o = node->op.opts;
    bool average = !strcmp(node->op.kind->name, "avgpool");
    onnx_node *n = plain(e, node, average ? "AveragePool" : "MaxPool");
    add_window(e, n, node);
    add_pads(e, n, node, o->pad, o->pads);
    if (o->ceil) add_int(n, "ceil_mode", 1);
    if (average && !o->exclude_pad) add_int(n, "count_include_pad", 1);
}

/* A window sum with a weight (or 1) and a bias for each channel is a convolution of each channel. */
static void export_sum(export *e, const lens_node *node) {
    const lens_pool_opts *o = node->op.opts;
    bool trained = !strcmp(node->op.kind->name, "subsample");
    int c = node->op.in[0].c;
    size_t window = (size_t)o->kernel.h * (size_t)o->kernel.w;
    float *w = take(e, (size_t)c * window, sizeof *w);
    if (o->ceil) refuse(e, node, " with ceil");
    if (!w || e->failed) return;
    const float *scale = trained ? e->net->weights + e->net->param[node->first_param].offset : NULL;
    for (size_t i = 0; i < (size_t)c * window; i++) w[i] = scale ? scale[i / window] : 1;
    onnx_node *n = plain(e, node, "Conv");
    add_window(e, n, node);
    add_pads(e, n, node, o->pad, o->pads);
    add_int(n, "group", c);
    const char *name = suffixed(e, node->op.name, ".weight");
    bool flat = is_flat(node);
    const int64_t dim[] = { c, 1, flat ? o->kernel.w : o->kernel.h, o->kernel.w };
    add_tensor(e, name, ONNX_F32, flat ? 3 : 4, dim, w);
    add_input(n, name);
    if (trained) add_param(e, n, node, 1);
}

static void export_global(export *e, const lens_node *node) {
    plain(e, node,
          strcmp(node->op.kind->name, "global_maxpool") ? "GlobalAveragePool" : "GlobalMaxPool");
}

/* Adaptive pooling is a plain one where the sizes divide. */
static void export_adaptive(export *e, const lens_node *node) {
    shape in = node->op.in[0], out = node->op.out;
    bool average = !strcmp(node->op.kind->name, "adaptive_avgpool");
    if (in.h % out.h || in.w % out.w) {
        refuse(e, node, ": the output's size does not divide the input's");
        return;
    }
    int kernel[] = { in.h / out.h, in.w / out.w };
    onnx_node *n = plain(e, node, average ? "AveragePool" : "MaxPool");
    bool flat = is_flat(node);
    add_ints(e, n, "kernel_shape", kernel + flat, 2 - flat);
    add_ints(e, n, "strides", kernel + flat, 2 - flat);
}

static void export_act(export *e, const lens_node *node) {
    const char *kind = node->op.kind->name;
    plain(e, node, !strcmp(kind, "relu") ? "Relu" : !strcmp(kind, "tanh") ? "Tanh" : "Sigmoid");
}

/* 1.7159*tanh(2x/3) in three steps, the last of them under the node's name. */
static void export_scaled_tanh(export *e, const lens_node *node) {
    static const float factor[] = { (float)(2.0 / 3), 1.7159f };
    const char *name[2] = { suffixed(e, node->op.name, ".in"), suffixed(e, node->op.name, ".out") };
    const char *inner = suffixed(e, node->op.name, ".scaled");
    const char *bent = suffixed(e, node->op.name, ".tanh");
    for (int i = 0; i < 2; i++) add_tensor(e, name[i], ONNX_F32, 0, NULL, &factor[i]);
    onnx_node *n = begin(e, "Mul", inner, 2);
    add_input(n, node->input[0]->op.name);
    add_input(n, name[0]);
    add_input(begin(e, "Tanh", bent, 1), inner);
    n = begin(e, "Mul", node->op.name, 2);
    add_input(n, bent);
    add_input(n, name[1]);
}

static void export_leaky(export *e, const lens_node *node) {
    const lens_leaky_relu_opts *o = node->op.opts;
    add_float(plain(e, node, "LeakyRelu"), "alpha", o->slope);
}

static void export_dense(export *e, const lens_node *node) {
    const lens_dense_opts *o = node->op.opts;
    const char *x = node->input[0]->op.name;
    if (node->op.in[0].rank != 2) {
        const char *flat = suffixed(e, node->op.name, ".flat");
        onnx_node *f = begin(e, "Flatten", flat, 1);
        add_input(f, x);
        x = flat;
    }
    onnx_node *n = begin(e, "Gemm", node->op.name, 3);
    add_input(n, x);
    add_int(n, "transB", 1);
    add_param(e, n, node, 0);
    if (!o->no_bias) add_param(e, n, node, 1);
}

static void export_flatten(export *e, const lens_node *node) { plain(e, node, "Flatten"); }

static void add_shape(export *e, onnx_node *n, const lens_node *node, const char *suffix,
                      const int64_t *values, int count) {
    int64_t *list = take(e, (size_t)count, sizeof *list);
    if (!list) return;
    /* Files are little-endian; so is every machine with a kernel here. */
    memcpy(list, values, (size_t)count * sizeof *list);
    const char *name = suffixed(e, node->op.name, suffix);
    add_tensor(e, name, ONNX_I64, 1, (int64_t[]){ count }, list);
    add_input(n, name);
}

static void export_reshape(export *e, const lens_node *node) {
    shape out = node->op.out;
    const int64_t to[] = { 0, out.c, out.h, out.w }; /* 0: the batch as it is */
    add_shape(e, plain(e, node, "Reshape"), node, ".shape", to, 4);
}

/* Every s-th row and column is a pooling of one cell; then channels of zeros. */
static void export_shortcut(export *e, const lens_node *node) {
    shape in = node->op.in[0], out = node->op.out;
    const op_window *w = &node->op.window;
    const char *x = node->input[0]->op.name;
    int more = out.c - in.c, skip = is_flat(node);
    if (w->sh != 1 || w->sw != 1 || !more) {
        const int one[] = { 1, 1 }, stride[] = { w->sh, w->sw };
        const char *thin = more ? suffixed(e, node->op.name, ".thin") : node->op.name;
        onnx_node *n = begin(e, "MaxPool", thin, 1);
        add_input(n, x);
        add_ints(e, n, "kernel_shape", one, 2 - skip);
        add_ints(e, n, "strides", stride + skip, 2 - skip);
        x = thin;
    }
    if (!more) return;
    int rank = in.rank;
    int64_t pads[8] = { 0 };
    pads[1] = more / 2;
    pads[rank + 1] = more - more / 2;
    onnx_node *n = begin(e, "Pad", node->op.name, 2);
    add_input(n, x);
    add_shape(e, n, node, ".pads", pads, 2 * rank);
}

static void export_add(export *e, const lens_node *node) { plain(e, node, "Add"); }

static void export_concat(export *e, const lens_node *node) {
    add_int(plain(e, node, "Concat"), "axis", 1);
}

static void export_dropout(export *e, const lens_node *node) {
    const lens_dropout_opts *o = node->op.opts;
    onnx_node *n = plain(e, node, "Dropout");
    const char *name = suffixed(e, node->op.name, ".ratio");
    add_tensor(e, name, ONNX_F32, 0, NULL, &o->rate);
    add_input(n, name);
}

static void export_batchnorm(export *e, const lens_node *node) {
    const lens_batchnorm_opts *o = node->op.opts;
    onnx_node *n = plain(e, node, "BatchNormalization");
    add_float(n, "epsilon", o->eps);
    add_float(n, "momentum", (float)(1 - (double)o->momentum));
    for (int slot = 0; slot < node->op.params; slot++) add_param(e, n, node, slot);
}

static void export_lrn(export *e, const lens_node *node) {
    const lens_lrn_opts *o = node->op.opts;
    if (o->n % 2 == 0) refuse(e, node, " with an even window");
    onnx_node *n = plain(e, node, "LRN");
    add_int(n, "size", o->n);
    add_float(n, "alpha", o->undivided ? o->alpha * (float)o->n : o->alpha);
    add_float(n, "beta", o->beta);
    add_float(n, "bias", o->k);
}

static void export_softmax(export *e, const lens_node *node) {
    add_int(plain(e, node, "Softmax"), "axis", 1);
}

static const struct {
    const char *kind;
    export_fn *fn;
} table[] = {
    { "conv2d", export_conv },
    { "conv1d", export_conv },
    { "conv_transpose2d", export_conv_transpose },
    { "maxpool", export_pool },
    { "avgpool", export_pool },
    { "sumpool", export_sum },
    { "subsample", export_sum },
    { "adaptive_avgpool", export_adaptive },
    { "adaptive_maxpool", export_adaptive },
    { "global_avgpool", export_global },
    { "global_maxpool", export_global },
    { "relu", export_act },
    { "leaky_relu", export_leaky },
    { "tanh", export_act },
    { "sigmoid", export_act },
    { "scaled_tanh", export_scaled_tanh },
    { "dense", export_dense },
    { "flatten", export_flatten },
    { "reshape", export_reshape },
    { "shortcut", export_shortcut },
    { "add", export_add },
    { "concat", export_concat },
    { "dropout", export_dropout },
    { "batchnorm", export_batchnorm },
    { "lrn", export_lrn },
    { "softmax", export_softmax },
};

/* ---- The graph ------------------------------------------------------------------------------ */

static void export_node(export *e, const lens_node *node) {
    if (!node->op.inputs) return;
    for (size_t i = 0; i < LENS_COUNT(table); i++)
        if (!strcmp(table[i].kind, node->op.kind->name)) {
            table[i].fn(e, node);
            return;
        }
    refuse(e, node, "");
}

static onnx_value describe(const lens_node *node) {
    shape s = node->op.out;
    onnx_value v = { .name = node->op.name, .type = ONNX_F32, .rank = s.rank };
    v.dim[0] = -1;
    v.axis[0] = "N";
    v.dim[1] = s.c;
    if (s.rank == 4) v.dim[2] = s.h;
    if (s.rank >= 3) v.dim[s.rank - 1] = s.w;
    return v;
}

/* Names of values and tensors share one space. */
static lens_status check_names(const lens_net *net) {
    for (int i = 0; i < net->params; i++)
        if (lens_net_find(net, net->param[i].name))
            return ctx_fail(net->ctx, LENS_UNSUPPORTED,
                            "%s: a node and a parameter have this name, which ONNX does not allow",
                            net->param[i].name);
    return LENS_OK;
}

lens_status lens_net_export_onnx(const lens_net *net, const char *path) {
    lens_ctx *ctx = net->ctx;
    export e = { .ctx = ctx, .net = net };
    if (!net->finished)
        return ctx_fail(ctx, LENS_BAD_ARG, "net %s is not finished: see lens_net_finish",
                        net->name);
    LENS_TRY(check_names(net));
    size_t nodes = (size_t)net->nodes;
    e.node = take(&e, nodes * NODES_EACH, sizeof *e.node);
    e.tensor = e.node ? take(&e, nodes * TENSORS_EACH, sizeof *e.tensor) : NULL;
    st_pair *meta = e.tensor ? take(&e, (size_t)net->words + 1, sizeof *meta) : NULL;
    for (int i = 0; i < net->nodes && !e.failed; i++)
        if (!net->node[i]->training) export_node(&e, net->node[i]);
    lens_status status = e.status;
    if (!e.failed) {
        for (int i = 0; i < net->words; i++)
            meta[i] = (st_pair){ net->word[i].key, net->word[i].value };
        onnx_value input = describe(net->input), output = describe(net->output);
        onnx_model model = { .ir = IR,
                             .opset = OPSET,
                             .producer = "lenslet",
                             .producer_version = lens_version(),
                             .graph = net->name,
                             .node = e.node,
                             .nodes = e.nodes,
                             .tensor = e.tensor,
                             .tensors = e.tensors,
                             .input = &input,
                             .inputs = 1,
                             .output = &output,
                             .outputs = 1,
                             .meta = meta,
                             .metas = net->words };
        status = onnx_write(ctx, path, &model);
    }
    while (e.blocks) {
        block *next = e.blocks->next;
        ctx_free(ctx, e.blocks);
        e.blocks = next;
    }
    return status;
}
