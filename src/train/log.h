/* log.h - log.csv and log.jsonl of a run.
 *
 * Invariant: a file is only appended to, and its length is part of the resume state: a resumed run
 * cuts it there and goes on, so apart from times the logs are those of the uninterrupted run.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_LOG_H
#define TRAIN_LOG_H

#include <lenslet/base.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct run_log {
    lens_ctx *ctx;
    FILE *csv, *jsonl; /* NULL: nothing is logged */
    char *folder;
} run_log;

typedef struct log_row {
    bool epoch_done; /* false: a row between, in log.jsonl alone */
    int64_t epoch, step;
    double rate, train_loss, train_accuracy;
    double val_loss, val_accuracy;
    bool best;
    double seconds, images_per_s;
} log_row;

/* Opens both files in `folder` and cuts them to the given lengths; 0, or a file that is shorter,
 * begins it anew. LENS_IO, LENS_NOMEM. */
lens_status log_open(run_log *, lens_ctx *, const char *folder, int64_t csv_bytes,
                     int64_t jsonl_bytes);
lens_status log_add(run_log *, const log_row *);
/* Everything so far to the disk; the lengths there. */
lens_status log_sync(run_log *, int64_t *csv_bytes, int64_t *jsonl_bytes);
void log_close(run_log *);

#endif
