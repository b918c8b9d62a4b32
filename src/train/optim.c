/* optim.c - optimisers: one update of every parameter; the rules themselves are kern->optim.
 *
 * Invariant: parameters are cut into blocks of fixed size; a block's update depends on its own
 * elements, and the gradient's norm adds the blocks' sums in order, in double. So the number of
 * threads changes no bit. A gradient that is not finite stops the step before any weight moved.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/optim.h"
#include "base/base.h"
#include "base/pool.h"
#include "kern/kern.h"
#include "net/net.h"

#include <math.h>
#include <string.h>

/* 16384 floats of w, g, m and v are 256 KiB: they fit the second-level cache, so the check of the
 * gradient brings in what the update reads. An element costs about 1/4 ns in each of them. */
enum { OPTIM_BLOCK = 16384, OPTIM_ALIGN = 16 };
#define OPTIM_ELEMENT_NS 0.25

enum { USES_MOMENTUM = 1, USES_B1 = 2, USES_B2 = 4, USES_EPS = 8, KEEPS_M = 16, KEEPS_V = 32 };

/* Defaults are PyTorch's. */
typedef struct rule {
    const char *name;
    optim_kind kind;
    bool nesterov;
    unsigned flags;
    double rate, momentum, b1, b2, eps;
} rule;

static const rule rules[] = {
    { "sgd", OPTIM_SGD, false, USES_MOMENTUM, 0.01, 0, 0, 0, 0 },
    { "nesterov", OPTIM_SGD, true, USES_MOMENTUM, 0.01, 0.9, 0, 0, 0 },
    { "adagrad", OPTIM_ADAGRAD, false, USES_EPS | KEEPS_V, 0.01, 0, 0, 0, 1e-10 },
    { "adadelta", OPTIM_ADADELTA, false, USES_B2 | USES_EPS | KEEPS_M | KEEPS_V, 1, 0, 0, 0.9,
      1e-6 },
    { "rmsprop", OPTIM_RMSPROP, false, USES_MOMENTUM | USES_B2 | USES_EPS | KEEPS_V, 0.01, 0, 0,
      0.99, 1e-8 },
    { "adam", OPTIM_ADAM, false, USES_B1 | USES_B2 | USES_EPS | KEEPS_M | KEEPS_V, 0.001, 0, 0.9,
      0.999, 1e-8 },
    { "adamw", OPTIM_ADAMW, false, USES_B1 | USES_B2 | USES_EPS | KEEPS_M | KEEPS_V, 0.001, 0, 0.9,
      0.999, 1e-8 },
};

typedef struct slot { /* one parameter of the net */
    lens_param param;
    lens_tensor grad;
    bool live; /* trainable and not frozen in this step */
    float *m, *v;
} slot;

typedef struct block {
    int slot;
    size_t first, count;
} block;

struct lens_optim {
    lens_ctx *ctx;
    lens_net *net;
    const struct kern *kern;
    lens_optim_opts settings;
    optim_job job;
    int64_t time;
    int slots, blocks;
    slot *slot;
    block *block;
    double *squares; /* [blocks]; not finite where the gradient is not */
    bool *damaged;   /* [blocks]: a weight is not finite after the update */
    float *state;
};

