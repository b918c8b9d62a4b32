/* test_net_text.c - net text and model files: what is written comes back, and what does not fit is
 * refused with its place and both sides.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors.h"
#include "net/net.h"
#include "support/comma.h"
#include "support/tempdir.h"
#include "test.h"

#include <lenslet/zoo.h>

static lens_net *parsed(lens_ctx *ctx, const char *text) {
    lens_net *net = NULL;
    assert_ok(ctx, lens_net_parse(ctx, &net, text, "net.txt"));
    assert_non_null(net);
    return net;
}

static void fill(lens_net *net, uint64_t seed) {
    rng r = rng_start(seed, RNG_TEST, 0, 0);
    lens_param p;
    for (int i = 0; i < lens_net_params(net); i++) {
        lens_net_param(net, i, &p);
        for (int64_t k = 0; k < lens_tensor_count(&p.value); k++)
            p.value.data[k] = rng_uniform(&r) + 0.1f;
    }
    lens_net_touched(net);
}

/* ---- Text ----------------------------------------------------------------------------------- */

/* Every type of option, joins, a branch, quoted strings. Already in the printed form. */
static const char whole[] =
    "net everything\n"
    "input            data     4x24x20\n"
    "conv2d           conv1    out=6 kernel=5x3 stride=2x1 pad=1,0,2,1\n"
    "leaky_relu       leaky    slope=0.25\n"
    "conv2d           conv2    out=6 kernel=3 dilation=2 mode=same groups=2 no_bias=true flip=true\n"
    "output           aux      weight=0.3 training=true\n"
    "output           middle   from=leaky\n"
    "conv2d           conv3    from=leaky out=6 kernel=1 table=\"0 1;1 2;2 3;3 4;4 5;5 0\"\n"
    "add              sum      from=conv2,conv3\n"
    "conv_transpose2d up       out=3 kernel=3 stride=2 extra=1x0\n"
    "maxpool          pool     kernel=3x2 stride=2 pad=1x0 ceil=true\n"
    "avgpool          avg      exclude_pad=true kernel=2 pad=1\n"
    "batchnorm        norm     eps=0.001 momentum=0.2\n"
    "subsample        sub      kernel=1\n"
    "relu             relu1\n"
    "adaptive_avgpool small    out=3x4\n"
    "reshape          shape    shape=9x2x2\n"
    "concat           both     from=shape,shape\n"
    "flatten          flatten1\n"
    "dropout          drop     rate=0.3\n"
    "rbf              codes    out=5\n"
    "dense            fc       out=7 no_bias=true\n"
    "softmax          last\n";

