/* fuzz_npy.c - NumPy arrays.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/npy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    lens_tensor t;
    lens_status status = npy_decode(fuzz_ctx(), &t, bytes, size, "fuzz");
    if (status == LENS_OK) {
        int64_t count = lens_tensor_count(&t);
        volatile float sum = 0;
        if (count < 0 || (size_t)count > size) abort();
        for (int64_t i = 0; i < count; i++) sum += t.data[i];
        lens_free(fuzz_ctx(), t.data);
    }
    return fuzz_end(status);
}
