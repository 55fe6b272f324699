#include "core/recovery.h"

#include "core/encode.h"

struct history_filter recovery_filter(const struct subscribe_request *r)
{
    switch (r->recovery) {
    case RECOVERY_STREAM: /* the epoch is compared here afterwards, so that the top is told anyway
                           */
        return (struct history_filter){
            .limit = r->recovery_limit, .has_since = true, .since_offset = r->since.offset};
    case RECOVERY_CACHE:
        return (struct history_filter){.limit = r->filter ? r->recovery_limit : 1, .reverse = true};
    case RECOVERY_NONE:
        break;
    }
    return (struct history_filter){.limit = 0};
}

/* An empty epoch is a client's first position: there is nothing to compare. */
static bool same_epoch(struct str since, struct str now)
{
    return since.len == 0 || str_eq(since, now);
}

static bool stream_is_whole(const struct stream_position *since, const struct history_result *read)
{
    if (!same_epoch(since->epoch, read->position.epoch))
        return false;
    if (read->count == 0)
        return read->position.offset == since->offset;
    return read->publications[0]->offset == since->offset + 1 &&
           read->publications[read->count - 1]->offset == read->position.offset;
}

/* The newest first: leaves the newest one that the filter wants, or none. */
static void leave_newest(const struct filter *filter, struct history_result *result)
{
    struct arena a = ARENA_INIT;
    size_t i = 0;

    while (filter && i < result->count &&
           !filter_match(filter, encode_tags(&a, result->publications[i]->tags))) {
        arena_reset(&a);
        i++;
    }
    arena_deinit(&a);
    result->count = i < result->count ? 1 : 0;
    if (result->count > 0)
        result->publications += i;
}

/* Cache mode wants the newest publication only, unless the client has it. */
static void choose_cache(const struct subscribe_request *r, struct history_result *result,
                         bool *recovered)
{
    const struct stream_position *since = &r->since, *top = &result->position;
    bool same =
        since->offset > 0 && since->offset == top->offset && str_eq(since->epoch, top->epoch);
    bool whole = result->count > 0 && result->publications[0]->offset == top->offset;

    leave_newest(r->filter, result);
    *recovered = result->count > 0 ? whole : same;
    if (!*recovered || same)
        result->count = 0;
}

struct history_result recovery_choose(const struct subscribe_request *r,
                                      const struct history_result *read, bool *recovered)
{
    struct history_result result = *read;

    *recovered = false;
    switch (r->recovery) {
    case RECOVERY_STREAM:
        *recovered = stream_is_whole(&r->since, read);
        if (!*recovered)
            result.count = 0;
        break;
    case RECOVERY_CACHE:
        choose_cache(r, &result, recovered);
        break;
    case RECOVERY_NONE:
        result.count = 0;
        break;
    }
    return result;
}
