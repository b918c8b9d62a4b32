#!/usr/bin/python3
"""Prints tests/data/resize.inc: what torchvision's Resize and CenterCrop (that is, Pillow) make of pictures whose
pixels follow a formula.

    /usr/bin/python3 tests/oracle/resize_torchvision.py >tests/data/resize.inc

SPDX-License-Identifier: Apache-2.0
"""
import textwrap

import numpy
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

HOW = {"LENS_BILINEAR": InterpolationMode.BILINEAR, "LENS_BICUBIC": InterpolationMode.BICUBIC}
# Picture (H, W, C), argument of Resize (one number: the short side), side of CenterCrop (0: none)
CASES = [((7, 13, 3), (3, 5), 0), ((7, 13, 3), (9, 20), 0), ((7, 13, 3), (2, 13), 0),
         ((1, 1, 3), (2, 3), 0), ((50, 41, 1), (4, 7), 0), ((11, 23, 1), 6, 4), ((30, 9, 1), 8, 8),
         ((9, 30, 1), 8, 8)]


def pattern(height, width, channels):
    """pixels[i] = (37 i + 11 floor(i/7)) mod 256, interleaved."""
    i = numpy.arange(width * height * channels)
    pixels = ((i * 37 + i // 7 * 11) % 256).astype("uint8")
    return Image.fromarray(pixels.reshape(height, width, channels).squeeze(2 if channels == 1 else ()))


print("/* Made by tests/oracle/resize_torchvision.py. */")
for shape, size, crop in CASES:
    for name, how in HOW.items():
        picture = Resize(size, interpolation=how)(pattern(*shape))
        picture = CenterCrop(crop)(picture) if crop else picture
        height, width = (size, size) if isinstance(size, int) else size
        numbers = ", ".join(str(n) for n in numpy.asarray(picture).ravel())
        row = f"{{ {shape[1]}, {shape[0]}, {shape[2]}, {width}, {height}, {crop}, {name}, {{ {numbers} }} }},"
        print(textwrap.fill(row, 100, subsequent_indent="  "))
