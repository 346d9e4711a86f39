# tools/layers_selftest.cmake -- the layers check must catch what it is for.
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   cmake -DSCRATCH=<folder to fill> -P tools/layers_selftest.cmake

cmake_minimum_required(VERSION 3.20)

# expect(wanted folder/file include-line): runs the check on a tree of one file.
function(expect wanted file line)
  file(REMOVE_RECURSE ${SCRATCH})
  file(WRITE ${SCRATCH}/${file} "/* a file */\n${line}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${SCRATCH}
    -P ${CMAKE_CURRENT_LIST_DIR}/layers.cmake
    RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE text)
  if((wanted STREQUAL "pass" AND NOT result EQUAL 0) OR
     (wanted STREQUAL "fail" AND result EQUAL 0))
    message(FATAL_ERROR "${file} with ${line} should ${wanted}:\n${text}")
  endif()
endfunction()

expect(pass core/a.c "#include \"core/b.h\"")
expect(fail core/a.c "#include \"viz/b.h\"")
expect(fail core/a.h "  #  include   \"capture/b.h\"")
expect(fail viz/a.c "#include \"analysis/b.h\"")
expect(fail viz/deep/a.c "#include \"capture/b.h\"")
expect(pass capture/a.c "#include \"datasets/b.h\"")
expect(fail datasets/a.c "#include \"capture/b.h\"")
expect(fail theory/a.c "#include \"approx/b.h\"")
expect(pass analysis/a.c "#include \"approx/b.h\"")
expect(fail analysis/a.c "#include \"capture/b.h\"")
expect(fail analysis/a.c "#include \"b.h\"")
expect(fail analysis/a.c "#include <cairo.h>")
expect(fail core/a.c "#include <cairo.h>")
expect(pass viz/a.c "#include <cairo.h>")
expect(pass core/a.c "#include <gsl/gsl_errno.h>")
expect(fail cli/a.c "#include <gsl/gsl_errno.h>")
expect(pass cli/a.c "#include \"viz/b.h\"")
expect(fail bench/a.c "#include \"cli/b.h\"")
expect(pass tests/core/test_a.c "#include \"check.h\"")
message("layers self-test: passed")
