#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

int kt_memory_file(const char *name)
{
    const int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (descriptor >= 0 || errno != EINVAL)
        return descriptor;
    // Kernels before 6.3 do not know the flag; there every such file can be executed.
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

int kt_memory_file_seal(int descriptor)
{
    return fcntl(descriptor, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}
