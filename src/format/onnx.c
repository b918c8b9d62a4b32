/* onnx.c - reading ONNX: a strict reader of the protobuf wire format, written for the few messages a
 * network needs, and the writer of the same messages.
 *
 * A message is a row of fields, each a tag (number*8 + wire type) and a value: 0 varint, 1 eight
 * bytes, 2 length and bytes, 5 four bytes. Fields that no table below names are stepped over.
 *
 * Invariants: a cursor never leaves its message; a length is compared with what is left before it is
 * used. Messages are entered by named functions, model - graph - node - attribute - tensor, never by
 * recursion: subgraphs are skipped, so nesting in the file costs nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

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

enum { CHUNK = 1 << 16 };

/* Zeroed, freed with the file; `align` is a power of 2 up to 16. */
static void *keep(onnx_file *f, size_t count, size_t size, size_t align) {
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

/* ---- The wire ------------------------------------------------------------------------------- */

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

typedef struct wire_field {
    uint32_t number;
    int wire;
    uint64_t value; /* varint, or the bits of 4 or 8 bytes */
    cursor body;    /* WIRE_BYTES */
} wire_field;

static bool read_varint(cursor *c, uint64_t *out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        if (shift < 64) value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *out = value;
            return true;
        }
    }
    return false;
}

static uint64_t little(const uint8_t *p, size_t size) {
    uint64_t v = 0;
    for (size_t i = size; i-- > 0;) v = v << 8 | p[i];
    return v;
}

/* The next field; false at the end and on damage, which leaves at < end or at beyond repair: then
 * c->at is NULL. */
static bool next_field(cursor *c, wire_field *f) {
    uint64_t tag, length;
    if (c->at == c->end) return false;
    if (!read_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911) goto damaged;
    *f = (wire_field){ .number = (uint32_t)(tag >> 3), .wire = (int)(tag & 7) };
    switch (f->wire) {
    case WIRE_VARINT:
        if (!read_varint(c, &f->value)) goto damaged;
        return true;
    case WIRE_64:
    case WIRE_32:
        length = f->wire == WIRE_64 ? 8 : 4;
        if ((size_t)(c->end - c->at) < length) goto damaged;
        f->value = little(c->at, (size_t)length);
        c->at += length;
        return true;
    case WIRE_BYTES:
        if (!read_varint(c, &length) || length > (uint64_t)(c->end - c->at)) goto damaged;
        f->body = (cursor){ c->at, c->at + length };
        c->at += length;
        return true;
    default: break; /* groups are not used by the format */
    }
damaged:
    c->at = NULL;
    return false;
}

static lens_status bad(const onnx_file *f, cursor where, const char *what) {
    return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: byte %zu: %s", f->name,
                    (size_t)(where.end - f->begin), what);
}

/* After the loop over a message. */
static lens_status whole(const onnx_file *f, cursor message, cursor c, const char *what) {
    if (c.at) return LENS_OK;
    return ctx_fail(f->ctx, LENS_BAD_FILE,
                    "%s: bytes %zu to %zu: the %s is cut short or no protobuf message", f->name,
                    (size_t)(message.at - f->begin), (size_t)(message.end - f->begin), what);
}

static lens_status take_text(onnx_file *f, const wire_field *field, const char **out) {
    if (field->wire != WIRE_BYTES) return bad(f, field->body, "expected a string");
    size_t length = (size_t)(field->body.end - field->body.at);
    if (length && memchr(field->body.at, 0, length))
        return bad(f, field->body, "a string holds the character 0");
    char *text = keep(f, length + 1, 1, 1);
    if (!text) return ctx_nomem(f->ctx, length + 1, "a string of an ONNX file");
    if (length) memcpy(text, field->body.at, length);
    *out = text;
    return LENS_OK;
}

/* How often a number occurs; `packed` counts the varints or 4-byte values inside packed lists. */
static size_t count_field(cursor c, uint32_t number) {
    size_t count = 0;
    wire_field f;
    while (next_field(&c, &f)) count += f.number == number;
    return count;
}

/* Elements of a repeated number, packed or not: calls `each` in order. False: damaged. */
typedef void element_fn(void *to, size_t index, uint64_t bits);

