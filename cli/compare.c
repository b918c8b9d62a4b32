/* compare.c - lenslet compare: the first node at which two models part, with both numbers and the
 * place.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 16
}; /* samples at a time: bounds the memory of two sessions that keep every value */

typedef struct side {
    model m;
    const char *name; /* for people */
    lens_session *session;
} side;

/* What was found at one node. */
typedef struct finding {
    lens_node *node; /* of A; NULL: none yet */
    int64_t sample;
    int at[3]; /* map, row, column */
    float a, b;
    double difference, largest; /* of the node */
} finding;

typedef struct job {
    side a, b;
    lens_tensor x; /* owned */
    double tolerance;
    finding first;
    int compared, left_out; /* nodes of A */
    int64_t samples;        /* looked at */
} job;

static int open_side(cli *c, side *s, const char *operand) {
    const lens_zoo_opts opts = { .classes = (int)whole_of(c, "classes", 0) };
    const char *net = text_of(c, "net", NULL), *weights = text_of(c, "weights", NULL);
    if (!operand && (!net || !weights))
        return fail(c, EXIT_USAGE,
                    "compare with what? a second model, or --net NAME|FILE --weights FILE");
    s->name = operand ? operand : weights;
    int status = open_net(c, &s->m, operand ? operand : net, &opts);
    if (status) return status;
    if (!operand) {
        status = load_weights(c, &s->m, weights, NULL);
    } else if (!s->m.trained) {
        status = fail(c, EXIT_USAGE, "%s is a net without weights; compare wants models", operand);
    }
    return status;
}

static int read_input(cli *c, job *j) {
    const char *path = text_of(c, "input", NULL);
    const lens_node_info *want = &j->a.m.input, *other = &j->b.m.input;
    char shape[96];
    if (!path) return fail(c, EXIT_USAGE, "which input? --input X.npy");
    if (want->rank != other->rank || want->c != other->c || want->h != other->h ||
        want->w != other->w)
        return fail(c, EXIT_USAGE, "%s reads %dx%dx%d, but %s reads %dx%dx%d", j->a.name, want->c,
                    want->h, want->w, j->b.name, other->c, other->h, other->w);
    lens_status status = lens_npy_read(c->ctx, &j->x, path);
    if (status != LENS_OK) return fail_status(c, status, READING);
    if (j->x.rank == want->rank - 1) { /* one sample */
        memmove(j->x.dim + 1, j->x.dim, (size_t)j->x.rank * sizeof *j->x.dim);
        j->x.dim[0] = 1;
        j->x.rank++;
    }
    if (j->x.rank == want->rank && j->x.dim[0] >= 1) return EXIT_DONE;
    return fail(c, EXIT_BAD_INPUT, "%s holds %s, but the nets read N x %d x %d x %d", path,
                lens_tensor_shape(&j->x, shape), want->c, want->h, want->w);
}

/* |a - b|; infinite where one is a number and the other is not. */
static double apart(float a, float b) {
    if (a == b || (isnan(a) && isnan(b))) return 0;
    double difference = fabs((double)a - (double)b);
    return isnan(difference) ? INFINITY : difference;
}

/* The largest difference of two values of one shape. */
static finding look(const lens_tensor *a, const lens_tensor *b, int64_t sample) {
    finding f = { .difference = -1 };
    int64_t count = lens_tensor_count(a), worst = 0;
    for (int64_t i = 0; i < count; i++) {
        double difference = apart(a->data[i], b->data[i]);
        if (isfinite(a->data[i])) f.largest = fmax(f.largest, fabs((double)a->data[i]));
        if (isfinite(b->data[i])) f.largest = fmax(f.largest, fabs((double)b->data[i]));
        if (difference > f.difference) {
            f.difference = difference;
            worst = i;
        }
    }
    f.a = a->data[worst];
    f.b = b->data[worst];
    for (int d = a->rank - 1; d > 0; d--) {
        f.at[d - 1] = (int)(worst % a->dim[d]);
        worst /= a->dim[d];
    }
    f.sample = sample + worst;
    return f;
}

static bool same_shape(const lens_tensor *a, const lens_tensor *b) {
    bool same = a->rank == b->rank;
    for (int d = 0; same && d < a->rank; d++) same = a->dim[d] == b->dim[d];
    return same;
}

/* One chunk, up to the first node that parts. The outputs are compared whatever they are called. */
static lens_status compare_chunk(job *j, int64_t sample) {
    lens_tensor va, vb;
    int nodes = lens_net_nodes(j->a.m.net);
    j->compared = j->left_out = 0;
    for (int i = 0; i < nodes && !j->first.node; i++) {
        lens_node *a = lens_net_node(j->a.m.net, i);
        lens_node_info info;
        lens_node_info_get(a, &info);
        if (info.training) continue;
        lens_node *b = a == lens_net_output(j->a.m.net) ? lens_net_output(j->b.m.net)
                                                        : lens_net_find(j->b.m.net, info.name);
        if (b) lens_node_info_get(b, &info);
        if (info.training) b = NULL;
        lens_status status = lens_peek(j->a.session, a, LENS_VALUE, &va);
        if (status == LENS_OK && b) status = lens_peek(j->b.session, b, LENS_VALUE, &vb);
        if (status != LENS_OK) return status;
        if (!b || !same_shape(&va, &vb)) {
            j->left_out++;
            continue;
        }
        j->compared++;
        finding f = look(&va, &vb, sample);
        if (f.difference > j->tolerance * f.largest) {
            j->first = f;
            j->first.node = a;
        }
    }
    return LENS_OK;
}

