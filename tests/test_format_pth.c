/* test_format_pth.c - PyTorch files: what torch.save writes is read with its numbers; everything else
 * is refused with its cause, and nothing is executed. Loading such files into nets.
 *
 * The archives and pickles of the malicious cases are composed here byte by byte, so that each differs
 * from a good one in one place.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/pickle.h"
#include "format/tensors.h"
#include "format/zip.h"
#include "support/fixture.h"
#include "test.h"
#include <lenslet/net.h>
#include <stdlib.h>

/* ---- Composing bytes ---- */

typedef struct text {
    uint8_t *bytes;
    size_t size, room;
} text;

static void put(text *t, const void *bytes, size_t size) {
    if (t->size + size > t->room) {
        t->room = 2 * (t->size + size);
        t->bytes = realloc(t->bytes, t->room);
        assert_non_null(t->bytes);
    }
    if (size) memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

static void put_str(text *t, const char *s) { put(t, s, strlen(s)); }

static void put_number(text *t, uint64_t v, size_t size) { /* zeros beyond 8 bytes */
    uint8_t b[16] = { 0 };
    for (size_t i = 0; i < size && i < 8; i++) b[i] = (uint8_t)(v >> (8 * i));
    put(t, b, size);
}

static void patch(text *t, size_t at, uint64_t v, size_t size) {
    for (size_t i = 0; i < size; i++) t->bytes[at + i] = (uint8_t)(v >> (8 * i));
}

static void drop(text *t) {
    free(t->bytes);
    *t = (text){ 0 };
}

/* An archive and where its parts are. */
typedef struct archive {
    text all;
    size_t header[16], record[16], end; /* of entry i, of the end record */
    int entries;
    struct {
        const char *name;
        size_t size;
    } of[16];
} archive;

static void add_entry(archive *z, const char *name, const void *data, size_t size) {
    z->header[z->entries] = z->all.size;
    z->of[z->entries].name = name;
    z->of[z->entries++].size = size;
    put_str(&z->all, "PK\3\4");
    put_number(&z->all, 20, 2); /* version */
    put_number(&z->all, 0, 12); /* flags, method, time, date, check sum */
    put_number(&z->all, size, 4);
    put_number(&z->all, size, 4);
    put_number(&z->all, strlen(name), 2);
    put_number(&z->all, 0, 2);
    put_str(&z->all, name);
    put(&z->all, data, size);
}

static void close_archive(archive *z) {
    size_t directory = z->all.size;
    for (int i = 0; i < z->entries; i++) {
        z->record[i] = z->all.size;
        put_str(&z->all, "PK\1\2");
        put_number(&z->all, 0, 8);
        put_number(&z->all, 0, 8);
        put_number(&z->all, z->of[i].size, 4);
        put_number(&z->all, z->of[i].size, 4);
        put_number(&z->all, strlen(z->of[i].name), 2);
        put_number(&z->all, 0, 8);
        put_number(&z->all, 0, 4);
        put_number(&z->all, z->header[i], 4);
        put_str(&z->all, z->of[i].name);
    }
    z->end = z->all.size;
    put_str(&z->all, "PK\5\6");
    put_number(&z->all, 0, 4);
    put_number(&z->all, (uint64_t)z->entries, 2);
    put_number(&z->all, (uint64_t)z->entries, 2);
    put_number(&z->all, z->end - directory, 4);
    put_number(&z->all, directory, 4);
    put_number(&z->all, 0, 2);
}

static void put_name(text *p, const char *s) { /* BINUNICODE */
    put_str(p, "X");
    put_number(p, strlen(s), 4);
    put_str(p, s);
}

static void put_int(text *p, int64_t v) { /* LONG1 */
    put_str(p, "\x8a\x08");
    put_number(p, (uint64_t)v, 8);
}

static void put_tuple(text *p, int rank, const int64_t *v) {
    put_str(p, "(");
    for (int i = 0; i < rank; i++) put_int(p, v[i]);
    put_str(p, "t");
}

/* A storage and the tensor on it, as the value of the top of the stack. */
static void put_tensor(text *p, const char *key, int64_t room, int64_t offset, int rank,
                       const int64_t *dim, const int64_t *stride) {
    put_str(p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_name(p, "storage");
    put_str(p, "ctorch\nFloatStorage\n");
    put_name(p, key);
    put_name(p, "cpu");
    put_int(p, room);
    put_str(p, "tQ");
    put_int(p, offset);
    put_tuple(p, rank, dim);
    put_tuple(p, rank, stride);
    put_str(p, "\x89}tR");
}

/* {"w": tensor} as an archive whose only storage has four floats. */
static void tensor_archive(archive *z, int64_t room, int64_t offset, int rank, const int64_t *dim,
                           const int64_t *stride) {
    static const float data[4] = { 1, 2, 3, 4 };
    text p = { 0 };
    *z = (archive){ 0 };
    put_str(&p, "\x80\x02}");
    put_name(&p, "w");
    put_tensor(&p, "0", room, offset, rank, dim, stride);
    put_str(&p, "s.");
    add_entry(z, "a/data.pkl", p.bytes, p.size);
    add_entry(z, "a/data/0", data, sizeof data);
    close_archive(z);
    drop(&p);
}

static void good_archive(archive *z) {
    tensor_archive(z, 4, 0, 2, (int64_t[]){ 2, 2 }, (int64_t[]){ 2, 1 });
}

static void pickle_archive(archive *z, const void *bytes, size_t size) {
    *z = (archive){ 0 };
    add_entry(z, "a/data.pkl", bytes, size);
    close_archive(z);
}

static void refused(const text *t, lens_status status, const char *part) {
    tensor_file *f;
    /* A copy of exactly that size, for the sanitizers. */
    uint8_t *copy = malloc(t->size ? t->size : 1);
    assert_non_null(copy);
    if (t->size) memcpy(copy, t->bytes, t->size);
    assert_fails(ctx, status, part, tensors_parse(ctx, &f, copy, t->size, "evil.pth"));
    if (!strstr(lens_why(ctx), "evil.pth: ")) fail_msg("\"%s\" lacks the file", lens_why(ctx));
    assert_null(f);
    free(copy);
}

/* ---- What PyTorch writes ---- */

static void expect(const tensor_file *f, const char *name, st_dtype type, int rank,
                   const int64_t *dim, const float *value) {
    const st_tensor *t = tensors_find(f, name);
    float got[60];
    if (!t) fail_msg("no tensor %s", name);
    assert_int_equal(t->dtype, type);
    assert_int_equal(t->rank, rank);
    for (int d = 0; d < rank; d++) assert_int_equal(t->dim[d], dim[d]);
    st_to_float(t, 0, t->count, got);
    for (int64_t i = 0; i < t->count; i++)
        if (got[i] != value[i])
            fail_msg("%s[%d] is %g, not %g", name, (int)i, (double)got[i], (double)value[i]);
}

#define DIMS(...)   ((int64_t[]){ __VA_ARGS__ })
#define VALUES(...) ((float[]){ __VA_ARGS__ })

/* The tensors of make_pth.py, from there: w = 0..59 as (3,4,5). */
static void check_file(const char *folder, const char *name, size_t count) {
    char path[1024];
    tensor_file *f;
    float permuted[60], row[20];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(ctx, tensors_open(ctx, &f, path));
    assert_int_equal(tensors_count(f), count);
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++) permuted[(a * 3 + b) * 4 + c] = (float)(b * 20 + c * 5 + a);
    for (int i = 0; i < 20; i++) row[i] = (float)(20 + i);
    assert_string_equal(tensors_at(f, 0)->name, "permuted");
    assert_true(tensors_at(f, 0)->strided);
    expect(f, "permuted", ST_F32, 3, DIMS(5, 3, 4), permuted);
    expect(f, "shared", ST_F32, 2, DIMS(4, 5), row);
    assert_false(tensors_find(f, "shared")->strided);
    expect(f, "half", ST_F16, 1, DIMS(4), VALUES(0.5f, 0.75f, 1, 1.25f));
    expect(f, "bfloat", ST_BF16, 1, DIMS(2), VALUES(1.5f, -2));
    expect(f, "double", ST_F64, 2, DIMS(2, 2), VALUES(1, 3, 2, 4));
    if (count > 5) {
        expect(f, "long", ST_I64, 1, DIMS(3), VALUES(1, -2, 3));
        expect(f, "int", ST_I32, 1, DIMS(2), VALUES(7, -8));
        expect(f, "short", ST_I16, 1, DIMS(1), VALUES(-300));
        expect(f, "char", ST_I8, 1, DIMS(1), VALUES(-5));
        expect(f, "byte", ST_U8, 1, DIMS(1), VALUES(200));
        expect(f, "bool", ST_BOOL, 1, DIMS(2), VALUES(1, 0));
        expect(f, "scalar", ST_F32, 0, NULL, VALUES(0.25f));
        expect(f, "parameter", ST_F32, 1, DIMS(2), VALUES(1, 1));
        expect(f, "empty", ST_F32, 2, DIMS(0, 3), NULL);
    }
    assert_null(tensors_find(f, "module.permuted"));
    tensors_close(f);
}

static void check_folder(const char *folder) {
    check_file(folder, "plain.pth", 14);
    check_file(folder, "plain-stream.pth", 14);
    check_file(folder, "checkpoint.pth", 5);
    check_file(folder, "checkpoint-stream.pth", 5);
    check_file(folder, "protocol4.pth", 14);
    check_file(folder, "protocol3-stream.pth", 14);
}

static void test_committed(void **state) {
    (void)state;
    check_folder(TEST_SOURCE_DIR "/tests/data");
}

static void test_made_now(void **state) {
    char command[2048];
    (void)state;
    if (system("/usr/bin/python3 -c 'import torch' 2>/dev/null") != 0) {
        print_message("SKIPPED: PyTorch is not installed (Debian: python3-torch)\n");
        skip(); /* the committed files stand for this PyTorch; CI installs it */
    }
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/tests/data/make_pth.py' '%s'",
             TEST_SOURCE_DIR, dir);
    assert_int_equal(system(command), 0);
    check_folder(dir);
}

