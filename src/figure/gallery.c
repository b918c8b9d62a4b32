/* gallery.c - pictures in a grid: contact sheets, predictions, and the worst mistakes.
 *
 * Invariant: a card is marked wrong exactly when truth != predicted.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>

enum {
    PICTURE_SIDE = 84, /* aimed at: 28 x 28 is drawn three times its size */
    CARD_WIDTH = 110,  /* six to a row of the usual width, with room for "* -> Sneaker 0.93" */
    LINE = 14,
    CARD_GAP = 12,
    MAX_CARDS = 100,
    MAX_ERRORS = 60 /* ten rows: the worst come first */
};

typedef struct grid {
    size_t shown;
    int cols;
    double width, height; /* of a card */
    double step_x, step_y;
} grid;

static grid plan(size_t count, size_t most, double width, int lines, double room) {
    grid g = { .shown = count < most ? count : most, .width = width };
    g.height = PICTURE_SIDE + 4 + lines * LINE;
    g.step_x = g.width + CARD_GAP;
    g.step_y = g.height + CARD_GAP;
    g.cols = (int)floor((room + CARD_GAP) / g.step_x);
    if ((size_t)g.cols > g.shown) g.cols = (int)g.shown;
    if (g.cols < 1) g.cols = 1;
    return g;
}

static void corner(const grid *g, size_t i, double top, double *x, double *y) {
    *x = FIG_MARGIN + (double)(i % (size_t)g->cols) * g->step_x;
    *y = top + (double)(i / (size_t)g->cols) * g->step_y;
}

static double bottom(const grid *g, double top) {
    size_t rows = (g->shown + (size_t)g->cols - 1) / (size_t)g->cols;
    return top + (double)rows * g->step_y - CARD_GAP;
}

/* The picture stands on the lower edge of its square; returns its drawn width. */
static double put_picture(lens_figure *fig, double x, double y, const lens_figure_picture *pic,
                          int64_t *bad, bool wrong) {
    double zoom = fig_zoom(pic->h > pic->w ? pic->h : pic->w, PICTURE_SIDE);
    double group = zoom < 1 ? floor(1 / zoom + 0.5) : 1;
    double w = zoom < 1 ? ceil(pic->w / group) : pic->w * zoom;
    double h = zoom < 1 ? ceil(pic->h / group) : pic->h * zoom;
    fig_picture(fig, "picture", x, y + PICTURE_SIDE - h, pic, zoom, bad);
    if (wrong)
        fig_rect(fig, "mark", x - 1, y + PICTURE_SIDE - h - 1, w + 2, h + 2,
                 fig_stroke(FIG_ORANGE, 2));
    return w;
}

static void note_bad(lens_figure *fig, int64_t bad) {
    char num[32];
    if (bad) fig_note(fig, "%s pixels are NaN or infinite (magenta).", fig_count(num, bad));
}

/* Contact sheet ---------------------------------------------------------------------------------- */

lens_status lens_figure_sheet(lens_ctx *ctx, lens_figure **out, const lens_figure_picture *pictures,
                              const char *const *labels, size_t count,
                              const lens_figure_opts *opts) {
    if (!pictures || count < 1) return ctx_fail(ctx, LENS_BAD_ARG, "sheet: no pictures to draw");
    for (size_t i = 0; i < count; i++) {
        char what[48];
        snprintf(what, sizeof what, "picture %zu", i);
        LENS_TRY(fig_picture_check(ctx, &pictures[i], what));
    }
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    double widest = PICTURE_SIDE; /* short labels let more pictures stand in a row */
    for (size_t i = 0; i < count && labels; i++)
        if (labels[i]) widest = fmax(widest, fig_measure(labels[i], FIG_NOTE, false));
    widest = fmin(widest, CARD_WIDTH);
    grid g = plan(count, MAX_CARDS, ceil(widest), labels ? 1 : 0, use.width - 2 * FIG_MARGIN);
    if (use.columns > 0 && g.cols > use.columns) g.cols = use.columns;
    double top = ceil(fig_header(fig, 2 * FIG_MARGIN + g.cols * g.step_x - CARD_GAP,
                                 use.title ? use.title : fig_say(fig, "Pictures"), use.subtitle));
    int64_t bad = 0;
    fig_font font = { .size = FIG_NOTE, .ink = FIG_INK };
    for (size_t i = 0; i < g.shown; i++) {
        double x, y;
        corner(&g, i, top, &x, &y);
        put_picture(fig, x, y, &pictures[i], &bad, false);
        if (labels && labels[i])
            fig_text_in(fig, "label", x, y + PICTURE_SIDE + LINE, g.width, font, labels[i]);
    }
    if (g.shown < count) fig_note(fig, "Showing the first %zu of %zu pictures.", g.shown, count);
    note_bad(fig, bad);
    return fig_end(fig, bottom(&g, top), use.caption, out);
}

