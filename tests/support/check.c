/* check.c - see check.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/check.h"
#include "base/rng.h"
#include "test.h"

/* ---- numbers -------------------------------------------------------------------------------- */

int numbers(const char *text, float *out, int room) {
    int count = 0;
    while (*text) {
        char *end;
        double value = strtod(text, &end);
        if (end == text) {
            text++;
            continue;
        }
        if (count == room) fail_msg("more than %d numbers in \"%s\"", room, text);
        out[count++] = (float)value;
        text = end;
    }
    return count;
}

enum { MOST_NUMBERS = 512 };

void expect_numbers(const float *got, const char *text, double tolerance) {
    float want[MOST_NUMBERS];
    int count = numbers(text, want, MOST_NUMBERS);
    for (int i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance))
            fail_msg("number %d of \"%s\" is %.9g", i, text, (double)got[i]);
}

void expect_equal(const float *got, const float *want, size_t count, double tolerance) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance))
            fail_msg("number %zu is %.9g, expected %.9g, tolerance %g", i, (double)got[i],
                     (double)want[i], tolerance);
}

void random_floats(float *x, size_t count, unsigned seed) {
    rng r = rng_start(seed, RNG_TEST, 0, 0);
    for (size_t i = 0; i < count; i++) x[i] = 2 * rng_uniform(&r) - 1;
}

/* ---- probe ---------------------------------------------------------------------------------- */

static probe start(int threads, int n) {
    probe p = { .ctx = test_ctx(threads), .n = n };
    p.net = lens_net_new(p.ctx, "probe");
    assert_non_null(p.net);
    return p;
}

probe probe_start(int threads, int n, int c, int h, int w) {
    probe p = start(threads, n);
    p.x = lens_input(p.net, "x", c, h, w);
    return p;
}

probe probe_start_sequence(int threads, int n, int c, int l) {
    probe p = start(threads, n);
    p.x = lens_input1d(p.net, "x", c, l);
    return p;
}

void probe_finish(probe *p, lens_node *output) {
    assert_ok(p->ctx, lens_net_finish(p->net, output));
    lens_session_opts opts = {
        .batch = p->n, .train = true, .watch = true, .input_grad = true, .seed = 1
    };
    assert_ok(p->ctx, lens_session_new(&p->session, p->net, p->ctx, &opts));
}

void probe_end(probe *p) {
    lens_session_free(p->session);
    lens_net_free(p->net);
    lens_ctx_free(p->ctx);
}

lens_param probe_param(const probe *p, const char *name) {
    lens_param param;
    assert_ok(p->ctx, lens_net_param_named(p->net, name, &param));
    return param;
}

void probe_set_floats(probe *p, const char *param, const float *values) {
    lens_param it = probe_param(p, param);
    memcpy(it.value.data, values, (size_t)lens_tensor_count(&it.value) * sizeof *values);
    lens_net_touched(p->net);
}

void probe_set(probe *p, const char *param, const char *values) {
    float value[MOST_NUMBERS];
    lens_param it = probe_param(p, param);
    assert_int_equal(numbers(values, value, MOST_NUMBERS), lens_tensor_count(&it.value));
    probe_set_floats(p, param, value);
}

void probe_random(probe *p, unsigned seed) {
    for (int i = 0; i < lens_net_params(p->net); i++) {
        lens_param it;
        assert_ok(p->ctx, lens_net_param(p->net, i, &it));
        size_t count = (size_t)lens_tensor_count(&it.value);
        random_floats(it.value.data, count, seed + 100 + (unsigned)i);
        if (strstr(it.name, "running_var"))
            for (size_t k = 0; k < count; k++) it.value.data[k] = 1.5f + it.value.data[k];
    }
    lens_net_touched(p->net);
}

static lens_tensor node_tensor(const lens_node *node, int n, const float *data) {
    lens_node_info info;
    lens_node_info_get(node, &info);
    lens_tensor t = { .data = (float *)(uintptr_t)data,
                      .rank = info.rank,
                      .dim = { n, info.c, info.h, info.w } };
    if (info.rank == 3) t.dim[2] = info.w, t.dim[3] = 0;
    if (info.rank == 2) t.dim[2] = t.dim[3] = 0;
    return t;
}

