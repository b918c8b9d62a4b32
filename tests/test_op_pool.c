/* test_op_pool.c - pooling by worked examples and by its properties.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "test.h"

#define M         "1 1 2 4/5 6 7 8/3 2 1 0/1 2 3 4"
#define TO_15     "0 1 2 3/4 5 6 7/8 9 10 11/12 13 14 15"
#define TO_24     "0 1 2 3 4/5 6 7 8 9/10 11 12 13 14/15 16 17 18 19/20 21 22 23 24"
#define NINE      "0 1 2/3 4 5/6 7 8"
#define POOL(...) ((lens_pool_opts){ __VA_ARGS__ })

typedef lens_node *builder(lens_node *, const char *, lens_pool_opts);

static void expect_pool(builder *build, int h, int w, const char *x, lens_pool_opts o,
                        const char *y) {
    float number[64];
    probe p = probe_start(1, 1, 1, h, w);
    probe_finish(&p, build(p.x, "p", o));
    assert_int_equal(numbers(y, number, 64), probe_y_count(&p));
    expect_numbers(probe_run_text(&p, x), y, 0);
    probe_end(&p);
}

static void expect_back(builder *build, int h, int w, const char *x, lens_pool_opts o,
                        const char *dy, const char *dx) {
    probe p = probe_start(1, 1, 1, h, w);
    probe_finish(&p, build(p.x, "p", o));
    probe_run_text(&p, x);
    expect_numbers(probe_back_text(&p, dy), dx, 0);
    probe_end(&p);
}

static void max(void **state) {
    (void)state;
    expect_pool(lens_maxpool, 4, 4, M, POOL(.kernel = { 2 }), "6 8/3 4");
    expect_pool(lens_maxpool, 4, 4, M, POOL(.kernel = { 2 }, .stride = { 2 }), "6 8/3 4");
    expect_pool(lens_maxpool, 4, 4, TO_15, POOL(.kernel = { 3 }), "10");
    expect_pool(lens_maxpool, 4, 4, TO_15, POOL(.kernel = { 3 }, .pad = 1, .stride = { 2 }),
                "5 7/13 15");
    expect_pool(lens_maxpool, 4, 4, TO_15, POOL(.kernel = { 2, 3 }, .pads = { 0, 1, 0, 1 }),
                "5 7/13 15");
}

static void avg(void **state) {
    (void)state;
    expect_pool(lens_avgpool, 4, 4, M, POOL(.kernel = { 2 }), "3.25 5.25/2 2");
    expect_pool(lens_avgpool, 3, 3, NINE, POOL(.kernel = { 2 }, .stride = { 1 }), "2 3/5 6");
    /* The corner window holds 4 cells of the picture and 5 of padding. */
    expect_pool(lens_avgpool, 3, 3, "9 9 9/9 9 9/9 9 9",
                POOL(.kernel = { 3 }, .stride = { 2 }, .pad = 1), "4 4/4 4");
    expect_pool(lens_avgpool, 3, 3, "9 9 9/9 9 9/9 9 9",
                POOL(.kernel = { 3 }, .stride = { 2 }, .pad = 1, .exclude_pad = true), "9 9/9 9");
    /* What ceil lets hang over the padding is never counted. */
    expect_pool(lens_avgpool, 1, 5, "4 4 4 4 6", POOL(.kernel = { 1, 2 }, .ceil = true), "4 4 6");
}

static void sum(void **state) {
    (void)state;
    expect_pool(lens_sumpool, 4, 4, M, POOL(.kernel = { 2 }), "13 21/8 8");
    float x[16], y[4];
    numbers(M, x, 16);
    probe p = probe_start(1, 1, 1, 4, 4);
    probe_finish(&p, lens_avgpool(p.x, NULL, POOL(.kernel = { 2 })));
    const float *mean = probe_run(&p, x);
    for (int i = 0; i < 4; i++) y[i] = 4 * mean[i];
    expect_numbers(y, "13 21/8 8", 0);
    probe_end(&p);
}

