/* packed.c - data sets in one or a few binary files: IDX (MNIST and its kin) and CIFAR.
 *
 * Invariant: counts and labels are checked before the data set is handed out; messages name the
 * files on both sides.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"
#include "format/idx.h"
#include <string.h>

enum { PATH_ROOM = 4096 };

static const char *const IDX_IMAGES[LENS_SPLITS] = { "train-images", "t10k-images" };
static const char *const IDX_LABELS[LENS_SPLITS] = { "train-labels", "t10k-labels" };

static const char *const FASHION[10] = {
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"
};
static const char *const CIFAR10[10] = { "airplane", "automobile", "bird",  "cat",  "deer",
                                         "dog",      "frog",       "horse", "ship", "truck" };

/* "folder/stem-idx3-ubyte", with ".gz", or with a dot before "idx3", whichever exists. */
static bool idx_path(char *path, const char *folder, const char *stem, int rank) {
    static const char *const FORMS[] = { "%s/%s-idx%d-ubyte", "%s/%s-idx%d-ubyte.gz",
                                         "%s/%s.idx%d-ubyte", "%s/%s.idx%d-ubyte.gz" };
    for (size_t i = 0; i < LENS_COUNT(FORMS); i++)
        if (snprintf(path, PATH_ROOM, FORMS[i], folder, stem, rank) < PATH_ROOM &&
            data_is_file(path))
            return true;
    return false;
}

bool data_is_idx(const char *folder) {
    char path[PATH_ROOM];
    for (int s = 0; s < LENS_SPLITS; s++)
        if (idx_path(path, folder, IDX_IMAGES[s], 3) || idx_path(path, folder, IDX_LABELS[s], 1))
            return true;
    return false;
}

static lens_status find_idx(lens_data *d, char *path, const char *folder, const char *stem,
                            int rank) {
    if (idx_path(path, folder, stem, rank)) return LENS_OK;
    return ctx_fail(d->ctx, LENS_BAD_FILE, "%s: there is no %s-idx%d-ubyte or %s-idx%d-ubyte.gz",
                    folder, stem, rank, stem, rank);
}

static lens_status idx_split(lens_data *d, const char *folder, lens_split which) {
    data_split *split = &d->split[which];
    idx images = { 0 }, labels = { 0 };
    char image_path[PATH_ROOM], label_path[PATH_ROOM];
    LENS_TRY(find_idx(d, image_path, folder, IDX_IMAGES[which], 3));
    LENS_TRY(find_idx(d, label_path, folder, IDX_LABELS[which], 1));
    lens_status status = idx_read(d->ctx, &images, image_path, DATA_FILE_CAP);
    if (status == LENS_OK) status = idx_read(d->ctx, &labels, label_path, DATA_FILE_CAP);
    if (status != LENS_OK) goto done;
    status = LENS_BAD_FILE;
    if (images.rank != 3) {
        ctx_fail(d->ctx, status, "%s: rank %d, but pictures have rank 3 (count, rows, columns)",
                 image_path, images.rank);
        goto done;
    }
    if (labels.rank != 1) {
        ctx_fail(d->ctx, status, "%s: rank %d, but labels have rank 1", label_path, labels.rank);
        goto done;
    }
    if (images.dim[0] != labels.dim[0]) {
        ctx_fail(d->ctx, status, "%s holds %lld pictures but %s holds %lld labels", image_path,
                 (long long)images.dim[0], label_path, (long long)labels.dim[0]);
        goto done;
    }
    if (images.size == 0) {
        ctx_fail(d->ctx, status, "%s holds no pictures (%lld of %lldx%lld)", image_path,
                 (long long)images.dim[0], (long long)images.dim[1], (long long)images.dim[2]);
        goto done;
    }
    if (images.dim[1] > DATA_MAX_SIDE || images.dim[2] > DATA_MAX_SIDE) {
        ctx_fail(d->ctx, status, "%s: pictures of %lldx%lld; sides of up to %d are read",
                 image_path, (long long)images.dim[1], (long long)images.dim[2], DATA_MAX_SIDE);
        goto done;
    }
    if (which == LENS_TEST && (images.dim[1] != d->info.height || images.dim[2] != d->info.width)) {
        ctx_fail(d->ctx, status, "%s: pictures of %lldx%lld, but those for training are %dx%d",
                 image_path, (long long)images.dim[1], (long long)images.dim[2], d->info.height,
                 d->info.width);
        goto done;
    }
    d->info.height = (int)images.dim[1];
    d->info.width = (int)images.dim[2];
    split->count = (size_t)images.dim[0];
    split->label = ctx_alloc(d->ctx, split->count, sizeof *split->label);
    if (!split->label) {
        status = LENS_NOMEM;
        goto done;
    }
    for (size_t i = 0; i < split->count; i++) {
        split->label[i] = labels.data[i];
        if (d->info.classes && labels.data[i] >= d->info.classes) {
            ctx_fail(d->ctx, status, "%s: label %d of picture %zu is outside 0..%d", label_path,
                     labels.data[i], i, d->info.classes - 1);
            goto done;
        }
    }
    split->pixels = images.data;
    images.data = NULL;
    status = LENS_OK;

done:
    ctx_free(d->ctx, images.data);
    ctx_free(d->ctx, labels.data);
    return status;
}

