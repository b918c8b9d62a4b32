/* init.c - initialisers; formulas in train.h and docs/training.md.
 *
 * Invariant: element i of a parameter depends on (seed, the parameter's name, i, scheme) alone.
 * Blocks of fixed size draw from streams of their own, so threads share the work without changing a
 * bit; a redraw of the truncated normal stays inside its block's stream.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/pool.h"
#include "base/rng.h"
#include "net/net.h"
#include <lenslet/train.h>

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* A normal number costs some 40 ns (logarithm and cosine in double), so a block of 4096 is 160
 * microseconds: far above what waking a thread costs, far below a layer of VGG. 2^20 counters a block
 * leave room for 1000 draws an element. */
enum { INIT_BLOCK = 4096, INIT_STREAM_BITS = 20 };
#define INIT_ELEMENT_NS 40.0

typedef enum draw { DRAW_CONSTANT, DRAW_UNIFORM, DRAW_NORMAL, DRAW_TRUNCATED } draw;

/* How wide: the number after the colon, or a function of the fans. */
typedef enum spread {
    SPREAD_GIVEN,
    SPREAD_ZERO,
    SPREAD_HE,
    SPREAD_XAVIER,
    SPREAD_LECUN,
    SPREAD_TORCH
} spread;

typedef struct scheme {
    const char *name;
    draw draw;
    spread spread;
    bool any_sign; /* the number given may be 0 or negative */
} scheme;

static const scheme schemes[] = {
    { "he", DRAW_NORMAL, SPREAD_HE, false },
    { "he-uniform", DRAW_UNIFORM, SPREAD_HE, false },
    { "xavier", DRAW_UNIFORM, SPREAD_XAVIER, false },
    { "xavier-normal", DRAW_NORMAL, SPREAD_XAVIER, false },
    { "lecun", DRAW_UNIFORM, SPREAD_LECUN, false },
    { "torch", DRAW_UNIFORM, SPREAD_TORCH, false },
    { "normal", DRAW_NORMAL, SPREAD_GIVEN, false },
    { "uniform", DRAW_UNIFORM, SPREAD_GIVEN, false },
    { "truncated", DRAW_TRUNCATED, SPREAD_GIVEN, false },
    { "zero", DRAW_CONSTANT, SPREAD_ZERO, true },
    { "constant", DRAW_CONSTANT, SPREAD_GIVEN, true },
};

static lens_status parse(lens_ctx *ctx, const char *text, const scheme **out, double *given) {
    char word[32];
    const char *names[LENS_COUNT(schemes)], *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text), k = 0;
    if (length >= sizeof word) length = sizeof word - 1;
    memcpy(word, text, length);
    word[length] = 0;
    for (size_t i = 0; i < LENS_COUNT(schemes); i++) names[i] = schemes[i].name;
    while (k < LENS_COUNT(schemes) && strcmp(word, names[k]) != 0) k++;
    if (k == LENS_COUNT(schemes)) {
        const char *near = nearest_name(word, names, LENS_COUNT(schemes));
        return ctx_fail(
            ctx, LENS_NOT_FOUND,
            "no initialiser is called \"%s\"%s%s%s; there are he, he-uniform, xavier, "
            "xavier-normal, lecun, torch, normal:S, uniform:A, truncated:S, zero, constant:V",
            word, near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
    }
    const scheme *s = &schemes[k];
    bool fits = s->spread == SPREAD_GIVEN ? colon && parse_double(colon + 1, given) : !colon;
    if (fits && s->spread == SPREAD_GIVEN && !s->any_sign) fits = *given > 0;
    if (!fits)
        return ctx_fail(ctx, LENS_BAD_ARG, "initialiser \"%s\": the form is %s%s", text, s->name,
                        s->spread != SPREAD_GIVEN ? ""
                        : s->any_sign             ? ":V"
                                                  : ":A with a positive number");
    *out = s;
    return LENS_OK;
}

/* Standard deviation of a normal, half width of a uniform, or the constant itself. */
static double width(const scheme *s, double given, double fan_in, double fan_out) {
    bool uniform = s->draw == DRAW_UNIFORM;
    switch (s->spread) {
    case SPREAD_GIVEN: return given;
    case SPREAD_ZERO: return 0;
    case SPREAD_HE: return sqrt((uniform ? 6 : 2) / fan_in);
    case SPREAD_XAVIER: return sqrt((uniform ? 6 : 2) / (fan_in + fan_out));
    case SPREAD_LECUN: return 2.4 / fan_in;
    case SPREAD_TORCH: return 1 / sqrt(fan_in);
    }
    return 0;
}

typedef struct init_job {
    uint64_t seed;
    uint32_t name;
    draw draw;
    float width;
    float *value;
    size_t count;
} init_job;

static float draw_one(const init_job *j, rng *r) {
    switch (j->draw) {
    case DRAW_UNIFORM: return j->width * (2 * rng_uniform(r) - 1);
    case DRAW_NORMAL: return j->width * rng_normal(r);
    case DRAW_TRUNCATED: {
        float z = rng_normal(r);
        while (!(fabsf(z) <= 2)) z = rng_normal(r);
        return j->width * z;
    }
    default: return j->width;
    }
}

static void init_block(void *arg, int block, int thread) {
    (void)thread;
    const init_job *j = arg;
    rng r = rng_start(j->seed, RNG_INIT, j->name, (uint64_t)block << INIT_STREAM_BITS);
    size_t first = (size_t)block * INIT_BLOCK, end = first + INIT_BLOCK;
    if (end > j->count) end = j->count;
    for (size_t i = first; i < end; i++) j->value[i] = draw_one(j, &r);
}

/* The fan of the weight beside a bias, for the one scheme that draws biases too; 0: none. */
static int sibling_fan(const lens_net *net, const lens_param *p) {
    size_t length = strlen(p->name);
    if (length < 5 || strcmp(p->name + length - 5, ".bias") != 0) return 0;
    int params = lens_net_params(net);
    for (int i = 0; i < params; i++) {
        lens_param other;
        if (lens_net_param(net, i, &other) == LENS_OK && other.node == p->node && other.fan_in > 0)
            return other.fan_in;
    }
    return 0;
}

lens_status lens_init(lens_net *net, const char *text, uint64_t seed) {
    lens_ctx *ctx = net->ctx;
    const scheme *s = NULL;
    double given = 0;
    LENS_TRY(parse(ctx, text ? text : "he", &s, &given));
    int params = lens_net_params(net);
    for (int i = 0; i < params; i++) {
        lens_param p;
        LENS_TRY(lens_net_param(net, i, &p));
        bool vector = p.fan_in == 0;
        if (!p.trainable && !vector) continue; /* fixed codes */
        int fan_in = p.fan_in, fan_out = p.fan_out;
        if (vector && s->spread == SPREAD_TORCH && p.trainable) fan_in = sibling_fan(net, &p);
        bool drawn = fan_in > 0;
        init_job job = { .seed = seed,
                         .name = XXH32(p.name, strlen(p.name), 0),
                         .draw = drawn ? s->draw : DRAW_CONSTANT,
                         .width = drawn ? (float)width(s, given, fan_in, fan_out) : p.start,
                         .value = p.value.data,
                         .count = (size_t)lens_tensor_count(&p.value) };
        size_t blocks = (job.count + INIT_BLOCK - 1) / INIT_BLOCK;
        pool_run(ctx_pool(ctx), (int)blocks, INIT_ELEMENT_NS * INIT_BLOCK, init_block, &job);
    }
    lens_net_touched(net);
    return LENS_OK;
}
