/* A bucket is one time, "when it will be full again": it holds `rate` commands, each of which moves
 * that time on by interval / rate, and it may lie at most one interval ahead. So refilling costs
 * nothing, and a bucket whose time has passed is as good as new. */
#include "client/limit.h"

#include "base/check.h"
#include "base/mem.h"

#include <assert.h>

#define SWEEP_MS 1000
#define LOG_EVERY_MS 1000
/* METHOD_NONE never counts, so its row is that of all commands together. */
#define ROW_TOTAL METHOD_NONE
#define BUCKETS_MAX (METHOD_COUNT * RATE_BUCKETS_MAX)

struct bucket {
    uint64_t cost_ns, interval_ns;
};
struct row {
    uint16_t from, count; /* in limits.buckets */
    struct str option;
};

/* Of one busy connection. */
struct record {
    struct list in_limits;
    struct limit_slot *slot;
    uint64_t latest_ns; /* when all its buckets are full again */
    uint64_t logged_ms;
    uint64_t full_ns[]; /* one per bucket */
};

struct limits {
    struct core *core;
    const struct settings *settings; /* what the rows were made from */
    struct bucket buckets[BUCKETS_MAX];
    size_t bucket_count;
    struct row rows[METHOD_COUNT];
    uint64_t longest_ms; /* interval of any bucket */
    bool two_always_fit; /* every bucket holds two */
    struct list records;
    struct limit_counts counts;
    struct timer sweep;
    struct str refused_by;
};

/* --- from settings ---------------------------------------------------------------------------- */

static void set_row(struct limits *ls, enum method row, const struct rate_buckets *from,
                    struct str option)
{
    ls->rows[row] = (struct row){(uint16_t)ls->bucket_count, (uint16_t)from->count, option};
    for (size_t i = 0; i < from->count; i++) {
        uint64_t interval_ns = (uint64_t)from->items[i].interval_ms * 1000000;
        uint64_t rate = (uint64_t)MAX(from->items[i].rate, 1);

        ls->buckets[ls->bucket_count++] = (struct bucket){interval_ns / rate, interval_ns};
        ls->longest_ms = MAX(ls->longest_ms, (uint64_t)from->items[i].interval_ms);
        if (rate < 2)
            ls->two_always_fit = false;
    }
}

