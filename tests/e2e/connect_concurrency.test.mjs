// client.concurrency: commands of one connection that wait at once, with real hooks and homes.
import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";

const config = (concurrency) => ({
  client: { concurrency },
  channel: {
    without_namespace: {
      allow_subscribe_for_client: true,
      allow_publish_for_client: true,
      allow_history_for_client: true,
      history_size: 300,
      history_ttl: "60s",
    },
    namespaces: {
      slow: { hooks: { subscribe: lua`function() require "perigee".sleep(0.4) return {} end` } },
    },
  },
  rpc: { wait: lua`function(_, data) require "perigee".sleep(data) return data end` },
});

const frame = (...commands) => commands.map((command) => JSON.stringify(command)).join("\n");
const wait = (id, seconds) => ({ id, rpc: { method: "wait", data: seconds } });

/** The ids of the next `count` replies, in the order in which they came. */
async function ids(client, count) {
  const got = [];
  while (got.length < count) got.push((await client.take((message) => message.id, "a reply")).message.id);
  return got;
}

test("with concurrency 8 replies come when they are ready", async (t) => {
  const server = await startServer(t, { config: config(8) });

  await t.test("a fast command overtakes slow ones", async () => {
    const client = await server.connect("1");
    client.send(frame(wait(11, 0.6), wait(12, 0.3), wait(13, 0)));
    assert.deepEqual(await ids(client, 3), [13, 12, 11]);
  });
  await t.test("an unsubscribe waits for the subscribe of its channel", async () => {
    const client = await server.connect("1");
    client.send(frame({ id: 11, subscribe: { channel: "slow:a" } }, { id: 12, unsubscribe: { channel: "slow:a" } }, wait(13, 0)));
    assert.deepEqual(await ids(client, 3), [11, 12, 13]);
    await client.subscribe("slow:a");
  });
  await t.test("a second subscribe is refused while the first is under way", async () => {
    const client = await server.connect("1");
    const subscribe = (id) => ({ id, subscribe: { channel: "slow:a" } });
    client.send(frame(subscribe(11), subscribe(12)));
    assert.equal((await client.reply(12)).error.code, 105);
    assert.deepEqual((await client.reply(11)).subscribe, {});
  });
  await t.test("every command is answered exactly once", async () => {
    const client = await server.connect("1");
    const commands = [];
    for (let n = 0; n < 300; n++) {
      const kinds = [
        { publish: { channel: `c${n % 7}`, data: n } },
        { history: { channel: `c${n % 7}`, limit: 1 } },
        { rpc: { method: "wait", data: 0.001 } },
      ];
      commands.push({ id: 100 + n, ...kinds[n % 3] });
    }
    client.send(frame(...commands));
    assert.deepEqual((await ids(client, 300)).sort((a, b) => a - b), commands.map((command) => command.id));
    await client.quiet();
  });
  await t.test("a client that goes takes what waits along", async () => {
    const client = await server.connect("gone");
    client.send(frame(wait(11, 0.3), { id: 12, subscribe: { channel: "slow:a" } }, wait(13, 0.3)));
    await client.command("publish", { channel: "c", data: 1 });
    client.destroy();
    const other = await server.connect("1");
    await other.assertAlive();
  });
});

test("without it commands are answered in their order", async (t) => {
  const server = await startServer(t, { config: config(0) });
  const client = await server.connect("1");
  client.send(frame(wait(11, 0.2), wait(12, 0.1), wait(13, 0)));
  assert.deepEqual(await ids(client, 3), [11, 12, 13]);
});