/* Converting keeps types, makes strides row-major, and reads back the same. */
static void test_convert(void **state) {
    const char *out = in_dir("plain.safetensors");
    (void)state;
    assert_ok(ctx, lens_weights_convert(ctx, TEST_SOURCE_DIR "/tests/data/plain-stream.pth", out));
    tensor_file *a, *b;
    float x[60], y[60];
    assert_ok(ctx, tensors_open(ctx, &a, TEST_SOURCE_DIR "/tests/data/plain.pth"));
    assert_ok(ctx, tensors_open(ctx, &b, out));
    assert_int_equal(tensors_count(b), 14);
    for (size_t i = 0; i < 14; i++) {
        const st_tensor *s = tensors_at(a, i), *t = tensors_find(b, s->name);
        assert_int_equal(s->dtype, t->dtype);
        assert_int_equal(s->count, t->count);
        st_to_float(s, 0, s->count, x);
        st_to_float(t, 0, t->count, y);
        assert_memory_equal(x, y, (size_t)s->count * sizeof *x);
    }
    tensors_close(a);
    tensors_close(b);
}

/* ---- Damage ---- */

static void read_fixture(const char *name, text *t) {
    char path[1024], *bytes;
    size_t size;
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/data/%s", name);
    assert_ok(ctx, file_read(ctx, path, 1 << 20, &bytes, &size));
    put(t, bytes, size);
    ctx_free(ctx, bytes);
}

