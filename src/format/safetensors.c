/* safetensors.c - see safetensors.h.
 *
 * Invariant: the JSON tree lives as long as the file, so names and metadata are borrowed from it.
 * (Its memory comes from jansson, whose allocator is a setting of the whole process and so not ours
 * to change; the cap on the header bounds it.)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors.h"
#include "format/map.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} DTYPE[] = {
    [ST_BOOL] = { "BOOL", 1 }, [ST_U8] = { "U8", 1 },   [ST_I8] = { "I8", 1 },
    [ST_U16] = { "U16", 2 },   [ST_I16] = { "I16", 2 }, [ST_F16] = { "F16", 2 },
    [ST_BF16] = { "BF16", 2 }, [ST_U32] = { "U32", 4 }, [ST_I32] = { "I32", 4 },
    [ST_F32] = { "F32", 4 },   [ST_U64] = { "U64", 8 }, [ST_I64] = { "I64", 8 },
    [ST_F64] = { "F64", 8 },
};

const char *st_dtype_name(st_dtype t) { return DTYPE[t].name; }
size_t st_dtype_size(st_dtype t) { return DTYPE[t].size; }

struct st_file {
    lens_ctx *ctx;
    file_map map;        /* empty: the bytes are not ours */
    json_t *root, *meta; /* meta: borrowed from root, or NULL */
    st_tensor *tensor;   /* [count] by position of the data */
    uint32_t *by_name;   /* [count] indices in order of the names */
    st_pair *pair;       /* [pairs] */
    size_t count, pairs;
};

/* An entry while it is read: where its data begin and end. */
typedef struct entry {
    st_tensor tensor;
    uint64_t begin, end;
} entry;

static lens_status read_entry(st_file *f, const char *file, const char *name, json_t *info,
                              uint64_t room, entry *out) {
    lens_ctx *ctx = f->ctx;
    json_t *dtype = json_object_get(info, "dtype"), *dims = json_object_get(info, "shape");
    json_t *range = json_object_get(info, "data_offsets");
    st_tensor *t = &out->tensor;
    size_t count = 1, bytes, i;
    json_t *item;
    t->name = name;
    if (!json_is_string(dtype) || !json_is_array(dims) || !json_is_array(range))
        return ctx_fail(ctx, LENS_BAD_FILE,
                        "%s: tensor \"%.200s\": expected dtype, shape and data_offsets", file,
                        name);
    size_t k = 0;
    while (k < LENS_COUNT(DTYPE) && strcmp(DTYPE[k].name, json_string_value(dtype)) != 0) k++;
    if (k == LENS_COUNT(DTYPE))
        return ctx_fail(ctx, LENS_UNSUPPORTED, "%s: tensor \"%.200s\": dtype \"%.40s\" is not read",
                        file, name, json_string_value(dtype));
    t->dtype = (st_dtype)k;
    if (json_array_size(dims) > ST_MAX_RANK)
        return ctx_fail(ctx, LENS_UNSUPPORTED,
                        "%s: tensor \"%.200s\": rank %zu; at most %d is read", file, name,
                        json_array_size(dims), ST_MAX_RANK);
    t->rank = (int)json_array_size(dims);
    json_array_foreach(dims, i, item) {
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return ctx_fail(ctx, LENS_BAD_FILE,
                            "%s: tensor \"%.200s\": dimension %zu is no number >= 0", file, name,
                            i);
        t->dim[i] = json_integer_value(item);
        if (!mul_size(count, (size_t)t->dim[i], &count) || count > PTRDIFF_MAX)
            return ctx_fail(ctx, LENS_BAD_FILE,
                            "%s: tensor \"%.200s\": its shape has more elements than fit in memory",
                            file, name);
    }
    t->count = (int64_t)count;
    for (i = 0; i < 2; i++) {
        item = json_array_get(range, i);
        if (json_array_size(range) != 2 || !json_is_integer(item) || json_integer_value(item) < 0)
            return ctx_fail(ctx, LENS_BAD_FILE,
                            "%s: tensor \"%.200s\": data_offsets are not two numbers >= 0", file,
                            name);
        *(i ? &out->end : &out->begin) = (uint64_t)json_integer_value(item);
    }
    if (out->begin > out->end || out->end > room)
        return ctx_fail(
            ctx, LENS_BAD_FILE,
            "%s: tensor \"%.200s\": data_offsets [%llu, %llu] are outside the %llu bytes "
            "of data",
            file, name, (unsigned long long)out->begin, (unsigned long long)out->end,
            (unsigned long long)room);
    if (!mul_size(count, DTYPE[k].size, &bytes) || bytes != out->end - out->begin)
        return ctx_fail(ctx, LENS_BAD_FILE,
                        "%s: tensor \"%.200s\": %lld elements of %s do not fill data_offsets "
                        "[%llu, %llu]",
                        file, name, (long long)count, DTYPE[k].name, (unsigned long long)out->begin,
                        (unsigned long long)out->end);
    return LENS_OK;
}

