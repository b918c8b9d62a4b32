/* comma.h - a locale with a decimal comma, for tests that numbers ignore it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_COMMA_H
#define TESTS_SUPPORT_COMMA_H

#include <stdbool.h>

/* Sets LC_NUMERIC to a locale that writes 1,5: an installed one, else one compiled for the occasion
 * by localedef (Debian: locales). False, and nothing set, where neither is to be had. */
bool comma_begin(void);
void comma_end(void); /* back to "C" */

#endif
