/* Whole sessions of up to three clients, in a world without sockets. The input is a script, a line
 * an action; what cannot be read is passed over:
 *
 *     A {"id":1,"connect":{"token":"$1"}}    a frame of client A, B (Protobuf) or C; a tab ends a
 *                                            command, $0 to $9 and $a are tokens
 *     b …                                    bytes as they are, from B
 *     + 1500                                 milliseconds pass
 *     > {"channel":"delta:x","data":1}       the server publishes; also tags, key, version,
 *                                            version_epoch, delta
 *     * A {"channel":"plain:x"}              … subscribes A; also info, data, override, expire,
 *                                            offset, epoch
 *     - A plain:x      ! A 3503      ~ A 60      v A      h delta:x
 *                                            … unsubscribes, disconnects, lets expire, revokes the
 *                                            tokens of, removes the history of
 *     x A              s A         n         the connection ends; reads no more, or again; the
 *                                            other settings are in force
 *
 * After it everything has to be gone. */
#include "session_peer.h"

#include "base/utf8.h"
#include "client/occupancy.h"
#include "client/publish.h"
#include "client/subscribe.h"
#include "core/admission.h"
#include "core/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

#define LEAKS_EVERY 2000 /* sessions */
#define SCRIPT_BYTES_MAX 8192
#define LINES_MAX 200
#define PASS_MS_MAX 200000

static const char config_head[] =
    "local perigee = require 'perigee'\n"
    "local function slow(ms) return function() perigee.sleep(ms / 1000) end end\n"
    "local all = function(options)\n"
    "  for _, what in ipairs { 'subscribe', 'publish', 'presence', 'history' } do\n"
    "    options['allow_' .. what .. '_for_client'] = true\n"
    "    options['allow_' .. what .. '_for_anonymous'] = true\n"
    "  end\n"
    "  options.presence, options.join_leave = true, true\n"
    "  return options\n"
    "end\n"
    "local stream = function(options)\n"
    "  options.history_size, options.history_ttl = 4, '20s'\n"
    "  options.history_meta_ttl = '60s'\n"
    "  return all(options)\n"
    "end\n"
    "return {\n"
    "  hooks = {\n"
    "    connect = function(ctx)\n"
    "      local d = type(ctx.data) == 'table' and ctx.data or {}\n"
    "      if d.slow then perigee.sleep(0.05) end\n"
    "      if d.error then return perigee.error(1000, 'no') end\n"
    "      if d.no then return perigee.disconnect_code(4000, 'go') end\n"
    "      if d.subs then return { user = 'h', subs = { ['recover:h'] = {}, ['plain:h'] = {} } } "
    "end\n"
    "    end,\n"
    "    unsubscribe = function(client, req) local _ = client.user .. req.channel end,\n"
    "    disconnect = function(client, code) local _ = client.id end,\n"
    "    message = function(client) client:send { got = true } end,\n"
    "    occupied = slow(7000), vacated = slow(3000),\n"
    "  },\n"
    "  rpc = { slow = function(_, data) perigee.sleep(0.03) return data end,\n"
    "    echo = function(_, data) return data end, broken = function() error 'x' end,\n"
    "    leave = function(client) client:unsubscribe 'recover:a' end,\n"
    "    enter = function(client) client:subscribe 'own:s' end,\n"
    "    bye = function(client) client:disconnect(3503, 'bye') end },\n"
    "  channel = { options_cache_size = 2, options_cache_ttl = '100s',\n"
    "    without_namespace = all {}, namespaces = {\n"
    "    own = all { hooks = { channel_options = function(channel)\n"
    "      local last = channel:sub(-1)\n"
    "      if last == 's' then perigee.sleep(0.02) end\n"
    "      if last == 'e' then return { history_size = 1 } end\n"
    "      if last == 'n' then return perigee.error(404, 'none') end\n"
    "      return { history_size = 4, history_ttl = '20s', history_meta_ttl = '60s',\n"
    "        force_recovery = true } end,\n"
    "      unsubscribe = function(client, req)\n"
    "        client:unsubscribe(req.channel) client:subscribe 'own:s' end } },\n"
    "    plain = all { force_push_join_leave = true }, closed = {},\n"
    "    recover = stream { force_recovery = true, force_push_join_leave = true },\n"
    "    wish = stream { allow_recovery = true, allow_positioning = true },\n"
    "    cache = stream { force_recovery = true, force_recovery_mode = 'cache',\n"
    "      auto_cache_recover = true, allowed_delta_types = { 'fossil' },\n"
    "      delta_publish = true, allow_tags_filter = true },\n"
    "    delta = stream { force_recovery = true, allowed_delta_types = { 'fossil' },\n"
    "      delta_publish = true, allow_tags_filter = true },\n"
    "    users = { allow_user_limited_channels = true },\n"
    "    slow = stream { force_positioning = true, hooks = { subscribe = slow(20),\n"
    "      publish = slow(20), transform = slow(10), unsubscribe = slow(10),\n"
    "      presence = slow(5), history = slow(5) } },\n"
    "  } },\n"
    "  client = {\n"
    "    token = { hmac_secret_key = 'secret' }, allow_anonymous_connect_without_token = true,\n"
    "    channel_limit = 6, queue_max_size = 8192, user_connection_limit = 2,\n"
    "    history_max_publication_limit = 3, recovery_max_publication_limit = 3,\n"
    "    presence_update_interval = '5s', channel_position_check_delay = '5s',\n"
    "    subscribe_to_user_personal_channel = { enabled = true,\n"
    "      personal_channel_namespace = 'recover' },\n";
