/* googlenet.c - nine inception modules: four branches side by side, joined by channels.
 *
 * googlenet-v1 is the paper's net with biases and response normalisation, 6,998,552 parameters.
 * googlenet is PyTorch's: batch normalisation (eps 0.001) instead, a 3x3 kernel where the paper has
 * 5x5, a 2x2 fourth pooling, 6,624,904 parameters. Two auxiliary classifiers behind 4a and 4d, with 0.3 of
 * their losses, exist in training only: 6,379,728 parameters more, PyTorch's 6,379,984.
 *
 *     conv1 64@7/2 pad 3, max 3/2 ceil       -> 64x56x56
 *     conv2 64@1, conv3 192@3, max 3/2 ceil  -> 192x28x28
 *     module table below, mean over 7x7, dropout, 1024 -> 1000
 *     aux: mean 5x5/3 (PyTorch: adaptive) -> 4x4, 128@1, 2048 -> 1024, dropout 0.7, -> 1000
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
    int pool_after; /* the number of the max pooling that follows, */
    int aux_after;  /* of the auxiliary classifier; 0: none */
} inceptions[] = {
    { "inception3a", 64, 96, 128, 16, 32, 32, 0 },
    { "inception3b", 128, 128, 192, 32, 96, 64, 3 },
    { "inception4a", 192, 96, 208, 16, 48, 64, 0, 1 },
    { "inception4b", 160, 112, 224, 24, 64, 64, 0 },
    { "inception4c", 128, 128, 256, 24, 64, 64, 0 },
    { "inception4d", 112, 144, 288, 32, 64, 64, 0, 2 },
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

/* Pictures so small that 5x5 does not fit have their mean taken over what there is. */
static lens_node *aux_pool(lens_node *x, const googlenet *g, const char *name) {
    lens_node_info maps;
    if (!x) return NULL;
    if (!g->v1) return lens_adaptive_avgpool(x, name, (lens_adaptive_opts){ .out = { 4 } });
    lens_node_info_get(x, &maps);
    return lens_avgpool(
        x, name,
        (lens_pool_opts){ .kernel = { maps.h < 5 ? maps.h : 5, maps.w < 5 ? maps.w : 5 },
                          .stride = { 3 } });
}

static void aux(lens_node *x, const googlenet *g, int number, int classes) {
    const char *name = ZOO_NAME("aux%d", number);
    x = aux_pool(x, g, ZOO_NAME("%s.avgpool", name));
    x = conv(x, g, ZOO_NAME("%s.conv", name), 128, 1, 1);
    x = lens_dense(lens_flatten(x, ZOO_NAME("%s.flatten", name)), ZOO_NAME("%s.fc1", name),
                   (lens_dense_opts){ .out = 1024 });
    x = lens_dropout(lens_relu(x, ZOO_NAME("%s.relu", name)), ZOO_NAME("%s.dropout", name), 0.7f);
    x = lens_dense(x, ZOO_NAME("%s.fc2", name), (lens_dense_opts){ .out = classes });
    lens_output(x, name, (lens_output_opts){ .weight = 0.3f, .training = true });
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
        if (inceptions[i].aux_after) aux(x, g, inceptions[i].aux_after, o->classes);
        if (after) x = pool(x, after, after == 4 ? g->pool4 : 3);
    }
    x = lens_dropout(lens_flatten(lens_global_avgpool(x, "avgpool"), "flatten"), "dropout",
                     g->drop);
    return lens_dense(x, "fc", (lens_dense_opts){ .out = o->classes });
}

/* Rate, decay, batch and epochs are the Caffe replica's, as the paper has none. */
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
                   .batch = 32,                                                                    \
                   .augment = "resized-crop,mirror,jitter",                                        \
                   .epochs = 60 },                                                                 \
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
