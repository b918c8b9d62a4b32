#!/usr/bin/env python3
"""The contenders of compare.py: one process for each library and interpreter, asked line by line.

    contenders.py LIBRARY THREADS        LIBRARY is a key of LIBRARIES below

The first line it prints names the library's version, or why it cannot run. Then it reads JSON lines:
    {"do": "make", "net": "resnet18", "onnx": FILE, "shape": [3, 224, 224], "classes": 1000,
     "mode": "infer", "batch": 16, "variant": "eager"}
                            builds that variant and runs it once: {"first_ms": ..., "output": [...]}
    {"do": "run", "variant": "eager", "seconds": 0.3}      {"ms": [...], "memory_bytes": ...}
    {"do": "drop"}                                         forgets all variants
Inference libraries read the same ONNX file, which lenslet wrote; PyTorch builds torchvision's net of
that name. memory_bytes of a variant: what its `make` left in memory, and the most that was added to it
during the run; the library itself and other variants are not counted.

SPDX-License-Identifier: Apache-2.0
"""
import ctypes
import gc
import json
import signal
import sys
import time
import warnings

warnings.filterwarnings("ignore")


def pictures(job):
    import numpy
    return numpy.random.default_rng(1).standard_normal([job["batch"]] + job["shape"], dtype=numpy.float32)


class PyTorch:
    """Eager in both layouts, the foreach optimiser (training), traced and frozen (inference), and
    compiled, which takes a minute a net and is only made when asked for."""

    def __init__(self, threads):
        import torch
        import torchvision
        self.torch, self.nets = torch, torchvision.models
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(1)
        self.version = torch.__version__

    def variants(self, mode):
        own = ["eager", "eager nhwc"]
        return own + (["foreach nhwc"] if mode == "train" else ["traced", "traced nhwc"]) + ["compiled"]

    def net(self, job):
        nn = self.torch.nn
        if job["net"] == "lenet5":
            return nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
        options = {"aux_logits": False, "init_weights": False} if job["net"] == "googlenet" else {}
        return getattr(self.nets, job["net"])(num_classes=job["classes"], **options)

    def make(self, job):
        torch, variant = self.torch, job["variant"]
        net, x = self.net(job), torch.from_numpy(pictures(job))
        if "nhwc" in variant:
            net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
        if job["mode"] == "train":
            return self.trainer(net, x, job)
        net = net.eval()
        if "traced" in variant:
            with torch.no_grad():
                net = torch.jit.optimize_for_inference(torch.jit.trace(net, x))
        if variant == "compiled":
            net = torch.compile(net, options={"freezing": True})

        def step():
            with torch.inference_mode():
                net(x)
        return step, None

    def trainer(self, net, x, job):
        torch = self.torch
        loss, label = torch.nn.CrossEntropyLoss(), torch.randint(0, job["classes"], (job["batch"],))
        options = {"foreach": True} if "foreach" in job["variant"] else {}
        optimiser = torch.optim.SGD(net.train().parameters(), lr=0.0001, momentum=0.9, **options)
        run = torch.compile(net) if job["variant"] == "compiled" else net

        def step():
            optimiser.zero_grad()
            loss(run(x), label).backward()
            optimiser.step()
        return step, None


class OnnxRuntime:
    def __init__(self, threads):
        import onnxruntime
        self.library, self.threads, self.version = onnxruntime, threads, onnxruntime.__version__

    def variants(self, mode):
        return ["all optimisations"] if mode == "infer" else []

    def make(self, job):
        options = self.library.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.graph_optimization_level = self.library.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = self.library.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: pictures(job)}
        return lambda: session.run(None, feed), lambda: session.run(None, feed)[0]


