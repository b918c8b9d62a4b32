/* corr_outer.c - weight gradients as sums of outer products: dw[:, t, :] = sum over p of dy[:, p] x[:, p + t]'.
 *
 * Slot `tile` over transposed copies, lanes along the input channels: whatever the width of a row, the
 * size of the plane or the stride, no lane is empty and nothing has to be folded. For each step of some
 * positions (rows of an image, or several images) dy is packed by blocks of maps, and for one strip of
 * channels after the other the panel of x is turned round,
 *
 *     [channel][cell] -> [cell][channel of the strip],
 *
 * where tap t of position p lies at cell row[t] + p: the k loop of a tile runs over the positions. Sums are
 * added step by step, so that their error grows with the length of a step and the number of steps, not with
 * the number of positions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/weights.h"

typedef struct outer_plan {
    int width, strips; /* channels of a strip */
    int maps, blocks;  /* of a tile; tiles of all maps */
    int together;      /* tiles whose dy stays in L2 while strip after strip passes by */
    int images;        /* of a step */
    size_t cells;      /* of an image of a strip */
    size_t positions;  /* of a step, at most */
} outer_plan;

static outer_plan plan_outer(const corr *c, const struct kern *kern, int images) {
    outer_plan p = { .images = 1 };
    int one = c->block * c->out_w;
    if (c->block == c->out_h) p.images = imax(1, imin(images, TUNE_OUTER_POSITIONS / one));
    p.positions = (size_t)p.images * (size_t)one;
    p.cells =
        (size_t)(c->phases_y * c->phases_x) * (size_t)(c->block + c->span_y) * (size_t)c->pitch;
    double best = 0;
    int most = imin(kern->tile_vectors, up(c->in_c, kern->lanes));
    for (int v = 1; v <= most; v++) {
        double cost = panel_line_cost(kern, c->out_c, v, (double)p.positions, c->in_c, 0);
        if (best != 0 && cost >= best) continue;
        best = cost;
        p.width = v * kern->lanes;
        p.maps = up(c->out_c, up(c->out_c, kern->tile_rows[v]));
    }
    p.strips = up(c->in_c, p.width);
    p.blocks = up(c->out_c, p.maps);
    size_t tile = sizeof(float) * p.positions * (size_t)p.maps;
    p.together = imax(1, (int)(TUNE_PANEL_BYTES / tile));
    return p;
}

/* packed dy | strips | filled panel | positions */
static size_t scratch_parts(const corr *c, const outer_plan *p, size_t at[3]) {
    size_t strip = (size_t)p->images * p->cells * (size_t)p->width;
    at[0] = align64(sizeof(float) * (size_t)c->out_c * p->positions);
    at[1] = at[0] + align64(sizeof(float) * ((size_t)p->strips * strip + LENS_SLACK));
    at[2] = at[1] + (c->direct ? 0 : align64(sizeof(float) * panel_channel(c) * (size_t)p->width));
    return at[2] + align64(sizeof(int32_t) * p->positions);
}

/* The most that any smaller batch takes too, whose strips may be wider. */
static size_t thread_bytes(const corr *c, const struct kern *kern, int batch) {
    size_t at[3];
    outer_plan p = plan_outer(c, kern, batch);
    p.width = kern->tile_vectors * kern->lanes;
    p.strips = up(c->in_c, p.width);
    return scratch_parts(c, &p, at);
}

static int parts(const weights_job *w, int tasks, int threads, double macs) {
    outer_plan p = plan_outer(w->c, w->kern, w->images);
    int pieces = threads; /* each packs dy once more */
    return panel_split(tasks, pieces, p.strips, macs);
}

/* Some positions: rows of one image or whole images, of one group. */
typedef struct step {
    const float *x, *dy;
    int images, r0, rows, k; /* k: positions */
    bool first;
} step;

/* dy -> [tile][k][map of the tile] */
static void pack_maps(const corr *c, const struct kern *kern, const outer_plan *p, const step *s,
                      float *to) {
    ptrdiff_t plane = (ptrdiff_t)c->out_h * c->out_w;
    int each = s->rows * c->out_w;
    for (int m = 0; m < c->out_c; m += p->maps) {
        int maps = imin(p->maps, c->out_c - m);
        for (int i = 0; i < s->images; i++, to += each * maps)
            kern->transpose(maps, each, s->dy + ((ptrdiff_t)i * c->s.o + m) * plane, plane, to,
                            maps);
    }
}

