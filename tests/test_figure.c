/* test_figure.c - figures: what stands in the display list, and what the two back-ends make of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "figure/figure.h"
#include "format/image.h"
#include "support/comma.h"
#include "support/tempdir.h"
#include <lenslet/image.h>
#include <zlib.h>

/* Sample figures --------------------------------------------------------------------------------- */

static lens_lang lang; /* of the sample figures */

static const char *const classes[] = {
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"
};

/* Deterministic values in -1..1 without a generator of the library. */
static float wave(int i) { return (float)sin(i * 1.7 + (i % 7) * 0.9); }

static float *waves(size_t count) {
    float *data = malloc(count * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < count; i++) data[i] = wave((int)i);
    return data;
}

static lens_status make_curves(lens_ctx *ctx, lens_figure **out) {
    double train[12], valid[12], top[12];
    for (int i = 0; i < 12; i++) {
        train[i] = 0.2 + 0.8 * exp(-0.4 * i);
        valid[i] = 0.3 + 0.6 * exp(-0.5 * i) + (i > 8 ? 0.01 * (i - 8) : 0);
        top[i] = 1 - valid[i] / 3;
    }
    lens_figure_series loss[] = { { "train", NULL, train, 12 }, { "validation", NULL, valid, 12 } };
    lens_figure_series right[] = { { "validation", NULL, top, 12 } };
    lens_figure_panel panels[] = { { "loss", loss, 2, LENS_BEST_LOW },
                                   { "accuracy", right, 1, LENS_BEST_HIGH } };
    lens_figure_opts opts = { .lang = lang,
                              .title = "LeNet-5 on Fashion-MNIST",
                              .subtitle = "batch 64, momentum 0.9",
                              .caption = "lenslet train --net lenet5; weights 3f7a91c2" };
    return lens_figure_curves(ctx, out, panels, 2, "epoch", &opts);
}

/* Eight lines that all end in one point, and long names. */
static lens_status make_crowded_curves(lens_ctx *ctx, lens_figure **out) {
    double y[8][3];
    lens_figure_series s[8];
    for (int k = 0; k < 8; k++) {
        for (int i = 0; i < 3; i++) y[k][i] = i == 2 ? 0.5 : 0.1 * k;
        s[k] = (lens_figure_series){ "a series with a rather long and wordy name", NULL, y[k], 3 };
    }
    lens_figure_panel panel = { "panel with a name that goes on and on and on and on", s, 8,
                                LENS_BEST_LOW };
    return lens_figure_curves(ctx, out, &panel, 1, "step",
                              &(lens_figure_opts){ .lang = lang, .width = 400 });
}

static lens_status make_filters_of(lens_ctx *ctx, lens_figure **out, int o, int c, int kh, int kw,
                                   const lens_figure_opts *opts) {
    float *w = waves((size_t)o * (size_t)c * (size_t)kh * (size_t)kw);
    lens_status status = lens_figure_filters(ctx, out, w, o, c, kh, kw, opts);
    free(w);
    return status;
}

static lens_status make_filters(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 6, 1, 5, 5, &(lens_figure_opts){ .lang = lang });
}

static lens_status make_filter_matrix(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 70, 20, 3, 3, &(lens_figure_opts){ .lang = lang });
}

static lens_status make_wide_filters(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 16, 6, 5, 5,
                           &(lens_figure_opts){ .lang = lang, .caption = "model" });
}

static lens_status make_rgb_filters(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 8, 3, 11, 11,
                           &(lens_figure_opts){ .lang = lang, .rgb = 1, .width = 320 });
}

static lens_status make_huge_kernels(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 2, 2, 1001, 7, &(lens_figure_opts){ .lang = lang });
}

static lens_status make_one_weight(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 1, 1, 1, 1, &(lens_figure_opts){ .lang = lang });
}

static lens_status make_maps(lens_ctx *ctx, lens_figure **out) {
    float *data = waves(6 * 28 * 28), *deep = waves(70 * 7 * 7), *picture = waves(3 * 300 * 200);
    for (int i = 0; i < 70 * 7 * 7; i++) deep[i] = deep[i] > 0 ? deep[i] : 0;
    lens_figure_picture input = { picture, 3, 300, 200, -1, 1 };
    lens_figure_layer layers[] = { { "conv1", data, 6, 28, 28 },
                                   { "features.denseblock4.denselayer16.conv2", deep, 70, 7, 7 },
                                   { "large", data, 1, 56, 84 },
                                   { "fc1", data, 120, 1, 1 } };
    lens_status status =
        lens_figure_maps(ctx, out, &input, layers, 4, &(lens_figure_opts){ .lang = lang });
    free(data), free(deep), free(picture);
    return status;
}

static lens_status make_confusion_of(lens_ctx *ctx, lens_figure **out, int k,
                                     const char *const *names) {
    int64_t *counts = calloc((size_t)k * (size_t)k, sizeof *counts);
    assert_non_null(counts);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++)
            counts[i * k + j] = i == j ? 100000 + i : (i * 7 + j * 3) % 11 == 0 ? i + j : 0;
    lens_status status = lens_figure_confusion(
        ctx, out, counts, k, names, &(lens_figure_opts){ .lang = lang, .subtitle = "test set" });
    free(counts);
    return status;
}

static lens_status make_confusion(lens_ctx *ctx, lens_figure **out) {
    return make_confusion_of(ctx, out, 10, classes);
}

static lens_status make_large_confusion(lens_ctx *ctx, lens_figure **out) {
    return make_confusion_of(ctx, out, 150, NULL);
}

static lens_status make_small_confusion(lens_ctx *ctx, lens_figure **out) {
    static const char *const names[] = { "a class with a very long name, longer than the room",
                                         "b" };
    return make_confusion_of(ctx, out, 2, names);
}

enum { SAMPLES = 24 };

/* Every third one is wrong; p rises with the index. */
static void fill_samples(lens_figure_sample *s, const float *pixels) {
    for (int i = 0; i < SAMPLES; i++)
        s[i] =
            (lens_figure_sample){ { pixels, 1, 28, 28, -1, 1 },
                                  i % 10,
                                  (i + (i % 3 == 0)) % 10,
                                  0.4f + 0.02f * (float)i,
                                  0.1f,
                                  i % 2 ? "test/ankle-boot/00012345-with-a-long-name.png" : NULL };
}

