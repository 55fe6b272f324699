/* Many commands in one request: {prefix}/batch, and the old endpoint {prefix} whose body is a
 * sequence of commands. The whole body is checked before the first command runs. Replies stand in
 * the order of the commands.
 *
 * Commands run one after the other unless `parallel` is set. Publishes in a row may still overlap
 * where nobody can tell: they go to the same home, which takes them first in, first out, and no
 * hook can wait in between. That is what makes a batch of publishes fast. */
#include "api/api_types.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/json.h"
#include "core/home.h"
#include "script/hook.h"

#define WINDOW 256 /* commands that run at once: more would make coroutines for one use each */

struct batch;

struct slot {
    struct batch *batch;
    struct api_target target;
    struct api_given params;
    uint32_t refused; /* error code, known before it runs */
    uint64_t id;      /* of the old endpoint */
    size_t at, len;   /* its reply in batch.replies */
};

struct batch {
    struct api *api;
    struct exchange *x;
    struct str body;    /* owned; the slots point into it */
    struct arena arena; /* unescaped names */
    struct slot *slots;
    size_t count, cap;
    size_t next, running;
    bool multi; /* the old endpoint */
    bool parallel, may_overlap, pumping;
    unsigned home;      /* worker of the publishes that run */
    struct buf replies; /* in the order in which they came */
};

static void batch_free(struct batch *b)
{
    str_free(&b->body);
    arena_deinit(&b->arena);
    mem_free(b->slots);
    buf_deinit(&b->replies);
    mem_free(b);
}

/* ---- answers ---- */

static void add_member(struct buf *out, struct str key, struct str value)
{
    json_add_string(out, key);
    buf_add_char(out, ':');
    buf_add_str(out, value);
}

static void add_reply(struct slot *slot, const struct api_reply *reply)
{
    struct batch *b = slot->batch;
    struct buf *out = &b->replies;

    slot->at = out->len;
    buf_add_char(out, '{');
    if (b->multi && slot->id > 0) {
        buf_add_lit(out, "\"id\":");
        buf_add_u64(out, slot->id);
        buf_add_char(out, ',');
    }
    if (reply->code != 0) {
        buf_add_lit(out, "\"error\":");
        api_add_error(out, reply->code, reply->message);
    } else {
        add_member(out, b->multi ? STR("result") : slot->target.name, reply->result);
    }
    buf_add_char(out, '}');
    slot->len = out->len - slot->at;
}

static void batch_end(struct batch *b)
{
    struct buf text = BUF_INIT(API_REPLY_MAX);

    if (!b->multi)
        buf_add_str(&text, b->count > 0 ? STR("{\"replies\":[") : STR("{"));
    for (size_t i = 0; i < b->count; i++) {
        if (i > 0)
            buf_add_char(&text, b->multi ? '\n' : ',');
        buf_add(&text, b->replies.ptr + b->slots[i].at, b->slots[i].len);
    }
    if (!b->multi)
        buf_add_str(&text, b->count > 0 ? STR("]}") : STR("}"));
    if (text.overflow || b->replies.overflow)
        exchange_respond(b->x, 500, STR("text/plain"), STR("Internal Server Error\n"));
    else
        exchange_respond(b->x, 200, JSON_TYPE, buf_str(&text));
    buf_deinit(&text);
    batch_free(b);
}

/* ---- running ---- */

static unsigned home_of_publish(struct batch *b, const struct slot *slot)
{
    struct core *core = b->api->core;
    struct str channel, value;

    if (core->node->worker_count == 1)
        return 0;
    value = api_given_value(&api_command(script_state(core->script), API_publish)->params,
                            &slot->params, STR("channel"));
    if (json_string(value, &b->arena, &channel) != OK)
        return 0; /* it will be refused */
    return home_of(core, map_hash(channel))->index;
}

static bool may_start(struct batch *b)
{
    const struct slot *slot = &b->slots[b->next];

    if (b->running >= WINDOW)
        return false;
    if (b->parallel || b->running == 0)
        return true;
    return b->may_overlap && slot->target.which == API_publish &&
           b->slots[b->next - 1].target.which == API_publish && home_of_publish(b, slot) == b->home;
}

