/* lenslet/net.h - build a network, run it, train it by hand, look inside.
 *
 *     lens_net *net = lens_net_new(ctx, "tiny");
 *     lens_node *x = lens_input(net, "data", 1, 28, 28);
 *     x = lens_relu(lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 6, .kernel = { 5 }, .pad = 2 }), NULL);
 *     x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
 *     x = lens_dense(lens_flatten(x, NULL), "fc", (lens_dense_opts){ .out = 10 });
 *     if (lens_net_finish(net, x) != LENS_OK) puts(lens_why(ctx));
 *
 * Ladder     build (or load) a net - make a session and lens_run - peek at any node - gradients by
 *            lens_forward / lens_backward - train.h does the rest.
 * Ownership  A lens_net owns its nodes and weights. A lens_node is borrowed and dies with its net.
 *            A lens_session owns activations and gradients; it borrows the net, which must outlive it.
 * Errors     Builders keep the first error: they return NULL on a NULL input or on a failure, and
 *            lens_net_finish reports the first one. So a network needs one check.
 * Threads    Building: one thread. A finished net is read-only in inference and may be shared by
 *            sessions of different contexts in different threads; each session is used by one thread
 *            at a time. Training and editing weights need the net alone.
 * Numbers    Semantics and defaults follow PyTorch, and each option says so. Convolution layers
 *            compute cross-correlation; true convolution is the option `flip`.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_NET_H
#define LENSLET_NET_H

#include <lenslet/tensor.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lens_net lens_net;
typedef struct lens_node lens_node;
typedef struct lens_session lens_session;

/* ---- Building ------------------------------------------------------------------------------- */

/* Height and width. {5} means 5x5: a zero width repeats the height; {0} means the default. */
typedef struct lens_size {
    int h, w;
} lens_size;

LENS_API lens_net *lens_net_new(lens_ctx *, const char *name); /* NULL: out of memory */
LENS_API void lens_net_free(lens_net *);

/* `name` of any builder is copied; NULL gives "conv2d1", "relu2", ... Names are unique in a net.
 * Parameters are named node.weight, node.bias, ... as in a PyTorch state_dict. */
LENS_API lens_node *lens_input(lens_net *, const char *name, int c, int h, int w); /* (N,c,h,w) */

typedef enum lens_mode { LENS_VALID, LENS_SAME, LENS_FULL } lens_mode;

/* Zero means the usual: stride 1, no padding, dilation 1, one group, with bias.
 * Padding on each side is pad + pads[top, left, bottom, right] + what `mode` adds with effective
 * kernel k' = (k-1)*dilation + 1: VALID nothing, FULL k'-1 on every side, SAME k'-1 in all, the odd
 * cell at the bottom and right, so that stride 1 keeps the size (stride s: ceil(size/s)). */
typedef struct lens_conv2d_opts {
    int out;          /* feature maps; required */
    lens_size kernel; /* required */
    lens_size stride, dilation;
    int pad, pads[4];
    lens_mode mode;
    int groups;
    bool no_bias;
    bool flip; /* true convolution: the kernel is applied rotated by 180 degrees */
    const char
        *table; /* connection table: per output map the input maps it reads, "0 1 2;1 2 3;...";
                          NULL: all. Only with one group. The named table "lenet5-c3" is LeCun 1998,
                          table I. Absent connections have no weight: they count neither as parameter
                          nor as MAC, and stay 0. */
} lens_conv2d_opts;

/* y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * x[n,c, i*sh + u*dh - top, j*sw + v*dw - left]
 * x (N,C,H,W) -> y (N,out,H',W'), H' = floor((H + top + bottom - k')/sh) + 1; w (out, C/groups, kh, kw).
 * LENS_BAD_SHAPE: kernel larger than the padded input; groups that divide neither C nor out.
 * LENS_BAD_ARG: missing out or kernel, negative numbers, a table that does not fit. */
LENS_API lens_node *lens_conv2d(lens_node *x, const char *name, lens_conv2d_opts);

