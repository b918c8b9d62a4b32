/* plot_conv.c - lenslet plot conv, backward, channels and pooling: small examples with all their
 * numbers. Every result is the engine's: a net of one layer is run, forwards or backwards.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <stdlib.h>
#include <string.h>

/* ---- a net of one layer ---- */

typedef struct engine {
    lens_net *net;
    lens_node *x, *y;
    lens_session *session;
    lens_node_info out;
} engine;

static void engine_free(engine *e) {
    lens_session_free(e->session);
    lens_net_free(e->net);
}

static lens_node *engine_input(cli *c, engine *e, int maps, int h, int w) {
    *e = (engine){ .net = lens_net_new(c->ctx, "example") };
    return e->x = lens_input(e->net, "x", maps, h, w);
}

/* Runs n samples x through the layer y of the net with these weights (NULL: it has none); with dy also
 * backwards. */
static lens_status engine_run(cli *c, engine *e, lens_node *y, const float *weights, const float *x,
                              int n, const float *dy) {
    lens_param w;
    lens_status status = lens_net_finish(e->net, y);
    if (status != LENS_OK) return status;
    e->y = y;
    lens_node_info in;
    lens_node_info_get(e->x, &in);
    lens_node_info_get(y, &e->out);
    if (weights) {
        lens_net_param(e->net, 0, &w);
        memcpy(w.value.data, weights, (size_t)lens_tensor_count(&w.value) * sizeof *weights);
    }
    lens_tensor xs = { (float *)(size_t)x, 4, { n, in.c, in.h, in.w } }, ys;
    lens_tensor dys = { (float *)(size_t)dy, 4, { n, e->out.c, e->out.h, e->out.w } };
    status = lens_session_new(
        &e->session, e->net, c->ctx,
        &(lens_session_opts){ .batch = n, .train = true, .watch = true, .input_grad = true });
    if (status == LENS_OK) status = lens_forward(e->session, &xs, 0, &ys);
    if (status == LENS_OK && dy) status = lens_backward(e->session, &dys);
    return status;
}

/* The numbers of a node, or their gradient, which the run has made. */
static const float *numbers_of(const engine *e, const lens_node *node, lens_which which) {
    lens_tensor t = { 0 };
    return lens_peek(e->session, node, which, &t) == LENS_OK ? t.data : NULL;
}

static const float *weight_gradient(const engine *e) {
    lens_tensor t = { 0 };
    return lens_grad(e->session, 0, &t) == LENS_OK ? t.data : NULL;
}

/* ---- small matrices ---- */

typedef struct matrix {
    int h, w;
    float *x;
} matrix;

static matrix matrix_new(board *b, int h, int w) {
    return (matrix){ h, w, board_own(b, take((size_t)h * (size_t)w, sizeof(float))) };
}

static float *cell(const matrix *m, int i, int j) { return &m->x[(size_t)i * (size_t)m->w + j]; }

static matrix matrix_of(board *b, const lens_kernel *k) {
    matrix m = matrix_new(b, k->h, k->w);
    for (int i = 0; i < k->h * k->w; i++) m.x[i] = (float)k->value[i];
    return m;
}

/* --matrix: rows of numbers, written like those of a kernel. */
static int read_matrix(cli *c, board *b, const char *fallback, matrix *m) {
    lens_kernel k;
    if (lens_kernel_parse(c->ctx, &k, text_of(c, "matrix", fallback)) != LENS_OK)
        return fail(c, EXIT_USAGE, "--matrix: %s", lens_why(c->ctx));
    *m = matrix_of(b, &k);
    return EXIT_DONE;
}

static int read_kernel(cli *c, board *b, const char *fallback, matrix *m) {
    lens_kernel k;
    int result = open_kernel(c, &k, text_of(c, "kernel", fallback));
    if (!result) *m = matrix_of(b, &k);
    return result;
}

