/* test_op_layers.c - every layer of the list against the oracle, with 1 thread and with 3.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

static void engine(ref_kind first, ref_kind last) {
    size_t count;
    const layer *list = layers(&count);
    for (size_t i = 0; i < count; i++)
        if (list[i].ref.kind >= first && list[i].ref.kind <= last) check_engine(&list[i]);
}

static void conv(void **state) { (void)state, engine(REF_CONV, REF_CONV); }
static void conv_transpose(void **state) {
    (void)state, engine(REF_CONV_TRANSPOSE, REF_CONV_TRANSPOSE);
}
static void dense(void **state) { (void)state, engine(REF_DENSE, REF_DENSE); }
static void pool(void **state) { (void)state, engine(REF_MAXPOOL, REF_ADAPTIVE_MAX); }
static void act(void **state) { (void)state, engine(REF_RELU, REF_SIGMOID); }
static void rbf(void **state) { (void)state, engine(REF_RBF, REF_RBF); }
static void batchnorm(void **state) { (void)state, engine(REF_BATCHNORM, REF_BATCHNORM_FROZEN); }
static void lrn(void **state) { (void)state, engine(REF_LRN, REF_LRN); }
static void shortcut(void **state) { (void)state, engine(REF_SHORTCUT, REF_SHORTCUT); }
static void softmax(void **state) { (void)state, engine(REF_SOFTMAX, REF_SOFTMAX); }

/* Sizes that give every thread work. */
static void large(void **state) {
    (void)state;
    static layer list[] = {
        { .what = "conv, large",
          .ref = { .kind = REF_CONV,
                   .n = 5,
                   .c = 6,
                   .h = 33,
                   .w = 31,
                   .out = 10,
                   .kh = 3,
                   .kw = 3,
                   .top = 1,
                   .left = 1,
                   .bottom = 1,
                   .right = 1 } },
        { .what = "conv /2, large",
          .ref = { .kind = REF_CONV,
                   .n = 5,
                   .c = 6,
                   .h = 33,
                   .w = 31,
                   .out = 10,
                   .kh = 3,
                   .kw = 3,
                   .sh = 2,
                   .sw = 2 } },
        { .what = "transposed, large",
          .ref = { .kind = REF_CONV_TRANSPOSE,
                   .n = 4,
                   .c = 6,
                   .h = 17,
                   .w = 15,
                   .out = 5,
                   .kh = 3,
                   .kw = 3,
                   .sh = 2,
                   .sw = 2 } },
        { .what = "dense, large",
          .ref = { .kind = REF_DENSE, .n = 50, .c = 400, .h = 1, .w = 1, .out = 120 } },
        { .what = "maxpool, large",
          .ref = { .kind = REF_MAXPOOL,
                   .n = 16,
                   .c = 16,
                   .h = 33,
                   .w = 31,
                   .kh = 3,
                   .kw = 3,
                   .sh = 2,
                   .sw = 2 } },
        { .what = "maxpool 2x2, large",
          .ref = { .kind = REF_MAXPOOL, .n = 16, .c = 16, .h = 32, .w = 32, .kh = 2, .kw = 2 } },
        { .what = "avgpool, large",
          .ref = { .kind = REF_AVGPOOL,
                   .n = 16,
                   .c = 16,
                   .h = 33,
                   .w = 31,
                   .kh = 3,
                   .kw = 3,
                   .sh = 2,
                   .sw = 2,
                   .ceil = true } },
        { .what = "subsample, large",
          .ref = { .kind = REF_SUBSAMPLE, .n = 16, .c = 6, .h = 28, .w = 28, .kh = 2, .kw = 2 } },
        { .what = "adaptive avg, large",
          .ref = { .kind = REF_ADAPTIVE_AVG,
                   .n = 16,
                   .c = 16,
                   .h = 33,
                   .w = 31,
                   .oh = 6,
                   .ow = 7 } },
        { .what = "global avg, large",
          .ref = { .kind = REF_ADAPTIVE_AVG,
                   .n = 16,
                   .c = 16,
                   .h = 33,
                   .w = 31,
                   .oh = 1,
                   .ow = 1 } },
        { .what = "relu, large", .ref = { .kind = REF_RELU, .n = 16, .c = 16, .h = 33, .w = 31 } },
        { .what = "tanh, large", .ref = { .kind = REF_TANH, .n = 16, .c = 16, .h = 33, .w = 31 } },
        { .what = "rbf, large",
          .ref = { .kind = REF_RBF, .n = 64, .c = 84, .h = 1, .w = 1, .out = 10 } },
        { .what = "batch norm, large",
          .ref = { .kind = REF_BATCHNORM, .n = 16, .c = 16, .h = 33, .w = 31, .eps = 1e-3 } },
        { .what = "batch norm of features, large",
          .ref = { .kind = REF_BATCHNORM, .n = 64, .c = 130, .h = 1, .w = 1, .eps = 1e-3 },
          .features = true },
        { .what = "lrn, large",
          .ref = { .kind = REF_LRN,
                   .n = 4,
                   .c = 40,
                   .h = 27,
                   .w = 27,
                   .window = 5,
                   .alpha = 1,
                   .beta = 0.75,
                   .k = 2 } },
        { .what = "shortcut, large",
          .ref = { .kind = REF_SHORTCUT,
                   .n = 16,
                   .c = 16,
                   .h = 33,
                   .w = 31,
                   .out = 32,
                   .sh = 2,
                   .sw = 2 } },
        { .what = "softmax, large",
          .ref = { .kind = REF_SOFTMAX, .n = 64, .c = 130, .h = 1, .w = 1 },
          .features = true },
        { .what = "softmax at each position, large",
          .ref = { .kind = REF_SOFTMAX, .n = 5, .c = 7, .h = 33, .w = 31 } },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        assert_true(ref_plan(&list[i].ref));
        check_engine(&list[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[I15][P1][P5][B14] convolution, 1-D and 2-D, against the oracle", conv),
        T("[I15] transposed convolution against the oracle", conv_transpose),
        T("[I15][H2] dense against the oracle", dense),
        T("[I15][I11][I12][I13] pooling against the oracle", pool),
        T("[I15] activations against the oracle", act),
        T("[I15] radial basis outputs against the oracle", rbf),
        T("[I15][J20] batch norm, 1-D, 2-D and of features, against the oracle", batchnorm),
        T("[I15][G22] local response normalisation against the oracle", lrn),
        T("[I15] shortcut without parameters against the oracle", shortcut),
        T("[I15] softmax against the oracle", softmax),
        T("[I15] large layers: same bits with 1 and 3 threads", large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
