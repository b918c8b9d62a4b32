/* test_format_files.c - IDX, NPY, safetensors and net text: good files come back as written, bad ones
 * are refused with a message that says where.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/idx.h"
#include "format/nettext.h"
#include "format/npy.h"
#include "format/safetensors.h"
#include "support/fixture.h"
#include "test.h"
#include <zlib.h>

/* ---- IDX ---- */

static size_t gzip(const void *bytes, size_t size, uint8_t *out, size_t room) {
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static const uint8_t PLAIN_IDX[16 + 12] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                            0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

static void idx_good(void **state) {
    (void)state;
    uint8_t packed[256];
    size_t size = gzip(PLAIN_IDX, sizeof PLAIN_IDX, packed, sizeof packed);
    for (int gz = 0; gz < 2; gz++) {
        idx a;
        assert_ok(ctx, idx_decode(ctx, &a, gz ? packed : PLAIN_IDX, gz ? size : sizeof PLAIN_IDX,
                                  "a", 100));
        assert_int_equal(a.rank, 3);
        assert_int_equal(a.dim[0], 2);
        assert_int_equal(a.dim[1], 2);
        assert_int_equal(a.dim[2], 3);
        assert_int_equal(a.size, 12);
        for (int i = 0; i < 12; i++) assert_int_equal(a.data[i], i + 1);
        ctx_free(ctx, a.data);
    }
}

static void idx_bad(void **state) {
    (void)state;
    static const struct {
        int at, value; /* a byte to change; -1: none */
        int size;      /* added to the size */
        lens_status status;
        const char *part;
    } CASE[] = {
        { -1, 0, -28, LENS_BAD_FILE, "empty" },
        { -1, 0, -25, LENS_BAD_FILE, "truncated" },
        { -1, 0, -14, LENS_BAD_FILE, "dimension 2" },
        { -1, 0, -1, LENS_BAD_FILE, "announces 12 bytes but 11 follow" },
        { -1, 0, 1, LENS_BAD_FILE, "left over" },
        { 0, 'P', 0, LENS_BAD_FILE, "not IDX: it begins 50 00 08 03" },
        { 2, 0x0D, 0, LENS_UNSUPPORTED, "0x0d" },
        { 3, 0, 0, LENS_BAD_FILE, "rank 0" },
        { 3, 9, 0, LENS_BAD_FILE, "rank 9" },
        { 4, 255, 0, LENS_BAD_FILE, "more than 100 bytes" },
        { 7, 200, 0, LENS_BAD_FILE, "more than 100 bytes" },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++)
        for (int gz = 0; gz < 2; gz++) {
            uint8_t bytes[64] = { 0 }, packed[256];
            idx a;
            memcpy(bytes, PLAIN_IDX, sizeof PLAIN_IDX);
            if (CASE[i].at >= 0) bytes[CASE[i].at] = (uint8_t)CASE[i].value;
            size_t size = (size_t)((int)sizeof PLAIN_IDX + CASE[i].size);
            if (gz && size == 0) continue;
            size_t packed_size = gzip(bytes, size, packed, sizeof packed);
            assert_fails(
                ctx, CASE[i].status, CASE[i].part,
                idx_decode(ctx, &a, gz ? packed : bytes, gz ? packed_size : size, "x.idx", 100));
            assert_non_null(strstr(lens_why(ctx), "x.idx"));
            assert_null(a.data);
        }
    /* A header whose product overflows 64 bits. */
    static const uint8_t HUGE_IDX[20] = { 0,   0,   8,   4,   255, 255, 255, 255, 255, 255,
                                          255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
    idx a;
    assert_fails(ctx, LENS_BAD_FILE, "more than",
                 idx_decode(ctx, &a, HUGE_IDX, sizeof HUGE_IDX, "huge", SIZE_MAX / 2));
    /* Every truncation of the compressed form, and a byte too many. */
    uint8_t packed[256] = { 0 };
    size_t size = gzip(PLAIN_IDX, sizeof PLAIN_IDX, packed, sizeof packed);
    for (size_t cut = 1; cut < size; cut++)
        assert_fails(ctx, LENS_BAD_FILE, "cut", idx_decode(ctx, &a, packed, cut, "cut", 100));
    assert_fails(ctx, LENS_BAD_FILE, "left over",
                 idx_decode(ctx, &a, packed, size + 1, "more", 100));
    packed[size - 5] ^= 1; /* the checksum */
    assert_fails(ctx, LENS_BAD_FILE, "damaged", idx_decode(ctx, &a, packed, size, "sum", 100));
}

/* ---- NPY ---- */

static size_t make_npy(uint8_t *out, const char *header, const void *data, size_t size) {
    size_t length = strlen(header);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    memcpy(out + 10, header, length);
    memcpy(out + 10 + length, data, size);
    return 10 + length + size;
}

static void npy_types(void **state) {
    (void)state;
    static const struct {
        const char *header, *data;
        size_t size;
        double want[4];
        int rank;
    } CASE[] = {
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
          "\0\0\x80\x3f\0\0\0\xc0",
          8,
          { 1, -2 },
          1 },
        { "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
          "\x3f\x80\0\0\xc0\0\0\0",
          8,
          { 1, -2 },
          1 },
        { "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
          "\0\0\0\0\0\0\x04\xc0",
          8,
          { -2.5 },
          0 },
        { "{'shape': (1,1,2), 'fortran_order': False, 'descr': '>i2'}",
          "\xff\xfe\x01\x00",
          4,
          { -2, 256 },
          3 },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }",
          "\0\1\x80\xff",
          4,
          { 0, 1, 128, 255 },
          2 },
        { "{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }",
          "\x80\x7f",
          2,
          { -128, 127 },
          1 },
        { "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }",
          "\xff\xff\xff\xff",
          4,
          { -1 },
          1 },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }",
          "\0\0\0\0\0\1\0\0",
          8,
          { 1099511627776.0 },
          1 },
        { "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", "\0\1", 2, { 0, 1 }, 1 },
        /* Fortran order: the first index runs fastest in the file. */
        { "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2), }",
          "\0\1\2\3",
          4,
          { 0, 2, 1, 3 },
          2 },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        uint8_t bytes[256];
        lens_tensor t;
        size_t size = make_npy(bytes, CASE[i].header, CASE[i].data, CASE[i].size);
        assert_ok(ctx, npy_decode(ctx, &t, bytes, size, "a.npy"));
        assert_int_equal(t.rank, CASE[i].rank);
        for (int64_t k = 0; k < lens_tensor_count(&t); k++)
            if ((double)t.data[k] != CASE[i].want[k]) fail_msg("case %zu, element %d", i, (int)k);
        ctx_free(ctx, t.data);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(npy_decode(ctx, &t, bytes, cut, "cut"), LENS_BAD_FILE);
        bytes[size] = 0;
        assert_fails(ctx, LENS_BAD_FILE, "trailing", npy_decode(ctx, &t, bytes, size + 1, "more"));
    }
}

