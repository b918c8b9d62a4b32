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


class Opts(ctypes.Structure):
    _fields_ = [("border", ctypes.c_int), ("stride", ctypes.c_int), ("dilation", ctypes.c_int)]
