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
enum { COUNTS = sizeof counts / sizeof *counts, MOST = 8 }; /* points along an axis */

static const struct { int m, k; } kinds[] = { { 2, 3 }, { 4, 3 }, { 4, 5 } };
enum { KINDS = sizeof kinds / sizeof *kinds };

typedef struct matrices {
    int m, k, n; /* along an axis: outputs of a tile, cells of the kernel, points */
    double in[MOST][MOST], kernel[MOST][5], out[4][MOST];
} matrices;

/* Coefficients of the product of (x - point) over the finite points, without number `skip`. */
static void product(const double *point, int points, int skip, double coefficient[MOST]) {
    memset(coefficient, 0, MOST * sizeof *coefficient);
    coefficient[0] = 1;
    for (int k = 0; k < points; k++) {
        if (k == skip) continue;
        for (int i = MOST - 1; i >= 0; i--)
            coefficient[i] = (i ? coefficient[i - 1] : 0) - point[k] * coefficient[i];
    }
}

static matrices build(int kind) {
    const double points[KINDS][MOST - 1] = { { 0, 1, -1 },
                                             { 0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2) },
                                             { 0, 0.5, -0.5, 1, -1, 2, -2 } };
    const double *point = points[kind];
    matrices m = { .m = kinds[kind].m, .k = kinds[kind].k };
    m.n = m.m + m.k - 1;
    for (int j = 0; j < m.n - 1; j++) {
        double at = 0;
        product(point, m.n - 1, j, m.in[j]);
        for (int i = MOST - 1; i >= 0; i--) at = at * point[j] + m.in[j][i];
        for (int i = 0; i < m.k; i++) m.kernel[j][i] = pow(point[j], i) / at;
        for (int i = 0; i < m.m; i++) m.out[i][j] = pow(point[j], i);
    }
    product(point, m.n - 1, m.n - 1, m.in[m.n - 1]);
    m.kernel[m.n - 1][m.k - 1] = m.out[m.m - 1][m.n - 1] = 1;
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

/* Each element passes two axes of at most eight terms. */
enum { AXES = 20 };

/* Planes whose tiles reach over all their edges, in pictures of two maps; `count` tiles from some one on. */
static wino_tiles pick_tiles(check *c, int m, int count) {
    wino_tiles g = { .across = 1 + (int)pick(c, 20), .count = count };
    const int down = 1 + (int)pick(c, 6);
    g.tiles = down * g.across;
    g.first = (int)pick(c, 2 * (uint32_t)g.tiles);
    g.y = -(int)pick(c, 5), g.x = -(int)pick(c, 5);
    g.h = m * down - (int)pick(c, (uint32_t)m), g.w = m * g.across - (int)pick(c, (uint32_t)m);
    g.image = (ptrdiff_t)2 * g.h * g.w;
    return g;
}

/* Of the planes of one map, from the first picture's to the last's. */
static size_t planes_size(const wino_tiles *g) {
    const int images = (g->first + g->count + g->tiles - 1) / g->tiles;
    return (size_t)(images - 1) * (size_t)g->image + (size_t)(g->h * g->w);
}

/* Where tile p's cell (r, s) is; false if there is none. */
static bool cell_of(const wino_tiles *g, int m, int p, int r, int s, ptrdiff_t *at) {
    const int tile = (g->first + p) % g->tiles, image = (g->first + p) / g->tiles;
    const int y = g->y + tile / g->across * m + r, x = g->x + tile % g->across * m + s;
    *at = image * g->image + y * g->w + x;
    return y >= 0 && y < g->h && x >= 0 && x < g->w;
}

/* V = B' d B, lanes along tiles. */
static void check_in(check *c) {
    for (int i = 0; i < KINDS * COUNTS; i++) {
        const matrices m = build(i % KINDS);
        const int n = m.n, all = n * n;
        wino_tiles g = pick_tiles(c, m.m, counts[i / KINDS]);
        const ptrdiff_t point = g.count + (ptrdiff_t)pick(c, 3);
        case_begin(c, "m=%d k=%d count=%d of %dx%d, %d across", m.m, m.k, g.count, g.h, g.w,
                   g.across);
        float *x = case_random(c, planes_size(&g), NO_SLACK),
              *v = case_array(c, (size_t)((all - 1) * point + g.count), NO_SLACK);
        check_kern(c)->wino_in(m.m, m.k, &g, x, 0, v, point);
        for (int p = 0; p < g.count; p++) {
            double d[MOST * MOST], magnitude;
            ptrdiff_t at;
            for (int j = 0; j < all; j++) d[j] = cell_of(&g, m.m, p, j / n, j % n, &at) ? x[at] : 0;
            for (int k = 0; k < all; k++) {
                const double want = sandwich(m.in[k / n], m.in[k % n], d, n, &magnitude);
                case_near(c, "v", (size_t)k, v[k * point + p], want, AXES * ROUNDING * magnitude);
            }
        }
        for (int k = 0; k + 1 < all && point > g.count; k++)
            case_true(c, isnan(v[k * point + g.count]), "nothing beyond");
        case_end(c);
    }
}

