/* lenet5.c - LeNet-5 as it is taught and used today: every S2 map feeds every C3 map, ReLU, max
 * pooling, and a dense output for softmax.
 *
 *     input 1x32x32 (or 28x28 with two cells of padding)
 *     conv1 6@5x5 -> 6x28x28      pool 2 -> 6x14x14                  156
 *     conv2 16@5x5 -> 16x10x10    pool 2 -> 16x5x5                 2,416
 *     fc1 400 -> 120                                              48,120
 *     fc2 120 -> 84                                               10,164
 *     fc3 84 -> 10                                                   850
 *                                             61,706 parameters, 416,520 multiply-accumulates
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

static lens_node *build(lens_net *net, const zoo_order *o) {
    const lens_pool_opts halve = { .kernel = { 2 } };
    lens_node *x = zoo_input(net, o);
    x = lens_conv2d(x, "conv1",
                    (lens_conv2d_opts){ .out = 6, .kernel = { 5 }, .pad = zoo_border(o) });
    x = lens_maxpool(lens_relu(x, "relu1"), "pool1", halve);
    x = lens_conv2d(x, "conv2", (lens_conv2d_opts){ .out = 16, .kernel = { 5 } });
    x = lens_maxpool(lens_relu(x, "relu2"), "pool2", halve);
    x = lens_flatten(x, "flatten");
    x = lens_relu(lens_dense(x, "fc1", (lens_dense_opts){ .out = 120 }), "relu3");
    x = lens_relu(lens_dense(x, "fc2", (lens_dense_opts){ .out = 84 }), "relu4");
    return lens_dense(x, "fc3", (lens_dense_opts){ .out = o->classes });
}

const zoo_net zoo_lenet5 = {
    .entry = { .name = "lenet5",
               .what = "LeNet-5, modern form: ReLU, max pooling, softmax",
               .paper = "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to "
                        "document recognition. Proc. IEEE 86(11), 1998",
               .channels = 1,
               .height = 28,
               .width = 28,
               .classes = 10,
               .optimizer = "sgd",
               .schedule = "onecycle",
               .init = "he",
               .rate = 0.1,
               .momentum = 0.9,
               .weight_decay = 0.0005,
               .batch = 64,
               .epochs = 20 },
    .build = build,
};
