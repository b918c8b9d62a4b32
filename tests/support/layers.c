/* layers.c - the list; see layers.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/layers.h"
#include "test.h"

const unsigned char lenet5_c3[16 * 6] = {
    1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, /* 0..3 */
    1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, /* 4..7 */
    0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, /* 8..11 */
    1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, /* 12..15 */
};

static const unsigned char small_table[4 * 3] = { 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1 };

#define PADS(t, l, b, r) .top = t, .left = l, .bottom = b, .right = r
#define PAD(p)           PADS(p, p, p, p)
#define X(N, C, H, W)    .n = N, .c = C, .h = H, .w = W
#define K(H, W)          .kh = H, .kw = W
#define S(H, W)          .sh = H, .sw = W
#define D(H, W)          .dh = H, .dw = W

static layer list[] = {
    { .what = "conv 3x3", .ref = { .kind = REF_CONV, X(2, 3, 5, 7), .out = 4, K(3, 3) } },
    { .what = "conv 3x3, no bias",
      .ref = { .kind = REF_CONV, X(2, 3, 5, 7), .out = 4, K(3, 3), .no_bias = true } },
    { .what = "conv 5x3 /2x1 pad 1",
      .ref = { .kind = REF_CONV, X(2, 2, 9, 8), .out = 3, K(5, 3), S(2, 1), PAD(1) } },
    { .what = "conv 2x4, padding 0 2 1 1",
      .ref = { .kind = REF_CONV, X(1, 3, 7, 6), .out = 5, K(2, 4), PADS(0, 2, 1, 1) } },
    { .what = "conv 3x3, dilation 2x3",
      .ref = { .kind = REF_CONV, X(2, 2, 11, 13), .out = 3, K(3, 3), D(2, 3), PAD(2) } },
    { .what = "conv 3x2 /3x2, dilation 2, 2 groups",
      .ref = { .kind = REF_CONV,
               X(2, 4, 12, 10),
               .out = 6,
               K(3, 2),
               S(3, 2),
               D(2, 2),
               PAD(1),
               .groups = 2 } },
    { .what = "conv 3x3, one group a map",
      .ref = { .kind = REF_CONV, X(3, 5, 6, 6), .out = 5, K(3, 3), PAD(1), .groups = 5 } },
    { .what = "conv 3x3 /2, 3 groups",
      .ref = { .kind = REF_CONV, X(1, 6, 8, 9), .out = 9, K(3, 3), S(2, 2), .groups = 3 } },
    { .what = "conv 1x1", .ref = { .kind = REF_CONV, X(2, 7, 5, 4), .out = 9, K(1, 1) } },
    { .what = "conv 1x1 /2",
      .ref = { .kind = REF_CONV, X(2, 3, 5, 7), .out = 2, K(1, 1), S(2, 2) } },
    { .what = "conv 3x2 flipped",
      .ref = { .kind = REF_CONV, X(2, 2, 6, 5), .out = 3, K(3, 2), PAD(1), .flip = true } },
    { .what = "conv 3x2 flipped, 2 groups, /2",
      .ref = { .kind = REF_CONV,
               X(2, 4, 7, 8),
               .out = 4,
               K(3, 2),
               S(2, 2),
               .groups = 2,
               .flip = true } },
    { .what = "conv 3x2 full",
      .ref = { .kind = REF_CONV, X(2, 2, 4, 5), .out = 2, K(3, 2), PADS(2, 1, 2, 1), .flip = true },
      .mode = LENS_FULL },
    { .what = "conv 4x2 same",
      .ref = { .kind = REF_CONV, X(2, 2, 6, 7), .out = 3, K(4, 2), PADS(1, 0, 2, 1) },
      .mode = LENS_SAME },
    { .what = "conv 3x3 same, /2, dilation 2",
      .ref = { .kind = REF_CONV, X(1, 2, 9, 8), .out = 3, K(3, 3), S(2, 2), D(2, 2), PAD(2) },
      .mode = LENS_SAME },
    { .what = "conv LeNet C1",
      .ref = { .kind = REF_CONV, X(2, 1, 28, 28), .out = 6, K(5, 5), PAD(2) } },
    { .what = "conv LeNet C3, table",
      .ref = { .kind = REF_CONV, X(2, 6, 14, 14), .out = 16, K(5, 5), .connected = lenet5_c3 },
      .table = "lenet5-c3" },
    { .what = "conv 3x3, small table",
      .ref = { .kind = REF_CONV,
               X(2, 3, 5, 6),
               .out = 4,
               K(3, 3),
               PAD(1),
               .connected = small_table },
      .table = "0 1;1 2;0 1 2;2" },
    { .what = "conv 3x2 /2 flipped, small table",
      .ref = { .kind = REF_CONV,
               X(2, 3, 7, 6),
               .out = 4,
               K(3, 2),
               S(2, 2),
               .connected = small_table,
               .flip = true },
      .table = "0 1;1 2;0 1 2;2" },
    { .what = "conv as large as the picture",
      .ref = { .kind = REF_CONV, X(3, 4, 5, 5), .out = 7, K(5, 5) } },
    { .what = "conv 1x7",
      .ref = { .kind = REF_CONV, X(1, 3, 4, 17), .out = 2, K(1, 7), PADS(0, 3, 0, 3) } },
    { .what = "conv 7x1",
      .ref = { .kind = REF_CONV, X(1, 3, 17, 4), .out = 2, K(7, 1), PADS(3, 0, 3, 0) } },
    { .what = "conv 2x2 /3: cells nobody reads",
      .ref = { .kind = REF_CONV, X(2, 2, 8, 11), .out = 3, K(2, 2), S(3, 3) } },
    { .what = "conv 3x3 on one pixel",
      .ref = { .kind = REF_CONV, X(4, 3, 1, 1), .out = 5, K(3, 3), PAD(1) } },
    { .what = "conv 3x3, 16 to 32 maps",
      .ref = { .kind = REF_CONV, X(2, 16, 13, 11), .out = 32, K(3, 3), PAD(1) } },
    { .what = "conv 3x3, 17 to 33 maps",
      .ref = { .kind = REF_CONV, X(1, 17, 9, 19), .out = 33, K(3, 3), PAD(1) } },
    { .what = "conv 3x3 /2, several pictures to a weight gradient",
      .ref = { .kind = REF_CONV, X(9, 17, 29, 27), .out = 17, K(3, 3), S(2, 2), PAD(1) } },
    { .what = "conv 1x1, a picture in several steps",
      .ref = { .kind = REF_CONV, X(9, 33, 21, 20), .out = 18, K(1, 1) } },
    { .what = "conv 2x2, 2 groups of 16 maps, several small pictures to a step",
      .ref = { .kind = REF_CONV, X(20, 32, 4, 5), .out = 34, K(2, 2), .groups = 2 } },
    { .what = "conv 11x11 /4",
      .ref = { .kind = REF_CONV, X(1, 3, 35, 31), .out = 8, K(11, 11), S(4, 4), PAD(2) } },
    { .what = "conv 7x7 /2",
      .ref = { .kind = REF_CONV, X(1, 3, 29, 27), .out = 10, K(7, 7), S(2, 2), PAD(3) } },
    { .what = "conv 3x3, padding larger than the kernel",
      .ref = { .kind = REF_CONV, X(1, 2, 3, 4), .out = 2, K(3, 3), PADS(4, 5, 3, 4) } },
    { .what = "conv1d 3",
      .ref = { .kind = REF_CONV, X(2, 2, 1, 11), .out = 3, K(1, 3) },
      .sequence = true },
    { .what = "conv1d 4 /2, dilation 2, padding 3 1",
      .ref = { .kind = REF_CONV,
               X(3, 4, 1, 17),
               .out = 6,
               K(1, 4),
               S(1, 2),
               D(1, 2),
               PADS(0, 3, 0, 1),
               .groups = 2 },
      .sequence = true },
    { .what = "conv1d full, flipped",
      .ref = { .kind = REF_CONV,
               X(1, 1, 1, 14),
               .out = 2,
               K(1, 4),
               PADS(0, 3, 0, 3),
               .flip = true },
      .mode = LENS_FULL,
      .sequence = true },

    { .what = "transposed 3x3",
      .ref = { .kind = REF_CONV_TRANSPOSE, X(2, 3, 4, 5), .out = 2, K(3, 3) } },
    { .what = "transposed 3x3 /2 pad 1, extra 1",
      .ref = { .kind = REF_CONV_TRANSPOSE,
               X(2, 3, 4, 5),
               .out = 4,
               K(3, 3),
               S(2, 2),
               PAD(1),
               .extra_h = 1,
               .extra_w = 1 } },
    { .what = "transposed 2x2 /2",
      .ref = { .kind = REF_CONV_TRANSPOSE,
               X(1, 4, 3, 3),
               .out = 3,
               K(2, 2),
               S(2, 2),
               .no_bias = true } },
    { .what = "transposed 4x3 /3x2, dilation 2, 2 groups",
      .ref = { .kind = REF_CONV_TRANSPOSE,
               X(2, 4, 3, 4),
               .out = 6,
               K(4, 3),
               S(3, 2),
               D(2, 2),
               PAD(1),
               .extra_h = 2,
               .groups = 2 } },
    { .what = "transposed 3x2, padding 1 0 2 1",
      .ref = { .kind = REF_CONV_TRANSPOSE, X(1, 2, 5, 6), .out = 3, K(3, 2), PADS(1, 0, 2, 1) } },

    { .what = "dense", .ref = { .kind = REF_DENSE, X(5, 7, 1, 1), .out = 3 }, .features = true },
    { .what = "dense on a picture", .ref = { .kind = REF_DENSE, X(3, 4, 5, 6), .out = 11 } },
    { .what = "dense 1 to 1",
      .ref = { .kind = REF_DENSE, X(1, 1, 1, 1), .out = 1 },
      .features = true },
    { .what = "dense, no bias",
      .ref = { .kind = REF_DENSE, X(33, 17, 1, 1), .out = 9, .no_bias = true },
      .features = true },
    { .what = "dense 84 to 10",
      .ref = { .kind = REF_DENSE, X(64, 84, 1, 1), .out = 10 },
      .features = true },
    { .what = "dense, one sample",
      .ref = { .kind = REF_DENSE, X(1, 131, 1, 1), .out = 67 },
      .features = true },

    { .what = "maxpool 2x2", .ref = { .kind = REF_MAXPOOL, X(2, 3, 6, 8), K(2, 2) } },
    { .what = "maxpool 2x2, a row and column left over",
      .ref = { .kind = REF_MAXPOOL, X(2, 3, 7, 9), K(2, 2) } },
    { .what = "maxpool 3x3 /2, overlapping",
      .ref = { .kind = REF_MAXPOOL, X(2, 2, 9, 7), K(3, 3), S(2, 2) } },
    { .what = "maxpool 3x2 /1x3, padding 1 0 0 1",
      .ref = { .kind = REF_MAXPOOL, X(1, 2, 8, 9), K(3, 2), S(1, 3), PADS(1, 0, 0, 1) } },
    { .what = "maxpool 3x3 /2 ceil",
      .ref = { .kind = REF_MAXPOOL, X(2, 2, 8, 10), K(3, 3), S(2, 2), .ceil = true } },
    { .what = "maxpool 2x2 /3 pad 1 ceil, window dropped",
      .ref = { .kind = REF_MAXPOOL, X(1, 2, 5, 6), K(2, 2), S(3, 3), PAD(1), .ceil = true } },
    { .what = "maxpool 17x16: more than 256 cells",
      .ref = { .kind = REF_MAXPOOL, X(2, 2, 21, 19), K(17, 16), S(2, 3), PADS(3, 2, 1, 0) } },
    { .what = "maxpool 3 of a sequence",
      .ref = { .kind = REF_MAXPOOL, X(2, 3, 1, 11), K(1, 3), S(1, 2), PADS(0, 1, 0, 1) },
      .sequence = true },
    { .what = "avgpool 2x2", .ref = { .kind = REF_AVGPOOL, X(2, 3, 6, 8), K(2, 2) } },
    { .what = "avgpool 3x3 /2 pad 1",
      .ref = { .kind = REF_AVGPOOL, X(2, 2, 7, 9), K(3, 3), S(2, 2), PAD(1) } },
    { .what = "avgpool 3x3 /2 pad 1, excluded",
      .ref = { .kind = REF_AVGPOOL,
               X(2, 2, 7, 9),
               K(3, 3),
               S(2, 2),
               PAD(1),
               .exclude_pad = true } },
    { .what = "avgpool 3x3 /2 ceil pad 1",
      .ref = { .kind = REF_AVGPOOL, X(1, 2, 8, 10), K(3, 3), S(2, 2), PAD(1), .ceil = true } },
    { .what = "avgpool 3x4 /2 ceil, padding 0 1 1 2, excluded",
      .ref = { .kind = REF_AVGPOOL,
               X(1, 2, 8, 9),
               K(3, 4),
               S(2, 2),
               PADS(0, 1, 1, 2),
               .ceil = true,
               .exclude_pad = true } },
    { .what = "avgpool 3x4 /2 ceil, padding 0 1 1 2",
      .ref = { .kind = REF_AVGPOOL,
               X(1, 2, 8, 9),
               K(3, 4),
               S(2, 2),
               PADS(0, 1, 1, 2),
               .ceil = true } },
    { .what = "sumpool 2x3 /1x2", .ref = { .kind = REF_SUMPOOL, X(2, 2, 5, 8), K(2, 3), S(1, 2) } },
    { .what = "sumpool 3x3 pad 1", .ref = { .kind = REF_SUMPOOL, X(1, 3, 7, 7), K(3, 3), PAD(1) } },
    { .what = "subsample 2x2", .ref = { .kind = REF_SUBSAMPLE, X(3, 6, 8, 10), K(2, 2) } },
    { .what = "subsample 3x2 /2x1 pad 1",
      .ref = { .kind = REF_SUBSAMPLE, X(2, 3, 7, 6), K(3, 2), S(2, 1), PAD(1) } },
    { .what = "adaptive avg 7x5 to 3x2",
      .ref = { .kind = REF_ADAPTIVE_AVG, X(2, 3, 7, 5), .oh = 3, .ow = 2 } },
    { .what = "adaptive avg 4x6 to 6x9",
      .ref = { .kind = REF_ADAPTIVE_AVG, X(1, 2, 4, 6), .oh = 6, .ow = 9 } },
    { .what = "adaptive max 7x5 to 3x2",
      .ref = { .kind = REF_ADAPTIVE_MAX, X(2, 3, 7, 5), .oh = 3, .ow = 2 } },
    { .what = "adaptive max 4x6 to 6x9",
      .ref = { .kind = REF_ADAPTIVE_MAX, X(1, 2, 4, 6), .oh = 6, .ow = 9 } },
    { .what = "global avg", .ref = { .kind = REF_ADAPTIVE_AVG, X(3, 5, 7, 6), .oh = 1, .ow = 1 } },
    { .what = "global max",
      .ref = { .kind = REF_ADAPTIVE_MAX, X(3, 5, 19, 17), .oh = 1, .ow = 1 } },
    { .what = "global max over time",
      .ref = { .kind = REF_ADAPTIVE_MAX, X(3, 5, 1, 17), .oh = 1, .ow = 1 },
      .sequence = true },

    { .what = "relu", .ref = { .kind = REF_RELU, X(2, 3, 5, 7) } },
    { .what = "leaky relu", .ref = { .kind = REF_LEAKY, X(2, 3, 5, 7), .slope = 0.125 } },
    { .what = "tanh", .ref = { .kind = REF_TANH, X(2, 3, 5, 7) } },
    { .what = "scaled tanh", .ref = { .kind = REF_SCALED_TANH, X(2, 3, 5, 7) } },
    { .what = "sigmoid", .ref = { .kind = REF_SIGMOID, X(2, 3, 5, 7) } },
    { .what = "rbf", .ref = { .kind = REF_RBF, X(4, 9, 1, 1), .out = 5 }, .features = true },
    { .what = "rbf on a picture", .ref = { .kind = REF_RBF, X(2, 3, 5, 2), .out = 7 } },
    { .what = "batch norm", .ref = { .kind = REF_BATCHNORM, X(4, 3, 5, 7), .eps = 1e-3 } },
    { .what = "batch norm of features",
      .ref = { .kind = REF_BATCHNORM, X(7, 19, 1, 1), .eps = 1e-3 },
      .features = true },
    { .what = "batch norm of a sequence",
      .ref = { .kind = REF_BATCHNORM, X(3, 4, 1, 9), .eps = 1e-3 },
      .sequence = true },
    { .what = "batch norm, frozen",
      .ref = { .kind = REF_BATCHNORM_FROZEN, X(4, 3, 5, 7), .eps = 1e-3 } },
    { .what = "batch norm of features, frozen",
      .ref = { .kind = REF_BATCHNORM_FROZEN, X(6, 5, 1, 1), .eps = 1e-3 },
      .features = true },
    { .what = "lrn of 5 channels",
      .ref = { .kind = REF_LRN,
               X(2, 9, 3, 5),
               .window = 5,
               .alpha = 0.5,
               .beta = 0.75,
               .k = 2,
               .undivided = true } },
    { .what = "lrn of 4 channels, alpha divided",
      .ref = { .kind = REF_LRN, X(2, 7, 4, 3), .window = 4, .alpha = 2, .beta = 0.5, .k = 1 } },
    { .what = "lrn, more positions than a tile",
      .ref = { .kind = REF_LRN, X(1, 3, 9, 15), .window = 3, .alpha = 1, .beta = 0.75, .k = 1 } },
    { .what = "lrn of features, a window wider than they are",
      .ref = { .kind = REF_LRN, X(3, 6, 1, 1), .window = 17, .alpha = 1, .beta = 1.25, .k = 0.5 },
      .features = true },
    { .what = "shortcut /2, twice the channels",
      .ref = { .kind = REF_SHORTCUT, X(2, 4, 6, 8), .out = 8, S(2, 2) } },
    { .what = "shortcut /3x2, an odd number of new channels",
      .ref = { .kind = REF_SHORTCUT, X(3, 2, 8, 9), .out = 5, S(3, 2) } },
    { .what = "shortcut of a sequence",
      .ref = { .kind = REF_SHORTCUT, X(2, 3, 1, 7), .out = 3, S(1, 2) },
      .sequence = true },
    { .what = "softmax", .ref = { .kind = REF_SOFTMAX, X(5, 11, 1, 1) }, .features = true },
    { .what = "softmax at each position", .ref = { .kind = REF_SOFTMAX, X(2, 5, 3, 7) } },
};

