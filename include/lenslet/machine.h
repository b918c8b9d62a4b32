/* lenslet/machine.h - what this machine can do at best, measured: the yardstick for every speed.
 *
 * Each function runs for some 50 ms, keeps the best of a few tries, and uses the instruction set of
 * the context. `threads` is 1 to lens_ctx_threads; more count as that.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_MACHINE_H
#define LENSLET_MACHINE_H

#include <lenslet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 10^9 operations a second of multiply-adds between registers, two operations each. A layer can pass it
 * only by an algorithm that needs fewer products (Winograd). */
LENS_API double lens_machine_gflops(lens_ctx *, int threads);

/* 10^9 bytes a second, all threads together, when each goes through `bytes` of its own again and
 * again. read: a sum; scale: y = a*x from one half to the other, which counts bytes read and
 * written. LENS_NOMEM. */
typedef struct lens_bandwidth {
    double read, scale;
} lens_bandwidth;
LENS_API lens_status lens_machine_bandwidth(lens_ctx *, int threads, size_t bytes,
                                            lens_bandwidth *out);

/* Bytes of the data cache of a level, 1 to 3, as Linux tells it; 0: unknown or none. */
LENS_API size_t lens_machine_cache(int level);

#ifdef __cplusplus
}
#endif
#endif
