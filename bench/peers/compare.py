#!/usr/bin/env python3
"""lenslet beside other libraries, interleaved, on the same threads.

    bench/peers/compare.py build/release/lenslet                     all nets and modes: some 12 minutes
    bench/peers/compare.py build/release/lenslet resnet18 --modes infer:1      one net in seconds
    bench/peers/compare.py build/release/lenslet --level avx2        all held to AVX2, in build/peers-avx2

Every library (contenders.py) lives in a process of its own, stopped (SIGSTOP) whenever it is not its
turn, so that no waiting thread holds a core. In each round every contender has one block, one after
the other; a time is the median of the medians of its blocks, beside it stands the fastest run. What is more than
1.6 times slower than the best of its library, or 3 times slower than the best of all, is not asked
again after the first round.

Percent of peak counts the operations of the definition (two for each MAC; training three times as
many), divided by the multiply-add peak that `lenslet bench --machine` measures at the start.

Writes table.md, results.json and times.svg to --out; --docs FILE puts the table between the lines
"<!-- peers -->" and "<!-- /peers -->" of that file ("<!-- peers-avx2 -->" with --level avx2).

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

NETS = ["lenet5", "alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "densenet121"]
LIBRARIES = ["PyTorch", "ONNX Runtime", "OpenVINO", "ncnn", "OpenCV"]
HERE = os.path.dirname(os.path.abspath(__file__))
SLOWER_THAN_OWN, SLOWER_THAN_ALL = 1.6, 3.0

# What holds lenslet and the libraries of HELD to an instruction set (PyTorch computes by ATen, oneDNN and MKL,
# OpenVINO by oneDNN). The others choose by the CPU alone.
LEVELS = {"avx2": {"LENSLET_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
                   "MKL_ENABLE_INSTRUCTIONS": "AVX2",
                   "OPENCV_CPU_DISABLE": "AVX512F,AVX512-COMMON,AVX512-SKX,AVX512-CNL,AVX512-CLX,AVX512-ICL"}}
HELD = ["PyTorch", "OpenVINO", "OpenCV"]


def lenslet(options, *arguments):
    command = [options.program, *map(str, arguments), "--threads", str(options.threads), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Peer:
    """A process of contenders.py. It runs only while it is asked something."""

    def __init__(self, python, library, threads):
        self.name = library
        self.process = subprocess.Popen(
            [python, os.path.join(HERE, "contenders.py"), library, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        hello = self.hear()
        self.error, self.version, self.variants = (hello.get(k) for k in ("error", "version", "variants"))

    def hear(self):
        line = self.process.stdout.readline()
        if self.process.poll() is None and line:
            self.process.send_signal(signal.SIGSTOP)
        return json.loads(line) if line else {"error": "the process has ended"}

    def ask(self, **what):
        if self.process.poll() is not None:
            return {"error": "the process has ended"}
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        self.process.send_signal(signal.SIGCONT)
        return self.hear()

    def end(self):
        self.process.kill()
        self.process.wait()


class Entry:
    """One line of a comparison: a variant of a peer, or lenslet itself."""

    def __init__(self, peer, variant):
        self.peer, self.variant = peer, variant
        self.library = peer.name if peer else "lenslet"
        self.medians, self.fastest, self.memory = [], math.inf, 0
        self.error, self.retired, self.extra = None, False, {}

    def median(self):
        return statistics.median(self.medians)

    def block(self, median, fastest, memory):
        self.medians.append(median)
        self.fastest, self.memory = min(self.fastest, fastest), max(self.memory, memory)

    def row(self):
        row = {"library": self.library, "version": self.peer.version if self.peer else None,
               "variant": self.variant, **self.extra}
        if self.error:
            return {**row, "error": self.error}
        return {**row, "ms_median": self.median(), "ms_min": self.fastest, "memory_bytes": self.memory,
                "ms_of_rounds": self.medians}


def onnx_file(options, net):
    """The net as lenslet writes it, with random weights of usual sizes; made once."""
    path = os.path.join(options.out, net + ".onnx")
    if not os.path.exists(path):
        subprocess.run([options.program, "convert", net, path + ".zero.onnx"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-c", RANDOM_WEIGHTS, path + ".zero.onnx", path], check=True)
        os.remove(path + ".zero.onnx")
    return path


RANDOM_WEIGHTS = """
import sys, numpy, onnx
model = onnx.load(sys.argv[1])
random = numpy.random.default_rng(1)
for tensor in model.graph.initializer:
    value = onnx.numpy_helper.to_array(tensor)
    if value.dtype != numpy.float32:
        continue
    if value.ndim > 1:
        value = random.standard_normal(value.shape, numpy.float32) * (2 / value[0].size) ** 0.5
    else:
        value = numpy.full_like(value, not tensor.name.endswith(("bias", "mean")))
    tensor.CopyFrom(onnx.numpy_helper.from_array(value.astype(numpy.float32), tensor.name))