static const char config_tail[] = "  } }\n";
static const char other[] =
    "    concurrency = 3, channel_position_max_time_lag = '1s',\n"
    "    rate_limit = { client_command = { publish = { buckets = { { interval = '1s', rate = 3 } "
    "} },\n"
    "      send = { buckets = { { interval = '1s', rate = 1 } } } } },\n";

static struct settings *variants[2];
static uint64_t random_state;
static struct peer peers[] = {
    {.name = "a", .kind = KIND_WS_JSON},
    {.name = "b", .kind = KIND_WS_PROTOBUF},
    {.name = "c", .kind = KIND_WS_JSON},
};
static unsigned passed_ms;

/* --- the world -------------------------------------------------------------------------------- */

static void fill_random(void *out, size_t n)
{
    unsigned char *bytes = out;

    for (size_t i = 0; i < n; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(random_state >> 56);
    }
}

static void open_world(void)
{
    static char text[2][8192];

    random_set_source(fill_random);
    snprintf(text[0], sizeof text[0], "%s%s", config_head, config_tail);
    snprintf(text[1], sizeof text[1], "%s%s%s", config_head, other, config_tail);
    world_begin(text[0]);
    variants[0] = settings_ref(settings);
    variants[1] = world_settings(text[1]);
}

/* A reload that leaves the functions as they are. */
static void use_settings(unsigned variant)
{
    if (core->settings == variants[variant])
        return;
    settings_unref(core->settings);
    core->settings = settings_ref(variants[variant]);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        peers[i].any_order = true; /* of what waits now, too */
}

static void settle(void)
{
    world_turn();
    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        peer_read(&peers[i]);
}

static void pass(uint64_t ms)
{
    for (uint64_t left = MIN(ms, (uint64_t)PASS_MS_MAX - passed_ms), step; left > 0; left -= step) {
        step = MIN(left, (uint64_t)5000); /* so that pings are seen */
        passed_ms += (unsigned)step;
        world_pass(step);
        settle();
    }
}

/* --- the actions ------------------------------------------------------------------------------ */

