/* The parts of the opening handshake that are about bytes: the accept key, header lists, and the
 * patterns that allowed origins are written in. */
#include "base/check.h"
#include "codec/ws.h"

#include <openssl/evp.h>

#define KEY_LEN 24 /* base64 of 16 bytes */
#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* A pattern comes from the configuration; these bound what a mad one may cost. */
#define PATTERN_MAX 1024
#define BRACES_MAX 8

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

bool ws_key_valid(struct str key)
{
    if (key.len != KEY_LEN || key.ptr[22] != '=' || key.ptr[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!is_base64(key.ptr[i]))
            return false;
    return true;
}

void ws_accept_key(struct str key, char out[WS_ACCEPT_LEN])
{
    unsigned char text[KEY_LEN + sizeof MAGIC - 1], digest[20];
    unsigned char base64[WS_ACCEPT_LEN + 1];

    CHECK(key.len == KEY_LEN);
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, MAGIC, sizeof MAGIC - 1);
    CHECK(EVP_Digest(text, sizeof text, digest, NULL, EVP_sha1(), NULL) == 1);
    CHECK(EVP_EncodeBlock(base64, digest, sizeof digest) == WS_ACCEPT_LEN);
    memcpy(out, base64, WS_ACCEPT_LEN);
}

bool ws_next_token(struct str *list, struct str *token)
{
    while (list->len > 0) {
        ptrdiff_t comma = str_find(*list, ',');
        size_t len = comma < 0 ? list->len : (size_t)comma;

        *token = str_trim(str_of(list->ptr, len));
        *list = str_cut(*list, comma < 0 ? len : len + 1);
        if (token->len > 0)
            return true;
    }
    return false;
}

bool ws_list_has(struct str list, struct str token)
{
    struct str item;

    while (ws_next_token(&list, &item))
        if (str_eq_nocase(item, token))
            return true;
    return false;
}

/* Where the element of a list that begins at i ends: at a comma that is not in a quoted string, or
 * at the end. SIZE_MAX: a string in it does not end. */
static size_t element_end(struct str list, size_t i)
{
    bool quoted = false;

    for (; i < list.len; i++) {
        char c = list.ptr[i];

        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted)
            i++;
        else if (c == ',' && !quoted)
            return i;
    }
    return quoted ? SIZE_MAX : list.len;
}

bool ws_offers_deflate(struct str offers)
{
    for (size_t i = 0; i < offers.len; i++) {
        size_t end = element_end(offers, i);
        struct str name;
        ptrdiff_t params;

        if (end == SIZE_MAX)
            return false;
        name = str_of(offers.ptr + i, end - i);
        params = str_find(name, ';');
        if (params >= 0)
            name.len = (size_t)params;
        if (str_eq_nocase(str_trim(name), STR("permessage-deflate")))
            return true;
        i = end;
    }
    return false;
}

/* ---- patterns ---- */

/* Length of the class that p begins with ("[" … "]"), 0 when it is not closed. */
static size_t class_len(struct str p)
{
    size_t i = 1;

    if (i < p.len && p.ptr[i] == '!')
        i++;
    if (i < p.len && p.ptr[i] == ']')
        i++; /* a first ] stands for itself */
    while (i < p.len && p.ptr[i] != ']')
        i++;
    return i < p.len ? i + 1 : 0;
}

static bool class_has(struct str class, char c)
{
    bool negated = class.ptr[1] == '!', found = false;
    size_t end = class.len - 1;

    for (size_t i = negated ? 2 : 1; i < end; i++) {
        if (i + 2 < end && class.ptr[i + 1] == '-') {
            found |= c >= class.ptr[i] && c <= class.ptr[i + 2];
            i += 2;
        } else {
            found |= c == class.ptr[i];
        }
    }
    return found != negated;
}

/* Matches what stands at p, no star, against c. Returns its length in the pattern, 0: no match. */
static size_t match_one(struct str p, char c)
{
    size_t len;

    switch (p.ptr[0]) {
    case '?':
        return 1;
    case '[':
        len = class_len(p);
        return len > 0 && class_has(str_of(p.ptr, len), c) ? len : 0;
    case '\\':
        return p.len > 1 && p.ptr[1] == c ? 2 : 0;
    default:
        return p.ptr[0] == c ? 1 : 0;
    }
}

/* Without braces. After a mismatch only the last star needs to take one character more. */
static bool match_plain(struct str p, struct str text)
{
    size_t i = 0, k = 0, star = SIZE_MAX, star_text = 0;

    while (k < text.len) {
        size_t len = 0;

        if (i < p.len && p.ptr[i] == '*') {
            star = i++;
            star_text = k;
            continue;
        }
        if (i < p.len)
            len = match_one(str_cut(p, i), text.ptr[k]);
        if (len > 0) {
            i += len;
            k++;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            k = ++star_text;
        } else {
            return false;
        }
    }
    while (i < p.len && p.ptr[i] == '*')
        i++;
    return i == p.len;
}

/* Where the next { is, or p.len. */
static size_t find_brace(struct str p)
{
    size_t i = 0;

    while (i < p.len && p.ptr[i] != '{') {
        size_t len = p.ptr[i] == '\\' ? 2 : p.ptr[i] == '[' ? class_len(str_cut(p, i)) : 1;

        i += len > 0 ? len : 1;
    }
    return MIN(i, p.len);
}

static bool match_braces(struct str p, struct str text, unsigned depth);

/* Tries the pattern with one alternative in place of its braces. */
static bool match_alternative(struct str before, struct str alternative, struct str after,
                              struct str text, unsigned depth)
{
    char whole[PATTERN_MAX];
    struct buf b = {.ptr = whole, .cap = sizeof whole, .max = sizeof whole};

    buf_add_str(&b, before);
    buf_add_str(&b, alternative);
    buf_add_str(&b, after);
    return match_braces(buf_str(&b), text, depth + 1);
}

static bool match_braces(struct str p, struct str text, unsigned depth)
{
    size_t open = find_brace(p), close = open, level = 0;

    if (open == p.len)
        return match_plain(p, text);
    if (depth == BRACES_MAX)
        return false;
    for (; close < p.len; close++) {
        level += p.ptr[close] == '{';
        level -= p.ptr[close] == '}';
        if (level == 0)
            break;
    }
    if (close == p.len)
        return false;
    for (size_t from = open + 1, i = from; i <= close; i++) {
        level += p.ptr[i] == '{';
        if ((p.ptr[i] == ',' && level == 0) || i == close) {
            if (match_alternative(str_of(p.ptr, open), str_of(p.ptr + from, i - from),
                                  str_cut(p, close + 1), text, depth))
                return true;
            from = i + 1;
        } else {
            level -= p.ptr[i] == '}';
        }
    }
    return false;
}

bool ws_glob(struct str pattern, struct str text)
{
    if (pattern.len > PATTERN_MAX)
        return false;
    return match_braces(pattern, text, 0);
}