static void npy_bad(void **state) {
    (void)state;
    static const struct {
        const char *header;
        lens_status status;
        const char *part;
    } CASE[] = {
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", LENS_UNSUPPORTED, "<c8" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", LENS_UNSUPPORTED, "|O" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1), }", LENS_UNSUPPORTED,
          "rank" },
        { "{'descr': '<f4', 'fortran_order': False, }", LENS_BAD_FILE, "shape before" },
        { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", LENS_BAD_FILE,
          "once" },
        { "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", LENS_BAD_FILE, "True or False" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", LENS_BAD_FILE, "number" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,99999999999), }",
          LENS_BAD_FILE, "too many" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x", LENS_BAD_FILE,
          "nothing after" },
        { "['descr']", LENS_BAD_FILE, "'{'" },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        uint8_t bytes[256];
        lens_tensor t;
        size_t size = make_npy(bytes, CASE[i].header, "\0\0\0\0", 4);
        assert_fails(ctx, CASE[i].status, CASE[i].part, npy_decode(ctx, &t, bytes, size, "b.npy"));
        assert_null(t.data);
    }
    lens_tensor t;
    assert_fails(ctx, LENS_BAD_FILE, "not an NPY", npy_decode(ctx, &t, "hello, world", 12, "b"));
}

static void npy_round_trip(void **state) {
    (void)state;
    float data[24];
    for (int i = 0; i < 24; i++) data[i] = (float)i / 7 - 1;
    static const lens_tensor SHAPE[] = { { .rank = 0 },
                                         { .rank = 1, .dim = { 24 } },
                                         { .rank = 4, .dim = { 2, 3, 1, 4 } },
                                         { .rank = 2, .dim = { 0, 5 } } };
    for (size_t i = 0; i < LENS_COUNT(SHAPE); i++) {
        lens_tensor t = SHAPE[i], back;
        t.data = data;
        assert_ok(ctx, lens_npy_write(ctx, &t, in_dir("t.npy")));
        assert_ok(ctx, lens_npy_read(ctx, &back, in_dir("t.npy")));
        assert_int_equal(back.rank, t.rank);
        for (int d = 0; d < t.rank; d++) assert_int_equal(back.dim[d], t.dim[d]);
        assert_memory_equal(back.data, data, (size_t)lens_tensor_count(&t) * sizeof(float));
        lens_free(ctx, back.data);
    }
    char *bytes;
    size_t size;
    assert_ok(ctx, file_read(ctx, in_dir("t.npy"), 1 << 16, &bytes, &size));
    assert_int_equal(size % 64, 0); /* an empty array: the header alone, padded as NumPy does */
    ctx_free(ctx, bytes);
}

