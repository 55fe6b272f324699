// perigee.proxy: a backend written for Centrifugo's event proxies is asked in its own words, and its
// answers mean what they mean there.
import assert from "node:assert/strict";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { sign, unixNow } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

/** A backend that answers /event with what `answers[event]` says, and keeps what it was asked. */
async function startApp(t) {
  const app = { asked: [], answers: {} };
  const backend = await startBackend(t, async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    const event = request.url.slice(1);
    app.asked.push({ event, text, body: JSON.parse(text), headers: request.headers, method: request.method });
    const answer = app.answers[event];
    const { status = 200, body = "{}", delay = 0 } = typeof answer === "function" ? answer(JSON.parse(text)) : (answer ?? {});
    if (delay) await sleep(delay);
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(body);
  });
  app.url = backend.url;
  app.last = (event) => app.asked.findLast((asked) => asked.event === event);
  app.says = (event, body, status) => (app.answers[event] = { body: typeof body === "string" ? body : JSON.stringify(body), status });
  return app;
}

const proxied = (app, event, more = "") => lua(`perigee.proxy.${event} { endpoint = "${app.url}/${event}", timeout = "2s", ${more} }`);
const connect = { result: { user: "ann" } };

async function anonymous(server, command = {}, options) {
  const client = await server.open(options);
  client.connected = await client.call("connect", command);
  client.id = client.connected.client;
  return client;
}

async function start(t, { more = {}, config = {} } = {}) {
  const app = await startApp(t);
  app.says("connect", connect);
  const server = await startServer(t, {
    config: {
      hooks: { connect: proxied(app, "connect", more.connect), rpc: proxied(app, "rpc", more.rpc) },
      channel: {
        namespaces: {
          room: {
            history_size: 10,
            history_ttl: "60s",
            presence: true,
            allow_presence_for_client: true,
            allow_history_for_client: true,
            allow_user_limited_channels: true,
            hooks: {
              subscribe: proxied(app, "subscribe", more.subscribe),
              publish: proxied(app, "publish", more.publish),
            },
          },
        },
      },
      ...config,
    },
  });
  return { app, server };
}