static int by_range(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->tensor.name, y->tensor.name);
}

static int by_name(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return strcmp(x->tensor.name, y->tensor.name);
}

/* The ranges tile [0, room), and every tensor gets its place. */
static lens_status place(st_file *f, const char *file, entry *e, const uint8_t *data,
                         uint64_t room) {
    uint64_t at = 0;
    if (f->count) qsort(e, f->count, sizeof *e, by_range);
    for (size_t i = 0; i < f->count; i++) {
        if (e[i].begin != at)
            return ctx_fail(f->ctx, LENS_BAD_FILE,
                            "%s: tensor \"%.200s\" begins at byte %llu of the data, but the one "
                            "before it ends at %llu: %s",
                            file, e[i].tensor.name, (unsigned long long)e[i].begin,
                            (unsigned long long)at, e[i].begin < at ? "they overlap" : "a gap");
        at = e[i].end;
        e[i].tensor.data = data + e[i].begin;
        f->tensor[i] = e[i].tensor;
        e[i].begin = i; /* from here on: its index */
    }
    if (at != room)
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: %llu bytes of data follow the header but the tensors fill %llu", file,
                        (unsigned long long)room, (unsigned long long)at);
    if (f->count) qsort(e, f->count, sizeof *e, by_name);
    for (size_t i = 0; i < f->count; i++) f->by_name[i] = (uint32_t)e[i].begin;
    return LENS_OK;
}

static lens_status read_meta(st_file *f, const char *file) {
    const char *key;
    json_t *value;
    if (!json_is_object(f->meta))
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: __metadata__ is no object", file);
    f->pair = ctx_alloc(f->ctx, json_object_size(f->meta) + 1, sizeof *f->pair);
    if (!f->pair) return LENS_NOMEM;
    json_object_foreach(f->meta, key, value) {
        if (!json_is_string(value))
            return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: __metadata__ \"%.200s\" is no string", file,
                            key);
        f->pair[f->pairs++] = (st_pair){ key, json_string_value(value) };
    }
    return LENS_OK;
}

static lens_status read_header(st_file *f, const char *file, const uint8_t *bytes, size_t size) {
    uint64_t header = 0;
    json_error_t error;
    entry *e = NULL;
    const char *key;
    json_t *value;
    if (size < 8)
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: %zu bytes are too few for a safetensors file",
                        file, size);
    for (int i = 7; i >= 0; i--) header = header << 8 | bytes[i];
    if (header > ST_MAX_HEADER || header > size - 8)
        return ctx_fail(
            f->ctx, LENS_BAD_FILE,
            "%s: a header of %llu bytes is announced, but %zu follow and at most %d are "
            "read: no safetensors file, or truncated",
            file, (unsigned long long)header, size - 8, ST_MAX_HEADER);
    if (header < 2 || bytes[8] != '{')
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: byte 8: the header does not begin with '{'",
                        file);
    f->root = json_loadb((const char *)bytes + 8, (size_t)header, JSON_REJECT_DUPLICATES, &error);
    if (!f->root)
        return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: header, byte %lld: %s", file,
                        8 + (long long)error.position, error.text);
    f->meta = json_object_get(f->root, "__metadata__");
    if (f->meta) LENS_TRY(read_meta(f, file));
    f->count = json_object_size(f->root) - (f->meta != NULL);
    e = ctx_alloc(f->ctx, f->count + 1, sizeof *e);
    f->tensor = ctx_alloc(f->ctx, f->count + 1, sizeof *f->tensor);
    f->by_name = ctx_alloc(f->ctx, f->count + 1, sizeof *f->by_name);
    lens_status status = e && f->tensor && f->by_name ? LENS_OK : LENS_NOMEM;
    size_t n = 0;
    uint64_t room = size - 8 - header;
    json_object_foreach(f->root, key, value) {
        if (status == LENS_OK && value != f->meta)
            status = read_entry(f, file, key, value, room, &e[n++]);
    }
    if (status == LENS_OK) status = place(f, file, e, bytes + 8 + header, room);
    ctx_free(f->ctx, e);
    return status;
}

