#include "codec/http_head.h"

#include "codec/ws.h"

#include <llhttp.h>

/* What may stand in a name, in lower case; 0: nothing else may. */
static const char token[256] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0!\0#$%&'\0\0*+\0-.\0"
                               "0123456789\0\0\0\0\0\0"
                               "\0abcdefghijklmno"
                               "pqrstuvwxyz\0\0\0^_"
                               "`abcdefghijklmno"
                               "pqrstuvwxyz\0|\0~\0";

enum step {
    STEP_DONE,
    STEP_SHORT,  /* the bytes end before it does */
    STEP_BROKEN, /* it is refused: with 400, if no status was noted */
};

struct walk {
    char *at, *end;
    unsigned status;
};

size_t http_head_end(struct str bytes, size_t from)
{
    const char *found = NULL;

    if (from < bytes.len)
        found = memmem(bytes.ptr + from, bytes.len - from, "\r\n\r\n", 4);
    return found ? (size_t)(found - bytes.ptr) + 4 : 0;
}

/* ---- the request line ---- */

/* The status that refuses a whole line. */
static unsigned refuse_line(struct str line)
{
    ptrdiff_t first = str_find(line, ' '), last = str_rfind(line, ' ');
    struct str version;

    if (line.len > HTTP_LINE_MAX)
        return 414;
    if (first <= 0 || last <= first + 1)
        return 400;
    if (memchr(line.ptr + first + 1, ' ', (size_t)(last - first - 1)))
        return 400;
    version = str_cut(line, (size_t)last + 1);
    if (str_eq(version, STR("HTTP/1.1")) || str_eq(version, STR("HTTP/1.0")))
        return 400; /* the method or the target is to blame */
    return version.len == 8 && str_starts(version, STR("HTTP/")) ? 505 : 400;
}

static enum step broken_line(struct walk *w, char *line)
{
    char *lf = memchr(line, '\n', (size_t)(w->end - line));

    if (lf == NULL)
        return STEP_SHORT;
    w->status = 400;
    if (lf > line && lf[-1] == '\r')
        w->status = refuse_line(str_of(line, (size_t)(lf - 1 - line)));
    return STEP_BROKEN;
}

/* What may stand in a target: every visible character but '#'. */
static const bool target_chars[256] = {['!' ... '"'] = true, ['$' ... '~'] = true};

/* Notes target and version and yields the method. */
static enum step read_line(struct walk *w, struct http_request *req, struct str *method)
{
    static const char version[] = " HTTP/1.1\r\n";
    char *const line = w->at, *const end = w->end;
    char *at = line, *target;

    while (at < end && token[(unsigned char)*at])
        at++;
    if (at == end || *at != ' ')
        return broken_line(w, line);
    *method = str_of(line, (size_t)(at - line));
    target = at + 1;
    for (at = target; at < end && target_chars[(unsigned char)*at];)
        at++;
    req->target = str_of(target, (size_t)(at - target));
    if ((size_t)(end - at) < sizeof version - 1 || memcmp(at, version, 8) != 0 ||
        (at[8] != '1' && at[8] != '0') || memcmp(at + 9, version + 9, 2) != 0 ||
        at + 9 - line > HTTP_LINE_MAX)
        return broken_line(w, line);
    req->minor = (unsigned)(at[8] - '0');
    w->at = at + sizeof version - 1;
    return STEP_DONE;
}

/* CONNECT is known and has no bit: 0. False: nobody knows it. */
static bool read_method(struct str name, enum http_method *method)
{
    static const struct {
        struct str name;
        enum http_method method;
    } ours[] = {
        {STR("POST"), HTTP_METHOD_POST},       {STR("GET"), HTTP_METHOD_GET},
        {STR("OPTIONS"), HTTP_METHOD_OPTIONS}, {STR("HEAD"), HTTP_METHOD_HEAD},
        {STR("PUT"), HTTP_METHOD_PUT},         {STR("DELETE"), HTTP_METHOD_DELETE},
        {STR("PATCH"), HTTP_METHOD_PATCH},     {STR("CONNECT"), 0},
    };
    static const char *const others[] = {
#define X(number, symbol, text) #text,
        HTTP_METHOD_MAP(X)
#undef X
    };

    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (str_eq(name, ours[i].name)) {
            *method = ours[i].method;
            return true;
        }
    }
    *method = HTTP_METHOD_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (str_eq(name, str_from(others[i])))
            return true;
    }
    return false;
}

