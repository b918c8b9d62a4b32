/* confusion.c - a confusion matrix: shares of the rows as colour, counts as numbers.
 *
 * Invariant: recall, precision and accuracy are of the whole matrix, also when only part is drawn.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum {
    MAX_CELL = 46,
    MIN_CELL = 7,
    COUNT_CELL = 22, /* cells this large carry their count */
    NAME_CELL = 11,  /* below this, names would overlap: every n-th is written */
    MAX_CLASSES = 128,
    NAME_ROOM = 110, /* at most, for class names */
    RATE_ROOM = 50,  /* "recall" and "0.812" */
    BAR_WIDTH = 180
};

typedef struct layout {
    int shown, every;    /* classes drawn; one name every so many */
    double cell, size;   /* size of the names */
    double names, heads; /* room for names at the left and on top */
    bool upright;        /* names on top are rotated */
    double left, top;    /* of the first cell */
    const char *const *name;
} layout;

static const char *class_name(const layout *l, int i, char buf[16]) {
    if (l->name && l->name[i]) return l->name[i];
    snprintf(buf, 16, "%d", i);
    return buf;
}

static lens_status check(lens_ctx *ctx, const int64_t *counts, int k) {
    if (!counts || k < 1) return ctx_fail(ctx, LENS_BAD_ARG, "confusion: no classes to draw");
    int64_t left = INT64_MAX;
    for (size_t i = 0; i < (size_t)k * (size_t)k; i++) {
        if (counts[i] < 0)
            return ctx_fail(ctx, LENS_BAD_ARG, "confusion: row %zu, column %zu counts %lld samples",
                            i / (size_t)k, i % (size_t)k, (long long)counts[i]);
        if (counts[i] > left)
            return ctx_fail(ctx, LENS_BAD_ARG, "confusion: the counts add up to more than %lld",
                            (long long)INT64_MAX);
        left -= counts[i];
    }
    return LENS_OK;
}

static int64_t row_sum(const int64_t *counts, int k, int i) {
    int64_t sum = 0;
    for (int j = 0; j < k; j++) sum += counts[(size_t)i * k + j];
    return sum;
}

static int64_t col_sum(const int64_t *counts, int k, int j) {
    int64_t sum = 0;
    for (int i = 0; i < k; i++) sum += counts[(size_t)i * k + j];
    return sum;
}

static const char *rate(char buf[32], int64_t part, int64_t whole) {
    return whole ? fig_number(buf, "%.3f", (double)part / (double)whole) : "-";
}

static layout plan(const lens_figure_opts *use, int k, const char *const *names) {
    layout l = { .shown = k < MAX_CLASSES ? k : MAX_CLASSES, .name = names };
    char buf[16];
    double widest = 0, precision = fig_measure("precision", FIG_SMALL, false);
    for (int i = 0; i < l.shown; i++)
        widest = fmax(widest, fig_measure(class_name(&l, i, buf), FIG_NOTE, false));
    widest = fmin(widest, NAME_ROOM);
    l.names = ceil(fmax(widest, precision)) + FIG_GAP;
    /* "true class" stands upright left of the names. */
    double room = use->width - 2 * FIG_MARGIN - FIG_NOTE - FIG_GAP - l.names - RATE_ROOM;
    l.cell = fmin(fmax(floor(room / l.shown), MIN_CELL), MAX_CELL);
    l.every = l.cell >= NAME_CELL ? 1 : (int)ceil(NAME_CELL / l.cell);
    l.size = fmin(FIG_NOTE, fmax(l.cell * l.every - 1, FIG_TINY));
    l.upright = widest > l.cell * l.every - 3;
    l.heads = (l.upright ? ceil(widest) : FIG_NOTE) + FIG_GAP;
    l.left = FIG_MARGIN + FIG_NOTE + FIG_GAP + l.names;
    return l;
}

static void draw_cells(lens_figure *fig, const layout *l, const int64_t *counts, int k,
                       fig_scale *scale) {
    uint8_t *rgb = ctx_alloc(fig->ctx, (size_t)l->shown * (size_t)l->shown, 3);
    fig_image(fig, "matrix", l->left, l->top, l->shown * l->cell, l->shown * l->cell, rgb, l->shown,
              l->shown);
    if (fig->failed != LENS_OK) return;
    char num[32];
    for (int i = 0; i < l->shown; i++) {
        int64_t whole = row_sum(counts, k, i);
        for (int j = 0; j < l->shown; j++) {
            int64_t n = counts[(size_t)i * k + j];
            fig_rgb tone = fig_colour(scale, whole ? (double)n / (double)whole : 0);
            uint8_t *p = rgb + 3 * ((size_t)i * l->shown + j);
            p[0] = tone.r, p[1] = tone.g, p[2] = tone.b;
            if (l->cell < COUNT_CELL || n == 0) continue;
            fig_font font = { .size = FIG_NOTE, .bold = i == j, .anchor = FIG_MIDDLE };
            font.ink = fig_contrast(tone);
            fig_text_in(fig, "count", l->left + (j + 0.5) * l->cell,
                        l->top + (i + 0.5) * l->cell + FIG_NOTE * 0.36, l->cell - 3, font,
                        fig_count(num, n));
        }
    }
    if (l->cell < FIG_GRID_CELL) return;
    double side = l->shown * l->cell;
    for (int i = 1; i < l->shown; i++) {
        double at = i * l->cell;
        fig_line(fig, l->left, l->top + at, l->left + side, l->top + at, FIG_WHITE, 1);
        fig_line(fig, l->left + at, l->top, l->left + at, l->top + side, FIG_WHITE, 1);
    }
}

