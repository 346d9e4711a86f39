# The tests that are no C program: the tools' checks, the command line, the documentation.

add_test(NAME tools/layers
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -P ${PROJECT_SOURCE_DIR}/tools/layers.cmake)
add_test(NAME tools/layers_selftest
  COMMAND ${CMAKE_COMMAND} -DSCRATCH=${CMAKE_CURRENT_BINARY_DIR}/scratch/layers
          -P ${PROJECT_SOURCE_DIR}/tools/layers_selftest.cmake)
add_test(NAME tools/style
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -P ${PROJECT_SOURCE_DIR}/tools/style.cmake)

# Everything below runs the program through tests/cli/run.sh, which puts it on PATH, makes an
# empty folder, and names the inputs. cli/prepare captures the built-in model once for all.
add_executable(make_dump make_dump.c) # tensors to import, of any size
target_link_libraries(make_dump PRIVATE atn_cli atn_flags)
set(ATN_CLI_SCRATCH ${CMAKE_CURRENT_BINARY_DIR}/scratch/cli)
set(ATN_CLI_RUNNER sh ${CMAKE_CURRENT_SOURCE_DIR}/cli/run.sh
  $<TARGET_FILE:attnscope> ${PROJECT_SOURCE_DIR} ${ATN_CLI_SCRATCH})

function(atn_cli_test name)
  add_test(NAME ${name} COMMAND ${ATN_CLI_RUNNER} ${name} ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
    FIXTURES_REQUIRED cli_run)
endfunction()

atn_cli_test(cli/prepare ${CMAKE_CURRENT_SOURCE_DIR}/cli/prepare.sh)
set_tests_properties(cli/prepare PROPERTIES FIXTURES_SETUP cli_run FIXTURES_REQUIRED "")

# one case a file: command, exit code, expected output (tests/cli/run.sh says more)
file(GLOB ATN_CLI_CASES CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/tests/cli/*.test)
foreach(case ${ATN_CLI_CASES})
  get_filename_component(name ${case} NAME_WE)
  atn_cli_test(cli/${name} ${case})
endforeach()
# longer stories as scripts
file(GLOB ATN_CLI_STORIES CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/tests/cli/story_*.sh)
foreach(story ${ATN_CLI_STORIES})
  get_filename_component(name ${story} NAME_WE)
  atn_cli_test(cli/${name} ${story})
endforeach()

if(TARGET atn_shim)
  set_property(TEST cli/story_device APPEND PROPERTY ENVIRONMENT "ATN_SHIM_DIR=${ATN_SHIM_DIR}")
endif()

# every ```sh run block of the documentation, and every example of --help
file(GLOB_RECURSE ATN_DOCS CONFIGURE_DEPENDS ${ATN_GLOB_ROOT}/docs/*.md)
list(APPEND ATN_DOCS ${PROJECT_SOURCE_DIR}/README.md)
foreach(doc ${ATN_DOCS})
  file(STRINGS ${doc} runnable REGEX "^```sh run")
  if(runnable)
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${doc})
    string(REGEX REPLACE "^docs/|\\.md$" "" name ${name})
    atn_cli_test(docs/${name} ${CMAKE_CURRENT_SOURCE_DIR}/docs/blocks.sh ${doc})
  endif()
endforeach()
atn_cli_test(docs/help_examples ${CMAKE_CURRENT_SOURCE_DIR}/docs/help_examples.sh)
# under the sanitizers it takes long; it begins first, so that others run beside it
set_tests_properties(docs/help_examples PROPERTIES TIMEOUT 900 COST 1000)
atn_cli_test(docs/columns ${CMAKE_CURRENT_SOURCE_DIR}/docs/columns.sh)
atn_cli_test(docs/approx_columns ${CMAKE_CURRENT_SOURCE_DIR}/docs/approx_columns.sh)
atn_cli_test(docs/published_rows ${CMAKE_CURRENT_SOURCE_DIR}/docs/published.sh)
atn_cli_test(docs/links ${CMAKE_CURRENT_SOURCE_DIR}/docs/links.sh)

# under ASan: what the font libraries keep for the life of the process is no leak of ours
get_property(ATN_ALL_TESTS DIRECTORY PROPERTY TESTS)
set_property(TEST ${ATN_ALL_TESTS} APPEND PROPERTY ENVIRONMENT
  "LSAN_OPTIONS=suppressions=${CMAKE_CURRENT_SOURCE_DIR}/lsan.supp:print_suppressions=0")

# what is asked of every method takes a while: in parts, side by side
set_property(TEST approx/contract APPEND PROPERTY ENVIRONMENT "ATN_TEST_PART=0/4")
set_tests_properties(approx/contract PROPERTIES TIMEOUT 600)
foreach(part RANGE 1 3)
  add_test(NAME approx/contract_${part} COMMAND test_approx_contract)
  set_tests_properties(approx/contract_${part} PROPERTIES ENVIRONMENT "ATN_TEST_PART=${part}/4" TIMEOUT 600)
endforeach()

# threads that wait for others sleep: beside other tests they would spin for most of the time
get_property(ATN_ALL_TESTS DIRECTORY PROPERTY TESTS)
set_property(TEST ${ATN_ALL_TESTS} APPEND PROPERTY ENVIRONMENT "OMP_WAIT_POLICY=passive")
