/* arch.c - a network drawn layer by layer: stacks of sheets to one scale, or compact blocks.
 *
 * Invariant: one "node" primitive per layer group is its name; every layer carries its shape.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>
#include <string.h>

enum {
    MAX_DRAWN = 16,     /* layers as stacks of sheets; more become blocks */
    LARGEST_SIDE = 96,  /* of the widest map, and of the largest dense layer as a bar */
    SMALLEST_SIDE = 48, /* the same, when that lets the network stand in one row */
    SIDE_STEP = 8,
    BAR_WIDTH = 10,
    MAX_SHEETS = 12, /* of one stack */
    LINE = 14,
    COLUMN_GAP = 22, /* holds the arrow */
    ROW_GAP = 24,
    BLOCK_WIDTH = 116,
    BLOCK_HEIGHT = 26,
    MAX_BLOCKS = 400
};

#define SHEET_STEP 3.0 /* sheets of a stack are shifted by this, right and down */
#define SMALLEST   3.0 /* a 1 x 1 map would vanish at the common scale */

typedef struct tint {
    const char *word;
    fig_rgb fill;
} tint;

/* By a word of the kind ("5x5 conv2d"). Names and shapes tell the layers apart; the tint only helps. */
static const tint tints[] = {
    { "conv", { 212, 227, 249 } },      { "dense", { 247, 220, 205 } },
    { "linear", { 247, 220, 205 } },    { "pool", { 214, 232, 220 } },
    { "max", { 214, 232, 220 } },       { "average", { 214, 232, 220 } },
    { "subsample", { 214, 232, 220 } },
};

static fig_rgb tint_of(const lens_figure_block *b) {
    for (size_t i = 0; b->kind && i < LENS_COUNT(tints); i++)
        if (strstr(b->kind, tints[i].word)) return tints[i].fill;
    return (fig_rgb){ 240, 240, 240 };
}

static bool is_flat(const lens_figure_block *b) { return b->h == 1 && b->w == 1; }

/* The lines under a layer: name, kind, shape, parameters, MACs; empty ones are left out. */
typedef struct lines {
    char text[5][96];
    int count;
} lines;

static void add(lines *l, const char *text) {
    if (text && *text) snprintf(l->text[l->count++], sizeof l->text[0], "%s", text);
}

/* 416520 -> "417 k": three figures are what a drawing can use. */
static void add_amount(lines *l, int64_t n, const char *unit) {
    static const struct {
        double unit;
        const char *name;
    } units[] = { { 1e12, " T" }, { 1e9, " G" }, { 1e6, " M" } };
    if (n <= 0) return;
    char num[32], text[96];
    const char *suffix = "";
    fig_count(num, n);
    for (size_t i = 0; i < LENS_COUNT(units); i++)
        if ((double)n >= units[i].unit) {
            fig_number(num, "%.3g", (double)n / units[i].unit);
            suffix = units[i].name;
            break;
        }
    snprintf(text, sizeof text, "%s%s %s", num, suffix, unit);
    add(l, text);
}

static lines describe(const lens_figure *fig, const lens_figure_block *b, bool with_kind) {
    lines l = { .count = 0 };
    char shape[96];
    if (is_flat(b))
        snprintf(shape, sizeof shape, "%d", b->c);
    else
        snprintf(shape, sizeof shape, "%d\xc3\x97%d\xc3\x97%d", b->c, b->h, b->w);
    add(&l, b->name);
    if (with_kind && b->kind && strcmp(b->kind, b->name) != 0) add(&l, b->kind);
    add(&l, shape);
    add_amount(&l, b->params, fig_say(fig, b->params == 1 ? "parameter" : "params"));
    add_amount(&l, b->macs, b->macs == 1 ? "MAC" : "MACs");
    return l;
}

static void write_lines(lens_figure *fig, double centre, double y, double room, const lines *l) {
    fig_font font = { .size = FIG_LABEL, .bold = true, .anchor = FIG_MIDDLE, .ink = FIG_INK };
    for (int i = 0; i < l->count; i++) {
        fig_text_in(fig, i == 0 ? "node" : NULL, centre, y + (i + 1) * LINE - 3, room, font,
                    l->text[i]);
        font = (fig_font){ .size = FIG_SMALL, .anchor = FIG_MIDDLE, .ink = FIG_GREY };
    }
}

static void arrow(lens_figure *fig, double x0, double x1, double y) {
    double xy[] = { x1 - 4, y - 3, x1, y, x1 - 4, y + 3 };
    fig_line(fig, x0, y, x1, y, FIG_EDGE, 1);
    fig_polyline(fig, NULL, xy, 3, FIG_EDGE, 1);
}

/* Stacks of sheets ------------------------------------------------------------------------------- */

typedef struct scales {
    double per_pixel; /* drawn px per map pixel */
    double per_unit;  /* drawn px per dense unit */
} scales;

