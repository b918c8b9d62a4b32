/* alexnet.c - AlexNet as published, on two processors, and in the one-tower form that PyTorch keeps.
 *
 *     alexnet-2012 (3x227x227)                     parameters   alexnet (3x224x224)       parameters
 *     conv1 96@11/4            -> 96x55x55             34,944   64@11/4 pad 2 -> 64x55x55     23,296
 *     LRN, max 3/2             -> 96x27x27                      max 3/2 -> 27
 *     conv2 256@5 pad 2, two groups -> 256x27x27      307,456   192@5 pad 2                  307,392
 *     LRN, max 3/2             -> 256x13x13                     max 3/2 -> 13
 *     conv3 384@3 pad 1                               885,120   384@3 pad 1                  663,936
 *     conv4 384@3 pad 1, two groups                   663,936   256@3 pad 1                  884,992
 *     conv5 256@3 pad 1, two groups, max 3/2 -> 6     442,624   256@3 pad 1, max 3/2 -> 6    590,080
 *     fc6 9216 -> 4096, dropout                    37,752,832   the same
 *     fc7 4096 -> 4096, dropout                    16,781,312
 *     fc8 4096 -> 1000                              4,097,000
 *                                                  60,965,224                             61,100,840
 *
 * The paper prints 224 as its input, but 55x55 maps need 227. A group sees what its processor held;
 * conv3 and the dense layers see both halves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

static const lens_pool_opts pool3 = { .kernel = { 3 }, .stride = { 2 } };

/* ReLU, response normalisation, overlapping pooling: sections 3.1, 3.3 and 3.4. */
static lens_node *norm_pool(lens_node *x, int number) {
    const lens_lrn_opts lrn = { .n = 5, .alpha = 1e-4f, .beta = 0.75f, .k = 2, .undivided = true };
    x = lens_lrn(lens_relu(x, ZOO_NAME("relu%d", number)), ZOO_NAME("norm%d", number), lrn);
    return lens_maxpool(x, ZOO_NAME("pool%d", number), pool3);
}

static lens_node *build_2012(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 96, .kernel = { 11 }, .stride = { 4 } });
    x = norm_pool(x, 1);
    x = lens_conv2d(x, "conv2",
                    (lens_conv2d_opts){ .out = 256, .kernel = { 5 }, .pad = 2, .groups = 2 });
    x = norm_pool(x, 2);
    x = lens_conv2d(x, "conv3", (lens_conv2d_opts){ .out = 384, .kernel = { 3 }, .pad = 1 });
    x = lens_relu(x, "relu3");
    x = lens_conv2d(x, "conv4",
                    (lens_conv2d_opts){ .out = 384, .kernel = { 3 }, .pad = 1, .groups = 2 });
    x = lens_relu(x, "relu4");
    x = lens_conv2d(x, "conv5",
                    (lens_conv2d_opts){ .out = 256, .kernel = { 3 }, .pad = 1, .groups = 2 });
    x = lens_flatten(lens_maxpool(lens_relu(x, "relu5"), "pool5", pool3), "flatten");
    x = lens_relu(lens_dense(x, "fc6", (lens_dense_opts){ .out = 4096 }), "relu6");
    x = lens_dense(lens_dropout(x, "drop6", 0.5f), "fc7", (lens_dense_opts){ .out = 4096 });
    x = lens_dropout(lens_relu(x, "relu7"), "drop7", 0.5f);
    return lens_dense(x, "fc8", (lens_dense_opts){ .out = o->classes });
}

static lens_node *build(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = lens_conv2d(x, "features.0",
                    (lens_conv2d_opts){ .out = 64, .kernel = { 11 }, .stride = { 4 }, .pad = 2 });
    x = lens_maxpool(lens_relu(x, "features.1"), "features.2", pool3);
    x = lens_conv2d(x, "features.3", (lens_conv2d_opts){ .out = 192, .kernel = { 5 }, .pad = 2 });
    x = lens_maxpool(lens_relu(x, "features.4"), "features.5", pool3);
    x = lens_conv2d(x, "features.6", (lens_conv2d_opts){ .out = 384, .kernel = { 3 }, .pad = 1 });
    x = lens_relu(x, "features.7");
    x = lens_conv2d(x, "features.8", (lens_conv2d_opts){ .out = 256, .kernel = { 3 }, .pad = 1 });
    x = lens_relu(x, "features.9");
    x = lens_conv2d(x, "features.10", (lens_conv2d_opts){ .out = 256, .kernel = { 3 }, .pad = 1 });
    x = lens_maxpool(lens_relu(x, "features.11"), "features.12", pool3);
    x = lens_adaptive_avgpool(x, "avgpool", (lens_adaptive_opts){ .out = { 6 } });
    x = lens_dropout(lens_flatten(x, "flatten"), "classifier.0", 0.5f);
    x = lens_dense(x, "classifier.1", (lens_dense_opts){ .out = 4096 });
    x = lens_dropout(lens_relu(x, "classifier.2"), "classifier.3", 0.5f);
    x = lens_dense(x, "classifier.4", (lens_dense_opts){ .out = 4096 });
    x = lens_relu(x, "classifier.5");
    return lens_dense(x, "classifier.6", (lens_dense_opts){ .out = o->classes });
}

/* Section 5. The rate falls when the validation error stalls, three times. Biases start at 0 here, where
 * the paper has 1 in some layers. 227 of 256 pixels serve as the input of alexnet-2012. */
#define RECIPE                                                                                     \
    .optimizer = "sgd", .schedule = "plateau:5,0.1", .init = "normal:0.01", .rate = 0.01,          \
    .momentum = 0.9, .weight_decay = 0.0005, .batch = 128, .epochs = 90, ZOO_CROP

const zoo_net zoo_alexnet[ZOO_ALEXNETS] = {
    { .entry = { .name = "alexnet",
                 .what = "AlexNet with one tower and without response normalisation, as in PyTorch",
                 .paper = "Krizhevsky: One weird trick for parallelizing convolutional neural "
                          "networks. arXiv:1404.5997, 2014",
                 ZOO_IMAGENET,
                 RECIPE },
      .build = build },
    { .entry = { .name = "alexnet-2012",
                 .what = "AlexNet as published: two towers, response normalisation",
                 .paper = "Krizhevsky, Sutskever, Hinton: ImageNet classification with deep "
                          "convolutional neural networks. NIPS 2012",
                 .channels = 3,
                 .height = 227,
                 .width = 227,
                 .classes = 1000,
                 RECIPE },
      .build = build_2012 },
};
