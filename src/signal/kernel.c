/* kernel.c - the catalogue of kernels, and kernels as text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "signal/signal.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { KERNEL_TEXT = 64 << 10, WORD_BYTES = 64 };

static const lens_kernel_entry catalogue[] = {
    { "sharpness", "course", "0 -1 0/-1 5 -1/0 -1 0", 1,
      "raises a pixel above its four neighbours" },
    { "vertical-edge", "course", "0 0 0/-1 2 -1/0 0 0", 1,
      "second difference along a row: a pair of lines at a vertical edge" },
    { "surround", "course", "1 1 1/1 -9 1/1 1 1", 1,
      "outlines; the gain is -1, so areas come out negative" },
    { "sobel-y", "course", "-1 -2 -1/0 0 0/1 2 1", 1,
      "difference down a column, smoothed along the row: horizontal edges" },
    { "nothing", "course", "0 0 0/0 1 0/0 0 0", 1, "the picture itself" },
    { "horizontal-edge", "course", "0 -1 0/0 2 0/0 -1 0", 1,
      "second difference down a column: a pair of lines at a horizontal edge" },
    { "blur", "course", "11 11 11/11 11 11/11 11 11", 100,
      "nearly the mean of nine; the gain is 0.99, so it darkens by 1 %" },
    { "sobel-x", "course", "-1 0 1/-2 0 2/-1 0 1", 1,
      "difference along a row, smoothed down the column: vertical edges" },
    { "embossing", "course", "2 0 0/0 -1 0/0 0 -1", 1, "relief lit from the upper left" },
    { "identity", "table", "0 0 0/0 1 0/0 0 0", 1, "the picture itself" },
    { "edge-1", "table", "1 0 -1/0 0 0/-1 0 1", 1,
      "mixed second difference: corners, slanted edges" },
    { "edge-2", "table", "0 1 0/1 -4 1/0 1 0", 1, "Laplacian of four neighbours" },
    { "edge-3", "table", "-1 -1 -1/-1 8 -1/-1 -1 -1", 1, "Laplacian of eight neighbours, negated" },
    { "sharpen", "table", "0 -1 0/-1 5 -1/0 -1 0", 1, "the same as sharpness" },
    { "box-blur", "table", "1 1 1/1 1 1/1 1 1", 9, "the mean of nine" },
    { "gaussian-blur", "table", "1 2 1/2 4 2/1 2 1", 16, "binomial weights" },
    { "smooth-8", "classic", "1 1 1/1 0 1/1 1 1", 8, "the mean of the eight neighbours" },
    { "laplacian-4", "classic", "0 1 0/1 -4 1/0 1 0", 1, "sum of the second differences" },
    { "laplacian-8", "classic", "1 1 1/1 -8 1/1 1 1", 1, "the same with the diagonals" },
    { "prewitt-x", "classic", "-1 0 1/-1 0 1/-1 0 1", 1, "like sobel-x, equal weights" },
    { "prewitt-y", "classic", "-1 -1 -1/0 0 0/1 1 1", 1, "like sobel-y, equal weights" },
    { "scharr-x", "classic", "-3 0 3/-10 0 10/-3 0 3", 1, "like sobel-x, truer angles" },
    { "scharr-y", "classic", "-3 -10 -3/0 0 0/3 10 3", 1, "like sobel-y, truer angles" },
    { "curve", "classic",
      "0 0 0 0 0 30 0/0 0 0 0 30 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/0 0 0 30 0 0 0/"
      "0 0 0 0 0 0 0",
      1, "a line that bends to the right at its upper end, drawn with 30s" },
    { "gaussian:SIGMA", "made", NULL, 0, "normal weights, side 2*ceil(3*SIGMA)+1, SIGMA up to 5" },
    { "box:SIDE", "made", NULL, 0, "the mean of SIDE x SIDE" },
    { "motion:LENGTH", "made", NULL, 0, "blur along a row; motion:LENGTH:ANGLE along a slant" },
};

const lens_kernel_entry *lens_kernel_list(size_t *count) {
    *count = LENS_COUNT(catalogue);
    return catalogue;
}

double lens_kernel_gain(const lens_kernel *k) {
    double sum = 0;
    for (int i = 0; i < k->h * k->w; i++) sum += k->value[i];
    return sum;
}

void lens_kernel_flip(lens_kernel *k) {
    for (int i = 0, j = k->h * k->w - 1; i < j; i++, j--) {
        double swap = k->value[i];
        k->value[i] = k->value[j];
        k->value[j] = swap;
    }
}

/* ---- Rows of numbers ---- */

static bool row_end(char c) { return c == '/' || c == '\n'; }
static bool gap(char c) { return c == ' ' || c == '\t' || c == ',' || c == '\r'; }

