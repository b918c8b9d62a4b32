/* comma.c - see comma.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/comma.h"
#include "support/tempdir.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static bool set(void) {
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8" };
    for (int i = 0; i < 2; i++)
        if (setlocale(LC_NUMERIC, names[i])) return localeconv()->decimal_point[0] == ',';
    return false;
}

/* The C library keeps a locale once it is loaded, so the folder may go again at once. */
static bool set_compiled(void) {
    char folder[TEMPDIR_PATH], command[2 * TEMPDIR_PATH];
    tempdir_make(folder);
    snprintf(command, sizeof command, "localedef -c -i de_DE -f UTF-8 '%s/de_DE.UTF-8' 2>/dev/null",
             folder);
    int unused = system(command); /* it also fails for mere warnings: setlocale is the judge */
    (void)unused;
    setenv("LOCPATH", folder, 1);
    bool done = set();
    unsetenv("LOCPATH");
    tempdir_remove(folder);
    return done;
}

bool comma_begin(void) { return set() || set_compiled(); }
void comma_end(void) { setlocale(LC_NUMERIC, "C"); }
