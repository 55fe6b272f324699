import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sign, unixNow } from "./lib/token.mjs";

test("anonymous connections", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { allow_anonymous_connect_without_token: true },
      channel: {
        namespaces: {
          anon: {
            presence: true,
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            allow_presence_for_subscriber: true,
            allow_presence_for_anonymous: true,
          },
        },
      },
    },
  });

  await t.test("whoever brings no token is the user with the empty id", async () => {
    const client = await server.connect(null);
    await client.subscribe("anon:1");
    const { presence } = await client.call("presence", { channel: "anon:1" });
    assert.deepEqual(presence, { [client.id]: { user: "", client: client.id } });
  });

  await t.test("a connect without any field is enough", async () => {
    const client = await server.open();
    client.send('{"connect":{},"id":1}');
    assert.ok((await client.reply(1)).connect.client);
  });

  await t.test("a token without sub is anonymous too", async () => {
    const client = await server.open();
    const result = await client.call("connect", { token: sign({ exp: unixNow() + 60 }) });
    assert.equal(result.expires, true);
    await client.refused("subscribe", { channel: "plain" }, 103);
    await client.subscribe("anon:2");
  });

  await t.test("a bad token is not made anonymous", async () => {
    const client = await server.open();
    client.send({ id: 1, connect: { token: "bad" } });
    await client.expectClose(3500);
  });
});

test("insecure mode", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { insecure: true },
      channel: { namespaces: { closed: { presence: true, history_size: 5, history_ttl: "1m" } } },
    },
  });

  await t.test("nobody needs a token, and everything but private channels is allowed", async () => {
    const client = await server.connect(null);
    await client.subscribe("closed:1");
    await client.call("publish", { channel: "closed:1", data: 1 });
    await client.call("presence", { channel: "closed:1" });
    await client.call("history", { channel: "closed:1" });
    await client.refused("subscribe", { channel: "$closed:1" }, 103);
    await client.refused("subscribe", { channel: "nosuch:1" }, 102);
  });

  await t.test("a token is still verified, and its expiry is dropped", async () => {
    const bad = await server.open();
    bad.send({ id: 1, connect: { token: sign({ sub: "1" }, { secret: "other" }) } });
    await bad.expectClose(3500);
    const good = await server.open();
    const result = await good.call("connect", { token: sign({ sub: "1", exp: unixNow() + 60 }) });
    assert.equal(result.expires, undefined);
  });
});
