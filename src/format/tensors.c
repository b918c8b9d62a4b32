/* tensors.c - see tensors.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/tensors.h"
#include "format/map.h"
#include "format/mistake.h"
#include "format/pth.h"

#include <string.h>

struct tensor_file {
    lens_ctx *ctx;
    file_map map; /* empty: the bytes are not ours */
    st_file *st;  /* one of the two */
    pth_file *pth;
};

/* What a person may have saved by mistake under a model's name; NULL: none of that. */
static const char *mistake(const uint8_t *bytes, size_t size) {
    const char *known = mistake_of(bytes, size);
    const size_t enough = size < 512 ? size : 512;
    size_t printable = 0;
    if (known) return known;
    while (printable < enough && (bytes[printable] >= 32 || strchr("\t\r\n\f", bytes[printable])) &&
           bytes[printable])
        printable++;
    return printable == enough ? "text, not a file of tensors" : NULL;
}

lens_status tensors_parse(lens_ctx *ctx, tensor_file **out, const void *data, size_t size,
                          const char *name) {
    const uint8_t *bytes = data;
    *out = NULL;
    if (size == 0) return ctx_fail(ctx, LENS_BAD_FILE, "%s: the file is empty", name);
    bool safetensors = size > 8 && bytes[8] == '{';
    const char *wrong = safetensors ? NULL : mistake(bytes, size);
    if (wrong) return ctx_fail(ctx, LENS_BAD_FILE, "%s: this is %s", name, wrong);
    tensor_file *f = ctx_alloc(ctx, 1, sizeof *f);
    if (!f) return LENS_NOMEM;
    f->ctx = ctx;
    lens_status status = !safetensors && pth_is(bytes, size)
                             ? pth_parse(ctx, &f->pth, bytes, size, name)
                             : st_parse(ctx, &f->st, bytes, size, name);
    if (status == LENS_OK)
        *out = f;
    else
        tensors_close(f);
    return status;
}

lens_status tensors_open(lens_ctx *ctx, tensor_file **out, const char *path) {
    file_map map;
    *out = NULL;
    LENS_TRY(map_open(ctx, &map, path));
    lens_status status = tensors_parse(ctx, out, map.bytes, map.size, path);
    if (status == LENS_OK)
        (*out)->map = map;
    else
        map_close(&map);
    return status;
}

void tensors_close(tensor_file *f) {
    if (!f) return;
    st_close(f->st);
    pth_close(f->pth);
    map_close(&f->map);
    ctx_free(f->ctx, f);
}

size_t tensors_count(const tensor_file *f) { return f->st ? st_count(f->st) : pth_count(f->pth); }

const st_tensor *tensors_at(const tensor_file *f, size_t index) {
    return f->st ? st_at(f->st, index) : pth_at(f->pth, index);
}

const st_tensor *tensors_find(const tensor_file *f, const char *name) {
    return f->st ? st_find(f->st, name) : pth_find(f->pth, name);
}

size_t tensors_meta_count(const tensor_file *f) { return f->st ? st_meta_count(f->st) : 0; }
st_pair tensors_meta_at(const tensor_file *f, size_t index) { return st_meta_at(f->st, index); }

const char *tensors_meta(const tensor_file *f, const char *key) {
    return f->st ? st_meta(f->st, key) : NULL;
}

lens_status tensors_write(const tensor_file *f, const char *path) {
    size_t count = tensors_count(f), words = tensors_meta_count(f);
    st_tensor *tensor = ctx_alloc(f->ctx, count + 1, sizeof *tensor);
    st_pair *meta = ctx_alloc(f->ctx, words + 1, sizeof *meta);
    lens_status status = LENS_NOMEM;
    if (tensor && meta) {
        for (size_t i = 0; i < count; i++) tensor[i] = *tensors_at(f, i);
        for (size_t i = 0; i < words; i++) meta[i] = tensors_meta_at(f, i);
        status = st_write(f->ctx, path, tensor, count, meta, words);
    }
    ctx_free(f->ctx, tensor);
    ctx_free(f->ctx, meta);
    return status;
}
