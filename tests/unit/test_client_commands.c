/* Every command over the loopback transport, in both encodings: what it answers, and which error or
 * disconnect, with the exact text, each cause has. */
#include "lib/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char config[] =
    "return {\n"
    "  client = {\n"
    "    token = { hmac_secret_key = 'secret' },\n"
    "    allow_anonymous_connect_without_token = true,\n"
    "    channel_limit = 4,\n"
    "    history_max_publication_limit = 3,\n"
    "  },\n"
    "  channel = {\n"
    "    without_namespace = { allow_subscribe_for_client = true,\n"
    "      allow_publish_for_subscriber = true },\n"
    "    namespaces = {\n"
    "      hist = { allow_subscribe_for_client = true, history_size = 5, history_ttl = '60s',\n"
    "        force_recovery = true, allow_publish_for_client = true,\n"
    "        allow_history_for_subscriber = true },\n"
    "      wish = { allow_subscribe_for_client = true, history_size = 5, history_ttl = '60s',\n"
    "        allow_recovery = true },\n"
    "      pres = { allow_subscribe_for_client = true, presence = true, join_leave = true,\n"
    "        force_push_join_leave = true, allow_presence_for_subscriber = true },\n"
    "      anon = { allow_subscribe_for_client = true, allow_subscribe_for_anonymous = true },\n"
    "      users = { allow_user_limited_channels = true },\n"
    "      word = { channel_regex = '^[a-z]+$', allow_subscribe_for_client = true },\n"
    "      object = { allow_publish_for_client = true,\n"
    "        publication_data_format = 'json_object' },\n"
    "      closed = {},\n"
    "    },\n"
    "  },\n"
    "}\n";

static const enum kind kinds[] = {KIND_WS_JSON, KIND_WS_PROTOBUF};

#define each_kind(k) for (size_t k##_i = 0; k##_i < ARRAY_LEN(kinds); k##_i++)
#define kind_at(k) kinds[k##_i]

static int set_up(void **state)
{
    world_begin(config);
    return 0;
}

static int tear_down(void **state)
{
    world_end();
    return 0;
}

/* --- one command, one answer ------------------------------------------------------------------ */

/* A command and its reply. */
struct exchange {
    const char *command, *reply;
};

/* A command and the error or disconnect it causes. */
static const struct ending {
    const char *command;
    uint32_t code;
    const char *reason;
} errors[] = {
    {"{'id':2,'subscribe':{'channel':'no:x'}}", 102, "unknown channel"},
    {"{'id':2,'subscribe':{'channel':'closed:x'}}", 103, "permission denied"},
    {"{'id':2,'subscribe':{'channel':'$secret'}}", 103, "permission denied"},
    {"{'id':2,'subscribe':{'channel':'users:x#12,13'}}", 103, "permission denied"},
    {"{'id':2,'subscribe':{'channel':'users:x'}}", 103, "permission denied"},
    {"{'id':2,'subscribe':{'channel':'a\xc3\xa9'}}", 107, "bad request"},
    {"{'id':2,'subscribe':{'channel':'word:A1'}}", 107, "bad request"},
    {"{'id':2,'subscribe':{'channel':'x','type':1}}", 103, "permission denied"},
    {"{'id':2,'subscribe':{'channel':'x','type':4}}", 108, "not available"},
    {"{'id':2,'subscribe':{'channel':'x','tf':{'key':'a','cmp':'eq','val':'b'}}}", 107,
     "bad request"},
    {"{'id':2,'subscribe':{'channel':'x','token':'broken'}}", 103, "permission denied"},
    {"{'id':2,'publish':{'channel':'no:x','data':{}}}", 102, "unknown channel"},
    {"{'id':2,'publish':{'channel':'x','data':{}}}", 103, "permission denied"},
    {"{'id':2,'publish':{'channel':'hist:x'}}", 107, "bad request"},
    {"{'id':2,'publish':{'channel':'object:x','data':[1]}}", 107, "bad request"},
    {"{'id':2,'publish':{'channel':'hist:x','data':{},'type':1}}", 107, "bad request"},
    {"{'id':2,'presence':{'channel':'no:x'}}", 102, "unknown channel"},
    {"{'id':2,'presence':{'channel':'x'}}", 108, "not available"},
    {"{'id':2,'presence':{'channel':'pres:x'}}", 103, "permission denied"},
    {"{'id':2,'presence_stats':{'channel':'x'}}", 108, "not available"},
    {"{'id':2,'presence_stats':{'channel':'pres:x'}}", 103, "permission denied"},
    {"{'id':2,'history':{'channel':'no:x'}}", 102, "unknown channel"},
    {"{'id':2,'history':{'channel':'x'}}", 108, "not available"},
    {"{'id':2,'history':{'channel':'hist:x'}}", 103, "permission denied"},
    {"{'id':2,'rpc':{'method':'m'}}", 108, "not available"},
    {"{'id':2,'sub_refresh':{'channel':'x','token':'t'}}", 103, "permission denied"},
};