/* The same on sequences: x (N,C,L) -> (N,out,L'); kernel, stride, dilation and pads use .w if given,
 * else .h ({5} is a kernel of 5); pads[left, right]. Input made by lens_input(net, n, C, 1, L) or a
 * 3-D input of lens_input1d. w (out, C/groups, k). */
LENS_API lens_node *lens_input1d(lens_net *, const char *name, int c, int l);
LENS_API lens_node *lens_conv1d(lens_node *x, const char *name, lens_conv2d_opts);

/* The adjoint of lens_conv2d: x (N,C,H,W) -> (N,out,H',W'),
 * H' = (H-1)*sh - top - bottom + k' + extra. w (C, out/groups, kh, kw) as in PyTorch. */
typedef struct lens_conv_transpose2d_opts {
    int out;
    lens_size kernel, stride, dilation;
    int pad, pads[4];
    lens_size extra; /* output_padding: 0 <= extra < stride, exactly as written (no repeat) */
    int groups;
    bool no_bias;
} lens_conv_transpose2d_opts;
LENS_API lens_node *lens_conv_transpose2d(lens_node *x, const char *name,
                                          lens_conv_transpose2d_opts);

/* Pooling. Zero stride means the kernel's size. H' = floor or ceil of (H + top + bottom - k)/s + 1; with ceil a
 * window that would start in the bottom or right padding is dropped (PyTorch). Each side's padding
 * is at most half the kernel. */
typedef struct lens_pool_opts {
    lens_size kernel; /* required */
    lens_size stride;
    int pad, pads[4];
    bool ceil;
    bool
        exclude_pad; /* average: divide by the cells inside the picture (count_include_pad=False) */
} lens_pool_opts;
LENS_API lens_node *lens_maxpool(lens_node *x, const char *name, lens_pool_opts);
LENS_API lens_node *lens_avgpool(lens_node *x, const char *name, lens_pool_opts);
LENS_API lens_node *lens_sumpool(lens_node *x, const char *name, lens_pool_opts);
/* LeNet-5's trainable sub-sampling: y = weight[c] * (sum of the window) + bias[c]; weight, bias (C). */
LENS_API lens_node *lens_subsample(lens_node *x, const char *name, lens_pool_opts);

/* Adaptive pooling to out.h x out.w: window i covers floor(i*H/h) .. ceil((i+1)*H/h)-1. */
typedef struct lens_adaptive_opts {
    lens_size out; /* required */
} lens_adaptive_opts;
LENS_API lens_node *lens_adaptive_avgpool(lens_node *x, const char *name, lens_adaptive_opts);
LENS_API lens_node *lens_adaptive_maxpool(lens_node *x, const char *name, lens_adaptive_opts);
/* (N,C,H,W) -> (N,C,1,1). */
LENS_API lens_node *lens_global_avgpool(lens_node *x, const char *name);
LENS_API lens_node *lens_global_maxpool(lens_node *x, const char *name);

/* Activations, element-wise. The derivative of ReLU at 0 is 0. */
LENS_API lens_node *lens_relu(lens_node *x, const char *name);
LENS_API lens_node *lens_leaky_relu(lens_node *x, const char *name, float slope); /* 0 = 0.01 */
LENS_API lens_node *lens_tanh(lens_node *x, const char *name);
LENS_API lens_node *lens_scaled_tanh(lens_node *x, const char *name); /* 1.7159*tanh(2x/3) */
LENS_API lens_node *lens_sigmoid(lens_node *x, const char *name);

/* y = x w^T + b; x (N,F) (any shape: flattened in (C,H,W) order) -> (N,out); w (out,F). */
typedef struct lens_dense_opts {
    int out; /* required */
    bool no_bias;
} lens_dense_opts;
LENS_API lens_node *lens_dense(lens_node *x, const char *name, lens_dense_opts);

