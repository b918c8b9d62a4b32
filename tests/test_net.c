/* test_net.c - building a net: names, mistakes, receptive fields, parameters, words, hash, and what
 * happens when memory runs out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include "test.h"

static lens_node_info info_of(const lens_node *node) {
    lens_node_info info;
    assert_non_null(node);
    lens_node_info_get(node, &info);
    return info;
}

static void lenet_reads_like_its_paper(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "tiny");
    lens_node *x = lens_input(net, "data", 1, 28, 28);
    x = lens_relu(
        lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 6, .kernel = { 5 }, .pad = 2 }), NULL);
    x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_dense(lens_flatten(x, NULL), "fc", (lens_dense_opts){ .out = 10 });
    assert_ok(ctx, lens_net_finish(net, x));

    assert_string_equal(lens_net_name(net), "tiny");
    assert_int_equal(lens_net_nodes(net), 6);
    assert_ptr_equal(lens_net_input(net), lens_net_node(net, 0));
    assert_ptr_equal(lens_net_output(net), x);
    assert_null(lens_net_node(net, 6));
    assert_null(lens_net_node(net, -1));
    assert_null(lens_net_find(net, "conv2"));
    assert_ptr_equal(lens_net_find(net, "relu1"), lens_net_node(net, 2));
    assert_ptr_equal(lens_net_find(net, "maxpool1"), lens_net_node(net, 3));
    assert_ptr_equal(lens_node_input(x, 0), lens_net_find(net, "flatten1"));
    assert_null(lens_node_input(x, 1));

    lens_node_info conv = info_of(lens_net_find(net, "conv1"));
    assert_string_equal(conv.kind, "conv2d");
    assert_int_equal(conv.parameters, 6 * 25 + 6);
    assert_int_equal(conv.macs, 6 * 25 * 28 * 28);
    assert_int_equal(conv.rank, 4);
    assert_int_equal(conv.h, 28);
    lens_node_info max = info_of(lens_net_find(net, "maxpool1"));
    assert_int_equal(max.parameters, 0);
    assert_int_equal(max.field, 6);
    assert_int_equal(max.jump, 2);
    assert_int_equal(info_of(x).field, 6 + 13 * 2);
    assert_int_equal(lens_net_parameters(net), 156 + 1176 * 10 + 10);
    assert_int_equal(lens_net_macs(net), 6 * 25 * 28 * 28 + 11760);

    lens_param p;
    static const char *const name[] = { "conv1.weight", "conv1.bias", "fc.weight", "fc.bias" };
    assert_int_equal(lens_net_params(net), 4);
    for (int i = 0; i < 4; i++) {
        assert_ok(ctx, lens_net_param(net, i, &p));
        assert_string_equal(p.name, name[i]);
        assert_int_equal((uintptr_t)p.value.data % NET_ALIGN, 0);
        assert_true(p.trainable && !p.frozen);
    }
    assert_ok(ctx, lens_net_param_named(net, "conv1.weight", &p));
    assert_int_equal(p.value.rank, 4);
    assert_int_equal(p.value.dim[2], 5);
    assert_int_equal(p.fan_in, 25);
    assert_fails(ctx, LENS_BAD_ARG, "parameter 4 does not exist", lens_net_param(net, 4, &p));
    assert_fails(ctx, LENS_NOT_FOUND, "'conv9.weight'",
                 lens_net_param_named(net, "conv9.weight", &p));
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Pooling has nothing to train and no slot for a gradient. */
static void pooling_has_no_parameters(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "pools");
    lens_node *x = lens_input(net, "data", 3, 16, 16);
    x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_avgpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_sumpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_global_avgpool(x, NULL);
    assert_ok(ctx, lens_net_finish(net, x));
    assert_int_equal(lens_net_parameters(net), 0);
    assert_int_equal(lens_net_params(net), 0);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void layers_in_any_order(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "order");
    lens_conv2d_opts conv = { .out = 8, .kernel = { 3 } };
    lens_node *x = lens_input(net, "data", 3, 20, 20);
    x = lens_relu(lens_conv2d(x, NULL, conv), NULL);
    x = lens_relu(lens_conv2d(x, NULL, conv), NULL);
    x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_maxpool(lens_conv2d(x, NULL, conv), NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_dense(x, NULL, (lens_dense_opts){ .out = 10 });
    assert_ok(ctx, lens_net_finish(net, x));
    lens_node_info info = info_of(lens_net_find(net, "maxpool2"));
    assert_int_equal(info.h, 3); /* 20 -3-> 18 -3-> 16 -2-> 8 -3-> 6 -2-> 3 */
    assert_int_equal(info.field, 12);
    assert_int_equal(info.jump, 4);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void labels_say_height_by_width(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "names");
    lens_node *x = lens_input(net, "data", 1, 9, 9);
    lens_node *tall = lens_conv2d(x, "tall", (lens_conv2d_opts){ .out = 2, .kernel = { 5, 3 } });
    assert_ok(ctx, lens_net_finish(net, lens_dense(tall, NULL, (lens_dense_opts){ .out = 2 })));
    lens_node_info info = info_of(tall);
    assert_int_equal(info.h, 5);
    assert_int_equal(info.w, 7);
    assert_string_equal(info.label, "5x3 conv2d");
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Joins take the larger field; sequences count along their length. */
static void fields_of_joins_and_sequences(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "join");
    lens_node *x = lens_input(net, "data", 1, 16, 16);
    lens_node *a = lens_conv2d(x, NULL, (lens_conv2d_opts){ .out = 1, .kernel = { 3 }, .pad = 1 });
    lens_node *b = lens_conv2d(
        x, NULL, (lens_conv2d_opts){ .out = 1, .kernel = { 3 }, .dilation = { 2 }, .pad = 2 });
    lens_node *sum = lens_add(a, b, NULL);
    assert_ok(ctx, lens_net_finish(net, sum));
    assert_int_equal(info_of(a).field, 3);
    assert_int_equal(info_of(b).field, 5);
    assert_int_equal(info_of(sum).field, 5);
    lens_net_free(net);

    net = lens_net_new(ctx, "sequence");
    x = lens_input1d(net, "data", 2, 100);
    x = lens_conv1d(x, NULL, (lens_conv2d_opts){ .out = 3, .kernel = { 5 }, .stride = { 2 } });
    x = lens_conv1d(x, NULL, (lens_conv2d_opts){ .out = 3, .kernel = { 3 } });
    assert_ok(ctx, lens_net_finish(net, x));
    assert_int_equal(info_of(x).rank, 3);
    assert_int_equal(info_of(x).field, 9);
    assert_int_equal(info_of(x).jump, 2);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Mistakes ------------------------------------------------------------------------------- */

static lens_node *image(lens_net *net) { return lens_input(net, "data", 4, 8, 8); }
static lens_node *twice(lens_net *net) {
    lens_node *x = image(net);
    return lens_relu(lens_tanh(x, "a"), "a");
}
static lens_node *bad_name(lens_net *net) { return lens_relu(image(net), "two words"); }
static lens_node *comma(lens_net *net) { return lens_relu(image(net), "a,b"); }
static lens_node *empty_name(lens_net *net) { return lens_relu(image(net), ""); }
static lens_node *digit(lens_net *net) { return lens_input(net, "7up", 1, 1, 1); }
static lens_node *two_inputs(lens_net *net) {
    image(net);
    return lens_input(net, "more", 1, 1, 1);
}
static lens_node *zero_input(lens_net *net) { return lens_input(net, "data", 0, 8, 8); }
static lens_node *vast_input(lens_net *net) { return lens_input(net, "data", 4096, 4096, 4096); }
static lens_node *big_kernel(lens_net *net) {
    return lens_conv2d(image(net), "conv9", (lens_conv2d_opts){ .out = 2, .kernel = { 9 } });
}
static lens_node *groups(lens_net *net) {
    return lens_conv2d(image(net), "conv3",
                       (lens_conv2d_opts){ .out = 6, .kernel = { 3 }, .groups = 3 });
}
static lens_node *negative_stride(lens_net *net) {
    return lens_conv2d(image(net), "conv3",
                       (lens_conv2d_opts){ .out = 6, .kernel = { 3 }, .stride = { -1 } });
}
static lens_node *unequal_sum(lens_net *net) {
    lens_node *x = image(net);
    return lens_add(x, lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } }), "sum");
}
static lens_node *no_output(lens_net *net) {
    image(net);
    return NULL;
}
static lens_node *no_input(lens_net *net) {
    (void)net;
    return NULL;
}
static lens_node *loose_end(lens_net *net) {
    lens_node *x = image(net);
    lens_tanh(x, "forgotten");
    return lens_relu(x, NULL);
}
static lens_node *read_output(lens_net *net) {
    lens_node *x = image(net), *y = lens_relu(x, "early");
    lens_tanh(y, "late");
    return y;
}
static lens_node *first_counts(lens_net *net) {
    lens_node *x = lens_conv2d(image(net), "first", (lens_conv2d_opts){ .kernel = { 3 } });
    x = lens_relu(lens_maxpool(x, "p", (lens_pool_opts){ 0 }), "r"); /* silent */
    lens_conv2d(lens_net_input(net), "second", (lens_conv2d_opts){ .out = -1 });
    return x;
}

