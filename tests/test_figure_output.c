/* test_figure_output.c - figures: what SVG, PNG, animations and pages make of the display list.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include "support/comma.h"
#include "support/figures.h"
#include "support/tempdir.h"
#include <lenslet/image.h>
#include <zlib.h>

/* Well-formedness of the XML we can produce: one root, nested tags, quoted attributes without '<',
 * known entities, no control characters. Returns NULL, or where it breaks. */
static const char *xml_error(const char *s) {
    char stack[16][32];
    int depth = 0, roots = 0;
    if (strncmp(s, "<?xml ", 6) != 0 || !(s = strstr(s, "?>"))) return "no declaration";
    for (s += 2; *s;) {
        if ((unsigned char)*s < 32 && *s != '\n') return s;
        if (*s == '&') {
            static const char *const known[] = { "&amp;", "&lt;", "&gt;", "&quot;" };
            size_t n = 0;
            for (size_t i = 0; i < LENS_COUNT(known); i++)
                if (strncmp(s, known[i], strlen(known[i])) == 0) n = strlen(known[i]);
            if (n == 0 || depth == 0) return s;
            s += n;
        } else if (*s != '<') {
            if (*s == '>' || (depth == 0 && *s != '\n')) return s;
            s++;
        } else if (s[1] == '/') {
            size_t n = depth ? strlen(stack[depth - 1]) : 0;
            if (n == 0 || strncmp(s + 2, stack[depth - 1], n) != 0 || s[2 + n] != '>') return s;
            depth--;
            s += n + 3;
        } else {
            size_t n = strcspn(s + 1, " />\n");
            if (n == 0 || n >= 32 || depth == 16 || (depth == 0 && roots++)) return s;
            memcpy(stack[depth], s + 1, n);
            stack[depth++][n] = 0;
            for (s += 1 + n; *s == ' ';) {
                s += 1 + strspn(s, " ") - 1;
                size_t name =
                    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-:0123456789");
                if (name == 0 || s[name] != '=' || s[name + 1] != '"') return s;
                s += name + 2;
                s += strcspn(s, "\"<&");
                if (*s++ != '"') return s;
            }
            if (*s == '/') depth--, s++;
            if (*s++ != '>') return s;
        }
    }
    return depth == 0 && roots == 1 ? NULL : "unbalanced";
}

static void xml_checker_checks(void **state) {
    (void)state;
#define DECL "<?xml version=\"1.0\"?>"
    assert_null(xml_error(DECL "<a b=\"c\"><d/>x &amp; y</a>\n"));
    static const char *const broken[] = {
        "<a></a>",        DECL "<a>",           DECL "<a></b>",         DECL "<a b=c></a>",
        DECL "<a>&</a>",  DECL "<a b=\"<\"/>",  DECL "<a/><b/>",        DECL "<a>\x01</a>",
        DECL "<a>x</a>y", DECL "<a>&nbsp;</a>", DECL "<a b=\"&\"></a>",
    };
    for (size_t i = 0; i < LENS_COUNT(broken); i++) assert_non_null(xml_error(broken[i]));
}

