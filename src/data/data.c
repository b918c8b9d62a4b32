/* data.c - opening a data set by name or path, and asking it.
 *
 * Invariant: lens_data_open either returns a set for which data.h's invariant holds, or frees all
 * that was read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"
#include "format/image.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PATH_ROOM = 4096 };

static const char *const KNOWN_NAME[] = { "shapes", "fashion-mnist", "mnist", "cifar10",
                                          "cifar100" };
/* How to get each. */
static const char *const KNOWN_HOW[] = {
    "",
    "on Debian and Ubuntu: apt install dataset-fashion-mnist",
    ("put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
     "t10k-labels-idx1-ubyte.gz there"),
    "put the files of cifar-10-binary.tar.gz (data_batch_1.bin ... test_batch.bin) there",
    "put the files of cifar-100-binary.tar.gz (train.bin, test.bin) there",
};

size_t lens_data_known(const char *const **names) {
    *names = KNOWN_NAME;
    return LENS_COUNT(KNOWN_NAME);
}

bool data_is_dir(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

bool data_is_file(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

lens_status data_set_classes(lens_data *d, const char *const *names, size_t count) {
    if (count > DATA_MAX_CLASSES)
        return ctx_fail(d->ctx, LENS_BAD_FILE, "%s: %zu classes; at most %d are possible",
                        d->source, count, DATA_MAX_CLASSES);
    if (count < 2)
        return ctx_fail(d->ctx, LENS_BAD_FILE,
                        "%s: there is only one class, \"%s\"; a classifier needs two", d->source,
                        count ? names[0] : "");
    d->class_name = ctx_alloc(d->ctx, count, sizeof *d->class_name);
    if (!d->class_name) return LENS_NOMEM;
    d->info.classes = (int)count;
    d->info.class_name = (const char *const *)d->class_name;
    for (size_t i = 0; i < count; i++) {
        d->class_name[i] = ctx_strdup(d->ctx, names[i]);
        if (!d->class_name[i]) return LENS_NOMEM;
    }
    return LENS_OK;
}

lens_status data_add_problem(lens_data *d, const char *text) {
    if (d->problem_count == d->problem_room) {
        size_t room = d->problem_room ? d->problem_room * 2 : 16;
        char **grown = ctx_grow(d->ctx, d->problem, d->problem_room, room, sizeof *grown);
        if (!grown) return LENS_NOMEM;
        d->problem = grown;
        d->problem_room = room;
    }
    char *copy = ctx_strdup(d->ctx, text);
    if (!copy) return LENS_NOMEM;
    d->problem[d->problem_count++] = copy;
    d->info.problem = (const char *const *)d->problem;
    d->info.problems = d->problem_count;
    return LENS_OK;
}

/* The folder of a known set: the first place that has it. The places are listed in `looked`. */
static bool find_known(const char *name, char *path, char *looked, size_t room) {
    const char *home = getenv("HOME"), *xdg = getenv("XDG_DATA_HOME");
    char place[3][PATH_ROOM] = { "", "", "/usr/share/datasets" };
    if (getenv("LENSLET_DATA")) snprintf(place[0], PATH_ROOM, "%s", getenv("LENSLET_DATA"));
    if (xdg && *xdg)
        snprintf(place[1], PATH_ROOM, "%s/lenslet", xdg);
    else if (home && *home)
        snprintf(place[1], PATH_ROOM, "%s/.local/share/lenslet", home);
    looked[0] = 0;
    for (size_t i = 0; i < LENS_COUNT(place); i++) {
        if (!place[i][0]) continue;
        if (snprintf(path, PATH_ROOM, "%s/%s", place[i], name) < PATH_ROOM && data_is_dir(path))
            return true;
        size_t used = strlen(looked);
        if (used + strlen(path) + 3 < room) /* a longer list would help nobody */
            snprintf(looked + used, room - used, "%s%.1000s", used ? ", " : "", path);
    }
    return false;
}

static lens_status open_source(lens_data *d, const char *source) {
    char path[PATH_ROOM], looked[1024];
    if (strcmp(source, "shapes") == 0 || strncmp(source, "shapes:", 7) == 0) {
        d->name = ctx_strdup(d->ctx, source);
        d->source = ctx_strdup(d->ctx, "built in");
        if (!d->name || !d->source) return LENS_NOMEM;
        return data_open_shapes(d, source[6] ? source + 7 : "colour");
    }
    size_t which = 0;
    while (which < LENS_COUNT(KNOWN_NAME) && strcmp(source, KNOWN_NAME[which]) != 0) which++;
    if (which < LENS_COUNT(KNOWN_NAME)) {
        if (!find_known(source, path, looked, sizeof looked))
            return ctx_fail(d->ctx, LENS_NOT_FOUND,
                            "the data set %s is not on this machine; looked for %s. %s", source,
                            looked, KNOWN_HOW[which]);
    } else if (snprintf(path, sizeof path, "%s", source) >= PATH_ROOM ||
               (!data_is_dir(path) && !data_is_file(path))) {
        const char *near = nearest_name(source, KNOWN_NAME, LENS_COUNT(KNOWN_NAME));
        return ctx_fail(
            d->ctx, LENS_NOT_FOUND,
            "there is no data set, folder or CSV file \"%s\"%s%s%s; known data sets are "
            "shapes, fashion-mnist, mnist, cifar10 and cifar100",
            source, near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
    }
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') path[--end] = 0;
    const char *slash = strrchr(path, '/');
    d->name = ctx_strdup(d->ctx, slash && slash[1] ? slash + 1 : path);
    d->source = ctx_strdup(d->ctx, path);
    if (!d->name || !d->source) return LENS_NOMEM;
    if (!data_is_dir(path)) return data_open_csv(d, path);
    if (data_is_idx(path)) return data_open_idx(d, path);
    if (data_is_cifar(path)) return data_open_cifar(d, path);
    return data_open_folder(d, path);
}

lens_status data_set_whole(lens_data *d) {
    int h = d->info.height, w = d->info.width, shorter = h < w ? h : w, to = d->opts.resize;
    d->info.whole_height = h;
    d->info.whole_width = w;
    if (!to) return LENS_OK;
    if (to < shorter)
        return ctx_fail(d->ctx, LENS_BAD_ARG,
                        "pictures resized to %d have no centre of %dx%d (rows x columns)", to, h,
                        w);
    d->info.whole_height = (int)((int64_t)h * to / shorter);
    d->info.whole_width = (int)((int64_t)w * to / shorter);
    return LENS_OK;
}

/* Grey to RGB, RGB to grey, and another size, for samples that lie in memory. */
static lens_status convert(lens_data *d) {
    lens_data_opts o = d->opts;
    if (!d->split[LENS_TRAIN].pixels || d->split[LENS_TRAIN].file) return LENS_OK;
    int c = d->info.channels, h = d->info.height, w = d->info.width;
    if (o.height) {
        d->info.height = o.height;
        d->info.width = o.width;
    }
    LENS_TRY(data_set_whole(d));
    int to_c = o.channels ? o.channels : c;
    int to_h = d->info.whole_height, to_w = d->info.whole_width;
    size_t plane = (size_t)h * (size_t)w, to_plane = (size_t)to_h * (size_t)to_w;
    if (to_c == c && to_h == h && to_w == w) return LENS_OK;
    lens_image image = { w, h, to_c, NULL }, sized = { 0 };
    lens_status status = LENS_NOMEM;
    image.pixels = ctx_alloc(d->ctx, plane, (size_t)to_c);
    if (!image.pixels) return LENS_NOMEM;
    for (int s = 0; s < LENS_SPLITS; s++) {
        data_split *split = &d->split[s];
        uint8_t *converted = ctx_alloc(d->ctx, split->count, to_plane * (size_t)to_c);
        if (!converted) goto done;
        for (size_t i = 0; i < split->count; i++) {
            const uint8_t *from = split->pixels + i * plane * (size_t)c;
            uint8_t *to = converted + i * to_plane * (size_t)to_c;
            for (size_t p = 0; p < plane; p++)
                for (int k = 0; k < to_c; k++)
                    image.pixels[p * (size_t)to_c + (size_t)k] =
                        to_c == 1 && c == 3
                            ? img_luma(from[p], from[plane + p], from[2 * plane + p])
                            : from[(c == 3 ? (size_t)k * plane : 0) + p];
            status = lens_image_fit(d->ctx, &image, to_w, to_h, o.interpolation, &sized);
            if (status != LENS_OK) {
                ctx_free(d->ctx, converted);
                goto done;
            }
            for (size_t p = 0; p < to_plane; p++)
                for (size_t k = 0; k < (size_t)to_c; k++)
                    to[k * to_plane + p] = sized.pixels[p * (size_t)to_c + k];
            lens_image_free(d->ctx, &sized);
        }
        ctx_free(d->ctx, split->pixels);
        split->pixels = converted;
    }
    d->info.channels = to_c;
    status = LENS_OK;

done:
    lens_image_free(d->ctx, &image);
    return status;
}

static lens_status count_classes(lens_data *d) {
    for (int s = 0; s < LENS_SPLITS; s++) {
        data_split *split = &d->split[s];
        d->per_class[s] = ctx_alloc(d->ctx, (size_t)d->info.classes, sizeof *d->per_class[s]);
        if (!d->per_class[s]) return LENS_NOMEM;
        for (size_t i = 0; i < split->count; i++) {
            assert(split->label[i] >= 0 && split->label[i] < d->info.classes);
            d->per_class[s][split->label[i]]++;
        }
        d->info.count[s] = split->count;
        d->info.per_class[s] = d->per_class[s];
    }
    return LENS_OK;
}

static lens_status check_opts(lens_ctx *ctx, lens_data_opts *o) {
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return ctx_fail(ctx, LENS_BAD_ARG, "channels is %d; 0 (as stored), 1 and 3 are possible",
                        o->channels);
    if (o->height < 0 || o->width < 0 || o->height > DATA_MAX_SIDE || o->width > DATA_MAX_SIDE)
        return ctx_fail(ctx, LENS_BAD_ARG, "pictures of %dx%d: sides are 1..%d, or 0 for as stored",
                        o->height, o->width, DATA_MAX_SIDE);
    if (o->resize < 0 || o->resize > DATA_MAX_SIDE)
        return ctx_fail(ctx, LENS_BAD_ARG,
                        "pictures resized to %d; 1..%d are possible, or 0: no margin", o->resize,
                        DATA_MAX_SIDE);
    if (o->interpolation != LENS_BILINEAR && o->interpolation != LENS_BICUBIC)
        return ctx_fail(ctx, LENS_BAD_ARG, "interpolation %d; 0 and 1 are possible",
                        (int)o->interpolation);
    if (!o->height) o->height = o->width;
    if (!o->width) o->width = o->height;
    return LENS_OK;
}

lens_status lens_data_open(lens_ctx *ctx, lens_data **out, const char *source,
                           const lens_data_opts *opts) {
    lens_data_opts o = opts ? *opts : (lens_data_opts){ 0 };
    *out = NULL;
    LENS_TRY(check_opts(ctx, &o));
    lens_data *d = ctx_alloc(ctx, 1, sizeof *d);
    if (!d) return LENS_NOMEM;
    d->ctx = ctx;
    d->opts = o;
    lens_status status = open_source(d, source);
    if (status == LENS_OK) status = convert(d);
    if (status == LENS_OK) status = count_classes(d);
    if (status != LENS_OK) {
        lens_data_free(d);
        return status;
    }
    d->info.interpolation = o.interpolation;
    d->info.name = d->name;
    d->info.source = d->source;
    *out = d;
    return LENS_OK;
}

void lens_data_free(lens_data *d) {
    if (!d) return;
    lens_ctx *ctx = d->ctx;
    for (int s = 0; s < LENS_SPLITS; s++) {
        data_split *split = &d->split[s];
        for (size_t i = 0; split->file && i < split->count; i++) ctx_free(ctx, split->file[i]);
        ctx_free(ctx, split->file);
        ctx_free(ctx, split->label);
        ctx_free(ctx, split->pixels);
        ctx_free(ctx, d->per_class[s]);
    }
    for (int i = 0; i < d->info.classes; i++) ctx_free(ctx, d->class_name[i]);
    ctx_free(ctx, d->class_name);
    for (size_t i = 0; i < d->problem_count; i++) ctx_free(ctx, d->problem[i]);
    ctx_free(ctx, d->problem);
    ctx_free(ctx, d->name);
    ctx_free(ctx, d->source);
    ctx_free(ctx, d);
}

const lens_data_info *lens_data_describe(const lens_data *d) { return &d->info; }

lens_status data_decode(lens_ctx *ctx, const lens_data *d, const char *path, uint8_t *chw) {
    lens_image image, sized;
    LENS_TRY(lens_image_read(ctx, &image, path, d->info.channels));
    lens_status status = lens_image_fit(ctx, &image, d->info.whole_width, d->info.whole_height,
                                        d->opts.interpolation, &sized);
    lens_image_free(ctx, &image);
    if (status != LENS_OK) return ctx_fail_prefix(ctx, status, "%s", path);
    size_t plane = (size_t)sized.width * (size_t)sized.height, n = (size_t)sized.channels;
    for (size_t c = 0; c < n; c++)
        for (size_t i = 0; i < plane; i++) chw[c * plane + i] = sized.pixels[i * n + c];
    lens_image_free(ctx, &sized);
    return LENS_OK;
}

lens_status data_pixels(lens_ctx *ctx, const lens_data *d, lens_split which, size_t index,
                        uint8_t *chw) {
    const data_split *split = &d->split[which];
    if (!split->pixels) return data_decode(ctx, d, split->file[index], chw);
    size_t bytes = data_sample_bytes(d);
    memcpy(chw, split->pixels + index * bytes, bytes);
    return LENS_OK;
}

lens_status lens_data_get(const lens_data *d, lens_split which, size_t index, float *chw,
                          int *label) {
    const data_split *split = &d->split[which];
    if (index >= split->count)
        return ctx_fail(d->ctx, LENS_BAD_ARG, "sample %zu of %zu in the %s split of %s", index,
                        split->count, which == LENS_TRAIN ? "train" : "test", d->name);
    if (chw) {
        size_t bytes = data_sample_bytes(d);
        uint8_t *pixels = ctx_alloc(d->ctx, bytes, 1);
        if (!pixels) return LENS_NOMEM;
        lens_status status = data_pixels(d->ctx, d, which, index, pixels);
        size_t h = (size_t)d->info.height, row = (size_t)d->info.whole_width;
        size_t top = (size_t)img_centre(d->info.whole_height, d->info.height);
        size_t left = (size_t)img_centre(d->info.whole_width, d->info.width);
        for (size_t r = 0; r < (size_t)d->info.channels * h && status == LENS_OK; r++) {
            size_t y = r / h * (size_t)d->info.whole_height + top + r % h;
            const uint8_t *from = pixels + y * row + left;
            for (int x = 0; x < d->info.width; x++) *chw++ = (float)from[x] / 255.0f;
        }
        ctx_free(d->ctx, pixels);
        LENS_TRY(status);
    }
    if (label) *label = split->label[index];
    return LENS_OK;
}

const char *lens_data_sample(const lens_data *d, lens_split which, size_t index, char buf[64]) {
    const data_split *split = &d->split[which];
    if (split->file && index < split->count) return split->file[index];
    snprintf(buf, 64, "%s %zu", which == LENS_TRAIN ? "train" : "test", index);
    return buf;
}

lens_status lens_data_mean_std(const lens_data *d, float *mean, float *std) {
    /* Sums of squares: at most 255^2 each, so 2^48 pixels fit into 64 bits. */
    uint64_t sum[3] = { 0 }, squares[3] = { 0 };
    size_t bytes = data_sample_bytes(d), channels = (size_t)d->info.channels;
    size_t plane = bytes / channels, used = 0;
    const data_split *split = &d->split[LENS_TRAIN];
    uint8_t *pixels = ctx_alloc(d->ctx, bytes, 1);
    if (!pixels) return LENS_NOMEM;
    lens_status status = LENS_OK;
    for (size_t i = 0; i < split->count; i++) {
        status = data_pixels(d->ctx, d, LENS_TRAIN, i, pixels);
        if (status != LENS_OK && d->opts.skip_bad && status != LENS_NOMEM) {
            status = LENS_OK; /* the loader lists it when it passes it over */
            continue;
        }
        if (status != LENS_OK) break;
        used++;
        for (size_t c = 0; c < channels; c++) {
            uint64_t a = 0, b = 0;
            for (size_t p = c * plane; p < (c + 1) * plane; p++) {
                a += pixels[p];
                b += (uint64_t)pixels[p] * pixels[p];
            }
            sum[c] += a;
            squares[c] += b;
        }
    }
    ctx_free(d->ctx, pixels);
    LENS_TRY(status);
    for (size_t c = 0; c < channels; c++) {
        double n = used ? (double)used * (double)plane : 1, m = (double)sum[c] / n;
        double variance = (double)squares[c] / n - m * m;
        mean[c] = (float)(m / 255);
        std[c] = variance > 0 ? (float)(sqrt(variance) / 255) : 1;
    }
    return LENS_OK;
}

lens_status lens_data_hash(const lens_data *d, uint64_t *hash) {
    XXH3_state_t *state = ctx_alloc(d->ctx, 1, sizeof *state);
    if (!state) return LENS_NOMEM;
    XXH3_64bits_reset(state);
    int32_t shape[4] = { d->info.classes, d->info.channels, d->info.height, d->info.width };
    XXH3_64bits_update(state, shape, sizeof shape);
    for (int s = 0; s < LENS_SPLITS; s++) {
        const data_split *split = &d->split[s];
        uint64_t count = split->count;
        XXH3_64bits_update(state, &count, sizeof count);
        XXH3_64bits_update(state, split->label, split->count * sizeof *split->label);
        if (split->pixels)
            XXH3_64bits_update(state, split->pixels, split->count * data_sample_bytes(d));
        for (size_t i = 0; !split->pixels && i < split->count; i++) {
            const char *slash = strrchr(split->file[i], '/');
            const char *name = slash ? slash + 1 : split->file[i];
            XXH3_64bits_update(state, name, strlen(name) + 1);
        }
    }
    *hash = XXH3_64bits_digest(state);
    ctx_free(d->ctx, state);
    return LENS_OK;
}
