/* test_train_loss.c - the losses: printed vectors, and plain loops in double as the oracle.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/base.h"
#include "base/rng.h"
#include <lenslet/train.h>

enum { MAX_ROWS = 300, MAX_CLASSES = 40 };

static void check_row(lens_ctx *ctx, lens_loss_kind kind, const float *y, int classes, int label,
                      double value, const double *gradient) {
    float dy[MAX_CLASSES];
    int32_t labels[1] = { label };
    double got;
    lens_tensor t = { (float *)y, 2, { 1, classes } }, d = { dy, 2, { 1, classes } };
    assert_ok(ctx, lens_loss_eval(ctx, &(lens_loss){ .kind = kind }, &t, labels, &got, NULL, &d));
    assert_near(got, value, 1e-6 * fabs(value) + 1e-7);
    for (int k = 0; gradient && k < classes; k++)
        assert_near((double)dy[k], gradient[k], 2e-7 * (1 + fabs(gradient[k])));
}

static const float boat_first[] = { .2f, .4f, .1f, .3f }, boat_later[] = { .1f, .1f, .7f, .1f };

static void squared_errors_of_the_boat(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    const double first[] = { .2, .4, -.9, .3 }, later[] = { .1, .1, -.3, .1 };
    check_row(ctx, LENS_MSE_HALF, boat_first, 4, 2, .55, first);
    check_row(ctx, LENS_MSE_HALF, boat_later, 4, 2, .06, later);
    check_row(ctx, LENS_MSE_MEAN, boat_first, 4, 2, .275, (double[]){ .1, .2, -.45, .15 });
    check_row(ctx, LENS_MSE_MEAN, boat_later, 4, 2, .03, NULL);
    check_row(ctx, LENS_MSE_SUM, boat_first, 4, 2, 1.1, (double[]){ .4, .8, -1.8, .6 });
    lens_ctx_free(ctx);
}

/* The class order dog, cat, boat, bird: the boat's one-hot target is (0,0,1,0), so a perfect answer
 * costs nothing and every other one something. */
static void one_hot_target(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    for (int k = 0; k < 4; k++) {
        float y[4] = { 0 };
        y[k] = 1;
        check_row(ctx, LENS_MSE_SUM, y, 4, 2, k == 2 ? 0 : 2, NULL);
    }
    lens_ctx_free(ctx);
}

static void ten_ones(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float ones[10], tenths[10];
    for (int k = 0; k < 10; k++) ones[k] = 1, tenths[k] = .1f;
    check_row(ctx, LENS_MSE_SUM, ones, 10, 2, 9, NULL);
    check_row(ctx, LENS_MSE_MEAN, ones, 10, 2, .9, NULL);
    check_row(ctx, LENS_MSE_HALF, ones, 10, 2, 4.5, NULL);
    check_row(ctx, LENS_MSE_SUM, tenths, 10, 2, .9, NULL);
    check_row(ctx, LENS_MSE_MEAN, tenths, 10, 2, .09, NULL);
    check_row(ctx, LENS_CROSS_ENTROPY, ones, 10, 2, 2.302585093, NULL);
    lens_ctx_free(ctx);
}

static void cross_entropy_of_the_boat(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float logits[4];
    for (int k = 0; k < 4; k++) logits[k] = logf(boat_first[k]);
    check_row(ctx, LENS_CROSS_ENTROPY, logits, 4, 2, 2.302585093, (double[]){ .2, .4, -.9, .3 });
    for (int k = 0; k < 4; k++) logits[k] = logf(boat_later[k]);
    check_row(ctx, LENS_CROSS_ENTROPY, logits, 4, 2, .356674944, (double[]){ .1, .1, -.3, .1 });
    lens_ctx_free(ctx);
}

static void hinge_of_cs231n(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    const float cat[] = { 3.2f, 5.1f, -1.7f }, car[] = { -2.85f, .86f, .28f };
    check_row(ctx, LENS_HINGE, cat, 3, 0, 2.9, (double[]){ -1, 1, 0 });
    check_row(ctx, LENS_HINGE_SQUARED, cat, 3, 0, 8.41, (double[]){ -5.8, 5.8, 0 });
    check_row(ctx, LENS_CROSS_ENTROPY, cat, 3, 0, 2.0403552, NULL);
    check_row(ctx, LENS_HINGE, car, 3, 2, 1.58, (double[]){ 0, 1, -1 });
    check_row(ctx, LENS_CROSS_ENTROPY, car, 3, 2, 1.0401906, NULL);
    lens_ctx_free(ctx);
}

