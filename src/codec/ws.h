/* WebSocket frames (RFC 6455): client frames in, headers of server frames out, and what the opening
 * handshake needs. Input is unmasked in place, so a message that lies whole in the caller's buffer
 * is handed over without a copy; only an unfinished frame or message owns memory, and an idle
 * connection owns none. Any thread; a struct ws_input belongs to one connection. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
};

enum ws_code {
    WS_CODE_NORMAL = 1000,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_NONE = 1005, /* a close frame without a code; never on the wire */
    WS_CODE_INVALID = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_BIG = 1009,
};

#define WS_CONTROL_MAX 125 /* payload of a control frame */
#define WS_REASON_MAX 123  /* of a close reason */
#define WS_HEADER_MAX 10   /* of an unmasked frame header */
#define WS_CLOSE_FRAME_MAX 127
#define WS_ACCEPT_LEN 28

/* ---- input ---- */

/* What a connection may send. */
struct ws_terms {
    size_t message_max; /* bytes of a message as it is on the wire */
    bool deflate;       /* permessage-deflate was agreed on */
};

struct ws_partial; /* a frame or message that is not complete yet */

struct ws_input {
    struct ws_partial *partial; /* NULL between messages */
};

enum ws_event {
    WS_MORE, /* everything is consumed */
    WS_GOT_MESSAGE,
    WS_GOT_PING,
    WS_GOT_PONG,
    WS_GOT_CLOSE, /* code: the peer's, or WS_CODE_NONE; payload: its reason */
    WS_FAILED,    /* code: what to close with; nothing more may be fed */
};

struct ws_frame {
    struct str payload; /* valid until the next call on this input */
    enum ws_opcode opcode;
    enum ws_code code;
    bool compressed; /* a message to be expanded; if it is text, nobody has looked whether it is */
};

/* Takes the next event out of *bytes, which is changed in place and moved on. A message may have at
 * most terms->message_max bytes, whatever its header announces: no memory is taken for more than
 * arrived. */
enum ws_event ws_next(struct ws_input *in, const struct ws_terms *terms, char **bytes, size_t *n,
                      struct ws_frame *out);
void ws_input_deinit(struct ws_input *in);
size_t ws_input_memory(const struct ws_input *in); /* bytes it owns now */

/* ---- output ---- */

/* The header of an unmasked, unfragmented frame; returns its length. */
size_t ws_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, size_t len);
/* Says in such a header that the payload is a compressed message. */
static inline void ws_header_compressed(char out[WS_HEADER_MAX])
{
    out[0] = (char)(out[0] | 0x40);
}
/* What such a frame carries. */
struct str ws_payload(struct str frame);
/* A whole close frame, the reason cut to fit at the end of a character; WS_CODE_NONE: an empty one.
 * Returns its length. */
size_t ws_close_frame(char out[WS_CLOSE_FRAME_MAX], uint32_t code, struct str reason);
/* A code that may stand in a close frame. */
bool ws_code_valid(uint32_t code);

/* ---- opening handshake ---- */

/* Is key the base64 text of 16 bytes? */
bool ws_key_valid(struct str key);
void ws_accept_key(struct str key, char out[WS_ACCEPT_LEN]);
/* Takes the next element of a comma-separated header value, trimmed; false at the end. Empty
 * elements are skipped. */
bool ws_next_token(struct str *list, struct str *token);
/* Is token, in any case, an element of the list? */
bool ws_list_has(struct str list, struct str token);
/* Does a Sec-WebSocket-Extensions header offer permessage-deflate, whatever its parameters? What
 * stands behind a string without an end is not looked at. */
bool ws_offers_deflate(struct str offers);
/* Does text match a pattern of * ? [abc] [a-z] [!a] {a,b} \x? Nothing separates: * matches any run
 * of bytes. Braces in braces or in a row go 8 deep; a broken pattern matches nothing. Pattern ×
 * text steps at most for each combination of alternatives. */
bool ws_glob(struct str pattern, struct str text);
