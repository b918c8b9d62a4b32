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
#include "base/tuning.h"
#include "op/parts.h"

#include <math.h>

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, PARAMS };
enum { GROUP = 32 }; /* most channels of a task: bounds its sums on the stack */

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

/* Numbers i of channel c lie at x[(n*C + c)*plane + i], with the gaps of x or y. */
static size_t plane_at(const op_run *r, size_t gap, size_t n, size_t c) {
    return (n * (size_t)r->node->in[0].c + c) * plane_of(r) + n * gap;
}
static size_t x_at(const op_run *r, size_t n, size_t c) { return plane_at(r, r->x_gap, n, c); }
static size_t y_at(const op_run *r, size_t n, size_t c) { return plane_at(r, r->y_gap, n, c); }

/* A task does neighbouring channels: all that fit into NORM_BYTES, so that the second pass over them finds
 * them in the cache, but few enough for TUNE_TASKS tasks. Small planes so make runs long enough to be
 * read at full speed. No bit depends on it. */
typedef void group_fn(const op_run *, size_t first, size_t last); /* channels first..last-1 */

typedef struct group {
    const op_run *run;
    size_t channels;
    group_fn *fn;
} group;

static group group_of(const op_run *r, group_fn *fn) {
    size_t all = (size_t)r->node->in[0].c, each = (size_t)r->n * plane_of(r) * sizeof(float);
    size_t most = TUNE_NORM_BYTES / each;
    if (most > all / TUNE_TASKS) most = all / TUNE_TASKS;
    if (most > GROUP) most = GROUP;
    return (group){ r, most ? most : 1, fn };
}

static void run_groups(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const group *g = arg;
    size_t all = (size_t)g->run->node->in[0].c;
    for (size_t i = first; i < last; i++) {
        size_t end = (i + 1) * g->channels;
        g->fn(g->run, i * g->channels, end < all ? end : all);
    }
}

/* numbers: of those read and written for each of x */
static void each_group(const op_run *r, size_t numbers, group_fn *fn) {
    group g = group_of(r, fn);
    size_t all = (size_t)r->node->in[0].c;
    op_each(r->pool, (all + g.channels - 1) / g.channels,
            numbers * g.channels * (size_t)r->n * plane_of(r), run_groups, &g);
}

/* From plane (n, c) of x to the next one in the order of a group's passes: channel by channel, then sample by
 * sample, then the next group. Planes lie far apart: no prefetcher of the processor follows. */
static ptrdiff_t ahead(const op_run *r, size_t n, size_t c, size_t first, size_t last) {
    size_t here = x_at(r, n, c);
    size_t next = c + 1 < last           ? x_at(r, n, c + 1)
                  : n + 1 < (size_t)r->n ? x_at(r, n + 1, first)
                                         : x_at(r, 0, last);
    return (ptrdiff_t)next - (ptrdiff_t)here;
}

/* Sums over channels first..last-1 of x - shift and (x - shift)^2. One number per sample is not worth a
 * kernel call. */
static void group_moments(const op_run *r, size_t first, size_t last, double *sum,
                          double *squares) {
    for (size_t n = 0; n < (size_t)r->n; n++)
        for (size_t c = first; c < last; c++) {
            const float *x = r->x[0] + x_at(r, n, c), shift = r->x[0][x_at(r, 0, c)];
            double s = (double)*x - (double)shift, q = s * s;
            if (plane_of(r) > 1)
                r->kern->moments(plane_of(r), x, shift, ahead(r, n, c, first, last), &s, &q);
            sum[c - first] += s;
            squares[c - first] += q;
        }
}

