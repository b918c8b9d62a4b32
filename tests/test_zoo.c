/* test_zoo.c - the nets of the zoo have exactly the numbers of their papers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "format/safetensors.h"
#include "support/tempdir.h"
#include <lenslet/train.h>
#include <lenslet/zoo.h>

static lens_node_info info_of(const lens_net *net, const char *node) {
    lens_node_info info;
    lens_node *found = lens_net_find(net, node);
    if (!found) fail_msg("%s has no node \"%s\"", lens_net_name(net), node);
    lens_node_info_get(found, &info);
    return info;
}

static int64_t connections(const lens_net *net) {
    int64_t sum = 0;
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        sum += info.connections;
    }
    return sum;
}

/* Name, what lens_zoo_opts says, and what must come out. */
typedef struct wanted {
    const char *name;
    lens_zoo_opts opts;
    int64_t parameters, macs;
} wanted;

static void check_totals(const wanted *rows, size_t count) {
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < count; i++) {
        lens_net *net = NULL;
        assert_ok(ctx, lens_zoo_new(ctx, &net, rows[i].name, &rows[i].opts));
        if (lens_net_parameters(net) != rows[i].parameters || lens_net_macs(net) != rows[i].macs)
            fail_msg("%s: %lld parameters and %lld MACs instead of %lld and %lld", rows[i].name,
                     (long long)lens_net_parameters(net), (long long)lens_net_macs(net),
                     (long long)rows[i].parameters, (long long)rows[i].macs);
        int64_t parameters = 0, macs = 0;
        for (int n = 0; n < lens_net_nodes(net); n++) {
            lens_node_info info;
            lens_node_info_get(lens_net_node(net, n), &info);
            parameters += info.parameters;
            macs += info.macs;
        }
        assert_int_equal(parameters, rows[i].parameters);
        assert_int_equal(macs, rows[i].macs);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

#define CHECK_TOTALS(...)                                                                          \
    const wanted rows[] = { __VA_ARGS__ };                                                         \
    check_totals(rows, sizeof rows / sizeof *rows)

static void totals(void **state) {
    (void)state;
    CHECK_TOTALS({ "lenet5", { 0 }, 61706, 416520 },
                 { "lenet5", { .height = 32, .width = 32 }, 61706, 416520 },
                 { "harley", { 0 }, 63802, 418600 },
                 { "harley", { .height = 28, .width = 28 }, 63802, 418600 },
                 { "course-color", { 0 }, 3815, 16128 }, { "course-shape", { 0 }, 19941, 240928 },
                 { "course-both", { 0 }, 20217, 353952 }, { "course-mnist", { 0 }, 12042, 328512 },
                 { "course-fashion", { 0 }, 693962, 888192 },
                 { "course-cifar", { 0 }, 1250858, 20741120 });
}

static void dense_nets(void **state) {
    (void)state;
    CHECK_TOTALS({ "mlp-300-100", { 0 }, 266610, 784 * 300 + 300 * 100 + 100 * 10 },
                 { "mlp-128-64", { 0 }, 109386, 784 * 128 + 128 * 64 + 64 * 10 },
                 { "mlp-128-64", { .classes = 6 }, 109126, 784 * 128 + 128 * 64 + 64 * 6 },
                 { "mlp-128-64", { .classes = 5 }, 109061, 784 * 128 + 128 * 64 + 64 * 5 },
                 { "mlp-128-64", { .classes = 9 }, 109321, 784 * 128 + 128 * 64 + 64 * 9 });
}

/* One row of a paper's table. */
typedef struct layer {
    const char *node;
    int c, h, w;
    int64_t parameters, macs, connections; /* -1: the table does not say */
} layer;

static void check_layers(const lens_net *net, const layer *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        lens_node_info info = info_of(net, rows[i].node);
        if (info.c != rows[i].c || info.h != rows[i].h || info.w != rows[i].w)
            fail_msg("%s is %dx%dx%d instead of %dx%dx%d", rows[i].node, info.c, info.h, info.w,
                     rows[i].c, rows[i].h, rows[i].w);
        if (info.parameters != rows[i].parameters)
            fail_msg("%s: %lld parameters instead of %lld", rows[i].node,
                     (long long)info.parameters, (long long)rows[i].parameters);
        if (rows[i].macs >= 0) assert_int_equal(info.macs, rows[i].macs);
        if (rows[i].connections >= 0) assert_int_equal(info.connections, rows[i].connections);
    }
}

