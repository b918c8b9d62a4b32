/* test_complete.c - what must not be forgotten when an operator or a network is added.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/zoo.h>

#include "op/op.h"

#include <ctype.h>
#include <glob.h>

/* The whole file; the test frees it. */
static char *slurp(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = calloc((size_t)size + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    return text;
}

/* As a word of its own: "conv2d" is not in "conv2d_opts" nor "xconv2d", but in "lens_conv2d(". */
static bool has_word(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++) {
        char after = at[length], before = at == text ? ' ' : at[-1];
        if (!isalnum((unsigned char)after) && after != '_' && !isalnum((unsigned char)before))
            return true;
    }
    return false;
}

static bool in_some_file(const char *pattern, const char *word) {
    glob_t found;
    bool seen = false;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc && !seen; i++) {
        char *text = slurp(found.gl_pathv[i]);
        seen = has_word(text, word);
        free(text);
    }
    globfree(&found);
    return seen;
}

static void every_operator_is_whole(void **state) {
    (void)state;
    char *header = slurp(TEST_SOURCE_DIR "/include/lenslet/net.h");
    for (const op_kind *const *k = op_kinds; *k; k++) {
        const op_kind *kind = *k;
        char word[128];
        if (!kind->formula || !kind->formula[0]) fail_msg("%s has no formula", kind->name);
        if (!(kind->flags & (OP_ALIAS | OP_IS_SUM)) && kind->min_inputs &&
            !(kind->forward && kind->backward))
            fail_msg("%s lacks a forward or a backward", kind->name);

        snprintf(word, sizeof word, "lens_%s(", kind->name);
        if (!strstr(header, word)) fail_msg("%s has no builder in net.h", kind->name);
        if (!in_some_file(TEST_SOURCE_DIR "/tests/test_*.c", kind->name))
            fail_msg("no test names %s", kind->name);
    }
    free(header);
}

static void every_net_says_where_it_comes_from(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    assert_true(lens_zoo_count() > 0);
    for (int i = 0; i < lens_zoo_count(); i++) {
        const lens_zoo_entry *entry = lens_zoo_at(i);
        lens_net *net = NULL;
        assert_true(entry->what[0] && entry->paper[0]);
        if (!in_some_file(TEST_SOURCE_DIR "/tests/test_*.c", entry->name))
            fail_msg("no test names the net %s", entry->name);
        assert_ok(ctx, lens_zoo_new(ctx, &net, entry->name, NULL));
        assert_true(lens_net_parameters(net) > 0);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("every operator has formula, builder, both passes and a test", every_operator_is_whole),
    T("every net of the zoo has a source and a test", every_net_says_where_it_comes_from),
};

TEST_MAIN(tests)
