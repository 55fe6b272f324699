import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { channelToken, sign, unixNow, userToken } from "./lib/token.mjs";
import { sleep } from "./lib/wait.mjs";

test("subscription tokens", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { presence_update_interval: "1s", expired_sub_close_delay: "1s" },
      channel: {
        namespaces: {
          closed: { presence: true, allow_presence_for_subscriber: true },
          users: { allow_user_limited_channels: true },
          log: { history_size: 5, history_ttl: "1m" },
        },
      },
    },
  });
  const USER = "42";
  const fresh = () => server.connect(USER);

  for (const channel of ["closed:1", "$closed:1", "$private", "users:x#7"]) {
    await t.test(`a valid token opens ${channel}`, async () => {
      const client = await fresh();
      const result = await client.subscribe(channel, { token: channelToken(USER, channel) });
      assert.equal(result.expires, true);
      assert.ok(result.ttl > 3590 && result.ttl <= 3600);
      await server.publish(channel, 1);
      assert.equal((await client.push("pub", channel)).data, 1);
    });
  }

  await t.test("without an expiry the reply is empty", async () => {
    const client = await fresh();
    const claims = { sub: USER, channel: "closed:1" };
    assert.deepEqual(await client.subscribe("closed:1", { token: sign(claims) }), {});
    const client2 = await fresh();
    const token = sign({ ...claims, exp: unixNow() + 60, expire_at: 0 });
    assert.deepEqual(await client2.subscribe("closed:1", { token }), {});
  });

  await t.test("info is seen in presence, data comes with the reply", async () => {
    const client = await fresh();
    const token = channelToken(USER, "closed:info", { info: { role: "admin" }, data: [1, { a: null }] });
    const result = await client.subscribe("closed:info", { token });
    assert.deepEqual(result.data, [1, { a: null }]);
    const { presence } = await client.call("presence", { channel: "closed:info" });
    assert.deepEqual(presence[client.id], { user: USER, client: client.id, chan_info: { role: "admin" } });
  });

  await t.test("override turns options on for this subscription", async () => {
    const client = await fresh();
    const token = channelToken(USER, "log:1", { override: { force_recovery: { value: true } } });
    const result = await client.subscribe("log:1", { token });
    assert.equal(result.recoverable, true);
    assert.equal(result.positioned, true);
  });

  const errors = [
    ["an expired one", channelToken(USER, "closed:e", { exp: unixNow() - 1 }), 109],
    ["one that is not valid yet", channelToken(USER, "closed:e", { nbf: unixNow() + 60 }), 109],
    ["one with a wrong signature", sign({ sub: USER, channel: "closed:e" }, { secret: "other" }), 103],
    ["nonsense", "nonsense", 103],
    ["one without a channel", userToken(USER), 103],
    ["one with an expiry in the past", channelToken(USER, "closed:e", { expire_at: unixNow() - 60 }), 110],
  ];
  for (const [what, token, code] of errors) {
    await t.test(`${what} is answered ${code}`, async () => {
      const client = await fresh();
      await client.refused("subscribe", { channel: "closed:e", token }, code);
      await client.assertAlive();
    });
  }

  const closes = [
    ["of another user", channelToken("43", "closed:c")],
    ["of another channel", channelToken(USER, "closed:d")],
    ["of the channel without its $", channelToken(USER, "closed:c"), "$closed:c"],
    ["of another client", channelToken(USER, "closed:c", { client: "someone-else" })],
  ];
  for (const [what, token, channel = "closed:c"] of closes) {
    await t.test(`one ${what} is closed with 3500`, async () => {
      const client = await fresh();
      client.send({ id: 9, subscribe: { channel, token } });
      await client.expectClose(3500);
    });
  }

  await t.test("the client claim may name this client", async () => {
    const client = await fresh();
    await client.subscribe("closed:c", { token: channelToken(USER, "closed:c", { client: client.id }) });
  });

  await t.test("a token of an unknown namespace is answered 102", async () => {
    const client = await fresh();
    await client.refused("subscribe", { channel: "nosuch:1", token: channelToken(USER, "nosuch:1") }, 102);
    await client.refused("subscribe", { channel: "closed:c", token: channelToken(USER, "nosuch:1") }, 102);
  });

  await t.test("an expired subscription ends with push 2501", async () => {
    const client = await fresh();
    await client.subscribe("closed:x", { token: channelToken(USER, "closed:x", { exp: unixNow() + 2 }) });
    assert.deepEqual(await client.push("unsubscribe", "closed:x"), { code: 2501, reason: "subscription expired" });
    await client.assertAlive();
  });

  await t.test("sub_refresh moves the expiry", async () => {
    const client = await fresh();
    await client.subscribe("closed:y", { token: channelToken(USER, "closed:y", { exp: unixNow() + 2 }) });
    const result = await client.call("sub_refresh", { channel: "closed:y", token: channelToken(USER, "closed:y") });
    assert.equal(result.expires, true);
    assert.ok(result.ttl > 3590 && result.ttl <= 3600);
    await sleep(5000);
    await client.quiet(0);
  });

  await t.test("sub_refresh is refused for cause", async () => {
    const client = await fresh();
    await client.refused("sub_refresh", { channel: "closed:z", token: channelToken(USER, "closed:z") }, 103);
    await client.subscribe("closed:z", { token: channelToken(USER, "closed:z") });
    await client.refused("sub_refresh", { channel: "closed:z" }, 107);
    await client.refused("sub_refresh", { channel: "closed:z", token: channelToken(USER, "closed:z", { exp: 5 }) }, 109);
    await client.refused(
      "sub_refresh",
      { channel: "closed:z", token: channelToken(USER, "closed:z", { expire_at: unixNow() - 10 }) },
      110,
    );
    client.send({ id: 99, sub_refresh: { channel: "closed:z", token: channelToken("43", "closed:z") } });
    await client.expectClose(3500);
  });
});

