/* plan.c - who shares which memory, and for how long.
 *
 * Time runs through one training step: forward of node i at time i, backward at 2*nodes-1-i. Every
 * buffer is in use over [first, last]; two buffers may overlap in memory only if their times do not.
 *
 *     time      0      1      2      3   |   4      5      6      7
 *     does    input  conv    relu  dense | d dense d relu d conv    -
 *     value 0 |======================================|             conv's backward reads its input
 *     value 1        |==============|====|======|                  relu in place of conv
 *     grad  1                             |===========|            the same for gradients
 *
 * What a cheap operator computed is not kept for backward where its inputs are: the buffer is free for
 * others from its last reader in forward to its first in backward, and then filled again.
 *
 * A session that is watched shares nothing and frees nothing; the algorithms stay the same, and so do
 * the bits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- Placement ------------------------------------------------------------------------------ */

/* Whether a is in use at some time from first to last. */
static bool used(const plan_buffer *a, int first, int last) {
    return a->first <= last && first <= a->last &&
           !(a->resume && first > a->pause && last < a->resume);
}

static bool meet(const plan_buffer *a, const plan_buffer *b) {
    if (!b->resume) return used(a, b->first, b->last);
    return used(a, b->first, b->pause) || used(a, b->resume, b->last);
}

static int larger_first(const void *left, const void *right) {
    const plan_buffer *a = *(plan_buffer *const *)left, *b = *(plan_buffer *const *)right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return a < b ? -1 : a > b;
}

static int longer_first(const void *left, const void *right) {
    const plan_buffer *a = *(plan_buffer *const *)left, *b = *(plan_buffer *const *)right;
    int a_lives = a->last - a->first, b_lives = b->last - b->first;
    return a_lives != b_lives ? b_lives - a_lives : larger_first(left, right);
}

static size_t place(plan_buffer *buffer, int count, plan_buffer **work,
                    int (*before)(const void *, const void *)) {
    plan_buffer **order = work, **placed = work + count; /* placed: by offset */
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t rounded;
        if (!add_size(buffer[i].bytes, NET_ALIGN - 1, &rounded)) return SIZE_MAX;
        buffer[i].bytes = rounded / NET_ALIGN * NET_ALIGN;
        if (!add_size(total, buffer[i].bytes, &total)) return SIZE_MAX;
        order[i] = &buffer[i];
    }
    /* The sum of all sizes fits, so no offset below can overflow. */
    qsort(order, (size_t)count, sizeof *order, before);
    size_t needed = 0;
    for (int i = 0; i < count; i++) {
        plan_buffer *b = order[i];
        size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
        for (int k = 0; k < i; k++) {
            const plan_buffer *p = placed[k];
            if (!meet(p, b)) continue;
            if (p->offset > end && p->offset - end >= b->bytes && p->offset - end < best_gap) {
                best = end;
                best_gap = p->offset - end;
            }
            if (p->offset + p->bytes > end) end = p->offset + p->bytes;
        }
        b->offset = best == SIZE_MAX ? end : best;
        if (b->offset + b->bytes > needed) needed = b->offset + b->bytes;
        int at = i;
        for (; at > 0 && placed[at - 1]->offset > b->offset; at--) placed[at] = placed[at - 1];
        placed[at] = b;
    }
    return needed;
}

/* Neither order is the better one for every net: GoogLeNet's inference of 16 takes 11 % more than what
 * lives at a time with the larger buffers first, ResNet-18's 8 % with the longer-lived (2026-11-21). */
size_t plan_place(plan_buffer *buffer, int count, plan_buffer **work) {
    size_t larger = place(buffer, count, work, larger_first),
           longer = place(buffer, count, work, longer_first);
    return larger < longer ? place(buffer, count, work, larger_first) : longer;
}

/* ---- Building the plan ---------------------------------------------------------------------- */

typedef struct planner {
    memory_plan *plan;
    const lens_net *net;
    lens_ctx *ctx;
    const lens_session_opts *opts;
    int end;       /* after the last backward */
    int *reader;   /* consumers of node i, ascending: reader[first[i]] .. reader[first[i+1]-1] */
    int *first;    /* one per input slot, so a node that reads x twice stands there twice */
    int *owner;    /* the node that value buffer i was made for */
    int *next;     /* from the owner on: the next node in the same value buffer, or NONE */
    bool overflow; /* a size did not fit into size_t */
} planner;

