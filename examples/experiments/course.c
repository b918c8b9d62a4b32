/* course.c - colour, shape, and both: three small nets of a course beside a dense net on the same
 * pictures in grey.
 *
 * In the course's own pictures of colours the colour also chose how a triangle lies, so that grey
 * pictures gave some colours away. Here place, size, proportions and width are drawn apart from colour.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>

int main(int argc, char **argv) {
    static const struct {
        const char *data, *net;
        int channels, epochs, dense_epochs, quick;
    } tasks[] = { { "shapes", "course-color", 3, 20, 40, 6 },
                  { "shapes:shape", "course-shape", 1, 50, 40, 8 },
                  { "shapes:both", "course-both", 3, 20, 40, 4 } };
    static lab_run runs[3];
    lab l = lab_open(argc, argv, "course");
    lens_figure_series lines[3];
    lab_row(&l, "task,net,parameters,epochs,test_accuracy,best_accuracy");
    for (int i = 0; i < 3; i++) {
        lens_data *data, *grey;
        lens_net *net, *dense;
        const lens_zoo_entry *recipe = lens_zoo_find(tasks[i].net);
        lab_must(&l, lens_data_open(l.ctx, &data, tasks[i].data,
                                    &(lens_data_opts){ .channels = tasks[i].channels }));
        lab_must(&l,
                 lens_data_open(l.ctx, &grey, tasks[i].data, &(lens_data_opts){ .channels = 1 }));
        lab_must(&l, lens_zoo_new(l.ctx, &net, tasks[i].net, NULL));
        lab_must(&l, lens_zoo_new(l.ctx, &dense, "mlp-128-64",
                                  &(lens_zoo_opts){ .classes = recipe->classes }));
        runs[i] = lab_train(&l, net, data,
                            (lens_train_opts){ .epochs = l.quick ? tasks[i].quick : tasks[i].epochs,
                                               .batch = recipe->batch,
                                               .seed = 1,
                                               .optim = { .rate = recipe->rate } });
        lab_row(&l, "%s,%s,%lld,%d,%.4f,%.4f", tasks[i].data, tasks[i].net,
                (long long)lens_net_parameters(net), runs[i].epochs, runs[i].result.test_accuracy,
                runs[i].result.best_accuracy);
        lab_run run = lab_train(&l, dense, grey,
                                (lens_train_opts){ .epochs = l.quick ? 4 : tasks[i].dense_epochs,
                                                   .batch = recipe->batch,
                                                   .seed = 1,
                                                   .optim = { .rate = 0.01 } });
        lab_row(&l, "%s,mlp-128-64 in grey,%lld,%d,%.4f,%.4f", tasks[i].data,
                (long long)lens_net_parameters(dense), run.epochs, run.result.test_accuracy,
                run.result.best_accuracy);
        lines[i] = (lens_figure_series){ tasks[i].net, NULL, runs[i].test_accuracy,
                                         (size_t)runs[i].epochs };
        lens_net_free(dense);
        lens_net_free(net);
        lens_data_free(grey);
        lens_data_free(data);
    }
    const lens_figure_panel panel = { "test accuracy", lines, 3, LENS_BEST_NONE };
    lab_curves(&l, "Colour, shape, and both", NULL, "epoch", &panel, 1);
    return lab_close(&l);
}
