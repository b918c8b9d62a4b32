/* table.c - the verbs and options of the program. A new option is a line here and its use in the
 * file of its verb.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <string.h>

#define NETS                                                                                       \
    "lenet5 lenet5-1998 harley mlp-300-100 mlp-128-64 course-color course-shape "                  \
    "course-both course-mnist course-fashion course-cifar alexnet alexnet-2012 zfnet zfnet-b "     \
    "vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg16-c vgg19 vgg19_bn googlenet "               \
    "googlenet-v1 resnet18 resnet34 resnet34-a resnet34-c resnet50 resnet101 resnet152 "           \
    "resnet50-v1 resnet101-v1 resnet152-v1 resnet20 resnet20-b resnet32 resnet44 "                 \
    "resnet56 resnet110 resnet1202 resnet18-cifar densenet121 densenet161 densenet169 "            \
    "densenet201 densenet264 densenet-40-12 densenet-100-12 densenet-bc-100-12 "                   \
    "densenet-bc-250-24 densenet-bc-190-40 squeezenet1_0 squeezenet1_1"
#define AUGMENTATIONS                                                                              \
    "mirror crop:4 shift:2 resized-crop rotate:15 zoom:0.1 jitter pca erase mixup cutmix"
#define SETS "shapes shapes:shape shapes:both fashion-mnist mnist cifar10 cifar100"
#define MANY 2147483647.0

const option common_options[] = {
    { .name = "threads",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1024,
      .fallback = "the CPUs this process may use",
      .help = "worker threads; the numbers do not depend on it" },
    { .name = "seed",
      .type = WHOLE,
      .value = "N",
      .low = 0,
      .high = 9e15,
      .fallback = "0",
      .help = "of everything random" },
    { .name = "lang",
      .type = WORD,
      .value = "en|zh",
      .words = "en zh",
      .fallback = "the locale's",
      .help = "language of figures; those in .png are English" },
    { .name = "strict", .help = "only algorithms that form every product (no Winograd)" },
    { .name = "memory",
      .type = WHOLE,
      .value = "MIB",
      .low = 1,
      .high = 1e9,
      .fallback = "no limit",
      .help =
          "most memory for weights and work, in MiB; near it, weights are packed anew for every "
          "batch" },
    { .name = "tune",
      .help = "measure which algorithm suits each convolution, instead of estimating" },
    { .name = "wisdom",
      .type = TEXT,
      .value = "FILE",
      .help = "what --tune has measured: read if it is there, and written by --tune" },
    { .name = "json", .help = "print one JSON object instead of text" },
    { .name = "quiet", .letter = 'q', .help = "no messages and no progress" },
    { .name = "verbose", .letter = 'v', .help = "say more" },
    { .name = "help", .letter = 'h', .help = "this text" },
    { .name = "version", .help = "version, instruction set and threads" },
    { 0 },
};

static const option model_options[] = {
    { .name = "model",
      .letter = 'm',
      .type = TEXT,
      .value = "FILE",
      .help = "a model saved by train, or weights of a net of the zoo (.safetensors, .pth)" },
    { .name = "net",
      .type = TEXT,
      .value = "NAME|FILE",
      .words = NETS,
      .help = "a net of the zoo or a net text, with --weights" },
    { .name = "weights",
      .type = TEXT,
      .value = "FILE",
      .help = "weights for --net (.safetensors, .pth)" },
    { .name = "input",
      .type = TEXT,
      .value = "CxHxW",
      .fallback = "the paper's",
      .help = "input of a net of the zoo" },
    { .name = "classes",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1 << 20,
      .fallback = "the paper's",
      .help = "outputs of a net of the zoo" },
    { 0 },
};

#define RESIZE                                                                                     \
    { .name = "resize",                                                                            \
      .type = WHOLE,                                                                               \
      .value = "N",                                                                                \
      .low = 1,                                                                                    \
      .high = 4096,                                                                                \
      .fallback = "the model's, or just covering its input",                                       \
      .help = "resize the shorter side to N, then cut the centre; the margin serves crops" },      \
    {                                                                                              \
        .name = "interpolation", .type = WORD, .value = "HOW", .words = "bilinear bicubic",        \
        .fallback = "the model's, or bilinear", .help = "bilinear or bicubic, of all resizing"     \
    }

#define CROPS                                                                                      \
    {                                                                                              \
        .name = "crops", .type = WORD, .value = "N", .words = "1 5 10 50", .fallback = "1",        \
        .help =                                                                                    \
            "views of each picture whose probabilities are averaged: 5 corners and centre, 10 "    \
            "with their mirror images, 50 in a 5x5 grid"                                           \
    }

static const option data_options[] = {
    { .name = "data",
      .letter = 'd',
      .type = TEXT,
      .value = "SRC",
      .words = SETS,
      .help = "a known name or a path, see lenslet data --help" },
    { .name = "channels",
      .type = WORD,
      .value = "1|3",
      .words = "1 3",
      .fallback = "as stored",
      .help = "read pictures as grey (1) or colour (3)" },
    { .name = "size",
      .type = TEXT,
      .value = "HxW",
      .fallback = "as stored",
      .help = "resize pictures to cover this and cut at the centre" },
    { .name = "skip-bad", .help = "leave out pictures that cannot be read, and list them" },
    RESIZE,
    { 0 },
};

static const option split_options[] = {
    { .name = "split",
      .type = WORD,
      .value = "test|train",
      .words = "test train",
      .fallback = "test",
      .help = "which part of the data" },
    { 0 },
};

static const option train_options[] = {
    { .name = "net",
      .letter = 'n',
      .type = TEXT,
      .value = "NAME|FILE",
      .words = NETS,
      .help = "a net of the zoo, a net text, or a model to go on from" },
    { .name = "recipe",
      .type = WORD,
      .value = "paper",
      .words = "paper",
      .fallback = "optimiser and schedule of the paper, few epochs",
      .help = "also the epochs and augmentations of the net's paper; lenslet inspect shows them" },
    { .name = "epochs",
      .letter = 'e',
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1e6,
      .fallback = "5",
      .help = "passes over the training pictures" },
    { .name = "batch",
      .letter = 'b',
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 65536,
      .fallback = "the net's, or 64",
      .help = "pictures in a step" },
    { .name = "lr",
      .type = REAL,
      .value = "RATE",
      .low = 1e-12,
      .high = 1e6,
      .fallback = "the net's, or the optimiser's",
      .help = "learning rate" },
    { .name = "optimizer",
      .type = WORD,
      .value = "NAME",
      .words = "sgd nesterov adagrad adadelta rmsprop adam adamw",
      .fallback = "the net's, or sgd",
      .help = "sgd, nesterov, adagrad, adadelta, rmsprop, adam, adamw" },
    { .name = "momentum",
      .type = REAL,
      .value = "M",
      .low = 0,
      .high = 0.999999,
      .fallback = "the net's",
      .help = "share of the last step that is kept" },
    { .name = "weight-decay",
      .type = REAL,
      .value = "D",
      .low = 0,
      .high = 1e6,
      .fallback = "the net's",
      .help = "pull of every weight towards 0" },
    { .name = "schedule",
      .type = TEXT,
      .value = "HOW",
      .words = "constant step:10,0.1 poly:2 cosine onecycle plateau:3,0.5",
      .fallback = "the net's, or constant",
      .help = "constant, step:E,G, steps:E1,E2:G, poly:P, cosine, onecycle, plateau:P,G; "
              "+warmup:E may follow" },
    { .name = "loss",
      .type = WORD,
      .value = "NAME",
      .words = "cross-entropy mse mse-half mse-sum hinge hinge-squared",
      .fallback = "cross-entropy",
      .help = "cross-entropy, mse, mse-half, mse-sum, hinge, hinge-squared" },
    { .name = "label-smoothing",
      .type = REAL,
      .value = "E",
      .low = 0,
      .high = 0.999999,
      .fallback = "0",
      .help = "share of each target that is spread over all classes" },
    { .name = "clip",
      .type = REAL,
      .value = "NORM",
      .low = 0,
      .high = 1e30,
      .fallback = "0: no limit",
      .help = "largest norm of the gradient" },
    { .name = "init",
      .type = TEXT,
      .value = "HOW",
      .words = "he he-uniform xavier xavier-normal lecun torch normal:0.01 uniform:0.05 zero",
      .fallback = "the net's, or he",
      .help = "he, he-uniform, xavier, xavier-normal, lecun, torch, normal:S, uniform:A, "
              "truncated:S, zero, constant:V" },
    { .name = "augment",
      .type = TEXT,
      .value = "LIST",
      .words = AUGMENTATIONS,
      .fallback = "nothing",
      .help = "random changes, separated by commas: " AUGMENTATIONS },
    { .name = "weights",
      .type = TEXT,
      .value = "FILE",
      .help = "start from these weights (.safetensors, .pth)" },
    { .name = "freeze",
      .type = WHOLE,
      .value = "N",
      .low = 0,
      .high = 1e6,
      .fallback = "0",
      .help = "keep the first N layers that have weights as they are" },
    { .name = "out",
      .letter = 'o',
      .type = TEXT,
      .value = "DIR",
      .fallback = "nothing is kept",
      .help = "folder for the model, checkpoints and logs" },
    { .name = "resume", .help = "go on where the run in --out stopped" },
    { .name = "save-every",
      .type = WHOLE,
      .value = "STEPS",
      .low = 1,
      .high = MANY,
      .fallback = "each epoch",
      .help = "also save the state every so many steps" },
    { 0 },
};

static const option eval_options[] = {
    { .name = "batch",
      .letter = 'b',
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 65536,
      .fallback = "256",
      .help = "pictures at a time" },
    CROPS,
    { 0 },
};

static const option predict_options[] = {
    { .name = "top",
      .letter = 'k',
      .type = WHOLE,
      .value = "K",
      .low = 1,
      .high = 1000,
      .fallback = "3",
      .help = "how many classes to show" },
    CROPS,
    RESIZE,
    { 0 },
};

static const option run_model_options[] = {
    { .name = "model",
      .letter = 'm',
      .type = TEXT,
      .value = "FILE",
      .help = "a model saved by train, or weights of a net of the zoo (.safetensors, .pth)" },
    { .name = "net",
      .type = TEXT,
      .value = "NAME|FILE",
      .words = NETS,
      .help = "a net of the zoo or a net text, with --weights" },
    { .name = "weights",
      .type = TEXT,
      .value = "FILE",
      .help = "weights for --net (.safetensors, .pth)" },
    { .name = "input",
      .letter = 'i',
      .type = TEXT,
      .value = "[NAME=]X.npy",
      .many = true,
      .help = "the input, (N,C,H,W) or (C,H,W), used as it is" },
    { .name = "classes",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1 << 20,
      .fallback = "the paper's",
      .help = "outputs of a net of the zoo" },
    { .name = "out",
      .letter = 'o',
      .type = TEXT,
      .value = "DIR",
      .fallback = ".",
      .help = "folder for NAME.npy of each output" },
    { .name = "all-nodes", .help = "write the value of every node, not only of the output" },
    { 0 },
};

static const option inspect_options[] = {
    { .name = "input",
      .type = TEXT,
      .value = "CxHxW",
      .fallback = "the paper's",
      .help = "input of a net of the zoo" },
    { .name = "classes",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1 << 20,
      .fallback = "the paper's",
      .help = "outputs of a net of the zoo" },
    { 0 },
};

static const option inspect_own_options[] = {
    { .name = "text", .help = "print the net as net text, ready to edit and train" },
    { 0 },
};

static const option compare_options[] = {
    { .name = "input",
      .letter = 'i',
      .type = TEXT,
      .value = "X.npy",
      .help = "the input, (N,C,H,W) or (C,H,W), used as it is" },
    { .name = "net",
      .type = TEXT,
      .value = "NAME|FILE",
      .words = NETS,
      .help = "with --weights: the second model" },
    { .name = "weights",
      .type = TEXT,
      .value = "FILE",
      .help = "weights for --net (.safetensors, .pth)" },
    { .name = "classes",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1 << 20,
      .fallback = "the paper's",
      .help = "outputs of a net of the zoo" },
    { .name = "tolerance",
      .type = REAL,
      .value = "T",
      .low = 0,
      .high = 1e6,
      .fallback = "1e-4",
      .help = "largest difference at a node, as a share of its largest value" },
    { 0 },
};

/* What is done with weights that do not fit. */
static const option fit_options[] = {
    { .name = "partial", .help = "load the weights that fit and list the rest" },
    { .name = "replace-head",
      .help = "weights for another number of classes: train the head anew" },
    { 0 },
};

