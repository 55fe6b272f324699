import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { channelToken, userToken } from "./lib/token.mjs";

const CLOSED = { presence: true, history_size: 5, history_ttl: "60s" };

test("capabilities", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: { namespaces: { room: CLOSED } },
      hooks: {
        connect: lua(`function(ctx)
          if ctx.user == "hooked" then return { caps = { { channels = { "room:hook" }, allow = { "sub", "pub" } } } } end
        end`),
      },
    },
  });
  const connect = (caps, user = "ann") => server.connect(null, { token: userToken(user, { caps }) });

  await t.test("of a token grant what the namespace does not", async () => {
    const client = await connect([{ channels: ["room:1"], allow: ["sub", "pub", "prs", "hst"] }]);
    await client.subscribe("room:1");
    await client.call("publish", { channel: "room:1", data: 1 });
    assert.equal((await client.push("pub", "room:1")).data, 1);
    await client.call("presence", { channel: "room:1" });
    await client.call("presence_stats", { channel: "room:1" });
    await client.call("history", { channel: "room:1", limit: 1 });
    for (const method of ["subscribe", "presence", "history"]) await client.refused(method, { channel: "room:2" }, 103);
    await client.refused("publish", { channel: "room:2", data: 1 }, 103);
  });
  await t.test("grant one by one", async () => {
    const client = await connect([{ channels: ["room:1"], allow: ["pub"] }]);
    await client.call("publish", { channel: "room:1", data: 1 });
    await client.refused("subscribe", { channel: "room:1" }, 103);
    await client.refused("history", { channel: "room:1" }, 103);
  });
  await t.test("match wildcards and regular expressions", async () => {
    const client = await connect([
      { channels: ["room:a*"], match: "wildcard", allow: ["sub"] },
      { channels: ["^room:[0-9]+$"], match: "regex", allow: ["sub"] },
    ]);
    await client.subscribe("room:abc");
    await client.subscribe("room:17");
    await client.refused("subscribe", { channel: "room:x17" }, 103);
  });
  await t.test("do not open private channels or unknown namespaces", async () => {
    const client = await connect([{ channels: ["*"], match: "wildcard", allow: ["sub"] }]);
    await client.refused("subscribe", { channel: "$room:1" }, 103);
    await client.refused("subscribe", { channel: "no:1" }, 102);
  });
  await t.test("may come from the connect hook", async () => {
    const client = await connect(undefined, "hooked");
    await client.subscribe("room:hook");
    await client.call("publish", { channel: "room:hook", data: 1 });
    await client.refused("subscribe", { channel: "room:other" }, 103);
  });
  await t.test("of a subscription token hold for its channel", async () => {
    const client = await connect(undefined);
    await client.subscribe("room:3", { token: channelToken("ann", "room:3", { allow: ["pub", "hst"] }) });
    await client.call("publish", { channel: "room:3", data: 1 });
    await client.call("history", { channel: "room:3" });
    await client.refused("presence", { channel: "room:3" }, 103);
  });
  await t.test("that are broken make the token invalid", async () => {
    for (const caps of ["all", [{ channels: "room:1", allow: ["sub"] }], [{ channels: ["("], match: "regex", allow: ["sub"] }]]) {
      const client = await server.open();
      client.send({ id: 1, connect: { token: userToken("ann", { caps }) } });
      await client.expectClose(3500, "invalid token");
    }
  });
});
