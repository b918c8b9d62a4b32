/* test_ref_ops.c - the oracle itself: its backward passes are the slopes of its forward passes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

static void differences(void **state) {
    (void)state;
    size_t count;
    const layer *list = layers(&count);
    bool seen[REF_KINDS] = { false };
    for (size_t i = 0; i < count; i++) {
        check_oracle(&list[i]);
        seen[list[i].ref.kind] = true;
    }
    for (int kind = 0; kind < REF_KINDS; kind++) assert_true(seen[kind]);
}

/* Columns times weights is the convolution; the adjoint of the columns is its input gradient. */
static void columns(void **state) {
    (void)state;
    ref_op op = { REF_CONV, .n = 2,  .c = 3,  .h = 3,         .w = 3,
                  .out = 2, .kh = 2, .kw = 2, .no_bias = true };
    assert_true(ref_plan(&op));
    double x[54], w[24], y[16], column[8 * 12];
    for (int i = 0; i < 54; i++) x[i] = i;
    for (int i = 0; i < 24; i++) w[i] = i;
    ref_forward(&op, x, (const double *const[]){ w }, y);
    ref_im2col(&op, x, column);
    static const double first[] = { 0, 1, 3, 4, 9, 10, 12, 13, 18, 19, 21, 22 };
    for (int i = 0; i < 12; i++) assert_true(column[i] == first[i]);
    for (int n = 0; n < 2; n++)
        for (int o = 0; o < 2; o++)
            for (int p = 0; p < 4; p++) {
                double sum = 0;
                for (int k = 0; k < 12; k++) sum += column[(n * 4 + p) * 12 + k] * w[o * 12 + k];
                assert_true(sum == y[(n * 2 + o) * 4 + p]);
            }

    double dy[16], dx[54], want[54], dw[24], dcolumn[8 * 12];
    double *dparam[] = { dw };
    for (int i = 0; i < 16; i++) dy[i] = i % 5 - 2;
    ref_backward(&op, x, (const double *const[]){ w }, dy, want, dparam);
    for (int row = 0; row < 8; row++)
        for (int k = 0; k < 12; k++) {
            dcolumn[row * 12 + k] = 0;
            for (int o = 0; o < 2; o++)
                dcolumn[row * 12 + k] += dy[(row / 4 * 2 + o) * 4 + row % 4] * w[o * 12 + k];
        }
    ref_col2im(&op, dcolumn, dx);
    for (int i = 0; i < 54; i++) assert_true(dx[i] == want[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[I15] oracle: backward equals central differences, every layer", differences),
        T("[I10][V4] oracle: im2col and col2im agree with the loops", columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
