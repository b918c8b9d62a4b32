/* test_net_memory.c - what sessions of real nets take: the arena against what lives at one time, and
 * steps that ask for no memory and meet no new page.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"
#include "test.h"

#include <lenslet/train.h>
#include <lenslet/zoo.h>

#include <limits.h>
#include <sys/resource.h>

static const char *const nets[] = { "lenet5",   "alexnet",  "vgg16",      "googlenet",
                                    "resnet18", "resnet50", "densenet121" };

/* The most bytes in use at one time; no placement can need less. */
static size_t most_alive(const memory_plan *plan, int times) {
    size_t most = 0;
    for (int t = 0; t <= times; t++) {
        size_t alive = 0;
        for (int i = 0; i < plan->buffers; i++) {
            const plan_buffer *b = &plan->buffer[i];
            if (plan_in_use(b, t)) alive += b->bytes;
        }
        if (alive > most) most = alive;
    }
    return most;
}

static void arena_is_what_lives(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (int train = 0; train < 2; train++) {
            lens_net *net;
            memory_plan plan = { 0 };
            const lens_session_opts opts = { .batch = 16, .train = train };
            assert_ok(ctx, lens_zoo_new(ctx, &net, nets[i], NULL));
            assert_ok(ctx, plan_make(&plan, net, ctx, &opts, false));
            const size_t alive = most_alive(&plan, 2 * net->nodes);
            if ((double)plan.bytes > 1.1 * (double)alive)
                fail_msg("%s, train %d: %zu bytes where %zu live at a time", nets[i], train,
                         plan.bytes, alive);
            plan_free(ctx, &plan);
            lens_net_free(net);
        }
    lens_ctx_free(ctx);
}

/* Values that are cheap to compute again do not wait for backward: the bound is 70 % of what PyTorch 2.15
 * takes for the same step, less 20 MB for the program itself. */
static void training_resnet50(void **state) {
    (void)state;
    lens_ctx *ctx = test_ctx(2);
    lens_net *net;
    memory_plan plan;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "resnet50", NULL));
    assert_ok(
        ctx, plan_make(&plan, net, ctx, &(lens_session_opts){ .batch = 16, .train = true }, false));
    size_t weights_and_momentum = 2 * net->weight_floats * sizeof(float);
    assert_in_range(plan.bytes + weights_and_momentum, 1, (size_t)(0.7 * 1978e6 - 20e6));
    plan_free(ctx, &plan);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static long faults(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_minflt + used.ru_majflt;
}

/* A page a step would already be STEPS; what the system itself does to the process is less, in the quietest
 * of some rounds. */
static void steady_steps_meet_no_new_page(void **state) {
    (void)state;
    enum { N = 4, CLASSES = 10, WARM = 2, STEPS = 10, ROUNDS = 3 };
    const lens_zoo_opts small = { 3, 64, 64, CLASSES };
    lens_ctx *ctx = test_ctx(2);
    lens_net *net;
    lens_session *trains, *runs;
    lens_optim *optim;
    lens_tensor x = { test_calloc(N * 3 * 64 * 64, sizeof(float)), 4, { N, 3, 64, 64 } }, y, dy;
    const int32_t label[N] = { 0, 1, 2, 3 };
    double loss;
    int correct;
    uint64_t calls = 0;
    long before = 0, fewest = LONG_MAX;
    assert_ok(ctx, lens_zoo_new(ctx, &net, "resnet18", &small));
    assert_ok(ctx, lens_init(net, "he", 1));
    assert_ok(ctx, lens_session_new(&trains, net, ctx,
                                    &(lens_session_opts){ .batch = N, .train = true }));
    assert_ok(ctx, lens_session_new(&runs, net, ctx, &(lens_session_opts){ .batch = N }));
    assert_ok(ctx, lens_optim_new(&optim, net, &(lens_optim_opts){ .momentum = 0.9 }));
    for (int step = 0; step < WARM + ROUNDS * STEPS; step++) {
        if (step == WARM) calls = ctx_alloc_calls(ctx);
        if (step >= WARM && (step - WARM) % STEPS == 0) before = faults();
        assert_ok(ctx, lens_forward(trains, &x, (uint32_t)step, &y));
        dy = y;
        assert_ok(ctx, lens_loss_eval(ctx, &(lens_loss){ 0 }, &y, label, &loss, &correct, &dy));
        assert_ok(ctx, lens_backward(trains, &dy));
        assert_ok(ctx, lens_optim_step(optim, trains, 1e-4));
        assert_ok(ctx, lens_run(runs, &x, &y));
        if (step >= WARM && (step - WARM) % STEPS == STEPS - 1 && faults() - before < fewest)
            fewest = faults() - before;
    }
    assert_int_equal(ctx_alloc_calls(ctx), calls);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(fewest < STEPS);
#endif
    test_free(x.data);
    lens_optim_free(optim);
    lens_session_free(runs);
    lens_session_free(trains);
    lens_net_free(net);
    lens_ctx_free(ctx);
}

