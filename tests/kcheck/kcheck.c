/* kcheck.c - runs every slot of every level this CPU has against the oracle of tests/ref.
 *
 *   kcheck [--seed N] [--level NAME] [--slot NAME] [--full]      check; exit status 1 if a case failed
 *   kcheck --bench [--level NAME] [SHAPES.txt ...]      rates of tile and dot (bench/shapes/lenet5.txt)
 *   kcheck --errors [--level NAME] [SHAPES.txt ...]     errors of every algorithm (`make errors`)
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/kcheck/kcheck.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ARRAYS_MAX = 24,    /* of one case */
    FAILURES_SHOWN = 5, /* of one slot; the rest is counted */
    APRON = 64,         /* bytes before an array that must not change */
    APRON_BYTE = 0xa5,
    SLOT_SECONDS = 120, /* a slot that takes longer hangs */
};

/* Lives in memory shared with the child that runs a slot. */
typedef struct tally {
    long passed, failed;
    bool open; /* between case_begin and case_end */
    char where[256];
} tally;

typedef struct guarded {
    char *map, *array;
    size_t map_size;
} guarded;

struct check {
    const struct kern *kern;
    const char *slot;
    uint64_t seed, random;
    tally *tally;
    bool bad; /* the running case failed */
    guarded array[ARRAYS_MAX];
    int arrays;
};

const struct kern *check_kern(const check *c) { return c->kern; }

/* ---- random numbers: splitmix64 (Steele, Lea and Flood 2014) ---- */

static uint64_t random_next(check *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
uint32_t pick(check *c, uint32_t n) { return (uint32_t)((random_next(c) >> 32) * n >> 32); }
float pick_float(check *c, float low, float high) {
    const float unit = (float)(random_next(c) >> 40) * 0x1p-24F;
    return low + (high - low) * unit;
}

/* ---- cases ---- */

void case_begin(check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->tally->where, sizeof c->tally->where, format, args);
    va_end(args);
    c->tally->open = true;
    c->bad = false;
}

__attribute__((format(printf, 2, 3))) static void case_fail(check *c, const char *format, ...) {
    if (!c->bad && c->tally->failed < FAILURES_SHOWN) {
        va_list args;
        printf("FAIL %s %s [%s]: ", c->kern->name, c->slot, c->tally->where);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf(" (seed %llu)\n", (unsigned long long)c->seed);
    }
    c->bad = true;
}

void case_end(check *c) {
    for (int i = 0; i < c->arrays; i++) {
        const guarded *g = &c->array[i];
        const char *low = g->array - APRON < g->map ? g->map : g->array - APRON;
        for (const char *p = low; p < g->array; p++)
            if ((uint8_t)*p != APRON_BYTE) {
                case_fail(c, "array %d: byte %d before it was written", i, (int)(g->array - p));
                break;
            }
        munmap(g->map, g->map_size);
    }
    c->arrays = 0;
    if (c->bad)
        c->tally->failed++;
    else
        c->tally->passed++;
    c->tally->open = false;
}

void case_near(check *c, const char *what, size_t index, double got, double want,
               double tolerance) {
    if (fabs(got - want) <= tolerance || got == want || (isnan(got) && isnan(want))) return;
    case_fail(c, "%s[%zu] = %.9g, expected %.9g +- %.3g", what, index, got, want, tolerance);
}

void case_true(check *c, bool holds, const char *what) {
    if (!holds) case_fail(c, "not so: %s", what);
}

/* ---- arrays ---- */

static void *guarded_new(check *c, size_t bytes, size_t slack) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t used = (bytes + slack + APRON + page - 1) / page * page;
    if (c->arrays == ARRAYS_MAX) abort();
    char *map = mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + used, page, PROT_NONE)) {
        perror("kcheck: mmap");
        exit(1);
    }
    char *array = map + used - slack - bytes;
    memset(map, APRON_BYTE, (size_t)(array - map));
    c->array[c->arrays++] = (guarded){ map, array, used + page };
    return array;
}

