/* loss.c - the losses and their gradients; formulas in train.h and docs/training.md.
 *
 * Invariant: a row's loss and gradient depend on that row (and on the sum of the class weights)
 * alone, and rows are added in blocks that the batch size fixes, so the number of threads changes no
 * bit. Nothing is allocated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/loss.h"
#include "base/base.h"
#include "base/pool.h"
#include "kern/kern.h"
#include <lenslet/train.h>

#include <math.h>

/* At most LOSS_BLOCKS sums, and CHUNK losses of single rows, live on the stack. */
enum { LOSS_BLOCKS = 64, CHUNK = 64 };

/* One exp, the comparison and three passes: about 3 ns an element in the plainest build. */
#define LOSS_ELEMENT_NS 3.0

typedef struct loss_job {
    const lens_loss *loss;
    const struct kern *kern;
    const float *y;
    const int32_t *label;
    float *dy; /* NULL: not wanted */
    int rows, classes;
    int rows_per_block;
    float scale; /* of the gradient: 1 / (what the sum of losses is divided by) */
    double sum[LOSS_BLOCKS];
    int correct[LOSS_BLOCKS];
} loss_job;

int loss_first_maximum(const float *y, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (y[i] > y[best]) best = i;
    return best;
}

/* How much row r counts for its label; the rest is for mix->other[r]. */
static float share_of(const loss_job *j, int r) {
    return j->loss->mix ? j->loss->mix->share[r] : 1;
}

/* factor * sum of (y-t)^2, gradient 2*factor*(y-t). */
static double squared_error(const loss_job *j, const float *y, int r, float *dy) {
    int label = j->label[r], other = j->loss->mix ? j->loss->mix->other[r] : label;
    float share = share_of(j, r);
    double factor = j->loss->kind == LENS_MSE_HALF   ? 0.5
                    : j->loss->kind == LENS_MSE_MEAN ? 1.0 / j->classes
                                                     : 1.0;
    double sum = 0;
    float slope = (float)(2 * factor) * j->scale;
    for (int k = 0; k < j->classes; k++) {
        float d = y[k] - (k == label ? share : 0) - (k == other ? 1 - share : 0);
        sum += (double)d * d;
        if (dy) dy[k] = slope * d;
    }
    return factor * sum;
}

/* sum over k != label of m or m^2 with margin m = max(0, y[k] - y[label] + 1). The comparison is
 * written so that a NaN counts. */
static double hinge(const loss_job *j, const float *y, int r, float *dy) {
    bool squared = j->loss->kind == LENS_HINGE_SQUARED;
    int label = j->label[r];
    double sum = 0, pull = 0;
    float right = y[label];
    for (int k = 0; k < j->classes; k++) {
        float margin = y[k] - right + 1;
        float slope = 0;
        if (k != label && !(margin <= 0)) {
            sum += squared ? (double)margin * margin : (double)margin;
            slope = squared ? 2 * margin : 1;
        }
        pull += slope;
        if (dy) dy[k] = j->scale * slope;
    }
    if (dy) dy[label] = -j->scale * (float)pull;
    return sum;
}

/* Of at most CHUNK rows. The kernel knows one-hot targets. -log p[k] is linear in y[k], so what is moved
 * from the label to the other class, m = (1-smoothing)(1-share), adds m (y[label] - y[other]). */
static double cross_entropy_sum(const loss_job *j, int first, int rows) {
    const lens_mix *mix = j->loss->mix;
    const float *y = j->y + (size_t)first * (size_t)j->classes;
    float *dy = j->dy ? j->dy + (size_t)first * (size_t)j->classes : NULL;
    float each[CHUNK], more[CHUNK] = { 0 };
    double sum = 0;
    for (int r = 0; mix && r < rows; r++) { /* before dy, which may be y's own memory, is written */
        const float *row = y + (size_t)r * (size_t)j->classes;
        more[r] = row[j->label[first + r]] - row[mix->other[first + r]];
    }
    j->kern->cross_entropy(rows, j->classes, y, j->label + first, j->loss->smoothing,
                           j->loss->class_weights, j->scale, each, dy);
    for (int r = 0; r < rows; r++) {
        float moved = (1 - j->loss->smoothing) * (1 - share_of(j, first + r));
        sum += (double)each[r];
        if (moved == 0) continue; /* times an infinite y it would be NaN */
        sum += (double)moved * (double)more[r];
        if (!dy) continue;
        dy[(size_t)r * (size_t)j->classes + (size_t)j->label[first + r]] += j->scale * moved;
        dy[(size_t)r * (size_t)j->classes + (size_t)mix->other[first + r]] -= j->scale * moved;
    }
    return sum;
}

static double chunk_sum(const loss_job *j, int first, int rows) {
    if (j->loss->kind == LENS_CROSS_ENTROPY) return cross_entropy_sum(j, first, rows);
    bool margins = j->loss->kind == LENS_HINGE || j->loss->kind == LENS_HINGE_SQUARED;
    double sum = 0;
    for (int r = first; r < first + rows; r++) {
        size_t row = (size_t)r * (size_t)j->classes;
        sum += (margins ? hinge : squared_error)(j, j->y + row, r, j->dy ? j->dy + row : NULL);
    }
    return sum;
}

