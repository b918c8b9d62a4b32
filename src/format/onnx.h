/* onnx.h - ONNX model files, to and from a plain description.
 *
 * An ONNX file is one protobuf message, ModelProto; the field numbers stand in onnx_wire.h. Weights stay
 * where they are in the mapped file: a description holds names, shapes and pointers.
 *
 * Invariant: in a description that was read, every list is counted, every string ends with 0, and a
 * tensor has exactly the elements its shape asks for, inside the file (or the file beside it). Which
 * operators exist and what they mean is for the reader of the description.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_ONNX_H
#define FORMAT_ONNX_H

#include "base/base.h"
#include "format/safetensors.h"

/* Caps on what is counted in a file. They bound the memory of a description to some 100 MB beyond
 * its strings, whatever the file says. */
enum {
    ONNX_MAX_RANK = ST_MAX_RANK,
    ONNX_MAX_NODES = 100000, /* DenseNet-264 has about 1,000 */
    ONNX_MAX_TENSORS = 100000,
    ONNX_MAX_VALUES = 4096,   /* inputs or outputs of the graph */
    ONNX_MAX_LIST = 65536,    /* inputs, outputs or attributes of a node; numbers in an attribute */
    ONNX_MAX_ITEMS = 2000000, /* all such lists together */
    ONNX_MAX_FILES = 4096,    /* of external data */
};

/* The format's numbers of element types that are read. */
enum { ONNX_F32 = 1, ONNX_I32 = 6, ONNX_I64 = 7 };

typedef struct onnx_tensor {
    const char *name; /* "": none */
    int type;         /* the format's number */
    st_dtype dtype;
    int rank;
    int64_t dim[ONNX_MAX_RANK];
    int64_t count;       /* product of dim */
    const void *raw;     /* elements, little-endian and unaligned; NULL: in the typed field */
    const uint8_t *body; /* the message itself, for the typed field */
    size_t body_size;
} onnx_tensor;

/* The format's numbers. */
typedef enum onnx_attr_type {
    ONNX_FLOAT = 1,
    ONNX_INT = 2,
    ONNX_STRING = 3,
    ONNX_TENSOR = 4,
    ONNX_FLOATS = 6,
    ONNX_INTS = 7,
} onnx_attr_type; /* any other number: the value was skipped */

typedef struct onnx_attr {
    const char *name;
    int type; /* onnx_attr_type */
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    const float *floats;
    int count; /* of ints or floats */
    const onnx_tensor *t;
} onnx_attr;

typedef struct onnx_node {
    const char *op, *domain, *name; /* "" where absent */
    const char *const *input, *const *output;
    const onnx_attr *attr;
    int inputs, outputs, attrs;
} onnx_node;

typedef struct onnx_value {
    const char *name;
    int type;                        /* of its elements; 0: not a tensor, or not said */
    int rank;                        /* -1: not said */
    int64_t dim[ONNX_MAX_RANK];      /* -1: free */
    const char *axis[ONNX_MAX_RANK]; /* name of a free dimension, or NULL */
} onnx_value;

typedef struct onnx_model {
    int64_t ir, opset; /* opset of the domain "" */
    const char *producer, *producer_version, *graph;
    const onnx_node *node;
    const onnx_tensor *tensor; /* the initializers */
    const onnx_value *input, *output;
    const st_pair *meta;
    int nodes, tensors, inputs, outputs, metas;
} onnx_model;

typedef struct onnx_file onnx_file;

/* Whether the first bytes of a file may begin a ModelProto (the format has no signature). */
bool onnx_looks(const uint8_t *bytes, size_t size);

/* Maps the file and reads its description. External data must be a regular file beside the model, with
 * one name, reached through no link, and hold the range.
 * LENS_IO; LENS_BAD_FILE: with byte or tensor, both sides; LENS_UNSUPPORTED: element types without
 * numbers, ranks above ONNX_MAX_RANK, sparse initializers; LENS_NOMEM. A file that another program
 * cuts short while it is open makes the operating system end the process on access. */
lens_status onnx_open(lens_ctx *, onnx_file **out, const char *path);

/* From memory, which must stay until onnx_close. External data is refused. */
lens_status onnx_parse(lens_ctx *, onnx_file **out, const void *bytes, size_t size,
                       const char *name);
const onnx_model *onnx_description(const onnx_file *);
void onnx_close(onnx_file *); /* NULL is fine */

/* One TensorProto alone, as in a file of test data. Close as above; it is tensor[0]. */
lens_status onnx_parse_tensor(lens_ctx *, onnx_file **out, const void *bytes, size_t size,
                              const char *name);

/* All elements, converted; out has room for t->count. onnx_ints: not of a real type. */
void onnx_floats(const onnx_tensor *t, float *out);
void onnx_ints(const onnx_tensor *t, int64_t *out);
bool onnx_is_real(const onnx_tensor *t); /* float16 to float64 */

/* The attribute, or NULL. */
const onnx_attr *onnx_attribute(const onnx_node *, const char *name);

/* Writes the file; tensors need `raw`. The old file stays until the new one is complete.
 * LENS_UNSUPPORTED: 2 GiB or more, which a protobuf message cannot hold; LENS_IO; LENS_NOMEM. */
lens_status onnx_write(lens_ctx *, const char *path, const onnx_model *);

#endif
