/* invariance.c - what a net trained on upright, centred digits makes of digits that are moved, turned
 * and scaled; and how far the change reaches, layer by layer.
 *
 * Convolution alone is equivariant: what moves in the picture moves in the map. The rest comes from
 * pooling (a little), from the dense layers, and most of all from training on changed pictures, which
 * the augmented nets saw. The multi-scale net reads each place with kernels of 3x3, 5x5 and 7x7.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, NETS = 4, MOST = 21 };

/* A change of a picture: moved right by so many pixels, turned clockwise by degrees, enlarged. */
typedef struct change {
    double shift, angle, zoom;
} change;

/* out(r,c) = in at the place that moves there, bilinearly; black comes in from outside. */
static void warp(const float *in, float *out, change by) {
    const double middle = (SIDE - 1) / 2.0, turn = by.angle * acos(-1) / 180;
    const double cosine = cos(turn) / by.zoom, sine = sin(turn) / by.zoom;
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) {
            double y = r - middle, x = c - middle - by.shift;
            double row = middle + cosine * y - sine * x, column = middle + sine * y + cosine * x;
            int i = (int)floor(row), j = (int)floor(column);
            double sum = 0;
            for (int k = 0; k < 4; k++) {
                int u = i + k / 2, v = j + k % 2;
                if (u < 0 || u >= SIDE || v < 0 || v >= SIDE) continue;
                sum += (1 - fabs(row - u)) * (1 - fabs(column - v)) * (double)in[u * SIDE + v];
            }
            out[r * SIDE + c] = (float)sum;
        }
}

typedef struct trial {
    const char *name, *axis, *title;
    int count;
    double from, to;  /* the changes shown */
    double low, high; /* the changes the augmented net has seen */
} trial;

static const trial trials[] = {
    { "translation", "pixels to the right", "Moved digits", 21, -10, 10, -8, 8 },
    { "rotation", "degrees clockwise", "Turned digits", 13, 0, 180, -180, 180 },
    { "scale", "zoom", "Scaled digits", 11, 0.5, 1.5, 0.5, 1.5 },
};

static change change_of(const trial *t, double value) {
    change by = { 0, 0, 1 };
    *(t == trials ? &by.shift : t == trials + 1 ? &by.angle : &by.zoom) = value;
    return by;
}

/* Each picture of a batch by an amount of its own, from a sequence that is the same in every run. */
static void augment(void *user, const lens_batch *batch, uint32_t step) {
    const trial *t = user;
    float changed[PIXELS];
    for (int i = 0; i < batch->n; i++) {
        float *picture = batch->images.data + (size_t)i * PIXELS;
        /* The golden ratio's multiples are spread evenly (Weyl 1916). */
        double share = fmod(((double)step * batch->n + i) * 0.6180339887498949, 1);
        warp(picture, changed, change_of(t, t->low + share * (t->high - t->low)));
        memcpy(picture, changed, sizeof changed);
    }
}

typedef struct pictures {
    int count;
    float *pixels; /* (count, 1, 28, 28) */
    int *label;
} pictures;

/* Accuracy on the changed pictures; confusion[true][predicted] may be NULL. */
static double judge(lab *l, lens_net *net, const pictures *test, change by, int confusion[10][10]) {
    enum { BATCH = 100 };
    static float changed[BATCH * PIXELS];
    lens_session *session;
    int right = 0;
    lab_must(l, lens_session_new(&session, net, l->ctx, &(lens_session_opts){ .batch = BATCH }));
    for (int first = 0; first < test->count; first += BATCH) {
        lens_tensor x = { changed, 4, { BATCH, 1, SIDE, SIDE } }, y;
        for (int i = 0; i < BATCH; i++)
            warp(test->pixels + (size_t)(first + i) * PIXELS, changed + (size_t)i * PIXELS, by);
        lab_must(l, lens_run(session, &x, &y));
        for (int i = 0; i < BATCH; i++) {
            int best = 0, label = test->label[first + i];
            for (int k = 1; k < 10; k++)
                if (y.data[i * 10 + k] > y.data[i * 10 + best]) best = k;
            right += best == label;
            if (confusion) confusion[label][best]++;
        }
    }
    lens_session_free(session);
    return (double)right / test->count;
}