static const option bench_options[] = {
    { .name = "batch",
      .letter = 'b',
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 65536,
      .fallback = "1, with --train 64",
      .help = "pictures at a time" },
    { .name = "train", .help = "time training steps instead of inference" },
    { .name = "layers", .help = "the time line: every layer's time, speed and algorithm" },
    { .name = "machine", .help = "time the machine itself: multiply-adds, caches and memory" },
    { .name = "peak",
      .type = REAL,
      .value = "GFLOP/S",
      .low = 0.001,
      .high = 1e9,
      .fallback = "measured",
      .help = "what percent of the peak means" },
    { .name = "seconds",
      .type = REAL,
      .value = "S",
      .low = 0.001,
      .high = 3600,
      .fallback = "1",
      .help = "how long to measure, after warming up for a fifth of it" },
    { 0 },
};

static const option picture_options[] = {
    { .name = "out", .letter = 'o', .type = TEXT, .value = "PATH", .help = "where to write" },
    { .name = "count",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 100000,
      .fallback = "64",
      .help = "how many pictures, spread evenly" },
    { .name = "augment",
      .type = TEXT,
      .value = "LIST",
      .words = AUGMENTATIONS,
      .help = "sheet: a picture a line, as it is and then as these random changes make it" },
    { 0 },
};

