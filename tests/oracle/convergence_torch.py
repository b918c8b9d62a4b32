#!/usr/bin/env python3
"""The first epochs of training beside PyTorch's: ResNet-20 on a folder of pictures, from the same weights.

    tests/oracle/convergence_torch.py LENSLET DATA OUT [EPOCHS]

DATA is a folder as `lenslet train` reads it, DATA/{train,test}/CLASS/*; OUT gets both runs, OUT/lenslet and
OUT/pytorch, each with a log.csv, for `lenslet plot curves OUT/lenslet OUT/pytorch`. Both start from the weights of
OUT/start.pth, drawn by PyTorch, and take plain SGD (batch 128, rate 0.1, momentum 0.9, weight decay 1e-4) over the
same pictures without augmentation; each shuffles them in its own way, so the curves follow each other to within what
another order does: PyTorch's first epoch on CIFAR-10 ends between 1.48 and 1.57 with three orders, lenslet's between 1.53 and
1.66 with four (2026-11-21). EPOCHS is 3. Ends with 0; 1 where the training loss of an epoch is further from PyTorch's
than such a spread, 12 %; 77 where PyTorch or Pillow is not installed.

SPDX-License-Identifier: Apache-2.0
"""
import csv
import os
import subprocess
import sys
import time

try:
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    from torch.nn import functional as F
except ImportError as missing:
    print(f"SKIPPED, nothing was checked: {missing}")
    sys.exit(77)

BATCH, RATE, MOMENTUM, DECAY, LIMIT = 128, 0.1, 0.9, 1e-4, 0.12
COLUMNS = "epoch step rate train_loss train_accuracy val_loss val_accuracy best seconds images_per_s".split()


class Block(nn.Module):
    def __init__(self, maps_in, maps, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(maps_in, maps, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.stride, self.empty = stride, maps - maps_in

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.empty:  # option A: every other cell, empty maps on both sides
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.empty // 2, self.empty // 2))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(*(Block(16 if k == 0 else 32, 32, 2 if k == 0 else 1) for k in range(3)))
        self.layer3 = nn.Sequential(*(Block(32 if k == 0 else 64, 64, 2 if k == 0 else 1) for k in range(3)))
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def read_split(folder):
    """Bytes (N,C,H,W) and labels by the order of the class names."""
    pictures, labels = [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            picture = np.asarray(Image.open(os.path.join(folder, name, file)))
            pictures.append(picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1))
            labels.append(label)
    return torch.from_numpy(np.stack(pictures)), torch.tensor(labels)


def evaluate(net, x, labels):
    loss = right = 0
    net.eval()
    with torch.no_grad():
        for part, want in zip(x.split(500), labels.split(500)):
            y = net(part)
            loss += F.cross_entropy(y, want, reduction="sum").item()
            right += (y.argmax(1) == want).sum().item()
    return loss / len(x), right / len(x)


def train_torch(net, data, out, epochs):
    (x, labels), (test, test_labels) = (read_split(os.path.join(data, split)) for split in ("train", "test"))
    mean, std = (f(x.numpy() / np.float32(255), axis=(0, 2, 3)).reshape(1, -1, 1, 1) for f in (np.mean, np.std))
    x, test = ((part / 255 - torch.from_numpy(mean)) / torch.from_numpy(std) for part in (x, test))
    optimiser = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    os.makedirs(out, exist_ok=True)
    start, step, best = time.time(), 0, 0
    with open(os.path.join(out, "log.csv"), "w", newline="") as file:
        log = csv.writer(file, lineterminator="\n")
        log.writerow(COLUMNS)
        for epoch in range(1, epochs + 1):
            began, loss, right = time.time(), 0, 0
            net.train()
            for chosen in torch.randperm(len(x)).split(BATCH):
                y = net(x[chosen])
                value = F.cross_entropy(y, labels[chosen])
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                step += 1
                loss += value.item() * len(chosen)
                right += (y.argmax(1) == labels[chosen]).sum().item()
            rate = len(x) / (time.time() - began)
            val_loss, val_accuracy = evaluate(net, test, test_labels)
            log.writerow([epoch, step, RATE, loss / len(x), right / len(x), val_loss, val_accuracy,
                          int(val_accuracy > best), f"{time.time() - start:.1f}", f"{rate:.1f}"])
            file.flush()
            best = max(best, val_accuracy)
            print(f"PyTorch epoch {epoch}: loss {loss / len(x):.4f}", flush=True)


def losses(out):
    with open(os.path.join(out, "log.csv")) as file:
        return [(float(row["train_loss"]), float(row["val_accuracy"])) for row in csv.DictReader(file)]


def main():
    if len(sys.argv) < 4:
        print(__doc__)
        return 2
    lenslet, data, out = sys.argv[1:4]
    epochs = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(1)
    first = next(entry for entry in os.scandir(os.path.join(data, "train")))
    channels = len(Image.open(next(os.scandir(first.path)).path).getbands())
    net = ResNet20(channels, len(os.listdir(os.path.join(data, "train"))))
    torch.save(net.state_dict(), os.path.join(out, "start.pth"))
    ours, theirs = os.path.join(out, "lenslet"), os.path.join(out, "pytorch")
    subprocess.run([lenslet, "train", "--net", "resnet20", "--weights", os.path.join(out, "start.pth"), "--data", data,
                    "--epochs", str(epochs), "--batch", str(BATCH), "--lr", str(RATE), "--optimizer", "sgd",
                    "--momentum", str(MOMENTUM), "--weight-decay", str(DECAY), "--schedule", "constant",
                    "--out", ours], check=True)
    train_torch(net, data, theirs, epochs)
    worst = 0
    for epoch, (a, b) in enumerate(zip(losses(ours), losses(theirs)), 1):
        worst = max(worst, abs(a[0] / b[0] - 1))
        print(f"epoch {epoch}: training loss {a[0]:.4f}, PyTorch {b[0]:.4f}; test accuracy {a[1]:.4f}, {b[1]:.4f}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
