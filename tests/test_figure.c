/* test_figure.c - figures: what stands in the display list, and where.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/figures.h"

/* Layout ------------------------------------------------------------------------------------------- */

static void everything_inside_in(lens_lang tongue) {
    sample_lang = tongue;
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(sample_figures); m++) {
        lens_figure *fig;
        assert_ok(ctx, sample_figures[m].make(ctx, &fig));
        for (size_t i = 0; i < fig->count; i++) {
            const fig_prim *p = &fig->prim[i];
            bounds b = prim_bounds(p);
            if (!(b.x0 >= 0 && b.y0 >= 0 && b.x1 <= fig->width && b.y1 <= fig->height))
                fail_msg("%s: primitive %zu (%s) spans %g..%g, %g..%g of %g x %g",
                         sample_figures[m].name, i,
                         p->text   ? p->text
                         : p->role ? p->role
                                   : "-",
                         b.x0, b.x1, b.y0, b.y1, fig->width, fig->height);
            if (p->text) assert_near(p->w, fig_measure(p->text, p->font.size, p->font.bold), 1e-9);
        }
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
    sample_lang = LENS_LANG_EN;
}

static void everything_inside(void **state) {
    (void)state;
    everything_inside_in(LENS_LANG_EN);
    everything_inside_in(LENS_LANG_ZH);
}

static void no_text_on_text_in(lens_lang tongue) {
    sample_lang = tongue;
    const double touch = 1; /* boxes include the room of letters that are not there */
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(sample_figures); m++) {
        lens_figure *fig;
        assert_ok(ctx, sample_figures[m].make(ctx, &fig));
        for (size_t i = 0; i < fig->count; i++) {
            if (fig->prim[i].kind != FIG_TEXT) continue;
            bounds a = text_bounds(&fig->prim[i]);
            for (size_t j = i + 1; j < fig->count; j++) {
                if (fig->prim[j].kind != FIG_TEXT) continue;
                bounds b = text_bounds(&fig->prim[j]);
                if (fmin(a.x1, b.x1) - fmax(a.x0, b.x0) > touch &&
                    fmin(a.y1, b.y1) - fmax(a.y0, b.y0) > touch)
                    fail_msg("%s: \"%s\" overlaps \"%s\"", sample_figures[m].name,
                             fig->prim[i].text, fig->prim[j].text);
            }
        }
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
    sample_lang = LENS_LANG_EN;
}

static void no_text_on_text(void **state) {
    (void)state;
    no_text_on_text_in(LENS_LANG_EN);
    no_text_on_text_in(LENS_LANG_ZH);
}

/* Colours ------------------------------------------------------------------------------------------ */

static void diverging_symmetric(void **state) {
    (void)state;
    double last = lightness(fig_diverging(0));
    assert_near(last, 97, 0.5);
    for (int i = 0; i <= 100; i++) {
        fig_rgb plus = fig_diverging(i / 100.0), minus = fig_diverging(-i / 100.0);
        double l = lightness(plus);
        assert_near(l, lightness(minus), 1.0); /* one 8-bit step is about 0.4 */
        assert_near(l, 97 - 0.59 * i, 1.0);    /* the straight line to L* = 38 */
        assert_true(l <= last + 0.05);
        last = l;
        if (i > 5) assert_true(plus.r > plus.b && minus.b > minus.r);
    }
    assert_true(same(fig_diverging(7), fig_diverging(1)));
    assert_true(same(fig_diverging(-7), fig_diverging(-1)));
}

static void sequential_darkens(void **state) {
    (void)state;
    assert_true(same(fig_sequential(0), fig_diverging(0)));
    assert_true(same(fig_sequential(-1), fig_sequential(0)));
    for (int i = 0; i <= 100; i++)
        assert_near(lightness(fig_sequential(i / 100.0)), 97 - 0.79 * i, 1.0);
}

