/* filters.c - the kernels of a convolution as a contact sheet.
 *
 * Invariant: all tiles share one scale, symmetric about zero, so tiles compare with each other and
 * colour shows the sign. (Stretching every kernel to its own range, as many figures do, hides both.)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum {
    MAX_CELL = 30,      /* large enough for "-0.12" in each cell */
    SHEET_HEIGHT = 600, /* a sheet taller than this gets smaller cells, down to MIN_CELL */
    MIN_CELL = 3,
    LARGEST_TILE = 600, /* kernels of more than LARGEST_TILE / MIN_CELL are drawn smaller yet */
    TILE_GAP = 8,
    LABEL_HEIGHT = 14,
    ROW_LABEL = 34,    /* "o 511" */
    MIN_LETTERED = 24, /* a column this wide is headed "c 12", a narrower one "12" */
    MAX_FILTERS = 64,
    MAX_CHANNELS = 16,
    BAR_WIDTH = 220
};

typedef struct sheet {
    int rows, cols;    /* of tiles */
    bool filters_down; /* a filter is a row of the matrix, else a column */
    double cell;       /* a whole number of px; 1/whole for kernels too large for MIN_CELL */
    double step_x, step_y;
} sheet;

static lens_status check(lens_ctx *ctx, const float *weights, int o, int c, int kh, int kw,
                         bool rgb) {
    if (!weights) return ctx_fail(ctx, LENS_BAD_ARG, "filters: no weights");
    if (o < 1 || c < 1 || kh < 1 || kw < 1)
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "filters: weights are %dx%dx%dx%d; every dimension "
                        "must be at least 1",
                        o, c, kh, kw);
    if (rgb && c != 3)
        return ctx_fail(ctx, LENS_BAD_SHAPE,
                        "filters: colour tiles need 3 input channels but the weights have %d", c);
    return LENS_OK;
}

/* Where the search for the best cell begins. */
static double largest_cell(int kh, int kw) {
    int longest = kh > kw ? kh : kw;
    return longest > LARGEST_TILE / MIN_CELL ? fig_zoom(longest, LARGEST_TILE) : MAX_CELL;
}

/* The largest cell that lets `tiles` tiles, wrapped to the width, fit in SHEET_HEIGHT. */
static sheet wrapped(int tiles, int kh, int kw, double room) {
    sheet s = { .cell = largest_cell(kh, kw) };
    for (;; s.cell--) {
        s.step_x = ceil(kw * s.cell) + TILE_GAP;
        s.step_y = ceil(kh * s.cell) + LABEL_HEIGHT + TILE_GAP;
        s.cols = (int)fmax(1, floor((room + TILE_GAP) / s.step_x));
        if (s.cols > tiles) s.cols = tiles;
        s.rows = (tiles + s.cols - 1) / s.cols;
        bool fits = s.rows * s.step_y <= SHEET_HEIGHT && kw * s.cell <= room;
        if (fits || s.cell <= MIN_CELL) return s;
    }
}

static sheet matrix_of(int rows, int cols, int kh, int kw, double room, bool filters_down) {
    sheet s = {
        .rows = rows, .cols = cols, .filters_down = filters_down, .cell = largest_cell(kh, kw)
    };
    for (;; s.cell--) {
        s.step_x = ceil(kw * s.cell) + TILE_GAP;
        s.step_y = ceil(kh * s.cell) + TILE_GAP;
        bool fits = s.rows * s.step_y <= SHEET_HEIGHT && ROW_LABEL + s.cols * s.step_x <= room;
        if (fits || s.cell <= MIN_CELL) return s;
    }
}

/* Filters by input channels, whichever way round gives the larger cells. */
static sheet matrix(int filters, int channels, int kh, int kw, double room) {
    sheet down = matrix_of(filters, channels, kh, kw, room, true);
    sheet across = matrix_of(channels, filters, kh, kw, room, false);
    return across.cell > down.cell ? across : down;
}

static void draw_wrapped(lens_figure *fig, double top, const sheet *s, const float *weights,
                         int tiles, int c, int kh, int kw, fig_scale *scale) {
    fig_font font = { .size = FIG_SMALL, .anchor = FIG_MIDDLE, .ink = FIG_GREY };
    for (int i = 0; i < tiles; i++) {
        double x = FIG_MARGIN + i % s->cols * s->step_x, y = top + i / s->cols * s->step_y;
        const float *w = weights + (size_t)i * c * kh * kw;
        if (c == 3)
            fig_matrix_rgb(fig, x, y, w, kh, kw, s->cell, scale);
        else
            fig_matrix(fig, x, y, w, kh, kw, s->cell, scale);
        char num[32];
        snprintf(num, sizeof num, "%d", i);
        fig_text_in(fig, NULL, x + kw * s->cell / 2.0, y + kh * s->cell + FIG_SMALL + 1,
                    kw * s->cell + TILE_GAP - 2, font, num);
    }
}

