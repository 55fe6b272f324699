#include "client/limit.h"

#include "base/check.h"
#include "base/mem.h"
#include "core/user_limits.h"

#include <assert.h>

#define SWEEP_MS 1000
#define LOG_EVERY_MS 1000
/* METHOD_NONE never counts, so its row is that of all commands together; errors have one behind
 * the methods. */
enum { ROW_TOTAL = METHOD_NONE, ROW_ERROR = METHOD_COUNT, ROW_COUNT };
#define BUCKETS_MAX (ROW_COUNT * RATE_BUCKETS_MAX)

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
    struct row rows[ROW_COUNT];
    /* Of users; no buckets, no limit. The one of connects counts them, so it has no total. */
    const struct rate_buckets *user_rows[METHOD_COUNT];
    struct str user_options[METHOD_COUNT];
    uint64_t longest_ms; /* interval of any bucket */
    bool two_always_fit; /* every bucket holds two */
    struct list records;
    struct limit_counts counts;
    struct timer sweep;
    struct str refused_by;
};

/* --- from settings ---------------------------------------------------------------------------- */

static void set_row(struct limits *ls, unsigned row, const struct rate_buckets *from,
                    struct str option)
{
    ls->rows[row] = (struct row){(uint16_t)ls->bucket_count, (uint16_t)from->count, option};
    for (size_t i = 0; i < from->count; i++) {
        ls->buckets[ls->bucket_count++] = bucket_of(from->items[i]);
        ls->longest_ms = MAX(ls->longest_ms, (uint64_t)from->items[i].interval_ms);
        if (from->items[i].rate < 2)
            ls->two_always_fit = false;
    }
}

static void set_user_row(struct limits *ls, unsigned row, const struct rate_buckets *from,
                         struct str option)
{
    ls->user_rows[row] = from;
    ls->user_options[row] = option;
}

