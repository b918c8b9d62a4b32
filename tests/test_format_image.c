/* test_format_image.c - pictures in files: what is read is what was drawn, and bad bytes are refused.
 *
 * The oracle writes PNG and JPEG with libpng and libjpeg, and PNM by hand.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include "support/fixture.h"
#include "test.h"
#include <jpeglib.h>
#include <lenslet/data.h>
#include <png.h>
#include <unistd.h>
#include <zlib.h>

/* A picture without symmetry: every pixel and channel differs from its neighbours. */
static lens_image pattern(int w, int h, int c) {
    lens_image p = { w, h, c, malloc((size_t)w * (size_t)h * (size_t)c) };
    for (int i = 0; i < w * h * c; i++) p.pixels[i] = (uint8_t)(i * 37 + i / 7 * 11);
    return p;
}

static void same(const lens_image *a, const lens_image *b) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    assert_memory_equal(a->pixels, b->pixels,
                        (size_t)a->width * (size_t)a->height * (size_t)a->channels);
}

static void round_trip(void **state) {
    (void)state;
    static const char *const NAME[] = { "a.png", "a.pgm", "b.png", "b.ppm", "a.pnm", "b.PNM" };
    for (size_t i = 0; i < LENS_COUNT(NAME); i++) {
        lens_image drawn = pattern(13, 7, *NAME[i] == 'a' ? 1 : 3), read, again;
        drawn.pixels[0] = 0, drawn.pixels[1] = 255;
        const char *path = in_dir(NAME[i]), *second = in_dir("second");
        char copy[1024];
        snprintf(copy, sizeof copy, "%s%s", second, strrchr(NAME[i], '.'));
        assert_ok(ctx, lens_image_write(ctx, &drawn, path));
        assert_ok(ctx, lens_image_read(ctx, &read, path, 0));
        same(&read, &drawn);
        assert_ok(ctx, lens_image_write(ctx, &read, copy));
        char *x, *y;
        size_t n, m;
        assert_ok(ctx, file_read(ctx, path, 1 << 20, &x, &n));
        assert_ok(ctx, file_read(ctx, copy, 1 << 20, &y, &m));
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n);
        ctx_free(ctx, x);
        ctx_free(ctx, y);
        assert_ok(ctx, lens_image_read(ctx, &again, copy, 0));
        same(&again, &drawn);
        lens_image_free(ctx, &read);
        lens_image_free(ctx, &again);
        free(drawn.pixels);
    }
    lens_image grey = pattern(2, 2, 1);
    assert_fails(ctx, LENS_BAD_ARG, ".pgm", lens_image_write(ctx, &grey, in_dir("a.ppm")));
    assert_fails(ctx, LENS_BAD_ARG, ".png", lens_image_write(ctx, &grey, in_dir("a.gif")));
    free(grey.pixels);
}

static void split_and_merge(void **state) {
    (void)state;
    lens_image p = pattern(5, 4, 3);
    float planes[60], back[60];
    lens_image_to_chw(&p, planes);
    lens_chw_to_hwc(planes, back, 3, 4, 5);
    for (int i = 0; i < 60; i++) {
        assert_true(back[i] * 255 == (float)p.pixels[i] ||
                    fabsf(back[i] * 255 - (float)p.pixels[i]) < 1e-4f);
        p.pixels[i] = i % 3 == 0 ? 255 : 0; /* pure red */
    }
    lens_image_to_chw(&p, planes);
    for (int i = 0; i < 60; i++) assert_true(planes[i] == (i < 20 ? 1.0f : 0.0f));
    free(p.pixels);
}