/* The panel of the channels from `first` on -> [image][cell][channel]; filled: room for one image. */
static void turn_strip(const corr *c, const struct kern *kern, const outer_plan *p, const step *s,
                       int first, int channels, float *filled, float *to) {
    ptrdiff_t plane = (ptrdiff_t)c->in_h * c->in_w;
    for (int i = 0; i < s->images; i++, to += p->cells * (size_t)p->width) {
        const float *from = s->x + ((ptrdiff_t)i * c->s.c + first) * plane;
        if (c->direct) {
            kern->transpose(channels, (s->rows + c->span_y) * c->pitch, from + s->r0 * c->pitch,
                            plane, to, p->width);
            continue;
        }
        panel_fill(c, kern, NULL, from, channels, s->r0, s->rows, filled);
        kern->transpose(channels, (int)p->cells, filled, (ptrdiff_t)panel_channel(c), to, p->width);
    }
}

/* Cells of the positions of a step in a strip. */
static void list_positions(const corr *c, const outer_plan *p, const step *s, int32_t *at) {
    for (int i = 0; i < s->images; i++)
        for (int y = 0; y < s->rows; y++)
            for (int x = 0; x < c->out_w; x++)
                *at++ = ((int32_t)((size_t)i * p->cells) + y * c->pitch + x) * p->width;
}

/* One tile of maps by one strip, for every tap. */
static void add_products(const corr *c, const struct kern *kern, const outer_plan *p, const step *s,
                         int tile, const float *packed, int strip, const float *cells,
                         const int32_t *position, float *sum) {
    int m = tile * p->maps, maps = imin(p->maps, c->out_c - m), first = strip * p->width;
    int kk = c->s.kh * c->s.kw;
    for (int t = 0; t < kk; t++) {
        float *out = sum + ((ptrdiff_t)m * kk + t) * c->in_c + first;
        kern->tile(&(tile_job){
            .a = packed + (ptrdiff_t)m * s->k,
            .a_k = maps,
            .b = cells + (ptrdiff_t)c->row[t] * p->width,
            .b_row = c->line ? NULL : position,
            .b_k = p->width,
            .c = out,
            .c_m = (ptrdiff_t)kk * c->in_c,
            .k = s->k,
            .rows = maps,
            .columns = imin(p->width, c->in_c - first),
            .add = s->first ? NULL : out,
        });
    }
}

static void run(const weights_job *w, const weights_sum *sum) {
    const corr *c = w->c;
    outer_plan p = plan_outer(c, w->kern, w->images);
    size_t at[3];
    scratch_parts(c, &p, at);
    char *scratch = sum->scratch;
    float *packed = sum->scratch, *strips = (float *)(scratch + at[0]),
          *filled = (float *)(scratch + at[1]);
    int32_t *position = (int32_t *)(scratch + at[2]);
    int low = sum->part * p.strips / w->parts, high = (sum->part + 1) * p.strips / w->parts;
    size_t strip = (size_t)p.images * p.cells * (size_t)p.width;
    size_t in = (size_t)c->in_c * (size_t)c->in_h * (size_t)c->in_w,
           out = (size_t)c->out_c * (size_t)c->out_h * (size_t)c->out_w;

    for (int image = sum->first; image < sum->end; image += p.images)
        for (int r0 = 0; r0 < c->out_h; r0 += c->block) {
            size_t map = (size_t)image * (size_t)c->s.groups + (size_t)sum->group;
            step s = { .x = w->x + map * in,
                       .dy = w->dy + map * out + (size_t)r0 * (size_t)c->out_w,
                       .images = imin(p.images, sum->end - image),
                       .r0 = r0,
                       .rows = imin(c->block, c->out_h - r0),
                       .first = image == sum->first && r0 == 0 };
            s.k = s.images * s.rows * c->out_w;
            pack_maps(c, w->kern, &p, &s, packed);
            for (int n = low; n < high; n++)
                turn_strip(c, w->kern, &p, &s, n * p.width, imin(p.width, c->in_c - n * p.width),
                           filled, strips + (size_t)(n - low) * strip);
            list_positions(c, &p, &s, position);
            for (int first = 0; first < p.blocks; first += p.together)
                for (int n = low; n < high; n++)
                    for (int tile = first; tile < imin(p.blocks, first + p.together); tile++)
                        add_products(c, w->kern, &p, &s, tile, packed, n,
                                     strips + (size_t)(n - low) * strip, position, sum->out);
        }
}

const weights_way weights_outer = { OUTER, true, thread_bytes, parts, run };
