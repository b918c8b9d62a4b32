/* panel.c - panels and walks of a convolution. See panel.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "op/panel.h"
#include "base/base.h"
#include <assert.h>
#include <string.h>

static int mod(int a, int m) { return (a % m + m) % m; }

/* ---- Layout --------------------------------------------------------------------------------- */

/* Along one axis of the adjoint: output phase p reaches input row r + reach(tap) from grid row r, if
 * the tap has this phase at all. */
static bool adjoint_tap(int phase, int pad, int tap, int step, int *reach) {
    int d = phase + pad - tap;
    if (mod(d, step) != 0) return false;
    *reach = (d - mod(d, step)) / step;
    return true;
}

static void adjoint_axis(int k, int dilation, int step, int pad, int *before, int *span) {
    int low = INT32_MAX, high = INT32_MIN, reach;
    for (int phase = 0; phase < step; phase++)
        for (int u = 0; u < k; u++)
            if (adjoint_tap(phase, pad, u * dilation, step, &reach))
                low = imin(low, reach), high = imax(high, reach);
    *before = -low;
    *span = high - low;
}

void panel_lay_out(corr *c, const conv_shape *s, panel_purpose to) {
    bool adjoint = to == ADJOINT, before = to == THROUGH_BEFORE;
    *c = (corr){ .s = *s, .adjoint = adjoint, .before = before };
    int grid_rows, grid_columns;
    if (adjoint) {
        c->in_c = s->o / s->groups, c->out_c = s->c / s->groups;
        c->in_h = s->oh, c->in_w = s->ow, c->out_h = s->h, c->out_w = s->w;
        c->step_y = c->step_x = c->phases_y = c->phases_x = 1;
        c->grid_y = s->sh, c->grid_x = s->sw;
        c->walks = imin(s->sh, s->h) * imin(s->sw, s->w);
        adjoint_axis(s->kh, s->dh, s->sh, s->pt, &c->before_y, &c->span_y);
        adjoint_axis(s->kw, s->dw, s->sw, s->pl, &c->before_x, &c->span_x);
        grid_rows = up(s->h, s->sh), grid_columns = up(s->w, s->sw);
    } else {
        c->in_c = s->c / s->groups, c->out_c = s->o / s->groups;
        c->in_h = s->h, c->in_w = s->w, c->out_h = s->oh, c->out_w = s->ow;
        c->step_y = s->sh, c->step_x = s->sw;
        c->grid_y = c->grid_x = c->walks = 1;
        int reach_y = (s->kh - 1) * s->dh, reach_x = (s->kw - 1) * s->dw;
        c->phases_y = imin(s->sh, reach_y + 1), c->phases_x = imin(s->sw, reach_x + 1);
        c->before_y = s->pt, c->before_x = s->pl;
        c->span_y = reach_y / s->sh, c->span_x = reach_x / s->sw;
        grid_rows = s->oh, grid_columns = s->ow;
    }
    c->taps = c->in_c * s->kh * s->kw; /* each weight belongs to exactly one walk, or to none */
    c->pitch = grid_columns + c->span_x;
    bool bare =
        c->step_y == 1 && c->step_x == 1 && c->before_y == 0 && c->before_x == 0 &&
        c->in_w == c->pitch && c->in_h == grid_rows + c->span_y &&
        (size_t)c->in_c * (size_t)c->in_h * (size_t)c->in_w < INT32_MAX; /* row[] is 32-bit */
    c->direct = bare && !before;
    c->line = bare && c->grid_y == 1 && c->grid_x == 1 && c->span_y == 0 && c->span_x == 0;
    if (c->line) { /* which may be cut anywhere */
        grid_rows *= c->pitch;
        c->in_h = c->out_h = grid_rows;
        c->in_w = c->out_w = c->pitch = 1;
    }
    /* Rows of a block: the panel, or what is read in its place, within its share of L2, and the flat
     * positions short enough that the dropped columns' scratch stays small; at least one row. A weight
     * gradient takes a few channels at a time: its offsets need only be 32-bit. What is read in place lies apart
     * and gains nothing from a larger share. */
    size_t row_bytes =
        sizeof(float) * (size_t)(c->in_c * c->phases_y * c->phases_x) * (size_t)c->pitch;
    bool weights = to == DOTS || to == OUTER;
    size_t room = weights     ? sizeof(float) * (size_t)INT32_MAX
                  : c->direct ? TUNE_PANEL_BYTES
                              : TUNE_PANEL_OF(cpu_l2_bytes());
    int positions = to == OUTER ? TUNE_OUTER_POSITIONS : TUNE_FLAT_POSITIONS;
    int fit = imin((int)(room / row_bytes) - c->span_y, positions / c->pitch);
    fit = imax(1, imin(grid_rows, fit));
    c->block = up(grid_rows, up(grid_rows, fit)); /* all alike */
    if (c->line) c->block = up(c->block, TUNE_LINE) * TUNE_LINE;
    c->block = imin(c->block, grid_rows);
    c->panel_rows = c->direct ? c->in_h : c->block + c->span_y;
}

