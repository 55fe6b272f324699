#include "client/jwks.h"

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/json.h"
#include "core/http_client.h"

#define TTL_MS (60 * 60 * 1000) /* from the fetch; use does not prolong it */
#define INTERVAL_MS 3000 /* between fetches: whoever invents kids waits so long; SDKs wait 5 s */
#define RETRY_MS 1000    /* after a failure; until then it is the answer */
#define TIMEOUT_MS 2000
#define ATTEMPTS 2
#define BODY_MAX ((size_t)1 << 20)
#define KEYS_MAX 1000
#define SETS_MAX 1000 /* URLs come out of placeholders, whose values are few */

/* A kid of a set; without keys: the last fetch was made for it, and it was not there. */
struct entry {
    struct map_node node;
    struct jwt_keys *keys;
    char kid[];
};

struct waiter {
    struct list in_set;
    jwks_ready_fn *fn;
    void *arg;
    struct str kid; /* owned */
};

struct set {
    struct map_node node; /* of jwks, by URL */
    struct jwks *jwks;
    struct map entries;
    struct list waiters;
    struct http_call *call; /* the fetch on its way */
    struct timer timer;     /* until the next fetch may begin */
    const char *option;
    uint64_t tried_ms, fetched_ms; /* 0: never */
    unsigned attempts;
    bool failed; /* the last fetch */
    size_t url_len;
    char url[];
};

struct jwks {
    struct core *core;
    struct map sets;
    bool stopped;
};

/* --- entries --------------------------------------------------------------------------------- */

static struct entry *entry_get(struct set *s, struct str kid)
{
    struct map_node *node = map_get(&s->entries, kid);

    return node ? container_of(node, struct entry, node) : NULL;
}

static struct entry *entry_add(struct set *s, struct str kid)
{
    struct entry *e = entry_get(s, kid);

    if (e == NULL) {
        e = mem_zalloc(sizeof *e + kid.len);
        memcpy(e->kid, kid.ptr, kid.len);
        map_add(&s->entries, &e->node, str_of(e->kid, kid.len));
    }
    return e;
}

static void entries_clear(struct set *s)
{
    struct map_iter it;

    map_each (&s->entries, &it, node) {
        struct entry *e = container_of(node, struct entry, node);

        jwt_keys_free(e->keys);
        mem_free(e);
    }
    map_deinit(&s->entries);
    s->entries = MAP_INIT;
}

static bool is_fresh(const struct set *s, uint64_t now)
{
    return s->fetched_ms > 0 && now < s->fetched_ms + TTL_MS;
}

/* --- a set that arrived ---------------------------------------------------------------------- */

static struct str text_member(struct str object, struct str name, struct arena *a)
{
    struct str value, text;

    if (json_get(object, name, a, &value) != OK || json_string(value, a, &text) != OK)
        return STR_NONE;
    return text;
}

/* A key that cannot be used (another curve, a symmetric one) is left out: it is no reason to
 * refuse the tokens of its neighbours. */
static void take_key(struct set *s, struct str jwk, struct arena *a)
{
    struct str kid = text_member(jwk, STR("kid"), a);
    struct jwt_keys *keys;
    struct entry *e;

    if (kid.len == 0 || !str_eq(text_member(jwk, STR("use"), a), STR("sig")))
        return;
    e = entry_get(s, kid);
    keys = e ? e->keys : jwt_keys_new(); /* families of one kid share it, each in its slot */
    if (jwt_keys_set_jwk(keys, jwk) != OK) {
        LOG_WITH(LOG_WARN, "a key of a JWKS cannot be used", LOG_S("kid", kid),
                 LOG_Z("option", s->option));
        if (e == NULL)
            jwt_keys_free(keys);
        return;
    }
    if (e == NULL)
        entry_add(s, kid)->keys = keys;
}