/* One row in double, straight from the formulas of train.h. */
static double oracle_row(const lens_loss *l, const double *y, int classes, int label) {
    double sum = 0;
    if (l->kind == LENS_CROSS_ENTROPY) {
        double top = y[0], total = 0;
        for (int k = 1; k < classes; k++) top = y[k] > top ? y[k] : top;
        for (int k = 0; k < classes; k++) total += exp(y[k] - top);
        for (int k = 0; k < classes; k++) {
            double target =
                (k == label ? 1 - (double)l->smoothing : 0) + (double)l->smoothing / classes;
            sum -= target * (y[k] - top - log(total));
        }
        return sum;
    }
    for (int k = 0; k < classes; k++) {
        double d = y[k] - (k == label), m = k == label ? 0 : y[k] - y[label] + 1;
        m = m > 0 ? m : 0;
        sum += l->kind == LENS_HINGE ? m : l->kind == LENS_HINGE_SQUARED ? m * m : d * d;
    }
    return l->kind == LENS_MSE_HALF ? sum / 2 : l->kind == LENS_MSE_MEAN ? sum / classes : sum;
}

typedef struct problem {
    int rows, classes;
    float y[MAX_ROWS * MAX_CLASSES], dy[MAX_ROWS * MAX_CLASSES];
    int32_t label[MAX_ROWS];
} problem;

static void fill(problem *p, int rows, int classes, uint64_t seed) {
    rng r = rng_start(seed, RNG_TEST, 0, 0);
    p->rows = rows;
    p->classes = classes;
    for (int i = 0; i < rows * classes; i++) p->y[i] = 2 * rng_normal(&r);
    for (int i = 0; i < rows; i++) p->label[i] = (int32_t)rng_below(&r, (uint32_t)classes);
}

/* Mean and gradient over whole batches: total error is the sum over classes, averaged over the batch. */
static void against_plain_loops(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    static problem p;
    static float weights[MAX_CLASSES];
    for (int k = 0; k < MAX_CLASSES; k++) weights[k] = 0.25f + (float)(k % 7);
    const lens_loss losses[] = {
        { .kind = LENS_CROSS_ENTROPY },
        { .kind = LENS_CROSS_ENTROPY, .smoothing = 0.1f },
        { .kind = LENS_CROSS_ENTROPY, .class_weights = weights },
        { .kind = LENS_CROSS_ENTROPY, .smoothing = 0.3f, .class_weights = weights },
        { .kind = LENS_MSE_HALF },
        { .kind = LENS_MSE_SUM },
        { .kind = LENS_MSE_MEAN },
        { .kind = LENS_HINGE },
        { .kind = LENS_HINGE_SQUARED },
    };
    const int sizes[][2] = { { 1, 2 }, { 3, 10 }, { 64, 10 }, { 65, 7 }, { 300, 40 }, { 2, 1 } };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t l = 0; l < sizeof losses / sizeof *losses; l++) {
            fill(&p, sizes[s][0], sizes[s][1], s);
            lens_tensor y = { p.y, 2, { p.rows, p.classes } },
                        dy = { p.dy, 2, { p.rows, p.classes } };
            double value, sum = 0, divisor = 0;
            int correct, right = 0;
            assert_ok(ctx, lens_loss_eval(ctx, &losses[l], &y, p.label, &value, &correct, &dy));
            for (int r = 0; r < p.rows; r++)
                divisor += losses[l].class_weights ? (double)weights[p.label[r]] : 1;
            for (int r = 0; r < p.rows; r++) {
                double row[MAX_CLASSES], weight = 1;
                int best = 0, label = p.label[r];
                if (losses[l].class_weights) weight = (double)weights[label];
                for (int k = 0; k < p.classes; k++) row[k] = (double)p.y[r * p.classes + k];
                for (int k = 0; k < p.classes; k++) best = row[k] > row[best] ? k : best;
                right += best == label;
                sum += weight * oracle_row(&losses[l], row, p.classes, label);
                for (int k = 0; k < p.classes && r < 3; k++) {
                    double at = row[k], step = 1e-6;
                    row[k] = at + step;
                    double up = oracle_row(&losses[l], row, p.classes, label);
                    row[k] = at - step;
                    double down = oracle_row(&losses[l], row, p.classes, label);
                    row[k] = at;
                    double slope = weight * (up - down) / (2 * step) / divisor;
                    assert_near((double)p.dy[r * p.classes + k], slope, 1e-6 + 1e-5 * fabs(slope));
                }
            }
            assert_near(value, sum / divisor, 2e-6 * fabs(sum / divisor) + 1e-7);
            assert_int_equal(correct, right);
        }
    lens_ctx_free(ctx);
}

