/* A transport without a socket: what a test receives for the client goes straight into it, and what
 * the client says is read back as text. Commands and replies are written in JSON whatever the
 * encoding on the wire. In what is read, a client's id is its name and an epoch is "E". */
#pragma once

#include "world.h"

#include "codec/jwt.h"
#include "codec/ws.h"
#include "core/admission.h"

#define LOOPBACKS_MAX 16

struct loopback {
    struct transport transport;
    struct client *client;
    const char *name;
    char id[36];
    bool closed;
    uint32_t code; /* what the client was ended with */
    char reason[128];
    unsigned pauses, resumes;
    struct buf text; /* of the last loopback_read */
};

static struct loopback *loopbacks[LOOPBACKS_MAX];

static void loopback_close_op(struct transport *t, uint32_t code, struct str reason)
{
    struct loopback *l = container_of(t, struct loopback, transport);

    if (l->closed)
        return;
    l->closed = true;
    l->code = code;
    snprintf(l->reason, sizeof l->reason, "%.*s", STR_ARGS(reason));
}

static void loopback_pause_op(struct transport *t)
{
    container_of(t, struct loopback, transport)->pauses++;
}

static void loopback_resume_op(struct transport *t)
{
    container_of(t, struct loopback, transport)->resumes++;
}

static struct str loopback_peer_op(const struct transport *t, char *out, size_t size)
{
    return str_of(out, (size_t)snprintf(out, size, "127.0.0.1"));
}

static const struct transport_ops loopback_ops = {
    .name = "loopback",
    .close = loopback_close_op,
    .pause = loopback_pause_op,
    .resume = loopback_resume_op,
    .peer = loopback_peer_op,
};

static void loopback_on_fail(struct outbox *o, enum err why)
{
    client_write_failed(container_of(o, struct loopback, transport.outbox)->client, why);
}

static UNUSED struct loopback *loopback_open(const char *name, enum kind kind)
{
    struct loopback *l = mem_zalloc(sizeof *l);

    l->name = name;
    l->text = BUF_INIT(SIZE_MAX / 4);
    l->transport.ops = &loopback_ops;
    l->transport.kind = kind;
    outbox_init(&l->transport.outbox, NULL, (size_t)settings->client_queue_max_size,
                loopback_on_fail);
    CHECK(admission_enter(world.node.admission, settings, worker->now_ms) == OK);
    l->client = client_new(core, &l->transport, &(struct transport_request){.path = STR("/")});
    uuid_write(&l->client->id, l->id);
    for (size_t i = 0; i < LOOPBACKS_MAX; i++) {
        if (loopbacks[i] == NULL) {
            loopbacks[i] = l;
            return l;
        }
    }
    panic("too many loopbacks");
}

/* The connection is gone, whoever ended it. */
static UNUSED void loopback_close(struct loopback *l)
{
    client_transport_closed(l->client, 3000, STR_NONE);
    for (size_t i = 0; i < LOOPBACKS_MAX; i++)
        loopbacks[i] = loopbacks[i] == l ? NULL : loopbacks[i];
    outbox_deinit(&l->transport.outbox);
    buf_deinit(&l->text);
    mem_free(l);
    world_turn();
}

static UNUSED void loopback_close_all(void)
{
    for (size_t i = 0; i < LOOPBACKS_MAX; i++) {
        if (loopbacks[i])
            loopback_close(loopbacks[i]);
    }
}

/* --- in --------------------------------------------------------------------------------------- */

/* One frame of commands, written in JSON, one a line. */
static UNUSED void loopback_put(struct loopback *l, const char *commands)
{
    struct str rest = str_from(commands);
    struct buf bytes = BUF_INIT(SIZE_MAX / 4);
    struct arena a = ARENA_INIT;
    struct wire_command command;

    if (l->transport.kind == KIND_WS_JSON) {
        client_receive(l->client, rest);
        return;
    }
    while (wire_next(WIRE_JSON, &rest, &a, &command) == OK)
        wire_pb_add_delimited(&bytes, &wire_desc_command, &command);
    client_receive(l->client, buf_str(&bytes));
    arena_deinit(&a);
    buf_deinit(&bytes);
}

/* --- out -------------------------------------------------------------------------------------- */

static void loopback_add_json(struct buf *out, enum kind kind, struct str message)
{
    struct arena a = ARENA_INIT;
    struct wire_reply reply;
    size_t prefix = 1;

    if (kind == KIND_WS_JSON) {
        buf_add_str(out, message);
        return;
    }
    while (message.ptr[prefix - 1] & 0x80)
        prefix++;
    memset(&reply, 0, sizeof reply);
    CHECK(wire_decode(WIRE_PROTOBUF, &wire_desc_reply, str_cut(message, prefix), &a, &reply) == OK);
    wire_json_add(out, &wire_desc_reply, &reply);
    arena_deinit(&a);
}

