/* lenslet/signal.h - classical convolution: signals, filters for pictures, template search, and
 * kernels learned from pictures.
 *
 * Throughout, x * k is true convolution (the kernel is turned by 180 degrees) and x (*) k is
 * cross-correlation, what convolution layers compute. A signal of length n is a picture of 1 x n.
 * Arrays are row-major and borrowed; outputs never overlap inputs.
 *
 * Errors     LENS_BAD_SHAPE: a size below 1, or a kernel or template larger than what it slides over;
 *            LENS_BAD_ARG: an option out of range, values that must be finite and are not;
 *            LENS_NOMEM. Nothing is written then.
 * Numbers    Functions on double keep a fixed order of sums: the same bits for any thread count.
 *            The functions without a context cannot fail and are thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_SIGNAL_H
#define LENSLET_SIGNAL_H

#include <lenslet/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Convolution and correlation, in double -------------------------------------------------- */

/* Length of the result along one axis: n-k+1 (VALID, may be below 1), n (SAME), n+k-1 (FULL). */
LENS_API int lens_signal_size(int n, int k, lens_mode mode);

/* FULL: y[i,j] = sum over u,v of k[u,v] * x[i+u-(kh-1), j+v-(kw-1)], x zero outside; lens_convolve uses
 * k[kh-1-u, kw-1-v], which gives sum of x[a,b] * k[i-a, j-b]. SAME is its part from row kh/2 and column
 * kw/2 on, VALID the part that meets no zero. x (h,w), k (kh,kw), y of lens_signal_size in each axis.
 * The autocorrelation of x is lens_correlate(x, x, FULL), lag 0 in the middle. */
LENS_API lens_status lens_correlate(lens_ctx *, const double *x, int h, int w, const double *k,
                                    int kh, int kw, lens_mode, double *y);
LENS_API lens_status lens_convolve(lens_ctx *, const double *x, int h, int w, const double *k,
                                   int kh, int kw, lens_mode, double *y);

/* The discrete Fourier transform in place, any size: X[p,q] = sum of x[a,b] exp(-2 pi i (pa/h + qb/w));
 * inverse: the other sign, divided by h*w. The time grows with h*w times the prime factors of the
 * sides: pad to products of 2, 3 and 5 where you can. */
LENS_API lens_status lens_dft(lens_ctx *, double *re, double *im, int h, int w, bool inverse);

/* The same results as above by the convolution theorem: transform, multiply, transform back. Faster
 * from some 30x30 taps on; rounding is about 1e-15 times the largest sum of products. */
LENS_API lens_status lens_correlate_dft(lens_ctx *, const double *x, int h, int w, const double *k,
                                        int kh, int kw, lens_mode, double *y);
LENS_API lens_status lens_convolve_dft(lens_ctx *, const double *x, int h, int w, const double *k,
                                       int kh, int kw, lens_mode, double *y);

/* Circular convolution of period n of two signals of n samples, by DFT. */
LENS_API lens_status lens_convolve_circular(lens_ctx *, const double *a, const double *b, int n,
                                            double *y);

/* Response of a kernel at the angular frequencies wy, wx (radians a pixel), origin at its centre cell
 * ((kh-1)/2, (kw-1)/2): H = sum of k[u,v] exp(-i (wy*(u-cy) + wx*(v-cx))). */
LENS_API void lens_frequency_response(const double *k, int kh, int kw, double wy, double wx,
                                      double *re, double *im);

/* True if k = column * row (rank 1) with every cell within tolerance * largest |cell|; then
 * column[kh] and row[kw] are written, and two 1-D passes do the work of the 2-D one. */
LENS_API bool lens_separable(const double *k, int kh, int kw, double tolerance, double *column,
                             double *row);

/* Multipath: rows[j][i] = h[j] * x[i-j], j < m, i < n+m-1: delayed, scaled copies of x whose sum over j
 * is x * h. rows (m, n+m-1). */
LENS_API void lens_multipath(const double *x, int n, const double *h, int m, double *rows);

/* The products that make sample `at` (0-based) of the full convolution of x (n) and h (m): x[x_at] *
 * h[h_at]. At most m; returns how many, in the order of h. `at` outside 0..n+m-2 has none. */
typedef struct lens_term {
    int x_at, h_at;
    double x, h, product;
} lens_term;
LENS_API int lens_output_terms(const double *x, int n, const double *h, int m, int at,
                               lens_term *terms);

/* ---- Kernels --------------------------------------------------------------------------------- */

enum { LENS_KERNEL_SIDE = 31 };

typedef struct lens_kernel {
    int h, w;                                          /* 1..LENS_KERNEL_SIDE */
    double value[LENS_KERNEL_SIDE * LENS_KERNEL_SIDE]; /* (h,w) */
} lens_kernel;