static const char *token(char which)
{
    static const struct {
        char name;
        const char *claims; /* %lld is now */
    } tokens[] = {
        {'0', "{\"sub\":\"u0\"}"},
        {'1', "{\"sub\":\"u1\",\"info\":{\"n\":1},\"jti\":\"j1\",\"iat\":1}"},
        {'2', "{\"sub\":\"u1\",\"exp\":%lld1}"},
        {'3', "{\"sub\":\"u1\",\"expire_at\":%lld,\"exp\":0}"},
        {'4', "{\"sub\":\"u1\",\"channels\":[\"recover:a\",\"plain:a\"]}"},
        {'5', "{\"sub\":\"u1\",\"subs\":{\"cache:a\":{\"info\":{},\"data\":[1]}}}"},
        {'6', "{\"sub\":\"u1\",\"caps\":[{\"channels\":[\"closed:*\"],\"match\":\"wildcard\","
              "\"allow\":[\"sub\",\"pub\"]}]}"},
        {'7', "{\"sub\":\"u1\",\"channel\":\"$delta:p\",\"expire_at\":%lld9}"},
        {'8', "{\"sub\":\"u1\",\"channel\":\"closed:a\",\"allow\":[\"pub\"],\"info\":[],"
              "\"override\":{\"presence\":{\"value\":true}}}"},
        {'9', "{\"sub\":\"u1\",\"exp\":1}"},
        {'a', "{\"sub\":\"u1\",\"channel\":\"closed:a\",\"expire_at\":%lld}"},
    };
    char claims[256];

    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        const char *at = strstr(tokens[i].claims, "%lld");

        if (tokens[i].name != which)
            continue;
        snprintf(claims, sizeof claims, "%.*s%lld%s",
                 at ? (int)(at - tokens[i].claims) : (int)strlen(tokens[i].claims),
                 tokens[i].claims, (long long)world_now_s() + 7, at ? at + 4 : "}");
        return loopback_token(claims);
    }
    return "";
}

static struct peer *peer_of(struct str name)
{
    size_t i = name.len > 0 ? (size_t)(name.ptr[0] - 'A') : SIZE_MAX;

    return i < ARRAY_LEN(peers) ? &peers[i] : NULL;
}

static void put(struct peer *p, struct str frame)
{
    struct loopback *l;

    if (p->loopback == NULL) {
        p->loopback = loopback_open(p->name, p->kind);
        p->any_order = core->settings == variants[1];
    }
    l = p->loopback;
    if (!l->closed && l->pauses == l->resumes && peer_has_room(p, frame.len) &&
        peer_expect(p, frame))
        client_receive(l->client, frame);
}

/* Written in JSON, whatever the client speaks. */
static void put_commands(struct peer *p, struct str line)
{
    struct buf text = BUF_INIT(1 << 18), bytes = BUF_INIT(1 << 18);
    struct arena a = ARENA_INIT;
    struct wire_command command;
    struct str rest;

    for (size_t i = 0; i < line.len; i++) {
        const char *named = line.ptr[i] == '$' && i + 1 < line.len ? token(line.ptr[i + 1]) : "";

        if (*named) {
            buf_add_str(&text, str_from(named));
            i++;
        } else {
            buf_add_char(&text, line.ptr[i] == '\t' ? '\n' : line.ptr[i]);
        }
    }
    rest = buf_str(&text);
    if (kind_wire(p->kind) == WIRE_PROTOBUF) {
        while (wire_next(WIRE_JSON, &rest, &a, &command) == OK)
            wire_pb_add_delimited(&bytes, &wire_desc_command, &command);
        rest = buf_str(&bytes);
    }
    put(p, rest);
    arena_deinit(&a);
    buf_deinit(&text);
    buf_deinit(&bytes);
}

static struct str member(struct str json, struct str name, struct arena *a)
{
    struct str value;

    return json_get(json, name, a, &value) == OK ? value : STR_NONE;
}

static struct str text_member(struct str json, struct str name, struct arena *a)
{
    struct str text, value = member(json, name, a);

    return value.len > 0 && json_string(value, a, &text) == OK ? text : STR_NONE;
}

static int64_t number_member(struct str json, struct str name, struct arena *a)
{
    int64_t number;

    return json_i64(member(json, name, a), 0, INT32_MAX, &number) == OK ? number : 0;
}

static void on_published(void *arg, enum err err, struct stream_position position)
{
}

static void on_refused(void *arg, const struct hook_verdict *verdict)
{
}

/* Tags as the server API lets them through: an object of texts. */
static struct str tags_member(struct str json, struct arena *a)
{
    struct str tags = member(json, STR("tags"), a), key, value;
    struct json_iter it = json_iter(tags);
    enum err err;

