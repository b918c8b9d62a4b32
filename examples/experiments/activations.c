/* activations.c - sigmoid, tanh and ReLU in one net, from three seeds: epochs to a common loss.
 *
 * The target is the training loss that the slowest runs are still to reach: half the loss of guessing,
 * 1/2 log K. Every activation starts from the weights that suit it (Glorot & Bengio 2010; He 2015).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>

int main(int argc, char **argv) {
    static const char *const kinds[] = { "sigmoid", "tanh", "relu" };
    static const char *const inits[] = { "xavier", "xavier", "he" };
    static lab_run runs[3][3];
    lab l = lab_open(argc, argv, "activations");
    lens_data *data = lab_pictures(&l);
    double target = 0.5 * log(10);
    lens_figure_series lines[3];
    lab_row(&l, "activation,seed,epochs_to_loss_%.4f,last_loss,test_accuracy", target);
    for (int k = 0; k < 3; k++) {
        for (int seed = 0; seed < 3; seed++) {
            lab_run *run = &runs[k][seed];
            lens_net *net = lab_net(&l,
                                    "input data 1x28x28\n"
                                    "conv2d conv1 out=6 kernel=5 pad=2\n%s\nmaxpool kernel=2\n"
                                    "conv2d conv2 out=16 kernel=5\n%s\nmaxpool kernel=2\n"
                                    "dense fc1 out=84\n%s\ndense fc2 out=10\n",
                                    kinds[k], kinds[k], kinds[k]);
            *run = lab_train(&l, net, data,
                             (lens_train_opts){ .epochs = l.quick ? 6 : 8,
                                                .batch = 32,
                                                .init = inits[k],
                                                .seed = (uint64_t)seed,
                                                .optim = { .rate = 0.01, .momentum = 0.9 } });
            int needed = 0;
            while (needed < run->epochs && run->train_loss[needed] > target) needed++;
            char text[16];
            snprintf(text, sizeof text, needed < run->epochs ? "%d" : "more than %d",
                     needed < run->epochs ? needed + 1 : run->epochs);
            lab_row(&l, "%s,%d,%s,%.4f,%.4f", kinds[k], seed, text,
                    run->train_loss[run->epochs - 1], run->result.test_accuracy);
            lens_net_free(net);
        }
        lines[k] = (lens_figure_series){ kinds[k], NULL, runs[k][0].train_loss,
                                         (size_t)runs[k][0].epochs };
    }
    const lens_figure_panel panel = { "training loss, first seed", lines, 3, LENS_BEST_NONE };
    lab_curves(&l, "Three activations, the same net", NULL, "epoch", &panel, 1);
    lens_data_free(data);
    return lab_close(&l);
}
