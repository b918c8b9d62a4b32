/* pooling.c - LeNet's two poolings as maximum, average, sum, and left out: accuracy and price.
 *
 * Without pooling the first dense layer reads 16 maps of 24x24 instead of 5x5. A sum is four times the
 * average: at the rate that suits the others its net may not learn.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

int main(int argc, char **argv) {
    static const struct {
        const char *name, *line;
    } kinds[] = { { "maximum", "maxpool kernel=2" },
                  { "average", "avgpool kernel=2" },
                  { "sum", "sumpool kernel=2" },
                  { "none", "" } };
    static lab_run runs[4];
    lab l = lab_open(argc, argv, "pooling");
    lens_data *data = lab_pictures(&l);
    lens_figure_series lines[4];
    lab_row(&l, "pooling,fc1_weights,parameters,macs,train_accuracy,test_accuracy,gap");
    for (int i = 0; i < 4; i++) {
        lens_net *net = lab_net(&l,
                                "input data 1x28x28\n"
                                "conv2d conv1 out=6 kernel=5 pad=2\nrelu\n%s\n"
                                "conv2d conv2 out=16 kernel=5\nrelu\n%s\n"
                                "dense fc1 out=120\nrelu\ndense fc2 out=84\nrelu\n"
                                "dense fc3 out=10\n",
                                kinds[i].line, kinds[i].line);
        lens_param fc1;
        lens_eval_result train;
        runs[i] = lab_train(
            &l, net, data,
            (lens_train_opts){
                .epochs = 6, .batch = 32, .seed = 1, .optim = { .rate = 0.01, .momentum = 0.9 } });
        lab_must(&l, lens_net_param_named(net, "fc1.weight", &fc1));
        lab_must(&l, lens_eval(net, data, LENS_TRAIN, 256, &train, NULL, NULL));
        double learned = (double)train.correct / (double)train.images;
        lab_row(&l, "%s,%lld,%lld,%lld,%.4f,%.4f,%.4f", kinds[i].name,
                (long long)lens_tensor_count(&fc1.value), (long long)lens_net_parameters(net),
                (long long)lens_net_macs(net), learned, runs[i].result.test_accuracy,
                learned - runs[i].result.test_accuracy);
        lines[i] = (lens_figure_series){ kinds[i].name, NULL, runs[i].test_accuracy,
                                         (size_t)runs[i].epochs };
        lens_net_free(net);
    }
    const lens_figure_panel panel = { "test accuracy", lines, 4, LENS_BEST_NONE };
    lab_curves(&l, "LeNet-5 with four kinds of pooling", NULL, "epoch", &panel, 1);
    lens_data_free(data);
    return lab_close(&l);
}
