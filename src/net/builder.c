/* builder.c - a net grows node by node. Shapes are inferred at once, so a mistake is known at the line
 * that makes it; the first one is kept and lens_net_finish reports it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include "op/op_opts.h"

#include <string.h>

lens_net *lens_net_new(lens_ctx *ctx, const char *name) {
    lens_net *net = ctx_alloc(ctx, 1, sizeof *net);
    if (!net) return NULL;
    net->ctx = ctx;
    net->name = ctx_strdup(ctx, name ? name : "net");
    if (!net->name) {
        lens_net_free(net);
        return NULL;
    }
    return net;
}

static void free_node(lens_ctx *ctx, lens_node *node) {
    if (!node) return;
    if (node->op.opts && node->op.kind->options)
        for (const op_option *option = node->op.kind->options; option->key; option++)
            if (option->type == OP_STRING)
                ctx_free(ctx, *(char **)((char *)node->op.opts + option->offset));
    ctx_free(ctx, node->op.opts);
    ctx_free(ctx, node->given);
    ctx_free(ctx, (void *)node->op.in);
    ctx_free(ctx, (void *)node->op.name);
    ctx_free(ctx, node->input);
    ctx_free(ctx, node);
}

void lens_net_free(lens_net *net) {
    if (!net) return;
    lens_ctx *ctx = net->ctx;
    for (int i = 0; i < net->params; i++) ctx_free(ctx, net->param[i].name);
    for (int i = 0; i < net->words; i++) {
        ctx_free(ctx, net->word[i].key);
        ctx_free(ctx, net->word[i].value);
    }
    for (int i = 0; i < net->nodes; i++) free_node(ctx, net->node[i]);
    ctx_free(ctx, net->param);
    ctx_free(ctx, net->weights);
    ctx_free(ctx, net->word);
    ctx_free(ctx, net->node);
    ctx_free(ctx, net->names);
    ctx_free(ctx, net->name);
    ctx_free(ctx, net);
}

lens_status net_fail(lens_net *net, lens_status status) {
    if (net->error == LENS_OK) {
        net->error = status;
        snprintf(net->why, sizeof net->why, "%s", lens_why(net->ctx));
    }
    return status;
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* The slot of a name in the table, or the free slot where it belongs. FNV-1a. */
static int name_slot(const lens_net *net, const char *name) {
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    int slot = (int)(hash & (uint32_t)(net->name_slots - 1));
    while (net->names[slot] >= 0 && strcmp(net->node[net->names[slot]]->op.name, name))
        slot = (slot + 1) & (net->name_slots - 1);
    return slot;
}

lens_node *lens_net_find(const lens_net *net, const char *name) {
    if (!net->nodes) return NULL;
    int index = net->names[name_slot(net, name)];
    return index < 0 ? NULL : net->node[index];
}

/* Room for one more node and its name; the table stays at most half full. */
static lens_status make_room(lens_net *net) {
    if (net->nodes == NET_MAX_NODES)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s: more than %d nodes", net->name,
                        NET_MAX_NODES);
    if (net->nodes < net->node_room) return LENS_OK;
    int room = net->node_room ? 2 * net->node_room : 32, slots = 2 * room;
    lens_node **node =
        ctx_grow(net->ctx, net->node, (size_t)net->node_room, (size_t)room, sizeof *node);
    if (!node) return LENS_NOMEM;
    net->node = node;
    int *names = ctx_alloc(net->ctx, (size_t)slots, sizeof *names);
    if (!names) return LENS_NOMEM;
    ctx_free(net->ctx, net->names);
    net->names = names;
    net->name_slots = slots;
    net->node_room = room;
    for (int i = 0; i < slots; i++) names[i] = -1;
    for (int i = 0; i < net->nodes; i++) names[name_slot(net, net->node[i]->op.name)] = i;
    return LENS_OK;
}

