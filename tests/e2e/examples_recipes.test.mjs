// The recipes of docs/hooks.md: each is an example that runs here as it stands.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { API_KEY, TOP, startServer } from "./lib/server.mjs";
import { SECRET, sign, unixNow, userToken } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const TICKET_KEY = "key-of-the-tickets";
const env = { PERIGEE_API_KEY: API_KEY, PERIGEE_TOKEN_SECRET: SECRET, PERIGEE_TICKET_KEY: TICKET_KEY, PERIGEE_PROXY_KEY: "proxy" };
const start = (t, name) => startServer(t, { file: join(TOP, "examples", name, "config.lua"), env });

test("moderation rewrites, tags and refuses", async (t) => {
  const server = await start(t, "moderation");
  const ann = await server.connect("ann");
  const bob = await server.connect("bob");
  for (const client of [ann, bob]) await client.subscribe("talk:1");
  await ann.call("publish", { channel: "talk:1", data: { text: "Heck, darn it", n: 1 } });
  const changed = await bob.push("pub");
  assert.deepEqual(changed.data, { text: "***, *** it", n: 1 });
  assert.deepEqual(changed.tags, { moderated: "2" });
  ann.send('{"id":50,"publish":{"channel":"talk:1","data":{"text":"hi",  "n":12345678901234567890}}}');
  await ann.reply(50);
  assert.match((await bob.pushEntry("pub")).text, /\{"text":"hi",  "n":12345678901234567890\}/);
  assert.equal((await ann.refused("publish", { channel: "talk:1", data: { text: "x".repeat(201) } }, 400)).temporary, undefined);
  await ann.refused("publish", { channel: "talk:1", data: {} }, 400);
  await ann.refused("publish", { channel: "talk:1", data: [] }, 107);
  await ann.refused("publish", { channel: "talk:2", data: { text: "not in" } }, 103);
  await bob.quiet();
});

test("signed tickets", async (t) => {
  const server = await start(t, "signed-tickets");
  const ticket = (user, expire_at, key = TICKET_KEY) => ({
    user,
    expire_at,
    signature: createHmac("sha256", key).update(`${user}:${expire_at}`).digest("hex"),
  });
  const ann = await server.open();
  const result = await ann.call("connect", { data: ticket("ann", unixNow() + 100) });
  assert.deepEqual(result.data, { hello: "ann" });
  assert.equal(result.expires, true);
  assert.ok(result.ttl > 95 && result.ttl <= 100, `ttl ${result.ttl}`);
  await ann.subscribe("news");
  const late = await server.open();
  await late.refused("connect", { data: ticket("ann", unixNow() - 1) }, 109);
  const forged = { ...ticket("ann", unixNow() + 100), user: "bob" };
  for (const data of [forged, ticket("ann", unixNow() + 100, "guess")]) {
    const client = await server.open();
    client.send({ id: 1, connect: { data } });
    await client.expectClose(4500, "bad ticket");
  }
  for (const data of [undefined, [], "ann", { user: "ann" }, { ...ticket("ann", 1.5) }]) {
    const client = await server.open();
    client.send({ id: 1, connect: { data } });
    await client.expectClose(4500, "no ticket");
  }
});

test("RPC methods", async (t) => {
  const server = await start(t, "rpc-methods");
  const client = await server.connect("ann");
  const { data } = await client.call("rpc", { method: "time" });
  assert.ok(Math.abs(data.now - Date.now() / 1000) < 5);
  for (const title of ["one", "two", "three", "four"]) await server.publish("news:front", { title });
  assert.deepEqual((await client.call("rpc", { method: "headlines", data: { limit: 2 } })).data, { titles: ["four", "three"] });
  assert.deepEqual((await client.call("rpc", { method: "headlines" })).data, { titles: ["four", "three", "two"] });
  assert.equal((await client.refused("rpc", { method: "nosuch" }, 404)).message, "there is no method nosuch");
});

test("a welcome for each subscriber", async (t) => {
  const server = await start(t, "welcome");
  const ann = await server.connect("ann");
  const bob = await server.connect("bob");
  assert.deepEqual((await ann.subscribe("room:lobby")).data, { welcome: "Anything goes", others: 0 });
  assert.deepEqual((await bob.subscribe("room:lobby")).data, { welcome: "Anything goes", others: 1 });
  await ann.refused("subscribe", { channel: "room:attic" }, 404);
  const { presence } = await server.call("presence", { channel: "room:lobby" });
  assert.ok(Math.abs(presence[ann.id].chan_info.since - unixNow()) < 5);
});

