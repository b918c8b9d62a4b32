/* fuzz_pth.c - what torch.save writes, both forms: a file that opens can be read from end to end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/pth.h"
#include "fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    pth_file *f;
    lens_status status = pth_parse(fuzz_ctx(), &f, bytes, size, "fuzz");
    if (status == LENS_OK) {
        volatile float sum = 0;
        float value;
        for (size_t i = 0; i < pth_count(f); i++) {
            const st_tensor *t = pth_at(f, i);
            if (pth_find(f, t->name) != t || strlen(t->name) > size) abort();
            if ((size_t)t->count > size) abort();
            for (int64_t k = 0; k < t->count; k++) {
                st_to_float(t, k, 1, &value);
                sum += value;
            }
        }
        pth_close(f);
    }
    return fuzz_end(status);
}