static void loss_block(void *arg, int block, int thread) {
    (void)thread;
    loss_job *j = arg;
    int end = (block + 1) * j->rows_per_block;
    if (end > j->rows) end = j->rows;
    double sum = 0;
    int correct = 0;
    for (int first = block * j->rows_per_block; first < end; first += CHUNK) {
        int rows = end - first < CHUNK ? end - first : CHUNK;
        /* Counted first: dy may be y's own memory. */
        for (int r = first; r < first + rows; r++)
            correct += loss_first_maximum(j->y + (size_t)r * (size_t)j->classes, j->classes) ==
                       j->label[r];
        sum += chunk_sum(j, first, rows);
    }
    j->sum[block] = sum;
    j->correct[block] = correct;
}

static lens_status check(lens_ctx *ctx, const lens_loss *loss, const lens_tensor *y,
                         const lens_tensor *dy, int64_t *classes) {
    char shape[96], other[96];
    int64_t count = lens_tensor_count(y);
    if (y->rank < 2 || count <= 0 || y->dim[0] > INT32_MAX || count / y->dim[0] > INT32_MAX)
        return ctx_fail(ctx, LENS_BAD_SHAPE, "loss: outputs are %s but rows of classes are needed",
                        lens_tensor_shape(y, shape));
    *classes = count / y->dim[0];
    if (dy && lens_tensor_count(dy) != count)
        return ctx_fail(ctx, LENS_BAD_SHAPE, "loss: outputs are %s but their gradient is %s",
                        lens_tensor_shape(y, shape), lens_tensor_shape(dy, other));
    if ((int)loss->kind < LENS_CROSS_ENTROPY || loss->kind > LENS_HINGE_SQUARED)
        return ctx_fail(ctx, LENS_BAD_ARG, "loss: kind %d, but kinds are 0..%d", (int)loss->kind,
                        (int)LENS_HINGE_SQUARED);
    if (!(loss->smoothing >= 0 && loss->smoothing < 1))
        return ctx_fail(ctx, LENS_BAD_ARG, "loss: label smoothing is %g but must be in [0,1)",
                        (double)loss->smoothing);
    if (loss->kind != LENS_CROSS_ENTROPY && (loss->smoothing > 0 || loss->class_weights))
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "loss: label smoothing and class weights belong to cross entropy");
    if (loss->mix && (loss->class_weights || loss->kind >= LENS_HINGE))
        return ctx_fail(
            ctx, LENS_BAD_ARG,
            "loss: mixed targets (mixup, cutmix) go with cross entropy or squared errors, "
            "without class weights");
    return LENS_OK;
}

lens_status lens_loss_eval(lens_ctx *ctx, const lens_loss *loss, const lens_tensor *y,
                           const int32_t *label, double *value, int *correct, lens_tensor *dy) {
    int64_t classes = 0;
    LENS_TRY(check(ctx, loss, y, dy, &classes));
    int rows = (int)y->dim[0];
    double divisor = loss->class_weights ? 0 : rows;
    for (int r = 0; r < rows; r++) {
        int32_t other = loss->mix ? loss->mix->other[r] : 0;
        float share = loss->mix ? loss->mix->share[r] : 1;
        int32_t wrong = label[r] < 0 || label[r] >= classes ? label[r] : other;
        if (wrong < 0 || wrong >= classes)
            return ctx_fail(ctx, LENS_BAD_ARG, "loss: label %d of row %d is not in 0..%d",
                            (int)wrong, r, (int)classes - 1);
        if (!(share >= 0 && share <= 1))
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "loss: row %d counts %g for its label; a share in 0..1", r,
                            (double)share);
        if (!loss->class_weights) continue;
        float weight = loss->class_weights[label[r]];
        if (!(weight > 0) || !isfinite(weight))
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "loss: the weight of class %d is %g but must be positive",
                            (int)label[r], (double)weight);
        divisor += (double)weight;
    }

    loss_job job = { .loss = loss,
                     .kern = ctx_kern(ctx),
                     .y = y->data,
                     .label = label,
                     .dy = dy ? dy->data : NULL,
                     .rows = rows,
                     .classes = (int)classes,
                     .rows_per_block = (rows + LOSS_BLOCKS - 1) / LOSS_BLOCKS,
                     .scale = (float)(1 / divisor) };
    int blocks = (rows + job.rows_per_block - 1) / job.rows_per_block;
    pool_run(ctx_pool(ctx), blocks, LOSS_ELEMENT_NS * (double)classes * job.rows_per_block,
             loss_block, &job);
    double sum = 0;
    int right = 0;
    for (int b = 0; b < blocks; b++) {
        sum += job.sum[b];
        right += job.correct[b];
    }
    if (value) *value = sum / divisor;
    if (correct) *correct = right;
    return LENS_OK;
}
