/* test_train_pictures.c - training and testing on pictures as people have them: views of a margin, mixed
 * targets, and fine-tuning a loaded net on an image folder.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/tempdir.h"
#include "test.h"
#include <lenslet/train.h>
#include <lenslet/zoo.h>
#include <sys/stat.h>

static lens_ctx *ctx;
static char dir[TEMPDIR_PATH];

static int setup(void **state) {
    (void)state;
    ctx = test_ctx(2);
    tempdir_make(dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    lens_ctx_free(ctx);
    tempdir_remove(dir);
    return 0;
}

static const char *in_dir(const char *name) {
    static char path[4][1024];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static lens_net *small_net(int classes, bool softmax) {
    lens_net *net = lens_net_new(ctx, "small");
    lens_node *x = lens_input(net, "data", 1, 12, 12);
    x = lens_relu(lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 3 } }), NULL);
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = classes });
    if (softmax) x = lens_softmax(x, NULL);
    assert_ok(ctx, lens_net_finish(net, x));
    assert_ok(ctx, lens_init(net, NULL, 3));
    return net;
}

/* Ten views of 12x12 in 16x16, against running each by hand and averaging in double. */
static void ten_crops(void **state) {
    (void)state;
    enum { VIEWS = 10, K = 5, SIDE = 16, IN = 12, ALL = 1000 };
    static float logits[ALL * K], whole[SIDE * SIDE], part[IN * IN];
    lens_data *d, *bare;
    lens_data_opts opts = { .channels = 1, .height = IN, .resize = SIDE };
    assert_ok(ctx, lens_data_open(ctx, &d, "shapes:shape", &opts));
    assert_ok(ctx, lens_data_open(ctx, &bare, "shapes:shape",
                                  &(lens_data_opts){ .channels = 1, .height = SIDE }));
    for (int softmax = 0; softmax < 2; softmax++) {
        lens_net *net = small_net(K, softmax);
        lens_session *session;
        lens_eval_result e, once;
        int64_t correct = 0;
        double loss = 0;
        assert_ok(ctx, lens_session_new(&session, net, ctx, NULL));
        assert_ok(ctx, lens_eval_crops(net, d, LENS_TEST, 64, VIEWS, &e, NULL, logits));
        assert_int_equal(e.images, ALL);
        for (size_t i = 0; i < ALL; i++) {
            int label, best = 0;
            double p[K] = { 0 };
            assert_ok(ctx, lens_data_get(bare, LENS_TEST, i, whole, &label));
            lens_tensor from = { whole, 4, { 1, 1, SIDE, SIDE } };
            lens_tensor to = { part, 4, { 1, 1, IN, IN } }, y;
            for (int v = 0; v < VIEWS; v++) {
                double row[K], sum = 0;
                assert_ok(ctx, lens_view(ctx, &from, VIEWS, v, &to));
                assert_ok(ctx, lens_run(session, &to, &y));
                for (int k = 0; k < K; k++) {
                    row[k] = softmax ? (double)y.data[k] : exp((double)y.data[k]);
                    sum += row[k];
                }
                for (int k = 0; k < K; k++) p[k] += row[k] / sum / VIEWS;
            }
            for (int k = 0; k < K; k++) {
                best = p[k] > p[best] ? k : best;
                assert_near(logits[i * K + (size_t)k], log(p[k]), 1e-5);
            }
            correct += best == label;
            loss -= log(p[label]) / ALL;
        }
        assert_int_equal(e.correct, correct);
        assert_near(e.loss, loss, 1e-5);
        assert_ok(ctx, lens_eval(net, d, LENS_TEST, 64, &e, NULL, NULL));
        assert_ok(ctx, lens_eval_crops(net, d, LENS_TEST, 64, 1, &once, NULL, NULL));
        assert_true(e.correct == once.correct && e.loss == once.loss);
        lens_session_free(session);
        lens_net_free(net);
    }
    lens_net *net = small_net(K, false), *large;
    lens_eval_result e;
    assert_fails(ctx, LENS_BAD_ARG, "7 views",
                 lens_eval_crops(net, d, LENS_TEST, 64, 7, &e, NULL, NULL));
    lens_data_free(bare);
    assert_ok(ctx, lens_data_open(ctx, &bare, "shapes:shape",
                                  &(lens_data_opts){ .channels = 1, .height = IN }));
    assert_fails(ctx, LENS_BAD_ARG,
                 "10 views of each picture: shapes:shape has no margin round its 12x12",
                 lens_eval_crops(net, bare, LENS_TEST, 64, 10, &e, NULL, NULL));
    assert_ok(ctx, lens_zoo_new(ctx, &large, "lenet5", &(lens_zoo_opts){ 1, SIDE, SIDE, K }));
    assert_fails(ctx, LENS_BAD_SHAPE, "reads 1x16x16 but the pictures",
                 lens_eval_crops(large, d, LENS_TEST, 64, 10, &e, NULL, NULL));
    lens_net_free(large);
    lens_net_free(net);
    lens_data_free(bare);
    lens_data_free(d);
}

