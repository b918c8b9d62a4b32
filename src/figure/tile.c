/* tile.c - matrices and pictures as tiles, and the colour bar that says what their colours mean.
 *
 * Invariant: data is read, never changed; what is clipped or not finite is counted, not hidden.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum { BAR_HEIGHT = 9, BAR_CELLS = 128 };

double fig_zoom(int n, double room) {
    return room >= n ? floor(room / n) : 1 / ceil(n / floor(room));
}

/* n x n values that share a pixel when zoom is 1/n; 1 otherwise. */
static int group_of(double zoom) { return zoom >= 1 ? 1 : (int)(1 / zoom + 0.5); }

/* Mean over the group at (y, x): NaN or infinite as soon as one value is. */
static double mean_at(const float *data, int h, int w, int group, int y, int x) {
    double sum = 0;
    int n = 0;
    for (int i = y * group; i < h && i < (y + 1) * group; i++)
        for (int j = x * group; j < w && j < (x + 1) * group; j++, n++)
            sum += data[(size_t)i * w + j];
    return sum / n;
}

/* As many digits as a cell has room for. */
static const char *number_format(double v, bool whole, double zoom) {
    if (whole) return "%.0f";
    if (zoom >= 1.5 * FIG_NUMBER_CELL) return "%.5g";
    return fabs(v) < 9.995 ? "%.2f" : fabs(v) < 99.95 ? "%.1f" : fabs(v) < 1000 ? "%.0f" : "%.0e";
}

static void cell_marks(lens_figure *fig, double x, double y, const float *data, int h, int w,
                       double zoom, fig_scale *scale) {
    for (int i = 1; i < h; i++)
        fig_line(fig, x, y + i * zoom, x + w * zoom, y + i * zoom, FIG_WHITE, 0.5);
    for (int j = 1; j < w; j++)
        fig_line(fig, x + j * zoom, y, x + j * zoom, y + h * zoom, FIG_WHITE, 0.5);
    fig_scale quiet = *scale; /* the colours were counted already */
    bool whole = true;        /* then numbers have no decimals */
    for (size_t i = 0; i < (size_t)h * (size_t)w; i++)
        whole &= data[i] == floorf(data[i]) && fabsf(data[i]) < 1e5f;
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            double v = data[(size_t)i * w + j], cx = x + j * zoom, cy = y + i * zoom, in = zoom / 4;
            if (!isfinite(v)) {
                fig_line(fig, cx + in, cy + in, cx + zoom - in, cy + zoom - in, FIG_WHITE, 1.5);
                fig_line(fig, cx + zoom - in, cy + in, cx + in, cy + zoom - in, FIG_WHITE, 1.5);
            } else if (zoom >= FIG_NUMBER_CELL) {
                char num[32];
                fig_font font = { .size = FIG_SMALL, .anchor = FIG_MIDDLE };
                font.ink = fig_contrast(fig_colour(&quiet, v));
                fig_number(num, number_format(v, whole, zoom), v);
                fig_text_in(fig, NULL, cx + zoom / 2, cy + zoom / 2 + FIG_SMALL * 0.36, zoom - 2,
                            font, num);
            }
        }
}

/* The outline lies just outside the cells, so that it hides none of them. */
static void frame(lens_figure *fig, double x, double y, double w, double h) {
    fig_rect(fig, NULL, x - 0.5, y - 0.5, w + 1, h + 1, fig_stroke(FIG_FAINT, 1));
}

void fig_matrix(lens_figure *fig, double x, double y, const float *data, int h, int w, double zoom,
                fig_scale *scale) {
    int group = group_of(zoom), ih = (h + group - 1) / group, iw = (w + group - 1) / group;
    uint8_t *rgb = ctx_alloc(fig->ctx, (size_t)ih * (size_t)iw, 3);
    for (int i = 0; rgb && i < ih; i++)
        for (int j = 0; j < iw; j++) {
            fig_rgb tone = fig_colour(scale, mean_at(data, h, w, group, i, j));
            uint8_t *p = rgb + 3 * ((size_t)i * iw + j);
            p[0] = tone.r, p[1] = tone.g, p[2] = tone.b;
        }
    double side = zoom * group;
    fig_image(fig, "tile", x, y, iw * side, ih * side, rgb, iw, ih);
    frame(fig, x, y, iw * side, ih * side);
    if (zoom >= FIG_GRID_CELL) cell_marks(fig, x, y, data, h, w, zoom, scale);
}

/* One channel: value at `low` is 0, at `high` is 255. */
static uint8_t level(double v, double low, double high) {
    double t = high != low ? (v - low) / (high - low) : 0.5;
    return (uint8_t)(fmin(fmax(t, 0), 1) * 255 + 0.5);
}

