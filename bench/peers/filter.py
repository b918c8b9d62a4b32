#!/usr/bin/env python3
"""Filtering a 24-megapixel grey picture in OpenCV and in lenslet, interleaved, on the same threads.

    bench/peers/filter.py build/release/liblenslet.so [--threads 2] [--rounds 7]

Both read and write pictures in memory (lenslet through its shared library; floats, as its filter always
computes), so reading and writing files is in neither. OpenCV's filter2D runs on floats and, as people use
it, on bytes; border: reflected in both. The table has medians over rounds.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import ctypes
import statistics
import time

import cv2
import numpy as np

HEIGHT, WIDTH = 4000, 6000


class CtxOpts(ctypes.Structure):
    """The head of lens_ctx_opts; the rest stays 0."""
    _fields_ = [("threads", ctypes.c_int), ("rest", ctypes.c_char * 124)]


class Kernel(ctypes.Structure):
    _fields_ = [("h", ctypes.c_int), ("w", ctypes.c_int), ("value", ctypes.c_double * (31 * 31))]


class FilterOpts(ctypes.Structure):
    _fields_ = [("border", ctypes.c_int), ("stride", ctypes.c_int), ("dilation", ctypes.c_int),
                ("flip", ctypes.c_bool), ("sum", ctypes.c_bool)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    lens = ctypes.CDLL(args.library)
    lens.lens_why.restype = ctypes.c_char_p
    ctx = ctypes.c_void_p()
    if lens.lens_ctx_new(ctypes.byref(ctx), ctypes.byref(CtxOpts(args.threads)), None):
        raise SystemExit("no context")

    bytes_in = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    floats_in = bytes_in.astype(np.float32)
    ours = np.empty_like(floats_in)
    pointer = ctypes.POINTER(ctypes.c_float)
    print(f"{WIDTH}x{HEIGHT}, {args.threads} threads, OpenCV {cv2.__version__}, medians of {args.rounds} rounds")
    print("kernel                 lenslet   filter2D float (ratio)   filter2D bytes (ratio)   largest difference")
    for name in ("sharpness", "sobel-x", "gaussian:1.4", "box:9"):
        kernel = Kernel()
        if lens.lens_kernel_parse(ctx, ctypes.byref(kernel), name.encode()):
            raise SystemExit(lens.lens_why(ctx).decode())
        side = kernel.h
        cells = np.array(kernel.value[:side * side]).reshape(side, side)
        options = FilterOpts(border=3)
        run = {
            "ours": lambda: lens.lens_filter(ctx, floats_in.ctypes.data_as(pointer), 1, HEIGHT, WIDTH,
                                             ctypes.byref(kernel), ctypes.byref(options),
                                             ours.ctypes.data_as(pointer)),
            "float": lambda: cv2.filter2D(floats_in, cv2.CV_32F, cells, borderType=cv2.BORDER_REFLECT_101),
            "bytes": lambda: cv2.filter2D(bytes_in, -1, cells, borderType=cv2.BORDER_REFLECT_101),
        }
        theirs = run["float"]()
        if run["ours"]():
            raise SystemExit(lens.lens_why(ctx).decode())
        apart = float(np.abs(ours - theirs).max())
        took = {key: [] for key in run}
        for _ in range(args.rounds):
            for key, call in run.items():
                start = time.perf_counter()
                call()
                took[key].append(time.perf_counter() - start)
        t = {key: statistics.median(value) * 1e3 for key, value in took.items()}
        print(f"{name:<13} {side}x{side:<3} {t['ours']:7.1f} ms {t['float']:9.1f} ms ({t['float'] / t['ours']:.2f}) "
              f"{t['bytes']:13.1f} ms ({t['bytes'] / t['ours']:.2f}) {apart:18.3g}")


if __name__ == "__main__":
    main()
