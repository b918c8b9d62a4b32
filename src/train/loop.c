/* loop.c - the training loop: shuffle, forward, loss, backward, update, repeat.
 *
 * Invariant: what happens at a step depends on (options, seed, step) and on what last.state holds,
 * never on the clock, the number of threads or the moment of a stop. The weights are initialised once,
 * before the first step.
 *
 * Cost: besides the network a step polls the clock and the interrupt flag once and sums K numbers a
 * sample; the finite checks run inside the update, where the gradient is read anyway.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "net/net.h"
#include "train/diverge.h"
#include "train/eval.h"
#include "train/log.h"
#include "train/optim.h"
#include "train/schedule.h"
#include "train/state.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { DEFAULT_EPOCHS = 5, DEFAULT_BATCH = 64, DEFAULT_WORKERS = 1, MAX_EPOCHS = 1000000 };

/* log.jsonl gets this many rows within an epoch: a curve that can be drawn, in a file one can read. */
enum { LOG_ROWS = 20 };

#define PROGRESS_SECONDS 0.1

typedef struct run {
    lens_ctx *ctx;
    lens_net *net;
    lens_data *data;
    const lens_data_info *info;
    lens_train_opts o; /* with defaults filled in */
    schedule schedule;
    lens_optim *optim;
    lens_session *session, *eval_session;
    lens_loader *loader, *eval_loader;
    lens_tensor *dy; /* of each output; without data where it has no loss */
    float *gradients, *mean, *std;
    char *recipe, *state_path, *last_path, *model_path; /* paths NULL without a folder */
    run_log log;
    run_state s;
    int64_t per_epoch;
    uint64_t data_hash;

    /* of this part of the run */
    double start, shown; /* clock */
    double seconds_before;
    double part_train_seconds, val_seconds;
    int64_t part_images, part_steps;
} run;

static int64_t steps_done(const run *r) { return r->s.epoch * r->per_epoch + r->s.batch; }
static int64_t steps_all(const run *r) { return r->s.epochs * r->per_epoch; }

/* ---- Before the first step ------------------------------------------------------------------- */

static lens_status in_range(lens_ctx *ctx, const char *what, int value, int low, int high) {
    if (value >= low && value <= high) return LENS_OK;
    return ctx_fail(ctx, LENS_BAD_ARG, "training: %s is %d but must be in %d..%d", what, value, low,
                    high);
}

/* Of the loss of an output; 0: it has none. */
static float loss_weight(const lens_net *net, const lens_node *node) {
    return node == net->output ? 1 : ((const lens_output_opts *)node->op.opts)->weight;
}

static lens_status check_heads(const run *r) {
    for (int k = 1; k < lens_net_outputs(r->net); k++) {
        const lens_node *node = lens_net_output_at(r->net, k);
        size_t features = shape_count(node->op.out);
        if (loss_weight(r->net, node) > 0 && features != (size_t)r->info->classes)
            return ctx_fail(r->ctx, LENS_BAD_SHAPE,
                            "output %s of net %s has %zu features but %s has %d classes",
                            node->op.name, lens_net_name(r->net), features, r->info->name,
                            r->info->classes);
    }
    return LENS_OK;
}

/* Memory for the gradients of a batch; the tensors get their shapes in each step. */
static lens_status make_gradients(run *r) {
    int outputs = lens_net_outputs(r->net);
    size_t size = (size_t)r->o.batch * (size_t)r->info->classes;
    r->dy = ctx_alloc(r->ctx, (size_t)outputs, sizeof *r->dy);
    r->gradients = ctx_alloc(r->ctx, (size_t)outputs * size, sizeof *r->gradients);
    if (!r->dy || !r->gradients) return LENS_NOMEM;
    for (int k = 0; k < outputs; k++)
        if (loss_weight(r->net, lens_net_output_at(r->net, k)) > 0)
            r->dy[k].data = r->gradients + (size_t)k * size;
    return LENS_OK;
}

