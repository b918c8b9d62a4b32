/* pool.c - persistent workers that share out numbered tasks; contract in pool.h.
 *
 * A run's tasks are cut into pieces, and the pieces into one contiguous share for each thread that takes
 * part. A piece belongs to whoever takes one from its share's `left`: normally the share's thread, but
 * whoever is done with its own takes from the others. So a thread that sleeps, or has lost its CPU to
 * another process, costs at most the piece it is in.
 *
 * The job is written before the first `left` and read after a claim. The caller publishes the next one
 * only when `pending` says that every piece is finished; so a claim always belongs to the run under way,
 * however late the claimer woke, and all that a thread claims before it reports to `pending` is of one run.
 *
 * Who waits, a worker for a share or the caller for the last piece, polls for POOL_SPIN_NS and then sleeps
 * on its own condition. Invariant of the sleep: the sleeper says so (asleep) and then looks again; whoever
 * changes the number changes it first and then asks for sleepers. All four accesses are sequentially
 * consistent, so one of the two always sees the other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "base/base.h"
#include "base/tuning.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

enum { POOL_END = -1 };

typedef struct member {           /* a worker, or the caller: member 0 */
    _Alignas(64) atomic_int left; /* pieces of its share that nobody has claimed, or POOL_END */
    _Alignas(64) atomic_bool asleep;
    struct pool *pool;
    int thread;
    pthread_t id;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} member;

struct pool {
    _Alignas(64) atomic_int pending; /* pieces not finished; its own line: the caller polls it */
    _Alignas(64) int count, shares;  /* of the run under way, as are each, fn and arg */
    int each;                        /* pieces of a share */
    pool_fn *fn;
    void *arg;
    int threads; /* caller included */
    int limit;   /* CPUs of the control group, 0 = no limit */
    int cpus;    /* that runs may use, 0 = to be asked */
    bool told;   /* cpus was given */
    struct timespec asked;
    member *members;
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

static long elapsed_ns(const struct timespec *since, clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (long)(now.tv_sec - since->tv_sec) * 1000000000 + now.tv_nsec - since->tv_nsec;
}

/* Until *number != 0 is what is wanted. The poll asks for the time only at every 64th look: it costs some
 * twenty pauses. */
static void wait_until(member *m, atomic_int *number, bool wanted) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 64; i++) {
            if ((atomic_load(number) != 0) == wanted) return;
            relax();
        }
    } while (elapsed_ns(&start, CLOCK_MONOTONIC) < POOL_SPIN_NS);
    pthread_mutex_lock(&m->mutex);
    atomic_store(&m->asleep, true);
    while ((atomic_load(number) != 0) != wanted) pthread_cond_wait(&m->wake, &m->mutex);
    atomic_store(&m->asleep, false);
    pthread_mutex_unlock(&m->mutex);
}

static void wake(member *m) {
    if (!atomic_load(&m->asleep)) return;
    pthread_mutex_lock(&m->mutex);
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->mutex);
}

/* Share s of n things in `shares` begins here. */
static int cut(int s, int n, int shares) { return (int)((long long)s * n / shares); }

/* Runs every piece that `thread` can get, those of its own share first. */
static void work(pool *p, int thread) {
    int finished = 0;
    for (int i = 0; i < p->threads; i++) {
        int owner = (thread + i) % p->threads;
        atomic_int *left = &p->members[owner].left;
        for (int before = atomic_load(left); before > 0; before = atomic_load(left)) {
            if (!atomic_compare_exchange_strong(left, &before, before - 1)) continue;
            int piece = (owner + 1) * p->each - before, all = p->shares * p->each,
                end = cut(piece + 1, p->count, all);
            for (int task = cut(piece, p->count, all); task < end; task++)
                p->fn(p->arg, task, thread);
            finished++;
        }
    }
    if (finished && atomic_fetch_sub(&p->pending, finished) == finished) wake(&p->members[0]);
}

