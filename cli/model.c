/* model.c - opens nets, models, data sets and pictures as the options say.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_NET_TEXT = 1 << 20 }; /* a DenseNet-264 is 40 KiB */

bool has_ending(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcasecmp(text + length - tail, end);
}

bool names_tensors(const char *path) {
    return has_ending(path, ".safetensors") || has_ending(path, ".pth") ||
           has_ending(path, ".pt") || has_ending(path, ".th");
}

/* A word that can only be meant as a path. */
static bool is_path(const char *text) { return strpbrk(text, "/.") != NULL; }

static int read_text(cli *c, const char *path, char **text) {
    FILE *file = fopen(path, "rb");
    if (!file) return fail(c, EXIT_BAD_INPUT, "%s: %s", path, strerror(errno));
    *text = take(MAX_NET_TEXT + 1, 1);
    size_t size = fread(*text, 1, MAX_NET_TEXT + 1, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    int status = EXIT_DONE;
    if (error)
        status = fail(c, EXIT_BAD_INPUT, "%s: %s", path, strerror(error));
    else if (size > MAX_NET_TEXT)
        status = fail(c, EXIT_BAD_INPUT, "%s: longer than the %d bytes a net text may have", path,
                      MAX_NET_TEXT);
    else if (memchr(*text, 0, size))
        status = fail(c, EXIT_BAD_INPUT, "%s: neither a net text nor a .safetensors file", path);
    if (status) {
        free(*text);
        *text = NULL;
    }
    return status;
}

/* Numbers separated by commas; false leaves them alone unless there are exactly `count`. */
static bool read_numbers(const char *text, float *out, int count) {
    float *value = take((size_t)count, sizeof *value);
    int read = 0;
    while (text && *text && read < count) {
        char *end;
        value[read] = strtof(text, &end);
        if (end == text || !isfinite(value[read])) break;
        read++;
        text = *end == ',' ? end + 1 : end;
    }
    bool good = read == count && text && !*text;
    if (good) memcpy(out, value, (size_t)count * sizeof *out);
    free(value);
    return good;
}

static void free_words(model *m) {
    for (int i = 0; m->label && i < m->classes; i++) free(m->label[i]);
    free(m->label);
    free(m->mean);
    free(m->std);
}

void read_words(model *m) {
    free_words(m);
    m->recipe = lens_zoo_find(lens_net_name(m->net));
    lens_node_info_get(lens_net_input(m->net), &m->input);
    lens_node_info_get(lens_net_output(m->net), &m->output);
    m->classes = m->output.c;
    m->label = take((size_t)m->classes, sizeof *m->label);
    const char *line = lens_net_meta(m->net, "classes");
    for (int i = 0; i < m->classes; i++) {
        size_t length = line ? strcspn(line, "\n") : 0;
        m->label[i] = length ? say_text("%.*s", (int)length, line) : say_text("%d", i);
        if (line) line = line[length] ? line + length + 1 : NULL;
    }
    m->mean = take((size_t)m->input.c, sizeof *m->mean);
    m->std = take((size_t)m->input.c, sizeof *m->std);
    for (int i = 0; i < m->input.c; i++) m->std[i] = 1;
    const char *resize = lens_net_meta(m->net, "resize");
    const char *interpolation = lens_net_meta(m->net, "interpolation");
    float shorter = 0;
    m->resize = read_numbers(resize, &shorter, 1) && shorter < 65536 ? (int)shorter : 0;
    m->interpolation =
        interpolation && !strcmp(interpolation, "bicubic") ? LENS_BICUBIC : LENS_BILINEAR;
    read_numbers(lens_net_meta(m->net, "mean"), m->mean, m->input.c);
    read_numbers(lens_net_meta(m->net, "std"), m->std, m->input.c);
}

/* A net of the zoo by the weights in a file, which are loaded unless only the net is wanted. */
static int recognise(cli *c, model *m, const char *path, bool load) {
    lens_zoo_fits fits;
    lens_status status = lens_zoo_recognise(c->ctx, path, &fits);
    if (status != LENS_OK) return fail_status(c, status, READING);
    note(c, "note: %s: the weights of %s", path, fits.entry[0]->name);
    for (int i = 1; i < fits.count; i++)
        note(c, "note: they fit %s too: --net %s --weights %s", fits.entry[i]->name,
             fits.entry[i]->name, path);
    const lens_zoo_opts opts = { .classes = fits.classes };
    int done = open_net(c, m, fits.entry[0]->name, &opts);
    if (done == EXIT_DONE && load) done = load_weights(c, m, path, NULL);
    if (done) close_model(m);
    return done;
}

/* A model file, or weights alone. */
static int load_model(cli *c, model *m, const char *path, bool load) {
    bool have = true;
    lens_status status = LENS_OK;
    if (names_tensors(path)) status = lens_weights_have_net(c->ctx, path, &have);
    if (status == LENS_OK && !have) return recognise(c, m, path, load);
    if (status == LENS_OK) status = lens_net_load(c->ctx, &m->net, path);
    if (status != LENS_OK) return fail_status(c, status, READING);
    m->trained = true;
    read_words(m);
    return EXIT_DONE;
}

int open_net(cli *c, model *m, const char *what, const lens_zoo_opts *opts) {
    lens_status status;
    *m = (model){ .entry = lens_zoo_find(what) };
    if (m->entry || !is_path(what)) {
        struct stat file;
        if (m->entry || stat(what, &file) != 0) {
            status = lens_zoo_new(c->ctx, &m->net, what, opts);
            if (status != LENS_OK) return fail_status(c, status, NAMING);
            read_words(m);
            return EXIT_DONE;
        }
    }
    if (names_tensors(what) || has_ending(what, ".onnx"))
        return load_model(c, m, what, c->verb->run != run_inspect);
    char *text = NULL;
    int failed = read_text(c, what, &text);
    if (failed) return failed;
    status = lens_net_parse(c->ctx, &m->net, text, what);
    free(text);
    if (status != LENS_OK) return fail_status(c, status, READING);
    read_words(m);
    return EXIT_DONE;
}

/* Whether a flag is given, for verbs that may not have it. */
static bool allows(const cli *c, const char *flag) {
    return find_option(c->verb, flag, 0) && has(c, flag);
}

int load_weights(cli *c, model *m, const char *path, const char *init) {
    const lens_weights_opts opts = { .partial = allows(c, "partial"),
                                     .replace_head = allows(c, "replace-head") };
    char *left_out = NULL;
    lens_status status = LENS_OK;
    if (!init && m->recipe) init = m->recipe->init;
    if (!m->trained && (opts.partial || opts.replace_head || find_option(c->verb, "init", 0))) {
        status = lens_init(m->net, init, (uint64_t)whole_of(c, "seed", 0));
        if (status != LENS_OK) return fail_status(c, status, NAMING);
    }
    status = lens_net_load_weights_with(m->net, path, &opts, &left_out);
    if (status != LENS_OK) return fail_status(c, status, READING);
    if (left_out) note(c, "note: %s: not everything was loaded: %s", path, left_out);
    lens_free(c->ctx, left_out);
    m->trained = true;
    status = lens_zoo_imagenet_words(m->net);
    read_words(m);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, WORKING);
}

