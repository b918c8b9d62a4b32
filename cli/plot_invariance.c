/* plot_invariance.c - lenslet plot invariance: pictures are moved, turned or zoomed, and the accuracy of
 * models, and how far the features of every layer move with them, are drawn as curves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 64, BATCH = 64, MOST_LINES = 8 };

typedef struct change {
    const char *name, *title, *axis;
    double from, to, step, none; /* none: leaves the picture alone */
} change;

static const change changes[] = {
    { "shift", "Accuracy of shifted pictures", "shift to the right, pixels", -10, 10, 1, 0 },
    { "rotation", "Accuracy of turned pictures", "rotation anticlockwise, degrees", 0, 180, 15, 0 },
    { "scale", "Accuracy of zoomed pictures", "zoom", 0.5, 1.5, 0.1, 1 },
};

/* x (c,h,w) about its centre, bilinear, black outside. */
static void transform(const change *how, double amount, const float *x, int c, int h, int w,
                      float *y) {
    const double pi = 3.14159265358979323846;
    double cy = (h - 1) / 2.0, cx = (w - 1) / 2.0, cosine = 1, sine = 0, zoom = 1, shift = 0;
    if (!strcmp(how->name, "shift")) shift = amount;
    if (!strcmp(how->name, "rotation"))
        cosine = cos(amount * pi / 180), sine = sin(amount * pi / 180);
    if (!strcmp(how->name, "scale")) zoom = amount;
    for (int k = 0; k < c; k++, x += h * w)
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                double v = (i - cy) / zoom, u = (j - shift - cx) / zoom;
                double r = cy + cosine * v + sine * u, q = cx - sine * v + cosine * u;
                double top = floor(r), left = floor(q), sum = 0;
                for (int corner = 0; corner < 4; corner++) {
                    double a = top + corner / 2, b = left + corner % 2;
                    double part = (1 - fabs(r - a)) * (1 - fabs(q - b));
                    if (a >= 0 && a < h && b >= 0 && b < w && part > 0)
                        sum += part * (double)x[(int)a * w + (int)b];
                }
                *y++ = (float)sum;
            }
}

typedef struct survey {
    const change *how;
    double amount[STEPS];
    int steps;
    size_t count;    /* pictures */
    float *x, *work; /* (count,C,H,W) */
    int *label;
    lens_data *data;
} survey;

static int gather(cli *c, survey *s, const model *m) {
    const lens_data_info *info = lens_data_describe(s->data);
    size_t all = info->count[split_of(c)],
           floats = (size_t)m->input.c * (size_t)m->input.h * (size_t)m->input.w;
    if (info->channels != m->input.c || info->height != m->input.h || info->width != m->input.w)
        return fail(c, EXIT_USAGE, "the data's pictures are %dx%dx%d but %s reads %dx%dx%d",
                    info->channels, info->height, info->width, lens_net_name(m->net), m->input.c,
                    m->input.h, m->input.w);
    if (info->classes != m->classes)
        return fail(c, EXIT_USAGE, "%s tells %d classes but the data has %d", lens_net_name(m->net),
                    m->classes, info->classes);
    if (s->x) return EXIT_DONE; /* of an earlier model */
    s->count = (size_t)whole_of(c, "count", 500);
    if (s->count > all) s->count = all;
    s->x = take(s->count * floats, sizeof *s->x);
    s->work = take(s->count * floats, sizeof *s->work);
    s->label = take(s->count, sizeof *s->label);
    for (size_t i = 0; i < s->count; i++) {
        lens_status status = lens_data_get(s->data, split_of(c), spread(i, s->count, all),
                                           s->x + i * floats, &s->label[i]);
        if (status != LENS_OK) return fail_status(c, status, READING);
    }
    return EXIT_DONE;
}

