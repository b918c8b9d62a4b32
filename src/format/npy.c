/* npy.c - NumPy's array file, format versions 1 to 3.
 *
 *     \x93NUMPY  major minor  length (2 bytes; 4 from version 2 on)  header  data
 *     header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } and blanks
 *
 * Invariant: the bytes left in the file must equal what the shape asks for before anything is
 * allocated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/npy.h"
#include <string.h>

/* A float64 file of 2^40 bytes would not fit a machine of today; the size is that of the file. */
#define NPY_MAX_FILE ((size_t)1 << 40)

typedef struct npy {
    lens_ctx *ctx;
    const char *name;
    const char *at, *end; /* of the header */
    const char *bytes;
    char kind; /* 'f', 'i', 'u', 'b' */
    size_t size;
    bool big, fortran;
    int rank;
    int64_t dim[LENS_MAX_RANK];
} npy;

static lens_status expected(npy *f, const char *what) {
    return ctx_fail(f->ctx, LENS_BAD_FILE, "%s: NPY header, byte %zu: expected %s", f->name,
                    (size_t)(f->at - f->bytes), what);
}

static void blanks(npy *f) {
    while (f->at < f->end && (*f->at == ' ' || *f->at == '\n' || *f->at == '\t')) f->at++;
}

static bool take(npy *f, char c) {
    blanks(f);
    if (f->at == f->end || *f->at != c) return false;
    f->at++;
    return true;
}

/* A quoted word without escapes. */
static lens_status word(npy *f, const char **out, size_t *length) {
    blanks(f);
    if (f->at == f->end || (*f->at != '\'' && *f->at != '"')) return expected(f, "a quoted word");
    char quote = *f->at++;
    *out = f->at;
    while (f->at < f->end && *f->at != quote) f->at++;
    if (f->at == f->end) return expected(f, "the end of a quoted word");
    *length = (size_t)(f->at++ - *out);
    return LENS_OK;
}

static lens_status read_descr(npy *f) {
    static const char *const KNOWN[] = { "f4", "f8", "u1", "i1", "i2", "i4", "i8", "b1" };
    const char *text;
    size_t length;
    LENS_TRY(word(f, &text, &length));
    for (size_t i = 0; i < LENS_COUNT(KNOWN); i++) {
        if (length != 3 || memcmp(text + 1, KNOWN[i], 2) != 0 || !memchr("<>|=", *text, 4))
            continue;
        f->kind = text[1];
        f->size = (size_t)(text[2] - '0');
        f->big = *text == '>';
        return LENS_OK;
    }
    return ctx_fail(f->ctx, LENS_UNSUPPORTED,
                    "%s: NPY type '%.*s' is not read; f4, f8, u1, i1, i2, i4, i8 and b1 are",
                    f->name, (int)(length < 40 ? length : 40), text);
}

static lens_status read_shape(npy *f) {
    if (!take(f, '(')) return expected(f, "'(' of the shape");
    while (!take(f, ')')) {
        int64_t v = 0;
        blanks(f);
        const char *start = f->at;
        for (; f->at < f->end && *f->at >= '0' && *f->at <= '9'; f->at++) {
            v = v * 10 + (*f->at - '0');
            if (v > (int64_t)1 << 48) return expected(f, "a smaller dimension");
        }
        if (f->at == start) return expected(f, "a number in the shape");
        if (f->rank == LENS_MAX_RANK)
            return ctx_fail(f->ctx, LENS_UNSUPPORTED, "%s: NPY of rank above %d", f->name,
                            LENS_MAX_RANK);
        f->dim[f->rank++] = v;
        if (!take(f, ',')) {
            if (!take(f, ')')) return expected(f, "',' or ')' in the shape");
            break;
        }
    }
    return LENS_OK;
}

static lens_status read_header(npy *f) {
    bool descr = false, order = false, shape = false;
    if (!take(f, '{')) return expected(f, "'{'");
    while (!take(f, '}')) {
        const char *key;
        size_t length;
        LENS_TRY(word(f, &key, &length));
        if (!take(f, ':')) return expected(f, "':'");
        blanks(f);
        if (length == 5 && memcmp(key, "descr", 5) == 0 && !descr) {
            LENS_TRY(read_descr(f));
            descr = true;
        } else if (length == 13 && memcmp(key, "fortran_order", 13) == 0 && !order) {
            size_t left = (size_t)(f->end - f->at);
            f->fortran = left >= 4 && memcmp(f->at, "True", 4) == 0;
            if (!f->fortran && (left < 5 || memcmp(f->at, "False", 5) != 0))
                return expected(f, "True or False");
            f->at += f->fortran ? 4 : 5;
            order = true;
        } else if (length == 5 && memcmp(key, "shape", 5) == 0 && !shape) {
            LENS_TRY(read_shape(f));
            shape = true;
        } else {
            return expected(f, "each of descr, fortran_order and shape once");
        }
        if (!take(f, ',')) {
            if (!take(f, '}')) return expected(f, "',' or '}'");
            break;
        }
    }
    blanks(f);
    if (f->at != f->end) return expected(f, "nothing after '}'");
    if (!descr || !order || !shape)
        return expected(f, "descr, fortran_order and shape before this");
    return LENS_OK;
}

