# tools/style.cmake -- words that libraries may not use, and the longest functions.
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   cmake -DROOT=<source tree> -P tools/style.cmake
#
# Libraries take memory from the context, log through atn_log, write data to a FILE * or a
# table, and return statuses; so these calls are forbidden outside the short list. Functions
# of more than 60 lines are listed, of more than 200 outside core/kernels fail.

cmake_minimum_required(VERSION 3.20)

if(NOT ROOT)
  message(FATAL_ERROR "style: ROOT is missing: cmake -DROOT=<source tree> -P tools/style.cmake")
endif()

set(banned "printf|puts|putchar|exit|_exit|abort|malloc|calloc|realloc|reallocarray|free|strdup|strndup|rand|srand|drand48|atoi|atol|atof|sprintf|vsprintf|gets|strtok|system|popen")
# file:word pairs that are right: the allocator itself, the end of a broken promise;
# jansson and utf8proc hand out text that is given back with free()
set(allowed core/ctx.c:realloc core/ctx.c:malloc core/ctx.c:free core/ctx.c:abort
  core/run.c:free core/io/safetensors.c:free core/io/json.c:free core/table.c:free
  capture/tokenizer_normalize.c:free
  viz/report.c:free)

set(bad 0)
string(REPLACE "[" "[[]" pattern "${ROOT}") # in a pattern [ begins a set
file(GLOB_RECURSE sources RELATIVE ${ROOT}
  ${pattern}/core/*.c ${pattern}/datasets/*.c ${pattern}/graph/*.c ${pattern}/approx/*.c
  ${pattern}/theory/*.c ${pattern}/simulators/*.c ${pattern}/viz/*.c ${pattern}/capture/*.c
  ${pattern}/analysis/*.c ${pattern}/core/*.h ${pattern}/viz/*.h ${pattern}/capture/*.h
  ${pattern}/analysis/*.h)
foreach(source IN LISTS sources)
  file(STRINGS ${ROOT}/${source} lines
    REGEX "(^|[^A-Za-z0-9_.>])(${banned})[ \t]*\\(")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "//.*|/\\*.*|^[ \t]*\\*.*" "" code "${line}")
    string(REGEX REPLACE "\"([^\"\\\\]|\\\\.)*\"" "\"\"" code "${code}")
    if(code MATCHES "(^|[^A-Za-z0-9_.>])(${banned})[ \t]*\\(")
      if(NOT "${source}:${CMAKE_MATCH_2}" IN_LIST allowed)
        message("${source}: ${CMAKE_MATCH_2}() is not for libraries: ${line}")
        math(EXPR bad "${bad} + 1")
      endif()
    endif()
  endforeach()
endforeach()

find_program(AWK NAMES awk mawk gawk)
if(AWK)
  file(GLOB_RECURSE all RELATIVE ${ROOT} ${pattern}/cli/*.c)
  list(APPEND all ${sources})
  list(FILTER all INCLUDE REGEX "\\.c$")
  if(all)
    execute_process(WORKING_DIRECTORY ${ROOT} OUTPUT_VARIABLE long
      COMMAND ${AWK} "FNR == 1 { open = 0 }
        /^\\{/ { open = FNR; next }
        /^\\}/ && open { n = FNR - open - 1; if (n > 60) print FILENAME \":\" open \": \" n \" lines\"; open = 0 }"
        ${all})
    string(STRIP "${long}" long)
    string(REPLACE "\n" ";" long "${long}")
    foreach(entry IN LISTS long)
      string(REGEX MATCH "([0-9]+) lines" count "${entry}")
      if(CMAKE_MATCH_1 GREATER 200 AND NOT entry MATCHES "^core/kernels/")
        message("too long: ${entry}")
        math(EXPR bad "${bad} + 1")
      else()
        message("long: ${entry}")
      endif()
    endforeach()
  endif()
endif()

if(NOT sources)
  message(FATAL_ERROR "style: no sources under '${ROOT}'")
elseif(bad GREATER 0)
  message(FATAL_ERROR "style: ${bad} places to mend")
endif()
message("style: passed")
