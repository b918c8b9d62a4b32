/* test_explain.c - ledgers and receptive fields against loops written out here in double precision, and
 * against what changing a pixel does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "support/check.h"
#include <lenslet/explain.h>

static lens_ledger *ledger(probe *p, const lens_node *node, int sample, int c, int row,
                           int column) {
    lens_ledger *l = NULL;
    assert_ok(p->ctx, lens_ledger_new(&l, p->session, node, sample, c, row, column));
    return l;
}

static const float *value(probe *p, const lens_node *node) {
    lens_tensor t;
    assert_ok(p->ctx, lens_peek(p->session, node, LENS_VALUE, &t));
    return t.data;
}

/* A net on random input and random parameters. */
static void run(probe *p, unsigned seed) {
    lens_node_info in;
    lens_node_info_get(p->x, &in);
    size_t count = (size_t)p->n * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    random_floats(x, count, seed);
    for (int i = 0; i < lens_net_params(p->net); i++) {
        lens_param param;
        assert_ok(p->ctx, lens_net_param(p->net, i, &param));
        random_floats(param.value.data, (size_t)lens_tensor_count(&param.value),
                      seed + 1 + (unsigned)i);
    }
    lens_net_touched(p->net);
    lens_tensor t = { x, 4, { p->n, in.c, in.h, in.w } };
    assert_ok(p->ctx, lens_run(p->session, &t, &p->y));
    free(x);
}

/* Every unit of a convolution with all its options: the loop below knows nothing of the ledger. */
static void conv_ledger(lens_conv2d_opts o, bool activation) {
    enum { N = 2, C = 4, H = 9, W = 8 };
    probe p = probe_start(2, N, C, H, W);
    lens_node *conv = lens_conv2d(p.x, "c", o), *relu = activation ? lens_relu(conv, "r") : NULL;
    probe_finish(&p, relu ? relu : conv);
    run(&p, 11);
    lens_param w, b;
    assert_ok(p.ctx, lens_net_param_named(p.net, "c.weight", &w));
    assert_ok(p.ctx, lens_net_param_named(p.net, "c.bias", &b));
    lens_node_info out;
    lens_node_info_get(conv, &out);
    const float *x = value(&p, p.x), *y = value(&p, conv);
    int kh = o.kernel.h, kw = o.kernel.w ? o.kernel.w : kh, groups = o.groups ? o.groups : 1,
        s = o.stride.h ? o.stride.h : 1, d = o.dilation.h ? o.dilation.h : 1, per = C / groups;
    for (int unit = 0; unit < N * out.c * out.h * out.w; unit++) {
        int j = unit % out.w, i = unit / out.w % out.h, m = unit / out.w / out.h % out.c,
            n = unit / out.w / out.h / out.c, first = m / (out.c / groups) * per;
        double sum = (double)b.value.data[m];
        for (int c = 0; c < per; c++)
            for (int u = 0; u < kh; u++)
                for (int v = 0; v < kw; v++) {
                    int r = i * s + u * d - o.pad, q = j * s + v * d - o.pad;
                    if (r < 0 || r >= H || q < 0 || q >= W) continue;
                    int uu = o.flip ? kh - 1 - u : u, vv = o.flip ? kw - 1 - v : v;
                    sum += (double)w.value.data[((m * per + c) * kh + uu) * kw + vv] *
                           (double)x[((n * C + first + c) * H + r) * W + q];
                }
        lens_ledger *l = ledger(&p, relu ? relu : conv, n, m, i, j);
        assert_near(l->sum, sum, 1e-12);
        assert_true(l->value == y[unit]);
        assert_near(l->difference, (double)y[unit] - l->sum, 0);
        assert_near(l->difference, 0, 1e-5);
        double total = l->bias;
        for (int c = 0; c < l->maps; c++) total += l->subtotal[c];
        assert_near(total, l->sum, 1e-12);
        assert_int_equal(l->first_map, first);
        assert_ptr_equal(l->source, p.x);
        if (relu) {
            assert_string_equal(l->activation, "relu");
            assert_true(l->result == fmaxf(l->value, 0));
        } else {
            assert_null(l->activation);
            assert_true(l->result == l->value);
        }
        lens_ledger_free(p.ctx, l);
    }
    probe_end(&p);
}

