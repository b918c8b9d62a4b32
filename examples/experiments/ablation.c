/* ablation.c - one change at a time to the course's net for shapes: 5x5 kernels instead of 3x3, 1x1 kernels
 * that only mix channels, no second convolution.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

int main(int argc, char **argv) {
    enum { NETS = 4 };
    static const struct {
        const char *name, *first, *second;
    } nets[NETS] = {
        { "as it is", "out=8 kernel=3 pad=1",
          "conv2d conv2 out=16 kernel=3\nrelu\nmaxpool kernel=2" },
        { "5x5 kernels", "out=8 kernel=5 pad=2",
          "conv2d conv2 out=16 kernel=5\nrelu\nmaxpool kernel=2" },
        { "1x1 kernels first", "out=4 kernel=1",
          "conv2d conv2 out=16 kernel=3\nrelu\nmaxpool kernel=2" },
        { "no second convolution", "out=8 kernel=3 pad=1", "" },
    };
    static lab_run runs[NETS];
    lab l = lab_open(argc, argv, "ablation");
    lens_data *data;
    lens_figure_series lines[NETS];
    lab_must(&l, lens_data_open(l.ctx, &data, "shapes:shape", &(lens_data_opts){ .channels = 1 }));
    lab_row(&l, "net,parameters,macs,test_accuracy");
    for (int i = 0; i < NETS; i++) {
        lens_net *net = lab_net(&l,
                                "input data 1x28x28\nconv2d conv1 %s\nrelu\nmaxpool kernel=2\n"
                                "%s\ndense fc1 out=32\nbatchnorm\nrelu\ndense fc2 out=5\n",
                                nets[i].first, nets[i].second);
        runs[i] = lab_train(
            &l, net, data,
            (lens_train_opts){
                .epochs = l.quick ? 2 : 20, .batch = 16, .seed = 1, .optim = { .rate = 0.1 } });
        lab_row(&l, "%s,%lld,%lld,%.4f", nets[i].name, (long long)lens_net_parameters(net),
                (long long)lens_net_macs(net), runs[i].result.test_accuracy);
        lines[i] = (lens_figure_series){ nets[i].name, NULL, runs[i].test_accuracy,
                                         (size_t)runs[i].epochs };
        lens_net_free(net);
    }
    const lens_figure_panel panel = { "test accuracy", lines, NETS, LENS_BEST_NONE };
    lab_curves(&l, "One change at a time", "a net that tells five shapes apart", "epoch", &panel,
               1);
    lens_data_free(data);
    return lab_close(&l);
}