static void mistakes_are_reported_at_the_end(void **state) {
    (void)state;
    static const struct {
        lens_node *(*build)(lens_net *);
        lens_status status;
        const char *part;
    } row[] = {
        { twice, LENS_BAD_ARG, "a: two nodes have this name" },
        { bad_name, LENS_BAD_ARG, "'two words'" },
        { comma, LENS_BAD_ARG, "'a,b'" },
        { empty_name, LENS_BAD_ARG, "1 to 200" },
        { digit, LENS_BAD_ARG, "'7up'" },
        { two_inputs, LENS_BAD_ARG, "already has the input data" },
        { zero_input, LENS_BAD_ARG, "data: channels is 0" },
        { vast_input, LENS_BAD_SHAPE, "4096x4096x4096" },
        { big_kernel, LENS_BAD_SHAPE, "conv9: kernel 9x9" },
        { groups, LENS_BAD_SHAPE, "conv3: 3 groups" },
        { negative_stride, LENS_BAD_ARG, "conv3: stride is -1" },
        { unequal_sum, LENS_BAD_SHAPE, "sum: " },
        { no_output, LENS_BAD_ARG, "no output node" },
        { no_input, LENS_BAD_ARG, "has no input" },
        { loose_end, LENS_BAD_ARG, "forgotten: no node reads it" },
        { read_output, LENS_BAD_ARG, "late: no node reads it" },
        { first_counts, LENS_BAD_ARG, "first: " },
    };
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < LENS_COUNT(row); i++) {
        size_t live = ctx_live_bytes(ctx);
        lens_net *net = lens_net_new(ctx, "wrong");
        lens_node *output = row[i].build(net);
        assert_fails(ctx, row[i].status, row[i].part, lens_net_finish(net, output));
        assert_int_equal(lens_net_params(net), 0);
        lens_net_free(net);
        assert_int_equal(ctx_live_bytes(ctx), live);
    }
    lens_ctx_free(ctx);
}

