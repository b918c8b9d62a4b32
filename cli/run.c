/* run.c - lenslet run: raw tensors in (.npy), raw tensors out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 }; /* samples at a time: bounds the memory of a session */

/* One node whose values are collected over the chunks. */
typedef struct result {
    lens_node *node;
    lens_node_info info;
    lens_tensor value; /* all samples; owned */
} result;

typedef struct job {
    model m;
    lens_tensor x; /* of the file; owned */
    lens_session *session;
    result *results;
    int count;
    bool all;
} job;

/* "NAME=X.npy" or "X.npy"; the name must be the input's. */
static int read_input(cli *c, job *j) {
    const char *value = nth_of(c, "input", 0);
    if (!value) return fail(c, EXIT_USAGE, "which input? --input X.npy");
    if (nth_of(c, "input", 1))
        return fail(c, EXIT_USAGE, "--input is given twice, but the net has one input, \"%s\"",
                    j->m.input.name);
    const char *equals = strchr(value, '='), *path = equals ? equals + 1 : value;
    if (equals && (strncmp(value, j->m.input.name, (size_t)(equals - value)) ||
                   j->m.input.name[equals - value]))
        return fail(c, EXIT_USAGE, "--input names \"%.*s\", but the net's input is \"%s\"",
                    (int)(equals - value), value, j->m.input.name);
    lens_status status = lens_npy_read(c->ctx, &j->x, path);
    if (status != LENS_OK) return fail_status(c, status, READING);
    if (j->x.rank == j->m.input.rank - 1) { /* one sample */
        memmove(j->x.dim + 1, j->x.dim, (size_t)j->x.rank * sizeof *j->x.dim);
        j->x.dim[0] = 1;
        j->x.rank++;
    }
    if (j->x.rank == j->m.input.rank && j->x.dim[0] >= 1) return EXIT_DONE;
    char shape[96];
    return fail(c, EXIT_BAD_INPUT, "%s holds %s, but the net reads N x %d x %d x %d", path,
                lens_tensor_shape(&j->x, shape), j->m.input.c, j->m.input.h, j->m.input.w);
}

static bool is_output(const lens_node *node, const lens_net *net) {
    int k = 0;
    while (k < lens_net_outputs(net) && lens_net_output_at(net, k) != node) k++;
    return k < lens_net_outputs(net);
}

/* All outputs, or all nodes; those that serve training alone have no value here. */
static void choose_results(job *j) {
    int nodes = lens_net_nodes(j->m.net);
    j->results = take((size_t)nodes, sizeof *j->results);
    for (int i = 0; i < nodes; i++) {
        lens_node *node = lens_net_node(j->m.net, i);
        lens_node_info info;
        lens_node_info_get(node, &info);
        if (info.training || (!j->all && !is_output(node, j->m.net))) continue;
        result *r = &j->results[j->count++];
        r->node = node;
        r->info = info;
        r->value.rank = r->info.rank;
        const int dims[] = { r->info.c, r->info.rank == 4 ? r->info.h : r->info.w, r->info.w };
        r->value.dim[0] = j->x.dim[0];
        for (int d = 1; d < r->value.rank; d++) r->value.dim[d] = dims[d - 1];
        r->value.data = take((size_t)lens_tensor_count(&r->value), sizeof(float));
    }
}

static lens_status run_chunks(job *j) {
    lens_tensor x = j->x, y;
    int64_t samples = j->x.dim[0];
    int64_t step = lens_tensor_count(&j->x) / samples;
    for (int64_t at = 0; at < samples; at += CHUNK) {
        x.data = j->x.data + at * step;
        x.dim[0] = samples - at < CHUNK ? samples - at : CHUNK;
        lens_status status = lens_run(j->session, &x, &y);
        for (int i = 0; i < j->count && status == LENS_OK; i++) {
            result *r = &j->results[i];
            status = lens_peek(j->session, r->node, LENS_VALUE, &y);
            if (status != LENS_OK) break;
            int64_t count = lens_tensor_count(&y);
            memcpy(r->value.data + at * (count / x.dim[0]), y.data, (size_t)count * sizeof(float));
        }
        if (status != LENS_OK) return status;
    }
    return LENS_OK;
}

static json_t *shape_json(const lens_tensor *t) {
    json_t *shape = json_array();
    for (int d = 0; d < t->rank; d++) json_array_append_new(shape, json_integer(t->dim[d]));
    return shape;
}

static int write_results(cli *c, job *j) {
    const char *folder = text_of(c, "out", ".");
    int status = make_folder(c, folder);
    if (status) return status;
    json_t *outputs = json_array();
    for (int i = 0; i < j->count && status == EXIT_DONE; i++) {
        result *r = &j->results[i];
        char *name = say_text("%s", r->info.name), shape[96];
        for (char *slash; (slash = strchr(name, '/'));) *slash = '_';
        char *path = say_text("%s/%s.npy", folder, name);
        lens_status written = lens_npy_write(c->ctx, &r->value, path);
        if (written != LENS_OK)
            status = fail_status(c, written, WORKING);
        else if (c->json)
            json_array_append_new(
                outputs, json_pack("{s:o,s:o,s:o}", "name", json_text(r->info.name), "file",
                                   json_text(path), "shape", shape_json(&r->value)));
        else
            printf("%s  %s\n", path, lens_tensor_shape(&r->value, shape));
        free(path);
        free(name);
    }
    if (status == EXIT_DONE)
        emit(c,
             json_pack("{s:o,s:O}", "net", json_text(lens_net_name(j->m.net)), "outputs", outputs));
    json_decref(outputs);
    return status;
}

static int run_job(cli *c, job *j) {
    int64_t samples = j->x.dim[0];
    const lens_session_opts opts = { .batch = (int)(samples < CHUNK ? samples : CHUNK),
                                     .watch = j->all };
    choose_results(j);
    lens_status status = lens_session_new(&j->session, j->m.net, c->ctx, &opts);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    status = run_chunks(j);
    if (status != LENS_OK) return fail_status(c, status, READING); /* the file does not fit */
    return write_results(c, j);
}

int run_run(cli *c) {
    job j = { .all = has(c, "all-nodes") };
    int status = open_model(c, &j.m);
    if (status == EXIT_DONE) status = read_input(c, &j);
    if (status == EXIT_DONE) status = run_job(c, &j);
    lens_session_free(j.session);
    for (int i = 0; i < j.count; i++) free(j.results[i].value.data);
    free(j.results);
    lens_free(c->ctx, j.x.data);
    close_model(&j.m);
    return status;
}
