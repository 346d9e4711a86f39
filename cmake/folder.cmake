# atn_folder(name [EXECUTABLE program] DEPENDS targets...): every .c file of a folder becomes
# the library atn_<name>, or the program. The link lists are the layers: a folder can only
# reach what is named here (the check of #include lines is tools/layers.cmake).
add_library(atn_flags INTERFACE)
target_compile_options(atn_flags INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  $<$<C_COMPILER_ID:Clang>:-Wno-enum-float-conversion> # constants are enums here
  $<$<BOOL:${ATN_WERROR}>:-Werror>
  $<$<NOT:$<BOOL:${ATN_COVERAGE}>>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>
  $<$<BOOL:${ATN_SANITIZE}>:-fsanitize=address,undefined -fno-omit-frame-pointer>
  $<$<BOOL:${ATN_COVERAGE}>:--coverage>)
target_link_options(atn_flags INTERFACE
  $<$<BOOL:${ATN_SANITIZE}>:-fsanitize=address,undefined>
  $<$<BOOL:${ATN_COVERAGE}>:--coverage>)
target_compile_definitions(atn_flags INTERFACE _GNU_SOURCE
  $<$<BOOL:${ATN_SANITIZE}>:ATN_SANITIZE=1>)
target_include_directories(atn_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)

function(atn_folder name)
  cmake_parse_arguments(arg "" "EXECUTABLE" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/${name}/*.c)
  if(arg_EXECUTABLE)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    add_library(atn_${name} STATIC ${sources})
    add_executable(${arg_EXECUTABLE} ${PROJECT_SOURCE_DIR}/${name}/main.c)
    target_link_libraries(${arg_EXECUTABLE} PRIVATE atn_${name} atn_flags)
    set_target_properties(${arg_EXECUTABLE} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  else()
    add_library(atn_${name} STATIC ${sources})
  endif()
  target_link_libraries(atn_${name} PUBLIC ${arg_DEPENDS} PRIVATE atn_flags)
endfunction()