/* What may stand between "//" and the path: user, host and port. */
static bool authority_valid(struct str text)
{
    size_t ats = 0;

    for (size_t i = 0; i < text.len; i++) {
        ats += text.ptr[i] == '@';
        if (!token[(unsigned char)text.ptr[i]] && memchr(":[]@();=,", text.ptr[i], 9) == NULL)
            return false;
        if (memchr("#^`|", text.ptr[i], 4) != NULL)
            return false;
    }
    return ats <= 1;
}

/* Splits the target into path and query. The absolute form is for proxies but must be understood.
 */
static bool split_target(struct http_request *req)
{
    struct str rest = req->target, authority;
    ptrdiff_t mark;

    if (str_starts(rest, STR("http://")) || str_starts(rest, STR("https://"))) {
        rest = str_cut(rest, (size_t)str_find(rest, ':') + 3);
        mark = str_find(rest, '/');
        authority = mark < 0 ? rest : str_of(rest.ptr, (size_t)mark);
        rest = mark < 0 ? STR("/") : str_cut(rest, (size_t)mark);
        mark = str_find(authority, '?');
        if (!authority_valid(mark < 0 ? authority : str_of(authority.ptr, (size_t)mark)))
            return false;
    }
    if (!str_starts(rest, STR("/")) && !str_eq(rest, STR("*")))
        return false;
    mark = str_find(rest, '?');
    req->path = mark < 0 ? rest : str_of(rest.ptr, (size_t)mark);
    req->query = mark < 0 ? STR_NONE : str_cut(rest, (size_t)mark + 1);
    return true;
}

/* ---- headers ---- */

#define ONES 0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

/* The first control character from at on, or end. Of eight bytes at once, a subtraction marks one
 * by its borrow, which can only mark bytes behind it wrongly. */
static char *find_control(char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t v, del, marks;

        memcpy(&v, at, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
#endif
        del = v ^ ONES * 0x7F;
        marks = (((v - ONES * 0x20) & ~v) | ((del - ONES) & ~del)) & HIGH_BITS;
        if (marks != 0)
            return at + __builtin_ctzll(marks) / 8;
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && *at != 0x7F)
        at++;
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line: a name, a colon right after it, and a value without control characters but tab. A line
 * that begins with a blank (folding) has no name. */
static enum step read_header(struct walk *w, struct http_header *out)
{
    char *const name = w->at, *const end = w->end;
    char *at = name, *value, c;

    while (at < end && (c = token[(unsigned char)*at]) != 0)
        *at++ = c;
    if (at == end)
        return STEP_SHORT;
    if (at == name || *at != ':')
        return STEP_BROKEN;
    out->name = str_of(name, (size_t)(at - name));
    for (value = at + 1; value < end && is_blank(*value);)
        value++;
    for (at = value; (at = find_control(at, end)) < end && *at == '\t';)
        at++;
    if (end - at < 2)
        return STEP_SHORT;
    if (at[0] != '\r' || at[1] != '\n')
        return STEP_BROKEN;
    w->at = at + 2;
    while (at > value && is_blank(at[-1]))
        at--;
    out->value = str_of(value, (size_t)(at - value));
    return STEP_DONE;
}

/* All lines, and the empty one. */
static enum step read_headers(struct walk *w, struct http_request *req)
{
    enum step step;

    for (req->header_count = 0;; req->header_count++) {
        if (w->end - w->at < 2)
            return STEP_SHORT;
        if (w->at[0] == '\r' && w->at[1] == '\n') {
            w->at += 2;
            return STEP_DONE;
        }
        if (req->header_count == HTTP_HEADERS_MAX) {
            w->status = 431;
            return STEP_BROKEN;
        }
        step = read_header(w, &req->headers[req->header_count]);
        if (step != STEP_DONE)
            return step;
    }
}

/* ---- what the headers say ---- */

struct said {
    unsigned hosts, lengths, codings;
    struct str length, coding, expect;
    bool close, keep_alive, upgrade, has_upgrade;
};

static void read_connection(struct said *said, struct str list)
{
    struct str item;

    while (ws_next_token(&list, &item)) {
        said->close |= str_eq_nocase(item, STR("close"));
        said->keep_alive |= str_eq_nocase(item, STR("keep-alive"));
        said->upgrade |= str_eq_nocase(item, STR("upgrade"));
    }
}

static void read_said(struct said *said, struct http_request *req)
{
    for (size_t i = 0; i < req->header_count; i++) {
        struct str name = req->headers[i].name, value = req->headers[i].value;

        switch (name.len) {
        case sizeof "host" - 1:
            if (str_eq(name, STR("host")) && said->hosts++ == 0)
                req->host = value;
            break;
        case sizeof "expect" - 1:
            if (str_eq(name, STR("expect")))
                said->expect = value;
            break;
        case sizeof "upgrade" - 1:
            said->has_upgrade |= str_eq(name, STR("upgrade"));
            break;
        case sizeof "connection" - 1:
            if (str_eq(name, STR("connection")))
                read_connection(said, value);
            break;
        case sizeof "content-length" - 1:
            if (str_eq(name, STR("content-length")) && said->lengths++ == 0)
                said->length = value;
            break;
        case sizeof "proxy-connection" - 1:
            if (str_eq(name, STR("proxy-connection")))
                read_connection(said, value);
            break;
        case sizeof "transfer-encoding" - 1:
            if (str_eq(name, STR("transfer-encoding")) && said->codings++ == 0)
                said->coding = value;
            break;
        }
    }
}

static bool host_valid(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        if (!token[(unsigned char)c] && c != ':' && c != '[' && c != ']')
            return false;
    }
    return true;
}

