#include "core/remote.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "core/http_client.h"

#define ANSWER_MAX ((size_t)16 << 20)
#define PAIRS_MAX 10000
/* Several keys are often changed together; they are read together then. */
#define SETTLE_MS 100
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 30000
/* How long a wait for changes may take before the values are read again anyway. */
#define ETCD_WAIT_MS 600000
#define CONSUL_WAIT_S 55
#define CONSUL_WAIT_MS ((CONSUL_WAIT_S + 10) * 1000)

/*     authenticate ──► read ──► wait ──change──► read …
 * Any failure leads back to the beginning, after a while: what happened meanwhile is read then. */
struct remote {
    struct worker *worker;
    struct http_client *http;
    struct remote_options options; /* owned strings */
    struct http_call *call;
    struct timer timer; /* until the next step from the beginning */
    struct str session; /* what etcd gave for user and password; owned */
    uint64_t position;  /* etcd: the revision read; Consul: the index */
    struct remote_values values;
    bool known;        /* values have been read */
    unsigned failures; /* in a row */
    struct buf problem;
    remote_changed_fn *fn;
    void (*failed)(struct remote *r); /* set for one reading; else failures are logged */
    void *arg;
};

/* --- values ----------------------------------------------------------------------------------- */

void remote_values_deinit(struct remote_values *v)
{
    for (size_t i = 0; i < v->count; i++) {
        str_free(&v->pairs[i].key);
        str_free(&v->pairs[i].value);
    }
    mem_free(v->pairs);
    *v = (struct remote_values){0};
}

uint64_t remote_values_hash(const struct remote_values *v)
{
    uint64_t hash = v->count;

    for (size_t i = 0; i < v->count; i++)
        hash = (hash * 31 + map_hash(v->pairs[i].key)) * 31 + map_hash(v->pairs[i].value);
    return hash;
}

static bool values_eq(const struct remote_values *a, const struct remote_values *b)
{
    bool eq = a->count == b->count;

    for (size_t i = 0; eq && i < a->count; i++)
        eq = str_eq(a->pairs[i].key, b->pairs[i].key) &&
             str_eq(a->pairs[i].value, b->pairs[i].value);
    return eq;
}

static void values_copy(struct remote_values *to, const struct remote_values *from)
{
    *to = (struct remote_values){mem_zalloc((from->count + 1) * sizeof *to->pairs), from->count};
    for (size_t i = 0; i < from->count; i++)
        to->pairs[i] =
            (struct remote_pair){str_dup(from->pairs[i].key), str_dup(from->pairs[i].value)};
}

/* Keys that only begin with the same letters are other people's. */
static enum err values_add(struct remote_values *v, const struct remote_options *o, struct str key,
                           struct str value)
{
    struct str rest;

    if (!str_starts(key, o->prefix))
        return OK;
    rest = str_cut(key, o->prefix.len);
    if (rest.len > 0 && rest.ptr[0] != '/')
        return OK;
    if (value.len == 0 && key.ptr[key.len - 1] == '/')
        return OK; /* a folder, as Consul's page makes it */
    if (v->count == PAIRS_MAX)
        return ERR_LIMIT;
    v->pairs = mem_realloc(v->pairs, (v->count + 1) * sizeof *v->pairs);
    v->pairs[v->count++] =
        (struct remote_pair){str_dup(str_cut(rest, rest.len > 0)), str_dup(value)};
    return OK;
}

/* --- requests --------------------------------------------------------------------------------- */

static void begin(struct remote *r);
static void wait_for_change(struct remote *r);

static void again_after(struct remote *r, uint64_t ms)
{
    timer_set(&r->worker->timers, &r->timer, r->worker->now_ms + ms);
}

static void on_timer(struct timer *t)
{
    begin(container_of(t, struct remote, timer));
}

static void fail(struct remote *r, const char *why)
{
    uint64_t wait = MIN((uint64_t)RETRY_MIN_MS << MIN(r->failures, 10U), (uint64_t)RETRY_MAX_MS);

    str_free(&r->session); /* it may have run out */
    buf_clear(&r->problem);
    buf_printf(&r->problem, "%s at %.*s: %s", r->options.type == REMOTE_ETCD ? "etcd" : "Consul",
               STR_ARGS(r->options.endpoint), why);
    if (r->failed) {
        r->failed(r);
        return;
    }
    if (r->failures++ == 0)
        LOG_WITH(LOG_WARN, "the configuration source cannot be read; what is in force stays",
                 LOG_S("cause", buf_str(&r->problem)), LOG_Z("option", "config_source"));
    again_after(r, wait);
}

/* The answer's body when it is one; otherwise the step has failed. */
static bool usable(struct remote *r, const struct http_call_answer *a)
{
    char why[64];

    r->call = NULL;
    if (a->err == OK && a->status == 200)
        return true;
    snprintf(why, sizeof why, "it answered with status %u", a->status);
    fail(r, a->err == OK ? why : a->problem);
    return false;
}

