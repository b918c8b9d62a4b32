/* loader.c - batches in order, prepared ahead by worker threads.
 *
 * Batches of an epoch are numbered; batch b lives in slot b % slots:
 *
 *     released        cursor                  next
 *     batch the       batch to hand out       first batch that no worker
 *     caller holds    when asked again        has claimed; < released + slots
 *
 * Invariant: what a slot holds follows from (seed, epoch, batch number) alone; workers only decide
 * when. All memory is allocated in lens_loader_new.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "data/data.h"
#include <pthread.h>
#include <string.h>

enum {
    MAX_WORKERS = 64,
    WHY_BYTES = 512,
    AUGMENT_BLOCKS = 16, /* of random numbers reserved per sample; three words are used */
    MAX_MOVE = 1024
};

typedef struct augment {
    bool mirror;
    int crop, shift; /* largest move, 0 = none */
} augment;

typedef enum slot_state { SLOT_EMPTY, SLOT_BUSY, SLOT_READY } slot_state;

typedef struct slot {
    float *images;   /* (batch,C,H,W) */
    int32_t *labels; /* [batch] */
    uint32_t *index; /* [batch] */
    int n;
    slot_state state;
    lens_status status;
    char why[WHY_BYTES]; /* of a failure, or of the last picture passed over */
    int skipped;         /* pictures passed over */
    uint32_t *bad;       /* [batch] their indices */
} slot;

typedef struct worker {
    struct lens_loader *loader;
    pthread_t thread;
    lens_ctx *side;  /* for decoding; NULL where pictures lie in memory */
    uint8_t *pixels; /* one sample */
    bool started;
} worker;

struct lens_loader {
    lens_ctx *ctx;
    lens_data *data;
    lens_split which;
    int batch, workers, slots;
    bool shuffle;
    uint64_t seed;
    augment augment;
    float table[3][256]; /* pixel value -> float, per channel: (v/255 - mean) / std */
    size_t samples, batches;
    uint32_t *order;
    uint32_t epoch;
    slot *slot;
    worker *worker; /* [max(workers,1)] */

    /* Shared with the workers, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t work, done; /* something may be claimed; a batch is ready or a worker idle */
    size_t released, next;
    int busy;
    bool stop, running;

    size_t cursor; /* the caller's alone */
};

/* dst (C,H,W) floats from src (C,H,W) bytes, read at (y+dy, x+dx), mirrored if asked. Outside the
 * picture: black, or with `repeat` the nearest edge pixel. */
static void place(const lens_loader *l, const uint8_t *src, float *dst, int dy, int dx, bool mirror,
                  bool repeat) {
    int h = l->data->info.height, w = l->data->info.width;
    for (int c = 0; c < l->data->info.channels; c++) {
        const float *table = l->table[c];
        for (int y = 0; y < h; y++) {
            int sy = y + dy;
            bool outside = sy < 0 || sy >= h;
            if (repeat) sy = sy < 0 ? 0 : sy >= h ? h - 1 : sy;
            for (int x = 0; x < w; x++) {
                int sx = (mirror ? w - 1 - x : x) + dx;
                if (repeat) sx = sx < 0 ? 0 : sx >= w ? w - 1 : sx;
                bool black = !repeat && (outside || sx < 0 || sx >= w);
                *dst++ =
                    table[black
                              ? 0
                              : src[((size_t)c * (size_t)h + (size_t)sy) * (size_t)w + (size_t)sx]];
            }
        }
    }
}

static void convert(const lens_loader *l, const uint8_t *src, float *restrict dst, uint32_t index) {
    augment a = l->augment;
    if (a.mirror || a.crop || a.shift) {
        rng r = rng_start(l->seed, RNG_AUGMENT, l->epoch, (uint64_t)index * AUGMENT_BLOCKS);
        bool mirror = rng_u32(&r) & 1 && a.mirror;
        int move = a.crop ? a.crop : a.shift, dy = 0, dx = 0;
        if (move) {
            dy = (int)rng_below(&r, (uint32_t)(2 * move + 1)) - move;
            dx = (int)rng_below(&r, (uint32_t)(2 * move + 1)) - move;
        }
        place(l, src, dst, dy, dx, mirror, a.shift > 0);
        return;
    }
    size_t plane = (size_t)l->data->info.height * (size_t)l->data->info.width;
    for (int c = 0; c < l->data->info.channels; c++, src += plane, dst += plane) {
        const float *restrict table = l->table[c];
        for (size_t i = 0; i < plane; i++) dst[i] = table[src[i]];
    }
}