static matrix turned(board *b, const matrix *m) {
    matrix t = matrix_new(b, m->h, m->w);
    for (int i = 0; i < m->h * m->w; i++) t.x[i] = m->x[m->h * m->w - 1 - i];
    return t;
}

/* x with `between - 1` zeros between neighbours, from row and column `around` (negative: cut off) of
 * h x w zeros. What is no number of x is marked in zero (h,w). */
static matrix spread_out(board *b, const matrix *x, int between, int around, int h, int w,
                         bool **zero) {
    matrix m = matrix_new(b, h, w);
    *zero = board_own(b, take((size_t)h * (size_t)w, sizeof **zero));
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            int r = i - around, k = j - around;
            bool inside = r >= 0 && k >= 0 && r % between == 0 && k % between == 0 &&
                          r / between < x->h && k / between < x->w;
            (*zero)[i * w + j] = !inside;
            if (inside) *cell(&m, i, j) = *cell(x, r / between, k / between);
        }
    return m;
}

static lens_figure_tile *put(board *b, const char *sign, const char *name, const matrix *m) {
    return board_map(b, sign, name, m->x, m->h, m->w);
}

static void mark_zeros(board *b, lens_figure_tile *t, const bool *zero) {
    for (int i = 0; i < t->picture.h * t->picture.w; i++)
        if (zero[i]) board_mark(b, t, LENS_MARK_ZERO, i / t->picture.w, i % t->picture.w, 1, 1);
}

/* ---- conv ---- */

enum {
    MAX_POSITIONS = 144, /* frames: 12x12 */
    MAX_SLID = 24,       /* side of what the kernel slides over, with its zeros */
    DELAY = 700          /* ms a frame */
};

/* A kernel k that slides over m in steps and makes y. */
typedef struct slide {
    matrix m, k, y;
    bool *zero; /* of m */
    int step, dilation;
    const char *input, *kernel, *title, *size;
} slide;

static lens_status draw_position(cli *c, const slide *s, int at, lens_figure **figure) {
    board b = { 0 };
    int i = at / s->y.w, j = at % s->y.w, kh = (s->k.h - 1) * s->dilation + 1,
        kw = (s->k.w - 1) * s->dilation + 1;
    matrix window = matrix_new(&b, s->k.h, s->k.w), product = matrix_new(&b, s->k.h, s->k.w);
    lens_figure_tile *t = put(&b, NULL, s->input, &s->m);
    mark_zeros(&b, t, s->zero);
    board_mark(&b, t, LENS_MARK_FRAME, i * s->step, j * s->step, kh, kw);
    for (int u = 0; u < s->k.h; u++)
        for (int v = 0; v < s->k.w; v++) {
            int r = i * s->step + u * s->dilation, q = j * s->step + v * s->dilation;
            if (s->dilation > 1) board_mark(&b, t, LENS_MARK_SECOND, r, q, 1, 1);
            *cell(&window, u, v) = *cell(&s->m, r, q);
            *cell(&product, u, v) = *cell(&s->m, r, q) * *cell(&s->k, u, v);
        }
    put(&b, "\xe2\x8b\x86", s->kernel, &s->k);
    t = put(&b, "=", word(c, "output"), &s->y);
    int rest = s->y.w - 1 - j;
    if (rest) board_mark(&b, t, LENS_MARK_HIDDEN, i, j + 1, 1, rest);
    if (i + 1 < s->y.h) board_mark(&b, t, LENS_MARK_HIDDEN, i + 1, 0, s->y.h - 1 - i, s->y.w);
    board_mark(&b, t, LENS_MARK_FRAME, i, j, 1, 1);
    put(&b, NULL, word(c, "window"), &window);
    put(&b, "\xc3\x97", s->kernel, &s->k);
    put(&b, "=", word(c, "products"), &product);
    char *where = board_text(&b, word(c, "row %d, column %d: the products add up to %g"), i, j,
                             (double)*cell(&s->y, i, j));
    lens_status status =
        board_draw(c, &b, figure, 3, s->title, board_text(&b, "%s\n%s", s->size, where));
    board_free(&b);
    return status;
}

