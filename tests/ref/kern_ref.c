/* kern_ref.c - plain loops in double; see kern_ref.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/ref/kern_ref.h"

#include <math.h>

static void ref_add(ref_sum *s, double term) {
    s->value += term;
    s->magnitude += fabs(term);
    s->terms += 1;
}

ref_sum ref_tile(const tile_job *job, float before, int m, int n) {
    ref_sum s = { 0, 0, 0 };
    switch (job->init) {
    case TILE_ZERO: break;
    case TILE_LOAD: ref_add(&s, before); break;
    case TILE_BIAS_ROW: ref_add(&s, job->bias[m]); break;
    case TILE_BIAS_COLUMN: ref_add(&s, job->bias[n]); break;
    }
    for (int k = 0; k < job->k; k++) {
        const ptrdiff_t row = job->b_row ? job->b_row[k] : k * job->b_k;
        ref_add(&s, (double)job->a[k * job->a_k + m] * job->b[row + n]);
    }
    if (job->add) ref_add(&s, job->add[m * job->c_m + n]);
    return s;
}

ref_sum ref_dot(const dot_job *job, float before, int i, int j) {
    ref_sum s = { 0, 0, 0 };
    ref_add(&s, before);
    for (int image = 0; image < job->images; image++)
        for (int row = 0; row < job->lines; row++)
            for (int column = 0; column < job->length; column++) {
                const double a =
                    job->a[i * job->a_i + image * job->a_image + row * job->a_row + column];
                const double b =
                    job->b[job->b_j[j] + image * job->b_image + row * job->b_row + column];
                ref_add(&s, a * b);
            }
    return s;
}

double ref_act(act_kind kind, double slope, double x) {
    switch (kind) {
    case ACT_NONE: return x;
    case ACT_RELU: return x < 0 ? 0 : x;
    case ACT_LEAKY: return x > 0 ? x : slope * x;
    case ACT_TANH: return tanh(x);
    case ACT_SCALED: return 1.7159 * tanh(x * 2 / 3);
    case ACT_SIGMOID: return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
    }
    return NAN;
}

double ref_act_slope(act_kind kind, double slope, double y) {
    switch (kind) {
    case ACT_NONE: return 1;
    case ACT_RELU: return y > 0 ? 1 : 0;
    case ACT_LEAKY: return y > 0 ? 1 : slope;
    case ACT_TANH: return 1 - y * y;
    case ACT_SCALED: return 1.7159 * 2 / 3 * (1 - (y / 1.7159) * (y / 1.7159));
    case ACT_SIGMOID: return y * (1 - y);
    }
    return NAN;
}

/* Calls for every cell (iy, ix) of window (oy, ox) inside the plane, in row-major order. */
#define REF_WINDOW(job, oy, ox, body)                                                              \
    for (int u = 0; u < (job)->kh; u++)                                                            \
        for (int v = 0; v < (job)->kw; v++) {                                                      \
            const int iy = (oy) * (job)->sh - (job)->pt + u,                                       \
                      ix = (ox) * (job)->sw - (job)->pl + v;                                       \
            if (iy < 0 || iy >= (job)->h || ix < 0 || ix >= (job)->w) continue;                    \
            body                                                                                   \
        }

void ref_max_pool(const pool_job *job, const float *x, float *y, uint8_t *switches) {
    for (int oy = 0; oy < job->oh; oy++)
        for (int ox = 0; ox < job->ow; ox++) {
            bool any = false;
            float max = 0;
            int which = 0;
            REF_WINDOW(job, oy, ox, {
                const float cell = x[iy * job->w + ix];
                if (!any || cell > max || (isnan(cell) && !isnan(max))) {
                    any = true;
                    max = cell;
                    which = u * job->kw + v;
                }
            })
            y[oy * job->ow + ox] = max;
            switches[oy * job->ow + ox] = (uint8_t)which;
        }
}

void ref_max_pool_back(const pool_job *job, const float *dy, const uint8_t *switches, double *dx) {
    for (int i = 0; i < job->h * job->w; i++) dx[i] = 0;
    for (int oy = 0; oy < job->oh; oy++)
        for (int ox = 0; ox < job->ow; ox++) {
            const int o = oy * job->ow + ox;
            REF_WINDOW(job, oy, ox, {
                if (u * job->kw + v == switches[o]) dx[iy * job->w + ix] += dy[o];
            })
        }
}