static void test_truncated(void **state) {
    static const char *const names[] = { "plain.pth", "checkpoint-stream.pth" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        text t = { 0 };
        read_fixture(names[i], &t);
        for (size_t size = t.size; size-- > 0;) {
            text cut = { .size = size };
            cut.bytes = malloc(size ? size : 1);
            assert_non_null(cut.bytes);
            memcpy(cut.bytes, t.bytes, size);
            tensor_file *f;
            lens_status status = tensors_parse(ctx, &f, cut.bytes, size, "cut.pth");
            if (status != LENS_BAD_FILE)
                fail_msg("%s cut to %zu bytes: %s", names[i], size, lens_status_name(status));
            free(cut.bytes);
        }
        drop(&t);
    }
}

/* A flipped bit is refused or changes numbers and names, never more than that. */
static void test_flipped(void **state) {
    static const char *const names[] = { "protocol4.pth", "plain-stream.pth" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        text t = { 0 };
        float value[64];
        read_fixture(names[i], &t);
        for (size_t bit = 0; bit < 8 * t.size; bit++) {
            tensor_file *f;
            t.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            lens_status status = tensors_parse(ctx, &f, t.bytes, t.size, "flip.pth");
            for (size_t k = 0; status == LENS_OK && k < tensors_count(f); k++) {
                const st_tensor *s = tensors_at(f, k);
                assert_true(s->count <= 64);
                st_to_float(s, 0, s->count, value);
            }
            if (status == LENS_OK) tensors_close(f);
            t.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        drop(&t);
    }
}

/* ---- The archive ---- */

static void test_zip(void **state) {
    archive z;
    tensor_file *f;
    (void)state;
    good_archive(&z);
    assert_ok(ctx, tensors_parse(ctx, &f, z.all.bytes, z.all.size, "good.pth"));
    expect(f, "w", ST_F32, 2, DIMS(2, 2), VALUES(1, 2, 3, 4));
    tensors_close(f);
    drop(&z.all);

/* One good archive with this change, refused for this cause. */
#define CHANGED(status, part, change)                                                              \
    do {                                                                                           \
        good_archive(&z);                                                                          \
        change;                                                                                    \
        refused(&z.all, status, part);                                                             \
        drop(&z.all);                                                                              \
    } while (0)
    CHANGED(LENS_UNSUPPORTED, "is compressed (method 8)", patch(&z.all, z.record[1] + 10, 8, 2));
    CHANGED(LENS_UNSUPPORTED, "compressed or encrypted by its local header",
            patch(&z.all, z.header[1] + 8, 8, 2));
    CHANGED(LENS_UNSUPPORTED, "is encrypted", patch(&z.all, z.record[1] + 8, 1, 2));
    CHANGED(LENS_UNSUPPORTED, "is encrypted", patch(&z.all, z.record[1] + 8, 1 << 6, 2));
    CHANGED(LENS_UNSUPPORTED, "split over several files", patch(&z.all, z.end + 4, 1, 2));
    CHANGED(LENS_UNSUPPORTED, "lies in another file", patch(&z.all, z.record[1] + 34, 1, 2));
    CHANGED(LENS_BAD_FILE, "outside the", patch(&z.all, z.record[1] + 42, z.end, 4));
    CHANGED(LENS_BAD_FILE, "expected the local header",
            patch(&z.all, z.record[1] + 42, z.header[1] + 1, 4));
    CHANGED(LENS_BAD_FILE, "is stored in", patch(&z.all, z.record[1] + 20, 17, 4));
    CHANGED(LENS_BAD_FILE, "by its local header and", {
        patch(&z.all, z.record[1] + 20, 12, 4);
        patch(&z.all, z.record[1] + 24, 12, 4);
    });
    CHANGED(LENS_BAD_FILE, "are left before the central directory", {
        patch(&z.all, z.record[1] + 20, 17, 4);
        patch(&z.all, z.record[1] + 24, 17, 4);
        patch(&z.all, z.header[1] + 22, 17, 4);
    });
    CHANGED(LENS_BAD_FILE, "name entry \"a/data/0\" differently",
            patch(&z.all, z.header[1] + 30, 'b', 1));
    CHANGED(LENS_BAD_FILE, "overlaps the one before it", {
        size_t size = z.of[0].size + 4;
        patch(&z.all, z.record[0] + 20, size, 4);
        patch(&z.all, z.record[0] + 24, size, 4);
        patch(&z.all, z.header[0] + 22, size, 4);
    });
    CHANGED(LENS_BAD_FILE, "ZIP64 numbers that are missing",
            patch(&z.all, z.record[1] + 24, 0xffffffff, 4));
    CHANGED(LENS_BAD_FILE, "ZIP64 record that is missing",
            patch(&z.all, z.end + 16, 0xffffffff, 4));
    CHANGED(LENS_BAD_FILE, "does not end at", patch(&z.all, z.end + 12, 5, 4));
    CHANGED(LENS_BAD_FILE, "do not fit", {
        patch(&z.all, z.end + 8, 60000, 2);
        patch(&z.all, z.end + 10, 60000, 2);
    });
    CHANGED(LENS_BAD_FILE, "follow the last record", {
        patch(&z.all, z.end + 8, 1, 2);
        patch(&z.all, z.end + 10, 1, 2);
    });
    CHANGED(LENS_BAD_FILE, "expected a record", patch(&z.all, z.record[1], 0, 1));
    CHANGED(LENS_BAD_FILE, "runs past", patch(&z.all, z.record[1] + 30, 60000, 2));
    CHANGED(LENS_BAD_FILE, "no end record", patch(&z.all, z.end + 20, 9, 2));
    CHANGED(LENS_BAD_FILE, "has no entry \"a/data/0\"", {
        patch(&z.all, z.header[1] + 37, '1', 1);
        patch(&z.all, z.record[1] + 53, '1', 1);
    });

    static const char *const climbing[] = { "../x", "a/../x", "a/..", "/etc/x", "a\\x", "C:x" };
    for (size_t i = 0; i < LENS_COUNT(climbing); i++) {
        z = (archive){ 0 };
        add_entry(&z, climbing[i], "", 0);
        close_archive(&z);
        refused(&z.all, LENS_BAD_FILE, "names a path outside its folder");
        drop(&z.all);
    }
    z = (archive){ 0 };
    add_entry(&z, "a/x", "1", 1);
    add_entry(&z, "a/x", "2", 1);
    close_archive(&z);
    refused(&z.all, LENS_BAD_FILE, "two entries \"a/x\"");
    drop(&z.all);
    z = (archive){ 0 };
    add_entry(&z, "a/x..y", "1", 1);
    close_archive(&z);
    refused(&z.all, LENS_BAD_FILE, "not of torch.save");
    drop(&z.all);
    z = (archive){ 0 };
    add_entry(&z, "a/data.pkl", "N.", 2);
    add_entry(&z, "b/data.pkl", "N.", 2);
    close_archive(&z);
    refused(&z.all, LENS_BAD_FILE, "a second data.pkl");
    drop(&z.all);
    z = (archive){ 0 };
    add_entry(&z, "a/data.pkl", "}.", 2);
    add_entry(&z, "a/byteorder", "big", 3);
    close_archive(&z);
    refused(&z.all, LENS_UNSUPPORTED, "byte order");
    drop(&z.all);
}

/* The long forms of the numbers, as archives beyond 4 GiB have them. */
static void test_zip64(void **state) {
    text t = { 0 };
    zip z;
    (void)state;
    put_str(&t, "PK\3\4");
    put_number(&t, 45, 2);
    put_number(&t, 0, 12);
    put_number(&t, UINT64_MAX, 8); /* both sizes */
    put_number(&t, 1, 2);
    put_number(&t, 20, 2);
    put_str(&t, "n");
    put_number(&t, 1, 2);
    put_number(&t, 16, 2);
    put_number(&t, 3, 8);
    put_number(&t, 3, 8);
    put_str(&t, "xyz");
    size_t directory = t.size;
    put_str(&t, "PK\1\2");
    put_number(&t, 0, 8);
    put_number(&t, 0, 8);
    put_number(&t, UINT64_MAX, 8);
    put_number(&t, 1, 2);
    put_number(&t, 28, 2);
    put_number(&t, 0, 8);
    put_number(&t, 0, 2);
    put_number(&t, 0xffffffff, 4);
    put_str(&t, "n");
    put_number(&t, 1, 2);
    put_number(&t, 24, 2);
    put_number(&t, 3, 8);
    put_number(&t, 3, 8);
    put_number(&t, 0, 8);
    size_t end64 = t.size;
    put_str(&t, "PK\6\6");
    put_number(&t, 44, 8);
    put_number(&t, 0, 4);
    put_number(&t, 0, 8);
    put_number(&t, 1, 8);
    put_number(&t, 1, 8);
    put_number(&t, end64 - directory, 8);
    put_number(&t, directory, 8);
    size_t locator = t.size;
    put_str(&t, "PK\6\7");
    put_number(&t, 0, 4);
    put_number(&t, end64, 8);
    put_number(&t, 1, 4);
    put_str(&t, "PK\5\6");
    put_number(&t, 0, 4);
    put_number(&t, 0xffffffff, 4);
    put_number(&t, UINT64_MAX, 8);
    put_number(&t, 0, 2);
    assert_ok(ctx, zip_parse(ctx, &z, t.bytes, t.size, "long.zip"));
    const zip_entry *e = zip_find(&z, "n", 1);
    assert_non_null(e);
    assert_int_equal(e->size, 3);
    assert_memory_equal(e->data, "xyz", 3);
    assert_null(zip_find(&z, "m", 1));
    zip_close(&z);
    patch(&t, locator + 8, UINT64_MAX - 3, 8);
    assert_fails(ctx, LENS_BAD_FILE, "where it is not", zip_parse(ctx, &z, t.bytes, t.size, "z"));
    patch(&t, locator + 8, end64, 8);
    patch(&t, end64 + 48, UINT64_MAX - 3, 8);
    assert_fails(ctx, LENS_BAD_FILE, "does not end at", zip_parse(ctx, &z, t.bytes, t.size, "z"));
    drop(&t);
}

/* ---- The pickle ---- */

static void pickle_refused(const char *bytes, size_t size, lens_status status, const char *part) {
    archive z;
    pickle_archive(&z, bytes, size);
    refused(&z.all, status, part);
    drop(&z.all);
}

#define PICKLE(status, part, bytes) pickle_refused(bytes, sizeof(bytes) - 1, status, part)

static void test_pickle(void **state) {
    (void)state;
    /* Names: whatever is called, it is refused where it is named. */
    PICKLE(LENS_UNSUPPORTED, "\"os.system\"",
           "\x80\x02"
           "cos\nsystem\nX\x02\0\0\0id\x85R.");
    PICKLE(LENS_UNSUPPORTED, "\"posix.system\"",
           "\x80\x02"
           "cposix\nsystem\n.");
    PICKLE(LENS_UNSUPPORTED, "\"builtins.eval\"",
           "\x80\x04\x8c\x08"
           "builtins\x8c\x04"
           "eval\x93.");
    PICKLE(LENS_UNSUPPORTED, "\"torch.load\"",
           "\x80\x02"
           "ctorch\nload\n.");
    PICKLE(LENS_UNSUPPORTED, "\"torch._utils.os.system\"",
           "\x80\x02"
           "ctorch._utils\nos.system\n.");
    PICKLE(LENS_UNSUPPORTED, "\"torch.floatstorage\"",
           "\x80\x02"
           "ctorch\nfloatstorage\n.");
    PICKLE(LENS_UNSUPPORTED, "calls \"torch.FloatStorage\"",
           "\x80\x02"
           "ctorch\nFloatStorage\n)R.");
    PICKLE(LENS_UNSUPPORTED, "\"?[31m.x\"",
           "\x80\x02"
           "c\x1b[31m\nx\n.");
    PICKLE(LENS_UNSUPPORTED, "byte 42: the file wants",
           "\x80\x02"
           "cos\nsystem\n.");
    /* Opcodes. */
    PICKLE(LENS_UNSUPPORTED, "0x81 (NEWOBJ)",
           "\x80\x02"
           "ccollections\nOrderedDict\n)\x81.");
    PICKLE(LENS_UNSUPPORTED, "0x69 (INST)", "\x80\x02(ios\nsystem\n.");
    PICKLE(LENS_UNSUPPORTED, "0x6f (OBJ)", "\x80\x02(No.");
    PICKLE(LENS_UNSUPPORTED, "0x50 (PERSID)", "\x80\x02Px\n.");
    PICKLE(LENS_UNSUPPORTED, "0x82 (EXT1)", "\x80\x02\x82\x01.");
    PICKLE(LENS_BAD_FILE, "0xff is no opcode", "\x80\x02\xff");
    PICKLE(LENS_UNSUPPORTED, "protocol 5", "\x80\x05N.");
    PICKLE(LENS_UNSUPPORTED, "protocol 0", "\x80\x00N.");
    /* The stack. */
    PICKLE(LENS_BAD_FILE, "empty stack", "\x80\x02.");
    PICKLE(LENS_BAD_FILE, "empty stack", "\x80\x02(\x85.");
    PICKLE(LENS_BAD_FILE, "empty stack", "\x80\x02N\x86.");
    PICKLE(LENS_BAD_FILE, "empty stack", "\x80\x02Na.");
    PICKLE(LENS_BAD_FILE, "empty stack", "\x80\x02(e.");
    PICKLE(LENS_BAD_FILE, "empty stack", "\x80\x02q\x00.");
    PICKLE(LENS_BAD_FILE, "empty stack",
           "\x80\x02"
           "0.");
    PICKLE(LENS_BAD_FILE, "closes what it has not opened", "\x80\x02Nt.");
    PICKLE(LENS_BAD_FILE, "values left over", "\x80\x02NN.");
    PICKLE(LENS_BAD_FILE, "a key without a value", "\x80\x02}(Nu.");
    PICKLE(LENS_BAD_FILE, "never remembered", "\x80\x02h\x00.");
    PICKLE(LENS_BAD_FILE, "never remembered", "\x80\x02Nq\x05h\x04.");
    PICKLE(LENS_BAD_FILE, "remembered values", "\x80\x02Nr\xff\xff\xff\xff.");
    PICKLE(LENS_BAD_FILE, "is truncated", "\x80\x02}");
    PICKLE(LENS_BAD_FILE, "is truncated",
           "\x80\x02"
           "ctorch\nS");
    PICKLE(LENS_BAD_FILE, "a string of 4294967295 bytes",
           "\x80\x02X\xff\xff\xff\xff"
           "a.");
    PICKLE(LENS_BAD_FILE, "a frame of", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.");
    /* Types. */
    PICKLE(LENS_BAD_FILE, "None where a list is needed", "\x80\x02NNa.");
    PICKLE(LENS_BAD_FILE, "a list where a dict is needed", "\x80\x02]NNs.");
    PICKLE(LENS_BAD_FILE, "None where a name is needed", "\x80\x02N)R.");
    PICKLE(LENS_BAD_FILE, "a mark where a list is needed", "\x80\x02((Ne.");
    PICKLE(LENS_BAD_FILE, "where a tuple is needed",
           "\x80\x02"
           "ctorch\nSize\n)R.");
    PICKLE(LENS_BAD_FILE, "None where a dict is needed", "\x80\x02}Nb.");
    PICKLE(LENS_BAD_FILE, "a list where a dict is needed", "\x80\x02]}b.");
    PICKLE(LENS_BAD_FILE, "other than pairs",
           "\x80\x02"
           "ccollections\nOrderedDict\n]Na\x85R.");
    PICKLE(LENS_UNSUPPORTED, "is no storage", "\x80\x02)Q.");
    PICKLE(LENS_BAD_FILE, "instead of a storage",
           "\x80\x02"
           "ctorch._utils\n_rebuild_tensor_v2\n)R.");
    PICKLE(LENS_BAD_FILE, "where a tensor is needed",
           "\x80\x02"
           "ctorch._utils\n_rebuild_parameter\nN\x85R.");
    /* What was saved. */
    PICKLE(LENS_BAD_FILE, "no state_dict and no checkpoint", "\x80\x02N.");
    PICKLE(LENS_BAD_FILE, "it has epoch", "\x80\x02}X\x05\0\0\0epochK\x01s.");
    PICKLE(LENS_BAD_FILE, "it has nothing", "\x80\x02}.");
    /* A dict that contains itself. */
    PICKLE(LENS_BAD_FILE, "no state_dict is found", "\x80\x02}q\0X\x05\0\0\0modelh\0s.");
    PICKLE(LENS_BAD_FILE, "no state_dict and", "\x80\x02]q\0h\0a.");
}

/* A million lists in each other, a stack without end, one list with millions of items. */
static void test_pickle_large(void **state) {
    enum { MANY = 1000000 };
    char *p = malloc(5 * MANY);
    (void)state;
    assert_non_null(p);
    memcpy(p, "\x80\x02", 2);
    memset(p + 2, ']', MANY);
    memset(p + 2 + MANY, 'a', MANY - 1);
    p[1 + 2 * MANY] = '.';
    pickle_refused(p, 2 + 2 * MANY, LENS_BAD_FILE, "no state_dict and no checkpoint");
    memset(p + 2, '(', 2 * MANY);
    pickle_refused(p, 2 + 2 * MANY, LENS_BAD_FILE, "values on its stack");
    memset(p + 2, ')', 2 * MANY);
    for (int i = 3; i < 2 * MANY; i += 2) p[i] = '0';
    pickle_refused(p, 2 + 2 * MANY, LENS_BAD_FILE, "is truncated");
    p[2] = ']';
    for (int i = 3; i + 1 < 5 * MANY; i += 2) memcpy(p + i, "Na", 2);
    pickle_refused(p, 5 * MANY, LENS_BAD_FILE, "items in its containers");
    free(p);
}

static void tensor_refused(lens_status status, const char *part, int64_t room, int64_t offset,
                           int rank, const int64_t *dim, const int64_t *stride) {
    archive z;
    tensor_archive(&z, room, offset, rank, dim, stride);
    refused(&z.all, status, part);
    drop(&z.all);
}

static void test_shapes(void **state) {
    const int64_t big = INT64_MAX;
    (void)state;
    tensor_refused(LENS_BAD_FILE, "lead past the 4 elements", 4, 1, 1, DIMS(4), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "lead past the 4 elements", 4, 0, 2, DIMS(2, 2), DIMS(3, 1));
    tensor_refused(LENS_BAD_FILE, "lead past the 4 elements", 4, big, 1, DIMS(1), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "lead past the 4 elements", 4, 5, 1, DIMS(0), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "lead past the 4 elements", 4, 0, 2, DIMS(3, 1), DIMS(big, 1));
    tensor_refused(LENS_BAD_FILE, "lead past the 4 elements", 4, 0, 2, DIMS(2, 2), DIMS(big, big));
    tensor_refused(LENS_BAD_FILE, "stride 0 is no number", 4, 0, 1, DIMS(-1), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "stride 1 is no number", 4, 0, 2, DIMS(1, 2), DIMS(1, -1));
    tensor_refused(LENS_BAD_FILE, "offset, size or stride", 4, -1, 1, DIMS(1), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "more elements than fit", 4, 0, 2, DIMS(big, 4), DIMS(0, 0));
    tensor_refused(LENS_UNSUPPORTED, "share the 4 of its storage", 4, 0, 1, DIMS(big), DIMS(0));
    tensor_refused(LENS_UNSUPPORTED, "rank 9", 4, 0, 9, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1),
                   DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1));
    tensor_refused(LENS_BAD_FILE, "has 16 bytes, but tensor \"w\" expects 5 elements", 5, 0, 1,
                   DIMS(4), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "has 16 bytes, but tensor \"w\" expects 3 elements", 3, 0, 1,
                   DIMS(3), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "more than fit in memory", big, 0, 1, DIMS(4), DIMS(1));
    tensor_refused(LENS_BAD_FILE, "is not what it must be", -4, 0, 1, DIMS(4), DIMS(1));
}

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *first, *second, *part;
    } CASES[] = { { "w", "w", "two tensors are called \"w\"" }, { "", "w", "an empty name" } };
    for (size_t i = 0; i < LENS_COUNT(CASES); i++) {
        static const float data[1] = { 1 };
        text p = { 0 };
        archive z = { 0 };
        put_str(&p, "\x80\x02}(");
        put_name(&p, CASES[i].first);
        put_tensor(&p, "0", 1, 0, 1, DIMS(1), DIMS(1));
        put_name(&p, CASES[i].second);
        put_tensor(&p, "0", 1, 0, 1, DIMS(1), DIMS(1));
        put_str(&p, "u.");
        add_entry(&z, "a/data.pkl", p.bytes, p.size);
        add_entry(&z, "a/data/0", data, sizeof data);
        close_archive(&z);
        refused(&z.all, LENS_BAD_FILE, CASES[i].part);
        drop(&z.all);
        drop(&p);
    }
}

