/* augment.c - the table of augmentations; see augment.h. A new one is a function and a row.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/augment.h"
#include "format/image.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

enum {
    BLOCKS = 64, /* of four random numbers reserved for a step; ten tries of a crop take ten */
    TRIES = 10,  /* torchvision's, of a random area that fits */
    MAX_MOVE = 1024
};

static double uniform(rng *r, double low, double high) {
    return low + (high - low) * (double)rng_uniform(r);
}

static int below(rng *r, int n) { return (int)rng_below(r, (uint32_t)n); }

static void exchange(augment_picture *p, int h, int w) {
    float *x = p->x;
    p->x = p->spare;
    p->spare = x;
    p->h = h;
    p->w = w;
}

static const float *row_of(const augment_picture *p, int c, int y) {
    return p->x + ((size_t)c * (size_t)p->h + (size_t)y) * (size_t)p->w;
}

static int clamp(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* The part of h x w pixels that begins at (top, left), which may lie outside: black there, or with
 * `repeat` the nearest edge pixel. */
static void cut(augment_picture *p, int top, int left, int h, int w, bool repeat) {
    float *dst = p->spare;
    for (int c = 0; c < p->c; c++)
        for (int y = top; y < top + h; y++) {
            const float *row = row_of(p, c, clamp(y, p->h));
            bool out = !repeat && (y < 0 || y >= p->h);
            for (int x = left; x < left + w; x++)
                *dst++ = out || (!repeat && (x < 0 || x >= p->w)) ? 0 : row[clamp(x, p->w)];
        }
    exchange(p, h, w);
}

/* ---- Geometry --------------------------------------------------------------------------------- */

static void mirror(const double *n, augment_picture *p, rng *r) {
    if (!((double)rng_uniform(r) < n[0])) return;
    for (float *row = p->x, *end = p->x + (size_t)p->c * (size_t)p->h * (size_t)p->w; row < end;
         row += p->w)
        for (int a = 0, b = p->w - 1; a < b; a++, b--) {
            float left = row[a];
            row[a] = row[b];
            row[b] = left;
        }
}

static void crop(const double *n, augment_picture *p, rng *r) {
    int pad = (int)n[0];
    int top = below(r, p->h + 2 * pad - p->view_h + 1) - pad;
    int left = below(r, p->w + 2 * pad - p->view_w + 1) - pad;
    cut(p, top, left, p->view_h, p->view_w, false);
}

static void shift(const double *n, augment_picture *p, rng *r) {
    int move = (int)n[0];
    int dy = below(r, 2 * move + 1) - move, dx = below(r, 2 * move + 1) - move;
    cut(p, dy, dx, p->h, p->w, true);
}

/* One pass of lens_image_resize's bilinear filter, in floats: along an axis whose inputs and outputs lie in_step
 * and out_step apart, on `lanes` lines that lie lane_in and lane_out apart. */
static void resample(const float *src, size_t in_step, int in, float *dst, size_t out_step, int out,
                     size_t lanes, size_t lane_in, size_t lane_out) {
    double scale = (double)in / out, radius = scale > 1 ? scale : 1;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int low = clamp((int)(centre - radius + 0.5), in);
        int high = clamp((int)(centre + radius + 0.5) - 1, in);
        for (int j = low; j <= high; j++) sum += fmax(0, 1 - fabs(j + 0.5 - centre) / radius);
        for (size_t k = 0; k < lanes; k++) dst[(size_t)i * out_step + k * lane_out] = 0;
        for (int j = low; j <= high; j++) {
            float weight = (float)(fmax(0, 1 - fabs(j + 0.5 - centre) / radius) / sum);
            for (size_t k = 0; k < lanes; k++)
                dst[(size_t)i * out_step + k * lane_out] +=
                    weight * src[(size_t)j * in_step + k * lane_in];
        }
    }
}

void augment_resized_crop(augment_picture *p, int top, int left, int h, int w) {
    size_t out_w = (size_t)p->view_w, out_h = (size_t)p->view_h, rows = (size_t)h;
    cut(p, top, left, h, w, false);
    for (size_t c = 0; c < (size_t)p->c; c++)
        resample(p->x + c * rows * (size_t)w, 1, w, p->spare + c * rows * out_w, 1, p->view_w, rows,
                 (size_t)w, out_w);
    exchange(p, h, p->view_w);
    for (size_t c = 0; c < (size_t)p->c; c++)
        resample(p->x + c * rows * out_w, out_w, h, p->spare + c * out_h * out_w, out_w, p->view_h,
                 out_w, 1, 1);
    exchange(p, p->view_h, p->view_w);
}

