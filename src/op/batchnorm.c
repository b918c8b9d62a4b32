/* batchnorm.c - normalisation per channel over batch and positions (Ioffe & Szegedy 2015).
 *
 *     y = weight*(x - mean)/sqrt(var + eps) + bias
 *
 * Training: mean and biased variance of the batch; running_mean and running_var (unbiased) move by
 * momentum, running = (1-momentum)*running + momentum*batch, as in PyTorch. Otherwise, and when the
 * node is frozen: the running values, which do not change.
 *
 * Gradients, with m numbers per channel, s = 1/sqrt(var + eps), all sums over the channel:
 *     dbias = sum of dy        dweight = s * sum of dy*(x-mean)
 *     dx = weight*s*( dy - dbias/m - (x-mean)*s*dweight/m )      (frozen: weight*s*dy)
 *
 * Invariants: a channel belongs to one task, which adds up its planes in the order of samples, in
 * double; sums of squares are taken of x minus the channel's first number, so a large mean cancels
 * nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/parts.h"

#include <math.h>

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, PARAMS };

static const op_option options[] = {
    { "eps", OP_FLOAT, offsetof(lens_batchnorm_opts, eps), "added to the variance; default 1e-5" },
    { "momentum", OP_FLOAT, offsetof(lens_batchnorm_opts, momentum),
      "weight of the batch in the running values; default 0.1" },
    { 0 },
};

static lens_status infer(op_node *node) {
    static const char *const suffix[] = { "weight", "bias", "running_mean", "running_var" };
    lens_batchnorm_opts *o = node->opts;
    if (o->eps == 0) o->eps = 1e-5f;
    if (o->momentum == 0) o->momentum = 0.1f;
    if (!(o->eps > 0) || !isfinite(o->eps))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: eps is %g but must be above 0", node->name,
                        (double)o->eps);
    if (!(o->momentum > 0 && o->momentum <= 1))
        return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: momentum is %g but must lie in 0..1",
                        node->name, (double)o->momentum);
    int c = node->in[0].c;
    node->params = PARAMS;
    for (int i = 0; i < PARAMS; i++) {
        bool trainable = i == WEIGHT || i == BIAS;
        node->param[i] = (op_param){ .suffix = suffix[i],
                                     .rank = 1,
                                     .dim = { c },
                                     .count = (size_t)c,
                                     .parameters = trainable ? c : 0,
                                     .trainable = trainable,
                                     .start = i == WEIGHT || i == RUNNING_VAR ? 1.0f : 0.0f };
    }
    node->out = node->in[0];
    op_window_point(node);
    snprintf(node->label, sizeof node->label, "batchnorm");
    return LENS_OK;
}

/* What backward needs of a channel; double, so that a large mean does not blur x - mean. */
typedef struct channel {
    double mean, inv;
} channel;

/* y = scale*x + shift. */
typedef struct affine {
    float scale, shift;
} affine;

static void plan(const op_node *node, const struct kern *kern, int threads, int batch, bool train,
                 op_plan *plan) {
    (void)kern, (void)threads, (void)batch;
    if (train) plan->saved = (size_t)node->in[0].c * sizeof(channel);
    plan->scratch = (size_t)node->in[0].c * sizeof(affine);
}

static bool uses_batch(const op_run *r) { return r->train && !r->frozen; }

static size_t plane_of(const op_run *r) {
    return (size_t)r->node->in[0].h * (size_t)r->node->in[0].w;
}

/* The numbers of channel c lie at x[(n*C + c)*plane + i]. With one number per sample they are a
 * column: not worth a kernel call each. */
static void column_moments(const op_run *r, size_t c, float shift, double *sum, double *squares) {
    size_t stride = (size_t)r->node->in[0].c;
    for (size_t n = 0; n < (size_t)r->n; n++) {
        double d = (double)r->x[0][n * stride + c] - (double)shift;
        *sum += d;
        *squares += d * d;
    }
}

static void channel_moments(const op_run *r, size_t c, float shift, double *sum, double *squares) {
    size_t stride = (size_t)r->node->in[0].c, plane = plane_of(r);
    for (size_t n = 0; n < (size_t)r->n; n++) {
        double s, q;
        r->kern->moments(plane, r->x[0] + (n * stride + c) * plane, shift, &s, &q);
        *sum += s;
        *squares += q;
    }
}

/* Statistics of channel c of the batch; moves the running values. */
static channel batch_channel(const op_run *r, size_t c) {
    const lens_batchnorm_opts *o = r->node->opts;
    double m = (double)r->n * (double)plane_of(r), sum = 0, squares = 0;
    float shift = r->x[0][c * plane_of(r)];
    (plane_of(r) == 1 ? column_moments : channel_moments)(r, c, shift, &sum, &squares);
    double offset = sum / m, var = squares / m - offset * offset;
    if (var < 0) var = 0;
    double mean = (double)shift + offset, unbiased = m > 1 ? var * m / (m - 1) : var;
    double momentum = (double)o->momentum;
    float *running_mean = r->param[RUNNING_MEAN] + c, *running_var = r->param[RUNNING_VAR] + c;
    *running_mean = (float)((1 - momentum) * (double)*running_mean + momentum * mean);
    *running_var = (float)((1 - momentum) * (double)*running_var + momentum * unbiased);
    return (channel){ mean, 1 / sqrt(var + (double)o->eps) };
}

static channel running_channel(const op_node *node, float *const *param, size_t c) {
    const lens_batchnorm_opts *o = node->opts;
    return (channel){ (double)param[RUNNING_MEAN][c],
                      1 / sqrt((double)param[RUNNING_VAR][c] + (double)o->eps) };
}