static void lenet5_1998_table(void **state) {
    (void)state;
    const layer rows[] = {
        { "c1", 6, 28, 28, 156, -1, 122304 },   { "s2", 6, 14, 14, 12, -1, 5880 },
        { "c3", 16, 10, 10, 1516, -1, 151600 }, { "s4", 16, 5, 5, 32, -1, 2000 },
        { "c5", 120, 1, 1, 48120, -1, 48120 },  { "f6", 84, 1, 1, 10164, -1, 10164 },
        { "output", 10, 1, 1, 0, -1, 840 },
    };
    lens_ctx *ctx = test_ctx(1);
    for (int size = 28; size <= 32; size += 4) {
        lens_net *net = NULL;
        lens_zoo_opts opts = { .height = size, .width = size };
        assert_ok(ctx, lens_zoo_new(ctx, &net, "lenet5-1998", &opts));
        check_layers(net, rows, sizeof rows / sizeof *rows);
        assert_int_equal(lens_net_parameters(net), 60000);
        assert_int_equal(connections(net), 340908);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

static void lenet5_table(void **state) {
    (void)state;
    const layer rows[] = {
        { "conv1", 6, 28, 28, 156, 117600, -1 },   { "pool1", 6, 14, 14, 0, 0, 0 },
        { "conv2", 16, 10, 10, 2416, 240000, -1 }, { "pool2", 16, 5, 5, 0, 0, 0 },
        { "fc1", 120, 1, 1, 48120, 48000, 48120 }, { "fc2", 84, 1, 1, 10164, 10080, 10164 },
        { "fc3", 10, 1, 1, 850, 840, 850 },
    };
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = NULL;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "lenet5", NULL));
    check_layers(net, rows, sizeof rows / sizeof *rows);
    assert_string_equal(lens_net_name(net), "lenet5");
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* 1024, 6*784, 6*196, 16*100, 16*25, 120, 100, 10 units: 9,134 in all. */
static void harley_table(void **state) {
    (void)state;
    const layer rows[] = {
        { "input", 1, 32, 32, 0, 0, 0 },        { "conv1", 6, 28, 28, 156, 117600, -1 },
        { "pool1", 6, 14, 14, 0, 0, 0 },        { "conv2", 16, 10, 10, 2416, 240000, -1 },
        { "pool2", 16, 5, 5, 0, 0, 0 },         { "fc1", 120, 1, 1, 48120, 48000, -1 },
        { "fc2", 100, 1, 1, 12100, 12000, -1 }, { "fc3", 10, 1, 1, 1010, 1000, -1 },
    };
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = NULL;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "harley", NULL));
    check_layers(net, rows, sizeof rows / sizeof *rows);
    int units = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        units += rows[i].c * rows[i].h * rows[i].w;
    assert_int_equal(units, 9134);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void receptive_fields(void **state) {
    (void)state;
    const struct {
        const char *net, *node;
        int field, jump; /* 0: a dense layer reads everything, so it has no step */
    } rows[] = {
        { "lenet5-1998", "c1", 5, 1 },  { "lenet5-1998", "s2", 6, 2 },
        { "lenet5-1998", "c3", 14, 2 }, { "lenet5-1998", "s4", 16, 4 },
        { "lenet5-1998", "c5", 32, 4 }, { "lenet5", "conv1", 5, 1 },
        { "lenet5", "pool1", 6, 2 },    { "lenet5", "conv2", 14, 2 },
        { "lenet5", "pool2", 16, 4 },   { "lenet5", "fc1", 32, 0 },
        { "harley", "conv1", 5, 1 },    { "harley", "pool1", 6, 2 },
        { "harley", "conv2", 14, 2 },   { "harley", "pool2", 16, 4 },
        { "harley", "fc1", 32, 0 },
    };
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lens_net *net = NULL;
        assert_ok(ctx, lens_zoo_new(ctx, &net, rows[i].net, NULL));
        lens_node_info info = info_of(net, rows[i].node);
        if (info.field != rows[i].field || (rows[i].jump && info.jump != rows[i].jump))
            fail_msg("%s %s: field %d, step %d instead of %d, %d", rows[i].net, rows[i].node,
                     info.field, info.jump, rows[i].field, rows[i].jump);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

static void pooling_saves(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_param weight;
    lens_net *net = NULL;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "lenet5", NULL));
    assert_ok(ctx, lens_net_param_named(net, "fc1.weight", &weight));
    assert_int_equal(lens_tensor_count(&weight.value), 48000);
    lens_net_free(net);

    net = lens_net_new(ctx, "no pooling");
    lens_node *x = lens_input(net, "input", 1, 32, 32);
    x = lens_relu(lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 6, .kernel = { 5 } }), NULL);
    x = lens_relu(lens_conv2d(x, "conv2", (lens_conv2d_opts){ .out = 16, .kernel = { 5 } }), NULL);
    x = lens_dense(x, "fc1", (lens_dense_opts){ .out = 120 });
    assert_ok(ctx, lens_net_finish(net, x));
    assert_ok(ctx, lens_net_param_named(net, "fc1.weight", &weight));
    assert_int_equal(lens_tensor_count(&weight.value), 16 * 24 * 24 * 120);
    assert_int_equal(lens_tensor_count(&weight.value), 1105920);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Pictures other than the paper's, in number, shape and channels: finite numbers come out, one for each
 * class. */
