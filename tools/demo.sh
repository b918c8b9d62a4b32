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

timed "$lenslet" train --net $net --data $data --epochs 5 --seed 1 --out "$out"
"$lenslet" eval --model "$out/model.safetensors" --data $data

for picture in curves filters maps confusion errors arch; do
    "$lenslet" plot $picture "$out" --data $data -o "$out/$picture.png"
done

"$lenslet" data export $data --count 8 --out "$out/pictures"
"$lenslet" predict --model "$out/model.safetensors" "$out"/pictures/*.png

echo
echo "In $out/:"
(cd "$out" && ls)
cat "$out/time.txt"
