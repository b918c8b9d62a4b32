/* digits.c - ten digits drawn with strokes: pictures whose place, size and angle are known exactly.
 *
 * A digit is a line through the points below, x to the right and y down in a box of height 1 whose
 * middle is (0.5, 0.5). The 9 is the 6 turned by 180 degrees.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { POINTS = 13, SIDE = 28, HEIGHT = 20 }; /* as in MNIST: 20 of 28 rows */

static const struct {
    int count;
    double at[POINTS][2];
} strokes[10] = {
    { 13,
      { { .50, .05 },
        { .66, .12 },
        { .74, .30 },
        { .76, .50 },
        { .74, .70 },
        { .66, .88 },
        { .50, .95 },
        { .34, .88 },
        { .26, .70 },
        { .24, .50 },
        { .26, .30 },
        { .34, .12 },
        { .50, .05 } } },
    { 3, { { .36, .22 }, { .52, .05 }, { .52, .95 } } },
    { 8,
      { { .25, .28 },
        { .32, .12 },
        { .50, .05 },
        { .68, .13 },
        { .72, .32 },
        { .58, .55 },
        { .24, .95 },
        { .76, .95 } } },
    { 9,
      { { .27, .12 },
        { .50, .05 },
        { .70, .15 },
        { .69, .36 },
        { .46, .47 },
        { .70, .56 },
        { .74, .76 },
        { .52, .95 },
        { .25, .88 } } },
    { 4, { { .64, .95 }, { .64, .05 }, { .22, .66 }, { .80, .66 } } },
    { 8,
      { { .72, .05 },
        { .32, .05 },
        { .29, .44 },
        { .50, .38 },
        { .70, .48 },
        { .74, .70 },
        { .56, .93 },
        { .26, .88 } } },
    { 10,
      { { .66, .05 },
        { .42, .20 },
        { .29, .45 },
        { .26, .70 },
        { .38, .92 },
        { .60, .94 },
        { .74, .75 },
        { .63, .54 },
        { .42, .53 },
        { .27, .66 } } },
    { 3, { { .24, .05 }, { .76, .05 }, { .44, .95 } } },
    { 13,
      { { .50, .47 },
        { .31, .36 },
        { .32, .15 },
        { .50, .05 },
        { .68, .15 },
        { .69, .36 },
        { .50, .47 },
        { .29, .62 },
        { .29, .83 },
        { .50, .95 },
        { .71, .83 },
        { .71, .62 },
        { .50, .47 } } },
    { 10,
      { { .34, .95 },
        { .58, .80 },
        { .71, .55 },
        { .74, .30 },
        { .62, .08 },
        { .40, .06 },
        { .26, .25 },
        { .37, .46 },
        { .58, .47 },
        { .73, .34 } } },
};

/* The next number in -1..1 (SplitMix64; Steele, Lea & Flood 2014). */
static double noise(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)(int64_t)(z ^ (z >> 31)) / 9223372036854775808.0;
}

static double distance_to(double px, double py, const double a[2], const double b[2]) {
    double dx = b[0] - a[0], dy = b[1] - a[1];
    double along = ((px - a[0]) * dx + (py - a[1]) * dy) / (dx * dx + dy * dy + 1e-12);
    along = fmin(1, fmax(0, along));
    return hypot(px - a[0] - along * dx, py - a[1] - along * dy);
}

void lab_draw_digit(float *canvas, int h, int w, int digit, double row, double column, double size,
                    double angle, uint64_t seed) {
    uint64_t state = seed * 16 + (uint64_t)digit;
    double turn = (angle + 10 * noise(&state)) * acos(-1) / 180, cosine = cos(turn),
           sine = sin(turn);
    double sx = size * (1 + 0.12 * noise(&state)), sy = size * (1 + 0.06 * noise(&state));
    double slant = 0.15 * noise(&state), half = size * (0.055 + 0.02 * noise(&state));
    double at[POINTS][2];
    int count = strokes[digit].count;
    for (int i = 0; i < count; i++) {
        double y = (strokes[digit].at[i][1] - 0.5 + 0.05 * noise(&state)) * sy;
        double x = (strokes[digit].at[i][0] - 0.5 + 0.05 * noise(&state)) * sx - slant * y;
        at[i][0] = column + cosine * x - sine * y;
        at[i][1] = row + sine * x + cosine * y;
    }
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            double near = INFINITY;
            for (int k = 0; k + 1 < count; k++)
                near = fmin(near, distance_to(j, i, at[k], at[k + 1]));
            /* Ink fades over the pixel at the edge of the line. */
            float ink = (float)fmin(1, fmax(0, half + 0.5 - near)), *cell = canvas + i * w + j;
            if (ink > *cell) *cell = ink;
        }
}

static void put_number(FILE *file, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) fputc((int)(value >> shift & 255), file);
}

/* Draws sample i and returns its label; see lab_digits. */
static int draw_sample(float *canvas, uint32_t i, lab_place place, uint64_t seed) {
    uint64_t state = ~(seed + i);
    int label = (int)(i % (place == LAB_WINDOWS ? 12 : 10));
    bool between = label >= 10; /* by turns nothing, and a digit far from the middle */
    double far = between                ? 9 + 5 * fabs(noise(&state))
                 : place == LAB_CENTRED ? 0
                                        : 5 * noise(&state);
    double turn = acos(-1) * noise(&state), middle = (SIDE - 1) / 2.0;
    if (place == LAB_WINDOWS && !between) far *= 0.4;
    if (label != 10)
        lab_draw_digit(canvas, SIDE, SIDE, between ? (int)(i / 12 % 10) : label,
                       middle + far * sin(turn), middle + far * cos(turn), HEIGHT, 0, seed + i);
    return between ? 10 : label;
}

/* IDX: magic number, sizes, bytes (LeCun's MNIST page). */
static bool write_split(const char *folder, const char *split, uint32_t count, lab_place place,
                        uint64_t seed) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte", folder, split);
    FILE *images = fopen(path, "wb");
    snprintf(path, sizeof path, "%s/%s-labels-idx1-ubyte", folder, split);
    FILE *labels = fopen(path, "wb");
    if (images && labels) {
        put_number(images, 0x803);
        put_number(images, count);
        put_number(images, SIDE);
        put_number(images, SIDE);
        put_number(labels, 0x801);
        put_number(labels, count);
    }
    for (uint32_t i = 0; images && labels && i < count; i++) {
        float canvas[SIDE * SIDE] = { 0 };
        fputc(draw_sample(canvas, i, place, seed), labels);
        for (int k = 0; k < SIDE * SIDE; k++) fputc((int)lround(255 * (double)canvas[k]), images);
    }
    bool good = images && labels && !ferror(images) && !ferror(labels);
    if (images) good &= fclose(images) == 0;
    if (labels) good &= fclose(labels) == 0;
    return good;
}

lens_data *lab_digits(lab *l, lab_place place) {
    static const char *const names[] = { "centred", "moved", "windows" };
    char folder[512];
    lens_data *data;
    snprintf(folder, sizeof folder, "%s/%s", l->folder, names[place]);
    mkdir(folder, 0777); /* an old one will do */
    if (!write_split(folder, "train", l->quick ? 1000 : 6000, place, 1 << 20) ||
        !write_split(folder, "t10k", l->quick ? 300 : 2000, place, 2 << 20)) {
        fprintf(stderr, "%s: cannot be written\n", folder);
        exit(1);
    }
    lab_must(l, lens_data_open(l->ctx, &data, folder, NULL));
    return data;
}
