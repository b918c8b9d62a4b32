/* finish.c - closing a net (checks, receptive fields, parameters) and everything one may ask it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <string.h>

/* ---- Closing -------------------------------------------------------------------------------- */

static int clamp_int(int64_t value) { return value > INT32_MAX ? INT32_MAX : (int)value; }

/* field' = field + (k'-1)*jump, jump' = jump*stride, k' = (k-1)*dilation + 1; at joins the largest
 * of the inputs. Along the height, for sequences along their length. */
static void set_field(lens_node *node) {
    int64_t field = 1, jump = 1;
    for (int i = 0; i < node->op.inputs; i++) {
        if (node->input[i]->field > field) field = node->input[i]->field;
        if (node->input[i]->jump > jump) jump = node->input[i]->jump;
    }
    const op_window *window = &node->op.window;
    bool flat = node->op.inputs && node->op.in[0].rank == 3;
    int kernel = flat ? window->kw : window->kh, dilation = flat ? window->dw : window->dh;
    node->field = clamp_int(field + (int64_t)(kernel - 1) * dilation * jump);
    node->jump = clamp_int(jump * (flat ? window->sw : window->sh));
}

/* Names every parameter, and places the trainable ones, then the others. */
static lens_status place_parameters(lens_net *net) {
    int params = 0;
    for (int i = 0; i < net->nodes; i++) params += net->node[i]->op.params;
    if (params && !(net->param = ctx_alloc(net->ctx, (size_t)params, sizeof *net->param)))
        return LENS_NOMEM;
    for (int i = 0; i < net->nodes; i++) {
        lens_node *node = net->node[i];
        node->first_param = net->params;
        for (int slot = 0; slot < node->op.params; slot++) {
            net_param *param = &net->param[net->params];
            param->node = node;
            param->slot = slot;
            param->name = ctx_printf(net->ctx, "%s.%s", node->op.name, node->op.param[slot].suffix);
            if (!param->name) return LENS_NOMEM;
            net->params++;
        }
    }
    size_t at = 0;
    for (int trainable = 1; trainable >= 0; trainable--) {
        for (int i = 0; i < net->params; i++) {
            const op_param *op = net_param_op(&net->param[i]);
            if (op->trainable != (trainable == 1)) continue;
            net->param[i].offset = at;
            at += (op->count + NET_ALIGN_FLOATS - 1) / NET_ALIGN_FLOATS * NET_ALIGN_FLOATS;
            if (at > NET_MAX_WEIGHTS)
                return ctx_fail(net->ctx, LENS_BAD_SHAPE,
                                "net %s: with %s it has more than the %d numbers a net may have",
                                net->name, net->param[i].name, NET_MAX_WEIGHTS);
        }
        if (trainable) net->trainable_floats = at;
    }
    net->weight_floats = at;
    return LENS_OK;
}

static lens_status check_graph(lens_net *net, lens_node *output) {
    if (net->finished)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s is already finished", net->name);
    if (net->error != LENS_OK) return ctx_fail(net->ctx, net->error, "%s", net->why);
    if (!net->input) return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s has no input", net->name);
    if (!output)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s: no output node is given", net->name);
    if (output->net != net)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s: the output %s belongs to net %s",
                        net->name, output->op.name, output->net->name);

    /* `field` serves as the mark "something reads this" until set_field fills it. */
    for (int i = 0; i < net->nodes; i++)
        net->node[i]->field = net->node[i] == output || net->node[i]->op.kind->flags & OP_OUTPUT;
    for (int i = 0; i < net->nodes; i++)
        for (int k = 0; k < net->node[i]->op.inputs; k++) net->node[i]->input[k]->field = 1;
    for (int i = 0; i < net->nodes; i++)
        if (!net->node[i]->field)
            return ctx_fail(net->ctx, LENS_BAD_ARG,
                            "%s: no node reads it, and the output of net %s is %s",
                            net->node[i]->op.name, net->name, output->op.name);
    if (output->index != net->nodes - 1)
        return ctx_fail(net->ctx, LENS_BAD_ARG,
                        "%s: it is the output of net %s, but %s comes after it", output->op.name,
                        net->name, net->node[net->nodes - 1]->op.name);
    const lens_output_opts *opts = output->op.opts;
    if (output->op.kind->flags & OP_OUTPUT && opts->training)
        return ctx_fail(net->ctx, LENS_BAD_ARG,
                        "%s: the main output of net %s cannot be for training alone",
                        output->op.name, net->name);
    return LENS_OK;
}

/* Readers come after what they read, so one walk from the end knows them all. */
static void mark_training(lens_net *net) {
    for (int i = 0; i < net->nodes; i++) net->node[i]->training = true;
    for (int i = net->nodes - 1; i >= 0; i--) {
        lens_node *node = net->node[i];
        const lens_output_opts *opts = node->op.opts;
        if (node == net->output || (net_is_output(node) && !opts->training)) node->training = false;
        if (node->training) continue;
        for (int k = 0; k < node->op.inputs; k++) node->input[k]->training = false;
    }
}

lens_status net_check(lens_net *net, lens_node *output) {
    LENS_TRY(check_graph(net, output));
    for (int i = 0; i < net->nodes; i++) set_field(net->node[i]);
    lens_status status = place_parameters(net);
    if (status != LENS_OK) return net_fail(net, status);
    net->output = output;
    mark_training(net);
    return LENS_OK;
}