static lens_status compare_all(cli *c, job *j) {
    int64_t samples = j->x.dim[0], step = lens_tensor_count(&j->x) / samples;
    const lens_session_opts opts = { .batch = (int)(samples < CHUNK ? samples : CHUNK),
                                     .watch = true };
    lens_tensor x = j->x, y;
    lens_status status = lens_session_new(&j->a.session, j->a.m.net, c->ctx, &opts);
    if (status == LENS_OK) status = lens_session_new(&j->b.session, j->b.m.net, c->ctx, &opts);
    for (int64_t at = 0; at < samples && status == LENS_OK && !j->first.node; at += CHUNK) {
        x.data = j->x.data + at * step;
        x.dim[0] = samples - at < CHUNK ? samples - at : CHUNK;
        status = lens_run(j->a.session, &x, &y);
        if (status == LENS_OK) status = lens_run(j->b.session, &x, &y);
        if (status == LENS_OK) status = compare_chunk(j, at);
        j->samples = at + x.dim[0];
    }
    return status;
}

static const char *place_text(const finding *f, const lens_node_info *info, char buf[96]) {
    if (info->rank == 4)
        snprintf(buf, 96, "sample %lld, map %d, row %d, column %d", (long long)f->sample, f->at[0],
                 f->at[1], f->at[2]);
    else if (info->rank == 3)
        snprintf(buf, 96, "sample %lld, map %d, column %d", (long long)f->sample, f->at[0],
                 f->at[1]);
    else
        snprintf(buf, 96, "sample %lld, unit %d", (long long)f->sample, f->at[0]);
    return buf;
}

static json_t *first_json(const finding *f) {
    lens_node_info info;
    if (!f->node) return json_null();
    lens_node_info_get(f->node, &info);
    json_t *place = json_array();
    json_array_append_new(place, json_integer(f->sample));
    for (int d = 0; d + 1 < info.rank; d++) json_array_append_new(place, json_integer(f->at[d]));
    return json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:o}", "node", json_text(info.name), "kind",
                     info.kind, "place", place, "a", json_number((double)f->a), "b",
                     json_number((double)f->b), "difference", json_number(f->difference), "largest",
                     json_number(f->largest));
}

static int report(cli *c, const job *j) {
    const finding *f = &j->first;
    if (!c->json) {
        if (f->node) {
            lens_node_info info;
            char place[96];
            lens_node_info_get(f->node, &info);
            printf("first parts at  %s (%s)\n", info.name, info.label);
            printf("place           %s\n", place_text(f, &info, place));
            printf("A               %.9g  %s\nB               %.9g  %s\n", (double)f->a, j->a.name,
                   (double)f->b, j->b.name);
            printf("difference      %.3g, the largest value is %.3g, tolerance %g\n", f->difference,
                   f->largest, j->tolerance);
            printf("agree before it %d of %d nodes\n", j->compared - 1, lens_net_nodes(j->a.m.net));
        } else {
            printf("no difference: %d nodes agree on %lld sample%s, tolerance %g\n", j->compared,
                   (long long)j->samples, j->samples == 1 ? "" : "s", j->tolerance);
        }
        if (j->left_out)
            note(c, "note: %d nodes of A are not in B, or have another shape there", j->left_out);
    }
    emit(c, json_pack("{s:b,s:i,s:i,s:I,s:o,s:o}", "same", f->node == NULL, "nodes", j->compared,
                      "left_out", j->left_out, "samples", (json_int_t)j->samples, "tolerance",
                      json_number(j->tolerance), "first", first_json(f)));
    return f->node ? EXIT_FAILED : EXIT_DONE;
}

int run_compare(cli *c) {
    job j = { .tolerance = real_of(c, "tolerance", 1e-4) };
    int status = EXIT_DONE;
    if (c->operands == 2 && (has(c, "net") || has(c, "weights")))
        status = fail(c, EXIT_USAGE, "two models and --%s: which two?",
                      has(c, "net") ? "net" : "weights");
    if (status == EXIT_DONE) status = open_side(c, &j.a, c->operand[0]);
    if (status == EXIT_DONE) status = open_side(c, &j.b, c->operands > 1 ? c->operand[1] : NULL);
    if (status == EXIT_DONE) status = read_input(c, &j);
    if (status == EXIT_DONE) {
        lens_status done = compare_all(c, &j);
        if (done != LENS_OK)
            status = fail_status(c, done, READING); /* the input does not fit */
        else if (!j.compared)
            status = fail(c, EXIT_USAGE, "%s and %s have no node in common", j.a.name, j.b.name);
        else
            status = report(c, &j);
    }
    lens_session_free(j.a.session);
    lens_session_free(j.b.session);
    lens_free(c->ctx, j.x.data);
    close_model(&j.a.m);
    close_model(&j.b.m);
    return status;
}
