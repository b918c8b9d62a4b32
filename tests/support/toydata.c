/* toydata.c - see toydata.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/toydata.h"
#include "test.h"

#include "base/rng.h"

static void big_endian(FILE *f, uint32_t v) {
    const unsigned char bytes[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                     (unsigned char)(v >> 8), (unsigned char)v };
    fwrite(bytes, 1, 4, f);
}

static FILE *begin(const char *folder, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    return f;
}

static void write_split(const char *folder, const char *images, const char *labels, int count,
                        int classes, int noise, rng *r) {
    FILE *x = begin(folder, images), *y = begin(folder, labels);
    big_endian(x, 0x00000803);
    big_endian(x, (uint32_t)count);
    big_endian(x, TOY_SIDE);
    big_endian(x, TOY_SIDE);
    big_endian(y, 0x00000801);
    big_endian(y, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        int label = i % classes, row = (2 * label + 1) * TOY_SIDE / (2 * classes);
        fputc(label, y);
        for (int p = 0; p < TOY_SIDE * TOY_SIDE; p++) {
            int value = noise ? (int)rng_below(r, (uint32_t)noise + 1) : 0;
            if (p / TOY_SIDE == row) value = 255 - value / 2;
            fputc(value, x);
        }
    }
    assert_int_equal(fclose(x), 0);
    assert_int_equal(fclose(y), 0);
}

void toydata_write(const char *folder, int train, int test, int classes, int noise, uint64_t seed) {
    rng r = rng_start(seed, RNG_TEST, 77, 0);
    write_split(folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", train, classes, noise,
                &r);
    write_split(folder, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", test, classes, noise,
                &r);
}
