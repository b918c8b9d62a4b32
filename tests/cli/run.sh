#!/bin/sh
# Golden tests of the program: runs every case (*.case, shell) in an empty folder of its own and
# compares what it shows with NAME.expected. What cannot be the same everywhere (decimals, hashes,
# speeds, memory) is shown as #; the runs use the scalar level and two threads.
# Usage: tests/cli/run.sh PROGRAM [--rewrite] [CASE...]
# SPDX-License-Identifier: Apache-2.0
set -u
here=$(cd "$(dirname "$0")" && pwd)
LENSLET=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
rewrite=
if [ "${1:-}" = --rewrite ]; then
    rewrite=1
    shift
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/lenslet-cli.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT

unset LENSLET_DATA LENSLET_THREADS
export LENSLET work
export LENSLET_ISA=scalar LENSLET_THREADS=2 LC_ALL=C HOME="$work" XDG_DATA_HOME="$work" TERM=dumb

cat >"$work/functions" <<'END'
hide() {
    sed -E -e 's/[0-9]+\.[0-9]+(e[-+]?[0-9]+)?/#/g' \
        -e 's/[0-9a-f]{32}/#/g' -e 's/^(hash +)[0-9a-f]{16}$/\1#/' \
        -e 's/[0-9,]+ images\/s/# images\/s/' -e 's/(images\/s +)[0-9,#]+/\1#/' \
        -e 's/(  rate )[^ ]+/\1#/' \
        -e 's/("(correct|runs|arena_bytes|train_arena_bytes|resident_bytes)": )[0-9]+/\1#/g' \
        -e 's/[0-9,]+ of 1,000/# of 1,000/' -e 's/of [0-9]+ runs/of # runs/' \
        -e 's/(fastest |median +|GFLOP\/s +)[0-9.e-]+/\1#/g' \
        -e 's/(faults +)[0-9]+/\1#/' \
        -e 's/# [KMGT]iB/# MiB/g' -e 's/# +/# /g' -e 's/# -$/# #/' -e "s|$work|WORK|g"
}
# One command as it is typed, what it says (stderr marked with "!") and its status if not 0.
t() {
    echo "\$ lenslet $*" | hide
    "$LENSLET" "$@" >"$work/stdout" 2>"$work/stderr"
    status=$?
    hide <"$work/stdout"
    hide <"$work/stderr" | sed 's/^/! /'
    [ $status = 0 ] || echo "-> $status"
}
# The same, but only the keys of the JSON object; fails unless stdout is one line.
keys() {
    t "$@" --json >"$work/shown"
    head -n 1 "$work/shown"
    [ "$(wc -l <"$work/stdout")" = 1 ] || echo "stdout is not one line"
    grep -o '"[a-z_0-9]*":' "$work/stdout" | tr -d '":' | awk '!seen[$0]++' | paste -sd ' ' -
    grep '^-> ' "$work/shown"
}
END

passed=0 failed=0
[ $# -gt 0 ] || set -- "$here"/*.case
for case in "$@"; do
    name=$(basename "$case" .case)
    mkdir "$work/$name"
    printf '[ RUN      ] cli: %s\n' "$name"
    (cd "$work/$name" && . "$work/functions" && . "$here/$name.case") >"$work/$name.out" 2>&1
    if [ $rewrite ]; then
        cp "$work/$name.out" "$here/$name.expected"
    fi
    if diff -u "$here/$name.expected" "$work/$name.out"; then
        passed=$((passed + 1))
        printf '[       OK ] cli: %s\n' "$name"
    else
        failed=$((failed + 1))
        printf '[  FAILED  ] cli: %s\n' "$name"
    fi
done
echo "cli: $passed passed, $failed failed"
[ $failed = 0 ]
