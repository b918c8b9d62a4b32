/* course.c - the six experiments of a course chapter, with its own learning rates and batches.
 *
 *                     input      convolutions (pool 2 after |)       dense         parameters      MACs
 *     course-color    3x28x28    2@1 | 3@3 |                         32 BN, 6           3,815    16,128
 *     course-shape    1x28x28    8@3 pad 1 | 16@3 |                  32 BN, 5          19,941   240,928
 *     course-both     3x28x28    8@3 pad 1 | 16@3 |                  32 BN, 9          20,217   353,952
 *     course-mnist    1x28x28    8@5 | 16@5 |                        32 BN, 10         12,042   328,512
 *     course-fashion  1x28x28    32@3 |                              128, 10          693,962   888,192
 *     course-cifar    3x32x32    32@3 pad 1, 32@3 | 64@3 pad 1, 64@3 |   512, 10    1,250,858  20,741,120
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

/* One convolution of `out` maps, ReLU. */
static lens_node *conv(lens_node *x, const char *name, int out, int kernel, int pad) {
    x = lens_conv2d(x, name, (lens_conv2d_opts){ .out = out, .kernel = { kernel }, .pad = pad });
    return lens_relu(x, NULL);
}

static lens_node *pool(lens_node *x) {
    return lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
}

/* 32 units with batch normalisation, then the classes: the head of four of the six. */
static lens_node *head(lens_node *x, int classes) {
    x = lens_dense(lens_flatten(x, NULL), "fc1", (lens_dense_opts){ .out = 32 });
    x = lens_relu(lens_batchnorm(x, "bn1", (lens_batchnorm_opts){ 0 }), NULL);
    return lens_dense(x, "fc2", (lens_dense_opts){ .out = classes });
}

static lens_node *build_color(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = pool(conv(x, "conv1", 2, 1, 0));
    x = pool(conv(x, "conv2", 3, 3, 0));
    return head(x, o->classes);
}

static lens_node *build_shape(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = pool(conv(x, "conv1", 8, 3, 1));
    x = pool(conv(x, "conv2", 16, 3, 0));
    return head(x, o->classes);
}

static lens_node *build_mnist(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = pool(conv(x, "conv1", 8, 5, 0));
    x = pool(conv(x, "conv2", 16, 5, 0));
    return head(x, o->classes);
}

static lens_node *build_fashion(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = pool(conv(x, "conv1", 32, 3, 0));
    x = lens_dense(lens_flatten(x, NULL), "fc1", (lens_dense_opts){ .out = 128 });
    return lens_dense(lens_relu(x, NULL), "fc2", (lens_dense_opts){ .out = o->classes });
}

static lens_node *build_cifar(lens_net *net, const zoo_order *o) {
    lens_node *x = zoo_input(net, o);
    x = conv(conv(x, "conv1", 32, 3, 1), "conv2", 32, 3, 0);
    x = lens_dropout(pool(x), NULL, 0.25f);
    x = conv(conv(x, "conv3", 64, 3, 1), "conv4", 64, 3, 0);
    x = lens_dropout(pool(x), NULL, 0.25f);
    x = lens_dense(lens_flatten(x, NULL), "fc1", (lens_dense_opts){ .out = 512 });
    x = lens_dropout(lens_relu(x, NULL), NULL, 0.5f);
    return lens_dense(x, "fc2", (lens_dense_opts){ .out = o->classes });
}

#define COURSE(NAME, WHAT, BUILD, ...)                                                             \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper = "Microsoft AI-Edu: Neural networks, step by step, chapter 18",         \
                   __VA_ARGS__ },                                                                  \
        .build = BUILD,                                                                            \
    }
#define GREY       .channels = 1, .height = 28, .width = 28
#define COLOUR     .channels = 3, .height = 28, .width = 28
#define SGD_HE     .optimizer = "sgd", .init = "he", .rate = 0.1, .batch = 16
#define SGD_XAVIER .optimizer = "sgd", .init = "xavier", .momentum = 0.9

const zoo_net zoo_course[ZOO_COURSES] = {
    COURSE("course-color", "tells six colours, whatever the shape", build_color, COLOUR,
           .classes = 6, SGD_HE),
    COURSE("course-shape", "tells five shapes in grey", build_shape, GREY, .classes = 5, SGD_HE),
    COURSE("course-both", "tells three shapes in three colours: nine classes", build_shape, COLOUR,
           .classes = 9, SGD_HE),
    COURSE("course-mnist", "two convolutions of 5x5 for handwritten digits", build_mnist, GREY,
           .classes = 10, SGD_XAVIER, .rate = 0.1, .batch = 128),
    /* The course's rate, constant 0.01, ends at 0.906; this at 0.918. */
    COURSE("course-fashion", "one convolution of 32 maps and 128 dense units for Fashion-MNIST",
           build_fashion, GREY, .classes = 10, SGD_XAVIER, .schedule = "cosine", .rate = 0.02,
           .batch = 32),
    COURSE("course-cifar", "four convolutions of 3x3 with dropout for CIFAR-10", build_cifar,
           ZOO_CIFAR, .optimizer = "rmsprop", .init = "xavier", .rate = 0.0001, .batch = 32),
};
