/* lenslet/zoo.h - the networks of the papers, by name. Written on the public headers alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_ZOO_H
#define LENSLET_ZOO_H

#include <lenslet/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a user may change; 0 means the paper's. */
typedef struct lens_zoo_opts {
    int channels, height, width; /* of the input */
    int classes;
} lens_zoo_opts;

typedef struct lens_zoo_entry {
    const char *name;                     /* "lenet5" */
    const char *what;                     /* "LeNet-5, modern form: ReLU, max pooling, softmax" */
    const char *paper;                    /* citation */
    int channels, height, width, classes; /* the paper's */
    /* The net's own training recipe: what `train` uses where the user says nothing. NULL or 0: the general default. */
    const char *optimizer, *schedule, *init;
    double rate, momentum, weight_decay;
    int batch;
    /* The rest of the paper's recipe, which `train --recipe paper` follows. `resize`: the shorter side of
     * pictures before they are cropped. NULL or 0: the paper has none. */
    const char *augment;
    int epochs, resize;
} lens_zoo_entry;

LENS_API int lens_zoo_count(void);
LENS_API const lens_zoo_entry *lens_zoo_at(int index);          /* NULL: out of range */
LENS_API const lens_zoo_entry *lens_zoo_find(const char *name); /* NULL: no such net */

/* A finished net with zeroed weights (see lens_init). opts may be NULL. LENS_NOT_FOUND: unknown name,
 * with a suggestion; LENS_BAD_SHAPE: the input is too small for the net. */
LENS_API lens_status lens_zoo_new(lens_ctx *, lens_net **out, const char *name,
                                  const lens_zoo_opts *);

/* The nets whose weights a file may hold, and the classes its head makes. */
typedef struct lens_zoo_fits {
    const lens_zoo_entry
        *entry[4]; /* in the order of the list: plain names, torchvision's forms, first */
    int count;
    int classes;
} lens_zoo_fits;

/* Recognises the net from names and shapes of a file of weights, as lens_net_load_weights knows them
 * (.safetensors, .pth). Several fit where they differ in strides alone (resnet50 and resnet50-v1).
 * LENS_NOT_FOUND: none of the zoo; else as lens_net_load_weights. */
LENS_API lens_status lens_zoo_recognise(lens_ctx *, const char *path, lens_zoo_fits *);

/* Sets the words that torchvision's weights come with, where the net is one of the zoo that tells
 * ImageNet's 1000 classes apart on 3 channels and has no word "classes": the labels, "mean", "std",
 * "resize". */
LENS_API lens_status lens_zoo_imagenet_words(lens_net *);

#ifdef __cplusplus
}
#endif
#endif
