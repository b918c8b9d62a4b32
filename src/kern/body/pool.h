/* pool.h - slots `max_pool`, `sum_pool` and their backward passes, one plane.
 *
 * Parameter: the vocabulary of vec.h.
 *
 * The 2x2 windows at stride 2 without padding of LeNet and VGG have a vector form: even and odd
 * columns of two rows are the four cells of V_LANES windows. At strides 1 and 2 a maximum is taken along
 * rows, then across them, V_LANES windows at a time; a sum cell by cell, for the windows that no side
 * border cuts. All else is plain C: a window
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

static void max_pool_quads(const pool_job *job, const float *x, float *y, uint8_t *switches) {
    for (int oy = 0; oy < job->oh; oy++) {
        for (int ox = 0; ox < job->ow; ox += V_LANES) {
            const int count = job->ow - ox < V_LANES ? job->ow - ox : V_LANES;
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
            const pool_quad q =
                pool_quad_load(x + (ptrdiff_t)2 * oy * job->w + 2 * ox, job->w, count);
            vf max = q.cell[0], which = v_set1_bits(0);
            V_UNROLL for (int i = 1; i < 4; i++) {
                const vm above = v_above(q.cell[i], max);
                max = v_select(above, q.cell[i], max);
                which = v_select(above, v_set1_bits(i), which);
            }
            pool_store(y + at, count, max);
            if (switches) v_store_bytes(switches + at, count, which);
        }
    }
}

/* Outputs first..last-1 of a row have their windows within the columns of the plane, at a stride
 * that pool_cells knows. None with four lanes, where partial loads cost more than they save. */
static void pool_interior(const pool_job *job, int *first, int *last) {
    *first = *last = job->ow;
    if (V_LANES < 8 || job->sw > 2 || job->w + job->pl < job->kw) return;
    const int begin = (job->pl + job->sw - 1) / job->sw;
    const int end = (job->w + job->pl - job->kw) / job->sw + 1;
    if (begin >= end || begin >= job->ow) return;
    *first = begin;
    *last = end < job->ow ? end : job->ow;
}