/* ---- The stream ---- */

static void test_stream(void **state) {
    text t = { 0 };
    size_t magic = 4;
    (void)state;
    read_fixture("plain-stream.pth", &t);
    t.bytes[magic] ^= 1;
    refused(&t, LENS_BAD_FILE, "a Python pickle, but not of torch.save");
    t.bytes[magic] ^= 1;
    t.bytes[18] ^= 1; /* 1001 */
    refused(&t, LENS_UNSUPPORTED, "protocol of the PyTorch file");
    t.bytes[18] ^= 1;
    for (size_t i = 0; i + 13 < 200; i++)
        if (!memcmp(t.bytes + i, "little_endian", 13)) {
            uint8_t *value = t.bytes + i + 15; /* behind q\2 */
            assert_int_equal(*value, 0x88);
            *value = 0x89;
            refused(&t, LENS_UNSUPPORTED, "little-endian");
            *value = 0x88;
        }
    put_str(&t, "more");
    refused(&t, LENS_BAD_FILE, "4 bytes follow the last storage");
    t.size -= 5;
    refused(&t, LENS_BAD_FILE, ": storage \"");
    drop(&t);
}

/* ---- What is no model ---- */

static void test_mistakes(void **state) {
    static const struct {
        const char *bytes, *part;
    } CASES[] = {
        { "", "the file is empty" },
        { "<!DOCTYPE html><html>", "a web page" },
        { "\xef\xbb\xbf \n<HTML lang=en>", "a web page" },
        { "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
          "a Git LFS pointer" },
        { "Not Found", "text, not a file of tensors" },
        { "\x1f\x8b\x08 and so on", "compressed by gzip" },
    };
    (void)state;
    for (size_t i = 0; i < LENS_COUNT(CASES); i++) {
        text t = { 0 };
        put_str(&t, CASES[i].bytes);
        refused(&t, LENS_BAD_FILE, CASES[i].part);
        drop(&t);
    }
}

