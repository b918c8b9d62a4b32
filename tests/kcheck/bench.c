/* bench.c - kcheck --bench: rates of tile and dot at the layers of a network.
 *
 * The driver here is the plainest that calls the kernels as src/op does: a padded picture in memory,
 * tiles along its rows, weights packed k-major. It shows what a kernel gives at a shape, not what
 * the library reaches; one thread, data as hot as the shape allows. The peak is that of slot
 * fma_chains.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/kcheck/kcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double seconds_each = 0.02; /* of one measurement; the best of TRIES counts */
enum { TRIES = 3, PEAK_STEPS = 4096 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- peak ---- */

static double peak_gflops(const struct kern *kern) {
    static float x[PROBE_CHAINS * LENS_SLACK];
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        long calls = 0;
        const double start = now();
        double end = start;
        for (; end - start < seconds_each; end = now(), calls++) kern->fma_chains(PEAK_STEPS, x);
        const double rate =
            2.0 * PROBE_CHAINS * PEAK_STEPS * kern->lanes * (double)calls / (end - start);
        best = rate * 1e-9 > best ? rate * 1e-9 : best;
    }
    return best;
}

/* ---- layers ---- */

typedef struct layer_data {
    const struct kern *kern;
    layer l;
    int oh, ow, ph, pw, depth; /* output, padded picture, c*kh*kw */
    float *x, *weight, *y,
        *dw;      /* x (n, c, ph, pw); weight (depth, o); y (n, o, oh, ow); dw as weight */
    int32_t *tap; /* (depth): offset of a weight's cell in a picture */
} layer_data;

static float *floats(size_t n) {
    float *x = malloc((n + LENS_SLACK) * sizeof *x);
    if (!x) exit(1);
    for (size_t i = 0; i < n + LENS_SLACK; i++) x[i] = (float)(i * 7919 % 1000) * 1e-3F - 0.5F;
    return x;
}

static int least(int a, int b) { return a < b ? a : b; }

/* A count cut into the fewest pieces of at most `most`, evenly: the piece that starts at `at`. */
static int even_piece(int count, int most, int at) {
    const int pieces = (count + most - 1) / most, size = (count + pieces - 1) / pieces;
    return least(size, count - at);
}

/* y = conv(x, weight): tiles of output channels by columns of one output row. */
static void run_conv(layer_data *d) {
    const struct kern *kern = d->kern;
    const layer *l = &d->l;
    const int widest = kern->tile_vectors * kern->lanes;
    for (int n = 0; n < l->n; n++)
        for (int oy = 0; oy < d->oh; oy++)
            for (int ox = 0, columns; ox < d->ow; ox += columns) {
                columns = even_piece(d->ow, widest, ox);
                const int most = kern->tile_rows[(columns + kern->lanes - 1) / kern->lanes];
                for (int o = 0, rows; o < l->o; o += rows) {
                    rows = even_piece(l->o, most, o);
                    kern->tile(&(tile_job){
                        .a = d->weight + o,
                        .a_k = l->o,
                        .b = d->x + ((ptrdiff_t)n * l->c * d->ph + oy) * d->pw + ox,
                        .b_row = d->tap,
                        .c = d->y + (((ptrdiff_t)n * l->o + o) * d->oh + oy) * d->ow + ox,
                        .c_m = (ptrdiff_t)d->oh * d->ow,
                        .k = d->depth,
                        .rows = rows,
                        .columns = columns,
                    });
                }
            }
}

/* y = x weight with x (n, depth), here as its transpose (depth, n): rows are images. */
static void run_dense(layer_data *d) {
    const struct kern *kern = d->kern;
    const layer *l = &d->l;
    const int widest = least(2, kern->tile_vectors) * kern->lanes;
    for (int o = 0, columns; o < l->o; o += columns) {
        columns = least(widest, l->o - o);
        const int most = kern->tile_rows[(columns + kern->lanes - 1) / kern->lanes];
        for (int n = 0, rows; n < l->n; n += rows) {
            rows = even_piece(l->n, most, n);
            kern->tile(&(tile_job){ .a = d->x + n,
                                    .a_k = l->n,
                                    .b = d->weight + o,
                                    .b_k = l->o,
                                    .c = d->y + (ptrdiff_t)n * l->o + o,
                                    .c_m = l->o,
                                    .k = d->depth,
                                    .rows = rows,
                                    .columns = columns });
        }
    }
}

