#include "client/headers.h"

#include "base/log.h"
#include "base/utf8.h"

/* As much as a request may have. */
#define EMULATED_MAX 100
#define EMULATED_BYTES_MAX (16 * 1024)

static void pack(struct buf *packed, struct str name, struct str value)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        buf_add_char(packed, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
    }
    buf_add_char(packed, '\0');
    buf_add_str(packed, value);
    buf_add_char(packed, '\0');
}

bool headers_next(struct str *packed, struct str *name, struct str *value)
{
    if (packed->len == 0)
        return false;
    *name = str_of(packed->ptr, (size_t)str_find(*packed, '\0'));
    *packed = str_cut(*packed, name->len + 1);
    *value = str_of(packed->ptr, (size_t)str_find(*packed, '\0'));
    *packed = str_cut(*packed, value->len + 1);
    return true;
}

/* What a trusted reverse proxy says about the user: the last header of that name, which is the
 * one that the proxy added. */
static void keep_proxy_user(struct client *cl, const struct transport_request *r)
{
    struct str name = cl->core->settings->client_user_id_http_header;

    for (size_t i = r->header_count; name.len > 0 && i-- > 0;) {
        if (str_eq_nocase(r->headers[i].name, name)) {
            if (utf8_valid(r->headers[i].value))
                client_set_text(cl, CLIENT_USER, r->headers[i].value);
            else
                LOG_WITH(LOG_WARN, "the user in a header is not UTF-8", LOG_S("header", name));
            return;
        }
    }
}

static void keep_peer(struct client *cl)
{
    struct transport *t = cl->transport;
    struct buf packed = BUF_INIT(1024);
    char ip[CLIENT_IP_MAX];

    buf_add_str(&packed, str_from(t->ops->name));
    buf_add_char(&packed, '\0');
    buf_add_str(&packed, t->ops->peer(t, ip, sizeof ip));
    client_set_text(cl, CLIENT_PEER, buf_str(&packed));
    buf_deinit(&packed);
}

void headers_keep(struct client *cl, const struct transport_request *request)
{
    struct buf packed = BUF_INIT(1 << 20);

    keep_proxy_user(cl, request);
    if (!hook_wants_headers(cl->core->script))
        return;
    for (size_t i = 0; i < request->header_count; i++)
        pack(&packed, request->headers[i].name, request->headers[i].value);
    client_set_text(cl, CLIENT_HEADERS, buf_str(&packed));
    buf_deinit(&packed);
    keep_peer(cl);
}

static bool is_name(struct str name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(others, c))))
            return false;
    }
    return name.len > 0;
}

static bool is_value(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

enum err headers_keep_emulated(struct client *cl, struct wire_pairs pairs)
{
    struct buf packed = BUF_INIT(EMULATED_BYTES_MAX);
    enum err err = pairs.count > EMULATED_MAX ? ERR_LIMIT : OK;

    for (size_t i = 0; i < pairs.count && err == OK; i++) {
        if (!is_name(pairs.ptr[i].key) || !is_value(pairs.ptr[i].value))
            err = ERR_SYNTAX;
        pack(&packed, pairs.ptr[i].key, pairs.ptr[i].value);
    }
    if (err == OK && packed.overflow)
        err = ERR_LIMIT;
    if (err == OK && hook_wants_headers(cl->core->script) && packed.len > 0)
        client_set_text(cl, CLIENT_EMULATED, buf_str(&packed));
    buf_deinit(&packed);
    return err;
}
