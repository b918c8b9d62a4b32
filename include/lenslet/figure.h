/* lenslet/figure.h - figures of numbers and labels, written as SVG or PNG.
 *
 * A figure knows nothing of networks or data sets: callers hand it plain arrays. All arrays and
 * strings are borrowed for the one call and copied into the figure.
 *
 * Colour     Signed values use one blue - neutral - orange map with zero in its middle; values that
 *            cannot be negative use neutral - brown. Pictures are grey or RGB. A scale with numbers is
 *            always printed, and nothing is stretched to its own minimum and maximum unasked.
 * Honesty    Values beyond the scale are clipped for display and counted in the caption; NaN and
 *            infinities are drawn magenta, crossed out where there is room, and counted too. What
 *            does not fit on a page is cut, and the caption says "first 64 of 2048".
 * Same bytes The same call gives the same bytes (PNG parts: with the same zlib), in any locale.
 * Text       UTF-8. SVG keeps text as text in any script. PNG has glyphs for printable ASCII and
 *            a few signs; it draws any other character as an empty box.
 *
 * Every maker returns LENS_OK and a figure in *out (free it with lens_figure_free), or
 *   LENS_BAD_ARG    empty data, a NULL array, a class index out of range, an option out of range
 *   LENS_BAD_SHAPE  a dimension below 1, channels of a picture neither 1 nor 3
 *   LENS_NOMEM      out of memory
 * and leaves *out alone. A figure is used by one thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_FIGURE_H
#define LENSLET_FIGURE_H

#include <lenslet/base.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lens_figure lens_figure;

typedef enum lens_figure_format { LENS_FIGURE_SVG, LENS_FIGURE_PNG } lens_figure_format;

/* The language of what a figure says by itself; titles, names and notes stay as they are given. */
typedef enum lens_lang { LENS_LANG_EN, LENS_LANG_ZH } lens_lang;

/* `english`, a text or a printf format of the one table in src/figure/words.c, in that language; the
 * text itself where the table lacks it. Static where found, with the same conversions in the same order. */
LENS_API const char *lens_word(lens_lang, const char *english)
#if defined(__GNUC__)
    __attribute__((format_arg(2)))
#endif
    ;

/* Which values share one colour scale. */
typedef enum lens_figure_share {
    LENS_SHARE_LAYER, /* every layer has its own scale, printed beside it */
    LENS_SHARE_FIGURE /* one scale for all layers of the figure */
} lens_figure_share;

/* Zero means the usual. */
typedef struct lens_figure_opts {
    const char *title;       /* NULL: a plain description of the figure */
    const char *subtitle;    /* NULL: none, or the facts a maker states by itself */
    const char *caption;     /* NULL: none; e.g. the command and the hash of the model */
    double width;            /* width aimed at, in CSS pixels, 320..4000; 0 = 760 */
    double limit;            /* colour scale ends at +-limit (or 0..limit); 0 = largest magnitude */
    lens_figure_share share; /* lens_figure_maps only */
    int columns;             /* lens_figure_sheet: at most so many to a row; 0 = as many as fit */
    int rgb;                 /* lens_figure_filters: C == 3 drawn as colour pictures */
    lens_lang lang;          /* 0 = English; a PNG has no glyphs for any other */
    int png_scale;           /* device pixels per CSS pixel of a PNG, 1..4; 0 = 2 */
} lens_figure_opts;

/* A picture (C,H,W), C = 1 grey or 3 RGB. `black` and `white` are the values drawn black and
 * white; both 0 means 0 and 1. Values beyond are clipped for display only. */
typedef struct lens_figure_picture {
    const float *data;
    int c, h, w;
    float black, white;
} lens_figure_picture;

/* Lines over a common x axis, in panels one below the other. NaN or infinite values leave a gap. */
typedef struct lens_figure_series {
    const char *name; /* written at the end of the line */
    const double *x;  /* count values, increasing; NULL: 1, 2, 3, ... */
    const double *y;
    size_t count;
} lens_figure_series;

typedef enum lens_figure_best { LENS_BEST_NONE, LENS_BEST_LOW, LENS_BEST_HIGH } lens_figure_best;

typedef struct lens_figure_panel {
    const char *name; /* "loss": written above the axis */
    const lens_figure_series *series;
    int count;             /* 1..8 */
    lens_figure_best best; /* mark the lowest or highest point of the last series */
} lens_figure_panel;

LENS_API lens_status lens_figure_curves(lens_ctx *, lens_figure **out,
                                        const lens_figure_panel *panels, int count,
                                        const char *x_name, const lens_figure_opts *);

/* Weights (O,C,KH,KW): one tile per filter when C == 1, else a row of C tiles per filter. One
 * scale, symmetric about 0, for all tiles. With opts->rgb and C == 3: one colour tile per filter,
 * where 0 is mid grey and each channel runs from -limit to +limit. */
LENS_API lens_status lens_figure_filters(lens_ctx *, lens_figure **out, const float *weights, int o,
                                         int c, int kh, int kw, const lens_figure_opts *);

/* Feature maps (C,H,W) of one layer. Scale: 0..limit if no value is negative, else +-limit. With
 * LENS_SHARE_FIGURE one scale serves all layers, so that maps before and after a ReLU compare. */
typedef struct lens_figure_layer {
    const char *name;
    const float *data;
    int c, h, w;
} lens_figure_layer;

/* input may be NULL; it is drawn first. */
LENS_API lens_status lens_figure_maps(lens_ctx *, lens_figure **out,
                                      const lens_figure_picture *input,
                                      const lens_figure_layer *layers, int count,
                                      const lens_figure_opts *);

