/* pool.c - persistent workers with a static partition; contract in pool.h.
 *
 * A run is published by adding one to `epoch`. Workers poll the epoch for POOL_SPIN_NS and then
 * sleep on `wake`; the caller does its share, polls `pending`, then sleeps on `done`. Invariant of
 * both sleeps: whoever sleeps first says so (sleepers, caller_sleeps) and then looks again; whoever
 * publishes changes the number first and then asks for sleepers. All four accesses are sequentially
 * consistent, so one of the two always sees the other.
 *
 * A share belongs to whoever moves the worker's `claim` to the epoch: normally the worker, but the
 * caller takes what nobody has begun when its own share is done. So a worker that sleeps, or has lost
 * its CPU to another process, costs at most its help. The job is read only after a claim, and the
 * caller publishes the next one only when every claimed share is finished.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "base/base.h"
#include "base/tuning.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

typedef struct worker {
    _Alignas(64) atomic_uint claim; /* the epoch whose share of this worker is taken */
    struct pool *pool;
    pthread_t id;
    int thread;
} worker;

struct pool {
    _Alignas(64) atomic_uint epoch; /* its own line: idle workers poll it */
    _Alignas(64) atomic_int pending;
    _Alignas(64) atomic_int sleepers;
    atomic_bool caller_sleeps;
    atomic_bool stop;
    int count; /* these three: written before the epoch, read after a claim */
    pool_fn *fn;
    void *arg;
    int threads; /* caller included */
    long spin_ns;
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    worker *workers; /* threads-1 */
};

/* The rounding mode and the treatment of denormals are part of the result, so inside tasks they are
 * the same on every thread, whatever the host program has set on its own. */
#if defined(__x86_64__) || defined(__i386__)
typedef unsigned fp_mode;
enum { MXCSR_TASK = 0x9FC0 }; /* flush to zero, denormals are zero, nearest, exceptions masked */
static fp_mode fp_enter(void) {
    fp_mode old = _mm_getcsr();
    _mm_setcsr(MXCSR_TASK);
    return old;
}
static void fp_leave(fp_mode old) { _mm_setcsr(old); }
static void relax(void) { _mm_pause(); }
#elif defined(__aarch64__)
typedef unsigned long fp_mode;
static fp_mode fp_enter(void) {
    fp_mode old, task = 1ul << 24; /* FPCR.FZ, nearest, traps off */
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(task));
    return old;
}
static void fp_leave(fp_mode old) { __asm__ volatile("msr fpcr, %0" : : "r"(old)); }
static void relax(void) { __asm__ volatile("yield"); }
#else
typedef int fp_mode;
static fp_mode fp_enter(void) { return 0; }
static void fp_leave(fp_mode old) { (void)old; }
static void relax(void) {}
#endif

static long elapsed_ns(const struct timespec *since) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)(now.tv_sec - since->tv_sec) * 1000000000 + now.tv_nsec - since->tv_nsec;
}

/* Both polls ask for the time only at every 64th look: it costs some twenty pauses. */

/* An idle worker gives way after a while: it may sit on the CPU of the very thread it waits for. Not at
 * once, for between two runs of a training step there are only microseconds, and on a busy machine
 * whoever gives way is back milliseconds later. */
static bool poll_epoch(struct pool *p, unsigned seen) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        for (int i = 0; i < 64; i++) {
            if (atomic_load(&p->epoch) != seen) return true;
            relax();
        }
        long waited = elapsed_ns(&start);
        if (waited >= p->spin_ns) return false;
        if (waited >= POOL_GIVE_WAY_NS) sched_yield();
    }
}

static bool poll_pending(struct pool *p) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load(&p->pending) == 0) return true;
            relax();
        }
    } while (elapsed_ns(&start) < p->spin_ns);
    return false;
}

/* The tasks that belong to `owner`, run by `thread`. */
static void run_share(const struct pool *p, int owner, int thread) {
    int first = (int)((long long)owner * p->count / p->threads);
    int last = (int)((long long)(owner + 1) * p->count / p->threads);
    for (int task = first; task < last; task++) p->fn(p->arg, task, thread);
}

/* Claims only move forward: a worker that slept through a run must not take the share of an old epoch
 * from a newer one. */
static bool claim_share(worker *w, unsigned epoch) {
    unsigned before = atomic_load(&w->claim);
    return (int)(epoch - before) > 0 && atomic_compare_exchange_strong(&w->claim, &before, epoch);
}

