/* op.h - what an operator is: one file per operator, one row in ops.c.
 *
 * An operator file keeps one order: options -> infer -> plan -> forward -> backward -> the op_kind.
 * It knows shapes, parameters and kernels; it knows neither graphs nor instruction sets. All data is
 * packed NCHW float32. Semantics are those of include/lenslet/net.h.
 *
 * Same bits for any thread count: split work with pool_run by shape alone (by image, plane or tile),
 * never by thread; where a sum must be split, split it by shape and add in fixed order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_OP_H
#define OP_OP_H

#include "base/base.h"
#include "base/pool.h"
#include "base/rng.h"
#include "kern/kern.h"
#include <lenslet/net.h>

/* Per sample; rank counts the batch dimension: 2 (N,c) with h = w = 1, 3 (N,c,w) with h = 1, 4. */
typedef struct shape {
    int rank, c, h, w;
} shape;

static inline size_t shape_count(shape s) { return (size_t)s.c * (size_t)s.h * (size_t)s.w; }

enum { OP_MAX_PARAMS = 4, OP_MAX_DIM = 1 << 24 };

typedef struct op_param {
    const char *suffix; /* "weight" */
    int rank;
    int64_t dim[4];
    size_t count; /* product of dim */
    int64_t
        parameters; /* trainable numbers: count, less what a connection table leaves out; 0 if not trainable */
    bool trainable;
    int fan_in, fan_out; /* 0 for vectors */
    float start;         /* initial value of vectors */
} op_param;

/* How windows move over the input, for receptive fields; all 1 and 0 for point-wise operators. A
 * dense layer's window is its whole input. */
typedef struct op_window {
    int kh, kw, sh, sw, dh, dw, pt, pl;
} op_window;

typedef struct op_kind op_kind;

/* A node as its operator sees it. infer fills everything below `in`. */
typedef struct op_node {
    lens_ctx *ctx; /* for messages: ctx_fail(ctx, status, "%s: ...", name, ...) */
    const op_kind *kind;
    const char *name;
    void *opts; /* the operator's option struct, owned by the net; strings in it too */
    int inputs;
    const shape *in;

    shape out;
    int params;
    op_param param[OP_MAX_PARAMS];
    int64_t macs, connections;
    op_window window;
    char label[48];
} op_node;

typedef enum op_pass { OP_FORWARD, OP_INPUT_GRAD, OP_WEIGHT_GRAD, OP_PASSES } op_pass;

/* How a pass is computed where there is a choice; OP_ESTIMATED: as the operator's estimate of costs says,
 * which depends on nothing but the node. */
typedef enum op_algorithm {
    OP_ESTIMATED,
    OP_DIRECT,
    OP_WINOGRAD2, /* F(2x2, 3x3) */
    OP_WINOGRAD4, /* F(4x4, 3x3), F(4x4, 5x5) */
    OP_ALGORITHMS
} op_algorithm;
extern const char *const op_algorithm_name[OP_ALGORITHMS]; /* "direct" */

typedef struct op_choice {
    op_algorithm of[OP_PASSES];
} op_choice;

/* What a node needs in a session, in bytes; all zeroed before plan. */
typedef struct op_plan {
    bool before;           /* given: the input will come through op_run.before */
    op_choice by;          /* given */
    size_t saved;          /* from forward to backward of the same step (training only) */
    size_t cache;          /* lives with the session: packed weights, offset tables */
    size_t scratch;        /* during one forward or backward; shared with others' activations */
    size_t thread_scratch; /* the same, for each thread */
} op_plan;

/* A node that maps channel c of its input to act(scale[c]*x + shift[c]) in inference, done by another
 * node for it: see op_kind.affine. */
typedef struct op_norm {
    const op_node *node;
    float *const *param;
    act_kind act;
    float slope;
} op_norm;

