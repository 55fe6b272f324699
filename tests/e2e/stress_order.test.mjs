import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { SLOW, sleep, until } from "./lib/wait.mjs";

const CLIENTS = 50;
const CHANNELS = 20;
const CHANNELS_PER_CLIENT = 5;
const PUBLISHERS = 4;
const PER_CHANNEL = SLOW ? 40 : 100;
const DROPS = SLOW ? 30 : 80;

/** Numbers that look random and are the same in every run. */
function* lcg(seed) {
  for (let state = seed; ; ) {
    state = (state * 1103515245 + 12345) % 2147483648;
    yield state;
  }
}

test("50 clients, 20 channels, 4 publishers and random drops: all in order, none twice, none lost", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { recovery_max_publication_limit: 1000 },
      channel: {
        namespaces: {
          stress: { allow_subscribe_for_client: true, history_size: 1000, history_ttl: "5m", force_recovery: true },
        },
      },
    },
  });
  const random = lcg(20150101);
  const clients = [];
  for (let n = 0; n < CLIENTS; n++) {
    const client = server.sdk({ user: `u${n}` });
    client.subs = [];
    for (let c = 0; c < CHANNELS_PER_CLIENT; c++) {
      const sub = record(client, `stress:${(n + c * 4) % CHANNELS}`);
      sub.subscribe();
      client.subs.push(sub);
    }
    client.connect();
    clients.push(client);
  }
  const all = () => clients.every(({ subs }) => subs.every(({ state }) => state === "subscribed"));
  await until(all, "every subscription", 30000);

  let publishing = true;
  const publishers = Promise.all(
    Array.from({ length: PUBLISHERS }, async (_, p) => {
      for (let n = 1; n <= PER_CHANNEL; n++) {
        for (let c = p; c < CHANNELS; c += PUBLISHERS) await server.publish(`stress:${c}`, { n });
      }
    }),
  ).finally(() => (publishing = false));
  const dropper = (async () => {
    for (let n = 0; n < DROPS && publishing; n++) {
      clients[random.next().value % CLIENTS].cut();
      await sleep(random.next().value % 30);
    }
  })();
  await Promise.all([publishers, dropper]);

  const count = (sub) => sub.got.length;
  const done = () => clients.every(({ subs }) => subs.every((sub) => count(sub) >= PER_CHANNEL));
  await until(done, "every publication everywhere", 30000).catch(() => {});
  await sleep(200);
  const expected = Array.from({ length: PER_CHANNEL }, (_, i) => i + 1);
  let recovered = 0;
  for (const client of clients) {
    for (const sub of client.subs) {
      assert.deepEqual(sub.got.map(({ data }) => data.n), expected, `${sub.channel}: what was received`);
      assert.deepEqual(sub.got.map(({ offset }) => offset), expected, `${sub.channel}: offsets`);
      for (const ctx of sub.contexts.slice(1)) {
        assert.equal(ctx.recovered, true, `${sub.channel}: recovered`);
        recovered += 1;
      }
    }
  }
  assert.ok(recovered > 0, "some subscriptions were recovered");
});