/* A random share low..high of the picture's area, with w/h in narrow..wide: top, left, h, w in at[]. False:
 * none of the tries fits into the picture. */
static bool area(const augment_picture *p, rng *r, double low, double high, double narrow,
                 double wide, int at[4]) {
    for (int i = 0; i < TRIES; i++) {
        double pixels = uniform(r, low, high) * p->h * p->w;
        double ratio = exp(uniform(r, log(narrow), log(wide)));
        int w = (int)lrint(sqrt(pixels * ratio)), h = (int)lrint(sqrt(pixels / ratio));
        if (w < 1 || h < 1 || w > p->w || h > p->h) continue;
        at[0] = below(r, p->h - h + 1);
        at[1] = below(r, p->w - w + 1);
        at[2] = h;
        at[3] = w;
        return true;
    }
    return false;
}

static void resized_crop(const double *n, augment_picture *p, rng *r) {
    const double narrow = 3.0 / 4, wide = 4.0 / 3;
    int at[4];
    if (!area(p, r, n[0], 1, narrow, wide, at)) { /* the centre, as much as the ratio allows */
        at[2] = (double)p->w / p->h < narrow ? (int)lrint(p->w / narrow) : p->h;
        at[3] = (double)p->w / p->h > wide ? (int)lrint(p->h * wide) : p->w;
        at[0] = (p->h - at[2]) / 2;
        at[1] = (p->w - at[3]) / 2;
    }
    augment_resized_crop(p, at[0], at[1], at[2], at[3]);
}

void augment_turn(augment_picture *p, double degrees, double zoom) {
    double angle = degrees * PI / 180, cosine = cos(angle) / zoom, sine = sin(angle) / zoom;
    double cy = (p->h - 1) / 2.0, cx = (p->w - 1) / 2.0;
    size_t plane = (size_t)p->h * (size_t)p->w, at = 0;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++, at++) {
            double u = cosine * (x - cx) + sine * (y - cy) + cx;
            double v = cosine * (y - cy) - sine * (x - cx) + cy;
            int left = (int)floor(u), top = (int)floor(v);
            for (int c = 0; c < p->c; c++) p->spare[(size_t)c * plane + at] = 0;
            for (int corner = 0; corner < 4; corner++) {
                int sy = top + corner / 2, sx = left + corner % 2;
                if (sy < 0 || sx < 0 || sy >= p->h || sx >= p->w) continue;
                float weight = (float)((1 - fabs(v - sy)) * (1 - fabs(u - sx)));
                for (int c = 0; c < p->c; c++)
                    p->spare[(size_t)c * plane + at] += weight * row_of(p, c, sy)[sx];
            }
        }
    exchange(p, p->h, p->w);
}

static void rotate(const double *n, augment_picture *p, rng *r) {
    augment_turn(p, uniform(r, -n[0], n[0]), 1);
}

static void zoom(const double *n, augment_picture *p, rng *r) {
    augment_turn(p, 0, uniform(r, 1 - n[0], 1 + n[0]));
}

/* ---- Colour ----------------------------------------------------------------------------------- */

