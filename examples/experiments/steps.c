/* steps.c - the five steps of training, spelled out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

enum { EPOCHS = 3, BATCH = 50 };

int main(int argc, char **argv) {
    lab l = lab_open(argc, argv, "steps");
    lens_data *data = lab_pictures(&l);
    lens_net *net = lab_net(&l, "input data 1x28x28\nconv2d conv1 out=8 kernel=5\nrelu\n"
                                "maxpool kernel=2\ndense fc out=10\n");
    const lens_loss loss = { .kind = LENS_CROSS_ENTROPY };
    const lens_loader_opts order = { .shuffle = true };
    lens_session *session;
    lens_optim *optim;
    lens_loader *loader;
    lens_batch batch;
    lens_tensor scores;
    double mean[EPOCHS] = { 0 }, right[EPOCHS] = { 0 };
    uint32_t step = 0;

    /* Step 1, once, before the first picture: random weights. */
    lab_must(&l, lens_init(net, "he", 1));

    lab_must(&l, lens_session_new(&session, net, l.ctx,
                                  &(lens_session_opts){ .batch = BATCH, .train = true }));
    lab_must(&l, lens_optim_new(&optim, net, NULL));
    lab_must(&l, lens_loader_new(l.ctx, &loader, data, LENS_TRAIN, BATCH, &order));
    lab_row(&l, "epoch,initialisations,updates,loss,accuracy");
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t seen = 0;
        lab_must(&l, lens_loader_epoch(loader, (uint32_t)epoch, 0));
        for (;; step++) {
            double value;
            int correct;
            lab_must(&l, lens_loader_next(loader, &batch));
            if (batch.n == 0) break;

            /* Step 2: forward, from pictures to scores. */
            lab_must(&l, lens_forward(session, &batch.images, step, &scores));

            /* Step 3: the error at the output, and its gradient, which takes the scores' place. */
            lab_must(
                &l, lens_loss_eval(l.ctx, &loss, &scores, batch.labels, &value, &correct, &scores));

            /* Step 4: backward, the gradient of every weight; then each moves against it. */
            lab_must(&l, lens_backward(session, &scores));
            lab_must(&l, lens_optim_step(optim, session, 0.05));

            mean[epoch] += value * batch.n;
            right[epoch] += correct;
            seen += batch.n;
        }
        /* Step 5: the same again with every other picture: steps 2 to 4, not step 1. */
        mean[epoch] /= (double)seen;
        right[epoch] /= (double)seen;
        lab_row(&l, "%d,1,%u,%.6f,%.4f", epoch + 1, step, mean[epoch], right[epoch]);
    }

    const lens_figure_series line = { "loss", NULL, mean, EPOCHS };
    const lens_figure_panel panel = { "training loss", &line, 1, LENS_BEST_NONE };
    lab_curves(&l, "Five steps of training", NULL, "epoch", &panel, 1);
    lens_loader_free(loader);
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    lens_data_free(data);
    return lab_close(&l);
}
