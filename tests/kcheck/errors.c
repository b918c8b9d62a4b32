/* errors.c - kcheck --errors: rounding errors of every algorithm of a convolution at the layers of nets.
 *
 * Inputs, weights and gradients are normal (mean 0, deviation 1). Each pass of a layer is done in full by
 * every algorithm that can, and at SAMPLES places compared with the definition in double. An error is
 * |got - want|; both figures are shares of the root mean square of the values there.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "op/conv.h"
#include "tests/kcheck/kcheck.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 4096, PASSES = 3, SIDES = 3 };
static const int sides[SIDES] = { 0, 2, 4 }; /* direct, F(2x2, 3x3), F(4x4, 3x3) */

typedef struct data {
    const struct kern *kern;
    lens_ctx *ctx;
    conv_shape s;
    int n;
    float *x, *w, *dy, *y, *dx, *dw;
} data;

/* Box and Muller, from splitmix64. */
static float normal(uint64_t *state) {
    double unit[2];
    for (int i = 0; i < 2; i++) {
        uint64_t z = *state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        unit[i] = (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
    }
    return (float)(sqrt(-2 * log(1 - unit[0])) * cos(6.283185307179586 * unit[1]));
}

static float *normals(size_t count, uint64_t seed) {
    float *x = calloc(count + LENS_SLACK, sizeof *x);
    if (!x) exit(1);
    for (size_t i = 0; i < count; i++) x[i] = normal(&seed);
    return x;
}

static void *zeros(size_t bytes) {
    size_t whole = bytes / 64 * 64 + 64;
    void *memory = aligned_alloc(64, whole);
    if (!memory) exit(1);
    return memset(memory, 0, whole);
}

/* ---- The definition ------------------------------------------------------------------------- */

static size_t at4(int a, int b, int bs, int i, int is, int j, int js) {
    return (((size_t)a * (size_t)bs + (size_t)b) * (size_t)is + (size_t)i) * (size_t)js + (size_t)j;
}

static double output_at(const data *d, int n, int o, int i, int j) {
    const conv_shape *s = &d->s;
    double sum = 0;
    for (int c = 0; c < s->c; c++)
        for (int u = 0; u < s->kh; u++)
            for (int v = 0; v < s->kw; v++) {
                int y = i * s->sh + u - s->pt, x = j * s->sw + v - s->pl;
                if (y < 0 || x < 0 || y >= s->h || x >= s->w) continue;
                sum += (double)d->w[at4(o, c, s->c, u, s->kh, v, s->kw)] *
                       (double)d->x[at4(n, c, s->c, y, s->h, x, s->w)];
            }
    return sum;
}

static double input_gradient_at(const data *d, int n, int c, int y, int x) {
    const conv_shape *s = &d->s;
    double sum = 0;
    for (int o = 0; o < s->o; o++)
        for (int u = 0; u < s->kh; u++)
            for (int v = 0; v < s->kw; v++) {
                int i = y + s->pt - u, j = x + s->pl - v;
                if (i < 0 || j < 0 || i % s->sh || j % s->sw) continue;
                i /= s->sh, j /= s->sw;
                if (i >= s->oh || j >= s->ow) continue;
                sum += (double)d->w[at4(o, c, s->c, u, s->kh, v, s->kw)] *
                       (double)d->dy[at4(n, o, s->o, i, s->oh, j, s->ow)];
            }
    return sum;
}

static double weight_gradient_at(const data *d, int o, int c, int u, int v) {
    const conv_shape *s = &d->s;
    double sum = 0;
    for (int n = 0; n < d->n; n++)
        for (int i = 0; i < s->oh; i++)
            for (int j = 0; j < s->ow; j++) {
                int y = i * s->sh + u - s->pt, x = j * s->sw + v - s->pl;
                if (y < 0 || x < 0 || y >= s->h || x >= s->w) continue;
                sum += (double)d->dy[at4(n, o, s->o, i, s->oh, j, s->ow)] *
                       (double)d->x[at4(n, c, s->c, y, s->h, x, s->w)];
            }
    return sum;
}

/* The result of a pass, its four dimensions and the definition of one of its numbers. */
typedef struct result {
    const float *got;
    int dim[4];
    double (*want)(const data *, int, int, int, int);
} result;

static result result_of(const data *d, int pass) {
    const conv_shape *s = &d->s;
    const result all[PASSES] = { { d->y, { d->n, s->o, s->oh, s->ow }, output_at },
                                 { d->dx, { d->n, s->c, s->h, s->w }, input_gradient_at },
                                 { d->dw, { s->o, s->c, s->kh, s->kw }, weight_gradient_at } };
    return all[pass];
}

/* ---- The library ---------------------------------------------------------------------------- */

static void weights_pass(const data *d, int m) {
    const conv_shape *s = &d->s;
    size_t stride = m ? wino_weights_thread_bytes(s, m, d->kern, d->n)
                      : corr_weights_thread_bytes(s, d->kern, d->n);
    stride = (stride + 127) & ~(size_t)127;
    void *threads = zeros(stride * (size_t)lens_ctx_threads(d->ctx)),
         *scratch = zeros(m ? 0 : corr_weights_bytes(s, d->kern, d->n)),
         *tables = zeros(corr_table_bytes(s, d->kern));
    pool *workers = ctx_pool(d->ctx);
    if (m) {
        wino_weights(s, m, d->kern, workers, d->n, d->x, d->dy, d->dw, threads, stride);
    } else {
        corr_build_tables(tables, s, d->kern);
        corr_weights(tables, d->kern, workers, d->n, d->x, d->dy, d->dw, scratch, threads, stride);
    }
    free(threads), free(scratch), free(tables);
}

static void run_pass(const data *d, int pass, int m) {
    if (pass == 2) {
        weights_pass(d, m);
        return;
    }
    const conv_pass p = { d->s, pass == 1, m };
    size_t stride = (conv_pass_thread_bytes(&p, false, d->kern, d->n) + 127) & ~(size_t)127;
    void *cache = zeros(conv_pass_bytes(&p, d->kern)),
         *threads = zeros(stride * (size_t)lens_ctx_threads(d->ctx));
    conv_pass_run(&p, cache, true, d->w, NULL,
                  &(corr_io){ .kern = d->kern,
                              .workers = ctx_pool(d->ctx),
                              .n = d->n,
                              .in = pass ? d->dy : d->x,
                              .out = pass ? d->dx : d->y,
                              .thread_scratch = threads,
                              .thread_stride = stride });
    free(cache), free(threads);
}

/* ---- The table ------------------------------------------------------------------------------ */

static void pass_row(const data *d, int pass, double bound, bool *good) {
    const result r = result_of(d, pass);
    static double want[SAMPLES];
    static size_t where[SAMPLES];
    double size = 0;
    uint64_t state = 11;
    for (int i = 0; i < SAMPLES; i++) {
        int at[4];
        for (int k = 0; k < 4; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            at[k] = (int)((state >> 33) % (uint64_t)r.dim[k]);
        }
        where[i] = at4(at[0], at[1], r.dim[1], at[2], r.dim[2], at[3], r.dim[3]);
        want[i] = r.want(d, at[0], at[1], at[2], at[3]);
        size += want[i] * want[i];
    }
    for (int k = 0; k < SIDES; k++) {
        double sum = 0, most = 0;
        if (sides[k] && !wino_can(&d->s, pass == 1, sides[k])) {
            printf(" | -");
            continue;
        }
        run_pass(d, pass, sides[k]);
        for (int i = 0; i < SAMPLES; i++) {
            double error = fabs((double)r.got[where[i]] - want[i]);
            sum += error * error, most = fmax(most, error);
        }
        double rms = sqrt(sum / size), top = most / sqrt(size / SAMPLES);
        printf(" | %.1f / %.1f", 1e7 * rms, 1e7 * top);
        *good &= rms < bound;
    }
}

static bool layer_row(data *d, const layer *l) {
    int oh = layer_out(l->h, l->kh, l->stride, l->pad),
        ow = layer_out(l->w, l->kw, l->stride, l->pad);
    d->n = l->n;
    d->s = (conv_shape){ .groups = 1,
                         .c = l->c,
                         .o = l->o,
                         .h = l->h,
                         .w = l->w,
                         .oh = oh,
                         .ow = ow,
                         .kh = l->kh,
                         .kw = l->kw,
                         .sh = l->stride,
                         .sw = l->stride,
                         .dh = 1,
                         .dw = 1,
                         .pt = l->pad,
                         .pl = l->pad };
    size_t in = at4(l->n, 0, l->c, 0, l->h, 0, l->w), out = at4(l->n, 0, l->o, 0, oh, 0, ow),
           weights = at4(l->o, 0, l->c, 0, l->kh, 0, l->kw);
    bool good = true;
    d->x = normals(in, 1), d->w = normals(weights, 2), d->dy = normals(out, 3);
    d->dx = zeros(sizeof(float) * (in + LENS_SLACK));
    d->y = zeros(sizeof(float) * (out + LENS_SLACK));
    d->dw = zeros(sizeof(float) * (weights + LENS_SLACK));
    printf("| %dx%d, %d to %d, %dx%d", l->kh, l->kw, l->c, l->o, l->h, l->w);
    if (l->n > 1) printf(", %d pictures", l->n);
    /* Sums of a million terms: far above what is seen, far below what a mistake makes. */
    for (int pass = 0; pass < PASSES; pass++) pass_row(d, pass, 1e-4, &good);
    printf(" |%s\n", good ? "" : " FAIL");
    fflush(stdout);
    free(d->x), free(d->w), free(d->dy), free(d->dx), free(d->y), free(d->dw);
    return good;
}

static bool same_shape(const layer *a, const layer *b) {
    return a->n == b->n && a->c == b->c && a->o == b->o && a->h == b->h && a->w == b->w &&
           a->kh == b->kh && a->kw == b->kw && a->pad == b->pad;
}

int errors_run(const struct kern *kern, const char *const *files, int files_count) {
    static const char *const usual[] = { "bench/shapes/vgg16.txt", "bench/shapes/resnet18.txt",
                                         "bench/shapes/densenet121.txt",
                                         "bench/shapes/resnet20.txt" };
    char why[256];
    data d = { .kern = kern };
    layer seen[256];
    int seen_count = 0, bad = 0;
    if (!files_count) files = usual, files_count = sizeof usual / sizeof *usual;
    if (lens_ctx_new(&d.ctx, &(lens_ctx_opts){ .isa = kern->name }, why) != LENS_OK) {
        fprintf(stderr, "kcheck: %s\n", why);
        return 1;
    }
    printf("%s: RMS / largest error in 1e-7 of the values' RMS\n\n", kern->name);
    printf("| layer | output: direct | F(2x2) | F(4x4) | input gradient: direct | F(2x2) | F(4x4) |"
           " weight gradient: direct | F(2x2) | F(4x4) |\n"
           "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for (int f = 0; f < files_count; f++) {
        layer *layers;
        int count = shapes_read(files[f], &layers);
        if (count < 0) return 1;
        for (int i = 0; i < count; i++) {
            const layer *l = &layers[i];
            bool known = l->kh != 3 || l->stride != 1 || l->groups != 1 || seen_count == 256;
            for (int k = 0; k < seen_count; k++) known |= same_shape(l, &seen[k]);
            if (known) continue;
            seen[seen_count++] = *l;
            bad += !layer_row(&d, l);
        }
        free(layers);
    }
    lens_ctx_free(d.ctx);
    return bad || !seen_count;
}
