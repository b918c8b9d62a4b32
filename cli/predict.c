/* predict.c - lenslet predict: the most probable classes of picture files.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct job {
    model m;
    lens_session *session;
    float *chw;     /* one view of a picture */
    float *p, *one; /* its probabilities: the mean over the views, and of one */
    int *order;     /* classes, the most probable first */
    int top, crops;
} job;

/* Most probable first; of equals the lower class. Only the first `top` places are sorted. */
static void rank(const float *p, int *order, int classes, int top) {
    for (int k = 0; k < classes; k++) order[k] = k;
    for (int i = 0; i < top; i++) {
        int best = i;
        for (int k = i + 1; k < classes; k++)
            if (p[order[k]] > p[order[best]]) best = k;
        int chosen = order[best];
        memmove(order + i + 1, order + i, (size_t)(best - i) * sizeof *order);
        order[i] = chosen;
    }
}

static int look_at(cli *c, job *j, const char *path) {
    lens_tensor whole, x = { j->chw, 4, { 1, j->m.input.c, j->m.input.h, j->m.input.w } }, y;
    int status = read_whole(c, &j->m, path, &whole);
    if (status) return status;
    for (int k = 0; k < j->m.classes; k++) j->p[k] = 0;
    lens_status ran = LENS_OK;
    for (int v = 0; v < j->crops && ran == LENS_OK; v++) {
        ran = lens_view(c->ctx, &whole, j->crops, v, &x);
        normalise(&j->m, j->chw, 1);
        if (ran == LENS_OK) ran = lens_run(j->session, &x, &y);
        if (ran == LENS_OK) probabilities(&j->m, y.data, j->one);
        for (int k = 0; k < j->m.classes; k++) j->p[k] += j->one[k] / (float)j->crops;
    }
    free(whole.data);
    if (ran != LENS_OK) return fail_status(c, ran, WORKING);
    rank(j->p, j->order, j->m.classes, j->top);
    return EXIT_DONE;
}

static json_t *answer_json(const job *j, const char *path) {
    json_t *top = json_array();
    for (int i = 0; i < j->top; i++) {
        int k = j->order[i];
        json_array_append_new(top, json_pack("{s:o,s:i,s:o}", "label", json_text(j->m.label[k]),
                                             "index", k, "p", json_number((double)j->p[k])));
    }
    return json_pack("{s:o,s:o}", "file", json_text(path), "top", top);
}

static void print_answer(const job *j, const char *path) {
    table *t = table_new("llrl", NULL);
    printf("%s\n", path);
    for (int i = 0; i < j->top; i++) {
        char bar[96], p[16];
        int k = j->order[i];
        snprintf(p, sizeof p, "%.4f", (double)j->p[k]);
        table_row(t, (const char *[]){ " ", j->m.label[k], p, as_bar((double)j->p[k], 40, bar) });
    }
    table_print(t);
}

static int look_at_all(cli *c, job *j) {
    json_t *answers = json_array();
    int status = EXIT_DONE;
    for (int i = 0; i < c->operands && status == EXIT_DONE; i++) {
        status = look_at(c, j, c->operand[i]);
        if (status) break;
        if (c->json)
            json_array_append_new(answers, answer_json(j, c->operand[i]));
        else
            print_answer(j, c->operand[i]);
    }
    if (status == EXIT_DONE && c->json) {
        if (c->operands == 1)
            emit(c, json_incref(json_array_get(answers, 0)));
        else
            emit(c, json_pack("{s:O}", "predictions", answers));
    }
    json_decref(answers);
    return status;
}

int run_predict(cli *c) {
    job j = { 0 };
    int status = open_model(c, &j.m);
    if (status) return status;
    size_t pixels = (size_t)j.m.input.c * (size_t)j.m.input.h * (size_t)j.m.input.w;
    j.chw = take(pixels, sizeof *j.chw);
    j.p = take((size_t)j.m.classes, sizeof *j.p);
    j.one = take((size_t)j.m.classes, sizeof *j.one);
    j.crops = atoi(text_of(c, "crops", "1"));
    j.order = take((size_t)j.m.classes, sizeof *j.order);
    j.top = (int)whole_of(c, "top", 3);
    if (j.top > j.m.classes) j.top = j.m.classes;
    lens_status made = lens_session_new(&j.session, j.m.net, c->ctx, NULL);
    status = made == LENS_OK ? look_at_all(c, &j) : fail_status(c, made, WORKING);
    lens_session_free(j.session);
    free(j.order);
    free(j.one);
    free(j.p);
    free(j.chw);
    close_model(&j.m);
    return status;
}
