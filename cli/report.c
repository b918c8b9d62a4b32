/* report.c - lenslet report: everything about a trained net on one page of HTML.
 *
 * The page is one file: figures are SVG in the page itself; there is no script and nothing to load, so it
 * opens from a disk and prints. What is measured anew each time (speed) stands in one table of its own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { BINS = 10, MAPS = 3, MISTAKES = 24, FILTERS = 4, RUNS = 25 };

static const char style[] =
    "body{font:15px/1.5 Helvetica,Arial,'Noto Sans CJK SC',sans-serif;color:#222;max-width:820px;"
    "margin:2em auto;padding:0 1em}"
    "h1{font-size:1.6em;margin-bottom:0}h2{font-size:1.15em;margin:2em 0 .4em;"
    "border-bottom:1px solid #ddd}p{margin:.3em 0;color:#555}"
    "table{border-collapse:collapse;font-size:.87em;margin:.6em 0}"
    "th{text-align:left;border-bottom:1px solid #999}td,th{padding:.15em .9em .15em 0}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto;"
    "display:block}code{overflow-wrap:anywhere}"
    "@media print{body{margin:0;max-width:none;font-size:11px}h2{break-after:avoid}"
    "svg,table{break-inside:avoid}}";

static FILE *out(const cli *c) { return c->page->stream; }

/* Letters that HTML gives a meaning as entities. */
static void text(const cli *c, const char *s) {
    for (; *s; s++) {
        const char *entity = *s == '&' ? "&amp;" : *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : NULL;
        if (entity)
            fputs(entity, out(c));
        else
            fputc(*s, out(c));
    }
}

/* A section with a sentence of what to look at. */
static void section(const cli *c, const char *title, const char *notice) {
    fprintf(out(c), "<h2>%s</h2>\n<p>%s</p>\n", title, notice);
}

/* A row of cells; the first is a name, those behind it numbers. */
static void row(const cli *c, const char *tag, const char *const *cell) {
    fputs("<tr>", out(c));
    for (int i = 0; cell[i]; i++) {
        fprintf(out(c), i ? "<%s class=\"n\">" : "<%s>", tag);
        text(c, cell[i]);
        fprintf(out(c), "</%s>", tag);
    }
    fputs("</tr>\n", out(c));
}

static void open_table(const cli *c, const char *const *heads) {
    fputs("<table>\n", out(c));
    row(c, "th", heads);
}

static void close_table(const cli *c) { fputs("</table>\n", out(c)); }

static const char *percent(double share, char buf[16]) {
    snprintf(buf, 16, isfinite(share) ? "%.2f %%" : "–", 100 * share);
    return buf;
}

/* ---- calibration: is what the net is 90 % sure of right 90 times in a hundred? ---- */

/* Pictures by the probability of the predicted class, in BINS equal intervals; (0.8,0.9] counts 0.9. */
typedef struct calibration {
    int64_t count[BINS];
    double confidence[BINS], accuracy[BINS]; /* means */
    double ece;                              /* sum over bins of n/N |accuracy - confidence| */
} calibration;

static lens_status calibrate(const cli *c, const judged *j, calibration *k) {
    int classes = j->m.classes;
    float *p = take((size_t)classes, sizeof *p);
    lens_status status = LENS_OK;
    *k = (calibration){ 0 };
    for (int64_t i = 0; i < j->result.images && status == LENS_OK; i++) {
        int truth, best = 0;
        status = lens_data_get(j->data, split_of(c), (size_t)i, NULL, &truth);
        probabilities(&j->m, j->logits + i * classes, p);
        for (int n = 1; n < classes; n++)
            if (p[n] > p[best]) best = n;
        int bin = (int)ceil((double)p[best] * BINS) - 1;
        bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
        k->count[bin]++;
        k->confidence[bin] += (double)p[best];
        k->accuracy[bin] += best == truth;
    }
    free(p);
    for (int b = 0; b < BINS; b++) {
        if (!k->count[b]) continue;
        k->confidence[b] /= (double)k->count[b];
        k->accuracy[b] /= (double)k->count[b];
        k->ece += (double)k->count[b] / (double)j->result.images *
                  fabs(k->accuracy[b] - k->confidence[b]);
    }
    return status;
}

