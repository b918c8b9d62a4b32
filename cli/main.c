/* main.c - reads the command line, makes the context, calls the verb.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void log_line(void *user, lens_log_level level, const char *text) {
    const cli *c = user;
    if (level == LENS_LOG_WARN || c->verbose)
        note(c, "lenslet: %s%s", level == LENS_LOG_WARN ? "note: " : "", text);
}

static int make_context(cli *c) {
    char why[256];
    lens_ctx_opts opts = { .threads = (int)whole_of(c, "threads", 0),
                           .strict = has(c, "strict"),
                           .tune = has(c, "tune"),
                           .memory = (size_t)whole_of(c, "memory", 0) << 20,
                           .wisdom = text_of(c, "wisdom", NULL),
                           .log = log_line,
                           .log_user = c };
    lens_status status = lens_ctx_new(&c->ctx, &opts, why);
    if (status == LENS_OK) return EXIT_DONE;
    return fail(c, status == LENS_BAD_ARG ? EXIT_USAGE : EXIT_FAILED, "%s", why);
}

static int print_version(cli *c) {
    if (c->json)
        return emit(c, json_pack("{s:s,s:s,s:i}", "version", lens_version(), "isa",
                                 lens_ctx_isa(c->ctx), "threads", lens_ctx_threads(c->ctx)));
    printf("lenslet %s (%s, %d thread%s)\n", lens_version(), lens_ctx_isa(c->ctx),
           lens_ctx_threads(c->ctx), lens_ctx_threads(c->ctx) == 1 ? "" : "s");
    return EXIT_DONE;
}

static int act(cli *c) {
    if (has(c, "help")) {
        if (c->verb)
            print_help(c->verb);
        else
            print_overview(stdout);
        return EXIT_DONE;
    }
    if (!c->verb && !has(c, "version")) {
        int status = fail(c, EXIT_USAGE, "no verb is given");
        if (!c->quiet) print_overview(stderr);
        return status;
    }
    int status = make_context(c);
    if (status) return status;
    return has(c, "version") ? print_version(c) : c->verb->run(c);
}

/* What is still in the buffer of stdout may not fit on the disk. */
static int flush_results(cli *c, int status) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    c->json = false;
    return status ? status : fail(c, EXIT_FAILED, "the results cannot be written to stdout");
}

int main(int argc, char **argv) {
    cli c = { 0 };
    const char *term = getenv("TERM");
    speak_for(&c);
    c.bar = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
    int status = read_arguments(&c, argc, argv);
    if (status == EXIT_DONE) status = act(&c);
    lens_ctx_free(c.ctx);
    status = flush_results(&c, status);
    free_arguments(&c);
    return status;
}
