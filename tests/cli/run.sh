#!/bin/sh
# tests/cli/run.sh PROGRAM SOURCE SCRATCH NAME CASE [ARGUMENT...] -- runs one case.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# CASE is a .test file of three lines - a command for sh, the exit code, an extended regular
# expression that the output (stdout and stderr together) must match; an empty one means no
# output - or a script. It runs in an empty folder with attnscope and make_dump on PATH and
#
#   MODEL  the built-in model          STORY  a text for it
#   RUN    a finished capture of both  SRC    the source tree, FIX its tests/fixtures
#
# RUN is shared: a case that changes a capture copies it first. No case may leave a
# half-written file (*.part-*) behind. 77 = skipped.
set -u
program=$1 SRC=$2 scratch=$3 name=$4 case=$5
shift 5

PATH=$(dirname -- "$program"):$(dirname -- "$program")/tests:$PATH
FIX=$SRC/tests/fixtures
MODEL=$SRC/datasets/tinytales/model
STORY=$SRC/datasets/tinytales/sample.txt
RUN=$scratch/shared/run
LC_ALL=C
export PATH SRC FIX MODEL STORY RUN LC_ALL
unset ATTNSCOPE_DATA

place=$scratch/$name
rm -rf "$place"
mkdir -p "$place"
cd "$place" || exit 1

leftovers() {
    left=$(find "$place" -name '*.part-*')
    [ -z "$left" ] || {
        printf 'half-written files are left: %s\n' "$left"
        exit 1
    }
}

case $case in
*.test)
    command=$(sed -n 1p "$case")
    wanted=$(sed -n 2p "$case")
    pattern=$(sed -n 3p "$case")
    sh -c "$command" >output 2>&1 </dev/null
    got=$?
    [ "$got" -eq 77 ] && [ "$wanted" != 77 ] && { cat output; exit 77; }
    printf '$ %s\n' "$command"
    cat output
    printf -- '-- exit %s, wanted %s, output wanted: %s\n' "$got" "$wanted" "$pattern"
    [ "$got" = "$wanted" ] || exit 1
    if [ -z "$pattern" ]; then
        [ ! -s output ] || exit 1
    else
        tr '\n' ' ' <output | grep -Eq -- "$pattern" || exit 1
    fi
    ;;
*)
    sh -eu "$case" "$@" </dev/null
    got=$?
    [ "$got" -eq 0 ] || exit "$got"
    ;;
esac
leftovers