const layer *layers(size_t *count) {
    *count = sizeof list / sizeof *list;
    for (size_t i = 0; i < *count; i++)
        if (!ref_plan(&list[i].ref)) fail_msg("%s: the kernel does not fit", list[i].what);
    return list;
}

static lens_conv2d_opts conv_opts(const layer *l) {
    const ref_op *r = &l->ref;
    lens_conv2d_opts o = { .out = r->out,
                           .kernel = { r->kh, r->kw },
                           .stride = { r->sh, r->sw },
                           .dilation = { r->dh, r->dw },
                           .mode = l->mode,
                           .groups = r->groups,
                           .no_bias = r->no_bias,
                           .flip = r->flip,
                           .table = l->table };
    if (l->mode) return o;
    if (l->sequence) {
        o.pads[0] = r->left, o.pads[1] = r->right;
    } else {
        int pads[4] = { r->top, r->left, r->bottom, r->right };
        memcpy(o.pads, pads, sizeof pads);
    }
    return o;
}

static lens_pool_opts pool_opts(const layer *l) {
    const ref_op *r = &l->ref;
    lens_pool_opts o = { .kernel = { r->kh, r->kw },
                         .stride = { r->sh, r->sw },
                         .ceil = r->ceil,
                         .exclude_pad = r->exclude_pad };
    if (l->sequence) {
        o.pads[0] = r->left, o.pads[1] = r->right;
    } else {
        int pads[4] = { r->top, r->left, r->bottom, r->right };
        memcpy(o.pads, pads, sizeof pads);
    }
    return o;
}

