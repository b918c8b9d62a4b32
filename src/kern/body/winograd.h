/* winograd.h - slots `wino_in`, `wino_out`, `wino_kernel` and, for the gradient of the kernels,
 * `wino_turned`, `wino_back_kernel`: the transforms of Winograd's F(m x m, k x k), with n = m+k-1 points
 * along an axis: F(2x2, 3x3), F(4x4, 3x3), F(4x4, 5x5).
 *
 * Finite points are 0 and pairs +-p; the last is infinity. With M(x) the product of (x - point) over the
 * finite points and M_j that without point j (Lavin & Gray 2016; Blahut, "Fast algorithms for signal
 * processing", 5.4):
 *   rows of B': the coefficients of M_j, last of M
 *   rows of A:  1, point, point^2, ... for m outputs; last: only the last of them
 *   rows of G:  the same for k cells, over M_j(point)
 * A pair shares its work: with Q_p(x) = M(x) / (x (x^2-p^2)), a polynomial in x^2, M_{+-p} is
 * (x +- p) x Q_p(x): terms of even powers, plus or minus those of odd ones.
 *
 * A function for each m and k: they are constants after inlining. Lanes run along tiles, across the ends
 * of rows and pictures: rows of cells are laid side by side first.
 *
 * SPDX-License-Identifier: Apache-2.0 */

enum { WINO_POINTS = 8, WINO_PAIRS = 3, WINO_CELLS = 4 }; /* most points, pairs of them, and m */

/* M(x)/x and Q_p(x) as coefficients of 1, x^2, ..., without the leading 1; 1/M_j(point) of 0 and of
 * the pairs. */
typedef struct wino_point_set {
    float point[WINO_PAIRS], square[WINO_PAIRS], all[WINO_PAIRS];
    float without[WINO_PAIRS][WINO_PAIRS - 1];
    float over[1 + WINO_PAIRS];
} wino_point_set;

/* [pairs - 1]. sqrt(1/2), sqrt(2) have a third of the error of the customary 1, 2; 1/2, 1, 2 were the
 * best of a grid of triples (2026-11). */
static const wino_point_set wino_points[WINO_PAIRS] = {
    { { 1 }, { 1 }, { -1 }, { { 0 } }, { -1, 0.5f } },
    { { 0.70710678118654752f, 1.41421356237309505f },
      { 0.5f, 2 },
      { 1, -2.5f },
      { { -2 }, { -0.5f } },
      { 1, -2.0f / 3, 1.0f / 6 } },
    { { 0.5f, 1, 2 },
      { 0.25f, 1, 4 },
      { -1, 5.25f, -5.25f },
      { { 4, -5 }, { 1, -4.25f }, { 0.25f, -1.25f } },
      { -1, 1 / 1.40625f, -1 / 4.5f, 1.0f / 90 } },
};

/* ---- One axis -------------------------------------------------------------------------------- */

/* The polynomial with x[0], x[2], ... in place of 1, x^2, ... */
V_INLINE vf wino_even_powers(const float *coefficient, const int count, const vf *x) {
    vf sum = x[2 * count];
    V_UNROLL for (int i = 0; i < count; i++) sum = v_fma(v_set1(coefficient[i]), x[2 * i], sum);
    return sum;
}

/* z = B' d. */
V_INLINE void wino_in_axis(const int n, const vf *d, vf *z) {
    const int pairs = n / 2 - 1;
    const wino_point_set *p = &wino_points[pairs - 1];
    z[0] = wino_even_powers(p->all, pairs, d);
    V_UNROLL for (int j = 0; j < pairs; j++) {
        const vf even = wino_even_powers(p->without[j], pairs - 1, d + 2);
        const vf odd = wino_even_powers(p->without[j], pairs - 1, d + 1);
        const vf scaled = p->point[j] == 1 ? odd : v_mul(v_set1(p->point[j]), odd);
        z[1 + 2 * j] = v_add(even, scaled);
        z[2 + 2 * j] = v_sub(even, scaled);
    }
    z[n - 1] = wino_even_powers(p->all, pairs, d + 1);
}