static lens_status make_errors(lens_ctx *ctx, lens_figure **out) {
    lens_figure_sample s[SAMPLES];
    float *pixels = waves(28 * 28);
    fill_samples(s, pixels);
    lens_status status =
        lens_figure_errors(ctx, out, s, SAMPLES, 10, classes, &(lens_figure_opts){ .lang = lang });
    free(pixels);
    return status;
}

static lens_status make_predictions(lens_ctx *ctx, lens_figure **out) {
    lens_figure_sample s[SAMPLES];
    float *pixels = waves(28 * 28);
    fill_samples(s, pixels);
    lens_status status = lens_figure_predictions(ctx, out, s, SAMPLES, 10, classes,
                                                 &(lens_figure_opts){ .lang = lang });
    free(pixels);
    return status;
}

static lens_status make_sheet(lens_ctx *ctx, lens_figure **out) {
    float *pixels = waves(3 * 100 * 90);
    lens_figure_picture p[] = { { pixels, 3, 100, 90, -1, 1 },
                                { pixels, 1, 5, 40, -1, 1 },
                                { pixels, 1, 1, 1, 0, 0 } };
    const char *labels[] = { "one <b>&\"amp\"</b> 'quoted'", NULL,
                             "\xe5\x8d\xb7\xe7\xa7\xaf \xff\x01" };
    lens_status status =
        lens_figure_sheet(ctx, out, p, labels, 3, &(lens_figure_opts){ .lang = lang });
    free(pixels);
    return status;
}

static lens_status make_probabilities(lens_ctx *ctx, lens_figure **out) {
    float p[10] = { 0.001f, 0.002f, 0, 0.01f, 0.007f, 0, 0.03f, 0.95f, 0, 0 }, *pixels = waves(784);
    lens_figure_picture input = { pixels, 1, 28, 28, -1, 1 };
    lens_status status = lens_figure_probabilities(ctx, out, &input, p, 10, classes,
                                                   &(lens_figure_opts){ .lang = lang });
    free(pixels);
    return status;
}

static const lens_figure_block lenet[] = {
    { "input", NULL, 1, 28, 28, 0, 0 },
    { "conv1", "conv 5x5, pad 2", 6, 28, 28, 156, 117600 },
    { "pool1", "max 2x2", 6, 14, 14, 0, 0 },
    { "conv2", "conv 5x5", 16, 10, 10, 2416, 240000 },
    { "pool2", "max 2x2", 16, 5, 5, 0, 0 },
    { "fc1", "dense", 120, 1, 1, 48120, 48000 },
    { "fc2", "dense", 84, 1, 1, 10164, 10080 },
    { "fc3", "dense", 10, 1, 1, 850, 840 },
};

static lens_status make_arch(lens_ctx *ctx, lens_figure **out) {
    return lens_figure_arch(ctx, out, lenet, LENS_COUNT(lenet),
                            &(lens_figure_opts){ .lang = lang });
}

static lens_status make_tall_arch(lens_ctx *ctx, lens_figure **out) {
    lens_figure_block b[12];
    for (int i = 0; i < 12; i++)
        b[i] = (lens_figure_block){ "features.stage.with.a.long.name",
                                    "conv 3x3, stride 2, groups 32",
                                    512,
                                    224,
                                    3,
                                    1234567890,
                                    987654321987 };
    return lens_figure_arch(ctx, out, b, 12, &(lens_figure_opts){ .lang = lang, .width = 400 });
}

static lens_status make_deep_arch(lens_ctx *ctx, lens_figure **out) {
    lens_figure_block b[53];
    for (int i = 0; i < 53; i++) b[i] = lenet[1 + i % 7];
    b[3].name = "features.denseblock4.denselayer16.conv2";
    return lens_figure_arch(ctx, out, b, 53, &(lens_figure_opts){ .lang = lang });
}

static lens_status make_tiles(lens_ctx *ctx, lens_figure **out) {
    static const float whole[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 }, part[4] = { -1.25f, 0, 100.5f, 9 };
    static const lens_figure_mark marks[] = { { LENS_MARK_ZERO, 0, 0, 1, 3 },
                                              { LENS_MARK_FRAME, 0, 0, 2, 2 },
                                              { LENS_MARK_SECOND, 2, 2, 1, 1 },
                                              { LENS_MARK_HIDDEN, 2, 0, 1, 1 } };
    const lens_figure_tile tile[] = {
        { .name = "X",
          .picture = { whole, 1, 3, 3, 0, 0 },
          .map = true,
          .side = 84,
          .marks = marks,
          .mark_count = 4 },
        { .name = "W",
          .note = "two\nlines of it",
          .picture = { part, 1, 2, 2, 0, 0 },
          .map = true,
          .side = 56,
          .sign = "\xe2\x8b\x86" },
        { .name = "Y", .picture = { part, 1, 2, 2, 0, 0 }, .map = true, .side = 20, .sign = "=" },
        { .name = "one number", .picture = { part + 2, 1, 1, 1, 0, 0 }, .map = true, .side = 42 },
        { .name = "", .note = "an empty place" },
        { .name = "picture", .picture = { part, 1, 2, 2, 0, 100 } },
    };
    return lens_figure_tiles(ctx, out, tile, 6, 3, &(lens_figure_opts){ .lang = lang });
}

typedef lens_status maker(lens_ctx *, lens_figure **);

static const struct {
    const char *name;
    maker *make;
} makers[] = {
    { "curves", make_curves },
    { "crowded curves", make_crowded_curves },
    { "filters", make_filters },
    { "filter matrix", make_filter_matrix },
    { "wide filters", make_wide_filters },
    { "rgb filters", make_rgb_filters },
    { "huge kernels", make_huge_kernels },
    { "one weight", make_one_weight },
    { "maps", make_maps },
    { "confusion", make_confusion },
    { "large confusion", make_large_confusion },
    { "small confusion", make_small_confusion },
    { "errors", make_errors },
    { "predictions", make_predictions },
    { "sheet", make_sheet },
    { "probabilities", make_probabilities },
    { "arch", make_arch },
    { "tall arch", make_tall_arch },
    { "deep arch", make_deep_arch },
    { "tiles", make_tiles },
};

/* Reading a display list --------------------------------------------------------------------------- */

static int count_role(const lens_figure *fig, const char *role) {
    int n = 0;
    for (size_t i = 0; i < fig->count; i++)
        n += fig->prim[i].role && strcmp(fig->prim[i].role, role) == 0;
    return n;
}

