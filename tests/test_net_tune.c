/* test_net_tune.c - algorithms by measurement, and the wisdom file that remembers them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "support/fixture.h"
#include <lenslet/train.h>

enum { CONVOLUTIONS = 3, PASSES = 3, N = 2, SAMPLE = 16 * 9 * 9, WEIGHTS = 20 * 16 * 9 };
static const char *const names[CONVOLUTIONS] = { "a", "b", "t" };

/* Everything a training step makes. */
typedef struct numbers_of {
    float y[N * SAMPLE], dx[N * SAMPLE], da[WEIGHTS], db[20 * 20 * 9], dt[WEIGHTS];
} numbers_of;

typedef struct job {
    lens_ctx *ctx;
    lens_net *net;
    lens_session *session;
    const char *by[CONVOLUTIONS][PASSES];
    numbers_of got;
    char said[8192]; /* warnings, one a line */
    int measured;    /* ways that were tried */
} job;

static void listen(void *user, lens_log_level level, const char *text) {
    job *j = user;
    size_t at = strlen(j->said);
    j->measured += level == LENS_LOG_INFO;
    if (level == LENS_LOG_WARN) snprintf(j->said + at, sizeof j->said - at, "%s\n", text);
}

static void copy_grad(job *j, const char *name, float *to, size_t count) {
    lens_tensor view;
    lens_param p;
    for (int i = 0; i < lens_net_params(j->net); i++) {
        assert_ok(j->ctx, lens_net_param(j->net, i, &p));
        if (strcmp(p.name, name) != 0) continue;
        assert_ok(j->ctx, lens_grad(j->session, i, &view));
        assert_int_equal(lens_tensor_count(&view), count);
        memcpy(to, view.data, count * sizeof *to);
        return;
    }
    fail_msg("no parameter %s", name);
}

/* One training step; the caller frees the job. */
static job *step(int threads, bool strict, bool tune, const char *wisdom) {
    job *j = test_calloc(1, sizeof *j);
    char why[256];
    const lens_ctx_opts opts = { .threads = threads,
                                 .strict = strict,
                                 .tune = tune,
                                 .wisdom = wisdom,
                                 .log = listen,
                                 .log_user = j };
    assert_int_equal(lens_ctx_new(&j->ctx, &opts, why), LENS_OK);
    j->net = lens_net_new(j->ctx, "tuned");
    lens_node *x = lens_input(j->net, "x", 16, 9, 9);
    x = lens_conv2d(x, "a", (lens_conv2d_opts){ .out = 20, .kernel = { 3 }, .pad = 1 });
    x = lens_conv2d(x, "b", (lens_conv2d_opts){ .out = 20, .kernel = { 3 }, .pad = 1 });
    x = lens_conv_transpose2d(x, "t",
                              (lens_conv_transpose2d_opts){ .out = 16, .kernel = { 3 }, .pad = 1 });
    assert_ok(j->ctx, lens_net_finish(j->net, x));
    assert_ok(j->ctx, lens_init(j->net, "he", 5));
    const lens_session_opts session = {
        .batch = N, .train = true, .timed = true, .input_grad = true
    };
    assert_ok(j->ctx, lens_session_new(&j->session, j->net, j->ctx, &session));

    numbers_of *in = test_calloc(1, sizeof *in);
    lens_tensor t = { .data = in->y, .rank = 4, .dim = { N, 16, 9, 9 } }, y;
    random_floats(in->y, N * SAMPLE, 7);
    assert_ok(j->ctx, lens_forward(j->session, &t, 0, &y));
    memcpy(j->got.y, y.data, sizeof j->got.y);
    assert_ok(j->ctx, lens_backward(j->session, &t));
    assert_ok(j->ctx, lens_peek(j->session, lens_net_node(j->net, 0), LENS_GRADIENT, &y));
    memcpy(j->got.dx, y.data, sizeof j->got.dx);
    copy_grad(j, "a.weight", j->got.da, WEIGHTS);
    copy_grad(j, "b.weight", j->got.db, 20 * 20 * 9);
    copy_grad(j, "t.weight", j->got.dt, WEIGHTS);
    for (int i = 0; i < CONVOLUTIONS; i++) {
        lens_node_timing times;
        lens_node *node = lens_net_find(j->net, names[i]);
        assert_ok(j->ctx, lens_timing(j->session, node, &times));
        j->by[i][0] = times.forward_by, j->by[i][1] = times.input_by, j->by[i][2] = times.weight_by;
    }
    test_free(in);
    return j;
}

static void done(job *j) {
    lens_session_free(j->session);
    lens_net_free(j->net);
    lens_ctx_free(j->ctx);
    test_free(j);
}