static int draw_slide(cli *c, const slide *s) {
    int count = s->y.h * s->y.w, drawn = 0;
    if (count > MAX_POSITIONS || s->m.h > MAX_SLID || s->m.w > MAX_SLID)
        return fail(c, EXIT_USAGE,
                    "%dx%d positions over %dx%d cells are too many to follow; at most %d over "
                    "%dx%d are drawn",
                    s->y.h, s->y.w, s->m.h, s->m.w, MAX_POSITIONS, MAX_SLID, MAX_SLID);
    lens_figure **frame = take((size_t)count, sizeof(lens_figure *));
    lens_status status = LENS_OK;
    for (; drawn < count && status == LENS_OK; drawn++)
        status = draw_position(c, s, drawn, &frame[drawn]);
    if (status == LENS_OK) status = lens_figure_write_frames(frame, count, DELAY, file_of(c));
    for (int i = 0; i < drawn; i++) lens_figure_free(frame[i]);
    free(frame);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    note(c, "%s", file_of(c));
    record *behind = record_new();
    const matrix *all[] = { &s->m, &s->k, &s->y };
    const char *const names[] = { "input", "kernel", "output" };
    for (int i = 0; i < 3; i++)
        record_floats(behind, names[i], all[i]->x, 2, (int[]){ all[i]->h, all[i]->w });
    int result = record_write(c, behind);
    record_free(behind);
    if (result) return result;
    return emit(c, json_pack("{s:s,s:o,s:i}", "plot", c->topic, "file", json_text(file_of(c)),
                             "frames", count));
}

static int whole(const cli *c, const char *option_name, int fallback) {
    return (int)whole_of(c, option_name, fallback);
}

/* The slide of a convolution: over the padded input, in steps of the stride. */
static void slide_conv(cli *c, board *b, const matrix *x, const matrix *k, slide *s) {
    int pad = whole(c, "pad", 0), stride = whole(c, "stride", 1);
    s->m = spread_out(b, x, 1, pad, x->h + 2 * pad, x->w + 2 * pad, &s->zero);
    s->k = *k;
    s->step = stride;
    s->input = pad ? word(c, "input, padded") : word(c, "input");
    s->kernel = word(c, "kernel");
    s->title = board_text(b, word(c, "Convolution: stride %d, padding %d, dilation %d"), stride,
                          pad, s->dilation);
    s->size = board_text(
        b, word(c, "output size: floor((%d + 2\xc2\xb7%d \xe2\x88\x92 %d) / %d) + 1 = %d"), x->h,
        pad, (k->h - 1) * s->dilation + 1, stride, s->y.h);
}

/* The same picture of a transposed convolution: zeros between the numbers, the kernel turned. */
static void slide_transposed(cli *c, board *b, const matrix *x, const matrix *k, slide *s) {
    int pad = whole(c, "pad", 0), stride = whole(c, "stride", 1);
    int reach = (k->h - 1) * s->dilation;
    s->m = spread_out(b, x, stride, reach - pad, s->y.h + reach, s->y.w + reach, &s->zero);
    s->k = turned(b, k);
    s->step = 1;
    s->input = word(c, "input among zeros");
    s->kernel = word(c, "kernel, turned by 180\xc2\xb0");
    s->title = board_text(b, word(c, "Transposed convolution: stride %d, padding %d, dilation %d"),
                          stride, pad, s->dilation);
    s->size = board_text(
        b, word(c, "output size: (%d \xe2\x88\x92 1)\xc2\xb7%d \xe2\x88\x92 2\xc2\xb7%d + %d = %d"),
        x->h, stride, pad, (k->h - 1) * s->dilation + 1, s->y.h);
}

