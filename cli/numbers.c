/* numbers.c - the numbers behind a figure as JSON, CSV or NPY.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <lenslet/image.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t count_of(const struct array *a) {
    size_t count = 1;
    for (int i = 0; i < a->rank; i++) count *= (size_t)a->dim[i];
    return count;
}

static struct array *add(record *r, const char *name, int rank, const int *dim) {
    if (r->arrays == MAX_ARRAYS) return NULL;
    struct array *a = &r->array[r->arrays++];
    a->name = say_text("%s", name);
    a->rank = rank;
    for (int i = 0; i < rank; i++) a->dim[i] = dim[i];
    a->value = take(count_of(a), sizeof *a->value);
    return a;
}

void record_floats(record *r, const char *name, const float *x, int rank, const int *dim) {
    struct array *a = add(r, name, rank, dim);
    for (size_t i = 0; a && i < count_of(a); i++) a->value[i] = (double)x[i];
}

void record_doubles(record *r, const char *name, const double *x, int rank, const int *dim) {
    struct array *a = add(r, name, rank, dim);
    if (a) memcpy(a->value, x, count_of(a) * sizeof *x);
}

record *record_new(void) { return take(1, sizeof(record)); }

void record_free(record *r) {
    for (int i = 0; r && i < r->arrays; i++) free(r->array[i].name), free(r->array[i].value);
    free(r);
}

static json_t *nested(const struct array *a, int axis, const double **at) {
    if (axis >= a->rank || axis >= MAX_AXES) return json_number(*(*at)++);
    json_t *list = json_array();
    for (int i = 0; i < a->dim[axis]; i++) json_array_append_new(list, nested(a, axis + 1, at));
    return list;
}

static int write_json(cli *c, const record *r, const char *path) {
    json_t *arrays = json_array();
    for (int i = 0; i < r->arrays; i++) {
        const struct array *a = &r->array[i];
        const double *at = a->value;
        json_t *shape = json_array();
        for (int k = 0; k < a->rank; k++) json_array_append_new(shape, json_integer(a->dim[k]));
        json_array_append_new(arrays, json_pack("{s:o,s:o,s:o}", "name", json_text(a->name),
                                                "shape", shape, "values", nested(a, 0, &at)));
    }
    json_t *all = json_pack("{s:o}", "arrays", arrays);
    document *d = document_new();
    json_dumpf(all, d->stream, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(all);
    return document_write(c, d, path);
}

/* One line a number: array, name, an index for each axis, value. */
static int write_csv(cli *c, const record *r, const char *path) {
    document *d = document_new();
    FILE *file = d->stream;
    fprintf(file, "array,name,i0,i1,i2,i3,value\n");
    for (int k = 0; k < r->arrays; k++) {
        const struct array *a = &r->array[k];
        for (size_t i = 0; i < count_of(a); i++) {
            size_t index[MAX_AXES] = { 0 }, rest = i;
            for (int axis = a->rank - 1; axis >= 0; axis--) {
                index[axis] = rest % (size_t)a->dim[axis];
                rest /= (size_t)a->dim[axis];
            }
            fprintf(file, "%d,\"", k);
            for (const char *s = a->name; *s; s++) {
                if (*s == '"') fputc('"', file);
                fputc(*s, file);
            }
            fputc('"', file);
            for (int axis = 0; axis < MAX_AXES; axis++) {
                if (axis < a->rank)
                    fprintf(file, ",%zu", index[axis]);
                else
                    fputc(',', file);
            }
            fprintf(file, ",%.17g\n", a->value[i]);
        }
    }
    return document_write(c, d, path);
}

/* FILE for one array; else FILE-1.npy, FILE-2.npy, ... in the order of the figure. */
static lens_status write_npy(cli *c, const record *r, const char *path) {
    lens_status status = LENS_OK;
    for (int k = 0; k < r->arrays && status == LENS_OK; k++) {
        const struct array *a = &r->array[k];
        lens_tensor t = { take(count_of(a), sizeof *t.data), a->rank, { 0 } };
        for (int d = 0; d < a->rank; d++) t.dim[d] = a->dim[d];
        for (size_t i = 0; i < count_of(a); i++) t.data[i] = (float)a->value[i];
        char *name = r->arrays == 1 ? say_text("%s", path)
                                    : say_text("%.*s-%d.npy", (int)(strlen(path) - 4), path, k + 1);
        status = lens_npy_write(c->ctx, &t, name);
        free(name);
        free(t.data);
    }
    return status;
}

int record_check(cli *c) {
    const char *path = text_of(c, "numbers", NULL);
    if (!path || has_ending(path, ".npy") || has_ending(path, ".csv") || has_ending(path, ".json"))
        return EXIT_DONE;
    return fail(c, EXIT_USAGE, "--numbers is \"%s\"; a .json, .csv or .npy file is expected", path);
}

int record_write(cli *c, const record *r) {
    const char *path = text_of(c, "numbers", NULL);
    if (!path) return EXIT_DONE;
    if (has_ending(path, ".csv")) return write_csv(c, r, path);
    if (has_ending(path, ".json")) return write_json(c, r, path);
    lens_status status = write_npy(c, r, path);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    note(c, "%s", path);
    return EXIT_DONE;
}
