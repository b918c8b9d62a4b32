/* fuzz_onnx.c - a model that opens can be read from end to end, and a net that comes of it is whole.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "net/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    lens_ctx *ctx = fuzz_ctx();
    onnx_file *file;
    lens_net *net = NULL;
    lens_status status = onnx_parse(ctx, &file, bytes, size, "fuzz");
    if (status == LENS_OK) {
        status = net_from_onnx(ctx, &net, onnx_description(file), "fuzz");
        char *text = NULL;
        if (status == LENS_OK && lens_net_text(net, &text) != LENS_OK) abort();
        ctx_free(ctx, text);
        lens_net_free(net);
    }
    onnx_close(file);
    return fuzz_end(status);
}
