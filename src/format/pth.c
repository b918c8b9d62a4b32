/* pth.c - see pth.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/pth.h"
#include "format/pickle.h"
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 8,          /* dicts from the checkpoint to its state_dict */
    MAX_LISTED = 32,        /* left-out entries that the log names */
    MAX_NAME = 500,         /* bytes of a tensor's name; torchvision's longest has 60 */
    MAX_KEY = 200,          /* of a storage's: a number in practice */
    MAX_TENSORS = 1 << 16,  /* ResNet-1202 has 8,000 */
    MAX_STORAGES = 1 << 17, /* of a stream, those of the optimiser included */
    STREAM_PROTOCOL = 1001,
    TENSOR_ITEMS = 7,
    STORAGE_ITEMS = 6,
};

struct pth_file {
    lens_ctx *ctx;
    st_tensor *tensor; /* [count] */
    uint32_t *by_name; /* [count] indices in order of the names */
    char *names;       /* the text of all names */
    size_t count;
};

/* One entry of the state_dict while it is read. */
typedef struct entry {
    pickle_value name, value;
    uint32_t index; /* in the state_dict */
} entry;

/* A storage of the stream form. */
typedef struct storage {
    const uint8_t *key, *data;
    size_t key_length;
    st_dtype dtype;
    int64_t count;
} storage;

typedef struct reader {
    pth_file *f;
    lens_ctx *ctx;
    const char *file;
    const uint8_t *bytes;
    size_t size;
    pickle *object;
    bool zipped;
    zip zip;
    char folder[ZIP_MAX_NAME + 1]; /* of the archive, with its slash */
    storage *storage;              /* stream form: [storages] in order of the keys */
    size_t storages;
} reader;

static const uint8_t MAGIC[10] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };

bool pth_is(const void *bytes, size_t size) {
    const uint8_t *b = bytes;
    if (size < 4) return false;
    if (b[0] == 'P' && b[1] == 'K') return (b[2] == 3 && b[3] == 4) || (b[2] == 5 && b[3] == 6);
    return b[0] == 0x80 && b[1] >= 2 && b[1] <= 5;
}

/* ---- The state_dict in what was saved ------------------------------------------------------- */

static bool has_tensors(const pickle *p, pickle_value v) {
    return v.kind == PICKLE_DICT && pickle_has_tensors(p, v);
}

/* The entries of a dict for a message: "epoch", "optimizer", ... */
static const char *keys_text(const pickle *p, pickle_value dict, char buf[300]) {
    size_t at = 0;
    char key[100];
    snprintf(buf, 300, "nothing");
    for (uint32_t c = pickle_first(p, dict); c && at < 180; c = pickle_next(p, pickle_next(p, c))) {
        pickle_value k = pickle_at(p, c);
        at += (size_t)snprintf(buf + at, 300 - at, "%s%.60s", at ? ", " : "",
                               k.kind == PICKLE_TEXT ? pickle_shown(k, key) : "(no text)");
    }
    return buf;
}

/* The dict to look into next: under a usual key, else the only dict with tensors, else the only
 * dict. False: there is none. */
static bool step_into(const pickle *p, pickle_value dict, pickle_value *next) {
    static const char *const usual[] = { "state_dict", "model_state_dict", "model", "net",
                                         "network",    "weights",          "params" };
    pickle_value only = dict;
    size_t with_tensors = 0, dicts = 0;
    for (size_t i = 0; i < LENS_COUNT(usual); i++)
        for (uint32_t c = pickle_first(p, dict); c; c = pickle_next(p, pickle_next(p, c))) {
            *next = pickle_at(p, pickle_next(p, c));
            if (pickle_is_text(pickle_at(p, c), usual[i]) && next->kind == PICKLE_DICT &&
                pickle_count(p, *next))
                return true;
        }
    for (uint32_t c = pickle_first(p, dict); c; c = pickle_next(p, pickle_next(p, c))) {
        pickle_value v = pickle_at(p, pickle_next(p, c));
        if (v.kind != PICKLE_DICT) continue;
        bool tensors = has_tensors(p, v);
        dicts++;
        with_tensors += tensors;
        if (tensors || !with_tensors) only = v;
    }
    *next = only;
    return with_tensors == 1 || (!with_tensors && dicts == 1);
}

