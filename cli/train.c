/* train.c - lenslet train: sets up the run as the options and the net's recipe say, shows progress,
 * and reports.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int interrupted;

static void on_interrupt(int number) {
    static const char text[] = "\nfinishing this step and saving; Ctrl-C again leaves at once\n";
    (void)number;
    if (interrupted) _exit(EXIT_INTERRUPTED);
    interrupted = 1;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return; /* nobody to tell */
}

static void catch_interrupt(void) {
    struct sigaction action = { .sa_handler = on_interrupt };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

/* ---- progress on stderr ---- */

static void print_epoch(const lens_progress *p) {
    char images[32], rate[16];
    snprintf(rate, sizeof rate, "%.3g", p->rate); /* a rate of 1e-7 shows as that */
    fprintf(stderr,
            "epoch %d/%d  loss %.4f  accuracy %.4f  test loss %.4f  test accuracy %.4f%s  rate %s  "
            "%s images/s  %.1f s\n",
            p->epoch, p->epochs, p->loss, p->accuracy, p->val_loss, p->val_accuracy,
            p->best ? " best" : "", rate, with_commas(llround(p->images_per_s), images),
            p->seconds);
}

static bool show_progress(void *user, const lens_progress *p) {
    const cli *c = user;
    if (c->bar) fprintf(stderr, "\r\033[K");
    if (p->epoch_done) {
        print_epoch(p);
    } else if (c->bar) {
        char bar[96], images[32], left[32];
        double done = p->epoch_steps ? (double)p->epoch_step / (double)p->epoch_steps : 0;
        fprintf(stderr,
                "epoch %d/%d [%-20s] %3.0f%%  loss %.4f  accuracy %.4f  %s images/s  ETA %s",
                p->epoch, p->epochs, as_bar(done, 20, bar), 100 * done, p->loss, p->accuracy,
                with_commas(llround(p->images_per_s), images), as_time(p->eta_s, left));
        fflush(stderr);
    }
    return true;
}

/* ---- options ---- */

static lens_loss_kind loss_of(const cli *c) {
    static const struct {
        const char *name;
        lens_loss_kind kind;
    } losses[] = { { "cross-entropy", LENS_CROSS_ENTROPY },
                   { "mse", LENS_MSE_MEAN },
                   { "mse-half", LENS_MSE_HALF },
                   { "mse-sum", LENS_MSE_SUM },
                   { "hinge", LENS_HINGE },
                   { "hinge-squared", LENS_HINGE_SQUARED } };
    const char *name = text_of(c, "loss", "cross-entropy");
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (!strcmp(losses[i].name, name)) return losses[i].kind;
    return LENS_CROSS_ENTROPY;
}

/* What the user says wins; else the net's recipe, of which epochs and augmentations serve --recipe paper
 * alone. Another optimiser than the recipe's takes neither its rate nor its momentum, which were meant for
 * the one it names. */
static lens_train_opts options_of(cli *c, const model *m) {
    static const lens_zoo_entry no_recipe;
    const lens_zoo_entry *recipe = m->recipe ? m->recipe : &no_recipe;
    const lens_zoo_entry *paper = has(c, "recipe") ? recipe : &no_recipe;
    const char *optimizer = text_of(c, "optimizer", recipe->optimizer);
    bool own = !optimizer || !recipe->optimizer || !strcmp(optimizer, recipe->optimizer);
    return (lens_train_opts){
        .epochs = (int)whole_of(c, "epochs", paper->epochs),
        .batch = (int)whole_of(c, "batch", recipe->batch),
        .optim = { .name = optimizer,
                   .rate = real_of(c, "lr", own ? recipe->rate : 0),
                   .momentum = real_of(c, "momentum", own ? recipe->momentum : 0),
                   .weight_decay = real_of(c, "weight-decay", recipe->weight_decay),
                   .clip = real_of(c, "clip", 0) },
        .schedule = text_of(c, "schedule", recipe->schedule),
        .loss = { .kind = loss_of(c), .smoothing = (float)real_of(c, "label-smoothing", 0) },
        .init = text_of(c, "init", recipe->init),
        .keep_weights = m->trained && (!has(c, "init") || has(c, "weights")),
        .seed = (uint64_t)whole_of(c, "seed", 0),
        .augment = text_of(c, "augment", paper->augment),
        .out = text_of(c, "out", NULL),
        .save_every = (int)whole_of(c, "save-every", 0),
        .resume = has(c, "resume"),
        .progress = c->quiet ? NULL : show_progress,
        .user = c,
        .interrupt = &interrupted,
        .command = c->command,
    };
}

/* The first `count` nodes that have weights, and dropout before them. */
static int freeze(cli *c, lens_net *net, int count) {
    int layers = 0;
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        if (layers < count) lens_node_freeze(lens_net_node(net, i), true);
        layers += info.parameters > 0;
    }
    if (count < layers || count == 0) return EXIT_DONE;
    return fail(c, EXIT_USAGE,
                "--freeze %d leaves nothing to train: the net has %d layer%s with "
                "weights",
                count, layers, layers == 1 ? "" : "s");
}