static lens_status add_number(lens_ctx *ctx, lens_kernel *k, int row, int column, const char *word,
                              size_t length) {
    char buf[WORD_BYTES];
    double value;
    snprintf(buf, sizeof buf, "%.*s", (int)(length < sizeof buf ? length : sizeof buf - 1), word);
    if (length >= sizeof buf || !parse_double(buf, &value))
        return ctx_fail(ctx, LENS_BAD_ARG, "kernel: row %d, column %d: \"%s\" is not a number",
                        row + 1, column + 1, buf);
    if (row >= LENS_KERNEL_SIDE || column >= LENS_KERNEL_SIDE)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "kernel: row %d, column %d: at most %d rows of %d numbers are accepted",
                        row + 1, column + 1, LENS_KERNEL_SIDE, LENS_KERNEL_SIDE);
    if (row > 0 && column >= k->w)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "kernel: row %d has more numbers than the %d of row 1; all rows must be of "
                        "one length",
                        row + 1, k->w);
    if (row == 0) k->w = column + 1;
    k->value[row * k->w + column] = value;
    return LENS_OK;
}

/* Empty lines are no rows; an empty part between slashes is one, and a mistake. */
static lens_status end_row(lens_ctx *ctx, lens_kernel *k, int columns, bool line) {
    if (columns == 0 && line) return LENS_OK;
    if (columns == 0) return ctx_fail(ctx, LENS_BAD_ARG, "kernel: row %d has no numbers", k->h + 1);
    if (columns != k->w)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "kernel: row %d has %d numbers but row 1 has %d; all rows must be of one "
                        "length",
                        k->h + 1, columns, k->w);
    k->h++;
    return LENS_OK;
}

static lens_status parse_rows(lens_ctx *ctx, lens_kernel *k, const char *text) {
    int column = 0;
    bool open = false; /* the last row end was a slash: another row must follow */
    k->h = k->w = 0;
    for (;;) {
        while (gap(*text)) text++;
        if (*text == '#') text += strcspn(text, "\n");
        if (!*text || row_end(*text)) {
            LENS_TRY(end_row(ctx, k, column, *text != '/' && !(open && !*text)));
            if (column) open = *text == '/';
            column = 0;
            if (!*text) break;
            text++;
            continue;
        }
        size_t length = strcspn(text, " \t,\r\n/#");
        LENS_TRY(add_number(ctx, k, k->h, column++, text, length));
        text += length;
    }
    if (!k->h) return ctx_fail(ctx, LENS_BAD_ARG, "kernel: there are no numbers");
    return LENS_OK;
}

/* ---- Kernels made from a number ---- */

static lens_status bad_number(lens_ctx *ctx, const char *text, const char *expected) {
    return ctx_fail(ctx, LENS_BAD_ARG, "kernel \"%s\": %s", text, expected);
}

static void divide(lens_kernel *k, double by) {
    for (int i = 0; i < k->h * k->w; i++) k->value[i] /= by;
}

static lens_status make_gaussian(lens_ctx *ctx, lens_kernel *k, const char *text,
                                 const char *number) {
    double sigma;
    if (!parse_double(number, &sigma) || !(sigma > 0 && sigma <= 5))
        return bad_number(ctx, text, "sigma must be above 0 and at most 5");
    int radius = (int)ceil(3 * sigma);
    k->h = k->w = 2 * radius + 1;
    for (int u = -radius, i = 0; u <= radius; u++)
        for (int v = -radius; v <= radius; v++)
            k->value[i++] = exp(-(u * u + v * v) / (2 * sigma * sigma));
    divide(k, lens_kernel_gain(k));
    return LENS_OK;
}

static lens_status make_box(lens_ctx *ctx, lens_kernel *k, const char *text, const char *number) {
    long long side;
    if (!parse_int(number, &side) || side < 1 || side > LENS_KERNEL_SIDE)
        return bad_number(ctx, text, "the side must be a whole number from 1 to 31");
    k->h = k->w = (int)side;
    for (int i = 0; i < k->h * k->w; i++) k->value[i] = 1.0 / (k->h * k->w);
    return LENS_OK;
}

