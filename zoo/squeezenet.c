/* squeezenet.c - fire modules: a 1x1 convolution squeezes the maps, a 1x1 and a 3x3 convolution side
 * by side expand them again. No dense layer: a 1x1 convolution gives one map for each class.
 *
 *     squeezenet1_0    96@7/2, max, 16 16 32, max, 32 48 48 64, max, 64        1,248,424 parameters
 *     squeezenet1_1    64@3/2, max, 16 16, max, 32 32, max, 48 48 64 64        1,235,496 parameters
 *
 * A fire module of s maps expands to 4s + 4s. All pooling is 3/2 with ceil.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

enum { POOL = -1, END = 0 };

static lens_node *conv(lens_node *x, const char *name, const char *relu, lens_conv2d_opts opts) {
    return lens_relu(lens_conv2d(x, name, opts), relu);
}

static lens_node *fire(lens_node *x, const char *name, int squeeze) {
    x = conv(x, ZOO_NAME("%s.squeeze", name), ZOO_NAME("%s.squeeze_activation", name),
             (lens_conv2d_opts){ .out = squeeze, .kernel = { 1 } });
    lens_node *wide[2];
    wide[0] = conv(x, ZOO_NAME("%s.expand1x1", name), ZOO_NAME("%s.expand1x1_activation", name),
                   (lens_conv2d_opts){ .out = 4 * squeeze, .kernel = { 1 } });
    wide[1] = conv(x, ZOO_NAME("%s.expand3x3", name), ZOO_NAME("%s.expand3x3_activation", name),
                   (lens_conv2d_opts){ .out = 4 * squeeze, .kernel = { 3 }, .pad = 1 });
    return lens_concat(wide, 2, ZOO_NAME("%s.concat", name));
}

/* The row: maps and kernel of the first convolution, then what follows it. */
static lens_node *build(lens_net *net, const zoo_order *o) {
    const lens_pool_opts pool = { .kernel = { 3 }, .stride = { 2 }, .ceil = true };
    const int *row = o->row;
    lens_node *x = conv(zoo_input(net, o), "features.0", "features.1",
                        (lens_conv2d_opts){ .out = row[0], .kernel = { row[1] }, .stride = { 2 } });
    for (int i = 2; row[i] != END; i++) {
        const char *name = ZOO_NAME("features.%d", i);
        x = row[i] == POOL ? lens_maxpool(x, name, pool) : fire(x, name, row[i]);
    }
    x = conv(lens_dropout(x, "classifier.0", 0.5f), "classifier.1", "classifier.2",
             (lens_conv2d_opts){ .out = o->classes, .kernel = { 1 } });
    return lens_flatten(lens_global_avgpool(x, "classifier.3"), "flatten");
}

/* The recipe that the authors published: 170,000 steps. */
#define SQUEEZENET(NAME, WHAT, ...)                                                                \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper = "Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer: SqueezeNet: "        \
                            "AlexNet-level accuracy with 50x fewer parameters. arXiv:1602.07360, " \
                            "2016",                                                                \
                   ZOO_IMAGENET,                                                                   \
                   .optimizer = "sgd",                                                             \
                   .schedule = "poly:1",                                                           \
                   .init = "xavier",                                                               \
                   .rate = 0.04,                                                                   \
                   .momentum = 0.9,                                                                \
                   .weight_decay = 0.0002,                                                         \
                   .batch = 512,                                                                   \
                   .epochs = 68,                                                                   \
                   ZOO_CROP },                                                                     \
        .build = build, .row = (const int[]) {                                                     \
            __VA_ARGS__, END                                                                       \
        }                                                                                          \
    }

const zoo_net zoo_squeezenet[ZOO_SQUEEZENETS] = {
    SQUEEZENET("squeezenet1_0", "SqueezeNet as published", 96, 7, POOL, 16, 16, 32, POOL, 32, 48,
               48, 64, POOL, 64),
    SQUEEZENET("squeezenet1_1", "SqueezeNet with less than half the arithmetic", 64, 3, POOL, 16,
               16, POOL, 32, 32, POOL, 48, 48, 64, 64),
};