static int put_calibration(cli *c, const calibration *k) {
    double confidence[BINS], accuracy[BINS];
    const double ends[] = { 0, 1 };
    size_t bins = 0;
    char ece[16];
    section(c, word(c, "Calibration"),
            word(c, "Right on the diagonal: of what the net is 80 % sure of, 80 % is right. Below "
                    "it, the net is too sure of itself."));
    fprintf(out(c), "<p>%s: <b>%s</b></p>\n", word(c, "expected calibration error (ECE)"),
            percent(k->ece, ece));
    open_table(c, (const char *[]){ word(c, "probability"), word(c, "pictures"),
                                    word(c, "mean probability"), word(c, "accuracy"), NULL });
    for (int b = 0; b < BINS; b++) {
        if (!k->count[b]) continue;
        char range[32], count[32], mean[16], right[16];
        snprintf(range, sizeof range, "%d–%d %%", 100 * b / BINS, 100 * (b + 1) / BINS);
        row(c, "td",
            (const char *[]){ range, with_commas(k->count[b], count),
                              percent(k->confidence[b], mean), percent(k->accuracy[b], right),
                              NULL });
        confidence[bins] = k->confidence[b];
        accuracy[bins++] = k->accuracy[b];
    }
    close_table(c);
    const lens_figure_series lines[] = { { word(c, "calibrated"), ends, ends, 2 },
                                         { word(c, "this net"), confidence, accuracy, bins } };
    const lens_figure_panel panel = { word(c, "accuracy"), lines, 2, LENS_BEST_NONE };
    const lens_figure_opts opts = figure_opts(c, word(c, "Reliability"));
    lens_figure *figure = NULL;
    lens_status drawn = lens_figure_curves(c->ctx, &figure, &panel, 1,
                                           word(c, "probability of the predicted class"), &opts);
    return finish(c, drawn, figure, NULL);
}

/* ---- speed ---- */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of one picture alone. */
static lens_status latency(cli *c, const judged *j, double *seconds) {
    size_t floats = (size_t)j->m.input.c * (size_t)j->m.input.h * (size_t)j->m.input.w;
    lens_tensor x = { take(floats, sizeof(float)),
                      4,
                      { 1, j->m.input.c, j->m.input.h, j->m.input.w } },
                y;
    lens_session *session = NULL;
    double took[RUNS];
    lens_status status = lens_session_new(&session, j->m.net, c->ctx, NULL);
    for (int i = 0; i < RUNS && status == LENS_OK; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        status = lens_run(session, &x, &y);
        clock_gettime(CLOCK_MONOTONIC, &b);
        took[i] = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    }
    lens_session_free(session);
    free(x.data);
    if (status != LENS_OK) return status;
    qsort(took, RUNS, sizeof *took, by_size);
    *seconds = took[RUNS / 2];
    return LENS_OK;
}

static int put_speed(cli *c, const judged *j) {
    double seconds;
    char speed[32], alone[32], threads[16];
    lens_status status = latency(c, j, &seconds);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    section(c, word(c, "Speed"), word(c, "Measured while this page was written."));
    snprintf(alone, sizeof alone, "%.3g ms", 1e3 * seconds);
    snprintf(threads, sizeof threads, "%d", lens_ctx_threads(c->ctx));
    open_table(c, (const char *[]){ word(c, "instructions"), word(c, "threads"),
                                    word(c, "pictures a second, in batches"),
                                    word(c, "one picture alone, median"), NULL });
    row(c, "td",
        (const char *[]){ lens_ctx_isa(c->ctx), threads,
                          with_commas(llround(j->result.images_per_s), speed), alone, NULL });
    close_table(c);
    return EXIT_DONE;
}

/* ---- the other sections ---- */

