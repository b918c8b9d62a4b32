/* jpeg.c - JPEG through libjpeg-turbo, from memory.
 *
 * Invariant: a picture is returned only if every scan line was really in the file: the library's
 * warnings about missing or undecodable data are errors here. (It paints such places grey.)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/image.h"
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

#include <jerror.h> /* after jpeglib.h, which says which codes there are */

/* A progressive file may hold any number of scans, each of which costs a pass over the picture
 * whatever its size in bytes. Encoders write about ten; libjpeg-turbo's own tools refuse more than
 * 500 when asked to be careful. */
enum { JPEG_MAX_SCANS = 500 };

typedef struct jpeg_job {
    struct jpeg_error_mgr error; /* first: cinfo->err points here */
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    char why[JMSG_LENGTH_MAX];
    bool nomem;
} jpeg_job;

static void on_error(j_common_ptr cinfo) {
    jpeg_job *job = (jpeg_job *)cinfo->err;
    job->nomem = cinfo->err->msg_code == JERR_OUT_OF_MEMORY;
    if (!job->why[0]) cinfo->err->format_message(cinfo, job->why);
    longjmp(job->jump, 1);
}

static void on_message(j_common_ptr cinfo, int level) {
    if (level >= 0) return; /* traces */
    switch (cinfo->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_NOT_SEQUENTIAL: on_error(cinfo); break;
    default: break; /* stray bytes between markers and the like: the picture is whole */
    }
}

static void on_output(j_common_ptr cinfo) { (void)cinfo; }

static void on_progress(j_common_ptr cinfo) {
    jpeg_job *job = (jpeg_job *)cinfo->err;
    j_decompress_ptr decoder = (j_decompress_ptr)cinfo;
    if (cinfo->is_decompressor && decoder->input_scan_number > JPEG_MAX_SCANS) {
        snprintf(job->why, sizeof job->why, "more than %d scans", JPEG_MAX_SCANS);
        on_error(cinfo);
    }
}

/* A file too short for its picture is refused before memory is asked for: a Huffman code has at least one
 * bit, and every block of 8x8 samples has at least one, its mean. Arithmetic coding knows no such bound;
 * like browsers, this reader does without it. */
static lens_status check_length(lens_ctx *ctx, const struct jpeg_decompress_struct *jpeg,
                                size_t size, const char *name) {
    uint64_t blocks = 0;
    if (jpeg->arith_code)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: JPEG with arithmetic coding; Huffman is read",
                        name);
    for (int i = 0; i < jpeg->num_components; i++)
        blocks +=
            (uint64_t)jpeg->comp_info[i].width_in_blocks * jpeg->comp_info[i].height_in_blocks;
    if (blocks / 8 <= size) return LENS_OK;
    return ctx_fail(ctx, LENS_BAD_FILE,
                    "%s: JPEG truncated: a picture of %ux%u pixels takes at least %llu bytes, but "
                    "the file has %zu",
                    name, jpeg->image_width, jpeg->image_height, (unsigned long long)(blocks / 8),
                    size);
}

static unsigned get16(const uint8_t *p, bool little) {
    return little ? (unsigned)(p[0] | p[1] << 8) : (unsigned)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p, bool little) {
    uint32_t a = get16(p, little), b = get16(p + 2, little);
    return little ? a | b << 16 : a << 16 | b;
}

/* The orientation tag (0x0112) of IFD0 in an APP1 "Exif" marker; 1 (upright) if there is none or it
 * is malformed: orientation is a hint, not a reason to refuse a picture. */