static void runs(lens_ctx *ctx, const lens_zoo_entry *entry) {
    enum { N = 2, C = 1, MOST = 100 * 108, CLASSES = 7 };
    static float pixels[N * C * MOST];
    int h = entry->height > 32 ? 100 : 36, w = entry->height > 32 ? 108 : 40;
    for (int i = 0; i < N * C * h * w; i++) pixels[i] = (float)((i * 7919) % 997) / 997 - 0.5f;
    const lens_tensor x = { pixels, 4, { N, C, h, w } };
    const lens_zoo_opts opts = { C, h, w, CLASSES };
    lens_net *net = NULL;
    lens_session *session = NULL;
    lens_tensor y;
    assert_ok(ctx, lens_zoo_new(ctx, &net, entry->name, &opts));
    assert_ok(ctx, lens_init(net, entry->init, 1));
    assert_ok(ctx, lens_session_new(&session, net, ctx, &(lens_session_opts){ .batch = N }));
    assert_ok(ctx, lens_run(session, &x, &y));
    assert_int_equal(y.rank, 2);
    assert_int_equal(y.dim[0], N);
    assert_int_equal(y.dim[1], CLASSES);
    bool differ = false;
    for (int k = 0; k < N * CLASSES; k++) {
        if (!isfinite(y.data[k])) fail_msg("%s: %g", entry->name, (double)y.data[k]);
        differ |= y.data[k] != y.data[0];
    }
    if (!differ) fail_msg("%s: all %d numbers are %g", entry->name, N * CLASSES, (double)y.data[0]);
    lens_session_free(session);
    lens_net_free(net);
}

/* Of the nets with more weights one member each: the others have the same layers, only more. */
static void every_net_runs(void **state) {
    (void)state;
    static const char *const large[] = { "alexnet", "alexnet-2012", "zfnet", "vgg16-c" };
    lens_ctx *ctx = test_ctx(2);
    for (int i = 0; i < lens_zoo_count(); i++) {
        lens_net *net = NULL;
        assert_ok(ctx, lens_zoo_new(ctx, &net, lens_zoo_at(i)->name, NULL));
        bool small = lens_net_parameters(net) < 13000000;
        lens_net_free(net);
        if (small) runs(ctx, lens_zoo_at(i));
    }
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) runs(ctx, lens_zoo_find(large[i]));
    lens_ctx_free(ctx);
}

/* The chapter's typical net: 4 maps, pooling, 6 maps, pooling, two dense layers, ten classes. */
static void typical_net(void **state) {
    (void)state;
    const layer rows[] = {
        { "conv1", 4, 24, 24, 104, 4 * 576 * 25, -1 },  { "pool1", 4, 12, 12, 0, 0, 0 },
        { "conv2", 6, 8, 8, 606, 6 * 64 * 4 * 25, -1 }, { "pool2", 6, 4, 4, 0, 0, 0 },
        { "fc1", 32, 1, 1, 96 * 32 + 32, 96 * 32, -1 }, { "fc2", 10, 1, 1, 330, 320, -1 },
    };
    const lens_pool_opts halve = { .kernel = { 2 } };
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "typical");
    lens_node *x = lens_input(net, "input", 1, 28, 28);
    x = lens_relu(lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 4, .kernel = { 5 } }), NULL);
    x = lens_maxpool(x, "pool1", halve);
    x = lens_relu(lens_conv2d(x, "conv2", (lens_conv2d_opts){ .out = 6, .kernel = { 5 } }), NULL);
    x = lens_maxpool(x, "pool2", halve);
    x = lens_relu(lens_dense(x, "fc1", (lens_dense_opts){ .out = 32 }), NULL);
    x = lens_softmax(lens_dense(x, "fc2", (lens_dense_opts){ .out = 10 }), "softmax");
    assert_ok(ctx, lens_net_finish(net, x));
    check_layers(net, rows, sizeof rows / sizeof *rows);

    float pixels[784];
    for (int i = 0; i < 784; i++) pixels[i] = (float)(i % 29) / 29;
    lens_tensor picture = { pixels, 4, { 1, 1, 28, 28 } }, p;
    lens_session *session = NULL;
    assert_ok(ctx, lens_init(net, "he", 3));
    assert_ok(ctx, lens_session_new(&session, net, ctx, NULL));
    assert_ok(ctx, lens_run(session, &picture, &p));
    double sum = 0;
    for (int k = 0; k < 10; k++) sum += (double)p.data[k];
    assert_near(sum, 1, 1e-6);
    lens_session_free(session);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Names of parameters are those of PyTorch's state_dict, which weights of others are found by. */
