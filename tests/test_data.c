/* test_data.c - data sets and the loader.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "support/fixture.h"
#include "test.h"
#include <lenslet/data.h>
#include <sys/stat.h>
#include <unistd.h>

static void save(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void make_folder(const char *name) { assert_int_equal(mkdir(in_dir(name), 0777), 0); }

static lens_data *open_ok(const char *source, const lens_data_opts *opts) {
    lens_data *d = NULL;
    assert_ok(ctx, lens_data_open(ctx, &d, source, opts));
    return d;
}

#define open_fails(status, part, source, opts)                                                     \
    do {                                                                                           \
        lens_data *d_;                                                                             \
        assert_fails(ctx, status, part, lens_data_open(ctx, &d_, source, opts));                   \
        assert_null(d_);                                                                           \
        assert_int_equal(ctx_live_bytes(ctx), idle);                                               \
    } while (0)

/* ---- shapes ---- */

static const uint8_t COLOUR[6][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 },
                                      { 0, 1, 1 }, { 1, 1, 0 }, { 1, 0, 1 } };

/* Every picture shows its colour and no other, and is neither empty nor touches the border. */
static void shapes_by_colour(void **state) {
    (void)state;
    static float x[3 * 28 * 28];
    lens_data *d = open_ok("shapes", NULL);
    const lens_data_info *info = lens_data_describe(d);
    assert_int_equal(info->classes, 6);
    assert_string_equal(info->class_name[0], "red");
    assert_int_equal(info->channels, 3);
    assert_int_equal(info->height, 28);
    assert_int_equal(info->width, 28);
    assert_int_equal(info->count[LENS_TRAIN], 5000);
    assert_int_equal(info->count[LENS_TEST], 1000);
    for (int k = 0; k < 6; k++) assert_true(info->per_class[LENS_TRAIN][k] - 833 <= 1);
    for (int s = 0; s < LENS_SPLITS; s++)
        for (size_t i = 0; i < info->count[s]; i++) {
            int label, lit = 0;
            assert_ok(ctx, lens_data_get(d, (lens_split)s, i, x, &label));
            for (int p = 0; p < 784; p++) {
                float most = 0;
                for (int c = 0; c < 3; c++) most = fmaxf(most, x[c * 784 + p]);
                for (int c = 0; c < 3; c++) assert_true(x[c * 784 + p] == COLOUR[label][c] * most);
                lit += most > 0.5f;
                bool border = p < 28 || p >= 756 || p % 28 == 0 || p % 28 == 27;
                if (border) assert_true(most < 1);
            }
            if (lit < 12 || lit > 300) fail_msg("picture %zu has %d bright pixels", i, lit);
        }
    lens_data_free(d);
}

/* The same pictures under both labels, and no label can be read off the other or off the pose: over
 * all pairs the counts agree within one, and among the triangles of each colour all four
 * orientations occur about equally often. */
static void shapes_leak_nothing(void **state) {
    (void)state;
    static float x[2352], y[2352];
    int pair[6][5] = { { 0 } }, turned[6][4] = { { 0 } };
    double bright[6] = { 0 };
    lens_data *a = open_ok("shapes:colour", NULL), *b = open_ok("shapes:shape", NULL);
    assert_int_equal(lens_data_describe(b)->classes, 5);
    for (size_t i = 0; i < 5000; i++) {
        int colour, shape;
        assert_ok(ctx, lens_data_get(a, LENS_TRAIN, i, x, &colour));
        assert_ok(ctx, lens_data_get(b, LENS_TRAIN, i, y, &shape));
        assert_memory_equal(x, y, sizeof x);
        pair[colour][shape]++;
        double mass = 0, cx = 0, cy = 0, lo_x = 28, hi_x = 0, lo_y = 28, hi_y = 0;
        for (int p = 0; p < 784; p++) {
            double v = fmax(x[p], fmax(x[784 + p], x[1568 + p]));
            mass += v;
            cx += v * (p % 28);
            cy += v * (p / 28);
            if (v > 0.3) {
                lo_x = fmin(lo_x, p % 28), hi_x = fmax(hi_x, p % 28);
                lo_y = fmin(lo_y, p / 28), hi_y = fmax(hi_y, p / 28);
            }
        }
        bright[colour] += mass;
        if (strcmp(lens_data_describe(b)->class_name[shape], "triangle") != 0) continue;
        /* The mass of a triangle lies away from its apex. */
        double dx = cx / mass - (lo_x + hi_x) / 2, dy = cy / mass - (lo_y + hi_y) / 2;
        turned[colour][fabs(dx) > fabs(dy) ? (dx > 0 ? 0 : 1) : (dy > 0 ? 2 : 3)]++;
    }
    for (int c = 0; c < 6; c++) {
        assert_near(bright[c] / bright[0], 1, 0.05); /* mean size and line do not follow colour */
        for (int s = 0; s < 5; s++) assert_true(abs(pair[c][s] - 167) <= 1);
        /* 167 draws of 4: mean 42, deviation 5.6; five of them either way. */
        for (int t = 0; t < 4; t++) assert_true(turned[c][t] > 14 && turned[c][t] < 70);
    }
    lens_data_free(a);
    lens_data_free(b);
}