/* ' becomes ". */
static const char *quoted(const char *text)
{
    static char out[2][2048];
    static unsigned next;
    char *at = out[next++ % 2];
    size_t n = strlen(text);

    assert_true(n < sizeof out[0]);
    for (size_t i = 0; i <= n; i++)
        at[i] = text[i] == '\'' ? '"' : text[i];
    return at;
}

static void every_error_has_its_cause_and_leaves_the_connection_open(void **state)
{
    each_kind(k)
    {
        struct loopback *l = loopback_connected("me", kind_at(k), "7");

        for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
            char want[256];

            snprintf(want, sizeof want, "{\"id\":2,\"error\":{\"code\":%u,\"message\":\"%s\"}}",
                     errors[i].code, errors[i].reason);
            loopback_put(l, quoted(errors[i].command));
            world_turn();
            if (strcmp(loopback_read(l), want) != 0)
                fail_msg("%s: %s instead of %s", errors[i].command, l->text.ptr, want);
            assert_false(l->closed);
        }
        loopback_close(l);
    }
}

static const struct ending endings[] = {
    {"{'id':2,'connect':{}}", 3501, "bad request"},
    {"{'id':2,'subscribe':{}}", 3501, "bad request"},
    {"{'id':2,'subscribe':{'channel':'x','delta':'other'}}", 3501, "bad request"},
    {"{'id':2,'unsubscribe':{}}", 3501, "bad request"},
    {"{'id':2,'publish':{'data':{}}}", 3501, "bad request"},
    {"{'id':2,'presence':{}}", 3501, "bad request"},
    {"{'id':2,'presence_stats':{}}", 3501, "bad request"},
    {"{'id':2,'history':{}}", 3501, "bad request"},
    {"{'id':2,'sub_refresh':{}}", 3501, "bad request"},
    {"{'id':2,'refresh':{}}", 3501, "bad request"},
    {"{'id':2,'refresh':{'token':'broken'}}", 3500, "invalid token"},
    {"{'id':2,'ping':{}}", 3501, "bad request"},
    {"{'id':2}", 3501, "bad request"},
    {"{}", 3501, "bad request"},                            /* a pong that nobody asked for */
    {"{'subscribe':{'channel':'x'}}", 3501, "bad request"}, /* without an id it is a pong too */
    {"{'send':{'data':{}}}", 3508, "not available"},
};

static void every_disconnect_has_its_cause_and_says_nothing_else(void **state)
{
    each_kind(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
            struct loopback *l = loopback_connected("me", kind_at(k), "7");

            loopback_expect(l, quoted(endings[i].command), "");
            if (!l->closed || l->code != endings[i].code)
                fail_msg("%s: %u %s", endings[i].command, l->code, l->reason);
            assert_string_equal(l->reason, endings[i].reason);
            loopback_close(l);
        }
    }
}

static void what_is_no_message_is_a_bad_request(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "nonsense", "{\"id\":-1}", "{\"id\":1}x", "{\"id\":2,\"rpc\":{}}\nnonsense"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

        loopback_put(l, texts[i]);
        loopback_ended(l, 3501, "bad request");
        loopback_close(l);
    }
}

/* --- connect ---------------------------------------------------------------------------------- */

static void an_anonymous_connect_is_answered_with_the_servers_pings(void **state)
{
    each_kind(k)
    {
        struct loopback *l = loopback_open("me", kind_at(k));

        loopback_expect(l, "{\"id\":1,\"connect\":{}}",
                        "{\"id\":1,\"connect\":{\"client\":\"me\",\"version\":\"test\","
                        "\"ping\":25,\"pong\":true}}");
        loopback_close(l);
    }
}

