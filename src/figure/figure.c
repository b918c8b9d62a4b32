/* figure.c - the display list: life of a figure, primitives, text that fits, number formats, and
 * writing to a file. Invariant: after the first failure nothing is pushed any more.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <math.h>
#include <string.h>

enum { MIN_OPT_WIDTH = 320, MAX_OPT_WIDTH = 4000, MAX_PNG_SCALE = 4, USUAL_PNG_SCALE = 2 };

/* Distance of baselines, in em. */
#define LEADING 1.35

/* A text shrinks by this step until it fits: a quarter pixel is below what one notices. */
#define SHRINK_STEP 0.25

void fig_fail(lens_figure *fig, lens_status status) {
    if (fig->failed == LENS_OK) fig->failed = status;
}

lens_status fig_begin(lens_ctx *ctx, lens_figure **out, const lens_figure_opts *opts,
                      lens_figure_opts *use) {
    *use = opts ? *opts : (lens_figure_opts){ 0 };
    if (use->width == 0) use->width = FIG_WIDTH;
    if (use->png_scale == 0) use->png_scale = USUAL_PNG_SCALE;
    if (!(use->width >= MIN_OPT_WIDTH && use->width <= MAX_OPT_WIDTH))
        return ctx_fail(ctx, LENS_BAD_ARG, "figure: width is %g but must be %d..%d", use->width,
                        MIN_OPT_WIDTH, MAX_OPT_WIDTH);
    if (!(use->limit >= 0 && isfinite(use->limit)))
        return ctx_fail(ctx, LENS_BAD_ARG, "figure: limit is %g but must be finite and >= 0",
                        use->limit);
    if (use->png_scale < 1 || use->png_scale > MAX_PNG_SCALE)
        return ctx_fail(ctx, LENS_BAD_ARG, "figure: png_scale is %d but must be 1..%d",
                        use->png_scale, MAX_PNG_SCALE);
    lens_figure *fig = ctx_alloc(ctx, 1, sizeof *fig);
    if (!fig) return LENS_NOMEM;
    fig->ctx = ctx;
    fig->lang = use->lang;
    fig->png_scale = use->png_scale;
    *out = fig;
    return LENS_OK;
}

void lens_figure_free(lens_figure *fig) {
    if (!fig) return;
    for (size_t i = 0; i < fig->count; i++) {
        ctx_free(fig->ctx, fig->prim[i].text);
        ctx_free(fig->ctx, fig->prim[i].xy);
        ctx_free(fig->ctx, fig->prim[i].rgb);
    }
    ctx_free(fig->ctx, fig->prim);
    ctx_free(fig->ctx, fig->title);
    ctx_free(fig->ctx, fig->notes);
    ctx_free(fig->ctx, fig);
}

/* Primitives ----------------------------------------------------------------------------------- */

static fig_prim *push(lens_figure *fig, fig_kind kind, const char *role, double x, double y) {
    if (fig->failed != LENS_OK) return NULL;
    if (fig->count == fig->cap) {
        size_t cap = fig->cap ? 2 * fig->cap : 64;
        fig_prim *grown = ctx_grow(fig->ctx, fig->prim, fig->cap, cap, sizeof *grown);
        if (!grown) {
            fig_fail(fig, LENS_NOMEM);
            return NULL;
        }
        fig->prim = grown;
        fig->cap = cap;
    }
    fig_prim *p = &fig->prim[fig->count++];
    *p = (fig_prim){ .kind = kind, .role = role, .x = x, .y = y };
    return p;
}

fig_paint fig_fill(fig_rgb rgb) { return (fig_paint){ .filled = true, .fill = rgb }; }

fig_paint fig_stroke(fig_rgb rgb, double thick) {
    return (fig_paint){ .stroked = true, .stroke = rgb, .thick = thick };
}

void fig_rect(lens_figure *fig, const char *role, double x, double y, double w, double h,
              fig_paint paint) {
    fig_prim *p = push(fig, FIG_RECT, role, x, y);
    if (p) p->w = w, p->h = h, p->paint = paint;
}

