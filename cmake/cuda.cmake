# cmake/cuda.cmake -- the GPU kernels: every .cu file through nvcc into one image with code for
# several architectures, embedded into the library. The program needs neither toolkit nor driver
# to run: both are looked for at run time.
#
# ATN_CUDA=AUTO takes nvcc where it is found, ON requires it, OFF builds without kernels.
set(ATN_CUDA AUTO CACHE STRING "GPU kernels: AUTO, ON or OFF")
set_property(CACHE ATN_CUDA PROPERTY STRINGS AUTO ON OFF)

if(NOT ATN_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "ATN_CUDA=${ATN_CUDA} is none of AUTO, ON and OFF")
endif()

set(ATN_CUDA_WANTED 80 86 89 90 90a 100)
set(cuda_dir ${PROJECT_BINARY_DIR}/generated/cuda)
set(cuda_images "")
set(cuda_architectures "")
file(GLOB cuda_sources CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/core/kernels/cuda/*.cu)

if(NOT ATN_CUDA STREQUAL "OFF")
  find_program(ATN_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin)
  if(NOT ATN_NVCC AND ATN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ATN_CUDA=ON, but there is no nvcc on PATH, in CUDA_HOME or in /usr/local/cuda")
  endif()
endif()

if(NOT ATN_CUDA STREQUAL "OFF" AND ATN_NVCC)
  execute_process(COMMAND ${ATN_NVCC} --version OUTPUT_VARIABLE version)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" version "${version}")
  set(version ${CMAKE_MATCH_1})
  execute_process(COMMAND ${ATN_NVCC} --list-gpu-code OUTPUT_VARIABLE listed ERROR_QUIET)
  string(REGEX MATCHALL "sm_[0-9a-z]+" listed "${listed}")
  set(flags "")
  set(missing "")
  # --list-gpu-code leaves out variants such as sm_90a that nvcc nevertheless builds
  file(WRITE ${cuda_dir}/probe.cu "")
  foreach(arch IN LISTS ATN_CUDA_WANTED)
    if(NOT "sm_${arch}" IN_LIST listed AND arch MATCHES "[a-z]$")
      execute_process(COMMAND ${ATN_NVCC} -cubin -gencode arch=compute_${arch},code=sm_${arch}
        -o ${cuda_dir}/probe.cubin ${cuda_dir}/probe.cu OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE refused)
      if(refused EQUAL 0)
        list(APPEND listed "sm_${arch}")
      endif()
    endif()
    if("sm_${arch}" IN_LIST listed)
      list(APPEND flags -gencode arch=compute_${arch},code=sm_${arch})
      string(APPEND cuda_architectures "sm_${arch} ")
    else()
      string(APPEND missing " sm_${arch}")
    endif()
  endforeach()
  # other and later GPUs compile this when they first run it
  list(APPEND flags -gencode arch=compute_80,code=compute_80)
  string(APPEND cuda_architectures "compute_80")
  message(STATUS "CUDA ${version} (${ATN_NVCC}): kernels for ${cuda_architectures}")
  if(missing)
    message(STATUS "CUDA ${version} does not list, so not built:${missing}")
  endif()
  file(GLOB cuda_headers CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/core/kernels/cuda/*.cuh
    ${ATN_GLOB_ROOT}/core/kernels/cuda/*.h ${ATN_GLOB_ROOT}/core/row_values_needs.h)
  foreach(source IN LISTS cuda_sources)
    get_filename_component(name ${source} NAME_WE)
    add_custom_command(OUTPUT ${cuda_dir}/${name}.fatbin
      COMMAND ${CMAKE_COMMAND} -E make_directory ${cuda_dir}
      COMMAND ${ATN_NVCC} -fatbin -std=c++17 -O3 -I${PROJECT_SOURCE_DIR} ${flags}
        -Werror all-warnings -o ${cuda_dir}/${name}.fatbin ${source}
      DEPENDS ${source} ${cuda_headers} VERBATIM
      COMMENT "nvcc core/kernels/cuda/${name}.cu")
    list(APPEND cuda_images ${name})
  endforeach()
else()
  message(STATUS "GPU kernels are not built (${ATN_CUDA}: no nvcc); --device cuda will say so")
endif()

# One C file holds the images; without nvcc they are empty, and no driver loads them.
set(text "/* made by cmake/cuda.cmake */\n#include \"core/cuda/state.h\"\n")
set(table "")
foreach(name IN LISTS cuda_images)
  string(APPEND text "__asm__(\".section .rodata\\n.balign 64\\n.global atn_image_${name}\\n\"
        \"atn_image_${name}:\\n.incbin \\\"${cuda_dir}/${name}.fatbin\\\"\\n.previous\\n\");
extern const char atn_image_${name}[];\n")
  string(APPEND table "    {\"${name}\", atn_image_${name}},\n")
endforeach()
if(NOT cuda_images)
  foreach(source IN LISTS cuda_sources)
    get_filename_component(name ${source} NAME_WE)
    string(APPEND table "    {\"${name}\", \"\"},\n")
  endforeach()
endif()
string(APPEND text "const atn_cuda_image atn_cuda_images[] = {\n${table}};
const int atn_cuda_n_images = (int)ATN_LEN(atn_cuda_images);
const char atn_cuda_architectures[] = \"${cuda_architectures}\";\n")
file(CONFIGURE OUTPUT ${cuda_dir}/images.c CONTENT "${text}" @ONLY)
foreach(name IN LISTS cuda_images)
  list(APPEND cuda_files ${cuda_dir}/${name}.fatbin)
endforeach()
set_source_files_properties(${cuda_dir}/images.c PROPERTIES OBJECT_DEPENDS "${cuda_files}")
target_sources(atn_core PRIVATE ${cuda_dir}/images.c)
target_link_libraries(atn_core PUBLIC ${CMAKE_DL_LIBS})