static bool has(const planner *p, int node, unsigned flag) {
    return (p->net->node[node]->op.kind->flags & flag) != 0;
}

/* Whether backward of `node` will run and reads what `flag` says. */
static bool reads_back(const planner *p, int node, unsigned flag) {
    return p->opts->train && p->plan->node[node].path && has(p, node, flag) &&
           !plan_backs(p->plan, node);
}

/* What serves training alone has no value in an inference session. */
static bool runs(const planner *p, int node) {
    return p->opts->train || !p->net->node[node]->training;
}

static int readers(const planner *p, int node) { return p->first[node + 1] - p->first[node]; }

static int backward_time(const planner *p, int node) { return 2 * p->net->nodes - 1 - node; }
static int backward_begins(const planner *p) { return backward_time(p, p->net->nodes - 1); }

static int new_buffer(planner *p, size_t bytes, int first, int last) {
    if (!bytes) return PLAN_NONE;
    p->plan->buffer[p->plan->buffers] =
        (plan_buffer){ .bytes = bytes, .first = first, .last = last, .in = PLAN_NONE };
    return p->plan->buffers++;
}

static void extend(planner *p, int buffer, int time) {
    if (buffer != PLAN_NONE && p->plan->buffer[buffer].last < time)
        p->plan->buffer[buffer].last = time;
}

/* A node's value or gradient for the whole batch, with slack. */
static int new_activation(planner *p, int node, int first) {
    size_t bytes = 0;
    bool fits = mul_size(shape_count(p->net->node[node]->op.out), (size_t)p->opts->batch, &bytes) &&
                add_size(bytes, LENS_SLACK, &bytes) && mul_size(bytes, sizeof(float), &bytes);
    if (!fits) p->overflow = true;
    int buffer = new_buffer(p, bytes, first, p->opts->watch ? p->end : first);
    if (buffer != PLAN_NONE) p->plan->buffer[buffer].node = node;
    return buffer;
}

static void find_readers(planner *p) {
    const lens_net *net = p->net;
    for (int i = 0; i < net->nodes; i++)
        for (int k = 0; runs(p, i) && k < net->node[i]->op.inputs; k++)
            p->first[net->node[i]->input[k]->index + 1]++;
    for (int i = 0; i < net->nodes; i++) p->first[i + 1] += p->first[i];
    /* Filling moves each first[i] to the end of its list, which is where first[i+1] belongs. */
    for (int i = 0; i < net->nodes; i++)
        for (int k = 0; runs(p, i) && k < net->node[i]->op.inputs; k++)
            p->reader[p->first[net->node[i]->input[k]->index]++] = i;
    for (int i = net->nodes; i > 0; i--) p->first[i] = p->first[i - 1];
    p->first[0] = 0;
}

/* Freezing is left out on purpose: a session must stay right when a node thaws. */
static void find_paths(planner *p) {
    for (int i = 0; i < p->net->nodes; i++) {
        const lens_node *node = p->net->node[i];
        bool path = node == p->net->input && p->opts->input_grad;
        for (int k = 0; k < node->op.params; k++) path |= node->op.param[k].trainable;
        for (int k = 0; k < node->op.inputs; k++) path |= p->plan->node[node->input[k]->index].path;
        p->plan->node[i].path = path && p->opts->train;
    }
}

/* Whether node i may overwrite the memory of its first input: everyone else who reads it, under any
 * name, has read it before i runs, and no backward reads it. */
static bool may_overwrite(const planner *p, int i) {
    const lens_node *node = p->net->node[i];
    int source = node->input[0]->index, buffer = p->plan->node[source].value;
    if (p->opts->watch || buffer == p->plan->node[p->net->input->index].value) return false;
    if (shape_count(node->op.out) != shape_count(node->op.in[0])) return false;
    if (reads_back(p, i, OP_NEEDS_X)) return false;
    for (int member = p->owner[source]; member != PLAN_NONE; member = p->next[member]) {
        if (reads_back(p, member, OP_NEEDS_Y) || has(p, member, OP_OUTPUT)) return false;
        for (int r = p->first[member]; r < p->first[member + 1]; r++) {
            int reader = p->reader[r];
            if (reader == i) continue;
            if (reader > i || reads_back(p, reader, OP_NEEDS_X)) return false;
        }
    }
    return true;
}

