/* session.c - running a net. Every pointer an operator gets is computed once, when the session is made;
 * a call writes the sample count and the step, then walks the nodes.
 *
 * Invariant behind lens_backward: it runs only directly after a lens_forward of the same session, with
 * weights and freezing untouched in between; everything else is refused instead of giving wrong numbers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <string.h>
#include <time.h>

enum { MAX_BATCH = 1 << 20 };

typedef struct session_node {
    op_run run;
    const plan_node *plan;
    const float **x;
    float **param, **dx, **dparam;
    float *value, *grad; /* grad NULL: none is ever computed */
    void *scratch[2];    /* of forward and backward */
    bool active;         /* backward comes here as things are frozen now */
    bool awake;          /* the first writer of a value that rests: it is back since this forward */
    unsigned char *muted; /* one flag per channel; watch sessions only */
    int mutes;
    double forward_s, backward_s; /* of the latest run; timed sessions only */
} session_node;

struct lens_session {
    lens_net *net;
    lens_ctx *ctx;
    lens_session_opts opts;
    memory_plan plan;
    char *arena;
    float *gradients;
    session_node *node;
    float **pointers;     /* memory behind the pointer arrays of all nodes */
    unsigned char *muted; /* and behind their flags */
    bool moves_statistics;

    uint64_t packed, packed_back; /* net versions the forward and backward caches stand for */
    uint64_t forwarded;           /* net version when lens_forward returned */
    uint64_t freezes;
    int n;              /* samples of the latest run, 0: none */
    bool may_backward;  /* a forward is waiting for its backward */
    bool has_gradients; /* backward has followed the latest forward */
    bool ever_backward;
};

/* ---- Making a session ----------------------------------------------------------------------- */

static void *buffer_at(const lens_session *s, int buffer) {
    return buffer == PLAN_NONE ? NULL : s->arena + s->plan.buffer[buffer].offset;
}

static size_t gap_of(const lens_session *s, int node) {
    int value = s->plan.node[node].value;
    return value == PLAN_NONE ? 0 : s->plan.buffer[value].gap;
}

static void bind_node(lens_session *s, int i, float ***pointers) {
    const lens_net *net = s->net;
    const lens_node *node = net->node[i];
    const plan_node *plan = &s->plan.node[i];
    session_node *it = &s->node[i];
    int inputs = node->op.inputs, params = node->op.params;

    it->plan = plan;
    it->value = buffer_at(s, plan->value);
    it->grad = buffer_at(s, plan->grad);
    it->scratch[0] = buffer_at(s, plan->scratch);
    it->scratch[1] = buffer_at(s, plan->scratch_back);
    it->x = (const float **)*pointers;
    it->dx = *pointers + inputs;
    it->param = *pointers + 2 * inputs;
    it->dparam = *pointers + 2 * inputs + params;
    *pointers += 2 * inputs + 2 * params;
    for (int k = 0; k < inputs; k++) it->x[k] = s->node[node->input[k]->index].value;
    for (int k = 0; k < params; k++)
        it->param[k] = net->weights + net->param[node->first_param + k].offset;

    it->run = (op_run){
        .node = &node->op,
        .kern = ctx_kern(s->ctx),
        .pool = ctx_pool(s->ctx),
        .batch = s->opts.batch,
        .act = plan->act,
        .slope = plan->slope,
        .by = plan->by,
        .act_back = plan->act_back,
        .masks = plan->masks,
        .adds = inputs && plan->edge[0].adds && plan->edge[0].temp == PLAN_NONE,
        .seed = s->opts.seed,
        .serial = (uint32_t)i,
        .x = it->x,
        .y = it->value,
        .param = it->param,
        .dy = it->grad,
        .dx = it->dx,
        .dparam = it->dparam,
        .x_gap = inputs ? gap_of(s, node->input[0]->index) : 0,
        .y_gap = gap_of(s, i),
        .saved = buffer_at(s, plan->saved),
        .cache = buffer_at(s, plan->cache),
        .thread_scratch = buffer_at(s, s->plan.thread_scratch),
        .thread_stride = s->plan.thread_stride,
    };
}

