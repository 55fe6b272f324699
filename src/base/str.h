/* Two ways to hold bytes: struct str, a borrowed view that owns nothing, and struct buf, a growing
 * buffer born with a maximum. Neither is zero-terminated. Any thread. */
#pragma once

#include "base/base.h"

#include <string.h>

struct str {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
#define STR_ARGS(s) (int)(s).len, (s).ptr ? (s).ptr : "" /* for "%.*s" */

static inline struct str str_of(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}

static inline struct str str_from(const char *cstr)
{
    return cstr ? (struct str){cstr, strlen(cstr)} : STR_NONE;
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_nocase(struct str a, struct str b); /* ASCII letters only */
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

int str_cmp(struct str a, struct str b);       /* bytewise, like strcmp */
ptrdiff_t str_find(struct str s, char c);      /* index of the first c, or -1 */
ptrdiff_t str_rfind(struct str s, char c);     /* index of the last c, or -1 */
struct str str_cut(struct str s, size_t from); /* the part from index `from` on */
struct str str_trim(struct str s);             /* without spaces and tabs at both ends */
struct str str_dup(struct str s);              /* a heap copy; free .ptr with str_free */
void str_free(struct str *s);                  /* frees a str_dup and empties it */
char *str_dupz(struct str s);                  /* a zero-terminated heap copy */
/* Copies s to *at, moves *at behind it and returns the copy: packs strings into one allocation. */
static inline struct str str_put(char **at, struct str s)
{
    char *start = *at;

    if (s.len == 0)
        return STR_NONE;
    memcpy(start, s.ptr, s.len);
    *at += s.len;
    return str_of(start, s.len);
}

bool str_eq_secret(struct str a, struct str b); /* constant time for equal lengths */
/* Decimal without sign or blanks; false when empty, not digits, or above max. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out) NODISCARD;

/* Grows up to max bytes; what would go beyond is dropped whole and sets overflow, so that a
 * writer checks once, at the end. */
struct buf {
    char *ptr;
    size_t len, cap, max;
    bool overflow;
};

#define BUF_INIT(maximum) ((struct buf){.max = (maximum)})

void buf_deinit(struct buf *b);
/* Room for n more bytes at the end, which are not in len yet; NULL on overflow. */
char *buf_reserve(struct buf *b, size_t n);
void buf_grow(struct buf *b, size_t n); /* slow path of the inline functions below */

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
}

static inline void buf_add(struct buf *b, const void *ptr, size_t n)
{
    if (n > b->cap - b->len)
        buf_grow(b, n);
    if (n > b->cap - b->len || n == 0)
        return;
    memcpy(b->ptr + b->len, ptr, n);
    b->len += n;
}

static inline void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.ptr, s.len);
}

static inline void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

#define buf_add_lit(b, literal) buf_add((b), "" literal, sizeof(literal) - 1)

void buf_add_u64(struct buf *b, uint64_t n); /* decimal */
void buf_add_i64(struct buf *b, int64_t n);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_drop_front(struct buf *b, size_t n); /* forgets the first n bytes */
void buf_shrink(struct buf *b);               /* gives the memory back when empty */