static lens_status find_state(const reader *r, pickle_value *state) {
    const pickle *p = r->object;
    char keys[300];
    pickle_value at = pickle_root(p), next = at;
    if (at.kind != PICKLE_DICT)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: the object that was saved is no state_dict and no checkpoint",
                        r->file);
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        bool deeper = step_into(p, at, &next);
        if (has_tensors(p, at) && !(deeper && has_tensors(p, next))) {
            *state = at;
            return LENS_OK;
        }
        if (!deeper) break;
        ctx_log(r->ctx, LENS_LOG_DEBUG,
                "%s: a checkpoint of %s; what is not the state_dict is left out", r->file,
                keys_text(p, at, keys));
        at = next;
    }
    return ctx_fail(r->ctx, LENS_BAD_FILE,
                    "%s: no state_dict is found in the checkpoint: it has %s", r->file,
                    keys_text(p, pickle_root(p), keys));
}

/* ---- Storages ------------------------------------------------------------------------------- */

/* What the pickle says of one storage. */
typedef struct claim {
    pickle_value key;
    st_dtype dtype;
    int64_t count;           /* of the whole storage */
    int64_t offset, visible; /* the part that is meant; the whole unless the storage is a view */
} claim;

static bool is_size(pickle_value v) { return v.kind == PICKLE_INT && v.as.i >= 0; }

/* 'storage', class, key, device, count, view; view is None or (key, offset, size). */
static bool read_claim(const pickle *p, pickle_value v, claim *out) {
    pickle_value item[STORAGE_ITEMS], view[3];
    size_t count = pickle_items(p, v, item, STORAGE_ITEMS);
    if (count < 5 || count > STORAGE_ITEMS || !pickle_storage_type(item[1], &out->dtype) ||
        item[2].kind != PICKLE_TEXT || item[2].length > MAX_KEY || !is_size(item[4]))
        return false;
    *out = (claim){ item[2], out->dtype, item[4].as.i, 0, item[4].as.i };
    if (count == STORAGE_ITEMS && item[5].kind == PICKLE_TUPLE) {
        if (pickle_items(p, item[5], view, 3) != 3 || !is_size(view[1]) || !is_size(view[2]) ||
            view[1].as.i > out->count || view[2].as.i > out->count - view[1].as.i)
            return false;
        out->offset = view[1].as.i;
        out->visible = view[2].as.i;
        return true;
    }
    return count == 5 || item[5].kind == PICKLE_NONE;
}

static int compare_keys(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    if (a_length != b_length) return a_length < b_length ? -1 : 1;
    return memcmp(a, b, a_length);
}

static int by_key(const void *a, const void *b) {
    const storage *x = a, *y = b;
    return compare_keys(x->key, x->key_length, y->key, y->key_length);
}

static storage *find_storage(const reader *r, pickle_value key) {
    storage want = { .key = key.as.bytes, .key_length = key.length };
    return r->storages ? bsearch(&want, r->storage, r->storages, sizeof want, by_key) : NULL;
}

