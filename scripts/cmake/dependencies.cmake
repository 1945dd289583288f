# Everything outside this repository, as imported targets. scripts/install_deps.sh installs it all.
#
#   required: hpdlf::starpu hpdlf::dnnl hpdlf::nifti fmt::fmt spdlog::spdlog CLI11::CLI11 hwy::hwy nlohmann_json
#             tomlplusplus PNG ZLIB SQLite3 OpenSSL Threads OpenMP (the threads that oneDNN uses)
#   optional: hpdlf::starpumpi (HPDLF_HAVE_MPI), GTest and benchmark (tests only)

if(DEFINED ENV{HPDLF_CACHE_DIR})
  set(default_cache "$ENV{HPDLF_CACHE_DIR}")
else()
  set(default_cache "$ENV{HOME}/.cache/hpdlf")
endif()
set(HPDLF_CACHE_DIR "${default_cache}" CACHE PATH "Where scripts/install_deps.sh puts StarPU and oneDNN")
include(${HPDLF_CACHE_DIR}/env.cmake OPTIONAL)  # sets HPDLF_STARPU_PREFIX, HPDLF_DNNL_PREFIX
# Configure again when the dependencies were installed or changed.
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${HPDLF_CACHE_DIR}/env.cmake)

# A package that must be there; says how to get it, without CMake's own pages of advice.
macro(hpdlf_require name)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "${name} was not found. Run scripts/install_deps.sh, then this again.\n"
      "(looked in the system's paths and in ${HPDLF_CACHE_DIR}; HPDLF_CACHE_DIR sets another folder)")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
set(MPI_CXX_SKIP_MPICXX ON)
hpdlf_require(Threads)
hpdlf_require(OpenMP COMPONENTS CXX)
hpdlf_require(fmt)
hpdlf_require(spdlog)
hpdlf_require(tomlplusplus)
hpdlf_require(nlohmann_json)
hpdlf_require(CLI11)
hpdlf_require(hwy)
hpdlf_require(ZLIB)
hpdlf_require(PNG)
hpdlf_require(SQLite3)
hpdlf_require(OpenSSL COMPONENTS Crypto)
hpdlf_require(NiftiIO)
hpdlf_require(OneDNN)
hpdlf_require(StarPU)
find_package(MPI QUIET COMPONENTS CXX)
set(HPDLF_HAVE_MPI OFF)
if(MPI_CXX_FOUND AND TARGET hpdlf::starpumpi)
  set(HPDLF_HAVE_MPI ON)
endif()
if(HPDLF_TESTS)
  hpdlf_require(GTest)
  find_package(benchmark QUIET)
endif()

find_program(HPDLF_CCACHE ccache)
if(HPDLF_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HPDLF_CCACHE})
endif()

function(hpdlf_print_summary)
  message(STATUS "HP-DLF ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}: StarPU ${StarPU_VERSION} (${StarPU_LIBRARY}), "
    "oneDNN ${OneDNN_VERSION}, MPI ${HPDLF_HAVE_MPI}, ccache ${HPDLF_CCACHE}")
endfunction()