/* The n-th primitive of a role. */
static const fig_prim *nth(const lens_figure *fig, const char *role, int n) {
    for (size_t i = 0; i < fig->count; i++)
        if (fig->prim[i].role && strcmp(fig->prim[i].role, role) == 0 && n-- == 0)
            return &fig->prim[i];
    fail_msg("no such %s", role);
    return NULL;
}

static bool has_text(const lens_figure *fig, const char *part) {
    for (size_t i = 0; i < fig->count; i++)
        if (fig->prim[i].text && strstr(fig->prim[i].text, part)) return true;
    return fig->notes && strstr(fig->notes, part);
}

static fig_rgb cell(const fig_prim *image, int y, int x) {
    const uint8_t *p = image->rgb + 3 * (y * image->iw + x);
    return (fig_rgb){ p[0], p[1], p[2] };
}

static bool same(fig_rgb a, fig_rgb b) { return a.r == b.r && a.g == b.g && a.b == b.b; }

/* CIE L*, the oracle for lightness: straight from the definition, in double precision. */
static double lightness(fig_rgb c) {
    double part[3] = { c.r / 255.0, c.g / 255.0, c.b / 255.0 };
    for (int i = 0; i < 3; i++)
        part[i] = part[i] <= 0.04045 ? part[i] / 12.92 : pow((part[i] + 0.055) / 1.055, 2.4);
    double y = 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
    return y > 216.0 / 24389 ? 116 * cbrt(y) - 16 : y * 24389.0 / 27;
}

typedef struct bounds {
    double x0, y0, x1, y1;
} bounds;

static bounds text_bounds(const fig_prim *p) {
    double along = p->font.anchor * p->w / 2, up = FIG_ASCENT * p->font.size,
           down = FIG_DESCENT * p->font.size;
    if (p->font.up) return (bounds){ p->x - up, p->y + along - p->w, p->x + down, p->y + along };
    return (bounds){ p->x - along, p->y - up, p->x - along + p->w, p->y + down };
}

static bounds prim_bounds(const fig_prim *p) {
    double half = p->paint.stroked ? p->paint.thick / 2 : 0;
    bounds b = { p->x - half, p->y - half, p->x + p->w + half, p->y + p->h + half };
    if (p->kind == FIG_TEXT) return text_bounds(p);
    if (p->kind == FIG_CIRCLE)
        return (bounds){ p->x - p->w - half, p->y - p->w - half, p->x + p->w + half,
                         p->y + p->w + half };
    if (p->kind == FIG_LINE) {
        b = (bounds){ 1e9, 1e9, -1e9, -1e9 };
        for (int i = 0; i < p->points; i++) {
            b.x0 = fmin(b.x0, p->xy[2 * i] - half), b.x1 = fmax(b.x1, p->xy[2 * i] + half);
            b.y0 = fmin(b.y0, p->xy[2 * i + 1] - half), b.y1 = fmax(b.y1, p->xy[2 * i + 1] + half);
        }
    }
    return b;
}

/* Layout ------------------------------------------------------------------------------------------- */

static void everything_inside_in(lens_lang tongue) {
    lang = tongue;
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(makers); m++) {
        lens_figure *fig;
        assert_ok(ctx, makers[m].make(ctx, &fig));
        for (size_t i = 0; i < fig->count; i++) {
            const fig_prim *p = &fig->prim[i];
            bounds b = prim_bounds(p);
            if (!(b.x0 >= 0 && b.y0 >= 0 && b.x1 <= fig->width && b.y1 <= fig->height))
                fail_msg("%s: primitive %zu (%s) spans %g..%g, %g..%g of %g x %g", makers[m].name,
                         i,
                         p->text   ? p->text
                         : p->role ? p->role
                                   : "-",
                         b.x0, b.x1, b.y0, b.y1, fig->width, fig->height);
            if (p->text) assert_near(p->w, fig_measure(p->text, p->font.size, p->font.bold), 1e-9);
        }
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
    lang = LENS_LANG_EN;
}

static void everything_inside(void **state) {
    (void)state;
    everything_inside_in(LENS_LANG_EN);
    everything_inside_in(LENS_LANG_ZH);
}

static void no_text_on_text_in(lens_lang tongue) {
    lang = tongue;
    const double touch = 1; /* boxes include the room of letters that are not there */
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(makers); m++) {
        lens_figure *fig;
        assert_ok(ctx, makers[m].make(ctx, &fig));
        for (size_t i = 0; i < fig->count; i++) {
            if (fig->prim[i].kind != FIG_TEXT) continue;
            bounds a = text_bounds(&fig->prim[i]);
            for (size_t j = i + 1; j < fig->count; j++) {
                if (fig->prim[j].kind != FIG_TEXT) continue;
                bounds b = text_bounds(&fig->prim[j]);
                if (fmin(a.x1, b.x1) - fmax(a.x0, b.x0) > touch &&
                    fmin(a.y1, b.y1) - fmax(a.y0, b.y0) > touch)
                    fail_msg("%s: \"%s\" overlaps \"%s\"", makers[m].name, fig->prim[i].text,
                             fig->prim[j].text);
            }
        }
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
    lang = LENS_LANG_EN;
}

static void no_text_on_text(void **state) {
    (void)state;
    no_text_on_text_in(LENS_LANG_EN);
    no_text_on_text_in(LENS_LANG_ZH);
}

static void glyphs_within_advance(void **state) {
    (void)state;
    for (uint32_t c = 32; c < 127; c++) {
        char text[2] = { (char)c, 0 };
        double regular = fig_measure(text, 100, false), bold = fig_measure(text, 100, true);
        assert_true(regular >= 20 && regular <= 100);
        assert_true(bold > regular);
        assert_near(fig_measure(text, 12, false), regular * 0.12, 1e-9);
    }
    assert_near(fig_measure("ab", 12, false),
                fig_measure("a", 12, false) + fig_measure("b", 12, false), 1e-9);
    /* Digits are of one width, so that columns of numbers align. */
    for (char d = '1'; d <= '9'; d++)
        assert_near(fig_measure((char[]){ d, 0 }, 10, false), fig_measure("0", 10, false), 1e-9);
}

