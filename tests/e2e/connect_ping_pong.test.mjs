import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";
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

test("native ping frames", async (t) => {
  const server = await startServer(t, { config: { client: { ping_interval: "500ms", pong_timeout: "300ms" } } });
  const tcp = await server.tcp();
  await tcp.upgrade({ path: "/connection/websocket?cf_ws_frame_ping_pong=true" });
  tcp.write(frameBytes(0x81, JSON.stringify({ id: 1, connect: { token: userToken("42") } })));
  const { connect } = JSON.parse((await tcp.frame()).payload);
  assert.deepEqual([connect.ping, connect.pong], [undefined, undefined]);
  for (let i = 0; i < 3; i++) {
    const { opcode, payload } = await tcp.frame();
    assert.equal(opcode, 9, "no ping of the protocol comes");
    tcp.write(frameBytes(0x8a, payload));
  }
  assert.equal(await tcp.closeCode(), 3012); // the fourth is not answered
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