static bool each_element(cursor c, uint32_t number, int wire, element_fn *each, void *to,
                         size_t *count) {
    size_t size = wire == WIRE_64 ? 8 : 4;
    wire_field f;
    *count = 0;
    while (next_field(&c, &f)) {
        if (f.number != number) continue;
        if (f.wire == wire) {
            if (each) each(to, *count, f.value);
            ++*count;
            continue;
        }
        if (f.wire != WIRE_BYTES) return false;
        while (f.body.at < f.body.end) {
            uint64_t value;
            if (wire == WIRE_VARINT) {
                if (!read_varint(&f.body, &value)) return false;
            } else {
                if ((size_t)(f.body.end - f.body.at) < size) return false;
                value = little(f.body.at, size);
                f.body.at += size;
            }
            if (each) each(to, *count, value);
            ++*count;
        }
    }
    return c.at != NULL;
}

/* Room for a list whose length the file decides. */
static lens_status make_list(onnx_file *f, const char *what, size_t count, size_t most, size_t size,
                             void *out) {
    if (count > most)
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: %zu %s, but at most %zu are read", f->name,
                        count, what, most);
    f->items += count;
    if (f->items > ONNX_MAX_ITEMS)
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: more than %d nodes, names, attributes and numbers", f->name,
                        ONNX_MAX_ITEMS);
    void *list = keep(f, count + 1, size, 16);
    if (!list) return ctx_nomem(f->ctx, count * size, what);
    memcpy(out, &list, sizeof list);
    return LENS_OK;
}

/* ---- External data -------------------------------------------------------------------------- */

static lens_status map_external(onnx_file *f, const char *name, const external **out) {
    lens_ctx *ctx = f->ctx;
    for (int i = 0; i < f->externals; i++)
        if (!strcmp(f->external[i].name, name)) {
            *out = &f->external[i];
            return LENS_OK;
        }
    if (!*name || strchr(name, '/') || strchr(name, '\\') || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        return ctx_fail(ctx, LENS_BAD_FILE,
                        "%s: external data '%.200s' is not the name of a file beside the model",
                        f->name, name);
    if (f->externals == ONNX_MAX_FILES)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: more than %d files of external data", f->name,
                        ONNX_MAX_FILES);
    external *list =
        ctx_grow(ctx, f->external, (size_t)f->externals, (size_t)f->externals + 1, sizeof *list);
    if (!list) return LENS_NOMEM;
    f->external = list;
    lens_status status;
    struct stat s;
    int folder = -1, fd = -1;
    const char *slash = strrchr(f->path, '/');
    char *path =
        slash ? ctx_printf(ctx, "%.*s", (int)(slash - f->path + 1), f->path) : ctx_strdup(ctx, ".");
    if (!path) return LENS_NOMEM;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* NONBLOCK: a pipe of that name must not make us wait. */
    if (folder >= 0) fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s)) {
        status = ctx_fail(ctx, errno == ELOOP ? LENS_BAD_FILE : LENS_IO,
                          "%s: external data '%.200s': %s", f->name, name,
                          errno == ELOOP ? "a symbolic link is not followed" : strerror(errno));
        goto done;
    }
    if (!S_ISREG(s.st_mode) || s.st_nlink != 1) {
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: external data '%.200s' is %s", f->name, name,
                          S_ISREG(s.st_mode) ? "a file with several names (hard links)"
                                             : "not a regular file");
        goto done;
    }
    void *map = NULL;
    if (s.st_size) map = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        status = ctx_fail(ctx, LENS_IO, "%s: external data '%.200s': cannot map: %s", f->name, name,
                          strerror(errno));
        goto done;
    }
    f->external[f->externals] = (external){ name, map, (size_t)s.st_size };
    *out = &f->external[f->externals++];
    status = LENS_OK;
done:
    if (fd >= 0) close(fd);
    if (folder >= 0) close(folder);
    ctx_free(ctx, path);
    return status;
}

static lens_status read_pair(onnx_file *f, cursor message, st_pair *pair) {
    cursor c = message;
    wire_field field;
    *pair = (st_pair){ "", "" };
    while (next_field(&c, &field)) {
        if (field.number == PAIR_KEY) LENS_TRY(take_text(f, &field, &pair->key));
        if (field.number == PAIR_VALUE) LENS_TRY(take_text(f, &field, &pair->value));
    }
    return whole(f, message, c, "pair of words");
}

