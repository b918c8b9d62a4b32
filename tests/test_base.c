/* test_base.c - status, memory, files, text, random numbers and the thread pool.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/base.h"
#include "base/pool.h"
#include "base/rng.h"
#include "support/comma.h"
#include "support/tempdir.h"

#include <fcntl.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- status and message ---- */

static void statuses_have_names_and_fixed_numbers(void **state) {
    (void)state;
    assert_int_equal(LENS_OK, 0);
    assert_int_equal(LENS_INTERRUPTED, 9);
    assert_string_equal(lens_status_name(LENS_BAD_SHAPE), "LENS_BAD_SHAPE");
    assert_string_equal(lens_status_text(LENS_BAD_SHAPE), "shapes do not fit");
    assert_string_equal(lens_status_name((lens_status)77), "unknown status");
    assert_string_equal(lens_version(), "0.1.0");
}

static void messages_are_kept_and_may_quote_the_last(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    assert_string_equal(lens_why(ctx), "");
    assert_int_equal(ctx_fail(ctx, LENS_BAD_SHAPE, "input has %d channels", 60), LENS_BAD_SHAPE);
    assert_string_equal(lens_why(ctx), "input has 60 channels");
    ctx_fail_prefix(ctx, LENS_BAD_FILE, "%s", "a.net");
    assert_string_equal(lens_why(ctx), "a.net: input has 60 channels");
    ctx_fail(ctx, LENS_IO, "<%s>", lens_why(ctx));
    assert_string_equal(lens_why(ctx), "<a.net: input has 60 channels>");
    ctx_fail(ctx, LENS_IO, "%100000d", 1); /* longer than any buffer */
    assert_true(strlen(lens_why(ctx)) < 100000);
    lens_ctx_free(ctx);
}

static void take_log(void *user, lens_log_level level, const char *text) {
    snprintf(user, 64, "%d:%s", (int)level, text);
}

static void log_reaches_its_hook(void **state) {
    (void)state;
    char seen[64] = "";
    lens_ctx *ctx;
    assert_int_equal(
        lens_ctx_new(&ctx, &(lens_ctx_opts){ .log = take_log, .log_user = seen }, NULL), LENS_OK);
    ctx_log(ctx, LENS_LOG_INFO, "epoch %d", 3);
    assert_string_equal(seen, "1:epoch 3");
    lens_ctx_free(ctx);
}

static void contexts_are_refused_with_reasons(void **state) {
    (void)state;
    char why[256];
    lens_ctx *ctx = (lens_ctx *)why;
    assert_int_equal(lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = 1000000000 }, why),
                     LENS_BAD_ARG);
    assert_null(ctx);
    assert_non_null(strstr(why, "1000000000"));
    assert_non_null(strstr(why, "1024"));
    assert_int_equal(lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = -1 }, why), LENS_BAD_ARG);
    assert_int_equal(lens_ctx_new(&ctx, &(lens_ctx_opts){ .isa = "avx3" }, why), LENS_BAD_ARG);
    assert_non_null(strstr(why, "avx3"));
    assert_int_equal(lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = -1 }, NULL), LENS_BAD_ARG);
    lens_ctx_free(NULL);
}

static void environment_sets_threads_and_cpus(void **state) {
    (void)state;
    static const char *const names[] = { "LENSLET_THREADS", "LENSLET_CPUS" };
    static const char *const wrong[] = { "abc", "0",  "-2",         "1025",
                                         "3x",  " 3", "1000000000", "99999999999999999999",
                                         "2.5" };
    char why[256];
    lens_ctx *ctx;
    for (size_t i = 0; i < LENS_COUNT(wrong) * LENS_COUNT(names); i++) {
        const char *name = names[i % LENS_COUNT(names)], *value = wrong[i / LENS_COUNT(names)];
        setenv(name, value, 1);
        assert_int_equal(lens_ctx_new(&ctx, NULL, why), LENS_BAD_ARG);
        assert_null(ctx);
        assert_non_null(strstr(why, value));
        assert_non_null(strstr(why, name));
        unsetenv(name);
    }
    setenv("LENSLET_THREADS", "3", 1);
    assert_int_equal(lens_ctx_new(&ctx, NULL, why), LENS_OK);
    assert_int_equal(lens_ctx_threads(ctx), 3);
    lens_ctx_free(ctx);
    ctx = test_ctx(2); /* what the caller asks for comes first */
    assert_int_equal(lens_ctx_threads(ctx), 2);
    lens_ctx_free(ctx);
    setenv("LENSLET_THREADS", "", 1);
    assert_int_equal(lens_ctx_new(&ctx, NULL, why), LENS_OK);
    assert_int_equal(lens_ctx_threads(ctx), pool_default_threads());
    lens_ctx_free(ctx);
    unsetenv("LENSLET_THREADS");
    ctx = test_ctx(3);
    assert_in_range(pool_active(ctx_pool(ctx)), 1, pool_default_threads());
    lens_ctx_free(ctx);
    setenv("LENSLET_CPUS", "2", 1);
    ctx = test_ctx(3);
    assert_int_equal(pool_active(ctx_pool(ctx)), 2);
    lens_ctx_free(ctx);
    setenv("LENSLET_CPUS", "64", 1); /* for the tests of the pool */
}