int open_model(cli *c, model *m) {
    *m = (model){ 0 };
    const char *file = text_of(c, "model", NULL), *net = text_of(c, "net", NULL);
    const char *weights = text_of(c, "weights", NULL);
    if (file && (net || weights))
        return fail(c, EXIT_USAGE, "--model has its own net and weights: leave out --%s",
                    net ? "net" : "weights");
    if (file) return load_model(c, m, file, true);
    if (!net || !weights)
        return fail(c, EXIT_USAGE, "which model? --model FILE, or --net NAME|FILE --weights FILE");

    lens_zoo_opts opts = { .classes = (int)whole_of(c, "classes", 0) };
    const char *input = text_of(c, "input", NULL);
    if (input && !find_option(c->verb, "input", 0)->many) {
        int status = read_size(c, "input", input, &opts.channels, &opts.height, &opts.width);
        if (status) return status;
    }
    int status = open_net(c, m, net, &opts);
    if (status) return status;
    status = load_weights(c, m, weights, NULL);
    if (status) close_model(m);
    return status;
}

void close_model(model *m) {
    free_words(m);
    lens_net_free(m->net);
    *m = (model){ 0 };
}

/* --resize; else, with --recipe paper and --size, in the paper's proportion; else as the model's pictures were; else, for --crops, in the proportion of 256 to 224. */
static int margin_of(const cli *c, const model *m) {
    if (allows(c, "resize")) return (int)whole_of(c, "resize", 0);
    const lens_zoo_entry *paper = allows(c, "recipe") ? lens_zoo_find(text_of(c, "net", "")) : NULL;
    int height, width;
    if (paper && sscanf(text_of(c, "size", ""), "%dx%d", &height, &width) == 2)
        return (int)((long long)(height < width ? height : width) * paper->resize / paper->height);
    if (!m) return 0;
    int shorter = m->input.h < m->input.w ? m->input.h : m->input.w;
    bool views = allows(c, "crops") && strcmp(text_of(c, "crops", "1"), "1");
    return m->resize || !views ? m->resize : (shorter * 256 + 112) / 224;
}

static lens_interpolation interpolation_of(const cli *c, const model *m) {
    if (allows(c, "interpolation"))
        return strcmp(text_of(c, "interpolation", ""), "bicubic") ? LENS_BILINEAR : LENS_BICUBIC;
    return m ? m->interpolation : LENS_BILINEAR;
}