lens_node *layer_build(lens_node *x, const layer *l) {
    static const char name[] = "layer";
    const ref_op *r = &l->ref;
    bool global = r->oh == 1 && r->ow == 1;
    lens_size out = { r->oh, r->ow };
    if (l->features) x = lens_flatten(x, "features");
    switch (r->kind) {
    case REF_CONV:
        return l->sequence ? lens_conv1d(x, name, conv_opts(l))
                           : lens_conv2d(x, name, conv_opts(l));
    case REF_CONV_TRANSPOSE:
        return lens_conv_transpose2d(
            x, name,
            (lens_conv_transpose2d_opts){ .out = r->out,
                                          .kernel = { r->kh, r->kw },
                                          .stride = { r->sh, r->sw },
                                          .dilation = { r->dh, r->dw },
                                          .pads = { r->top, r->left, r->bottom, r->right },
                                          .extra = { r->extra_h, r->extra_w },
                                          .groups = r->groups,
                                          .no_bias = r->no_bias });
    case REF_DENSE:
        return lens_dense(x, name, (lens_dense_opts){ .out = r->out, .no_bias = r->no_bias });
    case REF_MAXPOOL: return lens_maxpool(x, name, pool_opts(l));
    case REF_AVGPOOL: return lens_avgpool(x, name, pool_opts(l));
    case REF_SUMPOOL: return lens_sumpool(x, name, pool_opts(l));
    case REF_SUBSAMPLE: return lens_subsample(x, name, pool_opts(l));
    case REF_ADAPTIVE_AVG:
        return global ? lens_global_avgpool(x, name)
                      : lens_adaptive_avgpool(x, name, (lens_adaptive_opts){ out });
    case REF_ADAPTIVE_MAX:
        return global ? lens_global_maxpool(x, name)
                      : lens_adaptive_maxpool(x, name, (lens_adaptive_opts){ out });
    case REF_RELU: return lens_relu(x, name);
    case REF_LEAKY: return lens_leaky_relu(x, name, (float)r->slope);
    case REF_TANH: return lens_tanh(x, name);
    case REF_SCALED_TANH: return lens_scaled_tanh(x, name);
    case REF_SIGMOID: return lens_sigmoid(x, name);
    case REF_RBF: return lens_rbf(x, name, (lens_rbf_opts){ .out = r->out });
    case REF_BATCHNORM:
    case REF_BATCHNORM_FROZEN:
        return lens_batchnorm(x, name, (lens_batchnorm_opts){ .eps = (float)r->eps });
    case REF_LRN:
        return lens_lrn(x, name,
                        (lens_lrn_opts){ .n = r->window,
                                         .alpha = (float)r->alpha,
                                         .beta = (float)r->beta,
                                         .k = (float)r->k,
                                         .undivided = r->undivided });
    case REF_SHORTCUT:
        return lens_shortcut(x, name,
                             (lens_shortcut_opts){ .out = r->out, .stride = { r->sh, r->sw } });
    case REF_SOFTMAX: return lens_softmax(x, name);
    case REF_KINDS: break;
    }
    return NULL;
}