static size_t count_of(const lens_node *node, int n) {
    lens_tensor t = node_tensor(node, n, NULL);
    return (size_t)lens_tensor_count(&t);
}

size_t probe_x_count(const probe *p) { return count_of(p->x, p->n); }
size_t probe_y_count(const probe *p) { return count_of(lens_net_output(p->net), p->n); }

const float *probe_run(probe *p, const float *x) {
    lens_tensor t = node_tensor(p->x, p->n, x);
    assert_ok(p->ctx, lens_forward(p->session, &t, 0, &p->y));
    return p->y.data;
}

const float *probe_infer(probe *p, const float *x) {
    lens_tensor t = node_tensor(p->x, p->n, x);
    assert_ok(p->ctx, lens_run(p->session, &t, &p->y));
    return p->y.data;
}

const float *probe_run_text(probe *p, const char *x) {
    float value[MOST_NUMBERS];
    assert_int_equal(numbers(x, value, MOST_NUMBERS), probe_x_count(p));
    return probe_run(p, value);
}

const float *probe_back(probe *p, const float *dy) {
    lens_tensor t = node_tensor(lens_net_output(p->net), p->n, dy), dx;
    assert_ok(p->ctx, lens_backward(p->session, &t));
    assert_ok(p->ctx, lens_peek(p->session, p->x, LENS_GRADIENT, &dx));
    return dx.data;
}

const float *probe_back_text(probe *p, const char *dy) {
    float value[MOST_NUMBERS];
    assert_int_equal(numbers(dy, value, MOST_NUMBERS), probe_y_count(p));
    return probe_back(p, value);
}

const float *probe_grad(const probe *p, const char *name) {
    for (int i = 0; i < lens_net_params(p->net); i++) {
        lens_param it;
        lens_tensor grad;
        assert_ok(p->ctx, lens_net_param(p->net, i, &it));
        if (strcmp(it.name, name)) continue;
        assert_ok(p->ctx, lens_grad(p->session, i, &grad));
        return grad.data;
    }
    fail_msg("no parameter %s", name);
    return NULL;
}

/* ---- the arrays of one layer ----------------------------------------------------------------- */

/* Everything a layer reads and writes, in double. */
typedef struct arrays {
    double *x, *y, *dx, *dy, *param[REF_PARAMS], *dparam[REF_PARAMS];
} arrays;

static double *doubles(size_t count) {
    double *x = test_calloc(count + 1, sizeof *x);
    assert_non_null(x);
    return x;
}

static arrays arrays_new(const ref_op *op) {
    arrays a = { doubles(op->x_count),
                 doubles(op->y_count),
                 doubles(op->x_count),
                 doubles(op->y_count),
                 { NULL },
                 { NULL } };
    for (int i = 0; i < op->params; i++) {
        a.param[i] = doubles(op->param_count[i]);
        a.dparam[i] = doubles(op->param_count[i]);
    }
    return a;
}

static void arrays_free(arrays *a) {
    test_free(a->x), test_free(a->y), test_free(a->dx), test_free(a->dy);
    for (int i = 0; i < REF_PARAMS; i++) {
        if (a->param[i]) test_free(a->param[i]);
        if (a->dparam[i]) test_free(a->dparam[i]);
    }
}

static void random_doubles(double *x, size_t count, unsigned seed) {
    float *value = test_calloc(count + 1, sizeof *value);
    random_floats(value, count, seed);
    for (size_t i = 0; i < count; i++) x[i] = (double)value[i];
    test_free(value);
}

/* Absent connections are no weights: they are 0 and stay 0. */
static void clear_absent(const ref_op *op, double *w) {
    size_t kernel = (size_t)op->kh * (size_t)op->kw;
    if (!op->connected) return;
    for (int i = 0; i < op->out * op->c; i++)
        if (!op->connected[i])
            for (size_t k = 0; k < kernel; k++) w[(size_t)i * kernel + k] = 0;
}

