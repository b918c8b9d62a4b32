/* png.c - PNG through libpng, from and to memory.
 *
 * Invariant: libpng reports errors by longjmp, so everything the cleanup needs lives in a struct
 * that outlives the jump; its memory comes from the context's hook.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include <png.h>
#include <string.h>

/* libpng keeps text, profile and unknown chunks in memory; none is wanted. 8 MB is its own default
 * for one chunk. */
enum { PNG_CHUNK_CAP = 8000000 };

/* A deflate symbol has at least one bit, and a pair of them (length and distance) stands for at most
 * 258 bytes: 2 bits for 258 bytes, 1,032 for one. */
enum { DEFLATE_BEST = 1032 };

typedef struct png_job {
    lens_ctx *ctx;
    const uint8_t *bytes; /* reading */
    size_t size, at;
    uint8_t *out; /* writing */
    size_t out_size, out_cap;
    png_structp png;
    png_infop info;
    bool nomem;
    char why[160];
} png_job;

static png_voidp hook_alloc(png_structp png, png_alloc_size_t size) {
    png_job *job = png_get_mem_ptr(png);
    void *p = ctx_alloc(job->ctx, 1, size);
    if (!p) job->nomem = true;
    return p;
}

static void hook_free(png_structp png, png_voidp p) {
    png_job *job = png_get_mem_ptr(png);
    ctx_free(job->ctx, p);
}