/* Both ways into points, V = B' d B of n x n cells and A dy A' of m x m, lanes along maps. */
static void check_turned(check *c) {
    for (int i = 0; i < KINDS * COUNTS * 2; i++) {
        const matrices m = build(i % KINDS);
        const bool back = i / KINDS % 2;
        const int n = back ? m.m : m.n, all = m.n * m.n, lanes = check_kern(c)->lanes;
        const int across = counts[i / KINDS / 2], down = 1 + (int)pick(c, 4), tiles = down * across;
        const int wide = m.m * across + m.n - m.m, high = m.m * down + m.n - m.m;
        const ptrdiff_t row = (wide + (ptrdiff_t)pick(c, 3)) * lanes;
        const ptrdiff_t tile = lanes + (ptrdiff_t)pick(c, 3);
        const ptrdiff_t point = tiles * tile + (ptrdiff_t)pick(c, 3);
        double turned[MOST][MOST] = { { 0 } }; /* A: out turned round */
        for (int j = 0; j < m.m * m.n; j++) turned[j % m.n][j / m.n] = m.out[j / m.n][j % m.n];
        case_begin(c, "m=%d k=%d back=%d %dx%d tiles", m.m, m.k, back, down, across);
        float *x = case_random(c, (size_t)((high - 1) * row + wide * lanes), NO_SLACK),
              *v =
                  case_array(c, (size_t)((all - 1) * point + (tiles - 1) * tile + lanes), NO_SLACK);
        check_kern(c)->wino_turned(m.m, m.k, back, down, across, x, row, v, tile, point);
        for (int p = 0; p < tiles * lanes; p++) {
            const int t = p / lanes, map = p % lanes;
            double d[MOST * MOST], magnitude;
            for (int j = 0; j < n * n; j++)
                d[j] = (double)
                    x[(t / across * m.m + j / n) * row + (t % across * m.m + j % n) * lanes + map];
            for (int k = 0; k < all; k++) {
                const double *left = back ? turned[k / m.n] : m.in[k / m.n];
                const double *right = back ? turned[k % m.n] : m.in[k % m.n];
                const double want = sandwich(left, right, d, n, &magnitude);
                case_near(c, "v", (size_t)k, v[k * point + t * tile + map], want,
                          AXES * ROUNDING * magnitude);
            }
        }
        for (int k = 0; k < all * tiles - 1 && tile > lanes; k++)
            case_true(c, isnan(v[k / tiles * point + k % tiles * tile + lanes]), "nothing beyond");
        case_end(c);
    }
}

static void check_out(check *c) {
    const act_kind acts[] = { ACT_NONE, ACT_RELU, ACT_LEAKY };
    for (int i = 0; i < KINDS * COUNTS * 3; i++) {
        const matrices m = build(i % KINDS);
        const bool adds = pick(c, 2) == 1, masks = pick(c, 2) == 1;
        const act_kind act = acts[i / KINDS % 3];
        const int all = m.n * m.n;
        wino_tiles g = pick_tiles(c, m.m, counts[i / KINDS / 3]);
        g.y = g.x = 0;
        const ptrdiff_t point = g.count + (ptrdiff_t)pick(c, 3);
        case_begin(c, "m=%d k=%d count=%d of %dx%d, %d across, act=%d add=%d mask=%d", m.m, m.k,
                   g.count, g.h, g.w, g.across, (int)act, adds, masks);
        float *in = case_random(c, (size_t)((all - 1) * point + g.count), LENS_SLACK),
              *y = case_array(c, planes_size(&g), NO_SLACK),
              *add = case_random(c, planes_size(&g), NO_SLACK),
              *mask = case_random(c, planes_size(&g), NO_SLACK);
        const float bias = pick_float(c, -1, 1), slope = 0.25f;
        check_kern(c)->wino_out(m.m, m.k, &g, in, point, bias, adds ? add : NULL, act, slope,
                                masks ? mask : NULL, y, 0);
        int written = 0;
        for (int p = 0; p < g.count; p++) {
            double z[MOST * MOST], magnitude;
            ptrdiff_t at;
            for (int k = 0; k < all; k++) z[k] = in[k * point + p];
            for (int k = 0; k < m.m * m.m; k++) {
                double want =
                    (double)bias + sandwich(m.out[k / m.m], m.out[k % m.m], z, m.n, &magnitude);
                if (!cell_of(&g, m.m, p, k / m.m, k % m.m, &at)) continue;
                if (adds) want += (double)add[at];
                if (act == ACT_RELU && want < 0) want = 0;
                if (act == ACT_LEAKY && want < 0) want *= (double)slope;
                if (masks && !(mask[at] > 0)) want = 0;
                case_near(c, "y", (size_t)at, y[at], want, AXES * ROUNDING * (magnitude + 2));
                written++;
            }
        }
        for (size_t k = 0; k < planes_size(&g); k++) written -= !isnan(y[k]);
        case_true(c, written == 0, "nothing beyond");
        case_end(c);
    }
}