/* ---- memory ---- */

typedef struct hook {
    size_t live, budget;
    int calls, fail_at;
} hook;

static void *counting_resize(void *user, void *ptr, size_t old_size, size_t new_size) {
    hook *h = user;
    h->calls++;
    if (new_size == 0) {
        h->live -= old_size;
        free(ptr);
        return NULL;
    }
    if (h->calls == h->fail_at || new_size > h->budget) return NULL;
    void *moved = malloc(new_size); /* always moves: stale pointers show */
    if (!moved) return NULL;
    if (ptr) memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
    free(ptr);
    h->live += new_size - old_size;
    return moved;
}

static void memory_goes_through_the_hook(void **state) {
    (void)state;
    hook h = { .budget = 1 << 20 };
    lens_ctx *ctx;
    lens_ctx_opts opts = { .threads = 2, .alloc = { counting_resize, &h } };
    assert_int_equal(lens_ctx_new(&ctx, &opts, NULL), LENS_OK);
    assert_true(h.calls > 0);
    size_t live = ctx_live_bytes(ctx);
    uint64_t calls = ctx_alloc_calls(ctx);

    unsigned char *p = ctx_alloc(ctx, 100, 3);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 300; i++) assert_int_equal(p[i], 0);
    for (int i = 0; i < 300; i++) p[i] = (unsigned char)i;
    assert_int_equal(ctx_live_bytes(ctx) - live, 300);
    p = ctx_grow(ctx, p, 300, 1000, 1);
    for (int i = 0; i < 300; i++) assert_int_equal(p[i], (unsigned char)i);
    assert_int_equal(ctx_live_bytes(ctx) - live, 1000);
    assert_int_equal(ctx_alloc_calls(ctx) - calls, 2);

    assert_null(ctx_alloc(ctx, SIZE_MAX / 2, 4));
    assert_null(ctx_alloc(ctx, SIZE_MAX - 8, 1));
    assert_null(ctx_grow(ctx, p, 1000, SIZE_MAX / 2, 4));
    assert_null(ctx_grow(ctx, p, 1000, 1 << 21, 1)); /* beyond the budget: the old block stays */
    assert_non_null(strstr(lens_why(ctx), "2097152"));
    assert_int_equal(p[299], (unsigned char)299);
    ctx_free(ctx, p);
    ctx_free(ctx, NULL);
    lens_free(ctx, NULL);

    p = ctx_grow(ctx, NULL, 0, 10, 8); /* growing from nothing */
    assert_non_null(p);
    lens_free(ctx, p);
    char *text = ctx_printf(ctx, "%s-%d", "conv", 4), *copy = ctx_strdup(ctx, text);
    assert_string_equal(copy, "conv-4");
    ctx_free(ctx, text);
    ctx_free(ctx, copy);
    assert_int_equal(ctx_live_bytes(ctx), live);
    lens_ctx_free(ctx);
    assert_int_equal(h.live, 0);
}

