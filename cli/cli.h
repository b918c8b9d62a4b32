/* cli.h - what the verbs share: their arguments, how they speak and fail, and how they open models
 * and data.
 *
 * Results go to stdout; messages and progress to stderr. With --json stdout is exactly one JSON
 * object, after a failure {"error": {"code": exit status, "status": name, "message": text}}.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "table.h"
#include <jansson.h>
#include <lenslet/data.h>
#include <lenslet/figure.h>
#include <lenslet/net.h>
#include <lenslet/signal.h>
#include <lenslet/train.h>
#include <lenslet/zoo.h>
#include <stdio.h>

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_BAD_INPUT = 3,
    EXIT_DIVERGED = 4,
    EXIT_INTERRUPTED = 130, /* as a shell reports a program ended by Ctrl-C */
};

typedef struct given {
    const option *option;
    const char *value; /* "" for a flag */
} given;

typedef struct cli {
    const verb *verb;
    const char *topic; /* NULL: the verb has none */
    given *given;
    int givens;
    const char **operand;
    int operands;
    char *command; /* the whole line, as it could be typed again */
    bool json, quiet, verbose;
    lens_lang lang;        /* of figures; see choose_lang */
    struct document *page; /* not NULL: a report, which takes figures instead of files */
    bool bar;              /* stderr is a terminal that can redraw a line */
    lens_ctx *ctx;
} cli;

/* ---- arguments (args.c) --------------------------------------------------------------------- */

/* Reads argv[1..] by the table into *cli, whose strings stay those of argv. EXIT_DONE, or the
 * status of a failure that has been told. cli->verb NULL: only common options were given. */
int read_arguments(cli *, int argc, char **argv);
void free_arguments(cli *);
int unknown_verb(cli *, const char *word); /* tells it; EXIT_USAGE */

/* Values of options. The name must be one of the verb's. Numbers have been checked. */
bool has(const cli *, const char *name);
const char *text_of(const cli *, const char *name, const char *fallback);
long long whole_of(const cli *, const char *name, long long fallback);
double real_of(const cli *, const char *name, double fallback);
/* The index-th value of an option that may be given often; NULL: no more. */
const char *nth_of(const cli *, const char *name, int index);

/* "3x28x28" (or "28x28": channels 0). EXIT_USAGE for anything else. */
int read_size(cli *, const char *option_name, const char *text, int *c, int *h, int *w);

/* ---- speaking (say.c) ------------------------------------------------------------------------ */

#if defined(__GNUC__)
#define PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF(text, first)
#endif

/* Tells the failure and returns `status`. */
int fail(cli *, int status, const char *format, ...) PRINTF(3, 4);

/* What the program was doing when the library failed decides what the failure means. */
typedef enum doing {
    NAMING,  /* using what the user named or chose: a mistake is one of usage */
    READING, /* an input file */
    WORKING, /* everything else, saving included */
} doing;
int fail_status(cli *, lens_status, doing what); /* with the library's message */

/* Sets c->lang from --lang, or LC_ALL, LC_MESSAGES, LANG. A figure in a .png is English, which is told
 * where another language was wanted. */
void choose_lang(cli *, const char *path);
/* A text of figures in c->lang. */
#define word(c, english) lens_word((c)->lang, english)

/* A line on stderr; silent with -q. */
void note(const cli *, const char *format, ...) PRINTF(2, 3);

/* Prints the object (and frees it) if --json was given; always EXIT_DONE. */
int emit(cli *, json_t *object);
json_t *json_number(double value); /* null if it is not finite */
json_t *json_text(const char *);   /* bytes that are not UTF-8 become "?" */

/* Zeroed memory that is never NULL: the program ends if there is none, saying so as this cli would. */
void speak_for(const cli *);
void *take(size_t count, size_t size);
char *say_text(const char *format, ...) PRINTF(1, 2); /* from take; free it */

/* A text that becomes a file whole or not at all: print to the stream, then write, which frees it and
 * tells the path. */
typedef struct document {
    FILE *stream;
    char *text;
    size_t size;
} document;
document *document_new(void);
int document_write(cli *, document *, const char *path);
void document_free(document *); /* without writing */

const char *with_commas(int64_t value, char buf[32]);         /* "61,706" */
const char *as_bytes(double bytes, char buf[32]);             /* "1.4 MiB" */
const char *as_time(double seconds, char buf[32]);            /* "4.2 s", "1:42", "1:02:03" */
const char *as_bar(double fraction, int width, char buf[96]); /* "#####" of at most 95 */