lens_status net_allocate(lens_net *net) {
    /* Slack: kernels may read a vector past the last parameter. */
    net->weights = ctx_alloc(net->ctx, net->weight_floats + LENS_SLACK, sizeof *net->weights);
    if (!net->weights) return net_fail(net, LENS_NOMEM);
    for (int i = 0; i < net->params; i++) {
        const net_param *param = &net->param[i];
        const op_param *op = net_param_op(param);
        float *value = net->weights + param->offset;
        if (!op->trainable && param->node->op.kind->fixed)
            param->node->op.kind->fixed(&param->node->op, param->slot, value);
        else if (op->start != 0) /* the rest is 0 already, in memory that is not touched yet */
            for (size_t k = 0; k < op->count; k++) value[k] = op->start;
    }
    net->version = 1;
    net->finished = true;
    return LENS_OK;
}

lens_status lens_net_finish(lens_net *net, lens_node *output) {
    LENS_TRY(net_check(net, output));
    return net_allocate(net);
}

/* ---- Asking --------------------------------------------------------------------------------- */

const char *lens_net_name(const lens_net *net) { return net->name; }
int lens_net_nodes(const lens_net *net) { return net->nodes; }
lens_node *lens_net_output(const lens_net *net) { return net->output; }
lens_node *lens_net_input(const lens_net *net) { return net->input; }

int lens_net_outputs(const lens_net *net) {
    int count = 0;
    for (int i = 0; i < net->nodes; i++) count += net_is_output(net->node[i]);
    return count;
}

lens_node *lens_net_output_at(const lens_net *net, int index) {
    if (index <= 0) return index ? NULL : net->output;
    for (int i = 0; i < net->nodes; i++)
        if (net->node[i] != net->output && net_is_output(net->node[i]) && !--index)
            return net->node[i];
    return NULL;
}

int lens_net_params(const lens_net *net) { return net->finished ? net->params : 0; }

void lens_net_touched(lens_net *net) {
    for (int i = 0; i < lens_net_params(net); i++) {
        const net_param *param = &net->param[i];
        const op_node *op = &param->node->op;
        if (op->kind->constrain) op->kind->constrain(op, param->slot, net->weights + param->offset);
    }
    net->version++;
}

lens_node *lens_net_node(const lens_net *net, int index) {
    return index >= 0 && index < net->nodes ? net->node[index] : NULL;
}

lens_node *lens_node_input(const lens_node *node, int i) {
    return i >= 0 && i < node->op.inputs ? node->input[i] : NULL;
}

static int64_t node_parameters(const lens_node *node) {
    int64_t count = 0;
    for (int p = 0; p < node->op.params; p++) count += node->op.param[p].parameters;
    return count;
}

void lens_node_info_get(const lens_node *node, lens_node_info *info) {
    *info = (lens_node_info){
        .name = node->op.name,
        .kind = node->op.kind->name,
        .rank = node->op.out.rank,
        .c = node->op.out.c,
        .h = node->op.out.h,
        .w = node->op.out.w,
        .parameters = node_parameters(node),
        .macs = node->op.macs,
        .connections = node->op.connections,
        .field = node->field,
        .jump = node->jump,
        .inputs = node->op.inputs,
        .frozen = node->frozen,
        .training = node->training,
    };
    memcpy(info->label, node->op.label, sizeof info->label);
}

int64_t lens_net_parameters(const lens_net *net) {
    int64_t count = 0;
    for (int i = 0; i < net->nodes; i++)
        if (!net->node[i]->training) count += node_parameters(net->node[i]);
    return count;
}

int64_t lens_net_macs(const lens_net *net) {
    int64_t count = 0;
    for (int i = 0; i < net->nodes; i++)
        if (!net->node[i]->training) count += net->node[i]->op.macs;
    return count;
}

lens_status lens_net_param(const lens_net *net, int index, lens_param *out) {
    if (index < 0 || index >= lens_net_params(net))
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s: parameter %d does not exist, it has %d",
                        net->name, index, lens_net_params(net));
    const net_param *param = &net->param[index];
    const op_param *op = net_param_op(param);
    *out = (lens_param){
        .name = param->name,
        .value = { .data = net->weights + param->offset, .rank = op->rank },
        .trainable = op->trainable,
        .frozen = param->node->frozen,
        .node = param->node,
        .fan_in = op->fan_in,
        .fan_out = op->fan_out,
        .start = op->start,
    };
    memcpy(out->value.dim, op->dim, sizeof out->value.dim);
    return LENS_OK;
}

lens_status lens_net_param_named(const lens_net *net, const char *name, lens_param *out) {
    for (int i = 0; i < lens_net_params(net); i++)
        if (!strcmp(net->param[i].name, name)) return lens_net_param(net, i, out);
    return ctx_fail(net->ctx, LENS_NOT_FOUND, "net %s has no parameter '%.100s'", net->name, name);
}

void lens_node_freeze(lens_node *node, bool frozen) {
    if (node->frozen == frozen) return;
    node->frozen = frozen;
    node->net->freezes++;
    node->net->version++;
}
