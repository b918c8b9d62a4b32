/* test_op_wino.c - Winograd convolution against the definition in double.
 *
 * Prints root mean squares of the error over that of the values, of an output, the input's gradient and the
 * weights' gradient; after the slash, that of the direct way (`strict`) on the same numbers. `make errors`
 * has all algorithms at the layers of nets.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

/* Pictures, maps in and out, side, padding, side of the kernel. The sides lie on, before and behind the ends of tiles, the
 * maps on and off whole vectors and blocks. */
static const struct {
    int n, c, o, side, pad, k;
} shapes[] = {
    { 2, 16, 16, 32, 1, 3 }, { 1, 32, 32, 17, 1, 3 },   { 1, 64, 64, 28, 1, 3 },
    { 3, 64, 64, 14, 1, 3 }, { 5, 128, 128, 8, 1, 3 },  { 2, 48, 20, 13, 0, 3 },
    { 2, 17, 19, 11, 2, 3 }, { 1, 256, 256, 14, 1, 3 }, { 1, 512, 512, 7, 1, 3 },
    { 9, 64, 64, 5, 1, 3 },  { 1, 64, 192, 27, 2, 5 },  { 3, 24, 64, 14, 2, 5 },
    { 2, 48, 17, 9, 0, 5 },  { 2, 17, 48, 12, 4, 5 },
};

typedef struct errors {
    double y, dx, dw;
} errors;

static double rms_error(const float *got, const double *want, size_t count) {
    double error = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)got[i] - want[i];
        error += d * d, size += want[i] * want[i];
    }
    return sqrt(error / size);
}

static double *widen(const float *x, size_t count) {
    double *wide = test_calloc(count, sizeof *wide);
    for (size_t i = 0; i < count; i++) wide[i] = (double)x[i];
    return wide;
}

/* Positive inputs, as after a ReLU; weights and gradients of both signs. */
static errors measure(const ref_op *op, bool strict) {
    probe p = { .ctx = NULL, .n = op->n };
    char why[256];
    const lens_ctx_opts opts = { .threads = 2, .strict = strict };
    assert_int_equal(lens_ctx_new(&p.ctx, &opts, why), LENS_OK);
    p.net = lens_net_new(p.ctx, "wino");
    p.x = lens_input(p.net, "x", op->c, op->h, op->w);
    lens_conv2d_opts conv = {
        .out = op->out, .kernel = { op->kh, op->kw }, .pad = op->top, .flip = op->flip
    };
    probe_finish(&p, lens_conv2d(p.x, "c", conv));
    probe_random(&p, 5);

    size_t w_count = op->param_count[0];
    float *x = test_calloc(op->x_count, sizeof *x), *dy = test_calloc(op->y_count, sizeof *dy);
    random_floats(x, op->x_count, 7), random_floats(dy, op->y_count, 8);
    for (size_t i = 0; i < op->x_count; i++) x[i] = x[i] > 0 ? x[i] : 0;
    double *wide_x = widen(x, op->x_count), *wide_dy = widen(dy, op->y_count);
    double *param[] = { widen(probe_param(&p, "c.weight").value.data, w_count),
                        widen(probe_param(&p, "c.bias").value.data, (size_t)op->out) };
    double *y = test_calloc(op->y_count, sizeof *y), *dx = test_calloc(op->x_count, sizeof *dx),
           *dw = test_calloc(w_count, sizeof *dw), *db = test_calloc((size_t)op->out, sizeof *db);
    ref_forward(op, wide_x, (const double *const *)param, y);
    ref_backward(op, wide_x, (const double *const *)param, wide_dy, dx, (double *[]){ dw, db });

    errors e;
    e.y = rms_error(probe_run(&p, x), y, op->y_count);
    e.dx = rms_error(probe_back(&p, dy), dx, op->x_count);
    e.dw = rms_error(probe_grad(&p, "c.weight"), dw, w_count);
    probe_end(&p);
    void *mine[] = { x, dy, wide_x, wide_dy, param[0], param[1], y, dx, dw, db };
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) test_free(mine[i]);
    return e;
}

