/* kern.h - the compute kernels: one const table per instruction-set level, a contract above each
 * slot.
 *
 * Kernels take raw pointers and sizes; they know neither tensors nor nodes. The tile and block sizes
 * that belong with a level travel in the same table, so no caller ever asks which CPU it is on.
 *
 * Common contract, unless a slot says otherwise
 *   - float32; sizes and strides in floats; counts >= 0, and 0 does nothing.
 *   - pointers need no alignment beyond 4 bytes; 64 is faster.
 *   - outputs never overlap inputs, except where "in place" is said: then equal pointers are fine.
 *   - outputs are written in full and never read (they may hold NaN) unless the slot accumulates.
 *   - "slack": up to LENS_SLACK floats past the end of the array may be read (never used, never
 *     written). Without the word nothing outside the arrays is touched.
 *   - every sum has one fixed order that depends on the sizes alone.
 *   - NaN and infinities propagate as IEEE arithmetic says.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_H
#define KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LENS_SLACK = 16,    /* floats a kernel may over-read: one vector of the widest level */
    TILE_MAX_ROWS = 28, /* upper bounds over all levels, for arrays on the stack */
    TILE_MAX_VECTORS = 4,
    DOT_MAX_ROWS = 8,
    DOT_MAX_COLUMNS = 8,
    PROBE_CHAINS = 12,
};

/* y = f(x). The derivative is taken from y alone, so z need not be kept:
 *   RELU   max(x,0)             y>0 ? 1 : 0          (0 at 0; NaN stays NaN)
 *   LEAKY  x>0 ? x : slope*x    y>0 ? 1 : slope      (slope >= 0)
 *   TANH   tanh(x)              1 - y*y
 *   SCALED 1.7159*tanh(2x/3)    1.7159*2/3*(1 - (y/1.7159)^2)     (LeCun 1998, appendix A)
 *   SIGMOID 1/(1+exp(-x))       y*(1-y) */
typedef enum act_kind { ACT_NONE, ACT_RELU, ACT_LEAKY, ACT_TANH, ACT_SCALED, ACT_SIGMOID } act_kind;

/* What a tile starts from. */
typedef enum tile_init {
    TILE_ZERO,        /* 0 */
    TILE_LOAD,        /* what C holds: continue a sum whose k was split */
    TILE_BIAS_ROW,    /* bias[m] */
    TILE_BIAS_COLUMN, /* bias[n]; slack */
} tile_init;

/* One tile of a matrix product:
 *
 *   C[m][n] = act( init + sum over k of A[k][m] * B[k][n] + D[m][n] ),   0 <= m < rows, 0 <= n < columns
 *
 *        A: k-major, A[k][m] = a[k*a_k + m]          B: B[k][n] = b[(b_row ? b_row[k] : k*b_k) + n]
 *        C: C[m][n] = c[m*c_m + n]                   D: D[m][n] = add[m*c_m + n], or 0 if add is NULL;
 *                                                  D may be C
 *
 * Each C[m][n] is one chain of fused multiply-adds (multiply, then add, at the scalar level) in the
 * order k = 0, 1, ...: its bits depend neither on the tile's size nor on how k was split with
 * TILE_LOAD. 1 <= rows <= tile_rows[v] and columns <= v*lanes for v = ceil(columns/lanes). b: slack.
 *
 * fetch counts where rows of B follow one another, b_k being the one or two whole vectors of `columns`: step k then
 * fetches the cache line of fetch[k*fetch_k], which some later tile wants. NULL: that of A some steps on. */
typedef struct tile_job {
    const float *a;
    ptrdiff_t a_k;
    const float *b;
    const int32_t *b_row; /* offset of row k, or NULL: k*b_k */
    ptrdiff_t b_k;
    const float *fetch;
    ptrdiff_t fetch_k;
    float *c;
    ptrdiff_t c_m;
    int k, rows, columns;
    tile_init init;
    const float *bias, *add;
    act_kind act; /* ACT_NONE, ACT_RELU or ACT_LEAKY; others are a pass of their own */
    float slope;
} tile_job;