/* Euclidean radial basis outputs (LeCun 1998, section II.B): y[k] = -sum_j (x[j] - w[k,j])^2, negated
 * so that the largest wins and cross entropy on y is the paper's discriminative criterion. `codes`
 * "lenet5" fixes w to 7x12 pictures of the ten digits as +-1 (84 inputs, 10 outputs, no trainable
 * parameter); NULL: trainable centres. */
typedef struct lens_rbf_opts {
    int out; /* required */
    const char *codes;
} lens_rbf_opts;
LENS_API lens_node *lens_rbf(lens_node *x, const char *name, lens_rbf_opts);

LENS_API lens_node *lens_flatten(lens_node *x, const char *name); /* (N,C,H,W) -> (N,C*H*W) */
LENS_API lens_node *lens_reshape(lens_node *x, const char *name, int c, int h,
                                 int w);                                          /* same count */
LENS_API lens_node *lens_reshape1d(lens_node *x, const char *name, int c, int l); /* (N,c,l) */

LENS_API lens_node *lens_add(lens_node *a, lens_node *b, const char *name); /* equal shapes */
LENS_API lens_node *lens_concat(lens_node *const *x, int count, const char *name); /* channels */

/* A shortcut without parameters (He 2015, option A): y[n, before + c, i, j] = x[n, c, i*sh, j*sw] with
 * before = floor((out-C)/2), all other channels 0; (N,C,H,W) -> (N,out,ceil(H/sh),ceil(W/sw)), also on
 * (N,C,L). LENS_BAD_ARG: out below C. */
typedef struct lens_shortcut_opts {
    int out;          /* 0 = C */
    lens_size stride; /* 0 = 1 */
} lens_shortcut_opts;
LENS_API lens_node *lens_shortcut(lens_node *x, const char *name, lens_shortcut_opts);

/* Training: y = x/(1-rate) with probability 1-rate, else 0; otherwise y = x. 0 < rate < 1. */
LENS_API lens_node *lens_dropout(lens_node *x, const char *name, float rate);

/* y = weight*(x-mean)/sqrt(var+eps) + bias per channel; training uses the batch's mean and biased
 * variance and moves running_mean, running_var (unbiased) by momentum, PyTorch's sense. Works on
 * (N,C,H,W), (N,C,L) and (N,F). eps 0 = 1e-5; momentum 0 = 0.1. */
typedef struct lens_batchnorm_opts {
    float eps, momentum;
} lens_batchnorm_opts;
LENS_API lens_node *lens_batchnorm(lens_node *x, const char *name, lens_batchnorm_opts);

/* Local response normalisation across channels (Krizhevsky 2012): y[c] = x[c] / (k + a*S)^beta, S the
 * sum of x[j]^2 over the channels j = c - floor(n/2) .. c + floor((n-1)/2) that exist, at each position.
 * a = alpha/n as in PyTorch and Caffe; with `undivided` a = alpha as in the paper. The paper's numbers
 * are n 5, alpha 1e-4, beta 0.75, k 2. Any rank. LENS_BAD_ARG: n below 1, another number negative. */
typedef struct lens_lrn_opts {
    int n;                /* required */
    float alpha, beta, k; /* 0 = 1e-4, 0.75, 1 */
    bool undivided;
} lens_lrn_opts;
LENS_API lens_node *lens_lrn(lens_node *x, const char *name, lens_lrn_opts);

/* Over the features of each sample (channels at each position for pictures). A classifier normally
 * ends with logits: cross entropy and predict apply the softmax themselves. */
LENS_API lens_node *lens_softmax(lens_node *x, const char *name);

/* x under a name of its own, as one more output beside the main one that lens_net_finish is given.
 * `weight` is that of its loss: lens_train minimises the main output's loss + the sum of weight * loss
 * over these; 0: none. An output for training alone (an auxiliary head, Szegedy 2015, section 5) is left
 * away in inference, with all layers that serve nothing else. LENS_BAD_ARG: a negative weight;
 * `training` without a weight. */
typedef struct lens_output_opts {
    float weight;
    bool training;
} lens_output_opts;
LENS_API lens_node *lens_output(lens_node *x, const char *name, lens_output_opts);

