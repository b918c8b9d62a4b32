/* lenslet/data.h - labelled pictures, and the loader that feeds them to a network in batches.
 *
 *     lens_data *data;
 *     lens_loader *loader;
 *     lens_batch batch;
 *     lens_data_open(ctx, &data, "fashion-mnist", NULL);
 *     lens_loader_new(ctx, &loader, data, LENS_TRAIN, 64, &(lens_loader_opts){ .shuffle = true });
 *     for (uint32_t epoch = 0; epoch < 5; epoch++) {
 *         lens_loader_epoch(loader, epoch, 0);
 *         while (lens_loader_next(loader, &batch) == LENS_OK && batch.n > 0) ...
 *     }
 *
 * Pictures come out as planes (C,H,W) of floats in [0,1] (pixel/255), red first. Subtracting the
 * mean and dividing by the standard deviation is a separate, visible step: lens_data_mean_std
 * measures both, lens_loader_opts applies them.
 *
 * Ownership  A data set belongs to its context and outlives its loaders. Strings it returns are
 *            borrowed and live as long as it does.
 * Order      Everything random is a function of (seed, epoch, index of the sample): it does not
 *            depend on workers, on the batch size, or on where an epoch was resumed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_DATA_H
#define LENSLET_DATA_H

#include <lenslet/base.h>
#include <lenslet/image.h>
#include <lenslet/tensor.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lens_data lens_data;

typedef enum lens_split { LENS_TRAIN, LENS_TEST } lens_split;
enum { LENS_SPLITS = 2 };

/* Zero means the usual. */
typedef struct lens_data_opts {
    int channels; /* 1 grey by luma, 3 RGB; 0 = as stored (IDX, CIFAR, shapes), RGB (pictures) */
    int height, width; /* pictures of another size are resized to cover and cut at the centre
                          (lens_image_fit). 0 = as stored; pictures in files that differ in size
                          get the medians of heights and of widths, at most 224. One of the two
                          given: both */
    int resize; /* as torchvision's Resize(resize), CenterCrop((height, width)): the shorter side is
                   resized to this, and what lies round the centre is kept as a margin, for crops
                   in training and lens_eval_crops. 0: no margin */
    lens_interpolation interpolation; /* of any resizing */
    bool skip_bad; /* leave out pictures that cannot be read, and list them, instead of failing */
    uint64_t seed; /* of the 80:20 split of a folder without test pictures; of `shapes` */
} lens_data_opts;

/* Opens `source`:
 *   shapes          built in: 28x28x3, 5,000 + 1,000 outlines of 5 shapes in 6 colours on black, of
 *                   random size, place, proportions and line width; labels are the 6 colours
 *   shapes:shape    the same pictures, labels are the 5 shapes
 *   shapes:both     3 shapes in 3 colours: 9 labels, 600 + 100 pictures of each
 *   mnist  fashion-mnist  cifar10  cifar100
 *                   a folder of that name in $LENSLET_DATA, $XDG_DATA_HOME/lenslet (or
 *                   ~/.local/share/lenslet) or /usr/share/datasets, the first that exists
 *   FOLDER          with IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., each
 *                   plain or .gz); or CIFAR-10/100 binary files (data_batch_1.bin ..., train.bin);
 *                   or one folder of PNG, JPEG or PNM pictures per class. Classes are numbered in
 *                   byte order of their names. With train/ and test/ (or val/) the class folders
 *                   lie in those; else one fifth of each class, chosen by the seed, is for testing
 *   FILE.csv        lines "path,label" or "path,label,split" (train or test); paths are relative to
 *                   the file; without splits, one fifth of each class is for testing
 * A known name wins over a path: write ./mnist for a folder called mnist here.
 * LENS_NOT_FOUND: no such name or path (with the nearest name and how to install it).
 * LENS_BAD_FILE: damaged or incomplete files, counts that differ, labels out of range, no pictures,
 * fewer than two classes, a picture that cannot be read (unless skip_bad). LENS_BAD_ARG: opts.
 * LENS_IO; LENS_NOMEM. */
LENS_API lens_status lens_data_open(lens_ctx *, lens_data **out, const char *source,
                                    const lens_data_opts *opts);
LENS_API void lens_data_free(lens_data *); /* NULL is fine */

typedef struct lens_data_info {
    const char *name;   /* "fashion-mnist"; the last part of a path */
    const char *kind;   /* "shapes", "idx", "cifar", "folder", "csv" */
    const char *source; /* the folder or file it came from; "built in" */
    int channels, height, width;
    int whole_height, whole_width; /* with the margin, if there is one */
    lens_interpolation interpolation;
    int classes;
    const char *const *class_name;        /* [classes] */
    size_t count[LENS_SPLITS];            /* samples, by lens_split */
    const size_t *per_class[LENS_SPLITS]; /* [classes] */
    size_t problems;                      /* what was left out or looks wrong, one line each */
    const char *const *problem;
} lens_data_info;

/* Borrowed. The problem lines may grow while a loader with skip_bad runs: call again. */
LENS_API const lens_data_info *lens_data_describe(const lens_data *);

/* The names lens_data_open knows. Returns their number. */
LENS_API size_t lens_data_known(const char *const **names);

/* One sample: chw is (C,H,W) in [0,1], label is 0..classes-1; either may be NULL.
 * LENS_BAD_ARG: index beyond the split. Pictures that are decoded when asked for: LENS_IO,
 * LENS_BAD_FILE, LENS_NOMEM. */
LENS_API lens_status lens_data_get(const lens_data *, lens_split, size_t index, float *chw,
                                   int *label);

/* What to call a sample: its file, or "train 17". Writes to buf if needed. */
LENS_API const char *lens_data_sample(const lens_data *, lens_split, size_t index, char buf[64]);

