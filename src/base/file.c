/* file.c - reading a whole file, and writing one so that a crash leaves the old or the new.
 *
 * Invariant: between file_begin and the rename in file_commit nothing at `path` changes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lens_status io_failed(lens_ctx *ctx, const char *path, const char *what, int error) {
    return ctx_fail(ctx, LENS_IO, "%s: %s: %s", path, what, strerror(error));
}

lens_status file_read(lens_ctx *ctx, const char *path, size_t cap, char **out, size_t *size) {
    lens_status status;
    char *bytes = NULL;
    struct stat st;
    size_t done = 0;
    /* O_NONBLOCK: opening a pipe nobody writes to must not hang before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return io_failed(ctx, path, "cannot be opened", errno);
    if (fstat(fd, &st)) {
        status = io_failed(ctx, path, "cannot be examined", errno);
        goto end;
    }
    if (!S_ISREG(st.st_mode)) {
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: is a %s, not a file", path,
                          S_ISDIR(st.st_mode) ? "folder" : "device or pipe");
        goto end;
    }
    if ((uintmax_t)st.st_size > cap || (uintmax_t)st.st_size > PTRDIFF_MAX - 1) {
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: %jd bytes, but at most %zu are accepted", path,
                          (intmax_t)st.st_size, cap);
        goto end;
    }
    size_t length = (size_t)st.st_size;
    bytes = ctx_alloc(ctx, length + 1, 1);
    if (!bytes) {
        status = ctx_fail_prefix(ctx, LENS_NOMEM, "%s", path);
        goto end;
    }
    while (done < length) {
        ssize_t n = read(fd, bytes + done, length - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            status = io_failed(ctx, path, "reading failed", errno);
            goto end;
        }
        if (n == 0) break; /* the file shrank meanwhile */
        done += (size_t)n;
    }
    bytes[done] = 0;
    *out = bytes;
    *size = done;
    bytes = NULL;
    status = LENS_OK;
end:
    ctx_free(ctx, bytes);
    close(fd);
    return status;
}

struct file_writer {
    lens_ctx *ctx;
    FILE *stream;
    char *path; /* as the caller named it, for messages */
    char *real; /* what is replaced: `path`, or what the link at `path` names */
    char *temp; /* NULL: `path` is a device or pipe, written directly */
};

static void writer_free(file_writer *w) {
    ctx_free(w->ctx, w->temp);
    ctx_free(w->ctx, w->real);
    ctx_free(w->ctx, w->path);
    ctx_free(w->ctx, w);
}

void file_abort(file_writer *w) {
    if (!w) return;
    if (w->stream) fclose(w->stream);
    if (w->temp) unlink(w->temp);
    writer_free(w);
}

/* Owned; "." for a bare name. */
static char *folder_of(lens_ctx *ctx, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return ctx_strdup(ctx, ".");
    return ctx_printf(ctx, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* A new file ".NAME.PID-N.tmp" beside `real`. O_EXCL: never somebody else's. */
static lens_status open_temp(file_writer *w, mode_t mode, int *fd) {
    const char *slash = strrchr(w->real, '/');
    const char *name = slash ? slash + 1 : w->real;
    int folder = (int)(name - w->real);
    for (int i = 0; i < 1000; i++) {
        ctx_free(w->ctx, w->temp);
        w->temp =
            ctx_printf(w->ctx, "%.*s.%.200s.%ld-%d.tmp", folder, w->real, name, (long)getpid(), i);
        if (!w->temp) return LENS_NOMEM;
        *fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (*fd >= 0) return LENS_OK;
        if (errno != EEXIST) break;
    }
    int error = errno;
    ctx_free(w->ctx, w->temp);
    w->temp = NULL;
    return io_failed(w->ctx, w->path, "cannot be written", error);
}

lens_status file_begin(lens_ctx *ctx, file_writer **out, const char *path) {
    lens_status status = LENS_NOMEM;
    struct stat st;
    int fd = -1;
    if (strlen(path) >= INT_MAX) return ctx_fail(ctx, LENS_BAD_ARG, "the path is too long");
    file_writer *w = ctx_alloc(ctx, 1, sizeof *w);
    if (!w) return LENS_NOMEM;
    w->ctx = ctx;
    w->path = ctx_strdup(ctx, path);
    if (!w->path) goto fail;
    char *real = realpath(path, NULL);
    w->real = ctx_strdup(ctx, real ? real : path);
    free(real);
    if (!w->real) goto fail;

    bool exists = stat(w->real, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) {
        status = ctx_fail(ctx, LENS_IO, "%s: cannot be written: it is a folder", path);
        goto fail;
    }
    if (exists && !S_ISREG(st.st_mode)) {
        fd = open(w->real, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
            status = io_failed(ctx, path, "cannot be opened", errno);
            goto fail;
        }
    } else {
        if (exists && access(w->real, W_OK)) { /* a rename would not ask */
            status = io_failed(ctx, path, "cannot be written", errno);
            goto fail;
        }
        status = open_temp(w, 0666, &fd);
        if (status != LENS_OK) goto fail;
        if (exists) (void)!fchmod(fd, st.st_mode & 07777); /* some file systems have no modes */
    }
    w->stream = fdopen(fd, "wb");
    if (!w->stream) {
        status = io_failed(ctx, path, "cannot be opened", errno);
        goto fail;
    }
    *out = w;
    return LENS_OK;
fail:
    if (fd >= 0) close(fd);
    file_abort(w);
    return status;
}

FILE *file_stream(file_writer *w) { return w->stream; }

/* So that the new name itself survives a power cut. Some file systems cannot (EINVAL): then the
 * rename is as safe as it gets. */
static lens_status sync_folder(file_writer *w) {
    char *folder = folder_of(w->ctx, w->real);
    if (!folder) return LENS_NOMEM;
    lens_status status = LENS_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        if (fsync(fd) && errno != EINVAL && errno != EROFS)
            status = io_failed(w->ctx, w->path, "its folder cannot be synchronised", errno);
        close(fd);
    }
    ctx_free(w->ctx, folder);
    return status;
}

lens_status file_commit(file_writer *w) {
    lens_status status = LENS_OK;
    bool failed_before = ferror(w->stream);
    if (fflush(w->stream)) {
        status = io_failed(w->ctx, w->path, "writing failed", errno);
    } else if (failed_before) {
        status = ctx_fail(w->ctx, LENS_IO, "%s: writing failed", w->path);
    } else if (w->temp && fsync(fileno(w->stream))) {
        status = io_failed(w->ctx, w->path, "writing failed", errno);
    }
    FILE *stream = w->stream;
    w->stream = NULL;
    if (fclose(stream) && status == LENS_OK)
        status = io_failed(w->ctx, w->path, "writing failed", errno);
    if (status == LENS_OK && w->temp) {
        if (rename(w->temp, w->real)) {
            status = io_failed(w->ctx, w->path, "cannot be replaced", errno);
        } else {
            ctx_free(w->ctx, w->temp);
            w->temp = NULL;
            status = sync_folder(w);
        }
    }
    file_abort(w);
    return status;
}

lens_status lens_file_write(lens_ctx *ctx, const char *path, const void *bytes, size_t size) {
    file_writer *file;
    LENS_TRY(file_begin(ctx, &file, path));
    fwrite(bytes, 1, size, file_stream(file)); /* commit reports a short write */
    return file_commit(file);
}
