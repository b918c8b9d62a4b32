/* vec_neon.h - the vocabulary of vec.h in 64-bit NEON: four lanes, 32 registers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_VEC_VEC_NEON_H
#define KERN_VEC_VEC_NEON_H

#include "kern/vec/vec.h"
#include <arm_neon.h>

#define V_LANES 4

typedef float32x4_t vf;
typedef uint32x4_t vm; /* 0 or ~0 */
typedef struct vp {
    vm mask;
    int n;
} vp;
typedef struct vd {
    float64x2_t lo, hi;
} vd;

V_INLINE vf v_set1(float f) { return vdupq_n_f32(f); }
V_INLINE vf v_zero(void) { return vdupq_n_f32(0); }
V_INLINE vf v_set1_bits(int32_t i) { return vreinterpretq_f32_s32(vdupq_n_s32(i)); }

V_INLINE vf v_load(const float *p) { return vld1q_f32(p); }
V_INLINE void v_store(float *p, vf x) { vst1q_f32(p, x); }

V_INLINE vp v_first(ptrdiff_t count) {
    static const int32_t lane[4] = { 0, 1, 2, 3 };
    const int n = count > 4 ? 4 : count < 0 ? 0 : (int)count;
    return (vp){ vcgtq_s32(vdupq_n_s32(n), vld1q_s32(lane)), n };
}
V_INLINE vp v_from(vp part, ptrdiff_t n) {
    return (vp){ vbicq_u32(part.mask, v_first(n).mask), part.n };
}
V_INLINE vm v_mask(vp part) { return part.mask; }
V_INLINE vf v_load_some(const float *p, vp part) {
    vf x = v_zero();
    if (vgetq_lane_u32(part.mask, 0)) x = vld1q_lane_f32(p, x, 0);
    if (vgetq_lane_u32(part.mask, 1)) x = vld1q_lane_f32(p + 1, x, 1);
    if (vgetq_lane_u32(part.mask, 2)) x = vld1q_lane_f32(p + 2, x, 2);
    if (vgetq_lane_u32(part.mask, 3)) x = vld1q_lane_f32(p + 3, x, 3);
    return x;
}
V_INLINE vf v_load_slack(const float *p, vp part) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(vld1q_f32(p)), part.mask));
}
V_INLINE void v_store_some(float *p, vp part, vf x) {
    if (part.n > 0) vst1q_lane_f32(p, x, 0);
    if (part.n > 1) vst1q_lane_f32(p + 1, x, 1);
    if (part.n > 2) vst1q_lane_f32(p + 2, x, 2);
    if (part.n > 3) vst1q_lane_f32(p + 3, x, 3);
}
V_INLINE vf v_load_bytes(const uint8_t *p, ptrdiff_t n) {
    uint32_t lane[4] = { 0, 0, 0, 0 };
    for (int i = 0; i < n; i++) lane[i] = p[i];
    return vcvtq_f32_u32(vld1q_u32(lane));
}
V_INLINE void v_store_bytes(uint8_t *p, ptrdiff_t n, vf x) {
    uint32_t lane[4];
    vst1q_u32(lane, vcvtq_u32_f32(x));
    for (int i = 0; i < n; i++) p[i] = (uint8_t)lane[i];
}

V_INLINE vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
V_INLINE vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
V_INLINE vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
V_INLINE vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
V_INLINE vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
V_INLINE vf v_fma_at(const float *p, vf b, vf c) { return v_fma(v_set1(*p), b, c); }
V_INLINE vf v_sqrt(vf a) { return vsqrtq_f32(a); }
V_INLINE vf v_abs(vf a) { return vabsq_f32(a); }

V_INLINE vm v_gt(vf a, vf b) { return vcgtq_f32(a, b); }
V_INLINE vm v_above(vf a, vf b) { return vbicq_u32(vceqq_f32(b, b), vcleq_f32(a, b)); }
V_INLINE vm v_same_bits(vf a, vf b) {
    return vceqq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b));
}
V_INLINE vf v_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
V_INLINE vf v_max(vf a, vf b) { return v_select(vcgtq_f32(a, b), a, b); }
V_INLINE vf v_min(vf a, vf b) { return v_select(vcltq_f32(a, b), a, b); }

V_INLINE float v_sum(vf x) {
    const float32x2_t two = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
V_INLINE vf v_pow2(vf t) {
    const int32x4_t n = vaddq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(n, 23));
}

V_INLINE vf v_even(vf a, vf b) { return vuzp1q_f32(a, b); }
V_INLINE vf v_odd(vf a, vf b) { return vuzp2q_f32(a, b); }
V_INLINE vf v_next(vf a, vf b) { return vextq_f32(a, b, 1); }
V_INLINE vf v_zip_lo(vf a, vf b) { return vzip1q_f32(a, b); }
V_INLINE vf v_zip_hi(vf a, vf b) { return vzip2q_f32(a, b); }

V_INLINE vd v_wide(vf x) { return (vd){ vcvt_f64_f32(vget_low_f32(x)), vcvt_high_f64_f32(x) }; }
V_INLINE vd vd_set1(double d) { return (vd){ vdupq_n_f64(d), vdupq_n_f64(d) }; }
V_INLINE vd vd_zero(void) { return vd_set1(0); }
V_INLINE vd vd_add(vd a, vd b) { return (vd){ vaddq_f64(a.lo, b.lo), vaddq_f64(a.hi, b.hi) }; }
V_INLINE vd vd_sub(vd a, vd b) { return (vd){ vsubq_f64(a.lo, b.lo), vsubq_f64(a.hi, b.hi) }; }
V_INLINE vd vd_fma(vd a, vd b, vd c) {
    return (vd){ vfmaq_f64(c.lo, a.lo, b.lo), vfmaq_f64(c.hi, a.hi, b.hi) };
}
V_INLINE double vd_sum(vd x) { return vaddvq_f64(vaddq_f64(x.lo, x.hi)); }

#endif