static void overlapping(void **state) {
    (void)state;
    expect_pool(lens_maxpool, 4, 4, M, POOL(.kernel = { 2 }, .stride = { 1 }), "6 7 8/6 7 8/3 3 4");
    expect_pool(lens_maxpool, 4, 4, M, POOL(.kernel = { 3 }, .stride = { 2 }), "7");
    expect_pool(lens_maxpool, 3, 3, NINE, POOL(.kernel = { 2 }, .stride = { 1 }), "4 5/7 8");
    expect_pool(lens_maxpool, 5, 5, TO_24, POOL(.kernel = { 3 }, .stride = { 2 }), "12 14/22 24");
}

#define SPOT "0 0 0 0 0/0 0 0 0 0/0 0 9 0 0/0 0 0 0 0/0 0 0 0 0"

static void max_back(void **state) {
    (void)state;
    expect_back(lens_maxpool, 4, 4, M, POOL(.kernel = { 2 }), "1 2/3 4",
                "0 0 0 0/0 1 0 2/3 0 0 0/0 0 0 4");
    expect_pool(lens_maxpool, 5, 5, SPOT, POOL(.kernel = { 3 }, .stride = { 2 }), "9 9/9 9");
    expect_back(lens_maxpool, 5, 5, SPOT, POOL(.kernel = { 3 }, .stride = { 2 }), "1 1/1 1",
                "0 0 0 0 0/0 0 0 0 0/0 0 4 0 0/0 0 0 0 0/0 0 0 0 0");
    /* Ties go to the first cell in row-major order. */
    expect_back(lens_maxpool, 2, 4, "1 1 0 5/1 1 5 5", POOL(.kernel = { 2 }), "1 2",
                "1 0 0 2/0 0 0 0");
    /* Also in windows of any size. */
    probe p = probe_start(1, 1, 1, 18, 18);
    lens_node *wide = lens_maxpool(p.x, NULL, POOL(.kernel = { 17 }, .stride = { 1 }));
    probe_finish(&p, lens_global_maxpool(wide, NULL));
    float x[324] = { 0 };
    x[20] = x[21] = x[200] = 1;
    probe_run(&p, x);
    const float *dx = probe_back_text(&p, "1");
    for (int k = 0; k < 324; k++) assert_true(dx[k] == (k == 20));
    probe_end(&p);
}

static void avg_back(void **state) {
    (void)state;
    expect_back(lens_avgpool, 4, 4, M, POOL(.kernel = { 2 }), "1 2/3 4",
                ".25 .25 .5 .5/.25 .25 .5 .5/.75 .75 1 1/.75 .75 1 1");
}

static void sum_back(void **state) {
    (void)state;
    expect_back(lens_sumpool, 4, 4, M, POOL(.kernel = { 2 }), "1 2/3 4",
                "1 1 2 2/1 1 2 2/3 3 4 4/3 3 4 4");
}

/* y = a*sum + b with one a and b a map: LeNet-5's S2. */
static void subsample(void **state) {
    (void)state;
    lens_node_info info;
    probe p = probe_start(1, 1, 6, 28, 28);
    lens_node *s = lens_subsample(p.x, "s", POOL(.kernel = { 2 }));
    assert_non_null(s);
    lens_node_info_get(s, &info);
    assert_int_equal(info.parameters, 12);
    assert_int_equal(info.connections, 5880);
    assert_int_equal(info.h, 14);
    probe_end(&p);

    probe q = probe_start(1, 1, 1, 4, 4);
    probe_finish(&q, lens_subsample(q.x, "s", POOL(.kernel = { 2 })));
    probe_set(&q, "s.weight", ".5"), probe_set(&q, "s.bias", "1");
    expect_numbers(probe_run_text(&q, M), "7.5 11.5/5 5", 0);
    expect_numbers(probe_back_text(&q, "1 2/3 4"), ".5 .5 1 1/.5 .5 1 1/1.5 1.5 2 2/1.5 1.5 2 2",
                   0);
    expect_numbers(probe_grad(&q, "s.weight"), "111", 0); /* 13*1 + 21*2 + 8*3 + 8*4 */
    expect_numbers(probe_grad(&q, "s.bias"), "10", 0);
    probe_end(&q);
}

