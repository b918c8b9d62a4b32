/* pool.h - slots `max_pool`, `sum_pool` and their backward passes, one plane.
 *
 * Parameter: the vocabulary of vec.h.
 *
 * The 2x2 windows at stride 2 without padding of LeNet and VGG have a vector form: even and odd
 * columns of two rows are the four cells of V_LANES windows. At strides 1 and 2 the vectors are V_LANES
 * neighbouring windows; cells beyond the sides count as -infinity or 0. A maximum is taken along
 * rows, then across them. All else is plain C: a window
 * is cut to the plane first, so that padding and ceil mode need no case of their own. Every form
 * visits the cells of a window in row-major order and gives the same bits.
 *
 * SPDX-License-Identifier: Apache-2.0 */

/* Windows two by two, edge to edge, all inside the plane. */
static bool pool_is_quad(const pool_job *job) {
    return job->kh == 2 && job->kw == 2 && job->sh == 2 && job->sw == 2 && job->pt == 0 &&
           job->pl == 0 && 2 * job->oh <= job->h && 2 * job->ow <= job->w;
}

/* The part of a window inside the plane: rows y0..y1-1, columns x0..x1-1; its first cell is the
 * window's cell (y0 - top, x0 - left). */
typedef struct pool_window {
    int top, left, y0, y1, x0, x1;
} pool_window;

static pool_window pool_window_at(const pool_job *job, int oy, int ox) {
    pool_window r;
    r.top = oy * job->sh - job->pt;
    r.left = ox * job->sw - job->pl;
    r.y0 = r.top > 0 ? r.top : 0;
    r.x0 = r.left > 0 ? r.left : 0;
    r.y1 = r.top + job->kh < job->h ? r.top + job->kh : job->h;
    r.x1 = r.left + job->kw < job->w ? r.left + job->kw : job->w;
    return r;
}

/* The four cells of `count` <= V_LANES windows whose upper row starts at x. */
typedef struct pool_quad {
    vf cell[4];
} pool_quad;

V_INLINE pool_quad pool_quad_load(const float *x, int w, int count) {
    vf a, b, c, d;
    if (count == V_LANES) {
        a = v_load(x), b = v_load(x + V_LANES);
        c = v_load(x + w), d = v_load(x + w + V_LANES);
    } else {
        const vp lo = v_first(2 * count), hi = v_first(2 * count - V_LANES);
        a = v_load_some(x, lo), b = v_load_some(x + V_LANES, hi);
        c = v_load_some(x + w, lo), d = v_load_some(x + w + V_LANES, hi);
    }
    return (pool_quad){ { v_even(a, b), v_odd(a, b), v_even(c, d), v_odd(c, d) } };
}

V_INLINE void pool_quad_store(pool_quad q, float *x, int w, int count) {
    const vf a = v_zip_lo(q.cell[0], q.cell[1]), b = v_zip_hi(q.cell[0], q.cell[1]);
    const vf c = v_zip_lo(q.cell[2], q.cell[3]), d = v_zip_hi(q.cell[2], q.cell[3]);
    if (count == V_LANES) {
        v_store(x, a), v_store(x + V_LANES, b);
        v_store(x + w, c), v_store(x + w + V_LANES, d);
    } else {
        const vp lo = v_first(2 * count), hi = v_first(2 * count - V_LANES);
        v_store_some(x, lo, a), v_store_some(x + V_LANES, hi, b);
        v_store_some(x + w, lo, c), v_store_some(x + w + V_LANES, hi, d);
    }
}

V_INLINE void pool_store(float *y, int count, vf x) {
    if (count == V_LANES)
        v_store(y, x);
    else
        v_store_some(y, v_first(count), x);
}

V_INLINE vf pool_load(const float *y, int count) {
    return count == V_LANES ? v_load(y) : v_load_some(y, v_first(count));
}

/* Largest cells so far, and their numbers. */
typedef struct pool_best {
    vf max, number;
} pool_best;

V_INLINE pool_best pool_better(pool_best a, vf cell, vf number) {
    const vm above = v_above(cell, a.max);
    return (pool_best){ v_select(above, cell, a.max), v_select(above, number, a.number) };
}

