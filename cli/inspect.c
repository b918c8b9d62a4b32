/* inspect.c - lenslet inspect: the layers of a net and what they cost.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The zoo side by side: what each net reads, how large it is and what a picture costs. */
static int list_nets(cli *c) {
    json_t *nets = json_array();
    table *t = table_new(
        "lrrrrl", (const char *[]){ "net", "input", "classes", "parameters", "MACs", "what" });
    for (int i = 0; i < lens_zoo_count(); i++) {
        const lens_zoo_entry *e = lens_zoo_at(i);
        char input[48], classes[16], parameters[32], macs[32];
        lens_net *net;
        lens_status status = lens_zoo_new(c->ctx, &net, e->name, NULL);
        if (status != LENS_OK) {
            json_decref(nets);
            table_free(t);
            return fail_status(c, status, WORKING);
        }
        int64_t size = lens_net_parameters(net), cost = lens_net_macs(net);
        lens_net_free(net);
        snprintf(input, sizeof input, "%dx%dx%d", e->channels, e->height, e->width);
        snprintf(classes, sizeof classes, "%d", e->classes);
        table_row(t, (const char *[]){ e->name, input, classes, with_commas(size, parameters),
                                       with_commas(cost, macs), e->what });
        json_array_append_new(
            nets, json_pack("{s:s,s:s,s:s,s:[iii],s:i,s:I,s:I}", "name", e->name, "what", e->what,
                            "paper", e->paper, "input", e->channels, e->height, e->width, "classes",
                            e->classes, "parameters", (json_int_t)size, "macs", (json_int_t)cost));
    }
    if (c->json)
        table_free(t);
    else
        table_print(t);
    return emit(c, json_pack("{s:o}", "nets", nets));
}

static const char *shape_of(const lens_node_info *info, char buf[48]) {
    if (info->rank == 4)
        snprintf(buf, 48, "%dx%dx%d", info->c, info->h, info->w);
    else if (info->rank == 3)
        snprintf(buf, 48, "%dx%d", info->c, info->w);
    else
        snprintf(buf, 48, "%d", info->c);
    return buf;
}

static json_t *layer_json(const lens_node *node) {
    lens_node_info info, source;
    lens_node_info_get(node, &info);
    json_t *inputs = json_array(), *output = json_array();
    for (int i = 0; i < info.inputs; i++) {
        lens_node_info_get(lens_node_input(node, i), &source);
        json_array_append_new(inputs, json_text(source.name));
    }
    json_array_append_new(output, json_integer(info.c));
    if (info.rank == 4) json_array_append_new(output, json_integer(info.h));
    if (info.rank > 2) json_array_append_new(output, json_integer(info.w));
    return json_pack("{s:o,s:s,s:s,s:o,s:o,s:I,s:I,s:I,s:i,s:i}", "name", json_text(info.name),
                     "kind", info.kind, "what", info.label, "inputs", inputs, "output", output,
                     "parameters", (json_int_t)info.parameters, "macs", (json_int_t)info.macs,
                     "connections", (json_int_t)info.connections, "field", info.field, "jump",
                     info.jump);
}

/* Bytes of a session for one picture; 0 if there is less memory than that. */
static int session_bytes(cli *c, const model *m, bool train, size_t *bytes) {
    lens_session *session;
    lens_status status = lens_session_new(&session, m->net, c->ctx,
                                          &(lens_session_opts){ .batch = 1, .train = train });
    *bytes = 0;
    if (status == LENS_NOMEM) return EXIT_DONE;
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    *bytes = lens_session_bytes(session);
    lens_session_free(session);
    return EXIT_DONE;
}

static const char *memory(size_t bytes, char buf[32]) {
    return bytes ? as_bytes((double)bytes, buf) : "more than there is";
}

static json_t *memory_json(size_t bytes) {
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

/* What the layers that serve training alone add to the net's totals. */
typedef struct extra {
    int64_t parameters, macs;
} extra;

static extra extra_of(const lens_net *net) {
    extra sum = { 0 };
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        sum.parameters += info.training ? info.parameters : 0;
        sum.macs += info.training ? info.macs : 0;
    }
    return sum;
}

static void print_layers(const lens_net *net) {
    table *t = table_new(
        "llrrrr", (const char *[]){ "layer", "what", "output", "parameters", "MACs", "field" });
    char parameters[32], macs[32], field[32], shape[48];
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        table_row(t,
                  (const char *[]){ info.name, info.label, shape_of(&info, shape),
                                    info.parameters ? with_commas(info.parameters, parameters) : "",
                                    info.macs ? with_commas(info.macs, macs) : "",
                                    with_commas(info.field, field) });
    }
    table_line(t);
    table_row(t,
              (const char *[]){ "total", "", "", with_commas(lens_net_parameters(net), parameters),
                                with_commas(lens_net_macs(net), macs), "" });
    extra more = extra_of(net);
    if (more.parameters)
        table_row(t, (const char *[]){ "for training alone", "", "",
                                       with_commas(more.parameters, parameters),
                                       with_commas(more.macs, macs), "" });
    table_print(t);
}

