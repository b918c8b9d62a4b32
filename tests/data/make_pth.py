#!/usr/bin/env python3
"""Writes the PyTorch files of the tests into a folder: tests/data has them from PyTorch 1.13; the
test makes them again where PyTorch is installed.  SPDX-License-Identifier: Apache-2.0"""
import collections
import os
import sys

import torch

folder = sys.argv[1]
w = torch.arange(60.0).reshape(3, 4, 5)
tensors = collections.OrderedDict(
    [
        ("permuted", w.permute(2, 0, 1)),  # not contiguous
        ("shared", w[1]),  # the same storage, from an offset
        ("half", (torch.arange(8).half() / 4)[2:6]),
        ("bfloat", torch.tensor([1.5, -2]).bfloat16()),
        ("double", torch.tensor([[1.0, 2], [3, 4]], dtype=torch.float64).t()),
        ("long", torch.tensor([1, -2, 3])),
        ("int", torch.tensor([7, -8], dtype=torch.int32)),
        ("short", torch.tensor([-300], dtype=torch.int16)),
        ("char", torch.tensor([-5], dtype=torch.int8)),
        ("byte", torch.tensor([200], dtype=torch.uint8)),
        ("bool", torch.tensor([True, False])),
        ("scalar", torch.tensor(0.25)),
        ("parameter", torch.nn.Parameter(torch.ones(2))),
        ("empty", torch.zeros(0, 3)),
    ]
)
tensors._metadata = {"": {"version": 1}}
wrapped = collections.OrderedDict(("module." + k, v) for k, v in list(tensors.items())[:5])
checkpoint = {
    "epoch": 3,
    "optimizer": {"state": {0: {"m": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
    "state_dict": wrapped,
    "best": None,
    "big": 2**70,
    "size": torch.Size([1, 2]),
}


def save(name, value, **options):
    torch.save(value, os.path.join(folder, name), **options)


save("plain.pth", tensors)
save("checkpoint.pth", checkpoint)
save("protocol4.pth", {"net": tensors}, pickle_protocol=4)
save("plain-stream.pth", tensors, _use_new_zipfile_serialization=False)
save("checkpoint-stream.pth", checkpoint, _use_new_zipfile_serialization=False)
save("protocol3-stream.pth", {"model": {"state_dict": tensors}}, _use_new_zipfile_serialization=False, pickle_protocol=3)