test("a room with two seats", async (t) => {
  const server = await start(t, "room-limit");
  const [a, b, c] = [await server.connect("a"), await server.connect("b"), await server.connect("c")];
  await a.subscribe("table:1");
  await b.subscribe("table:1");
  assert.deepEqual(await c.refused("subscribe", { channel: "table:1" }, 450), {
    code: 450,
    message: "the room is full",
    temporary: true,
  });
  await c.subscribe("table:2");
  await a.call("unsubscribe", { channel: "table:1" });
  await c.subscribe("table:1");
});

test("seats that are sold once, and a limit over all connections", async (t) => {
  const server = await start(t, "counter");
  const clients = await Promise.all(Array.from({ length: 8 }, (_, n) => server.connect(`user${n}`)));
  await clients[0].subscribe("show:seats");
  const answers = await Promise.all(clients.map((client) => client.command("rpc", { method: "book", data: 2 })));
  assert.equal(answers.filter(({ rpc }) => rpc?.data.seat === 2).length, 1);
  assert.equal(answers.filter(({ error }) => error?.code === 409).length, 7);
  assert.deepEqual((await clients[0].push("pub", "show:seats")).data, { left: 2 });
  for (const data of [0, 4, 1.5, "1", null]) await clients[1].refused("rpc", { method: "book", data }, 400);

  const anns = await Promise.all(Array.from({ length: 4 }, () => server.connect("ann")));
  const said = await Promise.all(
    [...anns, ...anns].map((client) => client.command("publish", { channel: "talk:1", data: {} })),
  );
  assert.equal(said.filter(({ publish }) => publish).length, 5);
  assert.equal(said.filter(({ error }) => error?.code === 111).length, 3);
  await clients[0].call("publish", { channel: "talk:1", data: {} });
});

test("disconnects, for now and for good", async (t) => {
  const server = await start(t, "disconnect");
  const mallory = await server.open();
  mallory.send({ id: 1, connect: { token: userToken("mallory") } });
  await mallory.expectClose(4501, "banned");
  const ann = await server.connect("ann");
  await ann.subscribe("open:1");
  await ann.call("publish", { channel: "open:1", data: "x".repeat(900) });
  ann.send({ id: 90, publish: { channel: "open:1", data: "x".repeat(1000) } });
  await ann.expectClose(4500, "too much at once");
  const sdk = server.sdk({ token: sign({ sub: "bob" }), minReconnectDelay: 1, maxReconnectDelay: 1 });
  let connects = 0;
  sdk.on("connected", () => (connects += 1));
  sdk.connect();
  await sdk.ready(5000);
  await sdk.rpc("restart", {}).catch(() => {});
  await new Promise((done) => sdk.on("connected", done));
  assert.equal(connects, 2);
});

test("a ticker in config.lua", async (t) => {
  const server = await start(t, "ticker");
  const client = await server.connect(null);
  await client.subscribe("clock:ticks");
  const first = (await client.push("pub")).data.tick;
  const second = (await client.push("pub")).data.tick;
  assert.equal(second, first + 1); // with several workers, too: one of them ticks
  const late = await server.connect(null);
  const result = await late.subscribe("clock:ticks", { recoverable: true, recover: true, offset: second - 1 });
  assert.equal(result.recoverable, true);
  assert.equal(result.publications?.[0].data.tick ?? second, second);
});

test("an audit trail", async (t) => {
  const server = await start(t, "audit");
  const ann = await server.connect("ann");
  await ann.subscribe("talk:1");
  await ann.call("publish", { channel: "talk:1", data: { text: "on record" } });
  assert.deepEqual((await ann.push("pub")).data, { text: "on record" });
  const { publications } = await server.call("history", { channel: "audit:talk", limit: -1 });
  assert.deepEqual(
    publications.map(({ data }) => data),
    [{ channel: "talk:1", data: { text: "on record" } }],
  );
  await ann.refused("subscribe", { channel: "audit:talk" }, 103);
});

test("the user that a proxy names", async (t) => {
  const server = await start(t, "auth-by-header");
  const open = (headers) => server.open({ headers });
  const ann = await open({ "X-Proxy-Key": "proxy", "X-User": "ann" });
  await ann.call("connect", {});
  await ann.subscribe("news");
  await server.call("disconnect", { user: "ann" });
  await ann.expectClose(3503);
  for (const headers of [{}, { "X-User": "ann" }, { "X-Proxy-Key": "guess", "X-User": "ann" }]) {
    const client = await open(headers);
    client.send({ id: 1, connect: {} });
    await client.expectClose(4500, "not by the proxy");
  }
  const nobody = await open({ "X-Proxy-Key": "proxy" });
  nobody.send({ id: 1, connect: {} });
  await nobody.expectClose(4501, "not logged in");
});

