/* plot_model.c - lenslet plot stages, unit and rf: what a network's layers make of one picture, where one
 * of their numbers comes from, and how much of the picture it sees.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <lenslet/explain.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lens_node_info info_of(const lens_node *node) {
    lens_node_info info;
    lens_node_info_get(node, &info);
    return info;
}

static bool is_convolution(const lens_node *node) {
    return !strncmp(info_of(node).kind, "conv", 4);
}

/* The layer of --layer, or the first (last) convolution. */
static int find_layer(cli *c, const lens_net *net, bool last, lens_node **node) {
    const char *name = text_of(c, "layer", NULL);
    *node = name ? lens_net_find(net, name) : NULL;
    for (int i = 0; i < lens_net_nodes(net) && !name; i++) {
        lens_node *at = lens_net_node(net, i);
        if (is_convolution(at) && (last || !*node)) *node = at;
    }
    if (*node) return EXIT_DONE;
    if (name) return unknown_layer(c, net, name);
    return fail(c, EXIT_USAGE, "%s has no convolution; which layer? --layer NAME",
                lens_net_name(net));
}

/* The first reader of a node whose kind contains one of the words; NULL: none. */
static lens_node *reader(const lens_net *net, const lens_node *node, const char *const *kinds) {
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node *at = lens_net_node(net, i);
        if (lens_node_input(at, 0) != node) continue;
        for (int k = 0; kinds[k]; k++)
            if (strstr(info_of(at).kind, kinds[k])) return at;
    }
    return NULL;
}

static const char *const activations[] = { "relu", "tanh", "sigmoid", NULL };
static const char *const poolings[] = { "pool", "subsample", NULL };

/* What the latest run left in a node; NULL with a failure told. */
static const float *value_of(cli *c, lens_session *session, const lens_node *node, int *status) {
    lens_tensor t = { 0 };
    lens_status got = lens_peek(session, node, LENS_VALUE, &t);
    *status = got == LENS_OK ? EXIT_DONE : fail_status(c, got, WORKING);
    return t.data;
}

/* A model, a picture and the run of one through the other. */
typedef struct look {
    model m;
    float *picture; /* (C,H,W) in 0..1 */
    char *name;
    lens_session *session;
} look;

static int open_look(cli *c, look *l) {
    *l = (look){ 0 };
    int status = open_model(c, &l->m);
    if (status) return status;
    const lens_node_info *in = &l->m.input;
    l->picture = take((size_t)in->c * (size_t)in->h * (size_t)in->w, sizeof *l->picture);
    status = one_picture(c, &l->m, l->picture, &l->name);
    return status ? status : run_picture(c, &l->m, l->picture, &l->session);
}

static void close_look(look *l) {
    lens_session_free(l->session);
    free(l->name);
    free(l->picture);
    close_model(&l->m);
}

/* ---- stages ---- */

static double sum_of(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    return sum;
}

static void stage(cli *c, board *b, const char *name, const float *x, int h, int w) {
    lens_figure_tile *t = board_map(b, NULL, name, x, h, w);
    t->side = 0;
    t->note =
        board_text(b, word(c, "%d\xc3\x97%d, sum %.6g"), h, w, sum_of(x, (size_t)h * (size_t)w));
}

/* The net behind four panels; at: its convolution, ReLU and pooling. */
static lens_status run_stages(cli *c, const numbers *grey, const lens_kernel *k, lens_net **net,
                              lens_session **session, lens_node *at[3]) {
    lens_param w;
    lens_tensor x = { grey->data, 4, { 1, 1, grey->h, grey->w } }, y;
    *net = lens_net_new(c->ctx, "stages");
    at[0] = lens_conv2d(lens_input(*net, "grey", 1, grey->h, grey->w), "convolution",
                        (lens_conv2d_opts){ .out = 1, .kernel = { k->h, k->w }, .no_bias = true });
    at[1] = lens_relu(at[0], NULL);
    at[2] = lens_maxpool(at[1], "pooling", (lens_pool_opts){ .kernel = { 2 } });
    lens_status status = lens_net_finish(*net, at[2]);
    if (status == LENS_OK) status = lens_net_param(*net, 0, &w);
    for (int i = 0; status == LENS_OK && i < k->h * k->w; i++) w.value.data[i] = (float)k->value[i];
    if (status == LENS_OK)
        status = lens_session_new(session, *net, c->ctx, &(lens_session_opts){ .watch = true });
    return status == LENS_OK ? lens_run(*session, &x, &y) : status;
}