static void convolutions_add_up(void **state) {
    (void)state;
    conv_ledger((lens_conv2d_opts){ .out = 3, .kernel = { 3 } }, true);
    conv_ledger((lens_conv2d_opts){ .out = 6, .kernel = { 3, 2 }, .stride = { 2 }, .pad = 1 },
                false);
    conv_ledger(
        (lens_conv2d_opts){ .out = 4, .kernel = { 3 }, .dilation = { 2 }, .pad = 2, .groups = 2 },
        true);
    conv_ledger((lens_conv2d_opts){ .out = 2, .kernel = { 2 }, .flip = true }, false);
}

/* The book's example: 1035 is the first of its numbers, from 12 products. */
static void printed_ledger(void **state) {
    (void)state;
    probe p = probe_start(1, 1, 3, 3, 3);
    lens_node *conv =
        lens_conv2d(p.x, "c", (lens_conv2d_opts){ .out = 2, .kernel = { 2 }, .no_bias = true });
    probe_finish(&p, conv);
    lens_param w;
    float x[27];
    for (int i = 0; i < 27; i++) x[i] = (float)i;
    assert_ok(p.ctx, lens_net_param(p.net, 0, &w));
    for (int i = 0; i < 24; i++) w.value.data[i] = (float)i;
    lens_net_touched(p.net);
    lens_tensor t = { x, 4, { 1, 3, 3, 3 } };
    assert_ok(p.ctx, lens_run(p.session, &t, &p.y));
    lens_ledger *l = ledger(&p, conv, 0, 0, 0, 0);
    assert_near(l->sum, 1035, 0);
    assert_near(l->difference, 0, 0);
    static const double subtotal[] = { 0 * 0 + 1 * 1 + 2 * 3 + 3 * 4,
                                       4 * 9 + 5 * 10 + 6 * 12 + 7 * 13,
                                       8 * 18 + 9 * 19 + 10 * 21 + 11 * 22 };
    for (int c = 0; c < 3; c++) assert_near(l->subtotal[c], subtotal[c], 0);
    lens_ledger_free(p.ctx, l);
    probe_end(&p);
}

static void dense_ledgers(void **state) {
    (void)state;
    probe p = probe_start(1, 1, 3, 4, 5);
    lens_node *f = lens_flatten(p.x, "f"), *a = lens_dense(f, "a", (lens_dense_opts){ .out = 7 }),
              *t = lens_tanh(a, "t"),
              *b = lens_dense(t, "b", (lens_dense_opts){ .out = 2, .no_bias = true });
    probe_finish(&p, b);
    run(&p, 5);
    lens_param w, bias;
    assert_ok(p.ctx, lens_net_param_named(p.net, "a.weight", &w));
    assert_ok(p.ctx, lens_net_param_named(p.net, "a.bias", &bias));
    const float *x = value(&p, p.x);
    lens_ledger *l = ledger(&p, a, 0, 4, 0, 0);
    double sum = (double)bias.value.data[4];
    for (int i = 0; i < 60; i++) sum += (double)w.value.data[4 * 60 + i] * (double)x[i];
    assert_near(l->sum, sum, 1e-12);
    assert_near(l->difference, 0, 1e-5);
    assert_int_equal(l->maps, 3);
    assert_int_equal(l->kh, 4);
    assert_int_equal(l->kw, 5);
    assert_string_equal(l->activation, "tanh");
    assert_near(l->result, tanh(sum), 1e-6);
    lens_ledger_free(p.ctx, l);
    l = ledger(&p, b, 0, 1, 0, 0);
    const float *h = value(&p, t);
    assert_ok(p.ctx, lens_net_param_named(p.net, "b.weight", &w));
    sum = 0;
    for (int i = 0; i < 7; i++) sum += (double)w.value.data[7 + i] * (double)h[i];
    assert_near(l->sum, sum, 1e-12);
    assert_near(l->bias, 0, 0);
    assert_int_equal(l->maps * l->kh, 1);
    assert_int_equal(l->kw, 7);
    lens_ledger_free(p.ctx, l);
    probe_end(&p);
}

