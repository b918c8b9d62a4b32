/* pickle.c - see pickle.h. Opcodes as in Python's pickletools, protocols 2 to 4.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/pickle.h"

#include <string.h>

/* What a name of the table may be used for. */
typedef enum role {
    ROLE_STORAGE,      /* a class of storages: only ever an argument */
    ROLE_ORDERED_DICT, /* called with nothing or a list of pairs: a dict */
    ROLE_SIZE,         /* called with a tuple: the tuple */
    ROLE_TENSOR,       /* called with 4 to 7 arguments: a tensor */
    ROLE_PARAMETER,    /* called with a tensor, ...: the tensor */
} role;

static const struct {
    const char *module, *name;
    role role;
    st_dtype dtype; /* of storages */
} NAMES[] = {
    { "collections", "OrderedDict", ROLE_ORDERED_DICT, 0 },
    { "torch", "Size", ROLE_SIZE, 0 },
    { "torch._utils", "_rebuild_tensor", ROLE_TENSOR, 0 }, /* PyTorch before 0.4 */
    { "torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, 0 },
    { "torch._utils", "_rebuild_parameter", ROLE_PARAMETER, 0 },
    { "torch", "FloatStorage", ROLE_STORAGE, ST_F32 },
    { "torch", "HalfStorage", ROLE_STORAGE, ST_F16 },
    { "torch", "BFloat16Storage", ROLE_STORAGE, ST_BF16 },
    { "torch", "DoubleStorage", ROLE_STORAGE, ST_F64 },
    { "torch", "LongStorage", ROLE_STORAGE, ST_I64 },
    { "torch", "IntStorage", ROLE_STORAGE, ST_I32 },
    { "torch", "ShortStorage", ROLE_STORAGE, ST_I16 },
    { "torch", "CharStorage", ROLE_STORAGE, ST_I8 },
    { "torch", "ByteStorage", ROLE_STORAGE, ST_U8 },
    { "torch", "BoolStorage", ROLE_STORAGE, ST_BOOL },
};

/* An item of a container. Cell 0 is never used: it ends every list. */
typedef struct cell {
    pickle_value value;
    uint32_t next;
} cell;

typedef struct container {
    uint32_t first, last, count;
    bool tensors; /* among the items */
} container;

struct pickle {
    lens_ctx *ctx;
    cell *cell;
    container *container;
    pickle_value *stack, *memo;
    size_t cells, cell_room, containers, container_room, depth, stack_room, memos, memo_room;
    pickle_value root;

    const uint8_t *bytes;
    size_t size, at; /* the next byte */
    size_t op;       /* the present opcode's */
    const char *file;
    uint64_t offset;
    bool stopped;
};

/* ---- Failing ---- */

static lens_status refuse(pickle *p, lens_status status, const char *format, ...) LENS_PRINTF(3, 4);

static lens_status refuse(pickle *p, lens_status status, const char *format, ...) {
    char cause[400];
    va_list args;
    va_start(args, format);
    vsnprintf(cause, sizeof cause, format, args);
    va_end(args);
    return ctx_fail(p->ctx, status, "%s: byte %llu: %s", p->file,
                    (unsigned long long)(p->offset + p->op), cause);
}

static const char *const KIND[] = { "None",     "a truth value", "an integer", "a long integer",
                                    "a number", "a string",      "a name",     "a tuple",
                                    "a list",   "a dict",        "a storage",  "a tensor",
                                    "a mark" };

static lens_status wrong(pickle *p, const char *want, pickle_value have) {
    return refuse(p, LENS_BAD_FILE, "the pickle has %s where %s is needed", KIND[have.kind], want);
}

const char *pickle_shown(pickle_value text, char buf[100]) {
    size_t n = text.length < 99 ? text.length : 99;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.as.bytes[i];
        buf[i] = c >= 32 && c < 127 ? (char)c : '?';
    }
    buf[n] = 0;
    return buf;
}

/* ---- Growing ---- */