/* i's value lies in the memory of the value of `source`, one of its inputs. */
static void share_value(planner *p, int i, int source) {
    p->plan->node[i].value = p->plan->node[source].value;
    p->owner[i] = p->owner[source];
    int last = source;
    while (p->next[last] != PLAN_NONE) last = p->next[last];
    p->next[last] = i;
}

/* Fusion: the node that computes a value also does what follows it, where it can and nobody else wants
 * the value in between.
 *
 *     conv - batchnorm - add - relu          conv's weights are scaled, the sum and relu are applied
 *                       other /              to numbers still in registers or cache
 *     batchnorm - relu - conv                relu(scale*x + shift) as conv copies its input
 *
 * A training step folds and skips nothing that backward needs: batch norm takes the sum and relu behind it. It
 * knows from its input where a relu right behind it was 0, and does the relu's backward with its own. So does a
 * convolution that reads what a relu wrote, or the maxima of that: its own input is 0 there. */

/* The node that does `node`'s work, if it can go on with work of this kind for one that follows. */
static int head_for(const planner *p, int node, unsigned flag) {
    int head = p->plan->node[node].head;
    return !p->opts->watch && has(p, head, flag) && readers(p, node) == 1 ? head : PLAN_NONE;
}

static void follow(planner *p, int i, int head, int source) {
    p->plan->node[i].head = head;
    p->plan->node[i].forward = PLAN_SKIP;
    share_value(p, i, source);
}

static bool fuse_act(planner *p, int i) {
    const op_node *op = &p->net->node[i]->op;
    if (!has(p, i, OP_IS_ACT)) return false;
    int source = p->net->node[i]->input[0]->index, head = head_for(p, source, OP_FUSES_ACT);
    if (head == PLAN_NONE || p->plan->node[head].act != ACT_NONE ||
        reads_back(p, source, OP_NEEDS_Y) || reads_back(p, i, OP_NEEDS_X))
        return false;
    plan_node *node = &p->plan->node[head];
    node->act = op_act(op, &node->slope);
    node->act_back = p->opts->train && source == head && has(p, head, OP_FUSES_BACK) &&
                     (node->act == ACT_RELU || node->act == ACT_LEAKY);
    if (node->act_back) p->plan->node[i].back = head;
    follow(p, i, head, source);
    return true;
}

static bool fuse_norm(planner *p, int i) {
    if (p->opts->train || !p->net->node[i]->op.kind->affine) return false;
    int source = p->net->node[i]->input[0]->index, head = head_for(p, source, OP_FUSES_NORM);
    if (head == PLAN_NONE) return false;
    plan_node *node = &p->plan->node[head];
    if (node->norm != PLAN_NONE || node->addend != PLAN_NONE || node->act != ACT_NONE) return false;
    node->norm = i;
    follow(p, i, head, source);
    return true;
}

/* Of the two inputs the one that is computed later adds the other. */
static bool fuse_sum(planner *p, int i) {
    if (!has(p, i, OP_IS_SUM)) return false;
    for (int k = 0; k < 2; k++) {
        int source = p->net->node[i]->input[k]->index, other = p->net->node[i]->input[!k]->index;
        int head =
            head_for(p, source, p->opts->train ? OP_FUSES_SUM : OP_FUSES_SUM | OP_FUSES_NORM);
        if (head == PLAN_NONE || p->plan->node[other].head >= head) continue;
        plan_node *node = &p->plan->node[head];
        if (node->addend != PLAN_NONE || node->act != ACT_NONE) continue;
        node->addend = other;
        follow(p, i, head, source);
        return true;
    }
    return false;
}

/* A normalisation, with or without an activation, that one node reads which takes it on its way in. */
static bool fuse_before(planner *p, int i) {
    const lens_net *net = p->net;
    if (p->opts->train || p->opts->watch || !net->node[i]->op.kind->affine) return false;
    int source = net->node[i]->input[0]->index, last = i, reader = PLAN_NONE;
    act_kind act = ACT_NONE;
    float slope = 0;
    for (; readers(p, last) == 1; last = reader) {
        reader = p->reader[p->first[last]];
        if (act != ACT_NONE || !has(p, reader, OP_IS_ACT)) break;
        act = op_act(&net->node[reader]->op, &slope);
    }
    if (readers(p, last) != 1 || !has(p, reader, OP_FUSES_NORM) ||
        !net->node[reader]->op.kind->takes_before(&net->node[reader]->op, p->plan->node[reader].by))
        return false;
    plan_node *node = &p->plan->node[reader];
    node->before = i, node->before_act = act, node->before_slope = slope;
    follow(p, i, reader, source);
    if (last != i) follow(p, last, reader, i);
    return true;
}

