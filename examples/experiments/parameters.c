/* parameters.c - dense against convolutional: what accuracy costs in parameters.
 *
 * The dense net of 784-300-100-10 units beside LeNet-5 and its thinner sisters, all trained alike.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

static const char lenet[] = "net \"%s\"\ninput data 1x28x28\n"
                            "conv2d conv1 out=%d kernel=5 pad=2\nrelu\nmaxpool kernel=2\n"
                            "conv2d conv2 out=%d kernel=5\nrelu\nmaxpool kernel=2\n"
                            "dense fc1 out=%d\nrelu\ndense fc2 out=%d\nrelu\ndense fc3 out=10\n";

int main(int argc, char **argv) {
    enum { NETS = 4 };
    static lab_run runs[NETS];
    lab l = lab_open(argc, argv, "parameters");
    lens_data *data = lab_pictures(&l);
    lens_net *net[NETS] = {
        lab_net(&l, "net mlp-300-100\ninput data 1x28x28\ndense fc1 out=300\nrelu\n"
                    "dense fc2 out=100\nrelu\ndense fc3 out=10\n"),
        lab_net(&l, lenet, "lenet5", 6, 16, 120, 84),
        lab_net(&l, lenet, "lenet5 half as wide", 3, 8, 60, 42),
        lab_net(&l, lenet, "lenet5 a quarter as wide", 2, 4, 30, 21),
    };
    lens_figure_series lines[NETS];
    lab_row(&l, "net,parameters,macs,test_error");
    for (int i = 0; i < NETS; i++) {
        runs[i] = lab_train(
            &l, net[i], data,
            (lens_train_opts){
                .epochs = 8, .batch = 32, .seed = 1, .optim = { .rate = 0.02, .momentum = 0.9 } });
        lab_row(&l, "%s,%lld,%lld,%.4f", lens_net_name(net[i]),
                (long long)lens_net_parameters(net[i]), (long long)lens_net_macs(net[i]),
                1 - runs[i].result.test_accuracy);
        lines[i] = (lens_figure_series){ lens_net_name(net[i]), NULL, runs[i].test_accuracy,
                                         (size_t)runs[i].epochs };
    }
    const lens_figure_panel panel = { "test accuracy", lines, NETS, LENS_BEST_NONE };
    lab_curves(&l, "Few parameters learn useful representations", NULL, "epoch", &panel, 1);
    for (int i = 0; i < NETS; i++) lens_net_free(net[i]);
    lens_data_free(data);
    return lab_close(&l);
}
