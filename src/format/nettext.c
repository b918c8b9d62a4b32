/* nettext.c - see nettext.h.
 *
 * Invariant: strings of a parsed description point into one copy of the text, cut up in place; the
 * arrays hold indices while they grow and pointers only at the end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/nettext.h"
#include <stdlib.h>
#include <string.h>

typedef struct raw_layer {
    desc_layer layer;
    size_t first_attr, first_from;
} raw_layer;

typedef struct parser {
    lens_ctx *ctx;
    const char *where;
    char *text, *end; /* the copy */
    char *line_start; /* of the line being read */
    char *at;
    int line;
    raw_layer *layer;
    size_t layers, layer_room;
    desc_attr *attr;
    size_t attrs, attr_room;
    const char **from;
    size_t froms, from_room;
    const char *name;
} parser;

/* One word of a line: key=value, or a bare word. */
typedef struct word {
    char *key, *value; /* bare: key is NULL */
    bool quoted;
    int column;
} word;

static lens_status fail(parser *p, const char *at, const char *format, ...) LENS_PRINTF(3, 4);

static lens_status fail(parser *p, const char *at, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ctx_fail(p->ctx, LENS_BAD_FILE, "%s:%d:%d: %s", p->where, p->line,
                    (int)(at - p->line_start) + 1, text);
}