static void check_kernel(check *c) {
    for (int i = 0; i < KINDS * 2 * COUNTS; i++) {
        const matrices m = build(i % KINDS);
        int n = counts[i / KINDS / 2], turn = i / KINDS % 2, all = m.n * m.n, kk = m.k * m.k;
        ptrdiff_t point = n + 3;
        case_begin(c, "m=%d k=%d n=%d turn=%d", m.m, m.k, n, turn);
        float *g = case_random(c, (size_t)(kk * n), NO_SLACK),
              *u = case_array(c, (size_t)((all - 1) * point + n), NO_SLACK);
        check_kern(c)->wino_kernel(m.m, m.k, n, g, turn, u, point);
        for (int k = 0; k < n; k++) {
            double x[25], magnitude;
            for (int j = 0; j < kk; j++) x[j] = g[(turn ? kk - 1 - j : j) * n + k];
            for (int j = 0; j < all; j++) {
                double want = sandwich(m.kernel[j / m.n], m.kernel[j % m.n], x, m.k, &magnitude);
                case_near(c, "u", (size_t)j, u[j * point + k], want, AXES * ROUNDING * magnitude);
            }
        }
        case_end(c);
    }
}

static void check_back_kernel(check *c) {
    for (int i = 0; i < KINDS * 2 * COUNTS; i++) {
        const matrices m = build(i % KINDS);
        int n = counts[i / KINDS / 2], turn = i / KINDS % 2, all = m.n * m.n, kk = m.k * m.k;
        ptrdiff_t point = n + 3;
        double turned[5][MOST]; /* G' */
        for (int j = 0; j < m.k * m.n; j++) turned[j / m.n][j % m.n] = m.kernel[j % m.n][j / m.n];
        case_begin(c, "m=%d k=%d n=%d turn=%d", m.m, m.k, n, turn);
        float *u = case_random(c, (size_t)((all - 1) * point + n), NO_SLACK),
              *g = case_array(c, (size_t)(kk * n), NO_SLACK);
        check_kern(c)->wino_back_kernel(m.m, m.k, n, u, point, turn, g);
        for (int k = 0; k < n; k++) {
            double z[MOST * MOST], magnitude;
            for (int j = 0; j < all; j++) z[j] = u[j * point + k];
            for (int j = 0; j < kk; j++) {
                double want = sandwich(turned[j / m.k], turned[j % m.k], z, m.n, &magnitude);
                case_near(c, "g", (size_t)j, g[(turn ? kk - 1 - j : j) * n + k], want,
                          AXES * ROUNDING * magnitude);
            }
        }
        case_end(c);
    }
}

/* The construction itself: A' ((G k G') . (B' d B)) A is the valid correlation of a tile. */
static void check_identity(check *c) {
    for (int kind = 0; kind < KINDS; kind++) {
        const matrices m = build(kind);
        const int n = m.n, kk = m.k * m.k;
        double d[MOST * MOST], k[25], z[MOST * MOST], magnitude;
        case_begin(c, "the matrices of m=%d, k=%d give a correlation", m.m, m.k);
        for (int i = 0; i < n * n; i++) d[i] = (double)pick_float(c, -1, 1);
        for (int i = 0; i < kk; i++) k[i] = (double)pick_float(c, -1, 1);
        for (int i = 0; i < n * n; i++)
            z[i] = sandwich(m.in[i / n], m.in[i % n], d, n, &magnitude) *
                   sandwich(m.kernel[i / n], m.kernel[i % n], k, m.k, &magnitude);
        for (int i = 0; i < m.m * m.m; i++) {
            double want = 0;
            for (int j = 0; j < kk; j++)
                want += k[j] * d[(i / m.m + j / m.k) * n + i % m.m + j % m.k];
            case_near(c, "y", (size_t)i, sandwich(m.out[i / m.m], m.out[i % m.m], z, n, &magnitude),
                      want, 1e-12);
        }
        case_end(c);
    }
}

const check_slot winograd_slots[] = {
    { "wino_in", check_in },
    { "wino_out", check_out },
    { "wino_kernel", check_kernel },
    { "wino_turned", check_turned },
    { "wino_back_kernel", check_back_kernel },
    { "wino", check_identity },
    { 0 },
};