static int exif_orientation(const uint8_t *p, size_t size) {
    if (size < 14 || memcmp(p, "Exif\0", 6) != 0) return 1;
    p += 6;
    size -= 6;
    bool little = p[0] == 'I';
    if (memcmp(p, little ? "II*\0" : "MM\0*", 4) != 0) return 1;
    size_t at = get32(p + 4, little);
    if (at > size || size - at < 2) return 1;
    unsigned entries = get16(p + at, little);
    at += 2;
    for (unsigned i = 0; i < entries && size - at >= 12; i++, at += 12) {
        if (get16(p + at, little) != 0x0112) continue;
        unsigned value = get16(p + at + 8, little);
        return get16(p + at + 2, little) == 3 && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* The eight EXIF orientations: out(x,y) = in(x',y') with, for a stored picture of w x h,
 *   1 (x,y)   2 (w-1-x,y)   3 (w-1-x,h-1-y)   4 (x,h-1-y)
 *   5 (y,x)   6 (y,h-1-x)   7 (w-1-y,h-1-x)   8 (w-1-y,x)      (5..8 exchange the sides) */
static lens_status orient(lens_ctx *ctx, lens_image *image, int orientation) {
    if (orientation == 1) return LENS_OK;
    int w = image->width, h = image->height, n = image->channels;
    bool swap = orientation >= 5;
    bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int out_w = swap ? h : w, out_h = swap ? w : h;
    uint8_t *turned = ctx_alloc(ctx, (size_t)w * (size_t)h, (size_t)n);
    if (!turned) return LENS_NOMEM;
    uint8_t *d = turned;
    for (int y = 0; y < out_h; y++)
        for (int x = 0; x < out_w; x++, d += n) {
            int from_x = swap ? y : x, from_y = swap ? x : y;
            if (flip_x) from_x = w - 1 - from_x;
            if (flip_y) from_y = h - 1 - from_y;
            memcpy(d, image->pixels + ((size_t)from_y * (size_t)w + (size_t)from_x) * (size_t)n,
                   (size_t)n);
        }
    ctx_free(ctx, image->pixels);
    *image = (lens_image){ out_w, out_h, n, turned };
    return LENS_OK;
}

/* One decoded row of `from` components (1 grey, 3 RGB, 4 CMYK) to `to` channels. `inverted`: CMYK
 * as Adobe writes it, 255 = no ink. */
static void convert_row(const uint8_t *s, uint8_t *d, size_t width, int from, int to,
                        bool inverted) {
    for (size_t i = 0; i < width; i++, s += from, d += to) {
        int v[3];
        for (int c = 0; c < 3; c++) {
            if (from == 4) {
                int paper = inverted ? s[c] : 255 - s[c], black = inverted ? s[3] : 255 - s[3];
                v[c] = img_mul255(paper, black);
            } else {
                v[c] = s[from == 3 ? c : 0];
            }
        }
        if (to == 3) {
            for (int c = 0; c < 3; c++) d[c] = (uint8_t)v[c];
        } else {
            d[0] = from == 1 ? s[0] : img_luma(v[0], v[1], v[2]);
        }
    }
}

lens_status jpeg_decode(lens_ctx *ctx, lens_image *out, const uint8_t *bytes, size_t size,
                        const char *name, img_opts opts, bool probe) {
    struct jpeg_decompress_struct jpeg = { 0 };
    jpeg_job job = { 0 };
    lens_image *volatile image = out; /* lives across longjmp, as do row and status */
    uint8_t *volatile row = NULL;
    volatile lens_status status = LENS_BAD_FILE;
    *out = (lens_image){ 0 };
    jpeg.err = jpeg_std_error(&job.error);
    job.error.error_exit = on_error;
    job.error.emit_message = on_message;
    job.error.output_message = on_output;
    job.progress.progress_monitor = on_progress;
    if (setjmp(job.jump)) {
        size_t left = jpeg.src ? jpeg.src->bytes_in_buffer : size;
        if (job.nomem)
            status = ctx_fail(ctx, LENS_NOMEM, "%s: JPEG: out of memory", name);
        else
            ctx_fail(ctx, LENS_BAD_FILE, "%s: JPEG near byte %zu of %zu: %s", name,
                     left <= size ? size - left : size, size, job.why);
        goto done;
    }
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &job.progress;
    jpeg_mem_src(&jpeg, bytes, size);
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&jpeg, TRUE);
    status = img_check_size(ctx, name, jpeg.image_width, jpeg.image_height, opts.max_pixels);
    if (status != LENS_OK) goto done;
    status = LENS_BAD_FILE;

    int stored = jpeg.num_components;
    if (stored == 1) {
        jpeg.out_color_space = JCS_GRAYSCALE;
    } else if (stored == 3) {
        jpeg.out_color_space = JCS_RGB;
    } else if (stored == 4) {
        jpeg.out_color_space = JCS_CMYK;
    } else {
        ctx_fail(ctx, LENS_BAD_FILE, "%s: JPEG with %d components; 1, 3 and 4 are known", name,
                 stored);
        goto done;
    }
    int orientation = 1;
    for (jpeg_saved_marker_ptr m = jpeg.marker_list; m && orientation == 1; m = m->next)
        orientation = exif_orientation(m->data, m->data_length);
    int channels = opts.channels ? opts.channels : stored == 1 ? 1 : 3;
    size_t width = jpeg.image_width, height = jpeg.image_height;
    if (probe) {
        bool swap = orientation >= 5;
        *image = (lens_image){ (int)(swap ? height : width), (int)(swap ? width : height), channels,
                               NULL };
        status = LENS_OK;
        goto done;
    }

    status = check_length(ctx, &jpeg, size, name);
    if (status != LENS_OK) goto done;
    status = LENS_BAD_FILE;
    image->pixels = ctx_alloc(ctx, width * height, (size_t)channels);
    row = ctx_alloc(ctx, width, (size_t)stored);
    if (!image->pixels || !row) {
        status = ctx_fail_prefix(ctx, LENS_NOMEM, "%s", name);
        goto done;
    }
    image->width = (int)width;
    image->height = (int)height;
    image->channels = channels;
    jpeg_start_decompress(&jpeg);
    for (size_t y = 0; y < height; y++) {
        JSAMPROW rows[1] = { row };
        jpeg_read_scanlines(&jpeg, rows, 1);
        convert_row(row, image->pixels + y * width * (size_t)channels, width, stored, channels,
                    jpeg.saw_Adobe_marker);
    }
    jpeg_finish_decompress(&jpeg);
    status = orient(ctx, image, orientation);

done:
    jpeg_destroy_decompress(&jpeg);
    ctx_free(ctx, row);
    if (status != LENS_OK) {
        ctx_free(ctx, image->pixels);
        *image = (lens_image){ 0 };
    }
    return status;
}
