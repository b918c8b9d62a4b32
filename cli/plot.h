/* plot.h - what the topics of lenslet plot share: the end of a figure, the numbers behind it, and
 * boards of tiles.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PLOT_H
#define CLI_PLOT_H

#include "cli.h"

/* ---- the numbers behind a figure (numbers.c) ------------------------------------------------- */

enum { MAX_ARRAYS = 256, MAX_AXES = 4 };

/* Arrays with names, in the order of the figure. */
typedef struct record {
    struct array {
        char *name;
        int rank, dim[MAX_AXES];
        double *value;
    } array[MAX_ARRAYS];
    int arrays; /* further ones are dropped */
} record;

record *record_new(void);
/* Copies; dims after `rank` are not read. */
void record_floats(record *, const char *name, const float *, int rank, const int *dim);
void record_doubles(record *, const char *name, const double *, int rank, const int *dim);
void record_free(record *); /* NULL is fine */
/* Refuses other endings of --numbers than those below. */
int record_check(cli *);
/* Into the file of --numbers, if it is given: .json, .csv or .npy (one file for each array). */
int record_write(cli *, const record *);

/* ---- the end of a plot (plot.c) -------------------------------------------------------------- */

const char *file_of(const cli *);
/* The options of every figure; `title` unless the user gave one. */
lens_figure_opts figure_opts(const cli *, const char *title);
/* What the maker said, then the figure's file and the numbers'; on c->page, where there is one, the figure
 * alone. Frees both. */
int finish(cli *, lens_status, lens_figure *, record *behind);
int unknown_layer(cli *, const lens_net *, const char *name);
/* One picture as planes in [0,1], from --image, or --data and --index. *name: from take. */
int one_picture(cli *, const model *, float *chw, char **name);
/* A watched session that has run the picture as the model wants it. */
int run_picture(cli *, const model *, const float *chw, lens_session **);

/* ---- figures of a trained net (plot.c) ------------------------------------------------------- */

/* A model and what it says to every picture of --split. */
typedef struct judged {
    model m;
    lens_data *data;
    const lens_data_info *info;
    lens_eval_result result;
    int64_t *confusion; /* (K,K) */
    float *logits;      /* (images,K) */
} judged;

int judge(cli *, judged *); /* free_judged in any case */
void free_judged(judged *);
/* Each draws, and ends with finish. */
int draw_logs(cli *, char **path, int runs); /* the log.csv of 1 to 4 runs */
int draw_arch(cli *, const lens_net *);
int draw_weights(cli *, const lens_net *, const lens_param *);
int draw_maps(cli *, const model *, const float *picture, const char *name, lens_session *);
int draw_confusion(cli *, const judged *);
int draw_errors(cli *, const judged *, size_t most);

/* ---- boards (board.c) ------------------------------------------------------------------------ */

/* Tiles with all they point to; their numbers are the figure's. Start from { 0 }. */
typedef struct board {
    lens_figure_tile tile[64];
    int tiles;
    void **owned;
    int owns, room;
} board;

void *board_own(board *, void *memory); /* to be freed with the board; returns it */
char *board_text(board *, const char *format, ...) PRINTF(2, 3);
/* A map (h,w), copied, with `sign` before it (NULL: none), its cells as large as numbers need where
 * that leaves a page. Names and signs must outlive the board. */
lens_figure_tile *board_map(board *, const char *sign, const char *name, const float *, int h,
                            int w);
lens_figure_tile *board_number(board *, const char *sign, const char *name, double);
void board_empty(board *, int count);
void board_mark(board *, lens_figure_tile *, lens_figure_mark_kind, int row, int column, int h,
                int w);
lens_status board_draw(cli *, const board *, lens_figure **, int columns, const char *title,
                       const char *subtitle);
/* Draws, writes and frees the board and `behind`; NULL: the numbers of its tiles. */
int board_finish(cli *, board *, int columns, const char *title, const char *subtitle,
                 record *behind);
void board_free(board *);

/* ---- topics in files of their own ------------------------------------------------------------ */

int plot_conv(cli *);
int plot_backward(cli *);
int plot_channels(cli *);
int plot_pooling(cli *);
int plot_stages(cli *);
int plot_unit(cli *);
int plot_rf(cli *);
int plot_invariance(cli *);

#endif
