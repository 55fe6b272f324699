/* The encoder knows the base by its blocks of 16 bytes, in a chained hash table. At each place of
 * the target it looks up the 16 bytes there, stretches what it finds both ways, and copies if that
 * is shorter than the literal. Two bounds keep hostile texts linear: candidates looked at per
 * place, and bytes compared in total; when those are used up, the rest becomes a literal. */
#include "codec/fossil.h"

#include "base/mem.h"

#define BLOCK 16
#define CANDIDATES_MAX 24    /* of one place */
#define COMPARED_PER_BYTE 16 /* bytes compared per byte of base and target */
#define DIGITS_MAX 6         /* of a 32-bit number in base 64 */
#define CHARACTER_MAX 4      /* bytes of a UTF-8 character */

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/* --- numbers and checksum --------------------------------------------------------------------- */

static size_t digits_of(size_t n)
{
    size_t digits = 1;

    while (n >>= 6)
        digits++;
    return digits;
}

static void add_number(struct buf *out, size_t n)
{
    for (size_t i = digits_of(n); i-- > 0;)
        buf_add_char(out, alphabet[(n >> (6 * i)) & 63]);
}

/* -1: not a digit. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    if (c == '_')
        return 36;
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 37;
    return c == '~' ? 63 : -1;
}

/* Takes a number off the front of rest; false: none is there, or it is over 32 bits. */
static bool take_number(struct str *rest, uint32_t *out)
{
    uint64_t n = 0;
    size_t i = 0;
    int digit;

    while (i < rest->len && i < DIGITS_MAX && (digit = digit_value(rest->ptr[i])) >= 0) {
        n = n << 6 | (unsigned)digit;
        i++;
    }
    if (i == 0 || n > UINT32_MAX)
        return false;
    *rest = str_cut(*rest, i);
    *out = (uint32_t)n;
    return true;
}

/* The sum of its big-endian 32-bit words, the last one filled up with zeros. */
static uint32_t checksum(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    uint32_t sum = 0;
    size_t i;

    for (i = 0; i + 4 <= s.len; i += 4)
        sum += (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 | (uint32_t)p[i + 2] << 8 | p[i + 3];
    for (unsigned shift = 24; i < s.len; i++, shift -= 8)
        sum += (uint32_t)p[i] << shift;
    return sum;
}

/* --- the base's blocks ------------------------------------------------------------------------ */

struct index {
    uint32_t *head; /* by hash: number of a block plus 1; 0: none */
    uint32_t *next; /* by block: the next one with its hash */
    unsigned shift;
};

static size_t hash_at(const struct index *x, const char *p)
{
    uint64_t a, b;

    memcpy(&a, p, sizeof a);
    memcpy(&b, p + sizeof a, sizeof b);
    return (size_t)((a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c15u) * 0xc2b2ae3d27d4eb4fu) >>
                    x->shift);
}

static void index_init(struct index *x, struct str base)
{
    size_t blocks = base.len / BLOCK;
    unsigned bits = 4;

    while (((size_t)1 << bits) < blocks)
        bits++;
    x->shift = 64 - bits;
    x->head = mem_zalloc((((size_t)1 << bits) + blocks) * sizeof *x->head);
    x->next = x->head + ((size_t)1 << bits);
    for (size_t i = blocks; i-- > 0;) { /* from behind, so that a chain begins in front */
        size_t h = hash_at(x, base.ptr + i * BLOCK);

        x->next[i] = x->head[h];
        x->head[h] = (uint32_t)(i + 1);
    }
}

/* --- finding copies --------------------------------------------------------------------------- */

struct copy {
    size_t from, to, len; /* len bytes of the base at `from` stand in the target at `to` */
};

struct encoder {
    struct str base, target;
    struct index index;
    size_t written; /* the target is told up to here */
    size_t budget;  /* bytes that may still be compared */
    struct buf *out;
};

static bool in_character(struct str s, size_t at)
{
    return at < s.len && ((unsigned char)s.ptr[at] & 0xc0) == 0x80;
}

/* Lets the literals around a copy begin and end with whole characters. */
static void copy_trim(struct copy *c, struct str target)
{
    for (int i = 1; i < CHARACTER_MAX && c->len > 0 && in_character(target, c->to); i++) {
        c->from++;
        c->to++;
        c->len--;
    }
    for (int i = 1; i < CHARACTER_MAX && c->len > 0 && in_character(target, c->to + c->len); i++)
        c->len--;
}

/* What is equal around base[from] and target[to], not before what is written. */
static struct copy stretch(struct encoder *e, size_t from, size_t to)
{
    const char *base = e->base.ptr, *target = e->target.ptr;
    size_t after = MIN(e->base.len - from, e->target.len - to);
    size_t before = MIN(from, to - e->written);
    size_t n = 0, back = 0;