static void *worker_main(void *arg) {
    worker *self = arg;
    struct pool *p = self->pool;
    unsigned seen = 0;
    fp_enter();
    for (;;) {
        if (!poll_epoch(p, seen)) {
            pthread_mutex_lock(&p->mutex);
            atomic_fetch_add(&p->sleepers, 1);
            while (atomic_load(&p->epoch) == seen) pthread_cond_wait(&p->wake, &p->mutex);
            atomic_fetch_sub(&p->sleepers, 1);
            pthread_mutex_unlock(&p->mutex);
        }
        seen = atomic_load(&p->epoch);
        if (atomic_load(&p->stop)) return NULL;
        if (!claim_share(self, seen)) continue;
        run_share(p, self->thread, self->thread);
        if (atomic_fetch_sub(&p->pending, 1) == 1 && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->mutex);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->mutex);
        }
    }
}

static void publish(struct pool *p) {
    atomic_fetch_add(&p->epoch, 1);
    if (atomic_load(&p->sleepers) == 0) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

void pool_run(pool *p, int count, double task_ns, pool_fn *fn, void *arg) {
    if (count <= 0) return;
    fp_mode old = fp_enter();
    if (p->threads == 1 || count == 1 || count * task_ns < POOL_SERIAL_NS) {
        for (int task = 0; task < count; task++) fn(arg, task, 0);
        fp_leave(old);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->count = count;
    atomic_store(&p->pending, p->threads - 1);
    publish(p);
    run_share(p, 0, 0);
    unsigned epoch = atomic_load(&p->epoch);
    for (int i = 0; i < p->threads - 1; i++) {
        if (!claim_share(&p->workers[i], epoch)) continue;
        run_share(p, i + 1, 0);
        atomic_fetch_sub(&p->pending, 1);
    }
    if (!poll_pending(p)) {
        pthread_mutex_lock(&p->mutex);
        atomic_store(&p->caller_sleeps, true);
        while (atomic_load(&p->pending) != 0) pthread_cond_wait(&p->done, &p->mutex);
        atomic_store(&p->caller_sleeps, false);
        pthread_mutex_unlock(&p->mutex);
    }
    fp_leave(old);
}

int pool_threads(const pool *p) { return p->threads; }

static void stop_workers(pool *p, int started) {
    atomic_store(&p->stop, true);
    publish(p);
    for (int i = 0; i < started; i++) pthread_join(p->workers[i].id, NULL);
}

void pool_free(lens_ctx *ctx, pool *p) {
    if (!p) return;
    stop_workers(p, p->threads - 1);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    ctx_free(ctx, p->workers);
    ctx_free(ctx, p);
}

lens_status pool_new(lens_ctx *ctx, pool **out, int threads) {
    lens_status status = LENS_NOMEM;
    int started = 0, error = 0;
    pool *p = ctx_alloc(ctx, 1, sizeof *p);
    if (!p) return LENS_NOMEM;
    p->threads = threads;
    /* With more threads than CPUs, whoever polls keeps somebody else from working. */
    p->spin_ns = threads > pool_default_threads() ? 0 : POOL_SPIN_NS;
    if (pthread_mutex_init(&p->mutex, NULL)) goto no_mutex;
    if (pthread_cond_init(&p->wake, NULL)) goto no_wake;
    if (pthread_cond_init(&p->done, NULL)) goto no_done;
    p->workers = ctx_alloc(ctx, (size_t)threads, sizeof *p->workers);
    if (!p->workers) goto no_workers;

    /* Signals belong to the host program: workers inherit a mask that lets none through. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; started < threads - 1; started++) {
        worker *w = &p->workers[started];
        w->pool = p;
        w->thread = started + 1;
        error = pthread_create(&w->id, NULL, worker_main, w);
        if (error) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        stop_workers(p, started);
        status = ctx_fail(ctx, LENS_NOMEM, "thread %d of %d cannot be started: %s", started + 2,
                          threads, strerror(error));
        goto no_workers;
    }
    *out = p;
    return LENS_OK;

no_workers:
    ctx_free(ctx, p->workers);
    pthread_cond_destroy(&p->done);
no_done:
    pthread_cond_destroy(&p->wake);
no_wake:
    pthread_mutex_destroy(&p->mutex);
no_mutex:
    ctx_free(ctx, p);
    return status;
}
