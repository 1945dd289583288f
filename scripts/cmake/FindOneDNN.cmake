# oneDNN >= 3 as hpdlf::dnnl. HPDLF_DNNL_PREFIX (from the cache folder's env.cmake, or the user) wins over the system's.
# Brings GCC's OpenMP along: kernels set its thread count before they create primitives.
include(FindPackageHandleStandardArgs)

unset(OneDNN_INCLUDE_DIR CACHE)  # not cached: another prefix in env.cmake must be seen by the next configure
unset(OneDNN_LIBRARY CACHE)
find_path(OneDNN_INCLUDE_DIR dnnl.hpp HINTS ${HPDLF_DNNL_PREFIX} PATH_SUFFIXES include)
find_library(OneDNN_LIBRARY dnnl HINTS ${HPDLF_DNNL_PREFIX} PATH_SUFFIXES lib)
if(OneDNN_INCLUDE_DIR)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${OneDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h line REGEX "^#define DNNL_VERSION_${part} ")
    string(REGEX MATCH "[0-9]+" onednn_${part} "${line}")
  endforeach()
  set(OneDNN_VERSION ${onednn_MAJOR}.${onednn_MINOR}.${onednn_PATCH})
  if(OneDNN_VERSION VERSION_LESS 3)
    message(STATUS "oneDNN ${OneDNN_VERSION} in ${OneDNN_INCLUDE_DIR} is too old: 3 is needed")
    set(OneDNN_LIBRARY OneDNN_LIBRARY-NOTFOUND)
  endif()
endif()
find_package_handle_standard_args(OneDNN REQUIRED_VARS OneDNN_LIBRARY OneDNN_INCLUDE_DIR VERSION_VAR OneDNN_VERSION)

if(OneDNN_FOUND AND NOT TARGET hpdlf::dnnl)
  add_library(hpdlf::dnnl SHARED IMPORTED)
  set_target_properties(hpdlf::dnnl PROPERTIES IMPORTED_LOCATION ${OneDNN_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${OneDNN_INCLUDE_DIR} INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${OneDNN_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES OpenMP::OpenMP_CXX)
endif()
