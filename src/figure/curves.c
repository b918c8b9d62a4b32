/* curves.c - lines over a common x axis: panels one below the other, names at the ends of the lines.
 *
 * Invariant: every finite point is drawn where its numbers say; gaps are where values are not finite.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>
#include <string.h>

enum {
    PLOT_HEIGHT = 190,
    AXIS_ROOM = 46,  /* for "0.0001" in front of the axis */
    NAME_ROOM = 170, /* at most, behind the lines */
    NAME_STEP = 14,  /* distance of two names: FIG_LABEL and some air */
    HEAD_GAP = 12,   /* between a panel's name and its plot */
    PANEL_GAP = 34,  /* tick labels and the next panel's name */
    Y_TICKS = 5,
    X_TICKS = 8,
    MAX_SERIES = 8
};

/* After blue and orange, hues that stay apart in grey and for the colour-blind. */
static const fig_rgb palette[MAX_SERIES] = {
    { 5, 100, 170 }, { 190, 84, 0 },  { 0, 120, 90 },   { 140, 60, 140 },
    { 90, 90, 90 },  { 160, 130, 0 }, { 80, 150, 200 }, { 120, 60, 30 },
};

typedef struct axis {
    double low, high, step;
    double from, length; /* pixels: low is drawn at from, high at from + length */
} axis;

static double place(const axis *a, double v) {
    return a->from + (v - a->low) / (a->high - a->low) * a->length;
}

/* The step 1, 2 or 5 times a power of ten that gives about `ticks` steps. */
static double nice_step(double range, int ticks) {
    double raw = range / ticks, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead <= 1.5 ? 1 : lead <= 3.5 ? 2 : lead <= 7.5 ? 5 : 10);
}

static double x_at(const lens_figure_series *s, size_t i) { return s->x ? s->x[i] : (double)i + 1; }

static bool drawn(const lens_figure_series *s, size_t i) {
    return isfinite(s->y[i]) && isfinite(x_at(s, i));
}

static void widen(double v, double *low, double *high) {
    if (v < *low) *low = v;
    if (v > *high) *high = v;
}

static axis x_axis(const lens_figure_panel *panels, int count) {
    axis a = { .low = INFINITY, .high = -INFINITY };
    bool whole = true;
    for (int p = 0; p < count; p++)
        for (int k = 0; k < panels[p].count; k++) {
            const lens_figure_series *s = &panels[p].series[k];
            for (size_t i = 0; i < s->count; i++) {
                if (!drawn(s, i)) continue;
                widen(x_at(s, i), &a.low, &a.high);
                whole = whole && x_at(s, i) == floor(x_at(s, i));
            }
        }
    if (a.low > a.high) a.low = 0, a.high = 1;
    if (a.low == a.high) a.low -= 1, a.high += 1;
    a.step = nice_step(a.high - a.low, X_TICKS);
    if (whole && a.step < 1) a.step = 1;
    return a;
}

/* Whole steps around the data; 0 belongs to it when it is near. */
static axis y_axis(const lens_figure_panel *panel) {
    axis a = { .low = INFINITY, .high = -INFINITY };
    for (int k = 0; k < panel->count; k++)
        for (size_t i = 0; i < panel->series[k].count; i++)
            if (drawn(&panel->series[k], i)) widen(panel->series[k].y[i], &a.low, &a.high);
    if (a.low > a.high) a.low = 0, a.high = 1;
    if (a.low >= 0 && a.low < 0.4 * a.high) a.low = 0;
    if (!(a.high - a.low > 1e-12 * fmax(fabs(a.low), fabs(a.high)))) {
        double half = a.low == 0 ? 0.5 : fabs(a.low) / 2;
        a.low -= half, a.high += half;
    }
    a.step = nice_step(a.high - a.low, Y_TICKS);
    a.low = floor(a.low / a.step + 1e-9) * a.step;
    a.high = ceil(a.high / a.step - 1e-9) * a.step;
    return a;
}

static int ticks_of(const axis *a, double *first) {
    *first = ceil(a->low / a->step - 1e-9) * a->step;
    return (int)floor((a->high - *first) / a->step + 1e-9) + 1;
}