onnx.save(model, sys.argv[2])
"""


def run_lenslet(options, entry, job):
    train = ["--train"] if job["mode"] == "train" else []
    result = lenslet(options, "bench", job["net"], "--batch", job["batch"], "--seconds", options.seconds,
                     "--peak", options.peak, *train)
    entry.block(result["ms_median"], result["ms_min"], result["resident_bytes"])
    entry.extra = {key: result[key] for key in ("arena_bytes", "weight_bytes", "plan_ms", "page_faults", "isa")}


def run_peer(options, entry, job):
    answer = entry.peer.ask(do="run", variant=entry.variant, seconds=options.seconds)
    entry.error = answer.get("error")
    if not entry.error:
        entry.block(statistics.median(answer["ms"]), min(answer["ms"]), answer["memory_bytes"])


def make(options, peers, job):
    """Builds what can take part; results of the same ONNX file must agree."""
    entries, first = [Entry(None, "")], None
    for peer in peers:
        for variant in peer.variants[job["mode"]]:
            if variant == "compiled" and not options.compiled:
                continue
            entry = Entry(peer, variant)
            answer = peer.ask(do="make", variant=variant, **job)
            entry.error = answer.get("error")
            output = answer.get("output")
            if output and first and max(abs(a - b) for a, b in zip(output, first)) > 1e-2 * max(map(abs, first)):
                entry.error = "its output differs from that of the first library"
            first = first or output
            entries.append(entry)
    return entries


def retire(entries):
    """After the first round: leaves out what has no chance to be the best of its library."""
    running = [e for e in entries if e.medians]
    best = min(e.median() for e in running)
    for e in running:
        own = min(o.median() for o in running if o.library == e.library)
        e.retired = e.median() > min(SLOWER_THAN_OWN * own, SLOWER_THAN_ALL * best) and e.peer is not None


def compare(options, peers, net, mode, batch):
    info = lenslet(options, "inspect", net)
    reads = mode == "infer" and any(peer.name != "PyTorch" for peer in peers)
    job = {"net": net, "onnx": onnx_file(options, net) if reads else None, "shape": info["input"], "classes": info["classes"],
           "mode": mode, "batch": batch}
    entries = make(options, peers, job)
    for turn in range(options.rounds):
        for entry in entries:
            if entry.error or entry.retired:
                continue
            if entry.peer:
                run_peer(options, entry, job)
            else:
                run_lenslet(options, entry, job)
        if turn == 0:
            retire(entries)
    for peer in peers:
        peer.ask(do="drop")
    return {"net": net, "mode": mode, "batch": batch,
            "gflop": 2e-9 * info["macs"] * batch * (3 if mode == "train" else 1),
            "entries": [e.row() for e in entries]}


# ---- What is written ------------------------------------------------------------------------------

def ran(result):
    return [e for e in result["entries"] if "error" not in e]


def best_of(result, library):
    rows = [e for e in ran(result) if e["library"] == library]
    return min(rows, key=lambda e: e["ms_median"]) if rows else None


def best_peer(result):
    rows = [e for e in ran(result) if e["library"] != "lenslet"]
    return min(rows, key=lambda e: e["ms_median"]) if rows else None


def digits(value):
    """Three digits that count."""
    return "-" if value is None else "%.*f" % (min(5, max(0, 2 - math.floor(math.log10(value)))), value)


def percent_of_peak(result, entry, peak):
    return 100 * result["gflop"] / entry["ms_median"] * 1e3 / peak


def summary(results, libraries, peak):
    yield "| net | mode | batch | lenslet ms | % of peak | " + " | ".join(libraries) + \
        " | best peer | share of its time | MB, lenslet | MB, best peer |"
    yield "|---|---|---:|---:|---:|" + "---:|" * len(libraries) + "---|---:|---:|---:|"
    for r in results:
        own, peer = best_of(r, "lenslet"), best_peer(r)
        cells = [r["net"], r["mode"], str(r["batch"]), digits(own["ms_median"]),
                 "%.0f" % percent_of_peak(r, own, peak)]
        cells += [digits(e and e["ms_median"]) for e in (best_of(r, library) for library in libraries)]
        cells += [peer and "%s, %s" % (peer["library"], peer["variant"]) or "-",
                  peer and "**%.2f**" % (own["ms_median"] / peer["ms_median"]) or "-",
                  "%.0f" % (own["memory_bytes"] / 1e6), peer and "%.0f" % (peer["memory_bytes"] / 1e6) or "-"]
        yield "| " + " | ".join(cells) + " |"


def details(results, peak):
    yield "| net | mode | batch | library | variant | median ms | fastest ms | % of peak | MB |"
    yield "|---|---|---:|---|---|---:|---:|---:|---:|"
    for r in results:
        for e in sorted(ran(r), key=lambda e: e["ms_median"]):
            yield "| %s | %s | %d | %s | %s | %s | %s | %.0f | %.0f |" % (
                r["net"], r["mode"], r["batch"], e["library"], e["variant"], digits(e["ms_median"]),
                digits(e["ms_min"]), percent_of_peak(r, e, peak), e["memory_bytes"] / 1e6)
        for e in r["entries"]:
            if "error" in e:
                yield "| %s | %s | %d | %s | %s | - | - | - | %s |" % (
                    r["net"], r["mode"], r["batch"], e["library"], e["variant"], e["error"][:80])


def growth(options):
    """How our cost grows: rows of (what, value, ms, images/s, percent of peak)."""
    def line(what, value, net, *arguments, threads=None):
        command = [options.program, "bench", net, *map(str, arguments), "--threads",
                   str(threads or options.threads), "--seconds", str(options.seconds), "--json"]
        r = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return [what, value, digits(r["ms_median"]), "%.0f" % r["images_per_s"], "%.0f" % r["percent_of_peak"]]

    for batch in (1, 2, 4, 8, 16, 32):
        yield line("resnet18, batch", str(batch), "resnet18", "--batch", batch)
    for threads in range(1, options.threads + 1):
        for net in options.nets:
            yield line("%s, batch 16, threads" % net, str(threads), net, "--batch", 16, threads=threads)
    for side in (64, 112, 224, 448):
        yield line("resnet18, image side", str(side), "resnet18", "--input", "3x%dx%d" % (side, side))
    for depth in (18, 34, 50, 101, 152):
        yield line("resnet, depth", str(depth), "resnet%d" % depth)
    for depth in (11, 13, 16, 19):
        yield line("vgg, depth", str(depth), "vgg%d" % depth)


COLOURS = {"PyTorch": "#d1495b", "ONNX Runtime": "#00798c", "OpenVINO": "#8f6fc4", "ncnn": "#edae49",
           "OpenCV": "#66a182"}


def picture(results, libraries):
    """Times as multiples of lenslet's: a row for each comparison, a dot for each library."""
    left, top, row, width = 190, 64, 20, 520
    ratios = {(i, lib): best_of(r, lib)["ms_median"] / best_of(r, "lenslet")["ms_median"]
              for i, r in enumerate(results) for lib in libraries if best_of(r, lib)}
    ticks = [t for t in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
             if min(ratios.values(), default=1) / 2 < t < max(ratios.values(), default=1) * 2]
    low, high = min(ticks + [0.5]), max(ticks + [2])

    def x(ratio):
        return left + width * math.log(ratio / low) / math.log(high / low)

    height = top + row * len(results) + 16
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" '
           'font-size="12">' % (left + width + 30, height),
           '<rect width="100%" height="100%" fill="#fff"/>']
    for i, lib in enumerate(libraries):
        out.append('<circle cx="%d" cy="16" r="5" fill="%s"/><text x="%d" y="20">%s</text>'
                   % (left + 110 * i, COLOURS[lib], left + 110 * i + 9, lib))
    out.append('<text x="12" y="20">times lenslet\'s time</text>')
    for t in ticks:
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/><text x="%.1f" y="%d" '
                   'text-anchor="middle">%gx</text>'
                   % (x(t), x(t), top - 12, height - 10, "#222" if t == 1 else "#ddd", x(t), top - 18, t))
    for i, r in enumerate(results):
        y = top + row * i + 4
        out.append('<text x="12" y="%d">%s, %s %d</text>' % (y + 4, r["net"], r["mode"], r["batch"]))
        for lib in libraries:
            if (i, lib) in ratios:
                out.append('<circle cx="%.1f" cy="%d" r="5" fill="%s" fill-opacity="0.85"/>'
                           % (x(ratios[i, lib]), y, COLOURS[lib]))
    return "\n".join(out + ["</svg>", ""])