float *case_array(check *c, size_t n, int slack) {
    float *x = guarded_new(c, n * sizeof *x, (size_t)slack * sizeof *x);
    for (size_t i = 0; i < n + (size_t)slack; i++) x[i] = NAN;
    return x;
}
float *case_random(check *c, size_t n, int slack) {
    float *x = case_array(c, n, slack);
    for (size_t i = 0; i < n; i++) x[i] = pick_float(c, -1, 1);
    return x;
}
float *case_copy(check *c, size_t n, const float *from) {
    float *x = case_array(c, n, NO_SLACK);
    if (n) memcpy(x, from, n * sizeof *x);
    return x;
}
uint8_t *case_bytes(check *c, size_t n) {
    uint8_t *x = guarded_new(c, n, 0);
    memset(x, 0xee, n);
    return x;
}

bool same_floats(size_t n, const float *a, const float *b) {
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

/* ---- levels and slots ---- */

/* Runs the slot in a child; what it counted, and a crash as one failed case, is added to *total. */
static void run_slot(const struct kern *kern, const check_slot *slot, uint64_t seed, tally *shared,
                     tally *total) {
    memset(shared, 0, sizeof *shared);
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) {
        perror("kcheck: fork");
        exit(1);
    }
    if (child == 0) {
        check c = {
            .kern = kern, .slot = slot->name, .seed = seed, .random = seed, .tally = shared
        };
        for (const char *p = slot->name; *p; p++) c.random = c.random * 31 + (uint8_t)*p;
        alarm(SLOT_SECONDS);
        slot->run(&c);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status))) {
        printf("FAIL %s %s [%s]: %s (seed %llu)\n", kern->name, slot->name,
               shared->open ? shared->where : "outside a case",
               WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exited",
               (unsigned long long)seed);
        shared->failed++;
    }
    if (shared->passed + shared->failed == 0) {
        printf("FAIL %s %s: no case ran\n", kern->name, slot->name);
        shared->failed++;
    }
    total->passed += shared->passed;
    total->failed += shared->failed;
}

static int usage(void) {
    fprintf(stderr, "usage: kcheck [--seed N] [--level NAME] [--slot NAME] [--full]\n"
                    "       kcheck --bench [--level NAME] [SHAPES.txt ...]\n"
                    "       kcheck --errors [--level NAME] [SHAPES.txt ...]\n");
    return 2;
}

int main(int argc, char **argv) {
    static const check_slot *const groups[] = { matrix_slots, array_slots,    pool_slots,
                                                row_slots,    winograd_slots, layer_slots };
    const struct kern *level[4];
    const char *only_level = NULL, *only_slot = NULL;
    bool bench = false, errors = false;
    uint64_t seed = (uint64_t)time(NULL);
    int i = 1, count = kern_levels(level);

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--bench") == 0)
            bench = true;
        else if (strcmp(argv[i], "--errors") == 0)
            errors = true;
        else if (strcmp(argv[i], "--full") == 0)
            shapes_full = true;
        else if (i + 1 == argc)
            return usage();
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--level") == 0)
            only_level = argv[++i];
        else if (strcmp(argv[i], "--slot") == 0)
            only_slot = argv[++i];
        else
            return usage();
    }
    if (i < argc && !bench && !errors) return usage();
    if (only_level) {
        char why[200];
        level[0] = kern_select(only_level, why, sizeof why);
        if (!level[0]) {
            fprintf(stderr, "kcheck: %s\n", why);
            return 2;
        }
        count = 1;
    }
    if (errors) return errors_run(level[count - 1], (const char *const *)argv + i, argc - i);
    if (bench) return bench_run(level, count, (const char *const *)argv + i, argc - i);

    if (!shapes_load()) {
        fprintf(stderr, "kcheck: no layer in %s/bench/shapes\n", TEST_SOURCE_DIR);
        return 1;
    }
    tally *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("kcheck: mmap");
        return 1;
    }
    tally all = { 0 };
    printf("seed %llu\n", (unsigned long long)seed);
    for (int l = 0; l < count; l++) {
        tally of_level = { 0 };
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            for (const check_slot *slot = groups[g]; slot->name; slot++)
                if (!only_slot || strcmp(only_slot, slot->name) == 0)
                    run_slot(level[l], slot, seed, shared, &of_level);
        printf("%s: %ld passed, %ld failed\n", level[l]->name, of_level.passed, of_level.failed);
        all.passed += of_level.passed;
        all.failed += of_level.failed;
    }
    printf("%ld passed, %ld failed\n", all.passed, all.failed);
    return all.failed || all.passed == 0 ? 1 : 0;
}
