/* figure.h - the display list behind every figure, and the tools its makers share.
 *
 * Invariants: a primitive holds everything its back-ends need (nothing is looked up later), and
 * lies inside the canvas. Pushing never returns an error: the first failure is kept in the figure
 * and fig_end reports it, so a maker reads like its picture.
 * Lengths are CSS pixels, y grows downwards; a text's y is its baseline.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FIGURE_FIGURE_H
#define FIGURE_FIGURE_H

#include "base/base.h"
#include <lenslet/figure.h>

typedef struct fig_rgb {
    uint8_t r, g, b;
} fig_rgb;

#define FIG_INK    ((fig_rgb){ 34, 34, 34 })
#define FIG_GREY   ((fig_rgb){ 102, 102, 102 }) /* 5.7:1 on white: secondary text */
#define FIG_FAINT  ((fig_rgb){ 226, 226, 226 }) /* grid lines, frames of tiles */
#define FIG_EDGE   ((fig_rgb){ 170, 170, 170 })
#define FIG_WHITE  ((fig_rgb){ 255, 255, 255 })
#define FIG_BLUE   ((fig_rgb){ 5, 100, 170 })
#define FIG_ORANGE ((fig_rgb){ 190, 84, 0 })
#define FIG_BAD    ((fig_rgb){ 204, 0, 153 }) /* NaN and infinity: a hue no map contains */

/* Sizes of text: 12 CSS px = 9 pt. */
enum { FIG_TITLE = 16, FIG_LABEL = 12, FIG_SMALL = 10, FIG_NOTE = 11, FIG_TINY = 8 };

enum {
    FIG_MARGIN = 20,      /* white around everything */
    FIG_GAP = 8,          /* between neighbouring things */
    FIG_WIDTH = 760,      /* the usual width aimed at */
    FIG_MIN_WIDTH = 340,  /* below this a title wraps after every word */
    FIG_NUMBER_CELL = 28, /* cells this large carry their number */
    FIG_GRID_CELL = 12    /* cells this large are separated by lines, and crossed out if bad */
};

typedef enum fig_kind { FIG_RECT, FIG_CIRCLE, FIG_LINE, FIG_TEXT, FIG_IMAGE } fig_kind;
typedef enum fig_anchor { FIG_START, FIG_MIDDLE, FIG_END } fig_anchor;

typedef struct fig_paint {
    bool filled, stroked;
    fig_rgb fill, stroke;
    double thick; /* of the stroke, centred on the outline */
} fig_paint;

typedef struct fig_font {
    double size;
    bool bold;
    fig_anchor anchor;
    fig_rgb ink;
    bool up; /* rotated by 90 degrees counter-clockwise about (x, y) */
} fig_font;

typedef struct fig_prim {
    fig_kind kind;
    const char *role;  /* static: what it stands for ("tile", "node", "mark"), or NULL */
    double x, y, w, h; /* rect, image: corner and size; circle: centre and w = h = radius; text:
                          anchor point and w = measured width */
    fig_paint paint;   /* rect, circle; line: the stroke */
    fig_font font;
    char *text;
    double *xy; /* line: 2 * points coordinates */
    int points;
    uint8_t *rgb; /* image: cells (ih, iw, 3), nearest neighbour */
    int iw, ih;
} fig_prim;

struct lens_figure {
    lens_ctx *ctx;
    double width, height;
    lens_lang lang;
    char *title, *notes; /* also the metadata of the file; notes may be NULL */
    int png_scale;
    fig_prim *prim;
    size_t count, cap;
    lens_status failed;
};

/* figure.c: life, header and footer ------------------------------------------------------------ */

/* Checks the options and makes an empty figure. opts may be NULL: *use becomes a copy with the usual
 * values filled in. */
lens_status fig_begin(lens_ctx *, lens_figure **out, const lens_figure_opts *opts,
                      lens_figure_opts *use);

/* Fixes the width (at least FIG_MIN_WIDTH), writes title and subtitle, returns the y below them. */
double fig_header(lens_figure *, double width, const char *title, const char *subtitle);

/* lens_word in the figure's language. */
#define fig_say(fig, english) lens_word((fig)->lang, english)

/* Adds a sentence to the notes printed under the figure; the format is translated. */
void fig_note(lens_figure *, const char *format, ...) LENS_PRINTF(2, 3);

/* Writes notes and caption below y, fixes the height, and hands the figure over; on failure frees
 * it and returns the first error. */
lens_status fig_end(lens_figure *, double y, const char *caption, lens_figure **out);

/* Keeps the first failure. */
void fig_fail(lens_figure *, lens_status);

/* figure.c: primitives ------------------------------------------------------------------------- */

fig_paint fig_fill(fig_rgb);
fig_paint fig_stroke(fig_rgb, double thick);
void fig_rect(lens_figure *, const char *role, double x, double y, double w, double h, fig_paint);
void fig_circle(lens_figure *, const char *role, double x, double y, double radius, fig_paint);
void fig_line(lens_figure *, double x0, double y0, double x1, double y1, fig_rgb, double thick);
void fig_polyline(lens_figure *, const char *role, const double *xy, int points, fig_rgb,
                  double thick);
void fig_text(lens_figure *, const char *role, double x, double y, fig_font, const char *text);
/* The format is translated. */
void fig_printf(lens_figure *, double x, double y, fig_font, const char *format, ...)
    LENS_PRINTF(5, 6);