/* Ten classes where the name says so; else as many as the training labels have. */
lens_status data_open_idx(lens_data *d, const char *folder) {
    static const char *const DIGITS[10] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    d->info.kind = "idx";
    d->info.channels = 1;
    bool fashion = strstr(d->name, "fashion") != NULL;
    if (fashion || strcmp(d->name, "mnist") == 0)
        LENS_TRY(data_set_classes(d, fashion ? FASHION : DIGITS, 10));
    LENS_TRY(idx_split(d, folder, LENS_TRAIN));
    if (!d->info.classes) {
        char text[256][12];
        const char *names[256];
        int most = 0;
        for (size_t i = 0; i < d->split[LENS_TRAIN].count; i++)
            if (d->split[LENS_TRAIN].label[i] > most) most = d->split[LENS_TRAIN].label[i];
        for (int k = 0; k <= most; k++) {
            snprintf(text[k], sizeof text[k], "%d", k);
            names[k] = text[k];
        }
        LENS_TRY(data_set_classes(d, names, (size_t)most + 1));
    }
    return idx_split(d, folder, LENS_TEST);
}

/* CIFAR: records of one label byte (CIFAR-100: coarse, then fine) and 3 planes of 32x32. */
enum { CIFAR_SIDE = 32, CIFAR_PIXELS = 3 * CIFAR_SIDE * CIFAR_SIDE };

static bool cifar_path(char *path, const char *folder, const char *file) {
    return snprintf(path, PATH_ROOM, "%s/%s", folder, file) < PATH_ROOM && data_is_file(path);
}

bool data_is_cifar(const char *folder) {
    char path[PATH_ROOM];
    return cifar_path(path, folder, "data_batch_1.bin") || cifar_path(path, folder, "train.bin");
}

static lens_status cifar_append(lens_data *d, const char *folder, const char *file, int label_bytes,
                                lens_split which) {
    data_split *split = &d->split[which];
    char path[PATH_ROOM], *bytes;
    size_t size, record = (size_t)label_bytes + CIFAR_PIXELS;
    if (!cifar_path(path, folder, file))
        return ctx_fail(d->ctx, LENS_BAD_FILE, "%s: there is no %s", folder, file);
    LENS_TRY(file_read(d->ctx, path, DATA_FILE_CAP, &bytes, &size));
    size_t more = size / record, count = split->count + more;
    lens_status status = LENS_NOMEM;
    if (size == 0 || size % record) {
        status =
            ctx_fail(d->ctx, LENS_BAD_FILE, "%s: %zu bytes are not a multiple of the record of %zu",
                     path, size, record);
        goto done;
    }
    int32_t *label = ctx_grow(d->ctx, split->label, split->count, count, sizeof *label);
    if (!label) goto done;
    split->label = label;
    uint8_t *pixels = ctx_grow(d->ctx, split->pixels, split->count, count, CIFAR_PIXELS);
    if (!pixels) goto done;
    split->pixels = pixels;
    for (size_t i = 0; i < more; i++) {
        const uint8_t *r = (const uint8_t *)bytes + i * record;
        int k = r[label_bytes - 1];
        if (k >= d->info.classes) {
            status = ctx_fail(d->ctx, LENS_BAD_FILE, "%s: label %d of record %zu is outside 0..%d",
                              path, k, i, d->info.classes - 1);
            goto done;
        }
        label[split->count + i] = k;
        memcpy(pixels + (split->count + i) * CIFAR_PIXELS, r + label_bytes, CIFAR_PIXELS);
    }
    split->count = count;
    status = LENS_OK;

done:
    ctx_free(d->ctx, bytes);
    return status;
}

/* The names in fine_label_names.txt, one a line, or "0".."99" without that file. */
static lens_status cifar100_classes(lens_data *d, const char *folder) {
    enum { COUNT = 100, CAP = 1 << 16 };
    char path[PATH_ROOM], text[COUNT][4], *bytes = NULL;
    const char *names[COUNT];
    size_t size;
    for (int k = 0; k < COUNT; k++) {
        snprintf(text[k], sizeof text[k], "%d", k);
        names[k] = text[k];
    }
    if (cifar_path(path, folder, "fine_label_names.txt")) {
        LENS_TRY(file_read(d->ctx, path, CAP, &bytes, &size));
        char *line = bytes;
        for (int k = 0; k < COUNT && *line; k++) {
            size_t length = strcspn(line, "\r\n");
            if (length) names[k] = line;
            line += length;
            if (*line) *line++ = 0;
            line += strspn(line, "\r\n");
        }
    }
    lens_status status = data_set_classes(d, names, COUNT);
    ctx_free(d->ctx, bytes);
    return status;
}

lens_status data_open_cifar(lens_data *d, const char *folder) {
    char path[PATH_ROOM], file[32];
    d->info.kind = "cifar";
    d->info.channels = 3;
    d->info.height = d->info.width = CIFAR_SIDE;
    if (cifar_path(path, folder, "train.bin")) {
        LENS_TRY(cifar100_classes(d, folder));
        LENS_TRY(cifar_append(d, folder, "train.bin", 2, LENS_TRAIN));
        return cifar_append(d, folder, "test.bin", 2, LENS_TEST);
    }
    LENS_TRY(data_set_classes(d, CIFAR10, LENS_COUNT(CIFAR10)));
    for (int i = 1; i <= 5; i++) {
        snprintf(file, sizeof file, "data_batch_%d.bin", i);
        LENS_TRY(cifar_append(d, folder, file, 1, LENS_TRAIN));
    }
    return cifar_append(d, folder, "test_batch.bin", 1, LENS_TEST);
}