static lens_status find_external(onnx_file *f, cursor message, onnx_tensor *t, size_t bytes) {
    const char *location = "";
    long long offset = 0, length = (long long)bytes;
    cursor c = message;
    wire_field field;
    if (!f->path)
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: tensor '%.200s': external data needs a model read from a file",
                        f->name, t->name);
    while (next_field(&c, &field)) {
        st_pair pair;
        if (field.number != T_EXTERNAL || field.wire != WIRE_BYTES) continue;
        LENS_TRY(read_pair(f, field.body, &pair));
        bool good = true;
        if (!strcmp(pair.key, "location")) location = pair.value;
        if (!strcmp(pair.key, "offset")) good = parse_int(pair.value, &offset) && offset >= 0;
        if (!strcmp(pair.key, "length")) good = parse_int(pair.value, &length) && length >= 0;
        if (!good)
            return ctx_fail(f->ctx, LENS_BAD_FILE,
                            "%s: tensor '%.200s': %s of its external data is '%.40s', expected a "
                            "number >= 0",
                            f->name, t->name, pair.key, pair.value);
    }
    const external *e = NULL;
    LENS_TRY(map_external(f, location, &e));
    if ((unsigned long long)length != bytes || (unsigned long long)offset > e->size ||
        bytes > e->size - (size_t)offset)
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: tensor '%.200s': its %zu bytes do not match %lld bytes from byte %lld "
                        "of '%.200s', which has %zu",
                        f->name, t->name, bytes, length, offset, location, e->size);
    t->raw = e->map ? (const uint8_t *)e->map + offset : (const void *)"";
    return LENS_OK;
}

/* ---- Messages ------------------------------------------------------------------------------- */

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
    while (next_field(&c, &field)) {
        if (field.number == T_NAME) LENS_TRY(take_text(f, &field, &t->name));
        if (field.number == T_TYPE) t->type = field.value > 1000 ? 1000 : (int)field.value;
        if (field.number == T_LOCATION) outside = field.value == LOCATION_EXTERNAL;
        if (field.number == T_RAW) {
            if (field.wire != WIRE_BYTES) return bad(f, field.body, "raw_data is no bytes");
            has_raw = true;
            raw = field.body;
        }
    }
    LENS_TRY(whole(f, message, c, "tensor"));
    if (!each_element(message, T_DIMS, WIRE_VARINT, put_dim, t, &rank))
        return bad(f, message, "dims of a tensor are no numbers");
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
    if (outside) return find_external(f, message, t, bytes);
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
    if (!each_element(message, (uint32_t)number, wire, NULL, NULL, &have))
        return bad(f, message, "the data of a tensor are no numbers");
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
    if (!each_element(message, number, wire, NULL, NULL, &count))
        return bad(f, message, "a list of an attribute is no numbers");
    LENS_TRY(make_list(f, "numbers in an attribute", count, ONNX_MAX_LIST,
                       ints ? sizeof(int64_t) : sizeof(float), &list));
    each_element(message, number, wire, ints ? put_int : put_float, list, &count);
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
    while (next_field(&c, &field)) {
        switch (field.number) {
        case ATTR_NAME: LENS_TRY(take_text(f, &field, &a->name)); break;
        case ATTR_F: a->f = float_of(field.value); break;
        case ATTR_I: a->i = (int64_t)field.value; break;
        case ATTR_S:
            /* Any bytes are allowed here; what holds a 0 cannot be one of the words we know. */
            if (field.wire == WIRE_BYTES &&
                !memchr(field.body.at, 0, (size_t)(field.body.end - field.body.at)))
                LENS_TRY(take_text(f, &field, &a->s));
            break;
        case ATTR_T:
            if (field.wire != WIRE_BYTES) return bad(f, message, "a tensor is no message");
            tensor = field.body;
            break;
        case ATTR_TYPE: type = field.value; break;
        default: break;
        }
    }
    LENS_TRY(whole(f, message, c, "attribute"));
    a->type = type > 100 ? 100 : (int)type;
    if (a->type == ONNX_INTS || a->type == ONNX_FLOATS) return read_attr_list(f, message, a);
    if (a->type != ONNX_TENSOR) return LENS_OK;
    if (!tensor.at) return bad(f, message, "an attribute of type tensor has none");
    onnx_tensor *t = NULL;
    LENS_TRY(make_list(f, "tensors", 1, 1, sizeof *t, &t));
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
    LENS_TRY(make_list(f, "inputs of a node", count_field(message, NODE_INPUT), ONNX_MAX_LIST,
                       sizeof *input, &input));
    LENS_TRY(make_list(f, "outputs of a node", count_field(message, NODE_OUTPUT), ONNX_MAX_LIST,
                       sizeof *output, &output));
    LENS_TRY(make_list(f, "attributes of a node", count_field(message, NODE_ATTR), ONNX_MAX_LIST,
                       sizeof *attr, &attr));
    *n = (onnx_node){
        .op = "", .domain = "", .name = "", .input = input, .output = output, .attr = attr
    };
    while (next_field(&c, &field)) {
        switch (field.number) {
        case NODE_INPUT: LENS_TRY(take_text(f, &field, &input[n->inputs++])); break;
        case NODE_OUTPUT: LENS_TRY(take_text(f, &field, &output[n->outputs++])); break;
        case NODE_NAME: LENS_TRY(take_text(f, &field, &n->name)); break;
        case NODE_OP: LENS_TRY(take_text(f, &field, &n->op)); break;
        case NODE_DOMAIN: LENS_TRY(take_text(f, &field, &n->domain)); break;
        case NODE_ATTR:
            if (field.wire != WIRE_BYTES) return bad(f, message, "an attribute is no message");
            LENS_TRY(read_attr(f, field.body, &attr[n->attrs++]));
            break;
        default: break;
        }
    }
    return whole(f, message, c, "node");
}