/* One tile of inner products over positions, for the weight gradient:
 *
 *   out[i][j] += sum over image, row, column of
 *                    a[i*a_i + image*a_image + row*a_row + column]
 *                  * b[b_j[j] + image*b_image + row*b_row + column]
 *
 * for 0 <= i < rows <= dot_rows, 0 <= j < columns <= dot_columns, 0 <= column < length.
 * out[i][j] = out[i*out_i + out_j[j]]: it accumulates. The sum runs in `lanes` partial sums by
 * column % lanes, in the order image, row, column, then folds them pairwise. a, b: slack. */
typedef struct dot_job {
    const float *a;
    ptrdiff_t a_i, a_image, a_row;
    const float *b;
    const int32_t *b_j;
    ptrdiff_t b_image, b_row;
    float *out;
    ptrdiff_t out_i;
    const int32_t *out_j;
    int rows, columns;
    int images, lines, length; /* lines: rows of the picture; length: of one row */
} dot_job;

/* Winograd tiles of planes h x w, one in each of several pictures, `image` floats apart: a picture has
 * `tiles`, `across` to a row; its tile t has its first cell in row y + m*(t / across) and column
 * x + m*(t % across). Cells outside the plane are 0, and not written. The pictures' tiles are counted through; a
 * call is about the `count` tiles from `first` on. */
typedef struct wino_tiles {
    int h, w, y, x, across, tiles, first, count;
    ptrdiff_t image;
} wino_tiles;

/* Pooling of one plane. Windows of kh x kw at stride sh, sw start at -pt, -pl; cells outside the
 * plane do not take part. Every window meets the plane in at least one cell. */
typedef struct pool_job {
    int h, w, oh, ow; /* plane in and out */
    int kh, kw, sh, sw, pt, pl;
} pool_job;

/* One optimiser step over n parameters in place. g: gradient, first multiplied by g_scale; then the
 * L2 term g += weight_decay*w (for ADAMW instead w -= rate*weight_decay*w first). m, v: state, the
 * same length as w. Formulas, with eps, mu = momentum, b1, b2 from the job:
 *   SGD       m = mu*m + g;                    w -= rate*(nesterov ? g + mu*m : m)   (mu=0: m unused;
 *             PyTorch's form, dampening 0)
 *   ADAGRAD   v += g*g;                        w -= rate*g/(sqrt(v)+eps)      (Duchi 2011)
 *   ADADELTA  v = b2*v+(1-b2)*g*g; d = g*sqrt(m+eps)/sqrt(v+eps); m = b2*m+(1-b2)*d*d; w -= rate*d
 *             (Zeiler 2012, algorithm 1)
 *   RMSPROP   v = b2*v+(1-b2)*g*g;             w -= rate*g/(sqrt(v)+eps); with mu > 0
 *             m = mu*m + g/(sqrt(v)+eps), w -= rate*m       (Hinton's lecture 6e; PyTorch's form)
 *   ADAM(W)   m = b1*m+(1-b1)*g; v = b2*v+(1-b2)*g*g; w -= rate*(m*c1)/(sqrt(v*c2)+eps)
 *             c1 = 1/(1-b1^t), c2 = 1/(1-b2^t) given by the caller  (Kingma & Ba 2015; Loshchilov &
 *             Hutter 2019) */
typedef enum optim_kind {
    OPTIM_SGD,
    OPTIM_ADAGRAD,
    OPTIM_ADADELTA,
    OPTIM_RMSPROP,
    OPTIM_ADAM,
    OPTIM_ADAMW,
} optim_kind;

typedef struct optim_job {
    optim_kind kind;
    bool nesterov;
    float rate, g_scale, weight_decay, momentum, b1, b2, eps, c1, c2;
} optim_job;

/* A plane of batch norm and the activation behind it on the way back: g = dy*f'(scale*x + shift). */
typedef struct norm_back_job {
    size_t n;
    const float *dy, *x;
    float mean;
    act_kind act; /* ACT_NONE: g = dy, scale and shift count nothing; ACT_RELU or ACT_LEAKY */
    float slope, scale, shift;
} norm_back_job;

struct kern {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */
    int lanes;        /* floats in a vector: 4, 8 or 16 */

    /* ---- matrix products and convolution: src/op/gemm.c and corr.c drive these ---- */