/* Points of a line through the centre, a pixel apart, each given to its nearest cell. */
static lens_status make_motion(lens_ctx *ctx, lens_kernel *k, const char *text,
                               const char *number) {
    char buf[WORD_BYTES];
    long long length;
    double degrees = 0;
    snprintf(buf, sizeof buf, "%s", number);
    char *colon = strchr(buf, ':');
    if (colon) *colon = 0;
    if (!parse_int(buf, &length) || length < 1 || length > LENS_KERNEL_SIDE)
        return bad_number(ctx, text, "the length must be a whole number from 1 to 31");
    if (colon && !parse_double(colon + 1, &degrees))
        return bad_number(ctx, text, "the angle must be a number of degrees");
    int n = (int)length, half = n / 2, top = n, bottom = -1, left = n, right = -1;
    double angle = degrees * (3.14159265358979323846 / 180);
    double all[LENS_KERNEL_SIDE + 1][LENS_KERNEL_SIDE + 1] = { { 0 } };
    for (int i = 0; i < n; i++) {
        double t = i - (n - 1) / 2.0;
        /* A hair towards the upper left, so that points between two cells go the same way. */
        int r = (int)floor(half - t * sin(angle) + 0.5 - 1e-9);
        int c = (int)floor(half + t * cos(angle) + 0.5 - 1e-9);
        all[r][c] += 1.0 / n;
        if (r < top) top = r;
        if (r > bottom) bottom = r;
        if (c < left) left = c;
        if (c > right) right = c;
    }
    k->h = bottom - top + 1, k->w = right - left + 1;
    for (int r = 0, i = 0; r < k->h; r++)
        for (int c = 0; c < k->w; c++) k->value[i++] = all[top + r][left + c];
    return LENS_OK;
}

/* ---- Names ---- */

/* "gausian:2" is near "gaussian:SIGMA": what follows a colon does not count. */
static lens_status unknown(lens_ctx *ctx, const char *text) {
    char word[WORD_BYTES], start[LENS_COUNT(catalogue)][WORD_BYTES];
    const char *names[LENS_COUNT(catalogue)];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text, ":"), text);
    for (size_t i = 0; i < LENS_COUNT(catalogue); i++) {
        snprintf(start[i], WORD_BYTES, "%.*s", (int)strcspn(catalogue[i].name, ":"),
                 catalogue[i].name);
        names[i] = start[i];
    }
    const char *near = nearest_name(word, names, LENS_COUNT(catalogue));
    if (!near) return ctx_fail(ctx, LENS_NOT_FOUND, "there is no kernel \"%.64s\"", text);
    size_t i = 0;
    while (names[i] != near) i++;
    return ctx_fail(ctx, LENS_NOT_FOUND, "there is no kernel \"%.64s\"; did you mean \"%s\"?", text,
                    catalogue[i].name);
}

static lens_status by_name(lens_ctx *ctx, lens_kernel *k, const char *name) {
    static const struct {
        const char *start;
        lens_status (*make)(lens_ctx *, lens_kernel *, const char *text, const char *number);
    } made[] = { { "gaussian:", make_gaussian }, { "box:", make_box }, { "motion:", make_motion } };
    for (size_t i = 0; i < LENS_COUNT(made); i++)
        if (!strncmp(name, made[i].start, strlen(made[i].start)))
            return made[i].make(ctx, k, name, name + strlen(made[i].start));
    for (size_t i = 0; i < LENS_COUNT(catalogue); i++) {
        const lens_kernel_entry *e = &catalogue[i];
        if (strcmp(name, e->name) || !e->text) continue;
        LENS_TRY(parse_rows(ctx, k, e->text));
        divide(k, e->divisor);
        return LENS_OK;
    }
    return unknown(ctx, name);
}

/* Letters that no number starts with make a name; "nan" and "inf" stay numbers, and mistakes. */
static bool is_name(const char *text) {
    static const char *const odd[] = { "nan", "inf" };
    for (size_t i = 0; i < LENS_COUNT(odd); i++)
        if (!strncmp(text, odd[i], 3) && !isalpha((unsigned char)text[3])) return false;
    return isalpha((unsigned char)*text) != 0 && !strchr(text, '/') && !strchr(text, '\n');
}

lens_status lens_kernel_parse(lens_ctx *ctx, lens_kernel *out, const char *text) {
    lens_kernel k = { 0 };
    LENS_TRY(is_name(text) ? by_name(ctx, &k, text) : parse_rows(ctx, &k, text));
    *out = k;
    return LENS_OK;
}

lens_status lens_kernel_read(lens_ctx *ctx, lens_kernel *out, const char *path) {
    char *text;
    size_t size;
    lens_kernel k = { 0 };
    LENS_TRY(file_read(ctx, path, KERNEL_TEXT, &text, &size));
    lens_status status = memchr(text, 0, size) ? ctx_fail(ctx, LENS_BAD_ARG, "kernel: not text")
                                               : parse_rows(ctx, &k, text);
    ctx_free(ctx, text);
    if (status == LENS_BAD_ARG) return ctx_fail_prefix(ctx, LENS_BAD_FILE, "%s", path);
    LENS_TRY(status);
    *out = k;
    return LENS_OK;
}

void lens_picture_s80(float out[80 * 80]) {
    for (int r = 0; r < 80; r++)
        for (int c = 0; c < 80; c++) {
            int u = 2 * r - 79, v = 2 * c - 79, q = u * u + v * v;
            int au = u < 0 ? -u : u, av = v < 0 ? -v : v;
            bool on = (2116 <= q && q <= 2916) || (au <= 3 && av <= 69) || (av <= 3 && au <= 69);
            out[r * 80 + c] = on ? 1 : 0;
        }
}