static const struct ending first_commands[] = {
    {"{}", 3501, "bad request"},
    {"{'connect':{}}", 3501, "bad request"},
    {"{'id':1,'subscribe':{'channel':'x'}}", 3501, "bad request"},
    {"{'id':1,'rpc':{}}", 3501, "bad request"},
    {"{'send':{}}", 3501, "bad request"},
    {"{'id':1,'connect':{'token':'broken'}}", 3500, "invalid token"},
    {"{'id':1,'connect':{'subs':{'no:x':{}}}}", 3501, "bad request"},
};

static void nothing_but_a_good_connect_opens_a_connection(void **state)
{
    each_kind(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(first_commands); i++) {
            struct loopback *l = loopback_open("me", kind_at(k));

            loopback_expect(l, quoted(first_commands[i].command), "");
            if (!l->closed || l->code != first_commands[i].code)
                fail_msg("%s: %u %s", first_commands[i].command, l->code, l->reason);
            assert_string_equal(l->reason, first_commands[i].reason);
            loopback_close(l);
        }
    }
}

static void a_connect_error_makes_the_connection_unusable(void **state)
{
    static const struct exchange cases[] = {
        {"{\"sub\":\"7\",\"exp\":1699999999}", "109,\"message\":\"token expired\""},
        {"{\"sub\":\"7\",\"nbf\":1700009999}", "109,\"message\":\"token expired\""},
        {"{\"sub\":\"7\",\"expire_at\":1699999999}", "110,\"message\":\"expired\""},
        {"{\"sub\":\"7\",\"channels\":[\"no:x\"]}", "102,\"message\":\"unknown channel\""},
    };

    each_kind(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct loopback *l = loopback_open("me", kind_at(k));
            char want[128];

            snprintf(want, sizeof want, "{\"id\":1,\"error\":{\"code\":%s}}", cases[i].reply);
            /* what follows in the same frame is dropped */
            loopback_expect(l,
                            loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\"}}\n"
                                                "{\"id\":2,\"rpc\":{}}",
                                                cases[i].command),
                            want);
            assert_false(l->closed);
            assert_int_equal(hub_counts(core->hub).clients, 0);
            loopback_expect(l, "{\"id\":3,\"connect\":{}}", "");
            loopback_ended(l, 3501, "bad request");
            loopback_close(l);
        }
    }
}

static void server_side_subscriptions_are_in_the_connect_reply(void **state)
{
    each_kind(k)
    {
        struct loopback *l = loopback_open("me", kind_at(k));

        loopback_expect(
            l,
            loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\",\"subs\":{\"anon:w\":{},"
                                "\"closed:w\":{},\"$p\":{}}}}",
                                "{\"sub\":\"7\",\"channels\":[\"closed:a\",\"hist:b\"]}"),
            "{\"id\":1,\"connect\":{\"client\":\"me\",\"version\":\"test\",\"subs\":{"
            "\"closed:a\":{},"
            "\"hist:b\":{\"recoverable\":true,\"epoch\":\"E\",\"positioned\":true},"
            "\"anon:w\":{}},\"ping\":25,\"pong\":true}}");
        loopback_expect(l, "{\"id\":2,\"subscribe\":{\"channel\":\"closed:a\"}}",
                        "{\"id\":2,\"error\":{\"code\":105,\"message\":\"already subscribed\"}}");
        loopback_expect(l, "{\"id\":3,\"sub_refresh\":{\"channel\":\"closed:a\",\"token\":\"t\"}}",
                        "");
        loopback_ended(l, 3501, "bad request");
        loopback_close(l);
    }
}

static void more_server_side_channels_than_allowed_end_the_connection(void **state)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);

    loopback_expect(l,
                    loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                                        "{\"sub\":\"7\",\"channels\":[\"a\",\"b\",\"c\",\"d\","
                                        "\"e\"]}"),
                    "");
    loopback_ended(l, 3505, "channel limit");
    loopback_close(l);
}

/* --- subscribe -------------------------------------------------------------------------------- */