/* The bytes of a storage. */
static lens_status find_data(const reader *r, const char *tensor, const claim *c,
                             const uint8_t **data) {
    char key[100], path[ZIP_MAX_NAME + 1];
    size_t bytes;
    *data = NULL;
    pickle_shown(c->key, key);
    if (!mul_size((size_t)c->count, st_dtype_size(c->dtype), &bytes))
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: tensor \"%s\": its storage has %lld elements, more than fit in memory",
                        r->file, tensor, (long long)c->count);
    if (!r->zipped) {
        const storage *s = find_storage(r, c->key);
        if (!s || !s->data)
            return ctx_fail(r->ctx, LENS_BAD_FILE,
                            "%s: tensor \"%s\": its storage \"%s\" is not in the file", r->file,
                            tensor, key);
        if (s->count != c->count || s->dtype != c->dtype)
            return ctx_fail(
                r->ctx, LENS_BAD_FILE,
                "%s: tensor \"%s\": its storage \"%s\" has %lld elements of %s here and "
                "%lld of %s elsewhere",
                r->file, tensor, key, (long long)c->count, st_dtype_name(c->dtype),
                (long long)s->count, st_dtype_name(s->dtype));
        *data = s->data;
        return LENS_OK;
    }
    size_t length = strlen(r->folder);
    const zip_entry *e = NULL;
    if (c->key.length < sizeof path - length - 5) {
        memcpy(path, r->folder, length);
        memcpy(path + length, "data/", 5);
        memcpy(path + length + 5, c->key.as.bytes, c->key.length);
        e = zip_find(&r->zip, path, length + 5 + c->key.length);
    }
    if (!e)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: tensor \"%s\": the archive has no entry \"%.200sdata/%s\"", r->file,
                        tensor, r->folder, key);
    if (e->size != bytes)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: byte %llu: entry \"%.200sdata/%s\" has %llu bytes, but tensor \"%s\" "
                        "expects %lld elements of %s, %zu bytes",
                        r->file, (unsigned long long)e->header, r->folder, key,
                        (unsigned long long)e->size, tensor, (long long)c->count,
                        st_dtype_name(c->dtype), bytes);
    *data = e->data;
    return LENS_OK;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* Whether the last element of the tensor lies inside its storage. */
static bool fits(const st_tensor *t, int64_t offset, int64_t visible) {
    size_t last = (size_t)offset, way;
    if (t->count == 0) return offset <= visible;
    for (int d = 0; d < t->rank; d++)
        if (!mul_size((size_t)(t->dim[d] - 1), (size_t)t->stride[d], &way) ||
            !add_size(last, way, &last))
            return false;
    return last < (size_t)visible;
}

static bool is_row_major(const st_tensor *t) {
    int64_t step = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        if (t->dim[d] != 1 && t->stride[d] != step) return false;
        step *= t->dim[d];
    }
    return true;
}

static lens_status read_tensor(const reader *r, pickle_value v, st_tensor *t) {
    pickle_value item[TENSOR_ITEMS], dim[ST_MAX_RANK], stride[ST_MAX_RANK];
    claim c;
    const uint8_t *data;
    size_t count = 1;
    pickle_items(r->object, v, item, TENSOR_ITEMS); /* at least 4 */
    if (!read_claim(r->object, item[0], &c) || !is_size(item[1]) || item[2].kind != PICKLE_TUPLE ||
        item[3].kind != PICKLE_TUPLE)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: tensor \"%s\": storage, offset, size or stride is not what it must be",
                        r->file, t->name);
    size_t rank = pickle_items(r->object, item[2], dim, ST_MAX_RANK);
    if (rank != pickle_items(r->object, item[3], stride, ST_MAX_RANK))
        return ctx_fail(r->ctx, LENS_BAD_FILE, "%s: tensor \"%s\": rank %zu, but %zu strides",
                        r->file, t->name, rank, pickle_count(r->object, item[3]));
    if (rank > ST_MAX_RANK)
        return ctx_fail(r->ctx, LENS_UNSUPPORTED, "%s: tensor \"%s\": rank %zu; at most %d is read",
                        r->file, t->name, rank, ST_MAX_RANK);
    t->dtype = c.dtype;
    t->rank = (int)rank;
    for (size_t d = 0; d < rank; d++) {
        if (!is_size(dim[d]) || !is_size(stride[d]))
            return ctx_fail(r->ctx, LENS_BAD_FILE,
                            "%s: tensor \"%s\": dimension or stride %zu is no number >= 0", r->file,
                            t->name, d);
        t->dim[d] = dim[d].as.i;
        t->stride[d] = stride[d].as.i;
        if (!mul_size(count, (size_t)t->dim[d], &count) || count > PTRDIFF_MAX)
            return ctx_fail(r->ctx, LENS_BAD_FILE,
                            "%s: tensor \"%s\": its shape has more elements than fit in memory",
                            r->file, t->name);
    }
    t->count = (int64_t)count;
    LENS_TRY(find_data(r, t->name, &c, &data));
    if (!fits(t, item[1].as.i, c.visible))
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: tensor \"%s\": offset %lld, shape and strides lead past the %lld "
                        "elements of its storage",
                        r->file, t->name, (long long)item[1].as.i, (long long)c.visible);
    if (t->count > c.visible)
        return ctx_fail(r->ctx, LENS_UNSUPPORTED,
                        "%s: tensor \"%s\": %lld elements share the %lld of its storage; save "
                        "tensor.contiguous()",
                        r->file, t->name, (long long)t->count, (long long)c.visible);
    t->strided = t->count > 0 && !is_row_major(t);
    t->data = data + (size_t)(c.offset + item[1].as.i) * st_dtype_size(t->dtype);
    return LENS_OK;
}

