/* test_op_errors.c - what does not fit is refused with both sides named, and nothing crashes; and the
 * table of operators is complete.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/op.h"
#include "support/check.h"
#include "test.h"

/* Statement `call` uses `x`, an input c x h x w; it must return NULL and finish must report this. */
#define REFUSED(c, h, w, status, part, call)                                                       \
    do {                                                                                           \
        probe p = probe_start(1, 1, c, h, w);                                                      \
        lens_node *x = p.x;                                                                        \
        assert_non_null(x);                                                                        \
        assert_null(call);                                                                         \
        assert_fails(p.ctx, status, part, lens_net_finish(p.net, x));                              \
        probe_end(&p);                                                                             \
    } while (0)

#define CONV(...) lens_conv2d(x, "conv4", (lens_conv2d_opts){ __VA_ARGS__ })
#define POOL(...) lens_maxpool(x, "pool1", (lens_pool_opts){ __VA_ARGS__ })

static void conv(void **state) {
    (void)state;
    REFUSED(1, 4, 4, LENS_BAD_SHAPE, "5x5", CONV(.out = 1, .kernel = { 5 }));
    REFUSED(1, 4, 4, LENS_BAD_SHAPE, "conv4", CONV(.out = 1, .kernel = { 3 }, .dilation = { 2 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "conv4", CONV(.kernel = { 3 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = -2, .kernel = { 3 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "kernel", CONV(.out = 1));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = 1, .kernel = { -3 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "stride", CONV(.out = 1, .kernel = { 3 }, .stride = { -1 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = 1, .kernel = { 3 }, .dilation = { 1, -1 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "pad", CONV(.out = 1, .kernel = { 3 }, .pad = -1));
    REFUSED(6, 4, 4, LENS_BAD_SHAPE, "4", CONV(.out = 6, .kernel = { 3 }, .groups = 4));
    REFUSED(6, 4, 4, LENS_BAD_SHAPE, "3", CONV(.out = 5, .kernel = { 3 }, .groups = 3));
    REFUSED(3, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = 2, .kernel = { 3 }, .table = "0 1;3"));
    REFUSED(3, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = 2, .kernel = { 3 }, .table = "0 1"));
    REFUSED(3, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = 2, .kernel = { 3 }, .table = "0 1;x"));
    REFUSED(3, 4, 4, LENS_BAD_ARG, "conv4", CONV(.out = 2, .kernel = { 3 }, .table = "lenet5-c3"));
    REFUSED(4, 4, 4, LENS_BAD_ARG, "conv4",
            CONV(.out = 2, .kernel = { 3 }, .groups = 2, .table = "0;1"));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "fc", lens_dense(x, "fc", (lens_dense_opts){ 0 }));
    REFUSED(
        1, 4, 4, LENS_BAD_ARG, "up",
        lens_conv_transpose2d(
            x, "up", (lens_conv_transpose2d_opts){ .out = 1, .kernel = { 2 }, .extra = { 1, 1 } }));
}

static void pooling(void **state) {
    (void)state;
    REFUSED(1, 4, 4, LENS_BAD_SHAPE, "pool1: window 5x5 is larger than the padded input 4x4",
            POOL(.kernel = { 5 }));
    REFUSED(1, 4, 4, LENS_BAD_SHAPE, "window 7x7 is larger than the padded input 6x6",
            POOL(.kernel = { 7 }, .pad = 1));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "pool1: maxpool needs a kernel", POOL(.pad = 1));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "kernel height is -1", POOL(.kernel = { -1 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "kernel height is 0", POOL(.kernel = { 0, 2 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "stride across is -2",
            POOL(.kernel = { 2 }, .stride = { 1, -2 }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "pad is -1", POOL(.kernel = { 2 }, .pad = -1));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "padding 2 at the left is more than half of the 3x3 window",
            POOL(.kernel = { 3 }, .pads = { 1, 2, 0, 0 }));
    REFUSED(1, 4, 4, LENS_BAD_SHAPE, "but the input is 16 features",
            lens_avgpool(lens_flatten(x, NULL), NULL, (lens_pool_opts){ .kernel = { 2 } }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "needs out",
            lens_adaptive_avgpool(x, NULL, (lens_adaptive_opts){ .out = { 0 } }));
    REFUSED(1, 4, 4, LENS_BAD_ARG, "out height is -3",
            lens_adaptive_maxpool(x, NULL, (lens_adaptive_opts){ .out = { -3 } }));
    REFUSED(4096, 4, 4, LENS_BAD_SHAPE, "numbers a sample may have",
            lens_adaptive_maxpool(x, NULL, (lens_adaptive_opts){ .out = { 1000 } }));
}

static void others(void **state) {
    (void)state;
    REFUSED(2, 4, 4, LENS_BAD_SHAPE, "the first input is 2x4x4 but the second is 2x2x2",
            lens_add(x, lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } }), "sum"));
    REFUSED(2, 4, 4, LENS_BAD_SHAPE, "cat: input 2 is 32 but input 1 is 2x4x4",
            lens_concat((lens_node *[]){ x, lens_flatten(x, NULL) }, 2, "cat"));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "aux: weight is -1 but must not be below 0",
            lens_output(x, "aux", (lens_output_opts){ .weight = -1 }));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "aux: an output for training alone needs the weight",
            lens_output(x, "aux", (lens_output_opts){ .training = true }));
    REFUSED(2, 4, 4, LENS_BAD_SHAPE, "input 2x4x4 has 32 numbers but 3x3x3 needs 27",
            lens_reshape(x, "r", 3, 3, 3));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "rate is 1 ", lens_dropout(x, "d", 1));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "rate is 0 ", lens_dropout(x, "d", 0));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "rate is nan", lens_dropout(x, "d", NAN));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "slope is -0.5", lens_leaky_relu(x, "l", -0.5f));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "eps is -1",
            lens_batchnorm(x, "b", (lens_batchnorm_opts){ .eps = -1 }));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "momentum is 2",
            lens_batchnorm(x, "b", (lens_batchnorm_opts){ .momentum = 2 }));
    REFUSED(2, 4, 4, LENS_BAD_ARG, "out is 0",
            lens_rbf(x, "r", (lens_rbf_opts){ .codes = "lenet5" }));
    REFUSED(2, 4, 4, LENS_BAD_SHAPE, "need 84 inputs and 10 outputs but there are 32 and 10",
            lens_rbf(x, "r", (lens_rbf_opts){ .out = 10, .codes = "lenet5" }));
    REFUSED(84, 1, 1, LENS_BAD_ARG, "codes \"lenet6\" is unknown",
            lens_rbf(x, "r", (lens_rbf_opts){ .out = 10, .codes = "lenet6" }));
}

