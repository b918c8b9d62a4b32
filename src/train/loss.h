/* loss.h - what evaluation shares with the losses.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H

/* The first of the largest of y[0..n-1]: the class a net answers. */
int loss_first_maximum(const float *y, int n);

#endif