void ref_sum_pool(const pool_job *job, const float *x, const float *scale, double *y,
                  double *magnitude) {
    for (int oy = 0; oy < job->oh; oy++)
        for (int ox = 0; ox < job->ow; ox++) {
            const int o = oy * job->ow + ox;
            const double factor = scale ? scale[o] : 1;
            y[o] = magnitude[o] = 0;
            REF_WINDOW(job, oy, ox, {
                y[o] += factor * x[iy * job->w + ix];
                magnitude[o] += fabs(factor * x[iy * job->w + ix]);
            })
        }
}

void ref_sum_pool_back(const pool_job *job, const float *dy, const float *scale, double *dx,
                       double *magnitude) {
    for (int i = 0; i < job->h * job->w; i++) dx[i] = magnitude[i] = 0;
    for (int oy = 0; oy < job->oh; oy++)
        for (int ox = 0; ox < job->ow; ox++) {
            const int o = oy * job->ow + ox;
            const double d = (scale ? scale[o] : 1.0) * dy[o];
            REF_WINDOW(job, oy, ox, {
                dx[iy * job->w + ix] += d;
                magnitude[iy * job->w + ix] += fabs(d);
            })
        }
}

double ref_softmax(int n, const float *x, double *p) {
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++) sum += exp(x[i] - max);
    for (int i = 0; i < n; i++) p[i] = exp(x[i] - max) / sum;
    return max + log(sum);
}

double ref_cross_entropy(int n, const float *x, int label, double smooth, double weight,
                         double scale, double *dx) {
    const double log_sum = ref_softmax(n, x, dx);
    double loss = 0;
    for (int i = 0; i < n; i++) {
        const double t = (1 - smooth) * (i == label) + smooth / n;
        if (t != 0) loss -= t * (x[i] - log_sum);
        dx[i] = scale * weight * (dx[i] - t);
    }
    return weight * loss;
}

ref_state ref_optim(const optim_job *job, double g, ref_state s, ref_state *error) {
    const double rate = job->rate, mu = job->momentum, b1 = job->b1, b2 = job->b2, eps = job->eps;
    double size = fabs(g * job->g_scale); /* of g, without cancellation */
    double step = 0, step_size = 0;
    double w_size = fabs(s.w) * (1 + rate * job->weight_decay), m_size = 0, v_size = 0;
    g *= job->g_scale;
    if (job->kind == OPTIM_ADAMW) {
        s.w -= rate * job->weight_decay * s.w;
    } else {
        g += job->weight_decay * s.w;
        size += fabs(job->weight_decay * s.w);
    }
    switch (job->kind) {
    case OPTIM_SGD:
        if (mu == 0) {
            step = g;
            step_size = size;
            break;
        }
        m_size = fabs(mu * s.m) + size;
        s.m = mu * s.m + g;
        step = job->nesterov ? g + mu * s.m : s.m;
        step_size = job->nesterov ? size + mu * m_size : m_size;
        break;
    case OPTIM_ADAGRAD:
        v_size = s.v + size * size;
        s.v += g * g;
        step = g / (sqrt(s.v) + eps);
        step_size = size / (sqrt(s.v) + eps);
        break;
    case OPTIM_ADADELTA:
        v_size = b2 * s.v + (1 - b2) * size * size;
        s.v = b2 * s.v + (1 - b2) * g * g;
        step = g * sqrt(s.m + eps) / sqrt(s.v + eps);
        step_size = size * sqrt(s.m + eps) / sqrt(s.v + eps);
        m_size = b2 * s.m + (1 - b2) * step_size * step_size;
        s.m = b2 * s.m + (1 - b2) * step * step;
        break;
    case OPTIM_RMSPROP:
        v_size = b2 * s.v + (1 - b2) * size * size;
        s.v = b2 * s.v + (1 - b2) * g * g;
        step = g / (sqrt(s.v) + eps);
        step_size = size / (sqrt(s.v) + eps);
        if (mu != 0) {
            m_size = fabs(mu * s.m) + step_size;
            s.m = step = mu * s.m + step;
            step_size = m_size;
        }
        break;
    case OPTIM_ADAM:
    case OPTIM_ADAMW:
        m_size = fabs(b1 * s.m) + (1 - b1) * size;
        v_size = b2 * s.v + (1 - b2) * size * size;
        s.m = b1 * s.m + (1 - b1) * g;
        s.v = b2 * s.v + (1 - b2) * g * g;
        step = s.m * job->c1 / (sqrt(s.v * job->c2) + eps);
        step_size = m_size * job->c1 / (sqrt(s.v * job->c2) + eps);
        break;
    }
    s.w -= rate * step;
    *error = (ref_state){ w_size + rate * step_size, m_size, v_size };
    return s;
}
