#!/bin/sh
# Runs every fuzzer of a fuzz build in rounds, two at a time, and prints the executions of each and
# their sum. What is found lies under BUILD/soak: NAME/ the grown corpus, crash-*, timeout-* and oom-*
# inputs to mend; a second call goes on from there. Fails if any fuzzer did.
# Usage: tests/fuzz/soak.sh [MINUTES [BUILD [NAME...]]]      (10, build/fuzz, all: onnx, pth, image, ...)
# SPDX-License-Identifier: Apache-2.0
set -u
minutes=${1:-10}
build=$(cd "${2:-build/fuzz}" && pwd) || exit 2
corpus=$(cd "$(dirname "$0")/corpus" && pwd) || exit 2
if [ $# -gt 2 ]; then
    shift 2
    fuzzers=$*
    for name; do
        [ -x "$build/tests/fuzz/fuzz_$name" ] || {
            echo "soak: no fuzzer called $name in $build/tests/fuzz" >&2
            exit 2
        }
    done
else
    fuzzers=$(cd "$build/tests/fuzz" && find . -name 'fuzz_*' -type f -perm -u+x | sed 's/.*fuzz_//' | sort)
fi
mkdir -p "$build/soak" && cd "$build/soak" || exit 2
rm -f ./*.log
end=$(($(date +%s) + 60 * minutes))

# A round is short, so that an interrupted soak has reached every fuzzer. The limit for one input is
# wall-clock time, and a soak runs at low priority: long.
round() {
    printf '%s\n' $fuzzers | xargs -P 2 -I NAME sh -c 'mkdir -p NAME && "$0/tests/fuzz/fuzz_NAME" -max_total_time=30 \
        -timeout=120 -print_final_stats=1 -artifact_prefix=./NAME- NAME "$1/NAME" >>NAME.log 2>&1' "$build" "$corpus"
}

totals() {
    trap - EXIT
    awk '
        FNR == 1 { name = FILENAME; gsub(/^\.\/|\.log$/, "", name); count[name] = 0 }
        /^stat::number_of_executed_units:/ { count[name] += $2; sum += $2 }
        /^SUMMARY:/ { print name ": " $0; bad = 1 }
        END {
            for (name in count) printf "%-12s %12d\n", name, count[name]
            printf "%-12s %12d\n", "all", sum
            exit bad
        }' ./*.log
}
trap 'totals; exit' EXIT
trap 'exit' INT TERM

while [ "$(date +%s)" -lt $end ]; do round; done
