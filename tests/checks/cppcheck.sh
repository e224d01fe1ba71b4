#!/bin/bash
# cppcheck over src/; what it may not say is switched off beside the line it is wrong about.
# readdir() is safe on a DIR of one's own, and readdir_r() is the deprecated one.
set -eu
cd "$(dirname "$0")/../.."
exec cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
    --error-exitcode=1 --suppress=missingIncludeSystem --suppress=readdirCalled \
    --library=posix -D__GNUC__=12 -Iinclude -Ibuild/gen -j2 src