static void clipping_is_counted(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float w[9] = { -4, -1, -0.5f, 0, 0.5f, 1, 2, 3, 0.25f }, before[9];
    memcpy(before, w, sizeof w);
    lens_figure *fig;
    assert_ok(ctx,
              lens_figure_filters(ctx, &fig, w, 1, 1, 3, 3, &(lens_figure_opts){ .limit = 1 }));
    assert_memory_equal(w, before, sizeof w);
    const fig_prim *tile = nth(fig, "tile", 0);
    assert_true(same(cell(tile, 0, 0), fig_diverging(-1))); /* -4 looks like -1 */
    assert_true(same(cell(tile, 0, 1), fig_diverging(-1)));
    assert_true(same(cell(tile, 0, 2), fig_diverging(-0.5)));
    assert_true(same(cell(tile, 1, 0), fig_diverging(0)));
    assert_true(same(cell(tile, 1, 2), fig_diverging(1)));
    assert_true(has_text(fig, "3 values lie beyond the scale"));
    assert_true(has_text(fig, "-4.00")); /* the number printed is the value itself */
    assert_true(has_text(fig, "+1"));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void not_finite_is_marked(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float w[4] = { NAN, INFINITY, -INFINITY, 0.5f };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_filters(ctx, &fig, w, 1, 1, 2, 2, NULL));
    const fig_prim *tile = nth(fig, "tile", 0);
    for (int i = 0; i < 3; i++) assert_true(same(cell(tile, i / 2, i % 2), FIG_BAD));
    assert_true(same(cell(tile, 1, 1), fig_diverging(1)));
    assert_true(has_text(fig, "3 values are NaN or infinite"));
    lens_figure_free(fig);
    lens_figure_layer layer = { "conv1", w, 1, 2, 2 };
    assert_ok(ctx, lens_figure_maps(ctx, &fig, NULL, &layer, 1, NULL));
    assert_true(has_text(fig, "3 values are NaN or infinite"));
    lens_figure_free(fig);
    lens_figure_picture picture = { w, 1, 2, 2, 0, 0 };
    assert_ok(ctx, lens_figure_sheet(ctx, &fig, &picture, NULL, 1, NULL));
    assert_true(same(cell(nth(fig, "picture", 0), 0, 1), FIG_BAD));
    lens_figure_free(fig);
    double y[5] = { 1, NAN, 0.5, INFINITY, 0.25 };
    lens_figure_series series = { "train", NULL, y, 5 };
    lens_figure_panel panel = { "loss", &series, 1, LENS_BEST_LOW };
    assert_ok(ctx, lens_figure_curves(ctx, &fig, &panel, 1, "epoch", NULL));
    assert_int_equal(count_role(fig, "curve"), 3); /* three pieces between the gaps */
    assert_true(has_text(fig, "2 of the values are NaN or infinite"));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void picture_range(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float rgb[3 * 2] = { 0, 1, 0.5f, -3, 0.2f, 9 }; /* planes R, G, B of two pixels */
    lens_figure_picture p = { rgb, 3, 1, 2, 0, 0 };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_sheet(ctx, &fig, &p, NULL, 1, NULL));
    assert_true(same(cell(nth(fig, "picture", 0), 0, 0), (fig_rgb){ 0, 128, 51 }));
    assert_true(same(cell(nth(fig, "picture", 0), 0, 1), (fig_rgb){ 255, 0, 255 }));
    lens_figure_free(fig);
    p.black = 1, p.white = -1; /* a negative */
    assert_ok(ctx, lens_figure_sheet(ctx, &fig, &p, NULL, 1, NULL));
    assert_true(same(cell(nth(fig, "picture", 0), 0, 0), (fig_rgb){ 128, 64, 102 }));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* What the figures show ------------------------------------------------------------------------------ */

static void kernels_share_a_scale(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float w[2][9] = { { -0.8f, 0, 0.8f, 0, 0, 0, 0.4f, 0, 0 }, { -0.1f, 0, 0.1f } };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_filters(ctx, &fig, w[0], 2, 1, 3, 3, NULL));
    assert_int_equal(count_role(fig, "tile"), 2);
    const fig_prim *strong = nth(fig, "tile", 0), *weak = nth(fig, "tile", 1);
    assert_true(same(cell(strong, 0, 0), fig_diverging(-1)));
    assert_true(same(cell(strong, 0, 2), fig_diverging(1)));
    assert_true(same(cell(strong, 1, 1), fig_diverging(0)));
    assert_true(same(cell(strong, 2, 0), fig_diverging(0.5)));
    assert_true(same(cell(weak, 0, 2), fig_diverging(0.125)));
    assert_true(has_text(fig, "-0.8") && has_text(fig, "+0.8"));
    assert_true(has_text(fig, "One scale for all tiles."));
    lens_figure_free(fig);

    /* Colour: zero is mid grey, +limit and -limit the ends of a channel. */
    float c[3][1] = { { 0.5f }, { -0.5f }, { 0 } };
    assert_ok(ctx,
              lens_figure_filters(ctx, &fig, c[0], 1, 3, 1, 1, &(lens_figure_opts){ .rgb = 1 }));
    assert_true(same(cell(nth(fig, "tile", 0), 0, 0), (fig_rgb){ 255, 0, 128 }));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* Tile (o, c) shows weights[o][c], whichever way the sheet is laid out. */
static void filter_tiles_in_place(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (int turn = 0; turn < 2; turn++) {
        enum { TILES = 80 };
        int o = turn ? 40 : 8, c = turn ? 2 : 10;
        float w[TILES];
        for (int i = 0; i < TILES; i++) w[i] = (float)(i - 40) / 40;
        lens_figure *fig;
        assert_ok(ctx, lens_figure_filters(ctx, &fig, w, o, c, 1, 1, NULL));
        assert_int_equal(count_role(fig, "tile"), TILES);
        bool down = has_text(fig, "Rows: filters");
        assert_true(down == !turn); /* 40 filters stand side by side: their cells are larger so */
        for (int i = 0; i < TILES; i++) {
            /* Tiles are pushed row by row. */
            int cols = down ? c : o, row = i / cols, col = i % cols;
            int at = down ? row * c + col : col * c + row;
            assert_true(same(cell(nth(fig, "tile", i), 0, 0), fig_diverging(w[at])));
        }
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

static void before_and_after_relu(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float before[16], after[16];
    double least = 1;
    for (int i = 0; i < 16; i++) {
        before[i] = (float)(i - 6) / 4;
        after[i] = before[i] > 0 ? before[i] : 0;
        least = fmin(least, after[i]);
    }
    assert_true(least == 0);
    lens_figure_layer layers[] = { { "conv1", before, 1, 4, 4 }, { "relu1", after, 1, 4, 4 } };
    lens_figure *fig;
    lens_figure_opts opts = { .share = LENS_SHARE_FIGURE };
    assert_ok(ctx, lens_figure_maps(ctx, &fig, NULL, layers, 2, &opts));
    const fig_prim *a = nth(fig, "tile", 0), *b = nth(fig, "tile", 1);
    for (int i = 0; i < 16; i++) {
        fig_rgb expected = before[i] > 0 ? cell(a, i / 4, i % 4) : fig_diverging(0);
        assert_true(same(cell(b, i / 4, i % 4), expected));
        assert_true(same(cell(a, i / 4, i % 4), fig_diverging(before[i] / 2.25)));
    }
    assert_true(has_text(fig, "One scale for all layers."));
    lens_figure_free(fig);

    /* Left to themselves: the rectified maps take the scale without a sign. */
    assert_ok(ctx, lens_figure_maps(ctx, &fig, NULL, layers, 2, NULL));
    assert_true(same(cell(nth(fig, "tile", 1), 3, 3), fig_sequential(1)));
    assert_true(same(cell(nth(fig, "tile", 0), 3, 3), fig_diverging(1)));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void tiles_are_channels(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static const int channels[] = { 1, 6, 16, 63, 64 };
    float *data = sample_waves(2048 * 9);
    lens_figure *fig;
    for (size_t i = 0; i < LENS_COUNT(channels); i++) {
        lens_figure_layer layer = { "conv", data, channels[i], 3, 3 };
        assert_ok(ctx, lens_figure_maps(ctx, &fig, NULL, &layer, 1, NULL));
        assert_int_equal(count_role(fig, "tile"), channels[i]);
        assert_false(has_text(fig, "showing"));
        lens_figure_free(fig);
    }
    lens_figure_layer many = { "layer4", data, 2048, 3, 3 };
    assert_ok(ctx, lens_figure_maps(ctx, &fig, NULL, &many, 1, NULL));
    assert_int_equal(count_role(fig, "tile"), 64);
    assert_true(has_text(fig, "layer4: showing the first 64 of 2048 maps."));
    lens_figure_free(fig);
    free(data);
    lens_ctx_free(ctx);
}

/* A map too large for its tile is drawn by means of blocks, and says so. */
static void large_map_means(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float *data = malloc(100 * 100 * sizeof *data);
    assert_non_null(data);
    for (int i = 0; i < 100 * 100; i++)
        data[i] = i / 100 < 2 && i % 100 < 2 ? (float)(i % 100) : 0.5f;
    lens_figure_layer layer = { "big", data, 1, 100, 100 };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_maps(ctx, &fig, NULL, &layer, 1, NULL));
    const fig_prim *tile = nth(fig, "tile", 0);
    assert_int_equal(tile->iw, 50);
    assert_true(same(cell(tile, 0, 0), fig_sequential(0.5))); /* mean of 0 1 / 0 1 */
    assert_true(has_text(fig, "the mean of 2\xc3\x97"
                              "2 values"));
    lens_figure_free(fig);
    free(data);
    lens_ctx_free(ctx);
}

static void confusion_numbers(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static const int64_t counts[9] = { 8, 2, 0, 1, 5, 4, 0, 0, 0 };
    static const char *const names[] = { "circle", "square", "star" };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_confusion(ctx, &fig, counts, 3, names, NULL));
    assert_true(has_text(fig, "accuracy 0.6500 (13 of 20)"));
    assert_int_equal(count_role(fig, "count"), 5); /* zeros are not printed */
    assert_string_equal(nth(fig, "recall", 0)->text, "0.800");
    assert_string_equal(nth(fig, "recall", 1)->text, "0.500");
    assert_string_equal(nth(fig, "recall", 2)->text, "-"); /* no such sample */
    assert_string_equal(nth(fig, "precision", 0)->text, "0.889");
    assert_string_equal(nth(fig, "precision", 1)->text, "0.714");
    assert_string_equal(nth(fig, "precision", 2)->text, "0.000");
    const fig_prim *matrix = nth(fig, "matrix", 0);
    assert_true(same(cell(matrix, 0, 0), fig_sequential(0.8)));
    assert_true(same(cell(matrix, 1, 2), fig_sequential(0.4)));
    assert_true(same(cell(matrix, 2, 2), fig_sequential(0)));
    lens_figure_free(fig);
    assert_ok(ctx, make_large_confusion(ctx, &fig));
    assert_true(has_text(fig, "Showing the first 128 of 150 classes."));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void marks_are_errors(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    assert_ok(ctx, make_predictions(ctx, &fig));
    assert_int_equal(count_role(fig, "mark"), SAMPLES / 3);
    assert_int_equal(count_role(fig, "wrong"), SAMPLES / 3);
    assert_int_equal(count_role(fig, "right"), SAMPLES - SAMPLES / 3);
    assert_int_equal(count_role(fig, "picture"), SAMPLES);
    assert_int_equal(nth(fig, "wrong", 0)->text[0], '*');
    assert_true(has_text(fig, "8 of 24 wrong"));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void worst_error_first(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float *pixels = sample_waves(28 * 28);
    lens_figure_sample s[SAMPLES];
    fill_samples(s, pixels);
    s[3].p = s[6].p = 0.95f; /* a tie keeps its order */
    s[9].p = NAN;            /* counts as no confidence */
    lens_figure *fig;
    assert_ok(ctx, lens_figure_errors(ctx, &fig, s, SAMPLES, 10, sample_classes, NULL));
    assert_int_equal(count_role(fig, "picture"), SAMPLES / 3);
    /* Wrong are 0, 3, 6, ... 21; class of the prediction is one more than the index. */
    static const int order[] = { 3, 6, 21, 18, 15, 12, 0, 9 };
    for (int i = 0; i < SAMPLES / 3; i++) {
        const char *name = sample_classes[(order[i] + 1) % 10];
        const char *text = nth(fig, "wrong", i)->text;
        if (!strstr(text, name)) fail_msg("place %d: \"%s\" is not %s", i, text, name);
    }
    assert_non_null(strstr(nth(fig, "wrong", 0)->text, "0.95"));
    assert_non_null(strstr(nth(fig, "wrong", 2)->text, "0.82"));
    lens_figure_free(fig);
    lens_figure_sample *many = calloc(70, sizeof *many);
    assert_non_null(many);
    for (int i = 0; i < 70; i++) many[i] = s[0];
    assert_ok(ctx, lens_figure_errors(ctx, &fig, many, 70, 10, sample_classes, NULL));
    assert_int_equal(count_role(fig, "picture"), 60);
    assert_true(has_text(fig, "Showing the first 60 of 70 mistakes."));
    assert_false(has_text(fig, "70 of 70")); /* who hands over only mistakes knows their share */
    lens_figure_free(fig);
    free(many);
    for (int i = 0; i < SAMPLES; i++) s[i].predicted = s[i].truth;
    assert_ok(ctx, lens_figure_errors(ctx, &fig, s, SAMPLES, 10, sample_classes, NULL));
    assert_int_equal(count_role(fig, "picture"), 0);
    assert_true(has_text(fig, "no mistake among 24 samples"));
    lens_figure_free(fig);
    free(pixels);
    lens_ctx_free(ctx);
}

static void one_bright_node(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float p[10];
    for (int top = 0; top < 10; top++) {
        for (int i = 0; i < 10; i++) p[i] = i == top ? 0.55f : 0.05f;
        lens_figure *fig;
        assert_ok(ctx, lens_figure_probabilities(ctx, &fig, NULL, p, 10, NULL, NULL));
        assert_int_equal(count_role(fig, "node"), 10);
        int strongest = 0;
        for (int i = 1; i < 10; i++)
            if (lightness(nth(fig, "node", i)->paint.fill) <
                lightness(nth(fig, "node", strongest)->paint.fill))
                strongest = i;
        assert_int_equal(strongest, top);
        for (int i = 0; i < 10; i++) assert_true(nth(fig, "value", i)->font.bold == (i == top));
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

static void bars_sum(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float p[4] = { 0.01f, 0.04f, 0.93f, 0.02f };
    static const char *const names[] = { "dog", "cat", "boat", "bird" };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_probabilities(ctx, &fig, NULL, p, 4, names, NULL));
    assert_true(has_text(fig, "Sum of all 4: 1.000000."));
    assert_int_equal(count_role(fig, "bar"), 4);
    double unit = nth(fig, "bar", 2)->w / 0.93;
    for (int i = 0; i < 4; i++) assert_near(nth(fig, "bar", i)->w, unit * p[i], 1e-4);
    assert_string_equal(nth(fig, "value", 2)->text, "0.9300");
    lens_figure_free(fig);
    p[2] = 1.5f;
    assert_fails(ctx, LENS_BAD_ARG, "class 2 has 1.5",
                 lens_figure_probabilities(ctx, &fig, NULL, p, 4, names, NULL));
    lens_ctx_free(ctx);
}

/* The rows of a log become the points of the line, and falling losses fall on the page. */
static void curve_from_csv(void **state) {
    (void)state;
    static const char csv[] = "1,2.31\n2,1.87\n3,1.02\n4,0.55\n5,0.549\n6,0.31\n7,0.118\n";
    enum { ROWS = 7 };
    double x[ROWS], y[ROWS];
    const char *at = csv;
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(sscanf(at, "%lf,%lf", &x[i], &y[i]), 2);
        at = strchr(at, '\n') + 1;
    }
    lens_ctx *ctx = test_ctx(1);
    lens_figure_series s = { "loss", x, y, ROWS };
    lens_figure_panel panel = { "loss", &s, 1, LENS_BEST_LOW };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_curves(ctx, &fig, &panel, 1, "iteration", NULL));
    const fig_prim *line = nth(fig, "curve", 0);
    assert_int_equal(line->points, ROWS);
    double px = (line->xy[2] - line->xy[0]) / (x[1] - x[0]);
    double py = (line->xy[3] - line->xy[1]) / (y[1] - y[0]);
    assert_true(px > 0 && py < 0);
    for (int i = 1; i < ROWS; i++) {
        assert_true(line->xy[2 * i + 1] > line->xy[2 * i - 1]);
        assert_near(line->xy[2 * i], line->xy[0] + px * (x[i] - x[0]), 1e-6);
        assert_near(line->xy[2 * i + 1], line->xy[1] + py * (y[i] - y[0]), 1e-6);
    }
    const fig_prim *best = nth(fig, "best", 0);
    assert_near(best->x, line->xy[2 * ROWS - 2], 1e-9);
    assert_near(best->y, line->xy[2 * ROWS - 1], 1e-9);
    assert_true(has_text(fig, "best loss 0.118 at iteration 7"));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* Lines that end together: their names stand apart, around the common end. */
static void names_at_the_ends(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    double a[3] = { 0, 1, 0.5 }, b[3] = { 1, 0, 0.5 };
    lens_figure_series s[] = { { "first", NULL, a, 3 }, { "second", NULL, b, 3 } };
    lens_figure_panel panel = { "panel", s, 2, LENS_BEST_NONE };
    lens_figure *fig;
    assert_ok(ctx, lens_figure_curves(ctx, &fig, &panel, 1, "step", NULL));
    double at[2] = { 0 }, end = nth(fig, "curve", 0)->xy[5];
    for (size_t i = 0; i < fig->count; i++)
        for (int k = 0; k < 2; k++)
            if (fig->prim[i].text && strcmp(fig->prim[i].text, s[k].name) == 0)
                at[k] = fig->prim[i].y - fig->prim[i].font.size * 0.36;
    assert_true(fabs(at[1] - at[0]) >= FIG_LABEL);
    assert_near((at[0] + at[1]) / 2, end, 1e-6);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void degenerate_curves(void **state) {
    (void)state;
    static const double cases[][2] = { { 0, 0 },          { 3, 3 },        { -5, -5 },
                                       { 1e300, -1e300 }, { NAN, NAN },    { 1e-300, 2e-300 },
                                       { NAN, 4 },        { 1, 1 + 1e-15 } };
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < LENS_COUNT(cases); i++)
        for (size_t n = 1; n <= 2; n++) {
            lens_figure_series s = { "y", NULL, cases[i], n };
            lens_figure_panel panel = { "y", &s, 1, LENS_BEST_HIGH };
            lens_figure *fig;
            assert_ok(ctx, lens_figure_curves(ctx, &fig, &panel, 1, NULL, NULL));
            assert_true(fig->count < 60);
            for (size_t k = 0; k < fig->count; k++) {
                bounds b = prim_bounds(&fig->prim[k]);
                assert_true(b.x0 >= 0 && b.y0 >= 0 && b.x1 <= fig->width && b.y1 <= fig->height);
            }
            lens_figure_free(fig);
        }
    lens_ctx_free(ctx);
}

static void arch_nodes_are_layers(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    assert_ok(ctx, make_arch(ctx, &fig));
    assert_int_equal(count_role(fig, "node"), LENS_COUNT(sample_lenet));
    for (size_t i = 0; i < LENS_COUNT(sample_lenet); i++)
        assert_string_equal(nth(fig, "node", (int)i)->text, sample_lenet[i].name);
    static const char *const shapes[] = { "1\xc3\x97"
                                          "28\xc3\x97"
                                          "28",
                                          "6\xc3\x97"
                                          "14\xc3\x97"
                                          "14",
                                          "16\xc3\x97"
                                          "5\xc3\x97"
                                          "5",
                                          "120",
                                          "84",
                                          "10" };
    for (size_t i = 0; i < LENS_COUNT(shapes); i++) assert_true(has_text(fig, shapes[i]));
    assert_true(has_text(fig, "61,706 parameters, 416,520 multiply-adds"));
    assert_true(has_text(fig, "48,120 params") && has_text(fig, "240,000 MACs"));
    /* To scale: conv1 is twice as wide as pool1. */
    assert_near(nth(fig, "sheet", 1)->w, 2 * nth(fig, "sheet", 7)->w, 1e-9);
    assert_int_equal(count_role(fig, "sheet"), 1 + 6 + 6 + 12 + 12 + 3);
    fig_rgb conv = nth(fig, "sheet", 1)->paint.fill, pool = nth(fig, "sheet", 7)->paint.fill;
    assert_false(same(conv, pool));
    assert_true(same(nth(fig, "sheet", 13)->paint.fill, conv)); /* conv2 */
    lens_figure_free(fig);
    assert_ok(ctx, make_deep_arch(ctx, &fig));
    assert_int_equal(count_role(fig, "node"), 53);
    assert_int_equal(count_role(fig, "block"), 53);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* Files -------------------------------------------------------------------------------------------- */

static void tiles_have_scales_and_frames(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig = NULL;
    float map[4] = { -2, 0, 1, 5 }, grey[4] = { 0, 1, 0, 1 };
    lens_figure_mark mark = { LENS_MARK_FRAME, 1, 0, 1, 2 };
    lens_figure_tile tile[3] = {
        { .name = "picture", .picture = { grey, 1, 2, 2, 0, 0 }, .marks = &mark, .mark_count = 1 },
        { .name = "map",
          .note = "first\nsecond",
          .picture = { map, 1, 2, 2, 0, 0 },
          .map = true,
          .limit = 4,
          .side = 40 },
        { .name = "no frame", .picture = { grey, 1, 2, 2, 0, 0 } },
    };
    char *svg;
    size_t size;
    assert_ok(ctx, lens_figure_tiles(ctx, &fig, tile, 3, 2, NULL));
    assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
    static const char *const has[] = { ">map<", ">first<", ">second<",
                                       ">+4<",  ">-4<",    "1 value lies beyond the scale" };
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        if (!strstr(svg, has[i])) fail_msg("the figure lacks %s", has[i]);
    lens_free(ctx, svg);
    lens_figure_free(fig);
    fig = NULL;
    assert_fails(ctx, LENS_BAD_ARG, "columns", lens_figure_tiles(ctx, &fig, tile, 3, 0, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "0 tiles", lens_figure_tiles(ctx, &fig, NULL, 3, 1, NULL));
    mark.row = 2;
    assert_fails(ctx, LENS_BAD_ARG, "the mark 1x2 at 2,0 leaves tile 0",
                 lens_figure_tiles(ctx, &fig, tile, 3, 1, NULL));
    tile[0].name = NULL;
    assert_fails(ctx, LENS_BAD_ARG, "tile 0 has no name",
                 lens_figure_tiles(ctx, &fig, tile, 3, 1, NULL));
    assert_null(fig);
    lens_ctx_free(ctx);
}

static void callers_mistakes(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *const untouched = (lens_figure *)&ctx;
    lens_figure *fig = untouched;
    float x[12] = { 0 };
    double y[2] = { 0 };
    int64_t counts[4] = { 1, -1, 0, 0 };
    lens_figure_series no_values = { "a", NULL, y, 0 }, good = { "a", NULL, y, 2 };
    lens_figure_panel empty = { "loss", &no_values, 1, LENS_BEST_NONE };
    lens_figure_panel crowded = { "loss", &good, 9, LENS_BEST_NONE };
    lens_figure_layer layer = { "conv1", x, 0, 2, 2 }, no_data = { "conv1", NULL, 1, 2, 2 };
    lens_figure_picture two = { x, 2, 2, 2, 0, 0 }, none = { NULL, 1, 2, 2, 0, 0 };
    lens_figure_picture range = { x, 1, 2, 2, NAN, 1 };
    lens_figure_sample sample = { { x, 1, 2, 2, 0, 0 }, 0, 3, 1, 0, NULL };
    lens_figure_block block = { "conv1", NULL, 0, 1, 1, 0, 0 },
                      unnamed = { NULL, NULL, 1, 1, 1, 0, 0 };
    lens_figure_block negative = { "conv1", NULL, 1, 1, 1, -1, 0 };
#define BAD(status, part, call) assert_fails(ctx, status, part, call)
    BAD(LENS_BAD_ARG, "no panel", lens_figure_curves(ctx, &fig, NULL, 0, "x", NULL));
    BAD(LENS_BAD_ARG, "no values", lens_figure_curves(ctx, &fig, &empty, 1, "x", NULL));
    BAD(LENS_BAD_ARG, "9 series", lens_figure_curves(ctx, &fig, &crowded, 1, "x", NULL));
    BAD(LENS_BAD_ARG, "no weights", lens_figure_filters(ctx, &fig, NULL, 1, 1, 1, 1, NULL));
    BAD(LENS_BAD_SHAPE, "0x1x2x2", lens_figure_filters(ctx, &fig, x, 0, 1, 2, 2, NULL));
    BAD(LENS_BAD_SHAPE, "have 2",
        lens_figure_filters(ctx, &fig, x, 1, 2, 2, 2, &(lens_figure_opts){ .rgb = 1 }));
    BAD(LENS_BAD_ARG, "width is 10",
        lens_figure_filters(ctx, &fig, x, 1, 1, 2, 2, &(lens_figure_opts){ .width = 10 }));
    BAD(LENS_BAD_ARG, "width",
        lens_figure_filters(ctx, &fig, x, 1, 1, 2, 2, &(lens_figure_opts){ .width = NAN }));
    BAD(LENS_BAD_ARG, "limit",
        lens_figure_filters(ctx, &fig, x, 1, 1, 2, 2, &(lens_figure_opts){ .limit = -1 }));
    BAD(LENS_BAD_ARG, "png_scale is 5",
        lens_figure_filters(ctx, &fig, x, 1, 1, 2, 2, &(lens_figure_opts){ .png_scale = 5 }));
    BAD(LENS_BAD_ARG, "no layer", lens_figure_maps(ctx, &fig, NULL, NULL, 0, NULL));
    BAD(LENS_BAD_SHAPE, "conv1 is 0x2x2", lens_figure_maps(ctx, &fig, NULL, &layer, 1, NULL));
    BAD(LENS_BAD_ARG, "no data", lens_figure_maps(ctx, &fig, NULL, &no_data, 1, NULL));
    BAD(LENS_BAD_SHAPE, "2x2x2", lens_figure_maps(ctx, &fig, &two, &no_data, 1, NULL));
    BAD(LENS_BAD_ARG, "no classes", lens_figure_confusion(ctx, &fig, NULL, 0, NULL, NULL));
    BAD(LENS_BAD_ARG, "row 0, column 1 counts -1",
        lens_figure_confusion(ctx, &fig, counts, 2, NULL, NULL));
    counts[0] = counts[1] = INT64_MAX;
    BAD(LENS_BAD_ARG, "add up", lens_figure_confusion(ctx, &fig, counts, 2, NULL, NULL));
    BAD(LENS_BAD_ARG, "predicted class 3",
        lens_figure_errors(ctx, &fig, &sample, 1, 3, NULL, NULL));
    BAD(LENS_BAD_ARG, "no samples", lens_figure_predictions(ctx, &fig, NULL, 0, 3, NULL, NULL));
    BAD(LENS_BAD_ARG, "no pictures", lens_figure_sheet(ctx, &fig, NULL, NULL, 0, NULL));
    BAD(LENS_BAD_ARG, "picture 0 has no data", lens_figure_sheet(ctx, &fig, &none, NULL, 1, NULL));
    BAD(LENS_BAD_ARG, "black nan", lens_figure_sheet(ctx, &fig, &range, NULL, 1, NULL));
    BAD(LENS_BAD_ARG, "no classes",
        lens_figure_probabilities(ctx, &fig, NULL, NULL, 0, NULL, NULL));
    BAD(LENS_BAD_ARG, "no layers", lens_figure_arch(ctx, &fig, NULL, 0, NULL));
    BAD(LENS_BAD_SHAPE, "conv1 is 0x1x1", lens_figure_arch(ctx, &fig, &block, 1, NULL));
    BAD(LENS_BAD_ARG, "layer 0 has no name", lens_figure_arch(ctx, &fig, &unnamed, 1, NULL));
    BAD(LENS_BAD_ARG, "-1 parameters", lens_figure_arch(ctx, &fig, &negative, 1, NULL));
#undef BAD
    assert_ptr_equal(fig, untouched);
    lens_ctx_free(ctx);
}

/* Whole numbers stand without decimals, others with as many digits as the cell holds; cells that say
 * their numbers need no scale; marks and signs are drawn. */
static void tiles_of_numbers(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig = NULL;
    assert_ok(ctx, make_tiles(ctx, &fig));
    static const char *const texts[] = { "8", "-1.25", "100.5", "9.00", "\xe2\x8b\x86", "=" };
    for (size_t i = 0; i < LENS_COUNT(texts); i++) {
        bool found = false;
        for (size_t k = 0; k < fig->count; k++)
            found |= fig->prim[k].text && !strcmp(fig->prim[k].text, texts[i]);
        if (!found) fail_msg("the tiles lack \"%s\"", texts[i]);
    }
    assert_int_equal(count_role(fig, "scale"), 1); /* of the small map alone */
    assert_int_equal(count_role(fig, "mark"), 2);
    assert_int_equal(count_role(fig, "hidden"), 1);
    assert_int_equal(count_role(fig, "sign"), 2);
    lens_figure_free(fig);
    /* A row of maps with one limit: one scale, signed as soon as one of them is. */
    static const float a[4] = { 0, 1, 2, 3 }, b[4] = { -1, 0, 0, 1 };
    const lens_figure_tile row[] = {
        { .name = "a", .picture = { a, 1, 2, 2, 0, 0 }, .map = true, .limit = 3, .side = 20 },
        { .name = "b", .picture = { b, 1, 2, 2, 0, 0 }, .map = true, .limit = 3, .side = 20 },
    };
    assert_ok(ctx, lens_figure_tiles(ctx, &fig, row, 2, 2, NULL));
    assert_int_equal(count_role(fig, "scale"), 1);
    assert_true(same(cell(nth(fig, "tile", 0), 0, 1), cell(nth(fig, "tile", 1), 1, 1)));
    assert_true(has_text(fig, "-3"));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* Memory ------------------------------------------------------------------------------------------- */

typedef struct failing {
    long left; /* calls that still succeed; negative: all */
    long live;
} failing;

static void *failing_resize(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)old_size;
    failing *f = user;
    if (new_size == 0) {
        f->live -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    if (f->left == 0) return NULL;
    if (f->left > 0) f->left--;
    void *moved = realloc(ptr, new_size);
    if (moved && !ptr) f->live++;
    return moved;
}

static lens_status make_and_render(lens_ctx *ctx, maker *make) {
    lens_figure *fig;
    lens_status status = make(ctx, &fig);
    if (status != LENS_OK) return status;
    for (int format = LENS_FIGURE_SVG; status == LENS_OK && format <= LENS_FIGURE_PNG; format++) {
        char *bytes = NULL;
        size_t size;
        status = lens_figure_bytes(fig, (lens_figure_format)format, &bytes, &size);
        if (status == LENS_OK) lens_free(ctx, bytes);
    }
    lens_figure_free(fig);
    return status;
}

/* The n-th allocation fails, for n = 1, 2, ... (then in larger steps): a status, and nothing leaks. */
static void every_allocation_fails(void **state) {
    (void)state;
    static maker *const some[] = { make_curves, make_one_weight,    make_small_confusion,
                                   make_sheet,  make_probabilities, make_tiles };
    failing f = { .left = -1 };
    lens_ctx_opts opts = { .threads = 1, .alloc = { failing_resize, &f } };
    lens_ctx *ctx;
    assert_int_equal(lens_ctx_new(&ctx, &opts, NULL), LENS_OK);
    long before = f.live;
    for (size_t m = 0; m < LENS_COUNT(some); m++) {
        lens_status status = LENS_NOMEM;
        long n = 0;
        for (; status == LENS_NOMEM; n++) {
            f.left = n;
            status = make_and_render(ctx, some[m]);
            f.left = -1;
            assert_int_equal(f.live, before);
            if (status == LENS_NOMEM) assert_true(lens_why(ctx)[0]);
        }
        assert_int_equal(status, LENS_OK);
        assert_true(n > 10);
    }
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[A4] display clips and counts, data and printed numbers stay", clipping_is_counted),
        T("[G3] maps before and after ReLU on one scale, least after is 0", before_and_after_relu),
        T("[L3] as many tiles as channels, cuts are stated", tiles_are_channels),
        T("[L5][O7] kernel pictures on one signed scale instead of each to its own range",
          kernels_share_a_scale),
        T("[L17] network drawing: nodes are the layers, with their shapes", arch_nodes_are_layers),
        T("[L19] sheet of predictions: marks are the errors", marks_are_errors),
        T("[L20] the arg-max node is the strongest", one_bright_node),
        T("[H5] class bars: lengths are the probabilities, the sum is printed", bars_sum),
        T("[J14] loss curve: one point per row of the log, falling", curve_from_csv),
        T("every primitive lies inside the canvas", everything_inside),
        T("no text stands on another", no_text_on_text),
        T("signed colours are equally light on both sides", diverging_symmetric),
        T("unsigned colours darken evenly", sequential_darkens),
        T("NaN and infinities are marked and counted", not_finite_is_marked),
        T("pictures: black, white, channels", picture_range),
        T("filter tiles stand in their row and column", filter_tiles_in_place),
        T("large maps are drawn by means", large_map_means),
        T("confusion: counts, recall, precision, colours", confusion_numbers),
        T("errors: most confident first", worst_error_first),
        T("names stand at the ends of the lines", names_at_the_ends),
        T("curves of degenerate data", degenerate_curves),
        T("tiles have scales and frames", tiles_have_scales_and_frames),
        T("tiles of numbers: digits, marks, signs, one scale for a row", tiles_of_numbers),
        T("callers' mistakes", callers_mistakes),
        T("every allocation may fail", every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