static lens_status read_shape(onnx_file *f, cursor message, onnx_value *v) {
    cursor c = message;
    wire_field field;
    v->rank = 0;
    while (next_field(&c, &field)) {
        if (field.number != SHAPE_DIM || field.wire != WIRE_BYTES) continue;
        int d = v->rank++;
        if (d >= ONNX_MAX_RANK) continue;
        cursor inner = field.body;
        wire_field item;
        v->dim[d] = -1;
        while (next_field(&inner, &item)) {
            if (item.number == DIM_VALUE && item.wire == WIRE_VARINT)
                v->dim[d] = (int64_t)item.value < 0 ? -1 : (int64_t)item.value;
            if (item.number == DIM_NAME) LENS_TRY(take_text(f, &item, &v->axis[d]));
        }
        LENS_TRY(whole(f, field.body, inner, "dimension"));
    }
    if (v->rank > ONNX_MAX_RANK) v->rank = -1;
    return whole(f, message, c, "shape");
}

static lens_status read_value(onnx_file *f, cursor message, onnx_value *v) {
    cursor c = message;
    wire_field field, inner;
    v->name = "";
    v->rank = -1;
    while (next_field(&c, &field)) {
        if (field.number == VALUE_NAME) LENS_TRY(take_text(f, &field, &v->name));
        if (field.number != VALUE_TYPE || field.wire != WIRE_BYTES) continue;
        cursor type = field.body;
        while (next_field(&type, &inner)) {
            if (inner.number != TYPE_TENSOR || inner.wire != WIRE_BYTES) continue;
            cursor tensor = inner.body;
            wire_field item;
            while (next_field(&tensor, &item)) {
                if (item.number == TENSOR_ELEM)
                    v->type = item.value > 1000 ? 1000 : (int)item.value;
                if (item.number == TENSOR_SHAPE && item.wire == WIRE_BYTES)
                    LENS_TRY(read_shape(f, item.body, v));
            }
            LENS_TRY(whole(f, inner.body, tensor, "type"));
        }
        LENS_TRY(whole(f, field.body, type, "type"));
    }
    return whole(f, message, c, "input or output");
}