def cpu_name():
    with open("/proc/cpuinfo") as info:
        names = re.findall(r"model name\s*:\s*(.*)", info.read())
    return names[0] if names else platform.machine()


def write(options, peers, results, grown):
    libraries = [name for name in LIBRARIES if any(best_of(r, name) for r in results)]
    versions = ", ".join(sorted({"%s %s" % (p.name, p.version) for p in peers}))
    level = options.level and " held to " + options.level or ""
    lines = ["%s%s, %d threads, peak %.0f GFLOP/s, %s: milliseconds, median of %d interleaved rounds of %g s." % (
        cpu_name(), level, options.threads, options.peak, time.strftime("%Y-%m-%d"), options.rounds, options.seconds),
        versions + ".", ""]
    lines += summary(results, libraries, options.peak)
    if grown:
        lines += ["", "| lenslet, how cost grows | | ms | images/s | % of peak |", "|---|---:|---:|---:|---:|"]
        lines += ["| " + " | ".join(cells) + " |" for cells in grown]
    text = "\n".join(lines) + "\n"
    with open(os.path.join(options.out, "table.md"), "w") as file:
        file.write(text + "\n" + "\n".join(details(results, options.peak)) + "\n")
    with open(os.path.join(options.out, "results.json"), "w") as file:
        json.dump({"cpu": cpu_name(), "level": options.level, "threads": options.threads, "peak_gflops": options.peak,
                   "results": results, "growth": grown}, file, indent=1)
    with open(os.path.join(options.out, "times.svg"), "w") as file:
        file.write(picture(results, libraries))
    if options.docs:
        with open(options.docs) as file:
            old = file.read()
        mark = "peers" + (options.level and "-" + options.level or "")
        new = re.sub(r"(<!-- %s -->\n).*(<!-- /%s -->)" % (mark, mark), lambda m: m[1] + text + m[2], old, flags=re.S)
        with open(options.docs, "w") as file:
            file.write(new)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--modes", nargs="+", default=["infer:1", "infer:16", "train:16"],
                        help="MODE:BATCH; LeNet trains at 64 in place of 16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--level", choices=LEVELS, help="hold all to this instruction set; who cannot be held is left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a block")
    parser.add_argument("--python", action="append", default=[], metavar="EXE",
                        help="another interpreter whose PyTorch takes part, too")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, too: a minute a net")
    parser.add_argument("--growth", action="store_true", help="also how our cost grows with batch, threads, size, depth")
    parser.add_argument("--out", help="folder of the results and the ONNX files (build/peers)")
    parser.add_argument("--docs", help="a Markdown file whose table is replaced")
    options = parser.parse_args()
    options.out = os.path.abspath(options.out or "build/peers" + (options.level and "-" + options.level or ""))
    os.makedirs(options.out, exist_ok=True)
    os.environ.update(LEVELS.get(options.level, {}))

    options.peak = max(m["gflops"] for m in lenslet(options, "bench", "--machine")["machine"])
    found = [Peer(sys.executable, name, options.threads) for name in (HELD if options.level else LIBRARIES)]
    found += [Peer(python, "PyTorch", options.threads) for python in options.python]
    for peer in found:
        print("%s: %s" % (peer.name, peer.version or peer.error), flush=True)
    peers, results, grown = [p for p in found if not p.error], [], []
    try:
        for net in options.nets:
            for mode in options.modes:
                mode, batch = mode.split(":")
                batch = 64 if (net, mode, batch) == ("lenet5", "train", "16") else int(batch)
                start = time.time()
                results.append(compare(options, peers, net, mode, batch))
                libraries = [name for name in LIBRARIES if any(p.name == name for p in peers)]
                print("%s   (%.0f s)" % (list(summary(results[-1:], libraries, options.peak))[-1],
                                         time.time() - start), flush=True)
        if options.growth:
            grown = list(growth(options))
    finally:
        for peer in found:
            peer.end()
    if results:
        write(options, peers, results, grown)


if __name__ == "__main__":
    main()
