/* test_data_augment.c - augmentations: what they do against torchvision, how often against their distributions,
 * and that it follows from (seed, epoch, sample) alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/augment.h"
#include "test.h"
#include <lenslet/data.h>

static lens_ctx *ctx;

static int setup(void **state) {
    (void)state;
    ctx = test_ctx(1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    lens_ctx_free(ctx);
    return 0;
}

/* ---- one picture ---- */

enum { MAX_SIDE = 64 };
static float room[2][3 * MAX_SIDE * MAX_SIDE];

static augment_picture picture(int c, int h, int w, int view_h, int view_w) {
    return (augment_picture){ room[0], room[1], c, h, w, view_h, view_w, NULL };
}

static void as_torchvision(void **state) {
    (void)state;
    augment_picture now, *p = &now;
#define ROW(call, ...)                                                                             \
    {                                                                                              \
        static const float WANT[90] = { __VA_ARGS__ };                                             \
        now = picture(3, 5, 6, 5, 6);                                                              \
        for (int i = 0; i < 90; i++) now.x[i] = (float)(37 * i % 101) / 101;                       \
        call;                                                                                      \
        assert_true(now.h == 5 && now.w == 6);                                                     \
        for (int i = 0; i < 90; i++)                                                               \
            if (!(fabsf(now.x[i] - WANT[i]) < 2e-6f))                                              \
                fail_msg("%s: value %d is %g, torchvision's %g", #call, i, (double)now.x[i],       \
                         (double)WANT[i]);                                                         \
    }
#include "data/augment.inc"
#undef ROW
    now = picture(1, 5, 6, 5, 6); /* grey has neither saturation nor hue */
    for (int i = 0; i < 30; i++) now.x[i] = (float)i / 60;
    augment_colour(p, AUGMENT_SATURATION, 2);
    augment_colour(p, AUGMENT_HUE, 0.25f);
    for (int i = 0; i < 30; i++) assert_true(now.x[i] == (float)i / 60);
}

/* Applies `text` to a fresh picture; channel 0 holds the column, channel 1 the row, channel 2 is 1. */
static augment_picture ramps(const char *text, int side, int view, uint32_t epoch) {
    augment_list list;
    augment_picture p = picture(3, side, side, view, view);
    for (int i = 0; i < side * side; i++) {
        p.x[i] = (float)(i % side);
        p.x[side * side + i] = (float)(i / side);
        p.x[2 * side * side + i] = 1;
    }
    assert_ok(ctx, augment_parse(ctx, &list, text, 3, side > view));
    augment_apply(&list, &p, 7, epoch, 3);
    assert_true(p.h == view && p.w == view);
    return p;
}

static void crop_in_margin(void **state) {
    (void)state;
    enum { DRAWS = 4000, SIDE = 12, VIEW = 8 };
    int hits[5][5] = { { 0 } };
    for (uint32_t e = 0; e < DRAWS; e++) {
        augment_picture p = ramps("crop", SIDE, VIEW, e);
        int left = (int)p.x[0], top = (int)p.x[VIEW * VIEW];
        assert_in_range(left, 0, 4);
        assert_in_range(top, 0, 4);
        for (int i = 0; i < VIEW * VIEW; i++) assert_true(p.x[i] == (float)(left + i % VIEW));
        hits[top][left]++;
    }
    for (int i = 0; i < 25; i++) /* 160 expected, standard deviation 12.4 */
        assert_in_range(hits[i / 5][i % 5], 160 - 62, 160 + 62);
    augment_picture p = ramps("mirror:1", SIDE, VIEW, 0); /* no crop among the steps: the centre */
    for (int i = 0; i < VIEW * VIEW; i++) assert_true(p.x[i] == (float)(SIDE - 1 - 2 - i % VIEW));
}