lens_status st_parse(lens_ctx *ctx, st_file **out, const void *bytes, size_t size,
                     const char *name) {
    st_file *f = ctx_alloc(ctx, 1, sizeof *f);
    *out = NULL;
    if (!f) return LENS_NOMEM;
    f->ctx = ctx;
    lens_status status = read_header(f, name, bytes, size);
    if (status == LENS_OK)
        *out = f;
    else
        st_close(f);
    return status;
}

lens_status st_open(lens_ctx *ctx, st_file **out, const char *path) {
    file_map map;
    *out = NULL;
    LENS_TRY(map_open(ctx, &map, path));
    lens_status status = st_parse(ctx, out, map.bytes, map.size, path);
    if (status == LENS_OK)
        (*out)->map = map;
    else
        map_close(&map);
    return status;
}

void st_close(st_file *f) {
    if (!f) return;
    map_close(&f->map);
    json_decref(f->root);
    ctx_free(f->ctx, f->tensor);
    ctx_free(f->ctx, f->by_name);
    ctx_free(f->ctx, f->pair);
    ctx_free(f->ctx, f);
}

size_t st_count(const st_file *f) { return f->count; }
const st_tensor *st_at(const st_file *f, size_t index) { return &f->tensor[index]; }

const st_tensor *st_search(const st_tensor *tensor, const uint32_t *by_name, size_t count,
                           const char *name) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const st_tensor *t = &tensor[by_name[middle]];
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const st_tensor *st_find(const st_file *f, const char *name) {
    return st_search(f->tensor, f->by_name, f->count, name);
}

size_t st_meta_count(const st_file *f) { return f->pairs; }
st_pair st_meta_at(const st_file *f, size_t index) { return f->pair[index]; }
const char *st_meta(const st_file *f, const char *key) {
    return json_string_value(json_object_get(f->meta, key));
}

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h >> 15) << 31, exponent = h >> 10 & 31, fraction = h & 1023, bits;
    float f;
    if (exponent == 0) {
        f = (float)fraction * 0x1p-24f; /* zero and subnormals */
        return sign ? -f : f;
    }
    bits = exponent == 31 ? sign | 0x7f800000u | fraction << 13
                          : sign | (exponent + 112) << 23 | fraction << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The n-th element as bits, little-endian on any machine. */