static void parameter_names(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        { "alexnet", "features.10.weight" },
        { "alexnet", "classifier.6.bias" },
        { "vgg16", "features.28.weight" },
        { "vgg11_bn", "features.1.running_mean" },
        { "googlenet", "inception3a.branch2.1.bn.running_var" },
        { "googlenet", "inception5b.branch4.1.conv.weight" },
        { "resnet18", "layer2.0.downsample.0.weight" },
        { "resnet50", "layer1.0.bn3.running_mean" },
        { "resnet20", "layer3.2.conv2.weight" },
        { "resnet20", "linear.bias" },
        { "densenet121", "features.denseblock4.denselayer16.norm2.weight" },
        { "densenet121", "features.transition3.conv.weight" },
        { "densenet121", "features.norm5.bias" },
        { "squeezenet1_1", "features.12.expand3x3.bias" },
        { "squeezenet1_1", "classifier.1.weight" },
    };
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lens_net *net = NULL;
        lens_param param;
        assert_ok(ctx, lens_zoo_new(ctx, &net, rows[i][0], NULL));
        assert_ok(ctx, lens_net_param_named(net, rows[i][1], &param));
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

/* The weights of a net alone, as 16-bit zeros, without the parameters whose names begin with `without`. */
static void write_weights(lens_ctx *ctx, const lens_net *net, const char *path,
                          const char *without) {
    size_t params = (size_t)lens_net_params(net), count = 0, largest = 0;
    st_tensor *tensor = calloc(params, sizeof *tensor);
    for (size_t i = 0; i < params; i++) {
        lens_param p;
        assert_ok(ctx, lens_net_param(net, (int)i, &p));
        if (without && !strncmp(p.name, without, strlen(without))) continue;
        st_tensor *t = &tensor[count++];
        *t = (st_tensor){ .name = p.name, .dtype = ST_BF16, .rank = p.value.rank };
        for (int d = 0; d < p.value.rank; d++) t->dim[d] = p.value.dim[d];
        t->count = lens_tensor_count(&p.value);
        if ((size_t)t->count > largest) largest = (size_t)t->count;
    }
    void *zeros = calloc(largest, 2);
    for (size_t i = 0; i < count; i++) tensor[i].data = zeros;
    assert_ok(ctx, st_write(ctx, path, tensor, count, NULL, 0));
    free(zeros);
    free(tensor);
}

static void recognised_by_weights(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int classes;
        const char *other; /* that fits as well */
    } rows[] = {
        { "resnet20", 10, NULL },
        { "resnet20", 7, NULL },
        { "lenet5", 10, NULL },
        { "densenet-40-12", 10, NULL },
        { "googlenet", 1000, NULL },
        { "squeezenet1_1", 1000, NULL },
        { "resnet50", 12, "resnet50-v1" },
    };
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 32];
    lens_ctx *ctx = test_ctx(1);
    lens_net *net;
    lens_zoo_fits fits;
    bool have = true;
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ok(ctx, lens_zoo_new(ctx, &net, rows[i].name,
                                    &(lens_zoo_opts){ .classes = rows[i].classes }));
        write_weights(ctx, net, path, NULL);
        lens_net_free(net);
        assert_ok(ctx, lens_zoo_recognise(ctx, path, &fits));
        assert_string_equal(fits.entry[0]->name, rows[i].name);
        assert_int_equal(fits.classes, rows[i].classes);
        assert_int_equal(fits.count, rows[i].other ? 2 : 1);
        if (rows[i].other) assert_string_equal(fits.entry[1]->name, rows[i].other);
        assert_ok(ctx, lens_weights_have_net(ctx, path, &have));
        assert_false(have);
    }
    assert_ok(ctx, lens_zoo_new(ctx, &net, "lenet5", NULL));
    write_weights(ctx, net, path, "fc2.bias");
    assert_fails(ctx, LENS_NOT_FOUND, "weights of none of the",
                 lens_zoo_recognise(ctx, path, &fits));
    assert_ok(ctx, lens_net_save(net, path));
    assert_ok(ctx, lens_weights_have_net(ctx, path, &have));
    assert_true(have);
    lens_net_free(net);
    remove(path);
    assert_fails(ctx, LENS_IO, "w.safetensors", lens_zoo_recognise(ctx, path, &fits));
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

