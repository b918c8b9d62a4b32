/* fixture.c - see fixture.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/fixture.h"
#include "base/base.h"

lens_ctx *ctx;
size_t idle;
char dir[TEMPDIR_PATH];

int fixture_setup(void **state) {
    (void)state;
    ctx = test_ctx(2);
    idle = ctx_live_bytes(ctx);
    tempdir_make(dir);
    return 0;
}

int fixture_teardown(void **state) {
    (void)state;
    assert_int_equal(ctx_live_bytes(ctx), idle);
    lens_ctx_free(ctx);
    tempdir_remove(dir);
    return 0;
}

const char *in_dir(const char *name) {
    static char path[4][1024];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}