static void svg_well_formed(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(sample_figures); m++) {
        lens_figure *fig;
        char *svg;
        size_t size;
        assert_ok(ctx, sample_figures[m].make(ctx, &fig));
        assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
        assert_int_equal(strlen(svg), size);
        const char *at = xml_error(svg);
        if (at) fail_msg("%s: not well-formed at: %.60s", sample_figures[m].name, at);
        assert_non_null(strstr(svg, "<title>"));
        assert_non_null(strstr(svg, "<desc>"));
        lens_free(ctx, svg);
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

static void svg_keeps_text(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    char *svg;
    size_t size;
    assert_ok(ctx, make_sheet(ctx, &fig));
    assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
    assert_non_null(strstr(svg, ">one &lt;b&gt;&amp;\"am")); /* shortened to its room */
    assert_non_null(strstr(svg, ">\xe5\x8d\xb7\xe7\xa7\xaf \xef\xbf\xbd\xef\xbf\xbd</text>"));
    assert_non_null(strstr(svg, "href=\"data:image/png;base64,iVBORw0KGgo"));
    assert_non_null(strstr(svg, "image-rendering:pixelated"));
    lens_free(ctx, svg);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* The picture embedded in an SVG is the picture: decode it again. */
static void svg_picture_round_trip(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (int w = 1; w <= 3; w++) { /* all three paddings of base64 turn up */
        float data[3] = { 0, 0.5f, 1 };
        lens_figure_picture p = { data, 1, 1, w, 0, 0 };
        lens_figure *fig;
        char *svg;
        size_t size, n = 0;
        assert_ok(ctx, lens_figure_sheet(ctx, &fig, &p, NULL, 1, NULL));
        assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_SVG, &svg, &size));
        const char *s = strstr(svg, "base64,") + 7;
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint8_t *png = malloc(size);
        assert_non_null(png);
        unsigned bits = 0;
        for (int have = 0; *s != '"' && *s != '='; s++) {
            bits = bits << 6 | (unsigned)(strchr(digits, *s) - digits);
            have += 6;
            if (have >= 8) png[n++] = (uint8_t)(bits >> (have -= 8));
        }
        lens_image image;
        assert_ok(ctx, img_decode(ctx, &image, png, n, "embedded", (img_opts){ .channels = 3 }));
        assert_int_equal(image.width % w, 0);
        for (int x = 0; x < image.width; x++) {
            int value = (int)lrint(data[x * w / image.width] * 255);
            for (int k = 0; k < 3; k++) assert_int_equal(image.pixels[3 * x + k], value);
        }
        lens_image_free(ctx, &image);
        free(png);
        lens_free(ctx, svg);
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

static lens_image rendered(lens_ctx *ctx, const lens_figure *fig) {
    char *png;
    size_t size;
    lens_image image;
    assert_ok(ctx, lens_figure_bytes(fig, LENS_FIGURE_PNG, &png, &size));
    assert_ok(ctx, img_decode(ctx, &image, png, size, "figure.png", (img_opts){ .channels = 3 }));
    lens_free(ctx, png);
    return image;
}

static fig_rgb pixel(const lens_image *image, int x, int y) {
    const uint8_t *p = image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    return (fig_rgb){ p[0], p[1], p[2] };
}

static void png_pixels(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float w[9] = { -1, 0, 1, 0.5f, 0, 0, 0, 0, NAN };
    for (int scale = 1; scale <= 4; scale++) {
        lens_figure_opts opts = { .png_scale = scale };
        lens_figure *fig;
        assert_ok(ctx, lens_figure_filters(ctx, &fig, w, 1, 1, 3, 3, &opts));
        lens_image image = rendered(ctx, fig);
        assert_int_equal(image.width, (int)fig->width * scale);
        assert_int_equal(image.height, (int)fig->height * scale);
        const fig_prim *tile = nth(fig, "tile", 0);
        fig_rgb expected[9];
        for (int i = 0; i < 9; i++) expected[i] = isnan(w[i]) ? FIG_BAD : fig_diverging(w[i]);
        for (int i = 0; i < 9; i++) {
            /* Near the upper left corner of the cell, away from grid line and number. */
            int x = (int)((tile->x + (i % 3 + 0.12) * tile->w / 3) * scale);
            int y = (int)((tile->y + (i / 3 + 0.12) * tile->h / 3) * scale);
            assert_true(same(pixel(&image, x, y), expected[i]));
        }
        assert_true(same(pixel(&image, 0, 0), FIG_WHITE));
        assert_true(same(pixel(&image, image.width - 1, image.height - 1), FIG_WHITE));
        lens_image_free(ctx, &image);
        lens_figure_free(fig);
    }
    lens_ctx_free(ctx);
}

/* Every text leaves ink inside its box, and none outside the canvas's margin. */
static void png_text_has_ink(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    assert_ok(ctx, make_confusion(ctx, &fig));
    lens_image image = rendered(ctx, fig);
    int upright = 0;
    for (size_t i = 0; i < fig->count; i++) {
        const fig_prim *p = &fig->prim[i];
        if (p->kind != FIG_TEXT) continue;
        upright += p->font.up;
        bounds b = text_bounds(p);
        int found = 0;
        for (int y = (int)b.y0 * 2; y < (int)b.y1 * 2; y++)
            for (int x = (int)b.x0 * 2; x < (int)b.x1 * 2; x++)
                found += same(pixel(&image, x, y), p->font.ink);
        if (found < 2) fail_msg("\"%s\" left %d pixels of ink", p->text, found);
    }
    assert_true(upright > 5);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < 2; x++) assert_true(same(pixel(&image, x, y), FIG_WHITE));
    lens_image_free(ctx, &image);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

/* A shape of whole pixels covers exactly its pixels; half covered pixels are half as dark. */
static void png_coverage(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    lens_figure_opts use;
    assert_ok(ctx, fig_begin(ctx, &fig, &(lens_figure_opts){ .png_scale = 1 }, &use));
    fig_header(fig, 400, "t", NULL);
    fig_rgb black = { 0, 0, 0 };
    fig_rect(fig, NULL, 100, 100, 10.5, 10, fig_fill(black));
    fig_rect(fig, NULL, 200.5, 100.5, 20, 20, fig_stroke(black, 1));
    fig_line(fig, 300, 100.5, 350, 100.5, black, 1);
    fig_circle(fig, NULL, 60, 160, 10, fig_fill(black));
    fig_line(fig, 300, 150, 350, 200, black, 1);
    /* An L, and an L on its back: stem and foot of 40 and 33 pixels with pens of 6. */
    fig_font font = { .size = 80, .ink = black };
    fig_text(fig, NULL, 100, 200, font, "L");
    font.up = true;
    fig_text(fig, NULL, 250, 200, font, "L");
    assert_ok(ctx, fig_end(fig, 220, NULL, &fig));
    lens_image image = rendered(ctx, fig);
    assert_int_equal(pixel(&image, 100, 100).r, 0);
    assert_int_equal(pixel(&image, 109, 109).r, 0);
    assert_in_range(pixel(&image, 110, 105).r, 126, 129);
    assert_int_equal(pixel(&image, 111, 105).r, 255);
    assert_int_equal(pixel(&image, 99, 105).r, 255);
    assert_int_equal(pixel(&image, 200, 110).r, 0);
    assert_int_equal(pixel(&image, 201, 110).r, 255);
    assert_int_equal(pixel(&image, 220, 120).r, 0);
    assert_int_equal(pixel(&image, 325, 100).r, 0);
    assert_int_equal(pixel(&image, 325, 99).r, 255);
    assert_int_equal(pixel(&image, 325, 101).r, 255);
    double area = 0;
    for (int y = 145; y < 175; y++)
        for (int x = 45; x < 75; x++) area += (255 - pixel(&image, x, y).r) / 255.0;
    assert_near(area, 3.14159265 * 100, 1.5);
    assert_int_equal(pixel(&image, 325, 175).r, 0);
    static const int ink[][2] = { { 109, 150 }, { 109, 195 }, { 135, 197 }, /* stem, corner, foot */
                                  { 200, 191 }, { 245, 191 }, { 247, 165 } };
    static const int paper[][2] = { { 135, 150 }, { 91, 150 }, { 200, 165 }, { 255, 191 } };
    for (size_t i = 0; i < LENS_COUNT(ink); i++)
        assert_int_equal(pixel(&image, ink[i][0], ink[i][1]).r, 0);
    for (size_t i = 0; i < LENS_COUNT(paper); i++)
        assert_int_equal(pixel(&image, paper[i][0], paper[i][1]).r, 255);
    lens_image_free(ctx, &image);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void same_bytes_twice(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (size_t m = 0; m < LENS_COUNT(sample_figures); m++)
        for (int format = LENS_FIGURE_SVG; format <= LENS_FIGURE_PNG; format++) {
            char *bytes[2];
            size_t size[2];
            for (int i = 0; i < 2; i++) {
                lens_figure *fig;
                assert_ok(ctx, sample_figures[m].make(ctx, &fig));
                assert_ok(ctx,
                          lens_figure_bytes(fig, (lens_figure_format)format, &bytes[i], &size[i]));
                lens_figure_free(fig);
            }
            assert_int_equal(size[0], size[1]);
            assert_memory_equal(bytes[0], bytes[1], size[0]);
            lens_free(ctx, bytes[0]);
            lens_free(ctx, bytes[1]);
        }
    lens_ctx_free(ctx);
}

static void numbers_ignore_the_locale(void **state) {
    (void)state;
    if (!comma_begin())
        print_message("no locale with a decimal comma is to be had: run in \"C\" alone\n");
    char buf[32];
    assert_string_equal(fig_number(buf, "%.6g", 1234.5), "1234.5");
    assert_string_equal(fig_number(buf, "%.6g", -1e-7), "-1e-07");
    assert_string_equal(fig_number(buf, "%.2f", -0.001), "0.00");
    assert_string_equal(fig_number(buf, "%.2f", -0.5), "-0.50");
    assert_string_equal(fig_number(buf, "%+.3g", 0.25), "+0.25");
    assert_string_equal(fig_count(buf, 0), "0");
    assert_string_equal(fig_count(buf, 999), "999");
    assert_string_equal(fig_count(buf, 61706), "61,706");
    assert_string_equal(fig_count(buf, -1234567), "-1,234,567");
    comma_end();
}

static void written_files(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char dir[TEMPDIR_PATH], path[TEMPDIR_PATH + 32];
    tempdir_make(dir);
    lens_figure *fig;
    assert_ok(ctx, make_arch(ctx, &fig));
    static const struct {
        const char *name, *start;
    } good[] = { { "a.svg", "<?xml" }, { "b.PNG", "\x89PNG" }, { "c.d.Svg", "<?xml" } };
    for (size_t i = 0; i < LENS_COUNT(good); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, good[i].name);
        assert_ok(ctx, lens_figure_write(fig, path));
        char *bytes, *expected;
        size_t size, expected_size;
        assert_ok(ctx, file_read(ctx, path, 1 << 24, &bytes, &size));
        assert_memory_equal(bytes, good[i].start, strlen(good[i].start));
        assert_ok(ctx, lens_figure_bytes(fig, bytes[0] == '<' ? LENS_FIGURE_SVG : LENS_FIGURE_PNG,
                                         &expected, &expected_size));
        assert_int_equal(size, expected_size);
        assert_memory_equal(bytes, expected, size);
        ctx_free(ctx, bytes);
        ctx_free(ctx, expected);
    }
    static const char *const bad[] = { "a.jpg", "svg", "a.", "a.pdf", "a.svgz", "" };
    for (size_t i = 0; i < LENS_COUNT(bad); i++)
        assert_fails(ctx, LENS_BAD_ARG, ".svg or .png", lens_figure_write(fig, bad[i]));
    snprintf(path, sizeof path, "%s/missing/a.svg", dir);
    assert_fails(ctx, LENS_IO, "missing", lens_figure_write(fig, path));
    assert_int_equal(tempdir_count(dir), 3);
    assert_fails(ctx, LENS_BAD_ARG, "format is 7",
                 lens_figure_bytes(fig, (lens_figure_format)7, &(char *){ NULL }, &(size_t){ 0 }));
    lens_figure_free(fig);
    lens_figure_free(NULL);
    tempdir_remove(dir);
    lens_ctx_free(ctx);
}

static void png_too_large(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    lens_figure_opts use;
    assert_ok(ctx, fig_begin(ctx, &fig, &(lens_figure_opts){ .png_scale = 4 }, &use));
    fig_header(fig, 9000, "wide", NULL);
    assert_ok(ctx, fig_end(fig, 100, NULL, &fig));
    assert_fails(ctx, LENS_UNSUPPORTED, "36000 x",
                 lens_figure_bytes(fig, LENS_FIGURE_PNG, &(char *){ NULL }, &(size_t){ 0 }));
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Numbers of an animation with one tile whose picture is `value`. */
static lens_figure *frame_of(lens_ctx *ctx, float value, lens_lang tongue) {
    const lens_figure_tile tile = { .name = "a frame",
                                    .picture = { &value, 1, 1, 1, 0, 0 },
                                    .side = 100 };
    lens_figure *fig = NULL;
    assert_ok(ctx,
              lens_figure_tiles(ctx, &fig, &tile, 1, 1, &(lens_figure_opts){ .lang = tongue }));
    return fig;
}

/* APNG, chunk by chunk: numbered without a gap, as many frames as told; each frame's pixels, put back
 * into a PNG of their own, are those of its figure. */
static void animated_png(void **state) {
    (void)state;
    enum { FRAMES = 3 };
    lens_ctx *ctx = test_ctx(1);
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 16];
    tempdir_make(folder);
    snprintf(path, sizeof path, "%s/a.png", folder);
    lens_figure *fig[FRAMES];
    for (int i = 0; i < FRAMES; i++) fig[i] = frame_of(ctx, (float)i / 2, LENS_LANG_EN);
    assert_ok(ctx, lens_figure_write_frames(fig, FRAMES, 250, path));
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static uint8_t bytes[1 << 18];
    size_t size = fread(bytes, 1, sizeof bytes, file), at = 8;
    fclose(file);
    uint32_t sequence = 0;
    int controls = 0;
    lens_image first = { 0 };
    assert_ok(ctx,
              lens_image_read(ctx, &first, path, 3)); /* any PNG reader shows the first frame */
    assert_int_equal(first.width, (int)fig[0]->width * fig[0]->png_scale);
    lens_image_free(ctx, &first);
    uint8_t still[FRAMES][1 << 16];
    size_t still_size[FRAMES] = { 0 };
    for (; at < size; at += be32(bytes + at) + 12) {
        const uint8_t *p = bytes + at;
        uint32_t length = be32(p);
        uLong crc = crc32(crc32(0, NULL, 0), p + 4, length + 4);
        assert_int_equal(be32(p + 8 + length), crc);
        if (!memcmp(p + 4, "acTL", 4)) assert_int_equal(be32(p + 8), FRAMES);
        if (!memcmp(p + 4, "fcTL", 4)) {
            assert_int_equal(be32(p + 8), sequence++);
            assert_int_equal(p[8 + 20] << 8 | p[8 + 21], 250);
            controls++;
        }
        bool more = !memcmp(p + 4, "fdAT", 4);
        if (more) assert_int_equal(be32(p + 8), sequence++);
        if (more || !memcmp(p + 4, "IDAT", 4)) {
            size_t skip = more ? 4 : 0;
            memcpy(still[controls - 1] + still_size[controls - 1], p + 8 + skip, length - skip);
            still_size[controls - 1] += length - skip;
        }
    }
    assert_int_equal(controls, FRAMES);
    for (int i = 0; i < FRAMES; i++) {
        char *png;
        size_t png_size, to = 0;
        assert_ok(ctx, lens_figure_bytes(fig[i], LENS_FIGURE_PNG, &png, &png_size));
        for (size_t k = 8; k < png_size; k += be32((uint8_t *)png + k) + 12)
            if (!memcmp(png + k + 4, "IDAT", 4)) {
                assert_memory_equal(png + k + 8, still[i] + to, be32((uint8_t *)png + k));
                to += be32((uint8_t *)png + k);
            }
        assert_int_equal(to, still_size[i]);
        lens_free(ctx, png);
        lens_figure_free(fig[i]);
    }
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

static int times(const char *text, const char *part) {
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

static void pages_and_single_frames(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char folder[TEMPDIR_PATH], path[TEMPDIR_PATH + 16];
    tempdir_make(folder);
    lens_figure *fig[2] = { frame_of(ctx, 0, LENS_LANG_ZH), frame_of(ctx, 1, LENS_LANG_ZH) };
    snprintf(path, sizeof path, "%s/a.html", folder);
    assert_ok(ctx, lens_figure_write_frames(fig, 2, 250, path));
    char *page = slurp(path);
    assert_int_equal(times(page, "<svg"), 2);
    assert_int_equal(times(page, "<?xml"), 0);
    assert_int_equal(times(page, "lang=\"zh-Hans\""), 3); /* the page and both figures */
    assert_int_equal(times(page, "</svg>"), 2);
    assert_non_null(strstr(page, "\xe6\x92\xad\xe6\x94\xbe")); /* "play" in Chinese */
    /* Nothing is fetched: every address is data or the name of the SVG namespace. */
    assert_int_equal(times(page, "http"), 2);
    assert_int_equal(times(page, "http://www.w3.org/2000/svg"), 2);
    assert_int_equal(times(page, "src="), 0);
    free(page);
    snprintf(path, sizeof path, "%s/b.svg", folder);
    assert_ok(ctx, lens_figure_write_frames(fig, 2, 250, path));
    assert_int_equal(tempdir_count(folder), 3);
    snprintf(path, sizeof path, "%s/b-002.svg", folder);
    free(slurp(path));
    snprintf(path, sizeof path, "%s/b.gif", folder);
    assert_fails(ctx, LENS_BAD_ARG, "b.gif: animations",
                 lens_figure_write_frames(fig, 2, 250, path));
    assert_fails(ctx, LENS_BAD_ARG, "0 frames", lens_figure_write_frames(fig, 0, 250, path));
    assert_fails(ctx, LENS_BAD_ARG, "of 0 ms", lens_figure_write_frames(fig, 2, 0, path));
    lens_figure_free(fig[1]);
    fig[1] = NULL;
    assert_ok(ctx, make_tiles(ctx, &fig[1]));
    assert_fails(ctx, LENS_BAD_SHAPE, "frame 2", lens_figure_write_frames(fig, 2, 250, path));
    lens_figure_free(fig[0]);
    lens_figure_free(fig[1]);
    tempdir_remove(folder);
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("the XML checker finds faults", xml_checker_checks),
        T("SVG is well-formed XML", svg_well_formed),
        T("SVG keeps text as text", svg_keeps_text),
        T("SVG pictures decode to their values", svg_picture_round_trip),
        T("PNG: size, and the colours of known values", png_pixels),
        T("PNG: every text leaves ink", png_text_has_ink),
        T("PNG: coverage of shapes", png_coverage),
        T("same call, same bytes", same_bytes_twice),
        T("numbers in any locale", numbers_ignore_the_locale),
        T("files: both formats, bad names, unwritable folder", written_files),
        T("PNG beyond its size limit", png_too_large),
        T("animated PNG", animated_png),
        T("animations as a page and as single files", pages_and_single_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