/* The layers whose features are followed: those with weights, at most MOST_LINES. */
static int choose_layers(const lens_net *net, const lens_node **node, lens_node_info *info) {
    int count = 0, with_weights = 0, seen = 0;
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info_get(lens_net_node(net, i), &info[0]);
        with_weights += info[0].macs > 0;
    }
    int lines = with_weights < MOST_LINES ? with_weights : MOST_LINES;
    for (int i = 0; i < lens_net_nodes(net) && count < lines; i++) {
        lens_node_info_get(lens_net_node(net, i), &info[count]);
        if (!info[count].macs) continue;
        if (seen++ == (int)spread((size_t)count, (size_t)lines, (size_t)with_weights))
            node[count++] = lens_net_node(net, i);
    }
    return count;
}

static double squares(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sum;
}

/* One pass over all pictures changed by `amount`: the share named rightly; and, where `layers`, the mean
 * over pictures of |f(changed) - f(picture)| / |f(picture)| of each of them. */
static lens_status pass(const survey *s, const model *m, lens_session *session, double amount,
                        const lens_node **node, const lens_node_info *info, int layers,
                        float **plain, double *accuracy, double *distance) {
    size_t floats = (size_t)m->input.c * (size_t)m->input.h * (size_t)m->input.w, right = 0;
    for (int k = 0; k < layers; k++) distance[k] = 0;
    for (size_t at = 0; at < s->count; at += BATCH) {
        size_t n = s->count - at < BATCH ? s->count - at : BATCH;
        for (size_t i = 0; i < n; i++)
            transform(s->how, amount, s->x + (at + i) * floats, m->input.c, m->input.h, m->input.w,
                      s->work + i * floats);
        normalise(m, s->work, (int)n);
        lens_tensor x = { s->work, 4, { (int64_t)n, m->input.c, m->input.h, m->input.w } }, y;
        lens_status status = lens_run(session, &x, &y);
        if (status != LENS_OK) return status;
        for (size_t i = 0; i < n; i++) {
            const float *row = y.data + i * (size_t)m->classes;
            int best = 0;
            for (int k = 1; k < m->classes; k++)
                if (row[k] > row[best]) best = k;
            right += best == s->label[at + i];
        }
        for (int k = 0; k < layers; k++) {
            size_t size = (size_t)info[k].c * (size_t)info[k].h * (size_t)info[k].w;
            status = lens_peek(session, node[k], LENS_VALUE, &y);
            if (status != LENS_OK) return status;
            float *original = plain[k] + at * size;
            if (amount == s->how->none) memcpy(original, y.data, n * size * sizeof *original);
            for (size_t i = 0; i < n; i++) {
                double scale = squares(original + i * size, NULL, size);
                if (scale > 0)
                    distance[k] +=
                        sqrt(squares(y.data + i * size, original + i * size, size) / scale);
            }
        }
    }
    *accuracy = (double)right / (double)s->count;
    for (int k = 0; k < layers; k++) distance[k] /= (double)s->count;
    return LENS_OK;
}

/* Accuracy of one model at every amount; of the first model also the distances, [layer][step]. */
static int survey_model(cli *c, const survey *s, const model *m, const lens_node **node,
                        const lens_node_info *info, int layers, double *accuracy,
                        double (*distance)[STEPS]) {
    lens_session *session = NULL;
    float *plain[MOST_LINES] = { 0 };
    double here[MOST_LINES], unused;
    for (int k = 0; k < layers; k++)
        plain[k] = take(s->count * (size_t)info[k].c * (size_t)info[k].h * (size_t)info[k].w,
                        sizeof *plain[k]);
    lens_status status = lens_session_new(
        &session, m->net, c->ctx, &(lens_session_opts){ .batch = BATCH, .watch = layers > 0 });
    if (status == LENS_OK && layers)
        status = pass(s, m, session, s->how->none, node, info, layers, plain, &unused, here);
    for (int i = 0; i < s->steps && status == LENS_OK; i++) {
        status = pass(s, m, session, s->amount[i], node, info, layers, plain, &accuracy[i], here);
        for (int k = 0; k < layers; k++) distance[k][i] = here[k];
    }
    for (int k = 0; k < layers; k++) free(plain[k]);
    lens_session_free(session);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
}

