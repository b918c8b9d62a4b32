/* png.c - the display list as pixels.
 *
 * A shape is drawn in two steps: its coverage (0..255 per device pixel) is collected in `cover`,
 * where overlapping strokes of one shape take the larger value, then the colour is blended once.
 * Invariant: between shapes `cover` is all zero. Distances are in device pixels, and a pen covers a
 * pixel whose centre lies d away from its axis by clamp(thick/2 + 1/2 - d, 0, 1).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include "format/image.h"
#include <math.h>
#include <string.h>
#include <zlib.h>

/* A quarter of a gigabyte with the coverage: far more than any page of results. */
enum { MAX_SIDE = 32768, MAX_PIXELS = 1 << 26 };

/* The signature and the IHDR chunk, behind which metadata belongs. */
enum { HEADER_SIZE = 8 + 25 };

#define CSS_PER_METRE (96 / 0.0254)

/* The canvas, and the part of `cover` in use: x0 <= x < x1, y0 <= y < y1. */
typedef struct canvas {
    uint8_t *rgb, *cover;
    int w, h;
    int x0, y0, x1, y1;
    double scale;
} canvas;

static int clamp_int(double v, int low, int high) {
    return v <= low ? low : v >= high ? high : (int)v;
}

static double clamp01(double v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

typedef struct span {
    int x0, y0, x1, y1;
} span;

/* The pixels an area with these real bounds may touch. */
static span touch(canvas *c, double x0, double y0, double x1, double y1) {
    span s = { clamp_int(floor(x0), 0, c->w), clamp_int(floor(y0), 0, c->h),
               clamp_int(ceil(x1), 0, c->w), clamp_int(ceil(y1), 0, c->h) };
    if (s.x0 < c->x0) c->x0 = s.x0;
    if (s.y0 < c->y0) c->y0 = s.y0;
    if (s.x1 > c->x1) c->x1 = s.x1;
    if (s.y1 > c->y1) c->y1 = s.y1;
    return s;
}

static void deposit(canvas *c, int x, int y, double part) {
    uint8_t value = (uint8_t)(clamp01(part) * 255 + 0.5);
    uint8_t *at = &c->cover[(size_t)y * c->w + x];
    if (value > *at) *at = value;
}

static void reset(canvas *c) { c->x0 = c->w, c->y0 = c->h, c->x1 = c->y1 = 0; }

/* Blends the collected shape and clears it. */
static void blend(canvas *c, fig_rgb ink) {
    const uint8_t tone[3] = { ink.r, ink.g, ink.b };
    for (int y = c->y0; y < c->y1; y++)
        for (int x = c->x0; x < c->x1; x++) {
            size_t at = (size_t)y * c->w + x;
            int a = c->cover[at];
            for (int k = 0; a && k < 3; k++) {
                uint8_t *p = &c->rgb[3 * at + k];
                *p = (uint8_t)((*p * (255 - a) + tone[k] * a + 127) / 255);
            }
            c->cover[at] = 0;
        }
    reset(c);
}

static double overlap(double a0, double a1, int pixel) {
    return clamp01(fmin(a1, pixel + 1) - fmax(a0, pixel));
}

static void box(canvas *c, double x0, double y0, double x1, double y1) {
    span s = touch(c, x0, y0, x1, y1);
    for (int y = s.y0; y < s.y1; y++)
        for (int x = s.x0; x < s.x1; x++) deposit(c, x, y, overlap(x0, x1, x) * overlap(y0, y1, y));
}

static void stroke(canvas *c, double ax, double ay, double bx, double by, double thick) {
    double reach = thick / 2 + 0.5, dx = bx - ax, dy = by - ay, len2 = dx * dx + dy * dy;
    span s = touch(c, fmin(ax, bx) - reach, fmin(ay, by) - reach, fmax(ax, bx) + reach,
                   fmax(ay, by) + reach);
    for (int y = s.y0; y < s.y1; y++)
        for (int x = s.x0; x < s.x1; x++) {
            double px = x + 0.5 - ax, py = y + 0.5 - ay;
            double t = len2 > 0 ? clamp01((px * dx + py * dy) / len2) : 0;
            px -= t * dx, py -= t * dy;
            deposit(c, x, y, reach - sqrt(px * px + py * py));
        }
}

static void draw_rect(canvas *c, const fig_prim *p) {
    double k = c->scale, x0 = p->x * k, y0 = p->y * k, x1 = (p->x + p->w) * k,
           y1 = (p->y + p->h) * k, half = p->paint.thick * k / 2;
    if (p->paint.filled) {
        box(c, x0, y0, x1, y1);
        blend(c, p->paint.fill);
    }
    if (p->paint.stroked) {
        box(c, x0 - half, y0 - half, x1 + half, y0 + half);
        box(c, x0 - half, y1 - half, x1 + half, y1 + half);
        box(c, x0 - half, y0 - half, x0 + half, y1 + half);
        box(c, x1 - half, y0 - half, x1 + half, y1 + half);
        blend(c, p->paint.stroke);
    }
}

static void draw_circle(canvas *c, const fig_prim *p) {
    double k = c->scale, cx = p->x * k, cy = p->y * k, r = p->w * k;
    double half = p->paint.thick * k / 2, reach = r + half + 1;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0 ? !p->paint.filled : !p->paint.stroked) continue;
        span s = touch(c, cx - reach, cy - reach, cx + reach, cy + reach);
        for (int y = s.y0; y < s.y1; y++)
            for (int x = s.x0; x < s.x1; x++) {
                double dx = x + 0.5 - cx, dy = y + 0.5 - cy, d = sqrt(dx * dx + dy * dy);
                deposit(c, x, y, pass == 0 ? r + 0.5 - d : half + 0.5 - fabs(d - r));
            }
        blend(c, pass == 0 ? p->paint.fill : p->paint.stroke);
    }
}