class OpenVino:
    def __init__(self, threads):
        import openvino
        self.core, self.threads, self.version = openvino.Core(), threads, openvino.__version__.split("-")[0]

    def variants(self, mode):
        return ["f32, latency"] if mode == "infer" else []

    def make(self, job):
        x = pictures(job)
        model = self.core.read_model(job["onnx"])
        model.reshape(list(x.shape))
        compiled = self.core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        request.infer([x])
        return request.infer, lambda: request.get_output_tensor(0).data


class OpenCv:
    def __init__(self, threads):
        import cv2
        self.library, self.version = cv2, cv2.__version__
        cv2.setNumThreads(threads)

    def variants(self, mode):
        return ["dnn"] if mode == "infer" else []

    def make(self, job):
        net, x = self.library.dnn.readNetFromONNX(job["onnx"]), pictures(job)

        def step():
            net.setInput(x)
            return net.forward()
        return step, step


class Ncnn:
    """Knows no batch: a batch is its pictures one by one. pnnx converts the ONNX file once."""

    def __init__(self, threads):
        import ncnn
        import pnnx
        self.library, self.threads, self.version = ncnn, threads, ncnn.__version__
        self.pnnx = pnnx.EXEC_PATH

    def variants(self, mode):
        return ["f32"] if mode == "infer" else []

    def convert(self, job):
        import os
        import subprocess
        stem = job["onnx"][:-len(".onnx")]
        if not os.path.exists(stem + ".ncnn.param"):
            size = ",".join(map(str, [1] + job["shape"]))
            subprocess.run([self.pnnx, job["onnx"], "inputshape=[%s]" % size, "fp16=0"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return stem

    def make(self, job):
        import numpy
        stem, x = self.convert(job), pictures(job)
        net = self.library.Net()
        net.opt.num_threads = self.threads
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        if net.load_param(stem + ".ncnn.param") or net.load_model(stem + ".ncnn.bin"):
            raise RuntimeError("ncnn cannot load " + stem)

        def one(picture):
            extractor = net.create_extractor()
            extractor.input("in0", self.library.Mat(picture))
            return extractor.extract("out0")[1]

        def step():
            for picture in x:
                one(picture)
        return step, lambda: numpy.array(one(x[0]))


LIBRARIES = {"PyTorch": PyTorch, "ONNX Runtime": OnnxRuntime, "OpenVINO": OpenVino, "OpenCV": OpenCv,
             "ncnn": Ncnn}


PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def settle():
    """Gives free memory back to the system; returns what is left and forgets the peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return resident("VmRSS")


def timed(step):
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def run(step, seconds, first_ms):
    """Milliseconds of each call for about `seconds`; calls of microseconds are timed in groups."""
    group = 1 if first_ms > 50 else max(1, int(0.2 / max(1e-3, min(timed(step), timed(step)))))
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(group):
            step()
        times.append((time.perf_counter() - start) * 1e3 / group)
    return times


def main():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a stopped process would outlive compare.py
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries talk
    steps, first, held = {}, {}, {}

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    try:
        library = LIBRARIES[name](threads)
    except Exception as error:  # not installed, or it does not work here: compare.py says so
        answer(error="%s: %s" % (type(error).__name__, error))
        return
    answer(version=library.version, variants={mode: library.variants(mode) for mode in ("infer", "train")})
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            if ask["do"] == "make":
                before = settle()
                step, output = library.make(ask)
                variant = ask["variant"]
                steps[variant], first[variant] = step, timed(step)
                held[variant] = settle() - before
                values = [float(v) for v in output().reshape(-1)[:8]] if output else None
                answer(first_ms=first[variant], output=values)
            elif ask["do"] == "run":
                variant, before = ask["variant"], settle()
                times = run(steps[variant], ask["seconds"], first[variant])
                answer(ms=times, memory_bytes=held[variant] + resident("VmHWM") - before)
            else:
                steps.clear()
                settle()
                answer()
        except Exception as error:
            answer(error="%s: %s" % (type(error).__name__, str(error).split("\n")[0]))


if __name__ == "__main__":
    main()
