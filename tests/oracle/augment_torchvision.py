#!/usr/bin/python3
"""Prints tests/data/augment.inc: what torchvision's functions make of a picture (3,5,6) whose values follow a
formula.

    /usr/bin/python3 tests/oracle/augment_torchvision.py >tests/data/augment.inc

SPDX-License-Identifier: Apache-2.0
"""
import textwrap

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

BILINEAR = InterpolationMode.BILINEAR
# x[i] = (37 i mod 101) / 101, planes (3,5,6)
x = (torch.arange(90) * 37 % 101).float().div(101).reshape(3, 5, 6)


def turn(angle, zoom):
    return F.affine(x, angle, [0, 0], zoom, [0, 0], interpolation=BILINEAR)


def crop(top, left, height, width):
    return F.resize(F.crop(x, top, left, height, width), [5, 6], antialias=True)


CASES = [("augment_colour(p, AUGMENT_BRIGHTNESS, 1.3f)", F.adjust_brightness(x, 1.3)),
         ("augment_colour(p, AUGMENT_CONTRAST, 1.6f)", F.adjust_contrast(x, 1.6)),
         ("augment_colour(p, AUGMENT_CONTRAST, 0.25f)", F.adjust_contrast(x, 0.25)),
         ("augment_colour(p, AUGMENT_SATURATION, 1.8f)", F.adjust_saturation(x, 1.8)),
         ("augment_colour(p, AUGMENT_SATURATION, 0)", F.adjust_saturation(x, 0)),
         ("augment_colour(p, AUGMENT_HUE, 0.3f)", F.adjust_hue(x, 0.3)),
         ("augment_colour(p, AUGMENT_HUE, -0.45f)", F.adjust_hue(x, -0.45)),
         ("augment_turn(p, 20, 1)", turn(20, 1)),
         ("augment_turn(p, -75, 1.4)", turn(-75, 1.4)),
         ("augment_turn(p, 0, 0.7)", turn(0, 0.7)),
         ("augment_resized_crop(p, 1, 2, 3, 4)", crop(1, 2, 3, 4)),
         ("augment_resized_crop(p, 0, 5, 5, 1)", crop(0, 5, 5, 1)),
         ("augment_resized_crop(p, 0, 0, 5, 6)", crop(0, 0, 5, 6))]

print("/* Made by tests/oracle/augment_torchvision.py. */")
for call, y in CASES:
    numbers = ", ".join(f"{v:.6f}f" for v in y.flatten().tolist())
    print(textwrap.fill(f"ROW({call}, {numbers})", 100, subsequent_indent="    "))
