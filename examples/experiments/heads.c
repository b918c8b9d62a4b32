/* heads.c - softmax or a support vector machine on top: cross entropy, hinge and squared hinge, each
 * trained with the whole net, and hinge alone on the frozen features of the first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>
#include <string.h>

static void freeze_features(lens_net *net, const lens_node *head) {
    for (int i = 0; i < lens_net_nodes(net); i++)
        if (lens_net_node(net, i) != head) lens_node_freeze(lens_net_node(net, i), true);
}

int main(int argc, char **argv) {
    enum { HEADS = 4 };
    static const struct {
        const char *name;
        lens_loss_kind loss;
    } heads[HEADS] = { { "softmax, cross entropy", LENS_CROSS_ENTROPY },
                       { "SVM, hinge", LENS_HINGE },
                       { "SVM, squared hinge", LENS_HINGE_SQUARED },
                       { "SVM on frozen features", LENS_HINGE } };
    static lab_run runs[HEADS];
    lab l = lab_open(argc, argv, "heads");
    lens_data *data = lab_pictures(&l);
    lens_net *features = NULL;
    lens_figure_series lines[HEADS];
    lab_row(&l, "head,trained_parameters,test_accuracy");
    for (int i = 0; i < HEADS; i++) {
        bool frozen = i == HEADS - 1;
        lens_net *net =
            frozen ? features
                   : lab_net(&l, "input data 1x28x28\n"
                                 "conv2d conv1 out=6 kernel=5 pad=2\nrelu\nmaxpool kernel=2\n"
                                 "conv2d conv2 out=16 kernel=5\nrelu\nmaxpool kernel=2\n"
                                 "dense fc1 out=120\nrelu\ndense fc2 out=84\nrelu\n"
                                 "dense head out=10\n");
        int64_t trained = lens_net_parameters(net);
        if (frozen) { /* the head starts anew */
            lens_node_info info;
            lens_param head;
            lab_must(&l, lens_net_param_named(net, "head.weight", &head));
            memset(head.value.data, 0, (size_t)lens_tensor_count(&head.value) * sizeof(float));
            lens_net_touched(net);
            freeze_features(net, head.node);
            lens_node_info_get(head.node, &info);
            trained = info.parameters;
        }
        runs[i] =
            lab_train(&l, net, data,
                      (lens_train_opts){ .epochs = 6,
                                         .batch = 32,
                                         .seed = 1,
                                         .keep_weights = frozen,
                                         .loss = { .kind = heads[i].loss },
                                         .optim = { .rate = 0.01, .momentum = 0.9, .clip = 1 } });
        lab_row(&l, "\"%s\",%lld,%.4f", heads[i].name, (long long)trained,
                runs[i].result.test_accuracy);
        lines[i] = (lens_figure_series){ heads[i].name, NULL, runs[i].test_accuracy,
                                         (size_t)runs[i].epochs };
        if (i == 0)
            features = net;
        else
            lens_net_free(net);
    }
    const lens_figure_panel panel = { "test accuracy", lines, HEADS, LENS_BEST_NONE };
    lab_curves(&l, "Softmax and support vector machines as heads", NULL, "epoch", &panel, 1);
    lens_data_free(data);
    return lab_close(&l);
}
