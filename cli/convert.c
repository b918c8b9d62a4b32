/* convert.c - lenslet convert: one file format into another.
 *
 * A format is a line of the table: the ending of the output and the function that writes it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <string.h>
#include <unistd.h>

/* A failure to write is not the input's fault. */
static int converted(cli *c, const char *in, lens_status status) {
    bool writing = status == LENS_IO && access(in, R_OK) == 0;
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, writing ? WORKING : READING);
}

/* A whole net, through one of the library's functions. */
static int write_net(cli *c, const char *in, const char *out,
                     lens_status (*write)(const lens_net *, const char *)) {
    model m = { 0 };
    int status = open_argument(c, &m, in);
    if (status == EXIT_DONE) {
        lens_status written = write(m.net, out);
        if (written != LENS_OK) status = fail_status(c, written, WORKING);
    }
    close_model(&m);
    return status;
}

static int write_tensors(cli *c, const char *in, const char *out) {
    if (lens_zoo_find(in) || has_ending(in, ".txt") || has_ending(in, ".net"))
        return fail(c, EXIT_USAGE, "%s is a net without weights, but %s is to hold weights", in,
                    out);
    if (has_ending(in, ".onnx")) return write_net(c, in, out, lens_net_save);
    return converted(c, in, lens_weights_convert(c->ctx, in, out));
}

static int write_text(cli *c, const char *in, const char *out) {
    return write_net(c, in, out, lens_net_save_text);
}

static int write_onnx(cli *c, const char *in, const char *out) {
    return write_net(c, in, out, lens_net_export_onnx);
}

static const struct {
    const char *ending, *name;
    int (*write)(cli *, const char *in, const char *out);
} formats[] = {
    { ".safetensors", "safetensors", write_tensors },
    { ".onnx", "ONNX", write_onnx },
    { ".txt", "net text", write_text },
    { ".net", "net text", write_text },
};

int run_convert(cli *c) {
    const char *in = c->operand[0], *out = c->operand[1];
    size_t count = sizeof formats / sizeof *formats, k = 0;
    while (k < count && !has_ending(out, formats[k].ending)) k++;
    if (k == count)
        return fail(c, EXIT_USAGE,
                    "%s: the ending names no format that can be written: "
                    ".safetensors, .onnx, .txt or .net is expected",
                    out);
    if (!strcmp(in, out)) return fail(c, EXIT_USAGE, "%s would be written over itself", in);
    int status = formats[k].write(c, in, out);
    if (status) return status;
    if (!c->json) printf("%s  %s\n", out, formats[k].name);
    return emit(c, json_pack("{s:o,s:o,s:s}", "in", json_text(in), "out", json_text(out), "format",
                             formats[k].name));
}
