/* svg.c - the display list as SVG 1.1.
 *
 * Text stays text. textLength pins each text to the width the layout measured, so that whatever
 * font the viewer has, nothing is clipped or overlaps; the font list prefers widths like ours for
 * viewers that ignore it. Pictures are PNG data URIs, to be enlarged without smoothing:
 * optimizeSpeed is SVG 1.1's word for that, pixelated the one of CSS. Numbers are %.6g in any
 * locale and there is no date: the same figure gives the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include "format/image.h"
#include <math.h>
#include <string.h>

static void str(fig_bytes *out, const char *text) { fig_put(out, text, strlen(text)); }

static void attr(fig_bytes *out, const char *name, double value) {
    char num[32];
    str(out, " ");
    str(out, name);
    str(out, "=\"");
    str(out, fig_number(num, "%.6g", value));
    str(out, "\"");
}

static void attr_rgb(fig_bytes *out, const char *name, fig_rgb rgb) {
    char text[48];
    snprintf(text, sizeof text, " %s=\"#%02x%02x%02x\"", name, rgb.r, rgb.g, rgb.b);
    str(out, text);
}

void fig_escaped(fig_bytes *out, const char *text) {
    while (*text) {
        const char *start = text;
        if (*text == '\n') {
            text++;
            str(out, "\n");
            continue;
        }
        switch (fig_utf8(&text)) {
        case '&': str(out, "&amp;"); break;
        case '<': str(out, "&lt;"); break;
        case '>': str(out, "&gt;"); break;
        case 0xfffd: str(out, "\xef\xbf\xbd"); break;
        default: fig_put(out, start, (size_t)(text - start));
        }
    }
}

static void element(fig_bytes *out, const char *name, const char *role) {
    str(out, "<");
    str(out, name);
    if (role) {
        str(out, " class=\"");
        str(out, role);
        str(out, "\"");
    }
}

static void paint(fig_bytes *out, const fig_paint *p) {
    if (p->filled)
        attr_rgb(out, "fill", p->fill);
    else
        str(out, " fill=\"none\"");
    if (!p->stroked) return;
    attr_rgb(out, "stroke", p->stroke);
    attr(out, "stroke-width", p->thick);
}

static void base64(fig_bytes *out, const uint8_t *data, size_t size) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const uint8_t *p = data + i;
        size_t n = size - i;
        unsigned bits = p[0] << 16 | (n > 1 ? p[1] : 0u) << 8 | (n > 2 ? p[2] : 0u);
        char quad[4] = { digit[bits >> 18], digit[bits >> 12 & 63],
                         n > 1 ? digit[bits >> 6 & 63] : '=', n > 2 ? digit[bits & 63] : '=' };
        fig_put(out, quad, sizeof quad);
    }
}

/* Viewers that ignore image-rendering smooth between neighbouring pixels. With so many pixels for
 * every CSS pixel, that blurs the edges of cells by a quarter of a CSS pixel at most. */
#define PIXELS_PER_CSS 2

/* The picture with every cell repeated k by k times, as a PNG file. */
static lens_status enlarged(lens_ctx *ctx, const fig_prim *p, int k, uint8_t **png, size_t *size) {
    lens_image big = { .width = p->iw * k, .height = p->ih * k, .channels = 3 };
    size_t w = (size_t)big.width, h = (size_t)big.height, n = (size_t)k;
    big.pixels = ctx_alloc(ctx, w * h, 3);
    if (!big.pixels) return LENS_NOMEM;
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++)
            memcpy(big.pixels + 3 * (y * w + x), p->rgb + 3 * (y / n * (size_t)p->iw + x / n), 3);
    lens_status status = img_encode_png(ctx, &big, png, size);
    ctx_free(ctx, big.pixels);
    return status;
}

