# What `cmake --install` puts where: headers, both libraries, pkg-config and CMake package files, the
# program with its man page and completion.
# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS ${lenslet_libraries} EXPORT lenslet-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lenslet)
install(EXPORT lenslet-targets NAMESPACE lenslet:: DESTINATION ${cmake_dir})
configure_package_config_file(cmake/lenslet-config.cmake.in lenslet-config.cmake INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(lenslet-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lenslet-config.cmake ${PROJECT_BINARY_DIR}/lenslet-config-version.cmake
        DESTINATION ${cmake_dir})

# Relative to the file itself, so that the tree may be installed or moved anywhere.
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/lenslet.pc.in lenslet.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lenslet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)

if(TARGET lenslet_program)
  install(TARGETS lenslet_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # The program prints its own manual and completion, from the table that also parses its options.
  if(NOT CMAKE_CROSSCOMPILING)
    set(printed ${PROJECT_BINARY_DIR}/printed)
    file(MAKE_DIRECTORY ${printed})
    add_custom_command(
      OUTPUT ${printed}/lenslet.1 ${printed}/lenslet.bash ${printed}/_lenslet ${printed}/lenslet.fish
      COMMAND lenslet_program help --man > ${printed}/lenslet.1
      COMMAND lenslet_program help --completion bash > ${printed}/lenslet.bash
      COMMAND lenslet_program help --completion zsh > ${printed}/_lenslet
      COMMAND lenslet_program help --completion fish > ${printed}/lenslet.fish
      DEPENDS lenslet_program)
    add_custom_target(lenslet_printed ALL DEPENDS ${printed}/lenslet.1)
    install(FILES ${printed}/lenslet.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${printed}/lenslet.bash RENAME lenslet
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${printed}/_lenslet DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(FILES ${printed}/lenslet.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  endif()
endif()
