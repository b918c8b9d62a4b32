#!/bin/sh
# The C example in both READMEs is examples/first.c, which the tests compile and run.
# Usage: tools/check_readme.sh [ROOT]
# SPDX-License-Identifier: Apache-2.0
cd "${1:-.}" || exit 2
status=0
for readme in README.md README.zh-CN.md; do
    sed -n '/^```c$/,/^```$/p' $readme | grep -v '^```' >"${TMPDIR:-/tmp}/readme.$$"
    if ! sed -n '/^#include/,$p' examples/first.c | diff - "${TMPDIR:-/tmp}/readme.$$"; then
        echo "$readme: the example differs from examples/first.c" >&2
        status=1
    fi
    rm -f "${TMPDIR:-/tmp}/readme.$$"
done
exit $status
