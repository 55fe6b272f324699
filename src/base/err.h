/* Operating errors: what our own functions return. What a client is told (codes of the protocol)
 * is another table, client/codes.h. */
#pragma once

enum err {
    OK = 0,
    ERR_SYNTAX,    /* input does not parse */
    ERR_LIMIT,     /* a configured maximum is reached */
    ERR_EXISTS,    /* already there */
    ERR_NOT_FOUND, /* not there */
    ERR_CLOSED,    /* the other side is gone */
    ERR_BUSY,      /* cannot be taken now; try later */
    ERR_IO,        /* the operating system refused */
    ERR_DENIED,    /* not allowed, or not authentic */
    ERR_EXPIRED,   /* authentic, but its time is over */
    ERR_CONFIG,    /* configuration is wrong; a message was logged */
    ERR_SCRIPT,    /* a Lua function failed; its traceback was logged */
};
