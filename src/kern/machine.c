/* machine.c - the limits of this machine, measured by kernels of the level in use.
 *
 * A try is one run of the pool in which every thread repeats a kernel on memory of its own; the best
 * try counts, since everything that can go wrong makes it slower.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/pool.h"
#include "kern/kern.h"
#include <lenslet/machine.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A try takes TRY_NS or so, long beside the few microseconds of waking a thread. */
enum { TRIES = 6, TRY_NS = 8000000, STEPS = 4096 };

typedef struct probe {
    const struct kern *kern;
    void (*once)(const struct probe *, int task);
    float *memory;
    size_t floats; /* of each task */
    int repeats;
} probe;

static void compute(const probe *p, int task) {
    float x[PROBE_CHAINS * LENS_SLACK] = { (float)task };
    p->kern->fma_chains(STEPS, x);
}

/* The sum goes back into memory, so that no compiler can leave it out. */
static void load(const probe *p, int task) {
    float *x = p->memory + (size_t)task * p->floats;
    x[0] = 0 * p->kern->read(p->floats, x);
}

static void scale(const probe *p, int task) {
    float *x = p->memory + (size_t)task * p->floats;
    p->kern->scale_shift(p->floats / 2, 0.5F, 0, ACT_NONE, 0, x, x + p->floats / 2);
}

static void repeat(void *arg, int task, int thread) {
    const probe *p = arg;
    (void)thread;
    for (int i = 0; i < p->repeats; i++) p->once(p, task);
}

static double seconds_of(lens_ctx *ctx, int threads, probe *p) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    pool_run(ctx_pool(ctx), threads, TRY_NS, repeat, p);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* 10^9 units a second of all threads, when `once` does `units`. */
static double best_rate(lens_ctx *ctx, int threads, probe *p, double units) {
    double best = 0;
    p->repeats = 1;
    while (p->repeats < 1 << 28 && seconds_of(ctx, threads, p) < 0.5e-9 * TRY_NS) p->repeats *= 2;
    for (int i = 0; i < TRIES; i++) {
        double rate = units * p->repeats * threads / seconds_of(ctx, threads, p);
        if (rate > best) best = rate;
    }
    return 1e-9 * best;
}

static int within(lens_ctx *ctx, int threads) {
    int most = pool_threads(ctx_pool(ctx));
    return threads < 1 ? 1 : threads > most ? most : threads;
}

double lens_machine_gflops(lens_ctx *ctx, int threads) {
    probe p = { .kern = ctx_kern(ctx), .once = compute };
    return best_rate(ctx, within(ctx, threads), &p, 2.0 * PROBE_CHAINS * STEPS * p.kern->lanes);
}

lens_status lens_machine_bandwidth(lens_ctx *ctx, int threads, size_t bytes, lens_bandwidth *out) {
    threads = within(ctx, threads);
    size_t floats = bytes / sizeof(float) / 32 * 32, all; /* two halves of whole cache lines */
    if (!floats) floats = 32;
    if (!mul_size(floats, (size_t)threads, &all)) return ctx_nomem(ctx, bytes, "a probe's memory");
    probe p = { .kern = ctx_kern(ctx), .floats = floats };
    p.memory = ctx_alloc(ctx, all, sizeof *p.memory);
    if (!p.memory) return LENS_NOMEM;
    /* Pages that nobody has written are all one page of zeros, which reads would find in L2. */
    memset(p.memory, 0, all * sizeof *p.memory);
    p.once = load;
    out->read = best_rate(ctx, threads, &p, 4.0 * (double)floats);
    p.once = scale;
    out->scale = best_rate(ctx, threads, &p, 4.0 * (double)floats);
    ctx_free(ctx, p.memory);
    return LENS_OK;
}

static bool names_cpu(const char *field, size_t length) {
    static const char *const names[] = { "model name", "cpu family",      "model",
                                         "stepping",   "CPU implementer", "CPU variant",
                                         "CPU part",   "CPU revision" };
    for (size_t i = 0; i < LENS_COUNT(names); i++)
        if (strlen(names[i]) == length && !memcmp(names[i], field, length)) return true;
    return false;
}

void kern_cpu(char *text, size_t size) {
    char line[256];
    size_t at = 0;
    FILE *in = fopen("/proc/cpuinfo", "re");
    text[0] = 0;
    while (in && fgets(line, sizeof line, in) && line[0] != '\n') { /* "model name\t: AMD EPYC" */
        const char *value = strchr(line, ':');
        size_t field = strcspn(line, "\t:");
        if (!value || !names_cpu(line, field) || at >= size) continue;
        line[strcspn(line, "\n")] = 0;
        value += 1 + strspn(value + 1, " ");
        at += (size_t)snprintf(text + at, size - at, "%s%.*s %s", at ? ", " : "", (int)field, line,
                               value);
    }
    if (in) fclose(in);
    for (; *text; text++)
        if (*text < ' ' || *text > '~') *text = '?';
}

size_t lens_machine_cache(int level) {
    for (int i = 0; i < 8; i++) {
        static const char *const field[] = { "level", "type", "size" };
        char path[80], word[3][24];
        for (int f = 0; f < 3; f++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i,
                     field[f]);
            FILE *in = fopen(path, "r");
            if (!in) return 0;
            if (fscanf(in, "%23s", word[f]) != 1) word[f][0] = 0;
            fclose(in);
        }
        char unit = 0;
        unsigned long size = 0;
        if (atoi(word[0]) != level || strcmp(word[1], "Instruction") == 0) continue;
        sscanf(word[2], "%lu%c", &size, &unit);
        return (size_t)size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
    }
    return 0;
}
