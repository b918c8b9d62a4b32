/* tensor.c - counting, printing and re-ordering; no arithmetic beyond copies.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lenslet/tensor.h>

#include <stdio.h>

int64_t lens_tensor_count(const lens_tensor *t) {
    int64_t most = PTRDIFF_MAX / (int64_t)sizeof(float), count = 1;
    if (t->rank < 0 || t->rank > LENS_MAX_RANK) return -1;
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] < 0) return -1;
        if (t->dim[i] == 0) count = 0;
    }
    for (int i = 0; i < t->rank && count; i++) {
        if (t->dim[i] > most / count) return -1;
        count *= t->dim[i];
    }
    return count;
}

const char *lens_tensor_shape(const lens_tensor *t, char buf[96]) {
    size_t used = 0;
    if (t->rank < 0 || t->rank > LENS_MAX_RANK) {
        snprintf(buf, 96, "rank %d", t->rank);
        return buf;
    }
    snprintf(buf, 96, "scalar");
    for (int i = 0; i < t->rank && used < 96; i++) /* four numbers of 20 digits always fit */
        used +=
            (size_t)snprintf(buf + used, 96 - used, "%s%lld", i ? "x" : "", (long long)t->dim[i]);
    return buf;
}

void lens_hwc_to_chw(const float *restrict src, float *restrict dst, int c, int h, int w) {
    size_t plane = (size_t)h * (size_t)w, channels = (size_t)c;
    for (size_t k = 0; k < channels; k++)
        for (size_t i = 0; i < plane; i++) dst[k * plane + i] = src[i * channels + k];
}

void lens_chw_to_hwc(const float *restrict src, float *restrict dst, int c, int h, int w) {
    size_t plane = (size_t)h * (size_t)w, channels = (size_t)c;
    for (size_t i = 0; i < plane; i++)
        for (size_t k = 0; k < channels; k++) dst[i * channels + k] = src[k * plane + i];
}