test("connect", async (t) => {
  const { app, server } = await start(t, {
    more: { connect: `http_headers = { "X-Session", "Cookie" }, emulated_headers = { "Authorization", "X-Session", "X-Static" }, http = { static_headers = { ["X-Static"] = "s", ["X-Session"] = "no" } }` },
  });

  await t.test("the request is Centrifugo's", async () => {
    app.says("connect", connect);
    const data = '{"n":12345678901234567890,"a":[],"t":1.0}';
    const client = await server.open({ headers: { "X-Session": "s1", "X-Other": "o" } });
    client.send(`{"id":1,"connect":{"data":${data},"name":"app","version":"1.2","subs":{"room:1":{}}}}`);
    const reply = await client.reply(1);
    const asked = app.last("connect");
    assert.equal(asked.method, "POST");
    assert.equal(asked.headers["content-type"], "application/json");
    assert.equal(asked.headers["x-session"], "s1");
    assert.equal(asked.headers["x-static"], "s");
    assert.equal(asked.headers["x-other"], undefined);
    assert.equal(asked.headers.cookie, undefined);
    assert.ok(asked.text.includes(`"data":${data}`), asked.text);
    const { data: _, ...rest } = asked.body;
    assert.deepEqual(rest, {
      client: reply.connect.client, transport: "websocket", protocol: "json", encoding: "json",
      name: "app", version: "1.2", channels: ["room:1"],
    });
  });

  await t.test("headers of the connect command go along where they are named, behind the request's", async () => {
    app.says("connect", connect);
    const headers = { AUTHORIZATION: "Bearer ü", "X-Session": "emulated", "X-Static": "e", Cookie: "no=1" };
    const client = await server.open({ headers: { "X-Session": "s1" } });
    await client.call("connect", { headers });
    const asked = app.last("connect").headers;
    assert.equal(Buffer.from(asked.authorization, "latin1").toString(), "Bearer ü");
    assert.equal(asked["x-session"], "s1");
    assert.equal(asked["x-static"], "e");
    assert.equal(asked.cookie, undefined);
  });

  await t.test("the result gives user, info, data, expiry and subscriptions", async () => {
    app.says("connect", `{"result":{"user":"bob","info":{"big":12345678901234567890},"b64data":"${Buffer.from('{"d":1}').toString("base64")}",
      "expire_at":${unixNow() + 100},"channels":["news"],"subs":{"room:s":{"info":{"i":[]},"override":{"presence":{"value":true}}}},"meta":{"m":1},"unknown":1}}`);
    const client = await anonymous(server);
    assert.deepEqual(client.connected.data, { d: 1 });
    assert.equal(client.connected.expires, true);
    assert.deepEqual(Object.keys(client.connected.subs).sort(), ["news", "room:s"]);
    const answer = await server.apiText("presence", '{"channel":"room:s"}');
    assert.match(answer.text, /"conn_info":\{"big":12345678901234567890\}/);
    assert.match(answer.text, /"chan_info":\{"i":\[\]\}/);
  });

  for (const [what, answer, check] of [
    ["an error", { error: { code: 1000, message: "no", temporary: true } }, { error: { code: 1000, message: "no", temporary: true } }],
    ["a disconnect, before an error", { disconnect: { code: 4501, reason: "banned" }, error: { code: 1000 } }, { close: [4501, "banned"] }],
    ["no result: no credentials", {}, { close: [3501] }],
    ["an expiry in the past", { result: { user: "a", expire_at: 1 } }, { error: { code: 110 } }],
    ["an unknown namespace", { result: { user: "a", channels: ["nowhere:1"] } }, { error: { code: 102 } }],
    ["an empty user: anonymous", { result: { user: "" } }, { ok: true }],
    ["text that is not JSON", "oops", { error: { code: 100, message: "internal server error", temporary: true } }],
    ["a list", "[1]", { error: { code: 100 } }],
    ["bad base64", { result: { user: "a", b64info: "%%%" } }, { error: { code: 100 } }],
    ["info that is not JSON", { result: { user: "a", b64info: Buffer.from("{").toString("base64") } }, { error: { code: 100 } }],
    ["a status that is not 200", [{}, 500], { error: { code: 100 } }],
  ]) {
    await t.test(what, async () => {
      app.says("connect", ...(Array.isArray(answer) ? answer : [answer]));
      const client = await server.open();
      client.send({ id: 1, connect: {} });
      if (check.close) return client.expectClose(...check.close);
      const reply = await client.reply(1);
      if (check.ok) return assert.ok(reply.connect);
      for (const [name, value] of Object.entries(check.error)) assert.deepEqual(reply.error[name], value, JSON.stringify(reply));
    });
  }

  await t.test("a token decides alone", async () => {
    const before = app.asked.length;
    await server.connect("with-token");
    assert.equal(app.asked.length, before);
  });

  await t.test("why a call failed is in the log", () => {
    assert.match(server.stderr, /proxied call failed.*the backend answered with status 500/);
    assert.match(server.stderr, /proxied call failed.*not a JSON object/);
  });
});

