/* onnx.c - reading ONNX: a strict reader of the few messages a network needs.
 *
 * Invariant: messages are entered by named functions, model - graph - node - attribute - tensor, never
 * by recursion: subgraphs are skipped, so nesting in the file costs nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/onnx_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Element types: how they lie in raw data, and which typed field holds them otherwise. */
static const struct {
    int type;
    st_dtype dtype;
    int field;
} TYPE[] = {
    { 1, ST_F32, T_F32 },   { 2, ST_U8, T_I32 },   { 3, ST_I8, T_I32 },   { 4, ST_U16, T_I32 },
    { 5, ST_I16, T_I32 },   { 6, ST_I32, T_I32 },  { 7, ST_I64, T_I64 },  { 9, ST_BOOL, T_I32 },
    { 10, ST_F16, T_I32 },  { 11, ST_F64, T_F64 }, { 12, ST_U32, T_U64 }, { 13, ST_U64, T_U64 },
    { 16, ST_BF16, T_I32 },
};

static int typed_field(int type) {
    for (size_t i = 0; i < LENS_COUNT(TYPE); i++)
        if (TYPE[i].type == type) return TYPE[i].field;
    return 0;
}

/* ---- Memory of a description ---------------------------------------------------------------- */

enum { CHUNK = 1 << 16 };

void *onnx_keep(onnx_file *f, size_t count, size_t size, size_t align) {
    size_t bytes, head = (sizeof(chunk) + 15) / 16 * 16;
    if (!mul_size(count, size, &bytes) || bytes > PTRDIFF_MAX) return NULL;
    if (f->chunks) f->chunks->used = (f->chunks->used + align - 1) & ~(align - 1);
    if (!f->chunks || f->chunks->used > f->chunks->size ||
        f->chunks->size - f->chunks->used < bytes) {
        size_t room = bytes > CHUNK ? bytes : CHUNK;
        chunk *c = ctx_alloc(f->ctx, head + room, 1);
        if (!c) return NULL;
        c->size = room;
        c->next = f->chunks;
        f->chunks = c;
    }
    char *at = (char *)f->chunks + head + f->chunks->used;
    f->chunks->used += bytes;
    return at;
}

lens_status onnx_bad(const onnx_file *f, cursor where, const char *what) {
    return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: byte %zu: %s", f->name,
                    (size_t)(where.end - f->begin), what);
}

lens_status onnx_whole(const onnx_file *f, cursor message, cursor c, const char *what) {
    if (c.at) return LENS_OK;
    return ctx_fail(f->ctx, LENS_BAD_FILE,
                    "%s: bytes %zu to %zu: the %s is cut short or no protobuf message", f->name,
                    (size_t)(message.at - f->begin), (size_t)(message.end - f->begin), what);
}

lens_status onnx_text(onnx_file *f, const wire_field *field, const char **out) {
    if (field->wire != WIRE_BYTES) return onnx_bad(f, field->body, "expected a string");
    size_t length = (size_t)(field->body.end - field->body.at);
    if (length && memchr(field->body.at, 0, length))
        return onnx_bad(f, field->body, "a string holds the character 0");
    char *text = onnx_keep(f, length + 1, 1, 1);
    if (!text) return ctx_nomem(f->ctx, length + 1, "a string of an ONNX file");
    if (length) memcpy(text, field->body.at, length);
    *out = text;
    return LENS_OK;
}

lens_status onnx_list(onnx_file *f, const char *what, size_t count, size_t most, size_t size,
                      void *out) {
    if (count > most)
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: %zu %s, but at most %zu are read", f->name,
                        count, what, most);
    f->items += count;
    if (f->items > ONNX_MAX_ITEMS)
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: more than %d nodes, names, attributes and numbers", f->name,
                        ONNX_MAX_ITEMS);
    void *list = onnx_keep(f, count + 1, size, 16);
    if (!list) return ctx_nomem(f->ctx, count * size, what);
    memcpy(out, &list, sizeof list);
    return LENS_OK;
}

/* ---- Messages ------------------------------------------------------------------------------- */

lens_status onnx_pair(onnx_file *f, cursor message, st_pair *pair) {
    cursor c = message;
    wire_field field;
    *pair = (st_pair){ "", "" };
    while (wire_next(&c, &field)) {
        if (field.number == PAIR_KEY) LENS_TRY(onnx_text(f, &field, &pair->key));
        if (field.number == PAIR_VALUE) LENS_TRY(onnx_text(f, &field, &pair->value));
    }
    return onnx_whole(f, message, c, "pair of words");
}