/* Room for one more. */
static bool reserve(parser *p, void **array, size_t count, size_t *room, size_t size) {
    if (count < *room) return true;
    size_t more = *room ? *room * 2 : 64;
    void *grown = ctx_grow(p->ctx, *array, *room, more, size);
    if (!grown) return false;
    *array = grown;
    *room = more;
    return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static bool is_key(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* A string up to its closing quote, unescaped in place. `at` is on the opening quote. */
static lens_status read_string(parser *p, char **out) {
    char *start = p->at++, *to = p->at;
    *out = to;
    for (; p->at < p->end && *p->at != '"'; p->at++) {
        char c = *p->at;
        if (c == '\\') {
            char next = p->at + 1 < p->end ? p->at[1] : 0;
            if (next != '"' && next != '\\' && next != 'n')
                return fail(p, p->at, "expected \\\", \\\\ or \\n after a backslash");
            c = next == 'n' ? '\n' : next;
            p->at++;
        } else if ((unsigned char)c < ' ' && c != '\t') {
            return fail(p, p->at, "an unexpected byte 0x%02x in a string", (unsigned char)c);
        }
        *to++ = c;
    }
    if (p->at >= p->end) return fail(p, start, "this string has no closing quote");
    p->at++;
    if (p->at < p->end && !is_blank(*p->at))
        return fail(p, p->at, "expected a space after a string, not '%c'", *p->at);
    *to = 0;
    return LENS_OK;
}

/* The next word of the line; out->value NULL at its end. Words are terminated in place, which may
 * overwrite the blank behind them: `at` is moved past it. */
static lens_status read_word(parser *p, word *out) {
    *out = (word){ 0 };
    while (p->at < p->end && is_blank(*p->at)) p->at++;
    if (p->at >= p->end || *p->at == '#') {
        p->at = p->end;
        return LENS_OK;
    }
    char *start = p->at;
    out->column = (int)(start - p->line_start) + 1;
    while (p->at < p->end && is_key(*p->at)) p->at++;
    if (p->at < p->end && *p->at == '=') {
        if (p->at == start) return fail(p, start, "expected a key before '='");
        *p->at++ = 0;
        out->key = start;
        start = p->at;
        if (start >= p->end || is_blank(*start) || *start == '#')
            return fail(p, start, "expected a value after \"%.100s=\"", out->key);
    } else {
        p->at = start;
    }
    out->quoted = *start == '"';
    if (out->quoted) return read_string(p, &out->value);
    for (; p->at < p->end && !is_blank(*p->at); p->at++) {
        unsigned char c = (unsigned char)*p->at;
        if (c == '"') return fail(p, p->at, "a quote inside a word; put the whole value in quotes");
        if (c == '=')
            return fail(p, p->at, "an unexpected '=' after \"%.*s\"",
                        (int)(p->at - start < 100 ? p->at - start : 100), start);
        if (c < ' ' || c == 127) return fail(p, p->at, "an unexpected byte 0x%02x", c);
    }
    out->value = start;
    *p->at = 0; /* a blank, or where the line ends */
    if (p->at < p->end) p->at++;
    return LENS_OK;
}

/* Cuts "a,b,c" into names, in place. */
static lens_status add_from(parser *p, raw_layer *layer, const word *w) {
    char *item = w->value;
    layer->first_from = p->froms;
    for (;;) {
        size_t length = strcspn(item, ",");
        bool last = !item[length];
        if (length == 0)
            return fail(p, item, "expected the name of a layer in the list after \"from=\"");
        item[length] = 0;
        if (!reserve(p, (void **)&p->from, p->froms, &p->from_room, sizeof *p->from))
            return LENS_NOMEM;
        p->from[p->froms++] = item;
        layer->layer.from_count++;
        if (last) return LENS_OK;
        item += length + 1;
    }
}

static lens_status add_attr(parser *p, raw_layer *layer, const char *key, const word *w) {
    if (layer->layer.attr_count == DESC_MAX_ATTRS)
        return fail(p, w->value, "more than %d keys in one line", DESC_MAX_ATTRS);
    for (size_t i = layer->first_attr; i < p->attrs; i++)
        if (strcmp(p->attr[i].key, key) == 0)
            return fail(p, p->line_start + w->column - 1,
                        "the key \"%.100s\" was already given in column %d", key,
                        p->attr[i].column);
    if (!reserve(p, (void **)&p->attr, p->attrs, &p->attr_room, sizeof *p->attr)) return LENS_NOMEM;
    p->attr[p->attrs++] = (desc_attr){ key, w->value, p->line, w->column };
    layer->layer.attr_count++;
    return LENS_OK;
}

/* Inputs have their shape written without a key. */
static bool is_input(const char *kind) {
    return strcmp(kind, "input") == 0 || strcmp(kind, "input1d") == 0;
}

/* "net NAME". */
static lens_status read_net(parser *p, const word *kind) {
    word name, more;
    if (p->name || p->layers)
        return fail(p, kind->value, "\"net\" must be the first line, and only once");
    LENS_TRY(read_word(p, &name));
    if (!name.value || name.key || !*name.value)
        return fail(p, p->at, "expected a name after \"net\"");
    LENS_TRY(read_word(p, &more));
    if (more.value)
        return fail(p, p->line_start + more.column - 1,
                    "expected the end of the line after the name of the net");
    p->name = name.value;
    return LENS_OK;
}

static lens_status read_line(parser *p) {
    word w;
    LENS_TRY(read_word(p, &w));
    if (!w.value) return LENS_OK;
    if (w.key || w.quoted)
        return fail(p, p->line_start + w.column - 1, "expected the kind of a layer, not %s",
                    w.key ? "key=value" : "a string");
    if (strcmp(w.value, "net") == 0) return read_net(p, &w);
    if (p->layers == DESC_MAX_LAYERS)
        return fail(p, w.value, "more than %d layers", DESC_MAX_LAYERS);
    raw_layer raw = { .layer = { .kind = w.value, .line = p->line, .column = w.column },
                      .first_attr = p->attrs };
    bool input = is_input(w.value), keys = false;
    for (;;) {
        LENS_TRY(read_word(p, &w));
        if (!w.value) break;
        const char *at = p->line_start + w.column - 1;
        bool is_shape = input && (raw.layer.name || (*w.value >= '0' && *w.value <= '9'));
        if (w.key && strcmp(w.key, "from") == 0) {
            if (w.quoted) return fail(p, at, "expected names after \"from=\", not a string");
            if (raw.layer.from_count) return fail(p, at, "\"from\" was already given");
            LENS_TRY(add_from(p, &raw, &w));
        } else if (w.key) {
            LENS_TRY(add_attr(p, &raw, w.key, &w));
        } else if (keys || w.quoted || (raw.layer.name && !is_shape) || raw.layer.attr_count) {
            return fail(p, at, "expected key=value, not \"%.100s\"", w.value);
        } else if (is_shape) {
            LENS_TRY(add_attr(p, &raw, "shape", &w));
        } else if (strchr(w.value, ',')) {
            return fail(p, at, "expected a name without commas, not \"%.100s\"", w.value);
        } else {
            raw.layer.name = w.value;
        }
        keys = keys || w.key;
    }
    if (!reserve(p, (void **)&p->layer, p->layers, &p->layer_room, sizeof *p->layer))
        return LENS_NOMEM;
    p->layer[p->layers++] = raw;
    return LENS_OK;
}

static int by_name(const void *a, const void *b) {
    const desc_layer *x = *(const desc_layer *const *)a, *y = *(const desc_layer *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Pointers instead of indices, and the check that names are unique. */
static lens_status finish(parser *p, desc *out) {
    desc_layer *layer = ctx_alloc(p->ctx, p->layers, sizeof *layer);
    const desc_layer **named = ctx_alloc(p->ctx, p->layers, sizeof *named);
    const desc_layer *twice = NULL, *first = NULL;
    lens_status status = layer && named ? LENS_OK : LENS_NOMEM;
    size_t count = 0;
    for (size_t i = 0; status == LENS_OK && i < p->layers; i++) {
        layer[i] = p->layer[i].layer;
        if (layer[i].attr_count) layer[i].attr = p->attr + p->layer[i].first_attr;
        if (layer[i].from_count) layer[i].from = p->from + p->layer[i].first_from;
        if (layer[i].name) named[count++] = &layer[i];
    }
    if (status == LENS_OK && count) {
        qsort(named, count, sizeof *named, by_name);
        for (size_t i = 1; i < count; i++)
            if (strcmp(named[i]->name, named[i - 1]->name) == 0 &&
                (!twice || named[i]->line < twice->line))
                twice = named[i], first = named[i - 1];
    }
    if (twice)
        status = ctx_fail(p->ctx, LENS_BAD_FILE,
                          "%s:%d:%d: the name \"%.100s\" is already used in line %d", p->where,
                          twice->line, twice->column, twice->name, first->line);
    ctx_free(p->ctx, named);
    if (status != LENS_OK) {
        ctx_free(p->ctx, layer);
        return status;
    }
    *out = (desc){ p->name, layer, (int)p->layers, { p->text, layer, p->attr, p->from } };
    return LENS_OK;
}

lens_status desc_parse(lens_ctx *ctx, desc *out, const char *text, size_t size, const char *where) {
    parser p = { .ctx = ctx, .where = where };
    *out = (desc){ 0 };
    if (size > DESC_MAX_TEXT)
        return ctx_fail(ctx, LENS_BAD_FILE, "%s: a net text of %zu bytes; at most %d are read",
                        where, size, DESC_MAX_TEXT);
    p.text = ctx_alloc(ctx, size + 1, 1);
    if (!p.text) return LENS_NOMEM;
    memcpy(p.text, text, size);
    lens_status status = LENS_OK;
    char *stop = p.text + size;
    for (char *line = p.text; line < stop && status == LENS_OK; line = p.end + 1) {
        char *newline = memchr(line, '\n', (size_t)(stop - line));
        p.line++;
        p.line_start = p.at = line;
        p.end = newline ? newline : stop;
        if (p.end - line > DESC_MAX_LINE)
            status = fail(&p, line, "a line of more than %d bytes", DESC_MAX_LINE);
        else
            status = read_line(&p);
    }
    if (status == LENS_OK && p.layers == 0)
        status = ctx_fail(ctx, LENS_BAD_FILE, "%s: there are no layers in this text", where);
    if (status == LENS_OK) status = finish(&p, out);
    ctx_free(ctx, p.layer);
    if (status != LENS_OK) {
        ctx_free(ctx, p.text);
        ctx_free(ctx, p.attr);
        ctx_free(ctx, p.from);
    }
    return status;
}

void desc_free(lens_ctx *ctx, desc *d) {
    for (size_t i = 0; i < LENS_COUNT(d->memory); i++) ctx_free(ctx, d->memory[i]);
    *d = (desc){ 0 };
}

const char *desc_value(const desc_layer *layer, const char *key) {
    for (int i = 0; i < layer->attr_count; i++)
        if (strcmp(layer->attr[i].key, key) == 0) return layer->attr[i].value;
    return NULL;
}

/* Text that grows. After a failure it stays NULL and `failed`. */
typedef struct buffer {
    lens_ctx *ctx;
    char *text;
    size_t size, room;
    bool failed;
} buffer;

static void put(buffer *b, const char *text, size_t size) {
    if (b->failed) return;
    if (size >= b->room - b->size) {
        size_t room = b->room * 2 + size + 256;
        char *grown = ctx_grow(b->ctx, b->text, b->room, room, 1);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->text = grown;
        b->room = room;
    }
    memcpy(b->text + b->size, text, size);
    b->size += size;
    b->text[b->size] = 0;
}

static void put_text(buffer *b, const char *text) { put(b, text, strlen(text)); }

/* A space, then text, then blanks up to `width`. */
static void put_padded(buffer *b, const char *text, int width) {
    put_text(b, text);
    for (int n = (int)strlen(text); n < width; n++) put(b, " ", 1);
}

/* Can be written without quotes. */
static bool is_plain(const char *value) {
    bool plain = *value && !strchr(value, '"') && !strchr(value, '=') && *value != '#';
    for (const char *c = value; *c; c++) plain = plain && (unsigned char)*c > ' ' && *c != 127;
    return plain;
}

static void put_value(buffer *b, const char *value) {
    if (is_plain(value)) {
        put_text(b, value);
        return;
    }
    put(b, "\"", 1);
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            put(b, "\\n", 2);
        else {
            if (*c == '"' || *c == '\\') put(b, "\\", 1);
            put(b, c, 1);
        }
    }
    put(b, "\"", 1);
}

static void put_layer(buffer *b, const desc_layer *layer, int kind_width, int name_width) {
    bool more = layer->from_count || layer->attr_count;
    bool named = layer->name || (name_width > 0 && more);
    put_padded(b, layer->kind, more || layer->name ? kind_width : 0);
    if (named) {
        put(b, " ", 1);
        put_padded(b, layer->name ? layer->name : "", more ? name_width : 0);
    }
    /* The size of an input goes before all keys, as it has none. */
    const char *size = is_input(layer->kind) ? desc_value(layer, "shape") : NULL;
    if (size && !(*size >= '0' && *size <= '9' && is_plain(size))) size = NULL;
    if (size) {
        put(b, " ", 1);
        put_text(b, size);
    }
    for (int i = 0; i < layer->from_count; i++) {
        put_text(b, i ? "," : " from=");
        put_text(b, layer->from[i]);
    }
    for (int i = 0; i < layer->attr_count; i++) {
        if (layer->attr[i].value == size) continue;
        put(b, " ", 1);
        put_text(b, layer->attr[i].key);
        put(b, "=", 1);
        put_value(b, layer->attr[i].value);
    }
    put(b, "\n", 1);
}

lens_status desc_print(lens_ctx *ctx, const desc *d, char **out) {
    buffer b = { .ctx = ctx };
    int kind_width = 0, name_width = 0;
    for (int i = 0; i < d->count; i++) {
        int kind = (int)strlen(d->layer[i].kind);
        int name = d->layer[i].name ? (int)strlen(d->layer[i].name) : 0;
        /* Columns follow names of usual length; a long one only pushes its own line. */
        if (kind > kind_width && kind <= 16) kind_width = kind;
        if (name > name_width && name <= 32) name_width = name;
    }
    put(&b, "", 0);
    if (d->name) {
        put_text(&b, "net ");
        put_value(&b, d->name);
        put(&b, "\n", 1);
    }
    for (int i = 0; i < d->count; i++) put_layer(&b, &d->layer[i], kind_width, name_width);
    if (b.failed) {
        ctx_free(ctx, b.text);
        return LENS_NOMEM;
    }
    *out = b.text;
    return LENS_OK;
}
