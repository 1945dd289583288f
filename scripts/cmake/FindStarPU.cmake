# StarPU >= 1.4 as hpdlf::starpu, and StarPU-MPI as hpdlf::starpumpi where it is there.
# HPDLF_STARPU_PREFIX (from the cache folder's env.cmake, or the user) wins over the system's.
include(FindPackageHandleStandardArgs)

if(HPDLF_STARPU_PREFIX)
  set(starpu_hints ${HPDLF_STARPU_PREFIX})
else()
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(PC_STARPU QUIET starpu-1.4)
    set(starpu_hints ${PC_STARPU_PREFIX})
  endif()
endif()
# Not cached: another prefix in env.cmake must be seen by the next configure.
unset(StarPU_INCLUDE_DIR CACHE)
unset(StarPU_LIBRARY CACHE)
unset(StarPU_MPI_LIBRARY CACHE)
find_path(StarPU_INCLUDE_DIR starpu.h HINTS ${starpu_hints} PATH_SUFFIXES include/starpu/1.4 starpu/1.4)
find_library(StarPU_LIBRARY starpu-1.4 HINTS ${starpu_hints} PATH_SUFFIXES lib)
find_library(StarPU_MPI_LIBRARY starpumpi-1.4 HINTS ${starpu_hints} PATH_SUFFIXES lib)
if(StarPU_INCLUDE_DIR)
  foreach(part MAJOR MINOR RELEASE)
    file(STRINGS ${StarPU_INCLUDE_DIR}/starpu_config.h line REGEX "^#define STARPU_${part}_VERSION ")
    string(REGEX MATCH "[0-9]+" starpu_${part} "${line}")
  endforeach()
  set(StarPU_VERSION ${starpu_MAJOR}.${starpu_MINOR}.${starpu_RELEASE})
endif()
find_package_handle_standard_args(StarPU REQUIRED_VARS StarPU_LIBRARY StarPU_INCLUDE_DIR VERSION_VAR StarPU_VERSION)

if(StarPU_FOUND AND NOT TARGET hpdlf::starpu)
  add_library(hpdlf::starpu SHARED IMPORTED)
  set_target_properties(hpdlf::starpu PROPERTIES IMPORTED_LOCATION ${StarPU_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${StarPU_INCLUDE_DIR} INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${StarPU_INCLUDE_DIR})
  if(StarPU_MPI_LIBRARY)
    add_library(hpdlf::starpumpi SHARED IMPORTED)
    set_target_properties(hpdlf::starpumpi PROPERTIES IMPORTED_LOCATION ${StarPU_MPI_LIBRARY}
      INTERFACE_LINK_LIBRARIES hpdlf::starpu)
  endif()
endif()