void fig_circle(lens_figure *fig, const char *role, double x, double y, double radius,
                fig_paint paint) {
    fig_prim *p = push(fig, FIG_CIRCLE, role, x, y);
    if (p) p->w = p->h = radius, p->paint = paint;
}

void fig_polyline(lens_figure *fig, const char *role, const double *xy, int points, fig_rgb rgb,
                  double thick) {
    fig_prim *p = push(fig, FIG_LINE, role, xy[0], xy[1]);
    if (!p) return;
    p->xy = ctx_grow(fig->ctx, NULL, 0, 2 * (size_t)points, sizeof *p->xy);
    if (!p->xy) {
        fig_fail(fig, LENS_NOMEM);
        return;
    }
    memcpy(p->xy, xy, 2 * (size_t)points * sizeof *xy);
    p->points = points;
    p->paint = fig_stroke(rgb, thick);
}

void fig_line(lens_figure *fig, double x0, double y0, double x1, double y1, fig_rgb rgb,
              double thick) {
    fig_polyline(fig, NULL, (double[]){ x0, y0, x1, y1 }, 2, rgb, thick);
}

void fig_image(lens_figure *fig, const char *role, double x, double y, double w, double h,
               uint8_t *rgb, int iw, int ih) {
    if (!rgb) fig_fail(fig, LENS_NOMEM);
    fig_prim *p = push(fig, FIG_IMAGE, role, x, y);
    if (!p) {
        ctx_free(fig->ctx, rgb);
        return;
    }
    p->w = w, p->h = h, p->rgb = rgb, p->iw = iw, p->ih = ih;
}

void fig_text(lens_figure *fig, const char *role, double x, double y, fig_font font,
              const char *text) {
    if (!*text) return;
    fig_prim *p = push(fig, FIG_TEXT, role, x, y);
    if (!p) return;
    p->font = font;
    p->w = fig_measure(text, font.size, font.bold);
    p->text = ctx_strdup(fig->ctx, text);
    if (!p->text) fig_fail(fig, LENS_NOMEM);
}

void fig_printf(lens_figure *fig, double x, double y, fig_font font, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, fig_say(fig, format), args);
    va_end(args);
    fig_text(fig, NULL, x, y, font, text);
}

/* Text that fits --------------------------------------------------------------------------------- */

/* Bytes of the longest prefix at most `room` px wide; at least one character. */
static size_t prefix_within(const char *text, double room, const fig_font *font) {
    const char *s = text, *fits = text;
    char one[8];
    for (double sum = 0; *s; fits = s) {
        const char *start = s;
        fig_utf8(&s);
        memcpy(one, start, (size_t)(s - start));
        one[s - start] = 0;
        sum += fig_measure(one, font->size, font->bold);
        if (sum > room) break;
    }
    if (fits == text && *text) fig_utf8(&fits);
    return (size_t)(fits - text);
}

void fig_text_in(lens_figure *fig, const char *role, double x, double y, double room, fig_font font,
                 const char *text) {
    static const char ellipsis[] = "\xe2\x80\xa6";
    while (font.size > FIG_TINY && fig_measure(text, font.size, font.bold) > room)
        font.size -= SHRINK_STEP;
    if (fig_measure(text, font.size, font.bold) <= room) {
        fig_text(fig, role, x, y, font, text);
        return;
    }
    double left = room - fig_measure(ellipsis, font.size, font.bold);
    if (left <= 0) return;
    char *cut =
        ctx_printf(fig->ctx, "%.*s%s", (int)prefix_within(text, left, &font), text, ellipsis);
    if (cut)
        fig_text(fig, role, x, y, font, cut);
    else
        fig_fail(fig, LENS_NOMEM);
    ctx_free(fig->ctx, cut);
}

/* Lines end after a space, and between characters of scripts that have none, but not before what
 * closes a phrase. */
