import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";
import { sleep } from "./lib/wait.mjs";

/** Tells the channel "audit" why the user "slow" was ended. */
const audit = {
  disconnect: lua(`function(client, reason)
    if client.user == "slow" then perigee.publish { channel = "audit", data = reason.code } end
  end`),
};

/** A healthy client in "flood" and "audit", and one in "flood" that does not read. */
async function flooded(server) {
  const healthy = await server.connect("healthy");
  await healthy.subscribe("flood");
  await healthy.subscribe("audit");
  const slow = await server.tcp();
  await slow.upgrade();
  const commands = [
    { id: 1, connect: { token: userToken("slow") } },
    { id: 2, subscribe: { channel: "flood" } },
  ];
  for (const command of commands) {
    slow.write(frameBytes(0x81, JSON.stringify(command)));
    await slow.frame();
  }
  slow.socket.pause();
  return { healthy, slow };
}

test("a client that does not read", async (t) => {
  const server = await startServer(t, { config: { client: { queue_max_size: "64K" }, hooks: audit } });
  const { healthy, slow } = await flooded(server);

  let published = 0;
  const text = "x".repeat(32 * 1024);
  await t.test("is closed with 3008 when its queue is full, and the healthy one gets everything", async () => {
    let code;
    const closed = healthy.push("pub", "audit").then(({ data }) => (code = data));
    closed.catch(() => {});
    while (code === undefined && published < 1500) {
      published += 1;
      await server.publish("flood", { n: published, text });
    }
    await closed;
    assert.equal(code, 3008, `after ${published} publications`);
    for (let n = 1; n <= published; n++) assert.equal((await healthy.push("pub", "flood")).data.n, n);
  });

  await t.test("is gone, and what it gets is cut at a frame or ends with 3008", async () => {
    slow.socket.resume();
    const code = await slow.closeCode();
    assert.ok(code === null || code === 3008, `close code ${code}`);
    await slow.end();
    const { channels } = await server.call("channels", { pattern: "flood" });
    assert.equal(channels.flood.num_clients, 1);
  });

  await t.test("a client that only pauses a little is not closed", async () => {
    const client = await server.connect("pauses");
    await client.subscribe("flood2");
    client.ws.pause();
    for (let n = 1; n <= 50; n++) await server.publish("flood2", { n });
    await sleep(100);
    client.ws.resume();
    for (let n = 1; n <= 50; n++) assert.equal((await client.push("pub", "flood2")).data.n, n);
  });
});

test("a client to whom nothing gets out for websocket.write_timeout is closed with 3009", async (t) => {
  const server = await startServer(t, {
    config: { client: { queue_max_size: "64M" }, websocket: { write_timeout: "300ms" }, hooks: audit },
  });
  const { healthy, slow } = await flooded(server);
  const text = "x".repeat(60 * 1024);

  for (let n = 1; n <= 200; n++) await server.publish("flood", { n, text });
  assert.equal((await healthy.push("pub", "audit")).data, 3009);
  await server.logged(/"code":3009.*websocket\.write_timeout/);
  slow.socket.resume();
  assert.equal(await slow.closeCode(), 3009, "what was in flight ends at a frame, and the close frame follows");
  slow.destroy();
  await healthy.assertAlive();
});