static bool same_bits(const job *a, const job *b) {
    return memcmp(&a->got, &b->got, sizeof a->got) == 0;
}

/* ---- The file ------------------------------------------------------------------------------- */

static char *text_of(const char *path) {
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    char *text = test_calloc(1 << 16, 1);
    assert_true(fread(text, 1, (1 << 16) - 1, in) > 0);
    fclose(in);
    return text;
}

static void write_text(const char *path, const char *text, size_t size) {
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, size, out), size);
    fclose(out);
}

static int lines_of(const char *text) {
    int lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

/* Every line of the file says `algorithm` from now on. */
static void rewrite(const char *path, const char *algorithm) {
    char *text = text_of(path), *changed = test_calloc(1 << 16, 1);
    size_t at = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *last = strrchr(line, '\t');
        at += (size_t)snprintf(changed + at, (1 << 16) - at, "%.*s%s\n",
                               (int)(last ? last + 1 - line : (ptrdiff_t)strlen(line)), line,
                               last ? algorithm : "");
    }
    write_text(path, changed, at);
    test_free(text), test_free(changed);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void measured_once_and_remembered(void **state) {
    (void)state;
    const char *path = in_dir("remembered");
    job *tuned = step(2, false, true, path);
    char *text = text_of(path);
    assert_string_equal(tuned->said, "");
    assert_int_equal(tuned->measured, CONVOLUTIONS * PASSES * 3);
    assert_int_equal(lines_of(text), 1 + CONVOLUTIONS * PASSES);
    job *again = step(2, false, true, path), *read = step(2, false, false, path);
    assert_int_equal(again->measured + read->measured, 0);
    assert_memory_equal(again->by, tuned->by, sizeof tuned->by);
    assert_memory_equal(read->by, tuned->by, sizeof tuned->by);
    assert_true(same_bits(tuned, again) && same_bits(tuned, read));
    done(tuned), done(again), done(read);
    test_free(text);
}

/* Without a file each session measures for itself. */
static void measured_without_a_file(void **state) {
    (void)state;
    job *tuned = step(2, false, true, NULL);
    assert_string_equal(tuned->said, "");
    assert_int_equal(tuned->measured, CONVOLUTIONS * PASSES * 3);
    done(tuned);
}

/* Each algorithm in each pass, of a convolution and of a transposed one, does what the direct way does. */
static void the_file_is_obeyed(void **state) {
    static const char *const algorithms[] = { "direct", "winograd2", "winograd4" };
    (void)state;
    const char *path = in_dir("obeyed");
    done(step(2, false, true, path));
    rewrite(path, "direct");
    job *direct = step(2, false, false, path);
    for (size_t k = 0; k < 3; k++) {
        rewrite(path, algorithms[k]);
        job *j = step(2, false, false, path);
        assert_string_equal(j->said, "");
        for (int i = 0; i < CONVOLUTIONS; i++)
            for (int pass = 0; pass < PASSES; pass++)
                assert_string_equal(j->by[i][pass], algorithms[k]);
        assert_true(same_bits(j, direct) == (k == 0));
        const float *got = (const float *)&j->got, *want = (const float *)&direct->got;
        for (size_t i = 0; i < sizeof j->got / sizeof *got; i++)
            assert_near(got[i], want[i], 1e-4 * (1 + fabs((double)want[i])));
        done(j);
    }
    done(direct);
}

/* Lines for Winograd in every pass change nothing where `strict` forbids it, and everything elsewhere. */
static void strict_has_the_same_bits(void **state) {
    static const int threads[] = { 1, 2, 3, 8 };
    (void)state;
    job *want = step(1, true, false, NULL);
    for (size_t i = 0; i < 4; i++) {
        const char *path = in_dir("strict");
        remove(path);
        done(step(threads[i], false, true, path));
        rewrite(path, "winograd2");
        job *without = step(threads[i], true, false, NULL),
            *with = step(threads[i], true, true, path),
            *free_of_it = step(threads[i], false, false, path);
        assert_int_equal(with->measured, 0);
        assert_string_equal(with->said, "");
        assert_string_equal(free_of_it->by[0][0], "winograd2");
        assert_true(same_bits(without, want) && same_bits(with, want));
        assert_false(same_bits(free_of_it, want));
        done(without), done(with), done(free_of_it);
    }
    done(want);
}

/* A file that is none, or not one of ours, is ignored and left alone. */
static void bad_files_warn(void **state) {
    static const struct {
        const char *text, *says;
        size_t size; /* 0: as long as the text */
    } bad[] = {
        { "", "is no wisdom file, which begins with \"lenslet wisdom\": the file is ignored", 0 },
        { "\x89PNG\r\n", "is no wisdom file", 0 },
        { "lenslet wisdom", "is no wisdom file", 0 },
        { "lenslet wisdom\na\tb\n", "line 2 has 1 tabs, but two stand between", 0 },
        { "lenslet wisdom\na\tb\tc\na\tb\tc\td\n", "line 3 has 3 tabs", 0 },
        { "lenslet wisdom\na\tb\tc\n\n", "line 3 has 0 tabs", 0 },
        { "lenslet wisdom\na\tb\tc\na\tb\twino", "line 3 breaks off", 0 },
        { "lenslet wisdom\na\tb\tc\r\n", "line 2 has byte 0x0d, which is no text", 0 },
        { "lenslet wisdom\na\tb\0\tc\n", "line 2 has byte 0x00", 22 },
    };
    (void)state;
    job *want = step(2, false, false, NULL);
    const char *path = in_dir("bad");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int tune = 0; tune < 2; tune++) {
            size_t size = bad[i].size ? bad[i].size : strlen(bad[i].text);
            write_text(path, bad[i].text, size);
            job *j = step(2, false, tune, path);
            if (!strstr(j->said, bad[i].says))
                fail_msg("\"%s\" lacks \"%s\"", j->said, bad[i].says);
            assert_non_null(strstr(j->said, path));
            assert_int_equal(j->measured > 0, tune);
            if (!tune) assert_true(same_bits(j, want));
            done(j);
            char now[64];
            FILE *in = fopen(path, "rb");
            assert_int_equal(fread(now, 1, sizeof now, in), size);
            assert_memory_equal(now, bad[i].text, size);
            fclose(in);
        }
    done(want);
}

