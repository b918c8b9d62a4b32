/* fuzz_safetensors.c - a file that opens can be read from end to end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors.h"
#include "fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    st_file *f;
    lens_status status = st_parse(fuzz_ctx(), &f, bytes, size, "fuzz");
    if (status == LENS_OK) {
        volatile float sum = 0;
        float value;
        for (size_t i = 0; i < st_count(f); i++) {
            const st_tensor *t = st_at(f, i);
            if (st_find(f, t->name) != t) abort();
            if ((size_t)t->count > size) abort();
            for (int64_t k = 0; k < t->count; k++) {
                st_to_float(t, k, 1, &value);
                sum += value;
            }
        }
        for (size_t i = 0; i < st_meta_count(f); i++) {
            st_pair pair = st_meta_at(f, i);
            if (strcmp(st_meta(f, pair.key), pair.value) != 0) abort();
        }
        st_close(f);
    }
    return fuzz_end(status);
}
