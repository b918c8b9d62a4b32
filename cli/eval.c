/* eval.c - lenslet eval: accuracy and loss of a model on labelled pictures, and each class.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

class_score class_score_of(const int64_t *confusion, int classes, int k) {
    int64_t row = 0, column = 0, right = confusion[k * classes + k];
    for (int i = 0; i < classes; i++) {
        row += confusion[k * classes + i];
        column += confusion[i * classes + k];
    }
    return (class_score){ row, row ? (double)right / (double)row : NAN,
                          column ? (double)right / (double)column : NAN };
}

static json_t *classes_json(const lens_data_info *data, const int64_t *confusion) {
    json_t *all = json_array();
    for (int k = 0; k < data->classes; k++) {
        class_score s = class_score_of(confusion, data->classes, k);
        json_array_append_new(all, json_pack("{s:o,s:I,s:o,s:o}", "label",
                                             json_text(data->class_name[k]), "images",
                                             (json_int_t)s.images, "recall", json_number(s.recall),
                                             "precision", json_number(s.precision)));
    }
    return all;
}

static const char *share(double value, char buf[16]) {
    snprintf(buf, 16, isfinite(value) ? "%.4f" : "-", value);
    return buf;
}

static void print_classes(const lens_data_info *data, const int64_t *confusion) {
    table *t = table_new("lrrr", (const char *[]){ "class", "images", "recall", "precision" });
    for (int k = 0; k < data->classes; k++) {
        char images[32], recall[16], precision[16];
        class_score s = class_score_of(confusion, data->classes, k);
        table_row(t, (const char *[]){ data->class_name[k], with_commas(s.images, images),
                                       share(s.recall, recall), share(s.precision, precision) });
    }
    table_print(t);
}

/* A model knows its classes by number; names that differ may mean another order. */
static void compare_names(const cli *c, const model *m, const lens_data_info *data) {
    if (!lens_net_meta(m->net, "classes") || m->classes != data->classes) return;
    for (int k = 0; k < m->classes; k++)
        if (strcmp(m->label[k], data->class_name[k]))
            note(c, "note: class %d is \"%s\" in the model and \"%s\" in the data", k, m->label[k],
                 data->class_name[k]);
}

static int report(cli *c, const model *m, const lens_data_info *data,
                  const lens_eval_result *result, const int64_t *confusion) {
    double images = (double)result->images;
    double top1 = (double)result->correct / images, top5 = (double)result->correct5 / images;
    if (c->json)
        return emit(c, json_pack("{s:o,s:o,s:s,s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "net",
                                 json_text(lens_net_name(m->net)), "data", json_text(data->name),
                                 "split", split_name(split_of(c)), "images",
                                 (json_int_t)result->images, "correct", (json_int_t)result->correct,
                                 "top1", json_number(top1), "top5", json_number(top5), "loss",
                                 json_number(result->loss), "images_per_s",
                                 json_number(result->images_per_s), "classes",
                                 classes_json(data, confusion)));
    char count[32], correct[32], speed[32];
    print_classes(data, confusion);
    printf("\ntop-1     %.4f (%s of %s)\n", top1, with_commas(result->correct, correct),
           with_commas(result->images, count));
    printf("top-5     %.4f\nloss      %.4f\n", top5, result->loss);
    printf("images/s  %s\n", with_commas(llround(result->images_per_s), speed));
    return EXIT_DONE;
}

int run_eval(cli *c) {
    model m = { 0 };
    lens_data *data = NULL;
    int64_t *confusion = NULL;
    int status = open_model(c, &m);
    if (status == EXIT_DONE) status = open_data(c, text_of(c, "data", NULL), &data, &m);
    if (status == EXIT_DONE) {
        const lens_data_info *info = lens_data_describe(data);
        size_t classes = (size_t)(info->classes > m.classes ? info->classes : m.classes);
        lens_eval_result result;
        confusion = take(classes * classes, sizeof *confusion);
        compare_names(c, &m, info);
        lens_status done =
            lens_eval_crops(m.net, data, split_of(c), (int)whole_of(c, "batch", 256),
                            atoi(text_of(c, "crops", "1")), &result, confusion, NULL);
        status = done == LENS_OK ? report(c, &m, info, &result, confusion)
                                 : fail_status(c, done, WORKING);
    }
    free(confusion);
    lens_data_free(data);
    close_model(&m);
    return status;
}
