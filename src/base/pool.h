/* pool.h - persistent worker threads that share out numbered tasks.
 *
 * Invariant behind "same bits for any thread count": a task's result must not depend on which
 * thread runs it. Tasks are numbered 0..count-1; of the T threads that take part, thread t runs those of
 * the contiguous range [t*count/T, (t+1)*count/T) and then what is left of the others' ranges.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <lenslet/base.h>

typedef struct pool pool;

/* `thread` is 0..pool_threads-1: index of a private scratch area. The caller is thread 0. */
typedef void pool_fn(void *arg, int task, int thread);

/* cpus: how many CPUs there are to believe in; 0 = those that the affinity mask and the control group allow. */
lens_status pool_new(lens_ctx *, pool **out, int threads, int cpus);
void pool_free(lens_ctx *, pool *);
int pool_threads(const pool *);

/* How many of them take part in runs now: no more than there are CPUs. The affinity mask, that of the caller,
 * is asked again every POOL_ASK_NS. Work may be cut by it where no bit depends on the cut. */
int pool_active(pool *);

/* Runs fn for every task and returns when all are done. Not re-entrant: a task must not call it.
 * task_ns: rough cost of one task in nanoseconds; when count*task_ns is below the measured cost of
 * waking the workers, everything runs on the caller. Workers and caller run with denormals flushed
 * to zero inside tasks (the caller's mode is restored), so bits do not depend on the thread. */
void pool_run(pool *, int count, double task_ns, pool_fn *fn, void *arg);

/* The CPUs this process may use: affinity mask, then cgroup v1/v2 CPU quota rounded up; >= 1. */
int pool_default_threads(void);
int pool_affinity_cpus(void); /* by the mask of the calling thread alone */

/* The quota alone, rounded up; 0 = none. `list`: /proc/self/cgroup; `mount`: /sys/fs/cgroup. A
 * missing or odd file means no limit. */
int pool_cgroup_cpus(const char *list, const char *mount);

#endif
