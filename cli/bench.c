/* bench.c - lenslet bench: times inference or training steps of a net on made-up pictures, whole or
 * layer by layer, and the machine itself.
 *
 * One run is one call of the engine on one batch. After warming up for a fifth of the time (one run at
 * least), runs are timed one by one (one at least); the median is the answer, the fastest is shown beside it. Speeds count the
 * operations of the definition (two for each MAC, whatever the algorithm needs), and stand beside the
 * peak of the machine, measured in the same process just before.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <lenslet/machine.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_RUNS = 1 << 17, MAX_LAYER_RUNS = 1000 };

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
    double peak;   /* GFLOP/s */
    double plan_s; /* of making the session */
    long faults;   /* pages met for the first time during the timed runs */
    double *times; /* --layers: [node][forward, backward][run] in seconds; else NULL */
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
    const lens_node_info *out = &j->m.output; /* a map's every cell counts as a class */
    j->dy =
        take((size_t)j->batch * (size_t)out->c * (size_t)out->h * (size_t)out->w, sizeof(float));
}

static lens_status prepare(cli *c, job *j) {
    uint64_t seed = (uint64_t)whole_of(c, "seed", 0);
    const lens_session_opts opts = { .batch = j->batch, .train = j->train, .timed = j->times };
    lens_status status = LENS_OK;
    j->peak = real_of(c, "peak", 0);
    if (!j->peak) j->peak = lens_machine_gflops(c->ctx, lens_ctx_threads(c->ctx));
    if (!j->m.trained) status = lens_init(j->m.net, "he", seed);
    double start = now();
    if (status == LENS_OK) status = lens_session_new(&j->session, j->m.net, c->ctx, &opts);
    j->plan_s = now() - start;
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

static long page_faults(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_minflt + used.ru_majflt;
}

static double *times_of(const job *j, int node, int pass) {
    return j->times + ((ptrdiff_t)node * 2 + pass) * MAX_LAYER_RUNS;
}

static lens_status keep_times(job *j, int run) {
    lens_node_timing t;
    for (int i = 0; i < lens_net_nodes(j->m.net); i++) {
        lens_status status = lens_timing(j->session, lens_net_node(j->m.net, i), &t);
        if (status != LENS_OK) return status;
        times_of(j, i, 0)[run] = t.forward;
        times_of(j, i, 1)[run] = t.backward;
    }
    return LENS_OK;
}

/* Seconds of each run, sorted. */
static lens_status measure(cli *c, job *j, double *seconds, int *runs) {
    double budget = real_of(c, "seconds", 1), start = now();
    int most = j->times ? MAX_LAYER_RUNS : MAX_RUNS;
    do {
        lens_status status = run_once(c, j);
        if (status != LENS_OK) return status;
    } while (now() - start < budget / 5);
    j->faults = page_faults();
    *runs = 0;
    start = now();
    while (!*runs || (*runs < most && now() - start < budget)) {
        double before = now();
        lens_status status = run_once(c, j);
        seconds[*runs] = now() - before;
        if (status == LENS_OK && j->times) status = keep_times(j, *runs);
        if (status != LENS_OK) return status;
        ++*runs;
    }
    j->faults = page_faults() - j->faults;
    qsort(seconds, (size_t)*runs, sizeof *seconds, by_size);
    return LENS_OK;
}

/* ---- A net ---------------------------------------------------------------------------------- */

/* A MAC is two operations; backward costs a forward for the weights and one for the input. */
static double operations(const job *j) {
    return 2.0 * (double)lens_net_macs(j->m.net) * j->batch * (j->train ? 3.0 : 1.0);
}

static const char *mode_of(const job *j) { return j->train ? "train" : "infer"; }

static double weight_bytes(const lens_net *net) {
    lens_param param;
    double bytes = 0;
    for (int i = 0; i < lens_net_params(net); i++)
        if (lens_net_param(net, i, &param) == LENS_OK)
            bytes += 4.0 * (double)lens_tensor_count(&param.value);
    return bytes;
}

/* The most memory this process has had at a time; 0: not told. (getrusage also counts the process
 * before exec, which may have been somebody's Python.) */
static double resident_bytes(void) {
    char line[128];
    double kilobytes = 0;
    FILE *in = fopen("/proc/self/status", "r");
    while (in && fgets(line, sizeof line, in))
        if (sscanf(line, "VmHWM: %lf", &kilobytes) == 1) break;
    if (in) fclose(in);
    return 1024 * kilobytes;
}

static json_t *report_json(cli *c, const job *j, const double *seconds, int runs) {
    double median = seconds[runs / 2], gflops = operations(j) / median / 1e9;
    lens_memory m;
    lens_session_memory(j->session, &m);
    return json_pack(
        "{s:o,s:s,s:i,s:i,s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "net",
        json_text(lens_net_name(j->m.net)), "mode", mode_of(j), "batch", j->batch, "threads",
        lens_ctx_threads(c->ctx), "isa", lens_ctx_isa(c->ctx), "runs", runs, "ms_min",
        json_number(1e3 * seconds[0]), "ms_median", json_number(1e3 * median), "images_per_s",
        json_number(j->batch / median), "gflops", json_number(gflops), "peak_gflops",
        json_number(j->peak), "percent_of_peak", json_number(100 * gflops / j->peak), "plan_ms",
        json_number(1e3 * j->plan_s), "arena_bytes", (json_int_t)lens_session_bytes(j->session),
        "weight_bytes", (json_int_t)weight_bytes(j->m.net), "page_faults", (json_int_t)j->faults,
        "resident_bytes", (json_int_t)resident_bytes(), "activation_bytes",
        (json_int_t)m.activations, "packed_bytes", (json_int_t)m.packed);
}

static void print_head(cli *c, const job *j) {
    printf("%s, %s, batch %d, %s, %d thread%s, peak %.1f GFLOP/s\n", lens_net_name(j->m.net),
           mode_of(j), j->batch, lens_ctx_isa(c->ctx), lens_ctx_threads(c->ctx),
           lens_ctx_threads(c->ctx) == 1 ? "" : "s", j->peak);
}

static int report(cli *c, const job *j, const double *seconds, int runs) {
    double median = seconds[runs / 2], gflops = operations(j) / median / 1e9;
    double rate = j->batch / median;
    char images[32], arena[32], weights[32];
    if (c->json) return emit(c, report_json(c, j, seconds, runs));
    print_head(c, j);
    printf("median    %.4g ms of %d runs (fastest %.4g ms)\n", 1e3 * median, runs,
           1e3 * seconds[0]);
    if (rate < 100)
        printf("images/s  %.3g\n", rate);
    else
        printf("images/s  %s\n", with_commas((int64_t)rate, images));
    printf("GFLOP/s   %.1f, %.1f %% of the peak\n", gflops, 100 * gflops / j->peak);
    printf("plan      %.2f ms\n", 1e3 * j->plan_s);
    printf("arena     %s beside %s of weights\n",
           as_bytes((double)lens_session_bytes(j->session), arena),
           as_bytes(weight_bytes(j->m.net), weights));
    lens_memory m;
    lens_session_memory(j->session, &m);
    const struct {
        const char *name;
        size_t bytes;
    } part[] = { { "activations", m.activations },
                 { "gradients of the weights", m.gradients },
                 { "packed weights", m.packed }, /* none within a memory limit that is near */
                 { "work space of the threads", m.work } };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (part[i].bytes)
            printf("          %s %s\n", as_bytes((double)part[i].bytes, arena), part[i].name);
    printf("faults    %ld pages\n", j->faults);
    return EXIT_DONE;
}

/* ---- Its layers ----------------------------------------------------------------------------- */

typedef struct layer {
    lens_node_info info;
    lens_node_timing timing;
    double s[2];     /* median: forward, backward */
    double flops[2]; /* of the definition */
    double bytes;    /* of what forward reads and writes at least: inputs, output, parameters */
} layer;

static double values_of(const lens_node_info *info) { return (double)info->c * info->h * info->w; }

static layer layer_of(const job *j, int i, int runs) {
    lens_node *node = lens_net_node(j->m.net, i);
    layer l = { 0 };
    lens_node_info source = { 0 };
    lens_node_info_get(node, &l.info);
    (void)lens_timing(j->session, node, &l.timing); /* it has answered for every run */
    for (int pass = 0; pass < 2; pass++) {
        double *times = times_of(j, i, pass);
        qsort(times, (size_t)runs, sizeof *times, by_size);
        l.s[pass] = times[runs / 2];
    }
    double values = values_of(&l.info);
    for (int k = 0; k < l.info.inputs; k++) {
        lens_node_info_get(lens_node_input(node, k), &source);
        values += values_of(&source);
    }
    l.bytes = 4.0 * (values * j->batch + (double)l.info.parameters);
    l.flops[0] = 2.0 * (double)l.info.macs * j->batch;
    /* The picture's gradient is not asked for. */
    l.flops[1] = l.flops[0] * (strcmp(source.kind ? source.kind : "", "input") ? 2 : 1);
    return l;
}

static json_t *layer_json(const job *j, const layer *l) {
    const lens_node_timing *t = &l->timing;
    json_t *o = json_pack("{s:o,s:s,s:s,s:b,s:o,s:I,s:I}", "name", json_text(l->info.name), "kind",
                          l->info.kind, "what", l->info.label, "merged", t->merged, "forward_ms",
                          json_number(1e3 * l->s[0]), "macs", (json_int_t)l->info.macs, "bytes",
                          (json_int_t)l->bytes);
    const char *key[] = { "forward", "input_gradient", "weight_gradient" };
    const char *by[] = { t->forward_by, t->input_by, t->weight_by };
    for (int pass = 0; pass < (j->train ? 3 : 1); pass++)
        if (by[pass]) json_object_set_new(o, key[pass], json_string(by[pass]));
    if (j->train) json_object_set_new(o, "backward_ms", json_number(1e3 * l->s[1]));
    for (int pass = 0; pass < (j->train ? 2 : 1); pass++)
        if (l->flops[pass] > 0 && l->s[pass] > 0)
            json_object_set_new(o, pass ? "backward_percent_of_peak" : "forward_percent_of_peak",
                                json_number(1e-7 * l->flops[pass] / l->s[pass] / j->peak));
    return o;
}

/* ms, share of a run, GFLOP/s and percent of peak of one pass. */
static void pass_cells(const layer *l, int pass, double run_s, double peak, char cell[4][32]) {
    double s = l->s[pass], gflops = 1e-9 * l->flops[pass] / s;
    for (int i = 0; i < 4; i++) cell[i][0] = 0;
    if (s <= 0) return;
    snprintf(cell[0], 32, "%.3f", 1e3 * s);
    snprintf(cell[1], 32, "%.1f", 100 * s / run_s);
    if (l->flops[pass] <= 0) return;
    snprintf(cell[2], 32, "%.1f", gflops);
    snprintf(cell[3], 32, "%.1f", 100 * gflops / peak);
}

static const char *algorithms(const job *j, const lens_node_timing *t, char buf[80]) {
    snprintf(buf, 80, "%s", t->merged ? "merged" : t->forward_by ? t->forward_by : "");
    if (j->train && t->forward_by && !t->merged)
        snprintf(buf, 80, "%s, %s, %s", t->forward_by, t->input_by, t->weight_by);
    return buf;
}

static int report_layers(cli *c, const job *j, const double *seconds, int runs) {
    const int nodes = lens_net_nodes(j->m.net);
    const double run_s = seconds[runs / 2];
    double sum[2] = { 0 };
    json_t *layers = json_array();
    const char *heads[] = { "layer", "what",    "by",        "MB",      "GB/s", "ms",
                            "%",     "GFLOP/s", "% of peak", "back ms", "%",    "% of peak" };
    table *t = table_new(j->train ? "lllrrrrrrrrr" : "lllrrrrrr", heads);
    for (int i = 0; i < nodes; i++) {
        layer l = layer_of(j, i, runs);
        char by[80], mb[32] = "", rate[32] = "", ahead[4][32], back[4][32];
        sum[0] += l.s[0], sum[1] += l.s[1];
        json_array_append_new(layers, layer_json(j, &l));
        pass_cells(&l, 0, run_s, j->peak, ahead);
        pass_cells(&l, 1, run_s, j->peak, back);
        if (l.timing.merged) l.bytes = 0;
        if (l.bytes > 0) snprintf(mb, sizeof mb, "%.2f", 1e-6 * l.bytes);
        if (l.s[0] > 0) snprintf(rate, sizeof rate, "%.1f", 1e-9 * l.bytes / l.s[0]);
        table_row(t, (const char *[]){ l.info.name, l.info.label, algorithms(j, &l.timing, by), mb,
                                       rate, ahead[0], ahead[1], ahead[2], ahead[3], back[0],
                                       back[1], back[3] });
    }
    if (c->json) {
        json_t *whole = report_json(c, j, seconds, runs);
        json_object_set_new(whole, "layers", layers);
        table_free(t);
        return emit(c, whole);
    }
    json_decref(layers);
    print_head(c, j);
    table_print(t);
    printf("\nforward %.3f ms", 1e3 * sum[0]);
    if (j->train)
        printf(", backward %.3f ms, loss and update", 1e3 * sum[1]);
    else
        printf(", between layers");
    printf(" %.3f ms; a run takes %.3f ms (median of %d), %.1f %% of the peak\n",
           1e3 * (run_s - sum[0] - sum[1]), 1e3 * run_s, runs,
           1e-7 * operations(j) / run_s / j->peak);
    return EXIT_DONE;
}

static int bench_net(cli *c) {
    job j = { .train = has(c, "train") };
    double *seconds = NULL;
    int runs, status = open_argument(c, &j.m, c->operand[0]);
    if (status == EXIT_DONE) {
        j.batch = (int)whole_of(c, "batch", j.train ? 64 : 1);
        seconds = take(MAX_RUNS, sizeof *seconds);
        memset(seconds, 1, MAX_RUNS * sizeof *seconds); /* its pages are not the engine's faults */
        if (has(c, "layers"))
            j.times = take((size_t)lens_net_nodes(j.m.net) * 2 * MAX_LAYER_RUNS, sizeof *j.times);
        lens_status done = prepare(c, &j);
        if (done == LENS_OK) done = measure(c, &j, seconds, &runs);
        status = done != LENS_OK ? fail_status(c, done, WORKING)
                 : j.times       ? report_layers(c, &j, seconds, runs)
                                 : report(c, &j, seconds, runs);
    }
    free(seconds);
    free(j.times);
    lens_optim_free(j.optim);
    lens_session_free(j.session);
    free(j.x.data);
    free(j.label);
    free(j.dy);
    close_model(&j.m);
    return status;
}

/* ---- The machine ---------------------------------------------------------------------------- */

/* Half a cache, so that it holds the bytes of one thread; the last is shared by all. Memory: far more
 * than any cache. */
typedef struct place {
    const char *name;
    size_t bytes;
} place;

static int places_of(int threads, place to[4]) {
    static const char *const names[] = { "L1", "L2", "L3" };
    enum { BEYOND_CACHES = 256 << 20 };
    int count = 0;
    for (int level = 1; level <= 3; level++) {
        size_t bytes = lens_machine_cache(level) / (level == 3 ? (size_t)threads : 1) / 2;
        if (bytes) to[count++] = (place){ names[level - 1], bytes };
    }
    to[count++] = (place){ "memory", BEYOND_CACHES };
    return count;
}

static int bench_machine(cli *c) {
    const int all = lens_ctx_threads(c->ctx);
    json_t *rows = json_array();
    table *t = table_new("lrlrr", (const char *[]){ "what", "threads", "in", "read", "scale" });
    if (!c->json) printf("%s\n", lens_ctx_isa(c->ctx));
    for (int threads = 1;; threads = all) {
        char cell[4][32], bytes[32];
        place at[4];
        double gflops = lens_machine_gflops(c->ctx, threads);
        snprintf(cell[0], sizeof cell[0], "%d", threads);
        snprintf(cell[1], sizeof cell[1], "%.1f GFLOP/s", gflops);
        table_row(t, (const char *[]){ "multiply-adds", cell[0], "registers", cell[1], "" });
        json_t *caches = json_array();
        for (int i = 0, count = places_of(threads, at); i < count; i++) {
            lens_bandwidth b;
            lens_status status = lens_machine_bandwidth(c->ctx, threads, at[i].bytes, &b);
            if (status != LENS_OK) {
                table_free(t);
                json_decref(caches);
                json_decref(rows);
                return fail_status(c, status, WORKING);
            }
            snprintf(cell[1], sizeof cell[1], "%.1f GB/s", b.read);
            snprintf(cell[2], sizeof cell[2], "%.1f GB/s", b.scale);
            snprintf(cell[3], sizeof cell[3], "%s, %s", at[i].name,
                     as_bytes((double)at[i].bytes, bytes));
            table_row(t, (const char *[]){ "bytes", cell[0], cell[3], cell[1], cell[2] });
            json_array_append_new(caches, json_pack("{s:s,s:I,s:o,s:o}", "place", at[i].name,
                                                    "bytes", (json_int_t)at[i].bytes,
                                                    "read_gb_per_s", json_number(b.read),
                                                    "scale_gb_per_s", json_number(b.scale)));
        }
        json_array_append_new(rows, json_pack("{s:i,s:o,s:o}", "threads", threads, "gflops",
                                              json_number(gflops), "bandwidth", caches));
        if (threads == all) break;
    }
    if (c->json)
        table_free(t);
    else
        table_print(t);
    return emit(c, json_pack("{s:s,s:o}", "isa", lens_ctx_isa(c->ctx), "machine", rows));
}

int run_bench(cli *c) {
    if (has(c, "machine") && c->operands)
        return fail(c, EXIT_USAGE, "--machine times no net: leave out %s", c->operand[0]);
    if (has(c, "machine")) return bench_machine(c);
    if (!c->operands) return fail(c, EXIT_USAGE, "bench needs a net (or --machine)");
    return bench_net(c);
}
