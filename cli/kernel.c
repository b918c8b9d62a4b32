/* kernel.c - lenslet kernel: the catalogue, one kernel in detail, learning one, searching a template.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- list and show ---- */

static int list_kernels(cli *c) {
    static const char *const heads[] = { "kernel", "group", "gain", "numbers", "what it does" };
    size_t count;
    const lens_kernel_entry *e = lens_kernel_list(&count);
    table *t = table_new("llrll", heads);
    json_t *kernels = json_array();
    for (size_t i = 0; i < count; i++) {
        lens_kernel k;
        char gain[32] = "", text[64] = "";
        if (e[i].text && lens_kernel_parse(c->ctx, &k, e[i].name) == LENS_OK) {
            snprintf(gain, sizeof gain, "%.3g", lens_kernel_gain(&k));
            if (strlen(e[i].text) > 40)
                snprintf(text, sizeof text, "%dx%d", k.h, k.w);
            else if (e[i].divisor == 1)
                snprintf(text, sizeof text, "%s", e[i].text);
            else
                snprintf(text, sizeof text, "(%s) / %g", e[i].text, e[i].divisor);
        }
        table_row(t, (const char *[]){ e[i].name, e[i].group, gain, text, e[i].what });
        json_array_append_new(kernels, json_pack("{s:s,s:s,s:s,s:s?,s:f}", "name", e[i].name,
                                                 "group", e[i].group, "what", e[i].what, "numbers",
                                                 e[i].text, "divisor", e[i].divisor));
    }
    if (c->json)
        table_free(t);
    else
        table_print(t);
    return emit(c, json_pack("{s:o}", "kernels", kernels));
}

