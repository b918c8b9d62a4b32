/* say.c - everything the program says: failures, notes, JSON, numbers for people, tables.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const cli *speaker; /* for the one failure that meets no cli on its way */

void speak_for(const cli *c) { speaker = c; }

void choose_lang(cli *c, const char *path) {
    static const char *const variables[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
    const char *lang = text_of(c, "lang", NULL);
    for (int i = 0; i < 3 && !lang; i++) {
        lang = getenv(variables[i]);
        if (lang && !*lang) lang = NULL;
    }
    c->lang = lang && !strncmp(lang, "zh", 2) ? LENS_LANG_ZH : LENS_LANG_EN;
    if (c->lang == LENS_LANG_EN || !has_ending(path, ".png")) return;
    c->lang = LENS_LANG_EN;
    note(c, "lenslet: note: PNG figures are English; write .svg for Chinese");
}

static void out_of_memory(size_t count, size_t size) {
    fprintf(stderr, "lenslet: out of memory: %zu elements of %zu bytes\n", count, size);
    if (speaker && speaker->json)
        printf("{\"error\": {\"code\": %d, \"status\": \"LENS_NOMEM\", \"message\": \"out of "
               "memory: %zu elements of %zu bytes\"}}\n",
               EXIT_FAILED, count, size);
    exit(EXIT_FAILED);
}

void *take(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) out_of_memory(count, size);
    return memory;
}

static char *format_args(const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    size_t size = length < 0 ? 1 : (size_t)length + 1;
    char *text = take(size, 1);
    vsnprintf(text, size, format, again);
    va_end(again);
    return text;
}

char *say_text(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = format_args(format, args);
    va_end(args);
    return text;
}

static int tell_failure(cli *c, int status, const char *name, const char *text) {
    fprintf(stderr, "lenslet: %s\n", text);
    if (c->json) {
        emit(c, json_pack("{s:{s:i,s:s,s:o}}", "error", "code", status, "status", name, "message",
                          json_text(text)));
        c->json = false; /* one object, whatever comes */
    }
    return status;
}

int fail(cli *c, int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = format_args(format, args);
    va_end(args);
    const char *name = status == EXIT_USAGE       ? "usage"
                       : status == EXIT_BAD_INPUT ? lens_status_name(LENS_BAD_FILE)
                                                  : "failed";
    tell_failure(c, status, name, text);
    free(text);
    return status;
}

static int exit_status_of(lens_status status, doing what) {
    switch (status) {
    case LENS_OK: return EXIT_DONE;
    case LENS_NOMEM: return EXIT_FAILED;
    case LENS_DIVERGED: return EXIT_DIVERGED;
    case LENS_INTERRUPTED: return EXIT_INTERRUPTED;
    case LENS_BAD_FILE: return EXIT_BAD_INPUT;
    case LENS_BAD_ARG:
    case LENS_NOT_FOUND:
    case LENS_BAD_SHAPE: return what == READING ? EXIT_BAD_INPUT : EXIT_USAGE;
    case LENS_IO:
    case LENS_UNSUPPORTED: return what == READING ? EXIT_BAD_INPUT : EXIT_FAILED;
    }
    return EXIT_FAILED;
}

int fail_status(cli *c, lens_status status, doing what) {
    return tell_failure(c, exit_status_of(status, what), lens_status_name(status),
                        lens_why(c->ctx));
}

void note(const cli *c, const char *format, ...) {
    if (c->quiet) return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int emit(cli *c, json_t *object) {
    if (c->json) {
        json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
        putchar('\n');
    }
    json_decref(object);
    return EXIT_DONE;
}

json_t *json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

json_t *json_text(const char *text) {
    json_t *exact = json_string(text);
    if (exact) return exact;
    char *plain = say_text("%s", text);
    for (char *at = plain; *at; at++)
        if ((unsigned char)*at >= 0x80) *at = '?';
    json_t *string = json_string(plain);
    free(plain);
    return string;
}

const char *with_commas(int64_t value, char buf[32]) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value), put = 0;
    for (int i = 0; i < length; i++) {
        buf[put++] = digits[i];
        int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-') buf[put++] = ',';
    }
    buf[put] = 0;
    return buf;
}

const char *as_bytes(double bytes, char buf[32]) {
    static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    int power = 0;
    for (; bytes >= 1024 && power < 4; power++) bytes /= 1024;
    snprintf(buf, 32, power ? "%.1f %s" : "%.0f %s", bytes, unit[power]);
    return buf;
}