static void draw_line(canvas *c, const fig_prim *p) {
    double k = c->scale;
    for (int i = 0; i + 1 < p->points; i++) {
        const double *a = p->xy + 2 * i;
        stroke(c, a[0] * k, a[1] * k, a[2] * k, a[3] * k, p->paint.thick * k);
    }
    if (p->points == 1) stroke(c, p->x * k, p->y * k, p->x * k, p->y * k, p->paint.thick * k);
    blend(c, p->paint.stroke);
}

/* Where the pen is, in device pixels; glyph units are hundredths of `em`. */
typedef struct pen {
    canvas *c;
    double ox, oy, em, thick, x, y;
    bool up;
} pen;

static void pen_move(void *user, double gx, double gy, bool start) {
    pen *p = user;
    double along = gx * p->em / 100, above = gy * p->em / 100;
    double x = p->up ? p->ox - above : p->ox + along;
    double y = p->up ? p->oy - along : p->oy - above;
    if (!start) stroke(p->c, p->x, p->y, x, y, p->thick);
    p->x = x, p->y = y;
}

static void pen_nowhere(void *user, double gx, double gy, bool start) {
    (void)user, (void)gx, (void)gy, (void)start;
}

static void draw_text(canvas *c, const fig_prim *p) {
    double em = p->font.size * c->scale, back = p->font.anchor * p->w * c->scale / 2;
    pen hand = { .c = c, .em = em, .up = p->font.up };
    hand.ox = p->x * c->scale - (hand.up ? 0 : back);
    hand.oy = p->y * c->scale + (hand.up ? back : 0);
    /* A baseline on a whole pixel keeps horizontal strokes sharp. */
    if (hand.up)
        hand.ox = floor(hand.ox + 0.5);
    else
        hand.oy = floor(hand.oy + 0.5);
    double unit;
    fig_glyph(' ', p->font.bold, pen_nowhere, NULL, &unit);
    hand.thick = unit * em / 100;
    for (const char *s = p->text; *s;) {
        double advance = fig_glyph(fig_utf8(&s), p->font.bold, pen_move, &hand, &unit) * em / 100;
        if (hand.up)
            hand.oy -= advance;
        else
            hand.ox += advance;
    }
    blend(c, p->font.ink);
}

static void draw_image(canvas *c, const fig_prim *p) {
    double k = c->scale, x0 = p->x * k, y0 = p->y * k, w = p->w * k, h = p->h * k;
    int px0 = clamp_int(ceil(x0 - 0.5), 0, c->w), px1 = clamp_int(ceil(x0 + w - 0.5), 0, c->w);
    int py0 = clamp_int(ceil(y0 - 0.5), 0, c->h), py1 = clamp_int(ceil(y0 + h - 0.5), 0, c->h);
    for (int y = py0; y < py1; y++) {
        int v = clamp_int((y + 0.5 - y0) / h * p->ih, 0, p->ih - 1);
        for (int x = px0; x < px1; x++) {
            int u = clamp_int((x + 0.5 - x0) / w * p->iw, 0, p->iw - 1);
            memcpy(c->rgb + 3 * ((size_t)y * c->w + x), p->rgb + 3 * ((size_t)v * p->iw + u), 3);
        }
    }
}

