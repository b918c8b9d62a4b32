/* diverge.c - finds the first thing in the order of computing that is not finite: the input, a
 * parameter, the value of a node.
 *
 * It runs once, after the damage, so nothing is watched while training goes well.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/diverge.h"
#include "base/base.h"
#include "kern/kern.h"
#include "net/net.h"
#include "train/eval.h"

#include <stdio.h>
#include <string.h>

enum { NAMED_SAMPLES = 8, SAMPLE_ROOM = 1024 };

static bool finite(const lens_net *net, const float *x, size_t n) {
    return ctx_kern(net->ctx)->all_finite(n, x);
}

const char *diverge_find_param(const lens_net *net) {
    int params = lens_net_params(net);
    for (int i = 0; i < params; i++) {
        lens_param p;
        if (lens_net_param(net, i, &p) == LENS_OK &&
            !finite(net, p.value.data, (size_t)lens_tensor_count(&p.value)))
            return p.name;
    }
    return NULL;
}

/* The first node whose value is not finite, by running the batch again in a session that keeps them
 * all. NULL if it cannot be found (no memory for that). */
static const char *find_node(const diverge *d, const lens_tensor *x) {
    lens_session *session;
    lens_tensor y, value;
    const char *name = NULL;
    lens_session_opts opts = {
        .batch = d->batch->n, .train = true, .watch = true, .seed = d->seed
    };
    if (lens_session_new(&session, d->net, d->net->ctx, &opts) != LENS_OK) return NULL;
    if (lens_forward(session, x, (uint32_t)d->step, &y) == LENS_OK) {
        int nodes = lens_net_nodes(d->net);
        for (int i = 0; i < nodes && !name; i++) {
            lens_node *node = lens_net_node(d->net, i);
            lens_node_info info;
            if (lens_peek(session, node, LENS_VALUE, &value) != LENS_OK) continue;
            if (finite(d->net, value.data, (size_t)lens_tensor_count(&value))) continue;
            lens_node_info_get(node, &info);
            name = info.name; /* the net's */
        }
    }
    lens_session_free(session);
    return name;
}

static void search(const diverge *d, const lens_tensor *x, char *what, size_t size) {
    const char *name;
    if (!finite(d->net, x->data, (size_t)lens_tensor_count(x)))
        snprintf(what, size, "the input is not finite");
    else if ((name = diverge_find_param(d->net)) != NULL)
        snprintf(what, size, "%s is not finite", name);
    else if ((name = find_node(d, x)) != NULL)
        snprintf(what, size, "the output of %s is not finite", name);
    else
        snprintf(what, size, "the loss is not finite");
}

/* Appends the names of rows whose output is, or is not, finite. Returns how many rows there are. */
static int list(const diverge *d, bool wanted, int *named, char *text, size_t size) {
    int rows = 0, n = d->batch->n;
    size_t width = d->output ? (size_t)lens_tensor_count(d->output) / (size_t)n : 0;
    for (int r = 0; r < n; r++) {
        bool fine = !d->output || finite(d->net, d->output->data + (size_t)r * width, width);
        if (fine != wanted) continue;
        rows++;
        if (*named == NAMED_SAMPLES) continue;
        char buf[64];
        const char *name = lens_data_sample(d->data, LENS_TRAIN, d->batch->index[r], buf);
        size_t used = strlen(text);
        int more = snprintf(text + used, size - used, "%s%s", *named ? ", " : "", name);
        if ((size_t)more >= size - used)
            text[used] = 0; /* no room: counted, not named */
        else
            (*named)++;
    }
    return rows;
}

lens_status diverge_report(const diverge *d) {
    char what[512], samples[SAMPLE_ROOM] = "", rest[32] = "";
    int named = 0, rows = 0;
    lens_tensor x = eval_input(d->net, d->batch);
    if (d->what)
        snprintf(what, sizeof what, "%s", d->what);
    else
        search(d, &x, what, sizeof what);
    rows += list(d, false, &named, samples, sizeof samples);
    rows += list(d, true, &named, samples, sizeof samples);
    if (rows > named) snprintf(rest, sizeof rest, " and %d more", rows - named);
    return ctx_fail(
        d->net->ctx, LENS_DIVERGED,
        "training diverged at step %lld (epoch %d, batch %lld, learning rate %g): %s. The "
        "batch: %s%s. Checkpoints are left as they were; a smaller learning rate, warm-up or "
        "gradient clipping may help",
        (long long)d->step + 1, d->epoch, (long long)d->batch->number + 1, d->rate, what, samples,
        rest);
}