static void expect_size(builder *build, int c, int size, lens_pool_opts o, int out) {
    lens_node_info info;
    probe p = probe_start(1, 1, c, size, size);
    lens_node *node = build(p.x, NULL, o);
    assert_non_null(node);
    lens_node_info_get(node, &info);
    assert_int_equal(info.c, c);
    assert_int_equal(info.h, out);
    assert_int_equal(info.w, out);
    assert_int_equal(info.macs, 0);
    probe_end(&p);
}

static void sizes(void **state) {
    (void)state;
    expect_size(lens_maxpool, 96, 55, POOL(.kernel = { 3 }, .stride = { 2 }), 27);
    expect_size(lens_maxpool, 96, 110, POOL(.kernel = { 3 }, .stride = { 2 }, .ceil = true), 55);
    expect_size(lens_maxpool, 96, 110, POOL(.kernel = { 3 }, .stride = { 2 }), 54);
    expect_size(lens_avgpool, 5, 28, POOL(.kernel = { 2 }), 14);
    expect_size(lens_sumpool, 5, 64, POOL(.kernel = { 2 }), 32);
    /* A window that would start in the trailing padding is dropped. */
    expect_size(lens_avgpool, 1, 4, POOL(.kernel = { 2 }, .stride = { 3 }, .pad = 1, .ceil = true),
                2);
}

/* No parameters, so no gradient of its own. */
static void no_parameters(void **state) {
    (void)state;
    builder *const build[] = { lens_maxpool, lens_avgpool, lens_sumpool };
    for (size_t i = 0; i < sizeof build / sizeof *build; i++) {
        lens_node_info info;
        probe p = probe_start(1, 1, 3, 8, 8);
        lens_node *node = build[i](p.x, NULL, POOL(.kernel = { 2 }));
        lens_node_info_get(node, &info);
        assert_int_equal(info.parameters, 0);
        probe_finish(&p, node);
        assert_int_equal(lens_net_params(p.net), 0);
        assert_int_equal(lens_net_parameters(p.net), 0);
        probe_end(&p);
    }
}

/* Every map is pooled by itself: changing one changes the others in no bit. */
static void map_by_map(void **state) {
    (void)state;
    enum { SIZE = 49, OUT = 9 };
    float x[3 * SIZE], y[3 * OUT];
    random_floats(x, 3 * SIZE, 1);
    builder *const build[] = { lens_maxpool, lens_avgpool, lens_sumpool };
    for (size_t i = 0; i < sizeof build / sizeof *build; i++) {
        probe p = probe_start(1, 1, 3, 7, 7);
        probe_finish(&p, build[i](p.x, NULL, POOL(.kernel = { 3 }, .stride = { 2 })));
        memcpy(y, probe_run(&p, x), sizeof y);
        assert_int_equal(p.y.dim[1], 3);
        float moved[3 * SIZE];
        memcpy(moved, x, sizeof x);
        for (int k = 0; k < SIZE; k++) moved[SIZE + k] += 5;
        const float *z = probe_run(&p, moved);
        expect_equal(z, y, OUT, 0);
        expect_equal(z + 2 * OUT, y + 2 * OUT, OUT, 0);
        for (int k = OUT; k < 2 * OUT; k++) assert_true(z[k] > y[k] + 4);
        for (int c = 0; c < 3; c++) {
            probe one = probe_start(1, 1, 1, 7, 7);
            probe_finish(&one, build[i](one.x, NULL, POOL(.kernel = { 3 }, .stride = { 2 })));
            expect_equal(probe_run(&one, x + c * SIZE), y + c * OUT, OUT, 0);
            probe_end(&one);
        }
        probe_end(&p);
    }
}