/* ---- safetensors ---- */

static size_t make_st(uint8_t *out, const char *header, size_t data) {
    size_t length = strlen(header);
    memset(out, 0, 8);
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(length >> (8 * i));
    memcpy(out + 8, header, length);
    for (size_t i = 0; i < data; i++) out[8 + length + i] = (uint8_t)i;
    return 8 + length + data;
}

static void st_round_trip(void **state) {
    (void)state;
    float w[6] = { 1, -2, 3.5f, 0, 1e-30f, -7 }, got[6];
    int64_t n[1] = { -3 };
    st_tensor t[] = {
        { "conv1.weight", ST_F32, 2, { 2, 3 }, 6, w },
        { "empty", ST_F32, 2, { 0, 3 }, 0, w },
        { "steps", ST_I64, 0, { 0 }, 1, n },
    };
    st_pair meta[] = { { "net", "input data 1x28x28\n\"quoted\" \xe4\xb8\xad" },
                       { "classes", "a\nb" } };
    st_file *f;
    assert_ok(ctx, st_write(ctx, in_dir("m.safetensors"), t, 3, meta, 2));
    assert_ok(ctx, st_open(ctx, &f, in_dir("m.safetensors")));
    assert_int_equal(st_count(f), 3);
    assert_int_equal(st_meta_count(f), 2);
    assert_string_equal(st_meta(f, "net"), meta[0].value);
    assert_string_equal(st_meta_at(f, 1).key, "classes");
    assert_null(st_meta(f, "absent"));
    assert_null(st_find(f, "conv1"));
    for (int i = 0; i < 3; i++) {
        const st_tensor *r = st_find(f, t[i].name);
        assert_non_null(r);
        assert_int_equal(r->dtype, t[i].dtype);
        assert_int_equal(r->rank, t[i].rank);
        assert_int_equal(r->count, t[i].count);
        assert_memory_equal(r->data, t[i].data, (size_t)t[i].count * st_dtype_size(t[i].dtype));
    }
    st_to_float(st_find(f, "conv1.weight"), 0, 6, got);
    assert_memory_equal(got, w, sizeof w);
    st_to_float(st_find(f, "conv1.weight"), 2, 1, got);
    assert_true(got[0] == 3.5f);
    st_to_float(st_find(f, "steps"), 0, 1, got);
    assert_true(got[0] == -3);
    st_close(f);

    char *a, *b;
    size_t na, nb;
    assert_ok(ctx, file_read(ctx, in_dir("m.safetensors"), 1 << 16, &a, &na));
    assert_ok(ctx, st_write(ctx, in_dir("n.safetensors"), t, 3, meta, 2));
    assert_ok(ctx, file_read(ctx, in_dir("n.safetensors"), 1 << 16, &b, &nb));
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    assert_int_equal((uint8_t)a[0] % 8, 0); /* the header's length */
    for (size_t cut = 0; cut < na; cut++) {
        assert_int_equal(st_parse(ctx, &f, a, cut, "cut"), LENS_BAD_FILE);
        assert_null(f);
    }
    ctx_free(ctx, a);
    ctx_free(ctx, b);
    t[1].name = "steps";
    assert_fails(ctx, LENS_BAD_ARG, "steps", st_write(ctx, in_dir("n"), t, 3, NULL, 0));
    t[1].name = "\xff";
    assert_fails(ctx, LENS_BAD_ARG, "UTF-8", st_write(ctx, in_dir("n"), t, 3, NULL, 0));
    assert_fails(ctx, LENS_IO, "no/where", st_open(ctx, &f, "no/where"));
}

