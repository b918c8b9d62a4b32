/* zip.h - a strict reader of ZIP archives whose entries are stored, not compressed: what torch.save
 * writes. Entries are not copied.
 *
 *     local header | name | extra | data | [data descriptor]     for each entry
 *     central directory: one record for each entry
 *     [ZIP64 end record, ZIP64 locator]  end record, comment      up to the last byte of the file
 *
 * Invariant: an archive that opens is unambiguous: the central directory ends where the end records
 * begin, every local header repeats the name of its record, the ranges of two entries never overlap
 * and lie before the central directory, and no name occurs twice or leaves its folder. So no two
 * readers can see different contents in it.
 *
 * Check sums are not compared: torch.save may be told to leave them out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_ZIP_H
#define FORMAT_ZIP_H

#include "base/base.h"

enum { ZIP_MAX_NAME = 1024 };

typedef struct zip_entry {
    const char *name; /* in the archive, not terminated: no 0 byte, no "..", no leading slash */
    const uint8_t *data;
    uint64_t header, size; /* offset of the local header; bytes of data */
    uint32_t name_length;
} zip_entry;

typedef struct zip {
    lens_ctx *ctx;
    zip_entry *entry; /* [count] in order of the names */
    size_t count;
} zip;

/* `file` names the archive in messages; `bytes` must stay until zip_close, which is needed after
 * LENS_OK only. LENS_BAD_FILE: anything the invariant forbids, with offset and cause;
 * LENS_UNSUPPORTED: compressed, encrypted or split archives; LENS_NOMEM. */
lens_status zip_parse(lens_ctx *, zip *, const uint8_t *bytes, size_t size, const char *file);
void zip_close(zip *);

/* NULL: no such entry. */
const zip_entry *zip_find(const zip *, const char *name, size_t length);

#endif