static void shapes_both(void **state) {
    (void)state;
    lens_data *d = open_ok("shapes:both", NULL);
    const lens_data_info *info = lens_data_describe(d);
    assert_int_equal(info->classes, 9);
    for (int k = 0; k < 9; k++) {
        assert_int_equal(info->per_class[LENS_TRAIN][k], 600);
        assert_int_equal(info->per_class[LENS_TEST][k], 100);
    }
    assert_string_equal(info->class_name[0], "red circle");
    lens_data_free(d);
    open_fails(LENS_NOT_FOUND, "did you mean \"shape\"", "shapes:shap", NULL);
}

static void shapes_repeat(void **state) {
    (void)state;
    uint64_t h[4];
    static const lens_data_opts OPTS[4] = { { 0 }, { 0 }, { .seed = 1 }, { .channels = 1 } };
    for (int i = 0; i < 4; i++) {
        lens_data *d = open_ok("shapes", &OPTS[i]);
        assert_ok(ctx, lens_data_hash(d, &h[i]));
        assert_int_equal(lens_data_describe(d)->channels, i == 3 ? 1 : 3);
        lens_data_free(d);
    }
    assert_true(h[0] == h[1]);
    assert_true(h[0] != h[2]);
    /* Grey is luma: the brightest pixel of a yellow picture is 226/255. */
    lens_data *d = open_ok("shapes", &OPTS[3]);
    static float x[784];
    int label;
    assert_ok(ctx, lens_data_get(d, LENS_TRAIN, 4, x, &label));
    float most = 0;
    for (int p = 0; p < 784; p++) most = fmaxf(most, x[p]);
    assert_int_equal(label, 4);
    assert_near(most * 255, 226, 1e-4);
    lens_data_free(d);
}

/* ---- IDX and CIFAR ---- */

static void put32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void make_idx(const char *name, int rank, uint32_t n, uint32_t h, uint32_t w, int classes) {
    static uint8_t bytes[1 << 16];
    size_t head = rank == 3 ? 16 : 8, size = rank == 3 ? (size_t)n * h * w : n;
    memset(bytes, 0, sizeof bytes);
    bytes[2] = 8, bytes[3] = (uint8_t)rank;
    put32(bytes + 4, n);
    if (rank == 3) put32(bytes + 8, h), put32(bytes + 12, w);
    for (size_t i = 0; i < size; i++)
        bytes[head + i] = (uint8_t)(rank == 3 ? i * 7 : i % (size_t)classes);
    save(in_dir(name), bytes, head + size);
}

static void idx_folder(const char *name) {
    char path[256];
    make_folder(name);
    static const char *const FILE_NAME[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte" };
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", name, FILE_NAME[i]);
        make_idx(path, i % 2 ? 1 : 3, i < 2 ? 20 : 10, 4, 5, 3);
    }
}

static void idx_set(void **state) {
    (void)state;
    float x[20];
    int label;
    idx_folder("idx");
    lens_data *d = open_ok(in_dir("idx/"), NULL);
    const lens_data_info *info = lens_data_describe(d);
    assert_string_equal(info->kind, "idx");
    assert_string_equal(info->name, "idx");
    assert_int_equal(info->classes, 3);
    assert_string_equal(info->class_name[2], "2");
    assert_int_equal(info->count[LENS_TRAIN], 20);
    assert_int_equal(info->count[LENS_TEST], 10);
    assert_int_equal(info->per_class[LENS_TRAIN][1], 7);
    assert_ok(ctx, lens_data_get(d, LENS_TRAIN, 1, x, &label));
    assert_int_equal(label, 1);
    for (int i = 0; i < 20; i++) assert_true(x[i] == (float)((20 + i) * 7 % 256) / 255.0f);
    assert_fails(ctx, LENS_BAD_ARG, "sample 20 of 20", lens_data_get(d, LENS_TRAIN, 20, x, NULL));
    char buf[64];
    assert_string_equal(lens_data_sample(d, LENS_TEST, 3, buf), "test 3");
    /* Mean and deviation against plain double sums. */
    float mean, std;
    double a = 0, b = 0;
    assert_ok(ctx, lens_data_mean_std(d, &mean, &std));
    for (int i = 0; i < 400; i++) a += (i * 7 % 256) / 255.0;
    for (int i = 0; i < 400; i++) b += pow((i * 7 % 256) / 255.0 - a / 400, 2);
    assert_near(mean, a / 400, 1e-7);
    assert_near(std, sqrt(b / 400), 1e-7);
    lens_data_free(d);
    /* Resized, and in colour. */
    d = open_ok(in_dir("idx"), &(lens_data_opts){ .channels = 3, .height = 8 });
    assert_int_equal(lens_data_describe(d)->width, 8);
    assert_int_equal(lens_data_describe(d)->channels, 3);
    lens_data_free(d);
    open_fails(LENS_BAD_ARG, "channels is 2", in_dir("idx"), &(lens_data_opts){ .channels = 2 });
    open_fails(LENS_BAD_ARG, "sides", in_dir("idx"), &(lens_data_opts){ .height = -1 });
}

