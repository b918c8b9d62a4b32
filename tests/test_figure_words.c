/* test_figure_words.c - figures: letters, lines and translations.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/figures.h"

static void glyphs_within_advance(void **state) {
    (void)state;
    for (uint32_t c = 32; c < 127; c++) {
        char text[2] = { (char)c, 0 };
        double regular = fig_measure(text, 100, false), bold = fig_measure(text, 100, true);
        assert_true(regular >= 20 && regular <= 100);
        assert_true(bold > regular);
        assert_near(fig_measure(text, 12, false), regular * 0.12, 1e-9);
    }
    assert_near(fig_measure("ab", 12, false),
                fig_measure("a", 12, false) + fig_measure("b", 12, false), 1e-9);
    /* Digits are of one width, so that columns of numbers align. */
    for (char d = '1'; d <= '9'; d++)
        assert_near(fig_measure((char[]){ d, 0 }, 10, false), fig_measure("0", 10, false), 1e-9);
}

/* A text first shrinks to fit, to FIG_TINY at the least, and is cut only then. */
static void text_kept_to_its_room(void **state) {
    (void)state;
    static const char text[] = "a label of some length";
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig;
    lens_figure_opts use;
    assert_ok(ctx, fig_begin(ctx, &fig, NULL, &use));
    fig_font font = { .size = FIG_LABEL };
    double full = fig_measure(text, FIG_LABEL, false);
    fig_text_in(fig, "whole", 0, 0, full, font, text);
    fig_text_in(fig, "shrunk", 0, 0, 0.8 * full, font, text);
    fig_text_in(fig, "cut", 0, 0, 0.4 * full, font, text);
    fig_text_in(fig, "none", 0, 0, 1, font, text);
    const fig_prim *whole = nth(fig, "whole", 0), *shrunk = nth(fig, "shrunk", 0),
                   *cut = nth(fig, "cut", 0);
    assert_near(whole->font.size, FIG_LABEL, 0);
    assert_string_equal(shrunk->text, text);
    assert_true(shrunk->font.size >= FIG_TINY && shrunk->w <= 0.8 * full);
    assert_near(cut->font.size, FIG_TINY, 0);
    assert_true(cut->w <= 0.4 * full && cut->w > 0.3 * full);
    size_t kept = strlen(cut->text) - 3;
    assert_memory_equal(cut->text, text, kept);
    assert_string_equal(cut->text + kept, "\xe2\x80\xa6");
    assert_int_equal(count_role(fig, "none"), 0);

    /* Wrapping: no line is wider than its room, and no word is lost. */
    size_t first = fig->count;
    double below = fig_wrapped(fig, 0, 100, 60, font, "one two  threefourfivesixseveneight\nnine");
    char joined[64] = "";
    for (size_t i = first; i < fig->count; i++) {
        assert_true(fig->prim[i].w <= 60);
        strcat(joined, fig->prim[i].text);
        strcat(joined, "|");
    }
    assert_string_equal(joined, "one two|threefourfi|vesixseven|eight|nine|");
    assert_near(below, 100 + 5 * FIG_LABEL * 1.35, 1e-9);
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

static void utf8_decoding(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t code;
        int length;
    } cases[] = {
        { "A", 'A', 1 },
        { "\xc3\x97", 0xd7, 2 },
        { "\xe5\x8d\xb7", 0x5377, 3 },
        { "\xf0\x9f\x98\x80", 0x1f600, 4 },
        { "\x01", 0xfffd, 1 },
        { "\xff", 0xfffd, 1 },
        { "\xc0\x80", 0xfffd, 1 },         /* overlong */
        { "\xe5\x8d", 0xfffd, 1 },         /* cut short */
        { "\xed\xa0\x80", 0xfffd, 1 },     /* surrogate */
        { "\xf4\x90\x80\x80", 0xfffd, 1 }, /* beyond Unicode */
    };
    for (size_t i = 0; i < LENS_COUNT(cases); i++) {
        const char *s = cases[i].bytes;
        assert_int_equal(fig_utf8(&s), cases[i].code);
        assert_int_equal(s - cases[i].bytes, cases[i].length);
    }
}

/* Words and frames --------------------------------------------------------------------------------- */

/* The conversions of a printf format, one after the other. */
static void conversions(const char *format, char out[64]) {
    size_t n = 0;
    for (const char *s = format; *s; s++) {
        if (*s != '%') continue;
        size_t length = strcspn(s + 1, "dsgfzu%") + 2;
        if (s[1] == 'z' || s[1] == 'l') length = strcspn(s + 1, "du") + 2;
        assert_true(n + length < 64);
        memcpy(out + n, s, length);
        n += length;
        s += length - 1;
    }
    out[n] = 0;
}