int plot_conv(cli *c) {
    board b = { 0 };
    engine e = { 0 };
    matrix x, k;
    bool transposed = has(c, "transposed");
    int result = read_matrix(
        c, &b, transposed ? "0 1/2 3" : "1 1 1 0 0/0 1 1 1 0/0 0 1 1 1/0 0 1 1 0/0 1 1 0 0", &x);
    if (!result) result = read_kernel(c, &b, transposed ? "0 1/2 3" : "1 0 1/0 1 0/1 0 1", &k);
    if (!result && transposed && k.h != k.w)
        result = fail(c, EXIT_USAGE, "--transposed draws square kernels, not %dx%d", k.h, k.w);
    if (!result) {
        int stride = whole(c, "stride", 1), pad = whole(c, "pad", 0);
        slide s = { .dilation = whole(c, "dilation", 1) };
        lens_node *in = engine_input(c, &e, 1, x.h, x.w);
        lens_size kernel = { k.h, k.w }, step = { stride }, holes = { s.dilation };
        lens_node *y = transposed
                           ? lens_conv_transpose2d(in, "convolution",
                                                   (lens_conv_transpose2d_opts){ .out = 1,
                                                                                 .kernel = kernel,
                                                                                 .stride = step,
                                                                                 .dilation = holes,
                                                                                 .pad = pad,
                                                                                 .no_bias = true })
                           : lens_conv2d(in, "convolution",
                                         (lens_conv2d_opts){ .out = 1,
                                                             .kernel = kernel,
                                                             .stride = step,
                                                             .dilation = holes,
                                                             .pad = pad,
                                                             .no_bias = true });
        lens_status status = engine_run(c, &e, y, k.x, x.x, 1, NULL);
        if (status != LENS_OK) {
            result = fail_status(c, status, NAMING);
        } else {
            s.y = (matrix){ e.out.h, e.out.w, (float *)(size_t)numbers_of(&e, e.y, LENS_VALUE) };
            (transposed ? slide_transposed : slide_conv)(c, &b, &x, &k, &s);
            result = draw_slide(c, &s);
        }
    }
    engine_free(&e);
    board_free(&b);
    return result;
}

/* ---- backward ---- */

static float *counting(board *b, size_t n, float start, float step) {
    float *x = board_own(b, take(n, sizeof *x));
    for (size_t i = 0; i < n; i++) x[i] = start + (float)i * step;
    return x;
}

/* One convolution there and back: where dX and dW come from, and that the formula gives the engine's
 * numbers. */