/* ---- Names ---------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
    const entry *x = a, *y = b;
    size_t n = x->name.length < y->name.length ? x->name.length : y->name.length;
    int order = memcmp(x->name.as.bytes, y->name.as.bytes, n);
    if (order) return order;
    return x->name.length < y->name.length ? -1 : x->name.length > y->name.length;
}

static bool all_begin_with(const entry *e, size_t count, const char *prefix) {
    size_t length = strlen(prefix);
    for (size_t i = 0; i < count; i++)
        if (e[i].name.length <= length || memcmp(e[i].name.as.bytes, prefix, length) != 0)
            return false;
    return count > 0;
}

static void strip_prefixes(entry *e, size_t count) {
    static const char *const prefix[] = { "module.", "_orig_mod." };
    for (size_t i = 0; i < LENS_COUNT(prefix); i++)
        while (all_begin_with(e, count, prefix[i]))
            for (size_t k = 0; k < count; k++) {
                e[k].name.as.bytes += strlen(prefix[i]);
                e[k].name.length -= (uint32_t)strlen(prefix[i]);
            }
}

/* Sorted by name, no two alike, and the texts copied, each with its 0. Names that differ lie in
 * different places of the file, so the copies need no more room than it. */
static lens_status read_names(const reader *r, entry *e, size_t count) {
    pth_file *f = r->f;
    char name[100];
    size_t room = 1;
    if (count) qsort(e, count, sizeof *e, by_text);
    for (size_t i = 0; i < count; i++) {
        pickle_shown(e[i].name, name);
        if (!e[i].name.length || memchr(e[i].name.as.bytes, 0, e[i].name.length))
            return ctx_fail(r->ctx, LENS_BAD_FILE,
                            "%s: tensor \"%s\": an empty name, or a 0 byte in it", r->file, name);
        if (i && by_text(&e[i - 1], &e[i]) == 0)
            return ctx_fail(r->ctx, LENS_BAD_FILE, "%s: two tensors are called \"%s\"", r->file,
                            name);
        room += e[i].name.length + 1;
    }
    strip_prefixes(e, count);
    f->names = ctx_alloc(r->ctx, room, 1);
    f->tensor = ctx_alloc(r->ctx, count + 1, sizeof *f->tensor);
    f->by_name = ctx_alloc(r->ctx, count + 1, sizeof *f->by_name);
    if (!f->names || !f->tensor || !f->by_name) return LENS_NOMEM;
    char *at = f->names;
    for (size_t i = 0; i < count; i++) {
        f->by_name[i] = e[i].index;
        f->tensor[e[i].index].name = at;
        memcpy(at, e[i].name.as.bytes, e[i].name.length);
        at += e[i].name.length + 1;
    }
    f->count = count;
    return LENS_OK;
}

