/* tempdir.c - see tempdir.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/tempdir.h"
#include "test.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

void tempdir_make(char path[TEMPDIR_PATH]) {
    const char *base = getenv("TMPDIR");
    if (!base || !*base) base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(path, TEMPDIR_PATH, "%s/lenslet-test-XXXXXX", base);
    if (!mkdtemp(path)) fail_msg("%s: no folder can be made", path);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

void tempdir_remove(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

int tempdir_count(const char *path) {
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return count;
}