/* C planes of h x w as one colour tile. */
static void planes(lens_figure *fig, const char *role, double x, double y, const float *data, int c,
                   int h, int w, double zoom, double low, double high, int64_t *clipped,
                   int64_t *bad) {
    int group = group_of(zoom), ih = (h + group - 1) / group, iw = (w + group - 1) / group;
    uint8_t *rgb = ctx_alloc(fig->ctx, (size_t)ih * (size_t)iw, 3);
    for (int i = 0; rgb && i < ih; i++)
        for (int j = 0; j < iw; j++) {
            uint8_t *p = rgb + 3 * ((size_t)i * iw + j);
            bool finite = true;
            for (int k = 0; k < 3; k++) {
                size_t plane = (size_t)(c == 3 ? k : 0) * (size_t)h * (size_t)w;
                double v = mean_at(data + plane, h, w, group, i, j);
                if (k < c && isfinite(v) && (v < fmin(low, high) || v > fmax(low, high)))
                    ++*clipped;
                if (!isfinite(v)) finite = false;
                p[k] = isfinite(v) ? level(v, low, high) : 0;
            }
            if (finite) continue;
            ++*bad;
            p[0] = FIG_BAD.r, p[1] = FIG_BAD.g, p[2] = FIG_BAD.b;
        }
    double side = zoom * group;
    fig_image(fig, role, x, y, iw * side, ih * side, rgb, iw, ih);
    frame(fig, x, y, iw * side, ih * side);
}

void fig_matrix_rgb(lens_figure *fig, double x, double y, const float *data, int h, int w,
                    double zoom, fig_scale *scale) {
    planes(fig, "tile", x, y, data, 3, h, w, zoom, -scale->limit, scale->limit, &scale->clipped,
           &scale->bad);
}

void fig_picture(lens_figure *fig, const char *role, double x, double y,
                 const lens_figure_picture *pic, double zoom, int64_t *bad) {
    bool usual = pic->black == 0 && pic->white == 0;
    int64_t clipped = 0; /* pictures are for looking at: the header says they are clipped */
    planes(fig, role, x, y, pic->data, pic->c, pic->h, pic->w, zoom, usual ? 0 : pic->black,
           usual ? 1 : pic->white, &clipped, bad);
}

lens_status fig_picture_check(lens_ctx *ctx, const lens_figure_picture *pic, const char *what) {
    if (!pic->data) return ctx_fail(ctx, LENS_BAD_ARG, "figure: %s has no data", what);
    if ((pic->c != 1 && pic->c != 3) || pic->h < 1 || pic->w < 1)
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "figure: %s is %dx%dx%d but a picture has 1 or 3 channels and at least one "
                        "pixel",
                        what, pic->c, pic->h, pic->w);
    if (!isfinite(pic->black) || !isfinite(pic->white))
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "figure: %s has black %g and white %g; both must be "
                        "finite",
                        what, pic->black, pic->white);
    return LENS_OK;
}

double fig_bar(lens_figure *fig, double x, double y, double width, const fig_scale *scale) {
    uint8_t *rgb = ctx_alloc(fig->ctx, BAR_CELLS, 3);
    for (int i = 0; rgb && i < BAR_CELLS; i++) {
        double t = (double)i / (BAR_CELLS - 1);
        fig_rgb tone = scale->is_signed ? fig_diverging(2 * t - 1) : fig_sequential(t);
        rgb[3 * i] = tone.r, rgb[3 * i + 1] = tone.g, rgb[3 * i + 2] = tone.b;
    }
    fig_image(fig, "scale", x, y, width, BAR_HEIGHT, rgb, BAR_CELLS, 1);
    fig_rect(fig, NULL, x, y, width, BAR_HEIGHT, fig_stroke(FIG_EDGE, 0.5));
    char low[32], high[32];
    fig_font font = { .size = FIG_SMALL, .ink = FIG_GREY };
    double base = y + BAR_HEIGHT + FIG_SMALL + 1, room = width * 0.4;
    fig_number(low, "%.3g", scale->is_signed ? -scale->limit : 0);
    fig_number(high, scale->is_signed ? "%+.3g" : "%.3g", scale->limit);
    fig_text_in(fig, NULL, x, base, room, font, low);
    if (scale->is_signed) {
        font.anchor = FIG_MIDDLE;
        fig_text(fig, NULL, x + width / 2, base, font, "0");
    }
    font.anchor = FIG_END;
    fig_text_in(fig, NULL, x + width, base, room, font, high);
    return base + FIG_SMALL * FIG_DESCENT;
}

void fig_note_scale(lens_figure *fig, const fig_scale *scale) {
    char num[32];
    if (scale->clipped)
        fig_note(fig,
                 scale->clipped == 1 ? "%s value lies beyond the scale, drawn in its end colour."
                                     : "%s values lie beyond the scale, drawn in its end colour.",
                 fig_count(num, scale->clipped));
    if (scale->bad)
        fig_note(fig,
                 scale->bad == 1 ? "%s value is NaN or infinite (magenta)."
                                 : "%s values are NaN or infinite (magenta).",
                 fig_count(num, scale->bad));
}