test("subscription tokens with their own key", async (t) => {
  const server = await startServer(t, {
    config: { client: { subscription_token: { enabled: true, hmac_secret_key: "only-for-subscriptions" } } },
  });
  const client = await server.connect("42");
  const claims = { sub: "42", channel: "$own" };
  await t.test("the connection key is not accepted", async () => {
    await client.refused("subscribe", { channel: "$own", token: sign(claims) }, 103);
  });
  await t.test("their own key is", async () => {
    await client.subscribe("$own", { token: sign(claims, { secret: "only-for-subscriptions" }) });
  });
});

test("server-side subscriptions of a token", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { channel_limit: 5 },
      channel: { namespaces: { rec: { history_size: 10, history_ttl: "1m", force_recovery: true } } },
    },
  });
  const connect = async (claims, more = {}) => {
    const client = await server.open();
    const result = await client.call("connect", { token: sign({ sub: "42", ...claims }), ...more });
    return { client, result };
  };

  await t.test("channels are subscribed in the connect reply", async () => {
    const { client, result } = await connect({ channels: ["news", "$own"] });
    assert.deepEqual(result.subs, { news: {}, $own: {} });
    await server.publish("$own", 1);
    assert.equal((await client.push("pub", "$own")).data, 1);
  });

  await t.test("subs wins over channels and brings data", async () => {
    const { result } = await connect({ channels: ["news"], subs: { own: { data: { unread: 3 } } } });
    assert.deepEqual(result.subs, { own: { data: { unread: 3 } } });
  });

  await t.test("their options may be null, for none", async () => {
    const { result } = await connect({ subs: { own: null } });
    assert.deepEqual(result.subs, { own: {} });
  });

  await t.test("they recover from the position in the connect command", async () => {
    const { result } = await connect({ channels: ["rec:1"] });
    const { epoch } = result.subs["rec:1"];
    assert.equal(result.subs["rec:1"].recoverable, true);
    await server.publish("rec:1", "a");
    await server.publish("rec:1", "b");
    const again = await connect({ channels: ["rec:1"] }, { subs: { "rec:1": { recover: true, offset: 1, epoch } } });
    const sub = again.result.subs["rec:1"];
    assert.equal(sub.recovered, true);
    assert.deepEqual(sub.publications, [{ data: "b", offset: 2 }]);
  });

  await t.test("more of them than the channel limit: closed with 3505", async () => {
    const client = await server.open();
    client.send({ id: 1, connect: { token: sign({ sub: "42", channels: ["a1", "a2", "a3", "a4", "a5", "a6"] }) } });
    await client.expectClose(3505, "channel limit");
  });

  await t.test("a client-side subscribe to one of them is answered 105", async () => {
    const { client } = await connect({ channels: ["news"] });
    await client.refused("subscribe", { channel: "news" }, 105);
  });
});
