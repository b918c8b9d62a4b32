/* data.h - what a lens_data is made of: shared by the sources of src/data.
 *
 * Invariant: after lens_data_open every label is in 0..classes-1, both splits agree in channels,
 * height and width, and every sample either lies in memory or has a file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_DATA_H
#define DATA_DATA_H

#include "base/base.h"
#include <lenslet/data.h>

/* Samples are kept decoded in memory up to here: 256 MiB holds CIFAR as pictures (60,000 x 3,072
 * bytes = 184 MB); larger folders are decoded batch by batch. */
#define DATA_CACHE_BYTES ((size_t)256 << 20)

/* Binary sources are read whole. 1 GiB holds all of EMNIST (814,255 x 784 bytes = 638 MB). */
#define DATA_FILE_CAP ((size_t)1 << 30)

enum { DATA_MAX_SIDE = 4096, DATA_MAX_CLASSES = 100000 };

typedef struct data_split {
    size_t count;
    int32_t *label;  /* [count] */
    uint8_t *pixels; /* (count,C,H,W), or NULL: decoded when asked for */
    char **file;     /* [count] owned paths, or NULL */
} data_split;

struct lens_data {
    lens_ctx *ctx;
    lens_data_opts opts;
    data_split split[LENS_SPLITS];
    char *name, *source;
    char **class_name;
    size_t *per_class[LENS_SPLITS];
    char **problem;
    size_t problem_count, problem_room;
    lens_data_info info;
};

/* Sources fill kind, channels, height, width, classes, class_name and split; what they leave behind
 * on failure lens_data_free cleans up. */
lens_status data_open_shapes(lens_data *, const char *labels); /* "colour", "shape", "both" */
lens_status data_open_idx(lens_data *, const char *folder);
lens_status data_open_cifar(lens_data *, const char *folder);
lens_status data_open_folder(lens_data *, const char *folder);
lens_status data_open_csv(lens_data *, const char *path);

/* Does the folder look like one of these? */
bool data_is_idx(const char *folder);
bool data_is_cifar(const char *folder);

/* Copies names[0..count-1]. */
lens_status data_set_classes(lens_data *, const char *const *names, size_t count);

/* Appends a line to the problem list. */
lens_status data_add_problem(lens_data *, const char *text);

/* Bytes of one sample, margin included. */
static inline size_t data_sample_bytes(const lens_data *d) {
    return (size_t)d->info.channels * (size_t)d->info.whole_height * (size_t)d->info.whole_width;
}

/* info.height and info.width are known: sets the whole of which they are the centre. LENS_BAD_ARG: they
 * are larger than opts.resize. */
lens_status data_set_whole(lens_data *);

/* One sample as bytes (C,H,W), margin included: copied from memory or decoded with `ctx`, the caller's own context,
 * so that several threads may ask at once. */
lens_status data_pixels(lens_ctx *ctx, const lens_data *, lens_split, size_t index, uint8_t *chw);

/* Reads a picture, brings it to the size of the data set with its margin and stores its planes. */
lens_status data_decode(lens_ctx *ctx, const lens_data *, const char *path, uint8_t *chw);

/* Is there a folder, or a file, of this name? */
bool data_is_dir(const char *path);
bool data_is_file(const char *path);

#endif