static const option plot_options[] = {
    { .name = "out",
      .letter = 'o',
      .type = TEXT,
      .value = "FILE",
      .help =
          "the figure, .svg or .png; conv: .png (animated), .html or .svg (one for each frame)" },
    { .name = "numbers",
      .type = TEXT,
      .value = "FILE",
      .help = "the numbers behind the figure, too: .json, .csv or .npy" },
    { .name = "layer",
      .letter = 'l',
      .type = TEXT,
      .value = "NAME",
      .many = true,
      .fallback = "filters, stages: the first convolution; maps: every layer with maps",
      .help = "which layer; maps takes several" },
    { .name = "at",
      .type = TEXT,
      .value = "UNIT",
      .fallback = "the largest, or the middle",
      .help = "unit: CHANNEL,ROW,COLUMN; rf: ROW,COLUMN" },
    { .name = "kernel",
      .letter = 'k',
      .type = TEXT,
      .value = "KERNEL",
      .help = "stages, conv, backward: a name or rows of numbers \"0 -1 0/-1 5 -1/0 -1 0\"" },
    { .name = "matrix",
      .type = TEXT,
      .value = "ROWS",
      .help = "conv, backward, pooling: what the layer reads, \"0 1 2/3 4 5/6 7 8\"" },
    { .name = "stride",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 12,
      .fallback = "conv: 1; backward: 2; pooling: the window",
      .help = "step of the window" },
    { .name = "pad",
      .type = WHOLE,
      .value = "N",
      .low = 0,
      .high = 12,
      .fallback = "0",
      .help = "conv, backward: zeros around the input" },
    { .name = "dilation",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 12,
      .fallback = "1",
      .help = "conv: distance between the cells of the kernel" },
    { .name = "window",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 12,
      .fallback = "2",
      .help = "pooling: side of the window" },
    { .name = "transposed", .help = "conv: a transposed convolution" },
    { .name = "count",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = MANY,
      .fallback = "500",
      .help = "invariance: pictures, evenly spread" },
    { .name = "by",
      .type = WORD,
      .value = "HOW",
      .words = "shift rotation scale",
      .fallback = "shift",
      .help = "invariance: how the pictures are changed" },
    { .name = "image", .type = TEXT, .value = "FILE", .help = "the picture to look at" },
    { .name = "index",
      .type = WHOLE,
      .value = "N",
      .low = 0,
      .high = MANY,
      .fallback = "0",
      .help = "this picture of --data" },
    { .name = "title", .type = TEXT, .value = "TEXT", .help = "above the figure" },
    { .name = "share", .help = "maps: one colour scale for all layers" },
    { 0 },
};

