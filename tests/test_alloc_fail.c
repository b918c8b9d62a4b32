/* test_alloc_fail.c - memory runs out at every possible place.
 *
 * Each scenario is repeated with the first, second, third, ... allocation failing, until it gets
 * through without meeting a failure. Invariant: it ends with LENS_OK or LENS_NOMEM and a message, and
 * everything it was given has been given back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/data.h>
#include <lenslet/explain.h>
#include <lenslet/figure.h>
#include <lenslet/net.h>
#include <lenslet/signal.h>
#include <lenslet/train.h>
#include <lenslet/zoo.h>

#include "support/tempdir.h"

#include <pthread.h>
#include <sys/stat.h>

typedef struct hook {
    pthread_mutex_t mutex;
    size_t live;
    long calls, fail_at;
} hook;

static void *failing_resize(void *user, void *ptr, size_t old_size, size_t new_size) {
    hook *h = user;
    void *result = NULL;
    pthread_mutex_lock(&h->mutex);
    if (new_size == 0) {
        free(ptr);
        h->live -= old_size;
    } else if (++h->calls != h->fail_at && (result = realloc(ptr, new_size))) {
        h->live += new_size - old_size;
    }
    pthread_mutex_unlock(&h->mutex);
    return result;
}

typedef lens_status scenario(lens_ctx *, const char *folder);

/* tune: algorithms are measured and remembered in a file. */
static void fail_with(scenario *run, bool tune) {
    enum { TOO_MANY = 20000 };
    char folder[TEMPDIR_PATH], wisdom[TEMPDIR_PATH + 16];
    long n = 0;
    for (bool through = false; !through;) {
        hook h = { .mutex = PTHREAD_MUTEX_INITIALIZER, .fail_at = ++n };
        char why[256];
        lens_ctx *ctx;
        lens_ctx_opts opts = { .threads = 2, .alloc = { failing_resize, &h } };
        assert_true(n < TOO_MANY);
        tempdir_make(folder);
        snprintf(wisdom, sizeof wisdom, "%s/wisdom", folder);
        if (tune) opts.tune = true, opts.wisdom = wisdom;
        lens_status status = lens_ctx_new(&ctx, &opts, why);
        if (status == LENS_OK) {
            status = run(ctx, folder);
            snprintf(why, sizeof why, "%s", lens_why(ctx));
        }
        through = h.calls < n;
        if (status != LENS_OK && (through || status != LENS_NOMEM || !why[0]))
            fail_msg("allocation %ld of %ld: %s: %s", n, h.calls, lens_status_name(status), why);
        lens_ctx_free(ctx);
        if (h.live) fail_msg("allocation %ld: %zu bytes are lost", n, h.live);
        pthread_mutex_destroy(&h.mutex);
        tempdir_remove(folder);
    }
    assert_true(n > 3);
}

static void fail_everywhere(scenario *run) { fail_with(run, false); }

/* LeNet in small: every kind of parameter, a branch, a batch norm, dropout. */
static lens_status build(lens_ctx *ctx, lens_net **out) {
    lens_net *net = lens_net_new(ctx, "small");
    if (!net) return LENS_NOMEM;
    lens_node *x = lens_input(net, "data", 3, 14, 14);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 3 }, .pad = 1 });
    x = lens_maxpool(lens_relu(x, NULL), NULL, (lens_pool_opts){ .kernel = { 2 } });
    lens_node *y =
        lens_conv2d(x, "conv2", (lens_conv2d_opts){ .out = 4, .kernel = { 3 }, .pad = 1 });
    x = lens_add(x, lens_batchnorm(y, NULL, (lens_batchnorm_opts){ 0 }), NULL);
    x = lens_concat((lens_node *[]){ x, y }, 2, NULL);
    x = lens_dropout(lens_flatten(x, NULL), NULL, 0.5f);
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = 6 });
    lens_status status = lens_net_finish(net, x);
    if (status != LENS_OK) {
        lens_net_free(net);
        return status;
    }
    *out = net;
    return LENS_OK;
}

static lens_status build_net(lens_ctx *ctx, const char *folder) {
    (void)folder;
    lens_net *net = NULL;
    lens_status status = build(ctx, &net);
    lens_net_free(net);
    return status;
}