static float unit(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

static float grey_of(const augment_picture *p, size_t plane, size_t i) {
    if (p->c == 1) return p->x[i];
    return 0.2989f * p->x[i] + 0.587f * p->x[plane + i] + 0.114f * p->x[2 * plane + i];
}

/* Smith 1978, "Color gamut transform pairs": a hexcone, here without passing by saturation and value,
 * which stay. */
static void turn_hue(float rgb[3], float by) {
    float high = fmaxf(rgb[0], fmaxf(rgb[1], rgb[2])), low = fminf(rgb[0], fminf(rgb[1], rgb[2]));
    float span = high - low, hue;
    if (!(span > 0)) return;
    if (high == rgb[0])
        hue = (rgb[1] - rgb[2]) / span;
    else if (high == rgb[1])
        hue = 2 + (rgb[2] - rgb[0]) / span;
    else
        hue = 4 + (rgb[0] - rgb[1]) / span;
    hue += 6 * by;
    for (int c = 0; c < 3; c++) { /* each is a trapezium over the circle, a third apart */
        float d = fmodf(hue + (float)(c == 0 ? 12 : c == 1 ? 10 : 8), 6);
        d = fminf(fabsf(d), 6 - fabsf(d));
        rgb[c] = low + span * unit(2 - d);
    }
}

void augment_colour(augment_picture *p, augment_colour_op op, float f) {
    size_t plane = (size_t)p->h * (size_t)p->w, channels = (size_t)p->c;
    double mean = 0;
    if (op >= AUGMENT_SATURATION && channels == 1) return;
    for (size_t i = 0; op == AUGMENT_CONTRAST && i < plane; i++)
        mean += (double)grey_of(p, plane, i);
    mean /= (double)plane;
    for (size_t i = 0; i < plane; i++) {
        float v[3] = { 0 }, grey = op == AUGMENT_SATURATION ? grey_of(p, plane, i) : 0;
        if (op == AUGMENT_CONTRAST) grey = (float)mean;
        for (size_t c = 0; c < channels; c++) v[c] = p->x[c * plane + i];
        if (op == AUGMENT_HUE) turn_hue(v, f);
        for (size_t c = 0; c < channels; c++)
            p->x[c * plane + i] = op == AUGMENT_HUE ? v[c] : unit(f * v[c] + (1 - f) * grey);
    }
}

static void jitter(const double *n, augment_picture *p, rng *r) {
    uint32_t order[AUGMENT_COLOUR_OPS];
    float f[AUGMENT_COLOUR_OPS];
    rng_permutation(r, order, AUGMENT_COLOUR_OPS);
    for (int op = 0; op < AUGMENT_COLOUR_OPS; op++) {
        double low = op == AUGMENT_HUE ? -n[op] : fmax(0, 1 - n[op]);
        f[op] = (float)uniform(r, low, op == AUGMENT_HUE ? n[op] : 1 + n[op]);
    }
    for (int i = 0; i < AUGMENT_COLOUR_OPS; i++)
        if (n[order[i]] > 0) augment_colour(p, (augment_colour_op)order[i], f[order[i]]);
}

static void pca(const double *n, augment_picture *p, rng *r) {
    /* Columns are the principal directions of ImageNet's colours; with their weights as published with
     * fb.resnet.torch (datasets/imagenet.lua). */
    static const double DIRECTION[3][3] = { { -0.5675, 0.7192, 0.4009 },
                                            { -0.5808, -0.0045, -0.8140 },
                                            { -0.5836, -0.6948, 0.4203 } };
    static const double WEIGHT[3] = { 0.2175, 0.0188, 0.0045 };
    size_t plane = (size_t)p->h * (size_t)p->w;
    double a[3];
    for (int k = 0; k < 3; k++) a[k] = n[0] * (double)rng_normal(r) * WEIGHT[k];
    for (size_t c = 0; c < 3; c++) {
        float add =
            (float)(DIRECTION[c][0] * a[0] + DIRECTION[c][1] * a[1] + DIRECTION[c][2] * a[2]);
        for (size_t i = 0; i < plane; i++) p->x[c * plane + i] += add;
    }
}

/* ---- Parts taken out, and two pictures in one -------------------------------------------------- */

static void erase(const double *n, augment_picture *p, rng *r) {
    int at[4];
    if (!((double)rng_uniform(r) < n[0]) || !area(p, r, 0.02, 0.33, 0.3, 3.3, at)) return;
    for (int c = 0; c < p->c; c++)
        for (int y = at[0]; y < at[0] + at[2]; y++) {
            float *row = p->x + ((size_t)c * (size_t)p->h + (size_t)y) * (size_t)p->w;
            for (int x = at[1]; x < at[1] + at[3]; x++) row[x] = p->mean ? p->mean[c] : 0;
        }
}

/* The logarithm of Gamma(alpha), alpha > 0: Marsaglia and Tsang 2000, "A simple method for generating gamma
 * variables"; below 1 as Gamma(alpha + 1) U^(1/alpha), whose smallest values no double holds. */
static double log_gamma_variate(rng *r, double alpha) {
    double below_one = 0;
    if (alpha < 1) {
        below_one = log(((double)rng_u32(r) + 1) * 0x1p-32) / alpha;
        alpha += 1;
    }
    double d = alpha - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = (double)rng_normal(r), v = 1 + c * x;
        double u = ((double)rng_u32(r) + 1) * 0x1p-32;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(u) < x * x / 2 + d - d * v + d * log(v)) return log(d * v) + below_one;
    }
}

