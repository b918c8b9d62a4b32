/* test_zoo_learns.c - one small member of every large family learns a batch by heart.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

#include <lenslet/train.h>
#include <lenslet/zoo.h>

/* Eight pictures of noise in four classes: only a net whose gradients reach all its layers learns
 * them. Without batch norm the loss is taken without dropout. */
static void learns(const char *name, int size, int steps, double rate, bool bn) {
    enum { N = 8, C = 3, CLASSES = 4, MOST = 3 };
    const lens_zoo_opts opts = { C, size, size, CLASSES };
    const int32_t label[N] = { 0, 1, 2, 3, 3, 2, 1, 0 };
    size_t count = (size_t)N * C * (size_t)size * (size_t)size;
    float *pixels = test_calloc(count, sizeof *pixels), dy[MOST][N * CLASSES];
    random_floats(pixels, count, 7);
    lens_tensor x = { pixels, 4, { N, C, size, size } }, y, d[MOST];
    lens_ctx *ctx = test_ctx(2);
    lens_net *net;
    lens_session *session;
    lens_optim *optim;
    double loss[MOST] = { 0 }, first[MOST] = { 0 };
    int correct = 0;
    assert_ok(ctx, lens_zoo_new(ctx, &net, name, &opts));
    assert_ok(ctx, lens_init(net, "he", 1));
    assert_ok(ctx, lens_session_new(&session, net, ctx,
                                    &(lens_session_opts){ .batch = N, .train = true }));
    assert_ok(ctx, lens_optim_new(&optim, net, &(lens_optim_opts){ .momentum = 0.9, .clip = 5 }));
    int outputs = lens_net_outputs(net);
    assert_true(outputs <= MOST);
    for (int step = 0; step <= steps; step++) {
        if (step < steps || bn)
            assert_ok(ctx, lens_forward(session, &x, (uint32_t)step, &y));
        else
            assert_ok(ctx, lens_run(session, &x, &y));
        for (int k = outputs - 1; k >= 0; k--) { /* a head counts as much as the main output */
            assert_ok(ctx, lens_peek(session, lens_net_output_at(net, k), LENS_VALUE, &y));
            d[k] = (lens_tensor){ dy[k], 2, { N, CLASSES } };
            assert_ok(ctx,
                      lens_loss_eval(ctx, &(lens_loss){ 0 }, &y, label, &loss[k], &correct, &d[k]));
            if (!step) first[k] = loss[k];
        }
        if (step == steps) break;
        assert_ok(ctx, lens_backward_outputs(session, d, outputs));
        assert_ok(ctx, lens_optim_step(optim, session, rate));
    }
    if (correct != N || !(loss[0] < first[0] / 5))
        fail_msg("%s: loss %g after %g, %d of %d right", name, loss[0], first[0], correct, N);
    for (int k = 1; k < outputs; k++)
        if (!(loss[k] < first[k] / 2)) fail_msg("%s: head %d has loss %g", name, k, loss[k]);
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    lens_ctx_free(ctx);
    test_free(pixels);
}

static void alexnet_learns(void **state) {
    (void)state, learns("alexnet-2012", 67, 30, 0.01, false);
}
static void zfnet_learns(void **state) { (void)state, learns("zfnet", 64, 30, 0.01, false); }
static void googlenet_learns(void **state) {
    (void)state;
    learns("googlenet", 64, 10, 0.05, true);
    learns("googlenet-v1", 64, 50, 0.01, false);
}
static void resnet_learns(void **state) {
    (void)state;
    learns("resnet20", 32, 10, 0.1, true);
    learns("resnet20-b", 32, 10, 0.1, true);
    learns("resnet18", 32, 8, 0.05, true);
    learns("resnet34-a", 32, 12, 0.05, true);
    learns("resnet34-c", 32, 24, 0.02, true);
    learns("resnet50-v1", 64, 15, 0.02, true);
}
static void vgg_learns(void **state) { (void)state, learns("vgg11_bn", 32, 20, 0.01, true); }
static void densenet_learns(void **state) {
    (void)state;
    learns("densenet-40-12", 16, 10, 0.1, true);
    learns("densenet-bc-100-12", 16, 10, 0.1, true);
    learns("densenet121", 32, 8, 0.05, true);
}
static void squeezenet_learns(void **state) {
    (void)state, learns("squeezenet1_1", 64, 60, 0.007, false);
}

static const struct CMUnitTest tests[] = {
    T("[M4] AlexNet learns a batch by heart", alexnet_learns),
    T("[M5] ZFNet learns a batch by heart", zfnet_learns),
    T("[M7] VGG learns a batch by heart", vgg_learns),
    T("[M6] GoogLeNet learns a batch by heart", googlenet_learns),
    T("[M8] ResNet learns a batch by heart", resnet_learns),
    T("[M9] DenseNet learns a batch by heart", densenet_learns),
    T("SqueezeNet learns a batch by heart", squeezenet_learns),
};

TEST_MAIN(tests)