/* False: not a JWKS; what was known before stays. */
static bool take_body(struct set *s, struct str body)
{
    struct arena a = ARENA_INIT;
    struct str keys, jwk;
    struct json_iter it;
    bool ok = json_valid(body) && json_get(body, STR("keys"), &a, &keys) == OK &&
              json_type(keys) == JSON_ARRAY;

    if (ok) {
        entries_clear(s);
        it = json_iter(keys);
        while (s->entries.count < KEYS_MAX && json_array_next(&it, &jwk) == OK) {
            if (json_type(jwk) == JSON_OBJECT)
                take_key(s, jwk, &a);
        }
    }
    arena_deinit(&a);
    return ok;
}

/* --- fetching -------------------------------------------------------------------------------- */

/* Everybody who waits looks again; those who do may come back, to wait for the next fetch. */
static void wake_all(struct set *s)
{
    struct list waiters;

    list_init(&waiters);
    while (!list_empty(&s->waiters)) {
        struct list *first = s->waiters.next;

        list_del(first);
        list_add_tail(&waiters, first);
        if (!s->failed) /* else jwks_find has an answer anyway */
            entry_add(s, container_of(first, struct waiter, in_set)->kid);
    }
    while (!list_empty(&waiters)) {
        struct waiter *waiter = container_of(waiters.next, struct waiter, in_set);

        list_del(&waiter->in_set);
        waiter->fn(waiter->arg);
        str_free(&waiter->kid);
        mem_free(waiter);
    }
}

static void fetch(struct set *s);

static void fetch_failed(struct set *s, const char *cause, unsigned status)
{
    /* The query may hold a secret. */
    struct str url = str_of(s->url, s->url_len);
    ptrdiff_t query = str_find(url, '?');

    s->failed = true;
    LOG_WITH(LOG_WARN, "a JWKS cannot be fetched: tokens cannot be checked", LOG_Z("cause", cause),
             LOG_I("status", status),
             LOG_S("url", query < 0 ? url : str_of(url.ptr, (size_t)query)),
             LOG_Z("option", s->option));
    wake_all(s);
}

static void on_fetched(void *arg, const struct http_call_answer *answer)
{
    struct set *s = arg;

    s->call = NULL;
    s->tried_ms = s->jwks->core->worker->now_ms;
    if (answer->err != OK && answer->err != ERR_CLOSED && s->attempts < ATTEMPTS) {
        fetch(s);
    } else if (answer->err != OK) {
        fetch_failed(s, answer->problem, 0);
    } else if (answer->status != 200) {
        fetch_failed(s, "the server did not answer 200", answer->status);
    } else if (!take_body(s, answer->body)) {
        fetch_failed(s, "the answer is not a JWKS", answer->status);
    } else {
        s->failed = false;
        s->fetched_ms = MAX(s->tried_ms, (uint64_t)1);
        wake_all(s);
    }
}

static void fetch(struct set *s)
{
    struct http_header accept = {STR("Accept"), STR("application/json")};
    struct http_call_request request = {
        .url = str_of(s->url, s->url_len),
        .headers = &accept,
        .header_count = 1,
        .timeout_ms = TIMEOUT_MS,
        .connect_timeout_ms = TIMEOUT_MS,
        .body_max = BODY_MAX,
    };

    s->attempts++;
    s->call = http_client_call(s->jwks->core->http, &request, on_fetched, s);
}

static void on_may_fetch(struct timer *t)
{
    struct set *s = container_of(t, struct set, timer);

    if (!list_empty(&s->waiters)) {
        s->attempts = 0;
        fetch(s);
    }
}

/* --- sets ------------------------------------------------------------------------------------ */

static void set_free(struct set *s)
{
    CHECK(list_empty(&s->waiters) && s->call == NULL);
    timer_unset(&s->jwks->core->worker->timers, &s->timer);
    map_del(&s->jwks->sets, &s->node);
    entries_clear(s);
    mem_free(s);
}