static void nets_do_not_mix(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *a = lens_net_new(ctx, "a"), *b = lens_net_new(ctx, "b");
    lens_node *x = image(a), *y = image(b);
    assert_null(lens_add(x, y, "sum"));
    assert_fails(ctx, LENS_BAD_ARG, "input data belongs to net b, not to net a",
                 lens_net_finish(a, x));
    assert_fails(ctx, LENS_BAD_ARG, "belongs to net a", lens_net_finish(b, x));
    assert_ok(ctx, lens_net_finish(b, y));
    assert_fails(ctx, LENS_BAD_ARG, "already finished", lens_net_finish(b, y));
    assert_null(lens_relu(y, NULL));
    assert_non_null(strstr(lens_why(ctx), "finished"));
    lens_net_free(a);
    lens_net_free(b);
    lens_net_free(NULL);
    lens_ctx_free(ctx);
}

static void caps_hold(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "long");
    lens_node *x = image(net);
    for (int i = 1; i < NET_MAX_NODES; i++) x = lens_relu(x, NULL);
    assert_non_null(x);
    assert_null(lens_relu(x, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "more than 8192 nodes", lens_net_finish(net, x));
    lens_net_free(net);

    /* 1.2e9 weights are allowed in one layer, but not twice in a net. */
    net = lens_net_new(ctx, "heavy");
    x = lens_dense(image(net), "a", (lens_dense_opts){ .out = 40000 });
    x = lens_dense(x, "b", (lens_dense_opts){ .out = 30000 });
    x = lens_dense(x, "c", (lens_dense_opts){ .out = 40000 });
    assert_fails(ctx, LENS_BAD_SHAPE, "c.weight", lens_net_finish(net, x));
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Weights -------------------------------------------------------------------------------- */

static void vectors_start_where_they_should(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "start");
    lens_node *x = lens_batchnorm(image(net), "norm", (lens_batchnorm_opts){ 0 });
    x = lens_conv2d(x, "conv", (lens_conv2d_opts){ .out = 2, .kernel = { 3 } });
    assert_ok(ctx, lens_net_finish(net, x));
    static const struct {
        const char *name;
        float start;
        bool trainable;
    } row[] = { { "norm.weight", 1, true },        { "norm.bias", 0, true },
                { "norm.running_mean", 0, false }, { "norm.running_var", 1, false },
                { "conv.weight", 0, true },        { "conv.bias", 0, true } };
    assert_int_equal(lens_net_params(net), 6);
    for (int i = 0; i < 6; i++) {
        lens_param p;
        assert_ok(ctx, lens_net_param(net, i, &p));
        assert_string_equal(p.name, row[i].name);
        assert_int_equal(p.trainable, row[i].trainable);
        for (int64_t k = 0; k < lens_tensor_count(&p.value); k++)
            assert_true(p.value.data[k] == row[i].start);
        /* Trainable parameters lie first, so that one pass of an optimiser covers them. */
        assert_int_equal(net->param[i].offset < net->trainable_floats, row[i].trainable);
    }
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void absent_connections_stay_absent(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "table");
    lens_node *x = lens_conv2d(
        image(net), "conv",
        (lens_conv2d_opts){ .out = 2, .kernel = { 1 }, .table = "0 1;2", .no_bias = true });
    assert_ok(ctx, lens_net_finish(net, x));
    lens_param p;
    lens_net_param(net, 0, &p);
    for (int i = 0; i < 8; i++) p.value.data[i] = 5;
    lens_net_touched(net);
    static const float want[] = { 5, 5, 0, 0, 0, 0, 5, 0 };
    assert_memory_equal(p.value.data, want, sizeof want);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static lens_net *two_weights(lens_ctx *ctx, const char *name, int h, int w) {
    lens_net *net = lens_net_new(ctx, "hash");
    lens_node *x = lens_conv2d(image(net), name,
                               (lens_conv2d_opts){ .out = 1, .kernel = { h, w }, .no_bias = true });
    assert_ok(ctx, lens_net_finish(net, x));
    return net;
}

static void hash_sees_names_shapes_and_bits(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char a[33], b[33];
    lens_net *net = two_weights(ctx, "conv", 2, 3), *same = two_weights(ctx, "conv", 2, 3);
    lens_net_hash(net, a);
    lens_net_hash(same, b);
    assert_string_equal(a, b);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    lens_param p;
    lens_net_param(same, 0, &p);
    p.value.data[23] = -0.0f;
    lens_net_hash(same, b);
    assert_string_not_equal(a, b);
    lens_net_free(same);
    for (int i = 0; i < 2; i++) {
        lens_net *other = i ? two_weights(ctx, "conv", 3, 2) : two_weights(ctx, "cond", 2, 3);
        lens_net_hash(other, b);
        assert_string_not_equal(a, b);
        lens_net_free(other);
    }
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void words_travel(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = two_weights(ctx, "conv", 1, 1);
    assert_null(lens_net_meta(net, "classes"));
    assert_ok(ctx, lens_net_set_meta(net, "classes", "cat\ndog"));
    assert_ok(ctx, lens_net_set_meta(net, "mean", "0.5"));
    assert_ok(ctx, lens_net_set_meta(net, "classes", "cow"));
    assert_string_equal(lens_net_meta(net, "classes"), "cow");
    assert_ok(ctx, lens_net_set_meta(net, "classes", NULL));
    assert_ok(ctx, lens_net_set_meta(net, "classes", NULL));
    assert_null(lens_net_meta(net, "classes"));
    assert_string_equal(lens_net_meta(net, "mean"), "0.5");
    assert_fails(ctx, LENS_BAD_ARG, "'net'", lens_net_set_meta(net, "net", "x"));
    char key[16];
    for (int i = 1; i < NET_MAX_WORDS; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_ok(ctx, lens_net_set_meta(net, key, "x"));
    }
    assert_fails(ctx, LENS_BAD_ARG, "256 words", lens_net_set_meta(net, "one more", "x"));
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Out of memory -------------------------------------------------------------------------- */

typedef struct limit {
    long left;
} limit;

static void *limited(void *user, void *ptr, size_t old_size, size_t new_size) {
    limit *it = user;
    (void)old_size;
    if (!new_size) {
        free(ptr);
        return NULL;
    }
    if (it->left-- <= 0) return NULL;
    return realloc(ptr, new_size);
}

/* Everything a net does, once; false if memory ran out on the way. */
static bool whole_life(lens_ctx *ctx) {
    static const char text[] = "input data 2x6x6\nconv2d a out=3 kernel=3 table=\"0;1;0 1\"\n"
                               "relu b\nbatchnorm c\nadd d from=b,c\ndropout rate=0.5\n"
                               "dense out=4\n";
    lens_net *net = NULL, *parsed = NULL;
    lens_session *s = NULL;
    char *copy = NULL;
    float x[72] = { 1 }, dy[4] = { 1 };
    lens_tensor y, in = { x, 4, { 1, 2, 6, 6 } }, out = { dy, 2, { 1, 4 } };
    lens_status status = lens_net_parse(ctx, &parsed, text, "text");
    if (status == LENS_OK) status = lens_net_text(parsed, &copy);
    if (status == LENS_OK) status = lens_net_set_meta(parsed, "classes", "a\nb\nc\nd");
    if (status == LENS_OK) {
        net = lens_net_new(ctx, "life");
        status = LENS_NOMEM;
    }
    if (net) {
        lens_node *node = lens_relu(lens_input(net, NULL, 2, 6, 6), NULL);
        node = lens_concat((lens_node *[]){ node, lens_tanh(node, NULL) }, 2, NULL);
        status = lens_net_finish(net, lens_dense(node, NULL, (lens_dense_opts){ .out = 4 }));
    }
    if (status == LENS_OK)
        status =
            lens_session_new(&s, net, ctx, &(lens_session_opts){ .train = true, .watch = true });
    if (status == LENS_OK) status = lens_forward(s, &in, 0, &y);
    if (status == LENS_OK) status = lens_backward(s, &out);
    if (status != LENS_OK) {
        assert_int_equal(status, LENS_NOMEM);
        assert_string_not_equal(lens_why(ctx), "");
    }
    lens_session_free(s);
    lens_free(ctx, copy);
    lens_net_free(net);
    lens_net_free(parsed);
    return status == LENS_OK;
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    for (long n = 0;; n++) {
        limit it = { .left = n + 1000 };
        lens_ctx *ctx = NULL;
        lens_ctx_opts opts = { .threads = 1, .alloc = { limited, &it } };
        assert_int_equal(lens_ctx_new(&ctx, &opts, NULL), LENS_OK);
        it.left = n;
        size_t live = ctx_live_bytes(ctx);
        bool done = whole_life(ctx);
        assert_int_equal(ctx_live_bytes(ctx), live);
        lens_ctx_free(ctx);
        if (done) {
            assert_true(n > 50);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("a net reads like its paper and answers questions", lenet_reads_like_its_paper),
        T("[G13][I14] pooling has no parameters and no gradient slots", pooling_has_no_parameters),
        T("[G20] conv-conv-pool: layers in any order", layers_in_any_order),
        T("[D17] labels say height x width", labels_say_height_by_width),
        T("receptive fields of joins, dilation and sequences", fields_of_joins_and_sequences),
        T("the first mistake is reported by lens_net_finish", mistakes_are_reported_at_the_end),
        T("nodes of two nets do not mix; a finished net is closed", nets_do_not_mix),
        T("caps on nodes and weights", caps_hold),
        T("weights are zero, vectors at their start, trainable first",
          vectors_start_where_they_should),
        T("lens_net_touched keeps absent connections at 0", absent_connections_stay_absent),
        T("the hash sees names, shapes and bits", hash_sees_names_shapes_and_bits),
        T("words travel with the net", words_travel),
        T("the n-th allocation fails, for every n", memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