static lens_status read_state(reader *r, pickle_value state) {
    const pickle *p = r->object;
    char name[100];
    size_t count = 0, left_out = 0;
    lens_status status = LENS_OK;
    entry *e = ctx_alloc(r->ctx, pickle_count(p, state) / 2 + 1, sizeof *e);
    if (!e) return LENS_NOMEM;
    for (uint32_t c = pickle_first(p, state); c; c = pickle_next(p, pickle_next(p, c))) {
        pickle_value key = pickle_at(p, c), value = pickle_at(p, pickle_next(p, c));
        if (key.kind == PICKLE_TEXT && value.kind == PICKLE_TENSOR) {
            if (count == MAX_TENSORS || key.length > MAX_NAME) {
                status = ctx_fail(r->ctx, LENS_UNSUPPORTED,
                                  "%s: more than %d tensors, or a name of more than %d bytes: "
                                  "\"%s\"",
                                  r->file, MAX_TENSORS, MAX_NAME, pickle_shown(key, name));
                goto done;
            }
            e[count] = (entry){ key, value, (uint32_t)count };
            count++;
        } else if (left_out++ < MAX_LISTED) {
            ctx_log(r->ctx, LENS_LOG_DEBUG, "%s: \"%s\" is no tensor and left out", r->file,
                    key.kind == PICKLE_TEXT ? pickle_shown(key, name) : "(no text)");
        }
    }
    if (left_out > MAX_LISTED)
        ctx_log(r->ctx, LENS_LOG_DEBUG, "%s: %zu entries are no tensors", r->file, left_out);
    status = read_names(r, e, count);
    for (size_t i = 0; i < count && status == LENS_OK; i++)
        status = read_tensor(r, e[i].value, &r->f->tensor[e[i].index]);
done:
    ctx_free(r->ctx, e);
    return status;
}

/* ---- The two forms -------------------------------------------------------------------------- */

static lens_status open_zip(reader *r) {
    static const char tail[] = "/data.pkl";
    const zip_entry *data = NULL, *order;
    size_t length = sizeof tail - 1;
    char path[ZIP_MAX_NAME + 16];
    LENS_TRY(zip_parse(r->ctx, &r->zip, r->bytes, r->size, r->file));
    r->zipped = true;
    for (size_t i = 0; i < r->zip.count; i++) {
        const zip_entry *e = &r->zip.entry[i];
        size_t folder = e->name_length > length ? e->name_length - length : 0;
        if (!folder || memcmp(e->name + folder, tail, length) != 0 || memchr(e->name, '/', folder))
            continue;
        if (data)
            return ctx_fail(r->ctx, LENS_BAD_FILE, "%s: byte %llu: a second data.pkl", r->file,
                            (unsigned long long)e->header);
        data = e;
    }
    if (!data)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: a ZIP archive, but not of torch.save: it has no NAME/data.pkl",
                        r->file);
    memcpy(r->folder, data->name, data->name_length - length + 1);
    snprintf(path, sizeof path, "%sbyteorder", r->folder);
    order = zip_find(&r->zip, path, strlen(path));
    if (order && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return ctx_fail(r->ctx, LENS_UNSUPPORTED,
                        "%s: byte %llu: the byte order is not \"little\"; nothing else is read",
                        r->file, (unsigned long long)order->header);
    return pickle_decode(r->ctx, &r->object, data->data, (size_t)data->size, NULL, r->file,
                         (uint64_t)(data->data - r->bytes));
}

/* The next pickle of the stream; NULL `out`: *root is all that is wanted of it. */
static lens_status next_pickle(reader *r, size_t *at, pickle **out, pickle_value *root) {
    pickle *p;
    size_t used;
    LENS_TRY(pickle_decode(r->ctx, &p, r->bytes + *at, r->size - *at, &used, r->file, *at));
    *at += used;
    *root = pickle_root(p);
    if (out)
        *out = p;
    else
        pickle_free(p);
    return LENS_OK;
}