/* x[0], x[stride], ... for `count` <= V_LANES outputs; stride 1 or 2. */
V_INLINE vf pool_cells(const float *x, int stride, int count) {
    if (stride == 1) return pool_load(x, count);
    const int reach = 2 * count - 1;
    return v_even(count == V_LANES ? v_load(x) : v_load_some(x, v_first(reach)),
                  v_load_some(x + V_LANES, v_first(reach - V_LANES)));
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

/* Largest window side of max_pool_columns, and the windows of a row it takes at a time. */
enum { POOL_SIDE = 16, POOL_CHUNK = 4 * V_LANES };

/* The number base + i where `column` is i < n. */
V_INLINE vf pool_cell_number(int base, int n, vf column) {
    vf number = v_set1_bits(base);
    for (int i = 1; i < n; i++)
        number = v_select(v_same_bits(column, v_set1_bits(i)), v_set1_bits(base + i), number);
    return number;
}

/* Windows first..first+count-1 of all rows, count <= POOL_CHUNK, at stride 1 or 2. Each row of the plane is
 * reduced once, along the windows' columns, then the rows of a window are: the first of equal cells in
 * row-major order stays the first. Beyond the sides lies -infinity, which never takes part: a window starts
 * with -infinity and the number of its first cell inside. `numbers`: switches are wanted. */
V_INLINE void max_pool_columns(const pool_job *job, const int stride, const bool numbers, int first,
                               int count, const float *x, float *y, uint8_t *switches) {
    float cells[2 * POOL_CHUNK + POOL_SIDE + 3 * V_LANES], start[POOL_CHUNK];
    float max[POOL_SIDE][POOL_CHUNK], column[POOL_SIDE][POOL_CHUNK];
    const int left = first * stride - job->pl; /* of the plane: cells[0] */
    const int from = left < 0 ? -left : 0, reach = (count - 1) * stride + job->kw;
    const int to = reach < job->w - left ? reach : job->w - left;
    const vf low = v_set1(-INFINITY);
    for (int i = 0; i < reach + V_LANES; i += V_LANES) v_store(cells + i, low);
    for (int o = 0; o < count; o += V_LANES) v_store(start + o, v_zero());
    for (int o = 0; o * stride < from; o++) {
        const int32_t inside = from - o * stride;
        memcpy(start + o, &inside, sizeof inside);
    }
    for (int oy = 0, done = 0; oy < job->oh; oy++) {
        const pool_window r = pool_window_at(job, oy, first);
        for (int iy = done > r.y0 ? done : r.y0; iy < r.y1; iy++) {
            const float *row = x + (ptrdiff_t)iy * job->w + left;
            for (int i = from; i < to; i += V_LANES)
                v_store(cells + i, v_load_some(row + i, v_first(to - i)));
            v_store(cells + to, low);
            for (int o = 0; o < count; o += V_LANES) {
                const float *at = cells + o * stride;
                vf best = low, which = v_load(start + o);
                for (int v = 0; v < job->kw; v++) {
                    const vf cell = stride == 1 ? v_load(at + v)
                                                : v_even(v_load(at + v), v_load(at + v + V_LANES));
                    const vm above = v_above(cell, best);
                    best = v_select(above, cell, best);
                    if (numbers) which = v_select(above, v_set1_bits(v), which);
                }
                v_store(max[iy % job->kh] + o, best);
                if (numbers) v_store(column[iy % job->kh] + o, which);
            }
        }
        done = r.y1;
        for (int o = 0; o < count; o += V_LANES) {
            const int some = count - o < V_LANES ? count - o : V_LANES;
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + first + o;
            vf best = v_load(max[r.y0 % job->kh] + o), which = v_zero();
            if (numbers)
                which = pool_cell_number((r.y0 - r.top) * job->kw, job->kw,
                                         v_load(column[r.y0 % job->kh] + o));
            for (int iy = r.y0 + 1; iy < r.y1; iy++) {
                const vf cell = v_load(max[iy % job->kh] + o);
                const vm above = v_above(cell, best);
                best = v_select(above, cell, best);
                if (numbers)
                    which = v_select(above,
                                     pool_cell_number((iy - r.top) * job->kw, job->kw,
                                                      v_load(column[iy % job->kh] + o)),
                                     which);
            }
            pool_store(y + at, some, best);
            if (numbers) v_store_bytes(switches + at, some, which);
        }
    }
}

static void max_pool(const pool_job *job, const float *x, float *y, uint8_t *switches) {
    if (pool_is_quad(job)) {
        max_pool_quads(job, x, y, switches);
        return;
    }
    if (job->sw > 2 || job->kw > POOL_SIDE || job->kh > POOL_SIDE) {
        for (int oy = 0; oy < job->oh; oy++)
            for (int ox = 0; ox < job->ow; ox++) max_pool_window(job, oy, ox, x, y, switches);
        return;
    }
    for (int ox = 0; ox < job->ow; ox += POOL_CHUNK) {
        const int count = job->ow - ox < POOL_CHUNK ? job->ow - ox : POOL_CHUNK;
        if (job->sw == 1 && !switches)
            max_pool_columns(job, 1, false, ox, count, x, y, NULL);
        else if (job->sw == 1)
            max_pool_columns(job, 1, true, ox, count, x, y, switches);
        else if (!switches)
            max_pool_columns(job, 2, false, ox, count, x, y, NULL);
        else
            max_pool_columns(job, 2, true, ox, count, x, y, switches);
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
                    v_select(v_same_bits(which, v_set1_bits(i)), d, v_zero());
                pool_quad_store(q, dx + (ptrdiff_t)2 * oy * job->w + 2 * ox, job->w, count);
            }
        }
        return;
    }
    if (job->h <= 0 || job->w <= 0) return;
    memset(dx, 0, (size_t)job->h * (size_t)job->w * sizeof *dx);
    /* From a window's first cell, by its switch: divisions would take twice as long. */
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
    int first, last;
    pool_interior(job, &first, &last);
    for (int oy = 0; oy < job->oh; oy++) {
        for (int ox = 0; ox < first; ox++) sum_pool_window(job, oy, ox, x, scale, y);
        for (int ox = first; ox < last; ox += V_LANES) {
            const int count = last - ox < V_LANES ? last - ox : V_LANES;
            const ptrdiff_t at = (ptrdiff_t)oy * job->ow + ox;
            const pool_window r = pool_window_at(job, oy, ox);
            vf s = v_zero();
            for (int iy = r.y0; iy < r.y1; iy++) {
                const float *row = x + (ptrdiff_t)iy * job->w + r.left;
                for (int v = 0; v < job->kw; v++) s = v_add(s, pool_cells(row + v, job->sw, count));
            }
            if (scale) s = v_mul(s, pool_load(scale + at, count));
            pool_store(y + at, count, s);
        }
        for (int ox = last; ox < job->ow; ox++) sum_pool_window(job, oy, ox, x, scale, y);
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