static void put_summary(const cli *c, const judged *j, const calibration *k) {
    char hash[33], parameters[32], macs[32], images[32], top1[16], top5[16], loss[16], ece[16];
    lens_net_hash(j->m.net, hash);
    snprintf(loss, sizeof loss, "%.4f", j->result.loss);
    const struct {
        const char *name, *value;
    } facts[] = {
        { word(c, "data"), j->info->name },
        { word(c, "pictures"), with_commas(j->result.images, images) },
        { word(c, "top-1 accuracy"),
          percent((double)j->result.correct / (double)j->result.images, top1) },
        { word(c, "top-5 accuracy"),
          percent((double)j->result.correct5 / (double)j->result.images, top5) },
        { word(c, "loss"), loss },
        { word(c, "expected calibration error (ECE)"), percent(k->ece, ece) },
        { word(c, "parameters"), with_commas(lens_net_parameters(j->m.net), parameters) },
        { word(c, "multiply-adds per picture"), with_commas(lens_net_macs(j->m.net), macs) },
        { word(c, "hash of the weights"), hash },
        { word(c, "trained by"), lens_net_meta(j->m.net, "command") },
    };
    fputs("<table>\n", out(c));
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (!facts[i].value) continue;
        fprintf(out(c), "<tr><th>%s</th><td><code>", facts[i].name);
        text(c, facts[i].value);
        fputs("</code></td></tr>\n", out(c));
    }
    close_table(c);
}

static int put_layers(cli *c, const judged *j) {
    section(c, word(c, "Architecture"),
            word(c, "Sheets are feature maps, all to one scale. Where are the parameters, and "
                    "where is the work?"));
    int status = draw_arch(c, j->m.net);
    open_table(c, (const char *[]){ word(c, "layer"), word(c, "kind"), word(c, "output"),
                                    word(c, "parameters"), word(c, "multiply-adds"),
                                    word(c, "receptive field"), NULL });
    for (int i = 0; i < lens_net_nodes(j->m.net); i++) {
        lens_node_info n;
        char shape[48], parameters[32], macs[32], field[16];
        lens_node_info_get(lens_net_node(j->m.net, i), &n);
        snprintf(shape, sizeof shape, n.rank == 4 ? "%d×%d×%d" : "%d", n.c, n.h, n.w);
        snprintf(field, sizeof field, "%d", n.field);
        row(c, "td",
            (const char *[]){ n.name, n.label, shape, with_commas(n.parameters, parameters),
                              with_commas(n.macs, macs), field, NULL });
    }
    close_table(c);
    return status;
}

/* The log of the run: --log, else beside the model, where train leaves it. */
static int put_curves(cli *c) {
    const char *log = text_of(c, "log", NULL), *file = text_of(c, "model", NULL);
    const char *slash = file ? strrchr(file, '/') : NULL;
    char *beside = say_text("%.*slog.csv", slash ? (int)(slash - file) + 1 : 0, file ? file : "");
    struct stat entry;
    int status = EXIT_DONE;
    if (log || (file && stat(beside, &entry) == 0)) {
        section(c, word(c, "Training"),
                word(c, "Where the curves of training and test part, the net learns by heart."));
        char *path = say_text("%s", log ? log : beside);
        status = draw_logs(c, &path, 1);
        free(path);
    }
    free(beside);
    return status;
}

static int put_filters(cli *c, const judged *j) {
    int shown = 0, status = EXIT_DONE;
    for (int i = 0; i < lens_net_params(j->m.net) && shown < FILTERS && !status; i++) {
        lens_param p;
        if (lens_net_param(j->m.net, i, &p) != LENS_OK || p.value.rank != 4) continue;
        if (shown++ == 0)
            section(c, word(c, "Filters"),
                    word(c, "Neighbouring weights of one sign are an edge or a spot the filter "
                            "looks for; noise has learned nothing."));
        status = draw_weights(c, j->m.net, &p);
    }
    return status;
}

