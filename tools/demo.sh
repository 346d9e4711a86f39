#!/bin/sh
# tools/demo.sh -- from a fresh clone to a report: packages, release build, attnscope demo.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The program is left at build/release/attnscope, the report at build/demo/index.html.
set -eu
. "$(dirname -- "$0")/setup.sh"

need_packages $build_packages
mkdir -p "$root/build"
tests=OFF # once tools/test.sh has been here, the tests stay configured
if [ -f "$build/CMakeCache.txt" ]; then
    tests=$(sed -n 's/^ATN_TESTS:BOOL=//p' "$build/CMakeCache.txt")
fi
say "Building attnscope (the first time takes a minute or two) ..."
configure -DCMAKE_BUILD_TYPE=Release "-DATN_TESTS=${tests:-OFF}"
compile attnscope
"$build/attnscope" demo -o "$root/build/demo" --force
say ""
say "Report:  $root/build/demo/index.html"
say "Program: $build/attnscope"