/* Text kept to `room` px: the size shrinks to FIG_TINY, then the end gives way to an ellipsis. */
void fig_text_in(lens_figure *, const char *role, double x, double y, double room, fig_font,
                 const char *text);

/* Text in lines of at most `room` px, broken at spaces and between wide characters (a longer word is
 * cut); returns the
 * baseline after the last line. */
double fig_wrapped(lens_figure *, double x, double y, double room, fig_font, const char *text);

/* Takes rgb (ctx_alloc'd, ih*iw*3 bytes) even if it fails; NULL is a failure already reported. */
void fig_image(lens_figure *, const char *role, double x, double y, double w, double h,
               uint8_t *rgb, int iw, int ih);

/* figure.c: numbers ------------------------------------------------------------------------------ */

/* printf for numbers, always with a decimal point and without "-0"; returns buf. */
const char *fig_number(char buf[32], const char *format, double);
const char *fig_count(char buf[32], int64_t); /* "61,706" */

/* font.c ----------------------------------------------------------------------------------------- */

/* Decodes one UTF-8 character and advances *s; malformed bytes and control characters give U+FFFD. */
uint32_t fig_utf8(const char **s);

/* Whether a character is a full em wide: Chinese, Japanese and Korean. */
bool fig_is_wide(uint32_t code);

/* Advance width in px of a text on one line. */
double fig_measure(const char *text, double size, bool bold);

/* Strokes of a character as polylines in 1/100 em, y upwards from the baseline, x from the pen.
 * Calls move(user, x, y, true) at the start of each stroke and move(user, x, y, false) at every
 * further point. Returns the advance; `thick` receives the width of the pen. */
typedef void fig_pen(void *user, double x, double y, bool start);
double fig_glyph(uint32_t code, bool bold, fig_pen *, void *user, double *thick);

/* Parts of the em that a line of text covers above and below its baseline. */
#define FIG_ASCENT  0.78
#define FIG_DESCENT 0.22

/* colour.c --------------------------------------------------------------------------------------- */

/* t in -1..1 (clamped): blue - neutral - orange, equally light at t and -t. */
fig_rgb fig_diverging(double t);
/* t in 0..1 (clamped): neutral - brown, steadily darker. */
fig_rgb fig_sequential(double t);
/* Black or white, whichever reads better on `ground`. */
fig_rgb fig_contrast(fig_rgb ground);

typedef struct fig_scale {
    double limit;
    bool is_signed;
    int64_t clipped, bad; /* counted by fig_colour */
} fig_scale;

typedef struct fig_range {
    double min, max; /* of the finite values; 0, 0 if there are none */
    double limit;    /* largest magnitude */
} fig_range;

/* Widens *range (start from { 0 }: zero always belongs to a scale) by data[0..count-1]. */
void fig_widen(fig_range *range, const float *data, size_t count);
fig_scale fig_scale_of(fig_range, double limit);

/* The colour of one value; NaN and infinity give FIG_BAD. */
fig_rgb fig_colour(fig_scale *, double value);

/* tile.c ----------------------------------------------------------------------------------------- */

/* A matrix (h, w) as a tile of cells `zoom` px wide, framed; from FIG_GRID_CELL with grid lines,
 * from FIG_NUMBER_CELL with numbers. zoom 1/n draws means of n x n values. */
void fig_matrix(lens_figure *, double x, double y, const float *data, int h, int w, double zoom,
                fig_scale *);

/* Three matrices as the channels of a colour tile: -limit .. 0 .. +limit = dark .. mid grey .. bright. */
void fig_matrix_rgb(lens_figure *, double x, double y, const float *data, int h, int w, double zoom,
                    fig_scale *);

/* A picture at the same zoom rules. *bad counts its NaN and infinities. */
void fig_picture(lens_figure *, const char *role, double x, double y, const lens_figure_picture *,
                 double zoom, int64_t *bad);
lens_status fig_picture_check(lens_ctx *, const lens_figure_picture *, const char *what);

/* The zoom that draws n cells in at most `room` px: a whole number, or 1/whole. */
double fig_zoom(int n, double room);

/* A horizontal colour bar `width` px wide with its numbers underneath; returns the y below. */
double fig_bar(lens_figure *, double x, double y, double width, const fig_scale *);

/* Notes on values clipped and bad; nothing if there are none. */
void fig_note_scale(lens_figure *, const fig_scale *);

/* svg.c, png.c ----------------------------------------------------------------------------------- */

/* Bytes that grow; the first failure stays and further bytes are dropped. */
typedef struct fig_bytes {
    lens_ctx *ctx;
    char *data;
    size_t size, cap;
    lens_status failed;
} fig_bytes;

void fig_put(fig_bytes *, const void *data, size_t size);

/* A PNG chunk whose data is head followed by tail (png.c). */
void fig_chunk(fig_bytes *, const char type[5], const void *head, size_t head_size,
               const void *tail, size_t tail_size);

/* Text with markup characters escaped; what XML does not allow becomes U+FFFD (svg.c). A newline in the
 * metadata is allowed; fig_utf8 would not pass it. */
void fig_escaped(fig_bytes *, const char *text);

/* Figures end in .svg, .png, .html: compares the end of a path, in any case. */
bool fig_ends_with(const char *path, const char *lower);
/* The bytes as a file that replaces another; frees them. */
lens_status fig_save(lens_ctx *, const char *path, char *bytes, size_t size);

/* Appends to an empty *out; on failure the caller frees out->data. */
lens_status fig_svg(const lens_figure *, fig_bytes *out);
lens_status fig_png(const lens_figure *, fig_bytes *out);

#endif