/* A net of the zoo takes the shape of the data; any other net decides how the data is read. A run
 * that goes on needs no --net: its folder has it. */
static int open_both(cli *c, model *m, lens_data **data) {
    const char *net = text_of(c, "net", NULL), *source = text_of(c, "data", NULL);
    char *last = NULL;
    int status;
    if (!net && has(c, "resume") && has(c, "out"))
        net = last = say_text("%s/last.safetensors", text_of(c, "out", NULL));
    if (!net)
        return fail(c, EXIT_USAGE, "which net? --net NAME|FILE (lenslet inspect lists names)");
    if (lens_zoo_find(net)) {
        status = open_data(c, source, data, NULL);
        if (status == EXIT_DONE) {
            const lens_data_info *info = lens_data_describe(*data);
            const lens_zoo_opts opts = { info->channels, info->height, info->width, info->classes };
            status = open_net(c, m, net, &opts);
        }
    } else {
        status = open_net(c, m, net, NULL);
        if (status == EXIT_DONE) status = open_data(c, source, data, m);
    }
    free(last);
    return status;
}

static int prepare(cli *c, model *m) {
    const char *weights = text_of(c, "weights", NULL);
    if (has(c, "resume") && !has(c, "out"))
        return fail(c, EXIT_USAGE, "--resume goes on with the run in a folder: --out DIR");
    if (has(c, "recipe") && !m->recipe)
        return fail(c, EXIT_USAGE, "--recipe paper: net %s is none of the zoo",
                    lens_net_name(m->net));
    if (weights && has(c, "resume"))
        return fail(c, EXIT_USAGE, "--resume has its own weights: leave out --weights");
    if (weights) {
        int status = load_weights(c, m, weights, text_of(c, "init", NULL));
        if (status) return status;
    }
    return freeze(c, m->net, (int)whole_of(c, "freeze", 0));
}

static void announce(const cli *c, const model *m, const lens_data_info *data) {
    char parameters[32], train[32], test[32];
    note(c, "%s: %s parameters; %s: %s + %s pictures %dx%dx%d, %d classes; %s, %d thread%s",
         lens_net_name(m->net), with_commas(lens_net_parameters(m->net), parameters), data->name,
         with_commas((int64_t)data->count[LENS_TRAIN], train),
         with_commas((int64_t)data->count[LENS_TEST], test), data->channels, data->height,
         data->width, data->classes, lens_ctx_isa(c->ctx), lens_ctx_threads(c->ctx),
         lens_ctx_threads(c->ctx) == 1 ? "" : "s");
    for (size_t i = 0; i < data->problems; i++) note(c, "note: %s", data->problem[i]);
    if (!has(c, "out")) note(c, "note: the model is not kept; --out DIR keeps it");
}

static int report(cli *c, const model *m, const lens_data_info *data,
                  const lens_train_result *result) {
    char hash[33];
    const char *out = text_of(c, "out", NULL);
    lens_net_hash(m->net, hash);
    if (c->json)
        return emit(c,
                    json_pack("{s:o,s:o,s:i,s:o,s:o,s:o,s:o,s:o,s:i,s:s,s:o,s:b}", "net",
                              json_text(lens_net_name(m->net)), "data", json_text(data->name),
                              "epochs", result->epochs, "seconds", json_number(result->seconds),
                              "train_images_per_s", json_number(result->images_per_s), "test_top1",
                              json_number(result->test_accuracy), "test_loss",
                              json_number(result->test_loss), "best_top1",
                              json_number(result->best_accuracy), "best_epoch", result->best_epoch,
                              "weights_hash", hash, "out", out ? json_text(out) : json_null(),
                              "already_finished", (int)result->already_finished));
    char speed[32], took[32];
    if (result->already_finished)
        printf("this run has finished its %d epochs; nothing was trained\n", result->epochs);
    printf("test accuracy  %.4f\ntest loss      %.4f\n", result->test_accuracy, result->test_loss);
    printf("best accuracy  %.4f (epoch %d)\n", result->best_accuracy, result->best_epoch);
    if (!result->already_finished)
        printf("time           %s (%s images/s)\n", as_time(result->seconds, took),
               with_commas(llround(result->images_per_s), speed));
    printf("weights hash   %s\n", hash);
    if (out) printf("model          %s/model.safetensors\n", out);
    return EXIT_DONE;
}

int run_train(cli *c) {
    model m = { 0 };
    lens_data *data = NULL;
    int status = open_both(c, &m, &data);
    if (status == EXIT_DONE) status = prepare(c, &m);
    if (status == EXIT_DONE) {
        announce(c, &m, lens_data_describe(data));
        lens_train_opts opts = options_of(c, &m);
        lens_train_result result = { 0 };
        catch_interrupt();
        lens_status trained = lens_train(m.net, data, &opts, &result);
        if (c->bar && !c->quiet) fprintf(stderr, "\r\033[K");
        status = trained == LENS_OK ? report(c, &m, lens_data_describe(data), &result)
                                    : fail_status(c, trained, WORKING);
    }
    lens_data_free(data);
    close_model(&m);
    return status;
}