enum { BATCH = 3 };

static lens_status run_net(lens_ctx *ctx, const char *folder) {
    (void)folder;
    static float pixels[BATCH * 3 * 14 * 14];
    lens_tensor y, x = { .data = pixels, .rank = 4, .dim = { BATCH, 3, 14, 14 } };
    lens_net *net = NULL;
    lens_session *session = NULL;
    lens_status status = build(ctx, &net);
    if (status == LENS_OK) status = lens_init(net, "he", 1);
    if (status == LENS_OK)
        status = lens_session_new(&session, net, ctx,
                                  &(lens_session_opts){ .batch = BATCH, .watch = true });
    if (status == LENS_OK) status = lens_run(session, &x, &y);
    if (status == LENS_OK) status = lens_peek(session, lens_net_find(net, "conv1"), LENS_VALUE, &y);
    lens_session_free(session);
    lens_net_free(net);
    return status;
}

static lens_status train_steps(lens_ctx *ctx, const char *folder) {
    (void)folder;
    static float pixels[BATCH * 3 * 14 * 14], gradient[BATCH * 6];
    static const int32_t label[BATCH] = { 0, 5, 2 };
    lens_tensor y, x = { .data = pixels, .rank = 4, .dim = { BATCH, 3, 14, 14 } };
    lens_tensor dy = { .data = gradient, .rank = 2, .dim = { BATCH, 6 } };
    lens_loss loss = { .kind = LENS_CROSS_ENTROPY, .smoothing = 0.1f };
    lens_net *net = NULL;
    lens_session *session = NULL;
    lens_optim *optim = NULL;
    lens_status status = build(ctx, &net);
    if (status == LENS_OK) status = lens_init(net, "he", 1);
    if (status == LENS_OK)
        status = lens_session_new(&session, net, ctx,
                                  &(lens_session_opts){ .batch = BATCH, .train = true });
    if (status == LENS_OK)
        status = lens_optim_new(&optim, net, &(lens_optim_opts){ .name = "adam", .clip = 1 });
    for (uint32_t step = 0; step < 3 && status == LENS_OK; step++) {
        status = lens_forward(session, &x, step, &y);
        if (status == LENS_OK) status = lens_loss_eval(ctx, &loss, &y, label, NULL, NULL, &dy);
        if (status == LENS_OK) status = lens_backward(session, &dy);
        if (status == LENS_OK) status = lens_optim_step(optim, session, 0.001);
    }
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    return status;
}

static lens_status save_and_load(lens_ctx *ctx, const char *folder) {
    char path[TEMPDIR_PATH + 32], *text = NULL;
    lens_net *net = NULL, *parsed = NULL, *loaded = NULL;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    lens_status status = build(ctx, &net);
    if (status == LENS_OK) status = lens_init(net, "xavier", 1);
    if (status == LENS_OK) status = lens_net_text(net, &text);
    if (status == LENS_OK) status = lens_net_parse(ctx, &parsed, text, "text");
    if (status == LENS_OK) status = lens_net_set_meta(net, "classes", "a\nb\nc\nd\ne\nf");
    if (status == LENS_OK) status = lens_net_save(net, path);
    if (status == LENS_OK) status = lens_net_load(ctx, &loaded, path);
    if (status == LENS_OK) status = lens_net_load_weights(parsed, path);
    if (status == LENS_OK) {
        char a[33], b[33];
        lens_net_hash(net, a);
        lens_net_hash(loaded, b);
        assert_string_equal(a, b);
    }
    lens_net_free(loaded);
    lens_net_free(parsed);
    lens_net_free(net);
    lens_free(ctx, text);
    return status;
}

/* Two classes of tiny PNM pictures in folders. */
static void write_pictures(const char *folder, char path[TEMPDIR_PATH]) {
    snprintf(path, TEMPDIR_PATH, "%.400s/pictures", folder);
    mkdir(path, 0700);
    for (int i = 0; i < 12; i++) {
        char name[TEMPDIR_PATH + 64];
        snprintf(name, sizeof name, "%.450s/%c", path, 'a' + i % 2);
        mkdir(name, 0700);
        snprintf(name, sizeof name, "%.450s/%c/%d.pgm", path, 'a' + i % 2, i);
        FILE *f = fopen(name, "wb");
        assert_non_null(f);
        fputs("P5 8 8 255\n", f);
        for (int k = 0; k < 64; k++) fputc((i % 2 ? 3 : 200) + k % 7, f);
        fclose(f);
    }
}

