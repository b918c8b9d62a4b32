/* recognise.c - which net's weights a file holds: every net of the list is tried.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

enum { ROOM = sizeof((lens_zoo_fits *)0)->entry / sizeof(lens_zoo_entry *) };

lens_status lens_zoo_recognise(lens_ctx *ctx, const char *path, lens_zoo_fits *fits) {
    char text[512];
    *fits = (lens_zoo_fits){ 0 };
    for (int i = 0; i < lens_zoo_count() && fits->count < ROOM; i++) {
        const lens_zoo_entry *entry = lens_zoo_at(i);
        lens_net *net;
        int classes;
        lens_status status = lens_zoo_new(ctx, &net, entry->name, NULL);
        if (status != LENS_OK) return status;
        status = lens_weights_fit(net, path, &classes);
        lens_net_free(net);
        if (status != LENS_OK) return status;
        if (!classes) continue;
        fits->entry[fits->count++] = entry;
        fits->classes = classes;
    }
    if (fits->count) return LENS_OK;
    snprintf(
        text, sizeof text,
        "%.300s: weights of none of the %d nets of the zoo; --net NAME|FILE --weights FILE says what "
        "differs from one",
        path, lens_zoo_count());
    return lens_fail(ctx, LENS_NOT_FOUND, text);
}