    after = MIN(after, e->budget);
    while (n < after && base[from + n] == target[to + n])
        n++;
    e->budget -= n;
    before = MIN(before, e->budget);
    while (back < before && base[from - back - 1] == target[to - back - 1])
        back++;
    e->budget -= back;
    return (struct copy){from - back, to - back, n + back};
}

static bool pays(const struct encoder *e, const struct copy *c)
{
    size_t price = digits_of(c->to - e->written) + digits_of(c->len) + digits_of(c->from) + 3;

    return c->len >= price;
}

/* The longest copy through target[at]. */
static bool find_copy(struct encoder *e, size_t at, struct copy *best)
{
    uint32_t block = e->index.head[hash_at(&e->index, e->target.ptr + at)];

    best->len = 0;
    for (int i = 0; block > 0 && i < CANDIDATES_MAX && e->budget > 0; i++) {
        struct copy c = stretch(e, (size_t)(block - 1) * BLOCK, at);

        if (c.len > best->len)
            *best = c;
        block = e->index.next[block - 1];
    }
    copy_trim(best, e->target);
    return best->len > 0 && pays(e, best);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void add_literal(struct encoder *e, size_t end)
{
    struct str text = str_of(e->target.ptr + e->written, end - e->written);

    if (text.len == 0)
        return;
    add_number(e->out, text.len);
    buf_add_char(e->out, ':');
    buf_add_str(e->out, text);
    e->written = end;
}

static void add_copy(struct encoder *e, const struct copy *c)
{
    add_literal(e, c->to);
    add_number(e->out, c->len);
    buf_add_char(e->out, '@');
    add_number(e->out, c->from);
    buf_add_char(e->out, ',');
    e->written = c->to + c->len;
}

static void add_copies(struct encoder *e)
{
    size_t at = 0;

    index_init(&e->index, e->base);
    while (at + BLOCK <= e->target.len && e->budget > 0 && e->out->len < e->target.len) {
        struct copy c = {0};

        if (find_copy(e, at, &c)) {
            add_copy(e, &c);
            at = MAX(e->written, at + 1);
        } else {
            at++;
        }
    }
    mem_free(e->index.head);
}

bool fossil_encode(struct str base, struct str target, struct buf *out)
{
    struct encoder e = {
        .base = base,
        .target = target,
        .budget = (base.len + target.len) * COMPARED_PER_BYTE,
        .out = out,
    };

    buf_clear(out);
    if (base.len > FOSSIL_BYTES_MAX || target.len > FOSSIL_BYTES_MAX)
        return false;
    add_number(out, target.len);
    buf_add_char(out, '\n');
    if (base.len > BLOCK)
        add_copies(&e);
    add_literal(&e, target.len);
    add_number(out, checksum(target));
    buf_add_char(out, ';');
    return !out->overflow && out->len < target.len;
}

/* --- applying --------------------------------------------------------------------------------- */

static enum err apply_segment(struct str base, struct str *rest, uint32_t count, struct buf *out,
                              size_t room)
{
    char kind = rest->ptr[0];
    uint32_t offset;

    *rest = str_cut(*rest, 1);
    if (kind == '@') {
        if (!take_number(rest, &offset) || rest->len == 0 || rest->ptr[0] != ',')
            return ERR_SYNTAX;
        *rest = str_cut(*rest, 1);
        if (count > room || offset > base.len || count > base.len - offset)
            return ERR_SYNTAX;
        buf_add_str(out, str_of(base.ptr + offset, count));
        return OK;
    }
    if (kind != ':' || count > room || count > rest->len)
        return ERR_SYNTAX;
    buf_add_str(out, str_of(rest->ptr, count));
    *rest = str_cut(*rest, count);
    return OK;
}

enum err fossil_apply(struct str base, struct str delta, struct buf *out)
{
    size_t begin = out->len;
    uint32_t size, n;

    if (!take_number(&delta, &size) || delta.len == 0 || delta.ptr[0] != '\n')
        return ERR_SYNTAX;
    delta = str_cut(delta, 1);
    for (;;) {
        enum err err;

        if (!take_number(&delta, &n) || delta.len == 0)
            return ERR_SYNTAX;
        if (delta.ptr[0] == ';')
            break;
        err = apply_segment(base, &delta, n, out, size - (out->len - begin));
        if (err != OK)
            return err;
        if (out->overflow)
            return ERR_LIMIT;
    }
    if (delta.len != 1 || out->len - begin != size ||
        n != checksum(str_of(out->ptr ? out->ptr + begin : NULL, size)))
        return ERR_SYNTAX;
    return OK;
}
