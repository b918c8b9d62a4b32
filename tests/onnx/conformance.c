/* conformance.c - runs the cases of the ONNX test suite that a net can express, and prints a table.
 *
 *     conformance FOLDER         the folder with node/, simple/, pytorch-converted/, pytorch-operator/
 *
 * A case is a model with inputs and outputs as TensorProto files. Inputs after the first become
 * constants, as weights are. Only what the library calls unsupported is left out, with its reason;
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

static verdict compare(lens_ctx *ctx, lens_net *net, const onnx_tensor *x,
                       const onnx_tensor *want) {
    verdict v = say(FAILED, "");
    lens_session *session = NULL;
    lens_node_info in;
    lens_node_info_get(lens_net_input(net), &in);
    lens_tensor given = { .rank = in.rank }, got;
    const int dims[] = { (int)x->dim[0], in.c, in.rank == 3 ? in.w : in.h, in.w };
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
    lens_session_opts opts = { .batch = (int)x->dim[0] };
    if (lens_session_new(&session, net, ctx, &opts) != LENS_OK ||
        lens_run(session, &given, &got) != LENS_OK) {
        v = say(FAILED, lens_why(ctx));
        goto done;
    }
    bool same = got.rank == want->rank;
    for (int d = 0; same && d < got.rank; d++) same = got.dim[d] == want->dim[d];
    if (!same) {
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

/* The model with inputs 1.. as initializers; arrays are the caller's to free. */
static verdict run_model(lens_ctx *ctx, const char *folder, const onnx_model *model) {
    char *bytes[MOST_INPUTS + 1] = { 0 };
    onnx_file *file[MOST_INPUTS + 1] = { 0 };
    const onnx_tensor *x = NULL, *want;
    lens_net *net = NULL;
    verdict v = say(LEFT_OUT, "no float tensor as input");
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
        if (fed++ == 0) {
            x = t;
            continue;
        }
        tensor[m.tensors] = *t;
        tensor[m.tensors++].name = m.input[i].name;
    }
    if (!x || x->rank < 1) goto done;
    want = read_tensor(ctx, folder, "output", 0, &bytes[fed], &file[fed]);
    if (!want) goto done;
    lens_status status = net_from_onnx(ctx, &net, &m, "model");
    if (status == LENS_OK)
        v = compare(ctx, net, x, want);
    else
        v = say(status == LENS_UNSUPPORTED ? LEFT_OUT : FAILED, lens_why(ctx));
done:
    lens_net_free(net);
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
