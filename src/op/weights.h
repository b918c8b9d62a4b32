/* weights.h - what the two ways to a weight gradient share. corr_weights.c chooses and shares out the
 * work; corr_dots.c and corr_outer.c are the ways.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_WEIGHTS_H
#define OP_WEIGHTS_H

#include "op/panel.h"

typedef struct weights_job {
    const corr *c;
    const struct kern *kern;
    const float *x, *dy;
    int images; /* of a sum, at most: what is planned by */
    int parts;  /* into which each sum is cut */
    void *thread_scratch;
    size_t thread_stride;
} weights_job;

/* What one call adds up: part `part` of the weights of a group, over some images. */
typedef struct weights_sum {
    int group, first, end; /* images first .. end-1 */
    int part;
    float *out;    /* the group's sum, each map in the way's order; the part is written in full */
    void *scratch; /* thread_bytes */
} weights_sum;

typedef struct weights_way {
    panel_purpose purpose;
    bool by_tap; /* a map's sum is (kh, kw, c/groups); else as in dw (c/groups, kh, kw) */
    size_t (*thread_bytes)(const corr *, const struct kern *, int batch);
    /* Into how many parts to cut each of `tasks` sums of `macs` multiply-adds: no bit depends on it. */
    int (*parts)(const weights_job *, int tasks, int threads, double macs);
    void (*run)(const weights_job *, const weights_sum *);
} weights_way;

extern const weights_way weights_dots, weights_outer;

#endif
