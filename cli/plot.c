/* plot.c - lenslet plot: gathers numbers from a model, data or a log, and has them drawn.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *file_of(const cli *c) { return text_of(c, "out", NULL); }

lens_figure_opts figure_opts(const cli *c, const char *title) {
    return (lens_figure_opts){ .title = c->page ? title : text_of(c, "title", title),
                               .caption = c->page ? NULL : c->command,
                               .lang = c->lang };
}

/* Into the page instead of a file: SVG without the line that declares XML. */
static int put_on_page(cli *c, lens_status status, lens_figure *figure) {
    char *svg = NULL;
    size_t size;
    if (status == LENS_OK) status = lens_figure_bytes(figure, LENS_FIGURE_SVG, &svg, &size);
    if (status == LENS_OK) fputs(strstr(svg, "<svg"), c->page->stream);
    lens_free(c->ctx, svg);
    lens_figure_free(figure);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
}

int finish(cli *c, lens_status status, lens_figure *figure, record *behind) {
    if (c->page) {
        record_free(behind);
        return put_on_page(c, status, figure);
    }
    if (status == LENS_OK) status = lens_figure_write(figure, file_of(c));
    lens_figure_free(figure);
    int result = status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
    if (!result) result = record_write(c, behind);
    record_free(behind);
    if (result) return result;
    note(c, "%s", file_of(c));
    return emit(c, json_pack("{s:s,s:o}", "plot", c->topic, "file", json_text(file_of(c))));
}

/* ---- curves ---- */

enum { MAX_COLUMNS = 16, MAX_LINE = 4096, MAX_ROWS = 1 << 20 };

typedef struct log_table {
    char *name[MAX_COLUMNS];
    double *value[MAX_COLUMNS]; /* [rows] */
    int columns;
    size_t rows, room;
} log_table;

static void free_log(log_table *t) {
    for (int i = 0; i < MAX_COLUMNS; i++) {
        free(t->name[i]);
        free(t->value[i]);
    }
}

static void add_row(log_table *t, char *line) {
    if (t->rows == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        for (int i = 0; i < t->columns; i++) {
            double *larger = take(room, sizeof *larger);
            if (t->rows) memcpy(larger, t->value[i], t->rows * sizeof *larger);
            free(t->value[i]);
            t->value[i] = larger;
        }
        t->room = room;
    }
    for (int i = 0; i < t->columns; i++) {
        char *cell = strsep(&line, ","), *end = cell;
        double value = cell ? strtod(cell, &end) : NAN;
        t->value[i][t->rows] = end == cell ? NAN : value;
    }
    t->rows++;
}

static int read_log(cli *c, const char *path, log_table *t) {
    char *line = take(MAX_LINE, 1), *rest = line, *name;
    FILE *file = fopen(path, "r");
    int status = EXIT_DONE;
    if (!file || !fgets(line, MAX_LINE, file))
        status = fail(c, EXIT_BAD_INPUT, "%s: %s", path,
                      file && !ferror(file) ? "the file is empty" : strerror(errno));
    if (status == EXIT_DONE) {
        line[strcspn(line, "\r\n")] = 0;
        while (t->columns < MAX_COLUMNS && (name = strsep(&rest, ",")))
            t->name[t->columns++] = say_text("%s", name);
        while (t->rows < MAX_ROWS && fgets(line, MAX_LINE, file)) add_row(t, line);
    }
    if (file) fclose(file);
    free(line);
    return status;
}

static const double *column(const log_table *t, const char *name) {
    for (int i = 0; i < t->columns; i++)
        if (!strcmp(t->name[i], name)) return t->value[i];
    return NULL;
}

/* The last word of a run's path, "runs/a/" or "runs/a/log.csv": a. Free it. */
static char *run_name(const char *path) {
    char *name = say_text("%s", path), *file = strstr(name, "/log.csv");
    if (file) *file = 0;
    for (size_t end = strlen(name); end > 1 && name[end - 1] == '/';) name[--end] = 0;
    const char *slash = strrchr(name, '/');
    if (slash && slash[1]) memmove(name, slash + 1, strlen(slash));
    return name;
}

enum { MAX_RUNS = 4, MEASURES = 5 }; /* a panel has room for eight lines */