test("options per channel", async (t) => {
  const server = await start(t, "channel-options");
  const ann = await server.connect("ann");
  const nobody = await server.connect(null);
  await nobody.subscribe("room:public.lobby");
  await nobody.refused("subscribe", { channel: "room:team.red" }, 103);
  await ann.subscribe("room:team.red");
  await ann.call("publish", { channel: "room:team.red", data: "hi" });
  assert.deepEqual(Object.keys((await ann.call("presence", { channel: "room:team.red" })).presence), [ann.id]);
  await server.publish("room:log.2024", { n: 1 });
  const log = await ann.subscribe("room:log.2024", { recover: true, offset: 0, epoch: "" });
  assert.deepEqual(log.publications.map(({ data }) => data), [{ n: 1 }]);
  await ann.refused("publish", { channel: "room:log.2024", data: 1 }, 103);
  await ann.refused("subscribe", { channel: "room:cellar" }, 102);
  assert.equal((await server.api("publish", { channel: "room:cellar", data: 1 })).error.code, 102);
});

test("a feed while somebody listens", async (t) => {
  const told = [];
  const backend = await startBackend(t, async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    told.push(JSON.parse(text));
    response.end();
  });
  const server = await startServer(t, {
    file: join(TOP, "examples", "occupied", "config.lua"),
    env: { ...env, FEEDS_URL: `${backend.url}/feeds` },
  });
  const [ann, bob] = [await server.connect("ann"), await server.connect("bob")];
  await ann.subscribe("stock:ACME");
  await bob.subscribe("stock:ACME");
  await ann.call("unsubscribe", { channel: "stock:ACME" });
  await bob.call("unsubscribe", { channel: "stock:ACME" });
  await until(() => told.length === 2, "the feed to start and to stop");
  assert.deepEqual(told, ["start", "stop"].map((action) => ({ action, channel: "stock:ACME" })));
});

test("sessions and their ends", async (t) => {
  const server = await start(t, "sessions");
  const staff = await server.connect(null, { token: userToken("boss", { info: { role: "staff" } }) });
  await staff.subscribe("staff:sessions");
  const ann = await server.connect("ann");
  await ann.refused("subscribe", { channel: "staff:sessions" }, 103);
  await ann.subscribe("room:1");
  await server.call("disconnect", { user: "ann", disconnect: { code: 4400, reason: "out" } });
  const next = async () => (await staff.push("pub", "staff:sessions")).data;
  assert.deepEqual(await next(), { event: "unsubscribe", user: "ann", channel: "room:1", code: 1 });
  assert.deepEqual(await next(), { event: "disconnect", user: "ann", code: 4400, reason: "out" });
  await staff.quiet();
});

test("a backend written for proxies", async (t) => {
  let asked = 0;
  const backend = await startBackend(t, async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    const { method, data } = JSON.parse(text);
    if (request.headers.cookie === "no") return response.writeHead(403).end();
    if (method === "prices") asked += 1;
    const answers = {
      "/connect": { result: { user: request.headers["x-backend-key"] === "proxy" ? "ann" : "" } },
      "/subscribe": { result: {} },
      "/publish": { result: { data: { seen: data } } },
      "/rpc": { result: { data: { method } } },
    };
    response.end(JSON.stringify(answers[request.url]));
  });
  const server = await startServer(t, {
    file: join(TOP, "examples/proxy/config.lua"),
    env: { ...env, BACKEND_URL: backend.url },
  });
  const ann = await server.open();
  await ann.call("connect", {});
  await ann.subscribe("chat:1");
  await ann.call("publish", { channel: "chat:1", data: 1 });
  const pub = await ann.push("pub");
  assert.deepEqual(pub.data, { seen: 1 });
  assert.equal(pub.info.user, "ann");
  for (let i = 0; i < 3; i++) assert.deepEqual((await ann.call("rpc", { method: "prices" })).data, { method: "prices" });
  assert.ok(asked >= 1 && asked < 3, `asked ${asked} times`);
  assert.deepEqual((await ann.call("rpc", { method: "other" })).data, { method: "other" });
  const eve = await server.open({ headers: { Cookie: "no" } });
  eve.send({ id: 1, connect: {} });
  await eve.expectClose(4503, "forbidden");
});
