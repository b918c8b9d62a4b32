/* eval.c - evaluation: every picture of a split once, counted exactly.
 *
 * Invariant: a picture's outcome does not depend on the batch it is in (the net runs in inference
 * mode, and the last batch is just smaller), so counts are the same for every batch size.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/eval.h"
#include "base/base.h"
#include "kern/kern.h"
#include "net/net.h"
#include "train/loss.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { EVAL_BATCH = 64, EVAL_MAX_CHANNELS = 64, EVAL_TOP = 5 };

double eval_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int features(const lens_node_info *info) { return info->c * info->h * info->w; }

lens_status eval_check_fit(const lens_net *net, const lens_data *data) {
    const lens_data_info *d = lens_data_describe(data);
    lens_node_info in, out;
    if (!net->finished)
        return ctx_fail(net->ctx, LENS_BAD_ARG, "net %s is not finished", lens_net_name(net));
    lens_node_info_get(lens_net_input(net), &in);
    lens_node_info_get(lens_net_output(net), &out);
    if (in.c != d->channels || in.h != d->height || in.w != d->width)
        return ctx_fail(
            net->ctx, LENS_BAD_SHAPE,
            "net %s reads %dx%dx%d but the pictures of %s are %dx%dx%d (channels x height "
            "x width)",
            lens_net_name(net), in.c, in.h, in.w, d->name, d->channels, d->height, d->width);
    if (features(&out) != d->classes)
        return ctx_fail(net->ctx, LENS_BAD_SHAPE, "net %s has %d outputs but %s has %d classes",
                        lens_net_name(net), features(&out), d->name, d->classes);
    return LENS_OK;
}

lens_tensor eval_input(const lens_net *net, const lens_batch *batch) {
    lens_node_info in;
    lens_node_info_get(lens_net_input(net), &in);
    lens_tensor x = batch->images;
    if (in.rank == 3) x = (lens_tensor){ x.data, 3, { batch->n, in.c, in.w } };
    return x;
}

/* How many classes come before `label` when sorted by falling value, the lower index first of equals:
 * 0 is what an arg-max finds. A NaN comes first. */
static int rank_of(const float *y, int classes, int label) {
    int ahead = 0;
    float own = y[label];
    for (int k = 0; k < classes; k++)
        ahead += k != label && !(y[k] < own) && (y[k] != own || k < label);
    return ahead;
}

static void count(const lens_batch *batch, const float *y, int classes, lens_eval_result *result,
                  int64_t *confusion, float *logits) {
    for (int r = 0; r < batch->n; r++, y += classes) {
        int label = batch->labels[r], rank = rank_of(y, classes, label);
        result->correct += rank == 0;
        result->correct5 += rank < EVAL_TOP;
        if (confusion)
            confusion[(size_t)label * (size_t)classes + (size_t)loss_first_maximum(y, classes)]++;
        if (logits)
            memcpy(logits + (size_t)batch->index[r] * (size_t)classes, y,
                   (size_t)classes * sizeof *y);
    }
}

/* *y: for each picture of the batch the logarithm of the mean of its views' probabilities. */
static lens_status run_crops(const lens_net *net, lens_session *session, const eval_crops *crops,
                             const lens_batch *batch, lens_tensor *y) {
    lens_node_info in, out;
    lens_node_info_get(lens_net_input(net), &in);
    lens_node_info_get(lens_net_output(net), &out);
    int classes = features(&out);
    size_t count = (size_t)batch->n * (size_t)classes;
    lens_tensor part = { crops->part, 4, { batch->n, in.c, in.h, in.w } };
    for (size_t i = 0; i < count; i++) crops->log_sum[i] = 0;
    for (int v = 0; v < crops->views; v++) {
        LENS_TRY(lens_view(net->ctx, &batch->images, crops->views, v, &part));
        LENS_TRY(lens_run(session, &part, y));
        const float *p = y->data;
        if (strcmp(out.kind, "softmax") != 0) {
            ctx_kern(net->ctx)->softmax(batch->n, classes, p, crops->p);
            p = crops->p;
        }
        for (size_t i = 0; i < count; i++) crops->log_sum[i] += p[i];
    }
    for (size_t i = 0; i < count; i++)
        crops->log_sum[i] = logf(fmaxf(crops->log_sum[i] / (float)crops->views, FLT_MIN));
    y->data = crops->log_sum;
    return LENS_OK;
}