static int draw_tables(cli *c, char **path, const log_table *t, int runs) {
    static const char *const wanted[] = { "epoch", "train_loss", "val_loss", "train_accuracy",
                                          "val_accuracy" };
    const double *found[MAX_RUNS][MEASURES];
    for (int r = 0; r < runs; r++)
        for (int i = 0; i < MEASURES; i++) {
            found[r][i] = column(&t[r], wanted[i]);
            if (!found[r][i] || !t[r].rows)
                return fail(c, EXIT_BAD_INPUT, "%s: not the log of a training run: no %s %s",
                            path[r], found[r][i] ? "finished" : "column",
                            found[r][i] ? "epoch" : wanted[i]);
        }
    lens_figure_series line[2][2 * MAX_RUNS]; /* of loss and accuracy */
    char *name[2 * MAX_RUNS];
    record *all = record_new();
    for (int r = 0; r < runs; r++) {
        char *run = run_name(path[r]);
        for (int k = 0; k < 2; k++) {
            const char *split = word(c, k ? "test" : "training");
            name[2 * r + k] = runs > 1 ? say_text("%s, %s", run, split) : say_text("%s", split);
            for (int panel = 0; panel < 2; panel++)
                line[panel][2 * r + k] =
                    (lens_figure_series){ name[2 * r + k], found[r][0], found[r][1 + 2 * panel + k],
                                          t[r].rows };
        }
        for (int i = 0; i < MEASURES; i++) {
            char *key = runs > 1 ? say_text("%s %s", run, wanted[i]) : say_text("%s", wanted[i]);
            record_doubles(all, key, found[r][i], 1, (int[]){ (int)t[r].rows });
            free(key);
        }
        free(run);
    }
    const lens_figure_panel panels[] = {
        { word(c, "loss"), line[0], 2 * runs, runs > 1 ? LENS_BEST_NONE : LENS_BEST_LOW },
        { word(c, "accuracy"), line[1], 2 * runs, runs > 1 ? LENS_BEST_NONE : LENS_BEST_HIGH }
    };
    const lens_figure_opts opts = figure_opts(c, word(c, "Loss and accuracy"));
    lens_figure *figure = NULL;
    lens_status status = lens_figure_curves(c->ctx, &figure, panels, 2, word(c, "epoch"), &opts);
    for (int i = 0; i < 2 * runs; i++) free(name[i]);
    return finish(c, status, figure, all);
}

int draw_logs(cli *c, char **path, int runs) {
    log_table t[MAX_RUNS] = { 0 };
    int status = EXIT_DONE;
    for (int r = 0; r < runs && status == EXIT_DONE; r++) status = read_log(c, path[r], &t[r]);
    if (status == EXIT_DONE) status = draw_tables(c, path, t, runs);
    for (int r = 0; r < runs; r++) free_log(&t[r]);
    return status;
}

static int plot_curves(cli *c) {
    char *path[MAX_RUNS];
    if (!c->operands)
        return fail(c, EXIT_USAGE, "which run? lenslet plot curves DIR -o %s", file_of(c));
    for (int r = 0; r < c->operands; r++) {
        struct stat entry;
        bool folder = stat(c->operand[r], &entry) == 0 && S_ISDIR(entry.st_mode);
        path[r] = say_text(folder ? "%s/log.csv" : "%s", c->operand[r]);
    }
    int status = draw_logs(c, path, c->operands);
    for (int r = 0; r < c->operands; r++) free(path[r]);
    return status;
}

/* ---- layers ---- */

int unknown_layer(cli *c, const lens_net *net, const char *name) {
    int nodes = lens_net_nodes(net);
    const char **names = take((size_t)nodes, sizeof *names);
    for (int i = 0; i < nodes; i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        names[i] = info.name;
    }
    const char *near = lens_nearest(name, names, (size_t)nodes);
    free(names);
    if (near)
        return fail(c, EXIT_USAGE, "%s has no layer \"%s\"; did you mean \"%s\"?",
                    lens_net_name(net), name, near);
    return fail(c, EXIT_USAGE, "%s has no layer \"%s\"", lens_net_name(net), name);
}