static void put_dim(void *to, size_t index, uint64_t bits) {
    onnx_tensor *t = to;
    if (index < ONNX_MAX_RANK) t->dim[index] = (int64_t)bits;
}

static lens_status set_type(onnx_file *f, onnx_tensor *t) {
    for (size_t i = 0; i < LENS_COUNT(TYPE); i++)
        if (TYPE[i].type == t->type) {
            t->dtype = TYPE[i].dtype;
            return LENS_OK;
        }
    return ctx_fail(f->ctx, LENS_UNSUPPORTED,
                    "%s: tensor '%.200s': elements of ONNX type %d are not read", f->name, t->name,
                    t->type);
}

static lens_status read_tensor(onnx_file *f, cursor message, onnx_tensor *t) {
    cursor c = message, raw = { 0 };
    wire_field field;
    bool has_raw = false, outside = false;
    size_t rank, count = 1, bytes, have;
    t->name = "";
    t->body = message.at;
    t->body_size = (size_t)(message.end - message.at);
    while (wire_next(&c, &field)) {
        if (field.number == T_NAME) LENS_TRY(onnx_text(f, &field, &t->name));
        if (field.number == T_TYPE) t->type = field.value > 1000 ? 1000 : (int)field.value;
        if (field.number == T_LOCATION) outside = field.value == LOCATION_EXTERNAL;
        if (field.number == T_RAW) {
            if (field.wire != WIRE_BYTES) return onnx_bad(f, field.body, "raw_data is no bytes");
            has_raw = true;
            raw = field.body;
        }
    }
    LENS_TRY(onnx_whole(f, message, c, "tensor"));
    if (!wire_each(message, T_DIMS, WIRE_VARINT, put_dim, t, &rank))
        return onnx_bad(f, message, "dims of a tensor are no numbers");
    LENS_TRY(set_type(f, t));
    if (rank > ONNX_MAX_RANK)
        return ctx_fail(f->ctx, LENS_UNSUPPORTED,
                        "%s: tensor '%.200s': rank %zu; at most %d is read", f->name, t->name, rank,
                        ONNX_MAX_RANK);
    t->rank = (int)rank;
    for (size_t d = 0; d < rank; d++)
        if (t->dim[d] < 0 || !mul_size(count, (size_t)t->dim[d], &count) || count > PTRDIFF_MAX)
            return ctx_fail(
                f->ctx, LENS_BAD_FILE,
                "%s: tensor '%.200s': dimension %zu is %lld: negative, or more elements "
                "than fit in memory",
                f->name, t->name, d, (long long)t->dim[d]);
    t->count = (int64_t)count;
    if (!mul_size(count, st_dtype_size(t->dtype), &bytes))
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: tensor '%.200s' is larger than memory", f->name,
                        t->name);
    if (outside) return onnx_external(f, message, t, bytes);
    if (has_raw) {
        have = (size_t)(raw.end - raw.at);
        t->raw = raw.at;
        if (have == bytes) return LENS_OK;
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: tensor '%.200s': %lld elements of %s need %zu bytes but raw_data has "
                        "%zu",
                        f->name, t->name, (long long)t->count, st_dtype_name(t->dtype), bytes,
                        have);
    }
    int number = typed_field(t->type);
    int wire = number == T_F32 ? WIRE_32 : number == T_F64 ? WIRE_64 : WIRE_VARINT;
    if (!wire_each(message, (uint32_t)number, wire, NULL, NULL, &have))
        return onnx_bad(f, message, "the data of a tensor are no numbers");
    if (have == count) return LENS_OK;
    return ctx_fail(f->ctx, LENS_BAD_FILE,
                    "%s: tensor '%.200s': its shape has %lld elements but the file %zu", f->name,
                    t->name, (long long)t->count, have);
}

static void put_int(void *to, size_t index, uint64_t bits) {
    ((int64_t *)to)[index] = (int64_t)bits;
}