/* Room for one more element; `cap` elements at most. */
static lens_status grow(pickle *p, void **array, size_t *room, size_t need, size_t size, size_t cap,
                        const char *what) {
    if (need <= *room) return LENS_OK;
    if (need > cap) return refuse(p, LENS_BAD_FILE, "the pickle has more than %zu %s", cap, what);
    size_t more = *room ? 2 * *room : 64;
    if (more < need) more = need;
    if (more > cap) more = cap;
    void *grown = ctx_grow(p->ctx, *array, *room, more, size);
    if (!grown) return LENS_NOMEM;
    memset((char *)grown + *room * size, 0, (more - *room) * size);
    *array = grown;
    *room = more;
    return LENS_OK;
}

static lens_status push(pickle *p, pickle_value v) {
    void *stack = p->stack;
    LENS_TRY(grow(p, &stack, &p->stack_room, p->depth + 1, sizeof v, PICKLE_MAX_VALUES,
                  "values on its stack"));
    p->stack = stack;
    p->stack[p->depth++] = v;
    return LENS_OK;
}

static lens_status pop(pickle *p, pickle_value *v) {
    *v = (pickle_value){ .kind = PICKLE_NONE };
    if (!p->depth || p->stack[p->depth - 1].kind == PICKLE_MARK)
        return refuse(p, LENS_BAD_FILE, "the pickle takes a value from an empty stack");
    *v = p->stack[--p->depth];
    return LENS_OK;
}

static lens_status new_container(pickle *p, pickle_kind kind, pickle_value *v) {
    void *all = p->container;
    LENS_TRY(grow(p, &all, &p->container_room, p->containers + 1, sizeof *p->container,
                  PICKLE_MAX_VALUES, "containers"));
    p->container = all;
    *v = (pickle_value){ .kind = (uint8_t)kind };
    v->as.index = (uint32_t)p->containers++;
    return LENS_OK;
}

static lens_status append(pickle *p, pickle_value to, pickle_value item) {
    void *cells = p->cell;
    if (!p->cells) p->cells = 1;
    LENS_TRY(grow(p, &cells, &p->cell_room, p->cells + 1, sizeof *p->cell, PICKLE_MAX_CELLS,
                  "items in its containers"));
    p->cell = cells;
    uint32_t at = (uint32_t)p->cells++;
    container *c = &p->container[to.as.index];
    p->cell[at] = (cell){ .value = item };
    if (c->last)
        p->cell[c->last].next = at;
    else
        c->first = at;
    c->last = at;
    c->count++;
    c->tensors |= item.kind == PICKLE_TENSOR;
    return LENS_OK;
}

/* Appends stack[from..] and drops it. */
static lens_status append_rest(pickle *p, pickle_value to, size_t from) {
    for (size_t i = from; i < p->depth; i++) LENS_TRY(append(p, to, p->stack[i]));
    p->depth = from;
    return LENS_OK;
}

/* Where the values after the last mark begin; the mark stays at that place - 1. */
static lens_status find_mark(pickle *p, size_t *from) {
    size_t at = p->depth;
    while (at && p->stack[at - 1].kind != PICKLE_MARK) at--;
    *from = at;
    return at ? LENS_OK : refuse(p, LENS_BAD_FILE, "the pickle closes what it has not opened");
}

/* ---- Opcodes ---- */

/* What follows an opcode in the stream. */
typedef struct argument {
    uint64_t number;      /* U1, U2, U4, U8; the index for memo */
    const uint8_t *bytes; /* of the counted forms and lines */
    size_t length;
    const uint8_t *second; /* of LINES */
    size_t second_length;
} argument;

typedef enum form {
    FORM_NONE,
    FORM_U1,
    FORM_U2,
    FORM_U4,
    FORM_U8,
    FORM_BYTES1, /* a length of one byte, and so many bytes */
    FORM_BYTES4,
    FORM_LINES, /* two lines */
} form;

static uint64_t little(const uint8_t *b, size_t n) {
    uint64_t v = 0;
    while (n--) v = v << 8 | b[n];
    return v;
}

