/* onednn.c - times oneDNN's own convolutions at the layers of a file of bench/shapes.
 *
 *   onednn SHAPES.txt BATCH SECONDS      OMP_NUM_THREADS says how many threads
 *
 * For each line: its name, then milliseconds of the forward pass with bias, of the input gradient and
 * of the weight gradient (each the median of runs for SECONDS); "-" for what it cannot do. Layouts are
 * those that oneDNN likes best ("any"), and nothing is converted between runs. Version 2 of its C
 * interface; bench/peers/layers.py compiles this where dnnl.h is installed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if DNNL_VERSION_MAJOR != 2
#error "bench/peers/onednn.c is written for oneDNN 2"
#endif

enum { RUNS_MAX = 100000, ARGUMENTS_MAX = 4 };

#define CHECK(call)                                                                                \
    do {                                                                                           \
        dnnl_status_t status_ = (call);                                                            \
        if (status_ != dnnl_success) {                                                             \
            fprintf(stderr, "onednn: %s: status %d\n", #call, (int)status_);                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

typedef struct layer {
    char name[64];
    int n, c, h, w, o, kh, kw, stride, pad, groups;
} layer;

typedef enum pass { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT } pass;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static dnnl_memory_desc_t any(int rank, const dnnl_dim_t *dims) {
    dnnl_memory_desc_t d;
    CHECK(dnnl_memory_desc_init_by_tag(&d, rank, dims, dnnl_f32, dnnl_format_tag_any));
    return d;
}

/* The convolution of a pass; NULL if oneDNN has none. */
static dnnl_primitive_desc_t describe(const layer *l, pass p) {
    const dnnl_dim_t oh = (l->h + 2 * l->pad - l->kh) / l->stride + 1,
                     ow = (l->w + 2 * l->pad - l->kw) / l->stride + 1;
    const int grouped = l->groups > 1;
    const dnnl_dims_t x_dims = { l->n, l->c, l->h, l->w }, y_dims = { l->n, l->o, oh, ow },
                      b_dims = { l->o }, strides = { l->stride, l->stride },
                      pads = { l->pad, l->pad }, flat = { l->o, l->c, l->kh, l->kw },
                      grouped_dims = { l->groups, l->o / l->groups, l->c / l->groups, l->kh,
                                       l->kw };
    dnnl_memory_desc_t x = any(4, x_dims), y = any(4, y_dims), b = any(1, b_dims),
                       w = any(4 + grouped, grouped ? grouped_dims : flat);
    dnnl_convolution_desc_t d;
    if (p == FORWARD)
        CHECK(dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference,
                                                 dnnl_convolution_direct, &x, &w, &b, &y, strides,
                                                 pads, pads));
    else if (p == INPUT_GRADIENT)
        CHECK(dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &x, &w, &y,
                                                       strides, pads, pads));
    else
        CHECK(dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &x, &w, &b,
                                                          &y, strides, pads, pads));
    dnnl_primitive_desc_t hint = p == FORWARD ? NULL : describe(l, FORWARD), out = NULL;
    if (dnnl_primitive_desc_create(&out, &d, NULL, engine, hint) != dnnl_success) out = NULL;
    if (hint) dnnl_primitive_desc_destroy(hint);
    return out;
}

static dnnl_memory_t memory_of(dnnl_primitive_desc_t pd, dnnl_query_t what) {
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(pd, what, 0);
    dnnl_memory_t memory;
    void *data;
    CHECK(dnnl_memory_create(&memory, d, engine, DNNL_MEMORY_ALLOCATE));
    CHECK(dnnl_memory_get_data_handle(memory, &data));
    float *x = data;
    for (size_t i = 0; i < dnnl_memory_desc_get_size(d) / sizeof *x; i++)
        x[i] = (float)(i * 7919 % 1000) * 1e-3F - 0.5F;
    return memory;
}