    int tile_rows[TILE_MAX_VECTORS + 1]; /* [v]: most rows of a tile v vectors wide, 1 <= v <= 4 */
    int tile_vectors;                    /* the widest tile, in vectors: 2..4 */
    int dot_rows, dot_columns;           /* largest dot tile */

    void (*tile)(const tile_job *);
    void (*dot)(const dot_job *);

    /* dst[c*dst_c + r] = src[r*src_r + c] for r < rows, c < columns: packs row-major A into the
     * k-major form of `tile`, and transposes. The `rows` rows after these are fetched meanwhile. */
    void (*transpose)(int rows, int columns, const float *src, ptrdiff_t src_r, float *dst,
                      ptrdiff_t dst_c);

    /* dst[r*dst_r + t] = src[r*src_r + t*step] for r < rows, t < n: what a window with a stride reads. */
    void (*every)(int rows, int n, int step, const float *src, ptrdiff_t src_r, float *dst,
                  ptrdiff_t dst_r);

    /* ---- Winograd F(m x m, k x k), (m, k) = (2, 3), (4, 3) or (4, 5): src/op/wino.c drives these,
     * body/winograd.h has the matrices. With n = m+k-1 a tile has n^2 points; point j of tile
     * g->first + p is v[j*v_point + p], 0 <= p < g->count. The next call will be about the cells
     * `ahead` floats on in memory, which are fetched meanwhile; 0: none. ---- */

    /* Input transform, v = B' d B: d[r][s], 0 <= r, s < n, the cells of a tile. */
    void (*wino_in)(int m, int k, const wino_tiles *g, const float *x, ptrdiff_t ahead, float *v,
                    ptrdiff_t v_point);
    /* Output transform, y = act(A' z A + bias + add) into the cells that lie in the plane; add: planes
     * like y, maybe y itself, or NULL; act as in tile_job. mask: the same, or planes like y: times 1 where they
     * are above 0, else times 0. z: each point has slack. */
    void (*wino_out)(int m, int k, const wino_tiles *g, const float *z, ptrdiff_t z_point,
                     float bias, const float *add, act_kind act, float slope, const float *mask,
                     float *y, ptrdiff_t ahead);
    /* Kernel transform of `count` kernels: u[(n*i + j)*u_point + c] = (G g G')[i][j] with
     * g[r][s] = g[(k*r + s)*count + c], or if `turn` that of the kernel rotated by 180 degrees. */
    void (*wino_kernel)(int m, int k, int count, const float *g, bool turn, float *u,
                        ptrdiff_t u_point);
    /* For the gradient of the kernels: the input transform, or if `back` the transpose of the output
     * transform, v = A dy A' with dy[r][s], 0 <= r, s < m, of a vector of maps turned round:
     *     cell (r, s) of map c, 0 <= c < lanes: x[r*row + s*lanes + c]
     *     point j of tile (p, q), 0 <= p < down, 0 <= q < across: v[j*point + (p*across + q)*tile + c]
     * Tile (p, q) has its first cell in row m*p and column m*q. */
    void (*wino_turned)(int m, int k, bool back, int down, int across, const float *x,
                        ptrdiff_t row, float *v, ptrdiff_t tile, ptrdiff_t point);
    /* The transpose of the kernel transform: g = G' u G, arrays as in wino_kernel. */
    void (*wino_back_kernel)(int m, int k, int count, const float *u, ptrdiff_t u_point, bool turn,
                             float *g);

    /* ---- element-wise ---- */

    void (*act)(act_kind, float slope, size_t n, const float *x, float *y); /* in place is fine */
    /* dx = dy * f'(from y). In place on dy is fine. */
    void (*act_back)(act_kind, float slope, size_t n, const float *y, const float *dy, float *dx);
    void (*add)(size_t n, const float *a, const float *b, float *y); /* y = a + b; in place fine */
    /* y = act(scale*x + shift). In place is fine. */
    void (*scale_shift)(size_t n, float scale, float shift, act_kind, float slope, const float *x,
                        float *y);
    /* y = act(scale*x + shift + add); in place on x or add is fine. ahead: of add, as below. */
    void (*scale_shift_add)(size_t n, float scale, float shift, act_kind, float slope,
                            const float *x, const float *add, ptrdiff_t ahead, float *y);
    void (*axpy)(size_t n, float alpha, const float *x, float *y);   /* y += alpha*x */
    void (*mul)(size_t n, const float *a, const float *b, float *y); /* y = a * b; in place fine */

