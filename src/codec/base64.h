/* Base64 in both alphabets, strict: a text has exactly one spelling. Blanks, wrong or missing
 * padding and stray bits behind the last byte are refused. Owns nothing. Any thread. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum base64 {
    BASE64_STD, /* "+/", padded with "=" */
    BASE64_URL, /* "-_", never padded: what JWT and JWK use */
};

void base64_add(enum base64 kind, struct buf *out, struct str bytes);

/* ERR_SYNTAX leaves out untouched. */
enum err base64_decode(enum base64 kind, struct str text, struct arena *a,
                       struct str *out) NODISCARD;
/* The same onto the end of out; ERR_LIMIT when out is full. */
enum err base64_decode_add(enum base64 kind, struct str text, struct buf *out) NODISCARD;
