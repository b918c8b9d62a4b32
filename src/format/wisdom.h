/* wisdom.h - the wisdom file: the fastest algorithm of each work, as it was measured on each machine.
 *
 *     lenslet wisdom
 *     MACHINE <tab> WORK <tab> ALGORITHM
 *     ...
 *
 * Fields are printable ASCII and mean nothing here; of two lines with the same machine and work the first
 * counts. `text` is always a whole file of this form.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_WISDOM_H
#define FORMAT_WISDOM_H

#include "base/base.h"

typedef struct wisdom {
    char *text; /* ends with a 0 byte that is not counted */
    size_t size;
} wisdom;

/* No lines yet; free `text` with ctx_free. LENS_NOMEM. */
lens_status wisdom_new(lens_ctx *, wisdom *);
/* Copies the text of a file; `name` begins the messages. LENS_BAD_FILE: a byte, a line or the end is not
 * as above; LENS_NOMEM. */
lens_status wisdom_parse(lens_ctx *, wisdom *, const char *text, size_t size, const char *name);
/* LENS_IO, and as wisdom_parse. */
lens_status wisdom_read(lens_ctx *, wisdom *, const char *path);

/* What follows `key` and a tab in the first line that begins with them: of MACHINE the rest of a line, of
 * MACHINE<tab>WORK the algorithm, without what ends the line. *size: its bytes. NULL: no such line. */
const char *wisdom_find(const wisdom *, const char *key, size_t *size);
/* Appends a line; the fields are printable. LENS_NOMEM. */
lens_status wisdom_add(lens_ctx *, wisdom *, const char *key, const char *algorithm);

#endif
