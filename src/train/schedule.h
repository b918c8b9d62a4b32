/* schedule.h - learning rate schedules, parsed once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <lenslet/train.h>

typedef enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_STEP,
    SCHEDULE_STEPS,
    SCHEDULE_POLY,
    SCHEDULE_COSINE,
    SCHEDULE_ONECYCLE,
    SCHEDULE_PLATEAU,
} schedule_kind;

enum { SCHEDULE_MAX_STEPS = 32 }; /* milestones; the papers use at most five */

typedef struct schedule {
    schedule_kind kind;
    double every;   /* STEP: epochs; PLATEAU: patience in epochs */
    double factor;  /* STEP, STEPS, PLATEAU */
    double power;   /* POLY */
    double warm_up; /* epochs; 0 = none */
    int count;      /* STEPS */
    double at[SCHEDULE_MAX_STEPS];
} schedule;

/* text NULL or "": "constant". LENS_NOT_FOUND: unknown word, with a suggestion; LENS_BAD_ARG:
 * numbers missing or out of range. */
lens_status schedule_parse(lens_ctx *, const char *text, schedule *out);

/* The factor of the base rate at step `step` of `steps`; a plateau counts as 1. */
double schedule_factor(const schedule *, int64_t step, int64_t steps, int64_t per_epoch);

#endif
