#!/bin/sh
# Kills a training run that saves often, again and again, and shows that nothing is lost: every checkpoint
# found on disk loads, and going on from it ends with the weights of the uninterrupted run.
# Usage: tests/soak/kill.sh PROGRAM [KILLS] [DATA]     (200 kills of LeNet on MNIST-like data: some minutes)
# SPDX-License-Identifier: Apache-2.0
set -eu
lenslet=$1
kills=${2:-200}
data=${3:-fashion-mnist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
train() { "$lenslet" train --net lenet5 --data "$data" --epochs 1 --seed 7 --save-every 25 --json "$@" 2>/dev/null; }
hash_of() { sed -n 's/.*"weights_hash": "\([0-9a-f]*\)".*/\1/p'; }

want=$(train --out "$work/whole" | hash_of)
[ -n "$want" ]
done_runs=0 loaded=0 resumed=0 bad=0 i=0
while [ "$i" -lt "$kills" ]; do
    i=$((i + 1))
    if [ -e "$work/run/last.state" ]; then more=--resume; else more=; fi
    train $more --out "$work/run" >"$work/log" &
    pid=$!
    sleep "$(awk -v seed="$i" 'BEGIN { srand(seed); printf "%.3f", 0.02 + 0.9 * rand() }')"
    # Too late is no failure: the run has ended then, and its log is judged below. wait answers 137 for a kill.
    kill -9 $pid 2>/dev/null || :
    wait $pid 2>/dev/null || :
    for model in "$work/run/model.safetensors" "$work/run/last.safetensors"; do
        [ -e "$model" ] || continue
        if "$lenslet" inspect "$model" >/dev/null 2>&1; then loaded=$((loaded + 1)); else bad=$((bad + 1)); echo "does not load: $model after kill $i"; fi
    done
    [ -e "$work/run/last.state" ] || continue
    # Go on from this very checkpoint in a copy: all of them would take hours, so one in ten.
    if [ $((i % 10)) = 0 ]; then
        rm -rf "$work/copy"
        cp -r "$work/run" "$work/copy"
        got=$(train --resume --out "$work/copy" | hash_of)
        resumed=$((resumed + 1))
        [ "$got" = "$want" ] || { bad=$((bad + 1)); echo "other weights after kill $i: $got, not $want"; }
    fi
    # A run that came to its end begins anew.
    if grep -q weights_hash "$work/log"; then
        [ "$(hash_of <"$work/log")" = "$want" ] || { bad=$((bad + 1)); echo "other weights at the end, kill $i"; }
        done_runs=$((done_runs + 1))
        rm -rf "$work/run"
    fi
done
echo "$kills kills: $loaded model files loaded, $resumed checkpoints continued, $done_runs runs finished in pieces, $bad bad"
[ "$bad" = 0 ]