static void call(struct remote *r, struct http_call_request *request, struct buf *path,
                 uint64_t timeout_ms, http_call_fn *fn)
{
    struct buf url = BUF_INIT(8192);
    struct http_header header = {STR("Authorization"), r->session};

    if (r->options.type == REMOTE_CONSUL)
        header = (struct http_header){STR("X-Consul-Token"), r->options.token};
    buf_add_str(&url, r->options.endpoint);
    buf_add_str(&url, buf_str(path));
    request->url = buf_str(&url);
    request->headers = &header;
    request->header_count = header.value.len > 0;
    request->timeout_ms = timeout_ms;
    request->connect_timeout_ms = r->options.timeout_ms;
    request->body_max = ANSWER_MAX;
    r->call = http_client_call(r->http, request, fn, r);
    buf_deinit(&url);
}

static void take_values(struct remote *r, struct remote_values *fresh)
{
    bool changed = !r->known || !values_eq(&r->values, fresh);

    if (r->failures > 0)
        LOG(LOG_INFO, "the configuration source can be read again");
    r->failures = 0;
    remote_values_deinit(&r->values);
    r->values = *fresh;
    r->known = true;
    if (!r->failed)
        wait_for_change(r);
    if (changed)
        r->fn(r->arg);
}

static void take_or_fail(struct remote *r, enum err err, struct remote_values *fresh)
{
    if (err == OK) {
        take_values(r, fresh);
        return;
    }
    remote_values_deinit(fresh);
    fail(r, err == ERR_LIMIT ? "there are too many keys" : "its answer cannot be read");
}

/* --- etcd ------------------------------------------------------------------------------------- */

static void etcd_post(struct remote *r, const char *path, struct buf *body, http_part_fn *part,
                      uint64_t timeout_ms, http_call_fn *fn)
{
    struct buf where = BUF_INIT(256);
    struct http_call_request request = {
        .method = STR("POST"), .body = buf_str(body), .on_part = part};

    buf_printf(&where, "%s", path);
    call(r, &request, &where, timeout_ms, fn);
    buf_deinit(&where);
    buf_deinit(body);
}

/* "key" and "range_end" of everything that begins with the prefix. */
static void etcd_add_range(struct buf *body, struct str prefix)
{
    char end[512];
    size_t n = MIN(prefix.len, sizeof end);

    memcpy(end, prefix.ptr, n);
    end[n - 1]++; /* the prefix is text: its last byte is not 0xff */
    buf_add_lit(body, "\"key\":\"");
    base64_add(BASE64_STD, body, prefix);
    buf_add_lit(body, "\",\"range_end\":\"");
    base64_add(BASE64_STD, body, str_of(end, n));
    buf_add_lit(body, "\"");
}

/* Numbers of 64 bits come as strings. */
static enum err etcd_number(struct str object, struct str name, struct arena *a, uint64_t *out)
{
    struct str value, text;

    if (json_get(object, name, a, &value) != OK || json_string(value, a, &text) != OK ||
        !str_to_u64(text, UINT64_MAX - 1, out))
        return ERR_SYNTAX;
    return OK;
}

static enum err etcd_text(struct str object, struct str name, struct arena *a, struct str *out)
{
    struct str value, text;
    enum err err = json_get(object, name, a, &value);

    *out = STR_NONE;
    if (err == ERR_NOT_FOUND)
        return OK; /* empty ones are left out */
    if (err != OK || json_string(value, a, &text) != OK)
        return ERR_SYNTAX;
    return base64_decode(BASE64_STD, text, a, out);
}

static enum err etcd_read(struct remote *r, struct str body, struct arena *a,
                          struct remote_values *out)
{
    struct str header, kvs, kv, key, value;
    struct json_iter it;
    enum err err;

