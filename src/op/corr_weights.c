/* corr_weights.c - the gradients of a convolution's weights and biases. See corr.h and weights.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/weights.h"
#include <string.h>

/* Outer products once channels and maps fill a vector. */
static const weights_way *way_of(const conv_shape *s, const struct kern *kern) {
    bool outer = s->c / s->groups >= kern->lanes && s->o / s->groups >= kern->lanes;
    return outer ? &weights_outer : &weights_dots;
}

size_t corr_table_bytes(const conv_shape *s, const struct kern *kern) {
    corr c;
    panel_lay_out(&c, s, way_of(s, kern)->purpose);
    return panel_tables_bytes(&c);
}

void corr_build_tables(corr *c, const conv_shape *s, const struct kern *kern) {
    panel_build(c, s, way_of(s, kern)->purpose, kern);
}

static size_t weight_floats(const conv_shape *s) {
    return (size_t)s->o * (size_t)(s->c / s->groups) * (size_t)(s->kh * s->kw);
}

/* How many partial sums the images are split into: by shape alone. Several let small layers run in
 * parallel without sharing an accumulator; large layers have tiles enough for every thread. */
static int chunks_of(const conv_shape *s, int n) {
    size_t bytes = sizeof(float) * weight_floats(s);
    return bytes * TUNE_TASKS <= TUNE_CHUNK_BYTES ? imin(n, TUNE_TASKS) : 1;
}

/* True if the sum is dw as it is. */
static bool in_place(const conv_shape *s, const weights_way *way, int chunks) {
    return chunks == 1 && (!way->by_tap || s->kh * s->kw == 1);
}

size_t corr_weights_bytes(const conv_shape *s, const struct kern *kern, int batch) {
    int chunks = chunks_of(s, batch);
    bool none = in_place(s, way_of(s, kern), chunks);
    return none ? 0 : sizeof(float) * weight_floats(s) * (size_t)chunks;
}

size_t corr_weights_thread_bytes(const conv_shape *s, const struct kern *kern, int batch) {
    corr c;
    const weights_way *way = way_of(s, kern);
    panel_lay_out(&c, s, way->purpose);
    return way->thread_bytes(&c, kern, batch);
}

typedef struct run_job {
    weights_job w;
    const weights_way *way;
    int n, chunks;
    float *sums; /* [chunks][o][taps] */
    float *dw;
} run_job;

static void sum_task(void *arg, int task, int thread) {
    const run_job *r = arg;
    const corr *c = r->w.c;
    int groups = c->s.groups, sum = task / r->w.parts, group = sum % groups, chunk = sum / groups;
    r->way->run(&r->w,
                &(weights_sum){
                    .group = group,
                    .first = (int)((int64_t)chunk * r->n / r->chunks),
                    .end = (int)((int64_t)(chunk + 1) * r->n / r->chunks),
                    .part = task % r->w.parts,
                    .out = r->sums + (size_t)chunk * weight_floats(&c->s) +
                           (size_t)group * (size_t)c->out_c * (size_t)c->taps,
                    .scratch = (char *)r->w.thread_scratch + (size_t)thread * r->w.thread_stride,
                });
}

/* One map: adds up its chunks and brings them into the order of dw. */
static void fold_task(void *arg, int map, int thread) {
    const run_job *r = arg;
    const struct kern *kern = r->w.kern;
    (void)thread;
    int taps = r->w.c->taps, kk = r->w.c->s.kh * r->w.c->s.kw;
    float *sum = r->sums + (size_t)map * (size_t)taps, *dw = r->dw + (size_t)map * (size_t)taps;
    for (int chunk = 1; chunk < r->chunks; chunk++)
        kern->add((size_t)taps, sum, sum + (size_t)chunk * weight_floats(&r->w.c->s), sum);
    if (r->way->by_tap && kk > 1)
        kern->transpose(kk, taps / kk, sum, taps / kk, dw, kk);
    else
        memcpy(dw, sum, sizeof *dw * (size_t)taps);
}

void corr_weights(const corr *tables, const struct kern *kern, pool *workers, int n, const float *x,
                  const float *dy, float *dw, void *scratch, void *thread_scratch,
                  size_t thread_stride) {
    const conv_shape *s = &tables->s;
    run_job r = { { tables, kern, x, dy, up(n, chunks_of(s, n)), 1, thread_scratch, thread_stride },
                  way_of(s, kern),
                  n,
                  chunks_of(s, n),
                  scratch,
                  dw };
    bool direct = in_place(s, r.way, r.chunks);
    if (direct) r.sums = dw;
    int tasks = r.chunks * s->groups;
    double macs = (double)weight_floats(s) * s->oh * s->ow * n / tasks;
    r.w.parts = r.way->parts(&r.w, tasks, pool_active(workers), macs);
    pool_run(workers, tasks * r.w.parts, macs / r.w.parts / MACS_PER_NS, sum_task, &r);
    if (!direct) pool_run(workers, s->o, 0.3 * r.chunks * tables->taps, fold_task, &r);
}

typedef struct bias_job {
    const struct kern *kern;
    int n, o;
    size_t plane;
    const float *dy;
    float *db;
} bias_job;

static void bias_task(void *arg, int task, int thread) {
    const bias_job *b = arg;
    (void)thread;
    double sum = 0;
    for (int i = 0; i < b->n; i++)
        sum += b->kern->sum(b->plane, b->dy + ((size_t)i * (size_t)b->o + (size_t)task) * b->plane);
    b->db[task] = (float)sum;
}

void corr_bias(const struct kern *kern, pool *workers, int n, int o, size_t plane, const float *dy,
               float *db) {
    bias_job b = { kern, n, o, plane, dy, db };
    pool_run(workers, o, 0.1 * n * (double)plane, bias_task, &b);
}