/* Makes room by forgetting the set that was fetched longest ago. False: all are in use. */
static bool make_room(struct jwks *j)
{
    struct set *oldest = NULL;
    struct map_iter it;

    if (j->sets.count < SETS_MAX)
        return true;
    map_each (&j->sets, &it, node) {
        struct set *s = container_of(node, struct set, node);

        if (list_empty(&s->waiters) && s->call == NULL &&
            (oldest == NULL || s->fetched_ms < oldest->fetched_ms))
            oldest = s;
    }
    if (oldest)
        set_free(oldest);
    return oldest != NULL;
}

static struct set *set_get(struct jwks *j, struct str url)
{
    struct map_node *node = map_get(&j->sets, url);

    return node ? container_of(node, struct set, node) : NULL;
}

static struct set *set_add(struct jwks *j, struct str url, const char *option)
{
    struct set *s = mem_zalloc(sizeof *s + url.len);

    s->jwks = j;
    s->option = option;
    s->timer = TIMER_INIT(on_may_fetch);
    list_init(&s->waiters);
    s->url_len = url.len;
    memcpy(s->url, url.ptr, url.len);
    map_add(&j->sets, &s->node, str_of(s->url, url.len));
    return s;
}

/* A key that is there counts as long as its set, one that is not until the next fetch may begin. */
static bool is_known(struct set *s, struct str kid, uint64_t now)
{
    const struct entry *e = is_fresh(s, now) ? entry_get(s, kid) : NULL;

    return e && (e->keys || now < s->tried_ms + INTERVAL_MS);
}

bool jwks_ready(struct jwks *j, struct str url, struct str kid, const char *option,
                jwks_ready_fn *fn, void *arg)
{
    struct worker *w = j->core->worker;
    struct set *s = set_get(j, url);
    struct waiter *waiter;

    if (j->stopped || (s == NULL && !make_room(j)))
        return true;
    if (s == NULL)
        s = set_add(j, url, option);
    if (is_known(s, kid, w->now_ms))
        return true;
    if (s->failed && s->call == NULL && w->now_ms < s->tried_ms + RETRY_MS)
        return true;
    waiter = mem_zalloc(sizeof *waiter);
    *waiter = (struct waiter){.fn = fn, .arg = arg, .kid = str_dup(kid)};
    list_add_tail(&s->waiters, &waiter->in_set);
    if (s->call || timer_is_set(&s->timer))
        return false;
    /* A set that is not fresh may be fetched at once; an unknown key has to wait its time. */
    timer_set(&w->timers, &s->timer,
              is_fresh(s, w->now_ms) && !s->failed ? s->tried_ms + INTERVAL_MS : w->now_ms);
    return false;
}

enum err jwks_find(struct jwks *j, struct str url, struct str kid, const struct jwt_keys **out)
{
    struct set *s = set_get(j, url);
    struct entry *e = s && is_fresh(s, j->core->worker->now_ms) ? entry_get(s, kid) : NULL;

    if (e == NULL)
        return ERR_BUSY;
    *out = e->keys;
    return e->keys ? OK : ERR_NOT_FOUND;
}

/* --- life ------------------------------------------------------------------------------------ */

struct jwks *jwks_new(struct core *core)
{
    struct jwks *j = mem_zalloc(sizeof *j);

    j->core = core;
    return j;
}

void jwks_stop(struct jwks *j)
{
    struct map_iter it;

    j->stopped = true;
    map_each (&j->sets, &it, node) {
        struct set *s = container_of(node, struct set, node);

        if (s->call)
            http_call_cancel(s->call);
        s->call = NULL;
        s->failed = true;
        timer_unset(&j->core->worker->timers, &s->timer);
        wake_all(s);
    }
}

void jwks_free(struct jwks *j)
{
    struct map_iter it;

    map_each (&j->sets, &it, node)
        set_free(container_of(node, struct set, node));
    map_deinit(&j->sets);
    mem_free(j);
}