/* y = f(x), element by element. fn is one of
 *     abs neg exp log sqrt reciprocal floor ceil round (half to even) sign erf softplus softsign
 *     sin cos tan asin acos atan sinh cosh asinh acosh atanh hard_swish mish
 *     gelu           x*Phi(x), Phi the normal distribution function
 *     affine         alpha*x + beta
 *     power          x^alpha
 *     elu            x > 0 ? x : alpha*(exp(x) - 1); alpha 0 = 1
 *     celu           x > 0 ? x : alpha*(exp(x/alpha) - 1); alpha 0 = 1
 *     selu           beta*(x > 0 ? x : alpha*(exp(x) - 1)); 0 = 1.67326319 and 1.05070102
 *     hard_sigmoid   max(0, min(1, alpha*x + beta)); 0 = 0.2 and 0.5
 *     thresholded_relu  x > alpha ? x : 0; alpha 0 = 1
 *     shrink         x < -alpha ? x + beta : x > alpha ? x - beta : 0; alpha 0 = 0.5
 *     clip           max(alpha, min(beta, x))
 * Where f jumps or bends, its derivative is that of one side. LENS_BAD_ARG: another name. */
typedef struct lens_unary_opts {
    const char *fn;
    float alpha, beta;
} lens_unary_opts;
LENS_API lens_node *lens_unary(lens_node *x, const char *name, lens_unary_opts);

/* y = f(a, b), element by element: add sub mul div pow max min; prelu (a >= 0 ? a : a*b); less greater
 * equal (1 or 0, without a gradient). Of C, H and W each must be equal or 1; what is 1 is repeated.
 * LENS_BAD_SHAPE: other sizes; LENS_BAD_ARG: another name. */
typedef struct lens_binary_opts {
    const char *fn;
} lens_binary_opts;
LENS_API lens_node *lens_binary(lens_node *a, lens_node *b, const char *name, lens_binary_opts);

/* One number for all along some axes of a sample, which keep size 1: sum mean max min prod l1 l2 log_sum
 * log_sum_exp sum_square, and argmax argmin (argmax_last, argmin_last): the place of the first (last)
 * extreme value, counted from 0, without a gradient. axes: letters of "chw"; NULL = "hw". */
typedef struct lens_reduce_opts {
    const char *fn, *axes;
} lens_reduce_opts;
LENS_API lens_node *lens_reduce(lens_node *x, const char *name, lens_reduce_opts);

/* Numbers change places. A sample is seen with the axes `shape` ("2x3x4", up to 8). `order` ("2,0,1") names
 * the input's axes in the output's order. `index` lists for each axis of the output, with ; between axes,
 * the places that are taken: runs first:count:step with blanks between them, or _:count for `value`;
 * nothing for the whole axis. "0:3;0:28;_:2 27:28:-1 _:2" takes three maps and turns rows round with a
 * border. The result has the last two axes as H and W, all before them as C; (N,C,W) or (N,C) if there are
 * only two or one. The gradient of a number taken twice is the sum. LENS_BAD_ARG: another text;
 * LENS_BAD_SHAPE: `shape` has not as many numbers as a sample. */
typedef struct lens_rearrange_opts {
    const char *shape, *order, *index;
    float value;
} lens_rearrange_opts;
LENS_API lens_node *lens_rearrange(lens_node *x, const char *name, lens_rearrange_opts);

/* Products of matrices, one for each channel: a (N,C,M,K), b (N,C,K,W) -> (N,C,M,W); C may be 1 in one
 * of them, which is then used for all. LENS_BAD_SHAPE names both shapes. */
LENS_API lens_node *lens_matmul(lens_node *a, lens_node *b, const char *name);

/* Numbers of the net's own, the same for every sample: y[n] = weight (c,h,w). x only says how many samples
 * there are. Trained unless `fixed`; zeros until an initialiser or a caller writes them. */
typedef struct lens_parameter_opts {
    int c, h, w;
    bool fixed;
} lens_parameter_opts;
LENS_API lens_node *lens_parameter(lens_node *x, const char *name, lens_parameter_opts);

