/* text.c - net text to net and back. The operators' option tables say which keys exist, so a new
 * operator needs no line here. Syntax is src/format/nettext.h, the language docs/net-text.md.
 *
 * Invariant: reading what was printed gives the same net, and prints as the same text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/nettext.h"
#include "net/net.h"

#include <stdlib.h>
#include <string.h>

static const char *const mode_name[] = { "valid", "same", "full" };

static void *field_at(const void *opts, const op_option *option) {
    return (char *)opts + option->offset;
}

static size_t field_size(op_type type) {
    switch (type) {
    case OP_INT: return sizeof(int);
    case OP_SIZE: return sizeof(lens_size);
    case OP_PADS: return 5 * sizeof(int);
    case OP_BOOL: return sizeof(bool);
    case OP_FLOAT: return sizeof(float);
    case OP_MODE: return sizeof(lens_mode);
    case OP_STRING: return sizeof(char *);
    case OP_SHAPE: return 3 * sizeof(int);
    }
    return 0;
}

/* ---- Reading values ------------------------------------------------------------------------- */

/* Whole numbers between separators: "5x3", "1,2,3,4". Returns how many; 0 if it is anything else. */
static int read_ints(const char *text, char separator, int *out, int most) {
    char piece[24];
    for (int count = 1; count <= most; count++) {
        size_t length = 0;
        while (text[length] && text[length] != separator) length++;
        long long value;
        if (length >= sizeof piece) return 0;
        memcpy(piece, text, length);
        piece[length] = 0;
        if (!parse_int(piece, &value) || value < -INT32_MAX || value > INT32_MAX) return 0;
        out[count - 1] = (int)value;
        if (!text[length]) return count;
        text += length + 1;
    }
    return 0;
}

static bool read_pads(const char *text, int field[5]) {
    int v[4];
    int count = read_ints(text, ',', v, 4);
    memset(field, 0, 5 * sizeof *field);
    if (count == 1) {
        field[0] = v[0];
        return true;
    }
    if (count == 2 || count == 4) {
        memcpy(field + 1, v, (size_t)count * sizeof *v);
        return true;
    }
    if (read_ints(text, 'x', v, 2) != 2) return false;
    field[1] = field[3] = v[0];
    field[2] = field[4] = v[1];
    return true;
}

static bool read_shape(const char *text, int field[3]) {
    int v[3];
    int count = read_ints(text, 'x', v, 3);
    if (!count) return false;
    field[0] = v[0];
    field[1] = count == 3 ? v[1] : 1;
    field[2] = count == 1 ? 1 : v[count - 1];
    return true;
}

static bool read_size(const char *text, lens_size *size) {
    int v[2];
    int count = read_ints(text, 'x', v, 2);
    if (count) *size = (lens_size){ v[0], v[count - 1] };
    return count != 0;
}

static bool read_mode(const char *text, lens_mode *mode) {
    for (size_t i = 0; i < LENS_COUNT(mode_name); i++)
        if (!strcmp(text, mode_name[i])) {
            *mode = (lens_mode)i;
            return true;
        }
    return false;
}

static bool read_bool(const char *text, bool *field) {
    *field = !strcmp(text, "true");
    return *field || !strcmp(text, "false");
}

static bool read_float(const char *text, float *field) {
    double value;
    if (!parse_double(text, &value)) return false;
    *field = (float)value;
    return true;
}

/* What a value of each type must look like, for messages. */
static const char *expected(op_type type) {
    switch (type) {
    case OP_INT: return "a whole number";
    case OP_SIZE: return "a size such as 5 or 5x3 (height x width)";
    case OP_PADS:
        return "padding such as 2, 2x1 (height x width) or 1,2,1,2 (top, left, bottom, right)";
    case OP_BOOL: return "true or false";
    case OP_FLOAT: return "a number";
    case OP_MODE: return "valid, same or full";
    case OP_STRING: return "text";
    case OP_SHAPE: return "a shape such as 3x32x32 (channels x height x width)";
    }
    return "";
}

/* Strings stay borrowed: net_add copies them. */
static bool read_value(const char *text, op_type type, void *field) {
    switch (type) {
    case OP_INT: return read_ints(text, 0, field, 1) == 1;
    case OP_SIZE: return read_size(text, field);
    case OP_PADS: return read_pads(text, field);
    case OP_BOOL: return read_bool(text, field);
    case OP_FLOAT: return read_float(text, field);
    case OP_MODE: return read_mode(text, field);
    case OP_STRING: *(const char **)field = text; return true;
    case OP_SHAPE: return read_shape(text, field);
    }
    return false;
}

