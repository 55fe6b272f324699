import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { channelToken, unixNow, userToken } from "./lib/token.mjs";

test("revocation", async (t) => {
  const server = await startServer(t);
  const connect = (claims) => server.connect(null, { token: userToken("ann", claims) });
  /** On every worker: connections are spread over them by the kernel. */
  const refusedEverywhere = async (token) => {
    for (let n = 0; n < 12; n++) {
      const client = await server.open();
      client.send({ id: 1, connect: { token } });
      await client.expectClose(3500, "invalid token");
    }
  };

  await t.test("a token is revoked by its id: it ends, and does not come back", async () => {
    const open = await connect({ jti: "t1" });
    const other = await connect({ jti: "t2" });
    assert.deepEqual(await server.call("revoke_token", { uid: "t1" }), {});
    await open.expectClose(3500, "invalid token");
    await refusedEverywhere(userToken("ann", { jti: "t1" }));
    await other.subscribe("news");
    await connect({ jti: "t2" });
  });
  await t.test("a user's tokens of before a time are invalid", async () => {
    const now = unixNow();
    const old = { iat: now - 100 };
    assert.deepEqual(await server.call("invalidate_user_tokens", { user: "ann", issued_before: now - 50 }), {});
    await refusedEverywhere(userToken("ann", old));
    await refusedEverywhere(userToken("ann"));
    await connect({ iat: now - 10 });
    await server.connect(null, { token: userToken("bob", old) });
  });
  await t.test("with a channel, only the subscription tokens for it", async () => {
    const now = unixNow();
    await server.call("invalidate_user_tokens", { user: "bob", channel: "$own", issued_before: now - 50 });
    const connectBob = () => server.connect(null, { token: userToken("bob", { iat: now - 100 }) });
    const refused = await connectBob();
    refused.send({ id: 5, subscribe: { channel: "$own", token: channelToken("bob", "$own", { iat: now - 100 }) } });
    await refused.expectClose(3500, "invalid token");
    const client = await connectBob();
    await client.subscribe("$own", { token: channelToken("bob", "$own", { iat: now }) });
    await client.subscribe("$two", { token: channelToken("bob", "$two", { iat: now - 100 }) });
  });
  await t.test("bad requests are told", async () => {
    assert.equal((await server.api("revoke_token", {})).error.code, 107);
    assert.equal((await server.api("revoke_token", { uid: "x", expire_at: 1 })).error.code, 107);
    assert.equal((await server.api("invalidate_user_tokens", {})).error.code, 107);
  });
});
