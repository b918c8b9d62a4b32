/* filter.c - lenslet filter: kernels over a picture, one after the other, or the sheet of nine.
 *
 * Invariant: numbers are kept as they are until the picture is written; what a display cuts off is
 * counted and told.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <lenslet/image.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int open_numbers(cli *c, numbers *p, const char *path, int channels) {
    if (!strcmp(path, "s80")) {
        *p = (numbers){ take(80 * 80, sizeof *p->data), 1, 80, 80, 1 };
        lens_picture_s80(p->data);
        return EXIT_DONE;
    }
    lens_image image;
    lens_status status = lens_image_read(c->ctx, &image, path, channels);
    if (status != LENS_OK) return fail_status(c, status, READING);
    size_t plane = (size_t)image.height * (size_t)image.width;
    *p = (numbers){ take(plane * (size_t)image.channels, sizeof *p->data), image.channels,
                    image.height, image.width, 255 };
    for (int k = 0; k < image.channels; k++)
        for (size_t i = 0; i < plane; i++)
            p->data[(size_t)k * plane + i] = image.pixels[i * (size_t)image.channels + (size_t)k];
    lens_image_free(c->ctx, &image);
    return EXIT_DONE;
}

int open_kernel(cli *c, lens_kernel *k, const char *text) {
    struct stat entry;
    lens_status status = lens_kernel_parse(c->ctx, k, text);
    if (status == LENS_OK) return EXIT_DONE;
    if (stat(text, &entry) != 0) return fail_status(c, status, NAMING);
    status = lens_kernel_read(c->ctx, k, text);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, READING);
}

float *apply(const cli *c, lens_status *status, const numbers *p, const lens_kernel *k,
             const lens_filter_opts *opts, int *h, int *w) {
    *status = lens_filter_size(c->ctx, k, p->h, p->w, opts, h, w);
    if (*status != LENS_OK) return NULL;
    size_t maps = opts->sum ? 1 : (size_t)p->c;
    float *y = take(maps * (size_t)*h * (size_t)*w, sizeof *y);
    *status = lens_filter(c->ctx, p->data, p->c, p->h, p->w, k, opts, y);
    if (*status == LENS_OK) return y;
    free(y);
    return NULL;
}

int write_figure(cli *c, lens_status status, lens_figure *figure, const char *path) {
    if (status == LENS_OK) status = lens_figure_write(figure, path);
    lens_figure_free(figure);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    note(c, "%s", path);
    return EXIT_DONE;
}

/* ---- statistics ---- */

typedef struct stats {
    double min, max, sum, squares, relu, pooled;
    long long nonzero, pooled_nonzero;
} stats;

/* relu: sum of max(y,0); pooled: of its 2x2 maxima. */
static stats measure(const float *y, int h, int w) {
    stats s = { .min = INFINITY, .max = -INFINITY };
    for (size_t i = 0; i < (size_t)h * (size_t)w; i++) {
        double v = y[i];
        s.min = fmin(s.min, v), s.max = fmax(s.max, v);
        s.sum += v, s.squares += v * v, s.relu += fmax(v, 0), s.nonzero += v != 0;
    }
    for (int i = 0; i + 1 < h; i += 2)
        for (int j = 0; j + 1 < w; j += 2) {
            const float *a = y + (size_t)i * (size_t)w + j, *b = a + w;
            double most = fmax(fmax(fmax(a[0], a[1]), fmax(b[0], b[1])), 0);
            s.pooled += most, s.pooled_nonzero += most != 0;
        }
    return s;
}

static json_t *stats_json(const stats *s) {
    return json_pack("{s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:I}", "min", json_number(s->min), "max",
                     json_number(s->max), "sum", json_number(s->sum), "sum_of_squares",
                     json_number(s->squares), "nonzero", (json_int_t)s->nonzero, "relu_sum",
                     json_number(s->relu), "pooled_sum", json_number(s->pooled), "pooled_nonzero",
                     (json_int_t)s->pooled_nonzero);
}

/* Whole numbers as such, others with six digits. */
static char *say_number(double v) {
    if (fabs(v) < 1e-9) v = 0;
    double whole = floor(v + 0.5);
    if (fabs(v - whole) < 1e-9 * fmax(1, fabs(v)) && fabs(v) < 1e15) return say_text("%.0f", whole);
    return say_text("%.6g", v);
}

/* ---- the sheet of nine ---- */

static void stats_row(table *t, const char *name, double gain, const stats *s) {
    double value[] = { gain,    s->min,     s->max,
                       s->sum,  s->squares, (double)s->nonzero,
                       s->relu, s->pooled,  (double)s->pooled_nonzero };
    char *text[9];
    const char *cell[10] = { name };
    for (int i = 0; i < 9; i++) cell[i + 1] = text[i] = say_number(value[i]);
    table_row(t, cell);
    for (int i = 0; i < 9; i++) free(text[i]);
}

