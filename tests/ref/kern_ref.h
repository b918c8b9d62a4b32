/* kern_ref.h - what the kernels of kern/kern.h should compute, in double precision by plain nested
 * loops over the formulas; shared by kcheck and by tests that need an oracle.
 *
 * Invariant: nothing here is vectorised, blocked or reused from src/; a reader can check each function
 * against the contract in kern.h line by line.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_REF_KERN_REF_H
#define TESTS_REF_KERN_REF_H

#include "kern/kern.h"

/* A sum with what its rounding error is bounded by: |float result - value| <= c * terms * 2^-24 *
 * magnitude for a small c. */
typedef struct ref_sum {
    double value;
    double magnitude; /* sum of the absolute values of the terms */
    double terms;     /* how many */
} ref_sum;

/* One element of a tile before the activation; `before`: what C[m][n] held, for TILE_LOAD. */
ref_sum ref_tile(const tile_job *, float before, int m, int n);

/* One element of a dot tile; `before`: what it held. */
ref_sum ref_dot(const dot_job *, float before, int i, int j);

double ref_act(act_kind, double slope, double x);
double ref_act_slope(act_kind, double slope, double y); /* f' from y = f(x) */

/* Windows as in kern.h; x, y, dx, dy packed. ref_sum_pool: the magnitude too, may be NULL. */
void ref_max_pool(const pool_job *, const float *x, float *y, uint8_t *switches);
void ref_max_pool_back(const pool_job *, const float *dy, const uint8_t *switches, double *dx);
void ref_sum_pool(const pool_job *, const float *x, const float *scale, double *y,
                  double *magnitude);
void ref_sum_pool_back(const pool_job *, const float *dy, const float *scale, double *dx,
                       double *magnitude);

/* One row; p: n doubles. Returns log sum exp(x). */
double ref_softmax(int n, const float *x, double *p);
/* Loss of one row; dx: n doubles. `weight` is the class weight of the label. */
double ref_cross_entropy(int n, const float *x, int label, double smooth, double weight,
                         double scale, double *dx);

/* One parameter. w, m, v are updated; `error` receives what the rounding errors of w, m and v scale
 * with: the formulas with absolute values for the terms. */
typedef struct ref_state {
    double w, m, v;
} ref_state;
ref_state ref_optim(const optim_job *, double g, ref_state, ref_state *error);

#endif