static lens_status settle(run *r, const lens_train_opts *opts) {
    r->o = *opts;
    r->s.epochs = opts->epochs ? opts->epochs : DEFAULT_EPOCHS;
    if (!r->o.batch) r->o.batch = DEFAULT_BATCH;
    if (!r->o.workers) r->o.workers = DEFAULT_WORKERS;
    if (!r->o.init) r->o.init = "he";
    if (!r->o.augment) r->o.augment = "";
    if (!r->o.schedule || !*r->o.schedule) r->o.schedule = "constant";
    LENS_TRY(in_range(r->ctx, "the number of epochs", (int)r->s.epochs, 1, MAX_EPOCHS));
    LENS_TRY(in_range(r->ctx, "the batch", r->o.batch, 1, 1 << 20));
    LENS_TRY(in_range(r->ctx, "save_every", r->o.save_every, 0, INT32_MAX));
    if (r->o.resume && !r->o.out)
        return ctx_fail(r->ctx, LENS_BAD_ARG, "training: to resume, name the folder of the run");
    LENS_TRY(eval_check_fit(r->net, r->data));
    LENS_TRY(check_heads(r));
    if (r->info->count[LENS_TRAIN] == 0)
        return ctx_fail(r->ctx, LENS_BAD_ARG, "%s has no training pictures", r->info->name);
    r->s.plateau_factor = 1;
    return schedule_parse(r->ctx, r->o.schedule, &r->schedule);
}

static lens_status open_parts(run *r) {
    lens_ctx *ctx = r->ctx;
    size_t channels = (size_t)r->info->channels;
    LENS_TRY(lens_optim_new(&r->optim, r->net, &r->o.optim));
    r->mean = ctx_alloc(ctx, 2 * channels, sizeof *r->mean);
    if (!r->mean) return LENS_NOMEM;
    LENS_TRY(make_gradients(r));
    r->std = r->mean + channels;
    LENS_TRY(lens_data_hash(r->data, &r->data_hash));
    LENS_TRY(lens_data_mean_std(r->data, r->mean, r->std));
    lens_loader_opts opts = { .shuffle = true,
                              .workers = r->o.workers,
                              .seed = r->o.seed,
                              .mean = r->mean,
                              .std = r->std,
                              .augment = r->o.augment };
    LENS_TRY(lens_loader_new(ctx, &r->loader, r->data, LENS_TRAIN, r->o.batch, &opts));
    r->per_epoch = (int64_t)lens_loader_batches(r->loader);
    lens_session_opts train = { .batch = r->o.batch, .train = true, .seed = r->o.seed };
    LENS_TRY(lens_session_new(&r->session, r->net, ctx, &train));
    if (r->info->count[LENS_TEST] == 0) return LENS_OK;
    opts.shuffle = false;
    opts.augment = NULL;
    LENS_TRY(lens_loader_new(ctx, &r->eval_loader, r->data, LENS_TEST, r->o.batch, &opts));
    return lens_session_new(&r->eval_session, r->net, ctx,
                            &(lens_session_opts){ .batch = r->o.batch });
}

/* What goes into the model file beside the weights: all that predict and eval need. */
static lens_status set_words(run *r) {
    lens_ctx *ctx = r->ctx;
    lens_status status = LENS_NOMEM;
    int channels = r->info->channels;
    size_t room = 0, used = 0;
    char *mean = ctx_alloc(ctx, (size_t)channels, 20), *std = ctx_alloc(ctx, (size_t)channels, 20);
    for (int k = 0; k < r->info->classes; k++) room += strlen(r->info->class_name[k]) + 1;
    char *names = ctx_alloc(ctx, room + 1, 1);
    char *data =
        ctx_printf(ctx, "%s (hash %016llx)", r->info->name, (unsigned long long)r->data_hash);
    if (!mean || !std || !names || !data) goto end;
    for (int c = 0; c < channels; c++) {
        char *m = ctx_printf(ctx, "%s%.9g", c ? "," : "", (double)r->mean[c]);
        char *s = ctx_printf(ctx, "%s%.9g", c ? "," : "", (double)r->std[c]);
        if (m) strcat(mean, m);
        if (s) strcat(std, s);
        bool both = m && s;
        ctx_free(ctx, m);
        ctx_free(ctx, s);
        if (!both) goto end;
    }
    for (int k = 0; k < r->info->classes; k++) {
        size_t length = strlen(r->info->class_name[k]);
        if (k) names[used++] = '\n';
        memcpy(names + used, r->info->class_name[k], length);
        used += length;
    }
    char resize[16];
    const lens_data_info *info = r->info;
    snprintf(resize, sizeof resize, "%d",
             info->whole_height < info->whole_width ? info->whole_height : info->whole_width);
    bool margin = info->whole_height > info->height || info->whole_width > info->width;
    const struct {
        const char *key, *value;
    } words[] = { { "resize", margin ? resize : NULL },
                  { "interpolation", !margin                               ? NULL
                                     : info->interpolation == LENS_BICUBIC ? "bicubic"
                                                                           : "bilinear" },
                  { "mean", mean },
                  { "std", std },
                  { "classes", names },
                  { "data", data },
                  { "command", r->o.command } };
    for (size_t i = 0; i < LENS_COUNT(words); i++) {
        status = lens_net_set_meta(r->net, words[i].key, words[i].value);
        if (status != LENS_OK) break;
    }
end:
    ctx_free(ctx, data);
    ctx_free(ctx, names);
    ctx_free(ctx, std);
    ctx_free(ctx, mean);
    return status;
}

