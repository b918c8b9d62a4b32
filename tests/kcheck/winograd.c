/* winograd.c - checks of the Winograd slots: each transform against its matrix in double, the three
 * together against the convolution they compute.
 *
 * The matrices are built here from the points by the general construction (body/winograd.h cites it),
 * not copied from the kernels.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/kcheck/kcheck.h"

#include <math.h>
#include <string.h>

static const int counts[] = { 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33 };
enum { COUNTS = sizeof counts / sizeof *counts, TILES = 2 }; /* m = 2 and 4 */

typedef struct matrices {
    int m, n; /* outputs and inputs of a tile along an axis */
    double in[6][6], kernel[6][3], out[4][6];
} matrices;

/* Coefficients of the product of (x - point) over the finite points, without number `skip`. */
static void product(const double *point, int points, int skip, double coefficient[6]) {
    memset(coefficient, 0, 6 * sizeof *coefficient);
    coefficient[0] = 1;
    for (int k = 0; k < points; k++) {
        if (k == skip) continue;
        for (int i = 5; i >= 0; i--)
            coefficient[i] = (i ? coefficient[i - 1] : 0) - point[k] * coefficient[i];
    }
}

static matrices build(int side) {
    const double two[3] = { 0, 1, -1 }, four[5] = { 0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2) };
    const double *point = side == 2 ? two : four;
    matrices m = { .m = side, .n = side + 2 };
    for (int j = 0; j < side + 1; j++) {
        double at = 0;
        product(point, side + 1, j, m.in[j]);
        for (int i = 5; i >= 0; i--) at = at * point[j] + m.in[j][i];
        for (int i = 0; i < 3; i++) m.kernel[j][i] = pow(point[j], i) / at;
        for (int i = 0; i < side; i++) m.out[i][j] = pow(point[j], i);
    }
    product(point, side + 1, side + 1, m.in[side + 1]);
    m.kernel[side + 1][2] = m.out[side - 1][side + 1] = 1;
    return m;
}

/* One element of L X L' and the sum of the absolute products in it. X has `n` columns, L too. */
static double sandwich(const double *left, const double *right, const double *x, int n,
                       double *magnitude) {
    double sum = 0;
    *magnitude = 0;
    for (int r = 0; r < n; r++)
        for (int s = 0; s < n; s++) {
            double term = left[r] * x[r * n + s] * right[s];
            sum += term, *magnitude += fabs(term);
        }
    return sum;
}

/* Each element passes two axes of at most six terms. */
enum { AXES = 16 };

/* A plane whose tiles reach over all its edges, `count` of them from some tile on. */
static wino_tiles pick_tiles(check *c, int m, int count) {
    wino_tiles g = { .across = 1 + (int)pick(c, 40), .first = (int)pick(c, 30), .count = count };
    const int down = (g.first + count + g.across - 1) / g.across;
    g.y = -(int)pick(c, 3), g.x = -(int)pick(c, 3);
    g.h = m * down - (int)pick(c, (uint32_t)m), g.w = m * g.across - (int)pick(c, (uint32_t)m);
    return g;
}

/* Row and column of the plane of tile p's cell (r, s); false if there is none. */
static bool cell_of(const wino_tiles *g, int m, int p, int r, int s, int *at) {
    const int y = g->y + (g->first + p) / g->across * m + r;
    const int x = g->x + (g->first + p) % g->across * m + s;
    *at = y * g->w + x;
    return y >= 0 && y < g->h && x >= 0 && x < g->w;
}

