/* model.c - model files, words that travel with a model, and the hash of its weights.
 *
 * Invariant: a file is compared with the net in full before the first weight is written, and before
 * memory in proportion to what the net text claims is allocated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define XXH_STATIC_LINKING_ONLY /* the size of the state, which then needs no allocation */
#include "format/safetensors.h"
#include "net/onnx.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- Words ---------------------------------------------------------------------------------- */

static const char *const reserved[] = { "format", "lenslet_version", "net" };

static bool is_reserved(const char *key) {
    for (size_t i = 0; i < LENS_COUNT(reserved); i++)
        if (!strcmp(key, reserved[i])) return true;
    return false;
}

static int find_word(const lens_net *net, const char *key) {
    for (int i = 0; i < net->words; i++)
        if (!strcmp(net->word[i].key, key)) return i;
    return -1;
}

const char *lens_net_meta(const lens_net *net, const char *key) {
    int at = find_word(net, key);
    return at < 0 ? NULL : net->word[at].value;
}

static void remove_word(lens_net *net, int at) {
    ctx_free(net->ctx, net->word[at].key);
    ctx_free(net->ctx, net->word[at].value);
    for (; at + 1 < net->words; at++) net->word[at] = net->word[at + 1];
    net->words--;
}

lens_status lens_net_set_meta(lens_net *net, const char *key, const char *value) {
    lens_ctx *ctx = net->ctx;
    if (!*key || is_reserved(key))
        return ctx_fail(ctx, LENS_BAD_ARG, "the word '%s' of a model cannot be set", key);
    int at = find_word(net, key);
    if (!value) {
        if (at >= 0) remove_word(net, at);
        return LENS_OK;
    }
    if (at < 0 && net->words == NET_MAX_WORDS)
        return ctx_fail(ctx, LENS_BAD_ARG, "net %s: more than %d words travel with it", net->name,
                        NET_MAX_WORDS);
    char *copy = ctx_strdup(ctx, value);
    if (!copy) return LENS_NOMEM;
    if (at >= 0) {
        ctx_free(ctx, net->word[at].value);
        net->word[at].value = copy;
        return LENS_OK;
    }
    char *name = ctx_strdup(ctx, key);
    net_word *word =
        name ? ctx_grow(ctx, net->word, (size_t)net->words, (size_t)net->words + 1, sizeof *word)
             : NULL;
    if (!word) {
        ctx_free(ctx, name);
        ctx_free(ctx, copy);
        return LENS_NOMEM;
    }
    net->word = word;
    net->word[net->words++] = (net_word){ .key = name, .value = copy };
    return LENS_OK;
}

/* ---- Hash ----------------------------------------------------------------------------------- */

void lens_net_hash(const lens_net *net, char hex[33]) {
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    for (int i = 0; i < lens_net_params(net); i++) {
        const net_param *param = &net->param[i];
        const op_param *op = net_param_op(param);
        /* With the terminating 0 and the rank no two lists of parameters read the same. */
        int64_t rank = op->rank;
        XXH3_128bits_update(&state, param->name, strlen(param->name) + 1);
        XXH3_128bits_update(&state, &rank, sizeof rank);
        XXH3_128bits_update(&state, op->dim, (size_t)op->rank * sizeof *op->dim);
        XXH3_128bits_update(&state, net->weights + param->offset, op->count * sizeof(float));
    }
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(&state));
    for (size_t i = 0; i < sizeof bytes.digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes.digest[i]);
}

/* ---- Saving --------------------------------------------------------------------------------- */