static void errors_against_double(void **state) {
    (void)state;
    printf("%25s %17s %17s %17s\n", "relative RMS error", "y", "dx", "dw");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        ref_op op = { REF_CONV,
                      .n = shapes[i].n,
                      .c = shapes[i].c,
                      .h = shapes[i].side,
                      .w = shapes[i].side,
                      .out = shapes[i].o,
                      .kh = shapes[i].k,
                      .kw = shapes[i].k,
                      .flip = i % 2 != 0 };
        op.top = op.left = op.bottom = op.right = shapes[i].pad;
        assert_true(ref_plan(&op));
        errors fast = measure(&op, false), direct = measure(&op, true);
        printf("%dx%d %3d to %3d, %2dx%-2d pad %d %8.1e/%.1e %9.1e/%.1e %9.1e/%.1e\n", op.kh, op.kw,
               op.c, op.out, op.h, op.w, op.top, fast.y, direct.y, fast.dx, direct.dx, fast.dw,
               direct.dw);
        /* The error of F(4x4, 3x3) is about three times the direct way's, which grows with the square root
         * of the number of terms at most; that of F(4x4, 5x5) five times. */
        const double most = op.kh == 3 ? 2e-6 : 6e-6;
        assert_true(fast.y < most && fast.dx < most && fast.dw < most);
        assert_true(direct.y < 2e-6 && direct.dx < 2e-6 && direct.dw < 2e-6);
    }
}

/* A picture's bits depend neither on the threads nor on the pictures next to it. */
static void same_bits(void **state) {
    (void)state;
    for (int i = 3; i < (int)(sizeof shapes / sizeof *shapes); i += 4) {
        int n = shapes[i].n, side = shapes[i].side;
        lens_conv2d_opts conv = { .out = shapes[i].o,
                                  .kernel = { shapes[i].k, shapes[i].k },
                                  .pad = shapes[i].pad };
        probe p[3];
        for (int k = 0; k < 3; k++) { /* one thread; three; one picture */
            p[k] = probe_start(k == 1 ? 3 : 1, k == 2 ? 1 : n, shapes[i].c, side, side);
            probe_finish(&p[k], lens_conv2d(p[k].x, "c", conv));
            probe_random(&p[k], 5);
        }
        size_t x_count = probe_x_count(&p[0]), y_count = probe_y_count(&p[0]);
        float *x = test_calloc(x_count, sizeof *x), *dy = test_calloc(y_count, sizeof *dy);
        random_floats(x, x_count, 7), random_floats(dy, y_count, 8);
        const float *y[3], *dx[3], *dw[3];
        for (int k = 0; k < 3; k++) {
            y[k] = probe_run(&p[k], x), dx[k] = probe_back(&p[k], dy);
            dw[k] = probe_grad(&p[k], "c.weight");
        }
        size_t weights = (size_t)lens_tensor_count(&(lens_tensor){
            .rank = 4, .dim = { shapes[i].o, shapes[i].c, shapes[i].k, shapes[i].k } });
        assert_memory_equal(y[0], y[1], y_count * sizeof *x);
        assert_memory_equal(dx[0], dx[1], x_count * sizeof *x);
        assert_memory_equal(dw[0], dw[1], weights * sizeof *x);
        assert_memory_equal(y[0], y[2], probe_y_count(&p[2]) * sizeof *x);
        assert_memory_equal(dx[0], dx[2], probe_x_count(&p[2]) * sizeof *x);
        for (int k = 0; k < 3; k++) probe_end(&p[k]);
        test_free(x), test_free(dy);
    }
}

static const struct CMUnitTest tests[] = {
    T("Winograd: same bits for any threads, and alone or in a batch", same_bits),
    T("errors of Winograd and of direct convolution against double", errors_against_double),
};

TEST_MAIN(tests)