static void idx_refused(void **state) {
    (void)state;
    idx_folder("bad");
    make_idx("bad/t10k-labels-idx1-ubyte", 1, 9, 0, 0, 3);
    open_fails(LENS_BAD_FILE, "10 pictures but", in_dir("bad"), NULL);
    make_idx("bad/t10k-labels-idx1-ubyte", 1, 10, 0, 0, 4);
    open_fails(LENS_BAD_FILE, "label 3 of picture 3 is outside 0..2", in_dir("bad"), NULL);
    make_idx("bad/t10k-labels-idx1-ubyte", 1, 10, 0, 0, 3);
    make_idx("bad/t10k-images-idx3-ubyte", 3, 10, 5, 4, 3);
    open_fails(LENS_BAD_FILE, "training are 4x5", in_dir("bad"), NULL);
    make_idx("bad/t10k-images-idx3-ubyte", 1, 10, 5, 4, 3);
    open_fails(LENS_BAD_FILE, "rank 1, but pictures have rank 3", in_dir("bad"), NULL);
    save(in_dir("bad/t10k-images-idx3-ubyte"), "", 0);
    open_fails(LENS_BAD_FILE, "t10k-images-idx3-ubyte: the file is empty", in_dir("bad"), NULL);
    unlink(in_dir("bad/t10k-images-idx3-ubyte"));
    open_fails(LENS_BAD_FILE, "there is no t10k-images-idx3-ubyte or", in_dir("bad"), NULL);
    make_idx("bad/train-labels-idx1-ubyte", 1, 20, 0, 0, 1);
    open_fails(LENS_BAD_FILE, "only one class", in_dir("bad"), NULL);
    make_idx("bad/train-images-idx3-ubyte", 3, 0, 4, 5, 1);
    make_idx("bad/train-labels-idx1-ubyte", 1, 0, 0, 0, 1);
    open_fails(LENS_BAD_FILE, "holds no pictures", in_dir("bad"), NULL);
}

static void cifar(void **state) {
    (void)state;
    static uint8_t record[2 * 3074];
    make_folder("cifar");
    for (int i = 1; i <= 6; i++) {
        char name[64];
        snprintf(name, sizeof name, i < 6 ? "cifar/data_batch_%d.bin" : "cifar/test_batch.bin", i);
        memset(record, i, sizeof record);
        record[3073] = 9;
        save(in_dir(name), record, 2 * 3073);
    }
    lens_data *d = open_ok(in_dir("cifar"), NULL);
    const lens_data_info *info = lens_data_describe(d);
    float x[3072];
    int label;
    assert_int_equal(info->count[LENS_TRAIN], 10);
    assert_int_equal(info->classes, 10);
    assert_string_equal(info->class_name[9], "truck");
    assert_ok(ctx, lens_data_get(d, LENS_TRAIN, 3, x, &label));
    assert_int_equal(label, 9);
    assert_true(x[3071] == 2 / 255.0f);
    lens_data_free(d);
    record[0] = 10;
    save(in_dir("cifar/test_batch.bin"), record, 3073);
    open_fails(LENS_BAD_FILE, "label 10 of record 0", in_dir("cifar"), NULL);
    save(in_dir("cifar/test_batch.bin"), record, 3000);
    open_fails(LENS_BAD_FILE, "multiple of the record", in_dir("cifar"), NULL);
    memset(record, 7, sizeof record);
    make_folder("cifar100");
    save(in_dir("cifar100/train.bin"), record, 2 * 3074);
    save(in_dir("cifar100/test.bin"), record, 3074);
    save(in_dir("cifar100/fine_label_names.txt"), "apple\naquarium_fish\n", 20);
    d = open_ok(in_dir("cifar100"), NULL);
    assert_int_equal(lens_data_describe(d)->classes, 100);
    assert_string_equal(lens_data_describe(d)->class_name[1], "aquarium_fish");
    assert_string_equal(lens_data_describe(d)->class_name[2], "2");
    lens_data_free(d);
}

/* ---- folders of pictures ---- */

static void picture(const char *name, int w, int h, int value) {
    lens_image p = { w, h, 3, malloc((size_t)w * (size_t)h * 3) };
    memset(p.pixels, value, (size_t)w * (size_t)h * 3);
    assert_ok(ctx, lens_image_write(ctx, &p, in_dir(name)));
    free(p.pixels);
}