static void subscriptions_have_limits_and_exist_once(void **state)
{
    each_kind(k)
    {
        struct loopback *l = loopback_connected("me", kind_at(k), "7");

        loopback_expect(l, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
                        "{\"id\":2,\"subscribe\":{}}");
        loopback_expect(l, "{\"id\":3,\"subscribe\":{\"channel\":\"a\"}}",
                        "{\"id\":3,\"error\":{\"code\":105,\"message\":\"already subscribed\"}}");
        loopback_expect(l,
                        "{\"id\":4,\"subscribe\":{\"channel\":\"b\"}}\n"
                        "{\"id\":5,\"subscribe\":{\"channel\":\"c\"}}\n"
                        "{\"id\":6,\"subscribe\":{\"channel\":\"d\"}}\n"
                        "{\"id\":7,\"subscribe\":{\"channel\":\"e\"}}",
                        "{\"id\":4,\"subscribe\":{}}\n{\"id\":5,\"subscribe\":{}}\n"
                        "{\"id\":6,\"subscribe\":{}}\n"
                        "{\"id\":7,\"error\":{\"code\":106,\"message\":\"limit exceeded\"}}");
        loopback_expect(l, "{\"id\":8,\"unsubscribe\":{\"channel\":\"b\"}}",
                        "{\"id\":8,\"unsubscribe\":{}}");
        loopback_expect(l, "{\"id\":9,\"unsubscribe\":{\"channel\":\"b\"}}",
                        "{\"id\":9,\"unsubscribe\":{}}");
        loopback_expect(l, "{\"id\":10,\"subscribe\":{\"channel\":\"e\"}}",
                        "{\"id\":10,\"subscribe\":{}}");
        loopback_close(l);
    }
}

static void a_name_of_255_bytes_is_the_longest(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    char command[700], long_channel[256] = "";

    memset(long_channel, 'c', 255);
    snprintf(command, sizeof command, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}",
             long_channel);
    loopback_expect(l, command, "{\"id\":2,\"subscribe\":{}}");
    snprintf(command, sizeof command, "{\"id\":3,\"subscribe\":{\"channel\":\"%sx\"}}",
             long_channel);
    loopback_expect(l, command, "{\"id\":3,\"error\":{\"code\":107,\"message\":\"bad request\"}}");
    loopback_close(l);
}

static void subscription_tokens_open_what_is_closed_for_the_right_one_only(void **state)
{
    static const char command[] =
        "{\"id\":2,\"subscribe\":{\"channel\":\"closed:x\",\"token\":\"%s\"}}";
    static const struct exchange cases[] = {
        {"{\"sub\":\"7\",\"channel\":\"closed:x\"}", "{\"id\":2,\"subscribe\":{}}"},
        {"{\"sub\":\"7\",\"channel\":\"closed:x\",\"exp\":1700000100,\"info\":{},\"data\":[1]}",
         "{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":100,\"data\":[1]}}"},
        {"{\"sub\":\"7\",\"channel\":\"closed:x\",\"exp\":1700000100,\"expire_at\":0}",
         "{\"id\":2,\"subscribe\":{}}"},
        {"{\"sub\":\"7\",\"channel\":\"closed:x\",\"exp\":1700000000}",
         "{\"id\":2,\"error\":{\"code\":109,\"message\":\"token expired\"}}"},
        {"{\"sub\":\"7\",\"channel\":\"closed:x\",\"expire_at\":1700000000}",
         "{\"id\":2,\"error\":{\"code\":110,\"message\":\"expired\"}}"},
        {"{\"sub\":\"7\"}",
         "{\"id\":2,\"error\":{\"code\":103,\"message\":\"permission denied\"}}"},
        {"{\"sub\":\"7\",\"channel\":\"closed:y\"}", "3500"},
        {"{\"sub\":\"8\",\"channel\":\"closed:x\"}", "3500"},
        {"{\"sub\":\"7\",\"channel\":\"closed:x\",\"client\":\"other\"}", "3500"},
        {"{\"sub\":\"7\",\"channel\":\"closed:x\",\"override\":{\"force_positioning\":"
         "{\"value\":true}}}",
         "{\"id\":2,\"subscribe\":{\"epoch\":\"E\",\"positioned\":true}}"},
    };

    each_kind(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct loopback *l = loopback_connected("me", kind_at(k), "7");
            bool ends = strcmp(cases[i].reply, "3500") == 0;

            loopback_expect(l, loopback_with_token(command, cases[i].command),
                            ends ? "" : cases[i].reply);
            if (ends)
                loopback_ended(l, 3500, "invalid token");
            else
                assert_false(l->closed);
            loopback_close(l);
        }
    }
}

static void who_is_listed_may_enter_a_user_limited_channel(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, "{\"id\":2,\"subscribe\":{\"channel\":\"users:x#6,7\"}}",
                    "{\"id\":2,\"subscribe\":{}}");
    loopback_close(l);
}

