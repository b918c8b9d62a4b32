/* bench.c - lenslet bench: times inference or training steps of a net on made-up pictures.
 *
 * One run is one call of the engine on one batch. After warming up for a fifth of the time, runs are
 * timed one by one; the median is the answer, the fastest is shown beside it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MIN_RUNS = 3, MAX_RUNS = 1000000 };

typedef struct job {
    model m;
    bool train;
    int batch;
    lens_tensor x;
    int32_t *label;
    float *dy;
    lens_session *session;
    lens_optim *optim;
    uint32_t step;
} job;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Pictures of a plain congruential generator (Knuth's MMIX constants), in -1..1. */
static void make_pictures(job *j, uint64_t seed) {
    const lens_node_info *in = &j->m.input;
    uint64_t state = seed;
    j->x.rank = in->rank;
    const int dims[] = { in->c, in->rank == 4 ? in->h : in->w, in->w };
    j->x.dim[0] = j->batch;
    for (int d = 1; d < j->x.rank; d++) j->x.dim[d] = dims[d - 1];
    size_t count = (size_t)lens_tensor_count(&j->x);
    j->x.data = take(count, sizeof(float));
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        j->x.data[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
    j->label = take((size_t)j->batch, sizeof *j->label);
    for (int i = 0; i < j->batch; i++) j->label[i] = i % j->m.classes;
    j->dy = take((size_t)j->batch * (size_t)j->m.classes, sizeof(float));
}

static lens_status prepare(cli *c, job *j) {
    uint64_t seed = (uint64_t)whole_of(c, "seed", 0);
    const lens_session_opts opts = { .batch = j->batch, .train = j->train };
    lens_status status = LENS_OK;
    if (!j->m.trained) status = lens_init(j->m.net, "he", seed);
    if (status == LENS_OK) status = lens_session_new(&j->session, j->m.net, c->ctx, &opts);
    if (status == LENS_OK && j->train)
        status = lens_optim_new(&j->optim, j->m.net, &(lens_optim_opts){ .momentum = 0.9 });
    if (status == LENS_OK) make_pictures(j, seed);
    return status;
}

/* A rate of 0 keeps the weights finite however long it runs; the update costs the same. */
static lens_status run_once(cli *c, job *j) {
    lens_tensor y;
    if (!j->train) return lens_run(j->session, &j->x, &y);
    lens_status status = lens_forward(j->session, &j->x, j->step++, &y);
    lens_tensor dy = y;
    dy.data = j->dy;
    if (status == LENS_OK)
        status = lens_loss_eval(c->ctx, &(lens_loss){ 0 }, &y, j->label, NULL, NULL, &dy);
    if (status == LENS_OK) status = lens_backward(j->session, &dy);
    if (status == LENS_OK) status = lens_optim_step(j->optim, j->session, 0);
    return status;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of each run, sorted. */
static lens_status measure(cli *c, job *j, double *seconds, int *runs) {
    double budget = real_of(c, "seconds", 1), start = now();
    for (int i = 0; i < MIN_RUNS || now() - start < budget / 5; i++) {
        lens_status status = run_once(c, j);
        if (status != LENS_OK) return status;
    }
    *runs = 0;
    start = now();
    for (double before = start; *runs < MAX_RUNS;) {
        lens_status status = run_once(c, j);
        if (status != LENS_OK) return status;
        double after = now();
        seconds[(*runs)++] = after - before;
        before = after;
        if (*runs >= MIN_RUNS && after - start >= budget) break;
    }
    qsort(seconds, (size_t)*runs, sizeof *seconds, by_size);
    return LENS_OK;
}

static int report(cli *c, const job *j, const double *seconds, int runs) {
    double least = seconds[0], median = seconds[runs / 2];
    /* Backward costs a forward for the weights and one for the input; a MAC is two operations. */
    double operations = 2.0 * (double)lens_net_macs(j->m.net) * j->batch * (j->train ? 3.0 : 1.0);
    double speed = j->batch / median, gflops = operations / median / 1e9;
    const char *mode = j->train ? "train" : "infer";
    size_t arena = lens_session_bytes(j->session);
    if (c->json)
        return emit(c,
                    json_pack("{s:o,s:s,s:i,s:i,s:s,s:i,s:o,s:o,s:o,s:o,s:I}", "net",
                              json_text(lens_net_name(j->m.net)), "mode", mode, "batch", j->batch,
                              "threads", lens_ctx_threads(c->ctx), "isa", lens_ctx_isa(c->ctx),
                              "runs", runs, "ms_min", json_number(1e3 * least), "ms_median",
                              json_number(1e3 * median), "images_per_s", json_number(speed),
                              "gflops", json_number(gflops), "arena_bytes", (json_int_t)arena));
    char images[32], bytes[32];
    printf("%s, %s, batch %d, %s, %d thread%s\n", lens_net_name(j->m.net), mode, j->batch,
           lens_ctx_isa(c->ctx), lens_ctx_threads(c->ctx),
           lens_ctx_threads(c->ctx) == 1 ? "" : "s");
    printf("median    %.4g ms of %d runs (fastest %.4g ms)\n", 1e3 * median, runs, 1e3 * least);
    printf("images/s  %s\n", with_commas((int64_t)speed, images));
    printf("GFLOP/s   %.1f\n", gflops);
    printf("arena     %s\n", as_bytes((double)arena, bytes));
    return EXIT_DONE;
}

int run_bench(cli *c) {
    job j = { .train = has(c, "train") };
    double *seconds = NULL;
    int runs, status = open_argument(c, &j.m, c->operand[0]);
    if (status == EXIT_DONE) {
        j.batch = (int)whole_of(c, "batch", j.train ? 64 : 1);
        seconds = take(MAX_RUNS, sizeof *seconds);
        lens_status done = prepare(c, &j);
        if (done == LENS_OK) done = measure(c, &j, seconds, &runs);
        status = done == LENS_OK ? report(c, &j, seconds, runs) : fail_status(c, done, WORKING);
    }
    free(seconds);
    lens_optim_free(j.optim);
    lens_session_free(j.session);
    free(j.x.data);
    free(j.label);
    free(j.dy);
    close_model(&j.m);
    return status;
}
