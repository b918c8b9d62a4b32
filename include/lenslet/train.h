/* lenslet/train.h - losses, initialisers, optimisers, schedules, and the training loop.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_TRAIN_H
#define LENSLET_TRAIN_H

#include <lenslet/data.h>
#include <lenslet/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Losses --------------------------------------------------------------------------------- */

/* Over rows y (N,K) and labels; t = target: one-hot, or after mixup and cutmix share onehot(label) +
 * (1-share) onehot(other). The value is the mean over the batch unless said,
 * and the gradient belongs to that value.
 *   CROSS_ENTROPY  -log softmax(y)[label]; label smoothing e: target (1-e)*t + e/K; class weights as
 *                  in PyTorch: sum of w[label]*loss / sum of w[label] (with smoothing the weight
 *                  multiplies the whole row)
 *   MSE_HALF       1/2 sum over k of (y-t)^2        (the tutorials' total error)
 *   MSE_SUM        sum over k of (y-t)^2
 *   MSE_MEAN       mean over k of (y-t)^2           (PyTorch's MSELoss)
 *   HINGE          sum over k != label of max(0, y[k] - y[label] + 1)      (Weston & Watkins 1999)
 *   HINGE_SQUARED  the same with the square of each term */
typedef enum lens_loss_kind {
    LENS_CROSS_ENTROPY,
    LENS_MSE_HALF,
    LENS_MSE_SUM,
    LENS_MSE_MEAN,
    LENS_HINGE,
    LENS_HINGE_SQUARED,
} lens_loss_kind;

typedef struct lens_loss {
    lens_loss_kind kind;
    float smoothing;            /* 0 <= e < 1, cross entropy only */
    const float *class_weights; /* K of them, > 0; NULL: all 1. Cross entropy only; borrowed */
    const lens_mix
        *mix; /* of a mixed batch, n of each; NULL: one-hot targets. Neither hinge losses nor
                            class weights; borrowed */
} lens_loss;

/* Loss of y (n,K) against label[n] in 0..K-1; *value the mean, *correct the number of rows whose
 * largest entry is the label (first of equals); each may be NULL. dy (n,K), or NULL, may be y's own
 * memory (not before lens_backward, which may read y). Allocates nothing. LENS_BAD_ARG: label,
 * share or smoothing out of range, a class weight not positive, any of them with a loss that does not take it;
 * LENS_BAD_SHAPE: y has no rows, dy another size. */
LENS_API lens_status lens_loss_eval(lens_ctx *, const lens_loss *, const lens_tensor *y,
                                    const int32_t *label, double *value, int *correct,
                                    lens_tensor *dy);

/* ---- Initialisers --------------------------------------------------------------------------- */

/* Sets every weight from (seed, parameter name) and every vector to its start (biases 0, batch
 * norm 1 and 0). Same seed, same bits, on any machine and level.
 *   "he" (default)  N(0, 2/fan_in)         He 2015          "he-uniform"      U(+-sqrt(6/fan_in))
 *   "xavier"        U(+-sqrt(6/(fan_in+fan_out))) Glorot 2010    "xavier-normal"  N(0, 2/(fan_in+fan_out))
 *   "lecun"         U(+-2.4/fan_in)        LeCun 1998       "torch"  U(+-1/sqrt(fan_in)), biases too (PyTorch's default)
 *   "normal:S"      N(0, S^2)              "uniform:A"  U(+-A)      "truncated:S"  N(0,S^2) redrawn beyond 2S
 *   "zero"          0, "constant:V" V
 * NULL is "he". Running statistics start anew, fixed codes stay; frozen layers are set as well.
 * LENS_NOT_FOUND: unknown word, with a suggestion; LENS_BAD_ARG: its number is missing or wrong. */
LENS_API lens_status lens_init(lens_net *, const char *scheme, uint64_t seed);

/* ---- Optimisers and schedules ---------------------------------------------------------------- */