/* Checks the whole, lays out the weights (zeroed; see lens_init in train.h) and closes the net. `output` is
 * the main output and the node built last.
 * Returns the first error of any builder, or LENS_BAD_ARG for a net without input or output. */
LENS_API lens_status lens_net_finish(lens_net *, lens_node *output);

/* ---- Asking a net --------------------------------------------------------------------------- */

typedef struct lens_node_info {
    const char *name, *kind;
    char label[48];      /* "5x5 conv2d /2 pad 2": kernel as height x width */
    int rank;            /* 4: (N,c,h,w), 3: (N,c,w), 2: (N,c) */
    int c, h, w;         /* per sample */
    int64_t parameters;  /* trainable numbers */
    int64_t macs;        /* multiply-accumulates per sample in conv and dense layers */
    int64_t connections; /* LeCun's count: (inputs + bias) of every output; 0 without parameters */
    int field, jump;     /* receptive field and step on the input, in pixels (height) */
    int inputs;
    bool frozen;
    bool training; /* serves outputs for training alone */
} lens_node_info;

LENS_API const char *lens_net_name(const lens_net *);
LENS_API int lens_net_nodes(const lens_net *);                  /* in the order they were built */
LENS_API lens_node *lens_net_node(const lens_net *, int index); /* NULL: out of range */
LENS_API lens_node *lens_net_find(const lens_net *, const char *name); /* NULL: no such node */
LENS_API lens_node *lens_net_output(const lens_net *);                 /* the main output */
/* All outputs: 0 is the main one, then those of lens_output as they were built. NULL: out of range. */
LENS_API int lens_net_outputs(const lens_net *);
LENS_API lens_node *lens_net_output_at(const lens_net *, int index);
LENS_API lens_node *lens_net_input(const lens_net *);
LENS_API void lens_node_info_get(const lens_node *, lens_node_info *);
LENS_API lens_node *lens_node_input(const lens_node *, int i); /* NULL: out of range */

/* Parameters in state_dict order: values are views into the net. After writing to one call
 * lens_net_touched, so that sessions repack. */
typedef struct lens_param {
    const char *name;  /* "conv1.weight" */
    lens_tensor value; /* conv (O,C/g,kh,kw), dense (O,F), vectors (C) */
    bool trainable;    /* false: running statistics, fixed codes */
    bool frozen;
    lens_node *node;
    int fan_in, fan_out; /* for initialisers; 0 for vectors */
    float start; /* what an initialiser sets a vector to: 0, or 1 for a batch norm's weight */
} lens_param;
LENS_API int lens_net_params(const lens_net *);
LENS_API lens_status lens_net_param(const lens_net *, int index, lens_param *);
LENS_API lens_status lens_net_param_named(const lens_net *, const char *name, lens_param *);
LENS_API void lens_net_touched(lens_net *);
/* Trainable numbers and MACs per sample of inference: without layers that serve training alone. */
LENS_API int64_t lens_net_parameters(const lens_net *);
LENS_API int64_t lens_net_macs(const lens_net *);
/* A frozen node's parameters get no gradient and no update; a frozen batch norm keeps its running
 * statistics and uses them, a frozen dropout passes x on. */
LENS_API void lens_node_freeze(lens_node *, bool frozen);

/* 128-bit hash of all parameters' names, shapes and bits, as 32 hexadecimal digits. */
LENS_API void lens_net_hash(const lens_net *, char hex[33]);

/* ---- Files ---------------------------------------------------------------------------------- */

/* A net from text: one layer a line, see docs/net-text.md. `where` names the source in messages.
 * LENS_BAD_FILE: syntax, with line and column; LENS_BAD_SHAPE, LENS_BAD_ARG, LENS_NOT_FOUND: a layer
 * that does not fit, with its line (an unknown kind or key comes with a suggestion). */
LENS_API lens_status lens_net_parse(lens_ctx *, lens_net **out, const char *text,
                                    const char *where);
