import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { sleep, until } from "./lib/wait.mjs";

test("ping and pong", async (t) => {
  const server = await startServer(t, { config: { client: { ping_interval: "1s", pong_timeout: "500ms" } } });

  await t.test("the connect reply tells the interval", async () => {
    const client = await server.connect("1");
    assert.equal(client.connected.ping, 1);
    assert.equal(client.connected.pong, true);
  });

  await t.test("pings come every interval, the first between half of it and all of it", async () => {
    const client = await server.connect("1");
    const start = Date.now();
    await until(() => client.pings === 1, "the first ping");
    const first = Date.now() - start;
    assert.ok(first > 400 && first < 2000, `first ping after ${first} ms`);
    await until(() => client.pings === 3, "three pings");
    const third = Date.now() - start;
    assert.ok(third > 2300 && third < 5000, `third ping after ${third} ms`);
  });

  await t.test("pings come regardless of other traffic", async () => {
    const client = await server.connect("1");
    const end = Date.now() + 1600;
    while (Date.now() < end) {
      await client.assertAlive();
      await sleep(20);
    }
    assert.ok(client.pings >= 1);
  });

  await t.test("a client that answers stays, one that does not is closed with 3012", async () => {
    const good = await server.connect("1");
    const silent = await server.connect("1", {}, { pong: false });
    await silent.expectClose(3012, "no pong");
    assert.equal(silent.pings, 1);
    await sleep(1200);
    await good.assertAlive();
  });

  await t.test("other commands do not count as a pong", async () => {
    const client = await server.connect("1", {}, { pong: false });
    const chat = setInterval(() => client.ws.readyState === 1 && client.send({ id: 9, unsubscribe: { channel: "x" } }), 100);
    await client.expectClose(3012).finally(() => clearInterval(chat));
  });

  await t.test("a command with id 0 counts as a pong", async () => {
    const client = await server.connect("1", {}, { pong: false });
    await until(() => client.pings === 1, "a ping");
    client.send({ id: 0 });
    await sleep(700);
    await client.assertAlive();
  });
});

test("unsolicited pongs", async (t) => {
  const server = await startServer(t, { config: { client: { ping_interval: "1s", pong_timeout: "900ms" } } });

  await t.test("before the first ping: 3501", async () => {
    const client = await server.connect("1");
    client.send("{}");
    await client.expectClose(3501, "bad request");
  });

  await t.test("a second answer to one ping: 3501", async () => {
    const client = await server.connect("1");
    await until(() => client.pings === 1, "a ping");
    client.send("{}");
    await client.expectClose(3501);
  });
});

test("pings switched off", async (t) => {
  const server = await startServer(t, { config: { client: { ping_interval: 0, pong_timeout: 0 } } });
  const client = await server.connect("1");
  assert.equal(client.connected.ping, undefined);
  assert.equal(client.connected.pong, undefined);
  await client.assertAlive();
});

test("a hook that takes longer than a ping waits for its answer costs nobody the connection", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { ping_interval: "1s", pong_timeout: "500ms" },
      rpc: { slow: lua("function() perigee.sleep(3) return { done = true } end") },
    },
  });
  const sdk = server.sdk({ protobuf: true });
  sdk.connect();
  await sdk.whenConnected();
  const slow = sdk.rpc("slow", Buffer.from("{}"));
  const client = await server.connect("1");
  assert.deepEqual((await client.call("rpc", { method: "slow", data: {} })).data, { done: true });
  assert.ok(client.pings >= 2, `${client.pings} pings`);
  await slow;
});