lens_status eval_run(lens_net *net, lens_session *session, lens_loader *loader,
                     const lens_loss *loss, const eval_crops *crops, const volatile int *interrupt,
                     lens_eval_result *result, int64_t *confusion, float *logits) {
    lens_eval_result sum = { 0 };
    double start = eval_clock(), loss_sum = 0;
    LENS_TRY(lens_loader_epoch(loader, 0, 0));
    for (;;) {
        lens_batch batch;
        double value;
        lens_tensor y;
        LENS_TRY(lens_loader_next(loader, &batch));
        if (batch.n == 0) break;
        if (interrupt && *interrupt)
            return ctx_fail(net->ctx, LENS_INTERRUPTED, "evaluation is interrupted");
        if (crops) {
            LENS_TRY(run_crops(net, session, crops, &batch, &y));
        } else {
            lens_tensor x = eval_input(net, &batch);
            LENS_TRY(lens_run(session, &x, &y));
        }
        LENS_TRY(lens_loss_eval(net->ctx, loss, &y, batch.labels, &value, NULL, NULL));
        count(&batch, y.data, (int)(lens_tensor_count(&y) / batch.n), &sum, confusion, logits);
        loss_sum += value * batch.n;
        sum.images += batch.n;
    }
    double seconds = eval_clock() - start;
    if (sum.images > 0) sum.loss = loss_sum / (double)sum.images;
    if (seconds > 0) sum.images_per_s = (double)sum.images / seconds;
    *result = sum;
    return LENS_OK;
}

/* Numbers of the net's word `key`, one per channel. Absent: *found is false. */
static lens_status read_word(const lens_net *net, const char *key, int channels, float *value,
                             bool *found) {
    const char *text = lens_net_meta(net, key);
    *found = text != NULL;
    int n = 0;
    while (text && n < channels) {
        char word[40];
        double number;
        size_t length = strcspn(text, ",");
        while (length > 0 && *text == ' ') text++, length--;
        if (length == 0 || length >= sizeof word) break;
        memcpy(word, text, length);
        word[length] = 0;
        if (!parse_double(word, &number)) break;
        value[n++] = (float)number;
        text = text[length] ? text + length + 1 : NULL;
    }
    if (*found && (n < channels || text))
        return ctx_fail(
            net->ctx, LENS_BAD_FILE,
            "net %s: its word \"%s\" is \"%s\", but %d numbers are needed, one a channel",
            lens_net_name(net), key, lens_net_meta(net, key), channels);
    return LENS_OK;
}

static lens_status make_crops(lens_net *net, const lens_data_info *info, int batch,
                              eval_crops *crops) {
    lens_node_info in;
    lens_node_info_get(lens_net_input(net), &in);
    size_t rows = (size_t)batch * (size_t)info->classes;
    size_t pixels = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    if (crops->views == 1) return LENS_OK;
    if (info->whole_height == info->height && info->whole_width == info->width)
        return ctx_fail(
            net->ctx, LENS_BAD_ARG,
            "%d views of each picture: %s has no margin round its %dx%d pictures to cut them "
            "from; open it resized to more",
            crops->views, info->name, info->height, info->width);
    crops->part = ctx_alloc(net->ctx, (size_t)batch, pixels * sizeof *crops->part);
    crops->p = ctx_alloc(net->ctx, rows, sizeof *crops->p);
    crops->log_sum = ctx_alloc(net->ctx, rows, sizeof *crops->log_sum);
    return crops->part && crops->p && crops->log_sum ? LENS_OK : LENS_NOMEM;
}

lens_status lens_eval(lens_net *net, lens_data *data, lens_split split, int batch,
                      lens_eval_result *result, int64_t *confusion, float *logits) {
    return lens_eval_crops(net, data, split, batch, 1, result, confusion, logits);
}

lens_status lens_eval_crops(lens_net *net, lens_data *data, lens_split split, int batch, int crops,
                            lens_eval_result *result, int64_t *confusion, float *logits) {
    float mean[EVAL_MAX_CHANNELS], std[EVAL_MAX_CHANNELS];
    lens_session *session = NULL;
    lens_loader *loader = NULL;
    eval_crops room = { .views = crops };
    bool has_mean, has_std;
    lens_ctx *ctx = net->ctx;
    LENS_TRY(eval_check_fit(net, data));
    const lens_data_info *info = lens_data_describe(data);
    int channels = info->channels, classes = info->classes;
    assert(channels <= EVAL_MAX_CHANNELS);
    if (batch == 0) batch = EVAL_BATCH;
    LENS_TRY(read_word(net, "mean", channels, mean, &has_mean));
    LENS_TRY(read_word(net, "std", channels, std, &has_std));
    lens_status status = make_crops(net, info, batch, &room);
    if (status != LENS_OK) goto end;
    status = lens_session_new(&session, net, ctx, &(lens_session_opts){ .batch = batch });
    if (status != LENS_OK) goto end;
    status = lens_loader_new(ctx, &loader, data, split, batch,
                             &(lens_loader_opts){ .workers = 1,
                                                  .whole = crops > 1,
                                                  .mean = has_mean ? mean : NULL,
                                                  .std = has_std ? std : NULL });
    if (status != LENS_OK) goto end;
    if (confusion) memset(confusion, 0, (size_t)classes * (size_t)classes * sizeof *confusion);
    status = eval_run(net, session, loader, &(lens_loss){ .kind = LENS_CROSS_ENTROPY },
                      crops > 1 ? &room : NULL, NULL, result, confusion, logits);
end:
    ctx_free(ctx, room.part);
    ctx_free(ctx, room.p);
    ctx_free(ctx, room.log_sum);
    lens_loader_free(loader);
    lens_session_free(session);
    return status;
}