static lens_net *trained(lab *l, lens_data *data, const char *text, const trial *augmentation) {
    lens_net *net = lab_net(l, "%s", text);
    int epochs = l->quick ? 5 : 10;
    lab_must(l, lens_init(net, "he", 1));
    lab_steps(l, net, data,
              (lab_steps_opts){ .epochs = augmentation ? 2 * epochs : epochs,
                                .batch = 50,
                                .rate = 0.02,
                                .momentum = 0.9,
                                .change = augmentation ? augment : NULL,
                                .user = (void *)augmentation });
    return net;
}

static const char mlp[] = "input data 1x28x28\ndense fc1 out=128\nrelu\ndense fc2 out=64\nrelu\n"
                          "dense fc3 out=10\n";
static const char cnn[] = "input data 1x28x28\nconv2d conv1 out=8 kernel=5\nrelu\n"
                          "maxpool pool1 kernel=2\nconv2d conv2 out=16 kernel=5\nrelu\n"
                          "maxpool pool2 kernel=2\ndense fc1 out=64\nrelu\ndense fc2 out=10\n";
static const char multi_scale[] =
    "input data 1x28x28\nconv2d conv1 out=8 kernel=5\nrelu\nmaxpool pool1 kernel=2\n"
    "conv2d small out=6 kernel=3 mode=same from=pool1\n"
    "conv2d middle out=5 kernel=5 mode=same from=pool1\n"
    "conv2d large out=5 kernel=7 mode=same from=pool1\n"
    "concat scales from=small,middle,large\nrelu\nmaxpool pool2 kernel=3 stride=2\n"
    "dense fc1 out=64\nrelu\ndense fc2 out=10\n";

/* Accuracy of the four nets over the values of a trial; for rotation also class by class. */
static void run_trial(lab *l, const trial *t, lens_net *const nets[NETS], const pictures *test) {
    static const char *const names[] = { "dense", "convolutional", "convolutional, augmented",
                                         "multi-scale" };
    double value[MOST], accuracy[NETS][MOST], recall[10][MOST];
    char digit[10][2];
    for (int i = 0; i < t->count; i++) {
        int confusion[10][10] = { 0 };
        value[i] = t->from + (t->to - t->from) * i / (t->count - 1);
        for (int n = 0; n < NETS; n++)
            accuracy[n][i] =
                judge(l, nets[n], test, change_of(t, value[i]), n == 1 ? confusion : NULL);
        lab_row(l, "%s,%g,%.4f,%.4f,%.4f,%.4f", t->name, value[i], accuracy[0][i], accuracy[1][i],
                accuracy[2][i], accuracy[3][i]);
        for (int d = 0; d < 10; d++) {
            int all = 0;
            for (int k = 0; k < 10; k++) all += confusion[d][k];
            recall[d][i] = (double)confusion[d][d] / all;
            if (t == trials + 1 && i == t->count - 1 && (d == 6 || d == 9))
                lab_row(l, "rotation: %d taken for %d,180,,%.4f,,", d, 15 - d,
                        (double)confusion[d][15 - d] / all);
        }
    }
    lens_figure_series lines[NETS], classes[10];
    for (int n = 0; n < NETS; n++)
        lines[n] = (lens_figure_series){ names[n], value, accuracy[n], (size_t)t->count };
    const lens_figure_panel all = { "accuracy", lines, NETS, LENS_BEST_NONE };
    l->name = t->name;
    lab_curves(l, t->title, "all but the augmented net were trained on upright, centred digits",
               t->axis, &all, 1);
    if (t != trials + 1) return;
    for (int d = 0; d < 10; d++) {
        snprintf(digit[d], sizeof digit[d], "%d", d);
        classes[d] = (lens_figure_series){ digit[d], value, recall[d], (size_t)t->count };
    }
    const lens_figure_panel halves[] = { { "share recognised, 0 to 4", classes, 5, LENS_BEST_NONE },
                                         { "5 to 9", classes + 5, 5, LENS_BEST_NONE } };
    l->name = "rotation-classes";
    lab_curves(l, "Turned digits, class by class", "the convolutional net", t->axis, halves, 2);
}