int open_data(cli *c, const char *source, lens_data **data, const model *m) {
    *data = NULL;
    if (!source)
        return fail(c, EXIT_USAGE,
                    "which data? --data SRC: a known name or a path (lenslet data "
                    "list shows the names)");
    lens_data_opts opts = { .skip_bad = has(c, "skip-bad"),
                            .resize = margin_of(c, m),
                            .interpolation = interpolation_of(c, m),
                            .seed = (uint64_t)whole_of(c, "seed", 0) };
    if (m) {
        opts.channels = m->input.c == 1 || m->input.c == 3 ? m->input.c : 0;
        opts.height = m->input.h;
        opts.width = m->input.w;
    }
    if (has(c, "channels")) opts.channels = (int)whole_of(c, "channels", 0);
    const char *size = text_of(c, "size", NULL);
    if (size) {
        int channels;
        int status = read_size(c, "size", size, &channels, &opts.height, &opts.width);
        if (status) return status;
        if (channels) return fail(c, EXIT_USAGE, "--size is \"%s\"; HxW is expected", size);
    }
    lens_status status = lens_data_open(c->ctx, data, source, &opts);
    if (status == LENS_OK) return EXIT_DONE;
    bool misnamed = status == LENS_NOT_FOUND && !is_path(source);
    return fail_status(c, status, misnamed || status == LENS_BAD_ARG ? NAMING : READING);
}

lens_split split_of(const cli *c) {
    return strcmp(text_of(c, "split", "test"), "train") ? LENS_TEST : LENS_TRAIN;
}

const char *split_name(lens_split split) { return split == LENS_TRAIN ? "train" : "test"; }

int read_whole(cli *c, const model *m, const char *path, lens_tensor *whole) {
    if (m->input.rank != 4 || (m->input.c != 1 && m->input.c != 3))
        return fail(c, EXIT_USAGE,
                    "the model reads %dx%dx%d, which is neither grey nor colour "
                    "pictures; lenslet run takes raw tensors",
                    m->input.c, m->input.h, m->input.w);
    int h = m->input.h, w = m->input.w, shorter = h < w ? h : w, to = margin_of(c, m);
    if (to && to < shorter)
        return fail(c, EXIT_USAGE, "--resize %d is less than the model's input of %dx%d", to, h, w);
    if (to) {
        h = (int)((long long)h * to / shorter);
        w = (int)((long long)w * to / shorter);
    }
    lens_image image = { 0 }, fitted = { 0 };
    lens_status status = lens_image_read(c->ctx, &image, path, m->input.c);
    if (status == LENS_OK)
        status = lens_image_fit(c->ctx, &image, w, h, interpolation_of(c, m), &fitted);
    if (status == LENS_OK) {
        *whole = (lens_tensor){ NULL, 4, { 1, m->input.c, h, w } };
        whole->data = take((size_t)lens_tensor_count(whole), sizeof *whole->data);
        lens_image_to_chw(&fitted, whole->data);
    }
    lens_image_free(c->ctx, &fitted);
    lens_image_free(c->ctx, &image);
    return status == LENS_OK ? EXIT_DONE : fail_status(c, status, READING);
}

int read_picture(cli *c, const model *m, const char *path, float *chw) {
    lens_tensor whole, centre = { chw, 4, { 1, m->input.c, m->input.h, m->input.w } };
    int status = read_whole(c, m, path, &whole);
    if (status) return status;
    lens_status cut = lens_view(c->ctx, &whole, 1, 0, &centre);
    free(whole.data);
    return cut == LENS_OK ? EXIT_DONE : fail_status(c, cut, WORKING);
}

void normalise(const model *m, float *chw, int n) {
    size_t plane = (size_t)m->input.h * (size_t)m->input.w;
    for (int i = 0; i < n * m->input.c; i++, chw += plane) {
        float mean = m->mean[i % m->input.c], deviation = m->std[i % m->input.c];
        for (size_t k = 0; k < plane; k++) chw[k] = (chw[k] - mean) / deviation;
    }
}

void probabilities(const model *m, const float *y, float *p) {
    if (!strcmp(m->output.kind, "softmax")) {
        memcpy(p, y, (size_t)m->classes * sizeof *p);
        return;
    }
    double largest = -INFINITY, sum = 0;
    /* Not fmax: GCC 12 for AArch64 ends here with an internal error. */
    for (int k = 0; k < m->classes; k++) largest = y[k] > largest ? (double)y[k] : largest;
    for (int k = 0; k < m->classes; k++) sum += exp((double)y[k] - largest);
    for (int k = 0; k < m->classes; k++) p[k] = (float)(exp((double)y[k] - largest) / sum);
}

int make_folder(cli *c, const char *path) {
    char *part = say_text("%s", path);
    int status = EXIT_DONE;
    for (char *slash = part + 1; status == EXIT_DONE; slash++) {
        slash = strchr(slash, '/');
        if (slash) *slash = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            status =
                fail(c, EXIT_FAILED, "%s: the folder cannot be made: %s", part, strerror(errno));
        if (!slash) break;
        *slash = '/';
        if (!slash[1]) break;
    }
    struct stat folder;
    if (status == EXIT_DONE && (stat(path, &folder) != 0 || !S_ISDIR(folder.st_mode)))
        status = fail(c, EXIT_FAILED, "%s is not a folder", path);
    free(part);
    return status;
}
