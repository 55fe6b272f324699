import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

/** The status of an upgrade that is expected to be refused. */
const refusedUpgrade = async (server) => (await server.request("GET", "/connection/websocket", { headers: UPGRADE })).status;

test("connections per user", async (t) => {
  const server = await startServer(t, { config: { client: { user_connection_limit: 2, allow_anonymous_connect_without_token: true } } });
  const open = [await server.connect("ann"), await server.connect("ann")];

  await t.test("one more is closed with 3504", async () => {
    const client = await server.open();
    client.send({ id: 1, connect: { token: userToken("ann") } });
    await client.expectClose(3504, "connection limit");
    await server.logged(/"code":3504.*client\.user_connection_limit/);
  });
  await t.test("other users and anonymous ones are not meant", async () => {
    await server.connect("bob");
    for (let n = 0; n < 4; n++) await server.connect(null);
  });
  await t.test("who leaves makes room", async () => {
    open[0].ws.close();
    await open[0].closed;
    await until(async () => (await server.call("info")).nodes[0].num_clients < 7, "the client to be gone");
    await server.connect("ann");
  });
});

test("connections per node", async (t) => {
  const server = await startServer(t, { config: { client: { connection_limit: 3 } } });
  const open = [];
  for (let n = 0; n < 3; n++) open.push(await server.open());

  await t.test("one more is answered 503 before any protocol work", async () => {
    assert.equal(await refusedUpgrade(server), 503);
    await server.logged(/connection_limit/);
  });
  await t.test("the API goes on", async () => {
    await server.call("info");
  });
  await t.test("who leaves makes room", async () => {
    open[0].ws.close();
    await open[0].closed;
    await sleep(100);
    await server.open();
    assert.equal(await refusedUpgrade(server), 503);
  });
});

test("new connections per second", async (t) => {
  const server = await startServer(t, { config: { client: { connection_rate_limit: 5 } } });
  for (let n = 0; n < 5; n++) await server.open();
  assert.equal(await refusedUpgrade(server), 503);
  await sleep(1100);
  await server.open();
});