static lens_status op_none(pickle *p, const argument *a) {
    (void)a;
    return push(p, (pickle_value){ .kind = PICKLE_NONE });
}

static lens_status op_true(pickle *p, const argument *a) {
    (void)a;
    return push(p, (pickle_value){ .kind = PICKLE_BOOL, .as.i = 1 });
}

static lens_status op_false(pickle *p, const argument *a) {
    (void)a;
    return push(p, (pickle_value){ .kind = PICKLE_BOOL, .as.i = 0 });
}

static lens_status op_int(pickle *p, const argument *a) {
    return push(p, (pickle_value){ .kind = PICKLE_INT, .as.i = (int64_t)a->number });
}

static lens_status op_int4(pickle *p, const argument *a) {
    return push(p, (pickle_value){ .kind = PICKLE_INT, .as.i = (int32_t)(uint32_t)a->number });
}

static lens_status op_long(pickle *p, const argument *a) {
    if (a->length > 8)
        return push(p, (pickle_value){ .kind = PICKLE_LONG,
                                       .length = (uint32_t)a->length,
                                       .as.bytes = a->bytes });
    uint64_t v = little(a->bytes, a->length);
    if (a->length && a->length < 8 && a->bytes[a->length - 1] & 0x80)
        v |= UINT64_MAX << (8 * a->length);
    return push(p, (pickle_value){ .kind = PICKLE_INT, .as.i = (int64_t)v });
}

static lens_status op_float(pickle *p, const argument *a) {
    uint8_t turned[8]; /* it is big-endian */
    pickle_value v = { .kind = PICKLE_FLOAT };
    for (int i = 0; i < 8; i++) turned[i] = (uint8_t)(a->number >> (8 * (7 - i)));
    uint64_t bits = little(turned, 8);
    memcpy(&v.as.f, &bits, sizeof bits);
    return push(p, v);
}

static lens_status op_text(pickle *p, const argument *a) {
    return push(p, (pickle_value){
                       .kind = PICKLE_TEXT, .length = (uint32_t)a->length, .as.bytes = a->bytes });
}

static lens_status op_mark(pickle *p, const argument *a) {
    (void)a;
    return push(p, (pickle_value){ .kind = PICKLE_MARK });
}

static lens_status op_pop(pickle *p, const argument *a) {
    (void)a;
    if (!p->depth) return refuse(p, LENS_BAD_FILE, "the pickle takes a value from an empty stack");
    p->depth--;
    return LENS_OK;
}

static lens_status op_pop_mark(pickle *p, const argument *a) {
    size_t from;
    (void)a;
    LENS_TRY(find_mark(p, &from));
    p->depth = from - 1;
    return LENS_OK;
}

static lens_status op_dup(pickle *p, const argument *a) {
    pickle_value v;
    (void)a;
    LENS_TRY(pop(p, &v));
    LENS_TRY(push(p, v));
    return push(p, v);
}

/* A tuple of stack[from..]. */
static lens_status tuple_from(pickle *p, size_t from) {
    pickle_value v;
    LENS_TRY(new_container(p, PICKLE_TUPLE, &v));
    LENS_TRY(append_rest(p, v, from));
    return push(p, v);
}

static lens_status op_tuple(pickle *p, const argument *a) {
    size_t from;
    pickle_value v;
    (void)a;
    LENS_TRY(find_mark(p, &from));
    LENS_TRY(new_container(p, PICKLE_TUPLE, &v));
    LENS_TRY(append_rest(p, v, from));
    p->stack[from - 1] = v;
    return LENS_OK;
}

static lens_status small_tuple(pickle *p, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (p->depth < i + 1 || p->stack[p->depth - 1 - i].kind == PICKLE_MARK)
            return refuse(p, LENS_BAD_FILE, "the pickle takes a value from an empty stack");
    return tuple_from(p, p->depth - count);
}

