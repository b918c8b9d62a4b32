/* kcheck.h - the harness around the kernel checks.
 *
 * A check is a function that runs one slot of one level on many cases. It runs in a process of its
 * own, so that a crash costs one failed case. A case is opened by case_begin, closed by case_end,
 * and failed by any case_ call between the two that does not hold.
 *
 * Arrays come from case_array: they end where an unreadable page begins (LENS_SLACK floats before it
 * if the contract grants slack, which then holds NaN), and what lies before them must not change.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_KCHECK_KCHECK_H
#define TESTS_KCHECK_KCHECK_H

#include "kern/kern.h"

typedef struct check check;

/* ---- cases ---- */

__attribute__((format(printf, 2, 3))) void case_begin(check *, const char *format, ...);
void case_end(check *); /* counts the case and frees its arrays */

/* |got - want| <= tolerance, or both NaN, or equal infinities. `what`: the output's name. */
void case_near(check *, const char *what, size_t index, double got, double want, double tolerance);
void case_true(check *, bool holds, const char *what);

/* ---- arrays of the running case, n >= 0 elements ---- */

enum { NO_SLACK = 0 };
float *case_array(check *, size_t n, int slack);    /* filled with NaN */
float *case_random(check *, size_t n, int slack);   /* -1 <= x < 1 */
float *case_copy(check *, size_t n, const float *); /* without slack */
uint8_t *case_bytes(check *, size_t n);             /* filled with 0xee */

/* Same bits in both, NaN or not. */
bool same_floats(size_t n, const float *, const float *);

/* ---- random numbers: the same for one seed and slot ---- */

uint32_t pick(check *, uint32_t n); /* 0..n-1 */
float pick_float(check *, float low, float high);

const struct kern *check_kern(const check *);

/* ---- the slots; each file of this folder defines some ---- */

typedef struct check_slot {
    const char *name;
    void (*run)(check *);
} check_slot;
extern const check_slot matrix_slots[], array_slots[], pool_slots[], row_slots[], winograd_slots[],
    layer_slots[];

/* ---- layers of the zoo's nets (bench/shapes) ---- */

typedef struct layer {
    char name[64];
    int n, c, h, w, o, kh, kw, stride, pad, groups;
} layer;

extern bool shapes_full;                        /* --full: set it before shapes_load */
bool shapes_load(void);                         /* all files; false: there are none */
int shapes_read(const char *path, layer **out); /* one file; how many, -1 with a message. free it */
int layer_out(int in, int kernel, int stride, int pad); /* positions along an axis */

/* Lengths of arrays: around the multiples of a vector, then the layers' widths, planes, maps. */
int sizes_count(void);
size_t size_at(int i);
/* Sides of the layers' square planes. */
int sides_count(void);
int side_at(int i);

/* Rates of tile and dot at the layers of a file (bench/shapes); returns the exit status. */
int bench_run(const struct kern *const *levels, int count, const char *const *files,
              int files_count);

/* Errors of every algorithm at the 3x3 layers of step 1 of the files; returns the exit status. */
int errors_run(const struct kern *, const char *const *files, int files_count);

/* One float rounding, relative. */
#define ROUNDING 0x1p-24

#endif
