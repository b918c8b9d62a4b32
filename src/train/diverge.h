/* diverge.h - says where a training run left the finite numbers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_DIVERGE_H
#define TRAIN_DIVERGE_H

#include <lenslet/train.h>

typedef struct diverge {
    lens_net *net;
    const lens_data *data;
    const lens_batch *batch;
    const lens_tensor *output; /* of this batch; NULL: no longer in memory */
    const char *what;          /* "the gradient of conv1.weight is not finite"; NULL: search */
    uint64_t seed;             /* of dropout */
    int64_t step;              /* from 0 */
    int epoch;                 /* from 1 */
    double rate;
} diverge;

/* Leaves a message that names layer, step and the files of the batch (those whose output is not
 * finite first) and returns LENS_DIVERGED. Runs the batch again, with every value kept, if it must. */
lens_status diverge_report(const diverge *);

/* The name of the first parameter that is not finite, or NULL. */
const char *diverge_find_param(const lens_net *);

#endif