static lens_status op_tuple0(pickle *p, const argument *a) { return (void)a, small_tuple(p, 0); }
static lens_status op_tuple1(pickle *p, const argument *a) { return (void)a, small_tuple(p, 1); }
static lens_status op_tuple2(pickle *p, const argument *a) { return (void)a, small_tuple(p, 2); }
static lens_status op_tuple3(pickle *p, const argument *a) { return (void)a, small_tuple(p, 3); }

static lens_status op_list(pickle *p, const argument *a) {
    pickle_value v;
    (void)a;
    LENS_TRY(new_container(p, PICKLE_LIST, &v));
    return push(p, v);
}

static lens_status op_dict(pickle *p, const argument *a) {
    pickle_value v;
    (void)a;
    LENS_TRY(new_container(p, PICKLE_DICT, &v));
    return push(p, v);
}

/* The container of this kind at stack[at]. */
static lens_status target(pickle *p, size_t at, pickle_kind kind, pickle_value *v) {
    *v = (pickle_value){ .kind = PICKLE_NONE };
    if (at >= p->depth)
        return refuse(p, LENS_BAD_FILE, "the pickle takes a value from an empty stack");
    *v = p->stack[at];
    return v->kind == kind ? LENS_OK : wrong(p, KIND[kind], *v);
}

static lens_status op_append(pickle *p, const argument *a) {
    pickle_value item, list;
    (void)a;
    LENS_TRY(pop(p, &item));
    LENS_TRY(target(p, p->depth - 1, PICKLE_LIST, &list));
    return append(p, list, item);
}

static lens_status op_appends(pickle *p, const argument *a) {
    size_t from;
    pickle_value list;
    (void)a;
    LENS_TRY(find_mark(p, &from));
    LENS_TRY(target(p, from - 2, PICKLE_LIST, &list)); /* from - 2 wraps when nothing is below */
    LENS_TRY(append_rest(p, list, from));
    p->depth--;
    return LENS_OK;
}

static lens_status op_setitem(pickle *p, const argument *a) {
    pickle_value key, value, dict;
    (void)a;
    LENS_TRY(pop(p, &value));
    LENS_TRY(pop(p, &key));
    LENS_TRY(target(p, p->depth - 1, PICKLE_DICT, &dict));
    LENS_TRY(append(p, dict, key));
    return append(p, dict, value);
}

static lens_status op_setitems(pickle *p, const argument *a) {
    size_t from;
    pickle_value dict;
    (void)a;
    LENS_TRY(find_mark(p, &from));
    LENS_TRY(target(p, from - 2, PICKLE_DICT, &dict));
    if ((p->depth - from) % 2)
        return refuse(p, LENS_BAD_FILE, "the pickle gives a dict a key without a value");
    LENS_TRY(append_rest(p, dict, from));
    p->depth--;
    return LENS_OK;
}

static lens_status push_name(pickle *p, pickle_value module, pickle_value name) {
    char first[100], second[100];
    for (size_t i = 0; i < LENS_COUNT(NAMES); i++)
        if (pickle_is_text(module, NAMES[i].module) && pickle_is_text(name, NAMES[i].name)) {
            pickle_value v = { .kind = PICKLE_NAME };
            v.as.index = (uint32_t)i;
            return push(p, v);
        }
    return refuse(
        p, LENS_UNSUPPORTED,
        "the file wants \"%s.%s\" of Python, which no tensor needs; nothing was executed. "
        "Save a state_dict of tensors alone",
        pickle_shown(module, first), pickle_shown(name, second));
}

static lens_status op_global(pickle *p, const argument *a) {
    if (a->length > 1000 || a->second_length > 1000)
        return refuse(p, LENS_BAD_FILE, "the pickle has a name of more than 1000 bytes");
    pickle_value module = { .kind = PICKLE_TEXT, .length = (uint32_t)a->length };
    pickle_value name = { .kind = PICKLE_TEXT, .length = (uint32_t)a->second_length };
    module.as.bytes = a->bytes;
    name.as.bytes = a->second;
    return push_name(p, module, name);
}

