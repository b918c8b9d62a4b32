/* zoo.h - what the nets of this folder share: one row for each net, with its builder.
 *
 * A new net is one file with a zoo_net, and one line in the list of zoo.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_ZOO_H
#define ZOO_ZOO_H

#include <lenslet/zoo.h>

typedef struct zoo_net {
    lens_zoo_entry entry;
    /* Adds the layers to a new net and returns the output; NULL after a failure, as builders do.
     * Nothing in `opts` is 0: what the user left out is the entry's. */
    lens_node *(*build)(lens_net *, const lens_zoo_opts *opts);
} zoo_net;

extern const zoo_net zoo_lenet5, zoo_lenet5_1998, zoo_harley;
extern const zoo_net zoo_mlp_300_100, zoo_mlp_128_64;
extern const zoo_net zoo_course_color, zoo_course_shape, zoo_course_both;
extern const zoo_net zoo_course_mnist, zoo_course_fashion, zoo_course_cifar;

/* The LeNets read 32x32 pictures whose border is empty: a 28x28 digit gets the border as padding of
 * the first convolution, which gives the same numbers. */
static inline int zoo_border(const lens_zoo_opts *opts) {
    return opts->height < 32 || opts->width < 32 ? 2 : 0;
}

#endif
