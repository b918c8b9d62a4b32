/* zfnet.c - the net of Zeiler and Fergus: AlexNet with a finer first layer and no groups.
 *
 *     zfnet (3x224x224)                             parameters        zfnet-b
 *     conv1 96@7/2 pad 1       -> 96x110x110            14,208
 *     max 3/2 ceil, LRN        -> 96x55x55
 *     conv2 256@5/2            -> 256x26x26            614,656
 *     max 3/2 ceil, LRN        -> 256x13x13
 *     conv3 384@3 pad 1                                885,120        512@3
 *     conv4 384@3 pad 1                              1,327,488        1024@3
 *     conv5 256@3 pad 1, max 3/2 -> 256x6x6            884,992        512@3
 *     fc6 9216 -> 4096, dropout                     37,752,832
 *     fc7 4096 -> 4096, dropout                     16,781,312
 *     fc8 4096 -> 1000                               4,097,000
 *                                                   62,357,608        107,627,624
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

static lens_node *conv(lens_node *x, int number, lens_conv2d_opts opts) {
    x = lens_conv2d(x, ZOO_NAME("conv%d", number), opts);
    return lens_relu(x, ZOO_NAME("relu%d", number));
}

/* The paper normalises contrast across feature maps after pooling, with AlexNet's numbers. */
static lens_node *pool_norm(lens_node *x, int number) {
    const lens_pool_opts pool = { .kernel = { 3 }, .stride = { 2 }, .ceil = true };
    const lens_lrn_opts lrn = { .n = 5, .alpha = 1e-4f, .beta = 0.75f, .k = 2, .undivided = true };
    return lens_lrn(lens_maxpool(x, ZOO_NAME("pool%d", number), pool), ZOO_NAME("norm%d", number),
                    lrn);
}

static lens_node *build(lens_net *net, const zoo_order *o) {
    const int *maps = o->row;
    lens_node *x = zoo_input(net, o);
    x = conv(x, 1, (lens_conv2d_opts){ .out = 96, .kernel = { 7 }, .stride = { 2 }, .pad = 1 });
    x = pool_norm(x, 1);
    x = conv(x, 2, (lens_conv2d_opts){ .out = 256, .kernel = { 5 }, .stride = { 2 } });
    x = pool_norm(x, 2);
    for (int i = 0; i < 3; i++)
        x = conv(x, 3 + i, (lens_conv2d_opts){ .out = maps[i], .kernel = { 3 }, .pad = 1 });
    x = lens_maxpool(x, "pool5", (lens_pool_opts){ .kernel = { 3 }, .stride = { 2 } });
    x = lens_dense(lens_flatten(x, "flatten"), "fc6", (lens_dense_opts){ .out = 4096 });
    x = lens_dropout(lens_relu(x, "relu6"), "drop6", 0.5f);
    x = lens_dense(x, "fc7", (lens_dense_opts){ .out = 4096 });
    x = lens_dropout(lens_relu(x, "relu7"), "drop7", 0.5f);
    return lens_dense(x, "fc8", (lens_dense_opts){ .out = o->classes });
}

#define ZFNET(NAME, WHAT, ...)                                                                     \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper =                                                                        \
                       "Zeiler, Fergus: Visualizing and understanding convolutional networks. "    \
                       "ECCV 2014",                                                                \
                   ZOO_IMAGENET,                                                                   \
                   .optimizer = "sgd",                                                             \
                   .schedule = "plateau:5,0.1",                                                    \
                   .init = "normal:0.01",                                                          \
                   .rate = 0.01,                                                                   \
                   .momentum = 0.9,                                                                \
                   .batch = 128,                                                                   \
                   .epochs = 70,                                                                   \
                   ZOO_CROP },                                                                     \
        .build = build, .row = (const int[]) {                                                     \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

const zoo_net zoo_zfnet[ZOO_ZFNETS] = {
    ZFNET("zfnet", "ZFNet: AlexNet with 7x7 kernels at stride 2 first", 384, 384, 256),
    ZFNET("zfnet-b", "ZFNet with 512, 1024 and 512 maps in its last convolutions", 512, 1024, 512),
};
