/* words.c - everything a figure says, in English and Chinese: the one table.
 *
 * Invariant: both texts of a row have the same printf conversions in the same order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"
#include <string.h>

static const struct {
    const char *english, *chinese;
} words[] = {
    { "back", "后退" },
    { "pause", "暂停" },
    { "play", "播放" },
    { "step", "前进" },
};

const char *lens_word(lens_lang lang, const char *english) {
    for (size_t i = 0; lang == LENS_LANG_ZH && i < LENS_COUNT(words); i++)
        if (!strcmp(words[i].english, english)) return words[i].chinese;
    return english;
}