/* dw += sum over images and positions of y * x. */
static void run_dot(layer_data *d) {
    const struct kern *kern = d->kern;
    const layer *l = &d->l;
    int32_t out[DOT_MAX_COLUMNS];
    for (int k = 0, columns; k < d->depth; k += columns) {
        columns = even_piece(d->depth, kern->dot_columns, k);
        for (int j = 0; j < columns; j++) out[j] = (k + j) * l->o;
        for (int o = 0, rows; o < l->o; o += rows) {
            rows = even_piece(l->o, kern->dot_rows, o);
            kern->dot(&(dot_job){ .a = d->y + (ptrdiff_t)o * d->oh * d->ow,
                                  .a_i = (ptrdiff_t)d->oh * d->ow,
                                  .a_image = (ptrdiff_t)l->o * d->oh * d->ow,
                                  .a_row = d->ow,
                                  .b = d->x,
                                  .b_j = d->tap + k,
                                  .b_image = (ptrdiff_t)l->c * d->ph * d->pw,
                                  .b_row = d->pw,
                                  .out = d->dw + o,
                                  .out_i = 1,
                                  .out_j = out,
                                  .rows = rows,
                                  .columns = columns,
                                  .images = l->n,
                                  .lines = d->oh,
                                  .length = d->ow });
        }
    }
}

/* Best rate of `run` in GFLOP/s. */
static double rate(void (*run)(layer_data *), layer_data *d) {
    const double flops = 2.0 * d->l.n * d->l.o * d->oh * d->ow * d->depth;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        long calls = 0;
        const double start = now();
        double end = start;
        for (; end - start < seconds_each; end = now(), calls++) run(d);
        const double r = 1e-9 * flops * (double)calls / (end - start);
        best = r > best ? r : best;
    }
    return best;
}

static void bench_layer(const struct kern *kern, double peak, const layer *l) {
    layer_data d = { .kern = kern, .l = *l };
    d.ph = l->h + 2 * l->pad, d.pw = l->w + 2 * l->pad;
    d.oh = d.ph - l->kh + 1, d.ow = d.pw - l->kw + 1;
    d.depth = l->c * l->kh * l->kw;
    d.x = floats((size_t)l->n * (size_t)(l->c * d.ph * d.pw));
    d.weight = floats((size_t)d.depth * (size_t)l->o);
    d.dw = floats((size_t)d.depth * (size_t)l->o);
    d.y = floats((size_t)l->n * (size_t)(l->o * d.oh * d.ow));
    d.tap = malloc((size_t)d.depth * sizeof *d.tap);
    if (!d.tap) exit(1);
    for (int c = 0, k = 0; c < l->c; c++)
        for (int u = 0; u < l->kh; u++)
            for (int v = 0; v < l->kw; v++) d.tap[k++] = (c * d.ph + u) * d.pw + v;

    const bool dense = d.oh == 1 && d.ow == 1;
    const double tile = rate(dense ? run_dense : run_conv, &d);
    printf("%-7s %-8s tile %7.1f GFLOP/s %5.1f %%", kern->name, l->name, tile, 100 * tile / peak);
    if (!dense) {
        const double dot = rate(run_dot, &d);
        printf("   dot %7.1f GFLOP/s %5.1f %%", dot, 100 * dot / peak);
    }
    printf("\n");
    free(d.x);
    free(d.weight);
    free(d.dw);
    free(d.y);
    free(d.tap);
}

int bench_run(const struct kern *const *levels, int count, const char *const *files,
              int files_count) {
    static const char *const usual[] = { "bench/shapes/lenet5.txt" };
    if (!files_count) files = usual, files_count = 1;
    for (int i = 0; i < count; i++) {
        const double peak = peak_gflops(levels[i]);
        printf("%-7s peak %.1f GFLOP/s on one thread\n", levels[i]->name, peak);
        for (int f = 0; f < files_count; f++) {
            layer *layers;
            const int layer_count = shapes_read(files[f], &layers);
            if (layer_count < 0) return 1;
            for (int k = 0; k < layer_count; k++) {
                layer *l = &layers[k];
                l->c /= l->groups, l->o /= l->groups;
                if (l->stride == 1)
                    bench_layer(levels[i], peak, l);
                else
                    printf("%-7s %-8s stride %d: not timed\n", levels[i]->name, l->name, l->stride);
            }
            free(layers);
        }
    }
    return 0;
}
