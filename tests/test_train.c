/* test_train.c - the training loop: what it learns, that any stop and any number of threads leave the
 * same bits, and that it says what is wrong.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "support/tempdir.h"
#include "support/toydata.h"
#include <lenslet/train.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TRAIN = 100, TEST = 41, CLASSES = 4, MAX_EPOCHS = 32 };

/* A context with the toy data open. */
typedef struct world {
    char folder[TEMPDIR_PATH], out[TEMPDIR_PATH + 8];
    lens_ctx *ctx;
    lens_data *data;
} world;

static void open_in(world *w, int threads) {
    w->ctx = test_ctx(threads);
    assert_ok(w->ctx, lens_data_open(w->ctx, &w->data, w->folder, NULL));
}

static void close_in(world *w) {
    lens_data_free(w->data);
    lens_ctx_free(w->ctx);
}

static world open_world_of(int threads, int train, int test, int classes, int noise) {
    world w;
    tempdir_make(w.folder);
    snprintf(w.out, sizeof w.out, "%s/run", w.folder);
    toydata_write(w.folder, train, test, classes, noise, 1);
    open_in(&w, threads);
    return w;
}

static world open_world(int threads) { return open_world_of(threads, TRAIN, TEST, CLASSES, 200); }

static void close_world(world *w) {
    close_in(w);
    tempdir_remove(w->folder);
}

/* conv 4@3x3 - batch norm - ReLU - pool - dropout - classes: all that keeps state or draws; and a head. */
static lens_net *rich_net(lens_ctx *ctx) {
    lens_net *net = lens_net_new(ctx, "rich");
    lens_node *x = lens_input(net, "data", 1, TOY_SIDE, TOY_SIDE);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 3 }, .pad = 1 });
    x = lens_relu(lens_batchnorm(x, "bn1", (lens_batchnorm_opts){ 0 }), NULL);
    x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    lens_output(lens_dense(x, "aux.fc", (lens_dense_opts){ .out = CLASSES }), "aux",
                (lens_output_opts){ .weight = 0.3f, .training = true });
    x = lens_dropout(x, NULL, 0.25f);
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = CLASSES });
    assert_ok(ctx, lens_net_finish(net, x));
    return net;
}

/* conv 4@3x3 - tanh - pool - classes. */
static lens_net *plain_net(lens_ctx *ctx, int classes, bool flip) {
    lens_net *net = lens_net_new(ctx, "plain");
    lens_node *x = lens_input(net, "data", 1, TOY_SIDE, TOY_SIDE);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 3 }, .flip = flip });
    x = lens_maxpool(lens_tanh(x, NULL), NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = classes });
    assert_ok(ctx, lens_net_finish(net, x));
    return net;
}

static lens_tensor value_of(lens_ctx *ctx, lens_net *net, const char *name) {
    lens_param p;
    assert_ok(ctx, lens_net_param_named(net, name, &p));
    return p.value;
}

static lens_train_opts usual(void) {
    return (lens_train_opts){
        .epochs = 3, .batch = 8, .optim = { .name = "sgd", .rate = 0.1, .momentum = 0.9 }, .seed = 5
    };
}

static void join(char *path, size_t size, const char *folder, const char *name) {
    assert_true(snprintf(path, size, "%s/%s", folder, name) < (int)size);
}

/* The whole file, terminated; free with free. NULL if there is none. */
static char *slurp(const char *folder, const char *name, size_t *size) {
    char path[1024];
    join(path, sizeof path, folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long length = ftell(f);
    rewind(f);
    char *bytes = malloc((size_t)length + 1);
    assert_int_equal(fread(bytes, 1, (size_t)length, f), length);
    bytes[length] = 0;
    fclose(f);
    if (size) *size = (size_t)length;
    return bytes;
}

/* Cuts what follows `mark` out of every line: the times. */
static void cut_times(char *text, const char *mark) {
    char *to = text;
    for (char *line = text; *line;) {
        size_t length = strcspn(line, "\n"), keep = length;
        char *times = mark ? strstr(line, mark) : NULL;
        if (times && times < line + length) keep = (size_t)(times - line);
        if (!mark) /* CSV: the last two fields */
            for (int commas = 0; keep > 0 && commas < 2; keep--) commas += line[keep - 1] == ',';
        memmove(to, line, keep);
        to += keep;
        *to++ = '\n';
        line += length + (line[length] != 0);
    }
    *to = 0;
}

static void assert_same_logs(const char *a, const char *b) {
    for (int json = 0; json < 2; json++) {
        const char *name = json ? "log.jsonl" : "log.csv";
        char *x = slurp(a, name, NULL), *y = slurp(b, name, NULL);
        assert_non_null(x);
        assert_non_null(y);
        cut_times(x, json ? ",\"seconds\"" : NULL);
        cut_times(y, json ? ",\"seconds\"" : NULL);
        assert_string_equal(x, y);
        free(x);
        free(y);
    }
}

/* What a process wrote after its last checkpoint, before it died. */
static void spoil_logs(const char *folder) {
    for (int json = 0; json < 2; json++) {
        char path[1024];
        join(path, sizeof path, folder, json ? "log.jsonl" : "log.csv");
        FILE *f = fopen(path, "ab");
        assert_non_null(f);
        fputs("half a li", f);
        fclose(f);
    }
}

/* ---- Learning --------------------------------------------------------------------------------- */

typedef struct trace {
    int epochs, calls;
    double loss[MAX_EPOCHS], val_loss[MAX_EPOCHS], val_accuracy[MAX_EPOCHS], rate[MAX_EPOCHS];
} trace;

static bool record(void *user, const lens_progress *p) {
    trace *t = user;
    t->calls++;
    if (p->epoch_done) {
        assert_int_equal(p->epoch, t->epochs + 1);
        assert_int_equal(p->step, p->epoch * p->epoch_steps);
        assert_int_equal(p->epoch_step, p->epoch_steps);
        assert_int_equal(p->steps, p->epochs * p->epoch_steps);
        t->loss[t->epochs] = p->loss;
        t->val_loss[t->epochs] = p->val_loss;
        t->val_accuracy[t->epochs] = p->val_accuracy;
        t->rate[t->epochs++] = p->rate;
    }
    return true;
}

static void loss_falls(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = plain_net(w.ctx, CLASSES, false);
    trace t = { 0 };
    lens_train_opts o = usual();
    lens_train_result result;
    o.epochs = 10;
    o.optim.rate = 0.02;
    o.progress = record;
    o.user = &t;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    assert_int_equal(t.epochs, 10);
    assert_int_equal(result.epochs, 10);
    for (int e = 1; e + 1 < 10; e++) /* moving average of two epochs */
        assert_true(t.loss[e] + t.loss[e + 1] <= t.loss[e - 1] + t.loss[e]);
    assert_true(t.loss[9] < 0.2 * t.loss[0]);
    /* pictures never trained on, reported apart */
    assert_true(result.test_accuracy > 0.95);
    assert_near(result.test_loss, t.val_loss[9], 0);
    assert_true(result.best_accuracy >= result.test_accuracy);
    assert_near(result.best_accuracy, t.val_accuracy[result.best_epoch - 1], 0);
    assert_true(result.images_per_s > 0 && result.seconds > 0 && !result.already_finished);
    lens_net_free(net);
    close_world(&w);
}

/* The same five steps by hand: initialise once; then for every batch forward, error, backward, update. */
static void loop_by_hand(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = rich_net(w.ctx), *hand = rich_net(w.ctx);
    char a[33], b[33];
    trace t = { 0 };
    lens_train_opts o = usual();
    lens_train_result result;
    o.progress = record;
    o.user = &t;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    lens_net_hash(net, a);

    float mean[1], std[1], dy[2 * 8 * CLASSES];
    lens_loader *loader;
    lens_session *session;
    lens_optim *optim;
    lens_batch batch;
    assert_ok(w.ctx, lens_init(hand, "he", 5));
    assert_ok(w.ctx, lens_data_mean_std(w.data, mean, std));
    assert_ok(w.ctx, lens_loader_new(w.ctx, &loader, w.data, LENS_TRAIN, 8,
                                     &(lens_loader_opts){
                                         .shuffle = true, .seed = 5, .mean = mean, .std = std }));
    assert_ok(w.ctx,
              lens_session_new(&session, hand, w.ctx,
                               &(lens_session_opts){ .batch = 8, .train = true, .seed = 5 }));
    assert_ok(w.ctx, lens_optim_new(&optim, hand, &o.optim));
    uint32_t step = 0;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        double mean_loss = 0; /* over pictures, not over batches: the last one is smaller */
        assert_ok(w.ctx, lens_loader_epoch(loader, epoch, 0));
        while (lens_loader_next(loader, &batch) == LENS_OK && batch.n > 0) {
            double loss;
            lens_tensor y;
            assert_ok(w.ctx, lens_forward(session, &batch.images, step++, &y));
            lens_tensor d[2] = { y, y };
            d[0].data = dy;
            d[1].data = dy + 8 * CLASSES;
            assert_ok(w.ctx, lens_loss_eval(w.ctx, &o.loss, &y, batch.labels, &loss, NULL, &d[0]));
            mean_loss += loss * batch.n / TRAIN;
            assert_ok(w.ctx, lens_peek(session, lens_net_find(hand, "aux"), LENS_VALUE, &y));
            assert_ok(w.ctx, lens_loss_eval(w.ctx, &o.loss, &y, batch.labels, NULL, NULL, &d[1]));
            for (int i = 0; i < batch.n * CLASSES; i++) d[1].data[i] *= 0.3f;
            assert_ok(w.ctx, lens_backward_outputs(session, d, 2));
            assert_ok(w.ctx, lens_optim_step(optim, session, 0.1));
        }
        assert_near(t.loss[epoch], mean_loss, 1e-12);
    }
    assert_int_equal(step, 39);
    lens_net_hash(hand, b);
    assert_string_equal(a, b);

    /* and the start is what lens_init gives, set once */
    assert_ok(w.ctx, lens_init(hand, "he", 5));
    o.keep_weights = true;
    t.epochs = 0;
    assert_ok(w.ctx, lens_train(hand, w.data, &o, &result));
    lens_net_hash(hand, b);
    assert_string_equal(a, b);
    lens_optim_free(optim);
    lens_session_free(session);
    lens_loader_free(loader);
    lens_net_free(hand);
    lens_net_free(net);
    close_world(&w);
}

