/* flip.c - the same net trained with cross-correlation and with true convolution.
 *
 * The second net starts from the first one's kernels turned by 180 degrees. If turning is irrelevant
 * to learning, the losses of every step agree and the kernels stay each other's mirror image. Sums are
 * formed in another order, so they agree to rounding, which grows from step to step: the table says how far
 * after SHORT steps and at the end. Everything in the net is smooth, for a maximum among equals would
 * let rounding choose.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT = 50, STEPS = 1024 };

typedef struct trace {
    double loss[STEPS];
    size_t steps;
} trace;

static void keep_loss(void *user, uint32_t step, double loss) {
    trace *t = user;
    if (step < STEPS) t->loss[t->steps++] = loss;
}

static lens_param param_of(lab *l, lens_net *net, const char *name) {
    lens_param p;
    lab_must(l, lens_net_param_named(net, name, &p));
    return p;
}

/* The largest difference of a kernel of `a` from the one of `b`, turned by 180 degrees or not. */
static double kernel_difference(const lens_param *a, const lens_param *b, bool turned) {
    int64_t n = lens_tensor_count(&a->value), plane = a->value.dim[2] * a->value.dim[3];
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t other = turned ? i - i % plane + plane - 1 - i % plane : i;
        worst = fmax(worst, fabs((double)a->value.data[i] - (double)b->value.data[other]));
    }
    return worst;
}

static void copy_turned(lens_param *to, const lens_param *from) {
    int64_t n = lens_tensor_count(&to->value), plane = to->value.dim[2] * to->value.dim[3];
    for (int64_t i = 0; i < n; i++)
        to->value.data[i] = from->value.data[i - i % plane + plane - 1 - i % plane];
}

int main(int argc, char **argv) {
    static const char text[] = "input data 1x28x28\n"
                               "conv2d conv1 out=8 kernel=5 flip=%s\ntanh\navgpool kernel=2\n"
                               "conv2d conv2 out=16 kernel=5 flip=%s\ntanh\navgpool kernel=2\n"
                               "dense fc out=10\n";
    static const char *const kernels[] = { "conv1.weight", "conv2.weight" };
    static trace traces[2];
    lab l = lab_open(argc, argv, "flip");
    lens_data *data = lab_pictures(&l);
    lens_net *net[] = { lab_net(&l, text, "false", "false"), lab_net(&l, text, "true", "true") };
    lab_steps_opts opts = {
        .epochs = 1, .batch = l.quick ? 20 : 64, .rate = 0.05, .after = keep_loss
    };

    for (int i = 0; i < 2; i++) lab_must(&l, lens_init(net[i], "xavier", 1));
    for (int k = 0; k < 2; k++) {
        lens_param a = param_of(&l, net[0], kernels[k]), b = param_of(&l, net[1], kernels[k]);
        copy_turned(&b, &a);
    }
    lens_net_touched(net[1]);
    for (int i = 0; i < 2; i++) {
        opts.user = &traces[i];
        lab_steps(&l, net[i], data, opts);
    }

    lab_row(&l, "what,steps,first_loss,last_loss,largest_difference");
    double apart = 0;
    for (size_t s = 0; s < traces[0].steps; s++) {
        apart = fmax(apart, fabs(traces[0].loss[s] - traces[1].loss[s]));
        if (s + 1 == SHORT || s + 1 == traces[0].steps)
            lab_row(&l, "loss,%zu,%.6f,%.6f,%.3g", s + 1, traces[0].loss[0], traces[0].loss[s],
                    apart);
    }
    for (int k = 0; k < 2; k++) {
        lens_param a = param_of(&l, net[0], kernels[k]), b = param_of(&l, net[1], kernels[k]);
        lab_row(&l, "%s turned,,,,%.3g", kernels[k], kernel_difference(&a, &b, true));
        lab_row(&l, "%s as it is,,,,%.3g", kernels[k], kernel_difference(&a, &b, false));
    }

    const lens_figure_series lines[] = {
        { "cross-correlation", NULL, traces[0].loss, traces[0].steps },
        { "convolution", NULL, traces[1].loss, traces[1].steps },
    };
    const lens_figure_panel panel = { "loss of each step", lines, 2, LENS_BEST_NONE };
    lab_curves(&l, "Turning the kernel is irrelevant to learning",
               "the second run starts from kernels turned by 180 degrees; "
               "the curves coincide",
               "step", &panel, 1);
    for (int i = 0; i < 2; i++) lens_net_free(net[i]);
    lens_data_free(data);
    return lab_close(&l);
}