static void same_bits_for_any_threads(void **state) {
    (void)state;
    static problem p;
    static float first[MAX_ROWS * MAX_CLASSES];
    const int threads[] = { 1, 2, 3, 8 };
    double value, first_value = 0;
    for (size_t t = 0; t < 4; t++)
        for (int inplace = 0; inplace < 2; inplace++) {
            lens_ctx *ctx = test_ctx(threads[t]);
            fill(&p, MAX_ROWS, MAX_CLASSES, 7);
            lens_tensor y = { p.y, 2, { p.rows, p.classes } }, dy = y;
            if (!inplace) dy.data = p.dy;
            assert_ok(ctx, lens_loss_eval(ctx, &(lens_loss){ .smoothing = 0.1f }, &y, p.label,
                                          &value, NULL, &dy));
            if (t == 0 && !inplace) {
                first_value = value;
                memcpy(first, p.dy, sizeof first);
            }
            assert_memory_equal(dy.data, first, sizeof first);
            assert_memory_equal(&value, &first_value, sizeof value);
            lens_ctx_free(ctx);
        }
}

static void large_scores_stay_finite(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    const float y[] = { 1000, 1001, 1002 };
    check_row(ctx, LENS_CROSS_ENTROPY, y, 3, 2, 0.4076059644,
              (double[]){ .0900306, .2447285, .6652410 - 1 });
    check_row(ctx, LENS_CROSS_ENTROPY, (const float[]){ -1, 0, -3 }, 3, 1, 0.3490122,
              (double[]){ .2594965, .7053845 - 1, .0351190 });
    lens_ctx_free(ctx);
}

/* Mixed targets are a convex combination, and cross entropy is linear in the target: the loss and gradient
 * of row r are share times those for its label and the rest times those for the other class. Squared errors
 * by their formula. */
static void mixed_targets(void **state) {
    (void)state;
    enum { ROWS = 130, K = 7 };
    static problem p;
    static float one[2][ROWS * K], got[ROWS * K], share[ROWS];
    static int32_t other[ROWS];
    const lens_mix mix = { other, share };
    const lens_loss losses[] = { { 0 }, { .smoothing = 0.2f }, { .kind = LENS_MSE_MEAN } };
    lens_ctx *ctx = test_ctx(2);
    fill(&p, ROWS, K, 11);
    for (int r = 0; r < ROWS; r++) {
        other[r] = (p.label[r] + r) % K; /* its own class now and then */
        share[r] = r % 10 == 0 ? 1 : r % 10 == 1 ? 0 : (float)(r % 17) / 17;
    }
    lens_tensor y = { p.y, 2, { ROWS, K } }, d = { got, 2, { ROWS, K } };
    for (size_t l = 0; l < LENS_COUNT(losses); l++) {
        lens_loss mixed = losses[l];
        double value, want = 0;
        mixed.mix = &mix;
        assert_ok(ctx, lens_loss_eval(ctx, &mixed, &y, p.label, &value, NULL, &d));
        for (int r = 0; r < ROWS; r++) {
            const float *row = p.y + r * K;
            lens_tensor yr = { p.y + r * K, 2, { 1, K } };
            double s = (double)share[r], part[2];
            for (int t = 0; t < 2; t++) {
                const int32_t *label = t ? &other[r] : &p.label[r];
                lens_tensor dr = { one[t], 2, { 1, K } };
                assert_ok(ctx, lens_loss_eval(ctx, &losses[l], &yr, label, &part[t], NULL, &dr));
            }
            double squares = 0;
            for (int k = 0; k < K; k++) {
                double target = s * (k == p.label[r]) + (1 - s) * (k == other[r]);
                double slope = s * (double)one[0][k] + (1 - s) * (double)one[1][k];
                squares += pow((double)row[k] - target, 2) / K;
                if (l == 2) slope = 2.0 / K * ((double)row[k] - target);
                assert_near((double)got[r * K + k] * ROWS, slope, 2e-5);
            }
            want += (l == 2 ? squares : s * part[0] + (1 - s) * part[1]) / ROWS;
        }
        assert_near(value, want, 1e-5 * want);
        memcpy(one[0], p.y, sizeof got); /* in place: the same bits */
        lens_tensor place = { one[0], 2, { ROWS, K } };
        assert_ok(ctx, lens_loss_eval(ctx, &mixed, &place, p.label, NULL, NULL, &place));
        assert_memory_equal(one[0], got, sizeof got);
    }
    double v;
    const lens_loss hinge = { .kind = LENS_HINGE, .mix = &mix }, plain = { .mix = &mix };
    assert_fails(ctx, LENS_BAD_ARG, "mixed targets (mixup, cutmix) go with cross entropy",
                 lens_loss_eval(ctx, &hinge, &y, p.label, &v, NULL, NULL));
    share[3] = 1.5f;
    assert_fails(ctx, LENS_BAD_ARG, "row 3 counts 1.5",
                 lens_loss_eval(ctx, &plain, &y, p.label, &v, NULL, NULL));
    share[3] = 0;
    other[4] = K;
    assert_fails(ctx, LENS_BAD_ARG, "label 7 of row 4",
                 lens_loss_eval(ctx, &plain, &y, p.label, &v, NULL, NULL));
    lens_ctx_free(ctx);
}

