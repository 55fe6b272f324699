import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sleep } from "./lib/wait.mjs";

test("what a resubscribe recovers", async (t) => {
  const base = { allow_subscribe_for_client: true, history_ttl: "1m" };
  const server = await startServer(t, {
    config: {
      client: { recovery_max_publication_limit: 3 },
      channel: {
        namespaces: {
          rec: { ...base, history_size: 3, force_recovery: true },
          big: { ...base, history_size: 100, force_recovery: true },
          short: { ...base, history_size: 10, history_ttl: "1s", force_recovery: true },
          ask: { ...base, history_size: 10, allow_recovery: true },
          mute: { ...base, history_size: 10 },
          none: { allow_subscribe_for_client: true },
        },
      },
    },
  });
  let count = 0;
  /** A fresh channel with so many publications. */
  async function channelWith(namespace, publications) {
    const channel = `${namespace}:${++count}`;
    let position = { offset: 0, epoch: (await server.call("history", { channel })).epoch };
    for (let n = 1; n <= publications; n++) position = await server.publish(channel, n);
    return { channel, epoch: position.epoch, top: position.offset };
  }
  const recover = async (channel, offset, epoch, more = {}) => {
    const client = await server.connect("1");
    return client.subscribe(channel, { recover: true, offset, epoch, ...more });
  };
  const pubs = (...offsets) => offsets.map((offset) => ({ data: offset, offset }));

  await t.test("a first subscribe tells the position", async () => {
    const { channel, epoch } = await channelWith("rec", 2);
    const client = await server.connect("1");
    assert.deepEqual(await client.subscribe(channel), { recoverable: true, positioned: true, epoch, offset: 2 });
  });

  await t.test("nothing missed: recovered, no publications", async () => {
    const { channel, epoch } = await channelWith("rec", 10);
    assert.deepEqual(await recover(channel, 10, epoch), {
      recoverable: true,
      positioned: true,
      epoch,
      offset: 10,
      recovered: true,
      was_recovering: true,
    });
  });

  await t.test("two missed: both come, and the offset is the one asked from", async () => {
    const { channel, epoch } = await channelWith("rec", 12);
    assert.deepEqual(await recover(channel, 10, epoch), {
      recoverable: true,
      positioned: true,
      epoch,
      offset: 10,
      recovered: true,
      was_recovering: true,
      publications: pubs(11, 12),
    });
  });

  await t.test("one of the missed ones is trimmed: not recovered, the offset is the top", async () => {
    const { channel, epoch } = await channelWith("rec", 12);
    assert.deepEqual(await recover(channel, 8, epoch), {
      recoverable: true,
      positioned: true,
      epoch,
      offset: 12,
      was_recovering: true,
    });
  });

  await t.test("another epoch: not recovered, the epoch is the new one", async () => {
    const { channel, epoch } = await channelWith("rec", 4);
    assert.deepEqual(await recover(channel, 4, "other"), {
      recoverable: true,
      positioned: true,
      epoch,
      offset: 4,
      was_recovering: true,
    });
  });

  await t.test("an empty epoch is not compared", async () => {
    const { channel } = await channelWith("rec", 2);
    const result = await recover(channel, 1, undefined);
    assert.equal(result.recovered, true);
    assert.deepEqual(result.publications, pubs(2));
  });

  await t.test("from the very beginning", async () => {
    const { channel, epoch } = await channelWith("rec", 3);
    const result = await recover(channel, 0, epoch);
    assert.equal(result.recovered, true);
    assert.equal(result.offset, undefined, "an offset of 0 is left out");
    const [{ epoch: ofFirst = epoch, ...first }, ...others] = result.publications;
    assert.equal(ofFirst, epoch, "the first one may name the epoch, but no other");
    assert.deepEqual([first, ...others], pubs(1, 2, 3));
  });

  await t.test("an empty stream from its beginning", async () => {
    const { channel, epoch } = await channelWith("rec", 0);
    const result = await recover(channel, 0, epoch);
    assert.equal(result.recovered, true);
    assert.equal(result.publications, undefined);
  });

  for (const offset of ["3", "9007199254740993", "18446744073709551615"]) {
    await t.test(`offset ${offset}, above the top: not recovered`, async () => {
      const { channel, epoch } = await channelWith("rec", 2);
      const client = await server.connect("1");
      client.send(`{"id":9,"subscribe":{"channel":"${channel}","recover":true,"offset":${offset},"epoch":"${epoch}"}}`);
      const { subscribe } = await client.reply(9);
      assert.deepEqual(subscribe, { recoverable: true, positioned: true, epoch, offset: 2, was_recovering: true });
    });
  }

  await t.test("exactly the limit is recovered, one more is not", async () => {
    const { channel, epoch } = await channelWith("big", 10);
    assert.deepEqual((await recover(channel, 7, epoch)).publications, pubs(8, 9, 10));
    const more = await recover(channel, 6, epoch);
    assert.equal(more.recovered, undefined);
    assert.equal(more.publications, undefined);
    assert.equal(more.offset, 10);
  });

  await t.test("expired publications: recovered only when none was missed", async () => {
    const { channel, epoch } = await channelWith("short", 2);
    await sleep(2500);
    assert.equal((await recover(channel, 1, epoch)).recovered, undefined);
    assert.equal((await recover(channel, 2, epoch)).recovered, true);
  });

  await t.test("removed publications: the same", async () => {
    const { channel, epoch } = await channelWith("rec", 2);
    await server.call("history_remove", { channel });
    assert.equal((await recover(channel, 1, epoch)).recovered, undefined);
    assert.equal((await recover(channel, 2, epoch)).recovered, true);
    await server.publish(channel, 3);
    assert.equal((await recover(channel, 1, epoch)).recovered, undefined);
    assert.deepEqual((await recover(channel, 2, epoch)).publications, pubs(3));
  });

  await t.test("flag 2: 112 instead of an unrecovered subscription, and not subscribed", async () => {
    const { channel, epoch } = await channelWith("rec", 10);
    const client = await server.connect("1");
    await client.refused("subscribe", { channel, recover: true, offset: 2, epoch, flag: 2 }, 112);
    await server.publish(channel, 11);
    await client.quiet();
    const result = await client.subscribe(channel, { recover: true, offset: 9, epoch, flag: 2 });
    assert.equal(result.recovered, true);
    assert.deepEqual(result.publications, pubs(10, 11));
  });

  await t.test("asked for and allowed", async () => {
    const { channel, epoch } = await channelWith("ask", 3);
    const result = await recover(channel, 2, epoch, { recoverable: true });
    assert.equal(result.recovered, true);
    assert.deepEqual(result.publications, pubs(3));
  });

  for (const namespace of ["mute", "ask"]) {
    await t.test(`${namespace}: without recovery only was_recovering is told`, async () => {
      const { channel, epoch } = await channelWith(namespace, 3);
      assert.deepEqual(await recover(channel, 2, epoch), { was_recovering: true });
    });
  }

  await t.test("a channel without history: only was_recovering", async () => {
    assert.deepEqual(await recover("none:1", 2, "abc"), { was_recovering: true });
  });

  await t.test("live publications go on behind the recovered ones", async () => {
    const { channel, epoch } = await channelWith("rec", 3);
    const client = await server.connect("1");
    const result = await client.subscribe(channel, { recover: true, offset: 1, epoch });
    assert.deepEqual(result.publications, pubs(2, 3));
    await server.publish(channel, 4);
    assert.deepEqual(await client.push("pub", channel), { data: 4, offset: 4 });
    await client.quiet();
  });
});