/* The slope of the ramps tells the part, their mean its centre. */
static void resized_crop(void **state) {
    (void)state;
    enum { DRAWS = 4000, SIDE = 40, VIEW = 10 };
    double least = 1, most = 0, mean_log_ratio = 0, mean_x = 0;
    for (uint32_t e = 0; e < DRAWS; e++) {
        augment_picture p = ramps("resized-crop", SIDE, VIEW, e);
        const float *row = p.x + VIEW * (VIEW / 2), *column = p.x + VIEW * VIEW + VIEW / 2;
        double w = (row[VIEW - 3] - row[2]) / (VIEW - 5) * VIEW;
        double h = (column[(VIEW - 3) * VIEW] - column[2 * VIEW]) / (VIEW - 5) * VIEW;
        double area = w * h / (SIDE * SIDE);
        assert_true(area > 0.07 && area < 1.01);
        assert_true(w / h > 0.68 && w / h < 1.48); /* 3/4..4/3, sides rounded to pixels */
        least = fmin(least, area);
        most = fmax(most, area);
        mean_log_ratio += log(w / h) / DRAWS;
        mean_x += (row[VIEW / 2 - 1] + row[VIEW / 2]) / 2 / DRAWS;
        for (int i = 0; i < VIEW * VIEW; i++) assert_near(p.x[2 * VIEW * VIEW + i], 1, 1e-5);
    }
    assert_true(least < 0.09 && most > 0.97);
    assert_near(mean_log_ratio, 0, 0.02); /* uniform in +-0.2877: deviation 0.166/sqrt(4000) */
    assert_near(mean_x, (SIDE - 1) / 2.0, 0.5); /* the centre, deviation below 10/sqrt(4000) */
}

static void turn_and_zoom(void **state) {
    (void)state;
    enum { DRAWS = 2000, SIDE = 21, PLANE = SIDE * SIDE, MIDDLE = PLANE / 2 };
    double degrees[2] = { 0, 0 }, squares = 0, zoom[2] = { 9, 0 };
    for (uint32_t e = 0; e < DRAWS; e++) {
        augment_picture p = ramps("rotate:30", SIDE, SIDE, e);
        double dx = p.x[MIDDLE + 1] - p.x[MIDDLE],
               dy = p.x[PLANE + MIDDLE + 1] - p.x[PLANE + MIDDLE];
        double angle = atan2(dy, dx) * 180 / 3.14159265358979;
        assert_near(dx * dx + dy * dy, 1, 1e-4);
        assert_near(p.x[MIDDLE], SIDE / 2, 1e-4);
        assert_true(fabs(angle) < 30.001);
        degrees[0] = fmin(degrees[0], angle);
        degrees[1] = fmax(degrees[1], angle);
        squares += angle * angle / DRAWS;
        p = ramps("zoom:0.2", SIDE, SIDE, e);
        double z = 1 / (double)(p.x[MIDDLE + 1] - p.x[MIDDLE]);
        assert_true(z > 0.7999 && z < 1.2001);
        zoom[0] = fmin(zoom[0], z);
        zoom[1] = fmax(zoom[1], z);
    }
    assert_true(degrees[0] < -29 && degrees[1] > 29);
    assert_near(squares, 300, 25); /* of U(-30,30), deviation 268/sqrt(2000) */
    assert_true(zoom[0] < 0.81 && zoom[1] > 1.19);
}

/* Colours of a flat picture: the brightness factor, and the covariance of the noise along the principal
 * directions, V diag((S weight)^2) V'. */
static void colours(void **state) {
    (void)state;
    static const double V[3][3] = { { -0.5675, 0.7192, 0.4009 },
                                    { -0.5808, -0.0045, -0.8140 },
                                    { -0.5836, -0.6948, 0.4203 } };
    static const double L[3] = { 0.2175, 0.0188, 0.0045 };
    enum { DRAWS = 20000 };
    augment_list noise, bright;
    double sum[3] = { 0 }, product[3][3] = { { 0 } }, f[3] = { 9, 0, 0 };
    assert_ok(ctx, augment_parse(ctx, &noise, "pca", 3, false));
    assert_ok(ctx, augment_parse(ctx, &bright, "jitter:0.4:0:0:0", 3, false));
    for (uint32_t i = 0; i < DRAWS; i++) {
        augment_picture p = picture(3, 2, 2, 2, 2);
        for (int k = 0; k < 12; k++) p.x[k] = 0.5f;
        augment_apply(&noise, &p, 1, 0, i);
        for (int a = 0; a < 3; a++) {
            double x = (double)p.x[4 * a] - 0.5;
            assert_true(p.x[4 * a] == p.x[4 * a + 3]);
            sum[a] += x / DRAWS;
            for (int b = 0; b < 3; b++) product[a][b] += x * ((double)p.x[4 * b] - 0.5) / DRAWS;
        }
        for (int k = 0; k < 12; k++) p.x[k] = 0.5f;
        augment_apply(&bright, &p, 1, 0, i);
        double x = (double)p.x[5] * 2;
        f[0] = fmin(f[0], x);
        f[1] = fmax(f[1], x);
        f[2] += x / DRAWS;
        assert_true(p.x[0] == p.x[11]);
    }
    for (int a = 0; a < 3; a++) {
        assert_near(sum[a], 0, 5 * 0.0127 / sqrt(DRAWS));
        for (int b = 0; b < 3; b++) {
            double want = 0;
            for (int k = 0; k < 3; k++) want += V[a][k] * V[b][k] * 0.01 * L[k] * L[k];
            assert_near(product[a][b], want, 5 * sqrt(2.0 / DRAWS) * 1.6e-4);
        }
    }
    assert_true(f[0] >= 0.6 && f[0] < 0.6005 && f[1] < 1.4001 && f[1] > 1.3995);
    assert_near(f[2], 1, 5 * 0.231 / sqrt(DRAWS));
}