static void grey_table(void **state) {
    (void)state;
    static const float RGB[7][3] = { { 255, 0, 0 },    { 0, 255, 0 },   { 0, 0, 255 },
                                     { 0, 255, 255 },  { 255, 255, 0 }, { 255, 0, 255 },
                                     { 255, 255, 255 } };
    static const double GREY[7] = { 76.245, 149.685, 29.07, 178.755, 225.93, 105.315, 255 };
    float planes[21], grey[7];
    uint8_t bytes[15 + 21] = "P6 7 1 255\n";
    size_t head = strlen((char *)bytes);
    for (int i = 0; i < 7; i++)
        for (int c = 0; c < 3; c++) {
            planes[c * 7 + i] = RGB[i][c];
            bytes[head + (size_t)(3 * i + c)] = (uint8_t)RGB[i][c];
        }
    lens_luma(planes, grey, 7);
    for (int i = 0; i < 7; i++) assert_near(grey[i], GREY[i], 1e-3);
    lens_image read;
    assert_ok(ctx, img_decode(ctx, &read, bytes, head + 21, "table", (img_opts){ .channels = 1 }));
    for (int i = 0; i < 7; i++) assert_int_equal(read.pixels[i], (int)(GREY[i] + 0.5));
    lens_image_free(ctx, &read);
}

/* ---- PNG of every kind, written by libpng ---- */

static void write_png(const char *path, int w, int h, int depth, int kind, int interlace,
                      const uint8_t *rows, size_t stride, const png_color *palette, int colours,
                      const png_byte *alpha) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, kind, interlace, 0, 0);
    if (palette) png_set_PLTE(png, info, palette, colours);
    if (alpha) png_set_tRNS(png, info, alpha, colours, NULL);
    png_write_info(png, info);
    png_bytep row[64];
    assert_true(h <= 64);
    for (int y = 0; y < h; y++) row[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * stride);
    png_write_image(png, row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void png_palette_and_alpha(void **state) {
    (void)state;
    static const png_color COLOUR[3] = { { 10, 20, 30 }, { 200, 100, 0 }, { 0, 0, 0 } };
    static const png_byte ALPHA[3] = { 255, 128, 0 };
    static const uint8_t INDEX[4] = { 0, 1, 2, 1 };
    lens_image p;
    write_png(in_dir("p.png"), 4, 1, 8, PNG_COLOR_TYPE_PALETTE, 0, INDEX, 4, COLOUR, 3, ALPHA);
    assert_ok(ctx, lens_image_read(ctx, &p, in_dir("p.png"), 0));
    /* Over white: (colour*alpha + 255*(255-alpha)) / 255. */
    static const uint8_t WANT[12] = { 10, 20, 30, 227, 177, 127, 255, 255, 255, 227, 177, 127 };
    assert_int_equal(p.channels, 3);
    for (int i = 0; i < 12; i++) assert_true(abs(p.pixels[i] - WANT[i]) <= 1);
    for (int c = 0; c < 3; c++) {
        double want = ((&COLOUR[1].red)[c] * 128 + 255 * 127) / 255.0;
        assert_int_equal(p.pixels[3 + c], (int)(want + 0.5));
    }
    lens_image_free(ctx, &p);

    static const uint8_t GREY_ALPHA[6] = { 100, 255, 100, 0, 0, 51 };
    write_png(in_dir("ga.png"), 3, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, GREY_ALPHA, 6, NULL, 0,
              NULL);
    assert_ok(ctx, lens_image_read(ctx, &p, in_dir("ga.png"), 0));
    assert_int_equal(p.channels, 1);
    assert_int_equal(p.pixels[0], 100);
    assert_int_equal(p.pixels[1], 255);
    assert_int_equal(p.pixels[2], 204);
    lens_image_free(ctx, &p);
    assert_ok(ctx, lens_image_read(ctx, &p, in_dir("ga.png"), 3));
    assert_int_equal(p.channels, 3);
    for (int c = 0; c < 3; c++) assert_int_equal(p.pixels[6 + c], 204);
    lens_image_free(ctx, &p);
}

static void png_sixteen_bits(void **state) {
    (void)state;
    /* Every 257th value is an 8-bit value exactly; half-way points round. */
    uint8_t rows[2 * 6];
    static const int VALUE[6] = { 0, 65535, 257 * 77, 257 * 77 + 128, 257 * 77 + 129, 128 };
    for (int i = 0; i < 6; i++)
        rows[2 * i] = (uint8_t)(VALUE[i] >> 8), rows[2 * i + 1] = (uint8_t)VALUE[i];
    lens_image p;
    write_png(in_dir("s.png"), 6, 1, 16, PNG_COLOR_TYPE_GRAY, 0, rows, 12, NULL, 0, NULL);
    assert_ok(ctx, lens_image_read(ctx, &p, in_dir("s.png"), 0));
    for (int i = 0; i < 6; i++) assert_int_equal(p.pixels[i], (VALUE[i] * 255 + 32767) / 65535);
    lens_image_free(ctx, &p);
}

static void png_interlaced_and_bits(void **state) {
    (void)state;
    lens_image drawn = pattern(9, 11, 3), p;
    write_png(in_dir("i.png"), 9, 11, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, drawn.pixels, 27,
              NULL, 0, NULL);
    assert_ok(ctx, lens_image_read(ctx, &p, in_dir("i.png"), 0));
    same(&p, &drawn);
    lens_image_free(ctx, &p);
    free(drawn.pixels);
    static const uint8_t BITS[2] = { 0xb1, 0x1b }; /* two bits a pixel: 2 3 0 1 / 0 1 2 3 */
    static const uint8_t WANT[8] = { 170, 255, 0, 85, 0, 85, 170, 255 };
    write_png(in_dir("b.png"), 4, 2, 2, PNG_COLOR_TYPE_GRAY, 0, BITS, 1, NULL, 0, NULL);
    assert_ok(ctx, lens_image_read(ctx, &p, in_dir("b.png"), 0));
    assert_memory_equal(p.pixels, WANT, 8);
    lens_image_free(ctx, &p);
}

/* ---- JPEG, written by libjpeg ---- */

typedef struct jpeg_kind {
    int components;
    J_COLOR_SPACE in, stored;
    bool adobe, progressive;
    int orientation; /* 0: no EXIF */
} jpeg_kind;

static size_t write_jpeg(uint8_t *out, size_t room, int w, int h, const uint8_t *pixels,
                         jpeg_kind k) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr error;
    unsigned char *memory = NULL;
    unsigned long size = 0;
    c.err = jpeg_std_error(&error);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &memory, &size);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = k.components;
    c.in_color_space = k.in;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, k.stored);
    jpeg_set_quality(&c, 100, TRUE);
    for (int i = 0; i < c.num_components; i++)
        c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = 1;
    c.write_Adobe_marker = k.adobe;
    if (k.progressive) jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    if (k.orientation) {
        uint8_t exif[] = "Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\0\0\0\0\0\0\0";
        exif[6 + 8 + 2 + 9] = (uint8_t)k.orientation;
        jpeg_write_marker(&c, JPEG_APP0 + 1, exif, sizeof exif - 1);
    }
    for (int y = 0; y < h; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)y * (size_t)w * (size_t)k.components);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    assert_true(size <= room);
    memcpy(out, memory, size);
    free(memory);
    return size;
}

