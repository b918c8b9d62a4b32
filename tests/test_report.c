/* test_report.c - the numbers on the page of lenslet report, against plain sums over the same scores.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "support/tempdir.h"
#include "test.h"

#include <lenslet.h>

enum { CLASSES = 6, BINS = 10, PAGE = 1 << 23 };

/* What the program prints, or what a file holds. */
static char *read_all(FILE *from) {
    char *text = calloc(1, PAGE);
    assert_non_null(text);
    assert_true(fread(text, 1, PAGE - 1, from) < PAGE - 1);
    return text;
}

/* Expected calibration error over ten bins (Naeini, Cooper & Hauskrecht 2015), from scores. */
static double calibration_error(const lens_data *data, const float *scores, size_t images,
                                lens_ctx *ctx) {
    double sure[BINS] = { 0 }, right[BINS] = { 0 }, error = 0;
    for (size_t i = 0; i < images; i++) {
        double sum = 0, best = 0;
        int label, argmax = 0;
        assert_ok(ctx, lens_data_get(data, LENS_TEST, i, NULL, &label));
        for (int k = 0; k < CLASSES; k++) {
            double e = exp((double)scores[i * CLASSES + (size_t)k]);
            sum += e;
            if (e > best) best = e, argmax = k;
        }
        for (int b = 0; b < BINS; b++)
            if (best / sum > b / 10.0 && best / sum <= (b + 1) / 10.0) {
                sure[b] += best / sum;
                right[b] += argmax == label;
            }
    }
    for (int b = 0; b < BINS; b++) error += fabs(sure[b] - right[b]) / (double)images;
    return error;
}

static void numbers_of_the_page(void **state) {
    (void)state;
    char folder[TEMPDIR_PATH], command[4 * TEMPDIR_PATH], path[TEMPDIR_PATH + 32], cell[64];
    lens_ctx *ctx = test_ctx(2);
    lens_data *data;
    lens_net *net;
    lens_train_result trained;
    lens_eval_result result;
    int64_t confusion[CLASSES * CLASSES];
    tempdir_make(folder);
    assert_ok(ctx, lens_data_open(ctx, &data, "shapes", NULL));
    assert_ok(ctx, lens_net_parse(ctx, &net,
                                  "input data 3x28x28\nconv2d conv1 out=4 kernel=5\nrelu\n"
                                  "maxpool kernel=4\ndense fc out=6\n",
                                  "test"));
    assert_ok(ctx,
              lens_train(net, data, &(lens_train_opts){ .epochs = 1, .out = folder }, &trained));
    size_t images = lens_data_describe(data)->count[LENS_TEST];
    float *scores = calloc(images * CLASSES, sizeof *scores);
    assert_non_null(scores);
    assert_ok(ctx, lens_eval(net, data, LENS_TEST, 64, &result, confusion, scores));

    snprintf(
        command, sizeof command,
        "%s/lenslet report -q --lang en -m %s/model.safetensors -d shapes -o %s/page.html --json",
        TEST_BUILD_DIR, folder, folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *said = read_all(pipe);
    assert_int_equal(pclose(pipe), 0);
    const char *ece = strstr(said, "\"ece\": ");
    assert_non_null(ece);
    assert_near(strtod(ece + 7, NULL), calibration_error(data, scores, images, ctx), 1e-6);

    snprintf(path, sizeof path, "%s/page.html", folder);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *page = read_all(file);
    fclose(file);
    for (int k = 0; k < CLASSES; k++) {
        const int64_t *row = confusion + k * CLASSES;
        int64_t all = 0, taken = 0;
        for (int i = 0; i < CLASSES; i++) all += row[i], taken += confusion[i * CLASSES + k];
        const char *name = lens_data_describe(data)->class_name[k];
        snprintf(cell, sizeof cell, "<tr><td>%s</td>", name);
        const char *at = strstr(page, cell), *end = at ? strchr(at, '\n') : NULL;
        if (!end) fail_msg("no row for %s", name);
        int64_t hits = row[k];
        if (taken == 0) continue;
        char expected[256];
        snprintf(
            expected, sizeof expected,
            "<td class=\"n\">%lld</td><td class=\"n\">%.2f %%</td><td class=\"n\">%.2f %%</td>",
            (long long)all, 100.0 * (double)hits / (double)all,
            100.0 * (double)hits / (double)taken);
        const char *found = strstr(at, expected);
        if (!found || found > end) fail_msg("%.*s lacks %s", (int)(end - at), at, expected);
    }
    free(page);
    free(said);
    free(scores);
    lens_net_free(net);
    lens_data_free(data);
    lens_ctx_free(ctx);
    tempdir_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T("precision, recall and calibration of a report", numbers_of_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
