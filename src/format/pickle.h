/* pickle.h - decodes a Python pickle into plain values, for what torch.save writes and nothing else.
 *
 * A pickle is a program for a stack machine; most of its power is in calling any Python function by
 * name. Here nothing is ever executed: a name outside a fixed table (pickle.c) is an error that says
 * the name, and those in the table only mark a value as, say, "a tensor made from these arguments".
 *
 * Invariants: decoding needs no recursion, so that a million nested lists cost no more than a million
 * flat ones; every value stands in arrays whose size is capped, and refers to others by index, so
 * that a pickle which contains itself is only a graph with a circle: whoever walks it bounds the walk.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FORMAT_PICKLE_H
#define FORMAT_PICKLE_H

#include "format/safetensors.h"

enum {
    /* A checkpoint of ResNet-1202 with Adam's state has 36,000 tensors of 22 cells each. */
    PICKLE_MAX_CELLS = 1 << 21,  /* items of all containers */
    PICKLE_MAX_VALUES = 1 << 20, /* containers; depth of the stack; memo */
};

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_LONG, /* an integer of more than 64 bits: its bytes, little-endian */
    PICKLE_FLOAT,
    PICKLE_TEXT, /* str or bytes; not checked for UTF-8 or 0 bytes */
    PICKLE_NAME, /* a class or function of the table */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,    /* items: key, value, key, value, ...; a later equal key is not dropped */
    PICKLE_STORAGE, /* items: what torch.save says of it: 'storage', class, key, device, count */
    PICKLE_TENSOR,  /* items: storage, offset, size, stride, ... */
    PICKLE_MARK,    /* never in a result */
} pickle_kind;

typedef struct pickle_value {
    uint8_t kind;
    uint32_t length; /* LONG, TEXT: bytes */
    union {
        int64_t i; /* BOOL, INT */
        double f;
        const uint8_t *bytes; /* LONG, TEXT: in the pickle */
        uint32_t index;       /* NAME: in the table; containers: for pickle_first */
    } as;
} pickle_value;

typedef struct pickle pickle;

/* Decodes the pickle at the beginning of `bytes`, which must stay until pickle_free; *used (or NULL):
 * how many bytes it takes. `file` and `offset`, the place of bytes[0] in it, are for messages.
 * LENS_BAD_FILE: truncated, malformed or above a cap, with the byte; LENS_UNSUPPORTED: a name or an
 * opcode that tensors do not need, by name; LENS_NOMEM. */
lens_status pickle_decode(lens_ctx *, pickle **out, const uint8_t *bytes, size_t size, size_t *used,
                          const char *file, uint64_t offset);
void pickle_free(pickle *); /* NULL is fine */

pickle_value pickle_root(const pickle *);

/* The items of a container: for (cell = pickle_first(p, v); cell; cell = pickle_next(p, cell)). */
uint32_t pickle_first(const pickle *, pickle_value container); /* 0: empty */
uint32_t pickle_next(const pickle *, uint32_t cell);
pickle_value pickle_at(const pickle *, uint32_t cell);
/* The first `most` items, in order; returns how many there are. */
size_t pickle_items(const pickle *, pickle_value container, pickle_value *out, size_t most);
size_t pickle_count(const pickle *, pickle_value container);
/* Cells are numbered from 1 to this number - 1, whatever container they belong to. */
uint32_t pickle_cells(const pickle *);

/* Whether a container has a tensor among its items. */
bool pickle_has_tensors(const pickle *, pickle_value container);

/* The type of a storage class; false if the name is no such class. */
bool pickle_storage_type(pickle_value name, st_dtype *);

bool pickle_is_text(pickle_value, const char *text);
/* A text for messages: bytes that are no printable ASCII become "?". */
const char *pickle_shown(pickle_value text, char buf[100]);

#endif
