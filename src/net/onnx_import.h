/* onnx_import.h - what the files share that make a net of an ONNX graph.
 *
 * A value of the graph is a node of the net, or a constant. Constants that exporters compute (shapes,
 * mostly) are worked out while loading; the number of samples is the mark BATCH among them.
 *
 * Samples stay apart in a net. A graph that mixes them (transposes the first axis, sums over it ...) is
 * built a second time with all of its input as one sample.
 *
 * Reading order: onnx.c (the walk, and the table of operators) - onnx_value.c (values, attributes, names) -
 * onnx_layers.c (operators that become layers) - onnx_parts.c (expressions of general operators) -
 * onnx_math.c, onnx_norm.c (operators that become such expressions) - onnx_shapes.c, onnx_resize.c (what
 * moves numbers).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_ONNX_IMPORT_H
#define NET_ONNX_IMPORT_H

#include "net/onnx.h"

#include <stdint.h>

/* The number of samples, which is not known, among the numbers of a shape. */
#define BATCH INT64_MIN

enum {
    FOLD_MAX = 64,            /* numbers of a shape computation; ranks are below 9 */
    LIST_MAX = 1 << 16,       /* places that a Gather may name, or a Resize make along an axis */
    MATRIX_MAX = 1 << 22,     /* weights of a Resize along an axis: 1448 cells doubled */
    MOST_COPIES = 4,          /* of one tensor, on average, in the weights of the net */
    ALWAYS_WEIGHTS = 1 << 20, /* floats; vectors are padded to 64 bytes */
    MAX_VALUES = 1 << 18,     /* names in a graph; DenseNet-264 has about 4,000 */
};

typedef struct value {
    const char *name;
    lens_node *node;           /* or */
    const onnx_tensor *tensor; /* a constant in the file, under another shape if reshaped; or */
    double *numbers;           /* a constant computed here, */
    bool whole;                /* of whole numbers (truths among them) */
    bool turned;               /* tensor, but rank 2 with rows and columns exchanged */
    /* Of a node: dim[0] is the batch (the file's number of samples, or BATCH), unless `whole` of the
     * import: then all are dimensions of one sample. The node itself has the same numbers in the same
     * order, under any shape. */
    int rank;
    int64_t dim[ONNX_MAX_RANK];
    int pads[4]; /* zeros that the next layer adds: top, left, bottom, right; not in dim */
    bool padded;
    lens_node *made; /* the parameter that a constant became */
    bool wanted;     /* leads to an output */
    int readers;     /* nodes that read it */
    int reader;      /* the last of them */
} value;

/* The numbers of the constants computed here, freed together. */
typedef struct kept_numbers {
    struct kept_numbers *next;
    double numbers[];
} kept_numbers;

typedef struct import import;
typedef lens_status convert_fn(import *, const onnx_node *);

/* How a parameter gets its numbers after the net is allocated: value[i] = scale * tensor[...]. */
typedef struct fill {
    lens_node *node;
    int slot;
    const onnx_tensor *tensor; /* NULL: zeros */
    const double *numbers;     /* or these */
    int64_t columns;           /* not 0: the tensor lies with rows and columns exchanged */
    float scale;
} fill;

struct import {
    lens_ctx *ctx;
    const char *where;
    const onnx_model *model;
    lens_net *net;
    value *value; /* hash table by name */
    size_t slots;
    bool whole;    /* the graph mixes samples: all of its input is one sample of the net */
    int64_t batch; /* the file's fixed number of samples, or BATCH */
    bool *needed;  /* per node of the graph */
    const struct converter **row;
    int *skip; /* nodes already taken into another one */
    fill *fill;
    int fills, fill_room;
    kept_numbers *kept;
};

/* ---- Messages and values: onnx_value.c ------------------------------------------------------- */

/* "model.onnx: Conv 'conv1' (opset 13): " before a formatted text. */
#define REFUSE(m, n, status, ...) im_refuse(m, n, ctx_fail((m)->ctx, status, __VA_ARGS__))

lens_status im_refuse(const import *, const onnx_node *, lens_status);

value *im_slot(const import *, const char *name);
value *im_find(const import *, const char *name); /* NULL: none */
lens_status im_new_value(import *, const char *name, value **);
bool im_has_input(const onnx_node *, int i);
/* NULL: left out, or nothing that a converter gave. */
value *im_input(const import *, const onnx_node *, int i);
value *im_output(const import *, const onnx_node *);
/* Whether output i is there and leads to an output of the graph: what does not must not be built. */
bool im_wants(const import *, const onnx_node *, int i);
bool im_is_constant(const value *);
int64_t im_count(const value *);

/* The input as a layer takes it: (N,F), (N,C,L) or (N,C,H,W). Padding that is still to be added is
 * refused unless `pads` takes it. */
lens_status im_node_input(import *, const onnx_node *, int i, lens_node **x, int pads[4]);
/* The same, with what lies behind the channels as one axis where the rank is above 4. */
lens_status im_channels_input(import *, const onnx_node *, int i, lens_node **x);
/* The rank of input i. LENS_BAD_FILE: it is missing. */
lens_status im_rank(import *, const onnx_node *, int i, int *rank);
/* An axis of the graph as one of a sample; *status: outside, or the samples. */
int im_sample_axis(import *, const onnx_node *, int64_t axis, int rank, lens_status *status);
/* At most FOLD_MAX constant numbers. */
lens_status im_numbers(import *, const onnx_node *, const value *, double *out, int *count);
/* The same of whole numbers. */
lens_status im_ints(import *, const onnx_node *, const value *, int64_t *out, int *count);
/* One real constant. */
lens_status im_float(import *, const onnx_node *, const value *, float *out);
/* Makes output i a constant with room for `count` numbers; its shape is for the caller. */
lens_status im_new_numbers(import *, const onnx_node *, int i, size_t count, bool whole, value **y);
double *im_keep(import *,
                size_t count); /* zeros that live as long as the import; NULL: no memory */