static char *stats_note(const cli *c, const stats *s) {
    char *min = say_number(s->min), *max = say_number(s->max), *sum = say_number(s->sum),
         *squares = say_number(s->squares);
    char *text = say_text(word(c, "min %s, max %s, sum %s\nsum of squares %s, %lld not 0"), min,
                          max, sum, squares, s->nonzero);
    free(min), free(max), free(sum), free(squares);
    return text;
}

static lens_border border_of(const cli *c, const char *fallback) {
    static const char *const words[] = { "valid", "zero", "replicate", "reflect" };
    const char *word = text_of(c, "pad", fallback);
    for (int i = 0; i < 4; i++)
        if (!strcmp(words[i], word)) return (lens_border)i;
    return LENS_BORDER_VALID;
}

static lens_filter_opts filter_opts(const cli *c, const char *border) {
    return (lens_filter_opts){ .border = border_of(c, border),
                               .stride = (int)whole_of(c, "stride", 1),
                               .dilation = (int)whole_of(c, "dilation", 1),
                               .flip = has(c, "flip"),
                               .sum = has(c, "sum") };
}

enum { COURSE = 9 };

/* Brightness kernels as grey pictures, differences in the colours of their signs. */
static int draw_all(cli *c, const numbers *p, const char *out) {
    static const char *const heads[] = { "kernel",  "gain",  "min",  "max",    "sum",
                                         "squares", "not 0", "relu", "pooled", "not 0" };
    lens_filter_opts opts = filter_opts(c, "valid");
    lens_figure_tile tile[COURSE] = { 0 };
    size_t count;
    const lens_kernel_entry *entry = lens_kernel_list(&count);
    table *t = table_new("lrrrrrrrrr", heads);
    json_t *kernels = json_array();
    lens_status status = LENS_OK;
    int done = 0;
    for (; done < COURSE && status == LENS_OK; done++) {
        lens_kernel k;
        int h, w;
        status = lens_kernel_parse(c->ctx, &k, entry[done].name);
        float *y = status == LENS_OK ? apply(c, &status, p, &k, &opts, &h, &w) : NULL;
        if (!y) break;
        stats s = measure(y, h, w);
        double gain = lens_kernel_gain(&k);
        stats_row(t, entry[done].name, gain, &s);
        json_t *one = stats_json(&s);
        json_object_set_new(one, "kernel", json_string(entry[done].name));
        json_object_set_new(one, "gain", json_number(gain));
        json_array_append_new(kernels, one);
        tile[done] = (lens_figure_tile){ .name = entry[done].name,
                                         .note = stats_note(c, &s),
                                         .picture = { y, 1, h, w, 0, p->white },
                                         .map = gain < 0.5 };
    }
    int result = EXIT_DONE;
    if (status != LENS_OK) {
        result = fail_status(c, status, NAMING);
        table_free(t);
    } else {
        lens_figure *figure = NULL;
        char *title = say_text(word(c, "Nine kernels on %s"), c->operand[0]);
        const lens_figure_opts look = { .title = title,
                                        .subtitle =
                                            word(c, "grey: brightness, cut off at black and white; "
                                                    "blue and orange: below and above 0"),
                                        .lang = c->lang,
                                        .caption = c->command };
        status = lens_figure_tiles(c->ctx, &figure, tile, COURSE, 3, &look);
        result = write_figure(c, status, figure, out);
        free(title);
        if (result == EXIT_DONE && !c->json)
            table_print(t);
        else
            table_free(t);
        if (result == EXIT_DONE)
            emit(c, json_pack("{s:o,s:O}", "file", json_text(out), "kernels", kernels));
    }
    json_decref(kernels);
    for (int i = 0; i < done; i++) {
        free((char *)(size_t)tile[i].note);
        free((float *)(size_t)tile[i].picture.data);
    }
    return result;
}

/* ---- a chain of kernels ---- */

/* The Sobel operator needs two maps. */
static float *sobel(cli *c, lens_status *status, const numbers *p, const lens_filter_opts *opts,
                    bool angle, int *h, int *w) {
    lens_kernel kx, ky;
    float *gx = NULL, *gy = NULL;
    *status = lens_kernel_parse(c->ctx, &kx, "sobel-x");
    if (*status == LENS_OK) *status = lens_kernel_parse(c->ctx, &ky, "sobel-y");
    if (*status == LENS_OK) gx = apply(c, status, p, &kx, opts, h, w);
    if (gx) gy = apply(c, status, p, &ky, opts, h, w);
    if (gy) {
        size_t n = (size_t)(opts->sum ? 1 : p->c) * (size_t)*h * (size_t)*w;
        lens_gradient_polar(gx, gy, n, angle ? NULL : gx, angle ? gx : NULL);
    } else {
        free(gx);
        gx = NULL;
    }
    free(gy);
    return gx;
}

