/* The input's first byte says where a base ends. The rest is applied to the base as a delta, and is
 * made a delta of the base, which must bring it back. */
#include "base/check.h"
#include "codec/fossil.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_of((const char *)data + 1, size ? size - 1 : 0);
    size_t cut = size ? MIN(input.len, input.len * data[0] / 255) : 0;
    struct str base = str_of(input.ptr, cut), rest = str_cut(input, cut);
    struct buf delta = BUF_INIT(1 << 24), back = BUF_INIT(1 << 20);
    enum err err;

    if (size == 0)
        return 0;
    err = fossil_apply(base, rest, &back);
    CHECK(err == OK || err == ERR_SYNTAX || err == ERR_LIMIT);
    buf_clear(&back);
    if (fossil_encode(base, rest, &delta)) {
        CHECK(delta.len < rest.len);
        CHECK(!utf8_valid(rest) || utf8_valid(buf_str(&delta)));
        CHECK(fossil_apply(base, buf_str(&delta), &back) == OK);
        CHECK(str_eq(buf_str(&back), rest));
    }
    buf_deinit(&delta);
    buf_deinit(&back);
    return 0;
}
