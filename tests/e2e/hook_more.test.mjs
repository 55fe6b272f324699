import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { lua, toLua } from "./lib/lua.mjs";
import { WORKERS, baseConfig, startServer } from "./lib/server.mjs";
import { sleep } from "./lib/wait.mjs";
import { channelToken, sign, unixNow } from "./lib/token.mjs";

const ROOM = { allow_subscribe_for_client: true, allow_publish_for_client: true };

test("the transform hook", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          room: {
            ...ROOM,
            history_size: 10,
            history_ttl: "60s",
            hooks: {
              transform: lua(`function(req)
                if req.data.drop then return false end
                if req.data.fail then error("boom") end
                if req.data.sleep then perigee.sleep(0.05) end
                if req.data.change then return { data = { was = req.data.change, channel = req.channel }, tags = { a = "b" } } end
              end`),
            },
          },
        },
      },
    },
  });
  const client = await server.connect("ann");
  await client.subscribe("room:1");

  await t.test("sees every publication, the API's and a client's, and may change it", async () => {
    await server.publish("room:1", { change: 1 });
    assert.deepEqual(await client.push("pub", "room:1").then(({ data, tags }) => ({ data, tags })), {
      data: { was: 1, channel: "room:1" },
      tags: { a: "b" },
    });
    await client.call("publish", { channel: "room:1", data: { change: 2 } });
    const pub = await client.push("pub", "room:1");
    assert.deepEqual([pub.data, pub.info.user], [{ was: 2, channel: "room:1" }, "ann"]);
  });
  await t.test("what it does not change goes out byte for byte", async () => {
    client.send('{"id":70,"publish":{"channel":"room:1","data":{"b":1.0,"a":[],"n":12345678901234567890}}}');
    await client.reply(70);
    const { text } = await client.pushEntry("pub", "room:1");
    assert.ok(text.includes('"data":{"b":1.0,"a":[],"n":12345678901234567890}'), text);
  });
  await t.test("false drops it: accepted, stored nowhere, delivered to nobody", async () => {
    assert.deepEqual(await server.publish("room:1", { drop: true }), {});
    await client.call("publish", { channel: "room:1", data: { drop: true } });
    await client.quiet();
    assert.equal((await server.call("history", { channel: "room:1" })).offset, 3);
  });
  await t.test("may wait", async () => {
    await server.publish("room:1", { sleep: true });
    assert.deepEqual((await client.push("pub", "room:1")).data, { sleep: true });
  });
  await t.test("an error refuses the publication", async () => {
    assert.equal((await server.api("publish", { channel: "room:1", data: { fail: 1 } })).error.code, 100);
    await client.refused("publish", { channel: "room:1", data: { fail: 1 } }, 100);
    await client.quiet();
  });
});

test("the message hook", async (t) => {
  const server = await startServer(t, {
    config: {
      hooks: {
        message: lua(`function(client, data)
          if data.bye then return perigee.disconnect_code(4200, "bye") end
          client:send({ echo = data })
        end`),
      },
    },
  });
  const client = await server.connect("ann");
  client.send({ send: { data: { n: 1 } } });
  assert.deepEqual((await client.push("message")).data, { echo: { n: 1 } });
  client.send({ send: { data: { bye: true } } });
  await client.expectClose(4200, "bye");
});

test("the presence and history hooks", async (t) => {
  const decide = (what) =>
    lua(`function(client, req)
      if client.user == "yes" then return true end
      if client.user == "no" then return false end
      if client.user == "error" then return perigee.error(480, "${what}") end
    end`);
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          room: { ...ROOM, presence: true, history_size: 5, history_ttl: "60s", hooks: { presence: decide("p"), history: decide("h") } },
          open: {
            ...ROOM,
            presence: true,
            history_size: 5,
            history_ttl: "60s",
            allow_presence_for_client: true,
            allow_history_for_client: true,
            hooks: { presence: decide("p"), history: decide("h") },
          },
        },
      },
    },
  });
  const calls = (channel) => [
    ["presence", { channel }],
    ["presence_stats", { channel }],
    ["history", { channel, limit: 5 }],
  ];
  await t.test("true allows, false refuses, nil leaves it to the rules, an error is told", async () => {
    const [yes, no, none, failing] = await Promise.all(["yes", "no", "none", "error"].map((user) => server.connect(user)));
    for (const [method, params] of calls("room:1")) {
      await yes.call(method, params);
      await no.refused(method, params, 103);
      await none.refused(method, params, 103);
      await failing.refused(method, params, 480);
    }
    for (const [method, params] of calls("open:1")) {
      await no.refused(method, params, 103);
      await none.call(method, params);
    }
  });
});