static void anonymous_clients_need_the_option_of_their_own(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "");

    loopback_expect(l, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
                    "{\"id\":2,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    loopback_expect(l, "{\"id\":3,\"subscribe\":{\"channel\":\"anon:x\"}}",
                    "{\"id\":3,\"subscribe\":{}}");
    loopback_close(l);
}

/* --- publish, history, presence --------------------------------------------------------------- */

static void a_publication_reaches_subscribers_of_both_encodings_and_its_publisher(void **state)
{
    struct loopback *me = loopback_connected("me", KIND_WS_JSON, "7");
    struct loopback *you = loopback_connected("you", KIND_WS_PROTOBUF, "8");
    static const char push[] = "{\"push\":{\"channel\":\"x\",\"pub\":{\"data\":{\"a\": [1,  2]},"
                               "\"info\":{\"user\":\"7\",\"client\":\"me\"}}}}";
    char answer[512];

    loopback_expect(me, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
                    "{\"id\":2,\"subscribe\":{}}");
    loopback_expect(you, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
                    "{\"id\":2,\"subscribe\":{}}");
    snprintf(answer, sizeof answer, "%s\n{\"id\":3,\"publish\":{}}", push);
    loopback_expect(me, "{\"id\":3,\"publish\":{\"channel\":\"x\",\"data\":{\"a\": [1,  2]}}}",
                    answer);
    loopback_said(you, push);
    loopback_close(me);
    loopback_close(you);
}

static void recovery_continues_where_the_client_was_or_says_that_it_cannot(void **state)
{
    static const struct exchange cases[] = {
        {"'recover':true,'epoch':'%s','offset':7",
         "'recoverable':true,'epoch':'E','publications':[{'data':8,'offset':8}],'recovered':true,"
         "'offset':7,'positioned':true,'was_recovering':true"},
        {"'recover':true,'epoch':'%s','offset':8",
         "'recoverable':true,'epoch':'E','recovered':true,'offset':8,'positioned':true,"
         "'was_recovering':true"},
        {"'recover':true,'epoch':'%s','offset':9",
         "'recoverable':true,'epoch':'E','offset':8,'positioned':true,'was_recovering':true"},
        {"'recover':true,'epoch':'%s','offset':2",
         "'recoverable':true,'epoch':'E','offset':8,'positioned':true,'was_recovering':true"},
        {"'recover':true,'epoch':'otherone','offset':7",
         "'recoverable':true,'epoch':'E','offset':8,'positioned':true,'was_recovering':true"},
        {"'recover':true,'epoch':'','offset':7",
         "'recoverable':true,'epoch':'E','publications':[{'data':8,'offset':8}],'recovered':true,"
         "'offset':7,'positioned':true,'was_recovering':true"},
        {"'epoch':'%s','offset':7", "'recoverable':true,'epoch':'E','offset':8,'positioned':true"},
    };
    char epoch[9] = "";
    struct loopback *p = loopback_connected("pub", KIND_WS_JSON, "7");

    loopback_put(p, "{\"id\":2,\"subscribe\":{\"channel\":\"hist:x\"}}");
    world_turn();
    memcpy(epoch, strstr(loopback_read_raw(p), "\"epoch\":\"") + 9, 8);
    for (int i = 1; i <= 8; i++) {
        struct publication *pub = publication_new(&(struct publication_source){
            .channel = STR("hist:x"),
            .data = str_of(&"12345678"[i - 1], 1),
            .data_is_json = true,
        });

        home_publish(core, pub, &(struct publish_request){.stream = {5, 60000, 3600000}}, NULL,
                     NULL);
    }
    world_turn();
    each_kind(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct loopback *l = loopback_connected("me", kind_at(k), "8");
            char fields[128], command[256], want[512];
            const char *mark = strstr(cases[i].command, "%s");

            if (mark)
                snprintf(fields, sizeof fields, "%.*s%s%s", (int)(mark - cases[i].command),
                         cases[i].command, epoch, mark + 2);
            else
                snprintf(fields, sizeof fields, "%s", cases[i].command);
            snprintf(command, sizeof command, "{'id':2,'subscribe':{'channel':'hist:x',%s}}",
                     fields);
            snprintf(want, sizeof want, "{'id':2,'subscribe':{%s}}", cases[i].reply);
            loopback_expect(l, quoted(command), quoted(want));
            loopback_close(l);
        }
    }
    loopback_close(p);
}

