/* zip.c - see zip.h. Numbers and layout follow PKWARE's APPNOTE 6.3.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCAL = 30,     /* bytes of a local header without name and extra */
    RECORD = 46,    /* of a central record */
    END = 22,       /* of the end record without comment */
    END64 = 56,     /* of the ZIP64 end record without extensions */
    LOCATOR64 = 20, /* of the ZIP64 locator */
    MAX_COMMENT = 65535,
    ZIP64_EXTRA = 1, /* id of the extra field with the long numbers */
    FLAG_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13,
    FLAG_LATER = 1 << 3, /* sizes follow the data; the local header has zeros */
    FLAG_PATCH = 1 << 5,
};
#define LATER16 0xffffu
#define LATER32 0xffffffffu

static uint32_t u16(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }
static uint64_t u64(const uint8_t *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

static bool is_signature(const uint8_t *p, int a, int b) {
    return p[0] == 'P' && p[1] == 'K' && p[2] == a && p[3] == b;
}

/* The archive while it is read. */
typedef struct reader {
    zip *zip;
    const uint8_t *bytes;
    size_t size;
    const char *file;
    uint64_t directory, directory_end, count;
} reader;

#define REFUSE(status, offset, ...) refuse(r, status, offset, __VA_ARGS__)

static lens_status refuse(const reader *r, lens_status status, uint64_t offset, const char *format,
                          ...) LENS_PRINTF(4, 5);

static lens_status refuse(const reader *r, lens_status status, uint64_t offset, const char *format,
                          ...) {
    char cause[400];
    va_list args;
    va_start(args, format);
    vsnprintf(cause, sizeof cause, format, args);
    va_end(args);
    return ctx_fail(r->zip->ctx, status, "%s: byte %llu: %s", r->file, (unsigned long long)offset,
                    cause);
}

/* A name for messages: bytes that are no printable ASCII become "?". */
static const char *shown(const uint8_t *name, size_t length, char buf[100]) {
    size_t n = length < 99 ? length : 99;
    for (size_t i = 0; i < n; i++) buf[i] = name[i] >= 32 && name[i] < 127 ? (char)name[i] : '?';
    buf[n] = 0;
    return buf;
}

static lens_status find_end(reader *r) {
    size_t least = r->size > END + MAX_COMMENT ? r->size - END - MAX_COMMENT : 0, at;
    if (r->size < END)
        return REFUSE(LENS_BAD_FILE, 0, "%zu bytes are too few for a ZIP archive", r->size);
    for (at = r->size - END;; at--) {
        if (is_signature(r->bytes + at, 5, 6) && at + END + u16(r->bytes + at + 20) == r->size)
            break;
        if (at == least)
            return REFUSE(LENS_BAD_FILE, r->size,
                          "the ZIP archive has no end record: it is truncated");
    }
    const uint8_t *end = r->bytes + at;
    uint64_t here = u16(end + 8), length = u32(end + 12);
    r->count = u16(end + 10);
    r->directory = u32(end + 16);
    r->directory_end = at;
    if (u16(end + 4) || u16(end + 6) || here != r->count)
        return REFUSE(LENS_UNSUPPORTED, at, "a ZIP archive split over several files is not read");
    bool wants64 = r->count == LATER16 || length == LATER32 || r->directory == LATER32;
    if (at >= LOCATOR64 && is_signature(end - LOCATOR64, 6, 7)) {
        const uint8_t *locator = end - LOCATOR64;
        uint64_t at64 = u64(locator + 8);
        if (at64 > at - LOCATOR64 || at - LOCATOR64 - at64 < END64 ||
            !is_signature(r->bytes + at64, 6, 6))
            return REFUSE(LENS_BAD_FILE, at - LOCATOR64,
                          "the ZIP64 end record is said to be at %llu, where it is not",
                          (unsigned long long)at64);
        const uint8_t *end64 = r->bytes + at64;
        if (u32(locator + 4) || u32(locator + 16) != 1 || u32(end64 + 16) || u32(end64 + 20) ||
            u64(end64 + 24) != u64(end64 + 32))
            return REFUSE(LENS_UNSUPPORTED, at64,
                          "a ZIP archive split over several files is not read");
        uint64_t count = u64(end64 + 32), length64 = u64(end64 + 40), offset = u64(end64 + 48);
        if ((r->count != LATER16 && r->count != count) ||
            (length != LATER32 && length != length64) ||
            (r->directory != LATER32 && r->directory != offset))
            return REFUSE(LENS_BAD_FILE, at64,
                          "the ZIP64 end record contradicts the end record at %zu", at);
        if (u64(end64 + 4) != at - LOCATOR64 - at64 - 12)
            return REFUSE(LENS_BAD_FILE, at64,
                          "the ZIP64 end record does not end where the locator begins");
        r->count = count;
        length = length64;
        r->directory = offset;
        r->directory_end = at64;
    } else if (wants64) {
        return REFUSE(LENS_BAD_FILE, at, "the end record refers to a ZIP64 record that is missing");
    }
    if (r->directory > r->directory_end || r->directory_end - r->directory != length)
        return REFUSE(LENS_BAD_FILE, at,
                      "the central directory (%llu bytes at %llu) does not end at %llu, where the "
                      "end record begins",
                      (unsigned long long)length, (unsigned long long)r->directory,
                      (unsigned long long)r->directory_end);
    if (r->count > length / RECORD)
        return REFUSE(LENS_BAD_FILE, at,
                      "%llu entries do not fit a central directory of %llu bytes",
                      (unsigned long long)r->count, (unsigned long long)length);
    return LENS_OK;
}

/* Numbers that did not fit their 32 bits stand in the extra field, in this order. */
static lens_status read_extra(const reader *r, uint64_t at, const uint8_t *extra, size_t length,
                              uint64_t *const want[3]) {
    size_t pos = 0, need = 0;
    for (int i = 0; i < 3; i++) need += *want[i] == LATER32 ? 8 : 0;
    if (!need) return LENS_OK;
    while (length - pos >= 4) {
        uint32_t id = u16(extra + pos), size = u16(extra + pos + 2);
        pos += 4;
        if (size > length - pos) break;
        if (id == ZIP64_EXTRA && size >= need) {
            for (int i = 0; i < 3; i++)
                if (*want[i] == LATER32) {
                    *want[i] = u64(extra + pos);
                    pos += 8;
                }
            return LENS_OK;
        }
        pos += size;
    }
    return REFUSE(LENS_BAD_FILE, at, "the entry refers to ZIP64 numbers that are missing");
}

/* Such a name would leave the folder it is unpacked in, or read differently elsewhere. */
static bool climbs(const uint8_t *name, size_t length) {
    if (length && (name[0] == '/' || (length > 1 && name[1] == ':'))) return true;
    if (memchr(name, '\\', length)) return true;
    for (size_t begin = 0; begin <= length;) {
        const uint8_t *slash = memchr(name + begin, '/', length - begin);
        size_t part = slash ? (size_t)(slash - name) - begin : length - begin;
        if (part == 2 && name[begin] == '.' && name[begin + 1] == '.') return true;
        begin += part + 1;
    }
    return false;
}

static lens_status read_record(const reader *r, uint64_t *at, zip_entry *e) {
    const uint8_t *p = r->bytes + *at;
    uint64_t room = r->directory_end - *at;
    char name[100];
    if (room < RECORD || !is_signature(p, 1, 2))
        return REFUSE(LENS_BAD_FILE, *at, "expected a record of the central directory");
    uint32_t flags = u16(p + 8), method = u16(p + 10);
    uint32_t length = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    uint64_t packed = u32(p + 20), size = u32(p + 24), header = u32(p + 42);
    if (length > room - RECORD || extra + comment > room - RECORD - length)
        return REFUSE(LENS_BAD_FILE, *at, "the record runs past the central directory");
    const uint8_t *raw = p + RECORD;
    shown(raw, length, name);
    if (length == 0 || length > ZIP_MAX_NAME || memchr(raw, 0, length))
        return REFUSE(LENS_BAD_FILE, *at, "an entry's name has %u bytes, or a 0 byte in it",
                      (unsigned)length);
    if (climbs(raw, length))
        return REFUSE(LENS_BAD_FILE, *at, "entry \"%s\" names a path outside its folder", name);
    if (flags & FLAG_ENCRYPTED)
        return REFUSE(LENS_UNSUPPORTED, *at, "entry \"%s\" is encrypted", name);
    if (flags & FLAG_PATCH || method != 0)
        return REFUSE(LENS_UNSUPPORTED, *at,
                      "entry \"%s\" is compressed (method %u); torch.save stores its entries", name,
                      (unsigned)method);
    uint64_t *const want[3] = { &size, &packed, &header };
    LENS_TRY(read_extra(r, *at, raw + length, extra, want));
    if (u16(p + 34) != 0)
        return REFUSE(LENS_UNSUPPORTED, *at, "entry \"%s\" lies in another file", name);
    if (size != packed)
        return REFUSE(LENS_BAD_FILE, *at, "entry \"%s\" is stored in %llu bytes but has %llu", name,
                      (unsigned long long)packed, (unsigned long long)size);
    if (header > r->directory || r->directory - header < LOCAL)
        return REFUSE(LENS_BAD_FILE, *at,
                      "entry \"%s\" is said to begin at %llu, outside the %llu bytes before the "
                      "central directory",
                      name, (unsigned long long)header, (unsigned long long)r->directory);
    const uint8_t *local = r->bytes + header;
    uint64_t begin = header + LOCAL, names = u16(local + 26), extras = u16(local + 28);
    if (!is_signature(local, 3, 4))
        return REFUSE(LENS_BAD_FILE, header, "expected the local header of entry \"%s\"", name);
    if (names + extras > r->directory - begin || names != length ||
        memcmp(local + LOCAL, raw, length) != 0)
        return REFUSE(LENS_BAD_FILE, header,
                      "the local header and the central directory name entry \"%s\" differently",
                      name);
    if (u16(local + 8) != 0 || (u16(local + 6) & (FLAG_ENCRYPTED | FLAG_PATCH)))
        return REFUSE(LENS_UNSUPPORTED, header,
                      "entry \"%s\" is compressed or encrypted by its local header", name);
    uint64_t local_size = u32(local + 22);
    if (local_size != LATER32 && local_size != size &&
        !(u16(local + 6) & FLAG_LATER && local_size == 0))
        return REFUSE(LENS_BAD_FILE, header,
                      "entry \"%s\" has %llu bytes by its local header and %llu by the central "
                      "directory",
                      name, (unsigned long long)local_size, (unsigned long long)size);
    begin += names + extras;
    if (size > r->directory - begin)
        return REFUSE(LENS_BAD_FILE, header,
                      "entry \"%s\" has %llu bytes, but only %llu are left before the central "
                      "directory",
                      name, (unsigned long long)size, (unsigned long long)(r->directory - begin));
    *e = (zip_entry){ .name = (const char *)raw,
                      .data = r->bytes + begin,
                      .header = header,
                      .size = size,
                      .name_length = length };
    *at += RECORD + length + extra + comment;
    return LENS_OK;
}

static int by_place(const void *a, const void *b) {
    const zip_entry *x = a, *y = b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static int compare_names(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int by_name(const void *a, const void *b) {
    const zip_entry *x = a, *y = b;
    return compare_names(x->name, x->name_length, y->name, y->name_length);
}

static lens_status check_all(const reader *r) {
    zip_entry *e = r->zip->entry;
    char name[100];
    if (r->zip->count) qsort(e, r->zip->count, sizeof *e, by_place);
    for (size_t i = 1; i < r->zip->count; i++)
        if ((uint64_t)(e[i - 1].data - r->bytes) + e[i - 1].size > e[i].header)
            return REFUSE(LENS_BAD_FILE, e[i].header, "entry \"%s\" overlaps the one before it",
                          shown((const uint8_t *)e[i].name, e[i].name_length, name));
    if (r->zip->count) qsort(e, r->zip->count, sizeof *e, by_name);
    for (size_t i = 1; i < r->zip->count; i++)
        if (by_name(&e[i - 1], &e[i]) == 0)
            return REFUSE(LENS_BAD_FILE, e[i].header, "there are two entries \"%s\"",
                          shown((const uint8_t *)e[i].name, e[i].name_length, name));
    return LENS_OK;
}

lens_status zip_parse(lens_ctx *ctx, zip *z, const uint8_t *bytes, size_t size, const char *file) {
    *z = (zip){ .ctx = ctx };
    reader reading = { .zip = z, .bytes = bytes, .size = size, .file = file }, *r = &reading;
    LENS_TRY(find_end(r));
    z->entry = ctx_alloc(ctx, (size_t)r->count + 1, sizeof *z->entry);
    if (!z->entry) return LENS_NOMEM;
    lens_status status = LENS_OK;
    uint64_t at = r->directory;
    while (status == LENS_OK && z->count < r->count) {
        status = read_record(r, &at, &z->entry[z->count]);
        z->count += status == LENS_OK;
    }
    if (status == LENS_OK && at != r->directory_end)
        status = REFUSE(LENS_BAD_FILE, at, "%llu bytes follow the last record of the directory",
                        (unsigned long long)(r->directory_end - at));
    if (status == LENS_OK) status = check_all(r);
    if (status != LENS_OK) zip_close(z);
    return status;
}

void zip_close(zip *z) {
    ctx_free(z->ctx, z->entry);
    z->entry = NULL;
    z->count = 0;
}

const zip_entry *zip_find(const zip *z, const char *name, size_t length) {
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const zip_entry *e = &z->entry[middle];
        int order = compare_names(name, length, e->name, e->name_length);
        if (order == 0) return e;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
