/* onnx_import.h - what the files share that make a net of an ONNX graph.
 *
 * A value of the graph is a node of the net, or a constant. Constants that exporters compute (shapes,
 * mostly) are worked out while loading; the number of samples is the mark BATCH among them.
 *
 * Reading order: onnx.c (the walk, and the table of operators) - onnx_value.c (values, attributes, names) -
 * onnx_layers.c (operators that become layers) - onnx_shapes.c (operators on shapes and constants).
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
    MOST_COPIES = 4,          /* of one tensor, on average, in the weights of the net */
    ALWAYS_WEIGHTS = 1 << 20, /* floats; vectors are padded to 64 bytes */
    MAX_VALUES = 1 << 18,     /* names in a graph; DenseNet-264 has about 4,000 */
};

typedef struct value {
    const char *name;
    lens_node *node;           /* or */
    const onnx_tensor *tensor; /* a constant in the file, under another shape if reshaped; or */
    int64_t *ints;             /* a constant computed here, FOLD_MAX numbers */
    /* of a constant */
    int rank;
    int64_t dim[ONNX_MAX_RANK];
    bool turned; /* tensor, but rank 2 with rows and columns exchanged */
    int pads
        [4]; /* of a node: zeros around it that the next convolution adds: top, left, bottom, right */
    bool padded;
    float scale; /* of a node, not 0: a factor that only a scaled tanh can take up */
    int readers; /* nodes that read it */
    int reader;  /* the last of them */
} value;

/* The numbers of the constants computed here, freed together. */
typedef struct folded {
    struct folded *next;
    int64_t ints[FOLD_MAX];
} folded;

typedef struct import import;
typedef lens_status convert_fn(import *, const onnx_node *);

typedef struct row {
    onnx_row about;
    convert_fn *convert;
} row;

/* How a parameter gets its numbers after the net is allocated: value[i] = scale * tensor[...]. */
typedef struct fill {
    lens_node *node;
    int slot;
    const onnx_tensor *tensor; /* NULL: zeros */
    bool turned;               /* exchange rows (dim 0 of the parameter) and columns */
    float scale;
} fill;

struct import {
    lens_ctx *ctx;
    const char *where;
    const onnx_model *model;
    lens_net *net;
    value *value; /* hash table by name */
    size_t slots;
    int64_t batch; /* the file's fixed number of samples, or -1 */
    bool *needed;  /* per node of the graph */
    const row **row;
    int *skip; /* nodes already taken into another one */
    fill *fill;
    int fills, fill_room;
    folded *folded;
};

/* ---- Messages and values: onnx_value.c ------------------------------------------------------- */

/* "model.onnx: Conv 'conv1' (opset 13): " before a formatted text. */
#define REFUSE(m, n, status, ...) im_refuse(m, n, ctx_fail((m)->ctx, status, __VA_ARGS__))

lens_status im_refuse(const import *m, const onnx_node *n, lens_status status);
value *im_slot(const import *m, const char *name);
value *im_find(const import *m, const char *name);
lens_status im_new_value(import *m, const char *name, value **out);
bool im_has_input(const onnx_node *n, int i);
value *im_input(const import *m, const onnx_node *n, int i);
value *im_output(const import *m, const onnx_node *n);
bool im_is_constant(const value *v);
int64_t im_count(const value *v);
lens_status im_node_input(import *m, const onnx_node *n, int i, lens_node **x, int pads[4]);
lens_status im_ints(import *m, const onnx_node *n, const value *v, int64_t *out, int *count);
lens_status im_new_ints(import *m, const onnx_node *n, value **y);
lens_status im_float(import *m, const onnx_node *n, const value *v, float *out);
int64_t im_attr_int(const onnx_node *n, const char *name, int64_t usual);
float im_attr_float(const onnx_node *n, const char *name, float usual);
bool im_attr_is(const onnx_node *n, const char *name, const char *word);
lens_status im_attr_sizes(import *m, const onnx_node *n, const char *name, int count, int usual,
                          int *out);
int im_axis(int64_t axis, int rank);
lens_status im_axes(import *m, const onnx_node *n, int i, int rank, int *axis, int *count);
const char *im_choose_name(const import *m, const char *from, size_t length, char *buf);
const char *im_name(const import *m, const onnx_node *n, const value *weight, char *buf);
lens_status im_give(import *m, const onnx_node *n, lens_node *y);
lens_status im_fill(import *m, const onnx_node *n, lens_node *node, int slot, const value *v,
                    bool turned, float scale);

/* ---- Operators ------------------------------------------------------------------------------ */

convert_fn convert_act, convert_add, convert_batchnorm, convert_cast, convert_concat,
    convert_constant, convert_conv, convert_conv_transpose, convert_dropout, convert_flatten,
    convert_gather, convert_gemm, convert_global, convert_lrn, convert_matmul, convert_mean,
    convert_mul, convert_pad, convert_pool, convert_reshape, convert_same, convert_shape,
    convert_slice, convert_softmax, convert_squeeze, convert_tanh, convert_transpose,
    convert_unsqueeze, fold_arithmetic;

#endif
