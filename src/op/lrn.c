/* lrn.c - local response normalisation across channels (Krizhevsky 2012, section 3.3).
 *
 *     s[i] = k + a * sum of x[j]^2 over channels j of window(i)
 *     y[i] = x[i] / s[i]^beta               window(i) = i - floor(n/2) .. i + floor((n-1)/2)
 *
 * cut at the first and last channel; a = alpha/n (PyTorch, Caffe) or alpha (the paper). Gradient:
 *     dx[j] = dy[j]/s[j]^beta - 2*a*beta*x[j] * sum of dy[i]*y[i]/s[i] over the i with j in window(i)
 *
 * Invariant: an item is one run of TILE positions of one sample with all its channels, so neighbours
 * are at hand and every sum runs over channels in rising order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <math.h>

/* Positions side by side: four cache lines a channel, and two rows a channel fit into the second
 * cache for up to 512 channels (2*512*64 floats = 256 KiB). */
enum { TILE = 64 };

static const op_option options[] = {
    { "n", OP_INT, offsetof(lens_lrn_opts, n), "channels in the window; required" },
    { "alpha", OP_FLOAT, offsetof(lens_lrn_opts, alpha), "weight of the squares; default 1e-4" },
    { "beta", OP_FLOAT, offsetof(lens_lrn_opts, beta), "exponent; default 0.75" },
    { "k", OP_FLOAT, offsetof(lens_lrn_opts, k), "added to the squares; default 1" },
    { "undivided", OP_BOOL, offsetof(lens_lrn_opts, undivided),
      "alpha times the sum of the squares, not their mean" },
    { 0 },
};

static lens_status check_positive(const op_node *node, const char *key, float *value, float usual) {
    if (*value == 0) *value = usual;
    if (*value > 0 && isfinite(*value)) return LENS_OK;
    return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: %s is %g but must be above 0", node->name, key,
                    (double)*value);
}

static lens_status infer(op_node *node) {
    lens_lrn_opts *o = node->opts;
    LENS_TRY(op_check_range(node, "n", o->n, 1, OP_MAX_DIM));
    LENS_TRY(check_positive(node, "alpha", &o->alpha, 1e-4f));
    LENS_TRY(check_positive(node, "beta", &o->beta, 0.75f));
    LENS_TRY(check_positive(node, "k", &o->k, 1));
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "lrn over %d", o->n);
    return LENS_OK;
}

static void plan(const op_node *node, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *plan) {
    (void)kern, (void)threads, (void)batch;
    plan->thread_scratch = (train ? 2 : 1) * (size_t)node->in[0].c * TILE * sizeof(float);
}

static size_t plane_of(const op_run *r) {
    return (size_t)r->node->in[0].h * (size_t)r->node->in[0].w;
}
static size_t tiles_of(const op_run *r) { return (plane_of(r) + TILE - 1) / TILE; }

/* One item: where channel 0 begins, and how many positions. */
typedef struct tile {
    size_t at;
    int width;
} tile;

static tile tile_at(const op_run *r, size_t item) {
    size_t plane = plane_of(r), sample = item / tiles_of(r), start = item % tiles_of(r) * TILE;
    return (tile){ sample * (size_t)r->node->in[0].c * plane + start,
                   (int)(plane - start < TILE ? plane - start : TILE) };
}

/* s[c*TILE + i] for all channels. */
static void scales(const op_run *r, tile t, float *s) {
    const lens_lrn_opts *o = r->node->opts;
    int channels = r->node->in[0].c;
    float a = o->undivided ? o->alpha : o->alpha / (float)o->n;
    for (int c = 0; c < channels; c++) {
        int first = c - o->n / 2 > 0 ? c - o->n / 2 : 0, last = c + (o->n - 1) / 2;
        float *row = s + (size_t)c * TILE;
        for (int i = 0; i < t.width; i++) row[i] = 0;
        for (int j = first; j <= last && j < channels; j++) {
            const float *x = r->x[0] + t.at + (size_t)j * plane_of(r);
            for (int i = 0; i < t.width; i++) row[i] += x[i] * x[i];
        }
        for (int i = 0; i < t.width; i++) row[i] = o->k + a * row[i];
    }
}

