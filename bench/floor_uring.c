/* The floor once more, with the sends of a turn submitted to io_uring together instead of one
 * system call each: what could be won below bench_floor, on a kernel that allows it.
 *
 *     bench_floor_uring [--port N] [--ping SECONDS]      exit 3: the kernel refuses io_uring
 */
#include "lib/floor.h"

#include <liburing.h>

#define URING_ENTRIES 4096

static struct io_uring ring;
static bool *known; /* by descriptor: stands in the ring's table of files */

static void forget(int fd)
{
    int none = -1;
    if (known[fd]) {
        known[fd] = false;
        io_uring_register_files_update(&ring, (unsigned)fd, &none, 1);
    }
}

static void know(int fd)
{
    if (known == NULL) {
        known = calloc(server.files, sizeof *known);
        if (known == NULL || io_uring_register_files_sparse(&ring, (unsigned)server.files) < 0) {
            NET_DIE("no table of files");
        }
        server.forget = forget;
    }
    if (!known[fd]) {
        known[fd] = true;
        io_uring_register_files_update(&ring, (unsigned)fd, &fd, 1);
    }
}

/* A send never waits (MSG_DONTWAIT), so submitting does the work. One that takes everything
 * (MSG_WAITALL) is not told of: the others were short or failed. */
static void uring_submit(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;

    if (io_uring_submit(&ring) < 0) {
        NET_DIE("io_uring_submit failed");
    }
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        struct conn *c = &server.conn[cqe->user_data];
        c->pos = c->before; /* fan_out took it for sent */
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
        know(fd);
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        io_uring_prep_send(sqe, fd, server.log + c->pos, server.log_len - c->pos,
                           MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
        io_uring_sqe_set_data64(sqe, (uint64_t)fd);
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS);
        c->before = c->pos;
        c->pos = server.log_len;
        if (++queued == URING_ENTRIES) {
            uring_submit();
            queued = 0;
        }
    }
    uring_submit();
}

int main(int argc, char **argv)
{
    int rc = io_uring_queue_init(URING_ENTRIES, &ring,
                                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN);

    if (rc < 0) {
        fprintf(stderr, "io_uring is not to be had here: %s\n", strerrordesc_np(-rc));
        return 3;
    }
    return floor_run(argc, argv, fan_out);
}
