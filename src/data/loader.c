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
#include "data/augment.h"
#include "data/data.h"
#include "format/image.h"
#include <pthread.h>
#include <string.h>

enum {
    MAX_WORKERS = 64,
    WHY_BYTES = 512,
};

typedef enum slot_state { SLOT_EMPTY, SLOT_BUSY, SLOT_READY } slot_state;

typedef struct slot {
    float *images;   /* (batch,C,H,W) */
    int32_t *labels; /* [batch] */
    int32_t *other;  /* [batch], of mixing: the other label, and */
    float *share;    /* [batch] how much the own one counts; NULL without */
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
    uint8_t *pixels; /* one sample; NULL where they lie in memory */
    float *room[3];  /* (C,H,W) with margin, for augmentation: picture, spare, the other picture */
    bool started;
} worker;

struct lens_loader {
    lens_ctx *ctx;
    lens_data *data;
    lens_split which;
    int batch, workers, slots;
    bool shuffle;
    uint64_t seed;
    augment_list augment;
    int h, w; /* of what is handed out */
    float mean[3], std[3];
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

    size_t cursor; /* the caller's alone, as */
    lens_mix mix;  /* this, of the batch handed out */
};

/* Without augmentation: the centre, or all, of the picture, normalised. */
static void convert(const lens_loader *l, const uint8_t *src, float *restrict dst) {
    int whole_h = l->data->info.whole_height, whole_w = l->data->info.whole_width;
    src += (size_t)img_centre(whole_h, l->h) * (size_t)whole_w + (size_t)img_centre(whole_w, l->w);
    for (int c = 0; c < l->data->info.channels; c++, src += (size_t)whole_h * (size_t)whole_w) {
        const float *restrict table = l->table[c];
        for (int y = 0; y < l->h; y++, dst += l->w) {
            const uint8_t *row = src + (size_t)y * (size_t)whole_w;
            for (int x = 0; x < l->w; x++) dst[x] = table[row[x]];
        }
    }
}

/* The pixels of a sample, in memory or decoded into the worker's room; a message is in the worker's context. */
static lens_status pixels_of(const lens_loader *l, worker *me, uint32_t index,
                             const uint8_t **pixels) {
    const data_split *split = &l->data->split[l->which];
    if (split->pixels) {
        *pixels = split->pixels + index * data_sample_bytes(l->data);
        return LENS_OK;
    }
    *pixels = me->pixels;
    return data_decode(me->side, l->data, split->file[index], me->pixels);
}

/* A sample with every augmentation but mixing, in [0,1]. */
static augment_picture changed(const lens_loader *l, worker *me, const uint8_t *pixels,
                               uint32_t index) {
    const lens_data_info *info = &l->data->info;
    augment_picture p = { me->room[0],       me->room[1], info->channels, info->whole_height,
                          info->whole_width, l->h,        l->w,           l->mean };
    for (size_t i = 0, bytes = data_sample_bytes(l->data); i < bytes; i++)
        p.x[i] = (float)pixels[i] / 255.0f;
    augment_apply(&l->augment, &p, l->seed, l->epoch, index);
    return p;
}

/* Place i of the slot from sample `index`. A partner that cannot be read is an error; with skip_bad the
 * sample stays unmixed. */
static lens_status prepare(const lens_loader *l, worker *me, slot *s, int i, uint32_t index) {
    const data_split *split = &l->data->split[l->which];
    size_t plane = (size_t)l->h * (size_t)l->w, channels = (size_t)l->data->info.channels;
    float *dst = s->images + (size_t)i * channels * plane;
    const uint8_t *pixels;
    bool mixed = false;
    rng r = { 0 };
    s->labels[i] = split->label[index];
    s->index[i] = index;
    if (l->augment.mix) {
        r = augment_mix_stream(&l->augment, l->seed, l->epoch, index);
        uint32_t partner = rng_below(&r, (uint32_t)l->samples);
        lens_status status = pixels_of(l, me, partner, &pixels);
        if (status == LENS_OK) {
            augment_picture p = changed(l, me, pixels, partner);
            memcpy(me->room[2], p.x, channels * plane * sizeof *p.x);
            mixed = true;
        } else if (!l->data->opts.skip_bad || status == LENS_NOMEM) {
            return status;
        }
        s->other[i] = split->label[mixed ? partner : index];
        s->share[i] = 1;
    }
    LENS_TRY(pixels_of(l, me, index, &pixels));
    if (l->augment.count == 0) {
        convert(l, pixels, dst);
        return LENS_OK;
    }
    augment_picture p = changed(l, me, pixels, index);
    if (mixed) s->share[i] = augment_mix(&l->augment, &p, me->room[2], &r);
    for (size_t c = 0; c < channels; c++)
        for (size_t k = c * plane; k < (c + 1) * plane; k++)
            dst[k] = (p.x[k] - l->mean[c]) / l->std[c];
    return LENS_OK;
}

