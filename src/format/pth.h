/* pth.h - the tensors of a file written by PyTorch's torch.save (.pth, .pt, .th).
 *
 * The zip form (since PyTorch 1.6): an archive with
 *     NAME/data.pkl     a pickle of everything but the numbers
 *     NAME/byteorder    "little" (since 2.1; little is assumed)
 *     NAME/data/KEY     the numbers of one storage
 * The stream form: pickles one after the other - the magic number, the protocol 1001, sys_info, the
 * object, the list of its storages' keys - and then each storage: its count (8 bytes), its numbers.
 *
 * What is loaded may be a state_dict or a checkpoint that holds one; entries that are no tensors
 * (optimiser, epoch, ...) are left out and told to the log at debug level.
 *
 * Invariant: a file that opens is whole in what it gives: every tensor lies inside its storage, and
 * every storage of a tensor has exactly the size that the pickle claims. Nothing of the pickle is
 * executed (pickle.h). Numbers stay where they are; strides are kept.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_PTH_H
#define FORMAT_PTH_H

#include "format/safetensors.h"

typedef struct pth_file pth_file;

/* Whether the bytes begin as either form does. */
bool pth_is(const void *bytes, size_t size);

/* `bytes` must stay until pth_close. The prefix "module." (of DataParallel) or "_orig_mod." (of
 * torch.compile) is taken off if every name has it. LENS_BAD_FILE: anything the invariant forbids,
 * with the byte or tensor; two tensors of one name; no state_dict; LENS_UNSUPPORTED: names of Python
 * that no tensor needs (whole models, NumPy values, ...), big-endian files, rank above ST_MAX_RANK,
 * expanded tensors (more elements than their storage); LENS_NOMEM. */
lens_status pth_parse(lens_ctx *, pth_file **out, const void *bytes, size_t size, const char *name);
void pth_close(pth_file *); /* NULL is fine */

/* In the order of the state_dict. Pointers are valid until pth_close. */
size_t pth_count(const pth_file *);
const st_tensor *pth_at(const pth_file *, size_t index);
const st_tensor *pth_find(const pth_file *, const char *name); /* NULL: no such tensor */

#endif