/* The catalogue. `group`: "course" the nine of the course in their order, "table" the usual seven of
 * edge, sharpen and blur, "classic" the rest, "made" those that take a number. */
typedef struct lens_kernel_entry {
    const char *name; /* "sobel-x", "gaussian:SIGMA" */
    const char *group;
    const char *text; /* "-1 0 1/-2 0 2/-1 0 1"; NULL: made */
    double divisor;   /* of the numbers in text; 0: made */
    const char *what; /* one line */
} lens_kernel_entry;
LENS_API const lens_kernel_entry *lens_kernel_list(size_t *count);

/* From a name of the catalogue - "gaussian:1.4" (side 2*ceil(3 sigma)+1, 0 < sigma <= 5), "box:5",
 * "motion:9" or "motion:9:45" (length, angle in degrees anticlockwise) - or from rows of numbers,
 * "0 -1 0/-1 5 -1/0 -1 0": rows end with a slash or a line end, numbers with blanks or commas; "#"
 * starts a comment up to the line end.
 * LENS_NOT_FOUND: no such name (says the nearest). LENS_BAD_ARG: empty, rows of different lengths, a
 * word that is no number, a side or parameter out of range; row and column are named. */
LENS_API lens_status lens_kernel_parse(lens_ctx *, lens_kernel *out, const char *text);

/* The same from a text file. Errors name the path; LENS_IO; LENS_BAD_FILE: not a kernel, longer than
 * 64 KiB. */
LENS_API lens_status lens_kernel_read(lens_ctx *, lens_kernel *out, const char *path);

/* Sum of all cells: what a constant picture is multiplied by. */
LENS_API double lens_kernel_gain(const lens_kernel *);

/* Turned by 180 degrees, in place. */
LENS_API void lens_kernel_flip(lens_kernel *);

/* ---- Filters for pictures, in float ---------------------------------------------------------- */

/* What lies outside the picture. VALID: nothing, the result shrinks. The others pad by k'-1 in all
 * (k' = (k-1)*dilation + 1), the odd cell at the bottom and right: ZERO 0, REPLICATE the nearest pixel,
 * REFLECT mirrored about the outermost pixel: d c b | a b c d | c b a. */
typedef enum lens_border {
    LENS_BORDER_VALID,
    LENS_BORDER_ZERO,
    LENS_BORDER_REPLICATE,
    LENS_BORDER_REFLECT
} lens_border;

/* Zero means the usual. */
typedef struct lens_filter_opts {
    lens_border border;
    int stride, dilation; /* 1..65536; 0 = 1 */
    bool flip;            /* true convolution */
    bool sum;             /* channels are added up: one map instead of c */
} lens_filter_opts;

/* Size of the result, floor((n + padding - k')/stride) + 1. LENS_BAD_SHAPE: k' larger than the picture
 * and its padding. */
LENS_API lens_status lens_filter_size(lens_ctx *, const lens_kernel *, int h, int w,
                                      const lens_filter_opts *, int *oh, int *ow);

/* y[c,i,j] = sum over u,v of k[u,v] * x[c, i*s + u*d - top, j*s + v*d - left], every channel by
 * itself, or summed over c. The kernels of convolution layers do the work: one chain of multiply-adds
 * for each y in row-major order of the cells, of which those that are 0 are left out; k is rounded to
 * float. x (c,h,w), y (sum ? 1 : c, oh, ow). Results are neither scaled nor clipped. opts may be NULL. */
LENS_API lens_status lens_filter(lens_ctx *, const float *x, int c, int h, int w,
                                 const lens_kernel *, const lens_filter_opts *, float *y);

/* magnitude = sqrt(gx^2 + gy^2), angle = atan2(gy, gx) in degrees, -180..180, 0 where both are 0;
 * n of each. Either output may be NULL. */
LENS_API void lens_gradient_polar(const float *gx, const float *gy, size_t n, float *magnitude,
                                  float *angle);

/* A test picture of 80 x 80 zeros and ones: a ring with a cross. With u = 2r-79, v = 2c-79 and
 * q = u^2+v^2 a pixel is 1 where 2116 <= q <= 2916, or |u| <= 3 and |v| <= 69, or the reverse. */
LENS_API void lens_picture_s80(float out[80 * 80]);

/* ---- Comparing and searching ----------------------------------------------------------------- */

/* SSE = sum of (a-b)^2, MSE = SSE/n, RMSE = sqrt(MSE), PSNR = 10 log10(peak^2/MSE) dB, infinite for
 * equal pictures. n >= 1. (sqrt(SSE)/n, which some texts call the mean square error, is none of them.) */
typedef struct lens_difference {
    double sse, mse, rmse, psnr;
} lens_difference;
LENS_API lens_difference lens_compare(const double *a, const double *b, size_t n, double peak);