static void jpeg_colours(void **state) {
    (void)state;
    static uint8_t file[1 << 16], pixels[16 * 16 * 4];
    static const struct {
        jpeg_kind kind;
        uint8_t in[4], want[3];
    } CASE[] = {
        { { 1, JCS_GRAYSCALE, JCS_GRAYSCALE, false, false, 0 }, { 90 }, { 90, 90, 90 } },
        { { 3, JCS_RGB, JCS_YCbCr, false, false, 0 }, { 200, 40, 90 }, { 200, 40, 90 } },
        { { 3, JCS_RGB, JCS_YCbCr, false, true, 0 }, { 10, 240, 90 }, { 10, 240, 90 } },
        { { 3, JCS_RGB, JCS_RGB, true, false, 0 }, { 200, 40, 90 }, { 200, 40, 90 } },
        /* Adobe writes 255 - ink: no ink at all is white, half cyan is half red. */
        { { 4, JCS_CMYK, JCS_CMYK, true, false, 0 }, { 255, 255, 255, 255 }, { 255, 255, 255 } },
        { { 4, JCS_CMYK, JCS_CMYK, true, false, 0 }, { 128, 255, 255, 255 }, { 128, 255, 255 } },
        { { 4, JCS_CMYK, JCS_YCCK, true, false, 0 }, { 200, 100, 50, 128 }, { 100, 50, 25 } },
        /* Without the marker the values are ink. */
        { { 4, JCS_CMYK, JCS_CMYK, false, false, 0 }, { 0, 255, 0, 0 }, { 255, 0, 255 } },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        int n = CASE[i].kind.components;
        for (int p = 0; p < 256 * n; p++) pixels[p] = CASE[i].in[p % n];
        size_t size = write_jpeg(file, sizeof file, 16, 16, pixels, CASE[i].kind);
        lens_image read;
        assert_ok(ctx, img_decode(ctx, &read, file, size, "jpeg", (img_opts){ .channels = 3 }));
        for (int p = 0; p < 256 * 3; p++)
            if (abs(read.pixels[p] - CASE[i].want[p % 3]) > 2)
                fail_msg("case %zu: channel %d is %d, expected %d", i, p % 3, read.pixels[p],
                         CASE[i].want[p % 3]);
        lens_image_free(ctx, &read);
        assert_ok(ctx, img_decode(ctx, &read, file, size, "jpeg", (img_opts){ .channels = 1 }));
        double luma = 0.299 * CASE[i].want[0] + 0.587 * CASE[i].want[1] + 0.114 * CASE[i].want[2];
        for (int p = 0; p < 256; p++) assert_true(fabs(read.pixels[p] - luma) < 2.6);
        lens_image_free(ctx, &read);
        assert_ok(ctx, img_decode(ctx, &read, file, size, "jpeg", (img_opts){ 0 }));
        assert_int_equal(read.channels, n == 1 ? 1 : 3);
        lens_image_free(ctx, &read);
    }
}