/* Windows of 3x3 in steps of 2 over a padded 6x5 map, the last one overhanging. */
static void pooling_ledgers(void **state) {
    (void)state;
    enum { C = 2, H = 6, W = 5 };
    for (int kind = 0; kind < 5; kind++) {
        probe p = probe_start(1, 1, C, H, W);
        lens_pool_opts o = {
            .kernel = { 3 }, .stride = { 2 }, .pad = 1, .exclude_pad = kind == 1, .ceil = kind < 2
        };
        lens_node *y = kind == 0   ? lens_maxpool(p.x, "y", o)
                       : kind <= 2 ? lens_avgpool(p.x, "y", o)
                       : kind == 3 ? lens_sumpool(p.x, "y", o)
                                   : lens_subsample(p.x, "y", o);
        probe_finish(&p, y);
        run(&p, 3);
        lens_node_info out;
        lens_node_info_get(y, &out);
        const float *x = value(&p, p.x);
        lens_param w, b;
        if (kind == 4) {
            assert_ok(p.ctx, lens_net_param_named(p.net, "y.weight", &w));
            assert_ok(p.ctx, lens_net_param_named(p.net, "y.bias", &b));
        }
        for (int unit = 0; unit < C * out.h * out.w; unit++) {
            int j = unit % out.w, i = unit / out.w % out.h, c = unit / out.w / out.h;
            double sum = 0, most = -INFINITY;
            int inside = 0, padded = 0;
            for (int r = 2 * i - 1; r < 2 * i + 2; r++)
                for (int q = 2 * j - 1; q < 2 * j + 2; q++) {
                    padded += r <= H && q <= W;
                    if (r < 0 || r >= H || q < 0 || q >= W) continue;
                    inside++;
                    sum += (double)x[(c * H + r) * W + q];
                    most = fmax(most, (double)x[(c * H + r) * W + q]);
                }
            double want = kind == 0   ? most
                          : kind == 1 ? sum / inside
                          : kind == 2 ? sum / padded
                          : kind == 3 ? sum
                                      : (double)w.value.data[c] * sum + (double)b.value.data[c];
            lens_ledger *l = ledger(&p, y, 0, c, i, j);
            assert_near(l->sum, want, 1e-12);
            assert_near(l->difference, 0, 1e-6);
            if (kind == 0) assert_true(l->term[l->best] == most);
            lens_ledger_free(p.ctx, l);
        }
        probe_end(&p);
    }
}

static void ledgers_that_are_none(void **state) {
    (void)state;
    probe p = probe_start(1, 1, 1, 4, 4);
    lens_node *bn = lens_batchnorm(p.x, "bn", (lens_batchnorm_opts){ 0 }),
              *c = lens_conv2d(bn, "c", (lens_conv2d_opts){ .out = 1, .kernel = { 3 } });
    probe_finish(&p, c);
    run(&p, 1);
    lens_ledger *l = NULL;
    lens_session *s = p.session;
    assert_fails(p.ctx, LENS_UNSUPPORTED, "bn: a unit of batchnorm",
                 lens_ledger_new(&l, s, bn, 0, 0, 0, 0));
    assert_fails(p.ctx, LENS_UNSUPPORTED, "x: the input is given",
                 lens_ledger_new(&l, s, p.x, 0, 0, 0, 0));
    assert_fails(p.ctx, LENS_BAD_ARG, "c has 1x2x2 units, but 0,2,0",
                 lens_ledger_new(&l, s, c, 0, 0, 2, 0));
    assert_fails(p.ctx, LENS_BAD_ARG, "0,0,-1", lens_ledger_new(&l, s, c, 0, 0, 0, -1));
    assert_fails(p.ctx, LENS_BAD_ARG, "sample 1", lens_ledger_new(&l, s, c, 1, 0, 0, 0));
    assert_null(l);
    lens_region field[3];
    assert_fails(p.ctx, LENS_BAD_ARG, "c: row 2, column 0", lens_receptive_field(c, 2, 0, field));
    probe_end(&p);
}

/* ---- receptive fields ---- */

/* For every unit of the last node and every pixel: a change inside the field shows, one outside leaves
 * every bit alone. Weights and input are positive and large enough that nothing cancels; `strict`, as
 * Winograd's transforms touch neighbours. */