static uint64_t load(const uint8_t *p, size_t size) {
    uint64_t v = 0;
    for (size_t i = size; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static float element(st_dtype dtype, uint64_t bits) {
    float f;
    double d;
    uint32_t low = (uint32_t)bits;
    switch (dtype) {
    case ST_BOOL: return bits != 0;
    case ST_I8: return (float)(int8_t)bits;
    case ST_I16: return (float)(int16_t)bits;
    case ST_I32: return (float)(int32_t)bits;
    case ST_I64: return (float)(int64_t)bits;
    case ST_F16: return half_to_float((uint16_t)bits);
    case ST_BF16:
        low <<= 16; /* the upper half of a binary32 */
        memcpy(&f, &low, sizeof f);
        return f;
    case ST_F32: memcpy(&f, &low, sizeof f); return f;
    case ST_F64: memcpy(&d, &bits, sizeof d); return (float)d;
    default: return (float)bits; /* U8 to U64 */
    }
}

/* Where the element with this row-major number lies, in elements from `data`. */
static int64_t place_of(const st_tensor *t, int64_t number) {
    if (!t->strided) return number;
    int64_t at = 0;
    for (int d = t->rank - 1; d >= 0; d--) {
        at += number % t->dim[d] * t->stride[d];
        number /= t->dim[d];
    }
    return at;
}

void st_to_float(const st_tensor *t, int64_t first, int64_t count, float *out) {
    size_t size = DTYPE[t->dtype].size;
    const uint8_t *data = t->data;
    for (int64_t i = 0; i < count; i++)
        out[i] = element(t->dtype, load(data + (size_t)place_of(t, first + i) * size, size));
}

static void write_data(const st_tensor *t, FILE *stream) {
    size_t size = DTYPE[t->dtype].size;
    const uint8_t *data = t->data;
    if (!t->strided) {
        fwrite(data, size, (size_t)t->count, stream);
        return;
    }
    for (int64_t i = 0; i < t->count; i++)
        fwrite(data + (size_t)place_of(t, i) * size, size, 1, stream);
}

static lens_status build_header(lens_ctx *ctx, const char *path, const st_tensor *tensors,
                                size_t count, const st_pair *meta, size_t meta_count, char **out) {
    json_t *root = json_object(), *words = json_object();
    lens_status status = LENS_BAD_ARG;
    json_int_t at = 0;
    for (size_t i = 0; i < meta_count; i++)
        if (json_object_set_new(words, meta[i].key, json_string(meta[i].value)) != 0) {
            ctx_fail(ctx, status, "%s: metadata \"%.200s\" is not UTF-8", path, meta[i].key);
            goto done;
        }
    if (meta_count) json_object_set(root, "__metadata__", words);
    for (size_t i = 0; i < count; i++) {
        const st_tensor *t = &tensors[i];
        json_int_t end = at + (json_int_t)t->count * (json_int_t)DTYPE[t->dtype].size;
        if (strcmp(t->name, "__metadata__") == 0 || json_object_get(root, t->name)) {
            ctx_fail(ctx, status, "%s: two tensors cannot both be called \"%.200s\"", path,
                     t->name);
            goto done;
        }
        json_t *dims = json_array();
        for (int k = 0; k < t->rank; k++) json_array_append_new(dims, json_integer(t->dim[k]));
        json_t *info = json_pack("{s:s, s:o, s:[I,I]}", "dtype", DTYPE[t->dtype].name, "shape",
                                 dims, "data_offsets", at, end);
        if (json_object_set_new(root, t->name, info) != 0) {
            ctx_fail(ctx, status, "%s: tensor name \"%.200s\" is not UTF-8", path, t->name);
            goto done;
        }
        at = end;
    }
    char *text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    *out = text ? ctx_strdup(ctx, text) : NULL;
    status = *out ? LENS_OK : ctx_nomem(ctx, count, "a safetensors header");
    free(text);

done:
    json_decref(words);
    json_decref(root);
    return status;
}

lens_status st_write(lens_ctx *ctx, const char *path, const st_tensor *tensors, size_t count,
                     const st_pair *meta, size_t meta_count) {
    char *header = NULL;
    file_writer *writer = NULL;
    LENS_TRY(build_header(ctx, path, tensors, count, meta, meta_count, &header));
    lens_status status = file_begin(ctx, &writer, path);
    if (status == LENS_OK) {
        FILE *stream = file_stream(writer);
        size_t length = strlen(header), padded = (length + 7) / 8 * 8;
        uint8_t size[8];
        for (int i = 0; i < 8; i++) size[i] = (uint8_t)((uint64_t)padded >> (8 * i));
        fwrite(size, 1, 8, stream); /* write errors surface at commit */
        fwrite(header, 1, length, stream);
        for (; length < padded; length++) fputc(' ', stream);
        for (size_t i = 0; i < count; i++) write_data(&tensors[i], stream);
        status = file_commit(writer);
    }
    ctx_free(ctx, header);
    return status;
}
