#!/bin/sh
# The guide says what the programs print: runs every command of docs/guide/en.md ("$ ..." in blocks marked
# console) in an empty folder and compares output and pictures; zh.md must have the same blocks. Every
# number of three digits or more in the prose must occur in a block of its station, years and well-known
# sizes (tools/guide_numbers.txt) apart.
# Usage: tools/check_guide.sh BUILD [--rewrite]   (--rewrite: take over what the programs print and draw)
# SPDX-License-Identifier: Apache-2.0
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd) || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/guide.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
guide=$root/docs/guide status=0

PATH=$build:$build/experiments:$PATH HOME=$work XDG_DATA_HOME=$work LC_ALL=C
LENSLET_ISA=scalar LENSLET_THREADS=2
export PATH HOME XDG_DATA_HOME LC_ALL LENSLET_ISA LENSLET_THREADS
unset LENSLET_DATA

# The guide with what the commands print now.
mkdir "$work/run"
cd "$work/run" || exit 2
block=
while IFS= read -r line; do
    case $block$line in
    '```console') block=1 && printf '%s\n' "$line" ;;
    '1```') block= && printf '%s\n' "$line" ;;
    '1$ '*) printf '%s\n' "$line" && sh -c "${line#??}" </dev/null 2>&1 ;;
    1*) ;; # what an earlier run printed
    *) printf '%s\n' "$line" ;;
    esac
done <"$guide/en.md" >"$work/en.md"

if [ "${2:-}" = --rewrite ]; then
    cp "$work/en.md" "$guide/en.md"
    for picture in $(grep -o '([a-z0-9]*\.svg)' "$work/en.md" | tr -d '()'); do cp "$picture" "$guide/"; done
fi
diff -u "$guide/en.md" "$work/en.md" || status=1

# Pictures inside an SVG depend on zlib's version; all else may not differ.
for picture in $(grep -o '([a-z0-9]*\.svg)' "$work/en.md" | tr -d '()'); do
    for copy in "$guide/$picture" "$picture"; do
        sed 's/data:image\/png;base64,[^"]*//g' "$copy" >"$work/$(dirname "$copy" | wc -c).svg"
    done
    cmp "$work/$(dirname "$guide/$picture" | wc -c).svg" "$work/2.svg" || status=1
done

blocks() { sed -n '/^```console$/,/^```$/p' "$1"; }
blocks "$guide/en.md" >"$work/en.blocks"
blocks "$guide/zh.md" | diff -u "$work/en.blocks" - || { echo "zh.md: other commands than en.md" >&2; status=1; }

for page in en zh; do
    awk -v page="$page.md" -v known="$root/tools/guide_numbers.txt" '
        BEGIN { while ((getline line < known) > 0) { split(line, w, " "); if (w[1] !~ /^#/) fine[w[1]] = 1 } }
        /^```/ { inside = !inside; next }
        inside { gsub(/,/, "", $0); printed = printed " " $0; next }
        {
            rest = $0
            while (match(rest, /[0-9][0-9.,]*[0-9]/)) {
                number = substr(rest, RSTART, RLENGTH)
                rest = substr(rest, RSTART + RLENGTH)
                gsub(/,/, "", number)
                if (length(number) >= 3) prose[number] = NR
            }
        }
        END {
            for (n in prose) if (index(printed, n) == 0 && !(n in fine)) {
                print page ":" prose[n] ": " n " is in no output"
                bad = 1
            }
            exit bad
        }' "$guide/$page.md" || status=1
done
[ $status = 0 ] && echo "guide: every command says what it says there"
exit $status
