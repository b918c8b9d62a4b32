/* tuning.h - every number that was tuned and not given: one place, each with its derivation.
 *
 * LENSLET_TINY (a preset of the build) shrinks them all, so that a picture of 11x13 crosses every
 * boundary that ResNet would. No result may depend on them beyond the order of a sum.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TUNING_H
#define BASE_TUNING_H

/* POOL_SERIAL_NS: work below this many nanoseconds runs on the caller. Handing a share to a worker
 * that polls takes 0.2 us and fetching its results some 1 us more, 2 us when the host has placed the CPUs
 * apart, so that two threads break even at 3 to 4 us of work; the estimates of small layers are twice what
 * they take. With 8000 in place of 4000 LeNet takes 5 % less at batch 16 (2026-11-21, AMD EPYC, 2 virtual
 * CPUs, Linux 6.18).
 *
 * POOL_PIECE_NS: the least work that is claimed at a time: a claim fetches at worst a cache line from another
 * core, 0.2 us as above, 5 % of it.
 *
 * POOL_SPIN_NS: how long an idle worker polls before it sleeps, and the caller before it sleeps waiting
 * for the last piece. A sleeper needs 70 to 110 us to be back at work there; polling for as long as
 * that costs at most twice what knowing the future would.
 *
 * POOL_ASK_NS: how old the answer to "how many CPUs may I use" may be, which costs 0.6 us.
 *
 * CTX_HUGE_BYTES: allocations from here on are aligned to 2 MiB and offered to the kernel as huge pages;
 * four of them, so that the padding stays below a quarter.
 *
 * OP_TASK_FLOATS: floats an element-wise task reads and writes, about 3 us at 10 GB/s: a hundred times
 * the call of a task, and a LeNet layer of 64 pictures still falls into dozens. */
#ifdef LENSLET_TINY
enum {
    POOL_SERIAL_NS = 0,
    POOL_PIECE_NS = 1,
    POOL_SPIN_NS = 2000,
    POOL_ASK_NS = 1000,
    CTX_HUGE_BYTES = 1 << 20,
    OP_TASK_FLOATS = 64
};
#else
enum {
    POOL_SERIAL_NS = 8000,
    POOL_PIECE_NS = 4000,
    POOL_SPIN_NS = 100000,
    POOL_ASK_NS = 10000000,
    CTX_HUGE_BYTES = 8 << 20,
    OP_TASK_FLOATS = 8192
};
#endif

/* Convolution and dense layers. None of these changes a bit of a forward pass or an input gradient; the
 * order in which a weight gradient is summed depends on all but those of GEMM and SPLIT_MACS, and that of a dense
 * layer's forward pass on DENSE_BYTES.
 *   GEMM_K          steps of k before a tile is written back: a panel of two AVX-512 vectors is then
 *                   512*32*4 = 64 KiB, a sixteenth of L2.
 *   GEMM_APART      the same where rows of B lie apart: their pages, one or two a row, stay in the TLB while a strip is
 *                   gone through, and a tile of 8x2 reads and writes its 16 vectors of C in 3 % of 128 steps.
 *   GEMM_STRIPS     how many strips such a product is cut into for every 8 threads: two for each, and a row of AlexNet's
 *                   9216 weights is 2.3 KiB of each. Together they take its dense gradients from 38 to 23 ms for the
 *                   largest layer (16 pictures, two threads; 2026-12-01, Xeon of 2023).
 *   DENSE_BYTES     most weights of a dense layer that is packed: the size of one core's L2. Beyond, inner
 *                   products over the weights as they are stored are as fast: 40 GB/s of memory at batch 1,
 *                   215 GFLOP/s at batch 16 (AlexNet and VGG-16, two threads, 2026-11).
 *   PANEL_BYTES     of one task's padded input: 7/16 of a 1 MiB L2, which leaves room for the packed
 *                   weights of a row block (14 maps * 4608 taps * 4 = 252 KiB) and the output, and holds
 *                   2048 channels of 7x7 or 512 of 14x14 whole (392 KiB).
 *   PANEL_OF(l2)    the same of a panel that is filled, in a pass where no bit depends on it, for an L2 of that size
 *                   (0: unknown): a panel cut in two streams the weights twice. With 2 MiB, batch norm, relu and 576 to
 *                   960 maps of 14x14 to 128 take 10 to 25 % less, DenseNet-121 with two threads 5 % (2026-12-01,
 *                   Xeon of 2023).
 *   LINE            1x1 kernels cut their planes at multiples of this: a vector of the widest level.
 *   FLAT_POSITIONS  most output positions of one task: bounds the scratch of flat tiles to
 *                   28 maps * 4 KiB.
 *   OUTER_POSITIONS positions of a step of a weight gradient by outer products: 14 maps and 32 channels are
 *                   then 72 KiB, and the 28 vectors of their sum cost 2 % of its multiply-adds.
 *   TASKS           how many pieces small work is cut into, so that up to 8 threads find some.
 *   SPLIT_MACS      multiply-adds below which a task is not split further: about 20 us on one core.
 *   CHUNK_BYTES     of partial weight gradients, added up in the end: 4 MiB pass through L3 in 0.1 ms.
 *   WINO_MAPS, WINO_SIDE   fewest maps and smallest output side for Winograd, whose estimate of costs
 *                   (wino.c) knows nothing of the overhead of calls.
 *   WINO_SUM        tiles a weight gradient sums over at a time: fewer, and reading and writing the sums counts; more,
 *                   and less of the transforms stays in L2. 3x3 of 64 maps of 56x56, one thread: 7.4 ms with 32
 *                   tiles, 6.7 with 64, 7.1 with 128 (2026-11-21, Zen 5).
 *   WINO_BLOCK      maps of a block of kernels on either side: 512 maps of 28x28 take 58, 43, 42 ms with 64, 128,
 *                   256; 256 maps of 14x14 9.0, 7.4, 7.7.
 *   WINO_BYTES      of transformed weights, 16 MiB: what one may count on of a shared L3.
 *   NORM_BYTES      of x that batch norm passes over twice: with dy and dx 3/4 of a 1 MiB L2. */
