/* perigee.dict: named stores of strings, numbers and booleans that all workers share. Any thread.
 *
 * A dict is a row of stripes, each a table under its own lock, which is held for one operation on
 * one key (dict_keys: for a thousand buckets). Memory is taken before and given back after it, and
 * nothing foreign is called meanwhile, so no caller can fail or wait with a lock in hand.
 *
 * The memory of all dicts together is bounded. What would go beyond is refused; nothing is ever
 * evicted. An entry whose time is over is gone for every reader at once; a sweep, a bounded step a
 * second, gives its memory back. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define DICTS_MAX 256
#define DICT_NAME_MAX 255
#define DICT_KEY_MAX 1024
#define DICT_TEXT_MAX (1 << 20)
#define DICT_STRIPES 32

struct dicts; /* all of a process */
struct dict;  /* lives as long as they do */

struct dicts *dicts_new(size_t bytes_max);
void dicts_free(struct dicts *all);
void dicts_set_limit(struct dicts *all, size_t bytes_max);
/* Finds it, or makes it. ERR_LIMIT: there are DICTS_MAX already. Name: 1 … DICT_NAME_MAX bytes. */
enum err dicts_get(struct dicts *all, struct str name, struct dict **out) NODISCARD;
/* One step of the sweep; for a timer. */
void dicts_sweep(struct dicts *all);

struct dict_counts {
    uint64_t keys, bytes; /* expired ones that the sweep has not reached count */
    uint64_t full;        /* what was refused for want of memory */
};
struct dict_counts dicts_counts(const struct dicts *all); /* NULL: zeros */

enum dict_type { DICT_TEXT, DICT_INTEGER, DICT_NUMBER, DICT_BOOLEAN };

struct dict_value {
    enum dict_type type;
    union {
        struct str text; /* at most DICT_TEXT_MAX bytes */
        int64_t integer;
        double number;
        bool boolean;
    };
};

/* Keys have 1 … DICT_KEY_MAX bytes. ttl_ms 0: for ever. */

/* A text is copied into buf, and out borrows it there. ERR_NOT_FOUND. */
enum err dict_get(struct dict *d, struct str key, struct buf *buf,
                  struct dict_value *out) NODISCARD;
/* ERR_LIMIT: full, and what was there stays. */
enum err dict_set(struct dict *d, struct str key, const struct dict_value *value,
                  uint64_t ttl_ms) NODISCARD;
/* The same if there is nothing yet: ERR_EXISTS. */
enum err dict_add(struct dict *d, struct str key, const struct dict_value *value,
                  uint64_t ttl_ms) NODISCARD;
/* Adds by (a number) to the number that is there, or to 0; only then ttl_ms counts. ERR_LIMIT:
 * full. ERR_SYNTAX: what is there is no number. ERR_DENIED: the sum does not fit into 64 bits. */
enum err dict_incr(struct dict *d, struct str key, const struct dict_value *by, uint64_t ttl_ms,
                   struct dict_value *out) NODISCARD;
bool dict_delete(struct dict *d, struct str key); /* was it there? */

/* Puts the keys of one stripe (0 … DICT_STRIPES - 1) that begin with prefix into out, in no order;
 * dict_next_key takes them out again. ERR_LIMIT: out is full. */
enum err dict_keys(struct dict *d, unsigned stripe, struct str prefix, struct buf *out) NODISCARD;
bool dict_next_key(struct str *keys, struct str *key);