/* A 16x8 picture with one bright corner block; EXIF tells where its top left belongs. */
static void jpeg_orientation(void **state) {
    (void)state;
    static uint8_t file[1 << 16], pixels[16 * 8];
    /* For each orientation: is the result upright in 16x8, and in which corner (0 top left, 1 top
     * right, 2 bottom left, 3 bottom right) does the stored top left end up? EXIF 2.3, table 3. */
    static const int CORNER[9] = { 0, 0, 1, 3, 2, 0, 1, 3, 2 };
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 16; x++) pixels[y * 16 + x] = x < 4 && y < 4 ? 255 : x < 8 ? 0 : 100;
    for (int o = 1; o <= 8; o++) {
        jpeg_kind kind = { 1, JCS_GRAYSCALE, JCS_GRAYSCALE, false, false, o };
        size_t size = write_jpeg(file, sizeof file, 16, 8, pixels, kind);
        lens_image p;
        int w, h, c;
        assert_ok(ctx, img_decode(ctx, &p, file, size, "exif", (img_opts){ 0 }));
        assert_ok(ctx, img_probe_bytes(ctx, file, size, "exif", &w, &h, &c));
        assert_int_equal(p.width, o < 5 ? 16 : 8);
        assert_int_equal(p.height, o < 5 ? 8 : 16);
        assert_int_equal(w, p.width);
        assert_int_equal(h, p.height);
        for (int k = 0; k < 4; k++) {
            int x = k & 1 ? p.width - 1 : 0, y = k & 2 ? p.height - 1 : 0;
            bool bright = p.pixels[y * p.width + x] > 200;
            if (bright != (k == CORNER[o])) fail_msg("orientation %d, corner %d", o, k);
        }
        lens_image_free(ctx, &p);
    }
}

static void pnm_kinds(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        int channels;
        uint8_t want[6];
    } CASE[] = {
        { "P1\n# note\n3 2\n101\n0 1 0", 0, 1, { 0, 255, 0, 255, 0, 255 } },
        { "P2 2 1 # here\n15\n0 15", 0, 1, { 0, 255 } },
        { "P3 1 1 1023 1023 0 512", 0, 3, { 255, 0, 128 } },
        { "P4 9 1\n\x80\x80", 9, 1, { 0, 255, 255, 255, 255, 255 } },
        { "P5 2 1 65535\n\xff\xff\x01\x01", 17, 1, { 255, 1 } },
        { "P6 1 1 100 \x32\x64\x00", 14, 3, { 128, 255, 0 } },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        lens_image p;
        size_t size = CASE[i].size ? CASE[i].size : strlen(CASE[i].text);
        assert_ok(ctx, img_decode(ctx, &p, CASE[i].text, size, "pnm", (img_opts){ 0 }));
        assert_int_equal(p.channels, CASE[i].channels);
        for (int k = 0; k < p.width * p.height * p.channels && k < 6; k++)
            if (p.pixels[k] != CASE[i].want[k]) fail_msg("case %zu, sample %d", i, k);
        lens_image_free(ctx, &p);
    }
}