static float element(const npy *f, const uint8_t *p) {
    uint64_t bits = 0;
    for (size_t i = 0; i < f->size; i++) bits = bits << 8 | p[f->big ? i : f->size - 1 - i];
    uint32_t low = (uint32_t)bits;
    float single;
    double twice;
    if (f->kind == 'f') {
        if (f->size == 4) {
            memcpy(&single, &low, sizeof single);
            return single;
        }
        memcpy(&twice, &bits, sizeof twice);
        return (float)twice;
    }
    if (f->kind == 'b') return bits != 0;
    if (f->kind == 'u') return (float)bits;
    uint64_t sign =
        (uint64_t)1 << (8 * f->size - 1); /* sign extension without shifts of negatives */
    return (float)(int64_t)((bits ^ sign) - sign);
}

/* Element i in C order of the array is element `at` of the file. */
static void convert(const npy *f, const uint8_t *data, float *out, size_t count) {
    if (count == 0) return; /* the other dimensions may be anything */
    int64_t index[LENS_MAX_RANK] = { 0 }, stride[LENS_MAX_RANK] = { 0 }, step = 1, at = 0;
    for (int d = 0; d < f->rank; d++) {
        stride[d] = step;
        step *= f->dim[d];
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = element(f, data + (f->fortran ? (size_t)at : i) * f->size);
        for (int d = f->rank - 1; d >= 0; d--) {
            at += stride[d];
            if (++index[d] < f->dim[d]) break;
            at -= stride[d] * f->dim[d];
            index[d] = 0;
        }
    }
}

lens_status npy_decode(lens_ctx *ctx, lens_tensor *out, const void *bytes, size_t size,
                       const char *name) {
    const uint8_t *p = bytes;
    npy f = { .ctx = ctx, .name = name, .bytes = bytes };
    *out = (lens_tensor){ 0 };
    if (size < 12 || memcmp(p, "\x93NUMPY", 6) != 0)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: not an NPY file (%zu bytes)", name, size);
    if (p[6] < 1 || p[6] > 3)
        return ctx_fail(ctx, LENS_UNSUPPORTED, "%s: NPY version %d.%d; 1 to 3 are read", name, p[6],
                        p[7]);
    size_t start = p[6] == 1 ? 10 : 12, length = (size_t)p[8] | (size_t)p[9] << 8;
    if (p[6] > 1) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > size - start)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: truncated: the NPY header of %zu bytes is cut off",
                        name, length);
    f.at = (const char *)p + start;
    f.end = f.at + length;
    LENS_TRY(read_header(&f));

    size_t count = 1, need, have = size - start - length;
    for (int d = 0; d < f.rank; d++)
        if (!mul_size(count, (size_t)f.dim[d], &count) || count > NPY_MAX_FILE)
            return ctx_fail(ctx, LENS_BAD_FILE, "%s: NPY shape has too many elements", name);
    need = count * f.size; /* at most 2^43 */
    if (need != have)
        return ctx_fail(ctx, LENS_BAD_FILE,
                        "%s: %s: the NPY header announces %zu bytes of data but %zu follow", name,
                        have < need ? "truncated" : "trailing bytes", need, have);
    float *data = ctx_alloc(ctx, count ? count : 1, sizeof *data);
    if (!data) return ctx_fail_prefix(ctx, LENS_NOMEM, "%s", name);
    convert(&f, p + start + length, data, count);
    out->data = data;
    out->rank = f.rank;
    memcpy(out->dim, f.dim, sizeof f.dim);
    return LENS_OK;
}

lens_status lens_npy_read(lens_ctx *ctx, lens_tensor *out, const char *path) {
    char *bytes;
    size_t size;
    LENS_TRY(file_read(ctx, path, NPY_MAX_FILE, &bytes, &size));
    lens_status status = npy_decode(ctx, out, bytes, size, path);
    ctx_free(ctx, bytes);
    return status;
}

lens_status lens_npy_write(lens_ctx *ctx, const lens_tensor *t, const char *path) {
    int64_t count = lens_tensor_count(t);
    if (count < 0)
        return ctx_fail(ctx, LENS_BAD_SHAPE, "%s: a tensor of rank %d is not valid", path, t->rank);
    char header[256];
    int n = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int d = 0; d < t->rank; d++)
        n += snprintf(header + n, sizeof header - (size_t)n, "%lld,", (long long)t->dim[d]);
    n += snprintf(header + n, sizeof header - (size_t)n, "), }");
    /* Magic, version and length are 10 bytes; data begin at a multiple of 64 after a newline. */
    int padded = (10 + n + 1 + 63) / 64 * 64 - 10;
    while (n < padded - 1) header[n++] = ' ';
    header[n++] = '\n';
    file_writer *writer = NULL;
    LENS_TRY(file_begin(ctx, &writer, path));
    FILE *stream = file_stream(writer);
    fwrite("\x93NUMPY\x01\x00", 1, 8, stream); /* write errors surface at commit */
    fputc(n & 255, stream);
    fputc(n >> 8, stream);
    fwrite(header, 1, (size_t)n, stream);
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &t->data[i], sizeof bits);
        uint8_t p[4] = { (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                         (uint8_t)(bits >> 24) };
        fwrite(p, 1, 4, stream);
    }
    return file_commit(writer);
}
