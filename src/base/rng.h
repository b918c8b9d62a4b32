/* rng.h - counter-based random numbers (Philox 4x32-10, Salmon et al., SC 2011, "Parallel random
 * numbers: as easy as 1, 2, 3", table 2).
 *
 * Invariant: a value depends on (seed, purpose, epoch, index) alone, never on who asks or when.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/* What the numbers are for: streams of different purposes never meet. */
typedef enum rng_purpose {
    RNG_INIT = 1, /* weights: epoch = hash of the parameter's name */
    RNG_SHUFFLE,  /* order of an epoch */
    RNG_AUGMENT,  /* index = sample */
    RNG_DROPOUT,  /* epoch = step, index = element */
    RNG_SHAPES,   /* the built-in data set */
    RNG_SPLIT,    /* train / validation split */
    RNG_TEST,
    RNG_SEARCH, /* random search for a kernel: index = element */
} rng_purpose;

typedef struct rng_key {
    uint64_t seed;
    uint32_t purpose;
    uint32_t epoch;
} rng_key;

/* Four 32-bit words for one index. */
void rng_block(rng_key, uint64_t index, uint32_t out[4]);

/* A sequence for sequential consumers: word i is word i%4 of block base+i/4. */
typedef struct rng {
    rng_key key;
    uint64_t index; /* next block */
    uint32_t word[4];
    int left; /* unused words, taken from the end */
} rng;

rng rng_start(uint64_t seed, rng_purpose, uint32_t epoch, uint64_t index);
uint32_t rng_u32(rng *);
float rng_uniform(rng *);              /* [0,1), 24 bits */
float rng_normal(rng *);               /* Box-Muller, mean 0, variance 1 */
uint32_t rng_below(rng *, uint32_t n); /* 0..n-1, unbiased (Lemire 2019) */

/* A random permutation of 0..count-1 (Fisher-Yates). */
void rng_permutation(rng *, uint32_t *order, uint32_t count);

#endif
