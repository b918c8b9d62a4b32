#!/usr/bin/env python3
"""LeNet-5 in PyTorch and in lenslet, interleaved, on the same threads.

    bench/peers/lenet.py build/release/lenslet [--threads 2] [--rounds 7] [--json FILE]

Each round times PyTorch at its best setting, then lenslet, once per row; the table gives medians
over rounds and the ratio of the medians. PyTorch's settings: training eager with the plain and, where
the version has it, the foreach optimiser; inference eager, traced and frozen; the fastest counts.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")


def torch_contenders(threads):
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(1)

    def net():
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def trainer(batch, foreach):
        model, loss = net(), nn.CrossEntropyLoss()
        options = {"foreach": True} if foreach else {}
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)
        x, y = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))

        def step():
            optimiser.zero_grad()
            loss(model(x), y).backward()
            optimiser.step()
        return step

    def runner(batch, traced):
        model, x = net().eval(), torch.randn(batch, 1, 28, 28)
        if traced:
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, x))

        def step():
            with torch.no_grad():
                model(x)
        return step

    def contenders(mode, batch):
        if mode == "train":
            yield "eager", trainer(batch, False)
            try:
                yield "foreach", trainer(batch, True)
            except TypeError:
                pass
        else:
            yield "eager", runner(batch, False)
            yield "traced", runner(batch, True)
    return torch.__version__, contenders


def time_block(step, seconds):
    """Milliseconds a call, over a block of about `seconds`."""
    for _ in range(3):
        step()
    start = time.perf_counter()
    step()
    count = max(3, int(seconds / max(1e-6, time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count * 1e3


def lenslet_ms(program, mode, batch, threads, seconds):
    command = [program, "bench", "lenet5", "--batch", str(batch), "--threads", str(threads),
               "--seconds", str(seconds), "--json"] + (["--train"] if mode == "train" else [])
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each timed block")
    parser.add_argument("--json", help="write the table here")
    options = parser.parse_args()
    try:
        version, contenders = torch_contenders(options.threads)
    except ImportError:
        sys.exit("PyTorch is not installed: apt install python3-torch")

    print(f"PyTorch {version}, {options.threads} threads, median of {options.rounds} interleaved rounds")
    print(f"{'mode':9} {'batch':>5} {'PyTorch ms':>11} {'best':>8} {'lenslet ms':>11} "
          f"{'PyTorch img/s':>14} {'lenslet img/s':>14} {'ratio':>6} {'min..max':>12}")
    table = []
    for mode, batch in [("train", 64), ("train", 128), ("infer", 1), ("infer", 16), ("infer", 256)]:
        steps = dict(contenders(mode, batch))
        peer, ours = {name: [] for name in steps}, []
        for _ in range(options.rounds):
            for name, step in steps.items():
                peer[name].append(time_block(step, options.seconds))
            ours.append(lenslet_ms(options.program, mode, batch, options.threads, options.seconds)["ms_median"])
        best = min(peer, key=lambda name: statistics.median(peer[name]))
        a, b = statistics.median(peer[best]), statistics.median(ours)
        ratios = [x / y for x, y in zip(peer[best], ours)]
        table.append({"mode": mode, "batch": batch, "peer": best, "peer_ms": a, "ms": b, "ratio": a / b,
                      "ratio_min": min(ratios), "ratio_max": max(ratios)})
        print(f"{mode:9} {batch:5} {a:11.4f} {best:>8} {b:11.4f} {batch / a * 1e3:14.0f} {batch / b * 1e3:14.0f} "
              f"{a / b:6.2f} {min(ratios):5.2f}..{max(ratios):.2f}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"pytorch": version, "threads": options.threads, "rows": table}, file, indent=1)


if __name__ == "__main__":
    main()