static json_t *kernel_json(const double *value, int h, int w) {
    json_t *rows = json_array();
    for (int u = 0; u < h; u++) {
        json_t *row = json_array();
        for (int v = 0; v < w; v++) json_array_append_new(row, json_number(value[u * w + v]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static double largest(const double *a, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(a[i]));
    return most;
}

static void print_kernel(const double *value, int h, int w) {
    double least = 1e-12 * largest(value, (size_t)h * (size_t)w); /* what rounding leaves of 0 */
    for (int u = 0; u < h; u++) {
        for (int v = 0; v < w; v++) {
            double x = value[u * w + v];
            printf("%s%12.6g", v ? " " : "", fabs(x) <= least ? 0 : x);
        }
        putchar('\n');
    }
}

static float *floats_of(const double *x, size_t n) {
    float *y = take(n, sizeof *y);
    for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
    return y;
}

/* The kernel in cells, and the magnitude of its response, frequency 0 in the middle. */
static int draw_kernel(cli *c, const lens_kernel *k, const char *name, const char *out) {
    enum { SIDE = 65 };
    const double pi = 3.14159265358979323846;
    float *cells = floats_of(k->value, (size_t)k->h * (size_t)k->w);
    float *response = take(SIDE * SIDE, sizeof *response);
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            double re, im;
            lens_frequency_response(k->value, k->h, k->w, pi * (i - 32) / 32, pi * (j - 32) / 32,
                                    &re, &im);
            response[i * SIDE + j] = (float)hypot(re, im);
        }
    const lens_figure_tile tile[] = {
        { .name = word(c, "kernel"), .picture = { cells, 1, k->h, k->w, 0, 0 }, .map = true },
        { .name = word(c, "what it lets through"),
          .note = word(c, "|H|; 0 in the middle, a half wave a pixel at the edges"),
          .picture = { response, 1, SIDE, SIDE, 0, 0 },
          .map = true },
    };
    const lens_figure_opts look = {
        .title = name, .caption = c->command, .width = 620, .lang = c->lang
    };
    lens_figure *figure = NULL;
    lens_status status = lens_figure_tiles(c->ctx, &figure, tile, 2, 2, &look);
    free(cells);
    free(response);
    return write_figure(c, status, figure, out);
}

static int show_kernel(cli *c) {
    if (c->operands != 1) return fail(c, EXIT_USAGE, "which kernel? lenslet kernel show KERNEL");
    lens_kernel k;
    int result = open_kernel(c, &k, c->operand[0]);
    if (result) return result;
    const double pi = 3.14159265358979323846;
    double column[LENS_KERNEL_SIDE], row[LENS_KERNEL_SIDE], re[2], im;
    bool separable = lens_separable(k.value, k.h, k.w, 1e-12, column, row);
    lens_frequency_response(k.value, k.h, k.w, 0, pi, &re[0], &im);
    lens_frequency_response(k.value, k.h, k.w, pi, 0, &re[1], &im);
    double gain = lens_kernel_gain(&k);
    if (fabs(gain) < 1e-12) gain = 0;
    if (!c->json) {
        print_kernel(k.value, k.h, k.w);
        printf("gain       %.6g\nresponse   %.6g to columns that alternate, %.6g to rows\n"
               "separable  %s\n",
               gain, re[0], re[1], separable ? "yes: a column times a row" : "no");
    }
    const char *out = text_of(c, "out", NULL);
    if (out) result = draw_kernel(c, &k, c->operand[0], out);
    if (result) return result;
    json_t *about = json_pack("{s:o,s:o,s:b}", "rows", kernel_json(k.value, k.h, k.w), "gain",
                              json_number(gain), "separable", separable);
    if (separable) {
        json_object_set_new(about, "column", kernel_json(column, 1, k.h));
        json_object_set_new(about, "row", kernel_json(row, 1, k.w));
    }
    return emit(c, about);
}

/* ---- learn ---- */

enum { STRIP = 4 }; /* kernels on the film strip */

typedef struct lesson {
    numbers p;
    double *x, *y; /* picture, target, in 0..1 */
    lens_kernel target, learned;
    int oh, ow, n; /* of y; cells of the kernel */
    lens_fit fit;
    double *loss, *film; /* by step; [steps][n] */
    int steps, room;
    double random_loss;
    int trials;
} lesson;

static void watch(void *user, int step, double loss, const double *w) {
    lesson *l = user;
    if (step == l->room) {
        int room = l->room ? 2 * l->room : 1024;
        double *more = take((size_t)room, sizeof *more),
               *film = take((size_t)room * (size_t)l->n, sizeof *film);
        if (step) {
            memcpy(more, l->loss, (size_t)step * sizeof *more);
            memcpy(film, l->film, (size_t)step * (size_t)l->n * sizeof *film);
        }
        free(l->loss), free(l->film);
        l->loss = more, l->film = film, l->room = room;
    }
    l->loss[step] = loss;
    memcpy(l->film + (size_t)step * (size_t)l->n, w, (size_t)l->n * sizeof *w);
    l->steps = step + 1;
}

static void close_lesson(lesson *l) {
    free(l->p.data);
    free(l->x);
    free(l->y);
    free(l->loss);
    free(l->film);
}

static int prepare(cli *c, lesson *l) {
    int result = open_numbers(c, &l->p, text_of(c, "image", "s80"), 1);
    if (!result) result = open_kernel(c, &l->target, text_of(c, "target", "horizontal-edge"));
    if (result) return result;
    size_t n = (size_t)l->p.h * (size_t)l->p.w;
    l->oh = lens_signal_size(l->p.h, l->target.h, LENS_VALID);
    l->ow = lens_signal_size(l->p.w, l->target.w, LENS_VALID);
    if (l->oh < 1 || l->ow < 1)
        return fail(c, EXIT_USAGE, "the kernel is %dx%d but the picture only %dx%d", l->target.h,
                    l->target.w, l->p.h, l->p.w);
    l->n = l->target.h * l->target.w;
    l->learned = (lens_kernel){ .h = l->target.h, .w = l->target.w };
    l->x = take(n, sizeof *l->x);
    l->y = take((size_t)l->oh * (size_t)l->ow, sizeof *l->y);
    for (size_t i = 0; i < n; i++) l->x[i] = (double)l->p.data[i] / (double)l->p.white;
    lens_status status = lens_correlate(c->ctx, l->x, l->p.h, l->p.w, l->target.value, l->target.h,
                                        l->target.w, LENS_VALID, l->y);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
}

static int fit(cli *c, lesson *l) {
    const lens_fit_opts opts = { .rate = real_of(c, "rate", 0),
                                 .tolerance = real_of(c, "tolerance", 0),
                                 .steps = (int)whole_of(c, "steps", 0),
                                 .watch = watch,
                                 .user = l };
    lens_status status = lens_kernel_fit(c->ctx, l->x, l->p.h, l->p.w, l->y, l->target.h,
                                         l->target.w, &opts, l->learned.value, &l->fit);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    lens_kernel chance = { 0 };
    l->trials = (int)whole_of(c, "trials", l->fit.steps);
    status = lens_kernel_random_search(c->ctx, l->x, l->p.h, l->p.w, l->y, l->target.h, l->target.w,
                                       l->trials, 0.1, true, (uint64_t)whole_of(c, "seed", 0),
                                       chance.value, &l->random_loss);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
}

/* One line a step: step, loss, weights. */
static int write_losses(cli *c, const lesson *l, const char *path) {
    document *d = document_new();
    fprintf(d->stream, "step,loss");
    for (int i = 0; i < l->n; i++) fprintf(d->stream, ",w%d_%d", i / l->target.w, i % l->target.w);
    fputc('\n', d->stream);
    for (int s = 0; s < l->steps; s++) {
        fprintf(d->stream, "%d,%.10g", s, l->loss[s]);
        for (int i = 0; i < l->n; i++)
            fprintf(d->stream, ",%.9g", l->film[(size_t)s * (size_t)l->n + (size_t)i]);
        fputc('\n', d->stream);
    }
    return document_write(c, d, path);
}

/* The largest differences of the weights and of the pictures. */
static double worst(const double *a, const double *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

/* Above: picture, target, what the learned kernel makes, their difference. Below: the kernel on its
 * way, all in the scale of the target. */
static int draw_lesson(cli *c, const lesson *l, const double *z, const char *path) {
    size_t n = (size_t)l->p.h * (size_t)l->p.w, m = (size_t)l->oh * (size_t)l->ow;
    double limit = fmax(largest(l->y, m), largest(z, m)),
           weights = largest(l->target.value, (size_t)l->n);
    double *error = take(m, sizeof *error);
    for (size_t i = 0; i < m; i++) error[i] = z[i] - l->y[i];
    float *map[4] = { floats_of(l->x, n), floats_of(l->y, m), floats_of(z, m),
                      floats_of(error, m) };
    char *difference = say_text(word(c, "largest %.2g"), largest(error, m)), *name[STRIP],
         *loss[STRIP];
    float *film[STRIP];
    lens_figure_tile tile[4 + STRIP] = {
        { .name = word(c, "picture"), .picture = { map[0], 1, l->p.h, l->p.w, 0, 1 } },
        { .name = word(c, "target"),
          .picture = { map[1], 1, l->oh, l->ow, 0, 0 },
          .map = true,
          .limit = limit },
        { .name = word(c, "learned"),
          .picture = { map[2], 1, l->oh, l->ow, 0, 0 },
          .map = true,
          .limit = limit },
        { .name = word(c, "difference"),
          .note = difference,
          .picture = { map[3], 1, l->oh, l->ow, 0, 0 },
          .map = true },
    };
    int last = l->steps - 1;
    for (int i = 0; i < STRIP; i++) {
        /* Evenly in the logarithm of the step: most happens at the start. */
        int step = i == STRIP - 1 ? last : (int)lround(pow(last + 1, (i + 1) / (double)STRIP)) - 1;
        name[i] =
            say_text(word(c, i == STRIP - 1 ? "kernel, step %d (end)" : "kernel, step %d"), step);
        loss[i] = say_text(word(c, "loss %.3g"), l->loss[step]);
        film[i] = floats_of(l->film + (size_t)step * (size_t)l->n, (size_t)l->n);
        tile[4 + i] = (lens_figure_tile){ .name = name[i],
                                          .note = loss[i],
                                          .picture = { film[i], 1, l->target.h, l->target.w, 0, 0 },
                                          .map = true,
                                          .limit = weights };
    }
    char *title =
        say_text(word(c, "%s learned from %s in %d steps"), text_of(c, "target", "horizontal-edge"),
                 text_of(c, "image", "s80"), l->fit.steps);
    const lens_figure_opts look = {
        .title = title, .caption = c->command, .width = 860, .lang = c->lang
    };
    lens_figure *figure = NULL;
    lens_status status = lens_figure_tiles(c->ctx, &figure, tile, 4 + STRIP, 4, &look);
    int result = write_figure(c, status, figure, path);
    for (int i = 0; i < 4; i++) free(map[i]);
    for (int i = 0; i < STRIP; i++) free(name[i]), free(loss[i]), free(film[i]);
    free(error);
    free(difference);
    free(title);
    return result;
}

static int draw_losses(cli *c, const lesson *l, const char *path) {
    double *step = take((size_t)l->steps, sizeof *step), *log = take((size_t)l->steps, sizeof *log);
    for (int i = 0; i < l->steps; i++)
        step[i] = i, log[i] = l->loss[i] > 0 ? log10(l->loss[i]) : NAN;
    const lens_figure_series line = { word(c, "loss"), step, log, (size_t)l->steps };
    const lens_figure_panel panel = { word(c, "log10 of the loss"), &line, 1, LENS_BEST_NONE };
    const lens_figure_opts look = { .title = word(c, "Learning a kernel"),
                                    .caption = c->command,
                                    .lang = c->lang };
    lens_figure *figure = NULL;
    lens_status status = lens_figure_curves(c->ctx, &figure, &panel, 1, word(c, "step"), &look);
    free(step);
    free(log);
    return write_figure(c, status, figure, path);
}

static int write_lesson(cli *c, const lesson *l, const double *z, const char *folder) {
    int result = make_folder(c, folder);
    if (result) return result;
    char *csv = say_text("%s/loss.csv", folder), *figure = say_text("%s/learned.png", folder),
         *curve = say_text("%s/loss.png", folder);
    result = write_losses(c, l, csv);
    if (!result) result = draw_lesson(c, l, z, figure);
    if (!result) result = draw_losses(c, l, curve);
    free(csv);
    free(figure);
    free(curve);
    return result;
}

static int tell_lesson(cli *c, const lesson *l) {
    size_t m = (size_t)l->oh * (size_t)l->ow;
    double *z = take(m, sizeof *z);
    lens_status status = lens_correlate(c->ctx, l->x, l->p.h, l->p.w, l->learned.value,
                                        l->learned.h, l->learned.w, LENS_VALID, z);
    if (status != LENS_OK) {
        free(z);
        return fail_status(c, status, WORKING);
    }
    double weight_error = worst(l->learned.value, l->target.value, (size_t)l->n);
    double picture_error = worst(z, l->y, m);
    const char *out = text_of(c, "out", NULL);
    int result = out ? write_lesson(c, l, z, out) : EXIT_DONE;
    free(z);
    if (result) return result;
    if (!c->json) {
        print_kernel(l->learned.value, l->learned.h, l->learned.w);
        printf("steps          %d\nloss           %.10g to %.6g\nlargest error  %.3g in a weight, "
               "%.3g in the picture\nrate           %g of at most %.6g = 2/lambda_max\n",
               l->fit.steps, l->fit.first_loss, l->fit.loss, weight_error, picture_error,
               real_of(c, "rate", 0.5), l->fit.rate_max);
        printf("random search  loss %.3g after %d trials", l->random_loss, l->trials);
        printf(l->fit.loss > 0 ? ", %.3g times as much\n" : "\n", l->random_loss / l->fit.loss);
    }
    return emit(c, json_pack("{s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i}", "steps", l->fit.steps,
                             "loss", json_number(l->fit.loss), "first_loss",
                             json_number(l->fit.first_loss), "weights",
                             kernel_json(l->learned.value, l->learned.h, l->learned.w), "target",
                             kernel_json(l->target.value, l->target.h, l->target.w), "weight_error",
                             json_number(weight_error), "picture_error", json_number(picture_error),
                             "rate_max", json_number(l->fit.rate_max), "random_loss",
                             json_number(l->random_loss), "trials", l->trials));
}

static int learn(cli *c) {
    if (c->operands) return fail(c, EXIT_USAGE, "kernel learn takes --image and --target only");
    lesson l = { 0 };
    int result = prepare(c, &l);
    if (!result) result = fit(c, &l);
    if (!result) result = tell_lesson(c, &l);
    close_lesson(&l);
    return result;
}

/* ---- match ---- */

static const char *const methods[] = { "sse", "mse", "rmse", "raw", "cosine", "zncc" };
static const char *const verdicts[] = { "found", "absent", "ambiguous" };

static int draw_match(cli *c, const numbers *p, const numbers *t, const double *map,
                      const lens_match *m, const char *method, const char *out) {
    int oh = p->h - t->h + 1, ow = p->w - t->w + 1;
    float *heat = floats_of(map, (size_t)oh * (size_t)ow);
    float *best = take((size_t)t->h * (size_t)t->w, sizeof *best);
    for (int i = 0; i < t->h; i++)
        memcpy(best + (size_t)i * (size_t)t->w,
               p->data + (size_t)(m->row + i) * (size_t)p->w + m->column,
               (size_t)t->w * sizeof *best);
    char *where = say_text(word(c, "row %d, column %d"), m->row, m->column);
    char *score = say_text(word(c, "%s at the best place %.6g"), method, m->score);
    char *title = say_text(word(c, "%s in %s: %s"), c->operand[1], c->operand[0],
                           word(c, verdicts[m->verdict]));
    const lens_figure_mark window = { LENS_MARK_FRAME, m->row, m->column, t->h, t->w },
                           place = { LENS_MARK_FRAME, m->row, m->column, 1, 1 };
    const lens_figure_tile tile[] = {
        { .name = word(c, "picture"),
          .note = where,
          .picture = { p->data, 1, p->h, p->w, 0, p->white },
          .marks = &window,
          .mark_count = 1 },
        { .name = word(c, "score of the window that starts here"),
          .note = score,
          .picture = { heat, 1, oh, ow, 0, 0 },
          .map = true,
          .marks = &place,
          .mark_count = 1 },
        { .name = word(c, "template"),
          .picture = { t->data, 1, t->h, t->w, 0, t->white },
          .side = 160 },
        { .name = word(c, "best window"),
          .picture = { best, 1, t->h, t->w, 0, p->white },
          .side = 160 },
    };
    const lens_figure_opts look = {
        .title = title, .caption = c->command, .width = 860, .lang = c->lang
    };
    lens_figure *figure = NULL;
    lens_status status = lens_figure_tiles(c->ctx, &figure, tile, 4, 2, &look);
    free(best);
    free(heat);
    free(where);
    free(score);
    free(title);
    return write_figure(c, status, figure, out);
}

static double *doubles_of(const numbers *p) {
    size_t n = (size_t)p->h * (size_t)p->w;
    double *x = take(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (double)p->data[i];
    return x;
}

static int tell_match(cli *c, const lens_match *m, const char *method) {
    if (!c->json) {
        printf("%s\n", verdicts[m->verdict]);
        printf("best    row %d, column %d  %s %.6g", m->row, m->column, method, m->score);
        if (m->ties > 1) printf("  (%d places are equally good)", m->ties);
        putchar('\n');
        if (m->has_second)
            printf("second  row %d, column %d  %s %.6g\n", m->second_row, m->second_column, method,
                   m->second_score);
        if (m->verdict == LENS_AMBIGUOUS && !strcmp(method, "raw"))
            printf("raw correlation grows with brightness: its peak need not be the template\n");
    }
    json_t *about = json_pack("{s:s,s:s,s:i,s:i,s:o,s:i}", "verdict", verdicts[m->verdict],
                              "method", method, "row", m->row, "column", m->column, "score",
                              json_number(m->score), "ties", m->ties);
    if (m->has_second)
        json_object_set_new(about, "second",
                            json_pack("{s:i,s:i,s:o}", "row", m->second_row, "column",
                                      m->second_column, "score", json_number(m->second_score)));
    return emit(c, about);
}

static int search(cli *c, const numbers *p, const numbers *t) {
    const char *method = text_of(c, "method", "zncc"), *out = text_of(c, "out", NULL);
    int index = 0;
    while (strcmp(methods[index], method)) index++;
    if (t->h > p->h || t->w > p->w)
        return fail(c, EXIT_USAGE, "%s is %dx%d pixels but %s only %dx%d", c->operand[1], t->w,
                    t->h, c->operand[0], p->w, p->h);
    double *x = doubles_of(p), *pattern = doubles_of(t);
    double *map = take((size_t)(p->h - t->h + 1) * (size_t)(p->w - t->w + 1), sizeof *map);
    double threshold = real_of(c, "threshold", 0);
    const lens_match_opts opts = { .error = index <= LENS_MATCH_RAW ? threshold : 0,
                                   .similarity = index > LENS_MATCH_RAW ? threshold : 0 };
    lens_match m;
    lens_status status = lens_match_template(c->ctx, x, p->h, p->w, pattern, t->h, t->w,
                                             (lens_match_method)index, &opts, map, &m);
    int result = status != LENS_OK ? fail_status(c, status, NAMING) : EXIT_DONE;
    if (!result && out) result = draw_match(c, p, t, map, &m, method, out);
    if (!result) result = tell_match(c, &m, method);
    free(map);
    free(pattern);
    free(x);
    return result;
}

static int match(cli *c) {
    if (c->operands != 2)
        return fail(c, EXIT_USAGE,
                    "kernel match wants a picture and a template: lenslet kernel "
                    "match IMAGE TEMPLATE");
    numbers p = { 0 }, t = { 0 };
    int result = open_numbers(c, &p, c->operand[0], 1);
    if (!result) result = open_numbers(c, &t, c->operand[1], 1);
    if (!result) result = search(c, &p, &t);
    free(p.data);
    free(t.data);
    return result;
}

int run_kernel(cli *c) {
    const char *out = text_of(c, "out", NULL);
    bool folder = !strcmp(c->topic, "learn"); /* of PNG figures */
    if (out) choose_lang(c, folder ? "learned.png" : out);
    if (!strcmp(c->topic, "list")) return list_kernels(c);
    if (!strcmp(c->topic, "show")) return show_kernel(c);
    return strcmp(c->topic, "learn") ? match(c) : learn(c);
}
