import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { channelToken, unixNow } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const base = { allow_subscribe_for_client: true, allow_tags_filter: true };
const stream = { ...base, history_size: 1000, history_ttl: "1m", allow_history_for_client: true };
const namespaces = {
  tags: base,
  rec: { ...stream, force_recovery: true, allowed_delta_types: ["fossil"], delta_publish: true },
  closed: { allow_tags_filter: true },
  loud: { ...base, join_leave: true, force_push_join_leave: true },
};
const lang = (...vals) => ({ key: "lang", cmp: "in", vals });

test("filters by tags", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { recovery_max_publication_limit: 1000 },
      channel: { without_namespace: { allow_subscribe_for_client: true }, namespaces },
    },
  });
  let count = 0;
  const fresh = (namespace) => `${namespace}:${++count}`;
  const subscribe = async (channel, more) => {
    const client = await server.connect("1");
    client.result = await client.subscribe(channel, more);
    return client;
  };
  /** What a client has got once the marker is there, which has every tag. */
  const got = async (client, channel) => {
    await server.publish(channel, "end", { tags: { lang: "de", prio: "5" } });
    const out = [];
    for (;;) {
      const pub = await client.push("pub", channel);
      if (pub.data === "end") return out;
      out.push(pub.data);
    }
  };

  await t.test("each subscriber gets what its filter wants", async () => {
    const channel = fresh("tags");
    const filters = [
      [undefined, [1, 2, 3, 4]],
      [lang("de"), [1]],
      [lang("de", "en"), [1, 2]],
      [{ key: "lang", cmp: "neq", val: "en" }, [1, 3, 4]],
      [{ op: "and", nodes: [lang("de"), { op: "not", nodes: [{ key: "prio", cmp: "lt", val: "3" }] }] }, []],
      [{ op: "or", nodes: [lang("en"), { key: "prio", cmp: "gte", val: "4.50" }] }, [2, 3]],
    ];
    const clients = await Promise.all(filters.map(([tf]) => subscribe(channel, tf ? { tf } : {})));
    await server.publish(channel, 1, { tags: { lang: "de", prio: "1" } });
    await server.publish(channel, 2, { tags: { lang: "en", prio: "2" } });
    await server.publish(channel, 3, { tags: { prio: "9" } });
    await server.publish(channel, 4);
    for (const [i, [tf, expected]] of filters.entries()) {
      assert.deepEqual(await got(clients[i], channel), expected, JSON.stringify(tf));
    }
  });

  await t.test("tags arrive with the publication", async () => {
    const channel = fresh("tags");
    const client = await subscribe(channel, { tf: lang("de") });
    await server.publish(channel, 1, { tags: { lang: "de", other: "\u00fc" } });
    assert.deepEqual((await client.push("pub", channel)).tags, { lang: "de", other: "\u00fc" });
  });

  await t.test("a broken filter, or one that is not allowed: error 107, and the connection lives", async () => {
    const client = await server.connect("1");
    const broken = [
      {},
      { key: "a" },
      { key: "a", cmp: "eq" },
      { key: "a", cmp: "like", val: "x" },
      { op: "xor", nodes: [lang("de")] },
      { op: "not", nodes: [lang("de"), lang("en")] },
      { op: "and", nodes: [lang("de"), {}] },
      { key: "a", cmp: "in", vals: Array.from({ length: 2000 }, (_, i) => `${i}`) },
      { op: "or", nodes: Array.from({ length: 300 }, () => lang("de")) },
      { key: "a", cmp: "eq", val: "x".repeat(20000) },
    ];
    for (const tf of broken) await client.refused("subscribe", { channel: "tags:x", tf }, 107);
    await client.refused("subscribe", { channel: "plain", tf: lang("de") }, 107);
    await client.subscribe("tags:x", { tf: lang("de") });
  });

  await t.test("who may not subscribe is told that first", async () => {
    const client = await server.connect("1");
    await client.refused("subscribe", { channel: "closed:x", tf: {} }, 103);
    await client.refused("subscribe", { channel: "nowhere:x", tf: {} }, 102);
  });

  await t.test("a filter of 10 000 levels ends the connection, nobody else's", async () => {
    const neighbour = await server.connect("2");
    const deep = '{"op":"not","nodes":['.repeat(10000) + '{"cmp":"ex"}' + "]}".repeat(10000);
    for (const text of [deep, '{"op":"not","nodes":['.repeat(60) + '{"cmp":"ex"}' + "]}".repeat(60)]) {
      const client = await server.connect("1");
      client.send(`{"id":9,"subscribe":{"channel":"tags:x","tf":${text}}}`);
      const close = await client.closed;
      assert.ok([1009, 3501].includes(close.code), JSON.stringify(close));
    }
    await neighbour.assertAlive();
  });

  await t.test("what is filtered out moves the position: no gap, no false alarm", async () => {
    const channel = fresh("rec");
    const client = await subscribe(channel, { tf: lang("de") });
    for (let n = 1; n <= 30; n++) await server.publish(channel, n, { tags: { lang: n % 10 ? "en" : "de" } });
    const offsets = [];
    for (let i = 0; i < 3; i++) offsets.push((await client.push("pub", channel)).offset);
    assert.deepEqual(offsets, [10, 20, 30]);
    await client.quiet();
  });

  await t.test("what is recovered is filtered after the check for gaps", async () => {
    const channel = fresh("rec");
    for (let n = 1; n <= 20; n++) await server.publish(channel, n, { tags: { lang: n % 5 ? "en" : "de" } });
    const { epoch } = await server.call("history", { channel });
    const client = await subscribe(channel, { tf: lang("de"), recover: true, offset: 6, epoch });
    assert.equal(client.result.recovered, true);
    assert.equal(client.result.offset, 6);
    assert.deepEqual(
      client.result.publications.map(({ offset }) => offset),
      [10, 15, 20],
    );
    const none = await subscribe(channel, { tf: lang("fr"), recover: true, offset: 6, epoch });
    assert.equal(none.result.recovered, true);
    assert.equal(none.result.publications, undefined);
    await server.publish(channel, 21, { tags: { lang: "fr" } });
    assert.equal((await none.push("pub", channel)).offset, 21);
    await client.quiet();
  });

  await t.test("history and joins are not filtered", async () => {
    const channel = fresh("rec");
    const client = await subscribe(channel, { tf: lang("de") });
    for (let n = 1; n <= 3; n++) await server.publish(channel, n, { tags: { lang: "en" } });
    const { publications } = await client.call("history", { channel, limit: 10 });
    assert.equal(publications.length, 3);
    const loud = fresh("loud");
    const listener = await subscribe(loud, { tf: lang("de") });
    assert.equal((await listener.push("join", loud)).info.user, "1");
  });

  await t.test("a filter and delta together: the filter, without delta", async () => {
    const channel = fresh("rec");
    const client = await subscribe(channel, { tf: lang("de"), delta: "fossil" });
    assert.equal(client.result.delta, undefined);
    await server.publish(channel, { a: 1 }, { tags: { lang: "en" } });
    await server.publish(channel, { a: 2 }, { tags: { lang: "de" } });
    const pub = await client.push("pub", channel);
    assert.deepEqual([pub.data, pub.offset, pub.delta], [{ a: 2 }, 2, undefined]);
  });

  await t.test("a filter outlives the renewal of the subscription's info", async () => {
    const channel = fresh("tags");
    const client = await server.connect("1");
    const token = (more) => channelToken("1", channel, { exp: unixNow() + 100, ...more });
    await client.subscribe(channel, { token: token(), tf: lang("de") });
    await client.call("sub_refresh", { channel, token: token({ info: { a: 1 } }) });
    await server.publish(channel, 1, { tags: { lang: "en" } });
    assert.deepEqual(await got(client, channel), []);
  });

  for (const protobuf of [false, true]) {
    const name = protobuf ? "Protobuf" : "JSON";
    await t.test(`the SDK (${name}) filters, and recovers filtered`, async () => {
      const channel = `rec:${name}`;
      const client = server.sdk({ protobuf, minReconnectDelay: 200, maxReconnectDelay: 400 });
      const sub = record(client, channel, { tagsFilter: lang("de") });
      sub.subscribe();
      client.connect();
      await sub.whenSubscribed();
      const send = async (from, to) => {
        for (let n = from; n <= to; n++) await server.publish(channel, n, { tags: { lang: n % 4 ? "en" : "de" } });
      };
      await send(1, 10);
      await until(() => sub.got.length === 2, "two publications");
      client.cut();
      await send(11, 22);
      await until(() => sub.contexts.length === 2, "the SDK to come back");
      assert.equal(sub.contexts[1].recovered, true);
      await send(23, 24);
      await until(() => sub.got.length === 6, "six publications");
      assert.deepEqual(
        sub.got.map(({ offset }) => offset),
        [4, 8, 12, 16, 20, 24],
      );
    });
  }
});
