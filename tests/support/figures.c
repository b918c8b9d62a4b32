/* figures.c - sample figures of every maker, and reading a display list. See figures.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/figures.h"

lens_lang sample_lang;

const char *const sample_classes[10] = {
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"
};

/* Deterministic values in -1..1 without a generator of the library. */
static float wave(int i) { return (float)sin(i * 1.7 + (i % 7) * 0.9); }

float *sample_waves(size_t count) {
    float *data = malloc(count * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < count; i++) data[i] = wave((int)i);
    return data;
}

lens_status make_curves(lens_ctx *ctx, lens_figure **out) {
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
    lens_figure_opts opts = { .lang = sample_lang,
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
                              &(lens_figure_opts){ .lang = sample_lang, .width = 400 });
}

static lens_status make_filters_of(lens_ctx *ctx, lens_figure **out, int o, int c, int kh, int kw,
                                   const lens_figure_opts *opts) {
    float *w = sample_waves((size_t)o * (size_t)c * (size_t)kh * (size_t)kw);
    lens_status status = lens_figure_filters(ctx, out, w, o, c, kh, kw, opts);
    free(w);
    return status;
}

static lens_status make_filters(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 6, 1, 5, 5, &(lens_figure_opts){ .lang = sample_lang });
}

static lens_status make_filter_matrix(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 70, 20, 3, 3, &(lens_figure_opts){ .lang = sample_lang });
}

static lens_status make_wide_filters(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 16, 6, 5, 5,
                           &(lens_figure_opts){ .lang = sample_lang, .caption = "model" });
}

static lens_status make_rgb_filters(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 8, 3, 11, 11,
                           &(lens_figure_opts){ .lang = sample_lang, .rgb = 1, .width = 320 });
}

static lens_status make_huge_kernels(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 2, 2, 1001, 7, &(lens_figure_opts){ .lang = sample_lang });
}

lens_status make_one_weight(lens_ctx *ctx, lens_figure **out) {
    return make_filters_of(ctx, out, 1, 1, 1, 1, &(lens_figure_opts){ .lang = sample_lang });
}

static lens_status make_maps(lens_ctx *ctx, lens_figure **out) {
    float *data = sample_waves(6 * 28 * 28), *deep = sample_waves(70 * 7 * 7),
          *picture = sample_waves(3 * 300 * 200);
    for (int i = 0; i < 70 * 7 * 7; i++) deep[i] = deep[i] > 0 ? deep[i] : 0;
    lens_figure_picture input = { picture, 3, 300, 200, -1, 1 };
    lens_figure_layer layers[] = { { "conv1", data, 6, 28, 28 },
                                   { "features.denseblock4.denselayer16.conv2", deep, 70, 7, 7 },
                                   { "large", data, 1, 56, 84 },
                                   { "fc1", data, 120, 1, 1 } };
    lens_status status =
        lens_figure_maps(ctx, out, &input, layers, 4, &(lens_figure_opts){ .lang = sample_lang });
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
    lens_status status =
        lens_figure_confusion(ctx, out, counts, k, names,
                              &(lens_figure_opts){ .lang = sample_lang, .subtitle = "test set" });
    free(counts);
    return status;
}

lens_status make_confusion(lens_ctx *ctx, lens_figure **out) {
    return make_confusion_of(ctx, out, 10, sample_classes);
}

lens_status make_large_confusion(lens_ctx *ctx, lens_figure **out) {
    return make_confusion_of(ctx, out, 150, NULL);
}

lens_status make_small_confusion(lens_ctx *ctx, lens_figure **out) {
    static const char *const names[] = { "a class with a very long name, longer than the room",
                                         "b" };
    return make_confusion_of(ctx, out, 2, names);
}

/* Every third one is wrong; p rises with the index. */
void fill_samples(lens_figure_sample *s, const float *pixels) {
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
    float *pixels = sample_waves(28 * 28);
    fill_samples(s, pixels);
    lens_status status = lens_figure_errors(ctx, out, s, SAMPLES, 10, sample_classes,
                                            &(lens_figure_opts){ .lang = sample_lang });
    free(pixels);
    return status;
}

lens_status make_predictions(lens_ctx *ctx, lens_figure **out) {
    lens_figure_sample s[SAMPLES];
    float *pixels = sample_waves(28 * 28);
    fill_samples(s, pixels);
    lens_status status = lens_figure_predictions(ctx, out, s, SAMPLES, 10, sample_classes,
                                                 &(lens_figure_opts){ .lang = sample_lang });
    free(pixels);
    return status;
}

lens_status make_sheet(lens_ctx *ctx, lens_figure **out) {
    float *pixels = sample_waves(3 * 100 * 90);
    lens_figure_picture p[] = { { pixels, 3, 100, 90, -1, 1 },
                                { pixels, 1, 5, 40, -1, 1 },
                                { pixels, 1, 1, 1, 0, 0 } };
    const char *labels[] = { "one <b>&\"amp\"</b> 'quoted'", NULL,
                             "\xe5\x8d\xb7\xe7\xa7\xaf \xff\x01" };
    lens_status status =
        lens_figure_sheet(ctx, out, p, labels, 3, &(lens_figure_opts){ .lang = sample_lang });
    free(pixels);
    return status;
}