static lens_figure_tile *picture_tile(board *b, const char *name, const numbers *p) {
    lens_figure_tile *t = board_map(b, NULL, name, p->data, p->h, p->w);
    t->map = false;
    t->side = 0;
    t->picture = (lens_figure_picture){ p->data, p->c, p->h, p->w, 0, p->white };
    return t;
}

/* Four panels: the picture, a kernel over its grey values, ReLU, the maxima of 2x2 windows. */
static int four_stages(cli *c) {
    static const char *const names[] = { "convolution", "ReLU", "2×2 max pooling" };
    const char *path = text_of(c, "image", NULL), *kernel = text_of(c, "kernel", "sobel-x");
    board b = { 0 };
    numbers picture = { 0 }, grey = { 0 };
    lens_kernel k;
    lens_net *net = NULL;
    lens_session *session = NULL;
    lens_node *at[3];
    int result = open_numbers(c, &picture, path, 0);
    if (!result) result = open_numbers(c, &grey, path, 1);
    if (!result) result = open_kernel(c, &k, kernel);
    if (!result) {
        lens_status status = run_stages(c, &grey, &k, &net, &session, at);
        if (status != LENS_OK) result = fail_status(c, status, NAMING);
    }
    if (!result)
        picture_tile(&b, word(c, "picture"), &picture)->note =
            board_text(&b, "%d\xc3\x97%d", picture.h, picture.w);
    for (int i = 0; i < 3 && !result; i++) {
        lens_node_info info = info_of(at[i]);
        const float *value = value_of(c, session, at[i], &result);
        if (value) stage(c, &b, word(c, names[i]), value, info.h, info.w);
    }
    if (!result) {
        char *title = board_text(&b, word(c, "%s on %s"), kernel, path);
        result = board_finish(c, &b, 2, title, NULL, NULL);
    }
    board_free(&b);
    lens_session_free(session);
    lens_net_free(net);
    free(picture.data);
    free(grey.data);
    return result;
}

/* The mean of a filter's kernels over its input channels, and the same drawn smooth. */
static void mean_kernel(const float *w, int channels, int cells, float *out) {
    for (int i = 0; i < cells; i++) {
        double sum = 0;
        for (int k = 0; k < channels; k++) sum += (double)w[k * cells + i];
        out[i] = (float)(sum / channels);
    }
}

enum { SMOOTH = 8 }; /* samples between the centres of neighbouring cells */

static int smooth_side(int n) { return (n - 1) * SMOOTH + 1; }

static void smooth_kernel(const float *k, int h, int w, float *out) {
    for (int i = 0; i < smooth_side(h); i++)
        for (int j = 0; j < smooth_side(w); j++) {
            int r = i / SMOOTH, q = j / SMOOTH, below = r + 1 < h ? r + 1 : r,
                right = q + 1 < w ? q + 1 : q;
            float a = (float)(i % SMOOTH) / SMOOTH, b = (float)(j % SMOOTH) / SMOOTH;
            *out++ = (1 - a) * ((1 - b) * k[r * w + q] + b * k[r * w + right]) +
                     a * ((1 - b) * k[below * w + q] + b * k[below * w + right]);
        }
}

