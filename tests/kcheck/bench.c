#include "tests/kcheck/kcheck.h"
int bench_run(const struct kern *const *levels, int count, const char *const *files, int n) {
    (void)levels;
    (void)count;
    (void)files;
    (void)n;
    return 0;
}
