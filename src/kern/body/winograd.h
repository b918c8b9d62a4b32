/* winograd.h - slots `wino_in`, `wino_out`, `wino_kernel`, `split4`, `join4`: Winograd's F(4x4, 3x3).
 *
 * Points 0, +-a, +-b and infinity with a = sqrt(1/2), b = sqrt(2): the error is a third of that of
 * the customary 0, +-1, +-2 (about 8e-7 relative RMS at 64 channels). With M(x) the product of
 * (x - point) over the finite points and M_j that without point j (Lavin & Gray 2016; Blahut, "Fast
 * algorithms for signal processing", 5.4):
 *   rows of B': the coefficients of M_j, last of M     rows of A': the powers point^i, last: only i = 3
 *   rows of G:  1, point, point^2 over M_j(point), which is 1, -3/2, -3/2, 6, 6; last 0 0 1
 *
 * SPDX-License-Identifier: Apache-2.0 */

#define WINO_A 0.70710678118654752f
#define WINO_B 1.41421356237309505f

/* z = B' d along one axis. */
V_INLINE void wino_in_axis(const vf d[6], vf z[6]) {
    const vf a = v_set1(WINO_A), b = v_set1(WINO_B), half = v_set1(-0.5f), two = v_set1(-2);
    const vf mid = v_set1(-2.5f);
    const vf p = v_fma(two, d[2], d[4]), q = v_mul(a, v_fma(two, d[1], d[3]));
    const vf r = v_fma(half, d[2], d[4]), s = v_mul(b, v_fma(half, d[1], d[3]));
    z[0] = v_add(v_fma(mid, d[2], d[4]), d[0]);
    z[1] = v_add(p, q);
    z[2] = v_sub(p, q);
    z[3] = v_add(r, s);
    z[4] = v_sub(r, s);
    z[5] = v_add(v_fma(mid, d[3], d[5]), d[1]);
}

V_UNCHECKED static void wino_in(const float *panel, ptrdiff_t phase, ptrdiff_t pitch, int count,
                                float *v, ptrdiff_t v_point) {
    for (int p = 0; p < count; p += V_LANES, panel += V_LANES, v += V_LANES) {
        vf half[6][6]; /* [column][point]: columns done */
        V_UNROLL for (int s = 0; s < 6; s++) {
            vf d[6];
            V_UNROLL for (int r = 0; r < 6; r++) d[r] =
                v_load(panel + (r % 4 * 4 + s % 4) * phase + r / 4 * pitch + s / 4);
            wino_in_axis(d, half[s]);
        }
        V_UNROLL for (int i = 0; i < 6; i++) {
            vf d[6], z[6];
            V_UNROLL for (int s = 0; s < 6; s++) d[s] = half[s][i];
            wino_in_axis(d, z);
            V_UNROLL for (int j = 0; j < 6; j++) v_store(v + (i * 6 + j) * v_point, z[j]);
        }
    }
}

/* y = A' m along one axis. */
V_INLINE void wino_out_axis(const vf m[6], vf y[4]) {
    const vf sa = v_add(m[1], m[2]), da = v_sub(m[1], m[2]);
    const vf sb = v_add(m[3], m[4]), db = v_sub(m[3], m[4]);
    y[0] = v_add(v_add(m[0], sa), sb);
    y[1] = v_fma(v_set1(WINO_A), da, v_mul(v_set1(WINO_B), db));
    y[2] = v_fma(v_set1(0.5f), sa, v_add(sb, sb));
    y[3] = v_add(v_fma(v_set1(WINO_A / 2), da, v_mul(v_set1(2 * WINO_B), db)), m[5]);
}

V_UNCHECKED static void wino_out(const float *m, ptrdiff_t m_point, int count, float bias,
                                 act_kind act, float slope, float *y, ptrdiff_t y_phase) {
    for (int p = 0; p < count; p += V_LANES, m += V_LANES, y += V_LANES) {
        vf half[6][4]; /* [column][row] */
        V_UNROLL for (int j = 0; j < 6; j++) {
            vf z[6];
            V_UNROLL for (int i = 0; i < 6; i++) z[i] = v_load(m + (i * 6 + j) * m_point);
            wino_out_axis(z, half[j]);
        }
        V_UNROLL for (int r = 0; r < 4; r++) {
            vf z[6], out[4];
            V_UNROLL for (int j = 0; j < 6; j++) z[j] = half[j][r];
            wino_out_axis(z, out);
            V_UNROLL for (int s = 0; s < 4; s++) {
                vf x = v_add(out[s], v_set1(bias));
                if (act == ACT_RELU) x = v_max(v_zero(), x);
                if (act == ACT_LEAKY) x = act_leaky(v_set1(slope), x);
                v_store(y + (r * 4 + s) * y_phase, x);
            }
        }
    }
}