static lens_status op_stack_global(pickle *p, const argument *a) {
    pickle_value module, name;
    (void)a;
    LENS_TRY(pop(p, &name));
    LENS_TRY(pop(p, &module));
    if (name.kind != PICKLE_TEXT) return wrong(p, KIND[PICKLE_TEXT], name);
    if (module.kind != PICKLE_TEXT) return wrong(p, KIND[PICKLE_TEXT], module);
    return push_name(p, module, name);
}

/* OrderedDict([[key, value], ...]), as Python 2 writes it. */
static lens_status ordered_dict(pickle *p, pickle_value args) {
    pickle_value dict, list = { .kind = PICKLE_NONE }, pair[3];
    LENS_TRY(new_container(p, PICKLE_DICT, &dict));
    size_t count = pickle_items(p, args, &list, 1);
    if (count > 1 || (count == 1 && list.kind != PICKLE_LIST))
        return refuse(p, LENS_BAD_FILE, "OrderedDict is called with something other than pairs");
    for (uint32_t c = count ? pickle_first(p, list) : 0; c; c = pickle_next(p, c)) {
        pickle_value item = pickle_at(p, c);
        if ((item.kind != PICKLE_LIST && item.kind != PICKLE_TUPLE) ||
            pickle_items(p, item, pair, 2) != 2)
            return refuse(p, LENS_BAD_FILE,
                          "OrderedDict is called with something other than pairs");
        LENS_TRY(append(p, dict, pair[0]));
        LENS_TRY(append(p, dict, pair[1]));
    }
    return push(p, dict);
}

static lens_status op_reduce(pickle *p, const argument *a) {
    pickle_value args, name, first = { .kind = PICKLE_NONE };
    (void)a;
    LENS_TRY(pop(p, &args));
    LENS_TRY(pop(p, &name));
    if (args.kind != PICKLE_TUPLE) return wrong(p, KIND[PICKLE_TUPLE], args);
    if (name.kind != PICKLE_NAME) return wrong(p, KIND[PICKLE_NAME], name);
    size_t count = pickle_items(p, args, &first, 1);
    const char *called = NAMES[name.as.index].name;
    switch (NAMES[name.as.index].role) {
    case ROLE_ORDERED_DICT: return ordered_dict(p, args);
    case ROLE_SIZE:
        if (count != 1 || first.kind != PICKLE_TUPLE) return wrong(p, KIND[PICKLE_TUPLE], first);
        return push(p, first);
    case ROLE_TENSOR:
        if (count < 4 || count > 7 || first.kind != PICKLE_STORAGE)
            return refuse(
                p, LENS_BAD_FILE,
                "%s is called with %zu arguments, the first %s, instead of a storage, its "
                "offset, size, stride, ...",
                called, count, KIND[first.kind]);
        args.kind = PICKLE_TENSOR;
        return push(p, args);
    case ROLE_PARAMETER:
        if (!count || first.kind != PICKLE_TENSOR) return wrong(p, KIND[PICKLE_TENSOR], first);
        return push(p, first);
    case ROLE_STORAGE: break;
    }
    return refuse(p, LENS_UNSUPPORTED, "the pickle calls \"torch.%s\"; tensors do not need that",
                  called);
}

/* torch.save hangs "_metadata" (versions of layers) on its OrderedDicts: of no use here. */
static lens_status op_build(pickle *p, const argument *a) {
    pickle_value state, dict;
    (void)a;
    LENS_TRY(pop(p, &state));
    LENS_TRY(target(p, p->depth - 1, PICKLE_DICT, &dict));
    return state.kind == PICKLE_DICT ? LENS_OK : wrong(p, KIND[PICKLE_DICT], state);
}

static lens_status op_persistent(pickle *p, const argument *a) {
    pickle_value id, first = { .kind = PICKLE_NONE };
    (void)a;
    LENS_TRY(pop(p, &id));
    if (id.kind != PICKLE_TUPLE) return wrong(p, KIND[PICKLE_TUPLE], id);
    size_t count = pickle_items(p, id, &first, 1);
    if (count < 5 || count > 6 || !pickle_is_text(first, "storage"))
        return refuse(p, LENS_UNSUPPORTED,
                      "the pickle refers to something outside it that is no storage");
    id.kind = PICKLE_STORAGE;
    return push(p, id);
}

