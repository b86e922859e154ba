# What `cmake --install` puts where. Components: core, benchmark, backends (each a library with its headers, its
# CMake target heapgauge::NAME and its heapgauge-NAME.pc) and program; `--component NAME` installs one alone.
include(CMakePackageConfigHelpers)

set(HG_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/heapgauge)
set(HG_DATA_DIR ${CMAKE_INSTALL_DATADIR}/heapgauge)
set(HG_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/scripts)
file(RELATIVE_PATH HG_PREFIX_FROM_PC ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})

# ---- libraries ----

# hg_install_library(NAME FOLDER): libheapgauge_NAME.a, the public headers of FOLDER, target and .pc file.
function(hg_install_library name folder)
  set_target_properties(heapgauge_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS heapgauge_${name} EXPORT heapgauge-${name} COMPONENT ${name}
    DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(DIRECTORY ${folder}/include/heapgauge DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT ${name} FILES_MATCHING PATTERN "*.h")
  install(EXPORT heapgauge-${name} NAMESPACE heapgauge:: FILE heapgauge-${name}.cmake
    DESTINATION ${HG_CMAKE_DIR} COMPONENT ${name})
  configure_file(${HG_SCRIPTS}/install/heapgauge-${name}.pc.in
    ${CMAKE_BINARY_DIR}/install/heapgauge-${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/install/heapgauge-${name}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${name})
  # Whichever is installed alone can be found.
  install(FILES ${CMAKE_BINARY_DIR}/install/heapgaugeConfig.cmake
    ${CMAKE_BINARY_DIR}/install/heapgaugeConfigVersion.cmake
    DESTINATION ${HG_CMAKE_DIR} COMPONENT ${name})
endfunction()

configure_package_config_file(${HG_SCRIPTS}/install/heapgaugeConfig.cmake.in
  ${CMAKE_BINARY_DIR}/install/heapgaugeConfig.cmake INSTALL_DESTINATION ${HG_CMAKE_DIR}
  NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Before 1.0 a minor version may change interfaces.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/heapgaugeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)

hg_install_library(core core)
hg_install_library(benchmark bench)
hg_install_library(backends backends)

foreach(library heapgauge_malloc heapgauge_malloc_hardened)
  if(TARGET ${library}) # not under sanitizers
    # To be preloaded, never linked with: not where a linker looks.
    install(TARGETS ${library} DESTINATION ${CMAKE_INSTALL_LIBDIR}/heapgauge COMPONENT core)
  endif()
endforeach()

# ---- the program ----

install(TARGETS heapgauge DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(TARGETS heapgauge_record DESTINATION ${CMAKE_INSTALL_LIBDIR}/heapgauge COMPONENT program)
install(DIRECTORY ${HG_SCRIPTS}/python/heapgauge DESTINATION ${HG_DATA_DIR}/python
  COMPONENT program PATTERN __pycache__ EXCLUDE)
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/bench/instructions/instructions.py
  DESTINATION ${HG_DATA_DIR} COMPONENT program)
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/results/schema DESTINATION ${HG_DATA_DIR}
  COMPONENT program)

# Of a debug build there are none (target `manual` makes them).
foreach(page man1:${CMAKE_INSTALL_MANDIR} bash:${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    zsh:${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions fish:${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  string(REPLACE ":" ";" page ${page})
  list(GET page 0 folder)
  list(GET page 1 destination)
  if(folder STREQUAL "man1")
    set(destination ${destination}/man1)
  endif()
  install(DIRECTORY ${CMAKE_BINARY_DIR}/manual/${folder}/ DESTINATION ${destination} COMPONENT program OPTIONAL)
endforeach()

# What built it: part of every result's provenance.
string(TOUPPER "${CMAKE_BUILD_TYPE}" HG_KIND)
string(STRIP "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${HG_KIND}}" HG_BUILD_FLAGS)
string(JSON HG_BUILD_FACTS SET "{}" build_type "\"${CMAKE_BUILD_TYPE}\"")
string(JSON HG_BUILD_FACTS SET "${HG_BUILD_FACTS}" compiler "\"${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}\"")
string(JSON HG_BUILD_FACTS SET "${HG_BUILD_FACTS}" cflags "\"${HG_BUILD_FLAGS}\"")
file(WRITE ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${HG_DATADIR_FROM_BIN}/build.json "${HG_BUILD_FACTS}\n")
install(FILES ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${HG_DATADIR_FROM_BIN}/build.json
  DESTINATION ${HG_DATA_DIR} COMPONENT program)

# The same parts in the build tree, by links: what is edited is what runs.
set(HG_BUILD_DATA ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${HG_DATADIR_FROM_BIN})
file(MAKE_DIRECTORY ${HG_BUILD_DATA})
foreach(part scripts/python bench/instructions/instructions.py)
  get_filename_component(name ${part} NAME)
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${part} ${HG_BUILD_DATA}/${name} SYMBOLIC)
endforeach()
