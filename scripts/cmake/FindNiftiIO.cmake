# The NIfTI reference library (nifti2_io.h: reads NIfTI-1 and NIfTI-2) as hpdlf::nifti.
# Its sibling libniftiio (nifti1_io.h) exports the same names for other structures: never link both.
include(FindPackageHandleStandardArgs)
find_path(NiftiIO_INCLUDE_DIR nifti2_io.h PATH_SUFFIXES nifti)
find_library(NiftiIO_LIBRARY nifti2)
find_library(NiftiIO_ZNZ_LIBRARY znz)
mark_as_advanced(NiftiIO_INCLUDE_DIR NiftiIO_LIBRARY NiftiIO_ZNZ_LIBRARY)
find_package_handle_standard_args(NiftiIO REQUIRED_VARS NiftiIO_LIBRARY NiftiIO_ZNZ_LIBRARY NiftiIO_INCLUDE_DIR)
if(NiftiIO_FOUND AND NOT TARGET hpdlf::nifti)
  add_library(hpdlf::nifti UNKNOWN IMPORTED)
  set_target_properties(hpdlf::nifti PROPERTIES IMPORTED_LOCATION ${NiftiIO_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${NiftiIO_INCLUDE_DIR} INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${NiftiIO_INCLUDE_DIR}
    INTERFACE_COMPILE_DEFINITIONS HAVE_ZLIB INTERFACE_LINK_LIBRARIES "${NiftiIO_ZNZ_LIBRARY};ZLIB::ZLIB")
endif()
