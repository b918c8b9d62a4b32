#!/usr/bin/python3
"""Pictures in files become what torchvision makes of them: Resize(256), CenterCrop(224), pixel for pixel.

    tests/oracle/pictures_torchvision.py LENSLET

LENSLET is the program. Pictures of several sizes are written as PNG, grey PNG, JPEG (baseline and progressive), CMYK
JPEG and with every EXIF orientation; `lenslet data export --resize 256 --size 224x224` reads them. No pixel
may differ by more than 1 of 255. Ends with 0, 1 (one does), 2 (wrong use) or 77 (numpy, Pillow or torchvision
is not installed: nothing was checked).

SPDX-License-Identifier: Apache-2.0
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    from PIL import Image, ImageOps
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SIZES = [(500, 375), (333, 500), (640, 481), (257, 256), (300, 900), (224, 224), (100, 151)]
HOW = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def picture(random, width, height):
    """Smooth patches and sharp edges."""
    small = random.integers(0, 256, (9, 7, 3), dtype="uint8")
    smooth = Image.fromarray(small).resize((width, height), Image.BICUBIC)
    sharp = Image.fromarray(small).resize((width, height), Image.NEAREST)
    return Image.blend(smooth, sharp, 0.5)


def write(folder):
    """The files, in the order of the list."""
    random = numpy.random.default_rng(1)
    paths = []

    def save(drawn, name, **options):
        paths.append(os.path.join(folder, name))
        drawn.save(paths[-1], **options)

    for width, height in SIZES:
        drawn, name = picture(random, width, height), f"{width}x{height}"
        save(drawn, name + ".png")
        save(drawn.convert("L"), name + "-grey.png")
        save(drawn, name + ".jpg", quality=90)
        save(drawn, name + "-progressive.jpg", quality=80, progressive=True)
        save(drawn.convert("CMYK"), name + "-cmyk.jpg", quality=95)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(picture(random, 300, 260), f"exif{orientation}.jpg", exif=exif)
    return paths


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = write(folder)
        table = os.path.join(folder, "list.csv")
        with open(table, "w") as out:
            out.writelines(f"{path},{'ab'[i % 2]},train\n" for i, path in enumerate(paths))
            out.write(f"{paths[0]},a,test\n")
        for name, how in HOW.items():
            command = [sys.argv[1], "data", "export", table, "--split", "train", "--count", "1000",
                       "--resize", "256", "--size", "224x224", "--interpolation", name,
                       "-o", os.path.join(folder, name)]
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            assert len(shown) == len(paths)
            wanted = Compose([Resize(256, interpolation=how), CenterCrop(224)])
            for path, ours in zip(paths, shown):
                theirs = wanted(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
                apart = numpy.abs(numpy.asarray(theirs).astype(int) - numpy.asarray(Image.open(ours)))
                worst = max(worst, apart.max())
                if apart.max() > 1:
                    print(f"{name}: {os.path.basename(path)} differs by {apart.max()} of 255")
    print(f"{len(paths)} pictures, two filters: largest difference {worst} of 255")
    return worst > 1


sys.exit(main())
