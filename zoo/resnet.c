/* resnet.c - residual nets: y = ReLU(F(x) + shortcut(x)), every convolution without bias and followed
 * by batch normalisation.
 *
 *     for ImageNet: 64@7/2, max 3/2, four stages of 64, 128, 256, 512 maps at 56, 28, 14, 7
 *                       block                     blocks         parameters
 *     resnet18          3x3 w, 3x3 w              2, 2, 2, 2     11,689,512
 *     resnet34          3x3 w, 3x3 w              3, 4, 6, 3     21,797,672
 *     resnet50          1x1 w, 3x3 w, 1x1 4w      3, 4, 6, 3     25,557,032
 *     resnet101         1x1 w, 3x3 w, 1x1 4w      3, 4, 23, 3    44,549,160
 *     resnet152         1x1 w, 3x3 w, 1x1 4w      3, 8, 36, 3    60,192,808
 *
 *     for CIFAR: 16@3, three stages of 16, 32, 64 maps at 32, 16, 8, n blocks each: 6n+2 layers
 *     resnet20, 32, 44, 56, 110, 1202 (n = 3, 5, 7, 9, 18, 200)     269,722 ... 19,421,274
 *
 * Where a block of three halves the picture, PyTorch does it in the 3x3 convolution ("v1.5": 4.089
 * GMAC for resnet50), the paper in the first 1x1 (-v1: 3.858 GMAC). Shortcuts are identities; where
 * the shape changes, option A takes every other cell and adds empty maps, B projects by a 1x1
 * convolution; C projects in every block.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

typedef struct resnet {
    int blocks[4]; /* of each stage; 0: no such stage */
    char option;
    bool bottleneck, v1;
    bool small; /* 3x3 stem without pooling, for pictures of 32x32 */
    int width;  /* maps of the first stage */
} resnet;

static lens_node *conv_bn(lens_node *x, const char *conv, const char *bn, lens_conv2d_opts opts) {
    opts.no_bias = true;
    return lens_batchnorm(lens_conv2d(x, conv, opts), bn, (lens_batchnorm_opts){ 0 });
}

/* The number-th convolution of a block, 1x1 or 3x3. */
static lens_node *layer(lens_node *x, const char *block, int number, int maps, int kernel,
                        int stride) {
    return conv_bn(
        x, ZOO_NAME("%s.conv%d", block, number), ZOO_NAME("%s.bn%d", block, number),
        (lens_conv2d_opts){
            .out = maps, .kernel = { kernel }, .stride = { stride }, .pad = kernel / 2 });
}

static lens_node *shortcut(lens_node *x, const resnet *r, const char *block, int in, int out,
                           int stride) {
    const char *name = r->small ? "shortcut" : "downsample";
    if (in == out && stride == 1 && r->option != 'C') return x;
    if (r->option == 'A')
        return lens_shortcut(x, ZOO_NAME("%s.%s", block, name),
                             (lens_shortcut_opts){ .out = out, .stride = { stride } });
    return conv_bn(x, ZOO_NAME("%s.%s.0", block, name), ZOO_NAME("%s.%s.1", block, name),
                   (lens_conv2d_opts){ .out = out, .kernel = { 1 }, .stride = { stride } });
}

static lens_node *block(lens_node *x, const resnet *r, const char *name, int in, int width,
                        int stride) {
    const char *relu1 = ZOO_NAME("%s.relu1", name), *relu2 = ZOO_NAME("%s.relu2", name);
    lens_node *f;
    int out = r->bottleneck ? 4 * width : width;
    if (r->bottleneck) {
        f = lens_relu(layer(x, name, 1, width, 1, r->v1 ? stride : 1), relu1);
        f = lens_relu(layer(f, name, 2, width, 3, r->v1 ? 1 : stride), relu2);
        f = layer(f, name, 3, out, 1, 1);
    } else {
        f = lens_relu(layer(x, name, 1, width, 3, stride), relu1);
        f = layer(f, name, 2, out, 3, 1);
    }
    x = lens_add(f, shortcut(x, r, name, in, out, stride), ZOO_NAME("%s.add", name));
    return lens_relu(x, ZOO_NAME("%s.relu", name));
}

static lens_node *build(lens_net *net, const zoo_order *o) {
    const resnet *r = o->row;
    const lens_conv2d_opts large = { .out = r->width, .kernel = { 7 }, .stride = { 2 }, .pad = 3 };
    const lens_conv2d_opts small = { .out = r->width, .kernel = { 3 }, .pad = 1 };
    lens_node *x = conv_bn(zoo_input(net, o), "conv1", "bn1", r->small ? small : large);
    x = lens_relu(x, "relu");
    if (!r->small)
        x = lens_maxpool(x, "maxpool",
                         (lens_pool_opts){ .kernel = { 3 }, .stride = { 2 }, .pad = 1 });
    int in = r->width;
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < r->blocks[stage]; i++) {
            int width = r->width << stage;
            x = block(x, r, ZOO_NAME("layer%d.%d", stage + 1, i), in, width, stage && !i ? 2 : 1);
            in = r->bottleneck ? 4 * width : width;
        }
    x = lens_flatten(lens_global_avgpool(x, "avgpool"), "flatten");
    return lens_dense(x, r->small ? "linear" : "fc", (lens_dense_opts){ .out = o->classes });
}

