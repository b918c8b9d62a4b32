#!/bin/sh
# The demo: trains LeNet-5 on Fashion-MNIST (without that data set, on the built-in shapes), draws the
# pictures beside the model, and classifies a few test pictures written out as PNG files.
# Usage: tools/demo.sh PROGRAM FOLDER
# SPDX-License-Identifier: Apache-2.0
set -eu
lenslet=$1
out=$2
data=fashion-mnist
net=lenet5
if ! "$lenslet" data info fashion-mnist >/dev/null 2>&1; then
    data=shapes
    echo "demo: Fashion-MNIST is not here (Debian: dataset-fashion-mnist); using the built-in data set shapes" >&2
fi

mkdir -p "$out/pictures"
# GNU time, where there is one, tells the peak memory.
timed() {
    if [ -x /usr/bin/time ] && /usr/bin/time -f '' true 2>/dev/null; then
        /usr/bin/time -f 'training took %e s and at most %M KiB of memory' -o "$out/time.txt" "$@"
    else
        started=$(date +%s)
        "$@"
        echo "training took $(($(date +%s) - started)) s" >"$out/time.txt"
    fi
}

model=$out/model.safetensors
timed "$lenslet" train --net $net --data $data --epochs 5 --seed 1 --out "$out"

"$lenslet" eval --model "$model" --data $data
"$lenslet" plot curves "$out" -o "$out/curves.png"
"$lenslet" plot arch --model "$model" -o "$out/arch.png"
"$lenslet" plot filters --model "$model" -o "$out/filters.png"
"$lenslet" plot maps --model "$model" --data $data -o "$out/maps.png"
"$lenslet" plot confusion --model "$model" --data $data -o "$out/confusion.png"
"$lenslet" plot errors --model "$model" --data $data -o "$out/errors.png"

"$lenslet" data export $data --count 8 -o "$out/pictures"
"$lenslet" predict --model "$model" "$out"/pictures/*.png

echo
echo "In $out/:"
(cd "$out" && ls)
cat "$out/time.txt"
