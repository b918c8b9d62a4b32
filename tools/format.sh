#!/bin/sh
# Lays out every C source after .clang-format; with --check it only tells which differ.
# Layout changes between versions of clang-format, so version 14 is asked for first.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 2
tool=$(command -v clang-format-14 || command -v clang-format)
if [ -z "$tool" ]; then
    echo "format: clang-format is not installed" >&2
    exit 2
fi
set -- "${1:-}"
files=$(find include src zoo cli explorer examples tests bench -name '*.[ch]' 2>/dev/null)
if [ "$1" = --check ]; then
    bad=$(for file in $files; do "$tool" --dry-run -Werror "$file" 2>/dev/null || echo "$file"; done)
    [ -z "$bad" ] && exit 0
    echo "format: run make format for:" $bad >&2
    exit 1
fi
"$tool" -i $files
