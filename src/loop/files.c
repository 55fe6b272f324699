#include "loop/files.h"

#include "base/base.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Eight bytes of the kernel's each. Beyond, a table twice as large comes rarely. */
#define FILES_RESERVED 131072

void files_reserve(void)
{
    struct rlimit limit;
    int fd, highest;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 2)
        return;
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    highest = fcntl(fd, F_DUPFD_CLOEXEC, (int)MIN(limit.rlim_cur, (rlim_t)FILES_RESERVED) - 1);
    if (highest >= 0)
        close(highest);
    close(fd);
}
