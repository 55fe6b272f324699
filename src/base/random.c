#include "base/random.h"

#include "base/check.h"

#include <errno.h>
#include <sys/random.h>

static void system_fill(void *out, size_t n)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = getrandom((char *)out + have, n - have, 0);

        if (got < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        have += (size_t)got;
    }
}

static void (*source)(void *out, size_t n) = system_fill;

void random_set_source(void (*fill)(void *out, size_t n))
{
    source = fill;
}

void random_bytes(void *out, size_t n)
{
    source(out, n);
}

uint64_t random_u64(void)
{
    uint64_t n;

    random_bytes(&n, sizeof n);
    return n;
}

struct uuid uuid_new(void)
{
    struct uuid id;

    random_bytes(id.bytes, sizeof id.bytes);
    id.bytes[6] = (id.bytes[6] & 0x0f) | 0x40;
    id.bytes[8] = (id.bytes[8] & 0x3f) | 0x80;
    return id;
}

void uuid_write(const struct uuid *id, char out[UUID_LEN])
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;

    for (size_t i = 0; i < sizeof id->bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = hex[id->bytes[i] >> 4];
        out[at++] = hex[id->bytes[i] & 15];
    }
}

void random_uuid(char out[UUID_LEN])
{
    struct uuid id = uuid_new();

    uuid_write(&id, out);
}

void random_letters(char *out, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (size_t i = 0; i < n;) {
        unsigned char byte;

        random_bytes(&byte, 1);
        if (byte < 52 * 4) /* the rest would favour some letters */
            out[i++] = letters[byte % 52];
    }
}
