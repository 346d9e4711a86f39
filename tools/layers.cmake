# tools/layers.cmake -- which folder may include what; any other arrow fails.
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   cmake -DROOT=<source tree> -P tools/layers.cmake
#
# Reads the #include lines of every .c, .h, .cu and .def file. A quoted include names a
# folder of the tree; an angled one is the C library, POSIX, or a library that this folder
# may stand on.

cmake_minimum_required(VERSION 3.20)

set(folders core datasets graph approx theory simulators viz capture analysis cli)
set(low graph approx theory simulators)

set(may_core core)
set(may_datasets core datasets)
foreach(folder IN LISTS low)
  set(may_${folder} core ${folder})
endforeach()
set(may_viz core viz)
set(may_capture core datasets capture)
set(may_analysis core ${low} analysis)
set(may_cli ${folders})
set(may_tests ${folders} tests)
set(may_bench ${folders} bench)
list(REMOVE_ITEM may_bench cli)

# outside libraries, as regular expressions over the name between the angle brackets
set(libc "^((assert|ctype|dlfcn|errno|float|inttypes|limits|locale|math|complex|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|time|wchar|wctype)\\.h|(argp|dirent|fcntl|fenv|ftw|glob|libgen|poll|sched|spawn|unistd|termios|immintrin|cpuid)\\.h|sys/(ioctl|mman|resource|stat|time|types|utsname|wait|statvfs|file|random)\\.h)$")
set(lib_core "^(omp|cblas|lapacke|csv|jansson|xxhash|zlib|cuda|cuda_runtime|cublas_v2|cuda_fp16|cuda_bf16)\\.h$|^gsl/")
# jansson is part of core's interface (core/io/json.h), so those above may name it too
set(lib_viz "^cairo(-[a-z]+)?\\.h$|^cairo/|^pango/")
set(lib_capture "^(jansson|pcre2|utf8proc|png|pthread)\\.h$")
set(lib_analysis "^jansson\\.h$")
set(lib_cli "^(jansson|mpi)\\.h$")
set(lib_tests ".")
set(lib_bench ".")

set(bad 0)
string(REPLACE "[" "[[]" pattern "${ROOT}") # in a pattern [ begins a set
set(seen 0)
foreach(folder IN LISTS folders ITEMS tests bench)
  file(GLOB_RECURSE sources ${pattern}/${folder}/*.c ${pattern}/${folder}/*.h
    ${pattern}/${folder}/*.cu ${pattern}/${folder}/*.cuh
    ${pattern}/${folder}/*.cpp ${pattern}/${folder}/*.def)
  foreach(source IN LISTS sources)
    file(STRINGS ${source} lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
    file(RELATIVE_PATH name ${ROOT} ${source})
    foreach(line IN LISTS lines)
      math(EXPR seen "${seen} + 1")
      if(line MATCHES "\"([^\"]*)\"")
        set(target ${CMAKE_MATCH_1})
        string(REGEX REPLACE "/.*" "" top "${target}")
        if(folder STREQUAL "tests" AND NOT target MATCHES "/")
          continue()
        endif()
        if(NOT top IN_LIST may_${folder})
          string(REPLACE ";" ", " allowed "${may_${folder}}")
          message("${name}: \"${target}\" - ${folder} may include only: ${allowed}")
          math(EXPR bad "${bad} + 1")
        endif()
      elseif(line MATCHES "<([^>]*)>")
        set(target ${CMAKE_MATCH_1})
        if(target MATCHES "${libc}")
          continue()
        endif()
        if(NOT DEFINED lib_${folder} OR NOT target MATCHES "${lib_${folder}}")
          message("${name}: <${target}> - no library that ${folder} stands on")
          math(EXPR bad "${bad} + 1")
        endif()
      endif()
    endforeach()
  endforeach()
endforeach()

if(seen EQUAL 0)
  message(FATAL_ERROR "layers: no #include line found under '${ROOT}'")
elseif(bad GREATER 0)
  message(FATAL_ERROR "layers: ${bad} of ${seen} #include lines are forbidden arrows")
endif()
message("layers: ${seen} #include lines, all allowed")
