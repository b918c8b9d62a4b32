/* toydata.h - a small labelled set of pictures on disk, for tests of training.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TOYDATA_H
#define TESTS_TOYDATA_H

#include <stdint.h>

enum { TOY_SIDE = 12 };

/* Writes IDX files into `folder`: grey pictures of TOY_SIDE x TOY_SIDE, labels 0..classes-1 in turn
 * (2 <= classes <= 12). Class k has a bright bar in row k (or, with few classes, in the middle of the
 * k-th part) over noise of strength 0..255. */
void toydata_write(const char *folder, int train, int test, int classes, int noise, uint64_t seed);

#endif