static void erase(void **state) {
    (void)state;
    enum { DRAWS = 8000, SIDE = 40 };
    static const float MEAN[1] = { -1 };
    augment_list list;
    int erased = 0;
    double least = 1, most = 0;
    assert_ok(ctx, augment_parse(ctx, &list, "erase", 1, false));
    for (uint32_t i = 0; i < DRAWS; i++) {
        augment_picture p = picture(1, SIDE, SIDE, SIDE, SIDE);
        int count = 0, top = SIDE, bottom = -1, left = SIDE, right = -1;
        p.mean = MEAN;
        for (int k = 0; k < SIDE * SIDE; k++) p.x[k] = 1;
        augment_apply(&list, &p, 1, 0, i);
        for (int k = 0; k < SIDE * SIDE; k++) {
            if (p.x[k] == 1) continue;
            assert_true(p.x[k] == -1);
            int y = k / SIDE, x = k % SIDE;
            top = y < top ? y : top, bottom = y > bottom ? y : bottom;
            left = x < left ? x : left, right = x > right ? x : right;
            count++;
        }
        if (count == 0) continue;
        int h = bottom - top + 1, w = right - left + 1;
        assert_int_equal(count, h * w);
        erased++;
        least = fmin(least, (double)count / (SIDE * SIDE));
        most = fmax(most, (double)count / (SIDE * SIDE));
        assert_true((double)w / h > 0.24 && (double)w / h < 4.1); /* 0.3..3.3, sides rounded */
    }
    assert_near(erased, DRAWS * 0.5, 5 * sqrt(DRAWS * 0.25));
    assert_true(least > 0.015 && least < 0.03 && most > 0.31 && most < 0.345);
}

/* Beta(a,a): mean 1/2, variance 1/(4(2a+1)). */
static void beta(void **state) {
    (void)state;
    static const double ALPHA[] = { 0.001, 0.2, 1, 4 };
    enum { DRAWS = 40000 };
    for (size_t k = 0; k < LENS_COUNT(ALPHA); k++) {
        double sum = 0, squares = 0, want = 0.25 / (2 * ALPHA[k] + 1);
        rng r = rng_start(5, RNG_TEST, 0, k << 40);
        for (int i = 0; i < DRAWS; i++) {
            double x = augment_beta(&r, ALPHA[k]);
            assert_true(x >= 0 && x <= 1);
            sum += x / DRAWS;
            squares += (x - 0.5) * (x - 0.5) / DRAWS;
        }
        assert_near(sum, 0.5, 5 * sqrt(want / DRAWS));
        assert_near(squares, want, 5 * 0.11 / sqrt(DRAWS));
    }
}

/* On pictures of 0 and 1 the box is seen: a rectangle, and the share of the target is exactly what it
 * leaves. With A = 1 and side a = sqrt(U), a length of a about a point anywhere keeps a - a^2/4 on average
 * inside the picture, so the box takes E[(a - a^2/4)^2] = 1/2 - 1/5 + 1/48 of it. */
static void cutmix_box(void **state) {
    (void)state;
    enum { DRAWS = 4000, SIDE = 64 };
    static float other[3 * SIDE * SIDE];
    augment_list list;
    double taken = 0;
    for (int k = 0; k < 3 * SIDE * SIDE; k++) other[k] = 1;
    assert_ok(ctx, augment_parse(ctx, &list, "cutmix", 3, false));
    for (uint32_t i = 0; i < DRAWS; i++) {
        augment_picture p = picture(3, SIDE, SIDE, SIDE, SIDE);
        memset(p.x, 0, sizeof room[0]);
        rng r = augment_mix_stream(&list, 2, 0, i);
        float share = augment_mix(&list, &p, other, &r);
        int count = 0, top = SIDE, bottom = -1, left = SIDE, right = -1;
        for (int k = 0; k < SIDE * SIDE; k++) {
            assert_true(p.x[k] == p.x[k + 2 * SIDE * SIDE]);
            if (p.x[k] == 0) continue;
            int y = k / SIDE, x = k % SIDE;
            top = y < top ? y : top, bottom = y > bottom ? y : bottom;
            left = x < left ? x : left, right = x > right ? x : right;
            count++;
        }
        if (count) assert_int_equal(count, (bottom - top + 1) * (right - left + 1));
        assert_near(share, 1 - (double)count / (SIDE * SIDE), 1e-6);
        taken += (double)count / (SIDE * SIDE) / DRAWS;
    }
    assert_near(taken, 0.5 - 0.2 + 1.0 / 48,
                0.02); /* deviation 0.26/sqrt(4000); sides cut to pixels */
}