/* The names of frozen nodes, each after a blank; owned. NULL: no memory. */
static char *frozen_nodes(const lens_net *net) {
    char *text = ctx_strdup(net->ctx, "");
    int nodes = lens_net_nodes(net);
    for (int i = 0; text && i < nodes; i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        if (!info.frozen) continue;
        char *longer = ctx_printf(net->ctx, "%s %s", text, info.name);
        ctx_free(net->ctx, text);
        text = longer;
    }
    return text;
}

/* Everything that a resumed run must have in common with the one it continues; see state.h. */
static lens_status make_recipe(run *r) {
    lens_ctx *ctx = r->ctx;
    const lens_optim_opts *m = optim_settings(r->optim);
    const lens_loss *loss = &r->o.loss;
    uint64_t weights_hash = 0;
    char *text;
    LENS_TRY(lens_net_text(r->net, &text));
    uint64_t net_hash = XXH3_64bits(text, strlen(text));
    lens_free(ctx, text);
    if (loss->class_weights)
        weights_hash = XXH3_64bits(loss->class_weights,
                                   (size_t)r->info->classes * sizeof *loss->class_weights);
    char *frozen = frozen_nodes(r->net);
    if (!frozen) return LENS_NOMEM;
    r->recipe = ctx_printf(
        ctx,
        "net=%s (text %016llx)\ndata=%s (hash %016llx)\nbatch=%d\nseed=%llu\noptimizer=%s\nlr=%.17g\n"
        "momentum=%.17g\nb1=%.17g\nb2=%.17g\neps=%.17g\nweight_decay=%.17g\nclip=%.17g\nschedule=%s\n"
        "loss=%d\nsmoothing=%.9g\nclass_weights=%016llx\naugment=%s\nfrozen=%s\n",
        lens_net_name(r->net), (unsigned long long)net_hash, r->info->name,
        (unsigned long long)r->data_hash, r->o.batch, (unsigned long long)r->o.seed, m->name,
        m->rate, m->momentum, m->b1, m->b2, m->eps, m->weight_decay, m->clip, r->o.schedule,
        (int)loss->kind, (double)loss->smoothing, (unsigned long long)weights_hash, r->o.augment,
        frozen);
    ctx_free(ctx, frozen);
    return r->recipe ? LENS_OK : LENS_NOMEM;
}

/* mkdir -p. */
static lens_status make_folder(lens_ctx *ctx, const char *folder) {
    struct stat st;
    char *path = ctx_strdup(ctx, folder);
    if (!path) return LENS_NOMEM;
    lens_status status = LENS_OK;
    for (char *p = path + (*path == '/');; p++) {
        if (*p != '/' && *p != 0) continue;
        char kept = *p;
        *p = 0;
        bool failed = *path && mkdir(path, 0777) != 0;
        int error = errno;
        if (failed && !(error == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))) {
            status =
                ctx_fail(ctx, LENS_IO, "%s: cannot be made a folder: %s", path, strerror(error));
            break;
        }
        *p = kept;
        if (!kept) break;
    }
    ctx_free(ctx, path);
    return status;
}

static lens_status open_folder(run *r) {
    lens_ctx *ctx = r->ctx;
    if (!r->o.out) return LENS_OK;
    r->state_path = ctx_printf(ctx, "%s/last.state", r->o.out);
    r->last_path = ctx_printf(ctx, "%s/last.safetensors", r->o.out);
    r->model_path = ctx_printf(ctx, "%s/model.safetensors", r->o.out);
    if (!r->state_path || !r->last_path || !r->model_path) return LENS_NOMEM;
    return r->o.resume ? LENS_OK : make_folder(ctx, r->o.out);
}

