/* zoo.h - what the nets of this folder share: one row for each net, with its builder.
 *
 * A new net is one more row of a family's array, or a new family: one file, its array below and one
 * line in the list of zoo.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_ZOO_H
#define ZOO_ZOO_H

#include <lenslet/zoo.h>

#include <stdarg.h>
#include <stdio.h>

/* What a builder is asked for. Nothing is 0: what the user left out is the entry's. */
typedef struct zoo_order {
    int channels, height, width, classes;
    const void *row; /* of zoo_net */
} zoo_order;

typedef struct zoo_net {
    lens_zoo_entry entry;
    /* Adds the layers to a new net and returns the output; NULL after a failure, as builders do. */
    lens_node *(*build)(lens_net *, const zoo_order *);
    const void *row; /* what tells this net from others of its family, for build; may be NULL */
} zoo_net;

extern const zoo_net zoo_lenet5, zoo_lenet5_1998, zoo_harley;

enum {
    ZOO_MLPS = 2,
    ZOO_COURSES = 6,
    ZOO_ALEXNETS = 2,
    ZOO_ZFNETS = 2,
    ZOO_VGGS = 9,
    ZOO_GOOGLENETS = 2,
    ZOO_RESNETS = 18,
    ZOO_DENSENETS = 10,
    ZOO_SQUEEZENETS = 2,
};
extern const zoo_net zoo_mlp[ZOO_MLPS], zoo_course[ZOO_COURSES], zoo_alexnet[ZOO_ALEXNETS],
    zoo_zfnet[ZOO_ZFNETS], zoo_vgg[ZOO_VGGS], zoo_googlenet[ZOO_GOOGLENETS],
    zoo_resnet[ZOO_RESNETS], zoo_densenet[ZOO_DENSENETS], zoo_squeezenet[ZOO_SQUEEZENETS];

/* The input of an entry. */
#define ZOO_IMAGENET .channels = 3, .height = 224, .width = 224, .classes = 1000
/* Pictures as in the training of most ImageNet nets: shorter side 256, a random part of it and its mirror
 * image, the colours moved along their principal directions (Krizhevsky 2012, section 4.1). */
#define ZOO_CROP  .augment = "crop,mirror,pca", .resize = 256
#define ZOO_CIFAR .channels = 3, .height = 32, .width = 32, .classes = 10

/* The LeNets read 32x32 pictures whose border is empty: a 28x28 digit gets the border as padding of
 * the first convolution, which gives the same numbers. */
static inline int zoo_border(const zoo_order *o) { return o->height < 32 || o->width < 32 ? 2 : 0; }

static inline lens_node *zoo_input(lens_net *net, const zoo_order *o) {
    return lens_input(net, "input", o->channels, o->height, o->width);
}

/* A node's name from its parts: ZOO_NAME("%s.conv%d", block, 1). Lives as long as the block it is
 * written in. */
enum { ZOO_NAME_SIZE = 96 };
#define ZOO_NAME(...) zoo_name((char[ZOO_NAME_SIZE]){ 0 }, __VA_ARGS__)

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline const char *
zoo_name(char *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(buf, ZOO_NAME_SIZE, format, args);
    va_end(args);
    return buf;
}

#endif