static void read_settings(struct limits *ls)
{
    static const struct rate_buckets none; /* of what has no option */
    const struct settings *s = ls->core->settings;

    ls->settings = settings_ref(s);
    ls->bucket_count = 0;
    ls->longest_ms = 0;
    ls->two_always_fit = true;
    ls->refused_by = STR_NONE;
    for (unsigned row = 0; row < METHOD_COUNT; row++)
        set_user_row(ls, row, &none, STR_NONE);
#define ROW(method, name)                                                                          \
    set_row(ls, method, &s->client_rate_limit_client_command_##name##_buckets,                     \
            STR("client.rate_limit.client_command." #name ".buckets"));                            \
    set_user_row(ls, method, &s->client_rate_limit_user_command_##name##_buckets,                  \
                 STR("client.rate_limit.user_command." #name ".buckets"))
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
    set_user_row(ls, METHOD_CONNECT, &s->client_rate_limit_client_command_connect_buckets,
                 STR("client.rate_limit.client_command.connect.buckets"));
    set_row(ls, ROW_ERROR, &s->client_rate_limit_client_error_total_buckets,
            STR("client.rate_limit.client_error.total.buckets"));
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

static void sweep_later(struct limits *ls)
{
    if (!timer_is_set(&ls->sweep))
        timer_set(&ls->core->worker->timers, &ls->sweep, ls->core->worker->now_ms + SWEEP_MS);
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
    if (user_limits_sweep(ls->core->node->user_limits, now_ns(ls)) || !list_empty(&ls->records))
        sweep_later(ls);
}

static struct record *make_record(struct limits *ls, struct limit_slot *slot)
{
    struct record *r = mem_zalloc(sizeof *r + ls->bucket_count * sizeof *r->full_ns);

    r->slot = slot;
    slot->word = (uintptr_t)r;
    list_add_tail(&ls->records, &r->in_limits);
    ls->counts.records++;
    sweep_later(ls);
    return r;
}

static bool row_fits(const struct limits *ls, const struct record *r, unsigned row, uint64_t at_ns)
{
    for (size_t i = ls->rows[row].from; i < ls->rows[row].from + ls->rows[row].count; i++) {
        if (!bucket_has(&ls->buckets[i], r->full_ns[i], at_ns))
            return false;
    }
    return true;
}

static void row_charge(const struct limits *ls, struct record *r, unsigned row, uint64_t at_ns)
{
    for (size_t i = ls->rows[row].from; i < ls->rows[row].from + ls->rows[row].count; i++) {
        r->full_ns[i] = bucket_take(&ls->buckets[i], r->full_ns[i], at_ns);
        r->latest_ns = MAX(r->latest_ns, r->full_ns[i]);
    }
}

/* One of the row, which is one of all commands, too, unless it is an error. */
static void charge(const struct limits *ls, struct record *r, unsigned row, uint64_t at_ns)
{
    row_charge(ls, r, row, at_ns);
    if (row != ROW_ERROR)
        row_charge(ls, r, ROW_TOTAL, at_ns);
}

/* --- the word ------------------------------------------------------------------------------------
 * *
 *
 *     63          34 33           4 3    2      1        0
 *     [ the second ] [ the first  ] [ -- ] [ two? ] [ 1: packed ]
 *
 * Each command, or error, has 30 bits: its row (4) and when it came, in milliseconds (26, 18
 * hours). */

#define TIME_BITS 26
#define EVENT_BITS 30
#define EVENT_MASK ((UINT64_C(1) << EVENT_BITS) - 1)
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

static_assert(ROW_COUNT <= 16 && ROW_COUNT <= USER_LIMITS_ROWS, "a row has four bits");
static_assert(sizeof(uintptr_t) == 8, "two commands fit into a pointer");

static uint64_t pack(const struct limits *ls, unsigned row)
{
    return (uint64_t)row << TIME_BITS | (ls->core->worker->now_ms & TIME_MASK);
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

static bool has_record(const struct limit_slot *slot)
{
    return slot->word != 0 && !(slot->word & 1);
}

/* The record of a connection, made if need be, with what the word knew. */
static struct record *record_of(struct limits *ls, struct limit_slot *slot)
{
    struct record *r = (struct record *)slot->word;
    uint64_t events[2];
    unsigned n;

    if (has_record(slot))
        return r;
    n = unpack(ls, slot->word, events);
    r = make_record(ls, slot);
    for (unsigned i = 0; i < n; i++)
        charge(ls, r, (unsigned)(events[i] >> TIME_BITS),
               now_ns(ls) - MIN(ago_ms(ls, events[i] & TIME_MASK) * 1000000, now_ns(ls)));
    return r;
}

static bool refuse(struct limits *ls, struct str option)
{
    ls->refused_by = option;
    return false;
}

/* Two fit into every bucket: the word is enough for them. False: a record must tell. */
static bool fits_into_word(const struct limits *ls, const struct limit_slot *slot)
{
    uint64_t events[2];

    return !has_record(slot) && ls->two_always_fit && unpack(ls, slot->word, events) < 2;
}

static bool fits(struct limits *ls, struct limit_slot *slot, unsigned row)
{
    struct record *r;

    if (fits_into_word(ls, slot))
        return true;
    r = record_of(ls, slot);
    if (!row_fits(ls, r, row, now_ns(ls)))
        return refuse(ls, ls->rows[row].option);
    if (row != ROW_ERROR && !row_fits(ls, r, ROW_TOTAL, now_ns(ls)))
        return refuse(ls, ls->rows[ROW_TOTAL].option);
    return true;
}

/* What fits is counted. */
static void count(struct limits *ls, struct limit_slot *slot, unsigned row)
{
    uint64_t events[3];
    unsigned n;

    if (!fits_into_word(ls, slot)) {
        charge(ls, record_of(ls, slot), row, now_ns(ls));
        return;
    }
    n = unpack(ls, slot->word, events);
    events[n++] = pack(ls, row);
    slot->word = packed(events, n);
}

/* --- users ------------------------------------------------------------------------------------ */

static bool take_of_user(struct limits *ls, struct str user, const unsigned *rows, size_t n)
{
    struct user_limit limits[2];
    size_t count = 0, refusing;

    for (size_t i = 0; user.len > 0 && i < n; i++) {
        if (ls->user_rows[rows[i]]->count > 0)
            limits[count++] = (struct user_limit){rows[i], ls->user_rows[rows[i]]};
    }
    if (count == 0)
        return true;
    sweep_later(ls);
    refusing = user_limits_take(ls->core->node->user_limits, user, limits, count, now_ns(ls));
    return refusing == count || refuse(ls, ls->user_options[limits[refusing].row]);
}

bool limit_take_connect(struct limits *ls, struct str user)
{
    if (ls->settings != ls->core->settings)
        take_new_settings(ls);
    if (take_of_user(ls, user, (const unsigned[]){METHOD_CONNECT}, 1))
        return true;
    ls->counts.refused++;
    return false;
}

/* --- connections ------------------------------------------------------------------------------ */

bool limit_take(struct limits *ls, struct limit_slot *slot, struct str user, enum method method)
{
    bool limited;

    if (ls->settings != ls->core->settings)
        take_new_settings(ls);
    limited = ls->rows[method].count > 0 || ls->rows[ROW_TOTAL].count > 0;
    if ((limited && !fits(ls, slot, method)) ||
        !take_of_user(ls, user, (const unsigned[]){method, ROW_TOTAL}, 2)) {
        record_of(ls, slot); /* remembers what was logged */
        ls->counts.refused++;
        return false;
    }
    if (limited)
        count(ls, slot, method);
    return true;
}

bool limit_take_error(struct limits *ls, struct limit_slot *slot)
{
    if (ls->rows[ROW_ERROR].count == 0)
        return true;
    if (!fits(ls, slot, ROW_ERROR))
        return false;
    count(ls, slot, ROW_ERROR);
    return true;
}

bool limit_may_log(struct limits *ls, const struct limit_slot *slot)
{
    struct record *r = (struct record *)slot->word;
    uint64_t now_ms = ls->core->worker->now_ms;

    if (!has_record(slot))
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
    if (has_record(slot))
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
