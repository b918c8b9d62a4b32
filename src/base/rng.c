/* rng.c - Philox 4x32-10; see rng.h.
 *
 * Invariant: key = seed, counter = (index, epoch, purpose): 192 bits name every block.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <math.h>

void rng_block(rng_key key, uint64_t index, uint32_t out[4]) {
    uint32_t x0 = (uint32_t)index, x1 = (uint32_t)(index >> 32), x2 = key.epoch, x3 = key.purpose;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)p1;
        x3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* Weyl sequence: golden ratio, and sqrt(3)-1 */
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

rng rng_start(uint64_t seed, rng_purpose purpose, uint32_t epoch, uint64_t index) {
    return (rng){ .key = { .seed = seed, .purpose = (uint32_t)purpose, .epoch = epoch },
                  .index = index };
}

uint32_t rng_u32(rng *r) {
    if (r->left == 0) {
        rng_block(r->key, r->index++, r->word);
        r->left = 4;
    }
    return r->word[4 - r->left--];
}

float rng_uniform(rng *r) { return (float)(rng_u32(r) >> 8) * 0x1p-24f; }

/* Box and Muller 1958, the cosine half. In double: the last bit of log and cos differs between
 * mathematical libraries, and rounding to float hides it but for one value in some 10^8. */
float rng_normal(rng *r) {
    double u = ((double)rng_u32(r) + 1.0) * 0x1p-32; /* (0,1]: the logarithm is finite */
    double angle = 6.283185307179586477 * 0x1p-32 * (double)rng_u32(r);
    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}

uint32_t rng_below(rng *r, uint32_t n) {
    if (n == 0) return 0;
    uint64_t product = (uint64_t)rng_u32(r) * n;
    if ((uint32_t)product < n) {
        uint32_t surplus = (0u - n) % n; /* 2^32 mod n: low parts below it would count twice */
        while ((uint32_t)product < surplus) product = (uint64_t)rng_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

void rng_permutation(rng *r, uint32_t *order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = rng_below(r, i), last = order[i - 1];
        order[i - 1] = order[j];
        order[j] = last;
    }
}