static arrays random_arrays(const ref_op *op) {
    arrays a = arrays_new(op);
    random_doubles(a.x, op->x_count, 1);
    random_doubles(a.dy, op->y_count, 2);
    for (int i = 0; i < op->params; i++)
        random_doubles(a.param[i], op->param_count[i], 3 + (unsigned)i);
    if (op->kind == REF_CONV) clear_absent(op, a.param[0]);
    if (op->kind == REF_BATCHNORM || op->kind == REF_BATCHNORM_FROZEN)
        for (int c = 0; c < op->c; c++) a.param[3][c] += 1.5;
    return a;
}

static const double *const *inputs(const arrays *a) { return (const double *const *)a->param; }

/* ---- finite differences --------------------------------------------------------------------- */

static double loss(const ref_op *op, arrays *a) {
    double sum = 0;
    ref_forward(op, a->x, inputs(a), a->y);
    for (size_t i = 0; i < op->y_count; i++) sum += a->y[i] * a->dy[i];
    return sum;
}

static void check_differences(const layer *l, arrays *a, double *value, const double *grad,
                              size_t count, const char *of) {
    const double h = 1e-5;
    const size_t step = 1 + count / 60; /* of a long array every few numbers */
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(grad[i]));
    for (size_t i = 0; i < count; i += step) {
        double kept = value[i];
        value[i] = kept + h;
        double up = loss(&l->ref, a);
        value[i] = kept - h;
        double down = loss(&l->ref, a);
        value[i] = kept;
        double slope = (up - down) / (2 * h);
        if (!(fabs(slope - grad[i]) <= 1e-6 * fmax(largest, 1e-3)))
            fail_msg("%s: d%s[%zu] is %.12g, by differences %.12g", l->what, of, i, grad[i], slope);
    }
}

void check_oracle(const layer *l) {
    static const char *const name[] = { "param0", "param1", "param2", "param3" };
    const ref_op *op = &l->ref;
    arrays a = random_arrays(op);
    ref_backward(op, a.x, inputs(&a), a.dy, a.dx, a.dparam);
    check_differences(l, &a, a.x, a.dx, op->x_count, "x");
    for (int i = 0; i < op->params; i++) {
        if (op->trainable[i])
            check_differences(l, &a, a.param[i], a.dparam[i], op->param_count[i], name[i]);
    }
    arrays_free(&a);
}

/* ---- the engine ----------------------------------------------------------------------------- */

/* Half of the distance between 1 and the next float. */
static const double unit = 1.0 / 16777216;

static bool is_linear(ref_kind k) {
    return k == REF_CONV || k == REF_CONV_TRANSPOSE || k == REF_DENSE || k == REF_AVGPOOL ||
           k == REF_SUMPOOL || k == REF_SUBSAMPLE || k == REF_ADAPTIVE_AVG || k == REF_SHORTCUT;
}

static bool is_max(ref_kind k) { return k == REF_MAXPOOL || k == REF_ADAPTIVE_MAX; }

static void absolute(double *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = fabs(x[i]);
}

static void fill_largest(double *x, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(x[i]));
    for (size_t i = 0; i < count; i++) x[i] = largest;
}

/* What the rounding errors of each result scale with. Linear operators: the sum of the absolute
 * products, which is the oracle on absolute values. A maximum is exact, its gradient adds |dy|. The
 * others: the largest number of the result. */
static arrays magnitudes(const ref_op *op, const arrays *from) {
    arrays m = arrays_new(op);
    memcpy(m.x, from->x, op->x_count * sizeof *m.x);
    memcpy(m.dy, from->dy, op->y_count * sizeof *m.dy);
    for (int i = 0; i < op->params; i++)
        memcpy(m.param[i], from->param[i], op->param_count[i] * sizeof *m.x);
    if (is_linear(op->kind)) {
        absolute(m.x, op->x_count);
        for (int i = 0; i < op->params; i++) absolute(m.param[i], op->param_count[i]);
    }
    if (is_linear(op->kind) || is_max(op->kind)) absolute(m.dy, op->y_count);
    ref_forward(op, m.x, inputs(&m), m.y);
    ref_backward(op, m.x, inputs(&m), m.dy, m.dx, m.dparam);
    if (is_max(op->kind)) memset(m.y, 0, op->y_count * sizeof *m.y);
    if (is_linear(op->kind) || is_max(op->kind)) return m;
    fill_largest(m.y, op->y_count);
    fill_largest(m.dx, op->x_count);
    for (int i = 0; i < op->params; i++) fill_largest(m.dparam[i], op->param_count[i]);
    return m;
}