/* One scale for a row: the largest magnitude of its tiles. */
static void share_scale(board *b, int first) {
    double most = 0;
    for (int i = first; i < b->tiles; i++) {
        const lens_figure_picture *p = &b->tile[i].picture;
        for (int k = 0; k < p->h * p->w; k++)
            if (isfinite(p->data[k])) most = fmax(most, fabs((double)p->data[k]));
    }
    for (int i = first; i < b->tiles; i++) b->tile[i].limit = most, b->tile[i].side = 0;
}

static void map_row(board *b, record *r, const char *name, const float *x, int maps, int h, int w) {
    int first = b->tiles;
    record_floats(r, name, x, 3, (int[]){ maps, h, w });
    for (int o = 0; o < maps; o++)
        board_map(b, NULL, o ? "" : name, x + (size_t)o * (size_t)h * (size_t)w, h, w);
    share_scale(b, first);
}

/* Five rows for the filters of one layer: kernel, smoothed, convolution, activation, pooling. */
static int draw_stages(cli *c, const look *l, const lens_node *conv, const lens_param *p) {
    enum { FILTERS = 8 };
    board b = { 0 };
    record *behind = record_new();
    lens_node_info info = info_of(conv);
    int filters = info.c < FILTERS ? info.c : FILTERS, channels = (int)p->value.dim[1],
        kh = (int)p->value.dim[2], kw = (int)p->value.dim[3], cells = kh * kw, result = EXIT_DONE;
    size_t smooth = (size_t)smooth_side(kh) * (size_t)smooth_side(kw);
    float *kernel = board_own(&b, take((size_t)filters * (size_t)cells, sizeof *kernel)),
          *drawn = board_own(&b, take((size_t)filters * smooth, sizeof *drawn));
    for (int o = 0; o < filters; o++) {
        mean_kernel(p->value.data + (size_t)o * (size_t)channels * (size_t)cells, channels, cells,
                    kernel + o * cells);
        smooth_kernel(kernel + o * cells, kh, kw, drawn + (size_t)o * smooth);
    }
    map_row(&b, behind, channels > 1 ? word(c, "mean kernel") : word(c, "kernel"), kernel, filters,
            kh, kw);
    map_row(&b, behind, word(c, "smoothed"), drawn, filters, smooth_side(kh), smooth_side(kw));
    const lens_node *activation = reader(l->m.net, conv, activations),
                    *pool = reader(l->m.net, activation ? activation : conv, poolings),
                    *at[] = { conv, activation, pool };
    static const char *const names[] = { "convolution", "activation", "pooling" };
    for (int i = 0; i < 3 && !result; i++) {
        if (!at[i]) continue;
        lens_node_info size = info_of(at[i]);
        const float *value = value_of(c, l->session, at[i], &result);
        if (value) map_row(&b, behind, word(c, names[i]), value, filters, size.h, size.w);
    }
    if (result) {
        record_free(behind);
        board_free(&b);
        return result;
    }
    char *title = board_text(&b, word(c, "%s, %s: stages of %s"), lens_net_name(l->m.net),
                             info.name, l->name);
    char *shown = board_text(&b, word(c, "the first %d of %d filters; one scale for each row"),
                             filters, info.c);
    return board_finish(c, &b, filters, title, shown, behind);
}

static int filter_stages(cli *c) {
    look l;
    lens_node *conv;
    int result = open_look(c, &l);
    if (!result) result = find_layer(c, l.m.net, false, &conv);
    if (!result && strcmp(info_of(conv).kind, "conv2d") != 0)
        result = fail(c, EXIT_USAGE, "%s: layer %s has no filters", lens_net_name(l.m.net),
                      info_of(conv).name);
    if (!result) {
        lens_param p;
        char *weight = say_text("%s.weight", info_of(conv).name);
        lens_status status = lens_net_param_named(l.m.net, weight, &p);
        result = status == LENS_OK ? draw_stages(c, &l, conv, &p) : fail_status(c, status, WORKING);
        free(weight);
    }
    close_look(&l);
    return result;
}