/* Whether the machine that saved was little-endian. */
static bool is_little(const pickle *p, pickle_value info) {
    if (info.kind != PICKLE_DICT) return false;
    for (uint32_t c = pickle_first(p, info); c; c = pickle_next(p, pickle_next(p, c))) {
        pickle_value v = pickle_at(p, pickle_next(p, c));
        if (pickle_is_text(pickle_at(p, c), "little_endian"))
            return v.kind == PICKLE_BOOL && v.as.i;
    }
    return false;
}

/* The storages of all tensors: the stream tells their sizes only in elements, so
 * their types must be known before they can be found. */
static lens_status list_storages(reader *r) {
    const pickle *p = r->object;
    size_t room = 0;
    claim c;
    /* Every storage of the pickle, those of the optimiser included, is an item of some container:
     * without walking the graph, all cells are looked at. */
    for (uint32_t cell = 1; cell < pickle_cells(p); cell++)
        room += pickle_at(p, cell).kind == PICKLE_STORAGE;
    if (room > MAX_STORAGES)
        return ctx_fail(r->ctx, LENS_UNSUPPORTED, "%s: %zu storages; at most %d are read", r->file,
                        room, MAX_STORAGES);
    r->storage = ctx_alloc(r->ctx, room + 1, sizeof *r->storage);
    if (!r->storage) return LENS_NOMEM;
    for (uint32_t cell = 1; cell < pickle_cells(p); cell++) {
        pickle_value v = pickle_at(p, cell);
        if (v.kind != PICKLE_STORAGE || !read_claim(p, v, &c)) continue;
        r->storage[r->storages++] =
            (storage){ c.key.as.bytes, NULL, c.key.length, c.dtype, c.count };
    }
    if (r->storages) qsort(r->storage, r->storages, sizeof *r->storage, by_key);
    size_t kept = 0;
    for (size_t i = 0; i < r->storages; i++)
        if (!kept || by_key(&r->storage[kept - 1], &r->storage[i]) != 0)
            r->storage[kept++] = r->storage[i];
    r->storages = kept;
    return LENS_OK;
}

static lens_status place_storage(reader *r, pickle_value key, size_t *at) {
    char name[100];
    storage *s = key.kind == PICKLE_TEXT ? find_storage(r, key) : NULL;
    size_t bytes, left = r->size - *at;
    if (!s)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: byte %zu: storage \"%s\" follows, which no tensor uses", r->file, *at,
                        key.kind == PICKLE_TEXT ? pickle_shown(key, name) : "(no text)");
    pickle_shown(key, name);
    if (s->data)
        return ctx_fail(r->ctx, LENS_BAD_FILE, "%s: byte %zu: storage \"%s\" comes twice", r->file,
                        *at, name);
    if (left < 8)
        return ctx_fail(r->ctx, LENS_BAD_FILE,
                        "%s: byte %zu: storage \"%s\" is missing: the file is truncated", r->file,
                        *at, name);
    uint64_t count = 0;
    for (int i = 7; i >= 0; i--) count = count << 8 | r->bytes[*at + (size_t)i];
    if (count != (uint64_t)s->count)
        return ctx_fail(
            r->ctx, LENS_BAD_FILE,
            "%s: byte %zu: storage \"%s\" has %llu elements, but its tensors expect %lld", r->file,
            *at, name, (unsigned long long)count, (long long)s->count);
    if (!mul_size((size_t)count, st_dtype_size(s->dtype), &bytes) || bytes > left - 8)
        return ctx_fail(
            r->ctx, LENS_BAD_FILE,
            "%s: byte %zu: storage \"%s\" of %llu elements is cut off: %zu bytes are left", r->file,
            *at, name, (unsigned long long)count, left - 8);
    s->data = r->bytes + *at + 8;
    *at += 8 + bytes;
    return LENS_OK;
}

