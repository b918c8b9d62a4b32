/* tune.c - algorithms by measurement: every work that has a choice is tried alone, each way it can go, and
 * the fastest is taken and remembered. A work is a pass of a shape with a batch; what it was on which
 * machine stands in a wisdom file (format/wisdom.h).
 *
 * Invariant: nothing here can fail but memory. A file that cannot be read, understood or written costs a
 * warning, and what it does not say stays as estimated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tuning.h"
#include "format/wisdom.h"
#include "kern/kern.h"
#include "net/net.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct tuner {
    const lens_net *net;
    lens_ctx *ctx;
    const lens_session_opts *opts;
    char machine[400];
    wisdom known;
    bool keeps; /* the file is ours to write */
    int measured;
} tuner;

static size_t round_up(size_t bytes) { return (bytes + 127) & ~(size_t)127; }

/* ---- Measuring ------------------------------------------------------------------------------ */

/* One way to do a work, with the memory it needs besides the operands. */
typedef struct trial {
    op_algorithm by;
    op_run run;
    char *memory;
    double seconds; /* the best */
} trial;

typedef struct touch_job {
    const struct kern *kern;
    const float *x;
    size_t count;
} touch_job;

enum { PIECE = 16384 };

static void touch_piece(void *arg, int task, int thread) {
    const touch_job *t = arg;
    size_t at = (size_t)task * PIECE, left = t->count - at;
    (void)thread;
    (void)t->kern->read(left < PIECE ? left : PIECE, t->x + at);
}

