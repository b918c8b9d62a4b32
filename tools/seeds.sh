#!/bin/sh
# Which rows of the specification are proved: runs every test program of a build and the golden tests
# of the program, collects the ids in
# the names of its tests ("[D1][V1] ..."), and prints each of the 248 rows with pass, fail or missing. A
# row passes when a test names it and every test that names it passes.
# Usage: tools/seeds.sh [BUILD] [--logs FOLDER]   (FOLDER: outputs of test programs to read instead)
# SPDX-License-Identifier: Apache-2.0
set -u
build=${1:-build/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/seeds.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT

if [ "${2:-}" = --logs ]; then
    cat "$3"/* >"$work/all"
else
    : >"$work/all"
    found=0
    for program in "$build"/tests/test_* "$build"/tests/kcheck; do
        [ -f "$program" ] && [ -x "$program" ] || continue
        found=1
        "$program" >"$work/one" 2>&1
        echo "[   STATUS ] $? $(basename "$program")" >>"$work/one"
        cat "$work/one" >>"$work/all"
    done
    golden=$(dirname "$0")/../tests/cli/run.sh
    [ -f "$golden" ] && [ -x "$build/lenslet" ] && sh "$golden" "$build/lenslet" >>"$work/all" 2>&1
    if [ $found = 0 ]; then
        echo "seeds: no test programs under $build/tests; run make build first" >&2
        exit 2
    fi
fi

awk '
    BEGIN {
        rooms = split("A7 B14 C9 D30 E17 F10 G23 H14 I19 J23 K6 L20 M11 N8 O8 P7 Q22", room, " ")
        for (r = 1; r <= rooms; r++)
            for (i = 1; i <= substr(room[r], 2) + 0; i++) id[++ids] = substr(room[r], 1, 1) i
    }
    # cmocka: "[       OK ] name", "[  FAILED  ] name" and, for what was skipped, "[  SKIPPED ] name".
    /^\[ *(OK|FAILED|SKIPPED) *\]/ {
        result = $0
        sub(/^\[ */, "", result)
        sub(/ *\].*/, "", result)
        rest = $0
        sub(/^[^]]*\]/, "", rest)
        while (match(rest, /\[[A-Q][0-9]+\]/)) {
            seed = substr(rest, RSTART + 1, RLENGTH - 2)
            if (result == "OK") passed[seed]++
            if (result == "FAILED") failed[seed]++
            rest = substr(rest, RSTART + RLENGTH)
        }
    }
    /^\[   STATUS \]/ && $4 != 0 { broken[$5] = $4 }
    END {
        for (i = 1; i <= ids; i++) {
            s = id[i]
            known[s] = 1
            if (failed[s]) { word = "fail"; fails++ }
            else if (passed[s]) { word = "pass"; passes++ }
            else { word = "missing"; missings++ }
            printf "%-4s %s\n", s, word
        }
        for (s in passed) if (!(s in known)) { print "unknown id in a test name: " s; odd = 1 }
        for (name in broken) print name " ended with status " broken[name]
        printf "%d of %d rows pass, %d fail, %d missing\n", passes, ids, fails, missings
        exit fails || odd
    }' "$work/all"
