/* lenet5_1998.c - LeNet-5 as published (section II.B): C3 reads the S2 maps of table I, S2 and S4
 * are trainable sub-sampling, every layer up to F6 ends in 1.7159*tanh(2x/3), and the output is the
 * Euclidean distance to fixed 7x12 drawings of the ten digits.
 *
 *     layer   what                          output      trainable   connections
 *     C1      6 @ 5x5                       6x28x28           156       122,304
 *     S2      2x2 sum, coefficient, bias    6x14x14            12         5,880
 *     C3      16 @ 5x5, table I             16x10x10        1,516       151,600
 *     S4      as S2                         16x5x5             32         2,000
 *     C5      120 @ 5x5                     120x1x1        48,120        48,120
 *     F6      120 -> 84                     84             10,164        10,164
 *     output  10 radial basis units         10                  0           840
 *                                                          60,000       340,908
 *
 * With other than ten classes there are no drawings, so the centres of the output are trained.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

static lens_node *build(lens_net *net, const zoo_order *o) {
    const lens_pool_opts halve = { .kernel = { 2 } };
    lens_node *x = zoo_input(net, o);
    x = lens_conv2d(x, "c1", (lens_conv2d_opts){ .out = 6, .kernel = { 5 }, .pad = zoo_border(o) });
    x = lens_scaled_tanh(x, "c1.squash");
    x = lens_scaled_tanh(lens_subsample(x, "s2", halve), "s2.squash");
    x = lens_conv2d(x, "c3",
                    (lens_conv2d_opts){ .out = 16, .kernel = { 5 }, .table = "lenet5-c3" });
    x = lens_scaled_tanh(x, "c3.squash");
    x = lens_scaled_tanh(lens_subsample(x, "s4", halve), "s4.squash");
    x = lens_conv2d(x, "c5", (lens_conv2d_opts){ .out = 120, .kernel = { 5 } });
    x = lens_flatten(lens_scaled_tanh(x, "c5.squash"), "flatten");
    x = lens_scaled_tanh(lens_dense(x, "f6", (lens_dense_opts){ .out = 84 }), "f6.squash");
    return lens_rbf(
        x, "output",
        (lens_rbf_opts){ .out = o->classes, .codes = o->classes == 10 ? "lenet5" : NULL });
}

/* Gradient descent with momentum stands in for the paper's stochastic diagonal Levenberg-Marquardt method. */
const zoo_net zoo_lenet5_1998 = {
    .entry = { .name = "lenet5-1998",
               .what = "LeNet-5 as published: connection table, trainable sub-sampling, RBF output",
               .paper = "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to "
                        "document recognition. Proc. IEEE 86(11), 1998",
               .channels = 1,
               .height = 32,
               .width = 32,
               .classes = 10,
               .optimizer = "sgd",
               .schedule = "cosine",
               .init = "lecun",
               .rate = 0.0005,
               .momentum = 0.9,
               .batch = 16,
               .epochs = 20 },
    .build = build,
};