/* Reads x through the caches of all threads. */
static void touch(const tuner *t, const float *x, size_t count) {
    touch_job job = { ctx_kern(t->ctx), x, count };
    pool_run(ctx_pool(t->ctx), (int)((count + PIECE - 1) / PIECE), PIECE / 8.0, touch_piece, &job);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* As in a net: its other weights have passed through the caches since this layer had its turn, and
 * the operands have just been written. */
static double time_once(const tuner *t, const trial *it, op_pass pass) {
    const op_node *d = it->run.node;
    size_t sweep = TUNE_SWEEP_BYTES / sizeof(float), n = (size_t)it->run.n;
    touch(t, t->net->weights, t->net->weight_floats < sweep ? t->net->weight_floats : sweep);
    if (pass != OP_INPUT_GRAD) touch(t, it->run.x[0], n * shape_count(d->in[0]));
    if (pass != OP_FORWARD) touch(t, it->run.dy, n * shape_count(d->out));
    double start = now();
    (pass == OP_FORWARD ? d->kind->forward : d->kind->backward)(&it->run);
    return now() - start;
}

static lens_status prepare(const tuner *t, trial *it, op_pass pass) {
    op_run *run = &it->run;
    int threads = lens_ctx_threads(t->ctx);
    run->by.of[pass] = it->by;
    op_plan need = { .by = run->by };
    run->node->kind->plan(run->node, run->kern, threads, run->batch, t->opts->train, &need);
    run->thread_stride = round_up(need.thread_scratch);
    size_t cache = round_up(need.cache), scratch = round_up(need.scratch);
    it->memory = ctx_alloc(t->ctx, cache + scratch + (size_t)threads * run->thread_stride, 1);
    run->cache = cache ? it->memory : NULL;
    run->scratch = it->memory + cache;
    run->thread_scratch = it->memory + cache + scratch;
    return it->memory ? LENS_OK : LENS_NOMEM;
}

/* In turns, so that a machine that slows down slows all; the first turn packs, builds tables and meets
 * pages for the first time. Returns the fastest. */
static const trial *compete(const tuner *t, trial *trials, int count, op_pass pass,
                            const char *work) {
    const trial *best = trials;
    double start = now();
    for (int round = 0; round < TUNE_ROUNDS; round++) {
        if (round > 2 && now() - start > TUNE_SECONDS) break;
        for (int i = 0; i < count; i++) {
            trials[i].run.repack = round == 0 || t->opts->train;
            double seconds = time_once(t, &trials[i], pass);
            if (round < 2 || seconds < trials[i].seconds) trials[i].seconds = seconds;
        }
    }
    for (int i = 0; i < count; i++) {
        if (trials[i].seconds < best->seconds) best = &trials[i];
        ctx_log(t->ctx, LENS_LOG_INFO, "%s: %s %.4f ms", work, op_algorithm_name[trials[i].by],
                1e3 * trials[i].seconds);
    }
    return best;
}

static lens_status measure(const tuner *t, const lens_node *node, op_pass pass, const char *work,
                           const op_algorithm *way, int ways, op_algorithm *best) {
    const op_node *d = &node->op;
    size_t in = shape_count(d->in[0]) * (size_t)t->opts->batch + LENS_SLACK,
           out = shape_count(d->out) * (size_t)t->opts->batch + LENS_SLACK;
    lens_status status = LENS_NOMEM;
    trial trials[OP_ALGORITHMS] = { 0 };
    float *x = ctx_alloc(t->ctx, in, sizeof *x), *y = ctx_alloc(t->ctx, out, sizeof *y),
          *dw = ctx_alloc(t->ctx, d->param[0].count, sizeof *dw);
    const float *inputs[] = { x };
    float *dx[] = { pass == OP_INPUT_GRAD ? x : NULL }, *param[OP_MAX_PARAMS] = { 0 },
          *dparam[OP_MAX_PARAMS] = { pass == OP_WEIGHT_GRAD ? dw : NULL };
    if (!x || !y || !dw) goto done;
    /* Some number, so that every page is there: 0x3c3c3c3c is 0.0115. */
    memset(x, 0x3c, in * sizeof *x);
    memset(y, 0x3c, out * sizeof *y);
    for (int k = 0; k < d->params; k++)
        param[k] = t->net->weights + t->net->param[node->first_param + k].offset;
    for (int i = 0; i < ways; i++) {
        trials[i].by = way[i];
        trials[i].run = (op_run){ .node = d,
                                  .kern = ctx_kern(t->ctx),
                                  .pool = ctx_pool(t->ctx),
                                  .n = t->opts->batch,
                                  .batch = t->opts->batch,
                                  .train = t->opts->train,
                                  .x = inputs,
                                  .y = y,
                                  .param = param,
                                  .dy = y,
                                  .dx = dx,
                                  .dparam = dparam };
        status = prepare(t, &trials[i], pass);
        if (status != LENS_OK) goto done;
    }
    *best = compete(t, trials, ways, pass, work)->by;
done:
    for (int i = 0; i < ways; i++) ctx_free(t->ctx, trials[i].memory);
    ctx_free(t->ctx, x);
    ctx_free(t->ctx, y);
    ctx_free(t->ctx, dw);
    return status;
}

/* ---- Choosing ------------------------------------------------------------------------------- */

/* MACHINE<tab>WORK: all that a time depends on. Only kernels of 3x3 and 5x5 and step 1 have a choice, so label and
 * shapes say the rest. */
static void key_of(const tuner *t, const op_node *d, op_pass pass, char *key, size_t size) {
    static const char *const name[] = { "forward", "input gradient", "weight gradient" };
    snprintf(key, size, "%s\t%s, %dx%dx%d to %dx%dx%d, batch %d, %s", t->machine, d->label,
             d->in[0].c, d->in[0].h, d->in[0].w, d->out.c, d->out.h, d->out.w, t->opts->batch,
             t->opts->train ? name[pass] : "inference");
}

static lens_status choose(tuner *t, const lens_node *node, op_pass pass, op_algorithm *by) {
    const op_node *d = &node->op;
    char key[600];
    op_algorithm way[OP_ALGORITHMS];
    size_t size;
    int ways = 0;
    for (op_algorithm a = OP_DIRECT; a < OP_ALGORITHMS; a++)
        if (d->kind->algorithm(d, pass, a) == a) way[ways++] = a;
    if (ways < 2) return LENS_OK;
    key_of(t, d, pass, key, sizeof key);
    const char *work = strchr(key, '\t') + 1;
    const char *found = wisdom_find(&t->known, key, &size);
    if (!found && ctx_tunes(t->ctx)) {
        LENS_TRY(measure(t, node, pass, work, way, ways, by));
        t->measured++;
        return wisdom_add(t->ctx, &t->known, key, op_algorithm_name[*by]);
    }
    for (int i = 0; found && i < ways; i++)
        if (strlen(op_algorithm_name[way[i]]) == size &&
            !memcmp(op_algorithm_name[way[i]], found, size)) {
            *by = way[i];
            return LENS_OK;
        }
    if (found)
        ctx_log(t->ctx, LENS_LOG_WARN, "wisdom: %s cannot be done by \"%.*s\": left as estimated",
                work, (int)size, found);
    return LENS_OK;
}

/* ---- The file ------------------------------------------------------------------------------- */

static lens_status recall(tuner *t) {
    const char *path = ctx_wisdom(t->ctx);
    size_t size;
    LENS_TRY(wisdom_new(t->ctx, &t->known));
    t->keeps = path && ctx_tunes(t->ctx);
    if (!path || (t->keeps && access(path, F_OK) != 0)) return LENS_OK;
    wisdom file;
    lens_status status = wisdom_read(t->ctx, &file, path);
    if (status == LENS_NOMEM) return status;
    if (status != LENS_OK) {
        ctx_log(t->ctx, LENS_LOG_WARN, "wisdom: %s: the file is ignored", lens_why(t->ctx));
        t->keeps = false;
        return LENS_OK;
    }
    ctx_free(t->ctx, t->known.text);
    t->known = file;
    if (!wisdom_find(&file, t->machine, &size))
        ctx_log(t->ctx, LENS_LOG_WARN, "wisdom: %s: no line is for this machine, \"%s\"", path,
                t->machine);
    return LENS_OK;
}

static void keep(const tuner *t) {
    if (!t->keeps || !t->measured) return;
    if (lens_file_write(t->ctx, ctx_wisdom(t->ctx), t->known.text, t->known.size) != LENS_OK)
        ctx_log(t->ctx, LENS_LOG_WARN, "wisdom: %s: what was measured is not kept",
                lens_why(t->ctx));
}

lens_status tune_choose(const lens_net *net, lens_ctx *ctx, const lens_session_opts *opts,
                        plan_node *node) {
    tuner t = { .net = net, .ctx = ctx, .opts = opts };
    char cpu[256];
    if (!ctx_tunes(ctx) && !ctx_wisdom(ctx)) return LENS_OK;
    kern_cpu(cpu, sizeof cpu);
    snprintf(t.machine, sizeof t.machine, "lenslet %s, %s, %d threads, %s", lens_version(),
             lens_ctx_isa(ctx), lens_ctx_threads(ctx), cpu);
    lens_status status = recall(&t);
    for (int i = 0; status == LENS_OK && i < net->nodes; i++) {
        if (!net->node[i]->op.kind->algorithm || (net->node[i]->training && !opts->train)) continue;
        for (op_pass pass = 0; pass < (opts->train ? OP_PASSES : 1) && status == LENS_OK; pass++)
            status = choose(&t, net->node[i], pass, &node[i].by.of[pass]);
    }
    if (status == LENS_OK) keep(&t);
    ctx_free(ctx, t.known.text);
    return status;
}
