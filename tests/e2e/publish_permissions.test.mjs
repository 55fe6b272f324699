import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";

const NAMESPACES = {
  client: { allow_publish_for_client: true },
  sub: { allow_publish_for_subscriber: true, allow_subscribe_for_client: true },
  anon: { allow_publish_for_client: true, allow_publish_for_anonymous: true },
  subanon: {
    allow_publish_for_subscriber: true,
    allow_publish_for_anonymous: true,
    allow_subscribe_for_client: true,
    allow_subscribe_for_anonymous: true,
  },
  anononly: { allow_publish_for_anonymous: true },
  closed: { allow_subscribe_for_client: true },
  named: { allow_publish_for_client: true, channel_regex: "[a-z]+[0-9]$" },
};
// user, channel, subscribed first?, expected code
const ROWS = [
  ["42", "client:1", false, 0],
  ["42", "sub:1", false, 103],
  ["42", "sub:1", true, 0],
  ["42", "anon:1", false, 0],
  ["42", "anononly:1", false, 103],
  ["42", "closed:1", false, 103],
  ["42", "closed:1", true, 103],
  ["42", "plain", true, 103],
  ["42", "nosuch:1", false, 102],
  ["42", "client:grüße", false, 107],
  ["42", "$client:1", false, 0],
  ["42", "client:x#7", false, 0],
  ["42", `named:${"a".repeat(900)}1`, false, 0],
  ["42", `named:${"a".repeat(60000)}1`, false, 107], // and at once: matching it would take minutes
  ["", "client:1", false, 103],
  ["", "anon:1", false, 0],
  ["", "subanon:1", false, 103],
  ["", "subanon:1", true, 0],
  ["", "anononly:1", false, 103],
];

test("who may publish", async (t) => {
  const server = await startServer(t, {
    config: { client: { allow_anonymous_connect_without_token: true }, channel: { namespaces: NAMESPACES } },
  });
  const connect = async (user) => {
    const client = await server.open();
    client.id = (await client.call("connect", user === "" ? {} : { token: userToken(user) })).client;
    return client;
  };

  for (const [user, channel, subscribed, code] of ROWS) {
    await t.test(`${user || "anonymous"}${subscribed ? ", subscribed," : ""} to ${channel.slice(0, 40)}: ${code || "allowed"}`, async () => {
      const client = await connect(user);
      if (subscribed) await client.subscribe(channel);
      const reply = await client.command("publish", { channel, data: { n: 1 } });
      if (code) {
        assert.equal(reply.error?.code, code, JSON.stringify(reply));
        await client.quiet(50);
      } else {
        assert.deepEqual(reply.publish, {});
        if (subscribed) assert.deepEqual((await client.push("pub", channel)).data, { n: 1 });
      }
    });
  }

  await t.test("the publication names its publisher, and the publisher gets it too", async () => {
    const a = await connect("a");
    const b = await connect("b");
    await a.subscribe("sub:info");
    await b.subscribe("sub:info");
    await a.call("publish", { channel: "sub:info", data: "x" });
    for (const client of [a, b]) {
      assert.deepEqual(await client.push("pub", "sub:info"), { data: "x", info: { user: "a", client: a.id } });
    }
  });

  await t.test("a publication without data is answered 107", async () => {
    const client = await connect("42");
    await client.refused("publish", { channel: "client:1" }, 107);
    await client.call("publish", { channel: "client:1", data: null });
  });

  await t.test("a publisher whose subscription ended may not publish any more", async () => {
    const client = await connect("42");
    await client.subscribe("sub:end");
    await client.call("publish", { channel: "sub:end", data: 1 });
    await client.call("unsubscribe", { channel: "sub:end" });
    await client.refused("publish", { channel: "sub:end", data: 2 }, 103);
  });

  await t.test("a client cannot forge info, tags or offset", async () => {
    const reader = await connect("reader");
    const forger = await connect("forger");
    await reader.subscribe("sub:forge");
    await forger.subscribe("sub:forge");
    await forger.call("publish", {
      channel: "sub:forge",
      data: 1,
      info: { user: "admin", client: "x" },
      tags: { a: "b" },
      offset: 7,
    });
    assert.deepEqual(await reader.push("pub", "sub:forge"), { data: 1, info: { user: "forger", client: forger.id } });
  });
});