int64_t im_attr_int(const onnx_node *, const char *name, int64_t usual);
float im_attr_float(const onnx_node *, const char *name, float usual);
bool im_attr_is(const onnx_node *, const char *name, const char *word);
/* Exactly `count` numbers 0..OP_MAX_DIM, or all `usual` if the attribute is absent. */
lens_status im_attr_sizes(import *, const onnx_node *, const char *name, int count, int usual,
                          int *out);
/* Whole numbers as an attribute or, where that is absent, as input i. *count = -1: neither. */
lens_status im_list(import *, const onnx_node *, const char *name, int i, int64_t *out, int *count);
/* An axis, counted from the end if negative; -1: outside. */
int im_axis(int64_t axis, int rank);
/* Axes as an attribute or as input i. None given: *count = 0. */
lens_status im_axes(import *, const onnx_node *, int i, int rank, int *axis, int *count);

const char *im_choose_name(const import *, const char *from, size_t length, char *buf);
/* After the weight "conv1.weight", so that parameters keep their names, or after output 0. */
const char *im_name(const import *, const onnx_node *, const value *weight, char *buf);

/* Output 0 is the node, with its shape (NULL: the builder's message stands). */
lens_status im_give(import *, const onnx_node *, lens_node *);
/* Output 0 is the node, with the shape of input 0. */
lens_status im_give_like(import *, const onnx_node *, lens_node *);
/* Output 0 is input 0. */
lens_status im_same(import *, const onnx_node *);
/* The constant becomes the parameter; `turned`: the file has it with rows and columns exchanged.
 * NULL: zeros. The element counts must agree, and shapes unless the parameter is a vector. */
lens_status im_fill(import *, const onnx_node *, lens_node *, int slot, const value *, bool turned,
                    float scale);
lens_status im_add_fill(import *, fill);

/* ---- Expressions of nodes: onnx_parts.c ------------------------------------------------------ */

/* A node with the shape that one sample of it has here. A failure leaves node NULL and its message in
 * the net, as with builders; what is made of such a part fails, too. */
typedef struct part {
    lens_node *node;
    int rank;
    int64_t dim[ONNX_MAX_RANK];
} part;

/* Input i, to be combined with something of rank `rank` (of the graph); a constant becomes a parameter.
 * LENS_UNSUPPORTED: it would mix samples. */
lens_status im_part(import *, const onnx_node *, int i, int rank, part *);
/* A constant as a parameter, under its shape. */
part im_constant(import *, value *);
/* Output i is the part. */
lens_status im_give_part(import *, const onnx_node *, int i, part);
/* Constant numbers of our own, under a shape; they must live as long as the import. */
part part_fixed(import *, const double *numbers, int rank, const int64_t *dim);

/* The same numbers under another shape. */
part part_shaped(part, int rank, const int64_t *dim);
/* The node under exactly this shape. */
lens_node *part_node(part, shape);
/* (N,C,H,W), (N,C,W) or (N,C) for up to three dimensions, else the first ones folded into C. */
shape part_shape(part);

part part_unary(part, const char *fn, double alpha, double beta, const char *name);
part part_binary(const char *fn, part a, part b, const char *name);
/* Over the axes whose bits are set; they keep size 1. */
part part_reduce(const char *fn, part, unsigned axes, const char *name);
part part_matmul(part a, part b, const char *name);
part part_concat(part *, int count, int axis, const char *name);
part part_softmax(part, int axis, const char *name);
part part_expand(part, int rank, const int64_t *dim);

/* An index map, as rearrange has it, axis by axis. */
typedef struct index_map {
    lens_ctx *ctx;
    int rank;
    int64_t in[ONNX_MAX_RANK], out[ONNX_MAX_RANK];
    int order[ONNX_MAX_RANK];
    char *index[ONNX_MAX_RANK]; /* NULL: the whole axis */
    double value;
    bool failed; /* out of memory */
} index_map;

index_map map_of(lens_ctx *, int rank, const int64_t *dim);
/* One more run of places on axis `d` of the output; first -1: the value. */
void map_run(index_map *, int d, int64_t first, int64_t count, int64_t step);
void map_places(index_map *, int d, const int64_t *place, size_t count);
void map_free(index_map *);
part part_moved(part, const index_map *, const char *name);
/* Output i is the moved input 0, node or constant. Frees the map. */
lens_status im_give_moved(import *, const onnx_node *, int i, index_map *);

/* ---- Operators ------------------------------------------------------------------------------ */

convert_fn convert_act, convert_argument, convert_batchnorm, convert_binary, convert_cast,
    convert_clip, convert_concat, convert_constant, convert_constant_of_shape, convert_conv,
    convert_conv_transpose, convert_depth_to_space, convert_dropout, convert_expand,
    convert_flatten, convert_gather, convert_gemm, convert_global, convert_group_norm,
    convert_hardmax, convert_instance_norm, convert_layer_norm, convert_logical,
    convert_log_softmax, convert_lp_norm, convert_lrn, convert_matmul, convert_mean_variance,
    convert_nary, convert_pad, convert_pool, convert_range, convert_reduce, convert_reshape,
    convert_resize, convert_shape, convert_slice, convert_softmax, convert_split, convert_squeeze,
    convert_tile, convert_transpose, convert_unary, convert_unsqueeze, convert_where, im_same;

#endif
