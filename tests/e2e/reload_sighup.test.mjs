import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { toLua } from "./lib/lua.mjs";
import { reload } from "./lib/reload.mjs";
import { baseConfig, startServer } from "./lib/server.mjs";

test("SIGHUP", async (t) => {
  const server = await startServer(t);
  await reload(server, 0);
  const client = await server.connect("ann");
  await client.subscribe("room:1");

  await t.test("takes the new hooks and options, and keeps connections and subscriptions", async () => {
    for (let n = 1; n <= 4; n++) {
      assert.match(await reload(server, n), /"message":"reloaded"/);
      await client.call("publish", { channel: "room:1", data: {} });
      const pub = await client.push("pub", "room:1");
      assert.deepEqual([pub.data, pub.offset], [{ by: n }, n]);
    }
    await client.refused("subscribe", { channel: "aa:1" }, 102);
    await client.subscribe("zz:1");
  });
  await t.test("a broken file changes nothing and says why", async () => {
    const log = await reload(server, 5, { broken: true });
    assert.match(log, /not reloaded/);
    assert.match(log, /config\.lua:\d+/);
    await client.call("publish", { channel: "room:1", data: {} });
    assert.deepEqual((await client.push("pub", "room:1")).data, { by: 4 });
  });
  await t.test("an unknown option changes nothing and names it", async () => {
    const log = await reload(server, 6, { only: { clientt: {} } });
    assert.match(log, /clientt/);
    await client.call("publish", { channel: "room:1", data: {} });
    assert.deepEqual((await client.push("pub", "room:1")).data, { by: 4 });
  });
  await t.test("what needs a restart is named", async () => {
    const log = await reload(server, 7, { only: { shutdown: { timeout: "9s" }, workers: 3 } });
    assert.match(log, /"option":"workers"/);
    assert.doesNotMatch(log, /"option":"shutdown/);
  });
  await t.test("other keys: new tokens are checked with them", async () => {
    const other = baseConfig(server.port).client;
    other.token.hmac_secret_key = "another-secret";
    await reload(server, 8, { only: { client: other } });
    const refused = await server.open();
    const { sign } = await import("./lib/token.mjs");
    refused.send({ id: 1, connect: { token: sign({ sub: "ann" }) } });
    await refused.expectClose(3500, "invalid token");
    await reload(server, 9);
    await server.connect("ann");
  });
  await t.test("a namespace that is gone still lets its subscribers leave", async () => {
    const second = await server.connect("bob");
    await second.subscribe("room:2");
    const config = baseConfig(server.port);
    writeFileSync(server.file, `return ${toLua(config)}\n`);
    server.child.kill("SIGHUP");
    await server.logged(/"message":"reloaded"/);
    await new Promise((done) => setTimeout(done, 200));
    await second.call("unsubscribe", { channel: "room:2" });
    await second.refused("subscribe", { channel: "room:2" }, 102);
  });
});
