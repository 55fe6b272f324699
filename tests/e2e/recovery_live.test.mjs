import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { SLOW, sleep, until } from "./lib/wait.mjs";

test("the SDK recovers while a publisher goes on", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { recovery_max_publication_limit: 5000 },
      channel: {
        namespaces: {
          rec: { allow_subscribe_for_client: true, history_size: 5000, history_ttl: "5m", force_recovery: true },
          tiny: { allow_subscribe_for_client: true, history_size: 2, history_ttl: "5m", force_recovery: true },
        },
      },
    },
  });

  await t.test("dropped connections cost no publication, repeat none, change no order", async () => {
    const client = server.sdk();
    const sub = record(client, "rec:1");
    sub.subscribe();
    client.connect();
    await sub.whenSubscribed();
    const total = SLOW ? 300 : 1000;
    let sent = 0;
    const publisher = (async () => {
      while (sent < total) {
        sent += 1;
        await server.publish("rec:1", { n: sent });
      }
    })();
    for (let cut = 0; cut < 6 && sent < total; cut++) {
      await sleep(40);
      client.cut();
      await until(() => sub.state === "subscribed" && client.state === "connected", "the SDK to come back");
    }
    await publisher;
    await until(() => sub.got.length >= total, `all publications; ${sub.got.length} of ${total} came`);
    await sleep(200);
    assert.deepEqual(
      sub.got.map(({ data }) => data.n),
      Array.from({ length: total }, (_, i) => i + 1),
    );
    assert.deepEqual(
      sub.got.map(({ offset }) => offset),
      Array.from({ length: total }, (_, i) => i + 1),
    );
    const again = sub.contexts.slice(1);
    assert.ok(again.length >= 1, "the subscription was recovered at least once");
    for (const ctx of again) {
      assert.equal(ctx.wasRecovering, true);
      assert.equal(ctx.recovered, true);
    }
  });

  await t.test("what was missed while away comes in the resubscribe", async () => {
    const client = server.sdk({ minReconnectDelay: 400, maxReconnectDelay: 800 });
    const sub = record(client, "rec:2");
    sub.subscribe();
    client.connect();
    await sub.whenSubscribed();
    await server.publish("rec:2", 1);
    await until(() => sub.got.length === 1, "the first publication");
    client.cut();
    await until(() => client.state !== "connected", "the SDK to notice");
    await server.publish("rec:2", 2);
    await server.publish("rec:2", 3);
    await until(() => sub.got.length === 3, "the missed publications");
    assert.deepEqual(
      sub.got.map(({ data }) => data),
      [1, 2, 3],
    );
    assert.equal(sub.contexts[1].recovered, true);
  });

  await t.test("what cannot be recovered is told", async () => {
    const client = server.sdk({ minReconnectDelay: 400, maxReconnectDelay: 800 });
    const sub = record(client, "tiny:1");
    sub.subscribe();
    client.connect();
    await sub.whenSubscribed();
    client.cut();
    await until(() => client.state !== "connected", "the SDK to notice");
    for (let n = 1; n <= 5; n++) await server.publish("tiny:1", n);
    await until(() => sub.contexts.length === 2, "the resubscribe");
    assert.equal(sub.contexts[1].wasRecovering, true);
    assert.equal(sub.contexts[1].recovered, false);
    assert.equal(sub.got.length, 0);
    await server.publish("tiny:1", 6);
    await until(() => sub.got.length === 1, "the next publication");
    assert.equal(sub.got[0].offset, 6);
  });
});
