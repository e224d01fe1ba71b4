#!/bin/bash
# clang-tidy over the files that are named, told what the compiler is told.
set -eu
cd "$(dirname "$0")/../.."
read -r -a flags <<<"$(env -u MAKEFLAGS make --no-print-directory -s CC=clang-14 cflags)"
failed=0
for file in "$@"; do
    told=(-include include/banned.h)
    # err.c defines what analyzer.h speaks about.
    if [ "$file" != src/base/err.c ]; then
        told+=(-include tests/checks/analyzer.h)
    fi
    clang-tidy-14 --quiet "$file" -- "${flags[@]}" "${told[@]}" 2>/dev/null || failed=1
done
exit $failed
