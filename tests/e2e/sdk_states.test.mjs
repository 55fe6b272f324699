// The states of the SDK's client and subscriptions against the server: what applications do fast,
// twice or in the wrong order must end in the state they asked for last.
import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { channelToken, userToken } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const stream = { allow_subscribe_for_client: true, history_size: 100, history_ttl: "5m", force_recovery: true };
const CONFIG = { channel: { namespaces: { rec: stream, tiny: { ...stream, history_size: 2 } } } };
const ENCODINGS = [
  ["JSON", false],
  ["Protobuf", true],
];

for (const [name, protobuf] of ENCODINGS) {
  test(`states of the SDK over ${name}`, async (t) => {
    const server = await startServer(t, { config: CONFIG });
    const sdk = (options) => server.sdk({ protobuf, ...options });

    await t.test("connect and disconnect in a loop end connected", async () => {
      const client = sdk();
      for (let n = 0; n < 10; n++) {
        client.connect();
        client.disconnect();
      }
      client.connect();
      await client.whenConnected();
    });

    await t.test("subscribe and unsubscribe in a loop end subscribed, and one copy comes", async () => {
      const client = sdk();
      client.connect();
      await client.whenConnected();
      const sub = record(client, "loop");
      for (let n = 0; n < 20; n++) {
        sub.subscribe();
        sub.unsubscribe();
      }
      sub.subscribe();
      await sub.whenSubscribed();
      await server.publish("loop", 1);
      await server.publish("loop", 2);
      await until(() => sub.got.length >= 2, "both publications");
      assert.equal(sub.got.length, 2);
    });

    await t.test("an unsubscribe while the connect is under way leaves nothing subscribed", async () => {
      const client = sdk();
      const sub = record(client, "early");
      client.once("__centrifuge_debug:connect_frame_sent", () => sub.unsubscribe());
      sub.subscribe();
      client.connect();
      await client.whenConnected();
      assert.equal(sub.state, "unsubscribed");
      const { channels } = await server.call("channels", { pattern: "early" });
      assert.deepEqual(channels, {});
      sub.subscribe();
      await sub.whenSubscribed();
    });

    await t.test("a token function that fails once is asked again, for the connection and for a channel", async () => {
      const asked = { connection: 0, channel: 0 };
      const once = (what, token) => async () => {
        asked[what] += 1;
        if (asked[what] === 1) throw new Error("not now");
        return token;
      };
      const client = sdk({ token: "", getToken: once("connection", userToken("7")) });
      const sub = record(client, "$private", {
        getToken: once("channel", channelToken("7", "$private")),
        minResubscribeDelay: 10,
        maxResubscribeDelay: 50,
      });
      sub.subscribe();
      client.connect();
      await sub.whenSubscribed();
      assert.deepEqual(asked, { connection: 2, channel: 2 });
    });

    await t.test("a position from outside is where the subscription starts", async () => {
      const channel = `rec:${name}`;
      const { epoch } = await server.call("history", { channel });
      for (let n = 1; n <= 3; n++) await server.publish(channel, n);
      const client = sdk();
      const sub = record(client, channel, { since: { offset: 1, epoch } });
      sub.subscribe();
      client.connect();
      await until(() => sub.got.length === 2, "the publications above the position");
      assert.deepEqual(sub.got.map(({ offset }) => Number(offset)), [2, 3]);
    });

    await t.test("a position that is gone is told, and live publications go on", async () => {
      const channel = `tiny:${name}`;
      const client = sdk();
      const sub = record(client, channel);
      sub.subscribe();
      client.connect();
      await sub.whenSubscribed();
      sub.unsubscribe();
      for (let n = 1; n <= 5; n++) await server.publish(channel, n);
      sub.subscribe();
      await sub.whenSubscribed();
      const { recovered, wasRecovering } = sub.contexts.at(-1);
      assert.deepEqual({ recovered, wasRecovering }, { recovered: false, wasRecovering: true });
      await server.publish(channel, 6);
      await until(() => sub.got.length, "the live publication");
      assert.deepEqual(sub.got.map(({ offset }) => Number(offset)), [6]);
    });

    await t.test("the API's unsubscribe and disconnect reach it with their code and reason", async () => {
      const client = sdk({ user: `api-${name}` });
      const sub = record(client, "kicked");
      const seen = [];
      sub.on("unsubscribed", ({ code, reason }) => seen.push(["unsubscribed", code, reason]));
      client.on("disconnected", ({ code, reason }) => seen.push(["disconnected", code, reason]));
      sub.subscribe();
      client.connect();
      await sub.whenSubscribed();
      await server.call("unsubscribe", { user: `api-${name}`, channel: "kicked" });
      await until(() => seen.length === 1, "the unsubscribe");
      await server.call("disconnect", { user: `api-${name}` });
      await until(() => seen.length === 2, "the disconnect");
      assert.deepEqual(seen, [
        ["unsubscribed", 2000, "server unsubscribe"],
        ["disconnected", 3503, "force disconnect"],
      ]);
    });
  });
}
