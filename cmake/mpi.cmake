# cmake/mpi.cmake -- work spread over the processes that mpirun starts (cli/ranks.c).
#
# ATN_MPI=AUTO takes an MPI where it is found, ON requires one, OFF builds without. A program
# that no launcher started never initialises it.
set(ATN_MPI AUTO CACHE STRING "work spread over processes by MPI: AUTO, ON or OFF")
set_property(CACHE ATN_MPI PROPERTY STRINGS AUTO ON OFF)

if(NOT ATN_MPI MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "ATN_MPI=${ATN_MPI} is none of AUTO, ON and OFF")
endif()

set(ATN_HAVE_MPI OFF)
if(NOT ATN_MPI STREQUAL "OFF")
  set(MPI_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    set(ATN_HAVE_MPI ON)
    message(STATUS "MPI ${MPI_C_VERSION}: mpirun -n N attnscope spreads work over N processes")
  elseif(ATN_MPI STREQUAL "ON")
    message(FATAL_ERROR "ATN_MPI=ON, but there is no MPI (Debian and Ubuntu: apt-get install mpi-default-dev)")
  else()
    message(STATUS "MPI is not found (mpi-default-dev): mpirun attnscope will say so")
  endif()
endif()

if(ATN_HAVE_MPI)
  target_compile_definitions(atn_cli PRIVATE ATN_MPI=1)
  target_link_libraries(atn_cli PRIVATE MPI::MPI_C)
endif()