static void folder_split(void **state) {
    (void)state;
    make_folder("pets");
    make_folder("pets/dogs");
    make_folder("pets/cats");
    for (int i = 0; i < 10; i++) {
        char name[64];
        snprintf(name, sizeof name, "pets/dogs/%d.png", i);
        picture(name, 6, 4, i);
        snprintf(name, sizeof name, "pets/cats/%d.ppm", i);
        picture(name, 6, 4, 100 + i);
    }
    save(in_dir("pets/cats/notes.txt"), "x", 1);
    save(in_dir("pets/.hidden"), "x", 1);
    lens_data *d = open_ok(in_dir("pets"), NULL);
    const lens_data_info *info = lens_data_describe(d);
    assert_string_equal(info->kind, "folder");
    assert_string_equal(info->class_name[0], "cats");
    assert_int_equal(info->channels, 3);
    assert_int_equal(info->height, 4);
    assert_int_equal(info->width, 6);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(info->per_class[LENS_TRAIN][k], 8);
        assert_int_equal(info->per_class[LENS_TEST][k], 2);
    }
    assert_int_equal(info->problems, 1);
    assert_non_null(strstr(info->problem[0], "1 files are not"));
    /* Each picture is in exactly one split, under its class. */
    bool seen[256] = { false };
    float x[72];
    char buf[64];
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < info->count[s]; i++) {
            int label;
            assert_ok(ctx, lens_data_get(d, (lens_split)s, i, x, &label));
            int value = (int)(x[71] * 255 + 0.5f);
            assert_false(seen[value]);
            seen[value] = true;
            assert_int_equal(label, value >= 100 ? 0 : 1);
            assert_non_null(
                strstr(lens_data_sample(d, (lens_split)s, i, buf), label ? "/dogs/" : "/cats/"));
        }
    uint64_t h[3];
    assert_ok(ctx, lens_data_hash(d, &h[0]));
    lens_data_free(d);
    for (uint64_t seed = 0; seed < 2; seed++) {
        d = open_ok(in_dir("pets"), &(lens_data_opts){ .seed = seed });
        assert_ok(ctx, lens_data_hash(d, &h[1 + seed]));
        lens_data_free(d);
    }
    assert_true(h[0] == h[1]);
    assert_true(h[0] != h[2]);
}

static void folder_divided(void **state) {
    (void)state;
    make_folder("two");
    make_folder("two/train");
    make_folder("two/val");
    for (int k = 0; k < 2; k++) {
        char name[64];
        snprintf(name, sizeof name, "two/train/%c", 'a' + k);
        make_folder(name);
        snprintf(name, sizeof name, "two/val/%c", 'a' + k);
        make_folder(name);
        snprintf(name, sizeof name, "two/train/%c/x.png", 'a' + k);
        picture(name, 10 + 10 * k, 10, 50); /* sizes differ */
        snprintf(name, sizeof name, "two/val/%c/y.PNG", 'a' + k);
        picture(name, 1, 1, 60); /* one pixel is a picture */
    }
    lens_data *d =
        open_ok(in_dir("two"), &(lens_data_opts){ .height = 8, .width = 4, .channels = 1 });
    assert_int_equal(lens_data_describe(d)->count[LENS_TRAIN], 2);
    assert_int_equal(lens_data_describe(d)->count[LENS_TEST], 2);
    float x[32];
    assert_ok(ctx, lens_data_get(d, LENS_TEST, 1, x, NULL));
    for (int i = 0; i < 32; i++) assert_true(x[i] == 60 / 255.0f);
    lens_data_free(d);
    d = open_ok(in_dir("two"), NULL); /* medians of 1 1 10 10 and 1 1 10 20 */
    assert_int_equal(lens_data_describe(d)->height, 10);
    assert_int_equal(lens_data_describe(d)->width, 10);
    lens_data_free(d);
    make_folder("two/val/c");
    open_fails(LENS_BAD_FILE, "class \"c\" is not among", in_dir("two"), NULL);
}

static void folder_refused(void **state) {
    (void)state;
    make_folder("odd");
    open_fails(LENS_BAD_FILE, "no pictures: expected one folder per class", in_dir("odd"), NULL);
    picture("odd/loose.png", 2, 2, 0);
    open_fails(LENS_BAD_FILE, "1 pictures lie side by side", in_dir("odd"), NULL);
    make_folder("odd/a");
    open_fails(LENS_BAD_FILE, "only one class, \"a\"", in_dir("odd"), NULL);
    make_folder("odd/b");
    open_fails(LENS_BAD_FILE, "no pictures in its 2 folders", in_dir("odd"), NULL);
    picture("odd/a/1.png", 2, 2, 0);
    picture("odd/a/2.png", 2, 2, 0);
    open_fails(LENS_BAD_FILE, "of one class, \"a\"", in_dir("odd"), NULL);
    picture("odd/b/1.png", 2, 2, 0);
    picture("odd/b/2.png", 2, 2, 0);
    save(in_dir("odd/b/0.jpg"), "\xff\xd8\xff\xe0 broken", 11);
    open_fails(LENS_BAD_FILE, "odd/b/0.jpg", in_dir("odd"), NULL);
    open_fails(LENS_BAD_FILE, "odd/b/0.jpg", in_dir("odd"), &(lens_data_opts){ .height = 2 });
    for (int sized = 0; sized < 2; sized++) {
        lens_data *d =
            open_ok(in_dir("odd"), &(lens_data_opts){ .skip_bad = true, .height = sized * 2 });
        const lens_data_info *info = lens_data_describe(d);
        assert_int_equal(info->count[0] + info->count[1], sized ? 4 : 4);
        assert_int_equal(info->problems, 1);
        assert_non_null(strstr(info->problem[0], "odd/b/0.jpg"));
        lens_data_free(d);
    }
}