/* A text first shrinks to fit, to FIG_TINY at the least, and is cut only then. */
static void text_kept_to_its_room(void **state) {
    (void)state;
    static const char text[] = "a label of some length";
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    lens_figure_opts use;
    assert_ok(ctx, fig_begin(ctx, &fig, NULL, &use));
    fig_font font = { .size = FIG_LABEL };
    double full = fig_measure(text, FIG_LABEL, false);
    fig_text_in(fig, "whole", 0, 0, full, font, text);
    fig_text_in(fig, "shrunk", 0, 0, 0.8 * full, font, text);
    fig_text_in(fig, "cut", 0, 0, 0.4 * full, font, text);
    fig_text_in(fig, "none", 0, 0, 1, font, text);
    const fig_prim *whole = nth(fig, "whole", 0), *shrunk = nth(fig, "shrunk", 0),
                   *cut = nth(fig, "cut", 0);
    assert_near(whole->font.size, FIG_LABEL, 0);
    assert_string_equal(shrunk->text, text);
    assert_true(shrunk->font.size >= FIG_TINY && shrunk->w <= 0.8 * full);
    assert_near(cut->font.size, FIG_TINY, 0);
    assert_true(cut->w <= 0.4 * full && cut->w > 0.3 * full);
    size_t kept = strlen(cut->text) - 3;
    assert_memory_equal(cut->text, text, kept);
    assert_string_equal(cut->text + kept, "\xe2\x80\xa6");
    assert_int_equal(count_role(fig, "none"), 0);

    /* Wrapping: no line is wider than its room, and no word is lost. */
    size_t first = fig->count;
    double below = fig_wrapped(fig, 0, 100, 60, font, "one two  threefourfivesixseveneight\nnine");
    char joined[64] = "";
    for (size_t i = first; i < fig->count; i++) {
        assert_true(fig->prim[i].w <= 60);
        strcat(joined, fig->prim[i].text);
        strcat(joined, "|");
    }
    assert_string_equal(joined, "one two|threefourfi|vesixseven|eight|nine|");
    assert_near(below, 100 + 5 * FIG_LABEL * 1.35, 1e-9);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void utf8_decoding(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t code;
        int length;
    } cases[] = {
        { "A", 'A', 1 },
        { "\xc3\x97", 0xd7, 2 },
        { "\xe5\x8d\xb7", 0x5377, 3 },
        { "\xf0\x9f\x98\x80", 0x1f600, 4 },
        { "\x01", 0xfffd, 1 },
        { "\xff", 0xfffd, 1 },
        { "\xc0\x80", 0xfffd, 1 },         /* overlong */
        { "\xe5\x8d", 0xfffd, 1 },         /* cut short */
        { "\xed\xa0\x80", 0xfffd, 1 },     /* surrogate */
        { "\xf4\x90\x80\x80", 0xfffd, 1 }, /* beyond Unicode */
    };
    for (size_t i = 0; i < LENS_COUNT(cases); i++) {
        const char *s = cases[i].bytes;
        assert_int_equal(fig_utf8(&s), cases[i].code);
        assert_int_equal(s - cases[i].bytes, cases[i].length);
    }
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
    float *data = waves(2048 * 9);
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
    float *pixels = waves(28 * 28);
    lens_figure_sample s[SAMPLES];
    fill_samples(s, pixels);
    s[3].p = s[6].p = 0.95f; /* a tie keeps its order */
    s[9].p = NAN;            /* counts as no confidence */
    lens_figure *fig;
    assert_ok(ctx, lens_figure_errors(ctx, &fig, s, SAMPLES, 10, classes, NULL));
    assert_int_equal(count_role(fig, "picture"), SAMPLES / 3);
    /* Wrong are 0, 3, 6, ... 21; class of the prediction is one more than the index. */
    static const int order[] = { 3, 6, 21, 18, 15, 12, 0, 9 };
    for (int i = 0; i < SAMPLES / 3; i++) {
        const char *name = classes[(order[i] + 1) % 10];
        const char *text = nth(fig, "wrong", i)->text;
        if (!strstr(text, name)) fail_msg("place %d: \"%s\" is not %s", i, text, name);
    }
    assert_non_null(strstr(nth(fig, "wrong", 0)->text, "0.95"));
    assert_non_null(strstr(nth(fig, "wrong", 2)->text, "0.82"));
    lens_figure_free(fig);
    lens_figure_sample *many = calloc(70, sizeof *many);
    assert_non_null(many);
    for (int i = 0; i < 70; i++) many[i] = s[0];
    assert_ok(ctx, lens_figure_errors(ctx, &fig, many, 70, 10, classes, NULL));
    assert_int_equal(count_role(fig, "picture"), 60);
    assert_true(has_text(fig, "Showing the first 60 of 70 mistakes."));
    assert_false(has_text(fig, "70 of 70")); /* who hands over only mistakes knows their share */
    lens_figure_free(fig);
    free(many);
    for (int i = 0; i < SAMPLES; i++) s[i].predicted = s[i].truth;
    assert_ok(ctx, lens_figure_errors(ctx, &fig, s, SAMPLES, 10, classes, NULL));
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
    assert_int_equal(count_role(fig, "node"), LENS_COUNT(lenet));
    for (size_t i = 0; i < LENS_COUNT(lenet); i++)
        assert_string_equal(nth(fig, "node", (int)i)->text, lenet[i].name);
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

/* Well-formedness of the XML we can produce: one root, nested tags, quoted attributes without '<',
 * known entities, no control characters. Returns NULL, or where it breaks. */
static const char *xml_error(const char *s) {
    char stack[16][32];
    int depth = 0, roots = 0;
    if (strncmp(s, "<?xml ", 6) != 0 || !(s = strstr(s, "?>"))) return "no declaration";
    for (s += 2; *s;) {
        if ((unsigned char)*s < 32 && *s != '\n') return s;
        if (*s == '&') {
            static const char *const known[] = { "&amp;", "&lt;", "&gt;", "&quot;" };
            size_t n = 0;
            for (size_t i = 0; i < LENS_COUNT(known); i++)
                if (strncmp(s, known[i], strlen(known[i])) == 0) n = strlen(known[i]);
            if (n == 0 || depth == 0) return s;
            s += n;
        } else if (*s != '<') {
            if (*s == '>' || (depth == 0 && *s != '\n')) return s;
            s++;
        } else if (s[1] == '/') {
            size_t n = depth ? strlen(stack[depth - 1]) : 0;
            if (n == 0 || strncmp(s + 2, stack[depth - 1], n) != 0 || s[2 + n] != '>') return s;
            depth--;
            s += n + 3;
        } else {
            size_t n = strcspn(s + 1, " />\n");
            if (n == 0 || n >= 32 || depth == 16 || (depth == 0 && roots++)) return s;
            memcpy(stack[depth], s + 1, n);
            stack[depth++][n] = 0;
            for (s += 1 + n; *s == ' ';) {
                s += 1 + strspn(s, " ") - 1;
                size_t name =
                    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-:0123456789");
                if (name == 0 || s[name] != '=' || s[name + 1] != '"') return s;
                s += name + 2;
                s += strcspn(s, "\"<&");
                if (*s++ != '"') return s;
            }
            if (*s == '/') depth--, s++;
            if (*s++ != '>') return s;
        }
    }
    return depth == 0 && roots == 1 ? NULL : "unbalanced";
}

static void xml_checker_checks(void **state) {
    (void)state;
#define DECL "<?xml version=\"1.0\"?>"
    assert_null(xml_error(DECL "<a b=\"c\"><d/>x &amp; y</a>\n"));
    static const char *const broken[] = {
        "<a></a>",        DECL "<a>",           DECL "<a></b>",         DECL "<a b=c></a>",
        DECL "<a>&</a>",  DECL "<a b=\"<\"/>",  DECL "<a/><b/>",        DECL "<a>\x01</a>",
        DECL "<a>x</a>y", DECL "<a>&nbsp;</a>", DECL "<a b=\"&\"></a>",
    };
    for (size_t i = 0; i < LENS_COUNT(broken); i++) assert_non_null(xml_error(broken[i]));
}

static void svg_well_formed(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(makers); m++) {
        lens_figure *fig;
        char *svg;
        size_t size;
        assert_ok(ctx, makers[m].make(ctx, &fig));
        assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
        assert_int_equal(strlen(svg), size);
        const char *at = xml_error(svg);
        if (at) fail_msg("%s: not well-formed at: %.60s", makers[m].name, at);
        assert_non_null(strstr(svg, "<title>"));
        assert_non_null(strstr(svg, "<desc>"));
        lens_free(ctx, svg);
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

static void svg_keeps_text(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    char *svg;
    size_t size;
    assert_ok(ctx, make_sheet(ctx, &fig));
    assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
    assert_non_null(strstr(svg, ">one &lt;b&gt;&amp;\"am")); /* shortened to its room */
    assert_non_null(strstr(svg, ">\xe5\x8d\xb7\xe7\xa7\xaf \xef\xbf\xbd\xef\xbf\xbd</text>"));
    assert_non_null(strstr(svg, "href=\"data:image/png;base64,iVBORw0KGgo"));
    assert_non_null(strstr(svg, "image-rendering:pixelated"));
    lens_free(ctx, svg);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* The picture embedded in an SVG is the picture: decode it again. */
static void svg_picture_round_trip(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (int w = 1; w <= 3; w++) { /* all three paddings of base64 turn up */
        float data[3] = { 0, 0.5f, 1 };
        lens_figure_picture p = { data, 1, 1, w, 0, 0 };
        lens_figure *fig;
        char *svg;
        size_t size, n = 0;
        assert_ok(ctx, lens_figure_sheet(ctx, &fig, &p, NULL, 1, NULL));
        assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
        const char *s = strstr(svg, "base64,") + 7;
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint8_t *png = malloc(size);
        assert_non_null(png);
        unsigned bits = 0;
        for (int have = 0; *s != '"' && *s != '='; s++) {
            bits = bits << 6 | (unsigned)(strchr(digits, *s) - digits);
            have += 6;
            if (have >= 8) png[n++] = (uint8_t)(bits >> (have -= 8));
        }
        lens_image image;
        assert_ok(ctx, img_decode(ctx, &image, png, n, "embedded", (img_opts){ .channels = 3 }));
        assert_int_equal(image.width % w, 0);
        for (int x = 0; x < image.width; x++) {
            int value = (int)lrint(data[x * w / image.width] * 255);
            for (int k = 0; k < 3; k++) assert_int_equal(image.pixels[3 * x + k], value);
        }
        lens_image_free(ctx, &image);
        free(png);
        lens_free(ctx, svg);
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

static lens_image rendered(lens_ctx *ctx, const lens_figure *fig) {
    char *png;
    size_t size;
    lens_image image;
    assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_PNG, &png, &size));
    assert_ok(ctx, img_decode(ctx, &image, png, size, "figure.png", (img_opts){ .channels = 3 }));
    lens_free(ctx, png);
    return image;
}

static fig_rgb pixel(const lens_image *image, int x, int y) {
    const uint8_t *p = image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    return (fig_rgb){ p[0], p[1], p[2] };
}

static void png_pixels(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float w[9] = { -1, 0, 1, 0.5f, 0, 0, 0, 0, NAN };
    for (int scale = 1; scale <= 4; scale++) {
        lens_figure_opts opts = { .png_scale = scale };
        lens_figure *fig;
        assert_ok(ctx, lens_figure_filters(ctx, &fig, w, 1, 1, 3, 3, &opts));
        lens_image image = rendered(ctx, fig);
        assert_int_equal(image.width, (int)fig->width * scale);
        assert_int_equal(image.height, (int)fig->height * scale);
        const fig_prim *tile = nth(fig, "tile", 0);
        fig_rgb expected[9];
        for (int i = 0; i < 9; i++) expected[i] = isnan(w[i]) ? FIG_BAD : fig_diverging(w[i]);
        for (int i = 0; i < 9; i++) {
            /* Near the upper left corner of the cell, away from grid line and number. */
            int x = (int)((tile->x + (i % 3 + 0.12) * tile->w / 3) * scale);
            int y = (int)((tile->y + (i / 3 + 0.12) * tile->h / 3) * scale);
            assert_true(same(pixel(&image, x, y), expected[i]));
        }
        assert_true(same(pixel(&image, 0, 0), FIG_WHITE));
        assert_true(same(pixel(&image, image.width - 1, image.height - 1), FIG_WHITE));
        lens_image_free(ctx, &image);
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

/* Every text leaves ink inside its box, and none outside the canvas's margin. */
static void png_text_has_ink(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    assert_ok(ctx, make_confusion(ctx, &fig));
    lens_image image = rendered(ctx, fig);
    int upright = 0;
    for (size_t i = 0; i < fig->count; i++) {
        const fig_prim *p = &fig->prim[i];
        if (p->kind != FIG_TEXT) continue;
        upright += p->font.up;
        bounds b = text_bounds(p);
        int found = 0;
        for (int y = (int)b.y0 * 2; y < (int)b.y1 * 2; y++)
            for (int x = (int)b.x0 * 2; x < (int)b.x1 * 2; x++)
                found += same(pixel(&image, x, y), p->font.ink);
        if (found < 2) fail_msg("\"%s\" left %d pixels of ink", p->text, found);
    }
    assert_true(upright > 5);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < 2; x++) assert_true(same(pixel(&image, x, y), FIG_WHITE));
    lens_image_free(ctx, &image);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* A shape of whole pixels covers exactly its pixels; half covered pixels are half as dark. */
static void png_coverage(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    lens_figure_opts use;
    assert_ok(ctx, fig_begin(ctx, &fig, &(lens_figure_opts){ .png_scale = 1 }, &use));
    fig_header(fig, 400, "t", NULL);
    fig_rgb black = { 0, 0, 0 };
    fig_rect(fig, NULL, 100, 100, 10.5, 10, fig_fill(black));
    fig_rect(fig, NULL, 200.5, 100.5, 20, 20, fig_stroke(black, 1));
    fig_line(fig, 300, 100.5, 350, 100.5, black, 1);
    fig_circle(fig, NULL, 60, 160, 10, fig_fill(black));
    fig_line(fig, 300, 150, 350, 200, black, 1);
    /* An L, and an L on its back: stem and foot of 40 and 33 pixels with pens of 6. */
    fig_font font = { .size = 80, .ink = black };
    fig_text(fig, NULL, 100, 200, font, "L");
    font.up = true;
    fig_text(fig, NULL, 250, 200, font, "L");
    assert_ok(ctx, fig_end(fig, 220, NULL, &fig));
    lens_image image = rendered(ctx, fig);
    assert_int_equal(pixel(&image, 100, 100).r, 0);
    assert_int_equal(pixel(&image, 109, 109).r, 0);
    assert_in_range(pixel(&image, 110, 105).r, 126, 129);
    assert_int_equal(pixel(&image, 111, 105).r, 255);
    assert_int_equal(pixel(&image, 99, 105).r, 255);
    assert_int_equal(pixel(&image, 200, 110).r, 0);
    assert_int_equal(pixel(&image, 201, 110).r, 255);
    assert_int_equal(pixel(&image, 220, 120).r, 0);
    assert_int_equal(pixel(&image, 325, 100).r, 0);
    assert_int_equal(pixel(&image, 325, 99).r, 255);
    assert_int_equal(pixel(&image, 325, 101).r, 255);
    double area = 0;
    for (int y = 145; y < 175; y++)
        for (int x = 45; x < 75; x++) area += (255 - pixel(&image, x, y).r) / 255.0;
    assert_near(area, 3.14159265 * 100, 1.5);
    assert_int_equal(pixel(&image, 325, 175).r, 0);
    static const int ink[][2] = { { 109, 150 }, { 109, 195 }, { 135, 197 }, /* stem, corner, foot */
                                  { 200, 191 }, { 245, 191 }, { 247, 165 } };
    static const int paper[][2] = { { 135, 150 }, { 91, 150 }, { 200, 165 }, { 255, 191 } };
    for (size_t i = 0; i < LENS_COUNT(ink); i++)
        assert_int_equal(pixel(&image, ink[i][0], ink[i][1]).r, 0);
    for (size_t i = 0; i < LENS_COUNT(paper); i++)
        assert_int_equal(pixel(&image, paper[i][0], paper[i][1]).r, 255);
    lens_image_free(ctx, &image);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void same_bytes_twice(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(makers); m++)
        for (int format = LENS_FIGURE_SVG; format <= LENS_FIGURE_PNG; format++) {
            char *bytes[2];
            size_t size[2];
            for (int i = 0; i < 2; i++) {
                lens_figure *fig;
                assert_ok(ctx, makers[m].make(ctx, &fig));
                assert_ok(ctx,
                          lens_figure_bytes(fig, (lens_figure_format)format, &bytes[i], &size[i]));
                lens_figure_free(fig);
            }
            assert_int_equal(size[0], size[1]);
            assert_memory_equal(bytes[0], bytes[1], size[0]);
            lens_free(ctx, bytes[0]);
            lens_free(ctx, bytes[1]);
        }
    lens_ctx_free(ctx);
}

static void numbers_ignore_the_locale(void **state) {
    (void)state;
    if (!comma_begin())
        print_message("no locale with a decimal comma is to be had: run in \"C\" alone\n");
    char buf[32];
    assert_string_equal(fig_number(buf, "%.6g", 1234.5), "1234.5");
    assert_string_equal(fig_number(buf, "%.6g", -1e-7), "-1e-07");
    assert_string_equal(fig_number(buf, "%.2f", -0.001), "0.00");
    assert_string_equal(fig_number(buf, "%.2f", -0.5), "-0.50");
    assert_string_equal(fig_number(buf, "%+.3g", 0.25), "+0.25");
    assert_string_equal(fig_count(buf, 0), "0");
    assert_string_equal(fig_count(buf, 999), "999");
    assert_string_equal(fig_count(buf, 61706), "61,706");
    assert_string_equal(fig_count(buf, -1234567), "-1,234,567");
    comma_end();
}

static void written_files(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 32];
    tempdir_make(dir);
    lens_figure *fig;
    assert_ok(ctx, make_arch(ctx, &fig));
    static const struct {
        const char *name, *start;
    } good[] = { { "a.svg", "<?xml" }, { "b.PNG", "\x89PNG" }, { "c.d.Svg", "<?xml" } };
    for (size_t i = 0; i < LENS_COUNT(good); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, good[i].name);
        assert_ok(ctx, lens_figure_write(fig, path));
        char *bytes, *expected;
        size_t size, expected_size;
        assert_ok(ctx, file_read(ctx, path, 1 << 24, &bytes, &size));
        assert_memory_equal(bytes, good[i].start, strlen(good[i].start));
        assert_ok(ctx, lens_figure_bytes(fig, bytes[0] == '<' ? LENS_FIGURE_SVG : LENS_FIGURE_PNG,
                                         &expected, &expected_size));
        assert_int_equal(size, expected_size);
        assert_memory_equal(bytes, expected, size);
        ctx_free(ctx, bytes);
        ctx_free(ctx, expected);
    }
    static const char *const bad[] = { "a.jpg", "svg", "a.", "a.pdf", "a.svgz", "" };
    for (size_t i = 0; i < LENS_COUNT(bad); i++)
        assert_fails(ctx, LENS_BAD_ARG, ".svg or .png", lens_figure_write(fig, bad[i]));
    snprintf(path, sizeof path, "%s/missing/a.svg", dir);
    assert_fails(ctx, LENS_IO, "missing", lens_figure_write(fig, path));
    assert_int_equal(tempdir_count(dir), 3);
    assert_fails(ctx, LENS_BAD_ARG, "format is 7",
                 lens_figure_bytes(fig, (lens_figure_format)7, &(char *){ NULL }, &(size_t){ 0 }));
    lens_figure_free(fig);
    lens_figure_free(NULL);
    tempdir_remove(dir);
    lens_ctx_free(ctx);
}

static void png_too_large(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    lens_figure_opts use;
    assert_ok(ctx, fig_begin(ctx, &fig, &(lens_figure_opts){ .png_scale = 4 }, &use));
    fig_header(fig, 9000, "wide", NULL);
    assert_ok(ctx, fig_end(fig, 100, NULL, &fig));
    assert_fails(ctx, LENS_UNSUPPORTED, "36000 x",
                 lens_figure_bytes(fig, LENS_FIGURE_PNG, &(char *){ NULL }, &(size_t){ 0 }));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

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

/* Words and frames --------------------------------------------------------------------------------- */

/* The conversions of a printf format, one after the other. */
static void conversions(const char *format, char out[64]) {
    size_t n = 0;
    for (const char *s = format; *s; s++) {
        if (*s != '%') continue;
        size_t length = strcspn(s + 1, "dsgfzu%") + 2;
        if (s[1] == 'z' || s[1] == 'l') length = strcspn(s + 1, "du") + 2;
        assert_true(n + length < 64);
        memcpy(out + n, s, length);
        n += length;
        s += length - 1;
    }
    out[n] = 0;
}

/* The next C string literal, with its neighbours that the compiler joins; false: none. Escapes become
 * their bytes. */
static bool literal(const char **at, char out[1024]) {
    const char *s = *at;
    size_t n = 0;
    if (*s != '"') return false;
    while (*s == '"') {
        for (s++; *s != '"'; s++) {
            char c = *s;
            if (c == '\\') {
                s++;
                c = *s == 'n' ? '\n' : *s;
                if (*s == 'x') {
                    c = (char)strtol((char[]){ s[1], s[2], 0 }, NULL, 16);
                    s += 2;
                }
            }
            assert_true(n < 1023);
            out[n++] = c;
        }
        s++;
        s += strspn(s, " \n");
    }
    out[n] = 0;
    *at = s;
    return true;
}

static char *slurp(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 18);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 18) - 1, file) < (1 << 18) - 1);
    fclose(file);
    return text;
}

