/* text.c - numbers from text whatever the locale, and the nearest of a list of names.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool parse_double(const char *text, double *out) {
    if (!strchr("+-.0123456789", *text) || !*text) return false; /* strtod would skip blanks */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = plain ? uselocale(plain) : (locale_t)0;
    char *end;
    double value = strtod(text, &end);
    if (plain) {
        uselocale(old);
        freelocale(plain);
    }
    if (end == text || *end || !isfinite(value)) return false;
    *out = value;
    return true;
}

bool parse_int(const char *text, long long *out) {
    if (!strchr("+-0123456789", *text) || !*text) return false;
    char *end;
    int saved = errno;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool in_range = errno != ERANGE;
    errno = saved;
    if (end == text || *end || !in_range) return false;
    *out = value;
    return true;
}

enum { MAX_NAME = 64 };

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment):
 *     d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+(a_i != b_j), d[i-2][j-2]+1 if swapped) */
static int edit_distance(const char *a, int m, const char *b, int n) {
    int d[3][MAX_NAME + 1];
    for (int j = 0; j <= n; j++) d[0][j] = j;
    for (int i = 1; i <= m; i++) {
        int *row = d[i % 3], *above = d[(i + 2) % 3], *above2 = d[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above2[j - 2] + 1 < best) best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[m % 3][n];
}

const char *nearest_name(const char *word, const char *const *names, size_t count) {
    size_t length = strlen(word);
    if (length == 0 || length > MAX_NAME) return NULL;
    int best = length < 6 ? 1 : (int)(length / 3);
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(names[i]);
        if (other > MAX_NAME) continue;
        int distance = edit_distance(word, (int)length, names[i], (int)other);
        if (distance < best || (distance == best && !nearest)) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

const char *lens_nearest(const char *word, const char *const *names, size_t count) {
    return nearest_name(word, names, count);
}
