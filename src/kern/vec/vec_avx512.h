/* vec_avx512.h - the vocabulary of vec.h in AVX-512 (F, BW, VL, DQ): sixteen lanes, 32 registers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_VEC_VEC_AVX512_H
#define KERN_VEC_VEC_AVX512_H

#include "kern/vec/vec.h"
#include <immintrin.h>

#define V_LANES 16

typedef __m512 vf;
typedef __mmask16 vm, vp;
typedef struct vd {
    __m512d lo, hi;
} vd;

V_INLINE vf v_set1(float f) { return _mm512_set1_ps(f); }
V_INLINE vf v_zero(void) { return _mm512_setzero_ps(); }
V_INLINE vf v_set1_bits(int32_t i) { return _mm512_castsi512_ps(_mm512_set1_epi32(i)); }

V_INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
V_INLINE void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }

V_INLINE vp v_first(ptrdiff_t n) {
    return (vp)(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << (unsigned)n) - 1u);
}
V_INLINE vp v_from(vp m, ptrdiff_t n) { return (vp)(m & ~v_first(n)); }
V_INLINE vm v_mask(vp m) { return m; }
V_INLINE vf v_load_some(const float *p, vp m) { return _mm512_maskz_loadu_ps(m, p); }
V_INLINE vf v_load_slack(const float *p, vp m) { return _mm512_maskz_loadu_ps(m, p); }
V_INLINE void v_store_some(float *p, vp m, vf x) { _mm512_mask_storeu_ps(p, m, x); }
V_INLINE vf v_load_bytes(const uint8_t *p, ptrdiff_t n) {
    const __m128i bytes = _mm_maskz_loadu_epi8(v_first(n), p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}
V_INLINE void v_store_bytes(uint8_t *p, ptrdiff_t n, vf x) {
    _mm_mask_storeu_epi8(p, v_first(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}

V_INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
V_INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
V_INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
V_INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
V_INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
/* Compilers merge the loads of one *p that several multiplies read; here each is to have its own. */
V_INLINE vf v_fma_at(const float *p, vf b, vf c) {
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(c) : "v"(b), "m"(*p));
    return c;
}
V_INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
V_INLINE vf v_abs(vf a) { return _mm512_and_ps(a, v_set1_bits(0x7fffffff)); }
V_INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
V_INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }

V_INLINE vm v_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
V_INLINE vm v_above(vf a, vf b) {
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ);
}
V_INLINE vm v_same_bits(vf a, vf b) {
    return _mm512_cmpeq_epi32_mask(_mm512_castps_si512(a), _mm512_castps_si512(b));
}
V_INLINE vf v_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }

V_INLINE float v_sum(vf x) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
V_INLINE vf v_pow2(vf t) {
    const __m512i n = _mm512_add_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(n, 23));
}

V_INLINE vf v_even(vf a, vf b) {
    const __m512i lane =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, lane, b);
}
V_INLINE vf v_odd(vf a, vf b) {
    const __m512i lane =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, lane, b);
}
V_INLINE vf v_next(vf a, vf b) {
    return _mm512_castsi512_ps(
        _mm512_alignr_epi32(_mm512_castps_si512(b), _mm512_castps_si512(a), 1));
}
V_INLINE vf v_zip_lo(vf a, vf b) {
    const __m512i lane = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, lane, b);
}
V_INLINE vf v_zip_hi(vf a, vf b) {
    const __m512i lane =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, lane, b);
}

V_INLINE vd v_wide(vf x) {
    return (vd){ _mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                 _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)) };
}
V_INLINE vd vd_set1(double d) { return (vd){ _mm512_set1_pd(d), _mm512_set1_pd(d) }; }
V_INLINE vd vd_zero(void) { return vd_set1(0); }
V_INLINE vd vd_add(vd a, vd b) {
    return (vd){ _mm512_add_pd(a.lo, b.lo), _mm512_add_pd(a.hi, b.hi) };
}
V_INLINE vd vd_sub(vd a, vd b) {
    return (vd){ _mm512_sub_pd(a.lo, b.lo), _mm512_sub_pd(a.hi, b.hi) };
}
V_INLINE vd vd_fma(vd a, vd b, vd c) {
    return (vd){ _mm512_fmadd_pd(a.lo, b.lo, c.lo), _mm512_fmadd_pd(a.hi, b.hi, c.hi) };
}
V_INLINE double vd_sum(vd x) {
    const __m512d eight = _mm512_add_pd(x.lo, x.hi);
    const __m256d four =
        _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

#endif