static void max_pool_quads(const pool_job *job, const float *x, float *y, uint8_t *switches) {
    for (int oy = 0; oy < job->oh; oy++) {
        for (int ox = 0; ox < job->ow; ox += V_LANES) {
            const int count = job->ow - ox < V_LANES ? job->ow - ox : V_LANES;
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
            const pool_quad q =
                pool_quad_load(x + (ptrdiff_t)2 * oy * job->w + 2 * ox, job->w, count);
            pool_best best = { q.cell[0], v_zero() };
            V_UNROLL for (int i = 1; i < 4; i++) best =
                pool_better(best, q.cell[i], v_set1((float)i));
            pool_store(y + at, count, best.max);
            if (switches) v_store_bytes(switches + at, count, best.number);
        }
    }
}

/* Which of the cells at, at + stride, ... a row of w has; stride 1 or 2. */
typedef struct pool_part {
    bool whole;
    vp lo, hi; /* of the two vectors that stride 2 takes every other cell of */
} pool_part;

V_INLINE pool_part pool_part_of(int w, int at, const int stride) {
    return (pool_part){ at >= 0 && at + stride * V_LANES <= w, v_from(v_first(w - at), -at),
                        v_from(v_first(w - at - V_LANES), -at - V_LANES) };
}

/* Those cells, `beyond` in place of the others. */
V_INLINE vf pool_cells(const float *x, const int stride, pool_part part, vf beyond) {
    vf lo, hi = beyond;
    if (part.whole) {
        lo = v_load(x);
        if (stride == 2) hi = v_load(x + V_LANES);
    } else {
        lo = v_select(v_mask(part.lo), v_load_some(x, part.lo), beyond);
        if (stride == 2) hi = v_select(v_mask(part.hi), v_load_some(x + V_LANES, part.hi), beyond);
    }
    return stride == 2 ? v_even(lo, hi) : lo;
}

static void max_pool_window(const pool_job *job, int oy, int ox, const float *x, float *y,
                            uint8_t *switches) {
    const pool_window r = pool_window_at(job, oy, ox);
    const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
    float max = x[(ptrdiff_t)r.y0 * job->w + r.x0];
    int which = (r.y0 - r.top) * job->kw + (r.x0 - r.left);
    for (int iy = r.y0; iy < r.y1; iy++) {
        const float *row = x + (ptrdiff_t)iy * job->w;
        for (int ix = r.x0; ix < r.x1; ix++)
            if (row[ix] > max || (row[ix] != row[ix] && max == max)) {
                max = row[ix];
                which = (iy - r.top) * job->kw + (ix - r.left);
            }
    }
    y[at] = max;
    if (switches) switches[at] = (uint8_t)which;
}

/* Of max_pool_strips: largest window side, how many vectors of windows it takes at a time, and how far ahead
 * it fetches: rows shorter than two cache lines keep the processor's own prefetcher from following (480 planes
 * of 28x28, 3x3 at stride 2: 5.0 ms without, 2.1 with, one thread of Zen 5, 2026-11-21). */
enum { POOL_SIDE = 16, POOL_STRIPS = 4, POOL_AHEAD = 1024 };

/* Windows first .. first + POOL_STRIPS*V_LANES - 1 of all rows, kh x kw at stride 1 or 2 across. Each row of
 * the plane is reduced once, along the windows' columns, then the rows of a window are: the first of equal
 * cells in row-major order stays the first. -infinity never takes part: a window starts with it and the
 * number of its first cell inside. */
