/* matrix.c - checks of tile, dot and transpose.
 *
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/kcheck/kcheck.h"
#include "tests/ref/kern_ref.h"

#include <math.h>
#include <string.h>

/* Every element once more as a tile of its own, its k in two parts: the contract promises the same
 * bits. */
static void tile_one_by_one(check *c, const tile_job *job, const float *before, float *out) {
    for (int m = 0; m < job->rows; m++)
        for (int n = 0; n < job->columns; n++) {
            float one[1] = { before[m * job->c_m + n] }, bias[1 + LENS_SLACK] = { 0 };
            tile_job part = *job;
            part.a += m;
            part.b += n;
            part.c = one;
            part.rows = part.columns = 1;
            if (job->bias) bias[0] = job->bias[job->init == TILE_BIAS_ROW ? m : n];
            part.bias = bias;
            part.k = (int)pick(c, (uint32_t)job->k + 1);
            part.act = ACT_NONE;
            part.add = NULL;
            check_kern(c)->tile(&part);
            part.a += part.k * part.a_k;
            if (part.b_row)
                part.b_row += part.k;
            else
                part.b += part.k * part.b_k;
            part.k = job->k - part.k;
            part.init = TILE_LOAD;
            part.act = job->act;
            part.add = job->add ? job->add + m * job->c_m + n : NULL;
            check_kern(c)->tile(&part);
            out[m * job->c_m + n] = one[0];
        }
}

static void tile_case(check *c, int rows, int columns, int depth, bool listed, tile_init init,
                      act_kind act) {
    case_begin(c, "rows=%d columns=%d k=%d listed=%d init=%d act=%d", rows, columns, depth, listed,
               (int)init, (int)act);
    const size_t k = (size_t)depth;
    tile_job job = { .k = depth, .rows = rows, .columns = columns, .init = init, .act = act };
    job.slope = 0.125F;

    job.a_k = rows + (int)pick(c, 3);
    job.a = case_random(c, k ? (k - 1) * (size_t)job.a_k + (size_t)rows : 0, NO_SLACK);
    const int lanes = check_kern(c)->lanes, whole = (columns + lanes - 1) / lanes * lanes;
    job.b_k = pick(c, 2) ? whole : columns + (int)pick(c, 5);
    int32_t row[64];
    size_t b_size = k ? (k - 1) * (size_t)job.b_k + (size_t)columns : 0;
    if (listed) {
        for (size_t i = 0; i < k; i++)
            row[i] = (int32_t)pick(c, k ? (uint32_t)(b_size - (size_t)columns + 1) : 1);
        if (k) row[k / 2] = (int32_t)(b_size - (size_t)columns);
        job.b_row = row;
    }
    job.b = case_random(c, b_size, LENS_SLACK);
    if (pick(c, 2)) job.fetch = job.a, job.fetch_k = (int)pick(c, 100000); /* any address will do */
    if (init == TILE_BIAS_ROW) job.bias = case_random(c, (size_t)rows, NO_SLACK);
    if (init == TILE_BIAS_COLUMN) job.bias = case_random(c, (size_t)columns, LENS_SLACK);

    job.c_m = columns + (int)pick(c, 4);
    const size_t c_size = (size_t)(rows - 1) * (size_t)job.c_m + (size_t)columns;
    job.c = case_array(c, c_size, NO_SLACK);
    if (init == TILE_LOAD)
        for (int m = 0; m < rows; m++)
            for (int n = 0; n < columns; n++) job.c[m * job.c_m + n] = pick_float(c, -1, 1);
    if (pick(c, 2)) job.add = case_random(c, c_size, NO_SLACK);
    float *before = case_copy(c, c_size, job.c), *single = case_copy(c, c_size, job.c);

    tile_one_by_one(c, &job, before, single);
    check_kern(c)->tile(&job);

    for (int m = 0; m < rows; m++)
        for (int n = 0; n < columns; n++) {
            const size_t at = (size_t)m * (size_t)job.c_m + (size_t)n;
            const ref_sum s = ref_tile(&job, before[at], m, n);
            /* two roundings a term at the scalar level, one more for the activation */
            case_near(c, "c", at, job.c[at], ref_act(act, job.slope, s.value),
                      (2 * s.terms + 2) * ROUNDING * s.magnitude);
        }
    case_true(c, same_floats(c_size, job.c, single),
              "bits are those of 1x1 tiles with k split, and gaps of c are untouched");
    case_end(c);
}