/* The probability of the target on one picture rises at every step and passes 0.99. */
static void one_picture_overfits(void **state) {
    (void)state;
    world w = open_world(1);
    lens_net *net = plain_net(w.ctx, CLASSES, false);
    lens_session *session;
    lens_optim *optim;
    float x[TOY_SIDE * TOY_SIDE], dy[CLASSES];
    int label, correct;
    double loss, before = INFINITY;
    assert_ok(w.ctx, lens_init(net, NULL, 3));
    assert_ok(w.ctx, lens_data_get(w.data, LENS_TRAIN, 2, x, &label));
    int32_t target = label;
    assert_ok(w.ctx, lens_session_new(&session, net, w.ctx, &(lens_session_opts){ .train = true }));
    assert_ok(w.ctx, lens_optim_new(&optim, net, NULL));
    lens_tensor input = { x, 4, { 1, 1, TOY_SIDE, TOY_SIDE } }, y, d;
    for (int step = 0; step < 100; step++) {
        assert_ok(w.ctx, lens_forward(session, &input, 0, &y));
        d = y;
        d.data = dy;
        assert_ok(w.ctx,
                  lens_loss_eval(w.ctx, &(lens_loss){ 0 }, &y, &target, &loss, &correct, &d));
        assert_true(loss < before);
        before = loss;
        assert_ok(w.ctx, lens_backward(session, &d));
        assert_ok(w.ctx, lens_optim_step(optim, session, 0.05));
    }
    assert_true(exp(-loss) > 0.99);
    assert_int_equal(correct, 1);
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    close_world(&w);
}

static void svm_head(void **state) {
    (void)state;
    world w = open_world(2);
    const lens_loss_kind kinds[] = { LENS_HINGE, LENS_HINGE_SQUARED };
    for (int k = 0; k < 2; k++) {
        lens_net *net = plain_net(w.ctx, CLASSES, false);
        lens_train_opts o = usual();
        lens_train_result result;
        o.epochs = 8;
        o.optim.rate = 0.01;
        o.loss.kind = kinds[k];
        assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
        assert_true(result.test_accuracy > 0.95);

        /* an SVM on features that are learned and frozen: only the head moves */
        lens_tensor conv = value_of(w.ctx, net, "conv1.weight"),
                    fc = value_of(w.ctx, net, "fc.weight");
        float kept[36];
        memcpy(kept, conv.data, sizeof kept);
        lens_node_freeze(lens_net_find(net, "conv1"), true);
        memset(fc.data, 0, (size_t)lens_tensor_count(&fc) * sizeof(float));
        lens_net_touched(net);
        o.keep_weights = true;
        assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
        assert_memory_equal(kept, conv.data, sizeof kept);
        assert_true(result.test_accuracy > 0.95);
        lens_net_free(net);
    }
    close_world(&w);
}

/* With all weights zero every hidden unit stays the twin of every other one; tanh(0) = 0 even keeps
 * the whole gradient of the kernels 0. */
static void zero_start_fails(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = lens_net_new(w.ctx, "mlp");
    lens_node *x = lens_input(net, "data", 1, TOY_SIDE, TOY_SIDE);
    x = lens_sigmoid(lens_dense(x, "hidden", (lens_dense_opts){ .out = 6 }), NULL);
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = CLASSES });
    assert_ok(w.ctx, lens_net_finish(net, x));
    lens_train_opts o = usual();
    lens_train_result result;
    o.init = "zero";
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    lens_tensor h = value_of(w.ctx, net, "hidden.weight");
    float most = 0;
    for (int unit = 1; unit < 6; unit++)
        assert_memory_equal(h.data, h.data + unit * TOY_SIDE * TOY_SIDE,
                            TOY_SIDE * TOY_SIDE * sizeof(float));
    for (int64_t i = 0; i < lens_tensor_count(&h); i++) most = fmaxf(most, fabsf(h.data[i]));
    assert_true(most > 0); /* they did move */
    lens_net_free(net);
    close_world(&w);
}

