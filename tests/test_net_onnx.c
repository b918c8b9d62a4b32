/* test_net_onnx.c - ONNX: what is exported comes back with the same numbers, what a net cannot express
 * is named before anything is built, and damaged files and stray external data are refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/onnx.h"
#include "op/functions.h"
#include "support/check.h"
#include "support/tempdir.h"
#include "test.h"

#include <lenslet/zoo.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[TEMPDIR_PATH];

/* folder/name, into the buffer. */
static const char *temp_path(char path[TEMPDIR_PATH + 32], const char *name) {
    snprintf(path, TEMPDIR_PATH + 32, "%s/%s", folder, name);
    return path;
}

static int temp_setup(void **state) {
    (void)state;
    tempdir_make(folder);
    return 0;
}

static int temp_teardown(void **state) {
    (void)state;
    tempdir_remove(folder);
    return 0;
}

static void fill(lens_net *net, uint64_t seed) {
    rng r = rng_start(seed, RNG_TEST, 0, 0);
    lens_param p;
    for (int i = 0; i < lens_net_params(net); i++) {
        lens_net_param(net, i, &p);
        for (int64_t k = 0; k < lens_tensor_count(&p.value); k++)
            p.value.data[k] = 0.2f * rng_uniform(&r) + (p.value.rank == 1 ? 0.1f : -0.1f);
    }
    lens_net_touched(net);
}

static lens_tensor input_of(lens_net *net, int n, float *data) {
    lens_node_info in;
    lens_node_info_get(lens_net_input(net), &in);
    lens_tensor x = { .data = data, .rank = in.rank, .dim = { n, in.c } };
    if (in.rank == 4) x.dim[2] = in.h;
    x.dim[in.rank - 1] = in.w;
    return x;
}

/* Both nets on the same three samples. */
static void expect_same(lens_ctx *ctx, lens_net *a, lens_net *b, double tolerance) {
    lens_tensor x = input_of(a, 3, NULL), ya, yb;
    size_t count = (size_t)lens_tensor_count(&x);
    float *data = malloc(count * sizeof *data);
    lens_session *sa, *sb;
    lens_session_opts opts = { .batch = 3 };
    random_floats(data, count, 7);
    x.data = data;
    assert_ok(ctx, lens_session_new(&sa, a, ctx, &opts));
    assert_ok(ctx, lens_session_new(&sb, b, ctx, &opts));
    assert_ok(ctx, lens_run(sa, &x, &ya));
    assert_ok(ctx, lens_run(sb, &x, &yb));
    assert_int_equal(ya.rank, yb.rank);
    assert_int_equal(lens_tensor_count(&ya), lens_tensor_count(&yb));
    expect_equal(yb.data, ya.data, (size_t)lens_tensor_count(&ya), tolerance);
    lens_session_free(sa);
    lens_session_free(sb);
    free(data);
}

static void comes_back(lens_ctx *ctx, lens_net *net, double tolerance) {
    char path[TEMPDIR_PATH + 32];
    lens_net *back;
    fill(net, 3);
    temp_path(path, "net.onnx");
    assert_ok(ctx, lens_net_set_meta(net, "classes", "ankle boot\nbag"));
    assert_ok(ctx, lens_net_export_onnx(net, path));
    assert_ok(ctx, lens_net_load(ctx, &back, path));
    assert_string_equal(lens_net_meta(back, "classes"), "ankle boot\nbag");
    assert_string_equal(lens_net_name(back), lens_net_name(net));
    expect_same(ctx, net, back, tolerance);
    lens_net_free(back);
    unlink(path);
}

static lens_net *parsed(lens_ctx *ctx, const char *text) {
    lens_net *net = NULL;
    assert_ok(ctx, lens_net_parse(ctx, &net, text, "net.txt"));
    return net;
}