static void draw_matrix(lens_figure *fig, double top, const sheet *s, const float *weights, int c,
                        int kh, int kw, fig_scale *scale) {
    fig_font font = { .size = FIG_SMALL, .anchor = FIG_MIDDLE, .ink = FIG_GREY };
    char num[32], col = s->filters_down ? 'c' : 'o', row = s->filters_down ? 'o' : 'c';
    for (int j = 0; j < s->cols; j++) {
        snprintf(num, sizeof num, "%c %d", col, j);
        fig_text_in(fig, NULL, FIG_MARGIN + ROW_LABEL + j * s->step_x + kw * s->cell / 2.0, top - 4,
                    s->step_x - 2, font, s->step_x >= MIN_LETTERED ? num : num + 2);
    }
    font.anchor = FIG_END;
    for (int i = 0; i < s->rows; i++) {
        double y = top + i * s->step_y;
        snprintf(num, sizeof num, "%c %d", row, i);
        fig_text_in(fig, NULL, FIG_MARGIN + ROW_LABEL - 6,
                    y + kh * s->cell / 2.0 + FIG_SMALL * 0.36, ROW_LABEL - 6, font, num);
        for (int j = 0; j < s->cols; j++) {
            size_t at = s->filters_down ? (size_t)i * c + j : (size_t)j * c + i;
            fig_matrix(fig, FIG_MARGIN + ROW_LABEL + j * s->step_x, y, weights + at * kh * kw, kh,
                       kw, s->cell, scale);
        }
    }
}

/* The bar of colour tiles is grey: -limit dark, 0 mid grey, +limit bright. */
static double rgb_key(lens_figure *fig, double y, const fig_scale *scale) {
    char num[32];
    fig_font font = { .size = FIG_SMALL, .ink = FIG_GREY };
    fig_number(num, "%.3g", scale->limit);
    fig_printf(fig, FIG_MARGIN, y + FIG_SMALL, font,
               "colour = (R, G, B) weights: mid grey 0, dark \xe2\x88\x92%s, bright +%s", num, num);
    return y + FIG_SMALL * 1.3;
}

lens_status lens_figure_filters(lens_ctx *ctx, lens_figure **out, const float *weights, int o,
                                int c, int kh, int kw, const lens_figure_opts *opts) {
    bool rgb = opts && opts->rgb, single = c == 1 || rgb;
    LENS_TRY(check(ctx, weights, o, c, kh, kw, rgb));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    int filters = o < MAX_FILTERS ? o : MAX_FILTERS, channels = c < MAX_CHANNELS ? c : MAX_CHANNELS;
    double room = use.width - 2 * FIG_MARGIN;
    sheet s = single ? wrapped(filters, kh, kw, room) : matrix(filters, channels, kh, kw, room);
    double content = (single ? 0 : ROW_LABEL) + s.cols * s.step_x - TILE_GAP;
    fig_range range = { 0 };
    fig_widen(&range, weights, (size_t)o * (size_t)c * (size_t)kh * (size_t)kw);
    fig_scale scale = fig_scale_of(range, use.limit);
    scale.is_signed = true;
    char title[96], facts[96];
    snprintf(title, sizeof title,
             fig_say(fig, o == 1 ? "%d filter of %d\xc3\x97%d" : "%d filters of %d\xc3\x97%d"), o,
             kh, kw);
    snprintf(facts, sizeof facts, fig_say(fig, "weights %d\xc3\x97%d\xc3\x97%d\xc3\x97%d"), o, c,
             kh, kw);
    double y = fig_header(fig, fmax(content, BAR_WIDTH) + 2 * FIG_MARGIN,
                          use.title ? use.title : title, use.subtitle ? use.subtitle : facts);
    y = rgb ? rgb_key(fig, y, &scale) : fig_bar(fig, FIG_MARGIN, y, BAR_WIDTH, &scale);
    y = ceil(y + FIG_GAP + 4);
    if (single) {
        draw_wrapped(fig, y, &s, weights, filters, c, kh, kw, &scale);
        y += s.rows * s.step_y - TILE_GAP;
    } else {
        y += LABEL_HEIGHT;
        draw_matrix(fig, y, &s, weights, c, kh, kw, &scale);
        y += s.rows * s.step_y - TILE_GAP;
        fig_note(fig, s.filters_down ? "Rows: filters (o). Columns: input channels (c)."
                                     : "Columns: filters (o). Rows: input channels (c).");
    }
    fig_note(fig, "One scale for all tiles.");
    if (filters < o) fig_note(fig, "Showing the first %d of %d filters.", filters, o);
    if (!single && channels < c)
        fig_note(fig, "Showing the first %d of %d input channels.", channels, c);
    if (s.cell < 1) {
        int group = (int)(1 / s.cell + 0.5);
        fig_note(fig, "Each cell is the mean of %d\xc3\x97%d weights.", group, group);
    }
    if (range.limit == 0) fig_note(fig, "All weights are zero.");
    fig_note_scale(fig, &scale);
    return fig_end(fig, y, use.caption, out);
}
