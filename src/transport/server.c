#include "transport/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "transport/http_conn.h"
#include "transport/server_types.h"

#include <time.h>

/* Connections the kernel may hold for us while a worker is busy: a reconnect storm must not meet a
 * full queue. */
#define BACKLOG 4096

#define HEAD_MAX 65536 /* of a response */

/* When so many and a quarter of the most have gone, their memory is given back: a little later,
 * since those who come back at once would only have to fetch it again, and not too often. */
#define CROWD_MIN 200
#define TRIM_AFTER_MS 1000
#define TRIM_EVERY_MS 5000

static void on_trim(struct timer *t);

struct server *server_new(struct core *core)
{
    struct server *s = mem_zalloc(sizeof *s);

    s->core = core;
    s->head = BUF_INIT(HEAD_MAX);
    s->gathered = BUF_INIT(GATHERED_MAX);
    s->usual_head = BUF_INIT(GATHERED_MAX);
    list_init(&s->https);
    s->trim = TIMER_INIT(on_trim);
    core->server = s;
    return s;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    CHECK(s->open == 0);
    timer_unset(&s->core->worker->timers, &s->trim);
    server_clear_routes(s);
    http_parser_free(s->spare);
    mem_free(s->spare_exchange);
    buf_deinit(&s->head);
    buf_deinit(&s->gathered);
    buf_deinit(&s->usual_head);
    mem_free(s);
}

/* ---- routes ---- */

/* Longer paths stand first, so that the first route that fits is the one that is meant. */
void server_add_route(struct server *s, const struct route *route)
{
    struct route *r = &s->routes[s->route_count];
    struct str path = route->path;

    CHECK(s->route_count < ROUTES_MAX);
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    for (; r > s->routes && r[-1].path.len < path.len; r--)
        *r = r[-1];
    *r = *route;
    r->path = str_dup(path);
    if (r->methods & HTTP_METHOD_GET)
        r->methods |= HTTP_METHOD_HEAD;
    s->route_count++;
}

void server_clear_routes(struct server *s)
{
    for (size_t i = 0; i < s->route_count; i++)
        str_free(&s->routes[i].path);
    s->route_count = 0;
}

static bool route_fits(const struct route *r, struct str path)
{
    if (str_eq(r->path, path))
        return true;
    if (!r->is_prefix || !str_starts(path, r->path))
        return false;
    return r->path.ptr[r->path.len - 1] == '/' || path.ptr[r->path.len] == '/';
}

/* The longest path wins, so an exact route stands before the prefix it lies under. */
const struct route *server_route(const struct server *s, struct str path)
{
    for (size_t i = 0; i < s->route_count; i++)
        if (route_fits(&s->routes[i], path))
            return &s->routes[i];
    return NULL;
}

/* ---- what connections share ---- */

struct str server_date(struct server *s)
{
    uint64_t turn_ms = s->core->worker->now_ms;
    time_t now;
    struct tm tm;

    if (s->date_len > 0 && turn_ms == s->date_ms)
        return str_of(s->date, s->date_len);
    s->date_ms = turn_ms;
    now = (time_t)(clock_wall_ms() / 1000);
    if ((uint64_t)now != s->date_s && gmtime_r(&now, &tm)) {
        s->date_len = (uint8_t)strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = (uint64_t)now;
    }
    return str_of(s->date, s->date_len);
}

struct http_parser *server_take_parser(struct server *s)
{
    struct http_parser *p = s->spare;

    s->spare = NULL;
    return p ? p : http_parser_new();
}

void server_give_parser(struct server *s, struct http_parser *p)
{
    if (!p)
        return;
    if (s->spare) {
        http_parser_free(p);
        return;
    }
    http_parser_reset(p);
    s->spare = p;
}

/* ---- listening ---- */

static void on_connection(void *arg, struct worker *w, int fd)
{
    http_conn_accept(arg, fd);
}

enum err server_listen(struct server *s, struct str address, int port)
{
    char *text = str_dupz(address.len > 0 ? address : STR_NONE);
    enum err err =
        listener_open(s->core->worker, text, port, BACKLOG, on_connection, s, &s->listener);

    mem_free(text);
    return err;
}

void server_drain(struct server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    if (s->listener)
        listener_close(s->listener);
    s->listener = NULL;
    list_each_safe (&s->https, it)
        http_conn_finish(container_of(it, struct http_conn, in_server));
}

/* ---- connections ---- */

static void on_trim(struct timer *t)
{
    struct server *s = container_of(t, struct server, trim);
    struct worker *w = s->core->worker;

    if (s->open + CROWD_MIN <= s->trim_open) { /* they are still going */
        s->trim_open = s->open;
        timer_set(&w->timers, t, w->now_ms + TRIM_AFTER_MS);
        return;
    }
    mem_trim();
    s->trimmed_ms = w->now_ms;
    s->crowd = s->open;
}

void server_enter(struct server *s)
{
    s->open++;
    s->crowd = MAX(s->crowd, s->open);
}

void server_leave(struct server *s)
{
    uint64_t now_ms = s->core->worker->now_ms;

    s->open--;
    if (s->crowd - s->open < MAX((size_t)CROWD_MIN, s->crowd / 4) || timer_is_set(&s->trim))
        return;
    s->trim_open = s->open;
    timer_set(&s->core->worker->timers, &s->trim,
              MAX(now_ms + TRIM_AFTER_MS, s->trimmed_ms + TRIM_EVERY_MS));
}

size_t server_connections(const struct server *s)
{
    return s->open;
}

void server_abort(struct server *s)
{
    list_each_safe (&s->https, it)
        stream_close(&container_of(it, struct http_conn, in_server)->conn->stream);
}
