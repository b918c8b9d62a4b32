/* dispatch.c - which table of kernels this machine runs.
 *
 * One staircase per architecture, slowest first. Levels are found by CPUID and by what the operating
 * system saves on a context switch (XGETBV), both of which __builtin_cpu_supports looks at.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "kern/kern.h"
#include "kern/levels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int kern_levels(const struct kern *level[4]) {
    int count = 0;
    level[count++] = &kern_scalar;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return count;
    level[count++] = &kern_avx2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return count;
    level[count++] = &kern_avx512;
#elif defined(__aarch64__)
    level[count++] = &kern_neon;
#endif
    return count;
}

const struct kern *kern_select(const char *isa, char *why, size_t why_size) {
    static const char *const known[] = { "scalar", "avx2", "avx512", "neon" };
    const struct kern *level[4];
    const int count = kern_levels(level);

    if (!isa) isa = getenv("LENSLET_ISA");
    if (!isa || !*isa) return level[count - 1];
    for (int i = 0; i < count; i++)
        if (strcmp(isa, level[i]->name) == 0) return level[i];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(isa, known[i]) == 0) {
            if (why_size)
                snprintf(
                    why, why_size,
                    "instruction set \"%s\" was asked for, but this CPU or build goes up to \"%s\"",
                    isa, level[count - 1]->name);
            return NULL;
        }
    if (why_size)
        snprintf(why, why_size,
                 "unknown instruction set \"%s\": expected scalar, avx2, avx512 or neon", isa);
    return NULL;
}