/* Files of torchvision's googlenet have the heads, files made for inference have not. */
static void heads_may_be_missing(void **state) {
    (void)state;
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 32], *left_out;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net;
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    assert_ok(ctx, lens_zoo_new(ctx, &net, "googlenet", NULL));
    write_weights(ctx, net, path, NULL);
    assert_ok(ctx, lens_net_load_weights_with(net, path, NULL, &left_out));
    assert_null(left_out);
    write_weights(ctx, net, path, "aux");
    assert_ok(ctx, lens_net_load_weights_with(net, path, NULL, &left_out));
    assert_non_null(strstr(left_out, "missing, but for training alone: aux1.conv.conv.weight"));
    lens_free(ctx, left_out);
    write_weights(ctx, net, path, "aux2");
    assert_fails(ctx, LENS_BAD_FILE, "missing: aux2.conv.conv.weight",
                 lens_net_load_weights(net, path));
    lens_net_free(net);
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

/* Synsets 0, 1, 281 (the first cat), 999 of ILSVRC 2012. */
static void imagenet_words(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net;
    int lines = 1;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "squeezenet1_1", NULL));
    assert_ok(ctx, lens_zoo_imagenet_words(net));
    const char *labels = lens_net_meta(net, "classes"), *cat = NULL;
    assert_int_equal(strncmp(labels, "tench\ngoldfish\n", 15), 0);
    for (const char *at = labels; (at = strchr(at, '\n')); at++)
        if (++lines == 282) cat = at + 1;
    assert_int_equal(lines, 1000);
    assert_int_equal(strncmp(cat, "tabby\n", 6), 0);
    assert_string_equal(labels + strlen(labels) - 13, "toilet tissue");
    assert_string_equal(lens_net_meta(net, "mean"), "0.485,0.456,0.406");
    assert_string_equal(lens_net_meta(net, "std"), "0.229,0.224,0.225");
    assert_string_equal(lens_net_meta(net, "resize"), "256");
    assert_ok(ctx, lens_net_set_meta(net, "classes", "mine"));
    assert_ok(ctx, lens_zoo_imagenet_words(net));
    assert_string_equal(lens_net_meta(net, "classes"), "mine");
    lens_net_free(net);

    const lens_zoo_opts other[] = { { .classes = 999 }, { .channels = 1 } };
    for (int i = 0; i < 2; i++) {
        assert_ok(ctx, lens_zoo_new(ctx, &net, "squeezenet1_1", &other[i]));
        assert_ok(ctx, lens_zoo_imagenet_words(net));
        assert_null(lens_net_meta(net, "classes"));
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

/* Epochs and batches that the papers print. */
static void papers_recipes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int batch, epochs;
        double rate, decay;
    } rows[] = {
        { "alexnet-2012", 128, 90, 0.01, 5e-4 },  { "zfnet", 128, 70, 0.01, 0 },
        { "vgg16", 256, 74, 0.01, 5e-4 },         { "resnet50-v1", 256, 120, 0.1, 1e-4 },
        { "resnet20", 128, 164, 0.1, 1e-4 },      { "densenet121", 256, 90, 0.1, 1e-4 },
        { "densenet-40-12", 64, 300, 0.1, 1e-4 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const lens_zoo_entry *e = lens_zoo_find(rows[i].name);
        assert_int_equal(e->batch, rows[i].batch);
        assert_int_equal(e->epochs, rows[i].epochs);
        assert_near(e->rate, rows[i].rate, 0);
        assert_near(e->weight_decay, rows[i].decay, 0);
    }
}