static void no_context_leaks_when_memory_runs_out(void **state) {
    (void)state;
    bool made = false;
    for (int n = 1; n < 100 && !made; n++) {
        hook h = { .budget = 1 << 20, .fail_at = n };
        char why[256];
        lens_ctx *ctx;
        lens_ctx_opts opts = { .threads = 3, .alloc = { counting_resize, &h } };
        lens_status status = lens_ctx_new(&ctx, &opts, why);
        made = status == LENS_OK;
        if (!made) {
            assert_int_equal(status, LENS_NOMEM);
            assert_null(ctx);
            assert_non_null(strstr(why, "out of memory"));
        }
        lens_ctx_free(ctx);
        assert_int_equal(h.live, 0);
    }
    assert_true(made);
}

static void large_blocks_are_whole(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    size_t bytes = (9u << 20) + 17;
    unsigned char *p = ctx_alloc(ctx, bytes, 1);
    assert_non_null(p);
    assert_int_equal(p[0] | p[bytes - 1], 0);
    p[bytes - 1] = 7;
    p = ctx_grow(ctx, p, bytes, 2 * bytes, 1);
    assert_int_equal(p[bytes - 1], 7);
    ctx_free(ctx, p);
    lens_ctx_free(ctx);
}

static void sizes_overflow_visibly(void **state) {
    (void)state;
    size_t out = 5;
    assert_false(mul_size(SIZE_MAX, 2, &out));
    assert_false(add_size(SIZE_MAX, 1, &out));
    assert_int_equal(out, 5);
    assert_true(mul_size(SIZE_MAX, 1, &out) && out == SIZE_MAX);
    assert_true(mul_size(0, SIZE_MAX, &out) && out == 0);
    assert_true(mul_size(SIZE_MAX, 0, &out) && out == 0);
    assert_true(add_size(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
}

/* ---- text ---- */

static void numbers_are_whole_strings_in_any_locale(void **state) {
    (void)state;
    double d = 9;
    long long i = 9;
    if (!comma_begin())
        print_message("no locale with a decimal comma is to be had: run in \"C\" alone\n");
    assert_true(parse_double("-1.5e-3", &d) && d == -1.5e-3);
    assert_true(parse_double(".5", &d) && d == 0.5);
    lens_ctx *ctx = test_ctx(1);
    char *text = ctx_printf(ctx, "%.2f", 0.25);
    assert_string_equal(text, "0.25");
    ctx_free(ctx, text);
    lens_ctx_free(ctx);
    comma_end();
    static const char *const no_double[] = { "",    " 1", "1 ",    "1,5",    "abc",   "inf", "-inf",
                                             "nan", "+",  "1e999", "-1e999", "1.5.2", "e5" };
    for (size_t k = 0; k < LENS_COUNT(no_double); k++) {
        if (parse_double(no_double[k], &d)) fail_msg("'%s' was taken for %g", no_double[k], d);
    }
    assert_true(parse_int("-12", &i) && i == -12);
    assert_true(parse_int("9223372036854775807", &i) && i == INT64_MAX);
    static const char *const no_int[] = { "",  " 1", "1 ", "1.0", "0x10", "9223372036854775808",
                                          "-", "a" };
    for (size_t k = 0; k < LENS_COUNT(no_int); k++) {
        if (parse_int(no_int[k], &i)) fail_msg("'%s' was taken for %lld", no_int[k], i);
    }
}

static void near_names_are_suggested(void **state) {
    (void)state;
    static const char *const names[] = { "lenet5", "lenet5-1998", "mlp-300-100", "harley" };
    size_t n = LENS_COUNT(names);
    assert_string_equal(nearest_name("lente5", names, n), "lenet5");
    assert_string_equal(nearest_name("lenet", names, n), "lenet5");
    assert_string_equal(nearest_name("lenet-1998", names, n), "lenet5-1998");
    assert_string_equal(nearest_name("harly", names, n), "harley");
    assert_null(nearest_name("resnet", names, n));
    assert_null(nearest_name("", names, n));
    assert_null(nearest_name("lenet5", names, 0));
    char endless[500];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    assert_null(nearest_name(endless, names, n));
}

/* ---- files ---- */

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_contains(lens_ctx *ctx, const char *path, const char *text) {
    char *bytes;
    size_t size;
    assert_ok(ctx, file_read(ctx, path, 1 << 20, &bytes, &size));
    assert_int_equal(size, strlen(text));
    assert_string_equal(bytes, text);
    ctx_free(ctx, bytes);
}

static void files_are_read_whole_or_refused(void **state) {
    (void)state;
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 32], *bytes = NULL;
    size_t size = 0;
    lens_ctx *ctx = test_ctx(1);
    tempdir_make(dir);
    snprintf(path, sizeof path, "%s/a", dir);
    assert_fails(ctx, LENS_IO, path, file_read(ctx, path, 10, &bytes, &size));
    assert_fails(ctx, LENS_IO, "No such file", file_read(ctx, path, 10, &bytes, &size));
    assert_fails(ctx, LENS_BAD_FILE, "folder", file_read(ctx, dir, 10, &bytes, &size));
    put(path, "hello");
    assert_contains(ctx, path, "hello");
    assert_ok(ctx, file_read(ctx, path, 5, &bytes, &size));
    ctx_free(ctx, bytes);
    bytes = NULL;
    assert_fails(ctx, LENS_BAD_FILE, "at most 4", file_read(ctx, path, 4, &bytes, &size));
    assert_null(bytes);
    put(path, "");
    assert_contains(ctx, path, "");
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(ctx, LENS_BAD_FILE, "pipe", file_read(ctx, path, 10, &bytes, &size));
    tempdir_remove(dir);
    lens_ctx_free(ctx);
}

static void a_file_is_replaced_only_by_commit(void **state) {
    (void)state;
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 32], link[TEMPDIR_PATH + 32];
    file_writer *w;
    struct stat st;
    lens_ctx *ctx = test_ctx(1);
    tempdir_make(dir);
    snprintf(path, sizeof path, "%s/model", dir);
    snprintf(link, sizeof link, "%s/link", dir);

    assert_ok(ctx, file_begin(ctx, &w, path));
    fputs("one", file_stream(w));
    assert_int_equal(access(path, F_OK), -1);
    assert_ok(ctx, file_commit(w));
    assert_contains(ctx, path, "one");

    assert_int_equal(chmod(path, 0640), 0);
    assert_ok(ctx, file_begin(ctx, &w, path));
    fputs("two", file_stream(w));
    fflush(file_stream(w));
    assert_contains(ctx, path, "one");
    file_abort(w);
    file_abort(NULL);
    assert_contains(ctx, path, "one");
    assert_int_equal(tempdir_count(dir), 1);

    assert_ok(ctx, lens_file_write(ctx, path, "whole", 5));
    assert_contains(ctx, path, "whole");
    assert_fails(ctx, LENS_IO, dir, lens_file_write(ctx, dir, "whole", 5));

    assert_int_equal(symlink("model", link), 0);
    assert_ok(ctx, file_begin(ctx, &w, link));
    fputs("three", file_stream(w));
    assert_ok(ctx, file_commit(w));
    assert_contains(ctx, path, "three");
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(tempdir_count(dir), 2);

    /* Two writers of one name do not meet: the last commit wins, whole. */
    file_writer *other;
    assert_ok(ctx, file_begin(ctx, &w, path));
    assert_ok(ctx, file_begin(ctx, &other, path));
    fputs("four", file_stream(w));
    fputs("five", file_stream(other));
    assert_ok(ctx, file_commit(other));
    assert_ok(ctx, file_commit(w));
    assert_contains(ctx, path, "four");
    assert_int_equal(tempdir_count(dir), 2);
    tempdir_remove(dir);
    lens_ctx_free(ctx);
}

