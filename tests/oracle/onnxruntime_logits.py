#!/usr/bin/env python3
"""Our ONNX files against ONNX Runtime: nets of the zoo and nets of general operators with random weights are
exported, must pass onnx.checker, and must give the output of `lenslet run` to 1e-4 of its largest number.
Usage: onnxruntime_logits.py LENSLET [NET ...]. Exit status 77: ONNX Runtime is not installed.
SPDX-License-Identifier: Apache-2.0"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as error:
    print("SKIPPED:", error, "(pip install onnx onnxruntime)")
    sys.exit(77)

MOST_MACS = 6e9  # of a net: what ONNX Runtime and lenslet do in seconds on one core
LIMIT = 1e-4

# What no net of the zoo has.
GENERAL = {
    "functions": """
        input x 3x6x5
        unary fn=clip alpha=-0.5 beta=0.75
        unary fn=affine alpha=2 beta=1.5
        unary fn=hard_swish
        unary fn=mish
        unary fn=celu alpha=0.5
        unary fn=selu
        unary fn=erf""",
    "joined": """
        input x 3x6x5
        unary u fn=softplus
        parameter w from=x shape=3x1x1
        binary b from=u,w fn=mul
        reduce r from=b fn=log_sum_exp axes=c
        binary d from=b,r fn=sub
        reduce s fn=mean axes=hw
        binary e from=d,s fn=prelu""",
    "moved": """
        input x 4x6x5
        rearrange m shape=4x6x5 order=1,0,2 index="5:6:-1;_:1 0:4:1 3:1:1;0:5:1 _:2" value=0.5
        parameter k from=x shape=1x7x3
        matmul p from=m,k
        reshape1d last shape=36x3""",
    "outputs": """
        input x 3x6x5
        conv2d c out=4 kernel=3
        output side from=c
        relu last from=c""",
    "sequence": """
        input1d x 3x40
        conv1d c out=4 kernel=5 stride=2 pad=2
        relu
        maxpool kernel=3 stride=2
        dense out=7""",
}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def weights_of(path):
    """Random weights under the names and shapes of the exported initializers."""
    random = np.random.default_rng(1)
    weights = {}
    for tensor in onnx.load(path).graph.initializer:
        shape, name = tuple(tensor.dims), tensor.name
        if not name.endswith((".weight", ".bias", ".running_mean", ".running_var")):
            continue
        value = random.standard_normal(shape) * np.sqrt(2 / max(1, np.prod(shape[1:])))
        if len(shape) == 1:
            value = random.uniform(0.5, 1.5, shape) if name.endswith(("weight", "var")) else 0.1 * value
        weights[name] = value.astype(np.float32)
    return weights


def write_model(path, weights, text):
    """A model file: length of the header, header with the net text, data."""
    header, at = {"__metadata__": {"format": "lenslet-model-1", "net": text}}, 0
    for name, value in weights.items():
        # A parameter of the net has no samples; its ONNX form has one.
        shape = value.shape[1:] if value.ndim == 4 and value.shape[0] == 1 and "parameter " in text \
            and re.search(r"parameter +%s\b" % re.escape(name[:-7]), text) else value.shape
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for value in weights.values():
            file.write(value.tobytes())


def compare(program, net, folder):
    """One net, by its zoo name or the path of its text: the largest difference of any output."""
    model, path = os.path.join(folder, "model.safetensors"), os.path.join(folder, "net.onnx")
    text, x_path = os.path.join(folder, "net.txt"), os.path.join(folder, "x.npy")
    run(program, "convert", net, path)
    run(program, "convert", net, text)
    write_model(model, weights_of(path), open(text).read())
    run(program, "convert", model, path)
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = np.random.default_rng(2).standard_normal([2] + given.shape[1:]).astype(np.float32)
    np.save(x_path, x)
    run(program, "run", "--model", model, "--input", x_path, "--out", folder, "--all-nodes")
    worst = 0
    for output, want in zip(session.get_outputs(), session.run(None, {given.name: x})):
        got = np.load(os.path.join(folder, output.name + ".npy"))
        if got.shape != want.shape:
            raise RuntimeError(f"{output.name}: {got.shape} but ONNX Runtime {want.shape}")
        worst = max(worst, np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
    return worst


def main():
    program, nets = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as general:
        for name, text in GENERAL.items():
            with open(os.path.join(general, name + ".txt"), "w") as file:
                file.write("\n".join(line.strip() for line in text.strip().split("\n")) + "\n")
        if not nets:
            nets = [os.path.join(general, name + ".txt") for name in GENERAL]
            for net in json.loads(run(program, "inspect", "--json"))["nets"]:
                if json.loads(run(program, "inspect", net["name"], "--json"))["macs"] <= MOST_MACS:
                    nets.append(net["name"])
        failed = 0
        for net in nets:
            with tempfile.TemporaryDirectory() as folder:
                label = os.path.basename(net)
                try:
                    error = compare(program, net, folder)
                    good = error <= LIMIT
                    print("ok      " if good else "FAILED  ", label, "relative difference %.1e" % error, flush=True)
                except RuntimeError as why:
                    good = "cannot be written as ONNX" in str(why)
                    print("refused " if good else "FAILED  ", label, why, flush=True)
                failed += not good
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
