/* test_guide.c - the guide: its commands say what it says there, and it says what is left out and why.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

static void commands_say_what_the_guide_says(void **state) {
    (void)state;
    assert_int_equal(system("sh " TEST_SOURCE_DIR "/tools/check_guide.sh " TEST_BUILD_DIR " >&2"),
                     0);
}

/* Both languages have the line that answers a question of the tutorials. */
static void answers(const char *english, const char *chinese) {
    const char *const want[] = { english, chinese };
    static const char *const page[] = { TEST_SOURCE_DIR "/docs/guide/en.md",
                                        TEST_SOURCE_DIR "/docs/guide/zh.md" };
    for (int i = 0; i < 2; i++) {
        char line[2048];
        int found = 0;
        FILE *file = fopen(page[i], "r");
        assert_non_null(file);
        while (fgets(line, sizeof line, file)) found += strstr(line, want[i]) != NULL;
        fclose(file);
        if (!found) fail_msg("%s does not say \"%s\"", page[i], want[i]);
    }
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

int main(void) {
    const struct CMUnitTest tests[] = {
        T("every command of the guide", commands_say_what_the_guide_says),
        T("[H14][N5] the guide on scenes and captions", scenes_and_captions),
        T("[J21] the guide on annealing", annealing),
        T("[Q17] the guide on learning before deep learning", what_came_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
