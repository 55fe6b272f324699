/* The books of a load run: what was published, who had it when, what is missing, came twice or out
 * of order. A lane is a sequence of publications whose order the server must keep: one publisher
 * connection and one channel. Each publication carries its time, lane and number in its payload:
 *
 *     {"T":"<16 hex: ns>","L":"<4 hex>","S":"<8 hex>","P":"<padding>"}
 *
 * One thread; every table is allocated at the start, so that a run itself allocates nothing. */
#pragma once

#include "measure.h"
#include "net.h"

#define ACCOUNT_MARK "{\"T\":\""
#define ACCOUNT_T 6
#define ACCOUNT_L (ACCOUNT_T + 16 + 7)
#define ACCOUNT_S (ACCOUNT_L + 4 + 7)
#define ACCOUNT_P (ACCOUNT_S + 8 + 7)
#define ACCOUNT_PAYLOAD_MIN (ACCOUNT_P + 2)
#define ACCOUNT_REACH_NS (200 * UINT64_C(1000000)) /* "reached" in the 2015 article's sense */

/* What one subscriber saw of one publisher: the number it expects, and which of the 64 before it
 * arrived. */
struct account_seen {
    uint64_t bits;
    uint32_t next;
};

struct account_flight {
    uint64_t sent_at;
    uint32_t left; /* subscribers that do not have it yet */
    bool answered;
    bool done;
};

struct account_lane {
    uint32_t next; /* number of the next publication */
    uint32_t tail; /* oldest one that is still open */
    uint32_t measured_from;
    struct account_flight *ring;
};

struct account {
    size_t subscribers, publishers, channels, window;
    size_t witnesses; /* 0, or so many are on channel 0 and all others on channel 1 */
    uint32_t ring_mask;
    uint32_t *audience; /* per channel: ready subscribers */
    struct account_seen *seen;
    struct account_lane *lane;
    bool measuring;
    uint64_t timeout_ns;
    size_t open; /* publications somebody still waits for */
    uint64_t started, expected, delivered, duplicates, reordered, stale, foreign, given_up;
    uint64_t measured, measured_started, measured_expected, reached; /* since measuring began */
    uint64_t reached_all;  /* publications that everybody had in time */
    struct hist latency;   /* per delivery */
    struct hist until_all; /* per publication: until the last subscriber had it */
};

static inline void *account_zeroed(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);
    if (p == NULL) {
        NET_DIE("out of memory");
    }
    return p;
}

static inline void account_init(struct account *a, size_t subscribers, size_t publishers,
                                size_t channels, size_t window, uint64_t timeout_ns)
{
    size_t lanes = publishers * channels, ring = 1;

    while (ring < window) {
        ring *= 2;
    }
    *a = (struct account){.subscribers = subscribers,
                          .publishers = publishers,
                          .channels = channels,
                          .window = window,
                          .ring_mask = (uint32_t)ring - 1,
                          .timeout_ns = timeout_ns};
    a->audience = account_zeroed(channels, sizeof *a->audience);
    a->seen = account_zeroed(subscribers * publishers, sizeof *a->seen);
    a->lane = account_zeroed(lanes, sizeof *a->lane);
    for (size_t i = 0; i < lanes; i++) {
        a->lane[i].ring = account_zeroed(ring, sizeof *a->lane[i].ring);
    }
}

/* From here on, what is published counts for the figures; loss and order count from the start. */
static inline void account_measure(struct account *a)
{
    a->measuring = true;
    for (size_t i = 0; i < a->publishers * a->channels; i++) {
        a->lane[i].measured_from = a->lane[i].next;
    }
}

static inline size_t account_channel(const struct account *a, size_t subscriber)
{
    return a->witnesses > 0 ? subscriber >= a->witnesses : subscriber % a->channels;
}

static inline void account_hex(char *out, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 4) {
        out[i] = "0123456789abcdef"[value & 15];
    }
}

