/* googlenet.c - nine inception modules: four branches side by side, joined by channels.
 *
 * googlenet-v1 is the paper's net with biases and response normalisation, 6,998,552 parameters.
 * googlenet is PyTorch's: batch normalisation (eps 0.001) instead, a 3x3 kernel where the paper has
 * 5x5, a 2x2 fourth pooling, 6,624,904 parameters. Neither has the auxiliary classifiers, which
 * exist in training only.
 *
 *     conv1 64@7/2 pad 3, max 3/2 ceil       -> 64x56x56
 *     conv2 64@1, conv3 192@3, max 3/2 ceil  -> 192x28x28
 *     module table below, mean over 7x7, dropout, 1024 -> 1000
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

typedef struct googlenet {
    bool v1;
    int kernel5, pool4;
    float drop;
} googlenet;

static const struct inception {
    const char *name;
    int maps1, reduce3, maps3, reduce5, maps5, maps_pool;
    int pool_after; /* the number of the max pooling that follows */
} inceptions[] = {
    { "inception3a", 64, 96, 128, 16, 32, 32, 0 },
    { "inception3b", 128, 128, 192, 32, 96, 64, 3 },
    { "inception4a", 192, 96, 208, 16, 48, 64, 0 },
    { "inception4b", 160, 112, 224, 24, 64, 64, 0 },
    { "inception4c", 128, 128, 256, 24, 64, 64, 0 },
    { "inception4d", 112, 144, 288, 32, 64, 64, 0 },
    { "inception4e", 256, 160, 320, 32, 128, 128, 4 },
    { "inception5a", 256, 160, 320, 32, 128, 128, 0 },
    { "inception5b", 384, 192, 384, 48, 128, 128, 0 },
};

static lens_node *conv(lens_node *x, const googlenet *g, const char *name, int maps, int kernel,
                       int stride) {
    x = lens_conv2d(x, ZOO_NAME("%s.conv", name),
                    (lens_conv2d_opts){ .out = maps,
                                        .kernel = { kernel },
                                        .stride = { stride },
                                        .pad = kernel / 2,
                                        .no_bias = !g->v1 });
    if (!g->v1)
        x = lens_batchnorm(x, ZOO_NAME("%s.bn", name), (lens_batchnorm_opts){ .eps = 0.001f });
    return lens_relu(x, ZOO_NAME("%s.relu", name));
}

static lens_node *module(lens_node *x, const googlenet *g, const struct inception *m) {
    const lens_pool_opts around = { .kernel = { 3 }, .stride = { 1 }, .pad = 1 };
    lens_node *branch[4];
    branch[0] = conv(x, g, ZOO_NAME("%s.branch1", m->name), m->maps1, 1, 1);
    branch[1] = conv(x, g, ZOO_NAME("%s.branch2.0", m->name), m->reduce3, 1, 1);
    branch[1] = conv(branch[1], g, ZOO_NAME("%s.branch2.1", m->name), m->maps3, 3, 1);
    branch[2] = conv(x, g, ZOO_NAME("%s.branch3.0", m->name), m->reduce5, 1, 1);
    branch[2] = conv(branch[2], g, ZOO_NAME("%s.branch3.1", m->name), m->maps5, g->kernel5, 1);
    branch[3] = lens_maxpool(x, ZOO_NAME("%s.branch4.0", m->name), around);
    branch[3] = conv(branch[3], g, ZOO_NAME("%s.branch4.1", m->name), m->maps_pool, 1, 1);
    return lens_concat(branch, 4, ZOO_NAME("%s.concat", m->name));
}

static lens_node *pool(lens_node *x, int number, int kernel) {
    return lens_maxpool(x, ZOO_NAME("maxpool%d", number),
                        (lens_pool_opts){ .kernel = { kernel }, .stride = { 2 }, .ceil = true });
}

/* The paper gives no numbers; these are its Caffe replica's. */
static lens_node *norm(lens_node *x, const googlenet *g, int number) {
    const lens_lrn_opts lrn = { .n = 5, .alpha = 1e-4f, .beta = 0.75f };
    return g->v1 ? lens_lrn(x, ZOO_NAME("norm%d", number), lrn) : x;
}

static lens_node *build(lens_net *net, const zoo_order *o) {
    const googlenet *g = o->row;
    lens_node *x = conv(zoo_input(net, o), g, "conv1", 64, 7, 2);
    x = norm(pool(x, 1, 3), g, 1);
    x = conv(conv(x, g, "conv2", 64, 1, 1), g, "conv3", 192, 3, 1);
    x = pool(norm(x, g, 2), 2, 3);
    for (size_t i = 0; i < sizeof inceptions / sizeof *inceptions; i++) {
        int after = inceptions[i].pool_after;
        x = module(x, g, &inceptions[i]);
        if (after) x = pool(x, after, after == 4 ? g->pool4 : 3);
    }
    x = lens_dropout(lens_flatten(lens_global_avgpool(x, "avgpool"), "flatten"), "dropout",
                     g->drop);
    return lens_dense(x, "fc", (lens_dense_opts){ .out = o->classes });
}

/* Rate, decay and batch are the Caffe replica's, as the paper has none. */
#define GOOGLENET(NAME, WHAT, ...)                                                                 \
    {                                                                                              \
        .entry = { .name = NAME,                                                                   \
                   .what = WHAT,                                                                   \
                   .paper = "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, "      \
                            "Rabinovich: Going deeper with convolutions. CVPR 2015",               \
                   ZOO_IMAGENET,                                                                   \
                   .optimizer = "sgd",                                                             \
                   .schedule = "step:8,0.96",                                                      \
                   .init = "xavier",                                                               \
                   .rate = 0.01,                                                                   \
                   .momentum = 0.9,                                                                \
                   .weight_decay = 0.0002,                                                         \
                   .batch = 32 },                                                                  \
        .build = build, .row = &(const googlenet) {                                                \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

const zoo_net zoo_googlenet[ZOO_GOOGLENETS] = {
    GOOGLENET("googlenet", "GoogLeNet with batch normalisation, as in PyTorch", .kernel5 = 3,
              .pool4 = 2, .drop = 0.2f),
    GOOGLENET("googlenet-v1", "GoogLeNet as published: response normalisation, 5x5 branches",
              .v1 = true, .kernel5 = 5, .pool4 = 3, .drop = 0.4f),
};