static void check_tile(check *c) {
    static const act_kind acts[] = { ACT_NONE, ACT_RELU, ACT_LEAKY };
    static const int depths[] = { 0, 1, 2, 3, 7, 29 };
    const struct kern *kern = check_kern(c);
    case_begin(c, "tile sizes of the table");
    case_true(c, kern->tile_vectors >= 2 && kern->tile_vectors <= TILE_MAX_VECTORS, "tile_vectors");
    for (int v = 1; v <= kern->tile_vectors; v++)
        case_true(c, kern->tile_rows[v] >= 1 && kern->tile_rows[v] <= TILE_MAX_ROWS, "tile_rows");
    case_end(c);
    int turn = 0;
    for (int v = 1; v <= kern->tile_vectors; v++)
        for (int rows = 1; rows <= kern->tile_rows[v]; rows++) {
            const int full = v * kern->lanes;
            const int columns[] = { full, full - 1, full - kern->lanes + 1 };
            for (int i = 0; i < 3; i++)
                for (int listed = 0; listed < 2; listed++)
                    for (int init = TILE_ZERO; init <= TILE_BIAS_COLUMN; init++, turn++)
                        tile_case(c, rows, columns[i], depths[turn % 6], listed, (tile_init)init,
                                  acts[pick(c, 3)]);
        }
    case_begin(c, "no rows or no columns");
    tile_job job = { .k = 3, .rows = 0, .columns = 5, .init = TILE_ZERO };
    kern->tile(&job);
    job.rows = 2, job.columns = 0;
    kern->tile(&job);
    case_end(c);
    case_begin(c, "NaN and infinity reach the output");
    float a[2] = { 1, 1 }, *b = case_array(c, 2, LENS_SLACK), *y = case_array(c, 1, NO_SLACK);
    for (int act = ACT_NONE; act <= ACT_LEAKY; act++) {
        job = (tile_job){ .a = a,
                          .a_k = 1,
                          .b = b,
                          .b_k = 1,
                          .c = y,
                          .c_m = 1,
                          .k = 2,
                          .rows = 1,
                          .columns = 1,
                          .act = (act_kind)act,
                          .slope = 0.5F };
        b[0] = NAN, b[1] = 1;
        kern->tile(&job);
        case_near(c, "y", 0, y[0], NAN, 0);
        b[0] = INFINITY;
        kern->tile(&job);
        case_near(c, "y", 0, y[0], INFINITY, 0);
    }
    case_end(c);
}

static void dot_case(check *c, int rows, int columns, int images, int lines, int length) {
    case_begin(c, "rows=%d columns=%d images=%d lines=%d length=%d", rows, columns, images, lines,
               length);
    dot_job job = { .rows = rows, .columns = columns, .images = images, .lines = lines };
    job.length = length;
    const bool any = images > 0 && lines > 0 && length > 0;
    int32_t b_j[DOT_MAX_COLUMNS], out_j[DOT_MAX_COLUMNS];

    job.a_row = length + (int)pick(c, 3);
    job.a_image = lines * job.a_row + (int)pick(c, 3);
    job.a_i = images * job.a_image + (int)pick(c, 3);
    job.a = case_random(c,
                        any ? (size_t)((rows - 1) * job.a_i + (images - 1) * job.a_image +
                                       (lines - 1) * job.a_row + length)
                            : 0,
                        LENS_SLACK);
    job.b_row = length + (int)pick(c, 4);
    job.b_image = lines * job.b_row + 2;
    int32_t furthest = 0;
    for (int j = 0; j < columns; j++) {
        b_j[j] = (int32_t)pick(c, 9);
        furthest = b_j[j] > furthest ? b_j[j] : furthest;
        out_j[j] = (int32_t)(j * 2 + (j % 2 ? 1 : 0));
    }
    job.b_j = b_j;
    job.b = case_random(
        c,
        any ? (size_t)(furthest + (images - 1) * job.b_image + (lines - 1) * job.b_row + length)
            : 0,
        LENS_SLACK);
    job.out_j = out_j;
    job.out_i = out_j[columns - 1] + 1 + (int)pick(c, 3);
    const size_t size = (size_t)((rows - 1) * job.out_i + out_j[columns - 1] + 1);
    job.out = case_array(c, size, NO_SLACK);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) job.out[i * job.out_i + out_j[j]] = pick_float(c, -1, 1);
    float *before = case_copy(c, size, job.out), *single = case_copy(c, size, job.out);

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            dot_job one = job;
            one.rows = one.columns = 1;
            one.a += i * job.a_i;
            one.b_j += j;
            one.out_j += j;
            one.out = single + i * job.out_i;
            check_kern(c)->dot(&one);
        }
    check_kern(c)->dot(&job);

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const size_t at = (size_t)(i * job.out_i + out_j[j]);
            const ref_sum s = ref_dot(&job, before[at], i, j);
            case_near(c, "out", at, job.out[at], s.value,
                      (2 * s.terms + 6) * ROUNDING * s.magnitude);
        }
    case_true(c, same_floats(size, job.out, single),
              "bits are those of 1x1 tiles, and gaps of out are untouched");
    case_end(c);
}