/* Both ways into points: V = B' d B of n x n cells, and A dy A' of m x m. */
static void check_spread(check *c, bool back) {
    for (int i = 0; i < TILES * COUNTS; i++) {
        const matrices m = build(2 + 2 * (i % TILES));
        const int n = back ? m.m : m.n, all = m.n * m.n;
        wino_tiles g = pick_tiles(c, m.m, counts[i / TILES]);
        if (back) g.y = g.x = 0;
        const ptrdiff_t point = g.count + (ptrdiff_t)pick(c, 3);
        double turned[6][6]; /* A: out turned round */
        for (int j = 0; j < 36; j++) turned[j / 6][j % 6] = j % 6 < m.m ? m.out[j % 6][j / 6] : 0;
        case_begin(c, "m=%d count=%d of %dx%d, %d across", m.m, g.count, g.h, g.w, g.across);
        float *x = case_random(c, (size_t)(g.h * g.w), NO_SLACK),
              *v = case_array(c, (size_t)((all - 1) * point + g.count), NO_SLACK);
        (back ? check_kern(c)->wino_back_out : check_kern(c)->wino_in)(m.m, &g, x, 0, v, point);
        for (int p = 0; p < g.count; p++) {
            double d[36], magnitude;
            for (int j = 0, at; j < n * n; j++)
                d[j] = cell_of(&g, m.m, p, j / n, j % n, &at) ? x[at] : 0;
            for (int k = 0; k < all; k++) {
                const double *left = back ? turned[k / m.n] : m.in[k / m.n];
                const double *right = back ? turned[k % m.n] : m.in[k % m.n];
                const double want = sandwich(left, right, d, n, &magnitude);
                case_near(c, "v", (size_t)k, v[k * point + p], want, AXES * ROUNDING * magnitude);
            }
        }
        for (int k = 0; k + 1 < all && point > g.count; k++)
            case_true(c, isnan(v[k * point + g.count]), "nothing beyond");
        case_end(c);
    }
}
static void check_in(check *c) { check_spread(c, false); }
static void check_back_out(check *c) { check_spread(c, true); }

static void check_out(check *c) {
    const act_kind acts[] = { ACT_NONE, ACT_RELU, ACT_LEAKY };
    for (int i = 0; i < TILES * COUNTS * 3; i++) {
        const matrices m = build(2 + 2 * (i % TILES));
        const bool adds = pick(c, 2) == 1;
        const act_kind act = acts[i / TILES % 3];
        const int all = m.n * m.n;
        wino_tiles g = pick_tiles(c, m.m, counts[i / TILES / 3]);
        g.y = g.x = 0;
        const ptrdiff_t point = g.count + (ptrdiff_t)pick(c, 3);
        case_begin(c, "m=%d count=%d of %dx%d, %d across, act=%d add=%d", m.m, g.count, g.h, g.w,
                   g.across, (int)act, adds);
        float *in = case_random(c, (size_t)((all - 1) * point + g.count), LENS_SLACK),
              *y = case_array(c, (size_t)(g.h * g.w), NO_SLACK),
              *add = case_random(c, (size_t)(g.h * g.w), NO_SLACK);
        const float bias = pick_float(c, -1, 1), slope = 0.25f;
        check_kern(c)->wino_out(m.m, &g, in, point, bias, adds ? add : NULL, act, slope, y, 0);
        int written = 0;
        for (int p = 0; p < g.count; p++) {
            double z[36], magnitude;
            for (int k = 0; k < all; k++) z[k] = in[k * point + p];
            for (int k = 0, at; k < m.m * m.m; k++) {
                double want =
                    (double)bias + sandwich(m.out[k / m.m], m.out[k % m.m], z, m.n, &magnitude);
                if (!cell_of(&g, m.m, p, k / m.m, k % m.m, &at)) continue;
                if (adds) want += (double)add[at];
                if (act == ACT_RELU && want < 0) want = 0;
                if (act == ACT_LEAKY && want < 0) want *= (double)slope;
                case_near(c, "y", (size_t)at, y[at], want, AXES * ROUNDING * (magnitude + 2));
                written++;
            }
        }
        for (int k = 0; k < g.h * g.w; k++) written -= !isnan(y[k]);
        case_true(c, written == 0, "nothing beyond");
        case_end(c);
    }
}

