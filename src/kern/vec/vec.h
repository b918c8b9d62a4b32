/* vec.h - what every vector vocabulary offers, and the two macros they share.
 *
 * vec_scalar.h, vec_avx2.h, vec_avx512.h and vec_neon.h each define the names below for one
 * instruction set. A kernel body (kern/body) is written once over these names; a level file
 * (scalar/scalar.c, x86/avx2.c, ...) includes one vocabulary, then the bodies.
 *
 * Invariant: everything is static and inlined, so that no function compiled for a wide instruction
 * set can be picked by the linker for code that runs on an older CPU.
 *
 *   V_LANES             floats in a vector: 4, 8 or 16
 *   vf, vm, vd          V_LANES floats; one truth value per lane; V_LANES doubles
 *   vp                  the first n lanes, for the part of a vector at the end of an array
 *
 *   v_zero() v_set1(f)                 all lanes alike
 *   v_load(p) v_store(p, x)            any alignment
 *   v_first(n)                         vp of n lanes (n <= 0: none, n >= V_LANES: all)
 *   v_from(part, n)                    part without the lanes before n; for v_load_some and v_mask alone
 *   v_mask(part)                       as vm
 *   v_prefetch(p)                      p may be any address
 *   v_load_some(p, part)               0 in the other lanes; reads nothing there
 *   v_load_slack(p, part)              the same, but may read the whole vector
 *   v_store_some(p, part, x)           writes nothing for the other lanes
 *   v_load_bytes(p, n) v_store_bytes(p, n, x)     n <= V_LANES bytes as floats 0..255
 *   v_add v_sub v_mul v_div v_sqrt v_abs
 *   v_fma(a, b, c)                     a*b + c; one rounding, at the scalar level two
 *   v_fma_at(p, b, c)                  the same of a = v_set1(*p), which the instruction reads itself if it can
 *   v_max(a, b) v_min(a, b)            a > b ? a : b, a < b ? a : b: b when either is NaN
 *   v_gt(a, b)                         a > b; false on NaN
 *   v_above(a, b)                      a > b, or a is NaN and b is not
 *   v_same_bits(a, b)                  equal as integers
 *   v_select(m, a, b)                  m ? a : b
 *   v_sum(x)                           pairwise: upper half on lower half, until one is left
 *   v_set1_bits(i)                     the bit pattern of i in every lane
 *   v_pow2(t)                          2^n for t = n + 0x1.8p23, integral -126 <= n <= 127
 *   v_even(a, b) v_odd(a, b)           lanes 0, 2, ... (1, 3, ...) of a, then of b
 *   v_next(a, b)                       a1 a2 ... and b0 as the last lane
 *   v_zip_lo(a, b) v_zip_hi(a, b)      a0 b0 a1 b1 ...: the first V_LANES of it, and the rest
 *   v_wide(x)                          to double
 *   vd_zero() vd_set1(d) vd_add vd_sub vd_fma vd_sum(x)      as above, in double
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_VEC_VEC_H
#define KERN_VEC_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Sanitizers leave the unrolled kernels alone: with their checks on every accumulator a file takes
 * clang 14 more than ten minutes. kcheck watches the same bounds with guard pages. */
#if defined(__clang__)
#define V_UNCHECKED __attribute__((no_sanitize("address", "undefined", "thread")))
#else
#define V_UNCHECKED __attribute__((no_sanitize("address,undefined,thread")))
#endif

#define V_INLINE V_UNCHECKED static inline __attribute__((always_inline, unused))

V_INLINE void v_prefetch(const float *p) { __builtin_prefetch(p); }

/* Before a loop over accumulators: they stay in registers only if every index is a constant. Before one whose
 * counting is worth halving. And before one whose body is long enough that copies of it would only fill the
 * instruction cache. */
#if defined(__clang__)
#define V_UNROLL _Pragma("clang loop unroll(full)")
#define V_TWICE  _Pragma("clang loop unroll_count(2)")
#define V_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define V_UNROLL _Pragma("GCC unroll 32")
#define V_TWICE  _Pragma("GCC unroll 2")
#define V_ROLLED _Pragma("GCC unroll 1")
#endif

#endif
