/* conformance.c - runs the cases of the ONNX test suite that a net can express, and prints a table.
 *
 *     conformance FOLDER         the folder with node/, simple/, pytorch-converted/, pytorch-operator/
 *
 * A case is a model with inputs and outputs as TensorProto files. Inputs after the first become
 * constants, as weights are; each output is a net of its own. Only what the library calls unsupported is left out, with its reason;
 * everything else must agree within |got - want| <= 1e-7 + 1e-3*|want| (the suite's tolerance).
 * Exit status: 0 none failed, 1 some did, 77 no such folder.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_CAP = 1 << 28, PATH_SIZE = 1024, REASON = 300, MOST_INPUTS = 64 };

typedef struct verdict {
    enum { PASSED, FAILED, LEFT_OUT } what;
    char reason[REASON];
} verdict;

static verdict say(int what, const char *reason) {
    verdict v = { .what = what };
    snprintf(v.reason, sizeof v.reason, "%s", reason);
    return v;
}

/* A tensor from a file; NULL: there is none, or it holds no such thing (a sequence). */
static const onnx_tensor *read_tensor(lens_ctx *ctx, const char *folder, const char *name, int i,
                                      char **bytes, onnx_file **file) {
    char path[2 * PATH_SIZE];
    size_t size;
    *file = NULL;
    *bytes = NULL;
    snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", folder, name, i);
    if (file_read(ctx, path, FILE_CAP, bytes, &size) != LENS_OK) return NULL;
    if (onnx_parse_tensor(ctx, file, *bytes, size, path) != LENS_OK) return NULL;
    return onnx_description(*file)->tensor;
}

/* The shape that a net has for dims of one sample: the last two are H and W, all before them C. */
static int net_shape(int rank, const int64_t *dim, int64_t to[4]) {
    int net_rank = rank > 2 ? 4 : rank + 1 + (rank == 0);
    to[1] = to[2] = to[3] = 1;
    for (int d = 0; d < rank; d++) {
        int from_end = rank - 1 - d, last = net_rank - 1;
        to[from_end < last - 1 ? last - from_end : 1] *= dim[d];
    }
    return net_rank;
}

/* Whether the case is computed as in training, which its model then says. */
static bool trains(const onnx_model *model) {
    for (int i = 0; i < model->nodes; i++) {
        const onnx_attr *a = onnx_attribute(&model->node[i], "training_mode");
        if (a && a->i) return true;
    }
    return false;
}

static verdict compare(lens_ctx *ctx, lens_net *net, const onnx_tensor *x, const onnx_tensor *want,
                       bool train) {
    verdict v = say(FAILED, "");
    lens_session *session = NULL;
    lens_node_info in;
    lens_node_info_get(lens_net_input(net), &in);
    /* Either dim[0] is the batch, or all of x is one sample. */
    int64_t sample = (int64_t)in.c * in.h * in.w;
    bool whole = x->count == sample && !(x->rank && x->dim[0] == 1);
    int batch = sample ? (int)(x->count / sample) : 0;
    lens_tensor given = { .rank = in.rank }, got;
    const int dims[] = { batch, in.c, in.rank == 3 ? in.w : in.h, in.w };
    for (int d = 0; d < in.rank; d++) given.dim[d] = dims[d];
    float *data = ctx_alloc(ctx, (size_t)x->count + 1, sizeof *data);
    float *expected = ctx_alloc(ctx, (size_t)want->count + 1, sizeof *expected);
    if (!data || !expected || lens_tensor_count(&given) != x->count) {
        v = say(FAILED, "the input's shape is not the net's");
        goto done;
    }
    onnx_floats(x, data);
    onnx_floats(want, expected);
    given.data = data;
    lens_session_opts opts = { .batch = batch, .train = train };
    lens_status status = lens_session_new(&session, net, ctx, &opts);
    if (status == LENS_OK)
        status = train ? lens_forward(session, &given, 0, &got) : lens_run(session, &given, &got);
    if (status != LENS_OK) {
        v = say(FAILED, lens_why(ctx));
        goto done;
    }
    int64_t as_sample[4] = { 1 }, as_batch[4] = { want->rank ? want->dim[0] : 1 };
    int ranks[] = { net_shape(want->rank, want->dim, as_sample),
                    net_shape(want->rank ? want->rank - 1 : 0, want->dim + 1, as_batch) };
    bool same[] = { got.rank == ranks[0], got.rank == ranks[1] };
    for (int d = 0; d < got.rank; d++) {
        same[0] &= got.dim[d] == as_sample[d];
        same[1] &= got.dim[d] == as_batch[d];
    }
    if (!same[0] && (whole || !same[1])) {
        char buf[96];
        snprintf(v.reason, sizeof v.reason, "output has shape %s", lens_tensor_shape(&got, buf));
        goto done;
    }
    for (int64_t i = 0; i < want->count; i++) {
        double w = (double)expected[i], g = (double)got.data[i];
        if (fabs(g - w) <= 1e-7 + 1e-3 * fabs(w) || (isnan(g) && isnan(w)) || g == w) continue;
        snprintf(v.reason, sizeof v.reason, "output[%lld] is %g, expected %g", (long long)i, g, w);
        goto done;
    }
    v.what = PASSED;
done:
    lens_session_free(session);
    ctx_free(ctx, data);
    ctx_free(ctx, expected);
    return v;
}

