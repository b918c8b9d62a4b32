/* pool.h - persistent worker threads with a static partition.
 *
 * Invariant behind "same bits for any thread count": a task's result must not depend on which
 * thread runs it. Tasks are numbered 0..count-1 by the shape of the work, never by the number of
 * threads; thread t of T runs the contiguous range [t*count/T, (t+1)*count/T), or the caller does if
 * t has not begun by the time the caller is done with its own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <lenslet/base.h>

typedef struct pool pool;

/* `thread` is 0..pool_threads-1: index of a private scratch area. The caller is thread 0. */
typedef void pool_fn(void *arg, int task, int thread);

lens_status pool_new(lens_ctx *, pool **out, int threads);
void pool_free(lens_ctx *, pool *);
int pool_threads(const pool *);

/* Runs fn for every task and returns when all are done. Not re-entrant: a task must not call it.
 * task_ns: rough cost of one task in nanoseconds; when count*task_ns is below the measured cost of
 * waking the workers, everything runs on the caller. Workers and caller run with denormals flushed
 * to zero inside tasks (the caller's mode is restored), so bits do not depend on the thread. */
void pool_run(pool *, int count, double task_ns, pool_fn *fn, void *arg);

/* The CPUs this process may use: affinity mask, then cgroup v1/v2 CPU quota rounded up; >= 1. */
int pool_default_threads(void);

/* The quota alone, rounded up; 0 = none. `list`: /proc/self/cgroup; `mount`: /sys/fs/cgroup. A
 * missing or odd file means no limit. */
int pool_cgroup_cpus(const char *list, const char *mount);

#endif