/* Ten balanced classes: thirty untrained nets are right 10 +- 2 % of the time. */
static void untrained_guesses(void **state) {
    (void)state;
    world w = open_world_of(2, 20, 200, 10, 200);
    lens_net *net = plain_net(w.ctx, 10, false);
    double sum = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        lens_eval_result e;
        assert_ok(w.ctx, lens_init(net, NULL, seed));
        assert_ok(w.ctx, lens_eval(net, w.data, LENS_TEST, 0, &e, NULL, NULL));
        assert_int_equal(e.images, 200);
        sum += (double)e.correct / (double)e.images / 30;
    }
    assert_near(sum, 0.10, 0.02);
    lens_net_free(net);
    close_world(&w);
}

/* Cross-correlation and true convolution from mirrored kernels learn the same, mirrored. */
static void flipping_does_not_matter(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *a = plain_net(w.ctx, CLASSES, false), *b = plain_net(w.ctx, CLASSES, true);
    trace ta = { 0 }, tb = { 0 };
    lens_train_opts o = usual();
    lens_train_result result;
    assert_ok(w.ctx, lens_init(a, NULL, 1));
    for (int i = 0; i < lens_net_params(a); i++) {
        lens_param p, q;
        assert_ok(w.ctx, lens_net_param(a, i, &p));
        assert_ok(w.ctx, lens_net_param(b, i, &q));
        memcpy(q.value.data, p.value.data, (size_t)lens_tensor_count(&p.value) * sizeof(float));
    }
    lens_tensor ka = value_of(w.ctx, a, "conv1.weight"), kb = value_of(w.ctx, b, "conv1.weight");
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 9; i++) kb.data[k * 9 + i] = ka.data[k * 9 + 8 - i];
    lens_net_touched(b);
    o.keep_weights = true;
    o.progress = record;
    o.user = &ta;
    assert_ok(w.ctx, lens_train(a, w.data, &o, &result));
    o.user = &tb;
    assert_ok(w.ctx, lens_train(b, w.data, &o, &result));
    for (int e = 0; e < 3; e++) {
        assert_near(tb.loss[e], ta.loss[e], 1e-6);
        assert_near(tb.val_loss[e], ta.val_loss[e], 1e-6);
    }
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 9; i++)
            assert_near((double)kb.data[k * 9 + i], (double)ka.data[k * 9 + 8 - i], 1e-5);
    lens_net_free(b);
    lens_net_free(a);
    close_world(&w);
}

static void kernels_differ_and_topology_stays(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = plain_net(w.ctx, CLASSES, false);
    char *before, *after;
    lens_train_opts o = usual();
    lens_train_result result;
    assert_ok(w.ctx, lens_net_text(net, &before));
    int64_t parameters = lens_net_parameters(net);
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    assert_ok(w.ctx, lens_net_text(net, &after));
    assert_string_equal(before, after);
    assert_int_equal(lens_net_parameters(net), parameters);
    lens_tensor k = value_of(w.ctx, net, "conv1.weight");
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < a; b++) {
            double ab = 0, aa = 0, bb = 0;
            for (int i = 0; i < 9; i++) {
                double x = (double)k.data[a * 9 + i], y = (double)k.data[b * 9 + i];
                ab += x * y, aa += x * x, bb += y * y;
            }
            assert_true(fabs(ab) / sqrt(aa * bb) <= 0.99);
        }
    lens_free(w.ctx, before);
    lens_free(w.ctx, after);
    lens_net_free(net);
    close_world(&w);
}

/* The printed losses of learning [1,-1] from a picture and its edges: sum of squares, rate .03. */
static void learns_an_edge_kernel(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "edge");
    lens_node *in = lens_input(net, "data", 1, 6, 8);
    assert_ok(ctx, lens_net_finish(net, lens_conv2d(in, "conv",
                                                    (lens_conv2d_opts){ .out = 1,
                                                                        .kernel = { 1, 2 },
                                                                        .no_bias = true })));
    lens_session *session;
    lens_optim *optim;
    assert_ok(ctx, lens_session_new(&session, net, ctx, &(lens_session_opts){ .train = true }));
    assert_ok(ctx, lens_optim_new(&optim, net, NULL));
    const float row[] = { 1, 1, 0, 0, 0, 0, 1, 1 }, edge[] = { 0, 1, 0, 0, 0, -1, 0 };
    const double printed[] = { 12,      4.9152,  2.013266, .824634, .33777,
                               .138351, .056668, .023211,  .009507, .003894 };
    float x[48], dy[42];
    for (int i = 0; i < 48; i++) x[i] = row[i % 8];
    lens_tensor input = { x, 4, { 1, 1, 6, 8 } }, y, d;
    for (int step = 0; step < 10; step++) {
        double loss = 0;
        assert_ok(ctx, lens_forward(session, &input, 0, &y));
        for (int i = 0; i < 42; i++) {
            float error = y.data[i] - edge[i % 7];
            loss += (double)error * (double)error;
            dy[i] = 2 * error;
        }
        assert_near(loss, printed[step], 1e-5 * printed[step] + 1e-6);
        d = y;
        d.data = dy;
        assert_ok(ctx, lens_backward(session, &d));
        assert_ok(ctx, lens_optim_step(optim, session, 0.03));
    }
    lens_tensor k = value_of(ctx, net, "conv.weight");
    assert_near((double)k.data[0], 0.9884707850, 1e-6);
    assert_near((double)k.data[1], -0.9884707850, 1e-6);
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Half the squared error behind a softmax: probabilities sum to one, and the gradient arrives at the
 * logits as printed. */