/* Every text that the sources ask a translation of has one, with the same conversions in the same order. */
static void every_word_is_translated(void **state) {
    (void)state;
    static const char *const files[] = { "src/figure/arch.c",
                                         "src/figure/bars.c",
                                         "src/figure/confusion.c",
                                         "src/figure/curves.c",
                                         "src/figure/filters.c",
                                         "src/figure/frames.c",
                                         "src/figure/gallery.c",
                                         "src/figure/maps.c",
                                         "src/figure/panels.c",
                                         "src/figure/tile.c",
                                         "cli/plot.c",
                                         "cli/plot_conv.c",
                                         "cli/plot_model.c",
                                         "cli/plot_invariance.c",
                                         "cli/kernel.c",
                                         "cli/filter.c" };
    static const char *const calls[] = { "fig_say(",   "fig_note(", "fig_printf(",
                                         "lens_word(", "word(c, ",  "button(out, fig, " };
    int found = 0;
    for (size_t f = 0; f < LENS_COUNT(files); f++) {
        char path[512], english[1024], a[64], b[64];
        snprintf(path, sizeof path, "%s/%s", TEST_SOURCE_DIR, files[f]);
        char *text = slurp(path);
        for (size_t k = 0; k < LENS_COUNT(calls); k++)
            for (const char *s = text; (s = strstr(s, calls[k]));) {
                s += strlen(calls[k]);
                /* All literals of the call: both sides of a choice. */
                for (int depth = 1; depth > 0 && *s; s++) {
                    if (*s == '(') depth++;
                    if (*s == ')') depth--;
                    if (!literal(&s, english)) continue;
                    s--;
                    if (strcmp(calls[k], "button(out, fig, ") == 0 && !strcmp(english, "back"))
                        continue;
                    const char *chinese = lens_word(LENS_LANG_ZH, english);
                    found++;
                    if (chinese == english &&
                        strspn(english, "%.0123456789fgs-") != strlen(english))
                        fail_msg("%s: \"%s\" has no Chinese", files[f], english);
                    conversions(english, a);
                    conversions(chinese, b);
                    if (strcmp(a, b) != 0)
                        fail_msg("\"%s\" has %s but \"%s\" %s", english, a, chinese, b);
                }
            }
        free(text);
    }
    assert_true(found > 120);
    assert_string_equal(lens_word(LENS_LANG_EN, "kernel"), "kernel");
    assert_string_equal(lens_word(LENS_LANG_ZH, "no such text"), "no such text");
}

