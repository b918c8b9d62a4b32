/* state.h - the resume state of a training run: one file, last.state.
 *
 * Invariant: the file holds everything a run depends on, the weights included, and is replaced
 * atomically; so what is read back was true at one moment, whenever the process was killed.
 *
 * Layout: "lenslet state 1" and lines "key=value" (the recipe first, then "run.isa" and the
 * numbers of run_state as "run.epoch=3"), an empty line; then float32 in host byte order, for every parameter in the order of
 * lens_net_param: value, and the optimiser's m and v where it keeps them; then XXH3-128 of all that
 * (16 bytes, most significant first).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_STATE_H
#define TRAIN_STATE_H

#include "train/optim.h"

/* Where a run stands. All finite. I: int64_t, D: double. */
#define STATE_FIELDS(I, D)                                                                         \
    I(epochs)         /* to train in all */                                                        \
    I(epoch)          /* finished, validation included */                                          \
    I(batch)          /* batches done in the present epoch; all of them: validation is due */      \
    I(seen)           /* samples, and */                                                           \
    I(correct)        /* correct ones among them, in the present epoch */                          \
    I(updates)        /* of the optimiser */                                                       \
    I(best_epoch)     /* 0: none yet */                                                            \
    I(plateau_epochs) /* without a better validation loss */                                       \
    I(csv_bytes)      /* length of log.csv, and */                                                 \
    I(jsonl_bytes)    /* of log.jsonl */                                                           \
    I(images)         /* trained on since the run began */                                         \
    D(loss_sum)       /* over the samples of the present epoch */                                  \
    D(rate)           /* of the latest step */                                                     \
    D(best_accuracy)                                                                               \
    D(plateau_loss) /* the best; valid once an epoch is finished */                                \
    D(plateau_factor)                                                                              \
    D(val_loss) /* of the last finished epoch */                                                   \
    D(val_accuracy)                                                                                \
    D(seconds)       /* since the run began */                                                     \
    D(train_seconds) /* the same without validation and saving */

typedef struct run_state {
#define STATE_INT(name)    int64_t name;
#define STATE_DOUBLE(name) double name;
    STATE_FIELDS(STATE_INT, STATE_DOUBLE)
#undef STATE_INT
#undef STATE_DOUBLE
} run_state;

/* recipe: lines "key=value\n" of all that must be equal for a resumed run to continue the same way.
 * Save: LENS_IO, LENS_NOMEM; the old file stays. */
lens_status state_save(const char *path, const lens_net *, const lens_optim *, const char *recipe,
                       const run_state *);

/* Checks everything before the net or the optimiser is written to. epochs 0 means the saved number.
 * LENS_NOT_FOUND: no such file; LENS_BAD_FILE: damaged; LENS_BAD_ARG: the recipe differs (the
 * first difference is named, both sides), or fewer epochs than the run had. Another instruction-set level is a
 * warning in the log. */
lens_status state_load(const char *path, lens_net *, lens_optim *, const char *recipe, int epochs,
                       run_state *);

#endif