    while ((err = json_object_next(&it, a, &key, &value)) == OK) {
        if (json_type(value) != JSON_STRING)
            return STR_NONE;
    }
    return err == ERR_NOT_FOUND ? tags : STR_NONE;
}

static void publish(struct str json)
{
    struct arena a = ARENA_INIT;
    struct publication_source source = {
        .channel = text_member(json, STR("channel"), &a),
        .data = member(json, STR("data"), &a),
        .data_is_json = true,
        .tags = tags_member(json, &a),
        .delta = member(json, STR("delta"), &a).len > 0,
        .version = (uint64_t)number_member(json, STR("version"), &a),
    };
    struct publish_request request = {
        .idempotency_key = text_member(json, STR("key"), &a),
        .version_epoch = text_member(json, STR("version_epoch"), &a),
        .version = source.version,
    };
    struct channel_parts parts;

    if (json_valid(json) && source.data.len > 0 && source.channel.len > 0 &&
        channel_resolve(core->settings, source.channel, &parts) == OK) {
        request.stream = channel_stream(parts.ns);
        source.delta = source.delta || parts.ns->opt.delta_publish;
        publish_start(core, &source, &request, on_published, on_refused, NULL);
    }
    arena_deinit(&a);
}

static void order_subscribe(struct control_order *order, struct str json)
{
    struct arena a = ARENA_INIT;
    struct control_subscribe *s = &order->subscribe;

    order->kind = CONTROL_SUBSCRIBE;
    s->channel = text_member(json, STR("channel"), &a);
    s->info = member(json, STR("info"), &a);
    s->data = member(json, STR("data"), &a);
    s->override = member(json, STR("override"), &a);
    s->since_epoch = text_member(json, STR("epoch"), &a);
    s->since_offset = (uint64_t)number_member(json, STR("offset"), &a);
    s->has_since = s->since_offset > 0;
    if (number_member(json, STR("expire"), &a) > 0)
        s->expire_at = world_now_s() + number_member(json, STR("expire"), &a);
    if (json_valid(json) && s->channel.len > 0 && s->channel.len < 256)
        control_send(core, order, NULL, NULL);
    arena_deinit(&a);
}

/* An order for one client; what: the action's letter, rest: what stands behind the client's. */
static void order(char what, const struct peer *p, struct str rest)
{
    struct client *cl = p->loopback->client;
    uint64_t number;
    struct control_order order = {
        .target = {.user = client_user(cl), .client = client_id(cl)},
        .code = 2000,
        .reason = STR("because"),
    };

    if (!str_to_u64(rest, 10000, &number))
        number = 0;
    if (what == '*') {
        order_subscribe(&order, rest);
        return;
    }
    if (what == '-') {
        order.kind = CONTROL_UNSUBSCRIBE;
        order.subscribe.channel = rest;
    } else if (what == '!') {
        order.kind = CONTROL_DISCONNECT;
        order.code = 3000 + (uint32_t)(number % 2000);
    } else if (what == '~') {
        order.kind = CONTROL_REFRESH;
        order.expired = number == 1;
        order.expire_at = number > 0 ? world_now_s() + (int64_t)number : 0;
    } else {
        order.kind = CONTROL_REVOKE;
        order.revoke.issued_before = world_now_s();
        order.expire_at = world_now_s() + 100;
    }
    if (what != '-' || (rest.len > 0 && utf8_valid(rest))) /* the doors let nothing else in */
        control_send(core, &order, NULL, NULL);
}

static void on_removed(void *arg, enum err err)
{
}

static void act(struct str line)
{
    char what = line.ptr[0];
    struct str rest = str_trim(str_cut(line, 1));
    struct peer *p = what == 'b' ? &peers[1] : peer_of(strchr("*-!~vxs", what) ? rest : line);
    uint64_t ms;

    if (what == '+' && str_to_u64(rest, 60000, &ms))
        pass(ms);
    else if (what == '>')
        publish(rest);
    else if (what == 'h' && rest.len > 0)
        home_history_remove(core, rest, on_removed, NULL);
    else if (what == 'n')
        use_settings(core->settings == variants[0]);
    else if (p == NULL)
        return;
    else if (what == 'b')
        put(p, rest);
    else if (what >= 'A' && what <= 'C')
        put_commands(p, rest);
    else if (p->loopback == NULL)
        return;
    else if (what == 'x')
        peer_close(p);
    else if (what == 's')
        p->slow = !p->slow;
    else
        order(what, p, str_trim(str_cut(rest, 1)));
}

