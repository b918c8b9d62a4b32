/* bars.c - the output layer: one node and one bar per class.
 *
 * Invariant: the node of the largest probability is the darkest; a bar's length is its number.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum {
    ROW = 20,
    NODE = 6,        /* radius */
    NAME_ROOM = 150, /* at most */
    VALUE_ROOM = 48,
    BAR_LENGTH = 260,
    INPUT_SIDE = 140,
    MAX_ROWS = 50,
    SCALE_WIDTH = 140
};

static const char *class_name(const char *const *names, int i, char buf[16]) {
    if (names && names[i]) return names[i];
    snprintf(buf, 16, "%d", i);
    return buf;
}

lens_status lens_figure_probabilities(lens_ctx *ctx, lens_figure **out,
                                      const lens_figure_picture *input, const float *p, int k,
                                      const char *const *names, const lens_figure_opts *opts) {
    if (!p || k < 1) return ctx_fail(ctx, LENS_BAD_ARG, "probabilities: no classes to draw");
    for (int i = 0; i < k; i++)
        if (p[i] < 0 || p[i] > 1)
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "probabilities: class %d has %g but 0..1 is possible", i, p[i]);
    if (input) LENS_TRY(fig_picture_check(ctx, input, "the input picture"));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    int shown = k < MAX_ROWS ? k : MAX_ROWS, top_class = 0;
    char buf[16], num[32];
    double widest = 0, sum = 0;
    for (int i = 0; i < k; i++) {
        if (isfinite(p[i])) sum += p[i];
        if (p[i] > p[top_class] || isnan(p[top_class])) top_class = i;
        if (i < shown)
            widest = fmax(widest, fig_measure(class_name(names, i, buf), FIG_LABEL, true));
    }
    widest = ceil(fmin(widest, NAME_ROOM));
    double left = FIG_MARGIN + (input ? INPUT_SIDE + 2 * FIG_GAP : 0);
    double node = left + widest + FIG_GAP + NODE, bar = node + NODE + FIG_GAP;
    double y = ceil(fig_header(fig, bar + BAR_LENGTH + VALUE_ROOM + FIG_MARGIN,
                               use.title ? use.title : fig_say(fig, "Output of the network"),
                               use.subtitle));
    int64_t bad = 0;
    double under = y;
    if (input) {
        double zoom = fig_zoom(input->h > input->w ? input->h : input->w, INPUT_SIDE);
        fig_picture(fig, "input", FIG_MARGIN, y, input, zoom, &bad);
        under = y + ceil(input->h * zoom);
    }
    fig_scale scale = { .limit = 1 };
    for (int i = 0; i < shown; i++) {
        double centre = y + (i + 0.5) * ROW, base = centre + FIG_LABEL * 0.36;
        fig_font font = {
            .size = FIG_LABEL, .bold = i == top_class, .anchor = FIG_END, .ink = FIG_INK
        };
        fig_text_in(fig, NULL, left + widest, base, widest, font, class_name(names, i, buf));
        fig_paint paint = { .filled = true,
                            .fill = fig_colour(&scale, p[i]),
                            .stroked = true,
                            .stroke = FIG_EDGE,
                            .thick = 1 };
        fig_circle(fig, "node", node, centre, NODE, paint);
        double length = isfinite(p[i]) ? BAR_LENGTH * (double)p[i] : 0;
        fig_rect(fig, "bar", bar, centre - 6, fmax(length, 0.5), 12,
                 fig_fill(i == top_class ? FIG_INK : FIG_EDGE));
        font.anchor = FIG_START;
        fig_text(fig, "value", bar + length + 6, base, font, fig_number(num, "%.4f", p[i]));
    }
    y = fmax(y + shown * ROW, under);
    y = fig_bar(fig, left, y + FIG_GAP, SCALE_WIDTH, &scale);
    fig_note(fig, "Sum of all %d: %s.", k, fig_number(num, "%.6f", sum));
    if (shown < k) fig_note(fig, "Showing the first %d of %d classes.", shown, k);
    scale.bad += bad;
    fig_note_scale(fig, &scale);
    return fig_end(fig, y, use.caption, out);
}