/* The text of a finished net; free with lens_free. */
LENS_API lens_status lens_net_text(const lens_net *, char **text);
/* The same into a file, atomically. LENS_IO, LENS_NOMEM. */
LENS_API lens_status lens_net_save_text(const lens_net *, const char *path);

/* Free words that travel with a model: "classes" (one name a line), "mean", "std" (comma-separated,
 * per channel, of pixels in 0..1), "command", "data", "licence". Copied. NULL value removes. */
LENS_API lens_status lens_net_set_meta(lens_net *, const char *key, const char *value);
LENS_API const char *lens_net_meta(const lens_net *, const char *key); /* NULL: absent */

/* Model file: safetensors with the net text and the words above in __metadata__. Saving is atomic.
 * Loading gives a finished net. LENS_BAD_FILE names file, offset or tensor, and cause. */
LENS_API lens_status lens_net_save(const lens_net *, const char *path);
LENS_API lens_status lens_net_load(lens_ctx *, lens_net **out, const char *path);

/* ONNX. lens_net_load takes a .onnx file, too (by its content): opsets 7 to 23, operators as in
 * docs/onnx.md, one input of floats whose first dimension, free or fixed, is the batch; features (N,F) enter
 * as (N,F,1,1). Further outputs are those of lens_output. A weight "conv1.weight" names its node conv1;
 * metadata_props become the words above. LENS_UNSUPPORTED names the operator, node and opset before anything
 * is built.
 *
 * Export writes opset 13 with the words above as metadata_props, atomically. LENS_UNSUPPORTED names the
 * node that ONNX has no operator for (rbf, ...) before anything is written. */
LENS_API lens_status lens_net_export_onnx(const lens_net *, const char *path);
/* Weights alone into a finished net, from .safetensors or from what torch.save writes (.pth, .pt,
 * .th; both its forms; a state_dict or a checkpoint with one): the content decides, not the ending.
 * Strictly: every missing, unexpected or mismatched tensor is listed in the message and nothing is
 * changed. Layers that serve training alone may be missing, all of them; they keep their values.
 * "num_batches_tracked" is ignored; f16, bf16 and f64 become f32. Nothing in a file is
 * executed; one that asks for a Python name which no tensor needs is refused with that name. */
LENS_API lens_status lens_net_load_weights(lens_net *, const char *path);

typedef struct lens_weights_opts {
    bool partial;      /* load what fits; LENS_BAD_FILE only if nothing does */
    bool replace_head; /* the parameters that make the classes keep their values if the file has
                          another number of classes */
} lens_weights_opts;

/* The same; opts NULL: all strict. *left_out (may be NULL itself): NULL if all was loaded, else a line
 * that lists what was not and why; free with lens_free. What is not loaded keeps its values: call
 * lens_init before. */
LENS_API lens_status lens_net_load_weights_with(lens_net *, const char *path,
                                                const lens_weights_opts *opts, char **left_out);

/* Whether a file holds the weights of this net: every parameter with its shape and nothing else (as
 * lens_net_load_weights), but perhaps for another number of classes. *classes: the file's; 0: it does
 * not fit. LENS_BAD_FILE and others: the file cannot be read. */
LENS_API lens_status lens_weights_fit(const lens_net *, const char *path, int *classes);
/* Whether a file of tensors is a model file, which lens_net_load loads, or weights alone. */
LENS_API lens_status lens_weights_have_net(lens_ctx *, const char *path, bool *have);

/* Any file of tensors that can be loaded -> .safetensors, with the same names, types and (from
 * safetensors) words; strides become row-major. The prefix "module." of all names is taken off. */
LENS_API lens_status lens_weights_convert(lens_ctx *, const char *in, const char *out);

/* ---- Running -------------------------------------------------------------------------------- */