static void draw_names(lens_figure *fig, const layout *l) {
    char buf[16];
    fig_font row = { .size = l->size, .anchor = FIG_END, .ink = FIG_INK };
    fig_font col = { .size = l->size, .ink = FIG_INK, .up = l->upright };
    if (!l->upright) col.anchor = FIG_MIDDLE;
    for (int i = 0; i < l->shown; i += l->every) {
        double centre = (i + 0.5) * l->cell, base = centre + l->size * 0.36;
        const char *name = class_name(l, i, buf);
        fig_text_in(fig, NULL, l->left - 6, l->top + base, l->names - 6, row, name);
        fig_text_in(fig, NULL, l->left + (l->upright ? base : centre), l->top - 6,
                    (l->upright ? l->heads - 6 : l->cell * l->every - 2), col, name);
    }
}

static void draw_rates(lens_figure *fig, const layout *l, const int64_t *counts, int k) {
    double side = l->shown * l->cell, right = l->left + side, below = l->top + side;
    fig_font head = { .size = FIG_SMALL, .ink = FIG_GREY };
    fig_text(fig, NULL, right + FIG_GAP, l->top - 6, head, fig_say(fig, "recall"));
    head.anchor = FIG_END;
    /* Under narrow cells the numbers stand upright. */
    char num[32];
    fig_font font = { .size = fmin(l->size, FIG_SMALL), .ink = FIG_INK };
    bool up = l->cell < fig_measure("0.000", font.size, false) + 3;
    fig_text(fig, NULL, l->left - 6, below + 2 + FIG_SMALL + (up ? FIG_SMALL : 0), head,
             fig_say(fig, "precision"));
    for (int i = 0; i < l->shown; i += l->every) {
        double centre = (i + 0.5) * l->cell;
        int64_t hit = counts[(size_t)i * k + i];
        font.up = false, font.anchor = FIG_START;
        fig_text(fig, "recall", right + FIG_GAP, l->top + centre + font.size * 0.36, font,
                 rate(num, hit, row_sum(counts, k, i)));
        font.up = up, font.anchor = up ? FIG_END : FIG_MIDDLE;
        fig_text(fig, "precision", l->left + centre + (up ? font.size * 0.36 : 0),
                 up ? below + 4 : below + 2 + FIG_SMALL, font,
                 rate(num, hit, col_sum(counts, k, i)));
    }
}

lens_status lens_figure_confusion(lens_ctx *ctx, lens_figure **out, const int64_t *counts, int k,
                                  const char *const *names, const lens_figure_opts *opts) {
    LENS_TRY(check(ctx, counts, k));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    layout l = plan(&use, k, names);
    double side = l.shown * l.cell;
    int64_t right = 0, all = 0;
    for (int i = 0; i < k; i++) {
        right += counts[(size_t)i * k + i];
        all += row_sum(counts, k, i);
    }
    char facts[128], num[3][32];
    snprintf(facts, sizeof facts, fig_say(fig, "accuracy %s (%s of %s)"),
             all ? fig_number(num[0], "%.4f", (double)right / (double)all) : "-",
             fig_count(num[1], right), fig_count(num[2], all));
    double y = fig_header(fig, l.left + side + RATE_ROOM + FIG_MARGIN,
                          use.title ? use.title : fig_say(fig, "Confusion matrix"), facts);
    if (use.subtitle) {
        fig_font grey = { .size = FIG_LABEL, .ink = FIG_GREY };
        y = fig_wrapped(fig, FIG_MARGIN, y, fig->width - 2 * FIG_MARGIN, grey, use.subtitle);
    }
    fig_font axis = { .size = FIG_NOTE, .bold = true, .anchor = FIG_MIDDLE, .ink = FIG_INK };
    fig_text(fig, NULL, l.left + side / 2, y + FIG_GAP, axis, fig_say(fig, "predicted class"));
    l.top = ceil(y + 2 * FIG_GAP + l.heads);
    axis.up = true;
    fig_text_in(fig, NULL, FIG_MARGIN + FIG_NOTE * FIG_ASCENT, l.top + side / 2,
                fmax(side, 2 * l.names), axis, fig_say(fig, "true class"));
    /* With a limit above the largest share, like 0.1, rare confusions become visible. */
    fig_scale scale = { .limit = use.limit > 0 ? use.limit : 1 };
    draw_cells(fig, &l, counts, k, &scale);
    draw_names(fig, &l);
    draw_rates(fig, &l, counts, k);
    bool up = l.cell < 30;
    y = fig_bar(fig, l.left, l.top + side + (up ? 34 : 22), fmin(BAR_WIDTH, fmax(side, 60)),
                &scale);
    fig_note(fig, "Colour: share of the true class (row).");
    if (l.shown < k) fig_note(fig, "Showing the first %d of %d classes.", l.shown, k);
    if (l.every > 1) fig_note(fig, "One class in %d is named.", l.every);
    fig_note_scale(fig, &scale);
    return fig_end(fig, y, use.caption, out);
}