/* Whether gradients of node i come from one reader alone and go into memory of their own. */
static bool one_gradient(const planner *p, int i) {
    return readers(p, i) == 1 && !net_is_output(p->net->node[i]);
}

/* A relu whose result one node reads, or has the maxima of it: above 0 is what was above 0 before. */
static void fuse_mask(planner *p, int i) {
    const lens_node *node = p->net->node[i];
    float slope;
    if (!p->opts->train || p->opts->watch || plan_backs(p->plan, i) || !has(p, i, OP_IS_ACT) ||
        op_act(&node->op, &slope) != ACT_RELU || !one_gradient(p, node->input[0]->index))
        return;
    int reader = i;
    do {
        if (!one_gradient(p, reader)) return;
        reader = p->reader[p->first[reader]];
    } while (has(p, reader, OP_SELECTS));
    const op_node *op = &p->net->node[reader]->op;
    if (!op->kind->masks || !op->kind->masks(op, p->plan->node[reader].by)) return;
    p->plan->node[reader].masks = true;
    p->plan->node[i].back = reader;
}

/* Whether another node writes over what `node` has computed. */
static bool overwritten(const planner *p, int node) {
    for (int i = p->next[node]; i != PLAN_NONE; i = p->next[i])
        if (p->plan->node[i].forward == PLAN_RUN) return true;
    return false;
}

/* Lets a value rest between forward and backward, if all who wrote it can write it again from inputs
 * that stay. Values of earlier nodes come first, so of a chain of sums every second one rests. */
static void rest(planner *p, int owner) {
    plan_buffer *buffer = p->plan->buffer, *value = &buffer[p->plan->node[owner].value];
    int pause = 0, resume = INT_MAX;
    for (int i = owner; i != PLAN_NONE; i = p->next[i]) {
        const lens_node *node = p->net->node[i];
        if (!has(p, i, OP_AGAIN | OP_ALIAS) || net_is_output(node)) return;
        for (int k = 0; k < node->op.inputs; k++) {
            int source = node->input[k]->index;
            const plan_buffer *x = &buffer[p->plan->node[source].value];
            if (x == value) continue;
            if (x->resume || x->last < value->last || p->owner[source] > owner ||
                overwritten(p, source))
                return;
        }
        if (reads_back(p, i, OP_NEEDS_Y)) resume = imin(resume, backward_time(p, i));
        pause = imax(pause, i);
        for (int r = p->first[i]; r < p->first[i + 1]; r++) {
            pause = imax(pause, p->reader[r]);
            if (reads_back(p, p->reader[r], OP_NEEDS_X))
                resume = imin(resume, backward_time(p, p->reader[r]));
        }
    }
    if (resume <= value->last) value->pause = pause, value->resume = resume;
}

static bool honours(const planner *p, int node, unsigned gaps) {
    return has(p, node, p->opts->train ? gaps : gaps | OP_RUN_GAPS);
}

/* Whether the value of input k of concatenation i may lie in that of i, with gaps between its samples: those who
 * write and read it, forward and backward, leave them out. Backward of i comes first, so that others add their
 * gradients to what lies in that of i.
 *
 *     a ---- concat ---- concat ---- batchnorm        the second concat's samples hold the first's: of a
 *              b' |-- batchnorm -- conv -'            block of DenseNet there is one value, one gradient */
static bool may_lie_in(const planner *p, int i, int k) {
    const memory_plan *plan = p->plan;
    int source = p->net->node[i]->input[k]->index, owner = p->owner[source], reads = 0;
    int value = plan->node[source].value;
    if (!honours(p, owner, OP_Y_GAPS) || plan->buffer[value].in != PLAN_NONE || overwritten(p, i))
        return false;
    if (!p->opts->train && plan->node[owner].addend != PLAN_NONE) return false;
    for (int m = owner; m != PLAN_NONE; m = p->next[m]) {
        bool merged = p->opts->train ? plan_backs(plan, m) : plan->node[m].head != m;
        if (net_is_output(p->net->node[m]) || (m != owner && !merged)) return false;
        for (int r = p->first[m]; r < p->first[m + 1]; r++) {
            int reader = p->reader[r];
            if (reader == i)
                reads++;
            else if (plan->node[reader].value != value &&
                     (reader > i || !honours(p, reader, OP_X_GAPS)))
                return false;
        }
    }
    return reads == 1;
}