static inline uint64_t account_unhex(const char *p, int digits)
{
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) {
        unsigned c = (unsigned char)p[i];
        value = value << 4 | (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return value;
}

/* Opens the lane's next publication and writes its payload, size bytes. */
static inline void account_publish(struct account *a, size_t lane, uint64_t now, char *out,
                                   size_t size)
{
    struct account_lane *l = &a->lane[lane];
    struct account_flight *f = &l->ring[l->next & a->ring_mask];
    uint32_t audience = a->audience[lane % a->channels];

    memcpy(out, ACCOUNT_MARK, ACCOUNT_T);
    account_hex(out + ACCOUNT_T, now, 16);
    memcpy(out + ACCOUNT_T + 16, "\",\"L\":\"", 7);
    account_hex(out + ACCOUNT_L, lane, 4);
    memcpy(out + ACCOUNT_L + 4, "\",\"S\":\"", 7);
    account_hex(out + ACCOUNT_S, l->next, 8);
    memcpy(out + ACCOUNT_S + 8, "\",\"P\":\"", 7);
    memset(out + ACCOUNT_P, 'x', size - ACCOUNT_PAYLOAD_MIN);
    memcpy(out + size - 2, "\"}", 2);
    *f = (struct account_flight){.sent_at = now, .left = audience};
    l->next++;
    a->open++;
    a->started++;
    a->expected += audience;
    a->measured_started += a->measuring;
    a->measured_expected += a->measuring ? audience : 0;
}

static inline void account_settle(struct account *a, struct account_lane *l,
                                  struct account_flight *f)
{
    if (!f->done && f->left == 0 && f->answered) {
        f->done = true;
        a->open--;
    }
    while (l->tail != l->next && l->ring[l->tail & a->ring_mask].done) {
        l->tail++;
    }
}

/* The server answered count publications of lane, beginning with first. */
static inline void account_answered(struct account *a, size_t lane, uint32_t first, uint32_t count)
{
    struct account_lane *l = &a->lane[lane];
    for (uint32_t seq = first; seq != first + count; seq++) {
        if (seq - l->tail < l->next - l->tail) {
            struct account_flight *f = &l->ring[seq & a->ring_mask];
            f->answered = true;
            account_settle(a, l, f);
        }
    }
}

/* False: this subscriber had it before. */
static inline bool account_first_time(struct account *a, struct account_seen *s, uint32_t seq)
{
    if (seq >= s->next) {
        uint32_t shift = seq - s->next + 1;
        s->bits = (shift >= 64 ? 0 : s->bits << shift) | 1;
        s->next = seq + 1;
        return true;
    }
    uint32_t back = s->next - 1 - seq;
    if (back >= 64) {
        a->stale++; /* too old to tell a late one from a second one */
        return false;
    }
    if ((s->bits >> back & 1) != 0) {
        a->duplicates++;
        return false;
    }
    s->bits |= UINT64_C(1) << back;
    a->reordered++;
    return true;
}

/* payload begins with ACCOUNT_MARK and is at least ACCOUNT_PAYLOAD_MIN bytes long. */
static inline void account_deliver(struct account *a, size_t subscriber, const char *payload,
                                   uint64_t now)
{
    uint64_t sent_at = account_unhex(payload + ACCOUNT_T, 16);
    size_t lane = (size_t)account_unhex(payload + ACCOUNT_L, 4);
    uint32_t seq = (uint32_t)account_unhex(payload + ACCOUNT_S, 8);
    size_t publisher = lane / a->channels;

    if (publisher >= a->publishers || lane % a->channels != account_channel(a, subscriber)) {
        a->foreign++;
        return;
    }
    if (!account_first_time(a, &a->seen[subscriber * a->publishers + publisher], seq)) {
        return;
    }
    struct account_lane *l = &a->lane[lane];
    uint64_t took = now > sent_at ? now - sent_at : 0;
    bool measured = a->measuring && seq >= l->measured_from;
    a->delivered++;
    if (measured) {
        a->measured++;
        a->reached += took <= ACCOUNT_REACH_NS;
        hist_add(&a->latency, took);
    }
    struct account_flight *f = &l->ring[seq & a->ring_mask];
    if (seq - l->tail >= l->next - l->tail || f->done || f->left == 0) {
        return;
    }
    if (--f->left == 0) {
        if (measured) {
            a->reached_all += took <= ACCOUNT_REACH_NS;
            hist_add(&a->until_all, took);
        }
        account_settle(a, l, f);
    }
}

/* Gives up publications that are overdue, so that a lost one cannot stop the run. */
static inline void account_expire(struct account *a, uint64_t now)
{
    for (size_t i = 0; i < a->publishers * a->channels; i++) {
        struct account_lane *l = &a->lane[i];
        while (l->tail != l->next) {
            struct account_flight *f = &l->ring[l->tail & a->ring_mask];
            if (!f->done) {
                if (now < f->sent_at + a->timeout_ns) {
                    break;
                }
                f->done = true;
                a->open--;
                a->given_up++;
            }
            l->tail++;
        }
    }
}