    /* ---- sums, in a fixed order; accumulated in double where the slot returns double ---- */

    double (*sum)(size_t n, const float *x);
    /* *sum = sum of x-shift, *squares = sum of (x-shift)^2: batch-norm statistics, with the shift
     * against cancellation. The next call will be about the numbers `ahead` floats on in memory, which are
     * fetched meanwhile; 0: none. */
    void (*moments)(size_t n, const float *x, float shift, ptrdiff_t ahead, double *sum,
                    double *squares);
    /* *g_sum = sum of g, *gx_sum = sum of g*(x-mean); ahead as above. */
    void (*norm_back_sums)(const norm_back_job *, ptrdiff_t ahead, double *g_sum, double *gx_sum);
    /* dx = a*g + b*(x-mean) + c, added to dx if `adds`: the last pass of batch-norm backward. In place
     * on dy is fine. */
    void (*norm_back)(const norm_back_job *, float a, float b, float c, bool adds, float *dx);
    /* True if every x is finite. */
    bool (*all_finite)(size_t n, const float *x);

    /* ---- pooling, one plane; arrays x, dx: h x w; y, dy: oh x ow, all packed ---- */

    /* y = maximum; switches[i] = window cell u*kw+v of the first maximum in row-major order (kh*kw
     * <= 256), or switches == NULL. A NaN wins. */
    void (*max_pool)(const pool_job *, const float *x, float *y, uint8_t *switches);
    /* dx = 0, then dx[cell] += dy at each window's switch. */
    void (*max_pool_back)(const pool_job *, const float *dy, const uint8_t *switches, float *dx);
    /* y = scale[i] * sum of the window, i the output position; scale == NULL: factor 1. */
    void (*sum_pool)(const pool_job *, const float *x, const float *scale, float *y);
    void (*sum_pool_back)(const pool_job *, const float *dy, const float *scale, float *dx);

    /* ---- rows ---- */

    /* p[i] = exp(x[i]-max)/sum for each of `rows` rows of n; in place fine. */
    void (*softmax)(int rows, int n, const float *x, float *p);
    /* Cross entropy of each row against label[r] (0 <= label < n, or < 0: the row counts nothing,
     * its dx is 0, its loss 0) with smoothed target
     *     t[i] = (1-smooth)*[i==label] + smooth/n:
     *   loss[r] = weight * -sum_i t[i]*log p[i],   dx[r][i] = scale * weight * (p[i] - t[i])
     * with weight = class_weight ? class_weight[label] : 1. dx may be NULL or x itself.
     * (weights multiply the whole row: with smooth = 0 this is PyTorch's weighted sum.) */
    void (*cross_entropy)(int rows, int n, const float *x, const int32_t *label, float smooth,
                          const float *class_weight, float scale, float *loss, float *dx);

    /* ---- optimiser ---- */

    void (*optim)(const optim_job *, size_t n, const float *g, float *w, float *m, float *v);

    /* ---- limits of the machine: machine.c times these ---- */

    /* x = 0.999*x + 0.001, `steps` times, for PROBE_CHAINS*lanes numbers that stay in registers. */
    void (*fma_chains)(size_t steps, float *x);
    /* Sum of x in partial sums of float: as fast as loads go, not as exact as `sum`. */
    float (*read)(size_t n, const float *x);
};

/* The table of a level: isa NULL = $LENSLET_ISA, else the best this CPU has; a level caps, so
 * "avx2" on an AVX-512 machine is the AVX2 table. NULL with a message in why for an unknown word
 * (with the known ones) or a level this CPU or build lacks. Cheap, thread-safe, never allocates. */
const struct kern *kern_select(const char *isa, char *why, size_t why_size);

/* The tables this CPU can run, slowest first; returns how many. For kcheck. */
int kern_levels(const struct kern *level[4]);

/* The model of the first CPU as the kernel lists it, printable: "cpu family 26, model 2, model name AMD
 * EPYC, stepping 1"; "" where it lists none. Cut to `size`. */
void kern_cpu(char *text, size_t size);

#endif