static lens_status read_graph(onnx_file *f, cursor message) {
    onnx_model *m = &f->model;
    cursor c = message;
    wire_field field;
    onnx_node *node = NULL;
    onnx_tensor *tensor = NULL;
    onnx_value *input = NULL, *output = NULL;
    LENS_TRY(make_list(f, "nodes", count_field(message, GRAPH_NODE), ONNX_MAX_NODES, sizeof *node,
                       &node));
    LENS_TRY(make_list(f, "initializers", count_field(message, GRAPH_TENSOR), ONNX_MAX_TENSORS,
                       sizeof *tensor, &tensor));
    LENS_TRY(make_list(f, "inputs", count_field(message, GRAPH_INPUT), ONNX_MAX_TENSORS,
                       sizeof *input, &input));
    LENS_TRY(make_list(f, "outputs", count_field(message, GRAPH_OUTPUT), ONNX_MAX_VALUES,
                       sizeof *output, &output));
    m->node = node;
    m->tensor = tensor;
    m->input = input;
    m->output = output;
    while (next_field(&c, &field)) {
        if (field.number == GRAPH_NAME) LENS_TRY(take_text(f, &field, &m->graph));
        if (field.number == GRAPH_SPARSE)
            return ctx_fail(f->ctx, LENS_UNSUPPORTED, "%s: sparse initializers are not read",
                            f->name);
        bool known = field.number == GRAPH_NODE || field.number == GRAPH_TENSOR ||
                     field.number == GRAPH_INPUT || field.number == GRAPH_OUTPUT;
        if (known && field.wire != WIRE_BYTES)
            return bad(f, message, "a part of the graph is no message");
        if (field.number == GRAPH_NODE) LENS_TRY(read_node(f, field.body, &node[m->nodes++]));
        if (field.number == GRAPH_TENSOR)
            LENS_TRY(read_tensor(f, field.body, &tensor[m->tensors++]));
        if (field.number == GRAPH_INPUT) LENS_TRY(read_value(f, field.body, &input[m->inputs++]));
        if (field.number == GRAPH_OUTPUT)
            LENS_TRY(read_value(f, field.body, &output[m->outputs++]));
    }
    return whole(f, message, c, "graph");
}

static lens_status read_opset(onnx_file *f, cursor message) {
    cursor c = message;
    wire_field field;
    const char *domain = "";
    int64_t version = 0;
    while (next_field(&c, &field)) {
        if (field.number == OPSET_DOMAIN) LENS_TRY(take_text(f, &field, &domain));
        if (field.number == OPSET_VERSION) version = (int64_t)field.value;
    }
    if (!*domain || !strcmp(domain, "ai.onnx")) f->model.opset = version;
    return whole(f, message, c, "opset");
}

static lens_status read_model(onnx_file *f, cursor message) {
    onnx_model *m = &f->model;
    cursor c = message, graph = { 0 };
    wire_field field;
    st_pair *meta = NULL;
    m->producer = m->producer_version = m->graph = "";
    LENS_TRY(make_list(f, "words", count_field(message, MODEL_META), ONNX_MAX_LIST, sizeof *meta,
                       &meta));
    m->meta = meta;
    while (next_field(&c, &field)) {
        switch (field.number) {
        case MODEL_IR: m->ir = (int64_t)field.value; break;
        case MODEL_PRODUCER: LENS_TRY(take_text(f, &field, &m->producer)); break;
        case MODEL_VERSION: LENS_TRY(take_text(f, &field, &m->producer_version)); break;
        case MODEL_GRAPH:
        case MODEL_OPSET:
        case MODEL_META:
            if (field.wire != WIRE_BYTES)
                return bad(f, message, "a part of the model is no message");
            if (field.number == MODEL_OPSET) LENS_TRY(read_opset(f, field.body));
            if (field.number == MODEL_META) LENS_TRY(read_pair(f, field.body, &meta[m->metas++]));
            if (field.number == MODEL_GRAPH) {
                if (graph.at) return bad(f, field.body, "a second graph");
                graph = field.body;
            }
            break;
        default: break;
        }
    }
    LENS_TRY(whole(f, message, c, "model"));
    if (!graph.at)
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: it holds no graph: no ONNX model", f->name);
    return read_graph(f, graph);
}

/* ---- Files ---------------------------------------------------------------------------------- */

typedef lens_status read_fn(onnx_file *, cursor);

static lens_status read_one_tensor(onnx_file *f, cursor message) {
    onnx_tensor *t = NULL;
    LENS_TRY(make_list(f, "tensors", 1, 1, sizeof *t, &t));
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
    each_element(message, (uint32_t)number, wire, put_element, p, &count);
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
        uint64_t bits =
            t->raw ? little((const uint8_t *)t->raw + (size_t)i * size, size) : (uint64_t)out[i];
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

/* ---- Writing -------------------------------------------------------------------------------- */

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