/* Zero means the usual. Update formulas: PyTorch's; see docs/training.md.
 *   name            "sgd" (default), "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"
 *   rate            0 = 0.01 (sgd, nesterov, adagrad, rmsprop), 1 (adadelta), 0.001 (adam, adamw)
 *   momentum        0 = none; nesterov: 0 = 0.9
 *   b1, b2, eps     0 = PyTorch's defaults for the optimiser
 *   weight_decay    L2 term on every trainable parameter; decoupled for adamw
 *   clip            largest norm of the whole gradient, which is scaled down to it; 0 = no clipping
 * momentum is for sgd, nesterov and rmsprop, b1 for adam(w), b2 for adadelta (rho), rmsprop (alpha) and
 * adam(w), eps for all but sgd and nesterov: elsewhere they must be 0. */
typedef struct lens_optim_opts {
    const char *name;
    double rate, momentum, b1, b2, eps, weight_decay, clip;
} lens_optim_opts;

typedef struct lens_optim lens_optim;
/* opts may be NULL. Borrows the net, which must outlive it. LENS_NOT_FOUND: unknown name, with a
 * suggestion; LENS_BAD_ARG: a number out of range or of no use to this optimiser; LENS_NOMEM. */
LENS_API lens_status lens_optim_new(lens_optim **out, lens_net *, const lens_optim_opts *);
LENS_API void lens_optim_free(lens_optim *);
/* One update of the session's net from its latest gradients, at learning rate `rate` >= 0 (opts.rate is
 * where schedules start from). Frozen parameters stay. Allocates nothing. LENS_DIVERGED names the
 * parameter: a gradient is not finite (then no weight has moved), or a weight after the update. */
LENS_API lens_status lens_optim_step(lens_optim *, lens_session *, double rate);

/* Learning rate at step s of S (0 <= s < S), with `per_epoch` steps an epoch, as a factor of the base rate:
 *   "constant"; "step:E,G" (times G every E epochs); "steps:E1,E2,..:G"; "poly:P" (1-s/S)^P;
 *   "cosine" (1+cos(pi s/S))/2; "onecycle" (Smith 2018: warm up over 30 % from 1/25 by cosine, down to 1e-4/25; PyTorch's OneCycleLR, without the momentum cycle);
 *   "plateau:P,G" (times G after P epochs without a better validation loss; needs the loop);
 * each may be followed by "+warmup:E": times (s+1)/W over the first W = E*per_epoch steps (E may be
 * 0.5). An epoch counts as passed when all its steps are done: e = floor(s / per_epoch).
 * LENS_NOT_FOUND: unknown word, with a suggestion; LENS_BAD_ARG: a number is missing or out of range. */
LENS_API lens_status lens_schedule_at(lens_ctx *, const char *schedule, int64_t step, int64_t steps,
                                      int64_t per_epoch, double *factor);

/* ---- The loop ------------------------------------------------------------------------------- */

typedef struct lens_progress {
    int epoch, epochs;   /* 1.. */
    int64_t step, steps; /* of the whole run */
    int64_t epoch_step, epoch_steps;
    double loss, accuracy; /* running means of this epoch's training batches, of the main output */
    double rate;
    double images_per_s, eta_s;
    double seconds;  /* since the run (or the resumed part) began */
    bool epoch_done; /* the following are valid */
    double val_loss, val_accuracy;
    bool best; /* this epoch has the best validation accuracy so far */
} lens_progress;

typedef struct lens_train_opts {
    int epochs; /* 0 = 5 */
    int batch;  /* 0 = 64 */
    lens_optim_opts optim;
    const char *schedule; /* NULL = "constant" */
    lens_loss loss;
    const char *init;  /* NULL = "he"; ignored when resuming or when keep_weights */
    bool keep_weights; /* start from the net's present weights */
    uint64_t seed;
    const char
        *augment; /* see data.h; NULL = none. With mixup or cutmix, accuracies of training count the
                            sample's own label */
    int workers;  /* loader threads that decode ahead; 0 = default: 1 */
    const char *out; /* folder for checkpoints and logs, made if absent; NULL = none */
    int save_every;  /* also save last.state every so many steps; 0 = at the end of epochs */
    /* Go on from out's last.state; LENS_NOT_FOUND if there is none. All options that matter must be as
     * they were, but `epochs` may be more; 0 = as before. */
    bool resume;
    /* Called about ten times a second and at each end of epoch. Return false to stop: the state is saved
     * and lens_train returns LENS_INTERRUPTED. May be NULL. */
    bool (*progress)(void *user, const lens_progress *);
    void *user;
    const volatile int *interrupt; /* not NULL: polled each step; non-zero stops like progress */
    const char *command;           /* remembered in the model file; may be NULL */
} lens_train_opts;