/* Wide characters take an em; lines break between them, but not before what closes a phrase. */
static void chinese_widths_and_lines(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig = NULL;
    lens_figure_opts use;
    assert_near(fig_measure("\xe5\x8d\xb7\xe7\xa7\xaf", 12, false), 24, 1e-9);
    assert_near(fig_measure("\xef\xbc\x8c", 10, false), 10, 1e-9);
    assert_ok(ctx, fig_begin(ctx, &fig, NULL, &use));
    /* Five characters, the fourth a comma; room for three: the comma takes its neighbour along. */
    fig_wrapped(fig, 0, 0, 36, (fig_font){ .size = 12 },
                "\xe5\x8d\xb7\xe7\xa7\xaf\xe6\xa0\xb8\xef\xbc\x8c\xe6\xad\xa5");
    assert_int_equal(fig->count, 2);
    assert_string_equal(fig->prim[0].text, "\xe5\x8d\xb7\xe7\xa7\xaf");
    assert_string_equal(fig->prim[1].text, "\xe6\xa0\xb8\xef\xbc\x8c\xe6\xad\xa5");
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Numbers of an animation with one tile whose picture is `value`. */
static lens_figure *frame_of(lens_ctx *ctx, float value, lens_lang tongue) {
    const lens_figure_tile tile = { .name = "a frame",
                                    .picture = { &value, 1, 1, 1, 0, 0 },
                                    .side = 100 };
    lens_figure *fig = NULL;
    assert_ok(ctx,
              lens_figure_tiles(ctx, &fig, &tile, 1, 1, &(lens_figure_opts){ .lang = tongue }));
    return fig;
}

/* APNG, chunk by chunk: numbered without a gap, as many frames as told; each frame's pixels, put back
 * into a PNG of their own, are those of its figure. */
static void animated_png(void **state) {
    (void)state;
    enum { FRAMES = 3 };
    lens_ctx *ctx = test_ctx(1);
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 16];
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/a.png", folder);
    lens_figure *fig[FRAMES];
    for (int i = 0; i < FRAMES; i++) fig[i] = frame_of(ctx, (float)i / 2, LENS_LANG_EN);
    assert_ok(ctx, lens_figure_write_frames(fig, FRAMES, 250, path));
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static uint8_t bytes[1 << 18];
    size_t size = fread(bytes, 1, sizeof bytes, file), at = 8;
    fclose(file);
    uint32_t sequence = 0;
    int controls = 0;
    lens_image first = { 0 };
    assert_ok(ctx,
              lens_image_read(ctx, &first, path, 3)); /* any PNG reader shows the first frame */
    assert_int_equal(first.width, (int)fig[0]->width * fig[0]->png_scale);
    lens_image_free(ctx, &first);
    uint8_t still[FRAMES][1 << 16];
    size_t still_size[FRAMES] = { 0 };
    for (; at < size; at += be32(bytes + at) + 12) {
        const uint8_t *p = bytes + at;
        uint32_t length = be32(p);
        uLong crc = crc32(crc32(0, NULL, 0), p + 4, length + 4);
        assert_int_equal(be32(p + 8 + length), crc);
        if (!memcmp(p + 4, "acTL", 4)) assert_int_equal(be32(p + 8), FRAMES);
        if (!memcmp(p + 4, "fcTL", 4)) {
            assert_int_equal(be32(p + 8), sequence++);
            assert_int_equal(p[8 + 20] << 8 | p[8 + 21], 250);
            controls++;
        }
        bool more = !memcmp(p + 4, "fdAT", 4);
        if (more) assert_int_equal(be32(p + 8), sequence++);
        if (more || !memcmp(p + 4, "IDAT", 4)) {
            size_t skip = more ? 4 : 0;
            memcpy(still[controls - 1] + still_size[controls - 1], p + 8 + skip, length - skip);
            still_size[controls - 1] += length - skip;
        }
    }
    assert_int_equal(controls, FRAMES);
    for (int i = 0; i < FRAMES; i++) {
        char *png;
        size_t png_size, to = 0;
        assert_ok(ctx, lens_figure_bytes(fig[i], LENS_FIGURE_PNG, &png, &png_size));
        for (size_t k = 8; k < png_size; k += be32((uint8_t *)png + k) + 12)
            if (!memcmp(png + k + 4, "IDAT", 4)) {
                assert_memory_equal(png + k + 8, still[i] + to, be32((uint8_t *)png + k));
                to += be32((uint8_t *)png + k);
            }
        assert_int_equal(to, still_size[i]);
        lens_free(ctx, png);
        lens_figure_free(fig[i]);
    }
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

static int times(const char *text, const char *part) {
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

static void pages_and_single_frames(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 16];
    tempdir_make(folder);
    lens_figure *fig[2] = { frame_of(ctx, 0, LENS_LANG_ZH), frame_of(ctx, 1, LENS_LANG_ZH) };
    snprintf(path, sizeof path, "%s/a.html", folder);
    assert_ok(ctx, lens_figure_write_frames(fig, 2, 250, path));
    char *page = slurp(path);
    assert_int_equal(times(page, "<svg"), 2);
    assert_int_equal(times(page, "<?xml"), 0);
    assert_int_equal(times(page, "lang=\"zh-Hans\""), 3); /* the page and both figures */
    assert_int_equal(times(page, "</svg>"), 2);
    assert_non_null(strstr(page, "\xe6\x92\xad\xe6\x94\xbe")); /* "play" in Chinese */
    /* Nothing is fetched: every address is data or the name of the SVG namespace. */
    assert_int_equal(times(page, "http"), 2);
    assert_int_equal(times(page, "http://www.w3.org/2000/svg"), 2);
    assert_int_equal(times(page, "src="), 0);
    free(page);
    snprintf(path, sizeof path, "%s/b.svg", folder);
    assert_ok(ctx, lens_figure_write_frames(fig, 2, 250, path));
    assert_int_equal(tempdir_count(folder), 3);
    snprintf(path, sizeof path, "%s/b-002.svg", folder);
    free(slurp(path));
    snprintf(path, sizeof path, "%s/b.gif", folder);
    assert_fails(ctx, LENS_BAD_ARG, "b.gif: animations",
                 lens_figure_write_frames(fig, 2, 250, path));
    assert_fails(ctx, LENS_BAD_ARG, "0 frames", lens_figure_write_frames(fig, 0, 250, path));
    assert_fails(ctx, LENS_BAD_ARG, "of 0 ms", lens_figure_write_frames(fig, 2, 0, path));
    lens_figure_free(fig[1]);
    fig[1] = NULL;
    assert_ok(ctx, make_tiles(ctx, &fig[1]));
    assert_fails(ctx, LENS_BAD_SHAPE, "frame 2", lens_figure_write_frames(fig, 2, 250, path));
    lens_figure_free(fig[0]);
    lens_figure_free(fig[1]);
    tempdir_remove(folder);
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
        T("widths of letters", glyphs_within_advance),
        T("text shrinks, then is cut; long text is wrapped", text_kept_to_its_room),
        T("UTF-8 decoding", utf8_decoding),
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
        T("the XML checker finds faults", xml_checker_checks),
        T("SVG is well-formed XML", svg_well_formed),
        T("SVG keeps text as text", svg_keeps_text),
        T("SVG pictures decode to their values", svg_picture_round_trip),
        T("PNG: size, and the colours of known values", png_pixels),
        T("PNG: every text leaves ink", png_text_has_ink),
        T("PNG: coverage of shapes", png_coverage),
        T("same call, same bytes", same_bytes_twice),
        T("numbers in any locale", numbers_ignore_the_locale),
        T("files: both formats, bad names, unwritable folder", written_files),
        T("PNG beyond its size limit", png_too_large),
        T("tiles have scales and frames", tiles_have_scales_and_frames),
        T("tiles of numbers: digits, marks, signs, one scale for a row", tiles_of_numbers),
        T("every text of figures has its Chinese", every_word_is_translated),
        T("widths and lines of Chinese text", chinese_widths_and_lines),
        T("animated PNG", animated_png),
        T("animations as a page and as single files", pages_and_single_frames),
        T("callers' mistakes", callers_mistakes),
        T("every allocation may fail", every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