/* Roundings per unit of magnitude. Not linear: what functions (4 ulp) and the few sums of the list's
 * sizes come to. */
static double roundings(const ref_op *op) {
    if (is_linear(op->kind) || is_max(op->kind)) return 2 * ref_terms(op);
    if (op->kind == REF_BATCHNORM || op->kind == REF_RBF) return 64;
    return 16;
}

static void compare(const layer *l, const float *got, const double *want, const double *magnitude,
                    size_t count, const char *of) {
    double worst = roundings(&l->ref) * unit;
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - want[i]) <= worst * magnitude[i] + 1e-37))
            fail_msg("%s: %s[%zu] is %.9g, expected %.9g, rounding explains %.3g", l->what, of, i,
                     (double)got[i], want[i], worst * magnitude[i]);
}

/* What the engine computed with a number of threads. */
typedef struct results {
    float *y, *dx, *param[REF_PARAMS], *dparam[REF_PARAMS];
} results;

static float *keep(const float *from, size_t count) {
    float *to = test_calloc(count + 1, sizeof *to);
    memcpy(to, from, count * sizeof *to);
    return to;
}

static float *rounded(const double *from, size_t count) {
    float *to = test_calloc(count + 1, sizeof *to);
    for (size_t i = 0; i < count; i++) to[i] = (float)from[i];
    return to;
}

static results run_engine(const layer *l, const arrays *a, int threads) {
    const ref_op *op = &l->ref;
    results r = { 0 };
    probe p = l->sequence ? probe_start_sequence(threads, op->n, op->c, op->w)
                          : probe_start(threads, op->n, op->c, op->h, op->w);
    lens_node *node = layer_build(p.x, l);
    if (!node) fail_msg("%s: %s", l->what, lens_why(p.ctx));
    probe_finish(&p, node);
    if (op->kind == REF_BATCHNORM_FROZEN) lens_node_freeze(node, true);
    assert_int_equal(lens_net_params(p.net), op->params);
    lens_node_info info;
    lens_node_info_get(node, &info);
    if (info.c != op->oc || info.h != op->oh || info.w != op->ow)
        fail_msg("%s: the result is %dx%dx%d, expected %dx%dx%d", l->what, info.c, info.h, info.w,
                 op->oc, op->oh, op->ow);
    for (int i = 0; i < op->params; i++) {
        lens_param it;
        assert_ok(p.ctx, lens_net_param(p.net, i, &it));
        assert_int_equal(lens_tensor_count(&it.value), op->param_count[i]);
        float *value = rounded(a->param[i], op->param_count[i]);
        probe_set_floats(&p, it.name, value);
        test_free(value);
    }
    float *x = rounded(a->x, op->x_count), *dy = rounded(a->dy, op->y_count);
    r.y = keep(probe_run(&p, x), op->y_count);
    r.dx = keep(probe_back(&p, dy), op->x_count);
    for (int i = 0; i < op->params; i++) {
        lens_param it;
        assert_ok(p.ctx, lens_net_param(p.net, i, &it));
        r.param[i] = keep(it.value.data, op->param_count[i]);
        if (op->trainable[i]) r.dparam[i] = keep(probe_grad(&p, it.name), op->param_count[i]);
    }
    test_free(x), test_free(dy);
    probe_end(&p);
    return r;
}

static void results_free(results *r) {
    test_free(r->y), test_free(r->dx);
    for (int i = 0; i < REF_PARAMS; i++) {
        if (r->param[i]) test_free(r->param[i]);
        if (r->dparam[i]) test_free(r->dparam[i]);
    }
}