static affine affine_of(float *const *param, size_t c, channel s) {
    double scale = (double)param[WEIGHT][c] * s.inv;
    return (affine){ (float)scale, (float)((double)param[BIAS][c] - s.mean * scale) };
}

static void running_affine(const op_node *node, float *const *param, float *scale, float *shift) {
    for (size_t c = 0; c < (size_t)node->in[0].c; c++) {
        affine a = affine_of(param, c, running_channel(node, param, c));
        scale[c] = a.scale, shift[c] = a.shift;
    }
}

static void apply_plane(const op_run *r, size_t n, size_t c, affine a) {
    size_t plane = plane_of(r), at = (n * (size_t)r->node->in[0].c + c) * plane;
    r->kern->scale_shift(plane, a.scale, a.shift, r->act, r->slope, r->x[0] + at, r->y + at);
}

/* Training: a channel's planes are written while the statistics pass has them in the cache. */
static void forward_channels(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    channel *saved = r->saved;
    affine *map = r->scratch;
    for (size_t c = first; c < last; c++) {
        channel s = uses_batch(r) ? batch_channel(r, c) : running_channel(r->node, r->param, c);
        if (r->train) saved[c] = s;
        map[c] = affine_of(r->param, c, s);
        if (plane_of(r) > 1 && uses_batch(r))
            for (size_t n = 0; n < (size_t)r->n; n++) apply_plane(r, n, c, map[c]);
    }
}

static void forward_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const affine *map = r->scratch;
    size_t channels = (size_t)r->node->in[0].c;
    for (size_t p = first; p < last; p++)
        apply_plane(r, p / channels, p % channels, map[p % channels]);
}

static void forward_rows(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const affine *map = r->scratch;
    size_t channels = (size_t)r->node->in[0].c;
    for (size_t n = first; n < last; n++) {
        const float *x = r->x[0] + n * channels;
        float *y = r->y + n * channels;
        for (size_t c = 0; c < channels; c++) y[c] = x[c] * map[c].scale + map[c].shift;
        if (r->act != ACT_NONE) r->kern->act(r->act, r->slope, channels, y, y);
    }
}

static void forward(const op_run *r) {
    size_t channels = (size_t)r->node->in[0].c, plane = plane_of(r), n = (size_t)r->n;
    op_each(r->pool, channels, uses_batch(r) ? 2 * n * plane : 8, forward_channels, r);
    if (plane == 1)
        op_each(r->pool, n, 2 * channels, forward_rows, r);
    else if (!uses_batch(r))
        op_each(r->pool, n * channels, 2 * plane, forward_planes, r);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* Sums over the channel of dy and of dy*(x-mean). The kernel takes a rounded mean; what rounding
 * took away is put back: sum of dy*(x-mean) = sum of dy*(x-m) + (m-mean)*sum of dy. */
static void back_sums(const op_run *r, size_t c, double mean, double *dy_sum, double *dyx_sum) {
    size_t stride = (size_t)r->node->in[0].c, plane = plane_of(r);
    *dy_sum = *dyx_sum = 0;
    for (size_t n = 0; n < (size_t)r->n; n++) {
        size_t at = (n * stride + c) * plane;
        double s, q;
        if (plane == 1) {
            s = (double)r->dy[at];
            q = s * ((double)r->x[0][at] - mean);
        } else {
            r->kern->norm_back_sums(plane, r->dy + at, r->x[0] + at, (float)mean, &s, &q);
            q += ((double)(float)mean - mean) * s;
        }
        *dy_sum += s;
        *dyx_sum += q;
    }
}

static void backward_channels(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const channel *saved = r->saved;
    size_t stride = (size_t)r->node->in[0].c, plane = plane_of(r);
    double m = (double)r->n * (double)plane;
    for (size_t c = first; c < last; c++) {
        double mean = saved[c].mean, inv = saved[c].inv, dy_sum = 0, dyx_sum = 0;
        double rest = (double)(float)mean - mean; /* the kernel takes x - (float)mean */
        double scale = (double)r->param[WEIGHT][c] * inv, slope = 0, offset = 0;
        if (uses_batch(r) || r->dparam[WEIGHT] || r->dparam[BIAS])
            back_sums(r, c, mean, &dy_sum, &dyx_sum);
        if (r->dparam[WEIGHT]) r->dparam[WEIGHT][c] = (float)(dyx_sum * inv);
        if (r->dparam[BIAS]) r->dparam[BIAS][c] = (float)dy_sum;
        if (!r->dx[0]) continue;
        if (uses_batch(r)) {
            slope = -scale * inv * inv * dyx_sum / m;
            offset = -scale * dy_sum / m;
        }
        for (size_t n = 0; n < (size_t)r->n; n++) {
            size_t at = (n * stride + c) * plane;
            if (plane == 1)
                r->dx[0][at] = (float)(scale * (double)r->dy[at] +
                                       slope * ((double)r->x[0][at] - mean) + offset);
            else
                r->kern->norm_back(plane, (float)scale, (float)slope,
                                   (float)(offset + slope * rest), (float)mean, r->dy + at,
                                   r->x[0] + at, r->dx[0] + at);
        }
    }
}

static void backward(const op_run *r) {
    op_each(r->pool, (size_t)r->node->in[0].c, 5 * (size_t)r->n * plane_of(r), backward_channels,
            r);
}

const op_kind op_batchnorm = {
    .name = "batchnorm",
    .formula = "y = weight*(x - mean)/sqrt(var + eps) + bias, per channel",
    .flags = OP_FUSES_ACT | OP_NEEDS_X,
    .min_inputs = 1,
    .max_inputs = 1,
    .opts_size = sizeof(lens_batchnorm_opts),
    .options = options,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .affine = running_affine,
};
