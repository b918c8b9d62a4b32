/* safetensors.h - reading and writing .safetensors files.
 *
 *     8 bytes   N, the length of the header, little-endian
 *     N bytes   JSON: {"__metadata__": {"key": "value", ...},
 *                      "name": {"dtype": "F32", "shape": [6,1,5,5], "data_offsets": [begin, end]}, ...}
 *               padded with spaces
 *     the rest  the tensors, row-major, little-endian, without gaps or overlaps
 *
 * Invariant: a file that opens is whole: every tensor's range lies in the file, has the size that its
 * shape and type ask for, and the ranges tile the rest exactly. Numbers are checked before they are
 * multiplied, and nothing in proportion to them is allocated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_SAFETENSORS_H
#define FORMAT_SAFETENSORS_H

#include "base/base.h"

enum { ST_MAX_RANK = 8, ST_MAX_HEADER = 100000000 /* the cap of the reference implementation */ };

typedef enum st_dtype {
    ST_BOOL,
    ST_U8,
    ST_I8,
    ST_U16,
    ST_I16,
    ST_F16,
    ST_BF16,
    ST_U32,
    ST_I32,
    ST_F32,
    ST_U64,
    ST_I64,
    ST_F64,
} st_dtype;

typedef struct st_tensor {
    const char *name;
    st_dtype dtype;
    int rank;
    int64_t dim[ST_MAX_RANK];
    int64_t count;               /* product of dim */
    const void *data;            /* unaligned, little-endian; in the mapped file when read */
    bool strided;                /* false: row-major without gaps, and `stride` is not used */
    int64_t stride[ST_MAX_RANK]; /* in elements, from one index to the next; >= 0 */
} st_tensor;

typedef struct st_pair {
    const char *key, *value;
} st_pair;

typedef struct st_file st_file;

/* Maps the file and checks it. LENS_IO; LENS_BAD_FILE: anything the invariant forbids, duplicate
 * names, malformed JSON, with the tensor or byte concerned; LENS_UNSUPPORTED: another dtype, rank
 * above ST_MAX_RANK; LENS_NOMEM. See map_open. */
lens_status st_open(lens_ctx *, st_file **out, const char *path);

/* From memory, which must stay until st_close. */
lens_status st_parse(lens_ctx *, st_file **out, const void *bytes, size_t size, const char *name);
void st_close(st_file *); /* NULL is fine */

/* Tensors in the order of their data. Pointers are valid until st_close. */
size_t st_count(const st_file *);
const st_tensor *st_at(const st_file *, size_t index);
const st_tensor *st_find(const st_file *, const char *name); /* NULL: no such tensor */

/* The same in any list of tensors; by_name: their indices in order of the names. */
const st_tensor *st_search(const st_tensor *, const uint32_t *by_name, size_t count,
                           const char *name);

/* "__metadata__": in file order; NULL: no such key. */
size_t st_meta_count(const st_file *);
st_pair st_meta_at(const st_file *, size_t index);
const char *st_meta(const st_file *, const char *key);

const char *st_dtype_name(st_dtype); /* "F32" */
size_t st_dtype_size(st_dtype);      /* bytes */

/* Elements [first, first+count) in row-major order as float, rounded to nearest; BOOL is 0 or 1. */
void st_to_float(const st_tensor *, int64_t first, int64_t count, float *out);

/* Writes tensors (row-major, whatever their strides) and metadata in the order given; the header is padded to a multiple of 8 bytes. The
 * old file stays until the new one is complete. LENS_BAD_ARG: a name twice or not UTF-8, the name
 * "__metadata__"; LENS_IO; LENS_NOMEM. */
lens_status st_write(lens_ctx *, const char *path, const st_tensor *tensors, size_t count,
                     const st_pair *meta, size_t meta_count);

#endif