static bool may_break(uint32_t before, uint32_t after) {
    static const uint32_t closing[] = { ',',    '.',    ')',    0x3001, 0x3002, 0xff01,
                                        0xff09, 0xff0c, 0xff1a, 0xff1b, 0xff1f };
    if (before == ' ') return true;
    for (size_t i = 0; i < LENS_COUNT(closing); i++)
        if (after == closing[i]) return false;
    return (fig_is_wide(before) || fig_is_wide(after)) && before != '(' && before != 0xff08;
}

/* The last place within text[0..fits] where a line may end; 0: none. */
static size_t last_break(const char *text, size_t fits) {
    size_t found = 0;
    uint32_t before = 0;
    for (const char *s = text; *s && (size_t)(s - text) <= fits;) {
        size_t at = (size_t)(s - text);
        uint32_t code = fig_utf8(&s);
        if (at > 0 && may_break(before, code)) found = at;
        before = code;
    }
    return found;
}

double fig_wrapped(lens_figure *fig, double x, double y, double room, fig_font font,
                   const char *text) {
    while (*text && fig->failed == LENS_OK) {
        size_t fits = prefix_within(text, room, &font), take = fits;
        const char *newline = memchr(text, '\n', fits);
        if (newline) {
            take = (size_t)(newline - text);
        } else if (text[fits] && text[fits] != ' ' && text[fits] != '\n') {
            take = last_break(text, fits);
            if (take == 0) take = fits;
        }
        size_t end = take;
        while (end > 0 && text[end - 1] == ' ') end--;
        char *line = ctx_printf(fig->ctx, "%.*s", (int)end, text);
        if (line)
            fig_text(fig, NULL, x, y, font, line);
        else
            fig_fail(fig, LENS_NOMEM);
        ctx_free(fig->ctx, line);
        y += font.size * LEADING;
        text += take;
        if (*text == '\n')
            text++;
        else
            while (*text == ' ') text++;
    }
    return y;
}

/* Header and footer ------------------------------------------------------------------------------ */

double fig_header(lens_figure *fig, double width, const char *title, const char *subtitle) {
    fig->width = ceil(width < FIG_MIN_WIDTH ? FIG_MIN_WIDTH : width);
    fig->title = ctx_strdup(fig->ctx, title);
    if (!fig->title) fig_fail(fig, LENS_NOMEM);
    double room = fig->width - 2 * FIG_MARGIN;
    fig_font font = { .size = FIG_TITLE, .bold = true, .ink = FIG_INK };
    double y = fig_wrapped(fig, FIG_MARGIN, FIG_MARGIN + FIG_ASCENT * FIG_TITLE, room, font, title);
    if (subtitle && *subtitle) {
        font = (fig_font){ .size = FIG_LABEL, .ink = FIG_GREY };
        y = fig_wrapped(fig, FIG_MARGIN, y - 2, room, font, subtitle);
    }
    return y;
}

static void join(lens_figure *fig, const char *between, const char *text) {
    if (fig->failed != LENS_OK) return;
    char *joined = ctx_printf(fig->ctx, "%s%s%s", fig->notes ? fig->notes : "",
                              fig->notes ? between : "", text);
    if (!joined) {
        fig_fail(fig, LENS_NOMEM);
        return;
    }
    ctx_free(fig->ctx, fig->notes);
    fig->notes = joined;
}

void fig_note(lens_figure *fig, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, fig_say(fig, format), args);
    va_end(args);
    join(fig, " ", text);
}

lens_status fig_end(lens_figure *fig, double y, const char *caption, lens_figure **out) {
    fig_font font = { .size = FIG_NOTE, .ink = FIG_GREY };
    double room = fig->width - 2 * FIG_MARGIN;
    if (caption && *caption) join(fig, "\n", caption);
    if (fig->notes)
        y = fig_wrapped(fig, FIG_MARGIN, y + FIG_GAP + FIG_NOTE * LEADING, room, font, fig->notes) -
            FIG_NOTE * (LEADING - FIG_DESCENT);
    fig->height = ceil(y + FIG_MARGIN);
    if (fig->failed != LENS_OK) {
        lens_status status = fig->failed;
        lens_figure_free(fig);
        return status;
    }
    *out = fig;
    return LENS_OK;
}

