/* lab.h - what the experiments share: their arguments, a net from text, training with its curves, and
 * the figure and the table each of them leaves.
 *
 * An experiment is a program: NAME [--quick] [FOLDER]. It writes NAME.csv, NAME.svg and NAME.png into
 * FOLDER (experiments/) and prints the table. --quick is the same experiment small enough for a test.
 * Every failure ends the program with the library's message, so that the experiments read as their idea.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef EXPERIMENTS_LAB_H
#define EXPERIMENTS_LAB_H

#include <lenslet.h>
#include <stdio.h>

typedef struct lab {
    lens_ctx *ctx;
    const char *name, *folder;
    bool quick;
    FILE *csv;
} lab;

lab lab_open(int argc, char **argv, const char *name);
int lab_close(lab *); /* 0: the exit status */
void lab_must(lab *, lens_status);

/* A finished net from net text (docs/net-text.md), composed as printf does. */
lens_net *lab_net(lab *, const char *format, ...);

/* Fashion-MNIST where it is installed (Debian: dataset-fashion-mnist); else, and with --quick, drawn
 * digits, moved. Both have ten classes of 1x28x28. */
lens_data *lab_pictures(lab *);

/* Ten digits drawn with strokes, a little turned, scaled and bent, as IDX files in a folder of FOLDER:
 * 1x28x28, 6,000 + 2,000 pictures, with --quick 1,000 + 300. CENTRED; MOVED by up to five pixels; or
 * WINDOWS, off by up to two pixels, with an eleventh class of what lies between digits: nothing, and
 * digits more than nine pixels off. */
typedef enum lab_place { LAB_CENTRED, LAB_MOVED, LAB_WINDOWS } lab_place;
lens_data *lab_digits(lab *, lab_place);

/* Adds one digit to a canvas (h,w) of 0..1, ink on ink the darker: its centre at (row, column), `size`
 * pixels high, turned by `angle` degrees clockwise, with irregularities from `seed`. */
void lab_draw_digit(float *canvas, int h, int w, int digit, double row, double column, double size,
                    double angle, uint64_t seed);

/* lens_train, with the figures of every epoch kept. */
enum { LAB_EPOCHS = 64 };
typedef struct lab_run {
    lens_train_result result;
    int epochs;
    double train_loss[LAB_EPOCHS], train_accuracy[LAB_EPOCHS];
    double test_loss[LAB_EPOCHS], test_accuracy[LAB_EPOCHS];
} lab_run;
lab_run lab_train(lab *, lens_net *, lens_data *, lens_train_opts);

/* Training by hand, with the weights the net has: the loss of every step, over pictures as they are in
 * [0,1]. `change` may alter a batch before it is used; `after` is called after every update. */
typedef struct lab_steps_opts {
    int epochs, batch;
    double rate, momentum;
    void (*change)(void *user, const lens_batch *, uint32_t step);
    void (*after)(void *user, uint32_t step, double loss);
    void *user;
} lab_steps_opts;
void lab_steps(lab *, lens_net *, lens_data *, lab_steps_opts);

/* A line of the table, with its newline added; the first line is its heads. */
void lab_row(lab *, const char *format, ...);

/* Writes NAME.svg and NAME.png and frees the figure that was `made`. */
void lab_figure(lab *, lens_status made, lens_figure **);

/* The same of curves; subtitle may be NULL. */
void lab_curves(lab *, const char *title, const char *subtitle, const char *x_name,
                const lens_figure_panel *panels, int count);

#endif
