#!/usr/bin/env python3
"""The shapes of the convolution and dense layers of every net of the zoo: one file for each net here.

    bench/shapes/make.py build/release/lenslet             writes them
    bench/shapes/make.py build/release/lenslet --check     exit status 1 if one is out of date

A line is a shape: the first layer that has it, and how many layers do. Dense layers are 1x1
convolutions of a 1x1 picture. N: 64 where pictures are small, as in training, else 1.

SPDX-License-Identifier: Apache-2.0
"""
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = """# Layers of %s, from bench/shapes/make.py: the first layer of each shape, `times`: how many there are
# name N C H W O KH KW stride pad groups times
"""
SMALL = 64  # pixels a side


def inspect(program, *net):
    return json.loads(subprocess.run([program, "inspect", *net, "--json"], check=True, capture_output=True,
                                     text=True).stdout)


def shape(layer, source, batch):
    if layer["kind"] == "dense":
        count = 1
        for dim in source["output"]:
            count *= dim
        return (batch, count, 1, 1, layer["output"][0], 1, 1, 1, 0, 1)
    height, width = map(int, re.match(r"(\d+)x(\d+) conv2d", layer["what"]).groups())
    stride, pad = (re.search(pattern, layer["what"]) for pattern in (r" /(\d+)", r" pad (\d+)"))
    c, h, w = source["output"]
    o, oh, ow = layer["output"]
    # A connection table leaves out products, too: then the quotient is no whole number of groups.
    full = c * height * width * o * oh * ow
    groups = full // layer["macs"] if full % layer["macs"] == 0 else 1
    return (batch, c, h, w, o, height, width, int(stride[1]) if stride else 1, int(pad[1]) if pad else 0, groups)


def text(program, name):
    net = inspect(program, name)
    batch = 64 if max(net["input"][1:]) <= SMALL else 1
    layers = {layer["name"]: layer for layer in net["layers"]}
    shapes = {}
    for layer in net["layers"]:
        if layer["kind"] in ("conv2d", "dense"):
            shapes.setdefault(shape(layer, layers[layer["inputs"][0]], batch), []).append(layer["name"])
    return HEAD % name + "".join(
        "%s %s %d\n" % (names[0], " ".join(map(str, dims)), len(names)) for dims, names in shapes.items())


def main():
    program, check = sys.argv[1], "--check" in sys.argv[2:]
    wanted = {os.path.join(HERE, entry["name"] + ".txt"): text(program, entry["name"])
              for entry in inspect(program)["nets"]}
    old = {path: open(path).read() for path in glob.glob(os.path.join(HERE, "*.txt"))}
    changed = [path for path in {**wanted, **old} if wanted.get(path) != old.get(path)]
    for path in changed:
        print("out of date: %s" % path)
        if not check and path in wanted:
            with open(path, "w") as file:
                file.write(wanted[path])
        elif not check:
            os.remove(path)
    sys.exit(1 if check and changed else 0)


if __name__ == "__main__":
    main()