/* --- a session -------------------------------------------------------------------------------- */

static void run_script(struct str script)
{
    for (unsigned n = 0; script.len > 0 && n < LINES_MAX; n++) {
        ptrdiff_t end = str_find(script, '\n');
        struct str line = str_of(script.ptr, end < 0 ? script.len : (size_t)end);

        script = str_cut(script, line.len + (end >= 0));
        if (line.len > 0)
            act(line);
        if (n % 2 == 0 || line.len == 0) /* some actions meet in one turn */
            settle();
    }
}

static void on_presence(void *arg, enum err err, const struct presence_result *result)
{
    CHECK(err == OK && result->count == 0);
}

/* Nobody is left, and after a while nothing else. */
static void end_session(void)
{
    static const char *const channels[] = {"recover:a", "cache:a", "delta:a", "slow:a", "plain:a"};
    struct hub_counts counts;

    settle();
    passed_ms = 0;
    pass(1000);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        peer_check_end(&peers[i]);
        peer_close(&peers[i]);
    }
    world_pass(1000); /* hooks about their end */
    for (size_t i = 0; i < ARRAY_LEN(channels); i++)
        home_presence(core, str_from(channels[i]), true, on_presence, NULL);
    world_turn();
    counts = hub_counts(core->hub);
    CHECK(counts.clients == 0 && counts.users == 0);
    CHECK(counts.channels == 0 && counts.subscriptions == 0);
    CHECK(list_empty(&core->clients->unconnected));
    CHECK(list_empty(&core->clients->orderings));
    world_pass(400000); /* streams, keys and revocations are forgotten: the next one starts clean */
    CHECK(worker->timers.count == (timer_is_set(&core->dict_sweep) ? 1 : 0));
    CHECK(occupancy_is_idle(core->clients->occupancy));
}

/* Lua's collector allocates and frees out of step, so libFuzzer would look for leaks after each
 * session, which costs ten times the session. We do it now and then, and the end of the process
 * does. Its statistics of rare features cost as much again. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char no_leaks[] = "-detect_leaks=0", no_statistics[] = "-entropic=0";
    static char *with[64];

    if (*argc + 3 > (int)ARRAY_LEN(with))
        return 0;
    with[0] = (*argv)[0];
    with[1] = no_leaks;
    with[2] = no_statistics;
    for (int i = 1; i < *argc; i++)
        with[i + 2] = (*argv)[i];
    *argc += 2;
    *argv = with;
    return 0;
}

static void look_for_leaks(void)
{
    static unsigned sessions;

    if (++sessions % LEAKS_EVERY == 0 && __lsan_do_recoverable_leak_check)
        CHECK(__lsan_do_recoverable_leak_check() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (worker == NULL)
        open_world();
    if (size > SCRIPT_BYTES_MAX)
        return 0;
    random_state = 1;
    passed_ms = 0;
    use_settings(0);
    run_script(str_of((const char *)data, size));
    end_session();
    look_for_leaks();
    return 0;
}

/* --- mutations ---------------------------------------------------------------------------------
 */