int plot_stages(cli *c) {
    bool with_model = has(c, "model") || has(c, "net");
    if (with_model && has(c, "kernel"))
        return fail(c, EXIT_USAGE, "a model has its own kernels: leave out --kernel");
    if (!with_model && !has(c, "image"))
        return fail(c, EXIT_USAGE, "which picture? --image FILE, or s80");
    return with_model ? filter_stages(c) : four_stages(c);
}

/* ---- unit ---- */

/* "1,2,3": `count` whole numbers. */
static int read_unit(cli *c, int count, int *at) {
    const char *text = text_of(c, "at", NULL), *s = text;
    int read = 0;
    for (; read < count && s && *s >= '0' && *s <= '9'; read++) {
        char *end;
        long value = strtol(s, &end, 10);
        at[read] = value > 1 << 24 ? 1 << 24 : (int)value;
        s = *end == ',' && read + 1 < count ? end + 1 : end;
    }
    if (read == count && !*s) return EXIT_DONE;
    return fail(c, EXIT_USAGE, "--at is \"%s\"; %s is expected", text,
                count == 3 ? "CHANNEL,ROW,COLUMN" : "ROW,COLUMN");
}

static void largest_unit(const float *x, const lens_node_info *info, int at[3]) {
    size_t best = 0, plane = (size_t)info->h * (size_t)info->w;
    for (size_t i = 1; i < (size_t)info->c * plane; i++)
        if (x[i] > x[best]) best = i;
    at[0] = (int)(best / plane);
    at[1] = (int)(best % plane) / info->w;
    at[2] = (int)(best % plane) % info->w;
}

enum {
    MOST_MAPS = 11
}; /* with the picture, the others and the total 14 rows of 4: a board holds 64 */

/* The maps with the largest |subtotal|, in their order; returns how many. */
static int choose_maps(const lens_ledger *l, int chosen[MOST_MAPS]) {
    int count = 0;
    for (int m = 0; m < l->maps; m++) {
        int larger = 0;
        for (int k = 0; k < l->maps; k++) {
            double a = fabs(l->subtotal[k]), b = fabs(l->subtotal[m]);
            larger += a > b || (a == b && k < m);
        }
        if (larger < MOST_MAPS) chosen[count++] = m;
    }
    return count;
}

/* Long rows of features are folded, so that their numbers can be read. */
static lens_figure_tile *window_map(board *b, const char *sign, const char *name, const float *x,
                                    const lens_ledger *l) {
    enum { FOLD = 12 };
    if (l->kh > 1 || l->kw <= FOLD) return board_map(b, sign, name, x, l->kh, l->kw);
    int rows = (l->kw + FOLD - 1) / FOLD, rest = rows * FOLD - l->kw;
    float *folded = board_own(b, take((size_t)rows * FOLD, sizeof *folded));
    memcpy(folded, x, (size_t)l->kw * sizeof *folded);
    lens_figure_tile *t = board_map(b, sign, name, folded, rows, FOLD);
    if (rest) board_mark(b, t, LENS_MARK_HIDDEN, rows - 1, FOLD - rest, 1, rest);
    return t;
}

/* One map of the window: what it reads, its weights, their products and the subtotal. */
static void ledger_row(cli *c, board *b, const lens_ledger *l, int m) {
    int cells = l->kh * l->kw, first = m * cells;
    float *term = board_own(b, take((size_t)cells, sizeof *term));
    for (int i = 0; i < cells; i++) term[i] = (float)l->term[first + i];
    bool features = l->maps * l->kh == 1 && l->kind == LENS_LEDGER_PRODUCTS;
    const char *name =
        features ? word(c, "features") : board_text(b, word(c, "map %d"), l->first_map + m);
    lens_figure_tile *t = window_map(b, NULL, name, l->x + first, l);
    for (int i = 0; i < cells; i++)
        if (!l->inside[first + i]) board_mark(b, t, LENS_MARK_ZERO, i / l->kw, i % l->kw, 1, 1);
    if (l->kind == LENS_LEDGER_PRODUCTS) {
        window_map(b, "\xc3\x97", word(c, "weights"), l->w + first, l);
        window_map(b, "=", word(c, "products"), term, l);
        board_number(b, "\xe2\x86\x92", word(c, "subtotal"), l->subtotal[m]);
    } else if (l->kind == LENS_LEDGER_MAX) {
        board_mark(b, t, LENS_MARK_FRAME, (int)l->best / l->kw, (int)l->best % l->kw, 1, 1);
    }
}