/* ---- Into a net ---- */

/* conv1 (2,1,3,3) without bias, bn1 (2), fc (3 or 5 classes, 2). */
static lens_net *small_net(int classes) {
    lens_net *net = lens_net_new(ctx, "small");
    lens_node *x = lens_input(net, "input", 1, 4, 4);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 2, .kernel = { 3 }, .no_bias = true });
    x = lens_batchnorm(x, "bn1", (lens_batchnorm_opts){ 0 });
    x = lens_global_avgpool(x, "pool");
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = classes });
    assert_ok(ctx, lens_net_finish(net, x));
    return net;
}

typedef struct wanted {
    const char *name;
    int rank;
    int64_t dim[4];
} wanted;

/* Tensors that count 1, 2, 3, ... through the file, as an archive. */
static void write_weights(const char *path, const wanted *w, size_t count) {
    char key[16][24];
    float value = 1, data[64];
    text p = { 0 };
    archive z = { 0 };
    put_str(&p, "\x80\x02}(");
    for (size_t i = 0; i < count; i++) {
        int64_t stride[4], n = 1;
        for (int d = w[i].rank; d-- > 0; n *= w[i].dim[d]) stride[d] = n;
        snprintf(key[i], sizeof key[i], "a/data/%zu", i);
        put_name(&p, w[i].name);
        put_tensor(&p, key[i] + 7, n, 0, w[i].rank, w[i].dim, stride);
        for (int64_t k = 0; k < n; k++) data[k] = value++;
        add_entry(&z, key[i], data, (size_t)n * sizeof *data);
    }
    put_str(&p, "u.");
    add_entry(&z, "a/data.pkl", p.bytes, p.size);
    close_archive(&z);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(z.all.bytes, 1, z.all.size, file), z.all.size);
    fclose(file);
    drop(&z.all);
    drop(&p);
}

