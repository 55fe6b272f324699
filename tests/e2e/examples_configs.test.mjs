import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { API_KEY, TOP, run, startServer } from "./lib/server.mjs";
import { SECRET, channelToken, userToken } from "./lib/token.mjs";

const EXAMPLES = join(TOP, "examples");
const env = { PERIGEE_API_KEY: API_KEY, PERIGEE_TOKEN_SECRET: SECRET };
const start = (t, name) => startServer(t, { file: join(EXAMPLES, name, "config.lua"), env });

test("every example is a valid configuration", async (t) => {
  const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.ok(folders.length > 0);
  for (const { name } of folders) {
    await t.test(name, async () => {
      const file = join(EXAMPLES, name, "config.lua");
      assert.ok(existsSync(file));
      const answer = await run(["check", "-c", file], { env });
      assert.equal(answer.code, 0, answer.stdout + answer.stderr);
    });
  }
});

test("chat", async (t) => {
  const server = await start(t, "chat");
  const ann = await server.connect("ann");
  const bob = await server.connect("bob");
  await ann.subscribe("chat:room1");
  await ann.push("join");
  await bob.subscribe("chat:room1");
  assert.equal((await ann.push("join")).info.user, "bob");
  await bob.call("publish", { channel: "chat:room1", data: { text: "hi" } });
  const pub = await ann.push("pub");
  assert.deepEqual(pub.data, { text: "hi" });
  assert.equal(pub.info.user, "bob");
  await bob.refused("publish", { channel: "chat:room1", data: { text: "x".repeat(501) } }, 107);
  await bob.refused("publish", { channel: "chat:room1", data: "no text" }, 107);
  await bob.refused("subscribe", { channel: "chat:lobby" }, 103);
  await ann.refused("publish", { channel: "chat:room2", data: { text: "not in" } }, 103);
  assert.equal(Object.keys((await ann.call("presence", { channel: "chat:room1" })).presence).length, 2);
});

test("private channels", async (t) => {
  const server = await start(t, "private-channels");
  const ann = await server.connect("ann");
  await ann.refused("subscribe", { channel: "$report:7" }, 103);
  await ann.subscribe("$report:7", { token: channelToken("ann", "$report:7") });
  await ann.subscribe("dialog:x#ann,bob");
  await ann.refused("subscribe", { channel: "dialog:y#bob,eve" }, 103);
  await ann.subscribe("inbox:ann");
  await ann.refused("subscribe", { channel: "inbox:bob" }, 103);
});

test("auth in Lua", async (t) => {
  const server = await start(t, "auth-in-lua");
  const ann = await server.open();
  const result = await ann.call("connect", { data: { key: "key-of-ann" } });
  assert.deepEqual(result.subs, { news: {} });
  const { presence } = await ann.call("presence", { channel: "news" });
  assert.deepEqual(presence[result.client], { user: "ann", client: result.client, conn_info: { name: "Ann" } });
  for (const data of [{ key: "guess" }, {}, [], "key-of-ann", undefined]) {
    const other = await server.open();
    other.send({ id: 1, connect: { data } });
    await other.expectClose(4501, "unknown key");
  }
});

test("own API command", async (t) => {
  const server = await start(t, "own-api-command");
  const client = await server.open();
  await client.call("connect", { token: userToken("ann") });
  await client.subscribe("room");
  await client.subscribe("other");
  assert.deepEqual(await server.call("announce", { text: "hello" }), { channels: 2 });
  for (const channel of ["room", "other"]) {
    assert.deepEqual((await client.push("pub", channel)).data, { announcement: "hello" });
  }
  assert.equal((await server.api("announce", {})).error.code, 107);
  assert.deepEqual(await server.call("kick", { channel: "room" }), { kicked: 1 });
  await client.expectClose(3503);
});
