/* eval.h - one pass over a split without changing the net.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_EVAL_H
#define TRAIN_EVAL_H

#include <lenslet/train.h>

/* Do a net and a data set fit? LENS_BAD_SHAPE names both sides. */
lens_status eval_check_fit(const lens_net *, const lens_data *);

/* A batch of pictures in the shape the net's input has: the same memory. */
lens_tensor eval_input(const lens_net *, const lens_batch *);

/* Room for several views of each picture of a batch; see lens_eval_crops. */
typedef struct eval_crops {
    int views;
    float *part;        /* (batch,C,h,w) */
    float *p, *log_sum; /* (batch,K): of one view; what the net says in the end */
} eval_crops;

/* What lens_eval does with a session and an unshuffled loader that are there already. `loss` is what
 * result->loss is the mean of. crops NULL: the pictures as the loader has them. interrupt, if not NULL, is polled at each batch: then LENS_INTERRUPTED. */
lens_status eval_run(lens_net *, lens_session *, lens_loader *, const lens_loss *loss,
                     const eval_crops *crops, const volatile int *interrupt, lens_eval_result *,
                     int64_t *confusion, float *logits);

double eval_clock(void); /* seconds, monotonic */

#endif