double augment_beta(rng *r, double alpha) {
    double a = log_gamma_variate(r, alpha), b = log_gamma_variate(r, alpha);
    return 1 / (1 + exp(b - a));
}

static float mixup(const double *n, augment_picture *p, const float *other, rng *r) {
    float share = (float)augment_beta(r, n[0]);
    size_t count = (size_t)p->c * (size_t)p->h * (size_t)p->w;
    for (size_t i = 0; i < count; i++) p->x[i] = share * p->x[i] + (1 - share) * other[i];
    return share;
}

static float cutmix(const double *n, augment_picture *p, const float *other, rng *r) {
    double side = sqrt(1 - augment_beta(r, n[0])); /* of the box, as a share of the picture's */
    int half_h = (int)(p->h * side / 2), half_w = (int)(p->w * side / 2);
    int y = below(r, p->h), x = below(r, p->w);
    int top = clamp(y - half_h, p->h + 1), bottom = clamp(y + half_h, p->h + 1);
    int left = clamp(x - half_w, p->w + 1), right = clamp(x + half_w, p->w + 1);
    for (int c = 0; c < p->c; c++)
        for (int i = top; i < bottom; i++) {
            size_t row = ((size_t)c * (size_t)p->h + (size_t)i) * (size_t)p->w;
            for (int k = left; k < right; k++) p->x[row + (size_t)k] = other[row + (size_t)k];
        }
    return 1 - (float)((bottom - top) * (right - left)) / (float)(p->h * p->w);
}

/* ---- The table -------------------------------------------------------------------------------- */

#define NEEDED    NAN      /* has no usual value */
#define AS_BEFORE INFINITY /* the value of the number before */

typedef struct augment_kind {
    const char *name, *form;
    struct {
        double low, high, usual;
        bool whole;
    } number[AUGMENT_NUMBERS]; /* high 0: there is no such number */
    bool colour;               /* wants three channels */
    void (*apply)(const double *number, augment_picture *, rng *);
    float (*mix)(const double *number, augment_picture *, const float *other, rng *);
} augment_kind;

/* clang-format off */
static const augment_kind kinds[] = {
    { "mirror",       "mirror:P",       { { 0, 1, 0.5 } },                      .apply = mirror },
    { "crop",         "crop:N",         { { 0, MAX_MOVE, 0, true } },           .apply = crop },
    { "shift",        "shift:N",        { { 1, MAX_MOVE, NEEDED, true } },      .apply = shift },
    { "resized-crop", "resized-crop:A", { { 0.01, 1, 0.08 } },                  .apply = resized_crop },
    { "rotate",       "rotate:D",       { { 0, 180, NEEDED } },                 .apply = rotate },
    { "zoom",         "zoom:Z",         { { 0, 0.99, NEEDED } },                .apply = zoom },
    { "jitter",       "jitter:B:C:S:H", { { 0, 10, 0.4 }, { 0, 10, AS_BEFORE }, { 0, 10, AS_BEFORE },
                                          { 0, 0.5, 0 } },                      .apply = jitter },
    { "pca",          "pca:S",          { { 0, 10, 0.1 } }, .colour = true,     .apply = pca },
    { "erase",        "erase:P",        { { 0, 1, 0.5 } },                      .apply = erase },
    { "mixup",        "mixup:A",        { { 0.001, 1000, 0.2 } },               .mix = mixup },
    { "cutmix",       "cutmix:A",       { { 0.001, 1000, 1 } },                 .mix = cutmix },
};
/* clang-format on */

const char *augment_form(size_t index) {
    return index < LENS_COUNT(kinds) ? kinds[index].form : NULL;
}

static lens_status unknown(lens_ctx *ctx, const char *word) {
    const char *names[LENS_COUNT(kinds)], *near;
    char known[256] = "";
    for (size_t i = 0; i < LENS_COUNT(kinds); i++) {
        names[i] = kinds[i].name;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 kinds[i].form);
    }
    near = nearest_name(word, names, LENS_COUNT(kinds));
    return ctx_fail(ctx, LENS_BAD_ARG, "unknown augmentation \"%s\"%s%s%s; known are %s", word,
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", known);
}