/* point^i, even powers exactly: rounded ones would not cancel what a constant input leaves at the points. */
V_INLINE float wino_power(const wino_point_set *p, const int j, const int i) {
    float power = i % 2 ? p->point[j] : 1;
    V_UNROLL for (int k = 0; k < i / 2; k++) power *= p->square[j];
    return power;
}

/* factor * x + sum. */
V_INLINE vf wino_add(const float factor, vf x, vf sum) {
    return factor == 1 ? v_add(x, sum) : v_fma(v_set1(factor), x, sum);
}

/* z = A y, or `over` G y, for `count` numbers y. */
V_INLINE void wino_powers_axis(const int n, const int count, const bool over, const vf *y, vf *z) {
    const int pairs = n / 2 - 1;
    const wino_point_set *p = &wino_points[pairs - 1];
    z[0] = over ? v_mul(v_set1(p->over[0]), y[0]) : y[0];
    V_UNROLL for (int j = 0; j < pairs; j++) {
        vf part[2]; /* of even powers and of odd ones */
        V_UNROLL for (int i = 0; i < count; i++) {
            const float power = wino_power(p, j, i) * (over ? p->over[1 + j] : 1);
            part[i % 2] = i < 2 ? v_mul(v_set1(power), y[i]) : wino_add(power, y[i], part[i % 2]);
        }
        z[1 + 2 * j] = v_add(part[0], part[1]);
        z[2 + 2 * j] = v_sub(part[0], part[1]);
    }
    z[n - 1] = y[count - 1];
}

/* The transpose: y = A' z, or `over` G' z. */
V_INLINE void wino_sums_axis(const int n, const int count, const bool over, const vf *z, vf *y) {
    const int pairs = n / 2 - 1;
    const wino_point_set *p = &wino_points[pairs - 1];
    vf part[WINO_PAIRS][2];
    V_UNROLL for (int j = 0; j < pairs; j++) {
        part[j][0] = v_add(z[1 + 2 * j], z[2 + 2 * j]);
        part[j][1] = v_sub(z[1 + 2 * j], z[2 + 2 * j]);
    }
    V_UNROLL for (int i = 0; i < count; i++) {
        vf sum = i == count - 1 ? z[n - 1] : v_zero();
        if (i == 0) sum = over ? v_mul(v_set1(p->over[0]), z[0]) : z[0];
        V_UNROLL for (int j = 0; j < pairs; j++) {
            const float power = wino_power(p, j, i) * (over ? p->over[1 + j] : 1);
            sum = wino_add(power, part[j][i % 2], sum);
        }
        y[i] = sum;
    }
}

/* ---- Cells of the planes --------------------------------------------------------------------- */

/* m cells of each tile side by side; a run of tiles is written by whole vectors. */
typedef float wino_line[WINO_CELLS * V_LANES + V_LANES];

/* The next tiles that lie side by side in a picture. */
typedef struct wino_run {
    int image, row, column; /* of tiles */
    int tiles;
} wino_run;

V_INLINE wino_run wino_first_run(const wino_tiles *g, int t) {
    const int tile = g->first + t, in_picture = tile % g->tiles;
    return (wino_run){ tile / g->tiles, in_picture / g->across, in_picture % g->across, 0 };
}

/* Behind the last run; at most `most` tiles. */
V_INLINE void wino_next_run(const wino_tiles *g, int most, wino_run *run) {
    run->column += run->tiles;
    if (run->column == g->across) run->column = 0, run->row++;
    if (run->row * g->across == g->tiles) run->row = 0, run->image++;
    run->tiles = g->across - run->column < most ? g->across - run->column : most;
}

/* d[s] = cell s of each tile in a line. */
V_INLINE void wino_split(const int m, const int count, const float *line, vf *d) {
    vf x[WINO_CELLS];
    V_UNROLL for (int i = 0; i < m; i++) x[i] = v_load(line + i * V_LANES);
    const vf even = v_even(x[0], x[1]), odd = v_odd(x[0], x[1]);
    if (m == 2) {
        d[0] = even, d[1] = odd;
        return;
    }
    const vf even2 = v_even(x[2], x[3]), odd2 = v_odd(x[2], x[3]);
    d[0] = v_even(even, even2), d[1] = v_even(odd, odd2);
    if (count > 2) d[2] = v_odd(even, even2), d[3] = v_odd(odd, odd2);
}

