/* tuning.h - every number that was tuned and not given: one place, each with its derivation.
 *
 * LENSLET_TINY (a preset of the build) shrinks them all, so that a picture of 11x13 crosses every
 * boundary that ResNet would. No result may depend on them beyond the order of a sum.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TUNING_H
#define BASE_TUNING_H

/* Work below this many nanoseconds runs on the caller: sharing it would save less than it costs.
 * POOL_SPIN_NS: how long an idle worker polls before it sleeps, and the caller before it sleeps
 * waiting for the last worker. CTX_HUGE_BYTES: allocations from here on are aligned to 2 MiB and
 * offered to the kernel as huge pages; four of them, so that the padding stays below a quarter. */
#ifdef LENSLET_TINY
enum { POOL_SERIAL_NS = 0, POOL_SPIN_NS = 2000, CTX_HUGE_BYTES = 1 << 20 };
#else
enum { POOL_SERIAL_NS = 10000, POOL_SPIN_NS = 50000, CTX_HUGE_BYTES = 8 << 20 };
#endif

#endif