/* Score of a window p of the picture against the template t, n cells each. */
typedef enum lens_match_method {
    LENS_MATCH_SSE,    /* sum (p-t)^2: 0 is equal; the smallest is best */
    LENS_MATCH_MSE,    /* SSE / n */
    LENS_MATCH_RMSE,   /* sqrt(MSE) */
    LENS_MATCH_RAW,    /* sum p*t: grows with brightness, so its peak need not be the template */
    LENS_MATCH_COSINE, /* sum p*t / (|p| |t|): 1 is equal up to a factor; 0 for an all-zero window */
    LENS_MATCH_ZNCC /* cosine after taking the means off: 1 is equal up to a factor and an offset;
                          0 for a constant window */
} lens_match_method;

typedef enum lens_verdict {
    LENS_FOUND,    /* one place passes the threshold and beats all others */
    LENS_ABSENT,   /* no place passes the threshold */
    LENS_AMBIGUOUS /* several places are equally good; or RAW, whose peak is not the template */
} lens_verdict;

/* Zero means the usual. */
typedef struct lens_match_opts {
    double error; /* SSE, MSE, RMSE, RAW: passes if RMSE <= error * RMS of the template; 0 = 0.1 */
    double similarity; /* COSINE, ZNCC: passes from here on; 0 = 0.95 */
    bool direct;       /* never by DFT (it is used where it is faster) */
} lens_match_opts;

typedef struct lens_match {
    lens_verdict verdict;
    int row, column;               /* of the best window's first cell; the first of equals */
    double score;                  /* there */
    int ties;                      /* windows as good as the best, itself included: within 1e-9 of
                                      sum t^2 (SSE, RAW; in their units) or of 1 */
    bool has_second;               /* a window at least half a template away exists */
    int second_row, second_column; /* the best of those */
    double second_score;
} lens_match;

/* Slides the template (th,tw) over the picture (h,w). map, (h-th+1, w-tw+1), may be NULL.
 * LENS_BAD_SHAPE: the template is larger; LENS_BAD_ARG: values that are not finite, a template of
 * zeros (COSINE) or constant (ZNCC). opts may be NULL. */
LENS_API lens_status lens_match_template(lens_ctx *, const double *picture, int h, int w,
                                         const double *pattern, int th, int tw, lens_match_method,
                                         const lens_match_opts *, double *map, lens_match *out);

/* ---- Learning kernels ------------------------------------------------------------------------ */

/* Called for every step, from step 0 (the start) on; w has the parameters of that step. */
typedef void lens_fit_watch(void *user, int step, double loss, const double *w);

/* Zero means the usual. */
typedef struct lens_fit_opts {
    double rate;      /* w -= rate * dloss/dw; 0 = 0.5 */
    double tolerance; /* stop once loss < tolerance; 0 = 1e-7; negative: never */
    int steps;        /* at most; 0 = 10,000 */
    bool sum;         /* loss = sum of squares instead of half their mean */
    lens_fit_watch *watch;
    void *user;
} lens_fit_opts;

typedef struct lens_fit {
    int steps; /* taken */
    double loss, first_loss;
    double lambda_max; /* largest curvature of the loss */
    double rate_max;   /* 2/lambda_max: larger rates diverge; infinite for a picture of zeros */
} lens_fit;

/* Gradient descent for the kernel w (kh,kw), which holds the start, so that z = x (*) w (VALID)
 * becomes y: loss = 1/2 mean (z-y)^2, dloss/dw = x (*) (z-y) / m over the m pixels of y. As the loss is
 * quadratic it is carried by its matrix of second derivatives, which gives the same steps without going
 * over the picture each time. x (h,w), y (h-kh+1, w-kw+1).
 * LENS_DIVERGED: the loss has grown a hundredfold; the message names the rate and 2/lambda_max, and
 * w and *out hold the last step. */
LENS_API lens_status lens_kernel_fit(lens_ctx *, const double *x, int h, int w, const double *y,
                                     int kh, int kw, const lens_fit_opts *, double *weights,
                                     lens_fit *out);

/* The same descent for a line: y = line[0]*x + line[1] through n points; line holds the start. */
LENS_API lens_status lens_line_fit(lens_ctx *, const double *x, const double *y, int n,
                                   const lens_fit_opts *, double line[2], lens_fit *out);

/* The baseline without direction: `trials` times, a normal number times `spread` is added to every
 * weight; kept only where the loss falls (climb), or drawn anew around the start each time. The best
 * weights and their loss (1/2 mean) are returned. */
LENS_API lens_status lens_kernel_random_search(lens_ctx *, const double *x, int h, int w,
                                               const double *y, int kh, int kw, int trials,
                                               double spread, bool climb, uint64_t seed,
                                               double *weights, double *loss);

#ifdef __cplusplus
}
#endif
#endif
