/* data.c - lenslet data: what data sets there are, what is in one, and pictures of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- list ---- */

static int list_sets(cli *c) {
    const char *const *names;
    size_t count = lens_data_known(&names);
    json_t *sets = json_array();
    table *t = table_new(
        "lrrrrl", (const char *[]){ "name", "train", "test", "picture", "classes", "where" });
    for (size_t i = 0; i < count; i++) {
        char train[32], test[32], size[48], classes[16];
        lens_data *data;
        lens_status status = lens_data_open(c->ctx, &data, names[i], NULL);
        if (status != LENS_OK) {
            const char *why = status == LENS_NOT_FOUND ? "not installed" : lens_why(c->ctx);
            table_row(t, (const char *[]){ names[i], "", "", "", "", why });
            json_array_append_new(sets, json_pack("{s:s,s:b,s:o}", "name", names[i], "found", 0,
                                                  "why", json_text(lens_why(c->ctx))));
            continue;
        }
        const lens_data_info *d = lens_data_describe(data);
        snprintf(size, sizeof size, "%dx%dx%d", d->channels, d->height, d->width);
        snprintf(classes, sizeof classes, "%d", d->classes);
        table_row(t, (const char *[]){ names[i], with_commas((int64_t)d->count[LENS_TRAIN], train),
                                       with_commas((int64_t)d->count[LENS_TEST], test), size,
                                       classes, d->source });
        json_array_append_new(sets, json_pack("{s:s,s:b,s:I,s:I,s:[iii],s:i,s:o}", "name", names[i],
                                              "found", 1, "train", (json_int_t)d->count[LENS_TRAIN],
                                              "test", (json_int_t)d->count[LENS_TEST], "picture",
                                              d->channels, d->height, d->width, "classes",
                                              d->classes, "source", json_text(d->source)));
        lens_data_free(data);
    }
    if (c->json)
        table_free(t);
    else
        table_print(t);
    return emit(c, json_pack("{s:o}", "sets", sets));
}

/* ---- info ---- */

static json_t *info_json(const lens_data_info *d, const float *mean, const float *std,
                         const char *hash) {
    json_t *classes = json_array(), *problems = json_array();
    json_t *means = json_array(), *deviations = json_array();
    for (int k = 0; k < d->classes; k++)
        json_array_append_new(classes,
                              json_pack("{s:o,s:I,s:I}", "label", json_text(d->class_name[k]),
                                        "train", (json_int_t)d->per_class[LENS_TRAIN][k], "test",
                                        (json_int_t)d->per_class[LENS_TEST][k]));
    for (size_t i = 0; i < d->problems; i++)
        json_array_append_new(problems, json_text(d->problem[i]));
    for (int i = 0; i < d->channels; i++) {
        json_array_append_new(means, json_number((double)mean[i]));
        json_array_append_new(deviations, json_number((double)std[i]));
    }
    return json_pack("{s:o,s:s,s:o,s:I,s:I,s:[iii],s:o,s:o,s:s,s:o,s:o}", "name",
                     json_text(d->name), "kind", d->kind, "source", json_text(d->source), "train",
                     (json_int_t)d->count[LENS_TRAIN], "test", (json_int_t)d->count[LENS_TEST],
                     "picture", d->channels, d->height, d->width, "mean", means, "std", deviations,
                     "hash", hash, "classes", classes, "problems", problems);
}

static void print_info(const lens_data_info *d, const float *mean, const float *std,
                       const char *hash) {
    char train[32], test[32];
    printf("%s (%s) from %s\n", d->name, d->kind, d->source);
    printf("pictures   %dx%dx%d, %s to train, %s to test\n", d->channels, d->height, d->width,
           with_commas((int64_t)d->count[LENS_TRAIN], train),
           with_commas((int64_t)d->count[LENS_TEST], test));
    printf("mean      ");
    for (int i = 0; i < d->channels; i++) printf(" %.6f", (double)mean[i]);
    printf("\ndeviation ");
    for (int i = 0; i < d->channels; i++) printf(" %.6f", (double)std[i]);
    printf("\nhash       %s\n\n", hash);
    table *t = table_new("lrr", (const char *[]){ "class", "train", "test" });
    for (int k = 0; k < d->classes; k++)
        table_row(t, (const char *[]){ d->class_name[k],
                                       with_commas((int64_t)d->per_class[LENS_TRAIN][k], train),
                                       with_commas((int64_t)d->per_class[LENS_TEST][k], test) });
    table_print(t);
    for (size_t i = 0; i < d->problems; i++) printf("problem: %s\n", d->problem[i]);
}