/* Output k of the model alone. */
static verdict run_output(lens_ctx *ctx, const char *folder, const onnx_model *model, int k,
                          const onnx_tensor *x) {
    char *bytes;
    onnx_file *file;
    lens_net *net = NULL;
    onnx_model m = *model;
    m.output += k;
    m.outputs = 1;
    verdict v = say(LEFT_OUT, "an output that is no tensor of numbers");
    const onnx_tensor *want = read_tensor(ctx, folder, "output", k, &bytes, &file);
    lens_status status = want ? net_from_onnx(ctx, &net, &m, "model") : LENS_UNSUPPORTED;
    if (status == LENS_OK)
        v = compare(ctx, net, x, want, trains(model));
    else if (want)
        v = say(status == LENS_UNSUPPORTED ? LEFT_OUT : FAILED, lens_why(ctx));
    lens_net_free(net);
    onnx_close(file);
    ctx_free(ctx, bytes);
    return v;
}

/* Dropout in training is compared with the numbers that NumPy drew. */
static bool draws(const onnx_model *model, const onnx_tensor *tensor, int tensors) {
    for (int i = 0; i < model->nodes; i++) {
        const onnx_node *n = &model->node[i];
        bool rate = true, training = false;
        if (strcmp(n->op, "Dropout")) continue;
        for (int k = 0; k < tensors; k++) {
            float value = 0;
            if (tensor[k].count == 1) onnx_floats(&tensor[k], &value);
            if (n->inputs > 1 && !strcmp(tensor[k].name, n->input[1])) rate = value != 0;
            if (n->inputs > 2 && !strcmp(tensor[k].name, n->input[2])) training = value != 0;
        }
        if (training && rate) return true;
    }
    return false;
}

/* The model with inputs 1.. as initializers, for each of its outputs. */
static verdict run_model(lens_ctx *ctx, const char *folder, const onnx_model *model) {
    char *bytes[MOST_INPUTS + 1] = { 0 };
    onnx_file *file[MOST_INPUTS + 1] = { 0 };
    const onnx_tensor *x = NULL;
    verdict v = say(LEFT_OUT, "no input that is a tensor of floats");
    onnx_model m = *model;
    onnx_tensor *tensor = ctx_alloc(ctx, (size_t)m.tensors + MOST_INPUTS, sizeof *tensor);
    for (int i = 0; i < m.tensors; i++) tensor[i] = m.tensor[i];
    m.tensor = tensor;
    int fed = 0;
    for (int i = 0; i < m.inputs && fed < MOST_INPUTS; i++) {
        bool constant = false;
        for (int k = 0; k < model->tensors; k++)
            constant |= !strcmp(model->tensor[k].name, m.input[i].name);
        if (constant) continue;
        const onnx_tensor *t = read_tensor(ctx, folder, "input", fed, &bytes[fed], &file[fed]);
        if (!t) goto done;
        if (t->type != m.input[i].type) {
            v = say(LEFT_OUT, "its data have another type than its model says");
            goto done;
        }
        if (fed++ == 0) {
            x = t;
            continue;
        }
        tensor[m.tensors] = *t;
        tensor[m.tensors++].name = m.input[i].name;
    }
    if (!x) goto done;
    if (draws(&m, tensor, m.tensors)) {
        v = say(LEFT_OUT, "Dropout in training: its random numbers are NumPy's");
        goto done;
    }
    for (int k = 0; k < m.outputs; k++) {
        v = run_output(ctx, folder, &m, k, x);
        if (v.what != PASSED) break;
    }
done:
    for (int i = 0; i <= MOST_INPUTS; i++) {
        onnx_close(file[i]);
        ctx_free(ctx, bytes[i]);
    }
    ctx_free(ctx, tensor);
    return v;
}

static verdict run_case(lens_ctx *ctx, const char *folder) {
    char path[2 * PATH_SIZE];
    onnx_file *file;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    lens_status status = onnx_open(ctx, &file, path);
    if (status != LENS_OK)
        return say(status == LENS_UNSUPPORTED ? LEFT_OUT : FAILED, lens_why(ctx));
    verdict v = run_model(ctx, folder, onnx_description(file));
    onnx_close(file);
    return v;
}

static int is_case(const struct dirent *entry) { return entry->d_name[0] != '.'; }

int main(int argc, char **argv) {
    static const char *const group[] = { "node", "simple", "pytorch-converted",
                                         "pytorch-operator" };
    static const char *const word[] = { "passed", "FAILED", "left out" };
    const char *root = argc > 1 ? argv[1] : "/usr/share/libonnx-testdata/data";
    int sum[3] = { 0 };
    lens_ctx *ctx;
    char why[256];
    if (lens_ctx_new(&ctx, NULL, why) != LENS_OK) return 1;
    for (size_t g = 0; g < LENS_COUNT(group); g++) {
        char folder[PATH_SIZE / 2], path[PATH_SIZE];
        struct dirent **list;
        int count[3] = { 0 };
        snprintf(folder, sizeof folder, "%s/%s", root, group[g]);
        int cases = scandir(folder, &list, is_case, alphasort);
        if (cases < 0) {
            printf("SKIPPED: no folder %s (on Debian: apt install libonnx-testdata)\n", folder);
            lens_ctx_free(ctx);
            return 77;
        }
        for (int i = 0; i < cases; i++) {
            snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
            verdict v = run_case(ctx, path);
            printf("%-8s  %s/%s%s%s\n", word[v.what], group[g], list[i]->d_name,
                   *v.reason ? "  " : "", v.reason);
            count[v.what]++;
            sum[v.what]++;
            free(list[i]);
        }
        free(list);
        fprintf(stderr, "%-18s %4d passed %4d failed %4d left out\n", group[g], count[PASSED],
                count[FAILED], count[LEFT_OUT]);
    }
    fprintf(stderr, "%-18s %4d passed %4d failed %4d left out\n", "all", sum[PASSED], sum[FAILED],
            sum[LEFT_OUT]);
    lens_ctx_free(ctx);
    return sum[FAILED] || !sum[PASSED];
}
