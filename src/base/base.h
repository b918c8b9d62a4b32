/* base.h - the internal face of src/base: status and message, memory, files, hashing.
 *
 * Invariants: every function that fails leaves its message in the context through ctx_fail (the
 * deepest caller who knows both sides words it); every byte comes from ctx_resize.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <lenslet/base.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#if defined(__GNUC__)
#define LENS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LENS_PRINTF(fmt, args)
#endif

#define LENS_COUNT(array) (sizeof(array) / sizeof *(array))

static inline int imin(int a, int b) { return a < b ? a : b; }
static inline int imax(int a, int b) { return a > b ? a : b; }

/* Stores the message and returns `status`, so that a failing function ends with
 *     return ctx_fail(ctx, LENS_BAD_SHAPE, "conv4: input has %d channels but weights expect %d", ...);
 * ctx_fail_prefix puts "where: " before the present message, for a caller who knows the file name. */
lens_status ctx_fail(lens_ctx *, lens_status status, const char *format, ...) LENS_PRINTF(3, 4);
lens_status ctx_fail_prefix(lens_ctx *, lens_status status, const char *format, ...)
    LENS_PRINTF(3, 4);
lens_status ctx_nomem(lens_ctx *, size_t bytes, const char *what); /* names the bytes asked for */
void ctx_log(lens_ctx *, lens_log_level, const char *format, ...) LENS_PRINTF(3, 4);

/* Forward a failure: the message is already in the context. */
#define LENS_TRY(call)                                                                             \
    do {                                                                                           \
        lens_status lens_try_status_ = (call);                                                     \
        if (lens_try_status_ != LENS_OK) return lens_try_status_;                                  \
    } while (0)

/* Memory through the hook. ctx_alloc zeroes and aligns to 64 bytes; NULL leaves a message. ctx_grow
 * keeps the old contents, does not zero what is new (plain alignment): for arrays that grow; on
 * failure the old block stays. Sizes are checked for overflow: count * size. ctx_free takes NULL.
 * Several threads may allocate at once, but a failure writes the message of the context, so a thread
 * that may meet one has a context of its own. */
void *ctx_alloc(lens_ctx *, size_t count, size_t size);
void *ctx_grow(lens_ctx *, void *ptr, size_t old_count, size_t new_count, size_t size);
char *ctx_strdup(lens_ctx *, const char *);
char *ctx_printf(lens_ctx *, const char *format, ...) LENS_PRINTF(2, 3); /* owned string */
void ctx_free(lens_ctx *, void *);

/* Bytes handed out and not yet freed, and the number of calls of the hook so far: tests count. */
size_t ctx_live_bytes(const lens_ctx *);

/* Bytes that may still be handed out before lens_ctx_opts.memory is reached; SIZE_MAX: no limit. */
size_t ctx_room(const lens_ctx *);
uint64_t ctx_alloc_calls(const lens_ctx *);

/* A context for one more thread: the same allocation hook, one thread, its own message and counts.
 * Free with lens_ctx_free before `ctx`. */
lens_status ctx_side(lens_ctx *ctx, lens_ctx **out);

struct pool;
struct kern;
struct pool *ctx_pool(lens_ctx *);             /* pool.h */
bool ctx_strict(const lens_ctx *);             /* lens_ctx_opts.strict */
bool ctx_tunes(const lens_ctx *);              /* lens_ctx_opts.tune */
const char *ctx_wisdom(const lens_ctx *);      /* lens_ctx_opts.wisdom, NULL: no file */
const struct kern *ctx_kern(const lens_ctx *); /* kern/kern.h; never NULL */

/* The two things a context asks of the room above it, which base must not include: kern/kern.h has
 * the contracts. */
const struct kern *kern_select(const char *isa, char *why, size_t why_size);
const char *kern_name(const struct kern *);

/* Of the CPU's second-level cache; 0: unknown. No result may depend on it. */
size_t cpu_l2_bytes(void);

/* a*b and a+b into *out; false on overflow, *out untouched. */
bool mul_size(size_t a, size_t b, size_t *out);
bool add_size(size_t a, size_t b, size_t *out);

/* The whole file, terminated by a 0 byte that is not counted. A file longer than `cap` bytes is
 * refused before anything is allocated. Free with ctx_free. LENS_IO names path and errno;
 * LENS_BAD_FILE: longer than cap, or not a regular file. */
lens_status file_read(lens_ctx *, const char *path, size_t cap, char **out, size_t *size);

/* Atomic write: bytes go to a temporary file in the same folder; commit flushes, fsyncs, renames
 * over `path` and fsyncs the folder. Until commit returns LENS_OK the old file is untouched; abort
 * (or a failed commit) removes the temporary file. Mode bits of an old file are kept; a symbolic
 * link stays and the file it names is replaced. A device or pipe is written directly. Write errors
 * (ENOSPC ...) may surface at commit. LENS_IO names path and errno. */
typedef struct file_writer file_writer;
lens_status file_begin(lens_ctx *, file_writer **out, const char *path);
FILE *file_stream(file_writer *);
lens_status file_commit(file_writer *); /* frees the writer either way */
void file_abort(file_writer *);         /* NULL is fine */

/* The nearest of names[0..count-1] to `word` by edit distance (at most a third of its length, at
 * least 1; swapping neighbours is one edit), or NULL: for "did you mean". */
const char *nearest_name(const char *word, const char *const *names, size_t count);

/* strtod and strtoll (decimal) that ignore the locale and want the whole string, without blanks;
 * false if it is no number, not finite or out of range. */
bool parse_double(const char *text, double *out);
bool parse_int(const char *text, long long *out);

#endif