/* ---- through the loader ---- */

enum { FLOATS = 3 * 28 * 28, ALL = 1000 };
static float original[ALL][FLOATS];
static int label_of[ALL];

static lens_data *shapes(void) {
    lens_data *d;
    assert_ok(ctx, lens_data_open(ctx, &d, "shapes", NULL));
    for (size_t i = 0; i < ALL; i++)
        assert_ok(ctx, lens_data_get(d, LENS_TEST, i, original[i], &label_of[i]));
    return d;
}

/* The sample that was mixed in: of the right class, and such that every pixel that is not the sample's own
 * is as `made` says. */
static int partner(const lens_batch *b, int i, const float *x, bool box) {
    float s = b->mix->share[i];
    const float *own = original[b->index[i]];
    for (int j = 0; j < ALL; j++) {
        bool fits = label_of[j] == b->mix->other[i];
        for (int k = 0; k < FLOATS && fits; k++)
            fits = box ? x[k] == own[k] || x[k] == original[j][k]
                       : fabsf(x[k] - (s * own[k] + (1 - s) * original[j][k])) < 1e-6f;
        if (fits) return j;
    }
    return -1;
}

static void mixing(void **state) {
    (void)state;
    lens_data *d = shapes();
    for (int box = 0; box < 2; box++) {
        lens_loader *l;
        lens_batch b;
        double sum = 0, squares = 0;
        int others = 0, n = 0;
        lens_loader_opts opts = { .augment = box ? "cutmix" : "mixup:1", .seed = 8 };
        assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 50, &opts));
        assert_ok(ctx, lens_loader_epoch(l, 0, 0));
        while (lens_loader_next(l, &b) == LENS_OK && b.n > 0)
            for (int i = 0; i < b.n; i++, n++) {
                const float *x = b.images.data + (size_t)i * FLOATS;
                float s = b.mix->share[i];
                int j = partner(&b, i, x, box);
                assert_true(s >= 0 && s <= 1 && j >= 0);
                assert_int_equal(b.labels[i], label_of[b.index[i]]);
                others += j != (int)b.index[i];
                sum += (double)s / ALL;
                squares += ((double)s - 0.5) * ((double)s - 0.5) / ALL;
            }
        assert_int_equal(n, ALL);
        assert_true(others > ALL - 20); /* a sample may meet itself: one in a thousand */
        if (!box) {                     /* Beta(1,1) is uniform */
            assert_near(sum, 0.5, 5 * 0.289 / sqrt(ALL));
            assert_near(squares, 1.0 / 12, 0.02);
        }
        lens_loader_free(l);
    }
    lens_data_free(d);
}

/* What is done to a sample depends neither on workers nor on the batch it is in; the epoch changes it. */
static void repeats(void **state) {
    (void)state;
    static const char LIST[] =
        "crop:3,mirror,resized-crop,rotate:10,zoom:0.1,shift:1,jitter,pca,erase,cutmix";
    static float first[ALL][FLOATS];
    static float share[ALL];
    lens_data *d = shapes();
    for (int run = 0; run < 4; run++) {
        lens_loader *l;
        lens_batch b;
        int differ = 0;
        lens_loader_opts opts = { .augment = LIST, .workers = run, .shuffle = run == 2, .seed = 4 };
        assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, run == 1 ? 1 : 64, &opts));
        uint64_t calls = ctx_alloc_calls(ctx);
        assert_ok(ctx, lens_loader_epoch(l, run < 3 ? 5 : 6, 0));
        while (lens_loader_next(l, &b) == LENS_OK && b.n > 0)
            for (int i = 0; i < b.n; i++) {
                float *x = b.images.data + (size_t)i * FLOATS, *kept = first[b.index[i]];
                if (run == 0) {
                    memcpy(kept, x, sizeof first[0]);
                    share[b.index[i]] = b.mix->share[i];
                }
                bool same =
                    memcmp(kept, x, sizeof first[0]) == 0 && share[b.index[i]] == b.mix->share[i];
                differ += !same;
            }
        assert_int_equal(ctx_alloc_calls(ctx), calls);
        if (run < 3)
            assert_int_equal(differ, 0);
        else
            assert_true(differ > ALL - 10);
        lens_loader_free(l);
    }
    lens_data_free(d);
}

