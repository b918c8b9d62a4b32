/* test_exports.c - the shared library from outside: what it offers, what it asks for, how big it is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY TEST_BUILD_DIR "/liblenslet.so"

/* Calls `each` with every line that `command` prints; returns how many there were. */
static int each_line(const char *command, void (*each)(char *line)) {
    char line[512];
    int count = 0;
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    for (; fgets(line, sizeof line, pipe); count++) {
        line[strcspn(line, "\n")] = 0;
        if (each) each(line);
    }
    assert_int_equal(pclose(pipe), 0);
    return count;
}

/* "0000000000003040 T lens_ctx_free" */
static void is_ours(char *line) {
    const char *name = strrchr(line, ' ');
    assert_non_null(name);
    if (strncmp(name + 1, "lens_", 5)) fail_msg("exported: %s", line);
}

/* "                 U abort@GLIBC_2.2.5". Asserts stay, for our own bugs. */
static void is_polite(char *line) {
    static const char *const rude[] = { "exit",   "_exit",  "_Exit",   "quick_exit", "abort",
                                        "raise",  "printf", "vprintf", "puts",       "putchar",
                                        "perror", "stdout", "stderr",  "stdin",      "setlocale",
                                        "srand",  "signal", "chdir",   "umask",      "setenv" };
    char *name = strrchr(line, ' ');
    assert_non_null(name);
    name[strcspn(name, "@")] = 0;
    for (size_t i = 0; i < sizeof rude / sizeof *rude; i++)
        if (!strcmp(name + 1, rude[i])) fail_msg("the library uses %s", rude[i]);
}

static void only_its_own_names_are_exported(void **state) {
    (void)state;
    assert_true(each_line("nm -D --defined-only " LIBRARY, is_ours) > 50);
}

static void it_cannot_print_exit_or_change_the_process(void **state) {
    (void)state;
    assert_true(each_line("nm -D --undefined-only " LIBRARY, is_polite) > 10);
}

static void it_carries_its_soname(void **state) {
    (void)state;
    assert_int_equal(each_line("readelf -d " LIBRARY " | grep 'SONAME.*liblenslet.so.0'", NULL), 1);
}

static void it_is_small(void **state) {
    (void)state;
    struct stat st;
    char path[] = "/tmp/lenslet-stripped-XXXXXX";
    char command[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof command, "strip -o %s " LIBRARY, path);
    int status = system(command);
    int got = stat(path, &st); /* strip may have put a new file in its place */
    remove(path);
    assert_int_equal(status, 0);
    assert_int_equal(got, 0);
#ifdef __clang__
    enum { MOST = 1600000 }; /* unrolls more */
#else
    enum { MOST = 1500000 };
#endif
    assert_true(st.st_size > 0 && st.st_size <= MOST);
}

static const struct CMUnitTest tests[] = {
    T("only its own names are exported", only_its_own_names_are_exported),
    T("it cannot print, exit or change the process", it_cannot_print_exit_or_change_the_process),
    T("it carries its soname", it_carries_its_soname),
    T("it is small", it_is_small),
};

TEST_MAIN(tests)