static void field_by_pixels(lens_node *(*build)(lens_node *), int h, int w) {
    char why[256];
    lens_ctx *ctx;
    assert_int_equal(lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = 1, .strict = true }, why),
                     LENS_OK);
    lens_net *net = lens_net_new(ctx, "field");
    lens_node *x = lens_input(net, "x", 1, h, w), *y = build(x);
    assert_ok(ctx, lens_net_finish(net, y));
    for (int i = 0; i < lens_net_params(net); i++) {
        lens_param p;
        assert_ok(ctx, lens_net_param(net, i, &p));
        for (int64_t k = 0; k < lens_tensor_count(&p.value); k++) p.value.data[k] = 1;
    }
    lens_session *s;
    assert_ok(ctx, lens_session_new(&s, net, ctx, NULL));
    lens_node_info out;
    lens_node_info_get(y, &out);
    int units = out.h * out.w, count = h * w;
    float *pixels = calloc((size_t)count, sizeof *pixels),
          *before = calloc((size_t)units, sizeof *before);
    bool *moves = calloc((size_t)units * (size_t)count, sizeof *moves);
    assert_true(pixels && before && moves);
    lens_tensor in = { pixels, 4, { 1, 1, h, w } }, result;
    assert_ok(ctx, lens_run(s, &in, &result));
    memcpy(before, result.data, (size_t)units * sizeof *before);
    for (int k = 0; k < count; k++) {
        pixels[k] = 1;
        assert_ok(ctx, lens_run(s, &in, &result));
        for (int u = 0; u < units; u++) moves[u * count + k] = result.data[u] != before[u];
        pixels[k] = 0;
    }
    lens_region *field = calloc((size_t)lens_net_nodes(net), sizeof *field);
    assert_non_null(field);
    for (int u = 0; u < units; u++) {
        lens_region seen = { h, w, 0, 0 };
        for (int k = 0; k < count; k++) {
            if (!moves[u * count + k]) continue;
            if (k / w < seen.top) seen.top = k / w;
            if (k / w >= seen.bottom) seen.bottom = k / w + 1;
            if (k % w < seen.left) seen.left = k % w;
            if (k % w >= seen.right) seen.right = k % w + 1;
        }
        assert_ok(ctx, lens_receptive_field(y, u / out.w, u % out.w, field));
        if (memcmp(&seen, &field[0], sizeof seen) != 0)
            fail_msg(
                "unit %d of %s: pixels say rows %d..%d, columns %d..%d; the field is %d..%d, %d..%d",
                u, out.name, seen.top, seen.bottom, seen.left, seen.right, field[0].top,
                field[0].bottom, field[0].left, field[0].right);
    }
    free(field);
    free(moves);
    free(before);
    free(pixels);
    lens_session_free(s);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static lens_node *stack(lens_node *x) {
    x = lens_conv2d(x, "c1", (lens_conv2d_opts){ .out = 2, .kernel = { 5, 3 }, .pad = 2 });
    x = lens_avgpool(x, "p1", (lens_pool_opts){ .kernel = { 2 } });
    return lens_conv2d(
        x, "c2",
        (lens_conv2d_opts){
            .out = 1, .kernel = { 3 }, .dilation = { 2, 1 }, .stride = { 2, 1 }, .pad = 1 });
}

static lens_node *branches(lens_node *x) {
    lens_node *wide = lens_conv2d(
                  x, "wide",
                  (lens_conv2d_opts){ .out = 1, .kernel = { 1, 5 }, .pads = { 0, 2, 0, 2 } }),
              *tall = lens_conv2d(
                  x, "tall",
                  (lens_conv2d_opts){ .out = 1, .kernel = { 5, 1 }, .pads = { 2, 0, 2, 0 } });
    return lens_add(lens_relu(wide, NULL), tall, "both");
}

static lens_node *up_and_down(lens_node *x) {
    x = lens_conv_transpose2d(
        x, "up",
        (lens_conv_transpose2d_opts){ .out = 1, .kernel = { 3 }, .stride = { 2 }, .pad = 1 });
    return lens_adaptive_avgpool(x, "seven", (lens_adaptive_opts){ .out = { 7, 4 } });
}

static lens_node *reshaped(lens_node *x) {
    return lens_dense(lens_maxpool(x, "p", (lens_pool_opts){ .kernel = { 2 } }), "d",
                      (lens_dense_opts){ .out = 1 });
}