V_INLINE void max_pool_strips(const pool_job *job, const int kh, const int kw, const int stride,
                              int first, const float *x, float *y, uint8_t *switches) {
    static const float lane[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    const vf low = v_set1(-INFINITY);
    const int left = first * stride - job->pl, most = (job->ow - first + V_LANES - 1) / V_LANES;
    const int strips = most < POOL_STRIPS ? most : POOL_STRIPS;
    pool_part part[POOL_STRIPS][POOL_SIDE];
    vf start[POOL_STRIPS];
    pool_best ring[POOL_SIDE][POOL_STRIPS];
    for (int s = 0; s < strips; s++) {
        const int at = left + s * stride * V_LANES;
        start[s] = v_max(v_zero(), v_fma(v_load(lane), v_set1((float)-stride), v_set1((float)-at)));
        for (int v = 0; v < kw; v++) part[s][v] = pool_part_of(job->w, at + v, stride);
    }
    for (int oy = 0, done = 0; oy < job->oh; oy++) {
        const pool_window r = pool_window_at(job, oy, first);
        for (int iy = done > r.y0 ? done : r.y0; iy < r.y1; iy++)
            for (int s = 0; s < strips; s++) {
                const float *row = x + (ptrdiff_t)iy * job->w + left + s * stride * V_LANES;
                v_prefetch(row + POOL_AHEAD);
                if (stride == 2) v_prefetch(row + POOL_AHEAD + V_LANES);
                pool_best best = { low, start[s] };
                for (int v = 0; v < kw; v++)
                    best = pool_better(best, pool_cells(row + v, stride, part[s][v], low),
                                       v_set1((float)v));
                ring[iy % kh][s] = best;
            }
        done = r.y1;
        for (int s = 0; s < strips; s++) {
            const int from = first + s * V_LANES;
            const int count = job->ow - from < V_LANES ? job->ow - from : V_LANES;
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + from;
            pool_best best = ring[r.y0 % kh][s];
            best.number = v_add(best.number, v_set1((float)((r.y0 - r.top) * kw)));
            for (int iy = r.y0 + 1; iy < r.y1; iy++) {
                const pool_best row = ring[iy % kh][s];
                best = pool_better(best, row.max,
                                   v_add(row.number, v_set1((float)((iy - r.top) * kw))));
            }
            pool_store(y + at, count, best.max);
            if (switches) v_store_bytes(switches + at, count, best.number);
        }
    }
}

/* The 3x3 windows of most networks have loops of their own, the others share one. */
V_INLINE void max_pool_side(const pool_job *job, const int kh, const int kw, int first,
                            const float *x, float *y, uint8_t *switches) {
    if (job->sw == 1)
        max_pool_strips(job, kh, kw, 1, first, x, y, switches);
    else
        max_pool_strips(job, kh, kw, 2, first, x, y, switches);
}

static void max_pool_3(const pool_job *job, int first, const float *x, float *y) {
    max_pool_side(job, 3, 3, first, x, y, NULL);
}

static void max_pool_3_switches(const pool_job *job, int first, const float *x, float *y,
                                uint8_t *switches) {
    max_pool_side(job, 3, 3, first, x, y, switches);
}

static void max_pool_any(const pool_job *job, int first, const float *x, float *y,
                         uint8_t *switches) {
    max_pool_side(job, job->kh, job->kw, first, x, y, switches);
}

static void max_pool(const pool_job *job, const float *x, float *y, uint8_t *switches) {
    if (pool_is_quad(job)) {
        max_pool_quads(job, x, y, switches);
    } else if (job->sw > 2 || job->kh > POOL_SIDE || job->kw > POOL_SIDE) {
        for (int oy = 0; oy < job->oh; oy++)
            for (int ox = 0; ox < job->ow; ox++) max_pool_window(job, oy, ox, x, y, switches);
    } else {
        for (int ox = 0; ox < job->ow; ox += POOL_STRIPS * V_LANES)
            if (job->kh != 3 || job->kw != 3)
                max_pool_any(job, ox, x, y, switches);
            else if (switches)
                max_pool_3_switches(job, ox, x, y, switches);
            else
                max_pool_3(job, ox, x, y);
    }
}

/* Cells of the plane that no quad covers: the last column or row of an odd plane, or more. */
static void pool_clear_rest(const pool_job *job, float *dx) {
    if (2 * job->oh < job->h || 2 * job->ow < job->w)
        memset(dx, 0, (size_t)job->h * (size_t)job->w * sizeof *dx);
}

static void max_pool_back(const pool_job *job, const float *dy, const uint8_t *switches,
                          float *dx) {
    if (pool_is_quad(job)) {
        pool_clear_rest(job, dx);
        for (int oy = 0; oy < job->oh; oy++) {
            for (int ox = 0; ox < job->ow; ox += V_LANES) {
                const int count = job->ow - ox < V_LANES ? job->ow - ox : V_LANES;
                const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
                const vf d = pool_load(dy + at, count), which = v_load_bytes(switches + at, count);
                pool_quad q;
                V_UNROLL for (int i = 0; i < 4; i++) q.cell[i] =
                    v_select(v_same_bits(which, v_set1((float)i)), d, v_zero());
                pool_quad_store(q, dx + (ptrdiff_t)2 * oy * job->w + 2 * ox, job->w, count);
            }
        }
        return;
    }
    if (job->h <= 0 || job->w <= 0) return;
    memset(dx, 0, (size_t)job->h * (size_t)job->w * sizeof *dx);
    /* From a window's first cell, by its switch. */
    int32_t cell[256];
    for (int i = 0; i < job->kh * job->kw; i++) cell[i] = i / job->kw * job->w + i % job->kw;
    for (int oy = 0; oy < job->oh; oy++) {
        const ptrdiff_t first = (ptrdiff_t)(oy * job->sh - job->pt) * job->w - job->pl;
        for (int ox = 0; ox < job->ow; ox++)
            dx[first + (ptrdiff_t)ox * job->sw + cell[switches[ox]]] += dy[ox];
        switches += job->ow, dy += job->ow;
    }
}

static void sum_pool_window(const pool_job *job, int oy, int ox, const float *x, const float *scale,
                            float *y) {
    const pool_window r = pool_window_at(job, oy, ox);
    const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
    float s = 0;
    for (int iy = r.y0; iy < r.y1; iy++)
        for (int ix = r.x0; ix < r.x1; ix++) s += x[(ptrdiff_t)iy * job->w + ix];
    y[at] = scale ? scale[at] * s : s;
}

V_INLINE void sum_pool_strips(const pool_job *job, const int stride, const float *x,
                              const float *scale, float *y) {
    for (int oy = 0; oy < job->oh; oy++)
        for (int ox = 0; ox < job->ow; ox += V_LANES) {
            const int count = job->ow - ox < V_LANES ? job->ow - ox : V_LANES;
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
            const pool_window r = pool_window_at(job, oy, ox);
            vf s = v_zero();
            for (int iy = r.y0; iy < r.y1; iy++)
                for (int v = 0; v < job->kw; v++)
                    s = v_add(s, pool_cells(x + (ptrdiff_t)iy * job->w + r.left + v, stride,
                                            pool_part_of(job->w, r.left + v, stride), v_zero()));
            if (scale) s = v_mul(s, pool_load(scale + at, count));
            pool_store(y + at, count, s);
        }
}

static void sum_pool(const pool_job *job, const float *x, const float *scale, float *y) {
    if (pool_is_quad(job)) {
        for (int oy = 0; oy < job->oh; oy++) {
            for (int ox = 0; ox < job->ow; ox += V_LANES) {
                const int count = job->ow - ox < V_LANES ? job->ow - ox : V_LANES;
                const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
                const pool_quad q =
                    pool_quad_load(x + (ptrdiff_t)2 * oy * job->w + 2 * ox, job->w, count);
                vf s = q.cell[0];
                V_UNROLL for (int i = 1; i < 4; i++) s = v_add(s, q.cell[i]);
                if (scale) s = v_mul(s, pool_load(scale + at, count));
                pool_store(y + at, count, s);
            }
        }
        return;
    }
    if (job->sw > 2) {
        for (int oy = 0; oy < job->oh; oy++)
            for (int ox = 0; ox < job->ow; ox++) sum_pool_window(job, oy, ox, x, scale, y);
    } else if (job->sw == 1) {
        sum_pool_strips(job, 1, x, scale, y);
    } else {
        sum_pool_strips(job, 2, x, scale, y);
    }
}

static void sum_pool_back(const pool_job *job, const float *dy, const float *scale, float *dx) {
    if (pool_is_quad(job)) {
        pool_clear_rest(job, dx);
        for (int oy = 0; oy < job->oh; oy++) {
            for (int ox = 0; ox < job->ow; ox += V_LANES) {
                const int count = job->ow - ox < V_LANES ? job->ow - ox : V_LANES;
                const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
                vf d = pool_load(dy + at, count);
                if (scale) d = v_mul(d, pool_load(scale + at, count));
                pool_quad_store((pool_quad){ { d, d, d, d } },
                                dx + (ptrdiff_t)2 * oy * job->w + 2 * ox, job->w, count);
            }
        }
        return;
    }
    if (job->h <= 0 || job->w <= 0) return;
    memset(dx, 0, (size_t)job->h * (size_t)job->w * sizeof *dx);
    for (int oy = 0; oy < job->oh; oy++) {
        for (int ox = 0; ox < job->ow; ox++) {
            const pool_window r = pool_window_at(job, oy, ox);
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
            const float d = scale ? scale[at] * dy[at] : dy[at];
            for (int iy = r.y0; iy < r.y1; iy++)
                for (int ix = r.x0; ix < r.x1; ix++) dx[(ptrdiff_t)iy * job->w + ix] += d;
        }
    }
}