static float float_of(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

static void put_float(void *to, size_t index, uint64_t bits) {
    ((float *)to)[index] = float_of(bits);
}

static lens_status read_attr_list(onnx_file *f, cursor message, onnx_attr *a) {
    bool ints = a->type == ONNX_INTS;
    uint32_t number = ints ? ATTR_INTS : ATTR_FLOATS;
    int wire = ints ? WIRE_VARINT : WIRE_32;
    size_t count;
    void *list = NULL;
    if (!wire_each(message, number, wire, NULL, NULL, &count))
        return onnx_bad(f, message, "a list of an attribute is no numbers");
    LENS_TRY(onnx_list(f, "numbers in an attribute", count, ONNX_MAX_LIST,
                       ints ? sizeof(int64_t) : sizeof(float), &list));
    wire_each(message, number, wire, ints ? put_int : put_float, list, &count);
    a->count = (int)count;
    if (ints)
        a->ints = list;
    else
        a->floats = list;
    return LENS_OK;
}

static lens_status read_attr(onnx_file *f, cursor message, onnx_attr *a) {
    cursor c = message, tensor = { 0 };
    wire_field field;
    uint64_t type = 0;
    a->name = a->s = "";
    while (wire_next(&c, &field)) {
        switch (field.number) {
        case ATTR_NAME: LENS_TRY(onnx_text(f, &field, &a->name)); break;
        case ATTR_F: a->f = float_of(field.value); break;
        case ATTR_I: a->i = (int64_t)field.value; break;
        case ATTR_S:
            /* Any bytes are allowed here; what holds a 0 cannot be one of the words we know. */
            if (field.wire == WIRE_BYTES &&
                !memchr(field.body.at, 0, (size_t)(field.body.end - field.body.at)))
                LENS_TRY(onnx_text(f, &field, &a->s));
            break;
        case ATTR_T:
            if (field.wire != WIRE_BYTES) return onnx_bad(f, message, "a tensor is no message");
            tensor = field.body;
            break;
        case ATTR_TYPE: type = field.value; break;
        default: break;
        }
    }
    LENS_TRY(onnx_whole(f, message, c, "attribute"));
    a->type = type > 100 ? 100 : (int)type;
    if (a->type == ONNX_INTS || a->type == ONNX_FLOATS) return read_attr_list(f, message, a);
    if (a->type != ONNX_TENSOR) return LENS_OK;
    if (!tensor.at) return onnx_bad(f, message, "an attribute of type tensor has none");
    onnx_tensor *t = NULL;
    LENS_TRY(onnx_list(f, "tensors", 1, 1, sizeof *t, &t));
    lens_status status = read_tensor(f, tensor, t);
    if (status == LENS_UNSUPPORTED) { /* only what uses it can mind */
        a->type = 0;
        return LENS_OK;
    }
    a->t = t;
    return status;
}

static lens_status read_node(onnx_file *f, cursor message, onnx_node *n) {
    cursor c = message;
    wire_field field;
    const char **input = NULL, **output = NULL;
    onnx_attr *attr = NULL;
    LENS_TRY(onnx_list(f, "inputs of a node", wire_count(message, NODE_INPUT), ONNX_MAX_LIST,
                       sizeof *input, &input));
    LENS_TRY(onnx_list(f, "outputs of a node", wire_count(message, NODE_OUTPUT), ONNX_MAX_LIST,
                       sizeof *output, &output));
    LENS_TRY(onnx_list(f, "attributes of a node", wire_count(message, NODE_ATTR), ONNX_MAX_LIST,
                       sizeof *attr, &attr));
    *n = (onnx_node){
        .op = "", .domain = "", .name = "", .input = input, .output = output, .attr = attr
    };
    while (wire_next(&c, &field)) {
        switch (field.number) {
        case NODE_INPUT: LENS_TRY(onnx_text(f, &field, &input[n->inputs++])); break;
        case NODE_OUTPUT: LENS_TRY(onnx_text(f, &field, &output[n->outputs++])); break;
        case NODE_NAME: LENS_TRY(onnx_text(f, &field, &n->name)); break;
        case NODE_OP: LENS_TRY(onnx_text(f, &field, &n->op)); break;
        case NODE_DOMAIN: LENS_TRY(onnx_text(f, &field, &n->domain)); break;
        case NODE_ATTR:
            if (field.wire != WIRE_BYTES) return onnx_bad(f, message, "an attribute is no message");
            LENS_TRY(read_attr(f, field.body, &attr[n->attrs++]));
            break;
        default: break;
        }
    }
    return onnx_whole(f, message, c, "node");
}

static lens_status read_shape(onnx_file *f, cursor message, onnx_value *v) {
    cursor c = message;
    wire_field field;
    v->rank = 0;
    while (wire_next(&c, &field)) {
        if (field.number != SHAPE_DIM || field.wire != WIRE_BYTES) continue;
        int d = v->rank++;
        if (d >= ONNX_MAX_RANK) continue;
        cursor inner = field.body;
        wire_field item;
        v->dim[d] = -1;
        while (wire_next(&inner, &item)) {
            if (item.number == DIM_VALUE && item.wire == WIRE_VARINT)
                v->dim[d] = (int64_t)item.value < 0 ? -1 : (int64_t)item.value;
            if (item.number == DIM_NAME) LENS_TRY(onnx_text(f, &item, &v->axis[d]));
        }
        LENS_TRY(onnx_whole(f, field.body, inner, "dimension"));
    }
    if (v->rank > ONNX_MAX_RANK) v->rank = -1;
    return onnx_whole(f, message, c, "shape");
}

static lens_status read_value(onnx_file *f, cursor message, onnx_value *v) {
    cursor c = message;
    wire_field field, inner;
    v->name = "";
    v->rank = -1;
    while (wire_next(&c, &field)) {
        if (field.number == VALUE_NAME) LENS_TRY(onnx_text(f, &field, &v->name));
        if (field.number != VALUE_TYPE || field.wire != WIRE_BYTES) continue;
        cursor type = field.body;
        while (wire_next(&type, &inner)) {
            if (inner.number != TYPE_TENSOR || inner.wire != WIRE_BYTES) continue;
            cursor tensor = inner.body;
            wire_field item;
            while (wire_next(&tensor, &item)) {
                if (item.number == TENSOR_ELEM)
                    v->type = item.value > 1000 ? 1000 : (int)item.value;
                if (item.number == TENSOR_SHAPE && item.wire == WIRE_BYTES)
                    LENS_TRY(read_shape(f, item.body, v));
            }
            LENS_TRY(onnx_whole(f, inner.body, tensor, "type"));
        }
        LENS_TRY(onnx_whole(f, field.body, type, "type"));
    }
    return onnx_whole(f, message, c, "input or output");
}

static lens_status read_graph(onnx_file *f, cursor message) {
    onnx_model *m = &f->model;
    cursor c = message;
    wire_field field;
    onnx_node *node = NULL;
    onnx_tensor *tensor = NULL;
    onnx_value *input = NULL, *output = NULL;
    LENS_TRY(onnx_list(f, "nodes", wire_count(message, GRAPH_NODE), ONNX_MAX_NODES, sizeof *node,
                       &node));
    LENS_TRY(onnx_list(f, "initializers", wire_count(message, GRAPH_TENSOR), ONNX_MAX_TENSORS,
                       sizeof *tensor, &tensor));
    LENS_TRY(onnx_list(f, "inputs", wire_count(message, GRAPH_INPUT), ONNX_MAX_TENSORS,
                       sizeof *input, &input));
    LENS_TRY(onnx_list(f, "outputs", wire_count(message, GRAPH_OUTPUT), ONNX_MAX_VALUES,
                       sizeof *output, &output));
    m->node = node;
    m->tensor = tensor;
    m->input = input;
    m->output = output;
    while (wire_next(&c, &field)) {
        if (field.number == GRAPH_NAME) LENS_TRY(onnx_text(f, &field, &m->graph));
        if (field.number == GRAPH_SPARSE)
            return ctx_fail(f->ctx, LENS_UNSUPPORTED, "%s: sparse initializers are not read",
                            f->name);
        bool known = field.number == GRAPH_NODE || field.number == GRAPH_TENSOR ||
                     field.number == GRAPH_INPUT || field.number == GRAPH_OUTPUT;
        if (known && field.wire != WIRE_BYTES)
            return onnx_bad(f, message, "a part of the graph is no message");
        if (field.number == GRAPH_NODE) LENS_TRY(read_node(f, field.body, &node[m->nodes++]));
        if (field.number == GRAPH_TENSOR)
            LENS_TRY(read_tensor(f, field.body, &tensor[m->tensors++]));
        if (field.number == GRAPH_INPUT) LENS_TRY(read_value(f, field.body, &input[m->inputs++]));
        if (field.number == GRAPH_OUTPUT)
            LENS_TRY(read_value(f, field.body, &output[m->outputs++]));
    }
    return onnx_whole(f, message, c, "graph");
}

static lens_status read_opset(onnx_file *f, cursor message) {
    cursor c = message;
    wire_field field;
    const char *domain = "";
    int64_t version = 0;
    while (wire_next(&c, &field)) {
        if (field.number == OPSET_DOMAIN) LENS_TRY(onnx_text(f, &field, &domain));
        if (field.number == OPSET_VERSION) version = (int64_t)field.value;
    }
    if (!*domain || !strcmp(domain, "ai.onnx")) f->model.opset = version;
    return onnx_whole(f, message, c, "opset");
}

static lens_status read_model(onnx_file *f, cursor message) {
    onnx_model *m = &f->model;
    cursor c = message, graph = { 0 };
    wire_field field;
    st_pair *meta = NULL;
    m->producer = m->producer_version = m->graph = "";
    LENS_TRY(
        onnx_list(f, "words", wire_count(message, MODEL_META), ONNX_MAX_LIST, sizeof *meta, &meta));
    m->meta = meta;
    while (wire_next(&c, &field)) {
        switch (field.number) {
        case MODEL_IR: m->ir = (int64_t)field.value; break;
        case MODEL_PRODUCER: LENS_TRY(onnx_text(f, &field, &m->producer)); break;
        case MODEL_VERSION: LENS_TRY(onnx_text(f, &field, &m->producer_version)); break;
        case MODEL_GRAPH:
        case MODEL_OPSET:
        case MODEL_META:
            if (field.wire != WIRE_BYTES)
                return onnx_bad(f, message, "a part of the model is no message");
            if (field.number == MODEL_OPSET) LENS_TRY(read_opset(f, field.body));
            if (field.number == MODEL_META) LENS_TRY(onnx_pair(f, field.body, &meta[m->metas++]));
            if (field.number == MODEL_GRAPH) {
                if (graph.at) return onnx_bad(f, field.body, "a second graph");
                graph = field.body;
            }
            break;
        default: break;
        }
    }
    LENS_TRY(onnx_whole(f, message, c, "model"));
    if (!graph.at)
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: it holds no graph: no ONNX model", f->name);
    return read_graph(f, graph);
}

/* ---- Files ---------------------------------------------------------------------------------- */

typedef lens_status read_fn(onnx_file *, cursor);

static lens_status read_one_tensor(onnx_file *f, cursor message) {
    onnx_tensor *t = NULL;
    LENS_TRY(onnx_list(f, "tensors", 1, 1, sizeof *t, &t));
    LENS_TRY(read_tensor(f, message, t));
    f->model.tensor = t;
    f->model.tensors = 1;
    return LENS_OK;
}

static lens_status parse(lens_ctx *ctx, onnx_file **out, const void *bytes, size_t size,
                         const char *name, const char *path, read_fn *read) {
    *out = NULL;
    onnx_file *f = ctx_alloc(ctx, 1, sizeof *f);
    if (!f) return LENS_NOMEM;
    f->ctx = ctx;
    f->name = name;
    f->path = path;
    f->begin = bytes;
    lens_status status = read(f, (cursor){ bytes, (const uint8_t *)bytes + size });
    f->name = f->path = NULL; /* borrowed for the reading alone */
    if (status == LENS_OK)
        *out = f;
    else
        onnx_close(f);
    return status;
}

lens_status onnx_parse(lens_ctx *ctx, onnx_file **out, const void *bytes, size_t size,
                       const char *name) {
    return parse(ctx, out, bytes, size, name, NULL, read_model);
}

lens_status onnx_parse_tensor(lens_ctx *ctx, onnx_file **out, const void *bytes, size_t size,
                              const char *name) {
    return parse(ctx, out, bytes, size, name, NULL, read_one_tensor);
}

lens_status onnx_open(lens_ctx *ctx, onnx_file **out, const char *path) {
    struct stat s;
    void *map = MAP_FAILED;
    lens_status status;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s)) {
        status = ctx_fail(ctx, LENS_IO, "%s: cannot open: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(s.st_mode) || !s.st_size) {
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: %s", path,
                          s.st_size ? "not a regular file" : "the file is empty");
        goto done;
    }
    map = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        status = ctx_fail(ctx, LENS_IO, "%s: cannot map: %s", path, strerror(errno));
        goto done;
    }
    status = parse(ctx, out, map, (size_t)s.st_size, path, path, read_model);
    if (status == LENS_OK) {
        (*out)->map = map;
        (*out)->map_size = (size_t)s.st_size;
        map = MAP_FAILED;
    }