static void *worker_main(void *arg) {
    member *self = arg;
    fp_enter();
    for (;;) {
        wait_until(self, &self->left, true);
        if (atomic_load(&self->left) == POOL_END) return NULL;
        work(self->pool, self->thread);
    }
}

int pool_active(pool *p) {
    if (!p->told && (!p->cpus || elapsed_ns(&p->asked, CLOCK_MONOTONIC_COARSE) >= POOL_ASK_NS)) {
        clock_gettime(CLOCK_MONOTONIC_COARSE, &p->asked);
        p->cpus = pool_affinity_cpus();
        if (p->limit && p->limit < p->cpus) p->cpus = p->limit;
    }
    return p->cpus < p->threads ? p->cpus : p->threads;
}

void pool_run(pool *p, int count, double task_ns, pool_fn *fn, void *arg) {
    if (count <= 0) return;
    fp_mode old = fp_enter();
    int shares = count == 1 || count * task_ns < POOL_SERIAL_NS ? 1 : pool_active(p);
    if (shares == 1) {
        for (int task = 0; task < count; task++) fn(arg, task, 0);
        fp_leave(old);
        return;
    }
    if (shares > count) shares = count;
    double each = count * task_ns / POOL_PIECE_NS / shares;
    int most = count / shares;
    p->fn = fn;
    p->arg = arg;
    p->count = count;
    p->shares = shares;
    p->each = each >= most ? most : each > 1 ? (int)each : 1;
    atomic_store_explicit(&p->pending, shares * p->each, memory_order_relaxed);
    for (int i = 0; i < shares; i++) atomic_store(&p->members[i].left, p->each);
    for (int i = 1; i < shares; i++) wake(&p->members[i]);
    work(p, 0);
    wait_until(&p->members[0], &p->pending, false);
    fp_leave(old);
}

int pool_threads(const pool *p) { return p->threads; }

/* Of the first `made` members; those after the caller have a thread. */
static void end_members(pool *p, int made) {
    for (int i = 1; i < made; i++) {
        atomic_store(&p->members[i].left, POOL_END);
        wake(&p->members[i]);
        pthread_join(p->members[i].id, NULL);
    }
    for (int i = 0; i < made; i++) {
        pthread_cond_destroy(&p->members[i].wake);
        pthread_mutex_destroy(&p->members[i].mutex);
    }
}

void pool_free(lens_ctx *ctx, pool *p) {
    if (!p) return;
    end_members(p, p->threads);
    ctx_free(ctx, p->members);
    ctx_free(ctx, p);
}

/* 0 or the number of an error. */
static int make_member(pool *p, int thread) {
    member *m = &p->members[thread];
    m->pool = p;
    m->thread = thread;
    int error = pthread_mutex_init(&m->mutex, NULL);
    if (error) return error;
    error = pthread_cond_init(&m->wake, NULL);
    if (error) goto no_wake;
    if (thread) error = pthread_create(&m->id, NULL, worker_main, m);
    if (!error) return 0;
    pthread_cond_destroy(&m->wake);
no_wake:
    pthread_mutex_destroy(&m->mutex);
    return error;
}

lens_status pool_new(lens_ctx *ctx, pool **out, int threads, int cpus) {
    int made = 0, error = 0;
    pool *p = ctx_alloc(ctx, 1, sizeof *p);
    if (!p) return LENS_NOMEM;
    p->threads = threads;
    p->limit = pool_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    p->cpus = cpus;
    p->told = cpus > 0;
    p->members = ctx_alloc(ctx, (size_t)threads, sizeof *p->members);
    if (!p->members) {
        ctx_free(ctx, p);
        return LENS_NOMEM;
    }

    /* Signals belong to the host program: workers inherit a mask that lets none through. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (made < threads && !(error = make_member(p, made))) made++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        end_members(p, made);
        ctx_free(ctx, p->members);
        ctx_free(ctx, p);
        return ctx_fail(ctx, LENS_NOMEM, "thread %d of %d cannot be started: %s", made + 1, threads,
                        strerror(error));
    }
    *out = p;
    return LENS_OK;
}