/* The largest request, of a context whose memory comes from here. */
static size_t biggest;
static void *measuring(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)user, (void)old_size;
    if (new_size > biggest) biggest = new_size;
    if (new_size) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

static void refused(void **state) {
    (void)state;
    lens_image p;
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } CASE[] = {
        { "", 0, "empty" },
        { "<!DOCTYPE html>", 15, "bad: not PNG, JPEG or PNM: this is a web page" },
        { "\xef\xbb\xbf\n <HTML>", 11, "this is a web page; the download went wrong" },
        { "version https://git-lfs.github.com/spec/v1", 42, "Git LFS pointer" },
        { "GIF89a", 6, "a GIF picture; convert it" },
        { "RIFF\4\0\0\0WEBPVP8 ", 16, "a WebP picture" },
        { "hello", 5, "not PNG, JPEG or PNM (it begins 68 65 6c 6c)" },
        { "P5 60000 60000 255\n", 19, "60000x60000" },
        { "P5 0 4 255\n", 11, "empty" },
        { "P5 4 4 255\nabc", 14, "needs 16 bytes" },
        { "P2 2 2 255\n1 2 3 999", 20, "exceeds the largest value" },
        { "P2 2 2 255\n1 2 3 x", 18, "expected a sample" },
        { "P5 4", 4, "truncated" },
        { "P5 2 2 70000\n", 13, "1..65535" },
        { "\x89PNG\r\n\x1a\n", 8, "truncated" },
        { "\xff\xd8\xff\xe0", 4, "JPEG" },
        /* An IHDR of 60,000 x 60,000 with its right CRC. */
        { "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\0\0\0\0\xa5\xb9\x2a\x9e", 33,
          "60000x60000" },
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        uint64_t calls = ctx_alloc_calls(ctx);
        assert_fails(ctx, LENS_BAD_FILE, CASE[i].part,
                     img_decode(ctx, &p, CASE[i].bytes, CASE[i].size, "bad", (img_opts){ 0 }));
        assert_null(p.pixels);
        if (strncmp(CASE[i].bytes, "P5", 2) == 0) assert_int_equal(ctx_alloc_calls(ctx), calls);
        assert_int_equal(ctx_live_bytes(ctx), idle);
    }
    assert_fails(ctx, LENS_BAD_FILE, "arith.jpg: JPEG with arithmetic coding; Huffman is read",
                 lens_image_read(ctx, &p, TEST_SOURCE_DIR "/tests/fuzz/corpus/image/arith.jpg", 0));
    assert_fails(ctx, LENS_BAD_ARG, "channels",
                 img_decode(ctx, &p, "P1 1 1 1", 8, "bad", (img_opts){ 2, 0 }));
    assert_fails(ctx, LENS_IO, "nowhere", lens_image_read(ctx, &p, in_dir("nowhere"), 0));
}

