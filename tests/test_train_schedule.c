/* test_train_schedule.c - learning rate schedules against their formulas.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/train.h>

enum { PER_EPOCH = 10, EPOCHS = 20, STEPS = PER_EPOCH * EPOCHS };

static const double pi = 3.14159265358979323846;

static double at(lens_ctx *ctx, const char *text, int64_t step) {
    double factor = -1;
    assert_ok(ctx, lens_schedule_at(ctx, text, step, STEPS, PER_EPOCH, &factor));
    return factor;
}

static void formulas(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (int64_t s = 0; s < STEPS; s++) {
        int epoch = (int)(s / PER_EPOCH);
        double part = (double)s / STEPS;
        assert_near(at(ctx, NULL, s), 1, 0);
        assert_near(at(ctx, "constant", s), 1, 0);
        assert_near(at(ctx, "plateau:2,0.1", s), 1, 0);
        assert_near(at(ctx, "step:3,0.5", s), pow(0.5, epoch / 3), 1e-15);
        assert_near(at(ctx, "steps:5,12:0.1", s), epoch < 5 ? 1 : epoch < 12 ? 0.1 : 0.01, 1e-15);
        assert_near(at(ctx, "poly:1", s), 1 - part, 1e-15);
        assert_near(at(ctx, "poly:0.5", s), sqrt(1 - part), 1e-15);
        assert_near(at(ctx, "cosine", s), (1 + cos(pi * part)) / 2, 1e-15);
        double ramp = s + 1 < 25 ? (double)(s + 1) / 25 : 1;
        assert_near(at(ctx, "cosine+warmup:2.5", s), ramp * (1 + cos(pi * part)) / 2, 1e-15);
        assert_near(at(ctx, "constant+warmup:2.5", s), ramp, 1e-15);
    }
    lens_ctx_free(ctx);
}

/* Peak at step 0.3*200 - 1 = 59, from 1/25, down to 1e-4/25 at the last step; values between by the
 * half cosine, as PyTorch's OneCycleLR gives them. */
static void one_cycle(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    assert_near(at(ctx, "onecycle", 0), 0.04, 1e-15);
    assert_near(at(ctx, "onecycle", 59), 1, 1e-15);
    assert_near(at(ctx, "onecycle", STEPS - 1), 4e-6, 1e-15);
    assert_near(at(ctx, "onecycle", 129), (1 + 4e-6) / 2, 1e-12);
    for (int64_t s = 1; s < STEPS; s++) {
        bool up = s <= 59;
        assert_true((at(ctx, "onecycle", s) > at(ctx, "onecycle", s - 1)) == up);
    }
    double factor;
    for (int64_t steps = 1; steps < 8;
         steps++) /* too short for a ramp: still finite and in (0,1] */
        for (int64_t s = 0; s < steps; s++) {
            assert_ok(ctx, lens_schedule_at(ctx, "onecycle", s, steps, 1, &factor));
            assert_true(factor > 0 && factor <= 1);
        }
    lens_ctx_free(ctx);
}

static void mistakes_are_named(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double f;
    assert_fails(ctx, LENS_NOT_FOUND, "did you mean \"cosine\"",
                 lens_schedule_at(ctx, "cosin", 0, 10, 1, &f));
    assert_fails(ctx, LENS_NOT_FOUND, "there are constant",
                 lens_schedule_at(ctx, "zz", 0, 10, 1, &f));
    static const char *const bad[] = {
        "step",         "step:",         "step:3",      "step:3,",    "step:0,0.1", "step:3,0",
        "step:3,0.1,2", "steps:3,0.1",   "steps:5,3:1", "steps:3:",   "poly",       "poly:-1",
        "cosine:2",     "plateau:0,0.1", "plateau:2,1", "constant:1", "poly:nan",   "step:3,inf"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(ctx, LENS_BAD_ARG, "the form is", lens_schedule_at(ctx, bad[i], 0, 10, 1, &f));
    assert_fails(ctx, LENS_BAD_ARG, "warmup:E",
                 lens_schedule_at(ctx, "cosine+warm:2", 0, 10, 1, &f));
    assert_fails(ctx, LENS_BAD_ARG, "warmup:E",
                 lens_schedule_at(ctx, "cosine+warmup:0", 0, 10, 1, &f));
    assert_fails(ctx, LENS_BAD_ARG, "step 10 of 10",
                 lens_schedule_at(ctx, "cosine", 10, 10, 1, &f));
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("[J18] step, steps, poly, cosine, warm-up equal their formulas", formulas),
    T("[J18] one-cycle", one_cycle),
    T("schedule: mistakes are named", mistakes_are_named),
};

TEST_MAIN(tests)