static void squared_error_through_softmax(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "head");
    lens_node *in = lens_input(net, "data", 4, 1, 1);
    assert_ok(ctx, lens_net_finish(net, lens_softmax(lens_flatten(in, NULL), "p")));
    lens_session *session;
    assert_ok(ctx, lens_session_new(
                       &session, net, ctx,
                       &(lens_session_opts){ .train = true, .watch = true, .input_grad = true }));
    const double p[2][4] = { { .2, .4, .1, .3 }, { .1, .1, .7, .1 } };
    const double dz[2][4] = { { 0, .08, -.11, .03 }, { .028, .028, -.084, .028 } };
    const int32_t boat = 2;
    for (int c = 0; c < 2; c++) {
        float x[4], dy[4];
        double sum = 0;
        for (int k = 0; k < 4; k++) x[k] = logf((float)p[c][k]);
        lens_tensor input = { x, 4, { 1, 4, 1, 1 } }, y, d, g;
        assert_ok(ctx, lens_forward(session, &input, 0, &y));
        for (int k = 0; k < 4; k++) sum += (double)y.data[k];
        assert_near(sum, 1, 1e-6);
        d = y;
        d.data = dy;
        assert_ok(ctx, lens_loss_eval(ctx, &(lens_loss){ .kind = LENS_MSE_HALF }, &y, &boat, NULL,
                                      NULL, &d));
        assert_ok(ctx, lens_backward(session, &d));
        assert_ok(ctx, lens_peek(session, lens_net_input(net), LENS_GRADIENT, &g));
        for (int k = 0; k < 4; k++) assert_near((double)g.data[k], dz[c][k], 1e-7);
    }
    lens_session_free(session);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void dropout_keeps_the_mean(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = lens_net_new(ctx, "drop");
    lens_node *in = lens_input(net, "data", 1, 100, 100);
    assert_ok(ctx, lens_net_finish(net, lens_dropout(in, "drop", 0.3f)));
    lens_session *session;
    assert_ok(ctx, lens_session_new(&session, net, ctx,
                                    &(lens_session_opts){ .train = true, .seed = 1 }));
    static float x[10000], first[10000];
    double sum = 0;
    for (int i = 0; i < 10000; i++) x[i] = 1;
    lens_tensor input = { x, 4, { 1, 1, 100, 100 } }, y;
    for (uint32_t step = 0; step < 10; step++) {
        assert_ok(ctx, lens_forward(session, &input, step, &y));
        for (int i = 0; i < 10000; i++) sum += (double)y.data[i] / 1e5;
        if (step == 0)
            memcpy(first, y.data, sizeof first);
        else
            assert_memory_not_equal(first, y.data, sizeof first);
    }
    assert_near(sum, 1, 0.01);
    lens_session_free(session);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* All frozen: the validation loss cannot get better after the first epoch. */
static void plateau_lowers_the_rate(void **state) {
    (void)state;
    world w = open_world(1);
    lens_net *net = plain_net(w.ctx, CLASSES, false);
    trace t = { 0 };
    lens_train_opts o = usual();
    lens_train_result result;
    lens_node_freeze(lens_net_find(net, "conv1"), true);
    lens_node_freeze(lens_net_find(net, "fc"), true);
    o.epochs = 7;
    o.schedule = "plateau:2,0.5";
    o.progress = record;
    o.user = &t;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    const double rates[] = { .1, .1, .1, .05, .05, .025, .025 };
    for (int e = 0; e < 7; e++) assert_near(t.rate[e], rates[e], 1e-12);
    assert_int_equal(result.best_epoch, 1);
    lens_net_free(net);
    close_world(&w);
}

/* ---- Evaluation ------------------------------------------------------------------------------- */

static void every_picture_counts_once(void **state) {
    (void)state;
    enum { MANY = 8 };
    world w = open_world_of(2, 80, TEST, MANY, 255);
    lens_net *net = lens_net_new(w.ctx, "wide");
    lens_node *x = lens_input(net, "data", 1, TOY_SIDE, TOY_SIDE);
    x = lens_batchnorm(lens_dense(x, "hidden", (lens_dense_opts){ .out = 9 }), "bn",
                       (lens_batchnorm_opts){ 0 });
    x = lens_dense(lens_dropout(lens_relu(x, NULL), NULL, 0.5f), "fc",
                   (lens_dense_opts){ .out = MANY });
    assert_ok(w.ctx, lens_net_finish(net, x));
    lens_train_opts o = usual();
    lens_train_result trained;
    o.epochs = 1;
    o.optim.rate = 0.02;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &trained));

    static float logits[TEST * MANY], again[TEST * MANY];
    int64_t confusion[MANY * MANY];
    lens_eval_result e, other;
    assert_ok(w.ctx, lens_eval(net, w.data, LENS_TEST, 16, &e, confusion, logits));
    int64_t correct = 0, correct5 = 0, cells = 0, diagonal = 0;
    double loss = 0;
    for (int i = 0; i < TEST; i++) {
        int label, better = 0, best = 0;
        double total = 0;
        const float *row = logits + i * MANY;
        assert_ok(w.ctx, lens_data_get(w.data, LENS_TEST, (size_t)i, NULL, &label));
        for (int k = 0; k < MANY; k++) {
            better += row[k] > row[label];
            best = row[k] > row[best] ? k : best;
            total += exp((double)row[k]);
        }
        correct += best == label;
        correct5 += better < 5;
        loss += (log(total) - (double)row[label]) / TEST;
        confusion[label * MANY + best]--;
    }
    assert_int_equal(e.images, TEST);
    assert_int_equal(e.correct, correct);
    assert_int_equal(e.correct5, correct5);
    assert_true(e.correct5 > e.correct && e.correct5 < TEST);
    assert_near(e.loss, loss, 1e-5);
    for (int i = 0; i < MANY * MANY; i++) cells += confusion[i] != 0;
    assert_int_equal(cells, 0);
    assert_near(trained.test_accuracy, (double)e.correct / TEST, 0);

    /* no dropout, running statistics: the same answer every time, whatever the batch */
    const int batches[] = { 16, 1, 7, 64 };
    for (int b = 0; b < 4; b++) {
        assert_ok(w.ctx, lens_eval(net, w.data, LENS_TEST, batches[b], &other, confusion, again));
        assert_int_equal(other.correct, e.correct);
        assert_int_equal(other.correct5, e.correct5);
        if (b == 0) assert_memory_equal(logits, again, sizeof logits);
        for (int i = 0; i < TEST * MANY; i++)
            assert_near((double)again[i], (double)logits[i], 1e-5);
        diagonal = 0;
        for (int k = 0; k < MANY; k++) diagonal += confusion[k * MANY + k];
        assert_int_equal(diagonal, e.correct);
    }
    /* all scores equal: the lower class comes first */
    size_t first = 0, five = 0;
    assert_ok(w.ctx, lens_init(net, "zero", 0));
    assert_ok(w.ctx, lens_eval(net, w.data, LENS_TEST, 0, &e, NULL, NULL));
    for (int i = 0; i < TEST; i++) first += i % MANY == 0, five += i % MANY < 5;
    assert_int_equal(e.correct, first);
    assert_int_equal(e.correct5, five);
    lens_net_free(net);
    close_world(&w);
}

/* ---- Checkpoints ------------------------------------------------------------------------------ */

static void best_and_last_reload(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = rich_net(w.ctx), *loaded;
    lens_train_opts o = usual();
    lens_train_result result;
    lens_eval_result e;
    char path[1024], a[33], b[33];
    o.out = w.out;
    o.command = "lenslet train";
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    assert_int_equal(tempdir_count(w.out), 5);

    join(path, sizeof path, w.out, "model.safetensors");
    assert_ok(w.ctx, lens_net_load(w.ctx, &loaded, path));
    assert_ok(w.ctx, lens_eval(loaded, w.data, LENS_TEST, 0, &e, NULL, NULL));
    assert_near((double)e.correct / (double)e.images, result.best_accuracy, 0);
    assert_string_equal(lens_net_meta(loaded, "command"), "lenslet train");
    assert_string_equal(lens_net_meta(loaded, "classes"), "0\n1\n2\n3");
    lens_net_free(loaded);

    join(path, sizeof path, w.out, "last.safetensors");
    assert_ok(w.ctx, lens_net_load(w.ctx, &loaded, path));
    lens_net_hash(net, a);
    lens_net_hash(loaded, b);
    assert_string_equal(a, b);
    assert_ok(w.ctx, lens_eval(loaded, w.data, LENS_TEST, 0, &e, NULL, NULL));
    assert_near((double)e.correct / (double)e.images, result.test_accuracy, 0);
    lens_net_free(loaded);
    lens_net_free(net);
    close_world(&w);
}