typedef struct glyph_size {
    double w, h, sheet_w, sheet_h;
    int sheets;
} glyph_size;

static glyph_size size_of(const lens_figure_block *b, const scales *s) {
    if (is_flat(b)) {
        double h = fmax(b->c * s->per_unit, SMALLEST);
        return (
            glyph_size){ .w = BAR_WIDTH, .h = h, .sheet_w = BAR_WIDTH, .sheet_h = h, .sheets = 1 };
    }
    glyph_size g = { .sheets = b->c < MAX_SHEETS ? b->c : MAX_SHEETS };
    g.sheet_w = fmax(b->w * s->per_pixel, SMALLEST);
    g.sheet_h = fmax(b->h * s->per_pixel, SMALLEST);
    g.w = g.sheet_w + (g.sheets - 1) * SHEET_STEP;
    g.h = g.sheet_h + (g.sheets - 1) * SHEET_STEP;
    return g;
}

static double column_width(const lens_figure *fig, const lens_figure_block *b, const scales *s) {
    lines l = describe(fig, b, true);
    double widest = size_of(b, s).w;
    for (int i = 0; i < l.count; i++)
        widest = fmax(widest, fig_measure(l.text[i], i ? FIG_SMALL : FIG_LABEL, i == 0));
    return ceil(fmin(widest, LARGEST_SIDE + MAX_SHEETS * SHEET_STEP));
}

static scales scales_of(const lens_figure_block *blocks, int count, int longest) {
    int side = 1, units = 1;
    for (int i = 0; i < count; i++) {
        if (is_flat(&blocks[i])) {
            if (blocks[i].c > units) units = blocks[i].c;
        } else {
            if (blocks[i].h > side) side = blocks[i].h;
            if (blocks[i].w > side) side = blocks[i].w;
        }
    }
    return (scales){ (double)longest / side, (double)longest / units };
}

/* One past the last layer that fits on the row starting at `first`. */
static int row_end(const lens_figure *fig, const lens_figure_block *blocks, int count, int first,
                   const scales *s, double room, double *width) {
    int end = first;
    *width = 0;
    for (; end < count; end++) {
        double more = column_width(fig, &blocks[end], s) + (end > first ? COLUMN_GAP : 0);
        if (end > first && *width + more > room) break;
        *width += more;
    }
    return end;
}

/* The largest drawing that stands in one row; if there is none, the largest, in several rows. */
static scales fitting_scales(const lens_figure *fig, const lens_figure_block *blocks, int count,
                             double room) {
    double width;
    for (int side = LARGEST_SIDE; side >= SMALLEST_SIDE; side -= SIDE_STEP) {
        scales s = scales_of(blocks, count, side);
        if (row_end(fig, blocks, count, 0, &s, room, &width) == count) return s;
    }
    return scales_of(blocks, count, LARGEST_SIDE);
}

static double draw_row(lens_figure *fig, double y, const lens_figure_block *blocks, int first,
                       int end, int count, const scales *s) {
    double tallest = 0, x = FIG_MARGIN;
    int most_lines = 0;
    for (int i = first; i < end; i++) {
        tallest = fmax(tallest, size_of(&blocks[i], s).h);
        lines l = describe(fig, &blocks[i], true);
        if (l.count > most_lines) most_lines = l.count;
    }
    for (int i = first; i < end; i++) {
        glyph_size g = size_of(&blocks[i], s);
        double width = column_width(fig, &blocks[i], s), centre = x + width / 2;
        double gx = centre - g.w / 2, gy = y + (tallest - g.h) / 2;
        fig_paint paint = { .filled = true,
                            .fill = tint_of(&blocks[i]),
                            .stroked = true,
                            .stroke = FIG_INK,
                            .thick = 0.75 };
        for (int k = 0; k < g.sheets; k++)
            fig_rect(fig, "sheet", gx + k * SHEET_STEP, gy + k * SHEET_STEP, g.sheet_w, g.sheet_h,
                     paint);
        lines l = describe(fig, &blocks[i], true);
        write_lines(fig, centre, y + tallest + 4, width + COLUMN_GAP - 6, &l);
        if (i + 1 < count) {
            /* From this drawing to the next one, or out of the row. */
            double next =
                i + 1 < end
                    ? x + width + COLUMN_GAP +
                          (column_width(fig, &blocks[i + 1], s) - size_of(&blocks[i + 1], s).w) / 2
                    : x + width + COLUMN_GAP - 8;
            if (next - 4 > gx + g.w + 4)
                arrow(fig, gx + g.w + 4, fmin(next - 4, fig->width - 4), y + tallest / 2);
        }
        x += width + COLUMN_GAP;
    }
    return y + tallest + 4 + most_lines * LINE;
}

