/* board.c - boards: tiles of numbers with signs between them, drawn and written.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELL = 28,       /* carries its number */
    LARGEST = 14,    /* cells of a side that are drawn so large */
    SMALL_SIDE = 200 /* px of larger maps */
};

void *board_own(board *b, void *memory) {
    if (b->owns == b->room) {
        b->room = b->room ? 2 * b->room : 64;
        void **larger = take((size_t)b->room, sizeof *larger);
        if (b->owns) memcpy(larger, b->owned, (size_t)b->owns * sizeof *larger);
        free(b->owned);
        b->owned = larger;
    }
    return b->owned[b->owns++] = memory;
}

char *board_text(board *b, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return board_own(b, say_text("%s", text));
}

static lens_figure_tile *next_tile(board *b) {
    assert(b->tiles < (int)(sizeof b->tile / sizeof *b->tile));
    lens_figure_tile *t = &b->tile[b->tiles++];
    *t = (lens_figure_tile){ .name = "" };
    return t;
}

lens_figure_tile *board_map(board *b, const char *sign, const char *name, const float *x, int h,
                            int w) {
    size_t n = (size_t)h * (size_t)w;
    int longest = h > w ? h : w;
    lens_figure_tile *t = next_tile(b);
    float *copy = board_own(b, take(n, sizeof *copy));
    memcpy(copy, x, n * sizeof *copy);
    *t = (lens_figure_tile){ .name = name,
                             .picture = { copy, 1, h, w, 0, 0 },
                             .map = true,
                             .side = longest <= LARGEST ? CELL * longest : SMALL_SIDE,
                             .sign = sign };
    return t;
}

lens_figure_tile *board_number(board *b, const char *sign, const char *name, double x) {
    lens_figure_tile *t = board_map(b, sign, name, &(float){ (float)x }, 1, 1);
    t->side = 1.5 * CELL;
    return t;
}

void board_empty(board *b, int count) {
    while (count-- > 0) next_tile(b);
}

void board_mark(board *b, lens_figure_tile *t, lens_figure_mark_kind kind, int row, int column,
                int h, int w) {
    lens_figure_mark *marks = board_own(b, take((size_t)t->mark_count + 1, sizeof *marks));
    if (t->mark_count) memcpy(marks, t->marks, (size_t)t->mark_count * sizeof *marks);
    marks[t->mark_count++] = (lens_figure_mark){ kind, row, column, h, w };
    t->marks = marks;
}

lens_status board_draw(cli *c, const board *b, lens_figure **figure, int columns, const char *title,
                       const char *subtitle) {
    lens_figure_opts look = figure_opts(c, title);
    look.subtitle = subtitle;
    return lens_figure_tiles(c->ctx, figure, b->tile, (size_t)b->tiles, columns, &look);
}

void board_free(board *b) {
    for (int i = 0; i < b->owns; i++) free(b->owned[i]);
    free(b->owned);
    *b = (board){ 0 };
}

/* Every map and picture of the board: (h,w) or (c,h,w). */
static void record_board(record *r, const board *b) {
    for (int i = 0; i < b->tiles; i++) {
        const lens_figure_picture *p = &b->tile[i].picture;
        const int dim[] = { p->c, p->h, p->w };
        bool single = p->c == 1;
        if (p->data) record_floats(r, b->tile[i].name, p->data, single ? 2 : 3, dim + single);
    }
}

int board_finish(cli *c, board *b, int columns, const char *title, const char *subtitle,
                 record *behind) {
    lens_figure *figure = NULL;
    lens_status status = board_draw(c, b, &figure, columns, title, subtitle);
    if (!behind) record_board(behind = record_new(), b);
    int result = finish(c, status, figure, behind);
    board_free(b);
    return result;
}