#ifdef LENSLET_TINY
enum {
    TUNE_GEMM_K = 5,
    TUNE_GEMM_APART = 3,
    TUNE_GEMM_STRIPS = 2,
    TUNE_DENSE_BYTES = 2048,
    TUNE_PANEL_BYTES = 2048,
    TUNE_LINE = 8,
    TUNE_FLAT_POSITIONS = 40,
    TUNE_OUTER_POSITIONS = 24,
    TUNE_TASKS = 3,
    TUNE_SPLIT_MACS = 100,
    TUNE_CHUNK_BYTES = 4096,
    TUNE_WINO_MAPS = 5, /* and SIDE: more than the exact worked examples have */
    TUNE_WINO_SIDE = 5,
    TUNE_WINO_SUM = 8,
    TUNE_WINO_BLOCK = 20,
    TUNE_WINO_BYTES = 16 << 20,
    TUNE_NORM_BYTES = 1024,
};
#define TUNE_PANEL_OF(l2) ((void)(l2), (size_t)TUNE_PANEL_BYTES)
#else
enum {
    TUNE_GEMM_K = 512,
    TUNE_GEMM_APART = 128,
    TUNE_GEMM_STRIPS = 16,
    TUNE_DENSE_BYTES = 1 << 20,
    TUNE_PANEL_BYTES = 448 << 10,
    TUNE_LINE = 16,
    TUNE_FLAT_POSITIONS = 1024,
    TUNE_OUTER_POSITIONS = 400,
    TUNE_TASKS = 8,
    TUNE_SPLIT_MACS = 1000000,
    TUNE_CHUNK_BYTES = 4 << 20,
    TUNE_WINO_MAPS = 16,
    TUNE_WINO_SIDE = 4,
    TUNE_WINO_SUM = 64,
    TUNE_WINO_BLOCK = 128,
    TUNE_WINO_BYTES = 16 << 20,
    TUNE_NORM_BYTES = 256 << 10,
};
#define TUNE_PANEL_OF(l2) ((l2) > 1 << 20 ? (l2) / 16 * 7 : (size_t)TUNE_PANEL_BYTES)
#endif

/* Measuring algorithms (net/tune.c).
 *   SWEEP_BYTES  of the net's weights, read before each try: two L3 slices of 32 MiB.
 *   ROUNDS       tries of each way, the best of which counts, unless SECONDS have passed before; three in
 *                any case. */
enum { TUNE_SWEEP_BYTES = 64 << 20, TUNE_ROUNDS = 9 };
#define TUNE_SECONDS 0.25

#endif
