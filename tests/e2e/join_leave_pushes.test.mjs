import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sign } from "./lib/token.mjs";

test("join and leave", async (t) => {
  const base = { allow_subscribe_for_client: true };
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          force: { ...base, join_leave: true, force_push_join_leave: true },
          ask: { ...base, join_leave: true, presence: true, allow_presence_for_subscriber: true },
          deny: { ...base, join_leave: true },
          off: { ...base, presence: true, allow_presence_for_subscriber: true },
        },
      },
    },
  });
  const info = (client, user) => ({ info: { user, client: client.id } });

  await t.test("a subscriber sees its own join behind its reply", async () => {
    const client = await server.connect("a");
    client.send({ id: 7, subscribe: { channel: "force:1" } });
    assert.deepEqual(await client.push("join", "force:1"), info(client, "a"));
    const kinds = client.log.slice(1).map(({ message }) => (message.id === 7 ? "reply" : Object.keys(message.push)[1]));
    assert.deepEqual(kinds, ["reply", "join"]);
  });

  await t.test("others see joins and leaves, a leaver not its own", async () => {
    const a = await server.connect("a");
    const b = await server.connect("b");
    await a.subscribe("force:2");
    await a.push("join", "force:2");
    await b.subscribe("force:2");
    assert.deepEqual(await a.push("join", "force:2"), info(b, "b"));
    await b.push("join", "force:2");
    await b.call("unsubscribe", { channel: "force:2" });
    assert.deepEqual(await a.push("leave", "force:2"), info(b, "b"));
    await b.quiet();
    await a.quiet(0);
  });

  await t.test("a lost connection is a leave", async () => {
    const a = await server.connect("a");
    const b = await server.open();
    b.id = (await b.call("connect", { token: sign({ sub: "b", info: { n: 1 } }) })).client;
    await a.subscribe("force:3");
    await a.push("join", "force:3");
    await b.subscribe("force:3");
    await a.push("join", "force:3");
    b.destroy();
    assert.deepEqual(await a.push("leave", "force:3"), { info: { user: "b", client: b.id, conn_info: { n: 1 } } });
  });

  await t.test("they come to whoever asked and may see presence", async () => {
    const asks = await server.connect("a");
    const not = await server.connect("n");
    await asks.subscribe("ask:1", { join_leave: true });
    await asks.push("join", "ask:1");
    await not.subscribe("ask:1");
    assert.deepEqual(await asks.push("join", "ask:1"), info(not, "n"));
    await not.quiet();
  });

  await t.test("they do not come without permission or when the namespace has none", async () => {
    for (const channel of ["deny:1", "off:1"]) {
      const a = await server.connect("a");
      const b = await server.connect("b");
      await a.subscribe(channel, { join_leave: true });
      await b.subscribe(channel, { join_leave: true });
      b.destroy();
      await a.quiet(300);
    }
  });
});