static void csv(void **state) {
    (void)state;
    static const char GOOD[] = "path,label,split\nl/1.png,sun,train\nl/2.png , moon , train\r\n\n"
                               "l/3.png,sun,test\n";
    make_folder("l");
    for (int i = 1; i <= 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "l/%d.png", i);
        picture(name, 3, 3, i * 10);
    }
    save(in_dir("list.csv"), GOOD, sizeof GOOD - 1);
    lens_data *d = open_ok(in_dir("list.csv"), NULL);
    const lens_data_info *info = lens_data_describe(d);
    int label;
    float x[27];
    assert_int_equal(info->count[LENS_TRAIN], 2);
    assert_int_equal(info->count[LENS_TEST], 1);
    assert_string_equal(info->class_name[0], "moon");
    assert_ok(ctx, lens_data_get(d, LENS_TRAIN, 1, x, &label));
    assert_int_equal(label, 0);
    assert_true(x[0] == 20 / 255.0f);
    lens_data_free(d);
    save(in_dir("list.csv"), "l/1.png\n", 8);
    open_fails(LENS_BAD_FILE, "list.csv:1: expected", in_dir("list.csv"), NULL);
    save(in_dir("list.csv"), "l/1.png,a,b\n", 12);
    open_fails(LENS_BAD_FILE, "the split is \"b\"", in_dir("list.csv"), NULL);
    save(in_dir("list.csv"), "l/1.png,a\nl/2.png,b,test\n", 25);
    open_fails(LENS_BAD_FILE, "list.csv:2: some lines", in_dir("list.csv"), NULL);
    save(in_dir("list.csv"), "l/1.png,a\nl/9.png,b\nl/2.png,a\nl/3.png,b\n", 40);
    open_fails(LENS_IO, "l/9.png", in_dir("list.csv"), NULL);
}

static void names(void **state) {
    (void)state;
    const char *const *known;
    assert_int_equal(lens_data_known(&known), 5);
    open_fails(LENS_NOT_FOUND, "did you mean \"fashion-mnist\"", "fashion-mnits", NULL);
    open_fails(LENS_NOT_FOUND, "known data sets are shapes", "/no/such/place", NULL);
    make_folder("data");
    setenv("LENSLET_DATA", in_dir("data"), 1);
    setenv("XDG_DATA_HOME", in_dir("nowhere"), 1);
    open_fails(LENS_NOT_FOUND, "cifar-10-binary", "cifar10", NULL);
    idx_folder("data/mnist");
    lens_data *d = open_ok("mnist", NULL);
    assert_int_equal(lens_data_describe(d)->classes, 10); /* although the labels are 0..2 */
    lens_data_free(d);
    unsetenv("LENSLET_DATA");
    unsetenv("XDG_DATA_HOME");
}

/* ---- the loader ---- */

/* Everything an epoch delivers, as one number. */
static uint64_t digest(lens_loader *l, uint32_t epoch, size_t first, size_t *samples) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    lens_batch b;
    *samples = 0;
    assert_ok(ctx, lens_loader_epoch(l, epoch, first));
    for (size_t number = first;; number++) {
        assert_ok(ctx, lens_loader_next(l, &b));
        if (b.n == 0) break;
        assert_int_equal(b.number, number);
        assert_int_equal(b.images.dim[0], b.n);
        size_t count = (size_t)lens_tensor_count(&b.images);
        *samples += (size_t)b.n;
        for (size_t i = 0; i < count * 4; i++)
            h = (h ^ ((const uint8_t *)b.images.data)[i]) * 1099511628211u;
        for (int i = 0; i < b.n; i++)
            h = (h ^ (b.index[i] * 31 + (uint32_t)b.labels[i])) * 1099511628211u;
    }
    return h;
}

static void loader_workers(void **state) {
    (void)state;
    static const float MEAN[3] = { 0.1f, 0.2f, 0.3f }, STD[3] = { 0.5f, 0.25f, 2 };
    lens_data *d = open_ok("shapes", NULL);
    uint64_t want[3] = { 0 };
    for (int workers = 0; workers <= 3; workers++) {
        lens_loader *l;
        lens_loader_opts o = { .shuffle = true,
                               .workers = workers,
                               .seed = 5,
                               .mean = MEAN,
                               .std = STD,
                               .augment = "mirror,crop:3" };
        assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 64, &o));
        assert_int_equal(lens_loader_batches(l), 16);
        for (uint32_t epoch = 0; epoch < 3; epoch++) {
            size_t n;
            uint64_t h = digest(l, epoch, epoch == 2 ? 7 : 0, &n);
            assert_int_equal(n, epoch == 2 ? 1000 - 7 * 64 : 1000);
            if (workers == 0)
                want[epoch] = h;
            else
                assert_true(h == want[epoch]);
        }
        lens_loader_free(l);
    }
    assert_true(want[0] != want[1]);
    lens_data_free(d);
}

/* Resuming gives the batches of the uninterrupted epoch; every index occurs once; the values are
 * (pixel/255 - mean)/std of the sample that `index` names. */
