/* log.c - log.csv and log.jsonl; invariant in log.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/log.h"
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char csv_head[] = "epoch,step,rate,train_loss,train_accuracy,val_loss,val_accuracy,"
                               "best,seconds,images_per_s\n";

static lens_status failed(run_log *log, const char *name, const char *what) {
    return ctx_fail(log->ctx, LENS_IO, "%s/%s: %s: %s", log->folder, name, what, strerror(errno));
}

static lens_status open_one(run_log *log, const char *name, int64_t bytes, FILE **out) {
    char *path = ctx_printf(log->ctx, "%s/%s", log->folder, name);
    if (!path) return LENS_NOMEM;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0666);
    ctx_free(log->ctx, path);
    if (fd < 0) return failed(log, name, "cannot be opened");
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0 || ftruncate(fd, size < bytes ? 0 : (off_t)bytes) || !(*out = fdopen(fd, "a"))) {
        lens_status status = failed(log, name, "cannot be written");
        close(fd);
        return status;
    }
    return LENS_OK;
}

static bool empty(FILE *file) { return fseek(file, 0, SEEK_END) == 0 && ftell(file) == 0; }

lens_status log_open(run_log *log, lens_ctx *ctx, const char *folder, int64_t csv_bytes,
                     int64_t jsonl_bytes) {
    *log = (run_log){ .ctx = ctx };
    log->folder = ctx_strdup(ctx, folder);
    if (!log->folder) return LENS_NOMEM;
    LENS_TRY(open_one(log, "log.csv", csv_bytes, &log->csv));
    LENS_TRY(open_one(log, "log.jsonl", jsonl_bytes, &log->jsonl));
    if (empty(log->csv) && fputs(csv_head, log->csv) < 0)
        return failed(log, "log.csv", "writing failed");
    return LENS_OK;
}

/* Takes over `line`. */
static lens_status write_line(run_log *log, FILE *file, const char *name, char *line) {
    if (!line) return LENS_NOMEM;
    bool bad = fputs(line, file) < 0 || fflush(file) != 0; /* so that one can watch it grow */
    lens_status status = bad ? failed(log, name, "writing failed") : LENS_OK;
    ctx_free(log->ctx, line);
    return status;
}

lens_status log_add(run_log *log, const log_row *r) {
    lens_ctx *ctx = log->ctx;
    if (!log->csv) return LENS_OK;
    if (!r->epoch_done)
        return write_line(
            log, log->jsonl, "log.jsonl",
            ctx_printf(ctx,
                       "{\"kind\":\"step\",\"epoch\":%lld,\"step\":%lld,\"rate\":%.9g,"
                       "\"train_loss\":%.9g,\"train_accuracy\":%.9g}\n",
                       (long long)r->epoch, (long long)r->step, r->rate, r->train_loss,
                       r->train_accuracy));
    LENS_TRY(write_line(log, log->jsonl, "log.jsonl",
                        ctx_printf(ctx,
                                   "{\"kind\":\"epoch\",\"epoch\":%lld,\"step\":%lld,\"rate\":%.9g,"
                                   "\"train_loss\":%.9g,\"train_accuracy\":%.9g,\"val_loss\":%.9g,"
                                   "\"val_accuracy\":%.9g,\"best\":%s,\"seconds\":%.3f,"
                                   "\"images_per_s\":%.1f}\n",
                                   (long long)r->epoch, (long long)r->step, r->rate, r->train_loss,
                                   r->train_accuracy, r->val_loss, r->val_accuracy,
                                   r->best ? "true" : "false", r->seconds, r->images_per_s)));
    return write_line(log, log->csv, "log.csv",
                      ctx_printf(ctx, "%lld,%lld,%.9g,%.9g,%.9g,%.9g,%.9g,%d,%.3f,%.1f\n",
                                 (long long)r->epoch, (long long)r->step, r->rate, r->train_loss,
                                 r->train_accuracy, r->val_loss, r->val_accuracy, r->best,
                                 r->seconds, r->images_per_s));
}

static lens_status sync_one(run_log *log, FILE *file, const char *name, int64_t *bytes) {
    /* Before the state that remembers the length. Some file systems cannot (EINVAL). */
    if (fflush(file) || (fdatasync(fileno(file)) && errno != EINVAL) || fseek(file, 0, SEEK_END))
        return failed(log, name, "writing failed");
    *bytes = ftell(file);
    return LENS_OK;
}

lens_status log_sync(run_log *log, int64_t *csv_bytes, int64_t *jsonl_bytes) {
    if (!log->csv) return LENS_OK;
    LENS_TRY(sync_one(log, log->csv, "log.csv", csv_bytes));
    return sync_one(log, log->jsonl, "log.jsonl", jsonl_bytes);
}

void log_close(run_log *log) {
    if (log->csv) fclose(log->csv);
    if (log->jsonl) fclose(log->jsonl);
    ctx_free(log->ctx, log->folder);
    *log = (run_log){ 0 };
}
