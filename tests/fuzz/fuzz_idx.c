/* fuzz_idx.c - IDX, plain and gzip.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/idx.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { CAP = 1 << 16 };
    idx a;
    lens_status status = idx_decode(fuzz_ctx(), &a, bytes, size, "fuzz", CAP);
    if (status == LENS_OK) {
        size_t count = 1;
        for (int i = 0; i < a.rank; i++) count *= (size_t)a.dim[i];
        if (count != a.size || count > CAP) abort();
        ctx_free(fuzz_ctx(), a.data);
    }
    return fuzz_end(status);
}
