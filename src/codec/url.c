#include "codec/url.h"

#define PORT_MAX 65535

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Cuts what stands before the first of the bytes in stop off the front of rest. */
static struct str take_until(struct str *rest, const char *stop)
{
    struct str head;
    size_t n = 0;

    while (n < rest->len && strchr(stop, rest->ptr[n]) == NULL)
        n++;
    head = str_of(rest->ptr, n);
    *rest = str_cut(*rest, n);
    return head;
}

static bool take_scheme(struct str *rest, struct url *out)
{
    struct str http = STR("http://"), https = STR("https://");

    if (rest->len > https.len && str_eq_nocase(str_of(rest->ptr, https.len), https)) {
        out->tls = true;
        *rest = str_cut(*rest, https.len);
        return true;
    }
    if (rest->len > http.len && str_eq_nocase(str_of(rest->ptr, http.len), http)) {
        *rest = str_cut(*rest, http.len);
        return true;
    }
    return false;
}

/* "[…]": the digits are looked at when the address is used. */
static bool split_ipv6(struct str authority, struct str *host, struct str *port)
{
    ptrdiff_t end = str_find(authority, ']');

    if (end < 3)
        return false;
    *host = str_of(authority.ptr + 1, (size_t)end - 1);
    *port = str_cut(authority, (size_t)end + 1);
    for (size_t i = 0; i < host->len; i++) {
        char c = host->ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
              c == ':' || c == '.'))
            return false;
    }
    return port->len == 0 || port->ptr[0] == ':';
}

static bool split_name(struct str authority, struct str *host, struct str *port)
{
    ptrdiff_t colon = str_find(authority, ':');

    *host = str_of(authority.ptr, colon < 0 ? authority.len : (size_t)colon);
    *port = str_cut(authority, host->len);
    if (host->len == 0)
        return false;
    for (size_t i = 0; i < host->len; i++) {
        char c = host->ptr[i];

        if (!is_alnum(c) && c != '.' && c != '-' && c != '_')
            return false;
    }
    return true;
}

/* Does it look like an IPv4 address? Names whose last label is a number do not exist. */
static bool is_ipv4(struct str host)
{
    struct str last = str_cut(host, (size_t)(str_rfind(host, '.') + 1));

    for (size_t i = 0; i < last.len; i++) {
        if (last.ptr[i] < '0' || last.ptr[i] > '9')
            return false;
    }
    return last.len > 0;
}

static bool take_authority(struct str *rest, struct url *out)
{
    struct str port;
    uint64_t number = out->tls ? 443 : 80;

    out->authority = take_until(rest, "/?#");
    if (out->authority.len > 0 && out->authority.ptr[0] == '[') {
        out->literal = true;
        if (!split_ipv6(out->authority, &out->host, &port))
            return false;
    } else {
        if (!split_name(out->authority, &out->host, &port))
            return false;
        out->literal = is_ipv4(out->host);
    }
    if (port.len > 0 && !str_to_u64(str_cut(port, 1), PORT_MAX, &number))
        return false;
    out->port = (unsigned)number;
    return number > 0 && out->host.len <= URL_HOST_MAX;
}

enum err url_parse(struct str text, struct url *out)
{
    struct str rest = text;

    *out = (struct url){.port = 0};
    if (text.len > URL_BYTES_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return ERR_SYNTAX;
    }
    if (!take_scheme(&rest, out) || !take_authority(&rest, out))
        return ERR_SYNTAX;
    out->target = take_until(&rest, "#");
    rest = out->target;
    out->path = take_until(&rest, "?");
    return OK;
}

/* "." or ".." with any dot written as %2e. */
static bool is_dots(struct str segment)
{
    size_t dots = 0;

    while (segment.len > 0) {
        if (segment.ptr[0] == '.')
            segment = str_cut(segment, 1);
        else if (segment.len >= 3 && str_eq_nocase(str_of(segment.ptr, 3), STR("%2e")))
            segment = str_cut(segment, 3);
        else
            return false;
        dots++;
    }
    return dots == 1 || dots == 2;
}

bool url_path_is_clean(struct str path)
{
    if (path.len == 0)
        return true;
    if (path.ptr[0] != '/')
        return false;
    path = str_cut(path, 1);
    while (path.len > 0) {
        struct str segment = take_until(&path, "/");

        if (segment.len == 0 || is_dots(segment))
            return false;
        path = str_cut(path, MIN(path.len, (size_t)1));
    }
    return true;
}