/* The weights of the layer, or of the first convolution when no name is given. */
static int find_weights(cli *c, const lens_net *net, const char *layer, lens_param *param) {
    if (layer && !lens_net_find(net, layer)) return unknown_layer(c, net, layer);
    for (int i = 0; i < lens_net_params(net); i++) {
        lens_node_info info;
        if (lens_net_param(net, i, param) != LENS_OK || param->value.rank != 4) continue;
        lens_node_info_get(param->node, &info);
        if (!layer || !strcmp(info.name, layer)) return EXIT_DONE;
    }
    return fail(c, EXIT_USAGE, layer ? "%s: layer %s has no filters" : "%s has no convolution",
                lens_net_name(net), layer);
}

int draw_weights(cli *c, const lens_net *net, const lens_param *p) {
    char shape[96];
    const int dim[] = { (int)p->value.dim[0], (int)p->value.dim[1], (int)p->value.dim[2],
                        (int)p->value.dim[3] };
    char *title =
        say_text("%s: %s %s", lens_net_name(net), p->name, lens_tensor_shape(&p->value, shape));
    lens_figure_opts opts = figure_opts(c, title);
    lens_figure *figure = NULL;
    opts.rgb = dim[1] == 3;
    lens_status drawn =
        lens_figure_filters(c->ctx, &figure, p->value.data, dim[0], dim[1], dim[2], dim[3], &opts);
    record *weights = record_new();
    record_floats(weights, p->name, p->value.data, 4, dim);
    free(title);
    return finish(c, drawn, figure, weights);
}

static int plot_filters(cli *c) {
    model m;
    lens_param p;
    int status = open_model(c, &m);
    if (status) return status;
    status = find_weights(c, m.net, text_of(c, "layer", NULL), &p);
    if (status == EXIT_DONE) status = draw_weights(c, m.net, &p);
    close_model(&m);
    return status;
}

/* ---- maps ---- */

int one_picture(cli *c, const model *m, float *chw, char **name) {
    const char *image = text_of(c, "image", NULL);
    char buf[64];
    if (image) {
        *name = say_text("%s", image);
        return read_picture(c, m, image, chw);
    }
    if (!has(c, "data"))
        return fail(c, EXIT_USAGE, "which picture? --image FILE, or --data SRC --index N");
    lens_data *data;
    int label, status = open_data(c, text_of(c, "data", NULL), &data, m);
    if (status) return status;
    const lens_data_info *info = lens_data_describe(data);
    size_t index = (size_t)whole_of(c, "index", 0);
    lens_status got = LENS_BAD_SHAPE;
    if (info->channels != m->input.c || info->height != m->input.h || info->width != m->input.w)
        status =
            fail(c, EXIT_USAGE,
                 "the data's pictures are %dx%dx%d but the model reads "
                 "%dx%dx%d",
                 info->channels, info->height, info->width, m->input.c, m->input.h, m->input.w);
    else if ((got = lens_data_get(data, split_of(c), index, chw, &label)) == LENS_OK)
        *name = say_text("%s, %s", lens_data_sample(data, split_of(c), index, buf),
                         info->class_name[label]);
    else
        status = fail_status(c, got, got == LENS_BAD_ARG ? NAMING : READING);
    lens_data_free(data);
    return status;
}

/* Whether maps of this node are asked for: the layers named, features too, else every node with maps. */
static bool wanted(const cli *c, const lens_node_info *info) {
    if (info->rank == 3 || info->inputs == 0 || info->training) return false;
    if (c->page || !has(c, "layer")) return info->h > 1 || info->w > 1;
    for (int i = 0; nth_of(c, "layer", i); i++)
        if (!strcmp(nth_of(c, "layer", i), info->name)) return true;
    return false;
}

static int check_layers(cli *c, const lens_net *net) {
    for (int i = 0; nth_of(c, "layer", i); i++) {
        const char *name = nth_of(c, "layer", i);
        lens_node *node = lens_net_find(net, name);
        if (!node) return unknown_layer(c, net, name);
        lens_node_info info;
        lens_node_info_get(node, &info);
        if (!wanted(c, &info))
            return fail(c, EXIT_USAGE, "%s: layer %s has no maps", lens_net_name(net), name);
    }
    return EXIT_DONE;
}

