/* net.h - the internal face of src/net: what a net, a node and a session are made of.
 *
 * Invariants: nodes stand in build order, which is a topological order, so every input of a node
 * comes before it. Once `finished`, all nodes lead to an output, the last node is the main one, and
 * shapes, options and addresses of weights never change again.
 *
 * Reading order: builder.c (a net grows) - finish.c (it is closed) - plan.c (who shares which memory)
 * - tune.c (algorithms by measurement) - session.c (running) - text.c and model.c (files).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_NET_H
#define NET_NET_H

#include "op/op.h"

enum {
    NET_MAX_NODES = 8192,  /* ResNet-1001 has about 3400 */
    NET_MAX_NAME = 200,    /* bytes of a node's name: printable ASCII but for space = , # " */
    NET_MAX_INPUTS = 1024, /* of one node */
    NET_MAX_WORDS = 256,   /* that travel with a model */
    NET_MAX_WEIGHTS = 0x7fffffff, /* floats of a net: 8 GiB; AlexNet has 6e7, VGG-16 1.4e8 */
    NET_ALIGN = 64,               /* bytes; a cache line and the widest vector */
    NET_ALIGN_FLOATS = NET_ALIGN / 4,
};

struct lens_node {
    op_node op; /* first: an op_node is a lens_node */
    lens_net *net;
    int index;
    lens_node **input; /* op.inputs of them */
    void *given;     /* the options as the builder got them, for the net text; strings in op.opts */
    int first_param; /* of op.params in net->param, after finish */
    int field, jump; /* receptive field and step, in input rows */
    bool frozen;
    bool training; /* serves outputs for training alone; after net_check */
};

typedef struct net_param {
    char *name;
    lens_node *node;
    int slot;      /* index in node->op.param */
    size_t offset; /* in floats from net->weights; below net->trainable_floats if trainable */
} net_param;

typedef struct net_word {
    char *key, *value;
} net_word;

struct lens_net {
    lens_ctx *ctx;
    char *name;
    lens_node **node;
    int nodes, node_room;
    int *names; /* hash table of names: node index or -1 */
    int name_slots;
    lens_node *input, *output;
    bool finished;

    lens_status error; /* the first error of a builder, LENS_OK if none */
    char why[512];

    net_param *param; /* state_dict order */
    int params;
    float *weights; /* trainable parameters first, both parts in state_dict order; each aligned */
    size_t weight_floats, trainable_floats;
    uint64_t version; /* counts changes of weights, of running statistics, and of freezing */
    uint64_t freezes; /* counts changes of freezing */

    net_word *word;
    int words;
};

/* Appends a node; NULL on failure, with the first error kept in the net. `opts` (the kind's struct,
 * or NULL for all defaults) is copied. A NULL input means an earlier failure: silently NULL. */
lens_node *net_add(lens_net *, const op_kind *, const char *name, const void *opts,
                   lens_node *const *input, int inputs);

/* Keeps `status` and the context's present message as the net's first error. Returns status. */
lens_status net_fail(lens_net *, lens_status status);

/* lens_net_finish in two steps, so that a loader can compare the parameters with a file before their
 * memory is allocated: check names the parameters and sets offsets, allocate closes the net. */
lens_status net_check(lens_net *, lens_node *output);
lens_status net_allocate(lens_net *);

/* Whether the caller reads this node: the main output, and nodes of the kind `output`. */
static inline bool net_is_output(const lens_node *node) {
    return node == node->net->output || node->op.kind->flags & OP_OUTPUT;
}

static inline const op_param *net_param_op(const net_param *p) {
    return &p->node->op.param[p->slot];
}

/* A net from text without its weights: net_check has been passed, net_allocate is still to come. */
lens_status net_parse(lens_ctx *, lens_net **out, const char *text, const char *where);

/* ---- plan.c ---- */

/* Where a buffer lies in the arena, and when it is in use: from first to last, but not after `pause` and
 * before `resume` if that is not 0. Times: forward of node i at i, backward at 2*nodes-1-i. */
typedef struct plan_buffer {
    size_t bytes, offset;
    int first, last;
    int pause, resume;
    int node; /* of a value or gradient: the first that writes it */
    int in;   /* the buffer whose samples hold this one's, `at` floats from their start, or NONE */
    size_t at, gap; /* gap: see op_run */
    bool read_back; /* a value that some backward reads */
} plan_buffer;

static inline bool plan_in_use(const plan_buffer *b, int time) {
    return b->first <= time && time <= b->last && (time <= b->pause || time >= b->resume);
}

enum { PLAN_NONE = -1 }; /* no such buffer */

/* What forward does at a node. */
typedef enum plan_forward {
    PLAN_RUN,  /* the operator's forward */
    PLAN_SKIP, /* nothing: input, alias, done by another node, its head, or not needed here */
    PLAN_COPY, /* an alias kept apart */
} plan_forward;

/* How the gradient for one input of a node gets where it belongs. */
typedef struct plan_edge {
    bool adds; /* another consumer wrote before: add to what is there */
    int temp; /* adds: the operator writes here first, unless it adds by itself or its dy is added */
} plan_edge;

typedef struct plan_node {
    plan_forward forward;
    int head;     /* the node that does this one's forward: itself, unless fused */
    op_choice by; /* algorithms of its passes */
    act_kind act; /* fused into this node */
    float slope;
    int back;                 /* the node that does this one's backward: itself, unless fused */
    bool act_back, masks;     /* as in op_run */
    int norm, before, addend; /* nodes that op_run's fields of these names come from, or NONE */
    act_kind before_act;
    float before_slope;
    int value, grad, saved, cache; /* buffers; nodes that share memory have the same one */
    int scratch, scratch_back;     /* during forward; during backward */
    plan_edge *edge;               /* one for each input */
    bool path; /* something trainable, or a wanted input gradient, lies upstream */
} plan_node;

typedef struct memory_plan {
    plan_node *node;
    plan_edge *edge; /* of all nodes */
    plan_buffer *buffer;
    int buffers;
    int thread_scratch, gradients; /* buffers */
    size_t thread_stride;
    size_t bytes; /* of the arena */
    bool lean;    /* what nodes keep in their caches stays for one forward pass alone */
} memory_plan;

/* Whether another node's backward does this one's. */
static inline bool plan_backs(const memory_plan *p, int node) { return p->node[node].back != node; }

/* `opts` with final numbers; lean: of inference, see memory_plan. Free the plan with plan_free, also after a failure. */
lens_status plan_make(memory_plan *, const lens_net *, lens_ctx *, const lens_session_opts *opts,
                      bool lean);
void plan_free(lens_ctx *, memory_plan *);

/* Places buffers so that two whose times overlap do not overlap in memory: the largest or the longest-lived
 * first, whichever needs less, each into the tightest gap. Returns the bytes needed, or SIZE_MAX if that
 * overflows. work: room for 2*count pointers. */
size_t plan_place(plan_buffer *, int count, plan_buffer **work);

/* ---- tune.c ---- */

/* Sets `by` of the nodes that have a choice by lens_ctx_opts.tune and .wisdom; the others, and all without
 * these, are left. LENS_NOMEM. */
lens_status tune_choose(const lens_net *, lens_ctx *, const lens_session_opts *opts, plan_node *);

#endif
