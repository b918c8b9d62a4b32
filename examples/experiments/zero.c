/* zero.c - why weights may not all start equal: units that are twins get the same gradient for ever.
 *
 * Three runs of one net with tanh units, from zero, from a constant and from random weights. The
 * spread of a layer is the largest difference between the weights of any two of its units.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>

enum { STEPS = 4096 };

typedef struct watch {
    lens_net *net;
    size_t steps;
    double spread[STEPS], loss[STEPS];
} watch;

/* Over units i, j of the layer and over their inputs. */
static double spread_of(const lens_net *net, const char *name) {
    lens_param p;
    if (lens_net_param_named(net, name, &p) != LENS_OK) return NAN;
    int64_t units = p.value.dim[0], inputs = lens_tensor_count(&p.value) / units;
    double most = 0;
    for (int64_t k = 0; k < inputs; k++) {
        double low = INFINITY, high = -INFINITY;
        for (int64_t u = 0; u < units; u++) {
            double w = (double)p.value.data[u * inputs + k];
            low = fmin(low, w);
            high = fmax(high, w);
        }
        most = fmax(most, high - low);
    }
    return most;
}

static void look_at(void *user, uint32_t step, double loss) {
    watch *w = user;
    if (step >= STEPS) return;
    w->spread[step] = spread_of(w->net, "conv1.weight");
    w->loss[step] = loss;
    w->steps = step + 1;
}

int main(int argc, char **argv) {
    static const char *const inits[] = { "zero", "constant:0.01", "xavier" };
    static watch watches[3];
    lab l = lab_open(argc, argv, "zero");
    lens_data *data = lab_pictures(&l);
    lens_figure_series loss[3], spread[3];
    lab_row(&l, "init,steps,conv1_spread,fc1_spread,fc1_moved,first_loss,last_loss,test_accuracy");
    for (int i = 0; i < 3; i++) {
        watch *w = &watches[i];
        lens_eval_result result;
        lens_param fc1;
        w->net = lab_net(&l, "input data 1x28x28\nconv2d conv1 out=6 kernel=5\ntanh\n"
                             "maxpool kernel=2\ndense fc1 out=32\ntanh\ndense fc2 out=10\n");
        lab_must(&l, lens_init(w->net, inits[i], 1));
        lab_must(&l, lens_net_param_named(w->net, "fc1.weight", &fc1));
        double before = (double)fc1.value.data[0];
        lab_steps(&l, w->net, data,
                  (lab_steps_opts){ .epochs = l.quick ? 3 : 4,
                                    .batch = 16,
                                    .rate = 0.02,
                                    .momentum = 0.9,
                                    .after = look_at,
                                    .user = w });
        lab_must(&l, lens_eval(w->net, data, LENS_TEST, 256, &result, NULL, NULL));
        lab_row(&l, "%s,%zu,%.3g,%.3g,%.3g,%.4f,%.4f,%.4f", inits[i], w->steps,
                spread_of(w->net, "conv1.weight"), spread_of(w->net, "fc1.weight"),
                fabs((double)fc1.value.data[0] - before), w->loss[0], w->loss[w->steps - 1],
                (double)result.correct / (double)result.images);
        loss[i] = (lens_figure_series){ inits[i], NULL, w->loss, w->steps };
        spread[i] = (lens_figure_series){ inits[i], NULL, w->spread, w->steps };
        lens_net_free(w->net);
    }
    const lens_figure_panel panels[] = {
        { "largest difference between two kernels of conv1", spread, 3, LENS_BEST_NONE },
        { "loss of each step", loss, 3, LENS_BEST_NONE },
    };
    lab_curves(&l, "Equal weights stay equal", "six kernels that start as twins remain one kernel",
               "step", panels, 2);
    lens_data_free(data);
    return lab_close(&l);
}