static lens_status remember(pickle *p, uint64_t index) {
    void *memo = p->memo;
    if (!p->depth || p->stack[p->depth - 1].kind == PICKLE_MARK)
        return refuse(p, LENS_BAD_FILE, "the pickle remembers a value from an empty stack");
    LENS_TRY(grow(p, &memo, &p->memo_room, (size_t)index + 1, sizeof *p->memo, PICKLE_MAX_VALUES,
                  "remembered values"));
    for (size_t i = p->memos; i < index; i++) ((pickle_value *)memo)[i].kind = PICKLE_MARK;
    p->memo = memo;
    p->memo[index] = p->stack[p->depth - 1];
    if (index >= p->memos) p->memos = (size_t)index + 1;
    return LENS_OK;
}

static lens_status op_put(pickle *p, const argument *a) { return remember(p, a->number); }
static lens_status op_memoize(pickle *p, const argument *a) {
    return (void)a, remember(p, p->memos);
}

static lens_status op_get(pickle *p, const argument *a) {
    if (a->number >= p->memos || p->memo[a->number].kind == PICKLE_MARK)
        return refuse(p, LENS_BAD_FILE, "the pickle recalls value %llu, which it never remembered",
                      (unsigned long long)a->number);
    return push(p, p->memo[a->number]);
}

static lens_status op_proto(pickle *p, const argument *a) {
    if (a->number >= 2 && a->number <= 4) return LENS_OK;
    return refuse(p, LENS_UNSUPPORTED, "pickle protocol %u; 2 to 4 are read", (unsigned)a->number);
}

/* Frames only tell a reader how much to buffer. */
static lens_status op_frame(pickle *p, const argument *a) {
    if (a->number <= p->size - p->at) return LENS_OK;
    return refuse(p, LENS_BAD_FILE, "the pickle has a frame of %llu bytes, but %zu follow",
                  (unsigned long long)a->number, p->size - p->at);
}

static lens_status op_stop(pickle *p, const argument *a) {
    (void)a;
    LENS_TRY(pop(p, &p->root));
    if (p->depth) return refuse(p, LENS_BAD_FILE, "the pickle ends with values left over");
    p->stopped = true;
    return LENS_OK;
}