static void text_comes_back(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = parsed(ctx, whole);
    char *text;
    assert_ok(ctx, lens_net_text(net, &text));
    assert_string_equal(text, whole);
    lens_free(ctx, text);

    lens_node_info info;
    lens_node_info_get(lens_net_find(net, "conv1"), &info);
    assert_int_equal(info.h, (24 + 3 - 5) / 2 + 1);
    assert_int_equal(info.w, 20 + 1 - 3 + 1);
    lens_node_info_get(lens_net_find(net, "up"), &info);
    assert_int_equal(info.h, 2 * (12 - 1) + 3 + 1);
    assert_int_equal(info.w, 2 * (19 - 1) + 3);
    lens_net_free(net);

    net = parsed(ctx, "input1d data 16x100\nconv1d out=4 kernel=5 stride=2 pad=1,2\n"
                      "maxpool kernel=2\nconv1d last kernel=3 out=2 pad=1 dilation=2");
    assert_ok(ctx, lens_net_text(net, &text));
    assert_string_equal(text, "net net\n"
                              "input1d data     16x100\n"
                              "conv1d  conv1d1  out=4 kernel=5 stride=2 pad=1,2\n"
                              "maxpool maxpool1 kernel=2\n"
                              "conv1d  last     out=2 kernel=3 dilation=2 pad=1\n");
    lens_free(ctx, text);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* What the builders are given in other words, or by default, is not printed. */
static void defaults_stay_unsaid(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = lens_net_new(ctx, "two words");
    lens_node *x = lens_input(net, "data", 1, 8, 8);
    x = lens_conv2d(x, NULL,
                    (lens_conv2d_opts){ .out = 2,
                                        .kernel = { 3, 3 },
                                        .stride = { 1 },
                                        .dilation = { 1, 1 },
                                        .pad = 1,
                                        .pads = { 0, 1, 0, 1 },
                                        .groups = 1 });
    x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 }, .stride = { 2, 2 } });
    x = lens_leaky_relu(x, NULL, 0.01f);
    x = lens_batchnorm(x, NULL, (lens_batchnorm_opts){ .eps = 1e-5f, .momentum = 0.1f });
    assert_ok(ctx, lens_net_finish(net, lens_dropout(x, NULL, 1 / 3.0f)));
    char *text;
    assert_ok(ctx, lens_net_text(net, &text));
    assert_string_equal(text, "net \"two words\"\n"
                              "input      data        1x8x8\n"
                              "conv2d     conv2d1     out=2 kernel=3 pad=1x2\n"
                              "maxpool    maxpool1    kernel=2\n"
                              "leaky_relu leaky_relu1\n"
                              "batchnorm  batchnorm1\n"
                              "dropout    dropout1    rate=0.33333334\n");
    lens_net *again = parsed(ctx, text);
    assert_true(*(float *)again->output->given == 1 / 3.0f);
    lens_free(ctx, text);
    lens_net_free(again);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void zoo_comes_back(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (int i = 0; i < lens_zoo_count(); i++) {
        lens_net *net, *again;
        char *text, *second;
        assert_ok(ctx, lens_zoo_new(ctx, &net, lens_zoo_at(i)->name, NULL));
        assert_ok(ctx, lens_net_text(net, &text));
        again = parsed(ctx, text);
        assert_ok(ctx, lens_net_text(again, &second));
        assert_string_equal(text, second);
        assert_int_equal(lens_net_parameters(net), lens_net_parameters(again));
        assert_int_equal(lens_net_macs(net), lens_net_macs(again));
        if (lens_net_parameters(net) < 2000000) { /* the others differ in size alone */
            char a[33], b[33];
            fill(net, 3);
            fill(again, 3);
            lens_net_hash(net, a);
            lens_net_hash(again, b);
            assert_string_equal(a, b);
        }
        lens_free(ctx, text);
        lens_free(ctx, second);
        lens_net_free(again);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

static void mistakes_have_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        lens_status status;
        const char *part;
    } row[] = {
        { "input data 1x8x8\n\nconv2 c out=3 kernel=3", LENS_NOT_FOUND,
          "net.txt:3:1: there is no layer kind 'conv2'; did you mean 'conv2d'?" },
        { "input data 1x8x8\nzebra", LENS_NOT_FOUND,
          "net.txt:2:1: there is no layer kind 'zebra'" },
        { "input data 1x8x8\n  conv2d c out=3 kernal=3", LENS_NOT_FOUND,
          "net.txt:2:18: there is no key of conv2d 'kernal'; did you mean 'kernel'?" },
        { "input data 1x8x8\nrelu size=3", LENS_NOT_FOUND, "2:6: there is no key of relu 'size'" },
        { "input data 1x8x8\nconv2d out=three kernel=3", LENS_BAD_FILE,
          "2:8: out is 'three', expected a whole number" },
        { "input data 1x8x8\nconv2d out=3 kernel=3x", LENS_BAD_FILE, "expected a size" },
        { "input data 1x8x8\nconv2d out=3 kernel=3x3x3", LENS_BAD_FILE, "expected a size" },
        { "input data 1x8x8\nconv2d out=99999999999 kernel=3", LENS_BAD_FILE, "whole number" },
        { "input data 1x8x8\nconv2d out=3 kernel=3 pad=1,2,3", LENS_BAD_FILE, "expected padding" },
        { "input data 1x8x8\nconv2d out=3 kernel=3 mode=some", LENS_BAD_FILE,
          "valid, same or full" },
        { "input data 1x8x8\nconv2d out=3 kernel=3 no_bias=yes", LENS_BAD_FILE, "true or false" },
        { "input data 1x8x8\ndropout rate=half", LENS_BAD_FILE, "expected a number" },
        { "input data 1xax8", LENS_BAD_FILE, "1:12: shape is '1xax8', expected a shape" },
        { "input data 1x8x8\nconv2d conv4 out=3 kernel=9", LENS_BAD_SHAPE,
          "net.txt:2: conv4: kernel 9x9" },
        { "input data 1x8x8\nconv2d c out=3 kernel=3 stride=0", LENS_BAD_ARG,
          "net.txt:2:25: c: stride is '0' but must not be 0" },
        { "input data 1x8x8\nmaxpool kernel=2x0", LENS_BAD_ARG, "kernel is '2x0'" },
        { "input data 1x8x8\nconv2d out=3 kernel=3 groups=0", LENS_BAD_ARG, "groups is '0'" },
        { "input data 1x8x8\nleaky_relu slope=0", LENS_BAD_ARG, "slope is '0'" },
        { "input data 1x8x8\nconv2d c out=3 kernel=3 stride=-2", LENS_BAD_ARG,
          "net.txt:2: c: stride" },
        { "input data 3x8x8\nconv2d c out=4 kernel=3 groups=2", LENS_BAD_SHAPE,
          "2 groups do not divide 3" },
        { "input data 1x8x8\ndropout", LENS_BAD_ARG, "net.txt:2: dropout1: rate" },
        { "input data 1x8x8\nadd", LENS_BAD_ARG, "net.txt:2: add1: add takes 2" },
        { "input data 1x8x8\nrelu a\nmaxpool kernel=2\nadd s from=a,maxpool1", LENS_BAD_SHAPE,
          "net.txt:4: s: " },
        { "input data 1x8x8\nrelu a from=dato", LENS_NOT_FOUND,
          "there is no layer above named 'dato'; did you mean 'data'?" },
        { "relu a", LENS_BAD_FILE, "net.txt:1:1: expected an input before the first relu" },
        { "input a 1x8x8\ninput b 1x8x8", LENS_BAD_ARG, "net.txt:2: b: the net already has" },
        { "input a 1x8x8\nrelu b from=a\ntanh c from=a", LENS_BAD_ARG,
          "net.txt: b: no node reads it" },
        { "input a 1x8x8\nrelu\nrelu relu1", LENS_BAD_ARG, "net.txt:3: relu1: two nodes" },
        { "input a 1x8x8\nreshape shape=2x2x2", LENS_BAD_SHAPE, "net.txt:2: reshape1: " },
        { "", LENS_BAD_FILE, "no layers" },
        { "input data \"1x8x8", LENS_BAD_FILE, "net.txt:1:12: " },
    };
    lens_ctx *ctx = test_ctx(1);
    size_t live = ctx_live_bytes(ctx);
    for (size_t i = 0; i < LENS_COUNT(row); i++) {
        lens_net *net = NULL;
        lens_status status = lens_net_parse(ctx, &net, row[i].text, "net.txt");
        if (status != row[i].status)
            fail_msg("\"%s\": status %s: %s", row[i].text, lens_status_name(status), lens_why(ctx));
        if (status != LENS_OK && !strstr(lens_why(ctx), row[i].part))
            fail_msg("\"%s\": message \"%s\" lacks \"%s\"", row[i].text, lens_why(ctx),
                     row[i].part);
        if (status != LENS_OK) assert_null(net);
        lens_net_free(net);
        assert_int_equal(ctx_live_bytes(ctx), live);
    }
    lens_ctx_free(ctx);
}

