/* test_tensor.c - counting, shapes in words, planes of interleaved pictures.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/tensor.h>

static void counts_know_their_limits(void **state) {
    (void)state;
    static const struct {
        lens_tensor t;
        int64_t count;
    } row[] = {
        { { .rank = 0 }, 1 },
        { { .rank = 4, .dim = { 8, 1, 28, 28 } }, 6272 },
        { { .rank = 2, .dim = { 0, 5 } }, 0 },
        { { .rank = 3, .dim = { INT64_MAX, INT64_MAX, 0 } }, 0 },
        { { .rank = 2, .dim = { 3, -1 } }, -1 },
        { { .rank = 2, .dim = { 0, -1 } }, -1 },
        { { .rank = 2, .dim = { INT64_MAX / 2, 3 } }, -1 },
        { { .rank = 1, .dim = { PTRDIFF_MAX / 4 } }, PTRDIFF_MAX / 4 },
        { { .rank = 1, .dim = { PTRDIFF_MAX / 4 + 1 } }, -1 },
        { { .rank = 5 }, -1 },
        { { .rank = -1 }, -1 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_int_equal(lens_tensor_count(&row[i].t), row[i].count);
}

static void shapes_read_as_one_word(void **state) {
    (void)state;
    char buf[96];
    lens_tensor t = { .rank = 4, .dim = { 8, 1, 28, 28 } };
    assert_ptr_equal(lens_tensor_shape(&t, buf), buf);
    assert_string_equal(buf, "8x1x28x28");
    t.rank = 1;
    assert_string_equal(lens_tensor_shape(&t, buf), "8");
    t.rank = 0;
    assert_string_equal(lens_tensor_shape(&t, buf), "scalar");
    t.rank = 9;
    assert_string_equal(lens_tensor_shape(&t, buf), "rank 9");
    t = (lens_tensor){ .rank = 4, .dim = { INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN } };
    assert_int_equal(strlen(lens_tensor_shape(&t, buf)), 4 * 20 + 3);
}

static void planes_split_and_merge(void **state) {
    (void)state;
    enum { C = 3, H = 5, W = 7, N = C * H * W };
    float picture[N], planes[N], back[N];
    for (int i = 0; i < N; i++) picture[i] = (float)i;
    lens_hwc_to_chw(picture, planes, C, H, W);
    for (int k = 0; k < C; k++)
        for (int i = 0; i < H * W; i++) assert_true(planes[k * H * W + i] == (float)(i * C + k));
    lens_chw_to_hwc(planes, back, C, H, W);
    assert_memory_equal(back, picture, sizeof picture);

    float red[N] = { 0 }; /* R, G, B: plane 0 is red */
    for (int i = 0; i < H * W; i++) red[i * C] = 255;
    lens_hwc_to_chw(red, planes, C, H, W);
    for (int i = 0; i < N; i++) assert_true(planes[i] == (i < H * W ? 255.0f : 0.0f));
    lens_hwc_to_chw(red, planes, 3, 0, 7);
}

static const struct CMUnitTest tests[] = {
    T("counts know their limits", counts_know_their_limits),
    T("shapes read as one word", shapes_read_as_one_word),
    T("[A2] planes split and merge; red is plane 0", planes_split_and_merge),
};

TEST_MAIN(tests)