/* What a node does for others; their pointers must be there. */
static void bind_fused(lens_session *s, int i) {
    const plan_node *plan = &s->plan.node[i];
    op_run *run = &s->node[i].run;
    if (plan->norm != PLAN_NONE) {
        const op_run *norm = &s->node[plan->norm].run;
        run->norm = (op_norm){ norm->node, norm->param, ACT_NONE, 0 };
    }
    if (plan->before != PLAN_NONE) {
        const op_run *norm = &s->node[plan->before].run;
        run->before = (op_norm){ norm->node, norm->param, plan->before_act, plan->before_slope };
    }
    if (plan->addend != PLAN_NONE) run->addend = s->node[plan->addend].value;
}

/* What depends on freezing: which nodes backward visits and which gradients it asks for. */
static void apply_freezing(lens_session *s) {
    const lens_net *net = s->net;
    s->freezes = net->freezes;
    s->moves_statistics = false;
    for (int i = 0; i < net->nodes; i++) {
        const lens_node *node = net->node[i];
        session_node *it = &s->node[i];
        it->run.frozen = node->frozen;
        it->active = s->opts.input_grad && node == net->input;
        for (int k = 0; k < node->op.params; k++) {
            const op_param *op = &node->op.param[k];
            bool wanted = op->trainable && !node->frozen && s->opts.train;
            it->dparam[k] = NULL;
            if (op->trainable && s->opts.train) {
                float *grad = s->gradients + net->param[node->first_param + k].offset;
                if (wanted)
                    it->dparam[k] = grad;
                else
                    memset(grad, 0, op->count * sizeof *grad);
            }
            it->active |= wanted;
            s->moves_statistics |= !op->trainable && !node->frozen && !node->op.kind->fixed;
        }
        for (int k = 0; k < node->op.inputs; k++) {
            const session_node *source = &s->node[node->input[k]->index];
            int temp = it->plan->edge[k].temp;
            it->active |= source->active;
            it->dx[k] = !source->active     ? NULL
                        : temp == PLAN_NONE ? source->grad
                                            : buffer_at(s, temp);
        }
    }
}

static lens_status check_opts(const lens_net *net, lens_ctx *ctx, const lens_session_opts *opts) {
    if (!net->finished)
        return ctx_fail(ctx, LENS_BAD_ARG, "net %s is not finished: see lens_net_finish",
                        net->name);
    if (opts->batch < 1 || opts->batch > MAX_BATCH)
        return ctx_fail(ctx, LENS_BAD_ARG, "a session's batch is %d, but must be 1 to %d",
                        opts->batch, MAX_BATCH);
    if (opts->input_grad && !opts->train)
        return ctx_fail(ctx, LENS_BAD_ARG, "a session with input_grad must also have train");
    return LENS_OK;
}

static size_t buffer_bytes(const memory_plan *plan, int buffer) {
    return buffer == PLAN_NONE ? 0 : plan->buffer[buffer].bytes;
}

void lens_session_memory(const lens_session *s, lens_memory *out) {
    const memory_plan *plan = &s->plan;
    *out = (lens_memory){ .gradients = buffer_bytes(plan, plan->gradients),
                          .work = buffer_bytes(plan, plan->thread_scratch) };
    for (int i = 0; i < s->net->nodes && !plan->lean; i++)
        out->packed += buffer_bytes(plan, plan->node[i].cache);
    out->activations = plan->bytes - out->gradients - out->packed - out->work;
}

/* Says what the arena was for. */
static void arena_refused(const lens_session *s) {
    lens_memory m;
    char room[64] = "";
    lens_session_memory(s, &m);
    if (s->plan.bytes > ctx_room(s->ctx))
        snprintf(room, sizeof room, "; the memory limit leaves %zu", ctx_room(s->ctx));
    ctx_fail(s->ctx, LENS_NOMEM,
             "out of memory: net %s, %s session of %d samples: %zu bytes (activations%s %zu, "
             "gradients of the weights %zu, packed weights %zu, work space of %d threads %zu)%s",
             s->net->name, s->opts.train ? "training" : "inference", s->opts.batch, s->plan.bytes,
             s->opts.train ? " and their gradients" : "", m.activations, m.gradients, m.packed,
             lens_ctx_threads(s->ctx), m.work, room);
}