static bool until_epoch(void *user, const lens_progress *p) {
    (void)user;
    return !p->epoch_done;
}

typedef struct recipe {
    const char *optimizer, *schedule, *augment;
    double rate, momentum;
} recipe;

static lens_train_opts options_of(const recipe *r, const char *out) {
    lens_train_opts o = usual();
    o.optim = (lens_optim_opts){
        .name = r->optimizer, .rate = r->rate, .momentum = r->momentum, .clip = 1
    };
    o.schedule = r->schedule;
    o.augment = r->augment;
    o.out = out;
    return o;
}

static const recipe recipes[] = {
    { "sgd", "cosine+warmup:1", NULL, 0.1, 0.9 },
    { "adam", "plateau:1,0.5", "mirror,shift:1", 0.01, 0 },
    { "adadelta", "onecycle", "crop:1", 1, 0 },
};

/* Stopped after every single step, and after every validation, each part in a fresh context with
 * another number of threads: the weights, the best model and the logs of the uninterrupted run. */
static void stopped_at_every_step(void **state) {
    (void)state;
    const int threads[] = { 1, 2, 3, 8 };
    for (size_t k = 0; k < sizeof recipes / sizeof *recipes; k++) {
        world w = open_world(2);
        lens_train_result whole, result;
        char whole_hash[33], hash[33], whole_out[TEMPDIR_PATH + 8];
        snprintf(whole_out, sizeof whole_out, "%s/whole", w.folder);
        lens_train_opts o = options_of(&recipes[k], whole_out);
        lens_net *net = rich_net(w.ctx);
        assert_ok(w.ctx, lens_train(net, w.data, &o, &whole));
        lens_net_hash(net, whole_hash);
        lens_net_free(net);
        close_in(&w);

        int stop = 1, parts = 0, expected = 0;
        bool done = false, epoch_next = false;
        o.out = w.out;
        while (!done) {
            open_in(&w, threads[parts % 4]);
            net = rich_net(w.ctx);
            o.resume = parts > 0;
            o.interrupt = epoch_next ? NULL : &stop;
            o.progress = epoch_next ? until_epoch : NULL;
            o.workers = 1 + parts % 3;
            lens_status status = lens_train(net, w.data, &o, &result);
            done = status == LENS_OK;
            if (!done) {
                int step = 0;
                assert_int_equal(status, LENS_INTERRUPTED);
                assert_int_equal(sscanf(lens_why(w.ctx), "stopped after step %d of 39", &step), 1);
                expected += !epoch_next;
                assert_int_equal(step, expected);
                spoil_logs(w.out);
                epoch_next = step % 13 == 0 && !epoch_next;
            }
            lens_net_hash(net, hash);
            lens_net_free(net);
            close_in(&w);
            parts++;
            assert_true(parts < 60);
        }
        assert_int_equal(parts, 42);
        assert_string_equal(hash, whole_hash);
        assert_near(result.test_accuracy, whole.test_accuracy, 0);
        assert_near(result.test_loss, whole.test_loss, 0);
        assert_near(result.best_accuracy, whole.best_accuracy, 0);
        assert_int_equal(result.best_epoch, whole.best_epoch);
        assert_same_logs(w.out, whole_out);
        size_t a_size, b_size;
        char *a = slurp(w.out, "model.safetensors", &a_size),
             *b = slurp(whole_out, "model.safetensors", &b_size);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        free(a);
        free(b);
        tempdir_remove(w.folder);
    }
}

static void same_bits_for_any_threads(void **state) {
    (void)state;
    const int threads[] = { 1, 2, 3, 8 };
    char first[33], hash[33];
    world w = open_world(1);
    close_in(&w);
    for (int t = 0; t < 4; t++) {
        open_in(&w, threads[t]);
        lens_net *net = rich_net(w.ctx);
        lens_train_opts o = options_of(&recipes[1], NULL);
        lens_train_result result;
        assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
        lens_net_hash(net, t ? hash : first);
        if (t) assert_string_equal(hash, first);
        lens_net_free(net);
        close_in(&w);
    }
    tempdir_remove(w.folder);
}

/* Killed with SIGKILL a random while after the start, again and again: there is always a state to
 * resume from, model files always load, and the end is that of the uninterrupted run. */
static void killed_at_any_moment(void **state) {
    (void)state;
    world w = open_world(1);
    close_in(&w);
    lens_train_opts o = options_of(&recipes[0], w.out);
    o.save_every = 1;
    o.epochs = 4; /* long enough that even a late SIGKILL finds the run going */
    unsigned seed = 12345;
    int kills = 0;
    for (int attempt = 0; attempt < 12; attempt++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            lens_train_result result;
            open_in(&w, 1);
            lens_net *net = rich_net(w.ctx);
            o.resume = attempt > 0;
            lens_status status = lens_train(net, w.data, &o, &result);
            if (status == LENS_NOT_FOUND) { /* killed before the first save */
                o.resume = false;
                status = lens_train(net, w.data, &o, &result);
            }
            _exit(status == LENS_OK ? 0 : 1);
        }
        seed = seed * 1103515245u + 12345;
        if (attempt > 0) /* the first one dies at once */
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 + (long)(seed >> 16) % 60000 * 1000 },
                      NULL);
        kill(child, SIGKILL);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        if (WIFSIGNALED(how))
            kills++;
        else
            assert_int_equal(WEXITSTATUS(how), 0);
        static const char *const models[] = { "model.safetensors", "last.safetensors" };
        open_in(&w, 1);
        for (int m = 0; m < 2; m++) {
            char path[1024];
            lens_net *net;
            join(path, sizeof path, w.out, models[m]);
            if (access(path, F_OK)) continue;
            assert_ok(w.ctx, lens_net_load(w.ctx, &net, path));
            lens_net_free(net);
        }
        close_in(&w);
    }
    assert_true(kills > 0);

    char killed[33], whole[33], path[1024];
    lens_train_result result;
    open_in(&w, 2);
    lens_net *net = rich_net(w.ctx);
    join(path, sizeof path, w.out, "last.state");
    o.resume = access(path, F_OK) == 0;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    lens_net_hash(net, killed);
    char other[TEMPDIR_PATH + 8];
    snprintf(other, sizeof other, "%s/whole", w.folder);
    o.resume = false;
    o.out = other;
    o.save_every = 0;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    lens_net_hash(net, whole);
    assert_string_equal(killed, whole);
    assert_same_logs(w.out, other);
    lens_net_free(net);
    close_world(&w);
}