typedef struct lens_train_result {
    int epochs; /* finished */
    double seconds, images_per_s;
    double test_accuracy, test_loss; /* of the final weights on the test split */
    double best_accuracy;
    int best_epoch;
    bool already_finished; /* --resume of a finished run: nothing was trained */
} lens_train_result;

/* Trains `net` (finished) on the training split of `data`; validation is its test split (where that is
 * empty the training figures stand in). Writes, in `out`, each file atomically:
 *   model.safetensors  the weights with the best validation accuracy
 *   last.safetensors   the weights after the latest epoch, or where the run was stopped
 *   last.state         everything for a bit-identical resume, the weights included, in one file with a
 *                      checksum: whatever moment the process dies at, it can be resumed from
 *   log.csv            one line an epoch; log.jsonl also some twenty lines within each
 * Input is normalised by the data's mean and standard deviation, remembered as "mean" and "std" with the
 * class names; "resize" (the shorter side) and "interpolation" (of "bilinear", "bicubic") too where the
 * pictures have a margin. The net's output must have as many features as the data has classes, and so must
 * others whose losses have a weight (lens_output): the weighted sum is minimised, the main output's loss is
 * shown. Validation loss is the plain loss, without label smoothing and class weights.
 * opts may be NULL. *result is written on LENS_OK only.
 * LENS_BAD_SHAPE: net and data do not fit (both sides named); LENS_BAD_ARG: an option is out of range, or
 * differs from the run to be resumed; LENS_NOT_FOUND: a word among the options is unknown (with a
 * suggestion), nothing to resume; LENS_DIVERGED: a loss, gradient or weight is not finite: the message
 * names layer, step and the files of the batch, no file is overwritten; LENS_INTERRUPTED after saving;
 * LENS_IO; LENS_NOMEM; LENS_BAD_FILE: last.state is damaged. */
LENS_API lens_status lens_train(lens_net *, lens_data *data, const lens_train_opts *,
                                lens_train_result *);

/* ---- Evaluation ------------------------------------------------------------------------------ */

typedef struct lens_eval_result {
    int64_t images, correct, correct5; /* top-1, top-5 (all of them if K < 5) */
    double loss;                       /* mean cross entropy */
    double images_per_s;
} lens_eval_result;

/* Runs the net over a split, every image once. batch: samples at a time, 0 = 64; it changes no count.
 * confusion: K*K counts [true][predicted], or NULL; logits: (images, K) by index of the sample, or NULL.
 * The net's "mean" and "std" are applied. Equal scores: the lower class first. LENS_BAD_SHAPE: net and
 * data do not fit; LENS_BAD_FILE: a malformed "mean" or "std"; LENS_NOMEM; errors of the loader. */
LENS_API lens_status lens_eval(lens_net *, lens_data *, lens_split, int batch, lens_eval_result *,
                               int64_t *confusion, float *logits);

/* The same over `crops` views of every picture, 1, 5, 10 or 50 as lens_view cuts them, margin (data.h)
 * included: what the net says is the logarithm of the mean of the views' probabilities (softmax of its
 * outputs, or the outputs of a net that ends with one). 1 is lens_eval. LENS_BAD_ARG: another number, or
 * more than 1 where the pictures have no margin. */
LENS_API lens_status lens_eval_crops(lens_net *, lens_data *, lens_split, int batch, int crops,
                                     lens_eval_result *, int64_t *confusion, float *logits);

#ifdef __cplusplus
}
#endif
#endif