static void a_folder_that_refuses_is_named(void **state) {
    (void)state;
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 32];
    file_writer *w = NULL;
    lens_ctx *ctx = test_ctx(1);
    tempdir_make(dir);
    assert_fails(ctx, LENS_IO, "folder", file_begin(ctx, &w, dir));
    snprintf(path, sizeof path, "%s/none/model", dir);
    assert_fails(ctx, LENS_IO, path, file_begin(ctx, &w, path));
    assert_fails(ctx, LENS_IO, "No such file", file_begin(ctx, &w, path));
    if (geteuid() == 0) { /* modes do not stop root; the kernel's own read-only folder does */
        assert_fails(ctx, LENS_IO, "/proc/lenslet-test", file_begin(ctx, &w, "/proc/lenslet-test"));
    } else {
        snprintf(path, sizeof path, "%s/model", dir);
        put(path, "old");
        assert_int_equal(chmod(dir, 0500), 0);
        assert_fails(ctx, LENS_IO, "Permission denied", file_begin(ctx, &w, path));
        assert_contains(ctx, path, "old");
        assert_int_equal(chmod(dir, 0700), 0);
    }
    assert_null(w);
    tempdir_remove(dir);
    lens_ctx_free(ctx);
}

static void a_full_disk_keeps_the_old_file(void **state) {
    (void)state;
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 32];
    file_writer *w;
    struct rlimit before, small;
    lens_ctx *ctx = test_ctx(1);
    tempdir_make(dir);
    snprintf(path, sizeof path, "%s/model", dir);
    put(path, "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (int size = 2000; size <= 200000; size *= 10) { /* less and more than the stream's buffer */
        assert_ok(ctx, file_begin(ctx, &w, path));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < size; i++) fputc('x', file_stream(w));
        lens_status status = file_commit(w);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, LENS_IO);
        assert_non_null(strstr(lens_why(ctx), path));
        assert_contains(ctx, path, "old");
        assert_int_equal(tempdir_count(dir), 1);
    }
    signal(SIGXFSZ, handler);

    if (access("/dev/full", W_OK) == 0) {
        assert_ok(ctx, file_begin(ctx, &w, "/dev/full"));
        fputs("x", file_stream(w));
        assert_fails(ctx, LENS_IO, "/dev/full", file_commit(w));
        assert_int_equal(access("/dev/full", W_OK), 0);
    }
    tempdir_remove(dir);
    lens_ctx_free(ctx);
}