/* ---- Model files ---------------------------------------------------------------------------- */

/* The stored weight is the kernel as it is applied: nothing is turned on the way to the file. */
static void kernel_by_hand(void **state) {
    (void)state;
    static const float kernel[9] = { 1, 2, 3, 0, -1, 4, 7, 5, -2 };
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 20];
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = parsed(ctx, "input data 1x6x7\nconv2d conv out=1 kernel=3 no_bias=true");
    lens_param p;
    lens_net_param(net, 0, &p);
    memcpy(p.value.data, kernel, sizeof kernel);
    lens_net_touched(net);
    assert_ok(ctx, lens_net_save(net, path));
    lens_net_free(net);

    st_file *file;
    assert_ok(ctx, st_open(ctx, &file, path));
    const st_tensor *stored = st_find(file, "conv.weight");
    assert_non_null(stored);
    assert_memory_equal(stored->data, kernel, sizeof kernel);
    assert_string_equal(st_meta(file, "format"), "lenslet");
    assert_string_equal(st_meta(file, "lenslet_version"), lens_version());
    st_close(file);

    assert_ok(ctx, lens_net_load(ctx, &net, path));
    lens_net_param(net, 0, &p);
    assert_memory_equal(p.value.data, kernel, sizeof kernel);
    float x[42];
    for (int i = 0; i < 42; i++) x[i] = (float)((i * 17) % 11 - 5);
    lens_session *s;
    lens_tensor y, in = { x, 4, { 1, 1, 6, 7 } };
    assert_ok(ctx, lens_session_new(&s, net, ctx, NULL));
    assert_ok(ctx, lens_run(s, &in, &y));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 5; j++) {
            float sum = 0; /* small whole numbers: exact */
            for (int u = 0; u < 3; u++)
                for (int v = 0; v < 3; v++) sum += kernel[3 * u + v] * x[7 * (i + u) + j + v];
            assert_true(y.data[5 * i + j] == sum);
        }
    lens_session_free(s);
    lens_net_free(net);
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