/* Training with a margin and mixed targets: it learns, any number of loader threads gives the same bits,
 * the margin is remembered, and a loss that knows no shared targets is refused. */
static void mixed_training(void **state) {
    (void)state;
    char hash[2][33];
    lens_data *d;
    lens_data_opts opts = {
        .channels = 1, .height = 12, .resize = 14, .interpolation = LENS_BICUBIC
    };
    assert_ok(ctx, lens_data_open(ctx, &d, "shapes:shape", &opts));
    for (int run = 0; run < 2; run++) {
        lens_net *net = small_net(5, false);
        lens_train_result result;
        lens_train_opts o = { .epochs = 2,
                              .optim = { .name = "adam" },
                              .augment = "crop,mirror,mixup",
                              .workers = 1 + 2 * run };
        assert_ok(ctx, lens_train(net, d, &o, &result));
        assert_true(result.test_accuracy > 0.4); /* guessing: 0.2 */
        assert_string_equal(lens_net_meta(net, "resize"), "14");
        assert_string_equal(lens_net_meta(net, "interpolation"), "bicubic");
        lens_net_hash(net, hash[run]);
        o.loss.kind = LENS_HINGE;
        assert_fails(ctx, LENS_BAD_ARG, "mixed targets", lens_train(net, d, &o, &result));
        lens_net_free(net);
    }
    assert_string_equal(hash[0], hash[1]);
    lens_data_free(d);
}

/* ---- fine-tuning ---- */

enum { SIDE = 16 };

/* An image folder of the first `classes` shapes: so many pictures of each to train and to test, 16x16
 * grey, drawn with this seed. */
static lens_data *folder(const char *name, uint64_t seed, int classes, int train, int test) {
    const lens_data_opts opts = { .channels = 1, .height = SIDE, .seed = seed };
    const lens_data_info *info;
    lens_data *from, *d;
    char path[1024];
    assert_ok(ctx, lens_data_open(ctx, &from, "shapes:shape", &opts));
    info = lens_data_describe(from);
    mkdir(in_dir(name), 0777);
    for (int s = 0; s < LENS_SPLITS; s++) {
        int left[8], want = s == LENS_TRAIN ? train : test;
        const char *split = s == LENS_TRAIN ? "train" : "test";
        snprintf(path, sizeof path, "%s/%s", in_dir(name), split);
        mkdir(path, 0777);
        for (int k = 0; k < classes; k++) {
            snprintf(path, sizeof path, "%s/%s/%s", in_dir(name), split, info->class_name[k]);
            mkdir(path, 0777);
            left[k] = want;
        }
        for (size_t i = 0; i < info->count[s]; i++) {
            float chw[SIDE * SIDE];
            uint8_t pixels[SIDE * SIDE];
            int label;
            assert_ok(ctx, lens_data_get(from, (lens_split)s, i, chw, &label));
            if (label >= classes || left[label]-- <= 0) continue;
            for (int p = 0; p < SIDE * SIDE; p++) pixels[p] = (uint8_t)lrintf(chw[p] * 255);
            lens_image image = { SIDE, SIDE, 1, pixels };
            snprintf(path, sizeof path, "%s/%s/%s/%zu.png", in_dir(name), split,
                     info->class_name[label], i);
            assert_ok(ctx, lens_image_write(ctx, &image, path));
        }
    }
    lens_data_free(from);
    assert_ok(ctx, lens_data_open(ctx, &d, in_dir(name), &(lens_data_opts){ .channels = 1 }));
    return d;
}