/* ---- random numbers ---- */

/* Known answers published with the generator (Random123, kat_vectors, philox4x32 10). */
static void philox_known_answers(void **state) {
    (void)state;
    static const struct {
        rng_key key;
        uint64_t index;
        uint32_t out[4];
    } vector[] = {
        { { 0, 0, 0 }, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { UINT64_MAX, UINT32_MAX, UINT32_MAX },
          UINT64_MAX,
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x299f31d0a4093822, 0x03707344, 0x13198a2e },
          0x85a308d3243f6a88,
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < LENS_COUNT(vector); i++) {
        uint32_t out[4];
        rng_block(vector[i].key, vector[i].index, out);
        assert_memory_equal(out, vector[i].out, sizeof out);
    }
}

static void a_stream_is_its_blocks(void **state) {
    (void)state;
    rng r = rng_start(42, RNG_TEST, 7, 100);
    for (uint64_t block = 100; block < 110; block++) {
        uint32_t out[4];
        rng_block((rng_key){ 42, RNG_TEST, 7 }, block, out);
        for (int i = 0; i < 4; i++) assert_int_equal(rng_u32(&r), out[i]);
    }
    rng a = rng_start(42, RNG_INIT, 7, 100), b = rng_start(42, RNG_TEST, 8, 100);
    rng c = rng_start(42, RNG_TEST, 7, 100);
    assert_true(rng_u32(&a) != rng_u32(&c) && rng_u32(&b) != c.word[0]);
}

static void distributions_have_their_moments(void **state) {
    (void)state;
    enum { N = 200000 };
    rng r = rng_start(1, RNG_TEST, 0, 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        double u = (double)rng_uniform(&r);
        assert_true(u >= 0 && u < 1);
        sum += u, squares += u * u;
    }
    assert_near(sum / N, 0.5, 5 * 0.2887 / sqrt(N)); /* five standard errors */
    assert_near(squares / N, 1.0 / 3, 5 * 0.2981 / sqrt(N));
    sum = squares = 0;
    for (int i = 0; i < N; i++) {
        double z = (double)rng_normal(&r);
        assert_true(isfinite(z));
        sum += z, squares += z * z;
    }
    assert_near(sum / N, 0, 5 / sqrt(N));
    assert_near(squares / N, 1, 5 * sqrt(2.0 / N));

    int seen[7] = { 0 };
    for (int i = 0; i < 70000; i++) {
        uint32_t k = rng_below(&r, 7);
        assert_true(k < 7);
        seen[k]++;
    }
    for (int k = 0; k < 7; k++) assert_near(seen[k], 10000, 5 * sqrt(10000 * 6.0 / 7));
    /* 3*2^30: a plain multiply would give a third of the numbers twice the weight. */
    int low = 0;
    for (int i = 0; i < 30000; i++) low += rng_below(&r, 3u << 30) % 3 == 0;
    assert_near(low, 10000, 5 * sqrt(30000 * 2.0 / 9));
    assert_int_equal(rng_below(&r, 1), 0);
    assert_int_equal(rng_below(&r, 0), 0);
}

