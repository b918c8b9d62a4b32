/* args.c - reads the command line by the table.
 *
 * Options and operands may be mixed; "--" ends the options. Values are checked here, so that verbs
 * meet only numbers in range and words of the list.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 64 };

/* ", did you mean ...?" for the nearest of the names, or nothing. Free it. */
static char *suggestion(const char *word, const char *const *names, size_t count,
                        const char *dashes) {
    const char *near = lens_nearest(word, names, count);
    return near ? say_text("; did you mean \"%s%s\"?", dashes, near) : say_text("%s", "");
}

int unknown_verb(cli *c, const char *word) {
    const char *names[MAX_WORDS];
    size_t count = 0;
    for (const verb *v = verbs; v->name; v++) names[count++] = v->name;
    char *hint = suggestion(word, names, count, "");
    int status =
        fail(c, EXIT_USAGE, "there is no verb \"%s\"%s (lenslet --help lists them)", word, hint);
    free(hint);
    return status;
}

static int unknown_option(cli *c, const char *name) {
    const char *names[MAX_WORDS];
    size_t count = 0;
    int group = 0, index = 0;
    for (const option *o; (o = next_option(c->verb, &group, &index)) && count < MAX_WORDS;)
        names[count++] = o->name;
    char *hint = suggestion(name, names, count, "--");
    int status = fail(c, EXIT_USAGE, "%s%sthere is no option \"--%s\"%s",
                      c->verb ? c->verb->name : "", c->verb ? ": " : "", name, hint);
    free(hint);
    return status;
}

static int find_topic(cli *c, const char *word) {
    const char *names[MAX_WORDS];
    size_t count = 0;
    for (const topic *t = c->verb->topics; t->name; t++) {
        if (!strcmp(t->name, word)) {
            c->topic = t->name;
            return EXIT_DONE;
        }
        names[count++] = t->name;
    }
    char *hint = suggestion(word, names, count, "");
    int status = fail(c, EXIT_USAGE, "%s: there is no topic \"%s\"%s", c->verb->name, word, hint);
    free(hint);
    return status;
}

/* Whole text as a number; blanks, hexadecimal, infinities and NaN are not numbers here. */
static bool parse_number(const char *text, bool whole, double *value) {
    if (!*text || text[strspn(text, whole ? "+-0123456789" : "+-.0123456789eE")]) return false;
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value);
}

static int check_word(cli *c, const option *o, const char *value) {
    char *copy = say_text("%s", o->words), *rest = copy;
    const char *words[MAX_WORDS];
    size_t count = 0;
    bool found = false;
    for (char *word; (word = strsep(&rest, " "));) {
        if (!strcmp(word, value)) found = true;
        words[count++] = word;
    }
    int status = EXIT_DONE;
    if (!found) {
        char *hint = suggestion(value, words, count, "");
        status = fail(c, EXIT_USAGE, "--%s is \"%s\"; one of these is expected: %s%s", o->name,
                      value, o->words, hint);
        free(hint);
    }
    free(copy);
    return status;
}

static int check_value(cli *c, const option *o, const char *value) {
    double number;
    switch (o->type) {
    case FLAG:
    case TEXT: break;
    case WORD: return check_word(c, o, value);
    case WHOLE:
        if (!parse_number(value, true, &number) || number < o->low || number > o->high)
            return fail(c, EXIT_USAGE,
                        "--%s is \"%s\"; a whole number from %.0f to %.0f is expected", o->name,
                        value, o->low, o->high);
        break;
    case REAL:
        if (!parse_number(value, false, &number) || number < o->low || number > o->high)
            return fail(c, EXIT_USAGE, "--%s is \"%s\"; a number from %g to %g is expected",
                        o->name, value, o->low, o->high);
        break;
    }
    if (o->type == TEXT && !*value) return fail(c, EXIT_USAGE, "--%s is empty", o->name);
    return EXIT_DONE;
}

static int add(cli *c, const option *o, const char *value) {
    int status = check_value(c, o, value);
    if (status) return status;
    if (!o->many && has(c, o->name) && o->type != FLAG)
        return fail(c, EXIT_USAGE, "--%s is given twice", o->name);
    c->given[c->givens++] = (given){ o, value };
    return EXIT_DONE;
}

/* --name, --name=value, --name value. */
static int long_option(cli *c, int *i, int argc, char **argv) {
    const char *word = argv[*i] + 2, *equals = strchr(word, '=');
    char *name = equals ? say_text("%.*s", (int)(equals - word), word) : say_text("%s", word);
    const option *o = find_option(c->verb, name, 0);
    int status;
    if (!o)
        status = unknown_option(c, name);
    else if (o->type == FLAG)
        status = equals ? fail(c, EXIT_USAGE, "--%s takes no value", o->name) : add(c, o, "");
    else if (equals)
        status = add(c, o, equals + 1);
    else if (*i + 1 < argc)
        status = add(c, o, argv[++*i]);
    else
        status = fail(c, EXIT_USAGE, "--%s wants a value: --%s %s", o->name, o->name, o->value);
    free(name);
    return status;
}

