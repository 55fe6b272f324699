import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";

test("the personal channel", async (t) => {
  const server = await startServer(t, {
    config: {
      client: {
        allow_anonymous_connect_without_token: true,
        subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: "user" },
      },
      channel: { namespaces: { user: { presence: true } } },
    },
  });

  await t.test("is in the connect reply, and what is published there comes", async () => {
    const client = await server.connect("42");
    assert.deepEqual(client.connected.subs, { "user:#42": {} });
    await server.publish("user:#42", { hi: 1 });
    assert.deepEqual((await client.push("pub", "user:#42")).data, { hi: 1 });
  });
  await t.test("anonymous users have none", async () => {
    assert.equal((await server.connect(null)).connected.subs, undefined);
  });
});

test("a single connection per user", async (t) => {
  const personal = { enabled: true, personal_channel_namespace: "user", single_connection: true };
  const server = await startServer(t, {
    config: { client: { subscribe_to_user_personal_channel: personal }, channel: { namespaces: { user: { presence: true } } } },
  });
  for (let n = 0; n < 4; n++) {
    const first = await server.connect("ann");
    const second = await server.connect("ann");
    await first.expectClose(3504, "connection limit");
    await second.subscribe("news");
    second.ws.close();
    await second.closed;
  }
});

test("the user id from a header", async (t) => {
  const server = await startServer(t, { config: { client: { user_id_http_header: "X-User" }, channel: { without_namespace: { presence: true, allow_presence_for_client: true } } } });
  const users = async (client) => {
    await client.subscribe("who");
    return Object.values((await client.call("presence", { channel: "who" })).presence).map((info) => info.user);
  };

  await t.test("counts when there is no token", async () => {
    const client = await server.open({ headers: { "X-User": "proxied" } });
    await client.call("connect");
    assert.deepEqual(await users(client), ["proxied"]);
    client.ws.close();
    await client.closed;
  });
  await t.test("is nothing beside a token", async () => {
    const client = await server.connect("ann", {}, { headers: { "X-User": "proxied" } });
    assert.ok((await users(client)).includes("ann"));
  });
  await t.test("without either: 3501", async () => {
    const client = await server.open();
    client.send({ id: 1, connect: {} });
    await client.expectClose(3501, "bad request");
  });
});
