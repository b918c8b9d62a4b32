/* vgg.c - the nets of the Visual Geometry Group: 3x3 convolutions of stride 1 and padding 1 with ReLU
 * (and batch normalisation before it in the _bn forms), max pooling 2/2 at every M, then two dense
 * layers of 4096 with dropout. A number before /1 is a 1x1 convolution.
 *
 *     name     configuration of the paper   parameters
 *     vgg11    A                           132,863,336
 *     vgg13    B                           133,047,848
 *     vgg16-c  C                           133,638,952
 *     vgg16    D                           138,357,544
 *     vgg19    E                           143,667,240
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

#include <stdlib.h>

#define A "64 M 128 M 256 256 M 512 512 M 512 512 M"
#define B "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"
#define C "64 64 M 128 128 M 256 256 256/1 M 512 512 512/1 M 512 512 512/1 M"
#define D "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
#define E "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"

typedef struct vgg {
    const char *layers;
    bool bn;
} vgg;

static lens_node *conv(lens_node *x, int *index, int maps, int kernel, bool bn) {
    x = lens_conv2d(
        x, ZOO_NAME("features.%d", (*index)++),
        (lens_conv2d_opts){ .out = maps, .kernel = { kernel }, .pad = kernel == 3 ? 1 : 0 });
    if (bn) x = lens_batchnorm(x, ZOO_NAME("features.%d", (*index)++), (lens_batchnorm_opts){ 0 });
    return lens_relu(x, ZOO_NAME("features.%d", (*index)++));
}

static lens_node *features(lens_node *x, const vgg *row) {
    int index = 0;
    for (const char *at = row->layers; *at; at += *at == ' ') {
        if (*at == 'M') {
            x = lens_maxpool(x, ZOO_NAME("features.%d", index++),
                             (lens_pool_opts){ .kernel = { 2 } });
            at++;
            continue;
        }
        char *end;
        int maps = (int)strtol(at, &end, 10), kernel = 3;
        if (*end == '/') kernel = (int)strtol(end + 1, &end, 10);
        x = conv(x, &index, maps, kernel, row->bn);
        at = end;
    }
    return x;
}

static lens_node *build(lens_net *net, const zoo_order *o) {
    lens_node *x = features(zoo_input(net, o), o->row);
    x = lens_adaptive_avgpool(x, "avgpool", (lens_adaptive_opts){ .out = { 7 } });
    x = lens_dense(lens_flatten(x, "flatten"), "classifier.0", (lens_dense_opts){ .out = 4096 });
    x = lens_dropout(lens_relu(x, "classifier.1"), "classifier.2", 0.5f);
    x = lens_dense(x, "classifier.3", (lens_dense_opts){ .out = 4096 });
    x = lens_dropout(lens_relu(x, "classifier.4"), "classifier.5", 0.5f);
    return lens_dense(x, "classifier.6", (lens_dense_opts){ .out = o->classes });
}

/* Glorot's initialiser makes the start from a trained net A needless: end of section 3.1. */
#define VGG(NAME, WHAT, LAYERS, BN)                                                                \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper =                                                                        \
                       "Simonyan, Zisserman: Very deep convolutional networks for large-scale "    \
                       "image recognition. ICLR 2015",                                             \
                   ZOO_IMAGENET,                                                                   \
                   .optimizer = "sgd",                                                             \
                   .schedule = "plateau:5,0.1",                                                    \
                   .init = "xavier",                                                               \
                   .rate = 0.01,                                                                   \
                   .momentum = 0.9,                                                                \
                   .weight_decay = 0.0005,                                                         \
                   .batch = 256,                                                                   \
                   .epochs = 74,                                                                   \
                   ZOO_CROP },                                                                     \
        .build = build, .row = &(const vgg) {                                                      \
            LAYERS, BN                                                                             \
        }                                                                                          \
    }

const zoo_net zoo_vgg[ZOO_VGGS] = {
    VGG("vgg11", "VGG with 8 convolutions (A)", A, false),
    VGG("vgg11_bn", "VGG with 8 convolutions (A) and batch normalisation", A, true),
    VGG("vgg13", "VGG with 10 convolutions (B)", B, false),
    VGG("vgg13_bn", "VGG with 10 convolutions (B) and batch normalisation", B, true),
    VGG("vgg16", "VGG with 13 convolutions (D)", D, false),
    VGG("vgg16_bn", "VGG with 13 convolutions (D) and batch normalisation", D, true),
    VGG("vgg16-c", "VGG with 13 convolutions, three of them 1x1 (C)", C, false),
    VGG("vgg19", "VGG with 16 convolutions (E)", E, false),
    VGG("vgg19_bn", "VGG with 16 convolutions (E) and batch normalisation", E, true),
};