/* One execution. Pointers are 64-byte aligned; every activation has LENS_SLACK floats behind it. */
typedef struct op_run {
    const op_node *node;
    const struct kern *kern;
    pool *pool;
    int n;       /* samples now, 1 <= n <= batch */
    int batch;   /* samples planned for */
    bool train;  /* dropout draws, batch norm uses the batch; backward will follow */
    bool repack; /* weights changed since this session last ran this pass (forward, backward) of the
                     node: rebuild what it keeps in `cache`, zeros at first unless every pass repacks */
    /* Forward of OP_AGAIN kinds, before backward: write the y of this step once more, from x, param and saved;
     * change nothing else. */
    bool again;
    bool frozen; /* no parameter gradients; batch norm and dropout behave as in inference */
    /* Forward of OP_FUSES_ACT kinds: apply this to the result. */
    act_kind act;
    float slope;
    bool act_back; /* backward of OP_FUSES_BACK kinds: dy belongs to the result of act */
    /* Backward, if op_kind.masks allows it: x[0] came from a relu, and dx[0] is wanted of what that read. */
    bool masks;
    bool adds; /* backward of OP_ADDS kinds: add to dx[0] instead of overwriting it */
    /* Forward of OP_FUSES_SUM kinds, and of OP_FUSES_NORM kinds outside training: added to the result,
     * before act; shaped like y. */
    const float *addend; /* NULL: nothing */
    /* Forward of OP_FUSES_NORM kinds, outside training: what other nodes would have done, in this
     * order: x[0] passes through `before` on its way in; then the operator's own work; its result goes
     * through `norm`, has `addend` added, and meets `act`. */
    op_norm before, norm; /* node NULL: nothing */
    op_choice by;         /* as planned */
    uint64_t seed;        /* dropout */
    uint32_t step;
    uint32_t serial; /* the node's number in the net: dropout layers differ by it */

    const float *const *x; /* inputs, per node->inputs */
    float *y;              /* output; in backward: its value, if kind has OP_NEEDS_Y */
    float *const *param;   /* per node->params */

    const float *dy;      /* backward: gradient of y */
    float *const *dx;     /* backward: overwrite dx[i] in full, but see `adds`; NULL = not wanted */
    float *const *dparam; /* backward: overwrite; NULL = not wanted (frozen or not trainable) */

    /* Floats between the end of a sample and the next one: of x[0] and dx[0], where the kind has
     * OP_X_GAPS, of y and dy, where it has OP_Y_GAPS; see OP_RUN_GAPS. Everything else is packed. */
    size_t x_gap, y_gap;

    void *saved, *cache, *scratch;
    void *thread_scratch; /* pool_threads areas, see op_scratch */
    size_t thread_stride;
} op_run;

static inline void *op_scratch(const op_run *r, int thread) {
    return (char *)r->thread_scratch + (size_t)thread * r->thread_stride;
}

enum {
    OP_ALIAS = 1 << 0,     /* output is the input's memory, reshaped: no forward, no backward */
    OP_INPLACE = 1 << 1,   /* y may be x[0], and dx[0] may be dy */
    OP_FUSES_ACT = 1 << 2, /* forward honours act and slope (any act_kind) */
    OP_FUSES_NORM =
        1 << 3,            /* forward honours norm, addend and, if takes_before allows it, before */
    OP_FUSES_SUM = 1 << 4, /* forward honours addend, in training too */
    OP_FUSES_BACK = 1 << 5, /* backward honours act_back (ACT_RELU and ACT_LEAKY) */
    OP_ADDS = 1 << 6,       /* backward honours adds */
    OP_NEEDS_X = 1 << 7,    /* backward reads x */
    OP_NEEDS_Y = 1 << 8,    /* backward reads y */
    OP_X_GAPS = 1 << 9,     /* honours x_gap */
    OP_Y_GAPS = 1 << 10,    /* honours y_gap */
    OP_RUN_GAPS = 1 << 17,  /* honours both outside training, y_gap if there is no addend */
    OP_AGAIN = 1 << 11,   /* forward is cheap and honours again: y need not be kept for backward */
    OP_IS_ACT = 1 << 12,  /* an activation: op_act says which */
    OP_IS_SUM = 1 << 13,  /* y = x[0] + x[1]: no backward, dy goes to both */
    OP_SELECTS = 1 << 14, /* each y is one of x[0], and its dy goes to that alone */
    /* y = the samples of all x[i] one after the other; forward leaves those out that lie there, backward the
     * dx[i] that lie in dy. */
    OP_JOINS = 1 << 15,
    OP_OUTPUT = 1 << 16, /* the caller reads y after the whole net ran; opts: lens_output_opts */
};