test("the refresh hook", async (t) => {
  const server = await startServer(t, {
    config: {
      hooks: {
        refresh: lua(`function(client)
          if client.user == "stays" then return { expire_at = perigee.now() + 3600, info = { renewed = true } } end
          if client.user == "goes" then return { expired = true } end
        end`),
      },
      channel: { without_namespace: { presence: true, allow_presence_for_client: true } },
    },
  });
  const open = async (user) => {
    const client = await server.open();
    client.result = await client.call("connect", { token: sign({ sub: user, exp: unixNow() + 2 }) });
    return client;
  };

  await t.test("renews, or ends with 3005; the client is not told to refresh", async () => {
    const [stays, goes, silent] = await Promise.all(["stays", "goes", "silent"].map(open));
    assert.equal(stays.result.expires, undefined);
    await goes.expectClose(3005, "connection expired");
    await silent.expectClose(3005, "connection expired");
    await stays.subscribe("later");
    const { presence } = await stays.call("presence", { channel: "later" });
    assert.deepEqual(Object.values(presence)[0].conn_info, { renewed: true });
  });
  await t.test("a refresh command is a bad request then", async () => {
    const client = await server.connect("ann");
    client.send({ id: 9, refresh: { token: sign({ sub: "ann" }) } });
    await client.expectClose(3501, "bad request");
  });
});

test("the sub_refresh hook", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { presence_update_interval: "200ms", expired_sub_close_delay: "100ms" },
      channel: {
        namespaces: {
          room: {
            ...ROOM,
            hooks: {
              sub_refresh: lua(`function(client, req)
                if req.channel == "room:stays" then return { expire_at = perigee.now() + 3600 } end
              end`),
            },
          },
        },
      },
    },
  });
  const client = await server.connect("ann");
  for (const channel of ["room:stays", "room:goes"]) {
    const token = channelToken("ann", channel, { exp: unixNow() + 2 });
    assert.equal((await client.subscribe(channel, { token })).expires, undefined);
  }
  assert.equal((await client.push("unsubscribe", "room:goes")).code, 2501);
  await sleep(1000);
  await server.publish("room:stays", 1);
  assert.equal((await client.push("pub", "room:stays")).data, 1);
  await client.quiet();
});

test("the life of a worker's state: each of its hooks once on every worker", async (t) => {
  const life = {
    start: lua(`function() perigee.log.info("hook start") end`),
    stop: lua(`function() perigee.log.info("hook stop") end`),
    reload: lua(`function(old)
      perigee.log.info("hook reload", { size = old.channel.namespaces.room.history_size, hooks = next(old.hooks) == nil })
    end`),
  };
  const namespaces = { room: { history_size: 7, history_ttl: "1m" } };
  const server = await startServer(t, { config: { hooks: life, channel: { namespaces } } });
  const count = (what) => server.stderr.split(`"message":"hook ${what}"`).length - 1;
  assert.deepEqual(["start", "reload", "stop"].map(count), [WORKERS, 0, 0]);
  const config = baseConfig(server.port);
  config.hooks = life;
  writeFileSync(server.file, `local perigee = require "perigee"\nreturn ${toLua(config)}\n`);
  server.child.kill("SIGHUP");
  await server.logged(/"message":"reloaded"/);
  assert.deepEqual(["start", "reload", "stop"].map(count), [WORKERS, WORKERS, 0]);
  for (const [line] of server.stderr.matchAll(/^.*hook reload.*$/gm)) {
    assert.deepEqual([JSON.parse(line).size, JSON.parse(line).hooks], [7, "true"]);
  }
  await server.stop();
  assert.deepEqual(["start", "reload", "stop"].map(count), [WORKERS, WORKERS, WORKERS]);
});