static const option filter_options[] = {
    { .name = "kernel",
      .letter = 'k',
      .type = TEXT,
      .value = "KERNEL",
      .many = true,
      .help = "a name (lenslet kernel list; also sobel-magnitude, sobel-angle), rows of numbers "
              "\"0 -1 0/-1 5 -1/0 -1 0\" or a file of them; several are applied in turn" },
    { .name = "all", .help = "the nine kernels of the course as one figure (.svg or .png)" },
    { .name = "out",
      .letter = 'o',
      .type = TEXT,
      .value = "FILE",
      .help = "the picture, .png, .pgm or .ppm; or .npy for the numbers as they are" },
    { .name = "pad",
      .type = WORD,
      .value = "MODE",
      .words = "valid zero replicate reflect",
      .fallback = "reflect; valid with --all",
      .help = "what lies outside the picture; valid: nothing, the result shrinks" },
    { .name = "stride",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 65536,
      .fallback = "1",
      .help = "step between results" },
    { .name = "dilation",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 65536,
      .fallback = "1",
      .help = "distance between the pixels a kernel looks at" },
    { .name = "flip", .help = "true convolution: the kernel turned by 180 degrees" },
    { .name = "sum", .help = "add the channels up, as a layer does" },
    { .name = "signed", .help = "show 0 as mid grey, the largest magnitude as black or white" },
    { .name = "abs", .help = "show magnitudes" },
    { .name = "clip", .help = "show values as brightness, cut off at black and white" },
    { 0 },
};