static void loopback_replace(struct buf *text, size_t at, size_t len, const char *by)
{
    size_t by_len = strlen(by);

    CHECK(by_len <= len);
    memcpy(text->ptr + at, by, by_len);
    memmove(text->ptr + at + by_len, text->ptr + at + len, text->len - at - len);
    text->len -= len - by_len;
}

static void loopback_name_ids(struct buf *text)
{
    static const char epoch[] = "\"epoch\":\"";

    for (size_t i = 0; i < LOOPBACKS_MAX; i++) {
        for (size_t at = 0; loopbacks[i] && at + sizeof loopbacks[i]->id <= text->len; at++) {
            if (memcmp(text->ptr + at, loopbacks[i]->id, sizeof loopbacks[i]->id) == 0)
                loopback_replace(text, at, sizeof loopbacks[i]->id, loopbacks[i]->name);
        }
    }
    for (size_t at = 0; at + sizeof epoch + 8 <= text->len; at++) {
        if (memcmp(text->ptr + at, epoch, sizeof epoch - 1) == 0)
            loopback_replace(text, at + sizeof epoch - 1, 8, "E");
    }
}

/* What the client has said since the last call, as JSON lines; lives until the next call. */
static UNUSED const char *loopback_read_raw(struct loopback *l)
{
    struct frame *f;

    buf_clear(&l->text);
    while ((f = outbox_take(&l->transport.outbox)) != NULL) {
        if (l->text.len > 0)
            buf_add_char(&l->text, '\n');
        loopback_add_json(&l->text, l->transport.kind, ws_payload(frame_bytes(f)));
        frame_unref(f);
    }
    buf_add_char(&l->text, '\0');
    return l->text.ptr;
}

static UNUSED const char *loopback_read(struct loopback *l)
{
    loopback_read_raw(l);
    loopback_name_ids(&l->text);
    return l->text.ptr;
}

/* --- both ------------------------------------------------------------------------------------- */

/* Sends a frame, lets the server work, and compares all that the client says. */
#define loopback_expect(l, commands, text)                                                         \
    do {                                                                                           \
        loopback_put((l), (commands));                                                             \
        world_turn();                                                                              \
        assert_string_equal(loopback_read(l), (text));                                             \
    } while (0)

#define loopback_said(l, text)                                                                     \
    do {                                                                                           \
        world_turn();                                                                              \
        assert_string_equal(loopback_read(l), (text));                                             \
    } while (0)

#define loopback_ended(l, with_code, with_reason)                                                  \
    do {                                                                                           \
        world_turn();                                                                              \
        assert_true((l)->closed);                                                                  \
        assert_int_equal((l)->code, (with_code));                                                  \
        assert_string_equal((l)->reason, (with_reason));                                           \
    } while (0)

/* --- tokens ----------------------------------------------------------------------------------- */

#define LOOPBACK_SECRET "secret"

/* An HS256 token over claims, in a static buffer. */
static UNUSED const char *loopback_token(const char *claims)
{
    static char texts[4][1024];
    static unsigned next;
    struct buf token = BUF_INIT(sizeof texts[0] - 1);
    char *text = texts[next++ % ARRAY_LEN(texts)];

    CHECK(jwt_sign(&token, STR("HS256"), STR_NONE, STR(LOOPBACK_SECRET), str_from(claims)) == OK);
    snprintf(text, sizeof texts[0], "%.*s", STR_ARGS(buf_str(&token)));
    buf_deinit(&token);
    return text;
}

/* A command with a token over claims where text has "%s"; in a static buffer. */
static UNUSED const char *loopback_with_token(const char *text, const char *claims)
{
    static char command[4096];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, text, loopback_token(claims));
#pragma GCC diagnostic pop
    return command;
}

/* Connected as user ("": anonymous, without a token); what it was told is read already. */
static UNUSED struct loopback *loopback_connected(const char *name, enum kind kind,
                                                  const char *user)
{
    struct loopback *l = loopback_open(name, kind);
    char claims[256];

    snprintf(claims, sizeof claims, "{\"sub\":\"%s\"}", user);
    loopback_put(l, *user ? loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\"}}", claims)
                          : "{\"id\":1,\"connect\":{}}");
    world_turn();
    CHECK(l->client->state == CLIENT_CONNECTED);
    loopback_read(l);
    return l;
}