lens_status lens_net_save(const lens_net *net, const char *path) {
    lens_ctx *ctx = net->ctx;
    char *text = NULL;
    LENS_TRY(lens_net_text(net, &text));
    lens_status status = LENS_NOMEM;
    st_tensor *tensor = ctx_alloc(ctx, (size_t)net->params + 1, sizeof *tensor);
    st_pair *meta = ctx_alloc(ctx, (size_t)net->words + 3, sizeof *meta);
    if (!tensor || !meta) goto done;
    for (int i = 0; i < net->params; i++) {
        const net_param *param = &net->param[i];
        const op_param *op = net_param_op(param);
        tensor[i] = (st_tensor){ .name = param->name,
                                 .dtype = ST_F32,
                                 .rank = op->rank,
                                 .count = (int64_t)op->count,
                                 .data = net->weights + param->offset };
        memcpy(tensor[i].dim, op->dim, (size_t)op->rank * sizeof *op->dim);
    }
    size_t pairs = 0;
    meta[pairs++] = (st_pair){ "format", "lenslet" };
    meta[pairs++] = (st_pair){ "lenslet_version", lens_version() };
    meta[pairs++] = (st_pair){ "net", text };
    for (int i = 0; i < net->words; i++)
        meta[pairs++] = (st_pair){ net->word[i].key, net->word[i].value };
    status = st_write(ctx, path, tensor, (size_t)net->params, meta, pairs);
done:
    ctx_free(ctx, tensor);
    ctx_free(ctx, meta);
    ctx_free(ctx, text);
    return status;
}

/* ---- Comparing a file with a net ------------------------------------------------------------ */

/* A message that lists at most `most` names of each sort and counts the rest. */
typedef struct report {
    char text[3000]; /* below what a context can hold */
    size_t length;
    int count; /* of the present sort */
} report;

enum { MOST_LISTED = 8 };

static void report_put(report *r, const char *format, ...) LENS_PRINTF(2, 3);

static void report_put(report *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(r->text + r->length, sizeof r->text - r->length, format, args);
    va_end(args);
    if (wrote > 0) r->length += (size_t)wrote;
    if (r->length >= sizeof r->text) r->length = sizeof r->text - 1;
}

static void report_add(report *r, const char *sort, const char *name, const char *detail) {
    if (r->count++ >= MOST_LISTED) return;
    if (r->count > 1)
        report_put(r, ", ");
    else
        report_put(r, "%s%s: ", r->length ? "; " : "", sort);
    report_put(r, "%.100s%s", name, detail);
}

/* Closes one sort. */
static void report_end(report *r) {
    if (r->count > MOST_LISTED) report_put(r, " and %d more", r->count - MOST_LISTED);
    r->count = 0;
}

static const char *dims_text(int rank, const int64_t *dim, char buf[200]) {
    size_t at = 0;
    snprintf(buf, 200, "a scalar");
    for (int d = 0; d < rank && at < 200; d++)
        at += (size_t)snprintf(buf + at, 200 - at, "%s%lld", d ? "x" : "", (long long)dim[d]);
    return buf;
}

static bool is_real(st_dtype type) {
    return type == ST_F16 || type == ST_BF16 || type == ST_F32 || type == ST_F64;
}