/* z = G g along one axis. */
V_INLINE void wino_kernel_axis(const vf g[3], vf z[6]) {
    const vf third = v_set1(-1.0f / 3), sixth = v_set1(1.0f / 6);
    const vf ends = v_fma(v_set1(2), g[0], g[2]), middle = v_mul(v_set1(2 * WINO_A), g[1]);
    const vf ends2 = v_fma(v_set1(2), g[2], g[0]), middle2 = v_mul(v_set1(WINO_B), g[1]);
    z[0] = g[0];
    z[1] = v_mul(third, v_add(ends, middle));
    z[2] = v_mul(third, v_sub(ends, middle));
    z[3] = v_mul(sixth, v_add(ends2, middle2));
    z[4] = v_mul(sixth, v_sub(ends2, middle2));
    z[5] = g[2];
}

V_UNCHECKED static void wino_kernel(int n, const float *g, bool turn, float *u, ptrdiff_t u_point) {
    for (int m = 0; m < n; m += V_LANES) {
        const vp part = v_first(n - m);
        vf half[3][6]; /* [column][point] */
        V_UNROLL for (int s = 0; s < 3; s++) {
            vf k[3];
            V_UNROLL for (int r = 0; r < 3; r++) k[r] =
                v_load_some(g + (turn ? 8 - 3 * r - s : 3 * r + s) * n + m, part);
            wino_kernel_axis(k, half[s]);
        }
        V_UNROLL for (int i = 0; i < 6; i++) {
            vf k[3], z[6];
            V_UNROLL for (int s = 0; s < 3; s++) k[s] = half[s][i];
            wino_kernel_axis(k, z);
            V_UNROLL for (int j = 0; j < 6; j++)
                v_store_some(u + (i * 6 + j) * u_point + m, part, z[j]);
        }
    }
}

V_UNCHECKED static void split4(int n, const float *src, float *dst, ptrdiff_t phase) {
    for (int t = 0; t < n; t += V_LANES, src += 4 * V_LANES, dst += V_LANES) {
        const vf a = v_load(src), b = v_load(src + V_LANES);
        const vf c = v_load(src + 2 * V_LANES), d = v_load(src + 3 * V_LANES);
        const vf even = v_even(a, b), odd = v_odd(a, b), even2 = v_even(c, d), odd2 = v_odd(c, d);
        const vp part = v_first(n - t);
        v_store_some(dst, part, v_even(even, even2));
        v_store_some(dst + phase, part, v_even(odd, odd2));
        v_store_some(dst + 2 * phase, part, v_odd(even, even2));
        v_store_some(dst + 3 * phase, part, v_odd(odd, odd2));
    }
}

V_UNCHECKED static void join4(int n, const float *src, ptrdiff_t phase, float *dst) {
    for (int t = 0; t < n; t += 4 * V_LANES, src += V_LANES, dst += 4 * V_LANES) {
        const vf a = v_load(src), b = v_load(src + phase);
        const vf c = v_load(src + 2 * phase), d = v_load(src + 3 * phase);
        const vf ac = v_zip_lo(a, c), ac2 = v_zip_hi(a, c), bd = v_zip_lo(b, d),
                 bd2 = v_zip_hi(b, d);
        v_store_some(dst, v_first(n - t), v_zip_lo(ac, bd));
        v_store_some(dst + V_LANES, v_first(n - t - V_LANES), v_zip_hi(ac, bd));
        v_store_some(dst + 2 * V_LANES, v_first(n - t - 2 * V_LANES), v_zip_lo(ac2, bd2));
        v_store_some(dst + 3 * V_LANES, v_first(n - t - 3 * V_LANES), v_zip_hi(ac2, bd2));
    }
}
