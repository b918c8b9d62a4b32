/* help.c - help, the manual page and shell completion, all written from the table.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 80, INDENT = 26 };

/* Words of `text` in lines of WIDTH columns; the first starts at column `at`, the others at
 * `indent`. */
static void wrap(FILE *out, const char *text, int at, int indent) {
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (at > indent && at + 1 + length > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", length, text);
        at += length;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_examples(FILE *out, const char *lines) {
    while (*lines) {
        int length = (int)strcspn(lines, "\n");
        fprintf(out, "  %.*s\n", length, lines);
        lines += length + (lines[length] == '\n');
    }
}

static void print_option(const option *o) {
    int at = o->letter ? printf("  -%c, ", o->letter) : printf("      ");
    at += printf("--%s", o->name);
    if (o->type != FLAG) at += printf(" %s", o->value);
    if (at > INDENT - 2) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", INDENT - at, "");
    char *text = o->fallback ? say_text("%s [%s]", o->help, o->fallback) : say_text("%s", o->help);
    wrap(stdout, text, INDENT, INDENT);
    free(text);
}

void print_help(const verb *v) {
    printf("lenslet %s - %s\n\nExamples\n", v->name, v->what);
    print_examples(stdout, v->examples);
    printf("\nUsage\n  lenslet %s %s\n", v->name, v->arguments);
    if (v->topics) {
        printf("\nTopics\n");
        for (const topic *t = v->topics; t->name; t++) {
            int at = printf("  %s%s%s", t->name, *t->arguments ? " " : "", t->arguments);
            printf("%*s%s\n", at < INDENT ? INDENT - at : 1, "", t->what);
        }
    }
    if (v->more) {
        putchar('\n');
        wrap(stdout, v->more, 0, 0);
    }
    printf("\nOptions\n");
    int group = 0, index = 0;
    bool common = false;
    for (const option *o; (o = next_option(v, &group, &index));) {
        if (group == MAX_GROUPS && !common) {
            printf("\nEverywhere\n");
            common = true;
        }
        print_option(o);
    }
}

void print_overview(FILE *out) {
    fprintf(out, "lenslet - convolutional networks that you can see through\n\nExamples\n");
    print_examples(out, "lenslet train --net lenet5 --data fashion-mnist --out runs/first\n"
                        "lenslet predict --model runs/first/model.safetensors boot.png\n"
                        "lenslet plot maps -m runs/first/model.safetensors --image boot.png -o "
                        "maps.svg");
    fprintf(out, "\nUsage\n  lenslet VERB [arguments] [options]\n\nVerbs\n");
    for (const verb *v = verbs; v->name; v++) fprintf(out, "  %-9s %s\n", v->name, v->what);
    fprintf(out, "\nlenslet VERB --help says more. Exit status: 0 done, 1 failed, 2 usage, 3 bad "
                 "input\nfile, 4 training diverged, 130 interrupted (the state is saved first).\n");
}

/* ---- manual page ---- */

/* Backslashes and hyphens mean something to roff, and so does a dot that starts a line. */
static void roff(const char *text) {
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        start = *text == '\n';
    }
}

static void man_option(const option *o) {
    printf(".TP\n.B ");
    if (o->letter) printf("\\-%c, ", o->letter);
    fputs("\\-\\-", stdout);
    roff(o->name);
    if (o->type != FLAG) {
        fputs("\\fR ", stdout);
        roff(o->value);
    }
    putchar('\n');
    roff(o->help);
    if (o->fallback) {
        fputs(" [", stdout);
        roff(o->fallback);
        putchar(']');
    }
    putchar('\n');
}

static void man_verb(const verb *v) {
    printf(".SS lenslet %s ", v->name);
    roff(v->arguments);
    putchar('\n');
    printf("%c", toupper((unsigned char)v->what[0]));
    roff(v->what + 1);
    printf(".\n");
    if (v->more) {
        printf(".PP\n");
        roff(v->more);
        putchar('\n');
    }
    for (const topic *t = v->topics; t && t->name; t++) {
        printf(".TP\n.B %s", t->name);
        fputs("\\fR ", stdout);
        roff(t->arguments);
        putchar('\n');
        roff(t->what);
        putchar('\n');
    }
    int group = 0, index = 0;
    for (const option *o; (o = next_option(v, &group, &index)) && group < MAX_GROUPS;)
        man_option(o);
    printf(".PP\nExamples:\n.PP\n.nf\n");
    roff(v->examples);
    printf("\n.fi\n");
}

static void print_man(void) {
    printf(
        ".TH LENSLET 1 \"\" \"lenslet %s\"\n.SH NAME\nlenslet \\- convolutional networks that you "
        "can see through\n.SH SYNOPSIS\n.B lenslet\n.I VERB\n[arguments] [options]\n",
        lens_version());
    printf(".SH VERBS\n");
    for (const verb *v = verbs; v->name; v++) man_verb(v);
    printf(".SH OPTIONS OF EVERY VERB\n");
    for (const option *o = common_options; o->name; o++) man_option(o);
    printf(
        ".SH OUTPUT\nResults go to standard output, messages and progress to standard error. With "
        "\\-\\-json standard output is exactly one JSON object, also after a failure: "
        "{\"error\": {\"code\": 3, \"status\": \"LENS_BAD_FILE\", \"message\": \"...\"}}.\n");
    printf(
        ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nfailed\n.TP\n2\nusage: an unknown name or option, a "
        "value out of range, a net and data that do not fit\n.TP\n3\nan input file is missing or "
        "bad\n.TP\n4\ntraining diverged (not a number)\n.TP\n130\ninterrupted; the state was "
        "saved first\n");
    printf(
        ".SH ENVIRONMENT\n.TP\n.B LENSLET_THREADS\nthreads where \\-\\-threads is not given\n.TP\n"
        ".B LENSLET_CPUS\nthreads that work at a time at most; without it, the CPUs that the process may "
        "use\n.TP\n"
        ".B LENSLET_ISA\nscalar, avx2 or avx512: the highest instruction set to use\n.TP\n"
        ".B LENSLET_DATA\nfolder of data sets by name\n.TP\n.B NO_COLOR\nhas no effect: there is "
        "no colour\n");
}

/* ---- completion ---- */

static void words_of_options(const verb *v, const char *format_of_name) {
    int group = 0, index = 0;
    for (const option *o; (o = next_option(v, &group, &index));) printf(format_of_name, o->name);
}

static void print_bash(void) {
    printf("_lenslet() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=\n"
           "    (( COMP_CWORD > 1 )) && verb=${COMP_WORDS[1]}\n"
           "    local words= values=\n"
           "    case $verb in\n");
    for (const verb *v = verbs; v->name; v++) {
        printf("    %s)\n        words='", v->name);
        for (const topic *t = v->topics; t && t->name; t++) printf("%s ", t->name);
        words_of_options(v, "--%s ");
        printf("'\n        case $prev in\n");
        int group = 0, index = 0;
        for (const option *o; (o = next_option(v, &group, &index));)
            if (o->words) printf("        --%s) values='%s' ;;\n", o->name, o->words);
        printf("        esac ;;\n");
    }
    printf("    *) words='");
    for (const verb *v = verbs; v->name; v++) printf("%s ", v->name);
    printf("--help --version' ;;\n"
           "    esac\n"
           "    if [[ $values ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$cur\"; compgen -f -- "
           "\"$cur\")\n"
           "    elif [[ $cur == -* || -z $verb || ( $COMP_CWORD == 2 && $words != -* ) ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
           "    else\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _lenslet lenslet\n");
}

/* Single quotes end a quoted word of zsh; colons and brackets end a part of a spec. */
static void print_plain(const char *text) {
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(":[]", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void print_zsh(void) {
    printf("#compdef lenslet\n_lenslet_word_or_file() {\n    compadd \"$@\"\n    _files\n}\n"
           "_lenslet() {\n    local -a verbs=(\n");
    for (const verb *v = verbs; v->name; v++) {
        printf("        '%s:", v->name);
        print_plain(v->what);
        printf("'\n");
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe verb verbs\n        return\n"
           "    fi\n    case $words[2] in\n");
    for (const verb *v = verbs; v->name; v++) {
        printf("    %s) _arguments -S", v->name);
        int group = 0, index = 0;
        for (const option *o; (o = next_option(v, &group, &index));) {
            printf(" \\\n        '%s--%s%s[", o->many ? "*" : "", o->name,
                   o->type == FLAG ? "" : "=");
            print_plain(o->help);
            fputs("]", stdout);
            if (o->type != FLAG) {
                putchar(':');
                print_plain(o->value);
                putchar(':');
                if (o->words && o->type == TEXT) {
                    fputs(" _lenslet_word_or_file ", stdout);
                    print_plain(o->words);
                } else if (o->words) {
                    putchar('(');
                    print_plain(o->words);
                    putchar(')');
                } else if (o->type == TEXT) {
                    fputs("_files", stdout);
                }
            }
            putchar('\'');
        }
        if (v->topics) {
            fputs(" \\\n        '2:topic:(", stdout);
            for (const topic *t = v->topics; t->name; t++) printf("%s ", t->name);
            fputs(")'", stdout);
        }
        fputs(" \\\n        '*:file:_files' ;;\n", stdout);
    }
    /* Autoloaded from a folder of $fpath, the file is the function; sourced, it defines one. */
    printf("    esac\n}\n"
           "if [[ $funcstack[1] == _lenslet ]]; then\n    _lenslet \"$@\"\n"
           "else\n    compdef _lenslet lenslet\nfi\n");
}

/* Between single quotes fish knows these two escapes. */
static void print_fish_text(const char *text) {
    putchar('\'');
    for (; *text; text++) {
        if (strchr("\\'", *text)) putchar('\\');
        putchar(*text);
    }
    fputs("'\n", stdout);
}

static void print_fish(void) {
    printf("function __lenslet_verb\n"
           "    set -l words (commandline -opc)\n"
           "    test (count $words) -ge 2; and test $words[2] = $argv[1]\n"
           "end\n"
           "function __lenslet_words\n"
           "    test (count (commandline -opc)) -eq $argv[1]\n"
           "end\n"
           "complete -c lenslet -n '__lenslet_words 1' -f\n");
    for (const verb *v = verbs; v->name; v++) {
        printf("complete -c lenslet -n '__lenslet_words 1' -a %s -d ", v->name);
        print_fish_text(v->what);
        for (const topic *t = v->topics; t && t->name; t++) {
            printf("complete -c lenslet -n '__lenslet_verb %s; and __lenslet_words 2' -f -a %s -d ",
                   v->name, t->name);
            print_fish_text(t->what);
        }
        int group = 0, index = 0;
        for (const option *o; (o = next_option(v, &group, &index));) {
            printf("complete -c lenslet -n '__lenslet_verb %s' -l %s", v->name, o->name);
            if (o->letter) printf(" -s %c", o->letter);
            if (o->type != FLAG) printf(o->type == TEXT ? " -r" : " -x"); /* -x: no files */
            if (o->words) printf(" -a '%s'", o->words);
            fputs(" -d ", stdout);
            print_fish_text(o->help);
        }
    }
}

int run_help(cli *c) {
    const char *shell = text_of(c, "completion", NULL);
    if (shell && !strcmp(shell, "bash")) {
        print_bash();
    } else if (shell && !strcmp(shell, "zsh")) {
        print_zsh();
    } else if (shell) {
        print_fish();
    } else if (has(c, "man")) {
        print_man();
    } else if (c->operands) {
        const verb *v = find_verb(c->operand[0]);
        if (!v) return unknown_verb(c, c->operand[0]);
        print_help(v);
    } else {
        print_overview(stdout);
    }
    return EXIT_DONE;
}