static const option kernel_options[] = {
    { .name = "out",
      .letter = 'o',
      .type = TEXT,
      .value = "PATH",
      .help = "show, match: a figure (.svg or .png); learn: a folder" },
    { .name = "image",
      .type = TEXT,
      .value = "IMAGE",
      .fallback = "s80",
      .help = "learn: the picture; s80 is a built-in ring with a cross" },
    { .name = "target",
      .type = TEXT,
      .value = "KERNEL",
      .fallback = "horizontal-edge",
      .help = "learn: the kernel to be found again from what it makes of the picture" },
    { .name = "rate",
      .type = REAL,
      .value = "X",
      .low = 1e-12,
      .high = 1e12,
      .fallback = "0.5",
      .help = "learn: step size; above 2/lambda_max the descent diverges" },
    { .name = "steps",
      .type = WHOLE,
      .value = "N",
      .low = 1,
      .high = 1000000,
      .fallback = "10000",
      .help = "learn: most steps" },
    { .name = "tolerance",
      .type = REAL,
      .value = "X",
      .low = 1e-300,
      .high = 1e300,
      .fallback = "1e-7",
      .help = "learn: stop below this loss" },
    { .name = "trials",
      .type = WHOLE,
      .value = "N",
      .low = 0,
      .high = 10000000,
      .fallback = "as many as descent took steps",
      .help = "learn: kernels that random search, the baseline, may try" },
    { .name = "method",
      .type = WORD,
      .value = "NAME",
      .words = "sse mse rmse raw cosine zncc",
      .fallback = "zncc",
      .help = "match: how a window is compared with the template" },
    { .name = "threshold",
      .type = REAL,
      .value = "X",
      .low = -1,
      .high = 1e6,
      .fallback = "0.95 for cosine and zncc, 0.1 for the others",
      .help = "match: least similarity, or largest RMSE as a share of the template's RMS" },
    { 0 },
};

static const option report_options[] = {
    { .name = "log",
      .type = TEXT,
      .value = "FILE",
      .fallback = "log.csv beside the model, if it is there",
      .help = "the log of the training run" },
    { .name = "out", .letter = 'o', .type = TEXT, .value = "FILE", .help = "the page (.html)" },
    { 0 },
};

static const topic kernel_topics[] = {
    { "list", "", "the kernels that have a name" },
    { "show", "KERNEL", "its numbers, gain, response to frequencies; a figure with -o" },
    { "learn", "", "find a kernel again by gradient descent" },
    { "match", "IMAGE TEMPLATE", "search a small picture in a large one" },
    { 0 },
};

