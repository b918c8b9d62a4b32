/* test_zoo_learns.c - one small member of every large family learns a batch by heart; any number
 * of threads leaves the same bits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

#include <lenslet/train.h>
#include <lenslet/zoo.h>

enum { N = 8, C = 3, CLASSES = 4, MOST = 3 };

/* A net, eight pictures of noise in four classes, and what trains the one on the others. */
typedef struct lesson {
    lens_ctx *ctx;
    lens_net *net;
    lens_session *session;
    lens_optim *optim;
    lens_tensor x;
    int outputs; /* heads included */
} lesson;

/* Dense layers of 4096 units get 64: in VGG they are nine tenths of the weights and of the time. */
static lens_net *narrowed(lens_ctx *ctx, lens_net *wide) {
    lens_net *net;
    char *text, *at;
    assert_ok(ctx, lens_net_text(wide, &text));
    while ((at = strstr(text, "out=4096"))) memcpy(at, "out=64  ", 8);
    assert_ok(ctx, lens_net_parse(ctx, &net, text, "narrowed"));
    lens_free(ctx, text);
    lens_net_free(wide);
    return net;
}

static lesson begin(const char *name, int size, int threads, bool narrow) {
    lesson l = { .ctx = test_ctx(threads), .x = { NULL, 4, { N, C, size, size } } };
    size_t count = (size_t)lens_tensor_count(&l.x);
    l.x.data = test_calloc(count, sizeof *l.x.data);
    random_floats(l.x.data, count, 7);
    assert_ok(l.ctx, lens_zoo_new(l.ctx, &l.net, name, &(lens_zoo_opts){ C, size, size, CLASSES }));
    if (narrow) l.net = narrowed(l.ctx, l.net);
    assert_ok(l.ctx, lens_init(l.net, "he", 1));
    assert_ok(l.ctx, lens_session_new(&l.session, l.net, l.ctx,
                                      &(lens_session_opts){ .batch = N, .train = true }));
    assert_ok(l.ctx,
              lens_optim_new(&l.optim, l.net, &(lens_optim_opts){ .momentum = 0.9, .clip = 5 }));
    l.outputs = lens_net_outputs(l.net);
    assert_true(l.outputs <= MOST);
    return l;
}

static void end(lesson *l) {
    lens_optim_free(l->optim);
    lens_session_free(l->session);
    lens_net_free(l->net);
    lens_ctx_free(l->ctx);
    test_free(l->x.data);
}

/* Losses of the outputs after a run, their gradients if dy; a head counts as much as the main output. Returns how
 * many pictures the latter has right. */
static int losses(lesson *l, double *loss, lens_tensor *dy) {
    static const int32_t label[N] = { 0, 1, 2, 3, 3, 2, 1, 0 };
    int correct = 0;
    lens_tensor y;
    for (int k = l->outputs - 1; k >= 0; k--) {
        assert_ok(l->ctx, lens_peek(l->session, lens_net_output_at(l->net, k), LENS_VALUE, &y));
        assert_ok(l->ctx, lens_loss_eval(l->ctx, &(lens_loss){ 0 }, &y, label, &loss[k], &correct,
                                         dy ? &dy[k] : NULL));
    }
    return correct;
}

static void step(lesson *l, int number, double rate, double *loss) {
    float room[MOST][N * CLASSES];
    lens_tensor dy[MOST], y;
    for (int k = 0; k < MOST; k++) dy[k] = (lens_tensor){ room[k], 2, { N, CLASSES } };
    assert_ok(l->ctx, lens_forward(l->session, &l->x, (uint32_t)number, &y));
    losses(l, loss, dy);
    assert_ok(l->ctx, lens_backward_outputs(l->session, dy, l->outputs));
    assert_ok(l->ctx, lens_optim_step(l->optim, l->session, rate));
}

/* Only a net whose gradients reach all its layers learns noise. Without batch norm the loss is taken
 * without dropout. */
static void learns(const char *name, int size, int steps, double rate, bool bn) {
    double loss[MOST] = { 0 }, first[MOST] = { 0 };
    lens_tensor y;
    lesson l = begin(name, size, 2, false);
    for (int i = 0; i < steps; i++) step(&l, i, rate, i ? loss : first);
    if (bn)
        assert_ok(l.ctx, lens_forward(l.session, &l.x, (uint32_t)steps, &y));
    else
        assert_ok(l.ctx, lens_run(l.session, &l.x, &y));
    int correct = losses(&l, loss, NULL);
    if (correct != N || !(loss[0] < first[0] / 5))
        fail_msg("%s: loss %g after %g, %d of %d right", name, loss[0], first[0], correct, N);
    for (int k = 1; k < l.outputs; k++)
        if (!(loss[k] < first[k] / 2)) fail_msg("%s: head %d has loss %g", name, k, loss[k]);
    end(&l);
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

/* The same weights after 20 steps, whatever the number of threads; other ones than before. */
static void same_bits(const char *name, int size) {
    static const int threads[] = { 1, 2, 3, 8 };
    char before[33], first[33], hash[33];
    double loss[MOST];
    for (int t = 0; t < 4; t++) {
        lesson l = begin(name, size, threads[t], true);
        lens_net_hash(l.net, before);
        for (int i = 0; i < 20; i++) step(&l, i, 0.01, loss);
        lens_net_hash(l.net, t ? hash : first);
        if (t) assert_string_equal(hash, first);
        assert_string_not_equal(before, first);
        end(&l);
    }
}

static void same_bits_for_any_threads(void **state) {
    (void)state;
    same_bits("resnet18", 32);
    same_bits("vgg11", 32);
    same_bits("densenet-bc-100-12", 16);
}

static const struct CMUnitTest tests[] = {
    T("[M4] AlexNet learns a batch by heart", alexnet_learns),
    T("[M5] ZFNet learns a batch by heart", zfnet_learns),
    T("[M7] VGG learns a batch by heart", vgg_learns),
    T("[M6] GoogLeNet learns a batch by heart", googlenet_learns),
    T("[M8] ResNet learns a batch by heart", resnet_learns),
    T("[M9] DenseNet learns a batch by heart", densenet_learns),
    T("SqueezeNet learns a batch by heart", squeezenet_learns),
    T("zoo: same bits after 20 steps with 1, 2, 3, 8 threads", same_bits_for_any_threads),
};

TEST_MAIN(tests)