static int backward_conv(cli *c) {
    board b = { 0 };
    engine e = { 0 };
    matrix x, k;
    int stride = whole(c, "stride", 2), pad = whole(c, "pad", 0);
    int result =
        read_matrix(c, &b, "0 1 2 3 4/5 6 7 8 9/10 11 12 13 14/15 16 17 18 19/20 21 22 23 24", &x);
    if (!result) result = read_kernel(c, &b, "1 2 3/4 5 6/7 8 9", &k);
    if (result) {
        board_free(&b);
        return result;
    }
    const lens_conv2d_opts opts = {
        .out = 1, .kernel = { k.h, k.w }, .stride = { stride }, .pad = pad, .no_bias = true
    };
    lens_node *y = lens_conv2d(engine_input(c, &e, 1, x.h, x.w), "convolution", opts);
    lens_node_info out = { 0 };
    if (y) lens_node_info_get(y, &out);
    matrix dy = { out.h, out.w, counting(&b, (size_t)out.h * (size_t)out.w, 1, 1) };
    lens_status status = engine_run(c, &e, y, k.x, x.x, 1, dy.x);
    if (status == LENS_OK && (x.h > 12 || x.w > 12 || k.h != k.w)) {
        result =
            fail(c, EXIT_USAGE,
                 "plot backward draws square kernels on matrices up to 12x12, not %dx%d on %dx%d",
                 k.h, k.w, x.h, x.w);
    } else if (status != LENS_OK) {
        result = fail_status(c, status, NAMING);
    }
    if (result) {
        engine_free(&e);
        board_free(&b);
        return result;
    }
    bool *zero, *none;
    matrix padded = spread_out(&b, &x, 1, pad, x.h + 2 * pad, x.w + 2 * pad, &none);
    matrix spread = spread_out(&b, &dy, stride, k.h - 1 - pad, x.h + k.h - 1, x.w + k.w - 1, &zero),
           flipped = turned(&b, &k);
    matrix between = spread_out(&b, &dy, stride, 0, padded.h - k.h + 1, padded.w - k.w + 1, &none);
    put(&b, NULL, "X", &x);
    put(&b, "\xe2\x8b\x86", "W", &k);
    board_map(&b, "=", "Y", numbers_of(&e, e.y, LENS_VALUE), out.h, out.w);
    lens_figure_tile *t = put(&b, NULL, word(c, "dY among zeros"), &spread);
    mark_zeros(&b, t, zero);
    t->note = word(
        c,
        "hatched: stride \xe2\x88\x92 1 zeros between,\nkernel \xe2\x88\x92 1 \xe2\x88\x92 padding around");
    put(&b, "\xe2\x8b\x86", word(c, "W, turned by 180\xc2\xb0"), &flipped);
    board_map(&b, "=", "dX", numbers_of(&e, e.x, LENS_GRADIENT), x.h, x.w);
    put(&b, NULL, pad ? word(c, "X, padded") : "X", &padded);
    t = put(&b, "\xe2\x8b\x86", word(c, "dY, zeros between"), &between);
    mark_zeros(&b, t, none);
    board_map(&b, "=", "dW", weight_gradient(&e), k.h, k.w)->note = word(c, "bias: the sum of dY");
    char *title =
        board_text(&b, word(c, "A convolution backwards: stride %d, padding %d"), stride, pad);
    result = board_finish(c, &b, 3, title,
                          word(c, "dY: gradient of the loss by the output, here 1, 2, 3, ... "
                                  "\xe2\x8b\x86: cross-correlation"),
                          NULL);
    engine_free(&e);
    return result;
}

/* Two samples of three maps and two filters: the first sample's dX is a sum over the filters. */
static int backward_maps(cli *c) {
    enum { N = 2, C = 3, O = 2, XX = 9, KK = 4, YY = 4 };
    board b = { 0 };
    engine e = { 0 };
    const float *x = counting(&b, N * C * XX, 0, 1), *w = counting(&b, O * C * KK, 0, 1),
                *dy = counting(&b, N * O * YY, 0, 1);
    lens_node *y = lens_conv2d(engine_input(c, &e, C, 3, 3), "y",
                               (lens_conv2d_opts){ .out = O, .kernel = { 2 }, .no_bias = true });
    lens_status status = engine_run(c, &e, y, w, x, N, dy);
    int result = status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
    for (int k = 0; k < C && !result; k++) {
        for (int o = 0; o < O; o++) {
            matrix d = { 2, 2, (float *)(size_t)dy + o * YY },
                   v = { 2, 2, (float *)(size_t)w + (o * C + k) * KK }, back = turned(&b, &v);
            bool *zero;
            matrix padded = spread_out(&b, &d, 1, 1, 4, 4, &zero);
            mark_zeros(&b, put(&b, o ? "+" : NULL, board_text(&b, "dY %d", o), &padded), zero);
            put(&b, "\xe2\x8b\x86", board_text(&b, word(c, "W %d,%d turned"), o, k), &back);
        }
        board_map(&b, "=", board_text(&b, "dX %d", k), numbers_of(&e, e.x, LENS_GRADIENT) + k * XX,
                  3, 3);
    }
    if (!result)
        result = board_finish(
            c, &b, 2 * O + 1, word(c, "Several maps backwards"),
            word(c, "each input map collects from every filter; first sample of two"), NULL);
    board_free(&b);
    engine_free(&e);
    return result;
}