/* Every net of the zoo that runs in a moment: the same bits, and the same parameters by name. */
static void zoo_comes_back(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    int tried = 0;
    for (int i = 0; i < lens_zoo_count(); i++) {
        const char *name = lens_zoo_at(i)->name;
        lens_net *net;
        assert_ok(ctx, lens_zoo_new(ctx, &net, name, NULL));
        char path[TEMPDIR_PATH + 32];
        if (lens_net_parameters(net) < 1000000 && lens_net_macs(net) < 50000000) {
            if (lens_net_export_onnx(net, temp_path(path, "net.onnx")) == LENS_UNSUPPORTED) {
                print_message("%s: %s\n", name, lens_why(ctx));
            } else {
                comes_back(ctx, net, 0);
                tried++;
            }
        }
        lens_net_free(net);
    }
    assert_true(tried >= 4);
    lens_ctx_free(ctx);
}

static const char everything[] =
    "net everything\n"
    "input            data     4x24x20\n"
    "conv2d           conv1    out=6 kernel=5x3 stride=2x1 pad=1,0,2,1\n"
    "leaky_relu       leaky    slope=0.25\n"
    "conv2d           conv2    out=6 kernel=3 dilation=2 mode=same groups=2 no_bias=true\n"
    "conv2d           conv3    from=leaky out=6 kernel=1 table=\"0 1;1 2;2 3;3 4;4 5;5 0\"\n"
    "add              sum      from=conv2,conv3\n"
    "conv_transpose2d up       out=3 kernel=3 stride=2 extra=1x0 pad=1\n"
    "maxpool          pool     kernel=3x2 stride=2 pad=1x0 ceil=true\n"
    "avgpool          avg      exclude_pad=true kernel=2 pad=1\n"
    "avgpool          avg2     kernel=3 pad=1 stride=1\n"
    "batchnorm        norm     eps=0.001 momentum=0.2\n"
    "lrn              local    n=3\n"
    "shortcut         cut      out=5 stride=2\n"
    "sigmoid          s\n"
    "concat           both     from=s,s\n"
    "global_avgpool   g\n"
    "dense            fc1      out=8\n"
    "tanh             t\n"
    "scaled_tanh      t2\n"
    "dropout          drop     rate=0.3\n"
    "dense            fc       out=7 no_bias=true\n"
    "softmax          last\n";

static const char general[] =
    "net general\n"
    "input     data  4x6x5\n"
    "unary     u1    from=data fn=clip alpha=-0.5 beta=0.75\n"
    "unary     u2    fn=affine alpha=2 beta=1.5\n"
    "unary     u3    fn=hard_swish\n"
    "unary     u4    fn=mish\n"
    "unary     u5    fn=elu alpha=0.5\n"
    "parameter w     from=data shape=4x1x1\n"
    "binary    b1    from=u5,w fn=mul\n"
    "parameter v     from=data shape=1x6x5\n"
    "binary    b2    from=b1,v fn=max\n"
    "reduce    r1    from=b2 fn=log_sum_exp axes=c\n"
    "binary    b3    from=b2,r1 fn=sub\n"
    "reduce    r2    fn=sum axes=hw\n"
    "binary    b4    from=b3,r2 fn=prelu\n"
    "rearrange m1    shape=4x6x5 order=1,0,2 index=\"5:6:-1;_:1 0:4:1 3:1:1;0:5:1 _:2\" value=0.5\n"
    "reshape   s1    shape=1x36x7\n"
    "parameter k     from=data shape=1x7x3 fixed=true\n"
    "matmul    p1    from=s1,k\n"
    "output    side  from=s1\n"
    "reshape1d seq   from=p1 shape=36x3\n"
    "unary     last  fn=softplus\n";