static void draw_axes(lens_figure *fig, const axis *x, const axis *y) {
    char num[32];
    double first, left = x->from, right = x->from + x->length, bottom = y->from;
    fig_font font = { .size = FIG_SMALL, .anchor = FIG_END, .ink = FIG_GREY };
    int n = ticks_of(y, &first);
    for (int i = 0; i < n; i++) {
        double v = first + i * y->step, at = place(y, v);
        if (fabs(v) < 1e-9 * y->step) v = 0;
        fig_line(fig, left, at, right, at, FIG_FAINT, 1);
        fig_text_in(fig, NULL, left - 6, at + FIG_SMALL * 0.36, AXIS_ROOM - 6, font,
                    fig_number(num, "%.6g", v));
    }
    font.anchor = FIG_MIDDLE;
    n = ticks_of(x, &first);
    for (int i = 0; i < n; i++) {
        double v = first + i * x->step, at = place(x, v);
        if (fabs(v) < 1e-9 * x->step) v = 0;
        fig_line(fig, at, bottom, at, bottom + 4, FIG_EDGE, 1);
        fig_text(fig, NULL, at, bottom + 6 + FIG_SMALL, font, fig_number(num, "%.6g", v));
    }
    fig_line(fig, left, bottom, right, bottom, FIG_EDGE, 1);
}

/* The polylines between gaps; returns false if nothing was finite. */
static bool draw_series(lens_figure *fig, const lens_figure_series *s, const axis *x, const axis *y,
                        fig_rgb ink, double *last_y) {
    bool any = false;
    double *xy = ctx_grow(fig->ctx, NULL, 0, 2 * s->count, sizeof *xy);
    if (!xy) {
        fig_fail(fig, LENS_NOMEM);
        return false;
    }
    int points = 0;
    for (size_t i = 0; i <= s->count; i++) {
        if (i < s->count && drawn(s, i)) {
            xy[2 * points] = place(x, x_at(s, i));
            xy[2 * points++ + 1] = *last_y = place(y, s->y[i]);
            any = true;
        } else if (points > 0) {
            if (points == 1) fig_circle(fig, "point", xy[0], xy[1], 2.5, fig_fill(ink));
            fig_polyline(fig, "curve", xy, points, ink, 1.75);
            points = 0;
        }
    }
    ctx_free(fig->ctx, xy);
    return any;
}

/* Names move apart until they stand NAME_STEP from each other, keeping the order of the lines. */
static void draw_names(lens_figure *fig, const lens_figure_panel *panel, const double *end,
                       const bool *shown, double left, double top, double room) {
    int order[MAX_SERIES], n = 0;
    double at[MAX_SERIES];
    for (int k = 0; k < panel->count; k++)
        if (shown[k]) {
            int i = n++;
            for (; i > 0 && end[order[i - 1]] > end[k]; i--) order[i] = order[i - 1];
            order[i] = k;
        }
    for (int i = 0; i < n; i++) {
        at[i] = end[order[i]];
        for (int j = i; j > 0 && at[j] - at[j - 1] < NAME_STEP; j--) {
            double middle = (at[j] + at[j - 1]) / 2;
            at[j - 1] = middle - NAME_STEP / 2.0;
            at[j] = middle + NAME_STEP / 2.0;
        }
    }
    for (int i = 0; i < n; i++) {
        at[i] = fmax(at[i], i ? at[i - 1] + NAME_STEP : top);
        fig_font font = { .size = FIG_LABEL, .ink = palette[order[i]] };
        fig_text_in(fig, NULL, left, at[i] + FIG_LABEL * 0.36, room, font,
                    panel->series[order[i]].name);
    }
}

/* A ring around the best point of the last series; its numbers stand in the panel's head. */
static void draw_best(lens_figure *fig, const lens_figure_panel *panel, const char *x_name,
                      const axis *x, const axis *y, double head, double room) {
    if (panel->best == LENS_BEST_NONE) return;
    const lens_figure_series *s = &panel->series[panel->count - 1];
    size_t best = s->count;
    for (size_t i = 0; i < s->count; i++) {
        if (!drawn(s, i)) continue;
        if (best == s->count ||
            (panel->best == LENS_BEST_LOW ? s->y[i] < s->y[best] : s->y[i] > s->y[best]))
            best = i;
    }
    if (best == s->count) return;
    fig_rgb ink = palette[panel->count - 1];
    fig_paint ring = {
        .filled = true, .fill = FIG_WHITE, .stroked = true, .stroke = ink, .thick = 1.75
    };
    fig_circle(fig, "best", place(x, x_at(s, best)), place(y, s->y[best]), 3.5, ring);
    char value[32], where[32], text[256];
    snprintf(text, sizeof text, fig_say(fig, "best %s %s at %s %s"), s->name,
             fig_number(value, "%.4g", s->y[best]), x_name,
             fig_number(where, "%.6g", x_at(s, best)));
    double right = x->from + x->length;
    fig_font font = { .size = FIG_NOTE, .anchor = FIG_END, .ink = ink };
    double width = fmin(fig_measure(text, font.size, false), room - 12);
    fig_circle(fig, NULL, right - width - 9, head - 4, 3.5, ring);
    fig_text_in(fig, NULL, right, head, room - 12, font, text);
}

