/* mistake.c - see mistake.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/mistake.h"
#include "base/base.h"

#include <string.h>
#include <strings.h>

#define WEB_PAGE "a web page; the download went wrong or needed a login"

/* Text may follow a byte order mark and blanks; the first row that fits counts. */
static const struct {
    const char *begin;
    size_t at; /* where in the file, for bytes */
    bool text; /* in letters of either case */
    const char *what;
} rows[] = {
    { "version https://git-lfs", 0, true,
      "a Git LFS pointer, which stands for the file; \"git lfs pull\" fetches the file itself" },
    { "<!doctype", 0, true, WEB_PAGE },
    { "<html", 0, true, WEB_PAGE },
    { "<head", 0, true, WEB_PAGE },
    { "<?xml", 0, true, WEB_PAGE },
    { "<svg", 0, true, "an SVG drawing, not a picture of pixels" },
    { "\x1f\x8b", 0, false, "compressed by gzip; unpack it first" },
    { "GIF8", 0, false, "a GIF picture; convert it to PNG" },
    { "WEBP", 8, false, "a WebP picture; convert it to PNG or JPEG" },
    { "BM", 0, false, "a BMP picture; convert it to PNG" },
    { "II*", 0, false, "a TIFF picture; convert it to PNG" },
    { "ftyp", 4, false, "an HEIC or AVIF picture or a film; convert it to PNG or JPEG" },
    { "%PDF", 0, false, "a PDF document" },
};

const char *mistake_of(const uint8_t *bytes, size_t size) {
    size_t skip = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (skip < size && skip < 512 && bytes[skip] && strchr(" \t\r\n", bytes[skip])) skip++;
    for (size_t i = 0; i < LENS_COUNT(rows); i++) {
        size_t at = rows[i].text ? skip : rows[i].at;
        size_t length = strlen(rows[i].begin);
        if (size < at + length) continue;
        bool same = rows[i].text ? strncasecmp((const char *)bytes + at, rows[i].begin, length) == 0
                                 : memcmp(bytes + at, rows[i].begin, length) == 0;
        if (same) return rows[i].what;
    }
    return NULL;
}
