/* shapes.c - the built-in data set: coloured outlines, drawn when it is opened.
 *
 * Invariant: a picture depends on (seed, split, index) alone, and colour, shape and pose are drawn
 * independently, so that neither label can be guessed from the other or from the pose. (A well-known
 * teaching set turns its triangles by an amount that follows from the colour's number.) Arithmetic
 * is +, -, *, / and comparison of doubles: the same bytes on every machine.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "data/data.h"
#include <math.h>
#include <string.h>

enum {
    SIDE = 28,
    COLOURS = 6,
    SHAPES = 5,
    SAMPLES = 4,    /* per pixel and axis: coverage in sixteenths */
    BLOCKS = 1 << 8 /* of random numbers reserved per picture; about ten words are used */
};

static const char *const COLOUR_NAME[COLOURS] = { "red",  "green",  "blue",
                                                  "cyan", "yellow", "magenta" };
static const uint8_t COLOUR[COLOURS][3] = { { 255, 0, 0 },   { 0, 255, 0 },   { 0, 0, 255 },
                                            { 0, 255, 255 }, { 255, 255, 0 }, { 255, 0, 255 } };

enum { CIRCLE, SQUARE, TRIANGLE, PLUS, DIAMOND };
static const char *const SHAPE_NAME[SHAPES] = { "circle", "square", "triangle", "plus", "diamond" };

/* A figure centred at the origin with half sides rx, ry; y points down. */
static bool inside(int shape, double x, double y, double rx, double ry) {
    const double arm = 0.4; /* half width of the plus's arms, in half sides */
    double u = fabs(x), v = fabs(y);
    if (rx <= 0 || ry <= 0 || u > rx || v > ry) return false;
    switch (shape) {
    case CIRCLE: return u * u * ry * ry + v * v * rx * rx <= rx * rx * ry * ry;
    case SQUARE: return true;
    case TRIANGLE: return 2 * u * ry <= rx * (y + ry); /* apex (0,-ry), base at y = ry */
    case PLUS: return u <= arm * rx || v <= arm * ry;
    default: return u * ry + v * rx <= rx * ry;
    }
}

/* On the outline of width t: inside the figure, but not inside the one drawn t further in. How far
 * "in" is along the axes follows from the slope of the sides. */
static bool on_line(int shape, double x, double y, double rx, double ry, double t) {
    if (!inside(shape, x, y, rx, ry)) return false;
    switch (shape) {
    case TRIANGLE: {
        /* The base rises by t. The slanted sides have direction (rx, 2 ry): moving in by t lowers
         * the apex by t * sqrt(rx^2 + 4 ry^2) / rx. */
        double apex = t * sqrt(rx * rx + 4 * ry * ry) / rx, height = 2 * ry - t - apex;
        double half = height * rx / (2 * ry); /* of the inner base: similar triangles */
        return height <= 0 || !inside(TRIANGLE, x, y - (apex - t) / 2, half, height / 2);
    }
    case PLUS: {
        /* Each arm shrinks by t at its end and at its sides. */
        double u = fabs(x), v = fabs(y), ax = 0.4 * rx - t, ay = 0.4 * ry - t;
        return !((u <= rx - t && v <= ay) || (v <= ry - t && u <= ax));
    }
    case DIAMOND: {
        double in = t * sqrt(rx * rx + ry * ry); /* distance t from a side, times rx resp. ry */
        return !inside(DIAMOND, x, y, rx - in / ry, ry - in / rx);
    }
    default: return !inside(shape, x, y, rx - t, ry - t);
    }
}

/* The planes of one picture. `pose` gives size, proportions, place, line width and, for triangles,
 * which of the four ways the apex points. */
