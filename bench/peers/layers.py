#!/usr/bin/env python3
"""One net layer by layer: lenslet's time line beside oneDNN's own primitives at the same shapes.

    bench/peers/layers.py build/release/lenslet resnet50 [--batch 16] [--train] [--threads 2]

oneDNN (onednn.c, compiled here; needs libdnnl-dev) runs each shape alone, in the layout it likes best and
with warm caches, which flatters it: in a net it would meet other data in the cache and convert layouts.
lenslet's times are those of the layer inside the net, what is merged into it included. Sums count every
layer of a shape.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def onednn_times(net, batch, threads, seconds):
    """{first layer of a shape: [forward, input gradient, weight gradient] in ms}"""
    shapes = os.path.join(HERE, "..", "shapes", net + ".txt")
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "onednn")
        subprocess.run(["cc", "-O2", os.path.join(HERE, "onednn.c"), "-o", program, "-ldnnl"], check=True)
        text = subprocess.run([program, shapes, str(batch), str(seconds)], check=True, capture_output=True,
                              text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}).stdout
    times = {words[0]: [None if w == "-" else float(w) for w in words[1:]] for words in map(str.split, text.splitlines())}
    with open(shapes) as file:
        count = {words[0]: int(words[-1]) for words in map(str.split, file) if words and words[0] != "#"}
    return times, count


def number(value, form="%.3f"):
    return "-" if value is None else form % value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("net")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--train", action="store_true", help="both gradients, too")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=0.05, help="of a shape in oneDNN")
    options = parser.parse_args()
    try:
        times, count = onednn_times(options.net, options.batch, options.threads, options.seconds)
    except subprocess.CalledProcessError:
        sys.exit("oneDNN's headers are not installed: apt install libdnnl-dev")
    command = [options.program, "bench", options.net, "--batch", str(options.batch), "--threads", str(options.threads),
               "--layers", "--json"] + (["--train"] if options.train else [])
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    passes = [("forward_ms", "forward", 0, 1)]
    if options.train:
        passes.append(("backward_ms", "weight_gradient", 1, 3))
    print("%s, batch %d, %d threads, peak %.0f GFLOP/s\n" % (options.net, options.batch, options.threads, ours["peak_gflops"]))
    print("| layer | what | times |" + " pass | by | lenslet ms | % of peak | oneDNN ms | % of peak | ratio |")
    print("|---|---|---:|---|---|---:|---:|---:|---:|---:|")
    sums = {key: [0, 0] for key, *_ in passes}
    first = True
    for layer in ours["layers"]:
        if layer["name"] not in times:
            continue
        for key, by, low, high in passes:
            own, peer = layer[key], times[layer["name"]][low:high]
            if first and low:
                peer = peer[1:]  # nobody asks for the picture's gradient
            peer = None if None in peer else sum(peer)
            gflop = 2e-9 * layer["macs"] * options.batch * (1 if first or not low else 2)
            percent = [None if not ms else 1e5 * gflop / ms / ours["peak_gflops"] for ms in (own, peer)]
            for i, ms in enumerate((own, peer)):
                sums[key][i] += (ms or 0) * count[layer["name"]]
            print("| %s | %s | %d | %s | %s | %s | %s | %s | %s | %s |" % (
                layer["name"], layer["what"], count[layer["name"]], key[:-3], layer.get(by, ""), number(own),
                number(percent[0], "%.0f"), number(peer), number(percent[1], "%.0f"),
                number(peer and own / peer, "%.2f")))
        first = False
    for key, (own, peer) in sums.items():
        print("| all | | | %s | | %.3f | | %.3f | | %.2f |" % (key[:-3], own, peer, own / peer if peer else 0))


if __name__ == "__main__":
    main()