static void image(fig_bytes *out, const fig_prim *p) {
    uint8_t *png;
    size_t size;
    int k = (int)ceil(PIXELS_PER_CSS * p->w / p->iw);
    lens_status status = enlarged(out->ctx, p, k, &png, &size);
    if (status != LENS_OK) {
        if (out->failed == LENS_OK) out->failed = status;
        return;
    }
    element(out, "image", p->role);
    attr(out, "x", p->x);
    attr(out, "y", p->y);
    attr(out, "width", p->w);
    attr(out, "height", p->h);
    str(out, " preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\" "
             "style=\"image-rendering:pixelated\" "
             "href=\"data:image/png;base64,");
    base64(out, png, size);
    str(out, "\"/>\n");
    ctx_free(out->ctx, png);
}

static void line(fig_bytes *out, const fig_prim *p) {
    char num[32];
    element(out, "polyline", p->role);
    str(out, " points=\"");
    for (int i = 0; i < 2 * p->points; i++) {
        if (i) str(out, i % 2 ? "," : " ");
        str(out, fig_number(num, "%.6g", p->xy[i]));
    }
    str(out, "\"");
    paint(out, &p->paint);
    str(out, "/>\n");
}

static void text(fig_bytes *out, const fig_prim *p) {
    static const char *const anchors[] = { NULL, "middle", "end" };
    element(out, "text", p->role);
    if (p->font.up) {
        char num[32];
        str(out, " transform=\"translate(");
        str(out, fig_number(num, "%.6g", p->x));
        str(out, ",");
        str(out, fig_number(num, "%.6g", p->y));
        str(out, ") rotate(-90)\"");
    } else {
        attr(out, "x", p->x);
        attr(out, "y", p->y);
    }
    attr(out, "font-size", p->font.size);
    attr_rgb(out, "fill", p->font.ink);
    if (p->font.bold) str(out, " font-weight=\"bold\"");
    if (p->font.anchor != FIG_START) {
        str(out, " text-anchor=\"");
        str(out, anchors[p->font.anchor]);
        str(out, "\"");
    }
    attr(out, "textLength", p->w);
    str(out, " lengthAdjust=\"spacingAndGlyphs\">");
    fig_escaped(out, p->text);
    str(out, "</text>\n");
}

static void shape(fig_bytes *out, const fig_prim *p) {
    bool round = p->kind == FIG_CIRCLE;
    element(out, round ? "circle" : "rect", p->role);
    attr(out, round ? "cx" : "x", p->x);
    attr(out, round ? "cy" : "y", p->y);
    attr(out, round ? "r" : "width", p->w);
    if (!round) attr(out, "height", p->h);
    paint(out, &p->paint);
    str(out, "/>\n");
}

lens_status fig_svg(const lens_figure *fig, fig_bytes *out) {
    str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    attr(out, "width", fig->width);
    attr(out, "height", fig->height);
    char box[96], w[32], h[32];
    snprintf(box, sizeof box, " viewBox=\"0 0 %s %s\"", fig_number(w, "%.6g", fig->width),
             fig_number(h, "%.6g", fig->height));
    str(out, box);
    if (fig->lang == LENS_LANG_ZH) str(out, " xml:lang=\"zh-Hans\"");
    str(out,
        " role=\"img\" font-family=\"Helvetica, Arial, 'Liberation Sans', "
        "'DejaVu Sans Condensed', 'Noto Sans CJK SC', 'WenQuanYi Micro Hei', "
        "'Microsoft YaHei', 'PingFang SC', sans-serif\" stroke-linecap=\"round\" stroke-linejoin=\"round\">\n<title>");
    fig_escaped(out, fig->title);
    str(out, "</title>\n<desc>");
    if (fig->notes) fig_escaped(out, fig->notes);
    str(out, "</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    for (size_t i = 0; i < fig->count; i++) {
        const fig_prim *p = &fig->prim[i];
        switch (p->kind) {
        case FIG_RECT:
        case FIG_CIRCLE: shape(out, p); break;
        case FIG_LINE: line(out, p); break;
        case FIG_TEXT: text(out, p); break;
        case FIG_IMAGE: image(out, p); break;
        }
    }
    str(out, "</svg>\n");
    return out->failed;
}