/* ---- A limit -------------------------------------------------------------------------------- */

static const char limited_net[] = "net limited\n"
                                  "input 16x12x12\n"
                                  "conv2d out=64 kernel=3 pad=1\n"
                                  "rearrange shape=64x12x12 index=;;11:12:-1\n"
                                  "conv2d out=64 kernel=3 pad=1\n"
                                  "maxpool kernel=2\n"
                                  "conv2d out=64 kernel=3 pad=1\n"
                                  "relu\n"
                                  "flatten\n"
                                  "dense out=10\n";

/* The outputs of two runs of a new session for up to four pictures in y[20], and what it takes. */
static lens_status run_limited(lens_ctx *ctx, float *y, size_t *bytes) {
    lens_net *net = NULL;
    lens_session *s = NULL;
    lens_tensor x = { test_calloc(2 * 16 * 12 * 12, sizeof(float)), 4, { 2, 16, 12, 12 } }, out;
    for (int i = 0; i < 2 * 16 * 12 * 12; i++) x.data[i] = (float)sin(i * 1.7);
    lens_status status = lens_net_parse(ctx, &net, limited_net, "limited");
    if (status == LENS_OK) status = lens_init(net, "he", 1);
    if (status == LENS_OK)
        status = lens_session_new(&s, net, ctx, &(lens_session_opts){ .batch = 4 });
    for (int k = 0; k < 2 && status == LENS_OK; k++) status = lens_run(s, &x, &out);
    if (status == LENS_OK) {
        memcpy(y, out.data, 20 * sizeof *y);
        *bytes = lens_session_bytes(s);
    }
    lens_session_free(s);
    lens_net_free(net);
    test_free(x.data);
    return status;
}

/* Near the limit a session packs for each pass: less memory, the same bits. Below, it says what it needs. */
static void session_within_a_limit(void **state) {
    (void)state;
    float y[20], lean[20];
    size_t bytes, lean_bytes = SIZE_MAX, least = SIZE_MAX;
    char why[256];
    lens_ctx *ctx = test_ctx(1);
    assert_ok(ctx, run_limited(ctx, y, &bytes));
    lens_ctx_free(ctx);
    for (size_t limit = 4 << 20; limit > 0; limit -= 16 << 10) {
        lens_status status =
            lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = 1, .memory = limit }, why);
        if (status != LENS_OK) break;
        size_t before = ctx_live_bytes(ctx);
        status = run_limited(ctx, lean, &lean_bytes);
        assert_int_equal(ctx_live_bytes(ctx), before);
        if (status != LENS_OK) assert_int_equal(status, LENS_NOMEM);
        if (status == LENS_OK) {
            assert_memory_equal(y, lean, sizeof y);
            least = lean_bytes;
        } else if (least != SIZE_MAX) {
            assert_non_null(strstr(lens_why(ctx),
                                   "out of memory: net limited, inference session of 4 samples: "));
            assert_non_null(strstr(lens_why(ctx), "; the memory limit leaves "));
            lens_ctx_free(ctx);
            break;
        }
        lens_ctx_free(ctx);
    }
    if (least >= bytes * 4 / 5) fail_msg("%zu bytes within the limit, %zu without", least, bytes);
}

static void blocks_within_a_limit(void **state) {
    (void)state;
    char why[256];
    lens_ctx *ctx;
    assert_int_equal(lens_ctx_new(&ctx, &(lens_ctx_opts){ .threads = 1, .memory = 100000 }, why),
                     LENS_OK);
    size_t room = ctx_room(ctx);
    char *a = ctx_alloc(ctx, room, 1);
    assert_non_null(a);
    assert_int_equal(ctx_room(ctx), 0);
    assert_null(ctx_alloc(ctx, 1, 1));
    assert_non_null(strstr(lens_why(ctx), "1 bytes for a new block, beside "));
    assert_non_null(strstr(lens_why(ctx), "exceed the limit of 100000 bytes"));
    assert_null(ctx_grow(ctx, a, room, room + 1, 1));
    assert_non_null(strstr(lens_why(ctx), "for a block that grows, beside "));
    ctx_free(ctx, a);
    assert_int_equal(ctx_room(ctx), room);
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("near a memory limit a session packs for each pass, below it names what it needs",
      session_within_a_limit),
    T("blocks beyond a memory limit are refused with both numbers", blocks_within_a_limit),
    T("the arena is hardly larger than what lives at one time", arena_is_what_lives),
    T("training ResNet-50 at batch 16 takes less than 70 % of PyTorch's memory", training_resnet50),
    T("a steady step of ResNet-18 allocates nothing and meets no new page",
      steady_steps_meet_no_new_page),
};

TEST_MAIN(tests)