static lens_status load_data(lens_ctx *ctx, const char *folder) {
    char path[TEMPDIR_PATH];
    lens_data *data = NULL;
    lens_loader *loader = NULL;
    lens_batch batch = { .n = 1 };
    write_pictures(folder, path);
    lens_status status = lens_data_open(ctx, &data, path, &(lens_data_opts){ .channels = 1 });
    float mean, std;
    if (status == LENS_OK) status = lens_data_mean_std(data, &mean, &std);
    if (status == LENS_OK) {
        lens_loader_opts opts = { .shuffle = true, .workers = 2, .augment = "mirror,crop:1,mixup" };
        status = lens_loader_new(ctx, &loader, data, LENS_TRAIN, 4, &opts);
    }
    if (status == LENS_OK) status = lens_loader_epoch(loader, 0, 0);
    while (status == LENS_OK && batch.n > 0) status = lens_loader_next(loader, &batch);
    lens_loader_free(loader);
    lens_data_free(data);
    return status;
}

static lens_status train_loop(lens_ctx *ctx, const char *folder) {
    char path[TEMPDIR_PATH], out[TEMPDIR_PATH + 8];
    lens_net *net = NULL;
    lens_data *data = NULL;
    lens_train_result result;
    write_pictures(folder, path);
    snprintf(out, sizeof out, "%.450s/run", folder);
    lens_status status = lens_data_open(ctx, &data, path, &(lens_data_opts){ .channels = 1 });
    if (status == LENS_OK) {
        net = lens_net_new(ctx, "tiny");
        if (!net) status = LENS_NOMEM;
    }
    if (status == LENS_OK) {
        lens_node *x = lens_input(net, "data", 1, 8, 8);
        x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 2, .kernel = { 3 } });
        x = lens_dense(lens_relu(x, NULL), "fc", (lens_dense_opts){ .out = 2 });
        status = lens_net_finish(net, x);
    }
    if (status == LENS_OK)
        status = lens_train(net, data, &(lens_train_opts){ .epochs = 1, .batch = 4, .out = out },
                            &result);
    lens_eval_result eval;
    if (status == LENS_OK) status = lens_eval(net, data, LENS_TEST, 4, &eval, NULL, NULL);
    lens_net_free(net);
    lens_data_free(data);
    return status;
}

static lens_status zoo_nets(lens_ctx *ctx, const char *folder) {
    (void)folder;
    lens_net *net = NULL;
    lens_status status = lens_zoo_new(ctx, &net, "lenet5", NULL);
    lens_net_free(net);
    return status;
}

/* Filters, transforms, searches, and a kernel learned. */
static lens_status signals(lens_ctx *ctx, const char *folder) {
    static float x[6400], y[6400];
    static double a[6400], b[6400], map[6400];
    double w[9] = { 0 }, loss;
    lens_kernel k;
    lens_fit fit;
    lens_match m;
    (void)folder;
    lens_picture_s80(x);
    for (int i = 0; i < 6400; i++) a[i] = (double)x[i];
    lens_status status = lens_kernel_parse(ctx, &k, "sobel-x");
    if (status == LENS_OK)
        status = lens_filter(ctx, x, 1, 80, 80, &k,
                             &(lens_filter_opts){ .border = LENS_BORDER_REFLECT, .stride = 2 }, y);
    if (status == LENS_OK)
        status = lens_correlate_dft(ctx, a, 80, 80, k.value, 3, 3, LENS_VALID, b);
    if (status == LENS_OK) status = lens_dft(ctx, map, b, 7, 60, true);
    if (status == LENS_OK) status = lens_convolve_circular(ctx, a, a, 30, map);
    for (int method = 0; status == LENS_OK && method <= LENS_MATCH_ZNCC; method++)
        status = lens_match_template(ctx, a, 20, 80, a + 80 * 10 + 37, 2, 2,
                                     (lens_match_method)method, NULL, NULL, &m);
    if (status == LENS_OK) status = lens_correlate(ctx, a, 80, 80, k.value, 3, 3, LENS_VALID, b);
    if (status == LENS_OK) status = lens_kernel_fit(ctx, a, 80, 80, b, 3, 3, NULL, w, &fit);
    if (status == LENS_OK) status = lens_line_fit(ctx, a, a, 6400, NULL, w, &fit);
    if (status == LENS_OK)
        status = lens_kernel_random_search(ctx, a, 80, 80, b, 3, 3, 3, 1, true, 1, w, &loss);
    return status;
}

