/* name.c - the name of a table, for callers that must not see inside one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern/kern.h"

const char *kern_name(const struct kern *);

const char *kern_name(const struct kern *k) { return k->name; }