lens_status lens_session_new(lens_session **out, lens_net *net, lens_ctx *ctx,
                             const lens_session_opts *opts) {
    *out = NULL;
    lens_session_opts use = opts ? *opts : (lens_session_opts){ 0 };
    if (!use.batch) use.batch = 1;
    LENS_TRY(check_opts(net, ctx, &use));

    lens_session *s = ctx_alloc(ctx, 1, sizeof *s);
    if (!s) return LENS_NOMEM;
    s->net = net;
    s->ctx = ctx;
    s->opts = use;
    lens_status status = plan_make(&s->plan, net, ctx, &use, false);
    if (status == LENS_OK && !use.train && s->plan.bytes > ctx_room(ctx)) {
        plan_free(ctx, &s->plan);
        status = plan_make(&s->plan, net, ctx, &use, true);
    }
    if (status != LENS_OK) goto fail;

    status = LENS_NOMEM;
    size_t pointers = 0, channels = 0;
    for (int i = 0; i < net->nodes; i++) {
        const op_node *op = &net->node[i]->op;
        pointers += 2 * (size_t)(op->inputs + op->params);
        channels += (size_t)op->out.c;
    }
    s->node = ctx_alloc(ctx, (size_t)net->nodes, sizeof *s->node);
    s->pointers = ctx_alloc(ctx, pointers + 1, sizeof *s->pointers);
    if (use.watch) s->muted = ctx_alloc(ctx, channels, 1);
    if (!s->node || !s->pointers || (use.watch && !s->muted)) goto fail;
    s->arena = ctx_alloc(ctx, s->plan.bytes, 1);
    if (!s->arena) {
        arena_refused(s);
        goto fail;
    }
    s->gradients = buffer_at(s, s->plan.gradients);
    float **next = s->pointers;
    unsigned char *flags = s->muted;
    for (int i = 0; i < net->nodes; i++) {
        bind_node(s, i, &next);
        if (!flags) continue;
        s->node[i].muted = flags;
        flags += net->node[i]->op.out.c;
    }
    for (int i = 0; i < net->nodes; i++) bind_fused(s, i);
    apply_freezing(s);
    *out = s;
    return LENS_OK;
fail:
    lens_session_free(s);
    return status;
}

void lens_session_free(lens_session *s) {
    if (!s) return;
    lens_ctx *ctx = s->ctx;
    plan_free(ctx, &s->plan);
    ctx_free(ctx, s->node);
    ctx_free(ctx, s->pointers);
    ctx_free(ctx, s->muted);
    ctx_free(ctx, s->arena);
    ctx_free(ctx, s);
}

size_t lens_session_bytes(const lens_session *s) { return s->plan.bytes; }

/* ---- Shapes --------------------------------------------------------------------------------- */

static lens_tensor view(float *data, shape s, int n) {
    lens_tensor t = { .data = data, .rank = s.rank, .dim = { n, s.c, s.h, s.w } };
    if (s.rank == 3) t.dim[2] = s.w;
    for (int d = s.rank; d < LENS_MAX_RANK; d++) t.dim[d] = 0;
    return t;
}

/* Nx1x28x28; one number for N if n > 0. */
static const char *shape_text(shape s, int n, char buf[96]) {
    char count[16] = "N";
    if (n) snprintf(count, sizeof count, "%d", n);
    if (s.rank == 4)
        snprintf(buf, 96, "%sx%dx%dx%d", count, s.c, s.h, s.w);
    else if (s.rank == 3)
        snprintf(buf, 96, "%sx%dx%d", count, s.c, s.w);
    else
        snprintf(buf, 96, "%sx%d", count, s.c);
    return buf;
}

static bool same_shape(const lens_tensor *t, shape s) {
    lens_tensor want = view(NULL, s, 0);
    if (t->rank != want.rank) return false;
    for (int d = 1; d < t->rank; d++)
        if (t->dim[d] != want.dim[d]) return false;
    return true;
}

/* ---- Forward -------------------------------------------------------------------------------- */

/* Element-wise work goes out in pieces, so that a big join uses all threads. Three arrays of 64 KiB fit
 * into a second-level cache of 256 KiB, and 8 floats a nanosecond (32 GB/s) make a piece about 2 us. */
enum { PIECE = 16384 };

typedef struct piece_job {
    const struct kern *kern;
    const float *from;
    float *to;
    size_t count;
    bool adds;
} piece_job;

static void run_piece(void *arg, int task, int thread) {
    const piece_job *job = arg;
    size_t at = (size_t)task * PIECE, left = job->count - at, count = left < PIECE ? left : PIECE;
    (void)thread;
    if (job->adds)
        job->kern->add(count, job->to + at, job->from + at, job->to + at);
    else
        memcpy(job->to + at, job->from + at, count * sizeof(float));
}