/* *copy becomes an owned copy of the given name, or the next free kind + number. */
static lens_status choose_name(lens_net *net, const op_kind *kind, const char *given, char **copy) {
    if (given) {
        size_t length = strlen(given);
        bool good = length >= 1 && length <= NET_MAX_NAME;
        for (const char *c = given; good && *c; c++)
            good = *c > ' ' && *c <= '~' && !strchr("=,#\"", *c);
        if (!good)
            return ctx_fail(net->ctx, LENS_BAD_ARG,
                            "%s: the name '%.40s' must be 1 to %d printable characters, none of "
                            "them a space, '=', ',', '#' or '\"'",
                            kind->name, given, NET_MAX_NAME);
        if (!kind->min_inputs && *given >= '0' && *given <= '9')
            return ctx_fail(net->ctx, LENS_BAD_ARG,
                            "%s: the name of an input cannot begin with a digit, as '%s' does",
                            kind->name, given);
        if (lens_net_find(net, given))
            return ctx_fail(net->ctx, LENS_BAD_ARG, "%s: two nodes have this name", given);
        *copy = ctx_strdup(net->ctx, given);
        return *copy ? LENS_OK : LENS_NOMEM;
    }
    char name[NET_MAX_NAME];
    int number = 1;
    for (int i = 0; i < net->nodes; i++) number += net->node[i]->op.kind == kind;
    do snprintf(name, sizeof name, "%s%d", kind->name, number++);
    while (lens_net_find(net, name));
    *copy = ctx_strdup(net->ctx, name);
    return *copy ? LENS_OK : LENS_NOMEM;
}

/* ---- Adding --------------------------------------------------------------------------------- */

static lens_status copy_options(lens_node *node, const void *opts) {
    const op_kind *kind = node->op.kind;
    if (!kind->opts_size) return LENS_OK;
    void *copy = ctx_alloc(node->net->ctx, 1, kind->opts_size);
    if (!copy) return LENS_NOMEM;
    if (opts) memcpy(copy, opts, kind->opts_size);
    lens_status status = LENS_OK;
    for (const op_option *option = kind->options; option && option->key; option++) {
        if (option->type != OP_STRING) continue;
        char **field = (char **)((char *)copy + option->offset);
        if (!*field) continue;
        /* After a failure the caller's strings must still leave the copy: free_node frees them. */
        *field = status == LENS_OK ? ctx_strdup(node->net->ctx, *field) : NULL;
        if (!*field) status = LENS_NOMEM;
    }
    node->op.opts = copy;
    if (status == LENS_OK) {
        node->given = ctx_alloc(node->net->ctx, 1, kind->opts_size);
        if (!node->given) return LENS_NOMEM;
        memcpy(node->given, copy, kind->opts_size);
    }
    return status;
}

/* What an operator inferred, held against what the rest of the engine can count in. */
static lens_status check_sizes(const op_node *op) {
    size_t count = 0;
    bool fits = mul_size((size_t)op->out.c, (size_t)op->out.h, &count) &&
                mul_size(count, (size_t)op->out.w, &count) && count <= INT32_MAX;
    if (!fits)
        return ctx_fail(op->ctx, LENS_BAD_SHAPE,
                        "%s: %dx%dx%d is more than the %d numbers a sample may have", op->name,
                        op->out.c, op->out.h, op->out.w, INT32_MAX);
    for (int p = 0; p < op->params; p++) {
        count = 1;
        for (int d = 0; d < op->param[p].rank && fits; d++)
            fits = mul_size(count, (size_t)op->param[p].dim[d], &count);
        if (!fits || count > NET_MAX_WEIGHTS)
            return ctx_fail(op->ctx, LENS_BAD_SHAPE,
                            "%s.%s: more than the %d numbers a net may have", op->name,
                            op->param[p].suffix, NET_MAX_WEIGHTS);
    }
    return LENS_OK;
}

static lens_status fill_node(lens_node *node, const char *name, const void *opts,
                             lens_node *const *input, int inputs) {
    lens_net *net = node->net;
    lens_ctx *ctx = net->ctx;
    const op_kind *kind = node->op.kind;
    LENS_TRY(choose_name(net, kind, name, (char **)&node->op.name));
    int most = kind->max_inputs < 0 ? NET_MAX_INPUTS : kind->max_inputs;
    if (inputs < kind->min_inputs || inputs > most)
        return ctx_fail(ctx, LENS_BAD_ARG, "%s: %s takes %d to %d inputs, but %d are given",
                        node->op.name, kind->name, kind->min_inputs, most, inputs);
    if (!inputs && net->input)
        return ctx_fail(ctx, LENS_BAD_ARG, "%s: the net already has the input %s", node->op.name,
                        net->input->op.name);
    LENS_TRY(copy_options(node, opts));
    if (inputs) {
        shape *in = ctx_alloc(ctx, (size_t)inputs, sizeof *in);
        node->op.in = in;
        node->input = ctx_alloc(ctx, (size_t)inputs, sizeof(lens_node *));
        if (!in || !node->input) return LENS_NOMEM;
        for (int i = 0; i < inputs; i++) {
            if (input[i]->net != net)
                return ctx_fail(ctx, LENS_BAD_ARG, "%s: input %s belongs to net %s, not to net %s",
                                node->op.name, input[i]->op.name, input[i]->net->name, net->name);
            node->input[i] = input[i];
            in[i] = input[i]->op.out;
        }
    }
    node->op.inputs = inputs;
    LENS_TRY(kind->infer(&node->op));
    return check_sizes(&node->op);
}

