/* augment.h - random changes of training pictures, by name; lenslet/data.h has their formulas.
 *
 * Invariant: a step draws from a stream of its own, (seed, epoch, sample, place in the list), so what it does
 * to a sample depends on nothing else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "base/base.h"
#include "base/rng.h"

enum { AUGMENT_STEPS = 16, AUGMENT_NUMBERS = 4 };

typedef struct augment_picture {
    float *x, *spare; /* (c,h,w) in about [0,1], and room for as much; a step may exchange them */
    int c, h, w;
    int view_h, view_w; /* what the net reads: at most h, w. Steps that crop make it */
    const float *mean;  /* [c]: what is 0 after normalisation; NULL: black is */
} augment_picture;

typedef struct augment_step {
    const struct augment_kind *kind;
    double number[AUGMENT_NUMBERS];
} augment_step;

typedef struct augment_list {
    augment_step step[AUGMENT_STEPS];
    int count;
    const augment_step *mix; /* mixup or cutmix: it comes after all others; NULL: none */
} augment_list;

/* The list points into itself: it stays where it is. LENS_BAD_ARG: an unknown name (with the nearest), a
 * number that is missing or out of range, too many steps, two that mix, one that the pictures cannot
 * take. margin: pictures are larger than the view. */
lens_status augment_parse(lens_ctx *, augment_list *, const char *text, int channels, bool margin);

/* All steps but the mixing one, in order, then the centre where the picture is larger than the view. */
void augment_apply(const augment_list *, augment_picture *, uint64_t seed, uint32_t epoch,
                   uint32_t sample);

/* The stream of the mixing step. Its first number chooses the partner. */
rng augment_mix_stream(const augment_list *, uint64_t seed, uint32_t epoch, uint32_t sample);
/* Mixes another picture of the view's size in; returns the share of the target that stays. */
float augment_mix(const augment_list *, augment_picture *, const float *other, rng *);

/* The names with their numbers, "crop:N", in the order of the table; NULL at the end. */
const char *augment_form(size_t index);

/* ---- the deterministic halves of some steps ---- */

/* f times the brightness; contrast (towards the mean of the grey picture), saturation (towards grey), each
 * f x + (1-f) grey; hue turned by f of a circle. Clamped to [0,1]. torchvision's adjust_*. One channel
 * has neither saturation nor hue. */
typedef enum augment_colour_op {
    AUGMENT_BRIGHTNESS,
    AUGMENT_CONTRAST,
    AUGMENT_SATURATION,
    AUGMENT_HUE,
    AUGMENT_COLOUR_OPS
} augment_colour_op;
void augment_colour(augment_picture *, augment_colour_op, float f);

/* Turned about the centre by `degrees` (clockwise as seen) and enlarged `zoom` times, bilinear, black outside:
 * torchvision's affine(angle, scale). */
void augment_turn(augment_picture *, double degrees, double zoom);

/* The part (top, left, h, w) resized to the view: torchvision's resized_crop, antialiased bilinear. */
void augment_resized_crop(augment_picture *, int top, int left, int h, int w);

/* Beta(alpha, alpha), alpha > 0. */
double augment_beta(rng *, double alpha);

#endif