/* to = from, or to = to + from. */
static void move(const lens_session *s, size_t count, const float *from, float *to, bool adds) {
    piece_job job = { ctx_kern(s->ctx), from, to, count, adds };
    pool_run(ctx_pool(s->ctx), (int)((count + PIECE - 1) / PIECE), PIECE / 8.0, run_piece, &job);
}

/* Seconds on a clock that never jumps; 0 if this session does not ask. */
static double clock_of(const lens_session *s) {
    struct timespec t = { 0 };
    if (s->opts.timed) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t samples(const lens_session *s, int i) {
    return shape_count(s->net->node[i]->op.out) * (size_t)s->n;
}

static void zero_muted(const lens_session *s, int i, float *data) {
    shape out = s->net->node[i]->op.out;
    size_t plane = (size_t)out.h * (size_t)out.w;
    for (int n = 0; n < s->n; n++)
        for (int c = 0; c < out.c; c++)
            if (s->node[i].muted[c])
                memset(data + ((size_t)n * (size_t)out.c + (size_t)c) * plane, 0,
                       plane * sizeof *data);
}

static lens_status check_input(const lens_session *s, const lens_tensor *x) {
    const lens_net *net = s->net;
    char given[96], wanted[96];
    if (!same_shape(x, net->input->op.out))
        return ctx_fail(s->ctx, LENS_BAD_SHAPE, "input has shape %s but net %s expects %s",
                        lens_tensor_shape(x, given), net->name,
                        shape_text(net->input->op.out, 0, wanted));
    if (x->dim[0] < 1 || x->dim[0] > s->opts.batch)
        return ctx_fail(s->ctx, LENS_BAD_SHAPE,
                        "input has %lld samples but the session was made for 1 to %d",
                        (long long)x->dim[0], s->opts.batch);
    if (!x->data) return ctx_fail(s->ctx, LENS_BAD_ARG, "input has no data");
    return LENS_OK;
}

static lens_status run_forward(lens_session *s, const lens_tensor *x, bool train, uint32_t step,
                               lens_tensor *y) {
    LENS_TRY(check_input(s, x));
    const lens_net *net = s->net;
    if (s->freezes != net->freezes) apply_freezing(s);
    bool repack = s->plan.lean || s->packed != net->version;
    s->packed = net->version;
    s->n = (int)x->dim[0];
    s->may_backward = s->has_gradients = false;

    /* x may be this session's own output. */
    memmove(s->node[0].value, x->data, samples(s, 0) * sizeof(float));
    for (int i = 0; i < net->nodes; i++) {
        session_node *it = &s->node[i];
        double start = clock_of(s);
        it->awake = false;
        switch (it->plan->forward) {
        case PLAN_RUN:
            it->run.n = s->n;
            it->run.train = train;
            it->run.step = step;
            it->run.repack = repack;
            it->run.scratch = it->scratch[0];
            it->run.node->kind->forward(&it->run);
            break;
        case PLAN_COPY: move(s, samples(s, i), it->x[0], it->value, false); break;
        case PLAN_SKIP: break;
        }
        if (it->mutes) zero_muted(s, i, it->value);
        it->forward_s = it->plan->forward == PLAN_SKIP ? 0 : clock_of(s) - start;
        it->backward_s = 0;
    }
    int output = net->output->index;
    if (y) *y = view(s->node[output].value, net->output->op.out, s->n);
    return LENS_OK;
}

lens_status lens_run(lens_session *s, const lens_tensor *x, lens_tensor *y) {
    return run_forward(s, x, false, 0, y);
}

lens_status lens_forward(lens_session *s, const lens_tensor *x, uint32_t step, lens_tensor *y) {
    if (!s->opts.train)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "lens_forward needs a session made with train");
    LENS_TRY(run_forward(s, x, true, step, y));
    /* Running statistics have moved: whatever was packed from them is out of date. */
    if (s->moves_statistics) s->net->version++;
    s->forwarded = s->net->version;
    s->may_backward = true;
    return LENS_OK;
}

/* ---- Backward ------------------------------------------------------------------------------- */

/* One output's gradient; without data it is 0. */
static lens_status check_gradient(const lens_session *s, const lens_node *node,
                                  const lens_tensor *dy) {
    char given[96], wanted[96];
    if (!dy->data) return LENS_OK;
    if (!same_shape(dy, node->op.out) || dy->dim[0] != s->n)
        return ctx_fail(s->ctx, LENS_BAD_SHAPE, "dy has shape %s but the output %s has %s",
                        lens_tensor_shape(dy, given), node->op.name,
                        shape_text(node->op.out, s->n, wanted));
    if (dy->data == s->node[node->index].value &&
        s->plan.buffer[s->node[node->index].plan->value].read_back)
        return ctx_fail(s->ctx, LENS_BAD_ARG,
                        "dy lies in the output's memory, but backward of %s reads that output",
                        node->op.name);
    return LENS_OK;
}

