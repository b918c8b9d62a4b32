/* overfit.c - one picture, shown again and again: the loss falls at every step, and the probability of
 * its class goes to 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>

int main(int argc, char **argv) {
    enum { STEPS = 100 };
    lab l = lab_open(argc, argv, "overfit");
    lens_data *data = lab_pictures(&l);
    lens_net *net;
    lens_session *session;
    lens_optim *optim;
    float picture[28 * 28];
    double losses[STEPS], chances[STEPS];
    int label;
    lens_tensor x = { picture, 4, { 1, 1, 28, 28 } }, y;
    const lens_loss loss = { .kind = LENS_CROSS_ENTROPY };
    lab_must(&l, lens_data_get(data, LENS_TRAIN, 0, picture, &label));
    lab_must(&l, lens_zoo_new(l.ctx, &net, "lenet5", NULL));
    lab_must(&l, lens_init(net, "he", 1));
    lab_must(&l, lens_session_new(&session, net, l.ctx, &(lens_session_opts){ .train = true }));
    lab_must(&l, lens_optim_new(&optim, net, NULL));
    lab_row(&l, "step,loss,probability");
    for (uint32_t step = 0; step < STEPS; step++) {
        int32_t target = label;
        lab_must(&l, lens_forward(session, &x, step, &y));
        lab_must(&l, lens_loss_eval(l.ctx, &loss, &y, &target, &losses[step], NULL, &y));
        lab_must(&l, lens_backward(session, &y));
        lab_must(&l, lens_optim_step(optim, session, 0.01));
        chances[step] = exp(-losses[step]);
        lab_row(&l, "%u,%.9f,%.6f", step, losses[step], chances[step]);
    }
    const lens_figure_series loss_line = { "loss", NULL, losses, STEPS };
    const lens_figure_series chance_line = { "its class", NULL, chances, STEPS };
    const lens_figure_panel panels[] = { { "loss", &loss_line, 1, LENS_BEST_NONE },
                                         { "probability", &chance_line, 1, LENS_BEST_NONE } };
    lab_curves(&l, "One picture learned by heart", NULL, "step", panels, 2);
    lens_optim_free(optim);
    lens_session_free(session);
    lens_net_free(net);
    lens_data_free(data);
    return lab_close(&l);
}