static const option help_options[] = {
    { .name = "man", .help = "print the manual page (roff)" },
    { .name = "completion",
      .type = WORD,
      .value = "SHELL",
      .words = "bash zsh fish",
      .help = "print the completion script for bash, zsh or fish" },
    { 0 },
};

static const topic data_topics[] = {
    { "list", "", "the data sets that have a name here, and whether they are installed" },
    { "info", "SRC", "size, classes, counts, mean and deviation, problems" },
    { "sheet", "SRC -o FILE", "a contact sheet as a figure (.svg or .png)" },
    { "export", "SRC -o DIR", "pictures as PNG files called CLASS-INDEX.png" },
    { 0 },
};

static const topic plot_topics[] = {
    { "curves", "RUN...", "loss and accuracy of one to four training runs (folders or log.csv)" },
    { "filters", "", "the weights of a convolution" },
    { "maps", "", "what every layer makes of one picture (--image, or --data and --index)" },
    { "confusion", "", "which classes are taken for which (--data)" },
    { "errors", "", "the most confident mistakes (--data)" },
    { "arch", "[NAME|FILE]", "the layers and their sizes" },
    { "stages", "",
      "picture, convolution, activation, pooling (--image; with a model: each filter)" },
    { "unit", "", "one output number: every product and sum that makes it (--layer, --at)" },
    { "rf", "[NAME|FILE]", "the receptive field of each layer on the input" },
    { "conv", "", "a kernel slides: stride, padding, dilation, transposition" },
    { "backward", "[conv|maps|pool]", "gradients of a layer, with all numbers" },
    { "channels", "", "how filters combine channels: one to many, many to one, many to many" },
    { "pooling", "", "maximum, mean and sum of windows; a dot that moves" },
    { "invariance", "MODEL...", "accuracy and features when pictures move, turn or grow (--data)" },
    { 0 },
};