/* The last row: subtotals, scale and bias, the sum, and what the activation makes of it. */
static void total_row(cli *c, board *b, const lens_ledger *l) {
    double all = 0;
    for (int m = 0; m < l->maps; m++) all += l->subtotal[m];
    if (l->kind == LENS_LEDGER_MAX) {
        board_number(b, NULL, word(c, "largest"), l->sum);
    } else {
        board_number(b, NULL, word(c, "all subtotals"), all);
        if (l->scale != 1) board_number(b, "\xc3\x97", word(c, "scale"), l->scale);
        if (l->kind == LENS_LEDGER_PRODUCTS || l->bias != 0)
            board_number(b, "+", word(c, "bias"), l->bias);
        board_number(b, "=", word(c, "sum"), l->sum);
    }
    if (l->activation) board_number(b, "\xe2\x86\x92", l->activation, (double)l->result);
}

/* Leaves the rest of a row empty. */
static void end_row(board *b, int columns) {
    board_empty(b, (columns - b->tiles % columns) % columns);
}

static void record_ledger(record *r, const lens_ledger *l) {
    const int dim[] = { l->maps, l->kh, l->kw };
    record_floats(r, "x", l->x, 3, dim);
    record_floats(r, "w", l->w, 3, dim);
    record_doubles(r, "products", l->term, 3, dim);
    record_doubles(r, "subtotals", l->subtotal, 1, dim);
    record_doubles(r, "scale", &l->scale, 0, NULL);
    record_doubles(r, "bias", &l->bias, 0, NULL);
    record_doubles(r, "sum", &l->sum, 0, NULL);
    record_floats(r, "engine", &l->value, 0, NULL);
    record_doubles(r, "difference", &l->difference, 0, NULL);
    record_floats(r, "result", &l->result, 0, NULL);
}

static int draw_unit(cli *c, const look *l, const lens_node *node, const int at[3],
                     const lens_ledger *ledger) {
    board b = { 0 };
    int chosen[MOST_MAPS], maps = choose_maps(ledger, chosen);
    int columns = ledger->kind == LENS_LEDGER_SUM ? 5 : 4; /* of the longest row */
    double rest = 0;
    for (int m = 0; m < ledger->maps; m++) rest += ledger->subtotal[m];
    const lens_node_info *in = &l->m.input;
    if (in->rank == 4 && (in->c == 1 || in->c == 3)) {
        lens_region *field = board_own(&b, take((size_t)lens_net_nodes(l->m.net), sizeof *field));
        if (lens_receptive_field(node, at[1], at[2], field) == LENS_OK) {
            lens_region seen = field[0];
            lens_figure_tile *t = board_map(&b, NULL, word(c, "picture"), l->picture, in->h, in->w);
            t->map = false;
            t->picture = (lens_figure_picture){ l->picture, in->c, in->h, in->w, 0, 1 };
            t->side = 140;
            board_mark(&b, t, LENS_MARK_FRAME, seen.top, seen.left, seen.bottom - seen.top,
                       seen.right - seen.left);
            t->note =
                board_text(&b, word(c, "it sees rows %d\xe2\x80\x93%d,\ncolumns %d\xe2\x80\x93%d"),
                           seen.top, seen.bottom - 1, seen.left, seen.right - 1);
            end_row(&b, columns);
        }
    }
    for (int i = 0; i < maps; i++) {
        ledger_row(c, &b, ledger, chosen[i]);
        end_row(&b, columns);
        rest -= ledger->subtotal[chosen[i]];
    }
    if (maps < ledger->maps) {
        board_number(&b, NULL, board_text(&b, word(c, "other %d maps"), ledger->maps - maps), rest);
        end_row(&b, columns);
    }
    total_row(c, &b, ledger);
    lens_node_info info = info_of(node);
    char *title = board_text(&b, word(c, "%s: unit %d,%d,%d of %s"), lens_net_name(l->m.net), at[0],
                             at[1], at[2], info.name);
    char *subtitle = board_text(
        &b, word(c, "%s: the sum is %.9g, the engine has %.9g: difference %.2g, its rounding"),
        l->name, ledger->sum, (double)ledger->value, ledger->difference);
    record *all = record_new();
    record_ledger(all, ledger);
    return board_finish(c, &b, columns, title, subtitle, all);
}

