import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";

test("history", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { history_max_publication_limit: 4 },
      channel: {
        namespaces: {
          hist: { history_size: 10, history_ttl: "1m", allow_history_for_client: true, allow_subscribe_for_client: true },
          sub: { history_size: 10, history_ttl: "1m", allow_history_for_subscriber: true, allow_subscribe_for_client: true },
          shut: { history_size: 10, history_ttl: "1m" },
          off: { allow_history_for_client: true },
          small: { history_size: 3, history_ttl: "1m", allow_history_for_client: true },
          short: { history_size: 3, history_ttl: "1s", allow_history_for_client: true },
        },
      },
    },
  });
  const client = await server.connect("1");
  let epoch;
  for (let n = 1; n <= 6; n++) epoch = (await server.publish("hist:1", n)).epoch;
  const since = (offset) => ({ offset, epoch });
  const offsets = ({ publications }) => publications.map(({ offset }) => offset);

  // what of the request, the offsets returned to a client (limit at most 4), and by the API
  const rows = [
    [{}, [], []],
    [{ limit: 0 }, [], []],
    [{ limit: 2 }, [1, 2], [1, 2]],
    [{ limit: 100 }, [1, 2, 3, 4], [1, 2, 3, 4, 5, 6]],
    [{ limit: -1 }, [1, 2, 3, 4], [1, 2, 3, 4, 5, 6]],
    [{ limit: 2147483647 }, [1, 2, 3, 4], [1, 2, 3, 4, 5, 6]],
    [{ limit: 2, reverse: true }, [6, 5], [6, 5]],
    [{ limit: -1, reverse: true }, [6, 5, 4, 3], [6, 5, 4, 3, 2, 1]],
    [{ limit: 2, since: since(2) }, [3, 4], [3, 4]],
    [{ limit: -1, since: since(4) }, [5, 6], [5, 6]],
    [{ limit: -1, since: since(6) }, [], []],
    [{ limit: -1, since: since(100) }, [], []],
    [{ limit: 3, since: since(0) }, [1, 2, 3], [1, 2, 3]],
    [{ limit: 3, since: { offset: 3 } }, [4, 5, 6], [4, 5, 6]],
    [{ limit: 2, since: since(4), reverse: true }, [3, 2], [3, 2]],
    [{ limit: -1, since: since(1), reverse: true }, [], []],
    [{ limit: 0, since: since(2) }, [], []],
  ];
  for (const [params, ofClient, ofApi] of rows) {
    await t.test(`${JSON.stringify({ ...params, since: params.since?.offset })}`, async () => {
      const result = await client.call("history", { channel: "hist:1", ...params });
      assert.deepEqual(offsets(result), ofClient);
      assert.equal(result.offset, 6);
      assert.equal(result.epoch, epoch);
      const byApi = await server.call("history", { channel: "hist:1", ...params });
      assert.deepEqual(offsets(byApi), ofApi);
      assert.equal(byApi.offset, 6);
      assert.equal(byApi.epoch, epoch);
    });
  }

  await t.test("a fresh channel has an epoch, offset 0 and no publications, all written out", async () => {
    const result = await client.call("history", { channel: "hist:fresh", limit: 5 });
    assert.deepEqual(result, { publications: [], epoch: result.epoch, offset: 0 });
    assert.ok(result.epoch.length > 0);
    assert.deepEqual(await server.call("history", { channel: "hist:fresh" }), { publications: [], epoch: result.epoch, offset: 0 });
    assert.deepEqual(await server.publish("hist:fresh", 1), { offset: 1, epoch: result.epoch });
  });

  await t.test("another epoch is answered 112", async () => {
    const params = { channel: "hist:1", limit: 1, since: { offset: 1, epoch: "other" } };
    assert.equal((await client.refused("history", params, 112)).message, "unrecoverable position");
    assert.equal((await server.api("history", params)).error.code, 112);
  });

  await t.test("reverse from offset 0 is answered 107", async () => {
    await client.refused("history", { channel: "hist:1", limit: 1, since: since(0), reverse: true }, 107);
  });

  for (const [channel, code, why] of [
    ["shut:1", 103, "not allowed"],
    ["sub:1", 103, "not subscribed"],
    ["off:1", 108, "no history"],
    ["nosuch:1", 102, "no such namespace"],
    ["plain", 108, "no history comes before no permission"],
    ["hist:grüße", 107, "bad name"],
  ]) {
    await t.test(`${channel}: ${code} (${why})`, async () => {
      await client.refused("history", { channel, limit: 1 }, code);
    });
  }

  await t.test("a subscriber may read it", async () => {
    await client.subscribe("sub:1");
    assert.equal((await client.call("history", { channel: "sub:1" })).offset, 0);
  });

  await t.test("only the newest ones are kept", async () => {
    for (let n = 1; n <= 5; n++) await server.publish("small:1", n);
    const result = await client.call("history", { channel: "small:1", limit: -1 });
    assert.deepEqual(offsets(result), [3, 4, 5]);
    const back = { channel: "small:1", limit: -1, since: { offset: 1, epoch: result.epoch } };
    assert.deepEqual(offsets(await client.call("history", back)), [3, 4, 5], "from the oldest kept one");
    assert.deepEqual(offsets(await client.call("history", { ...back, since: { offset: 2, epoch: result.epoch }, reverse: true })), []);
  });

  await t.test("publications expire, offset and epoch stay", async () => {
    await server.publish("short:1", 1);
    const { epoch: old } = await server.publish("short:1", 2);
    await new Promise((done) => setTimeout(done, 2500));
    const result = await client.call("history", { channel: "short:1", limit: -1 });
    assert.deepEqual(result, { publications: [], epoch: old, offset: 2 });
    assert.deepEqual(await server.publish("short:1", 3), { offset: 3, epoch: old });
  });

  await t.test("history_remove drops publications, offset and epoch stay", async () => {
    const { epoch: old } = await server.publish("hist:rm", 1);
    assert.deepEqual(await server.call("history_remove", { channel: "hist:rm" }), {});
    assert.deepEqual(await server.call("history", { channel: "hist:rm", limit: -1 }), { publications: [], epoch: old, offset: 1 });
    assert.equal((await server.api("history_remove", { channel: "off:1" })).error.code, 108);
    assert.equal((await server.api("history_remove", { channel: "" })).error.code, 107);
  });

  await t.test("publications carry data, tags and the publisher", async () => {
    await server.publish("hist:full", 1);
    const { epoch: full } = await server.publish("hist:full", { a: [] }, { tags: { k: "v" } });
    const { publications } = await client.call("history", { channel: "hist:full", limit: 2 });
    assert.deepEqual(publications[1], { data: { a: [] }, offset: 2, tags: { k: "v" } });
    const { epoch: ofFirst = full, ...first } = publications[0];
    assert.equal(ofFirst, full, "the first one may name the epoch, but no other");
    assert.deepEqual(first, { data: 1, offset: 1 });
  });
});