static void pump(struct batch *b);

static void on_slot_done(void *arg, const struct api_reply *reply)
{
    struct slot *slot = arg;

    add_reply(slot, reply);
    slot->batch->running--;
    pump(slot->batch);
}

static void start(struct slot *slot)
{
    struct batch *b = slot->batch;
    struct api_reply refused = {.code = slot->refused};

    if (b->running == 0 && b->may_overlap && slot->target.which == API_publish)
        b->home = home_of_publish(b, slot);
    b->running++;
    if (refused.code == 0) {
        if (api_start_given(b->api, &slot->target, &slot->params, on_slot_done, slot) == OK)
            return;
        refused.code = API_BAD_REQUEST;
    }
    on_slot_done(slot, &refused);
}

/* Starts what may run now. Commands that end inside come back here and find it pumping, so the
 * stack stays flat however long the list is. */
static void pump(struct batch *b)
{
    if (b->pumping)
        return;
    b->pumping = true;
    while (b->next < b->count && may_start(b))
        start(&b->slots[b->next++]);
    b->pumping = false;
    if (b->next == b->count && b->running == 0)
        batch_end(b);
}

/* May publishes overlap? Not when a hook could hold one of them up. */
static bool may_overlap(struct api *api)
{
    struct script *s = api->core->script;

    for (size_t i = 0; i < script_settings(s)->namespaces_count; i++) {
        if (hooks_has(script_hooks(s, (unsigned)i), HOOK_TRANSFORM))
            return false;
    }
    return true;
}

/* ---- reading ---- */

static struct slot *add_slot(struct batch *b)
{
    if (b->count == API_BATCH_MAX)
        return NULL;
    if (b->count == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 16;
        b->slots = mem_realloc(b->slots, b->cap * sizeof *b->slots);
    }
    b->slots[b->count] = (struct slot){.batch = b, .target.which = API_COMMAND_COUNT};
    return &b->slots[b->count++];
}

/* One member of a batch element; of several commands the first in the order of the table counts,
 * and one of config.lua only when there is none of those. */
static enum err read_member(struct batch *b, struct slot *slot, struct str name, struct str *rest)
{
    struct api_target target = {api_find(name), name};
    struct str skipped;

    if (json_peek(rest) == JSON_NULL || target.which > slot->target.which ||
        (target.which == API_CUSTOM && !api_exists(b->api->core, &target)))
        return json_skip(rest, &skipped);
    slot->target = target;
    slot->refused = 0;
    return api_take_params(b->api, &target, rest, &b->arena, &slot->params);
}

static enum err read_element(struct batch *b, struct str *rest)
{
    struct slot *slot = add_slot(b);
    struct str key, value;
    bool started = false;
    enum err err;

    if (!slot)
        return ERR_LIMIT;
    if (json_peek(rest) == JSON_NULL) {
        slot->refused = API_BAD_REQUEST;
        return json_skip(rest, &value);
    }
    slot->refused = API_NOT_FOUND;
    while ((err = json_member(rest, &started, &b->arena, &key)) == OK) {
        if (read_member(b, slot, key, rest) != OK)
            return ERR_SYNTAX;
    }
    return err == ERR_NOT_FOUND ? OK : ERR_SYNTAX;
}

static enum err read_commands(struct batch *b, struct str *rest)
{
    struct str null;
    bool started = false;
    enum err err;