test("subscribe and publish", async (t) => {
  const { app, server } = await start(t, {
    more: {
      publish: `http = { status_to_code_transforms = {
        { status_code = 404, to_error = { code = 1404, message = "gone", temporary = true } },
        { status_code = 403, to_disconnect = { code = 4503, reason = "forbidden" } },
      } }`,
    },
  });
  const client = await anonymous(server);

  await t.test("an empty result allows, info and data arrive as bytes", async () => {
    app.says("subscribe", {});
    await client.subscribe("room:plain");
    assert.deepEqual(app.last("subscribe").body, {
      client: client.id, transport: "websocket", protocol: "json", encoding: "json", user: "ann", channel: "room:plain",
    });
    app.says("subscribe", '{"result":{"info":{"r":1.0},"data":{"hello":[]},"override":{"join_leave":{"value":true},"other":{"value":1}}}}');
    client.send('{"id":900,"subscribe":{"channel":"room:1","data":{"x":10000000000000000000000}}}');
    assert.deepEqual((await client.reply(900)).subscribe.data, { hello: [] });
    assert.match(app.last("subscribe").text, /"data":\{"x":10000000000000000000000\}/);
    assert.match((await server.apiText("presence", '{"channel":"room:1"}')).text, /"chan_info":\{"r":1\.0\}/);
  });
  await t.test("a refused subscription", async () => {
    app.says("subscribe", { error: { code: 1103, message: "not yours" } });
    await client.refused("subscribe", { channel: "room:2" }, 1103);
  });
  await t.test("a token or a list of users decides alone", async () => {
    const before = app.asked.length;
    await client.subscribe("room:t", { token: sign({ sub: "ann", channel: "room:t" }) });
    await client.subscribe("room:l#ann,bob");
    assert.equal(app.asked.length, before);
  });
  await t.test("publish: as it is, replaced, with tags, without history", async () => {
    app.says("publish", {});
    client.send('{"id":901,"publish":{"channel":"room:1","data":{"f":1.0}}}');
    assert.ok((await client.reply(901)).publish);
    assert.match((await client.pushEntry("pub", "room:1")).text, /"data":\{"f":1\.0\}/);
    app.says("publish", '{"result":{"data":{"n":12345678901234567890},"tags":{"k":"v"},"skip_history":true}}');
    await client.call("publish", { channel: "room:1", data: { a: 1 } });
    const entry = await client.pushEntry("pub", "room:1");
    assert.match(entry.text, /"data":\{"n":12345678901234567890\}/);
    assert.deepEqual(entry.message.push.pub.tags, { k: "v" });
    assert.equal(entry.message.push.pub.offset, undefined);
  });
  await t.test("publish: an idempotency key and a version", async () => {
    app.says("publish", { result: { idempotency_key: "once" } });
    for (const n of [1, 2]) await client.call("publish", { channel: "room:idem", data: { n } });
    app.says("publish", { result: { version: 5, version_epoch: "e" } });
    await client.call("publish", { channel: "room:idem", data: { n: 3 } });
    app.says("publish", { result: { version: 4, version_epoch: "e" } });
    await client.call("publish", { channel: "room:idem", data: { n: 4 } });
    const { publications } = await server.call("history", { channel: "room:idem", limit: 10 });
    assert.deepEqual(publications.map(({ data }) => data.n), [1, 3]);
  });
  await t.test("a status becomes an error or a disconnect", async () => {
    app.says("publish", "", 404);
    const error = await client.refused("publish", { channel: "room:1", data: 1 }, 1404);
    assert.deepEqual(error, { code: 1404, message: "gone", temporary: true });
    app.says("publish", "", 418);
    await client.refused("publish", { channel: "room:1", data: 1 }, 100);
    app.says("publish", "", 403);
    client.send({ id: 999, publish: { channel: "room:1", data: 1 } });
    await client.expectClose(4503, "forbidden");
  });
});