/* A few bytes that claim a huge picture are refused before a pixel is allocated, whatever the kind. */
static void bombs(void **state) {
    (void)state;
    static uint8_t file[1 << 16], pixels[64 * 64 * 3];
    static const uint8_t SIDE[2] = { 0x2c, 0xec }; /* 11,500: below the cap on pixels */
    lens_image p;
    for (int kind = 0; kind < 3; kind++) {
        uint8_t *png = NULL;
        const uint8_t *bytes = file;
        size_t size;
        if (kind < 2) {
            jpeg_kind k = { 3, JCS_RGB, JCS_YCbCr, false, kind == 1, 0 };
            size = write_jpeg(file, sizeof file, 64, 64, pixels, k);
            size_t at = 2; /* the frame header, C0 or C2: length, precision, height, width */
            while (file[at + 1] != (kind == 1 ? 0xc2 : 0xc0))
                at += 2 + (size_t)(file[at + 2] << 8 | file[at + 3]);
            memcpy(file + at + 5, SIDE, 2);
            memcpy(file + at + 7, SIDE, 2);
        } else {
            lens_image drawn = { 64, 64, 3, pixels };
            assert_ok(ctx, img_encode_png(ctx, &drawn, &png, &size));
            memcpy(png + 18, SIDE, 2);
            memcpy(png + 22, SIDE, 2);
            uLong crc = crc32(0, png + 12, 17);
            for (int i = 0; i < 4; i++) png[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
            bytes = png;
        }
        biggest = 0;
        lens_ctx *other = NULL;
        lens_ctx_opts opts = { .threads = 1, .alloc = { measuring, NULL } };
        assert_int_equal(lens_ctx_new(&other, &opts, NULL), LENS_OK);
        biggest = 0;
        assert_fails(other, LENS_BAD_FILE, "11500x11500 pixels takes at least",
                     img_decode(other, &p, bytes, size, "bomb", (img_opts){ 0 }));
        assert_non_null(strstr(lens_why(other), "bomb: "));
        assert_true(biggest < 1 << 20);
        lens_ctx_free(other);
        ctx_free(ctx, png);
    }
}

/* Every proper prefix of a good file is refused, and says which file. */
static void truncated(void **state) {
    (void)state;
    static uint8_t file[1 << 16];
    lens_image drawn = pattern(16, 16, 3), p;
    for (int kind = 0; kind < 3; kind++) {
        uint8_t *bytes = file;
        size_t size;
        if (kind < 2) {
            jpeg_kind k = { 3, JCS_RGB, JCS_YCbCr, false, kind == 1, 0 };
            size = write_jpeg(file, sizeof file, 16, 16, drawn.pixels, k);
        } else {
            assert_ok(ctx, img_encode_png(ctx, &drawn, &bytes, &size));
        }
        for (size_t cut = 0; cut < size; cut++) {
            lens_status status = img_decode(ctx, &p, bytes, cut, "cut.pic", (img_opts){ 0 });
            /* The end marker of a JPEG may be missing: all lines are there. */
            if (kind < 2 && cut >= size - 2 && status == LENS_OK) {
                lens_image_free(ctx, &p);
                continue;
            }
            if (status != LENS_BAD_FILE)
                fail_msg("kind %d cut at %zu of %zu: %d", kind, cut, size, status);
            assert_non_null(strstr(lens_why(ctx), "cut.pic"));
        }
        assert_ok(ctx, img_decode(ctx, &p, bytes, size, "whole", (img_opts){ 0 }));
        lens_image_free(ctx, &p);
        if (kind == 2) ctx_free(ctx, bytes);
    }
    free(drawn.pixels);
}

/* Resizing against a plain double-precision triangle filter, within one level; a constant picture
 * stays constant; the same size changes nothing. */
static void resize(void **state) {
    (void)state;
    static const int SIZE[][2] = { { 5, 3 }, { 13, 7 }, { 40, 30 }, { 1, 1 }, { 7, 29 } };
    lens_image in = pattern(13, 7, 3), out;
    for (size_t k = 0; k < LENS_COUNT(SIZE); k++) {
        int w = SIZE[k][0], h = SIZE[k][1];
        assert_ok(ctx, lens_image_resize(ctx, &in, w, h, LENS_BILINEAR, &out));
        double sx = 13.0 / w, sy = 7.0 / h, rx = sx > 1 ? sx : 1, ry = sy > 1 ? sy : 1;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                for (int c = 0; c < 3; c++) {
                    double sum = 0, weight = 0;
                    for (int i = 0; i < 7; i++)
                        for (int j = 0; j < 13; j++) {
                            double u = 1 - fabs(j + 0.5 - (x + 0.5) * sx) / rx;
                            double v = 1 - fabs(i + 0.5 - (y + 0.5) * sy) / ry;
                            if (u <= 0 || v <= 0) continue;
                            sum += u * v * in.pixels[(i * 13 + j) * 3 + c];
                            weight += u * v;
                        }
                    assert_near(out.pixels[(y * w + x) * 3 + c], sum / weight, 1.01);
                }
        if (k == 1) same(&in, &out);
        lens_image_free(ctx, &out);
    }
    memset(in.pixels, 255, 13 * 7 * 3);
    assert_ok(ctx, lens_image_fit(ctx, &in, 6, 6, LENS_BILINEAR, &out));
    assert_int_equal(out.width, 6);
    assert_int_equal(out.height, 6);
    for (int i = 0; i < 108; i++) assert_int_equal(out.pixels[i], 255);
    lens_image_free(ctx, &out);
    /* 12x4 to 4x4: full height, the middle four columns. */
    lens_image wide = { 12, 4, 1, malloc(48) };
    for (int i = 0; i < 48; i++) wide.pixels[i] = (uint8_t)(20 * (i % 12));
    assert_ok(ctx, lens_image_fit(ctx, &wide, 4, 4, LENS_BILINEAR, &out));
    for (int i = 0; i < 16; i++) assert_int_equal(out.pixels[i], 20 * (4 + i % 4));
    lens_image_free(ctx, &out);
    assert_fails(ctx, LENS_BAD_ARG, "sides",
                 lens_image_resize(ctx, &in, 0, 4, LENS_BILINEAR, &out));
    free(wide.pixels);
    free(in.pixels);
}

/* Pictures resized (and cut: to a square that covers, then its centre) as torchvision does it. */
static void resize_as_torchvision(void **state) {
    (void)state;
    static const struct {
        int in_w, in_h, in_c, w, h, crop;
        lens_interpolation how;
        uint8_t want[600];
    } CASE[] = {
#include "data/resize.inc"
    };
    for (size_t i = 0; i < LENS_COUNT(CASE); i++) {
        lens_image in = pattern(CASE[i].in_w, CASE[i].in_h, CASE[i].in_c), out;
        int w = CASE[i].w, h = CASE[i].h, crop = CASE[i].crop;
        assert_ok(ctx,
                  (crop ? lens_image_fit : lens_image_resize)(ctx, &in, w, h, CASE[i].how, &out));
        assert_int_equal(out.width, w);
        assert_int_equal(out.height, h);
        if (crop) {
            float whole[600], part[600];
            lens_tensor from = { whole, 4, { 1, in.channels, h, w } };
            lens_tensor to = { part, 4, { 1, in.channels, crop, crop } };
            lens_image_to_chw(&out, whole);
            assert_ok(ctx, lens_view(ctx, &from, 1, 0, &to));
            for (int p = 0; p < crop * crop; p++)
                assert_int_equal(lrintf(part[p] * 255), CASE[i].want[p]);
        } else {
            assert_memory_equal(out.pixels, CASE[i].want, (size_t)(w * h * in.channels));
        }
        lens_image_free(ctx, &out);
        free(in.pixels);
    }
}

/* TenCrop by its definition on a picture whose pixels say where they lie; the places of the grid. */
static void views(void **state) {
    (void)state;
    enum { H = 9, W = 11, SIDE_H = 4, SIDE_W = 6 };
    static const int TOP[5] = { 0, 0, 5, 5, 2 }, LEFT[5] = { 0, 5, 0, 5, 2 };
    static float whole[2 * 3 * H * W], part[2 * 3 * SIDE_H * SIDE_W];
    lens_tensor from = { whole, 4, { 2, 3, H, W } }, to = { part, 4, { 2, 3, SIDE_H, SIDE_W } };
    for (int p = 0; p < 2 * 3 * H * W; p++) whole[p] = (float)p;
    for (int v = 0; v < 10; v++) {
        assert_ok(ctx, lens_view(ctx, &from, 10, v, &to));
        for (int plane = 0; plane < 6; plane++)
            for (int y = 0; y < SIDE_H; y++)
                for (int x = 0; x < SIDE_W; x++) {
                    int column = LEFT[v % 5] + x;
                    if (v >= 5) column = W - 1 - column;
                    int want = (plane * H + TOP[v % 5] + y) * W + column;
                    assert_true(part[(plane * SIDE_H + y) * SIDE_W + x] == (float)want);
                }
    }
    for (int v = 0; v < 50; v++) { /* 5 rows to spare, 0 to 5 in quarters: 0 1.25 2.5 3.75 5 */
        static const int STEP[5] = { 0, 1, 3, 4, 5 };
        assert_ok(ctx, lens_view(ctx, &from, 50, v, &to));
        int column = v < 25 ? STEP[v % 5] : W - 1 - STEP[v % 5];
        assert_true(part[0] == (float)(STEP[v % 25 / 5] * W + column));
    }
    assert_fails(ctx, LENS_BAD_ARG, "7 views", lens_view(ctx, &from, 7, 0, &to));
    assert_fails(ctx, LENS_BAD_ARG, "view 5 of 5", lens_view(ctx, &from, 5, 5, &to));
    assert_fails(ctx, LENS_BAD_SHAPE, "2x3x4x6 have no part of 2x3x9x11",
                 lens_view(ctx, &to, 5, 0, &from));
}

/* No allocation may be missed: the n-th fails, for every n. */
static int countdown;
static void *failing(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)user, (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return countdown-- == 0 ? NULL : realloc(ptr, new_size);
}

static void out_of_memory(void **state) {
    (void)state;
    static uint8_t file[2][1 << 16];
    size_t size[2];
    lens_image drawn = pattern(8, 8, 3), p;
    uint8_t *png;
    size[0] = write_jpeg(file[0], sizeof file[0], 8, 8, drawn.pixels,
                         (jpeg_kind){ 3, JCS_RGB, JCS_YCbCr, false, false, 6 });
    assert_ok(ctx, img_encode_png(ctx, &drawn, &png, &size[1]));
    memcpy(file[1], png, size[1]);
    ctx_free(ctx, png);
    free(drawn.pixels);
    for (int kind = 0; kind < 2; kind++) {
        bool done = false;
        for (int n = 0; !done && n < 200; n++) {
            lens_ctx *poor = NULL;
            lens_ctx_opts opts = { .threads = 1, .alloc = { failing, NULL } };
            countdown = 1000000;
            assert_int_equal(lens_ctx_new(&poor, &opts, NULL), LENS_OK);
            size_t fresh = ctx_live_bytes(poor);
            countdown = n;
            lens_status status =
                img_decode(poor, &p, file[kind], size[kind], "poor", (img_opts){ 0 });
            countdown = 1000000;
            done = status == LENS_OK;
            if (done)
                lens_image_free(poor, &p);
            else
                assert_int_equal(status, LENS_NOMEM);
            assert_int_equal(ctx_live_bytes(poor), fresh);
            lens_ctx_free(poor);
        }
        assert_true(done);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[A1] PGM, PPM and PNG: write, read, write gives the same bytes", round_trip),
        T("[A2][X22] planes: split then merge is the identity, red is plane 0", split_and_merge),
        T("[A3][V27] grey of the six pure colours and white", grey_table),
        T("PNG: palette and transparency over white", png_palette_and_alpha),
        T("PNG: 16 bits round to the nearest level", png_sixteen_bits),
        T("PNG: interlaced; two bits a pixel", png_interlaced_and_bits),
        T("JPEG: grey, RGB, progressive, CMYK and YCCK with and without Adobe's inversion",
          jpeg_colours),
        T("JPEG: the eight EXIF orientations", jpeg_orientation),
        T("PNM: P1 to P6, 8 and 16 bits", pnm_kinds),
        T("pictures: empty, foreign, oversized and malformed files are refused", refused),
        T("pictures: a short file that claims a huge picture gets no memory", bombs),
        T("pictures: every truncation is refused", truncated),
        T("pictures: resize against a plain triangle filter; fit cuts the centre", resize),
        T("pictures: bilinear and bicubic resize, resize and centre crop equal torchvision's",
          resize_as_torchvision),
        T("pictures: five-crop, ten-crop and the 5x5 grid by their definition", views),
        T("pictures: the n-th allocation fails", out_of_memory),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