static int show_info(cli *c, lens_data *data) {
    const lens_data_info *d = lens_data_describe(data);
    float *mean = take((size_t)d->channels, sizeof *mean);
    float *std = take((size_t)d->channels, sizeof *std);
    uint64_t number = 0;
    int result = EXIT_DONE;
    lens_status status = lens_data_mean_std(data, mean, std);
    if (status == LENS_OK) status = lens_data_hash(data, &number);
    char *hash = say_text("%016llx", (unsigned long long)number);
    d = lens_data_describe(data); /* reading may have found problems */
    if (status != LENS_OK)
        result = fail_status(c, status, READING);
    else if (c->json)
        emit(c, info_json(d, mean, std, hash));
    else
        print_info(d, mean, std, hash);
    free(hash);
    free(std);
    free(mean);
    return result;
}

/* ---- sheet and export ---- */

/* The chosen pictures of the split, all in memory. */
typedef struct choice {
    const lens_data_info *info;
    lens_split split;
    size_t count, floats; /* of one picture */
    float *chw;
    size_t *index;
    int *label;
    int *other; /* of mixed pictures: the other class, and how much `label` counts (1: unmixed) */
    float *share;
} choice;

static int choose(cli *c, lens_data *data, choice *s) {
    *s = (choice){ .info = lens_data_describe(data), .split = split_of(c) };
    size_t all = s->info->count[s->split];
    s->count = (size_t)whole_of(c, "count", 64);
    if (s->count > all) s->count = all;
    s->floats = (size_t)s->info->channels * (size_t)s->info->height * (size_t)s->info->width;
    s->chw = take(s->count * s->floats, sizeof *s->chw);
    s->index = take(s->count, sizeof *s->index);
    s->label = take(s->count, sizeof *s->label);
    s->other = take(s->count, sizeof *s->other);
    s->share = take(s->count, sizeof *s->share);
    for (size_t i = 0; i < s->count; i++) {
        s->index[i] = spread(i, s->count, all);
        s->share[i] = 1;
        lens_status status =
            lens_data_get(data, s->split, s->index[i], s->chw + i * s->floats, &s->label[i]);
        if (status != LENS_OK) return fail_status(c, status, READING);
    }
    return EXIT_DONE;
}

/* Instead of pictures of their own, what `augment` makes of the first of each line in the epochs from 1 on. */
enum { LINE = 6 }; /* what fits with any labels */
static int vary(cli *c, lens_data *data, const char *augment, choice *s) {
    const lens_loader_opts opts = { .augment = augment, .seed = (uint64_t)whole_of(c, "seed", 0) };
    lens_loader *loader;
    lens_batch batch;
    lens_status status = lens_loader_new(c->ctx, &loader, data, s->split, 1, &opts);
    if (status != LENS_OK) return fail_status(c, status, NAMING);
    for (size_t i = 0; i < s->count && status == LENS_OK; i++) {
        size_t first = i - i % LINE;
        if (i == first) continue;
        s->index[i] = s->index[first];
        s->label[i] = s->label[first];
        status = lens_loader_epoch(loader, (uint32_t)(i - first), s->index[first]);
        if (status == LENS_OK) status = lens_loader_next(loader, &batch);
        if (status != LENS_OK || batch.n == 0) continue;
        memcpy(s->chw + i * s->floats, batch.images.data, s->floats * sizeof *s->chw);
        if (!batch.mix) continue;
        s->other[i] = batch.mix->other[0];
        s->share[i] = batch.mix->share[0];
    }
    lens_loader_free(loader);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, READING);
}

static void free_choice(choice *s) {
    free(s->other);
    free(s->share);
    free(s->chw);
    free(s->index);
    free(s->label);
}