/* The next C string literal, with its neighbours that the compiler joins; false: none. Escapes become
 * their bytes. */
static bool literal(const char **at, char out[1024]) {
    const char *s = *at;
    size_t n = 0;
    if (*s != '"') return false;
    while (*s == '"') {
        for (s++; *s != '"'; s++) {
            char c = *s;
            if (c == '\\') {
                s++;
                c = *s == 'n' ? '\n' : *s;
                if (*s == 'x') {
                    c = (char)strtol((char[]){ s[1], s[2], 0 }, NULL, 16);
                    s += 2;
                }
            }
            assert_true(n < 1023);
            out[n++] = c;
        }
        s++;
        s += strspn(s, " \n");
    }
    out[n] = 0;
    *at = s;
    return true;
}

/* Every text that the sources ask a translation of has one, with the same conversions in the same order. */
static void every_word_is_translated(void **state) {
    (void)state;
    static const char *const files[] = { "src/figure/arch.c",
                                         "src/figure/bars.c",
                                         "src/figure/confusion.c",
                                         "src/figure/curves.c",
                                         "src/figure/filters.c",
                                         "src/figure/frames.c",
                                         "src/figure/gallery.c",
                                         "src/figure/maps.c",
                                         "src/figure/panels.c",
                                         "src/figure/tile.c",
                                         "cli/plot.c",
                                         "cli/plot_conv.c",
                                         "cli/plot_model.c",
                                         "cli/plot_invariance.c",
                                         "cli/kernel.c",
                                         "cli/filter.c" };
    static const char *const calls[] = { "fig_say(",   "fig_note(", "fig_printf(",
                                         "lens_word(", "word(c, ",  "button(out, fig, " };
    int found = 0;
    for (size_t f = 0; f < LENS_COUNT(files); f++) {
        char path[512], english[1024], a[64], b[64];
        snprintf(path, sizeof path, "%s/%s", TEST_SOURCE_DIR, files[f]);
        char *text = slurp(path);
        for (size_t k = 0; k < LENS_COUNT(calls); k++)
            for (const char *s = text; (s = strstr(s, calls[k]));) {
                s += strlen(calls[k]);
                /* All literals of the call: both sides of a choice. */
                for (int depth = 1; depth > 0 && *s; s++) {
                    if (*s == '(') depth++;
                    if (*s == ')') depth--;
                    if (!literal(&s, english)) continue;
                    s--;
                    if (strcmp(calls[k], "button(out, fig, ") == 0 && !strcmp(english, "back"))
                        continue;
                    const char *chinese = lens_word(LENS_LANG_ZH, english);
                    found++;
                    if (chinese == english &&
                        strspn(english, "%.0123456789fgs-") != strlen(english))
                        fail_msg("%s: \"%s\" has no Chinese", files[f], english);
                    conversions(english, a);
                    conversions(chinese, b);
                    if (strcmp(a, b) != 0)
                        fail_msg("\"%s\" has %s but \"%s\" %s", english, a, chinese, b);
                }
            }
        free(text);
    }
    assert_true(found > 120);
    assert_string_equal(lens_word(LENS_LANG_EN, "kernel"), "kernel");
    assert_string_equal(lens_word(LENS_LANG_ZH, "no such text"), "no such text");
}

/* Wide characters take an em; lines break between them, but not before what closes a phrase. */
static void chinese_widths_and_lines(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(1);
    lens_figure *fig = NULL;
    lens_figure_opts use;
    assert_near(fig_measure("\xe5\x8d\xb7\xe7\xa7\xaf", 12, false), 24, 1e-9);
    assert_near(fig_measure("\xef\xbc\x8c", 10, false), 10, 1e-9);
    assert_ok(ctx, fig_begin(ctx, &fig, NULL, &use));
    /* Five characters, the fourth a comma; room for three: the comma takes its neighbour along. */
    fig_wrapped(fig, 0, 0, 36, (fig_font){ .size = 12 },
                "\xe5\x8d\xb7\xe7\xa7\xaf\xe6\xa0\xb8\xef\xbc\x8c\xe6\xad\xa5");
    assert_int_equal(fig->count, 2);
    assert_string_equal(fig->prim[0].text, "\xe5\x8d\xb7\xe7\xa7\xaf");
    assert_string_equal(fig->prim[1].text, "\xe6\xa0\xb8\xef\xbc\x8c\xe6\xad\xa5");
    lens_figure_free(fig);
    lens_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("widths of letters", glyphs_within_advance),
        T("text shrinks, then is cut; long text is wrapped", text_kept_to_its_room),
        T("UTF-8 decoding", utf8_decoding),
        T("every text of figures has its Chinese", every_word_is_translated),
        T("widths and lines of Chinese text", chinese_widths_and_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