const char *as_time(double seconds, char buf[32]) {
    if (!(seconds >= 0 && seconds < 3.6e8)) return "?";
    long s = lround(seconds);
    if (seconds < 59.95)
        snprintf(buf, 32, "%.1f s", seconds);
    else if (s >= 3600)
        snprintf(buf, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, 32, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

const char *as_bar(double fraction, int width, char buf[96]) {
    if (!(fraction > 0)) fraction = 0;
    int full = (int)lround(fraction * width);
    if (full > width) full = width;
    memset(buf, '#', (size_t)full);
    buf[full] = 0;
    return buf;
}

/* ---- tables ---- */

enum { MAX_COLUMNS = 12 };

struct table {
    char align[MAX_COLUMNS + 1];
    int columns;
    char **cell; /* [rows][columns]; a row whose first cell is NULL is a rule */
    size_t rows, room;
};

/* Columns a text takes on a terminal: East Asian letters take two, combining ones are rare in
 * names and count as one. */
static int text_width(const char *text) {
    int width = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if ((*at & 0xC0) == 0x80) continue;
        bool wide = *at >= 0xE3 && *at <= 0xED; /* U+3000 to U+DFFF: kana, han, hangul */
        width += wide ? 2 : 1;
    }
    return width;
}

static char **new_row(table *t) {
    if (t->rows == t->room) {
        size_t room = t->room ? 2 * t->room : 32;
        char **cell = take(room * (size_t)t->columns, sizeof *cell);
        if (t->rows) memcpy(cell, t->cell, t->rows * (size_t)t->columns * sizeof *cell);
        free(t->cell);
        t->cell = cell;
        t->room = room;
    }
    return t->cell + t->rows++ * (size_t)t->columns;
}

table *table_new(const char *align, const char *const *heads) {
    table *t = take(1, sizeof *t);
    snprintf(t->align, sizeof t->align, "%s", align);
    t->columns = (int)strlen(t->align);
    if (heads) {
        table_row(t, heads);
        table_line(t);
    }
    return t;
}

void table_row(table *t, const char *const *cells) {
    char **row = new_row(t);
    for (int i = 0; i < t->columns; i++) row[i] = say_text("%s", cells[i]);
}

void table_line(table *t) { new_row(t)[0] = NULL; }

void table_free(table *t) {
    for (size_t i = 0; i < t->rows * (size_t)t->columns; i++) free(t->cell[i]);
    free(t->cell);
    free(t);
}

void table_print(table *t) {
    int width[MAX_COLUMNS] = { 0 }, total = 0;
    for (size_t r = 0; r < t->rows; r++)
        for (int i = 0; i < t->columns && t->cell[r * (size_t)t->columns]; i++) {
            int cell = text_width(t->cell[r * (size_t)t->columns + (size_t)i]);
            if (cell > width[i]) width[i] = cell;
        }
    for (int i = 0; i < t->columns; i++) total += width[i] + (i ? 2 : 0);
    for (size_t r = 0; r < t->rows; r++) {
        char **row = t->cell + r * (size_t)t->columns;
        if (!row[0]) {
            for (int i = 0; i < total; i++) putchar('-');
            putchar('\n');
            continue;
        }
        int blanks = 0; /* held back, so that no line ends in them */
        for (int i = 0; i < t->columns; i++) {
            int pad = width[i] - text_width(row[i]);
            bool right = t->align[i] == 'r';
            blanks += (i ? 2 : 0) + (right ? pad : 0);
            if (*row[i]) {
                printf("%*s%s", blanks, "", row[i]);
                blanks = 0;
            }
            if (!right) blanks += pad;
        }
        putchar('\n');
    }
    table_free(t);
}

document *document_new(void) {
    document *d = take(1, sizeof *d);
    d->stream = open_memstream(&d->text, &d->size);
    if (!d->stream) out_of_memory(1, BUFSIZ);
    return d;
}

void document_free(document *d) {
    fclose(d->stream);
    free(d->text);
    free(d);
}

int document_write(cli *c, document *d, const char *path) {
    if (fclose(d->stream) != 0) out_of_memory(d->size, 1);
    lens_status status = lens_file_write(c->ctx, path, d->text, d->size);
    free(d->text);
    free(d);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    note(c, "%s", path);
    return EXIT_DONE;
}