static float param_at(lens_net *net, const char *name, int i) {
    lens_param p;
    assert_ok(ctx, lens_net_param_named(net, name, &p));
    return p.value.data[i];
}

static void test_into_net(void **state) {
    static const wanted good[] = {
        { "module.conv1.weight", 4, { 2, 1, 3, 3 } },
        { "module.bn1.weight", 1, { 2 } },
        { "module.bn1.bias", 1, { 2 } },
        { "module.bn1.running_mean", 1, { 2 } },
        { "module.bn1.running_var", 1, { 2 } },
        { "module.bn1.num_batches_tracked", 0, { 0 } },
        { "module.linear.weight", 2, { 3, 2 } },
        { "module.linear.bias", 1, { 3 } },
    };
    const char *path = in_dir("weights.bin"); /* the ending says nothing */
    char *left;
    (void)state;
    write_weights(path, good, 8);
    lens_net *net = small_net(3);
    assert_ok(ctx, lens_net_load_weights(net, path));
    assert_near(param_at(net, "conv1.weight", 17), 18, 0);
    assert_near(param_at(net, "bn1.running_var", 1), 26, 0);
    assert_near(param_at(net, "fc.weight", 0), 28, 0);
    assert_near(param_at(net, "fc.bias", 2), 36, 0);
    lens_net_free(net);

    /* Another number of classes: refused, or a new head where that is wanted. */
    net = small_net(5);
    assert_fails(ctx, LENS_BAD_FILE,
                 "mismatched: fc.weight (the file has 3x2, the net 5x2), fc.bias",
                 lens_net_load_weights(net, path));
    assert_near(param_at(net, "conv1.weight", 17), 0, 0);
    assert_ok(ctx, lens_net_load_weights_with(net, path,
                                              &(lens_weights_opts){ .replace_head = true }, &left));
    assert_string_equal(left, "new head: fc.bias, fc.weight (3 classes in the file, 5 in the net)");
    assert_near(param_at(net, "conv1.weight", 17), 18, 0);
    assert_near(param_at(net, "fc.weight", 0), 0, 0);
    lens_free(ctx, left);
    lens_net_free(net);

    /* Part of it, and a stranger. */
    static const wanted part[] = {
        { "conv1.weight", 4, { 2, 1, 3, 3 } },
        { "bn1.weight", 1, { 3 } },
        { "other", 1, { 1 } },
    };
    write_weights(path, part, 3);
    net = small_net(3);
    assert_fails(ctx, LENS_BAD_FILE, "missing: bn1.bias, bn1.running_mean",
                 lens_net_load_weights(net, path));
    assert_near(param_at(net, "conv1.weight", 17), 0, 0);
    assert_fails(
        ctx, LENS_BAD_FILE, "unexpected: other",
        lens_net_load_weights_with(net, path, &(lens_weights_opts){ .replace_head = true }, &left));
    assert_null(left);
    assert_ok(
        ctx, lens_net_load_weights_with(net, path, &(lens_weights_opts){ .partial = true }, &left));
    assert_non_null(strstr(left, "missing: bn1.bias"));
    assert_non_null(strstr(left, "unexpected: other"));
    assert_non_null(strstr(left, "mismatched: bn1.weight (the file has 3, the net 2)"));
    lens_free(ctx, left);
    assert_near(param_at(net, "conv1.weight", 17), 18, 0);
    write_weights(path, part + 2, 1);
    assert_fails(
        ctx, LENS_BAD_FILE, "none of the weights fits",
        lens_net_load_weights_with(net, path, &(lens_weights_opts){ .partial = true }, NULL));
    lens_net_free(net);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        T("files of PyTorch 1.13: both forms, protocols 2 to 4, every type", test_committed),
        T("files that PyTorch writes now", test_made_now),
        T("converting to safetensors", test_convert),
        T("a file cut anywhere is refused", test_truncated),
        T("a flipped bit does no harm", test_flipped),
        T("archives: compressed, encrypted, duplicate, climbing, overlapping, outside", test_zip),
        T("archives with long numbers (ZIP64)", test_zip64),
        T("pickles: unknown names, opcodes, types, circles", test_pickle),
        T("pickles: a million deep, endless stacks and lists", test_pickle_large),
        T("shapes, strides, offsets and storages that do not fit", test_shapes),
        T("names twice or empty", test_names),
        T("the stream form", test_stream),
        T("web pages, Git LFS pointers, text, empty files", test_mistakes),
        T("weights into a net: strict, partial, new head, other names", test_into_net),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
