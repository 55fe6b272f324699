import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";

test("publish, broadcast and batch", async (t) => {
  const server = await startServer(t, {
    config: {
      channel: {
        namespaces: {
          hist: { history_size: 100, history_ttl: "1m", allow_subscribe_for_client: true, allow_history_for_client: true },
          plain: { allow_subscribe_for_client: true, presence: true },
        },
      },
    },
  });
  const reader = async (...channels) => {
    const client = await server.connect("r");
    for (const channel of channels) await client.subscribe(channel);
    return client;
  };

  await t.test("offset and epoch count in a channel with history", async () => {
    const first = await server.publish("hist:1", 1);
    assert.equal(first.offset, 1);
    assert.ok(first.epoch.length > 0);
    assert.deepEqual(await server.publish("hist:1", 2), { offset: 2, epoch: first.epoch });
    assert.deepEqual(await server.publish("hist:1", 3, { skip_history: true }), {});
    assert.deepEqual(await server.publish("hist:1", 4), { offset: 3, epoch: first.epoch });
    assert.notEqual((await server.publish("hist:2", 1)).epoch, first.epoch);
  });

  for (const [what, params, code] of [
    ["an empty channel", { channel: "", data: 1 }, 107],
    ["no channel", { data: 1 }, 107],
    ["no data", { channel: "plain:1" }, 107],
    ["bad base64", { channel: "plain:1", b64data: "!" }, 107],
    ["base64 without padding", { channel: "plain:1", b64data: "MQ" }, 107],
    ["an unknown namespace", { channel: "nosuch:1", data: 1 }, 102],
  ]) {
    await t.test(`${what}: ${code}`, async () => {
      const { error } = await server.api("publish", params);
      assert.equal(error.code, code);
      assert.ok(error.message.length > 0);
    });
  }

  await t.test("private, user-limited, long and non-ASCII channels may be published to", async () => {
    for (const channel of ["$plain:x", "plain:x#7", `plain:${"x".repeat(400)}`, "plain:grüße"]) {
      await server.publish(channel, 1);
    }
  });

  await t.test("data null is data, base64 is decoded and wins", async () => {
    const client = await reader("plain:data");
    await server.publish("plain:data", null);
    await server.call("publish", { channel: "plain:data", data: 1, b64data: Buffer.from('{"x":[]}').toString("base64") });
    assert.equal((await client.pushEntry("pub")).text, '{"push":{"channel":"plain:data","pub":{"data":null}}}');
    assert.deepEqual(await client.push("pub"), { data: { x: [] } });
  });

  await t.test("tags arrive", async () => {
    const client = await reader("plain:tags");
    await server.publish("plain:tags", 1, { tags: { color: "red", "ü\"": "" } });
    assert.deepEqual(await client.push("pub"), { data: 1, tags: { color: "red", "ü\"": "" } });
  });

  await t.test("a version arrives with the publication and in history", async () => {
    const client = await reader("hist:versioned");
    await server.publish("hist:versioned", 1, { version: 7 });
    await server.publish("hist:versioned", 2);
    assert.equal((await client.push("pub", "hist:versioned")).version, 7);
    assert.equal((await client.push("pub", "hist:versioned")).version, undefined);
    const { publications } = await client.call("history", { channel: "hist:versioned", limit: 10 });
    assert.deepEqual(publications.map(({ version }) => version), [7, undefined]);
  });

  await t.test("data that is not JSON closes a JSON client with 3506 and nobody else", async () => {
    const client = await reader("plain:binary");
    const other = await reader("plain:other");
    await server.call("publish", { channel: "plain:binary", b64data: Buffer.from([1, 2, 255]).toString("base64") });
    await client.expectClose(3506, "inappropriate protocol");
    await other.assertAlive();
  });

  await t.test("a repeated idempotency key delivers nothing and answers the first position", async () => {
    const client = await reader("hist:idem", "plain:idem");
    const first = await server.publish("hist:idem", 1, { idempotency_key: "k" });
    assert.deepEqual(await server.publish("hist:idem", 2, { idempotency_key: "k" }), first);
    const next = await server.publish("hist:idem", 3, { idempotency_key: "k2" });
    assert.equal(next.offset, 2);
    assert.equal((await client.push("pub")).data, 1);
    assert.equal((await client.push("pub")).data, 3);
    assert.deepEqual(await server.publish("plain:idem", "a", { idempotency_key: "k" }), {});
    assert.deepEqual(await server.publish("plain:idem", "b", { idempotency_key: "k" }), {});
    assert.equal((await client.push("pub")).data, "a");
    await client.quiet();
  });

  await t.test("the same key in another channel is another key", async () => {
    assert.equal((await server.publish("hist:i1", 1, { idempotency_key: "same" })).offset, 1);
    assert.equal((await server.publish("hist:i2", 1, { idempotency_key: "same" })).offset, 1);
  });

  await t.test("broadcast answers per channel, in the order of the request", async () => {
    const client = await reader("hist:b1", "plain:b2");
    const { responses } = await server.call("broadcast", {
      channels: ["hist:b1", "nosuch:x", "", "plain:b2"],
      data: { n: 1 },
      idempotency_key: "one",
    });
    assert.equal(responses[0].result.offset, 1);
    assert.deepEqual(responses[1], { error: { code: 102, message: "unknown channel" } });
    assert.deepEqual(responses[2], { error: { code: 107, message: "bad request" } });
    assert.deepEqual(responses[3], { result: {} });
    const got = [await client.pushEntry("pub"), await client.pushEntry("pub")].map(({ message }) => message.push.channel);
    assert.deepEqual(got.sort(), ["hist:b1", "plain:b2"]);
    assert.equal((await server.api("broadcast", { channels: [], data: 1 })).error.code, 107);
    assert.equal((await server.api("broadcast", { data: 1 })).error.code, 107);
  });

  await t.test("broadcast to 1 000 channels", async () => {
    const channels = Array.from({ length: 1000 }, (_, i) => `hist:many${i}`);
    const { responses } = await server.call("broadcast", { channels, data: 1 });
    assert.equal(responses.length, 1000);
    assert.ok(responses.every(({ result }) => result.offset === 1));
  });

  await t.test("a batch runs in order and answers by method", async () => {
    const { status, text } = await server.apiText(
      "batch",
      JSON.stringify({
        commands: [
          { publish: { channel: "hist:batch", data: 1 } },
          { publish: { channel: "hist:batch", data: 2 } },
          { history: { channel: "hist:batch", limit: 5 } },
          { presence: { channel: "hist:batch" } },
          {},
          null,
          { block_user: { user: "x" } },
          { batch: { commands: [] } },
          { presence_stats: { channel: "plain:nobody" } },
        ],
      }),
    );
    assert.equal(status, 200);
    const { replies, ...rest } = JSON.parse(text);
    assert.deepEqual(rest, {});
    assert.equal(replies[0].publish.offset, 1);
    assert.equal(replies[1].publish.offset, 2);
    assert.deepEqual(replies[2].history.publications.map(({ data }) => data), [1, 2]);
    assert.deepEqual(replies[3], { error: { code: 108, message: "not available" } });
    assert.equal(replies[4].error.code, 104);
    assert.equal(replies[5].error.code, 107);
    assert.equal(replies[6].error.code, 104);
    assert.equal(replies[7].error.code, 104);
    assert.deepEqual(replies[8], { presence_stats: { num_clients: 0, num_users: 0 } });
  });

  await t.test("a parallel batch keeps the order of replies", async () => {
    const commands = Array.from({ length: 200 }, (_, i) => ({ publish: { channel: `hist:p${i}`, data: i } }));
    const answer = await server.apiText("batch", JSON.stringify({ parallel: true, commands }));
    const { replies } = JSON.parse(answer.text);
    assert.equal(replies.length, 200);
    assert.ok(replies.every(({ publish }) => publish.offset === 1));
  });

  await t.test("a batch without commands is an empty object", async () => {
    assert.equal((await server.apiText("batch", "{}")).text, "{}");
    assert.equal((await server.apiText("batch", '{"commands":[]}')).text, "{}");
  });

  await t.test("publications of parallel publishers have one order for everybody", async () => {
    const clients = [await reader("hist:order"), await reader("hist:order"), await reader("hist:order")];
    await Promise.all(Array.from({ length: 60 }, (_, i) => server.publish("hist:order", i)));
    const orders = [];
    for (const client of clients) {
      const order = [];
      for (let n = 1; n <= 60; n++) {
        const { offset, data } = await client.push("pub");
        assert.equal(offset, n);
        order.push(data);
      }
      orders.push(order);
    }
    assert.deepEqual(orders[1], orders[0]);
    assert.deepEqual(orders[2], orders[0]);
    assert.equal(new Set(orders[0]).size, 60);
  });
});