static lens_status prepare(run *r, const lens_train_opts *opts) {
    LENS_TRY(settle(r, opts));
    LENS_TRY(open_parts(r));
    LENS_TRY(make_recipe(r));
    LENS_TRY(open_folder(r));
    if (r->o.resume)
        LENS_TRY(state_load(r->state_path, r->net, r->optim, r->recipe, r->o.epochs, &r->s));
    else if (!r->o.keep_weights)
        LENS_TRY(lens_init(r->net, r->o.init, r->o.seed));
    LENS_TRY(set_words(r));
    if (r->o.out) LENS_TRY(log_open(&r->log, r->ctx, r->o.out, r->s.csv_bytes, r->s.jsonl_bytes));
    lens_node_info out;
    lens_node_info_get(lens_net_output(r->net), &out);
    if (r->o.loss.kind == LENS_CROSS_ENTROPY && strcmp(out.kind, "softmax") == 0)
        ctx_log(
            r->ctx, LENS_LOG_WARN,
            "the net ends with a softmax, and cross entropy applies another: leave the layer away");
    return LENS_OK;
}

/* ---- Saving and showing ----------------------------------------------------------------------- */

static double seconds_now(const run *r) { return r->seconds_before + eval_clock() - r->start; }

static lens_status save_state(run *r) {
    if (!r->o.out) return LENS_OK;
    r->s.seconds = seconds_now(r);
    r->s.updates = optim_time(r->optim);
    LENS_TRY(log_sync(&r->log, &r->s.csv_bytes, &r->s.jsonl_bytes));
    return state_save(r->state_path, r->net, r->optim, r->recipe, &r->s);
}

static lens_status save_last(run *r) {
    LENS_TRY(save_state(r));
    return r->o.out ? lens_net_save(r->net, r->last_path) : LENS_OK;
}

static double part_of(double a, double b) { return b > 0 ? a / b : 0; }

static log_row row_of(const run *r, bool epoch_done, bool best) {
    const run_state *s = &r->s;
    return (log_row){ .epoch_done = epoch_done,
                      .epoch = s->epoch + 1,
                      .step = steps_done(r),
                      .rate = r->s.rate,
                      .train_loss = part_of(s->loss_sum, (double)s->seen),
                      .train_accuracy = part_of((double)s->correct, (double)s->seen),
                      .val_loss = s->val_loss,
                      .val_accuracy = s->val_accuracy,
                      .best = best,
                      .seconds = seconds_now(r),
                      .images_per_s = part_of((double)s->images, s->train_seconds) };
}

/* False: stop. */
static bool show(run *r, const log_row *row) {
    if (!r->o.progress) return true;
    const run_state *s = &r->s;
    double left = (double)(steps_all(r) - row->step);
    lens_progress p = { .epoch = (int)row->epoch,
                        .epochs = (int)s->epochs,
                        .step = row->step,
                        .steps = steps_all(r),
                        .epoch_step = row->step - (row->epoch - 1) * r->per_epoch,
                        .epoch_steps = r->per_epoch,
                        .loss = row->train_loss,
                        .accuracy = row->train_accuracy,
                        .rate = row->rate,
                        .images_per_s = part_of((double)r->part_images, r->part_train_seconds),
                        .eta_s = left * part_of(r->part_train_seconds, (double)r->part_steps) +
                                 (double)(s->epochs - s->epoch) * r->val_seconds,
                        .seconds = eval_clock() - r->start,
                        .epoch_done = row->epoch_done,
                        .val_loss = row->val_loss,
                        .val_accuracy = row->val_accuracy,
                        .best = row->best };
    return r->o.progress(r->o.user, &p);
}

static lens_status stop(run *r) {
    LENS_TRY(save_last(r));
    return ctx_fail(r->ctx, LENS_INTERRUPTED, "stopped after step %lld of %lld%s",
                    (long long)steps_done(r), (long long)steps_all(r),
                    r->o.out ? "; the run can be resumed" : "");
}

/* ---- Training --------------------------------------------------------------------------------- */