static void draw(uint8_t *chw, int shape, int colour, rng *pose) {
    double radius = 5.5 + 7.0 * (double)rng_uniform(pose);  /* 11 to 25 pixels across */
    double stretch = 0.8 + 0.4 * (double)rng_uniform(pose); /* height : width about 4:5 .. 5:4 */
    double line = 1.2 + 1.0 * (double)rng_uniform(pose);    /* thinner than the smallest arm */
    double across = (double)rng_uniform(pose), down = (double)rng_uniform(pose);
    uint32_t turn = rng_below(pose, 4);
    double rx = stretch > 1 ? radius / stretch : radius;
    double ry = stretch > 1 ? radius : radius * stretch;
    double cx = rx + 0.5 + (SIDE - 1 - 2 * rx) * across; /* half a pixel of margin */
    double cy = ry + 0.5 + (SIDE - 1 - 2 * ry) * down;
    for (int i = (int)(cy - ry); i < cy + ry; i++) /* the other pixels stay black */
        for (int j = (int)(cx - rx); j < cx + rx; j++) {
            int hits = 0;
            for (int s = 0; s < SAMPLES * SAMPLES; s++) {
                double x = j + (s % SAMPLES + 0.5) / SAMPLES - cx;
                double y = i + (s / SAMPLES + 0.5) / SAMPLES - cy;
                double fx = rx, fy = ry;
                if (shape == TRIANGLE && turn & 1) {
                    double swap = x;
                    x = y, y = swap;
                    fx = ry, fy = rx;
                }
                if (shape == TRIANGLE && turn & 2) y = -y;
                hits += on_line(shape, x, y, fx, fy, line);
            }
            for (int c = 0; c < 3; c++)
                chw[(c * SIDE + i) * SIDE + j] =
                    (uint8_t)((COLOUR[colour][c] * hits + SAMPLES * SAMPLES / 2) /
                              (SAMPLES * SAMPLES));
        }
}

lens_status data_open_shapes(lens_data *d, const char *labels) {
    static const char *const KINDS[] = { "colour", "shape", "both" };
    enum { BOTH_SHAPES = 3, BOTH_COLOURS = 3 }; /* circle, square, triangle; red, green, blue */
    bool both = strcmp(labels, "both") == 0, by_shape = strcmp(labels, "shape") == 0;
    if (!both && !by_shape && strcmp(labels, "colour") != 0) {
        const char *near = nearest_name(labels, KINDS, LENS_COUNT(KINDS));
        return ctx_fail(d->ctx, LENS_NOT_FOUND, "shapes:%s: labels are colour, shape or both%s%s%s",
                        labels, near ? "; did you mean \"" : "", near ? near : "",
                        near ? "\"?" : "");
    }
    d->info.kind = "shapes";
    d->info.channels = 3;
    d->info.height = d->info.width = SIDE;
    if (both) {
        char text[BOTH_SHAPES * BOTH_COLOURS][32];
        const char *names[BOTH_SHAPES * BOTH_COLOURS];
        for (int k = 0; k < BOTH_SHAPES * BOTH_COLOURS; k++) {
            snprintf(text[k], sizeof text[k], "%s %s", COLOUR_NAME[k % BOTH_COLOURS],
                     SHAPE_NAME[k / BOTH_COLOURS]);
            names[k] = text[k];
        }
        LENS_TRY(data_set_classes(d, names, LENS_COUNT(names)));
    } else {
        LENS_TRY(
            data_set_classes(d, by_shape ? SHAPE_NAME : COLOUR_NAME, by_shape ? SHAPES : COLOURS));
    }
    static const size_t COUNT[2][LENS_SPLITS] = { { 5000, 1000 }, { 5400, 900 } };
    for (int s = 0; s < LENS_SPLITS; s++) {
        data_split *split = &d->split[s];
        split->count = COUNT[both][s];
        split->label = ctx_alloc(d->ctx, split->count, sizeof *split->label);
        split->pixels = ctx_alloc(d->ctx, split->count, 3 * SIDE * SIDE);
        if (!split->label || !split->pixels) return LENS_NOMEM;
        for (size_t i = 0; i < split->count; i++) {
            /* The index alone fixes colour and shape, so every pair occurs equally often (to
             * within one); the loader shuffles. */
            int k = (int)(i % (both ? BOTH_SHAPES * BOTH_COLOURS : COLOURS * SHAPES));
            int colours = both ? BOTH_COLOURS : COLOURS;
            int colour = k % colours, shape = k / colours;
            rng pose = rng_start(d->opts.seed, RNG_SHAPES, (uint32_t)s, (uint64_t)i * BLOCKS);
            draw(split->pixels + i * 3 * SIDE * SIDE, shape, colour, &pose);
            split->label[i] = both ? k : by_shape ? shape : colour;
        }
    }
    return LENS_OK;
}