/* Fills a slot with batch b. Touches nothing shared but the slot. */
static void fill(lens_loader *l, worker *me, slot *s, size_t b) {
    size_t first = b * (size_t)l->batch, bytes = data_sample_bytes(l->data);
    size_t end = first + (size_t)l->batch < l->samples ? first + (size_t)l->batch : l->samples;
    const data_split *split = &l->data->split[l->which];
    s->n = s->skipped = 0;
    s->status = LENS_OK;
    for (size_t i = first; i < end; i++) {
        uint32_t index = l->order[i];
        const uint8_t *pixels = me->pixels;
        if (split->pixels) {
            pixels = split->pixels + index * bytes;
        } else {
            lens_status status = data_decode(me->side, l->data, split->file[index], me->pixels);
            if (status != LENS_OK) {
                snprintf(s->why, sizeof s->why, "%s", lens_why(me->side));
                if (l->data->opts.skip_bad && status != LENS_NOMEM) {
                    s->bad[s->skipped++] = index;
                    continue;
                }
                s->status = status;
                return;
            }
        }
        convert(l, pixels, s->images + (size_t)s->n * bytes, index);
        s->labels[s->n] = split->label[index];
        s->index[s->n++] = index;
    }
}

static void *work(void *arg) {
    worker *me = arg;
    lens_loader *l = me->loader;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!l->running || l->next >= l->batches || l->next >= l->released + (size_t)l->slots) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        size_t b = l->next++;
        slot *s = &l->slot[b % (size_t)l->slots];
        s->state = SLOT_BUSY;
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        fill(l, me, s, b);
        pthread_mutex_lock(&l->lock);
        s->state = SLOT_READY;
        l->busy--;
        pthread_cond_signal(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static lens_status parse_augment(lens_ctx *ctx, const char *text, augment *out) {
    static const char *const NAMES[] = { "mirror", "crop", "shift", "none" };
    *out = (augment){ 0 };
    while (text && *text) {
        size_t length = strcspn(text, ",");
        char word[32] = "";
        if (length < sizeof word) memcpy(word, text, length);
        char *colon = strchr(word, ':');
        long long move = 0;
        if (colon) {
            *colon = 0;
            if (!parse_int(colon + 1, &move)) move = -1;
        }
        bool crop = strcmp(word, "crop") == 0, shift = strcmp(word, "shift") == 0;
        bool plain = strcmp(word, "mirror") == 0 || strcmp(word, "none") == 0;
        if (!crop && !shift && !plain) {
            const char *near = nearest_name(word, NAMES, LENS_COUNT(NAMES));
            return ctx_fail(ctx, LENS_BAD_ARG,
                            "unknown augmentation \"%.*s\"%s%s%s; known are mirror, crop:N and "
                            "shift:N",
                            (int)length, text, near ? "; did you mean \"" : "", near ? near : "",
                            near ? "\"?" : "");
        }
        if (plain ? colon != NULL : !colon || move < 1 || move > MAX_MOVE)
            return ctx_fail(ctx, LENS_BAD_ARG,
                            plain ? "augmentation \"%.*s\": %s takes no number"
                                  : "augmentation \"%.*s\": expected %s:N with N in 1..1024",
                            (int)length, text, word);
        if (crop ? out->shift : shift && out->crop)
            return ctx_fail(ctx, LENS_BAD_ARG, "augmentation: crop and shift exclude each other");
        if (crop) out->crop = (int)move;
        if (shift) out->shift = (int)move;
        if (strcmp(word, "mirror") == 0) out->mirror = true;
        text += length;
        if (*text) text++;
    }
    return LENS_OK;
}

static lens_status fill_tables(lens_loader *l, const float *mean, const float *std) {
    for (int c = 0; c < l->data->info.channels; c++) {
        float m = mean ? mean[c] : 0, s = std ? std[c] : 1;
        if (!(s > 0))
            return ctx_fail(l->ctx, LENS_BAD_ARG,
                            "channel %d: a standard deviation of %g is not positive", c, (double)s);
        for (int v = 0; v < 256; v++) l->table[c][v] = ((float)v / 255.0f - m) / s;
    }
    return LENS_OK;
}

static lens_status allocate(lens_loader *l) {
    size_t bytes = data_sample_bytes(l->data), batch = (size_t)l->batch;
    int threads = l->workers ? l->workers : 1;
    bool decode = !l->data->split[l->which].pixels;
    l->order = ctx_alloc(l->ctx, l->samples, sizeof *l->order);
    l->slot = ctx_alloc(l->ctx, (size_t)l->slots, sizeof *l->slot);
    l->worker = ctx_alloc(l->ctx, (size_t)threads, sizeof *l->worker);
    if (!l->order || !l->slot || !l->worker) return LENS_NOMEM;
    for (int i = 0; i < l->slots; i++) {
        slot *s = &l->slot[i];
        size_t floats;
        if (!mul_size(batch, bytes, &floats)) return ctx_nomem(l->ctx, SIZE_MAX, "a batch");
        s->images = ctx_alloc(l->ctx, floats, sizeof *s->images);
        s->labels = ctx_alloc(l->ctx, batch, sizeof *s->labels);
        s->index = ctx_alloc(l->ctx, batch, sizeof *s->index);
        s->bad = ctx_alloc(l->ctx, batch, sizeof *s->bad);
        if (!s->images || !s->labels || !s->index || !s->bad) return LENS_NOMEM;
    }
    for (int i = 0; i < threads; i++) {
        worker *w = &l->worker[i];
        w->loader = l;
        if (!decode) continue;
        w->pixels = ctx_alloc(l->ctx, bytes, 1);
        if (!w->pixels) return LENS_NOMEM;
        LENS_TRY(ctx_side(l->ctx, &w->side));
    }
    return LENS_OK;
}

static lens_status start(lens_loader *l) {
    for (int i = 0; i < l->workers; i++) {
        int error = pthread_create(&l->worker[i].thread, NULL, work, &l->worker[i]);
        if (error)
            return ctx_fail(l->ctx, LENS_IO, "cannot start loader thread %d of %d: %s", i + 1,
                            l->workers, strerror(error));
        l->worker[i].started = true;
    }
    return LENS_OK;
}

lens_status lens_loader_new(lens_ctx *ctx, lens_loader **out, lens_data *data, lens_split which,
                            int batch, const lens_loader_opts *opts) {
    lens_loader_opts o = opts ? *opts : (lens_loader_opts){ 0 };
    augment how;
    *out = NULL;
    if (batch < 1) return ctx_fail(ctx, LENS_BAD_ARG, "a batch of %d: at least 1", batch);
    if (o.workers < 0 || o.workers > MAX_WORKERS)
        return ctx_fail(ctx, LENS_BAD_ARG, "%d loader threads: 0..%d are possible", o.workers,
                        MAX_WORKERS);
    LENS_TRY(parse_augment(ctx, o.augment, &how));
    lens_loader *l = ctx_alloc(ctx, 1, sizeof *l);
    if (!l) return LENS_NOMEM;
    l->ctx = ctx;
    l->data = data;
    l->which = which;
    l->samples = data->split[which].count;
    l->batch = (size_t)batch < l->samples ? batch : (int)l->samples;
    l->batches = l->samples / (size_t)batch;
    if (!o.drop_last && l->samples % (size_t)batch) l->batches++;
    l->workers = o.workers;
    l->slots = o.workers ? o.workers + 2 : 1;
    l->shuffle = o.shuffle;
    l->seed = o.seed;
    l->augment = how;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    lens_status status = fill_tables(l, o.mean, o.std);
    if (status == LENS_OK) status = allocate(l);
    if (status == LENS_OK) status = lens_loader_epoch(l, 0, l->batches);
    if (status == LENS_OK) status = start(l);
    if (status != LENS_OK) {
        lens_loader_free(l);
        return status;
    }
    *out = l;
    return LENS_OK;
}

void lens_loader_free(lens_loader *l) {
    if (!l) return;
    int threads = l->workers ? l->workers : 1;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; l->worker && i < threads; i++) {
        if (l->worker[i].started) pthread_join(l->worker[i].thread, NULL);
        lens_ctx_free(l->worker[i].side);
        ctx_free(l->ctx, l->worker[i].pixels);
    }
    for (int i = 0; l->slot && i < l->slots; i++) {
        ctx_free(l->ctx, l->slot[i].images);
        ctx_free(l->ctx, l->slot[i].labels);
        ctx_free(l->ctx, l->slot[i].index);
        ctx_free(l->ctx, l->slot[i].bad);
    }
    ctx_free(l->ctx, l->order);
    ctx_free(l->ctx, l->slot);
    ctx_free(l->ctx, l->worker);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->lock);
    ctx_free(l->ctx, l);
}

