import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";

test("rpc methods", async (t) => {
  const server = await startServer(t, {
    config: {
      rpc: {
        time: lua("function(client, data) return { now = perigee.now() } end"),
        echo: lua("function(client, data) return { user = client.user, data = data } end"),
        refuse: lua('function(client, data) return perigee.error(404, "not found") end'),
        kick: lua('function(client, data) return perigee.disconnect_code(4040, "kicked") end'),
        fail: lua('function(client, data) error("rpc boom") end'),
        nothing: lua("function(client, data) end"),
        bytes: lua('function(client, data) return perigee.unsubscribe { user = data.user, channel = "\\xeb\\xb1" } end'),
        list: lua('function(client, data) return perigee.broadcast { channels = { "a", "\\xff" }, data = 1 } end'),
        nap: lua("function(client, data) perigee.sleep(0.2) return { slept = true } end"),
        tell: lua(`function(client, data)
          local result, err = perigee.publish { channel = data.channel, data = { from = client.user } }
          return { result = result, code = err and err.code }
        end`),
      },
      channel: { namespaces: { hist: { history_size: 5, history_ttl: "1m", allow_subscribe_for_client: true } } },
    },
  });
  const client = await server.connect("ann");

  await t.test("return their result", async () => {
    const { data } = await client.call("rpc", { method: "time" });
    assert.ok(Math.abs(data.now - Date.now() / 1000) < 5);
    assert.deepEqual(await client.call("rpc", { method: "echo", data: { a: [1, "x"] } }), { data: { user: "ann", data: { a: [1, "x"] } } });
  });
  await t.test("may return nothing", async () => {
    assert.deepEqual(await client.call("rpc", { method: "nothing" }), {});
  });
  await t.test("may answer an error or raise", async () => {
    assert.deepEqual(await client.refused("rpc", { method: "refuse" }, 404), { code: 404, message: "not found" });
    await client.refused("rpc", { method: "fail" }, 100);
  });
  await t.test("texts for clients must be UTF-8", async () => {
    await client.refused("rpc", { method: "bytes", data: { user: "ann" } }, 100);
    await server.logged(/perigee\.unsubscribe: channel is not UTF-8/);
    await client.refused("rpc", { method: "list" }, 100);
    await server.logged(/perigee\.broadcast: channels is not UTF-8/);
  });
  await t.test("unknown ones are answered 104", async () => {
    await client.refused("rpc", { method: "nosuch" }, 104);
    await client.refused("rpc", { method: "" }, 104);
    await client.refused("rpc", {}, 104);
  });
  await t.test("may wait; commands of one client stay in order, others go on", async () => {
    const other = await server.connect("bob");
    client.send('{"id":100,"rpc":{"method":"nap"}}\n{"id":101,"rpc":{"method":"time"}}');
    const start = Date.now();
    await other.call("rpc", { method: "time" });
    assert.ok(Date.now() - start < 150, "another client does not wait");
    await client.reply(101);
    const ids = client.log.map(({ message }) => message.id).filter((id) => id >= 100);
    assert.deepEqual(ids, [100, 101]);
  });
  await t.test("may publish, and learn why not", async () => {
    await client.subscribe("hist:tell");
    const { data } = await client.call("rpc", { method: "tell", data: { channel: "hist:tell" } });
    assert.equal(data.result.offset, 1);
    assert.deepEqual((await client.push("pub", "hist:tell")).data, { from: "ann" });
    const bad = await client.call("rpc", { method: "tell", data: { channel: "nosuch:x" } });
    assert.deepEqual(bad.data, { code: 102 });
  });
  await t.test("may disconnect", async () => {
    const victim = await server.connect("bob");
    victim.send({ id: 5, rpc: { method: "kick" } });
    await victim.expectClose(4040, "kicked");
  });
});

test("API commands of one's own", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: { namespaces: { chat: { presence: true, allow_subscribe_for_client: true } } },
      api: {
        kick: lua(`function(params)
          local kicked = 0
          for _, member in pairs(perigee.presence(params.channel)) do
            perigee.disconnect { user = member.user }
            kicked = kicked + 1
          end
          return { kicked = kicked }
        end`),
        refuse: lua('function(params) return perigee.error(409, "conflict") end'),
        fail: lua('function(params) error("api boom") end'),
        gives_up: lua('function(params) return nil, "the archive is away" end'),
        kicks: lua('function(params) return perigee.disconnect_code(4000, "x") end'),
        nothing: lua("function(params) end"),
      },
    },
  });

  await t.test("kick empties a channel", async () => {
    const inside = [await server.connect("a"), await server.connect("b"), await server.connect("c")];
    const outside = await server.connect("d");
    for (const client of inside) await client.subscribe("chat:1");
    const answer = await server.apiText("kick", '{"channel":"chat:1"}');
    assert.equal(answer.text, '{"result":{"kicked":3}}');
    for (const client of inside) await client.expectClose(3503);
    await outside.assertAlive();
    assert.deepEqual(await server.call("kick", { channel: "chat:1" }), { kicked: 0 });
  });
  await t.test("errors, exceptions and nothing", async () => {
    assert.deepEqual(await server.api("refuse"), { error: { code: 409, message: "conflict" } });
    assert.equal((await server.api("fail")).error.code, 100);
    for (const command of ["gives_up", "kicks"]) assert.equal((await server.api(command)).error.code, 100);
    await server.logged(/an API command of config\.lua failed","cause":"the archive is away"/);
    await server.logged(/"cause":"perigee\.disconnect_code: there is nobody to disconnect"/);
    assert.equal((await server.apiText("nothing", "{}")).text, '{"result":{}}');
  });
  await t.test("need the key, and may stand in a batch", async () => {
    assert.equal((await server.request("POST", "/api/kick", { body: "{}" })).status, 401);
    const answer = await server.apiText("batch", '{"commands":[{"kick":{"channel":"chat:none"}}]}');
    assert.deepEqual(JSON.parse(answer.text), { replies: [{ kick: { kicked: 0 } }] });
  });
  await t.test("do not hide the built-in ones", async () => {
    assert.deepEqual(await server.publish("chat:2", 1), {});
  });
});
