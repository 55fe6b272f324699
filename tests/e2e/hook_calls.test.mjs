import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { sign, userToken } from "./lib/token.mjs";

test("the connect hook", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: { namespaces: { room: { presence: true, allow_subscribe_for_client: true } } },
      hooks: {
        connect: lua(`function(ctx)
          if ctx.user == "banned" then return perigee.disconnect_code(4100, "banned") end
          if ctx.user == "busy" then return perigee.error(450, "come back later", true) end
          if ctx.user == "leave" then return nil end
          if ctx.user == "absent" then
            return { data = { type(ctx.raw), type(ctx.data), type(ctx.name), type(ctx.version), type(ctx.channels and ctx.channels[1]) } }
          end
          if ctx.user == "rename" then return { user = "renamed", info = { by = "hook" } } end
          if ctx.user == "subs" then return { channels = { "news", "$own" }, data = { hello = ctx.user } } end
          if ctx.user == "expire" then return { expire_at = perigee.now() + 100 } end
          if ctx.user == nil or ctx.user == "" then return { user = "guest" } end
        end`),
      },
    },
  });
  const connect = async (user) => {
    const client = await server.open();
    client.reply1 = await client.command("connect", user === null ? {} : { token: sign({ sub: user }) });
    return client;
  };

  await t.test("what the client did not send is nil", async () => {
    assert.deepEqual((await connect("absent")).reply1.connect.data, ["nil", "nil", "nil", "nil", "nil"]);
  });
  await t.test("nil leaves everything as it is", async () => {
    for (const user of ["leave", "other"]) assert.ok((await connect(user)).reply1.connect.client);
  });
  await t.test("may disconnect", async () => {
    const client = await server.open();
    client.send({ id: 1, connect: { token: userToken("banned") } });
    await client.expectClose(4100, "banned");
  });
  await t.test("may answer an error", async () => {
    const client = await connect("busy");
    assert.deepEqual(client.reply1.error, { code: 450, message: "come back later", temporary: true });
  });
  await t.test("may give another user and info", async () => {
    const client = await connect("rename");
    await client.subscribe("room:1");
    const id = client.reply1.connect.client;
    const { presence } = await server.call("presence", { channel: "room:1" });
    assert.deepEqual(presence, { [id]: { user: "renamed", client: id, conn_info: { by: "hook" } } });
  });
  await t.test("may subscribe and send data", async () => {
    const client = await connect("subs");
    assert.deepEqual(client.reply1.connect.subs, { news: {}, $own: {} });
    assert.deepEqual(client.reply1.connect.data, { hello: "subs" });
    await server.publish("$own", 1);
    assert.equal((await client.push("pub", "$own")).data, 1);
  });
  await t.test("may set an expiry", async () => {
    const { connect: result } = (await connect("expire")).reply1;
    assert.equal(result.expires, true);
    assert.ok(result.ttl >= 98 && result.ttl <= 101, `ttl ${result.ttl}`);
  });
  await t.test("may give a user to whoever brings no token", async () => {
    const client = await connect(null);
    await client.subscribe("room:2");
    const { presence } = await server.call("presence", { channel: "room:2" });
    assert.equal(presence[client.reply1.connect.client].user, "guest");
  });
  await t.test("is not asked about a bad token", async () => {
    const client = await server.open();
    client.send({ id: 1, connect: { token: "bad" } });
    await client.expectClose(3500);
  });
});

