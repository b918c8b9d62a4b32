#!/usr/bin/python3
"""The zoo's nets against torchvision's: the same random weights, the same picture, the same logits.

    tests/oracle/torchvision_logits.py LENSLET [NET ...]

LENSLET is the program; without NETs every net that both sides know. For each, torchvision builds the net
with random weights and random running statistics; its state_dict is written as safetensors, as torch.save writes it
today (ZIP), and in the older stream of pickles inside a checkpoint of a parallel run. `lenslet run` reads each strictly,
and the logits of one random picture are compared: max |ours - theirs| / max |theirs| must not pass 1e-4. Ends with 0, 1 (a net differs), 2 (wrong use) or 77 (torch or torchvision is not
installed: nothing was checked).

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as missing:
    print(f"SKIPPED, nothing was checked: {missing} (Debian: python3-torch, python3-torchvision)")
    sys.exit(77)

LIMIT = 1e-4
NETS = ("alexnet vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn googlenet resnet18 resnet34 "
        "resnet50 resnet101 resnet152 densenet121 densenet161 densenet169 densenet201 squeezenet1_0 "
        "squeezenet1_1").split()


def build(name, heads=False):
    """The net in evaluation mode, with or without its auxiliary heads, batch norms with numbers of their own."""
    options = {"aux_logits": heads, "init_weights": False} if name == "googlenet" else {}
    net = getattr(torchvision.models, name)(weights=None, **options).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def write_safetensors(path, state):
    """Length of the header, header, data. Counters of batches are no weights."""
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    header, at = {}, 0
    for name, value in state.items():
        size = value.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in state.values():
            file.write(value.detach().contiguous().numpy().astype("<f4").tobytes())


def write_stream(path, state):
    """The form of torch.save before 1.6, with what a training script of many devices keeps beside the weights."""
    checkpoint = {"epoch": 3, "state_dict": {"module." + k: v for k, v in state.items()},
                  "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


FORMS = {"w.safetensors": write_safetensors, "zip.pth": lambda path, state: torch.save(state, path),
         "stream.pth": write_stream}


def differences(lenslet, name, folder):
    """Of the logits for each form of the weights."""
    torch.manual_seed(1)
    net = build(name)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        want = net(x).numpy()
    if not want.std() > 0:
        sys.exit(f"{name}: logits without a spread prove nothing")
    picture, found = os.path.join(folder, "x.npy"), []
    np.save(picture, x.numpy())
    for form, write in FORMS.items():
        weights = os.path.join(folder, form)
        write(weights, net.state_dict())
        ran = subprocess.run([lenslet, "run", "--net", name, "--weights", weights, "--input", picture,
                              "--out", folder, "--json"], stdout=subprocess.PIPE, check=True)
        os.remove(weights)
        got = np.load(json.loads(ran.stdout)["outputs"][0]["file"])
        if got.shape != want.shape:
            sys.exit(f"{name}: {got.shape} instead of {want.shape}")
        found.append(float(np.abs(got - want).max() / np.abs(want).max()))
    return found


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    lenslet, names = sys.argv[1], sys.argv[2:] or NETS
    bad = 0
    print(" " * 14, *(f"{form.split('.')[0]:>9}" for form in FORMS))
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = differences(lenslet, name, folder)
        good = max(found) <= LIMIT
        bad += not good
        print(f"{name:14}", *(f"{d:9.2e}" for d in found), f"of {LIMIT:g}  {'ok' if good else 'DIFFERS'}", flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