/* /dev/full stands for a disk without room: each file in turn cannot be written. */
static void full_disk(void **state) {
    (void)state;
    static const char *const files[] = { "last.state", "log.csv", "model.safetensors",
                                         "last.safetensors" };
    for (int f = 0; f < 4; f++) {
        world w = open_world(1);
        lens_net *net = rich_net(w.ctx);
        lens_train_opts o = usual();
        lens_train_result result;
        char path[1024];
        assert_int_equal(mkdir(w.out, 0777), 0);
        join(path, sizeof path, w.out, files[f]);
        assert_int_equal(symlink("/dev/full", path), 0);
        o.out = w.out;
        assert_fails(w.ctx, LENS_IO, files[f], lens_train(net, w.data, &o, &result));
        if (f >= 2) { /* room again: what was saved before leads to the same end */
            char resumed[33], whole[33];
            assert_int_equal(unlink(path), 0);
            o.resume = true;
            assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
            lens_net_hash(net, resumed);
            o.resume = false;
            o.out = NULL;
            assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
            lens_net_hash(net, whole);
            assert_string_equal(resumed, whole);
        }
        lens_net_free(net);
        close_world(&w);
    }
}

static void finished_runs_say_so(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = rich_net(w.ctx);
    lens_train_opts o = usual();
    lens_train_result first, second;
    char a[33], b[33];
    o.out = w.out;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &first));
    lens_net_hash(net, a);
    o.resume = true;
    assert_ok(w.ctx, lens_init(net, NULL, 77));
    assert_ok(w.ctx, lens_train(net, w.data, &o, &second));
    lens_net_hash(net, b);
    assert_true(second.already_finished);
    assert_int_equal(second.epochs, 3);
    assert_near(second.test_accuracy, first.test_accuracy, 0);
    assert_near(second.best_accuracy, first.best_accuracy, 0);
    assert_string_equal(a, b);
    o.epochs = 0; /* as before */
    assert_ok(w.ctx, lens_train(net, w.data, &o, &second));
    assert_true(second.already_finished && second.epochs == 3);

    /* more epochs go on: as if they had been asked for at once */
    o.epochs = 5;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &second));
    assert_false(second.already_finished);
    lens_net_hash(net, a);
    o.out = NULL;
    o.resume = false;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &second));
    lens_net_hash(net, b);
    assert_string_equal(a, b);
    lens_net_free(net);
    close_world(&w);
}

static void another_run_is_not_resumed(void **state) {
    (void)state;
    world w = open_world(1);
    lens_net *net = rich_net(w.ctx), *other = plain_net(w.ctx, CLASSES, false);
    const lens_train_opts good = { .epochs = 2, .batch = 8, .out = w.out, .resume = true };
    lens_train_opts o = good;
    lens_train_result result;
    assert_fails(w.ctx, LENS_NOT_FOUND, "no run to resume", lens_train(net, w.data, &o, &result));
    assert_int_not_equal(access(w.out, F_OK), 0); /* and no folder is made */
    o.resume = false;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    char before[33], after[33];
    lens_net_hash(net, before);

#define REFUSED(part, change)                                                                      \
    do {                                                                                           \
        o = good;                                                                                  \
        change;                                                                                    \
        assert_fails(w.ctx, LENS_BAD_ARG, part, lens_train(net, w.data, &o, &result));             \
    } while (0)
    REFUSED("batch=8, but batch=16", o.batch = 16);
    REFUSED("seed=0, but seed=1", o.seed = 1);
    REFUSED("but lr=0.5", o.optim.rate = 0.5);
    REFUSED("optimizer=sgd, but optimizer=adam", o.optim.name = "adam");
    REFUSED("schedule=constant, but schedule=cosine", o.schedule = "cosine");
    REFUSED("smoothing=", o.loss.smoothing = 0.5f);
    REFUSED("augment=mirror", o.augment = "mirror");
    REFUSED("begun for 2 epochs, but 1", o.epochs = 1);
    REFUSED("frozen= conv1", lens_node_freeze(lens_net_find(net, "conv1"), true));
    lens_node_freeze(lens_net_find(net, "conv1"), false);
#undef REFUSED
    o = good;
    assert_fails(w.ctx, LENS_BAD_ARG, "net=rich", lens_train(other, w.data, &o, &result));
    lens_net_hash(net, after);
    assert_string_equal(before, after);

    /* another data set of the same name and size */
    lens_net_free(other);
    lens_net_free(net);
    close_in(&w);
    toydata_write(w.folder, TRAIN, TEST, CLASSES, 200, 2);
    open_in(&w, 1);
    lens_net *fresh = rich_net(w.ctx);
    assert_fails(w.ctx, LENS_BAD_ARG, "data=", lens_train(fresh, w.data, &o, &result));
    lens_net_free(fresh);
    close_in(&w);
    tempdir_remove(w.folder);
}

/* Every byte of the state is under the checksum. */
static void damaged_state_is_refused(void **state) {
    (void)state;
    world w = open_world(1);
    lens_net *net = rich_net(w.ctx);
    lens_train_opts o = usual();
    lens_train_result result;
    char path[1024], before[33], after[33];
    o.epochs = 1;
    o.out = w.out;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    lens_net_hash(net, before);
    size_t size;
    char *bytes = slurp(w.out, "last.state", &size);
    join(path, sizeof path, w.out, "last.state");
    o.resume = true;
    for (size_t k = 0; k < 40; k++) {
        size_t at = k * (size - 1) / 39, length = k % 2 ? size : at;
        FILE *f = fopen(path, "wb");
        bytes[at] ^= 4;
        assert_int_equal(fwrite(bytes, 1, length, f), length);
        bytes[at] ^= 4;
        fclose(f);
        assert_fails(w.ctx, LENS_BAD_FILE, "damaged", lens_train(net, w.data, &o, &result));
    }
    lens_net_hash(net, after);
    assert_string_equal(before, after);
    free(bytes);
    lens_net_free(net);
    close_world(&w);
}

/* ---- What goes wrong -------------------------------------------------------------------------- */