/* What an entry says can be used: `train` hands it to the optimiser, the schedule and the initialiser. */
static void recipes(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "tiny");
    lens_node *x =
        lens_dense(lens_input(net, "input", 1, 2, 2), "fc", (lens_dense_opts){ .out = 2 });
    assert_ok(ctx, lens_net_finish(net, x));
    lens_data *data;
    assert_ok(ctx, lens_data_open(ctx, &data, "shapes",
                                  &(lens_data_opts){ .height = 28, .width = 28, .resize = 32 }));
    for (int i = 0; i < lens_zoo_count(); i++) {
        const lens_zoo_entry *e = lens_zoo_at(i);
        const lens_optim_opts opts = { .name = e->optimizer,
                                       .rate = e->rate,
                                       .momentum = e->momentum,
                                       .weight_decay = e->weight_decay };
        lens_optim *optim = NULL;
        double factor = 0;
        assert_ok(ctx, lens_optim_new(&optim, net, &opts));
        assert_ok(ctx, lens_init(net, e->init, 1));
        assert_ok(ctx, lens_schedule_at(ctx, e->schedule ? e->schedule : "constant", 0, 1000, 10,
                                        &factor));
        assert_true(factor > 0 && factor <= 1);
        assert_int_equal(e->classes > 1 && e->batch > 0 && e->rate > 0, 1);
        lens_loader *loader = NULL;
        assert_ok(ctx, lens_loader_new(ctx, &loader, data, LENS_TRAIN, 4,
                                       &(lens_loader_opts){ .augment = e->augment }));
        lens_loader_free(loader);
        lens_optim_free(optim);
    }
    lens_data_free(data);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void names_and_mistakes(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = NULL;
    assert_fails(ctx, LENS_NOT_FOUND, "did you mean \"lenet5\"",
                 lens_zoo_new(ctx, &net, "lenet", NULL));
    assert_null(net);
    assert_fails(ctx, LENS_NOT_FOUND, "no net \"resnet-9000\"",
                 lens_zoo_new(ctx, &net, "resnet-9000", NULL));
    assert_null(strstr(lens_why(ctx), "did you mean"));
    assert_fails(ctx, LENS_BAD_ARG, "name", lens_zoo_new(ctx, &net, NULL, NULL));
    assert_fails(
        ctx, LENS_BAD_SHAPE, "conv2",
        lens_zoo_new(ctx, &net, "course-mnist", &(lens_zoo_opts){ .height = 8, .width = 8 }));
    assert_fails(ctx, LENS_BAD_ARG, "",
                 lens_zoo_new(ctx, &net, "lenet5", &(lens_zoo_opts){ .classes = -1 }));
    assert_null(net);
    assert_null(lens_zoo_at(-1));
    assert_null(lens_zoo_at(lens_zoo_count()));
    assert_null(lens_zoo_find("lenet"));
    assert_null(lens_zoo_find(NULL));
    for (int i = 0; i < lens_zoo_count(); i++) {
        const lens_zoo_entry *entry = lens_zoo_at(i);
        assert_ptr_equal(lens_zoo_find(entry->name), entry);
        assert_non_null(entry->what);
        assert_non_null(entry->paper);
        assert_true(entry->rate > 0 && entry->batch > 0);
    }
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[D30][Q3] parameters and MACs of every net", totals),
        T("[M10][F6] dense nets: 266,610 parameters against 61,706", dense_nets),
        T("[M2] LeNet-5 of 1998: 60,000 trainable, 340,908 connections", lenet5_1998_table),
        T("[D30][G13] LeNet-5, modern form, layer by layer", lenet5_table),
        T("[M3][V21] Harley's net layer by layer, 9,134 units", harley_table),
        T("[F7][G18][V17] receptive fields of the LeNets", receptive_fields),
        T("[G14] pooling saves: fc1 has 48,000 weights, without pooling 1,105,920", pooling_saves),
        T("[M1] typical net: conv, activation, pool, dense, softmax", typical_net),
        T("every net runs on other sizes", every_net_runs),
        T("parameters have PyTorch's names", parameter_names),
        T("a net is recognised by its weights", recognised_by_weights),
        T("[M6] weights load with and without auxiliary heads", heads_may_be_missing),
        T("ImageNet's labels and normalisation", imagenet_words),
        T("every net's recipe can be used", recipes),
        T("recipes as the papers print them", papers_recipes),
        T("names and mistakes", names_and_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
