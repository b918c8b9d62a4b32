/* ref_ops.h - what every operator should compute, forward and backward, in double precision by plain
 * nested loops over the formula. It is the documentation one can run: nothing is blocked, reused or
 * taken from src/, and output sizes are found by counting windows.
 *
 * One description serves all operators, one signature all passes, so a finite-difference check and a
 * comparison with the engine are written once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_REF_REF_OPS_H
#define TESTS_REF_REF_OPS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum ref_kind {
    REF_CONV, /* conv2d; conv1d with h = kh = 1 */
    REF_CONV_TRANSPOSE,
    REF_DENSE,
    REF_MAXPOOL,
    REF_AVGPOOL,
    REF_SUMPOOL,
    REF_SUBSAMPLE,
    REF_ADAPTIVE_AVG,
    REF_ADAPTIVE_MAX,
    REF_RELU,
    REF_LEAKY,
    REF_TANH,
    REF_SCALED_TANH,
    REF_SIGMOID,
    REF_RBF,
    REF_BATCHNORM,        /* statistics of the batch */
    REF_BATCHNORM_FROZEN, /* running statistics: param[2], param[3] */
    REF_SOFTMAX,
    REF_LRN,
    REF_SHORTCUT,
    REF_KINDS,
} ref_kind;

enum { REF_PARAMS = 4 };

typedef struct ref_op {
    ref_kind kind;
    int n, c, h, w; /* x (n,c,h,w) */
    int out;        /* maps or features of the result, where the operator has a choice */
    int kh, kw, sh, sw, dh, dw;
    int top, left, bottom, right;
    int extra_h, extra_w; /* transposed convolution: output_padding */
    int groups;
    bool no_bias, flip;
    const unsigned char *connected; /* out*c flags, NULL: all */
    bool ceil, exclude_pad;
    int oh, ow; /* result; given for adaptive pooling, else filled by ref_plan */
    double slope, eps;
    int window; /* lrn: channels */
    double alpha, beta, k;
    bool undivided;

    /* Filled by ref_plan. */
    int oc; /* y (n,oc,oh,ow) */
    size_t x_count, y_count;
    int params;
    size_t param_count[REF_PARAMS];
    bool trainable[REF_PARAMS];
} ref_op;

/* Fills in zeros that mean 1 (strides, dilation, groups; a pooling stride: the kernel) and
 * everything below oh. False if the kernel does not fit. */
bool ref_plan(ref_op *);

void ref_forward(const ref_op *, const double *x, const double *const *param, double *y);
/* dx and the dparam of every trainable parameter are overwritten. */
void ref_backward(const ref_op *, const double *x, const double *const *param, const double *dy,
                  double *dx, double *const *dparam);

/* Roundings that a float evaluation of one element of y, dx or any dparam adds up, at most. */
double ref_terms(const ref_op *);

/* Mean and biased variance of channel c. */
void ref_moments(const ref_op *, const double *x, int c, double *mean, double *var);

/* Convolution the other way: rows are windows (n, i, j), columns are weights (c, u, v) of one group;
 * the result is columns times weights. column: n*oh*ow rows of c*kh*kw. Only without groups. */
void ref_im2col(const ref_op *, const double *x, double *column);
/* The adjoint: every entry is added to the cell it came from. dx is overwritten. */
void ref_col2im(const ref_op *, const double *column, double *dx);

#endif