static void divergence_is_explained(void **state) {
    (void)state;
    world w = open_world(2);
    lens_net *net = plain_net(w.ctx, CLASSES, false);
    lens_train_opts o = usual();
    lens_train_result result;
    size_t good_size, size;

    /* the first epoch is good, then the rate explodes: its checkpoints stay */
    o.out = w.out;
    o.epochs = 1;
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    char *good = slurp(w.out, "model.safetensors", &good_size);
    o.epochs = 3;
    o.schedule = "steps:1:1e38";
    lens_status status = lens_train(net, w.data, &o, &result);
    assert_int_equal(status, LENS_DIVERGED);
    const char *why = lens_why(w.ctx);
    assert_non_null(strstr(why, "(epoch 2, "));
    assert_non_null(strstr(why, "train "));
    assert_true(strstr(why, "fc.") || strstr(why, "conv1.") || strstr(why, "output of"));
    char *now = slurp(w.out, "model.safetensors", &size);
    assert_int_equal(size, good_size);
    assert_memory_equal(good, now, size);
    free(good);
    free(now);
    o.resume = true; /* from the end of epoch 1; it runs into the same wall */
    assert_int_equal(lens_train(net, w.data, &o, &result), LENS_DIVERGED);

    /* in the same step, with the right name */
    o = usual();
    o.keep_weights = true;
    assert_ok(w.ctx, lens_init(net, NULL, 1));
    value_of(w.ctx, net, "fc.bias").data[1] = NAN;
    lens_net_touched(net);
    assert_fails(w.ctx, LENS_DIVERGED, "step 1 ", lens_train(net, w.data, &o, &result));
    assert_non_null(strstr(lens_why(w.ctx), "fc.bias is not finite"));

    assert_ok(w.ctx,
              lens_init(net, "constant:1e30", 1)); /* finite weights, tanh(1e31) = 1: 1e30*n */
    value_of(w.ctx, net, "fc.weight").data[0] = 3e38f;
    value_of(w.ctx, net, "fc.weight").data[1] = 3e38f;
    lens_net_touched(net);
    assert_fails(w.ctx, LENS_DIVERGED, "step 1 ", lens_train(net, w.data, &o, &result));
    assert_non_null(strstr(lens_why(w.ctx), "the output of fc is not finite"));

    /* a finite loss (its square fits a double) with a gradient that overflows */
    assert_ok(w.ctx, lens_init(net, NULL, 1));
    lens_tensor fc = value_of(w.ctx, net, "fc.weight");
    for (int64_t i = 0; i < lens_tensor_count(&fc); i++) fc.data[i] = 1e30f;
    lens_net_touched(net);
    o.loss.kind = LENS_MSE_SUM;
    assert_fails(w.ctx, LENS_DIVERGED, "the gradient of conv1.bias is not finite",
                 lens_train(net, w.data, &o, &result));
    lens_net_free(net);
    close_world(&w);
}

static void mistakes_are_named(void **state) {
    (void)state;
    world w = open_world(1);
    lens_net *net = plain_net(w.ctx, CLASSES, false), *ten = plain_net(w.ctx, 10, false);
    lens_train_result result;
    lens_eval_result e;
    char before[33], after[33];
    lens_net_hash(net, before);
    assert_fails(w.ctx, LENS_BAD_SHAPE, "has 10 outputs but",
                 lens_train(ten, w.data, NULL, &result));
    assert_fails(w.ctx, LENS_BAD_SHAPE, "4 classes",
                 lens_eval(ten, w.data, LENS_TEST, 0, &e, NULL, NULL));
    lens_net *big = lens_net_new(w.ctx, "big");
    lens_node *x =
        lens_dense(lens_input(big, "data", 3, 28, 28), "fc", (lens_dense_opts){ .out = CLASSES });
    assert_ok(w.ctx, lens_net_finish(big, x));
    assert_fails(w.ctx, LENS_BAD_SHAPE, "reads 3x28x28 but",
                 lens_train(big, w.data, NULL, &result));
    lens_net *open = lens_net_new(w.ctx, "open");
    assert_fails(w.ctx, LENS_BAD_ARG, "not finished", lens_train(open, w.data, NULL, &result));

#define REFUSED(want, part, ...)                                                                   \
    do {                                                                                           \
        lens_train_opts o = { __VA_ARGS__ };                                                       \
        assert_fails(w.ctx, want, part, lens_train(net, w.data, &o, &result));                     \
    } while (0)
    REFUSED(LENS_BAD_ARG, "epochs is -1", .epochs = -1);
    REFUSED(LENS_BAD_ARG, "batch is -8", .batch = -8);
    REFUSED(LENS_BAD_ARG, "save_every", .save_every = -1);
    REFUSED(LENS_BAD_ARG, "loader threads", .workers = 1000);
    REFUSED(LENS_BAD_ARG, "name the folder", .resume = true);
    REFUSED(LENS_NOT_FOUND, "did you mean \"adam\"", .optim = { .name = "adamm" });
    REFUSED(LENS_NOT_FOUND, "did you mean \"cosine\"", .schedule = "cosin");
    REFUSED(LENS_NOT_FOUND, "did you mean \"lecun\"", .init = "lecum");
    REFUSED(LENS_BAD_ARG, "mirror", .augment = "mirorr");
    lens_net_hash(net, after);
    assert_string_equal(before, after);

    char path[1024];
    join(path, sizeof path, w.folder, "train-labels-idx1-ubyte");
    REFUSED(LENS_IO, "train-labels-idx1-ubyte", .out = path);
    REFUSED(LENS_BAD_ARG, "the weight of class", .loss = { .class_weights = (float[4]){ 0 } });
#undef REFUSED
    assert_ok(w.ctx, lens_net_set_meta(net, "mean", "0.1,0.2"));
    assert_fails(w.ctx, LENS_BAD_FILE, "\"mean\"",
                 lens_eval(net, w.data, LENS_TEST, 0, &e, NULL, NULL));
    lens_net_free(open);
    lens_net_free(big);
    lens_net_free(ten);
    lens_net_free(net);
    close_world(&w);
}

/* A run in a folder that does not exist yet, from top to bottom, with the n-th allocation failing. */
typedef struct scarce {
    long calls, fail_at;
    size_t live;
} scarce;

static void *scarce_resize(void *user, void *ptr, size_t old_size, size_t new_size) {
    scarce *s = user;
    if (new_size == 0) {
        __atomic_sub_fetch(&s->live, old_size, __ATOMIC_SEQ_CST);
        free(ptr);
        return NULL;
    }
    if (__atomic_add_fetch(&s->calls, 1, __ATOMIC_SEQ_CST) == s->fail_at) return NULL;
    void *moved = realloc(ptr, new_size);
    if (moved) __atomic_add_fetch(&s->live, new_size - old_size, __ATOMIC_SEQ_CST);
    return moved;
}

static lens_status scarce_run(const world *w, scarce *s) {
    lens_ctx *ctx;
    char why[256];
    lens_ctx_opts opts = { .threads = 1, .alloc = { scarce_resize, s } };
    lens_status status = lens_ctx_new(&ctx, &opts, why);
    if (status != LENS_OK) return status;
    lens_data *data = NULL;
    lens_net *net = NULL;
    status = lens_data_open(ctx, &data, w->folder, NULL);
    if (status != LENS_OK) goto end;
    status = LENS_NOMEM;
    net = lens_net_new(ctx, "scarce");
    if (!net) goto end;
    lens_node *x = lens_input(net, "data", 1, TOY_SIDE, TOY_SIDE);
    status =
        lens_net_finish(net, lens_dense(lens_relu(x, NULL), "fc", (lens_dense_opts){ .out = 2 }));
    if (status != LENS_OK) goto end;
    lens_train_result result;
    lens_train_opts o = { .epochs = 1, .batch = 4, .out = w->out, .optim = { .name = "adam" } };
    status = lens_train(net, data, &o, &result);
end:
    lens_net_free(net);
    lens_data_free(data);
    lens_ctx_free(ctx);
    return status;
}