/* Section 3.4; 600,000 steps of 256 are 120 epochs. The paper draws the shorter side from 256..480. */
#define RESNET(NAME, WHAT, INPUT, SCHEDULE, BATCH, EPOCHS, PICTURES, ...)                          \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper = "He, Zhang, Ren, Sun: Deep residual learning for image recognition. "  \
                            "CVPR 2016",                                                           \
                   INPUT,                                                                          \
                   .optimizer = "sgd",                                                             \
                   .schedule = SCHEDULE,                                                           \
                   .init = "he",                                                                   \
                   .rate = 0.1,                                                                    \
                   .momentum = 0.9,                                                                \
                   .weight_decay = 0.0001,                                                         \
                   .batch = BATCH,                                                                 \
                   .epochs = EPOCHS,                                                               \
                   PICTURES },                                                                     \
        .build = build, .row = &(const resnet) {                                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define BASIC(NAME, WHAT, OPTION, ...)                                                             \
    RESNET(NAME, WHAT, ZOO_IMAGENET, "plateau:5,0.1", 256, 120, ZOO_CROP,                          \
           .blocks = { __VA_ARGS__ }, .option = OPTION, .width = 64)
#define DEEP(NAME, WHAT, V1, ...)                                                                  \
    RESNET(NAME, WHAT, ZOO_IMAGENET, "plateau:5,0.1", 256, 120, ZOO_CROP,                          \
           .blocks = { __VA_ARGS__ }, .option = 'B', .width = 64, .bottleneck = true, .v1 = V1)
#define MOVED .augment = "crop:4,mirror"
/* 32,000 and 48,000 of 64,000 steps of 128 pictures are 82 and 123 of 164 epochs of 50,000. */
#define CIFAR(NAME, WHAT, SCHEDULE, OPTION, WIDTH, ...)                                            \
    RESNET(NAME, WHAT, ZOO_CIFAR, SCHEDULE, 128, 164, MOVED, .blocks = { __VA_ARGS__ },            \
           .option = OPTION, .width = WIDTH, .small = true)
#define STEPS "steps:82,123:0.1"

const zoo_net zoo_resnet[ZOO_RESNETS] = {
    BASIC("resnet18", "ResNet with 18 layers", 'B', 2, 2, 2, 2),
    BASIC("resnet34", "ResNet with 34 layers", 'B', 3, 4, 6, 3),
    BASIC("resnet34-a", "ResNet with 34 layers, shortcuts without parameters", 'A', 3, 4, 6, 3),
    BASIC("resnet34-c", "ResNet with 34 layers, all shortcuts projections", 'C', 3, 4, 6, 3),
    DEEP("resnet50", "ResNet with 50 layers (v1.5: stride in the 3x3)", false, 3, 4, 6, 3),
    DEEP("resnet101", "ResNet with 101 layers (v1.5: stride in the 3x3)", false, 3, 4, 23, 3),
    DEEP("resnet152", "ResNet with 152 layers (v1.5: stride in the 3x3)", false, 3, 8, 36, 3),
    DEEP("resnet50-v1", "ResNet with 50 layers as published (stride in the 1x1)", true, 3, 4, 6, 3),
    DEEP("resnet101-v1", "ResNet with 101 layers as published (stride in the 1x1)", true, 3, 4, 23,
         3),
    DEEP("resnet152-v1", "ResNet with 152 layers as published (stride in the 1x1)", true, 3, 8, 36,
         3),
    CIFAR("resnet20", "ResNet with 20 layers for CIFAR", STEPS, 'A', 16, 3, 3, 3),
    CIFAR("resnet20-b", "ResNet with 20 layers for CIFAR, projections", STEPS, 'B', 16, 3, 3, 3),
    CIFAR("resnet32", "ResNet with 32 layers for CIFAR", STEPS, 'A', 16, 5, 5, 5),
    CIFAR("resnet44", "ResNet with 44 layers for CIFAR", STEPS, 'A', 16, 7, 7, 7),
    CIFAR("resnet56", "ResNet with 56 layers for CIFAR", STEPS, 'A', 16, 9, 9, 9),
    /* The paper starts these at a tenth of the rate, for about one epoch. */
    CIFAR("resnet110", "ResNet with 110 layers for CIFAR", STEPS "+warmup:1", 'A', 16, 18, 18, 18),
    CIFAR("resnet1202", "ResNet with 1202 layers for CIFAR", STEPS "+warmup:1", 'A', 16, 200, 200,
          200),
    CIFAR("resnet18-cifar", "ResNet-18 with a 3x3 first layer for CIFAR", STEPS, 'B', 64, 2, 2, 2,
          2),
};