/* Fills in size and pixels of *picture; the caller frees them. */
static lens_status rasterise(const lens_figure *fig, lens_image *picture) {
    canvas c = { .scale = fig->png_scale };
    double w = fig->width * c.scale, h = fig->height * c.scale;
    if (w > MAX_SIDE || h > MAX_SIDE || w * h > MAX_PIXELS)
        return ctx_fail(fig->ctx, LENS_UNSUPPORTED,
                        "figure: %.0f x %.0f pixels but a PNG holds at most %d a side and %d in "
                        "all; write SVG or use a smaller png_scale",
                        w, h, MAX_SIDE, MAX_PIXELS);
    picture->width = c.w = (int)w, picture->height = c.h = (int)h;
    size_t pixels = (size_t)c.w * (size_t)c.h;
    picture->pixels = c.rgb = ctx_alloc(fig->ctx, pixels, 3);
    c.cover = ctx_alloc(fig->ctx, pixels, 1);
    if (!c.rgb || !c.cover) {
        ctx_free(fig->ctx, c.cover);
        return LENS_NOMEM;
    }
    memset(c.rgb, 255, 3 * pixels);
    reset(&c);
    for (size_t i = 0; i < fig->count; i++) {
        const fig_prim *p = &fig->prim[i];
        switch (p->kind) {
        case FIG_RECT: draw_rect(&c, p); break;
        case FIG_CIRCLE: draw_circle(&c, p); break;
        case FIG_LINE: draw_line(&c, p); break;
        case FIG_TEXT: draw_text(&c, p); break;
        case FIG_IMAGE: draw_image(&c, p); break;
        }
    }
    ctx_free(fig->ctx, c.cover);
    return LENS_OK;
}

/* Metadata --------------------------------------------------------------------------------------- */

static void put_word(fig_bytes *out, uint32_t v) {
    uint8_t be[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    fig_put(out, be, sizeof be);
}

void fig_chunk(fig_bytes *out, const char type[5], const void *head, size_t head_size,
               const void *tail, size_t tail_size) {
    put_word(out, (uint32_t)(head_size + tail_size));
    fig_put(out, type, 4);
    fig_put(out, head, head_size);
    fig_put(out, tail, tail_size);
    uLong crc = crc32(0, (const Bytef *)type, 4);
    if (head_size) crc = crc32(crc, head, (uInt)head_size);
    if (tail_size) crc = crc32(crc, tail, (uInt)tail_size);
    put_word(out, (uint32_t)crc);
}

/* The size on paper, title and notes: chunks pHYs and iTXt (PNG specification, 11.3.4, 11.3.5). */
static void put_metadata(fig_bytes *out, const lens_figure *fig) {
    /* iTXt: keyword 0, two zeros for "not compressed", empty language 0, empty translation 0. */
    static const char title[] = "Title\0\0\0\0", notes[] = "Description\0\0\0\0";
    uint32_t density = (uint32_t)(fig->png_scale * CSS_PER_METRE + 0.5);
    uint8_t phys[9] = { 0, 0, (uint8_t)(density >> 8), (uint8_t)density,
                        0, 0, (uint8_t)(density >> 8), (uint8_t)density,
                        1 };
    fig_chunk(out, "pHYs", phys, sizeof phys, NULL, 0);
    fig_chunk(out, "iTXt", title, sizeof title, fig->title, strlen(fig->title));
    if (fig->notes) fig_chunk(out, "iTXt", notes, sizeof notes, fig->notes, strlen(fig->notes));
}

lens_status fig_png(const lens_figure *fig, fig_bytes *out) {
    uint8_t *file = NULL;
    size_t size;
    lens_image picture = { .channels = 3 };
    lens_status status = rasterise(fig, &picture);
    if (status == LENS_OK) status = img_encode_png(fig->ctx, &picture, &file, &size);
    if (status == LENS_OK) {
        fig_put(out, file, HEADER_SIZE);
        put_metadata(out, fig);
        fig_put(out, file + HEADER_SIZE, size - HEADER_SIZE);
        status = out->failed;
    }
    ctx_free(fig->ctx, file);
    ctx_free(fig->ctx, picture.pixels);
    return status;
}