int draw_maps(cli *c, const model *m, const float *picture, const char *name,
              lens_session *session) {
    int nodes = lens_net_nodes(m->net), count = 0;
    lens_figure_layer *layer = take((size_t)nodes, sizeof *layer);
    lens_status status = LENS_OK;
    for (int i = 0; i < nodes && status == LENS_OK; i++) {
        lens_node_info info;
        lens_tensor value;
        lens_node_info_get(lens_net_node(m->net, i), &info);
        if (!wanted(c, &info)) continue;
        status = lens_peek(session, lens_net_node(m->net, i), LENS_VALUE, &value);
        if (status == LENS_OK)
            layer[count++] = (lens_figure_layer){ info.name, value.data, info.c, info.h, info.w };
    }
    if (count == 0) {
        free(layer);
        return fail(c, EXIT_USAGE, "%s has no layer with maps", lens_net_name(m->net));
    }
    char *title = say_text(word(c, "%s: maps of %s"), lens_net_name(m->net), name);
    lens_figure_opts opts = figure_opts(c, title);
    if (!c->page && has(c, "share")) opts.share = LENS_SHARE_FIGURE;
    const lens_figure_picture input = { picture, m->input.c, m->input.h, m->input.w, 0, 0 };
    bool drawable = m->input.c == 1 || m->input.c == 3;
    lens_figure *figure = NULL;
    if (status == LENS_OK)
        status = lens_figure_maps(c->ctx, &figure, drawable ? &input : NULL, layer, count, &opts);
    record *all = record_new();
    for (int i = 0; i < count; i++)
        record_floats(all, layer[i].name, layer[i].data, 3,
                      (int[]){ layer[i].c, layer[i].h, layer[i].w });
    free(title);
    free(layer);
    return finish(c, status, figure, all);
}

int run_picture(cli *c, const model *m, const float *chw, lens_session **session) {
    size_t floats = (size_t)m->input.c * (size_t)m->input.h * (size_t)m->input.w;
    float *x = take(floats, sizeof *x);
    memcpy(x, chw, floats * sizeof *x);
    normalise(m, x, 1);
    lens_tensor input = { x, 4, { 1, m->input.c, m->input.h, m->input.w } }, y;
    lens_status ran =
        lens_session_new(session, m->net, c->ctx, &(lens_session_opts){ .watch = true });
    if (ran == LENS_OK) ran = lens_run(*session, &input, &y);
    free(x);
    return ran == LENS_OK ? EXIT_DONE : fail_status(c, ran, WORKING);
}

static int plot_maps(cli *c) {
    model m;
    lens_session *session = NULL;
    char *name = NULL;
    int status = open_model(c, &m);
    if (status) return status;
    float *picture =
        take((size_t)m.input.c * (size_t)m.input.h * (size_t)m.input.w, sizeof *picture);
    status = check_layers(c, m.net);
    if (status == EXIT_DONE) status = one_picture(c, &m, picture, &name);
    if (status == EXIT_DONE) status = run_picture(c, &m, picture, &session);
    if (status == EXIT_DONE) status = draw_maps(c, &m, picture, name, session);
    lens_session_free(session);
    free(name);
    free(picture);
    close_model(&m);
    return status;
}

/* ---- confusion and errors: both run the model over a split ---- */

int judge(cli *c, judged *j) {
    enum { BATCH = 256 };
    *j = (judged){ 0 };
    int status = open_model(c, &j->m);
    if (status == EXIT_DONE) status = open_data(c, text_of(c, "data", NULL), &j->data, &j->m);
    if (status) return status;
    j->info = lens_data_describe(j->data);
    if (j->info->classes != j->m.classes)
        return fail(c, EXIT_USAGE, "the model tells %d classes but the data has %d", j->m.classes,
                    j->info->classes);
    size_t classes = (size_t)j->m.classes;
    j->confusion = take(classes * classes, sizeof *j->confusion);
    j->logits = take(j->info->count[split_of(c)] * classes, sizeof *j->logits);
    lens_status ran =
        lens_eval(j->m.net, j->data, split_of(c), BATCH, &j->result, j->confusion, j->logits);
    return ran == LENS_OK ? EXIT_DONE : fail_status(c, ran, WORKING);
}

void free_judged(judged *j) {
    free(j->logits);
    free(j->confusion);
    lens_data_free(j->data);
    close_model(&j->m);
}