static void draw_panel(lens_figure *fig, const lens_figure_panel *panel, const char *x_name,
                       const axis *x, double top, double name_room) {
    double head = top + FIG_LABEL, plot_top = head + HEAD_GAP;
    axis y = y_axis(panel);
    y.from = plot_top + PLOT_HEIGHT;
    y.length = -PLOT_HEIGHT;
    fig_font bold = { .size = FIG_LABEL, .bold = true, .ink = FIG_INK };
    fig_text_in(fig, NULL, x->from, head, x->length * 0.4, bold, panel->name);
    draw_axes(fig, x, &y);
    double end[MAX_SERIES] = { 0 };
    bool shown[MAX_SERIES];
    for (int k = 0; k < panel->count; k++) {
        shown[k] = draw_series(fig, &panel->series[k], x, &y, palette[k], &end[k]);
        int64_t gaps = 0;
        for (size_t i = 0; i < panel->series[k].count; i++) gaps += !drawn(&panel->series[k], i);
        char num[32];
        if (gaps)
            fig_note(fig,
                     gaps == 1 ? "%s, %s: %s of the values is NaN or infinite and left out."
                               : "%s, %s: %s of the values are NaN or infinite and left out.",
                     panel->name, panel->series[k].name, fig_count(num, gaps));
    }
    draw_names(fig, panel, end, shown, x->from + x->length + FIG_GAP, plot_top, name_room);
    draw_best(fig, panel, x_name, x, &y, head, x->length * 0.6);
}

static lens_status check(lens_ctx *ctx, const lens_figure_panel *panels, int count) {
    if (!panels || count < 1) return ctx_fail(ctx, LENS_BAD_ARG, "curves: no panel to draw");
    for (int p = 0; p < count; p++) {
        if (!panels[p].name) return ctx_fail(ctx, LENS_BAD_ARG, "curves: panel %d has no name", p);
        if (!panels[p].series || panels[p].count < 1 || panels[p].count > MAX_SERIES)
            return ctx_fail(ctx, LENS_BAD_ARG, "curves: panel %s has %d series but must have 1..%d",
                            panels[p].name, panels[p].count, MAX_SERIES);
        for (int k = 0; k < panels[p].count; k++) {
            const lens_figure_series *s = &panels[p].series[k];
            if (!s->name || !s->y || s->count < 1)
                return ctx_fail(ctx, LENS_BAD_ARG, "curves: panel %s: series %d has %s",
                                panels[p].name, k, !s->name ? "no name" : "no values");
        }
    }
    return LENS_OK;
}

lens_status lens_figure_curves(lens_ctx *ctx, lens_figure **out, const lens_figure_panel *panels,
                               int count, const char *x_name, const lens_figure_opts *opts) {
    LENS_TRY(check(ctx, panels, count));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    if (!x_name) x_name = "step";
    double names = 0;
    for (int p = 0; p < count; p++)
        for (int k = 0; k < panels[p].count; k++)
            names = fmax(names, fig_measure(panels[p].series[k].name, FIG_LABEL, false));
    names = ceil(fmin(names, NAME_ROOM));
    double y = fig_header(fig, use.width, use.title ? use.title : fig_say(fig, "Training curves"),
                          use.subtitle);
    axis x = x_axis(panels, count);
    x.from = FIG_MARGIN + AXIS_ROOM;
    x.length = fig->width - x.from - FIG_GAP - names - FIG_MARGIN;
    for (int p = 0; p < count; p++) {
        draw_panel(fig, &panels[p], x_name, &x, y, names);
        y += FIG_LABEL + HEAD_GAP + PLOT_HEIGHT + PANEL_GAP;
    }
    fig_font font = { .size = FIG_NOTE, .anchor = FIG_MIDDLE, .ink = FIG_GREY };
    double base = y - PANEL_GAP + 6 + FIG_SMALL + FIG_NOTE + 5;
    fig_text_in(fig, NULL, x.from + x.length / 2, base, x.length, font, x_name);
    return fig_end(fig, base, use.caption, out);
}