static void expect_said(const job *j, const char *part) {
    if (!strstr(j->said, part)) fail_msg("\"%s\" lacks \"%s\"", j->said, part);
}

static void files_that_are_not_there_warn(void **state) {
    (void)state;
    job *j = step(2, false, false, in_dir("missing"));
    expect_said(j, "missing: cannot be opened: No such file or directory: the file is ignored");
    done(j);
    j = step(2, false, true, in_dir("no/such/folder"));
    expect_said(j, "cannot be written: No such file or directory: what was measured is not kept");
    assert_int_equal(j->measured, CONVOLUTIONS * PASSES * 3);
    done(j);
    j = step(2, false, true, dir);
    expect_said(j, "is a folder, not a file: the file is ignored");
    done(j);
}

/* Another number of threads is another machine: its lines stay, ours are added. */
static void other_machines_are_kept_apart(void **state) {
    (void)state;
    const char *path = in_dir("machines");
    done(step(1, false, true, path));
    char *one = text_of(path);
    assert_non_null(strstr(one, ", 1 threads, "));
    job *want = step(3, false, false, NULL), *j = step(3, false, false, path);
    expect_said(j, "machines: no line is for this machine, \"lenslet 0.1.0, ");
    expect_said(j, ", 3 threads, ");
    assert_true(same_bits(j, want));
    done(j), done(want);
    done(step(3, false, true, path));
    char *both = text_of(path);
    assert_memory_equal(both, one, strlen(one));
    assert_int_equal(lines_of(both), 2 * lines_of(one) - 1);
    job *quiet = step(3, false, false, path);
    assert_string_equal(quiet->said, "");
    done(quiet);
    test_free(one), test_free(both);
}

/* A whole line whose algorithm does not exist, or not here. */
static void unknown_algorithms_warn(void **state) {
    (void)state;
    const char *path = in_dir("unknown");
    done(step(2, false, true, path));
    rewrite(path, "winograd6");
    job *want = step(2, false, false, NULL), *j = step(2, false, true, path);
    expect_said(j, "wisdom: 3x3 conv2d pad 1, 16x9x9 to 20x9x9, batch 2, forward cannot be done by "
                   "\"winograd6\": left as estimated");
    assert_true(same_bits(j, want));
    done(j), done(want);
}

static const struct CMUnitTest tests[] = {
    T("tuning measures every pass once and remembers it", measured_once_and_remembered),
    T("tuning without a file", measured_without_a_file),
    T("wisdom chooses the algorithm of each pass, which computes the same", the_file_is_obeyed),
    T("strict: the same bits with and without wisdom, on 1, 2, 3 and 8 threads",
      strict_has_the_same_bits),
    T("corrupt and foreign wisdom files: a warning, nothing else", bad_files_warn),
    T("missing and unwritable wisdom files: a warning, nothing else",
      files_that_are_not_there_warn),
    T("wisdom of another machine does not count and stays", other_machines_are_kept_apart),
    T("wisdom with an algorithm that does not exist", unknown_algorithms_warn),
};

int main(void) { return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown); }