/* Predictions and errors ------------------------------------------------------------------------- */

static lens_status check(lens_ctx *ctx, const lens_figure_sample *samples, size_t count, int k) {
    if ((!samples && count > 0) || k < 1)
        return ctx_fail(ctx, LENS_BAD_ARG, "predictions: no %s to draw",
                        k < 1 ? "classes" : "samples");
    for (size_t i = 0; i < count; i++) {
        const lens_figure_sample *s = &samples[i];
        char what[48];
        snprintf(what, sizeof what, "sample %zu", i);
        LENS_TRY(fig_picture_check(ctx, &s->picture, what));
        if (s->truth < 0 || s->truth >= k || s->predicted < 0 || s->predicted >= k)
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "predictions: sample %zu has true class %d and predicted class %d, but "
                            "there are %d classes",
                            i, s->truth, s->predicted, k);
    }
    return LENS_OK;
}

static const char *class_name(const char *const *names, int i, char buf[16]) {
    if (names && names[i]) return names[i];
    snprintf(buf, 16, "%d", i);
    return buf;
}

/* Three lines: the true class; the prediction and its probability; p of the truth and the source. */
static void card(lens_figure *fig, double x, double y, const lens_figure_sample *s,
                 const char *const *names, int64_t *bad) {
    char a[16], b[16], num[32], text[320];
    bool wrong = s->truth != s->predicted;
    put_picture(fig, x, y, &s->picture, bad, wrong);
    double base = y + PICTURE_SIDE + 4 + FIG_NOTE * FIG_ASCENT + 1;
    fig_font font = { .size = FIG_NOTE, .ink = FIG_INK };
    fig_text_in(fig, NULL, x, base, CARD_WIDTH, font, class_name(names, s->truth, a));
    snprintf(text, sizeof text, "%s\xe2\x86\x92 %s %s", wrong ? "* " : "",
             class_name(names, s->predicted, b), fig_number(num, "%.2f", s->p));
    font.bold = wrong;
    font.ink = wrong ? FIG_ORANGE : FIG_GREY;
    fig_text_in(fig, wrong ? "wrong" : "right", x, base + LINE, CARD_WIDTH, font, text);
    font = (fig_font){ .size = FIG_SMALL, .ink = FIG_GREY };
    if (wrong)
        snprintf(text, sizeof text, fig_say(fig, "true p %s%s%s"),
                 fig_number(num, "%.3f", s->p_truth), s->source ? ", " : "",
                 s->source ? s->source : "");
    else
        snprintf(text, sizeof text, "%s", s->source ? s->source : "");
    fig_text_in(fig, NULL, x, base + 2 * LINE, CARD_WIDTH, font, text);
}

