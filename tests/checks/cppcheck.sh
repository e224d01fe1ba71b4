#!/bin/bash
# cppcheck over src/; what it may not say is switched off beside the line it is wrong about.
set -eu
cd "$(dirname "$0")/../.."
exec cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
    --error-exitcode=1 --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
    --library=posix -D__GNUC__=12 -Iinclude -Ibuild/gen -j2 src
