/* mistake.h - what a person may have saved under another thing's name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_MISTAKE_H
#define FORMAT_MISTAKE_H

#include <stddef.h>
#include <stdint.h>

/* The end of a sentence that begins "this is": a web page, a Git LFS pointer, a GIF, ..., known by the
 * first bytes; NULL: none of them. */
const char *mistake_of(const uint8_t *bytes, size_t size);

#endif
