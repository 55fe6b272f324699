import assert from "node:assert/strict";
import test from "node:test";
import { record } from "./lib/sdk.mjs";
import { startServer } from "./lib/server.mjs";
import { sign, unixNow, userToken } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

test("connections expire", async (t) => {
  const server = await startServer(t, { config: { client: { expired_close_delay: "1s" } } });
  const short = (user, seconds = 1) => sign({ sub: user, exp: unixNow() + seconds });

  await t.test("without a refresh the connection is closed with 3005 after the grace time", async () => {
    const client = await server.open();
    const { ttl } = await client.call("connect", { token: short("1", 2) });
    assert.ok(ttl >= 1 && ttl <= 2, `ttl ${ttl}`);
    const start = Date.now();
    await client.expectClose(3005, "connection expired");
    assert.ok(Date.now() - start > 1500, "not before the grace time is over");
  });

  await t.test("a refresh moves the expiry", async () => {
    const client = await server.open();
    await client.call("connect", { token: short("1", 2) });
    const result = await client.call("refresh", { token: userToken("1") });
    assert.equal(result.expires, true);
    assert.ok(result.ttl > 3590 && result.ttl <= 3600);
    await sleep(3600);
    await client.assertAlive();
  });

  await t.test("a refresh with a token that never expires ends the expiry", async () => {
    const client = await server.open();
    await client.call("connect", { token: short("1", 2) });
    assert.deepEqual(await client.call("refresh", { token: sign({ sub: "1" }) }), {});
    await sleep(3600);
    await client.assertAlive();
  });

  for (const [what, token, code] of [
    ["an empty token", "", 3501],
    ["an invalid token", "x.y.z", 3500],
    ["a token of another user", userToken("2"), 3500],
    ["an expired token", sign({ sub: "1", exp: 1 }), 3005],
  ]) {
    await t.test(`a refresh with ${what} is closed with ${code}`, async () => {
      const client = await server.connect("1");
      client.send({ id: 2, refresh: { token } });
      await client.expectClose(code);
    });
  }

  await t.test("a refresh to an expiry in the past is answered 110", async () => {
    const client = await server.connect("1");
    await client.refused("refresh", { token: sign({ sub: "1", exp: unixNow() + 60, expire_at: unixNow() - 5 }) }, 110);
  });

  await t.test("the SDK refreshes by itself and stays connected", async () => {
    let asked = 0;
    const client = server.sdk({
      token: "",
      getToken: async () => {
        asked += 1;
        return asked === 1 ? short("1", 2) : userToken("1");
      },
    });
    let disconnects = 0;
    client.on("disconnected", () => (disconnects += 1));
    client.on("connecting", () => (disconnects += 1));
    const sub = record(client, "news");
    sub.subscribe();
    client.connect();
    await sub.whenSubscribed();
    const before = disconnects;
    await until(() => asked === 2, "the SDK to refresh");
    await sleep(1500);
    assert.equal(disconnects, before);
    await server.publish("news", { n: 1 });
    await until(() => sub.got.length === 1, "a publication after the refresh");
  });
});