/* Mean and standard deviation (of the population) of each channel over the training split, on the
 * scale [0,1]; exact sums of integers, so the same on every machine. mean and std have C places.
 * A constant channel gets a deviation of 1, so that dividing by it is safe.
 * Errors as lens_data_get. */
LENS_API lens_status lens_data_mean_std(const lens_data *, float *mean, float *std);

/* A number that changes with any pixel or label of either split (XXH3), for "which data was this
 * trained on". Of pictures that are decoded when asked for it covers names and labels only. */
LENS_API lens_status lens_data_hash(const lens_data *, uint64_t *hash);

typedef struct lens_loader lens_loader;

/* Zero means the usual. */
typedef struct lens_loader_opts {
    bool shuffle;   /* a new order every epoch; false: 0, 1, 2, ... */
    bool drop_last; /* leave out a last batch that is not full */
    int workers;    /* threads that prepare batches ahead, 0..64; 0: prepared when asked for */
    uint64_t seed;  /* of order and augmentation */
    const float *mean,
        *std;            /* C values each, copied: x = (pixel/255 - mean) / std; NULL: 0 and 1 */
    const char *augment; /* comma list of the names below; NULL or "" = none */
    bool whole;          /* hand pictures out with their margin; not with augment */
} lens_loader_opts;

/* Augmentations, applied in the order of the list, each drawn anew for every sample and epoch. Names are
 * torchvision's, shortened; U(a,b) is uniform; a number that is not given has the value behind "=".
 *   mirror:P=0.5         left and right exchanged with probability P          (RandomHorizontalFlip)
 *   crop:N=0             a part of height x width of the picture, margin included, with N black pixels
 *                        added on each side: where there is no margin, moved by -N..N rows and columns
 *                        (RandomCrop(padding=N); Krizhevsky 2012, 4.1; He 2016, 4.2)
 *   shift:N              moved by -N..N rows and columns, the edge pixels are repeated
 *   resized-crop:A=0.08  an area of U(A,1), w/h = exp U(log 3/4, log 4/3), margin included, resized to
 *                        height x width (RandomResizedCrop; Szegedy 2015, section 6)
 *   rotate:D             turned about the centre by U(-D,D) degrees, bilinear, black outside
 *                        (RandomRotation)
 *   zoom:Z               enlarged U(1-Z,1+Z) times, bilinear, black outside (RandomAffine(scale))
 *   jitter:B=0.4:C=B:S=C:H=0
 *                        in random order: brightness x U(1-B,1+B), contrast x U(1-C,1+C), saturation x
 *                        U(1-S,1+S), hue + U(-H,H) circles (ColorJitter)
 *   pca:S=0.1            x += sum over k of direction[k] weight[k] a[k], a = N(0,S^2): along the principal
 *                        directions of ImageNet's colours (Krizhevsky 2012, 4.1). 3 channels only
 *   erase:P=0.5          with probability P a rectangle, area U(0.02,0.33), w/h = exp U(log 0.3, log 3.3),
 *                        becomes the mean: 0 after normalisation (RandomErasing; Zhong 2020)
 *   mixup:A=0.2          x = s x + (1-s) x', s = Beta(A,A), and the same of the targets; x' is a sample of the
 *                        split drawn at random, augmented as on its own (Zhang 2018)
 *   cutmix:A=1           a box of x' replaces that of x, its sides sqrt(1-Beta(A,A)) of the picture's about a
 *                        point anywhere, cut at the edges; s is the share of x that is left (Yun 2019)
 * mixup and cutmix exclude each other and come last. */

/* The second targets of a batch after mixup or cutmix: sample i counts share[i] for its label, the rest for
 * other[i]. */
typedef struct lens_mix {
    const int32_t *other; /* [n] labels */
    const float *share;   /* [n], 0..1 */
} lens_mix;

typedef struct lens_batch {
    lens_tensor images;    /* (n,C,H,W); with `whole` (n,C,whole_height,whole_width) */
    const int32_t *labels; /* [n] */
    const uint32_t *index; /* [n] in the split */
    const lens_mix *mix;   /* NULL unless mixup or cutmix is among the augmentations */
    int n;                 /* 0 = the epoch is over */
    size_t number;         /* of the batch in its epoch, from 0 */
} lens_batch;

/* batch: samples per batch, >= 1. opts may be NULL. Memory: workers + 2 batches (1 without workers),
 * allocated here; from then on in-memory data sets allocate nothing.
 * LENS_BAD_ARG: batch, workers, an unknown augmentation (with the nearest), one whose number is missing or
 * out of range or that the pictures cannot take, `whole` with augment, std not positive.
 * LENS_NOMEM. LENS_IO: threads cannot be started. */
LENS_API lens_status lens_loader_new(lens_ctx *, lens_loader **out, lens_data *, lens_split,
                                     int batch, const lens_loader_opts *opts);
LENS_API void lens_loader_free(lens_loader *); /* NULL is fine; stops its threads */

LENS_API size_t lens_loader_batches(const lens_loader *); /* in an epoch */

/* Starts `epoch` at batch `first` (0 = the beginning). Must precede lens_loader_next; may be called
 * at any time. LENS_BAD_ARG: first > batches. */
LENS_API lens_status lens_loader_epoch(lens_loader *, uint32_t epoch, size_t first);

/* The next batch, valid until the next call on the loader. batch->n == 0 at the end of the epoch.
 * A picture that cannot be decoded: LENS_IO or LENS_BAD_FILE naming its file; with skip_bad the
 * batch is smaller by it (an entirely bad batch is passed over) and the data set lists it. */
LENS_API lens_status lens_loader_next(lens_loader *, lens_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