/* ---- Choice of tile ------------------------------------------------------------------------- */

/* Issue slots of the tiles over one line of `length` positions, `rows` maps and k taps: a tile of r x v
 * vectors does r*v multiply-adds a step against r broadcasts and v loads, of which most cross a cache
 * line and count twice; chains shorter than the latency (4) wait, and a vector that L2 has to send takes
 * `fetch`. Prologue and epilogue touch every accumulator about twice. */
static double tile_cost(double rows, int vectors, double k, double fetch) {
    double work = rows * vectors, loads = rows + 1.8 * vectors;
    double step = work > loads ? work : loads;
    if (step < fetch * vectors) step = fetch * vectors;
    return k * (step > 4 ? step : 4) + 2 * work + 20;
}

double panel_line_cost(const struct kern *kern, int out_c, int v, double k, int length,
                       double fetch) {
    int blocks = up(out_c, kern->tile_rows[v]);
    int all = up(length, kern->lanes), rest = all % v;
    double rows = (double)out_c / blocks;
    double cost = (all / v) * tile_cost(rows, v, k, fetch);
    return blocks * (rest ? cost + tile_cost(rows, rest, k, fetch) : cost);
}

void panel_choose_tile(corr *c, const struct kern *kern) {
    int columns = up(c->out_w, c->grid_x), flat_length = panel_flat_length(c, c->block, columns);
    double k = (double)c->taps / c->walks, best = 0;
    /* Flat tiles leave their result in scratch, copied row by row: about 8 slots a row and 2 a vector. */
    double copy =
        panel_contiguous(c) ? 0 : (double)c->out_c * c->block * (8 + 2.0 * columns / kern->lanes);
    bool rows_possible = c->grid_x == 1 && !panel_contiguous(c);
    bool turn_possible = panel_contiguous(c) && c->taps == c->in_c && c->walks == 1;
    /* Turned tiles are transposed, some 6 slots a vector. */
    double turn = 6.0 * c->out_c * flat_length / kern->lanes;
    /* Rows of B that lie apart and start within a line: as many lines come from L2 as the taps of a row of the
     * window do not share, 9 slots a vector (tiles of 6x4 ran at 67 % of the peak, 8x3 at 78, 13x2 at 91:
     * 480 to 128 maps, 14x14; at 28x28, rows of whole lines, 6x4 at 95; 2026-11, AMD Zen 5). */
    bool whole_lines = c->line && panel_plane(c) % 16 == 0;
    double fetch = whole_lines ? 0 : 9.0 * kern->lanes / 16 / c->s.kw;
    for (int v = 1; v <= kern->tile_vectors; v++) {
        double flat = panel_line_cost(kern, c->out_c, v, k, flat_length, fetch) + copy;
        double by_row = c->block * panel_line_cost(kern, c->out_c, v, k, columns, fetch);
        /* Turned blocks are few: an odd number leaves one of two threads waiting. */
        int blocks = up(c->out_c, v * kern->lanes);
        double turned = (panel_line_cost(kern, flat_length, v, k, c->out_c, 0) + turn) * 2 *
                        up(blocks, 2) / blocks;
        bool prefer_row = rows_possible && by_row < flat;
        double cost = prefer_row ? by_row : flat;
        bool prefer_turned = turn_possible && turned < cost;
        if (prefer_turned) cost = turned;
        if (best == 0 || cost < best) {
            best = cost;
            c->vectors = v;
            c->by_row = prefer_row && !prefer_turned;
            c->turned = prefer_turned;
            c->rows =
                prefer_turned ? v * kern->lanes : up(c->out_c, up(c->out_c, kern->tile_rows[v]));
        }
    }
}

/* ---- Building ------------------------------------------------------------------------------- */

/* head | walks | row offsets | weight taps | packed weights */
static size_t table_parts(const corr *c, size_t at[4]) {
    at[0] = align64(sizeof *c);
    at[1] = at[0] + align64(sizeof *c->walk * (size_t)c->walks);
    at[2] = at[1] + align64(sizeof *c->row * (size_t)c->taps);
    at[3] = at[2] + align64(sizeof *c->tap_of * (size_t)c->taps);
    return at[3];
}

size_t panel_tables_bytes(const corr *c) {
    size_t at[4];
    return table_parts(c, at);
}

