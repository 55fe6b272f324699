/* The floor once more, with the sends of a turn submitted to io_uring together instead of one
 * system call each: what could be won below bench_floor, on a kernel that allows it.
 *
 *     bench_floor_uring [--port N] [--ping SECONDS]      exit 3: the kernel refuses io_uring
 */
#include "lib/floor.h"

#include <liburing.h>

#define URING_ENTRIES 4096

static struct io_uring ring;

/* A send never waits (MSG_DONTWAIT), so submitting does the work, and only sends that did not take
 * everything are told: they are short or failed. */
static void uring_submit(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;

    if (io_uring_submit(&ring) < 0) {
        NET_DIE("io_uring_submit failed");
    }
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        conn_sent((int)cqe->user_data, cqe->res);
        seen++;
    }
    io_uring_cq_advance(&ring, seen);
}

static void fan_out(void)
{
    unsigned queued = 0;

    for (uint32_t i = server.subscribed_count;
         i-- > 0;) { /* backwards: a close swaps in the last */
        int fd = server.subscribed[i];
        struct conn *c = &server.conn[fd];
        if (c->lags) {
            continue;
        }
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        io_uring_prep_send(sqe, fd, server.log + c->pos, server.log_len - c->pos,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        io_uring_sqe_set_data64(sqe, (uint64_t)fd);
        if (++queued == URING_ENTRIES) {
            uring_submit();
            queued = 0;
        }
    }
    uring_submit();
}

int main(int argc, char **argv)
{
    int rc = io_uring_queue_init(URING_ENTRIES, &ring, IORING_SETUP_SINGLE_ISSUER);

    if (rc < 0) {
        fprintf(stderr, "io_uring is not to be had here: %s\n", strerrordesc_np(-rc));
        return 3;
    }
    return floor_run(argc, argv, fan_out);
}