static void st_dtypes(void **state) {
    (void)state;
    static const struct {
        const char *dtype;
        uint8_t bytes[8];
        size_t size;
        float want;
    } CASE[] = {
        { "BOOL", { 1 }, 1, 1 },
        { "U8", { 200 }, 1, 200 },
        { "I8", { 200 }, 1, -56 },
        { "U16", { 0, 128 }, 2, 32768 },
        { "I16", { 0, 128 }, 2, -32768 },
        { "F16", { 0, 0xc2 }, 2, -3 },
        { "F16", { 1, 0 }, 2, 0x1p-24f },
        { "F16", { 0xff, 0x7b }, 2, 65504 },
        { "F16", { 0, 0x7c }, 2, INFINITY },
        { "BF16", { 0x40, 0xc0 }, 2, -3 },
        { "U32", { 0, 0, 0, 128 }, 4, 2147483648.0f },
        { "I32", { 255, 255, 255, 255 }, 4, -1 },
        { "F32", { 0, 0, 0x40, 0xc0 }, 4, -3 },
        { "U64", { 0, 0, 0, 0, 0, 1 }, 8, 1099511627776.0f },
        { "I64", { 254, 255, 255, 255, 255, 255, 255, 255 }, 8, -2 },
        { "F64", { 0, 0, 0, 0, 0, 0, 8, 0xc0 }, 8, -3 },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        char header[128];
        uint8_t file[256];
        st_file *f;
        float got;
        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,%zu]}}", CASE[i].dtype,
                 CASE[i].size);
        size_t size = make_st(file, header, CASE[i].size);
        memcpy(file + size - CASE[i].size, CASE[i].bytes, CASE[i].size);
        assert_ok(ctx, st_parse(ctx, &f, file, size, "a"));
        assert_string_equal(st_dtype_name(st_at(f, 0)->dtype), CASE[i].dtype);
        st_to_float(st_at(f, 0), 0, 1, &got);
        if (got != CASE[i].want)
            fail_msg("%s: %g, expected %g", CASE[i].dtype, (double)got, (double)CASE[i].want);
        st_close(f);
    }
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void st_bad(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        lens_status status;
        const char *part;
    } CASE[] = {
        { "[1,2]", 0, LENS_BAD_FILE, "'{'" },
        { "{\"a\":1}", 0, LENS_BAD_FILE, "\"a\"" },
        { "{" A "," A "}", 8, LENS_BAD_FILE, "duplicate" },
        { "{" A ",}", 8, LENS_BAD_FILE, "byte" },
        { "{" A "}", 7, LENS_BAD_FILE, "outside the 7 bytes" },
        { "{" A "}", 9, LENS_BAD_FILE, "9 bytes of data follow" },
        { "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 8, LENS_BAD_FILE,
          "overlap" },
        { "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[9,13]}}", 13,
          LENS_BAD_FILE, "gap" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, LENS_BAD_FILE,
          "do not fill" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, LENS_BAD_FILE,
          "outside" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, LENS_BAD_FILE,
          "dimension 0" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, LENS_BAD_FILE,
          "dimension 0" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
          LENS_BAD_FILE, "more elements" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
          LENS_BAD_FILE, "do not fill" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", 8,
          LENS_BAD_FILE, "outside" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, LENS_BAD_FILE,
          "two numbers" },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LENS_UNSUPPORTED,
          "F4" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
          LENS_UNSUPPORTED, "rank 9" },
        { "{\"__metadata__\":{\"x\":1}}", 0, LENS_BAD_FILE, "no string" },
        { "{\"__metadata__\":[]}", 0, LENS_BAD_FILE, "no object" },
        { "{\"a\xff\":1}", 0, LENS_BAD_FILE, "header, byte" },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        uint8_t file[512];
        st_file *f;
        size_t size = make_st(file, CASE[i].header, CASE[i].data);
        lens_status status = st_parse(ctx, &f, file, size, "bad.safetensors");
        if (status != CASE[i].status || !strstr(lens_why(ctx), CASE[i].part))
            fail_msg("case %zu: %s: %s", i, lens_status_name(status), lens_why(ctx));
        assert_null(f);
    }
    uint8_t huge[16] = { 255, 255, 255, 255, 255, 255, 255, 127, '{', '}' };
    st_file *f;
    assert_fails(ctx, LENS_BAD_FILE, "announced", st_parse(ctx, &f, huge, sizeof huge, "huge"));
    /* A million brackets: refused without deep recursion. */
    size_t deep = 1000000;
    uint8_t *nested = malloc(deep + 8);
    memset(nested, '[', deep + 8);
    for (int i = 0; i < 8; i++) nested[i] = (uint8_t)(deep >> (8 * i));
    memcpy(nested + 8, "{\"a\":", 5);
    assert_fails(ctx, LENS_BAD_FILE, "depth", st_parse(ctx, &f, nested, deep + 8, "deep"));
    free(nested);
}