static void who_refuses_to_start_elsewhere_is_not_subscribed(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l,
                    "{\"id\":2,\"subscribe\":{\"channel\":\"hist:x\",\"recover\":true,"
                    "\"epoch\":\"otherone\",\"offset\":3,\"flag\":2}}",
                    "{\"id\":2,\"error\":{\"code\":112,\"message\":\"unrecoverable position\"}}");
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    loopback_close(l);
}

static void history_answers_pages_both_ways_and_its_position(void **state)
{
    static const struct exchange cases[] = {
        {"'limit':0", "'publications':[],'epoch':'E','offset':6"},
        {"'limit':2",
         "'publications':[{'data':2,'offset':2},{'data':3,'offset':3}],'epoch':'E','offset':6"},
        {"'limit':2,'reverse':true",
         "'publications':[{'data':6,'offset':6},{'data':5,'offset':5}],'epoch':'E','offset':6"},
        {"'limit':-1", "'publications':[{'data':2,'offset':2},{'data':3,'offset':3},"
                       "{'data':4,'offset':4}],'epoch':'E','offset':6"},
        {"'limit':9,'since':{'offset':4}",
         "'publications':[{'data':5,'offset':5},{'data':6,'offset':6}],'epoch':'E','offset':6"},
        {"'limit':9,'since':{'offset':4},'reverse':true",
         "'publications':[{'data':3,'offset':3},{'data':2,'offset':2}],'epoch':'E','offset':6"},
        {"'limit':9,'since':{'offset':2},'reverse':true",
         "'publications':[],'epoch':'E','offset':6"},
    };

    each_kind(k)
    {
        struct loopback *l = loopback_connected("me", kind_at(k), "7");
        char channel[] = "hist:p0", subscribe[128];

        channel[6] = (char)('0' + k_i);
        for (int i = 1; i <= 6; i++)
            home_publish(core,
                         publication_new(&(struct publication_source){
                             .channel = str_from(channel),
                             .data = str_of(&"123456"[i - 1], 1),
                             .data_is_json = true,
                         }),
                         &(struct publish_request){.stream = {5, 60000, 3600000}}, NULL, NULL);
        snprintf(subscribe, sizeof subscribe, "{'id':2,'subscribe':{'channel':'%s'}}", channel);
        loopback_put(l, quoted(subscribe));
        world_turn();
        loopback_read(l);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            char command[256], want[512];

            snprintf(command, sizeof command, "{'id':3,'history':{'channel':'%s',%s}}", channel,
                     cases[i].command);
            snprintf(want, sizeof want, "{'id':3,'history':{%s}}", cases[i].reply);
            loopback_expect(l, quoted(command), quoted(want));
        }
        loopback_expect(l,
                        quoted("{'id':4,'history':{'channel':'hist:p0','since':{'offset':1,"
                               "'epoch':'otherone'}}}"),
                        k_i == 0 ? "{\"id\":4,\"error\":{\"code\":112,"
                                   "\"message\":\"unrecoverable position\"}}"
                                 : "{\"id\":4,\"error\":{\"code\":103,"
                                   "\"message\":\"permission denied\"}}");
        loopback_close(l);
    }
}

static void history_before_offset_zero_is_a_bad_request(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l,
                    "{\"id\":2,\"subscribe\":{\"channel\":\"hist:z\"}}\n"
                    "{\"id\":3,\"history\":{\"channel\":\"hist:z\",\"reverse\":true,\"limit\":1,"
                    "\"since\":{\"offset\":0}}}",
                    "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"E\","
                    "\"positioned\":true}}\n"
                    "{\"id\":3,\"error\":{\"code\":107,\"message\":\"bad request\"}}");
    loopback_close(l);
}

