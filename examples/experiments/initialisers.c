/* initialisers.c - the same net from different initial weights: losses after one epoch and later.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

int main(int argc, char **argv) {
    static const char *const inits[] = { "he",   "xavier",      "lecun",      "torch",
                                         "zero", "normal:0.01", "normal:0.1", "uniform:0.05" };
    enum { INITS = sizeof inits / sizeof *inits };
    static lab_run runs[INITS];
    lab l = lab_open(argc, argv, "initialisers");
    lens_data *data = lab_pictures(&l);
    lens_figure_series lines[INITS];
    lab_row(&l, "init,loss_after_1_epoch,test_loss_after_1_epoch,test_accuracy_at_end");
    for (int i = 0; i < INITS; i++) {
        lens_net *net = lab_net(&l, "input data 1x28x28\n"
                                    "conv2d conv1 out=6 kernel=5 pad=2\nrelu\nmaxpool kernel=2\n"
                                    "conv2d conv2 out=16 kernel=5\nrelu\nmaxpool kernel=2\n"
                                    "dense fc1 out=120\nrelu\ndense fc2 out=84\nrelu\n"
                                    "dense fc3 out=10\n");
        runs[i] = lab_train(&l, net, data,
                            (lens_train_opts){ .epochs = l.quick ? 4 : 5,
                                               .batch = 32,
                                               .init = inits[i],
                                               .seed = 1,
                                               .optim = { .rate = 0.02, .momentum = 0.9 } });
        lab_row(&l, "%s,%.4f,%.4f,%.4f", inits[i], runs[i].train_loss[0], runs[i].test_loss[0],
                runs[i].result.test_accuracy);
        lines[i] =
            (lens_figure_series){ inits[i], NULL, runs[i].test_loss, (size_t)runs[i].epochs };
        lens_net_free(net);
    }
    const lens_figure_panel panel = { "test loss", lines, INITS, LENS_BEST_NONE };
    lab_curves(&l, "Initialisation matters", "LeNet-5, SGD, one seed; only the start differs",
               "epoch", &panel, 1);
    lens_data_free(data);
    return lab_close(&l);
}