static lens_status diverged(run *r, const lens_batch *batch, const lens_tensor *y,
                            const char *what) {
    diverge d = { .net = r->net,
                  .data = r->data,
                  .batch = batch,
                  .output = y,
                  .what = what,
                  .seed = r->o.seed,
                  .step = steps_done(r),
                  .epoch = (int)r->s.epoch + 1,
                  .rate = r->s.rate };
    return diverge_report(&d);
}

/* Gradients of the main output's loss + the sum of weight * loss of the others, from the loss of each.
 * *loss and *correct are the main output's, which compare with those of validation. */
static lens_status find_gradients(run *r, const lens_batch *batch, double *loss, int *correct) {
    lens_loss target = r->o.loss;
    target.mix = batch->mix;
    for (int k = lens_net_outputs(r->net) - 1; k >= 0; k--) {
        const lens_node *node = lens_net_output_at(r->net, k);
        float *data = r->dy[k].data, weight = loss_weight(r->net, node);
        lens_tensor y;
        if (!data) continue;
        LENS_TRY(lens_peek(r->session, node, LENS_VALUE, &y));
        r->dy[k] = y;
        r->dy[k].data = data;
        LENS_TRY(lens_loss_eval(r->ctx, &target, &y, batch->labels, loss, correct, &r->dy[k]));
        if (!isfinite(*loss)) return diverged(r, batch, &y, NULL);
        for (int64_t i = 0; k > 0 && i < lens_tensor_count(&y); i++) data[i] *= weight;
    }
    return LENS_OK;
}

static lens_status train_step(run *r, const lens_batch *batch) {
    int64_t step = steps_done(r);
    double loss;
    int correct;
    lens_tensor x = eval_input(r->net, batch), y;
    r->s.rate = optim_settings(r->optim)->rate * r->s.plateau_factor *
                schedule_factor(&r->schedule, step, steps_all(r), r->per_epoch);
    LENS_TRY(lens_forward(r->session, &x, (uint32_t)step, &y));
    LENS_TRY(find_gradients(r, batch, &loss, &correct));
    LENS_TRY(lens_backward_outputs(r->session, r->dy, lens_net_outputs(r->net)));
    lens_status status = lens_optim_step(r->optim, r->session, r->s.rate);
    if (status == LENS_DIVERGED) {
        char what[256];
        snprintf(what, sizeof what, "%s", lens_why(r->ctx));
        return diverged(r, batch, NULL, what);
    }
    r->s.loss_sum += loss * batch->n;
    r->s.correct += correct;
    r->s.seen += batch->n;
    r->s.images += batch->n;
    r->part_images += batch->n;
    r->part_steps++;
    return status;
}

static lens_status train_epoch(run *r) {
    int64_t every = (r->per_epoch + LOG_ROWS - 1) / LOG_ROWS;
    lens_batch batch;
    LENS_TRY(lens_loader_epoch(r->loader, (uint32_t)r->s.epoch, (size_t)r->s.batch));
    double mark = eval_clock();
    for (;;) {
        LENS_TRY(lens_loader_next(r->loader, &batch));
        if (batch.n == 0) break;
        r->s.batch = (int64_t)batch.number; /* an unreadable batch may have been passed over */
        LENS_TRY(train_step(r, &batch));
        r->s.batch++;
        double now = eval_clock();
        r->part_train_seconds += now - mark;
        r->s.train_seconds += now - mark;
        mark = now;
        if (r->s.batch % every == 0) {
            log_row row = row_of(r, false, false);
            LENS_TRY(log_add(&r->log, &row));
        }
        bool go_on = !(r->o.interrupt && *r->o.interrupt);
        if (go_on && now - r->shown >= PROGRESS_SECONDS) {
            log_row row = row_of(r, false, false);
            go_on = show(r, &row);
            r->shown = now;
        }
        if (!go_on) return stop(r);
        if (r->o.save_every && steps_done(r) % r->o.save_every == 0) {
            LENS_TRY(save_state(r));
            mark = eval_clock();
        }
    }
    r->s.batch = r->per_epoch;
    return LENS_OK;
}