static lens_status open_stream(reader *r) {
    pickle *p = NULL;
    pickle_value root;
    size_t at = 0;
    LENS_TRY(next_pickle(r, &at, NULL, &root));
    if (root.kind != PICKLE_LONG || root.length != sizeof MAGIC ||
        memcmp(root.as.bytes, MAGIC, sizeof MAGIC) != 0)
        return ctx_fail(r->ctx, LENS_BAD_FILE, "%s: a Python pickle, but not of torch.save",
                        r->file);
    LENS_TRY(next_pickle(r, &at, NULL, &root));
    if (root.kind != PICKLE_INT || root.as.i != STREAM_PROTOCOL)
        return ctx_fail(r->ctx, LENS_UNSUPPORTED,
                        "%s: the protocol of the PyTorch file is not %d, the only one known",
                        r->file, STREAM_PROTOCOL);
    LENS_TRY(next_pickle(r, &at, &p, &root));
    bool little = is_little(p, root);
    pickle_free(p);
    if (!little)
        return ctx_fail(r->ctx, LENS_UNSUPPORTED,
                        "%s: the file does not say that its numbers are little-endian; nothing "
                        "else is read",
                        r->file);
    LENS_TRY(next_pickle(r, &at, &r->object, &root));
    LENS_TRY(list_storages(r));
    size_t keys_at = at;
    LENS_TRY(next_pickle(r, &at, &p, &root));
    lens_status status = LENS_OK;
    if (root.kind != PICKLE_LIST)
        status = ctx_fail(r->ctx, LENS_BAD_FILE, "%s: byte %zu: expected a list of storages",
                          r->file, keys_at);
    for (uint32_t c = status == LENS_OK ? pickle_first(p, root) : 0; c && status == LENS_OK;
         c = pickle_next(p, c))
        status = place_storage(r, pickle_at(p, c), &at);
    pickle_free(p);
    if (status == LENS_OK && at != r->size)
        status = ctx_fail(r->ctx, LENS_BAD_FILE, "%s: byte %zu: %zu bytes follow the last storage",
                          r->file, at, r->size - at);
    return status;
}

lens_status pth_parse(lens_ctx *ctx, pth_file **out, const void *bytes, size_t size,
                      const char *name) {
    *out = NULL;
    reader *r = ctx_alloc(ctx, 1, sizeof *r);
    pth_file *f = ctx_alloc(ctx, 1, sizeof *f);
    lens_status status = LENS_NOMEM;
    pickle_value state;
    if (f) f->ctx = ctx;
    if (!r || !f) goto done;
    *r = (reader){ .f = f, .ctx = ctx, .file = name, .bytes = bytes, .size = size };
    status = size && *r->bytes == 'P' ? open_zip(r) : open_stream(r);
    if (status == LENS_OK) status = find_state(r, &state);
    if (status == LENS_OK) status = read_state(r, state);
    if (status == LENS_OK) {
        *out = f;
        f = NULL;
    }
done:
    if (r) {
        pickle_free(r->object);
        if (r->zipped) zip_close(&r->zip);
        ctx_free(ctx, r->storage);
        ctx_free(ctx, r);
    }
    pth_close(f);
    return status;
}

void pth_close(pth_file *f) {
    if (!f) return;
    ctx_free(f->ctx, f->tensor);
    ctx_free(f->ctx, f->by_name);
    ctx_free(f->ctx, f->names);
    ctx_free(f->ctx, f);
}

size_t pth_count(const pth_file *f) { return f->count; }
const st_tensor *pth_at(const pth_file *f, size_t index) { return &f->tensor[index]; }

const st_tensor *pth_find(const pth_file *f, const char *name) {
    return st_search(f->tensor, f->by_name, f->count, name);
}
