// What each hook may return, cell by cell of the table in docs/hooks.md that no other test reads.
import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { channelToken, sign, unixNow } from "./lib/token.mjs";

const ROOM = { allow_subscribe_for_client: true, allow_publish_for_client: true };

test("connect gives every credential at once", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: { namespaces: { room: { presence: true, allow_presence_for_subscriber: true }, kept: {} } },
      hooks: {
        connect: lua(`function(ctx)
          return { user = "made", info = { n = 1 }, expire_at = perigee.now() + 100, data = { hello = true },
            channels = { "room:a" }, subs = { ["room:b"] = { info = { seat = 2 }, data = { welcome = 1 } } },
            meta = { plan = "gold" }, caps = { { channels = { "kept:1" }, allow = { "sub" } } } }
        end`),
      },
      rpc: { meta: lua("function(client) return client.meta.plan end") },
    },
  });
  const client = await server.open();
  const result = await client.call("connect", {});
  assert.deepEqual(result.data, { hello: true });
  assert.ok(result.expires && result.ttl > 90 && result.ttl <= 100, `ttl ${result.ttl}`);
  assert.deepEqual(Object.keys(result.subs).sort(), ["room:a", "room:b"]);
  assert.deepEqual(result.subs["room:b"].data, { welcome: 1 });
  const { presence } = await client.call("presence", { channel: "room:b" });
  assert.deepEqual(presence[result.client], { user: "made", client: result.client, conn_info: { n: 1 }, chan_info: { seat: 2 } });
  assert.equal((await client.call("rpc", { method: "meta" })).data, "gold");
  await server.call("refresh", { user: "made", info: { n: 2 } }); // others see new info at once
  const after = (await client.call("presence", { channel: "room:a" })).presence;
  assert.deepEqual(after[result.client].conn_info, { n: 2 });
  await client.subscribe("kept:1");
  await client.refused("subscribe", { channel: "kept:2" }, 103);
});

test("subscribe may overrule the options, publish may stay out of history", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          room: {
            ...ROOM,
            history_size: 10,
            history_ttl: "60s",
            hooks: {
              subscribe: lua(`function(client, req)
                return { override = { presence = true, join_leave = true, force_push_join_leave = true,
                  force_positioning = true, force_recovery = true } }
              end`),
              publish: lua("function(client, req) return { skip_history = req.data.skip } end"),
            },
          },
        },
      },
    },
  });
  const [ann, bob] = [await server.connect("ann"), await server.connect("bob")];
  const { recoverable, positioned } = await ann.subscribe("room:1");
  assert.deepEqual([recoverable, positioned], [true, true]);
  assert.equal((await ann.push("join", "room:1")).info.user, "ann");
  await bob.subscribe("room:1");
  assert.equal((await ann.push("join", "room:1")).info.user, "bob");
  await bob.call("publish", { channel: "room:1", data: { skip: false, n: 1 } });
  await bob.call("publish", { channel: "room:1", data: { skip: true, n: 2 } });
  assert.deepEqual([(await ann.push("pub")).offset, (await ann.push("pub")).offset], [1, undefined]);
  const { publications } = await server.call("history", { channel: "room:1", limit: -1 });
  assert.deepEqual(publications.map(({ data }) => data.n), [1]);
});

test("sub_refresh renews with new info, or ends; a field that is not known renews nothing", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { presence_update_interval: "200ms", expired_sub_close_delay: "100ms" },
      channel: {
        namespaces: {
          room: {
            presence: true,
            allow_presence_for_subscriber: true,
            hooks: {
              sub_refresh: lua(`function(client, req)
                if req.channel == "room:ends" then return { expired = true } end
                return { expire_at = perigee.now() + 3600, info = { renewed = true } }
              end`),
            },
          },
        },
      },
      hooks: { refresh: lua("function(client) return { expire_at = perigee.now() + 3600, mata = {} } end") },
    },
  });
  const client = await server.connect("ann");
  for (const channel of ["room:stays", "room:ends"]) {
    await client.subscribe(channel, { token: channelToken("ann", channel, { exp: unixNow() + 2 }) });
  }
  assert.equal((await client.push("unsubscribe", "room:ends")).code, 2501);
  for (let n = 0; ; n++) {
    const { presence } = await client.call("presence", { channel: "room:stays" });
    if (presence[client.id].chan_info) {
      assert.deepEqual(presence[client.id].chan_info, { renewed: true });
      break;
    }
    assert.ok(n < 100, "the new info is never seen");
    await new Promise((done) => setTimeout(done, 50));
  }
  const brief = await server.open();
  await brief.call("connect", { token: sign({ sub: "brief", exp: unixNow() + 1 }) });
  await brief.expectClose(3005, "connection expired"); // a field that is not known renews nothing
  await server.logged(/mata in its result is unknown/);
});

test("what connect gives is looked at as a whole: a mistake in it is the server's, not the client's", async (t) => {
  const server = await startServer(t, {
    config: {
      hooks: {
        connect: lua(`function(ctx)
          local caps = { { channels = { "news" }, allow = "sub" } }
          return ({ caps = { user = "ann", caps = caps }, subs = { user = "ann", subs = { news = true } } })[ctx.data]
        end`),
      },
    },
  });
  for (const what of ["caps", "subs"]) {
    const client = await server.open();
    assert.equal((await client.refused("connect", { data: what }, 100)).temporary, true);
  }
  await server.logged(/hooks\.connect: subs in its result for news: it has options that are not a table/);
  await server.logged(/the connect hook gave caps that are not valid/);
});

test("client:subscribe takes a time with a fraction, and nothing that it does not understand", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { presence_update_interval: "100ms", expired_sub_close_delay: "100ms" },
      rpc: {
        enter: lua(`function(client, data)
          client:subscribe("news", { info = { seat = 1 }, data = "hi", expire_at = perigee.now() + 1.5 })
        end`),
        wrong: lua(`function(client)
          local problems = {}
          for i, options in ipairs {
            { expires = 1 }, { expire_at = "soon" }, { expire_at = -1 }, { data = print }, { override = { presense = true } },
          } do
            local ok, problem = pcall(client.subscribe, client, "news", options)
            problems[i] = ok and "taken" or problem:gsub("^.-client:subscribe: ", "")
          end
          return problems
        end`),
      },
    },
  });
  const client = await server.connect("ann");
  assert.deepEqual((await client.call("rpc", { method: "wrong" })).data, [
    "expires is an unknown option",
    "expire_at has the wrong type",
    "expire_at is not a Unix time in seconds",
    "data a function, coroutine or userdata has no JSON form",
    "override has an unknown option presense",
  ]);
  await client.call("rpc", { method: "enter" });
  assert.equal((await client.push("subscribe", "news")).data, "hi");
  await client.expectClose(3006); // it ends, as it was told
});