static void loader_content(void **state) {
    (void)state;
    static const float MEAN[3] = { 0.1f, 0.2f, 0.3f }, STD[3] = { 0.5f, 0.25f, 2 };
    static uint32_t order[1000];
    static float x[2352];
    lens_data *d = open_ok("shapes", NULL);
    lens_loader *l;
    lens_batch b;
    bool seen[1000] = { false };
    size_t n = 0;
    lens_loader_opts o = { .shuffle = true, .workers = 2, .seed = 9, .mean = MEAN, .std = STD };
    assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 30, &o));
    assert_ok(ctx, lens_loader_next(l, &b)); /* before an epoch is started: nothing */
    assert_int_equal(b.n, 0);
    assert_ok(ctx, lens_loader_epoch(l, 4, 0));
    while (lens_loader_next(l, &b) == LENS_OK && b.n > 0)
        for (int i = 0; i < b.n; i++) {
            int label;
            uint32_t index = b.index[i];
            assert_ok(ctx, lens_data_get(d, LENS_TEST, index, x, &label));
            assert_int_equal(label, b.labels[i]);
            assert_false(seen[index]);
            seen[index] = true;
            order[n++] = index;
            for (int k = 0; k < 2352; k++)
                assert_true(b.images.data[i * 2352 + k] == (x[k] - MEAN[k / 784]) / STD[k / 784]);
        }
    assert_int_equal(n, 1000);
    size_t moved = 0;
    for (size_t i = 0; i < 1000; i++) moved += order[i] != i;
    assert_true(moved > 900);
    /* From the middle, and abandoning an epoch half way. */
    for (size_t first = 0; first <= 34; first += 17) {
        assert_ok(ctx, lens_loader_epoch(l, 4, first));
        assert_ok(ctx, lens_loader_next(l, &b));
        assert_int_equal(b.n, first == 34 ? 0 : 30);
        for (int i = 0; i < b.n; i++) assert_int_equal(b.index[i], order[first * 30 + (size_t)i]);
    }
    assert_fails(ctx, LENS_BAD_ARG, "batch 35", lens_loader_epoch(l, 4, 35));
    lens_loader_free(l);

    o = (lens_loader_opts){ .drop_last = true };
    assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 30, &o));
    assert_int_equal(lens_loader_batches(l), 33);
    assert_ok(ctx, lens_loader_epoch(l, 0, 32));
    assert_ok(ctx, lens_loader_next(l, &b));
    assert_int_equal(b.n, 30);
    assert_int_equal(b.index[0], 960);
    lens_loader_free(l);
    assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 5000, NULL));
    assert_ok(ctx, lens_loader_epoch(l, 0, 0));
    assert_ok(ctx, lens_loader_next(l, &b));
    assert_int_equal(b.n, 1000);
    lens_loader_free(l);
    lens_data_free(d);
}

/* Augmentation against its definition: every picture is the original mirrored or not and moved by
 * -N..N, and over many all moves occur. */
static void augmentation(void **state) {
    (void)state;
    static float x[784];
    lens_data *d = open_ok("shapes", &(lens_data_opts){ .channels = 1 });
    static const char *const KIND[] = { "mirror", "crop:2", "mirror,shift:1" };
    for (int k = 0; k < 3; k++) {
        int reach = k == 0 ? 0 : k == 1 ? 2 : 1, hits[2][5][5] = { { { 0 } } };
        lens_loader *l;
        lens_batch b;
        lens_loader_opts o = { .augment = KIND[k], .seed = 3 };
        assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TEST, 100, &o));
        assert_ok(ctx, lens_loader_epoch(l, 0, 0));
        while (lens_loader_next(l, &b) == LENS_OK && b.n > 0)
            for (int i = 0; i < b.n; i++) {
                int found = 0;
                assert_ok(ctx, lens_data_get(d, LENS_TEST, b.index[i], x, NULL));
                for (int mirror = 0; mirror < (k == 1 ? 1 : 2); mirror++)
                    for (int dy = -reach; dy <= reach; dy++)
                        for (int dx = -reach; dx <= reach; dx++) {
                            bool same = true;
                            for (int p = 0; p < 784 && same; p++) {
                                int u = (mirror ? 27 - p % 28 : p % 28) + dx, v = p / 28 + dy;
                                bool out = u < 0 || u > 27 || v < 0 || v > 27;
                                if (out && k == 2)
                                    u = u < 0    ? 0
                                        : u > 27 ? 27
                                                 : u,
                                    v = v < 0    ? 0
                                        : v > 27 ? 27
                                                 : v,
                                    out = false;
                                same = b.images.data[i * 784 + p] == (out ? 0 : x[v * 28 + u]);
                            }
                            if (same) hits[mirror][dy + reach][dx + reach]++, found++;
                        }
                assert_true(found > 0);
            }
        for (int mirror = 0; mirror < (k == 1 ? 1 : 2); mirror++)
            for (int dy = 0; dy <= 2 * reach; dy++)
                for (int dx = 0; dx <= 2 * reach; dx++)
                    if (hits[mirror][dy][dx] < 15)
                        fail_msg("%s: %d %d %d never drawn", KIND[k], mirror, dy, dx);
        lens_loader_free(l);
    }
    static const struct {
        const char *text, *part;
    } BAD[] = { { "miror", "did you mean \"mirror\"" },
                { "crop", "no margin to move in" },
                { "shift:0", "N in 1..1024" },
                { "crop:x", "crop:N with N in 0..1024" },
                { "mirror:2", "P in 0..1" },
                { "shift", "expected shift:N" },
                { "crop:1.5", "crop:N with N in" },
                { "crop:1:2", "crop:N and no more" },
                { "pca", "wants 3 channels but the pictures have 1" },
                { "mixup,cutmix", "only one of mixup and cutmix, and last" },
                { "mixup,mirror", "and last" },
                { "rotate:", "D in 0..180" },
                { "mirror,,crop:2", "unknown augmentation \"\"" } };
    lens_loader *l;
    for (size_t i = 0; i < LENS_COUNT(BAD); i++)
        assert_fails(ctx, LENS_BAD_ARG, BAD[i].part,
                     lens_loader_new(ctx, &l, d, LENS_TEST, 9,
                                     &(lens_loader_opts){ .augment = BAD[i].text }));
    assert_fails(ctx, LENS_BAD_ARG, "batch of 0", lens_loader_new(ctx, &l, d, LENS_TEST, 0, NULL));
    assert_fails(ctx, LENS_BAD_ARG, "65 loader threads",
                 lens_loader_new(ctx, &l, d, LENS_TEST, 1, &(lens_loader_opts){ .workers = 65 }));
    static const float ZERO[1] = { 0 };
    assert_fails(ctx, LENS_BAD_ARG, "not positive",
                 lens_loader_new(ctx, &l, d, LENS_TEST, 1, &(lens_loader_opts){ .std = ZERO }));
    lens_data_free(d);
}