static lens_status find_rule(lens_ctx *ctx, const char *name, const rule **out) {
    const char *names[LENS_COUNT(rules)];
    if (!name) name = "sgd";
    for (size_t i = 0; i < LENS_COUNT(rules); i++) {
        names[i] = rules[i].name;
        if (strcmp(name, names[i]) == 0) {
            *out = &rules[i];
            return LENS_OK;
        }
    }
    const char *near = nearest_name(name, names, LENS_COUNT(rules));
    return ctx_fail(
        ctx, LENS_NOT_FOUND,
        "no optimiser is called \"%s\"%s%s%s; there are sgd, nesterov, adagrad, adadelta, "
        "rmsprop, adam, adamw",
        name, near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
}

/* Checks one number, 0 meaning `fallback`. */
static lens_status fill(lens_ctx *ctx, const rule *r, const char *what, double given,
                        double fallback, unsigned needs, double below, double *out) {
    if (given != 0 && (r->flags & needs) != needs)
        return ctx_fail(ctx, LENS_BAD_ARG, "%s has no %s, but %g is given", r->name, what, given);
    if (!(given >= 0 && given < below))
        return ctx_fail(ctx, LENS_BAD_ARG, "%s: %s is %g but must be in [0, %g)", r->name, what,
                        given, below);
    *out = given != 0 ? given : fallback;
    return LENS_OK;
}

static lens_status settle(lens_ctx *ctx, const lens_optim_opts *given, lens_optim_opts *out,
                          const rule **rule_out) {
    static const lens_optim_opts none;
    const rule *r = NULL;
    if (!given) given = &none;
    LENS_TRY(find_rule(ctx, given->name, &r));
    out->name = r->name;
    LENS_TRY(fill(ctx, r, "learning rate", given->rate, r->rate, 0, INFINITY, &out->rate));
    LENS_TRY(
        fill(ctx, r, "momentum", given->momentum, r->momentum, USES_MOMENTUM, 1, &out->momentum));
    LENS_TRY(fill(ctx, r, "b1", given->b1, r->b1, USES_B1, 1, &out->b1));
    LENS_TRY(fill(ctx, r, "b2", given->b2, r->b2, USES_B2, 1, &out->b2));
    LENS_TRY(fill(ctx, r, "eps", given->eps, r->eps, USES_EPS, INFINITY, &out->eps));
    LENS_TRY(fill(ctx, r, "weight decay", given->weight_decay, 0, 0, INFINITY, &out->weight_decay));
    LENS_TRY(fill(ctx, r, "clip", given->clip, 0, 0, INFINITY, &out->clip));
    *rule_out = r;
    return LENS_OK;
}

static size_t round_up(size_t n) { return (n + OPTIM_ALIGN - 1) / OPTIM_ALIGN * OPTIM_ALIGN; }

/* Lays out state and blocks of every trainable parameter. */
static lens_status lay_out(lens_optim *o, bool keeps_m, bool keeps_v) {
    size_t floats = 0;
    o->slots = lens_net_params(o->net);
    o->slot = ctx_alloc(o->ctx, (size_t)o->slots + 1, sizeof *o->slot);
    if (!o->slot) return LENS_NOMEM;
    for (int i = 0; i < o->slots; i++) {
        LENS_TRY(lens_net_param(o->net, i, &o->slot[i].param));
        if (!o->slot[i].param.trainable) continue;
        size_t count = (size_t)lens_tensor_count(&o->slot[i].param.value);
        floats += round_up(count) * (size_t)(keeps_m + keeps_v);
        o->blocks += (int)((count + OPTIM_BLOCK - 1) / OPTIM_BLOCK);
    }
    o->state = ctx_alloc(o->ctx, floats + 1, sizeof *o->state);
    o->block = ctx_alloc(o->ctx, (size_t)o->blocks + 1, sizeof *o->block);
    o->squares = ctx_alloc(o->ctx, (size_t)o->blocks + 1, sizeof *o->squares);
    o->damaged = ctx_alloc(o->ctx, (size_t)o->blocks + 1, sizeof *o->damaged);
    if (!o->state || !o->block || !o->squares || !o->damaged) return LENS_NOMEM;

    float *next = o->state;
    int blocks = 0;
    for (int i = 0; i < o->slots; i++) {
        slot *s = &o->slot[i];
        if (!s->param.trainable) continue;
        size_t count = (size_t)lens_tensor_count(&s->param.value);
        if (keeps_m) {
            s->m = next;
            next += round_up(count);
        }
        if (keeps_v) {
            s->v = next;
            next += round_up(count);
        }
        for (size_t first = 0; first < count; first += OPTIM_BLOCK)
            o->block[blocks++] =
                (block){ i, first, count - first < OPTIM_BLOCK ? count - first : OPTIM_BLOCK };
    }
    return LENS_OK;
}

lens_status lens_optim_new(lens_optim **out, lens_net *net, const lens_optim_opts *opts) {
    lens_ctx *ctx = net->ctx;
    lens_optim_opts settings;
    const rule *r = NULL;
    LENS_TRY(settle(ctx, opts, &settings, &r));
    lens_optim *o = ctx_alloc(ctx, 1, sizeof *o);
    if (!o) return LENS_NOMEM;
    o->ctx = ctx;
    o->net = net;
    o->kern = ctx_kern(ctx);
    o->settings = settings;
    o->job = (optim_job){ .kind = r->kind,
                          .nesterov = r->nesterov,
                          .weight_decay = (float)settings.weight_decay,
                          .momentum = (float)settings.momentum,
                          .b1 = (float)settings.b1,
                          .b2 = (float)settings.b2,
                          .eps = (float)settings.eps };
    bool momentum = (r->flags & USES_MOMENTUM) && settings.momentum > 0;
    lens_status status = lay_out(o, momentum || (r->flags & KEEPS_M), r->flags & KEEPS_V);
    if (status != LENS_OK) {
        lens_optim_free(o);
        return status;
    }
    *out = o;
    return LENS_OK;
}

void lens_optim_free(lens_optim *o) {
    if (!o) return;
    ctx_free(o->ctx, o->damaged);
    ctx_free(o->ctx, o->squares);
    ctx_free(o->ctx, o->block);
    ctx_free(o->ctx, o->state);
    ctx_free(o->ctx, o->slot);
    ctx_free(o->ctx, o);
}

const lens_optim_opts *optim_settings(const lens_optim *o) { return &o->settings; }
int64_t optim_time(const lens_optim *o) { return o->time; }
void optim_set_time(lens_optim *o, int64_t time) { o->time = time; }

void optim_state(const lens_optim *o, int index, float **m, float **v) {
    *m = o->slot[index].m;
    *v = o->slot[index].v;
}

/* The sum of squares where clipping needs it (not finite exactly if an element is not: a float's
 * square cannot overflow a double); else only the question whether all is finite. */
static void check_block(void *arg, int task, int thread) {
    (void)thread;
    lens_optim *o = arg;
    const block *b = &o->block[task];
    const slot *s = &o->slot[b->slot];
    double sum, squares = 0;
    if (s->live) {
        const float *g = s->grad.data + b->first;
        if (o->settings.clip > 0)
            o->kern->moments(b->count, g, 0, 0, &sum, &squares);
        else if (!o->kern->all_finite(b->count, g))
            squares = NAN;
    }
    o->squares[task] = squares;
}

static void update_block(void *arg, int task, int thread) {
    (void)thread;
    lens_optim *o = arg;
    const block *b = &o->block[task];
    const slot *s = &o->slot[b->slot];
    o->damaged[task] = false;
    if (!s->live) return;
    float *w = s->param.value.data + b->first;
    o->kern->optim(&o->job, b->count, s->grad.data + b->first, w, s->m ? s->m + b->first : NULL,
                   s->v ? s->v + b->first : NULL);
    o->damaged[task] = !o->kern->all_finite(b->count, w);
}

lens_status lens_optim_step(lens_optim *o, lens_session *session, double rate) {
    if (!(rate >= 0) || !isfinite(rate))
        return ctx_fail(o->ctx, LENS_BAD_ARG, "%s: learning rate is %g but must be 0 or more",
                        o->settings.name, rate);
    for (int i = 0; i < o->slots; i++) {
        slot *s = &o->slot[i];
        LENS_TRY(lens_net_param(o->net, i, &s->param));
        s->live = s->param.trainable && !s->param.frozen;
        if (s->live) LENS_TRY(lens_grad(session, i, &s->grad));
    }

    double ns = OPTIM_ELEMENT_NS * OPTIM_BLOCK, squares = 0;
    pool_run(ctx_pool(o->ctx), o->blocks, ns, check_block, o);
    for (int b = 0; b < o->blocks; b++) squares += o->squares[b];
    if (!isfinite(squares)) {
        /* Backward runs from the output, so the last parameter is where it began. */
        int b = o->blocks - 1;
        while (isfinite(o->squares[b])) b--;
        return ctx_fail(o->ctx, LENS_DIVERGED, "the gradient of %s is not finite",
                        o->slot[o->block[b].slot].param.name);
    }

    double norm = sqrt(squares), clip = o->settings.clip;
    o->time++;
    o->job.rate = (float)rate;
    o->job.g_scale = clip > 0 && norm > clip ? (float)(clip / norm) : 1;
    if (o->job.kind == OPTIM_ADAM || o->job.kind == OPTIM_ADAMW) {
        o->job.c1 = (float)(1 / (1 - pow(o->settings.b1, (double)o->time)));
        o->job.c2 = (float)(1 / (1 - pow(o->settings.b2, (double)o->time)));
    }
    pool_run(ctx_pool(o->ctx), o->blocks, 2 * ns, update_block, o);
    lens_net_touched(o->net);
    for (int b = 0; b < o->blocks; b++)
        if (o->damaged[b])
            return ctx_fail(o->ctx, LENS_DIVERGED, "%s is not finite after the update",
                            o->slot[o->block[b].slot].param.name);
    return LENS_OK;
}