/* The numbers behind the name; `rest` is at its colon or at the end. */
static lens_status read_numbers(lens_ctx *ctx, augment_step *step, const char *whole, char *rest) {
    const augment_kind *kind = step->kind;
    const char *letter = strchr(kind->form, ':');
    for (int i = 0; i < AUGMENT_NUMBERS && kind->number[i].high > 0; i++, letter += 2) {
        double usual = kind->number[i].usual, *value = &step->number[i];
        bool good = *rest == ':' || !isnan(usual);
        *value = isinf(usual) ? step->number[i - 1] : usual;
        if (*rest == ':') {
            char *end = rest + 1 + strcspn(rest + 1, ":"), kept = *end;
            *end = 0;
            good = parse_double(rest + 1, value) && *value >= kind->number[i].low &&
                   *value <= kind->number[i].high &&
                   (!kind->number[i].whole || *value == floor(*value));
            *end = kept;
            rest = end;
        }
        if (!good)
            return ctx_fail(ctx, LENS_BAD_ARG, "augmentation \"%s\": expected %s with %c in %g..%g",
                            whole, kind->form, letter[1], kind->number[i].low,
                            kind->number[i].high);
    }
    if (*rest)
        return ctx_fail(ctx, LENS_BAD_ARG, "augmentation \"%s\": expected %s and no more", whole,
                        kind->form);
    return LENS_OK;
}

static lens_status parse_step(lens_ctx *ctx, augment_step *step, const char *whole) {
    char word[64];
    snprintf(word, sizeof word, "%s", whole);
    char *rest = word + strcspn(word, ":"), kept = *rest;
    *rest = 0;
    for (size_t i = 0; i < LENS_COUNT(kinds); i++)
        if (strcmp(word, kinds[i].name) == 0) step->kind = &kinds[i];
    if (!step->kind) return unknown(ctx, word);
    *rest = kept;
    return read_numbers(ctx, step, whole, rest);
}

lens_status augment_parse(lens_ctx *ctx, augment_list *list, const char *text, int channels,
                          bool margin) {
    *list = (augment_list){ 0 };
    if (!text || !*text || strcmp(text, "none") == 0) return LENS_OK;
    while (text) {
        char word[64];
        size_t length = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), text);
        if (list->count == AUGMENT_STEPS)
            return ctx_fail(ctx, LENS_BAD_ARG, "more than %d augmentations", AUGMENT_STEPS);
        augment_step *step = &list->step[list->count];
        LENS_TRY(parse_step(ctx, step, word));
        if (list->mix)
            return ctx_fail(
                ctx, LENS_BAD_ARG,
                "augmentation \"%s\" behind \"%s\": only one of mixup and cutmix, and last", word,
                list->mix->kind->name);
        if (step->kind->colour && channels != 3)
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "augmentation \"%s\" wants 3 channels but the pictures have %d", word,
                            channels);
        if (step->kind->apply == crop && step->number[0] == 0 && !margin)
            return ctx_fail(
                ctx, LENS_BAD_ARG,
                "augmentation \"%s\": the pictures have no margin to move in: crop:N adds "
                "N pixels, resizing to a larger size keeps some",
                word);
        if (step->kind->mix) list->mix = step;
        list->count++;
        text = text[length] ? text + length + 1 : NULL;
    }
    return LENS_OK;
}

static rng stream(int place, uint64_t seed, uint32_t epoch, uint32_t sample) {
    return rng_start(seed, RNG_AUGMENT, epoch,
                     ((uint64_t)sample * AUGMENT_STEPS + (uint64_t)place) * BLOCKS);
}

void augment_apply(const augment_list *list, augment_picture *p, uint64_t seed, uint32_t epoch,
                   uint32_t sample) {
    for (int i = 0; i < list->count; i++) {
        const augment_step *step = &list->step[i];
        rng r = stream(i, seed, epoch, sample);
        if (step->kind->apply) step->kind->apply(step->number, p, &r);
    }
    if (p->h > p->view_h || p->w > p->view_w)
        cut(p, img_centre(p->h, p->view_h), img_centre(p->w, p->view_w), p->view_h, p->view_w,
            false);
}

rng augment_mix_stream(const augment_list *list, uint64_t seed, uint32_t epoch, uint32_t sample) {
    return stream((int)(list->mix - list->step), seed, epoch, sample);
}

float augment_mix(const augment_list *list, augment_picture *p, const float *other, rng *r) {
    return list->mix->kind->mix(list->mix->number, p, other, r);
}
