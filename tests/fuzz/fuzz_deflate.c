/* The first byte chooses the limit. The rest is expanded as if a client had sent it: never more
 * than the limit, and the same once more, since no message may depend on another. Then it is
 * compressed, and must come back as it was. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN_MAX 65536

static void expand(struct deflate *d, struct str payload, size_t max)
{
    struct buf first = BUF_INIT(max), second = BUF_INIT(max);
    enum err err = deflate_expand(d, payload, &first);

    CHECK(err == OK || err == ERR_LIMIT || err == ERR_SYNTAX);
    CHECK(first.len <= max && first.cap <= max);
    CHECK(err != ERR_LIMIT || first.len == max);
    CHECK(deflate_expand(d, payload, &second) == err);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_deinit(&first);
    buf_deinit(&second);
}

static void round_trip(struct deflate *d, int level, struct str text)
{
    struct str packed = deflate_compress(d, level, text);
    struct buf out = BUF_INIT(text.len);

    CHECK(deflate_expand(d, packed, &out) == OK);
    CHECK(str_eq(buf_str(&out), text));
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct deflate *d;
    struct str bytes;

    if (size < 1)
        return 0;
    bytes = str_of((const char *)data + 1, MIN(size - 1, (size_t)PLAIN_MAX));
    d = deflate_new();
    expand(d, bytes, (size_t)1 << data[0] % 21);
    round_trip(d, 1 + data[0] % 9, bytes);
    expand(d, bytes, PLAIN_MAX);
    deflate_free(d);
    return 0;
}