static void presence_joins_and_leaves_follow_the_subscribers(void **state)
{
    struct loopback *me = loopback_connected("me", KIND_WS_JSON, "7");
    struct loopback *you = loopback_connected("you", KIND_WS_PROTOBUF, "8");

    loopback_expect(me, "{\"id\":2,\"subscribe\":{\"channel\":\"pres:x\"}}",
                    "{\"id\":2,\"subscribe\":{}}\n{\"push\":{\"channel\":\"pres:x\",\"join\":{"
                    "\"info\":{\"user\":\"7\",\"client\":\"me\"}}}}");
    loopback_expect(me, "{\"id\":3,\"presence\":{\"channel\":\"pres:x\"}}",
                    "{\"id\":3,\"presence\":{\"presence\":{\"me\":{\"user\":\"7\","
                    "\"client\":\"me\"}}}}");
    loopback_expect(you, "{\"id\":2,\"subscribe\":{\"channel\":\"pres:x\"}}",
                    "{\"id\":2,\"subscribe\":{}}\n{\"push\":{\"channel\":\"pres:x\",\"join\":{"
                    "\"info\":{\"user\":\"8\",\"client\":\"you\"}}}}");
    loopback_said(me, "{\"push\":{\"channel\":\"pres:x\",\"join\":{\"info\":{\"user\":\"8\","
                      "\"client\":\"you\"}}}}");
    loopback_expect(me, "{\"id\":4,\"presence_stats\":{\"channel\":\"pres:x\"}}",
                    "{\"id\":4,\"presence_stats\":{\"num_clients\":2,\"num_users\":2}}");
    loopback_expect(me, "{\"id\":5,\"unsubscribe\":{\"channel\":\"pres:x\"}}",
                    "{\"id\":5,\"unsubscribe\":{}}"); /* one's own leave is not told */
    loopback_said(you, "{\"push\":{\"channel\":\"pres:x\",\"leave\":{\"info\":{\"user\":\"7\","
                       "\"client\":\"me\"}}}}");
    loopback_expect(you, "{\"id\":3,\"presence_stats\":{\"channel\":\"pres:x\"}}",
                    "{\"id\":3,\"presence_stats\":{\"num_clients\":1,\"num_users\":1}}");
    loopback_close(me);
    loopback_close(you);
}

static void binary_data_ends_json_subscribers_and_reaches_the_others(void **state)
{
    struct loopback *json = loopback_connected("json", KIND_WS_JSON, "7");
    struct loopback *pb = loopback_connected("pb", KIND_WS_PROTOBUF, "8");

    loopback_expect(json, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
                    "{\"id\":2,\"subscribe\":{}}");
    loopback_expect(pb, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
                    "{\"id\":2,\"subscribe\":{}}");
    home_publish(core,
                 publication_new(
                     &(struct publication_source){.channel = STR("x"), .data = STR("\"\x01\xff")}),
                 &(struct publish_request){0}, NULL, NULL);
    loopback_ended(json, 3506, "inappropriate protocol");
    assert_string_equal(loopback_read(json), "");
    assert_non_null(strstr(loopback_read(pb), "\"\x01\xff"));
    assert_false(pb->closed);
    loopback_close(json);
    loopback_close(pb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_cause_and_leaves_the_connection_open),
        cmocka_unit_test(every_disconnect_has_its_cause_and_says_nothing_else),
        cmocka_unit_test(what_is_no_message_is_a_bad_request),
        cmocka_unit_test(an_anonymous_connect_is_answered_with_the_servers_pings),
        cmocka_unit_test(nothing_but_a_good_connect_opens_a_connection),
        cmocka_unit_test(a_connect_error_makes_the_connection_unusable),
        cmocka_unit_test(server_side_subscriptions_are_in_the_connect_reply),
        cmocka_unit_test(more_server_side_channels_than_allowed_end_the_connection),
        cmocka_unit_test(subscriptions_have_limits_and_exist_once),
        cmocka_unit_test(a_name_of_255_bytes_is_the_longest),
        cmocka_unit_test(subscription_tokens_open_what_is_closed_for_the_right_one_only),
        cmocka_unit_test(who_is_listed_may_enter_a_user_limited_channel),
        cmocka_unit_test(anonymous_clients_need_the_option_of_their_own),
        cmocka_unit_test(a_publication_reaches_subscribers_of_both_encodings_and_its_publisher),
        cmocka_unit_test(recovery_continues_where_the_client_was_or_says_that_it_cannot),
        cmocka_unit_test(who_refuses_to_start_elsewhere_is_not_subscribed),
        cmocka_unit_test(history_answers_pages_both_ways_and_its_position),
        cmocka_unit_test(history_before_offset_zero_is_a_bad_request),
        cmocka_unit_test(presence_joins_and_leaves_follow_the_subscribers),
        cmocka_unit_test(binary_data_ends_json_subscribers_and_reaches_the_others),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
