/* shapes.c - the layer shapes of bench/shapes, and checks of tile and dot at them.
 *
 * Depth, width and tap offsets of a case are the layer's own. What only repeats the same work is cut:
 * two rows of output, two images, and of the output maps MAPS and their remainder modulo that.
 * `kcheck --full` cuts neither maps nor planes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/kcheck/kcheck.h"
#include "tests/ref/kern_ref.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAPS = 168,      /* a multiple of the tiles' 6, 8, 14 and 28 rows */
    TAPS = 144,      /* of a weight gradient: of every kernel at least one input map whole */
    PLANE = 56 * 56, /* largest plane for element-wise slots and pooling */
    SIDES_MAX = 100,
    SIZES_MAX = 1024, /* layers of all nets have some 500 different widths, planes and map counts */
};

bool shapes_full;

static layer *layers;
static int layer_count;

static size_t sizes[SIZES_MAX] = { 0,  1,  2,  3,  4,  5,  7,  8,  9,  13, 15,  16,
                                   17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 1000 };
static int size_count = 24;

static int sides[SIDES_MAX], side_count;

int sides_count(void) { return side_count; }
int side_at(int i) { return sides[i]; }

static void add_side(int n) {
    for (int i = 0; i < side_count; i++)
        if (sides[i] == n) return;
    if (side_count < SIDES_MAX) sides[side_count++] = n;
}

int sizes_count(void) { return size_count; }
size_t size_at(int i) { return sizes[i]; }

static void add_size(int n) {
    for (int i = 0; i < size_count; i++)
        if (sizes[i] == (size_t)n) return;
    if (size_count < SIZES_MAX) sizes[size_count++] = (size_t)n;
}

int layer_out(int in, int kernel, int stride, int pad) {
    return (in + 2 * pad - kernel) / stride + 1;
}

int shapes_read(const char *path, layer **out) {
    char line[200];
    int count = 0, number = 0;
    FILE *in = fopen(path, "r");
    if (!in) {
        perror(path);
        return -1;
    }
    *out = NULL;
    while (fgets(line, sizeof line, in)) {
        layer l;
        number++;
        if (line[0] == '#' || line[0] == '\n') continue;
        if (sscanf(line, "%63s %d %d %d %d %d %d %d %d %d %d", l.name, &l.n, &l.c, &l.h, &l.w, &l.o,
                   &l.kh, &l.kw, &l.stride, &l.pad, &l.groups) != 11) {
            fprintf(stderr, "%s:%d: expected name N C H W O KH KW stride pad groups times\n", path,
                    number);
            fclose(in);
            free(*out);
            return -1;
        }
        *out = realloc(*out, ((size_t)count + 1) * sizeof **out);
        if (!*out) exit(1);
        (*out)[count++] = l;
    }
    fclose(in);
    return count;
}

/* The same to every slot: what remains differs in height, batch or name only. */
static bool same_layer(const layer *a, const layer *b) {
    return a->c == b->c && a->o == b->o && a->w == b->w && a->kh == b->kh && a->kw == b->kw &&
           a->stride == b->stride && a->pad == b->pad && a->groups == b->groups;
}

