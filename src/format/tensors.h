/* tensors.h - a file of named tensors, whatever its format: safetensors, or what torch.save writes.
 * The content decides which, never the ending of the name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_TENSORS_H
#define FORMAT_TENSORS_H

#include "format/safetensors.h"

typedef struct tensor_file tensor_file;

/* Maps the file; nothing in it is copied. Fails as st_parse and pth_parse do, and with LENS_BAD_FILE
 * and the cause for what is often taken for a model: an empty file, a web page, a Git LFS pointer,
 * other text. */
lens_status tensors_open(lens_ctx *, tensor_file **out, const char *path);

/* From memory, which must stay until tensors_close. */
lens_status tensors_parse(lens_ctx *, tensor_file **out, const void *bytes, size_t size,
                          const char *name);
void tensors_close(tensor_file *); /* NULL is fine */

/* As in safetensors.h; a PyTorch file has no metadata. */
size_t tensors_count(const tensor_file *);
const st_tensor *tensors_at(const tensor_file *, size_t index);
const st_tensor *tensors_find(const tensor_file *, const char *name);
size_t tensors_meta_count(const tensor_file *);
st_pair tensors_meta_at(const tensor_file *, size_t index);
const char *tensors_meta(const tensor_file *, const char *key);

/* The same tensors and metadata as .safetensors, types kept. Fails as st_write does. */
lens_status tensors_write(const tensor_file *, const char *path);

#endif
