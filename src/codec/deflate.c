#include "codec/deflate.h"

#include "base/check.h"
#include "base/mem.h"

#include <zlib.h>

#define WINDOW_BITS (-15) /* negative: no zlib header */
#define MEMORY_LEVEL 8

/* Output is made in pieces of this size, so a small message does not take the room of a big one. */
#define PIECE_BYTES ((size_t)16 * 1024)
/* A big payload's buffer is not kept for the next, probably small one. */
#define KEPT_BYTES ((size_t)256 * 1024)

/* What a flush ends with; the sender leaves it away (RFC 7692, 7.2.1). */
static const unsigned char tail[] = {0x00, 0x00, 0xFF, 0xFF};

struct deflate {
    z_stream packer, unpacker;
    int level; /* of packer; 0: there is none yet */
    bool can_unpack;
    size_t memory;
    struct buf packed; /* the last payload */
};

/* ---- zlib's memory, counted ---- */

static void *take(void *arg, unsigned count, unsigned size)
{
    struct deflate *d = arg;
    size_t n = (size_t)count * size;
    size_t *block = mem_alloc(sizeof(max_align_t) + n);

    *block = n;
    d->memory += n;
    return (char *)block + sizeof(max_align_t);
}

static void give(void *arg, void *ptr)
{
    struct deflate *d = arg;
    size_t *block = (size_t *)((char *)ptr - sizeof(max_align_t));

    d->memory -= *block;
    mem_free(block);
}

static z_stream stream_of(struct deflate *d)
{
    return (z_stream){.zalloc = take, .zfree = give, .opaque = d};
}

/* zlib wants pointers it may write to, and never NULL. */
static void feed(z_stream *z, const void *ptr, size_t n)
{
    CHECK(n <= UINT32_MAX);
    z->next_in = (unsigned char *)(uintptr_t)(n > 0 ? ptr : tail);
    z->avail_in = (unsigned)n;
}

/* ---- life ---- */

struct deflate *deflate_new(void)
{
    struct deflate *d = mem_zalloc(sizeof *d);

    d->packed = BUF_INIT(UINT32_MAX);
    return d;
}

void deflate_free(struct deflate *d)
{
    if (!d)
        return;
    if (d->level > 0)
        deflateEnd(&d->packer);
    if (d->can_unpack)
        inflateEnd(&d->unpacker);
    CHECK(d->memory == 0);
    buf_deinit(&d->packed);
    mem_free(d);
}

size_t deflate_memory(const struct deflate *d)
{
    return d->memory;
}

/* ---- packing ---- */

static void ready_packer(struct deflate *d, int level)
{
    CHECK(level >= 1 && level <= 9);
    if (d->level == level) {
        CHECK(deflateReset(&d->packer) == Z_OK);
        return;
    }
    if (d->level > 0)
        deflateEnd(&d->packer);
    d->packer = stream_of(d);
    CHECK(deflateInit2(&d->packer, level, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                       Z_DEFAULT_STRATEGY) == Z_OK);
    d->level = level;
}

struct str deflate_compress(struct deflate *d, int level, struct str message)
{
    z_stream *z = &d->packer;
    struct buf *out = &d->packed;

    ready_packer(d, level);
    buf_clear(out);
    if (out->cap > KEPT_BYTES)
        buf_deinit(out);
    feed(z, message.ptr, message.len);
    do {
        size_t room = MIN(PIECE_BYTES, message.len + 64);
        char *at = buf_reserve(out, room);

        CHECK(at != NULL);
        z->next_out = (unsigned char *)at;
        z->avail_out = (unsigned)room;
        CHECK(deflate(z, Z_SYNC_FLUSH) == Z_OK);
        out->len += room - z->avail_out;
    } while (z->avail_out == 0);
    CHECK(out->len > sizeof tail);
    return str_of(out->ptr, out->len - sizeof tail);
}

/* ---- unpacking ---- */

static void ready_unpacker(struct deflate *d)
{
    if (d->can_unpack) {
        CHECK(inflateReset(&d->unpacker) == Z_OK);
        return;
    }
    d->unpacker = stream_of(d);
    CHECK(inflateInit2(&d->unpacker, WINDOW_BITS) == Z_OK);
    d->can_unpack = true;
}

/* Room for the next piece of output; *n 0: the maximum is reached. */
static unsigned char *make_room(struct buf *out, size_t *n)
{
    *n = MIN(PIECE_BYTES, out->max - out->len);
    if (out->cap > out->len)
        *n = MIN(*n, out->cap - out->len);
    return *n == 0 ? NULL : (unsigned char *)buf_reserve(out, *n);
}

/* Works through what was fed. ended: the stream said that it is at its end. */
static enum err expand_some(z_stream *z, struct buf *out, bool *ended)
{
    for (;;) {
        unsigned char more; /* where a byte too many shows itself */
        unsigned char *at;
        size_t room;
        int status;

        at = make_room(out, &room);
        z->next_out = room > 0 ? at : &more;
        z->avail_out = room > 0 ? (unsigned)room : 1;
        status = inflate(z, Z_SYNC_FLUSH);
        if (room > 0)
            out->len += room - z->avail_out;
        else if (z->avail_out == 0)
            return ERR_LIMIT;
        *ended = status == Z_STREAM_END;
        if (*ended) {
            /* Some senders end every message with a last block; what follows begins anew. */
            if (z->avail_in == 0)
                return OK;
            CHECK(inflateReset(z) == Z_OK);
            continue;
        }
        if (status != Z_OK && status != Z_BUF_ERROR)
            return ERR_SYNTAX;
        if (z->avail_out > 0) /* it has said all it can */
            return z->avail_in == 0 ? OK : ERR_SYNTAX;
    }
}

/* Between two blocks, with no bit of the next one seen. */
static bool at_block_end(const z_stream *z)
{
    return (z->data_type & 128) && (z->data_type & 63) == 0;
}

enum err deflate_expand(struct deflate *d, struct str payload, struct buf *out)
{
    z_stream *z = &d->unpacker;
    bool ended = false;
    enum err err;

    ready_unpacker(d);
    feed(z, payload.ptr, payload.len);
    err = expand_some(z, out, &ended);
    if (err != OK || ended)
        return err;
    feed(z, tail, sizeof tail);
    err = expand_some(z, out, &ended);
    if (err != OK)
        return err;
    return ended || at_block_end(z) ? OK : ERR_SYNTAX;
}