bool shapes_load(void) {
    glob_t found;
    if (glob(TEST_SOURCE_DIR "/bench/shapes/*.txt", 0, NULL, &found)) return false;
    for (size_t f = 0; f < found.gl_pathc; f++) {
        layer *some;
        const int count = shapes_read(found.gl_pathv[f], &some);
        for (int i = 0; i < count; i++) {
            const layer *l = &some[i];
            const int oh = layer_out(l->h, l->kh, l->stride, l->pad),
                      ow = layer_out(l->w, l->kw, l->stride, l->pad);
            add_size(l->o);
            add_size(ow);
            if (shapes_full || oh * ow <= PLANE) {
                add_size(oh * ow);
                if (oh == ow) add_side(oh);
            }
            int k = 0;
            while (k < layer_count && !same_layer(&layers[k], l)) k++;
            if (k < layer_count) continue;
            layers = realloc(layers, ((size_t)layer_count + 1) * sizeof *layers);
            if (!layers) exit(1);
            layers[layer_count++] = *l;
        }
        if (count >= 0) free(some);
    }
    globfree(&found);
    return layer_count > 0;
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static int least(int a, int b) { return a < b ? a : b; }

static int maps_of(const layer *l) {
    const int maps = l->o / l->groups;
    return shapes_full || maps <= MAPS ? maps : MAPS + maps % MAPS;
}

/* The rows under one row of output, as src/op/corr.h lays a panel out: each row in `stride` phases, so
 * that neighbours in the output are neighbours in memory. tap[k]: where cell k of a kernel starts. */
typedef struct panel {
    int depth, pitch; /* pitch: of a phase */
    size_t floats;
    int32_t *tap;
} panel;

static panel panel_of(const layer *l) {
    const int c = l->c / l->groups;
    panel p = { .depth = c * l->kh * l->kw };
    p.pitch = (l->w + 2 * l->pad + l->stride - 1) / l->stride;
    p.floats = (size_t)c * (size_t)l->kh * (size_t)(p.pitch * l->stride);
    p.tap = malloc((size_t)p.depth * sizeof *p.tap);
    if (!p.tap) exit(1);
    for (int i = 0, k = 0; i < c; i++)
        for (int u = 0; u < l->kh; u++)
            for (int v = 0; v < l->kw; v++)
                p.tap[k++] =
                    ((i * l->kh + u) * l->stride + v % l->stride) * p.pitch + v / l->stride;
    return p;
}

/* One row of output, all maps: one element of every tile against the sum in double. */
static void tile_layer(check *c, const layer *l) {
    const struct kern *kern = check_kern(c);
    const int widest = kern->tile_vectors * kern->lanes, maps = maps_of(l),
              ow = layer_out(l->w, l->kw, l->stride, l->pad);
    panel p = panel_of(l);
    case_begin(c, "%s: depth=%d maps=%d width=%d", l->name, p.depth, maps, ow);
    const float *weight = case_random(c, (size_t)p.depth * (size_t)maps, NO_SLACK);
    const float *x = case_random(c, p.floats, LENS_SLACK);
    float *y = case_array(c, (size_t)maps * (size_t)ow, NO_SLACK);
    for (int at = 0, columns; at < ow; at += columns) {
        columns = least(widest, ow - at);
        const int most = kern->tile_rows[(columns + kern->lanes - 1) / kern->lanes];
        for (int o = 0, rows; o < maps; o += rows) {
            rows = least(most, maps - o);
            const tile_job job = { .a = weight + o,
                                   .a_k = maps,
                                   .b = x + at,
                                   .b_row = p.tap,
                                   .c = y + (ptrdiff_t)o * ow + at,
                                   .c_m = ow,
                                   .k = p.depth,
                                   .rows = rows,
                                   .columns = columns };
            kern->tile(&job);
            const int m = (int)pick(c, (uint32_t)rows), n = (int)pick(c, (uint32_t)columns);
            const ref_sum s = ref_tile(&job, 0, m, n);
            case_near(c, "c", (size_t)(o + m), job.c[m * job.c_m + n], s.value,
                      (2 * s.terms + 2) * ROUNDING * s.magnitude);
        }
    }
    case_end(c);
    free(p.tap);
}

/* Two images of one row: one element of every tile of products against the sum in double. */
static void dot_layer(check *c, const layer *l) {
    enum { IMAGES = 2 };
    const struct kern *kern = check_kern(c);
    const int ow = layer_out(l->w, l->kw, l->stride, l->pad), maps = maps_of(l);
    panel p = panel_of(l);
    const int taps = shapes_full ? p.depth : least(p.depth, TAPS);
    case_begin(c, "%s: taps=%d maps=%d length=%d", l->name, taps, maps, ow);
    const float *dy = case_random(c, (size_t)IMAGES * (size_t)(maps * ow), LENS_SLACK);
    const float *x = case_random(c, IMAGES * p.floats, LENS_SLACK);
    float *dw = case_array(c, (size_t)taps * (size_t)maps, NO_SLACK);
    memset(dw, 0, (size_t)taps * (size_t)maps * sizeof *dw);
    for (int k = 0, columns; k < taps; k += columns) {
        int32_t out[DOT_MAX_COLUMNS];
        columns = least(kern->dot_columns, taps - k);
        for (int j = 0; j < columns; j++) out[j] = (k + j) * maps;
        for (int o = 0, rows; o < maps; o += rows) {
            rows = least(kern->dot_rows, maps - o);
            const dot_job job = { .a = dy + (ptrdiff_t)o * ow,
                                  .a_i = ow,
                                  .a_image = (ptrdiff_t)maps * ow,
                                  .a_row = ow,
                                  .b = x,
                                  .b_j = p.tap + k,
                                  .b_image = (ptrdiff_t)p.floats,
                                  .b_row = p.pitch,
                                  .out = dw + o,
                                  .out_i = 1,
                                  .out_j = out,
                                  .rows = rows,
                                  .columns = columns,
                                  .images = IMAGES,
                                  .lines = 1,
                                  .length = ow };
            kern->dot(&job);
            const int i = (int)pick(c, (uint32_t)rows), j = (int)pick(c, (uint32_t)columns);
            const ref_sum s = ref_dot(&job, 0, i, j);
            case_near(c, "out", (size_t)(out[j] + o + i), job.out[i + out[j]], s.value,
                      (2 * s.terms + 6) * ROUNDING * s.magnitude);
        }
    }
    case_end(c);
    free(p.tap);
}

static void check_tile_layers(check *c) {
    for (int i = 0; i < layer_count; i++) tile_layer(c, &layers[i]);
}
static void check_dot_layers(check *c) {
    for (int i = 0; i < layer_count; i++)
        if (layers[i].w > 1) dot_layer(c, &layers[i]); /* dense layers do not come to dot */
}

/* Weights (o, depth) to k-major, in blocks of a tile's rows, as packing does. */
static void check_transpose_layers(check *c) {
    for (int i = 0; i < layer_count; i++) {
        const layer *l = &layers[i];
        const int rows = least(28, l->o), depth = l->c / l->groups * l->kh * l->kw;
        case_begin(c, "%s: rows=%d columns=%d", l->name, rows, depth);
        const float *src = case_random(c, (size_t)rows * (size_t)depth, NO_SLACK);
        float *dst = case_array(c, (size_t)rows * (size_t)depth, NO_SLACK);
        check_kern(c)->transpose(rows, depth, src, depth, dst, rows);
        bool same = true;
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < depth; k++)
                same &= dst[(ptrdiff_t)k * rows + r] == src[(ptrdiff_t)r * depth + k];
        case_true(c, same, "dst is src transposed");
        case_end(c);
    }
}

const check_slot layer_slots[] = {
    { "tile", check_tile_layers },
    { "dot", check_dot_layers },
    { "transpose", check_transpose_layers },
    { NULL, NULL },
};
