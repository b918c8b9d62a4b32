/* vec_scalar.h - the vocabulary of vec.h in portable C: four lanes in the compilers' generic vectors,
 * which become SSE2 on x86-64 and plain floats where there is no vector unit.
 *
 * Multiplies and adds round separately: the numbers of this level need no fused instruction.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_VEC_VEC_SCALAR_H
#define KERN_VEC_VEC_SCALAR_H

#include "kern/vec/vec.h"
#include <math.h>

#define V_LANES 4

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vm __attribute__((vector_size(16))); /* 0 or -1 */
typedef struct vp {
    vm mask;
    int n;
} vp;
typedef uint32_t vu __attribute__((vector_size(16)));
typedef double vd2 __attribute__((vector_size(16)));
typedef struct vd {
    vd2 lo, hi;
} vd;

V_INLINE vf v_set1(float f) { return (vf){ f, f, f, f }; }
V_INLINE vf v_zero(void) { return v_set1(0); }
V_INLINE vf v_set1_bits(int32_t i) { return (vf)(vm){ i, i, i, i }; }

/* A vector anywhere in memory. Not memcpy: gcc 12 copies some accumulators as two halves, and then
 * keeps those in memory. */
typedef float vf_anywhere __attribute__((vector_size(16), aligned(4), may_alias));
V_INLINE vf v_load(const float *p) { return *(const vf_anywhere *)p; }
V_INLINE void v_store(float *p, vf x) { *(vf_anywhere *)p = x; }

V_INLINE vp v_first(ptrdiff_t count) {
    const int n = count > 4 ? 4 : count < 0 ? 0 : (int)count;
    return (vp){ (vm){ 0, 1, 2, 3 } < (vm){ n, n, n, n }, n };
}
V_INLINE vp v_from(vp part, ptrdiff_t n) { return (vp){ part.mask & ~v_first(n).mask, part.n }; }
V_INLINE vm v_mask(vp part) { return part.mask; }
V_INLINE vf v_load_some(const float *p, vp part) {
    float lane[4] = { 0, 0, 0, 0 };
    if (part.mask[0]) lane[0] = p[0];
    if (part.mask[1]) lane[1] = p[1];
    if (part.mask[2]) lane[2] = p[2];
    if (part.mask[3]) lane[3] = p[3];
    return v_load(lane);
}
V_INLINE vf v_load_slack(const float *p, vp part) { return (vf)((vm)v_load(p) & part.mask); }
V_INLINE void v_store_some(float *p, vp part, vf x) {
    float lane[4];
    v_store(lane, x);
    if (part.n > 0) p[0] = lane[0];
    if (part.n > 1) p[1] = lane[1];
    if (part.n > 2) p[2] = lane[2];
    if (part.n > 3) p[3] = lane[3];
}
V_INLINE vf v_load_bytes(const uint8_t *p, ptrdiff_t n) {
    vf x = { 0, 0, 0, 0 };
    for (int i = 0; i < n; i++) x[i] = p[i];
    return x;
}
V_INLINE void v_store_bytes(uint8_t *p, ptrdiff_t n, vf x) {
    for (int i = 0; i < n; i++) p[i] = (uint8_t)x[i];
}

V_INLINE vf v_add(vf a, vf b) { return a + b; }
V_INLINE vf v_sub(vf a, vf b) { return a - b; }
V_INLINE vf v_mul(vf a, vf b) { return a * b; }
V_INLINE vf v_div(vf a, vf b) { return a / b; }
V_INLINE vf v_fma(vf a, vf b, vf c) { return a * b + c; }
V_INLINE vf v_fma_at(const float *p, vf b, vf c) { return v_fma(v_set1(*p), b, c); }
V_INLINE vf v_sqrt(vf a) { return (vf){ sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3]) }; }
V_INLINE vf v_abs(vf a) { return (vf)((vm)a & 0x7fffffff); }

V_INLINE vf v_select(vm m, vf a, vf b) { return (vf)((m & (vm)a) | (~m & (vm)b)); }
V_INLINE vm v_gt(vf a, vf b) { return a > b; }
V_INLINE vm v_above(vf a, vf b) { return ~(a <= b) & (b == b); }
V_INLINE vm v_same_bits(vf a, vf b) { return (vm)a == (vm)b; }
V_INLINE vf v_max(vf a, vf b) { return v_select(a > b, a, b); }
V_INLINE vf v_min(vf a, vf b) { return v_select(a < b, a, b); }

V_INLINE float v_sum(vf x) { return (x[0] + x[2]) + (x[1] + x[3]); }
V_INLINE vf v_pow2(vf t) { return (vf)(((vu)t + 127u) << 23); }

V_INLINE vf v_even(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6); }
V_INLINE vf v_odd(vf a, vf b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7); }
V_INLINE vf v_next(vf a, vf b) { return __builtin_shufflevector(a, b, 1, 2, 3, 4); }
V_INLINE vf v_zip_lo(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
V_INLINE vf v_zip_hi(vf a, vf b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }

V_INLINE vd v_wide(vf x) { return (vd){ { x[0], x[1] }, { x[2], x[3] } }; }
V_INLINE vd vd_set1(double d) { return (vd){ { d, d }, { d, d } }; }
V_INLINE vd vd_zero(void) { return vd_set1(0); }
V_INLINE vd vd_add(vd a, vd b) { return (vd){ a.lo + b.lo, a.hi + b.hi }; }
V_INLINE vd vd_sub(vd a, vd b) { return (vd){ a.lo - b.lo, a.hi - b.hi }; }
V_INLINE vd vd_fma(vd a, vd b, vd c) { return (vd){ a.lo * b.lo + c.lo, a.hi * b.hi + c.hi }; }
V_INLINE double vd_sum(vd x) {
    const vd2 s = x.lo + x.hi;
    return s[0] + s[1];
}

#endif