/* A table of text on stdout: columns are as wide as their widest cell. `align` has a letter for
 * each column, 'l' or 'r'. Cells are copied. */
typedef struct table table;
table *table_new(const char *align, const char *const *heads);
void table_row(table *, const char *const *cells);
void table_line(table *); /* a rule across */
void table_free(table *);
void table_print(table *); /* and free */

/* ---- models and data (model.c) --------------------------------------------------------------- */

typedef struct model {
    lens_net *net;
    const lens_zoo_entry *entry;  /* NULL: not from the zoo */
    const lens_zoo_entry *recipe; /* of the net of that name, from wherever it came; or NULL */
    bool trained;                 /* has weights */
    lens_node_info input, output;
    int classes;
    char **label;      /* [classes]; "0", "1", ... if the model has no names */
    float *mean, *std; /* [input.c] */
    int resize; /* the shorter side of a picture before the input is cut from its centre; 0: any
                          that covers it */
    lens_interpolation interpolation;
} model;

/* The endings of files that hold tensors: .safetensors and PyTorch's. */
bool names_tensors(const char *path);
bool has_ending(const char *text, const char *end);
/* A net of the zoo (with `opts`), a net text or a model file. */
int open_net(cli *, model *, const char *what, const lens_zoo_opts *opts);
/* The same for an operand, with --input and --classes. */
int open_argument(cli *, model *, const char *what);
/* From the options --model, or --net and --weights with --input and --classes. */
int open_model(cli *, model *);
/* Weights from a file into m->net, as --partial and --replace-head (where the verb has them) allow:
 * what is left out is told, and initialised as `init` says (NULL: the net's own way). */
int load_weights(cli *, model *, const char *path, const char *init);
/* After the weights or words of the net have changed. */
void read_words(model *);
void close_model(model *);

/* What one class got right: of its own pictures (recall), of those taken for it (precision); NaN
 * where there are none. confusion (K,K) as from lens_eval. */
typedef struct class_score {
    int64_t images;
    double recall, precision;
} class_score;
class_score class_score_of(const int64_t *confusion, int classes, int k);

/* `source` NULL is a mistake of usage. --channels, --size, --resize, --interpolation and --skip-bad hold; else a model given
 * decides how pictures are read. */
int open_data(cli *, const char *source, lens_data **, const model *);
lens_split split_of(const cli *);
const char *split_name(lens_split);

/* A picture file as the model's input (C,H,W), not normalised: converted to grey or colour, resized as
 * --resize says and cut at the centre. */
int read_picture(cli *, const model *, const char *path, float *chw);
/* The same with the margin that --crops views are cut from: (1,C,H,W) from take. */
int read_whole(cli *, const model *, const char *path, lens_tensor *whole);
/* chw = (chw - mean) / std, for n pictures. */
void normalise(const model *, float *chw, int n);
/* Probabilities of one row of outputs: softmax, unless the net ends with one. */
void probabilities(const model *, const float *y, float *p);

/* A picture in numbers (C,H,W): 0..255 of a file, or "s80", the built-in ring and cross of 0 and 1.
 * channels 1: grey; 0: as it is. */
typedef struct numbers {
    float *data;
    int c, h, w;
    float white; /* 255 or 1 */
} numbers;
int open_numbers(cli *, numbers *, const char *path, int channels); /* filter.c; free .data */
/* A name, rows of numbers or a file of them. */
int open_kernel(cli *, lens_kernel *, const char *text);
float *apply(const cli *, lens_status *, const numbers *, const lens_kernel *,
             const lens_filter_opts *, int *h, int *w); /* from take; NULL with a failure */
int write_figure(cli *, lens_status, lens_figure *, const char *path); /* ends and frees it */

/* Folder and missing parents; fine if it exists. */
int make_folder(cli *, const char *path);
/* Evenly spread: the i-th of n out of `count`. */
static inline size_t spread(size_t i, size_t n, size_t count) {
    return n ? (size_t)((double)i * (double)count / (double)n) : 0;
}

/* ---- verbs, one file each -------------------------------------------------------------------- */

int run_train(cli *);
int run_eval(cli *);
int run_predict(cli *);
int run_run(cli *);
int run_inspect(cli *);
int run_convert(cli *);
int run_compare(cli *);
int run_bench(cli *);
int run_data(cli *);
int run_plot(cli *);
int run_report(cli *);
int run_filter(cli *);
int run_kernel(cli *);
int run_help(cli *);

/* help.c */
void print_overview(FILE *);
void print_help(const verb *);

#endif