static int print_text(cli *c, const model *m) {
    char *text;
    lens_status status = lens_net_text(m->net, &text);
    if (status != LENS_OK) return fail_status(c, status, WORKING);
    if (c->json)
        emit(c, json_pack("{s:o,s:o}", "net", json_text(lens_net_name(m->net)), "text",
                          json_text(text)));
    else
        fputs(text, stdout);
    lens_free(c->ctx, text);
    return EXIT_DONE;
}

/* What train does unless told otherwise, and what --recipe paper adds. */
static void print_recipe(const lens_zoo_entry *r) {
    printf("\nrecipe: %s, rate %g, momentum %g, weight decay %g, batch %d, schedule %s, init %s\n",
           r->optimizer, r->rate, r->momentum, r->weight_decay, r->batch,
           r->schedule ? r->schedule : "constant", r->init);
    if (!r->epochs) return;
    printf("paper:  %d epochs", r->epochs);
    if (r->resize) printf(", shorter side %d", r->resize);
    printf("%s%s\n", r->augment ? ", " : "", r->augment ? r->augment : "");
}

static json_t *recipe_json(const lens_zoo_entry *r) {
    if (!r) return json_null();
    return json_pack("{s:s,s:f,s:f,s:f,s:i,s:s,s:s,s:{s:i,s:i,s:s}}", "optimizer", r->optimizer,
                     "lr", r->rate, "momentum", r->momentum, "weight_decay", r->weight_decay,
                     "batch", r->batch, "schedule", r->schedule ? r->schedule : "constant", "init",
                     r->init, "paper", "epochs", r->epochs, "resize", r->resize, "augment",
                     r->augment ? r->augment : "");
}

static int describe(cli *c, const model *m) {
    size_t run_bytes, train_bytes;
    extra more = extra_of(m->net);
    int status = session_bytes(c, m, false, &run_bytes);
    if (status == EXIT_DONE) status = session_bytes(c, m, true, &train_bytes);
    if (status) return status;
    if (!c->json) {
        char run[32], train[32], weights[32];
        if (m->entry) printf("%s: %s\n%s\n\n", m->entry->name, m->entry->what, m->entry->paper);
        print_layers(m->net);
        printf("\nmemory: weights %s; one picture %s, %s in training\n",
               as_bytes(4.0 * (double)lens_net_parameters(m->net), weights), memory(run_bytes, run),
               memory(train_bytes, train));
        if (m->recipe) print_recipe(m->recipe);
        return EXIT_DONE;
    }
    json_t *layers = json_array();
    for (int i = 0; i < lens_net_nodes(m->net); i++)
        json_array_append_new(layers, layer_json(lens_net_node(m->net, i)));
    return emit(c,
                json_pack("{s:o,s:I,s:I,s:I,s:I,s:[iii],s:i,s:o,s:o,s:o,s:o}", "net",
                          json_text(lens_net_name(m->net)), "parameters",
                          (json_int_t)lens_net_parameters(m->net), "macs",
                          (json_int_t)lens_net_macs(m->net), "train_parameters",
                          (json_int_t)(lens_net_parameters(m->net) + more.parameters), "train_macs",
                          (json_int_t)(lens_net_macs(m->net) + more.macs), "input", m->input.c,
                          m->input.h, m->input.w, "classes", m->classes, "arena_bytes",
                          memory_json(run_bytes), "train_arena_bytes", memory_json(train_bytes),
                          "recipe", recipe_json(m->recipe), "layers", layers));
}

int open_argument(cli *c, model *m, const char *what) {
    lens_zoo_opts opts = { .classes = (int)whole_of(c, "classes", 0) };
    const char *input = text_of(c, "input", NULL);
    if (input) {
        int status = read_size(c, "input", input, &opts.channels, &opts.height, &opts.width);
        if (status) return status;
    }
    int status = open_net(c, m, what, &opts);
    if (status || m->entry || (!input && !opts.classes)) return status;
    return fail(c, EXIT_USAGE, "%s has its own input and classes: leave out --%s", what,
                input ? "input" : "classes");
}

int run_inspect(cli *c) {
    if (!c->operands) return list_nets(c);
    model m = { 0 };
    int status = open_argument(c, &m, c->operand[0]);
    if (status == EXIT_DONE) status = has(c, "text") ? print_text(c, &m) : describe(c, &m);
    close_model(&m);
    return status;
}
