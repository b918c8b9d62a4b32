/* onnx_external.c - weights of an ONNX model that lie in a file of their own.
 *
 * Invariant: such a file is a regular file with one name in the model's own folder, reached through no
 * link; a tensor's range lies inside it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/onnx_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

lens_status onnx_external(onnx_file *f, cursor message, onnx_tensor *t, size_t bytes) {
    const char *location = "";
    long long offset = 0, length = (long long)bytes;
    cursor c = message;
    wire_field field;
    if (!f->path)
        return ctx_fail(f->ctx, LENS_BAD_FILE,
                        "%s: tensor '%.200s': external data needs a model read from a file",
                        f->name, t->name);
    while (wire_next(&c, &field)) {
        st_pair pair;
        if (field.number != T_EXTERNAL || field.wire != WIRE_BYTES) continue;
        LENS_TRY(onnx_pair(f, field.body, &pair));
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