lens_status make_probabilities(lens_ctx *ctx, lens_figure **out) {
    float p[10] = { 0.001f, 0.002f, 0, 0.01f, 0.007f, 0, 0.03f, 0.95f, 0, 0 },
          *pixels = sample_waves(784);
    lens_figure_picture input = { pixels, 1, 28, 28, -1, 1 };
    lens_status status = lens_figure_probabilities(ctx, out, &input, p, 10, sample_classes,
                                                   &(lens_figure_opts){ .lang = sample_lang });
    free(pixels);
    return status;
}

const lens_figure_block sample_lenet[SAMPLE_BLOCKS] = {
    { "input", NULL, 1, 28, 28, 0, 0 },
    { "conv1", "conv 5x5, pad 2", 6, 28, 28, 156, 117600 },
    { "pool1", "max 2x2", 6, 14, 14, 0, 0 },
    { "conv2", "conv 5x5", 16, 10, 10, 2416, 240000 },
    { "pool2", "max 2x2", 16, 5, 5, 0, 0 },
    { "fc1", "dense", 120, 1, 1, 48120, 48000 },
    { "fc2", "dense", 84, 1, 1, 10164, 10080 },
    { "fc3", "dense", 10, 1, 1, 850, 840 },
};

lens_status make_arch(lens_ctx *ctx, lens_figure **out) {
    return lens_figure_arch(ctx, out, sample_lenet, LENS_COUNT(sample_lenet),
                            &(lens_figure_opts){ .lang = sample_lang });
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
    return lens_figure_arch(ctx, out, b, 12,
                            &(lens_figure_opts){ .lang = sample_lang, .width = 400 });
}

lens_status make_deep_arch(lens_ctx *ctx, lens_figure **out) {
    lens_figure_block b[53];
    for (int i = 0; i < 53; i++) b[i] = sample_lenet[1 + i % 7];
    b[3].name = "features.denseblock4.denselayer16.conv2";
    return lens_figure_arch(ctx, out, b, 53, &(lens_figure_opts){ .lang = sample_lang });
}

lens_status make_tiles(lens_ctx *ctx, lens_figure **out) {
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
    return lens_figure_tiles(ctx, out, tile, 6, 3, &(lens_figure_opts){ .lang = sample_lang });
}

const sample_figure sample_figures[SAMPLE_FIGURES] = {
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

int count_role(const lens_figure *fig, const char *role) {
    int n = 0;
    for (size_t i = 0; i < fig->count; i++)
        n += fig->prim[i].role && strcmp(fig->prim[i].role, role) == 0;
    return n;
}

/* The n-th primitive of a role. */
const fig_prim *nth(const lens_figure *fig, const char *role, int n) {
    for (size_t i = 0; i < fig->count; i++)
        if (fig->prim[i].role && strcmp(fig->prim[i].role, role) == 0 && n-- == 0)
            return &fig->prim[i];
    fail_msg("no such %s", role);
    return NULL;
}

bool has_text(const lens_figure *fig, const char *part) {
    for (size_t i = 0; i < fig->count; i++)
        if (fig->prim[i].text && strstr(fig->prim[i].text, part)) return true;
    return fig->notes && strstr(fig->notes, part);
}

fig_rgb cell(const fig_prim *image, int y, int x) {
    const uint8_t *p = image->rgb + 3 * (y * image->iw + x);
    return (fig_rgb){ p[0], p[1], p[2] };
}

bool same(fig_rgb a, fig_rgb b) { return a.r == b.r && a.g == b.g && a.b == b.b; }

/* CIE L*, the oracle for lightness: straight from the definition, in double precision. */
double lightness(fig_rgb c) {
    double part[3] = { c.r / 255.0, c.g / 255.0, c.b / 255.0 };
    for (int i = 0; i < 3; i++)
        part[i] = part[i] <= 0.04045 ? part[i] / 12.92 : pow((part[i] + 0.055) / 1.055, 2.4);
    double y = 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
    return y > 216.0 / 24389 ? 116 * cbrt(y) - 16 : y * 24389.0 / 27;
}

bounds text_bounds(const fig_prim *p) {
    double along = p->font.anchor * p->w / 2, up = FIG_ASCENT * p->font.size,
           down = FIG_DESCENT * p->font.size;
    if (p->font.up) return (bounds){ p->x - up, p->y + along - p->w, p->x + down, p->y + along };
    return (bounds){ p->x - along, p->y - up, p->x - along + p->w, p->y + down };
}

bounds prim_bounds(const fig_prim *p) {
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

char *slurp(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 18);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 18) - 1, file) < (1 << 18) - 1);
    fclose(file);
    return text;
}
