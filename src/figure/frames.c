/* frames.c - figures shown one after the other: an animated PNG, a page, or a file for each.
 *
 * An animated PNG (APNG, in the third edition of the PNG specification) is a PNG whose picture is the
 * first frame, so it is put together from the chunks of finished PNG files: libpng writes none.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <string.h>

enum { MAX_FRAMES = 999, MAX_DELAY = 65535, SIGNATURE = 8, CHUNK_ENDS = 12 };

static uint32_t word_at(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *put_be(uint8_t *to, uint32_t v, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) *to++ = (uint8_t)(v >> 8 * i);
    return to;
}

/* fcTL: number in the sequence, the whole canvas, delay/1000 s, stays, replaces what was there. */
static void put_control(fig_bytes *out, uint32_t *sequence, const uint8_t *header, int delay) {
    uint8_t data[26] = { 0 }, *to = put_be(data, (*sequence)++, 4);
    memcpy(to, header, 8); /* width, height */
    put_be(put_be(to + 16, (uint32_t)delay, 2), 1000, 2);
    fig_chunk(out, "fcTL", data, sizeof data, NULL, 0);
}

/* The chunks of one PNG file. The first frame gives its own, header and metadata included; the others
 * their pixels, numbered. */
static void put_frame(fig_bytes *out, const uint8_t *png, size_t size, bool first, int frames,
                      int delay, uint32_t *sequence) {
    const uint8_t *header = png + SIGNATURE + 8;
    bool begun = false;
    if (first) fig_put(out, png, SIGNATURE);
    for (size_t at = SIGNATURE; at < size;) {
        size_t length = word_at(png + at);
        const char *type = (const char *)png + at + 4;
        const uint8_t *data = png + at + 8;
        bool pixels = !memcmp(type, "IDAT", 4), end = !memcmp(type, "IEND", 4);
        if (pixels && !begun) {
            put_control(out, sequence, header, delay);
            begun = true;
        }
        if (first && !end) {
            fig_put(out, png + at, length + CHUNK_ENDS);
            if (!memcmp(type, "IHDR", 4)) {
                uint8_t control[8]; /* frames, and 0: for ever */
                put_be(put_be(control, (uint32_t)frames, 4), 0, 4);
                fig_chunk(out, "acTL", control, sizeof control, NULL, 0);
            }
        } else if (pixels) {
            uint8_t number[4];
            put_be(number, (*sequence)++, 4);
            fig_chunk(out, "fdAT", number, sizeof number, data, length);
        }
        at += length + CHUNK_ENDS;
    }
}

static lens_status animated_png(lens_figure *const *frames, int count, int delay, fig_bytes *out) {
    uint32_t sequence = 0;
    for (int i = 0; i < count; i++) {
        char *png;
        size_t size;
        LENS_TRY(lens_figure_bytes(frames[i], LENS_FIGURE_PNG, &png, &size));
        put_frame(out, (const uint8_t *)png, size, i == 0, count, delay, &sequence);
        ctx_free(out->ctx, png);
    }
    fig_chunk(out, "IEND", NULL, 0, NULL, 0);
    return out->failed;
}

/* A page ------------------------------------------------------------------------------------------ */

static void str(fig_bytes *out, const char *text) { fig_put(out, text, strlen(text)); }

static void button(fig_bytes *out, const lens_figure *fig, const char *id, const char *text) {
    str(out, "<button id=\"");
    str(out, id);
    str(out, "\">");
    str(out, fig_say(fig, text));
    str(out, "</button>\n");
}

static const char page_style[] =
    "body{margin:1em auto;max-width:70em;font:16px sans-serif;color:#222;background:#fff}\n"
    "svg{max-width:100%;height:auto}\n"
    ".frame{display:none}.frame.now{display:block}\n"
    "button{font:inherit;min-width:6em;min-height:2.2em;margin-right:.5em}\n";