/* The reverse. */
V_INLINE void wino_join(const int m, const vf *d, float *line) {
    if (m == 2) {
        v_store(line, v_zip_lo(d[0], d[1])), v_store(line + V_LANES, v_zip_hi(d[0], d[1]));
        return;
    }
    const vf even = v_zip_lo(d[0], d[2]), even2 = v_zip_hi(d[0], d[2]);
    const vf odd = v_zip_lo(d[1], d[3]), odd2 = v_zip_hi(d[1], d[3]);
    v_store(line, v_zip_lo(even, odd)), v_store(line + V_LANES, v_zip_hi(even, odd));
    v_store(line + 2 * V_LANES, v_zip_lo(even2, odd2));
    v_store(line + 3 * V_LANES, v_zip_hi(even2, odd2));
}

/* Copies a run of tiles, from cell (y, x) of the plane on, to `at` of the lines: cells 0 .. m-1 of their
 * `rows` rows, and to `next` those from m on. */
V_INLINE void wino_copy(const int m, const int rows, const wino_tiles *g, const float *plane, int y,
                        int x, int tiles, ptrdiff_t ahead, wino_line *line, wino_line *next,
                        int at) {
    for (int i = 0; i < m * tiles; i += V_LANES, x += V_LANES, at += V_LANES) {
        const vp part = v_from(v_first(g->w - x), -x);
        const vp part_next = v_from(v_first(g->w - x - m), -x - m);
        const float *cell = plane + (ptrdiff_t)y * g->w + x;
        V_ROLLED for (int r = 0; r < rows; r++, cell += g->w) {
            const bool inside = y + r >= 0 && y + r < g->h;
            v_store(line[r] + at, v_load_some(cell, inside ? part : v_first(0)));
            v_store(next[r] + at, v_load_some(cell + m, inside ? part_next : v_first(0)));
            /* Planes lie so far apart that no prefetcher of the processor follows (64 maps of 56x56
             * from memory: 290 ns a row, 80 with this; 70 from cache. 2026-11, AMD Zen 5). */
            if (ahead && r < m) v_prefetch(cell + ahead);
        }
    }
}

/* V = B' d B for n x n cells of each tile. */
V_INLINE void wino_spread(const int m, const int n, const wino_tiles *g, const float *x,
                          ptrdiff_t ahead, float *v, ptrdiff_t v_point) {
    wino_line line[WINO_POINTS], next[WINO_POINTS]; /* cells 0 .. m-1, and those from m on */
    wino_run run = wino_first_run(g, 0);
    for (int t = 0; t < g->count; t += V_LANES) {
        const int tiles = g->count - t < V_LANES ? g->count - t : V_LANES;
        for (int i = 0; i < tiles; i += run.tiles) {
            wino_next_run(g, tiles - i, &run);
            const float *plane = x + run.image * g->image;
            const int x0 = run.column * m + g->x, y0 = run.row * m + g->y;
            wino_copy(m, n, g, plane, y0, x0, run.tiles, ahead, line, next, m * i);
        }
        vf half[WINO_POINTS][WINO_POINTS]; /* [row][point]: rows done */
        V_ROLLED for (int r = 0; r < n; r++) {
            vf d[WINO_POINTS];
            wino_split(m, m, line[r], d);
            wino_split(m, n - m, next[r], d + m);
            wino_in_axis(n, d, half[r]);
        }
        const vp some = v_first(tiles);
        V_ROLLED for (int j = 0; j < n; j++) {
            vf d[WINO_POINTS], z[WINO_POINTS];
            V_UNROLL for (int r = 0; r < n; r++) d[r] = half[r][j];
            wino_in_axis(n, d, z);
            V_UNROLL for (int i = 0; i < n; i++)
                v_store_some(v + (i * n + j) * v_point + t, some, z[i]);
        }
    }
}