/* PyTorch files of both forms, rewritten. */
static lens_status pytorch_files(lens_ctx *ctx, const char *folder) {
    static const char *const files[] = { "checkpoint.pth", "checkpoint-stream.pth" };
    lens_status status = LENS_OK;
    char in[1024], out[1024];
    snprintf(out, sizeof out, "%s/out.safetensors", folder);
    for (int i = 0; i < 2 && status == LENS_OK; i++) {
        snprintf(in, sizeof in, TEST_SOURCE_DIR "/tests/data/%s", files[i]);
        status = lens_weights_convert(ctx, in, out);
    }
    return status;
}

/* A ledger, and an animation of its numbers as page and picture. */
static lens_status explanations(lens_ctx *ctx, const char *folder) {
    static float pixels[3 * 14 * 14];
    lens_tensor y, x = { .data = pixels, .rank = 4, .dim = { 1, 3, 14, 14 } };
    char path[1024];
    lens_net *net = NULL;
    lens_session *session = NULL;
    lens_ledger *ledger = NULL;
    lens_figure *figure = NULL;
    lens_status status = build(ctx, &net);
    if (status == LENS_OK)
        status = lens_session_new(&session, net, ctx, &(lens_session_opts){ .watch = true });
    if (status == LENS_OK) status = lens_run(session, &x, &y);
    if (status == LENS_OK)
        status = lens_ledger_new(&ledger, session, lens_net_find(net, "conv2"), 0, 1, 2, 3);
    if (status == LENS_OK) {
        const lens_figure_tile tile = { .name = "x",
                                        .picture = { ledger->x, 1, 3, 3, 0, 0 },
                                        .map = true };
        status = lens_figure_tiles(ctx, &figure, &tile, 1, 1, NULL);
    }
    for (int i = 0; i < 3 && status == LENS_OK; i++) {
        static const char *const ends[] = { "png", "html", "svg" };
        snprintf(path, sizeof path, "%s/frames.%s", folder, ends[i]);
        status = lens_figure_write_frames((lens_figure *[]){ figure, figure }, 2, 100, path);
    }
    lens_figure_free(figure);
    lens_ledger_free(ctx, ledger);
    lens_session_free(session);
    lens_net_free(net);
    return status;
}

#define SCENARIO(name)                                                                             \
    static void test_##name(void **state) {                                                        \
        (void)state;                                                                               \
        fail_everywhere(name);                                                                     \
    }
SCENARIO(build_net)
SCENARIO(run_net)
static void test_tuned_run(void **state) {
    (void)state;
    fail_with(run_net, true);
}
SCENARIO(train_steps)
SCENARIO(save_and_load)
SCENARIO(load_data)
SCENARIO(train_loop)
SCENARIO(zoo_nets)
SCENARIO(signals)
SCENARIO(pytorch_files)
SCENARIO(explanations)

static const struct CMUnitTest tests[] = {
    T("memory runs out: building a net", test_build_net),
    T("memory runs out: a session and a run", test_run_net),
    T("memory runs out: a session whose algorithms are measured", test_tuned_run),
    T("memory runs out: training steps", test_train_steps),
    T("memory runs out: net text, saving, loading", test_save_and_load),
    T("memory runs out: pictures and loader", test_load_data),
    T("memory runs out: the training loop", test_train_loop),
    T("memory runs out: a net of the zoo", test_zoo_nets),
    T("memory runs out: signals", test_signals),
    T("memory runs out: PyTorch files", test_pytorch_files),
    T("memory runs out: a ledger, animations", test_explanations),
};

TEST_MAIN(tests)
