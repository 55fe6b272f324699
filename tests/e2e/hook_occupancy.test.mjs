// The hooks occupied and vacated, and what a shutdown still tells.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { lua, merge, toLua } from "./lib/lua.mjs";
import { baseConfig, startServer } from "./lib/server.mjs";
import { sleep, until } from "./lib/wait.mjs";

const noting = (name) => lua(`function(channel) perigee.log.info("${name} " .. channel) end`);
const OPEN = { allow_subscribe_for_client: true };
const CONFIG = {
  channel: {
    vacated_event_delay: "300ms",
    without_namespace: OPEN,
    namespaces: { room: { ...OPEN, presence: true, join_leave: true, history_size: 5, history_ttl: "1m", force_recovery: true } },
  },
};

/** The events of the log, in order, of one channel or all. */
const told = (server, channel) =>
  [...server.stderr.matchAll(/"message":"(occupied|vacated) ([^"]+)"/g)]
    .filter(([, , name]) => channel === undefined || name === channel)
    .map(([, event]) => event);

test("who comes first and who leaves last", async (t) => {
  const server = await startServer(t, {
    config: merge(CONFIG, { hooks: { occupied: noting("occupied"), vacated: noting("vacated") } }),
  });
  const clients = await Promise.all([1, 2, 3, 4].map((n) => server.connect(`u${n}`)));

  await t.test("are told once, whatever worker they are on and the channel lives on", async () => {
    const channels = Array.from({ length: 8 }, (_, n) => `room:${n}`);
    for (const channel of channels) for (const client of clients) await client.subscribe(channel);
    const unsubscribed = channels.map((channel) => clients[0].call("unsubscribe", { channel }));
    await Promise.all(unsubscribed);
    await sleep(400);
    for (const channel of channels) assert.deepEqual(told(server, channel), ["occupied"]);
    for (const channel of channels) for (const client of clients.slice(1)) await client.call("unsubscribe", { channel });
    for (const channel of channels) await until(() => told(server, channel).length === 2, `${channel} to be vacated`);
    for (const channel of channels) assert.deepEqual(told(server, channel), ["occupied", "vacated"]);
  });
  await t.test("a quick return is told to nobody", async () => {
    await clients[0].subscribe("quick");
    for (let n = 0; n < 10; n++) {
      await clients[n % 4].call("unsubscribe", { channel: "quick" });
      await clients[(n + 1) % 4].subscribe("quick");
    }
    await sleep(500);
    assert.deepEqual(told(server, "quick"), ["occupied"]);
  });
  await t.test("a subscribe that is refused is nobody's", async () => {
    await clients[0].refused("subscribe", { channel: "room:x", recover: true, epoch: "nosuch", offset: 5, flag: 2 }, 112);
    await clients[0].refused("subscribe", { channel: "nosuch:x" }, 102);
    await sleep(400);
    assert.deepEqual(told(server, "room:x"), []);
  });
  await t.test("server-side subscriptions count too", async () => {
    await server.call("subscribe", { user: "u1", channel: "room:server" });
    await until(() => told(server, "room:server").length === 1, "occupied");
    await server.call("unsubscribe", { user: "u1", channel: "room:server" });
    await until(() => told(server, "room:server").length === 2, "vacated");
  });
  await t.test("a connection that is lost vacates what only it held", async () => {
    await clients[3].subscribe("alone");
    clients[3].destroy();
    await until(() => told(server, "alone").length === 2, "vacated");
    assert.deepEqual(told(server, "alone"), ["occupied", "vacated"]);
  });
});

test("a reload brings hooks that hear what happens from then on", async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const client = await server.connect("ann");
  await client.subscribe("before");
  const config = merge(baseConfig(server.port), merge(CONFIG, { hooks: { occupied: noting("occupied"), vacated: noting("vacated") } }));
  writeFileSync(server.file, `local perigee = require "perigee"\nreturn ${toLua(config)}\n`);
  server.kill("SIGHUP");
  await server.logged(/"message":"reloaded"/);
  await client.subscribe("after");
  await until(() => told(server, "after").length === 1, "occupied");
  assert.deepEqual(told(server), ["occupied"]);
  await client.call("unsubscribe", { channel: "before" });
  await until(() => told(server, "before").length === 1, "vacated");
  assert.deepEqual(told(server), ["occupied", "vacated"]);
});

test("a shutdown tells every end, and waits for those who tell it on", async (t) => {
  const events = [];
  let running = 0;
  const backend = await startBackend(t, async (request, response) => {
    running += 1;
    await sleep(200);
    running -= 1;
    events.push(request.url.slice(1));
    response.end("{}");
  });
  const post = (what) => `perigee.http.get("${backend.url}/" .. ${what})`;
  const server = await startServer(t, {
    config: {
      channel: { vacated_event_delay: "1h" },
      hooks: {
        occupied: lua(`function(channel) ${post("'occupied-' .. channel")} end`),
        vacated: lua(`function(channel) ${post("'vacated-' .. channel")} end`),
        unsubscribe: lua(`function(client, req) ${post("'unsubscribe-' .. req.channel")} end`),
        disconnect: lua(`function(client) ${post("'disconnect-' .. client.user")} end`),
      },
    },
  });
  const client = await server.connect("ann");
  const channels = ["a", "b", "c", "d", "e"];
  for (const channel of channels) await client.subscribe(channel);
  server.kill("SIGTERM");
  assert.deepEqual(await server.exit, { code: 0, signal: null });
  assert.equal(running, 0);
  const expected = channels.flatMap((name) => [`occupied-${name}`, `unsubscribe-${name}`, `vacated-${name}`]);
  assert.deepEqual([...events].sort(), [...expected, "disconnect-ann"].sort());
  for (const channel of channels) assert.ok(events.indexOf(`occupied-${channel}`) < events.indexOf(`vacated-${channel}`));
});

test("a client can be read for as long as its last hooks run", async (t) => {
  const server = await startServer(t, {
    config: {
      hooks: {
        unsubscribe: lua(`function(client, req)
          perigee.sleep(0.1)
          perigee.log.info("left", { user = client.user, ip = client.ip, channel = req.channel, meta = client.meta.n })
        end`),
        disconnect: lua(`function(client, reason)
          local before = perigee.json.encode { client.id, client.user, client.ip, client.transport, client.headers.host }
          perigee.sleep(0.2)
          local after = perigee.json.encode { client.id, client.user, client.ip, client.transport, client.headers.host }
          perigee.log.info("ended", { same = before == after, user = client.user, transport = client.transport,
            sent = pcall(client.send, client, 1), code = reason.code })
        end`),
        connect: lua(`function(ctx) return { meta = { n = 7 } } end`),
      },
    },
  });
  for (const end of ["destroy", "close", "disconnect"]) {
    const seen = server.stderr.length;
    const client = await server.connect("ann");
    await client.subscribe("a");
    if (end === "destroy") client.destroy();
    if (end === "close") client.ws.close();
    if (end === "disconnect") await server.call("disconnect", { user: "ann" });
    const line = (pattern) => until(() => pattern.exec(server.stderr.slice(seen)), `${pattern} after ${end}`);
    const left = JSON.parse((await line(/^.*"message":"left".*$/m))[0]);
    assert.deepEqual([left.user, left.ip, left.channel, left.meta], ["ann", "127.0.0.1", "a", 7]);
    const ended = JSON.parse((await line(/^.*"message":"ended".*$/m))[0]);
    assert.deepEqual([ended.user, ended.transport, ended.same, ended.sent], ["ann", "websocket", "true", "false"]);
  }
});
