/* folder.c - pictures in files: one folder per class, or a CSV list.
 *
 * Invariant: what a folder holds is read in byte order of the names, so the same files give the same
 * data set whatever order the file system lists them in.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "base/rng.h"
#include "data/data.h"
#include "format/image.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEDIAN_CAP = 224, /* the side most networks for photographs take */
    CSV_CAP = 1 << 28 /* bytes: some three million lines */
};

/* A list of owned strings. */
typedef struct names {
    char **item;
    size_t count, room;
} names;

static lens_status names_add(lens_ctx *ctx, names *list, char *owned) {
    if (!owned) return LENS_NOMEM;
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        char **grown = ctx_grow(ctx, list->item, list->room, room, sizeof *grown);
        if (!grown) {
            ctx_free(ctx, owned);
            return LENS_NOMEM;
        }
        list->item = grown;
        list->room = room;
    }
    list->item[list->count++] = owned;
    return LENS_OK;
}

static void names_free(lens_ctx *ctx, names *list) {
    for (size_t i = 0; i < list->count; i++) ctx_free(ctx, list->item[i]);
    ctx_free(ctx, list->item);
    *list = (names){ 0 };
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(names *list) {
    if (list->count) qsort(list->item, list->count, sizeof *list->item, by_bytes);
}

static bool is_picture(const char *name) {
    static const char *const ENDS[] = { "png", "jpg", "jpeg", "jpe", "pnm", "pgm", "ppm", "pbm" };
    const char *dot = strrchr(name, '.');
    char low[8] = "";
    if (!dot || strlen(dot) > sizeof low) return false;
    for (size_t i = 0; dot[1 + i]; i++) {
        char c = dot[1 + i];
        low[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    for (size_t i = 0; i < LENS_COUNT(ENDS); i++)
        if (strcmp(low, ENDS[i]) == 0) return true;
    return false;
}

/* The names in a folder that do not begin with a dot, sorted: its folders, and its pictures.
 * Either list may be NULL. */
static lens_status list_folder(lens_data *d, const char *path, names *folders, names *pictures,
                               size_t *others) {
    DIR *dir = opendir(path);
    lens_status status = LENS_OK;
    if (!dir) return ctx_fail(d->ctx, LENS_IO, "%s: cannot list: %s", path, strerror(errno));
    for (struct dirent *e; status == LENS_OK && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        char *full = ctx_printf(d->ctx, "%s/%s", path, e->d_name);
        if (!full) {
            status = LENS_NOMEM;
            break;
        }
        bool is_dir = data_is_dir(full);
        ctx_free(d->ctx, full);
        names *list = is_dir ? folders : is_picture(e->d_name) ? pictures : NULL;
        if (list)
            status = names_add(d->ctx, list, ctx_strdup(d->ctx, e->d_name));
        else if (!is_dir && others)
            ++*others;
    }
    closedir(dir);
    if (folders) names_sort(folders);
    if (pictures) names_sort(pictures);
    return status;
}

/* Appends a file to a split; takes `owned`. */
static lens_status add_sample(lens_data *d, lens_split which, size_t *room, char *owned,
                              int label) {
    data_split *split = &d->split[which];
    if (!owned) return LENS_NOMEM;
    if (split->count == *room) {
        size_t more = *room ? *room * 2 : 256;
        int32_t *labels = ctx_grow(d->ctx, split->label, *room, more, sizeof *labels);
        if (labels) split->label = labels;
        char **files = labels ? ctx_grow(d->ctx, split->file, *room, more, sizeof *files) : NULL;
        if (!files) {
            ctx_free(d->ctx, owned);
            return LENS_NOMEM;
        }
        split->file = files;
        *room = more;
    }
    split->label[split->count] = label;
    split->file[split->count++] = owned;
    return LENS_OK;
}

/* Moves one fifth of each class, rounded down but at least one where there are two, from the
 * training to the test split. */
static lens_status hold_out(lens_data *d) {
    data_split *train = &d->split[LENS_TRAIN];
    size_t n = train->count, kept = 0, room = 0, classes = (size_t)d->info.classes;
    uint32_t *start = ctx_alloc(d->ctx, classes + 1, sizeof *start); /* of each class in member */
    uint32_t *member = ctx_alloc(d->ctx, n, sizeof *member);
    uint32_t *order = ctx_alloc(d->ctx, n, sizeof *order);
    bool *held = ctx_alloc(d->ctx, n, sizeof *held);
    lens_status status = start && member && order && held ? LENS_OK : LENS_NOMEM;
    if (status == LENS_OK) {
        for (size_t i = 0; i < n; i++) start[train->label[i] + 1]++;
        for (size_t k = 0; k < classes; k++) start[k + 1] += start[k];
        for (size_t i = 0; i < n; i++) member[start[train->label[i]]++] = (uint32_t)i;
        for (size_t k = classes; k > 0; k--) start[k] = start[k - 1];
        start[0] = 0;
    }
    for (size_t k = 0; status == LENS_OK && k < classes; k++) {
        uint32_t count = start[k + 1] - start[k];
        uint32_t held_count = count >= 5 ? count / 5 : count >= 2;
        rng r = rng_start(d->opts.seed, RNG_SPLIT, (uint32_t)k, 0);
        rng_permutation(&r, order, count);
        for (uint32_t i = 0; i < held_count; i++) held[member[start[k] + order[i]]] = true;
    }
    for (size_t i = 0; status == LENS_OK && i < n; i++) {
        char *file = train->file[i];
        int label = train->label[i];
        train->file[i] = NULL;
        if (held[i]) {
            status = add_sample(d, LENS_TEST, &room, file, label);
        } else {
            train->file[kept] = file;
            train->label[kept++] = label;
        }
    }
    if (status == LENS_OK) train->count = kept;
    ctx_free(d->ctx, start);
    ctx_free(d->ctx, member);
    ctx_free(d->ctx, order);
    ctx_free(d->ctx, held);
    return status;
}

/* Drops sample i; the order of the others stays. */
static void drop(lens_data *d, data_split *split, size_t i) {
    ctx_free(d->ctx, split->file[i]);
    memmove(split->file + i, split->file + i + 1, (split->count - i - 1) * sizeof *split->file);
    memmove(split->label + i, split->label + i + 1, (split->count - i - 1) * sizeof *split->label);
    split->count--;
}

/* A bad picture: the message is in the context. Forwards it, or lists it if that was asked for. */
static lens_status bad_picture(lens_data *d, lens_status status) {
    if (!d->opts.skip_bad || status == LENS_NOMEM) return status;
    return data_add_problem(d, lens_why(d->ctx));
}

static int by_value(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* The common size of all pictures, or the medians, from the headers of the files. */
static lens_status choose_size(lens_data *d) {
    size_t total = d->split[LENS_TRAIN].count + d->split[LENS_TEST].count, n = 0;
    int *heights = ctx_alloc(d->ctx, total, sizeof *heights);
    int *widths = ctx_alloc(d->ctx, total, sizeof *widths), channels;
    lens_status status = heights && widths ? LENS_OK : LENS_NOMEM;
    for (int s = 0; s < LENS_SPLITS; s++) {
        data_split *split = &d->split[s];
        for (size_t i = 0; status == LENS_OK && i < split->count;) {
            status = img_probe(d->ctx, split->file[i], &widths[n], &heights[n], &channels);
            if (status == LENS_OK) {
                n++, i++;
            } else {
                status = bad_picture(d, status);
                if (status == LENS_OK) drop(d, split, i);
            }
        }
    }
    if (status == LENS_OK && n > 0) {
        qsort(heights, n, sizeof *heights, by_value);
        qsort(widths, n, sizeof *widths, by_value);
        bool equal = heights[0] == heights[n - 1] && widths[0] == widths[n - 1];
        int h = heights[n / 2], w = widths[n / 2];
        if (!equal || h > DATA_MAX_SIDE || w > DATA_MAX_SIDE) {
            h = h < MEDIAN_CAP ? h : MEDIAN_CAP;
            w = w < MEDIAN_CAP ? w : MEDIAN_CAP;
        }
        d->info.height = h;
        d->info.width = w;
    }
    ctx_free(d->ctx, heights);
    ctx_free(d->ctx, widths);
    return status;
}

/* Decoding everything, on all threads. A picture that fails is only marked: it is read again on the
 * caller's thread, in order, so that the message does not depend on the threads. */
typedef struct decode_job {
    lens_data *d;
    lens_ctx **side; /* one context per thread */
    data_split *split;
    bool *failed;
} decode_job;

static void decode_one(void *arg, int task, int thread) {
    decode_job *job = arg;
    uint8_t *to = job->split->pixels + (size_t)task * data_sample_bytes(job->d);
    job->failed[task] =
        data_decode(job->side[thread], job->d, job->split->file[task], to) != LENS_OK;
}

static lens_status decode_split(lens_data *d, data_split *split, lens_ctx **side) {
    size_t bytes = data_sample_bytes(d), good = 0, n = split->count;
    if (n == 0) return LENS_OK;
    bool *failed = ctx_alloc(d->ctx, n, sizeof *failed);
    split->pixels = ctx_alloc(d->ctx, n, bytes);
    if (!failed || !split->pixels) {
        ctx_free(d->ctx, failed);
        return LENS_NOMEM;
    }
    decode_job job = { d, side, split, failed };
    /* A small PNG takes some 20 microseconds; larger pictures only more. */
    pool_run(ctx_pool(d->ctx), (int)n, 20e3, decode_one, &job);
    lens_status status = LENS_OK;
    for (size_t i = 0; i < n && status == LENS_OK; i++) {
        uint8_t *from = split->pixels + i * bytes;
        status = failed[i] ? data_decode(d->ctx, d, split->file[good], from) : LENS_OK;
        if (status == LENS_OK) {
            memmove(split->pixels + good++ * bytes, from, bytes);
        } else {
            status = bad_picture(d, status);
            if (status == LENS_OK) drop(d, split, good);
        }
    }
    ctx_free(d->ctx, failed);
    return status;
}

static lens_status decode_all(lens_data *d) {
    int threads = pool_threads(ctx_pool(d->ctx));
    lens_ctx **side = ctx_alloc(d->ctx, (size_t)threads, sizeof *side);
    lens_status status = side ? LENS_OK : LENS_NOMEM;
    for (int i = 0; i < threads && status == LENS_OK; i++) status = ctx_side(d->ctx, &side[i]);
    for (int s = 0; s < LENS_SPLITS && status == LENS_OK; s++)
        status = decode_split(d, &d->split[s], side);
    for (int i = 0; side && i < threads; i++) lens_ctx_free(side[i]);
    ctx_free(d->ctx, side);
    return status;
}

/* Files and labels are known: fixes the size of the pictures and decodes them if they fit. */
static lens_status finish(lens_data *d) {
    d->info.channels = d->opts.channels ? d->opts.channels : 3;
    d->info.height = d->opts.height;
    d->info.width = d->opts.width;
    if (!d->info.height) LENS_TRY(choose_size(d));
    LENS_TRY(data_set_whole(d));
    size_t total = d->split[LENS_TRAIN].count + d->split[LENS_TEST].count;
    if (total && data_sample_bytes(d) <= DATA_CACHE_BYTES / total) LENS_TRY(decode_all(d));
    const data_split *train = &d->split[LENS_TRAIN];
    size_t i = 1;
    while (i < train->count && train->label[i] == train->label[0]) i++;
    if (train->count && i == train->count)
        return ctx_fail(d->ctx, LENS_BAD_FILE,
                        "%s: all %zu pictures for training are of one class, \"%s\"", d->source,
                        train->count, d->class_name[train->label[0]]);
    for (int s = 0; s < LENS_SPLITS; s++)
        if (d->split[s].count == 0)
            return ctx_fail(d->ctx, LENS_BAD_FILE, "%s: no pictures are left for %s", d->source,
                            s == LENS_TRAIN ? "training" : "testing");
    return LENS_OK;
}

/* All pictures of root/class for every class. */
static lens_status gather(lens_data *d, const char *root, const names *classes, lens_split which,
                          size_t *room) {
    names pictures = { 0 };
    lens_status status = LENS_OK;
    for (size_t k = 0; k < classes->count && status == LENS_OK; k++) {
        char *folder = ctx_printf(d->ctx, "%s/%s", root, classes->item[k]);
        size_t others = 0;
        status = folder ? LENS_OK : LENS_NOMEM;
        if (folder && data_is_dir(folder))
            status = list_folder(d, folder, NULL, &pictures, &others);
        for (size_t i = 0; i < pictures.count && status == LENS_OK; i++)
            status = add_sample(d, which, room,
                                ctx_printf(d->ctx, "%s/%s", folder, pictures.item[i]), (int)k);
        if (status == LENS_OK && (others || !pictures.count)) {
            char text[512];
            if (pictures.count)
                snprintf(text, sizeof text, "%s: %zu files are not PNG, JPEG or PNM by name",
                         folder, others);
            else
                snprintf(text, sizeof text, "%s: no pictures", folder);
            status = data_add_problem(d, text);
        }
        names_free(d->ctx, &pictures);
        ctx_free(d->ctx, folder);
    }
    return status;
}

/* Every class folder for testing must be one for training. */
static lens_status check_test_classes(lens_data *d, const char *folder, const names *test,
                                      const names *train) {
    for (size_t i = 0; i < test->count; i++) {
        size_t k = 0;
        while (k < train->count && strcmp(test->item[i], train->item[k]) != 0) k++;
        if (k == train->count)
            return ctx_fail(d->ctx, LENS_BAD_FILE,
                            "%s: class \"%s\" is not among those for training", folder,
                            test->item[i]);
    }
    return LENS_OK;
}

lens_status data_open_folder(lens_data *d, const char *folder) {
    static const char *const TEST[] = { "test", "val", "valid" };
    names classes = { 0 }, test_classes = { 0 }, loose = { 0 };
    char *train = ctx_printf(d->ctx, "%s/train", folder), *test = NULL;
    size_t room[LENS_SPLITS] = { 0 };
    lens_status status = LENS_NOMEM;
    if (!train) return status;
    d->info.kind = "folder";
    bool divided = data_is_dir(train);
    for (size_t i = 0; divided && i < LENS_COUNT(TEST) && !test; i++) {
        test = ctx_printf(d->ctx, "%s/%s", folder, TEST[i]);
        if (!test) goto done;
        if (!data_is_dir(test)) {
            ctx_free(d->ctx, test);
            test = NULL;
        }
    }
    const char *root = divided ? train : folder;
    status = list_folder(d, root, &classes, &loose, NULL);
    if (status != LENS_OK) goto done;
    if (classes.count == 0) {
        status =
            ctx_fail(d->ctx, LENS_BAD_FILE,
                     loose.count ? "%s: its %zu pictures lie side by side; expected one folder "
                                   "per class, such as %s/cats"
                                 : "%s: no pictures: expected one folder per class (found "
                                   "%zu), such as %s/cats",
                     root, loose.count, root);
        goto done;
    }
    status = data_set_classes(d, (const char *const *)classes.item, classes.count);
    if (status == LENS_OK) status = gather(d, root, &classes, LENS_TRAIN, &room[LENS_TRAIN]);
    if (status == LENS_OK && test) {
        status = list_folder(d, test, &test_classes, NULL, NULL);
        if (status == LENS_OK) status = check_test_classes(d, test, &test_classes, &classes);
        if (status == LENS_OK) status = gather(d, test, &classes, LENS_TEST, &room[LENS_TEST]);
    }
    if (status != LENS_OK) goto done;
    if (d->split[LENS_TRAIN].count == 0) {
        status = ctx_fail(d->ctx, LENS_BAD_FILE, "%s: no pictures in its %zu folders", root,
                          classes.count);
        goto done;
    }
    if (!test) status = hold_out(d);
    if (status == LENS_OK) status = finish(d);

done:
    names_free(d->ctx, &classes);
    names_free(d->ctx, &test_classes);
    names_free(d->ctx, &loose);
    ctx_free(d->ctx, train);
    ctx_free(d->ctx, test);
    return status;
}

/* The next comma-separated field of a line, blanks around it cut off; NULL at the end. */
static char *next_field(char **line) {
    char *field = *line;
    if (!field) return NULL;
    char *comma = strchr(field, ',');
    if (comma) *comma = 0;
    *line = comma ? comma + 1 : NULL;
    field += strspn(field, " \t");
    size_t end = strlen(field);
    while (end && (field[end - 1] == ' ' || field[end - 1] == '\t')) field[--end] = 0;
    return field;
}

typedef struct csv_row {
    char *path, *label; /* into the file's bytes */
    int split;          /* lens_split, or -1: not given */
} csv_row;

static lens_status csv_line(lens_data *d, const char *name, size_t number, char *line,
                            csv_row *row) {
    char *path = next_field(&line), *label = next_field(&line), *split = next_field(&line);
    if (!*path || !label || !*label || line)
        return ctx_fail(d->ctx, LENS_BAD_FILE,
                        "%s:%zu: expected \"path,label\" or \"path,label,split\"", name, number);
    int which = !split ? -1 : strcmp(split, "train") == 0 ? LENS_TRAIN : LENS_TEST;
    if (which == LENS_TEST && strcmp(split, "test") != 0)
        return ctx_fail(d->ctx, LENS_BAD_FILE,
                        "%s:%zu: the split is \"%s\"; expected train or test", name, number, split);
    *row = (csv_row){ path, label, which };
    return LENS_OK;
}

/* Rows of the file, one a line; a first line "path,label..." is a heading. */
static lens_status csv_rows(lens_data *d, const char *name, char *bytes, csv_row **rows,
                            size_t *count) {
    size_t room = 0;
    char *line = bytes;
    for (size_t number = 1; *line; number++) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = 0;
        if (end > line && end[-1] == '\r') end[-1] = 0;
        bool heading = number == 1 && strncmp(line, "path,label", 10) == 0;
        if (*line && !heading) {
            if (*count == room) {
                size_t more = room ? room * 2 : 256;
                csv_row *grown = ctx_grow(d->ctx, *rows, room, more, sizeof *grown);
                if (!grown) return LENS_NOMEM;
                *rows = grown;
                room = more;
            }
            LENS_TRY(csv_line(d, name, number, line, &(*rows)[*count]));
            if ((*rows)[*count].split != (*rows)[0].split &&
                ((*rows)[*count].split < 0 || (*rows)[0].split < 0))
                return ctx_fail(d->ctx, LENS_BAD_FILE,
                                "%s:%zu: some lines name a split and some do not", name, number);
            ++*count;
        }
        line = next;
    }
    if (*count == 0) return ctx_fail(d->ctx, LENS_BAD_FILE, "%s: no pictures are listed", name);
    return LENS_OK;
}

lens_status data_open_csv(lens_data *d, const char *path) {
    char *bytes = NULL, **labels = NULL;
    csv_row *rows = NULL;
    size_t size, count = 0, classes = 0, room[LENS_SPLITS] = { 0 };
    d->info.kind = "csv";
    LENS_TRY(file_read(d->ctx, path, CSV_CAP, &bytes, &size));
    lens_status status = csv_rows(d, path, bytes, &rows, &count);
    if (status != LENS_OK) goto done;
    labels = ctx_alloc(d->ctx, count, sizeof *labels);
    if (!labels) {
        status = LENS_NOMEM;
        goto done;
    }
    for (size_t i = 0; i < count; i++) labels[i] = rows[i].label;
    qsort(labels, count, sizeof *labels, by_bytes);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(labels[i], labels[classes - 1]) != 0) labels[classes++] = labels[i];
    status = data_set_classes(d, (const char *const *)labels, classes);
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    for (size_t i = 0; i < count && status == LENS_OK; i++) {
        char **label = bsearch(&rows[i].label, labels, classes, sizeof *labels, by_bytes);
        assert(label);
        lens_split which = rows[i].split == LENS_TEST ? LENS_TEST : LENS_TRAIN;
        char *file = rows[i].path[0] == '/'
                         ? ctx_strdup(d->ctx, rows[i].path)
                         : ctx_printf(d->ctx, "%.*s%s", folder, path, rows[i].path);
        status = add_sample(d, which, &room[which], file, (int)(label - labels));
    }
    if (status == LENS_OK && rows[0].split < 0) status = hold_out(d);
    if (status == LENS_OK) status = finish(d);

done:
    ctx_free(d->ctx, bytes);
    ctx_free(d->ctx, rows);
    ctx_free(d->ctx, labels);
    return status;
}