/* Numbers ---------------------------------------------------------------------------------------- */

const char *fig_number(char buf[32], const char *format, double value) {
    char raw[32];
    snprintf(raw, sizeof raw, format, value);
    /* Whatever the locale puts for the point, possibly several bytes, is the only foreign part. */
    char *to = buf;
    bool foreign = false, zero = true;
    for (const char *s = raw; *s; s++) {
        bool known = strchr("0123456789+-eainf", *s) != NULL;
        if (known || !foreign) *to++ = known ? *s : '.';
        foreign = !known;
        if (known && !strchr("0+-", *s)) zero = false;
    }
    *to = 0;
    if (zero && buf[0] == '-') memmove(buf, buf + 1, strlen(buf));
    return buf;
}

const char *fig_count(char buf[32], int64_t value) {
    char raw[24], *to = buf;
    int digits = snprintf(raw, sizeof raw, "%lld", (long long)value);
    for (int i = 0; i < digits; i++) {
        *to++ = raw[i];
        if (raw[i] != '-' && (digits - i) % 3 == 1 && i + 1 < digits) *to++ = ',';
    }
    *to = 0;
    return buf;
}

/* Writing ---------------------------------------------------------------------------------------- */

void fig_put(fig_bytes *out, const void *data, size_t size) {
    if (out->failed != LENS_OK || size == 0) return;
    size_t need;
    if (!add_size(out->size, size + 1, &need)) {
        out->failed = ctx_nomem(out->ctx, size, "figure");
        return;
    }
    if (need > out->cap) {
        size_t cap = need + out->cap;
        char *grown = ctx_grow(out->ctx, out->data, out->cap, cap, 1);
        if (!grown) {
            out->failed = LENS_NOMEM;
            return;
        }
        out->data = grown;
        out->cap = cap;
    }
    memcpy(out->data + out->size, data, size);
    out->size += size;
    out->data[out->size] = 0;
}

lens_status lens_figure_bytes(const lens_figure *fig, lens_figure_format format, char **bytes,
                              size_t *size) {
    fig_bytes out = { .ctx = fig->ctx };
    lens_status status = format == LENS_FIGURE_SVG ? fig_svg(fig, &out)
                         : format == LENS_FIGURE_PNG
                             ? fig_png(fig, &out)
                             : ctx_fail(fig->ctx, LENS_BAD_ARG,
                                        "figure: format is %d but must be "
                                        "LENS_FIGURE_SVG or LENS_FIGURE_PNG",
                                        (int)format);
    if (status != LENS_OK) {
        ctx_free(fig->ctx, out.data);
        return status;
    }
    *bytes = out.data;
    *size = out.size;
    return LENS_OK;
}

bool fig_ends_with(const char *text, const char *lower) {
    size_t n = strlen(text), m = strlen(lower);
    if (n < m) return false;
    for (size_t i = 0; i < m; i++) {
        char c = text[n - m + i];
        if ((c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c) != lower[i]) return false;
    }
    return true;
}

lens_status fig_save(lens_ctx *ctx, const char *path, char *bytes, size_t size) {
    lens_status status = lens_file_write(ctx, path, bytes, size);
    ctx_free(ctx, bytes);
    return status;
}

lens_status lens_figure_write(const lens_figure *fig, const char *path) {
    lens_figure_format format = LENS_FIGURE_SVG;
    if (fig_ends_with(path, ".png"))
        format = LENS_FIGURE_PNG;
    else if (!fig_ends_with(path, ".svg"))
        return ctx_fail(fig->ctx, LENS_BAD_ARG,
                        "%s: figures are written as .svg or .png, chosen by the file name", path);
    char *bytes;
    size_t size;
    LENS_TRY(lens_figure_bytes(fig, format, &bytes, &size));
    return fig_save(fig->ctx, path, bytes, size);
}