static void model_comes_back(void **state) {
    (void)state;
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 20], a[33], b[33];
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    lens_ctx *ctx = test_ctx(1);
    size_t live = ctx_live_bytes(ctx);
    lens_net *net = parsed(ctx, whole), *again;
    fill(net, 1);
    assert_ok(ctx, lens_net_set_meta(net, "classes", "one\n\"two\"\nd\xc3\xa9j\xc3\xa0"));
    assert_ok(ctx, lens_net_save(net, path));
    assert_ok(ctx, lens_net_load(ctx, &again, path));
    lens_net_hash(net, a);
    lens_net_hash(again, b);
    assert_string_equal(a, b);
    assert_string_equal(lens_net_name(again), "everything");
    assert_string_equal(lens_net_meta(again, "classes"), "one\n\"two\"\nd\xc3\xa9j\xc3\xa0");
    assert_null(lens_net_meta(again, "net"));
    char *text;
    assert_ok(ctx, lens_net_text(again, &text));
    assert_string_equal(text, whole);
    lens_free(ctx, text);

    /* Saving over it replaces it in one step and leaves nothing beside it. */
    fill(net, 2);
    assert_ok(ctx, lens_net_save(net, path));
    assert_ok(ctx, lens_net_load_weights(again, path));
    lens_net_hash(net, a);
    lens_net_hash(again, b);
    assert_string_equal(a, b);
    assert_int_equal(tempdir_count(folder), 1);
    lens_net_free(again);
    lens_net_free(net);
    assert_int_not_equal(lens_net_load(ctx, &again, folder), LENS_OK);
    assert_null(again);
    snprintf(path, sizeof path, "%s/none", folder);
    assert_fails(ctx, LENS_IO, path, lens_net_load(ctx, &again, path));
    assert_null(again);
    assert_int_equal(ctx_live_bytes(ctx), live);
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

typedef struct entry {
    const char *name;
    st_dtype dtype;
    int rank;
    int64_t dim[2];
} entry;

static void write_file(lens_ctx *ctx, const char *path, const entry *e, size_t count,
                       const char *net) {
    static double zeros[256];
    st_tensor t[32];
    for (size_t i = 0; i < count; i++) {
        t[i] =
            (st_tensor){ e[i].name, e[i].dtype, e[i].rank, { e[i].dim[0], e[i].dim[1] }, 1, zeros };
        for (int d = 0; d < e[i].rank; d++) t[i].count *= e[i].dim[d];
    }
    st_pair pair = { "net", net };
    assert_ok(ctx, st_write(ctx, path, t, count, &pair, net != NULL));
}