const verb verbs[] = {
    { .name = "train",
      .arguments = "--net NAME|FILE --data SRC [options]",
      .what = "train a network on labelled pictures",
      .more =
          "The input and the classes of a net of the zoo follow the data. What is not given is "
          "taken from the net's own recipe. Ctrl-C saves the state and ends with status 130; a "
          "second Ctrl-C leaves at once. With --out the folder gets model.safetensors (the best "
          "epoch), last.safetensors and last.state (to resume), log.csv and log.jsonl.",
      .examples = "lenslet train --net lenet5 --data fashion-mnist --epochs 5 --out runs/fashion\n"
                  "lenslet train --net lenet5 --data fashion-mnist --out runs/fashion --resume\n"
                  "lenslet train --net my-net.txt --data my-pictures/ --augment mirror,crop:2\n"
                  "lenslet train --net runs/fashion/model.safetensors --data mnist --freeze 2",
      .groups = { train_options, data_options, fit_options },
      .run = run_train },
    { .name = "eval",
      .arguments = "--model FILE --data SRC [options]",
      .what = "measure a model on labelled pictures",
      .more = "Every picture counts once. Accuracies are fractions from 0 to 1.",
      .examples = "lenslet eval --model runs/fashion/model.safetensors --data fashion-mnist\n"
                  "lenslet eval --model model.safetensors --data my-pictures/ --json",
      .groups = { model_options, data_options, split_options, eval_options, fit_options },
      .run = run_eval },
    { .name = "predict",
      .arguments = "--model FILE IMAGE... [options]",
      .what = "name what is on pictures",
      .more = "A picture (PNG, JPEG, PNM) is converted to the model's grey or colour, resized to "
              "cover its input, cut at the centre and normalised like the training pictures. It is "
              "not inverted: a model trained on white digits on black wants such pictures.",
      .examples = "lenslet predict --model runs/fashion/model.safetensors boot.png\n"
                  "lenslet predict -m model.safetensors --top 5 --json *.jpg",
      .fewest = 1,
      .most = -1,
      .groups = { model_options, predict_options },
      .run = run_predict },
    { .name = "run",
      .arguments = "--model FILE --input X.npy [--out DIR]",
      .what = "push raw tensors through a network",
      .more = "Nothing is resized or normalised: the numbers of the file are the input.",
      .examples = "lenslet run --model model.safetensors --input x.npy --out results\n"
                  "lenslet run --net lenet5 --weights w.safetensors -i input=x.npy --all-nodes",
      .groups = { run_model_options },
      .run = run_run },
    { .name = "inspect",
      .arguments = "[NAME|FILE] [options]",
      .what = "layers, shapes, parameters, cost, memory, receptive field",
      .more = "Without an argument: the nets of the zoo.",
      .examples = "lenslet inspect\n"
                  "lenslet inspect lenet5\n"
                  "lenslet inspect lenet5 --input 3x32x32 --text > my-net.txt\n"
                  "lenslet inspect runs/fashion/model.safetensors --json",
      .most = 1,
      .groups = { inspect_options, inspect_own_options },
      .run = run_inspect },
    { .name = "convert",
      .arguments = "IN OUT [options]",
      .what = "turn a file of weights, a model or a net into another format",
      .more =
          "The content of IN decides what it is; the ending of OUT what it becomes: .safetensors "
          "takes the tensors of a model, of .safetensors or of a PyTorch file (.pth, .pt, .th; a "
          "state_dict or a checkpoint with one); .txt or .net the net text of a model or of a net "
          "of the zoo. Nothing in a PyTorch file is executed.",
      .examples = "lenslet convert checkpoint.pth weights.safetensors\n"
                  "lenslet convert runs/fashion/model.safetensors net.txt\n"
                  "lenslet convert lenet5 my-net.txt --input 3x32x32 --classes 5",
      .fewest = 2,
      .most = 2,
      .groups = { inspect_options },
      .run = run_convert },
    { .name = "compare",
      .arguments = "A [B] --input X.npy [options]",
      .what = "find the first layer at which two models part",
      .more = "A and B are models; without B the second is --net NAME --weights FILE. Nodes are "
              "matched by name, in the order of A. Status 0: all values agree; 1: they part.",
      .examples = "lenslet compare a.safetensors b.safetensors --input x.npy\n"
                  "lenslet compare a.safetensors --net lenet5 --weights w.pth -i x.npy\n"
                  "lenslet compare a.safetensors b.safetensors -i x.npy --tolerance 0 --json",
      .fewest = 1,
      .most = 2,
      .groups = { compare_options },
      .run = run_compare },
    { .name = "bench",
      .arguments = "NAME|FILE [options], or --machine",
      .what = "time a network",
      .examples = "lenslet bench lenet5 --batch 16\n"
                  "lenslet bench lenet5 --train --batch 64 --threads 2 --json\n"
                  "lenslet bench resnet50 --layers\n"
                  "lenslet bench --machine",
      .fewest = 0,
      .most = 1,
      .groups = { inspect_options, bench_options },
      .run = run_bench },
    { .name = "data",
      .arguments = "TOPIC [SRC] [options]",
      .what = "look at labelled pictures before training",
      .more = "SRC is a known name, looked up in $LENSLET_DATA, $XDG_DATA_HOME/lenslet and "
              "/usr/share/datasets, or a path: a folder with one folder of pictures for each class "
              "(train/ and test/ if present), with IDX files or with CIFAR binary files; or a CSV "
              "file with lines path,label[,split].",
      .examples = "lenslet data list\n"
                  "lenslet data info my-pictures/\n"
                  "lenslet data sheet fashion-mnist --count 100 -o sheet.png\n"
                  "lenslet data sheet my-pictures/ --augment resized-crop,mirror,jitter -o a.png\n"
                  "lenslet data export fashion-mnist --count 5 -o pictures",
      .topics = data_topics,
      .most = 1,
      .groups = { picture_options, data_options + 1, split_options },
      .run = run_data },
    { .name = "plot",
      .arguments = "TOPIC [options] -o FILE",
      .what = "draw networks, what they do to a picture, and how their layers calculate",
      .more = "stages, unit and maps look at a picture: --image, or --data and --index. conv, "
              "backward, channels and pooling need no model: they show small examples, or --matrix "
              "and --kernel, with all their numbers, as the engine computes them.",
      .examples =
          "lenslet plot curves runs/fashion -o curves.svg\n"
          "lenslet plot filters -m runs/fashion/model.safetensors -o filters.png\n"
          "lenslet plot maps -m model.safetensors --image boot.png -o maps.svg\n"
          "lenslet plot confusion -m model.safetensors -d fashion-mnist -o confusion.svg\n"
          "lenslet plot errors -m model.safetensors -d fashion-mnist -o errors.png\n"
          "lenslet plot arch lenet5 -o lenet5.svg\n"
          "lenslet plot unit -m model.safetensors --image boot.png --layer conv2 -o unit.svg\n"
          "lenslet plot conv --stride 2 --pad 1 -o conv.html\n"
          "lenslet plot backward pool --lang zh -o pool.svg --numbers pool.json",
      .topics = plot_topics,
      .most = -1,
      .groups = { plot_options, model_options, data_options, split_options },
      .run = run_plot },
    { .name = "report",
      .arguments = "--model FILE --data SRC -o FILE.html [options]",
      .what = "everything about a trained net on one page",
      .more = "Architecture, cost, curves, filters, feature maps, confusion, precision and recall, "
              "worst mistakes, calibration and speed. The page is one file without scripts: it "
              "opens from a disk, prints, and loads nothing.",
      .examples =
          "lenslet report -m runs/fashion/model.safetensors -d fashion-mnist -o report.html\n"
          "lenslet report -m model.safetensors -d my-pictures/ --lang zh -o report.html",
      .groups = { report_options, model_options, data_options, split_options },
      .run = run_report },
    { .name = "filter",
      .arguments = "IMAGE --kernel KERNEL -o FILE [options]",
      .what = "apply kernels to a picture",
      .more = "Kernels are applied as layers apply them, by cross-correlation, to each channel of "
              "the picture (values 0 to 255). IMAGE may be s80, a built-in picture of 0 and 1. "
              "Without --signed, --abs or --clip, kernels whose gain is 0 are shown signed, others "
              "clipped; the numbers themselves are never clipped.",
      .examples = "lenslet filter photo.jpg --kernel sobel-x -o edges.png\n"
                  "lenslet filter photo.jpg --all -o nine.png\n"
                  "lenslet filter photo.jpg -k gaussian:2 -k laplacian-4 --abs -o lines.png\n"
                  "lenslet filter s80 -k \"0 -1 0/-1 5 -1/0 -1 0\" --pad valid -o sharp.npy",
      .fewest = 1,
      .most = 1,
      .groups = { filter_options },
      .run = run_filter },
    { .name = "kernel",
      .arguments = "TOPIC [options]",
      .what = "list and show kernels, learn one from a picture, search a template",
      .more = "learn writes loss.csv, learned.png and loss.png into the folder of --out. match "
              "answers found, absent, or ambiguous when places tie.",
      .examples = "lenslet kernel list\n"
                  "lenslet kernel show gaussian:1.4 -o gaussian.svg\n"
                  "lenslet kernel learn --target sobel-x --out learned\n"
                  "lenslet kernel match street.png sign.png -o where.png",
      .topics = kernel_topics,
      .most = 2,
      .groups = { kernel_options },
      .run = run_kernel },
    { .name = "help",
      .arguments = "[VERB] [options]",
      .what = "help on a verb, the manual page, shell completion",
      .examples = "lenslet help train\n"
                  "lenslet help --man | man -l -\n"
                  "source <(lenslet help --completion bash)",
      .most = 1,
      .groups = { help_options },
      .run = run_help },
    { 0 },
};

const verb *find_verb(const char *name) {
    for (const verb *v = verbs; v->name; v++)
        if (!strcmp(v->name, name)) return v;
    return NULL;
}

const option *next_option(const verb *v, int *group, int *index) {
    for (; *group <= MAX_GROUPS; ++*group, *index = 0) {
        const option *options = NULL;
        if (*group == MAX_GROUPS)
            options = common_options;
        else if (v)
            options = v->groups[*group];
        if (options && options[*index].name) return &options[(*index)++];
    }
    return NULL;
}

const option *find_option(const verb *v, const char *name, char letter) {
    int group = 0, index = 0;
    for (const option *o; (o = next_option(v, &group, &index));)
        if (name ? !strcmp(o->name, name) : o->letter == letter) return o;
    return NULL;
}