static void on_error(png_structp png, png_const_charp text) {
    png_job *job = png_get_error_ptr(png);
    if (!job->why[0]) snprintf(job->why, sizeof job->why, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void feed(png_structp png, png_bytep to, size_t count) {
    png_job *job = png_get_io_ptr(png);
    if (count > job->size - job->at) {
        snprintf(job->why, sizeof job->why, "truncated: the file ends after %zu bytes", job->size);
        png_error(png, "truncated");
    }
    memcpy(to, job->bytes + job->at, count);
    job->at += count;
}

static void collect(png_structp png, png_bytep from, size_t count) {
    png_job *job = png_get_io_ptr(png);
    if (count > job->out_cap - job->out_size) {
        size_t cap = job->out_cap * 2 + count + 4096;
        uint8_t *grown = ctx_grow(job->ctx, job->out, job->out_cap, cap, 1);
        if (!grown) {
            job->nomem = true;
            png_error(png, "out of memory");
        }
        job->out = grown;
        job->out_cap = cap;
    }
    memcpy(job->out + job->out_size, from, count);
    job->out_size += count;
}

static void no_flush(png_structp png) { (void)png; }

/* Samples of libpng (stride `from`: grey, grey+alpha, RGB or RGBA) to `to` channels in place. Walks
 * upwards and never writes ahead of what it reads, because from >= to. */
static void narrow(uint8_t *pixels, size_t count, int from, int to) {
    int colours = from >= 3 ? 3 : 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *s = pixels + i * (size_t)from;
        int v[3] = { 0 };
        for (int c = 0; c < colours; c++) {
            v[c] = s[c];
            if (from > colours) v[c] = img_mul255(v[c], s[colours]) + 255 - s[colours];
        }
        uint8_t *d = pixels + i * (size_t)to;
        if (to == 1 && colours == 3) {
            d[0] = img_luma(v[0], v[1], v[2]);
        } else {
            for (int c = 0; c < to; c++) d[c] = (uint8_t)v[c];
        }
    }
}

lens_status png_decode(lens_ctx *ctx, lens_image *out, const uint8_t *bytes, size_t size,
                       const char *name, img_opts opts, bool probe) {
    png_job job = { .ctx = ctx, .bytes = bytes, .size = size };
    lens_image *volatile image = out; /* lives across longjmp */
    volatile lens_status status = LENS_BAD_FILE;
    *out = (lens_image){ 0 };
    /* The size lies in the first chunk: looked at before libpng allocates anything. Where another
     * chunk is first, libpng refuses the file. */
    if (size >= 24 && memcmp(bytes + 12, "IHDR", 4) == 0)
        LENS_TRY(img_check_size(ctx, name, png_get_uint_32(bytes + 16), png_get_uint_32(bytes + 20),
                                opts.max_pixels));
    job.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job,
                                       hook_alloc, hook_free);
    if (!job.png) return ctx_nomem(ctx, size, "a PNG reader");
    if (setjmp(png_jmpbuf(job.png))) {
        if (job.nomem)
            status = ctx_fail_prefix(ctx, LENS_NOMEM, "%s", name);
        else
            ctx_fail(ctx, LENS_BAD_FILE, "%s: PNG near byte %zu: %s", name, job.at, job.why);
        goto done;
    }
    job.info = png_create_info_struct(job.png);
    if (!job.info) png_error(job.png, "out of memory");
    png_set_read_fn(job.png, &job, feed);
    png_set_user_limits(job.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* our own cap came before */
    png_set_chunk_malloc_max(job.png, PNG_CHUNK_CAP);
    png_read_info(job.png, job.info);

    png_uint_32 width, height;
    int depth, kind;
    png_get_IHDR(job.png, job.info, &width, &height, &depth, &kind, NULL, NULL, NULL);
    bool grey = !(kind & PNG_COLOR_MASK_COLOR);
    int channels = opts.channels ? opts.channels : grey ? 1 : 3;
    image->width = (int)width;
    image->height = (int)height;
    image->channels = channels;
    if (probe) {
        status = LENS_OK;
        goto done;
    }

    /* A file too short for its picture is refused before memory is asked for it. */
    uint64_t least = (uint64_t)height * png_get_rowbytes(job.png, job.info) / DEFLATE_BEST;
    if (least > size) {
        snprintf(job.why, sizeof job.why,
                 "truncated: a picture of %ux%u pixels takes at least %llu bytes, but the file has "
                 "%zu",
                 width, height, (unsigned long long)least, size);
        png_error(job.png, "truncated");
    }
    png_set_expand(job.png);   /* palette to RGB, 1-2-4 bits to 8, tRNS to alpha */
    png_set_scale_16(job.png); /* rounds; strip_16 would truncate */
    if (grey && channels == 3) png_set_gray_to_rgb(job.png);
    int passes = png_set_interlace_handling(job.png);
    png_read_update_info(job.png, job.info);
    int stored = png_get_channels(job.png, job.info);
    size_t row = (size_t)width * (size_t)stored;
    if (png_get_bit_depth(job.png, job.info) != 8 || png_get_rowbytes(job.png, job.info) != row)
        png_error(job.png, "unexpected sample format");
    image->pixels = ctx_alloc(ctx, height, row);
    if (!image->pixels) {
        job.nomem = true;
        png_error(job.png, "out of memory");
    }
    for (int pass = 0; pass < passes; pass++)
        for (png_uint_32 y = 0; y < height; y++)
            png_read_row(job.png, image->pixels + y * row, NULL);
    png_read_end(job.png, NULL);
    if (stored != channels) narrow(image->pixels, (size_t)width * height, stored, channels);
    status = LENS_OK;

done:
    png_destroy_read_struct(&job.png, &job.info, NULL);
    if (status != LENS_OK) {
        ctx_free(ctx, image->pixels);
        *image = (lens_image){ 0 };
    }
    return status;
}

lens_status img_encode_png(lens_ctx *ctx, const lens_image *image, uint8_t **out, size_t *size) {
    png_job job = { .ctx = ctx };
    const lens_image *volatile picture = image;
    volatile lens_status status = LENS_NOMEM;
    job.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job,
                                        hook_alloc, hook_free);
    if (!job.png) return ctx_nomem(ctx, 1, "a PNG writer");
    if (setjmp(png_jmpbuf(job.png))) {
        if (!job.nomem)
            status = ctx_fail(ctx, LENS_BAD_ARG, "PNG of %dx%d: %s", picture->width,
                              picture->height, job.why);
        goto done;
    }
    job.info = png_create_info_struct(job.png);
    if (!job.info) png_error(job.png, "out of memory");
    png_set_write_fn(job.png, &job, collect, no_flush);
    png_set_user_limits(job.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(job.png, job.info, (png_uint_32)picture->width, (png_uint_32)picture->height, 8,
                 picture->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(job.png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
    png_set_compression_level(job.png, 6);
    png_write_info(job.png, job.info);
    size_t row = (size_t)picture->width * (size_t)picture->channels;
    for (int y = 0; y < picture->height; y++)
        png_write_row(job.png, picture->pixels + (size_t)y * row);
    png_write_end(job.png, NULL);
    *out = job.out;
    *size = job.out_size;
    job.out = NULL;
    status = LENS_OK;

done:
    png_destroy_write_struct(&job.png, &job.info);
    ctx_free(ctx, job.out);
    return status;
}
