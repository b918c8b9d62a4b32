/* colour.c - from values to colours.
 *
 * Both maps are straight lines in CIELAB lightness (D65) from the neutral L* = 97, sampled at nine
 * points and joined linearly in sRGB. Diverging: hues 268 (blue) and 58 degrees (orange), L* down
 * to 38 on both sides, chroma min(52, gamut) reached at 4/5 of the way along a sine: equal
 * magnitudes are equally light, so a grey print shows size and the hue shows the sign. Blue and
 * orange stay apart in all common colour-vision deficiencies. Sequential: the positive hue, down
 * to L* = 18 for more steps; so the same hue always means a positive value.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum { STEPS = 8 };

static const fig_rgb blues[STEPS + 1] = {
    { 246, 246, 246 }, { 212, 227, 249 }, { 176, 207, 250 }, { 137, 188, 248 }, { 96, 169, 242 },
    { 44, 150, 231 },  { 5, 131, 207 },   { 6, 112, 177 },   { 4, 93, 149 },
};
static const fig_rgb oranges[STEPS + 1] = {
    { 246, 246, 246 }, { 247, 220, 205 }, { 243, 195, 166 }, { 234, 171, 131 }, { 221, 147, 99 },
    { 205, 126, 72 },  { 185, 106, 50 },  { 164, 87, 32 },   { 142, 69, 12 },
};
static const fig_rgb browns[STEPS + 1] = {
    { 246, 246, 246 }, { 242, 213, 195 }, { 233, 180, 147 }, { 218, 148, 103 }, { 198, 118, 64 },
    { 174, 91, 29 },   { 145, 66, 0 },    { 109, 49, 0 },    { 73, 33, 1 },
};

static uint8_t between(uint8_t a, uint8_t b, double t) { return (uint8_t)(a + (b - a) * t + 0.5); }

static fig_rgb along(const fig_rgb map[STEPS + 1], double t) {
    if (t >= 1) return map[STEPS];
    int i = (int)(t * STEPS);
    double f = t * STEPS - i;
    return (fig_rgb){ between(map[i].r, map[i + 1].r, f), between(map[i].g, map[i + 1].g, f),
                      between(map[i].b, map[i + 1].b, f) };
}

fig_rgb fig_diverging(double t) { return t < 0 ? along(blues, -t) : along(oranges, t); }

fig_rgb fig_sequential(double t) { return along(browns, t < 0 ? 0 : t); }

/* Rec. 709 luma of the coded values: close enough to choose between two inks. 140 is where black
 * and white text have the same WCAG contrast (relative luminance 0.18 for a grey of 118) plus a
 * margin, as thin dark strokes read better than thin white ones only on clearly light grounds. */
fig_rgb fig_contrast(fig_rgb ground) {
    double luma = 0.2126 * ground.r + 0.7152 * ground.g + 0.0722 * ground.b;
    return luma > 140 ? FIG_INK : FIG_WHITE;
}

void fig_widen(fig_range *range, const float *data, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(data[i])) continue;
        if (data[i] < range->min) range->min = data[i];
        if (data[i] > range->max) range->max = data[i];
    }
    range->limit = fmax(-range->min, range->max);
}

fig_scale fig_scale_of(fig_range range, double limit) {
    if (limit == 0) limit = range.limit;
    return (fig_scale){ .limit = limit, .is_signed = range.min < 0 };
}

fig_rgb fig_colour(fig_scale *scale, double value) {
    if (!isfinite(value)) {
        scale->bad++;
        return FIG_BAD;
    }
    if (fabs(value) > scale->limit) scale->clipped++;
    double t = scale->limit > 0 ? value / scale->limit : 0;
    return scale->is_signed ? fig_diverging(t) : fig_sequential(t);
}
