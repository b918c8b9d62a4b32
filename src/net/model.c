/* model.c - model files, words that travel with a model, and the hash of its weights.
 *
 * Invariant: a file is compared with the net in full before the first weight is written, and before
 * memory in proportion to what the net text claims is allocated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define XXH_STATIC_LINKING_ONLY /* the size of the state, which then needs no allocation */
#include "format/tensors.h"
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

lens_status lens_net_save_text(const lens_net *net, const char *path) {
    char *text = NULL;
    file_writer *writer = NULL;
    LENS_TRY(lens_net_text(net, &text));
    lens_status status = file_begin(net->ctx, &writer, path);
    if (status == LENS_OK) {
        fputs(text, file_stream(writer)); /* write errors surface at commit */
        status = file_commit(writer);
    }
    ctx_free(net->ctx, text);
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

/* PyTorch's batch norm counts its batches; the count has no use here. */
static bool is_ignored(const char *name) {
    static const char tail[] = "num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof tail - 1 && !strcmp(name + length - (sizeof tail - 1), tail);
}

/* Published files call the same layers by other names: CIFAR ResNets of the common implementation
 * ("linear", "shortcut"), and DenseNets saved before PyTorch 0.4 ("norm.1"). Each side may be the
 * net's. */
static const char *const ALIAS[][2] = {
    { "fc.", "linear." },           { "linear.", "fc." },    { "downsample.", "shortcut." },
    { "shortcut.", "downsample." }, { "norm1.", "norm.1." }, { "norm2.", "norm.2." },
    { "conv1.", "conv.1." },        { "conv2.", "conv.2." },
};

/* `name` with the first component `from` replaced; false: it has none. */
static bool rename_part(const char *name, const char *from, const char *to, char *out,
                        size_t room) {
    for (const char *at = name; (at = strstr(at, from)); at++) {
        if (at != name && at[-1] != '.') continue;
        int wrote = snprintf(out, room, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
        return wrote > 0 && (size_t)wrote < room;
    }
    return false;
}

static const st_tensor *find_tensor(const tensor_file *file, const char *name) {
    char other[2 * NET_MAX_NAME];
    const st_tensor *t = tensors_find(file, name);
    for (size_t i = 0; !t && i < LENS_COUNT(ALIAS); i++)
        if (rename_part(name, ALIAS[i][0], ALIAS[i][1], other, sizeof other))
            t = tensors_find(file, other);
    return t;
}

/* A file next to a net: which tensor each parameter gets, and what may be missing. */
typedef struct match {
    const lens_net *net;
    const tensor_file *file;
    const char *path;
    lens_weights_opts opts;
    const st_tensor **tensor; /* [params]; NULL: keeps its value */
    bool *used;               /* [tensors of the file] */
    int64_t classes;          /* of the file */
    report *r;
} match;

static lens_status match_new(match *m, const lens_net *net, const tensor_file *file,
                             const char *path, const lens_weights_opts *opts) {
    *m = (match){ .net = net, .file = file, .path = path, .classes = net->output->op.out.c };
    if (opts) m->opts = *opts;
    m->tensor = ctx_alloc(net->ctx, (size_t)net->params + 1, sizeof *m->tensor);
    m->used = ctx_alloc(net->ctx, tensors_count(file) + 1, sizeof *m->used);
    m->r = ctx_alloc(net->ctx, 1, sizeof *m->r);
    return m->tensor && m->used && m->r ? LENS_OK : LENS_NOMEM;
}

static void match_free(match *m) {
    ctx_free(m->net->ctx, m->tensor);
    ctx_free(m->net->ctx, m->used);
    ctx_free(m->net->ctx, m->r);
}

/* The head is what makes the classes: parameters whose first dimension is the classes and alone
 * differs, by the same number of the file for all of them (auxiliary heads are heads too). */
static bool is_head(const match *m, const op_param *op, const st_tensor *t, int64_t *classes) {
    if (!t || t->rank != op->rank || op->rank < 1 || !is_real(t->dtype)) return false;
    for (int d = 1; d < op->rank; d++)
        if (t->dim[d] != op->dim[d]) return false;
    int64_t outputs = m->net->output->op.out.c;
    if (op->dim[0] != outputs || t->dim[0] == outputs || (*classes && *classes != t->dim[0]))
        return false;
    *classes = t->dim[0];
    return true;
}

/* Drops the head's tensors and says so. m->classes: those of the file. */
static void replace_head(match *m) {
    int64_t classes = 0;
    char detail[100];
    for (int i = m->net->params - 1; i >= 0; i--) /* the output's first */
        if (is_head(m, net_param_op(&m->net->param[i]), m->tensor[i], &classes)) {
            report_add(m->r, "new head", m->net->param[i].name, "");
            m->tensor[i] = NULL;
        }
    report_end(m->r);
    if (!classes) return;
    m->classes = classes;
    snprintf(detail, sizeof detail, " (%lld classes in the file, %d in the net)",
             (long long)classes, m->net->output->op.out.c);
    report_put(m->r, "%s", detail);
}

/* Lists what the net has and the file has not, of what serves training alone or of all else. */
static void list_missing(match *m, const char *sort, bool training) {
    for (int i = 0; i < m->net->params; i++)
        if (!m->tensor[i] && m->net->param[i].node->training == training)
            report_add(m->r, sort, m->net->param[i].name, "");
    report_end(m->r);
}

/* Every parameter must be there with its shape, and nothing else, but for what the options allow. Files
 * made for inference have nothing of what serves training alone: then all of it may be missing. */
static lens_status match_all(match *m) {
    const lens_net *net = m->net;
    size_t loaded = 0, refused, allowed;
    char detail[500];
    bool heads = false;
    for (int i = 0; i < net->params; i++) {
        m->tensor[i] = find_tensor(m->file, net->param[i].name);
        if (!m->tensor[i]) continue;
        m->used[m->tensor[i] - tensors_at(m->file, 0)] = true;
        heads |= net->param[i].node->training;
    }
    list_missing(m, "missing", false);
    if (heads) list_missing(m, "missing", true);
    for (size_t i = 0; i < tensors_count(m->file); i++) {
        const char *given = tensors_at(m->file, i)->name;
        if (!m->used[i] && !is_ignored(given)) report_add(m->r, "unexpected", given, "");
    }
    report_end(m->r);
    refused = m->r->length;
    if (!heads) list_missing(m, "missing, but for training alone", true);
    if (m->opts.replace_head) replace_head(m);
    allowed = m->r->length - refused;
    for (int i = 0; i < net->params; i++) {
        if (!m->tensor[i]) continue;
        if (mismatch(net_param_op(&net->param[i]), m->tensor[i], detail)) {
            report_add(m->r, "mismatched", net->param[i].name, detail);
            m->tensor[i] = NULL;
        }
        loaded += m->tensor[i] != NULL;
    }
    report_end(m->r);
    if (m->r->length == allowed || (m->opts.partial && loaded)) return LENS_OK;
    return ctx_fail(net->ctx, LENS_BAD_FILE, "%s: %s net %s: %s", m->path,
                    m->opts.partial ? "none of the weights fits" : "the weights do not fit",
                    net->name, m->r->text);
}

static void copy_weights(lens_net *net, const match *m) {
    for (int i = 0; i < net->params; i++) {
        const st_tensor *tensor = m->tensor[i];
        if (tensor) st_to_float(tensor, 0, tensor->count, net->weights + net->param[i].offset);
    }
    lens_net_touched(net);
}

/* ---- Loading -------------------------------------------------------------------------------- */

lens_status lens_net_load_weights_with(lens_net *net, const char *path,
                                       const lens_weights_opts *opts, char **left_out) {
    tensor_file *file;
    match m;
    if (left_out) *left_out = NULL;
    if (!net->finished)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s is not finished: see lens_net_finish",
                        net->name);
    LENS_TRY(tensors_open(net->ctx, &file, path));
    lens_status status = match_new(&m, net, file, path, opts);
    if (status == LENS_OK) status = match_all(&m);
    if (status == LENS_OK && left_out && m.r->length) {
        *left_out = ctx_strdup(net->ctx, m.r->text);
        if (!*left_out) status = LENS_NOMEM;
    }
    if (status == LENS_OK) copy_weights(net, &m);
    match_free(&m);
    tensors_close(file);
    return status;
}

lens_status lens_net_load_weights(lens_net *net, const char *path) {
    return lens_net_load_weights_with(net, path, NULL, NULL);
}

lens_status lens_weights_fit(const lens_net *net, const char *path, int *classes) {
    tensor_file *file;
    match m;
    *classes = 0;
    LENS_TRY(tensors_open(net->ctx, &file, path));
    lens_status status =
        match_new(&m, net, file, path, &(lens_weights_opts){ .replace_head = true });
    if (status == LENS_OK && match_all(&m) == LENS_OK) *classes = (int)m.classes;
    match_free(&m);
    tensors_close(file);
    return status;
}

lens_status lens_weights_have_net(lens_ctx *ctx, const char *path, bool *have) {
    tensor_file *file;
    LENS_TRY(tensors_open(ctx, &file, path));
    *have = tensors_meta(file, "net") != NULL;
    tensors_close(file);
    return LENS_OK;
}

lens_status lens_weights_convert(lens_ctx *ctx, const char *in, const char *out) {
    tensor_file *file;
    LENS_TRY(tensors_open(ctx, &file, in));
    lens_status status = tensors_write(file, out);
    tensors_close(file);
    return status;
}

static lens_status load(lens_ctx *ctx, lens_net **net, const tensor_file *file, const char *path) {
    const char *text = tensors_meta(file, "net");
    match m;
    if (!text)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: it holds weights but no description of a net",
                        path);
    char *where = ctx_printf(ctx, "%s (net text)", path);
    if (!where) return LENS_NOMEM;
    lens_status status = net_parse(ctx, net, text, where);
    ctx_free(ctx, where);
    LENS_TRY(status);
    status = match_new(&m, *net, file, path, NULL);
    if (status == LENS_OK) status = match_all(&m);
    if (status == LENS_OK) status = net_allocate(*net);
    for (size_t i = 0; i < tensors_meta_count(file) && status == LENS_OK; i++) {
        st_pair pair = tensors_meta_at(file, i);
        if (*pair.key && !is_reserved(pair.key))
            status = lens_net_set_meta(*net, pair.key, pair.value);
    }
    if (status == LENS_OK) copy_weights(*net, &m);
    match_free(&m);
    return status;
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
    tensor_file *file;
    lens_net *net = NULL;
    *out = NULL;
    if (is_onnx(path)) return load_onnx(ctx, out, path);
    LENS_TRY(tensors_open(ctx, &file, path));
    lens_status status = load(ctx, &net, file, path);
    tensors_close(file);
    if (status == LENS_OK)
        *out = net;
    else
        lens_net_free(net);
    return status;
}