static int draw_survey(cli *c, const survey *s, char *const *names, int models,
                       double (*accuracy)[STEPS], const lens_node_info *info, int layers,
                       double (*distance)[STEPS]) {
    lens_figure_series line[2][MOST_LINES];
    record *all = record_new();
    size_t steps = (size_t)s->steps;
    record_doubles(all, s->how->axis, s->amount, 1, &s->steps);
    for (int i = 0; i < models; i++) {
        line[0][i] = (lens_figure_series){ names[i], s->amount, accuracy[i], steps };
        record_doubles(all, names[i], accuracy[i], 1, &s->steps);
    }
    for (int k = 0; k < layers; k++) {
        line[1][k] = (lens_figure_series){ info[k].name, s->amount, distance[k], steps };
        record_doubles(all, info[k].name, distance[k], 1, &s->steps);
    }
    char *moved = say_text(word(c, "distance of features, %s"), names[0]);
    const lens_figure_panel panels[] = { { word(c, "accuracy"), line[0], models, LENS_BEST_NONE },
                                         { moved, line[1], layers, LENS_BEST_NONE } };
    char *facts =
        say_text(word(c, "%zu pictures of %s; distance: |f(changed) \xe2\x88\x92 f(picture)| / "
                         "|f(picture)|, mean"),
                 s->count, lens_data_describe(s->data)->name);
    lens_figure_opts opts = figure_opts(c, word(c, s->how->title));
    opts.subtitle = facts;
    lens_figure *figure = NULL;
    lens_status status =
        lens_figure_curves(c->ctx, &figure, panels, layers ? 2 : 1, word(c, s->how->axis), &opts);
    int result = finish(c, status, figure, all);
    free(facts);
    free(moved);
    return result;
}

int plot_invariance(cli *c) {
    double accuracy[MOST_LINES][STEPS], distance[MOST_LINES][STEPS];
    char *names[MOST_LINES] = { 0 };
    model m[MOST_LINES] = { 0 };
    const lens_node *node[MOST_LINES];
    lens_node_info info[MOST_LINES + 1];
    survey s = { 0 };
    int models = 0, layers = 0, result = EXIT_DONE;
    const char *by = text_of(c, "by", "shift");
    for (int i = 0; i < 3; i++)
        if (!strcmp(changes[i].name, by)) s.how = &changes[i];
    while (s.steps < STEPS && s.how->from + s.steps * s.how->step <= s.how->to + 1e-9) {
        s.amount[s.steps] = s.how->from + s.steps * s.how->step;
        s.steps++;
    }
    if (c->operands > MOST_LINES)
        return fail(c, EXIT_USAGE, "%d models, but at most %d fit a figure", c->operands,
                    MOST_LINES);
    for (; models < (c->operands ? c->operands : 1) && !result; models++) {
        model *now = &m[models];
        result = c->operands ? open_net(c, now, c->operand[models], NULL) : open_model(c, now);
        if (!result && !now->trained)
            result =
                fail(c, EXIT_USAGE, "%s has no weights: give a model file", c->operand[models]);
        if (!result) names[models] = say_text("%s", lens_net_name(now->net));
        if (!result && !s.data) result = open_data(c, text_of(c, "data", NULL), &s.data, now);
        if (!result) result = gather(c, &s, now);
        if (!result && models == 0) layers = choose_layers(now->net, node, info);
        if (!result)
            result = survey_model(c, &s, now, node, info, models ? 0 : layers, accuracy[models],
                                  distance);
    }
    if (!result) result = draw_survey(c, &s, names, models, accuracy, info, layers, distance);
    for (int i = 0; i < models; i++) free(names[i]), close_model(&m[i]);
    lens_data_free(s.data);
    free(s.x), free(s.work), free(s.label);
    return result;
}