done:
    if (map != MAP_FAILED) munmap(map, (size_t)s.st_size);
    if (fd >= 0) close(fd);
    return status;
}

void onnx_close(onnx_file *f) {
    if (!f) return;
    if (f->map) munmap(f->map, f->map_size);
    for (int i = 0; i < f->externals; i++)
        if (f->external[i].map) munmap(f->external[i].map, f->external[i].size);
    while (f->chunks) {
        chunk *next = f->chunks->next;
        ctx_free(f->ctx, f->chunks);
        f->chunks = next;
    }
    ctx_free(f->ctx, f->external);
    ctx_free(f->ctx, f);
}

const onnx_model *onnx_description(const onnx_file *f) { return &f->model; }

/* Protobuf writes fields in the order of their numbers, so a model begins with ir_version or, where
 * that is left out, with another field of ModelProto. A safetensors file of less than 16 MB of header
 * has zeros in bytes 3 to 7 and '{' behind them. */
bool onnx_looks(const uint8_t *bytes, size_t size) {
    static const uint8_t tags[] = { 0x08, 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42 };
    static const uint8_t zeros[5];
    if (size < 4 || !memchr(tags, bytes[0], sizeof tags)) return false;
    if (size >= 9 && bytes[8] == '{' && !memcmp(bytes + 3, zeros, sizeof zeros)) return false;
    if (bytes[0] == 0x08)
        return bytes[1] < 128 && bytes[2] & 7 && memchr(tags, bytes[2], sizeof tags);
    return true;
}