/* Tables of one walk: for each panel channel, its taps in the order of the weights. */
static int add_walk(corr *c, corr_walk *walk, int phase_y, int phase_x, int first) {
    const conv_shape *s = &c->s;
    *walk = (corr_walk){ .out_y = phase_y,
                         .out_x = phase_x,
                         .first_tap = first,
                         .rows = up(c->out_h - phase_y, c->grid_y),
                         .columns = up(c->out_w - phase_x, c->grid_x) };
    int at = first;
    for (int ch = 0; ch < c->in_c; ch++)
        for (int u = 0; u < s->kh; u++)
            for (int v = 0; v < s->kw; v++) {
                int y = (s->flip ? s->kh - 1 - u : u) * s->dh,
                    x = (s->flip ? s->kw - 1 - v : v) * s->dw;
                int panel = ch, reach_y, reach_x;
                if (c->adjoint) {
                    if (!adjoint_tap(phase_y, s->pt, y, s->sh, &reach_y) ||
                        !adjoint_tap(phase_x, s->pl, x, s->sw, &reach_x))
                        continue;
                    reach_y += c->before_y, reach_x += c->before_x;
                } else {
                    panel = (ch * c->phases_y + y % s->sh) * c->phases_x + x % s->sw;
                    reach_y = y / s->sh, reach_x = x / s->sw;
                }
                c->row[at] =
                    (int32_t)((size_t)panel * panel_plane(c)) + reach_y * c->pitch + reach_x;
                c->tap_of[at++] = u * s->kw + v;
            }
    walk->taps = at - first;
    if (walk->taps == 0) c->gaps = true;
    return at;
}

void panel_build(corr *c, const conv_shape *s, panel_purpose to, const struct kern *kern) {
    size_t at[4];
    char *base = (char *)c;
    panel_lay_out(c, s, to);
    table_parts(c, at);
    c->walk = (corr_walk *)(base + at[0]);
    c->row = (int32_t *)(base + at[1]);
    c->tap_of = (int32_t *)(base + at[2]);
    c->packed = (float *)(base + at[3]);
    panel_choose_tile(c, kern);
    int first = 0, walk = 0;
    for (int y = 0; y < imin(c->grid_y, c->out_h); y++)
        for (int x = 0; x < imin(c->grid_x, c->out_w); x++)
            first = add_walk(c, &c->walk[walk++], y, x, first);
    assert(walk == c->walks && first <= c->taps);
}

/* ---- Panels --------------------------------------------------------------------------------- */

void panel_fill(const corr *c, const struct kern *kern, const corr_before *before, const float *in,
                int channels, int r0, int rows, float *panel) {
    size_t plane = panel_plane(c), size = (size_t)c->in_h * (size_t)c->in_w;
    if (c->line) { /* has a panel for the sake of `before` */
        for (int ch = 0; ch < channels; ch++)
            kern->scale_shift((size_t)rows, before->scale[ch], before->shift[ch], before->act,
                              before->slope, in + (size_t)ch * size + r0,
                              panel + (size_t)ch * plane);
        return;
    }
    for (int ch = 0; ch < channels; ch++, in += size)
        for (int py = 0; py < c->phases_y; py++)
            for (int px = 0; px < c->phases_x; px++, panel += plane) {
                /* Panel column t holds x = t*step + offset; inside the picture for low <= t < high. */
                int offset = px - c->before_x;
                int low = offset < 0 ? imin(c->pitch, up(-offset, c->step_x)) : 0;
                int high = imax(
                    low, imin(c->pitch, offset < c->in_w ? up(c->in_w - offset, c->step_x) : 0));
                /* Panel row q holds y = q*step + top; inside the picture for from <= q < to. */
                int top = r0 * c->step_y + py - c->before_y, all = rows + c->span_y;
                int from = top < 0 ? imin(all, up(-top, c->step_y)) : 0;
                int to = imax(from, imin(all, top < c->in_h ? up(c->in_h - top, c->step_y) : 0));
                if (low == high) to = from;
                size_t row = sizeof *panel * (size_t)c->pitch;
                memset(panel, 0, row * (size_t)from);
                memset(panel + (ptrdiff_t)to * c->pitch, 0, row * (size_t)(all - to));
                kern->every(to - from, high - low, c->step_x,
                            in + (ptrdiff_t)(from * c->step_y + top) * c->in_w + low * c->step_x +
                                offset,
                            (ptrdiff_t)c->step_y * c->in_w,
                            panel + (ptrdiff_t)from * c->pitch + low, c->pitch);
                for (int q = from; q < to; q++) {
                    float *dst = panel + (ptrdiff_t)q * c->pitch;
                    for (int t = 0; t < low; t++) dst[t] = 0;
                    if (before)
                        kern->scale_shift((size_t)(high - low), before->scale[ch],
                                          before->shift[ch], before->act, before->slope, dst + low,
                                          dst + low);
                    for (int t = high; t < c->pitch; t++) dst[t] = 0;
                }
            }
}