/* Fills a slot with batch b. Touches nothing shared but the slot. */
static void fill(lens_loader *l, worker *me, slot *s, size_t b) {
    size_t first = b * (size_t)l->batch;
    size_t end = first + (size_t)l->batch < l->samples ? first + (size_t)l->batch : l->samples;
    s->n = s->skipped = 0;
    s->status = LENS_OK;
    for (size_t i = first; i < end; i++) {
        lens_status status = prepare(l, me, s, s->n, l->order[i]);
        if (status == LENS_OK) {
            s->n++;
            continue;
        }
        snprintf(s->why, sizeof s->why, "%s", lens_why(me->side));
        if (!l->data->opts.skip_bad || status == LENS_NOMEM) {
            s->status = status;
            return;
        }
        s->bad[s->skipped++] = l->order[i];
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

static lens_status fill_tables(lens_loader *l, const float *mean, const float *std) {
    for (int c = 0; c < l->data->info.channels; c++) {
        float m = mean ? mean[c] : 0, s = std ? std[c] : 1;
        if (!(s > 0))
            return ctx_fail(l->ctx, LENS_BAD_ARG,
                            "channel %d: a standard deviation of %g is not positive", c, (double)s);
        l->mean[c] = m;
        l->std[c] = s;
        for (int v = 0; v < 256; v++) l->table[c][v] = ((float)v / 255.0f - m) / s;
    }
    return LENS_OK;
}

static lens_status allocate(lens_loader *l) {
    size_t bytes = data_sample_bytes(l->data), batch = (size_t)l->batch;
    size_t sample = (size_t)l->data->info.channels * (size_t)l->h * (size_t)l->w;
    int threads = l->workers ? l->workers : 1;
    bool decode = !l->data->split[l->which].pixels;
    l->order = ctx_alloc(l->ctx, l->samples, sizeof *l->order);
    l->slot = ctx_alloc(l->ctx, (size_t)l->slots, sizeof *l->slot);
    l->worker = ctx_alloc(l->ctx, (size_t)threads, sizeof *l->worker);
    if (!l->order || !l->slot || !l->worker) return LENS_NOMEM;
    for (int i = 0; i < l->slots; i++) {
        slot *s = &l->slot[i];
        size_t floats;
        if (!mul_size(batch, sample, &floats)) return ctx_nomem(l->ctx, SIZE_MAX, "a batch");
        s->images = ctx_alloc(l->ctx, floats, sizeof *s->images);
        s->labels = ctx_alloc(l->ctx, batch, sizeof *s->labels);
        s->index = ctx_alloc(l->ctx, batch, sizeof *s->index);
        s->bad = ctx_alloc(l->ctx, batch, sizeof *s->bad);
        if (!s->images || !s->labels || !s->index || !s->bad) return LENS_NOMEM;
        if (!l->augment.mix) continue;
        s->other = ctx_alloc(l->ctx, batch, sizeof *s->other);
        s->share = ctx_alloc(l->ctx, batch, sizeof *s->share);
        if (!s->other || !s->share) return LENS_NOMEM;
    }
    for (int i = 0; i < threads; i++) {
        worker *w = &l->worker[i];
        w->loader = l;
        for (int k = 0; l->augment.count && k < (l->augment.mix ? 3 : 2); k++) {
            w->room[k] = ctx_alloc(l->ctx, bytes, sizeof **w->room);
            if (!w->room[k]) return LENS_NOMEM;
        }
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
    const lens_data_info *info = &data->info;
    *out = NULL;
    if (batch < 1) return ctx_fail(ctx, LENS_BAD_ARG, "a batch of %d: at least 1", batch);
    if (o.workers < 0 || o.workers > MAX_WORKERS)
        return ctx_fail(ctx, LENS_BAD_ARG, "%d loader threads: 0..%d are possible", o.workers,
                        MAX_WORKERS);
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
    l->h = o.whole ? info->whole_height : info->height;
    l->w = o.whole ? info->whole_width : info->width;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    lens_status status = augment_parse(ctx, &l->augment, o.augment, info->channels,
                                       info->whole_height > info->height);
    if (status == LENS_OK && o.whole && l->augment.count)
        status = ctx_fail(ctx, LENS_BAD_ARG, "pictures are augmented without their margin");
    if (status == LENS_OK) status = fill_tables(l, o.mean, o.std);
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
        for (int k = 0; k < 3; k++) ctx_free(l->ctx, l->worker[i].room[k]);
    }
    for (int i = 0; l->slot && i < l->slots; i++) {
        ctx_free(l->ctx, l->slot[i].images);
        ctx_free(l->ctx, l->slot[i].labels);
        ctx_free(l->ctx, l->slot[i].index);
        ctx_free(l->ctx, l->slot[i].bad);
        ctx_free(l->ctx, l->slot[i].other);
        ctx_free(l->ctx, l->slot[i].share);
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
    *out = (lens_batch){ .images = { .rank = 4, .dim = { 0, info->channels, l->h, l->w } } };
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
        l->mix = (lens_mix){ s->other, s->share };
        if (l->augment.mix) out->mix = &l->mix;
        return LENS_OK;
    }
}
