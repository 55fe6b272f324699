import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";

test("subscribe and unsubscribe", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { channel_limit: 20 },
      channel: {
        namespaces: {
          pos: { allow_subscribe_for_client: true, history_size: 5, history_ttl: "1m", force_positioning: true },
          ask: { allow_subscribe_for_client: true, history_size: 5, history_ttl: "1m", allow_positioning: true, allow_recovery: true },
          mute: { allow_subscribe_for_client: true, history_size: 5, history_ttl: "1m" },
          may: { allow_subscribe_for_client: true, history_size: 5, history_ttl: "1m", allow_history_for_subscriber: true },
        },
      },
    },
  });

  await t.test("the reply is an empty object, and publications follow", async () => {
    const client = await server.connect("1");
    client.send('{"id":5,"subscribe":{"channel":"news"}}');
    assert.equal((await client.take((m) => m.id === 5, "the reply")).text, '{"id":5,"subscribe":{}}');
    await server.publish("news", { t: "hi" });
    assert.deepEqual((await client.pushEntry("pub", "news")).message, { push: { channel: "news", pub: { data: { t: "hi" } } } });
  });

  await t.test("only the channel's subscribers get a publication, each once", async () => {
    const a = await server.connect("1");
    const b = await server.connect("1");
    const c = await server.connect("2");
    await a.subscribe("one");
    await b.subscribe("one");
    await c.subscribe("two");
    for (let n = 1; n <= 5; n++) await server.publish("one", { n });
    await server.publish("two", "last");
    for (const client of [a, b]) {
      for (let n = 1; n <= 5; n++) assert.deepEqual((await client.push("pub")).data, { n });
    }
    assert.equal((await c.push("pub")).data, "last");
    for (const client of [a, b, c]) await client.quiet();
  });

  await t.test("after an unsubscribe nothing comes any more", async () => {
    const client = await server.connect("1");
    await client.subscribe("off");
    assert.deepEqual((await client.command("unsubscribe", { channel: "off" })).unsubscribe, {});
    await server.publish("off", 1);
    await client.quiet();
    await client.subscribe("off");
    await server.publish("off", 2);
    assert.equal((await client.push("pub", "off")).data, 2);
  });

  await t.test("an unsubscribe of what was never subscribed is answered", async () => {
    const client = await server.connect("1");
    assert.deepEqual(await client.command("unsubscribe", { channel: "never" }), { id: 2, unsubscribe: {} });
  });

  await t.test("a second subscribe is answered 105, also in the same frame", async () => {
    const client = await server.connect("1");
    await client.subscribe("twice");
    assert.equal((await client.refused("subscribe", { channel: "twice" }, 105)).message, "already subscribed");
    client.send('{"id":50,"subscribe":{"channel":"frame"}}\n{"id":51,"subscribe":{"channel":"frame"}}');
    assert.deepEqual((await client.reply(50)).subscribe, {});
    assert.equal((await client.reply(51)).error.code, 105);
  });

  await t.test("subscribe, unsubscribe and subscribe in one frame end subscribed", async () => {
    const client = await server.connect("1");
    const commands = [
      { id: 50, subscribe: { channel: "swing" } },
      { id: 51, unsubscribe: { channel: "swing" } },
      { id: 52, subscribe: { channel: "swing" } },
    ];
    client.send(commands.map((command) => JSON.stringify(command)).join("\n"));
    assert.deepEqual((await client.reply(50)).subscribe, {});
    assert.deepEqual((await client.reply(51)).unsubscribe, {});
    assert.deepEqual((await client.reply(52)).subscribe, {});
    await server.publish("swing", 1);
    assert.equal((await client.push("pub", "swing")).data, 1);
    await client.quiet();
  });

  await t.test("the channel limit is answered 106", async () => {
    const client = await server.connect("1");
    for (let n = 0; n < 20; n++) await client.subscribe(`limit${n}`);
    assert.equal((await client.refused("subscribe", { channel: "limit20" }, 106)).message, "limit exceeded");
    await client.call("unsubscribe", { channel: "limit3" });
    await client.subscribe("limit20");
  });

  await t.test("forced positioning shows offset and epoch", async () => {
    const client = await server.connect("1");
    await server.publish("pos:1", 1);
    const { offset, epoch } = await server.publish("pos:1", 2);
    assert.equal(offset, 2);
    const result = await client.subscribe("pos:1");
    assert.deepEqual(result, { positioned: true, epoch, offset: 2 });
    await server.publish("pos:1", 3);
    assert.equal((await client.push("pub", "pos:1")).offset, 3);
  });

  await t.test("positioning and recovery are granted when asked for and allowed", async () => {
    const client = await server.connect("1");
    assert.deepEqual(await client.subscribe("ask:1"), {});
    const positioned = await client.subscribe("ask:2", { positioned: true });
    assert.equal(positioned.positioned, true);
    assert.equal(positioned.recoverable, undefined);
    assert.ok(positioned.epoch.length > 0);
    const recoverable = await client.subscribe("ask:3", { recoverable: true });
    assert.equal(recoverable.recoverable, true);
    assert.equal(recoverable.positioned, true);
    const may = await client.subscribe("may:1", { recoverable: true });
    assert.equal(may.recoverable, true, "history access is enough");
  });

  await t.test("what is asked for without permission is ignored silently", async () => {
    const client = await server.connect("1");
    assert.deepEqual(await client.subscribe("mute:1", { positioned: true, recoverable: true, join_leave: true }), {});
  });

  await t.test("publications of a channel with history carry their offset for everybody", async () => {
    const client = await server.connect("1");
    await client.subscribe("mute:2");
    await server.publish("mute:2", "a");
    await server.publish("mute:2", "b", { skip_history: true });
    await server.publish("mute:2", "c");
    assert.equal((await client.push("pub")).offset, 1);
    assert.equal((await client.push("pub")).offset, undefined);
    assert.equal((await client.push("pub")).offset, 2);
  });

  await t.test("a client that leaves is forgotten", async () => {
    const client = await server.connect("1");
    await client.subscribe("gone");
    client.destroy();
    const deadline = Date.now() + 5000;
    let channels;
    do {
      channels = (await server.call("channels", { pattern: "gone" })).channels;
    } while (channels.gone && Date.now() < deadline);
    assert.deepEqual(channels, {});
  });
});
