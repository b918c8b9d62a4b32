/* ctx.c - making a context, and memory through its hook.
 *
 * Every block carries a header just below the address handed out, so that freeing needs no size:
 *
 *     raw ... padding ... [struct block] p ... p+bytes
 *
 * Invariant: p - raw is kept when the hook moves a block, so its contents need no second move.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/ctx.h"
#include "base/pool.h"
#include "base/tuning.h"

#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { BLOCK_ALIGN = 64, HUGE_PAGE = 2 << 20, MAX_THREADS = 1024 };

typedef struct block {
    size_t raw_bytes; /* what the hook was asked for */
    size_t bytes;     /* what the caller was given */
    size_t offset;    /* p - raw */
    size_t unused;    /* keeps the size a multiple of 16 */
} block;

static void *resize_with_libc(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)user, (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    /* The kernel's pages are 0 already: large blocks cost nothing until they are written to. */
    return ptr ? realloc(ptr, new_size) : calloc(1, new_size);
}

bool mul_size(size_t a, size_t b, size_t *out) {
    if (b && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

bool add_size(size_t a, size_t b, size_t *out) {
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}

static void release(lens_ctx *ctx, size_t bytes) {
    atomic_fetch_sub_explicit(&ctx->live_bytes, bytes, memory_order_relaxed);
}

/* Whether the limit allows `bytes` more, which then count. */
static bool reserve(lens_ctx *ctx, size_t bytes, const char *what) {
    size_t live = atomic_fetch_add_explicit(&ctx->live_bytes, bytes, memory_order_relaxed);
    if (!ctx->memory || (live <= ctx->memory && bytes <= ctx->memory - live)) return true;
    release(ctx, bytes);
    ctx_fail(ctx, LENS_NOMEM,
             "out of memory: %zu bytes for %s, beside %zu in use, exceed the limit of %zu bytes",
             bytes, what, live, ctx->memory);
    return false;
}

static block *block_of(void *ptr) { return (block *)ptr - 1; }

static void *call_hook(lens_ctx *ctx, void *raw, size_t old_bytes, size_t new_bytes) {
    atomic_fetch_add_explicit(&ctx->alloc_calls, 1, memory_order_relaxed);
    return ctx->alloc.resize(ctx->alloc.user, raw, old_bytes, new_bytes);
}

void *ctx_alloc(lens_ctx *ctx, size_t count, size_t size) {
    size_t bytes, raw_bytes;
    if (!mul_size(count, size, &bytes) || bytes > PTRDIFF_MAX) {
        ctx_fail(ctx, LENS_NOMEM, "out of memory: %zu elements of %zu bytes", count, size);
        return NULL;
    }
    if (!reserve(ctx, bytes, "a new block")) return NULL;
    bool huge = bytes >= CTX_HUGE_BYTES && ctx->default_alloc;
    size_t align = huge ? HUGE_PAGE : BLOCK_ALIGN;
    unsigned char *raw = NULL;
    if (add_size(bytes, sizeof(block) + align, &raw_bytes))
        raw = call_hook(ctx, NULL, 0, raw_bytes);
    if (!raw) {
        release(ctx, bytes);
        ctx_nomem(ctx, bytes, "a new block");
        return NULL;
    }
    uintptr_t first = (uintptr_t)raw + sizeof(block);
    size_t offset = (size_t)(((first + align - 1) & ~(uintptr_t)(align - 1)) - (uintptr_t)raw);
    unsigned char *ptr = raw + offset;
#ifdef __linux__
    if (huge) madvise(ptr, bytes & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE); /* only advice */
#endif
    *block_of(ptr) = (block){ .raw_bytes = raw_bytes, .bytes = bytes, .offset = offset };
    if (!ctx->default_alloc) memset(ptr, 0, bytes);
    return ptr;
}

void *ctx_grow(lens_ctx *ctx, void *ptr, size_t old_count, size_t new_count, size_t size) {
    if (!ptr) return ctx_alloc(ctx, new_count, size);
    (void)old_count;
    block old = *block_of(ptr);
    unsigned char *raw = NULL;
    size_t bytes, raw_bytes;
    if (!mul_size(new_count, size, &bytes) || bytes > PTRDIFF_MAX) {
        ctx_fail(ctx, LENS_NOMEM, "out of memory: %zu elements of %zu bytes", new_count, size);
        return NULL;
    }
    if (!reserve(ctx, bytes, "a block that grows")) return NULL;
    if (add_size(bytes, old.offset, &raw_bytes))
        raw = call_hook(ctx, (unsigned char *)ptr - old.offset, old.raw_bytes, raw_bytes);
    if (!raw) {
        release(ctx, bytes);
        ctx_nomem(ctx, bytes, "a block that grows");
        return NULL;
    }
    ptr = raw + old.offset;
    *block_of(ptr) = (block){ .raw_bytes = raw_bytes, .bytes = bytes, .offset = old.offset };
    release(ctx, old.bytes);
    return ptr;
}

void ctx_free(lens_ctx *ctx, void *ptr) {
    if (!ptr) return;
    block old = *block_of(ptr);
    release(ctx, old.bytes);
    call_hook(ctx, (unsigned char *)ptr - old.offset, old.raw_bytes, 0);
}

void lens_free(lens_ctx *ctx, void *ptr) { ctx_free(ctx, ptr); }

char *ctx_strdup(lens_ctx *ctx, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = ctx_alloc(ctx, size, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}

char *ctx_printf(lens_ctx *ctx, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = format_text(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        ctx_fail(ctx, LENS_NOMEM, "a text cannot be formatted");
        return NULL;
    }
    char *text = ctx_alloc(ctx, (size_t)length + 1, 1);
    if (!text) return NULL;
    va_start(args, format);
    format_text(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

size_t ctx_live_bytes(const lens_ctx *ctx) {
    return atomic_load_explicit(&ctx->live_bytes, memory_order_relaxed);
}

size_t ctx_room(const lens_ctx *ctx) {
    size_t live = ctx_live_bytes(ctx);
    return !ctx->memory ? SIZE_MAX : live < ctx->memory ? ctx->memory - live : 0;
}

uint64_t ctx_alloc_calls(const lens_ctx *ctx) {
    return atomic_load_explicit(&ctx->alloc_calls, memory_order_relaxed);
}

/* A number 1..MAX_THREADS of the environment; 0 = not set, -1 = refused, said in why. */
static int count_of(const char *name, char why[256]) {
    const char *text = getenv(name);
    long long count;
    if (!text || !*text) return 0;
    if (parse_int(text, &count) && count >= 1 && count <= MAX_THREADS) return (int)count;
    snprintf(why, 256, "%s is '%.64s', but must be a whole number 1..%d", name, text, MAX_THREADS);
    return -1;
}

/* opts->threads, else $LENSLET_THREADS, else what the machine gives; 0 = refused, said in why. */
static int wanted_threads(const lens_ctx_opts *opts, char why[256]) {
    if (opts->threads) {
        if (opts->threads >= 1 && opts->threads <= MAX_THREADS) return opts->threads;
        snprintf(why, 256, "threads is %d, but must be 1..%d, or 0 for the usual", opts->threads,
                 MAX_THREADS);
        return 0;
    }
    int threads = count_of("LENSLET_THREADS", why);
    if (threads) return threads > 0 ? threads : 0;
    int usable = pool_default_threads();
    return usable < MAX_THREADS ? usable : MAX_THREADS;
}

lens_status lens_ctx_new(lens_ctx **out, const lens_ctx_opts *opts, char why[256]) {
    static const lens_ctx_opts usual;
    char unread[256];
    lens_ctx *ctx = NULL;
    if (!opts) opts = &usual;
    if (!why) why = unread;
    why[0] = 0;
    *out = NULL;

    int threads = wanted_threads(opts, why), cpus = count_of("LENSLET_CPUS", why);
    if (!threads || cpus < 0) return LENS_BAD_ARG;
    const struct kern *kern = kern_select(opts->isa, why, 256);
    if (!kern) return LENS_BAD_ARG;

    lens_alloc alloc = opts->alloc;
    if (!alloc.resize) alloc = (lens_alloc){ .resize = resize_with_libc };
    ctx = alloc.resize(alloc.user, NULL, 0, sizeof *ctx);
    if (!ctx) {
        snprintf(why, 256, "out of memory: %zu bytes for a context", sizeof *ctx);
        return LENS_NOMEM;
    }
    memset(ctx, 0, sizeof *ctx);
    ctx->alloc = alloc;
    ctx->default_alloc = !opts->alloc.resize;
    ctx->log = opts->log;
    ctx->log_user = opts->log_user;
    ctx->strict = opts->strict;
    ctx->tune = opts->tune;
    ctx->memory = opts->memory;
    ctx->kern = kern;
    lens_status status = pool_new(ctx, &ctx->pool, threads, cpus);
    if (status == LENS_OK && opts->wisdom && !(ctx->wisdom = ctx_strdup(ctx, opts->wisdom)))
        status = LENS_NOMEM;
    if (status != LENS_OK) {
        snprintf(why, 256, "%.255s", ctx->why);
        lens_ctx_free(ctx);
        return status;
    }
    *out = ctx;
    return LENS_OK;
}

lens_status ctx_side(lens_ctx *ctx, lens_ctx **out) {
    char why[256];
    lens_ctx_opts opts = {
        .threads = 1, .isa = kern_name(ctx->kern), .alloc = ctx->alloc, .strict = ctx->strict
    };
    lens_status status = lens_ctx_new(out, &opts, why);
    return status == LENS_OK ? status : ctx_fail(ctx, status, "%s", why);
}

void lens_ctx_free(lens_ctx *ctx) {
    if (!ctx) return;
    ctx_free(ctx, ctx->wisdom);
    pool_free(ctx, ctx->pool);
    lens_alloc alloc = ctx->alloc;
    alloc.resize(alloc.user, ctx, sizeof *ctx, 0);
}

int lens_ctx_threads(const lens_ctx *ctx) { return pool_threads(ctx->pool); }
const char *lens_ctx_isa(const lens_ctx *ctx) { return kern_name(ctx->kern); }
struct pool *ctx_pool(lens_ctx *ctx) {
    return ctx->pool;
}
bool ctx_strict(const lens_ctx *ctx) { return ctx->strict; }
bool ctx_tunes(const lens_ctx *ctx) { return ctx->tune; }
const char *ctx_wisdom(const lens_ctx *ctx) { return ctx->wisdom; }
const struct kern *ctx_kern(const lens_ctx *ctx) { return ctx->kern; }