/* ---- net text ---- */

static const char LENET[] = "# a comment\n"
                            "net lenet5\n"
                            "\n"
                            "input data 1x28x28   # the picture\n"
                            "conv2d conv1 out=6 kernel=5x5 pad=2\r\n"
                            "relu\n"
                            "  maxpool pool1 kernel=2 stride=2\n"
                            "add from=pool1,conv1 note=\"two \\\"words\\\" # here\\n\"\n"
                            "dense fc from=add1 table=1,2,3 x=-1e-5";

static void text_good(void **state) {
    (void)state;
    desc d, again;
    char *text, *second;
    assert_ok(ctx, desc_parse(ctx, &d, LENET, sizeof LENET - 1, "lenet.txt"));
    assert_string_equal(d.name, "lenet5");
    assert_int_equal(d.count, 6);
    assert_string_equal(d.layer[0].kind, "input");
    assert_string_equal(d.layer[0].name, "data");
    assert_string_equal(desc_value(&d.layer[0], "shape"), "1x28x28");
    assert_string_equal(desc_value(&d.layer[1], "kernel"), "5x5");
    assert_int_equal(d.layer[1].line, 5);
    assert_int_equal(d.layer[1].attr[1].column, 20);
    assert_null(d.layer[2].name);
    assert_null(desc_value(&d.layer[2], "slope"));
    assert_int_equal(d.layer[3].column, 3);
    assert_int_equal(d.layer[4].from_count, 2);
    assert_string_equal(d.layer[4].from[1], "conv1");
    assert_string_equal(desc_value(&d.layer[4], "note"), "two \"words\" # here\n");
    assert_string_equal(desc_value(&d.layer[5], "x"), "-1e-5");

    assert_ok(ctx, desc_print(ctx, &d, &text));
    assert_ok(ctx, desc_parse(ctx, &again, text, strlen(text), "again"));
    assert_int_equal(again.count, d.count);
    for (int i = 0; i < d.count; i++) {
        const desc_layer *a = &d.layer[i], *b = &again.layer[i];
        assert_string_equal(a->kind, b->kind);
        assert_int_equal(!a->name, !b->name);
        if (a->name) assert_string_equal(a->name, b->name);
        assert_int_equal(a->from_count, b->from_count);
        for (int k = 0; k < a->from_count; k++) assert_string_equal(a->from[k], b->from[k]);
        assert_int_equal(a->attr_count, b->attr_count);
        for (int k = 0; k < a->attr_count; k++) {
            assert_string_equal(a->attr[k].key, b->attr[k].key);
            assert_string_equal(a->attr[k].value, b->attr[k].value);
        }
    }
    assert_ok(ctx, desc_print(ctx, &again, &second));
    assert_string_equal(text, second);
    assert_non_null(strstr(text, "\nconv2d  conv1 out=6 kernel=5x5 pad=2\n"));
    ctx_free(ctx, text);
    ctx_free(ctx, second);
    desc_free(ctx, &d);
    desc_free(ctx, &again);

    /* A name too long to align by is still printed. */
    static const char LONG[] = "relu a_name_of_more_than_thirty_two_characters";
    assert_ok(ctx, desc_parse(ctx, &d, LONG, sizeof LONG - 1, "long"));
    assert_ok(ctx, desc_print(ctx, &d, &text));
    assert_memory_equal(text, LONG, sizeof LONG - 1);
    ctx_free(ctx, text);
    desc_free(ctx, &d);
}