/* The same of planes turned round, lanes along maps; if `back`, A d A' for m x m cells. */
V_INLINE void wino_turned_body(const int m, const int k, const bool back, int down, int across,
                               const float *x, ptrdiff_t row, float *v, ptrdiff_t tile,
                               ptrdiff_t point) {
    const int n = m + k - 1, cells = back ? m : n;
    for (int t = 0; t < down * across; t++, v += tile) {
        const float *cell = x + t / across * m * row + t % across * m * V_LANES;
        vf half[WINO_POINTS][WINO_POINTS]; /* [row][point]: rows done */
        V_ROLLED for (int r = 0; r < cells; r++, cell += row) {
            vf d[WINO_POINTS];
            V_UNROLL for (int s = 0; s < cells; s++) d[s] = v_load(cell + s * V_LANES);
            if (back)
                wino_powers_axis(n, m, false, d, half[r]);
            else
                wino_in_axis(n, d, half[r]);
        }
        V_ROLLED for (int j = 0; j < n; j++) {
            vf d[WINO_POINTS], z[WINO_POINTS];
            V_UNROLL for (int r = 0; r < cells; r++) d[r] = half[r][j];
            if (back)
                wino_powers_axis(n, m, false, d, z);
            else
                wino_in_axis(n, d, z);
            V_UNROLL for (int i = 0; i < n; i++) v_store(v + (i * n + j) * point, z[i]);
        }
    }
}

V_INLINE void wino_gather(const int m, const int n, const wino_tiles *g, const float *z,
                          ptrdiff_t z_point, float bias, const float *add, act_kind act,
                          float slope, const float *mask, float *y, ptrdiff_t ahead) {
    wino_line line[WINO_CELLS];
    wino_run run = wino_first_run(g, 0);
    for (int t = 0; t < g->count; t += V_LANES) {
        const int tiles = g->count - t < V_LANES ? g->count - t : V_LANES;
        vf half[WINO_POINTS][WINO_CELLS]; /* [column][row]: columns done */
        V_ROLLED for (int j = 0; j < n; j++) {
            vf d[WINO_POINTS];
            V_UNROLL for (int i = 0; i < n; i++) d[i] = v_load(z + (i * n + j) * z_point + t);
            wino_sums_axis(n, m, false, d, half[j]);
        }
        V_ROLLED for (int r = 0; r < m; r++) {
            vf d[WINO_POINTS], out[WINO_CELLS];
            V_UNROLL for (int j = 0; j < n; j++) d[j] = half[j][r];
            wino_sums_axis(n, m, false, d, out);
            wino_join(m, out, line[r]);
        }
        for (int i = 0; i < tiles; i += run.tiles) {
            wino_next_run(g, tiles - i, &run);
            const int x0 = run.column * m + g->x, y0 = run.row * m + g->y;
            const int rest = g->w - x0 < m * run.tiles ? g->w - x0 : m * run.tiles;
            const ptrdiff_t first = run.image * g->image + (ptrdiff_t)y0 * g->w + x0;
            for (int c = 0; c < rest; c += V_LANES) {
                const vp some = v_first(rest - c);
                for (int r = 0; r < m && y0 + r < g->h; r++) {
                    const ptrdiff_t at = first + (ptrdiff_t)r * g->w + c;
                    if (ahead) v_prefetch(y + at + ahead);
                    if (ahead && add) v_prefetch(add + at + ahead);
                    if (ahead && mask) v_prefetch(mask + at + ahead);
                    vf sum = v_add(v_load_some(line[r] + m * i + c, some), v_set1(bias));
                    if (add) sum = v_add(sum, v_load_some(add + at, some));
                    if (act == ACT_RELU) sum = v_max(v_zero(), sum);
                    if (act == ACT_LEAKY) sum = act_leaky(v_set1(slope), sum);
                    if (mask)
                        sum = act_slope(ACT_RELU, v_zero(), v_load_some(mask + at, some), sum);
                    v_store_some(y + at, some, sum);
                }
            }
        }
    }
}

/* ---- Kernels --------------------------------------------------------------------------------- */

