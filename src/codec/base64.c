#include "codec/base64.h"

static const char digits[2][64] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void base64_add(enum base64 kind, struct buf *out, struct str bytes)
{
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    size_t left = bytes.len;

    while (left > 0) {
        size_t n = MIN(left, 3);
        uint32_t bits = (uint32_t)in[0] << 16;
        char four[4];

        bits |= n > 1 ? (uint32_t)in[1] << 8 : 0;
        bits |= n > 2 ? (uint32_t)in[2] : 0;
        for (size_t i = 0; i < 4; i++)
            four[i] = i <= n ? digits[kind][bits >> (18 - 6 * i) & 63] : '=';
        buf_add(out, four, kind == BASE64_STD ? 4 : n + 1);
        in += n;
        left -= n;
    }
}

/* 64 and more: not a digit. */
static uint32_t value_of(enum base64 kind, char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    if (c == digits[kind][62])
        return 62;
    return c == digits[kind][63] ? 63 : 64;
}

/* Takes the padding off; false when it is not what the kind asks for. */
static bool unpad(enum base64 kind, struct str *text)
{
    if (kind == BASE64_STD) {
        if (text->len % 4 != 0)
            return false;
        for (int i = 0; i < 2 && text->len > 0 && text->ptr[text->len - 1] == '='; i++)
            text->len--;
    }
    return text->len % 4 != 1;
}

/* text is unpadded; out has room for three bytes per four digits. */
static bool decode(enum base64 kind, struct str text, char *out)
{
    size_t i = 0;

    while (i < text.len) {
        size_t n = MIN(text.len - i, 4);
        uint32_t bits = 0;

        for (size_t k = 0; k < 4; k++) {
            uint32_t value = k < n ? value_of(kind, text.ptr[i + k]) : 0;

            if (value > 63)
                return false;
            bits = bits << 6 | value;
        }
        for (size_t k = 0; k + 1 < n; k++)
            *out++ = (char)(bits >> (16 - 8 * k) & 0xFF);
        if (n < 4 && (bits & (n == 3 ? 0xFFu : 0xFFFFu)) != 0)
            return false; /* bits that belong to no byte */
        i += n;
    }
    return true;
}

static size_t decoded_len(struct str unpadded)
{
    return unpadded.len / 4 * 3 + unpadded.len % 4 * 3 / 4;
}

enum err base64_decode(enum base64 kind, struct str text, struct arena *a, struct str *out)
{
    char *bytes;
    size_t n;

    if (!unpad(kind, &text))
        return ERR_SYNTAX;
    n = decoded_len(text);
    if (n == 0) {
        *out = STR_NONE;
        return OK;
    }
    bytes = arena_alloc(a, n);
    if (!decode(kind, text, bytes))
        return ERR_SYNTAX;
    *out = str_of(bytes, n);
    return OK;
}

enum err base64_decode_add(enum base64 kind, struct str text, struct buf *out)
{
    char *at;
    size_t n;

    if (!unpad(kind, &text))
        return ERR_SYNTAX;
    n = decoded_len(text);
    if (n == 0)
        return OK;
    at = buf_reserve(out, n);
    if (at == NULL)
        return ERR_LIMIT;
    if (!decode(kind, text, at))
        return ERR_SYNTAX;
    out->len += n;
    return OK;
}
