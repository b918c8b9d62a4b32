/* map.h - a whole file as read-only memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_MAP_H
#define FORMAT_MAP_H

#include "base/base.h"

typedef struct file_map {
    const uint8_t *bytes; /* NULL: an empty file */
    size_t size;
} file_map;

/* LENS_IO names path and errno; LENS_BAD_FILE: not a regular file. A file that another program cuts
 * short while it is mapped makes the operating system end the process on access: replace files by
 * renaming. */
lens_status map_open(lens_ctx *, file_map *, const char *path);
void map_close(file_map *);

#endif