static void permutations_hold_everything_once(void **state) {
    (void)state;
    enum { N = 1000 };
    uint32_t order[N], again[N];
    bool seen[N] = { false };
    rng r = rng_start(5, RNG_SHUFFLE, 1, 0);
    rng_permutation(&r, order, N);
    int fixed = 0;
    for (uint32_t i = 0; i < N; i++) {
        assert_true(order[i] < N && !seen[order[i]]);
        seen[order[i]] = true;
        fixed += order[i] == i;
    }
    assert_true(fixed < 10); /* one is expected */
    r = rng_start(5, RNG_SHUFFLE, 1, 0);
    rng_permutation(&r, again, N);
    assert_memory_equal(order, again, sizeof order);
    rng_permutation(&r, order, 1);
    assert_int_equal(order[0], 0);
    rng_permutation(&r, order, 0);
}

/* ---- thread pool ---- */

enum { MOST_TASKS = 1000 };

typedef struct tally {
    atomic_int runs[MOST_TASKS];
    int thread[MOST_TASKS];
    float result[MOST_TASKS];
} tally;

static void count_task(void *arg, int task, int thread) {
    tally *t = arg;
    atomic_fetch_add(&t->runs[task], 1);
    t->thread[task] = thread;
    float sum = 0;
    for (int i = 1; i < 50; i++) sum += 1.0f / (float)(i * (task + 1));
    t->result[task] = sum;
}

static void every_task_runs_once(void **state) {
    (void)state;
    static const int threads[] = { 1, 2, 3, 8, 33 }, counts[] = { 0, 1, 2, 7, 64, MOST_TASKS };
    static tally t, alone;
    for (int task = 0; task < MOST_TASKS; task++) count_task(&alone, task, 0);
    for (size_t i = 0; i < LENS_COUNT(threads); i++) {
        lens_ctx *ctx = test_ctx(threads[i]);
        pool *p = ctx_pool(ctx);
        assert_int_equal(pool_threads(p), threads[i]);
        for (int repeat = 0; repeat < 20; repeat++) {
            for (size_t j = 0; j < LENS_COUNT(counts); j++) {
                memset(&t, 0, sizeof t);
                pool_run(p, counts[j], 1e9, count_task, &t);
                for (int task = 0; task < MOST_TASKS; task++) {
                    assert_int_equal(atomic_load(&t.runs[task]), task < counts[j]);
                    if (task >= counts[j]) continue;
                    assert_in_range(t.thread[task], 0, threads[i] - 1);
                    assert_memory_equal(&t.result[task], &alone.result[task], sizeof(float));
                }
            }
        }
        lens_ctx_free(ctx);
    }
}

static void small_work_stays_with_the_caller(void **state) {
    (void)state;
    static tally t;
    lens_ctx *ctx = test_ctx(2);
    pool_run(ctx_pool(ctx), 10, 0, count_task, &t);
#ifndef LENSLET_TINY
    for (int task = 0; task < 10; task++) assert_int_equal(t.thread[task], 0);
#endif
    for (int task = 0; task < 10; task++) assert_int_equal(atomic_load(&t.runs[task]), 1);
    lens_ctx_free(ctx);
}

static void sleeping_workers_wake(void **state) {
    (void)state;
    static tally t;
    lens_ctx *ctx = test_ctx(3);
    for (int i = 0; i < 20; i++) {
        usleep(2000); /* well beyond the polling time */
        memset(&t, 0, sizeof t);
        pool_run(ctx_pool(ctx), 9, 1e9, count_task, &t);
        for (int task = 0; task < 9; task++) assert_int_equal(atomic_load(&t.runs[task]), 1);
    }
    lens_ctx_free(ctx);
}