lens_node *net_add(lens_net *net, const op_kind *kind, const char *name, const void *opts,
                   lens_node *const *input, int inputs) {
    for (int i = 0; i < inputs; i++)
        if (!input[i]) return NULL;
    if (net->finished) {
        ctx_fail(net->ctx, LENS_BAD_ARG, "net %s is finished: no %s can be added", net->name,
                 kind->name);
        return NULL;
    }
    if (net->error != LENS_OK) return NULL;

    lens_status status = make_room(net);
    lens_node *node = NULL;
    if (status == LENS_OK) {
        node = ctx_alloc(net->ctx, 1, sizeof *node);
        status = node ? LENS_OK : LENS_NOMEM;
    }
    if (status == LENS_OK) {
        node->op.ctx = net->ctx;
        node->op.kind = kind;
        node->net = net;
        node->index = net->nodes;
        status = fill_node(node, name, opts, input, inputs);
    }
    if (status != LENS_OK) {
        net_fail(net, status);
        free_node(net->ctx, node);
        return NULL;
    }
    net->names[name_slot(net, node->op.name)] = node->index;
    net->node[net->nodes++] = node;
    if (!inputs) net->input = node;
    return node;
}

/* ---- The public builders -------------------------------------------------------------------- */

static lens_node *add_named(lens_net *net, const char *kind_name, const char *name,
                            const void *opts, lens_node *const *input, int inputs) {
    const op_kind *kind = op_find(kind_name);
    if (!kind) {
        if (net->error == LENS_OK)
            net_fail(net, ctx_fail(net->ctx, LENS_UNSUPPORTED, "this library has no operator %s",
                                   kind_name));
        return NULL;
    }
    return net_add(net, kind, name, opts, input, inputs);
}

static lens_node *add_one(lens_node *x, const char *kind, const char *name, const void *opts) {
    return x ? add_named(x->net, kind, name, opts, &x, 1) : NULL;
}

lens_node *lens_input(lens_net *net, const char *name, int c, int h, int w) {
    return add_named(net, "input", name, &(lens_shape_opts){ c, h, w }, NULL, 0);
}

lens_node *lens_input1d(lens_net *net, const char *name, int c, int l) {
    return add_named(net, "input1d", name, &(lens_shape_opts){ c, 1, l }, NULL, 0);
}

lens_node *lens_conv2d(lens_node *x, const char *name, lens_conv2d_opts opts) {
    return add_one(x, "conv2d", name, &opts);
}

lens_node *lens_conv1d(lens_node *x, const char *name, lens_conv2d_opts opts) {
    return add_one(x, "conv1d", name, &opts);
}

lens_node *lens_conv_transpose2d(lens_node *x, const char *name, lens_conv_transpose2d_opts opts) {
    return add_one(x, "conv_transpose2d", name, &opts);
}

lens_node *lens_maxpool(lens_node *x, const char *name, lens_pool_opts opts) {
    return add_one(x, "maxpool", name, &opts);
}

lens_node *lens_avgpool(lens_node *x, const char *name, lens_pool_opts opts) {
    return add_one(x, "avgpool", name, &opts);
}

lens_node *lens_sumpool(lens_node *x, const char *name, lens_pool_opts opts) {
    return add_one(x, "sumpool", name, &opts);
}

lens_node *lens_subsample(lens_node *x, const char *name, lens_pool_opts opts) {
    return add_one(x, "subsample", name, &opts);
}

lens_node *lens_adaptive_avgpool(lens_node *x, const char *name, lens_adaptive_opts opts) {
    return add_one(x, "adaptive_avgpool", name, &opts);
}