/* Every function that has an operator in opset 13, out and in again. */
static void functions_come_back(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char text[200];
    for (int i = 0; unary_name(i); i++) {
        const char *shift =
            strcmp(unary_name(i), "acosh") ? "0.5" : "1.5"; /* where all are defined */
        snprintf(text, sizeof text,
                 "input x 2x3x4\nunary fn=affine alpha=0.25 beta=%s\n"
                 "unary u fn=%s alpha=0.75 beta=0.25\n",
                 shift, unary_name(i));
        lens_net *net = parsed(ctx, text);
        char path[TEMPDIR_PATH + 32];
        if (lens_net_export_onnx(net, temp_path(path, "net.onnx")) == LENS_UNSUPPORTED)
            assert_non_null(strstr(lens_why(ctx), "no operator in opset 13"));
        else
            comes_back(ctx, net, 1e-6);
        lens_net_free(net);
    }
    for (int i = 0; binary_name(i); i++) {
        snprintf(text, sizeof text, "input x 2x3x4\nunary u fn=exp\nbinary b from=u,x fn=%s\n",
                 binary_name(i));
        lens_net *net = parsed(ctx, text);
        char path[TEMPDIR_PATH + 32];
        if (lens_net_export_onnx(net, temp_path(path, "net.onnx")) == LENS_UNSUPPORTED)
            assert_non_null(strstr(lens_why(ctx), "truths"));
        else
            comes_back(ctx, net, 1e-6);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

static void operators_come_back(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = parsed(ctx, everything);
    comes_back(ctx, net, 0);
    lens_net_free(net);
    net = parsed(ctx, general);
    comes_back(ctx, net, 1e-5);
    lens_net_free(net);
    net = parsed(ctx, "input1d x 3x40\nconv1d c out=4 kernel=5 stride=2 pad=1,2\nrelu\n"
                      "maxpool kernel=3 stride=2\nflatten\ndense out=3\n");
    comes_back(ctx, net, 0);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Operators that become others: a turned kernel, a sum of windows. */
static void replaced_operators(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net = parsed(ctx, "input x 2x9x8\nconv2d c out=3 kernel=3x2 flip=true\n"
                                "subsample kernel=2\nsumpool kernel=2\n");
    comes_back(ctx, net, 1e-5);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static void export_refused(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char path[TEMPDIR_PATH + 32];
    lens_net *net = parsed(ctx, "input x 2x4x4\nrbf squash out=3\n");
    assert_int_equal(lens_net_export_onnx(net, temp_path(path, "none.onnx")), LENS_UNSUPPORTED);
    assert_non_null(strstr(lens_why(ctx), "squash"));
    assert_int_equal(access(path, F_OK), -1);
    lens_net_free(net);
    /* What belongs to no sample cannot stand beside what does. */
    net = parsed(ctx, "input x 2x4x4\nparameter w from=x shape=3x4x4\nconcat both from=x,w\n");
    assert_int_equal(lens_net_export_onnx(net, temp_path(path, "none.onnx")), LENS_UNSUPPORTED);
    assert_non_null(strstr(lens_why(ctx), "both: concat"));
    assert_non_null(strstr(lens_why(ctx), "belong to no sample"));
    assert_int_equal(access(path, F_OK), -1);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Graphs made by hand -------------------------------------------------------------------- */

#define IN(...)                                                                                    \
    (const char *const[]) { __VA_ARGS__ }

static onnx_model small(const onnx_node *node, int nodes, const onnx_tensor *tensor, int tensors) {
    static onnx_value x = { .name = "x", .type = ONNX_F32, .rank = 4, .dim = { -1, 2, 4, 4 } };
    static onnx_value y = { .name = "y", .rank = -1 };
    return (onnx_model){ .ir = 7,
                         .opset = 13,
                         .producer = "",
                         .producer_version = "",
                         .graph = "g",
                         .node = node,
                         .nodes = nodes,
                         .tensor = tensor,
                         .tensors = tensors,
                         .input = &x,
                         .inputs = 1,
                         .output = &y,
                         .outputs = 1 };
}

static void names_the_unsupported(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_net *net;
    const onnx_node node[] = {
        { .op = "Relu",
          .domain = "",
          .name = "a",
          .input = IN("x"),
          .output = IN("h"),
          .inputs = 1,
          .outputs = 1 },
        { .op = "Einsum",
          .domain = "",
          .name = "odd",
          .input = IN("h"),
          .output = IN("y"),
          .inputs = 1,
          .outputs = 1 },
    };
    onnx_model m = small(node, 2, NULL, 0);
    assert_int_equal(net_from_onnx(ctx, &net, &m, "f"), LENS_UNSUPPORTED);
    assert_null(net);
    assert_non_null(strstr(lens_why(ctx), "Einsum 'odd' (opset 13)"));
    /* What does not lead to the output is of no concern. */
    onnx_value h = { .name = "h", .rank = -1 };
    m.output = &h;
    assert_ok(ctx, net_from_onnx(ctx, &net, &m, "f"));
    lens_net_free(net);
    m.opset = 5;
    assert_int_equal(net_from_onnx(ctx, &net, &m, "f"), LENS_UNSUPPORTED);
    assert_non_null(strstr(lens_why(ctx), "opset 5"));
    lens_ctx_free(ctx);
}

/* One node, of x (N,2,4,4) or with a fixed number of samples, to y. */
static lens_status import_one(lens_ctx *ctx, lens_net **net, onnx_node node, int64_t samples) {
    onnx_value x = { .name = "x", .type = ONNX_F32, .rank = 4, .dim = { samples, 2, 4, 4 } };
    node.domain = node.name = "";
    node.input = IN("x");
    node.output = IN("y");
    node.inputs = node.outputs = 1;
    onnx_model m = small(&node, 1, NULL, 0);
    m.input = &x;
    return net_from_onnx(ctx, net, &m, "f");
}

/* What mixes samples needs to know how many there are; then all of them are one sample of the net. */
static void mixed_samples(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static const int64_t axes[] = { 1, 0, 2, 3 };
    const onnx_attr perm = { .name = "perm", .type = ONNX_INTS, .ints = axes, .count = 4 };
    const onnx_attr axis = { .name = "axis", .type = ONNX_INT, .i = 0 };
    const onnx_node turn = { .op = "Transpose", .attr = &perm, .attrs = 1 };
    const onnx_node rows = { .op = "Softmax", .attr = &axis, .attrs = 1 };
    lens_net *net;
    assert_fails(ctx, LENS_UNSUPPORTED, "Transpose 'y' (opset 13): samples would be mixed",
                 import_one(ctx, &net, turn, -1));
    assert_fails(ctx, LENS_UNSUPPORTED, "along the samples", import_one(ctx, &net, rows, -1));
    assert_ok(ctx, import_one(ctx, &net, turn, 3));
    lens_node_info in, out;
    lens_node_info_get(lens_net_input(net), &in);
    lens_node_info_get(lens_net_output(net), &out);
    assert_int_equal(in.c, 3 * 2);
    assert_int_equal(out.c, 2 * 3);
    lens_session *s;
    float data[96];
    for (int i = 0; i < 96; i++) data[i] = (float)i;
    lens_tensor x = { data, 4, { 1, 6, 4, 4 } }, y;
    assert_ok(ctx, lens_session_new(&s, net, ctx, NULL));
    assert_ok(ctx, lens_run(s, &x, &y));
    for (int c = 0; c < 2; c++)
        for (int n = 0; n < 3; n++)
            assert_true(y.data[(c * 3 + n) * 16 + 5] == (float)((n * 2 + c) * 16 + 5));
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* Split gives three outputs; a constant that is added is trained; the batch is free. */
/* A few bytes of a file must not cost a large table. */
static void large_scales(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static const float scales[] = { 1, 1, 1e5f, 1 };
    const onnx_attr factor = {
        .name = "scales", .type = ONNX_FLOATS, .floats = scales, .count = 4
    };
    const onnx_node up = { .op = "Upsample", .attr = &factor, .attrs = 1 };
    lens_net *net;
    assert_fails(ctx, LENS_UNSUPPORTED, "Upsample 'y' (opset 13): 400000 cells from 4 along axis 2",
                 import_one(ctx, &net, up, -1));
    lens_ctx_free(ctx);
}

static void several_outputs(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    const float w[] = { 10, 20 };
    const onnx_tensor tensor = { .name = "w",
                                 .type = ONNX_F32,
                                 .dtype = ST_F32,
                                 .rank = 3,
                                 .dim = { 2, 1, 1 },
                                 .count = 2,
                                 .raw = w };
    const onnx_attr axis = { .name = "axis", .type = ONNX_INT, .i = 2 };
    const onnx_node node[] = {
        { .op = "Add",
          .domain = "",
          .name = "",
          .input = IN("x", "w"),
          .output = IN("h"),
          .inputs = 2,
          .outputs = 1 },
        { .op = "Split",
          .domain = "",
          .name = "",
          .input = IN("h"),
          .output = IN("top", "bottom"),
          .inputs = 1,
          .outputs = 2,
          .attr = &axis,
          .attrs = 1 },
    };
    const onnx_value output[] = { { .name = "bottom", .rank = -1 }, { .name = "h", .rank = -1 } };
    onnx_model m = small(node, 2, &tensor, 1);
    m.output = output;
    m.outputs = 2;
    lens_net *net;
    assert_ok(ctx, net_from_onnx(ctx, &net, &m, "f"));
    assert_null(lens_net_find(net, "top"));
    assert_int_equal(lens_net_outputs(net), 2);
    assert_int_equal(lens_net_parameters(net), 2);
    lens_session *s;
    float data[64] = { 0 };
    lens_tensor x = { data, 4, { 2, 2, 4, 4 } }, y, side, dw, dy;
    lens_session_opts opts = { .batch = 2, .train = true, .watch = true };
    assert_ok(ctx, lens_session_new(&s, net, ctx, &opts));
    assert_ok(ctx, lens_forward(s, &x, 0, &y));
    assert_int_equal(y.dim[2], 2);
    assert_true(y.data[0] == 10 && y.data[8] == 20);
    assert_ok(ctx, lens_peek(s, lens_net_output_at(net, 1), LENS_VALUE, &side));
    assert_int_equal(lens_tensor_count(&side), 64);
    dy = y;
    float ones[32];
    for (int i = 0; i < 32; i++) ones[i] = 1;
    dy.data = ones;
    assert_ok(ctx, lens_backward(s, &dy));
    assert_ok(ctx, lens_grad(s, 0, &dw));
    assert_true(dw.data[0] == 16 && dw.data[1] == 16); /* 2 samples, 8 cells of the bottom half */
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* x.view(x.size(0), -1), as exporters spell it, and a Gemm with alpha, beta and turned weights:
 * y[o] = 2 * sum_f x[f] w[f,o] + 3 c[o]. */
static void folds_shapes_and_scales(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    static const int64_t zero = 0, minus = -1;
    float w[32 * 2], c[2] = { 10, 20 }, xs[2 * 32];
    for (int i = 0; i < 64; i++) w[i] = (float)(i % 7) - 3;
    for (int i = 0; i < 64; i++) xs[i] = (float)(i % 5);
    const onnx_tensor tensor[] = {
        { .name = "zero", .type = ONNX_I64, .dtype = ST_I64, .count = 1, .raw = &zero },
        { .name = "minus",
          .type = ONNX_I64,
          .dtype = ST_I64,
          .rank = 1,
          .dim = { 1 },
          .count = 1,
          .raw = &minus },
        { .name = "fc.weight",
          .type = ONNX_F32,
          .dtype = ST_F32,
          .rank = 2,
          .dim = { 32, 2 },
          .count = 64,
          .raw = w },
        { .name = "c",
          .type = ONNX_F32,
          .dtype = ST_F32,
          .rank = 1,
          .dim = { 2 },
          .count = 2,
          .raw = c },
    };
    const int64_t first = 0;
    const onnx_attr axes = { .name = "axes", .type = ONNX_INTS, .ints = &first, .count = 1 };
    const onnx_attr axis = { .name = "axis", .type = ONNX_INT, .i = 0 };
    const onnx_attr scale[] = { { .name = "alpha", .type = ONNX_FLOAT, .f = 2 },
                                { .name = "beta", .type = ONNX_FLOAT, .f = 3 } };
    const onnx_node node[] = {
        { .op = "Shape",
          .domain = "",
          .name = "",
          .input = IN("x"),
          .output = IN("s"),
          .inputs = 1,
          .outputs = 1 },
        { .op = "Gather",
          .domain = "",
          .name = "",
          .input = IN("s", "zero"),
          .output = IN("n"),
          .inputs = 2,
          .outputs = 1 },
        { .op = "Unsqueeze",
          .domain = "",
          .name = "",
          .input = IN("n"),
          .output = IN("n1"),
          .inputs = 1,
          .outputs = 1,
          .attr = &axes,
          .attrs = 1 },
        { .op = "Concat",
          .domain = "",
          .name = "",
          .input = IN("n1", "minus"),
          .output = IN("to"),
          .inputs = 2,
          .outputs = 1,
          .attr = &axis,
          .attrs = 1 },
        { .op = "Reshape",
          .domain = "",
          .name = "",
          .input = IN("x", "to"),
          .output = IN("flat"),
          .inputs = 2,
          .outputs = 1 },
        { .op = "Gemm",
          .domain = "",
          .name = "",
          .input = IN("flat", "fc.weight", "c"),
          .output = IN("y"),
          .inputs = 3,
          .outputs = 1,
          .attr = scale,
          .attrs = 2 },
    };
    onnx_model m = small(node, 6, tensor, 4);
    lens_net *net;
    lens_session *s;
    lens_tensor x = { xs, 4, { 2, 2, 4, 4 } }, y;
    assert_ok(ctx, net_from_onnx(ctx, &net, &m, "f"));
    assert_non_null(lens_net_find(net, "fc"));
    assert_ok(ctx, lens_session_new(&s, net, ctx, &(lens_session_opts){ .batch = 2 }));
    assert_ok(ctx, lens_run(s, &x, &y));
    for (int n = 0; n < 2; n++)
        for (int o = 0; o < 2; o++) {
            double want = 3 * (double)c[o];
            for (int f = 0; f < 32; f++) want += 2 * (double)xs[n * 32 + f] * (double)w[f * 2 + o];
            assert_true(fabs((double)y.data[n * 2 + o] - want) < 1e-4);
        }
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- Damage --------------------------------------------------------------------------------- */

/* Every prefix and every flipped bit of a small file: no crash, a message, nothing left over. */
static void damage_is_refused(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char path[TEMPDIR_PATH + 32];
    char *bytes;
    size_t size;
    lens_net *net = parsed(ctx, "input x 1x4x4\nconv2d c out=2 kernel=3\nrelu\ndense out=2\n"),
             *back;
    assert_ok(ctx, lens_net_export_onnx(net, temp_path(path, "net.onnx")));
    lens_net_free(net);
    assert_ok(ctx, file_read(ctx, path, 1 << 20, &bytes, &size));
    size_t idle = ctx_live_bytes(ctx);
    onnx_file *file;
    for (size_t cut = 0; cut < size; cut++) {
        lens_status status = onnx_parse(ctx, &file, bytes, cut, "cut");
        if (status == LENS_OK) { /* the opset or the words were lost, at the end */
            net_from_onnx(ctx, &back, onnx_description(file), "cut");
            lens_net_free(back);
        }
        onnx_close(file);
        assert_int_equal(ctx_live_bytes(ctx), idle);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        if (onnx_parse(ctx, &file, bytes, size, "flip") == LENS_OK)
            if (net_from_onnx(ctx, &back, onnx_description(file), "flip") == LENS_OK)
                lens_net_free(back);
        onnx_close(file);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(ctx_live_bytes(ctx), idle);
    }
    ctx_free(ctx, bytes);
    lens_ctx_free(ctx);
}

/* A model of one Relu with an unused initializer "w" of two floats whose data lie in `location`. */
static size_t external_model(uint8_t *to, const char *location, const char *offset) {
    uint8_t tensor[200], *p = tensor;
    const char *const pair[] = { "location", location, "offset", offset };
    static const uint8_t head[] = { 0x08, 2, 0x10, 1, 0x42, 1, 'w', 0x70, 1 };
    memcpy(p, head, sizeof head);
    p += sizeof head;
    for (int i = 0; i < 4; i += 2) {
        size_t a = strlen(pair[i]), b = strlen(pair[i + 1]);
        *p++ = 0x6a;
        *p++ = (uint8_t)(a + b + 4);
        *p++ = 0x0a;
        *p++ = (uint8_t)a;
        memcpy(p, pair[i], a);
        p += a;
        *p++ = 0x12;
        *p++ = (uint8_t)b;
        memcpy(p, pair[i + 1], b);
        p += b;
    }
    size_t length = (size_t)(p - tensor);
    const uint8_t front[] = { 0x08, 7, 0x3a, (uint8_t)(length + 2), 0x2a, (uint8_t)length };
    memcpy(to, front, sizeof front);
    memcpy(to + sizeof front, tensor, length);
    return sizeof front + length;
}

static void write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(bytes, 1, size, f);
    fclose(f);
}

static lens_status open_external(lens_ctx *ctx, const char *location, const char *offset,
                                 float *first) {
    char path[TEMPDIR_PATH + 32];
    uint8_t bytes[300];
    onnx_file *file;
    size_t size = external_model(bytes, location, offset);
    write_bytes(temp_path(path, "external.onnx"), bytes, size);
    lens_status status = onnx_open(ctx, &file, path);
    float value[2] = { 0 };
    if (status == LENS_OK) onnx_floats(&onnx_description(file)->tensor[0], value);
    *first = value[0];
    onnx_close(file);
    return status;
}

static void external_data(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char path[TEMPDIR_PATH + 32], other[TEMPDIR_PATH + 32];
    const float data[] = { 1, 2, 3 };
    float first;
    write_bytes(temp_path(path, "w.bin"), data, sizeof data);
    assert_ok(ctx, open_external(ctx, "w.bin", "4", &first));
    assert_true(first == 2);
    assert_int_equal(open_external(ctx, "w.bin", "8", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "w.bin", "-4", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "w.bin", "9223372036854775807", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "../w.bin", "0", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "/etc/passwd", "0", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "..", "0", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "", "0", &first), LENS_BAD_FILE);
    assert_int_equal(open_external(ctx, "missing.bin", "0", &first), LENS_IO);
    assert_int_equal(symlink(path, temp_path(other, "link.bin")), 0);
    assert_int_equal(open_external(ctx, "link.bin", "0", &first), LENS_BAD_FILE);
    assert_non_null(strstr(lens_why(ctx), "symbolic link"));
    assert_int_equal(link(path, temp_path(other, "hard.bin")), 0);
    assert_int_equal(open_external(ctx, "hard.bin", "0", &first), LENS_BAD_FILE);
    assert_int_equal(mkfifo(temp_path(other, "pipe"), 0600), 0);
    assert_int_equal(open_external(ctx, "pipe", "0", &first), LENS_BAD_FILE);
    lens_ctx_free(ctx);
}

/* docs/onnx.md has one line for each row of the table, made of it. */
static void documentation_is_the_table(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    char *text, line[400];
    size_t size, rows = 0;
    const onnx_row *row;
    assert_ok(ctx, file_read(ctx, TEST_SOURCE_DIR "/docs/onnx.md", 1 << 20, &text, &size));
    for (int i = 0; (row = onnx_row_at(i)); i++) {
        snprintf(line, sizeof line, "| %s | %d to %d | %s | %s |\n", row->op, row->first, row->last,
                 row->becomes, row->limits);
        if (!strstr(text, line)) fail_msg("docs/onnx.md lacks the line: %s", line);
    }
    for (const char *at = text; (at = strstr(at, " to 23 |")); at++) rows++;
    assert_null(onnx_row_at((int)rows)); /* and no other lines */
    ctx_free(ctx, text);
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("nets of the zoo: export, import, the same bits", zoo_comes_back),
        T("every operator: export, import, the same bits", operators_come_back),
        T("every function of unary and binary: export, import", functions_come_back),
        T("flip, subsample and sumpool are written as convolutions", replaced_operators),
        T("export names what ONNX cannot say and writes nothing", export_refused),
        T("import names operator, node and opset", names_the_unsupported),
        T("a graph that mixes its samples", mixed_samples),
        T("a Resize to very many cells is refused", large_scales),
        T("several outputs, and a constant that is trained", several_outputs),
        T("shape computations are folded; Gemm's factors too", folds_shapes_and_scales),
        T("every prefix and every flipped bit of a file", damage_is_refused),
        T("external data: beside the model, regular, no link, in range", external_data),
        T("docs/onnx.md is the table", documentation_is_the_table),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