static void loading_is_strict(void **state) {
    (void)state;
    static const char text[] = "input data 1x1x4\ndense fc out=3";
    static const entry good[] = { { "fc.weight", ST_F32, 2, { 3, 4 } },
                                  { "fc.bias", ST_F32, 1, { 3 } } };
    static const entry half[] = { { "fc.bias", ST_F16, 1, { 3 } },
                                  { "fc.weight", ST_F64, 2, { 3, 4 } },
                                  { "norm.num_batches_tracked", ST_I64, 0, { 0 } } };
    static const entry bad[] = { { "fc.weight", ST_F32, 2, { 4, 3 } },
                                 { "fc.extra", ST_F32, 1, { 3 } } };
    static const entry whole_numbers[] = { { "fc.weight", ST_I32, 2, { 3, 4 } },
                                           { "fc.bias", ST_F32, 1, { 3 } } };
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 20], before[33], after[33];
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = parsed(ctx, text), *other;
    fill(net, 4);
    lens_net_hash(net, before);

    write_file(ctx, path, bad, 2, NULL);
    assert_fails(
        ctx, LENS_BAD_FILE,
        "missing: fc.bias; unexpected: fc.extra; mismatched: fc.weight (the file has 4x3, the "
        "net 3x4)",
        lens_net_load_weights(net, path));
    assert_non_null(strstr(lens_why(ctx), path));
    write_file(ctx, path, whole_numbers, 2, NULL);
    assert_fails(ctx, LENS_BAD_FILE, "fc.weight (the file has I32",
                 lens_net_load_weights(net, path));
    lens_net_hash(net, after);
    assert_string_equal(before, after);

    assert_fails(ctx, LENS_BAD_FILE, "no description of a net", lens_net_load(ctx, &other, path));
    write_file(ctx, path, bad, 2, text);
    assert_fails(ctx, LENS_BAD_FILE, "missing: fc.bias", lens_net_load(ctx, &other, path));
    write_file(ctx, path, good, 2, "input data 1x1x4\ndence fc out=3");
    assert_fails(ctx, LENS_NOT_FOUND, "(net text):2:1: ", lens_net_load(ctx, &other, path));
    assert_null(other);
    /* A text that asks for far more than the file holds is refused before memory is taken for it. */
    write_file(ctx, path, good, 2, "input data 1x1x4\ndense fc out=16000000");
    uint64_t calls = ctx_alloc_calls(ctx);
    assert_fails(ctx, LENS_BAD_FILE, "the file has 3x4, the net 16000000x4",
                 lens_net_load(ctx, &other, path));
    assert_true(ctx_alloc_calls(ctx) - calls < 300);

    write_file(ctx, path, half, 3, text);
    assert_ok(ctx, lens_net_load_weights(net, path));
    lens_param p;
    lens_net_param(net, 0, &p);
    for (int i = 0; i < 12; i++) assert_true(p.value.data[i] == 0);
    lens_net_free(net);

    entry many[30];
    char name[30][16];
    for (int i = 0; i < 30; i++) {
        snprintf(name[i], sizeof name[i], "layer%02d", i);
        many[i] = (entry){ name[i], ST_F32, 1, { 1 } };
    }
    net = parsed(ctx, text);
    write_file(ctx, path, many, 30, NULL);
    assert_fails(ctx, LENS_BAD_FILE, "layer07 and 22 more", lens_net_load_weights(net, path));
    lens_net_free(net);
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

static void numbers_ignore_the_locale(void **state) {
    (void)state;
    if (!comma_begin()) {
        print_message("SKIPPED: no locale with a decimal comma is to be had (Debian: locales)\n");
        skip(); /* in "C" this would repeat another test and show nothing */
    }
    text_comes_back(state);
    comma_end();
}

/* A kind or key that the documentation does not name is not finished; its examples are nets. */
static void documentation_is_complete(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char *page, word[80];
    size_t size;
    assert_ok(ctx, file_read(ctx, TEST_SOURCE_DIR "/docs/net-text.md", 1 << 20, &page, &size));
    for (int i = 0; op_kinds[i]; i++) {
        snprintf(word, sizeof word, "`%s`", op_kinds[i]->name);
        if (!strstr(page, word)) fail_msg("docs/net-text.md lacks %s", word);
        for (const op_option *o = op_kinds[i]->options; o && o->key; o++) {
            snprintf(word, sizeof word, "`%s", o->key);
            if (!strstr(page, word)) fail_msg("docs/net-text.md lacks %s", word);
        }
    }
    int examples = 0;
    for (char *block = page; (block = strstr(block, "```\n"));) {
        block += 4;
        char *end = strstr(block, "```");
        if (end && (!strncmp(block, "net ", 4) || !strncmp(block, "input ", 6))) {
            *end = 0;
            lens_net_free(parsed(ctx, block));
            examples++;
            block = end + 1;
        }
    }
    assert_int_equal(examples, 2);
    ctx_free(ctx, page);
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("net text comes back as it was written", text_comes_back),
        T("defaults are not printed", defaults_stay_unsaid),
        T("every net of the zoo comes back from its text", zoo_comes_back),
        T("mistakes in net text have line, column and both sides", mistakes_have_a_place),
        T("[C8] a kernel set by hand survives save, load and apply", kernel_by_hand),
        T("a model file gives back net, weights and words", model_comes_back),
        T("weights load strictly and completely, or not at all", loading_is_strict),
        T("docs/net-text.md names every kind and key", documentation_is_complete),
        T("numbers in net text ignore the locale", numbers_ignore_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