/* A margin: the view is the centre of the whole, the whole is the picture resized, crops reach all of it. */
static void margin(void **state) {
    (void)state;
    static float view[3 * 28 * 28], whole[3 * 32 * 32];
    lens_data *d, *large, *none;
    lens_loader *l;
    lens_batch b;
    assert_ok(ctx,
              lens_data_open(ctx, &d, "shapes", &(lens_data_opts){ .height = 28, .resize = 32 }));
    assert_ok(ctx, lens_data_open(ctx, &large, "shapes", &(lens_data_opts){ .height = 32 }));
    const lens_data_info *info = lens_data_describe(d);
    assert_int_equal(info->height, 28);
    assert_int_equal(info->whole_width, 32);
    assert_ok(ctx, lens_data_get(large, LENS_TEST, 9, whole, NULL));
    assert_ok(ctx, lens_data_get(d, LENS_TEST, 9, view, NULL));
    for (int i = 0; i < 3 * 28 * 28; i++)
        assert_true(view[i] == whole[(i / 784 * 32 + i / 28 % 28 + 2) * 32 + i % 28 + 2]);
    assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 10, NULL));
    assert_ok(ctx, lens_loader_epoch(l, 0, 0));
    assert_ok(ctx, lens_loader_next(l, &b));
    assert_memory_equal(b.images.data + 9 * FLOATS, view, sizeof view);
    lens_loader_free(l);
    assert_ok(ctx,
              lens_loader_new(ctx, &l, d, LENS_TEST, 10, &(lens_loader_opts){ .whole = true }));
    assert_ok(ctx, lens_loader_epoch(l, 0, 0));
    assert_ok(ctx, lens_loader_next(l, &b));
    assert_int_equal(b.images.dim[3], 32);
    assert_memory_equal(b.images.data + 9 * 3 * 32 * 32, whole, sizeof whole);
    lens_loader_free(l);
    assert_fails(ctx, LENS_BAD_ARG, "without their margin",
                 lens_loader_new(ctx, &l, d, LENS_TEST, 10,
                                 &(lens_loader_opts){ .whole = true, .augment = "crop" }));
    assert_fails(ctx, LENS_BAD_ARG, "resized to 20 have no centre of 28x28",
                 lens_data_open(ctx, &none, "shapes", &(lens_data_opts){ .resize = 20 }));
    assert_fails(ctx, LENS_BAD_ARG, "resized to 5000",
                 lens_data_open(ctx, &none, "shapes", &(lens_data_opts){ .resize = 5000 }));
    lens_data_free(large);
    lens_data_free(d);
}

/* Every form of the table is in the documentation. */
static void documented(void **state) {
    (void)state;
    char *header, *page;
    size_t size;
    assert_ok(ctx,
              file_read(ctx, TEST_SOURCE_DIR "/include/lenslet/data.h", 1 << 20, &header, &size));
    assert_ok(ctx, file_read(ctx, TEST_SOURCE_DIR "/docs/training.md", 1 << 20, &page, &size));
    for (size_t i = 0; augment_form(i); i++) {
        char text[64];
        snprintf(text, sizeof text, "| `%s` |", augment_form(i));
        if (!strstr(page, text)) fail_msg("docs/training.md lacks %s", text);
        snprintf(text, sizeof text, " *   %.*s:", (int)strcspn(augment_form(i), ":"),
                 augment_form(i));
        if (!strstr(header, text)) fail_msg("data.h lacks \"%s\"", text);
    }
    ctx_free(ctx, header);
    ctx_free(ctx, page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("augment: colour, turning and resized crops equal torchvision's", as_torchvision),
        T("augment: crops reach every place of the margin, else the centre", crop_in_margin),
        T("augment: resized-crop: area, ratio and place", resized_crop),
        T("augment: rotate and zoom: range and distribution", turn_and_zoom),
        T("augment: pca noise has the covariance of its directions; brightness", colours),
        T("augment: erase: how often, area, ratio", erase),
        T("augment: Beta(a,a) has its mean and variance", beta),
        T("augment: cutmix: the share of the target is the area that is left", cutmix_box),
        T("augment: mixup and cutmix mix two samples and their labels", mixing),
        T("augment: any workers, any batch, any order: the same; another epoch: not", repeats),
        T("data: a margin round the view", margin),
        T("augment: every name is documented", documented),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