/* Says in `detail` why this tensor cannot be that parameter; false if it can. */
static bool mismatch(const op_param *op, const st_tensor *tensor, char detail[500]) {
    char have[200], want[200];
    if (!is_real(tensor->dtype)) {
        snprintf(detail, 500, " (the file has %s, the net needs F32)",
                 st_dtype_name(tensor->dtype));
        return true;
    }
    bool same = tensor->rank == op->rank;
    for (int d = 0; same && d < op->rank; d++) same = tensor->dim[d] == op->dim[d];
    if (!same)
        snprintf(detail, 500, " (the file has %s, the net %s)",
                 dims_text(tensor->rank, tensor->dim, have), dims_text(op->rank, op->dim, want));
    return !same;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* PyTorch's batch norm counts its batches; the count has no use here. */
static bool is_ignored(const char *name) {
    static const char tail[] = "num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof tail - 1 && !strcmp(name + length - (sizeof tail - 1), tail);
}

/* Every parameter must be there with its shape, and nothing else. */
static lens_status compare(const lens_net *net, const st_file *file, const char *path) {
    lens_ctx *ctx = net->ctx;
    const char **name = ctx_alloc(ctx, (size_t)net->params + 1, sizeof *name);
    report *r = ctx_alloc(ctx, 1, sizeof *r);
    lens_status status = LENS_NOMEM;
    if (!name || !r) goto done;
    char detail[500];
    for (int i = 0; i < net->params; i++) {
        name[i] = net->param[i].name;
        if (!st_find(file, name[i])) report_add(r, "missing", name[i], "");
    }
    report_end(r);
    qsort(name, (size_t)net->params, sizeof *name, by_text);
    for (size_t i = 0; i < st_count(file); i++) {
        const char *given = st_at(file, i)->name;
        if (!bsearch(&given, name, (size_t)net->params, sizeof *name, by_text) &&
            !is_ignored(given))
            report_add(r, "unexpected", given, "");
    }
    report_end(r);
    for (int i = 0; i < net->params; i++) {
        const st_tensor *tensor = st_find(file, net->param[i].name);
        if (tensor && mismatch(net_param_op(&net->param[i]), tensor, detail))
            report_add(r, "mismatched", net->param[i].name, detail);
    }
    report_end(r);
    status = LENS_OK;
    if (r->length)
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: the weights do not fit net %s: %s", path,
                          net->name, r->text);
done:
    ctx_free(ctx, name);
    ctx_free(ctx, r);
    return status;
}

static void copy_weights(lens_net *net, const st_file *file) {
    for (int i = 0; i < net->params; i++) {
        const st_tensor *tensor = st_find(file, net->param[i].name);
        st_to_float(tensor, 0, tensor->count, net->weights + net->param[i].offset);
    }
    lens_net_touched(net);
}

/* ---- Loading -------------------------------------------------------------------------------- */

lens_status lens_net_load_weights(lens_net *net, const char *path) {
    st_file *file;
    if (!net->finished)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s is not finished: see lens_net_finish",
                        net->name);
    LENS_TRY(st_open(net->ctx, &file, path));
    lens_status status = compare(net, file, path);
    if (status == LENS_OK) copy_weights(net, file);
    st_close(file);
    return status;
}

static lens_status load(lens_ctx *ctx, lens_net **net, const st_file *file, const char *path) {
    const char *text = st_meta(file, "net");
    if (!text)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: it holds weights but no description of a net",
                        path);
    char *where = ctx_printf(ctx, "%s (net text)", path);
    if (!where) return LENS_NOMEM;
    lens_status status = net_parse(ctx, net, text, where);
    ctx_free(ctx, where);
    LENS_TRY(status);
    LENS_TRY(compare(*net, file, path));
    LENS_TRY(net_allocate(*net));
    for (size_t i = 0; i < st_meta_count(file); i++) {
        st_pair pair = st_meta_at(file, i);
        if (*pair.key && !is_reserved(pair.key))
            LENS_TRY(lens_net_set_meta(*net, pair.key, pair.value));
    }
    copy_weights(*net, file);
    return LENS_OK;
}

/* The first bytes decide; a file that cannot be read is left to its loader to complain about. */
static bool is_onnx(const char *path) {
    uint8_t head[16];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(head, 1, sizeof head, file) : 0;
    if (file) fclose(file);
    return onnx_looks(head, size);
}

static lens_status load_onnx(lens_ctx *ctx, lens_net **out, const char *path) {
    onnx_file *file;
    LENS_TRY(onnx_open(ctx, &file, path));
    lens_status status = net_from_onnx(ctx, out, onnx_description(file), path);
    onnx_close(file);
    return status;
}

lens_status lens_net_load(lens_ctx *ctx, lens_net **out, const char *path) {
    st_file *file;
    lens_net *net = NULL;
    *out = NULL;
    if (is_onnx(path)) return load_onnx(ctx, out, path);
    LENS_TRY(st_open(ctx, &file, path));
    lens_status status = load(ctx, &net, file, path);
    st_close(file);
    if (status == LENS_OK)
        *out = net;
    else
        lens_net_free(net);
    return status;
}
