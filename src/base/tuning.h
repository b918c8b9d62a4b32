/* tuning.h - every number that was tuned and not given: one place, each with its derivation.
 *
 * LENSLET_TINY (a preset of the build) shrinks them all, so that a picture of 11x13 crosses every
 * boundary that ResNet would. No result may depend on them beyond the order of a sum.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TUNING_H
#define BASE_TUNING_H

/* POOL_SERIAL_NS: work below this many nanoseconds runs on the caller. Handing a share to a worker
 * that polls takes 0.2 us and fetching its results some 1 us more, so that two threads break even at
 * about 3 us; when workers sleep, waking them costs the caller 2 us (2026-11, AMD EPYC, 2 virtual
 * CPUs, Linux 6.18).
 *
 * POOL_SPIN_NS: how long an idle worker polls before it sleeps, and the caller before it sleeps waiting
 * for the last worker. A sleeper needs 70 to 110 us to be back at work there; polling for as long as
 * that costs at most twice what knowing the future would.
 *
 * CTX_HUGE_BYTES: allocations from here on are aligned to 2 MiB and offered to the kernel as huge pages;
 * four of them, so that the padding stays below a quarter. */
#ifdef LENSLET_TINY
enum { POOL_SERIAL_NS = 0, POOL_SPIN_NS = 2000, CTX_HUGE_BYTES = 1 << 20 };
#else
enum { POOL_SERIAL_NS = 4000, POOL_SPIN_NS = 100000, CTX_HUGE_BYTES = 8 << 20 };
#endif

#endif