/* By opcode; no `run`: unknown, or known and not needed (then it has a name). */
static const struct {
    const char *name;
    form form;
    lens_status (*run)(pickle *, const argument *);
} OPCODE[256] = {
    [0x80] = { "PROTO", FORM_U1, op_proto },
    [0x95] = { "FRAME", FORM_U8, op_frame },
    ['.'] = { "STOP", FORM_NONE, op_stop },
    ['N'] = { "NONE", FORM_NONE, op_none },
    [0x88] = { "NEWTRUE", FORM_NONE, op_true },
    [0x89] = { "NEWFALSE", FORM_NONE, op_false },
    ['K'] = { "BININT1", FORM_U1, op_int },
    ['M'] = { "BININT2", FORM_U2, op_int },
    ['J'] = { "BININT", FORM_U4, op_int4 },
    [0x8a] = { "LONG1", FORM_BYTES1, op_long },
    ['G'] = { "BINFLOAT", FORM_U8, op_float },
    ['X'] = { "BINUNICODE", FORM_BYTES4, op_text },
    [0x8c] = { "SHORT_BINUNICODE", FORM_BYTES1, op_text },
    ['T'] = { "BINSTRING", FORM_BYTES4, op_text }, /* Python 2 */
    ['U'] = { "SHORT_BINSTRING", FORM_BYTES1, op_text },
    ['B'] = { "BINBYTES", FORM_BYTES4, op_text },
    ['C'] = { "SHORT_BINBYTES", FORM_BYTES1, op_text },
    ['('] = { "MARK", FORM_NONE, op_mark },
    ['0'] = { "POP", FORM_NONE, op_pop },
    ['1'] = { "POP_MARK", FORM_NONE, op_pop_mark },
    ['2'] = { "DUP", FORM_NONE, op_dup },
    [')'] = { "EMPTY_TUPLE", FORM_NONE, op_tuple0 },
    ['t'] = { "TUPLE", FORM_NONE, op_tuple },
    [0x85] = { "TUPLE1", FORM_NONE, op_tuple1 },
    [0x86] = { "TUPLE2", FORM_NONE, op_tuple2 },
    [0x87] = { "TUPLE3", FORM_NONE, op_tuple3 },
    [']'] = { "EMPTY_LIST", FORM_NONE, op_list },
    ['a'] = { "APPEND", FORM_NONE, op_append },
    ['e'] = { "APPENDS", FORM_NONE, op_appends },
    ['}'] = { "EMPTY_DICT", FORM_NONE, op_dict },
    ['s'] = { "SETITEM", FORM_NONE, op_setitem },
    ['u'] = { "SETITEMS", FORM_NONE, op_setitems },
    ['c'] = { "GLOBAL", FORM_LINES, op_global },
    [0x93] = { "STACK_GLOBAL", FORM_NONE, op_stack_global },
    ['R'] = { "REDUCE", FORM_NONE, op_reduce },
    ['b'] = { "BUILD", FORM_NONE, op_build },
    ['Q'] = { "BINPERSID", FORM_NONE, op_persistent },
    ['q'] = { "BINPUT", FORM_U1, op_put },
    ['r'] = { "LONG_BINPUT", FORM_U4, op_put },
    [0x94] = { "MEMOIZE", FORM_NONE, op_memoize },
    ['h'] = { "BINGET", FORM_U1, op_get },
    ['j'] = { "LONG_BINGET", FORM_U4, op_get },
    /* These build objects of other classes, call functions, or are of no use for tensors. */
    ['i'] = { .name = "INST" },
    ['o'] = { .name = "OBJ" },
    [0x81] = { .name = "NEWOBJ" },
    [0x92] = { .name = "NEWOBJ_EX" },
    ['P'] = { .name = "PERSID" },
    [0x82] = { .name = "EXT1" },
    [0x83] = { .name = "EXT2" },
    [0x84] = { .name = "EXT4" },
    ['I'] = { .name = "INT" },
    ['L'] = { .name = "LONG" },
    ['F'] = { .name = "FLOAT" },
    ['S'] = { .name = "STRING" },
    ['V'] = { .name = "UNICODE" },
    ['l'] = { .name = "LIST" },
    ['d'] = { .name = "DICT" },
    ['p'] = { .name = "PUT" },
    ['g'] = { .name = "GET" },
    [0x8b] = { .name = "LONG4" },
    [0x8d] = { .name = "BINUNICODE8" },
    [0x8e] = { .name = "BINBYTES8" },
    [0x8f] = { .name = "EMPTY_SET" },
    [0x90] = { .name = "ADDITEMS" },
    [0x91] = { .name = "FROZENSET" },
    [0x96] = { .name = "BYTEARRAY8" },
    [0x97] = { .name = "NEXT_BUFFER" },
    [0x98] = { .name = "READONLY_BUFFER" },
};

static lens_status read_line(pickle *p, const uint8_t **line, size_t *length) {
    const uint8_t *begin = p->bytes + p->at;
    const uint8_t *end = p->at < p->size ? memchr(begin, '\n', p->size - p->at) : NULL;
    if (!end) return refuse(p, LENS_BAD_FILE, "the pickle is truncated");
    *line = begin;
    *length = (size_t)(end - begin);
    p->at += *length + 1;
    return LENS_OK;
}