static void remember(void *user, lens_log_level level, const char *text) {
    if (level == LENS_LOG_WARN) snprintf(user, 512, "%s", text);
}

static void another_level_is_warned_of(void **state) {
    (void)state;
    world w = open_world(1);
    lens_train_opts o = { .epochs = 1, .batch = 8, .out = w.out };
    lens_train_result result;
    lens_net *net = plain_net(w.ctx, CLASSES, false);
    char isa[16], expected[64], warning[512] = "";
    snprintf(isa, sizeof isa, "%s", lens_ctx_isa(w.ctx));
    assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
    lens_net_free(net);
    o.resume = true;
    o.epochs = 2;
    for (int scalar = 0; scalar < 2; scalar++) {
        close_in(&w);
        assert_int_equal(lens_ctx_new(&w.ctx,
                                      &(lens_ctx_opts){ .threads = 1,
                                                        .isa = scalar ? "scalar" : NULL,
                                                        .log = remember,
                                                        .log_user = warning },
                                      NULL),
                         LENS_OK);
        assert_ok(w.ctx, lens_data_open(w.ctx, &w.data, w.folder, NULL));
        net = plain_net(w.ctx, CLASSES, false);
        assert_ok(w.ctx, lens_train(net, w.data, &o, &result));
        lens_net_free(net);
        o.epochs = 3;
        bool same = !scalar || !strcmp(isa, "scalar");
        snprintf(expected, sizeof expected, "begun with %s and goes on with scalar", isa);
        assert_true(same ? !*warning : strstr(warning, expected) != NULL);
    }
    close_world(&w);
}

/* A head that reads the main output's scores, with weight w, is 1 + w times the loss: so plain gradient
 * descent takes the way of a rate 1 + w times as high. */
static void heads_add_weighted_losses(void **state) {
    (void)state;
    enum { HEADS = 2 };
    const float weight[HEADS] = { 0.5f, 0.25f };
    double worst = 0;
    world w = open_world(1);
    lens_net *net[2];
    for (int k = 0; k < 2; k++) {
        net[k] = lens_net_new(w.ctx, "heads");
        lens_node *x = lens_input(net[k], "data", 1, TOY_SIDE, TOY_SIDE);
        x = lens_tanh(lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 3 } }),
                      NULL);
        x = lens_dense(x, "fc", (lens_dense_opts){ .out = CLASSES });
        for (int i = 0; k == 1 && i < HEADS; i++)
            lens_output(x, NULL, (lens_output_opts){ .weight = weight[i], .training = i == 1 });
        if (k == 1)
            lens_output(lens_dense(x, "idle", (lens_dense_opts){ .out = 3 }), "free",
                        (lens_output_opts){ 0 });
        assert_ok(w.ctx, lens_net_finish(net[k], lens_flatten(x, "scores")));
        lens_train_opts o = { .epochs = 1, .batch = 8, .seed = 5 };
        o.optim.rate = k ? 0.02 : 0.02 * (1 + (double)(weight[0] + weight[1]));
        lens_train_result result;
        assert_ok(w.ctx, lens_train(net[k], w.data, &o, &result));
    }
    for (int i = 0; i < 4; i++) { /* conv1 and fc */
        lens_param a, b;
        assert_ok(w.ctx, lens_net_param(net[0], i, &a));
        assert_ok(w.ctx, lens_net_param_named(net[1], a.name, &b));
        for (int64_t e = 0; e < lens_tensor_count(&a.value); e++)
            worst = fmax(worst, fabs((double)a.value.data[e] - (double)b.value.data[e]));
    }
    assert_near(worst, 0, 1e-5);
    lens_net_free(net[0]);
    lens_net_free(net[1]);

    lens_net *bad = lens_net_new(w.ctx, "bad");
    lens_node *x = lens_input(bad, "data", 1, TOY_SIDE, TOY_SIDE);
    lens_output(lens_dense(x, "fc3", (lens_dense_opts){ .out = 3 }), "aux",
                (lens_output_opts){ .weight = 1 });
    assert_ok(w.ctx,
              lens_net_finish(bad, lens_dense(x, "fc", (lens_dense_opts){ .out = CLASSES })));
    assert_fails(w.ctx, LENS_BAD_SHAPE, "output aux of net bad has 3 features but",
                 lens_train(bad, w.data, NULL, NULL));
    lens_net_free(bad);
    close_world(&w);
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    world w = open_world_of(1, 8, 4, 2, 100);
    lens_status status = LENS_NOMEM;
    long n = 0;
    while (status != LENS_OK) {
        scarce s = { .fail_at = ++n };
        status = scarce_run(&w, &s);
        assert_true(status == LENS_OK || status == LENS_NOMEM);
        assert_int_equal(s.live, 0);
        assert_true(n < 2000);
        if (status == LENS_OK) assert_true(s.calls < s.fail_at);
    }
    close_world(&w);
}

static const struct CMUnitTest tests[] = {
    T("[J4][J8][J9][J15] the loss falls, and unseen pictures are recognised", loss_falls),
    T("[J6] initialise once, then forward, error, backward, update: the loop by hand",
      loop_by_hand),
    T("[J7] one picture: the loss falls at every step, p > 0.99", one_picture_overfits),
    T("[H6][H13] SVM heads, also on frozen features", svm_head),
    T("[J3] from zero all hidden units stay twins", zero_start_fails),
    T("[J1] untrained nets guess: 10 +- 2 %", untrained_guesses),
    T("[C4] flipped kernels learn the same, mirrored", flipping_does_not_matter),
    T("[D26][D27] training changes tensors only; kernels differ",
      kernels_differ_and_topology_stays),
    T("[F8][J10][V15] gradient descent finds [1,-1]", learns_an_edge_kernel),
    T("[H5][H10][V16] softmax sums to one; squared error through it",
      squared_error_through_softmax),
    T("[J19] dropout keeps the mean", dropout_keeps_the_mean),
    T("[J18] plateau", plateau_lowers_the_rate),
    T("[H12][J16] evaluation: exact counts, top-5, any batch size", every_picture_counts_once),
    T("[J23] best and last weights reload to the same accuracy", best_and_last_reload),
    T("[J23] stopped at every step and resumed: the same bits and logs", stopped_at_every_step),
    T("train: same bits for 1, 2, 3, 8 threads", same_bits_for_any_threads),
    T("[J23] killed at any moment: resumes to the same weights", killed_at_any_moment),
    T("train: a full disk loses nothing", full_disk),
    T("train: a finished run says so, more epochs go on", finished_runs_say_so),
    T("train: another run is not resumed, the difference is named", another_run_is_not_resumed),
    T("train: a damaged state is refused", damaged_state_is_refused),
    T("train: divergence names layer, step and pictures", divergence_is_explained),
    T("train: mistakes are named, nothing is touched", mistakes_are_named),
    T("train: another instruction-set level is warned of", another_level_is_warned_of),
    T("[M6] heads add their weighted losses", heads_add_weighted_losses),
    T("train: any allocation may fail", any_allocation_may_fail),
};

TEST_MAIN(tests)
