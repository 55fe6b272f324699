#include "client/codes.h"

#include "base/check.h"

struct wire_error codes_error(enum client_error code)
{
    switch (code) {
#define X(name, number, text, once)                                                                \
    case ERROR_##name:                                                                             \
        return (struct wire_error){.code = (number), .message = STR(text), .temporary = (once)};
        ERROR_LIST(X)
#undef X
    }
    panic("no such error code: %d", (int)code);
}

struct str codes_reason(uint32_t code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case DISCONNECT_##name:                                                                        \
        return STR(text);
        DISCONNECT_LIST(X)
#undef X
    }
    return STR("disconnected");
}

struct str codes_disconnect(enum disconnect code)
{
    return codes_reason(code);
}

struct str codes_unsubscribe(enum unsubscribe code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case UNSUBSCRIBE_##name:                                                                       \
        return STR(text);
        UNSUBSCRIBE_LIST(X)
#undef X
    }
    panic("no such unsubscribe code: %d", (int)code);
}