static void fields_are_what_pixels_say(void **state) {
    (void)state;
    field_by_pixels(stack, 17, 14);
    field_by_pixels(branches, 9, 8);
    field_by_pixels(up_and_down, 6, 5);
    field_by_pixels(reshaped, 8, 8);
}

/* LeNet's layers as printed: field and step, and a middle unit has the whole of it. */
static void printed_fields(void **state) {
    (void)state;
    probe p = probe_start(1, 1, 1, 32, 32);
    lens_node *c1 = lens_conv2d(p.x, "c1", (lens_conv2d_opts){ .out = 1, .kernel = { 5 } }),
              *s2 = lens_avgpool(c1, "s2", (lens_pool_opts){ .kernel = { 2 } }),
              *c3 = lens_conv2d(s2, "c3", (lens_conv2d_opts){ .out = 1, .kernel = { 5 } }),
              *s4 = lens_avgpool(c3, "s4", (lens_pool_opts){ .kernel = { 2 } }),
              *c5 = lens_conv2d(s4, "c5", (lens_conv2d_opts){ .out = 1, .kernel = { 5 } });
    probe_finish(&p, c5);
    const struct {
        lens_node *node;
        int field;
    } rows[] = { { c1, 5 }, { s2, 6 }, { c3, 14 }, { s4, 16 }, { c5, 32 } };
    for (int i = 0; i < 5; i++) {
        lens_region field[6];
        lens_node_info info;
        lens_node_info_get(rows[i].node, &info);
        assert_ok(p.ctx, lens_receptive_field(rows[i].node, info.h / 2, info.w / 2, field));
        assert_int_equal(field[0].bottom - field[0].top, rows[i].field);
        assert_int_equal(field[0].right - field[0].left, rows[i].field);
        assert_int_equal(info.field, rows[i].field);
        if (i < 4)
            assert_int_equal(field[5].bottom, field[5].top); /* what comes later is not seen */
    }
    probe_end(&p);
}

/* ---- shifts ---- */

static void correlate_shifted(int shift, int stride, float out[6]) {
    probe p = probe_start(1, 1, 1, 1, 8);
    lens_node *conv =
        lens_conv2d(p.x, "c",
                    (lens_conv2d_opts){
                        .out = 1, .kernel = { 1, 3 }, .stride = { 1, stride }, .no_bias = true });
    probe_finish(&p, conv);
    lens_param w;
    float x[8] = { 0 };
    x[3 + shift] = 5;
    assert_ok(p.ctx, lens_net_param(p.net, 0, &w));
    memcpy(w.value.data, (float[]){ 1, 2, 1 }, 3 * sizeof(float));
    lens_net_touched(p.net);
    lens_tensor t = { x, 4, { 1, 1, 1, 8 } };
    assert_ok(p.ctx, lens_run(p.session, &t, &p.y));
    memcpy(out, p.y.data, (size_t)lens_tensor_count(&p.y) * sizeof *out);
    probe_end(&p);
}

/* Stride 1 follows every shift; stride 2 only shifts by 2. */
static void equivariance_under_stride(void **state) {
    (void)state;
    static const struct {
        int stride, shift;
        const char *want;
    } rows[] = {
        { 1, 0, "0 5 10 5 0 0" }, { 1, 1, "0 0 5 10 5 0" }, { 2, 0, "0 10 0" },
        { 2, 1, "0 5 5" },        { 2, 2, "0 0 10" },
    };
    for (int i = 0; i < 5; i++) {
        float y[6];
        correlate_shifted(rows[i].shift, rows[i].stride, y);
        expect_numbers(y, rows[i].want, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("[L10] every product of a unit: the ledger adds up to the engine's value",
          convolutions_add_up),
        T("[C9][V4] 1035 from twelve products and three subtotals", printed_ledger),
        T("dense layers have ledgers over the maps before them", dense_ledgers),
        T("[L10] pooling: windows at borders, means with and without padding", pooling_ledgers),
        T("what has no ledger, and units outside", ledgers_that_are_none),
        T("[D18] receptive fields are what changing each pixel says", fields_are_what_pixels_say),
        T("[V17] fields of LeNet", printed_fields),
        T("[K4][V18] a stride follows shifts by itself only", equivariance_under_stride),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