/* One option for text, help and defaults. The field lies at `offset` of the option struct. */
typedef enum op_type {
    OP_INT,    /* int */
    OP_SIZE,   /* lens_size: "5" or "5x3" */
    OP_PADS,   /* int pad, pads[4] one after the other: "2", "2x1" (h x w) or "t,l,b,r" */
    OP_BOOL,   /* bool: "true"/"false" or the bare key */
    OP_FLOAT,  /* float */
    OP_MODE,   /* lens_mode: "valid", "same", "full" */
    OP_STRING, /* const char * */
    OP_SHAPE,  /* int c, h, w one after the other: "1x28x28" */
} op_type;

typedef struct op_option {
    const char *key;
    op_type type;
    size_t offset;
    const char *what; /* "feature maps; required" */
} op_option;

struct op_kind {
    const char *name;    /* as in net text: "conv2d" */
    const char *formula; /* one line */
    unsigned flags;
    int min_inputs, max_inputs; /* max -1: any number */
    size_t opts_size;           /* 0: no options */
    const op_option *options;   /* ends with key NULL; NULL if none */

    /* Checks options and input shapes, fills in defaults (so later code reads final numbers) and the node.
     * Failure: ctx_fail with "%s: ", node->name first and both sides. */
    lens_status (*infer)(op_node *);
    void (*plan)(const op_node *, const struct kern *, int threads, int batch, bool train,
                 op_plan *);          /* NULL: nothing */
    void (*forward)(const op_run *);  /* NULL only for OP_ALIAS and inputs */
    void (*backward)(const op_run *); /* NULL only for OP_ALIAS, OP_IS_SUM and inputs */
    act_kind act;                     /* OP_IS_ACT */
    /* In inference y = scale[c]*x + shift[c] for each channel: writes both (c floats). NULL: it is not. */
    void (*affine)(const op_node *, float *const *param, float *scale, float *shift);
    /* OP_FUSES_NORM: whether reading x[0] through `before` costs this node less than another pass. */
    bool (*takes_before)(const op_node *, op_choice);
    /* Whether backward honours `masks`, in less than another pass. NULL: no. */
    bool (*masks)(const op_node *, op_choice);
    /* Values of a non-trainable parameter after lens_net_finish (fixed codes); NULL: `start`. */
    void (*fixed)(const op_node *, int param, float *value);
    /* Puts a parameter back on what the operator allows (absent connections to 0) after an initialiser,
     * a file or a user wrote it. Idempotent; gradients respect it by themselves. NULL: all allowed. */
    void (*constrain)(const op_node *, int param, float *value);
    /* What computes a pass when `wanted` is asked for: that, where it can and may; else the estimate's or
     * the direct way. Never OP_ESTIMATED. NULL: there is no choice. */
    op_algorithm (*algorithm)(const op_node *, op_pass, op_algorithm wanted);
};

/* All operators; ends with NULL. op_find: by name, NULL if none. */
extern const op_kind *const op_kinds[];
const op_kind *op_find(const char *name);

/* The one size function (inventory D13): floor((in + before + after - k')/stride) + 1, k' = (k-1)*dilation+1; with
 * ceil the last window may overhang but must start inside the input or the leading padding. Returns
 * 0 if the kernel does not fit. */
int op_out_size(int in, int kernel, int stride, int dilation, int before, int after, bool ceil);

/* What an OP_IS_ACT node applies; the slope is 0 where the activation has none. */
act_kind op_act(const op_node *, float *slope);

/* Shared checks and words. */
lens_size op_size(lens_size given, int fallback); /* {5} -> 5x5, {0} -> fallback */
lens_status op_check_range(const op_node *, const char *key, int value, int low, int high);
void op_window_point(op_node *); /* 1x1 window */

#endif