static void check_kernel(check *c) {
    for (int i = 0; i < TILES * 2 * COUNTS; i++) {
        const matrices m = build(2 + 2 * (i % TILES));
        int n = counts[i / TILES / 2], turn = i / TILES % 2, all = m.n * m.n;
        ptrdiff_t point = n + 3;
        case_begin(c, "m=%d n=%d turn=%d", m.m, n, turn);
        float *g = case_random(c, (size_t)(9 * n), NO_SLACK),
              *u = case_array(c, (size_t)((all - 1) * point + n), NO_SLACK);
        check_kern(c)->wino_kernel(m.m, n, g, turn, u, point);
        for (int k = 0; k < n; k++) {
            double x[9], magnitude;
            for (int j = 0; j < 9; j++) x[j] = g[(turn ? 8 - j : j) * n + k];
            for (int j = 0; j < all; j++) {
                double want = sandwich(m.kernel[j / m.n], m.kernel[j % m.n], x, 3, &magnitude);
                case_near(c, "u", (size_t)j, u[j * point + k], want, AXES * ROUNDING * magnitude);
            }
        }
        case_end(c);
    }
}

static void check_back_kernel(check *c) {
    for (int i = 0; i < TILES * 2 * COUNTS; i++) {
        const matrices m = build(2 + 2 * (i % TILES));
        int n = counts[i / TILES / 2], turn = i / TILES % 2, all = m.n * m.n;
        ptrdiff_t point = n + 3;
        double turned[3][6]; /* G' */
        for (int j = 0; j < 18; j++) turned[j / 6][j % 6] = m.kernel[j % 6][j / 6];
        case_begin(c, "m=%d n=%d turn=%d", m.m, n, turn);
        float *u = case_random(c, (size_t)((all - 1) * point + n), NO_SLACK),
              *g = case_array(c, (size_t)(9 * n), NO_SLACK);
        check_kern(c)->wino_back_kernel(m.m, n, u, point, turn, g);
        for (int k = 0; k < n; k++) {
            double z[36], magnitude;
            for (int j = 0; j < all; j++) z[j] = u[j * point + k];
            for (int j = 0; j < 9; j++) {
                double want = sandwich(turned[j / 3], turned[j % 3], z, m.n, &magnitude);
                case_near(c, "g", (size_t)j, g[(turn ? 8 - j : j) * n + k], want,
                          AXES * ROUNDING * magnitude);
            }
        }
        case_end(c);
    }
}

/* The construction itself: A' ((G k G') . (B' d B)) A is the valid correlation of a tile. */
static void check_identity(check *c) {
    for (int side = 2; side <= 4; side += 2) {
        const matrices m = build(side);
        const int n = m.n;
        double d[36], k[9], z[36], magnitude;
        case_begin(c, "the matrices of m=%d give a correlation", side);
        for (int i = 0; i < 36; i++) d[i] = (double)pick_float(c, -1, 1);
        for (int i = 0; i < 9; i++) k[i] = (double)pick_float(c, -1, 1);
        for (int i = 0; i < n * n; i++)
            z[i] = sandwich(m.in[i / n], m.in[i % n], d, n, &magnitude) *
                   sandwich(m.kernel[i / n], m.kernel[i % n], k, 3, &magnitude);
        for (int i = 0; i < side * side; i++) {
            double want = 0;
            for (int j = 0; j < 9; j++) want += k[j] * d[(i / side + j / 3) * n + i % side + j % 3];
            case_near(c, "y", (size_t)i,
                      sandwich(m.out[i / side], m.out[i % side], z, n, &magnitude), want, 1e-13);
        }
        case_end(c);
    }
}

const check_slot winograd_slots[] = {
    { "wino_in", check_in },
    { "wino_out", check_out },
    { "wino_kernel", check_kernel },
    { "wino_back_out", check_back_out },
    { "wino_back_kernel", check_back_kernel },
    { "wino", check_identity },
    { 0 },
};
