/* zoo.c - the list of the nets, by name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

#include <stdio.h>
#include <string.h>

static const zoo_net *const nets[] = {
    &zoo_lenet5,       &zoo_lenet5_1998,    &zoo_harley,       &zoo_mlp_300_100,
    &zoo_mlp_128_64,   &zoo_course_color,   &zoo_course_shape, &zoo_course_both,
    &zoo_course_mnist, &zoo_course_fashion, &zoo_course_cifar,
};
enum { NETS = sizeof nets / sizeof *nets };

int lens_zoo_count(void) { return NETS; }

const lens_zoo_entry *lens_zoo_at(int index) {
    return index >= 0 && index < NETS ? &nets[index]->entry : NULL;
}

static const zoo_net *find(const char *name) {
    for (int i = 0; name && i < NETS; i++)
        if (!strcmp(nets[i]->entry.name, name)) return nets[i];
    return NULL;
}

const lens_zoo_entry *lens_zoo_find(const char *name) {
    const zoo_net *net = find(name);
    return net ? &net->entry : NULL;
}

static lens_status unknown(lens_ctx *ctx, const char *name) {
    const char *names[NETS];
    for (int i = 0; i < NETS; i++) names[i] = nets[i]->entry.name;
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
    lens_zoo_opts full = opts ? *opts : (lens_zoo_opts){ 0 };
    full.channels = or_default(full.channels, paper->channels);
    full.height = or_default(full.height, paper->height);
    full.width = or_default(full.width, paper->width);
    full.classes = or_default(full.classes, paper->classes);

    lens_net *net = lens_net_new(ctx, paper->name);
    if (!net) return LENS_NOMEM;
    lens_status status = lens_net_finish(net, row->build(net, &full));
    if (status == LENS_OK)
        *out = net;
    else
        lens_net_free(net);
    return status;
}
