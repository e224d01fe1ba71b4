#!/bin/bash
# clang-tidy over the files that are named, told what the compiler is told.
set -eu
cd "$(dirname "$0")/../.."
read -r -a flags <<<"$(env -u MAKEFLAGS make --no-print-directory -s CC=clang-14 cflags)"
exec clang-tidy-14 --quiet "$@" -- "${flags[@]}" -include include/banned.h
