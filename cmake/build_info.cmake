# cmake/build_info.cmake -- what the run record says of the program itself: generated/core/build_info.h, looked at on every
# build and rewritten only when the commit or the flags have changed.
#
# As a script (cmake -P) it writes the file; included, it adds the target that does.
if(CMAKE_SCRIPT_MODE_FILE)
  set(commit "none: not built from a git checkout")
  find_program(GIT git)
  if(GIT AND EXISTS ${ROOT}/.git)
    execute_process(COMMAND ${GIT} -C ${ROOT} describe --always --abbrev=12 --dirty --exclude=*
      OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed)
      set(commit ${found})
    endif()
  endif()
  string(REPLACE "\"" "'" flags "${FLAGS}")
  string(REGEX REPLACE " *-f[a-z]+-prefix-map=[^ ]*" "" flags "${flags}") # names the build's folder
  set(text "#define ATN_GIT_COMMIT \"${commit}\"\n#define ATN_BUILD_FLAGS \"${flags}\"\n")
  if(EXISTS ${OUT})
    file(READ ${OUT} old)
  endif()
  if(NOT "${old}" STREQUAL "${text}")
    file(WRITE ${OUT} "${text}")
  endif()
  return()
endif()

string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
add_custom_target(atn_build_info
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR}
    -DOUT=${PROJECT_BINARY_DIR}/generated/core/build_info.h
    "-DFLAGS=${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION} ${CMAKE_SYSTEM_PROCESSOR} ${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}}"
    -P ${PROJECT_SOURCE_DIR}/cmake/build_info.cmake
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/core/build_info.h VERBATIM
  COMMENT "Looking at the commit and the flags")
