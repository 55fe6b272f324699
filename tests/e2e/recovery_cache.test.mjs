import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { sleep, until } from "./lib/wait.mjs";

const base = {
  allow_subscribe_for_client: true,
  history_size: 100,
  history_ttl: "1m",
  force_recovery: true,
  force_recovery_mode: "cache",
};
const namespaces = {
  cache: { ...base, allow_tags_filter: true },
  auto: { ...base, auto_cache_recover: true, allow_tags_filter: true, allowed_delta_types: ["fossil"], delta_publish: true },
  short: { ...base, history_ttl: "1s" },
};

test("cache recovery", async (t) => {
  const server = await startServer(t, { config: { channel: { namespaces } } });
  let count = 0;
  async function channelWith(namespace, publications, tags = () => undefined) {
    const channel = `${namespace}:${++count}`;
    const { epoch } = await server.call("history", { channel });
    for (let n = 1; n <= publications; n++) await server.publish(channel, n, { tags: tags(n) });
    return { channel, epoch };
  }
  const subscribe = async (channel, more = {}) => {
    const client = await server.connect("1");
    client.result = await client.subscribe(channel, more);
    return client.result;
  };
  const common = (epoch) => ({ recoverable: true, positioned: true, epoch });

  await t.test("only the newest publication comes, from wherever the client was", async () => {
    const { channel, epoch } = await channelWith("cache", 12);
    const expected = { ...common(epoch), recovered: true, was_recovering: true, publications: [{ data: 12, offset: 12 }] };
    assert.deepEqual(await subscribe(channel, { recover: true, epoch: "" }), expected);
    for (const offset of [3, 11]) {
      assert.deepEqual(await subscribe(channel, { recover: true, offset, epoch }), { ...expected, offset });
    }
  });

  await t.test("a client of another epoch gets it, too", async () => {
    const { channel, epoch } = await channelWith("cache", 2);
    const result = await subscribe(channel, { recover: true, offset: 2, epoch: "other" });
    assert.equal(result.epoch, epoch);
    assert.equal(result.recovered, true);
    assert.deepEqual(result.publications, [{ data: 2, offset: 2 }]);
  });

  await t.test("who has it already gets nothing, and is recovered", async () => {
    const { channel, epoch } = await channelWith("cache", 2);
    assert.deepEqual(await subscribe(channel, { recover: true, offset: 2, epoch }), {
      ...common(epoch),
      offset: 2,
      recovered: true,
      was_recovering: true,
    });
  });

  await t.test("without asking nothing is recovered", async () => {
    const { channel, epoch } = await channelWith("cache", 2);
    assert.deepEqual(await subscribe(channel), { ...common(epoch), offset: 2 });
  });

  await t.test("an empty channel: not recovered; an expired one: only who has the position", async () => {
    const empty = await channelWith("cache", 0);
    assert.deepEqual(await subscribe(empty.channel, { recover: true }), {
      ...common(empty.epoch),
      was_recovering: true,
    });
    const { channel, epoch } = await channelWith("short", 3);
    await until(
      async () => (await server.call("history", { channel, limit: 1 })).publications.length === 0,
      "the history to expire",
    );
    const lost = await subscribe(channel, { recover: true, offset: 2, epoch });
    assert.deepEqual([lost.recovered, lost.offset, lost.publications], [undefined, 3, undefined]);
    const same = await subscribe(channel, { recover: true, offset: 3, epoch });
    assert.deepEqual([same.recovered, same.offset, same.publications], [true, 3, undefined]);
  });

  await t.test("flag 2 refuses what cannot be recovered, if recovery was asked for", async () => {
    const { channel } = await channelWith("cache", 0);
    const client = await server.connect("1");
    await client.refused("subscribe", { channel, recover: true, flag: 2 }, 112);
    const auto = await channelWith("auto", 0);
    assert.equal((await client.subscribe(auto.channel, { flag: 2 })).was_recovering, true);
  });

  await t.test("live publications follow without gap", async () => {
    const { channel } = await channelWith("cache", 5);
    const client = await server.connect("1");
    await client.subscribe(channel, { recover: true });
    await server.publish(channel, 6);
    assert.equal((await client.push("pub", channel)).offset, 6);
    await client.quiet();
  });

  await t.test("auto_cache_recover does so unasked", async () => {
    const { channel, epoch } = await channelWith("auto", 4);
    assert.deepEqual(await subscribe(channel), {
      ...common(epoch),
      recovered: true,
      was_recovering: true,
      publications: [{ data: 4, offset: 4 }],
    });
  });

  await t.test("… also for server-side subscriptions", async () => {
    const { channel, epoch } = await channelWith("auto", 4);
    const client = await server.connect("1", { subs: { [channel]: {} } });
    assert.deepEqual(client.connected.subs[channel], {
      ...common(epoch),
      recovered: true,
      was_recovering: true,
      publications: [{ data: 4, offset: 4 }],
    });
  });

  await t.test("with a filter it is the newest that matches", async () => {
    const { channel, epoch } = await channelWith("auto", 9, (n) => ({ odd: n % 2 ? "yes" : "no" }));
    const tf = (val) => ({ tf: { key: "odd", cmp: "eq", val } });
    assert.deepEqual((await subscribe(channel, tf("no"))).publications.map(({ offset }) => offset), [8]);
    assert.deepEqual((await subscribe(channel, tf("yes"))).publications.map(({ offset }) => offset), [9]);
    const none = await subscribe(channel, tf("perhaps"));
    assert.deepEqual([none.recovered, none.publications, none.offset], [undefined, undefined, 9]);
    const same = await subscribe(channel, { ...tf("no"), recover: true, offset: 9, epoch });
    assert.deepEqual([same.recovered, same.publications], [true, undefined]);
  });

  await t.test("with delta it is a whole one, and what follows may be a patch", async () => {
    const channel = `auto:${++count}`;
    const state = (n) => ({ n, text: "always the same text behind the number" });
    await server.publish(channel, state(1));
    const client = await server.connect("1");
    const { publications, delta } = await client.subscribe(channel, { delta: "fossil" });
    assert.equal(delta, true);
    assert.deepEqual(publications[0].data, JSON.stringify(state(1)));
    await server.publish(channel, state(2));
    assert.equal((await client.push("pub", channel)).delta, true);
  });

  for (const protobuf of [false, true]) {
    for (const delta of [undefined, "fossil"]) {
      const name = `${protobuf ? "Protobuf" : "JSON"}${delta ? " with delta" : ""}`;
      await t.test(`the SDK (${name}) always has the newest value`, async () => {
        const channel = `auto:${name.replaceAll(" ", "-")}`;
        const read = (data) => (protobuf ? JSON.parse(Buffer.from(data).toString()) : data).n;
        const publish = (n) => server.publish(channel, { n, text: "always the same text behind the number" });
        await publish(1);
        await publish(2);
        const client = server.sdk({ protobuf, minReconnectDelay: 200, maxReconnectDelay: 300 });
        const sub = record(client, channel, { delta });
        sub.subscribe();
        client.connect();
        await until(() => sub.got.length === 1, "the first value");
        await publish(3);
        await until(() => sub.got.length === 2, "a live value");
        client.cut();
        for (let n = 4; n <= 8; n++) await publish(n);
        await until(() => sub.got.length === 3, "the newest value");
        await publish(9);
        await until(() => sub.got.length === 4, "the next value");
        client.cut();
        await until(() => sub.contexts.length === 3, "the SDK to come back");
        await sleep(50);
        assert.deepEqual(
          sub.got.map(({ data }) => read(data)),
          [2, 3, 8, 9],
        );
        assert.ok(sub.contexts.every((ctx) => ctx.recovered));
      });
    }
  }
});