static void slow_task(void *arg, int task, int thread) {
    (void)thread;
    if (task == 1) usleep(3000);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void meet(void *arg, int task, int thread) {
    (void)task, (void)thread;
    atomic_int *here = arg;
    atomic_fetch_add(here, 1);
    while (atomic_load(here) < 2) usleep(100);
}

/* Ends only if two threads are inside at once. */
static void workers_do_help(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    atomic_int here = 0;
    pool_run(ctx_pool(ctx), 2, 1e9, meet, &here);
    assert_int_equal(atomic_load(&here), 2);
    lens_ctx_free(ctx);
}

static void the_caller_waits_for_the_slowest(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    for (int i = 1; i <= 10; i++) {
        atomic_int done = 0;
        pool_run(ctx_pool(ctx), 2, 1e9, slow_task, &done);
        assert_int_equal(atomic_load(&done), 2);
    }
    lens_ctx_free(ctx);
}

#if defined(__x86_64__) || defined(__aarch64__)
static void multiply_denormals(void *arg, int task, int thread) {
    (void)thread;
    volatile float tiny = 1e-38f, half = 0.1f;
    ((float *)arg)[task] = tiny * half;
}

static void denormals_are_flushed_in_tasks_only(void **state) {
    (void)state;
    volatile float tiny = 1e-38f, half = 0.1f;
    for (int threads = 1; threads <= 4; threads++) {
        float product[8];
        lens_ctx *ctx = test_ctx(threads);
        fesetround(FE_UPWARD);
        pool_run(ctx_pool(ctx), 8, 1e9, multiply_denormals, product);
        assert_int_equal(fegetround(), FE_UPWARD);
        fesetround(FE_TONEAREST);
        for (int i = 0; i < 8; i++) assert_true(product[i] == 0.0f);
        assert_true(tiny * half > 0.0f);
        lens_ctx_free(ctx);
    }
}
#endif

static void *use_own_context(void *arg) {
    (void)arg;
    static const int n = 200;
    lens_ctx *ctx = NULL;
    if (lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = 2 }, NULL) != LENS_OK) return NULL;
    tally *t = calloc(1, sizeof *t);
    bool once = t != NULL;
    for (int i = 0; once && i < n; i++) {
        pool_run(ctx_pool(ctx), 16, 1e9, count_task, t);
        for (int task = 0; task < 16; task++) once = once && atomic_load(&t->runs[task]) == i + 1;
    }
    free(t);
    lens_ctx_free(ctx);
    return once ? ctx : NULL;
}

static void contexts_do_not_disturb_each_other(void **state) {
    (void)state;
    pthread_t id[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&id[i], NULL, use_own_context, NULL), 0);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(id[i], &result);
        assert_non_null(result);
    }
}

static void add_task(void *arg, int task, int thread) {
    (void)thread;
    ((int *)arg)[task]++;
}

/* Next to no work, so that workers are forever late: every way of losing, doubling or mixing up a
 * share shows in the counts, or never ends. */
static void late_workers_harm_nothing(void **state) {
    (void)state;
    enum { RUNS = 200000 };
    static const int threads[] = { 2, 3, 4, 8 };
    for (size_t k = 0; k < LENS_COUNT(threads); k++) {
        lens_ctx *ctx = test_ctx(threads[k]);
        int count[8] = { 0 };
        for (int i = 1; i <= RUNS; i++) {
            pool_run(ctx_pool(ctx), threads[k], 1e9, add_task, count);
            for (int task = 0; task < threads[k]; task++)
                if (count[task] != i) fail_msg("run %d, task %d: %d", i, task, count[task]);
        }
        lens_ctx_free(ctx);
    }
}

#ifdef __linux__
/* The affinity mask shrinks to one CPU and grows again while a context lives. */
static void runs_follow_the_affinity_mask(void **state) {
    (void)state;
    static tally t;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    unsetenv("LENSLET_CPUS");
    lens_ctx *ctx = test_ctx(3);
    int usual = pool_active(ctx_pool(ctx));
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    usleep(30000); /* beyond the time for which the answer is kept */
    assert_int_equal(pool_active(ctx_pool(ctx)), 1);
    pool_run(ctx_pool(ctx), MOST_TASKS, 1e9, count_task, &t);
    for (int task = 0; task < MOST_TASKS; task++) assert_int_equal(t.thread[task], 0);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    usleep(30000);
    assert_int_equal(pool_active(ctx_pool(ctx)), usual);
    pool_run(ctx_pool(ctx), MOST_TASKS, 1e9, count_task, &t);
    for (int task = 0; task < MOST_TASKS; task++) assert_int_equal(atomic_load(&t.runs[task]), 2);
    lens_ctx_free(ctx);
    setenv("LENSLET_CPUS", "64", 1);
}
#endif