static lens_status draw_samples(lens_figure *fig, const lens_figure_opts *use,
                                const lens_figure_sample *const *order, size_t count,
                                const char *const *names, const char *facts, bool only_errors,
                                lens_figure **out) {
    grid g = plan(count, only_errors ? MAX_ERRORS : MAX_CARDS, CARD_WIDTH, 3,
                  use->width - 2 * FIG_MARGIN);
    double top = fig_header(fig, 2 * FIG_MARGIN + g.cols * g.step_x - CARD_GAP,
                            use->title    ? use->title
                            : only_errors ? fig_say(fig, "Mistakes")
                                          : fig_say(fig, "Predictions"),
                            facts);
    if (use->subtitle) {
        fig_font grey = { .size = FIG_LABEL, .ink = FIG_GREY };
        top = fig_wrapped(fig, FIG_MARGIN, top, fig->width - 2 * FIG_MARGIN, grey, use->subtitle);
    }
    top = ceil(top);
    int64_t bad = 0;
    for (size_t i = 0; i < g.shown; i++) {
        double x, y;
        corner(&g, i, top, &x, &y);
        card(fig, x, y, order[i], names, &bad);
    }
    if (g.shown < count)
        fig_note(fig,
                 only_errors ? "Showing the first %zu of %zu mistakes."
                             : "Showing the first %zu of %zu samples.",
                 g.shown, count);
    note_bad(fig, bad);
    return fig_end(fig, count ? bottom(&g, top) : top, use->caption, out);
}

/* Wrong samples by falling p; merge sort, so that ties keep their order. NaN counts as 0. */
static void merge(const lens_figure_sample **a, const lens_figure_sample **scratch, size_t n) {
    if (n < 2) return;
    size_t half = n / 2, i = 0, j = half;
    merge(a, scratch, half);
    merge(a + half, scratch, n - half);
    for (size_t k = 0; k < n; k++) {
        bool left = j == n || (i < half && !(a[j]->p > (isnan(a[i]->p) ? 0 : a[i]->p)));
        scratch[k] = left ? a[i++] : a[j++];
    }
    for (size_t k = 0; k < n; k++) a[k] = scratch[k];
}

static lens_status make(lens_ctx *ctx, lens_figure **out, const lens_figure_sample *samples,
                        size_t count, int k, const char *const *names, const lens_figure_opts *opts,
                        bool only_errors) {
    LENS_TRY(check(ctx, samples, count, k));
    lens_figure *fig;
    lens_figure_opts use;
    LENS_TRY(fig_begin(ctx, &fig, opts, &use));
    lens_status status = LENS_NOMEM;
    const lens_figure_sample **order = ctx_alloc(ctx, 2 * (count ? count : 1), sizeof *order);
    if (!order) {
        lens_figure_free(fig);
        return status;
    }
    size_t kept = 0, wrong = 0;
    for (size_t i = 0; i < count; i++) {
        bool error = samples[i].truth != samples[i].predicted;
        wrong += error;
        if (error || !only_errors) order[kept++] = &samples[i];
    }
    if (only_errors) merge(order, order + count, kept);
    lens_lang lang = use.lang;
    char facts[160], num[2][32];
    fig_count(num[0], (int64_t)wrong);
    fig_count(num[1], (int64_t)count);
    if (!only_errors)
        snprintf(facts, sizeof facts, lens_word(lang, "%s of %s wrong, marked *"), num[0], num[1]);
    else if (wrong == 0)
        snprintf(facts, sizeof facts, lens_word(lang, "no mistake among %s samples"), num[1]);
    else if (wrong == count) /* the caller kept only mistakes: out of how many is not known here */
        snprintf(facts, sizeof facts, "%s", lens_word(lang, "the most confident mistake first"));
    else
        snprintf(facts, sizeof facts,
                 lens_word(lang, "%s of %s wrong; the most confident mistake first"), num[0],
                 num[1]);
    status = draw_samples(fig, &use, order, kept, names, facts, only_errors, out);
    ctx_free(ctx, order);
    return status;
}

lens_status lens_figure_errors(lens_ctx *ctx, lens_figure **out, const lens_figure_sample *samples,
                               size_t count, int k, const char *const *names,
                               const lens_figure_opts *opts) {
    return make(ctx, out, samples, count, k, names, opts, true);
}

lens_status lens_figure_predictions(lens_ctx *ctx, lens_figure **out,
                                    const lens_figure_sample *samples, size_t count, int k,
                                    const char *const *names, const lens_figure_opts *opts) {
    if (count == 0) return ctx_fail(ctx, LENS_BAD_ARG, "predictions: no samples to draw");
    return make(ctx, out, samples, count, k, names, opts, false);
}
