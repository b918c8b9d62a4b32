/* optim.h - slot `optim`: one pass over weights, gradient and state for each rule.
 *
 * Parameter: the vocabulary of vec.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */

/* The rule and what it keeps, as constants of each loop. */
typedef struct optim_rule {
    optim_kind kind;
    bool use_m, use_v, nesterov;
} optim_rule;

/* One vector of weights, and of state where the rule uses it. */
V_INLINE vf optim_step(const optim_rule rule, const optim_job *job, vf g, vf w, vf *m, vf *v) {
    const vf rate = v_set1(job->rate), decay = v_set1(job->weight_decay),
             mu = v_set1(job->momentum), b2 = v_set1(job->b2), rest2 = v_set1(1 - job->b2),
             eps = v_set1(job->eps);
    g = v_mul(g, v_set1(job->g_scale));
    if (rule.kind == OPTIM_ADAMW)
        w = v_sub(w, v_mul(v_set1(job->rate * job->weight_decay), w));
    else
        g = v_fma(decay, w, g);

    switch (rule.kind) {
    case OPTIM_SGD:
        if (rule.use_m) {
            *m = v_fma(mu, *m, g);
            g = rule.nesterov ? v_fma(mu, *m, g) : *m;
        }
        break;
    case OPTIM_ADAGRAD:
        *v = v_fma(g, g, *v);
        g = v_div(g, v_add(v_sqrt(*v), eps));
        break;
    case OPTIM_ADADELTA:
        *v = v_fma(b2, *v, v_mul(v_mul(rest2, g), g));
        g = v_div(v_mul(g, v_sqrt(v_add(*m, eps))), v_sqrt(v_add(*v, eps)));
        *m = v_fma(b2, *m, v_mul(v_mul(rest2, g), g));
        break;
    case OPTIM_RMSPROP:
        *v = v_fma(b2, *v, v_mul(v_mul(rest2, g), g));
        g = v_div(g, v_add(v_sqrt(*v), eps));
        if (rule.use_m) g = *m = v_fma(mu, *m, g);
        break;
    case OPTIM_ADAM:
    case OPTIM_ADAMW:
        *m = v_fma(v_set1(job->b1), *m, v_mul(v_set1(1 - job->b1), g));
        *v = v_fma(b2, *v, v_mul(v_mul(rest2, g), g));
        g = v_div(v_mul(*m, v_set1(job->c1)), v_add(v_sqrt(v_mul(*v, v_set1(job->c2))), eps));
        break;
    }
    return v_sub(w, v_mul(rate, g));
}

V_INLINE void optim_loop(const optim_rule rule, const optim_job *job, size_t n, const float *g,
                         float *w, float *m, float *v) {
    const optim_job fixed =
        *job; /* stores to w, m, v cannot change it: constants stay in registers */
    vf mi = v_zero(), vi = v_zero();
    size_t i = 0;
    for (; n - i >= V_LANES; i += V_LANES) {
        if (rule.use_m) mi = v_load(m + i);
        if (rule.use_v) vi = v_load(v + i);
        v_store(w + i, optim_step(rule, &fixed, v_load(g + i), v_load(w + i), &mi, &vi));
        if (rule.use_m) v_store(m + i, mi);
        if (rule.use_v) v_store(v + i, vi);
    }
    if (i < n) {
        const vp some = v_first((ptrdiff_t)(n - i));
        if (rule.use_m) mi = v_load_some(m + i, some);
        if (rule.use_v) vi = v_load_some(v + i, some);
        const vf gi = v_load_some(g + i, some), wi = v_load_some(w + i, some);
        v_store_some(w + i, some, optim_step(rule, &fixed, gi, wi, &mi, &vi));
        if (rule.use_m) v_store_some(m + i, some, mi);
        if (rule.use_v) v_store_some(v + i, some, vi);
    }
}

static void optim(const optim_job *job, size_t n, const float *g, float *w, float *m, float *v) {
#define OPTIM_LOOP(kind, use_m, use_v, nesterov)                                                   \
    optim_loop((optim_rule){ kind, use_m, use_v, nesterov }, job, n, g, w, m, v)
    const bool momentum = job->momentum != 0;
    switch (job->kind) {
    case OPTIM_SGD:
        if (!momentum)
            OPTIM_LOOP(OPTIM_SGD, false, false, false);
        else if (job->nesterov)
            OPTIM_LOOP(OPTIM_SGD, true, false, true);
        else
            OPTIM_LOOP(OPTIM_SGD, true, false, false);
        break;
    case OPTIM_ADAGRAD: OPTIM_LOOP(OPTIM_ADAGRAD, false, true, false); break;
    case OPTIM_ADADELTA: OPTIM_LOOP(OPTIM_ADADELTA, true, true, false); break;
    case OPTIM_RMSPROP:
        if (momentum)
            OPTIM_LOOP(OPTIM_RMSPROP, true, true, false);
        else
            OPTIM_LOOP(OPTIM_RMSPROP, false, true, false);
        break;
    case OPTIM_ADAM: OPTIM_LOOP(OPTIM_ADAM, true, true, false); break;
    case OPTIM_ADAMW: OPTIM_LOOP(OPTIM_ADAMW, true, true, false); break;
    }
#undef OPTIM_LOOP
}