int plot_unit(cli *c) {
    look l;
    lens_node *node;
    lens_ledger *ledger = NULL;
    int at[3] = { 0 }, result = open_look(c, &l);
    if (!result) result = find_layer(c, l.m.net, true, &node);
    if (!result && has(c, "at")) result = read_unit(c, 3, at);
    if (!result && !has(c, "at")) {
        lens_node_info info = info_of(node);
        const float *value = value_of(c, l.session, node, &result);
        if (value) largest_unit(value, &info, at);
    }
    if (!result) {
        lens_status status = lens_ledger_new(&ledger, l.session, node, 0, at[0], at[1], at[2]);
        result =
            status == LENS_OK ? draw_unit(c, &l, node, at, ledger) : fail_status(c, status, NAMING);
    }
    lens_ledger_free(c->ctx, ledger);
    close_look(&l);
    return result;
}

/* ---- rf ---- */

/* A frame for `seen` on an empty map of h x w, or on the picture. */
static void field_tile(board *b, const char *name, const float *picture, const lens_node_info *in,
                       const lens_region *seen, const char *note) {
    size_t plane = (size_t)in->h * (size_t)in->w;
    bool drawable = picture && (in->c == 1 || in->c == 3);
    float *blank = board_own(b, take(plane, sizeof *blank));
    for (size_t i = 0; i < plane; i++) blank[i] = 0.92f;
    lens_figure_tile *t = board_map(b, NULL, name, blank, in->h, in->w);
    t->map = false;
    t->side = 0;
    t->picture = (lens_figure_picture){
        drawable ? picture : blank, drawable ? in->c : 1, in->h, in->w, 0, 1
    };
    t->note = note;
    board_mark(b, t, LENS_MARK_FRAME, seen->top, seen->left, seen->bottom - seen->top,
               seen->right - seen->left);
}

static char *field_note(cli *c, board *b, const lens_node_info *info, const lens_region *r) {
    return board_text(b,
                      word(c, "field %d, step %d\nrows %d\xe2\x80\x93%d, columns %d\xe2\x80\x93%d"),
                      info->field, info->jump, r->top, r->bottom - 1, r->left, r->right - 1);
}

enum { MOST_FIELDS = 60 };

/* For each layer that widens the field: what its middle unit sees of the input. */
static void all_fields(cli *c, board *b, const lens_net *net, const float *picture,
                       lens_region *field) {
    lens_node_info in = info_of(lens_net_input(net));
    for (int i = 1; i < lens_net_nodes(net) && b->tiles < MOST_FIELDS; i++) {
        const lens_node *node = lens_net_node(net, i);
        lens_node_info info = info_of(node), before = info_of(lens_node_input(node, 0));
        if (info.field == before.field && info.jump == before.jump) continue;
        lens_receptive_field(node, info.h / 2, info.w / 2, field);
        field_tile(b, board_text(b, "%s", info.name), picture, &in, &field[0],
                   field_note(c, b, &info, &field[0]));
    }
}

