/* vec_avx2.h - the vocabulary of vec.h in AVX2 and FMA: eight lanes, sixteen registers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_VEC_VEC_AVX2_H
#define KERN_VEC_VEC_AVX2_H

#include "kern/vec/vec.h"
#include <immintrin.h>

#define V_LANES 8

typedef __m256 vf;
typedef __m256i vm; /* 0 or -1 in 32-bit lanes */
typedef struct vp {
    vm mask;
    int n;
} vp;
typedef struct vd {
    __m256d lo, hi;
} vd;

V_INLINE vf v_set1(float f) { return _mm256_set1_ps(f); }
V_INLINE vf v_zero(void) { return _mm256_setzero_ps(); }
V_INLINE vf v_set1_bits(int32_t i) { return _mm256_castsi256_ps(_mm256_set1_epi32(i)); }

V_INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
V_INLINE void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }

V_INLINE vp v_first(ptrdiff_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int n = count > 8 ? 8 : count < 0 ? 0 : (int)count;
    return (vp){ _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), n };
}
V_INLINE vp v_from(vp part, ptrdiff_t n) {
    return (vp){ _mm256_andnot_si256(v_first(n).mask, part.mask), part.n };
}
V_INLINE vm v_mask(vp part) { return part.mask; }
V_INLINE vf v_load_some(const float *p, vp part) { return _mm256_maskload_ps(p, part.mask); }
V_INLINE vf v_load_slack(const float *p, vp part) {
    return _mm256_and_ps(_mm256_loadu_ps(p), _mm256_castsi256_ps(part.mask));
}
/* In pieces of four, two and one: a masked store takes about 12 cycles on AMD's Zen. */
V_INLINE void v_store_some(float *p, vp part, vf x) {
    if (part.n == 8) {
        _mm256_storeu_ps(p, x);
        return;
    }
    __m128 rest = _mm256_castps256_ps128(x);
    if (part.n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (part.n & 2) {
        _mm_storel_pi((__m64 *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (part.n & 1) _mm_store_ss(p, rest);
}
V_INLINE vf v_load_bytes(const uint8_t *p, ptrdiff_t n) {
    int64_t eight = 0;
    memcpy(&eight, p, n > 8 ? 8 : (size_t)n);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(eight)));
}
V_INLINE void v_store_bytes(uint8_t *p, ptrdiff_t n, vf x) {
    const __m256i i = _mm256_cvtps_epi32(x);
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    const int64_t eight = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    memcpy(p, &eight, n > 8 ? 8 : (size_t)n);
}

V_INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
V_INLINE vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
V_INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
V_INLINE vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
V_INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
V_INLINE vf v_fma_at(const float *p, vf b, vf c) { return v_fma(v_set1(*p), b, c); }
V_INLINE vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
V_INLINE vf v_abs(vf a) { return _mm256_and_ps(a, v_set1_bits(0x7fffffff)); }
V_INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
V_INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }

V_INLINE vm v_gt(vf a, vf b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
V_INLINE vm v_above(vf a, vf b) {
    return _mm256_castps_si256(
        _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ), _mm256_cmp_ps(b, b, _CMP_ORD_Q)));
}
V_INLINE vm v_same_bits(vf a, vf b) {
    return _mm256_cmpeq_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b));
}
V_INLINE vf v_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m)); }

V_INLINE float v_sum(vf x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
V_INLINE vf v_pow2(vf t) {
    const __m256i n = _mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}

/* Shuffles work within 128-bit halves; the second instruction puts the quarters in order. */
V_INLINE vf v_in_order(vf x) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), _MM_SHUFFLE(3, 1, 2, 0)));
}
V_INLINE vf v_even(vf a, vf b) {
    return v_in_order(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
}
V_INLINE vf v_odd(vf a, vf b) {
    return v_in_order(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
}
V_INLINE vf v_next(vf a, vf b) {
    const __m256i low = _mm256_castps_si256(a);
    const __m256i middle = _mm256_permute2x128_si256(low, _mm256_castps_si256(b), 0x21);
    return _mm256_castsi256_ps(_mm256_alignr_epi8(middle, low, 4));
}
V_INLINE vf v_zip_lo(vf a, vf b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
V_INLINE vf v_zip_hi(vf a, vf b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}

V_INLINE vd v_wide(vf x) {
    return (vd){ _mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                 _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)) };
}
V_INLINE vd vd_set1(double d) { return (vd){ _mm256_set1_pd(d), _mm256_set1_pd(d) }; }
V_INLINE vd vd_zero(void) { return vd_set1(0); }
V_INLINE vd vd_add(vd a, vd b) {
    return (vd){ _mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi) };
}
V_INLINE vd vd_sub(vd a, vd b) {
    return (vd){ _mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi) };
}
V_INLINE vd vd_fma(vd a, vd b, vd c) {
    return (vd){ _mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi) };
}
V_INLINE double vd_sum(vd x) {
    const __m256d four = _mm256_add_pd(x.lo, x.hi);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

#endif