static void read_settings(struct limits *ls)
{
    const struct settings *s = ls->core->settings;

    ls->settings = settings_ref(s);
    ls->bucket_count = 0;
    ls->longest_ms = 0;
    ls->two_always_fit = true;
    ls->refused_by = STR_NONE;
#define ROW(method, name)                                                                          \
    set_row(ls, method, &s->client_rate_limit_client_command_##name##_buckets,                     \
            STR("client.rate_limit.client_command." #name ".buckets"))
    ROW(METHOD_CONNECT, connect);
    ROW(METHOD_SUBSCRIBE, subscribe);
    ROW(METHOD_UNSUBSCRIBE, unsubscribe);
    ROW(METHOD_PUBLISH, publish);
    ROW(METHOD_PRESENCE, presence);
    ROW(METHOD_PRESENCE_STATS, presence_stats);
    ROW(METHOD_HISTORY, history);
    ROW(METHOD_RPC, rpc);
    ROW(METHOD_SEND, send);
    ROW(METHOD_REFRESH, refresh);
    ROW(METHOD_SUB_REFRESH, sub_refresh);
    ROW(ROW_TOTAL, total);
#undef ROW
}

static void drop_record(struct limits *ls, struct record *r)
{
    list_del(&r->in_limits);
    r->slot->word = 0;
    ls->counts.records--;
    mem_free(r);
}

/* Everybody starts afresh with other settings: their buckets are not those of the records. */
static void take_new_settings(struct limits *ls)
{
    list_each_safe (&ls->records, it)
        drop_record(ls, container_of(it, struct record, in_limits));
    settings_unref(ls->settings);
    read_settings(ls);
}

/* --- records ---------------------------------------------------------------------------------- */

static uint64_t now_ns(const struct limits *ls)
{
    return ls->core->worker->now_ms * 1000000;
}

/* Gives back the records that say nothing any more. */
static void on_sweep(struct timer *t)
{
    struct limits *ls = container_of(t, struct limits, sweep);

    list_each_safe (&ls->records, it) {
        struct record *r = container_of(it, struct record, in_limits);

        if (r->latest_ns <= now_ns(ls))
            drop_record(ls, r);
    }
    if (!list_empty(&ls->records))
        timer_set(&ls->core->worker->timers, t, ls->core->worker->now_ms + SWEEP_MS);
}

static struct record *make_record(struct limits *ls, struct limit_slot *slot)
{
    struct record *r = mem_zalloc(sizeof *r + ls->bucket_count * sizeof *r->full_ns);

    r->slot = slot;
    slot->word = (uintptr_t)r;
    list_add_tail(&ls->records, &r->in_limits);
    ls->counts.records++;
    if (!timer_is_set(&ls->sweep))
        timer_set(&ls->core->worker->timers, &ls->sweep, ls->core->worker->now_ms + SWEEP_MS);
    return r;
}

static bool row_fits(const struct limits *ls, const struct record *r, enum method row,
                     uint64_t at_ns)
{
    for (size_t i = ls->rows[row].from; i < ls->rows[row].from + ls->rows[row].count; i++) {
        const struct bucket *b = &ls->buckets[i];

        if (MAX(r->full_ns[i], at_ns) + b->cost_ns > at_ns + b->interval_ns)
            return false;
    }
    return true;
}

static void row_charge(const struct limits *ls, struct record *r, enum method row, uint64_t at_ns)
{
    for (size_t i = ls->rows[row].from; i < ls->rows[row].from + ls->rows[row].count; i++) {
        r->full_ns[i] = MAX(r->full_ns[i], at_ns) + ls->buckets[i].cost_ns;
        r->latest_ns = MAX(r->latest_ns, r->full_ns[i]);
    }
}

static void charge(const struct limits *ls, struct record *r, enum method method, uint64_t at_ns)
{
    row_charge(ls, r, method, at_ns);
    row_charge(ls, r, ROW_TOTAL, at_ns);
}

/* --- the word ------------------------------------------------------------------------------------
 * *
 *
 *     63          34 33           4 3    2      1        0
 *     [ the second ] [ the first  ] [ -- ] [ two? ] [ 1: packed ]
 *
 * Each command has 30 bits: its method (4) and when it came, in milliseconds (26, 18 hours). */

#define TIME_BITS 26
#define EVENT_BITS 30
#define EVENT_MASK ((UINT64_C(1) << EVENT_BITS) - 1)
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

static_assert(METHOD_COUNT <= 16, "a method has four bits");
static_assert(sizeof(uintptr_t) == 8, "two commands fit into a pointer");

static uint64_t pack(const struct limits *ls, enum method method)
{
    return (uint64_t)method << TIME_BITS | (ls->core->worker->now_ms & TIME_MASK);
}

static uint64_t ago_ms(const struct limits *ls, uint64_t event)
{
    return (ls->core->worker->now_ms - event) & TIME_MASK;
}

/* Unpacks what still counts, the older first; returns how many. */
static unsigned unpack(const struct limits *ls, uintptr_t word, uint64_t events[2])
{
    unsigned n = 0;

    if (!(word & 1))
        return 0;
    for (unsigned i = 0; i <= (word >> 1 & 1); i++) {
        uint64_t event = word >> (4 + i * EVENT_BITS) & EVENT_MASK;

        if (ago_ms(ls, event & TIME_MASK) < ls->longest_ms)
            events[n++] = event;
    }
    return n;
}

static uintptr_t packed(const uint64_t *events, unsigned n)
{
    uintptr_t word = 1 | (uintptr_t)(n == 2) << 1;

    for (unsigned i = 0; i < n; i++)
        word |= (uintptr_t)events[i] << (4 + i * EVENT_BITS);
    return word;
}

/* --- taking ----------------------------------------------------------------------------------- */

/* The record of a connection that has none yet, with the commands that the word knew. */
static struct record *unfold(struct limits *ls, struct limit_slot *slot, const uint64_t *events,
                             unsigned n)
{
    struct record *r = make_record(ls, slot);

    for (unsigned i = 0; i < n; i++)
        charge(ls, r, (enum method)(events[i] >> TIME_BITS),
               now_ns(ls) - MIN(ago_ms(ls, events[i] & TIME_MASK) * 1000000, now_ns(ls)));
    return r;
}

static bool take_from(struct limits *ls, struct record *r, enum method method)
{
    uint64_t now = now_ns(ls);
    bool own = row_fits(ls, r, method, now);

    if (own && row_fits(ls, r, ROW_TOTAL, now)) {
        charge(ls, r, method, now);
        return true;
    }
    ls->refused_by = ls->rows[own ? ROW_TOTAL : method].option;
    ls->counts.refused++;
    return false;
}

bool limit_take(struct limits *ls, struct limit_slot *slot, enum method method)
{
    uint64_t events[3];
    unsigned n;

    if (ls->settings != ls->core->settings)
        take_new_settings(ls);
    if (ls->rows[method].count == 0 && ls->rows[ROW_TOTAL].count == 0)
        return true;
    if (slot->word != 0 && !(slot->word & 1))
        return take_from(ls, (struct record *)slot->word, method);
    n = unpack(ls, slot->word, events);
    if (n == 2 || !ls->two_always_fit)
        return take_from(ls, unfold(ls, slot, events, n), method);
    events[n++] = pack(ls, method);
    slot->word = packed(events, n);
    return true;
}

bool limit_may_log(struct limits *ls, const struct limit_slot *slot)
{
    struct record *r = (struct record *)slot->word;
    uint64_t now_ms = ls->core->worker->now_ms;

    if (slot->word == 0 || slot->word & 1)
        return true;
    if (r->logged_ms != 0 && now_ms - r->logged_ms < LOG_EVERY_MS)
        return false;
    r->logged_ms = now_ms;
    return true;
}

struct str limit_option(const struct limits *ls)
{
    return ls->refused_by;
}

void limit_release(struct limits *ls, struct limit_slot *slot)
{
    if (slot->word != 0 && !(slot->word & 1))
        drop_record(ls, (struct record *)slot->word);
    slot->word = 0;
}

struct limit_counts limit_counts(const struct limits *ls)
{
    return ls->counts;
}

/* --- life ------------------------------------------------------------------------------------- */

struct limits *limits_new(struct core *core)
{
    struct limits *ls = mem_zalloc(sizeof *ls);

    ls->core = core;
    list_init(&ls->records);
    ls->sweep = TIMER_INIT(on_sweep);
    read_settings(ls);
    return ls;
}

void limits_free(struct limits *ls)
{
    if (!ls)
        return;
    CHECK(list_empty(&ls->records));
    timer_unset(&ls->core->worker->timers, &ls->sweep);
    settings_unref(ls->settings);
    mem_free(ls);
}