static lens_node *pooling(const char *name, lens_node *x, const char *label, int window,
                          int stride) {
    lens_pool_opts opts = { .kernel = { window }, .stride = { stride } };
    return !strcmp(name, "max")    ? lens_maxpool(x, label, opts)
           : !strcmp(name, "mean") ? lens_avgpool(x, label, opts)
                                   : lens_sumpool(x, label, opts);
}

/* A frame around each window, neighbours in two colours. */
static void mark_windows(board *b, lens_figure_tile *t, int window, int stride, int oh, int ow) {
    for (int i = 0; i < oh && stride >= window; i++)
        for (int j = 0; j < ow; j++)
            board_mark(b, t, (i + j) % 2 ? LENS_MARK_SECOND : LENS_MARK_FRAME, i * stride,
                       j * stride, window, window);
}

/* Maximum, mean and sum of one matrix; with dY also backwards. */
static int pool_rows(cli *c, board *b, bool back) {
    static const char *const names[] = { "max", "mean", "sum" };
    matrix x;
    int window = whole(c, "window", 2), stride = whole(c, "stride", window);
    int result = read_matrix(c, b, "1 1 2 4/5 6 7 8/3 2 1 0/1 2 3 4", &x);
    for (int i = 0; i < 3 && !result; i++) {
        engine e = { 0 };
        lens_node *y =
            pooling(names[i], engine_input(c, &e, 1, x.h, x.w), "pooling", window, stride);
        lens_node_info out = { 0 };
        if (y) lens_node_info_get(y, &out);
        const float *dy = counting(b, (size_t)out.h * (size_t)out.w, 1, 1);
        lens_status status = engine_run(c, &e, y, NULL, x.x, 1, back ? dy : NULL);
        if (status != LENS_OK) {
            result = fail_status(c, status, NAMING);
        } else if (x.h > 12 || x.w > 12) {
            result = fail(c, EXIT_USAGE, "plot %s draws matrices up to 12x12, not %dx%d", c->topic,
                          x.h, x.w);
        } else {
            mark_windows(b, put(b, NULL, "X", &x), window, stride, out.h, out.w);
            board_map(b, "\xe2\x86\x92", word(c, names[i]), numbers_of(&e, e.y, LENS_VALUE), out.h,
                      out.w);
            if (back) {
                board_map(b, NULL, "dY", dy, out.h, out.w);
                board_map(b, "\xe2\x86\x92", "dX", numbers_of(&e, e.x, LENS_GRADIENT), x.h, x.w)
                    ->note = word(c, i == 0   ? "to the first largest cell"
                                     : i == 1 ? "spread evenly"
                                              : "to every cell");
            }
        }
        engine_free(&e);
    }
    return result;
}

static int backward_pool(cli *c) {
    board b = { 0 };
    int result = pool_rows(c, &b, true);
    if (!result)
        result = board_finish(c, &b, 4, word(c, "Pooling backwards"),
                              word(c, "windows that overlap add up what they send back"), NULL);
    board_free(&b);
    return result;
}

int plot_backward(cli *c) {
    static const struct {
        const char *name;
        int (*plot)(cli *);
    } parts[] = { { "conv", backward_conv }, { "maps", backward_maps }, { "pool", backward_pool } };
    const char *part = c->operands ? c->operand[0] : "conv";
    for (int i = 0; i < 3; i++)
        if (!strcmp(parts[i].name, part)) return parts[i].plot(c);
    return fail(c, EXIT_USAGE, "plot backward knows conv, maps and pool, not \"%s\"", part);
}

/* ---- pooling ---- */

