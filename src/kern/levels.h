/* levels.h - the tables that this build may hold, one per instruction set; only dispatch.c and the
 * files that define them look here. A table may be called only if the CPU has its instructions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_LEVELS_H
#define KERN_LEVELS_H

#include "kern/kern.h"

extern const struct kern kern_scalar;
extern const struct kern kern_avx2;   /* x86-64 with AVX2 and FMA */
extern const struct kern kern_avx512; /* x86-64 with AVX-512 F, BW, VL, DQ */
extern const struct kern kern_neon;   /* AArch64 */

#endif