enum { ROWS = 2000, SIDE = 256 }; /* 393 MB decoded: too large to be kept */

/* A folder with ROWS lines in its list.csv, the last `test` of them to test with: row(i) is 'a' or 'b',
 * a picture of the bytes 40 or 80 and its class, or 0, a broken file of class b. */
static void listed(const char *folder, char (*row)(int i), int test) {
    static char list[ROWS * 32];
    size_t at = 0;
    char name[64];
    make_folder(folder);
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "%s/%c.png", folder, 'a' + k);
        picture(name, 4 + 4 * k, 4, 40 + 40 * k);
    }
    snprintf(name, sizeof name, "%s/broken.png", folder);
    save(in_dir(name), "\x89PNG\r\n\x1a\nnothing", 15);
    for (int i = 0; i < ROWS; i++) {
        const char what[2] = { row(i) };
        at +=
            (size_t)snprintf(list + at, sizeof list - at, "%s.png,%s,%s\n", *what ? what : "broken",
                             *what ? what : "b", i < ROWS - test ? "train" : "test");
    }
    snprintf(name, sizeof name, "%s/list.csv", folder);
    save(in_dir(name), list, at);
}

static char one_broken(int i) { return i == 5 ? 0 : "ab"[i % 2]; }
static char most_broken(int i) { return i % 10 ? 0 : "ab"[i % 20 != 0]; }

/* The pictures of a large set are read batch by batch, by the loader's threads. A broken one is an
 * error that names it, or makes its batch smaller. */
static void decoded_when_asked(void **state) {
    (void)state;
    listed("lazy", one_broken, 1);
    for (int skip = 0; skip < 2; skip++) {
        lens_data_opts opts = { .height = SIDE, .skip_bad = skip };
        lens_data *d = open_ok(in_dir("lazy/list.csv"), &opts);
        for (int workers = 0; workers <= 2; workers++) {
            lens_loader *l;
            lens_batch b;
            lens_loader_opts o = { .workers = workers };
            assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TRAIN, 4, &o));
            for (int round = 0; round < 2; round++) {
                assert_ok(ctx, lens_loader_epoch(l, 0, 0));
                assert_ok(ctx, lens_loader_next(l, &b));
                assert_int_equal(b.n, 4);
                for (int i = 0; i < 4; i++) {
                    size_t count = 3 * SIDE * SIDE;
                    for (size_t k = 0; k < count; k++)
                        assert_true(b.images.data[(size_t)i * count + k] ==
                                    (float)(i % 2 ? 80 : 40) / 255.0f);
                }
                if (!skip) {
                    assert_fails(ctx, LENS_BAD_FILE, "broken.png", lens_loader_next(l, &b));
                } else {
                    static const uint32_t LEFT[3] = { 4, 6, 7 };
                    assert_ok(ctx, lens_loader_next(l, &b));
                    assert_int_equal(b.n, 3);
                    assert_memory_equal(b.index, LEFT, sizeof LEFT);
                    assert_int_equal(b.labels[1], 0);
                }
                assert_ok(ctx, lens_loader_next(l, &b));
                assert_int_equal(b.index[0], 8);
            }
            lens_loader_free(l);
        }
        assert_int_equal(lens_data_describe(d)->problems, skip);
        if (skip) assert_non_null(strstr(lens_data_describe(d)->problem[0], "broken.png"));
        static float x[3 * SIDE * SIDE];
        assert_fails(ctx, LENS_BAD_FILE, "broken.png", lens_data_get(d, LENS_TRAIN, 5, x, NULL));
        lens_data_free(d);
    }
}

/* Where nine of ten pictures are broken, most partners of mixup are: such a sample stays unmixed, or without
 * skip_bad is an error that names the partner. */
