/* test.h - what every test includes: cmocka, and the few checks it lacks.
 *
 * A test that proves a row of the specification carries the row's id in its name, in square
 * brackets: T("[D1][V1] 5x5 image, 3x3 kernel", conv_by_hand). tools/seeds.sh counts them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lenslet/base.h>

#define T(name, fn)                                                                                \
    { name, fn, NULL, NULL, NULL }

#define TEST_MAIN(tests)                                                                           \
    int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }

/* A fresh context; the test fails with the message if there is none. threads 0: the usual. */
static inline lens_ctx *test_ctx(int threads) {
    char why[256];
    lens_ctx *ctx = NULL;
    if (lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = threads }, why) != LENS_OK)
        fail_msg("no context: %s", why);
    return ctx;
}

/* The call must succeed; shows the library's own message if it does not. */
#define assert_ok(ctx, call)                                                                       \
    do {                                                                                           \
        lens_status test_status_ = (call);                                                         \
        if (test_status_ != LENS_OK)                                                               \
            fail_msg("%s: %s: %s", #call, lens_status_name(test_status_), lens_why(ctx));          \
    } while (0)

/* The call must fail with `status` and a message that contains `part`. */
#define assert_fails(ctx, status, part, call)                                                      \
    do {                                                                                           \
        lens_status test_status_ = (call);                                                         \
        if (test_status_ != (status))                                                              \
            fail_msg("%s: %s instead of %s: %s", #call, lens_status_name(test_status_), #status,   \
                     lens_why(ctx));                                                               \
        if (!strstr(lens_why(ctx), part))                                                          \
            fail_msg("%s: \"%s\" lacks \"%s\"", #call, lens_why(ctx), part);                       \
    } while (0)

/* |a - b| <= tolerance; a NaN on either side fails. */
#define assert_near(a, b, tolerance)                                                               \
    do {                                                                                           \
        double test_a_ = (a), test_b_ = (b);                                                       \
        if (!(fabs(test_a_ - test_b_) <= (tolerance)))                                             \
            fail_msg("%s is %.9g, expected %.9g, tolerance %g", #a, test_a_, test_b_,              \
                     (double)(tolerance));                                                         \
    } while (0)

#endif
