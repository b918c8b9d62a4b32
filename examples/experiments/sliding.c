/* sliding.c - a classifier of 28x28 windows that finds digits anywhere on a canvas of 64x64.
 *
 * The dense layers are written as convolutions (4x4, then 1x1), so the same weights read a picture of
 * any size: on the canvas they classify every window at a step of 4 pixels, and share what the windows
 * have in common. The table says how far that is from classifying the windows one by one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 28, CANVAS = 64, STEP = 4, CLASSES = 11, MAP = (CANVAS - WINDOW) / STEP + 1 };

static const char layers[] = "input data 1x%dx%d\n"
                             "conv2d conv1 out=8 kernel=5\nrelu\nmaxpool kernel=2\n"
                             "conv2d conv2 out=16 kernel=5\nrelu\nmaxpool kernel=2\n"
                             "conv2d fc1 out=64 kernel=4\nrelu\n"
                             "conv2d fc2 out=11 kernel=1\n%s";

static void copy_weights(lab *l, lens_net *to, const lens_net *from) {
    for (int i = 0; i < lens_net_params(from); i++) {
        lens_param a, b;
        lab_must(l, lens_net_param(from, i, &a));
        lab_must(l, lens_net_param(to, i, &b));
        memcpy(b.value.data, a.value.data, (size_t)lens_tensor_count(&a.value) * sizeof(float));
    }
    lens_net_touched(to);
}

/* The largest difference between the scores (CLASSES,MAP,MAP) and those of windows cut out. */
static double compare_windows(lab *l, lens_session *session, const float *canvas,
                              const float *scores) {
    double worst = 0;
    for (int p = 0; p < MAP * MAP; p++) {
        float window[WINDOW * WINDOW];
        lens_tensor x = { window, 4, { 1, 1, WINDOW, WINDOW } }, y;
        for (int r = 0; r < WINDOW; r++)
            memcpy(window + r * WINDOW, canvas + (p / MAP * STEP + r) * CANVAS + p % MAP * STEP,
                   WINDOW * sizeof *window);
        lab_must(l, lens_run(session, &x, &y));
        for (int k = 0; k < CLASSES; k++)
            worst = fmax(worst, fabs((double)y.data[k] - (double)scores[k * MAP * MAP + p]));
    }
    return worst;
}

int main(int argc, char **argv) {
    enum { CANVASES = 20, SHOWN = 4 };
    static float canvas[CANVASES][CANVAS * CANVAS], heat[CANVASES][MAP * MAP];
    static char name[CANVASES][32], note[CANVASES][64];
    lens_figure_tile tile[2 * SHOWN];
    lens_figure_mark frame[2 * SHOWN];
    lab l = lab_open(argc, argv, "sliding");
    lens_data *data = lab_digits(&l, LAB_WINDOWS);
    lens_net *window = lab_net(&l, layers, WINDOW, WINDOW, "flatten\n");
    lens_net *scan = lab_net(&l, layers, CANVAS, CANVAS, "");
    lens_session *one, *all;
    lab_must(&l, lens_init(window, "he", 1));
    lab_steps(
        &l, window, data,
        (lab_steps_opts){ .epochs = l.quick ? 8 : 10, .batch = 50, .rate = 0.02, .momentum = 0.9 });
    copy_weights(&l, scan, window);
    lab_must(&l, lens_session_new(&one, window, l.ctx, NULL));
    lab_must(&l, lens_session_new(&all, scan, l.ctx, NULL));

    lab_row(&l, "digit,row,column,found,found_row,found_column,distance,from_windows");
    for (int i = 0; i < CANVASES; i++) {
        /* Two sequences that fill the square evenly (Roberts 2018, R2). */
        double row = 14 + 36 * fmod(0.5 + 0.7548776662 * i, 1);
        double column = 14 + 36 * fmod(0.5 + 0.5698402910 * i, 1);
        int digit = i % 10, found = 0, place = 0;
        lens_tensor x = { canvas[i], 4, { 1, 1, CANVAS, CANVAS } }, y;
        lab_draw_digit(canvas[i], CANVAS, CANVAS, digit, row, column, 20, 0, 1000 + (uint64_t)i);
        lab_must(&l, lens_run(all, &x, &y));
        for (int p = 0; p < MAP * MAP; p++) {
            /* heat: the probability of the likeliest digit; the last class is "no digit here". */
            double sum = 0;
            int best = 0;
            for (int k = 0; k < CLASSES; k++) sum += exp((double)y.data[k * MAP * MAP + p]);
            for (int k = 1; k < CLASSES - 1; k++)
                if (y.data[k * MAP * MAP + p] > y.data[best * MAP * MAP + p]) best = k;
            heat[i][p] = (float)(exp((double)y.data[best * MAP * MAP + p]) / sum);
            if (p == 0 || heat[i][p] > heat[i][place]) place = p, found = best;
        }
        int top = place / MAP * STEP, left = place % MAP * STEP;
        double found_row = top + (WINDOW - 1) / 2.0, found_column = left + (WINDOW - 1) / 2.0;
        lab_row(&l, "%d,%.1f,%.1f,%d,%.1f,%.1f,%.2f,%.2g", digit, row, column, found, found_row,
                found_column, hypot(row - found_row, column - found_column),
                compare_windows(&l, one, canvas[i], y.data));
        if (i >= SHOWN) continue;
        snprintf(name[i], sizeof name[i], "a %d", digit);
        snprintf(note[i], sizeof note[i], "found a %d, %.0f %%", found,
                 100 * (double)heat[i][place]);
        frame[i] = (lens_figure_mark){ LENS_MARK_FRAME, top, left, WINDOW, WINDOW };
        frame[SHOWN + i] = (lens_figure_mark){ LENS_MARK_FRAME, place / MAP, place % MAP, 1, 1 };
        tile[i] = (lens_figure_tile){ .name = name[i],
                                      .note = note[i],
                                      .picture = { canvas[i], 1, CANVAS, CANVAS, 0, 1 },
                                      .marks = &frame[i],
                                      .mark_count = 1 };
        tile[SHOWN + i] = (lens_figure_tile){ .name = "digit here?",
                                              .picture = { heat[i], 1, MAP, MAP, 0, 0 },
                                              .map = true,
                                              .limit = 1,
                                              .marks = &frame[SHOWN + i],
                                              .mark_count = 1 };
    }
    lens_figure *figure = NULL;
    const lens_figure_opts look = { .title = "A classifier that slides over the picture",
                                    .subtitle = "frame: the best window of 28x28; below: the "
                                                "probability of a digit for 10x10 windows" };
    lab_figure(&l, lens_figure_tiles(l.ctx, &figure, tile, 2 * SHOWN, SHOWN, &look), &figure);
    lens_session_free(all);
    lens_session_free(one);
    lens_net_free(scan);
    lens_net_free(window);
    lens_data_free(data);
    return lab_close(&l);
}