test("rpc, slow backends, and Protobuf clients", async (t) => {
  const { app, server } = await start(t, { more: { rpc: "timeout = 0.4, include_connection_meta = true" } });
  app.says("connect", { result: { user: "ann", meta: { plan: "pro" } } });
  const client = await anonymous(server);

  await t.test("rpc", async () => {
    app.says("rpc", '{"result":{"data":{"r":1.0}}}');
    client.send('{"id":50,"rpc":{"method":"getX","data":{"q":[]}}}');
    assert.match((await client.take((m) => m.id === 50, "reply")).text, /"data":\{"r":1\.0\}/);
    const { client: id, ...body } = app.last("rpc").body;
    assert.equal(id, client.id);
    assert.deepEqual(body, {
      transport: "websocket", protocol: "json", encoding: "json", user: "ann", meta: { plan: "pro" }, method: "getX", data: { q: [] },
    });
    app.says("rpc", {});
    assert.deepEqual(await client.call("rpc", { method: "x" }), {});
    app.says("rpc", { error: { code: 1001, message: "bad" } });
    await client.refused("rpc", { method: "x" }, 1001);
  });
  await t.test("a backend that is too slow: error 100, and only for the one who asked", async () => {
    const other = await anonymous(server);
    app.answers.rpc = () => ({ delay: 3000 });
    const slow = client.refused("rpc", { method: "slow" }, 100);
    const start = Date.now();
    await other.assertAlive();
    assert.ok(Date.now() - start < 2500);
    await slow;
    assert.match(server.stderr, /proxied call failed.*perigee\.proxy\.rpc/);
  });
  await t.test("Protobuf: JSON goes through as JSON, other bytes only with binary_encoding", async () => {
    const sdk = server.sdk({ protobuf: true, token: "" });
    sdk.connect();
    await sdk.whenConnected();
    app.says("rpc", '{"result":{"data":{"ok":true}}}');
    const { data } = await sdk.rpc("p", Buffer.from('{"x":1}'));
    assert.equal(Buffer.from(data).toString(), '{"ok":true}');
    assert.deepEqual(app.last("rpc").body.data, { x: 1 });
    assert.equal(app.last("rpc").body.protocol, "protobuf");
    app.says("rpc", { result: { b64data: Buffer.from([0, 255, 1]).toString("base64") } });
    assert.deepEqual([...(await sdk.rpc("p", Buffer.from("1"))).data], [0, 255, 1]);
    await assert.rejects(sdk.rpc("p", Buffer.from([0, 255])), { code: 100 });
  });
});

test("binary_encoding", async (t) => {
  const { app, server } = await start(t, { more: { publish: "binary_encoding = true", subscribe: "binary_encoding = true" } });
  const sdk = server.sdk({ protobuf: true, token: "" });
  sdk.connect();
  await sdk.whenConnected();
  const json = await anonymous(server);
  app.says("subscribe", {});
  const got = [];
  const sub = sdk.newSubscription("room:b");
  sub.on("publication", (ctx) => got.push([...ctx.data]));
  sub.subscribe();
  await until(() => sub.state === "subscribed", "the subscription");
  app.says("publish", { result: { b64data: Buffer.from([7, 0, 200]).toString("base64") } });
  await sub.publish(Buffer.from([9, 0]));
  assert.equal(app.last("publish").body.b64data, Buffer.from([9, 0]).toString("base64"));
  assert.equal(app.last("publish").body.encoding, "binary");
  assert.equal(app.last("publish").body.data, undefined);
  await until(() => got.length === 1, "the publication");
  assert.deepEqual(got[0], [7, 0, 200]);
  // A JSON client cannot be told bytes, and is told that.
  await json.subscribe("room:b");
  await sub.publish(Buffer.from([9, 0]));
  await json.expectClose(3506);
});