    if (!json_valid(body) || json_get(body, STR("header"), a, &header) != OK ||
        etcd_number(header, STR("revision"), a, &r->position) != OK)
        return ERR_SYNTAX;
    if (json_get(body, STR("kvs"), a, &kvs) != OK)
        return OK; /* no key at all */
    it = json_iter(kvs);
    while ((err = json_array_next(&it, &kv)) == OK) {
        err = etcd_text(kv, STR("key"), a, &key);
        if (err == OK)
            err = etcd_text(kv, STR("value"), a, &value);
        if (err == OK)
            err = values_add(out, &r->options, key, value);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static void on_etcd_values(void *arg, const struct http_call_answer *answer)
{
    struct remote *r = arg;
    struct remote_values fresh = {0};
    struct arena a = ARENA_INIT;

    if (usable(r, answer))
        take_or_fail(r, etcd_read(r, answer->body, &a, &fresh), &fresh);
    arena_deinit(&a);
}

static void etcd_get(struct remote *r)
{
    struct buf body = BUF_INIT(4096);

    buf_add_char(&body, '{');
    etcd_add_range(&body, r->options.prefix);
    buf_add_char(&body, '}');
    etcd_post(r, "/v3/kv/range", &body, NULL, r->options.timeout_ms, on_etcd_values);
}

static void on_etcd_session(void *arg, const struct http_call_answer *answer)
{
    struct remote *r = arg;
    struct arena a = ARENA_INIT;
    struct str value, token;

    if (usable(r, answer)) {
        if (json_get(answer->body, STR("token"), &a, &value) == OK &&
            json_string(value, &a, &token) == OK) {
            r->session = str_dup(token);
            etcd_get(r);
        } else {
            fail(r, "its answer cannot be read");
        }
    }
    arena_deinit(&a);
}

static void etcd_authenticate(struct remote *r)
{
    struct buf body = BUF_INIT(4096);

    buf_add_lit(&body, "{\"name\":");
    json_add_string(&body, r->options.user);
    buf_add_lit(&body, ",\"password\":");
    json_add_string(&body, r->options.password);
    buf_add_char(&body, '}');
    etcd_post(r, "/v3/auth/authenticate", &body, NULL, r->options.timeout_ms, on_etcd_session);
}

/* Does a line of the watch say more than that it has begun? */
static bool etcd_tells_change(struct str line, struct arena *a)
{
    struct str result, events, canceled;

    if (json_get(line, STR("result"), a, &result) != OK)
        return true; /* an error, most likely */
    return json_get(result, STR("events"), a, &events) == OK ||
           json_get(result, STR("canceled"), a, &canceled) == OK;
}

static void on_etcd_part(void *arg, struct str body)
{
    struct remote *r = arg;
    struct arena a = ARENA_INIT;
    bool changed = false;
    ptrdiff_t end;

    while (!changed && (end = str_find(body, '\n')) >= 0) {
        changed = end > 0 && etcd_tells_change(str_of(body.ptr, (size_t)end), &a);
        body = str_cut(body, (size_t)end + 1);
    }
    arena_deinit(&a);
    if (changed) {
        http_call_cancel(r->call);
        r->call = NULL;
        again_after(r, SETTLE_MS);
    }
}

/* The watch has ended by itself: too long, or the connection went. Whatever it was, reading again
 * tells. */
static void on_etcd_watch_over(void *arg, const struct http_call_answer *answer)
{
    struct remote *r = arg;

    r->call = NULL;
    again_after(r, answer->err == ERR_EXPIRED ? SETTLE_MS : RETRY_MIN_MS);
}

static void etcd_watch(struct remote *r)
{
    struct buf body = BUF_INIT(4096);

    buf_add_lit(&body, "{\"create_request\":{");
    etcd_add_range(&body, r->options.prefix);
    buf_add_lit(&body, ",\"start_revision\":\"");
    buf_add_u64(&body, r->position + 1);
    buf_add_lit(&body, "\"}}");
    etcd_post(r, "/v3/watch", &body, on_etcd_part, ETCD_WAIT_MS, on_etcd_watch_over);
}

/* --- Consul ----------------------------------------------------------------------------------- */

static enum err consul_read(struct remote *r, struct str body, struct arena *a,
                            struct remote_values *out)
{
    struct json_iter it = json_iter(body);
    struct str entry, key, value, text;
    enum err err;

    if (!json_valid(body))
        return ERR_SYNTAX;
    while ((err = json_array_next(&it, &entry)) == OK) {
        if (json_get(entry, STR("Key"), a, &value) != OK || json_string(value, a, &key) != OK ||
            json_get(entry, STR("Value"), a, &value) != OK)
            return ERR_SYNTAX;
        if (json_is_null(value)) {
            text = STR_NONE;
        } else if (json_string(value, a, &text) != OK ||
                   base64_decode(BASE64_STD, text, a, &text) != OK) {
            return ERR_SYNTAX;
        }
        err = values_add(out, &r->options, key, text);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

/* An index that goes back is one of another server; 0 would not wait. */
static void consul_take_index(struct remote *r, const struct http_call_answer *answer)
{
    uint64_t index = 0;

    for (size_t i = 0; i < answer->header_count; i++) {
        if (str_eq(answer->headers[i].name, STR("x-consul-index")) &&
            !str_to_u64(answer->headers[i].value, UINT64_MAX, &index))
            index = 0;
    }
    r->position = index < r->position ? 0 : index;
}

static void on_consul_values(void *arg, const struct http_call_answer *answer)
{
    struct remote *r = arg;
    struct http_call_answer found = *answer;
    struct remote_values fresh = {0};
    struct arena a = ARENA_INIT;

    if (answer->err == OK && answer->status == 404) { /* no key at all */
        found.status = 200;
        found.body = STR("[]");
    }
    if (usable(r, &found)) {
        consul_take_index(r, answer);
        take_or_fail(r, consul_read(r, found.body, &a, &fresh), &fresh);
    }
    arena_deinit(&a);
}

static void consul_get(struct remote *r, bool wait)
{
    struct buf path = BUF_INIT(4096);
    struct http_call_request request = {.method = STR("GET")};

    buf_add_lit(&path, "/v1/kv/");
    buf_add_str(&path, r->options.prefix);
    buf_add_lit(&path, "?recurse=true");
    if (wait) {
        buf_printf(&path, "&wait=%ds&index=", CONSUL_WAIT_S);
        buf_add_u64(&path, r->position);
    }
    call(r, &request, &path, wait ? CONSUL_WAIT_MS : r->options.timeout_ms, on_consul_values);
    buf_deinit(&path);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void begin(struct remote *r)
{
    if (r->options.type == REMOTE_CONSUL)
        consul_get(r, r->known && r->position > 0);
    else if (r->options.user.len > 0 && r->session.len == 0)
        etcd_authenticate(r);
    else
        etcd_get(r);
}

/* Consul waits inside the next read. */
static void wait_for_change(struct remote *r)
{
    if (r->options.type == REMOTE_ETCD)
        etcd_watch(r);
    else
        again_after(r, SETTLE_MS);
}

/* --- life ------------------------------------------------------------------------------------- */

static struct remote *remote_new(struct worker *w, const struct remote_options *o,
                                 remote_changed_fn *fn, void *arg)
{
    struct remote *r = mem_zalloc(sizeof *r);

    r->worker = w;
    r->http = http_client_new(w);
    r->options = *o;
    r->options.endpoint = str_dup(o->endpoint);
    r->options.prefix = str_dup(o->prefix);
    r->options.user = str_dup(o->user);
    r->options.password = str_dup(o->password);
    r->options.token = str_dup(o->token);
    r->timer = TIMER_INIT(on_timer);
    r->problem = BUF_INIT(4096);
    r->fn = fn;
    r->arg = arg;
    return r;
}

struct remote *remote_watch(struct worker *w, const struct remote_options *o, remote_changed_fn *fn,
                            void *arg)
{
    struct remote *r = remote_new(w, o, fn, arg);

    begin(r);
    return r;
}

const struct remote_values *remote_latest(const struct remote *r)
{
    return r->known ? &r->values : NULL;
}

bool remote_is_for(const struct remote *r, const struct remote_options *o)
{
    const struct remote_options *own = &r->options;

    return own->type == o->type && str_eq(own->endpoint, o->endpoint) &&
           str_eq(own->prefix, o->prefix) && str_eq(own->user, o->user) &&
           str_eq(own->password, o->password) && str_eq(own->token, o->token) &&
           own->timeout_ms == o->timeout_ms;
}

void remote_close(struct remote *r)
{
    if (r->call)
        http_call_cancel(r->call);
    timer_unset(&r->worker->timers, &r->timer);
    http_client_close(r->http);
    remote_values_deinit(&r->values);
    str_free(&r->options.endpoint);
    str_free(&r->options.prefix);
    str_free(&r->options.user);
    str_free(&r->options.password);
    str_free(&r->options.token);
    str_free(&r->session);
    buf_deinit(&r->problem);
    mem_free(r);
}

/* --- once, waiting ---------------------------------------------------------------------------- */

struct once {
    struct remote *remote;
    struct remote_values values;
    struct buf *problem;
    enum err err;
    struct turn_task end;
};

/* In a turn of its own: a remote may not be closed from inside its callbacks. */
static void on_end(struct turn_task *task)
{
    struct once *once = container_of(task, struct once, end);
    struct worker *w = once->remote->worker;

    remote_close(once->remote);
    worker_close_handles(w);
}

static void on_once(void *arg)
{
    struct once *once = arg;

    once->err = OK;
    values_copy(&once->values, &once->remote->values);
    worker_queue(once->remote->worker, &once->end);
}

static void on_once_failed(struct remote *r)
{
    struct once *once = r->arg;

    buf_add_str(once->problem, buf_str(&r->problem));
    worker_queue(r->worker, &once->end);
}

enum err remote_fetch(const struct remote_options *o, struct remote_values *out,
                      struct buf *problem)
{
    struct worker *before = worker_current(), *w = worker_new(0);
    struct once once = {.err = ERR_IO, .problem = problem, .end.run = on_end};

    worker_enter(w);
    list_init(&once.end.in_turn);
    once.remote = remote_new(w, o, on_once, &once);
    once.remote->failed = on_once_failed;
    begin(once.remote);
    worker_run(w);
    worker_enter(before);
    worker_free(w);
    *out = once.values;
    return once.err;
}
