/* nettext.h - the text form of a network, to and from a plain description.
 *
 *     # comment to the end of the line
 *     net lenet5                                  optional, before the layers
 *     input   data  1x28x28                       name, then channels x height x width (input1d: c x w)
 *     conv2d  conv1 out=6 kernel=5 pad=2          kind, name (optional), key=value ...
 *     relu
 *     maxpool pool1 kernel=2 stride=2
 *     add     from=pool1,conv1                    inputs by name; without it, the line above
 *
 * A value is a word (numbers, pairs 5x3 and lists 1,2,3 are words) or a "quoted string" with \" \\
 * and \n. The second word is the layer's name if it has no '='. Names are unique.
 *
 * Invariant: syntax only. Which kinds and keys exist, and what their values mean, is for the reader
 * of the description, who has line and column of everything for its messages.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_NETTEXT_H
#define FORMAT_NETTEXT_H

#include "base/base.h"

enum {
    DESC_MAX_LAYERS = 100000, /* DenseNet-264 has about 1,000 */
    DESC_MAX_LINE = 1 << 20,  /* bytes; a list of 1000 class names fits */
    DESC_MAX_ATTRS = 64,      /* of one layer */
    DESC_MAX_TEXT = 1 << 28   /* bytes */
};

typedef struct desc_attr {
    const char *key, *value; /* unquoted */
    int line, column;        /* of the key, from 1; columns count bytes */
} desc_attr;

typedef struct desc_layer {
    const char *kind;
    const char *name; /* NULL: none given */
    const char *const *from;
    int from_count;        /* 0: the layer above */
    const desc_attr *attr; /* without "from"; the size of an input is the attribute "shape" */
    int attr_count;
    int line, column; /* of the kind */
} desc_layer;

typedef struct desc {
    const char *name; /* NULL: no "net" line */
    const desc_layer *layer;
    int count;
    void *memory[4]; /* what the pointers point into; 0 in a description made by hand */
} desc;

/* Reads text[0..size-1]. `where` begins the messages: "where:line:column: expected ...".
 * LENS_BAD_FILE: syntax, a name twice, a key twice in a line, a cap exceeded, no layers.
 * LENS_NOMEM. Free with desc_free. */
lens_status desc_parse(lens_ctx *, desc *out, const char *text, size_t size, const char *where);
void desc_free(lens_ctx *, desc *); /* cleared structs are fine */

/* The value of a key, or NULL. */
const char *desc_value(const desc_layer *, const char *key);

/* The text of a description, columns aligned; reading it back gives the description again.
 * Owned by the caller (ctx_free). */
lens_status desc_print(lens_ctx *, const desc *, char **out);

#endif