/* The mean of |f(moved) - f(x)| / |f(x)| over pictures x, for every layer f. */
static void depth(lab *l, lens_net *net, const pictures *test) {
    enum { SAMPLES = 100 };
    int nodes = lens_net_nodes(net);
    double *sum = calloc((size_t)nodes, sizeof *sum), *layer = calloc((size_t)nodes, sizeof *layer);
    lens_session *session;
    lab_must(l, lens_session_new(&session, net, l->ctx,
                                 &(lens_session_opts){ .batch = 2, .watch = true }));
    for (int s = 0; s < SAMPLES && sum; s++) {
        float pair[2 * PIXELS];
        lens_tensor x = { pair, 4, { 2, 1, SIDE, SIDE } }, y;
        warp(test->pixels + (size_t)s * PIXELS, pair, (change){ 0, 0, 1 });
        warp(test->pixels + (size_t)s * PIXELS, pair + PIXELS, (change){ 1, 0, 1 });
        lab_must(l, lens_run(session, &x, &y));
        for (int n = 0; n < nodes; n++) {
            lens_tensor f;
            double difference = 0, norm = 0;
            lab_must(l, lens_peek(session, lens_net_node(net, n), LENS_VALUE, &f));
            int64_t half = lens_tensor_count(&f) / 2;
            for (int64_t k = 0; k < half; k++) {
                double a = (double)f.data[k], b = (double)f.data[half + k];
                difference += (a - b) * (a - b);
                norm += a * a;
            }
            sum[n] += sqrt(difference / norm) / SAMPLES;
        }
    }
    for (int n = 0; n < nodes && sum && layer; n++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, n), &info);
        layer[n] = n;
        lab_row(l, "depth: %s,1,,%.4f,,", info.name, sum[n]);
    }
    const lens_figure_series line = { "moved by 1 pixel", layer, sum, (size_t)nodes };
    const lens_figure_panel panel = { "relative distance of the features", &line, 1,
                                      LENS_BEST_NONE };
    l->name = "depth";
    lab_curves(l, "How far a shift of one pixel reaches", "0 is the picture, the last the scores",
               "layer", &panel, 1);
    lens_session_free(session);
    free(layer);
    free(sum);
}

int main(int argc, char **argv) {
    lab l = lab_open(argc, argv, "invariance");
    lens_data *data = lab_digits(&l, LAB_CENTRED);
    pictures test = { .count = l.quick ? 200 : (int)lens_data_describe(data)->count[LENS_TEST] };
    test.pixels = malloc((size_t)test.count * PIXELS * sizeof *test.pixels);
    test.label = malloc((size_t)test.count * sizeof *test.label);
    if (!test.pixels || !test.label) return 1;
    for (int i = 0; i < test.count; i++)
        lab_must(&l, lens_data_get(data, LENS_TEST, (size_t)i, test.pixels + (size_t)i * PIXELS,
                                   &test.label[i]));
    lens_net *nets[NETS] = { trained(&l, data, mlp, NULL), trained(&l, data, cnn, NULL), NULL,
                             trained(&l, data, multi_scale, NULL) };
    lab_row(&l, "change,value,dense,convolutional,augmented,multi_scale");
    for (int t = 0; t < 3; t++) {
        nets[2] = trained(&l, data, cnn, &trials[t]);
        run_trial(&l, &trials[t], nets, &test);
        lens_net_free(nets[2]);
    }
    depth(&l, nets[1], &test);
    for (int n = 0; n < NETS; n++)
        if (n != 2) lens_net_free(nets[n]);
    free(test.label);
    free(test.pixels);
    lens_data_free(data);
    return lab_close(&l);
}
