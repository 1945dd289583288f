# The three ways things are built here: a layer's library, the operator families' sources, a test program.

# hpdlf_layer(NAME SOURCES files... [LIBS public...] [PRIVATE_LIBS private...])
# A third-party library that must not leak into the layers above goes to PRIVATE_LIBS.
function(hpdlf_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS;PRIVATE_LIBS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "hpdlf_layer(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC hpdlf_flags ${arg_LIBS} PRIVATE ${arg_PRIVATE_LIBS})
endfunction()

# The names in op_families.def, one HPDLF_OP_FAMILY(name) a line; editing the file configures again.
function(hpdlf_read_op_families result file)
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} lines REGEX "^HPDLF_OP_FAMILY\\([a-z0-9_]+\\)")
  list(TRANSFORM lines REPLACE "^HPDLF_OP_FAMILY\\(([a-z0-9_]+)\\).*" "\\1")
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

# hpdlf_family_sources(VAR folder): folder/FAMILY.cc for every operator family.
function(hpdlf_family_sources result folder)
  set(sources ${HPDLF_OP_FAMILIES})
  list(TRANSFORM sources PREPEND ${folder}/)
  list(TRANSFORM sources APPEND .cc)
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

# Makes the timeout (s) in VAR ten times as long where a sanitizer is built in.
function(hpdlf_sanitized_timeout result)
  if(HPDLF_SANITIZE)
    math(EXPR seconds "10 * ${${result}}")
    set(${result} ${seconds} PARENT_SCOPE)
  endif()
endfunction()

# hpdlf_test(NAME name LABEL unit|op|golden|mpi|e2e|slow SOURCES files... [LIBS ...] [RANKS 1 2 4] [TIMEOUT s]
#            [ENVIRONMENT var=value...])
# One GoogleTest program and one ctest entry for all its cases, since starting StarPU costs more than most cases;
# with RANKS one entry a rank count, under mpirun. In the sources: HPDLF_SOURCE_DIR, HPDLF_PROGRAM (the built hpdlf).
function(hpdlf_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;LABEL;TIMEOUT" "SOURCES;LIBS;RANKS;ENVIRONMENT")
  set(labels unit op golden mpi e2e slow)
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES OR NOT arg_LABEL IN_LIST labels)
    message(FATAL_ERROR "hpdlf_test(${arg_NAME}): NAME, SOURCES and LABEL (${labels}) are needed; unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(arg_RANKS AND NOT HPDLF_HAVE_MPI)
    message(STATUS "${arg_NAME}: not built, MPI was not found")
    return()
  endif()
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_LIBS} hpdlf_flags)
  if(TARGET hpdlf_test_main)
    target_link_libraries(${arg_NAME} PRIVATE hpdlf_test_main)
  else()
    target_link_libraries(${arg_NAME} PRIVATE GTest::gmock_main)
  endif()
  target_link_libraries(${arg_NAME} PRIVATE GTest::gmock GTest::gtest Threads::Threads)
  target_compile_definitions(${arg_NAME} PRIVATE HPDLF_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    HPDLF_PROGRAM="${PROJECT_BINARY_DIR}/hpdlf")
  set_target_properties(${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(TARGET hpdlf AND NOT arg_LABEL MATCHES "unit|op|golden")  # those do not run the program
    add_dependencies(${arg_NAME} hpdlf)
  endif()

  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
    if(arg_LABEL STREQUAL "unit")
      set(arg_TIMEOUT 60)
    elseif(arg_LABEL STREQUAL "slow")
      set(arg_TIMEOUT 1200)
    endif()
  endif()
  hpdlf_sanitized_timeout(arg_TIMEOUT)
  set(entries)
  if(arg_RANKS)
    foreach(ranks IN LISTS arg_RANKS)
      add_test(NAME ${arg_NAME}_np${ranks} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks}
        --oversubscribe --bind-to none $<TARGET_FILE:${arg_NAME}>)
      list(APPEND entries ${arg_NAME}_np${ranks})
    endforeach()
  else()
    add_test(NAME ${arg_NAME} COMMAND ${arg_NAME})
    list(APPEND entries ${arg_NAME})
  endif()
  set(processors 2)  # of the two of a small machine: StarPU's workers would fight with another test's
  if(arg_LABEL STREQUAL "unit" OR arg_LABEL STREQUAL "golden")
    set(processors 1)
  endif()
  # Unbound workers, so that tests may share cores; StarPU's files in the build folder, not in the user's home.
  set_tests_properties(${entries} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} PROCESSORS ${processors}
    ENVIRONMENT "GTEST_COLOR=no;STARPU_WORKERS_NOBIND=1;STARPU_MPI_NOBIND=1;STARPU_SILENT=1;STARPU_HOME=${PROJECT_BINARY_DIR}/starpu;\
OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1;\
${arg_ENVIRONMENT}")
endfunction()