static void same_bits(const layer *l, const float *a, const float *b, size_t count,
                      const char *of) {
    for (size_t i = 0; a && i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a))
            fail_msg("%s: %s[%zu] is %.9g with 1 thread, %.9g with 3", l->what, of, i, (double)a[i],
                     (double)b[i]);
}

/* <y - bias, dy> = <x, dx> = <w, dw>: both backward passes are the adjoints of the forward pass. */
static void check_adjoint(const layer *l, const results *r, const arrays *a, const arrays *m) {
    const ref_op *op = &l->ref;
    double forward = 0, input = 0, weight = 0, slack = 0, weight_slack = 0;
    double worst = roundings(op) * unit;
    size_t plane = (size_t)op->oh * (size_t)op->ow;
    for (size_t i = 0; i < op->y_count; i++) {
        double bias = op->params == 2 ? a->param[1][i / plane % (size_t)op->oc] : 0;
        forward += ((double)r->y[i] - bias) * a->dy[i];
        slack += worst * m->y[i] * fabs(a->dy[i]);
    }
    for (size_t i = 0; i < op->x_count; i++) {
        input += (double)r->dx[i] * a->x[i];
        slack += worst * m->dx[i] * fabs(a->x[i]);
    }
    if (!(fabs(forward - input) <= slack))
        fail_msg("%s: <y,dy> is %.9g but <x,dx> is %.9g", l->what, forward, input);
    if (!op->params) return;
    for (size_t i = 0; i < op->param_count[0]; i++) {
        weight += (double)r->dparam[0][i] * a->param[0][i];
        weight_slack += worst * m->dparam[0][i] * fabs(a->param[0][i]);
    }
    if (!(fabs(forward - weight) <= slack + weight_slack))
        fail_msg("%s: <y,dy> is %.9g but <w,dw> is %.9g", l->what, forward, weight);
}

static void check_running(const layer *l, const results *r, const arrays *a) {
    const ref_op *op = &l->ref;
    double m = (double)op->n * op->h * op->w;
    for (int c = 0; c < op->c; c++) {
        double mean, var;
        ref_moments(op, a->x, c, &mean, &var);
        assert_near(r->param[2][c], 0.9 * a->param[2][c] + 0.1 * mean, 1e-6);
        assert_near(r->param[3][c], 0.9 * a->param[3][c] + 0.1 * var * m / (m - 1), 1e-6);
    }
}

void check_engine(const layer *l) {
    static const char *const name[] = { "dparam0", "dparam1" };
    const ref_op *op = &l->ref;
    arrays a = random_arrays(op), m = magnitudes(op, &a);
    ref_forward(op, a.x, inputs(&a), a.y);
    ref_backward(op, a.x, inputs(&a), a.dy, a.dx, a.dparam);

    results one = run_engine(l, &a, 1), three = run_engine(l, &a, 3);
    compare(l, one.y, a.y, m.y, op->y_count, "y");
    compare(l, one.dx, a.dx, m.dx, op->x_count, "dx");
    bool frozen = op->kind == REF_BATCHNORM_FROZEN;
    for (int i = 0; i < op->params; i++) {
        if (!op->trainable[i]) continue;
        for (size_t k = 0; frozen && k < op->param_count[i]; k++)
            assert_true(one.dparam[i][k] == 0);
        if (!frozen)
            compare(l, one.dparam[i], a.dparam[i], m.dparam[i], op->param_count[i], name[i]);
    }
    if (is_linear(op->kind)) check_adjoint(l, &one, &a, &m);
    if (op->kind == REF_BATCHNORM) check_running(l, &one, &a);
    for (int i = 0; frozen && i < op->params; i++)
        for (size_t k = 0; k < op->param_count[i]; k++)
            assert_true(one.param[i][k] == (float)a.param[i][k]);

    same_bits(l, one.y, three.y, op->y_count, "y");
    same_bits(l, one.dx, three.dx, op->x_count, "dx");
    for (int i = 0; i < op->params; i++) {
        same_bits(l, one.param[i], three.param[i], op->param_count[i], "param");
        same_bits(l, one.dparam[i], three.dparam[i], op->param_count[i], "dparam");
    }
    results_free(&one), results_free(&three);
    arrays_free(&a), arrays_free(&m);
}