/* The maximum of a dot that moves: the same while it stays in its window. */
static lens_status moving_dot(cli *c, board *b) {
    enum { LENGTH = 6, SHIFTS = 3 };
    lens_status status = LENS_OK;
    for (int shift = 0; shift < SHIFTS && status == LENS_OK; shift++) {
        engine e = { 0 };
        float x[LENGTH] = { 0 };
        x[2 + shift] = 4;
        lens_node *y = lens_maxpool(engine_input(c, &e, 1, 1, LENGTH), "y",
                                    (lens_pool_opts){ .kernel = { 1, 2 } });
        status = engine_run(c, &e, y, NULL, x, 1, NULL);
        if (status == LENS_OK) {
            lens_figure_tile *t =
                board_map(b, NULL, board_text(b, word(c, "moved by %d"), shift), x, 1, LENGTH);
            for (int i = 0; i < LENGTH / 2; i++)
                board_mark(b, t, i % 2 ? LENS_MARK_SECOND : LENS_MARK_FRAME, 0, 2 * i, 1, 2);
            board_map(b, "\xe2\x86\x92", word(c, "max"), numbers_of(&e, e.y, LENS_VALUE), 1,
                      LENGTH / 2);
        }
        engine_free(&e);
    }
    return status;
}

int plot_pooling(cli *c) {
    board b = { 0 };
    int result = pool_rows(c, &b, false);
    if (!result) {
        lens_status status = moving_dot(c, &b);
        result =
            status == LENS_OK
                ? board_finish(c, &b, 2, word(c, "Pooling"),
                               word(c, "below: a dot moves; the maximum stays the same while it is "
                                       "in the same window"),
                               NULL)
                : fail_status(c, status, WORKING);
    }
    board_free(&b);
    return result;
}

/* ---- channels ---- */

/* One row for each of `outs` maps: x0 * w0 + x1 * w1 + ... = y, in a board `columns` wide. */
static lens_status channel_rows(cli *c, board *b, int ins, int outs, int side, const float *x,
                                const float *w, int columns) {
    engine e = { 0 };
    int xx = side * side, kk = 4, oh = side - 1;
    lens_node *y = lens_conv2d(engine_input(c, &e, ins, side, side), "y",
                               (lens_conv2d_opts){ .out = outs, .kernel = { 2 }, .no_bias = true });
    lens_status status = engine_run(c, &e, y, w, x, 1, NULL);
    for (int o = 0; o < outs && status == LENS_OK; o++) {
        for (int i = 0; i < ins; i++) {
            board_map(b, i ? "+" : NULL, board_text(b, "X %d", i), x + i * xx, side, side);
            board_map(b, "\xe2\x8b\x86", board_text(b, "W %d,%d", o, i), w + (o * ins + i) * kk, 2,
                      2);
        }
        board_map(b, "=", board_text(b, "Y %d", o), numbers_of(&e, e.y, LENS_VALUE) + o * oh * oh,
                  oh, oh);
        board_empty(b, columns - 2 * ins - 1);
    }
    engine_free(&e);
    return status;
}

int plot_channels(cli *c) {
    enum { COLUMNS = 7 };
    /* One map and three filters; two maps added up; three maps and two filters. */
    static const float one[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 },
                       three_filters[] = { 0, 1, 2, 3, 1, -1, 1, -1, 0.25f, 0.25f, 0.25f, 0.25f },
                       two[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9 },
                       two_kernels[] = { 0, 1, 2, 3, 1, 2, 3, 4 };
    board b = { 0 };
    lens_status status = channel_rows(c, &b, 1, 3, 3, one, three_filters, COLUMNS);
    if (status == LENS_OK) status = channel_rows(c, &b, 2, 1, 3, two, two_kernels, COLUMNS);
    if (status == LENS_OK)
        status =
            channel_rows(c, &b, 3, 2, 3, counting(&b, 27, 0, 1), counting(&b, 24, 0, 1), COLUMNS);
    int result =
        status == LENS_OK
            ? board_finish(c, &b, COLUMNS, word(c, "How channels combine"),
                           word(c, "one map to three, two to one, three to two: every filter has a "
                                   "kernel for each input map, and the maps are added unweighted"),
                           NULL)
            : fail_status(c, status, WORKING);
    board_free(&b);
    return result;
}
