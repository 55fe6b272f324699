// In base64 a token or the API gives info and data of any bytes. JSON has no place for them: whoever
// speaks JSON and would be told is closed with 3506, and nothing that is not JSON is ever sent.
import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { channelToken, userToken } from "./lib/token.mjs";

const b64 = Buffer.from("hello").toString("base64");
const ROOM = {
  allow_subscribe_for_client: true, allow_publish_for_client: true, allow_history_for_client: true,
  presence: true, allow_presence_for_client: true, history_size: 10, history_ttl: "60s", allow_recovery: true,
};

test("info and data that are not JSON", async (t) => {
  const server = await startServer(t, {
    config: { channel: { namespaces: { room: ROOM, told: { ...ROOM, join_leave: true, force_push_join_leave: true } } } },
  });
  const rude = await server.connect(null, { token: userToken("rude", { b64info: b64 }) });
  const unfit = (client) => client.expectClose(3506, "inappropriate protocol");

  await t.test("an info of the connection in a publication, live, recovered and in history", async () => {
    const [listener, reader, late] = [await server.connect("listener"), await server.connect("reader"), await server.connect("late")];
    await listener.subscribe("room:a");
    await rude.call("publish", { channel: "room:a", data: 1 });
    await unfit(listener);
    reader.send({ id: 9, history: { channel: "room:a", limit: 10 } });
    await unfit(reader);
    late.send({ id: 9, subscribe: { channel: "room:a", recoverable: true, recover: true } });
    await unfit(late);
    assert.equal((await server.apiText("history", '{"channel":"room:a","limit":10}')).status, 500);
  });

  await t.test("an info in presence", async () => {
    const reader = await server.connect("reader");
    await rude.subscribe("room:b");
    assert.deepEqual(await reader.call("presence_stats", { channel: "room:b" }), { num_clients: 1, num_users: 1 });
    reader.send({ id: 9, presence: { channel: "room:b" } });
    await unfit(reader);
    assert.equal((await server.apiText("presence", '{"channel":"room:b"}')).status, 500);
  });

  await t.test("an info of the subscription in joins", async () => {
    const [listener, joiner] = [await server.connect("listener"), await server.connect("joiner")];
    await listener.subscribe("told:a");
    joiner.send({ id: 9, subscribe: { channel: "told:a", token: channelToken("joiner", "told:a", { b64info: b64 }) } });
    await Promise.all([unfit(listener), unfit(joiner)]);
  });

  await t.test("the data of a subscription, its client's or the server's own", async () => {
    const [asks, ordered] = [await server.connect("asks"), await server.connect("ordered")];
    asks.send({ id: 9, subscribe: { channel: "room:c", token: channelToken("asks", "room:c", { b64data: b64 }) } });
    await unfit(asks);
    await server.call("subscribe", { user: "ordered", channel: "room:c", b64data: b64 });
    await unfit(ordered);
    const opened = await server.open();
    opened.send({ id: 1, connect: { token: userToken("opened", { subs: { "room:c": { b64data: b64 } } }) } });
    await unfit(opened);
  });

  await t.test("in Protobuf they are bytes like any other", async () => {
    const token = userToken("binary", { b64info: b64 });
    const client = server.sdk({ protobuf: true, token });
    const sub = record(client, "told:binary");
    const joined = new Promise((done) => sub.on("join", done));
    sub.subscribe();
    client.connect();
    assert.equal(Buffer.from((await joined).info.connInfo).toString(), "hello");
  });

  await rude.assertAlive();
});
