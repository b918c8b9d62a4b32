/* check.h - small nets driven through the public API, and comparison with the oracle.
 *
 * All functions fail the running test with a message of what differs and where. What a failing test
 * holds is not freed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include "support/layers.h"
#include <lenslet/net.h>

/* ---- numbers as the specification prints them ------------------------------------------------ */

/* "4 3 4/2 4 3": numbers between spaces and slashes. Returns how many; at most `room`. */
int numbers(const char *text, float *out, int room);

/* got[0..] must be the numbers of the text, each within tolerance. */
void expect_numbers(const float *got, const char *text, double tolerance);
void expect_equal(const float *got, const float *want, size_t count, double tolerance);

/* The same seed gives the same numbers: uniform in -1..1. */
void random_floats(float *x, size_t count, unsigned seed);

/* ---- a net of a few layers ------------------------------------------------------------------- */

typedef struct probe {
    lens_ctx *ctx;
    lens_net *net;
    lens_session *session; /* trains, watches, has the input's gradient */
    lens_node *x;          /* the input, "x" */
    int n;
    lens_tensor y; /* of the latest run */
} probe;

/* probe p = probe_start(1, 1, 1, 5, 5); probe_finish(&p, lens_conv2d(p.x, "c", ...)); ... probe_end(&p); */
probe probe_start(int threads, int n, int c, int h, int w);
probe probe_start_sequence(int threads, int n, int c, int l);
void probe_finish(probe *, lens_node *output);
void probe_end(probe *);

lens_param probe_param(const probe *, const char *name);
void probe_set(probe *, const char *param, const char *values);
void probe_set_floats(probe *, const char *param, const float *values);
/* All parameters at random, running variances positive. */
void probe_random(probe *, unsigned seed);

/* Forward in training mode; returns y. */
const float *probe_run(probe *, const float *x);
const float *probe_run_text(probe *, const char *x);
/* Inference. */
const float *probe_infer(probe *, const float *x);
/* Backward; returns the gradient of x. */
const float *probe_back(probe *, const float *dy);
const float *probe_back_text(probe *, const char *dy);
const float *probe_grad(const probe *, const char *param);
size_t probe_x_count(const probe *);
size_t probe_y_count(const probe *);

/* ---- the oracle ------------------------------------------------------------------------------ */

/* Backward of the oracle against central differences of its forward, relative error < 1e-6. */
void check_oracle(const layer *);

/* The engine against the oracle: value, gradient of the input and of every parameter, each within
 * the rounding that sums of that length can have; for linear operators also the adjoint identities
 * <y - bias, dy> = <x, dx> = <w, dw>. Then the same bits with 3 threads as with 1. */
void check_engine(const layer *);

#endif
