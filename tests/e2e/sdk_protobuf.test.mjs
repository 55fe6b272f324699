// The SDK's Protobuf build goes through everything a client may ask for; what it sends are bytes.
import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const bytes = (...values) => Uint8Array.from(values);
const text = (value) => new TextEncoder().encode(value);
const plain = (data) => Buffer.from(data).toString();
/** Neither JSON nor UTF-8, with the bytes that text protocols stumble over. */
const BINARY = bytes(0, 255, 10, 13, 0xc3, 0x28, 34, 0);

const CONFIG = {
  rpc: { echo: lua("function(client, data) return data end") },
  channel: {
    namespaces: {
      all: {
        allow_subscribe_for_client: true,
        allow_publish_for_subscriber: true,
        allow_presence_for_subscriber: true,
        allow_history_for_subscriber: true,
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        history_size: 100,
        history_ttl: "5m",
        force_recovery: true,
      },
    },
  },
};

test("the SDK over Protobuf", async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const subscribed = async (channel, user) => {
    const client = server.sdk({ protobuf: true, user });
    const sub = record(client, channel);
    sub.subscribe();
    client.connect();
    await sub.whenSubscribed();
    return { client, sub };
  };

  await t.test("bytes that are no text arrive as they were sent", async () => {
    const one = await subscribed("all:bytes", "1");
    const two = await subscribed("all:bytes", "2");
    for (const data of [BINARY, bytes(0), text('{"a":1.0}')]) await one.sub.publish(data);
    await until(() => two.sub.got.length === 3 && one.sub.got.length === 3, "three publications");
    for (const { sub } of [one, two]) {
      assert.deepEqual(sub.got.map(({ data }) => Buffer.from(data)), [BINARY, bytes(0), text('{"a":1.0}')].map(Buffer.from));
      assert.deepEqual(sub.got.map(({ offset }) => Number(offset)), [1, 2, 3]);
      assert.deepEqual(sub.got.map(({ info }) => info.user), ["1", "1", "1"]);
    }
  });

  await t.test("the API's JSON arrives byte for byte", async () => {
    const { sub } = await subscribed("all:api");
    await server.publish("all:api", { n: 1 }, { tags: { team: "a" } });
    await until(() => sub.got.length, "the publication");
    assert.equal(plain(sub.got[0].data), '{"n":1}');
    assert.deepEqual({ ...sub.got[0].tags }, { team: "a" });
  });

  await t.test("presence, its counts, joins and leaves", async () => {
    const one = await subscribed("all:members", "1");
    const events = [];
    one.sub.on("join", ({ info }) => events.push(`join ${info.user}`));
    one.sub.on("leave", ({ info }) => events.push(`leave ${info.user}`));
    const two = await subscribed("all:members", "2");
    await until(() => events.includes("join 2"), "the join");
    const { clients } = await one.sub.presence();
    assert.deepEqual(Object.values(clients).map(({ user }) => user).sort(), ["1", "2"]);
    const { numClients, numUsers } = await one.sub.presenceStats();
    assert.deepEqual([numClients, numUsers], [2, 2]);
    two.client.cut();
    await until(() => events.includes("leave 2"), "the leave");
  });

  await t.test("history forwards, backwards and from a position", async () => {
    const { sub } = await subscribed("all:history");
    for (let n = 1; n <= 5; n++) await sub.publish(bytes(n));
    const read = async (options) => {
      const { publications, offset, epoch } = await sub.history(options);
      assert.equal(Number(offset), 5);
      return { epoch, got: publications.map(({ data, offset: at }) => [data[0], Number(at)]) };
    };
    const { epoch, got } = await read({ limit: 2 });
    assert.deepEqual(got, [[1, 1], [2, 2]]);
    assert.deepEqual((await read({ limit: 2, reverse: true })).got, [[5, 5], [4, 4]]);
    assert.deepEqual((await read({ limit: -1, since: { offset: 3, epoch } })).got, [[4, 4], [5, 5]]);
    assert.deepEqual((await read({ limit: 0 })).got, []);
    await assert.rejects(sub.history({ limit: -1, since: { offset: 3, epoch: "other" } }), { code: 112 });
  });

  await t.test("what was missed is recovered in order, in bytes", async () => {
    const { client, sub } = await subscribed("all:missed");
    await sub.publish(bytes(1));
    await until(() => sub.got.length === 1, "the first publication");
    client.disconnect();
    for (let n = 2; n <= 4; n++) await server.publish("all:missed", n);
    client.connect();
    await until(() => sub.got.length === 4, "what was missed");
    assert.deepEqual(sub.got.map(({ data }) => data[0]), [1, 0x32, 0x33, 0x34]);
    const { recovered, wasRecovering } = sub.contexts.at(-1);
    assert.deepEqual({ recovered, wasRecovering }, { recovered: true, wasRecovering: true });
  });

  await t.test("RPC data come back as they went", async () => {
    const { client } = await subscribed("all:rpc");
    const { data } = await client.rpc("echo", BINARY);
    assert.deepEqual(Buffer.from(data), Buffer.from(BINARY));
    await assert.rejects(client.rpc("none", bytes()), { code: 104 });
  });
});