int draw_confusion(cli *c, const judged *j) {
    int k = j->m.classes;
    char *title = say_text(word(c, "%s on %s"), lens_net_name(j->m.net), j->info->name);
    const lens_figure_opts opts = figure_opts(c, title);
    lens_figure *figure = NULL;
    lens_status drawn =
        lens_figure_confusion(c->ctx, &figure, j->confusion, k, j->info->class_name, &opts);
    double *counts = take((size_t)k * (size_t)k, sizeof *counts);
    for (int i = 0; i < k * k; i++) counts[i] = (double)j->confusion[i];
    record *all = record_new();
    record_doubles(all, "counts", counts, 2, (int[]){ k, k });
    free(counts);
    free(title);
    return finish(c, drawn, figure, all);
}

static int plot_confusion(cli *c) {
    judged j;
    int status = judge(c, &j);
    if (status == EXIT_DONE) status = draw_confusion(c, &j);
    free_judged(&j);
    return status;
}

typedef struct mistake {
    size_t index;
    int truth, predicted;
    float p, p_truth;
} mistake;

static int most_confident_first(const void *a, const void *b) {
    const mistake *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* All wrong ones, the most confident first. */
static lens_status find_mistakes(const cli *c, const judged *j, mistake *out, size_t *count) {
    int classes = j->m.classes;
    float *p = take((size_t)classes, sizeof *p);
    lens_status status = LENS_OK;
    *count = 0;
    for (size_t i = 0; i < (size_t)j->result.images && status == LENS_OK; i++) {
        mistake m = { .index = i };
        status = lens_data_get(j->data, split_of(c), i, NULL, &m.truth);
        probabilities(&j->m, j->logits + i * (size_t)classes, p);
        for (int k = 1; k < classes; k++)
            if (p[k] > p[m.predicted]) m.predicted = k;
        m.p = p[m.predicted];
        m.p_truth = p[m.truth];
        if (m.predicted != m.truth) out[(*count)++] = m;
    }
    free(p);
    qsort(out, *count, sizeof *out, most_confident_first);
    return status;
}

static int draw_mistakes(cli *c, const judged *j, const mistake *wrong, size_t count) {
    const lens_data_info *d = j->info;
    size_t floats = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    lens_figure_sample *sample = take(count, sizeof *sample);
    float *pixels = take(count * floats, sizeof *pixels);
    char(*buf)[64] = take(count, sizeof *buf);
    lens_status status = LENS_OK;
    for (size_t i = 0; i < count && status == LENS_OK; i++) {
        const mistake *w = &wrong[i];
        float *chw = pixels + i * floats;
        status = lens_data_get(j->data, split_of(c), w->index, chw, NULL);
        sample[i] =
            (lens_figure_sample){ .picture = { chw, d->channels, d->height, d->width, 0, 0 },
                                  .truth = w->truth,
                                  .predicted = w->predicted,
                                  .p = w->p,
                                  .p_truth = w->p_truth,
                                  .source =
                                      lens_data_sample(j->data, split_of(c), w->index, buf[i]) };
    }
    char mistakes[32], images[32];
    char *title = say_text(word(c, "%s on %s: %s mistakes in %s pictures"), lens_net_name(j->m.net),
                           d->name, with_commas(j->result.images - j->result.correct, mistakes),
                           with_commas(j->result.images, images));
    char *subtitle = say_text(word(c, "%zu of them shown"), count);
    lens_figure_opts opts = figure_opts(c, title);
    if (count) opts.subtitle = subtitle;
    lens_figure *figure = NULL;
    if (status == LENS_OK)
        status =
            lens_figure_errors(c->ctx, &figure, sample, count, d->classes, d->class_name, &opts);
    free(subtitle);
    free(title);
    free(buf);
    free(pixels);
    free(sample);
    record *all = record_new();
    for (size_t i = 0; i < count; i++) {
        const mistake *w = &wrong[i];
        char *at = say_text("mistake %zu: index, truth, predicted, p, p of the truth", i);
        record_doubles(all, at,
                       (double[]){ (double)w->index, w->truth, w->predicted, (double)w->p,
                                   (double)w->p_truth },
                       1, (int[]){ 5 });
        free(at);
    }
    return finish(c, status, figure, all);
}

int draw_errors(cli *c, const judged *j, size_t most) {
    mistake *wrong = take((size_t)j->result.images, sizeof *wrong);
    size_t count;
    lens_status found = find_mistakes(c, j, wrong, &count);
    int status = found == LENS_OK ? draw_mistakes(c, j, wrong, count < most ? count : most)
                                  : fail_status(c, found, READING);
    free(wrong);
    return status;
}

static int plot_errors(cli *c) {
    enum { SHOWN = 40 }; /* a page */
    judged j;
    int status = judge(c, &j);
    if (status == EXIT_DONE) status = draw_errors(c, &j, SHOWN);
    free_judged(&j);
    return status;
}

/* ---- arch ---- */

/* "5x5 conv2d pad 2" as "conv2d 5x5 pad 2": the figure tints a layer by its first word. */
static char *kind_first(const lens_node_info *info) {
    const char *kind = strstr(info->label, info->kind);
    if (!kind) return say_text("%s", info->label);
    const char *rest = kind + strlen(info->kind);
    return say_text("%s %.*s%s", info->kind, (int)(kind - info->label), info->label,
                    *rest ? rest + 1 : "");
}

int draw_arch(cli *c, const lens_net *net) {
    int nodes = lens_net_nodes(net);
    lens_figure_block *block = take((size_t)nodes, sizeof *block);
    lens_node_info *info = take((size_t)nodes, sizeof *info);
    char **kind = take((size_t)nodes, sizeof *kind);
    for (int i = 0; i < nodes; i++) {
        lens_node_info_get(lens_net_node(net, i), &info[i]);
        kind[i] = kind_first(&info[i]);
        block[i] = (lens_figure_block){ .name = info[i].name,
                                        .kind = kind[i],
                                        .c = info[i].c,
                                        .h = info[i].h,
                                        .w = info[i].w,
                                        .params = info[i].parameters,
                                        .macs = info[i].macs };
    }
    const lens_figure_opts opts = figure_opts(c, lens_net_name(net));
    lens_figure *figure = NULL;
    lens_status drawn = lens_figure_arch(c->ctx, &figure, block, nodes, &opts);
    record *all = record_new();
    for (int i = 0; i < nodes; i++)
        record_doubles(all, info[i].name,
                       (double[]){ info[i].c, info[i].h, info[i].w, (double)info[i].parameters,
                                   (double)info[i].macs },
                       1, (int[]){ 5 });
    for (int i = 0; i < nodes; i++) free(kind[i]);
    free(kind);
    free(info);
    free(block);
    return finish(c, drawn, figure, all);
}

static int plot_arch(cli *c) {
    model m = { 0 };
    int status = c->operands ? open_argument(c, &m, c->operand[0]) : open_model(c, &m);
    if (status == EXIT_DONE) status = draw_arch(c, m.net);
    close_model(&m);
    return status;
}

int run_plot(cli *c) {
    static const struct {
        const char *topic;
        int (*plot)(cli *);
        int operands; /* at most; -1: any number */
    } plots[] = { { "curves", plot_curves, MAX_RUNS },
                  { "filters", plot_filters, 0 },
                  { "maps", plot_maps, 0 },
                  { "confusion", plot_confusion, 0 },
                  { "errors", plot_errors, 0 },
                  { "arch", plot_arch, 1 },
                  { "stages", plot_stages, 0 },
                  { "unit", plot_unit, 0 },
                  { "rf", plot_rf, 1 },
                  { "conv", plot_conv, 0 },
                  { "backward", plot_backward, 1 },
                  { "channels", plot_channels, 0 },
                  { "pooling", plot_pooling, 0 },
                  { "invariance", plot_invariance, -1 } };
    if (!file_of(c)) return fail(c, EXIT_USAGE, "where to? -o FILE.svg or FILE.png");
    int status = record_check(c);
    if (status) return status;
    choose_lang(c, file_of(c));
    for (size_t i = 0; i < sizeof plots / sizeof *plots; i++) {
        if (strcmp(plots[i].topic, c->topic)) continue;
        if (plots[i].operands >= 0 && c->operands > plots[i].operands)
            return fail(c, EXIT_USAGE, "plot %s has no use for \"%s\"", c->topic,
                        c->operand[plots[i].operands]);
        return plots[i].plot(c);
    }
    return EXIT_FAILED;
}