/* y[i] = x[i] / s[i]^beta. Two roots are many times faster than the general power, and every net of
 * the papers has beta 0.75. */
static void divide(float beta, int width, const float *x, const float *s, float *y) {
    if (beta == 0.75f)
        for (int i = 0; i < width; i++) {
            float root = sqrtf(s[i]);
            y[i] = x[i] / (root * sqrtf(root));
        }
    else
        for (int i = 0; i < width; i++) y[i] = x[i] * powf(s[i], -beta);
}

static void forward_tiles(const void *arg, size_t first, size_t last, int thread) {
    const op_run *r = arg;
    const lens_lrn_opts *o = r->node->opts;
    float *s = op_scratch(r, thread);
    for (size_t item = first; item < last; item++) {
        tile t = tile_at(r, item);
        scales(r, t, s);
        for (int c = 0; c < r->node->in[0].c; c++) {
            size_t at = t.at + (size_t)c * plane_of(r);
            divide(o->beta, t.width, r->x[0] + at, s + (size_t)c * TILE, r->y + at);
        }
    }
}

static void backward_tiles(const void *arg, size_t first, size_t last, int thread) {
    const op_run *r = arg;
    const lens_lrn_opts *o = r->node->opts;
    int channels = r->node->in[0].c;
    float a = o->undivided ? o->alpha : o->alpha / (float)o->n;
    float *s = op_scratch(r, thread), *ratio = s + (size_t)channels * TILE;
    for (size_t item = first; item < last; item++) {
        tile t = tile_at(r, item);
        scales(r, t, s);
        for (int c = 0; c < channels; c++) {
            size_t at = t.at + (size_t)c * plane_of(r);
            float *row = ratio + (size_t)c * TILE, *scale = s + (size_t)c * TILE;
            for (int i = 0; i < t.width; i++)
                row[i] = r->dy[at + (size_t)i] * r->y[at + (size_t)i] / scale[i];
            divide(o->beta, t.width, r->dy + at, scale, r->dx[0] + at);
        }
        for (int c = 0; c < channels; c++) {
            size_t at = t.at + (size_t)c * plane_of(r);
            int low = c - (o->n - 1) / 2 > 0 ? c - (o->n - 1) / 2 : 0, high = c + o->n / 2;
            float sum[TILE] = { 0 };
            for (int j = low; j <= high && j < channels; j++)
                for (int i = 0; i < t.width; i++) sum[i] += ratio[(size_t)j * TILE + (size_t)i];
            for (int i = 0; i < t.width; i++)
                r->dx[0][at + (size_t)i] -= 2 * a * o->beta * r->x[0][at + (size_t)i] * sum[i];
        }
    }
}

/* Two roots and a division take about as long as moving 8 floats. */
static size_t item_cost(const op_run *r, size_t each) {
    const lens_lrn_opts *o = r->node->opts;
    return (each + (size_t)o->n) * (size_t)r->node->in[0].c * TILE;
}

static void forward(const op_run *r) {
    op_each(r->pool, (size_t)r->n * tiles_of(r), item_cost(r, 10), forward_tiles, r);
}

static void backward(const op_run *r) {
    if (r->dx[0]) op_each(r->pool, (size_t)r->n * tiles_of(r), item_cost(r, 20), backward_tiles, r);
}

const op_kind op_lrn = {
    .name = "lrn",
    .formula = "y[c] = x[c]/(k + alpha/n * sum of x[j]^2 over the n channels around c)^beta",
    .flags = OP_NEEDS_X | OP_NEEDS_Y,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_lrn_opts),
    .options = options,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
