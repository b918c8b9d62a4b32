/* state.c - writing and reading last.state; layout and invariant in state.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/state.h"
#include "base/base.h"
#include "net/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* The longest recipe lists the frozen nodes of a ResNet-152: some 10 KB. */
enum { STATE_TEXT_CAP = 1 << 20, STATE_CHUNK = 1 << 16, STATE_HASH = 16 };

static const char state_magic[] = "lenslet state 1\n";

typedef struct sink {
    FILE *stream;
    XXH3_state_t hash;
    bool failed;
} sink;

static void put(sink *s, const void *bytes, size_t size) {
    XXH3_128bits_update(&s->hash, bytes, size);
    if (fwrite(bytes, 1, size, s->stream) != size) s->failed = true;
}

static void put_text(sink *s, const char *text) { put(s, text, strlen(text)); }

/* One line through ctx_printf, whose numbers do not follow the locale. */
static lens_status put_owned(lens_ctx *ctx, sink *s, char *line) {
    if (!line) return LENS_NOMEM;
    put_text(s, line);
    ctx_free(ctx, line);
    return LENS_OK;
}

static lens_status put_numbers(lens_ctx *ctx, sink *s, const run_state *state) {
#define PUT_INT(name)                                                                              \
    LENS_TRY(put_owned(ctx, s, ctx_printf(ctx, "run.%s=%lld\n", #name, (long long)state->name)));
#define PUT_DOUBLE(name)                                                                           \
    LENS_TRY(put_owned(ctx, s, ctx_printf(ctx, "run.%s=%a\n", #name, state->name)));
    STATE_FIELDS(PUT_INT, PUT_DOUBLE)
#undef PUT_INT
#undef PUT_DOUBLE
    return LENS_OK;
}

/* The arrays of parameter `index`, NULL where there is none; returns their common length. */
static size_t arrays(const lens_net *net, const lens_optim *optim, int index, float *array[3]) {
    lens_param p;
    lens_status status = lens_net_param(net, index, &p);
    if (status != LENS_OK) return 0;
    array[0] = p.value.data;
    optim_state(optim, index, &array[1], &array[2]);
    return (size_t)lens_tensor_count(&p.value);
}

lens_status state_save(const char *path, const lens_net *net, const lens_optim *optim,
                       const char *recipe, const run_state *state) {
    lens_ctx *ctx = net->ctx;
    file_writer *writer;
    LENS_TRY(file_begin(ctx, &writer, path));
    sink s = { .stream = file_stream(writer) };
    XXH3_128bits_reset(&s.hash);
    put_text(&s, state_magic);
    put_text(&s, recipe);
    put_text(&s, "run.isa=");
    put_text(&s, lens_ctx_isa(ctx));
    put_text(&s, "\n");
    lens_status status = put_numbers(ctx, &s, state);
    if (status != LENS_OK) {
        file_abort(writer);
        return status;
    }
    put_text(&s, "\n");
    int params = lens_net_params(net);
    for (int i = 0; i < params; i++) {
        float *array[3];
        size_t count = arrays(net, optim, i, array);
        for (int a = 0; a < 3; a++)
            if (array[a]) put(&s, array[a], count * sizeof(float));
    }
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&s.hash));
    put(&s, digest.digest, STATE_HASH);
    return file_commit(writer); /* which reports what put met */
}

static lens_status damaged(lens_ctx *ctx, const char *path, const char *what) {
    return ctx_fail(ctx, LENS_BAD_FILE, "%s: the checkpoint is damaged: %s", path, what);
}

/* Reads the whole file once and compares the hash at its end. */
static lens_status verify(lens_ctx *ctx, const char *path, FILE *in, char *chunk) {
    XXH3_state_t hash;
    size_t held = 0, got;
    XXH3_128bits_reset(&hash);
    while ((got = fread(chunk + held, 1, STATE_CHUNK, in)) > 0) {
        held += got;
        if (held <= STATE_HASH) continue;
        XXH3_128bits_update(&hash, chunk, held - STATE_HASH);
        memmove(chunk, chunk + held - STATE_HASH, STATE_HASH);
        held = STATE_HASH;
    }
    if (ferror(in)) return ctx_fail(ctx, LENS_IO, "%s: reading failed: %s", path, strerror(errno));
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&hash));
    if (held < STATE_HASH || memcmp(digest.digest, chunk, STATE_HASH) != 0)
        return damaged(ctx, path, "its checksum does not fit its contents");
    rewind(in);
    return LENS_OK;
}

/* The text up to the empty line, each line ended by '\n'. */
static lens_status read_text(lens_ctx *ctx, const char *path, FILE *in, char *text) {
    size_t n = 0;
    int c = 0;
    while (n < STATE_TEXT_CAP - 1 && (c = getc(in)) != EOF && c != 0) {
        text[n++] = (char)c;
        if (c == '\n' && n >= 2 && text[n - 2] == '\n') {
            text[n - 1] = 0;
            return LENS_OK;
        }
    }
    return damaged(ctx, path, "its text has no end");
}

/* Both at the same key: names the first line that differs. */
static lens_status compare_recipes(lens_ctx *ctx, const char *path, const char *saved,
                                   const char *asked) {
    while (*asked) {
        int length = (int)strcspn(asked, "\n"), other = (int)strcspn(saved, "\n");
        if (length != other || strncmp(asked, saved, (size_t)length) != 0)
            return ctx_fail(
                ctx, LENS_BAD_ARG,
                "%s: the run was begun with %.*s, but %.*s is asked for now; a resumed run "
                "must be the same run",
                path, other, saved, length, asked);
        asked += length + 1;
        saved += other + (saved[other] != 0);
    }
    return LENS_OK;
}

/* The value behind "\nkey=", up to the end of the line, in word. */
static bool find_value(const char *text, const char *key, char *word, size_t size) {
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) != 0 || line[length] != '=') continue;
        const char *value = line + length + 1;
        size_t n = strcspn(value, "\n");
        if (n >= size) return false;
        memcpy(word, value, n);
        word[n] = 0;
        return true;
    }
    return false;
}

