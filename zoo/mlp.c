/* mlp.c - dense nets to compare with: the same pictures without convolution.
 *
 *     mlp-300-100   784 -> 300 -> 100 -> 10     235,500 + 30,100 + 1,010 = 266,610 parameters
 *     mlp-128-64    784 -> 128 -> 64 -> k       100,480 + 8,256 + 65k (109,386 with ten classes)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

static lens_node *build(lens_net *net, const zoo_order *o) {
    const int *hidden = o->row;
    lens_node *x = lens_flatten(zoo_input(net, o), "flatten");
    x = lens_relu(lens_dense(x, "fc1", (lens_dense_opts){ .out = hidden[0] }), "relu1");
    x = lens_relu(lens_dense(x, "fc2", (lens_dense_opts){ .out = hidden[1] }), "relu2");
    return lens_dense(x, "fc3", (lens_dense_opts){ .out = o->classes });
}

const zoo_net zoo_mlp[ZOO_MLPS] = {
    { .entry = { .name = "mlp-300-100",
                 .what = "dense net with 300 and 100 hidden units",
                 .paper = "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to "
                          "document recognition. Proc. IEEE 86(11), 1998",
                 ZOO_MNIST,
                 .optimizer = "sgd",
                 .schedule = "onecycle",
                 .init = "he",
                 .rate = 0.05,
                 .momentum = 0.9,
                 .batch = 64 },
      .build = build,
      .row = (const int[]){ 300, 100 } },
    { .entry = { .name = "mlp-128-64",
                 .what = "dense net with 128 and 64 hidden units",
                 .paper = "Microsoft AI-Edu: Neural networks, step by step, chapter 18",
                 ZOO_MNIST,
                 .optimizer = "sgd",
                 .init = "he",
                 .rate = 0.01,
                 .batch = 16 },
      .build = build,
      .row = (const int[]){ 128, 64 } },
};
