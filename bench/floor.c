/* The floor: what fan-out costs when a server does nothing but send(), see lib/floor.h.
 *
 *     bench_floor [--port N] [--ping SECONDS]      prints "port N" once it listens
 */
#include "lib/floor.h"

static void fan_out(void)
{
    for (uint32_t i = server.subscribed_count;
         i-- > 0;) { /* backwards: a close swaps in the last */
        int fd = server.subscribed[i];
        if (!server.conn[fd].lags) {
            conn_flush(fd);
        }
    }
}

int main(int argc, char **argv)
{
    return floor_run(argc, argv, fan_out);
}
