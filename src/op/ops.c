/* ops.c - the table of operators, the one size function, and the checks and words that operators
 * share. An operator exists for the net text, the builders and the executor once it stands here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tuning.h"
#include "op/parts.h"

#include <assert.h>
#include <string.h>

extern const op_kind op_input, op_input1d, op_conv2d, op_conv1d, op_conv_transpose2d, op_maxpool,
    op_avgpool, op_sumpool, op_subsample, op_adaptive_avgpool, op_adaptive_maxpool,
    op_global_avgpool, op_global_maxpool, op_relu, op_leaky_relu, op_tanh, op_scaled_tanh,
    op_sigmoid, op_dense, op_rbf, op_flatten, op_reshape, op_add, op_concat, op_dropout,
    op_batchnorm, op_lrn, op_softmax, op_shortcut, op_reshape1d, op_unary, op_binary, op_reduce,
    op_rearrange, op_matmul, op_parameter, op_output;

const op_kind *const op_kinds[] = {
    &op_input,
    &op_input1d,
    &op_conv2d,
    &op_conv1d,
    &op_conv_transpose2d,
    &op_maxpool,
    &op_avgpool,
    &op_sumpool,
    &op_subsample,
    &op_adaptive_avgpool,
    &op_adaptive_maxpool,
    &op_global_avgpool,
    &op_global_maxpool,
    &op_relu,
    &op_leaky_relu,
    &op_tanh,
    &op_scaled_tanh,
    &op_sigmoid,
    &op_dense,
    &op_rbf,
    &op_flatten,
    &op_reshape,
    &op_reshape1d,
    &op_add,
    &op_concat,
    &op_shortcut,
    &op_dropout,
    &op_batchnorm,
    &op_lrn,
    &op_softmax,
    &op_output,
    &op_unary,
    &op_binary,
    &op_reduce,
    &op_rearrange,
    &op_matmul,
    &op_parameter,
    NULL,
};

const char *const op_algorithm_name[OP_ALGORITHMS] = {
    [OP_ESTIMATED] = "estimated",
    [OP_DIRECT] = "direct",
    [OP_WINOGRAD2] = "winograd2",
    [OP_WINOGRAD4] = "winograd4",
};

const op_kind *op_find(const char *name) {
    for (const op_kind *const *kind = op_kinds; *kind; kind++)
        if (!strcmp((*kind)->name, name)) return *kind;
    return NULL;
}

int op_out_size(int in, int kernel, int stride, int dilation, int before, int after, bool ceil) {
    int64_t reach = (int64_t)(kernel - 1) * dilation + 1;
    int64_t room = (int64_t)in + before + after - reach;
    if (room < 0) return 0;
    int64_t out = room / stride + 1;
    if (ceil && room % stride && out * stride < (int64_t)in + before) out++;
    return (int)out;
}

lens_size op_size(lens_size given, int fallback) {
    if (!given.h && !given.w) return (lens_size){ fallback, fallback };
    if (!given.w) given.w = given.h;
    return given;
}

lens_size op_size_of(const op_node *node, lens_size given, lens_size fallback) {
    if (!given.h && !given.w) return fallback;
    if (node->in[0].rank == 3) return (lens_size){ 1, given.w ? given.w : given.h };
    return op_size(given, 0);
}

lens_status op_check_range(const op_node *node, const char *key, int value, int low, int high) {
    if (value >= low && value <= high) return LENS_OK;
    return ctx_fail(node->ctx, LENS_BAD_ARG, "%s: %s is %d but must lie in %d..%d", node->name, key,
                    value, low, high);
}

lens_status op_check_planes(const op_node *node) {
    if (node->in[0].rank >= 3) return LENS_OK;
    return ctx_fail(node->ctx, LENS_BAD_SHAPE,
                    "%s: %s needs a picture or a sequence but the input is %d features", node->name,
                    node->kind->name, node->in[0].c);
}

void op_window_point(op_node *node) {
    node->window = (op_window){ .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1 };
}

void op_label_window(op_node *node, lens_size kernel, lens_size stride, const int pads[4],
                     bool ceil) {
    char step[28] = "", pad[60] = "";
    if (stride.h != stride.w && node->in[0].rank == 4)
        snprintf(step, sizeof step, " /%dx%d", stride.h, stride.w);
    else if (stride.w > 1)
        snprintf(step, sizeof step, " /%d", stride.w);
    bool even = pads[0] == pads[2] && pads[1] == pads[3];
    if (even && (pads[0] == pads[1] || node->in[0].rank == 3)) {
        if (pads[1]) snprintf(pad, sizeof pad, " pad %d", pads[1]);
    } else if (even) {
        snprintf(pad, sizeof pad, " pad %dx%d", pads[0], pads[1]);
    } else {
        snprintf(pad, sizeof pad, " pad %d,%d,%d,%d", pads[0], pads[1], pads[2], pads[3]);
    }
    char text[160];
    snprintf(text, sizeof text, "%dx%d %s%s%s%s", kernel.h, kernel.w, node->kind->name, step, pad,
             ceil ? " ceil" : "");
    snprintf(node->label, sizeof node->label, "%.47s", text);
}

const char *op_shape_text(shape s, char buf[48]) {
    if (s.rank == 2)
        snprintf(buf, 48, "%d", s.c);
    else if (s.rank == 3)
        snprintf(buf, 48, "%dx%d", s.c, s.w);
    else
        snprintf(buf, 48, "%dx%dx%d", s.c, s.h, s.w);
    return buf;
}

float op_max_cell(const float *x, int width, int r0, int r1, int c0, int c1, int32_t *where) {
    int32_t best = r0 * width + c0;
    for (int r = r0; r < r1; r++)
        for (int c = c0; c < c1; c++) {
            int32_t i = r * width + c;
            if (x[i] > x[best] || (x[i] != x[i] && x[best] == x[best])) best = i;
        }
    *where = best;
    return x[best];
}

typedef struct each {
    op_range_fn *fn;
    const void *arg;
    size_t items, per_task;
} each;

static void each_task(void *arg, int task, int thread) {
    const each *e = arg;
    size_t first = (size_t)task * e->per_task;
    size_t last = e->items - first < e->per_task ? e->items : first + e->per_task;
    e->fn(e->arg, first, last, thread);
}

/* One float moved costs 0.4 ns: 4 bytes at 10 GB/s, what one core draws from memory. */
static void each_run(pool *p, each e, size_t numbers) {
    size_t tasks = (e.items + e.per_task - 1) / e.per_task;
    assert(tasks <= INT32_MAX);
    pool_run(p, (int)tasks, 0.4 * (double)(e.per_task * numbers), each_task, &e);
}

void op_each(pool *p, size_t items, size_t numbers, op_range_fn *fn, const void *arg) {
    size_t per_task = numbers < OP_TASK_FLOATS ? OP_TASK_FLOATS / numbers : 1;
    each_run(p, (each){ fn, arg, items, per_task }, numbers);
}

void op_each_float(pool *p, size_t count, size_t numbers, op_range_fn *fn, const void *arg) {
    size_t per_task = (OP_TASK_FLOATS / numbers + 15) & ~(size_t)15;
    each_run(p, (each){ fn, arg, count, per_task }, numbers);
}