static void mistakes_are_named(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    float y[6] = { 0 }, bad_weights[3] = { 1, 0, 1 };
    lens_tensor t = { y, 2, { 2, 3 } }, odd = { y, 2, { 1, 3 } }, flat = { y, 1, { 6 } };
    int32_t good[2] = { 0, 1 }, high[2] = { 0, 3 }, low[2] = { -1, 0 };
    double v;
    lens_loss plain = { 0 };
    assert_fails(ctx, LENS_BAD_ARG, "label 3 of row 1 is not in 0..2",
                 lens_loss_eval(ctx, &plain, &t, high, &v, NULL, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "label -1",
                 lens_loss_eval(ctx, &plain, &t, low, &v, NULL, NULL));
    assert_fails(ctx, LENS_BAD_SHAPE, "6",
                 lens_loss_eval(ctx, &plain, &flat, good, &v, NULL, NULL));
    assert_fails(ctx, LENS_BAD_SHAPE, "1x3", lens_loss_eval(ctx, &plain, &t, good, &v, NULL, &odd));
    assert_fails(ctx, LENS_BAD_ARG, "smoothing",
                 lens_loss_eval(ctx, &(lens_loss){ .smoothing = 1 }, &t, good, &v, NULL, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "smoothing",
                 lens_loss_eval(ctx, &(lens_loss){ .smoothing = NAN }, &t, good, &v, NULL, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "class 1",
                 lens_loss_eval(ctx, &(lens_loss){ .class_weights = bad_weights }, &t, good, &v,
                                NULL, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "cross entropy",
                 lens_loss_eval(ctx, &(lens_loss){ .kind = LENS_HINGE, .smoothing = .1f }, &t, good,
                                &v, NULL, NULL));
    lens_ctx_free(ctx);
}

static void nothing_is_allocated(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    static problem p;
    fill(&p, MAX_ROWS, MAX_CLASSES, 3);
    lens_tensor y = { p.y, 2, { p.rows, p.classes } };
    uint64_t before = ctx_alloc_calls(ctx);
    double value;
    assert_ok(ctx, lens_loss_eval(ctx, &(lens_loss){ 0 }, &y, p.label, &value, NULL, &y));
    assert_int_equal(ctx_alloc_calls(ctx), before);
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("[H10][H9][Q5][V16] squared errors of the boat", squared_errors_of_the_boat),
    T("[H7][H8] the third class is index 2: target (0,0,1,0)", one_hot_target),
    T("[H9][V16] ten ones against the third class", ten_ones),
    T("[H11][V16] cross entropy of the boat, gradient p - y", cross_entropy_of_the_boat),
    T("[H6][Q4][V16] multiclass hinge: 2.9, 8.41, 1.58", hinge_of_cs231n),
    T("[J22][H6][H9][H10][H11] every loss, mean over the batch, against plain loops",
      against_plain_loops),
    T("loss: same bits for 1, 2, 3, 8 threads, in place too", same_bits_for_any_threads),
    T("[H4][V16] softmax of large scores", large_scores_stay_finite),
    T("loss: mixed targets are the mixture of the losses", mixed_targets),
    T("loss: mistakes are named", mistakes_are_named),
    T("loss: allocates nothing", nothing_is_allocated),
};

TEST_MAIN(tests)
