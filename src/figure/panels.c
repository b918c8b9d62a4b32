/* panels.c - pictures and maps in a grid, each with its name, facts and scale, and signs between them
 * where they are terms of a sum.
 *
 * Invariant: every map says what its colours mean, by the numbers in its cells or by a printed scale,
 * symmetric about zero where a value is negative.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>
#include <string.h>

enum {
    MAX_TILES = 64,
    MAX_COLUMNS = 12,
    TILE_GAP = 18,
    SIGN_GAP = 34, /* a gap that holds a sign */
    SIGN_SIZE = 20,
    NAME_LINE = 18,
    NOTE_LINE = 14,
    BAR = 26,
    MIN_BAR = 60 /* its three numbers */
};

static bool is_empty(const lens_figure_tile *t) { return !t->picture.data; }

static lens_status check_marks(lens_ctx *ctx, const lens_figure_tile *t, size_t i) {
    if (t->mark_count < 0 || (t->mark_count && (!t->marks || is_empty(t))))
        return ctx_fail(ctx, LENS_BAD_ARG, "tiles: tile %zu has %d marks but no %s", i,
                        t->mark_count, is_empty(t) ? "cells" : "array of them");
    for (int k = 0; k < t->mark_count; k++) {
        const lens_figure_mark *m = &t->marks[k];
        if (m->row < 0 || m->column < 0 || m->h < 1 || m->w < 1 || m->row > t->picture.h - m->h ||
            m->column > t->picture.w - m->w)
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "tiles: the mark %dx%d at %d,%d leaves tile %zu of %dx%d", m->h, m->w,
                            m->row, m->column, i, t->picture.h, t->picture.w);
    }
    return LENS_OK;
}

static lens_status check(lens_ctx *ctx, const lens_figure_tile *tiles, size_t count, int columns) {
    if (!tiles || count < 1 || columns < 1 || columns > MAX_COLUMNS)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "tiles: %zu tiles in %d columns; columns run from 1 to %d",
                        tiles ? count : 0, columns, MAX_COLUMNS);
    for (size_t i = 0; i < count; i++) {
        const lens_figure_tile *t = &tiles[i];
        char what[48];
        snprintf(what, sizeof what, "tile %zu", i);
        if (!is_empty(t)) LENS_TRY(fig_picture_check(ctx, &t->picture, what));
        if (!t->name) return ctx_fail(ctx, LENS_BAD_ARG, "tiles: tile %zu has no name", i);
        if (t->map && t->picture.c != 1 && !is_empty(t))
            return ctx_fail(ctx, LENS_BAD_SHAPE, "tiles: tile %zu is a map of %d channels, not 1",
                            i, t->picture.c);
        LENS_TRY(check_marks(ctx, t, i));
    }
    return LENS_OK;
}

/* 0 for an empty place. */
static double zoom_of(const lens_figure_tile *t, double room) {
    if (is_empty(t)) return 0;
    return fig_zoom(t->picture.h > t->picture.w ? t->picture.h : t->picture.w,
                    t->side > 0 ? t->side : room);
}

/* What a tile of n cells takes at that zoom. */
static double extent(int n, double zoom) {
    return zoom >= 1 ? n * zoom : zoom > 0 ? ceil(n / floor(1 / zoom + 0.5)) : 0;
}

