# Where the program looks for its data, and what `cmake --install` puts where. The man page
# and the completions are written by the program itself from its command tables.
target_compile_definitions(atn_datasets PRIVATE
  ATN_DATA_INSTALLED="${CMAKE_INSTALL_FULL_DATADIR}/attnscope"
  ATN_DATA_SOURCE="${PROJECT_SOURCE_DIR}")

set(ATN_GENERATED ${PROJECT_BINARY_DIR}/generated/doc)
file(MAKE_DIRECTORY ${ATN_GENERATED})
add_custom_command(TARGET attnscope POST_BUILD
  COMMAND attnscope help --man > ${ATN_GENERATED}/attnscope.1
  COMMAND attnscope help --completion bash > ${ATN_GENERATED}/attnscope.bash
  COMMAND attnscope help --completion zsh > ${ATN_GENERATED}/_attnscope
  COMMAND attnscope help --completion fish > ${ATN_GENERATED}/attnscope.fish
  COMMENT "Writing the man page and the shell completions" VERBATIM)

install(TARGETS attnscope RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${ATN_GENERATED}/attnscope.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${ATN_GENERATED}/attnscope.bash RENAME attnscope
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${ATN_GENERATED}/_attnscope
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${ATN_GENERATED}/attnscope.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(DIRECTORY datasets/tinytales/model
  DESTINATION ${CMAKE_INSTALL_DATADIR}/attnscope/datasets/tinytales)
install(FILES datasets/tinytales/sample.txt
  DESTINATION ${CMAKE_INSTALL_DATADIR}/attnscope/datasets/tinytales)
install(FILES python/attnscope_capture.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/attnscope/python)
install(FILES README.md CHANGELOG.md CONTRIBUTING.md LICENSE
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
# as in the source tree, so that links between the documents hold
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
