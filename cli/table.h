/* table.h - one table of verbs and options, from which parsing, --help, the man page, shell
 * completion and "did you mean" all come.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum option_type {
    FLAG,  /* takes no value */
    TEXT,  /* any text; `words` are only hints for completion */
    WORD,  /* one of `words` */
    WHOLE, /* a whole number in low..high */
    REAL,  /* a number in low..high */
} option_type;

typedef struct option {
    const char *name; /* without the dashes; NULL ends a group */
    char letter;      /* short form, 0 = none */
    option_type type;
    const char *value; /* how help calls the value: "FILE" */
    double low, high;
    const char *words;    /* separated by blanks */
    const char *fallback; /* what holds when it is not given, for help; NULL: nothing to say */
    const char *help;
    bool many; /* may be given more than once */
} option;

/* A second word after the verb: "data list". */
typedef struct topic {
    const char *name, *arguments, *what;
} topic;

struct cli;

enum { MAX_GROUPS = 5 };

typedef struct verb {
    const char *name;
    const char *arguments;            /* of the usage line */
    const char *what;                 /* one line */
    const char *more;                 /* what else help must say; may be NULL */
    const char *examples;             /* lines */
    const topic *topics;              /* ended by a NULL name; NULL: none */
    int fewest, most;                 /* operands, the topic not counted; most -1: any number */
    const option *groups[MAX_GROUPS]; /* ended by NULL; the common ones come last by themselves */
    int (*run)(struct cli *);         /* the exit status */
} verb;

extern const verb verbs[]; /* ended by a NULL name */
extern const option common_options[];

const verb *find_verb(const char *name);

/* The option of that name (or letter, when name is NULL), own or common; NULL: none. */
const option *find_option(const verb *, const char *name, char letter);

/* All options of a verb in order, one at a time: start with *group = 0, *index = 0; NULL ends. */
const option *next_option(const verb *, int *group, int *index);

#endif