static void broken_partners(void **state) {
    (void)state;
    enum { BATCH = 40 };
    int n = 0, unmixed = 0;
    lens_loader *l;
    lens_batch b;
    listed("half", most_broken, 20);
    for (int skip = 0; skip < 2; skip++) {
        lens_data *d =
            open_ok(in_dir("half/list.csv"), &(lens_data_opts){ .height = SIDE, .skip_bad = skip });
        assert_ok(ctx, lens_loader_new(ctx, &l, d, LENS_TRAIN, BATCH,
                                       &(lens_loader_opts){ .augment = "mixup:1" }));
        assert_ok(ctx, lens_loader_epoch(l, 0, 0));
        if (!skip) assert_fails(ctx, LENS_BAD_FILE, "broken.png", lens_loader_next(l, &b));
        for (int k = 0; skip && k < 10; k++) {
            assert_ok(ctx, lens_loader_next(l, &b));
            for (int i = 0; i < b.n; i++, n++) {
                float own = (b.labels[i] ? 80 : 40) / 255.0f, other = b.mix->other[i] ? 80 : 40;
                float s = b.mix->share[i], x = b.images.data[(size_t)i * 3 * SIDE * SIDE];
                assert_near(x, s * own + (1 - s) * other / 255, 1e-6);
                unmixed += s == 1;
            }
        }
        lens_loader_free(l);
        lens_data_free(d);
    }
    assert_int_equal(n, 10 * BATCH / 10);
    assert_true(unmixed > n / 2 && unmixed < n);
}

/* The n-th allocation fails, for every n: opening a folder and loading from it. */
static long countdown;
static void *failing(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)user, (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return countdown-- == 0 ? NULL : realloc(ptr, new_size);
}

static void out_of_memory(void **state) {
    (void)state;
    make_folder("poor");
    for (int k = 0; k < 2; k++) {
        char name[64];
        snprintf(name, sizeof name, "poor/%c", 'a' + k);
        make_folder(name);
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "poor/%c/%d.%s", 'a' + k, i, k ? "ppm" : "png");
            picture(name, 3, 3 + k, i);
        }
    }
    idx_folder("poor_idx");
    static const char *const SOURCE[] = { "poor", "poor_idx" };
    for (int s = 0; s < 2; s++) {
        bool done = false;
        for (long n = 0; !done && n < 2000; n++) {
            lens_ctx *poor = NULL;
            lens_ctx_opts opts = { .threads = 1, .alloc = { failing, NULL } };
            lens_data *d = NULL;
            lens_loader *l = NULL;
            lens_batch b;
            float mean[3], std[3];
            countdown = 1000000;
            assert_int_equal(lens_ctx_new(&poor, &opts, NULL), LENS_OK);
            size_t fresh = ctx_live_bytes(poor);
            countdown = n;
            lens_status status = lens_data_open(poor, &d, in_dir(SOURCE[s]), NULL);
            if (status == LENS_OK) status = lens_data_mean_std(d, mean, std);
            if (status == LENS_OK) status = lens_loader_new(poor, &l, d, LENS_TRAIN, 2, NULL);
            if (status == LENS_OK) status = lens_loader_epoch(l, 0, 0);
            if (status == LENS_OK) status = lens_loader_next(l, &b);
            countdown = 1000000;
            done = status == LENS_OK;
            if (!done && status != LENS_NOMEM) fail_msg("allocation %ld: %s", n, lens_why(poor));
            lens_loader_free(l);
            lens_data_free(d);
            assert_int_equal(ctx_live_bytes(poor), fresh);
            lens_ctx_free(poor);
        }
        assert_true(done);
    }
}

static void steady_state(void **state) {
    (void)state;
    lens_data *d = open_ok("shapes", NULL);
    lens_loader *l;
    size_t n;
    assert_ok(ctx, lens_loader_new(
                       ctx, &l, d, LENS_TEST, 32,
                       &(lens_loader_opts){ .shuffle = true, .workers = 1, .augment = "mirror" }));
    uint64_t calls = ctx_alloc_calls(ctx);
    for (uint32_t epoch = 0; epoch < 3; epoch++) digest(l, epoch, 0, &n);
    assert_int_equal(ctx_alloc_calls(ctx), calls);
    lens_loader_free(l);
    lens_data_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("shapes: 5,000 + 1,000 pictures in six pure colours", shapes_by_colour),
        T("[X24] shapes: colour, shape and pose are independent", shapes_leak_nothing),
        T("shapes: nine classes of 600:100", shapes_both),
        T("shapes: a function of the seed; grey by luma", shapes_repeat),
        T("IDX folder: counts, labels, mean and deviation, resizing", idx_set),
        T("IDX folder: missing, empty, differing and out-of-range files are refused", idx_refused),
        T("CIFAR-10 and CIFAR-100 binary folders", cifar),
        T("image folder: classes by name, seeded stratified split", folder_split),
        T("image folder: train and val folders, sizes that differ, one pixel", folder_divided),
        T("image folder: empty, loose, one class, broken picture; skip_bad lists it",
          folder_refused),
        T("CSV list", csv),
        T("names: suggestions, where known sets are looked for", names),
        T("loader: the same batches for any number of workers", loader_workers),
        T("loader: every sample once, normalised, resumed anywhere", loader_content),
        T("loader: mirror, crop and shift against their definition", augmentation),
        T("loader: large sets are decoded when asked; a broken picture", decoded_when_asked),
        T("loader: a partner of mixup that cannot be read", broken_partners),
        T("loader: an epoch allocates nothing", steady_state),
        T("data: the n-th allocation fails", out_of_memory),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