/* Digits, and nothing but spaces behind them. */
static bool length_valid(struct str text, uint64_t *length)
{
    const char *behind = text.ptr + text.len;

    if (text.len > 1 && text.ptr[0] == '0')
        return false;
    if (!str_to_u64(text, UINT64_MAX >> 1, length))
        return false;
    while (*behind == ' ')
        behind++;
    return *behind == '\r';
}

/* Host and the two ways to announce a body, where parsers that disagree let requests be smuggled.
 */
static unsigned check_framing(const struct said *said, struct http_request *req,
                              struct http_framing *framing)
{
    *framing = (struct http_framing){.chunked = said->codings == 1};
    if (said->hosts > 1 || (said->hosts == 0 && req->minor == 1) || !host_valid(req->host))
        return 400;
    if (said->lengths + said->codings > 1)
        return 400;
    if (framing->chunked && (req->minor == 0 || !str_eq_nocase(said->coding, STR("chunked"))))
        return 400;
    if (said->lengths == 1 && !length_valid(said->length, &framing->length))
        return 400;
    return 0;
}

static unsigned check(struct http_request *req, struct str method, struct http_framing *framing)
{
    struct said said = {0};
    unsigned status;

    if (!read_method(method, &req->method))
        return 400;
    if (req->method == 0)
        return 405;
    if (!split_target(req))
        return 400;
    req->host = STR_NONE;
    read_said(&said, req);
    status = check_framing(&said, req, framing);
    req->keep_alive = !said.close && (req->minor == 1 || said.keep_alive);
    req->upgrade = said.upgrade && said.has_upgrade;
    req->has_body = framing->chunked || framing->length > 0;
    req->expect_continue = req->has_body && str_eq_nocase(said.expect, STR("100-continue"));
    return status;
}

size_t http_head_read(char *bytes, size_t n, struct http_request *req, struct http_framing *framing,
                      unsigned *status)
{
    struct walk w = {.at = bytes, .end = bytes + n};
    struct str method = STR_NONE;
    enum step step = read_line(&w, req, &method);
    size_t size;

    *status = 0;
    if (step == STEP_DONE)
        step = read_headers(&w, req);
    if (step == STEP_SHORT)
        return 0;
    if (step == STEP_DONE) {
        size = (size_t)(w.at - bytes);
    } else {
        size = http_head_end(str_of(bytes, n), 0);
        *status = w.status != 0 ? w.status : 400;
    }
    if (size > HTTP_HEAD_BYTES_MAX)
        *status = str_find(str_of(bytes, size), '\n') > HTTP_LINE_MAX + 1 ? 414 : 431;
    else if (*status == 0)
        *status = check(req, method, framing);
    return size;
}
