/* map.c - see map.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

lens_status map_open(lens_ctx *ctx, file_map *m, const char *path) {
    struct stat s;
    lens_status status = LENS_OK;
    *m = (file_map){ 0 };
    /* O_NONBLOCK: opening a pipe nobody writes to must not hang before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s) != 0) {
        status = ctx_fail(ctx, LENS_IO, "%s: cannot open: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(s.st_mode)) {
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: not a regular file", path);
        goto done;
    }
    if (s.st_size == 0) goto done; /* nothing can be mapped */
    void *bytes = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        status = ctx_fail(ctx, LENS_IO, "%s: cannot map: %s", path, strerror(errno));
        goto done;
    }
    *m = (file_map){ bytes, (size_t)s.st_size };

done:
    if (fd >= 0) close(fd);
    return status;
}

void map_close(file_map *m) {
    if (m->bytes) munmap((void *)m->bytes, m->size);
    *m = (file_map){ 0 };
}