/* Median milliseconds, or below 0 if oneDNN cannot do it. */
static double measure(const layer *l, pass p, double seconds) {
    static const dnnl_exec_arg_t arguments[][ARGUMENTS_MAX] = {
        { { DNNL_ARG_SRC, 0 }, { DNNL_ARG_WEIGHTS, 0 }, { DNNL_ARG_BIAS, 0 }, { DNNL_ARG_DST, 0 } },
        { { DNNL_ARG_DIFF_DST, 0 }, { DNNL_ARG_WEIGHTS, 0 }, { DNNL_ARG_DIFF_SRC, 0 }, { 0, 0 } },
        { { DNNL_ARG_SRC, 0 },
          { DNNL_ARG_DIFF_DST, 0 },
          { DNNL_ARG_DIFF_WEIGHTS, 0 },
          { DNNL_ARG_DIFF_BIAS, 0 } },
    };
    static const dnnl_query_t queries[][ARGUMENTS_MAX] = {
        { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_undef, dnnl_query_dst_md },
        { dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md, dnnl_query_undef },
        { dnnl_query_src_md, dnnl_query_diff_dst_md, dnnl_query_diff_weights_md, dnnl_query_undef },
    };
    static double times[RUNS_MAX];
    dnnl_primitive_desc_t pd = describe(l, p);
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t argument[ARGUMENTS_MAX];
    int count = 0, runs = 0;
    if (!pd) return -1;
    CHECK(dnnl_primitive_create(&primitive, pd));
    for (; count < ARGUMENTS_MAX && arguments[p][count].arg; count++) {
        argument[count] = arguments[p][count];
        if (queries[p][count] != dnnl_query_undef)
            argument[count].memory = memory_of(pd, queries[p][count]);
        else { /* a bias: the second tensor of weights */
            const dnnl_dims_t dims = { l->o };
            dnnl_memory_desc_t d;
            CHECK(dnnl_memory_desc_init_by_tag(&d, 1, dims, dnnl_f32, dnnl_a));
            CHECK(dnnl_memory_create(&argument[count].memory, &d, engine, DNNL_MEMORY_ALLOCATE));
        }
    }
    double start = now();
    CHECK(dnnl_primitive_execute(primitive, stream, count, argument));
    CHECK(dnnl_stream_wait(stream));
    for (start = now(); !runs || (runs < RUNS_MAX && now() - start < seconds); runs++) {
        const double before = now();
        CHECK(dnnl_primitive_execute(primitive, stream, count, argument));
        CHECK(dnnl_stream_wait(stream));
        times[runs] = now() - before;
    }
    for (int i = 0; i < count; i++) dnnl_memory_destroy(argument[i].memory);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(pd);
    qsort(times, (size_t)runs, sizeof *times, by_size);
    return 1e3 * times[runs / 2];
}

int main(int argc, char **argv) {
    char line[200];
    FILE *in = argc == 4 ? fopen(argv[1], "r") : NULL;
    if (!in) {
        fprintf(stderr, "usage: onednn SHAPES.txt BATCH SECONDS\n");
        return 2;
    }
    CHECK(dnnl_engine_create(&engine, dnnl_cpu, 0));
    CHECK(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    while (fgets(line, sizeof line, in)) {
        layer l;
        if (sscanf(line, "%63s %d %d %d %d %d %d %d %d %d %d", l.name, &l.n, &l.c, &l.h, &l.w, &l.o,
                   &l.kh, &l.kw, &l.stride, &l.pad, &l.groups) != 11)
            continue;
        l.n = atoi(argv[2]);
        printf("%s", l.name);
        for (int p = FORWARD; p <= WEIGHT_GRADIENT; p++) {
            const double ms = measure(&l, (pass)p, atof(argv[3]));
            if (ms < 0)
                printf(" -");
            else
                printf(" %.6f", ms);
        }
        printf("\n");
    }
    fclose(in);
    return 0;
}
