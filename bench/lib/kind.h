/* How a client wants its messages: JSON, Protobuf, JSON with permessage-deflate, or JSON with
 * Fossil deltas. What arrives is brought back to the publication's own bytes, so that the books are
 * kept for all of them alike; inflating and patching is the server's own tested code. One thread.
 */
#pragma once

#include "digest.h"
#include "net.h"

#include "codec/deflate.h"
#include "codec/fossil.h"
#include "codec/json.h"

#define KIND_MESSAGE_MAX (4u << 20)

enum kind { KIND_JSON, KIND_PROTOBUF, KIND_DEFLATE, KIND_DELTA };

static inline bool kind_of(const char *name, enum kind *out)
{
    static const char *const names[] = {"json", "protobuf", "deflate", "delta"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum kind)i;
            return true;
        }
    }
    return false;
}

/* Header lines of the upgrade request. */
static inline const char *kind_headers(enum kind k)
{
    return k == KIND_PROTOBUF  ? "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n"
           : k == KIND_DEFLATE ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                               : "";
}

static inline size_t kind_varint(char *out, size_t value)
{
    size_t n = 0;
    for (; value > 127; value >>= 7) {
        out[n++] = (char)(value | 128);
    }
    out[n++] = (char)value;
    return n;
}

/* A Protobuf command { id, method: { 1: text } }, with its length in front. Method is the field's
 * number. Returns its length, 0 if it does not fit. */
static inline size_t kind_command(char *out, size_t cap, int id, int method, const char *text)
{
    char inner[16], head[32];
    size_t len = strlen(text), n = 0, in = 0;

    if (len > 0) {
        inner[in++] = 0x0a;
        in += kind_varint(inner + in, len);
    }
    head[n++] = 0x08;
    head[n++] = (char)id;
    head[n++] = (char)(method << 3 | 2);
    n += kind_varint(head + n, in + len);
    if (n + in + len + 3 > cap) {
        return 0;
    }
    size_t at = kind_varint(out, n + in + len);
    memcpy(out + at, head, n);
    memcpy(out + at + n, inner, in);
    memcpy(out + at + n + in, text, len);
    return at + n + in + len;
}

/* Writes connect and subscribe as the SDKs send them, in one message. 0: it does not fit. */
static inline size_t kind_join(enum kind k, char *out, size_t cap, const char *token,
                               const char *channel)
{
    if (k == KIND_PROTOBUF) {
        size_t n = kind_command(out, cap, 1, 4, token);
        size_t m = n == 0 ? 0 : kind_command(out + n, cap - n, 2, 5, channel);
        return m == 0 ? 0 : n + m;
    }
    bool has = token[0] != '\0';
    int n = snprintf(out, cap,
                     "{\"id\":1,\"connect\":{%s%s%s}}\n"
                     "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"%s}}",
                     has ? "\"token\":\"" : "", token, has ? "\"" : "", channel,
                     k == KIND_DELTA ? ",\"delta\":\"fossil\"" : "");
    return n < (int)cap ? (size_t)n : 0;
}

/* Takes the next reply of a message: a line of JSON, or what a length in front bounds. False: there
 * is none, or it is broken. */
static inline bool kind_next(enum kind k, const char **at, const char *end, const char **reply,
                             size_t *len)
{
    const char *p = *at;
    if (p >= end) {
        return false;
    }
    if (k != KIND_PROTOBUF) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        *reply = p;
        *len = (size_t)((line_end == NULL ? end : line_end) - p);
        *at = line_end == NULL ? end : line_end + 1;
        return true;
    }
    size_t size = 0;
    for (int shift = 0; p < end && shift < 35; shift += 7) {
        unsigned char c = (unsigned char)*p++;
        size |= (size_t)(c & 127) << shift;
        if (c < 128) {
            break;
        }
    }
    *reply = p;
    *len = size;
    *at = p + size;
    return size <= (size_t)(end - p);
}

static inline bool kind_is_ping(enum kind k, const char *reply, size_t len)
{
    return k == KIND_PROTOBUF ? len == 0 : len == 2 && reply[0] == '{';
}

/* Is it the reply to the subscribe command of kind_join? */
static inline bool kind_is_subscribed(enum kind k, const char *reply, size_t len)
{
    return k == KIND_PROTOBUF ? len >= 3 && memcmp(reply, "\x08\x02\x32", 3) == 0
                              : memmem(reply, len, "\"subscribe\"", 11) != NULL;
}

static inline bool kind_is_error(enum kind k, const char *reply, size_t len)
{
    return k == KIND_PROTOBUF ? len >= 3 && reply[0] == 0x08 && reply[2] == 0x12
                              : memmem(reply, len, "\"error\"", 7) != NULL;
}

/* ---- deltas ---- */

/* Brings the data of a delta subscription's push back to plain text, which lives in *out and
 * becomes the base of the next. False: it has no data, or it cannot be applied. */
static inline bool kind_patch(struct net_buf *base, const char *reply, size_t len, struct str *out)
{
    static struct arena arena;
    static struct buf made = BUF_INIT(KIND_MESSAGE_MAX);
    const char *mark = memmem(reply, len, "\"data\":\"", 8);
    struct str rest, value, text;

    if (mark == NULL) {
        return false;
    }
    arena_reset(&arena);
    rest = str_of(mark + 7, (size_t)(reply + len - mark) - 7);
    if (json_skip(&rest, &value) != OK || json_string(value, &arena, &text) != OK) {
        return false;
    }
    if (memmem(reply, len, "\"delta\":true", 12) != NULL) {
        buf_clear(&made);
        if (fossil_apply(str_of(base->data, base->len), text, &made) != OK) {
            return false;
        }
        text = buf_str(&made);
    }
    base->len = 0;
    net_append(base, text.ptr, text.len, KIND_MESSAGE_MAX);
    *out = text;
    return true;
}

/* ---- permessage-deflate ---- */

/* The message behind a compressed payload; lives until the next call. */
static inline bool kind_inflate(struct str payload, struct str *out)
{
    static struct deflate *deflate;
    static struct buf made = BUF_INIT(KIND_MESSAGE_MAX);

    if (deflate == NULL) {
        deflate = deflate_new();
    }
    buf_clear(&made);
    if (deflate_expand(deflate, payload, &made) != OK) {
        return false;
    }
    *out = buf_str(&made);
    return true;
}
