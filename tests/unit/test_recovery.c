/* Every row of when a recovery is whole, in stream and in cache mode. */
#include "core/recovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TOP_EPOCH "E"

/* What the stream holds is oldest … newest (0: nothing); what is read comes from there. */
static const struct row {
    const char *name;
    enum recovery_mode mode;
    const char *epoch; /* of the request */
    uint64_t offset, oldest, newest, top;
    bool recovered;
    size_t count;
    uint32_t limit; /* 0: 300 */
} rows[] = {
    {"at the top", RECOVERY_STREAM, "E", 10, 5, 10, 10, true, 0, 0},
    {"two missed", RECOVERY_STREAM, "E", 10, 5, 12, 12, true, 2, 0},
    {"the next one is trimmed", RECOVERY_STREAM, "E", 10, 12, 12, 12, false, 0, 0},
    {"the next one is just there", RECOVERY_STREAM, "E", 10, 11, 12, 12, true, 2, 0},
    {"another epoch", RECOVERY_STREAM, "D", 10, 1, 4, 4, false, 0, 0},
    {"another epoch at the same offset", RECOVERY_STREAM, "D", 4, 1, 4, 4, false, 0, 0},
    {"no epoch is not compared", RECOVERY_STREAM, "", 10, 5, 12, 12, true, 2, 0},
    {"from the very beginning", RECOVERY_STREAM, "", 0, 1, 3, 3, true, 3, 0},
    {"an empty stream", RECOVERY_STREAM, "", 0, 0, 0, 0, true, 0, 0},
    {"expired, at the top", RECOVERY_STREAM, "E", 10, 0, 0, 10, true, 0, 0},
    {"expired, something missed", RECOVERY_STREAM, "E", 9, 0, 0, 10, false, 0, 0},
    {"beyond the top", RECOVERY_STREAM, "E", 11, 5, 10, 10, false, 0, 0},
    {"just as many as allowed", RECOVERY_STREAM, "E", 10, 5, 12, 12, true, 2, 2},
    {"more than allowed", RECOVERY_STREAM, "E", 9, 5, 12, 12, false, 0, 2},
    {"cache: the newest", RECOVERY_CACHE, "D", 3, 5, 10, 10, true, 1, 0},
    {"cache: first time", RECOVERY_CACHE, "", 0, 5, 10, 10, true, 1, 0},
    {"cache: known already", RECOVERY_CACHE, "E", 10, 5, 10, 10, true, 0, 0},
    {"cache: same offset, another epoch", RECOVERY_CACHE, "D", 10, 5, 10, 10, true, 1, 0},
    {"cache: nothing kept, known", RECOVERY_CACHE, "E", 10, 0, 0, 10, true, 0, 0},
    {"cache: nothing kept, not known", RECOVERY_CACHE, "E", 9, 0, 0, 10, false, 0, 0},
    {"cache: nothing ever", RECOVERY_CACHE, "", 0, 0, 0, 0, false, 0, 0},
    {"cache: the newest is not the top", RECOVERY_CACHE, "E", 3, 5, 9, 10, false, 0, 0},
    {"not asked", RECOVERY_NONE, "E", 9, 5, 10, 10, false, 0, 0},
};

static struct publication stored[32];

/* Reads as an engine does. */
static size_t read_rows(const struct row *r, const struct history_filter *f,
                        struct publication **out)
{
    size_t n = 0;

    for (uint64_t i = 0; r->newest > 0 && i <= r->newest - r->oldest; i++) {
        uint64_t offset = f->reverse ? r->newest - i : r->oldest + i;

        if ((f->limit >= 0 && (int64_t)n == f->limit) ||
            (f->has_since && offset <= f->since_offset))
            continue;
        stored[offset].offset = offset;
        out[n++] = &stored[offset];
    }
    return n;
}

static void every_row_is_decided_as_the_protocol_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct subscribe_request request = {
            .recovery = r->mode,
            .since = {r->offset, str_from(r->epoch)},
            .recovery_limit = r->limit ? r->limit : 300,
        };
        struct history_filter filter = recovery_filter(&request);
        struct publication *list[32];
        struct history_result read = {.position = {r->top, STR(TOP_EPOCH)}, .publications = list};
        struct history_result kept;
        bool recovered;

        read.count = read_rows(r, &filter, list);
        kept = recovery_choose(&request, &read, &recovered);
        if (recovered != r->recovered || kept.count != r->count)
            fail_msg("%s: recovered %d with %zu", r->name, recovered, kept.count);
        assert_int_equal(kept.position.offset, r->top);
        if (kept.count > 0)
            assert_int_equal(kept.publications[kept.count - 1]->offset, r->top);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_decided_as_the_protocol_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