/* On the test split; where there is none, the epoch's training figures stand in. */
static lens_status validate(run *r) {
    run_state *s = &r->s;
    s->val_loss = part_of(s->loss_sum, (double)s->seen);
    s->val_accuracy = part_of((double)s->correct, (double)s->seen);
    if (!r->eval_loader) return LENS_OK;
    lens_eval_result e;
    lens_loss plain = { .kind = r->o.loss.kind };
    double start = eval_clock();
    LENS_TRY(eval_run(r->net, r->eval_session, r->eval_loader, &plain, NULL, r->o.interrupt, &e,
                      NULL, NULL));
    r->val_seconds = eval_clock() - start;
    if (!isfinite(e.loss)) {
        const char *name = diverge_find_param(r->net);
        return ctx_fail(
            r->ctx, LENS_DIVERGED,
            "training diverged at step %lld: the validation loss after epoch %lld is not "
            "finite%s%s",
            (long long)steps_done(r), (long long)s->epoch + 1, name ? ", nor is " : "",
            name ? name : "");
    }
    s->val_loss = e.loss;
    s->val_accuracy = part_of((double)e.correct, (double)e.images);
    return LENS_OK;
}

static void follow_plateau(run *r) {
    run_state *s = &r->s;
    if (s->epoch == 0 || s->val_loss < s->plateau_loss) {
        s->plateau_loss = s->val_loss;
        s->plateau_epochs = 0;
    } else if (++s->plateau_epochs >= r->schedule.every && r->schedule.kind == SCHEDULE_PLATEAU) {
        s->plateau_factor *= r->schedule.factor;
        s->plateau_epochs = 0;
    }
}

static lens_status end_epoch(run *r) {
    run_state *s = &r->s;
    lens_status status = validate(r);
    if (status == LENS_INTERRUPTED) return stop(r);
    if (status != LENS_OK) return status;
    follow_plateau(r);
    bool best = s->best_epoch == 0 || s->val_accuracy > s->best_accuracy;
    log_row row = row_of(r, true, best);
    LENS_TRY(log_add(&r->log, &row));
    if (best) {
        s->best_accuracy = s->val_accuracy;
        s->best_epoch = s->epoch + 1;
        if (r->o.out) LENS_TRY(lens_net_save(r->net, r->model_path));
    }
    s->epoch++;
    s->batch = s->seen = s->correct = 0;
    s->loss_sum = 0;
    LENS_TRY(save_last(r));
    bool go_on = show(r, &row);
    r->shown = eval_clock();
    return go_on || s->epoch == s->epochs ? LENS_OK : stop(r);
}

static lens_status train(run *r, lens_train_result *result) {
    bool finished = r->s.epoch == r->s.epochs;
    r->start = r->shown = eval_clock();
    r->seconds_before = r->s.seconds;
    if (!r->o.resume) LENS_TRY(save_state(r)); /* a run killed at once can be resumed too */
    while (r->s.epoch < r->s.epochs) {
        LENS_TRY(train_epoch(r));
        LENS_TRY(end_epoch(r));
    }
    *result = (lens_train_result){
        .epochs = (int)r->s.epoch,
        .seconds = finished ? r->s.seconds : seconds_now(r),
        .images_per_s = part_of((double)r->s.images, r->s.train_seconds),
        .test_accuracy = r->s.val_accuracy,
        .test_loss = r->s.val_loss,
        .best_accuracy = r->s.best_accuracy,
        .best_epoch = (int)r->s.best_epoch,
        .already_finished = finished,
    };
    return LENS_OK;
}

lens_status lens_train(lens_net *net, lens_data *data, const lens_train_opts *opts,
                       lens_train_result *result) {
    static const lens_train_opts usual;
    run r = { .ctx = net->ctx, .net = net, .data = data, .info = lens_data_describe(data) };
    lens_status status = prepare(&r, opts ? opts : &usual);
    if (status == LENS_OK) status = train(&r, result);
    log_close(&r.log);
    ctx_free(r.ctx, r.model_path);
    ctx_free(r.ctx, r.last_path);
    ctx_free(r.ctx, r.state_path);
    ctx_free(r.ctx, r.recipe);
    ctx_free(r.ctx, r.gradients);
    ctx_free(r.ctx, r.dy);
    ctx_free(r.ctx, r.mean);
    lens_loader_free(r.eval_loader);
    lens_session_free(r.eval_session);
    lens_loader_free(r.loader);
    lens_session_free(r.session);
    lens_optim_free(r.optim);
    return status;
}
