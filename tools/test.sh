#!/bin/sh
# tools/test.sh -- the same set-up as demo.sh, then the whole test suite.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Arguments go to ctest, as in: sh tools/test.sh -R cli
set -eu
. "$(dirname -- "$0")/setup.sh"

need_packages $build_packages libcmocka-dev g++
mkdir -p "$root/build"
say "Building attnscope and its tests (the first time takes a few minutes) ..."
configure -DCMAKE_BUILD_TYPE=Release -DATN_TESTS=ON
compile
grep -E 'CUDA [0-9]|GPU kernels' "$root/build/configure.log" 2>/dev/null | sed 's/^-- //' || true
cd "$build"
log=$root/build/test.log
code=0
ctest --output-on-failure --no-tests=error --output-log "$log" \
    -j "$(getconf _NPROCESSORS_ONLN)" "$@" </dev/null || code=$?
# the closing line once more, for ctest lists skipped tests below its own
grep 'tests passed, .* failed out of' "$log" || say "ctest ended with $code"
exit "$code"