V_INLINE void wino_kernel_body(const int m, const int k, int count, const float *g, bool turn,
                               float *u, ptrdiff_t u_point) {
    const int n = m + k - 1;
    for (int c = 0; c < count; c += V_LANES) {
        const vp part = v_first(count - c);
        vf half[WINO_POINTS][WINO_POINTS]; /* [column][point] */
        V_ROLLED for (int s = 0; s < k; s++) {
            vf d[WINO_POINTS];
            V_UNROLL for (int r = 0; r < k; r++) d[r] =
                v_load_some(g + (turn ? k * k - 1 - k * r - s : k * r + s) * count + c, part);
            wino_powers_axis(n, k, true, d, half[s]);
        }
        V_ROLLED for (int i = 0; i < n; i++) {
            vf d[WINO_POINTS], z[WINO_POINTS];
            V_UNROLL for (int s = 0; s < k; s++) d[s] = half[s][i];
            wino_powers_axis(n, k, true, d, z);
            V_UNROLL for (int j = 0; j < n; j++)
                v_store_some(u + (i * n + j) * u_point + c, part, z[j]);
        }
    }
}

V_INLINE void wino_back_kernel_body(const int m, const int k, int count, const float *u,
                                    ptrdiff_t u_point, bool turn, float *g) {
    const int n = m + k - 1;
    for (int c = 0; c < count; c += V_LANES) {
        const vp part = v_first(count - c);
        vf half[WINO_POINTS][WINO_POINTS]; /* [column][row] */
        V_ROLLED for (int j = 0; j < n; j++) {
            vf d[WINO_POINTS];
            V_UNROLL for (int i = 0; i < n; i++) d[i] =
                v_load_some(u + (i * n + j) * u_point + c, part);
            wino_sums_axis(n, k, true, d, half[j]);
        }
        V_ROLLED for (int r = 0; r < k; r++) {
            vf d[WINO_POINTS], z[WINO_POINTS];
            V_UNROLL for (int j = 0; j < n; j++) d[j] = half[j][r];
            wino_sums_axis(n, k, true, d, z);
            V_UNROLL for (int s = 0; s < k; s++) v_store_some(
                g + (turn ? k * k - 1 - k * r - s : k * r + s) * count + c, part, z[s]);
        }
    }
}

/* ---- The slots ------------------------------------------------------------------------------- */

/* Calls body(m, k, ...) with constants. */
#define WINO_EACH(body, ...)                                                                       \
    do {                                                                                           \
        if (m == 2)                                                                                \
            body(2, 3, __VA_ARGS__);                                                               \
        else if (k == 3)                                                                           \
            body(4, 3, __VA_ARGS__);                                                               \
        else                                                                                       \
            body(4, 5, __VA_ARGS__);                                                               \
    } while (0)
#define WINO_IN(m, k, ...)  wino_spread(m, m + k - 1, __VA_ARGS__)
#define WINO_OUT(m, k, ...) wino_gather(m, m + k - 1, __VA_ARGS__)

V_UNCHECKED static void wino_in(int m, int k, const wino_tiles *g, const float *x, ptrdiff_t ahead,
                                float *v, ptrdiff_t v_point) {
    WINO_EACH(WINO_IN, g, x, ahead, v, v_point);
}

V_UNCHECKED static void wino_turned(int m, int k, bool back, int down, int across, const float *x,
                                    ptrdiff_t row, float *v, ptrdiff_t tile, ptrdiff_t point) {
    if (back)
        WINO_EACH(wino_turned_body, true, down, across, x, row, v, tile, point);
    else
        WINO_EACH(wino_turned_body, false, down, across, x, row, v, tile, point);
}

V_UNCHECKED static void wino_out(int m, int k, const wino_tiles *g, const float *z,
                                 ptrdiff_t z_point, float bias, const float *add, act_kind act,
                                 float slope, const float *mask, float *y, ptrdiff_t ahead) {
    WINO_EACH(WINO_OUT, g, z, z_point, bias, add, act, slope, mask, y, ahead);
}

V_UNCHECKED static void wino_kernel(int m, int k, int n, const float *g, bool turn, float *u,
                                    ptrdiff_t u_point) {
    WINO_EACH(wino_kernel_body, n, g, turn, u, u_point);
}

V_UNCHECKED static void wino_back_kernel(int m, int k, int n, const float *u, ptrdiff_t u_point,
                                         bool turn, float *g) {
    WINO_EACH(wino_back_kernel_body, n, u, u_point, turn, g);
}
