/* onnx_wire.h - the wire format of protobuf, and what the files that read ONNX share.
 *
 * A message is a row of fields, each a tag (number*8 + wire type) and a value: 0 varint, 1 eight
 * bytes, 2 length and bytes, 5 four bytes.
 *
 * Invariant: a cursor never leaves its message; a length is compared with what is left before it is
 * used.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_ONNX_WIRE_H
#define FORMAT_ONNX_WIRE_H

#include "format/onnx.h"

/* ---- Fields: onnx_wire.c -------------------------------------------------------------------- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

typedef struct wire_field {
    uint32_t number;
    int wire;
    uint64_t value; /* varint, or the bits of 4 or 8 bytes */
    cursor body;    /* WIRE_BYTES */
} wire_field;

bool wire_varint(cursor *c, uint64_t *out);
uint64_t wire_little(const uint8_t *p, size_t size);

/* The next field; false at the end and on damage, which leaves at < end or at beyond repair: then
 * c->at is NULL. */
bool wire_next(cursor *c, wire_field *f);

/* How often a number occurs. */
size_t wire_count(cursor c, uint32_t number);

/* Elements of a repeated number, packed or not: calls `each` (may be NULL) in order. False: damaged. */
typedef void element_fn(void *to, size_t index, uint64_t bits);
bool wire_each(cursor c, uint32_t number, int wire, element_fn *each, void *to, size_t *count);

/* ---- Numbers of the fields ------------------------------------------------------------------ */

enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { MODEL_META = 14 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { PAIR_KEY = 1, PAIR_VALUE = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { GRAPH_SPARSE = 15 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTR = 5 };
enum { NODE_DOMAIN = 7 };
enum { ATTR_NAME = 1, ATTR_F = 2, ATTR_I = 3, ATTR_S = 4, ATTR_T = 5, ATTR_FLOATS = 7 };
enum { ATTR_INTS = 8, ATTR_TYPE = 20 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEM = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };
enum { T_DIMS = 1, T_TYPE = 2, T_F32 = 4, T_I32 = 5, T_I64 = 7, T_NAME = 8, T_RAW = 9, T_F64 = 10 };
enum { T_U64 = 11, T_EXTERNAL = 13, T_LOCATION = 14 };
enum { LOCATION_EXTERNAL = 1 };

/* ---- A file that is being read: onnx.c ------------------------------------------------------- */

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
} chunk; /* `size` bytes follow */

typedef struct external {
    const char *name;
    void *map;
    size_t size;
} external;

struct onnx_file {
    lens_ctx *ctx;
    const char *name; /* for messages */
    const char *path; /* NULL: in memory */
    void *map;        /* NULL: not ours */
    size_t map_size;
    const uint8_t *begin; /* of the whole message, to name bytes */
    chunk *chunks;
    size_t items; /* of all lists so far */
    external *external;
    int externals;
    onnx_model model;
};

/* Zeroed, freed with the file; `align` is a power of 2 up to 16. */
void *onnx_keep(onnx_file *f, size_t count, size_t size, size_t align);

/* Room for a list whose length the file decides, one element more than `count`. */
lens_status onnx_list(onnx_file *f, const char *what, size_t count, size_t most, size_t size,
                      void *out);

/* LENS_BAD_FILE with the byte. */
lens_status onnx_bad(const onnx_file *f, cursor where, const char *what);
/* After the loop over a message: LENS_BAD_FILE unless its cursor came to the end. */
lens_status onnx_whole(const onnx_file *f, cursor message, cursor c, const char *what);
lens_status onnx_text(onnx_file *f, const wire_field *field, const char **out);
lens_status onnx_pair(onnx_file *f, cursor message, st_pair *pair);

/* ---- External data: onnx_external.c ---------------------------------------------------------- */

/* Points the tensor of `bytes` bytes to the file beside the model that its message names. */
lens_status onnx_external(onnx_file *f, cursor message, onnx_tensor *t, size_t bytes);

#endif