/* Statistics of channel c of the batch from its sums; moves the running values. */
static channel batch_channel(const op_run *r, size_t c, double sum, double squares) {
    const lens_batchnorm_opts *o = r->node->opts;
    double m = (double)r->n * (double)plane_of(r), shift = (double)r->x[0][x_at(r, 0, c)];
    double offset = sum / m, var = squares / m - offset * offset;
    if (var < 0) var = 0;
    double mean = shift + offset, unbiased = m > 1 ? var * m / (m - 1) : var;
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

/* next: the distance to the plane of the next call */
static void apply_plane(const op_run *r, size_t n, size_t c, affine a, ptrdiff_t next) {
    size_t plane = plane_of(r);
    const float *x = r->x[0] + x_at(r, n, c);
    float *y = r->y + y_at(r, n, c);
    if (r->addend)
        r->kern->scale_shift_add(plane, a.scale, a.shift, r->act, r->slope, x,
                                 r->addend + plane_at(r, 0, n, c), next, y);
    else
        r->kern->scale_shift(plane, a.scale, a.shift, r->act, r->slope, x, y);
}

static void forward_group(const op_run *r, size_t first, size_t last) {
    double sum[GROUP] = { 0 }, squares[GROUP] = { 0 };
    channel *saved = r->saved;
    affine *map = r->scratch;
    group_moments(r, first, last, sum, squares);
    for (size_t c = first; c < last; c++) {
        saved[c] = batch_channel(r, c, sum[c - first], squares[c - first]);
        map[c] = affine_of(r->param, c, saved[c]);
    }
    if (plane_of(r) == 1) return; /* see forward_rows */
    for (size_t n = 0; n < (size_t)r->n; n++)
        for (size_t c = first; c < last; c++)
            apply_plane(r, n, c, map[c], ahead(r, n, c, first, last));
}

static void forward_planes(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const affine *map = r->scratch;
    size_t channels = (size_t)r->node->in[0].c;
    for (size_t p = first; p < last; p++)
        apply_plane(r, p / channels, p % channels, map[p % channels], 0);
}

static void forward_rows(const void *arg, size_t first, size_t last, int thread) {
    (void)thread;
    const op_run *r = arg;
    const affine *map = r->scratch;
    size_t channels = (size_t)r->node->in[0].c;
    for (size_t n = first; n < last; n++) {
        const float *x = r->x[0] + x_at(r, n, 0);
        float *y = r->y + y_at(r, n, 0);
        for (size_t c = 0; c < channels; c++) y[c] = x[c] * map[c].scale + map[c].shift;
        if (r->addend) r->kern->add(channels, y, r->addend + n * channels, y);
        if (r->act != ACT_NONE) r->kern->act(r->act, r->slope, channels, y, y);
    }
}

static void forward(const op_run *r) {
    size_t channels = (size_t)r->node->in[0].c, plane = plane_of(r), n = (size_t)r->n;
    if (uses_batch(r) && !r->again) {
        each_group(r, 2, forward_group);
    } else {
        channel *saved = r->saved;
        for (size_t c = 0; c < channels; c++) {
            channel s = r->again ? saved[c] : running_channel(r->node, r->param, c);
            if (r->train) saved[c] = s;
            ((affine *)r->scratch)[c] = affine_of(r->param, c, s);
        }
        if (plane > 1) op_each(r->pool, n * channels, 2 * plane, forward_planes, r);
    }
    if (plane == 1) op_each(r->pool, n, 2 * channels, forward_rows, r);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* Channel c of sample n on its way back, through the activation too if that is done here. */
static norm_back_job back_job(const op_run *r, size_t n, size_t c) {
    channel s = ((const channel *)r->saved)[c];
    affine a = affine_of(r->param, c, s);
    return (norm_back_job){ .n = plane_of(r),
                            .dy = r->dy + y_at(r, n, c),
                            .x = r->x[0] + x_at(r, n, c),
                            .mean = (float)s.mean,
                            .act = r->act_back ? r->act : ACT_NONE,
                            .slope = r->slope,
                            .scale = a.scale,
                            .shift = a.shift };
}

/* dy behind the activation, of a plane of one number: forward_rows made y in the same steps. */
static float back_slope(const norm_back_job *j) {
    return j->act == ACT_NONE || *j->x * j->scale + j->shift > 0 ? *j->dy : *j->dy * j->slope;
}

/* Sums over channels first..last-1 of g and of g*(x-mean), g being dy behind the activation. The kernel
 * takes a rounded mean; what rounding took away is put back: sum of g*(x-mean) = sum of g*(x-m) +
 * (m-mean)*sum of g. */
static void back_sums(const op_run *r, size_t first, size_t last, double *g_sum, double *gx_sum) {
    const channel *saved = r->saved;
    for (size_t n = 0; n < (size_t)r->n; n++)
        for (size_t c = first; c < last; c++) {
            norm_back_job job = back_job(r, n, c);
            double mean = saved[c].mean, s, q;
            if (job.n == 1) {
                s = (double)back_slope(&job);
                q = s * ((double)*job.x - mean);
            } else {
                r->kern->norm_back_sums(&job, ahead(r, n, c, first, last), &s, &q);
                q += ((double)job.mean - mean) * s;
            }
            g_sum[c - first] += s;
            gx_sum[c - first] += q;
        }
}

/* dx = scale*g + slope*(x-mean) + offset */
static void back_plane(const op_run *r, size_t n, size_t c, double scale, double slope,
                       double offset) {
    norm_back_job job = back_job(r, n, c);
    double mean = ((const channel *)r->saved)[c].mean, rest = (double)job.mean - mean;
    float *dx = r->dx[0] + x_at(r, n, c);
    if (job.n == 1) {
        double d = scale * (double)back_slope(&job) + slope * ((double)*job.x - mean) + offset;
        *dx = r->adds ? *dx + (float)d : (float)d;
    } else { /* which takes x - (float)mean */
        r->kern->norm_back(&job, (float)scale, (float)slope, (float)(offset + slope * rest),
                           r->adds, dx);
    }
}

static void backward_group(const op_run *r, size_t first, size_t last) {
    double g_sum[GROUP] = { 0 }, gx_sum[GROUP] = { 0 };
    double m = (double)r->n * (double)plane_of(r);
    const channel *saved = r->saved;
    if (uses_batch(r) || r->dparam[WEIGHT] || r->dparam[BIAS])
        back_sums(r, first, last, g_sum, gx_sum);
    for (size_t c = first; c < last; c++) {
        if (r->dparam[WEIGHT]) r->dparam[WEIGHT][c] = (float)(gx_sum[c - first] * saved[c].inv);
        if (r->dparam[BIAS]) r->dparam[BIAS][c] = (float)g_sum[c - first];
    }
    for (size_t n = 0; r->dx[0] && n < (size_t)r->n; n++)
        for (size_t c = first; c < last; c++) {
            double inv = saved[c].inv, scale = (double)r->param[WEIGHT][c] * inv;
            double each = uses_batch(r) ? -scale / m : 0;
            back_plane(r, n, c, scale, each * inv * inv * gx_sum[c - first],
                       each * g_sum[c - first]);
        }
}

static void backward(const op_run *r) { each_group(r, 5, backward_group); }

const op_kind op_batchnorm = {
    .name = "batchnorm",
    .formula = "y = weight*(x - mean)/sqrt(var + eps) + bias, per channel",
    .flags = OP_FUSES_ACT | OP_FUSES_SUM | OP_FUSES_BACK | OP_ADDS | OP_NEEDS_X | OP_AGAIN |
             OP_X_GAPS | OP_Y_GAPS,
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
