/* Response heads. */
#include "codec/http.h"

const char *http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } rows[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Status";
}

static bool value_valid(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < 0x20 && value.ptr[i] != '\t')
            return false;
    return true;
}

static void add_status(struct buf *out, unsigned status)
{
    buf_add_lit(out, "HTTP/1.1 ");
    buf_add_u64(out, status);
    buf_add_char(out, ' ');
    buf_add_str(out, str_from(http_reason(status)));
}

void http_add_head(struct buf *out, const struct http_response *r)
{
    bool may_have_body = r->status >= 200 && r->status != 204 && r->status != 304;

    if (r->status == 200 && str_eq(r->type, STR("application/json"))) {
        buf_add_lit(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json");
    } else {
        add_status(out, r->status);
        if (r->type.len > 0 && value_valid(r->type)) {
            buf_add_lit(out, "\r\nContent-Type: ");
            buf_add_str(out, r->type);
        }
    }
    if (may_have_body) {
        buf_add_lit(out, "\r\nContent-Length: ");
        buf_add_u64(out, r->length);
    }
    if (r->date.len > 0) {
        buf_add_lit(out, "\r\nDate: ");
        buf_add_str(out, r->date);
    }
    for (size_t i = 0; i < r->extra_count; i++) {
        if (!value_valid(r->extra[i].value))
            continue;
        buf_add_lit(out, "\r\n");
        buf_add_str(out, r->extra[i].name);
        buf_add_lit(out, ": ");
        buf_add_str(out, r->extra[i].value);
    }
    if (r->close)
        buf_add_lit(out, "\r\nConnection: close");
    else if (r->http10)
        buf_add_lit(out, "\r\nConnection: keep-alive");
    buf_add_lit(out, "\r\n\r\n");
}
