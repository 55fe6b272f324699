import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";
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

test("rate limits of a user, over his connections and workers", async (t) => {
  const server = await startServer(t, {
    config: {
      client: {
        rate_limit: { user_command: { publish: per(5, "60s"), total: per(12, "60s") }, client_command: { connect: per(3, "60s") } },
        allow_anonymous_connect_without_token: true,
      },
      channel: { without_namespace: OPEN },
    },
  });

  await t.test("connections share the buckets, other users have their own", async () => {
    const clients = await Promise.all([1, 2, 3].map(() => server.connect("ann")));
    const replies = await Promise.all(clients.flatMap((client) => [1, 2, 3].map((n) => client.command("publish", { channel: "a", data: n }))));
    const refused = replies.filter((reply) => reply.error);
    assert.equal(refused.length, 4);
    for (const { error } of refused) assert.deepEqual(error, { code: 111, message: "too many requests", temporary: true });
    await server.logged(/"code":111.*client\.rate_limit\.user_command\.publish\.buckets/);
    const ben = await server.connect("ben");
    await ben.call("publish", { channel: "a", data: 4 });
  });
  await t.test("all commands together have one, too", async () => {
    const cara = await server.connect("cara");
    for (let n = 0; n < 12; n++) await cara.subscribe(`c${n}`);
    await cara.refused("unsubscribe", { channel: "c0" }, 111);
  });
  await t.test("a user may connect only so often", async () => {
    for (let n = 0; n < 3; n++) (await server.connect("dora")).destroy();
    const client = await server.open();
    await client.refused("connect", { token: userToken("dora") }, 111);
    await server.logged(/"code":111.*"cause":"the user connects too often".*client_command\.connect\.buckets/);
  });
  await t.test("who has no name has no limits of a user", async () => {
    for (let n = 0; n < 5; n++) await server.connect(null);
    const client = await server.connect(null);
    for (let n = 0; n < 13; n++) await client.call("unsubscribe", { channel: "c" });
  });
});

test("a connection that causes too many errors is disconnected", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { rate_limit: { client_error: { total: per(3, "60s") }, client_command: { history: per(1, "60s") } } },
      channel: { without_namespace: OPEN },
    },
  });
  const [client, other] = [await server.connect("1"), await server.connect("1")];
  await client.refused("subscribe", { channel: "none:a" }, 102);
  await client.refused("history", { channel: "a" }, 108);
  await client.refused("history", { channel: "a" }, 111); // counts like any other
  await client.subscribe("a");
  await client.refused("presence", { channel: "a" }, 108);
  await client.expectClose(3509, "too many errors");
  await server.logged(/"code":3509.*client\.rate_limit\.client_error\.total\.buckets/);
  await other.assertAlive();
});