/* Unchanged only while the maximum stays in its cell. */
static void shifts(void **state) {
    (void)state;
    expect_pool(lens_maxpool, 1, 6, "0 0 4 0 0 0", POOL(.kernel = { 1, 2 }), "0 4 0");
    expect_pool(lens_maxpool, 1, 6, "0 0 0 4 0 0", POOL(.kernel = { 1, 2 }), "0 4 0");
    expect_pool(lens_maxpool, 1, 6, "0 0 0 0 4 0", POOL(.kernel = { 1, 2 }), "0 0 4");
}

static void expect_adaptive(bool max, int length, const char *x, int out, const char *y) {
    probe p = probe_start_sequence(1, 1, 1, length);
    lens_adaptive_opts o = { .out = { out } };
    probe_finish(&p,
                 max ? lens_adaptive_maxpool(p.x, NULL, o) : lens_adaptive_avgpool(p.x, NULL, o));
    expect_numbers(probe_run_text(&p, x), y, 0);
    probe_end(&p);
}

static void adaptive(void **state) {
    (void)state;
    expect_adaptive(false, 5, "1 2 3 4 5", 3, "1.5 3 4.5");
    expect_adaptive(false, 7, "1 2 3 4 5 6 7", 3, "2 4 6");
    expect_adaptive(true, 7, "1 2 3 4 5 6 7", 3, "3 5 7");
    for (int h = 1; h < 20; h += 3)
        for (int w = 1; w < 20; w += 4) {
            lens_node_info info;
            probe p = probe_start(1, 1, 2, h, w);
            lens_node_info_get(
                lens_adaptive_avgpool(p.x, NULL, (lens_adaptive_opts){ .out = { 6, 4 } }), &info);
            assert_int_equal(info.h, 6);
            assert_int_equal(info.w, 4);
            lens_node_info_get(
                lens_adaptive_maxpool(p.x, NULL, (lens_adaptive_opts){ .out = { 7 } }), &info);
            assert_int_equal(info.h, 7);
            assert_int_equal(info.w, 7);
            probe_end(&p);
        }
}

/* The mean of each of 1024 maps of 7x7, instead of a dense layer. */
static void global(void **state) {
    (void)state;
    enum { MAPS = 1024, AREA = 49 };
    static float x[MAPS * AREA];
    probe p = probe_start(1, 1, MAPS, 7, 7);
    probe_finish(&p, lens_global_avgpool(p.x, NULL));
    for (int i = 0; i < MAPS * AREA; i++) x[i] = (float)(i / AREA) + (float)(i % AREA - 24);
    const float *y = probe_run(&p, x);
    assert_int_equal(probe_y_count(&p), MAPS);
    assert_int_equal(lens_net_parameters(p.net), 0);
    for (int c = 0; c < MAPS; c++) assert_near(y[c], c, 1e-4);
    probe_end(&p);
}

static void not_a_number(void **state) {
    (void)state;
    float x[16] = { 0 };
    x[5] = NAN;
    probe p = probe_start(1, 1, 1, 4, 4);
    probe_finish(&p, lens_maxpool(p.x, NULL, POOL(.kernel = { 2 })));
    const float *y = probe_run(&p, x);
    assert_true(isnan(y[0]) && !isnan(y[1]) && !isnan(y[2]) && !isnan(y[3]));
    probe_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[G7][V14] maximum", max),
        T("[G8][V14] mean, padding counted or not", avg),
        T("[G9][V14] sum", sum),
        T("[G11][V14] windows that overlap", overlapping),
        T("[I11][V14] gradient of the maximum", max_back),
        T("[I12][V14] gradient of the mean", avg_back),
        T("[I13][V14] gradient of the sum", sum_back),
        T("[G9] LeNet-5's trainable sub-sampling", subsample),
        T("[G6][G10][G12][D14] sizes and depth", sizes),
        T("[G13][I14] no parameters", no_parameters),
        T("[G6][G19] every map by itself", map_by_map),
        T("[G15][V18] small shifts", shifts),
        T("[G17][V26] adaptive pooling", adaptive),
        T("[G23] global mean", global),
        T("a NaN wins the maximum", not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