/* -q, -qv, -o value, -ovalue. */
static int short_options(cli *c, int *i, int argc, char **argv) {
    for (const char *letter = argv[*i] + 1; *letter; letter++) {
        const option *o = find_option(c->verb, NULL, *letter);
        int status;
        if (!o) return fail(c, EXIT_USAGE, "there is no option \"-%c\"", *letter);
        if (o->type == FLAG) {
            status = add(c, o, "");
            if (status) return status;
            continue;
        }
        if (letter[1]) return add(c, o, letter + 1);
        if (*i + 1 < argc) return add(c, o, argv[++*i]);
        return fail(c, EXIT_USAGE, "-%c wants a value: -%c %s", *letter, *letter, o->value);
    }
    return EXIT_DONE;
}

static int operand(cli *c, const char *word) {
    if (!c->verb) {
        c->verb = find_verb(word);
        return c->verb ? EXIT_DONE : unknown_verb(c, word);
    }
    if (c->verb->topics && !c->topic) return find_topic(c, word);
    c->operand[c->operands++] = word;
    return EXIT_DONE;
}

static int count_operands(cli *c) {
    const verb *v = c->verb;
    if (v->topics && !c->topic)
        return fail(c, EXIT_USAGE, "%s wants a topic: lenslet %s %s", v->name, v->name,
                    v->arguments);
    if (c->operands < v->fewest)
        return fail(c, EXIT_USAGE, "%s wants more: lenslet %s %s", v->name, v->name, v->arguments);
    if (v->most >= 0 && c->operands > v->most)
        return fail(c, EXIT_USAGE, "%s has no use for \"%s\": lenslet %s %s", v->name,
                    c->operand[v->most], v->name, v->arguments);
    return EXIT_DONE;
}

/* The line as a shell would take it again. */
static char *join(int argc, char **argv) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./=:,+@%";
    char *line = say_text("lenslet");
    for (int i = 1; i < argc; i++) {
        bool quote = !*argv[i] || argv[i][strspn(argv[i], plain)];
        char *longer = say_text(quote ? "%s '%s'" : "%s %s", line, argv[i]);
        free(line);
        line = longer;
    }
    return line;
}

int read_arguments(cli *c, int argc, char **argv) {
    bool options = true;
    size_t letters = 0; /* -qvqv: one word may be many flags */
    for (int i = 1; i < argc; i++) letters += strlen(argv[i]);
    c->given = take(letters, sizeof *c->given);
    c->operand = take((size_t)argc, sizeof *c->operand);
    c->command = join(argc, argv);
    for (int i = 1; i < argc; i++) /* known early, so that a failure can speak JSON */
        if (!strcmp(argv[i], "--json")) c->json = true;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        int status;
        if (options && !strcmp(word, "--")) {
            options = false;
            continue;
        }
        if (options && word[0] == '-' && word[1] == '-')
            status = long_option(c, &i, argc, argv);
        else if (options && word[0] == '-' && word[1])
            status = short_options(c, &i, argc, argv);
        else
            status = operand(c, word);
        if (status) return status;
    }
    c->json = has(c, "json");
    c->quiet = has(c, "quiet");
    c->verbose = has(c, "verbose");
    if (!c->verb || has(c, "help") || has(c, "version")) return EXIT_DONE;
    return count_operands(c);
}

void free_arguments(cli *c) {
    free(c->given);
    free(c->operand);
    free(c->command);
}

const char *nth_of(const cli *c, const char *name, int index) {
    assert(find_option(c->verb, name, 0));
    for (int i = 0; i < c->givens; i++)
        if (!strcmp(c->given[i].option->name, name) && index-- == 0) return c->given[i].value;
    return NULL;
}

bool has(const cli *c, const char *name) { return nth_of(c, name, 0) != NULL; }

const char *text_of(const cli *c, const char *name, const char *fallback) {
    const char *value = nth_of(c, name, 0);
    return value ? value : fallback;
}

long long whole_of(const cli *c, const char *name, long long fallback) {
    const char *value = nth_of(c, name, 0);
    return value ? strtoll(value, NULL, 10) : fallback;
}

double real_of(const cli *c, const char *name, double fallback) {
    const char *value = nth_of(c, name, 0);
    return value ? strtod(value, NULL) : fallback;
}

int read_size(cli *c, const char *option_name, const char *text, int *channels, int *h, int *w) {
    int part[3], parts = 0;
    const char *at = text;
    for (; parts < 3 && isdigit((unsigned char)*at); parts++) {
        char *end;
        long value = strtol(at, &end, 10);
        if (value < 1 || value > 65535) break;
        part[parts] = (int)value;
        at = end;
        if (*at != 'x') {
            parts++;
            break;
        }
        at++;
    }
    if (*at || parts < 2 || at[-1] == 'x')
        return fail(c, EXIT_USAGE,
                    "--%s is \"%s\"; a size like 28x28 or 1x28x28 is expected, each side from 1 to "
                    "65535",
                    option_name, text);
    *channels = parts == 3 ? part[0] : 0;
    *h = part[parts - 2];
    *w = part[parts - 1];
    return EXIT_DONE;
}
