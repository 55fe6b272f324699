import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sign } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

test("presence", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          room: { presence: true, allow_subscribe_for_client: true, allow_presence_for_subscriber: true },
          open: { presence: true, allow_subscribe_for_client: true, allow_presence_for_client: true },
          shut: { presence: true, allow_subscribe_for_client: true },
          off: { allow_subscribe_for_client: true, allow_presence_for_client: true },
        },
      },
    },
  });

  await t.test("members are listed by client id with their infos", async () => {
    const a = await server.open();
    const id = (await a.call("connect", { token: sign({ sub: "a", info: { name: "Ann" } }) })).client;
    const b = await server.connect("b");
    await a.subscribe("room:1");
    await b.subscribe("room:1");
    const expected = {
      [id]: { user: "a", client: id, conn_info: { name: "Ann" } },
      [b.id]: { user: "b", client: b.id },
    };
    assert.deepEqual((await a.call("presence", { channel: "room:1" })).presence, expected);
    assert.deepEqual(await server.call("presence", { channel: "room:1" }), { presence: expected });
  });

  await t.test("stats count clients and distinct users", async () => {
    const clients = [await server.connect("x"), await server.connect("x"), await server.connect("y")];
    for (const client of clients) await client.subscribe("room:2");
    assert.deepEqual(await clients[0].call("presence_stats", { channel: "room:2" }), { num_clients: 3, num_users: 2 });
    assert.deepEqual(await server.call("presence_stats", { channel: "room:2" }), { num_clients: 3, num_users: 2 });
  });

  await t.test("an empty channel is written out", async () => {
    const client = await server.connect("1");
    client.send('{"id":8,"presence":{"channel":"open:empty"}}\n{"id":9,"presence_stats":{"channel":"open:empty"}}');
    assert.deepEqual((await client.reply(8)).presence, { presence: {} });
    assert.deepEqual((await client.reply(9)).presence_stats, { num_clients: 0, num_users: 0 });
    const answer = await server.apiText("presence", '{"channel":"open:empty"}');
    assert.equal(answer.text, '{"result":{"presence":{}}}');
  });

  await t.test("an unsubscribe and a lost connection end it", async () => {
    const a = await server.connect("a");
    const b = await server.connect("b");
    await a.subscribe("room:3");
    await b.subscribe("room:3");
    await a.call("unsubscribe", { channel: "room:3" });
    assert.deepEqual(Object.keys((await server.call("presence", { channel: "room:3" })).presence), [b.id]);
    b.destroy();
    await until(
      async () => Object.keys((await server.call("presence", { channel: "room:3" })).presence).length === 0,
      "the member to go",
    );
  });

  await t.test("presence is there before the subscribe reply", async () => {
    const client = await server.connect("a");
    client.send('{"id":5,"subscribe":{"channel":"room:4"}}\n{"id":6,"presence":{"channel":"room:4"}}');
    assert.deepEqual(Object.keys((await client.reply(6)).presence.presence), [client.id]);
  });

  for (const method of ["presence", "presence_stats"]) {
    for (const [channel, code, why] of [
      ["room:9", 103, "not subscribed"],
      ["shut:9", 103, "not allowed"],
      ["off:9", 108, "presence is off"],
      ["nosuch:9", 102, "no such namespace"],
      ["open:grüße", 107, "bad name"],
    ]) {
      await t.test(`${method} of ${channel}: ${code} (${why})`, async () => {
        const client = await server.connect("1");
        await client.refused(method, { channel }, code);
      });
    }
    for (const [channel, code] of [
      ["off:9", 108],
      ["nosuch:9", 102],
      ["", 107],
    ]) {
      await t.test(`${method} of "${channel}" by the API: ${code}`, async () => {
        assert.equal((await server.api(method, { channel })).error.code, code);
      });
    }
  }
});