/* A classic script: modules do not load from disk. */
static const char page_script[] =
    "var frames=document.querySelectorAll('.frame'),now=0,timer=null;\n"
    "var play=document.getElementById('play'),at=document.getElementById('at');\n"
    "function show(i){frames[now].classList.remove('now');now=(i+frames.length)%frames.length;\n"
    "frames[now].classList.add('now');at.textContent=(now+1)+' / '+frames.length;}\n"
    "function stop(){clearInterval(timer);timer=null;play.textContent=play.dataset.play;}\n"
    "function toggle(){if(timer){stop();return;}\n"
    "timer=setInterval(function(){show(now+1);},delay);play.textContent=play.dataset.pause;}\n"
    "play.onclick=toggle;\n"
    "document.getElementById('step').onclick=function(){stop();show(now+1);};\n"
    "document.getElementById('back').onclick=function(){stop();show(now-1);};\n"
    "document.onkeydown=function(e){\n"
    "if(e.key==='.'||e.key==='ArrowRight'){stop();show(now+1);}\n"
    "else if(e.key===','||e.key==='ArrowLeft'){stop();show(now-1);}};\n"
    "show(0);\n";

static lens_status page(lens_figure *const *frames, int count, int delay, fig_bytes *out) {
    const lens_figure *fig = frames[0];
    char start[64];
    str(out, fig->lang == LENS_LANG_ZH ? "<!DOCTYPE html>\n<html lang=\"zh-Hans\">\n"
                                       : "<!DOCTYPE html>\n<html lang=\"en\">\n");
    str(out, "<head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width\">\n"
             "<link rel=\"icon\" href=\"data:,\">\n<title>");
    fig_escaped(out, fig->title);
    str(out, "</title>\n<style>\n");
    str(out, page_style);
    str(out, "</style></head>\n<body>\n");
    for (int i = 0; i < count; i++) {
        char *svg;
        size_t size;
        LENS_TRY(lens_figure_bytes(frames[i], LENS_FIGURE_SVG, &svg, &size));
        const char *root = strstr(svg, "<svg"); /* behind the XML declaration */
        str(out, i == 0 ? "<div class=\"frame now\">" : "<div class=\"frame\">");
        str(out, root);
        str(out, "</div>\n");
        ctx_free(out->ctx, svg);
    }
    str(out, "<p>");
    button(out, fig, "back", "back");
    str(out, "<button id=\"play\" data-play=\"");
    str(out, fig_say(fig, "play"));
    str(out, "\" data-pause=\"");
    str(out, fig_say(fig, "pause"));
    str(out, "\">");
    str(out, fig_say(fig, "play"));
    str(out, "</button>\n");
    button(out, fig, "step", "forward");
    snprintf(start, sizeof start, "<output id=\"at\"></output></p>\n<script>\nvar delay=%d;\n",
             delay);
    str(out, start);
    str(out, page_script);
    str(out, "</script>\n</body></html>\n");
    return out->failed;
}

/* A file for each --------------------------------------------------------------------------------- */

static lens_status separate(lens_figure *const *frames, int count, const char *path) {
    lens_ctx *ctx = frames[0]->ctx;
    lens_status status = LENS_OK;
    int stem = (int)strlen(path) - (int)strlen(".svg");
    for (int i = 0; i < count && status == LENS_OK; i++) {
        char *name = ctx_printf(ctx, "%.*s-%03d%s", stem, path, i + 1, path + stem);
        status = name ? lens_figure_write(frames[i], name) : LENS_NOMEM;
        ctx_free(ctx, name);
    }
    return status;
}

lens_status lens_figure_write_frames(lens_figure *const *frames, int count, int delay,
                                     const char *path) {
    const lens_figure *first = frames[0];
    lens_ctx *ctx = first->ctx;
    if (count < 1 || count > MAX_FRAMES || delay < 1 || delay > MAX_DELAY)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "figure: %d frames of %d ms, but 1 to %d of 1 to %d ms can be shown", count,
                        delay, MAX_FRAMES, MAX_DELAY);
    for (int i = 1; i < count; i++)
        if (frames[i]->width != first->width || frames[i]->height != first->height)
            return ctx_fail(ctx, LENS_BAD_SHAPE,
                            "figure: frame %d is %g x %g but the first %g x %g", i + 1,
                            frames[i]->width, frames[i]->height, first->width, first->height);
    fig_bytes out = { .ctx = ctx };
    lens_status status;
    if (fig_ends_with(path, ".svg")) return separate(frames, count, path);
    if (fig_ends_with(path, ".png"))
        status = animated_png(frames, count, delay, &out);
    else if (fig_ends_with(path, ".html"))
        status = page(frames, count, delay, &out);
    else
        return ctx_fail(
            ctx, LENS_BAD_ARG,
            "%s: animations are written as .png, .html or .svg, chosen by the file name", path);
    if (status == LENS_OK) return fig_save(ctx, path, out.data, out.size);
    ctx_free(ctx, out.data);
    return status;
}
