/* harley.c - the digit network of Adam Harley's interactive visualisation: a LeNet in which every
 * map of the second convolution reads all six of the first, with 1.7159*tanh(2x/3) after each
 * layer, before the pooling and on the output too.
 *
 *     input 1x32x32 (1,024 units)
 *     conv1 6@5x5 -> 6x28x28 (4,704)     pool 2 -> 6x14x14 (1,176)      156
 *     conv2 16@5x5 -> 16x10x10 (1,600)   pool 2 -> 16x5x5 (400)       2,416
 *     fc1 400 -> 120                                                 48,120
 *     fc2 120 -> 100                                                 12,100
 *     fc3 100 -> 10                                                   1,010
 *                                                 63,802 parameters, 9,134 units
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

static lens_node *build(lens_net *net, const zoo_order *o) {
    const lens_pool_opts halve = { .kernel = { 2 } };
    lens_node *x = zoo_input(net, o);
    x = lens_conv2d(x, "conv1",
                    (lens_conv2d_opts){ .out = 6, .kernel = { 5 }, .pad = zoo_border(o) });
    x = lens_maxpool(lens_scaled_tanh(x, "squash1"), "pool1", halve);
    x = lens_conv2d(x, "conv2", (lens_conv2d_opts){ .out = 16, .kernel = { 5 } });
    x = lens_maxpool(lens_scaled_tanh(x, "squash2"), "pool2", halve);
    x = lens_flatten(x, "flatten");
    x = lens_scaled_tanh(lens_dense(x, "fc1", (lens_dense_opts){ .out = 120 }), "squash3");
    x = lens_scaled_tanh(lens_dense(x, "fc2", (lens_dense_opts){ .out = 100 }), "squash4");
    x = lens_dense(x, "fc3", (lens_dense_opts){ .out = o->classes });
    return lens_scaled_tanh(x, "squash5");
}

const zoo_net zoo_harley = {
    .entry = { .name = "harley",
               .what = "Harley's digit network: tanh, max pooling, 120-100-10",
               .paper = "Harley: An interactive node-link visualization of convolutional neural "
                        "networks. ISVC 2015",
               .channels = 1,
               .height = 32,
               .width = 32,
               .classes = 10,
               .optimizer = "sgd",
               .schedule = "onecycle",
               .init = "lecun",
               .rate = 0.05,
               .momentum = 0.9,
               .batch = 64 },
    .build = build,
};
