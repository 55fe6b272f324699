import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sign, unixNow } from "./lib/token.mjs";
import { sleep } from "./lib/wait.mjs";

test("what the API does to clients", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { expired_close_delay: "1s", channel_limit: 10 },
      channel: {
        namespaces: {
          closed: { presence: true },
          rec: { history_size: 10, history_ttl: "1m", force_recovery: true },
        },
      },
    },
  });

  await t.test("subscribe: every connection of the user gets a push and the channel", async () => {
    const a = await server.connect("u1");
    const b = await server.connect("u1");
    const other = await server.connect("u2");
    assert.deepEqual(await server.call("subscribe", { user: "u1", channel: "closed:1" }), {});
    for (const client of [a, b]) {
      const { message } = await client.pushEntry("subscribe", "closed:1");
      assert.deepEqual(message, { push: { channel: "closed:1", subscribe: {} } });
    }
    await server.publish("closed:1", 1);
    for (const client of [a, b]) assert.equal((await client.push("pub", "closed:1")).data, 1);
    await other.quiet();
  });

  await t.test("subscribe narrowed to a client, with info and data", async () => {
    const a = await server.connect("u3");
    const b = await server.connect("u3");
    await server.call("subscribe", { user: "u3", client: a.id, channel: "closed:3", info: { role: 1 }, data: { hello: [] } });
    assert.deepEqual(await a.push("subscribe", "closed:3"), { data: { hello: [] } });
    const { presence } = await server.call("presence", { channel: "closed:3" });
    assert.deepEqual(presence, { [a.id]: { user: "u3", client: a.id, chan_info: { role: 1 } } });
    await b.quiet();
  });

  await t.test("subscribe with recovery tells the position", async () => {
    const { epoch } = await server.publish("rec:1", 1);
    const client = await server.connect("u4");
    await server.call("subscribe", { user: "u4", channel: "rec:1" });
    assert.deepEqual(await client.push("subscribe", "rec:1"), { recoverable: true, positioned: true, epoch, offset: 1 });
  });

  await t.test("override counts for this subscription", async () => {
    const client = await server.connect("u5");
    await server.call("subscribe", { user: "u5", channel: "rec:2", override: { force_recovery: { value: false } } });
    assert.deepEqual(await client.push("subscribe", "rec:2"), {});
  });

  await t.test("too many channels: the client is closed with 3505", async () => {
    const client = await server.connect("u6");
    for (let n = 0; n < 10; n++) await client.subscribe(`c${n}`);
    assert.deepEqual(await server.call("subscribe", { user: "u6", channel: "one-more" }), {});
    await client.expectClose(3505, "channel limit");
  });

  await t.test("unsubscribe: push 2000, and nothing more comes", async () => {
    const client = await server.connect("u7");
    await client.subscribe("news");
    assert.deepEqual(await server.call("unsubscribe", { user: "u7", channel: "news" }), {});
    const { message } = await client.pushEntry("unsubscribe", "news");
    assert.deepEqual(message, { push: { channel: "news", unsubscribe: { code: 2000, reason: "server unsubscribe" } } });
    await server.publish("news", 1);
    await client.quiet();
    await client.subscribe("news");
  });

  await t.test("unsubscribe narrowed to a client", async () => {
    const a = await server.connect("u8");
    const b = await server.connect("u8");
    await a.subscribe("narrow");
    await b.subscribe("narrow");
    await server.call("unsubscribe", { user: "u8", client: a.id, channel: "narrow" });
    await a.push("unsubscribe", "narrow");
    await server.publish("narrow", 1);
    assert.equal((await b.push("pub", "narrow")).data, 1);
    await a.quiet();
  });

  await t.test("disconnect: 3503 unless told otherwise", async () => {
    const a = await server.connect("u9");
    const b = await server.connect("u9");
    const other = await server.connect("u10");
    assert.deepEqual(await server.call("disconnect", { user: "u9" }), {});
    await a.expectClose(3503, "force disconnect");
    await b.expectClose(3503, "force disconnect");
    await other.assertAlive();
  });

  await t.test("disconnect with a code, a white list, a client", async () => {
    const a = await server.connect("u11");
    const b = await server.connect("u11");
    const c = await server.connect("u11");
    await server.call("disconnect", { user: "u11", whitelist: [b.id, c.id], disconnect: { code: 4321, reason: "bye ü" } });
    await a.expectClose(4321, "bye ü");
    await server.call("disconnect", { user: "u11", client: c.id });
    await c.expectClose(3503);
    await b.assertAlive();
  });

  await t.test("refresh: expired closes with 3005", async () => {
    const client = await server.connect("u12");
    await server.call("refresh", { user: "u12", expired: true });
    await client.expectClose(3005, "connection expired");
    const past = await server.connect("u12");
    await server.call("refresh", { user: "u12", expire_at: unixNow() - 10 });
    await past.expectClose(3005);
  });

  await t.test("refresh: a new expiry is pushed, 0 ends the expiry", async () => {
    const client = await server.open();
    await client.call("connect", { token: sign({ sub: "u13", exp: unixNow() + 2 }) });
    await server.call("refresh", { user: "u13", expire_at: unixNow() + 600 });
    const push = await client.push("refresh");
    assert.equal(push.expires, true);
    assert.ok(push.ttl > 590 && push.ttl <= 600);
    await server.call("refresh", { user: "u13", expire_at: 0 });
    assert.deepEqual(await client.push("refresh"), {});
    await sleep(3600);
    await client.assertAlive();
  });

  await t.test("the anonymous bucket is not everybody", async () => {
    const client = await server.connect("u14");
    await server.call("disconnect", { user: "" });
    await client.assertAlive();
  });

  await t.test("users that are not there are a success", async () => {
    for (const command of ["subscribe", "unsubscribe", "disconnect", "refresh"]) {
      assert.deepEqual(await server.call(command, { user: "nobody", channel: "news" }), {}, command);
    }
  });

  for (const [command, params, code] of [
    ["subscribe", { user: "x", channel: "" }, 107],
    ["subscribe", { user: "x", channel: "nosuch:1" }, 102],
    ["unsubscribe", { user: "x", channel: "nosuch:1" }, 102],
    ["rpc", { method: "" }, 107],
    ["rpc", { method: "x" }, 104],
  ]) {
    await t.test(`${command} ${JSON.stringify(params)}: ${code}`, async () => {
      assert.equal((await server.api(command, params)).error.code, code);
    });
  }
});