static lens_status check_backward(const lens_session *s) {
    const lens_net *net = s->net;
    if (!s->opts.train)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "lens_backward needs a session made with train");
    if (!s->may_backward)
        return ctx_fail(s->ctx, LENS_BAD_ARG,
                        "lens_backward must follow a lens_forward of the same session");
    if (s->forwarded != net->version)
        return ctx_fail(s->ctx, LENS_BAD_ARG,
                        "the weights of net %s changed between lens_forward and lens_backward",
                        net->name);
    return LENS_OK;
}

static void backward_node(lens_session *s, int i, bool repack) {
    const lens_net *net = s->net;
    session_node *it = &s->node[i];
    const op_node *op = it->run.node;
    if (it->mutes) zero_muted(s, i, it->grad);
    if (!op->inputs || plan_backs(&s->plan, i)) return;
    if (op->kind->flags & (OP_ALIAS | OP_IS_SUM)) {
        for (int k = 0; k < op->inputs; k++) {
            const session_node *source = &s->node[net->node[i]->input[k]->index];
            bool adds = it->plan->edge[k].adds;
            if (source->active && (adds || source->grad != it->grad))
                move(s, samples(s, i), it->grad, source->grad, adds);
        }
        return;
    }
    it->run.n = s->n; /* a fused activation had no forward that set it */
    it->run.repack = repack;
    it->run.scratch = it->scratch[1];
    op->kind->backward(&it->run);
    for (int k = 0; k < op->inputs; k++) {
        int source = net->node[i]->input[k]->index;
        if (it->dx[k] && it->plan->edge[k].temp != PLAN_NONE)
            move(s, samples(s, source), it->dx[k], s->node[source].grad, true);
    }
}

/* The value of node i, which may have rested, is about to be read in backward. */
static void wake(lens_session *s, int i) {
    const memory_plan *plan = &s->plan;
    int value = plan->node[i].value, first = plan->buffer[value].node;
    if (!plan->buffer[value].resume || s->node[first].awake) return;
    s->node[first].awake = true;
    for (int k = first; k <= i; k++) {
        op_run *run = &s->node[k].run;
        if (plan->node[k].value != value || plan->node[k].forward != PLAN_RUN) continue;
        run->scratch = s->node[k].scratch[0];
        run->again = true;
        run->node->kind->forward(run);
        run->again = false;
    }
}

static void wake_for(lens_session *s, int i) {
    const lens_node *node = s->net->node[i];
    if (node->op.kind->flags & OP_NEEDS_Y) wake(s, i);
    for (int k = 0; node->op.kind->flags & OP_NEEDS_X && k < node->op.inputs; k++)
        wake(s, node->input[k]->index);
}

/* dy may lie in the value of any output, which is still there. */
static void put_gradient(lens_session *s, int i, const lens_tensor *dy) {
    float *grad = s->node[i].grad;
    size_t bytes = samples(s, i) * sizeof *grad;
    if (!s->node[i].active) return;
    if (dy->data)
        memmove(grad, dy->data, bytes);
    else
        memset(grad, 0, bytes);
}

lens_status lens_backward_outputs(lens_session *s, const lens_tensor *dy, int count) {
    const lens_net *net = s->net;
    LENS_TRY(check_backward(s));
    int outputs = lens_net_outputs(net);
    if (count < 1 || count > outputs)
        return ctx_fail(s->ctx, LENS_BAD_ARG,
                        "lens_backward_outputs got %d gradients but net %s has %d outputs", count,
                        net->name, outputs);
    for (int k = 0; k < count; k++) LENS_TRY(check_gradient(s, lens_net_output_at(net, k), &dy[k]));
    bool repack = s->packed_back != net->version;
    s->packed_back = net->version;
    s->may_backward = false;
    for (int k = 0; k < outputs; k++)
        put_gradient(s, lens_net_output_at(net, k)->index,
                     k < count ? &dy[k] : &(lens_tensor){ 0 });
    for (int i = net->nodes - 1; i >= 0; i--) {
        if (!s->node[i].active) continue;
        double start = clock_of(s);
        wake_for(s, i);
        backward_node(s, i, repack);
        s->node[i].backward_s = clock_of(s) - start;
    }
    s->has_gradients = s->ever_backward = true;
    return LENS_OK;
}

