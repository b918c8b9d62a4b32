/* zoo.c - the list of the nets, by name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

#include <string.h>

/* Row after row of all families, in the order in which they are listed to the user. */
static const struct {
    const zoo_net *net;
    int count;
} families[] = {
    { &zoo_lenet5, 1 },
    { &zoo_lenet5_1998, 1 },
    { &zoo_harley, 1 },
    { zoo_mlp, ZOO_MLPS },
    { zoo_course, ZOO_COURSES },
    { zoo_alexnet, ZOO_ALEXNETS },
    { zoo_zfnet, ZOO_ZFNETS },
    { zoo_vgg, ZOO_VGGS },
    { zoo_googlenet, ZOO_GOOGLENETS },
    { zoo_resnet, ZOO_RESNETS },
    { zoo_densenet, ZOO_DENSENETS },
    { zoo_squeezenet, ZOO_SQUEEZENETS },
};
enum {
    FAMILIES = sizeof families / sizeof *families,
    NETS = 9 + ZOO_MLPS + ZOO_ALEXNETS + ZOO_ZFNETS + ZOO_VGGS + ZOO_GOOGLENETS + ZOO_RESNETS +
           ZOO_DENSENETS + ZOO_SQUEEZENETS, /* nine stand alone */
};

int lens_zoo_count(void) { return NETS; }

static const zoo_net *net_at(int index) {
    for (int f = 0; f < FAMILIES && index >= 0; index -= families[f++].count)
        if (index < families[f].count) return &families[f].net[index];
    return NULL;
}

const lens_zoo_entry *lens_zoo_at(int index) {
    const zoo_net *net = net_at(index);
    return net ? &net->entry : NULL;
}

static const zoo_net *find(const char *name) {
    for (int i = 0; name && i < NETS; i++)
        if (!strcmp(net_at(i)->entry.name, name)) return net_at(i);
    return NULL;
}

const lens_zoo_entry *lens_zoo_find(const char *name) {
    const zoo_net *net = find(name);
    return net ? &net->entry : NULL;
}

static lens_status unknown(lens_ctx *ctx, const char *name) {
    const char *names[NETS];
    for (int i = 0; i < NETS; i++) names[i] = net_at(i)->entry.name;
    const char *near = lens_nearest(name, names, NETS);
    char text[256];
    if (near)
        snprintf(text, sizeof text, "there is no net \"%.80s\"; did you mean \"%s\"?", name, near);
    else
        snprintf(text, sizeof text, "there is no net \"%.80s\"", name);
    return lens_fail(ctx, LENS_NOT_FOUND, text);
}

static int or_default(int value, int usual) { return value ? value : usual; }

lens_status lens_zoo_new(lens_ctx *ctx, lens_net **out, const char *name,
                         const lens_zoo_opts *opts) {
    *out = NULL;
    if (!name) return lens_fail(ctx, LENS_BAD_ARG, "a net of the zoo is asked for without a name");
    const zoo_net *row = find(name);
    if (!row) return unknown(ctx, name);
    const lens_zoo_entry *paper = &row->entry;
    const lens_zoo_opts given = opts ? *opts : (lens_zoo_opts){ 0 };
    const zoo_order order = { or_default(given.channels, paper->channels),
                              or_default(given.height, paper->height),
                              or_default(given.width, paper->width),
                              or_default(given.classes, paper->classes), row->row };

    lens_net *net = lens_net_new(ctx, paper->name);
    if (!net) return LENS_NOMEM;
    lens_status status = lens_net_finish(net, row->build(net, &order));
    if (status == LENS_OK)
        *out = net;
    else
        lens_net_free(net);
    return status;
}
