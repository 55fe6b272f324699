import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sleep } from "./lib/wait.mjs";

const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const per = (rate, interval = "1s") => ({ buckets: [{ interval, rate }] });

test("rate limits of commands", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { rate_limit: { client_command: { publish: per(3, "2s"), total: per(10, "2s") } } },
      channel: { without_namespace: OPEN },
    },
  });

  await t.test("over its bucket a command is answered 111, temporary; others are not", async () => {
    const client = await server.connect("1");
    for (let n = 0; n < 3; n++) await client.call("publish", { channel: "a", data: n });
    const error = await client.refused("publish", { channel: "a", data: 3 }, 111);
    assert.deepEqual(error, { code: 111, message: "too many requests", temporary: true });
    await client.subscribe("a");
    await server.logged(/"code":111.*client\.rate_limit\.client_command\.publish\.buckets/);
  });
  await t.test("the connection next to it is not limited by it", async () => {
    const [busy, other] = await Promise.all([server.connect("1"), server.connect("1")]);
    for (let n = 0; n < 3; n++) await busy.call("publish", { channel: "a", data: n });
    await busy.refused("publish", { channel: "a", data: 3 }, 111);
    await other.call("publish", { channel: "a", data: 4 });
  });
  await t.test("it refills with time", async () => {
    const client = await server.connect("1");
    for (let n = 0; n < 3; n++) await client.call("publish", { channel: "a", data: n });
    await client.refused("publish", { channel: "a", data: 3 }, 111);
    await sleep(1000);
    await client.call("publish", { channel: "a", data: 4 });
  });
  await t.test("all commands together have a bucket, too", async () => {
    const client = await server.connect("1");
    for (let n = 0; n < 10; n++) await client.subscribe(`c${n}`);
    await client.refused("subscribe", { channel: "last" }, 111);
  });
});

test("the default limits", async (t) => {
  const server = await startServer(t);
  await t.test("let a connection subscribe to 100 channels at once", async () => {
    const client = await server.connect("1");
    const commands = Array.from({ length: 100 }, (_, n) => JSON.stringify({ id: n + 100, subscribe: { channel: `c${n}` } }));
    client.send(commands.join("\n"));
    for (let n = 0; n < 100; n++) assert.deepEqual((await client.reply(n + 100)).subscribe, {});
  });
  await t.test("stop a flood", async () => {
    const client = await server.connect("1");
    const commands = Array.from({ length: 500 }, (_, n) => JSON.stringify({ id: n + 100, history: { channel: "c" } }));
    client.send(commands.join("\n"));
    assert.equal((await client.reply(599)).error.code, 111);
  });
});

test("an empty list of buckets is no limit", async (t) => {
  const none = { buckets: [] };
  const server = await startServer(t, { config: { client: { rate_limit: { client_command: { history: none, total: none } } } } });
  const client = await server.connect("1");
  const commands = Array.from({ length: 1000 }, (_, n) => JSON.stringify({ id: n + 100, history: { channel: "c" } }));
  client.send(commands.join("\n"));
  assert.equal((await client.reply(1099)).error.code, 108);
});