/* For one unit: what it depends on in every map before it, the input first. */
static void fields_of_unit(cli *c, board *b, const lens_net *net, const lens_node *node,
                           const float *picture, const lens_region *field) {
    for (int i = 0; i < lens_net_nodes(net) && b->tiles < MOST_FIELDS; i++) {
        const lens_node *at = lens_net_node(net, i);
        lens_node_info info = info_of(at);
        const lens_region *r = &field[i];
        if (r->bottom == r->top || info.rank != 4) continue;
        if (i) {
            lens_node_info before = info_of(lens_node_input(at, 0));
            bool same = info.field == before.field && info.jump == before.jump;
            if (same && at != node) continue;
        }
        char *note = board_text(
            b,
            word(
                c,
                "%d\xc3\x97%d of %d\xc3\x97%d cells\nrows %d\xe2\x80\x93%d, columns %d\xe2\x80\x93%d"),
            r->bottom - r->top, r->right - r->left, info.h, info.w, r->top, r->bottom - 1, r->left,
            r->right - 1);
        field_tile(b, board_text(b, "%s", info.name), i ? NULL : picture, &info, r, note);
    }
}

static void record_fields(record *r, const lens_net *net, lens_region *field) {
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info info = info_of(lens_net_node(net, i));
        if (lens_receptive_field(lens_net_node(net, i), info.h / 2, info.w / 2, field) != LENS_OK)
            continue;
        const double row[] = { info.field,    info.jump,       field[0].top,
                               field[0].left, field[0].bottom, field[0].right };
        record_doubles(r, info.name, row, 1, (int[]){ 6 });
    }
}

int plot_rf(cli *c) {
    enum { COLUMNS = 4 };
    model m = { 0 };
    board b = { 0 };
    float *picture = NULL;
    char *name = NULL, *subtitle = NULL;
    int at[2], result = c->operands ? open_argument(c, &m, c->operand[0]) : open_model(c, &m);
    if (!result && (has(c, "image") || has(c, "data"))) {
        picture = take((size_t)m.input.c * (size_t)m.input.h * (size_t)m.input.w, sizeof *picture);
        result = one_picture(c, &m, picture, &name);
    }
    lens_region *field = m.net ? take((size_t)lens_net_nodes(m.net), sizeof *field) : NULL;
    if (!result && has(c, "layer")) {
        lens_node *node;
        result = find_layer(c, m.net, false, &node);
        if (!result) {
            lens_node_info info = info_of(node);
            at[0] = info.h / 2, at[1] = info.w / 2;
            if (has(c, "at")) result = read_unit(c, 2, at);
            lens_status status = result ? LENS_OK : lens_receptive_field(node, at[0], at[1], field);
            if (status != LENS_OK) result = fail_status(c, status, NAMING);
            if (!result) fields_of_unit(c, &b, m.net, node, picture, field);
            subtitle = board_text(&b, word(c, "what row %d, column %d of %s depends on"), at[0],
                                  at[1], info.name);
        }
    } else if (!result && has(c, "at")) {
        result = fail(c, EXIT_USAGE, "--at wants a --layer");
    } else if (!result) {
        all_fields(c, &b, m.net, picture, field);
        subtitle = board_text(
            &b, "%s",
            word(c,
                 "what the middle unit of each layer sees of the input; field and step in pixels"));
    }
    if (!result && !b.tiles)
        result = fail(c, EXIT_USAGE, "%s has no layer that looks through a window",
                      lens_net_name(m.net));
    if (!result) {
        char *title = board_text(&b, word(c, "%s: receptive fields"), lens_net_name(m.net));
        record *all = record_new();
        record_fields(all, m.net, field);
        result = board_finish(c, &b, COLUMNS, title, subtitle, all);
    }
    free(field);
    free(name);
    free(picture);
    board_free(&b);
    close_model(&m);
    return result;
}
