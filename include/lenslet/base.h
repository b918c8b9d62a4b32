/* lenslet/base.h - status, context, memory and log hooks: what every other header stands on.
 *
 * Ownership  A lens_ctx owns the worker threads and the latest error message. Everything made with
 *            a context must be freed before it.
 * Errors     Calls that can fail return a lens_status and write results only on success;
 *            lens_why(ctx) then says what went wrong, naming both sides. The library never prints,
 *            exits or aborts on a caller's mistake or on bad bytes.
 * Threads    A context is used by one thread at a time; separate contexts are independent. A
 *            finished net may be shared by sessions of several contexts (see net.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_BASE_H
#define LENSLET_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define LENS_API
#else
#define LENS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* name, number, default text. The numbers are part of the ABI. */
#define LENS_STATUS_MAP(X)                                                                         \
    X(LENS_OK, 0, "no error")                                                                      \
    X(LENS_NOMEM, 1, "out of memory")                                                              \
    X(LENS_BAD_SHAPE, 2, "shapes do not fit")                                                      \
    X(LENS_BAD_ARG, 3, "argument out of range")                                                    \
    X(LENS_BAD_FILE, 4, "file is damaged or not of this format")                                   \
    X(LENS_IO, 5, "reading or writing failed")                                                     \
    X(LENS_NOT_FOUND, 6, "no such name")                                                           \
    X(LENS_UNSUPPORTED, 7, "not supported")                                                        \
    X(LENS_DIVERGED, 8, "training diverged")                                                       \
    X(LENS_INTERRUPTED, 9, "interrupted")

typedef enum lens_status {
#define LENS_STATUS_ENUM(name, number, text) name = number,
    LENS_STATUS_MAP(LENS_STATUS_ENUM)
#undef LENS_STATUS_ENUM
} lens_status;

/* "LENS_BAD_SHAPE"; and "shapes do not fit". Static strings, never NULL. */
LENS_API const char *lens_status_name(lens_status);
LENS_API const char *lens_status_text(lens_status);

/* "0.1.0". */
LENS_API const char *lens_version(void);

/* All memory of the library goes through one hook. `resize` has the contract of realloc with two
 * differences: size 0 frees and returns NULL, and it is told the old size. NULL = out of memory. It
 * must be callable from any thread. */
typedef struct lens_alloc {
    void *(*resize)(void *user, void *ptr, size_t old_size, size_t new_size);
    void *user;
} lens_alloc;

typedef enum lens_log_level { LENS_LOG_WARN, LENS_LOG_INFO, LENS_LOG_DEBUG } lens_log_level;

/* Called with one line of text without a newline; never from a worker thread. */
typedef void lens_log_fn(void *user, lens_log_level level, const char *text);

typedef struct lens_ctx lens_ctx;

/* Zero means the usual. */
typedef struct lens_ctx_opts {
    int threads;     /* 1..1024; 0 = $LENSLET_THREADS, else the CPUs this process may use
                          (affinity mask and cgroup quota). Never more work at a time than there are such
                          CPUs, as the mask changes; $LENSLET_CPUS, 1..1024, says otherwise */
    const char *isa; /* "scalar", "avx2", "avx512": cap the level; NULL = $LENSLET_ISA, else best */
    bool strict; /* only algorithms that form every product (no Winograd) for nets made with this
                        context: a few times smaller rounding error, an output that no pixel outside
                        its window changes by a bit, less speed */
    /* Which algorithm computes a convolution is estimated from its shape, the same everywhere. With `tune`,
     * new sessions measure instead, some seconds for a large net. Results then differ in the last bits, by
     * algorithm alone; where there is no choice, as in `strict` nets, nothing differs. `wisdom`: a text
     * file (copied name) of what was measured, read by every new session and, with `tune`, written.
     * Lines for another CPU, level, number of threads or version of the library do not count. What is wrong
     * with the file is said through `log`, and the session goes on without. */
    bool tune;
    const char *wisdom; /* NULL: none */
    /* Most bytes that blocks of this context may have together; what would exceed them fails with LENS_NOMEM.
     * An inference session that would not fit otherwise packs the weights of a layer whenever it runs
     * instead of keeping them packed: the same bits, in batches of 16 at 5 to 20 % of the speed, alone at
     * half of it. 0: no limit. */
    size_t memory;
    lens_alloc alloc; /* resize == NULL: malloc and free */
    lens_log_fn *log; /* NULL: silence */
    void *log_user;
} lens_ctx_opts;

/* opts may be NULL. On failure *out is NULL and, as there is no context to ask, the message is
 * written to why[0..255] if `why` is not NULL.
 * LENS_BAD_ARG: threads or $LENSLET_CPUS out of range, unknown isa or a level this CPU lacks; LENS_NOMEM. */
LENS_API lens_status lens_ctx_new(lens_ctx **out, const lens_ctx_opts *opts, char why[256]);
LENS_API void lens_ctx_free(lens_ctx *); /* NULL is fine */

/* The message of the latest failed call on this context; "" before the first. Borrowed: valid until
 * the next call on the context. */
LENS_API const char *lens_why(const lens_ctx *);

LENS_API int lens_ctx_threads(const lens_ctx *);
LENS_API const char *lens_ctx_isa(const lens_ctx *); /* the level in use: "avx512" */

/* Frees memory that a function documented as "free with lens_free" returned. NULL is fine. */
LENS_API void lens_free(lens_ctx *, void *);

/* Writes a whole file: the old one stays until the new one is complete, then is replaced. LENS_IO names path
 * and reason; LENS_NOMEM. */
LENS_API lens_status lens_file_write(lens_ctx *, const char *path, const void *bytes, size_t size);

/* For code built on the library, so that its errors reach the caller the same way: `text` becomes
 * the message of lens_why (copied, cut after 1,000 bytes or so), and `status` is returned. */
LENS_API lens_status lens_fail(lens_ctx *, lens_status status, const char *text);

/* The nearest of names[0..count-1] to `word` for "did you mean": at most a third of its letters
 * wrong, at least one allowed; neighbours swapped count once. NULL: none is near. */
LENS_API const char *lens_nearest(const char *word, const char *const *names, size_t count);

#ifdef __cplusplus
}
#endif
#endif
