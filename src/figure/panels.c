/* panels.c - a few large pictures or maps in a grid, each with its name, facts and scale.
 *
 * Invariant: every map has its own printed scale, symmetric about zero where a value is negative.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>
#include <string.h>

enum { MAX_TILES = 64, MAX_COLUMNS = 12, TILE_GAP = 18, NAME_LINE = 18, NOTE_LINE = 14, BAR = 26 };

static lens_status check(lens_ctx *ctx, const lens_figure_tile *tiles, size_t count, int columns) {
    if (!tiles || count < 1 || columns < 1 || columns > MAX_COLUMNS)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "tiles: %zu tiles in %d columns; columns run from 1 to %d",
                        tiles ? count : 0, columns, MAX_COLUMNS);
    for (size_t i = 0; i < count; i++) {
        const lens_figure_tile *t = &tiles[i];
        char what[48];
        snprintf(what, sizeof what, "tile %zu", i);
        LENS_TRY(fig_picture_check(ctx, &t->picture, what));
        if (!t->name) return ctx_fail(ctx, LENS_BAD_ARG, "tiles: tile %zu has no name", i);
        if (t->map && t->picture.c != 1)
            return ctx_fail(ctx, LENS_BAD_SHAPE, "tiles: tile %zu is a map of %d channels, not 1",
                            i, t->picture.c);
        if (t->h && (t->row < 0 || t->column < 0 || t->h < 0 || t->w < 1 ||
                     t->row > t->picture.h - t->h || t->column > t->picture.w - t->w))
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "tiles: the frame %dx%d at %d,%d leaves tile %zu of %dx%d", t->h, t->w,
                            t->row, t->column, i, t->picture.h, t->picture.w);
    }
    return LENS_OK;
}

static double zoom_of(const lens_figure_tile *t, double room) {
    double side = t->side > 0 && t->side < room ? t->side : room;
    return fig_zoom(t->picture.h > t->picture.w ? t->picture.h : t->picture.w, side);
}

/* What a tile of n cells takes at that zoom. */
static double extent(int n, double zoom) {
    return zoom >= 1 ? n * zoom : ceil(n / floor(1 / zoom + 0.5));
}

static int lines_of(const char *note) { return !note ? 0 : strchr(note, '\n') ? 2 : 1; }

static void draw_note(lens_figure *fig, double x, double y, double side, const char *note) {
    fig_font grey = { .size = FIG_SMALL, .ink = FIG_GREY };
    char first[160];
    size_t length = strcspn(note, "\n");
    if (length >= sizeof first) length = sizeof first - 1;
    memcpy(first, note, length);
    first[length] = 0;
    fig_text_in(fig, NULL, x, y, side, grey, first);
    if (note[length] == '\n')
        fig_text_in(fig, NULL, x, y + NOTE_LINE, side, grey, note + length + 1);
}

/* One tile of a column `side` px wide, zoomed for `room` px, whose cells start at y, in a row of cells `tall` px high. */
static void draw(lens_figure *fig, double x, double y, double side, double room, double tall,
                 bool bars, const lens_figure_tile *t, fig_scale *sum, int64_t *bad) {
    fig_font bold = { .size = FIG_LABEL, .bold = true, .ink = FIG_INK };
    double zoom = zoom_of(t, room);
    fig_text_in(fig, "label", x, y - 6, side, bold, t->name);
    if (t->map) {
        fig_range range = { 0 };
        fig_widen(&range, t->picture.data, (size_t)t->picture.h * (size_t)t->picture.w);
        fig_scale scale = fig_scale_of(range, t->limit);
        fig_matrix(fig, x, y, t->picture.data, t->picture.h, t->picture.w, zoom, &scale);
        fig_bar(fig, x, y + tall + 6, fmin(side, 140), &scale);
        sum->clipped += scale.clipped, sum->bad += scale.bad;
    } else {
        fig_picture(fig, "picture", x, y, &t->picture, zoom, bad);
    }
    if (t->h) {
        double left = x + t->column * zoom, top = y + t->row * zoom;
        double w = fmax(4, t->w * zoom), h = fmax(4, t->h * zoom);
        fig_rect(fig, NULL, left - 1, top - 1, w + 2, h + 2, fig_stroke(FIG_WHITE, 4));
        fig_rect(fig, "mark", left - 1, top - 1, w + 2, h + 2, fig_stroke(FIG_ORANGE, 2));
    }
    if (t->note) draw_note(fig, x, y + tall + (bars ? BAR + 4 : 0) + NOTE_LINE, side, t->note);
}

static double text_width(const lens_figure_tile *t) {
    double most = fig_measure(t->name, FIG_LABEL, true);
    return t->note ? fmax(most, fig_measure(t->note, FIG_SMALL, false) / lines_of(t->note)) : most;
}

/* The width of a column: at most `room`, and no wider than its tiles and texts need. */
static double column_width(const lens_figure_tile *tiles, size_t shown, double room) {
    double side = 0;
    for (size_t i = 0; i < shown; i++) {
        side = fmax(side, extent(tiles[i].picture.w, zoom_of(&tiles[i], room)) + 1);
        side = fmax(side, fmin(room, ceil(text_width(&tiles[i]))));
    }
    return fmin(side, room);
}

lens_status lens_figure_tiles(lens_ctx *ctx, lens_figure **out, const lens_figure_tile *tiles,
                              size_t count, int columns, const lens_figure_opts *opts) {
    LENS_TRY(check(ctx, tiles, count, columns));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    size_t shown = count < MAX_TILES ? count : MAX_TILES;
    if ((size_t)columns > shown) columns = (int)shown;
    double room = floor((use.width - 2 * FIG_MARGIN - (columns - 1) * TILE_GAP) / columns);
    double side = column_width(tiles, shown, room);
    double wide = 2 * FIG_MARGIN + columns * side + (columns - 1) * TILE_GAP;
    double y = ceil(fig_header(fig, wide, use.title ? use.title : "Panels", use.subtitle));
    fig_scale sum = { 0 };
    int64_t bad = 0;
    for (size_t first = 0; first < shown; first += (size_t)columns) {
        size_t last = first + (size_t)columns < shown ? first + (size_t)columns : shown;
        double tall = 0;
        bool bars = false;
        int lines = 0;
        for (size_t i = first; i < last; i++) {
            tall = fmax(tall, extent(tiles[i].picture.h, zoom_of(&tiles[i], room)));
            bars |= tiles[i].map;
            if (lines_of(tiles[i].note) > lines) lines = lines_of(tiles[i].note);
        }
        y += NAME_LINE;
        for (size_t i = first; i < last; i++)
            draw(fig, FIG_MARGIN + (double)(i - first) * (side + TILE_GAP), y, side, room, tall,
                 bars, &tiles[i], &sum, &bad);
        y += tall + (bars ? BAR + 4 : 0) + lines * NOTE_LINE + (last < shown ? TILE_GAP : 4);
    }
    char num[32];
    if (shown < count) fig_note(fig, "Showing the first %zu of %zu.", shown, count);
    if (bad) fig_note(fig, "%s pixels are NaN or infinite (magenta).", fig_count(num, bad));
    fig_note_scale(fig, &sum);
    return fig_end(fig, y, use.caption, out);
}