test("the subscribe and publish hooks of a namespace", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          chat: {
            presence: true,
            allow_publish_for_subscriber: true,
            hooks: {
              subscribe: lua(`function(client, req)
                if req.channel:match "^chat:room%d+$" then
                  return { info = { badge = "new" }, data = { welcome = client.user } }
                end
                if req.channel == "chat:kick" then return perigee.disconnect_code(4001, "kicked") end
                if req.channel == "chat:ttl" then return { expire_at = perigee.now() + 50 } end
                if req.channel == "chat:nil" then return nil end
                return perigee.error(103, "permission denied")
              end`),
              publish: lua(`function(client, req)
                if req.data.kick then return perigee.disconnect_code(4002, "no") end
                if req.data.drop then return perigee.error(107, "bad request") end
                if req.data.text then
                  req.data.text = req.data.text:gsub("<", "&lt;")
                  return { data = req.data }
                end
                if req.data.tag then return { tags = { from = "hook" } } end
              end`),
            },
          },
          plain: { allow_subscribe_for_client: true, allow_publish_for_client: true },
          allow: { allow_subscribe_for_client: true, hooks: { publish: lua("function(client, req) return {} end") } },
        },
      },
    },
  });

  await t.test("a table allows, with info and data", async () => {
    const client = await server.connect("ann");
    const result = await client.subscribe("chat:room1");
    assert.deepEqual(result.data, { welcome: "ann" });
    const { presence } = await server.call("presence", { channel: "chat:room1" });
    assert.deepEqual(presence[client.id].chan_info, { badge: "new" });
  });
  await t.test("an error denies", async () => {
    const client = await server.connect("ann");
    assert.deepEqual(await client.refused("subscribe", { channel: "chat:other" }, 103), { code: 103, message: "permission denied" });
  });
  await t.test("nil lets the options decide", async () => {
    const client = await server.connect("ann");
    await client.refused("subscribe", { channel: "chat:nil" }, 103);
  });
  await t.test("a disconnect closes", async () => {
    const client = await server.connect("ann");
    client.send({ id: 9, subscribe: { channel: "chat:kick" } });
    await client.expectClose(4001, "kicked");
  });
  await t.test("an expiry is told", async () => {
    const client = await server.connect("ann");
    const result = await client.subscribe("chat:ttl");
    assert.equal(result.expires, true);
    assert.ok(result.ttl >= 48 && result.ttl <= 51);
  });
  await t.test("a publication may be changed, refused, tagged, left as it is", async () => {
    const a = await server.connect("ann");
    const b = await server.connect("bob");
    await a.subscribe("chat:room2");
    await b.subscribe("chat:room2");
    await a.call("publish", { channel: "chat:room2", data: { text: "1 < 2", n: 1 } });
    assert.deepEqual((await b.push("pub")).data, { text: "1 &lt; 2", n: 1 });
    await a.refused("publish", { channel: "chat:room2", data: { drop: true } }, 107);
    await a.call("publish", { channel: "chat:room2", data: { tag: 1 } });
    assert.deepEqual((await b.push("pub")).tags, { from: "hook" });
    await a.call("publish", { channel: "chat:room2", data: { plain: [] } });
    assert.deepEqual((await b.push("pub")).data, { plain: [] });
    await b.quiet();
    a.send({ id: 99, publish: { channel: "chat:room2", data: { kick: true } } });
    await a.expectClose(4002, "no");
  });
  await t.test("a table from the publish hook allows what the options do not", async () => {
    const client = await server.connect("ann");
    await client.call("publish", { channel: "allow:1", data: 1 });
  });
  await t.test("other namespaces have nothing to do with it", async () => {
    const client = await server.connect("ann");
    await client.subscribe("plain:1");
    await client.call("publish", { channel: "plain:1", data: { drop: true, kick: true } });
    assert.deepEqual((await client.push("pub")).data, { drop: true, kick: true });
  });
});

test("hooks after the fact", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          room: { allow_subscribe_for_client: true },
          audit: { allow_subscribe_for_client: true, history_size: 100, history_ttl: "1m" },
        },
      },
      hooks: {
        unsubscribe: lua(`function(client, req)
          if req.channel:match "^room:" then
            perigee.publish { channel = "audit:1", data = { "unsubscribe", client.user, req.channel } }
          end
        end`),
        disconnect: lua(`function(client, reason)
          if client.user ~= "watcher" then
            perigee.publish { channel = "audit:1", data = { "disconnect", client.user, reason.code, reason.reason } }
          end
        end`),
      },
    },
  });
  const watcher = await server.connect("watcher");
  await watcher.subscribe("audit:1");
  const next = async () => (await watcher.push("pub", "audit:1")).data;

  await t.test("unsubscribe is called for an unsubscribe, once", async () => {
    const client = await server.connect("a");
    await client.subscribe("room:1");
    await client.call("unsubscribe", { channel: "room:1" });
    assert.deepEqual(await next(), ["unsubscribe", "a", "room:1"]);
    await client.call("unsubscribe", { channel: "room:1" });
    await watcher.quiet();
  });
  await t.test("a session's unsubscribes come before its disconnect, each once", async () => {
    const client = await server.connect("b");
    await client.subscribe("room:2");
    await client.subscribe("room:3");
    await server.call("disconnect", { user: "b", disconnect: { code: 4400, reason: "out" } });
    const events = [await next(), await next(), await next()];
    assert.deepEqual(events.slice(0, 2).map(([, , channel]) => channel).sort(), ["room:2", "room:3"]);
    assert.deepEqual(events[2], ["disconnect", "b", 4400, "out"]);
    await watcher.quiet();
  });
  await t.test("a connect that fails was no session", async () => {
    const token = sign({ sub: "d", channels: Array.from({ length: 200 }, (_, n) => `c${n}`) });
    const client = await server.open();
    client.send({ id: 1, connect: { token } });
    await client.expectClose(3505, "channel limit");
    await watcher.quiet();
  });
  await t.test("a lost connection is a disconnect", async () => {
    const client = await server.connect("c");
    client.destroy();
    assert.deepEqual((await next()).slice(0, 2), ["disconnect", "c"]);
  });
});

test("the global hooks", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          own: { hooks: { subscribe: lua("function(client, req) return { data = { by = 'namespace' } } end") } },
          other: {},
        },
      },
      hooks: {
        subscribe: lua("function(client, req) if req.channel:find 'free' then return { data = { by = 'global' } } end end"),
      },
    },
  });
  const client = await server.connect("a");
  await t.test("are asked where the namespace has none", async () => {
    assert.deepEqual((await client.subscribe("other:free")).data, { by: "global" });
    await client.refused("subscribe", { channel: "other:closed" }, 103);
  });
  await t.test("give way to the namespace's own", async () => {
    assert.deepEqual((await client.subscribe("own:free")).data, { by: "namespace" });
  });
  await t.test("do not open what has no namespace at all", async () => {
    await client.refused("subscribe", { channel: "nosuch:free" }, 102);
  });
});