static int put_maps(cli *c, const judged *j) {
    size_t floats = (size_t)j->m.input.c * (size_t)j->m.input.h * (size_t)j->m.input.w;
    size_t most = (size_t)j->result.images < MAPS ? (size_t)j->result.images : MAPS;
    float *picture = take(floats, sizeof *picture);
    int status = EXIT_DONE, maps = 0;
    for (int i = 0; i < lens_net_nodes(j->m.net); i++) {
        lens_node_info n;
        lens_node_info_get(lens_net_node(j->m.net, i), &n);
        maps += n.inputs > 0 && n.rank == 4 && n.h * n.w > 1;
    }
    if (maps)
        section(c, word(c, "Feature maps"),
                word(c, "What each layer makes of a picture: early ones follow its outlines, late "
                        "ones say where something is."));
    for (size_t i = 0; i < most && maps && !status; i++) {
        int label;
        char buf[64];
        lens_session *session = NULL;
        lens_status got = lens_data_get(j->data, split_of(c), i, picture, &label);
        if (got != LENS_OK) {
            status = fail_status(c, got, READING);
            break;
        }
        char *name = say_text("%s, %s", lens_data_sample(j->data, split_of(c), i, buf),
                              j->info->class_name[label]);
        status = run_picture(c, &j->m, picture, &session);
        if (!status) status = draw_maps(c, &j->m, picture, name, session);
        lens_session_free(session);
        free(name);
    }
    free(picture);
    return status;
}

static int put_classes(cli *c, const judged *j) {
    section(c, word(c, "Classes"),
            word(c, "Recall: share of a class that is found. Precision: share of what is taken "
                    "for it that is right."));
    open_table(c, (const char *[]){ word(c, "class"), word(c, "pictures"), word(c, "recall"),
                                    word(c, "precision"), NULL });
    for (int k = 0; k < j->m.classes; k++) {
        char images[32], recall[16], precision[16];
        class_score s = class_score_of(j->confusion, j->m.classes, k);
        row(c, "td",
            (const char *[]){ j->info->class_name[k], with_commas(s.images, images),
                              percent(s.recall, recall), percent(s.precision, precision), NULL });
    }
    close_table(c);
    int status = draw_confusion(c, j);
    if (status) return status;
    section(c, word(c, "Worst mistakes"),
            word(c, "Wrong and sure of it: some are labels one may argue about."));
    return draw_errors(c, j, MISTAKES);
}

static int put_page(cli *c, const judged *j, const calibration *k) {
    char *title = say_text(word(c, "%s, measured on %s"), lens_net_name(j->m.net), j->info->name);
    fprintf(out(c),
            "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
            c->lang == LENS_LANG_ZH ? "zh-CN" : "en");
    text(c, title);
    fprintf(out(c), "</title>\n<style>%s</style>\n</head>\n<body>\n<h1>", style);
    text(c, title);
    fputs("</h1>\n", out(c));
    free(title);
    put_summary(c, j, k);
    int status = put_layers(c, j);
    if (!status) status = put_curves(c);
    if (!status) status = put_filters(c, j);
    if (!status) status = put_maps(c, j);
    if (!status) status = put_classes(c, j);
    if (!status) status = put_calibration(c, k);
    if (!status) status = put_speed(c, j);
    fputs("<p><code>", out(c));
    text(c, c->command);
    fputs("</code></p>\n</body>\n</html>\n", out(c));
    return status;
}

int run_report(cli *c) {
    const char *path = text_of(c, "out", NULL);
    judged j = { 0 };
    calibration k = { 0 };
    if (!path || !has_ending(path, ".html")) return fail(c, EXIT_USAGE, "where to? -o FILE.html");
    choose_lang(c, path);
    int status = judge(c, &j);
    if (!status) {
        lens_status counted = calibrate(c, &j, &k);
        if (counted != LENS_OK) status = fail_status(c, counted, READING);
    }
    if (!status) {
        c->page = document_new();
        status = put_page(c, &j, &k);
        if (status)
            document_free(c->page);
        else
            status = document_write(c, c->page, path);
        c->page = NULL;
    }
    if (!status)
        emit(c, json_pack("{s:o,s:I,s:I,s:o}", "file", json_text(path), "images",
                          (json_int_t)j.result.images, "correct", (json_int_t)j.result.correct,
                          "ece", json_number(k.ece)));
    free_judged(&j);
    return status;
}
