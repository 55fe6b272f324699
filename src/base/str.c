#include "base/str.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.len, b.len);
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;

    return at ? at - s.ptr : -1;
}

ptrdiff_t str_rfind(struct str s, char c)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == c)
            return (ptrdiff_t)(i - 1);
    }
    return -1;
}

struct str str_cut(struct str s, size_t from)
{
    CHECK(from <= s.len);
    return from == s.len ? STR_NONE : (struct str){s.ptr + from, s.len - from};
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && (*s.ptr == ' ' || *s.ptr == '\t'))
        s = str_cut(s, 1);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

struct str str_dup(struct str s)
{
    return s.len ? (struct str){mem_dup(s.ptr, s.len), s.len} : STR_NONE;
}

void str_free(struct str *s)
{
    mem_free((void *)s->ptr);
    *s = STR_NONE;
}

char *str_dupz(struct str s)
{
    char *copy = mem_alloc(s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

bool str_eq_secret(struct str a, struct str b)
{
    uint64_t different = 0, x, y;
    size_t i = 0;

    if (a.len != b.len)
        return false;
    for (; a.len - i >= sizeof x; i += sizeof x) {
        memcpy(&x, a.ptr + i, sizeof x);
        memcpy(&y, b.ptr + i, sizeof y);
        different |= x ^ y;
        __asm__("" : "+r"(different)); /* what it is the compiler cannot know: no early end */
    }
    for (; i < a.len; i++) {
        different |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
        __asm__("" : "+r"(different));
    }
    return different == 0;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.ptr[i] - '0');

        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *out = n;
    return true;
}

void buf_deinit(struct buf *b)
{
    mem_free(b->ptr);
    *b = (struct buf){.max = b->max};
}

void buf_grow(struct buf *b, size_t n)
{
    size_t cap = b->cap;

    if (n > b->max || b->len > b->max - n) {
        b->overflow = true;
        return;
    }
    if (cap < 64)
        cap = 64;
    while (cap < b->len + n)
        cap *= 2;
    b->cap = MIN(cap, b->max);
    b->ptr = mem_realloc(b->ptr, b->cap);
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (n > b->cap - b->len)
        buf_grow(b, n);
    return n > b->cap - b->len ? NULL : b->ptr + b->len;
}

void buf_add_u64(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_add(b, digits + at, sizeof digits - at);
}

void buf_add_i64(struct buf *b, int64_t n)
{
    if (n < 0)
        buf_add_char(b, '-');
    buf_add_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    int n;
    char *at;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(n >= 0);
    at = buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a zero behind */
    if (at != NULL) {
        vsnprintf(at, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_drop_front(struct buf *b, size_t n)
{
    CHECK(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0)
        memmove(b->ptr, b->ptr + n, b->len);
}

void buf_shrink(struct buf *b)
{
    if (b->len == 0 && b->cap > 0)
        buf_deinit(b);
}