/* p becomes what the kernel makes of it; *gain is multiplied by the kernel's. */
static int filter_once(cli *c, numbers *p, const char *text, double *gain) {
    lens_filter_opts opts = filter_opts(c, "reflect");
    lens_status status;
    float *y;
    int h, w;
    bool angle = !strcmp(text, "sobel-angle");
    if (angle || !strcmp(text, "sobel-magnitude")) {
        *gain = angle ? 0 : 1;
        y = sobel(c, &status, p, &opts, angle, &h, &w);
    } else {
        lens_kernel k;
        int result = open_kernel(c, &k, text);
        if (result) return result;
        *gain *= lens_kernel_gain(&k);
        y = apply(c, &status, p, &k, &opts, &h, &w);
    }
    if (!y) return fail_status(c, status, NAMING);
    free(p->data);
    *p = (numbers){ y, opts.sum ? 1 : p->c, h, w, p->white };
    return EXIT_DONE;
}

/* y -> 0..255: v*255/white cut (clip, abs), or 128 +- 127 at +-limit (signed). */
static lens_status write_picture(cli *c, const numbers *p, bool is_signed, bool magnitude,
                                 double limit, const char *path, long long *cut) {
    size_t plane = (size_t)p->h * (size_t)p->w;
    lens_image image = { p->w, p->h, p->c, take(plane * (size_t)p->c, 1) };
    for (int k = 0; k < p->c; k++)
        for (size_t i = 0; i < plane; i++) {
            double v = p->data[(size_t)k * plane + i];
            if (magnitude) v = fabs(v);
            v = is_signed ? 128 + (limit > 0 ? 127 * v / limit : 0) : v * 255 / (double)p->white;
            if (v < -0.5 || v > 255.5) ++*cut;
            image.pixels[i * (size_t)p->c + (size_t)k] =
                (unsigned char)(fmin(fmax(v, 0), 255) + 0.5);
        }
    lens_status status = lens_image_write(c->ctx, &image, path);
    free(image.pixels);
    return status;
}

static int write_result(cli *c, const numbers *p, double gain, const char *out) {
    size_t n = (size_t)p->c * (size_t)p->h * (size_t)p->w;
    stats s = measure(p->data, p->c * p->h, p->w); /* over all planes; pooled is of no use here */
    bool chosen = has(c, "signed") || has(c, "abs") || has(c, "clip");
    bool is_signed = has(c, "signed") || (!chosen && fabs(gain) < 0.5 && s.min < 0);
    double limit = fmax(fabs(s.min), fabs(s.max));
    const char *display = has_ending(out, ".npy") ? "numbers"
                          : is_signed             ? "signed"
                          : has(c, "abs")         ? "abs"
                                                  : "clip";
    long long cut = 0;
    lens_status status;
    if (has_ending(out, ".npy")) {
        lens_tensor t = { p->data, 3, { p->c, p->h, p->w } };
        status = lens_npy_write(c->ctx, &t, out);
    } else {
        status = write_picture(c, p, is_signed, has(c, "abs"), limit, out, &cut);
    }
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    if (!c->json) {
        char *min = say_number(s.min), *max = say_number(s.max), *sum = say_number(s.sum),
             *end = say_number(limit);
        printf("%s  %dx%dx%d  min %s  max %s  sum %s  not 0 %lld of %zu\n", out, p->c, p->h, p->w,
               min, max, sum, s.nonzero, n);
        if (is_signed && !has_ending(out, ".npy"))
            printf("shown with 0 as mid grey, black and white at -%s and %s\n", end, end);
        if (cut) printf("%lld values beyond black and white are shown as such\n", cut);
        free(min), free(max), free(sum), free(end);
    }
    return emit(c, json_pack("{s:o,s:i,s:i,s:i,s:o,s:o,s:o,s:I,s:s,s:I}", "file", json_text(out),
                             "channels", p->c, "height", p->h, "width", p->w, "min",
                             json_number(s.min), "max", json_number(s.max), "sum",
                             json_number(s.sum), "nonzero", (json_int_t)s.nonzero, "display",
                             display, "cut", (json_int_t)cut));
}

int run_filter(cli *c) {
    const char *out = text_of(c, "out", NULL);
    bool all = has(c, "all");
    if (!out) return fail(c, EXIT_USAGE, "where to? -o FILE");
    if (has(c, "signed") + has(c, "abs") + has(c, "clip") > 1)
        return fail(c, EXIT_USAGE, "--signed, --abs and --clip exclude each other");
    if (all == has(c, "kernel"))
        return fail(c, EXIT_USAGE,
                    all ? "--all and --kernel exclude each other"
                        : "which kernel? --kernel NAME, or --all for the nine");
    if (all) choose_lang(c, out);
    numbers p;
    int result = open_numbers(c, &p, c->operand[0], all ? 1 : 0);
    if (result) return result;
    double gain = 1;
    const char *text;
    for (int i = 0; !all && !result && (text = nth_of(c, "kernel", i)); i++)
        result = filter_once(c, &p, text, &gain);
    if (!result) result = all ? draw_all(c, &p, out) : write_result(c, &p, gain, out);
    free(p.data);
    return result;
}
