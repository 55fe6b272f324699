import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { SLOW, sleep, until } from "./lib/wait.mjs";

const fossil = {
  allow_subscribe_for_client: true,
  history_size: 1000,
  history_ttl: "1m",
  force_recovery: true,
  allowed_delta_types: ["fossil"],
  delta_publish: true,
};

test("the SDK decodes our deltas", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { recovery_max_publication_limit: 1000 },
      channel: { namespaces: { delta: fossil, tiny: { ...fossil, history_size: 2 } } },
    },
  });
  const words = "the quick brown fox jumps over a lazy dog \u00fc \u20ac \u{1F600} {}[]\"\\ null true".split(" ");
  let seed = 11;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  /** A document that changes a little, and now and then as a whole. */
  function* documents() {
    let list = [];
    for (let seq = 1; ; seq++) {
      if (list.length === 0 || random(15) === 0) list = Array.from({ length: random(60) }, () => words[random(words.length)]);
      else if (random(3) === 0) list.splice(random(list.length), random(4), words[random(words.length)]);
      else list[random(list.length)] = words[random(words.length)];
      yield { seq, text: list.join(" "), list: list.slice(0, random(20)) };
    }
  }

  for (const protobuf of [false, true]) {
    const name = protobuf ? "Protobuf" : "JSON";
    const read = (data) => (protobuf ? JSON.parse(Buffer.from(data).toString()) : data);
    const start = async (channel, options) => {
      const client = server.sdk({ protobuf, ...options });
      const sub = record(client, channel, { delta: "fossil" });
      sub.subscribe();
      client.connect();
      await sub.whenSubscribed();
      sub.deltas = () => sub._deltaNumDelta;
      return { client, sub };
    };

    await t.test(`${name}: a long series arrives as it was published, mostly as patches`, async () => {
      const channel = `delta:${name}1`;
      const { sub } = await start(channel);
      const total = SLOW ? 100 : 400;
      const sent = [];
      for (const document of documents()) {
        sent.push(document);
        await server.publish(channel, document);
        if (sent.length === total) break;
      }
      await until(() => sub.got.length === total, `${total} publications`);
      assert.deepEqual(sub.got.map(({ data }) => read(data)), sent);
      assert.ok(sub.deltas() > total * 0.7, `${sub.deltas()} patches`);
    });

    await t.test(`${name}: over dropped connections nothing is lost or wrong`, async () => {
      const channel = `delta:${name}2`;
      const { client, sub } = await start(channel);
      const total = SLOW ? 150 : 500;
      const sent = [];
      const publisher = (async () => {
        for (const document of documents()) {
          sent.push(document);
          await server.publish(channel, document);
          if (sent.length === total) break;
        }
      })();
      for (let cut = 0; cut < 5 && sent.length < total; cut++) {
        await sleep(40);
        client.cut();
        await until(() => sub.state === "subscribed" && client.state === "connected", "the SDK to come back");
      }
      await publisher;
      await until(() => sub.got.length >= total, "all publications");
      assert.deepEqual(sub.got.map(({ data }) => read(data)), sent);
      assert.ok(sub.contexts.length > 1 && sub.contexts.slice(1).every((ctx) => ctx.recovered));
      assert.ok(sub.deltas() > total / 2, `${sub.deltas()} patches`);
    });

    await t.test(`${name}: after a recovery that failed it goes on with a whole one`, async () => {
      const channel = `tiny:${name}`;
      const { client, sub } = await start(channel, { minReconnectDelay: 300, maxReconnectDelay: 400 });
      const document = (seq) => ({ seq, text: "always the same text behind the number" });
      for (let seq = 1; seq <= 2; seq++) await server.publish(channel, document(seq));
      await until(() => sub.got.length === 2, "two publications");
      client.cut();
      for (let seq = 3; seq <= 8; seq++) await server.publish(channel, document(seq));
      await until(() => sub.contexts.length === 2, "the SDK to come back");
      assert.equal(sub.contexts[1].recovered, false);
      for (let seq = 9; seq <= 10; seq++) await server.publish(channel, document(seq));
      await until(() => sub.got.length === 4, "the new publications");
      assert.deepEqual(sub.got.map(({ data }) => read(data).seq), [1, 2, 9, 10]);
    });
  }

  await t.test("Protobuf: bytes of any kind", async () => {
    const client = server.sdk({ protobuf: true });
    const sub = record(client, "delta:bytes", { delta: "fossil" });
    sub.subscribe();
    client.connect();
    await sub.whenSubscribed();
    const bytes = Buffer.from(Array.from({ length: 3000 }, () => random(256)));
    const sent = [];
    for (let i = 0; i < 20; i++) {
      bytes[random(bytes.length)] ^= 0xff;
      sent.push(bytes.toString("base64"));
      await server.call("publish", { channel: "delta:bytes", b64data: sent[i] });
    }
    await until(() => sub.got.length === sent.length, "all publications");
    assert.deepEqual(sub.got.map(({ data }) => Buffer.from(data).toString("base64")), sent);
    assert.equal(sub._deltaNumDelta, sent.length - 1);
  });
});
