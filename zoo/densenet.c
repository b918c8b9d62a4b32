/* densenet.c - dense nets: every layer reads all feature maps before it and adds k of its own.
 *
 *     layer       BN, ReLU, 1x1 4k, BN, ReLU, 3x3 k; joined to its input (without -bc: BN, ReLU, 3x3 k)
 *     transition  BN, ReLU, 1x1 to half the maps (without -bc: to as many), mean 2/2
 *
 *                            k   layers of the blocks   parameters
 *     densenet121           32   6, 12, 24, 16           7,978,856     for ImageNet: 2k@7/2, BN,
 *     densenet169           32   6, 12, 32, 32          14,149,480     ReLU, max 3/2 first
 *     densenet201           32   6, 12, 48, 32          20,013,928
 *     densenet264           32   6, 12, 64, 48          33,337,704
 *     densenet161           48   6, 12, 36, 24          28,681,000
 *     densenet-40-12        12   12, 12, 12              1,019,722     for CIFAR: 16@3 first
 *     densenet-100-12       12   32, 32, 32              6,979,642
 *     densenet-bc-100-12    12   16, 16, 16                769,162     for CIFAR: 2k@3 first
 *     densenet-bc-250-24    24   41, 41, 41             15,324,406
 *     densenet-bc-190-40    40   31, 31, 31             25,624,430
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

typedef struct densenet {
    int blocks[4]; /* layers; 0: no such block */
    int growth, first;
    bool bc;    /* bottleneck and compression */
    bool small; /* for pictures of 32x32 */
} densenet;

static lens_node *conv(lens_node *x, const char *name, int maps, int kernel, int stride) {
    return lens_conv2d(x, name,
                       (lens_conv2d_opts){ .out = maps,
                                           .kernel = { kernel },
                                           .stride = { stride },
                                           .pad = kernel / 2,
                                           .no_bias = true });
}

static lens_node *norm_relu(lens_node *x, const char *part, const char *number) {
    x = lens_batchnorm(x, ZOO_NAME("%s.norm%s", part, number), (lens_batchnorm_opts){ 0 });
    return lens_relu(x, ZOO_NAME("%s.relu%s", part, number));
}

static lens_node *layer(lens_node *x, const densenet *d, const char *name) {
    lens_node *y = norm_relu(x, name, "1");
    if (d->bc) {
        y = conv(y, ZOO_NAME("%s.conv1", name), 4 * d->growth, 1, 1);
        y = conv(norm_relu(y, name, "2"), ZOO_NAME("%s.conv2", name), d->growth, 3, 1);
    } else {
        y = conv(y, ZOO_NAME("%s.conv1", name), d->growth, 3, 1);
    }
    return lens_concat((lens_node *const[]){ x, y }, 2, ZOO_NAME("%s.concat", name));
}

static lens_node *transition(lens_node *x, const char *name, int maps) {
    x = conv(norm_relu(x, name, ""), ZOO_NAME("%s.conv", name), maps, 1, 1);
    return lens_avgpool(x, ZOO_NAME("%s.pool", name), (lens_pool_opts){ .kernel = { 2 } });
}

static lens_node *build(lens_net *net, const zoo_order *o) {
    const densenet *d = o->row;
    int maps = d->first;
    lens_node *x =
        conv(zoo_input(net, o), "features.conv0", maps, d->small ? 3 : 7, d->small ? 1 : 2);
    if (!d->small)
        x = lens_maxpool(norm_relu(x, "features", "0"), "features.pool0",
                         (lens_pool_opts){ .kernel = { 3 }, .stride = { 2 }, .pad = 1 });
    for (int b = 0; b < 4 && d->blocks[b]; b++) {
        if (b) {
            maps = d->bc ? maps / 2 : maps;
            x = transition(x, ZOO_NAME("features.transition%d", b), maps);
        }
        for (int i = 1; i <= d->blocks[b]; i++)
            x = layer(x, d, ZOO_NAME("features.denseblock%d.denselayer%d", b + 1, i));
        maps += d->blocks[b] * d->growth;
    }
    x = lens_global_avgpool(norm_relu(x, "features", "5"), "avgpool");
    return lens_dense(lens_flatten(x, "flatten"), "classifier",
                      (lens_dense_opts){ .out = o->classes });
}

#define DENSENET(NAME, WHAT, INPUT, SCHEDULE, BATCH, EPOCHS, PICTURES, ...)                        \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper = "Huang, Liu, van der Maaten, Weinberger: Densely connected "           \
                            "convolutional networks. CVPR 2017",                                   \
                   INPUT,                                                                          \
                   .optimizer = "nesterov",                                                        \
                   .schedule = SCHEDULE,                                                           \
                   .init = "he",                                                                   \
                   .rate = 0.1,                                                                    \
                   .momentum = 0.9,                                                                \
                   .weight_decay = 0.0001,                                                         \
                   .batch = BATCH,                                                                 \
                   .epochs = EPOCHS,                                                               \
                   PICTURES },                                                                     \
        .build = build, .row = &(const densenet) {                                                 \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
/* Section 4.2: as in the reference code of ResNets; CIFAR moved by 4 pixels and mirrored (C10+). */
#define RESIZED .augment = "resized-crop,mirror,jitter"
#define MOVED   .augment = "crop:4,mirror"
#define IMAGENET(NAME, WHAT, GROWTH, ...)                                                          \
    DENSENET(NAME, WHAT, ZOO_IMAGENET, "steps:30,60:0.1", 256, 90, RESIZED,                        \
             .blocks = { __VA_ARGS__ }, .growth = GROWTH, .first = 2 * GROWTH, .bc = true)
#define CIFAR(NAME, WHAT, BC, GROWTH, FIRST, ...)                                                  \
    DENSENET(NAME, WHAT, ZOO_CIFAR, "steps:150,225:0.1", 64, 300, MOVED,                           \
             .blocks = { __VA_ARGS__ }, .growth = GROWTH, .first = FIRST, .bc = BC, .small = true)

const zoo_net zoo_densenet[ZOO_DENSENETS] = {
    IMAGENET("densenet121", "DenseNet with 121 layers", 32, 6, 12, 24, 16),
    IMAGENET("densenet161", "DenseNet with 161 layers, 48 maps a layer", 48, 6, 12, 36, 24),
    IMAGENET("densenet169", "DenseNet with 169 layers", 32, 6, 12, 32, 32),
    IMAGENET("densenet201", "DenseNet with 201 layers", 32, 6, 12, 48, 32),
    IMAGENET("densenet264", "DenseNet with 264 layers", 32, 6, 12, 64, 48),
    CIFAR("densenet-40-12", "DenseNet with 40 layers for CIFAR", false, 12, 16, 12, 12, 12),
    CIFAR("densenet-100-12", "DenseNet with 100 layers for CIFAR", false, 12, 16, 32, 32, 32),
    CIFAR("densenet-bc-100-12", "compressed DenseNet with 100 layers for CIFAR", true, 12, 24, 16,
          16, 16),
    CIFAR("densenet-bc-250-24", "compressed DenseNet with 250 layers for CIFAR", true, 24, 48, 41,
          41, 41),
    CIFAR("densenet-bc-190-40", "compressed DenseNet with 190 layers for CIFAR", true, 40, 80, 31,
          31, 31),
};
