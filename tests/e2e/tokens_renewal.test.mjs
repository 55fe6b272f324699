import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { channelToken, unixNow, userToken } from "./lib/token.mjs";

const CLOSED = { presence: true, join_leave: true, history_size: 5, history_ttl: "60s" };
const room = (channel, ...allow) => [{ channels: [channel], allow }];

test("tokens that replace others", async (t) => {
  const server = await startServer(t, { config: { channel: { namespaces: { room: CLOSED } } } });
  const connect = (caps) => server.connect(null, { token: userToken("ann", { caps }) });

  await t.test("new capabilities of the connection count from then on", async () => {
    const client = await connect(room("room:1", "sub"));
    await client.subscribe("room:1");
    await client.refused("publish", { channel: "room:1", data: 1 }, 103);
    await client.call("refresh", { token: userToken("ann", { caps: room("room:1", "sub", "pub") }) });
    await client.call("publish", { channel: "room:1", data: 1 });
    assert.equal((await client.push("pub", "room:1")).data, 1);
  });
  await t.test("what only the old ones allowed ends with unsubscribe 2000", async () => {
    const client = await connect(room("room:2", "sub"));
    await client.subscribe("room:2");
    await client.subscribe("room:3", { token: channelToken("ann", "room:3") });
    await client.subscribe("open");
    await client.call("refresh", { token: userToken("ann") });
    assert.equal((await client.push("unsubscribe", "room:2")).code, 2000);
    await server.publish("room:2", "lost");
    await server.publish("room:3", "kept");
    await server.publish("open", "kept");
    await client.push("pub", "room:3");
    await client.push("pub", "open");
    await client.quiet();
  });
  await t.test("new rights of a subscription count from then on, and its other properties stay", async () => {
    const client = await connect(undefined);
    const token = (...allow) => channelToken("ann", "room:4", { allow });
    await client.subscribe("room:4", { token: token("hst", "pub"), positioned: true });
    await client.call("publish", { channel: "room:4", data: 1 });
    assert.equal((await client.push("pub", "room:4")).offset, 1);
    await client.call("sub_refresh", { channel: "room:4", token: token("hst") });
    await client.refused("publish", { channel: "room:4", data: 1 }, 103);
    await client.call("history", { channel: "room:4" });
    await server.publish("room:4", 2);
    assert.equal((await client.push("pub", "room:4")).offset, 2);
  });
  await t.test("hst lets a subscription be positioned, prs brings joins", async () => {
    const watcher = await connect(room("room:5", "sub", "hst", "prs"));
    const plain = await connect(room("room:5", "sub"));
    const result = await watcher.subscribe("room:5", { positioned: true, recoverable: true, join_leave: true });
    assert.equal(result.recoverable, true);
    assert.equal(result.positioned, true);
    const less = await plain.subscribe("room:5", { positioned: true, recoverable: true, join_leave: true });
    assert.equal(less.recoverable, undefined);
    assert.equal(less.positioned, undefined);
    const ids = [await watcher.push("join", "room:5"), await watcher.push("join", "room:5")];
    assert.equal(new Set(ids.map((join) => join.info.client)).size, 2);
    await plain.quiet();
  });
  await t.test("a revoked one ends the connection, as refresh and as sub_refresh", async () => {
    await server.call("revoke_token", { uid: "gone", expire_at: unixNow() + 60 });
    const one = await connect(undefined);
    one.send({ id: 9, refresh: { token: userToken("ann", { jti: "gone" }) } });
    await one.expectClose(3500, "invalid token");
    const two = await connect(undefined);
    await two.subscribe("room:6", { token: channelToken("ann", "room:6") });
    two.send({ id: 9, sub_refresh: { channel: "room:6", token: channelToken("ann", "room:6", { jti: "gone" }) } });
    await two.expectClose(3500, "invalid token");
  });
  await t.test("a connection is known by the token it was renewed with", async () => {
    const client = await server.connect(null, { token: userToken("ann", { jti: "first" }) });
    await client.call("refresh", { token: userToken("ann", { jti: "second" }) });
    await server.call("revoke_token", { uid: "first" });
    await client.assertAlive();
    await server.call("revoke_token", { uid: "second" });
    await client.expectClose(3500, "invalid token");
  });
  await t.test("revocations end at their time", async () => {
    await server.call("revoke_token", { uid: "short", expire_at: unixNow() + 2 });
    const refused = await server.open();
    refused.send({ id: 1, connect: { token: userToken("ann", { jti: "short" }) } });
    await refused.expectClose(3500);
    await new Promise((done) => setTimeout(done, 2100));
    await server.connect(null, { token: userToken("ann", { jti: "short" }) });
  });
});
