/* test_op_lrn.c - local response normalisation and the shortcut without parameters: printed numbers,
 * both conventions, and what is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

static const char *const five = "1 2 3 4 5";

static void expect_lrn(lens_lrn_opts opts, const char *want) {
    probe p = probe_start(1, 1, 5, 1, 1);
    probe_finish(&p, lens_lrn(p.x, "norm", opts));
    expect_numbers(probe_run_text(&p, five), want, 1e-6);
    probe_end(&p);
}

static void paper(void **state) {
    (void)state;
    expect_lrn((lens_lrn_opts){ .n = 5, .alpha = 1e-4f, .beta = 0.75f, .k = 2, .undivided = true },
               ".5942916 1.1878710 1.7801404 2.3736093 2.9674555");
}

static void torch(void **state) {
    (void)state;
    const char *want = ".9997901 1.9991005 2.9975274 3.9967631 4.9962533";
    expect_lrn((lens_lrn_opts){ .n = 5, .alpha = 1e-4f, .beta = 0.75f, .k = 1 }, want);
    expect_lrn((lens_lrn_opts){ .n = 5 }, want);
}

/* Without weight on the neighbours every channel is divided by k^beta. */
static void one_channel_windows(void **state) {
    (void)state;
    expect_lrn((lens_lrn_opts){ .n = 1, .alpha = 1, .beta = 0.5f, .k = 3 },
               ".5 .75592895 .8660254 .91766294 .94491118");
}

static void shortcut_numbers(void **state) {
    (void)state;
    probe p = probe_start(1, 1, 1, 3, 4);
    lens_shortcut_opts opts = { .out = 4, .stride = { 2 } };
    probe_finish(&p, lens_shortcut(p.x, "side", opts));
    expect_numbers(probe_run_text(&p, "1 2 3 4/5 6 7 8/9 10 11 12"),
                   "0 0 0 0/1 3 9 11/0 0 0 0/0 0 0 0", 0);
    expect_numbers(probe_back_text(&p, "1 2 3 4/5 6 7 8/9 10 11 12/13 14 15 16"),
                   "5 0 6 0/0 0 0 0/7 0 8 0", 0);
    probe_end(&p);
}

#define REFUSED(part, call)                                                                        \
    do {                                                                                           \
        probe p = probe_start(1, 1, 4, 3, 3);                                                      \
        lens_node *x = p.x;                                                                        \
        assert_null(call);                                                                         \
        assert_fails(p.ctx, LENS_BAD_ARG, part, lens_net_finish(p.net, x));                        \
        probe_end(&p);                                                                             \
    } while (0)

static void refused(void **state) {
    (void)state;
    REFUSED("norm: n is 0", lens_lrn(x, "norm", (lens_lrn_opts){ 0 }));
    REFUSED("norm: n is -5", lens_lrn(x, "norm", (lens_lrn_opts){ .n = -5 }));
    REFUSED("norm: alpha is -1", lens_lrn(x, "norm", (lens_lrn_opts){ .n = 5, .alpha = -1 }));
    REFUSED("norm: beta is nan", lens_lrn(x, "norm", (lens_lrn_opts){ .n = 5, .beta = NAN }));
    REFUSED("norm: k is inf", lens_lrn(x, "norm", (lens_lrn_opts){ .n = 5, .k = INFINITY }));
    REFUSED("side: out is 3", lens_shortcut(x, "side", (lens_shortcut_opts){ .out = 3 }));
    REFUSED("side: stride is -2",
            lens_shortcut(x, "side", (lens_shortcut_opts){ .stride = { -2 } }));
    probe p = probe_start(1, 1, 4, 1, 1);
    lens_node *x = lens_flatten(p.x, NULL);
    assert_null(lens_shortcut(x, "side", (lens_shortcut_opts){ .out = 8 }));
    assert_fails(p.ctx, LENS_BAD_SHAPE, "side", lens_net_finish(p.net, x));
    probe_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[G22][V25][X35] lrn of 1..5 as the paper has it", paper),
        T("[G22][V25][X35] lrn of 1..5, alpha divided", torch),
        T("[G22] lrn of one channel", one_channel_windows),
        T("[M8] shortcut option A: every other cell between zeros", shortcut_numbers),
        T("mistakes", refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