static const char *const lines[] = {
    "A {\"id\":1,\"connect\":{\"token\":\"$1\"}}",
    "B {\"id\":1,\"connect\":{\"token\":\"$4\",\"subs\":{\"recover:a\":{\"recover\":true}}}}",
    "C {\"id\":1,\"connect\":{\"data\":{\"slow\":true}}}",
    "A {\"id\":2,\"subscribe\":{\"channel\":\"recover:a\",\"recover\":true,\"offset\":1}}",
    "B {\"id\":2,\"subscribe\":{\"channel\":\"delta:a\",\"delta\":\"fossil\"}}",
    "C {\"id\":2,\"subscribe\":{\"channel\":\"cache:a\",\"delta\":\"fossil\"}}",
    "A {\"id\":3,\"subscribe\":{\"channel\":\"delta:a\",\"tf\":{\"key\":\"k\",\"cmp\":\"eq\","
    "\"val\":\"v\"}}}",
    "A {\"id\":4,\"subscribe\":{\"channel\":\"slow:a\"}}\t{\"id\":5,\"unsubscribe\":{\"channel\":"
    "\"slow:a\"}}",
    "B {\"id\":4,\"publish\":{\"channel\":\"slow:a\",\"data\":[1]}}",
    "C {\"id\":5,\"publish\":{\"channel\":\"delta:a\",\"data\":\"abcdefghijklmnopqrstuvwxyz\"}}",
    "A "
    "{\"id\":6,\"rpc\":{\"method\":\"slow\",\"data\":1}}\t{\"id\":7,\"rpc\":{\"method\":\"echo\"}}",
    "B {\"id\":6,\"rpc\":{\"method\":\"leave\"}}",
    "C {\"id\":6,\"presence\":{\"channel\":\"recover:a\"}}",
    "A {\"id\":8,\"presence_stats\":{\"channel\":\"slow:a\"}}",
    "A {\"id\":9,\"subscribe\":{\"channel\":\"own:s\"}}\t{\"id\":10,\"subscribe\":{\"channel\":"
    "\"own:a\"}}\t{\"id\":11,\"history\":{\"channel\":\"own:e\"}}",
    "B "
    "{\"id\":9,\"unsubscribe\":{\"channel\":\"own:a\"}}\t{\"id\":10,\"rpc\":{\"method\":\"enter\"}"
    "}",
    "A {\"id\":9,\"history\":{\"channel\":\"recover:a\",\"limit\":9,\"reverse\":true}}",
    "B {\"id\":9,\"unsubscribe\":{\"channel\":\"delta:a\"}}",
    "A {\"id\":10,\"refresh\":{\"token\":\"$2\"}}",
    "A {\"id\":11,\"subscribe\":{\"channel\":\"closed:a\",\"token\":\"$8\"}}",
    "A {\"id\":12,\"sub_refresh\":{\"channel\":\"closed:a\",\"token\":\"$a\"}}",
    "C {\"send\":{\"data\":1}}",
    "A {}",
    "b \x04\x08\x01\x22",
    "+ 30",
    "+ 6000",
    "+ 26000",
    "> {\"channel\":\"recover:a\",\"data\":1}",
    "> {\"channel\":\"delta:a\",\"data\":\"abcdefghijklmnopqrstuvwxyz\",\"tags\":{\"k\":\"v\"}}",
    "> {\"channel\":\"cache:a\",\"data\":[1,2],\"key\":\"i\",\"version\":3}",
    "* A {\"channel\":\"recover:b\",\"expire\":9,\"offset\":1}",
    "- A recover:a",
    "! B 503",
    "~ A 5",
    "v A",
    "h recover:a",
    "x A",
    "s B",
    "n",
};

static size_t line_start(const uint8_t *data, size_t size, unsigned random)
{
    size_t at = size > 0 ? random % (size + 1) : 0;

    while (at > 0 && data[at - 1] != '\n')
        at--;
    return at;
}

static size_t insert(uint8_t *data, size_t size, size_t max, size_t at, struct str text)
{
    if (size + text.len + 1 > max)
        return size;
    memmove(data + at + text.len + 1, data + at, size - at);
    memcpy(data + at, text.ptr, text.len);
    data[at + text.len] = '\n';
    return size + text.len + 1;
}

/* Half of the time a line is put in, doubled, or taken out; else bytes change. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t from = line_start(data, size, seed >> 8), end = from;
    char copy[256];

    while (end < size && data[end] != '\n')
        end++;
    if (seed % 8 < 3)
        return insert(data, size, max_size, from, str_from(lines[(seed >> 4) % ARRAY_LEN(lines)]));
    if (seed % 8 == 3 && end - from < sizeof copy) {
        size_t len = end - from;

        memcpy(copy, data + from, len);
        return insert(data, size, max_size, line_start(data, size, seed >> 3), str_of(copy, len));
    }
    if (seed % 8 == 4 && end < size) {
        memmove(data + from, data + end + 1, size - end - 1);
        return size - (end + 1 - from);
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
