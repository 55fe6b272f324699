/* URLs of http and https, taken apart strictly: what a server and a proxy could read differently
 * (user names, blanks, control bytes, bytes above ASCII) is refused. Any thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define URL_BYTES_MAX 8192
#define URL_HOST_MAX 253

struct url {
    bool tls;
    bool literal;    /* the host is an IP address */
    struct str host; /* as written; an IPv6 address without its brackets */
    unsigned port;
    struct str authority; /* for the Host header, as written */
    struct str path;      /* without query; empty when the URL ends before it */
    struct str target; /* path and query for the request line; begins with "?" or is empty, too */
};

/* Slices point into text. ERR_SYNTAX. A fragment is left out. */
enum err url_parse(struct str text, struct url *out) NODISCARD;
/* No empty segment and no "." or "..", written plainly or as "%2e": nothing that cleaning would
 * change. */
bool url_path_is_clean(struct str path);
