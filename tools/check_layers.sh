#!/bin/sh
# Fails when a file includes what its room must not see. The table below is the whole rule: a room,
# then the rooms of src/ whose headers it may include besides its own. "public" stands for
# <lenslet/...>, which every room may include unless its line says otherwise.
# Usage: tools/check_layers.sh [ROOT]
# SPDX-License-Identifier: Apache-2.0
root=${1:-.}
cd "$root" || exit 2

table='
base
tensor   base
kern     base
op       base tensor kern
signal   base tensor kern
format   base tensor
data     base tensor format
figure   base tensor format
net      base tensor kern op format
explain  base tensor kern op net
train    base tensor kern op net data format
'
# These stand on the public headers alone.
public_only='zoo cli explorer examples'

# file:line:header of every quoted include, and of every <lenslet/..> one.
includes() {
    find "$@" -name '*.[ch]' -exec \
        grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' {} + 2>/dev/null |
        sed -E 's/^([^:]*):([0-9]+):[^"<]*["<]([^">]*)[">].*/\1:\2:\3/'
}

{
    if [ -d src ]; then
        includes src | awk -F: -v table="$table" '
            BEGIN {
                rows = split(table, row, "\n")
                for (i = 1; i <= rows; i++) {
                    words = split(row[i], word, " ")
                    if (!words) continue
                    known[word[1]] = 1
                    for (j = 1; j <= words; j++) may[word[1], word[j]] = 1
                }
            }
            {
                split($1, part, "/")
                room = part[2]
                if (!(room in known)) {
                    if (!told[room]++) print $1 ": the room \"" room "\" is not in the table"
                    next
                }
                if ($3 !~ /\//) next # a system header
                split($3, target, "/")
                if (target[1] in known && !((room, target[1]) in may))
                    print $1 ":" $2 ": " room " must not include \"" $3 "\""
                if ($3 ~ /^\.\.?\// || target[1] ~ /^(cli|zoo|explorer|tests)$/)
                    print $1 ":" $2 ": \"" $3 "\" leaves src/"
                # An instruction set has a name only inside kern.
                if (room != "kern" && $3 ~ /^kern\/(x86|arm|scalar|vec|body)\//)
                    print $1 ":" $2 ": " room " must not include \"" $3 "\""
            }'
        # op never names an instruction set, outside comments.
        grep -rnEi '\b(avx2|avx512|sse[0-9]|neon)\b' src/op 2>/dev/null |
            grep -vE '^[^:]*:[^:]*:[[:space:]]*(/\*|\*)' |
            sed 's/^\([^:]*:[^:]*\):.*/\1: op must not name an instruction set/'
        # Intrinsics and other extensions belong to kern; base reads the floating-point mode.
        grep -rnE '#[[:space:]]*include[[:space:]]*<(immintrin|arm_neon)\.h>' src 2>/dev/null |
            grep -v '^src/kern/' | sed 's/^\([^:]*:[^:]*\):.*/\1: intrinsics belong to src\/kern/'
    fi
    for room in $public_only; do
        [ -d "$room" ] || continue
        includes "$room" | awk -F: -v room="$room" '
            $3 ~ /^(base|tensor|kern|op|net|train|data|format|signal|explain|figure|dist)\// ||
            $3 ~ /(^|\/)src\// { print $1 ":" $2 ": " room " sees public headers only, not \"" $3 "\"" }'
    done
    [ -d include ] && includes include | awk -F: '
        $3 ~ /\// && $3 !~ /^lenslet\// { print $1 ":" $2 ": a public header must not include \"" $3 "\"" }'
} >"${TMPDIR:-/tmp}/layers.$$"
trap 'rm -f "${TMPDIR:-/tmp}/layers.$$"' EXIT

if [ -s "${TMPDIR:-/tmp}/layers.$$" ]; then
    cat "${TMPDIR:-/tmp}/layers.$$" >&2
    exit 1
fi
echo "layers: every include points the right way"
