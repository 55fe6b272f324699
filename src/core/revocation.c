#include "core/revocation.h"

#include "base/map.h"
#include "base/mem.h"

struct revoked {
    struct map_node by_key; /* the uid, or user and channel */
    int64_t expire_at;      /* 0: never */
    int64_t issued_before;  /* of users */
    char key[];
};

struct revocations {
    struct map tokens, users;
};

struct revocations *revocations_new(void)
{
    return mem_zalloc(sizeof(struct revocations));
}

static struct revoked *revoked_of(struct map_node *node)
{
    return container_of(node, struct revoked, by_key);
}

static bool is_over(const struct revoked *e, int64_t now_s)
{
    return e->expire_at > 0 && e->expire_at <= now_s;
}

static void drop_expired(struct map *m, int64_t now_s)
{
    struct map_iter it;

    map_each (m, &it, node) {
        if (is_over(revoked_of(node), now_s)) {
            map_del(m, node);
            mem_free(revoked_of(node));
        }
    }
    map_fit(m);
}

static void drop_all(struct map *m)
{
    struct map_iter it;

    map_each (m, &it, node) {
        map_del(m, node);
        mem_free(revoked_of(node));
    }
    map_deinit(m);
}

void revocations_free(struct revocations *r)
{
    if (!r)
        return;
    drop_all(&r->tokens);
    drop_all(&r->users);
    mem_free(r);
}

size_t revocations_count(const struct revocations *r)
{
    return r->tokens.count + r->users.count;
}

bool revocations_has_room(struct revocations *r, int64_t now_s)
{
    if (revocations_count(r) >= REVOCATIONS_MAX) {
        drop_expired(&r->tokens, now_s);
        drop_expired(&r->users, now_s);
    }
    return revocations_count(r) < REVOCATIONS_MAX;
}

/* --- adding ----------------------------------------------------------------------------------- */

static int64_t later_expiry(int64_t a, int64_t b)
{
    return a == 0 || b == 0 ? 0 : MAX(a, b);
}

static enum err add(struct revocations *r, struct map *m, struct str key, int64_t issued_before,
                    int64_t expire_at, int64_t now_s)
{
    struct map_node *node = map_get(m, key);
    struct revoked *e;

    if (node) {
        e = revoked_of(node);
        e->expire_at = is_over(e, now_s) ? expire_at : later_expiry(e->expire_at, expire_at);
        e->issued_before = MAX(e->issued_before, issued_before);
        return OK;
    }
    if (!revocations_has_room(r, now_s))
        return ERR_LIMIT;
    e = mem_alloc(sizeof *e + key.len);
    e->expire_at = expire_at;
    e->issued_before = issued_before;
    memcpy(e->key, key.ptr, key.len);
    map_add(m, &e->by_key, str_of(e->key, key.len));
    return OK;
}

enum err revocation_add_token(struct revocations *r, struct str uid, int64_t expire_at,
                              int64_t now_s)
{
    return add(r, &r->tokens, uid, 0, expire_at, now_s);
}

/* A user's name may hold any byte; the length in front keeps keys apart. */
static struct str user_key(struct buf *out, struct str user, struct str channel)
{
    buf_clear(out);
    buf_add_u64(out, user.len);
    buf_add_char(out, ':');
    buf_add_str(out, user);
    buf_add_str(out, channel);
    return buf_str(out);
}

enum err revocation_add_user(struct revocations *r, struct str user, struct str channel,
                             int64_t issued_before, int64_t expire_at, int64_t now_s)
{
    struct buf key = BUF_INIT(SIZE_MAX / 4);
    enum err err =
        add(r, &r->users, user_key(&key, user, channel), issued_before, expire_at, now_s);

    buf_deinit(&key);
    return err;
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool is_old(const struct revocations *r, const struct revocation_token *t,
                   struct str channel, int64_t now_s)
{
    struct buf key = BUF_INIT(SIZE_MAX / 4);
    struct map_node *node = map_get(&r->users, user_key(&key, t->user, channel));

    buf_deinit(&key);
    return node && !is_over(revoked_of(node), now_s) &&
           (!t->has_issued || t->issued_at < revoked_of(node)->issued_before);
}

bool revocation_has(const struct revocations *r, const struct revocation_token *t, int64_t now_s)
{
    struct map_node *node;

    if (r->tokens.count > 0 && t->uid.len > 0) {
        node = map_get(&r->tokens, t->uid);
        if (node && !is_over(revoked_of(node), now_s))
            return true;
    }
    if (r->users.count == 0)
        return false;
    return is_old(r, t, STR_NONE, now_s) || (t->channel.len > 0 && is_old(r, t, t->channel, now_s));
}