/* counts[i*k + j]: samples of true class i predicted as j, each >= 0. names may be NULL (then the
 * numbers 0..k-1). Colour: the share of the row. Recall of class i = counts[i][i] / sum of row i,
 * precision of class j = counts[j][j] / sum of column j; "-" where the sum is 0. */
LENS_API lens_status lens_figure_confusion(lens_ctx *, lens_figure **out, const int64_t *counts,
                                           int k, const char *const *names,
                                           const lens_figure_opts *);

/* One classified picture. p is the probability given to the predicted class, p_truth that of the
 * true one; both 0..1. `source` names the file or index and may be NULL. */
typedef struct lens_figure_sample {
    lens_figure_picture picture;
    int truth, predicted; /* class indices 0..k-1 */
    float p, p_truth;
    const char *source;
} lens_figure_sample;

/* Only the wrong ones, the most confident mistake first (ties keep their order). No mistake at all
 * is a figure that says so. */
LENS_API lens_status lens_figure_errors(lens_ctx *, lens_figure **out,
                                        const lens_figure_sample *samples, size_t count, int k,
                                        const char *const *names, const lens_figure_opts *);

/* All samples in the order given; the wrong ones are framed and marked "*". */
LENS_API lens_status lens_figure_predictions(lens_ctx *, lens_figure **out,
                                             const lens_figure_sample *samples, size_t count, int k,
                                             const char *const *names, const lens_figure_opts *);

/* A contact sheet; labels may be NULL, and so may single labels. */
LENS_API lens_status lens_figure_sheet(lens_ctx *, lens_figure **out,
                                       const lens_figure_picture *pictures,
                                       const char *const *labels, size_t count,
                                       const lens_figure_opts *);

/* Cells of a tile that stand out. */
typedef enum lens_figure_mark_kind {
    LENS_MARK_FRAME,  /* a frame */
    LENS_MARK_SECOND, /* a frame of another colour */
    LENS_MARK_ZERO,   /* hatched: zeros that are no data, of padding or put between */
    LENS_MARK_HIDDEN  /* covered: not yet known */
} lens_figure_mark_kind;

typedef struct lens_figure_mark {
    lens_figure_mark_kind kind;
    int row, column, h, w;
} lens_figure_mark;

/* Panels side by side, large: pictures, or maps in the colours of their values. A map whose cells
 * carry their numbers needs no scale and has none. Without data: an empty place with its texts. */
typedef struct lens_figure_tile {
    const char *name;            /* in bold above it */
    const char *note;            /* below it, up to two lines broken at "\n"; may be NULL */
    lens_figure_picture picture; /* black and white are of no use to a map */
    bool map;                    /* C = 1, coloured: 0..limit, or +-limit if a value is negative */
    double limit; /* of a map's scale; 0 = largest magnitude. A row of maps that all have the same
                     limit has one scale. */
    double side;  /* px its longer side may take; 0 = an equal share of the width */
    const char *sign;              /* between the tile before and this one: "+", "="; may be NULL */
    const lens_figure_mark *marks; /* drawn in their order */
    int mark_count;
} lens_figure_tile;

/* `columns` panels to a row, 1..12; at most 64 are drawn. */
LENS_API lens_status lens_figure_tiles(lens_ctx *, lens_figure **out, const lens_figure_tile *tiles,
                                       size_t count, int columns, const lens_figure_opts *);

/* The output layer as nodes and bars: p[0..k-1] in 0..1, the largest node darkest and named in bold.
 * input may be NULL. The sum is printed. */
LENS_API lens_status lens_figure_probabilities(lens_ctx *, lens_figure **out,
                                               const lens_figure_picture *input, const float *p,
                                               int k, const char *const *names,
                                               const lens_figure_opts *);

/* A layer of a network drawing. Dimensions are of its output; h = w = 1 for dense layers. */
typedef struct lens_figure_block {
    const char *name; /* "conv1" */
    const char *kind; /* "conv 5x5", may be NULL; conv, pool, dense in it choose the tint */
    int c, h, w;
    int64_t params, macs; /* 0: not printed */
} lens_figure_block;

/* Up to 16 blocks: stacks of sheets drawn to one scale. More: compact blocks, row by row. */
LENS_API lens_status lens_figure_arch(lens_ctx *, lens_figure **out,
                                      const lens_figure_block *blocks, int count,
                                      const lens_figure_opts *);

/* Writes <path> atomically; the extension (.svg or .png, any case) chooses the format.
 * LENS_BAD_ARG: another extension; LENS_UNSUPPORTED: the PNG would exceed 32768 pixels a side or
 * 2^26 in all; LENS_IO: path and reason; LENS_NOMEM. */
LENS_API lens_status lens_figure_write(const lens_figure *, const char *path);

/* The same bytes in memory: *bytes is terminated by an uncounted 0; free it with lens_free. */
LENS_API lens_status lens_figure_bytes(const lens_figure *, lens_figure_format, char **bytes,
                                       size_t *size);

/* An animation of 1..999 frames of one size. The extension chooses: .png, an animated PNG, `delay` ms a
 * frame, for ever; .html, one page that needs nothing else, with buttons to play and step; .svg, a file
 * for each frame: NAME-001.svg, ... Errors as above, and LENS_BAD_SHAPE: frames of different sizes. */
LENS_API lens_status lens_figure_write_frames(lens_figure *const *frames, int count, int delay,
                                              const char *path);

LENS_API void lens_figure_free(lens_figure *); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
