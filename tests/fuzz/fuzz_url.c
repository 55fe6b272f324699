/* A URL: what is accepted is made of parts of the text, in their places, and within the limits. */
#include "base/check.h"
#include "codec/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct str part, struct str text)
{
    return part.len == 0 || (part.ptr >= text.ptr && part.ptr + part.len <= text.ptr + text.len);
}

static void check_parts(const struct url *u, struct str text)
{
    CHECK(within(u->host, u->authority) && within(u->authority, text));
    CHECK(within(u->path, u->target) && within(u->target, text));
    CHECK(u->host.len > 0 && u->host.len <= URL_HOST_MAX);
    CHECK(u->port > 0 && u->port <= 65535);
    CHECK(u->target.len == 0 || u->target.ptr[0] == '/' || u->target.ptr[0] == '?');
    CHECK(str_find(u->target, '#') < 0 && str_find(u->path, '?') < 0);
    CHECK(str_find(u->authority, '@') < 0);    /* nobody is logged in by a URL */
    for (size_t i = 0; i < u->target.len; i++) /* it goes into a request line as it is */
        CHECK(u->target.ptr[i] > ' ' && u->target.ptr[i] <= '~');
}

/* A clean path has nothing that leads out of it, however it is written. */
static void check_clean(struct str path)
{
    char plain[URL_BYTES_MAX + 2];
    size_t n = 0;

    CHECK(path.len == 0 || path.ptr[0] == '/');
    for (size_t i = 0; i < path.len; n++) {
        bool dot = path.len - i >= 3 && str_eq_nocase(str_of(path.ptr + i, 3), STR("%2e"));

        plain[n] = dot ? '.' : path.ptr[i];
        i += dot ? 3 : 1;
    }
    plain[n++] = '/';
    plain[n] = '\0';
    CHECK(strstr(plain, "/../") == NULL && strstr(plain, "/./") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct url url;

    if (url_parse(text, &url) != OK)
        return 0;
    check_parts(&url, text);
    if (url_path_is_clean(url.path))
        check_clean(url.path);
    return 0;
}