static bool has_bar(const lens_figure_tile *t, double room) {
    return t->map && !is_empty(t) && zoom_of(t, room) < FIG_NUMBER_CELL;
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

/* What one row of tiles has in common. */
typedef struct row {
    double y, tall; /* of its cells */
    bool bars, signs;
    bool shared; /* all tiles are maps of one limit, so one scale serves them */
    fig_scale scale;
    int lines; /* of notes */
} row;

/* The scale of `count` maps with the limit of the first. */
static fig_scale scale_of(const lens_figure_tile *t, size_t count) {
    fig_range range = { 0 };
    for (size_t i = 0; i < count; i++)
        fig_widen(&range, t[i].picture.data, (size_t)t[i].picture.h * (size_t)t[i].picture.w);
    return fig_scale_of(range, t->limit);
}

/* Diagonals from edge to edge of each cell. */
static void hatch(lens_figure *fig, double x, double y, double zoom, const lens_figure_mark *m) {
    for (int i = 0; i < m->h; i++)
        for (int j = 0; j < m->w; j++) {
            double left = x + (m->column + j) * zoom, top = y + (m->row + i) * zoom;
            fig_line(fig, left + 1, top + zoom - 1, left + zoom - 1, top + 1, FIG_EDGE, 0.75);
        }
}

static void draw_mark(lens_figure *fig, double x, double y, double zoom,
                      const lens_figure_mark *m) {
    double left = x + m->column * zoom, top = y + m->row * zoom;
    double w = fmax(4, m->w * zoom), h = fmax(4, m->h * zoom);
    fig_rgb tone = m->kind == LENS_MARK_FRAME ? FIG_ORANGE : FIG_BLUE;
    if (m->kind == LENS_MARK_ZERO) {
        hatch(fig, x, y, zoom, m);
    } else if (m->kind == LENS_MARK_HIDDEN) {
        fig_rect(fig, "hidden", left, top, w, h, fig_fill(FIG_FAINT));
    } else if (zoom >= FIG_GRID_CELL) { /* inside, so that frames of neighbours do not meet */
        fig_rect(fig, NULL, left + 1.5, top + 1.5, w - 3, h - 3, fig_stroke(FIG_WHITE, 3));
        fig_rect(fig, "mark", left + 1, top + 1, w - 2, h - 2, fig_stroke(tone, 2));
    } else {
        fig_rect(fig, NULL, left - 1, top - 1, w + 2, h + 2, fig_stroke(FIG_WHITE, 4));
        fig_rect(fig, "mark", left - 1, top - 1, w + 2, h + 2, fig_stroke(tone, 2));
    }
}

/* One tile at x, in a column `side` px wide and zoomed for `room` px. Terms stand about the middle of
 * their row, other tiles at its top. */
static void draw(lens_figure *fig, double x, double side, double room, const row *r,
                 const lens_figure_tile *t, bool first, fig_scale *sum, int64_t *bad) {
    fig_font bold = { .size = FIG_LABEL, .bold = true, .ink = FIG_INK };
    double zoom = zoom_of(t, room);
    double tall = extent(t->picture.h, zoom), y = r->y;
    if (r->signs)
        y += floor((r->tall - tall) / 2);
    else
        tall = r->tall;
    fig_text_in(fig, "label", x, y - 6, side, bold, t->name);
    if (!is_empty(t) && t->map) {
        fig_scale scale = r->shared ? r->scale : scale_of(t, 1);
        fig_matrix(fig, x, y, t->picture.data, t->picture.h, t->picture.w, zoom, &scale);
        if (has_bar(t, room) && (!r->shared || first))
            fig_bar(fig, x, r->y + r->tall + 6, fmin(fmax(side, MIN_BAR), 140), &scale);
        sum->clipped += scale.clipped, sum->bad += scale.bad;
    } else if (!is_empty(t)) {
        fig_picture(fig, "picture", x, y, &t->picture, zoom, bad);
    }
    for (int i = 0; i < t->mark_count; i++) draw_mark(fig, x, y, zoom, &t->marks[i]);
    if (t->note) draw_note(fig, x, y + tall + (r->bars ? BAR + 4 : 0) + NOTE_LINE, side, t->note);
    if (t->sign) {
        fig_font big = { .size = SIGN_SIZE, .anchor = FIG_MIDDLE, .ink = FIG_INK };
        fig_text(fig, "sign", x - SIGN_GAP / 2.0, r->y + r->tall / 2 + SIGN_SIZE * 0.36, big,
                 t->sign);
    }
}

static double text_width(const lens_figure_tile *t) {
    double most = fig_measure(t->name, FIG_LABEL, true);
    return t->note ? fmax(most, fig_measure(t->note, FIG_SMALL, false) / lines_of(t->note)) : most;
}

/* Left edges and widths of the columns; a column is no wider than its tiles and texts need, and its
 * texts have at most `room`. Returns where the last one ends. */
typedef struct columns {
    int count;
    double x[MAX_COLUMNS], side[MAX_COLUMNS];
} columns;

static double place_columns(columns *c, const lens_figure_tile *tiles, size_t shown, double room) {
    double x = FIG_MARGIN;
    for (int j = 0; j < c->count; j++) {
        bool sign = false;
        c->side[j] = 0;
        for (size_t i = (size_t)j; i < shown; i += (size_t)c->count) {
            double cells = extent(tiles[i].picture.w, zoom_of(&tiles[i], room)) + 1;
            c->side[j] = fmax(c->side[j], fmax(cells, fmin(room, ceil(text_width(&tiles[i])))));
            sign |= tiles[i].sign != NULL;
        }
        c->x[j] = x += j ? (sign ? SIGN_GAP : TILE_GAP) : 0;
        x += c->side[j];
    }
    return x;
}

static row row_of(const lens_figure_tile *tiles, size_t count, double room) {
    row r = { .shared = count > 1 };
    for (size_t i = 0; i < count; i++) {
        r.shared &= tiles[i].map && !is_empty(&tiles[i]) && tiles[i].limit > 0 &&
                    tiles[i].limit == tiles[0].limit;
        r.tall = fmax(r.tall, extent(tiles[i].picture.h, zoom_of(&tiles[i], room)));
        r.bars |= has_bar(&tiles[i], room);
        r.signs |= tiles[i].sign != NULL;
        if (lines_of(tiles[i].note) > r.lines) r.lines = lines_of(tiles[i].note);
    }
    if (r.shared) r.scale = scale_of(tiles, count);
    return r;
}

lens_status lens_figure_tiles(lens_ctx *ctx, lens_figure **out, const lens_figure_tile *tiles,
                              size_t count, int columns_asked, const lens_figure_opts *opts) {
    LENS_TRY(check(ctx, tiles, count, columns_asked));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    size_t shown = count < MAX_TILES ? count : MAX_TILES;
    columns c = { .count = (size_t)columns_asked > shown ? (int)shown : columns_asked };
    double room = floor((use.width - 2 * FIG_MARGIN - (c.count - 1) * TILE_GAP) / c.count);
    double end = place_columns(&c, tiles, shown, room);
    double y = ceil(fig_header(fig, end + FIG_MARGIN,
                               use.title ? use.title : fig_say(fig, "Panels"), use.subtitle));
    fig_scale sum = { 0 };
    int64_t bad = 0;
    for (size_t first = 0; first < shown; first += (size_t)c.count) {
        size_t last = first + (size_t)c.count < shown ? first + (size_t)c.count : shown;
        row r = row_of(tiles + first, last - first, room);
        r.y = y += NAME_LINE;
        for (size_t i = first; i < last; i++)
            draw(fig, c.x[i - first], c.side[i - first], room, &r, &tiles[i], i == first, &sum,
                 &bad);
        y += r.tall + (r.bars ? BAR + 4 : 0) + r.lines * NOTE_LINE + (last < shown ? TILE_GAP : 4);
    }
    char num[32];
    if (shown < count) fig_note(fig, "Showing the first %zu of %zu.", shown, count);
    if (bad) fig_note(fig, "%s pixels are NaN or infinite (magenta).", fig_count(num, bad));
    fig_note_scale(fig, &sum);
    return fig_end(fig, y, use.caption, out);
}
