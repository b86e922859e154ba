# Debian's cross compilers, programs run under qemu-user. scripts/portability gives HG_TRIPLET, HG_QEMU, and
# unpacks the libraries into sysroot/root of the build folder.
set(CMAKE_SYSTEM_NAME Linux)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES HG_TRIPLET HG_QEMU)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR ${HG_TRIPLET})
set(CMAKE_C_COMPILER ${HG_TRIPLET}-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE ${HG_TRIPLET})
set(CMAKE_CROSSCOMPILING_EMULATOR ${HG_QEMU})
set(CMAKE_FIND_ROOT_PATH ${CMAKE_BINARY_DIR}/sysroot/root /usr/${HG_TRIPLET})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
include_directories(SYSTEM ${CMAKE_BINARY_DIR}/sysroot/root/usr/include)
set(CMAKE_EXE_LINKER_FLAGS_INIT
  "-L${CMAKE_BINARY_DIR}/sysroot/root/usr/lib/${HG_TRIPLET} -Wl,-rpath-link,${CMAKE_BINARY_DIR}/sysroot/root/usr/lib/${HG_TRIPLET}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${CMAKE_EXE_LINKER_FLAGS_INIT}")
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_BINARY_DIR}/sysroot/root)
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_BINARY_DIR}/sysroot/root/usr/lib/${HG_TRIPLET}/pkgconfig)