    b->count = 0;
    if (json_peek(rest) == JSON_NULL)
        return json_skip(rest, &null);
    while ((err = json_element(rest, &started)) == OK) {
        err = read_element(b, rest);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err read_batch(struct batch *b)
{
    struct str rest = b->body, key, value;
    bool started = false;
    enum err err;

    if (json_peek(&rest) == JSON_NULL) {
        err = json_skip(&rest, &value);
    } else {
        while ((err = json_member(&rest, &started, &b->arena, &key)) == OK) {
            if (str_eq(key, STR("commands"))) {
                err = read_commands(b, &rest);
            } else {
                err = json_skip(&rest, &value);
                if (err == OK && str_eq(key, STR("parallel")) && !json_is_null(value))
                    err = json_bool(value, &b->parallel);
            }
            if (err != OK)
                return ERR_SYNTAX;
        }
        if (err == ERR_NOT_FOUND)
            err = OK;
    }
    return err == OK && json_skip(&rest, &value) == ERR_NOT_FOUND ? OK : ERR_SYNTAX;
}

/* ---- the old endpoint ---- */

static enum err find_by_number(struct slot *slot, struct str value)
{
    static const unsigned numbers[] = {
#define X(name, number) number,
        API_COMMANDS(X)
#undef X
    };
    uint64_t number;

    if (json_u64(value, UINT32_MAX, &number) != OK)
        return ERR_SYNTAX;
    slot->refused = API_NOT_FOUND;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (numbers[i] == number) {
            slot->target.which = (enum api_name)i;
            slot->refused = 0;
        }
    }
    return OK;
}

static enum err find_by_name(struct batch *b, struct slot *slot, struct str value)
{
    struct str name;

    if (json_string(value, &b->arena, &name) != OK)
        return ERR_SYNTAX;
    for (size_t i = 0; i < API_COMMAND_COUNT; i++) {
        if (str_eq_nocase(name, api_name_of((enum api_name)i))) {
            slot->target.which = (enum api_name)i;
            return OK;
        }
    }
    slot->target = (struct api_target){API_CUSTOM, name};
    return api_exists(b->api->core, &slot->target) ? OK : ERR_SYNTAX;
}

static enum err read_call(struct batch *b, struct str object)
{
    struct json_iter it = json_iter(object);
    struct slot *slot = add_slot(b);
    struct str key, value, params = STR_NONE;
    enum err err;

    if (!slot)
        return ERR_LIMIT;
    slot->target.which = API_publish; /* number 0 */
    while ((err = json_object_next(&it, &b->arena, &key, &value)) == OK) {
        if (json_is_null(value))
            continue;
        if (str_eq(key, STR("id")))
            err = json_u64(value, UINT64_MAX, &slot->id);
        else if (str_eq(key, STR("method")))
            err = json_type(value) == JSON_STRING ? find_by_name(b, slot, value)
                                                  : find_by_number(slot, value);
        else if (str_eq(key, STR("params")))
            params = value;
        if (err != OK)
            return err;
    }
    if (err != ERR_NOT_FOUND)
        return ERR_SYNTAX;
    if (!params.ptr && slot->target.which == API_info)
        params = STR("{}");
    if (slot->refused == 0 && (!params.ptr || api_take_params(b->api, &slot->target, &params,
                                                              &b->arena, &slot->params) != OK))
        slot->refused = API_BAD_REQUEST;
    return OK;
}

static enum err read_multi(struct batch *b)
{
    struct str rest = b->body, object;
    enum err err;

    while ((err = json_skip(&rest, &object)) == OK) {
        err = read_call(b, object);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND && b->count > 0 ? OK : ERR_SYNTAX;
}

/* ---- doors ---- */

static enum err run(struct api *api, struct exchange *x, struct str body, bool multi)
{
    struct batch *b = mem_zalloc(sizeof *b);

    b->api = api;
    b->x = x;
    b->multi = multi;
    b->body = str_dup(body);
    b->replies = BUF_INIT(API_REPLY_MAX);
    if ((multi ? read_multi(b) : read_batch(b)) != OK) {
        batch_free(b);
        return ERR_SYNTAX;
    }
    b->may_overlap = may_overlap(api);
    pump(b);
    return OK;
}

enum err api_batch(struct api *api, struct exchange *x, struct str body)
{
    return run(api, x, body, false);
}

enum err api_multi(struct api *api, struct exchange *x, struct str body)
{
    return run(api, x, body, true);
}
