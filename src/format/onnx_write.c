/* onnx_write.c - a description becomes an ONNX file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/onnx_wire.h"

#include <string.h>

/* Where a message goes: bytes are counted, and written if there is a stream. The length of a nested
 * message comes before it, so each is passed over once to count. */
typedef struct sink {
    FILE *stream;
    uint64_t size;
} sink;

typedef void emit_fn(sink *, const void *);

static void put_bytes(sink *s, const void *bytes, size_t size) {
    if (s->stream && size) fwrite(bytes, 1, size, s->stream); /* errors surface at commit */
    s->size += size;
}

static void put_varint(sink *s, uint64_t value) {
    uint8_t bytes[10];
    size_t count = 0;
    do {
        bytes[count] = (uint8_t)(value & 127);
        value >>= 7;
        if (value) bytes[count] |= 128;
        count++;
    } while (value);
    put_bytes(s, bytes, count);
}

static void put_number(sink *s, uint32_t number, int64_t value) {
    put_varint(s, (uint64_t)number << 3 | WIRE_VARINT);
    put_varint(s, (uint64_t)value);
}

static void put_block(sink *s, uint32_t number, const void *bytes, size_t size) {
    put_varint(s, (uint64_t)number << 3 | WIRE_BYTES);
    put_varint(s, size);
    put_bytes(s, bytes, size);
}

static void put_text(sink *s, uint32_t number, const char *text) {
    put_block(s, number, text, strlen(text));
}

static void put_real(sink *s, uint32_t number, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(s, (uint64_t)number << 3 | WIRE_32);
    put_bytes(s,
              (uint8_t[]){ (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                           (uint8_t)(bits >> 24) },
              4);
}

static void put_message(sink *s, uint32_t number, emit_fn *emit, const void *what) {
    sink count = { 0 };
    emit(&count, what);
    put_varint(s, (uint64_t)number << 3 | WIRE_BYTES);
    put_varint(s, count.size);
    if (s->stream)
        emit(s, what);
    else
        s->size += count.size;
}

static void emit_tensor(sink *s, const void *what) {
    const onnx_tensor *t = what;
    for (int d = 0; d < t->rank; d++) put_number(s, T_DIMS, t->dim[d]);
    put_number(s, T_TYPE, t->type);
    put_text(s, T_NAME, t->name);
    put_block(s, T_RAW, t->raw, (size_t)t->count * st_dtype_size(t->dtype));
}

static void emit_attr(sink *s, const void *what) {
    const onnx_attr *a = what;
    put_text(s, ATTR_NAME, a->name);
    if (a->type == ONNX_FLOAT) put_real(s, ATTR_F, a->f);
    if (a->type == ONNX_INT) put_number(s, ATTR_I, a->i);
    if (a->type == ONNX_STRING) put_text(s, ATTR_S, a->s);
    if (a->type == ONNX_TENSOR) put_message(s, ATTR_T, emit_tensor, a->t);
    for (int i = 0; a->type == ONNX_FLOATS && i < a->count; i++)
        put_real(s, ATTR_FLOATS, a->floats[i]);
    for (int i = 0; a->type == ONNX_INTS && i < a->count; i++) put_number(s, ATTR_INTS, a->ints[i]);
    put_number(s, ATTR_TYPE, a->type);
}

static void emit_node(sink *s, const void *what) {
    const onnx_node *n = what;
    for (int i = 0; i < n->inputs; i++) put_text(s, NODE_INPUT, n->input[i]);
    for (int i = 0; i < n->outputs; i++) put_text(s, NODE_OUTPUT, n->output[i]);
    put_text(s, NODE_NAME, n->name);
    put_text(s, NODE_OP, n->op);
    for (int i = 0; i < n->attrs; i++) put_message(s, NODE_ATTR, emit_attr, &n->attr[i]);
}

typedef struct dim {
    int64_t size;
    const char *axis;
} dim;

static void emit_dim(sink *s, const void *what) {
    const dim *d = what;
    if (d->size >= 0)
        put_number(s, DIM_VALUE, d->size);
    else
        put_text(s, DIM_NAME, d->axis);
}

static void emit_shape(sink *s, const void *what) {
    const onnx_value *v = what;
    for (int d = 0; d < v->rank; d++)
        put_message(s, SHAPE_DIM, emit_dim, &(dim){ v->dim[d], v->axis[d] ? v->axis[d] : "" });
}

static void emit_tensor_type(sink *s, const void *what) {
    const onnx_value *v = what;
    put_number(s, TENSOR_ELEM, v->type);
    put_message(s, TENSOR_SHAPE, emit_shape, v);
}

static void emit_type(sink *s, const void *what) {
    put_message(s, TYPE_TENSOR, emit_tensor_type, what);
}

static void emit_value(sink *s, const void *what) {
    const onnx_value *v = what;
    put_text(s, VALUE_NAME, v->name);
    put_message(s, VALUE_TYPE, emit_type, v);
}

static void emit_graph(sink *s, const void *what) {
    const onnx_model *m = what;
    for (int i = 0; i < m->nodes; i++) put_message(s, GRAPH_NODE, emit_node, &m->node[i]);
    put_text(s, GRAPH_NAME, m->graph);
    for (int i = 0; i < m->tensors; i++) put_message(s, GRAPH_TENSOR, emit_tensor, &m->tensor[i]);
    for (int i = 0; i < m->inputs; i++) put_message(s, GRAPH_INPUT, emit_value, &m->input[i]);
    for (int i = 0; i < m->outputs; i++) put_message(s, GRAPH_OUTPUT, emit_value, &m->output[i]);
}

static void emit_opset(sink *s, const void *what) {
    put_text(s, OPSET_DOMAIN, "");
    put_number(s, OPSET_VERSION, ((const onnx_model *)what)->opset);
}

static void emit_pair(sink *s, const void *what) {
    const st_pair *pair = what;
    put_text(s, PAIR_KEY, pair->key);
    put_text(s, PAIR_VALUE, pair->value);
}

static void emit_model(sink *s, const void *what) {
    const onnx_model *m = what;
    put_number(s, MODEL_IR, m->ir);
    put_text(s, MODEL_PRODUCER, m->producer);
    put_text(s, MODEL_VERSION, m->producer_version);
    put_message(s, MODEL_GRAPH, emit_graph, m);
    put_message(s, MODEL_OPSET, emit_opset, m);
    for (int i = 0; i < m->metas; i++) put_message(s, MODEL_META, emit_pair, &m->meta[i]);
}

lens_status onnx_write(lens_ctx *ctx, const char *path, const onnx_model *m) {
    sink count = { 0 };
    file_writer *writer;
    emit_model(&count, m);
    if (count.size > INT32_MAX)
        return ctx_fail(ctx, LENS_UNSUPPORTED,
                        "%s: %llu bytes are more than the 2 GiB an ONNX file can hold", path,
                        (unsigned long long)count.size);
    LENS_TRY(file_begin(ctx, &writer, path));
    emit_model(&(sink){ .stream = file_stream(writer) }, m);
    return file_commit(writer);
}
