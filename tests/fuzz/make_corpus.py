#!/usr/bin/env python3
"""Writes the small seed files of tests/fuzz/corpus that are not pictures by libjpeg or files by
PyTorch (those lie there as they are). Plain Python; the same files every time.
SPDX-License-Identifier: Apache-2.0"""
import gzip
import os
import struct
import zlib

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def save(folder, name, data):
    with open(os.path.join(HERE, folder, name), "wb") as f:
        f.write(data)


def png(width, height, depth, kind, rows, extra=b"", interlace=0):
    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(tag, body):
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


save("image", "grey.png", png(3, 2, 8, 0, [b"\0\x80\xff", b"\1\2\3"]))
save("image", "grey16.png", png(2, 1, 16, 0, [b"\0\x80\xff\xff"]))
save("image", "rgba.png", png(2, 1, 8, 6, [b"\1\2\3\xff\4\5\6\x80"]))
save("image", "palette.png", png(4, 1, 2, 3, [b"\x1b"], chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\xff\x80")))
save("image", "interlaced.png", png(1, 1, 8, 2, [b"\1\2\3"], interlace=1))
save("image", "bomb.png", png(60000, 60000, 8, 0, [b"\0"]))
save("image", "p1.pbm", b"P1\n# note\n3 2\n101\n0 1 0")
save("image", "p2.pgm", b"P2 2 1 15\n0 15")
save("image", "p3.ppm", b"P3 1 1 1023 1023 0 512")
save("image", "p4.pbm", b"P4 9 1\n\x80\x80")
save("image", "p5.pgm", b"P5 2 1 65535\n\xff\xff\1\1")
save("image", "p6.ppm", b"P6 1 1 100 \x32\x64\0")


def npy(text, data, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


for kind, size in ("<f4", 4), (">f4", 4), ("<f8", 8), (">i2", 2), ("|u1", 1), ("<i8", 8), ("|b1", 1):
    for order in b"False", b"True":
        text = b"{'descr': '" + kind.encode() + b"', 'fortran_order': " + order + b", 'shape': (2, 3), }\n"
        name = kind[1:] + ("_big" if kind[0] == ">" else "") + ("_fortran" if order == b"True" else "")
        save("npy", name + ".npy", npy(text, bytes(range(6 * size))))
save("npy", "scalar_v2.npy", npy(b"{'shape': (), 'fortran_order': False, 'descr': '<f4'}", b"\0\0\x80\x3f", 2))
save("npy", "empty.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5,), }", b""))
save("npy", "huge.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 281474976710656, 281474976710656,), }", b""))


def safetensors(text, data):
    return struct.pack("<Q", len(text)) + text + data


save("safetensors", "none", safetensors(b"{}", b""))
save("safetensors", "two", safetensors(
    b'{"__metadata__":{"net":"input data 1x2x2\\nrelu"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    b'"b":{"dtype":"BF16","shape":[1,3],"data_offsets":[8,14]}}   ', bytes(range(14))))
for dtype, size in ("BOOL", 1), ("U8", 1), ("I16", 2), ("F16", 2), ("I64", 8), ("F64", 8):
    save("safetensors", dtype, safetensors(
        b'{"x":{"dtype":"%s","shape":[],"data_offsets":[0,%d]}}' % (dtype.encode(), size), bytes(range(size))))
save("safetensors", "overlap", safetensors(
    b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}', b"123456"))
save("safetensors", "overflow", safetensors(
    b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}', b""))

plain = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 2, 3) + bytes(range(12))
save("idx", "images", plain)
save("idx", "labels", struct.pack(">BBBBI", 0, 0, 8, 1, 5) + bytes(5))
save("idx", "images.gz", gzip.compress(plain, mtime=0))
save("idx", "labels.gz", gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 60000) + bytes(60000), mtime=0))
save("idx", "bomb.gz", gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 1000) + bytes(1 << 20), mtime=0))
save("idx", "huge", b"\0\0\x08\4" + b"\xff" * 16)

save("nettext", "lenet", b"""# LeNet
net lenet5
input data 1x28x28
conv2d conv1 out=6 kernel=5x5 pad=2
relu
maxpool pool1 kernel=2 stride=2
add from=pool1,conv1 note="two \\"words\\" # here\\n"
dense fc out=10 table=1,2,3 x=-1e-5
""")
save("nettext", "crlf", b"input 3x4\r\nrelu r\r\n\r\n\tsoftmax\r\n")
save("nettext", "twice", b"relu a\nrelu a\n")
save("nettext", "string", b'relu x="never closed\n')
save("nettext", "equals", b"relu a=b=c =d e=\n")

for name, text in (("sobel", "-1 0 1/-2 0 2/-1 0 1"), ("lines", "# mine\n0 1 0\r\n1,-4,1\n0 1 0\n"),
                   ("made", "gaussian:1.4"), ("motion", "motion:9:45"), ("ragged", "1 2/3"), ("word", "1 a"),
                   ("near", "sobl-x"), ("big", "/".join(["1 " * 40] * 40)), ("floats", "1e308 -1e308/nan inf"),
                   ("slashes", "//1//2/"), ("empty", ""), ("zero", "gaussian:0"), ("long", "box:31"),
                   ("range", "box:33")):
    save("kernel", name, text.encode())

for name, text in (("two", "one\twork\tdirect\nother, 2 threads\twork\twinograd4\n"), ("none", ""), ("same", "a\tb\tc\n" * 3),
                   ("short", "a\tb\tc\na\tb"), ("tabs", "a\tb\tc\td\n"), ("blank", "\t\t\n"), ("crlf", "a\tb\tc\r\n"),
                   ("line", "\n"), ("nul", "a\tb\0\tc\n")):
    save("wisdom", name, b"lenslet wisdom\n" + text.encode())
save("wisdom", "png", b"\x89PNG\r\n\x1a\n")
save("wisdom", "empty", b"")
