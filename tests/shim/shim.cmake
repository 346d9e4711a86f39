# The host shim: a libcuda.so.1 that runs the kernels on the CPU, and libcublas.so beside it.
# Tests named *_shim run with it in front of the real libraries.
include(CheckLanguage)
check_language(CXX)
set(ATN_SHIM_DIR ${CMAKE_CURRENT_BINARY_DIR}/shim)
if(NOT CMAKE_CXX_COMPILER)
  message(STATUS "no C++ compiler: the tests of the GPU kernels on the host are left out")
  return()
endif()
enable_language(CXX)
file(GLOB ATN_SHIM_KERNELS CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/core/kernels/cuda/*.cu)
add_library(atn_shim SHARED ${CMAKE_CURRENT_SOURCE_DIR}/shim/driver.cpp
  ${CMAKE_CURRENT_SOURCE_DIR}/shim/fibres.cpp ${CMAKE_CURRENT_SOURCE_DIR}/shim/kernels.cpp
  ${ATN_SHIM_KERNELS})
set_source_files_properties(${ATN_SHIM_KERNELS} PROPERTIES LANGUAGE CXX
  COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/shim/cuda_shim.h;-Wno-unknown-pragmas")
set_target_properties(atn_shim PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON
  CXX_VISIBILITY_PRESET hidden OUTPUT_NAME cuda SUFFIX .so.1
  LIBRARY_OUTPUT_DIRECTORY ${ATN_SHIM_DIR})
target_include_directories(atn_shim PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(atn_shim PRIVATE -Wall -Wextra -Wshadow -Wconversion
  $<$<BOOL:${ATN_WERROR}>:-Werror>
  $<$<BOOL:${ATN_SANITIZE}>:-fsanitize=address,undefined -fno-omit-frame-pointer>)
target_link_options(atn_shim PRIVATE
  $<$<BOOL:${ATN_SANITIZE}>:-fsanitize=address,undefined>)
add_custom_command(TARGET atn_shim POST_BUILD COMMAND ${CMAKE_COMMAND} -E create_symlink
  libcuda.so.1 ${ATN_SHIM_DIR}/libcublas.so.13)

# atn_on_shim(test...): these tests run with the shim in front
function(atn_on_shim)
  set_property(TEST ${ARGN} APPEND PROPERTY ENVIRONMENT
    "LD_LIBRARY_PATH=${ATN_SHIM_DIR}" "ATN_TEST_DEVICE=shim")
endfunction()

add_test(NAME core/backends_shim COMMAND test_core_backends)
add_test(NAME core/sparse_attention_shim COMMAND test_core_sparse_attention)
add_test(NAME capture/parity_shim COMMAND test_capture_parity)
set_tests_properties(core/backends_shim core/sparse_attention_shim capture/parity_shim
  PROPERTIES TIMEOUT 600)
atn_on_shim(core/backends_shim core/sparse_attention_shim capture/parity_shim)
if(ATN_BENCH) # its numbers mean nothing here; that it runs does
  add_test(NAME bench/cuda_shim COMMAND bench_cuda 40 16 0 bf16)
  set_tests_properties(bench/cuda_shim PROPERTIES TIMEOUT 600
    PASS_REGULAR_EXPRESSION "bf16: copy.*over tiles, a fifth.*rows, columns, diagonals, blocks.*above queries and keys")
  atn_on_shim(bench/cuda_shim)
endif()