static bool find_int(const char *text, const char *key, int64_t *out) {
    char word[64];
    long long value;
    if (!find_value(text, key, word, sizeof word) || !parse_int(word, &value)) return false;
    *out = value;
    return true;
}

static bool find_double(const char *text, const char *key, double *out) {
    char word[64];
    return find_value(text, key, word, sizeof word) && parse_double(word, out);
}

static bool read_numbers(const char *text, run_state *state) {
    bool all = true;
#define GET_INT(name)    all = all && find_int(text, "run." #name, &state->name);
#define GET_DOUBLE(name) all = all && find_double(text, "run." #name, &state->name);
    STATE_FIELDS(GET_INT, GET_DOUBLE)
#undef GET_INT
#undef GET_DOUBLE
    return all && state->epochs > 0 && state->epoch >= 0 && state->epoch <= state->epochs &&
           state->batch >= 0;
}

/* Every array, if exactly so many bytes follow. */
static lens_status read_arrays(lens_ctx *ctx, const char *path, FILE *in, lens_net *net,
                               lens_optim *optim) {
    int params = lens_net_params(net);
    uint64_t floats = 0;
    float *array[3];
    for (int i = 0; i < params; i++) {
        size_t count = arrays(net, optim, i, array);
        for (int a = 0; a < 3; a++) floats += array[a] ? count : 0;
    }
    long here = ftell(in);
    if (here < 0 || fseek(in, 0, SEEK_END))
        return ctx_fail(ctx, LENS_IO, "%s: %s", path, strerror(errno));
    long end = ftell(in);
    if (end < here || (uint64_t)(end - here) != floats * sizeof(float) + STATE_HASH)
        return damaged(ctx, path, "its length does not fit the network");
    if (fseek(in, here, SEEK_SET)) return ctx_fail(ctx, LENS_IO, "%s: %s", path, strerror(errno));
    for (int i = 0; i < params; i++) {
        size_t count = arrays(net, optim, i, array);
        for (int a = 0; a < 3; a++)
            if (array[a] && fread(array[a], sizeof(float), count, in) != count)
                return ctx_fail(ctx, LENS_IO, "%s: reading failed", path);
    }
    return LENS_OK;
}

/* Levels round differently, so the bits of a run belong to its level. */
static void warn_of_level(lens_ctx *ctx, const char *path, const char *text) {
    char saved[16];
    if (find_value(text, "run.isa", saved, sizeof saved) && strcmp(saved, lens_ctx_isa(ctx)))
        ctx_log(
            ctx, LENS_LOG_WARN,
            "%s: the run was begun with %s and goes on with %s: the last bits will not be those of an "
            "uninterrupted run",
            path, saved, lens_ctx_isa(ctx));
}

lens_status state_load(const char *path, lens_net *net, lens_optim *optim, const char *recipe,
                       int epochs, run_state *out) {
    lens_ctx *ctx = net->ctx;
    run_state state;
    FILE *in = fopen(path, "rb");
    if (!in && errno == ENOENT)
        return ctx_fail(ctx, LENS_NOT_FOUND, "%s: there is no run to resume", path);
    if (!in) return ctx_fail(ctx, LENS_IO, "%s: cannot be opened: %s", path, strerror(errno));
    char *text = ctx_alloc(ctx, STATE_TEXT_CAP, 1);
    lens_status status = LENS_NOMEM;
    if (!text) goto end;
    status = verify(ctx, path, in, text);
    if (status == LENS_OK) status = read_text(ctx, path, in, text);
    if (status != LENS_OK) goto end;
    if (strncmp(text, state_magic, sizeof state_magic - 1) != 0 || !read_numbers(text, &state)) {
        status = damaged(ctx, path, "it is not written by this version");
        goto end;
    }
    status = compare_recipes(ctx, path, text + sizeof state_magic - 1, recipe);
    if (status != LENS_OK) goto end;
    if (epochs != 0 && epochs < state.epochs) {
        status =
            ctx_fail(ctx, LENS_BAD_ARG,
                     "%s: the run was begun for %lld epochs, but %d are asked for now; more are "
                     "possible, fewer are not",
                     path, (long long)state.epochs, epochs);
        goto end;
    }
    status = read_arrays(ctx, path, in, net, optim);
    if (status != LENS_OK) goto end;
    warn_of_level(ctx, path, text);
    if (epochs != 0) state.epochs = epochs;
    optim_set_time(optim, state.updates);
    lens_net_touched(net);
    *out = state;
end:
    ctx_free(ctx, text);
    fclose(in);
    return status;
}
