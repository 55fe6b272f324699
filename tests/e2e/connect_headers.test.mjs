// Headers that hooks see: those of the opening request, and apart from them the "emulated" ones that
// a client writes into its connect command.
import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";

test("headers of the connect command", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { user_id_http_header: "X-User" },
      hooks: {
        connect: lua`function(ctx)
          return { data = { sent = ctx.headers["x-tenant"], emulated = ctx.emulated_headers } }
        end`,
      },
      rpc: { later: lua`function(client) return { client.headers["x-tenant"] or "none", client.emulated_headers["x-tenant"] } end` },
    },
  });
  const connect = async (headers, options) => {
    const client = await server.open(options);
    client.send({ id: 1, connect: { headers } });
    return client;
  };
  const trusted = { headers: { "X-User": "ann", "X-Tenant": "real" } };

  await t.test("hooks see them beside those of the request, with names in lower case", async () => {
    const client = await connect({ "X-Tenant": "claimed", Authorization: "Bearer ü" }, trusted);
    assert.deepEqual((await client.reply(1)).connect.data, {
      sent: "real",
      emulated: { "x-tenant": "claimed", authorization: "Bearer ü" },
    });
    assert.deepEqual((await client.call("rpc", { method: "later" })).data, ["real", "claimed"]);
  });
  await t.test("they never stand for a header of the request", async () => {
    const client = await connect({ "X-Tenant": "claimed" }, { headers: { "X-User": "ann" } });
    const { data } = (await client.reply(1)).connect;
    assert.equal(data.sent, undefined);
    assert.equal(data.emulated["x-tenant"], "claimed");
  });
  await t.test("they do not say who a client is", async () => {
    const client = await connect({ "X-User": "ann" });
    await client.expectClose(3501, "bad request");
  });
  await t.test("one of the request that is not UTF-8 says nobody", async () => {
    const client = await connect({}, { headers: { "X-User": "caf\xe9" } });
    await client.expectClose(3501, "bad request");
    await server.logged(/the user in a header is not UTF-8.*"header":"X-User"/);
  });
  for (const [what, headers] of [
    ["a name that is no name", { "X User": "1" }],
    ["an empty name", { "": "1" }],
    ["a value with a line feed", { "X-A": "1\nX-User: root" }],
    ["a value with a zero byte", { "X-A": "1\0" }],
    ["too many", Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`x-${n}`, "1"]))],
    ["too long together", { "X-A": "a".repeat(16 * 1024) }],
  ]) {
    await t.test(`${what}: 3501`, async () => {
      const client = await connect(headers, trusted);
      await client.expectClose(3501, "bad request");
      await server.logged(/"code":3501.*headers in the connect command/);
    });
  }
  await t.test("as many as a request may have are taken", async () => {
    const client = await connect(Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x-${n}`, "1"])), trusted);
    assert.equal(Object.keys((await client.reply(1)).connect.data.emulated).length, 100);
  });
});