/* ---- Elements ------------------------------------------------------------------------------- */

typedef struct into {
    st_tensor one; /* its data: `bytes` */
    uint8_t bytes[8];
    float *floats;
    int64_t *ints;
} into;

static void put_element(void *to, size_t index, uint64_t bits) {
    into *p = to;
    for (int i = 0; i < 8; i++) p->bytes[i] = (uint8_t)(bits >> (8 * i));
    if (p->floats)
        st_to_float(&p->one, 0, 1, p->floats + index);
    else
        p->ints[index] = (int64_t)bits;
}

/* The typed field, walked again: packed lists have no element addresses. */
static void walk(const onnx_tensor *t, into *p) {
    p->one.data = p->bytes;
    cursor message = { t->body, t->body + t->body_size };
    int number = typed_field(t->type);
    int wire = number == T_F32 ? WIRE_32 : number == T_F64 ? WIRE_64 : WIRE_VARINT;
    size_t count;
    wire_each(message, (uint32_t)number, wire, put_element, p, &count);
}

static st_tensor as_st(const onnx_tensor *t) {
    return (st_tensor){ .dtype = t->dtype, .count = t->count, .data = t->raw };
}

void onnx_floats(const onnx_tensor *t, float *out) {
    st_tensor raw = as_st(t);
    if (t->raw)
        st_to_float(&raw, 0, t->count, out);
    else
        walk(t, &(into){ .one = raw, .floats = out });
}

/* Sign of the narrow types. */
static int64_t widen(st_dtype dtype, uint64_t bits) {
    switch (dtype) {
    case ST_I8: return (int8_t)bits;
    case ST_I16: return (int16_t)bits;
    case ST_I32: return (int32_t)bits;
    default: return (int64_t)bits;
    }
}

void onnx_ints(const onnx_tensor *t, int64_t *out) {
    size_t size = st_dtype_size(t->dtype);
    if (!t->raw) walk(t, &(into){ .one = as_st(t), .ints = out });
    for (int64_t i = 0; i < t->count; i++) {
        uint64_t bits = t->raw ? wire_little((const uint8_t *)t->raw + (size_t)i * size, size)
                               : (uint64_t)out[i];
        out[i] = widen(t->dtype, bits);
    }
}

bool onnx_is_real(const onnx_tensor *t) {
    return t->dtype == ST_F16 || t->dtype == ST_BF16 || t->dtype == ST_F32 || t->dtype == ST_F64;
}

const onnx_attr *onnx_attribute(const onnx_node *n, const char *name) {
    for (int i = 0; i < n->attrs; i++)
        if (!strcmp(n->attr[i].name, name)) return &n->attr[i];
    return NULL;
}
