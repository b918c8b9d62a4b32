/* fixture.h - what tests of files stand on: a context, an empty folder, and nothing left behind.
 *
 *     return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include "support/tempdir.h"
#include "test.h"

extern lens_ctx *ctx; /* of two threads */
extern size_t idle;   /* bytes a fresh context holds */
extern char dir[TEMPDIR_PATH];

int fixture_setup(void **state);
int fixture_teardown(void **state); /* fails if memory is still held */

/* dir/name, for the next four calls. */
const char *in_dir(const char *name);

#endif
