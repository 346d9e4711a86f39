# cmake/embed.cmake -- files of simulators/ as arrays of the program (simulators/embedded.h):
# generated/simulators/embedded.c, rewritten when one of them changes.
#
# As a script (cmake -P) it writes the file; included, it adds the rule that does.
if(CMAKE_SCRIPT_MODE_FILE)
  set(text "/* written by cmake/embed.cmake */\n#include \"simulators/embedded.h\"\n\n")
  set(table "")
  set(i 0)
  string(REPLACE "|" ";" files "${FILES}")
  foreach(file IN LISTS files)
    file(READ ${ROOT}/simulators/${file} hex HEX)
    string(LENGTH "${hex}" size)
    math(EXPR size "${size} / 2")
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    get_filename_component(folder ${file} DIRECTORY)
    get_filename_component(id ${file} NAME_WLE)
    string(APPEND text "static const unsigned char file_${i}[] = {\n${hex}0};\n\n")
    string(APPEND table "    {\"${folder}\", \"${id}\", \"simulators/${file}\", (const char *)file_${i}, ${size}},\n")
    math(EXPR i "${i} + 1")
  endforeach()
  string(APPEND text "const atn_embedded atn_embedded_files[] = {\n${table}    {0, 0, 0, 0, 0},\n};\n")
  file(WRITE ${OUT} "${text}")
  return()
endif()

file(GLOB atn_embedded CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/simulators
  ${ATN_GLOB_ROOT}/simulators/devices/*.json ${ATN_GLOB_ROOT}/simulators/kernels/*.json
  ${ATN_GLOB_ROOT}/simulators/published/*.csv)
# by id: a100 before a100-40gb
list(TRANSFORM atn_embedded REPLACE "\\.([a-z]+)$" "!\\1")
list(SORT atn_embedded)
list(TRANSFORM atn_embedded REPLACE "!([a-z]+)$" ".\\1")
list(TRANSFORM atn_embedded PREPEND ${PROJECT_SOURCE_DIR}/simulators/ OUTPUT_VARIABLE atn_embedded_paths)
string(REPLACE ";" "|" atn_embedded_list "${atn_embedded}")
add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/generated/simulators/embedded.c
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} "-DFILES=${atn_embedded_list}"
    -DOUT=${PROJECT_BINARY_DIR}/generated/simulators/embedded.c -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${atn_embedded_paths} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM
  COMMENT "Embedding devices and kernels")