/* A picture with other channels than the kernels were made for. */
static void channels(void **state) {
    (void)state;
    float data[48] = { 0 };
    probe p = probe_start(1, 1, 3, 4, 4);
    probe_finish(&p, lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 2, .kernel = { 3 } }));
    lens_tensor four = { data, 4, { 1, 2, 4, 4 } }, y;
    assert_fails(p.ctx, LENS_BAD_SHAPE, "1x2x4x4", lens_run(p.session, &four, &y));
    assert_fails(p.ctx, LENS_BAD_SHAPE, "Nx3x4x4", lens_run(p.session, &four, &y));
    probe_end(&p);
}

/* Every row of the table: a name found by op_find, a formula, passes, options that end. */
static void table(void **state) {
    (void)state;
    int count = 0;
    for (const op_kind *const *kind = op_kinds; *kind; kind++, count++) {
        const op_kind *k = *kind;
        assert_ptr_equal(op_find(k->name), k);
        assert_true(strlen(k->formula) > 5);
        assert_non_null(k->infer);
        bool computes = k->min_inputs > 0 && !(k->flags & OP_ALIAS);
        assert_int_equal(computes, k->forward != NULL);
        assert_int_equal(computes && !(k->flags & OP_IS_SUM), k->backward != NULL);
        assert_int_equal((k->flags & OP_IS_ACT) != 0, k->act != ACT_NONE);
        for (const op_option *o = k->options; o && o->key; o++) {
            assert_true(o->offset < k->opts_size);
            assert_true(strlen(o->what) > 5);
        }
    }
    assert_int_equal(count, 37);
    assert_null(op_find("convolution"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[D9][D15] convolutions and dense layers that do not fit", conv),
        T("[D15] pooling that does not fit", pooling),
        T("other operators that do not fit", others),
        T("[D9] a picture with other channels", channels),
        T("every operator is complete", table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
