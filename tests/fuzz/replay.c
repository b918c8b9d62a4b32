/* replay.c - runs a fuzzer over every file of a folder: the committed corpus as a test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include <dirent.h>

int main(int argc, char **argv) {
    int count = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        char path[4096], *bytes;
        size_t size;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        if (file_read(fuzz_ctx(), path, 1 << 20, &bytes, &size) != LENS_OK) {
            fprintf(stderr, "%s\n", lens_why(fuzz_ctx()));
            return 1;
        }
        uint8_t *copy = malloc(size ? size : 1); /* no terminator behind it, for the sanitizers */
        if (!copy) return 1;
        for (size_t i = 0; i < size; i++) copy[i] = (uint8_t)bytes[i];
        ctx_free(fuzz_ctx(), bytes);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
        count++;
    }
    closedir(dir);
    lens_ctx_free(fuzz_ctx());
    printf("%s: %d inputs\n", argv[1], count);
    return count ? 0 : 1;
}