static void check_dot(check *c) {
    const struct kern *kern = check_kern(c);
    const int lanes = kern->lanes;
    const int lengths[] = {
        0, 1, lanes - 1, lanes, lanes + 1, 2 * lanes, 3 * lanes - 1, 10, 14, 28
    };
    case_begin(c, "dot sizes of the table");
    case_true(c, kern->dot_rows >= 1 && kern->dot_rows <= DOT_MAX_ROWS, "dot_rows");
    case_true(c, kern->dot_columns >= 1 && kern->dot_columns <= DOT_MAX_COLUMNS, "dot_columns");
    case_end(c);
    for (int rows = 1; rows <= kern->dot_rows; rows++)
        for (int columns = 1; columns <= kern->dot_columns; columns++)
            for (int l = 0; l < 10; l++) {
                dot_case(c, rows, columns, 1, 1, lengths[l]);
                dot_case(c, rows, columns, 1 + (int)pick(c, 3), (int)pick(c, 6), lengths[l]);
                dot_case(c, rows, columns, (int)pick(c, 3), 5, lengths[l]);
            }
}

static void check_transpose(check *c) {
    static const int sizes[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33 };
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            const int rows = sizes[i], columns = sizes[j];
            case_begin(c, "rows=%d columns=%d", rows, columns);
            const bool any = rows && columns;
            const int src_r = columns + (int)pick(c, 3), dst_c = rows + (int)pick(c, 3);
            const size_t n_src = any ? (size_t)((rows - 1) * src_r + columns) : 0;
            const size_t n_dst = any ? (size_t)((columns - 1) * dst_c + rows) : 0;
            const float *src = case_random(c, n_src, NO_SLACK);
            float *dst = case_array(c, n_dst, NO_SLACK), *want = case_array(c, n_dst, NO_SLACK);
            for (int r = 0; r < rows; r++)
                for (int k = 0; k < columns; k++) want[k * dst_c + r] = src[r * src_r + k];
            check_kern(c)->transpose(rows, columns, src, src_r, dst, dst_c);
            case_true(c, same_floats(n_dst, dst, want), "dst is src transposed, gaps untouched");
            case_end(c);
        }
}

static void check_every(check *c) {
    for (int step = 1; step <= 4; step++)
        for (int n = 0; n < 70; n++) {
            const int rows = n % 4, src_r = n * step + (int)pick(c, 3), dst_r = n + (int)pick(c, 3);
            case_begin(c, "rows=%d n=%d step=%d", rows, n, step);
            const bool any = rows && n;
            const size_t n_src = any ? (size_t)((rows - 1) * src_r + (n - 1) * step + 1) : 0;
            const size_t n_dst = any ? (size_t)((rows - 1) * dst_r + n) : 0;
            const float *src = case_random(c, n_src, NO_SLACK);
            float *dst = case_array(c, n_dst, NO_SLACK), *want = case_array(c, n_dst, NO_SLACK);
            for (int r = 0; r < rows; r++)
                for (int t = 0; t < n; t++) want[r * dst_r + t] = src[r * src_r + t * step];
            check_kern(c)->every(rows, n, step, src, src_r, dst, dst_r);
            case_true(c, same_floats(n_dst, dst, want), "one in step, gaps untouched");
            case_end(c);
        }
}

const check_slot matrix_slots[] = {
    { "tile", check_tile },   { "dot", check_dot }, { "transpose", check_transpose },
    { "every", check_every }, { NULL, NULL },
};
