/* winograd.h - slots `wino_in`, `wino_out`, `wino_kernel` and, for the gradient of the kernels,
 * `wino_back_out`, `wino_back_kernel`: the transforms of Winograd's F(m x m, 3x3) for m = 2 and 4.
 *
 * With M(x) the product of (x - point) over the m+1 finite points and M_j that without point j (Lavin &
 * Gray 2016; Blahut, "Fast algorithms for signal processing", 5.4):
 *   rows of B': the coefficients of M_j, last of M   rows of A': the powers point^i, last: only i = m-1
 *   rows of G:  1, point, point^2 over M_j(point); last 0 0 1
 * Points of F(2x2): 0, 1, -1. Points of F(4x4): 0, +-a, +-b with a = sqrt(1/2), b = sqrt(2), whose error is
 * a third of that of the customary 0, +-1, +-2; M_j(point) is then 1, -3/2, -3/2, 6, 6.
 *
 * A function for each m: m is a constant after inlining. Lanes run along the tiles of one row.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#define WINO_A 0.70710678118654752f
#define WINO_B 1.41421356237309505f
#define WINO_N 6 /* inputs of the largest tile along an axis */

/* ---- One axis -------------------------------------------------------------------------------- */

/* z = B' d. */
V_INLINE void wino_in_axis(const int m, const vf *d, vf *z) {
    if (m == 2) {
        z[0] = v_sub(d[2], d[0]);
        z[1] = v_add(d[2], d[1]);
        z[2] = v_sub(d[2], d[1]);
        z[3] = v_sub(d[3], d[1]);
        return;
    }
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

/* y = A' z. */
V_INLINE void wino_out_axis(const int m, const vf *z, vf *y) {
    const vf sa = v_add(z[1], z[2]), da = v_sub(z[1], z[2]);
    if (m == 2) {
        y[0] = v_add(z[0], sa);
        y[1] = v_add(da, z[3]);
        return;
    }
    const vf sb = v_add(z[3], z[4]), db = v_sub(z[3], z[4]);
    y[0] = v_add(v_add(z[0], sa), sb);
    y[1] = v_fma(v_set1(WINO_A), da, v_mul(v_set1(WINO_B), db));
    y[2] = v_fma(v_set1(0.5f), sa, v_add(sb, sb));
    y[3] = v_add(v_fma(v_set1(WINO_A / 2), da, v_mul(v_set1(2 * WINO_B), db)), z[5]);
}

/* z = A y. */
V_INLINE void wino_back_out_axis(const int m, const vf *y, vf *z) {
    z[0] = y[0];
    z[m + 1] = y[m - 1];
    if (m == 2) {
        z[1] = v_add(y[0], y[1]);
        z[2] = v_sub(y[0], y[1]);
        return;
    }
    const vf half = v_set1(0.5f), two = v_set1(2);
    const vf p = v_fma(half, y[2], y[0]), q = v_mul(v_set1(WINO_A), v_fma(half, y[3], y[1]));
    const vf r = v_fma(two, y[2], y[0]), s = v_mul(v_set1(WINO_B), v_fma(two, y[3], y[1]));
    z[1] = v_add(p, q);
    z[2] = v_sub(p, q);
    z[3] = v_add(r, s);
    z[4] = v_sub(r, s);
}

/* z = G g. */
V_INLINE void wino_kernel_axis(const int m, const vf *g, vf *z) {
    z[m + 1] = g[2];
    if (m == 2) {
        const vf half = v_set1(0.5f), ends = v_add(g[0], g[2]);
        z[0] = v_sub(v_zero(), g[0]);
        z[1] = v_mul(half, v_add(ends, g[1]));
        z[2] = v_mul(half, v_sub(ends, g[1]));
        return;
    }
    const vf third = v_set1(-1.0f / 3), sixth = v_set1(1.0f / 6);
    const vf ends = v_fma(v_set1(2), g[0], g[2]), middle = v_mul(v_set1(2 * WINO_A), g[1]);
    const vf ends2 = v_fma(v_set1(2), g[2], g[0]), middle2 = v_mul(v_set1(WINO_B), g[1]);
    z[0] = g[0];
    z[1] = v_mul(third, v_add(ends, middle));
    z[2] = v_mul(third, v_sub(ends, middle));
    z[3] = v_mul(sixth, v_add(ends2, middle2));
    z[4] = v_mul(sixth, v_sub(ends2, middle2));
}

/* g = G' z. */
V_INLINE void wino_back_kernel_axis(const int m, const vf *z, vf *g) {
    const vf sa = v_add(z[1], z[2]), da = v_sub(z[1], z[2]), half = v_set1(0.5f);
    if (m == 2) {
        g[0] = v_sub(v_mul(half, sa), z[0]);
        g[1] = v_mul(half, da);
        g[2] = v_fma(half, sa, z[3]);
        return;
    }
    const vf sb = v_add(z[3], z[4]), db = v_sub(z[3], z[4]), third = v_set1(1.0f / 3);
    g[0] = v_fma(v_set1(-2.0f / 3), sa, v_fma(v_set1(1.0f / 6), sb, z[0]));
    g[1] = v_fma(v_set1(-2 * WINO_A / 3), da, v_mul(v_set1(WINO_B / 6), db));
    g[2] = v_fma(third, v_sub(sb, sa), z[5]);
}

/* ---- Cells of the plane ---------------------------------------------------------------------- */

/* d[s] = cell s of each tile: row[m*t + s], from the m+1 parts of a row that lie in the plane. */
V_INLINE void wino_split(const int m, const int n, const float *row, const vp *part, vf *d) {
    vf x[4];
    V_UNROLL for (int i = 0; i < m; i++) x[i] = v_load_some(row + i * V_LANES, part[i]);
    vf even = v_even(x[0], x[1]), odd = v_odd(x[0], x[1]);
    if (m == 2) {
        d[0] = even, d[1] = odd;
    } else {
        const vf even2 = v_even(x[2], x[3]), odd2 = v_odd(x[2], x[3]);
        d[0] = v_even(even, even2), d[1] = v_even(odd, odd2);
        d[2] = v_odd(even, even2), d[3] = v_odd(odd, odd2);
    }
    /* Cells m and m+1 are the first two of the next tile. */
    V_UNROLL for (int s = m; s < n; s++) d[s] =
        v_next(d[s - m], v_load_some(row + m * V_LANES + s - m, part[s]));
}

/* The tiles first .. first+count-1 lie in rows of `across`: tiles of one row, at most V_LANES, from
 * `first` on. */
V_INLINE int wino_together(const wino_tiles *g, int first, int count) {
    const int rest = g->across - first % g->across;
    const int most = count < rest ? count : rest;
    return most < V_LANES ? most : V_LANES;
}

/* Fetches the cells of a row of tiles in the plane of the next call: planes lie so far apart that no
 * prefetcher of the processor follows (64 maps of 56x56 from memory: 290 ns a row, 80 with this; 70 from
 * cache. 2026-11, AMD Zen 5). */
V_INLINE void wino_fetch(const int m, int w, int tiles, const float *cell) {
    for (int r = 0; r < m; r++, cell += w)
        for (int i = 0; i < m * tiles; i += 16) v_prefetch(cell + i);
}

/* V = L' d L for n x n cells of each tile, into size x size points; `back`: L' = A, else B'. */
V_INLINE void wino_spread(const int m, const int n, const bool back, const wino_tiles *g,
                          const float *x, ptrdiff_t ahead, float *v, ptrdiff_t v_point) {
    for (int t = 0; t < g->count;) {
        const int tile = g->first + t, tiles = wino_together(g, tile, g->count - t);
        const int x0 = tile % g->across * m + g->x, y0 = tile / g->across * m + g->y;
        vp part[WINO_N];
        V_UNROLL for (int i = 0; i < m; i++) part[i] =
            v_from(v_first(g->w - x0 - i * V_LANES), -(x0 + i * V_LANES));
        V_UNROLL for (int s = m; s < n; s++) part[s] =
            v_first(g->w - x0 - m * V_LANES - (s - m) > 0 ? 1 : 0);

        if (ahead) wino_fetch(m, g->w, tiles, x + ahead + (ptrdiff_t)y0 * g->w + x0);
        vf half[WINO_N][WINO_N]; /* [row][point]: rows done */
        V_UNROLL for (int r = 0; r < n; r++) {
            const int y = y0 + r;
            vf d[WINO_N];
            if (y < 0 || y >= g->h) {
                V_UNROLL for (int j = 0; j < m + 2; j++) half[r][j] = v_zero();
                continue;
            }
            wino_split(m, n, x + (ptrdiff_t)y * g->w + x0, part, d);
            if (back)
                wino_back_out_axis(m, d, half[r]);
            else
                wino_in_axis(m, d, half[r]);
        }
        const vp some = v_first(tiles);
        V_UNROLL for (int j = 0; j < m + 2; j++) {
            vf d[WINO_N], z[WINO_N];
            V_UNROLL for (int r = 0; r < n; r++) d[r] = half[r][j];
            if (back)
                wino_back_out_axis(m, d, z);
            else
                wino_in_axis(m, d, z);
            V_UNROLL for (int i = 0; i < m + 2; i++)
                v_store_some(v + (i * (m + 2) + j) * v_point + t, some, z[i]);
        }
        t += tiles;
    }
}

V_INLINE void wino_gather(const int m, const wino_tiles *g, const float *z, ptrdiff_t z_point,
                          float bias, const float *add, act_kind act, float slope, float *y,
                          ptrdiff_t ahead) {
    for (int t = 0; t < g->count;) {
        const int tile = g->first + t, tiles = wino_together(g, tile, g->count - t);
        const int x0 = tile % g->across * m + g->x, y0 = tile / g->across * m + g->y;
        const int cells = g->w - x0 < m * tiles ? g->w - x0 : m * tiles;
        if (ahead) wino_fetch(m, g->w, tiles, y + ahead + (ptrdiff_t)y0 * g->w + x0);
        if (ahead && add) wino_fetch(m, g->w, tiles, add + ahead + (ptrdiff_t)y0 * g->w + x0);
        vf half[WINO_N][4]; /* [column][row]: columns done */
        V_UNROLL for (int j = 0; j < m + 2; j++) {
            vf d[WINO_N];
            V_UNROLL for (int i = 0; i < m + 2; i++) d[i] =
                v_load(z + (i * (m + 2) + j) * z_point + t);
            wino_out_axis(m, d, half[j]);
        }
        V_UNROLL for (int r = 0; r < m; r++) {
            vf d[WINO_N], out[4], line[4];
            if (y0 + r >= g->h) break;
            V_UNROLL for (int j = 0; j < m + 2; j++) d[j] = half[j][r];
            wino_out_axis(m, d, out);
            if (m == 2) {
                line[0] = v_zip_lo(out[0], out[1]), line[1] = v_zip_hi(out[0], out[1]);
            } else {
                const vf even = v_zip_lo(out[0], out[2]), even2 = v_zip_hi(out[0], out[2]);
                const vf odd = v_zip_lo(out[1], out[3]), odd2 = v_zip_hi(out[1], out[3]);
                line[0] = v_zip_lo(even, odd), line[1] = v_zip_hi(even, odd);
                line[2] = v_zip_lo(even2, odd2), line[3] = v_zip_hi(even2, odd2);
            }
            const ptrdiff_t at = (ptrdiff_t)(y0 + r) * g->w + x0;
            V_UNROLL for (int i = 0; i < m; i++) {
                const vp some = v_first(cells - i * V_LANES);
                vf sum = v_add(line[i], v_set1(bias));
                if (add) sum = v_add(sum, v_load_some(add + at + i * V_LANES, some));
                if (act == ACT_RELU) sum = v_max(v_zero(), sum);
                if (act == ACT_LEAKY) sum = act_leaky(v_set1(slope), sum);
                v_store_some(y + at + i * V_LANES, some, sum);
            }
        }
        t += tiles;
    }
}

/* ---- Kernels --------------------------------------------------------------------------------- */

V_INLINE void wino_kernel_body(const int m, int n, const float *g, bool turn, float *u,
                               ptrdiff_t u_point) {
    for (int k = 0; k < n; k += V_LANES) {
        const vp part = v_first(n - k);
        vf half[3][WINO_N]; /* [column][point] */
        V_UNROLL for (int s = 0; s < 3; s++) {
            vf d[3];
            V_UNROLL for (int r = 0; r < 3; r++) d[r] =
                v_load_some(g + (turn ? 8 - 3 * r - s : 3 * r + s) * n + k, part);
            wino_kernel_axis(m, d, half[s]);
        }
        V_UNROLL for (int i = 0; i < m + 2; i++) {
            vf d[3], z[WINO_N];
            V_UNROLL for (int s = 0; s < 3; s++) d[s] = half[s][i];
            wino_kernel_axis(m, d, z);
            V_UNROLL for (int j = 0; j < m + 2; j++)
                v_store_some(u + (i * (m + 2) + j) * u_point + k, part, z[j]);
        }
    }
}

V_INLINE void wino_back_kernel_body(const int m, int n, const float *u, ptrdiff_t u_point,
                                    bool turn, float *g) {
    for (int k = 0; k < n; k += V_LANES) {
        const vp part = v_first(n - k);
        vf half[WINO_N][3]; /* [column][row] */
        V_UNROLL for (int j = 0; j < m + 2; j++) {
            vf d[WINO_N];
            V_UNROLL for (int i = 0; i < m + 2; i++) d[i] =
                v_load_some(u + (i * (m + 2) + j) * u_point + k, part);
            wino_back_kernel_axis(m, d, half[j]);
        }
        V_UNROLL for (int r = 0; r < 3; r++) {
            vf d[WINO_N], z[3];
            V_UNROLL for (int j = 0; j < m + 2; j++) d[j] = half[j][r];
            wino_back_kernel_axis(m, d, z);
            V_UNROLL for (int s = 0; s < 3; s++)
                v_store_some(g + (turn ? 8 - 3 * r - s : 3 * r + s) * n + k, part, z[s]);
        }
    }
}

/* ---- The slots ------------------------------------------------------------------------------- */

V_UNCHECKED static void wino_in(int m, const wino_tiles *g, const float *x, ptrdiff_t ahead,
                                float *v, ptrdiff_t v_point) {
    if (m == 2)
        wino_spread(2, 4, false, g, x, ahead, v, v_point);
    else
        wino_spread(4, 6, false, g, x, ahead, v, v_point);
}

V_UNCHECKED static void wino_back_out(int m, const wino_tiles *g, const float *dy, ptrdiff_t ahead,
                                      float *v, ptrdiff_t v_point) {
    if (m == 2)
        wino_spread(2, 2, true, g, dy, ahead, v, v_point);
    else
        wino_spread(4, 4, true, g, dy, ahead, v, v_point);
}

V_UNCHECKED static void wino_out(int m, const wino_tiles *g, const float *z, ptrdiff_t z_point,
                                 float bias, const float *add, act_kind act, float slope, float *y,
                                 ptrdiff_t ahead) {
    if (m == 2)
        wino_gather(2, g, z, z_point, bias, add, act, slope, y, ahead);
    else
        wino_gather(4, g, z, z_point, bias, add, act, slope, y, ahead);
}

V_UNCHECKED static void wino_kernel(int m, int n, const float *g, bool turn, float *u,
                                    ptrdiff_t u_point) {
    if (m == 2)
        wino_kernel_body(2, n, g, turn, u, u_point);
    else
        wino_kernel_body(4, n, g, turn, u, u_point);
}

V_UNCHECKED static void wino_back_kernel(int m, int n, const float *u, ptrdiff_t u_point, bool turn,
                                         float *g) {
    if (m == 2)
        wino_back_kernel_body(2, n, u, u_point, turn, g);
    else
        wino_back_kernel_body(4, n, u, u_point, turn, g);
}