static void join(planner *p, int i) {
    const op_node *op = &p->net->node[i]->op;
    size_t at = 0;
    bool all = true;
    for (int k = 0; k < op->inputs; at += shape_count(op->in[k++])) {
        if (!may_lie_in(p, i, k)) {
            all = false;
            continue;
        }
        plan_buffer *part = &p->plan->buffer[p->plan->node[p->net->node[i]->input[k]->index].value];
        part->in = p->plan->node[i].value;
        part->at = at;
    }
    if (all && !p->opts->train) p->plan->node[i].forward = PLAN_SKIP;
}

static void plan_values(planner *p) {
    const lens_net *net = p->net;
    for (int i = 0; i < net->nodes; i++) {
        plan_node *node = &p->plan->node[i];
        if (node->head != i) continue; /* fused with what reads it */
        if (!runs(p, i)) {
            node->forward = PLAN_SKIP;
        } else if (!net->node[i]->op.inputs) {
            node->forward = PLAN_SKIP;
            node->value = new_activation(p, i, 0);
        } else if (has(p, i, OP_ALIAS)) {
            assert(shape_count(net->node[i]->op.out) == shape_count(net->node[i]->op.in[0]));
            node->forward = p->opts->watch ? PLAN_COPY : PLAN_SKIP;
            if (p->opts->watch)
                node->value = new_activation(p, i, i);
            else
                share_value(p, i, net->node[i]->input[0]->index);
        } else if (fuse_act(p, i) || fuse_norm(p, i) || fuse_sum(p, i) || fuse_before(p, i)) {
            continue;
        } else if (has(p, i, OP_INPLACE) && may_overwrite(p, i)) {
            share_value(p, i, net->node[i]->input[0]->index);
        } else {
            node->value = new_activation(p, i, i);
        }
    }
    for (int i = 0; i < net->nodes; i++) fuse_mask(p, i);
    for (int i = 0; i < net->nodes; i++) {
        int value = p->plan->node[i].value;
        if (!runs(p, i)) continue;
        bool back = reads_back(p, i, OP_NEEDS_Y);
        extend(p, value, i);
        if (back) extend(p, value, backward_time(p, i));
        for (int r = p->first[i]; r < p->first[i + 1]; r++) {
            bool reader_back = reads_back(p, p->reader[r], OP_NEEDS_X);
            extend(p, value, reader_back ? backward_time(p, p->reader[r]) : p->reader[r]);
            back |= reader_back;
        }
        p->plan->buffer[value].read_back |= back;
        /* The caller reads outputs between forward and backward, and may hand them back as dy. */
        if (net_is_output(net->node[i])) extend(p, value, backward_begins(p));
    }
    for (int i = 0; !p->opts->watch && i < net->nodes; i++)
        if (has(p, i, OP_JOINS) && runs(p, i)) join(p, i);
    for (int i = 0; p->opts->train && !p->opts->watch && i < net->nodes; i++)
        if (p->owner[i] == i && p->plan->buffer[p->plan->node[i].value].in == PLAN_NONE) rest(p, i);
}

/* Whether the gradient of input k of i may lie where that of i does: nobody reads it under one name after
 * it was changed under another.
 *
 *     b --+-- ... -- a --+-- i      of a sum's two inputs the later one, a, has done its backward, which leaves
 *         '--------------'          its gradient as it is, before anyone else adds to that of b */
static bool may_pass_on(const planner *p, int i, int k) {
    const lens_node *node = p->net->node[i];
    if (p->opts->watch || shape_count(node->op.out) != shape_count(node->op.in[k])) return false;
    if (!has(p, i, OP_IS_SUM)) return k == 0 && has(p, i, OP_ALIAS | OP_INPLACE);
    int a = node->input[k]->index, b = node->input[!k]->index;
    if (p->plan->node[b].grad != p->plan->node[i].grad) return true;
    if (a < b) a = b, b = node->input[k]->index;
    if (a == b || readers(p, a) > 1 || has(p, a, OP_ALIAS | OP_INPLACE | OP_JOINS)) return false;
    for (int r = p->first[b]; r < p->first[b + 1]; r++)
        if (p->reader[r] >= a && p->reader[r] != i) return false;
    return true;
}