static void text_bad(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } CASE[] = {
        { "", "no layers" },
        { "# nothing\n\n", "no layers" },
        { "relu\nconv2d c out=\n", "n:2:14: expected a value after \"out=\"" },
        { "conv2d c =5\n", "n:1:10: expected a key before '='" },
        { "conv2d c out=1 out=2\n", "n:1:16: the key \"out\" was already given in column 10" },
        { "conv2d c out=1 name\n", "n:1:16: expected key=value, not \"name\"" },
        { "conv2d c d\n", "n:1:10: expected key=value, not \"d\"" },
        { "relu r\nrelu r\n", "n:2:1: the name \"r\" is already used in line 1" },
        { "relu x=\"abc\n", "n:1:8: this string has no closing quote" },
        { "relu x=\"a\\tc\"\n", "n:1:10: expected \\\", \\\\ or \\n" },
        { "relu x=\"a\"b\n", "n:1:11: expected a space after a string" },
        { "relu x=a\"b\n", "n:1:9: a quote inside a word" },
        { "relu x=a=b\n", "n:1:9: an unexpected '='" },
        { "relu x=\1\n", "n:1:8: an unexpected byte 0x01" },
        { "out=5\n", "n:1:1: expected the kind of a layer" },
        { "\"relu\"\n", "n:1:1: expected the kind of a layer" },
        { "relu\nnet late\n", "n:2:1: \"net\" must be the first line" },
        { "net\nrelu\n", "n:1:4: expected a name after \"net\"" },
        { "net a b\nrelu\n", "n:1:7: expected the end of the line" },
        { "add from=a,,b\n", "n:1:12: expected the name of a layer" },
        { "add from=a from=b\n", "n:1:12: \"from\" was already given" },
        { "relu a,b\n", "n:1:6: expected a name without commas" },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        desc d;
        lens_status status = desc_parse(ctx, &d, CASE[i].text, strlen(CASE[i].text), "n");
        if (status != LENS_BAD_FILE || !strstr(lens_why(ctx), CASE[i].part))
            fail_msg("case %zu: %s: %s", i, lens_status_name(status), lens_why(ctx));
        assert_null(d.layer);
    }
    desc d;
    assert_fails(ctx, LENS_BAD_FILE, "0x00", desc_parse(ctx, &d, "relu a\0b\n", 9, "n"));
    /* The caps. */
    size_t room = (size_t)DESC_MAX_LINE + 16;
    char *text = malloc(room);
    memset(text, 'x', room);
    assert_fails(ctx, LENS_BAD_FILE, "a line of more", desc_parse(ctx, &d, text, room, "n"));
    for (size_t i = 0; i < room; i++) text[i] = i & 1 ? '\n' : 'r';
    assert_fails(ctx, LENS_BAD_FILE, "more than 100000 layers",
                 desc_parse(ctx, &d, text, room, "n"));
    size_t at = (size_t)snprintf(text, room, "relu");
    for (int i = 0; i <= DESC_MAX_ATTRS; i++)
        at += (size_t)snprintf(text + at, room - at, " k%d=1", i);
    assert_fails(ctx, LENS_BAD_FILE, "more than 64 keys", desc_parse(ctx, &d, text, at, "n"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("IDX: plain and gzip", idx_good),
        T("IDX: empty, truncated, foreign, oversized, trailing bytes, damaged", idx_bad),
        T("NPY: types, byte orders, Fortran order, every truncation", npy_types),
        T("NPY: other types and malformed headers are refused", npy_bad),
        T("NPY: what is written is read back", npy_round_trip),
        T("safetensors: round trip, same bytes, every truncation", st_round_trip),
        T("safetensors: every type to float", st_dtypes),
        T("safetensors: overlaps, gaps, overflows, duplicates, deep nesting are refused", st_bad),
        T("net text: parse, print, parse", text_good),
        T("net text: errors name line, column and what was expected", text_bad),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
