/* test_guide.c - the guide: its commands say what it says there, and it says what is left out and why; figures of the
 * READMEs, families of the glossary.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/zoo.h>

static void commands_say_what_the_guide_says(void **state) {
    (void)state;
    assert_int_equal(system("sh " TEST_SOURCE_DIR "/tools/check_guide.sh " TEST_BUILD_DIR " >&2"),
                     0);
}

/* The line of a page that has this text; the test fails if there is none. */
static char *line_with(const char *page, const char *text, char line[2048]) {
    char path[512];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s", TEST_SOURCE_DIR, page);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (!found && fgets(line, 2048, file)) found = strstr(line, text);
    fclose(file);
    if (!found) fail_msg("%s does not say \"%s\"", page, text);
    return line;
}

/* Both languages have the line that answers a question of the tutorials. */
static void answers(const char *english, const char *chinese) {
    char line[2048];
    line_with("docs/guide/en.md", english, line);
    line_with("docs/guide/zh.md", chinese, line);
}

static void scenes_and_captions(void **state) {
    (void)state;
    answers("two systems; lenslet is the first", "两套系统；lenslet 是前一套");
}

static void annealing(void **state) {
    (void)state;
    answers("is the annealing that matters", "就是这里所说的退火");
}

static void what_came_before(void **state) {
    (void)state;
    answers("Before, people wrote the kernels", "从前由人写出卷积核");
}

static double number_before(const char *line, const char *text) {
    const char *at = strstr(line, text);
    assert_non_null(at);
    while (at > line && strchr("0123456789. ", at[-1])) at--;
    return atof(at);
}

/* The rate in both READMEs belongs to its pictures a second: three passes of LeNet-5's 416,520 MACs. */
static void speed_of_small_nets(void **state) {
    (void)state;
    static const char *const page[] = { "README.md", "README.zh-CN.md" };
    for (int i = 0; i < 2; i++) {
        char line[2048];
        line_with(page[i], "GMAC/s", line);
        assert_near(number_before(line, "GMAC/s"),
                    1e3 * number_before(line, ",000") * 3 * 416520 * 1e-9, 1);
    }
}

/* Every net of the zoo belongs to an architecture of the glossary's table. */
static void architectures(void **state) {
    (void)state;
    for (int i = 0; i < lens_zoo_count(); i++) {
        char family[64], line[2048];
        const char *name = lens_zoo_at(i)->name;
        snprintf(family, sizeof family, "`%.*s", (int)strcspn(name, "-_0123456789"), name);
        if (*line_with("docs/glossary.md", family, line) != '|')
            fail_msg("%s: not in the table of architectures", name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("every command of the guide", commands_say_what_the_guide_says),
        T("[H14][N5] the guide on scenes and captions", scenes_and_captions),
        T("[J21] the guide on annealing", annealing),
        T("[P6] the READMEs on small nets on a CPU", speed_of_small_nets),
        T("[Q19] the glossary has the architecture of every net", architectures),
        T("[Q17] the guide on learning before deep learning", what_came_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