lens_status lens_backward(lens_session *s, const lens_tensor *dy) {
    if (!dy->data) return ctx_fail(s->ctx, LENS_BAD_ARG, "dy has no data");
    return lens_backward_outputs(s, dy, 1);
}

/* ---- Looking inside ------------------------------------------------------------------------- */

lens_status lens_grad(lens_session *s, int index, lens_tensor *out) {
    lens_param param;
    if (index < 0 || index >= lens_net_params(s->net))
        return ctx_fail(s->ctx, LENS_BAD_ARG, "net %s: parameter %d does not exist, it has %d",
                        s->net->name, index, lens_net_params(s->net));
    LENS_TRY(lens_net_param(s->net, index, &param));
    if (!param.trainable)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s is not trainable: it has no gradient",
                        param.name);
    if (!s->ever_backward)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: there is no gradient before lens_backward",
                        param.name);
    if (s->freezes != s->net->freezes) apply_freezing(s);
    *out = param.value;
    out->data = s->gradients + s->net->param[index].offset;
    return LENS_OK;
}

static lens_status not_run(const lens_session *s, const lens_node *node) {
    return ctx_fail(s->ctx, LENS_BAD_ARG,
                    "%s: it serves training alone, which this session was not made for",
                    node->op.name);
}

lens_status lens_peek(lens_session *s, const lens_node *node, lens_which which, lens_tensor *out) {
    const lens_net *net = s->net;
    if (!node || node->net != net)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "lens_peek: the node is not one of net %s",
                        net->name);
    const session_node *it = &s->node[node->index];
    if (!it->value) return not_run(s, node);
    /* Of a session that shares memory these outlast the run; the outputs until backward. */
    bool ends = which == LENS_VALUE ? net_is_output(node) && !s->has_gradients : node == net->input;
    if (!s->opts.watch && !ends)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: lens_peek needs a session made with watch",
                        node->op.name);
    if (!s->n) return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: nothing has been run yet", node->op.name);
    if (which == LENS_GRADIENT && !s->has_gradients)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: no lens_backward has followed the latest run",
                        node->op.name);
    if (which == LENS_GRADIENT && (!it->active || !it->grad))
        return ctx_fail(s->ctx, LENS_BAD_ARG,
                        "%s: it has no gradient, as nothing before it is trained; input_grad asks "
                        "for the input's",
                        node->op.name);
    *out = view(which == LENS_VALUE ? it->value : it->grad, node->op.out, s->n);
    return LENS_OK;
}

lens_status lens_timing(lens_session *s, const lens_node *node, lens_node_timing *out) {
    if (!node || node->net != s->net)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "lens_timing: the node is not one of net %s",
                        s->net->name);
    if (!s->opts.timed)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: lens_timing needs a session made with timed",
                        node->op.name);
    if (!s->n) return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: nothing has been run yet", node->op.name);
    const session_node *it = &s->node[node->index];
    *out = (lens_node_timing){ .forward = it->forward_s,
                               .backward = it->backward_s,
                               .merged = it->plan->forward == PLAN_SKIP };
    const char **by[] = { &out->forward_by, &out->input_by, &out->weight_by };
    for (int i = 0; node->op.kind->algorithm && i < OP_PASSES; i++)
        *by[i] = op_algorithm_name[node->op.kind->algorithm(&node->op, i, it->plan->by.of[i])];
    return LENS_OK;
}

lens_status lens_mute(lens_session *s, const lens_node *node, int channel, bool off) {
    if (!node || node->net != s->net)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "lens_mute: the node is not one of net %s",
                        s->net->name);
    if (!s->opts.watch)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: lens_mute needs a session made with watch",
                        node->op.name);
    if (channel < 0 || channel >= node->op.out.c)
        return ctx_fail(s->ctx, LENS_BAD_ARG, "%s: channel %d is out of 0 to %d", node->op.name,
                        channel, node->op.out.c - 1);
    session_node *it = &s->node[node->index];
    if (!it->value) return not_run(s, node);
    it->mutes += (int)off - (int)it->muted[channel];
    it->muted[channel] = off;
    s->may_backward = false;
    return LENS_OK;
}