size_t lens_loader_batches(const lens_loader *l) { return l->batches; }

lens_status lens_loader_epoch(lens_loader *l, uint32_t epoch, size_t first) {
    if (first > l->batches)
        return ctx_fail(l->ctx, LENS_BAD_ARG, "batch %zu of an epoch of %zu", first, l->batches);
    pthread_mutex_lock(&l->lock);
    l->running = false; /* nothing more is claimed; wait for what is */
    while (l->busy) pthread_cond_wait(&l->done, &l->lock);
    if (l->shuffle) {
        rng r = rng_start(l->seed, RNG_SHUFFLE, epoch, 0);
        rng_permutation(&r, l->order, (uint32_t)l->samples);
    } else {
        for (size_t i = 0; i < l->samples; i++) l->order[i] = (uint32_t)i;
    }
    for (int i = 0; i < l->slots; i++) l->slot[i].state = SLOT_EMPTY;
    l->epoch = epoch;
    l->next = l->released = l->cursor = first;
    l->running = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return LENS_OK;
}

/* Adds the pictures a slot had to pass over to the data set's problems, each once. */
static lens_status list_skipped(lens_loader *l, const slot *s) {
    char text[WHY_BYTES + 64];
    for (int i = 0; i < s->skipped; i++) {
        const char *file = l->data->split[l->which].file[s->bad[i]];
        bool known = false;
        snprintf(text, sizeof text, "%s: cannot be decoded%s%s", file,
                 i == s->skipped - 1 ? ": " : "", i == s->skipped - 1 ? s->why : "");
        for (size_t p = 0; p < l->data->problem_count && !known; p++)
            known = strncmp(l->data->problem[p], file, strlen(file)) == 0;
        if (!known) LENS_TRY(data_add_problem(l->data, text));
    }
    return LENS_OK;
}

lens_status lens_loader_next(lens_loader *l, lens_batch *out) {
    const lens_data_info *info = &l->data->info;
    *out = (lens_batch){ .images = { .rank = 4,
                                     .dim = { 0, info->channels, info->height, info->width } } };
    for (;;) {
        size_t b = l->cursor;
        slot *s = &l->slot[b % (size_t)l->slots];
        out->number = b;
        if (b >= l->batches) return LENS_OK;
        if (l->workers) {
            pthread_mutex_lock(&l->lock);
            l->released = b; /* the caller is done with batch b-1 */
            pthread_cond_signal(&l->work);
            while (s->state != SLOT_READY) pthread_cond_wait(&l->done, &l->lock);
            s->state = SLOT_EMPTY;
            pthread_mutex_unlock(&l->lock);
        } else {
            fill(l, &l->worker[0], s, b);
        }
        l->cursor++;
        if (s->status != LENS_OK) return ctx_fail(l->ctx, s->status, "%s", s->why);
        LENS_TRY(list_skipped(l, s));
        if (s->n == 0) continue;
        out->images.data = s->images;
        out->images.dim[0] = out->n = s->n;
        out->labels = s->labels;
        out->index = s->index;
        return LENS_OK;
    }
}
