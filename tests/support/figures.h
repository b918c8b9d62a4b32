/* figures.h - sample figures of every maker, and reading a display list, for the tests of figures.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FIGURES_H
#define TESTS_SUPPORT_FIGURES_H

#include "test.h"

#include "figure/figure.h"

extern lens_lang sample_lang; /* of the sample figures */

enum { SAMPLES = 24, SAMPLE_BLOCKS = 8, SAMPLE_FIGURES = 20 };
extern const char *const sample_classes[10];
extern const lens_figure_block sample_lenet[SAMPLE_BLOCKS];

typedef lens_status maker(lens_ctx *, lens_figure **);

typedef struct sample_figure {
    const char *name;
    maker *make;
} sample_figure;
extern const sample_figure sample_figures[SAMPLE_FIGURES];

/* Deterministic values in -1..1; free them. */
float *sample_waves(size_t count);
lens_status make_arch(lens_ctx *ctx, lens_figure **out);
lens_status make_deep_arch(lens_ctx *ctx, lens_figure **out);
lens_status make_large_confusion(lens_ctx *ctx, lens_figure **out);
lens_status make_predictions(lens_ctx *ctx, lens_figure **out);
lens_status make_confusion(lens_ctx *ctx, lens_figure **out);
lens_status make_sheet(lens_ctx *ctx, lens_figure **out);
lens_status make_tiles(lens_ctx *ctx, lens_figure **out);
lens_status make_curves(lens_ctx *ctx, lens_figure **out);
lens_status make_one_weight(lens_ctx *ctx, lens_figure **out);
lens_status make_probabilities(lens_ctx *ctx, lens_figure **out);
lens_status make_small_confusion(lens_ctx *ctx, lens_figure **out);
void fill_samples(lens_figure_sample *s, const float *pixels);

/* ---- Reading a display list ---- */

/* Primitives of a role. */
int count_role(const lens_figure *fig, const char *role);
/* The n-th primitive of a role; the test fails if there is none. */
const fig_prim *nth(const lens_figure *fig, const char *role, int n);
/* Whether a text or a note has this part. */
bool has_text(const lens_figure *fig, const char *part);
/* Of a picture. */
fig_rgb cell(const fig_prim *image, int y, int x);
bool same(fig_rgb a, fig_rgb b);
/* CIE L*, from the definition. */
double lightness(fig_rgb c);

typedef struct bounds {
    double x0, y0, x1, y1;
} bounds;
bounds text_bounds(const fig_prim *p);
bounds prim_bounds(const fig_prim *p);

/* The text of a file; free it. */
char *slurp(const char *path);

#endif
