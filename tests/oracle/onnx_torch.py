#!/usr/bin/env python3
"""ONNX against PyTorch: networks exported by torch.onnx, run by `lenslet run`, compared with PyTorch's
own logits; and `lenslet`'s reading of shape computations, batch norms and branches as PyTorch writes them.
Usage: onnx_torch.py LENSLET [--torchvision]; with the latter also torchvision's nets, which takes minutes. Exit
status 77: PyTorch is not installed.
SPDX-License-Identifier: Apache-2.0"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    from torch import nn
    import torch.nn.functional as F
except ImportError as error:
    print("SKIPPED:", error, "(on Debian: apt install python3-torch)")
    sys.exit(77)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, groups=2, bias=False)
        self.fc = nn.Linear(12 * 7 * 7, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.leaky_relu(self.conv2(x), 0.1)
        return self.fc(x.view(x.size(0), -1))


class Residual(nn.Module):
    """A strided shortcut, a branch, global pooling by mean, dropout."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 10, 3, stride=2, padding=1)
        self.short = nn.Conv2d(6, 10, 1)
        self.left = nn.Conv2d(10, 4, 1)
        self.right = nn.Conv2d(10, 5, 3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(9, 7, bias=False)

    def forward(self, x):
        x = torch.tanh(self.conv1(x))
        x = self.conv2(x) + self.short(x[:, :, ::2, ::2])
        x = torch.cat([torch.sigmoid(self.left(x)), self.right(x)], 1)
        x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return F.softmax(self.fc(self.drop(x.mean([2, 3]))), dim=1)


class General(nn.Module):
    """What no layer is made for: arithmetic with broadcasting, padding by F.pad, group and layer norms,
    interpolation, channel shuffle, splits, a product of matrices."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.conv = nn.Conv2d(3, 8, 3)
        self.slope = nn.PReLU(8)
        self.group = nn.GroupNorm(2, 8)
        self.layer = nn.LayerNorm(16)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = F.pad(x / 2 - 0.1, (1, 2, 0, 1), mode="replicate")
        x = F.hardswish(self.conv(F.pad(x, (1, 1, 1, 1)))) * self.scale
        x = self.group(self.slope(x)) + F.gelu(x).clamp(-1, 3)
        a, b = x.chunk(2, dim=1)
        x = torch.cat([a * torch.sigmoid(b), torch.maximum(a, b), a - b], 1)
        n, c, h, w = x.shape
        x = x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.interpolate(x, size=(20, 24), mode="bilinear", align_corners=False)
        x = x[:, 1:9, 2:-1, ::3].flatten(2)
        x = torch.log_softmax(x @ x.transpose(1, 2), dim=-1)
        x = torch.cat([x.amax(2), x.mean(1)], 1)
        return self.fc(self.layer(x))


def load_torchvision():
    try:
        import torchvision
    except ImportError:
        return []
    nets = []
    for name in "alexnet vgg11 googlenet resnet18 densenet121 squeezenet1_1".split():
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        nets.append(getattr(torchvision.models, name)(weights=None, **options))
    return nets


def main():
    program = sys.argv[1]
    torch.manual_seed(1)
    failed = 0
    large = load_torchvision() if "--torchvision" in sys.argv else []
    for model in [Plain(), Residual(), General()] + large:
        model.eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
        x = torch.randn(2, 3, 224, 224) if model in large else torch.randn(4, 3, 32, 32)
        with torch.no_grad():
            want = model(x).numpy()
        # Before opset 10 PyTorch cannot write slices with steps.
        plain = isinstance(model, Plain) or model in large
        for opset in (9, 11, 13, 17) if plain else (11, 13, 17):
            for fold in (True,) if model in large else (True, False):
                with tempfile.TemporaryDirectory() as folder:
                    path = os.path.join(folder, "net.onnx")
                    torch.onnx.export(model, x, path, opset_version=opset, do_constant_folding=fold,
                                      input_names=["data"], dynamic_axes={"data": {0: "n"}})
                    np.save(os.path.join(folder, "x.npy"), x.numpy())
                    run = subprocess.run([program, "run", "--model", path, "--input", os.path.join(folder, "x.npy"),
                                          "--out", folder], capture_output=True, text=True)
                    name = "%s opset %d fold %d" % (type(model).__name__, opset, fold)
                    if run.returncode:
                        print("FAILED", name, run.stderr.strip())
                        failed += 1
                        continue
                    files = [f for f in os.listdir(folder) if f.endswith(".npy") and f != "x.npy"]
                    got = np.load(os.path.join(folder, files[0]))
                    error = np.abs(got - want).max() / np.abs(want).max()
                    print("ok    " if error <= 1e-4 else "FAILED", name, "relative difference %.1e" % error)
                    failed += error > 1e-4
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