/* In the order of backward: the first consumer that comes writes a gradient, later ones add. Those of
 * the outputs are written before, by the caller. */
static void plan_gradients(planner *p) {
    const lens_net *net = p->net;
    for (int i = 0; i < net->nodes; i++)
        if (net_is_output(net->node[i]) && p->plan->node[i].path)
            p->plan->node[i].grad = new_activation(p, i, backward_begins(p));
    for (int i = net->nodes - 1; i >= 0; i--) {
        plan_node *node = &p->plan->node[i];
        if (!node->path) continue;
        int time = backward_time(p, i);
        extend(p, node->grad, time);
        for (int k = 0; k < net->node[i]->op.inputs; k++) {
            int source = net->node[i]->input[k]->index;
            plan_node *x = &p->plan->node[source];
            if (!x->path) continue;
            if (x->grad != PLAN_NONE) {
                node->edge[k].adds = true;
                if (!has(p, i, OP_ALIAS | OP_IS_SUM) && !(k == 0 && has(p, i, OP_ADDS)))
                    node->edge[k].temp = new_activation(p, source, time);
            } else if (may_pass_on(p, i, k)) {
                x->grad = node->grad;
            } else {
                x->grad = new_activation(p, source, time);
                const plan_buffer *value = &p->plan->buffer[x->value];
                if (has(p, i, OP_JOINS) && value->in == node->value) {
                    p->plan->buffer[x->grad].in = node->grad;
                    p->plan->buffer[x->grad].at = value->at;
                }
            }
        }
    }
    if (p->opts->input_grad) extend(p, p->plan->node[net->input->index].grad, p->end);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static void plan_work(planner *p) {
    const lens_net *net = p->net;
    const struct kern *kern = ctx_kern(p->ctx);
    int threads = lens_ctx_threads(p->ctx);
    size_t thread_scratch = 0;
    for (int i = 0; i < net->nodes; i++) {
        const op_node *op = &net->node[i]->op;
        op_plan work = { .before = p->plan->node[i].before != PLAN_NONE,
                         .by = p->plan->node[i].by };
        if (op->kind->plan && runs(p, i))
            op->kind->plan(op, kern, threads, p->opts->batch, p->opts->train, &work);
        if (p->opts->train)
            p->plan->node[i].saved = new_buffer(p, work.saved, i, backward_time(p, i));
        p->plan->node[i].cache =
            p->plan->lean ? new_buffer(p, work.cache, i, i) : new_buffer(p, work.cache, 0, p->end);
        int value = p->plan->node[i].value, scratch = new_buffer(p, work.scratch, i, i);
        p->plan->node[i].scratch = scratch;
        if (scratch != PLAN_NONE && p->plan->buffer[value].resume) {
            p->plan->buffer[scratch].pause = i;
            p->plan->buffer[scratch].resume = p->plan->buffer[value].resume;
            extend(p, scratch, p->plan->buffer[value].last);
        }
        if (p->opts->train) {
            int time = backward_time(p, i);
            p->plan->node[i].scratch_back = new_buffer(p, work.scratch, time, time);
        }
        thread_scratch = larger(thread_scratch, work.thread_scratch);
    }
    /* Two cache lines: the second is prefetched along with the first, so threads keep clear of it. */
    enum { STRIDE = 2 * NET_ALIGN };
    size_t stride = 0, all = 0;
    if (!add_size(thread_scratch, STRIDE - 1, &stride) ||
        !mul_size(stride / STRIDE * STRIDE, (size_t)threads, &all))
        p->overflow = true;
    p->plan->thread_stride = stride / STRIDE * STRIDE;
    p->plan->thread_scratch = new_buffer(p, all, 0, p->end);
    if (p->opts->train)
        p->plan->gradients = new_buffer(p, net->trainable_floats * sizeof(float), 0, p->end);
}

/* A buffer that lies in another takes no memory of its own; the outermost one is there for as long. */
static plan_buffer *whole_of(const planner *p, const plan_buffer *part, size_t *at) {
    for (*at = 0; part->in != PLAN_NONE; part = &p->plan->buffer[part->in]) *at += part->at;
    return &p->plan->buffer[part - p->plan->buffer];
}

static size_t sample_of(const planner *p, const plan_buffer *b) {
    return shape_count(p->net->node[b->node]->op.out);
}

static void join_times(planner *p) {
    for (int i = 0; i < p->plan->buffers; i++) {
        plan_buffer *part = &p->plan->buffer[i];
        size_t at;
        plan_buffer *whole = whole_of(p, part, &at);
        if (whole == part) continue;
        whole->first = imin(whole->first, part->first);
        whole->last = imax(whole->last, part->last);
        whole->read_back |= part->read_back;
        part->gap = sample_of(p, whole) - sample_of(p, part);
        part->bytes = 0;
    }
}

static void join_places(planner *p) {
    for (int i = 0; i < p->plan->buffers; i++) {
        size_t at, offset = whole_of(p, &p->plan->buffer[i], &at)->offset;
        p->plan->buffer[i].offset = offset + at * sizeof(float);
    }
}

lens_status plan_make(memory_plan *plan, const lens_net *net, lens_ctx *ctx,
                      const lens_session_opts *opts, bool lean) {
    size_t nodes = (size_t)net->nodes, edges = 0;
    for (int i = 0; i < net->nodes; i++) edges += (size_t)net->node[i]->op.inputs;
    planner p = { .plan = plan, .net = net, .ctx = ctx, .opts = opts, .end = 2 * net->nodes };
    lens_status status = LENS_NOMEM;
    plan_buffer **work = NULL;
    *plan = (memory_plan){ .thread_scratch = PLAN_NONE, .gradients = PLAN_NONE, .lean = lean };

    /* Of each node value, gradient, saved, cache and scratch, twice; of each edge a temporary; two for all. */
    size_t most = 6 * nodes + edges + 2;
    plan->node = ctx_alloc(ctx, nodes, sizeof *plan->node);
    plan->edge = ctx_alloc(ctx, edges + 1, sizeof *plan->edge);
    plan->buffer = ctx_alloc(ctx, most, sizeof *plan->buffer);
    p.reader = ctx_alloc(ctx, edges + 1, sizeof *p.reader);
    p.first = ctx_alloc(ctx, nodes + 1, sizeof *p.first);
    p.next = ctx_alloc(ctx, nodes, sizeof *p.next);
    p.owner = ctx_alloc(ctx, nodes, sizeof *p.owner);
    work = ctx_alloc(ctx, 2 * most, sizeof *work);
    if (!plan->node || !plan->edge || !plan->buffer || !p.reader || !p.first || !p.next ||
        !p.owner || !work)
        goto done;

    plan_edge *edge = plan->edge;
    for (size_t i = 0; i < edges; i++) edge[i].temp = PLAN_NONE;
    for (int i = 0; i < net->nodes; i++) {
        plan->node[i].head = plan->node[i].back = p.owner[i] = i;
        plan->node[i].norm = plan->node[i].before = plan->node[i].addend = p.next[i] = PLAN_NONE;
        plan->node[i].value = plan->node[i].grad = PLAN_NONE;
        plan->node[i].saved = plan->node[i].cache = PLAN_NONE;
        plan->node[i].scratch = plan->node[i].scratch_back = PLAN_NONE;
        plan->node[i].edge = edge;
        edge += net->node[i]->op.inputs;
    }
    status = tune_choose(net, ctx, opts, plan->node);
    if (status != LENS_OK) goto done;
    find_readers(&p);
    find_paths(&p);
    plan_values(&p);
    plan_gradients(&p);
    plan_work(&p);
    join_times(&p);
    plan->bytes = p.overflow ? SIZE_MAX : plan_place(plan->buffer, plan->buffers, work);
    join_places(&p);
    status = LENS_OK;
    if (plan->bytes == SIZE_MAX) status = ctx_nomem(ctx, SIZE_MAX, "the arena of a session");
done:
    ctx_free(ctx, p.reader);
    ctx_free(ctx, p.first);
    ctx_free(ctx, p.next);
    ctx_free(ctx, p.owner);
    ctx_free(ctx, work);
    return status;
}

void plan_free(lens_ctx *ctx, memory_plan *plan) {
    ctx_free(ctx, plan->node);
    ctx_free(ctx, plan->edge);
    ctx_free(ctx, plan->buffer);
}
