/* maps.c - feature maps: one row per layer, one tile per channel, the input picture first.
 *
 * Invariant: a colour means the same value in all tiles that share a printed scale.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum {
    SIDE_ROOM = 132, /* name, shape and scale of a layer, left of its tiles */
    TILE_SIDE = 58,  /* aimed at; a map of 28 x 28 is drawn twice its size */
    DENSE_CELL = 14, /* a 1 x 1 map */
    TILE_GAP = 6,
    ROW_GAP = 18,
    SIDE_HEIGHT = 56, /* of the text at the side */
    MAX_MAPS = 64,
    MAX_DENSE = 256,
    BAR_WIDTH = 116
};

static lens_status check(lens_ctx *ctx, const lens_figure_picture *input,
                         const lens_figure_layer *layers, int count) {
    if (!layers || count < 1) return ctx_fail(ctx, LENS_BAD_ARG, "maps: no layer to draw");
    if (input) LENS_TRY(fig_picture_check(ctx, input, "the input picture"));
    for (int i = 0; i < count; i++) {
        const lens_figure_layer *l = &layers[i];
        if (!l->name || !l->data)
            return ctx_fail(ctx, LENS_BAD_ARG, "maps: layer %d has no %s", i,
                            l->name ? "data" : "name");
        if (l->c < 1 || l->h < 1 || l->w < 1)
            return ctx_fail(ctx, LENS_BAD_SHAPE,
                            "maps: layer %s is %dx%dx%d; every dimension must "
                            "be at least 1",
                            l->name, l->c, l->h, l->w);
    }
    return LENS_OK;
}

static void side(lens_figure *fig, double y, const char *name, const char *shape) {
    fig_font bold = { .size = FIG_LABEL, .bold = true, .ink = FIG_INK };
    fig_font grey = { .size = FIG_SMALL, .ink = FIG_GREY };
    double room = SIDE_ROOM - FIG_GAP;
    fig_text_in(fig, "layer", FIG_MARGIN, y + FIG_LABEL * FIG_ASCENT, room, bold, name);
    fig_text_in(fig, NULL, FIG_MARGIN, y + FIG_LABEL * FIG_ASCENT + 15, room, grey, shape);
}

static void shape_text(char buf[64], int c, int h, int w) {
    if (h == 1 && w == 1)
        snprintf(buf, 64, "%d", c);
    else
        snprintf(buf, 64, "%d\xc3\x97%d\xc3\x97%d", c, h, w);
}

/* Draws one layer from y on; returns the y below. */
static double draw_layer(lens_figure *fig, double y, const lens_figure_layer *l, fig_scale *scale) {
    bool dense = l->h == 1 && l->w == 1;
    int most = dense ? MAX_DENSE : MAX_MAPS, shown = l->c < most ? l->c : most;
    double left = FIG_MARGIN + SIDE_ROOM, room = fig->width - FIG_MARGIN - left;
    int longest = l->h > l->w ? l->h : l->w;
    double zoom = dense ? DENSE_CELL : fmin(fig_zoom(longest, TILE_SIDE), FIG_GRID_CELL - 1);
    int group = zoom >= 1 ? 1 : (int)(1 / zoom + 0.5);
    double w = zoom < 1 ? (l->w + group - 1) / group : l->w * zoom;
    double h = zoom < 1 ? (l->h + group - 1) / group : l->h * zoom;
    double gap = dense ? 2 : TILE_GAP;
    int cols = (int)fmax(1, floor((room + gap) / (w + gap)));
    int rows = (shown + cols - 1) / cols;
    cols = (shown + rows - 1) / rows; /* rows of equal length: no single tile left over */
    char shape[64];
    shape_text(shape, l->c, l->h, l->w);
    side(fig, y, l->name, shape);
    fig_bar(fig, FIG_MARGIN, y + FIG_LABEL * FIG_ASCENT + 22, BAR_WIDTH, scale);
    for (int i = 0; i < shown; i++)
        fig_matrix(fig, left + i % cols * (w + gap), y + i / cols * (h + gap),
                   l->data + (size_t)i * l->h * l->w, l->h, l->w, zoom, scale);
    if (shown < l->c) fig_note(fig, "%s: showing the first %d of %d maps.", l->name, shown, l->c);
    if (group > 1)
        fig_note(fig, "%s: each cell is the mean of %d\xc3\x97%d values.", l->name, group, group);
    return y + fmax(rows * (h + gap) - gap, SIDE_HEIGHT);
}

static double draw_input(lens_figure *fig, double y, const lens_figure_picture *input) {
    char shape[64];
    shape_text(shape, input->c, input->h, input->w);
    side(fig, y, fig_say(fig, "input"), shape);
    int longest = input->h > input->w ? input->h : input->w;
    double zoom = fig_zoom(longest, 2 * TILE_SIDE);
    int64_t bad = 0;
    fig_picture(fig, "input", FIG_MARGIN + SIDE_ROOM, y, input, zoom, &bad);
    char num[32];
    if (bad)
        fig_note(fig, "The input has %s NaN or infinite pixels (magenta).", fig_count(num, bad));
    return y + fmax(ceil(input->h * zoom), SIDE_HEIGHT / 2);
}

lens_status lens_figure_maps(lens_ctx *ctx, lens_figure **out, const lens_figure_picture *input,
                             const lens_figure_layer *layers, int count,
                             const lens_figure_opts *opts) {
    LENS_TRY(check(ctx, input, layers, count));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    bool shared = use.share == LENS_SHARE_FIGURE;
    fig_range all = { 0 };
    for (int i = 0; i < count; i++)
        fig_widen(&all, layers[i].data,
                  (size_t)layers[i].c * (size_t)layers[i].h * (size_t)layers[i].w);
    double y = fig_header(fig, use.width, use.title ? use.title : fig_say(fig, "Feature maps"),
                          use.subtitle);
    y = ceil(y);
    if (input) y = draw_input(fig, y, input) + ROW_GAP;
    fig_scale sum = { 0 };
    for (int i = 0; i < count; i++) {
        fig_range own = { 0 };
        fig_widen(&own, layers[i].data,
                  (size_t)layers[i].c * (size_t)layers[i].h * (size_t)layers[i].w);
        fig_scale scale = fig_scale_of(shared ? all : own, use.limit);
        y = draw_layer(fig, y, &layers[i], &scale) + (i + 1 < count ? ROW_GAP : 0);
        sum.bad += scale.bad;
        sum.clipped += scale.clipped;
    }
    fig_note(fig, shared ? "One scale for all layers." : "Each layer has its own scale.");
    fig_note_scale(fig, &sum);
    return fig_end(fig, y, use.caption, out);
}