static int draw_sheet(cli *c, const choice *s, const char *path) {
    const char *augment = text_of(c, "augment", NULL);
    lens_figure_picture *picture = take(s->count, sizeof *picture);
    char **label = take(s->count, sizeof *label);
    for (size_t i = 0; i < s->count; i++) {
        const char *own = s->info->class_name[s->label[i]];
        picture[i] = (lens_figure_picture){ .data = s->chw + i * s->floats,
                                            .c = s->info->channels,
                                            .h = s->info->height,
                                            .w = s->info->width };
        label[i] = s->share[i] < 1
                       ? say_text("%.0f %% %s, %.0f %% %s", 100 * (double)s->share[i], own,
                                  100 - 100 * (double)s->share[i], s->info->class_name[s->other[i]])
                       : say_text("%s", own);
    }
    char *title = augment ? say_text("%s, augmented by %s", s->info->name, augment)
                          : say_text("%s, %zu of %zu pictures to %s", s->info->name, s->count,
                                     s->info->count[s->split], split_name(s->split));
    const lens_figure_opts opts = { .title = title,
                                    .caption = c->command,
                                    .columns = augment ? LINE : 0 };
    lens_figure *figure = NULL;
    lens_status status =
        lens_figure_sheet(c->ctx, &figure, picture, (const char *const *)label, s->count, &opts);
    if (status == LENS_OK) status = lens_figure_write(figure, path);
    lens_figure_free(figure);
    free(title);
    for (size_t i = 0; i < s->count; i++) free(label[i]);
    free(label);
    free(picture);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    note(c, "%s: %zu pictures", path, s->count);
    return emit(c,
                json_pack("{s:o,s:I}", "file", json_text(path), "pictures", (json_int_t)s->count));
}

/* A class name as part of a file name: whatever could mean something to a shell or a file system
 * becomes a dash. */
static char *file_word(const char *name) {
    char *word = say_text("%s", *name ? name : "-");
    for (char *at = word; *at; at++)
        if ((unsigned char)*at < 0x80 && !isalnum((unsigned char)*at) && *at != '_') *at = '-';
    return word;
}

static lens_status write_picture(cli *c, const choice *s, size_t i, const char *path) {
    int channels = s->info->channels;
    lens_image image = { s->info->width, s->info->height, channels, NULL };
    const float *chw = s->chw + i * s->floats;
    float *hwc = take(s->floats, sizeof *hwc);
    image.pixels = take(s->floats, 1);
    lens_chw_to_hwc(chw, hwc, channels, image.height, image.width);
    for (size_t k = 0; k < s->floats; k++) image.pixels[k] = (uint8_t)(hwc[k] * 255 + 0.5f);
    lens_status status = lens_image_write(c->ctx, &image, path);
    free(image.pixels);
    free(hwc);
    return status;
}

static int export_pictures(cli *c, const choice *s, const char *folder) {
    int result = make_folder(c, folder);
    if (result) return result;
    json_t *files = json_array();
    for (size_t i = 0; i < s->count && result == EXIT_DONE; i++) {
        char *word = file_word(s->info->class_name[s->label[i]]);
        char *path = say_text("%s/%s-%zu.png", folder, word, s->index[i]);
        lens_status status = write_picture(c, s, i, path);
        if (status != LENS_OK)
            result = fail_status(c, status, WORKING);
        else if (c->json)
            json_array_append_new(files, json_text(path));
        else
            printf("%s\n", path);
        free(path);
        free(word);
    }
    if (result == EXIT_DONE) emit(c, json_pack("{s:O}", "files", files));
    json_decref(files);
    return result;
}

static int show_pictures(cli *c, lens_data *data) {
    const char *out = text_of(c, "out", NULL);
    bool sheet = !strcmp(c->topic, "sheet");
    if (!out) return fail(c, EXIT_USAGE, "where to? -o %s", sheet ? "FILE.svg or FILE.png" : "DIR");
    const char *augment = text_of(c, "augment", NULL);
    choice s;
    int status = choose(c, data, &s);
    if (status == EXIT_DONE && augment && sheet) status = vary(c, data, augment, &s);
    if (status == EXIT_DONE) status = sheet ? draw_sheet(c, &s, out) : export_pictures(c, &s, out);
    free_choice(&s);
    return status;
}

int run_data(cli *c) {
    if (!strcmp(c->topic, "list")) return list_sets(c);
    if (!c->operands)
        return fail(c, EXIT_USAGE, "data %s wants a data set: lenslet data %s SRC", c->topic,
                    c->topic);
    lens_data *data;
    int status = open_data(c, c->operand[0], &data, NULL);
    if (status) return status;
    status = strcmp(c->topic, "info") ? show_pictures(c, data) : show_info(c, data);
    lens_data_free(data);
    return status;
}