/* ---- Reading a net -------------------------------------------------------------------------- */

/* "where:line:column: no `what` 'word'", with a suggestion if one is near. */
static lens_status unknown(lens_ctx *ctx, const char *where, int line, int column, const char *what,
                           const char *word, const char *const *names, size_t count) {
    const char *near = nearest_name(word, names, count);
    return ctx_fail(ctx, LENS_NOT_FOUND, "%s:%d:%d: there is no %s '%.100s'%s%s%s", where, line,
                    column, what, word, near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
}

static lens_status find_kind(lens_ctx *ctx, const desc_layer *layer, const char *where,
                             const op_kind **kind) {
    *kind = op_find(layer->kind);
    if (*kind) return LENS_OK;
    const char *names[256];
    size_t count = 0;
    while (op_kinds[count] && count < LENS_COUNT(names))
        names[count] = op_kinds[count]->name, count++;
    return unknown(ctx, where, layer->line, layer->column, "layer kind", layer->kind, names, count);
}

static lens_status read_options(lens_ctx *ctx, const desc_layer *layer, const op_kind *kind,
                                const char *where, void *opts) {
    for (int i = 0; i < layer->attr_count; i++) {
        const desc_attr *attr = &layer->attr[i];
        const char *names[DESC_MAX_ATTRS];
        size_t count = 0;
        const op_option *option = kind->options;
        for (; option && option->key && strcmp(option->key, attr->key); option++)
            if (count < LENS_COUNT(names)) names[count++] = option->key;
        if (!option || !option->key) {
            char what[64];
            snprintf(what, sizeof what, "key of %s", kind->name);
            return unknown(ctx, where, attr->line, attr->column, what, attr->key, names, count);
        }
        if (!read_value(attr->value, option->type, field_at(opts, option)))
            return ctx_fail(ctx, LENS_BAD_FILE, "%s:%d:%d: %s is '%.100s', expected %s", where,
                            attr->line, attr->column, attr->key, attr->value,
                            expected(option->type));
    }
    return LENS_OK;
}

static lens_status find_inputs(lens_net *net, const desc_layer *layer, const op_kind *kind,
                               const char *where, lens_node **input, int *inputs) {
    *inputs = layer->from_count;
    for (int i = 0; i < layer->from_count; i++) {
        input[i] = lens_net_find(net, layer->from[i]);
        if (input[i]) continue;
        const char **names = ctx_alloc(net->ctx, (size_t)net->nodes + 1, sizeof *names);
        if (!names) return LENS_NOMEM;
        for (int k = 0; k < net->nodes; k++) names[k] = net->node[k]->op.name;
        lens_status status =
            unknown(net->ctx, where, layer->line, layer->column, "layer above named",
                    layer->from[i], names, (size_t)net->nodes);
        ctx_free(net->ctx, names);
        return status;
    }
    if (layer->from_count || !kind->min_inputs) return LENS_OK;
    if (!net->nodes)
        return ctx_fail(net->ctx, LENS_BAD_FILE, "%s:%d:%d: expected an input before the first %s",
                        where, layer->line, layer->column, layer->kind);
    input[0] = net->node[net->nodes - 1];
    *inputs = 1;
    return LENS_OK;
}

/* In an option struct 0 means "the usual"; in text an explicit 0 that was replaced so is a mistake. */
static lens_status refuse_zeros(lens_ctx *ctx, const desc_layer *layer, const lens_node *node,
                                const char *where) {
    const op_option *options = node->op.kind->options;
    for (int i = 0; i < layer->attr_count; i++) {
        const desc_attr *attr = &layer->attr[i];
        const op_option *option = options;
        while (strcmp(option->key, attr->key)) option++;
        const void *given = field_at(node->given, option), *used = field_at(node->op.opts, option);
        bool replaced = false;
        if (option->type == OP_FLOAT) replaced = !*(const float *)given && *(const float *)used;
        if (option->type == OP_INT || option->type == OP_SIZE)
            for (size_t k = 0; k < field_size(option->type) / sizeof(int); k++)
                replaced |= !((const int *)given)[k] && ((const int *)used)[k];
        if (replaced)
            return ctx_fail(
                ctx, LENS_BAD_ARG,
                "%s:%d:%d: %s: %s is '%.100s' but must not be 0 (without the key it has "
                "its default)",
                where, attr->line, attr->column, node->op.name, attr->key, attr->value);
    }
    return LENS_OK;
}

static lens_status read_layer(lens_net *net, const desc_layer *layer, const char *where) {
    const op_kind *kind;
    lens_node **input = NULL;
    void *opts = NULL;
    int inputs = 0;
    LENS_TRY(find_kind(net->ctx, layer, where, &kind));
    lens_status status = LENS_NOMEM;
    opts = ctx_alloc(net->ctx, 1, kind->opts_size + 1);
    input = ctx_alloc(net->ctx, (size_t)layer->from_count + 1, sizeof *input);
    if (!opts || !input) goto done;
    status = read_options(net->ctx, layer, kind, where, opts);
    if (status != LENS_OK) goto done;
    status = find_inputs(net, layer, kind, where, input, &inputs);
    if (status != LENS_OK) goto done;
    lens_node *node = net_add(net, kind, layer->name, opts, input, inputs);
    status = node ? refuse_zeros(net->ctx, layer, node, where)
                  : ctx_fail_prefix(net->ctx, net->error, "%s:%d", where, layer->line);
done:
    ctx_free(net->ctx, opts);
    ctx_free(net->ctx, input);
    return status;
}

lens_status net_parse(lens_ctx *ctx, lens_net **out, const char *text, const char *where) {
    desc parsed;
    *out = NULL;
    LENS_TRY(desc_parse(ctx, &parsed, text, strlen(text), where));
    lens_net *net = lens_net_new(ctx, parsed.name);
    lens_status status = net ? LENS_OK : LENS_NOMEM;
    for (int i = 0; i < parsed.count && status == LENS_OK; i++)
        status = read_layer(net, &parsed.layer[i], where);
    if (status == LENS_OK) {
        status = net_check(net, net->node[net->nodes - 1]);
        if (status != LENS_OK) ctx_fail_prefix(ctx, status, "%s", where);
    }
    desc_free(ctx, &parsed);
    if (status == LENS_OK)
        *out = net;
    else
        lens_net_free(net);
    return status;
}

lens_status lens_net_parse(lens_ctx *ctx, lens_net **out, const char *text, const char *where) {
    lens_net *net;
    *out = NULL;
    LENS_TRY(net_parse(ctx, &net, text, where));
    lens_status status = net_allocate(net);
    if (status == LENS_OK)
        *out = net;
    else
        lens_net_free(net);
    return status;
}

/* ---- Printing a net ------------------------------------------------------------------------- */

static bool same_options(const op_kind *kind, const void *a, const void *b) {
    for (const op_option *option = kind->options; option->key; option++)
        if (memcmp(field_at(a, option), field_at(b, option), field_size(option->type)))
            return false;
    return true;
}

/* Whether the node comes out the same without this option. `work` has room for the options. */
static bool is_default(const lens_node *node, const op_option *option, void *work) {
    op_node trial = { .ctx = node->op.ctx,
                      .kind = node->op.kind,
                      .name = node->op.name,
                      .opts = work,
                      .inputs = node->op.inputs,
                      .in = node->op.in };
    memcpy(work, node->given, node->op.kind->opts_size);
    memset(field_at(work, option), 0, field_size(option->type));
    return trial.kind->infer(&trial) == LENS_OK && same_options(trial.kind, work, node->op.opts);
}

static bool is_flat(const lens_node *node) {
    return node->op.out.rank == 3 || (node->op.inputs && node->op.in[0].rank == 3);
}

static char *print_pads(lens_ctx *ctx, const int field[5], bool flat) {
    int t = field[0] + field[1], l = field[0] + field[2], b = field[0] + field[3],
        r = field[0] + field[4];
    if (flat) return t == l ? ctx_printf(ctx, "%d", t) : ctx_printf(ctx, "%d,%d", t, l);
    if (t == b && l == r) return t == l ? ctx_printf(ctx, "%d", t) : ctx_printf(ctx, "%dx%d", t, l);
    return ctx_printf(ctx, "%d,%d,%d,%d", t, l, b, r);
}

/* The final size, for on a plane {5} has become 5x5; on a sequence the one number that counts. */
static char *print_size(lens_ctx *ctx, lens_size given, lens_size final, bool flat) {
    if (flat) return ctx_printf(ctx, "%d", given.w ? given.w : given.h);
    if (final.h == final.w) return ctx_printf(ctx, "%d", final.h);
    return ctx_printf(ctx, "%dx%d", final.h, final.w);
}

static char *print_float(lens_ctx *ctx, float value) {
    for (int digits = 1;; digits++) {
        char *text = ctx_printf(ctx, "%.*g", digits, (double)value);
        double back;
        if (!text || digits == 9 || (parse_double(text, &back) && (float)back == value))
            return text;
        ctx_free(ctx, text);
    }
}

/* Owned text of one option; NULL: out of memory. */
static char *print_value(const lens_node *node, const op_option *option) {
    lens_ctx *ctx = node->net->ctx;
    const void *field = field_at(node->given, option);
    bool flat = is_flat(node);
    switch (option->type) {
    case OP_INT: return ctx_printf(ctx, "%d", *(const int *)field);
    case OP_SIZE:
        return print_size(ctx, *(const lens_size *)field,
                          *(lens_size *)field_at(node->op.opts, option), flat);
    case OP_PADS: return print_pads(ctx, field, flat);
    case OP_BOOL: return ctx_strdup(ctx, *(const bool *)field ? "true" : "false");
    case OP_FLOAT: return print_float(ctx, *(const float *)field);
    case OP_MODE: return ctx_strdup(ctx, mode_name[*(const lens_mode *)field]);
    case OP_STRING: return ctx_strdup(ctx, *(char *const *)field);
    case OP_SHAPE: {
        const int *v = field;
        if (flat) return ctx_printf(ctx, "%dx%d", v[0], v[2]);
        return ctx_printf(ctx, "%dx%dx%d", v[0], v[1], v[2]);
    }
    }
    return NULL;
}

/* Fills one layer; attr has room for every option. The values it points to are owned. */
static lens_status describe(const lens_node *node, desc_layer *layer, desc_attr *attr,
                            const char **from, void *work) {
    layer->kind = node->op.kind->name;
    layer->name = node->op.name;
    layer->attr = attr;
    bool chained = node->op.inputs == 1 && node->input[0]->index == node->index - 1;
    if (!chained) {
        layer->from = from;
        layer->from_count = node->op.inputs;
        for (int i = 0; i < node->op.inputs; i++) from[i] = node->input[i]->op.name;
    }
    const op_option *option = node->op.kind->options;
    for (; option && option->key; option++) {
        if (is_default(node, option, work)) continue;
        char *value = print_value(node, option);
        if (!value) return LENS_NOMEM;
        attr[layer->attr_count++] = (desc_attr){ .key = option->key, .value = value };
    }
    return LENS_OK;
}

lens_status lens_net_text(const lens_net *net, char **text) {
    lens_ctx *ctx = net->ctx;
    if (!net->finished)
        return ctx_fail(ctx, LENS_BAD_ARG, "net %s is not finished: see lens_net_finish",
                        net->name);
    size_t attrs = 0, froms = 0, largest = 0;
    for (int i = 0; i < net->nodes; i++) {
        const op_kind *kind = net->node[i]->op.kind;
        for (const op_option *option = kind->options; option && option->key; option++) attrs++;
        froms += (size_t)net->node[i]->op.inputs;
        if (kind->opts_size > largest) largest = kind->opts_size;
    }
    lens_status status = LENS_NOMEM;
    desc_layer *layer = ctx_alloc(ctx, (size_t)net->nodes, sizeof *layer);
    desc_attr *attr = ctx_alloc(ctx, attrs + 1, sizeof *attr);
    const char **from = ctx_alloc(ctx, froms + 1, sizeof *from);
    void *work = ctx_alloc(ctx, largest + 1, 1);
    if (!layer || !attr || !from || !work) goto done;
    desc_attr *next_attr = attr;
    const char **next_from = from;
    status = LENS_OK;
    for (int i = 0; i < net->nodes && status == LENS_OK; i++) {
        status = describe(net->node[i], &layer[i], next_attr, next_from, work);
        next_attr += layer[i].attr_count;
        next_from += layer[i].from_count;
    }
    if (status == LENS_OK)
        status = desc_print(ctx, &(desc){ .name = net->name, .layer = layer, .count = net->nodes },
                            text);
done:
    for (size_t i = 0; attr && i < attrs; i++) ctx_free(ctx, (void *)attr[i].value);
    ctx_free(ctx, layer);
    ctx_free(ctx, attr);
    ctx_free(ctx, from);
    ctx_free(ctx, work);
    return status;
}