test("refresh and sub_refresh", async (t) => {
  const app = await startApp(t);
  const server = await startServer(t, {
    config: {
      client: { expired_sub_close_delay: "1s", presence_update_interval: "300ms", expired_close_delay: "1s" },
      hooks: { connect: proxied(app, "connect"), refresh: proxied(app, "refresh") },
      rpc: { meta: lua("function(client) return client.meta end") },
      channel: { namespaces: { sub: { hooks: { subscribe: proxied(app, "subscribe"), sub_refresh: proxied(app, "sub_refresh") } } } },
    },
  });
  app.answers.connect = ({ name }) => ({ body: JSON.stringify({ result: { user: name, expire_at: unixNow() + 2 } }) });
  // By user: who stays for how long.
  app.answers.refresh = ({ user }) => ({
    stay: { body: JSON.stringify({ result: { expire_at: unixNow() + 2, meta: { plan: "pro" } } }) },
    none: { body: "{}" },
    error: { body: '{"error":{"code":1000,"message":"no"}}' },
    past: { body: '{"result":{"expire_at":0}}' },
    gone: { body: '{"result":{"expired":true}}' },
    fail: { status: 500 },
  })[user];

  await t.test("refresh moves the expiry or ends the connection, and a failure does not", async () => {
    const open = (name) => anonymous(server, { name });
    const [stay, fail, ...leave] = await Promise.all(["stay", "fail", "none", "error", "past", "gone"].map(open));
    assert.equal(stay.connected.expires, undefined, "the server renews");
    await Promise.all(leave.map((client) => client.expectClose(3005, "connection expired")));
    await until(() => app.asked.filter(({ event, body }) => event === "refresh" && body.user === "stay").length >= 2, "two refreshes");
    assert.deepEqual((await stay.call("rpc", { method: "meta" })).data, { plan: "pro" });
    await fail.assertAlive();
    const { client: id, ...body } = app.asked.findLast(({ body }) => body.user === "stay" && body.client === stay.id).body;
    assert.equal(id, stay.id);
    assert.deepEqual(body, { transport: "websocket", protocol: "json", encoding: "json", user: "stay" });
  });
  await t.test("sub_refresh", async () => {
    app.says("connect", connect);
    app.answers.subscribe = () => ({ body: JSON.stringify({ result: { expire_at: unixNow() + 1 } }) });
    app.answers.sub_refresh = ({ channel }) => ({ body: channel === "sub:stay" ? '{"result":{}}' : "{}" });
    const client = await anonymous(server);
    await client.subscribe("sub:stay");
    await client.subscribe("sub:go");
    const { code } = await client.push("unsubscribe", "sub:go");
    assert.equal(code, 2501);
    await until(() => app.asked.some(({ event, body }) => event === "sub_refresh" && body.channel === "sub:stay"), "sub_refresh");
    await client.refused("subscribe", { channel: "sub:stay" }, 105);
  });
});

test("mistakes in the options are found by check", async (t) => {
  const { run, scratch } = await import("./lib/server.mjs");
  const { writeFileSync } = await import("node:fs");
  const folder = scratch(t);
  const file = `${folder}/config.lua`;
  for (const [options, message] of [
    [`"grpc://localhost:1"`, /config\.lua:2: perigee\.proxy\.connect: gRPC is not supported/],
    [`"localhost:1"`, /endpoint must be an http/],
    [`{ endpont = "http://x" }`, /config\.lua:2: perigee\.proxy\.connect: unknown option endpont/],
    [`{ endpoint = "http://x", timeout = "soon" }`, /timeout: expected a duration/],
    [`{ endpoint = "http://x", http_headers = { "Host" } }`, /Host cannot be forwarded/],
    [`{ endpoint = "http://x", http = { status_to_code_transforms = { { status_code = 1 } } } }`, /status_to_code_transforms holds/],
    [`{ endpoint = "http://x", http_headers = { cookie = true } }`, /config\.lua:2: perigee\.proxy\.connect: http_headers is a list/],
    [`{ endpoint = "http://x", http = { static_headers = { Host = "y" } } }`, /config\.lua:2: .*static_headers: Host cannot be set/],
    [`{ endpoint = "http://x", http = { static_headers = { ["x\\r\\ny"] = "z" } } }`, /static_headers holds names and texts/],
    [`{ endpoint = "http://x", http = { static_headers = { x = "y\\r\\nz: 1" } } }`, /static_headers holds names and texts/],
    [`{ endpoint = "http://x", http = { status_to_code_transforms = { status_code = 404 } } }`, /status_to_code_transforms is a list/],
    [`{ endpoint = "http://x", http = { status_to_code_transforms = { { status_code = 404, to_error = { code = 4 } } } } }`,
      /config\.lua:2: .*status 404: an error code is between 100 and 2999/],
    [`{ endpoint = "http://x", http = { status_to_code_transforms = { { status_code = 403, to_disconnect = { reason = "x" } } } } }`, /status 403: /],
  ]) {
    writeFileSync(file, `local perigee = require "perigee"\nreturn { hooks = { connect = perigee.proxy.connect ${options} } }\n`);
    const { code, stdout, stderr } = await run(["check", "-c", file]);
    assert.equal(code, 2, options);
    assert.match(stdout + stderr, message);
  }
});
