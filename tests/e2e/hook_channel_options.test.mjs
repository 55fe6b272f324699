// The hook channel_options: options that a program computes for each channel.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { lua, merge, toLua } from "./lib/lua.mjs";
import { WORKERS, baseConfig, startServer } from "./lib/server.mjs";
import { sleep } from "./lib/wait.mjs";

const OPEN = { allow_subscribe_for_client: true };
const asked = (server, channel) => server.stderr.split(`"message":"asked ${channel}"`).length - 1;

test("options from a program", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          room: {
            ...OPEN,
            hooks: {
              channel_options: lua(`function(channel)
                perigee.log.info("asked " .. channel)
                local size = channel:match "^room:last(%d+)$"
                if size then
                  return { history_size = tonumber(size), history_ttl = "1m", force_recovery = true,
                    allow_history_for_subscriber = true }
                end
                if channel == "room:typo" then return { history_sise = 1 } end
                if channel == "room:type" then return { presence = 1 } end
                if channel == "room:raises" then error("no such luck") end
              end`),
            },
          },
        },
      },
    },
  });
  const clients = await Promise.all([1, 2, 3, 4].map((n) => server.connect(`u${n}`)));

  await t.test("hold on every worker and through both doors", async () => {
    for (let n = 1; n <= 5; n++) await server.publish("room:last3", { n });
    for (let n = 1; n <= 5; n++) await server.publish("room:last2", { n });
    for (const client of clients) {
      await client.subscribe("room:last3");
      const { publications, offset } = await client.call("history", { channel: "room:last3", limit: -1 });
      assert.deepEqual(publications.map(({ data }) => data.n), [3, 4, 5]);
      assert.equal(offset, 5);
    }
    assert.equal((await server.call("history", { channel: "room:last2", limit: -1 })).publications.length, 2);
    assert.equal((await server.api("history", { channel: "room:plain", limit: -1 })).error.code, 108);
  });
  await t.test("are asked for once on each worker that uses the channel", async () => {
    for (const channel of ["room:last3", "room:last2", "room:plain"]) assert.ok(asked(server, channel) <= WORKERS, channel);
    const before = asked(server, "room:last3");
    for (let n = 0; n < 10; n++) for (const client of clients) await client.call("history", { channel: "room:last3", limit: 0 });
    assert.equal(asked(server, "room:last3"), before);
  });
  await t.test("a recovered client gets the stream that they describe", async () => {
    const { epoch } = await clients[0].call("history", { channel: "room:last3", limit: 0 });
    const late = await server.connect("late");
    const result = await late.subscribe("room:last3", { recover: true, offset: 3, epoch });
    assert.deepEqual([result.recovered, result.publications.map(({ data }) => data.n)], [true, [4, 5]]);
    assert.equal((await late.refused("subscribe", { channel: "room:last3" }, 105)).code, 105);
  });
  await t.test("a mistake is error 100, and the log names it", async () => {
    const mistakes = {
      "room:typo": /history_sise: unknown channel option \(did you mean history_size\?\)/,
      "room:type": /presence: expected true or false/,
      "room:raises": /no such luck/,
    };
    for (const [channel, line] of Object.entries(mistakes)) {
      await clients[0].refused("subscribe", { channel }, 100);
      assert.equal((await server.api("publish", { channel, data: 1 })).error.code, 100);
      await server.logged(line);
    }
    await server.logged(/"option":"hooks.channel_options"/);
    await clients[0].assertAlive();
  });
});

test("options that a backend knows", async (t) => {
  const questions = [];
  const backend = await startBackend(t, async (request, response) => {
    const name = request.url.slice(1);
    questions.push(name);
    await sleep(100);
    response.end(JSON.stringify({ presence: name === "with" }));
  });
  const config = {
    channel: {
      without_namespace: { ...OPEN, allow_presence_for_subscriber: true },
      options_cache_ttl: "1h",
    },
    hooks: {
      channel_options: lua(`function(channel)
        local answer, problem = perigee.http.get("${backend.url}/" .. channel)
        if not answer then error(problem) end
        return perigee.json.decode(answer.body)
      end`),
    },
  };
  const server = await startServer(t, { config });
  const client = await server.connect("ann");

  await t.test("commands wait for the answer, in order", async () => {
    const replies = Promise.all([
      client.subscribe("with"),
      client.call("presence", { channel: "with" }),
      client.subscribe("without"),
      client.refused("presence", { channel: "without" }, 108),
    ]);
    const [, { presence }] = await replies;
    assert.deepEqual(Object.keys(presence), [client.id]);
    assert.deepEqual(
      client.log.map(({ message }) => message.id).filter(Boolean),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(questions, ["with", "without"]);
  });
  await t.test("a broadcast and an API subscribe wait too", async () => {
    const { responses } = await server.call("broadcast", { channels: ["b1", "b2", "b3"], data: 1 });
    assert.deepEqual(responses, [{ result: {} }, { result: {} }, { result: {} }]);
    await server.call("subscribe", { user: "ann", channel: "later" });
    await client.push("subscribe", "later");
  });
  await t.test("a reload asks anew", async () => {
    const before = questions.filter((name) => name === "with").length;
    writeFileSync(server.file, `local perigee = require "perigee"\nreturn ${toLua(merge(baseConfig(server.port), config))}\n`);
    server.kill("SIGHUP");
    await server.logged(/"message":"reloaded"/);
    await client.call("presence", { channel: "with" });
    assert.equal(questions.filter((name) => name === "with").length, before + 1);
  });
  await t.test("without its backend a channel is closed", async () => {
    const dead = await startServer(t, {
      config: merge(config, { hooks: { channel_options: lua(`function(channel) error(select(2, perigee.http.get "http://127.0.0.1:1/")) end`) } }),
    });
    const other = await dead.connect("ann");
    assert.equal((await other.refused("subscribe", { channel: "with" }, 100)).temporary, true);
    assert.equal((await dead.api("publish", { channel: "with", data: 1 })).error.code, 100);
  });
});