static void signals_stay_with_the_program(void **state) {
    (void)state;
    sigset_t before, after;
    sigemptyset(&before);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    lens_ctx *ctx = test_ctx(4);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int s = 1; s < 32; s++) assert_int_equal(sigismember(&before, s), sigismember(&after, s));
    lens_ctx_free(ctx);
}

static void quotas_are_read_from_the_tree(void **state) {
    (void)state;
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 64], list[TEMPDIR_PATH + 64];
    tempdir_make(dir);
    snprintf(list, sizeof list, "%s/list", dir);
    assert_int_equal(pool_cgroup_cpus(list, dir), 0); /* no list */

    /* Version 2: the tightest level counts, and a part of a CPU is a CPU. */
    put(list, "0::/a/b\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 0);
    snprintf(path, sizeof path, "%s/a", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/a/b", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/a/b/cpu.max", dir);
    put(path, "max 100000\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 0);
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    put(path, "800000 100000\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 8);
    snprintf(path, sizeof path, "%s/a/cpu.max", dir);
    put(path, "250000 100000\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 3);
    put(path, "1000 100000\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 1);
    put(path, "rubbish\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 8);

    /* Version 1, where the group named is not visible and the mount itself has the quota. */
    put(list, "11:cpuset:/x\n4:cpu,cpuacct:/docker/0123\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 0);
    snprintf(path, sizeof path, "%s/cpu,cpuacct", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/cpu,cpuacct/cpu.cfs_quota_us", dir);
    put(path, "150000\n");
    snprintf(path, sizeof path, "%s/cpu,cpuacct/cpu.cfs_period_us", dir);
    put(path, "100000\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 2);
    snprintf(path, sizeof path, "%s/cpu,cpuacct/cpu.cfs_quota_us", dir);
    put(path, "-1\n");
    assert_int_equal(pool_cgroup_cpus(list, dir), 0);
    tempdir_remove(dir);
    assert_true(pool_default_threads() >= 1);
}

static const struct CMUnitTest tests[] = {
    T("statuses have names and fixed numbers", statuses_have_names_and_fixed_numbers),
    T("messages are kept and may quote the last", messages_are_kept_and_may_quote_the_last),
    T("log reaches its hook", log_reaches_its_hook),
    T("contexts are refused with reasons", contexts_are_refused_with_reasons),
    T("environment sets the threads", environment_sets_threads_and_cpus),
    T("memory goes through the hook", memory_goes_through_the_hook),
    T("no context leaks when memory runs out", no_context_leaks_when_memory_runs_out),
    T("large blocks are whole", large_blocks_are_whole),
    T("sizes overflow visibly", sizes_overflow_visibly),
    T("numbers are whole strings in any locale", numbers_are_whole_strings_in_any_locale),
    T("near names are suggested", near_names_are_suggested),
    T("files are read whole or refused", files_are_read_whole_or_refused),
    T("a file is replaced only by commit", a_file_is_replaced_only_by_commit),
    T("a folder that refuses is named", a_folder_that_refuses_is_named),
    T("a full disk keeps the old file", a_full_disk_keeps_the_old_file),
    T("Philox known answers", philox_known_answers),
    T("a stream is its blocks", a_stream_is_its_blocks),
    T("distributions have their moments", distributions_have_their_moments),
    T("permutations hold everything once", permutations_hold_everything_once),
    T("every task runs once", every_task_runs_once),
    T("small work stays with the caller", small_work_stays_with_the_caller),
    T("sleeping workers wake", sleeping_workers_wake),
    T("workers do help", workers_do_help),
    T("the caller waits for the slowest", the_caller_waits_for_the_slowest),
#if defined(__x86_64__) || defined(__aarch64__)
    T("denormals are flushed in tasks only", denormals_are_flushed_in_tasks_only),
#endif
    T("contexts do not disturb each other", contexts_do_not_disturb_each_other),
    T("late workers harm nothing", late_workers_harm_nothing),
#ifdef __linux__
    T("runs follow the affinity mask", runs_follow_the_affinity_mask),
#endif
    T("signals stay with the program", signals_stay_with_the_program),
    T("quotas are read from the tree", quotas_are_read_from_the_tree),
};

TEST_MAIN(tests)