static lens_net *resnet20(int classes) {
    lens_net *net;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "resnet20", &(lens_zoo_opts){ 1, SIDE, SIDE, classes }));
    assert_ok(ctx, lens_init(net, NULL, 1));
    return net;
}

/* A ResNet-20 that has seen three shapes learns five from few pictures better than one that has seen
 * nothing, at equal epochs; with frozen layers too, and these keep every bit. */
static void fine_tuning(void **state) {
    (void)state;
    enum { LAYERS = 8 };
    lens_data *three = folder("three", 1, 3, 150, 10), *five = folder("five", 2, 5, 12, 40);
    lens_train_opts o = { .epochs = 4,
                          .batch = 16,
                          .optim = { .rate = 0.05, .momentum = 0.9 },
                          .keep_weights = true,
                          .augment = "mirror,crop:2" };
    const lens_weights_opts head = { .replace_head = true };
    lens_train_result result;
    double accuracy[3];
    lens_net *seen = resnet20(3);
    assert_ok(ctx, lens_train(seen, three, &o, &result));
    assert_ok(ctx, lens_net_save(seen, in_dir("seen.safetensors")));
    for (int way = 0; way < 3; way++) { /* from nothing, loaded, loaded with frozen layers */
        lens_net *net = resnet20(5);
        char *left_out = NULL;
        if (way)
            assert_ok(
                ctx, lens_net_load_weights_with(net, in_dir("seen.safetensors"), &head, &left_out));
        if (way) assert_non_null(strstr(left_out, "linear.weight"));
        lens_free(ctx, left_out);
        int frozen = 0, kept = 0, moved = 0;
        for (int i = 0; way == 2 && i < lens_net_nodes(net) && frozen < LAYERS; i++) {
            lens_node_info info;
            lens_node_info_get(lens_net_node(net, i), &info);
            if (info.parameters == 0) continue;
            lens_node_freeze(lens_net_node(net, i), true);
            frozen++;
        }
        assert_ok(ctx, lens_train(net, five, &o, &result));
        accuracy[way] = result.test_accuracy;
        for (int i = 0; way == 2 && i < lens_net_params(net); i++) {
            lens_param now, then;
            assert_ok(ctx, lens_net_param(net, i, &now));
            if (strncmp(now.name, "linear", 6) == 0) continue; /* of another shape */
            assert_ok(ctx, lens_net_param_named(seen, now.name, &then));
            bool same = memcmp(now.value.data, then.value.data,
                               (size_t)lens_tensor_count(&now.value) * sizeof(float)) == 0;
            if (now.frozen && !same) fail_msg("%s is frozen but has changed", now.name);
            kept += now.frozen;
            moved += !now.frozen && !same;
        }
        if (way == 2) assert_true(kept > LAYERS && moved > 10);
        lens_net_free(net);
    }
    assert_true(accuracy[1] > accuracy[0] + 0.1);
    assert_true(accuracy[2] > accuracy[0] + 0.1);
    lens_net_free(seen);
    lens_data_free(three);
    lens_data_free(five);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("evaluation of ten crops is the mean of the views' probabilities", ten_crops),
        T("training with a margin and mixup: learns, repeats, remembers", mixed_training),
        T("[N4] fine-tuning a loaded ResNet-20 on an image folder; frozen layers keep every bit",
          fine_tuning),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
