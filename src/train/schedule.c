/* schedule.c - learning rate schedules; formulas in train.h and docs/training.md.
 *
 * Invariant: a factor depends on the step's number alone, never on the steps taken before (the one
 * exception, plateau, keeps its state in the loop), so a resumed run continues exactly.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"
#include "base/base.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    schedule_kind kind;
    const char *form; /* "" for a bare word */
} kinds[] = {
    { "constant", SCHEDULE_CONSTANT, "" },     { "step", SCHEDULE_STEP, "E,G" },
    { "steps", SCHEDULE_STEPS, "E1,E2,..:G" }, { "poly", SCHEDULE_POLY, "P" },
    { "cosine", SCHEDULE_COSINE, "" },         { "onecycle", SCHEDULE_ONECYCLE, "" },
    { "plateau", SCHEDULE_PLATEAU, "P,G" },
};

/* Reads a number and the sign behind it: *end is 0 at the end of the text. */
static bool number(const char **text, double *value, char *end) {
    char word[40];
    size_t n = strcspn(*text, ",:");
    if (n == 0 || n >= sizeof word) return false;
    memcpy(word, *text, n);
    word[n] = 0;
    *end = (*text)[n];
    *text += n + (*end != 0);
    return parse_double(word, value);
}

static bool parse_two(const char *text, double *a, double *b) {
    char end;
    return number(&text, a, &end) && end == ',' && number(&text, b, &end) && end == 0;
}

static bool parse_steps(const char *text, schedule *s) {
    char end = ',';
    while (end == ',') {
        if (s->count == SCHEDULE_MAX_STEPS) return false;
        double at;
        if (!number(&text, &at, &end) || !(at > 0)) return false;
        if (s->count > 0 && !(at > s->at[s->count - 1])) return false;
        s->at[s->count++] = at;
    }
    return end == ':' && number(&text, &s->factor, &end) && end == 0 && s->factor > 0;
}

static bool parse_numbers(const char *text, schedule *s) {
    char end;
    switch (s->kind) {
    case SCHEDULE_STEP:
        return parse_two(text, &s->every, &s->factor) && s->every > 0 && s->factor > 0;
    case SCHEDULE_PLATEAU:
        return parse_two(text, &s->every, &s->factor) && s->every >= 1 && s->factor > 0 &&
               s->factor < 1;
    case SCHEDULE_STEPS: return parse_steps(text, s);
    case SCHEDULE_POLY: return number(&text, &s->power, &end) && end == 0 && s->power > 0;
    default: return *text == 0;
    }
}

lens_status schedule_parse(lens_ctx *ctx, const char *text, schedule *out) {
    schedule s = { .factor = 1 };
    char body[256];
    if (!text || !*text) text = "constant";
    const char *plus = strchr(text, '+');
    size_t length = plus ? (size_t)(plus - text) : strlen(text);
    if (length >= sizeof body)
        return ctx_fail(ctx, LENS_BAD_ARG, "schedule: longer than %zu characters", sizeof body - 1);
    memcpy(body, text, length);
    body[length] = 0;
    if (plus) {
        static const char key[] = "warmup:";
        if (strncmp(plus + 1, key, sizeof key - 1) != 0 ||
            !parse_double(plus + sizeof key, &s.warm_up) || !(s.warm_up > 0))
            return ctx_fail(
                ctx, LENS_BAD_ARG,
                "schedule \"%s\": after + comes warmup:E with a number of epochs, not \"%s\"", text,
                plus + 1);
    }

    char *numbers = strchr(body, ':');
    if (numbers) *numbers++ = 0;
    size_t k = 0;
    while (k < LENS_COUNT(kinds) && strcmp(body, kinds[k].name) != 0) k++;
    if (k == LENS_COUNT(kinds)) {
        const char *names[LENS_COUNT(kinds)];
        for (size_t i = 0; i < LENS_COUNT(kinds); i++) names[i] = kinds[i].name;
        const char *near = nearest_name(body, names, LENS_COUNT(kinds));
        return ctx_fail(
            ctx, LENS_NOT_FOUND,
            "no schedule is called \"%s\"%s%s%s; there are constant, step, steps, poly, "
            "cosine, onecycle, plateau",
            body, near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
    }
    s.kind = kinds[k].kind;
    if (!parse_numbers(numbers ? numbers : "", &s))
        return ctx_fail(ctx, LENS_BAD_ARG, "schedule \"%s\": the form is %s%s%s", text,
                        kinds[k].name, *kinds[k].form ? ":" : "", kinds[k].form);
    *out = s;
    return LENS_OK;
}

static double cosine(double from, double to, double part) {
    return to + (from - to) / 2 * (1 + cos(3.14159265358979323846 * part));
}

/* Smith 2018, in the form of PyTorch's OneCycleLR: the peak at step 0.3 S - 1. */
static double one_cycle(double s, double steps) {
    double peak = 0.3 * steps - 1;
    if (s <= peak) return cosine(1.0 / 25, 1, s / peak);
    double start = peak > 0 ? peak : 0;
    return steps - 1 > start ? cosine(1, 1e-4 / 25, (s - start) / (steps - 1 - start)) : 1;
}

double schedule_factor(const schedule *s, int64_t step, int64_t steps, int64_t per_epoch) {
    double at = (double)step, all = (double)steps, factor = 1;
    double epoch = floor(at / (double)per_epoch);
    switch (s->kind) {
    case SCHEDULE_CONSTANT:
    case SCHEDULE_PLATEAU: break;
    case SCHEDULE_STEP: factor = pow(s->factor, floor(epoch / s->every)); break;
    case SCHEDULE_STEPS:
        for (int i = 0; i < s->count && epoch >= s->at[i]; i++) factor *= s->factor;
        break;
    case SCHEDULE_POLY: factor = pow(1 - at / all, s->power); break;
    case SCHEDULE_COSINE: factor = cosine(1, 0, at / all); break;
    case SCHEDULE_ONECYCLE: factor = one_cycle(at, all); break;
    }
    double warm = s->warm_up * (double)per_epoch;
    return at + 1 < warm ? factor * (at + 1) / warm : factor;
}

lens_status lens_schedule_at(lens_ctx *ctx, const char *text, int64_t step, int64_t steps,
                             int64_t per_epoch, double *factor) {
    schedule s;
    if (per_epoch < 1 || step < 0 || step >= steps)
        return ctx_fail(ctx, LENS_BAD_ARG, "schedule: step %lld of %lld, %lld an epoch",
                        (long long)step, (long long)steps, (long long)per_epoch);
    LENS_TRY(schedule_parse(ctx, text, &s));
    *factor = schedule_factor(&s, step, steps, per_epoch);
    return LENS_OK;
}
