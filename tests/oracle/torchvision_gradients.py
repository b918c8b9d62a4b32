#!/usr/bin/python3
"""The zoo's nets against torchvision's: the same weights and pictures, the same gradients of one training step.

    tests/oracle/torchvision_gradients.py LIBRARY [NET ...]

LIBRARY is liblenslet.so, called through ctypes; without NETs one of each family. Batch norms use the batch,
dropout is off on both sides (a frozen dropout passes on), GoogLeNet's auxiliary heads count 0.3 each. PyTorch
works in double precision. No parameter's gradient may differ by more than 1e-3, |ours - theirs| / |theirs|;
gradients that are 0 but for rounding (a bias before a batch norm) are measured against 1e-5 of the largest. Where a
unit lies within rounding of a kink (a ReLU at 0, two equal cells of a max pooling) its gradient goes either way: batch
norms get biases of about 2, so that few units do, and a net passes that agrees on one of DRAWS draws of weights and
pictures. Ends as torchvision_logits.py does.

SPDX-License-Identifier: Apache-2.0
"""
import copy
import ctypes
import os
import sys
import tempfile

from torchvision_logits import build, write_safetensors

import numpy as np
import torch

LIMIT, FLOOR, DRAWS = 1e-3, 1e-5, 4
NETS = "alexnet vgg11_bn googlenet resnet18 densenet121 squeezenet1_1".split()
BATCH, SIDE, AUX_WEIGHT = 2, 96, 0.3


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_float)), ("rank", ctypes.c_int), ("dim", ctypes.c_int64 * 4)]

    def array(self):
        return np.ctypeslib.as_array(self.data, shape=tuple(self.dim[:self.rank]))


class Param(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", Tensor), ("trainable", ctypes.c_bool), ("frozen", ctypes.c_bool),
                ("node", ctypes.c_void_p), ("fan_in", ctypes.c_int), ("fan_out", ctypes.c_int),
                ("start", ctypes.c_float)]


class SessionOpts(ctypes.Structure):
    _fields_ = [("batch", ctypes.c_int), ("train", ctypes.c_bool), ("watch", ctypes.c_bool),
                ("input_grad", ctypes.c_bool), ("timed", ctypes.c_bool), ("seed", ctypes.c_uint64)]


class ZooOpts(ctypes.Structure):
    _fields_ = [("channels", ctypes.c_int), ("height", ctypes.c_int), ("width", ctypes.c_int),
                ("classes", ctypes.c_int)]


class Loss(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("smoothing", ctypes.c_float), ("class_weights", ctypes.c_void_p),
                ("mix", ctypes.c_void_p)]


def tensor(array):
    return Tensor(array.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), array.ndim,
                  (ctypes.c_int64 * 4)(*array.shape))


class Lenslet:
    """The few calls of one training step; any failure ends the script with the library's message."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        for name in "lens_why lens_net_node lens_net_find lens_net_output_at".split():
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.ctx = ctypes.c_void_p()
        self.call("lens_ctx_new", ctypes.byref(self.ctx), None, None)

    def call(self, name, *arguments):
        if getattr(self.lib, name)(*arguments) != 0:
            sys.exit(f"{name}: {ctypes.string_at(self.lib.lens_why(self.ctx)).decode()}")

    def gradients(self, name, weights, x, labels):
        """Of every trainable parameter, by name."""
        lib, net, session = self.lib, ctypes.c_void_p(), ctypes.c_void_p()
        self.call("lens_zoo_new", self.ctx, ctypes.byref(net), name.encode(),
                  ctypes.byref(ZooOpts(height=SIDE, width=SIDE)))
        self.call("lens_net_load_weights", net, weights.encode())
        for i in range(lib.lens_net_nodes(net)):
            node = ctypes.c_void_p(lib.lens_net_node(net, i))
            if ctypes.string_at(self.kind(node)) == b"dropout":
                lib.lens_node_freeze(node, ctypes.c_bool(True))
        self.call("lens_session_new", ctypes.byref(session), net, self.ctx,
                  ctypes.byref(SessionOpts(len(x), True)))
        y, keep = Tensor(), []
        self.call("lens_forward", session, ctypes.byref(tensor(x)), 0, ctypes.byref(y))
        outputs = lib.lens_net_outputs(net)
        dy = (Tensor * outputs)()
        for k in range(outputs):
            node = ctypes.c_void_p(lib.lens_net_output_at(net, k))
            self.call("lens_peek", session, node, 0, ctypes.byref(y))
            keep.append(np.zeros(y.dim[:y.rank], np.float32))
            dy[k] = tensor(keep[k])
            self.call("lens_loss_eval", self.ctx, ctypes.byref(Loss()), ctypes.byref(y),
                      labels.ctypes.data_as(ctypes.c_void_p), None, None, ctypes.byref(dy[k]))
            keep[k] *= AUX_WEIGHT if k else 1
        self.call("lens_backward_outputs", session, dy, outputs)
        result = {}
        for i in range(lib.lens_net_params(net)):
            param, gradient = Param(), Tensor()
            self.call("lens_net_param", net, i, ctypes.byref(param))
            if param.trainable:
                self.call("lens_grad", session, i, ctypes.byref(gradient))
                result[param.name.decode()] = gradient.array().copy()
        lib.lens_session_free(session)
        lib.lens_net_free(net)
        return result

    def kind(self, node):
        """The second word of lens_node_info."""
        info = (ctypes.c_void_p * 32)()
        self.lib.lens_node_info_get(node, info)
        return info[1]


def theirs(net, x, labels):
    net = copy.deepcopy(net).double().train()
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    y = net(torch.from_numpy(x).double())
    heads = y[1:] if isinstance(y, tuple) else ()
    want = torch.from_numpy(labels).long()
    loss = torch.nn.functional.cross_entropy(y[0] if heads else y, want)
    for head in heads:
        loss = loss + AUX_WEIGHT * torch.nn.functional.cross_entropy(head, want)
    loss.backward()
    return {name: p.grad.numpy() for name, p in net.named_parameters()}


def difference(lenslet, name, draw, folder):
    """Of the whole gradient, of the worst parameter, and its name."""
    torch.manual_seed(draw)
    net = build(name, heads=True)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.add_(2)
    x = torch.randn(BATCH, 3, SIDE, SIDE).numpy()
    labels = np.arange(BATCH, dtype=np.int32) * 17
    weights = os.path.join(folder, "w.safetensors")
    write_safetensors(weights, net.state_dict())
    ours, want = lenslet.gradients(name, weights, x, labels), theirs(net, x, labels)
    if set(ours) != set(want):
        sys.exit(f"{name}: other parameters: {set(ours) ^ set(want)}")
    size = {k: np.linalg.norm(g) for k, g in want.items()}
    error = {k: np.linalg.norm(ours[k] - g) for k, g in want.items()}
    floor = FLOOR * max(size.values())
    worst, where = max((error[k] / max(size[k], floor), k) for k in want)
    return np.linalg.norm(list(error.values())) / np.linalg.norm(list(size.values())), worst, where


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    lenslet, bad = Lenslet(os.path.abspath(sys.argv[1])), 0
    for name in sys.argv[2:] or NETS:
        for draw in range(1, DRAWS + 1):
            with tempfile.TemporaryDirectory() as folder:
                whole, worst, where = difference(lenslet, name, draw, folder)
            good = worst <= LIMIT
            print(f"{name:14} draw {draw}: {whole:9.2e}, worst {worst:.1e} of {LIMIT:.0e} "
                  f"({where})  {'ok' if good else 'differs'}", flush=True)
            if good:
                break
        bad += not good
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