static double draw_sheets(lens_figure *fig, double y, const lens_figure_block *blocks, int count,
                          double room, const scales *s) {
    double width;
    for (int first = 0; first < count;) {
        int end = row_end(fig, blocks, count, first, s, room, &width);
        y = draw_row(fig, y + (first ? ROW_GAP : 0), blocks, first, end, count, s);
        first = end;
    }
    char num[32];
    fig_note(fig,
             "Sheets are drawn to scale (%s px per map pixel), at most %d per stack; bars of "
             "dense layers to their own.",
             fig_number(num, "%.3g", s->per_pixel), MAX_SHEETS);
    return y;
}

/* Compact blocks --------------------------------------------------------------------------------- */

static double draw_blocks(lens_figure *fig, double y, const lens_figure_block *blocks, int count,
                          int cols) {
    double step = BLOCK_WIDTH + COLUMN_GAP;
    for (int first = 0; first < count; first += cols) {
        int most = 0;
        for (int i = first; i < count && i < first + cols; i++) {
            double x = FIG_MARGIN + (i - first) * step, centre = x + BLOCK_WIDTH / 2.0;
            fig_paint paint = { .filled = true,
                                .fill = tint_of(&blocks[i]),
                                .stroked = true,
                                .stroke = FIG_EDGE,
                                .thick = 0.75 };
            fig_rect(fig, "block", x, y, BLOCK_WIDTH, BLOCK_HEIGHT, paint);
            fig_font font = { .size = FIG_SMALL, .anchor = FIG_MIDDLE, .ink = FIG_INK };
            fig_text_in(fig, NULL, centre, y + BLOCK_HEIGHT / 2.0 + FIG_SMALL * 0.36,
                        BLOCK_WIDTH - 8, font, blocks[i].kind ? blocks[i].kind : "");
            lines l = describe(fig, &blocks[i], false);
            write_lines(fig, centre, y + BLOCK_HEIGHT + 2, BLOCK_WIDTH, &l);
            if (l.count > most) most = l.count;
            if (i + 1 < count)
                arrow(fig, x + BLOCK_WIDTH + 3, x + step - 3, y + BLOCK_HEIGHT / 2.0);
        }
        y += BLOCK_HEIGHT + 2 + most * LINE + ROW_GAP / 2.0;
    }
    return y - ROW_GAP / 2.0;
}

lens_status lens_figure_arch(lens_ctx *ctx, lens_figure **out, const lens_figure_block *blocks,
                             int count, const lens_figure_opts *opts) {
    if (!blocks || count < 1) return ctx_fail(ctx, LENS_BAD_ARG, "arch: no layers to draw");
    int64_t params = 0, macs = 0;
    for (int i = 0; i < count; i++) {
        const lens_figure_block *b = &blocks[i];
        if (!b->name) return ctx_fail(ctx, LENS_BAD_ARG, "arch: layer %d has no name", i);
        if (b->c < 1 || b->h < 1 || b->w < 1)
            return ctx_fail(ctx, LENS_BAD_SHAPE,
                            "arch: %s is %dx%dx%d; every dimension must be at "
                            "least 1",
                            b->name, b->c, b->h, b->w);
        if (b->params < 0 || b->macs < 0 || b->params > INT64_MAX - params ||
            b->macs > INT64_MAX - macs)
            return ctx_fail(ctx, LENS_BAD_ARG, "arch: %s has %lld parameters and %lld MACs",
                            b->name, (long long)b->params, (long long)b->macs);
        params += b->params;
        macs += b->macs;
    }
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    char facts[128], num[2][32];
    snprintf(facts, sizeof facts, fig_say(fig, "%s parameters, %s multiply-adds per picture"),
             fig_count(num[0], params), fig_count(num[1], macs));
    /* Room for the arrow that leaves a row. */
    double room = use.width - 2 * FIG_MARGIN - COLUMN_GAP, content = 0;
    bool sheets = count <= MAX_DRAWN;
    scales s = fitting_scales(fig, blocks, count, room);
    int cols = (int)fmax(1, floor((room + COLUMN_GAP) / (BLOCK_WIDTH + COLUMN_GAP)));
    if (sheets) {
        double width;
        for (int first = 0; first < count;) {
            first = row_end(fig, blocks, count, first, &s, room, &width);
            content = fmax(content, width);
        }
    } else {
        content = cols * (BLOCK_WIDTH + COLUMN_GAP);
    }
    double y = ceil(fig_header(fig, content + COLUMN_GAP + 2 * FIG_MARGIN,
                               use.title ? use.title : fig_say(fig, "Network"),
                               use.subtitle ? use.subtitle : facts)) +
               FIG_GAP;
    int shown = count < MAX_BLOCKS ? count : MAX_BLOCKS;
    y = sheets ? draw_sheets(fig, y, blocks, count, room, &s)
               : draw_blocks(fig, y, blocks, shown, cols);
    if (shown < count) fig_note(fig, "Showing the first %d of %d layers.", shown, count);
    return fig_end(fig, y, use.caption, out);
}