/* Zero means: inference of one picture at a time. */
typedef struct lens_session_opts {
    int batch;       /* most samples in one call; 0 = 1 */
    bool train;      /* keep what backward needs */
    bool watch;      /* keep every node's value (and gradient) for lens_peek */
    bool input_grad; /* backward also computes the gradient of the input */
    bool timed;    /* take the time of every node for lens_timing: two looks at the clock a node */
    uint64_t seed; /* of dropout */
} lens_session_opts;

/* Plans all memory into one arena; nothing is allocated afterwards. `ctx` may differ from the net's. opts may be
 * NULL. LENS_BAD_ARG: unfinished net, batch out of 1..1048576; LENS_NOMEM names the bytes. */
LENS_API lens_status lens_session_new(lens_session **out, lens_net *, lens_ctx *ctx,
                                      const lens_session_opts *opts);
LENS_API void lens_session_free(lens_session *);
LENS_API size_t lens_session_bytes(const lens_session *); /* size of the arena */

/* The arena by part, in bytes; together lens_session_bytes. */
typedef struct lens_memory {
    size_t
        activations; /* and their gradients, and what one layer works on: these share memory over time */
    size_t gradients; /* of the weights */
    size_t
        packed;  /* weights in the order their layers read them; of inference with room for them */
    size_t work; /* of all threads */
} lens_memory;
LENS_API void lens_session_memory(const lens_session *, lens_memory *out);

/* Inference: x (n,...) with 1 <= n <= batch and the input's shape; y becomes a view of the output,
 * valid until the next call on the session. LENS_BAD_SHAPE names both shapes. */
LENS_API lens_status lens_run(lens_session *, const lens_tensor *x, lens_tensor *y);

/* One training step by hand, on a session made with .train: forward in training mode (`step` numbers
 * dropout's draws), then backward from dy, the gradient of the loss with respect to the output (same
 * shape as y). Gradients of parameters are overwritten, not accumulated. */
LENS_API lens_status lens_forward(lens_session *, const lens_tensor *x, uint32_t step,
                                  lens_tensor *y);
LENS_API lens_status lens_backward(lens_session *, const lens_tensor *dy);
/* The same for nets with several outputs: dy[k] belongs to lens_net_output_at(net, k), k < count. An output
 * without one (k >= count, or data NULL) has gradient 0, as with lens_backward. */
LENS_API lens_status lens_backward_outputs(lens_session *, const lens_tensor *dy, int count);
/* Gradient of parameter `index` (as in lens_net_param) after lens_backward; zeros for a frozen one.
 * LENS_BAD_ARG for what is not trainable. */
LENS_API lens_status lens_grad(lens_session *, int index, lens_tensor *view);

/* The value of a node in the latest run, or its gradient after lens_backward, as (n,c,h,w) (rank as
 * the node's). On a session made with .watch: the engine's own numbers, algorithm unchanged (a session without it
 * folds batch norms into weights for inference, which rounds differently in the last bits). Outputs can be
 * read on every session, until its lens_backward. */
typedef enum lens_which { LENS_VALUE, LENS_GRADIENT } lens_which;
LENS_API lens_status lens_peek(lens_session *, const lens_node *, lens_which, lens_tensor *view);

/* Where the time of the latest run went: seconds at one node, 0 for what did not run. A node that
 * takes over others (bias, activation) spends their time, too. The names are static strings. */
typedef struct lens_node_timing {
    double forward, backward;
    bool merged; /* forward has nothing to do: a view, or another node does its work */
    const char *forward_by, *input_by, *weight_by; /* algorithm of the forward pass and of the two
                                 gradients: "direct", "winograd2", "winograd4" (F(4x4, 3x3), F(4x4, 5x5)); NULL: the kind has only one */
} lens_node_timing;
/* LENS_BAD_ARG: a session made without .timed, a node of another net, or nothing has been run yet. */
LENS_API lens_status lens_timing(lens_session *, const lens_node *, lens_node_timing *out);

/* Switch a feature map off (its value is set to 0 after the node) or on again. Watch sessions only. */
LENS_API lens_status lens_mute(lens_session *, const lens_node *, int channel, bool off);

#ifdef __cplusplus
}
#endif
#endif