static lens_status read_argument(pickle *p, form f, argument *a) {
    static const size_t width[] = {
        [FORM_U1] = 1,     [FORM_U2] = 2,     [FORM_U4] = 4,    [FORM_U8] = 8,
        [FORM_BYTES1] = 1, [FORM_BYTES4] = 4, [FORM_LINES] = 0,
    };
    *a = (argument){ 0 };
    if (width[f] > p->size - p->at) return refuse(p, LENS_BAD_FILE, "the pickle is truncated");
    a->number = little(p->bytes + p->at, width[f]);
    p->at += width[f];
    if (f == FORM_BYTES1 || f == FORM_BYTES4) {
        if (a->number > p->size - p->at)
            return refuse(p, LENS_BAD_FILE, "the pickle has a string of %llu bytes, but %zu follow",
                          (unsigned long long)a->number, p->size - p->at);
        a->bytes = p->bytes + p->at;
        a->length = (size_t)a->number;
        p->at += a->length;
    }
    if (f == FORM_LINES) {
        LENS_TRY(read_line(p, &a->bytes, &a->length));
        LENS_TRY(read_line(p, &a->second, &a->second_length));
    }
    return LENS_OK;
}

static lens_status decode(pickle *p) {
    argument a;
    while (!p->stopped) {
        p->op = p->at;
        if (p->at >= p->size) return refuse(p, LENS_BAD_FILE, "the pickle is truncated");
        uint8_t code = p->bytes[p->at++];
        if (!OPCODE[code].run) {
            const char *name = OPCODE[code].name;
            return refuse(p, name ? LENS_UNSUPPORTED : LENS_BAD_FILE,
                          name ? "the pickle has opcode 0x%02x (%s), which tensors do not need"
                               : "0x%02x is no opcode of a pickle%s",
                          code, name ? name : "");
        }
        LENS_TRY(read_argument(p, OPCODE[code].form, &a));
        LENS_TRY(OPCODE[code].run(p, &a));
    }
    return LENS_OK;
}

lens_status pickle_decode(lens_ctx *ctx, pickle **out, const uint8_t *bytes, size_t size,
                          size_t *used, const char *file, uint64_t offset) {
    pickle *p = ctx_alloc(ctx, 1, sizeof *p);
    *out = NULL;
    if (!p) return LENS_NOMEM;
    p->ctx = ctx;
    p->bytes = bytes;
    p->size = size;
    p->file = file;
    p->offset = offset;
    lens_status status = decode(p);
    if (used) *used = p->at;
    if (status == LENS_OK)
        *out = p;
    else
        pickle_free(p);
    return status;
}

void pickle_free(pickle *p) {
    if (!p) return;
    ctx_free(p->ctx, p->cell);
    ctx_free(p->ctx, p->container);
    ctx_free(p->ctx, p->stack);
    ctx_free(p->ctx, p->memo);
    ctx_free(p->ctx, p);
}

/* ---- Asking ---- */

pickle_value pickle_root(const pickle *p) { return p->root; }

uint32_t pickle_first(const pickle *p, pickle_value v) { return p->container[v.as.index].first; }
uint32_t pickle_next(const pickle *p, uint32_t at) { return p->cell[at].next; }
pickle_value pickle_at(const pickle *p, uint32_t at) { return p->cell[at].value; }
size_t pickle_count(const pickle *p, pickle_value v) { return p->container[v.as.index].count; }

bool pickle_has_tensors(const pickle *p, pickle_value v) {
    return p->container[v.as.index].tensors;
}
uint32_t pickle_cells(const pickle *p) { return (uint32_t)p->cells; }

size_t pickle_items(const pickle *p, pickle_value v, pickle_value *out, size_t most) {
    size_t n = 0;
    for (uint32_t c = pickle_first(p, v); c && n < most; c = pickle_next(p, c))
        out[n++] = pickle_at(p, c);
    return pickle_count(p, v);
}

bool pickle_storage_type(pickle_value name, st_dtype *type) {
    if (name.kind != PICKLE_NAME || NAMES[name.as.index].role != ROLE_STORAGE) return false;
    *type = NAMES[name.as.index].dtype;
    return true;
}

bool pickle_is_text(pickle_value v, const char *text) {
    size_t length = strlen(text);
    return v.kind == PICKLE_TEXT && v.length == length && !memcmp(v.as.bytes, text, length);
}
