/* optim.h - what the loop and the checkpoint need of an optimiser beyond train.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include <lenslet/train.h>

/* The options with every default filled in: what a checkpoint compares. */
const lens_optim_opts *optim_settings(const lens_optim *);

/* State of the parameter that lens_net_param calls `index`: m and v have its length; NULL where the
 * rule keeps none (both for what is not trainable). */
void optim_state(const lens_optim *, int index, float **m, float **v);

/* Updates done so far: Adam's t. */
int64_t optim_time(const lens_optim *);
void optim_set_time(lens_optim *, int64_t time);

#endif
