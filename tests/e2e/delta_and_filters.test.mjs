import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const STREAM = { allow_subscribe_for_client: true, history_size: 50, history_ttl: "60s", force_recovery: true };
const big = (n) => ({ n, text: "the same long text in every publication ".repeat(20), end: n * 2 });

test("delta compression", async (t) => {
  const server = await startServer(t, {
    config: { channel: { namespaces: { room: { ...STREAM, allowed_delta_types: ["fossil"], delta_publish: true }, plain: STREAM } } },
  });

  await t.test("the SDK decodes patches to what was published, and recovers", async () => {
    const client = server.sdk({ token: userToken("ann") });
    const sub = client.newSubscription("room:sdk", { delta: "fossil" });
    const got = [];
    sub.on("publication", (pub) => got.push(pub.data));
    sub.subscribe();
    client.connect();
    await sub.ready(8000);
    for (let n = 1; n <= 5; n++) await server.publish("room:sdk", big(n));
    await until(() => got.length === 5, "five publications");
    client.disconnect();
    for (let n = 6; n <= 8; n++) await server.publish("room:sdk", big(n));
    client.connect();
    await until(() => got.length === 8, "three recovered ones");
    await server.publish("room:sdk", big(9));
    await until(() => got.length === 9, "a live one again");
    assert.deepEqual(got, [1, 2, 3, 4, 5, 6, 7, 8, 9].map(big));
  });
  await t.test("on the wire: the first in full as a string, then small patches", async () => {
    const client = await server.connect("bob");
    assert.equal((await client.subscribe("room:wire", { delta: "fossil" })).delta, true);
    for (let n = 1; n <= 2; n++) await server.publish("room:wire", big(n));
    const first = await client.push("pub", "room:wire");
    assert.deepEqual(JSON.parse(first.data), big(1));
    assert.equal(first.delta, undefined);
    const second = await client.push("pub", "room:wire");
    assert.equal(second.delta, true);
    assert.ok(second.data.length < 100, second.data);
  });
  await t.test("who did not ask gets the data as it is", async () => {
    const client = await server.connect("bob");
    assert.equal((await client.subscribe("room:2")).delta, undefined);
    await server.publish("room:2", big(1));
    assert.deepEqual((await client.push("pub", "room:2")).data, big(1));
  });
  await t.test("where it is not allowed the wish is ignored", async () => {
    const client = await server.connect("bob");
    assert.equal((await client.subscribe("plain:1", { delta: "fossil" })).delta, undefined);
    await server.publish("plain:1", big(1));
    assert.deepEqual((await client.push("pub", "plain:1")).data, big(1));
  });
});

test("tag filters", async (t) => {
  const server = await startServer(t, { config: { channel: { namespaces: { room: { ...STREAM, allow_tags_filter: true }, plain: STREAM } } } });
  const leaf = { key: "team", cmp: "eq", val: "red" };

  await t.test("pass what matches, and positions go on without a gap", async () => {
    const client = await server.connect("ann");
    const from = await client.subscribe("room:1", { tf: leaf });
    for (const [n, tags] of [{ team: "blue" }, { team: "red" }, undefined, { team: "red" }].entries()) {
      await server.publish("room:1", n, { tags });
    }
    assert.deepEqual([(await client.push("pub", "room:1")).data, (await client.push("pub", "room:1")).data], [1, 3]);
    await client.quiet();
    await client.call("unsubscribe", { channel: "room:1" });
    const again = await client.subscribe("room:1", { tf: leaf, recover: true, offset: 0, epoch: from.epoch });
    assert.equal(again.recovered, true);
    assert.deepEqual(again.publications.map((pub) => pub.data), [1, 3]);
  });
  await t.test("and, or, not, numbers", async () => {
    const client = await server.connect("ann");
    const tf = { op: "and", nodes: [{ op: "not", nodes: [leaf] }, { key: "size", cmp: "gt", val: "9.5" }] };
    await client.subscribe("room:2", { tf });
    for (const tags of [{ team: "blue", size: "10" }, { team: "red", size: "10" }, { team: "blue", size: "9" }, {}]) {
      await server.publish("room:2", tags, { tags });
    }
    assert.deepEqual((await client.push("pub", "room:2")).data, { team: "blue", size: "10" });
    await client.quiet();
  });
  await t.test("not allowed, or no filter: 107", async () => {
    const client = await server.connect("ann");
    await client.refused("subscribe", { channel: "plain:1", tf: leaf }, 107);
    for (const tf of [{ cmp: "eq" }, { key: "a", cmp: "like", val: "b" }, { op: "not", nodes: [] }, { key: "a", cmp: "in" }]) {
      await client.refused("subscribe", { channel: "room:9", tf }, 107);
    }
  });
});

test("cache recovery", async (t) => {
  const cache = { ...STREAM, force_recovery_mode: "cache" };
  const server = await startServer(t, { config: { channel: { namespaces: { last: cache, auto: { ...cache, auto_cache_recover: true } } } } });
  for (const channel of ["last:1", "auto:1"]) for (let n = 1; n <= 3; n++) await server.publish(channel, n);

  await t.test("gives the newest publication to who asks", async () => {
    const client = await server.connect("ann");
    const result = await client.subscribe("last:1", { recover: true });
    assert.deepEqual([result.recovered, result.publications.map((pub) => pub.data)], [true, [3]]);
    const other = await server.connect("bob");
    assert.equal((await other.subscribe("last:1")).publications, undefined);
  });
  await t.test("gives nothing to who has it", async () => {
    const client = await server.connect("ann");
    const { epoch } = await client.subscribe("last:1");
    await client.call("unsubscribe", { channel: "last:1" });
    const result = await client.subscribe("last:1", { recover: true, offset: 3, epoch });
    assert.deepEqual([result.recovered, result.publications], [true, undefined]);
  });
  await t.test("automatically, without being asked", async () => {
    const client = await server.connect("ann");
    const result = await client.subscribe("auto:1");
    assert.deepEqual([result.recovered, result.publications.map((pub) => pub.data)], [true, [3]]);
  });
});