lens_node *lens_adaptive_maxpool(lens_node *x, const char *name, lens_adaptive_opts opts) {
    return add_one(x, "adaptive_maxpool", name, &opts);
}

lens_node *lens_global_avgpool(lens_node *x, const char *name) {
    return add_one(x, "global_avgpool", name, NULL);
}

lens_node *lens_global_maxpool(lens_node *x, const char *name) {
    return add_one(x, "global_maxpool", name, NULL);
}

lens_node *lens_relu(lens_node *x, const char *name) { return add_one(x, "relu", name, NULL); }

lens_node *lens_leaky_relu(lens_node *x, const char *name, float slope) {
    return add_one(x, "leaky_relu", name, &(lens_leaky_relu_opts){ slope });
}

lens_node *lens_tanh(lens_node *x, const char *name) { return add_one(x, "tanh", name, NULL); }

lens_node *lens_scaled_tanh(lens_node *x, const char *name) {
    return add_one(x, "scaled_tanh", name, NULL);
}

lens_node *lens_sigmoid(lens_node *x, const char *name) {
    return add_one(x, "sigmoid", name, NULL);
}

lens_node *lens_dense(lens_node *x, const char *name, lens_dense_opts opts) {
    return add_one(x, "dense", name, &opts);
}

lens_node *lens_rbf(lens_node *x, const char *name, lens_rbf_opts opts) {
    return add_one(x, "rbf", name, &opts);
}

lens_node *lens_flatten(lens_node *x, const char *name) {
    return add_one(x, "flatten", name, NULL);
}

lens_node *lens_reshape(lens_node *x, const char *name, int c, int h, int w) {
    return add_one(x, "reshape", name, &(lens_shape_opts){ c, h, w });
}

lens_node *lens_reshape1d(lens_node *x, const char *name, int c, int l) {
    return add_one(x, "reshape1d", name, &(lens_shape_opts){ c, 1, l });
}

lens_node *lens_add(lens_node *a, lens_node *b, const char *name) {
    lens_node *const input[] = { a, b };
    return a ? add_named(a->net, "add", name, NULL, input, 2) : NULL;
}

lens_node *lens_concat(lens_node *const *x, int count, const char *name) {
    return x && count > 0 && x[0] ? add_named(x[0]->net, "concat", name, NULL, x, count) : NULL;
}

lens_node *lens_shortcut(lens_node *x, const char *name, lens_shortcut_opts opts) {
    return add_one(x, "shortcut", name, &opts);
}

lens_node *lens_dropout(lens_node *x, const char *name, float rate) {
    return add_one(x, "dropout", name, &(lens_dropout_opts){ rate });
}

lens_node *lens_batchnorm(lens_node *x, const char *name, lens_batchnorm_opts opts) {
    return add_one(x, "batchnorm", name, &opts);
}

lens_node *lens_lrn(lens_node *x, const char *name, lens_lrn_opts opts) {
    return add_one(x, "lrn", name, &opts);
}

lens_node *lens_softmax(lens_node *x, const char *name) {
    return add_one(x, "softmax", name, NULL);
}

lens_node *lens_output(lens_node *x, const char *name, lens_output_opts opts) {
    return add_one(x, "output", name, &opts);
}

lens_node *lens_unary(lens_node *x, const char *name, lens_unary_opts opts) {
    return add_one(x, "unary", name, &opts);
}

lens_node *lens_binary(lens_node *a, lens_node *b, const char *name, lens_binary_opts opts) {
    lens_node *const input[] = { a, b };
    return a ? add_named(a->net, "binary", name, &opts, input, 2) : NULL;
}

lens_node *lens_reduce(lens_node *x, const char *name, lens_reduce_opts opts) {
    return add_one(x, "reduce", name, &opts);
}

lens_node *lens_rearrange(lens_node *x, const char *name, lens_rearrange_opts opts) {
    return add_one(x, "rearrange", name, &opts);
}

lens_node *lens_matmul(lens_node *a, lens_node *b, const char *name) {
    lens_node *const input[] = { a, b };
    return a ? add_named(a->net, "matmul", name, NULL, input, 2) : NULL;
}

lens_node *lens_parameter(lens_node *x, const char *name, lens_parameter_opts opts) {
    return add_one(x, "parameter", name, &opts);
}
