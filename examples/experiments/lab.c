/* lab.c - see lab.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void give_up(const char *name, const char *why) {
    fprintf(stderr, "%s: %s\n", name, why);
    exit(1);
}

static void path_of(const lab *l, const char *rest, char path[512]) {
    if (snprintf(path, 512, "%s/%s%s", l->folder, l->name, rest) >= 512)
        give_up(l->name, "the folder's name is too long");
}

lab lab_open(int argc, char **argv, const char *name) {
    lab l = { .name = name, .folder = "experiments" };
    char why[256], path[512];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--quick"))
            l.quick = true;
        else if (argv[i][0] != '-' && i == argc - 1)
            l.folder = argv[i];
        else {
            fprintf(stderr, "usage: %s [--quick] [FOLDER]\n", name);
            exit(2);
        }
    }
    mkdir(l.folder, 0777); /* an old one will do; a failure shows below */
    path_of(&l, ".csv", path);
    if (!(l.csv = fopen(path, "w"))) give_up(path, "cannot be written");
    if (lens_ctx_new(&l.ctx, NULL, why) != LENS_OK) give_up(name, why);
    return l;
}

int lab_close(lab *l) {
    if (ferror(l->csv) || fclose(l->csv) != 0) give_up(l->name, "the table cannot be written");
    lens_ctx_free(l->ctx);
    return 0;
}

void lab_must(lab *l, lens_status status) {
    if (status != LENS_OK) give_up(l->name, lens_why(l->ctx));
}

void lab_row(lab *l, const char *format, ...) {
    FILE *to[] = { l->csv, stdout };
    for (int i = 0; i < 2; i++) {
        va_list arguments;
        va_start(arguments, format);
        vfprintf(to[i], format, arguments);
        va_end(arguments);
        fputc('\n', to[i]);
    }
}

void lab_figure(lab *l, lens_status made, lens_figure **figure) {
    static const char *const endings[] = { ".svg", ".png" };
    lab_must(l, made);
    for (int i = 0; i < 2; i++) {
        char path[512];
        path_of(l, endings[i], path);
        lab_must(l, lens_figure_write(*figure, path));
    }
    lens_figure_free(*figure);
}

void lab_curves(lab *l, const char *title, const char *subtitle, const char *x_name,
                const lens_figure_panel *panels, int count) {
    const lens_figure_opts look = { .title = title, .subtitle = subtitle };
    lens_figure *figure = NULL;
    lab_figure(l, lens_figure_curves(l->ctx, &figure, panels, count, x_name, &look), &figure);
}

lens_net *lab_net(lab *l, const char *format, ...) {
    char text[4096];
    va_list arguments;
    lens_net *net;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    lab_must(l, lens_net_parse(l->ctx, &net, text, l->name));
    return net;
}

lens_data *lab_pictures(lab *l) {
    lens_data *data;
    if (!l->quick && lens_data_open(l->ctx, &data, "fashion-mnist", NULL) == LENS_OK) return data;
    return lab_digits(l, LAB_MOVED);
}

static bool keep_epoch(void *user, const lens_progress *p) {
    lab_run *run = user;
    if (!p->epoch_done || p->epoch > LAB_EPOCHS) return true;
    run->epochs = p->epoch;
    run->train_loss[p->epoch - 1] = p->loss;
    run->train_accuracy[p->epoch - 1] = p->accuracy;
    run->test_loss[p->epoch - 1] = p->val_loss;
    run->test_accuracy[p->epoch - 1] = p->val_accuracy;
    return true;
}

lab_run lab_train(lab *l, lens_net *net, lens_data *data, lens_train_opts opts) {
    lab_run run = { 0 };
    opts.progress = keep_epoch;
    opts.user = &run;
    lab_must(l, lens_train(net, data, &opts, &run.result));
    return run;
}

void lab_steps(lab *l, lens_net *net, lens_data *data, lab_steps_opts opts) {
    const lens_session_opts train = { .batch = opts.batch, .train = true };
    const lens_optim_opts sgd = { .momentum = opts.momentum };
    const lens_loader_opts order = { .shuffle = true, .drop_last = true, .seed = 1 };
    const lens_loss loss = { .kind = LENS_CROSS_ENTROPY };
    lens_session *session;
    lens_optim *optim;
    lens_loader *loader;
    lens_batch batch;
    lens_tensor y;
    uint32_t step = 0;
    lab_must(l, lens_session_new(&session, net, l->ctx, &train));
    lab_must(l, lens_optim_new(&optim, net, &sgd));
    lab_must(l, lens_loader_new(l->ctx, &loader, data, LENS_TRAIN, opts.batch, &order));
    for (int epoch = 0; epoch < opts.epochs; epoch++) {
        lab_must(l, lens_loader_epoch(loader, (uint32_t)epoch, 0));
        for (;; step++) {
            double value;
            lab_must(l, lens_loader_next(loader, &batch));
            if (batch.n == 0) break;
            if (opts.change) opts.change(opts.user, &batch, step);
            lab_must(l, lens_forward(session, &batch.images, step, &y));
            lab_must(l, lens_loss_eval(l->ctx, &loss, &y, batch.labels, &value, NULL, &y));
            lab_must(l, lens_backward(session, &y));
            lab_must(l, lens_optim_step(optim, session, opts.rate));
            if (opts.after) opts.after(opts.user, step, value);
        }
    }
    lens_loader_free(loader);
    lens_optim_free(optim);
    lens_session_free(session);
}
